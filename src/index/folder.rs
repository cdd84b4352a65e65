//! The cache folder: which files are runs, how one comes into being, and when it goes.
//!
//! Several processes share the folder without locking each other out: a run appears whole under a random name and
//! never changes, and who has it open keeps reading when another removes it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::IndexError;
use super::merge::Merging;
use super::page::FileId;
use super::run::{Backing, RunFile};
use super::write::{RowSource, WriteError, write_run};
use crate::env;

const RUN_EXTENSION: &str = "run";
const TEMPORARY_EXTENSION: &str = "tmp";

// Other processes may merge while this one looks; each round one of them is done.
const SCANS_MAX: usize = 8;

/// The folder, and the key that its pages are authenticated with.
pub(super) struct Folder {
    dir: PathBuf,
    key: Zeroizing<[u8; 32]>,
    /// Whether files can be made here, as far as is known.
    writable: AtomicBool,
}

impl Folder {
    pub(super) fn new(dir: &Path, key: &[u8; 32]) -> Self {
        // A folder that cannot be made is found out when the first file cannot.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        Self { dir: dir.to_owned(), key: Zeroizing::new(*key), writable: AtomicBool::new(true) }
    }

    /// The folder as if it were mounted read-only.
    #[cfg(test)]
    pub(super) fn read_only(self) -> Self {
        Self { writable: AtomicBool::new(false), ..self }
    }

    /// Every sound run of the folder but those in `avoid`. What is broken or half written by a dead process is
    /// removed.
    pub(super) fn runs(&self, avoid: &BTreeSet<PathBuf>) -> Vec<Arc<RunFile>> {
        let mut runs = Vec::new();
        for _ in 0..SCANS_MAX {
            runs.clear();
            let mut is_whole = true;
            for place in self.files().into_iter().filter(|place| !avoid.contains(place)) {
                match File::open(&place) {
                    // An error means that the file was broken; its segments are fetched again.
                    Ok(file) => runs.extend(RunFile::open(Backing::File(file), Some(place), &self.key)),
                    Err(error) => is_whole &= error.kind() != io::ErrorKind::NotFound,
                }
            }
            if is_whole {
                break;
            }
        }
        runs
    }

    /// Names of run files; sweeps out abandoned temporaries on the way.
    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let (mut runs, mut temporaries) = (Vec::new(), Vec::new());
        for place in entries.flatten().map(|entry| entry.path()) {
            match place.extension().and_then(|extension| extension.to_str()) {
                Some(RUN_EXTENSION) => runs.push(place),
                Some(TEMPORARY_EXTENSION) => temporaries.push(place),
                _ => {}
            }
        }
        temporaries.iter().for_each(|place| remove_if_abandoned(place));
        runs
    }

    /// Stores the rows of `source` as a new run: in the folder, or in memory when the folder takes no more files.
    pub(super) fn store(&self, source: &mut dyn RowSource) -> Result<Arc<RunFile>, IndexError> {
        match self.store_file(source)? {
            Some(run) => Ok(run),
            None => self.store_in_memory(source),
        }
    }

    /// Makes one run of `inputs`, which are then removed; or nothing, where there is no place for it.
    pub(super) fn merge(&self, inputs: &[Arc<RunFile>]) -> Result<Option<Arc<RunFile>>, IndexError> {
        let mut source = Merging::new(inputs);
        let merged = match self.store_file(&mut source)? {
            Some(run) => run,
            None if inputs.iter().all(|run| run.is_in_memory()) => self.store_in_memory(&mut source)?,
            None => return Ok(None),
        };
        inputs.iter().for_each(|run| run.remove());
        Ok(Some(merged))
    }

    /// Whether `run` can take part in a merge.
    pub(super) fn can_merge(&self, run: &RunFile) -> bool {
        run.is_in_memory() || self.writable.load(Ordering::Relaxed)
    }

    fn store_file(&self, source: &mut dyn RowSource) -> Result<Option<Arc<RunFile>>, IndexError> {
        if !self.writable.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.write_file(env::random_bytes()?, source) {
            Ok(run) => Ok(Some(run)),
            Err(WriteError::Source(error)) => Err(error),
            Err(WriteError::Write) => {
                self.writable.store(false, Ordering::Relaxed);
                Ok(None)
            }
        }
    }

    fn write_file(&self, id: FileId, source: &mut dyn RowSource) -> Result<Arc<RunFile>, WriteError> {
        let place = self.dir.join(HEXLOWER.encode(&id)).with_extension(RUN_EXTENSION);
        let temporary = place.with_extension(TEMPORARY_EXTENSION);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
        // The lock says that the temporary is not abandoned.
        let locked = file.lock();
        let mut backing = Backing::File(file);
        let written = locked
            .map_err(WriteError::from)
            .and_then(|()| write_run(&mut backing, &self.key, id, source))
            .and_then(|()| Ok(fs::rename(&temporary, &place)?));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(RunFile::open(backing, Some(place), &self.key)?)
    }

    fn store_in_memory(&self, source: &mut dyn RowSource) -> Result<Arc<RunFile>, IndexError> {
        let mut backing = Backing::Memory(Vec::new());
        match write_run(&mut backing, &self.key, env::random_bytes()?, source) {
            Ok(()) => RunFile::open(backing, None, &self.key),
            Err(WriteError::Source(error)) => Err(error),
            Err(WriteError::Write) => Err(IndexError::TooLarge),
        }
    }
}

/// Removes a temporary whose writer is gone, as the kernel tells by its lock.
fn remove_if_abandoned(place: &Path) {
    let Ok(file) = File::open(place) else { return };
    if file.try_lock().is_ok() {
        // A writer that has made the file and not yet locked it fails to rename it, and goes on in memory.
        let _ = fs::remove_file(place);
    }
}
