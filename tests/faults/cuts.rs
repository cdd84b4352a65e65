//! Promise one: a run that is cut at any operation leaves what was saved before whole, and the next run succeeds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use caddis::backup::Report;
use caddis::error::{Error, Result};
use caddis::id::SnapshotId;
use caddis::progress::{Cancel, Progress};
use caddis::store::faulty::{Call, Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, Store, StoreError};

use crate::compare::Tree;
use crate::lab::{Hooked, Lab, Machine, World, assert_same_tree, hooked, names, random_bytes, torn};

/// Each way in which an operation can end badly.
const FAULTS: [Fault; 4] = [Fault::FailOnce, Fault::FailFrom, Fault::TearPut, Fault::LosePutAnswer];

/// A store that is gone from the first put of `kind` on, as for a process that dies there.
pub(crate) fn dying_at_put(store: &Arc<MemoryStore>, kind: ObjectKind) -> Hooked {
    let is_dead = AtomicBool::new(false);
    hooked(store, move |call| {
        if matches!(call, Call::Put(name) if name.kind() == kind) {
            is_dead.store(true, Ordering::SeqCst);
        }
        match is_dead.load(Ordering::SeqCst) {
            true => Err(StoreError::Unreachable(io::ErrorKind::NotConnected.into())),
            false => Ok(()),
        }
    })
}

/// A user who interrupts a run as soon as some bytes of a file are done.
struct Impatient<'a>(&'a Cancel);

impl Progress for Impatient<'_> {
    fn done(&self, _: u64, bytes: u64) {
        if bytes > 0 {
            self.0.cancel();
        }
    }
}

/// One snapshot of an old tree, and a source that has changed since.
struct Scene {
    lab: Lab,
    /// Whether the run that is cut is interrupted as well.
    is_interrupted: bool,
    /// Who makes the run that is cut.
    machine: Machine,
    old: SnapshotId,
    old_tree: Tree,
    new_tree: Tree,
}

impl Scene {
    /// The run that is cut is a machine's first one.
    fn first_run() -> Self {
        let lab = Lab::new();
        lab.write_old_tree();
        let old_tree = lab.tree();
        let old = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        lab.write_new_tree();
        let (machine, new_tree) = (lab.machine("beta"), lab.tree());
        Self { lab, is_interrupted: false, machine, old, old_tree, new_tree }
    }

    /// The run that is cut is interrupted by the user, and makes known what it has stored.
    fn interrupted_run() -> Self {
        Self { is_interrupted: true, ..Self::first_run() }
    }

    /// The run that is cut comes after one that the user has interrupted.
    fn run_after_an_interrupted_one() -> Self {
        let scene = Self::interrupted_run();
        let interrupted = scene.run(&scene.machine, &scene.lab.store).unwrap_err();
        assert!(matches!(interrupted, Error::Interrupted), "{interrupted}");
        assert!(!names(&scene.lab.store, ObjectKind::Index).is_empty());
        Self { is_interrupted: false, ..scene }
    }

    /// The run that is cut comes after one that died with a snapshot announced.
    fn run_after_a_dead_one() -> Self {
        let scene = Self::first_run();
        let dying = dying_at_put(&scene.lab.store, ObjectKind::Snapshots);
        scene.machine.backup(&dying, &scene.lab.source, &World::at(2)).unwrap_err();
        assert_eq!(names(&scene.lab.store, ObjectKind::Pending).len(), 1);
        // So that the run that is cut has chunks of its own to store.
        scene.lab.write("folder/newer", &random_bytes("newer", 30_000));
        Self { new_tree: scene.lab.tree(), ..scene }
    }

    fn copy(&self) -> MemoryStore {
        (*self.lab.store).clone()
    }

    fn run(&self, machine: &Machine, store: &Arc<impl Store + 'static>) -> Result<Report> {
        let world = World::at(3);
        let impatient = Impatient(&world.cancel);
        let cx = if self.is_interrupted { world.heard_by(&impatient) } else { world.cx() };
        machine.backup_heard_by(store, &self.lab.source, &cx, &world)
    }

