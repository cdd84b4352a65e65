//! A repository whose place is absent, unmounted, taken, full, or not for this user.

use std::fs;
use std::path::Path;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, SmallDisk, files_below, inside, is_root, len, skip};
use crate::common::zoo::random_bytes;

#[test]
fn no_repository_is_an_error_that_says_how_to_make_one() {
    let machine = Machine::new();
    machine.folder_with("source", &[("file", b"")]);
    for command in ["snapshots", "backup source", "check", "key list", "ls latest"] {
        let expected = format!(
            "$ caddis {command}\n\
             ! caddis: no repository at [REPO]: there is no folder [REPO]\n\
             ! caddis: create one with `caddis init -r [REPO]`\n\
             exit 10\n"
        );
        assert_eq!(machine.caddis(command).run().transcript(), expected);
    }
    assert!(!machine.repository.exists());
}

#[test]
fn an_empty_folder_may_be_a_disk_that_is_not_mounted() {
    let machine = Machine::new();
    fs::create_dir(&machine.repository).unwrap();
    let run = machine.caddis("snapshots").ends_with(10);
    assert!(run.stderr.contains("is the disk mounted?"), "{}", run.transcript());
    assert_eq!(fs::read_dir(&machine.repository).unwrap().count(), 0);
}

#[test]
fn a_known_place_that_is_empty_or_gone_is_not_made_anew() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup source").ok();
    fs::rename(&machine.repository, machine.path("elsewhere")).unwrap();
    let expected = |command: &str| {
        format!(
            "$ caddis {command}\n\
             ! caddis: this machine has used a repository at [REPO], and none is there now\n\
             ! caddis: is the disk mounted? if the old repository is really gone, make a new one with \
             `caddis init -r [REPO]`\n\
             exit 10\n"
        )
    };
    for command in ["backup --init source", "backup source", "snapshots"] {
        assert_eq!(machine.caddis(command).run().transcript(), expected(command));
    }
    assert!(!machine.repository.exists());
    fs::create_dir(&machine.repository).unwrap();
    assert_eq!(machine.caddis("backup --init source").run().transcript(), expected("backup --init source"));
    assert_eq!(fs::read_dir(&machine.repository).unwrap().count(), 0);
    fs::remove_dir(&machine.repository).unwrap();
    fs::rename(machine.path("elsewhere"), &machine.repository).unwrap();
    machine.caddis("restore latest target").ok();
}

#[test]
fn another_repository_at_a_known_place_gets_nothing() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup source").ok();
    fs::rename(&machine.repository, machine.path("mine")).unwrap();
    let other = Machine::beside(&machine);
    other.caddis("init").ok();
    let before = files_below(&machine.repository);
    for command in ["backup source", "backup --init source", "snapshots", "restore latest target", "key list"] {
        let run = machine.caddis(command).ends_with(16);
        let first = run.stderr.lines().next().unwrap();
        assert!(first.contains("is not the one this machine knows"), "{}", run.transcript());
        assert_eq!(run.stderr.lines().count(), 2, "{}", run.transcript());
    }
    assert_eq!(files_below(&machine.repository), before);
}

#[test]
fn init_does_not_touch_a_repository_or_other_things_that_are_there() {
    let machine = Machine::with_repository();
    let before = snapshot_of(&machine.repository);
    assert_eq!(
        machine.caddis("init").run().transcript(),
        "$ caddis init\n\
         ! caddis: there is a repository already at [REPO]\n\
         ! caddis: choose another place, or use the repository that is there\n\
         exit 1\n"
    );
    assert_same(&before, &snapshot_of(&machine.repository), Ignore::default());

    let taken = machine.folder_with("taken", &[("thesis", b"years of work")]);
    let run = machine.caddis("init").env("CADDIS_REPOSITORY", &taken).ends_with(1);
    assert!(run.stderr.contains("taken"), "{}", run.transcript());
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 1);
}

#[test]
fn init_within_a_backup_makes_a_repository_once() {
    let machine = Machine::new();
    // A passphrase costs what it costs everywhere, so the key file opens this one.
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup --init source").ok();
    machine.caddis("backup --init source").ok();
    assert_eq!(machine.snapshot_ids().len(), 2);
}

#[test]
fn the_default_place_is_in_the_users_data_folder() {
    let machine = Machine::new();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup --init source").without_env("CADDIS_REPOSITORY").ok();
    assert!(machine.path("home/.local/share/caddis/repo/config").exists());
    let data = machine.folder("data");
    let init = machine.caddis("init").without_env("CADDIS_REPOSITORY").env("XDG_DATA_HOME", &data);
    init.ok();
    assert!(data.join("caddis/repo/config").exists());
    let restic_like = machine.caddis("snapshots").without_env("CADDIS_REPOSITORY").env("CADDIS_REPO", data.join("x"));
    restic_like.ends_with(10);
}

