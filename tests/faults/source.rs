//! Sources that do not hold still, and clocks that do not either.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;

use caddis::backup::Report;
use caddis::progress::{Problem, Progress};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::changing::run_as_nobody;
use crate::lab::{Lab, World, assert_same_tree, is_root, random_bytes, restore_to};

/// More than is read at once, so that there is something to read when the first bytes are done.
const LARGE: usize = 9 << 20;

/// Does something once, as soon as some bytes of the first file are done.
struct Once<F> {
    act: Mutex<Option<F>>,
    problems: Mutex<Vec<String>>,
}

impl<F: FnOnce() + Send> Progress for Once<F> {
    fn done(&self, _: u64, bytes: u64) {
        let mut act = self.act.lock().unwrap();
        if bytes > 0
            && let Some(act) = act.take()
        {
            act();
        }
    }

    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap().push(String::from_utf8_lossy(&problem.item).into_owned());
    }
}

/// Backs the source up while `act` happens to it; answers the report, and the items that something was reported of.
fn backed_up_while(lab: &Lab, act: impl FnOnce() + Send) -> (Report, Vec<String>) {
    let once = Once { act: Mutex::new(Some(act)), problems: Mutex::default() };
    let world = World::at(1);
    let report = lab.machine.backup_heard_by(&lab.store, &lab.source, &world.heard_by(&once), &world).unwrap();
    assert!(once.act.lock().unwrap().is_none(), "it happened");
    (report, once.problems.into_inner().unwrap())
}

/// Whatever happens to one file, its neighbours are saved, and so is the next run.
fn assert_neighbour_saved(lab: &Lab, report: &Report) {
    let target = lab.folder.path().join(format!("restored {}", report.snapshot));
    let world = World::at(2);
    let opened = lab.machine.open(&lab.store, &world).unwrap();
    assert_eq!(restore_to(&opened, report.snapshot, &lab.source, &target, &world).unwrap(), 0);
    assert_eq!(fs::read(target.join("z neighbour")).unwrap(), random_bytes("neighbour", 50_000));
    let next = lab.machine.backup(&lab.store, &lab.source, &World::at(3)).unwrap();
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, next.snapshot, &lab.source));
    let found = lab.machine.check(&lab.store);
    assert!(found.problems().is_empty(), "{:?}", found.problems());
}

