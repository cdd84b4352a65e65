//! Repair: nothing that serves is lost by it, whatever fails, and a later backup of the same data makes old snapshots
//! whole.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use caddis::error::{Error, Result};
use caddis::format::log::{self, Gc};
use caddis::id::{PackId, SnapshotId};
use caddis::keys::keyring::Rights;
use caddis::repair::{index, packs, snapshots};
use caddis::store::faulty::{Call, Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};

use crate::compare::Tree;
use crate::lab::{Lab, Machine, World, assert_same_tree, hooked, names, random_bytes, scratch, torn};

/// Each way in which an operation can end badly.
const FAULTS: [Fault; 4] = [Fault::FailOnce, Fault::FailFrom, Fault::TearPut, Fault::LosePutAnswer];

const PACKS: [ObjectKind; 2] = [ObjectKind::Packs, ObjectKind::Trees];

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A part of it is wrong.
    Spoilt,
    /// All of it is.
    Wiped,
    Cut,
    Gone,
}

const WAYS: [Way; 4] = [Way::Spoilt, Way::Wiped, Way::Cut, Way::Gone];

impl Way {
    fn spoil(self, store: &MemoryStore, name: &ObjectName) {
        let change: &dyn Fn(&mut Vec<u8>) = match self {
            // In the first block: the others open.
            Self::Spoilt => &|bytes| bytes[200] ^= 1,
            Self::Wiped => &|bytes| bytes.fill(0),
            Self::Cut => &|bytes| bytes.truncate(bytes.len() / 2),
            Self::Gone => return store.delete(name).unwrap(),
        };
        assert!(store.corrupt(name, |bytes| change(bytes)));
    }
}

fn repair_index(machine: &Machine, store: &Arc<impl Store + 'static>, world: &World) -> Result<index::Report> {
    let mut repository = machine.open(store, world)?;
    let plan = index::plan(&repository, &world.cx())?;
    index::repair(&mut repository, plan, &world.cx())
}

fn repair_packs(machine: &Machine, store: &Arc<impl Store + 'static>, world: &World) -> Result<packs::Report> {
    let mut repository = machine.open(store, world)?;
    let plan = packs::plan(&repository, &[], &world.cx())?;
    packs::repair(&mut repository, plan, &world.cx())
}

fn repair_snapshots(
    machine: &Machine,
    store: &Arc<impl Store + 'static>,
    world: &World,
) -> Result<Vec<snapshots::Repaired>> {
    let mut repository = machine.open(store, world)?;
    let plan = snapshots::plan(&repository, &[], &world.cx())?;
    snapshots::repair(&mut repository, plan, &world.cx())
}

/// A snapshot in several packs, and a second one that needs no others.
struct Scene {
    lab: Lab,
    saved: Vec<(SnapshotId, Tree)>,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        lab.write_old_tree();
        for number in 0..4 {
            lab.write(&format!("large/{number}"), &random_bytes(&format!("large {number}"), 700_000));
        }
        let mut saved = Vec::new();
        for secs in 1..=2 {
            let id = lab.machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap().snapshot;
            saved.push((id, lab.tree()));
        }
        for kind in PACKS {
            assert!(!names(&lab.store, kind).is_empty());
        }
        Self { lab, saved }
    }

    fn copy(&self) -> Arc<MemoryStore> {
        Arc::new((*self.lab.store).clone())
    }

    /// The machine as it is now, with nothing in its cache.
    fn machine(&self, folder: &Path) -> Machine {
        self.lab.machine.copied_to(folder)
    }

    fn packs(&self) -> Vec<ObjectName> {
        PACKS.into_iter().flat_map(|kind| names(&self.lab.store, kind)).collect()
    }

    fn assert_whole(&self, machine: &Machine, store: &Arc<MemoryStore>, context: &str) {
        let found = machine.check(store);
        assert!(found.items().is_subset(&torn(store)), "{context}: {:?}", found.problems());
        for (id, tree) in &self.saved {
            assert_same_tree(tree, &machine.restored(store, *id, &self.lab.source));
        }
    }
}

