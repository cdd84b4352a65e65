//! Bringing back what was forgotten: from packs that are about to go, at any moment and after any failure, once and whole;
//! and what cannot come back is said to be too late.

use std::collections::HashSet;
use std::sync::Arc;

use caddis::error::{Error, Result};
use caddis::format::log::{self, Gc};
use caddis::id::{ObjectId, PackId, SnapshotId};
use caddis::keys::keyring::Rights;
use caddis::repo::Repository;
use caddis::store::faulty::{Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};
use caddis::unforget::{ForgottenSnapshot, forgotten, unforget};

use crate::compare::Tree;
use crate::lab::{Lab, Machine, World, assert_same_tree, names, torn};
use crate::protocol::acting_at_put;

/// Each way in which an operation can end badly.
const FAULTS: [Fault; 4] = [Fault::FailOnce, Fault::FailFrom, Fault::TearPut, Fault::LosePutAnswer];

/// Two snapshots, of which the first is forgotten.
struct Scene {
    lab: Lab,
    /// The one that is forgotten.
    old: (SnapshotId, Tree),
    kept: (SnapshotId, Tree),
}

fn brings_back(machine: &Machine, store: &Arc<impl Store + 'static>, id: SnapshotId) -> Result<SnapshotId> {
    let world = World::at(10);
    let mut repository = machine.open(store, &world)?;
    let mut back = Vec::new();
    let mut done = |unforgotten: caddis::unforget::Unforgotten| {
        back.push(unforgotten.new);
        Ok(())
    };
    unforget(&mut repository, &[id.to_string()], &mut done, &world.cx())?;
    Ok(back[0])
}

fn can_come_back(machine: &Machine, store: &Arc<impl Store + 'static>) -> Vec<ForgottenSnapshot> {
    let world = World::at(10);
    forgotten(&machine.open(store, &world).unwrap(), &world.cx()).unwrap()
}

fn packs(store: &MemoryStore) -> HashSet<PackId> {
    let kinds = [ObjectKind::Packs, ObjectKind::Trees];
    kinds.into_iter().flat_map(|kind| names(store, kind)).map(|name| name.id().into()).collect()
}

fn delete_packs(store: &MemoryStore, packs: &HashSet<PackId>) {
    for pack in packs {
        for kind in [ObjectKind::Packs, ObjectKind::Trees] {
            store.delete(&ObjectName::new(kind, *pack)).unwrap();
        }
    }
}

fn gc_record(repository: &Repository, record: &Gc) -> Vec<u8> {
    log::encode_gc(record, &repository.keyring, &repository.signatory).unwrap()
}

fn put(store: &MemoryStore, kind: ObjectKind, bytes: &[u8]) {
    store.put(&ObjectName::new(kind, ObjectId::of(bytes)), bytes).unwrap();
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        lab.write_old_tree();
        let old = (lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot, lab.tree());
        lab.write_new_tree();
        let kept = (lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap().snapshot, lab.tree());
        let scene = Self { lab, old, kept };
        let world = World::at(3);
        let owner = scene.owner();
        owner.declare_void(&[scene.old.0], "forgotten", &world.cx()).unwrap();
        scene
    }

    fn owner(&self) -> Repository {
        let world = World::at(3);
        self.lab.machine.open(&self.lab.store, &world).unwrap()
    }

    fn copy(&self) -> MemoryStore {
        (*self.lab.store).clone()
    }

    /// The snapshot that was forgotten is back as `new`, once, and the other one is as it was.
    fn assert_back(&self, machine: &Machine, store: &Arc<MemoryStore>, new: SnapshotId, context: &str) {
        let live = machine.snapshots(store);
        let places: Vec<_> = live.iter().map(|snapshot| (snapshot.id, snapshot.header.original)).collect();
        assert_eq!(places, [(new, Some(self.old.0)), (self.kept.0, None)], "{context}");
        assert_same_tree(&self.old.1, &machine.restored(store, new, &self.lab.source));
        assert_same_tree(&self.kept.1, &machine.restored(store, self.kept.0, &self.lab.source));
    }
}

