//! Checks snapshots: every tree walks, every chunk that something needs lies in a block that gives it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::findings::{Findings, Loss};
use super::lists::WholeLists;
use super::packs::Packs;
use super::unnamed::Unnamed;
use crate::error::{Error, Result, with_causes};
use crate::format::index::{PackKind, PackRow, ShortId};
use crate::format::name::TreePath;
use crate::format::snapshot::TableRef;
use crate::format::tree::{Node, NodeKind, Piece, XattrValue};
use crate::id::ChunkId;
use crate::index::Location;
use crate::keys::domain::ChunkKind;
use crate::progress::Context;
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::snapshots::Snapshot;
use crate::store::{ObjectKind, ObjectName};
use crate::tree::nodes::{Level, Levels, Nodes};
use crate::tree::read::{ChunkSource, for_each_births, read_links};

/// Folders and tables that are remembered to be whole: with a table that is seven eighths full, 44 MiB. More of them are walked
/// once for each snapshot, which costs time only.
const WHOLE_MAX: usize = (1 << 21) / 8 * 7;

/// Folders with damage in them that are walked again at another place of the same snapshot, so that their paths are named there,
/// too. A hostile tree stands in itself so often that it would never end.
const AGAIN_MAX: u32 = 10_000;

/// What the walks share.
pub(super) struct Ground<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) packs: &'a Packs,
    pub(super) findings: &'a Findings,
    pub(super) cx: &'a Context<'a>,
}

/// Walks the trees of all snapshots; what is lost is charged to the objects that should hold it.
pub(super) fn check(ground: &Ground<'_>, unnamed: &mut Unnamed<'_>, snapshots: &[Snapshot]) -> Result<()> {
    let whole = Whole::default();
    walk_all(ground, unnamed, snapshots, &whole)?;
    if unnamed.is_wanted() {
        // Nothing was charged until now: what is not where the index says may lie elsewhere.
        unnamed.open(ground.cx)?;
        walk_all(ground, unnamed, snapshots, &whole)?;
    }
    Ok(())
}

/// The newest snapshot is walked first and alone: most of the others share most of its folders, and are then done at once.
///
/// Threads of their own and not those of rayon, which are for work that waits for no store.
fn walk_all(ground: &Ground<'_>, unnamed: &Unnamed<'_>, snapshots: &[Snapshot], whole: &Whole) -> Result<()> {
    let Some((newest, others)) = snapshots.split_last() else { return Ok(()) };
    ground.findings.begin_walk();
    let walk = |snapshot| {
        Walk::new(ground, unnamed, snapshot, whole).snapshot()?;
        ground.findings.walked();
        Ok::<(), Error>(())
    };
    walk(newest)?;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(snapshot) = others.get(next.fetch_add(1, Ordering::Relaxed)) {
            walk(snapshot)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..rayon::current_num_threads().min(others.len()))
            .map(|number| thread::Builder::new().name(format!("walk {number}")).spawn_scoped(scope, work))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker {
            Ok(worker) => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No thread to be had: this one does it.
            Err(_) => work(),
        })
    })
}

/// What was found whole, by the beginning of its id: for one snapshot or another.
#[derive(Default)]
pub(super) struct Whole {
    folders: Mutex<HashSet<ShortId>>,
    lists: WholeLists,
}

/// The walk through the tree of one snapshot.
pub(super) struct Walk<'a> {
    pub(super) ground: &'a Ground<'a>,
    unnamed: &'a Unnamed<'a>,
    snapshot: &'a Snapshot,
    whole: &'a Whole,
    pub(super) source: Source<'a>,
    /// Folders and lists of this snapshot in which something is lost.
    damaged: RefCell<HashSet<ChunkId>>,
    walks_left: Cell<u32>,
}

/// A folder that is being walked.
struct Folder<'s> {
    nodes: Nodes<'s>,
    is_whole: bool,
}

impl Level for Folder<'_> {
    fn held_bytes(&self) -> usize {
        self.nodes.held_bytes()
    }

    fn rest(&mut self) {
        self.nodes.rest();
    }
}

