//! [`TreeCache`]: packs of trees that this machine has written or read, kept in the cache folder as they lie in the store. A
//! path then leads through folders of many runs without a request for each.
//!
//! A file is believed after its hash has been compared with the name once, and removed when that fails. All of it can be
//! made anew; whatever goes wrong here means that the store is asked.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens, open};

use super::state_folder::make_folder;
use crate::env;
use crate::format::index::PackRow;
use crate::id::PackId;

/// Bytes that may be kept: the trees of about three million files.
const KEPT_BYTES_MAX: u64 = 256 << 20;

/// Part of them that stays when room is made, so that it is seldom made.
const SPARED_BYTES: u64 = KEPT_BYTES_MAX / 4 * 3;

/// Files that are held open.
const OPEN_MAX: usize = 64;

/// Packs of trees on this machine. Shared by threads, and without a lock by processes.
pub struct TreeCache {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those whose hash was compared.
    proved: HashMap<PackId, Arc<File>>,
    /// Bytes kept, as far as this process knows; nothing before the folder was looked at.
    kept: Option<u64>,
}

impl TreeCache {
    /// Packs in `folder`, which is made with the first one.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, state: Mutex::default() }
    }

    /// The bytes in `range` of a pack, if it is here.
    pub(super) fn get(&self, pack: &PackRow, range: &Range<u64>) -> Option<Vec<u8>> {
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let file = self.proved(pack)?;
        // As much as a reader asks for at once: a small pack, or a part of one.
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start).ok()?;
        Some(bytes)
    }

    /// Keeps a pack, in place of those that were used longest ago.
    pub(super) fn keep(&self, id: &PackId, bytes: &[u8]) {
        if self.write(id, bytes).is_err() {
            return;
        }
        let mut state = self.lock();
        let kept = state
            .kept
            .map_or_else(|| self.files().iter().map(|file| file.bytes).sum(), |kept| kept + bytes.len() as u64);
        state.kept = Some(if kept > KEPT_BYTES_MAX { self.make_room() } else { kept });
    }

    fn proved(&self, pack: &PackRow) -> Option<Arc<File>> {
        if let Some(file) = self.lock().proved.get(&pack.id) {
            return Some(Arc::clone(file));
        }
        let path = self.path(&pack.id);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = Arc::new(File::from(open(&path, flags, Mode::empty()).ok()?));
        if !is_pack(&file, pack).ok()? {
            let _ = fs::remove_file(&path);
            return None;
        }
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let as_before = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        // Where times cannot be set, packs go in the order in which they came.
        let _ = futimens(&file, &Timestamps { last_access: as_before, last_modification: now });
        let mut state = self.lock();
        if state.proved.len() >= OPEN_MAX {
            state.proved.clear();
        }
        state.proved.insert(pack.id, Arc::clone(&file));
        Some(file)
    }

    fn write(&self, id: &PackId, bytes: &[u8]) -> io::Result<()> {
        make_folder(&self.folder).map_err(io::Error::other)?;
        let path = self.path(id);
        let temporary = path.with_extension(HEXLOWER.encode(&env::random_bytes::<8>().map_err(io::Error::other)?));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        written.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    /// Removes those that were used longest ago, and what a process that died has left; answers how many bytes stay.
    fn make_room(&self) -> u64 {
        let mut files = self.files();
        files.sort_by_key(|file| std::cmp::Reverse(file.used));
        let mut kept = 0;
        for file in files {
            if kept + file.bytes <= SPARED_BYTES {
                kept += file.bytes;
            } else {
                let _ = fs::remove_file(&file.path);
            }
        }
        kept
    }

    fn files(&self) -> Vec<Kept> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        entries.flatten().filter_map(|entry| Kept::of(entry.path())).collect()
    }

    fn path(&self, id: &PackId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file of the folder.
struct Kept {
    path: PathBuf,
    bytes: u64,
    /// When it was used last, in seconds and nanoseconds.
    used: (i64, i64),
}

impl Kept {
    fn of(path: PathBuf) -> Option<Self> {
        let metadata = fs::symlink_metadata(&path).ok()?;
        Some(Self { bytes: metadata.len(), used: (metadata.mtime(), metadata.mtime_nsec()), path })
    }
}

/// Whether a file is this pack, from its first byte to its last.
fn is_pack(file: &File, pack: &PackRow) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != pack.bytes {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(*hasher.finalize().as_bytes() == pack.id.0)
}
