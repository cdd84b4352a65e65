//! Extended attributes of anything that has a handle: read for backups, written by [`crate::target`].
//!
//! POSIX ACLs (`system.posix_acl_access`, `system.posix_acl_default`) and file capabilities (`security.capability`) are
//! extended attributes to the system and get no special treatment here. Everything that the system lists is kept; it
//! lists `trusted.*` to root only.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use crate::format::metadata::Xattr;
use crate::format::name::Name;

/// Linux's own limits: `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`.
const LIST_BYTES_MAX: usize = 64 * 1024;
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Tried first, on the stack: most lists are empty and most values short.
const FIRST_TRY_BYTES: usize = 512;

/// The extended attributes of what `handle` is open on, sorted by name.
///
/// One that vanishes meanwhile is left out. Where the file system has none, there are none.
///
/// # Errors
/// The system's; [`io::ErrorKind::PermissionDenied`] when a listed attribute may not be read.
pub fn xattrs_of(handle: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    Holder::open(handle).read_all()
}

/// The extended attributes of the entry `name` of `folder`, sorted by name, without following or opening it.
pub(crate) fn xattrs_at(folder: BorrowedFd<'_>, name: &Name) -> io::Result<Vec<Xattr>> {
    Holder::pinned(pin(folder, name)?.as_fd()).read_all()
}

/// A handle on an entry of any kind that neither opens nor follows it.
pub(crate) fn pin(folder: BorrowedFd<'_>, name: &Name) -> io::Result<rustix::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name.as_os_str(), flags, Mode::empty())?)
}

/// The path under which the system lets a handle made by [`pin`] be used by calls that take no such handle. It leads to
/// the very item, also if that is a symlink.
pub(crate) fn proc_path(handle: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

/// Turns the failure of a call on [`proc_path`] into one that names the cause: the item exists, its handle is open.
pub(crate) fn explain_proc(error: Errno) -> io::Error {
    match error {
        Errno::NOENT => io::Error::new(io::ErrorKind::Unsupported, "needs /proc, which is not mounted"),
        other => other.into(),
    }
}

/// Something that can have extended attributes.
pub(crate) enum Holder<'a> {
    /// Open for reading or writing.
    Open(BorrowedFd<'a>),
    /// Only [pinned](pin), reached through [`proc_path`].
    Pinned(String),
}

impl<'a> Holder<'a> {
    pub(crate) fn open(handle: BorrowedFd<'a>) -> Self {
        Self::Open(handle)
    }

    pub(crate) fn pinned(handle: BorrowedFd<'_>) -> Self {
        Self::Pinned(proc_path(handle))
    }

    fn read_all(&self) -> io::Result<Vec<Xattr>> {
        let mut xattrs = Vec::new();
        for name in self.names()? {
            if let Some(value) = self.value(&name)? {
                xattrs.push(Xattr { name, value });
            }
        }
        xattrs.sort_unstable();
        Ok(xattrs)
    }

    /// In the system's order; empty where the file system has no attributes.
    pub(crate) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let listed = grown(LIST_BYTES_MAX, |buffer| match self {
            Self::Open(handle) => rustix::fs::flistxattr(handle, buffer),
            Self::Pinned(path) => rustix::fs::listxattr(path.as_str(), buffer),
        });
        match listed {
            Ok(list) => Ok(list.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(Vec::from).collect()),
            Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Nothing if the attribute is not there.
    pub(crate) fn value(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let read = grown(VALUE_BYTES_MAX, |buffer| match self {
            Self::Open(handle) => rustix::fs::fgetxattr(handle, name, buffer),
            Self::Pinned(path) => rustix::fs::getxattr(path.as_str(), name, buffer),
        });
        match read {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA) => Ok(None),
            Err(error) => Err(self.explain(error)),
        }
    }

    pub(crate) fn set(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(handle) => rustix::fs::fsetxattr(handle, name, value, XattrFlags::empty()),
            Self::Pinned(path) => rustix::fs::setxattr(path.as_str(), name, value, XattrFlags::empty()),
        }
        .map_err(|error| self.explain(error))
    }

    pub(crate) fn remove(&self, name: &[u8]) -> io::Result<()> {
        match self {
            Self::Open(handle) => rustix::fs::fremovexattr(handle, name),
            Self::Pinned(path) => rustix::fs::removexattr(path.as_str(), name),
        }
        .map_err(|error| self.explain(error))
    }

    fn explain(&self, error: Errno) -> io::Error {
        match self {
            Self::Open(_) => error.into(),
            Self::Pinned(_) => explain_proc(error),
        }
    }
}

/// What `read` fills a buffer with: a small one, and if that is too short the largest that the system can fill.
fn grown(bytes_max: usize, read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; FIRST_TRY_BYTES];
    match read(&mut small) {
        Ok(len) => Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; bytes_max];
            let len = read(&mut large)?;
            large.truncate(len);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn attributes_survive_setting_and_reading_by_handle_and_by_name() {
        let root = tempfile::tempdir().unwrap();
        let file = fs::File::create(root.path().join("file")).unwrap();
        let holder = Holder::open(file.as_fd());
        let wanted = vec![
            Xattr { name: b"user.a".to_vec(), value: Vec::new() },
            Xattr { name: b"user.b \xff".to_vec(), value: b"\0\xff".to_vec() },
            Xattr { name: b"user.c".to_vec(), value: vec![7; 3 * FIRST_TRY_BYTES] },
        ];
        for xattr in wanted.iter().rev() {
            if let Err(error) = holder.set(&xattr.name, &xattr.value) {
                eprintln!("skipped: no user attributes in the temporary folder ({error})");
                return;
            }
        }
        assert_eq!(xattrs_of(file.as_fd()).unwrap(), wanted);
        // Nobody needs the right to open what is only pinned.
        fs::set_permissions(root.path().join("file"), read_only(&file)).unwrap();
        let folder = fs::File::open(root.path()).unwrap();
        assert_eq!(xattrs_at(folder.as_fd(), &Name::new(*b"file").unwrap()).unwrap(), wanted);
        assert_eq!(holder.value(b"user.none").unwrap(), None);
    }

    fn read_only(file: &fs::File) -> fs::Permissions {
        let mut permissions = file.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        permissions
    }

    #[test]
    fn a_list_longer_than_the_first_buffer_is_read_whole() {
        let long = vec![b'n'; 3 * FIRST_TRY_BYTES];
        let read = grown(LIST_BYTES_MAX, |buffer| match buffer.get_mut(..long.len()) {
            Some(part) => {
                part.copy_from_slice(&long);
                Ok(long.len())
            }
            None => Err(Errno::RANGE),
        });
        assert_eq!(read, Ok(long.clone()));
    }

    #[test]
    fn a_dangling_symlink_has_attributes_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("link")).unwrap();
        let folder = fs::File::open(root.path()).unwrap();
        let link = Name::new(*b"link").unwrap();
        let pinned = pin(folder.as_fd(), &link).unwrap();
        let wanted = Xattr { name: b"trusted.caddis".to_vec(), value: b"x".to_vec() };
        let set = Holder::pinned(pinned.as_fd()).set(&wanted.name, &wanted.value);
        let found = xattrs_at(folder.as_fd(), &link).unwrap();
        match set {
            Ok(()) => assert!(found.contains(&wanted)),
            Err(error) => {
                eprintln!("half skipped: only root may set trusted attributes ({error})");
                assert!(!found.contains(&wanted));
            }
        }
    }
}
