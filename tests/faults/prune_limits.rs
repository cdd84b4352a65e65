//! How far a prune goes: what windows, ages and limits keep, and what a rehearsal says of it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use caddis::env::Clock;
use caddis::id::{ObjectId, SnapshotId};
use caddis::progress::Context;
use caddis::prune::{Options, Unused, prune, rehearse};
use caddis::store::faulty::Call;
use caddis::store::local::LocalStore;
use caddis::store::{ObjectKind, ObjectName, Store, StoreError};
use jiff::{Span, Timestamp};

use crate::lab::{Lab, World, assert_same_tree, hooked, names, random_bytes};
use crate::prune_cuts::Scene;
use crate::pruning::{all_goes, assert_no_garbage, forgets, nothing_is_copied, prunes};

const DAY: i64 = 86_400;

/// Two snapshots that have nothing in common; the first one is forgotten at day 10.
fn lab_with_a_forgotten_snapshot() -> (Lab, [SnapshotId; 2]) {
    let lab = Lab::new();
    lab.write("first", &random_bytes("first", 100_000));
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(DAY)).unwrap().snapshot;
    std::fs::remove_file(lab.source.join("first")).unwrap();
    lab.write_old_tree();
    let second = lab.machine.backup(&lab.store, &lab.source, &World::at(2 * DAY)).unwrap().snapshot;
    forgets(&lab.machine, &lab.store, &[first], &World::at(10 * DAY)).unwrap();
    (lab, [first, second])
}

#[test]
fn what_was_forgotten_within_the_window_stays_whole_and_goes_after_it() {
    let (lab, [first, second]) = lab_with_a_forgotten_snapshot();
    let options = Options { undo_window: Span::new().days(7), ..all_goes() };
    let done = prunes(&lab.machine, &lab.store, &options, &World::at(17 * DAY - 1)).unwrap();
    assert_eq!((done.deleted.packs, done.removed, done.freed_bytes()), (0, 0, 0));
    assert!(done.plan.undo_bytes > 100_000, "{done:?}");
    assert_eq!(done.later_bytes(), done.plan.undo_bytes);
    let end = Timestamp::from_second(1_600_000_000 + 17 * DAY).unwrap();
    assert_eq!(done.undo_until, Some((end, end)));
    // Without the record that says that it is forgotten it is as it was.
    let before = Arc::new((*lab.store).clone());
    names(&before, ObjectKind::Forgotten).iter().for_each(|name| before.delete(name).unwrap());
    assert!(lab.machine.check(&before).problems().is_empty());
    assert_eq!(lab.machine.restored(&before, first, &lab.source).len(), 2);

    let done = prunes(&lab.machine, &lab.store, &options, &World::at(17 * DAY)).unwrap();
    assert_eq!((done.deleted.packs, done.removed, done.undo_until), (2, 1, None));
    assert!(done.freed_bytes() > 100_000, "{done:?}");
    assert_no_garbage(&lab.machine, &lab.store, &[second].into(), "after the window");
}

/// Somebody's clock was a year ahead when they forgot a snapshot: with no window at all it goes today all the same.
#[test]
fn no_window_at_all_keeps_nothing_whatever_the_time() {
    let (lab, [_, second]) = lab_with_a_forgotten_snapshot();
    let done = prunes(&lab.machine, &lab.store, &all_goes(), &World::at(3 * DAY)).unwrap();
    assert_eq!((done.removed, done.plan.undo_bytes), (1, 0));
    assert_no_garbage(&lab.machine, &lab.store, &[second].into(), "before it was forgotten, by this clock");
}

#[test]
fn a_window_longer_than_time_itself_is_one() {
    let (lab, _) = lab_with_a_forgotten_snapshot();
    let options = Options { undo_window: Span::new().years(19_000), ..all_goes() };
    let done = prunes(&lab.machine, &lab.store, &options, &World::at(400 * DAY)).unwrap();
    assert_eq!((done.removed, done.undo_until), (0, Some((Timestamp::MAX, Timestamp::MAX))));
}