#[test]
fn after_a_repair_of_packs_the_next_backup_makes_old_snapshots_whole() {
    let scene = Scene::new();
    for name in scene.packs() {
        for way in WAYS {
            let context = format!("{name} {way:?}");
            let folder = scratch();
            let machine = scene.machine(folder.path());
            let store = scene.copy();
            way.spoil(&store, &name);
            assert!(!machine.check(&store).problems().is_empty(), "{context}");
            // Without a repair, a backup relies on what the index says of a pack that is there.
            let done = repair_packs(&machine, &store, &World::at(10)).unwrap();
            assert_eq!((done.dead, done.kept), (1, vec![]), "{context}");
            assert!(done.lost_chunks > 0 || way == Way::Cut, "{context}");
            assert!(!store.objects().contains_key(&name), "{context}");
            let named: Vec<_> = machine.check(&store).items().into_iter().collect();
            assert!(named.iter().all(|item| item.starts_with(b"snapshots/")), "{context}: only what it costs is left");
            machine.backup(&store, &scene.lab.source, &World::at(20)).unwrap();
            scene.assert_whole(&machine, &store, &context);
        }
    }
}

#[test]
fn what_a_damaged_pack_still_gives_is_stored_again() {
    let scene = Scene::new();
    let folder = scratch();
    let machine = scene.machine(folder.path());
    let store = scene.copy();
    let name = *names(&store, ObjectKind::Packs).iter().max_by_key(|name| store.objects()[*name].len()).unwrap();
    Way::Spoilt.spoil(&store, &name);
    let done = repair_packs(&machine, &store, &World::at(10)).unwrap();
    assert!(done.chunks > 0 && done.lost_chunks > 0, "{done:?}");
    // A second one finds nothing to do.
    assert_eq!(repair_packs(&machine, &store, &World::at(11)).unwrap(), packs::Report::default());
}

#[test]
fn a_pack_of_which_only_the_padding_is_damaged_loses_nothing() {
    let scene = Scene::new();
    let name = *names(&scene.lab.store, ObjectKind::Trees).first().unwrap();
    let store = scene.copy();
    // What it says of itself is damaged; the index still leads to its blocks.
    assert!(store.corrupt(&name, |bytes| *bytes.last_mut().unwrap() ^= 1));
    let folder = scratch();
    let machine = scene.machine(folder.path());
    let done = repair_packs(&machine, &store, &World::at(10)).unwrap();
    assert_eq!((done.dead, done.lost_chunks), (1, 0), "{done:?}");
    scene.assert_whole(&machine, &store, "after the repair");
}

#[test]
fn a_lost_or_damaged_index_is_made_anew_from_the_packs() {
    let scene = Scene::new();
    for way in WAYS {
        let folder = scratch();
        let machine = scene.machine(folder.path());
        let store = scene.copy();
        let segments = names(&store, ObjectKind::Index);
        segments.iter().for_each(|name| way.spoil(&store, name));
        let done = repair_index(&machine, &store, &World::at(10)).unwrap();
        assert_eq!(done.packs, scene.packs().len() as u64, "{way:?}");
        assert_eq!((done.damaged, done.kept), (vec![], vec![]), "{way:?}");
        let is_junk = way != Way::Gone;
        assert_eq!(done.deleted, if is_junk { segments.len() as u64 } else { 0 }, "{way:?}");
        assert!(names(&store, ObjectKind::Index).is_disjoint(&segments), "{way:?}");
        scene.assert_whole(&machine, &store, &format!("{way:?}"));
        assert_eq!(repair_index(&machine, &store, &World::at(11)).unwrap(), index::Report::default(), "{way:?}");
    }
}

#[test]
fn segments_that_are_junk_stay_while_a_pack_cannot_be_named() {
    let scene = Scene::new();
    let folder = scratch();
    let machine = scene.machine(folder.path());
    let store = scene.copy();
    let segments = names(&store, ObjectKind::Index);
    segments.iter().for_each(|name| Way::Spoilt.spoil(&store, name));
    let pack = scene.packs()[0];
    Way::Wiped.spoil(&store, &pack);
    let done = repair_index(&machine, &store, &World::at(10)).unwrap();
    assert_eq!(done.damaged, [pack]);
    assert_eq!(done.kept, segments.iter().copied().collect::<Vec<_>>());
    assert_eq!(done.packs, scene.packs().len() as u64 - 1);
}

