//! A backup that is stopped leaves nothing broken, and the next one goes on from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside, len};
use crate::common::zoo::random_bytes;

const MIB: u64 = 1 << 20;
const PACK_BYTES: u64 = 4 * MIB;
/// A full pack holds two blocks of nearly 2 MiB of what no compressor makes smaller.
const PLAIN_BYTES_PER_PACK: u64 = 3 * MIB;
/// Packs that an interim segment names, at least.
const PACKS_PER_SEGMENT: u64 = 4;
/// Trees of a few files.
const TREE_BYTES_MAX: u64 = MIB / 4;

const FILES: u64 = 16;
const FILE_BYTES: u64 = 5 * MIB;
const SOURCE_BYTES: u64 = FILES * FILE_BYTES;

/// Finishing the open packs takes a moment; on a busy machine some more.
const END_MAX: Duration = Duration::from_secs(20);

fn machine() -> Machine {
    Machine::with_packs_of("4MiB")
}

fn many_files(machine: &Machine) -> PathBuf {
    let source = machine.folder("source");
    for number in 0..FILES {
        let content = random_bytes(&format!("file {number}"), FILE_BYTES.try_into().unwrap());
        fs::write(source.join(format!("{number:02}")), content).unwrap();
    }
    source
}

fn one_file(machine: &Machine) -> PathBuf {
    let content = random_bytes("one file", SOURCE_BYTES.try_into().unwrap());
    machine.folder_with("source", &[("large", &content)])
}

fn full_packs(machine: &Machine) -> u64 {
    machine.objects("packs").iter().filter(|pack| len(pack) == PACK_BYTES).count().try_into().unwrap()
}

/// Stops a backup by `signal` when its first interim segment is there; answers the bytes that the index names by then.
fn interrupt(machine: &Machine, source: &Path, signal: Signal) -> u64 {
    let mut backup = machine.caddis("backup").arg(source).spawn();
    backup.until("its first interim segment", || !machine.objects("index").is_empty());
    let asked = Instant::now();
    backup.signal(signal);
    let run = backup.finish();
    assert!(asked.elapsed() < END_MAX, "it took {:?} to end", asked.elapsed());
    assert_eq!(run.transcript(), "$ caddis backup [DIR]/source\n! caddis: interrupted\nexit 130\n");
    assert!(machine.snapshot_ids().is_empty());
    full_packs(machine) * PLAIN_BYTES_PER_PACK
}

/// What stands is whole, and the next backup stores nothing of it again.
fn assert_goes_on(machine: &Machine, source: &Path, stored: u64) {
    machine.caddis("check --read-data").ok();
    let report = machine.caddis("backup --json").arg(source).ok().json();
    let added = report["data_added"].as_u64().unwrap();
    assert!(stored >= PACKS_PER_SEGMENT * PLAIN_BYTES_PER_PACK);
    assert!(added <= SOURCE_BYTES - stored + TREE_BYTES_MAX, "{added} stored again, although {stored} were there");
    machine.caddis("check --read-data").ok();
    assert_eq!(machine.objects("pending"), [] as [PathBuf; 0]);
    assert_eq!(machine.objects("tmp"), [] as [PathBuf; 0]);
    machine.caddis("restore").arg(inside("latest", source)).arg("target").ok();
    assert_same(&snapshot_of(source), &snapshot_of(&machine.path("target")), Ignore::default());
}

#[test]
fn a_backup_of_many_files_ends_in_order_when_the_user_interrupts_it_and_the_next_goes_on() {
    let machine = machine();
    let source = many_files(&machine);
    let stored = interrupt(&machine, &source, Signal::INT);
    assert_goes_on(&machine, &source, stored);
}

#[test]
fn a_backup_of_one_large_file_ends_in_order_when_the_system_ends_it_and_the_next_goes_on() {
    let machine = machine();
    let source = one_file(&machine);
    let stored = interrupt(&machine, &source, Signal::TERM);
    assert_goes_on(&machine, &source, stored);
}

#[test]
fn what_interim_segments_name_is_not_stored_again_after_a_kill() {
    let machine = machine();
    let source = many_files(&machine);
    let mut backup = machine.caddis("backup").arg(&source).spawn();
    backup.until("its first interim segment", || !machine.objects("index").is_empty());
    backup.kill();
    let segments: u64 = machine.objects("index").len().try_into().unwrap();
    assert!(machine.snapshot_ids().is_empty());
    assert_goes_on(&machine, &source, segments * PACKS_PER_SEGMENT * PLAIN_BYTES_PER_PACK);
}

#[test]
fn what_was_saved_before_stays_whole_when_a_later_backup_is_killed() {
    let machine = machine();
    let small = machine.folder_with("small", &[("file", b"saved before")]);
    machine.caddis("backup").arg(&small).ok();
    let source = many_files(&machine);
    let segments = machine.objects("index").len();
    let mut backup = machine.caddis("backup").arg(&source).spawn();
    backup.until("its first interim segment", || machine.objects("index").len() > segments);
    backup.kill();
    machine.caddis("check --read-data").ok();
    assert_eq!(machine.snapshot_ids().len(), 1);
    machine.caddis("restore").arg(inside("latest", &small)).arg("target").ok();
    assert_eq!(fs::read(machine.path("target/file")).unwrap(), b"saved before");
}