#[test]
fn a_forgotten_snapshot_whose_bytes_are_damaged_is_reported_and_keeps_nobody_from_pruning() {
    let (lab, [first, second]) = lab_with_a_forgotten_snapshot();
    let name = ObjectName::new(ObjectKind::Snapshots, first);
    assert!(lab.store.corrupt(&name, |bytes| bytes[100] ^= 1));
    let options = Options { undo_window: Span::new().days(7), ..all_goes() };
    let world = World::at(11 * DAY);
    prunes(&lab.machine, &lab.store, &options, &world).unwrap();
    assert!(world.items().contains(name.path().as_bytes()), "{:?}", world.problems());
    prunes(&lab.machine, &lab.store, &all_goes(), &World::at(12 * DAY)).unwrap();
    assert_no_garbage(&lab.machine, &lab.store, &[second].into(), "after the window");
}

/// A repository on a disk.
struct OnDisk {
    lab: Lab,
    store: Arc<LocalStore>,
}

impl OnDisk {
    fn new() -> Self {
        let lab = Lab::new();
        let path = lab.folder.path().join("repository");
        std::fs::create_dir(&path).unwrap();
        let store = Arc::new(LocalStore::create(&path).unwrap());
        // The same machine knows of another repository in memory, which does not matter.
        lab.machine.init(&store).unwrap();
        Self { lab, store }
    }

    fn path(&self) -> PathBuf {
        self.lab.folder.path().join("repository")
    }

    fn packs(&self) -> Vec<ObjectName> {
        let kinds = [ObjectKind::Packs, ObjectKind::Trees];
        let listed =
            |kind| self.store.list(kind).unwrap().into_iter().map(move |found| ObjectName::new(kind, found.id));
        kinds.into_iter().flat_map(listed).collect()
    }

    /// As if the object had been put so many seconds into the story.
    fn date(&self, name: &ObjectName, secs: i64) {
        let path = self.path().join(name.path());
        let since = u64::try_from(1_600_000_000 + secs).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(since)).unwrap();
    }
}

#[test]
fn what_nobody_needs_stays_until_it_is_old_enough() {
    let disk = OnDisk::new();
    let OnDisk { lab, store } = &disk;
    lab.write("file", &random_bytes("file", 100_000));
    let first = lab.machine.backup(store, &lab.source, &World::at(1)).unwrap().snapshot;
    let unneeded = disk.packs();
    lab.write("file", &random_bytes("other", 90_000));
    lab.machine.backup(store, &lab.source, &World::at(2)).unwrap();
    forgets(&lab.machine, store, &[first], &World::at(3)).unwrap();
    // What was put and never named by the index, as by a run that died.
    let orphan = |seed: &str| {
        let bytes = random_bytes(seed, 5_000);
        let name = ObjectName::new(ObjectKind::Packs, ObjectId::of(&bytes));
        store.put(&name, &bytes).unwrap();
        name
    };
    let (old, young) = (orphan("old"), orphan("young"));
    disk.packs().iter().for_each(|name| disk.date(name, 0));
    disk.date(&unneeded[0], 10 * DAY);
    disk.date(&young, 10 * DAY);
    let options = Options { min_age: Span::new().days(1), ..all_goes() };

    let done = prunes(&lab.machine, store, &options, &World::at(11 * DAY - 1)).unwrap();
    assert_eq!((done.plan.young.packs, done.deleted.packs), (2, unneeded.len() as u64), "{done:?}");
    let left = disk.packs();
    assert!(left.contains(&young) && left.contains(&unneeded[0]) && !left.contains(&old));
    let done = prunes(&lab.machine, store, &options, &World::at(11 * DAY)).unwrap();
    assert_eq!((done.plan.young.packs, done.deleted.packs), (0, 2), "{done:?}");
    assert!(!disk.packs().contains(&young) && !disk.packs().contains(&unneeded[0]));
    assert!(lab.machine.check(store).problems().is_empty());
}