#[test]
fn packs_that_are_condemned_are_not_named() {
    let scene = Scene::new();
    let store = scene.copy();
    let folder = scratch();
    let machine = scene.machine(folder.path());
    names(&store, ObjectKind::Index).iter().for_each(|name| store.delete(name).unwrap());
    let pack = scene.packs()[0];
    let repository = machine.open(&store, &World::at(9)).unwrap();
    let gc = Gc { condemned: vec![pack.id().into()], ..Gc::default() };
    let record = log::encode_gc(&gc, &repository.keyring, &repository.signatory).unwrap();
    repository.objects.put(ObjectKind::Gc, &record).unwrap();
    let done = repair_index(&machine, &store, &World::at(10)).unwrap();
    assert_eq!(done.packs, scene.packs().len() as u64 - 1);
}

/// Another prune condemns the copies, as it may when it looks before they are named: then the damaged pack is the only one left
/// that gives them.
#[test]
fn a_damaged_pack_whose_copies_are_condemned_meanwhile_stays() {
    let scene = Scene::new();
    let store = scene.copy();
    let name = *names(&store, ObjectKind::Trees).first().unwrap();
    // All of its blocks open.
    assert!(store.corrupt(&name, |bytes| *bytes.last_mut().unwrap() ^= 1));
    let folder = scratch();
    let machine = scene.machine(folder.path());
    let repository = machine.open(&store, &World::at(9)).unwrap();
    let (others, before, is_done) = (Arc::clone(&store), scene.packs(), AtomicBool::new(false));
    let pruned = hooked(&store, move |call| {
        if matches!(call, Call::Put(name) if name.kind() == ObjectKind::Gc) && !is_done.swap(true, Ordering::SeqCst) {
            let there = PACKS.into_iter().flat_map(|kind| names(&others, kind));
            let new: BTreeSet<PackId> =
                there.filter(|name| !before.contains(name)).map(|name| name.id().into()).collect();
            assert!(!new.is_empty());
            let gc = Gc { condemned: new.into_iter().collect(), ..Gc::default() };
            let record = log::encode_gc(&gc, &repository.keyring, &repository.signatory).unwrap();
            repository.objects.put(ObjectKind::Gc, &record).unwrap();
        }
        Ok(())
    });
    let done = repair_packs(&machine, &pruned, &World::at(10)).unwrap();
    assert_eq!((done.dead, done.kept), (0, vec![name]));
    for (id, tree) in &scene.saved {
        assert_same_tree(tree, &machine.restored(&store, *id, &scene.lab.source));
    }
    assert_eq!(repair_packs(&machine, &store, &World::at(11)).unwrap().dead, 1);
    scene.assert_whole(&machine, &store, "after the second repair");
}

/// What of a tree must come back: items that are not below what was left out.
fn without(tree: &Tree, source: &Path, lost: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    let source = source.as_os_str().as_bytes();
    let is_lost = |path: &Vec<u8>| {
        let absolute = if path.is_empty() { source.to_vec() } else { [source, b"/", path].concat() };
        lost.iter().any(|lost| absolute == *lost || absolute.starts_with(&[lost, &b"/"[..]].concat()))
    };
    tree.keys().filter(|path| !is_lost(path)).cloned().collect()
}

