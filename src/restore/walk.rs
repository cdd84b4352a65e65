//! [`Walk`]: goes through the tree, decides what becomes of each item, and has [`Hands`] do it.

use std::io;

use super::choose::{Choice, Filter};
use super::decide::{Decision, Present, decide, kind_of, relink};
use super::frame::{Frame, Place};
use super::run::{Hands, Made, Run, bytes_of};
use super::{Options, Report};
use crate::error::{Result, with_causes};
use crate::format::name::Name;
use crate::format::tree::{Node, NodeKind};
use crate::id::ChunkId;
use crate::repo::fetch::is_damage;
use crate::source::EntryKind;
use crate::tree::nodes::Levels;
use crate::tree::read::find_node;

/// A walk through what is brought back.
pub(super) struct Walk<'a, 'r, H> {
    pub(super) run: Run<'a, 'r>,
    pub(super) hands: H,
    options: &'a Options,
    /// The folders from the target down to where the walk is.
    ways: Vec<Way>,
}

/// A folder on the way down.
struct Way {
    /// The target has none.
    name: Option<Name>,
    tree: ChunkId,
    /// Nothing as long as nobody has stepped into it: it is not brought back itself, and perhaps nothing below it is.
    place: Option<Place>,
    /// Whether nobody can step into it.
    is_blocked: bool,
    filter: Filter,
}

impl<'a, 'r, H: Hands> Walk<'a, 'r, H> {
    pub(super) fn new(run: Run<'a, 'r>, hands: H, options: &'a Options) -> Self {
        Self { run, hands, options, ways: Vec::new() }
    }

    /// Brings back a folder's contents into the target; `node` is the folder's own, if it has one. `is_new` if nothing is in
    /// the target.
    pub(super) fn folder(mut self, tree: ChunkId, node: Option<&Node>, is_new: bool) -> Result<Report> {
        let done = self.target(tree, node, is_new);
        self.end(done)
    }

    /// Brings back one item into the target. `is_new` if nothing has its name.
    pub(super) fn item(mut self, node: Node, is_new: bool) -> Result<Report> {
        let place = if is_new { Place::NEW } else { Self::place(Decision::Keep, self.options.delete) };
        self.run.path.push(&node.name);
        let done = self.treat(node, place, Filter::default()).map(drop);
        self.end(done)
    }

    fn end(mut self, done: Result<()>) -> Result<Report> {
        match done.and_then(|()| self.hands.finish(&mut self.run)) {
            Ok(()) => Ok(self.run.report),
            Err(error) => {
                self.hands.abandon(&mut self.run);
                Err(error)
            }
        }
    }

    fn target(&mut self, tree: ChunkId, node: Option<&Node>, is_new: bool) -> Result<()> {
        let mut place = Place::NEW;
        if !is_new {
            let present = self.hands.look_here().map_err(|source| self.run.fatal("restore into", source))?;
            let how = node.map_or(Decision::Keep, |node| self.decide(node, present.as_ref()));
            place = Self::place(how, self.options.delete);
            self.remove_leftovers(tree)?;
        }
        let filter = Filter::new(self.options, &self.run.path);
        self.ways.push(Way { name: None, tree, place: Some(place), is_blocked: false, filter });
        self.walk(Frame::of(self.run.reader, tree, None))?;
        if place.deletes {
            self.delete_strange(tree)?;
        }
        match node {
            Some(node) if place.gets_metadata => self.hands.finish_folder(node, &mut self.run),
            _ => Ok(()),
        }
    }

