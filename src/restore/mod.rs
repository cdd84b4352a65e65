//! Restore: snapshot -> tree -> fetch -> write, then metadata.
//!
//! Every name is made and reached by folder handle beneath the target, so that no symlink leads out, whoever planted it.
//! Files are planned in windows: what a window needs is fetched block by block, each block once, and written at offsets;
//! holes stay holes. Metadata comes last, of a folder after all below it.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, with_causes};
use crate::format::metadata::Xattr;
use crate::format::name::{Name, TreePath};
use crate::format::tree::{Content, Node, NodeKind, Piece, XattrValue};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;
use crate::progress::{Context, Problem};
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::snapshots::Snapshot;
use crate::source::EntryKind;
use crate::target::{self, Attributes, TargetDir, apply_to_file, apply_to_name};
use crate::tree::read::{Found, Nodes, Pieces, find_path};

mod links;
mod window;

use links::Links;
use window::{FileTask, Lost, Window};

/// What may be chosen for a restore.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether items are given to their owners, which only root can do.
    pub owners: bool,
}

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Regular files, each name counted.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symlinks, pipes, devices.
    pub others: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
    /// Items that did not come back, or not with all their metadata.
    pub problems: u64,
}

/// Brings back what stands at `path` in a snapshot: the contents of a folder into the folder `to`; a file to `to`, or into it
/// if it is a folder.
///
/// A damaged item is reported through `cx.progress` and left out; the others come back.
///
/// # Errors
/// [`Error::TargetNotEmpty`]; [`Error::NoSuchPath`]; a disk that is full; a store that does not answer.
pub fn restore(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    to: &Path,
    options: &Options,
    cx: &Context<'_>,
) -> Result<Report> {
    let found = find_path(reader, snapshot.body.root, path)?.ok_or_else(|| Error::NoSuchPath {
        snapshot: snapshot.id.short(),
        path: String::from_utf8_lossy(&path.absolute()).into_owned(),
    })?;
    // Ignored: with fewer open files than hoped for, a window that needs more says so file by file.
    let _ = crate::dirs::raise_open_files_limit();
    let (tree, node) = match &found {
        Found::Root(tree) => (*tree, None),
        Found::Node(node) => match node.kind {
            NodeKind::Folder { tree } => (tree, Some(node)),
            _ => return restore_item(reader, node, path, to, options, cx),
        },
    };
    let target = open_folder(to)?;
    let links = Links::below(reader, snapshot, path, cx)?;
    let problems = u64::from(links.is_lost);
    let report = Restorer::new(reader, target, path, links, options, cx).folder(tree, node.map(|node| &**node))?;
    Ok(Report { problems: report.problems + problems, ..report })
}

/// Opens the target, made if it is not there, and empty.
fn open_folder(path: &Path) -> Result<TargetDir> {
    let io_error = |action| move |source| Error::Io { action, path: path.to_path_buf(), source };
    match fs::read_dir(path) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Error::TargetNotEmpty { path: path.to_path_buf() });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(io_error("create"))?;
        }
        Err(error) => return Err(io_error("restore into")(error)),
    }
    TargetDir::open(path).map_err(io_error("restore into"))
}

/// Brings back one item that is no folder.
fn restore_item(
    reader: &Reader<'_>,
    node: &Node,
    path: &TreePath,
    to: &Path,
    options: &Options,
    cx: &Context<'_>,
) -> Result<Report> {
    let (folder, file): (PathBuf, PathBuf) = if to.is_dir() {
        (to.to_path_buf(), to.join(node.name.as_os_str()))
    } else {
        let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (above.to_path_buf(), to.to_path_buf())
    };
    if fs::symlink_metadata(&file).is_ok() {
        return Err(Error::TargetExists { path: file });
    }
    let mut node = node.clone();
    let io_error = |source| Error::Io { action: "restore into", path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(io_error)?;
    let target = TargetDir::open(&folder).map_err(io_error)?;
    if let Some(name) = file.file_name() {
        use std::os::unix::ffi::OsStrExt;
        node.name = Name::new(name.as_bytes())
            .map_err(|_| Error::Usage(format!("{} is no place for a file", file.display())))?;
    }
    let mut above = path.clone();
    above.pop();
    Restorer::new(reader, target, &above, Links::default(), options, cx).item(node)
}

/// A restore that is going on.
struct Restorer<'a, 'r> {
    reader: &'a Reader<'r>,
    target: TargetDir,
    window: Window<'a, 'r>,
    links: Links,
    path: TreePath,
    /// Names from the target downward.
    below: Vec<Name>,
    options: target::Options,
    cx: &'a Context<'a>,
    report: Report,
}

/// A folder on the way down.
struct Frame<'a> {
    node: Node,
    nodes: Nodes<'a>,
}

