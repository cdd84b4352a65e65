//! What keeps a prune from deleting: roots that turn up late, what is missing, what is withheld or cannot be read. And what
//! does not: junk, and the word of those who may not say it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use caddis::error::{Error, Result};
use caddis::format::{HEAD_LEN, log};
use caddis::id::{ObjectId, PackId, SnapshotId};
use caddis::keys::keyring::Rights;
use caddis::prune::{Options, Report, Unused};
use caddis::store::faulty::Call;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store, StoreError};

use crate::cuts::dying_at_put;
use crate::lab::{World, assert_same_tree, hooked, names, random_bytes, scratch};
use crate::protocol::{acting_at_put, condemning, packs, principal_with, put, void};
use crate::prune_cuts::Scene;
use crate::pruning::{all_goes, assert_no_garbage, forgets, prunes};

/// A scene with all forgotten that is to go.
fn forgotten_scene() -> Scene {
    let scene = Scene::with_sparse_packs();
    forgets(&scene.lab.machine, &scene.lab.store, &scene.forgotten, &World::at(50)).unwrap();
    scene
}

fn prune_of(scene: &Scene, store: &Arc<impl Store + 'static>) -> Result<Report> {
    prunes(&scene.lab.machine, store, &all_goes(), &World::at(100))
}

/// Once nothing keeps the prune any more.
fn assert_goes_on(scene: &Scene, kept: &BTreeSet<SnapshotId>, context: &str) {
    scene.assert_whole(&scene.lab.machine, &scene.lab.store, context);
    prune_of(scene, &scene.lab.store).expect(context);
    scene.assert_whole(&scene.lab.machine, &scene.lab.store, context);
    assert_no_garbage(&scene.lab.machine, &scene.lab.store, kept, context);
}

#[test]
fn what_a_snapshot_needs_that_is_announced_before_the_second_look_is_rescued() {
    for is_committed in [true, false] {
        let scene = forgotten_scene();
        let Scene { lab, .. } = &scene;
        lab.write("large", &random_bytes("large", 300_000));
        let (writer, source) = (lab.machine("writer"), lab.source.clone());
        let store = acting_at_put(&lab.store, ObjectKind::Gc, move |store, _| {
            if is_committed {
                writer.backup(store, &source, &World::at(60)).unwrap();
            } else {
                let dying = dying_at_put(store, ObjectKind::Snapshots);
                writer.backup(&dying, &source, &World::at(60)).unwrap_err();
            }
        });
        let done = prune_of(&scene, &store).unwrap();
        assert!(done.rescued > 0, "{done:?}");
        let mut kept = scene.kept();
        if !is_committed {
            let pending = names(&lab.store, ObjectKind::Pending);
            let [pending] = &pending.iter().collect::<Vec<_>>()[..] else { panic!("{pending:?}") };
            // As its writer would have done.
            lab.store
                .put(&ObjectName::new(ObjectKind::Snapshots, pending.id()), &lab.store.objects()[*pending])
                .unwrap();
        }
        for snapshot in lab.machine.snapshots(&lab.store) {
            if kept.insert(snapshot.id) {
                assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, snapshot.id, &lab.source));
            }
        }
        assert_eq!(kept.len(), scene.kept().len() + 1);
        assert_goes_on(&scene, &kept, "rescued");
    }
}

/// A prune has condemned all packs of a snapshot that is kept, and never comes back.
#[test]
fn what_is_needed_of_packs_that_somebody_condemned_moves_and_the_record_goes() {
    let scene = forgotten_scene();
    let Scene { lab, .. } = &scene;
    let world = World::at(60);
    let owner = lab.machine.open(&lab.store, &world).unwrap();
    let condemned = packs(&lab.store);
    let record = log::encode_gc(&condemning(condemned.clone()), &owner.keyring, &owner.signatory).unwrap();
    let record = put(&lab.store, ObjectKind::Gc, &record);
    prune_of(&scene, &lab.store).unwrap();
    assert!(!names(&lab.store, ObjectKind::Gc).contains(&record));
    assert!(packs(&lab.store).is_disjoint(&condemned));
    scene.assert_whole(&lab.machine, &lab.store, "moved");
    assert_no_garbage(&lab.machine, &lab.store, &scene.kept(), "moved");
}