/// A pack was lost, and a backup stored again what it held; then it came back, with bytes that are wrong.
#[test]
fn of_two_copies_the_one_that_was_stored_last_stays() {
    let disk = OnDisk::new();
    let OnDisk { lab, store } = &disk;
    lab.write("file", &random_bytes("file", 100_000));
    let first = lab.machine.backup(store, &lab.source, &World::at(1)).unwrap().snapshot;
    let packs = disk.packs();
    let damaged: Vec<(ObjectName, Vec<u8>)> = packs
        .iter()
        .map(|name| {
            let path = disk.path().join(name.path());
            let mut bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            bytes[1_000..].iter_mut().for_each(|byte| *byte ^= 1);
            (*name, bytes)
        })
        .collect();
    let second = lab.machine("other").backup(store, &lab.source, &World::at(2)).unwrap().snapshot;
    disk.packs().iter().for_each(|name| disk.date(name, 2));
    for (name, bytes) in damaged {
        std::fs::write(disk.path().join(name.path()), bytes).unwrap();
        disk.date(&name, 1);
    }
    let done = prunes(&lab.machine, store, &all_goes(), &World::at(3)).unwrap();
    assert_eq!((done.damaged, done.is_missing), (0, false), "{done:?}");
    assert!(done.deleted.packs > 0, "{done:?}");
    assert!(lab.machine.check(store).problems().is_empty());
    for id in [first, second] {
        assert_same_tree(&lab.tree(), &lab.machine.restored(store, id, &lab.source));
    }
}

/// A snapshot needs the larger part of a pack, a forgotten one `dropped` bytes besides.
fn lab_with_a_sparse_pack(dropped: usize) -> (Lab, SnapshotId) {
    let lab = Lab::new();
    lab.write("kept", &random_bytes("kept", 400_000));
    lab.write("dropped", &random_bytes("dropped", dropped));
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    std::fs::remove_file(lab.source.join("dropped")).unwrap();
    let second = lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap().snapshot;
    forgets(&lab.machine, &lab.store, &[first], &World::at(3)).unwrap();
    (lab, second)
}

#[test]
fn a_pack_is_copied_when_more_of_it_is_unneeded_than_may_be() {
    let cases = [
        (10_000, Unused::Percent(5.0), false),
        (60_000, Unused::Percent(5.0), true),
        (60_000, Unused::Percent(20.0), false),
        (60_000, Unused::Bytes(80_000), false),
        (60_000, Unused::Bytes(40_000), true),
        (10_000, Unused::Bytes(0), true),
        (10_000, Unused::Percent(0.0), true),
        (350_000, Unused::Unlimited, false),
    ];
    for (dropped, max_unused, is_copied) in cases {
        let context = format!("{dropped} bytes, {max_unused:?}");
        let (lab, kept) = lab_with_a_sparse_pack(dropped);
        let options = Options { max_unused, ..all_goes() };
        let done = prunes(&lab.machine, &lab.store, &options, &World::at(4)).unwrap();
        // Packs of folders are copied or not by a part of their own.
        assert_eq!(done.plan.unused_bytes < dropped as u64 / 2, is_copied, "{context}: {done:?}");
        assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, kept, &lab.source));
        assert!(lab.machine.check(&lab.store).problems().is_empty(), "{context}");
        let again = prunes(&lab.machine, &lab.store, &options, &World::at(5)).unwrap();
        assert_eq!((again.deleted.packs, again.stored_bytes), (0, 0), "{context}: once is enough");
    }
}

#[test]
fn no_more_is_copied_than_may_be() {
    for (max_repack, is_copied) in [(0, false), (350_000, false), (450_000, true)] {
        let (lab, kept) = lab_with_a_sparse_pack(200_000);
        let options = Options { max_repack, ..all_goes() };
        let done = prunes(&lab.machine, &lab.store, &options, &World::at(4)).unwrap();
        assert_eq!(done.plan.unused_bytes < 100_000, is_copied, "{max_repack}: {done:?}");
        assert!(done.stored_bytes <= max_repack + 50_000, "{max_repack}: {done:?}");
        assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, kept, &lab.source));
    }
}

