//! Restore: snapshot -> tree -> fetch -> write, then metadata.
//!
//! Every name is made and reached by folder handle beneath the target, so that no symlink leads out, whoever planted it.
//! One thread walks the tree, decides what becomes of each item and of what has its name, and has it made, or only told of. It
//! plans in windows; a [`Crew`] fetches what the window before needs, block by block, each block once, makes the files and writes
//! them at offsets; holes stay holes. Whoever writes the last part of a file gives it its metadata. A folder gets it from the
//! planning thread after all below it.
//!
//! Memory, whatever is restored: up to three windows of at most 8 MiB, for each core a stretch of sealed bytes, a sealed and a
//! plain block (12 MiB as caddis writes blocks), 32 MiB of folders on the way down, the extended attributes of one item (16 MiB),
//! the names in one folder of a target that holds something, and the caches of the [`Reader`].

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::name::{Name, TreePath};
use crate::format::tree::Node;
use crate::id::ChunkId;
use crate::progress::Context;
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;
use crate::select::Rules;
use crate::target::{self, TargetDir};
use crate::tree::read::{Found, find_path};

mod attributes;
mod choose;
mod clear;
mod crew;
mod decide;
mod delete;
mod file;
mod frame;
mod links;
mod preview;
mod run;
mod temporary;
mod verify;
mod walk;
mod window;
mod worker;

pub use decide::Overwrite;

use attributes::Changes;
use crew::Crew;
use links::Links;
use preview::Preview;
use run::{Hands, Run};
use walk::Walk;
use worker::Worker;

/// What may be chosen for a restore.
#[derive(Debug, Default)]
pub struct Options {
    /// Whether items are given to their owners, which only root can do.
    pub owners: bool,
    /// What becomes of what is there already. Without it, nothing may be there.
    pub overwrite: Option<Overwrite>,
    /// Whether restored folders lose what the snapshot does not have.
    pub delete: bool,
    /// Whether each file is read again once it is written.
    pub verify: bool,
    /// Whether owners and groups are found by their names on this machine, where there are such names.
    pub owner_by_name: bool,
    /// Whether files lose setuid, setgid and capabilities.
    pub strip_setuid: bool,
    /// Fits what is brought back, with all below it; without it, everything is.
    pub includes: Option<Rules>,
    /// Fits what is left out.
    pub excludes: Option<Rules>,
}

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Regular files that were made, each name counted.
    pub files: u64,
    /// Folders that were made.
    pub folders: u64,
    /// Symlinks, pipes, devices that were made.
    pub others: u64,
    /// Bytes of files that were made, holes included.
    pub bytes: u64,
    /// Items that were there and got their metadata.
    pub kept: u64,
    /// Bytes of files among them.
    pub kept_bytes: u64,
    /// Items that were left as they are.
    pub skipped: u64,
    /// Bytes of files among them, as the snapshot has them.
    pub skipped_bytes: u64,
    /// Items that were removed from the target.
    pub deleted: u64,
    /// Files that were read again.
    pub verified: u64,
    /// Items that did not come back, or not with all their metadata, or were not what they should be when read again.
    pub problems: u64,
}

/// Brings back what stands at `path` in a snapshot: the contents of a folder into the folder `to`; a file to `to`, or into it
/// if it is a folder.
///
/// A damaged item is reported through `cx.progress` and left out; the others come back.
///
/// # Errors
/// [`Error::TargetNotEmpty`] and [`Error::TargetExists`] without [`Options::overwrite`]; [`Error::NoSuchPath`]; a disk that is
/// full; a store that does not answer.
pub fn restore(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    to: &Path,
    options: &Options,
    cx: &Context<'_>,
) -> Result<Report> {
    let aim = Aim::new(reader, snapshot, path, to, options)?;
    // Ignored: with fewer open files than hoped for, a window that needs more says so file by file.
    let _ = crate::dirs::raise_open_files_limit();
    let io_error = |action| move |source| Error::Io { action, path: to.to_path_buf(), source };
    fs::create_dir_all(&aim.folder).map_err(io_error("create"))?;
    let target = TargetDir::open(&aim.folder).map_err(io_error("restore into"))?;
    let run = aim.run(reader, snapshot, options, cx)?;
    let may_have_xattrs = !aim.is_new || target.hands_acls_on();
    let target_options = target::Options { owners: options.owners, may_have_xattrs };
    Crew::work_for(reader, target_options, options.verify, cx, |crew| {
        aim.walk(run, Worker::new(crew, target)?, options)
    })
}

