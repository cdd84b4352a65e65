//! The live file system, read side: folders by handle, entries by name within them.
//!
//! Every look at an entry is relative to the handle of its folder and follows no symlink, so that a tree changing
//! underneath can give errors but never entries from elsewhere. Nothing here decides what is backed up.
//!
//! Reading leaves no trace where the system allows that (`O_NOATIME`), and FIFOs and devices are never opened for
//! reading: both can block, and opening a device can act on it.

pub mod extents;
pub mod metadata;
pub(crate) mod xattrs;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{OFlags, RawDir, SeekFrom};

use crate::dirs::{DirChain, open_quietly};
use crate::format::metadata::Xattr;
use crate::format::name::Name;

pub use extents::{Extent, Extents};
pub use metadata::{EntryKind, OwnerNames, Stat};
pub use xattrs::xattrs_of;

/// What one getdents call may fill: about a thousand short names, and far more than one entry of the longest.
const LISTING_BYTES: usize = 32 * 1024;

/// A folder of the source, with the way back up to where the walk began.
#[derive(Debug)]
pub struct SourceDir {
    chain: DirChain,
}

impl SourceDir {
    /// Opens the folder at `path`; a symlink there is followed, one below it never.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { chain: DirChain::open_root(path, OFlags::empty())? })
    }

    /// Opens the folder at `path` to reach what lies in it by name, which asks for no right to list it.
    ///
    /// # Errors
    /// The system's.
    pub fn pass_through(path: &Path) -> io::Result<Self> {
        Ok(Self { chain: DirChain::open_root(path, OFlags::PATH)? })
    }

    /// Steps down into a folder; see [`DirChain::descend`].
    ///
    /// # Errors
    /// The system's; `name` being no folder is [`io::ErrorKind::NotADirectory`].
    pub fn descend(&mut self, name: &Name) -> io::Result<()> {
        self.chain.descend(name)
    }

    /// Steps back up; see [`DirChain::ascend`].
    ///
    /// # Errors
    /// At the root, or when folders were moved so that the parent cannot be found again. The walk cannot go on then.
    pub fn ascend(&mut self) -> io::Result<()> {
        self.chain.ascend()
    }

    /// Levels below the folder the walk began with.
    pub fn depth(&self) -> usize {
        self.chain.depth()
    }

    /// The current folder.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.chain.handle()
    }

    /// The names of all entries but `.` and `..`, sorted by their bytes.
    ///
    /// # Errors
    /// The system's. A listing that fails half way is an error, never a short list.
    pub fn names(&mut self) -> io::Result<Vec<Name>> {
        // The handle is rewound and not opened afresh: opening `.` would need search permission, listing does not.
        rustix::fs::seek(self.handle(), SeekFrom::Start(0))?;
        let mut buffer = Vec::with_capacity(LISTING_BYTES);
        let mut listing = RawDir::new(self.handle(), buffer.spare_capacity_mut());
        let mut names = Vec::new();
        while let Some(entry) = listing.next() {
            match entry?.file_name().to_bytes() {
                b"." | b".." => {}
                bytes => {
                    names.push(Name::new(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?)
                }
            }
        }
        names.sort_unstable();
        names.dedup(); // Some file systems list an entry twice while it is being renamed.
        Ok(names)
    }

    /// What the system says of the entry `name`; of a symlink, not of what it points to.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] when the entry has vanished.
    pub fn stat(&self, name: &Name) -> io::Result<Stat> {
        Stat::of_name(self.handle(), name)
    }

    /// What the system says of the current folder.
    ///
    /// # Errors
    /// The system's.
    pub fn stat_self(&self) -> io::Result<Stat> {
        Stat::of_handle(self.handle())
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`] when `name` is something else, or turned into something else on
    /// the way.
    pub fn open_file(&self, name: &Name) -> io::Result<File> {
        regular(&self.stat(name)?)?;
        // Should a FIFO have taken the file's place since, NONBLOCK keeps the open from waiting for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let handle = open_quietly(self.handle(), name.as_os_str(), flags)?;
        regular(&Stat::of_handle(handle.as_fd())?)?;
        Ok(File::from(handle))
    }

    /// Where the symlink `name` points to: any bytes.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`] when `name` is no symlink.
    pub fn read_link(&self, name: &Name) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self.handle(), name.as_os_str(), Vec::new())?.into_bytes())
    }

    /// The extended attributes of the entry `name`, whatever its kind and without opening it; sorted by name. For a
    /// file that is open anyway, [`xattrs_of`] costs less.
    ///
    /// # Errors
    /// The system's. A file system without extended attributes is no error: there are none.
    pub fn xattrs(&self, name: &Name) -> io::Result<Vec<Xattr>> {
        xattrs::xattrs_at(self.handle(), name)
    }

    /// The extended attributes of the current folder, sorted by name.
    ///
    /// # Errors
    /// As [`SourceDir::xattrs`].
    pub fn xattrs_self(&self) -> io::Result<Vec<Xattr>> {
        xattrs_of(self.handle())
    }
}

