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
use std::sync::{Mutex, PoisonError};

use data_encoding::HEXLOWER;
use rustix::io::Errno;
use walkdir::WalkDir;

use self::disk::Disk;
use super::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};
use crate::id::ObjectId;

mod disk;

/// Bytes kept back in the file `reserve`, so that a full disk can still record what is to be deleted.
///
/// A prune's record names 32 bytes per pack: this is enough for a hundred thousand packs, 3 TiB of backups.
pub const RESERVE_BYTES: usize = 4 << 20;

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
        make_folder_durably(path, disk::FOLDER_MODE.as_raw_mode()).map_err(|error| refusal(path, error))?;
        let store = Self::open_folder(path)?;
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
        let store = Self::open_folder(path)?;
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

    /// Remakes the reserve after it was given up, if there is room; says whether it is there now.
    pub fn restore_reserve(&self) -> bool {
        self.make_reserve().is_ok()
    }

    fn open_folder(path: &Path) -> Result<Self, OpenError> {
        // A later change of the working directory must not lead a listing elsewhere.
        let absolute = std::path::absolute(path).map_err(|error| refusal(path, error))?;
        let disk = Disk::open(&absolute).map_err(|error| refusal(path, error))?;
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
        let file = match self.disk.open_file(&name.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Absent),
            opened => opened.map_err(failure)?,
        };
        let found = file.metadata().map_err(failure)?.len();
        let (offset, len) = range.within(found)?;
        // The folder answered: what fails now are the bytes of this object, and others may still be whole.
        read_exactly(&file, offset, len).map_err(|error| match error {
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
}

/// What a name holds before a put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Absent,
    Same,
    Different,
}

/// Putting.
impl LocalStore {
    fn put_object(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        let path = name.path();
        // Opened before anything gets its name, so that this handle is told of every failure to write the folder that
        // comes after, whoever's sync finds it.
        let folder = self.disk.open_folder(folder_of(&path)).map_err(folder_failure)?;
        self.establish(name, &path, bytes)?;
        self.sync_name(name, &folder)
    }

    /// Sees to it that `name` holds `bytes`, in a file that is synced.
    fn establish(&self, name: &ObjectName, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        for _ in 0..ROUNDS_MAX {
            let published = match self.standing(path, bytes)? {
                Standing::Same if !self.is_doubtful(name) => return Ok(()),
                Standing::Different if name.kind() == ObjectKind::Config => {
                    let reason = "there is another `config`, and it is never replaced";
                    return Err(StoreError::Denied(io::Error::new(io::ErrorKind::AlreadyExists, reason)));
                }
                Standing::Absent if self.link_pending(name, path, bytes) => return Ok(()),
                Standing::Absent => self.write_temporary(bytes)?.publish(path),
                Standing::Same | Standing::Different => self.write_temporary(bytes)?.replace(path),
            };
            match published {
                // Somebody else was faster: look what they put.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map_err(failure),
            }
        }
        Err(StoreError::Other(io::Error::other("the name is neither free nor taken")))
    }

