//! Whatever happens to a change of keys, some slot always opens.

use std::sync::Arc;

use caddis::error::{Error, Result};
use caddis::id::SnapshotId;
use caddis::repo::Repository;
use caddis::store::faulty::{Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, Store};

use crate::lab::{KEY, Lab, World, assert_same_tree, key_file, names, new_key, torn};

/// The key of a second slot, and one that a change brings.
const SECOND: u8 = 8;
const THIRD: u8 = 9;

pub(crate) type Change = fn(&mut Repository, &World) -> Result<()>;

fn add(repository: &mut Repository, world: &World) -> Result<()> {
    repository.add_key(&new_key(THIRD), &world.cx()).map(drop)
}

fn remove(repository: &mut Repository, world: &World) -> Result<()> {
    let slots = repository.slots(&world.cx())?;
    let second = slots.iter().find(|slot| !slot.current).unwrap();
    repository.remove_key(&second.id.to_string(), &world.cx()).map(drop)
}

fn passwd(repository: &mut Repository, world: &World) -> Result<()> {
    repository.change_key(&key_file(SECOND), &new_key(THIRD), &world.cx()).map(drop)
}

/// Every change of keys, in a repository that [`KEY`] and [`SECOND`] open.
pub(crate) const CHANGES: [Change; 3] = [add, remove, passwd];

/// What opens the repository after each of them.
pub(crate) const KEYS: [&[u8]; 3] = [&[KEY, SECOND, THIRD], &[KEY], &[KEY, THIRD]];

pub(crate) fn lab_with_two_keys() -> Lab {
    let lab = Lab::new();
    let world = World::at(1);
    lab.machine.open(&lab.store, &world).unwrap().add_key(&new_key(SECOND), &world.cx()).unwrap();
    lab
}

/// Which of the three keys open the repository.
pub(crate) fn opening(lab: &Lab, store: &Arc<impl Store + 'static>) -> Vec<u8> {
    let opens = |key: &u8| match lab.machine.open_with(store, &key_file(*key), &World::at(2)) {
        Ok(_) => true,
        Err(Error::WrongKey { .. }) => false,
        Err(error) => panic!("key {key}: {error}"),
    };
    [KEY, SECOND, THIRD].into_iter().filter(opens).collect()
}

/// What was saved comes back, more is saved, and nothing is wrong but what the fault itself tore.
fn assert_whole(lab: &Lab, store: &Arc<MemoryStore>, saved: SnapshotId, context: &str) {
    // Each of these stores is another future of the same machine, which remembers what it has seen in one of them.
    let folder = tempfile::tempdir().unwrap();
    let machine = lab.machine.copied_to(folder.path());
    assert_same_tree(&lab.tree(), &machine.restored(store, saved, &lab.source));
    let next = machine.backup(store, &lab.source, &World::at(4)).expect(context).snapshot;
    assert_same_tree(&lab.tree(), &machine.restored(store, next, &lab.source));
    let found = machine.check(store);
    assert!(found.items().is_subset(&torn(store)), "{context}: {:?}", found.problems());
}

