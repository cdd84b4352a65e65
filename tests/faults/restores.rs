//! What a restore leaves behind when it is stopped, and how a later backup heals what a disk has lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::error::Error;
use caddis::store::faulty::{Call, CountingStore};
use caddis::store::{ObjectKind, Store, StoreError};

use crate::compare::snapshot_of;
use crate::lab::{Lab, World, assert_same_tree, hooked, names, random_bytes, restore_to};

/// A stopped restore left files of the right name with wrong bytes.
#[test]
fn a_restore_that_is_stopped_leaves_no_file_that_is_not_whole() {
    let lab = Lab::new();
    for number in 0..6 {
        lab.write(&format!("file{number}"), &random_bytes(&format!("file{number}"), 1_500_000));
    }
    std::fs::hard_link(lab.source.join("file0"), lab.source.join("link0")).unwrap();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let is_data = |call: &Call<'_>| matches!(call, Call::Get(name) if name.kind() == ObjectKind::Packs);
    for stop in 0..4 {
        let reads = AtomicU64::new(0);
        let store = hooked(&lab.store, move |call| {
            if is_data(&call) && reads.fetch_add(1, Ordering::SeqCst) >= stop {
                return Err(StoreError::Unreachable(io::ErrorKind::NotConnected.into()));
            }
            Ok(())
        });
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        let world = World::at(2);
        let repository = lab.machine.open(&store, &world).unwrap();
        let error = restore_to(&repository, saved, &lab.source, &target, &world).unwrap_err();
        assert!(matches!(error, Error::Store { .. }), "{error:?}");
        for entry in std::fs::read_dir(&target).unwrap() {
            let name = entry.unwrap().file_name();
            let (found, wanted) = (target.join(&name), lab.source.join(&name));
            assert!(std::fs::read(found).unwrap() == std::fs::read(wanted).unwrap(), "{name:?} after {stop} reads");
        }
    }
}

/// Files are made when their bytes are there, and so later than the folder around them.
#[test]
fn a_name_that_somebody_takes_meanwhile_is_left_alone() {
    let lab = Lab::new();
    for name in ["taken", "free", "empty"] {
        lab.write(name, &random_bytes(name, if name == "empty" { 0 } else { 100_000 }));
    }
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let taken = target.join("taken");
    let store = hooked(&lab.store, move |call| {
        if call.kind() == ObjectKind::Packs {
            std::fs::write(&taken, "somebody else's").unwrap();
        }
        Ok(())
    });
    let world = World::at(2);
    let repository = lab.machine.open(&store, &world).unwrap();
    assert_eq!(restore_to(&repository, saved, &lab.source, &target, &world).unwrap(), 1);
    let problems = world.problems();
    assert!(matches!(&problems[..], [one] if one.contains("taken: cannot create it")), "{problems:?}");
    assert_eq!(std::fs::read(target.join("taken")).unwrap(), b"somebody else's");
    for name in ["free", "empty"] {
        assert!(std::fs::read(target.join(name)).unwrap() == std::fs::read(lab.source.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn a_restore_reads_each_pack_once_and_no_block_twice() {
    let lab = Lab::new();
    for number in 0..600 {
        let name = format!("folder{}/file{number}", number % 7);
        lab.write(&name, &random_bytes(&name, 10 * number));
    }
    lab.write("large", &random_bytes("large", 6_000_000));
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let store = Arc::new(CountingStore::new(Arc::clone(&lab.store)));
    assert_same_tree(&snapshot_of(&lab.source), &lab.machine.restored(&store, saved, &lab.source));
    for kind in [ObjectKind::Packs, ObjectKind::Trees] {
        let packs: Vec<_> = lab.store.objects().into_iter().filter(|(name, _)| name.kind() == kind).collect();
        let work = store.counts_of(kind);
        assert!(work.gets <= packs.len() as u64, "{kind:?}: {work:?} for {} packs", packs.len());
        assert!(work.got_bytes <= packs.iter().map(|(_, bytes)| bytes.len() as u64).sum(), "{kind:?}: {work:?}");
    }
}

/// A backup relied on what the index said of a pack that was gone, and reported as saved what nobody could restore.
#[test]
fn a_backup_stores_again_what_was_in_a_pack_that_is_gone() {
    let lab = Lab::new();
    lab.write_old_tree();
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    for name in names(&lab.store, ObjectKind::Packs) {
        lab.store.delete(&name).unwrap();
    }
    let second = lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap();
    assert!(second.summary.new_bytes > 0);
    let source = snapshot_of(&lab.source);
    for id in [second.snapshot, first.snapshot] {
        assert_same_tree(&source, &lab.machine.restored(&lab.store, id, &lab.source));
    }
}
