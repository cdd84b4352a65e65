//! Damage of every kind to every kind of object: noticed, never a panic, never wrong bytes.

use std::sync::Arc;

use caddis::check::{self, ReadData, check};
use caddis::error::Error;
use caddis::format::log::{self, Gc};
use caddis::id::{PackId, SnapshotId};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};

use crate::compare::{Ignore, Tree, differences, snapshot_of};
use crate::cuts::dying_at_put;
use crate::lab::{KEY, Lab, Machine, World, is_root, key_file, names, new_key, restore_to};
use crate::rounds::{place, rounds};

/// A repository with two or more objects of every kind.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) snapshots: Vec<(SnapshotId, Tree)>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        lab.write_old_tree();
        let mut snapshots = Vec::new();
        for secs in 1..=2 {
            // Twice a run that died, so that there are withdrawn announcements; the last one is not withdrawn yet.
            let dying = dying_at_put(&lab.store, ObjectKind::Snapshots);
            lab.machine.backup(&dying, &lab.source, &World::at(10 * secs)).unwrap_err();
            let report = lab.machine.backup(&lab.store, &lab.source, &World::at(10 * secs + 1)).unwrap();
            snapshots.push((report.snapshot, lab.tree()));
            lab.write_new_tree_once(secs);
        }
        for secs in 3..=4 {
            let dying = dying_at_put(&lab.store, ObjectKind::Snapshots);
            let machine = lab.machine(&format!("dead {secs}"));
            machine.backup(&dying, &lab.source, &World::at(10 * secs)).unwrap_err();
        }
        let world = World::at(50);
        let mut repository = lab.machine.open(&lab.store, &world).unwrap();
        repository.add_key(&new_key(KEY + 1), &world.cx()).unwrap();
        for pack in 1..=2 {
            let gc = Gc { condemned: vec![PackId([pack; 32])], ..Gc::default() };
            let record = log::encode_gc(&gc, &repository.keyring, &repository.signatory).unwrap();
            repository.objects.put(ObjectKind::Gc, &record).unwrap();
        }
        let scene = Self { lab, snapshots };
        for kind in ObjectKind::ALL {
            let least = if kind == ObjectKind::Config { 1 } else { 2 };
            assert!(names(&scene.lab.store, kind).len() >= least, "{kind:?}");
        }
        let found = scene.lab.machine.check(&scene.lab.store);
        assert!(found.problems().is_empty(), "{:?}", found.problems());
        scene
    }

    /// A machine that knows the repository, with an empty cache.
    fn machine(&self, folder: &tempfile::TempDir) -> Machine {
        self.lab.machine.copied_to(folder.path())
    }

    /// Does `damage` to each object of a kind in turn, which must be noticed.
    fn damage_each(&self, kind: ObjectKind, damage: impl Fn(&MemoryStore, &ObjectName)) {
        for name in names(&self.lab.store, kind) {
            let store = Arc::new((*self.lab.store).clone());
            damage(&store, &name);
            assert!(self.look_at(&store, &name), "damage to {name} went unnoticed");
        }
    }

    /// Opens, checks and restores what is left; answers whether opening failed or the check found something.
    fn look_at(&self, store: &Arc<MemoryStore>, name: &ObjectName) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let machine = self.machine(&folder);
        let world = World::at(60);
        // Either key will do: damage to a slot is damage to one.
        let keys = [key_file(KEY), key_file(KEY + 1)];
        let Some(repository) = keys.iter().find_map(|key| machine.open_with(store, key, &world).ok()) else {
            return true;
        };
        let checked = check(&repository, &check::Options { read_data: ReadData::All }, &world.cx());
        let is_noticed = !matches!(checked, Ok(report) if report.errors.is_empty());
        for (id, tree) in &self.snapshots {
            let world = World::at(61);
            let target = folder.path().join(id.short());
            match restore_to(&repository, *id, &self.lab.source, &target, &world) {
                Ok(problems) => {
                    assert!(problems == 0 || is_noticed, "a restore notices what a check does not: {name}");
                    assert_no_wrong_bytes(name, tree, &snapshot_of(&target), problems);
                }
                Err(Error::NoSuchSnapshot { .. }) if name.kind() == ObjectKind::Snapshots => {}
                Err(error) => assert!(is_noticed, "{name}: {error}"),
            }
        }
        is_noticed
    }
}

impl Lab {
    fn write_new_tree_once(&self, round: i64) {
        if round == 1 {
            self.write_new_tree();
        } else {
            self.write("newest", &crate::lab::random_bytes("newest", 20_000));
        }
    }
}

/// Items may be missing if problems were reported; what is there is as it was.
pub(crate) fn assert_no_wrong_bytes(name: &ObjectName, source: &Tree, restored: &Tree, problems: u64) {
    let ignore = Ignore { owners: !is_root(), ..Ignore::default() };
    let found = differences(source, restored, ignore);
    assert!(found.is_empty() || problems > 0, "{name}: {found:?} and no problem was reported");
    for line in found {
        assert!(line.ends_with(": missing") || line.contains(": hard links: "), "damage to {name} gave {line}");
    }
}