/// Takes away an object, and puts it back when asked to.
fn take_away(store: &MemoryStore, name: ObjectName) -> impl Fn(&MemoryStore) + use<> {
    let bytes = store.objects()[&name].clone();
    store.delete(&name).unwrap();
    move |store| store.put(&name, &bytes).unwrap()
}

/// The pack that holds what all snapshots that are kept need.
fn needed(scene: &Scene, kind: ObjectKind) -> ObjectName {
    let copy = Arc::new(scene.copy());
    // What only the kept snapshots need is what is left; by its place in the store, it is the same.
    let options = Options { max_unused: Unused::Unlimited, ..all_goes() };
    let folder = scratch();
    prunes(&scene.lab.machine.copied_to(folder.path()), &copy, &options, &World::at(60)).unwrap();
    *names(&copy, kind).first().unwrap()
}

#[test]
fn where_something_needed_is_lost_orphans_and_segments_stay() {
    let scene = forgotten_scene();
    let Scene { lab, .. } = &scene;
    let orphan = put(&lab.store, ObjectKind::Packs, &random_bytes("orphan", 5_000));
    let put_back = take_away(&lab.store, needed(&scene, ObjectKind::Packs));
    let segments = names(&lab.store, ObjectKind::Index);
    let done = prune_of(&scene, &lab.store).unwrap();
    assert!(done.is_missing && done.deleted.packs > 0, "{done:?}");
    assert!(names(&lab.store, ObjectKind::Packs).contains(&orphan));
    assert!(names(&lab.store, ObjectKind::Index).is_superset(&segments));
    put_back(&lab.store);
    prune_of(&scene, &lab.store).unwrap();
    scene.assert_whole(&lab.machine, &lab.store, "put back");
    assert_no_garbage(&lab.machine, &lab.store, &scene.kept(), "put back");
}

#[test]
fn where_a_folder_is_lost_nothing_is_deleted() {
    let scene = forgotten_scene();
    let Scene { lab, .. } = &scene;
    let put_back = take_away(&lab.store, needed(&scene, ObjectKind::Trees));
    let there = packs(&lab.store);
    // The machine that made it still has it in its cache.
    let refused = prunes(&scene.pruner, &lab.store, &all_goes(), &World::at(90)).unwrap_err();
    let [kept] = scene.kept().into_iter().collect::<Vec<_>>()[..] else { panic!("one is kept") };
    assert!(matches!(refused, Error::BrokenRoot { snapshot, .. } if snapshot == kept), "{refused}");
    assert!(packs(&lab.store).is_superset(&there));
    put_back(&lab.store);
    assert_goes_on(&scene, &scene.kept(), "put back");
}

/// A snapshot is committed just before the prune announces what it will delete, and needs some of it. Where its folders are,
/// no segment says by then.
#[test]
fn where_a_new_snapshot_cannot_be_followed_nothing_dies() {
    for is_named in [true, false] {
        let scene = forgotten_scene();
        let Scene { lab, .. } = &scene;
        lab.write("large", &random_bytes("large", 300_000));
        let (writer, source) = (lab.machine("writer"), lab.source.clone());
        let before = lab.store.objects();
        let lost = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lost);
        let store = acting_at_put(&lab.store, ObjectKind::Gc, move |store, _| {
            writer.backup(store, &source, &World::at(60)).unwrap();
            let is_lost = |name: &ObjectName| match name.kind() {
                ObjectKind::Trees => true,
                ObjectKind::Index => !is_named,
                _ => false,
            };
            let now = store.objects().into_keys();
            let new: Vec<ObjectName> = now.filter(|name| !before.contains_key(name) && is_lost(name)).collect();
            sink.lock().unwrap().extend(new.into_iter().map(|name| take_away(store, name)));
        });
        let there = packs(&lab.store);
        let refused = prune_of(&scene, &store).unwrap_err();
        assert!(matches!(refused, Error::BrokenRoot { .. }), "{is_named}: {refused}");
        assert!(packs(&lab.store).is_superset(&there), "{is_named}");
        lost.lock().unwrap().iter().for_each(|put_back| put_back(&lab.store));
        let mut kept = scene.kept();
        for snapshot in lab.machine.snapshots(&lab.store) {
            if kept.insert(snapshot.id) {
                assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, snapshot.id, &lab.source));
            }
        }
        assert_goes_on(&scene, &kept, "put back");
    }
}

