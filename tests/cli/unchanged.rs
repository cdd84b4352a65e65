//! An unchanged tree as the system sees it: which files are opened, and what is synced.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::common::program::{Machine, skip};

/// Runs the program under strace and answers the calls of these names.
fn calls(machine: &Machine, words: &str, source: &Path, names: &str) -> Option<Vec<String>> {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        skip("there is no strace");
        return None;
    }
    let log = machine.path("strace.log");
    let program = machine.caddis(words).arg(source);
    program.under(&["strace", "-f", "-qq", "-e", &format!("trace={names}"), "-o", log.to_str().unwrap()]).ok();
    let log = fs::read_to_string(log).unwrap();
    Some(log.lines().filter(|line| line.contains('(')).map(str::to_owned).collect())
}

/// A source whose files changed more than two seconds ago by the clock of its file system.
fn settled_source(machine: &Machine) -> std::path::PathBuf {
    let source = machine.folder("source");
    for folder in ["a", "a/b", "c"] {
        fs::create_dir(source.join(folder)).unwrap();
        for number in 0..20 {
            fs::write(source.join(folder).join(format!("file {number}")), format!("{folder} {number}").repeat(50))
                .unwrap();
        }
    }
    // A file's time of change cannot be set: it has to become old.
    let newest = fs::metadata(source.join("c/file 19")).unwrap().modified().unwrap();
    let marker = machine.path("marker");
    let now = || {
        fs::write(&marker, b"").unwrap();
        fs::metadata(&marker).unwrap().modified().unwrap()
    };
    let age = |now: SystemTime| now.duration_since(newest).unwrap_or_default();
    while age(now()).as_millis() < 2_100 {
        std::thread::yield_now();
    }
    source
}

#[test]
fn an_unchanged_file_is_not_even_opened() {
    let machine = Machine::with_repository();
    let source = settled_source(&machine);
    let opened = |words: &str| {
        let calls = calls(&machine, words, &source, "openat")?;
        // What is only pinned, to look at its extended attributes, is not opened.
        Some(calls.iter().filter(|call| call.contains("\"file ") && !call.contains("O_PATH")).count())
    };
    let Some(first) = opened("backup") else { return };
    assert_eq!(first, 60);
    assert_eq!(opened("backup"), Some(0));
    assert_eq!(opened("backup --force"), Some(60));
    fs::rename(source.join("a"), source.join("renamed")).unwrap();
    assert_eq!(opened("backup"), Some(0));
    // The trees of the parent tell as much as the catalog, had it been there.
    fs::remove_dir_all(machine.path("home/.cache")).unwrap();
    assert_eq!(opened("backup"), Some(0));
    let summary = machine.caddis("backup --json").arg(&source).ok().json();
    assert_eq!(summary["files_unmodified"], 60);
}

/// Opening a FIFO waits for its other end, and opening a device can do anything: rewind a tape, for one.
#[test]
fn fifos_sockets_and_devices_are_never_opened_for_reading() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file ", b"read")]);
    mknodat(CWD, source.join("special fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = UnixListener::bind(source.join("special socket")).unwrap();
    let null = rustix::fs::makedev(1, 3);
    if mknodat(CWD, source.join("special device"), FileType::CharacterDevice, Mode::RUSR, null).is_err() {
        skip("only root can make a device");
    }
    let Some(calls) = calls(&machine, "backup --force", &source, "open,openat,openat2") else { return };
    let opened = |name| calls.iter().filter(|call| call.contains(name) && !call.contains("O_PATH")).count();
    assert_eq!((opened("\"file "), opened("\"special ")), (1, 0), "{calls:#?}");
    let listed = machine.caddis("ls -R latest").ok();
    assert!(listed.text().contains("special fifo"), "{}", listed.transcript());
}

#[test]
fn an_unchanged_run_syncs_few_files_and_folders() {
    let machine = Machine::with_repository();
    let source = settled_source(&machine);
    machine.caddis("backup").arg(&source).ok();
    let Some(calls) = calls(&machine, "backup", &source, "fsync,fdatasync,sync,syncfs,sync_file_range") else { return };
    // What is announced, before it is, with its folder; the announcement with its folder; the snapshot's folder, since it is a
    // second name of the same file; the heads that this machine remembers.
    assert!(calls.len() <= 7, "{calls:#?}");
}
