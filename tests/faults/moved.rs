//! A check beside others: a prune that moves what snapshots need, a snapshot that is forgotten, another check.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use caddis::check::{self, ReadData, Report, Verdict, check};
use caddis::id::SnapshotId;
use caddis::store::faulty::Call;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};

use crate::disk::files_in;
use crate::lab::{Hooked, Lab, Machine, World, hooked, names};

type Objects = BTreeMap<ObjectName, Vec<u8>>;

/// A repository in which every pack and segment can be replaced by others that hold the same chunks.
struct Scene {
    lab: Lab,
    snapshot: SnapshotId,
    old: Objects,
    new: Objects,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        lab.write_old_tree();
        let snapshot = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        let old = movable(&lab.store);
        // A machine that sees no index stores everything again.
        old.keys().for_each(|name| lab.store.delete(name).unwrap());
        let other = lab.machine("pruner").backup(&lab.store, &lab.source, &World::at(2)).unwrap().snapshot;
        lab.store.delete(&ObjectName::new(ObjectKind::Snapshots, other)).unwrap();
        let new = movable(&lab.store);
        new.keys().for_each(|name| lab.store.delete(name).unwrap());
        put_all(&lab.store, &old);
        Self { lab, snapshot, old, new }
    }

    /// Checks while something happens before the `at`-th get. Answers whether it came to that, too.
    fn check_while(
        &self,
        at: u64,
        read_data: ReadData,
        happens: impl Fn(&MemoryStore) + Send + Sync + 'static,
    ) -> (Report, bool) {
        let (folder, world) = (tempfile::tempdir().unwrap(), World::at(9));
        let (store, gets) = at_get(&Arc::new((*self.lab.store).clone()), at, happens);
        let machine = Machine::new(folder.path(), "checks");
        // What opening the repository reads, others change as little as what was read long ago.
        let repository = machine.open(&store, &world).unwrap();
        gets.store(0, Ordering::SeqCst);
        let report = check(&repository, &check::Options { read_data }, &world.cx()).unwrap();
        (report, gets.load(Ordering::SeqCst) > at)
    }

    /// What a prune does, all at once: it puts what it has packed again, and deletes what that replaces.
    fn prune(&self) -> impl Fn(&MemoryStore) + Send + Sync + 'static {
        let (old, new) = (self.old.clone(), self.new.clone());
        move |store| {
            put_all(store, &new);
            old.keys().for_each(|name| store.delete(name).unwrap());
        }
    }
}

fn movable(store: &MemoryStore) -> Objects {
    let is_movable =
        |name: &ObjectName| matches!(name.kind(), ObjectKind::Packs | ObjectKind::Trees | ObjectKind::Index);
    let objects = store.objects().into_iter().filter(|(name, _)| is_movable(name));
    objects.map(|(name, bytes)| (name, bytes.to_vec())).collect()
}

fn put_all(store: &MemoryStore, objects: &Objects) {
    objects.iter().for_each(|(name, bytes)| store.put(name, bytes).unwrap());
}

/// A store in which something happens once, before the `at`-th get from when the count is set to 0.
fn at_get(
    store: &Arc<MemoryStore>,
    at: u64,
    happens: impl Fn(&MemoryStore) + Send + Sync + 'static,
) -> (Hooked, Arc<AtomicU64>) {
    let gets = Arc::new(AtomicU64::new(u64::MAX / 2));
    let (counted, behind) = (Arc::clone(&gets), Arc::clone(store));
    let hooked = hooked(store, move |call| {
        if matches!(call, Call::Get(_)) && counted.fetch_add(1, Ordering::SeqCst) == at {
            happens(&behind);
        }
        Ok(())
    });
    (hooked, gets)
}

/// What a prune has moved, a check called missing: its list of packs and its view of the index were of different moments.
#[test]
fn a_check_beside_a_prune_that_deletes_packs_finds_no_damage() {
    let scene = Scene::new();
    let rolling = ReadData::Rolling { budget: Duration::from_secs(1) };
    for read_data in [ReadData::Suspects, ReadData::All, rolling] {
        for at in 0.. {
            let (report, has_happened) = scene.check_while(at, read_data.clone(), scene.prune());
            assert_eq!(report.verdict(), Verdict::Sound, "{read_data:?}, get {at}: {:?}", report.errors);
            assert_eq!((report.snapshots, report.packs), (1, 2), "{read_data:?}, get {at}");
            if !has_happened {
                assert!(at > 10, "{at} gets");
                break;
            }
        }
    }
}

