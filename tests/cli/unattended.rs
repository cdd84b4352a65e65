//! Cron at half past two: no terminal, hardly an environment, silence on success.

use std::fs;

use crate::common::program::{Machine, files_below};
use crate::common::zoo::random_bytes;

#[test]
fn everything_is_silent_when_all_went_well() {
    let machine = Machine::new();
    machine.folder_with("source", &[("file", b"saved")]);
    for words in ["init", "backup source", "backup source", "check", "check --read-data", "restore latest target"] {
        assert_eq!(machine.caddis(words).run().transcript(), format!("$ caddis {words}\nexit 0\n"));
    }
}

#[test]
fn a_backup_needs_neither_home_nor_terminal_nor_path() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    let (state, cache) = (machine.folder("state"), machine.folder("cache"));
    let run = machine
        .caddis("backup")
        .arg(&source)
        .without_env("HOME")
        .without_env("PATH")
        .without_env("TZ")
        .env("XDG_STATE_HOME", &state)
        .env("XDG_CACHE_HOME", &cache)
        .run();
    assert_eq!(run.transcript(), "$ caddis backup [DIR]/source\nexit 0\n");
    assert!(state.join("caddis").is_dir() && cache.join("caddis").is_dir());
    assert_eq!(machine.snapshot_ids().len(), 1);
}

#[test]
fn one_line_tells_of_success_when_it_is_asked_for() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    let run = machine.caddis("backup -v source").ok();
    assert!(run.text().starts_with("saved snapshot "), "{}", run.transcript());
    assert_eq!(run.stderr, "");
    let run = machine.caddis("backup source missing -q").ends_with(3);
    assert_eq!((run.text(), run.stderr.lines().count()), ("", 1), "{}", run.transcript());
}

#[test]
fn json_reports_a_summary_as_its_last_line() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    let last = |words: &str| machine.caddis(words).ok().json_lines().pop().unwrap();
    let backup = last("backup --json source");
    assert_eq!(backup["message_type"], "summary");
    assert_eq!((&backup["total_files_processed"], &backup["total_bytes_processed"]), (&1.into(), &5.into()));
    let check = last("check --json --read-data");
    assert_eq!((&check["num_errors"], &check["snapshots"]), (&0.into(), &1.into()));
    let restore = last("restore --json latest target");
    assert_eq!((&restore["files_restored"], &restore["bytes_restored"]), (&1.into(), &5.into()));
}

#[test]
fn a_lost_cache_and_a_lost_state_folder_cost_nothing_but_time() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup source").ok();
    fs::remove_dir_all(machine.path("home")).unwrap();
    fs::create_dir(machine.path("home")).unwrap();
    let stored = machine.bytes_stored_by(|| {
        machine.caddis("backup source").ok();
    });
    assert!(stored < 64 << 10, "{stored} bytes");
    machine.caddis("check --read-data").ok();
    assert_eq!(machine.snapshot_ids().len(), 2);
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", &random_bytes("cache", 1 << 20))]);
    machine.caddis("backup source").ok();
    for spoil in [
        |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 0x55),
        |bytes: &mut Vec<u8>| bytes.truncate(100),
    ] {
        let cached = files_below(&machine.path("home/.cache"));
        assert!(!cached.is_empty());
        for file in &cached {
            let mut bytes = fs::read(file).unwrap();
            spoil(&mut bytes);
            fs::remove_file(file).unwrap();
            fs::write(file, bytes).unwrap();
        }
        let stored = machine.bytes_stored_by(|| {
            machine.caddis("backup source").ok();
        });
        assert!(stored < 64 << 10, "{stored} bytes");
    }
    machine.caddis("restore latest target").ok();
}

/// A full log disk made the program panic, and that night's backup was lost.
#[test]
fn a_log_that_cannot_be_written_keeps_nothing_from_being_saved() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(machine.caddis("backup").arg(&source).arg("missing").into_file(&full), Some(3));
    assert_eq!(machine.snapshot_ids().len(), 1);
}

/// Files of /proc say that they are empty.
#[test]
fn a_file_that_says_that_it_is_empty_is_saved_with_what_it_holds() {
    let machine = Machine::with_repository();
    machine.caddis("backup /proc/version").ok();
    let printed = machine.caddis("cat latest:/proc/version").ok();
    assert_eq!(printed.stdout, fs::read("/proc/version").unwrap());
}
