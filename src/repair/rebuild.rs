//! Trees without what is lost. Only the folders on the way to a loss are encoded anew.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::backup::sink::Sink;
use crate::check::Prober;
use crate::error::Result;
use crate::format::index::ShortId;
use crate::format::link::LinkGroup;
use crate::format::name::{Name, TreePath};
use crate::format::snapshot::{Body, TableRef};
use crate::format::tree::{Node, NodeKind, XattrValue};
use crate::id::ChunkId;
use crate::progress::Context;
use crate::repo::fetch::is_damage;
use crate::repo::session::Session;
use crate::repo::snapshots::Snapshot;
use crate::tree::build::{BirthsBuilder, FolderBuilder, build_links};
use crate::tree::nodes::{Level, Levels, Nodes};
use crate::tree::read::{find_path, for_each_births, read_links};

/// Folders that are remembered to be whole, for one snapshot or another; more of them are walked again.
const WHOLE_MAX: usize = 1 << 20;

/// Folders with losses that are remembered; more of them are walked again wherever they stand.
const KNOWN_MAX: usize = 1 << 19;

/// Folders with losses that are walked again at another place of the same snapshot. A hostile tree stands in itself so
/// often that it would never end.
const AGAIN_MAX: u32 = 10_000;

/// Losses of one snapshot whose paths are remembered. With more of them the tables beside the tree are given up, which
/// speak of paths.
const LOSSES_MAX: usize = 100_000;

/// Paths that are reported of each snapshot: more than anybody reads.
const PATHS_MAX: usize = 1000;

/// What a snapshot lacks from now on.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// What is left out, with all that is below it.
    dropped: HashSet<TreePath>,
    /// Folders some of whose entries are left out.
    touched: HashSet<TreePath>,
    /// Folders of which a part is lost, nobody knows with which names.
    cut: HashSet<TreePath>,
    /// Absolute paths, for people.
    pub(super) paths: Vec<Vec<u8>>,
    /// How many more there are.
    pub(super) more_paths: u64,
    files: u64,
    bytes: u64,
    /// Whether there are losses whose paths are not known.
    is_blurred: bool,
}

impl Losses {
    fn show(&mut self, path: &TreePath) {
        if self.paths.len() < PATHS_MAX {
            self.paths.push(path.absolute());
        } else {
            self.more_paths += 1;
        }
    }

    fn drop_item(&mut self, path: &TreePath) {
        self.show(path);
        let mut folder = path.clone();
        folder.pop();
        if self.dropped.len() < LOSSES_MAX {
            self.dropped.insert(path.clone());
            self.touched.insert(folder);
        } else {
            self.is_blurred = true;
        }
    }

    fn cut_folder(&mut self, path: &TreePath) {
        if self.cut.len() < LOSSES_MAX && self.cut.insert(path.clone()) {
            self.show(path);
            self.touched.insert(path.clone());
        } else {
            self.is_blurred |= !self.cut.contains(path);
        }
    }

    /// Whether a path was left out, or something above it.
    fn is_below_dropped(&self, path: &TreePath) -> bool {
        !self.dropped.is_empty() && any_above(path, &mut |above| self.dropped.contains(above))
    }
}

/// Whether something holds of a path or of a folder above it.
fn any_above(path: &TreePath, holds: &mut dyn FnMut(&TreePath) -> bool) -> bool {
    let mut above = path.clone();
    while !above.as_bytes().is_empty() {
        if holds(&above) {
            return true;
        }
        above.pop();
    }
    holds(&above)
}

/// What becomes of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Changed(ChunkId),
    /// Nothing of it can be read.
    Lost,
}

/// What becomes of an entry of a folder that is encoded anew.
enum Change {
    Dropped,
    /// A folder: another tree, and whether it keeps attributes that lie in chunks.
    Edited {
        tree: Option<ChunkId>,
        keeps_xattrs: bool,
    },
}

/// A folder that is being walked.
struct Frame<'s> {
    nodes: Nodes<'s>,
    changes: BTreeMap<Name, Change>,
    has_nodes: bool,
    is_cut: bool,
    /// Its name in the folder above.
    name: Option<Name>,
}

impl Level for Frame<'_> {
    fn held_bytes(&self) -> usize {
        self.nodes.held_bytes()
    }

    fn rest(&mut self) {
        self.nodes.rest();
    }
}

/// Rebuilds the trees of one snapshot after the other.
pub(super) struct Rebuilder<'a, 'r> {
    prober: &'a Prober<'r>,
    session: &'a mut Session<'r>,
    whole: HashSet<ShortId>,
    /// Folders with losses.
    known: HashMap<ChunkId, Outcome>,
    again_left: u32,
    losses: Losses,
}