    fn standing(&self, path: &str, bytes: &[u8]) -> Result<Standing, StoreError> {
        match self.disk.open_file(path).and_then(|file| holds(&file, bytes)) {
            Ok(true) => Ok(Standing::Same),
            Ok(false) => Ok(Standing::Different),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Standing::Absent),
            // Damage: a sector that cannot be read, or no file at all.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Standing::Different),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => Ok(Standing::Different),
            Err(error) => Err(failure(error)),
        }
    }

    /// Commits a snapshot by giving its announcement a second name, which takes no space. Where that fails for any
    /// reason, an ordinary put follows and tells what is wrong.
    fn link_pending(&self, name: &ObjectName, path: &str, bytes: &[u8]) -> bool {
        let pending = ObjectName::new(ObjectKind::Pending, name.id()).path();
        name.kind() == ObjectKind::Snapshots
            && matches!(self.standing(&pending, bytes), Ok(Standing::Same))
            && self.disk.link(&pending, path).is_ok()
    }

    fn sync_name(&self, name: &ObjectName, folder: &File) -> Result<(), StoreError> {
        let synced = self.disk.sync_folder(folder);
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        match synced {
            Ok(()) => doubtful.remove(name),
            Err(_) => doubtful.insert(*name),
        };
        synced.map_err(failure)
    }

    fn is_doubtful(&self, name: &ObjectName) -> bool {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<Temporary<'_>, StoreError> {
        let temporary = self.new_temporary().map_err(failure)?;
        self.disk.write(&temporary.file, bytes).map_err(failure)?;
        self.disk.sync_file(&temporary.file).map_err(failure)?;
        Ok(temporary)
    }

    fn new_temporary(&self) -> io::Result<Temporary<'_>> {
        for _ in 0..ROUNDS_MAX {
            let random = crate::env::random_bytes::<TEMPORARY_NAME_BYTES>().map_err(io::Error::other)?;
            let path = format!("{TEMPORARIES}/{}", HEXLOWER.encode(&random));
            let file = self.disk.create(&path)?;
            let temporary = Temporary { disk: &self.disk, path, file };
            // A sweep may have come between the two calls and taken it for a dead process's.
            if disk::lock_as_writer(&temporary.file) && self.disk.exists(&temporary.path)? {
                return Ok(temporary);
            }
        }
        Err(io::Error::other("new temporaries are removed at once"))
    }

    /// Runs `put`; if a record that lets space be freed finds none, gives up the reserve and runs it once more.
    fn with_reserve(&self, kind: ObjectKind, put: impl Fn() -> Result<(), StoreError>) -> Result<(), StoreError> {
        match put() {
            Err(StoreError::NoSpace)
                if matches!(kind, ObjectKind::Gc | ObjectKind::Forgotten) && self.give_up_reserve() =>
            {
                put()
            }
            result => result,
        }
    }

    fn give_up_reserve(&self) -> bool {
        let given_up = self.disk.unlink(RESERVE).is_ok();
        // Some file systems hand the space out again only after the unlink is on disk. Failing to is found by the put.
        let _ = self.disk.sync_folder(self.disk.root());
        given_up
    }
}

/// A file in `tmp/`, locked while this value lives. Removed by drop; harmless after it got its name, since then nothing
/// has the old one.
struct Temporary<'a> {
    disk: &'a Disk,
    path: String,
    file: File,
}

impl Temporary<'_> {
    fn publish(self, to: &str) -> io::Result<()> {
        self.disk.publish(&self.path, to)
    }

    fn replace(self, to: &str) -> io::Result<()> {
        self.disk.replace(&self.path, to)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Left over otherwise, for the next sweep.
        let _ = self.disk.unlink(&self.path);
    }
}

/// What is in the folder of a repository that is to be opened or made.
enum Occupant {
    Nothing,
    Repository,
    /// What an interrupted `create` leaves: parts of the layout, and no objects.
    Beginnings,
    /// All folders of a repository, and something in them, but no `config`.
    Layout,
    Other,
}

/// Layout.
impl LocalStore {
    fn occupant(&self) -> io::Result<Occupant> {
        let names = self.names_in(".")?;
        if names.is_empty() {
            return Ok(Occupant::Nothing);
        }
        let has = |name: &str| names.iter().any(|other| other == name);
        // A `config` alone is anybody's: a bare git repository has one.
        if has(ObjectKind::Config.folder()) && folders().any(has) {
            return Ok(Occupant::Repository);
        }
        if self.holds_only_beginnings(&names)? {
            return Ok(Occupant::Beginnings);
        }
        Ok(if folders().all(has) { Occupant::Layout } else { Occupant::Other })
    }

