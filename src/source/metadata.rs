//! What the system knows of an entry without reading it: [`Stat`], and the names of owners.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp};

use crate::format::metadata::{Owner, Timestamp};
use crate::format::name::Name;

/// Permission bits with setuid, setgid and sticky.
const MODE_BITS: u16 = 0o7777;

/// The kinds of entry that a file system can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A socket: it means nothing without the process that made it.
    Socket,
}

/// One look at an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Length in bytes; of a symlink, that of its target.
    pub size: u64,
    /// Last time that it was read, as far as the file system keeps that.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of content or metadata; set by the system alone.
    pub ctime: Timestamp,
    /// When it was made, on file systems that remember.
    pub btime: Option<Timestamp>,
    /// The device the file system is on; may change at boot.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Names it has: more than 1 for hard links.
    pub nlink: u64,
    /// Major and minor number of a device; 0 otherwise.
    pub rdev: (u32, u32),
    /// Allocated space in units of 512 bytes.
    pub blocks: u64,
}

impl Stat {
    /// Of the entry `name` of `folder`, not following it. Needs Linux 4.11, where statx and with it the birth time came.
    pub(crate) fn of_name(folder: BorrowedFd<'_>, name: &Name) -> io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Self::new(&rustix::fs::statx(folder, name.as_os_str(), flags, wanted())?)
    }

    /// Of what `handle` is open on.
    ///
    /// # Errors
    /// The system's.
    pub fn of_handle(handle: BorrowedFd<'_>) -> io::Result<Self> {
        Self::new(&rustix::fs::statx(handle, c"", AtFlags::EMPTY_PATH, wanted())?)
    }

    fn new(statx: &Statx) -> io::Result<Self> {
        Ok(Self {
            kind: EntryKind::of_mode(statx.stx_mode)?,
            mode: u32::from(statx.stx_mode & MODE_BITS),
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            size: statx.stx_size,
            atime: timestamp(statx.stx_atime),
            mtime: timestamp(statx.stx_mtime),
            ctime: timestamp(statx.stx_ctime),
            btime: (statx.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| timestamp(statx.stx_btime)),
            dev: rustix::fs::makedev(statx.stx_dev_major, statx.stx_dev_minor),
            ino: statx.stx_ino,
            nlink: u64::from(statx.stx_nlink),
            rdev: (statx.stx_rdev_major, statx.stx_rdev_minor),
            blocks: statx.stx_blocks,
        })
    }
}

impl EntryKind {
    fn of_mode(mode: u16) -> io::Result<Self> {
        match FileType::from_raw_mode(mode.into()) {
            FileType::RegularFile => Ok(Self::File),
            FileType::Directory => Ok(Self::Folder),
            FileType::Symlink => Ok(Self::Symlink),
            FileType::Fifo => Ok(Self::Fifo),
            FileType::CharacterDevice => Ok(Self::CharDevice),
            FileType::BlockDevice => Ok(Self::BlockDevice),
            FileType::Socket => Ok(Self::Socket),
            FileType::Unknown => Err(io::Error::other(format!("an entry of unknown kind (mode {mode:o})"))),
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Socket => "socket",
        })
    }
}

/// The file system that an item is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// The id that it has of itself, which most keep over a reboot.
    pub id: u64,
    /// Whether its inode numbers stay with their files, as far as is known.
    pub has_inodes: bool,
}

impl FileSystem {
    /// The file system of what `handle` is open on.
    ///
    /// # Errors
    /// The system's.
    pub fn of_handle(handle: BorrowedFd<'_>) -> io::Result<Self> {
        // ext2 to ext4, XFS, btrfs, F2FS, bcachefs, ZFS, tmpfs: the numbers are those of statfs(2) and of their sources.
        const WITH_INODES: [u64; 7] =
            [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0xca45_1a4e, 0x2fc1_2fc1, 0x0102_1994];
        let kind = u64::try_from(rustix::fs::fstatfs(handle)?.f_type).unwrap_or_default();
        Ok(Self { id: rustix::fs::fstatvfs(handle)?.f_fsid, has_inodes: WITH_INODES.contains(&kind) })
    }
}

/// Names of users and groups by number. Each number is asked for once: a look-up may go to a directory server.
#[derive(Debug, Default)]
pub struct OwnerNames {
    users: HashMap<u32, Option<Vec<u8>>>,
    groups: HashMap<u32, Option<Vec<u8>>>,
}

impl OwnerNames {
    /// Owner and group of an entry, by number and by the names that this machine knows for them.
    pub fn owner(&mut self, uid: u32, gid: u32) -> Owner {
        Owner { uid, gid, user: self.user(uid).clone(), group: self.group(gid).clone() }
    }

    /// The name of a user.
    pub fn user(&mut self, uid: u32) -> &Option<Vec<u8>> {
        let name = || uzers::get_user_by_uid(uid).map(|user| user.name().as_bytes().to_vec());
        self.users.entry(uid).or_insert_with(name)
    }

    /// The name of a group.
    pub fn group(&mut self, gid: u32) -> &Option<Vec<u8>> {
        let name = || uzers::get_group_by_gid(gid).map(|group| group.name().as_bytes().to_vec());
        self.groups.entry(gid).or_insert_with(name)
    }

    /// The users that were asked for, with their names.
    pub fn known_users(&self) -> impl Iterator<Item = (u32, &Option<Vec<u8>>)> {
        self.users.iter().map(|(&uid, name)| (uid, name))
    }

    /// The groups that were asked for, with their names.
    pub fn known_groups(&self) -> impl Iterator<Item = (u32, &Option<Vec<u8>>)> {
        self.groups.iter().map(|(&gid, name)| (gid, name))
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

fn timestamp(time: StatxTimestamp) -> Timestamp {
    Timestamp { secs: time.tv_sec, nanos: time.tv_nsec }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_stat_agrees_with_the_standard_library() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, b"twelve bytes").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
        fs::hard_link(&path, root.path().join("other")).unwrap();
        let folder = fs::File::open(root.path()).unwrap();
        let stat = Stat::of_name(folder.as_fd(), &Name::new(*b"file").unwrap()).unwrap();
        let known = fs::metadata(&path).unwrap();
        assert_eq!((stat.kind, stat.mode, stat.size, stat.nlink), (EntryKind::File, 0o4751, 12, 2));
        assert_eq!((stat.uid, stat.gid, stat.blocks), (known.uid(), known.gid(), known.blocks()));
        assert_eq!((stat.dev, stat.ino), (known.dev(), known.ino()));
        assert_eq!((stat.mtime.secs, i64::from(stat.mtime.nanos)), (known.mtime(), known.mtime_nsec()));
        assert_eq!((stat.ctime.secs, i64::from(stat.ctime.nanos)), (known.ctime(), known.ctime_nsec()));
        assert_eq!(stat.btime.is_some(), known.created().is_ok());
        assert_eq!(Stat::of_handle(fs::File::open(&path).unwrap().as_fd()).unwrap(), stat);
    }

    #[test]
    fn owners_are_named_where_the_machine_knows_a_name() {
        let owner = OwnerNames::default().owner(0, 3_999_999_999);
        assert_eq!((owner.uid, owner.gid), (0, 3_999_999_999));
        assert_eq!(owner.user.as_deref(), Some(&b"root"[..]));
        assert_eq!(owner.group, None);
    }
}
