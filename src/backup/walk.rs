//! The walk: entries in the order of their names, folder by folder, on a stack of our own, so that no depth is too deep.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::vec;

use super::Options;
use super::content::{ContentReader, ReadError, is_same_version};
use super::links::HardLinks;
use super::sink::Sink;
use super::sources::{Plan, Sources};
use crate::chunker::Chunker;
use crate::error::{Error, Result};
use crate::format::link::{BIRTH_PATH_BYTES_MAX, BIRTHS_MAX, Births};
use crate::format::metadata::{Owner, Xattr};
use crate::format::name::{Name, TreePath};
use crate::format::record::Extras;
use crate::format::snapshot::{Summary, TableRef};
use crate::format::tree::{INLINE_XATTR_BYTES_MAX, Node, NodeKind, NodeXattr, OWNER_NAME_MAX, XATTRS_MAX, XattrValue};
use crate::id::ChunkId;
use crate::progress::{Context, Problem};
use crate::repo::session::{Origin, Session};
use crate::source::{EntryKind, OwnerNames, SourceDir, Stat};
use crate::tree::build::{BirthsBuilder, FolderBuilder, build_links};

/// A file that changes while it is read is read so often in all, then stored as it is and marked.
const READS_MAX: u32 = 3;

/// What a walk has stored.
pub(super) struct Walked {
    pub root: ChunkId,
    pub links: Option<TableRef>,
    pub births: Option<TableRef>,
    pub summary: Summary,
    pub sockets: u64,
    pub own_folders: u64,
    pub problems: u64,
}

/// A walk through the sources.
pub(super) struct Walk<'s, 'r, 'c> {
    sink: Sink<'s, 'r, 'c>,
    contents: ContentReader,
    owners: OwnerNames,
    links: HardLinks,
    births: BirthsBuilder,
    own: HashSet<(u64, u64)>,
    path: TreePath,
    summary: Summary,
    sockets: u64,
    own_folders: u64,
    problems: u64,
}

/// A folder on the way down.
struct Frame {
    name: Name,
    stat: Stat,
    names: vec::IntoIter<Name>,
    nodes: FolderBuilder,
    births: FolderBirths,
}

/// What became of an entry.
enum Visited {
    /// Its node is complete.
    Node(Box<Node>, Option<i64>),
    /// It is a folder, which lies on the stack now.
    Entered(Box<Frame>),
    /// It is not part of the backup, or could not be read; a problem has been reported then.
    Nothing,
}

impl<'s, 'r, 'c> Walk<'s, 'r, 'c> {
    pub(super) fn new(session: &'s mut Session<'r>, options: &Options, cx: &'s Context<'c>) -> Result<Self> {
        let repository = session.repository();
        let chunker = Chunker::new(&repository.keyring.domain.chunker_key(), repository.config.chunks.clone());
        let own = options.own_folders.iter().filter_map(|path| std::fs::metadata(path).ok());
        Ok(Self {
            own: own.map(|folder| (folder.dev(), folder.ino())).collect(),
            sink: Sink { session, cx },
            contents: ContentReader::new(chunker),
            owners: OwnerNames::default(),
            links: HardLinks::default(),
            births: BirthsBuilder::default(),
            path: TreePath::root(),
            summary: Summary::default(),
            sockets: 0,
            own_folders: 0,
            problems: 0,
        })
    }

    /// Stores all sources under one root.
    pub(super) fn store(mut self, sources: &Sources) -> Result<Walked> {
        let root = match self.store_plan(sources.plan(), None)? {
            Some(Node { kind: NodeKind::Folder { tree }, .. }) => tree,
            _ => return Err(Error::NothingSaved),
        };
        let births = self.births.finish(&mut self.sink)?;
        let links = build_links(&self.links.records(), &mut self.sink)?;
        let Self { summary, sockets, own_folders, problems, .. } = self;
        Ok(Walked { root, links, births, summary, sockets, own_folders, problems })
    }

    /// Stores what a plan leads to. A folder above the sources has the nodes that lead to them and, of its own, mode and
    /// owner only: it changes for reasons that have nothing to do with the sources.
    fn store_plan(&mut self, plan: &Plan, name: Option<&Name>) -> Result<Option<Node>> {
        if plan.is_source {
            return self.store_source(name);
        }
        let mut nodes = FolderBuilder::default();
        let mut is_empty = true;
        for (name, child) in &plan.children {
            self.path.push(name);
            let node = self.store_plan(child, Some(name));
            self.path.pop();
            if let Some(node) = node? {
                nodes.push(&node, &mut self.sink)?;
                is_empty = false;
            }
        }
        if is_empty {
            return Ok(None);
        }
        let tree = nodes.finish(&mut self.sink)?;
        let path = self.os_path();
        let (mode, owner) = match std::fs::metadata(&path) {
            Ok(found) => (found.mode() & 0o7777, self.owner(found.uid(), found.gid())),
            Err(error) => {
                self.problem(format!("cannot read its metadata: {error}"));
                (0o755, self.owner(0, 0))
            }
        };
        let kind = NodeKind::Folder { tree };
        let name = name.cloned().unwrap_or_else(root_name);
        Ok(Some(Node { name, kind, mode, owner, mtime: None, xattrs: Vec::new(), extras: Extras::default() }))
    }