#[test]
fn a_snapshot_that_is_forgotten_beside_a_check_costs_nothing() {
    let scene = Scene::new();
    for at in 0.. {
        let (machine, id, old) = (scene.lab.machine("forgets"), scene.snapshot, scene.old.clone());
        let forget = move |store: &MemoryStore| {
            let (behind, world) = (Arc::new(store.clone()), World::at(8));
            let mut repository = machine.open(&behind, &world).unwrap();
            repository.introduce_self(&world.cx()).unwrap();
            repository.withdraw(vec![id], "forgotten", &world.cx()).unwrap();
            behind.objects().iter().for_each(|(name, bytes)| store.put(name, bytes).unwrap());
            store.delete(&ObjectName::new(ObjectKind::Snapshots, id)).unwrap();
            old.keys().for_each(|name| store.delete(name).unwrap());
        };
        let (report, has_happened) = scene.check_while(at, ReadData::All, forget);
        assert_eq!(report.verdict(), Verdict::Sound, "get {at}: {:?}", report.errors);
        if !has_happened {
            break;
        }
    }
}

#[test]
fn what_a_prune_has_lost_is_missed_by_the_check_beside_it() {
    let scene = Scene::new();
    let pack = *scene.new.keys().find(|name| name.kind() == ObjectKind::Packs).unwrap();
    let prune = scene.prune();
    let lose = move |store: &MemoryStore| {
        prune(store);
        store.delete(&pack).unwrap();
    };
    let (report, _) = scene.check_while(0, ReadData::All, lose);
    assert_eq!(report.verdict(), Verdict::Damaged);
    assert_eq!(report.errors[0].object, pack);
    assert_eq!(report.errors[0].snapshots, [scene.snapshot]);
}

/// Both need an index of their own, for packs that no segment names: the first to end removed that of the other.
#[test]
fn two_checks_at_once_do_not_disturb_one_another() {
    let scene = Scene::new();
    names(&scene.lab.store, ObjectKind::Index).iter().for_each(|name| scene.lab.store.delete(name).unwrap());
    let machine = scene.lab.machine("checks twice");
    let check_now = |store: &Arc<_>| check_on(&machine, store);
    let alone = check_now(&hooked(&scene.lab.store, |_| Ok(())));
    assert_eq!(alone.verdict(), Verdict::Repairable);
    let found = alone.errors;
    let own_folder = own_folder(&machine);
    // What a check has left that was killed is removed.
    fs::create_dir_all(own_folder.join("killed")).unwrap();
    fs::write(own_folder.join("killed/file"), "of nobody").unwrap();
    let met = Arc::new(AtomicU64::new(0));
    for at in 0.. {
        let (other, folder, found_alone, met) = (machine.clone(), own_folder.clone(), found.clone(), Arc::clone(&met));
        let check_beside = move |store: &MemoryStore| {
            let files = files_in(&folder);
            let beside = check_on(&other, &hooked(&Arc::new(store.clone()), |_| Ok(())));
            assert_eq!(beside.errors, found_alone);
            if files.keys().any(|file| !file.starts_with("killed")) {
                met.fetch_add(1, Ordering::SeqCst);
                assert_eq!(files_in(&folder), files, "what the first one has made stays");
            }
        };
        let (store, gets) = at_get(&scene.lab.store, at, check_beside);
        gets.store(0, Ordering::SeqCst);
        assert_eq!(check_now(&store).errors, found, "get {at}");
        assert!(files_in(&own_folder).is_empty(), "nothing is left");
        if gets.load(Ordering::SeqCst) <= at {
            break;
        }
    }
    assert!(met.load(Ordering::SeqCst) > 0, "they used such folders at the same moment");
}

fn check_on(machine: &Machine, store: &Hooked) -> Report {
    let world = World::at(9);
    let repository = machine.open(store, &world).unwrap();
    check(&repository, &check::Options { read_data: ReadData::All }, &world.cx()).unwrap()
}

/// Where checks of the one repository that a machine knows keep what they need.
fn own_folder(machine: &Machine) -> std::path::PathBuf {
    let mut caches = fs::read_dir(&machine.places.cache).unwrap().map(|entry| entry.unwrap().path());
    let cache: &Path = &caches.next().unwrap();
    cache.join("check")
}
