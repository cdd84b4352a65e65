//! Which names in a part of a snapshot belong to one file.

use std::collections::HashMap;

use super::read::{ChunkSource, read_links};
use crate::error::Result;
use crate::format::name::TreePath;
use crate::format::snapshot::TableRef;

/// The start of a path's hash. Whole paths of a million names would fill the memory that an operation may take.
type PathHash = [u8; 16];

/// The groups of hard links of which two names or more lie below a folder, numbered from 0.
#[derive(Default)]
pub struct GroupsBelow {
    groups_of: HashMap<PathHash, usize>,
    len: usize,
}

impl GroupsBelow {
    /// Reads a snapshot's table.
    pub fn read(source: &dyn ChunkSource, table: Option<&TableRef>, folder: &TreePath) -> Result<Self> {
        let mut groups = Self::default();
        for group in read_links(source, table)? {
            let mut names = group.0.iter().filter(|name| name.is_below(folder)).peekable();
            let Some(first) = names.next() else { continue };
            if names.peek().is_none() {
                continue;
            }
            groups.groups_of.extend(names.chain([first]).map(|name| (hash(name), groups.len)));
            groups.len += 1;
        }
        Ok(groups)
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The group that a path belongs to.
    pub fn group_of(&self, path: &TreePath) -> Option<usize> {
        if self.is_empty() { None } else { self.groups_of.get(&hash(path)).copied() }
    }
}

fn hash(path: &TreePath) -> PathHash {
    *blake3::hash(path.as_bytes()).as_bytes().first_chunk().expect("a hash is longer")
}
