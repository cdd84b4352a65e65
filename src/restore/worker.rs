//! [`Worker`]: makes what a walk decides. It plans in windows and has a [`Crew`] fetch and write them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::crew::Crew;
use super::decide::{Decision, kind_of};
use super::file::{End, FileTask, Parts};
use super::links::Standing;
use super::run::{Hands, Made, Run};
use super::temporary::Temporaries;
use super::verify::{Expected, verify};
use super::window::Window;
use crate::error::{Result, with_causes};
use crate::format::name::{Name, TreePath};
use crate::format::tree::{Content, Node, NodeKind, Piece};
use crate::progress::{Context, Problem};
use crate::repo::fetch::is_damage;
use crate::source::EntryKind;
use crate::target::{self, Attributes, TargetDir, apply_to_file, apply_to_name, remove_in, rename_in};
use crate::tree::read::Pieces;

/// Makes items in the target.
pub(super) struct Worker<'a, 'r> {
    crew: &'a Crew<'a, 'r>,
    target: TargetDir,
    window: Window,
    /// What is not finished, in the order of the walk.
    items: VecDeque<Item>,
    /// The current folder, once somebody needed a handle of it.
    handle: Option<Arc<OwnedFd>>,
    temporaries: Temporaries,
}

/// What waits for those before it.
enum Item {
    File(Arc<FileTask>),
    Folder { handle: Arc<OwnedFd>, attributes: Attributes, path: TreePath },
}

impl Hands for Worker<'_, '_> {
    fn folder(&self) -> Option<&TargetDir> {
        Some(&self.target)
    }

    fn enter(&mut self, name: &Name, how: Decision) -> io::Result<()> {
        match how {
            Decision::Create => self.target.make_folder(name)?,
            Decision::Replace => {
                remove_in(self.target.handle(), name)?;
                self.target.make_folder(name)?;
            }
            // Who may not change it may still be able to enter it.
            Decision::Keep => drop(self.target.open_up(name)),
            Decision::Skip => {}
        }
        self.target.descend(name)?;
        self.handle = None;
        Ok(())
    }

    fn finish_folder(&mut self, node: &Node, run: &mut Run<'_, '_>) -> Result<()> {
        let attributes = run.attributes(node)?;
        let handle = self.folder_handle(run)?;
        self.window.add_item(&run.path, &attributes);
        self.items.push_back(Item::Folder { handle, attributes, path: run.path.clone() });
        Ok(())
    }

    fn ascend(&mut self) -> io::Result<()> {
        self.handle = None;
        self.target.ascend()
    }

    fn make(&mut self, node: Node, how: Decision, run: &mut Run<'_, '_>) -> Result<Made> {
        let attributes = run.attributes(&node)?;
        let temporary = (how == Decision::Replace).then(|| self.temporaries.next());
        if kind_of(&node) == EntryKind::File {
            return self.make_file(node, attributes, temporary, run);
        }
        match self.make_other(&node, temporary.as_ref()) {
            Ok(()) => {
                self.apply_here(temporary.as_ref().unwrap_or(&node.name), kind_of(&node), &attributes, run);
                if let Some(temporary) = temporary
                    && let Err(error) = rename_in(self.target.handle(), &temporary, &node.name)
                {
                    self.give_up(&temporary, run);
                    run.lost(&error)?;
                    return Ok(Made::Lost);
                }
                Ok(Made::There)
            }
            Err(error) => run.lost(&error).map(|()| Made::Lost),
        }
    }

    fn keep(&mut self, node: &Node, run: &mut Run<'_, '_>) -> Result<()> {
        if self.crew.verifies {
            self.verify_here(node, run)?;
        }
        let attributes = run.attributes(node)?;
        self.apply_here(&node.name, kind_of(node), &attributes, run);
        Ok(())
    }

    fn link(&mut self, name: &Name, how: Decision, at: usize, run: &mut Run<'_, '_>) -> io::Result<Standing> {
        let temporary = (how == Decision::Replace).then(|| self.temporaries.next());
        let group = run.links.group(at);
        let first = group.made.first().map(Standing::place).unwrap_or_default();
        self.target.link_from(&first, temporary.as_ref().unwrap_or(name))?;
        match temporary {
            Some(temporary) if group.is_whole => {
                if let Err(error) = rename_in(self.target.handle(), &temporary, name) {
                    self.give_up(&temporary, run);
                    return Err(error);
                }
                Ok(run.standing(None))
            }
            temporary => Ok(run.standing(temporary)),
        }
    }

    fn remove(&mut self, name: &Name) -> io::Result<()> {
        remove_in(self.target.handle(), name)
    }

    fn rest(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        if self.window.is_full() { self.hand_over(run) } else { Ok(()) }
    }

    fn finish(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        self.hand_over(run)?;
        self.crew.wait(0)?;
        self.finish_items(run)
    }