/// Where bits are flipped: head, version, salt or length, in the middle, before and in what comes last.
const POSITIONS: [fn(usize) -> usize; 7] =
    [|_| 0, |_| 7, |_| 12, |len| len / 3, |len| len / 3 * 2, |len| len - 70, |len| len - 1];

#[test]
fn a_flipped_bit_in_any_object_is_noticed() {
    let scene = Scene::new();
    for kind in ObjectKind::ALL {
        for (bit, position) in POSITIONS.into_iter().enumerate() {
            let flip = |bytes: &mut Vec<u8>| {
                let at = position(bytes.len());
                bytes[at] ^= 1 << bit;
            };
            scene.damage_each(kind, |store, name| assert!(store.corrupt(name, flip)));
        }
        for round in (1..rounds()).flat_map(|round| [round; POSITIONS.len()].into_iter().enumerate()) {
            let flip = |name: &ObjectName, bytes: &mut Vec<u8>| {
                let bit = place(&format!("{name} {}", round.0), round.1, bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            };
            scene.damage_each(kind, |store, name| assert!(store.corrupt(name, |bytes| flip(name, bytes))));
        }
    }
}

#[test]
fn a_truncated_object_is_noticed() {
    let scene = Scene::new();
    for kind in ObjectKind::ALL {
        for keep in [0, 7, 100] {
            let cut = |bytes: &mut Vec<u8>| bytes.truncate(keep);
            scene.damage_each(kind, |store, name| assert!(store.corrupt(name, cut)));
        }
        let last = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
        scene.damage_each(kind, |store, name| assert!(store.corrupt(name, last)));
    }
}

#[test]
fn the_config_of_another_repository_is_noticed() {
    let scene = Scene::new();
    let other = Lab::new();
    let config = other.store.objects()[&ObjectName::CONFIG].to_vec();
    let replace =
        |store: &MemoryStore, name: &ObjectName| assert!(store.corrupt(name, |bytes| *bytes = config.clone()));
    scene.damage_each(ObjectKind::Config, replace);
    // Also by a machine that has never seen the repository.
    let store = Arc::new((*scene.lab.store).clone());
    replace(&store, &ObjectName::CONFIG);
    scene.lab.machine("stranger").open(&store, &World::at(1)).err().unwrap();
}

#[test]
fn the_loss_of_all_segments_or_all_statements_is_noticed() {
    let scene = Scene::new();
    for kind in [ObjectKind::Index, ObjectKind::Charter, ObjectKind::Keys] {
        let store = Arc::new((*scene.lab.store).clone());
        names(&store, kind).iter().for_each(|name| store.delete(name).unwrap());
        let any = ObjectName::new(kind, caddis::id::ObjectId([0; 32]));
        assert!(scene.look_at(&store, &any), "{kind:?}");
    }
}

#[test]
fn a_damaged_data_pack_loses_only_the_files_that_it_holds() {
    let lab = Lab::new();
    for number in 0..12 {
        lab.write(&format!("file {number}"), &crate::lab::random_bytes(&format!("file {number}"), 1 << 20));
    }
    lab.write("inline", b"a few bytes");
    let id = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let packs = names(&lab.store, ObjectKind::Packs);
    assert!(packs.len() >= 12, "{packs:?}");
    for pack in &packs {
        let store = Arc::new((*lab.store).clone());
        let whole_blocks = |bytes: &mut Vec<u8>| (1000..bytes.len()).step_by(10_000).for_each(|at| bytes[at] ^= 1);
        assert!(store.corrupt(pack, whole_blocks));
        let folder = tempfile::tempdir().unwrap();
        let world = World::at(2);
        let repository = lab.machine.open(&store, &world).unwrap();
        let target = folder.path().join("target");
        let problems = restore_to(&repository, id, &lab.source, &target, &world).unwrap();
        let restored = snapshot_of(&target);
        assert_no_wrong_bytes(pack, &lab.tree(), &restored, problems);
        assert!(problems >= 1, "{pack}");
        // A pack holds pieces of the few files that were read at the same time.
        assert!(restored.len() >= 8, "half of the files, the inline one, the folder: {:?}", restored.keys());
        let named = world.items();
        assert!(named.iter().all(|item| item.starts_with(lab.source.as_os_str().as_encoded_bytes())), "{named:?}");
        assert!(!world.problems().is_empty());
        assert!(!lab.machine.check(&store).problems().is_empty());
    }
}

#[test]
fn a_pack_that_is_put_again_heals_the_repository() {
    let lab = Lab::new();
    lab.write_old_tree();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    for kind in [ObjectKind::Packs, ObjectKind::Trees, ObjectKind::Index, ObjectKind::Snapshots] {
        let name = *names(&lab.store, kind).first().unwrap();
        let whole = lab.store.objects()[&name].clone();
        assert!(lab.store.corrupt(&name, |bytes| bytes[100] ^= 4));
        assert!(!lab.machine.check(&lab.store).problems().is_empty(), "{name}");
        lab.store.put(&name, &whole).unwrap();
        assert!(lab.machine.check(&lab.store).problems().is_empty(), "{name}");
    }
}
