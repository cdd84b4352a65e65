//! Metadata put on restored items, once their content is complete.
//!
//! The order is forced, each step undoing or forbidding what stands before it:
//!
//! 1. owner: a change of it clears setuid, setgid and file capabilities;
//! 2. ACLs, file capabilities and attributes of users that the item has and the snapshot does not, away: it inherited them
//!    from the folder it was made in, or was there before;
//! 3. extended attributes other than ACLs: after a mode without write permission only root could set them;
//! 4. mode: with an ACL already in place it would change the ACL's mask and not the group's bits;
//! 5. ACLs, whose entries agree with the mode;
//! 6. times last.
//!
//! A single attribute that cannot be set stops nothing; it becomes a [`Problem`].

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};

use crate::format::metadata::{Owner, Timestamp, Xattr};
use crate::format::name::Name;
use crate::source::xattrs::{Holder, explain_proc, pin, proc_path};
use crate::source::{EntryKind, Stat};

const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
/// Where the system keeps the capabilities of a program.
pub const CAPABILITY: &[u8] = b"security.capability";
/// Mode bits that lend a program the rights of its owner or group.
pub const SETUID_AND_SETGID: u32 = 0o6000;
const MODE_BITS: u32 = 0o7777;
const NANOS_PER_SEC: u32 = 1_000_000_000;

/// What an item gets besides its name and content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with setuid, setgid and sticky; nothing else of it is looked at. Symlinks have none.
    pub mode: u32,
    /// Used by its numbers.
    pub owner: Owner,
    /// Last time that it was read; left alone when there is none.
    pub atime: Option<Timestamp>,
    /// Last change of the content; left as it is if there is none.
    pub mtime: Option<Timestamp>,
    /// In any order.
    pub xattrs: Vec<Xattr>,
}

/// What the user allows and the system lets this process do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether items are given to their owners; without root that cannot work. If not, they belong to whoever
    /// restores them, setuid and setgid included.
    pub owners: bool,
    /// Whether items may have attributes that nobody gave them here: ACLs from the folder that they were made in, see
    /// [`hands_acls_on`](super::TargetDir::hands_acls_on), or what they had before. If not, nobody has to look for them.
    pub may_have_xattrs: bool,
}

/// An attribute that could not be set.
#[derive(Debug, thiserror::Error)]
#[error("cannot restore the {attribute}")]
pub struct Problem {
    /// Which one.
    pub attribute: Attribute,
    /// Why not.
    #[source]
    pub error: io::Error,
}

/// The parts of metadata that can fail one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Everything: the item could not be reached, or is not the one that was made.
    All,
    /// Owner and group. Setuid and setgid were then left out as well: they would serve the wrong owner.
    Owner,
    /// Permission bits.
    Mode,
    /// The look at the attributes that the item already has.
    XattrList,
    /// The extended attribute of that name.
    Xattr(Vec<u8>),
    /// Modification time.
    Mtime,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("metadata"),
            Self::Owner => f.write_str("owner"),
            Self::Mode => f.write_str("mode"),
            Self::XattrList => f.write_str("list of extended attributes"),
            Self::Xattr(name) => write!(f, "extended attribute {}", name.escape_ascii()),
            Self::Mtime => f.write_str("modification time"),
        }
    }
}

/// Puts metadata on the file or folder that `handle` is open on. Returns what could not be set.
pub fn apply_to_file(handle: BorrowedFd<'_>, attributes: &Attributes, options: &Options) -> Vec<Problem> {
    Item { handle, holder: Holder::open(handle), kind: ItemKind::Open }.apply(attributes, options)
}

/// Puts metadata on the entry `name` of `folder` without opening or following it: for symlinks, FIFOs and devices.
/// Returns what could not be set; an entry that is not of `kind` was put there by somebody else and is left alone.
pub fn apply_to_name(
    folder: BorrowedFd<'_>,
    name: &Name,
    kind: EntryKind,
    attributes: &Attributes,
    options: &Options,
) -> Vec<Problem> {
    let handle = match pin(folder, name) {
        Ok(handle) => handle,
        Err(error) => return vec![Problem { attribute: Attribute::All, error }],
    };
    let found = Stat::of_handle(handle.as_fd()).map(|stat| stat.kind);
    if let Err(error) = found.and_then(|found| expect_kind(found, kind)) {
        return vec![Problem { attribute: Attribute::All, error }];
    }
    let item_kind = if kind == EntryKind::Symlink { ItemKind::PinnedSymlink } else { ItemKind::Pinned };
    Item { handle: handle.as_fd(), holder: Holder::pinned(handle.as_fd()), kind: item_kind }.apply(attributes, options)
}

fn expect_kind(found: EntryKind, wanted: EntryKind) -> io::Result<()> {
    if found == wanted { Ok(()) } else { Err(io::Error::other(format!("it was a {wanted} and is now a {found}"))) }
}

