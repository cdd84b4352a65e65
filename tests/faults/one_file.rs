//! What it takes to get one file out of many.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caddis::format::name::TreePath;
use caddis::id::SnapshotId;
use caddis::listing;
use caddis::repo::InitOptions;
use caddis::repo::fetch::Reader;
use caddis::store::faulty::CountingStore;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, Store};

use crate::lab::{Lab, Machine, World, random_bytes, restore_to};

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

/// Reads of trees and of packs that it takes a machine to restore the file, and then to print it.
fn reads(lab: &Lab, machine: &Machine, id: SnapshotId) -> [[u64; 2]; 2] {
    let store = Arc::new(CountingStore::new(Arc::clone(&lab.store)));
    let world = World::at(100);
    let repository = machine.open(&store, &world).unwrap();
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

/// A snapshot whose path to the file leads through folders of five runs.
fn snapshot_of_many_runs(lab: &Lab) -> SnapshotId {
    let mut newest = None;
    for (run, changed) in ["", "projects/p17/src", "projects/p17", "projects", "."].into_iter().enumerate() {
        if run > 0 {
            lab.write(&format!("{changed}/new"), &random_bytes(changed, 300));
        }
        let world = World::at(i64::try_from(run).unwrap());
        newest = Some(lab.machine.backup(&lab.store, &lab.source, &world).unwrap().snapshot);
    }
    newest.unwrap()
}

/// The packs of trees that a machine keeps.
fn kept(machine: &Machine) -> Vec<PathBuf> {
    let repositories = fs::read_dir(&machine.places.cache).unwrap();
    repositories
        .flat_map(|repository| fs::read_dir(repository.unwrap().path().join("trees")).unwrap())
        .map(|kept| kept.unwrap().path())
        .collect()
}

fn assert_within_budget(reads: [[u64; 2]; 2]) {
    assert!(reads.iter().all(|[trees, packs]| trees + packs <= READS_MAX), "{reads:?}");
}

#[test]
fn one_file_of_a_first_snapshot_takes_one_read_of_trees_and_three_at_most() {
    let lab = lab_of_many_files();
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let reads = reads(&lab, &lab.machine("gamma"), first);
    assert_within_budget(reads);
    assert_eq!(reads.map(|[trees, _]| trees), [1, 0]);
}

#[test]
fn one_file_takes_three_reads_after_many_runs_that_changed_another_folder() {
    let lab = lab_of_many_files();
    let mut snapshots = Vec::new();
    for run in 0..6_u8 {
        snapshots.push(lab.machine.backup(&lab.store, &lab.source, &World::at(i64::from(run))).unwrap().snapshot);
        lab.write("projects/p3/doc/diary", &random_bytes("diary", 100 + usize::from(run)));
    }
    for (number, id) in snapshots.into_iter().enumerate() {
        assert_within_budget(reads(&lab, &lab.machine(&format!("reader {number}")), id));
    }
}

#[test]
fn who_has_made_the_snapshots_reads_no_trees() {
    let lab = lab_of_many_files();
    let newest = snapshot_of_many_runs(&lab);
    let reads = reads(&lab, &lab.machine, newest);
    assert_within_budget(reads);
    assert_eq!(reads.map(|[trees, _]| trees), [0, 0]);
}

/// What the budget does not cover. A run writes the folders above what has changed, and only those, into a pack of its own. A
/// path thus takes a read for each run that was the last to change one of its folders (of a large folder, the stretch of names
/// that the path leads through): never more than there are folders, and only once.
#[test]
fn a_new_machine_reads_once_for_each_run_that_a_path_leads_through() {
    let lab = lab_of_many_files();
    let newest = snapshot_of_many_runs(&lab);
    let gamma = lab.machine("gamma");
    assert_eq!(reads(&lab, &gamma, newest).map(|[trees, _]| trees), [5, 0]);
    assert_eq!(reads(&lab, &gamma, newest).map(|[trees, _]| trees), [0, 0]);
}

#[test]
fn what_is_wrong_in_the_cache_is_read_from_the_store() {
    let lab = lab_of_many_files();
    let newest = snapshot_of_many_runs(&lab);
    let packs = kept(&lab.machine);
    assert!(packs.len() >= 4, "{packs:?}");
    let spoil: [&dyn Fn(&Path); 5] = [
        &|pack| {
            let mut bytes = fs::read(pack).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(pack, bytes).unwrap();
        },
        &|pack| File::options().write(true).open(pack).unwrap().set_len(1000).unwrap(),
        &|pack| fs::write(pack, []).unwrap(),
        &|pack| {
            let len = usize::try_from(fs::metadata(pack).unwrap().len()).unwrap();
            fs::write(pack, vec![0; len]).unwrap();
        },
        &|pack| {
            fs::remove_file(pack).unwrap();
            symlink("/dev/zero", pack).unwrap();
        },
    ];
    for spoil in spoil {
        packs.iter().for_each(|pack| spoil(pack));
        assert!(reads(&lab, &lab.machine, newest)[0][0] >= 4);
        // What was spoilt is gone, and what was read instead is kept.
        assert_eq!(reads(&lab, &lab.machine, newest).map(|[trees, _]| trees), [0, 0]);
    }
}

#[test]
fn a_check_does_not_take_the_cache_for_the_store() {
    let lab = lab_of_many_files();
    snapshot_of_many_runs(&lab);
    let name = *lab.store.objects().keys().find(|name| name.kind() == ObjectKind::Trees).unwrap();
    lab.store.delete(&name).unwrap();
    assert!(!lab.machine.check(&lab.store).problems().is_empty());
}
