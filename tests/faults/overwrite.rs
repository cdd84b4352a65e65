//! A restore over what is there: no name ever stands for half a file, and a restore that was stopped goes on.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use caddis::error::Error;
use caddis::progress::Progress;
use caddis::restore::Overwrite;
use caddis::store::faulty::{Call, CountingStore};
use caddis::store::{ObjectKind, Store, StoreError};

use crate::compare::snapshot_of;
use crate::lab::{
    Lab, PACK_BYTES, World, assert_same_tree, hooked, names, random_bytes, restore_heard_by, restore_over, restore_to,
};

/// Several for each pack, and ten packs or so.
const FILES: usize = 48;
const FILE_BYTES: usize = 200_000;

fn lab_with_files() -> Lab {
    let lab = Lab::new();
    for number in 0..FILES {
        lab.write(&format!("file{number}"), &random_bytes(&format!("file{number}"), FILE_BYTES));
    }
    std::fs::hard_link(lab.source.join("file0"), lab.source.join("link0")).unwrap();
    lab
}

fn is_data(call: &Call<'_>) -> bool {
    matches!(call, Call::Get(name) if name.kind() == ObjectKind::Packs)
}

#[test]
fn a_stopped_restore_goes_on_and_reads_nothing_again_of_what_is_whole() {
    let lab = lab_with_files();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let packs = names(&lab.store, ObjectKind::Packs).len() as u64;
    assert!(packs > 6);
    for stop in [0, 1, packs / 2, packs - 1] {
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
        restore_to(&repository, saved, &lab.source, &target, &world).unwrap_err();
        let whole = std::fs::read_dir(&target).unwrap().count();

        let counting = Arc::new(CountingStore::new(Arc::clone(&lab.store)));
        let repository = lab.machine.open(&counting, &world).unwrap();
        let overwrite = Some(Overwrite::IfChanged);
        let report = restore_over(&repository, saved, &lab.source, &target, overwrite, &world).unwrap();
        assert_same_tree(&lab.tree(), &snapshot_of(&target));
        let names = FILES + 1;
        assert_eq!((report.kept, report.files), (whole as u64, (names - whole) as u64), "after {stop} reads");
        assert_eq!(report.bytes, ((names - whole) * FILE_BYTES) as u64, "after {stop} reads");
        if stop == packs - 1 {
            // What the last pack holds of files is missing, and the first and the last of them begin or end in others.
            let read = counting.counts_of(ObjectKind::Packs).got_bytes;
            assert!(read <= 3 * u64::from(PACK_BYTES), "{read} bytes were read of {packs} packs");
            assert!(whole > FILES / 2, "{whole} files were whole");
        }
    }
}

/// Keeps what is worth a word.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn who_interrupts_a_restore_is_told_how_to_go_on() {
    let lab = lab_with_files();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let world = World::at(2);
    let (cancel, reads) = (world.cancel.clone(), AtomicU64::new(0));
    let store = hooked(&lab.store, move |call| {
        if is_data(&call) && reads.fetch_add(1, Ordering::SeqCst) == 2 {
            cancel.cancel();
        }
        Ok(())
    });
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let repository = lab.machine.open(&store, &world).unwrap();
    let notes = Notes::default();
    let cx = world.heard_by(&notes);
    let error = restore_heard_by(&repository, saved, &lab.source, &target, None, &cx).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    let notes = notes.0.into_inner().unwrap();
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert!(note.contains("files came back") && note.contains("`--overwrite if-changed` goes on"), "{note}");
    assert!(std::fs::read_dir(&target).unwrap().count() < FILES);
}

#[test]
fn a_name_stands_for_the_old_file_or_the_whole_new_one_whenever_somebody_looks() {
    let lab = lab_with_files();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    for stop in [2, u64::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::fs::create_dir(&target).unwrap();
        let files: Vec<_> = (0..FILES).map(|number| format!("file{number}")).chain(["link0".to_owned()]).collect();
        for name in &files {
            std::fs::write(target.join(name), "old").unwrap();
        }
        let look = {
            let (source, target, files) = (lab.source.clone(), target.clone(), files.clone());
            move || {
                for name in &files {
                    let found = std::fs::read(target.join(name)).unwrap();
                    assert!(found == b"old" || found == std::fs::read(source.join(name)).unwrap(), "{name}");
                }
            }
        };
        let reads = AtomicU64::new(0);
        let look_at_reads = look.clone();
        let store = hooked(&lab.store, move |call| {
            if is_data(&call) {
                look_at_reads();
                if reads.fetch_add(1, Ordering::SeqCst) >= stop {
                    return Err(StoreError::Unreachable(io::ErrorKind::NotConnected.into()));
                }
            }
            Ok(())
        });
        let world = World::at(2);
        let repository = lab.machine.open(&store, &world).unwrap();
        let done = restore_over(&repository, saved, &lab.source, &target, Some(Overwrite::Always), &world);
        assert_eq!(done.is_ok(), stop == u64::MAX);
        look();
        // Neither way is anything left lying around.
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), files.len());
    }
}

#[test]
fn what_cannot_be_brought_back_leaves_what_was_there() {
    let lab = lab_with_files();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    for name in names(&lab.store, ObjectKind::Packs) {
        lab.store.delete(&name).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    std::fs::create_dir(&target).unwrap();
    for name in ["file0", "link0", "file3"] {
        std::fs::write(target.join(name), "old").unwrap();
    }
    let world = World::at(2);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let report = restore_over(&repository, saved, &lab.source, &target, Some(Overwrite::Always), &world).unwrap();
    assert_eq!((report.files, report.problems), (0, FILES as u64 + 1), "{:?}", world.problems());
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 3);
    for name in ["file0", "link0", "file3"] {
        assert_eq!(std::fs::read(target.join(name)).unwrap(), b"old");
    }
}