/// Tells what [`restore`] would do, as far as that can be known without reading the content of a file. Nothing is changed.
///
/// # Errors
/// The same, but for those of a disk that is written to.
pub fn preview(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    to: &Path,
    options: &Options,
    cx: &Context<'_>,
) -> Result<Report> {
    let aim = Aim::new(reader, snapshot, path, to, options)?;
    let target = match TargetDir::open(&aim.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        result => {
            Some(result.map_err(|source| Error::Io { action: "restore into", path: to.to_path_buf(), source })?)
        }
    };
    let run = aim.run(reader, snapshot, options, cx)?;
    aim.walk(run, Preview::new(target), options)
}

/// What is brought back, and where to.
struct Aim {
    what: What,
    /// The folder that it goes into.
    folder: PathBuf,
    /// The path in the snapshot that this folder stands for.
    path: TreePath,
    /// Whether nothing is in the folder, or nothing has the name of the one item.
    is_new: bool,
}

enum What {
    /// The contents of a folder; its node, if it has one.
    Folder(ChunkId, Option<Box<Node>>),
    /// Anything else, under the name that it gets.
    Item(Box<Node>),
}

impl Aim {
    fn new(reader: &Reader<'_>, snapshot: &Snapshot, path: &TreePath, to: &Path, options: &Options) -> Result<Self> {
        let found = find_path(reader, snapshot.body.root, path)?.ok_or_else(|| Error::NoSuchPath {
            snapshot: snapshot.id.short(),
            path: String::from_utf8_lossy(&path.absolute()).into_owned(),
        })?;
        match (found.tree(), found) {
            (Some(tree), Found::Node(node)) => Self::folder(tree, Some(node), path, to, options),
            (_, Found::Root(tree)) => Self::folder(tree, None, path, to, options),
            (None, Found::Node(node)) => Self::item(node, path, to, options),
        }
    }

    fn folder(tree: ChunkId, node: Option<Box<Node>>, path: &TreePath, to: &Path, options: &Options) -> Result<Self> {
        let is_new = is_empty_or_absent(to)?;
        if !is_new && options.overwrite.is_none() {
            return Err(Error::TargetNotEmpty { path: to.to_path_buf() });
        }
        Ok(Self { what: What::Folder(tree, node), folder: to.to_path_buf(), path: path.clone(), is_new })
    }

    fn item(mut node: Box<Node>, path: &TreePath, to: &Path, options: &Options) -> Result<Self> {
        let file = if to.is_dir() { to.join(node.name.as_os_str()) } else { to.to_path_buf() };
        let is_new = fs::symlink_metadata(&file).is_err();
        if !is_new && options.overwrite.is_none() {
            return Err(Error::TargetExists { path: file, can_overwrite: true });
        }
        if let Some(name) = file.file_name() {
            node.name = Name::new(name.as_bytes())
                .map_err(|_| Error::Usage(format!("{} is no place for a file", file.display())))?;
        }
        let folder = file.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut above = path.clone();
        above.pop();
        Ok(Self { folder: folder.to_path_buf(), what: What::Item(node), path: above, is_new })
    }

    fn run<'a, 'r>(
        &self,
        reader: &'a Reader<'r>,
        snapshot: &Snapshot,
        options: &Options,
        cx: &'a Context<'a>,
    ) -> Result<Run<'a, 'r>> {
        let links = match self.what {
            What::Folder(..) => Links::below(reader, snapshot, &self.path, cx)?,
            What::Item(_) => Links::default(),
        };
        let mut run = Run::new(reader, &self.path, links, Changes::new(options), cx);
        run.report.problems += u64::from(run.links.is_lost);
        Ok(run)
    }

    fn walk<'a, 'r, H: Hands>(self, run: Run<'a, 'r>, hands: H, options: &'a Options) -> Result<Report> {
        let walk = Walk::new(run, hands, options);
        match self.what {
            What::Folder(tree, node) => walk.folder(tree, node.as_deref(), self.is_new),
            What::Item(node) => walk.item(*node, self.is_new),
        }
    }
}

/// Whether there is nothing at `path`, or an empty folder.
fn is_empty_or_absent(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(Error::Io { action: "restore into", path: path.to_path_buf(), source }),
    }
}
