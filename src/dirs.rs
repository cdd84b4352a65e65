//! [`DirChain`]: the way from a root folder down to the current one, held by handles.
//!
//! A restore makes its tree through it: no path is ever joined, so a tree may be deeper than `PATH_MAX`, and no symlink below
//! the root is followed. Only the deepest [`OPEN_MAX`] folders keep their handle open; the chain is a plain vector, so that
//! depth costs neither stack nor descriptors, only the names of the levels. A backup looks at many folders at once, and has
//! [`crate::source::Folder`] for that, which opens them with the same calls.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use rustix::process::{Resource, Rlimit};

use crate::format::name::Name;

/// Folders below the root whose handles stay open. Real trees are rarely deeper, and several walks at once still fit
/// into the customary 1,024 descriptors.
pub const OPEN_MAX: usize = 64;

pub(crate) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A stack of folders, each the parent of the next. The root's handle stays open for the life of the chain.
#[derive(Debug)]
pub struct DirChain {
    root: OwnedFd,
    /// Levels nearest to the root that were closed again.
    closed: Vec<ClosedLevel>,
    /// The deepest levels. Empty only at the root: then `closed` is empty too.
    open: VecDeque<OpenLevel>,
    open_max: usize,
}

#[derive(Debug)]
struct OpenLevel {
    name: Name,
    handle: OwnedFd,
}

#[derive(Debug)]
struct ClosedLevel {
    name: Name,
    id: FolderId,
}

/// Recognises a folder that was closed when it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FolderId {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl DirChain {
    /// A chain that consists of the folder at `path`.
    ///
    /// `flags` are added to the ones needed: `OFlags::NOFOLLOW` refuses a `path` that ends in a symlink; without it
    /// the root alone is opened the way every program opens a path.
    ///
    /// # Errors
    /// The system's, when `path` cannot be opened or is no folder.
    pub fn open_root(path: &Path, flags: OFlags) -> io::Result<Self> {
        Ok(Self::from_handle(open_quietly(CWD, path, FOLDER | flags)?))
    }

    /// A chain that consists of the folder behind `root`.
    pub fn from_handle(root: OwnedFd) -> Self {
        Self::with_open_max(root, OPEN_MAX)
    }

    fn with_open_max(root: OwnedFd, open_max: usize) -> Self {
        Self { root, closed: Vec::new(), open: VecDeque::new(), open_max }
    }

    /// Steps down into the folder `name` of the current one.
    ///
    /// # Errors
    /// The system's; a symlink or anything else that is no folder is [`io::ErrorKind::NotADirectory`]. The chain is
    /// then where it was.
    pub fn descend(&mut self, name: &Name) -> io::Result<()> {
        let handle = open_below(self.handle(), name)?;
        if self.open.len() >= self.open_max
            && let Some(oldest) = self.open.front()
        {
            let id = FolderId::of(&oldest.handle)?;
            self.closed.extend(self.open.pop_front().map(|OpenLevel { name, .. }| ClosedLevel { name, id }));
        }
        self.open.push_back(OpenLevel { name: name.clone(), handle });
        Ok(())
    }

    /// Steps back up into the parent of the current folder.
    ///
    /// A parent whose handle was closed is reached through `..`, which needs search permission on the current folder:
    /// **ascend before taking that away**.
    ///
    /// # Errors
    /// At the root, and when a closed parent cannot be found again because folders were moved meanwhile. The chain is
    /// then where it was.
    pub fn ascend(&mut self) -> io::Result<()> {
        if self.depth() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root of a walk has no parent"));
        }
        if self.open.len() == 1 && !self.closed.is_empty() {
            let handle = self.reopen_parent()?;
            if let Some(ClosedLevel { name, .. }) = self.closed.pop() {
                self.open.push_front(OpenLevel { name, handle });
            }
        }
        self.open.pop_back();
        Ok(())
    }

    /// The current folder.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.open.back().map_or(self.root.as_fd(), |level| level.handle.as_fd())
    }

    /// The folder that the chain begins with.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Levels below the root: 0 at the root itself.
    pub fn depth(&self) -> usize {
        self.closed.len() + self.open.len()
    }

    /// The parent of the current folder, which is the last of the closed ones.
    fn reopen_parent(&self) -> io::Result<OwnedFd> {
        let wanted = self.closed.last().map(|level| level.id);
        if let Ok(handle) = open_quietly(self.handle(), "..", FOLDER)
            && Some(FolderId::of(&handle)?) == wanted
        {
            return Ok(handle);
        }
        // The current folder itself was moved elsewhere. Its old parent is usually still where the walk came through.
        let handle = self.reopen_from_root()?;
        if Some(FolderId::of(&handle)?) == wanted {
            Ok(handle)
        } else {
            Err(io::Error::other("a folder was moved while the walk was below it"))
        }
    }

    fn reopen_from_root(&self) -> io::Result<OwnedFd> {
        let mut handle = self.root.try_clone()?;
        for level in &self.closed {
            handle = open_below(handle.as_fd(), &level.name)?;
        }
        Ok(handle)
    }
}

