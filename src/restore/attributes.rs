//! What an item gets besides its content, read from its node.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Options;
use super::run::Run;
use crate::error::Result;
use crate::format::metadata::Owner;
use crate::format::tree::{Node, NodeKind};
use crate::target::Attributes;
use crate::target::metadata::{CAPABILITY, SETUID_AND_SETGID};
use crate::tree::xattrs::read_xattrs;

/// Names of owners that are remembered; a hostile snapshot has as many as it likes.
const NAMES_MAX: usize = 1024;

/// How metadata is changed on the way.
pub(super) struct Changes {
    strips_setuid: bool,
    by_name: Option<Numbers>,
}

impl Changes {
    pub(super) fn new(options: &Options) -> Self {
        Self { strips_setuid: options.strip_setuid, by_name: options.owner_by_name.then(Numbers::default) }
    }
}

/// Numbers of users and groups on this machine. Each name is asked for once: a look-up may go to a directory server.
#[derive(Default)]
struct Numbers {
    users: HashMap<Vec<u8>, Option<u32>>,
    groups: HashMap<Vec<u8>, Option<u32>>,
}

impl Numbers {
    /// The owner that has the same names here. Where there is no such name, the number stays.
    fn here(&mut self, owner: &Owner) -> Owner {
        let user = |name: &OsStr| uzers::get_user_by_name(name).map(|user| user.uid());
        let group = |name: &OsStr| uzers::get_group_by_name(name).map(|group| group.gid());
        Owner {
            uid: number(&mut self.users, owner.user.as_deref(), user).unwrap_or(owner.uid),
            gid: number(&mut self.groups, owner.group.as_deref(), group).unwrap_or(owner.gid),
            ..owner.clone()
        }
    }
}

fn number(
    known: &mut HashMap<Vec<u8>, Option<u32>>,
    name: Option<&[u8]>,
    ask: impl Fn(&OsStr) -> Option<u32>,
) -> Option<u32> {
    // The system takes names without NUL only, and would panic or cut at one.
    let name = name.filter(|name| !name.is_empty() && !name.contains(&0))?;
    if let Some(number) = known.get(name) {
        return *number;
    }
    if known.len() >= NAMES_MAX {
        known.clear();
    }
    let number = ask(OsStr::from_bytes(name));
    known.insert(name.to_vec(), number);
    number
}

impl Run<'_, '_> {
    pub(super) fn attributes(&mut self, node: &Node) -> Result<Attributes> {
        let mut lost = Vec::new();
        let mut xattrs = read_xattrs(self.reader, &node.xattrs, &mut |what| lost.push(what))?;
        lost.into_iter().for_each(|what| self.problem(what));
        let mut mode = node.mode;
        if self.changes.strips_setuid && matches!(node.kind, NodeKind::File { .. }) {
            mode &= !SETUID_AND_SETGID;
            xattrs.retain(|xattr| xattr.name != CAPABILITY);
        }
        let owner = match &mut self.changes.by_name {
            Some(numbers) => numbers.here(&node.owner),
            None => node.owner.clone(),
        };
        Ok(Attributes { mode, owner, atime: node.atime(), mtime: node.mtime, xattrs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_this_machine_knows_win_over_numbers() {
        let named = |user: Option<&str>, group: Option<&str>| {
            let bytes = |name: Option<&str>| name.map(|name| name.as_bytes().to_vec());
            let owner = Owner { uid: 4_000_000_001, gid: 4_000_000_002, user: bytes(user), group: bytes(group) };
            let here = Numbers::default().here(&owner);
            (here.uid, here.gid)
        };
        assert_eq!(named(Some("root"), Some("root")), (0, 0));
        assert_eq!(named(Some("root"), None), (0, 4_000_000_002));
        assert_eq!(named(Some("nobody has this name"), Some("root")), (4_000_000_001, 0));
        assert_eq!(named(Some("root\0"), Some("")), (4_000_000_001, 4_000_000_002));
    }

    #[test]
    fn no_more_names_are_remembered_than_there_is_room_for() {
        let mut known = HashMap::new();
        for count in 0..2 * NAMES_MAX {
            let name = count.to_string();
            assert_eq!(number(&mut known, Some(name.as_bytes()), |_| Some(7)), Some(7));
            assert_eq!(number(&mut known, Some(name.as_bytes()), |_| None), Some(7));
            assert!(known.len() <= NAMES_MAX);
        }
    }
}
