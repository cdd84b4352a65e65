//! [`LocalStore`]: a repository in a folder of this machine.
//!
//! An object is written to a temporary in `tmp/`, synced, given its name in one step that never replaces another, and
//! the folder is synced: only then has `put` succeeded. What was saved before stays whole whatever fails, because no
//! object is ever opened for writing.
//!
//! Invariants:
//! - A file under its final name was synced before it got that name.
//! - After a failed write or sync the same file is never synced again: the system may have dropped the bytes and would
//!   report success. The temporary is removed, and an object whose folder could not be synced is written anew.
//! - Deletes are not synced: one that is undone by a power cut only leaves an object too many.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use rustix::io::Errno;
use walkdir::WalkDir;

use self::disk::Disk;
use super::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};
use crate::id::ObjectId;

mod disk;
mod layout;
mod list;
mod put;
pub mod watch;

use layout::Occupant;
use list::{list_flat, list_shards};
use watch::{Step, Watch};

/// Bytes kept back in the file `reserve`, so that a full disk can still record what is to be deleted.
///
/// A prune's record names 32 bytes per pack: this is enough for a hundred thousand packs, 3 TiB of backups.
pub const RESERVE_BYTES: usize = 4 << 20;

const ROOT: &str = ".";
const TEMPORARIES: &str = "tmp";
const RESERVE: &str = "reserve";
const README: &str = "README.txt";
const README_TEXT: &[u8] = include_bytes!("local/readme.txt");
const SHARDS: usize = 256;

/// Random bytes in the name of a temporary: two writers never draw the same.
const TEMPORARY_NAME_BYTES: usize = 16;

/// How often a put looks again when somebody else changes the same name at the same moment. Each round needs another
/// rival; after so many it is rather a file system that contradicts itself.
const ROUNDS_MAX: usize = 8;

/// Read at once when an object is compared with bytes in memory.
const COMPARE_BYTES: usize = 256 << 10;

/// A repository in a folder.
pub struct LocalStore {
    disk: Disk,
    path: PathBuf,
    /// Objects whose folder could not be synced after they got their names: there, but perhaps not for long.
    doubtful: Mutex<BTreeSet<ObjectName>>,
}

/// Why there is no [`LocalStore`] at a path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path does not exist.
    #[error("there is no folder {}", path.display())]
    Absent {
        /// The path asked for.
        path: PathBuf,
    },
    /// A folder with nothing in it: often the mount point of a disk that is not mounted.
    #[error("the folder {} is empty", path.display())]
    Empty {
        /// The path asked for.
        path: PathBuf,
    },
    /// Something else than a folder.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// The path asked for.
        path: PathBuf,
    },
    /// A folder with other things in it.
    #[error("the folder {} holds no repository", path.display())]
    NotARepository {
        /// The path asked for.
        path: PathBuf,
    },
    /// The folders of a repository, but no `config`: an init was interrupted, or the file was lost.
    #[error("the folder {} has the layout of a repository, but `config` is missing", path.display())]
    NoConfig {
        /// The path asked for.
        path: PathBuf,
    },
    /// A new repository was to be made where there is one.
    #[error("there is a repository at {} already", path.display())]
    Exists {
        /// The path asked for.
        path: PathBuf,
    },
    /// A new repository was to be made in a folder that holds something else.
    #[error("the folder {} is not empty", path.display())]
    NotEmpty {
        /// The path asked for.
        path: PathBuf,
    },
    /// The system refuses access.
    #[error("permission denied at {}: it belongs to uid {owner}, and this process runs as uid {ours}", path.display())]
    Denied {
        /// The path asked for, or the nearest folder above it that can be looked at.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// User id of this process.
        ours: u32,
    },
    /// Anything else: disk full, read-only, failing.
    #[error("cannot open the repository at {}", path.display())]
    Failed {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        source: StoreError,
    },
}

