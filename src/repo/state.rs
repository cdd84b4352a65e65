//! What one user on one machine remembers of a repository: its id at first contact, the heads it has seen, a signing key,
//! which snapshots a run has announced and not yet committed, and the slot that opened it.
//!
//! Losing the state folder loses no backup: the next run makes a new signing key and remembers anew.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::state_folder::StateFolder;
use crate::env;
use crate::error::{Error, Result, with_causes};
use crate::id::{RepositoryId, SlotId, SnapshotId, StatementId};
use crate::keys::signing::Signatory;
use crate::progress::Context;

/// Which repository stands at which place, as this machine has seen it first.
#[derive(Clone, Debug)]
pub struct Pins {
    disk: StateFolder,
    folder: PathBuf,
}

impl Pins {
    /// The pins in the state folder `root`.
    pub fn new(root: &StateFolder) -> Self {
        Self { disk: root.clone(), folder: root.join("pins") }
    }

    /// The repository that was at `location` at first contact.
    pub fn get(&self, location: &str) -> Result<Option<RepositoryId>> {
        let path = self.path(location);
        match fs::read_to_string(&path) {
            Ok(text) => match text.lines().next().and_then(RepositoryId::from_hex) {
                Some(id) => Ok(Some(id)),
                None => Err(Error::Io { action: "understand", path, source: io::ErrorKind::InvalidData.into() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        }
    }

    /// Remembers that `id` is at `location`.
    pub fn set(&self, location: &str, id: RepositoryId) -> Result<()> {
        self.disk.make_folder(&self.folder)?;
        self.disk.replace(&self.path(location), format!("{id}\n{location}\n").as_bytes())
    }

    fn path(&self, location: &str) -> PathBuf {
        self.folder.join(HEXLOWER.encode(&blake3::hash(location.as_bytes()).as_bytes()[..16]))
    }
}

/// The part of the state folder that belongs to one repository.
#[derive(Clone, Debug)]
pub struct State {
    disk: StateFolder,
    folder: PathBuf,
}

/// The newest objects that this machine has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Heads of the graph of snapshots.
    pub snapshots: Vec<SnapshotId>,
    /// Heads of the charter.
    pub statements: Vec<StatementId>,
    /// Statements that writers of snapshots knew, and that the user has given up.
    pub given_up: Vec<StatementId>,
}

impl State {
    /// The state of `repository` in the state folder `root`; nothing is made before there is something to remember.
    pub fn new(root: &StateFolder, repository: &RepositoryId) -> Self {
        Self { disk: root.clone(), folder: root.join(repository.to_string()) }
    }

    /// The signing key of this user on this machine, made when there is none.
    pub fn signatory(&self) -> Result<Signatory> {
        let path = self.folder.join("signing-key");
        match read_secret(&path)? {
            Some(seed) => Ok(Signatory::from_seed(&seed)),
            None => {
                self.disk.make_folder(&self.folder)?;
                let seed = Zeroizing::new(env::random_bytes()?);
                // Another process may make one at the same moment; the first to link its file wins.
                self.disk.publish(&path, &*seed)?;
                let seed = read_secret(&path)?.unwrap_or(seed);
                Ok(Signatory::from_seed(&seed))
            }
        }
    }

    /// The heads that this machine has seen; none when the file is missing or damaged.
    pub fn seen(&self) -> Seen {
        let text = fs::read_to_string(self.folder.join("heads")).unwrap_or_default();
        let mut seen = Seen::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("snapshot", id)) => seen.snapshots.extend(SnapshotId::from_hex(id)),
                Some(("statement", id)) => seen.statements.extend(StatementId::from_hex(id)),
                Some(("given-up", id)) => seen.given_up.extend(StatementId::from_hex(id)),
                _ => {}
            }
        }
        seen
    }

    /// Remembers heads.
    pub fn set_seen(&self, seen: &Seen) -> Result<()> {
        let mut text = String::new();
        for id in &seen.snapshots {
            text.push_str(&format!("snapshot {id}\n"));
        }
        for id in &seen.statements {
            text.push_str(&format!("statement {id}\n"));
        }
        for id in &seen.given_up {
            text.push_str(&format!("given-up {id}\n"));
        }
        self.disk.make_folder(&self.folder)?;
        self.disk.replace(&self.folder.join("heads"), text.as_bytes())
    }

    /// The slot that opened the repository last; nothing when the file is missing or damaged.
    pub fn slot(&self) -> Option<SlotId> {
        SlotId::from_hex(fs::read_to_string(self.folder.join("slot")).ok()?.trim_end())
    }

    /// Remembers the slot that opened the repository.
    pub fn set_slot(&self, slot: SlotId) -> Result<()> {
        if self.slot() == Some(slot) {
            return Ok(());
        }
        self.disk.make_folder(&self.folder)?;
        self.disk.replace(&self.folder.join("slot"), format!("{slot}\n").as_bytes())
    }

    /// Begins a run that announces snapshots.
    pub fn begin_run(&self) -> Result<Run> {
        let folder = self.runs();
        self.disk.make_folder(&folder)?;
        loop {
            let path = folder.join(HEXLOWER.encode(&env::random_bytes::<8>()?));
            let io_error = |source| Error::Io { action: "create", path: path.clone(), source };
            let file = self.disk.create(&path).map_err(io_error)?;
            // Between these two steps the file looks like a dead run's, and somebody who looks for these may lock and
            // remove it: then it is theirs, and this run takes another one.
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if file.metadata().map_err(io_error)?.nlink() > 0 => {
                    let disk = self.disk.clone();
                    return Ok(Run { disk, path, file, announced: String::new(), is_left_behind: false });
                }
                Ok(()) | Err(Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(io_error(errno.into())),
            }
        }
    }

    /// Runs that ended without saying so: the kernel gave up their lock with their process.
    pub fn dead_runs(&self, cx: &Context<'_>) -> Result<Vec<DeadRun>> {
        let folder = self.runs();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Io { action: "list", path: folder, source }),
        };
        let mut dead = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| Error::Io { action: "list", path: folder.clone(), source })?.path();
            match DeadRun::take(&self.disk, path) {
                Ok(run) => dead.extend(run),
                Err(error) => cx.progress.note(&with_causes(&error)),
            }
        }
        Ok(dead)
    }

    fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }
}

