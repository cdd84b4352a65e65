//! What an earlier run has left: the catalog's rows of each folder, or else the trees of the parent snapshot.
//!
//! [`Memory`] holds what is known of all sources, [`FolderMemory`] walks along with one folder. Neither says that something
//! is still in the repository: the walk asks the index, unless the catalog can vouch for it.

use std::collections::HashSet;
use std::io;
use std::iter::Peekable;

use crate::catalog::row::{Fingerprint, FolderIdentity, Next, PartReader, RowEntry, RowWriter};
use crate::catalog::{Catalog, Changes, OwnerName, Part, RowKey, Rows};
use crate::env;
use crate::error::Result;
use crate::format::metadata::Timestamp;
use crate::format::name::{Name, TreePath};
use crate::format::tree::{Node, NodeKind};
use crate::id::{ChunkId, PackId};
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;
use crate::source::{FileSystem, OwnerNames, Stat};
use crate::tree::nodes::Nodes;
use crate::tree::read::find_path;

/// Bytes of a row that are kept while the folder looks the same: fifty thousand entries. A longer one is written anew.
const ROW_BYTES_MAX: usize = 8 << 20;

/// What must have changed before a file is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detection {
    /// Whether every file is read, whatever it looks like.
    pub force: bool,
    /// Whether another inode number is no change: some network file systems give a file a new one each time.
    pub ignore_inode: bool,
    /// Whether a later change of metadata is no change of the content: some programs and file systems touch all files.
    pub ignore_ctime: bool,
}

/// What is known of the sources from earlier runs.
pub(super) struct Memory<'c> {
    catalog: Option<&'c Catalog>,
    detection: Detection,
    /// The packs that may be relied on.
    usable: &'c HashSet<PackId>,
    /// Those of them that rows were believed because of.
    pub(super) relied: HashSet<PackId>,
    /// Whether owners have other names than when the rows were made.
    are_owners_renamed: bool,
    rows: Option<Rows>,
    is_vouched: bool,
    parent: Option<&'c Parent<'c>>,
    uses_parent: bool,
    pub(super) changes: Option<Changes>,
}

/// The snapshot that a run without a catalog compares with.
pub(super) struct Parent<'r> {
    pub(super) reader: Reader<'r>,
    pub(super) snapshot: Snapshot,
    /// Whether somebody named it, so that it counts and not what the catalog knows.
    pub(super) is_asked_for: bool,
}

/// An entry as an earlier run has left it.
pub(super) struct Remembered {
    pub(super) print: Fingerprint,
    pub(super) is_trusted: bool,
    /// Its node, encoded.
    pub(super) node: Vec<u8>,
}

impl<'c> Memory<'c> {
    pub(super) fn new(
        catalog: Option<&'c Catalog>,
        changes: Option<Changes>,
        usable: &'c HashSet<PackId>,
        parent: Option<&'c Parent<'c>>,
        detection: Detection,
    ) -> Self {
        let mut names = OwnerNames::default();
        let is_renamed = |known: &OwnerName| {
            let name = if known.is_group { names.group(known.id) } else { names.user(known.id) };
            *name != known.name
        };
        let are_owners_renamed = catalog.is_some_and(|catalog| catalog.owners().iter().any(is_renamed));
        Self {
            catalog,
            detection,
            usable,
            relied: HashSet::new(),
            are_owners_renamed,
            rows: None,
            is_vouched: false,
            parent,
            uses_parent: false,
            changes,
        }
    }

    /// What comes next lies below `source`. **Sources come in the order of a walk.**
    pub(super) fn begin(&mut self, source: &TreePath) {
        let key = RowKey::of(source);
        self.rows = key.as_ref().map(Rows::below);
        self.is_vouched = key.as_ref().is_some_and(|key| self.vouch(key));
        let is_known = self.catalog.zip(key).is_some_and(|(catalog, key)| catalog.knows(&key));
        self.uses_parent = (!is_known || self.is_parent_asked_for()) && !self.detection.force;
    }

