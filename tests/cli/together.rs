//! Programs that back up, forget and prune at the same time, stand still for long, or have no room left.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Caddis, Machine, Run, Running, SmallDisk, inside, len};
use crate::common::zoo::random_bytes;
use crate::killed::strace_is_missing;

/// Everything goes that nobody needs.
const PRUNE_ALL: &str = "prune --undo-window 0 --min-age 0 --max-unused 0";

/// Backups of each client.
const ROUNDS: usize = 6;

/// More than a backup publishes.
const STOPS_MAX: u32 = 100;

const MIB: u64 = 1 << 20;

fn saved_by(run: &Run) -> String {
    run.json()["snapshot_id"].as_str().unwrap().to_owned()
}

fn assert_comes_back(machine: &Machine, id: &str, source: &Path, context: &str) {
    let target = machine.path("target");
    machine.caddis("restore").arg(inside(id, source)).arg(&target).ok();
    assert_same(&snapshot_of(source), &snapshot_of(&target), Ignore::default());
    fs::remove_dir_all(target).unwrap_or_else(|error| panic!("{context}: {error}"));
}

/// Each round some files are new, and some are what others have.
fn change(source: &Path, client: usize, round: usize) {
    fs::write(source.join("own"), random_bytes(&format!("{client} {round}"), 60_000)).unwrap();
    fs::write(source.join(format!("shared {}", round % 3)), random_bytes(&format!("shared {round}"), 90_000)).unwrap();
    fs::write(source.join("turns up again"), random_bytes(&format!("{}", round % 2), 40_000)).unwrap();
}

#[test]
fn four_clients_back_up_while_others_forget_and_prune() {
    let first = Machine::with_repository();
    let clients: Vec<Machine> = (0..4).map(|_| Machine::beside(&first)).collect();
    let saved: Vec<(String, PathBuf)> = thread::scope(|scope| {
        let backups: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(number, client)| {
                scope.spawn(move || {
                    let source = client.folder("source");
                    let back_up = |round| {
                        change(&source, number, round);
                        saved_by(&client.caddis("backup --json").arg(&source).ok())
                    };
                    let mut ids: Vec<String> = (0..ROUNDS).map(back_up).collect();
                    (ids.pop().unwrap(), source)
                })
            })
            .collect();
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                first.caddis("forget --keep-last 1").ok();
                first.caddis(PRUNE_ALL).ok();
            }
        });
        backups.into_iter().map(|backup| backup.join().unwrap()).collect()
    });
    first.caddis("check --read-data").ok();
    for (client, (id, source)) in clients.iter().zip(&saved) {
        assert_comes_back(client, id, source, id);
    }
    first.caddis("forget --keep-last 1").ok();
    first.caddis(PRUNE_ALL).ok();
    first.caddis("check --read-data").ok();
    assert_eq!(first.snapshot_ids().len(), clients.len());
    for kind in ["pending", "forgotten"] {
        assert_eq!(first.objects(kind), [] as [PathBuf; 0], "{kind}");
    }
}