#[test]
fn a_listing_that_fails_deletes_nothing() {
    let kinds = [
        ObjectKind::Packs,
        ObjectKind::Trees,
        ObjectKind::Pending,
        ObjectKind::Snapshots,
        ObjectKind::Forgotten,
        ObjectKind::Gc,
        ObjectKind::Index,
    ];
    for kind in kinds {
        let mut noticed = 0;
        for nth in 0.. {
            let scene = forgotten_scene();
            let there = packs(&scene.lab.store);
            let lists = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&lists);
            let store = hooked(&scene.lab.store, move |call| match call {
                Call::List(listed) if listed == kind && counted.fetch_add(1, Ordering::SeqCst) == nth => {
                    Err(StoreError::Unreachable(io::ErrorKind::BrokenPipe.into()))
                }
                _ => Ok(()),
            });
            let Err(error) = prune_of(&scene, &store) else { break };
            assert!(matches!(error, Error::List { kind: failed, .. } if failed == kind), "{error}");
            assert!(packs(&scene.lab.store).is_superset(&there), "{kind:?} {nth}");
            assert_goes_on(&scene, &scene.kept(), "listed again");
            noticed += 1;
        }
        assert!(noticed >= 2, "{kind:?}: in P1 and in P3");
    }
}

#[test]
fn a_prune_that_is_shown_less_than_this_machine_knows_of_deletes_nothing() {
    let scene = forgotten_scene();
    let Scene { lab, .. } = &scene;
    let [kept] = scene.kept().into_iter().collect::<Vec<_>>()[..] else { panic!("one is kept") };
    let snapshot = ObjectName::new(ObjectKind::Snapshots, kept);
    let put_back = take_away(&lab.store, snapshot);
    let before = lab.store.objects();
    let refused = prune_of(&scene, &lab.store).unwrap_err();
    assert!(matches!(&refused, Error::Withheld { snapshots, .. } if *snapshots == [kept]), "{refused}");
    assert_eq!(refused.exit_code(), 16);
    assert!(lab.store.objects().keys().eq(before.keys()));

    // The same between the two looks, and after what the prune itself listed.
    put_back(&lab.store);
    for at in [Call::List(ObjectKind::Packs), Call::List(ObjectKind::Trees)] {
        let (behind, kind) = (Arc::clone(&lab.store), at.kind());
        let store = hooked(&lab.store, move |call| {
            if call == Call::List(kind) {
                behind.delete(&snapshot)?;
            }
            Ok(())
        });
        let refused = prune_of(&scene, &store).unwrap_err();
        assert!(matches!(&refused, Error::Withheld { snapshots, .. } if *snapshots == [kept]), "{refused}");
        put_back(&lab.store);
    }
    let store = acting_at_put(&lab.store, ObjectKind::Gc, move |store, _| store.delete(&snapshot).unwrap());
    let there = packs(&lab.store);
    let refused = prune_of(&scene, &store).unwrap_err();
    assert!(matches!(refused, Error::Withheld { .. }), "{refused}");
    assert!(packs(&lab.store).is_superset(&there));
    put_back(&lab.store);
    assert_goes_on(&scene, &scene.kept(), "put back");
}

#[test]
fn junk_does_not_stop_a_prune() {
    let scene = forgotten_scene();
    let Scene { lab, .. } = &scene;
    let kinds = [ObjectKind::Gc, ObjectKind::Forgotten, ObjectKind::Pending, ObjectKind::Snapshots, ObjectKind::Index];
    let junk: Vec<ObjectName> = kinds.map(|kind| put(&lab.store, kind, &random_bytes(kind.folder(), 300))).to_vec();
    let world = World::at(100);
    prunes(&lab.machine, &lab.store, &all_goes(), &world).unwrap();
    let reported = world.items();
    for name in junk {
        assert!(reported.contains(name.path().as_bytes()), "{name}: {reported:?}");
        lab.store.delete(&name).unwrap();
    }
    for (id, tree) in &scene.saved {
        assert_same_tree(tree, &lab.machine.restored(&lab.store, *id, &lab.source));
    }
    assert_no_garbage(&lab.machine, &lab.store, &scene.kept(), "without the junk");
}

