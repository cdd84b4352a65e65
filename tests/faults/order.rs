//! What is durable before what, and what is looked at when.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use caddis::format::log;
use caddis::store::faulty::Call;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName};

use crate::lab::{Hooked, Lab, World, hooked, random_bytes};

/// One operation as it begins, and what was durable at that moment.
struct Step {
    what: Operation,
    durable: BTreeSet<ObjectName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Put(ObjectName),
    Get(ObjectName),
    List(ObjectKind),
    Delete(ObjectName),
}

type Steps = Arc<Mutex<Vec<Step>>>;

fn recording(store: &Arc<MemoryStore>) -> (Hooked, Steps) {
    let steps = Steps::default();
    let (behind, sink) = (Arc::clone(store), Arc::clone(&steps));
    let hook = move |call: Call<'_>| {
        let what = match call {
            Call::Put(name) => Operation::Put(*name),
            Call::Get(name) => Operation::Get(*name),
            Call::List(kind) => Operation::List(kind),
            Call::Delete(name) => Operation::Delete(*name),
        };
        sink.lock().unwrap().push(Step { what, durable: behind.objects().into_keys().collect() });
        Ok(())
    };
    (hooked(store, hook), steps)
}

fn is_put(step: &Step, kind: ObjectKind) -> bool {
    matches!(step.what, Operation::Put(name) if name.kind() == kind)
}

fn is_list(step: &Step, kind: ObjectKind) -> bool {
    step.what == Operation::List(kind)
}

fn only(steps: &[Step], kind: ObjectKind) -> usize {
    let at: Vec<usize> = (0..steps.len()).filter(|&at| is_put(&steps[at], kind)).collect();
    assert_eq!(at.len(), 1, "one put of {kind:?}");
    at[0]
}

/// Steps of a backup that has much to store, in a repository with one snapshot.
fn steps_of_a_backup() -> (Lab, Vec<Step>) {
    let lab = Lab::new();
    lab.write_old_tree();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    for number in 0..20 {
        lab.write(&format!("large {number}"), &random_bytes(&format!("large {number}"), 1 << 20));
    }
    let (store, steps) = recording(&lab.store);
    lab.machine.backup(&store, &lab.source, &World::at(2)).unwrap();
    let steps = std::mem::take(&mut *steps.lock().unwrap());
    (lab, steps)
}

#[test]
fn packs_are_durable_before_the_segment_that_names_them() {
    let (lab, steps) = steps_of_a_backup();
    let world = World::at(3);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let mut segments = 0;
    for step in &steps {
        let Operation::Put(name) = step.what else { continue };
        if name.kind() != ObjectKind::Index {
            continue;
        }
        segments += 1;
        let segment = log::decode_segment(&lab.store.objects()[&name], &repository.keyring).unwrap().record;
        assert!(!segment.packs.is_empty());
        for pack in &segment.packs {
            assert!(step.durable.contains(&pack.name()), "{name} names {} too early", pack.name());
        }
    }
    assert!(segments >= 2, "an interim segment and one at the end: {segments}");
}

#[test]
fn all_is_indexed_before_it_is_announced_and_announced_before_it_is_committed() {
    let (lab, steps) = steps_of_a_backup();
    let world = World::at(3);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let pending = only(&steps, ObjectKind::Pending);
    let committed = only(&steps, ObjectKind::Snapshots);
    let objects = lab.store.objects();

    let durable = &steps[pending].durable;
    let mut indexed = BTreeSet::new();
    for name in durable.iter().filter(|name| name.kind() == ObjectKind::Index) {
        let segment = log::decode_segment(&objects[name], &repository.keyring).unwrap().record;
        indexed.extend(segment.packs.iter().map(|pack| pack.name()));
    }
    let packs = |names: &BTreeSet<ObjectName>| -> BTreeSet<ObjectName> {
        let of_packs = names.iter().filter(|name| matches!(name.kind(), ObjectKind::Packs | ObjectKind::Trees));
        of_packs.copied().collect()
    };
    assert_eq!(packs(durable), indexed);
    assert_eq!(packs(&objects.keys().copied().collect()), indexed, "nothing is stored after the announcement");

    assert!(pending < committed);
    let Operation::Put(announced) = steps[pending].what else { unreachable!() };
    let Operation::Put(snapshot) = steps[committed].what else { unreachable!() };
    assert_eq!(announced.id(), snapshot.id(), "the same bytes");
    assert!(steps[committed].durable.contains(&announced));
}

#[test]
fn gc_is_listed_before_the_index_and_again_between_announcement_and_commit() {
    let (_lab, steps) = steps_of_a_backup();
    let pending = only(&steps, ObjectKind::Pending);
    let committed = only(&steps, ObjectKind::Snapshots);
    let first = |kind| steps.iter().position(|step| is_list(step, kind)).unwrap();
    assert!(first(ObjectKind::Gc) < first(ObjectKind::Index), "W1");
    let first_put = steps.iter().position(|step| is_put(step, ObjectKind::Packs)).unwrap();
    assert!(first(ObjectKind::Index) < first_put, "W1 before W2");
    assert!(steps[pending..committed].iter().any(|step| is_list(step, ObjectKind::Gc)), "W4");
    let after = &steps[committed..];
    let forgotten = after.iter().position(|step| is_list(step, ObjectKind::Forgotten)).expect("W6");
    let gc = after.iter().position(|step| is_list(step, ObjectKind::Gc)).expect("W6");
    let deleted = after.iter().position(|step| matches!(step.what, Operation::Delete(_))).unwrap();
    // What is void moves from forgotten/ to gc/, so that it is looked for in this order.
    assert!(forgotten < gc && gc < deleted);
}

#[test]
fn a_backup_deletes_its_own_announcement_and_nothing_else() {
    let (lab, steps) = steps_of_a_backup();
    let deleted: Vec<ObjectName> = steps
        .iter()
        .filter_map(|step| match step.what {
            Operation::Delete(name) => Some(name),
            _ => None,
        })
        .collect();
    let Operation::Put(announced) = steps[only(&steps, ObjectKind::Pending)].what else { unreachable!() };
    assert_eq!(deleted, [announced]);
    let gone = |name: &&ObjectName| !lab.store.objects().contains_key(name);
    let begun = &steps[0].durable;
    assert_eq!(begun.iter().filter(gone).count(), 0, "what was there before is there still");
}