/// After it, check finds nothing, all that is left restores as it was, and the old snapshots are forgotten.
#[test]
fn a_repaired_snapshot_lacks_what_is_lost_and_nothing_else() {
    let scene = Scene::new();
    let mut repaired_some = 0;
    for name in scene.packs() {
        for way in [Way::Spoilt, Way::Gone] {
            let context = format!("{name} {way:?}");
            let folder = scratch();
            let machine = scene.machine(folder.path());
            let store = scene.copy();
            way.spoil(&store, &name);
            repair_packs(&machine, &store, &World::at(10)).unwrap();
            let before = machine.snapshots(&store);
            let done = repair_snapshots(&machine, &store, &World::at(20)).unwrap();
            assert_eq!(done.len(), 2, "{context}: both need the same");
            if done.iter().any(|one| one.new.is_none()) {
                // The root itself is gone: nothing can be made of that, and nothing is forgotten.
                let after: Vec<_> = machine.snapshots(&store).iter().map(|snapshot| snapshot.id).collect();
                assert_eq!(after, before.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), "{context}");
                continue;
            }
            repaired_some += 1;
            let found = machine.check(&store);
            assert!(found.problems().is_empty(), "{context}: {:?}", found.problems());
            let after = machine.snapshots(&store);
            assert_eq!(after.len(), 2, "{context}");
            for ((one, (old, tree)), snapshot) in done.iter().zip(&scene.saved).zip(&after) {
                assert_eq!((one.old, one.new), (*old, Some(snapshot.id)), "{context}");
                assert_eq!(snapshot.header.original, Some(*old), "{context}");
                assert_eq!(snapshot.header.time, before.iter().find(|b| b.id == *old).unwrap().header.time);
                assert!(snapshot.body.partial && snapshot.body.tags.contains(&"repaired".to_owned()), "{context}");
                let lost: BTreeSet<Vec<u8>> = one.paths.iter().cloned().collect();
                let restored = machine.restored(&store, snapshot.id, &scene.lab.source);
                let left: BTreeSet<Vec<u8>> = restored.keys().cloned().collect();
                assert_eq!(left, without(tree, &scene.lab.source, &lost), "{context}: {lost:?}");
                assert!(left.len() > 1 && left.len() < tree.len(), "{context}");
            }
            assert_eq!(
                repair_snapshots(&machine, &store, &World::at(21)).unwrap(),
                [],
                "{context}: nothing is left to do"
            );
        }
    }
    assert!(repaired_some > 0);
}

#[test]
fn whole_snapshots_are_not_touched() {
    let scene = Scene::new();
    let store = scene.copy();
    let folder = scratch();
    let machine = scene.machine(folder.path());
    let before = store.objects();
    assert_eq!(repair_snapshots(&machine, &store, &World::at(20)).unwrap(), []);
    assert_eq!(store.objects(), before);
}

#[test]
fn a_repair_of_snapshots_leaves_what_only_the_index_lacks_to_a_repair_of_the_index() {
    let scene = Scene::new();
    let store = scene.copy();
    names(&store, ObjectKind::Index).iter().for_each(|name| store.delete(name).unwrap());
    let folder = scratch();
    let machine = scene.machine(folder.path());
    let refused = repair_snapshots(&machine, &store, &World::at(20)).unwrap_err();
    assert!(matches!(refused, Error::Unnamed { .. }), "{refused}");
    assert_eq!(machine.snapshots(&store).len(), 2);
}

#[test]
fn nobody_repairs_without_the_right_to() {
    let scene = Scene::new();
    let store = scene.copy();
    let world = World::at(20);
    let pack = *names(&store, ObjectKind::Packs).first().unwrap();
    Way::Gone.spoil(&store, &pack);
    let with = |rights| {
        let mut repository = scene.lab.machine.open(&store, &world).unwrap();
        Arc::get_mut(&mut repository.keyring).unwrap().rights = rights;
        repository
    };
    let refused = |result: Result<()>, missing: Rights| {
        assert!(matches!(result, Err(Error::NotPermitted { right }) if right == missing), "{result:?}");
    };
    let mut reader = with(Rights::READ);
    let plan = index::plan(&reader, &world.cx()).unwrap();
    refused(index::repair(&mut reader, plan, &world.cx()).map(drop), Rights::WRITE);
    let plan = packs::plan(&reader, &[], &world.cx()).unwrap();
    refused(packs::repair(&mut reader, plan, &world.cx()).map(drop), Rights::PRUNE);
    let mut writer = with(Rights::READ | Rights::WRITE);
    let plan = snapshots::plan(&writer, &[], &world.cx()).unwrap();
    refused(snapshots::repair(&mut writer, plan, &world.cx()).map(drop), Rights::FORGET);
    let stranger = with(Rights::WRITE);
    refused(index::plan(&stranger, &world.cx()).map(drop), Rights::READ);
    refused(packs::plan(&stranger, &[], &world.cx()).map(drop), Rights::READ);
    refused(snapshots::plan(&stranger, &[], &world.cx()).map(drop), Rights::READ);
}

