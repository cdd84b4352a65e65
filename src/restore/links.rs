//! Which names belong to one file, and which of them stand already.

use super::decide::Inode;
use crate::error::{Result, with_causes};
use crate::format::name::{Name, TreePath};
use crate::progress::{Context, Problem};
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::snapshots::Snapshot;
use crate::tree::links::GroupsBelow;

/// The groups of hard links below the folder that is brought back.
#[derive(Default)]
pub(super) struct Links {
    below: GroupsBelow,
    groups: Vec<Group>,
    /// Whether the table could not be read.
    pub is_lost: bool,
}

/// The names of one file.
#[derive(Clone, Default)]
pub(super) struct Group {
    /// Names that stand: all of them until the file is known to be whole, then the first.
    pub made: Vec<Standing>,
    /// Whether the file is known to be whole.
    pub is_whole: bool,
    /// The file, if it was there before.
    pub kept: Option<Inode>,
    /// Whether the file could not be brought back.
    pub failed: bool,
}

/// A name that stands for an item.
#[derive(Clone)]
pub(super) struct Standing {
    /// From the target downward.
    pub path: Vec<Name>,
    /// The name that stands instead of the last one, as long as that one stands for something that is to be replaced.
    pub temporary: Option<Name>,
}

impl Standing {
    /// Where the item can be found now.
    pub(super) fn place(&self) -> Vec<Name> {
        let mut place = self.path.clone();
        if let (Some(last), Some(temporary)) = (place.last_mut(), &self.temporary) {
            last.clone_from(temporary);
        }
        place
    }
}

impl Links {
    /// Reads the groups of which two names or more lie below `path`.
    pub(super) fn below(reader: &Reader<'_>, snapshot: &Snapshot, path: &TreePath, cx: &Context<'_>) -> Result<Self> {
        match GroupsBelow::read(reader, snapshot.body.links.as_ref(), path) {
            Ok(below) => Ok(Self { groups: vec![Group::default(); below.len()], below, is_lost: false }),
            Err(error) if is_damage(&error) => {
                let what = format!("its hard links come back as separate files: {}", with_causes(&error));
                cx.progress.problem(&Problem { item: path.absolute(), what });
                Ok(Self { is_lost: true, ..Self::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// The group of a path.
    pub(super) fn group_of(&self, path: &TreePath) -> Option<usize> {
        self.below.group_of(path)
    }

    /// A group by its number.
    pub(super) fn group(&mut self, at: usize) -> &mut Group {
        &mut self.groups[at]
    }
}
