//! What goes from the target: leftovers of earlier runs, and folders that stand where something else belongs.

use std::io;

use super::decide::{Decision, Present};
use super::run::Hands;
use super::temporary::is_temporary;
use super::walk::Walk;
use crate::error::{Result, with_causes};
use crate::format::name::Name;
use crate::id::ChunkId;
use crate::progress::Action;
use crate::repo::fetch::is_damage;
use crate::source::EntryKind;
use crate::tree::read::find_node;

impl<H: Hands> Walk<'_, '_, H> {
    /// Removes from the current folder, whose tree is `tree`, what an earlier restore that was killed has left.
    pub(super) fn remove_leftovers(&mut self, tree: ChunkId) -> Result<()> {
        let names = match self.hands.names() {
            Ok(names) => names,
            // What has to be looked at by name will be; a folder need not let itself be listed.
            Err(_) => return Ok(()),
        };
        for name in names.part(0, usize::MAX).filter(|name| is_temporary(name)) {
            let Ok(name) = Name::new(name) else { continue };
            match find_node(self.run.reader, tree, &name) {
                Ok(None) => self.remove_leftover(&name),
                Ok(Some(_)) => {}
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn remove_leftover(&mut self, name: &Name) {
        let Ok(Some(present)) = self.hands.look(name) else { return };
        if !present.is_folder() {
            self.run.path.push(name);
            self.remove_here(present.stat.kind, present.stat.size);
            self.run.path.pop();
        }
    }

    /// Removes what the walk is at from the current folder. Answers whether that worked.
    pub(super) fn remove_here(&mut self, kind: EntryKind, bytes: u64) -> bool {
        let Some(name) = self.run.path.last() else { return false };
        match self.hands.remove(&name) {
            Ok(()) => self.run.tell(Action::Deleted, kind, bytes),
            Err(ref error) => {
                self.run.problem(format!("cannot delete it: {error}"));
                return false;
            }
        }
        true
    }

    /// Makes way for an item that is no folder where one stands: that cannot be replaced in one step. Answers what is left to
    /// do; nothing if the folder stays. One that holds something goes only if the restore `deletes` here.
    pub(super) fn make_room(
        &mut self,
        name: &Name,
        present: Option<&Present>,
        how: Decision,
        deletes: bool,
    ) -> Result<Option<Decision>> {
        if how != Decision::Replace || !present.is_some_and(Present::is_folder) {
            return Ok(Some(how));
        }
        if deletes {
            self.run.path.pop();
            let is_gone = self.delete(name)?;
            self.run.path.push(name);
            return Ok(is_gone.then_some(Decision::Create));
        }
        match self.remove_empty_folder(name) {
            Ok(()) => Ok(Some(Decision::Create)),
            Err(error) => {
                self.run.problem(format!("a folder stands in its place: {}", with_causes(&error)));
                Ok(None)
            }
        }
    }

    fn remove_empty_folder(&mut self, name: &Name) -> io::Result<()> {
        self.hands.enter(name, Decision::Skip)?;
        let is_empty = self.hands.names().map(|names| names.is_empty());
        self.hands.ascend()?;
        if !is_empty? {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.hands.remove(name)
    }
}