/// Whether files made in `folder` get an ACL from it.
pub(super) fn hands_acls_on(folder: BorrowedFd<'_>) -> bool {
    Holder::open(folder).names().map_or(true, |names| names.iter().any(|name| name == ACLS[1]))
}

struct Item<'a> {
    handle: BorrowedFd<'a>,
    holder: Holder<'a>,
    kind: ItemKind,
}

/// How the item can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemKind {
    Open,
    Pinned,
    PinnedSymlink,
}

impl Item<'_> {
    fn apply(&self, attributes: &Attributes, options: &Options) -> Vec<Problem> {
        let mut problems = Problems::default();
        let owned = !options.owners || problems.note(Attribute::Owner, self.set_owner(&attributes.owner));
        let present = self.present(attributes, options).unwrap_or_else(|error| {
            problems.note(Attribute::XattrList, Err(error));
            Vec::new()
        });
        self.remove_strange_xattrs(&present, attributes, &mut problems);
        self.set_xattrs(&present, attributes.xattrs.iter().filter(|xattr| !is_acl(&xattr.name)), &mut problems);
        if self.kind != ItemKind::PinnedSymlink {
            let mode = if owned { attributes.mode } else { attributes.mode & !SETUID_AND_SETGID };
            problems.note(Attribute::Mode, self.set_mode(mode));
        }
        self.set_xattrs(&present, attributes.xattrs.iter().filter(|xattr| is_acl(&xattr.name)), &mut problems);
        if attributes.mtime.is_some() || attributes.atime.is_some() {
            problems.note(Attribute::Mtime, self.set_times(attributes));
        }
        problems.0
    }

    /// Names of the attributes that the item already has, as far as they matter.
    fn present(&self, attributes: &Attributes, options: &Options) -> io::Result<Vec<Vec<u8>>> {
        // A symlink has none of those that are removed, and gets none.
        let may_have = options.may_have_xattrs && self.kind != ItemKind::PinnedSymlink;
        if may_have || !attributes.xattrs.is_empty() { self.holder.names() } else { Ok(Vec::new()) }
    }

    fn set_owner(&self, owner: &Owner) -> io::Result<()> {
        // The largest number means "leave it" to the system, which would keep root's ownership without an error.
        if owner.uid == u32::MAX || owner.gid == u32::MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not the number of an owner"));
        }
        // Most items have their owner from the start, and a look costs a fraction of a change that changes nothing.
        let now = rustix::fs::fstat(self.handle)?;
        if (now.st_uid, now.st_gid) == (owner.uid, owner.gid) {
            return Ok(());
        }
        let (uid, gid) = (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
        Ok(rustix::fs::chownat(self.handle, c"", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    fn remove_strange_xattrs(&self, present: &[Vec<u8>], attributes: &Attributes, problems: &mut Problems) {
        for name in present.iter().filter(|name| is_removed(name)) {
            if !attributes.xattrs.iter().any(|xattr| xattr.name == *name) {
                problems.note(Attribute::Xattr(name.clone()), self.holder.remove(name));
            }
        }
    }

    fn set_xattrs<'x>(&self, present: &[Vec<u8>], xattrs: impl Iterator<Item = &'x Xattr>, problems: &mut Problems) {
        for xattr in xattrs {
            // Security labels are often set by the system itself, and setting them again takes rights of its own.
            let same = present.contains(&xattr.name)
                && self.holder.value(&xattr.name).is_ok_and(|value| value.as_ref() == Some(&xattr.value));
            if !same {
                problems.note(Attribute::Xattr(xattr.name.clone()), self.holder.set(&xattr.name, &xattr.value));
            }
        }
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode & MODE_BITS);
        match self.kind {
            ItemKind::Open => Ok(rustix::fs::fchmod(self.handle, mode)?),
            _ => rustix::fs::chmod(proc_path(self.handle), mode).map_err(explain_proc),
        }
    }

    fn set_times(&self, attributes: &Attributes) -> io::Result<()> {
        let times =
            Timestamps { last_access: timespec(attributes.atime)?, last_modification: timespec(attributes.mtime)? };
        match self.kind {
            ItemKind::Open => Ok(rustix::fs::futimens(self.handle, &times)?),
            _ => rustix::fs::utimensat(rustix::fs::CWD, proc_path(self.handle), &times, AtFlags::empty())
                .map_err(explain_proc),
        }
    }
}

/// No time leaves what there is.
fn timespec(time: Option<Timestamp>) -> io::Result<Timespec> {
    match time {
        None => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
        // From a second on, nanoseconds have other meanings to the system ("now", "leave it").
        Some(time) if time.nanos >= NANOS_PER_SEC => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "more than a second of nanoseconds"))
        }
        Some(time) => Ok(Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() }),
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    /// Keeps an error; tells whether there was none.
    fn note(&mut self, attribute: Attribute, result: io::Result<()>) -> bool {
        result.map_err(|error| self.0.push(Problem { attribute, error })).is_ok()
    }
}