fn lab_with_a_large_file() -> Lab {
    let lab = Lab::new();
    lab.write("a large one", &random_bytes("large", LARGE));
    lab.write("z neighbour", &random_bytes("neighbour", 50_000));
    lab
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_one_of_the_two_and_never_a_mixture() {
    let lab = lab_with_a_large_file();
    let (path, beside) = (lab.source.join("a large one"), lab.folder.path().join("new"));
    fs::write(&beside, random_bytes("its successor", LARGE)).unwrap();
    let (report, _) = backed_up_while(&lab, || fs::rename(&beside, &path).unwrap());
    let world = World::at(2);
    let target = lab.folder.path().join("target");
    let opened = lab.machine.open(&lab.store, &world).unwrap();
    restore_to(&opened, report.snapshot, &lab.source, &target, &world).unwrap();
    let restored = fs::read(target.join("a large one")).unwrap();
    assert!(restored == random_bytes("large", LARGE) || restored == random_bytes("its successor", LARGE));
    assert_neighbour_saved(&lab, &report);
}

#[test]
fn a_file_that_is_deleted_while_it_is_read_harms_nobody() {
    let lab = lab_with_a_large_file();
    let path = lab.source.join("a large one");
    let (report, problems) = backed_up_while(&lab, || fs::remove_file(&path).unwrap());
    // It was open: what it held is saved, or it is named as a problem.
    let target = lab.folder.path().join("target");
    let world = World::at(2);
    let opened = lab.machine.open(&lab.store, &world).unwrap();
    restore_to(&opened, report.snapshot, &lab.source, &target, &world).unwrap();
    match fs::read(target.join("a large one")) {
        Ok(bytes) => assert!(bytes == random_bytes("large", LARGE)),
        Err(_) => assert_eq!(problems, [path.to_str().unwrap()]),
    }
    assert_neighbour_saved(&lab, &report);
}

/// Root reads everything, so as root this test runs again as somebody else.
#[test]
fn a_file_that_is_closed_to_everybody_while_it_is_read_harms_nobody() {
    if is_root() {
        return run_as_nobody("source::a_file_that_is_closed_to_everybody_while_it_is_read_harms_nobody");
    }
    let lab = lab_with_a_large_file();
    let path = lab.source.join("a large one");
    let (report, problems) = backed_up_while(&lab, || {
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    });
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let target = lab.folder.path().join("target");
    let world = World::at(2);
    let opened = lab.machine.open(&lab.store, &world).unwrap();
    restore_to(&opened, report.snapshot, &lab.source, &target, &world).unwrap();
    let file = target.join("a large one");
    if file.exists() {
        // Its mode came back as well, and it may be the one of either moment.
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(fs::read(&file).unwrap() == random_bytes("large", LARGE));
    } else {
        assert_eq!(problems, [path.to_str().unwrap()]);
    }
    assert_neighbour_saved(&lab, &report);
}

/// A folder outside the source, and whether anything of it is in a snapshot.
const SECRET: &str = "secret of somebody else";

#[test]
fn a_folder_that_becomes_a_symlink_during_the_walk_leads_nowhere() {
    let lab = lab_with_a_large_file();
    for folder in ["b folder", "m folder/inner"] {
        lab.write(&format!("{folder}/file"), b"of the source");
    }
    let outside = lab.folder.path().join("outside");
    fs::create_dir_all(outside.join("inner")).unwrap();
    fs::write(outside.join("file"), SECRET).unwrap();
    fs::write(outside.join("inner/file"), SECRET).unwrap();
    let swap = |name: &str| {
        let path = lab.source.join(name);
        fs::rename(&path, lab.folder.path().join(format!("was {name}"))).unwrap();
        symlink(&outside, path).unwrap();
    };
    let (report, _) = backed_up_while(&lab, || ["b folder", "m folder"].into_iter().for_each(swap));
    let target = lab.folder.path().join("target");
    let world = World::at(2);
    let opened = lab.machine.open(&lab.store, &world).unwrap();
    restore_to(&opened, report.snapshot, &lab.source, &target, &world).unwrap();
    assert_holds_no_secret(&target);
    assert_neighbour_saved(&lab, &report);
}

/// No file in the folder itself holds the secret; symlinks are not followed.
fn assert_holds_no_secret(folder: &Path) {
    for entry in walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap()) {
        if entry.file_type().is_file() {
            assert!(fs::read(entry.path()).unwrap() != SECRET.as_bytes(), "{}", entry.path().display());
        }
    }
}

#[test]
fn a_file_that_becomes_a_fifo_during_the_walk_holds_nobody_up() {
    let lab = lab_with_a_large_file();
    for name in ["b file", "m file"] {
        lab.write(name, &random_bytes(name, 30_000));
    }
    let become_fifo = |name: &str| {
        let path = lab.source.join(name);
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    let (report, _) = backed_up_while(&lab, || ["b file", "m file"].into_iter().for_each(become_fifo));
    assert!(fs::symlink_metadata(lab.source.join("b file")).unwrap().file_type().is_fifo());
    assert_neighbour_saved(&lab, &report);
}

#[test]
fn a_clock_that_goes_back_and_forward_by_years_loses_no_run_and_no_change() {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    let lab = Lab::new();
    lab.write_old_tree();
    let mut saved = Vec::new();
    for (number, secs) in [0, 30 * YEAR, -40 * YEAR, 1, -40 * YEAR, 200 * YEAR].into_iter().enumerate() {
        lab.write("changed", format!("run {number}").as_bytes());
        let report = lab.machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap();
        assert_eq!(report.problems, 0);
        saved.push((report.snapshot, lab.tree()));
        let found = lab.machine.check(&lab.store);
        assert!(found.problems().is_empty(), "{:?}", found.problems());
    }
    assert_eq!(lab.machine.snapshots(&lab.store).len(), saved.len());
    for (id, tree) in saved {
        assert_same_tree(&tree, &lab.machine.restored(&lab.store, id, &lab.source));
    }
}
