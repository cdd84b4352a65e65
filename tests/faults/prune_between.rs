//! What others do at any step of a prune, and what a prune does at any step of a backup: nobody waits, nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use caddis::error::Error;
use caddis::id::SnapshotId;
use caddis::store::faulty::{Call, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, StoreError};

use crate::compare::Tree;
use crate::lab::{Hooked, Lab, Machine, World, assert_same_tree, hooked, names, random_bytes, scratch};
use crate::prune_cuts::Scene;
use crate::pruning::{all_goes, assert_no_garbage, forgets, prunes};

/// A store in which `act` happens once, just before operation number `at`.
fn acting_at(store: &Arc<MemoryStore>, at: u64, act: impl Fn(&Arc<MemoryStore>) + Send + Sync + 'static) -> Hooked {
    let (operations, behind) = (AtomicU64::new(0), Arc::clone(store));
    let is_done = AtomicBool::new(false);
    hooked(store, move |_| {
        if operations.fetch_add(1, Ordering::SeqCst) == at && !is_done.swap(true, Ordering::SeqCst) {
            act(&behind);
        }
        Ok(())
    })
}

fn ids(saved: &[(SnapshotId, Tree)]) -> Vec<SnapshotId> {
    saved.iter().map(|(id, _)| *id).collect()
}

/// Snapshots that have gone stay gone, and one prune leaves nothing else.
fn assert_settled(scene: &Scene, machine: &Machine, store: &Arc<MemoryStore>, saved: &[(SnapshotId, Tree)], at: u64) {
    let context = format!("at operation {at}");
    let whole = |when: &str| {
        let found = machine.check(store);
        assert!(found.problems().is_empty(), "{context}, {when}: {:?}", found.problems());
        for (id, tree) in saved {
            assert_same_tree(tree, &machine.restored(store, *id, &scene.lab.source));
        }
    };
    whole("at once");
    prunes(machine, store, &all_goes(), &World::at(200)).expect(&context);
    whole("after a prune");
    assert_no_garbage(machine, store, &ids(saved).into_iter().collect(), &context);
}

/// A scene with all forgotten that is to go, and how many operations a prune of it takes.
fn forgotten_scene() -> (Scene, u64) {
    let scene = Scene::with_sparse_packs();
    forgets(&scene.lab.machine, &scene.lab.store, &scene.forgotten, &World::at(50)).unwrap();
    let folder = scratch();
    let counting = Arc::new(FaultyStore::counting(scene.copy(), Operations::All));
    prunes(&scene.pruner.copied_to(folder.path()), &counting, &all_goes(), &World::at(100)).unwrap();
    (scene, counting.operations())
}

#[test]
fn a_prune_within_a_prune_at_any_operation_loses_nothing() {
    let (scene, operations) = forgotten_scene();
    for at in 0..operations {
        let folder = scratch();
        let (outer, inner) = (scene.pruner.copied_to(folder.path()), Machine::new(folder.path(), "inner"));
        let store = Arc::new(scene.copy());
        let acting = acting_at(&store, at, move |store| {
            prunes(&inner, store, &all_goes(), &World::at(90)).unwrap();
        });
        prunes(&outer, &acting, &all_goes(), &World::at(100)).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_settled(&scene, &outer, &store, &scene.saved, at);
    }
}

