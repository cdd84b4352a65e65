//! Restore: snapshot -> tree -> fetch -> write, then metadata.
//!
//! Every name is made and reached by folder handle beneath the target, so that no symlink leads out, whoever planted it.
//! One thread walks the tree and plans in windows; a [`Crew`] fetches what the window before needs, block by block, each block
//! once, makes the files and writes them at offsets; holes stay holes. Whoever writes the last part of a file gives it its
//! metadata. A folder gets it from the planning thread after all below it.
//!
//! Memory, whatever is restored: up to three windows of at most 8 MiB, for each core a stretch of sealed bytes, a sealed and a
//! plain block (12 MiB as caddis writes blocks), 32 MiB of folders on the way down, the extended attributes of one item (16 MiB),
//! and the caches of the [`Reader`].

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result, with_causes};
use crate::format::name::{Name, TreePath};
use crate::format::tree::{Content, Node, NodeKind, Piece};
use crate::id::ChunkId;
use crate::progress::{Context, Problem};
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::snapshots::Snapshot;
use crate::source::EntryKind;
use crate::target::{self, Attributes, TargetDir, apply_to_file, apply_to_name};
use crate::tree::nodes::Levels;
use crate::tree::read::{Found, Pieces, find_path};

mod attributes;
mod crew;
mod file;
mod frame;
mod links;
mod window;

use crew::Crew;
use file::{End, FileTask, Parts};
use frame::Frame;
use links::Links;
use window::Window;

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
    let report = Crew::work_for(reader, target_options(&target, options), cx, |crew| {
        Restorer::new(reader, crew, target, path, links, cx).folder(tree, node.map(|node| &**node))
    })?;
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

fn target_options(target: &TargetDir, options: &Options) -> target::Options {
    target::Options { owners: options.owners, inherits_acls: target.hands_acls_on() }
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
    Crew::work_for(reader, target_options(&target, options), cx, |crew| {
        Restorer::new(reader, crew, target, &above, Links::default(), cx).item(node)
    })
}

/// A restore that is going on.
struct Restorer<'a, 'r> {
    reader: &'a Reader<'r>,
    crew: &'a Crew<'a, 'r>,
    target: TargetDir,
    window: Window,
    /// What is not finished, in the order of the walk.
    items: VecDeque<Item>,
    links: Links,
    path: TreePath,
    /// How many names of `path` lead to the target.
    above: usize,
    /// The current folder, once somebody needed a handle of it.
    handle: Option<Arc<OwnedFd>>,
    cx: &'a Context<'a>,
    report: Report,
}

/// What waits for those before it.
enum Item {
    File(Arc<FileTask>),
    Folder { handle: Arc<OwnedFd>, attributes: Attributes, path: TreePath },
}

impl<'a, 'r> Restorer<'a, 'r> {
    fn new(
        reader: &'a Reader<'r>,
        crew: &'a Crew<'a, 'r>,
        target: TargetDir,
        path: &TreePath,
        links: Links,
        cx: &'a Context<'a>,
    ) -> Self {
        Self {
            reader,
            crew,
            target,
            window: Window::new(),
            items: VecDeque::new(),
            links,
            path: path.clone(),
            above: path.components().count(),
            handle: None,
            cx,
            report: Report::default(),
        }
    }

    /// Brings back a folder's contents into the target; `node` is the folder's own, if it has one.
    fn folder(mut self, tree: ChunkId, node: Option<&Node>) -> Result<Report> {
        let done = self.walk(tree, node).and_then(|()| self.finish());
        self.end(done)
    }

    /// Brings back one item into the target.
    fn item(mut self, node: Node) -> Result<Report> {
        let done = self.visit(node).and_then(|_| self.finish());
        self.end(done)
    }

    /// A restore that was stopped removes what is not whole: no name may stand for bytes that are not its own.
    fn end(mut self, done: Result<()>) -> Result<Report> {
        let Err(error) = done else { return Ok(self.report) };
        self.crew.stop();
        let (mut unfinished, mut removed) = (0, 0);
        for item in std::mem::take(&mut self.items) {
            let Item::File(task) = item else { continue };
            if matches!(task.end(), Some(End::Whole(_))) {
                continue;
            }
            unfinished += 1;
            if !task.is_made() {
                continue;
            }
            removed += 1;
            for name in self.names_of(&task) {
                if let Err(error) = self.target.remove(&name) {
                    let what = format!("it is incomplete and cannot be removed: {error}");
                    self.cx.progress.problem(&Problem { item: task.path.absolute(), what });
                }
            }
        }
        self.cx.progress.note(&format!(
            "the restore is not complete: {} files came back, {removed} that were not whole were removed",
            self.report.files.saturating_sub(unfinished)
        ));
        Err(error)
    }