fn regular(stat: &Stat) -> io::Result<()> {
    match stat.kind {
        EntryKind::File => Ok(()),
        kind => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a regular file but a {kind}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::{MetadataExt, symlink};

    use rustix::fs::{FileType, Mode};

    use super::*;

    fn name(bytes: &[u8]) -> Name {
        Name::new(bytes).unwrap()
    }

    #[test]
    fn names_come_sorted_by_their_bytes_and_can_be_read_again() {
        let root = tempfile::tempdir().unwrap();
        let mut wanted: Vec<Name> =
            [&b"b"[..], b"a", b"...", b"-rf", b"B", b"\xff\xfe", b"new\nline", b" "].map(name).to_vec();
        wanted.extend((0..1_500).map(|number| name(format!("{number:0>200}").as_bytes())));
        for entry in &wanted {
            fs::write(root.path().join(entry.as_os_str()), b"").unwrap();
        }
        wanted.sort();
        let mut dir = SourceDir::open(root.path()).unwrap();
        assert_eq!(dir.names().unwrap(), wanted);
        assert_eq!(dir.names().unwrap(), wanted);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), b"content").unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        symlink("file", root.path().join("link")).unwrap();
        let dir = SourceDir::open(root.path()).unwrap();
        for (entry, kind) in [("fifo", FileType::Fifo), ("socket", FileType::Socket)] {
            rustix::fs::mknodat(dir.handle(), entry, kind, Mode::RWXU, 0).unwrap();
        }
        for (entry, kind) in [
            ("fifo", EntryKind::Fifo),
            ("socket", EntryKind::Socket),
            ("folder", EntryKind::Folder),
            ("link", EntryKind::Symlink),
        ] {
            let entry = name(entry.as_bytes());
            assert_eq!(dir.stat(&entry).unwrap().kind, kind);
            assert_eq!(dir.open_file(&entry).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let mut content = String::new();
        dir.open_file(&name(b"file")).unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
    }

    #[test]
    fn reading_a_file_of_ones_own_leaves_its_access_time() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, b"content").unwrap();
        let long_ago = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
        File::options().write(true).open(&path).unwrap().set_times(long_ago).unwrap();
        let dir = SourceDir::open(root.path()).unwrap();
        io::copy(&mut dir.open_file(&name(b"file")).unwrap(), &mut io::sink()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().atime(), 0);
    }

    #[test]
    fn an_entry_that_has_vanished_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        let mut dir = SourceDir::open(root.path()).unwrap();
        let gone = name(b"gone");
        assert_eq!(dir.stat(&gone).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(dir.open_file(&gone).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(dir.read_link(&gone).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(dir.xattrs(&gone).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(dir.descend(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn links_are_read_byte_by_byte() {
        let root = tempfile::tempdir().unwrap();
        let target = [&b"\xff/"[..], &[b'x'; 900]].concat();
        let dir = SourceDir::open(root.path()).unwrap();
        rustix::fs::symlinkat(target.as_slice(), dir.handle(), "link").unwrap();
        assert_eq!(dir.read_link(&name(b"link")).unwrap(), target);
        fs::write(root.path().join("file"), b"").unwrap();
        assert_eq!(dir.read_link(&name(b"file")).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