/// A run that is going on; its file names what it has announced, and a kernel lock on it says that its process lives.
#[derive(Debug)]
pub struct Run {
    disk: StateFolder,
    path: PathBuf,
    file: File,
    /// What stands in the file.
    announced: String,
    is_left_behind: bool,
}

impl Run {
    /// Notes, durably, that `id` is about to be announced.
    pub fn announces(&mut self, id: SnapshotId) -> Result<()> {
        let line = format!("{id}\n");
        let written = self
            .disk
            .append(&self.path, &self.file, self.announced.as_bytes(), line.as_bytes())
            .and_then(|()| self.disk.sync_file(&self.path, &self.file));
        // With the name of the file: an announcement of a run that nobody finds any more would stay for ever.
        let synced = written.and_then(|()| match self.path.parent() {
            Some(folder) if self.announced.is_empty() => self.disk.sync_folder(folder),
            _ => Ok(()),
        });
        self.announced.push_str(&line);
        synced.map_err(|source| Error::Io { action: "write", path: self.path.clone(), source })
    }

    /// Something of the run is still announced: the next one shall settle it, as after a run that died.
    pub fn leave_behind(&mut self) {
        self.is_left_behind = true;
    }

    /// Ends the run.
    pub fn finish(self) {
        if self.is_left_behind {
            return;
        }
        // A file that stays is taken for a dead run's and looked into again, which is harmless.
        let _ = self.disk.remove(&self.path);
    }
}

/// A run whose process is gone.
#[derive(Debug)]
pub struct DeadRun {
    disk: StateFolder,
    path: PathBuf,
    /// Held so that two processes do not clean up after the same run at once.
    _lock: File,
    /// What it had announced or was about to.
    pub announced: Vec<SnapshotId>,
}

