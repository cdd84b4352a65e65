//! A cache folder that is deleted, spoiled, another repository's, or no folder at all, at any moment of a run: nothing that is
//! saved depends on it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::id::SnapshotId;
use caddis::store::faulty::{FaultyStore, Operations};
use caddis::store::memory::MemoryStore;

use crate::compare::Tree;
use crate::disk::{Files, files_in, set_files};
use crate::lab::{Lab, Machine, World, assert_same_tree, hooked, scratch};

/// What happens to a cache folder, given the files of another repository's.
type Meddle = fn(&Path, &Files);

fn delete(cache: &Path, _: &Files) {
    fs::remove_dir_all(cache).unwrap();
}

fn spoil(cache: &Path, _: &Files) {
    for path in files_in(cache).into_keys().map(|path| cache.join(path)) {
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(path, bytes).unwrap();
    }
}

/// Also what a folder amounts to that may not be written: root could write it.
fn block(cache: &Path, _: &Files) {
    fs::remove_dir_all(cache).unwrap();
    fs::write(cache, b"no folder").unwrap();
}

/// The other repository's folder takes the name of this one's.
fn exchange(cache: &Path, other: &Files) {
    for folder in fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()) {
        fs::remove_dir_all(&folder).unwrap();
        set_files(&folder, other);
    }
}

struct Scene {
    lab: Lab,
    old: SnapshotId,
    old_tree: Tree,
    other: Files,
}

impl Scene {
    /// A machine with a cache that is warm, a source that has changed since, and another repository's cache.
    fn new() -> Self {
        let other = Lab::new();
        other.write_old_tree();
        other.machine.backup(&other.store, &other.source, &World::at(1)).unwrap();
        let of_other = fs::read_dir(&other.machine.places.cache).unwrap().next().unwrap().unwrap().path();
        let other = files_in(&of_other);
        assert!(!other.is_empty());
        let lab = Lab::new();
        lab.write_old_tree();
        let old_tree = lab.tree();
        let old = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        lab.write_new_tree();
        Self { lab, old, old_tree, other }
    }

    /// The machine as it is now, cache and all.
    fn machine(&self, root: &Path) -> Machine {
        let machine = self.lab.machine.copied_to(root);
        let cached = files_in(&self.lab.machine.places.cache);
        assert!(!cached.is_empty());
        set_files(&machine.places.cache, &cached);
        machine
    }

    fn operations(&self) -> u64 {
        let folder = scratch();
        let store = Arc::new(FaultyStore::counting((*self.lab.store).clone(), Operations::All));
        self.machine(folder.path()).backup(&store, &self.lab.source, &World::at(2)).unwrap();
        store.operations()
    }

    fn meddle_everywhere(&self, meddle: Meddle) {
        let operations = self.operations();
        let saved = (0..operations).filter(|&at| self.meddle(meddle, at)).count() as u64;
        assert!(saved >= operations / 2, "{saved} of {operations} runs saved something all the same");
    }

    /// Answers whether the run saved something all the same.
    fn meddle(&self, meddle: Meddle, at: u64) -> bool {
        let context = format!("at operation {at}");
        let folder = scratch();
        let machine = self.machine(folder.path());
        let store = Arc::new((*self.lab.store).clone());
        let (operations, cache, other) = (AtomicU64::new(0), machine.places.cache.clone(), self.other.clone());
        let meddled = hooked(&store, move |_| {
            if operations.fetch_add(1, Ordering::SeqCst) == at {
                meddle(&cache, &other);
            }
            Ok(())
        });
        let report = machine.backup(&meddled, &self.lab.source, &World::at(2));
        let saved = report.ok().map(|report| report.snapshot);
        self.assert_whole(&machine, &store, saved, &context);
        saved.is_some()
    }

    /// All that was saved comes back to another machine, and to this one when its cache folder may be made again.
    fn assert_whole(&self, machine: &Machine, store: &Arc<MemoryStore>, saved: Option<SnapshotId>, context: &str) {
        let fresh_place = scratch();
        let fresh = Machine::new(fresh_place.path(), "fresh");
        if machine.places.cache.is_file() {
            fs::remove_file(&machine.places.cache).unwrap();
        }
        let next = machine.backup(store, &self.lab.source, &World::at(3)).expect(context).snapshot;
        for reader in [machine, &fresh] {
            assert_same_tree(&self.old_tree, &reader.restored(store, self.old, &self.lab.source));
            for id in saved.into_iter().chain([next]) {
                assert_same_tree(&self.lab.tree(), &reader.restored(store, id, &self.lab.source));
            }
            let found = reader.check(store);
            assert!(found.problems().is_empty(), "{context}: {:?}", found.problems());
        }
    }
}

#[test]
fn a_cache_that_is_deleted_at_any_moment_costs_nothing_that_is_saved() {
    Scene::new().meddle_everywhere(delete);
}

#[test]
fn a_cache_that_is_spoiled_at_any_moment_costs_nothing_that_is_saved() {
    Scene::new().meddle_everywhere(spoil);
}

#[test]
fn a_cache_that_cannot_be_used_from_any_moment_on_costs_nothing_that_is_saved() {
    Scene::new().meddle_everywhere(block);
}

#[test]
fn a_cache_that_becomes_another_repositorys_at_any_moment_costs_nothing_that_is_saved() {
    Scene::new().meddle_everywhere(exchange);
}
