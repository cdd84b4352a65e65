//! Listing a kind of object: whole, or an error.

use super::*;

/// Listing.
impl LocalStore {
    pub(super) fn list_config(&self) -> Result<Vec<Listed>, StoreError> {
        match self.disk.open_file(ObjectKind::Config.folder()).and_then(|file| file.metadata()) {
            Ok(metadata) => Ok(vec![listed(ObjectName::CONFIG.id(), &metadata)]),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(vec![]),
            Err(error) => Err(failure(error)),
        }
    }

    /// A listing goes by path; it must lead to the very folder that the puts go to.
    pub(super) fn require_in_place(&self, folder: &str, path: &Path) -> Result<(), StoreError> {
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

fn listed(id: ObjectId, metadata: &fs::Metadata) -> Listed {
    let modified = jiff::Timestamp::new(metadata.mtime(), i32::try_from(metadata.mtime_nsec()).unwrap_or(0)).ok();
    Listed { id, bytes: metadata.len(), modified }
}

pub(super) fn list_flat(folder: &Path) -> Result<Vec<Listed>, StoreError> {
    let walk = WalkDir::new(folder).min_depth(1).max_depth(1);
    walk.into_iter().filter_map(|entry| object_at(entry, 1).transpose()).collect()
}

pub(super) fn list_shards(folder: &Path) -> Result<Vec<Listed>, StoreError> {
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
pub(super) fn object_at(
    entry: Result<walkdir::DirEntry, walkdir::Error>,
    depth: usize,
) -> Result<Option<Listed>, StoreError> {
    let found = entry.and_then(|entry| {
        let Some(id) = entry.file_name().to_str().and_then(ObjectId::from_hex) else { return Ok(None) };
        if entry.depth() != depth || !entry.file_type().is_file() || (depth == 2 && !is_in_its_shard(&entry)) {
            return Ok(None);
        }
        Ok(Some(listed(id, &entry.metadata()?)))
    });
    match found {
        // Only an entry has a path and this depth: a folder that cannot be read is never passed over.
        Err(error) if error.depth() == depth && error.path().is_some() && is_vanished(&error) => Ok(None),
        found => found.map_err(|error| failure(walk_failure(error))),
    }
}

pub(super) fn is_in_its_shard(entry: &walkdir::DirEntry) -> bool {
    let shard = entry.path().parent().and_then(Path::file_name);
    shard.is_some_and(|shard| entry.file_name().as_encoded_bytes().starts_with(shard.as_encoded_bytes()))
}

pub(super) fn is_vanished(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The system's own error, without the path that walkdir adds: the caller names the object and the location.
pub(super) fn walk_failure(error: walkdir::Error) -> io::Error {
    error.into_io_error().unwrap_or_else(|| io::Error::other("a folder contains itself"))
}
