//! A local repository on a disk that fails at any one step: with an error of its own, when it is full, read-only, or closed
//! to this user.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::error::Error;
use caddis::id::SnapshotId;
use caddis::store::local::LocalStore;
use caddis::store::local::watch::{Step, Watch};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, Store};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::compare::Tree;
use crate::disk::{FailingDisk, Failure, Files, Steps, files_in, set_files};
use crate::keys::{CHANGES, KEYS, lab_with_two_keys, opening};
use crate::lab::{KEY, Lab, Machine, World, assert_same_tree, scratch};
use crate::rounds::rounds;

const FAILS_ONCE: Failure = Failure { steps: Steps::All, errno: Errno::IO, lasts: false };
const FAILS: Failure = Failure { steps: Steps::All, errno: Errno::IO, lasts: true };
const GONE: Failure = Failure { steps: Steps::Changes, errno: Errno::IO, lasts: true };
const FULL_ONCE: Failure = Failure { steps: Steps::Changes, errno: Errno::NOSPC, lasts: false };
const FULL: Failure = Failure { steps: Steps::Changes, errno: Errno::NOSPC, lasts: true };
const READ_ONLY: Failure = Failure { steps: Steps::Changes, errno: Errno::ROFS, lasts: true };
const DENIED_ONCE: Failure = Failure { steps: Steps::Changes, errno: Errno::ACCESS, lasts: false };

/// A local repository that is set back before each run.
struct Scene {
    lab: Lab,
    _place: TempDir,
    path: PathBuf,
    files: Files,
    old: SnapshotId,
    old_tree: Tree,
}

impl Scene {
    /// One snapshot of an old tree, and a source that has changed since.
    fn new(lab: Lab) -> Self {
        lab.write_old_tree();
        let old_tree = lab.tree();
        let old = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        lab.write_new_tree();
        let place = scratch();
        let path = place.path().join("repository");
        copy_into(&lab.store, &path);
        let files = files_in(&path);
        Self { lab, _place: place, path, files, old, old_tree }
    }

    /// Runs something on a disk that fails at one step after another, until it is through before the failure. Answers how
    /// many runs failed. What is there afterwards must be whole.
    fn fail_everywhere(
        &self,
        failure: Failure,
        run: impl Fn(&Machine, &Arc<LocalStore>, &str) -> Option<Error>,
    ) -> u64 {
        let mut failed = 0;
        for at in 0.. {
            let context = format!("{failure:?} at step {at}");
            set_files(&self.path, &self.files);
            let folder = scratch();
            let machine = self.lab.machine.copied_to(folder.path());
            let disk = FailingDisk::new(&self.path, failure, at);
            let ended = match LocalStore::open_watched(&self.path, disk.clone()) {
                Ok(store) => run(&machine, &Arc::new(store), &context),
                Err(source) => Some(Error::at_place("the place".to_owned(), source)),
            };
            if !disk.has_failed() {
                assert!(ended.is_none(), "nothing failed: {ended:?}");
                return failed;
            }
            if let Some(error) = ended {
                failed += 1;
                assert_says_why(&error, failure, &context);
            }
            self.assert_whole(&machine, &context);
        }
        unreachable!("a run has an end")
    }

    /// The old snapshot comes back, another backup succeeds, and there is nothing in the repository that is not whole.
    fn assert_whole(&self, machine: &Machine, context: &str) {
        let store = Arc::new(LocalStore::open(&self.path).unwrap());
        assert_same_tree(&self.old_tree, &machine.restored(&store, self.old, &self.lab.source));
        let next = machine.backup(&store, &self.lab.source, &World::at(4)).expect(context).snapshot;
        assert_same_tree(&self.lab.tree(), &machine.restored(&store, next, &self.lab.source));
        let found = machine.check(&store);
        assert!(found.problems().is_empty(), "{context}: {:?}", found.problems());
        // Where deleting is not permitted, an announcement stays beside its snapshot.
        let committed = store.list(ObjectKind::Snapshots).unwrap();
        assert!(store.list(ObjectKind::Pending).unwrap().iter().all(|left| committed.contains(left)), "{context}");
        store.sweep_temporaries().unwrap();
        assert_eq!(std::fs::read_dir(self.path.join("tmp")).unwrap().count(), 0, "{context}");
    }
}

fn copy_into(from: &MemoryStore, path: &Path) {
    let store = LocalStore::create(path).unwrap();
    from.objects().iter().for_each(|(name, bytes)| store.put(name, bytes).unwrap());
}

/// Scripts tell by the exit code whether to make room, or to see after the disk.
fn assert_says_why(error: &Error, failure: Failure, context: &str) {
    let code = error.exit_code();
    match failure.errno {
        Errno::NOSPC => assert_eq!(code, 15, "{context}: {error:?}"),
        // One object that cannot be read is damage to this run; a disk that gives nothing is not there.
        Errno::IO => assert!(matches!(code, 1 | 14), "{context}: {error:?}"),
        _ => assert_eq!(code, 1, "{context}: {error:?}"),
    }
}

