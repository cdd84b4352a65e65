//! What goes wrong is said in one line, what to do in the next, and the exit code tells them apart.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;

use crate::common::program::{Machine, inside};
use crate::common::zoo::random_bytes;

#[test]
fn a_missing_source_is_named_and_the_rest_is_saved() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"here")]);
    let run = machine.caddis("backup source missing").ends_with(3);
    assert_eq!(
        run.transcript(),
        "$ caddis backup source missing\n\
         ! caddis: [DIR]/missing: there is no such file or folder, or no longer\n\
         exit 3\n"
    );
    let list = machine.caddis("snapshots --json").ok().json();
    assert_eq!(list[0]["partial"], true);
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    assert_eq!(fs::read(machine.path("target/file")).unwrap(), b"here");
}

#[test]
fn nothing_saved_at_all_is_a_failure_and_no_snapshot() {
    let machine = Machine::with_repository();
    let run = machine.caddis("backup missing gone").ends_with(1);
    assert_eq!(
        run.transcript(),
        "$ caddis backup missing gone\n\
         ! caddis: [DIR]/gone: there is no such file or folder, or no longer\n\
         ! caddis: [DIR]/missing: there is no such file or folder, or no longer\n\
         ! caddis: nothing was saved: none of the sources was there, could be read, and is of a kind that is saved\n\
         exit 1\n"
    );
    assert!(machine.snapshot_ids().is_empty());
    machine.caddis("check").ok();
}

#[test]
fn json_gives_problems_and_errors_as_documents_too() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"here")]);
    let run = machine.caddis("backup --json source missing").ends_with(3);
    assert_eq!(run.json()["num_errors"], 1);
    let problem: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(problem["message_type"], "error");
    assert_eq!(problem["item"], machine.path("missing").to_str().unwrap());

    let run = machine.caddis("restore --json nope target").ends_with(1);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!((&error["message_type"], &error["code"]), (&"exit_error".into(), &1.into()));
    assert_eq!(error["message"], "no snapshot `nope`");
    assert_eq!(error["hint"], "`caddis snapshots` lists what there is");
}

#[test]
fn restore_refuses_a_target_that_holds_something() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.folder_with("target", &[("mine", b"not to be touched")]);
    machine.caddis("backup source").ok();
    assert_eq!(
        machine.caddis("restore latest target").run().transcript(),
        "$ caddis restore latest target\n\
         ! caddis: target is not empty\n\
         ! caddis: restore into a new or empty folder, or say by `--overwrite` what becomes of what is there\n\
         exit 9\n"
    );
    assert_eq!(fs::read_dir(machine.path("target")).unwrap().count(), 1);
    assert_eq!(fs::read(machine.path("target/mine")).unwrap(), b"not to be touched");
    machine.folder("empty");
    machine.caddis("restore latest empty").ok();
}

#[test]
fn restore_needs_a_target() {
    let run = Machine::new().caddis("restore latest").ends_with(2);
    assert!(run.stderr.contains("<TARGET>"), "{}", run.transcript());
}

#[test]
fn a_snapshot_or_path_that_is_not_there_is_an_error_and_makes_nothing() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup source").ok();
    assert_eq!(
        machine.caddis("restore nope target").run().transcript(),
        "$ caddis restore nope target\n\
         ! caddis: no snapshot `nope`\n\
         ! caddis: `caddis snapshots` lists what there is\n\
         exit 1\n"
    );
    assert_eq!(
        machine.caddis("restore latest:/not/there target").run().transcript(),
        "$ caddis restore latest:/not/there target\n\
         ! caddis: snapshot [ID] holds no /not/there\n\
         ! caddis: `caddis ls [ID]` lists what it holds\n\
         exit 1\n"
    );
    for command in ["ls latest:/not/there", "cat latest:/not/there", "cat latest:/", "ls latest~1", "ls @2000-01-01"] {
        machine.caddis(command).ends_with(1);
    }
    machine.caddis("ls @yesterday").ends_with(2);
    machine.caddis("backup --time yesterday source").ends_with(2);
    assert!(!machine.path("target").exists());
}

