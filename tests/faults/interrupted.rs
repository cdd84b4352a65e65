//! What an interrupted or killed run has uploaded is not uploaded again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::backup::Report;
use caddis::error::Error;
use caddis::format::name::TreePath;
use caddis::index::Counts;
use caddis::listing;
use caddis::progress::Cancel;
use caddis::repo::fetch::Reader;
use caddis::store::faulty::{Call, CountingStore};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName};

use crate::cuts::dying_at_put;
use crate::lab::{Lab, Machine, World, assert_same_tree, hooked, names, random_bytes};

const FILES: usize = 24;

/// A source that makes about as many packs as it has files.
fn lab_with_much_to_store() -> Lab {
    let lab = Lab::new();
    for number in 0..FILES {
        lab.write(&format!("file {number:02}"), &random_bytes(&format!("file {number}"), 1 << 20));
    }
    // So that all runs know the machine, and store nothing but the source.
    lab.machine.open(&lab.store, &World::at(0)).unwrap().introduce_self(&World::at(0).cx()).unwrap();
    lab
}

fn indexed(machine: &Machine, store: &Arc<MemoryStore>) -> (Counts, BTreeSet<ObjectName>) {
    let world = World::at(0);
    let repository = machine.open(store, &world).unwrap();
    let view = repository.look(&world.cx()).unwrap();
    let packs = view.index.packs().unwrap().map(|pack| pack.unwrap().name()).collect();
    (view.index.counts(), packs)
}

fn packs(store: &MemoryStore) -> BTreeSet<ObjectName> {
    names(store, ObjectKind::Packs).union(&names(store, ObjectKind::Trees)).copied().collect()
}

/// The run that nobody disturbs, and what the index then holds.
fn undisturbed(lab: &Lab) -> (Report, Counts) {
    let store = Arc::new((*lab.store).clone());
    let folder = tempfile::tempdir().unwrap();
    let machine = lab.machine.copied_to(folder.path());
    let report = machine.backup(&store, &lab.source, &World::at(1)).unwrap();
    (report, indexed(&machine, &store).0)
}

/// Goes on after a run that did not end, and stores exactly what that one had not made known.
fn go_on(lab: &Lab, machine: &Machine, store: &Arc<MemoryStore>) -> Report {
    let (whole, counts) = undisturbed(lab);
    let (before, _) = indexed(machine, store);
    let counting = Arc::new(CountingStore::new(Arc::clone(store)));
    let report = machine.backup(&counting, &lab.source, &World::at(3)).unwrap();
    assert_eq!(report.tree, whole.tree);
    assert_eq!(report.new_chunks, counts.chunks - before.chunks, "each chunk is stored once");
    assert_eq!(indexed(machine, store).0.chunks, counts.chunks);
    let data = counting.counts_of(ObjectKind::Packs);
    assert!(data.put_bytes < whole.summary.stored_bytes, "less than the whole is uploaded");
    assert_same_tree(&lab.tree(), &machine.restored(store, report.snapshot, &lab.source));
    let found = machine.check(store);
    assert!(found.problems().is_empty(), "{:?}", found.problems());
    report
}

#[test]
fn an_interrupted_run_makes_known_what_it_has_uploaded_and_the_next_one_stores_the_rest() {
    let lab = lab_with_much_to_store();
    let (whole, _) = undisturbed(&lab);
    for interrupted_at in [0, 1, 5, 11] {
        let folder = tempfile::tempdir().unwrap();
        let machine = lab.machine.copied_to(folder.path());
        let store = Arc::new((*lab.store).clone());
        let world = World::at(2);
        let (cancel, puts): (Cancel, AtomicU64) = (world.cancel.clone(), AtomicU64::new(0));
        let hooked = hooked(&store, move |call| {
            if matches!(call, Call::Put(name) if name.kind() == ObjectKind::Packs)
                && puts.fetch_add(1, Ordering::SeqCst) == interrupted_at
            {
                cancel.cancel();
            }
            Ok(())
        });
        let interrupted = machine.backup(&hooked, &lab.source, &world).unwrap_err();
        assert!(matches!(interrupted, Error::Interrupted), "{interrupted}");
        assert_eq!(interrupted.exit_code(), 130);
        assert!(names(&store, ObjectKind::Snapshots).is_empty());
        assert!(names(&store, ObjectKind::Pending).is_empty());

        let uploaded = packs(&store);
        assert!(u64::try_from(uploaded.len()).unwrap() > interrupted_at);
        assert!(uploaded.len() < FILES, "it ended before all was uploaded");
        assert_eq!(indexed(&machine, &store).1, uploaded, "all that was uploaded is known");
        let report = go_on(&lab, &machine, &store);
        assert!(report.summary.new_bytes < whole.summary.new_bytes);
    }
}

#[test]
fn a_run_that_is_killed_does_not_store_again_what_an_interim_segment_names() {
    let lab = lab_with_much_to_store();
    let (whole, _) = undisturbed(&lab);
    let store = Arc::new((*lab.store).clone());
    // It dies when it is about to put its second segment.
    let segments = AtomicU64::new(0);
    let dying = hooked(&store, move |call| {
        if matches!(call, Call::Put(name) if name.kind() == ObjectKind::Index) {
            segments.fetch_add(1, Ordering::SeqCst);
        }
        match segments.load(Ordering::SeqCst) {
            0 | 1 => Ok(()),
            _ => Err(caddis::store::StoreError::Unreachable(std::io::ErrorKind::NotConnected.into())),
        }
    });
    lab.machine.backup(&dying, &lab.source, &World::at(2)).unwrap_err();
    let (counts, known) = indexed(&lab.machine, &store);
    assert!(counts.packs >= 4 && counts.chunks > 0, "{counts:?}");
    assert!(known.len() < packs(&store).len(), "some packs are known to nobody");
    let report = go_on(&lab, &lab.machine, &store);
    assert!(report.summary.new_bytes < whole.summary.new_bytes - (3 << 20), "{}", report.summary.new_bytes);
}

#[test]
fn a_run_that_is_killed_before_its_commit_leaves_nothing_to_store_but_its_snapshot() {
    let lab = lab_with_much_to_store();
    let store = Arc::new((*lab.store).clone());
    lab.machine.backup(&dying_at_put(&store, ObjectKind::Pending), &lab.source, &World::at(2)).unwrap_err();
    let before = packs(&store);
    let report = lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap();
    assert_eq!(report.new_chunks, 0);
    assert_eq!(packs(&store), before);
    assert_same_tree(&lab.tree(), &lab.machine.restored(&store, report.snapshot, &lab.source));
}

/// Asks for the end with the first bytes that it gets.
struct FirstBytes<'a>(&'a Cancel);

impl std::io::Write for FirstBytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.cancel();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_prints_a_hole_without_end_can_be_interrupted() {
    let lab = Lab::new();
    lab.write("hole", b"");
    std::fs::File::options().write(true).open(lab.source.join("hole")).unwrap().set_len(1 << 43).unwrap();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let world = World::at(2);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let snapshot = repository.snapshots(&world.cx()).unwrap().remove(0);
    let reader = Reader::open(&repository, &world.cx()).unwrap();
    let path = TreePath::from_typed(lab.source.join("hole").as_os_str().as_encoded_bytes()).unwrap();
    let printed = listing::cat(&reader, &snapshot, &path, &mut FirstBytes(&world.cancel), &world.cx());
    assert!(matches!(printed, Err(Error::Interrupted)));
}
