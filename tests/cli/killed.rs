//! The program killed at each system call by which it publishes something: nothing that was saved is lost, and nobody has to
//! clear up before the next run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Caddis, Machine, skip};
use crate::common::zoo::random_bytes;

/// How repository, state folder and key files are written.
const CALLS: [&str; 7] = ["renameat2", "rename", "linkat", "unlinkat", "unlink", "fdatasync", "fsync"];

/// What a shell says of a program that was killed.
const KILLED: i32 = 128 + 9;

/// More than any of these commands makes of one call.
const TIMES_MAX: u32 = 100;

pub(crate) fn strace_is_missing() -> bool {
    let is_missing = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err();
    if is_missing {
        skip("there is no strace");
    }
    is_missing
}

/// Kills the program when one of its threads makes `call` for the `nth` time; answers whether it was.
fn is_killed(program: Caddis, call: &str, nth: u32) -> bool {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
    let run = program.under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]).run();
    assert!(matches!(run.code, 0 | KILLED), "{call} {nth}: {}", run.transcript());
    run.code == KILLED
}

/// Runs `story` for each call until it says that the program got through. Answers how often it was killed.
fn kill_everywhere(story: impl Fn(&str, u32) -> bool) -> u32 {
    let kills = |call| (1..TIMES_MAX).find(|&nth| !story(call, nth)).expect("it gets through at some time") - 1;
    CALLS.into_iter().map(kills).sum()
}

#[test]
fn an_init_that_is_killed_anywhere_is_run_again() {
    if strace_is_missing() {
        return;
    }
    let kills = kill_everywhere(|call, nth| {
        let machine = Machine::new();
        machine.folder_with("source", &[("file", b"saved")]);
        let killed = is_killed(machine.caddis("init"), call, nth);
        // It may have been killed when all was done.
        if !machine.repository.join("config").exists() {
            machine.caddis("init").ok();
        }
        machine.caddis("backup source").ok();
        machine.caddis("check --read-data").ok();
        assert_eq!(machine.objects("tmp"), [] as [PathBuf; 0], "{call} {nth}");
        killed
    });
    assert!(kills > 20, "{kills} kills");
}

#[test]
fn a_backup_that_is_killed_anywhere_loses_nothing_and_blocks_nobody() {
    if strace_is_missing() {
        return;
    }
    let machine = Machine::with_repository();
    let old = machine.folder_with("old", &[("file", b"saved before"), ("other", &random_bytes("old", 200_000))]);
    machine.caddis("backup").arg(&old).ok();
    let first = machine.snapshot_ids().remove(0);
    let source = machine.folder("source");
    let kills = kill_everywhere(|call, nth| {
        // So that there is something to store.
        fs::write(source.join(call), random_bytes(&format!("{call} {nth}"), 50_000)).unwrap();
        let killed = is_killed(machine.caddis("backup").arg(&source), call, nth);
        let target = machine.path(format!("{call} {nth}"));
        machine.caddis("restore").arg(format!("{first}:{}", old.display())).arg(&target).ok();
        assert_same(&snapshot_of(&old), &snapshot_of(&target), Ignore::default());
        machine.caddis("check").ok();
        machine.caddis("backup").arg(&source).ok();
        assert_eq!(machine.objects("tmp"), [] as [PathBuf; 0], "{call} {nth}");
        assert_eq!(machine.objects("pending"), [] as [PathBuf; 0], "{call} {nth}");
        killed
    });
    assert!(kills > 15, "{kills} kills");
    machine.caddis("check --read-data").ok();
    machine.caddis("restore").arg(format!("latest:{}", source.display())).arg("target").ok();
    assert_same(&snapshot_of(&source), &snapshot_of(&machine.path("target")), Ignore::default());
}

#[test]
fn a_key_that_is_added_by_a_program_that_is_killed_anywhere_is_added_again() {
    if strace_is_missing() {
        return;
    }
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup source").ok();
    let kills = kill_everywhere(|call, nth| {
        let key = machine.path(format!("key {call} {nth}"));
        let add = || machine.caddis("key add --new-key-file").arg(&key);
        let killed = is_killed(add(), call, nth);
        machine.caddis("snapshots").ok();
        if killed {
            add().ok();
        }
        machine.caddis("snapshots").env("CADDIS_KEY_FILE", &key).ok();
        machine.caddis("check").ok();
        // There is no room for as many keys as this test adds.
        for slot in machine.caddis("key list --json").ok().json().as_array().unwrap() {
            if slot["current"] == false {
                machine.caddis("key remove").arg(slot["id"].as_str().unwrap()).ok();
            }
        }
        killed
    });
    assert!(kills > 10, "{kills} kills");
    machine.caddis("backup source").ok();
    machine.caddis("check --read-data").ok();
}