/// Cuts a change at each of its operations. Answers all sets of keys that opened afterwards.
fn cut_everywhere(change: Change, done: &[u8]) -> Vec<Vec<u8>> {
    let lab = lab_with_two_keys();
    lab.write_old_tree();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap().snapshot;
    let run = |store: &Arc<FaultyStore<MemoryStore>>, world: &World| -> Result<()> {
        change(&mut lab.machine.open(store, world)?, world)
    };
    let counting = Arc::new(FaultyStore::counting((*lab.store).clone(), Operations::All));
    run(&counting, &World::at(3)).unwrap();
    assert_eq!(opening(&lab, &Arc::new(counting.inner().clone())), done);

    let mut found = Vec::new();
    for fault in [Fault::FailOnce, Fault::FailFrom, Fault::TearPut, Fault::LosePutAnswer] {
        for at in 0..counting.operations() {
            let store = Arc::new(FaultyStore::failing((*lab.store).clone(), Operations::All, fault, at));
            let cut = run(&store, &World::at(3));
            let store = Arc::new(store.inner().clone());
            let opening = opening(&lab, &store);
            assert!(opening.contains(&KEY), "{fault:?} at {at}: {opening:?}");
            assert!(cut.is_err() || opening == done, "{fault:?} at {at}: it is done, but {opening:?}");
            assert_whole(&lab, &store, saved, &format!("{fault:?} at {at}"));
            if !found.contains(&opening) {
                found.push(opening);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_key_that_is_added_opens_or_does_not_and_the_others_always_do() {
    assert_eq!(cut_everywhere(add, &[KEY, SECOND, THIRD]), [vec![KEY, SECOND], vec![KEY, SECOND, THIRD]]);
}

#[test]
fn a_key_that_is_removed_opens_or_does_not_and_the_others_always_do() {
    assert_eq!(cut_everywhere(remove, &[KEY]), [vec![KEY], vec![KEY, SECOND]]);
}

#[test]
fn of_a_key_that_is_changed_the_old_or_the_new_one_opens() {
    let found = cut_everywhere(passwd, &[KEY, THIRD]);
    let old_or_new = |keys: &Vec<u8>| keys.contains(&SECOND) || keys.contains(&THIRD);
    assert!(found.iter().all(old_or_new), "{found:?}");
    assert_eq!(found, [vec![KEY, SECOND], vec![KEY, SECOND, THIRD], vec![KEY, THIRD]]);
}

#[test]
fn the_last_slot_that_opens_is_not_removed_because_one_lies_there_that_opens_nothing() {
    // An `init` that is cut just before `config` leaves a slot; the next one makes another repository around it.
    let lab = Lab::new();
    let operations = {
        let store = Arc::new(FaultyStore::counting(MemoryStore::new(), Operations::All));
        lab.machine("counter").init(&store).unwrap();
        store.operations()
    };
    let machine = lab.machine("beta");
    let cut = Arc::new(FaultyStore::failing(MemoryStore::new(), Operations::All, Fault::FailFrom, operations - 1));
    machine.init(&cut).unwrap_err();
    let store = Arc::new(cut.inner().clone());
    machine.init(&store).unwrap();
    assert_eq!(names(&store, ObjectKind::Keys).len(), 1, "the slot of the init that was cut is gone");
    // Where nothing may be deleted, it stays.
    for (name, bytes) in cut.inner().objects().iter().filter(|(name, _)| name.kind() == ObjectKind::Keys) {
        store.put(name, bytes).unwrap();
    }
    assert_eq!(names(&store, ObjectKind::Keys).len(), 2);

    let world = World::at(1);
    let mut repository = machine.open(&store, &world).unwrap();
    let slots = repository.slots(&world.cx()).unwrap();
    let own = slots.iter().find(|slot| slot.current).unwrap().id.to_string();
    let refused = repository.remove_key(&own, &world.cx());
    assert!(matches!(refused, Err(Error::LastSlot { .. })), "{refused:?}");
    machine.open(&store, &world).unwrap();

    // With another one that opens, it can go.
    repository.add_key(&new_key(SECOND), &world.cx()).unwrap();
    assert!(matches!(repository.remove_key(&own, &world.cx()), Err(Error::SlotInUse { .. })));
    machine.open_with(&store, &key_file(SECOND), &world).unwrap().remove_key(&own, &world.cx()).unwrap();
    machine.open_with(&store, &key_file(SECOND), &world).unwrap();
}

#[test]
fn the_last_slot_is_not_removed() {
    let lab = Lab::new();
    let world = World::at(1);
    let mut repository = lab.machine.open(&lab.store, &world).unwrap();
    let own = lab.store.list(ObjectKind::Keys).unwrap()[0].id.to_string();
    assert!(matches!(repository.remove_key(&own, &world.cx()), Err(Error::LastSlot { .. })));
    repository.add_key(&new_key(SECOND), &world.cx()).unwrap();
    // The one that opened the repository is the one that is known to open.
    assert!(matches!(repository.remove_key(&own, &world.cx()), Err(Error::SlotInUse { .. })));
    let with_second = lab.machine.open_with(&lab.store, &key_file(SECOND), &world).unwrap();
    with_second.remove_key(&own, &world.cx()).unwrap();
}
