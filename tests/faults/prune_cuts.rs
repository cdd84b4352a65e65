//! A forget and a prune that fail, are torn or end at any operation: what is kept stays whole, and the next prune leaves
//! nothing that nobody needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use caddis::error::Result;
use caddis::id::SnapshotId;
use caddis::prune::Report;
use caddis::store::faulty::{Call, Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, Store, StoreError};

use crate::compare::Tree;
use crate::cuts::dying_at_put;
use crate::lab::{Hooked, Lab, Machine, World, assert_same_tree, hooked, names, random_bytes, scratch, torn};
use crate::pruning::{all_goes, assert_no_garbage, forgets, forgets_what_is_left, prunes};

/// Each way in which an operation can end badly.
const FAULTS: [Fault; 4] = [Fault::FailOnce, Fault::FailFrom, Fault::TearPut, Fault::LosePutAnswer];

/// A store that is gone from the first delete of `kind` on.
fn dying_at_delete(store: &Arc<MemoryStore>, kind: ObjectKind) -> Hooked {
    let is_dead = AtomicBool::new(false);
    hooked(store, move |call| {
        if matches!(call, Call::Delete(name) if name.kind() == kind) {
            is_dead.store(true, Ordering::SeqCst);
        }
        match is_dead.load(Ordering::SeqCst) {
            true => Err(StoreError::Unreachable(std::io::ErrorKind::NotConnected.into())),
            false => Ok(()),
        }
    })
}

/// Snapshots of which some are kept, and a machine that forgets the others and prunes.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    /// Whose run is cut: a machine that the charter does not name yet, unless it has something of its own to settle.
    pub(crate) pruner: Machine,
    pub(crate) saved: Vec<(SnapshotId, Tree)>,
    pub(crate) forgotten: Vec<SnapshotId>,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let pruner = lab.machine("pruner");
        Self { lab, pruner, saved: Vec::new(), forgotten: Vec::new() }
    }

    fn back_up(&mut self) {
        let secs = self.saved.len() as i64 + 1;
        let report = self.lab.machine.backup(&self.lab.store, &self.lab.source, &World::at(secs)).unwrap();
        self.saved.push((report.snapshot, self.lab.tree()));
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.lab.source.join(name)).unwrap();
    }

    /// Packs of which all, much and nothing is needed no longer.
    pub(crate) fn with_sparse_packs() -> Self {
        let mut scene = Self::new();
        scene.lab.write("first", &random_bytes("first", 30_000));
        scene.back_up();
        scene.remove("first");
        scene.lab.write_old_tree();
        scene.lab.write("large", &random_bytes("large", 300_000));
        scene.back_up();
        scene.remove("large");
        scene.lab.write_new_tree();
        scene.back_up();
        scene.forgotten = scene.saved.drain(..2).map(|(id, _)| id).collect();
        scene
    }

    /// So many small packs and segments that they are put together.
    pub(crate) fn with_small_packs() -> Self {
        let mut scene = Self::new();
        for number in 0..17 {
            scene.lab.write("changing", format!("for the {number}th time").as_bytes());
            scene.lab.write(&format!("file {number}"), &random_bytes(&format!("file {number}"), 2_000));
            scene.back_up();
        }
        scene.remove("file 3");
        scene.back_up();
        // Who has the index at hand need not fetch it at each of the cuts.
        scene.pruner.check(&scene.lab.store);
        scene.forgotten = scene.saved.drain(..17).map(|(id, _)| id).collect();
        scene
    }

    /// The run that is cut comes after a prune that died, and after a backup of its own machine that did.
    fn after_a_dead_prune(dying: impl FnOnce(&Arc<MemoryStore>) -> Hooked) -> Self {
        let scene = Self::with_sparse_packs();
        let other = scene.lab.machine("other");
        forgets(&other, &scene.lab.store, &scene.forgotten, &World::at(10)).unwrap();
        prunes(&other, &dying(&scene.lab.store), &all_goes(), &World::at(11)).unwrap_err();
        assert_eq!(names(&scene.lab.store, ObjectKind::Gc).len(), 1, "it has announced what it would delete");
        scene.lab.write("never saved", &random_bytes("never saved", 40_000));
        let dying = dying_at_put(&scene.lab.store, ObjectKind::Snapshots);
        scene.pruner.backup(&dying, &scene.lab.source, &World::at(12)).unwrap_err();
        assert_eq!(names(&scene.lab.store, ObjectKind::Pending).len(), 1);
        scene
    }

    pub(crate) fn copy(&self) -> MemoryStore {
        (*self.lab.store).clone()
    }

    pub(crate) fn kept(&self) -> BTreeSet<SnapshotId> {
        self.saved.iter().map(|(id, _)| *id).collect()
    }

    fn run(&self, machine: &Machine, store: &Arc<impl Store + 'static>) -> Result<Report> {
        forgets_what_is_left(machine, store, &self.forgotten, &World::at(100))?;
        prunes(machine, store, &all_goes(), &World::at(101))
    }

    /// The same in one go, of what nobody has begun.
    fn first_run(&self, machine: &Machine, store: &Arc<impl Store + 'static>) -> Result<Report> {
        let is_there = !names(&self.lab.store, ObjectKind::Forgotten).is_empty();
        if !is_there {
            forgets(machine, store, &self.forgotten, &World::at(100))?;
        }
        prunes(machine, store, &all_goes(), &World::at(101))
    }

    fn operations(&self, counted: Operations) -> u64 {
        let folder = scratch();
        let machine = self.pruner.copied_with_cache_to(folder.path());
        let store = Arc::new(FaultyStore::counting(self.copy(), counted));
        let done = self.first_run(&machine, &store).unwrap();
        assert!(done.deleted.packs > 0 && done.merged.0 > 0, "there is something to do: {done:?}");
        let left = Arc::new(store.inner().clone());
        self.assert_whole(&machine, &left, "uncut");
        assert_no_garbage(&machine, &left, &self.kept(), "uncut");
        store.operations()
    }

    fn cut_everywhere(&self, fault: Fault) {
        // Of a run that is over nothing is left but what it had changed until then.
        let counted = if fault == Fault::FailOnce { Operations::All } else { Operations::Changes };
        self.cut_at_each(counted, fault);
    }

    fn cut_at_each(&self, counted: Operations, fault: Fault) {
        let operations = self.operations(counted);
        let failed = (0..operations).filter(|&at| self.cut(counted, fault, at)).count() as u64;
        assert!(failed > operations / 2, "{fault:?}: {failed} of {operations} cuts were noticed");
    }

    /// Cuts the run at one operation; answers whether it failed.
    fn cut(&self, counted: Operations, fault: Fault, at: u64) -> bool {
        let context = format!("{fault:?} at operation {at}");
        let folder = scratch();
        let machine = self.pruner.copied_with_cache_to(folder.path());
        let store = Arc::new(FaultyStore::failing(self.copy(), counted, fault, at));
        let cut = self.first_run(&machine, &store);
        assert!(store.operations() > at, "{context}: it struck");

        let store = Arc::new(store.inner().clone());
        self.assert_whole(&machine, &store, &context);
        if cut.is_ok() {
            // What is left may be left, but nothing that was to be forgotten comes back.
            let listed: BTreeSet<SnapshotId> = machine.snapshots(&store).iter().map(|snapshot| snapshot.id).collect();
            assert_eq!(listed, self.kept(), "{context}");
        }
        self.run(&machine, &store).expect(&context);
        self.assert_whole(&machine, &store, &context);
        assert_no_garbage(&machine, &store, &self.kept(), &context);
        let before = store.objects();
        let idle = self.run(&machine, &store).expect(&context);
        assert_eq!(idle.stored_bytes, 0, "{context}");
        assert!(store.objects().keys().eq(before.keys()), "{context}: there was nothing left to do");
        cut.is_err()
    }

    /// What is kept comes back, and nothing is wrong but what the fault itself tore.
    pub(crate) fn assert_whole(&self, machine: &Machine, store: &Arc<MemoryStore>, context: &str) {
        let found = machine.check(store);
        assert!(found.items().is_subset(&torn(store)), "{context}: {:?}", found.problems());
        for (id, tree) in &self.saved {
            assert_same_tree(tree, &machine.restored(store, *id, &self.lab.source));
        }
    }
}