fn back_up(scene: &Scene, failure: Failure) {
    let failed = scene.fail_everywhere(failure, |machine, store, _| {
        let report = match machine.backup(store, &scene.lab.source, &World::at(3)) {
            Ok(report) => report,
            Err(error) => return Some(error),
        };
        let store = Arc::new(LocalStore::open(&scene.path).unwrap());
        assert_same_tree(&scene.lab.tree(), &machine.restored(&store, report.snapshot, &scene.lab.source));
        None
    });
    assert!(failed > 15, "{failed} runs failed");
}

#[test]
fn a_backup_survives_an_error_of_the_disk_at_any_step() {
    back_up(&Scene::new(Lab::new()), FAILS_ONCE);
}

#[test]
fn a_backup_on_a_disk_that_dies_at_any_step_loses_nothing() {
    back_up(&Scene::new(Lab::new()), FAILS);
}

#[test]
fn a_backup_on_a_disk_that_is_full_or_closed_from_any_step_on_loses_nothing() {
    let scene = Scene::new(Lab::new());
    [FULL_ONCE, FULL, READ_ONLY, DENIED_ONCE].into_iter().for_each(|failure| back_up(&scene, failure));
}

/// A disk that takes so many bytes at once of the counted file number `at`, from 0.
struct ShortDisk {
    at_once: usize,
    at: u64,
    counted: AtomicU64,
}

impl Watch for ShortDisk {
    fn before(&self, _: &Step<'_>) -> io::Result<()> {
        Ok(())
    }

    fn bytes_at_once(&self, _: &str) -> usize {
        match self.counted.fetch_add(1, Ordering::SeqCst) == self.at {
            true => self.at_once,
            false => usize::MAX,
        }
    }
}

#[test]
fn a_write_that_takes_fewer_bytes_than_it_is_given_loses_none() {
    let scene = Scene::new(Lab::new());
    // Parts that end within a page, at one, and a disk that takes nothing more and gives no error.
    for at_once in [1_000, 4096, 0] {
        for at in 0.. {
            let context = format!("{at_once} bytes at once of file {at}");
            set_files(&scene.path, &scene.files);
            let folder = scratch();
            let machine = scene.lab.machine.copied_to(folder.path());
            let disk = Arc::new(ShortDisk { at_once, at, counted: AtomicU64::new(0) });
            let store = Arc::new(LocalStore::open_watched(&scene.path, disk.clone()).unwrap());
            let ended = machine.backup(&store, &scene.lab.source, &World::at(3));
            if disk.counted.load(Ordering::SeqCst) <= at {
                assert!(ended.is_ok() && at > 3, "{context}: {ended:?}");
                break;
            }
            assert_eq!(ended.is_ok(), at_once > 0, "{context}: {ended:?}");
            scene.assert_whole(&machine, &context);
        }
    }
}

#[test]
fn of_changes_of_keys_on_a_failing_disk_some_key_always_opens() {
    let scene = Scene::new(lab_with_two_keys());
    for failure in [FULL, DENIED_ONCE] {
        for (change, done) in CHANGES.iter().zip(KEYS) {
            scene.fail_everywhere(failure, |machine, store, context| {
                let world = World::at(3);
                let ended = machine.open(store, &world).and_then(|mut repository| change(&mut repository, &world));
                let opening = opening(&scene.lab, &Arc::new(LocalStore::open(&scene.path).unwrap()));
                assert!(opening.contains(&KEY), "{context}: {opening:?}");
                assert!(ended.is_err() || opening == done, "{context}: it is done, but {opening:?}");
                ended.err()
            });
        }
    }
}

#[test]
fn an_init_on_a_failing_disk_can_be_run_again() {
    let lab = Lab::new();
    lab.write_old_tree();
    // Of two steps next to each other, one finds the disk full and the other finds it gone; with more rounds, both do.
    let apart = if rounds() > 1 { 1 } else { 2 };
    for (first, failure) in [(0, FULL), (1, GONE)] {
        for at in (first..).step_by(apart) {
            let context = format!("{failure:?} at step {at}");
            let folder = scratch();
            let (path, machine) = (folder.path().join("repository"), Machine::new(folder.path(), "alpha"));
            std::fs::create_dir(&path).unwrap();
            let disk = FailingDisk::new(&path, failure, at);
            let init = |store| machine.init(&Arc::new(store));
            let at_place = |source| Error::at_place("the place".to_owned(), source);
            let ended = LocalStore::create_watched(&path, disk.clone()).map_err(at_place).and_then(init);
            if !disk.has_failed() {
                ended.expect(&context);
                break;
            }
            match ended {
                // Only what is left to sweep was not done.
                Ok(_) => {}
                Err(error) => {
                    assert_says_why(&error, failure, &context);
                    match LocalStore::create(&path).map_err(at_place).and_then(init) {
                        Ok(_) | Err(Error::RepositoryExists { .. }) => {}
                        Err(error) => panic!("{context}: {error:?}"),
                    }
                }
            }
            let store = Arc::new(LocalStore::open(&path).expect(&context));
            let report = machine.backup(&store, &lab.source, &World::at(1)).expect(&context);
            assert_same_tree(&lab.tree(), &machine.restored(&store, report.snapshot, &lab.source));
            assert!(machine.check(&store).problems().is_empty(), "{context}");
        }
    }
}