#[test]
fn an_id_that_could_be_several_snapshots_is_an_error_that_names_them() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    let mut digits = HashSet::new();
    // There are sixteen digits, so at the latest the seventeenth snapshot shares its first one with another.
    let shared = loop {
        let saved = machine.caddis("backup --json source").ok().json();
        let digit = saved["snapshot_id"].as_str().unwrap()[..1].to_owned();
        if !digits.insert(digit.clone()) {
            break digit;
        }
    };
    let run = machine.caddis("ls").arg(&shared).ends_with(1);
    assert_eq!(
        run.transcript(),
        format!(
            "$ caddis ls {shared}\n\
             ! caddis: `{shared}` could be any of 2 snapshots: [ID], [ID]\n\
             ! caddis: give more digits of the id\n\
             exit 1\n"
        )
    );
}

#[test]
fn a_file_that_vanishes_during_the_backup_is_named_and_the_rest_is_saved() {
    let machine = Machine::with_packs_of("1MiB");
    let large = random_bytes("keeps the backup busy", 48 << 20);
    let source = machine.folder_with("source", &[("a large", &large), ("b vanishes", b"here"), ("c stays", b"here")]);
    let mut backup = machine.caddis("backup").arg(&source).spawn();
    // Names are read when a folder is entered, and the large file comes first.
    backup.until("its first pack", || !machine.objects("packs").is_empty());
    fs::remove_file(source.join("b vanishes")).unwrap();
    assert_eq!(
        backup.finish().transcript(),
        "$ caddis backup [DIR]/source\n\
         ! caddis: [DIR]/source/b vanishes: there is no such file or folder, or no longer\n\
         exit 3\n"
    );
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    assert!(fs::read(machine.path("target/a large")).unwrap() == large);
    assert_eq!(fs::read(machine.path("target/c stays")).unwrap(), b"here");
}

#[test]
fn a_file_that_changes_whenever_it_is_read_is_saved_and_named() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("log", &random_bytes("log", 32 << 20)), ("steady", b"here")]);
    let mut log = File::options().append(true).open(source.join("log")).unwrap();
    let mut backup = machine.caddis("backup").arg(&source).spawn();
    while !backup.has_ended() {
        log.write_all(b"x").unwrap();
    }
    assert_eq!(
        backup.finish().transcript(),
        "$ caddis backup [DIR]/source\n\
         ! caddis: [DIR]/source/log: it changed each time it was read: saved as it was read last\n\
         exit 3\n"
    );
    let listed = machine.caddis("ls --json").arg(inside("latest", &source)).ok().json_lines();
    assert_eq!((&listed[1]["name"], &listed[1]["changed"]), (&"log".into(), &true.into()));
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    let saved = fs::read(machine.path("target/log")).unwrap();
    assert!(saved.len() >= 32 << 20 && fs::read(source.join("log")).unwrap().starts_with(&saved));
}

#[test]
fn words_that_make_no_sense_are_a_usage_error() {
    let machine = Machine::new();
    for words in
        ["", "frobnicate", "backup", "backup --unknown x", "init --pack-size 1KiB", "-r sftp://host/x snapshots"]
    {
        let run = machine.caddis(words).ends_with(2);
        assert!(!run.stderr.is_empty(), "{}", run.transcript());
    }
    assert!(!machine.repository.exists());
}

#[test]
fn a_closed_pipe_ends_a_listing_without_noise() {
    use std::process::{Command, Stdio};
    let machine = Machine::with_repository();
    let content = random_bytes("pipe", 4 << 20);
    let source = machine.folder_with("source", &[("file", &content)]);
    machine.caddis("backup source").ok();
    let path = inside("latest", &source.join("file"));
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    let run = machine.caddis("cat").arg(path).into_pipe(pipe);
    assert_eq!(run.stderr, "");
    assert_eq!(run.code, 128 + 13, "as every program that writes into a closed pipe");
}
