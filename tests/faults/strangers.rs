//! Makers whom nobody knew when a run began, and objects that nobody has signed.

use std::sync::Arc;

use caddis::format::log::{self, Gc};
use caddis::id::PackId;
use caddis::store::faulty::Call;
use caddis::store::{ObjectKind, ObjectName, Store};

use crate::lab::{Lab, World, assert_same_tree, hooked, names};

/// A gc record of a machine that was introduced during a run was taken for junk: the run relied on condemned packs.
#[test]
fn a_prune_by_a_machine_that_is_new_since_the_run_began_is_obeyed() {
    let lab = Lab::new();
    lab.write_old_tree();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let kinds = [ObjectKind::Packs, ObjectKind::Trees];
    let old: Vec<PackId> =
        kinds.into_iter().flat_map(|kind| names(&lab.store, kind)).map(|name| name.id().into()).collect();
    let (pruner, behind, condemned) = (lab.machine("pruner"), Arc::clone(&lab.store), old.clone());
    let store = hooked(&lab.store, move |call| {
        if matches!(call, Call::Put(name) if name.kind() == ObjectKind::Pending)
            && names(&behind, ObjectKind::Gc).is_empty()
        {
            let world = World::at(2);
            let mut repository = pruner.open(&behind, &world).unwrap();
            repository.introduce_self(&world.cx()).unwrap();
            let gc = Gc { condemned: condemned.clone(), ..Gc::default() };
            let bytes = log::encode_gc(&gc, &repository.keyring, &repository.signatory).unwrap();
            repository.objects.put(ObjectKind::Gc, &bytes).unwrap();
        }
        Ok(())
    });
    let report = lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap();
    // The packs go, as the prune announced; what was reported saved comes back without them.
    for id in old {
        for kind in kinds {
            lab.store.delete(&ObjectName::new(kind, id)).unwrap();
        }
    }
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
}

/// Eight bytes that anybody who can put objects can put kept every backup and restore from working.
#[test]
fn an_object_that_only_says_that_it_is_newer_is_in_nobodys_way() {
    let lab = Lab::new();
    lab.write_old_tree();
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let codes = [
        (ObjectKind::Charter, 2),
        (ObjectKind::Keys, 3),
        (ObjectKind::Index, 6),
        (ObjectKind::Pending, 7),
        (ObjectKind::Snapshots, 7),
        (ObjectKind::Forgotten, 8),
        (ObjectKind::Gc, 9),
    ];
    for (kind, code) in codes {
        let bytes = [&b"CADDIS"[..], &[code, caddis::format::VERSION + 1]].concat();
        let name = ObjectName::new(kind, caddis::id::ObjectId::of(&bytes));
        lab.store.put(&name, &bytes).unwrap();
    }
    lab.write_new_tree();
    let second = lab.machine("other").backup(&lab.store, &lab.source, &World::at(2)).unwrap();
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, second.snapshot, &lab.source));
    lab.machine.restored(&lab.store, first.snapshot, &lab.source);
}