impl FolderId {
    pub(crate) fn of(handle: &OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(handle)?;
        Ok(Self { dev: stat.st_dev, ino: stat.st_ino })
    }
}

/// Raises the number of files this process may have open to what the system allows it.
///
/// # Errors
/// The system's; the old limit then stays, and a caller can go on with it.
pub fn raise_open_files_limit() -> io::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// How many files this process may have open; nothing when there is no limit.
pub fn open_files_limit() -> Option<u64> {
    rustix::process::getrlimit(Resource::Nofile).current
}

pub(crate) fn open_below(folder: BorrowedFd<'_>, name: &Name) -> io::Result<OwnedFd> {
    open_quietly(folder, name.as_os_str(), FOLDER | OFlags::NOFOLLOW)
}

/// Opens for reading without touching the access time, where that is allowed: it is only to the owner and to root.
pub(crate) fn open_quietly(folder: impl AsFd, path: impl Arg + Copy, flags: OFlags) -> io::Result<OwnedFd> {
    match rustix::fs::openat(&folder, path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => Ok(rustix::fs::openat(&folder, path, flags, Mode::empty())?),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::AtFlags;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    fn chain_with_open_max(path: &Path, open_max: usize) -> DirChain {
        DirChain::with_open_max(open_quietly(CWD, path, FOLDER).unwrap(), open_max)
    }

    #[test]
    fn thousands_of_levels_need_a_handful_of_handles() {
        const LEVELS: usize = 2_500;
        let root = tempfile::tempdir().unwrap();
        let mut chain = chain_with_open_max(root.path(), 3);
        let level = name("a folder with a fairly long name");
        for depth in 0..LEVELS {
            assert_eq!(chain.depth(), depth);
            rustix::fs::mkdirat(chain.handle(), level.as_os_str(), Mode::RWXU).unwrap();
            chain.descend(&level).unwrap();
            assert!(chain.open.len() <= 3);
        }
        // On the way up every folder is emptied, so each parent must be the right one.
        for depth in (0..LEVELS).rev() {
            chain.ascend().unwrap();
            assert_eq!(chain.depth(), depth);
            rustix::fs::unlinkat(chain.handle(), level.as_os_str(), AtFlags::REMOVEDIR).unwrap();
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert_eq!(chain.ascend().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn symlinks_and_files_are_not_descended_into() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        fs::write(root.path().join("file"), b"").unwrap();
        std::os::unix::fs::symlink("folder", root.path().join("link")).unwrap();
        let mut chain = DirChain::open_root(root.path(), OFlags::empty()).unwrap();
        for no_folder in ["file", "link"] {
            assert_eq!(chain.descend(&name(no_folder)).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        }
        assert_eq!(chain.descend(&name("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(chain.depth(), 0);
        let link = DirChain::open_root(&root.path().join("link"), OFlags::NOFOLLOW);
        assert_eq!(link.unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_folder_moved_away_does_not_lose_its_parent() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b/c/d")).unwrap();
        let mut chain = chain_with_open_max(root.path(), 1);
        for step in ["a", "b", "c"] {
            chain.descend(&name(step)).unwrap();
        }
        fs::rename(root.path().join("a/b/c"), root.path().join("elsewhere")).unwrap();
        chain.ascend().unwrap();
        fs::write(root.path().join("a/b/here"), b"").unwrap();
        assert!(rustix::fs::statat(chain.handle(), "here", AtFlags::empty()).is_ok());
    }

    #[test]
    fn a_parent_that_cannot_be_found_again_is_an_error_and_never_another_folder() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        let mut chain = chain_with_open_max(root.path(), 1);
        for step in ["a", "b", "c"] {
            chain.descend(&name(step)).unwrap();
        }
        fs::rename(root.path().join("a/b/c"), root.path().join("c")).unwrap();
        fs::rename(root.path().join("a/b"), root.path().join("old")).unwrap();
        fs::create_dir(root.path().join("a/b")).unwrap();
        assert!(chain.ascend().unwrap_err().to_string().contains("moved"));
        assert_eq!(chain.depth(), 3);
    }

    #[test]
    fn the_limit_of_open_files_can_be_raised_to_the_hard_one() {
        raise_open_files_limit().unwrap();
        let limit = rustix::process::getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