/// Where a chunk can be read from.
enum Place {
    /// From where the index says.
    Sound,
    /// From a pack that no segment names. The index leads to these instead, if to any.
    Unnamed(ObjectName, Vec<Arc<PackRow>>),
    /// From nowhere. The index leads to these, if to any.
    Lost(Vec<Arc<PackRow>>, Error),
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        ground: &'a Ground<'a>,
        unnamed: &'a Unnamed<'a>,
        snapshot: &'a Snapshot,
        whole: &'a Whole,
    ) -> Self {
        let source = Source { ground, unnamed, used: RefCell::default() };
        let walks_left = Cell::new(AGAIN_MAX);
        Self { ground, unnamed, snapshot, whole, source, damaged: RefCell::default(), walks_left }
    }

    fn snapshot(&self) -> Result<()> {
        let body = &self.snapshot.body;
        self.table(body.links.as_ref(), |table| read_links(&self.source, Some(table)).map(drop))?;
        self.table(body.births.as_ref(), |table| for_each_births(&self.source, Some(table), drop))?;
        self.folders(body.root)
    }

    fn table(&self, table: Option<&TableRef>, read: impl FnOnce(&TableRef) -> Result<()>) -> Result<()> {
        let Some(table) = table else { return Ok(()) };
        if self.is_whole(&table.list) {
            return Ok(());
        }
        if self.note(&TreePath::root(), read(table))? {
            self.remember(&table.list);
        }
        Ok(())
    }

    /// Goes through all folders with a stack of its own: a hostile tree is deeper than a thread's.
    fn folders(&self, root: ChunkId) -> Result<()> {
        let mut path = TreePath::root();
        let mut levels = Levels::default();
        if self.is_worth_a_walk(&root) {
            levels.push(self.enter(root));
        }
        while let Some(folder) = levels.last_mut() {
            self.ground.cx.cancel.check()?;
            if self.unnamed.is_wanted() {
                return Ok(()); // All is walked again.
            }
            let Some(node) = folder.nodes.next() else {
                let is_whole = self.leave(folder);
                levels.pop();
                path.pop();
                if let Some(above) = levels.last_mut() {
                    above.is_whole &= is_whole;
                }
                continue;
            };
            // What the chunk of nodes needed, the folder needs.
            let (node, read) = node.map_or_else(|error| (None, Err(error)), |node| (Some(node), Ok(())));
            folder.is_whole &= self.note(&path, read)?;
            let Some(node) = node else { continue };
            path.push(&node.name);
            self.ground.cx.progress.current(path.as_bytes());
            folder.is_whole &= self.node(&path, &node)?;
            match node.kind {
                NodeKind::Folder { tree } if self.is_worth_a_walk(&tree) => levels.push(self.enter(tree)),
                NodeKind::Folder { tree } => {
                    folder.is_whole &= self.is_whole(&tree);
                    path.pop();
                }
                _ => path.pop(),
            }
        }
        Ok(())
    }

    fn enter(&self, tree: ChunkId) -> Folder<'_> {
        Folder { nodes: Nodes::of(&self.source, tree), is_whole: true }
    }

    fn leave(&self, folder: &Folder<'_>) -> bool {
        if folder.is_whole {
            self.remember(&folder.nodes.root());
        } else {
            self.spoil(&folder.nodes.root());
        }
        folder.is_whole
    }

    /// Something is lost below a folder or a list.
    pub(super) fn spoil(&self, id: &ChunkId) {
        self.damaged.borrow_mut().insert(*id);
    }

    /// Whether something new may be learned in a folder: it is not known to be whole, and was not walked for this snapshot at
    /// very many places.
    fn is_worth_a_walk(&self, tree: &ChunkId) -> bool {
        !self.is_whole(tree) && !self.is_spoilt_enough(tree)
    }

    /// Whether damage below a folder or a list is known, and was named at enough places.
    pub(super) fn is_spoilt_enough(&self, id: &ChunkId) -> bool {
        if !self.damaged.borrow().contains(id) {
            return false;
        }
        let left = self.walks_left.get();
        self.walks_left.set(left.saturating_sub(1));
        left == 0
    }

    pub(super) fn whole_lists(&self) -> &WholeLists {
        &self.whole.lists
    }

    /// Whether all that a node needs can be read.
    pub(super) fn node(&self, path: &TreePath, node: &Node) -> Result<bool> {
        let mut is_whole = true;
        for xattr in &node.xattrs {
            if let XattrValue::Pieces(pieces) = &xattr.value {
                for piece in pieces {
                    is_whole &= self.piece(path, piece)?;
                }
            }
        }
        if let NodeKind::File { size, content, .. } = &node.kind {
            is_whole &= self.content(path, content, *size)?;
        }
        Ok(self.note(path, Ok(()))? && is_whole)
    }

    /// Whether a chunk is where the index says, with the length that the tree says.
    pub(super) fn piece(&self, path: &TreePath, piece: &Piece) -> Result<bool> {
        let Piece::Chunk { id, len } = piece else { return Ok(true) };
        match self.place(id, *len)? {
            Place::Sound => Ok(true),
            Place::Unnamed(pack, instead) => {
                self.charge_unnamed(path, pack, &instead);
                Ok(false)
            }
            Place::Lost(packs, error) => {
                self.charge(path, packs.iter().map(|pack| pack.name()).collect(), &error);
                Ok(false)
            }
        }
    }

    fn place(&self, id: &ChunkId, len: u32) -> Result<Place> {
        let Ground { reader, packs, .. } = self.ground;
        let mut passed: Vec<Location> = Vec::new();
        let mut error = Error::MissingChunk { id: *id };
        while let Some(location) = reader.locate_except(id, &passed)? {
            if !packs.give(&location) {
                let ordinal = location.block.ordinal;
                error = Error::DamagedBlock { ordinal, pack: location.pack.id, reason: "it cannot be read".to_owned() };
            } else if location.len != len {
                let reason = format!("its length is {} and not {len}", location.len);
                error = Error::MalformedChunk { id: *id, reason };
            } else {
                return Ok(Place::Sound);
            }
            passed.push(location);
        }
        let passed = passed.into_iter().map(|location| location.pack).collect();
        match self.unnamed.locate(id)? {
            Some(location) if location.len == len => Ok(Place::Unnamed(location.pack.name(), passed)),
            _ => Ok(Place::Lost(passed, error)),
        }
    }

    /// Notes what reading a part of the tree came to; answers whether it is whole.
    pub(super) fn note(&self, path: &TreePath, read: Result<()>) -> Result<bool> {
        let unnamed = self.source.used.take();
        for pack in &unnamed {
            self.charge_unnamed(path, *pack, &[]);
        }
        match read {
            Ok(()) => Ok(unnamed.is_empty()),
            Err(error) if is_damage(&error) => {
                let pack = match &error {
                    Error::DamagedBlock { pack, .. } => Some(ObjectName::new(PackKind::Tree.object_kind(), *pack)),
                    _ => None,
                };
                self.charge(path, pack.into_iter().collect(), &error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Something is lost for good. Where no object is known that should hold it, the snapshot promises what is not there.
    fn charge(&self, path: &TreePath, objects: BTreeSet<ObjectName>, error: &Error) {
        if self.unnamed.is_wanted() {
            return; // All is walked again.
        }
        let own = ObjectName::new(ObjectKind::Snapshots, self.snapshot.id);
        let objects = if objects.is_empty() { BTreeSet::from([own]) } else { objects };
        for object in objects {
            let loss = Loss { snapshot: self.snapshot.id, path, repairable: false };
            self.ground.findings.loss(object, || with_causes(error), loss);
        }
    }

    /// Something can be read again once the index names its pack. That is the fault of damaged segments, if there are some.
    fn charge_unnamed(&self, path: &TreePath, pack: ObjectName, instead: &[Arc<PackRow>]) {
        let mut objects: BTreeSet<ObjectName> = instead.iter().map(|pack| pack.name()).collect();
        if objects.is_empty() {
            objects.extend(self.ground.findings.of_kind(ObjectKind::Index));
        }
        if objects.is_empty() {
            objects.insert(pack);
        }
        for object in objects {
            let loss = Loss { snapshot: self.snapshot.id, path, repairable: true };
            self.ground.findings.loss(object, || "a snapshot needs it, and no index segment names it".to_owned(), loss);
        }
    }

    fn is_whole(&self, id: &ChunkId) -> bool {
        self.whole.folders.lock().unwrap_or_else(PoisonError::into_inner).contains(&ShortId::from(*id))
    }

    fn remember(&self, id: &ChunkId) {
        let mut whole = self.whole.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.len() < WHOLE_MAX {
            whole.insert(ShortId::from(*id));
        }
    }
}

/// Chunks of trees: from where the index says, or else from packs that no segment names.
pub(super) struct Source<'a> {
    ground: &'a Ground<'a>,
    unnamed: &'a Unnamed<'a>,
    /// Packs that no segment names and that something was read from since somebody asked last.
    used: RefCell<Vec<ObjectName>>,
}

impl ChunkSource for Source<'_> {
    fn chunk(&self, kind: ChunkKind, id: &ChunkId) -> Result<Vec<u8>> {
        let reader = self.ground.reader;
        let error = match reader.chunk(kind, id) {
            Err(error) if is_damage(&error) => error,
            read => return read,
        };
        let Some(location) = self.unnamed.locate(id)? else { return Err(error) };
        let plain = reader.block(&location).and_then(|block| {
            let plain = reader.prove(kind, id, &location, &block)?;
            Ok(plain.to_vec())
        });
        match plain {
            Ok(plain) => {
                self.used.borrow_mut().push(location.pack.name());
                Ok(plain)
            }
            Err(other) if is_damage(&other) => Err(error),
            Err(other) => Err(other),
        }
    }
}
