//! What becomes of one entry: kept as an earlier run has left it, or read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::content::{ContentReader, ReadContent, ReadError, is_same_version};
use super::frame::Saved;
use super::links::HardLinks;
use super::memory::{FolderMemory, Memory, Remembered};
use super::sink::Sink;
use super::stream::Stream;
use crate::catalog::row::Fingerprint;
use crate::error::{Error, Result};
use crate::format::atime::may_hold_atime;
use crate::format::metadata::{Owner, Timestamp, Xattr};
use crate::format::name::{Name, TreePath};
use crate::format::record::{Extras, decode, encode};
use crate::format::snapshot::Summary;
use crate::format::tree::{
    Content, INLINE_XATTR_BYTES_MAX, Node, NodeKind, NodeXattr, OWNER_NAME_MAX, Piece, XATTR_VALUES_BYTES_MAX,
    XATTRS_MAX, XattrValue,
};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;
use crate::keys::keyring::Rights;
use crate::progress::{Fate, Problem};
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::session::Origin;
use crate::source::{EntryKind, FileSystem, Folder, OwnerNames, Stat};
use crate::tree::read::{ChunkSource, Pieces};

/// A file that changes while it is read is read so often in all, then stored as it is and marked.
const READS_MAX: u32 = 3;

/// An entry is believed unchanged only if it had not changed for so long when it was looked at: the coarsest clock of a file
/// system, FAT's, ticks so often, and what changes twice between two ticks looks the same.
const SETTLED_SECS: i64 = 2;

/// How many files of which kind a run has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that were not there before.
    pub new: u64,
    /// Files that have changed.
    pub changed: u64,
    /// Files whose content was not read, because they have not changed.
    pub unmodified: u64,
    /// Bytes that were read of files.
    pub read_bytes: u64,
}

/// All that a walk needs to turn an entry into a node.
pub(super) struct Items<'s, 'r, 'c> {
    pub sink: Sink<'s, 'r, 'c>,
    pub contents: ContentReader,
    pub owners: OwnerNames,
    pub links: HardLinks,
    pub memory: Memory<'s>,
    pub path: TreePath,
    pub summary: Summary,
    pub counts: Counts,
    pub sockets: u64,
    pub problems: u64,
    /// Whether nodes tell when items were last read.
    with_atime: bool,
    file_systems: HashMap<u64, FileSystem>,
    /// Reads lists of chunks, to look up what they name.
    reader: Option<Reader<'s>>,
}

/// What was found out about an entry that is no folder.
struct Read {
    node: Node,
    stat: Stat,
    is_steady: bool,
    fate: Fate<'static>,
}

/// A file as it was read, or as an earlier run has read it.
struct ReadFile {
    kind: NodeKind,
    stat: Stat,
    xattrs: io::Result<Vec<Xattr>>,
    is_steady: bool,
}

impl<'s, 'r: 's, 'c: 's> Items<'s, 'r, 'c> {
    pub(super) fn new(sink: Sink<'s, 'r, 'c>, contents: ContentReader, memory: Memory<'s>, with_atime: bool) -> Self {
        Self {
            sink,
            contents,
            owners: OwnerNames::default(),
            links: HardLinks::default(),
            memory,
            path: TreePath::root(),
            summary: Summary::default(),
            counts: Counts::default(),
            sockets: 0,
            problems: 0,
            with_atime,
            file_systems: HashMap::new(),
            reader: None,
        }
    }

