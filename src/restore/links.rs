//! Which names belong to one file, and which of them stand already.

use std::collections::HashMap;

use crate::error::{Result, with_causes};
use crate::format::name::{Name, TreePath};
use crate::progress::{Context, Problem};
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::snapshots::Snapshot;
use crate::tree::read::read_links;

/// The start of a path's hash. Whole paths of a million names would fill the memory that a restore may take.
type PathHash = [u8; 16];

/// The groups of hard links below the folder that is brought back.
#[derive(Default)]
pub(super) struct Links {
    groups_of: HashMap<PathHash, usize>,
    groups: Vec<Group>,
    /// Whether the table could not be read.
    pub is_lost: bool,
}

/// The names of one file.
#[derive(Default)]
pub(super) struct Group {
    /// Names that stand, from the target downward: all of them until the file is known to be whole, then the first.
    pub made: Vec<Vec<Name>>,
    /// Whether the file could not be brought back.
    pub failed: bool,
}

impl Links {
    /// Reads the groups of which two names or more lie below `path`.
    pub(super) fn below(reader: &Reader<'_>, snapshot: &Snapshot, path: &TreePath, cx: &Context<'_>) -> Result<Self> {
        let mut links = Self::default();
        let groups = match read_links(reader, snapshot.body.links.as_ref()) {
            Ok(groups) => groups,
            Err(error) if is_damage(&error) => {
                let what = format!("its hard links come back as separate files: {}", with_causes(&error));
                cx.progress.problem(&Problem { item: path.absolute(), what });
                return Ok(Self { is_lost: true, ..links });
            }
            Err(error) => return Err(error),
        };
        for group in groups {
            let mut names = group.0.iter().filter(|name| name.is_below(path)).peekable();
            let Some(first) = names.next() else { continue };
            if names.peek().is_none() {
                continue;
            }
            let at = links.groups.len();
            links.groups.push(Group::default());
            links.groups_of.extend(names.chain([first]).map(|name| (hash(name), at)));
        }
        Ok(links)
    }

    /// The group of a path.
    pub(super) fn group_of(&self, path: &TreePath) -> Option<usize> {
        if self.groups.is_empty() { None } else { self.groups_of.get(&hash(path)).copied() }
    }

    /// A group by its number.
    pub(super) fn group(&mut self, at: usize) -> &mut Group {
        &mut self.groups[at]
    }
}

fn hash(path: &TreePath) -> PathHash {
    *blake3::hash(path.as_bytes()).as_bytes().first_chunk().expect("a hash is longer")
}