    /// Stores a source: the entry `name` of the folder above, or the root of the file system.
    fn store_source(&mut self, name: Option<&Name>) -> Result<Option<Node>> {
        let Some(name) = name else {
            return match SourceDir::open(&self.os_path()) {
                Ok(mut dir) => self.store_root(&mut dir),
                Err(error) => self.give_up(&error),
            };
        };
        let path = self.os_path();
        let above = path.parent().map(PathBuf::from).unwrap_or_else(|| PathBuf::from("/"));
        if above.ancestors().any(|folder| self.is_own(folder)) {
            self.own_folders += 1;
            self.problem("it lies in the repository or in a folder of caddis, which are never saved".to_owned());
            return Ok(None);
        }
        let mut dir = match SourceDir::pass_through(&above) {
            Ok(dir) => dir,
            Err(error) => return self.give_up(&error),
        };
        let problems = self.problems;
        match self.visit(&mut dir, name)? {
            Visited::Node(node, _) => {
                if matches!(node.kind, NodeKind::Symlink { .. }) && path.is_dir() {
                    let path = path.display();
                    let note =
                        format!("{path} is a symlink and saved as such; write {path}/ for the folder it leads to");
                    self.sink.cx.progress.note(&note);
                }
                Ok(Some(*node))
            }
            Visited::Entered(frame) => self.store_folders(&mut dir, *frame),
            Visited::Nothing => {
                if self.problems == problems {
                    self.problem("it is a socket or a folder of caddis, which are never saved".to_owned());
                }
                Ok(None)
            }
        }
    }

    fn is_own(&self, folder: &Path) -> bool {
        std::fs::metadata(folder).is_ok_and(|folder| self.own.contains(&(folder.dev(), folder.ino())))
    }

