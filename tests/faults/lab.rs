//! What every test here needs: machines with places of their own, small sources, and somebody who listens.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use caddis::backup::{Detection, Report, Sources, backup};
use caddis::check::{self, ReadData, check};
use caddis::env::FixedClock;
use caddis::error::{Error, Result};
use caddis::format::name::TreePath;
use caddis::id::{ObjectId, RepositoryId, SnapshotId};
use caddis::keys::kdf::Argon2Cost;
use caddis::progress::{Cancel, Context, Problem, Progress};
use caddis::repo::access::{KeySource, NewKey};
use caddis::repo::fetch::Reader;
use caddis::repo::snapshots::Snapshot;
use caddis::repo::state_folder::StateFolder;
use caddis::repo::{Found, Identity, InitOptions, Places, Repository};
use caddis::restore::{self, Overwrite, restore};
use caddis::store::faulty::{Call, HookStore};
use caddis::store::local::watch::Watch;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store, StoreError};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::compare::{Ignore, Tree, assert_same, snapshot_of};

/// The smallest packs there are, so that little data makes many of them.
pub(crate) const PACK_BYTES: u32 = 1 << 20;

/// The key file that opens every repository here.
pub(crate) const KEY: u8 = 7;

/// A key file whose bytes are all the same.
pub(crate) fn key_file(byte: u8) -> KeySource {
    KeySource::KeyFile(Zeroizing::new([byte; 32]))
}

/// The same for a new slot.
pub(crate) fn new_key(byte: u8) -> NewKey {
    let cost = Argon2Cost { memory_kib: 64, passes: 1, lanes: 1 };
    NewKey { source: key_file(byte), cost, label: format!("key {byte}") }
}

/// Keeps what it is told.
#[derive(Default)]
struct Listener {
    problems: Mutex<Vec<Problem>>,
}

impl Progress for Listener {
    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap().push(problem.clone());
    }
}

/// A moment, somebody who listens, and a way to stop.
pub(crate) struct World {
    clock: FixedClock,
    listener: Listener,
    pub(crate) cancel: Cancel,
}

impl World {
    /// So many seconds into the story, which is long ago: every file here was written after it, and no run believes that one
    /// is unchanged.
    pub(crate) fn at(secs: i64) -> Self {
        let clock = FixedClock(jiff::Timestamp::from_second(1_600_000_000 + secs).unwrap());
        Self { clock, listener: Listener::default(), cancel: Cancel::new() }
    }

    /// The same in a far future: whatever looks as it did is believed to be unchanged, however short ago it was written.
    pub(crate) fn settled_at(secs: i64) -> Self {
        Self::at(1_000_000_000 + secs)
    }

    pub(crate) fn cx(&self) -> Context<'_> {
        Context { clock: &self.clock, progress: &self.listener, cancel: &self.cancel }
    }

    /// The same with another listener.
    pub(crate) fn heard_by<'a>(&'a self, progress: &'a dyn Progress) -> Context<'a> {
        Context { progress, ..self.cx() }
    }

    /// What was reported, as `item: what`.
    pub(crate) fn problems(&self) -> Vec<String> {
        let text = |problem: &Problem| format!("{}: {}", String::from_utf8_lossy(&problem.item), problem.what);
        self.listener.problems.lock().unwrap().iter().map(text).collect()
    }

    /// What something was reported of.
    pub(crate) fn items(&self) -> BTreeSet<Vec<u8>> {
        self.listener.problems.lock().unwrap().iter().map(|problem| problem.item.clone()).collect()
    }
}

