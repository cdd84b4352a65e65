//! The write side of restore: items made beneath a target folder, and metadata put on them.
//!
//! Nothing here can reach outside the target. Every call is relative to a folder's handle and takes a
//! [`Name`], which is one component and never `..`; folders are entered and files made without following symlinks, so
//! that a link planted by the snapshot or by another process is an error and not a way out.
//!
//! Items are made closed to everybody else and get their real mode from [`metadata`] once they are complete. A file is
//! written at offsets and cut to its size at the end; what is never written stays a hole.

pub mod metadata;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::dirs::DirChain;
use crate::format::name::Name;
use crate::source::xattrs::{explain_proc, pin, proc_path};
use crate::source::{EntryKind, Names, Stat};

pub use metadata::{Attribute, Attributes, Options, Problem, apply_to_file, apply_to_name};

/// Until an item is complete nobody else may look into it.
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A folder of the target, with the way back up to the target itself.
#[derive(Debug)]
pub struct TargetDir {
    chain: DirChain,
}

impl TargetDir {
    /// Opens the target; a symlink there is the user's own choice and followed, one below it never.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { chain: DirChain::open_root(path, OFlags::empty())? })
    }

    /// Steps down into a folder; see [`DirChain::descend`].
    ///
    /// # Errors
    /// The system's; a symlink is [`io::ErrorKind::NotADirectory`].
    pub fn descend(&mut self, name: &Name) -> io::Result<()> {
        self.chain.descend(name)
    }

    /// Steps back up; see [`DirChain::ascend`]. **Ascend before putting metadata on a folder**, by way of
    /// [`TargetDir::current_handle`]: its final mode may forbid the way back.
    ///
    /// # Errors
    /// At the target, or when folders were moved so that the parent cannot be found again. The walk cannot go on then.
    pub fn ascend(&mut self) -> io::Result<()> {
        self.chain.ascend()
    }

    /// Levels below the target.
    pub fn depth(&self) -> usize {
        self.chain.depth()
    }

    /// The current folder.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.chain.handle()
    }

    /// A handle of one's own on the current folder, to put metadata on it later.
    ///
    /// # Errors
    /// The system's, when no more files can be open.
    pub fn current_handle(&self) -> io::Result<OwnedFd> {
        self.handle().try_clone_to_owned()
    }

    /// Makes a folder in the current one, open to its owner alone.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AlreadyExists`] says nothing about what is there: [`TargetDir::descend`] tells.
    pub fn make_folder(&self, name: &Name) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(self.handle(), name.as_os_str(), FOLDER_MODE)?)
    }

    /// Makes an empty file, open to its owner alone, for reading and writing.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AlreadyExists`] if anything has that name, be it a dangling symlink.
    pub fn create_file(&self, name: &Name) -> io::Result<File> {
        create_file_in(self.handle(), name)
    }

    /// Whether what is made in the current folder may get ACLs from it that nobody asked for. Where that cannot be told, it may.
    ///
    /// Folders made below hand the same on and no more, until they get metadata of their own: they are closed to others.
    pub fn hands_acls_on(&self) -> bool {
        metadata::hands_acls_on(self.handle())
    }

    /// Makes a symlink that points to `target`: any bytes, wherever they lead.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AlreadyExists`] if anything has that name.
    pub fn make_symlink(&self, name: &Name, target: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, self.handle(), name.as_os_str())?)
    }

    /// Makes a named pipe.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AlreadyExists`] if anything has that name.
    pub fn make_fifo(&self, name: &Name) -> io::Result<()> {
        Ok(rustix::fs::mknodat(self.handle(), name.as_os_str(), FileType::Fifo, FILE_MODE, 0)?)
    }

    /// Makes a device with its major and minor number.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if `kind` is no device; else the system's, which allows this to root only.
    pub fn make_device(&self, name: &Name, kind: EntryKind, (major, minor): (u32, u32)) -> io::Result<()> {
        let file_type = match kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            other => return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a {other} is no device"))),
        };
        let device = rustix::fs::makedev(major, minor);
        Ok(rustix::fs::mknodat(self.handle(), name.as_os_str(), file_type, FILE_MODE, device)?)
    }

    /// Gives the item at `first`, names from the target downward, the further name `name` in the current folder. A
    /// symlink at its end is itself linked.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotADirectory`] if a symlink lies on the way.
    pub fn link_from(&self, first: &[Name], name: &Name) -> io::Result<()> {
        let (folder, last) = self.parent_of(first)?;
        let folder = folder.as_ref().map_or(self.chain.root(), AsFd::as_fd);
        let to = self.handle();
        Ok(rustix::fs::linkat(folder, last.as_os_str(), to, name.as_os_str(), AtFlags::empty())?)
    }

    /// Removes the item at `path`, names from the target downward; a folder only if it is empty.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotADirectory`] if a symlink lies on the way.
    pub fn remove(&self, path: &[Name]) -> io::Result<()> {
        let (folder, last) = self.parent_of(path)?;
        remove_in(folder.as_ref().map_or(self.chain.root(), AsFd::as_fd), last)
    }

    /// What the system says of the entry `name` of the current folder, not following it; nothing if there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn stat_of(&self, name: &Name) -> io::Result<Option<Stat>> {
        match Stat::of_name(self.handle(), name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => result.map(Some),
        }
    }

    /// What the symlink `name` of the current folder points to.
    ///
    /// # Errors
    /// The system's.
    pub fn read_link(&self, name: &Name) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self.handle(), name.as_os_str(), Vec::new())?.into_bytes())
    }

    /// Opens the file `name` of the current folder for reading; a symlink is not followed, and nothing else is waited for.
    ///
    /// # Errors
    /// The system's.
    pub fn open_file(&self, name: &Name) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(self.handle(), name.as_os_str(), flags, Mode::empty())?))
    }

    /// The names of all that is in the current folder, sorted.
    ///
    /// # Errors
    /// The system's. A listing that fails half way is an error, never a short list.
    pub fn names(&self) -> io::Result<Names> {
        rustix::fs::seek(self.handle(), SeekFrom::Start(0))?;
        Names::list(self.handle())
    }

    /// Whether another file system, or another part of this one, begins with the current folder.
    ///
    /// # Errors
    /// The system's.
    pub fn is_mount_point(&self) -> io::Result<bool> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let here = rustix::fs::statx(self.handle(), c"", flags | AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        if here.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
            return Ok(here.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
        }
        // Before Linux 5.8 the device tells, of all mounts but those of a part of the same file system.
        let above = rustix::fs::statx(self.handle(), c"..", flags, StatxFlags::BASIC_STATS)?;
        let device = |stat: &Statx| (stat.stx_dev_major, stat.stx_dev_minor);
        Ok(device(&here) != device(&above) || here.stx_ino == above.stx_ino)
    }

    /// Lets the owner of the folder `name`, who must be this user, list and change it, if its mode does not.
    ///
    /// # Errors
    /// The system's.
    pub fn open_up(&self, name: &Name) -> io::Result<()> {
        let pinned = pin(self.handle(), name)?;
        let stat = Stat::of_handle(pinned.as_fd())?;
        let mode = Mode::from_raw_mode(stat.mode);
        if stat.kind != EntryKind::Folder || mode.contains(FOLDER_MODE) {
            return Ok(());
        }
        rustix::fs::chmod(proc_path(pinned.as_fd()), mode | FOLDER_MODE).map_err(explain_proc)
    }

    /// Gives what stands at `path`, names from the target downward, the name `name` in the same folder, in one step. What
    /// had that name has gone then; a folder stays, and is an error.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotADirectory`] if a symlink lies on the way.
    pub fn rename(&self, path: &[Name], name: &Name) -> io::Result<()> {
        let (folder, last) = self.parent_of(path)?;
        rename_in(folder.as_ref().map_or(self.chain.root(), AsFd::as_fd), last, name)
    }

    /// The folder that holds the last name of `path`, and that name. No handle stands for the target itself.
    fn parent_of<'a>(&self, path: &'a [Name]) -> io::Result<(Option<OwnedFd>, &'a Name)> {
        let (last, folders) = path
            .split_last()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the target itself has no name"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder: Option<OwnedFd> = None;
        for name in folders {
            let from = folder.as_ref().map_or(self.chain.root(), AsFd::as_fd);
            folder = Some(rustix::fs::openat(from, name.as_os_str(), flags, Mode::empty())?);
        }
        Ok((folder, last))
    }
}

