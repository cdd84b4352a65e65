//! [`Run`]: what the walk and the hands that work for it share. [`Hands`]: what they can do.

use std::io;

use super::attributes::Changes;
use super::decide::{Decision, Present};
use super::links::{Links, Standing};
use super::{Report, file};
use crate::error::{Error, Result};
use crate::format::name::{Name, TreePath};
use crate::format::tree::{Node, NodeKind};
use crate::progress::{Action, Context, Problem};
use crate::repo::fetch::Reader;
use crate::source::{EntryKind, Names, Stat};
use crate::target::TargetDir;

/// A restore that is going on.
pub(super) struct Run<'a, 'r> {
    pub reader: &'a Reader<'r>,
    pub cx: &'a Context<'a>,
    /// The item that the walk is at.
    pub path: TreePath,
    /// How many names of `path` lead to the target.
    above: usize,
    pub links: Links,
    pub changes: Changes,
    pub report: Report,
}

/// What became of an item that was to be made.
pub(super) enum Made {
    /// It has its name.
    There,
    /// It has this name until it is whole.
    Under(Name),
    /// It could not be made, which was reported.
    Lost,
}

/// What carries out what a walk decides, or only shows what would be done. It stands in one folder of the target.
pub(super) trait Hands {
    /// The folder that it stands in, as far as that is there.
    fn folder(&self) -> Option<&TargetDir>;

    /// Steps into a folder of the current one. It is made first, if so decided.
    fn enter(&mut self, name: &Name, how: Decision) -> io::Result<()>;

    /// Plans the metadata of the current folder, for the time when all that is planned below it is done.
    fn finish_folder(&mut self, node: &Node, run: &mut Run<'_, '_>) -> Result<()>;

    /// Steps back up.
    fn ascend(&mut self) -> io::Result<()>;

    /// Makes an item that is no folder.
    fn make(&mut self, node: Node, how: Decision, run: &mut Run<'_, '_>) -> Result<Made>;

    /// Gives its metadata to an item that is no folder.
    fn keep(&mut self, node: &Node, run: &mut Run<'_, '_>) -> Result<()>;

    /// Gives a further name to the file of the group `at`.
    fn link(&mut self, name: &Name, how: Decision, at: usize, run: &mut Run<'_, '_>) -> io::Result<Standing>;

    /// Removes an entry of the current folder; a folder only if it is empty.
    fn remove(&mut self, name: &Name) -> io::Result<()>;

    /// The walk is between two items.
    fn rest(&mut self, run: &mut Run<'_, '_>) -> Result<()>;

    /// Waits for all that is planned.
    fn finish(&mut self, run: &mut Run<'_, '_>) -> Result<()>;

    /// Tidies up after a walk that was stopped.
    fn abandon(&mut self, run: &mut Run<'_, '_>);

    /// What has a name in the current folder.
    fn look(&self, name: &Name) -> io::Result<Option<Present>> {
        let Some(folder) = self.folder() else { return Ok(None) };
        let Some(stat) = folder.stat_of(name)? else { return Ok(None) };
        let link = (stat.kind == EntryKind::Symlink).then(|| folder.read_link(name)).transpose()?;
        Ok(Some(Present { stat, link }))
    }

    /// What the system says of the current folder.
    fn look_here(&self) -> io::Result<Option<Present>> {
        let stat = self.folder().map(|folder| Stat::of_handle(folder.handle())).transpose()?;
        Ok(stat.map(|stat| Present { stat, link: None }))
    }

    /// The names in the current folder.
    fn names(&self) -> io::Result<Names> {
        self.folder().map_or_else(|| Ok(Names::default()), TargetDir::names)
    }

    /// Whether another file system begins with the current folder.
    fn is_mount_point(&self) -> io::Result<bool> {
        self.folder().map_or(Ok(false), TargetDir::is_mount_point)
    }
}

impl<'a, 'r> Run<'a, 'r> {
    /// At the target, which stands for `path`.
    pub(super) fn new(
        reader: &'a Reader<'r>,
        path: &TreePath,
        links: Links,
        changes: Changes,
        cx: &'a Context<'a>,
    ) -> Self {
        let (path, above) = (path.clone(), path.components().count());
        Self { reader, cx, path, above, links, changes, report: Report::default() }
    }

    /// The names of `path` from the target downward.
    pub(super) fn below(&self, path: &TreePath) -> Vec<Name> {
        path.components().skip(self.above).collect()
    }

    /// The item that the walk is at, under its own name or another one.
    pub(super) fn standing(&self, temporary: Option<Name>) -> Standing {
        Standing { path: self.below(&self.path), temporary }
    }

    /// Counts an item and tells of it.
    pub(super) fn tell(&mut self, action: Action, kind: EntryKind, bytes: u64) {
        let report = &mut self.report;
        let add = |sum: &mut u64| *sum = sum.saturating_add(bytes);
        match (action, kind) {
            (Action::Created | Action::Replaced, EntryKind::File) => {
                report.files += 1;
                add(&mut report.bytes);
            }
            (Action::Created | Action::Replaced, EntryKind::Folder) => report.folders += 1,
            (Action::Created | Action::Replaced, _) => report.others += 1,
            (Action::Kept, _) => {
                report.kept += 1;
                add(&mut report.kept_bytes);
            }
            (Action::Skipped, _) => {
                report.skipped += 1;
                add(&mut report.skipped_bytes);
            }
            (Action::Deleted, _) => report.deleted += 1,
        }
        self.cx.progress.acted(action, self.path.as_bytes(), bytes);
        if action != Action::Deleted {
            self.cx.progress.done(1, 0);
        }
    }

    /// So many names of a file were counted and are lost.
    pub(super) fn uncount(&mut self, names: u64, bytes: u64) {
        let report = &mut self.report;
        report.problems += names;
        report.files = report.files.saturating_sub(names);
        report.bytes = report.bytes.saturating_sub(bytes.saturating_mul(names));
    }

    /// A problem with the item that the walk is at.
    pub(super) fn problem(&mut self, what: String) {
        self.report.problems += 1;
        self.cx.progress.problem(&Problem { item: self.path.absolute(), what });
    }

    /// The item could not be made. A full disk stops the restore: all that follows would fail in the same way.
    pub(super) fn lost(&mut self, error: &io::Error) -> Result<()> {
        if file::is_full(error) {
            return Err(self.fatal("create", io::Error::from(error.kind())));
        }
        self.problem(format!("cannot create it: {error}"));
        Ok(())
    }

    pub(super) fn fatal(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { action, path: self.path.to_path_buf(), source }
    }
}

/// The length of a file; nothing has any other.
pub(super) const fn bytes_of(node: &Node) -> u64 {
    match node.kind {
        NodeKind::File { size, .. } => size,
        _ => 0,
    }
}