impl DeadRun {
    fn take(disk: &StateFolder, path: PathBuf) -> Result<Option<Self>> {
        let io_error = |source| Error::Io { action: "read", path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(source)),
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(io_error)?;
        // A line that was cut by a crash names nothing that was put: the line is durable before the object is.
        let announced = String::from_utf8_lossy(&text).lines().filter_map(SnapshotId::from_hex).collect();
        Ok(Some(Self { disk: disk.clone(), path, _lock: file, announced }))
    }

    /// Everything that it had announced is dealt with.
    pub fn settled(self) {
        let _ = self.disk.remove(&self.path);
    }
}

/// Writes a secret to a new file, 0600, durably: the only key to a repository must not vanish with the power. One that is there
/// already stays.
pub fn publish_secret(path: &Path, secret: &[u8; 32]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or(path.as_os_str());
    StateFolder::from(folder.to_path_buf()).publish(&folder.join(name), secret)
}

/// Reads a file of exactly 32 bytes; nothing when there is none.
pub fn read_secret(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>> {
    let io_error = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(source)),
    };
    let no_key = || io_error(io::Error::new(io::ErrorKind::InvalidData, "it is no key, which has 32 bytes"));
    let mut secret = Zeroizing::new([0; 32]);
    file.read_exact(&mut *secret).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => no_key(),
        _ => io_error(error),
    })?;
    let mut rest = [0; 1];
    if file.read(&mut rest).map_err(io_error)? == 0 { Ok(Some(secret)) } else { Err(no_key()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(root: &tempfile::TempDir) -> StateFolder {
        root.path().to_path_buf().into()
    }

    fn dead_runs(state: &State) -> Vec<DeadRun> {
        let clock = crate::env::FixedClock(jiff::Timestamp::UNIX_EPOCH);
        let cancel = crate::progress::Cancel::new();
        let cx = Context { clock: &clock, progress: &crate::progress::Silent, cancel: &cancel };
        state.dead_runs(&cx).unwrap()
    }

    #[test]
    fn a_pin_stays_with_its_place() {
        let root = tempfile::tempdir().unwrap();
        let pins = Pins::new(&folder_of(&root));
        assert_eq!(pins.get("/a").unwrap(), None);
        pins.set("/a", RepositoryId([1; 32])).unwrap();
        assert_eq!(pins.get("/a").unwrap(), Some(RepositoryId([1; 32])));
        assert_eq!(pins.get("/b").unwrap(), None);
    }

    #[test]
    fn the_signing_key_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let state = State::new(&folder_of(&root), &RepositoryId([1; 32]));
        let first = state.signatory().unwrap().public();
        assert_eq!(state.signatory().unwrap().public(), first);
        let mode = fs::metadata(state.folder.join("signing-key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_run_is_dead_only_when_its_process_no_longer_holds_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let state = State::new(&folder_of(&root), &RepositoryId([1; 32]));
        let mut run = state.begin_run().unwrap();
        run.announces(SnapshotId([5; 32])).unwrap();
        assert!(dead_runs(&state).is_empty());
        drop(run); // As when the process dies: the file stays and the lock goes.
        let dead = dead_runs(&state);
        assert_eq!(dead[0].announced, [SnapshotId([5; 32])]);
        dead.into_iter().for_each(DeadRun::settled);
        assert!(dead_runs(&state).is_empty());
    }

    #[test]
    fn heads_are_remembered() {
        let root = tempfile::tempdir().unwrap();
        let state = State::new(&folder_of(&root), &RepositoryId([1; 32]));
        let seen = Seen {
            snapshots: vec![SnapshotId([2; 32])],
            statements: vec![StatementId([3; 32])],
            given_up: vec![StatementId([4; 32])],
        };
        state.set_seen(&seen).unwrap();
        assert_eq!(state.seen(), seen);
    }
}
