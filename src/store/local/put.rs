//! Putting an object: written under another name, synced, then given its own.

use super::*;

/// What a name holds before a put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    Same,
    Different,
}

/// Putting.
impl LocalStore {
    pub(super) fn put_object(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        let path = name.path();
        // Opened before anything gets its name, so that this handle is told of every failure to write the folder that
        // comes after, whoever's sync finds it.
        let folder = self.disk.open_folder(folder_of(&path)).map_err(folder_failure)?;
        self.establish(name, &path, bytes)?;
        self.sync_name(name, &folder)
    }

    /// Sees to it that `name` holds `bytes`, in a file that is synced.
    pub(super) fn establish(&self, name: &ObjectName, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
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

    pub(super) fn standing(&self, path: &str, bytes: &[u8]) -> Result<Standing, StoreError> {
        let compare = |file| self.disk.before(&Step::Read(path)).and_then(|()| holds(&file, bytes));
        match self.disk.open_file(path).and_then(compare) {
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
    pub(super) fn link_pending(&self, name: &ObjectName, path: &str, bytes: &[u8]) -> bool {
        let pending = ObjectName::new(ObjectKind::Pending, name.id()).path();
        name.kind() == ObjectKind::Snapshots
            && matches!(self.standing(&pending, bytes), Ok(Standing::Same))
            && self.disk.link(&pending, path).is_ok()
    }

    pub(super) fn sync_name(&self, name: &ObjectName, folder: &File) -> Result<(), StoreError> {
        let synced = self.disk.sync_folder(folder_of(&name.path()), folder);
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        match synced {
            Ok(()) => doubtful.remove(name),
            Err(_) => doubtful.insert(*name),
        };
        synced.map_err(failure)
    }

    pub(super) fn is_doubtful(&self, name: &ObjectName) -> bool {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(super) fn write_temporary(&self, bytes: &[u8]) -> Result<Temporary<'_>, StoreError> {
        let temporary = self.new_temporary().map_err(failure)?;
        self.disk.write(&temporary.path, &temporary.file, bytes).map_err(failure)?;
        self.disk.sync_file(&temporary.path, &temporary.file).map_err(failure)?;
        Ok(temporary)
    }

    pub(super) fn new_temporary(&self) -> io::Result<Temporary<'_>> {
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
    pub(super) fn with_reserve(
        &self,
        kind: ObjectKind,
        put: impl Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match put() {
            Err(StoreError::NoSpace)
                if matches!(kind, ObjectKind::Gc | ObjectKind::Forgotten) && self.give_up_reserve() =>
            {
                put()
            }
            result => result,
        }
    }

    pub(super) fn give_up_reserve(&self) -> bool {
        let given_up = self.disk.unlink(RESERVE).is_ok();
        // Some file systems hand the space out again only after the unlink is on disk. Failing to is found by the put.
        let _ = self.disk.sync_folder(ROOT, self.disk.root());
        given_up
    }
}

/// A file in `tmp/`, locked while this value lives. Removed by drop; harmless after it got its name, since then nothing
/// has the old one.
pub(super) struct Temporary<'a> {
    disk: &'a Disk,
    pub(super) path: String,
    file: File,
}

impl Temporary<'_> {
    pub(super) fn publish(self, to: &str) -> io::Result<()> {
        self.disk.publish(&self.path, to)
    }

    pub(super) fn replace(self, to: &str) -> io::Result<()> {
        self.disk.replace(&self.path, to)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Left over otherwise, for the next sweep.
        let _ = self.disk.unlink(&self.path);
    }
}