fn is_acl(name: &[u8]) -> bool {
    ACLS.contains(&name)
}

/// Whether an attribute that the snapshot does not have goes. Others, such as security labels, are the system's own business.
fn is_removed(name: &[u8]) -> bool {
    is_acl(name) || name == CAPABILITY || name.starts_with(b"user.")
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::source::Folder;
    use crate::target::TargetDir;

    const KEEP_OWNERS: Options = Options { owners: false, may_have_xattrs: false };
    const GIVE_OWNERS: Options = Options { owners: true, ..KEEP_OWNERS };

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    fn attributes(mode: u32, secs: i64, nanos: u32) -> Attributes {
        Attributes { mode, mtime: Some(Timestamp { secs, nanos }), ..Attributes::default() }
    }

    fn xattr(name: &str, value: &[u8]) -> Xattr {
        Xattr { name: name.into(), value: value.to_vec() }
    }

    /// user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::---, in the system's own form.
    fn acl() -> Vec<u8> {
        let entries = [
            (0x01_u16, 7_u16, u32::MAX),
            (0x02, 7, 1000),
            (0x04, 5, u32::MAX),
            (0x10, 7, u32::MAX),
            (0x20, 0, u32::MAX),
        ];
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn times_before_1970_are_exact_for_every_kind_of_item() {
        let root = tempfile::tempdir().unwrap();
        let target = TargetDir::open(root.path()).unwrap();
        let wanted = attributes(0o640, -1_000_000_001, 123_456_789);
        let file = target.create_file(&name("file")).unwrap();
        target.make_folder(&name("folder")).unwrap();
        let folder = File::open(root.path().join("folder")).unwrap();
        target.make_symlink(&name("link"), b"nowhere").unwrap();
        target.make_fifo(&name("fifo")).unwrap();
        let mut problems = apply_to_file(file.as_fd(), &wanted, &KEEP_OWNERS);
        problems.extend(apply_to_file(folder.as_fd(), &wanted, &KEEP_OWNERS));
        for (entry, kind) in [("link", EntryKind::Symlink), ("fifo", EntryKind::Fifo)] {
            problems.extend(apply_to_name(target.handle(), &name(entry), kind, &wanted, &KEEP_OWNERS));
        }
        assert!(problems.is_empty(), "{problems:?}");
        let source = Folder::open(root.path()).unwrap();
        for entry in ["file", "folder", "link", "fifo"] {
            let stat = source.stat_of(&name(entry)).unwrap();
            assert_eq!(Some(stat.mtime), wanted.mtime, "{entry}");
            assert_eq!(stat.mode, if entry == "link" { 0o777 } else { 0o640 }, "{entry}");
        }
    }

    #[test]
    fn an_acl_inherited_from_the_target_does_not_stay() {
        let root = tempfile::tempdir().unwrap();
        let mut target = TargetDir::open(root.path()).unwrap();
        if let Err(error) = Holder::open(target.handle()).set(ACLS[1], &acl()) {
            eprintln!("skipped: no ACLs in the temporary folder ({error})");
            return;
        }
        assert!(target.hands_acls_on());
        let options = Options { may_have_xattrs: true, ..KEEP_OWNERS };
        let file = target.create_file(&name("file")).unwrap();
        target.make_fifo(&name("fifo")).unwrap();
        target.make_folder(&name("folder")).unwrap();
        target.descend(&name("folder")).unwrap();
        assert!(target.hands_acls_on(), "as long as it has no metadata of its own");
        let folder = target.current_handle().unwrap();
        target.ascend().unwrap();
        assert_eq!(Holder::open(folder.as_fd()).names().unwrap().len(), 2, "the folder inherits both");
        let wanted = attributes(0o754, 1, 0);
        let mut problems = apply_to_file(file.as_fd(), &wanted, &options);
        problems.extend(apply_to_file(folder.as_fd(), &wanted, &options));
        problems.extend(apply_to_name(target.handle(), &name("fifo"), EntryKind::Fifo, &wanted, &options));
        assert!(problems.is_empty(), "{problems:?}");
        let source = Folder::open(root.path()).unwrap();
        for entry in ["file", "folder", "fifo"] {
            assert_eq!(source.xattrs_of(&name(entry)).unwrap(), [], "{entry}");
            assert_eq!(source.stat_of(&name(entry)).unwrap().mode, 0o754, "{entry}");
        }
    }

    #[test]
    fn acls_and_attributes_come_back_also_where_the_mode_forbids_writing() {
        let root = tempfile::tempdir().unwrap();
        let target = TargetDir::open(root.path()).unwrap();
        let file = target.create_file(&name("file")).unwrap();
        // The group's bits are the ACL's mask.
        let mut wanted = attributes(0o4570, 0, 1);
        let mut read_only = acl();
        read_only[6] = 5;
        wanted.xattrs = vec![xattr("system.posix_acl_access", &read_only), xattr("user.comment", b"kept")];
        let problems = apply_to_file(file.as_fd(), &wanted, &KEEP_OWNERS);
        if problems.iter().any(|problem| problem.error.kind() == io::ErrorKind::Unsupported) {
            eprintln!("skipped: no ACLs or user attributes in the temporary folder");
            return;
        }
        assert!(problems.is_empty(), "{problems:?}");
        let source = Folder::open(root.path()).unwrap();
        assert_eq!(source.xattrs_of(&name("file")).unwrap(), wanted.xattrs);
        assert_eq!(source.stat_of(&name("file")).unwrap().mode, wanted.mode);
        // A second time changes nothing and needs no right to write.
        assert!(apply_to_file(file.as_fd(), &wanted, &KEEP_OWNERS).is_empty());
    }

    #[test]
    fn one_attribute_that_fails_does_not_stop_the_others() {
        let root = tempfile::tempdir().unwrap();
        let target = TargetDir::open(root.path()).unwrap();
        let file = target.create_file(&name("file")).unwrap();
        let mut wanted = attributes(0o600, 5, 6);
        wanted.xattrs = vec![xattr("nonsense.a", b"x")];
        let problems = apply_to_file(file.as_fd(), &wanted, &KEEP_OWNERS);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].to_string(), "cannot restore the extended attribute nonsense.a");
        assert_eq!(file.metadata().unwrap().mtime(), 5);
    }

    #[test]
    fn numbers_that_mean_something_else_to_the_system_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = TargetDir::open(root.path()).unwrap().create_file(&name("file")).unwrap();
        let mut wanted = attributes(0o4755, 5, 0x3fff_ffff);
        wanted.owner.uid = u32::MAX;
        let problems = apply_to_file(file.as_fd(), &wanted, &GIVE_OWNERS);
        let failed: Vec<_> = problems.into_iter().map(|problem| problem.attribute).collect();
        assert_eq!(failed, [Attribute::Owner, Attribute::Mtime]);
        // Setuid without its owner would be somebody else's setuid.
        assert_eq!(file.metadata().unwrap().mode() & MODE_BITS, 0o755);
    }

    #[test]
    fn an_entry_swapped_for_a_symlink_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, b"").unwrap();
        let before = fs::metadata(&victim).unwrap();
        std::os::unix::fs::symlink(&victim, root.path().join("fifo")).unwrap();
        let target = TargetDir::open(root.path()).unwrap();
        let wanted = attributes(0o4777, 5, 6);
        let problems = apply_to_name(target.handle(), &name("fifo"), EntryKind::Fifo, &wanted, &KEEP_OWNERS);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].attribute, Attribute::All);
        // Metadata of a symlink is the link's own.
        let problems = apply_to_name(target.handle(), &name("fifo"), EntryKind::Symlink, &wanted, &KEEP_OWNERS);
        assert!(problems.is_empty(), "{problems:?}");
        let after = fs::metadata(&victim).unwrap();
        assert_eq!((after.mode(), after.mtime(), after.ctime()), (before.mode(), before.mtime(), before.ctime()));
    }

    #[test]
    fn owners_setuid_and_capabilities_come_back_together() {
        if !is_root() {
            eprintln!("skipped: only root may give files away");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let target = TargetDir::open(root.path()).unwrap();
        let file = target.create_file(&name("file")).unwrap();
        target.make_symlink(&name("link"), b"file").unwrap();
        let mut wanted = attributes(0o6755, 5, 6);
        wanted.owner = Owner { uid: 12_345, gid: 54_321, user: None, group: None };
        let link_problems = apply_to_name(target.handle(), &name("link"), EntryKind::Symlink, &wanted, &GIVE_OWNERS);
        assert!(link_problems.is_empty(), "{link_problems:?}");
        let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        wanted.xattrs = vec![xattr("security.capability", capability)];
        let problems = apply_to_file(file.as_fd(), &wanted, &GIVE_OWNERS);
        assert!(problems.is_empty(), "{problems:?}");
        let source = Folder::open(root.path()).unwrap();
        assert_eq!(source.xattrs_of(&name("file")).unwrap(), wanted.xattrs);
        let stat = source.stat_of(&name("file")).unwrap();
        assert_eq!((stat.uid, stat.gid, stat.mode), (12_345, 54_321, 0o6755));
        let link = source.stat_of(&name("link")).unwrap();
        assert_eq!((link.uid, link.gid), (12_345, 54_321));
    }
}
