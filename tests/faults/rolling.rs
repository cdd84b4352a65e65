//! A rolling check reads what was proved longest ago, as far as its time goes, and remembers it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caddis::check::{self, Proof, ReadData, Report, Subset, Verdict, check};
use caddis::env::Clock;
use caddis::progress::{Cancel, Context, Progress};
use caddis::store::memory::MemoryStore;
use caddis::store::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};
use jiff::Timestamp;

use crate::lab::{Lab, Machine, World, names, random_bytes};

const DAY: i64 = 86_400;

/// A store that knows which packs were read whole, in which order; to read one takes a second.
struct SlowStore {
    store: Arc<MemoryStore>,
    read: Mutex<Vec<ObjectName>>,
    /// Somebody interrupts when so many have been read.
    cancel: Option<(usize, Cancel)>,
}

impl Store for SlowStore {
    fn location(&self) -> String {
        self.store.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.put(name, bytes)
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        let is_pack = matches!(name.kind(), ObjectKind::Packs | ObjectKind::Trees);
        if is_pack && matches!(range, ByteRange::Whole { .. }) {
            let mut read = self.read.lock().unwrap();
            read.push(*name);
            if let Some((_, cancel)) = self.cancel.as_ref().filter(|(at, _)| read.len() == *at) {
                cancel.cancel();
            }
        }
        self.store.get(name, range)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        self.store.list(kind)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.store.delete(name)
    }
}

/// The clock by which that takes a second.
struct StoreClock {
    now: Timestamp,
    store: Arc<SlowStore>,
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.store.read.lock().unwrap().len() as u64)
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// What came of a check.
struct Run {
    report: Report,
    /// Packs that were read whole, in that order.
    read: Vec<ObjectName>,
    notes: Vec<String>,
}

impl Run {
    fn proof(&self) -> &Proof {
        self.report.proof.as_ref().unwrap()
    }
}

/// A machine with some packs of data and one of trees.
fn saved_lab() -> Lab {
    let lab = Lab::new();
    for number in 0..6 {
        lab.write(&format!("file {number}"), &random_bytes(&number.to_string(), 900_000));
    }
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    lab
}

fn run(lab: &Lab, day: i64, read_data: ReadData) -> Run {
    run_until(lab, &lab.machine, day, read_data, None)
}

fn rolling(lab: &Lab, day: i64, budget_secs: u64) -> Run {
    run(lab, day, ReadData::Rolling { budget: Duration::from_secs(budget_secs) })
}

/// On one thread, so that what is read in a second is a matter of arithmetic.
fn run_until(lab: &Lab, machine: &Machine, day: i64, read_data: ReadData, interrupted_at: Option<usize>) -> Run {
    let (world, notes) = (World::at(day * DAY), Notes::default());
    let cancel = interrupted_at.map(|at| (at, world.cancel.clone()));
    let store = Arc::new(SlowStore { store: lab.store.clone(), read: Mutex::default(), cancel });
    let repository = machine.open(&store, &world).unwrap();
    store.read.lock().unwrap().clear();
    let clock = StoreClock { now: world.cx().clock.now(), store: store.clone() };
    let cx = Context { clock: &clock, progress: &notes, ..world.cx() };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let report = one_thread.install(|| check(&repository, &check::Options { read_data }, &cx)).unwrap();
    let read = store.read.lock().unwrap().clone();
    Run { report, read, notes: notes.0.into_inner().unwrap() }
}

/// All packs, in the order of their ids.
fn packs(lab: &Lab) -> Vec<ObjectName> {
    let kinds = [ObjectKind::Packs, ObjectKind::Trees];
    let mut packs: Vec<_> = kinds.into_iter().flat_map(|kind| names(&lab.store, kind)).collect();
    packs.sort_by_key(|name| name.id());
    packs
}

fn bytes_of(lab: &Lab, packs: &[ObjectName]) -> u64 {
    let objects = lab.store.objects();
    packs.iter().map(|name| objects[name].len() as u64).sum()
}

fn catalog_of(lab: &Lab) -> PathBuf {
    let repository = fs::read_dir(&lab.machine.places.cache).unwrap().next().unwrap().unwrap().path();
    repository.join("catalog.sqlite")
}

fn remembered(lab: &Lab) -> usize {
    let catalog = rusqlite::Connection::open(catalog_of(lab)).unwrap();
    let rows: u32 = catalog.query_row("SELECT count(*) FROM proofs", [], |row| row.get(0)).unwrap();
    rows as usize
}

/// Flips a bit in a block, far from what the first look at a pack reads.
fn damage(lab: &Lab, pack: &ObjectName) {
    assert!(lab.store.corrupt(pack, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }));
}

