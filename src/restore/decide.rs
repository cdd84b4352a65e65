//! What becomes of an item where something may stand already. Pure.

use crate::format::tree::{Node, NodeKind};
use crate::progress::Action;
use crate::source::{EntryKind, Stat};

/// What becomes of what stands in the target already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Everything is written anew.
    Always,
    /// What is of the same kind, size and time of last change is kept, and gets its metadata.
    IfChanged,
    /// Only what is newer in the snapshot is written.
    IfNewer,
    /// What is there stays as it is.
    Never,
}

/// What is done with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is made; nothing has its name.
    Create,
    /// It is made, and what has its name goes.
    Replace,
    /// What has its name is the item, and gets its metadata.
    Keep,
    /// What has its name stays as it is.
    Skip,
}

impl Decision {
    pub(super) const fn action(self) -> Action {
        match self {
            Self::Create => Action::Created,
            Self::Replace => Action::Replaced,
            Self::Keep => Action::Kept,
            Self::Skip => Action::Skipped,
        }
    }
}

/// What has the name of an item.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub stat: Stat,
    /// Where it points to, if it is a symlink.
    pub link: Option<Vec<u8>>,
}

impl Present {
    pub(super) fn is_folder(&self) -> bool {
        self.stat.kind == EntryKind::Folder
    }

    pub(super) const fn inode(&self) -> Inode {
        (self.stat.dev, self.stat.ino)
    }
}

/// Device and number of a file.
pub(super) type Inode = (u64, u64);

/// What is done with the item `node`, if `present` has its name. Of folders only metadata is replaced.
pub(super) fn decide(policy: Overwrite, node: &Node, present: Option<&Present>) -> Decision {
    let Some(present) = present else { return Decision::Create };
    let is_newer = node.mtime.is_some_and(|mtime| mtime > present.stat.mtime);
    match policy {
        Overwrite::Never => Decision::Skip,
        Overwrite::IfNewer if !is_newer => Decision::Skip,
        _ if present.is_folder() && kind_of(node) == EntryKind::Folder => Decision::Keep,
        Overwrite::IfChanged if is_unchanged(node, present) => Decision::Keep,
        _ => Decision::Replace,
    }
}

/// The same for a further name of a file whose first name stands; `kept` if that one was there before.
pub(super) fn relink(how: Decision, present: Option<&Present>, kept: Option<Inode>) -> Decision {
    match how {
        Decision::Keep if present.map(Present::inode) != kept => Decision::Replace,
        how => how,
    }
}

fn is_unchanged(node: &Node, present: &Present) -> bool {
    kind_of(node) == present.stat.kind
        && node.mtime == Some(present.stat.mtime)
        && match &node.kind {
            NodeKind::File { size, .. } => *size == present.stat.size,
            NodeKind::Symlink { target } => Some(target) == present.link.as_ref(),
            NodeKind::CharDevice { device } | NodeKind::BlockDevice { device } => *device == present.stat.rdev,
            NodeKind::Fifo | NodeKind::Folder { .. } => true,
        }
}

/// What a node is in the target.
pub(super) const fn kind_of(node: &Node) -> EntryKind {
    match node.kind {
        NodeKind::File { .. } => EntryKind::File,
        NodeKind::Folder { .. } => EntryKind::Folder,
        NodeKind::Symlink { .. } => EntryKind::Symlink,
        NodeKind::Fifo => EntryKind::Fifo,
        NodeKind::CharDevice { .. } => EntryKind::CharDevice,
        NodeKind::BlockDevice { .. } => EntryKind::BlockDevice,
    }
}

#[cfg(test)]
mod tests {
    use super::Decision::{Create, Keep, Replace, Skip};
    use super::*;
    use crate::format::metadata::{Owner, Timestamp};
    use crate::format::name::Name;
    use crate::format::tree::Content;
    use crate::id::ChunkId;

    const POLICIES: [Overwrite; 4] = [Overwrite::Always, Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never];

    fn at(secs: i64) -> Timestamp {
        Timestamp { secs, nanos: 7 }
    }