type Hook = Box<dyn Fn(Call<'_>) -> std::result::Result<(), StoreError> + Send + Sync>;

/// A shared store in which something happens before each operation.
pub(crate) type Hooked = Arc<HookStore<Arc<MemoryStore>, Hook>>;

/// Lets `hook` look at, or forbid, each operation on a store.
pub(crate) fn hooked(
    store: &Arc<MemoryStore>,
    hook: impl Fn(Call<'_>) -> std::result::Result<(), StoreError> + Send + Sync + 'static,
) -> Hooked {
    Arc::new(HookStore::new(Arc::clone(store), Box::new(hook)))
}

/// One user on one machine.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) places: Places,
    identity: Identity,
}

impl Machine {
    /// A machine that keeps its state and cache below `root`.
    pub(crate) fn new(root: &Path, host: &str) -> Self {
        let root = root.join(host);
        Self {
            places: Places { state: root.join("state").into(), cache: root.join("cache") },
            identity: Identity { host: host.to_owned(), user: "larva".to_owned() },
        }
    }

    /// The same machine as it is now, with its places below another `root`.
    pub(crate) fn copied_to(&self, root: &Path) -> Self {
        let copy = Self::new(root, &self.identity.host);
        copy_folder(&self.places.state, &copy.places.state);
        copy
    }

    /// The same, with all that it has at hand.
    pub(crate) fn copied_with_cache_to(&self, root: &Path) -> Self {
        let copy = self.copied_to(root);
        copy_folder(&self.places.cache, &copy.places.cache);
        copy
    }

    /// The same machine, with somebody who watches each step in its state folder.
    pub(crate) fn watched_by(&self, watch: Arc<dyn Watch>) -> Self {
        let mut machine = self.clone();
        machine.places.state = StateFolder::watched(self.places.state.to_path_buf(), watch);
        machine
    }

    pub(crate) fn init(&self, store: &Arc<impl Store + 'static>) -> Result<RepositoryId> {
        self.init_with(store, InitOptions { pack_bytes: PACK_BYTES })
    }

    pub(crate) fn init_with(&self, store: &Arc<impl Store + 'static>, options: InitOptions) -> Result<RepositoryId> {
        let world = World::at(0);
        Repository::init(store.clone(), &new_key(KEY), &options, &self.places, &self.identity, &world.cx())
    }

    pub(crate) fn open_with(
        &self,
        store: &Arc<impl Store + 'static>,
        key: &KeySource,
        world: &World,
    ) -> Result<Repository> {
        Found::look(store.clone(), &self.places)?.unlock(key, &self.identity, &world.cx())
    }

    pub(crate) fn open(&self, store: &Arc<impl Store + 'static>, world: &World) -> Result<Repository> {
        self.open_with(store, &key_file(KEY), world)
    }

    pub(crate) fn backup(&self, store: &Arc<impl Store + 'static>, source: &Path, world: &World) -> Result<Report> {
        self.backup_heard_by(store, source, &world.cx(), world)
    }

    pub(crate) fn backup_heard_by(
        &self,
        store: &Arc<impl Store + 'static>,
        source: &Path,
        cx: &Context<'_>,
        world: &World,
    ) -> Result<Report> {
        let mut repository = self.open(store, world)?;
        let report = backup(&mut repository, &sources(source), &caddis::backup::Options::default(), cx)?;
        assert_eq!(report.withheld, None, "nothing is taken for rolled back that is not");
        Ok(report)
    }

    pub(crate) fn backup_with(
        &self,
        store: &Arc<impl Store + 'static>,
        source: &Path,
        detection: Detection,
        world: &World,
    ) -> Result<Report> {
        let mut repository = self.open(store, world)?;
        let options = caddis::backup::Options { detection, ..caddis::backup::Options::default() };
        backup(&mut repository, &sources(source), &options, &world.cx())
    }

    /// All snapshots, oldest first.
    pub(crate) fn snapshots(&self, store: &Arc<impl Store + 'static>) -> Vec<Snapshot> {
        let world = World::at(0);
        self.open(store, &world).unwrap().snapshots(&world.cx()).unwrap()
    }

    /// Restores what a snapshot holds at `source`, without a problem.
    pub(crate) fn restored(&self, store: &Arc<impl Store + 'static>, id: SnapshotId, source: &Path) -> Tree {
        let folder = tempfile::tempdir().unwrap();
        let world = World::at(0);
        let repository = self.open(store, &world).unwrap();
        let problems = restore_to(&repository, id, source, &folder.path().join("target"), &world).unwrap();
        assert_eq!(problems, 0, "{:?}", world.problems());
        snapshot_of(&folder.path().join("target"))
    }

    /// Checks everything and answers what was reported.
    pub(crate) fn check(&self, store: &Arc<impl Store + 'static>) -> World {
        let world = World::at(0);
        let repository = self.open(store, &world).unwrap();
        let options = check::Options { read_data: ReadData::All };
        for error in check(&repository, &options, &world.cx()).unwrap().errors {
            let paths: Vec<_> = error.paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
            let what = format!("{} ({})", error.what, paths.join(" "));
            world.listener.problem(&Problem { item: error.object.path().into_bytes(), what });
        }
        world
    }
}

/// Restores what a snapshot holds at `source`, and answers how many problems there were.
pub(crate) fn restore_to(
    repository: &Repository,
    id: SnapshotId,
    source: &Path,
    to: &Path,
    world: &World,
) -> Result<u64> {
    Ok(restore_over(repository, id, source, to, None, world)?.problems)
}

/// Restores what a snapshot holds at `source` to where there may be something.
pub(crate) fn restore_over(
    repository: &Repository,
    id: SnapshotId,
    source: &Path,
    to: &Path,
    overwrite: Option<Overwrite>,
    world: &World,
) -> Result<restore::Report> {
    restore_heard_by(repository, id, source, to, overwrite, &world.cx())
}

/// The same with another listener.
pub(crate) fn restore_heard_by(
    repository: &Repository,
    id: SnapshotId,
    source: &Path,
    to: &Path,
    overwrite: Option<Overwrite>,
    cx: &Context<'_>,
) -> Result<restore::Report> {
    let snapshots = repository.snapshots(cx)?;
    let no_such = || Error::NoSuchSnapshot { wanted: id.to_string() };
    let snapshot = snapshots.iter().find(|snapshot| snapshot.id == id).ok_or_else(no_such)?;
    let path = TreePath::from_typed(source.as_os_str().as_bytes()).unwrap();
    let reader = Reader::open(repository, cx)?;
    let options = restore::Options { owners: is_root(), overwrite, ..restore::Options::default() };
    restore(&reader, snapshot, &path, to, &options, cx)
}

pub(crate) fn sources(path: &Path) -> Sources {
    Sources::new(&[path.to_path_buf()]).unwrap()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What restored trees are compared by.
pub(crate) fn assert_same_tree(source: &Tree, restored: &Tree) {
    assert_same(source, restored, Ignore { owners: !is_root(), ..Ignore::default() });
}

/// A folder in memory, where there is one: runs that are repeated at every step would otherwise wait for the disk alone, and
/// no test of this program can tell whether a sync was worth anything.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A repository in memory, a machine that made it, and a source folder to fill.
pub(crate) struct Lab {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) machine: Machine,
    pub(crate) source: PathBuf,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let machine = Machine::new(folder.path(), "alpha");
        machine.init(&store).unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        Self { folder, store, machine, source }
    }

    /// Another machine beside the first one.
    pub(crate) fn machine(&self, host: &str) -> Machine {
        Machine::new(self.folder.path(), host)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A small tree: inline files, a file of several chunks, a folder, links of both kinds.
    pub(crate) fn write_old_tree(&self) {
        self.write("kept", &random_bytes("kept", 90_000));
        self.write("changed", b"as it was");
        self.write("gone", &random_bytes("gone", 5_000));
        self.write("folder/inner", b"further down");
        fs::hard_link(self.source.join("kept"), self.source.join("folder/kept too")).unwrap();
        symlink("inner", self.source.join("folder/symlink")).unwrap();
    }

    /// What became of it.
    pub(crate) fn write_new_tree(&self) {
        self.write("changed", &random_bytes("changed", 20_000));
        fs::remove_file(self.source.join("gone")).unwrap();
        self.write("folder/new", &random_bytes("new", 40_000));
    }

    pub(crate) fn tree(&self) -> Tree {
        snapshot_of(&self.source)
    }
}

/// Names of all objects of a kind.
pub(crate) fn names(store: &MemoryStore, kind: ObjectKind) -> BTreeSet<ObjectName> {
    store.objects().into_keys().filter(|name| name.kind() == kind).collect()
}

/// Objects whose bytes are not those that their names say.
pub(crate) fn torn(store: &MemoryStore) -> BTreeSet<Vec<u8>> {
    let objects = store.objects().into_iter();
    let torn = objects.filter(|(name, bytes)| *name != ObjectName::CONFIG && ObjectId::of(bytes) != name.id());
    torn.map(|(name, _)| name.path().into_bytes()).collect()
}

/// `len` bytes that no compressor makes smaller, the same for the same `seed`.
pub(crate) fn random_bytes(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries.map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}