#[test]
fn each_run_reads_what_was_proved_longest_ago() {
    let lab = saved_lab();
    let all = packs(&lab);
    assert!(all.len() > 6, "{} packs", all.len());
    let mut proved: BTreeMap<ObjectName, i64> = BTreeMap::new();
    // Once round, and once more.
    for day in 0..all.len() as i64 {
        let mut wanted = all.clone();
        wanted.sort_by_key(|name| (proved.get(name).copied(), name.id()));
        wanted.truncate(3);
        let run = rolling(&lab, day * 2, 3);
        assert_eq!(run.read, wanted, "run {day}");
        assert_eq!(run.report.verdict(), Verdict::Sound, "run {day}: {:?}", run.report.errors);
        assert_eq!((run.report.packs, run.report.packs_read), (all.len() as u64, 3));
        proved.extend(wanted.iter().map(|name| (*name, day * 2)));
        let never: Vec<_> = all.iter().filter(|name| !proved.contains_key(name)).copied().collect();
        let oldest = *proved.values().min().unwrap();
        let proof = Proof {
            packs: 3,
            bytes: bytes_of(&lab, &wanted),
            all_bytes: bytes_of(&lab, &all),
            never_bytes: bytes_of(&lab, &never),
            oldest: Some(World::at(oldest * DAY).cx().clock.now()),
            days: u64::try_from(day * 2 - oldest).unwrap().max(1),
        };
        assert_eq!(*run.proof(), proof, "run {day}");
        assert_eq!(run.notes, [""; 0]);
    }
    assert_eq!(proved.len(), all.len());
}

#[test]
fn one_pack_is_read_however_little_time_there_is_and_all_if_there_is_enough() {
    let lab = saved_lab();
    let all = packs(&lab);
    assert_eq!(rolling(&lab, 0, 0).read, all[..1]);
    assert_eq!(rolling(&lab, 1, 0).read, all[1..2]);
    let run = rolling(&lab, 2, 1000);
    assert_eq!(run.read, [&all[2..], &all[..2]].concat(), "each of them once");
    assert_eq!((run.proof().never_bytes, run.proof().days), (0, 1));
}

/// What the index says of packs is looked up for some of them at a time.
#[test]
fn many_packs_are_read_in_their_order() {
    let lab = Lab::new();
    for number in 0..40 {
        lab.write("file", &random_bytes(&number.to_string(), 5_000));
        lab.machine.backup(&lab.store, &lab.source, &World::at(number)).unwrap();
    }
    let all = packs(&lab);
    assert!(all.len() >= 80, "{} packs", all.len());
    let first = rolling(&lab, 1, 66);
    assert_eq!((&first.read[..], first.report.verdict()), (&all[..66], Verdict::Sound));
    let second = rolling(&lab, 2, 1000);
    assert_eq!(second.read, [&all[66..], &all[..66]].concat());
    assert_eq!((second.report.verdict(), second.proof().packs), (Verdict::Sound, all.len() as u64));
}

#[test]
fn what_a_new_backup_has_stored_comes_first() {
    let lab = saved_lab();
    let old = packs(&lab);
    rolling(&lab, 0, 1000);
    lab.write("new", &random_bytes("new", 900_000));
    lab.machine.backup(&lab.store, &lab.source, &World::at(DAY)).unwrap();
    let new: Vec<_> = packs(&lab).into_iter().filter(|name| !old.contains(name)).collect();
    assert!(!new.is_empty());
    let run = rolling(&lab, 2, new.len() as u64 + 1);
    assert_eq!(run.read, [&new[..], &old[..1]].concat());
    assert_eq!((run.proof().never_bytes, run.proof().days), (0, 2));
}

#[test]
fn damage_is_found_in_its_turn_and_in_each_run_until_it_is_mended() {
    let lab = saved_lab();
    let all = packs(&lab);
    for day in 0..3 {
        assert_eq!(rolling(&lab, day, 3).report.verdict(), Verdict::Sound);
    }
    // The last pack of a run may be so small that the first look at it reads all of it.
    let is_full = |name: &&ObjectName| name.kind() == ObjectKind::Packs && bytes_of(&lab, &[**name]) > 512 << 10;
    let full: Vec<_> = all.iter().filter(is_full).copied().collect();
    let (lost, bad) = (full[0], *full.last().unwrap());
    // Something that every check sees, so that trees are walked twice for it.
    lab.store.delete(&lost).unwrap();
    damage(&lab, &bad);
    let by_all = run_until(&lab, &lab.machine("another"), 3, ReadData::All, None).report;
    assert_eq!(by_all.errors.len(), 2);
    let runs: Vec<Run> = (3..).take(all.len() + 2).map(|day| rolling(&lab, day, 1)).collect();
    let found = runs.iter().position(|run| run.report.errors.len() == 2).unwrap();
    assert!(found > 0, "others were proved longer ago");
    for run in &runs[..found] {
        assert_eq!((run.report.errors.len(), run.report.errors[0].object), (1, lost));
    }
    for run in &runs[found..] {
        assert_eq!(run.report.errors, by_all.errors, "with what it costs");
        assert_eq!((run.report.snapshots, run.report.packs), (by_all.snapshots, by_all.packs));
        assert_eq!((&run.read[..], run.proof().packs), (&[bad][..], 0), "it is the first in the next run");
        assert_eq!(run.proof().never_bytes, bytes_of(&lab, &[bad]));
    }
    assert_eq!(remembered(&lab), all.len() - 2, "neither what is damaged nor what is gone");
    damage(&lab, &bad); // Undone.
    let run = rolling(&lab, 100, 1);
    assert_eq!((&run.read[..], run.report.errors.len(), run.proof().packs), (&[bad][..], 1, 1));
    assert_eq!(run.proof().never_bytes, 0);
}