    fn store_root(&mut self, dir: &mut SourceDir) -> Result<Option<Node>> {
        let opened = dir.stat_self().and_then(|stat| Ok((stat, dir.names()?)));
        match opened {
            Ok((stat, names)) => {
                let frame = Frame::new(root_name(), stat, names);
                self.store_folders(dir, frame)
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// Stores a folder with all below it. `dir` stands in it, and where it was found afterwards.
    fn store_folders(&mut self, dir: &mut SourceDir, top: Frame) -> Result<Option<Node>> {
        let depth = self.path.clone();
        let mut stack = vec![top];
        while let Some(frame) = stack.last_mut() {
            self.sink.cx.cancel.check()?;
            let Some(name) = frame.names.next() else {
                let Some(frame) = stack.pop() else { break };
                let finished = self.finish_folder(dir, frame, !stack.is_empty() || dir.depth() > 0)?;
                let Some(above) = stack.last_mut() else {
                    self.path = depth;
                    return Ok(finished.map(|(node, _)| node));
                };
                self.path.pop();
                if let Some((node, birth)) = finished {
                    above.push(&node, birth, &mut self.sink, &self.path, &mut self.births)?;
                }
                continue;
            };
            self.path.push(&name);
            match self.visit(dir, &name)? {
                Visited::Entered(frame) => stack.push(*frame),
                Visited::Node(node, birth) => {
                    self.path.pop();
                    frame.push(&node, birth, &mut self.sink, &self.path, &mut self.births)?;
                }
                Visited::Nothing => self.path.pop(),
            }
        }
        Ok(None)
    }

    fn finish_folder(
        &mut self,
        dir: &mut SourceDir,
        frame: Frame,
        ascends: bool,
    ) -> Result<Option<(Node, Option<i64>)>> {
        let Frame { name, stat, nodes, births, .. } = frame;
        let xattrs = self.xattrs(dir.xattrs_self(), &stat)?;
        births.finish(&self.path, &mut self.births, &mut self.sink)?;
        let tree = nodes.finish(&mut self.sink)?;
        if ascends {
            dir.ascend().map_err(|source| Error::Io { action: "walk out of", path: self.os_path(), source })?;
        }
        self.summary.folders += 1;
        self.sink.cx.progress.done(1, 0);
        let birth = birth(&stat);
        Ok(Some((self.node(name, NodeKind::Folder { tree }, &stat, xattrs), birth)))
    }

    /// Looks at one entry of the folder that `dir` stands in; `self.path` names it.
    fn visit(&mut self, dir: &mut SourceDir, name: &Name) -> Result<Visited> {
        self.sink.cx.progress.current(self.path.as_bytes());
        let stat = match dir.stat(name) {
            Ok(stat) => stat,
            Err(error) => return self.skip(&error),
        };
        let node = match stat.kind {
            EntryKind::Folder => return self.enter(dir, name, &stat),
            EntryKind::Socket => {
                self.sockets += 1;
                return Ok(Visited::Nothing);
            }
            EntryKind::File => self.file(dir, name, stat)?,
            EntryKind::Symlink => match dir.read_link(name) {
                Ok(target) => self.other(dir, name, &stat, NodeKind::Symlink { target })?,
                Err(error) => return self.skip(&error),
            },
            EntryKind::Fifo => self.other(dir, name, &stat, NodeKind::Fifo)?,
            EntryKind::CharDevice => self.other(dir, name, &stat, NodeKind::CharDevice { device: stat.rdev })?,
            EntryKind::BlockDevice => self.other(dir, name, &stat, NodeKind::BlockDevice { device: stat.rdev })?,
        };
        Ok(match node {
            Some(node) => Visited::Node(Box::new(node), birth(&stat)),
            None => Visited::Nothing,
        })
    }

    fn enter(&mut self, dir: &mut SourceDir, name: &Name, stat: &Stat) -> Result<Visited> {
        if self.own.contains(&(stat.dev, stat.ino)) {
            self.own_folders += 1;
            return Ok(Visited::Nothing);
        }
        if let Err(error) = dir.descend(name) {
            return self.skip(&error);
        }
        // By handle: what was entered may not be what was looked at before.
        match dir.stat_self().and_then(|stat| Ok((stat, dir.names()?))) {
            Ok((stat, names)) => Ok(Visited::Entered(Box::new(Frame::new(name.clone(), stat, names)))),
            Err(error) => {
                dir.ascend().map_err(|source| Error::Io { action: "walk out of", path: self.os_path(), source })?;
                self.skip(&error)
            }
        }
    }

    /// A symlink, a pipe or a device.
    fn other(&mut self, dir: &mut SourceDir, name: &Name, stat: &Stat, kind: NodeKind) -> Result<Option<Node>> {
        if self.links.known(stat, &self.path).is_none() {
            self.links.learn(stat, &self.path, &kind);
        }
        let xattrs = self.xattrs(dir.xattrs(name), stat)?;
        self.summary.others += 1;
        self.sink.cx.progress.done(1, 0);
        Ok(Some(self.node(name.clone(), kind, stat, xattrs)))
    }

    fn file(&mut self, dir: &mut SourceDir, name: &Name, stat: Stat) -> Result<Option<Node>> {
        let (kind, stat, xattrs) = match self.links.known(&stat, &self.path) {
            Some(kind) => (kind, stat, dir.xattrs(name)),
            None => match self.read_file(dir, name)? {
                Some(read) => read,
                None => return Ok(None),
            },
        };
        let xattrs = self.xattrs(xattrs, &stat)?;
        self.summary.files += 1;
        if let NodeKind::File { size, .. } = kind {
            self.summary.bytes += size;
        }
        self.sink.cx.progress.done(1, 0);
        Ok(Some(self.node(name.clone(), kind, &stat, xattrs)))
    }

    /// Reads a file, and again when it changed meanwhile. Answers nothing when it cannot be read.
    #[allow(clippy::type_complexity)] // three things that belong to one reading, used in one place
    fn read_file(
        &mut self,
        dir: &mut SourceDir,
        name: &Name,
    ) -> Result<Option<(NodeKind, Stat, io::Result<Vec<Xattr>>)>> {
        let mut reads = 0;
        loop {
            reads += 1;
            let opened = dir.open_file(name).and_then(|file| Ok((Stat::of_handle(file.as_fd())?, file)));
            let (stat, file) = match opened {
                Ok(opened) => opened,
                Err(error) => return self.give_up(&error),
            };
            let read = match self.contents.read(&file, &stat, &mut self.sink) {
                Ok(read) => read,
                Err(ReadError::File(error)) => return self.give_up(&error),
                Err(ReadError::Fatal(error)) => return Err(error),
            };
            let is_steady = match is_same_version(&stat, &file) {
                Ok(same) => same,
                Err(error) => return self.give_up(&error),
            };
            if !is_steady && reads < READS_MAX {
                continue;
            }
            if !is_steady {
                self.problem("it changed each time it was read: saved as it was read last".to_owned());
            }
            let kind = NodeKind::File { size: read.size, content: read.content, changed: !is_steady };
            if is_steady {
                self.links.learn(&stat, &self.path, &kind);
            }
            return Ok(Some((kind, stat, crate::source::xattrs_of(file.as_fd()))));
        }
    }

    fn node(&mut self, name: Name, kind: NodeKind, stat: &Stat, xattrs: Vec<NodeXattr>) -> Node {
        let owner = self.owner(stat.uid, stat.gid);
        Node { name, kind, mode: stat.mode, owner, mtime: Some(stat.mtime), xattrs, extras: Extras::default() }
    }

    /// Names that are longer than a node can keep are left to their numbers.
    fn owner(&mut self, uid: u32, gid: u32) -> Owner {
        let mut owner = self.owners.owner(uid, gid);
        owner.user.take_if(|name| name.len() > OWNER_NAME_MAX);
        owner.group.take_if(|name| name.len() > OWNER_NAME_MAX);
        owner
    }

    /// Extended attributes as a node keeps them. Those that cannot be read are a problem of their own.
    fn xattrs(&mut self, read: io::Result<Vec<Xattr>>, stat: &Stat) -> Result<Vec<NodeXattr>> {
        let xattrs = match read {
            Ok(xattrs) => xattrs,
            Err(error) => {
                self.problem(format!("cannot read its extended attributes: {error}"));
                return Ok(Vec::new());
            }
        };
        if xattrs.len() > XATTRS_MAX {
            self.problem(format!("only {XATTRS_MAX} of its {} extended attributes are saved", xattrs.len()));
        }
        let mut inline = 0;
        let mut kept = Vec::with_capacity(xattrs.len());
        for Xattr { name, value } in xattrs.into_iter().take(XATTRS_MAX) {
            inline += value.len();
            let value = if inline <= INLINE_XATTR_BYTES_MAX {
                XattrValue::Inline(value)
            } else {
                inline -= value.len();
                XattrValue::Pieces(self.contents.store_bytes(&value, Origin::User(stat.uid), &mut self.sink)?)
            };
            kept.push(NodeXattr { name, value });
        }
        Ok(kept)
    }

    fn problem(&mut self, what: String) {
        self.problems += 1;
        self.sink.cx.progress.problem(&Problem { item: self.path.absolute(), what });
    }

    fn give_up<T>(&mut self, error: &io::Error) -> Result<Option<T>> {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file or folder, or no longer".to_owned(),
            _ => format!("cannot read it: {error}"),
        };
        self.problem(what);
        Ok(None)
    }

    fn skip(&mut self, error: &io::Error) -> Result<Visited> {
        self.give_up::<()>(error).map(|_| Visited::Nothing)
    }

    fn os_path(&self) -> PathBuf {
        self.path.to_path_buf()
    }
}

impl Frame {
    fn new(name: Name, stat: Stat, names: Vec<Name>) -> Self {
        let births = FolderBirths::default();
        Self { name, stat, names: names.into_iter(), nodes: FolderBuilder::default(), births }
    }

    fn push(
        &mut self,
        node: &Node,
        birth: Option<i64>,
        sink: &mut Sink<'_, '_, '_>,
        path: &TreePath,
        births: &mut BirthsBuilder,
    ) -> Result<()> {
        self.nodes.push(node, sink)?;
        self.births.push(birth, path, births, sink)
    }
}

/// Birth times of a folder's entries, put into the table when they are many or the folder ends.
#[derive(Default)]
struct FolderBirths {
    first: u64,
    times: Vec<Option<i64>>,
}

impl FolderBirths {
    fn push(
        &mut self,
        birth: Option<i64>,
        folder: &TreePath,
        table: &mut BirthsBuilder,
        sink: &mut Sink<'_, '_, '_>,
    ) -> Result<()> {
        self.times.push(birth);
        if self.times.len() < BIRTHS_MAX {
            return Ok(());
        }
        let births = Births { folder: folder.clone(), first: self.first, times: std::mem::take(&mut self.times) };
        self.first += births.times.len() as u64;
        if folder.as_bytes().len() > BIRTH_PATH_BYTES_MAX { Ok(()) } else { table.push(&births, sink) }
    }

    fn finish(self, folder: &TreePath, table: &mut BirthsBuilder, sink: &mut Sink<'_, '_, '_>) -> Result<()> {
        if self.times.iter().all(Option::is_none) || folder.as_bytes().len() > BIRTH_PATH_BYTES_MAX {
            return Ok(());
        }
        table.push(&Births { folder: folder.clone(), first: self.first, times: self.times }, sink)
    }
}

/// Nanoseconds since 1970, where the file system knows and they fit, which they do until 2262.
fn birth(stat: &Stat) -> Option<i64> {
    let birth = stat.btime?;
    birth.secs.checked_mul(1_000_000_000)?.checked_add(birth.nanos.into())
}

/// The root has no name; its node is never stored, only its tree.
fn root_name() -> Name {
    Name::new(*b"root").expect("this is a name")
}