#[test]
fn what_lies_only_in_packs_that_are_about_to_go_is_stored_again() {
    for is_before in [true, false] {
        let scene = Scene::new();
        let condemned = packs(&scene.lab.store);
        let record = gc_record(&scene.owner(), &Gc { condemned: condemned.iter().copied().collect(), ..Gc::default() });
        if is_before {
            put(&scene.lab.store, ObjectKind::Gc, &record);
        }
        // Or just when the snapshot is announced.
        let store = acting_at_put(&scene.lab.store, ObjectKind::Pending, move |store, _| {
            put(store, ObjectKind::Gc, &record);
        });
        let new = brings_back(&scene.lab.machine, &store, scene.old.0).unwrap();
        let left = Arc::new(scene.copy());
        delete_packs(&left, &condemned);
        assert_same_tree(&scene.old.1, &scene.lab.machine("fresh").restored(&left, new, &scene.lab.source));
        assert!(names(&scene.lab.store, ObjectKind::Pending).is_empty());
        assert_eq!(brings_back(&scene.lab.machine, &scene.lab.store, scene.old.0).unwrap(), new, "not a second time");
        scene.assert_back(&scene.lab.machine, &scene.lab.store, new, "condemned, and not gone yet");
    }
}

#[test]
fn once_its_packs_are_gone_it_is_too_late() {
    for drops_segments in [false, true] {
        let scene = Scene::new();
        let dead = packs(&scene.lab.store);
        let record = gc_record(&scene.owner(), &Gc { dead: dead.iter().copied().collect(), ..Gc::default() });
        put(&scene.lab.store, ObjectKind::Gc, &record);
        delete_packs(&scene.lab.store, &dead);
        for name in names(&scene.lab.store, ObjectKind::Index).into_iter().filter(|_| drops_segments) {
            scene.lab.store.delete(&name).unwrap();
        }
        // A machine that keeps no packs of trees.
        let error = brings_back(&scene.lab.machine("fresh"), &scene.lab.store, scene.old.0).unwrap_err();
        let short = scene.old.0.short();
        let is_too_late =
            |error: &Error| matches!(error, Error::TooLate { snapshot, source: Some(_) } if *snapshot == short);
        assert!(is_too_late(&error), "{error:?}");
        assert_eq!(scene.lab.machine.snapshots(&scene.lab.store).len(), 1, "nothing with a hole was committed");
        assert!(names(&scene.lab.store, ObjectKind::Pending).is_empty());
    }
}

#[test]
fn what_is_lost_without_a_prune_is_called_damage() {
    let scene = Scene::new();
    delete_packs(&scene.lab.store, &packs(&scene.lab.store));
    let error = brings_back(&scene.lab.machine("fresh"), &scene.lab.store, scene.old.0).unwrap_err();
    assert!(matches!(error, Error::DamagedBlock { .. }), "{error:?}");
    names(&scene.lab.store, ObjectKind::Index).iter().for_each(|name| scene.lab.store.delete(name).unwrap());
    let error = brings_back(&scene.lab.machine("fresh"), &scene.lab.store, scene.old.0).unwrap_err();
    assert!(matches!(error, Error::MissingChunk { .. }), "{error:?}");
}

#[test]
fn a_snapshot_that_a_prune_has_removed_is_listed_no_more() {
    let scene = Scene::new();
    let record = gc_record(&scene.owner(), &Gc { void: vec![scene.old.0], ..Gc::default() });
    put(&scene.lab.store, ObjectKind::Gc, &record);
    names(&scene.lab.store, ObjectKind::Forgotten).iter().for_each(|name| scene.lab.store.delete(name).unwrap());
    // The prune died before it removed the snapshot itself.
    let [found] = &can_come_back(&scene.lab.machine, &scene.lab.store)[..] else { panic!("one is there") };
    assert_eq!((found.snapshot.id, found.voided.since), (scene.old.0, None));
    assert_eq!(found.safe_until(jiff::Timestamp::UNIX_EPOCH), None, "whatever time it is");
    scene.lab.store.delete(&ObjectName::new(ObjectKind::Snapshots, scene.old.0)).unwrap();
    assert!(can_come_back(&scene.lab.machine, &scene.lab.store).is_empty());
    let error = brings_back(&scene.lab.machine, &scene.lab.store, scene.old.0).unwrap_err();
    assert!(matches!(error, Error::TooLate { source: None, .. }), "{error:?}");
}