#[test]
fn other_checks_remember_what_they_have_proved() {
    let lab = saved_lab();
    let all = packs(&lab);
    assert_eq!(run(&lab, 0, ReadData::Suspects).report.proof, None);
    damage(&lab, &all[2]);
    let report = run(&lab, 1, ReadData::All).report;
    assert_eq!((report.proof.unwrap().packs, remembered(&lab)), (all.len() as u64 - 1, all.len() - 1));
    damage(&lab, &all[2]); // Undone.
    let part = Subset::Part { number: 1, of: 2 };
    let subset = run(&lab, 3, ReadData::Subset(part));
    let proved: BTreeSet<_> = subset.read.iter().copied().collect();
    assert!(!proved.is_empty() && proved.len() < all.len() && subset.proof().packs == proved.len() as u64);
    let mut wanted = all.clone();
    wanted.sort_by_key(|name| (*name != all[2] || proved.contains(name), proved.contains(name), name.id()));
    assert_eq!(rolling(&lab, 4, 1000).read, wanted);
}

#[test]
fn what_was_proved_before_an_interruption_is_remembered() {
    for read_data in [ReadData::Rolling { budget: Duration::from_secs(1000) }, ReadData::All] {
        let lab = saved_lab();
        let run = run_until(&lab, &lab.machine, 0, read_data, Some(3));
        assert!(run.report.is_interrupted);
        assert_eq!((run.read.len(), run.proof().packs, remembered(&lab)), (3, 3, 3));
        let first: BTreeSet<_> = run.read.iter().copied().collect();
        let then = rolling(&lab, 1, packs(&lab).len() as u64 - 3).read;
        assert!(then.iter().all(|name| !first.contains(name)), "{then:?}");
    }
}

#[test]
fn a_catalog_that_was_deleted_starts_over() {
    let lab = saved_lab();
    let all = packs(&lab);
    rolling(&lab, 0, 1000);
    fs::remove_file(catalog_of(&lab)).unwrap();
    let run = rolling(&lab, 1, 2);
    assert_eq!(run.read, all[..2]);
    assert_eq!(run.proof().never_bytes, bytes_of(&lab, &all[2..]));
    assert_eq!(rolling(&lab, 2, 1).read, all[2..3]);
}

/// A clock that was years ahead for one night would keep what it proved from being read for years.
#[test]
fn what_was_proved_in_the_future_counts_as_never_proved() {
    let lab = saved_lab();
    let all = packs(&lab);
    rolling(&lab, 1000, 1000);
    let run = rolling(&lab, 1, 2);
    assert_eq!(run.read, all[..2]);
    assert_eq!(run.proof().never_bytes, bytes_of(&lab, &all[2..]));
    assert_eq!(remembered(&lab), 2, "nor will it ever");
}

#[test]
fn a_catalog_that_cannot_be_used_keeps_nothing_from_being_read() {
    let lab = saved_lab();
    let all = packs(&lab);
    fs::remove_file(catalog_of(&lab)).unwrap();
    fs::create_dir(catalog_of(&lab)).unwrap();
    for _ in 0..2 {
        let run = rolling(&lab, 1, 2);
        assert_eq!((&run.read[..], run.proof().packs), (&all[..2], 2));
        let [note] = &run.notes[..] else { panic!("{:?}", run.notes) };
        assert!(note.starts_with("there is no catalog, what is proved now is not remembered: "), "{note}");
    }
}

#[test]
fn a_catalog_that_somebody_else_is_busy_with_is_not_saved() {
    let lab = saved_lab();
    let all = packs(&lab);
    let somebody = rusqlite::Connection::open(catalog_of(&lab)).unwrap();
    somebody.execute_batch("BEGIN IMMEDIATE").unwrap();
    let run = rolling(&lab, 0, 2);
    let [note] = &run.notes[..] else { panic!("{:?}", run.notes) };
    assert!(note.starts_with("what was proved is not remembered: "), "{note}");
    somebody.execute_batch("ROLLBACK").unwrap();
    assert_eq!((run.proof().packs, remembered(&lab)), (2, 0));
    assert_eq!(rolling(&lab, 1, 2).read, all[..2]);
}
