//! `--delete`: what a restored folder holds and the snapshot does not goes.

use std::vec;

use super::choose::{Choice, Filter};
use super::decide::Decision;
use super::run::Hands;
use super::temporary::is_temporary;
use super::walk::Walk;
use crate::error::{Result, with_causes};
use crate::format::name::Name;
use crate::format::tree::Node;
use crate::id::ChunkId;
use crate::repo::fetch::is_damage;
use crate::source::{EntryKind, Names};
use crate::tree::nodes::Nodes;

/// A folder of the target that is being deleted with all that is in it.
struct Doomed {
    names: vec::IntoIter<Name>,
    /// Whether something in it stays.
    holds_something: bool,
    /// What goes of it: only what would be brought back if the snapshot had it.
    filter: Filter,
}

impl<H: Hands> Walk<'_, '_, H> {
    /// Deletes what the current folder holds and its tree does not. Where part of the list is lost, nobody knows what that is.
    pub(super) fn delete_strange(&mut self, tree: ChunkId) -> Result<()> {
        let names = match self.hands.names() {
            Ok(names) => names,
            Err(error) => {
                self.run.problem(format!("nothing is deleted here, it cannot be listed: {error}"));
                return Ok(());
            }
        };
        match strange(&names, Nodes::of(self.run.reader, tree)) {
            Ok(strange) => strange.iter().try_for_each(|name| self.delete(name).map(drop)),
            Err(error) if is_damage(&error) => {
                self.run.problem(format!("nothing is deleted here, part of its list is lost: {}", with_causes(&error)));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes an entry of the current folder and all below it, from the bottom up. Answers whether nothing is left of it.
    pub(super) fn delete(&mut self, name: &Name) -> Result<bool> {
        let mut levels: Vec<Doomed> = Vec::new();
        let mut is_gone = self.doom(name, &self.filter(), &mut levels)?;
        while let Some(level) = levels.last_mut() {
            self.run.cx.cancel.check()?;
            level.holds_something |= !is_gone;
            is_gone = match level.names.next() {
                Some(name) => {
                    let filter = level.filter.clone();
                    self.doom(&name, &filter, &mut levels)?
                }
                None => {
                    let holds_something = level.holds_something;
                    levels.pop();
                    self.ascend()?;
                    let is_gone = !holds_something && self.remove_here(EntryKind::Folder, 0);
                    self.run.path.pop();
                    is_gone
                }
            };
        }
        Ok(is_gone)
    }

    /// Deletes what is no folder, and steps into a folder. Answers whether the entry is out of the way: gone, or stepped into.
    fn doom(&mut self, name: &Name, filter: &Filter, levels: &mut Vec<Doomed>) -> Result<bool> {
        self.run.path.push(name);
        let stat = match self.hands.look(name) {
            Ok(Some(present)) => present.stat,
            Ok(None) => {
                self.run.path.pop();
                return Ok(true);
            }
            Err(error) => {
                self.run.problem(format!("cannot delete it: {error}"));
                self.run.path.pop();
                return Ok(false);
            }
        };
        let (filter, holds_something) = match filter.judge(name, stat.kind == EntryKind::Folder) {
            Choice::Taken(filter) => (filter, false),
            Choice::Way(filter) => (filter, true),
            Choice::LeftOut => {
                self.run.path.pop();
                return Ok(false);
            }
        };
        if stat.kind == EntryKind::Folder {
            let names = self.step_into(name)?;
            let is_entered = names.is_some();
            match names {
                Some(names) => levels.push(Doomed { names: names.into_iter(), holds_something, filter }),
                None => self.run.path.pop(),
            }
            return Ok(is_entered);
        }
        let is_gone = self.remove_here(stat.kind, stat.size);
        self.run.path.pop();
        Ok(is_gone)
    }

    /// Steps into a folder that is to be deleted and lists it. What another file system holds is not deleted.
    fn step_into(&mut self, name: &Name) -> Result<Option<Vec<Name>>> {
        if let Err(error) = self.hands.enter(name, Decision::Skip) {
            self.run.problem(format!("cannot delete it: {error}"));
            return Ok(None);
        }
        let refused = match (self.hands.is_mount_point(), self.hands.names()) {
            (Ok(false), Ok(names)) => {
                return Ok(Some(names.part(0, usize::MAX).filter_map(|name| Name::new(name).ok()).collect()));
            }
            (Ok(true), _) => "another file system begins here".to_owned(),
            (Err(error), _) | (_, Err(error)) => error.to_string(),
        };
        self.run.problem(format!("cannot delete it: {refused}"));
        self.ascend().map(|()| None)
    }
}

/// The names that no node has.
///
/// # Errors
/// Whatever keeps one node from being read, wherever it stands.
fn strange(names: &Names, nodes: impl Iterator<Item = Result<Node>>) -> Result<Vec<Name>> {
    let mut strange = Vec::new();
    let mut names = names.part(0, usize::MAX).peekable();
    let mut keep = |name: &[u8]| {
        if !is_temporary(name) {
            strange.extend(Name::new(name));
        }
    };
    for node in nodes {
        let node = node?;
        while let Some(name) = names.next_if(|name| *name < node.name.as_bytes()) {
            keep(name);
        }
        names.next_if_eq(&node.name.as_bytes());
    }
    names.for_each(keep);
    Ok(strange)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::Error;
    use crate::format::metadata::Owner;
    use crate::format::tree::NodeKind;
    use crate::target::TargetDir;

    fn node(name: &str) -> Result<Node> {
        Ok(Node {
            name: Name::new(name.as_bytes()).unwrap(),
            kind: NodeKind::Fifo,
            mode: 0,
            owner: Owner::default(),
            mtime: None,
            xattrs: Vec::new(),
            extras: Default::default(),
        })
    }

    #[test]
    fn what_no_node_names_is_strange_unless_a_node_cannot_be_read() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d", ".caddis-restore-0123456789abcdef-1"] {
            fs::write(root.path().join(name), b"").unwrap();
        }
        let names = TargetDir::open(root.path()).unwrap().names().unwrap();
        let found = |nodes: Vec<Result<Node>>| {
            let found = strange(&names, nodes.into_iter()).ok()?;
            Some(found.iter().map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap()).collect::<String>())
        };
        assert_eq!(found(vec![]).as_deref(), Some("abcd"));
        assert_eq!(found(vec![node("a"), node("aa"), node("c"), node("z")]).as_deref(), Some("bd"));
        assert_eq!(found(["a", "b", "c", "d"].map(node).into()).as_deref(), Some(""));
        for at in 0..3 {
            let mut nodes: Vec<_> = ["a", "z"].map(node).into();
            nodes.insert(at, Err(Error::MissingChunk { id: ChunkId([0; 32]) }));
            assert_eq!(found(nodes), None);
        }
    }
}