    fn holds_only_beginnings(&self, names: &[String]) -> io::Result<bool> {
        for name in names {
            let ours = match name.as_str() {
                README => self.file_is(README, |file| holds(file, README_TEXT))?,
                RESERVE => self.file_is(RESERVE, |file| Ok(file.metadata()?.len() == RESERVE_BYTES as u64))?,
                TEMPORARIES => self.folder_holds_only(TEMPORARIES, is_temporary_name)?,
                // An init puts `config` last: until then its slots and statements open nothing.
                name if name == ObjectKind::Keys.folder() || name == ObjectKind::Charter.folder() => true,
                name if folders().any(|folder| folder == name) => self.folder_holds_no_object(name)?,
                _ => false,
            };
            if !ours {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn file_is(&self, path: &str, test: impl Fn(&File) -> io::Result<bool>) -> io::Result<bool> {
        match self.disk.open_file(path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            opened => test(&opened?),
        }
    }

    fn folder_holds_no_object(&self, folder: &str) -> io::Result<bool> {
        if !self.folder_holds_only(folder, is_shard_name)? {
            return Ok(false);
        }
        for shard in self.names_in(folder)? {
            if !self.folder_holds_only(&format!("{folder}/{shard}"), |_| false)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `false` also for what is no folder.
    fn folder_holds_only(&self, folder: &str, test: impl Fn(&str) -> bool) -> io::Result<bool> {
        match self.names_in(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            names => Ok(names?.iter().all(|name| test(name))),
        }
    }

    fn names_in(&self, folder: &str) -> io::Result<Vec<String>> {
        let folder = self.disk.open_folder(folder)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Makes what is missing of the layout.
    ///
    /// An empty folder has nothing of its own to sync but its name, which lies in the folder above.
    fn lay_out(&self) -> Result<(), StoreError> {
        self.disk.make_folder(TEMPORARIES).map_err(failure)?;
        for kind in ObjectKind::ALL.into_iter().filter(|&kind| kind != ObjectKind::Config) {
            self.make_folders_of(kind).map_err(failure)?;
        }
        self.put_fixed(README, README_TEXT)?;
        self.make_reserve()?;
        self.disk.sync_folder(self.disk.root()).map_err(failure)
    }

    fn make_folders_of(&self, kind: ObjectKind) -> io::Result<()> {
        self.disk.make_folder(kind.folder())?;
        if kind.is_sharded() {
            for shard in 0..SHARDS {
                self.disk.make_folder(&format!("{}/{shard:02x}", kind.folder()))?;
            }
            self.disk.sync_folder(&self.disk.open_folder(kind.folder())?)?;
        }
        Ok(())
    }

    fn make_reserve(&self) -> Result<(), StoreError> {
        if self.disk.exists(RESERVE).map_err(failure)? {
            return Ok(());
        }
        // Noise, since zeros take no space on a file system that compresses.
        let seed = crate::env::random_bytes::<32>().map_err(|error| failure(io::Error::other(error)))?;
        let mut noise = vec![0; RESERVE_BYTES];
        blake3::Hasher::new_keyed(&seed).finalize_xof().fill(&mut noise);
        self.put_fixed(RESERVE, &noise)
    }

    /// Writes a file that is no object; one that is there already stays as it is.
    fn put_fixed(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.disk.exists(path).map_err(failure)? {
            return Ok(());
        }
        match self.write_temporary(bytes)?.publish(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(failure),
        }
    }
}

/// Listing.
impl LocalStore {
    fn list_config(&self) -> Result<Vec<Listed>, StoreError> {
        match self.disk.open_file(ObjectKind::Config.folder()).and_then(|file| file.metadata()) {
            Ok(metadata) => Ok(vec![Listed { id: ObjectName::CONFIG.id(), bytes: metadata.len() }]),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(vec![]),
            Err(error) => Err(failure(error)),
        }
    }

    /// A listing goes by path; it must lead to the very folder that the puts go to.
    fn require_in_place(&self, folder: &str, path: &Path) -> Result<(), StoreError> {
        let ours = self.disk.open_folder(folder).and_then(|folder| folder.metadata()).map_err(folder_failure)?;
        match fs::metadata(path) {
            Ok(there) if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(error)),
            _ => Err(StoreError::Unreachable(io::Error::other(
                "the repository was moved, unmounted or mounted over since it was opened",
            ))),
        }
    }
}

fn list_flat(folder: &Path) -> Result<Vec<Listed>, StoreError> {
    let walk = WalkDir::new(folder).min_depth(1).max_depth(1);
    walk.into_iter().filter_map(|entry| object_at(entry, 1).transpose()).collect()
}

fn list_shards(folder: &Path) -> Result<Vec<Listed>, StoreError> {
    let mut listed = Vec::new();
    let mut shards = BTreeSet::new();
    let mut walk = WalkDir::new(folder).min_depth(1).max_depth(2).into_iter();
    while let Some(entry) = walk.next() {
        match entry {
            Ok(entry) if entry.depth() == 1 && entry.file_type().is_dir() => {
                let name = entry.file_name().to_string_lossy();
                if is_shard_name(&name) {
                    shards.insert(name.into_owned());
                } else {
                    walk.skip_current_dir();
                }
            }
            entry => listed.extend(object_at(entry, 2)?),
        }
    }
    // Copying tools like to leave empty folders out. Whether one was empty cannot be told any more.
    match (0..SHARDS).map(|shard| format!("{shard:02x}")).find(|shard| !shards.contains(shard)) {
        Some(missing) => {
            let reason = format!("of its 256 folders, {missing} is missing");
            Err(StoreError::Other(io::Error::new(io::ErrorKind::NotFound, reason)))
        }
        None => Ok(listed),
    }
}

/// The object at an entry of a walk whose objects lie at `depth`; nothing if it is none, or if it was deleted since the
/// folder was read.
fn object_at(entry: Result<walkdir::DirEntry, walkdir::Error>, depth: usize) -> Result<Option<Listed>, StoreError> {
    let found = entry.and_then(|entry| {
        let Some(id) = entry.file_name().to_str().and_then(ObjectId::from_hex) else { return Ok(None) };
        if entry.depth() != depth || !entry.file_type().is_file() || (depth == 2 && !is_in_its_shard(&entry)) {
            return Ok(None);
        }
        Ok(Some(Listed { id, bytes: entry.metadata()?.len() }))
    });
    match found {
        // Only an entry has a path and this depth: a folder that cannot be read is never passed over.
        Err(error) if error.depth() == depth && error.path().is_some() && is_vanished(&error) => Ok(None),
        found => found.map_err(|error| failure(walk_failure(error))),
    }
}

fn is_in_its_shard(entry: &walkdir::DirEntry) -> bool {
    let shard = entry.path().parent().and_then(Path::file_name);
    shard.is_some_and(|shard| entry.file_name().as_encoded_bytes().starts_with(shard.as_encoded_bytes()))
}

fn is_vanished(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The system's own error, without the path that walkdir adds: the caller names the object and the location.
fn walk_failure(error: walkdir::Error) -> io::Error {
    error.into_io_error().unwrap_or_else(|| io::Error::other("a folder contains itself"))
}

/// Every folder that holds objects.
fn folders() -> impl Iterator<Item = &'static str> {
    ObjectKind::ALL.into_iter().filter(|&kind| kind != ObjectKind::Config).map(ObjectKind::folder)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
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
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::symlink;

    use super::super::contract;
    use super::*;

    const WHOLE: ByteRange = ByteRange::Whole { limit: 1 << 20 };

    fn made() -> (tempfile::TempDir, LocalStore) {
        let around = tempfile::tempdir().unwrap();
        let store = LocalStore::create(&around.path().join("repository")).unwrap();
        (around, store)
    }

    fn name_of(kind: ObjectKind, bytes: &[u8]) -> ObjectName {
        ObjectName::new(kind, ObjectId::of(bytes))
    }

    fn at(store: &LocalStore, name: &ObjectName) -> PathBuf {
        store.path().join(name.path())
    }

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn temporaries(store: &LocalStore) -> usize {
        fs::read_dir(store.path().join(TEMPORARIES)).unwrap().count()
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn the_store_in_a_folder_keeps_the_contract() {
        let around = tempfile::tempdir().unwrap();
        let made = Cell::new(0);
        contract::check_contract(&|| {
            made.set(made.get() + 1);
            Box::new(LocalStore::create(&around.path().join(made.get().to_string())).unwrap())
        });
    }

    #[test]
    fn the_whole_layout_is_made_and_private() {
        let around = tempfile::tempdir().unwrap();
        let store = LocalStore::create(&around.path().join("above/repository")).unwrap();
        let mut seen = BTreeSet::new();
        for entry in WalkDir::new(store.path()) {
            let entry = entry.unwrap();
            let mode = if entry.file_type().is_dir() { 0o700 } else { 0o400 };
            assert_eq!(mode_of(entry.path()), mode, "{}", entry.path().display());
            seen.insert(entry.path().strip_prefix(store.path()).unwrap().to_owned());
        }
        for kind in folders() {
            assert!(seen.contains(Path::new(kind)), "{kind}");
        }
        let shards =
            |kind: &str| (0..SHARDS).filter(|n| seen.contains(&Path::new(kind).join(format!("{n:02x}")))).count();
        assert_eq!((shards("packs"), shards("trees")), (SHARDS, SHARDS));
        // The root, nine kinds, tmp, README.txt and reserve.
        assert_eq!(seen.len(), 1 + 9 + 2 * SHARDS + 3);
    }

    #[test]
    fn the_readme_explains_everything_that_lies_beside_it() {
        let (_around, store) = made();
        let text = fs::read_to_string(store.path().join(README)).unwrap();
        for name in store.names_in(".").unwrap().iter().map(String::as_str).chain(["config"]) {
            let explained =
                |line: &str| line.split_whitespace().next().is_some_and(|word| word.trim_end_matches('/') == name);
            assert!(text.lines().filter(|line| line.starts_with("    ")).any(explained), "{name}");
        }
    }

    #[test]
    fn the_reserve_is_really_allocated() {
        let (_around, store) = made();
        let reserve = fs::metadata(store.path().join(RESERVE)).unwrap();
        assert_eq!(reserve.len(), RESERVE_BYTES as u64);
        assert!(reserve.blocks() * 512 >= RESERVE_BYTES as u64);
    }

    #[test]
    fn an_object_is_a_file_that_nobody_may_write() {
        let (_around, store) = made();
        let name = name_of(ObjectKind::Packs, b"pack");
        store.put(&name, b"pack").unwrap();
        assert_eq!(mode_of(&at(&store, &name)), 0o400);
        assert_eq!(temporaries(&store), 0);
    }

    #[test]
    fn a_repeated_put_leaves_the_file_alone_and_a_healing_one_makes_a_new_file() {
        let (_around, store) = made();
        let name = name_of(ObjectKind::Packs, b"pack");
        let inode = || fs::metadata(at(&store, &name)).unwrap().ino();
        store.put(&name, b"pack").unwrap();
        let first = inode();
        store.put(&name, b"pack").unwrap();
        assert_eq!(inode(), first);
        // Moved aside, so that its inode number cannot be used again.
        fs::rename(at(&store, &name), store.path().join("aside")).unwrap();
        fs::write(at(&store, &name), b"junk").unwrap();
        let damaged = inode();
        store.put(&name, b"pack").unwrap();
        assert_ne!(inode(), damaged);
        assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
        assert_eq!(mode_of(&at(&store, &name)), 0o400);
        assert_eq!(temporaries(&store), 0);
    }

    #[test]
    fn an_object_whose_folder_was_not_synced_is_written_anew() {
        let (_around, store) = made();
        let name = name_of(ObjectKind::Packs, b"pack");
        store.put(&name, b"pack").unwrap();
        let first = File::open(at(&store, &name)).unwrap();
        store.doubtful.lock().unwrap().insert(name);
        store.put(&name, b"pack").unwrap();
        assert_eq!(first.metadata().unwrap().nlink(), 0, "the file of the first put has lost its name");
        assert!(!store.is_doubtful(&name));
    }

    #[test]
    fn a_failed_put_leaves_no_temporary_and_what_was_there_whole() {
        let (_around, store) = made();
        let [kept, name] = [&b"kept"[..], b"pack"].map(|bytes| name_of(ObjectKind::Packs, bytes));
        store.put(&kept, b"kept").unwrap();
        // A folder by the object's name cannot be replaced by a file.
        fs::create_dir(at(&store, &name)).unwrap();
        assert!(matches!(store.put(&name, b"pack"), Err(StoreError::Other(_))));
        assert_eq!(temporaries(&store), 0);
        assert_eq!(store.get(&kept, WHOLE).unwrap(), b"kept");
    }

    #[test]
    fn a_committed_snapshot_is_a_hard_link_of_its_announcement() {
        let (_around, store) = made();
        let [pending, snapshot] = [ObjectKind::Pending, ObjectKind::Snapshots].map(|kind| name_of(kind, b"snapshot"));
        store.put(&pending, b"snapshot").unwrap();
        store.put(&snapshot, b"snapshot").unwrap();
        assert_eq!(fs::metadata(at(&store, &snapshot)).unwrap().nlink(), 2);
        store.put(&snapshot, b"snapshot").unwrap();
        store.delete(&pending).unwrap();
        assert_eq!(store.get(&snapshot, WHOLE).unwrap(), b"snapshot");
    }

    #[test]
    fn a_damaged_announcement_is_not_what_a_snapshot_is_linked_to() {
        let (_around, store) = made();
        let [pending, snapshot] = [ObjectKind::Pending, ObjectKind::Snapshots].map(|kind| name_of(kind, b"snapshot"));
        store.put(&pending, b"snapshoT").unwrap();
        store.put(&snapshot, b"snapshot").unwrap();
        assert_eq!(store.get(&snapshot, WHOLE).unwrap(), b"snapshot");
        assert_eq!(fs::metadata(at(&store, &snapshot)).unwrap().nlink(), 1);
    }

    #[test]
    fn leftovers_are_swept_and_what_is_being_written_is_not() {
        let (_around, store) = made();
        store.put(&ObjectName::CONFIG, b"genesis").unwrap();
        let held = store.write_temporary(b"being written").unwrap();
        let leftover = store.path().join(TEMPORARIES).join("0123456789abcdef".repeat(2));
        fs::write(&leftover, b"of a dead process").unwrap();
        fs::write(store.path().join(TEMPORARIES).join("notes"), b"not ours").unwrap();
        let other = LocalStore::open(store.path()).unwrap();
        assert_eq!(other.sweep_temporaries().unwrap(), 1);
        assert!(!leftover.exists());
        assert_eq!(temporaries(&store), 2);
        let name = name_of(ObjectKind::Packs, b"being written");
        held.publish(&name.path()).unwrap();
        assert_eq!(other.get(&name, WHOLE).unwrap(), b"being written");
        assert_eq!(temporaries(&store), 1);
    }

    #[test]
    fn a_temporary_never_takes_a_name_that_is_taken() {
        let (_around, store) = made();
        let name = name_of(ObjectKind::Packs, b"pack");
        store.put(&name, b"pack").unwrap();
        for publish in [Disk::publish, Disk::publish_by_link] {
            let temporary = store.write_temporary(b"other").unwrap();
            let error = publish(&store.disk, &temporary.path, &name.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
        assert_eq!(temporaries(&store), 0);
    }

    #[test]
    fn a_link_publishes_where_renames_cannot_be_exclusive() {
        let (_around, store) = made();
        let name = name_of(ObjectKind::Packs, b"pack");
        let temporary = store.write_temporary(b"pack").unwrap();
        store.disk.publish_by_link(&temporary.path, &name.path()).unwrap();
        assert_eq!(temporaries(&store), 0);
        drop(temporary);
        assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
        assert_eq!(fs::metadata(at(&store, &name)).unwrap().nlink(), 1);
    }

    #[test]
    fn a_listing_passes_over_what_is_no_object() {
        let (_around, store) = made();
        for kind in [ObjectKind::Packs, ObjectKind::Snapshots] {
            let (kept, stray) = (name_of(kind, b"kept"), name_of(kind, b"stray"));
            store.put(&kept, b"kept").unwrap();
            let folder = at(&store, &kept).parent().unwrap().to_owned();
            fs::write(folder.join(stray.id().to_string().to_uppercase()), b"upper case").unwrap();
            fs::write(folder.join(&stray.id().to_string()[1..]), b"too short").unwrap();
            fs::write(folder.join(".DS_Store"), b"").unwrap();
            fs::create_dir(at(&store, &stray)).unwrap();
            symlink(at(&store, &kept), at(&store, &name_of(kind, b"link"))).unwrap();
            fs::create_dir_all(store.path().join(kind.folder()).join("lost+found/deeper")).unwrap();
            assert_eq!(store.list(kind).unwrap(), [Listed { id: kept.id(), bytes: 4 }]);
        }
        let packs = store.path().join("packs");
        let id = ObjectId::of(b"kept").to_string();
        let wrong_shard = if id.starts_with("00") { "01" } else { "00" };
        fs::write(packs.join(wrong_shard).join(&id), b"kept").unwrap();
        fs::write(packs.join(&id), b"kept").unwrap();
        fs::create_dir(packs.join(&id[..3])).unwrap();
        fs::write(packs.join(&id[..3]).join(&id), b"kept").unwrap();
        assert_eq!(store.list(ObjectKind::Packs).unwrap().len(), 1);
    }

    #[test]
    fn a_listing_fails_when_a_folder_is_missing_or_none() {
        let (_around, store) = made();
        for folder in ["packs/7f", "trees", "snapshots"] {
            let kind = ObjectKind::ALL.into_iter().find(|kind| folder.starts_with(kind.folder())).unwrap();
            assert_eq!(store.list(kind).unwrap(), []);
            let path = store.path().join(folder);
            fs::remove_dir_all(&path).unwrap();
            assert!(matches!(store.list(kind), Err(StoreError::Other(_))), "{folder} missing");
            fs::write(&path, b"").unwrap();
            assert!(store.list(kind).is_err(), "{folder} a file");
        }
        let put = store.put(&name_of(ObjectKind::Snapshots, b"snapshot"), b"snapshot");
        assert!(matches!(put, Err(StoreError::Other(_))));
    }

    #[test]
    fn a_listing_fails_when_a_folder_cannot_be_read() {
        // Nothing is unreadable to root.
        if is_root() {
            return;
        }
        let (_around, store) = made();
        for (folder, kind) in [("packs/7f", ObjectKind::Packs), ("snapshots", ObjectKind::Snapshots)] {
            let path = store.path().join(folder);
            fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
            assert!(matches!(store.list(kind), Err(StoreError::Denied(_))), "{folder}");
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn a_repository_that_was_moved_away_is_not_listed_as_another() {
        let (around, store) = made();
        fs::rename(store.path(), around.path().join("moved")).unwrap();
        assert!(matches!(store.list(ObjectKind::Packs), Err(StoreError::Unreachable(_))));
        LocalStore::create(store.path()).unwrap();
        assert!(matches!(store.list(ObjectKind::Packs), Err(StoreError::Unreachable(_))));
    }

    #[test]
    fn only_a_regular_file_is_got() {
        let (around, store) = made();
        let name = name_of(ObjectKind::Packs, b"pack");
        let elsewhere = around.path().join("elsewhere");
        fs::write(&elsewhere, b"pack").unwrap();
        symlink(&elsewhere, at(&store, &name)).unwrap();
        assert!(matches!(store.get(&name, WHOLE), Err(StoreError::Other(_))));
        store.put(&name, b"pack").unwrap();
        assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
        assert!(fs::symlink_metadata(at(&store, &name)).unwrap().is_file());
    }

    #[test]
    fn a_huge_file_is_refused_before_anything_is_allocated() {
        let (_around, store) = made();
        let name = name_of(ObjectKind::Index, b"huge");
        File::create(at(&store, &name)).unwrap().set_len(1 << 40).unwrap();
        let refused = store.get(&name, WHOLE);
        assert!(
            matches!(refused, Err(StoreError::TooLong { limit: 0x10_0000, found: 0x100_0000_0000 })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_record_that_frees_space_may_use_the_reserve() {
        let (_around, store) = made();
        let reserve = store.path().join(RESERVE);
        let full_until_given_up = || if reserve.exists() { Err(StoreError::NoSpace) } else { Ok(()) };
        for kind in [ObjectKind::Packs, ObjectKind::Snapshots, ObjectKind::Index] {
            assert!(matches!(store.with_reserve(kind, full_until_given_up), Err(StoreError::NoSpace)));
            assert!(reserve.exists());
        }
        for kind in [ObjectKind::Gc, ObjectKind::Forgotten] {
            store.with_reserve(kind, full_until_given_up).unwrap();
            assert!(!reserve.exists());
            assert!(matches!(store.with_reserve(kind, || Err(StoreError::NoSpace)), Err(StoreError::NoSpace)));
            assert!(store.restore_reserve());
            assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES as u64);
        }
    }

    #[test]
    fn an_interrupted_create_is_finished() {
        let (_around, store) = made();
        let path = store.path().to_owned();
        fs::remove_file(path.join(RESERVE)).unwrap();
        fs::remove_dir_all(path.join("trees")).unwrap();
        fs::remove_dir(path.join("packs/ff")).unwrap();
        fs::write(path.join(TEMPORARIES).join("ab".repeat(TEMPORARY_NAME_BYTES)), b"half of a file").unwrap();
        let store = LocalStore::create(&path).unwrap();
        for kind in ObjectKind::ALL {
            assert_eq!(store.list(kind).unwrap(), []);
        }
        assert!(path.join(RESERVE).exists());
    }

    #[test]
    fn a_folder_that_holds_anything_else_is_left_alone() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("taken");
        fs::create_dir(&path).unwrap();
        let refused = || LocalStore::create(&path).err().unwrap();
        fs::write(path.join("thesis.tex"), b"").unwrap();
        assert!(matches!(refused(), OpenError::NotEmpty { .. }));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        fs::rename(path.join("thesis.tex"), path.join(README)).unwrap();
        assert!(matches!(refused(), OpenError::NotEmpty { .. }));
        fs::remove_file(path.join(README)).unwrap();

        let store = LocalStore::create(&path).unwrap();
        store.put(&ObjectName::CONFIG, b"genesis").unwrap();
        assert!(matches!(refused(), OpenError::Exists { .. }));
        // A repository that has lost its config is still full of backups.
        let pack = name_of(ObjectKind::Packs, b"pack");
        store.put(&pack, b"pack").unwrap();
        store.delete(&ObjectName::CONFIG).unwrap();
        assert!(matches!(refused(), OpenError::NotEmpty { .. }));
        assert!(matches!(LocalStore::open(&path).err().unwrap(), OpenError::NoConfig { .. }));
    }

    #[test]
    fn each_reason_why_there_is_no_repository_is_told_apart() {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("repository");
        let refused = |path: &Path| LocalStore::open(path).err().unwrap();
        assert!(matches!(refused(&path), OpenError::Absent { .. }));
        fs::create_dir(&path).unwrap();
        assert!(matches!(refused(&path), OpenError::Empty { .. }));
        fs::write(path.join("config"), b"[core]\n\tbare = true\n").unwrap();
        assert!(matches!(refused(&path), OpenError::NotARepository { .. }));
        assert!(matches!(refused(&path.join("config")), OpenError::NotAFolder { .. }));
        assert!(matches!(LocalStore::create(&path.join("config")).err().unwrap(), OpenError::NotAFolder { .. }));
        fs::remove_file(path.join("config")).unwrap();
        let store = LocalStore::create(&path).unwrap();
        assert!(matches!(refused(&path), OpenError::NoConfig { .. }));
        store.put(&ObjectName::CONFIG, b"genesis").unwrap();
        assert_eq!(LocalStore::open(&path).unwrap().location(), path.display().to_string());
    }

    #[test]
    fn access_that_is_refused_names_both_users() {
        let around = tempfile::tempdir().unwrap();
        let ours = rustix::process::geteuid().as_raw();
        let error = refusal(&around.path().join("absent"), Errno::ACCESS.into());
        let expected = format!(
            "permission denied at {}: it belongs to uid {ours}, and this process runs as uid {ours}",
            around.path().display()
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_systems_errors_are_sorted_by_what_can_be_done() {
        for (errno, expected) in [
            (Errno::ACCESS, "permission denied"),
            (Errno::PERM, "permission denied"),
            (Errno::ROFS, "the file system is read-only"),
            (Errno::NOSPC, "no space left"),
            (Errno::DQUOT, "no space left"),
            (Errno::IO, "the store cannot be reached"),
            (Errno::STALE, "the store cannot be reached"),
            (Errno::NOTCONN, "the store cannot be reached"),
            (Errno::NODEV, "the store cannot be reached"),
            (Errno::NXIO, "the store cannot be reached"),
            (Errno::FBIG, "the store failed"),
            (Errno::NOENT, "the store failed"),
        ] {
            assert_eq!(failure(errno.into()).to_string(), expected, "{errno}");
        }
    }
}