    /// Removes what is not whole: no name may stand for bytes that are not its own.
    fn abandon(&mut self, run: &mut Run<'_, '_>) {
        self.crew.stop();
        let (mut unfinished, mut removed) = (0, 0);
        for item in std::mem::take(&mut self.items) {
            let Item::File(task) = item else { continue };
            if let Some(End::Whole(_)) = task.end() {
                self.settle(&task, run);
                continue;
            }
            let names = names_of(&task, run);
            unfinished += names.len() as u64;
            if !task.is_made() {
                continue;
            }
            removed += 1;
            for name in names {
                if let Err(error) = self.target.remove(&name.place()) {
                    let what = format!("it is incomplete and cannot be removed: {error}");
                    run.cx.progress.problem(&Problem { item: task.path.absolute(), what });
                }
            }
        }
        run.cx.progress.note(&format!(
            "the restore is not complete: {} files came back, {removed} that were not whole were removed; \
             the same again with `--overwrite if-changed` goes on from there",
            run.report.files.saturating_sub(unfinished)
        ));
    }
}

impl<'a, 'r> Worker<'a, 'r> {
    pub(super) fn new(crew: &'a Crew<'a, 'r>, target: TargetDir) -> Result<Self> {
        Ok(Self {
            crew,
            target,
            window: Window::new(),
            items: VecDeque::new(),
            handle: None,
            temporaries: Temporaries::new()?,
        })
    }

    /// A handle of the current folder that stays when the walk moves on.
    fn folder_handle(&mut self, run: &Run<'_, '_>) -> Result<Arc<OwnedFd>> {
        if let Some(handle) = &self.handle {
            return Ok(Arc::clone(handle));
        }
        let handle = self.target.current_handle().map_err(|source| run.fatal("restore into", source))?;
        Ok(Arc::clone(self.handle.insert(Arc::new(handle))))
    }

    /// Makes what is neither a folder nor a file, without metadata.
    fn make_other(&self, node: &Node, temporary: Option<&Name>) -> io::Result<()> {
        let name = temporary.unwrap_or(&node.name);
        match &node.kind {
            NodeKind::Symlink { target } => self.target.make_symlink(name, target),
            NodeKind::Fifo => self.target.make_fifo(name),
            NodeKind::CharDevice { device } | NodeKind::BlockDevice { device } => {
                self.target.make_device(name, kind_of(node), *device)
            }
            NodeKind::File { .. } | NodeKind::Folder { .. } => Ok(()),
        }
    }

    /// Puts metadata on an entry of the current folder that is not open.
    fn apply_here(&self, name: &Name, kind: EntryKind, attributes: &Attributes, run: &mut Run<'_, '_>) {
        for problem in apply_to_name(self.target.handle(), name, kind, attributes, &self.crew.options) {
            run.problem(with_causes(&problem));
        }
    }

    /// Reads a file of the current folder again that was there before.
    fn verify_here(&self, node: &Node, run: &mut Run<'_, '_>) -> Result<()> {
        let NodeKind::File { size, content, .. } = &node.kind else { return Ok(()) };
        let inline = if let Content::Inline(bytes) = content { bytes.as_slice() } else { &[] };
        let wrong = match self.target.open_file(&node.name) {
            Ok(file) => verify(run.reader, &file, &Expected { inline, content, size: *size })?,
            Err(error) => Some(format!("it cannot be read again: {error}")),
        };
        run.report.verified += 1;
        if let Some(what) = wrong {
            run.problem(what);
        }
        Ok(())
    }

    /// Removes what was to replace an entry of the current folder.
    fn give_up(&self, temporary: &Name, run: &mut Run<'_, '_>) {
        if let Err(error) = remove_in(self.target.handle(), temporary) {
            run.problem(format!("its temporary file cannot be removed: {error}"));
        }
    }

    fn make_file(
        &mut self,
        mut node: Node,
        attributes: Attributes,
        temporary: Option<Name>,
        run: &mut Run<'_, '_>,
    ) -> Result<Made> {
        let NodeKind::File { size, content, .. } = &mut node.kind else { return Ok(Made::Lost) };
        let inline = if let Content::Inline(bytes) = content { std::mem::take(bytes) } else { Vec::new() };
        let (name, final_name) = match temporary.clone() {
            Some(temporary) => (temporary, Some(node.name)),
            None => (node.name, None),
        };
        let task = Arc::new(FileTask {
            folder: self.folder_handle(run)?,
            name,
            final_name,
            size: *size,
            inline,
            content: self.crew.verifies.then(|| content.clone()),
            attributes,
            path: run.path.clone(),
            group: group_begun_here(run),
            parts: Parts::default(),
        });
        // Further names need one that stands.
        if task.group.is_some() && task.open()?.is_none() {
            run.problem(task.failure().unwrap_or_default());
            return Ok(Made::Lost);
        }
        self.items.push_back(Item::File(Arc::clone(&task)));
        self.window.add_item(&run.path, &task.attributes);
        if !self.plan_chunks(&task, content, run)? {
            self.window.add_file(&task);
        }
        task.end_parts(1, self.crew)?;
        Ok(temporary.map_or(Made::There, Made::Under))
    }