    fn walk(&mut self, tree: ChunkId, node: Option<&Node>) -> Result<()> {
        let mut levels: Levels<Frame<'a>> = Levels::default();
        levels.push(Frame::of(self.reader, tree, None));
        while let Some(frame) = levels.last_mut() {
            self.cx.cancel.check()?;
            match frame.nodes.next() {
                Some(Ok(node)) => {
                    if let Some(frame) = self.visit(node)? {
                        levels.push(frame);
                    }
                }
                Some(Err(error)) if is_damage(&error) => {
                    self.problem(
                        &self.path.absolute(),
                        format!("part of this folder is lost: {}", with_causes(&error)),
                    );
                }
                Some(Err(error)) => return Err(error),
                None => {
                    let left = levels.pop();
                    if let (Some(left), Some(above)) = (left, levels.last()) {
                        self.leave(left, above.nodes.root())?;
                    }
                }
            }
        }
        if let Some(node) = node {
            let attributes = self.attributes(node)?;
            self.add_folder(attributes)?;
        }
        Ok(())
    }

    /// Makes one item; a folder is entered and its frame answered.
    fn visit(&mut self, node: Node) -> Result<Option<Frame<'a>>> {
        self.path.push(&node.name);
        self.cx.progress.current(self.path.as_bytes());
        if let NodeKind::Folder { tree } = node.kind {
            let made = self.target.make_folder(&node.name).and_then(|()| self.target.descend(&node.name));
            match made {
                Ok(()) => {
                    self.handle = None;
                    return Ok(Some(Frame::of(self.reader, tree, Some(node))));
                }
                Err(error) => self.lost(&error)?,
            }
        } else if !self.link(&node)? {
            self.make(node)?;
        }
        self.step_out();
        Ok(None)
    }

    /// Leaves a folder for the one above it, whose tree is `above`.
    fn leave(&mut self, frame: Frame<'_>, above: ChunkId) -> Result<()> {
        match frame.into_node(self.reader, above, &self.path) {
            Ok(node) => {
                let attributes = self.attributes(&node)?;
                self.add_folder(attributes)?;
            }
            Err(error) if is_damage(&error) => {
                self.problem(&self.path.absolute(), format!("its metadata is lost: {}", with_causes(&error)));
            }
            Err(error) => return Err(error),
        }
        self.target.ascend().map_err(|source| self.fatal("walk out of", source))?;
        self.handle = None;
        self.step_out();
        self.report.folders += 1;
        self.cx.progress.done(1, 0);
        self.hand_over_if_full()
    }

    /// The current folder gets its metadata once all that was planned before is done.
    fn add_folder(&mut self, attributes: Attributes) -> Result<()> {
        let handle = self.folder_handle()?;
        self.window.add_item(&self.path, &attributes);
        self.items.push_back(Item::Folder { handle, attributes, path: self.path.clone() });
        Ok(())
    }

    /// A handle of the current folder that stays when the walk moves on.
    fn folder_handle(&mut self) -> Result<Arc<OwnedFd>> {
        if let Some(handle) = &self.handle {
            return Ok(Arc::clone(handle));
        }
        let handle = self.target.current_handle().map_err(|source| self.fatal("restore into", source))?;
        Ok(Arc::clone(self.handle.insert(Arc::new(handle))))
    }

    fn step_out(&mut self) {
        self.path.pop();
    }

    /// The names of `path` from the target downward.
    fn below(&self, path: &TreePath) -> Vec<Name> {
        path.components().skip(self.above).collect()
    }

    /// Gives an item that is there already its further name. Answers whether that was all there was to do.
    fn link(&mut self, node: &Node) -> Result<bool> {
        let Some(at) = self.links.group_of(&self.path) else { return Ok(false) };
        let below = self.below(&self.path);
        let group = self.links.group(at);
        if group.failed {
            self.problem(&self.path.absolute(), "it is lost with the file that it is a name of".to_owned());
            return Ok(true);
        }
        let Some(first) = group.made.first() else {
            group.made.push(below);
            return Ok(false);
        };
        match self.target.link_from(first, &node.name) {
            Ok(()) => {
                group.made.push(below);
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

    fn make(&mut self, node: Node) -> Result<()> {
        let attributes = self.attributes(&node)?;
        let kind = match &node.kind {
            NodeKind::File { .. } => return self.make_file(node, attributes),
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
                let options = &self.crew.options;
                for problem in apply_to_name(self.target.handle(), &node.name, kind, &attributes, options) {
                    self.problem(&self.path.absolute(), with_causes(&problem));
                }
                self.count(&node);
                Ok(())
            }
            Err(error) => self.lost(&error),
        }
    }

    fn make_file(&mut self, mut node: Node, attributes: Attributes) -> Result<()> {
        let NodeKind::File { size, content, .. } = &mut node.kind else { return Ok(()) };
        let size = *size;
        let inline = if let Content::Inline(bytes) = content { std::mem::take(bytes) } else { Vec::new() };
        let task = Arc::new(FileTask {
            folder: self.folder_handle()?,
            name: node.name.clone(),
            size,
            inline,
            attributes,
            path: self.path.clone(),
            group: self.group_begun_here(),
            parts: Parts::default(),
        });
        // Further names need one that stands.
        if task.group.is_some() && task.open()?.is_none() {
            self.problem(&task.path.absolute(), task.failure().unwrap_or_default());
            return Ok(());
        }
        self.items.push_back(Item::File(Arc::clone(&task)));
        self.window.add_item(&self.path, &task.attributes);
        if !self.plan_chunks(&task, content)? {
            self.window.add_file(&task);
        }
        task.end_parts(1, &self.crew.options, self.cx)?;
        self.count(&node);
        self.hand_over_if_full()
    }

    /// The current item's group of hard links, if it is the first of it. Where a link could not be made, this is a file of its
    /// own, and what becomes of it is nothing to the others.
    fn group_begun_here(&mut self) -> Option<usize> {
        let at = self.links.group_of(&self.path)?;
        let below = self.below(&self.path);
        (self.links.group(at).made.first() == Some(&below)).then_some(at)
    }

    /// Plans the chunks of a file; tells whether there are any.
    fn plan_chunks(&mut self, task: &Arc<FileTask>, content: &Content) -> Result<bool> {
        let (mut offset, mut are_any) = (0, false);
        for piece in Pieces::of(self.reader, content, task.size) {
            let planned = piece.and_then(|piece| {
                if let Piece::Chunk { id, len } = piece {
                    self.window.add_chunk(self.reader, task, id, len, offset)?;
                    are_any = true;
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
            self.hand_over_if_full()?;
        }
        Ok(are_any)
    }

    fn count(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::File { size, .. } => {
                self.report.files += 1;
                self.report.bytes = self.report.bytes.saturating_add(*size);
            }
            NodeKind::Folder { .. } => self.report.folders += 1,
            _ => self.report.others += 1,
        }
        self.cx.progress.done(1, 0);
    }

    fn hand_over_if_full(&mut self) -> Result<()> {
        if self.window.is_full() { self.hand_over() } else { Ok(()) }
    }

    /// Gives the crew what is planned, and finishes what it has done meanwhile.
    fn hand_over(&mut self) -> Result<()> {
        self.cx.cancel.check()?;
        self.crew.hand_over(self.window.take_jobs())?;
        self.finish_items()
    }

    /// Waits for all that is planned.
    fn finish(&mut self) -> Result<()> {
        self.hand_over()?;
        self.crew.wait(0)?;
        self.finish_items()
    }

    /// Finishes items up to the first one that is not done: removes files that could not be brought back whole, and gives
    /// folders their metadata. What is below a folder comes before it, and so does the file that a name in it stands for.
    fn finish_items(&mut self) -> Result<()> {
        while let Some(item) = self.items.pop_front() {
            match item {
                Item::File(task) => match task.end() {
                    Some(end) => self.finish_file(&task, end)?,
                    None => {
                        self.items.push_front(Item::File(task));
                        break;
                    }
                },
                Item::Folder { handle, attributes, path } => {
                    self.report.problems += apply(&handle, &attributes, &self.crew.options, &path, self.cx);
                }
            }
        }
        Ok(())
    }

    fn finish_file(&mut self, task: &FileTask, end: End) -> Result<()> {
        match end {
            End::Whole(problems) => {
                self.report.problems += problems;
                if let Some(group) = task.group {
                    self.links.group(group).made.truncate(1);
                }
            }
            End::Lost(what) => {
                let names = self.names_of(task);
                self.report.problems += names.len() as u64;
                self.report.files -= names.len() as u64;
                let lost = task.size.saturating_mul(names.len() as u64);
                self.report.bytes = self.report.bytes.saturating_sub(lost);
                // A name that was taken stands for something else.
                for name in names.iter().filter(|_| task.is_made()) {
                    // No wrong byte stays behind under a right name.
                    self.target.remove(name).map_err(|source| self.fatal("remove the incomplete file in", source))?;
                }
                self.cx.progress.problem(&Problem { item: task.path.absolute(), what });
            }
        }
        Ok(())
    }

    /// All names that stand for a file that is lost; none is made from now on.
    fn names_of(&mut self, task: &FileTask) -> Vec<Vec<Name>> {
        let below = self.below(&task.path);
        let Some(at) = task.group else { return vec![below] };
        let group = self.links.group(at);
        group.failed = true;
        let mut names = std::mem::take(&mut group.made);
        if !names.contains(&below) {
            names.push(below);
        }
        names
    }

    /// An item could not be made. A full disk stops the restore: all that follows would fail in the same way.
    fn lost(&mut self, error: &io::Error) -> Result<()> {
        if file::is_full(error) {
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
fn apply(
    handle: impl AsFd,
    attributes: &Attributes,
    options: &target::Options,
    path: &TreePath,
    cx: &Context<'_>,
) -> u64 {
    let problems = apply_to_file(handle.as_fd(), attributes, options);
    for problem in &problems {
        cx.progress.problem(&Problem { item: path.absolute(), what: with_causes(problem) });
    }
    problems.len() as u64
}