    fn operations(&self) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore::counting(self.copy(), Operations::All));
        let ended = self.run(&self.machine.copied_to(folder.path()), &store);
        assert_eq!(matches!(ended, Err(Error::Interrupted)), self.is_interrupted, "{ended:?}");
        store.operations()
    }

    fn cut_everywhere(&self, fault: Fault) {
        let operations = self.operations();
        assert!(operations > 15, "there is something to cut: {operations}");
        let failed = (0..operations).filter(|&at| self.cut(fault, at)).count() as u64;
        // A run may get over the loss of what it does not need, but not over that of everything.
        assert!(failed > operations / 2, "{failed} of {operations} cuts were noticed");
    }

    /// Cuts the run at one operation; answers whether it failed.
    fn cut(&self, fault: Fault, at: u64) -> bool {
        let context = format!("{fault:?} at operation {at}");
        let folder = tempfile::tempdir().unwrap();
        let machine = self.machine.copied_to(folder.path());
        let store = Arc::new(FaultyStore::failing(self.copy(), Operations::All, fault, at));
        let cut = self.run(&machine, &store);
        assert!(self.is_interrupted || store.operations() > at, "{context}: it struck");

        let store = Arc::new(store.inner().clone());
        self.assert_whole(&machine, &store, &context);
        let next = machine.backup(&store, &self.lab.source, &World::at(4)).expect(&context).snapshot;
        self.assert_whole(&machine, &store, &context);
        for id in cut.iter().map(|report| report.snapshot).chain([next]) {
            assert_same_tree(&self.new_tree, &machine.restored(&store, id, &self.lab.source));
        }
        let torn = torn(&store);
        let pending = names(&store, ObjectKind::Pending);
        assert!(pending.iter().all(|name| torn.contains(name.path().as_bytes())), "{context}: {pending:?}");
        cut.is_err()
    }

    /// The old snapshot comes back, and nothing is wrong but what the fault itself tore.
    fn assert_whole(&self, machine: &Machine, store: &Arc<MemoryStore>, context: &str) {
        let found = machine.check(store);
        let torn = torn(store);
        assert!(found.items().is_subset(&torn), "{context}: {:?}", found.problems());
        assert_same_tree(&self.old_tree, &machine.restored(store, self.old, &self.lab.source));
    }
}

#[test]
fn a_first_run_survives_the_failure_of_any_one_operation() {
    Scene::first_run().cut_everywhere(Fault::FailOnce);
}

#[test]
fn a_first_run_that_is_cut_off_at_any_operation_loses_nothing() {
    Scene::first_run().cut_everywhere(Fault::FailFrom);
}

#[test]
fn a_first_run_survives_any_torn_put() {
    Scene::first_run().cut_everywhere(Fault::TearPut);
}

#[test]
fn a_first_run_survives_the_loss_of_any_answer() {
    Scene::first_run().cut_everywhere(Fault::LosePutAnswer);
}

#[test]
fn a_run_after_a_dead_one_survives_the_failure_of_any_one_operation() {
    Scene::run_after_a_dead_one().cut_everywhere(Fault::FailOnce);
}

#[test]
fn a_run_after_a_dead_one_that_is_cut_off_at_any_operation_loses_nothing() {
    Scene::run_after_a_dead_one().cut_everywhere(Fault::FailFrom);
}

#[test]
fn a_run_after_a_dead_one_survives_any_torn_put() {
    Scene::run_after_a_dead_one().cut_everywhere(Fault::TearPut);
}

#[test]
fn a_run_after_a_dead_one_survives_the_loss_of_any_answer() {
    Scene::run_after_a_dead_one().cut_everywhere(Fault::LosePutAnswer);
}

#[test]
fn an_interrupted_run_survives_every_fault_at_any_operation() {
    let scene = Scene::interrupted_run();
    FAULTS.into_iter().for_each(|fault| scene.cut_everywhere(fault));
}

#[test]
fn a_run_after_an_interrupted_one_survives_every_fault_at_any_operation() {
    let scene = Scene::run_after_an_interrupted_one();
    FAULTS.into_iter().for_each(|fault| scene.cut_everywhere(fault));
}

#[test]
fn an_init_that_is_cut_anywhere_can_be_run_again() {
    let lab = Lab::new();
    lab.write_old_tree();
    let counting = Arc::new(FaultyStore::counting(MemoryStore::new(), Operations::All));
    lab.machine("counter").init(&counting).unwrap();
    for fault in FAULTS {
        // `config` is put last. A store that can tear it has no repository, and nothing that could be lost.
        let operations = counting.operations() - u64::from(fault == Fault::TearPut);
        for at in 0..operations {
            let context = format!("{fault:?} at operation {at}");
            let folder = tempfile::tempdir().unwrap();
            let machine = Machine::new(folder.path(), "alpha");
            let store = Arc::new(FaultyStore::failing(MemoryStore::new(), Operations::All, fault, at));
            machine.init(&store).expect_err(&context);
            let store = Arc::new(store.inner().clone());
            match machine.init(&store) {
                Ok(_) => {}
                Err(Error::RepositoryExists { .. }) => assert_eq!(fault, Fault::LosePutAnswer, "{context}"),
                Err(error) => panic!("{context}: {error}"),
            }
            let report = machine.backup(&store, &lab.source, &World::at(1)).expect(&context);
            assert_same_tree(&lab.tree(), &machine.restored(&store, report.snapshot, &lab.source));
        }
    }
}