    /// The node of an entry that is no folder, read now. Nothing if it has none: a socket, or what cannot be read, of which a
    /// problem was reported then.
    pub(super) fn read(
        &mut self,
        folder: &Arc<Folder>,
        name: &Name,
        stat: Stat,
        seen: Timestamp,
        was_there: bool,
        memory: &mut FolderMemory<'_>,
    ) -> Result<Option<Saved>> {
        let problems = self.problems;
        let read = match stat.kind {
            EntryKind::Socket => {
                self.sockets += 1;
                None
            }
            EntryKind::File => self.file(folder, name, stat, was_there, memory)?,
            _ => {
                let fate = if was_there { Fate::Changed } else { Fate::New };
                self.other(folder, name, &stat)?.map(|node| Read { node, stat, is_steady: true, fate })
            }
        };
        let Some(Read { node, stat, is_steady, fate }) = read else { return Ok(None) };
        let is_trusted = is_steady && self.problems == problems && is_settled(&stat, seen);
        let (name, print) = (name.clone(), Fingerprint::of(&stat));
        Ok(Some(Saved { name, print, is_trusted, node: encode(&node), is_kept: false, fate }))
    }

    /// What an earlier run has left of an entry, if it has not changed and all of it is still there.
    pub(super) fn kept(
        &mut self,
        folder: &Arc<Folder>,
        name: &Name,
        stat: &Stat,
        known: Option<&Remembered>,
        memory: &FolderMemory<'_>,
    ) -> Result<Option<Saved>> {
        let Some(known) = known.filter(|known| self.memory.is_unchanged(stat, known)) else { return Ok(None) };
        let keeps_node = self.memory.keeps_nodes();
        let mut node = known.node.clone();
        if !keeps_node || !memory.is_vouched() {
            let Ok(old) = decode::<Node>(&node) else { return Ok(None) };
            if !self.is_whole(&old)? {
                return Ok(None);
            }
            if !keeps_node {
                let xattrs = self.xattrs(folder.xattrs_of(name), stat)?;
                node = encode(&self.node(name.clone(), old.kind, stat, xattrs));
            }
        }
        node = self.with_atime_of(node, stat);
        self.links.note(stat, &self.path);
        self.count(stat.kind, stat.size);
        if stat.kind == EntryKind::File {
            self.counts.unmodified += 1;
            self.sink.cx.progress.done(0, stat.size);
        }
        // With another inode number or time of change it would look changed next time, where these count.
        let print = Fingerprint::of(stat);
        let is_kept = print == known.print && node == known.node;
        Ok(Some(Saved { name: name.clone(), print, is_trusted: true, node, is_kept, fate: Fate::Unchanged }))
    }

    /// When an item was last read, where that is saved.
    pub(super) fn atime(&self, stat: &Stat) -> Option<Timestamp> {
        self.with_atime.then_some(stat.atime)
    }

    /// An item that has not changed may have been read since.
    fn with_atime_of(&self, node: Vec<u8>, stat: &Stat) -> Vec<u8> {
        if !self.with_atime && !may_hold_atime(&node) {
            return node;
        }
        let Ok(mut known) = decode::<Node>(&node) else { return node };
        known.set_atime(self.atime(stat));
        encode(&known)
    }

    fn count(&mut self, kind: EntryKind, bytes: u64) {
        if kind == EntryKind::File {
            self.summary.files += 1;
            self.summary.bytes += bytes;
        } else {
            self.summary.others += 1;
        }
        self.sink.cx.progress.done(1, 0);
    }

    /// A symlink, a pipe or a device.
    fn other(&mut self, folder: &Arc<Folder>, name: &Name, stat: &Stat) -> Result<Option<Node>> {
        let kind = match stat.kind {
            EntryKind::Symlink => match folder.read_link(name) {
                Ok(target) => NodeKind::Symlink { target },
                Err(error) => return self.give_up(&error),
            },
            EntryKind::Fifo => NodeKind::Fifo,
            EntryKind::CharDevice => NodeKind::CharDevice { device: stat.rdev },
            _ => NodeKind::BlockDevice { device: stat.rdev },
        };
        if self.links.known(stat, &self.path).is_none() {
            self.links.learn(stat, &self.path, &kind);
        }
        let xattrs = self.xattrs(folder.xattrs_of(name), stat)?;
        self.count(stat.kind, 0);
        Ok(Some(self.node(name.clone(), kind, stat, xattrs)))
    }