/// A backup that a signal stops in the middle of something.
fn stopping_at(backup: Caddis, call: &str, nth: u32, log: &Path) -> Caddis {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGSTOP:when={nth}"));
    backup.under(&["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject])
}

/// The threads that stood still so far, each as often as it did.
fn stops(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains("--- stopped by SIGSTOP ---"));
    lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// The process of a thread that stands still.
fn process_of(thread: &str) -> Pid {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")).unwrap();
    Pid::from_raw(process.trim().parse().unwrap()).unwrap()
}

/// Lets the program go on until it has ended: each of its threads is stopped once.
fn let_go_on(backup: &mut Running, process: Pid, log: &Path) {
    let mut seen = 0;
    while !backup.has_ended() {
        let now = stops(log).len();
        if now > seen {
            seen = now;
            // It may have ended by now.
            let _ = kill_process(process, Signal::CONT);
        }
        thread::yield_now();
    }
}

/// Stops a backup where it publishes something for the `nth` time, has everything forgotten and pruned away twice, and lets
/// it go on. Answers whether it was stopped.
fn forget_all_under(machine: &Machine, source: &Path, call: &str, nth: u32) -> bool {
    let context = format!("{call} {nth}");
    fs::write(source.join("own"), random_bytes(&context, 50_000)).unwrap();
    let log = machine.path(&context);
    let mut backup = stopping_at(machine.caddis("backup --json").arg(source), call, nth, &log).spawn();
    while stops(&log).is_empty() && !backup.has_ended() {
        thread::yield_now();
    }
    let stands = stops(&log).first().map(|thread| process_of(thread));
    let pruner = Machine::beside(machine);
    let mut forgotten = Vec::new();
    if let Some(process) = stands {
        forgotten = pruner.snapshot_ids();
        if !forgotten.is_empty() {
            forgotten.iter().fold(pruner.caddis("forget"), Caddis::arg).ok();
        }
        pruner.caddis(PRUNE_ALL).ok();
        pruner.caddis(PRUNE_ALL).ok();
        let_go_on(&mut backup, process, &log);
    }
    let run = backup.finish();
    assert_eq!(run.code, 0, "{context}: {}", run.transcript());
    machine.caddis("check --read-data").ok();
    let saved = saved_by(&run);
    // At the very end it is saved already, and was forgotten by somebody's word.
    if !forgotten.contains(&saved) {
        assert_comes_back(machine, &saved, source, &context);
    }
    stands.is_some()
}

#[test]
fn a_backup_that_stands_still_anywhere_while_all_is_forgotten_and_pruned_away_is_whole_in_the_end() {
    if strace_is_missing() {
        return;
    }
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("old", &random_bytes("old", 200_000))]);
    machine.caddis("backup").arg(&source).ok();
    let stops: u32 = ["linkat", "renameat2", "unlinkat"]
        .into_iter()
        .map(|call| (1..STOPS_MAX).find(|&nth| !forget_all_under(&machine, &source, call, nth)).unwrap() - 1)
        .sum();
    assert!(stops > 5, "{stops}");
    machine.caddis(PRUNE_ALL).ok();
    assert_eq!(machine.objects("pending"), [] as [PathBuf; 0]);
    machine.caddis("check --read-data").ok();
}

#[test]
fn a_disk_that_is_full_to_the_brim_is_pruned_and_takes_the_next_backup() {
    let mut machine = Machine::new();
    let place = machine.folder("disk");
    let Some(disk) = SmallDisk::mount(place.clone(), 40 * MIB) else { return };
    machine.repository = place.join("repo");
    machine.caddis("init --pack-size 4MiB").ok();
    let small = machine.folder_with("small", &[("file", b"is kept")]);
    machine.caddis("backup").arg(&small).ok();
    let large = machine.folder_with("large", &[("file", &random_bytes("large", 16 << 20))]);
    let forgotten = saved_by(&machine.caddis("backup --json").arg(&large).ok());
    let ballast = fs::File::create(place.join("ballast")).unwrap();
    while std::io::Write::write(&mut &ballast, &[1; 4096]).is_ok_and(|written| written > 0) {}

    machine.caddis("forget").arg(&forgotten).ok();
    let packs = || machine.objects("packs").iter().map(|pack| len(pack)).sum::<u64>();
    assert!(packs() > 15 * MIB, "{}", packs());
    machine.caddis(PRUNE_ALL).ok();
    assert!(packs() < MIB, "{}", packs());
    assert!(machine.repository.join("reserve").exists(), "for the next time");
    machine.caddis("check --read-data").ok();
    let next = machine.folder_with("next", &[("file", &random_bytes("next", 8 << 20))]);
    let saved = saved_by(&machine.caddis("backup --json").arg(&next).ok());
    assert_comes_back(&machine, &saved, &next, "next");
    let kept = machine.snapshot_ids().remove(0);
    assert_comes_back(&machine, &kept, &small, "small");
    drop(disk);
}