/// What the prune is about to delete is backed up again at any of its steps, by a machine that reads its sources and by one
/// that takes over what it knows of.
#[test]
fn a_backup_within_a_prune_at_any_operation_is_whole() {
    let (scene, operations) = forgotten_scene();
    scene.lab.write("large", &random_bytes("large", 300_000));
    scene.lab.write("first", &random_bytes("first", 30_000));
    let tree = scene.lab.tree();
    let mut rescued = 0;
    for at in 0..operations {
        let folder = scratch();
        let (pruner, writer) = (scene.pruner.copied_to(folder.path()), Machine::new(folder.path(), "writer"));
        let store = Arc::new(scene.copy());
        let (inner, source) = (writer.clone(), scene.lab.source.clone());
        let acting = acting_at(&store, at, move |store| {
            inner.backup(store, &source, &World::at(90)).unwrap();
        });
        let done =
            prunes(&pruner, &acting, &all_goes(), &World::at(100)).unwrap_or_else(|error| panic!("{at}: {error}"));
        rescued += done.rescued;
        let listed = writer.snapshots(&store);
        let new: Vec<SnapshotId> =
            listed.iter().map(|snapshot| snapshot.id).filter(|id| !ids(&scene.saved).contains(id)).collect();
        let [new] = new[..] else { panic!("{at}: one new snapshot: {new:?}") };
        let saved: Vec<_> = scene.saved.iter().cloned().chain([(new, tree.clone())]).collect();
        assert_settled(&scene, &pruner, &store, &saved, at);
    }
    assert!(rescued > 0, "what was condemned is needed again, at times");
}

/// All that the backup takes over is forgotten and pruned away at any of its steps: it stores again what is missing.
#[test]
fn a_backup_that_everything_is_pruned_away_under_at_any_operation_is_whole() {
    let mut scene = Scene::with_sparse_packs();
    scene.forgotten.extend(ids(&scene.saved));
    scene.saved.clear();
    scene.lab.write("newest", &random_bytes("newest", 20_000));
    let tree = scene.lab.tree();
    let writers = [("that knows the sources", scene.lab.machine.clone()), ("that is new", scene.lab.machine("new"))];
    for (which, machine) in writers {
        let (mut repeated, mut at) = (0, 0);
        loop {
            let folder = scratch();
            let pruner = Machine::new(folder.path(), "pruner");
            let store = Arc::new(scene.copy());
            let is_reached = Arc::new(AtomicBool::new(false));
            let (reached, forgotten) = (Arc::clone(&is_reached), scene.forgotten.clone());
            let acting = acting_at(&store, at, move |store| {
                reached.store(true, Ordering::SeqCst);
                forgets(&pruner, store, &forgotten, &World::at(80)).unwrap();
                prunes(&pruner, store, &all_goes(), &World::at(90)).unwrap();
            });
            // The catalog is that of a machine that has seen the old snapshots, whatever became of them in other turns.
            let machine = machine.copied_with_cache_to(folder.path());
            let report = machine.backup(&acting, &scene.lab.source, &World::at(100));
            let report = report.unwrap_or_else(|error| panic!("a writer {which}, {at}: {error}"));
            if !is_reached.load(Ordering::SeqCst) {
                break;
            }
            repeated += u64::from(!names(&store, ObjectKind::Forgotten).is_empty());
            assert_settled(&scene, &machine, &store, &[(report.snapshot, tree.clone())], at);
            at += 1;
        }
        assert!(at > 15, "{at}");
        assert!(repeated > 0, "a writer {which}: some were overtaken");
    }
}

/// The run is stopped at one of its operations for as long as anybody likes, everything is pruned away twice, and it goes on.
#[test]
fn a_pending_whose_writer_stands_still_is_a_root_and_its_commit_is_whole() {
    let lab = Lab::new();
    lab.write_old_tree();
    let store = Arc::clone(&lab.store);
    let pruner = lab.machine("pruner");
    let put = AtomicBool::new(false);
    let behind = Arc::clone(&store);
    let acting = hooked(&store, move |call| {
        if matches!(call, Call::Put(name) if name.kind() == ObjectKind::Snapshots) && !put.swap(true, Ordering::SeqCst)
        {
            for secs in [50, 60] {
                let done = prunes(&pruner, &behind, &all_goes(), &World::at(secs)).unwrap();
                assert_eq!(done.deleted.packs, 0, "all that is announced is needed");
            }
        }
        Ok(())
    });
    let report = lab.machine.backup(&acting, &lab.source, &World::at(1)).unwrap();
    assert_same_tree(&lab.tree(), &lab.machine.restored(&store, report.snapshot, &lab.source));
    prunes(&lab.machine, &store, &all_goes(), &World::at(70)).unwrap();
    assert_no_garbage(&lab.machine, &store, &BTreeSet::from([report.snapshot]), "at the end");
}