#[test]
fn an_unforget_that_is_cut_anywhere_can_be_run_again_and_brings_back_one() {
    let scene = Scene::new();
    // Packs that are about to go, so that there is something to store as well.
    let condemned = packs(&scene.lab.store);
    let record = gc_record(&scene.owner(), &Gc { condemned: condemned.into_iter().collect(), ..Gc::default() });
    put(&scene.lab.store, ObjectKind::Gc, &record);
    // Somebody whom the charter does not name yet.
    let machine = scene.lab.machine("beta");
    let operations = {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore::counting(scene.copy(), Operations::All));
        brings_back(&machine.copied_to(folder.path()), &store, scene.old.0).unwrap();
        store.operations()
    };
    assert!(operations > 30, "{operations}");
    for fault in FAULTS {
        let mut failed = 0;
        for at in 0..operations {
            let context = format!("{fault:?} at operation {at}");
            let folder = tempfile::tempdir().unwrap();
            let machine = machine.copied_to(folder.path());
            let store = Arc::new(FaultyStore::failing(scene.copy(), Operations::All, fault, at));
            let cut = brings_back(&machine, &store, scene.old.0);
            assert!(store.operations() > at, "{context}: it struck");
            failed += u64::from(cut.is_err());

            let store = Arc::new(store.inner().clone());
            let new = brings_back(&machine, &store, scene.old.0).expect(&context);
            assert!(cut.is_err() || cut.is_ok_and(|reported| reported == new), "{context}: what was reported stays");
            scene.assert_back(&machine, &store, new, &context);
            let found = machine.check(&store);
            assert!(found.items().is_subset(&torn(&store)), "{context}: {:?}", found.problems());
            // The next backup withdraws what a run that died has left announced.
            machine.backup(&store, &scene.lab.source, &World::at(20)).expect(&context);
            let pending = names(&store, ObjectKind::Pending);
            assert!(pending.iter().all(|name| torn(&store).contains(name.path().as_bytes())), "{context}: {pending:?}");
        }
        assert!(failed > operations / 2, "{fault:?}: {failed} of {operations} cuts were noticed");
    }
}

#[test]
fn nobody_brings_back_without_the_rights_to_read_and_write() {
    let scene = Scene::new();
    let world = World::at(10);
    for (rights, missing) in [(Rights::READ, Rights::WRITE), (Rights::WRITE, Rights::READ)] {
        let mut repository = scene.owner();
        Arc::get_mut(&mut repository.keyring).unwrap().rights = rights;
        let refused = unforget(&mut repository, &[scene.old.0.to_string()], &mut |_| Ok(()), &world.cx());
        assert!(matches!(refused, Err(Error::NotPermitted { right }) if right == missing), "{refused:?}");
    }
}

/// A store that says of all objects that they were put at one moment.
struct PutAt {
    inner: Arc<MemoryStore>,
    moment: jiff::Timestamp,
}

impl Store for PutAt {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> std::result::Result<(), StoreError> {
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> std::result::Result<Vec<u8>, StoreError> {
        self.inner.get(name, range)
    }

    fn list(&self, kind: ObjectKind) -> std::result::Result<Vec<Listed>, StoreError> {
        let listed = self.inner.list(kind)?.into_iter();
        Ok(listed.map(|listed| Listed { modified: Some(self.moment), ..listed }).collect())
    }

    fn delete(&self, name: &ObjectName) -> std::result::Result<(), StoreError> {
        self.inner.delete(name)
    }
}

#[test]
fn the_window_counts_from_the_later_of_two_clocks_and_the_last_of_several_records() {
    let scene = Scene::new();
    let recorded = World::at(3).cx().clock.now();
    let hours = jiff::SignedDuration::from_hours;
    let since = |moment| {
        let store = Arc::new(PutAt { inner: Arc::clone(&scene.lab.store), moment });
        let [found] = &can_come_back(&scene.lab.machine, &store)[..] else { panic!("one is there") };
        let since = found.voided.since.and_then(caddis::format::metadata::Timestamp::to_jiff).unwrap();
        let window = hours(7 * 24);
        assert_eq!(found.safe_until(since), Some(since + window));
        assert_eq!(found.safe_until(since + window), None);
        (since, found.voided.reason.clone())
    };
    assert_eq!(since(recorded + hours(5)).0, recorded + hours(5));
    assert_eq!(since(recorded - hours(5)), (recorded, "forgotten".to_owned()));
    for (secs, reason) in [(50, "again"), (20, "in between")] {
        let world = World::at(secs);
        scene.owner().declare_void(&[scene.old.0], reason, &world.cx()).unwrap();
    }
    assert_eq!(since(recorded - hours(5)), (World::at(50).cx().clock.now(), "again".to_owned()));
}