impl<'a, 'r> Rebuilder<'a, 'r> {
    pub(super) fn new(prober: &'a Prober<'r>, session: &'a mut Session<'r>) -> Self {
        let (whole, known, losses) = (HashSet::new(), HashMap::new(), Losses::default());
        Self { prober, session, whole, known, again_left: AGAIN_MAX, losses }
    }

    /// The body of a snapshot without what is lost, and what that is; no body if nothing of it is left.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn rebuild(&mut self, snapshot: &Snapshot, cx: &Context<'_>) -> Result<(Option<Body>, Losses)> {
        self.again_left = AGAIN_MAX;
        self.losses = Losses::default();
        let old = &snapshot.body;
        let root = match self.tree(snapshot, cx)? {
            Outcome::Whole => old.root,
            Outcome::Changed(root) => root,
            Outcome::Lost => return Ok((None, std::mem::take(&mut self.losses))),
        };
        let links = self.links(old, cx)?;
        let births = self.births(old, cx)?;
        let losses = std::mem::take(&mut self.losses);
        let mut body = Body { root, links, births, ..old.clone() };
        body.summary.files = body.summary.files.saturating_sub(losses.files);
        body.summary.bytes = body.summary.bytes.saturating_sub(losses.bytes);
        Ok((Some(body), losses))
    }

    /// Goes through all folders with a stack of its own: a hostile tree is deeper than a thread's.
    fn tree(&mut self, snapshot: &Snapshot, cx: &Context<'_>) -> Result<Outcome> {
        let prober = self.prober;
        let enter = |tree, name| Frame {
            nodes: Nodes::of(prober.source(), tree),
            changes: BTreeMap::new(),
            has_nodes: false,
            is_cut: false,
            name,
        };
        let mut path = TreePath::root();
        let mut levels = Levels::default();
        levels.push(enter(snapshot.body.root, None));
        while let Some(frame) = levels.last_mut() {
            cx.cancel.check()?;
            let node = match frame.nodes.next() {
                Some(Ok(node)) => node,
                Some(Err(error)) if is_damage(&error) => {
                    frame.is_cut = true;
                    self.losses.cut_folder(&path);
                    continue;
                }
                Some(Err(error)) => return Err(error),
                None => {
                    let outcome = self.leave(frame, cx)?;
                    let name = frame.name.take();
                    levels.pop();
                    let (Some(above), Some(name)) = (levels.last_mut(), name) else { return Ok(outcome) };
                    self.note(above, name, outcome, &path);
                    path.pop();
                    continue;
                }
            };
            frame.has_nodes = true;
            path.push(&node.name);
            cx.progress.current(path.as_bytes());
            let below = self.node(snapshot, frame, &path, &node)?;
            match below {
                Some(tree) => levels.push(enter(tree, Some(node.name))),
                None => path.pop(),
            }
        }
        Ok(Outcome::Lost)
    }

    /// Looks at a node; answers the folder that is to be walked.
    fn node(
        &mut self,
        snapshot: &Snapshot,
        frame: &mut Frame<'_>,
        path: &TreePath,
        node: &Node,
    ) -> Result<Option<ChunkId>> {
        let is_whole = self.prober.is_whole(snapshot, path, node)?;
        let NodeKind::Folder { tree } = node.kind else {
            if !is_whole {
                if let NodeKind::File { size, .. } = node.kind {
                    self.losses.files += 1;
                    self.losses.bytes = self.losses.bytes.saturating_add(size);
                }
                frame.changes.insert(node.name.clone(), Change::Dropped);
                self.losses.drop_item(path);
            }
            return Ok(None);
        };
        if !is_whole {
            // A folder lacks some of its attributes, and keeps what it holds.
            self.losses.show(path);
            frame.changes.insert(node.name.clone(), Change::Edited { tree: None, keeps_xattrs: false });
        }
        if self.whole.contains(&ShortId::from(tree)) {
            return Ok(None);
        }
        match self.known.get(&tree).copied() {
            Some(outcome) if self.again_left == 0 => {
                self.losses.is_blurred = true;
                self.note(frame, node.name.clone(), outcome, path);
                Ok(None)
            }
            Some(_) => {
                self.again_left -= 1;
                Ok(Some(tree))
            }
            None => Ok(Some(tree)),
        }
    }

    /// What became of the folder `name` of `above`.
    fn note(&mut self, above: &mut Frame<'_>, name: Name, outcome: Outcome, path: &TreePath) {
        match outcome {
            Outcome::Whole => {}
            Outcome::Changed(new) => match above.changes.get_mut(&name) {
                Some(Change::Edited { tree, .. }) => *tree = Some(new),
                _ => drop(above.changes.insert(name, Change::Edited { tree: Some(new), keeps_xattrs: true })),
            },
            Outcome::Lost => {
                above.changes.insert(name, Change::Dropped);
                self.losses.drop_item(path);
            }
        }
    }

    /// At the end of a folder: encodes it anew, if something of it is lost.
    fn leave(&mut self, frame: &Frame<'_>, cx: &Context<'_>) -> Result<Outcome> {
        let root = frame.nodes.root();
        let outcome = if frame.is_cut && !frame.has_nodes {
            Outcome::Lost
        } else if frame.is_cut || !frame.changes.is_empty() {
            Outcome::Changed(self.encode(root, &frame.changes, cx)?)
        } else {
            if self.whole.len() < WHOLE_MAX {
                self.whole.insert(ShortId::from(root));
            }
            return Ok(Outcome::Whole);
        };
        if self.known.len() < KNOWN_MAX {
            self.known.insert(root, outcome);
        }
        Ok(outcome)
    }

    fn encode(&mut self, root: ChunkId, changes: &BTreeMap<Name, Change>, cx: &Context<'_>) -> Result<ChunkId> {
        let mut sink = Sink { session: self.session, cx };
        let mut builder = FolderBuilder::default();
        for node in Nodes::of(self.prober.source(), root) {
            let mut node = match node {
                Ok(node) => node,
                Err(error) if is_damage(&error) => continue,
                Err(error) => return Err(error),
            };
            match changes.get(&node.name) {
                Some(Change::Dropped) => continue,
                Some(Change::Edited { tree, keeps_xattrs }) => {
                    if let (Some(new), NodeKind::Folder { tree }) = (tree, &mut node.kind) {
                        *tree = *new;
                    }
                    let is_inline = |value: &XattrValue| matches!(value, XattrValue::Inline(_));
                    node.xattrs.retain(|xattr| *keeps_xattrs || is_inline(&xattr.value));
                }
                None => {}
            }
            builder.push(&node, &mut sink)?;
        }
        builder.finish(&mut sink)
    }

    /// The table of hard links without names that are left out; none if it cannot be read.
    fn links(&mut self, old: &Body, cx: &Context<'_>) -> Result<Option<TableRef>> {
        let source = self.prober.source();
        let groups = match read_links(source, old.links.as_ref()) {
            Ok(_) if self.losses.is_blurred => return Ok(None),
            Ok(groups) => groups,
            Err(error) if is_damage(&error) => {
                self.losses.show(&TreePath::root());
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if self.losses.touched.is_empty() {
            return Ok(old.links);
        }
        let mut left = Vec::new();
        for LinkGroup(names) in groups {
            let mut kept = Vec::new();
            for name in names {
                if self.is_left(old.root, &name)? {
                    kept.push(name);
                }
            }
            if kept.len() > 1 {
                left.push(LinkGroup(kept));
            }
        }
        left.sort_by(|a, b| a.0.cmp(&b.0));
        let records: Vec<LinkGroup> = left.into_iter().flat_map(LinkGroup::into_records).collect();
        build_links(&records, &mut Sink { session: self.session, cx })
    }

    /// Whether a name of a file stays in the tree.
    fn is_left(&self, old_root: ChunkId, name: &TreePath) -> Result<bool> {
        if self.losses.is_below_dropped(name) {
            return Ok(false);
        }
        if self.losses.cut.is_empty() || !any_above(name, &mut |above| self.losses.cut.contains(above)) {
            return Ok(true);
        }
        match find_path(self.prober.source(), old_root, name) {
            Ok(found) => Ok(found.is_some()),
            Err(error) if is_damage(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The table of birth times without those of folders of which something is left out, whose entries it counts; none
    /// if it cannot be read.
    fn births(&mut self, old: &Body, cx: &Context<'_>) -> Result<Option<TableRef>> {
        let losses = &self.losses;
        let mut sink = Sink { session: self.session, cx };
        let mut builder = BirthsBuilder::default();
        let mut pushed = Ok(());
        let read = for_each_births(self.prober.source(), old.births.as_ref(), |record| {
            let stays = !losses.touched.contains(&record.folder) && !losses.is_below_dropped(&record.folder);
            if pushed.is_ok() && stays {
                pushed = builder.push(&record, &mut sink);
            }
        });
        match read {
            Ok(()) if self.losses.is_blurred => Ok(None),
            Ok(()) if self.losses.touched.is_empty() => Ok(old.births),
            Ok(()) => pushed.and_then(|()| builder.finish(&mut sink)),
            Err(error) if is_damage(&error) => {
                self.losses.show(&TreePath::root());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