/// Whoever reads meanwhile, beginning at any step, sees what is kept, whole, and nothing of what is not.
#[test]
fn a_reader_at_any_operation_of_a_prune_sees_what_is_kept() {
    let (scene, operations) = forgotten_scene();
    for at in 0..operations {
        let folder = scratch();
        let (pruner, reader) = (scene.pruner.copied_to(folder.path()), Machine::new(folder.path(), "reader"));
        let store = Arc::new(scene.copy());
        let (kept, source) = (scene.saved.clone(), scene.lab.source.clone());
        let gone = scene.forgotten.clone();
        let acting = acting_at(&store, at, move |store| {
            let listed: Vec<SnapshotId> = reader.snapshots(store).iter().map(|snapshot| snapshot.id).collect();
            assert_eq!(listed, ids(&kept));
            for (id, tree) in &kept {
                assert_same_tree(tree, &reader.restored(store, *id, &source));
            }
            let refused = forgets(&reader, store, &gone[..1], &World::at(95));
            assert!(matches!(refused, Err(Error::NoSuchSnapshot { .. })), "{refused:?}");
        });
        prunes(&pruner, &acting, &all_goes(), &World::at(100)).unwrap();
    }
}

/// A writer relies on what is pruned away before it announces anything, and dies before it can find out: what it announced is
/// not whole, and never will be committed.
#[test]
fn what_was_announced_too_late_by_a_writer_that_is_gone_stops_no_prune() {
    let lab = Lab::new();
    lab.write_old_tree();
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    forgets(&lab.machine, &lab.store, &[first], &World::at(2)).unwrap();
    let (writer, pruner) = (lab.machine("writer"), lab.machine("pruner"));
    let (is_dead, behind, first_pruner) = (AtomicBool::new(false), Arc::clone(&lab.store), pruner.clone());
    let dying = hooked(&lab.store, move |call| {
        if is_dead.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable(std::io::ErrorKind::NotConnected.into()));
        }
        if matches!(call, Call::Put(name) if name.kind() == ObjectKind::Pending) {
            prunes(&first_pruner, &behind, &all_goes(), &World::at(50)).unwrap();
            is_dead.store(true, Ordering::SeqCst);
        }
        Ok(())
    });
    writer.backup(&dying, &lab.source, &World::at(3)).unwrap_err();
    assert_eq!(names(&lab.store, ObjectKind::Pending).len(), 1);
    assert!(names(&lab.store, ObjectKind::Trees).is_empty(), "nothing of it is there");

    lab.write("dropped", &random_bytes("dropped", 50_000));
    let second = lab.machine.backup(&lab.store, &lab.source, &World::at(4)).unwrap().snapshot;
    std::fs::remove_file(lab.source.join("dropped")).unwrap();
    lab.write("kept", &random_bytes("another", 50_000));
    let third = lab.machine.backup(&lab.store, &lab.source, &World::at(5)).unwrap().snapshot;
    forgets(&lab.machine, &lab.store, &[second], &World::at(6)).unwrap();
    let done = prunes(&pruner, &lab.store, &all_goes(), &World::at(60)).unwrap();
    assert!(done.deleted.packs > 0 && done.damaged == 0 && !done.is_missing, "{done:?}");
    assert_eq!(names(&lab.store, ObjectKind::Pending).len(), 1, "its writer alone may say that it is dead");
    assert!(lab.machine.check(&lab.store).problems().is_empty());
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, third, &lab.source));

    prunes(&writer, &lab.store, &all_goes(), &World::at(70)).unwrap();
    assert_no_garbage(&writer, &lab.store, &[third].into(), "when it has come back");
}