/// Makes an empty file in `folder`, as [`TargetDir::create_file`] does: for threads that come after the walk has moved on.
///
/// # Errors
/// The same.
pub fn create_file_in(folder: BorrowedFd<'_>, name: &Name) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(folder, name.as_os_str(), flags, FILE_MODE)?))
}

/// Removes the entry `name` of `folder`; a folder only if it is empty.
///
/// # Errors
/// The system's.
pub fn remove_in(folder: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name.as_os_str(), AtFlags::empty()) {
        Err(Errno::ISDIR) => Ok(rustix::fs::unlinkat(folder, name.as_os_str(), AtFlags::REMOVEDIR)?),
        result => Ok(result?),
    }
}

/// Gives the entry `from` of `folder` the name `to`, in one step; see [`TargetDir::rename`].
///
/// # Errors
/// The system's.
pub fn rename_in(folder: BorrowedFd<'_>, from: &Name, to: &Name) -> io::Result<()> {
    Ok(rustix::fs::renameat(folder, from.as_os_str(), folder, to.as_os_str())?)
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, symlink};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    /// A target, and beside it a folder that must not change.
    struct Place {
        _root: tempfile::TempDir,
        target: std::path::PathBuf,
        outside: std::path::PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let (target, outside) = (root.path().join("target"), root.path().join("outside"));
            for folder in [&target, &outside] {
                fs::create_dir(folder).unwrap();
            }
            fs::write(outside.join("file"), b"untouched").unwrap();
            Self { _root: root, target, outside }
        }

        fn open(&self) -> TargetDir {
            TargetDir::open(&self.target).unwrap()
        }
    }

    #[test]
    fn a_symlink_planted_as_a_folder_leads_nowhere() {
        let place = Place::new();
        symlink(&place.outside, place.target.join("planted")).unwrap();
        let mut dir = place.open();
        let planted = name("planted");
        assert_eq!(dir.make_folder(&planted).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(dir.descend(&planted).unwrap_err().kind(), ErrorKind::NotADirectory);
        let beyond = [planted, name("file")];
        assert_eq!(dir.link_from(&beyond, &name("stolen")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(dir.remove(&beyond).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert!(place.outside.join("file").exists());
        assert!(!place.target.join("stolen").exists());
    }

    #[test]
    fn nothing_is_made_over_or_through_what_is_there() {
        let place = Place::new();
        let dir = place.open();
        symlink(place.outside.join("file"), place.target.join("link")).unwrap();
        symlink(place.outside.join("new"), place.target.join("dangling")).unwrap();
        for taken in [name("link"), name("dangling")] {
            for error in [
                dir.create_file(&taken).map(drop).unwrap_err(),
                dir.make_symlink(&taken, b"x").unwrap_err(),
                dir.make_fifo(&taken).unwrap_err(),
                dir.link_from(std::slice::from_ref(&taken), &taken).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            }
        }
        assert_eq!(fs::read(place.outside.join("file")).unwrap(), b"untouched");
        assert_eq!(fs::read_dir(&place.outside).unwrap().count(), 1);
    }

    #[test]
    fn links_and_removals_reach_beneath_the_target_and_do_not_follow() {
        let place = Place::new();
        let mut dir = place.open();
        dir.make_folder(&name("a")).unwrap();
        dir.descend(&name("a")).unwrap();
        dir.create_file(&name("first")).unwrap();
        dir.make_symlink(&name("link"), place.outside.join("file").as_os_str().as_encoded_bytes()).unwrap();
        dir.link_from(&[name("a"), name("first")], &name("second")).unwrap();
        dir.link_from(&[name("a"), name("link")], &name("link too")).unwrap();
        dir.ascend().unwrap();
        dir.link_from(&[name("a"), name("first")], &name("third")).unwrap();
        assert_eq!(fs::metadata(place.target.join("third")).unwrap().nlink(), 3);
        assert!(fs::symlink_metadata(place.target.join("a/link too")).unwrap().is_symlink());
        dir.remove(&[name("a"), name("link")]).unwrap();
        assert_eq!(dir.remove(&[name("a")]).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        for left in ["first", "second", "link too"] {
            dir.remove(&[name("a"), name(left)]).unwrap();
        }
        dir.remove(&[name("a")]).unwrap();
        assert_eq!(dir.remove(&[]).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(dir.link_from(&[], &name("x")).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(place.outside.join("file").exists());
    }

    #[test]
    fn items_are_closed_to_others_until_they_are_complete() {
        let place = Place::new();
        let dir = place.open();
        dir.create_file(&name("file")).unwrap();
        dir.make_folder(&name("folder")).unwrap();
        dir.make_fifo(&name("fifo")).unwrap();
        for entry in ["file", "folder", "fifo"] {
            assert_eq!(fs::metadata(place.target.join(entry)).unwrap().mode() & 0o077, 0, "{entry}");
        }
        assert!(fs::metadata(place.target.join("fifo")).unwrap().file_type().is_fifo());
    }

    #[test]
    fn devices_keep_their_numbers() {
        let place = Place::new();
        let dir = place.open();
        let kind = EntryKind::CharDevice;
        if let Err(error) = dir.make_device(&name("device"), kind, (259, 70_000)) {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            eprintln!("skipped: only root may make devices ({error})");
            return;
        }
        let stat = crate::source::Folder::open(&place.target).unwrap().stat_of(&name("device")).unwrap();
        assert_eq!((stat.kind, stat.rdev), (kind, (259, 70_000)));
        let error = dir.make_device(&name("file"), EntryKind::File, (0, 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_not_written_stays_a_hole() {
        let place = Place::new();
        let file = place.open().create_file(&name("sparse")).unwrap();
        file.write_all_at(b"x", 4 << 20).unwrap();
        file.set_len(8 << 20).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