/// A clock on which a second passes at each look.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[test]
fn a_prune_that_stops_when_its_time_is_over_loses_nothing_and_the_next_one_goes_on() {
    let mut stopped = 0;
    for secs in 0.. {
        let context = format!("{secs} seconds");
        let scene = Scene::with_sparse_packs();
        let Scene { lab, forgotten, .. } = &scene;
        forgets(&lab.machine, &lab.store, forgotten, &World::at(50)).unwrap();
        let (world, clock) = (World::at(60), Ticking::default());
        let cx = Context { clock: &clock, ..world.cx() };
        let mut repository = lab.machine.open(&lab.store, &world).unwrap();
        let options = Options { max_time: Some(Duration::from_secs(secs)), ..all_goes() };
        let done = prune(&mut repository, &options, &mut |_| {}, &cx).unwrap();
        scene.assert_whole(&lab.machine, &lab.store, &context);
        prunes(&lab.machine, &lab.store, &all_goes(), &World::at(70)).unwrap();
        scene.assert_whole(&lab.machine, &lab.store, &context);
        assert_no_garbage(&lab.machine, &lab.store, &scene.kept(), &context);
        if !done.is_stopped && done.repacked > 0 {
            assert!(stopped > 2, "{stopped}");
            return;
        }
        stopped += u64::from(done.is_stopped);
        assert!(secs > 0 || done.deleted.packs == 0, "{context}: {done:?}");
    }
}

#[test]
fn a_rehearsal_changes_nothing_and_says_what_is_done_then() {
    for (options, scene) in [
        (all_goes(), Scene::with_sparse_packs()),
        (Options { undo_window: Span::new().days(7), ..all_goes() }, Scene::with_sparse_packs()),
        (nothing_is_copied(), Scene::with_sparse_packs()),
        (all_goes(), Scene::with_small_packs()),
    ] {
        let Scene { lab, forgotten, .. } = &scene;
        forgets(&lab.machine, &lab.store, forgotten, &World::at(50)).unwrap();
        let reading = hooked(&lab.store, |call| match call {
            Call::Put(_) | Call::Delete(_) => Err(StoreError::ReadOnly),
            _ => Ok(()),
        });
        let world = World::at(60);
        let said = rehearse(&lab.machine.open(&reading, &world).unwrap(), &options, &world.cx()).unwrap();
        let done = prunes(&lab.machine, &lab.store, &options, &World::at(60)).unwrap();
        assert_eq!(format!("{:?}", said.plan), format!("{:?}", done.plan));
        assert_eq!(said.undo_until, done.undo_until);
        assert_eq!(done.deleted.packs, said.plan.delete.packs + said.plan.repack.packs, "{done:?}");
        assert_eq!(done.repacked, said.plan.repack.packs);
    }
}

/// A disk so full that nothing fits on it but what lets space be freed.
#[test]
fn a_disk_without_any_room_is_pruned() {
    for stays_full in [true, false] {
        // The segment of the first snapshot names a pack that goes, and one with a folder that the second one needs.
        let lab = Lab::new();
        lab.write("folder/inner", b"further down");
        lab.write("large", &random_bytes("large", 300_000));
        let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        std::fs::remove_file(lab.source.join("large")).unwrap();
        let second = lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap().snapshot;
        let is_full = AtomicBool::new(true);
        let full = hooked(&lab.store, move |call| match call {
            Call::Put(name) if !matches!(name.kind(), ObjectKind::Gc | ObjectKind::Forgotten) => {
                if is_full.load(Ordering::SeqCst) { Err(StoreError::NoSpace) } else { Ok(()) }
            }
            Call::Delete(name) if matches!(name.kind(), ObjectKind::Packs | ObjectKind::Trees) => {
                is_full.store(stays_full, Ordering::SeqCst);
                Ok(())
            }
            _ => Ok(()),
        });
        forgets(&lab.machine, &full, &[first], &World::at(50)).unwrap();
        let done = prunes(&lab.machine, &full, &all_goes(), &World::at(60)).unwrap();
        assert!(done.deleted.bytes > 300_000 && done.repacked == 0, "{done:?}");
        assert_eq!(done.merged, if stays_full { (0, 0) } else { (1, 1) }, "{done:?}");
        for when in ["full", "with room again"] {
            assert!(lab.machine.check(&lab.store).problems().is_empty(), "{when}");
            assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, second, &lab.source));
            prunes(&lab.machine, &lab.store, &all_goes(), &World::at(70)).unwrap();
        }
        assert_no_garbage(&lab.machine, &lab.store, &[second].into(), "with room again");
    }
}