    fn file(
        &mut self,
        folder: &Arc<Folder>,
        name: &Name,
        stat: Stat,
        was_there: bool,
        memory: &mut FolderMemory<'_>,
    ) -> Result<Option<Read>> {
        let in_parent = memory.parent_node(name);
        let was_there = was_there || in_parent.is_some();
        let mut fate = if was_there { Fate::Changed } else { Fate::New };
        let read = if let Some(kind) = self.links.known(&stat, &self.path) {
            Some(ReadFile { kind, stat, xattrs: folder.xattrs_of(name), is_steady: true })
        } else if let Some(kind) = self.content_of_parent(in_parent, &stat)? {
            self.links.learn(&stat, &self.path, &kind);
            self.counts.unmodified += 1;
            fate = Fate::Unchanged;
            Some(ReadFile { kind, stat, xattrs: folder.xattrs_of(name), is_steady: true })
        } else {
            let counter = if was_there { &mut self.counts.changed } else { &mut self.counts.new };
            *counter += 1;
            self.read_file(folder, name, &stat)?
        };
        let Some(ReadFile { kind, stat, xattrs, mut is_steady }) = read else { return Ok(None) };
        let xattrs = self.xattrs(xattrs, &stat)?;
        if let NodeKind::File { size, .. } = kind {
            // What does not say how long it is, as in /proc, does not say either when it changes.
            is_steady &= size == stat.size;
            self.count(EntryKind::File, size);
        }
        let node = self.node(name.clone(), kind, &stat, xattrs);
        Ok(Some(Read { node, stat, is_steady, fate }))
    }

    /// What the parent snapshot holds of a file, if that has not changed since: its size and time are the same, and nothing
    /// else about it was changed since the parent was begun.
    fn content_of_parent(&mut self, node: Option<Node>, stat: &Stat) -> Result<Option<NodeKind>> {
        let (Some(node), Some(begun)) = (node, self.memory.parent_time()) else { return Ok(None) };
        let is_same = match node.kind {
            NodeKind::File { size, changed, .. } => size == stat.size && !changed && node.mtime == Some(stat.mtime),
            _ => false,
        };
        if is_same && is_settled(stat, begun) && self.is_whole(&node)? { Ok(Some(node.kind)) } else { Ok(None) }
    }

    /// Reads a file, and again when it changed meanwhile. Answers nothing when it cannot be read.
    fn read_file(&mut self, folder: &Arc<Folder>, name: &Name, looked: &Stat) -> Result<Option<ReadFile>> {
        let mut reads = 0;
        loop {
            reads += 1;
            let (file, stat) = match folder.open_file(name, looked) {
                Ok(opened) => opened,
                Err(error) => return self.give_up(&error),
            };
            let Some((kind, is_steady)) = self.read_once(&file, &stat)? else { return Ok(None) };
            if !is_steady && reads < READS_MAX {
                continue;
            }
            if is_steady {
                self.links.learn(&stat, &self.path, &kind);
            } else {
                self.problem("it changed each time it was read: saved as it was read last".to_owned());
            }
            return Ok(Some(ReadFile { kind, stat, xattrs: crate::source::xattrs_of(file.as_fd()), is_steady }));
        }
    }

