//! The system calls under a local repository: each step of publishing a file is one function here and nowhere else, so
//! that a test can fail any one of them.
//!
//! Before each of them a [`Watch`] is asked, if there is one.
//!
//! All paths are relative to a handle of the repository's folder. A disk that is unmounted, or mounted over, while a
//! command runs therefore shows as an error and never as objects that are absent.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::watch::{Step, Watch};
use crate::store::PAGE_BYTES;

/// Folders are for their owner alone.
pub(super) const FOLDER_MODE: Mode = Mode::RWXU;

/// Files are never changed, not even by their owner.
const FILE_MODE: Mode = Mode::RUSR;

/// The repository's folder.
pub(super) struct Disk {
    root: File,
    watch: Option<Arc<dyn Watch>>,
}

impl Disk {
    pub(super) fn open(path: &Path, watch: Option<Arc<dyn Watch>>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: File::from(rustix::fs::open(path, flags, Mode::empty())?), watch })
    }

    pub(super) fn root(&self) -> &File {
        &self.root
    }

    /// Asks whoever watches, before a step that is taken elsewhere.
    pub(super) fn before(&self, step: &Step<'_>) -> io::Result<()> {
        self.watch.as_ref().map_or(Ok(()), |watch| watch.before(step))
    }

    /// Takes a step that changes something.
    fn change<T>(&self, step: &Step<'_>, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.before(step)?;
        let taken = take()?;
        if let Some(watch) = &self.watch {
            watch.after(step);
        }
        Ok(taken)
    }

    pub(super) fn open_folder(&self, path: &str) -> io::Result<File> {
        self.before(&Step::OpenFolder(path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.root, path, flags, Mode::empty())?))
    }

    /// Makes a folder; one that is there already is fine.
    pub(super) fn make_folder(&self, path: &str) -> io::Result<()> {
        self.change(&Step::MakeFolder(path), || match rustix::fs::mkdirat(&self.root, path, FOLDER_MODE) {
            Err(Errno::EXIST) => self.open_folder(path).map(drop),
            result => Ok(result?),
        })
    }

    /// Opens a regular file for reading; anything else by that name is an error of kind `InvalidData`.
    pub(super) fn open_file(&self, path: &str) -> io::Result<File> {
        self.before(&Step::OpenFile(path))?;
        // NONBLOCK, so that a FIFO left here by somebody cannot hold the program up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.root, path, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(not_a_file()),
            opened => File::from(opened?),
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file()) }
    }

    pub(super) fn exists(&self, path: &str) -> io::Result<bool> {
        self.before(&Step::Exists(path))?;
        match rustix::fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn create(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.change(&Step::Create(path), || Ok(File::from(rustix::fs::openat(&self.root, path, flags, FILE_MODE)?)))
    }

    /// Writes a file that is empty. The pages of a pack go past the system's cache: nobody reads them soon, what others read
    /// stays in it, and the copy is saved.
    pub(super) fn write(&self, path: &str, file: &File, bytes: &[u8]) -> io::Result<()> {
        self.change(&Step::Write { path, bytes }, || {
            let at_once = self.watch.as_ref().map_or(usize::MAX, |watch| watch.bytes_at_once(path));
            let mut out = Output { file, at_once };
            let written = write_pages(&mut out, bytes)?;
            out.write_all(&bytes[written..])
        })
    }

    pub(super) fn sync_file(&self, path: &str, file: &File) -> io::Result<()> {
        self.change(&Step::SyncFile(path), || file.sync_all())
    }

    pub(super) fn sync_folder(&self, path: &str, folder: &File) -> io::Result<()> {
        self.change(&Step::SyncFolder(path), || match folder.sync_all() {
            // Some network file systems know no sync of a folder: there it lasts as soon as the server has answered.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP)) => Ok(()),
            result => result,
        })
    }

    /// Gives the file `from` the name `to`, which must be free: otherwise an error of kind `AlreadyExists`.
    pub(super) fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        let renamed = self.change(&Step::Publish { from, to }, || {
            Ok(rustix::fs::renameat_with(&self.root, from, &self.root, to, RenameFlags::NOREPLACE)?)
        });
        match renamed {
            Err(error) if lacks_exclusive_renames(&error) => self.publish_by_link(from, to),
            result => result,
        }
    }

    pub(super) fn publish_by_link(&self, from: &str, to: &str) -> io::Result<()> {
        match self.link(from, to) {
            // Neither call is known here (FUSE without hard links). Two that put one name at once may then both
            // succeed, which can matter for `config` alone, since all other names fit one content only.
            Err(error) if lacks_links(&error) => {
                if self.exists(to)? {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.replace(from, to)
            }
            Err(error) => Err(error),
            // The second name is only a leftover in tmp/ should this fail.
            Ok(()) => self.unlink(from).or(Ok(())),
        }
    }

    /// Gives the file `from` the name `to`, in place of what had it.
    pub(super) fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(&Step::Replace { from, to }, || Ok(rustix::fs::renameat(&self.root, from, &self.root, to)?))
    }

    /// Gives the file `from` a second name.
    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let flags = AtFlags::empty();
        self.change(&Step::Link { from, to }, || Ok(rustix::fs::linkat(&self.root, from, &self.root, to, flags)?))
    }

    pub(super) fn unlink(&self, path: &str) -> io::Result<()> {
        self.change(&Step::Unlink(path), || Ok(rustix::fs::unlinkat(&self.root, path, AtFlags::empty())?))
    }
}

/// A file, of which each call writes so many bytes at most.
struct Output<'a> {
    file: &'a File,
    at_once: usize,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(&bytes[..bytes.len().min(self.at_once)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes as many whole pages past the cache as the file system takes, and says how many bytes these are.
fn write_pages(out: &mut Output<'_>, bytes: &[u8]) -> io::Result<usize> {
    let file = out.file;
    let whole_pages = bytes.len() - bytes.len() % PAGE_BYTES;
    if !bytes.as_ptr().addr().is_multiple_of(PAGE_BYTES) || whole_pages == 0 {
        return Ok(0);
    }
    let flags = rustix::fs::fcntl_getfl(file)?;
    if rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(0);
    }
    let mut written = 0;
    while written < whole_pages {
        match out.write(&bytes[written..whole_pages]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Larger pages than usual, or a place in the middle of one after a write that was cut short.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    rustix::fs::fcntl_setfl(file, flags)?;
    Ok(written)
}

/// Marks a temporary as one whose writer lives; `false` if somebody is clearing it away at this moment.
///
/// Where the file system knows no locks the mark is not made, and [`lock_is_free`] then never says that it is free.
pub(super) fn lock_as_writer(file: &File) -> bool {
    !matches!(rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK))
}

/// Whether nobody writes a temporary; holds off writers until `file` is dropped.
///
/// A shared lock, since over NFS an exclusive one wants a file that is open for writing.
pub(super) fn lock_is_free(file: &File) -> bool {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockShared).is_ok()
}

fn lacks_exclusive_renames(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP))
}

fn lacks_links(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK | Errno::XDEV | Errno::INVAL)
    )
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "there is something else than a file by that name")
}