    fn is_parent_asked_for(&self) -> bool {
        self.parent.is_some_and(|parent| parent.is_asked_for)
    }

    /// Whether all that the rows below `source` name is there, because all packs are that hold it; they are relied on then.
    fn vouch(&mut self, source: &RowKey) -> bool {
        let Some(catalog) = self.catalog.filter(|_| !self.detection.force) else { return false };
        let sets = catalog.packs_behind(source);
        let Some(usable) = sets.iter().find(|packs| packs.iter().all(|pack| self.usable.contains(pack))) else {
            return false;
        };
        self.relied.extend(usable);
        true
    }

    /// All below the source was seen: what else the catalog knows there is gone.
    pub(super) fn end(&mut self) {
        if let (Some(rows), Some(catalog), Some(changes)) = (self.rows.take(), self.catalog, &mut self.changes) {
            rows.finish(catalog, |gone| changes.remove(gone));
        }
    }

    /// What is known of the folder at `path`. `above` is the folder that it lies in, unless it is a source.
    pub(super) fn folder(
        &mut self,
        path: &TreePath,
        stat: &Stat,
        file_system: FileSystem,
        above: Option<&FolderMemory<'c>>,
        name: &Name,
    ) -> FolderMemory<'c> {
        let key = RowKey::of(path);
        let identity =
            FolderIdentity { file_system: file_system.id, ino: stat.ino, birth: Fingerprint::of(stat).birth };
        let mut found = FolderMemory::none(self.catalog, key.clone(), identity);
        let (Some(catalog), Some(key)) = (self.catalog, key) else {
            return self.compare_with_parent(found, path, above);
        };
        let row = self.row(catalog, &key);
        if self.detection.force {
            return found;
        }
        if self.is_parent_asked_for() {
            return self.compare_with_parent(found, path, above);
        }
        if let Some(part) = row {
            found.open_row(key, part, self.is_vouched);
            return found;
        }
        let moved = match above.and_then(|above| above.moved_from.as_ref()) {
            Some(above) => below(above, name).into_iter().collect(),
            None if file_system.has_inodes => catalog.find_moved(&identity),
            None => Vec::new(),
        };
        for old in moved {
            let Some(part) = RowKey::of(&old_path(&old)).and_then(|old| catalog.part(&old, 0)) else { continue };
            if part.reader.identity == Some(identity) && is_gone(&old, &identity) {
                let is_vouched = self.vouch(&old);
                found.open_row(old.clone(), part, is_vouched);
                found.moved_from = Some(old);
                return found;
            }
        }
        self.compare_with_parent(found, path, above)
    }

    fn row(&mut self, catalog: &Catalog, key: &RowKey) -> Option<Part> {
        let changes = &mut self.changes;
        let passed = |gone| {
            if let Some(changes) = changes {
                changes.remove(gone);
            }
        };
        self.rows.as_mut()?.seek(catalog, key, passed)
    }

    fn compare_with_parent(
        &self,
        mut found: FolderMemory<'c>,
        path: &TreePath,
        above: Option<&FolderMemory<'c>>,
    ) -> FolderMemory<'c> {
        let Some(parent) = self.parent.filter(|_| self.uses_parent) else { return found };
        let tree = match above {
            None => find_path(&parent.reader, parent.snapshot.body.root, path).ok().flatten().and_then(|at| at.tree()),
            Some(above) => above.parent_folder,
        };
        if let Some(tree) = tree {
            found.parent = Some(Nodes::of(&parent.reader, tree).peekable());
        }
        found
    }

    /// Whether an entry still looks as it did.
    pub(super) fn is_unchanged(&self, stat: &Stat, known: &Remembered) -> bool {
        let mut now = Fingerprint::of(stat);
        if self.detection.ignore_inode {
            (now.ino, now.birth) = (known.print.ino, known.print.birth);
        }
        if self.detection.ignore_ctime {
            now.ctime = known.print.ctime;
        }
        known.is_trusted && now == known.print && !self.detection.force
    }

    /// Whether what an entry has besides its content is what its node says, if it is unchanged.
    pub(super) fn keeps_nodes(&self) -> bool {
        !self.are_owners_renamed && !self.detection.ignore_ctime
    }

    /// When the parent snapshot was begun: what has not changed since is what it holds.
    pub(super) fn parent_time(&self) -> Option<Timestamp> {
        self.parent.map(|parent| parent.snapshot.header.time)
    }
}