    fn walk(&mut self, target: Frame<'a>) -> Result<()> {
        let mut levels: Levels<Frame<'a>> = Levels::default();
        levels.push(target);
        while let Some(frame) = levels.last_mut() {
            self.run.cx.cancel.check()?;
            match frame.nodes.next() {
                Some(Ok(node)) => {
                    if let Some(frame) = self.visit(node)? {
                        levels.push(frame);
                    }
                }
                Some(Err(error)) if is_damage(&error) => {
                    self.run.problem(format!("part of this folder is lost: {}", with_causes(&error)));
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
        Ok(())
    }

    /// What is brought back of the folder that the walk is in.
    pub(super) fn filter(&self) -> Filter {
        self.ways.last().map(|way| way.filter.clone()).unwrap_or_default()
    }

    /// Sees to one item; a folder is entered and its frame answered.
    fn visit(&mut self, node: Node) -> Result<Option<Frame<'a>>> {
        self.run.path.push(&node.name);
        self.run.cx.progress.current(self.run.path.as_bytes());
        let tree = tree_of(&node);
        let choice = self.ways.last().map_or(Choice::LeftOut, |way| way.filter.judge(&node.name, tree.is_some()));
        let entered = match (choice, tree) {
            (Choice::Way(filter), Some(tree)) => {
                self.ways.push(Way { name: Some(node.name), tree, place: None, is_blocked: false, filter });
                Some(Frame::of(self.run.reader, tree, None))
            }
            (Choice::Taken(filter), _) => match self.step_in()? {
                Some(above) => self.treat(node, above, filter)?,
                None => None,
            },
            _ => None,
        };
        if entered.is_none() {
            self.run.path.pop();
        }
        Ok(entered)
    }

    /// Steps into the folders on the way here that were not needed before. Answers how it is with the last one; nothing if there
    /// is no way.
    fn step_in(&mut self) -> Result<Option<Place>> {
        let first = self.ways.iter().rposition(|way| way.place.is_some()).map_or(0, |at| at + 1);
        if first < self.ways.len() {
            let here = self.run.path.clone();
            (first..=self.ways.len()).for_each(|_| self.run.path.pop());
            let done = (first..self.ways.len()).try_for_each(|at| self.step_down(at));
            self.run.path = here;
            done?;
        }
        Ok(self.ways.last().and_then(|way| way.place))
    }

    fn step_down(&mut self, at: usize) -> Result<()> {
        let (above, way) = (&self.ways[at - 1], &self.ways[at]);
        let (Some(place), Some(name), false) = (above.place, way.name.clone(), way.is_blocked) else { return Ok(()) };
        let (above, tree) = (above.tree, way.tree);
        self.run.path.push(&name);
        let place = match find_node(self.run.reader, above, &name) {
            Ok(Some(node)) => match self.look(&name, place) {
                Some(present) => self.enter(&node, tree, present.as_ref(), place)?,
                None => None,
            },
            Ok(None) => None,
            Err(error) if is_damage(&error) => {
                self.run.problem(format!("its metadata is lost: {}", with_causes(&error)));
                None
            }
            Err(error) => return Err(error),
        };
        let way = &mut self.ways[at];
        (way.place, way.is_blocked) = (place, place.is_none());
        Ok(())
    }

    /// What has a name in the current folder; nothing if that cannot be told.
    fn look(&mut self, name: &Name, place: Place) -> Option<Option<Present>> {
        let present = if place.is_new { Ok(None) } else { self.hands.look(name) };
        present.map_err(|error| self.run.problem(format!("cannot look at what has its name: {error}"))).ok()
    }

    /// Sees to an item that is brought back, and what `filter` takes of what lies below it.
    fn treat(&mut self, node: Node, above: Place, filter: Filter) -> Result<Option<Frame<'a>>> {
        let Some(present) = self.look(&node.name, above) else { return Ok(None) };
        let Some(tree) = tree_of(&node) else {
            let how = self.decide(&node, present.as_ref());
            return self.put(node, present.as_ref(), how, above.deletes).map(|()| None);
        };
        let Some(place) = self.enter(&node, tree, present.as_ref(), above)? else { return Ok(None) };
        let name = Some(node.name.clone());
        self.ways.push(Way { name, tree, place: Some(place), is_blocked: false, filter });
        Ok(Some(Frame::of(self.run.reader, tree, Some(node))))
    }

    fn decide(&self, node: &Node, present: Option<&Present>) -> Decision {
        // Without a policy nothing was there, and who makes something meanwhile is in the way.
        self.options.overwrite.map_or(Decision::Create, |policy| decide(policy, node, present))
    }

    /// How it is with a folder of which `how` was decided, where the restore deletes or does not.
    fn place(how: Decision, deletes: bool) -> Place {
        let is_new = matches!(how, Decision::Create | Decision::Replace);
        Place { is_new, gets_metadata: how != Decision::Skip, deletes: deletes && !is_new }
    }

    /// Steps into a folder, which is made first where there is none. Nothing if something else stays there.
    fn enter(&mut self, node: &Node, tree: ChunkId, present: Option<&Present>, above: Place) -> Result<Option<Place>> {
        let how = self.decide(node, present);
        let mut place = Self::place(how, above.deletes);
        let is_walked = how != Decision::Skip || present.is_some_and(Present::is_folder);
        if is_walked && let Err(error) = self.hands.enter(&node.name, how) {
            self.run.lost(&error)?;
            return Ok(None);
        }
        self.run.tell(how.action(), EntryKind::Folder, 0);
        if !is_walked {
            return Ok(None);
        }
        if !place.is_new {
            self.remove_leftovers(tree)?;
            // Where that cannot be told, another file system may begin here.
            place.deletes &= matches!(self.hands.is_mount_point(), Ok(false));
        }
        Ok(Some(place))
    }

    /// Leaves a folder for the one above it, whose tree is `above`.
    fn leave(&mut self, frame: Frame<'_>, above: ChunkId) -> Result<()> {
        if let Some(place) = self.ways.last().and_then(|way| way.place) {
            if place.deletes {
                self.delete_strange(frame.nodes.root())?;
            }
            if place.gets_metadata {
                match frame.into_node(self.run.reader, above, &self.run.path) {
                    Ok(node) => self.hands.finish_folder(&node, &mut self.run)?,
                    Err(error) if is_damage(&error) => {
                        self.run.problem(format!("its metadata is lost: {}", with_causes(&error)));
                    }
                    Err(error) => return Err(error),
                }
            }
            self.ascend()?;
        }
        self.ways.pop();
        self.run.path.pop();
        self.hands.rest(&mut self.run)
    }

    pub(super) fn ascend(&mut self) -> Result<()> {
        self.hands.ascend().map_err(|source| self.run.fatal("walk out of", source))
    }

    /// Sees to an item that is no folder.
    fn put(&mut self, node: Node, present: Option<&Present>, how: Decision, deletes: bool) -> Result<()> {
        let group = self.run.links.group_of(&self.run.path);
        if group.is_some_and(|at| self.run.links.group(at).failed) {
            self.run.problem("it is lost with the file that it is a name of".to_owned());
            return Ok(());
        }
        // Of a group of which a name stands this is a further one.
        let further = group.filter(|&at| !self.run.links.group(at).made.is_empty());
        let how = further.map_or(how, |at| relink(how, present, self.run.links.group(at).kept));
        let (kind, bytes) = (kind_of(&node), bytes_of(&node));
        let is_done = match how {
            Decision::Skip => true,
            Decision::Keep if further.is_some() => true,
            Decision::Keep => self.keep(&node, present, group).map(|()| true)?,
            Decision::Create | Decision::Replace => match self.make_room(&node.name, present, how, deletes)? {
                Some(how) => self.link(&node, how, further)? || self.make(node, how, group.xor(further))?,
                None => false,
            },
        };
        if is_done {
            self.run.tell(how.action(), kind, bytes);
        }
        self.hands.rest(&mut self.run)
    }

    fn keep(&mut self, node: &Node, present: Option<&Present>, group: Option<usize>) -> Result<()> {
        self.hands.keep(node, &mut self.run)?;
        if let Some(at) = group {
            let standing = self.run.standing(None);
            let group = self.run.links.group(at);
            group.made.push(standing);
            group.is_whole = true;
            group.kept = present.map(Present::inode);
        }
        Ok(())
    }

    /// Makes an item, which may be the first name of a group.
    fn make(&mut self, node: Node, how: Decision, group: Option<usize>) -> Result<bool> {
        let kind = kind_of(&node);
        let temporary = match self.hands.make(node, how, &mut self.run)? {
            Made::There => None,
            Made::Under(name) => Some(name),
            Made::Lost => return Ok(false),
        };
        if let Some(at) = group {
            let standing = self.run.standing(temporary);
            let group = self.run.links.group(at);
            group.made.push(standing);
            group.is_whole = kind != EntryKind::File;
        }
        Ok(true)
    }

    /// Gives a file that is there already a further name. Answers whether that was all there was to do.
    fn link(&mut self, node: &Node, how: Decision, group: Option<usize>) -> Result<bool> {
        let Some(at) = group else { return Ok(false) };
        match self.hands.link(&node.name, how, at, &mut self.run) {
            Ok(standing) => {
                let group = self.run.links.group(at);
                if !group.is_whole {
                    group.made.push(standing);
                }
                Ok(true)
            }
            Err(error) => {
                // A file system without hard links gets files of their own; anything else is worth a word.
                use io::ErrorKind::{CrossesDevices, PermissionDenied, Unsupported};
                if !matches!(error.kind(), PermissionDenied | Unsupported | CrossesDevices) {
                    self.run.problem(format!("it comes back as a file of its own: {error}"));
                }
                Ok(false)
            }
        }
    }
}

/// The tree of a folder.
const fn tree_of(node: &Node) -> Option<ChunkId> {
    match node.kind {
        NodeKind::Folder { tree } => Some(tree),
        _ => None,
    }
}