impl LocalStore {
    /// Makes a new repository's folder with everything in it but objects; the caller puts `config` last.
    ///
    /// A `create` that was interrupted is finished. Everything is durable when this returns.
    ///
    /// # Errors
    /// [`OpenError::Exists`] or [`OpenError::NotEmpty`] if the folder holds anything else; nothing is changed then.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        Self::create_with(path, None)
    }

    /// Like [`LocalStore::create`], with somebody who watches each step inside the folder.
    ///
    /// # Errors
    /// Those of [`LocalStore::create`].
    pub fn create_watched(path: &Path, watch: Arc<dyn Watch>) -> Result<Self, OpenError> {
        Self::create_with(path, Some(watch))
    }

    fn create_with(path: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Self, OpenError> {
        make_folder_durably(path, disk::FOLDER_MODE.as_raw_mode()).map_err(|error| refusal(path, error))?;
        let store = Self::open_folder(path, watch)?;
        match store.occupant().map_err(|error| refusal(path, error))? {
            Occupant::Nothing | Occupant::Beginnings => {}
            Occupant::Repository => return Err(OpenError::Exists { path: path.to_owned() }),
            Occupant::Layout | Occupant::Other => return Err(OpenError::NotEmpty { path: path.to_owned() }),
        }
        // Not ours to change on some file systems (a mount point, FAT); the folders inside are private all the same.
        let _ = store.disk.root().set_permissions(Permissions::from_mode(disk::FOLDER_MODE.as_raw_mode()));
        store.lay_out().map_err(|source| OpenError::Failed { path: path.to_owned(), source })?;
        Ok(store)
    }

    /// Opens the repository in a folder. Reads nothing of it but the names at the top.
    ///
    /// # Errors
    /// Each reason why there is none has its variant of [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, None)
    }

    /// Like [`LocalStore::open`], with somebody who watches each step.
    ///
    /// # Errors
    /// Those of [`LocalStore::open`].
    pub fn open_watched(path: &Path, watch: Arc<dyn Watch>) -> Result<Self, OpenError> {
        Self::open_with(path, Some(watch))
    }

    fn open_with(path: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Self, OpenError> {
        let store = Self::open_folder(path, watch)?;
        let path = path.to_owned();
        match store.occupant().map_err(|error| refusal(&path, error))? {
            Occupant::Repository => {}
            Occupant::Nothing => return Err(OpenError::Empty { path }),
            Occupant::Beginnings | Occupant::Layout => return Err(OpenError::NoConfig { path }),
            Occupant::Other => return Err(OpenError::NotARepository { path }),
        }
        match store.disk.open_file(ObjectKind::Config.folder()) {
            Ok(_) => Ok(store),
            Err(error) => Err(refusal(&path.join(ObjectKind::Config.folder()), error)),
        }
    }

    /// The absolute path of the repository's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the temporaries of processes that are gone, never one that is being written; says how many.
    ///
    /// # Errors
    /// Only if the folder cannot be read. A temporary that cannot be removed wastes space and harms nothing.
    pub fn sweep_temporaries(&self) -> Result<u64, StoreError> {
        let names = self.names_in(TEMPORARIES).map_err(failure)?;
        let mut swept = 0;
        for name in names.iter().filter(|name| is_temporary_name(name)) {
            let path = format!("{TEMPORARIES}/{name}");
            let Ok(file) = self.disk.open_file(&path) else { continue };
            if disk::lock_is_free(&file) && self.disk.unlink(&path).is_ok() {
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn open_folder(path: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Self, OpenError> {
        // A later change of the working directory must not lead a listing elsewhere.
        let absolute = std::path::absolute(path).map_err(|error| refusal(path, error))?;
        let disk = Disk::open(&absolute, watch).map_err(|error| refusal(path, error))?;
        Ok(Self { disk, path: absolute, doubtful: Mutex::default() })
    }
}

impl Store for LocalStore {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.with_reserve(name.kind(), || self.put_object(name, bytes))
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        let path = name.path();
        let file = match self.disk.open_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Absent),
            opened => opened.map_err(failure)?,
        };
        let found = file.metadata().map_err(failure)?.len();
        let (offset, len) = range.within(found)?;
        let allowed = self.disk.before(&Step::Read(&path)).map_err(failure);
        // The folder answered: what fails now are the bytes of this object, and others may still be whole.
        allowed.and_then(|()| read_exactly(&file, offset, len)).map_err(|error| match error {
            StoreError::Unreachable(error) => StoreError::Unreadable(error),
            other => other,
        })
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        if kind == ObjectKind::Config {
            return self.list_config();
        }
        let folder = self.path.join(kind.folder());
        self.require_in_place(kind.folder(), &folder)?;
        self.disk.before(&Step::ReadFolder(kind.folder())).map_err(failure)?;
        let mut listed = if kind.is_sharded() { list_shards(&folder)? } else { list_flat(&folder)? };
        listed.sort_unstable();
        Ok(listed)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        match self.disk.unlink(&name.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(failure),
        }
    }

    fn space_was_freed(&self) {
        // Ignored: a later prune tries again.
        let _ = self.make_reserve();
    }
}

/// Every folder that holds objects.
fn folders() -> impl Iterator<Item = &'static str> {
    ObjectKind::ALL.into_iter().filter(|&kind| kind != ObjectKind::Config).map(ObjectKind::folder)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(ROOT, |(folder, _)| folder)
}