#[test]
fn the_repository_and_the_programs_own_folders_are_left_out_of_a_backup() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    // The repository lies in the source, and so do state and cache in the home; the second run finds all three made.
    machine.caddis("backup source").ok();
    let whole = machine.path("");
    let report = machine.caddis("backup --json").arg(&whole).ok().json();
    assert_eq!(report["own_folders_skipped"], 3);
    let listed = machine.caddis("ls -R").arg(inside("latest", &whole)).ok();
    assert!(listed.text().contains("/source/file"), "{}", listed.transcript());
    for own in [&machine.repository, &machine.path("home/.local/state/caddis"), &machine.path("home/.cache/caddis")] {
        assert!(own.exists());
        assert!(!listed.text().contains(own.to_str().unwrap()), "{}", listed.transcript());
    }
}

#[test]
fn a_repository_that_is_somebody_elses_says_whose_turn_it_is() {
    if !is_root() {
        return skip("only root can be two users");
    }
    const NOBODY: u32 = 65_534;
    let machine = Machine::with_repository();
    for path in [machine.path(""), machine.path("home"), machine.key_file.clone()] {
        std::os::unix::fs::lchown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let program = machine.path("program");
    fs::copy(env!("CARGO_BIN_EXE_caddis"), &program).unwrap();
    let run = machine.program(&program, "snapshots").for_user(NOBODY).ends_with(1);
    assert!(run.stderr.contains("run caddis as the user who owns"), "{}", run.transcript());
}

const MIB: u64 = 1 << 20;
const RESERVE_BYTES: u64 = 4 * MIB;

#[test]
fn a_full_disk_ends_a_backup_and_spoils_nothing_and_the_next_one_succeeds() {
    const BALLAST_BYTES: u64 = 32 * MIB;
    const FREE_BYTES: u64 = 10 * MIB;
    let mut machine = Machine::new();
    let place = machine.folder("disk");
    let Some(disk) = SmallDisk::mount(place.clone(), RESERVE_BYTES + BALLAST_BYTES + FREE_BYTES) else { return };
    machine.repository = place.join("repo");
    machine.caddis("init --pack-size 4MiB").ok();
    let small = machine.folder_with("small", &[("file", b"saved before")]);
    machine.caddis("backup").arg(&small).ok();
    let ballast = place.join("ballast");
    fs::write(&ballast, random_bytes("ballast", BALLAST_BYTES.try_into().unwrap())).unwrap();
    let large = machine.folder_with("large", &[("file", &random_bytes("large", 16 << 20))]);

    let run = machine.caddis("backup").arg(&large).ends_with(15);
    assert!(run.stderr.contains(": no space left\n") && run.stderr.contains("make room at"), "{}", run.transcript());
    assert_eq!(machine.snapshot_ids().len(), 1);
    machine.caddis("check --read-data").ok();
    machine.caddis("restore").arg(inside("latest", &small)).arg("target").ok();
    assert_eq!(fs::read(machine.path("target/file")).unwrap(), b"saved before");

    fs::remove_file(&ballast).unwrap();
    machine.caddis("backup").arg(&large).ok();
    machine.caddis("check --read-data").ok();
    machine.caddis("restore").arg(inside("latest", &large)).arg("large again").ok();
    assert_same(&snapshot_of(&large), &snapshot_of(&machine.path("large again")), Ignore::default());
    drop(disk);
}

#[test]
fn a_full_disk_ends_a_restore() {
    let machine = Machine::with_repository();
    let large = machine.folder_with("large", &[("file", &random_bytes("large", 8 << 20))]);
    machine.caddis("backup").arg(&large).ok();
    let place = machine.folder("disk");
    let Some(_disk) = SmallDisk::mount(place.clone(), 4 * MIB) else { return };
    let run = machine.caddis("restore").arg(inside("latest", &large)).arg(&place).ends_with(15);
    assert!(run.stderr.contains("make room"), "{}", run.transcript());
}

#[test]
fn a_read_only_file_system_still_gives_back_what_it_holds() {
    let mut machine = Machine::new();
    let place = machine.folder("disk");
    let Some(disk) = SmallDisk::mount(place.clone(), 16 * MIB) else { return };
    machine.repository = place.join("repo");
    machine.caddis("init").ok();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup").arg(&source).ok();
    disk.make_read_only();
    let run = machine.caddis("backup").arg(&source).ends_with(1);
    assert!(run.stderr.contains("read-only"), "{}", run.transcript());
    assert!(run.stderr.contains("for writing"), "{}", run.transcript());
    machine.caddis("check --read-data").ok();
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    assert_eq!(fs::read(machine.path("target/file")).unwrap(), b"saved");
}

#[test]
fn a_repository_moved_to_another_place_goes_on_there() {
    let mut machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup").arg(&source).ok();
    let moved = machine.path("moved");
    fs::rename(&machine.repository, &moved).unwrap();
    machine.repository = moved;
    machine.caddis("backup").arg(&source).ok();
    assert_eq!(machine.snapshot_ids().len(), 2);
    assert!(machine.objects("packs").iter().chain(&machine.objects("trees")).all(|pack| len(pack) > 0));
    machine.caddis("restore").arg(inside("latest", &source)).arg(Path::new("target")).ok();
}
