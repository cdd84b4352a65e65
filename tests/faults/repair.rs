//! Repair: nothing that serves is lost by it, whatever fails, and a later backup of the same data makes old snapshots whole.

use std::path::Path;
use std::sync::Arc;

use caddis::error::Result;
use caddis::id::SnapshotId;
use caddis::repair::{index, packs};
use caddis::store::faulty::{Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};

use crate::compare::Tree;
use crate::lab::{Lab, Machine, World, assert_same_tree, names, random_bytes, scratch, torn};

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
    let gc = caddis::format::log::Gc { condemned: vec![pack.id().into()], ..Default::default() };
    let record = caddis::format::log::encode_gc(&gc, &repository.keyring, &repository.signatory).unwrap();
    repository.objects.put(ObjectKind::Gc, &record).unwrap();
    let done = repair_index(&machine, &store, &World::at(10)).unwrap();
    assert_eq!(done.packs, scene.packs().len() as u64 - 1);
}

/// Fails every operation of a repair in each way; `repair` answers whether it went through, and `prove` what must hold after it
/// was run again.
fn cut_everywhere(
    before: &MemoryStore,
    scene: &Scene,
    repair: &dyn Fn(&Machine, &Arc<FaultyStore<MemoryStore>>, &World) -> Result<()>,
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