/// Repairs what is in a store that fails, perhaps.
type Repair<'r> = dyn Fn(&Machine, &Arc<FaultyStore<MemoryStore>>, &World) -> Result<()> + 'r;

/// Fails every operation of a repair in each way; `repair` answers whether it went through, and `prove` what must hold
/// after it was run again.
fn cut_everywhere(
    before: &MemoryStore,
    scene: &Scene,
    repair: &Repair<'_>,
    prove: &dyn Fn(&Machine, &Arc<MemoryStore>, &str),
) {
    let world = World::at(30);
    let operations = {
        let folder = scratch();
        let store = Arc::new(FaultyStore::counting(before.clone(), Operations::All));
        repair(&scene.machine(folder.path()), &store, &world).unwrap();
        store.operations()
    };
    assert!(operations > 10, "{operations}");
    for fault in FAULTS {
        let mut failed = 0;
        for at in 0..operations {
            let context = format!("{fault:?} at operation {at}");
            let folder = scratch();
            let machine = scene.machine(folder.path());
            let store = Arc::new(FaultyStore::failing(before.clone(), Operations::All, fault, at));
            let cut = repair(&machine, &store, &world);
            failed += u64::from(cut.is_err());
            let store = Arc::new(store.inner().clone());
            let again = Arc::new(FaultyStore::counting((*store).clone(), Operations::All));
            repair(&machine, &again, &world).unwrap_or_else(|error| panic!("{context}: {error}"));
            prove(&machine, &Arc::new(again.inner().clone()), &context);
        }
        assert!(failed > operations / 3, "{fault:?}: {failed} of {operations} cuts were noticed");
    }
}

#[test]
fn a_repair_of_the_index_that_is_cut_anywhere_can_be_run_again() {
    let scene = Scene::new();
    let store = scene.copy();
    names(&store, ObjectKind::Index).iter().for_each(|name| Way::Spoilt.spoil(&store, name));
    let repair = |machine: &Machine, store: &Arc<FaultyStore<MemoryStore>>, world: &World| {
        repair_index(machine, store, world).map(drop)
    };
    cut_everywhere(&store, &scene, &repair, &|machine, store, context| scene.assert_whole(machine, store, context));
}

#[test]
fn a_repair_of_packs_that_is_cut_anywhere_loses_nothing_that_opens() {
    let scene = Scene::new();
    let store = scene.copy();
    let name = *names(&store, ObjectKind::Trees).first().unwrap();
    assert!(store.corrupt(&name, |bytes| *bytes.last_mut().unwrap() ^= 1));
    let repair = |machine: &Machine, store: &Arc<FaultyStore<MemoryStore>>, world: &World| {
        repair_packs(machine, store, world).map(drop)
    };
    cut_everywhere(&store, &scene, &repair, &|machine, store, context| {
        assert!(!store.objects().contains_key(&name), "{context}");
        scene.assert_whole(machine, store, context);
    });
}

#[test]
fn a_repair_of_snapshots_that_is_cut_anywhere_can_be_run_again() {
    let scene = Scene::new();
    let store = scene.copy();
    let folder = scratch();
    // The pack of the large files: the rest stays.
    let pack = *names(&store, ObjectKind::Packs).iter().max_by_key(|name| store.objects()[*name].len()).unwrap();
    Way::Gone.spoil(&store, &pack);
    repair_packs(&scene.machine(folder.path()), &store, &World::at(10)).unwrap();
    let repair = |machine: &Machine, store: &Arc<FaultyStore<MemoryStore>>, world: &World| {
        repair_snapshots(machine, store, world).map(drop)
    };
    cut_everywhere(&store, &scene, &repair, &|machine, store, context| {
        let found = machine.check(store);
        assert!(found.items().is_subset(&torn(store)), "{context}: {:?}", found.problems());
        let left = machine.snapshots(store);
        assert_eq!(left.len(), 2, "{context}");
        for (snapshot, (old, tree)) in left.iter().zip(&scene.saved) {
            assert_eq!(snapshot.header.original, Some(*old), "{context}");
            let restored = machine.restored(store, snapshot.id, &scene.lab.source);
            assert!(restored.len() > 1 && restored.len() < tree.len(), "{context}");
        }
    });
}