impl<'a, 'r> Restorer<'a, 'r> {
    fn new(
        reader: &'a Reader<'r>,
        target: TargetDir,
        path: &TreePath,
        links: Links,
        options: &Options,
        cx: &'a Context<'a>,
    ) -> Self {
        let options = target::Options { owners: options.owners };
        Self {
            reader,
            target,
            window: Window::new(reader, cx, options),
            links,
            path: path.clone(),
            below: Vec::new(),
            options,
            cx,
            report: Report::default(),
        }
    }

    /// Brings back a folder's contents into the target; `node` is the folder's own, if it has one.
    fn folder(mut self, tree: ChunkId, node: Option<&Node>) -> Result<Report> {
        let done = self.walk(tree, node).and_then(|()| self.flush());
        self.end(done)
    }

    /// Brings back one item into the target.
    fn item(mut self, node: Node) -> Result<Report> {
        let done = self.visit(node).and_then(|_| self.flush());
        self.end(done)
    }

    /// A restore that was stopped removes what is not whole: no name may stand for bytes that are not its own.
    fn end(mut self, done: Result<()>) -> Result<Report> {
        let Err(error) = done else { return Ok(self.report) };
        let unfinished = self.window.abandon();
        let count = unfinished.len();
        for lost in unfinished {
            for name in self.names_of(&lost) {
                if let Err(error) = self.target.remove(&name) {
                    let what = format!("it is incomplete and cannot be removed: {error}");
                    self.cx.progress.problem(&Problem { item: lost.path.absolute(), what });
                }
            }
        }
        self.cx.progress.note(&format!(
            "the restore is not complete: {} files came back, {count} that were not whole were removed",
            self.report.files.saturating_sub(count as u64)
        ));
        Err(error)
    }

    fn walk(&mut self, tree: ChunkId, node: Option<&Node>) -> Result<()> {
        let mut stack: Vec<Frame<'a>> = Vec::new();
        let mut top = Nodes::of(self.reader, tree);
        loop {
            self.cx.cancel.check()?;
            let nodes = stack.last_mut().map_or(&mut top, |frame| &mut frame.nodes);
            match nodes.next() {
                Some(Ok(node)) => {
                    if let Some(frame) = self.visit(node)? {
                        stack.push(frame);
                    }
                }
                Some(Err(error)) if is_damage(&error) => {
                    self.problem(
                        &self.path.absolute(),
                        format!("part of this folder is lost: {}", with_causes(&error)),
                    );
                }
                Some(Err(error)) => return Err(error),
                None => match stack.pop() {
                    Some(frame) => self.leave(frame)?,
                    None => break,
                },
            }
        }
        if let Some(node) = node {
            let attributes = self.attributes(node)?;
            let handle = self.target.current_handle().map_err(|source| self.fatal("restore into", source))?;
            self.window.finish_folder(handle, attributes, self.path.absolute());
        }
        Ok(())
    }