#[test]
fn a_prune_survives_the_failure_of_any_one_operation() {
    Scene::with_sparse_packs().cut_everywhere(Fault::FailOnce);
}

#[test]
fn a_prune_that_is_cut_off_at_any_operation_loses_nothing() {
    Scene::with_sparse_packs().cut_everywhere(Fault::FailFrom);
}

#[test]
fn a_prune_survives_any_torn_put() {
    Scene::with_sparse_packs().cut_everywhere(Fault::TearPut);
}

#[test]
fn a_prune_survives_the_loss_of_any_answer() {
    Scene::with_sparse_packs().cut_everywhere(Fault::LosePutAnswer);
}

#[test]
fn a_prune_that_puts_small_packs_together_survives_every_fault_at_any_change() {
    let scene = Scene::with_small_packs();
    FAULTS.into_iter().for_each(|fault| scene.cut_at_each(Operations::Changes, fault));
}

#[test]
fn a_prune_after_one_that_died_with_all_announced_survives_every_fault_at_any_operation() {
    let scene = Scene::after_a_dead_prune(|store| dying_at_delete(store, ObjectKind::Index));
    FAULTS.into_iter().for_each(|fault| scene.cut_everywhere(fault));
}

#[test]
fn a_prune_after_one_that_died_among_its_deletes_survives_every_fault_at_any_operation() {
    let scene = Scene::after_a_dead_prune(|store| dying_at_delete(store, ObjectKind::Trees));
    FAULTS.into_iter().for_each(|fault| scene.cut_everywhere(fault));
}