    /// Plans the chunks of a file; tells whether there are any.
    fn plan_chunks(&mut self, task: &Arc<FileTask>, content: &Content, run: &mut Run<'_, '_>) -> Result<bool> {
        let (mut offset, mut are_any) = (0, false);
        for piece in Pieces::of(run.reader, content, task.size) {
            let planned = piece.and_then(|piece| {
                if let Piece::Chunk { id, len } = piece {
                    self.window.add_chunk(run.reader, task, id, len, offset)?;
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
            self.rest(run)?;
        }
        Ok(are_any)
    }

    /// Gives the crew what is planned, and finishes what it has done meanwhile.
    fn hand_over(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        run.cx.cancel.check()?;
        self.crew.hand_over(self.window.take_jobs())?;
        self.finish_items(run)
    }

    /// Finishes items up to the first one that is not done: removes files that could not be brought back whole, gives the others
    /// their names, and folders their metadata. What is below a folder comes before it, and so does the file that a name in it
    /// stands for.
    fn finish_items(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        while let Some(item) = self.items.pop_front() {
            match item {
                Item::File(task) => match task.end() {
                    Some(end) => self.finish_file(&task, end, run)?,
                    None => {
                        self.items.push_front(Item::File(task));
                        break;
                    }
                },
                Item::Folder { handle, attributes, path } => {
                    run.report.problems += apply(&handle, &attributes, &self.crew.options, &path, run.cx);
                }
            }
        }
        Ok(())
    }

    fn finish_file(&mut self, task: &FileTask, end: End, run: &mut Run<'_, '_>) -> Result<()> {
        match end {
            End::Whole(problems) => {
                run.report.problems += problems;
                run.report.verified += u64::from(self.crew.verifies);
                self.settle(task, run);
            }
            End::Lost(what) => {
                let names = names_of(task, run);
                run.uncount(names.len() as u64, task.size);
                // A name that was taken stands for something else.
                for name in names.iter().filter(|_| task.is_made()) {
                    // No wrong byte stays behind under a right name.
                    self.target
                        .remove(&name.place())
                        .map_err(|source| run.fatal("remove the incomplete file in", source))?;
                }
                run.cx.progress.problem(&Problem { item: task.path.absolute(), what });
            }
        }
        Ok(())
    }

    /// Gives a file that is whole the names that it is to have.
    fn settle(&self, task: &FileTask, run: &mut Run<'_, '_>) {
        let Some(at) = task.group else {
            if let Some(name) = &task.final_name
                && let Err(error) = rename_in(task.folder.as_fd(), &task.name, name)
            {
                unsettled(&task.path, &error, remove_in(task.folder.as_fd(), &task.name), task.size, run);
            }
            return;
        };
        let made = std::mem::take(&mut run.links.group(at).made);
        let mut settled = None;
        for Standing { path, temporary } in made {
            let standing = Standing { path, temporary };
            let (place, name) = (standing.place(), standing.path.last());
            match name.filter(|_| standing.temporary.is_some()).map(|name| self.target.rename(&place, name)) {
                None | Some(Ok(())) => settled = settled.or(Some(Standing { temporary: None, ..standing })),
                Some(Err(error)) => unsettled(&task.path, &error, self.target.remove(&place), task.size, run),
            }
        }
        let group = run.links.group(at);
        group.is_whole = true;
        group.failed = settled.is_none();
        group.made.extend(settled);
    }
}

/// A file that is whole could not take the place of what has its name.
fn unsettled(path: &TreePath, error: &io::Error, removed: io::Result<()>, bytes: u64, run: &mut Run<'_, '_>) {
    run.uncount(1, bytes);
    let mut what = format!("it cannot replace what is there: {error}");
    if let Err(error) = removed {
        what.push_str(&format!("; its temporary file cannot be removed: {error}"));
    }
    run.cx.progress.problem(&Problem { item: path.absolute(), what });
}

/// The current item's group of hard links, if it is the first of it. Where a link could not be made, this is a file of its
/// own, and what becomes of it is nothing to the others.
fn group_begun_here(run: &mut Run<'_, '_>) -> Option<usize> {
    let at = run.links.group_of(&run.path)?;
    run.links.group(at).made.is_empty().then_some(at)
}

/// All names that stand for a file that is lost; none is made from now on.
fn names_of(task: &FileTask, run: &mut Run<'_, '_>) -> Vec<Standing> {
    let path = run.below(&task.path);
    let own = || {
        let temporary = task.final_name.as_ref().map(|_| task.name.clone());
        Standing { path: path.clone(), temporary }
    };
    let Some(at) = task.group else { return vec![own()] };
    let group = run.links.group(at);
    group.failed = true;
    let mut names = std::mem::take(&mut group.made);
    if !names.iter().any(|name| name.path == path) {
        names.push(own());
    }
    names
}

/// Puts metadata on something that is open, and reports what could not be set.
pub(super) fn apply(
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
