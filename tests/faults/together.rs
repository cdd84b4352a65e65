//! Several runs at once wait for nobody and lose nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use caddis::id::{RepositoryId, SnapshotId};
use caddis::repo::state::{Run, State};
use caddis::store::ObjectKind;

use crate::compare::snapshot_of;
use crate::lab::{Lab, Machine, World, assert_same_tree, names, random_bytes};
use crate::rounds::rounds;

/// Folders whose files are partly the same.
fn overlapping_sources(lab: &Lab, count: usize) -> Vec<PathBuf> {
    let make = |number: usize| {
        let source = lab.folder.path().join(format!("source {number}"));
        fs::create_dir(&source).unwrap();
        for file in 0..6 {
            fs::write(source.join(format!("shared {file}")), random_bytes(&format!("shared {file}"), 300_000)).unwrap();
        }
        fs::write(source.join("own"), random_bytes(&format!("own {number}"), 500_000)).unwrap();
        source
    };
    (0..count).map(make).collect()
}

/// Backs up one source from each machine at the same time, several times; all is whole afterwards.
fn back_up_together(lab: &Lab, machines: &[Machine]) {
    let all_rounds = 3 * i64::from(rounds());
    let sources = overlapping_sources(lab, machines.len());
    let barrier = Barrier::new(machines.len());
    let saved: Vec<(SnapshotId, usize)> = thread::scope(|scope| {
        let runs: Vec<_> = machines
            .iter()
            .enumerate()
            .map(|(at, machine)| {
                let (barrier, source) = (&barrier, &sources[at]);
                scope.spawn(move || {
                    let run = |round| {
                        barrier.wait();
                        (machine.backup(&lab.store, source, &World::at(round)).unwrap().snapshot, at)
                    };
                    (1..=all_rounds).map(run).collect::<Vec<_>>()
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    let fresh = lab.machine("fresh");
    let found = fresh.check(&lab.store);
    assert!(found.problems().is_empty(), "{:?}", found.problems());
    let listed: BTreeSet<SnapshotId> = fresh.snapshots(&lab.store).iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(listed, saved.iter().map(|(id, _)| *id).collect());
    for (id, at) in saved {
        assert_same_tree(&snapshot_of(&sources[at]), &fresh.restored(&lab.store, id, &sources[at]));
    }
    assert!(names(&lab.store, ObjectKind::Pending).is_empty());
    assert!(names(&lab.store, ObjectKind::Forgotten).is_empty());
}

#[test]
fn two_machines_back_up_at_once() {
    let lab = Lab::new();
    back_up_together(&lab, &[lab.machine("beta"), lab.machine("gamma")]);
}

#[test]
fn two_runs_of_one_user_back_up_at_once() {
    let lab = Lab::new();
    back_up_together(&lab, &[lab.machine("beta"), lab.machine("beta")]);
}

#[test]
fn a_run_that_begins_while_others_look_for_dead_ones_begins_and_is_known_when_it_dies() {
    // The moment in which a run could be taken for a dead one is short: many look, and many runs begin.
    const LOOKING: usize = 4;
    const DYING: u8 = 100;
    const ENDING: u32 = 4_000;
    let root = tempfile::tempdir().unwrap();
    let state = State::new(&root.path().to_path_buf().into(), &RepositoryId([1; 32]));
    let is_over = AtomicBool::new(false);
    let found = Mutex::new(BTreeSet::new());
    let settle = || {
        for dead in state.dead_runs(&World::at(1).cx()).unwrap() {
            found.lock().unwrap().extend(dead.announced.iter().copied());
            dead.settled();
        }
    };
    let begun = thread::scope(|scope| {
        for _ in 0..LOOKING {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    settle();
                }
            });
        }
        let ended = (0..ENDING * rounds()).try_for_each(|_| state.begin_run().map(Run::finish));
        let died = (0..DYING).try_for_each(|number| {
            // As when its process dies: the file stays and the lock goes.
            state.begin_run()?.announces(SnapshotId([number; 32]))
        });
        is_over.store(true, Ordering::SeqCst);
        ended.and(died)
    });
    begun.unwrap();
    settle();
    assert_eq!(found.into_inner().unwrap().len(), usize::from(DYING), "each was found dead");
}

#[test]
fn a_machine_with_an_old_index_sees_what_others_stored_meanwhile() {
    let lab = Lab::new();
    lab.write_old_tree();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let other = lab.machine("other");
    lab.write("theirs", &random_bytes("theirs", 200_000));
    other.backup(&lab.store, &lab.source, &World::at(2)).unwrap();
    let before = names(&lab.store, ObjectKind::Packs);
    let report = lab.machine.backup(&Arc::clone(&lab.store), &lab.source, &World::at(3)).unwrap();
    assert_eq!(report.new_chunks, 0);
    assert_eq!(names(&lab.store, ObjectKind::Packs), before);
}
