//! What lies in the folder of a repository besides objects, and what else may be there.

use super::*;

/// What is in the folder of a repository that is to be opened or made.
pub(super) enum Occupant {
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
    pub(super) fn occupant(&self) -> io::Result<Occupant> {
        let names = self.names_in(ROOT)?;
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

    pub(super) fn holds_only_beginnings(&self, names: &[String]) -> io::Result<bool> {
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

    pub(super) fn file_is(&self, path: &str, test: impl Fn(&File) -> io::Result<bool>) -> io::Result<bool> {
        match self.disk.open_file(path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            opened => test(&opened?),
        }
    }

    pub(super) fn folder_holds_no_object(&self, folder: &str) -> io::Result<bool> {
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
    pub(super) fn folder_holds_only(&self, folder: &str, test: impl Fn(&str) -> bool) -> io::Result<bool> {
        match self.names_in(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            names => Ok(names?.iter().all(|name| test(name))),
        }
    }

    pub(super) fn names_in(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.before(&Step::ReadFolder(folder))?;
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
    pub(super) fn lay_out(&self) -> Result<(), StoreError> {
        self.disk.make_folder(TEMPORARIES).map_err(failure)?;
        for kind in ObjectKind::ALL.into_iter().filter(|&kind| kind != ObjectKind::Config) {
            self.make_folders_of(kind).map_err(failure)?;
        }
        self.put_fixed(README, README_TEXT)?;
        self.make_reserve()?;
        self.disk.sync_folder(ROOT, self.disk.root()).map_err(failure)
    }

    pub(super) fn make_folders_of(&self, kind: ObjectKind) -> io::Result<()> {
        self.disk.make_folder(kind.folder())?;
        if kind.is_sharded() {
            for shard in 0..SHARDS {
                self.disk.make_folder(&format!("{}/{shard:02x}", kind.folder()))?;
            }
            self.disk.sync_folder(kind.folder(), &self.disk.open_folder(kind.folder())?)?;
        }
        Ok(())
    }

    pub(super) fn make_reserve(&self) -> Result<(), StoreError> {
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
    pub(super) fn put_fixed(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.disk.exists(path).map_err(failure)? {
            return Ok(());
        }
        match self.write_temporary(bytes)?.publish(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(failure),
        }
    }
}
