//! What only an unprivileged user runs into. When root runs the tests, this user is played by `nobody`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;
use std::process::Command;

use crate::common::program::{Machine, PROGRAM_VARIABLE, files_below, inside, is_root};

const NOBODY: u32 = 65_534;

/// As root, the tests below pass at once; here a copy of the test program runs them, and the zoo's, as `nobody`.
#[test]
fn an_unprivileged_user_is_served_as_well_as_root() {
    use std::os::unix::process::CommandExt;
    if !is_root() {
        return; // The others have run as such a user already.
    }
    let place = tempfile::Builder::new().prefix("caddis-nobody-").tempdir().unwrap();
    let (tests, program) = (place.path().join("tests"), place.path().join("caddis"));
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_caddis"), &program).unwrap();
    for path in [place.path(), &tests, &program] {
        lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let run = Command::new(&tests)
        .args(["user::as_a_user_", "the_zoo_comes_back_exactly", "json_gives_each_entry"])
        .env(PROGRAM_VARIABLE, &program)
        .env("TMPDIR", place.path())
        .current_dir(place.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{out}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(out.contains("test result: ok. 7 passed"), "{out}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn as_a_user_what_cannot_be_read_is_named_and_the_rest_is_saved() {
    if is_root() {
        return;
    }
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("closed", b"not for you"), ("open", b"for you")]);
    fs::create_dir(source.join("locked")).unwrap();
    set_mode(&source.join("closed"), 0);
    set_mode(&source.join("locked"), 0);
    let run = machine.caddis("backup").arg(&source).ends_with(3);
    set_mode(&source.join("locked"), 0o700);
    assert_eq!(
        run.transcript(),
        "$ caddis backup [DIR]/source\n\
         ! caddis: [DIR]/source/closed: cannot read it: Permission denied (os error 13)\n\
         ! caddis: [DIR]/source/locked: cannot read it: Permission denied (os error 13)\n\
         exit 3\n"
    );
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    assert_eq!(fs::read(machine.path("target/open")).unwrap(), b"for you");
    assert_eq!(fs::read_dir(machine.path("target")).unwrap().count(), 1);
}

#[test]
fn as_a_user_a_source_that_cannot_be_read_at_all_leaves_no_snapshot() {
    if is_root() {
        return;
    }
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    set_mode(&source, 0);
    let run = machine.caddis("backup").arg(&source).ends_with(1);
    set_mode(&source, 0o700);
    assert!(run.stderr.contains("nothing was saved"), "{}", run.transcript());
    assert!(machine.snapshot_ids().is_empty());
}

#[test]
fn as_a_user_a_repository_that_cannot_be_written_says_so_and_still_gives_back() {
    if is_root() {
        return;
    }
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup").arg(&source).ok();
    let set_folders = |mode: u32| {
        let folders = walkdir::WalkDir::new(&machine.repository).contents_first(true).into_iter();
        let folders = folders.map(Result::unwrap).filter(|entry| entry.file_type().is_dir());
        folders.for_each(|folder| set_mode(folder.path(), mode));
    };
    set_folders(0o500);
    let before = files_below(&machine.repository);
    fs::write(source.join("file"), b"something new").unwrap();
    let run = machine.caddis("backup").arg(&source).ends_with(1);
    assert!(run.stderr.contains("permission denied"), "{}", run.transcript());
    assert!(run.stderr.contains("run caddis as the user who owns"), "{}", run.transcript());
    assert_eq!(files_below(&machine.repository), before);
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    assert_eq!(fs::read(machine.path("target/file")).unwrap(), b"saved");
    machine.caddis("check --read-data").ok();
    set_folders(0o700);
}

#[test]
fn as_a_user_a_target_that_cannot_be_made_is_an_error() {
    if is_root() {
        return;
    }
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup source").ok();
    let closed = machine.folder("closed");
    set_mode(&closed, 0o500);
    let run = machine.caddis("restore latest closed/target").ends_with(1);
    assert!(run.stderr.contains("closed/target"), "{}", run.transcript());
    set_mode(&closed, 0o700);
}

#[test]
fn as_a_user_what_belongs_to_others_comes_back_as_ones_own() {
    if is_root() {
        return;
    }
    let machine = Machine::with_repository();
    // Everybody can read this, and it is root's.
    machine.caddis("backup /etc/passwd").ok();
    machine.caddis("restore latest:/etc/passwd passwd").ok();
    assert_eq!(fs::read(machine.path("passwd")).unwrap(), fs::read("/etc/passwd").unwrap());
    let listed = machine.caddis("ls --json latest:/etc/passwd").ok().json_lines();
    assert_eq!(listed[1]["uid"], 0);
}
