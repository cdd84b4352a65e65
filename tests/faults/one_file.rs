//! What it takes to get one file out of many.

use std::fs;
use std::sync::Arc;

use caddis::format::name::TreePath;
use caddis::id::SnapshotId;
use caddis::listing;
use caddis::repo::InitOptions;
use caddis::repo::fetch::Reader;
use caddis::store::ObjectKind;
use caddis::store::faulty::CountingStore;
use caddis::store::memory::MemoryStore;

use crate::lab::{Lab, World, random_bytes, restore_to};

/// The budget: reads of packs and trees for a file of 1 MiB, once the local index is there.
const READS_MAX: u64 = 3;

const WANTED: &str = "projects/p17/src/wanted";

/// Thousands of files in hundreds of folders, four levels deep, and among them one of 1 MiB.
fn lab_of_many_files() -> Lab {
    let lab = Lab { store: Arc::new(MemoryStore::new()), ..Lab::new() };
    let machine = lab.machine("beta");
    machine.init_with(&lab.store, InitOptions::default()).unwrap();
    for project in 0..40 {
        for folder in ["src", "doc", "test"] {
            for file in 0..25 {
                let name = format!("projects/p{project}/{folder}/file{file}");
                lab.write(&name, &random_bytes(&name, 300));
            }
        }
    }
    lab.write(WANTED, &random_bytes("wanted", 1 << 20));
    Lab { machine, ..lab }
}

/// Reads of trees and of packs that it takes to restore the file, and to print it.
fn reads(lab: &Lab, id: SnapshotId) -> [[u64; 2]; 2] {
    let store = Arc::new(CountingStore::new(Arc::clone(&lab.store)));
    let world = World::at(100);
    let repository = lab.machine.open(&store, &world).unwrap();
    let wanted = fs::read(lab.source.join(WANTED)).unwrap();
    let count = || {
        let gets = [ObjectKind::Trees, ObjectKind::Packs].map(|kind| store.counts_of(kind).gets);
        store.reset();
        gets
    };
    count();

    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    assert_eq!(restore_to(&repository, id, &lab.source.join(WANTED), &target, &world).unwrap(), 0);
    assert!(fs::read(&target).unwrap() == wanted);
    let restoring = count();

    let snapshots = repository.snapshots(&world.cx()).unwrap();
    let snapshot = snapshots.iter().find(|snapshot| snapshot.id == id).unwrap();
    let reader = Reader::open(&repository, &world.cx()).unwrap();
    let path = TreePath::from_typed(lab.source.join(WANTED).as_os_str().as_encoded_bytes()).unwrap();
    let mut printed = Vec::new();
    listing::cat(&reader, snapshot, &path, &mut printed, &world.cx()).unwrap();
    assert!(printed == wanted);
    [restoring, count()]
}

fn assert_within_budget(reads: [[u64; 2]; 2]) {
    assert!(reads.iter().all(|[trees, packs]| trees + packs <= READS_MAX), "{reads:?}");
}

#[test]
fn one_file_of_a_first_snapshot_takes_one_read_of_trees_and_three_at_most() {
    let lab = lab_of_many_files();
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let reads = reads(&lab, first);
    assert_within_budget(reads);
    assert_eq!(reads.map(|[trees, _]| trees), [1, 1]);
}

#[test]
fn one_file_takes_three_reads_after_many_runs_that_changed_another_folder() {
    let lab = lab_of_many_files();
    let mut snapshots = Vec::new();
    for run in 0..6_u8 {
        snapshots.push(lab.machine.backup(&lab.store, &lab.source, &World::at(i64::from(run))).unwrap().snapshot);
        lab.write("projects/p3/doc/diary", &random_bytes("diary", 100 + usize::from(run)));
    }
    for id in snapshots {
        assert_within_budget(reads(&lab, id));
    }
}

/// What the budget does not cover. A run writes the folders above what has changed, and only those, into a pack of its own. A
/// path thus takes a read for each run that was the last to change one of its folders (of a large folder, the stretch of names
/// that the path leads through): never more than there are folders, and few where it is always the same that changes.
#[test]
fn one_file_takes_a_read_for_each_run_that_its_path_leads_through() {
    let lab = lab_of_many_files();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    lab.write("projects/p17/new", b"changed in the second run");
    lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap();
    lab.write("projects/new", b"changed in the third run");
    let third = lab.machine.backup(&lab.store, &lab.source, &World::at(3)).unwrap().snapshot;
    assert_eq!(reads(&lab, third).map(|[trees, _]| trees), [3, 3]);
}