fn is_shard_name(name: &str) -> bool {
    is_hex(name, 2)
}

fn is_temporary_name(name: &str) -> bool {
    is_hex(name, 2 * TEMPORARY_NAME_BYTES)
}

fn is_hex(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `file` holds exactly `bytes`.
fn holds(file: &File, bytes: &[u8]) -> io::Result<bool> {
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut buffer = vec![0; COMPARE_BYTES.min(bytes.len())];
    let mut offset = 0;
    for wanted in bytes.chunks(COMPARE_BYTES) {
        let found = &mut buffer[..wanted.len()];
        match file.read_exact_at(found, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            result => result?,
        }
        if found != wanted {
            return Ok(false);
        }
        offset += wanted.len() as u64;
    }
    Ok(true)
}

/// Reads `len` bytes from `offset`, of a file that was just seen to hold them.
fn read_exactly(file: &File, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
    let len = usize::try_from(len).map_err(|_| failure(io::ErrorKind::OutOfMemory.into()))?;
    let mut bytes = vec![0; len];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let found = file.metadata().map_err(failure)?.len();
            Err(StoreError::Short { wanted: offset.saturating_add(len as u64), found })
        }
        result => result.map(|()| bytes).map_err(failure),
    }
}

/// Makes a folder and those above it, each durable; one that is there already is fine.
fn make_folder_durably(path: &Path, mode: u32) -> io::Result<()> {
    const PARENT_MODE: u32 = 0o777;
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let make = || DirBuilder::new().mode(mode).create(path);
    let mut made = make();
    if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) && parent != Path::new(".") {
        make_folder_durably(parent, PARENT_MODE)?;
        made = make();
    }
    let sync = || File::open(parent)?.sync_all();
    match made {
        Ok(()) => sync(),
        // Perhaps by a `create` that was cut before its sync. The folder above may be closed to us, which is no reason
        // to fail: somebody else made this one then.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => sync().or(Ok(())),
        Err(error) => Err(error),
    }
}

/// What an error at the repository's own folder means.
fn refusal(path: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenError::Absent { path: path.to_owned() },
        io::ErrorKind::NotADirectory => OpenError::NotAFolder { path: path.to_owned() },
        io::ErrorKind::PermissionDenied => denied(path, error),
        _ => OpenError::Failed { path: path.to_owned(), source: failure(error) },
    }
}

fn denied(path: &Path, error: io::Error) -> OpenError {
    let ours = rustix::process::geteuid().as_raw();
    let seen = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    match seen {
        Some((path, metadata)) => OpenError::Denied { path: path.to_owned(), owner: metadata.uid(), ours },
        None => OpenError::Failed { path: path.to_owned(), source: failure(error) },
    }
}

/// Sorts the system's errors by what the user can do. "Not found" is left to the caller, since it means an absent
/// object to some and a missing folder to others.
fn failure(error: io::Error) -> StoreError {
    match Errno::from_io_error(&error) {
        Some(Errno::ACCESS | Errno::PERM) => StoreError::Denied(error),
        Some(Errno::ROFS) => StoreError::ReadOnly,
        Some(Errno::NOSPC | Errno::DQUOT) => StoreError::NoSpace,
        Some(
            Errno::IO
            | Errno::STALE
            | Errno::NOTCONN
            | Errno::NODEV
            | Errno::NXIO
            | Errno::TIMEDOUT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH,
        ) => StoreError::Unreachable(error),
        _ => StoreError::Other(error),
    }
}

/// A failure to open a folder of the layout.
fn folder_failure(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Other(io::Error::new(
            io::ErrorKind::NotFound,
            "the folder for it is missing from the repository",
        )),
        _ => failure(error),
    }
}

#[cfg(test)]
mod tests;