    fn node(kind: NodeKind, mtime: Option<Timestamp>) -> Node {
        Node {
            name: Name::new(*b"name").unwrap(),
            kind,
            mode: 0o644,
            owner: Owner::default(),
            mtime,
            xattrs: Vec::new(),
            extras: Default::default(),
        }
    }

    fn file(size: u64) -> NodeKind {
        NodeKind::File { size, content: Content::Pieces(Vec::new()), changed: false }
    }

    fn symlink(target: &[u8]) -> NodeKind {
        NodeKind::Symlink { target: target.to_vec() }
    }

    fn present(kind: EntryKind, size: u64, mtime: Timestamp) -> Present {
        let stat = Stat {
            kind,
            mode: 0o600,
            uid: 0,
            gid: 0,
            size,
            mtime,
            ctime: mtime,
            atime: mtime,
            btime: None,
            dev: 1,
            ino: 2,
            nlink: 1,
            rdev: (1, 3),
            blocks: 0,
        };
        Present { stat, link: (kind == EntryKind::Symlink).then(|| b"there".to_vec()) }
    }

    #[test]
    fn what_is_missing_is_made_whatever_the_policy() {
        for policy in POLICIES {
            assert_eq!(decide(policy, &node(file(1), None), None), Create);
        }
    }

    #[test]
    fn policies_differ_in_what_they_look_at() {
        let folder = || NodeKind::Folder { tree: ChunkId([0; 32]) };
        let device = |minor| NodeKind::CharDevice { device: (1, minor) };
        use EntryKind::{CharDevice, File, Folder, Symlink};
        // For each: always, if-changed, if-newer, never.
        for (kind, mtime, there, wanted) in [
            (file(5), Some(at(9)), present(File, 5, at(9)), [Replace, Keep, Skip, Skip]),
            (file(6), Some(at(9)), present(File, 5, at(9)), [Replace, Replace, Skip, Skip]),
            (file(5), Some(at(9)), present(File, 5, at(8)), [Replace, Replace, Replace, Skip]),
            (file(5), Some(at(8)), present(File, 5, at(9)), [Replace, Replace, Skip, Skip]),
            (file(5), None, present(File, 5, at(9)), [Replace, Replace, Skip, Skip]),
            (file(5), Some(at(9)), present(Symlink, 5, at(9)), [Replace, Replace, Skip, Skip]),
            (file(5), Some(at(9)), present(Folder, 5, at(8)), [Replace, Replace, Replace, Skip]),
            (symlink(b"there"), Some(at(9)), present(Symlink, 5, at(9)), [Replace, Keep, Skip, Skip]),
            (symlink(b"where"), Some(at(9)), present(Symlink, 5, at(9)), [Replace, Replace, Skip, Skip]),
            (device(3), Some(at(9)), present(CharDevice, 0, at(9)), [Replace, Keep, Skip, Skip]),
            (device(4), Some(at(9)), present(CharDevice, 0, at(9)), [Replace, Replace, Skip, Skip]),
            (folder(), Some(at(9)), present(Folder, 5, at(8)), [Keep, Keep, Keep, Skip]),
            (folder(), Some(at(8)), present(Folder, 5, at(9)), [Keep, Keep, Skip, Skip]),
            (folder(), Some(at(9)), present(File, 5, at(9)), [Replace, Replace, Skip, Skip]),
        ] {
            let node = node(kind, mtime);
            assert_eq!(POLICIES.map(|policy| decide(policy, &node, Some(&there))), wanted, "{node:?} over {there:?}");
        }
    }

    #[test]
    fn a_further_name_is_kept_only_where_it_is_one_of_the_file_that_was_kept() {
        let there = present(EntryKind::File, 5, at(9));
        assert_eq!(relink(Keep, Some(&there), Some((1, 2))), Keep);
        assert_eq!(relink(Keep, Some(&there), Some((1, 3))), Replace);
        assert_eq!(relink(Keep, Some(&there), None), Replace);
        for how in [Create, Replace, Skip] {
            assert_eq!(relink(how, Some(&there), Some((1, 2))), how);
        }
    }
}
