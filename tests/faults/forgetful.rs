//! The state folder on a disk that fails at any one step or loses power: what was saved stays saved, nothing is taken for rolled
//! back that is not, and the next run succeeds.

use std::fs;
use std::sync::Arc;

use caddis::id::{ObjectId, SnapshotId};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};
use rustix::io::Errno;

use crate::compare::Tree;
use crate::cuts::dying_at_put;
use crate::disk::{FailingDisk, Failure, Files, RecordingDisk, Steps, set_files};
use crate::lab::{Lab, Machine, World, assert_same_tree, scratch};

const FAILS_ONCE: Failure = Failure { steps: Steps::All, errno: Errno::IO, lasts: false };
const FAILS: Failure = Failure { steps: Steps::All, errno: Errno::IO, lasts: true };
const FULL: Failure = Failure { steps: Steps::Changes, errno: Errno::NOSPC, lasts: true };

/// What is saved comes back, another backup finds nothing rolled back and settles what runs have left, and nothing is wrong.
fn assert_goes_on(
    lab: &Lab,
    machine: &Machine,
    store: &Arc<impl Store + 'static>,
    saved: &[(SnapshotId, Tree)],
    context: &str,
) {
    for (id, tree) in saved {
        assert_same_tree(tree, &machine.restored(store, *id, &lab.source));
    }
    // Says so if it takes anything for withheld.
    let next = machine.backup(store, &lab.source, &World::at(9)).expect(context).snapshot;
    assert_same_tree(&lab.tree(), &machine.restored(store, next, &lab.source));
    let found = machine.check(store);
    assert!(found.problems().is_empty(), "{context}: {:?}", found.problems());
    assert!(store.list(ObjectKind::Pending).unwrap().is_empty(), "{context}: nothing stays announced");
}

/// Runs that save, and one that dies when it has announced, on a state folder that fails at each of its steps.
fn fail_everywhere(failure: Failure) {
    let lab = Lab::new();
    lab.write_old_tree();
    let old = (lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot, lab.tree());
    lab.write_new_tree();
    // Also of a machine that remembers nothing yet, which makes all that there is.
    for is_new in [false, true] {
        for at in 0.. {
            let context = format!("{failure:?} at step {at}, new: {is_new}");
            let folder = scratch();
            let machine = match is_new {
                true => Machine::new(folder.path(), "new"),
                false => lab.machine.copied_to(folder.path()),
            };
            let store = Arc::new((*lab.store).clone());
            let disk = FailingDisk::new(&machine.places.state, failure, at);
            let failing = machine.watched_by(disk.clone());
            let dying = dying_at_put(&store, ObjectKind::Snapshots);
            assert!(failing.backup(&dying, &lab.source, &World::at(2)).is_err(), "{context}");
            let mut saved = vec![old.clone()];
            if let Ok(report) = failing.backup(&store, &lab.source, &World::at(3)) {
                saved.push((report.snapshot, lab.tree()));
            }
            assert_goes_on(&lab, &machine, &store, &saved, &context);
            if !disk.has_failed() {
                assert!(at > 10 && saved.len() == 2, "{context}");
                break;
            }
        }
    }
}

#[test]
fn an_error_of_the_disk_below_the_state_folder_loses_nothing() {
    fail_everywhere(FAILS_ONCE);
}

#[test]
fn a_disk_below_the_state_folder_that_dies_or_is_full_loses_nothing() {
    fail_everywhere(FAILS);
    fail_everywhere(FULL);
}

/// All objects of a store, by path.
fn files_of(store: &MemoryStore) -> Files {
    store.objects().into_iter().map(|(name, bytes)| (name.path(), bytes)).collect()
}

fn store_of(files: &Files) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for (path, bytes) in files {
        let kind = ObjectKind::ALL.into_iter().find(|kind| path.split('/').next() == Some(kind.folder())).unwrap();
        let name = match path.rsplit_once('/') {
            Some((_, id)) => ObjectName::new(kind, ObjectId::from_hex(id).unwrap()),
            None => ObjectName::CONFIG,
        };
        store.put(&name, bytes).unwrap();
    }
    Arc::new(store)
}

/// The repository is elsewhere and keeps its power.
#[test]
fn a_power_cut_below_the_state_folder_loses_nothing() {
    let lab = Lab::new();
    lab.write_old_tree();
    let (unwatched, behind) = (lab.machine("teller"), Arc::clone(&lab.store));
    let disk = RecordingDisk::new(move || files_of(&behind));
    let machine = unwatched.watched_by(disk.clone());
    let mut saved = Vec::new();
    for secs in 1..=2 {
        // A run that dies when it has announced, and one that withdraws that and saves.
        machine
            .backup(&dying_at_put(&lab.store, ObjectKind::Snapshots), &lab.source, &World::at(10 * secs))
            .unwrap_err();
        let report = machine.backup(&lab.store, &lab.source, &World::at(10 * secs + 1)).unwrap();
        saved.push((report.snapshot, lab.tree()));
        disk.report();
        lab.write("newer", secs.to_string().as_bytes());
    }
    let images = disk.images();
    assert!(images.len() > 40, "{}", images.len());
    for (image, moment) in images {
        let context = format!("{} reported: {:?}", moment.reported, image.files);
        let folder = scratch();
        let machine = Machine::new(folder.path(), "teller");
        image.folders.iter().for_each(|path| fs::create_dir_all(machine.places.state.join(path)).unwrap());
        set_files(&machine.places.state, &disk.files(&image));
        assert_goes_on(&lab, &machine, &store_of(&moment.beside), &saved[..moment.reported], &context);
    }
}