fn old_path(key: &RowKey) -> TreePath {
    key.path().unwrap_or_default()
}

fn below(key: &RowKey, name: &Name) -> Option<RowKey> {
    let mut path = key.path()?;
    path.push(name);
    RowKey::of(&path)
}

/// Whether a folder no longer stands where it stood: with two names at once, as by a bind mount, it was not renamed.
fn is_gone(key: &RowKey, identity: &FolderIdentity) -> bool {
    use std::os::unix::fs::MetadataExt;
    match std::fs::symlink_metadata(old_path(key).to_path_buf()) {
        Ok(there) => there.ino() != identity.ino,
        Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// What is known of one folder, entry by entry, and what will be known of it.
pub(super) struct FolderMemory<'c> {
    catalog: Option<&'c Catalog>,
    /// Where its row will stand.
    key: Option<RowKey>,
    identity: FolderIdentity,
    /// The row that is being read.
    row: Option<Row>,
    /// Whether what the row names need not be looked up.
    is_vouched: bool,
    /// Where the folder was before it, or one above, was renamed.
    moved_from: Option<RowKey>,
    parent: Option<Peekable<Nodes<'c>>>,
    /// The tree of the folder that was met last in the parent.
    parent_folder: Option<ChunkId>,
    writer: Option<(RowWriter, u32)>,
}

struct Row {
    key: RowKey,
    /// Parts that were read to their end, as long as the folder is the same.
    read: Vec<PartReader>,
    /// How many there were.
    parts: u32,
    is_same: bool,
    reader: PartReader,
    bytes: usize,
    is_committed: bool,
    /// Entries that were asked for and found.
    met: usize,
    /// Whether some were not asked for.
    has_passed: bool,
}

impl<'c> FolderMemory<'c> {
    fn none(catalog: Option<&'c Catalog>, key: Option<RowKey>, identity: FolderIdentity) -> Self {
        Self {
            catalog,
            key,
            identity,
            row: None,
            is_vouched: false,
            moved_from: None,
            parent: None,
            parent_folder: None,
            writer: None,
        }
    }

    fn open_row(&mut self, key: RowKey, part: Part, is_vouched: bool) {
        self.is_vouched = is_vouched && part.is_committed;
        self.row = Some(Row {
            key,
            read: Vec::new(),
            parts: 0,
            is_same: true,
            bytes: part.reader.len(),
            reader: part.reader,
            is_committed: part.is_committed,
            met: 0,
            has_passed: false,
        });
    }

    /// Whether there was such a folder.
    pub(super) fn is_known(&self) -> bool {
        self.row.is_some() || self.parent.is_some()
    }

    /// Whether what the row names is known to be whole.
    pub(super) fn is_vouched(&self) -> bool {
        self.is_vouched
    }

    /// What was known of the entry `name`. **Asked in the order of the names.**
    pub(super) fn entry(&mut self, name: &Name) -> Option<Remembered> {
        let catalog = self.catalog?;
        let row = self.row.as_mut()?;
        loop {
            let known = row.reader.peek();
            match known {
                Ok(Next::Entry(entry)) if entry.name < name.as_bytes() => row.has_passed = true,
                Ok(Next::Entry(entry)) if entry.name == name.as_bytes() => {
                    let known = Remembered { print: entry.print, is_trusted: entry.trusted, node: entry.node.to_vec() };
                    row.reader.skip().ok()?;
                    row.met += 1;
                    return Some(known);
                }
                Ok(Next::Entry(_) | Next::End(_)) => return None,
                Ok(Next::More) => {
                    row.next_part(catalog)?;
                    continue;
                }
                Err(_) => return None,
            }
            row.reader.skip().ok()?;
        }
    }

    /// The tree of the folder, if its entries so far, `count` of them, are exactly those of its row.
    pub(super) fn same_tree(&mut self, count: usize) -> Option<ChunkId> {
        let catalog = self.catalog?;
        let row = self.row.as_mut()?;
        loop {
            match row.reader.peek() {
                Ok(Next::More) => row.next_part(catalog)?,
                Ok(Next::End(tree)) => return (!row.has_passed && row.met == count).then_some(tree),
                _ => return None,
            }
        }
    }

    /// Whether, so far, the entries are exactly those of the row, and the row may stand for the folder.
    pub(super) fn is_same_so_far(&self, count: usize) -> bool {
        self.is_vouched
            && self.moved_from.is_none()
            && self.row.as_ref().is_some_and(|row| row.is_committed && !row.has_passed && row.met == count)
    }

    /// Whether the row is too long to be kept until it is known whether the folder is the same.
    pub(super) fn is_long(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.bytes > ROW_BYTES_MAX)
    }

    /// The first `count` entries of the row.
    pub(super) fn first(&self, count: usize) -> impl Iterator<Item = RowEntry<'_>> {
        let parts = self.row.iter().flat_map(|row| row.read.iter().chain([&row.reader]));
        parts.flat_map(PartReader::entries).take(count)
    }

    /// The node of the entry `name` in the parent snapshot. **Asked in the order of the names.**
    pub(super) fn parent_node(&mut self, name: &Name) -> Option<Node> {
        self.parent_folder = None;
        let nodes = self.parent.as_mut()?;
        // What cannot be read of the parent is read from the source instead.
        while nodes.peek().is_some_and(|node| node.as_ref().map_or(true, |node| node.name < *name)) {
            nodes.next();
        }
        let node = nodes.next_if(|node| node.as_ref().is_ok_and(|node| node.name == *name))?.ok()?;
        if let NodeKind::Folder { tree } = node.kind {
            self.parent_folder = Some(tree);
        }
        Some(node)
    }

    /// Begins the row that this run leaves: the folder is not what it was.
    pub(super) fn begin_row(&mut self) -> Result<()> {
        if let Some(row) = &mut self.row {
            row.is_same = false;
            row.read.clear();
        }
        if self.key.is_some() && self.writer.is_none() {
            let stamp = u64::from_le_bytes(env::random_bytes()?);
            self.writer = Some((RowWriter::new(stamp, &self.identity), 0));
        }
        Ok(())
    }

    /// Adds an entry to the row.
    pub(super) fn record(
        &mut self,
        name: &Name,
        print: &Fingerprint,
        is_trusted: bool,
        node: &[u8],
        changes: Option<&mut Changes>,
    ) {
        if let (Some((writer, part)), Some(key), Some(changes)) = (&mut self.writer, &self.key, changes)
            && let Some(full) = writer.push(name, print, is_trusted, node)
        {
            changes.put(key, *part, self.identity.ino, full);
            *part += 1;
        }
    }

    /// The row is complete.
    pub(super) fn finish_row(&mut self, tree: &ChunkId, changes: Option<&mut Changes>) {
        if let (Some((writer, part)), Some(key), Some(changes)) = (self.writer.take(), &self.key, changes) {
            changes.put(key, part, self.identity.ino, writer.finish(tree));
        }
    }
}

impl Row {
    fn next_part(&mut self, catalog: &Catalog) -> Option<()> {
        let part = catalog.part(&self.key, self.parts + 1)?;
        // Another run may have written the row anew since its first part was read.
        if part.reader.stamp != self.reader.stamp {
            return None;
        }
        self.parts += 1;
        self.bytes += part.reader.len();
        let read = std::mem::replace(&mut self.reader, part.reader);
        if self.is_same {
            self.read.push(read);
        }
        Some(())
    }
}
