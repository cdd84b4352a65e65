//! Files with several names: read once, and their names noted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::format::link::{LINK_PATH_BYTES_MAX, LinkGroup};
use crate::format::name::TreePath;
use crate::format::tree::NodeKind;
use crate::source::Stat;

/// An inode; the device number tells file systems of one run apart.
type Inode = (u64, u64);

/// The files with several names that a walk has met.
#[derive(Default)]
pub(super) struct HardLinks {
    inodes: HashMap<Inode, Linked>,
}

struct Linked {
    stat: Stat,
    /// What it was stored as; nothing if it was known from an earlier run.
    kind: Option<NodeKind>,
    names: Vec<TreePath>,
}

impl Linked {
    fn is_still(&self, stat: &Stat) -> bool {
        let version = |of: &Stat| (of.size, of.mtime, of.ctime, of.kind);
        version(&self.stat) == version(stat)
    }

    fn add(&mut self, path: &TreePath) {
        // Beyond that a name cannot be kept in the table; the file comes back all the same, on its own.
        if path.as_bytes().len() <= LINK_PATH_BYTES_MAX {
            self.names.push(path.clone());
        }
    }
}

impl HardLinks {
    /// What an earlier name of the same file was stored as, if nothing has changed since; `path` is a name of it then.
    pub(super) fn known(&mut self, stat: &Stat, path: &TreePath) -> Option<NodeKind> {
        if stat.nlink < 2 {
            return None;
        }
        let linked = self.inodes.get_mut(&(stat.dev, stat.ino)).filter(|linked| linked.is_still(stat))?;
        let kind = linked.kind.clone()?;
        linked.add(path);
        Some(kind)
    }

    /// Notes a name of a file that an earlier run has stored.
    pub(super) fn note(&mut self, stat: &Stat, path: &TreePath) {
        if stat.nlink < 2 {
            return;
        }
        match self.inodes.get_mut(&(stat.dev, stat.ino)).filter(|linked| linked.is_still(stat)) {
            Some(linked) => linked.add(path),
            None => self.insert(stat, path, None),
        }
    }

    /// Notes what a file with several names was stored as.
    pub(super) fn learn(&mut self, stat: &Stat, path: &TreePath, kind: &NodeKind) {
        if stat.nlink >= 2 {
            self.insert(stat, path, Some(kind.clone()));
        }
    }

    fn insert(&mut self, stat: &Stat, path: &TreePath, kind: Option<NodeKind>) {
        if path.as_bytes().len() > LINK_PATH_BYTES_MAX {
            return;
        }
        let linked = Linked { stat: *stat, kind, names: vec![path.clone()] };
        match self.inodes.entry((stat.dev, stat.ino)) {
            // It changed since its first name was read: the names seen before stay with what was read then.
            Entry::Occupied(mut known) => {
                let names = std::mem::take(&mut known.get_mut().names);
                known.insert(linked);
                known.get_mut().names.extend(names);
            }
            Entry::Vacant(entry) => {
                entry.insert(linked);
            }
        }
    }

    /// Groups of two names or more as the records of the table, in order.
    pub(super) fn records(self) -> Vec<LinkGroup> {
        let mut groups: Vec<LinkGroup> = self
            .inodes
            .into_values()
            .filter(|linked| linked.names.len() > 1)
            .map(|mut linked| {
                linked.names.sort();
                LinkGroup(linked.names)
            })
            .collect();
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        groups.into_iter().flat_map(LinkGroup::into_records).collect()
    }
}