/// Whoever wrote it may need what would be deleted.
#[test]
fn a_root_of_a_later_version_stops_a_prune() {
    for kind in [ObjectKind::Pending, ObjectKind::Snapshots] {
        let scene = forgotten_scene();
        let Scene { lab, .. } = &scene;
        let [kept] = scene.kept().into_iter().collect::<Vec<_>>()[..] else { panic!("one is kept") };
        let mut later = lab.store.objects()[&ObjectName::new(ObjectKind::Snapshots, kept)].to_vec();
        later[HEAD_LEN - 1] += 1;
        let name = put(&lab.store, kind, &later);
        let before = lab.store.objects();
        let refused = prune_of(&scene, &lab.store).unwrap_err();
        assert!(matches!(&refused, Error::Object { object, .. } if *object == name), "{refused}");
        assert!(lab.store.objects().keys().eq(before.keys()));
        lab.store.delete(&name).unwrap();
        assert_goes_on(&scene, &scene.kept(), "without it");
    }
}

#[test]
fn a_root_whose_bytes_do_not_fit_its_name_stops_a_prune() {
    for kind in [ObjectKind::Pending, ObjectKind::Snapshots] {
        let scene = forgotten_scene();
        let Scene { lab, .. } = &scene;
        let [kept] = scene.kept().into_iter().collect::<Vec<_>>()[..] else { panic!("one is kept") };
        let bytes = lab.store.objects()[&ObjectName::new(ObjectKind::Snapshots, kept)].clone();
        let name = ObjectName::new(kind, ObjectId(if kind == ObjectKind::Pending { [7; 32] } else { kept.0 }));
        lab.store.put(&name, &bytes[..bytes.len() / 2]).unwrap();
        let before = lab.store.objects();
        let refused = prune_of(&scene, &lab.store).unwrap_err();
        assert!(matches!(&refused, Error::WrongHash { object } if *object == name), "{refused}");
        assert!(lab.store.objects().keys().eq(before.keys()));
        match kind {
            ObjectKind::Pending => lab.store.delete(&name).unwrap(),
            _ => lab.store.put(&name, &bytes).unwrap(),
        }
        assert_goes_on(&scene, &scene.kept(), "mended");
    }
}

/// An announcement of the machine `writer` that nobody has withdrawn.
fn announcement(scene: &Scene) -> SnapshotId {
    scene.lab.write("announced", &random_bytes("announced", 50_000));
    let dying = dying_at_put(&scene.lab.store, ObjectKind::Snapshots);
    scene.lab.machine("writer").backup(&dying, &scene.lab.source, &World::at(55)).unwrap_err();
    names(&scene.lab.store, ObjectKind::Pending).first().unwrap().id().into()
}

#[test]
fn who_may_only_write_does_not_make_what_others_announced_void() {
    let scene = forgotten_scene();
    let Scene { lab, .. } = &scene;
    let announced = announcement(&scene);
    let world = World::at(60);
    let mut owner = lab.machine.open(&lab.store, &world).unwrap();
    let writer = principal_with(&mut owner, Rights::WRITE | Rights::LIST);
    put(&lab.store, ObjectKind::Forgotten, &log::encode_forgotten(&void(announced), &owner.keyring, &writer).unwrap());
    prune_of(&scene, &lab.store).unwrap();
    let pending = ObjectName::new(ObjectKind::Pending, announced);
    assert!(names(&lab.store, ObjectKind::Pending).contains(&pending));
    // Its writer goes on, after all.
    lab.store.put(&ObjectName::new(ObjectKind::Snapshots, announced), &lab.store.objects()[&pending]).unwrap();
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, announced, &lab.source));

    // With the right to forget it is another matter.
    let forgetter = principal_with(&mut owner, Rights::FORGET);
    let record = log::encode_forgotten(&void(announced), &owner.keyring, &forgetter).unwrap();
    put(&lab.store, ObjectKind::Forgotten, &record);
    prune_of(&scene, &lab.store).unwrap();
    scene.assert_whole(&lab.machine, &lab.store, "forgotten");
    assert_no_garbage(&lab.machine, &lab.store, &scene.kept(), "forgotten");
}

#[test]
fn a_pack_that_nobody_made_here_goes() {
    let scene = forgotten_scene();
    let Scene { lab, .. } = &scene;
    let strays: BTreeSet<PackId> = [ObjectKind::Packs, ObjectKind::Trees]
        .map(|kind| put(&lab.store, kind, &random_bytes(kind.folder(), 500)).id().into())
        .into();
    prune_of(&scene, &lab.store).unwrap();
    assert!(strays.iter().all(|stray| !packs(&lab.store).contains(stray)));
    scene.assert_whole(&lab.machine, &lab.store, "without strays");
}