    /// The content, and whether the file stayed the same.
    fn read_once(&mut self, file: &File, stat: &Stat) -> Result<Option<(NodeKind, bool)>> {
        let read = match self.contents.read(file, stat, &mut self.sink) {
            Ok(read) => read,
            Err(ReadError::File(error)) => return self.give_up(&error),
            Err(ReadError::Fatal(error)) => return Err(error),
        };
        self.counts.read_bytes += read.size;
        match is_same_version(stat, file) {
            Ok(is_steady) => {
                let kind = NodeKind::File { size: read.size, content: read.content, changed: !is_steady };
                Ok(Some((kind, is_steady)))
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// The node of what comes once. Where it has been read already, because a prune has overtaken this run since, that must still
    /// be there.
    pub(super) fn stream(&mut self, stream: &Stream) -> Result<Node> {
        let mut state = stream.lock();
        let failed = |action, source| Error::Io { action, path: stream.name().into(), source };
        let node = match state.stored.take() {
            Some(node) if self.is_whole(&node)? => node,
            Some(_) => {
                let why = io::Error::other("a prune has overtaken this run, and what was read is gone");
                return Err(failed("read again", why));
            }
            None => {
                let read = match self.contents.read_stream(&mut *state.reader, &mut self.sink) {
                    Ok(read) => read,
                    Err(ReadError::Fatal(error)) => return Err(error),
                    Err(ReadError::File(error)) => {
                        // Whoever interrupts a run often interrupts what feeds it as well.
                        self.sink.cx.cancel.check()?;
                        return Err(failed("read", error));
                    }
                };
                self.counts.new += 1;
                self.counts.read_bytes += read.size;
                self.stream_node(read)
            }
        };
        let NodeKind::File { size, .. } = node.kind else { return Ok(node) };
        self.count(EntryKind::File, size);
        self.sink.cx.progress.item(self.path.as_bytes(), Fate::New, size);
        state.stored = Some(node.clone());
        Ok(node)
    }

    /// Nobody but the user who saved it shall read it after a restore. Whoever stores the node gives it its name.
    fn stream_node(&mut self, read: ReadContent) -> Node {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let kind = NodeKind::File { size: read.size, content: read.content, changed: false };
        let name = Name::new(*b"stream").expect("this is a name");
        let mtime = Some(self.sink.cx.clock.now().into());
        let owner = self.owner(uid, gid);
        Node { name, kind, mode: 0o600, owner, mtime, xattrs: Vec::new(), extras: Extras::default() }
    }

    /// Whether all chunks that a node names are there, and its content is as long as it says. The snapshot relies on them
    /// then. A folder's tree is not looked at.
    pub(super) fn is_whole(&mut self, node: &Node) -> Result<bool> {
        for xattr in &node.xattrs {
            if let XattrValue::Pieces(pieces) = &xattr.value
                && !self.are_there(pieces.iter().copied())?
            {
                return Ok(false);
            }
        }
        let NodeKind::File { size, content, .. } = &node.kind else { return Ok(true) };
        match content {
            Content::Inline(bytes) => Ok(bytes.len() as u64 == *size),
            Content::Pieces(pieces) => {
                let bytes = pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.len()));
                Ok(bytes == Some(*size) && self.are_there(pieces.iter().copied())?)
            }
            Content::List(_) => self.is_list_whole(content, *size),
        }
    }

    fn are_there(&mut self, pieces: impl Iterator<Item = Piece>) -> Result<bool> {
        for piece in pieces {
            if let Piece::Chunk { id, len } = piece
                && !self.sink.session.relies_on(&id, Some(len))?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`Self::is_whole`], of a list: its chunks must be read for that. Who may not read the repository reads the file.
    fn is_list_whole(&mut self, content: &Content, size: u64) -> Result<bool> {
        let repository = self.sink.session.repository();
        if repository.require(Rights::READ).is_err() {
            return Ok(false);
        }
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(repository, self.sink.cx)?,
        };
        let listed = Listed::new(&reader);
        let mut is_whole = true;
        for piece in Pieces::of(&listed, content, size) {
            is_whole = match piece {
                Ok(Piece::Chunk { id, len }) => self.sink.session.relies_on(&id, Some(len))?,
                Ok(Piece::Hole { .. }) => true,
                Err(error) if is_damage(&error) => false,
                Err(error) => return Err(error),
            };
            if !is_whole {
                break;
            }
        }
        for id in listed.into_read() {
            is_whole = is_whole && self.sink.session.relies_on(&id, None)?;
        }
        self.reader = Some(reader);
        Ok(is_whole)
    }

    pub(super) fn node(&mut self, name: Name, kind: NodeKind, stat: &Stat, xattrs: Vec<NodeXattr>) -> Node {
        let owner = self.owner(stat.uid, stat.gid);
        let (mtime, extras) = (Some(stat.mtime), Extras::default());
        let mut node = Node { name, kind, mode: stat.mode, owner, mtime, xattrs, extras };
        node.set_atime(self.atime(stat));
        node
    }

    /// Names that are longer than a node can keep are left to their numbers.
    pub(super) fn owner(&mut self, uid: u32, gid: u32) -> Owner {
        let mut owner = self.owners.owner(uid, gid);
        owner.user.take_if(|name| name.len() > OWNER_NAME_MAX);
        owner.group.take_if(|name| name.len() > OWNER_NAME_MAX);
        owner
    }

    /// Extended attributes as a node keeps them. Those that cannot be read are a problem of their own.
    pub(super) fn xattrs(&mut self, read: io::Result<Vec<Xattr>>, stat: &Stat) -> Result<Vec<NodeXattr>> {
        let xattrs = match read {
            Ok(xattrs) => xattrs,
            Err(error) => {
                self.problem(format!("cannot read its extended attributes: {error}"));
                return Ok(Vec::new());
            }
        };
        let (found, mut bytes, mut inline) = (xattrs.len(), 0, 0);
        let mut kept = Vec::with_capacity(found);
        for Xattr { name, value } in xattrs.into_iter().take(XATTRS_MAX) {
            bytes += value.len() as u64;
            if bytes > XATTR_VALUES_BYTES_MAX {
                break;
            }
            inline += value.len();
            let value = if inline <= INLINE_XATTR_BYTES_MAX {
                XattrValue::Inline(value)
            } else {
                inline -= value.len();
                XattrValue::Pieces(self.contents.store_bytes(&value, Origin::User(stat.uid), &mut self.sink)?)
            };
            kept.push(NodeXattr { name, value });
        }
        if kept.len() < found {
            self.problem(format!("only {} of its {found} extended attributes are saved", kept.len()));
        }
        Ok(kept)
    }

    /// The file system that a folder is on.
    pub(super) fn file_system(&mut self, folder: &Arc<Folder>, stat: &Stat) -> FileSystem {
        if let Some(known) = self.file_systems.get(&stat.dev) {
            return *known;
        }
        let found = folder.handle().and_then(|handle| FileSystem::of_handle(handle.as_fd())).unwrap_or_default();
        self.file_systems.insert(stat.dev, found);
        found
    }

    pub(super) fn problem(&mut self, what: String) {
        self.problems += 1;
        self.sink.cx.progress.problem(&Problem { item: self.path.absolute(), what });
    }

    pub(super) fn give_up<T>(&mut self, error: &io::Error) -> Result<Option<T>> {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file or folder, or no longer".to_owned(),
            _ => format!("cannot read it: {error}"),
        };
        self.problem(what);
        Ok(None)
    }
}

/// Whether an entry had not changed for a while when it was looked at.
pub(super) fn is_settled(stat: &Stat, seen: Timestamp) -> bool {
    stat.ctime.secs.checked_add(SETTLED_SECS).is_some_and(|secs| Timestamp { secs, ..stat.ctime } <= seen)
}

/// Remembers which chunks were read through it.
struct Listed<'a, 'r> {
    reader: &'a Reader<'r>,
    read: RefCell<Vec<ChunkId>>,
}

impl<'a, 'r> Listed<'a, 'r> {
    fn new(reader: &'a Reader<'r>) -> Self {
        Self { reader, read: RefCell::default() }
    }

    fn into_read(self) -> Vec<ChunkId> {
        self.read.into_inner()
    }
}

impl ChunkSource for Listed<'_, '_> {
    fn chunk(&self, kind: ChunkKind, id: &ChunkId) -> Result<Vec<u8>> {
        self.read.borrow_mut().push(*id);
        self.reader.chunk(kind, id)
    }
}