    /// Makes one item; a folder is entered and its frame answered.
    fn visit(&mut self, node: Node) -> Result<Option<Frame<'a>>> {
        self.path.push(&node.name);
        self.below.push(node.name.clone());
        self.cx.progress.current(self.path.as_bytes());
        if let NodeKind::Folder { tree } = node.kind {
            let made = self.target.make_folder(&node.name).and_then(|()| self.target.descend(&node.name));
            match made {
                Ok(()) => return Ok(Some(Frame { nodes: Nodes::of(self.reader, tree), node })),
                Err(error) => self.lost(&error)?,
            }
        } else if !self.link(&node)? {
            self.make(&node)?;
        }
        self.step_out();
        Ok(None)
    }

    fn leave(&mut self, frame: Frame<'_>) -> Result<()> {
        let attributes = self.attributes(&frame.node)?;
        let handle = self.target.current_handle().map_err(|source| self.fatal("restore into", source))?;
        self.target.ascend().map_err(|source| self.fatal("walk out of", source))?;
        self.window.finish_folder(handle, attributes, self.path.absolute());
        self.step_out();
        self.report.folders += 1;
        self.cx.progress.done(1, 0);
        self.flush_if_full()
    }

    fn step_out(&mut self) {
        self.path.pop();
        self.below.pop();
    }

    /// Gives an item that is there already its further name. Answers whether that was all there was to do.
    fn link(&mut self, node: &Node) -> Result<bool> {
        let Some(at) = self.links.group_of(&self.path) else { return Ok(false) };
        let group = self.links.group(at);
        if group.failed {
            self.problem(&self.path.absolute(), "it is lost with the file that it is a name of".to_owned());
            return Ok(true);
        }
        let Some(first) = group.made.first() else {
            group.made.push(self.below.clone());
            return Ok(false);
        };
        match self.target.link_from(first, &node.name) {
            Ok(()) => {
                group.made.push(self.below.clone());
                self.count(node);
                Ok(true)
            }
            Err(error) => {
                // A file system without hard links gets files of their own; anything else is worth a word.
                use io::ErrorKind::{CrossesDevices, PermissionDenied, Unsupported};
                if !matches!(error.kind(), PermissionDenied | Unsupported | CrossesDevices) {
                    self.problem(&self.path.absolute(), format!("it comes back as a file of its own: {error}"));
                }
                Ok(false)
            }
        }
    }

    fn make(&mut self, node: &Node) -> Result<()> {
        let attributes = self.attributes(node)?;
        let kind = match &node.kind {
            NodeKind::File { size, content, .. } => return self.make_file(node, *size, content, attributes),
            NodeKind::Symlink { target } => self.target.make_symlink(&node.name, target).map(|()| EntryKind::Symlink),
            NodeKind::Fifo => self.target.make_fifo(&node.name).map(|()| EntryKind::Fifo),
            NodeKind::CharDevice { device } => {
                self.target.make_device(&node.name, EntryKind::CharDevice, *device).map(|()| EntryKind::CharDevice)
            }
            NodeKind::BlockDevice { device } => {
                self.target.make_device(&node.name, EntryKind::BlockDevice, *device).map(|()| EntryKind::BlockDevice)
            }
            NodeKind::Folder { .. } => return Ok(()),
        };
        match kind {
            Ok(kind) => {
                for problem in apply_to_name(self.target.handle(), &node.name, kind, &attributes, &self.options) {
                    self.problem(&self.path.absolute(), with_causes(&problem));
                }
                self.count(node);
                Ok(())
            }
            Err(error) => self.lost(&error),
        }
    }

    fn make_file(&mut self, node: &Node, size: u64, content: &Content, attributes: Attributes) -> Result<()> {
        let file = match self.target.create_file(&node.name) {
            Ok(file) => file,
            Err(error) => return self.lost(&error),
        };
        // Where a link could not be made, this is a file of its own, and what becomes of it is nothing to the others.
        let group = self.links.group_of(&self.path);
        let group = group.filter(|&at| self.links.group(at).made.first() == Some(&self.below));
        let task = FileTask::new(file, size, attributes, self.path.clone(), self.below.clone(), group);
        if let Content::Inline(bytes) = content {
            task.write(bytes, 0)?;
        }
        let task = self.window.begin_file(task);
        let mut offset = 0;
        for piece in Pieces::of(self.reader, content, size) {
            let planned = piece.and_then(|piece| {
                if let Piece::Chunk { id, len } = piece {
                    self.window.plan(&task, id, len, offset)?;
                }
                offset += piece.len();
                Ok(())
            });
            match planned {
                Ok(()) => {}
                Err(error) if is_damage(&error) => {
                    task.fail(&error);
                    break;
                }
                Err(error) => return Err(error),
            }
            self.flush_if_full()?;
        }
        task.planned();
        drop(task);
        self.count(node);
        self.flush_if_full()
    }

    fn count(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::File { size, .. } => {
                self.report.files += 1;
                self.report.bytes += size;
            }
            NodeKind::Folder { .. } => self.report.folders += 1,
            _ => self.report.others += 1,
        }
        self.cx.progress.done(1, 0);
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.window.is_full() { self.flush() } else { Ok(()) }
    }

    /// Writes what is planned, sets metadata, and removes files that could not be brought back whole.
    fn flush(&mut self) -> Result<()> {
        self.cx.cancel.check()?;
        let outcome = self.window.flush()?;
        self.report.problems += outcome.problems;
        for lost in outcome.lost {
            let names = self.names_of(&lost);
            self.report.problems += names.len() as u64;
            self.report.files -= names.len() as u64;
            self.report.bytes -= lost.size * names.len() as u64;
            for name in &names {
                // No wrong byte stays behind under a right name.
                self.target.remove(name).map_err(|source| self.fatal("remove the incomplete file in", source))?;
            }
            self.cx.progress.problem(&Problem { item: lost.path.absolute(), what: lost.what });
        }
        for group in outcome.whole_groups {
            self.links.group(group).made.truncate(1);
        }
        self.window.finish_folders(&mut self.report.problems);
        Ok(())
    }

    /// All names that stand for a file that is lost; none is made from now on.
    fn names_of(&mut self, lost: &Lost) -> Vec<Vec<Name>> {
        let Some(at) = lost.group else { return vec![lost.below.clone()] };
        let group = self.links.group(at);
        group.failed = true;
        let mut names = std::mem::take(&mut group.made);
        if !names.contains(&lost.below) {
            names.push(lost.below.clone());
        }
        names
    }

    fn attributes(&mut self, node: &Node) -> Result<Attributes> {
        let mut xattrs = Vec::with_capacity(node.xattrs.len());
        for xattr in &node.xattrs {
            let value = match &xattr.value {
                XattrValue::Inline(bytes) => Ok(bytes.clone()),
                XattrValue::Pieces(pieces) => self.read_pieces(pieces),
            };
            match value {
                Ok(value) => xattrs.push(Xattr { name: xattr.name.clone(), value }),
                Err(error) if is_damage(&error) => {
                    let name = xattr.name.escape_ascii();
                    self.problem(
                        &self.path.absolute(),
                        format!("the extended attribute {name} is lost: {}", with_causes(&error)),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Attributes { mode: node.mode, owner: node.owner.clone(), mtime: node.mtime, xattrs })
    }

    fn read_pieces(&self, pieces: &[Piece]) -> Result<Vec<u8>> {
        let mut value = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Chunk { id, .. } => value.extend(self.reader.chunk(ChunkKind::Data, id)?),
                Piece::Hole { .. } => {
                    let id = ChunkId([0; 32]);
                    return Err(Error::MalformedChunk { id, reason: "an extended attribute has a hole".to_owned() });
                }
            }
        }
        Ok(value)
    }

    /// An item could not be made. A full disk stops the restore: all that follows would fail in the same way.
    fn lost(&mut self, error: &io::Error) -> Result<()> {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Err(self.fatal("create", io::Error::from(error.kind())));
        }
        self.problem(&self.path.absolute(), format!("cannot create it: {error}"));
        Ok(())
    }

    fn problem(&mut self, path: &[u8], what: String) {
        self.report.problems += 1;
        self.cx.progress.problem(&Problem { item: path.to_vec(), what });
    }

    fn fatal(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { action, path: self.path.to_path_buf(), source }
    }
}

/// Puts metadata on something that is open, and reports what could not be set.
fn apply(handle: impl AsFd, attributes: &Attributes, options: &target::Options, path: &[u8], cx: &Context<'_>) -> u64 {
    let problems = apply_to_file(handle.as_fd(), attributes, options);
    for problem in &problems {
        cx.progress.problem(&Problem { item: path.to_vec(), what: with_causes(problem) });
    }
    problems.len() as u64
}
