//! Sources that change between runs and while they are read.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use caddis::error::Error;
use caddis::progress::{Problem, Progress};

use crate::lab::{Lab, World, assert_same_tree, is_root, random_bytes};

#[test]
fn an_item_that_became_another_kind_of_item_comes_back_as_what_it_is() {
    let lab = Lab::new();
    lab.write("item", &random_bytes("item", 40_000));
    lab.write("beside", b"unchanged");
    let item = lab.source.join("item");
    type Make = fn(&Path);
    let kinds: [Make; 5] = [
        |item| fs::create_dir(item).and_then(|()| fs::write(item.join("below"), b"in a folder")).unwrap(),
        |item| symlink("beside", item).unwrap(),
        |item| fs::write(item, b"a file again").unwrap(),
        |item| {
            fs::create_dir(item).unwrap();
            symlink("/nowhere", item.join("below")).unwrap();
        },
        |item| fs::hard_link(item.with_file_name("beside"), item).unwrap(),
    ];
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(0)).unwrap();
    let mut saved = vec![(first.snapshot, lab.tree())];
    for (secs, make) in (1..).zip(kinds) {
        match fs::symlink_metadata(&item).unwrap().is_dir() {
            true => fs::remove_dir_all(&item).unwrap(),
            false => fs::remove_file(&item).unwrap(),
        }
        make(&item);
        let report = lab.machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap();
        assert_eq!(report.problems, 0);
        saved.push((report.snapshot, lab.tree()));
    }
    for (id, tree) in saved {
        assert_same_tree(&tree, &lab.machine.restored(&lab.store, id, &lab.source));
    }
}

/// Does something while a file is read: each time some of its bytes are done, as often as `times` says.
struct Meddler<F> {
    times: Mutex<u32>,
    meddle: F,
    problems: Mutex<Vec<Problem>>,
}

impl<F: Fn(u32) + Sync> Meddler<F> {
    fn new(times: u32, meddle: F) -> Self {
        Self { times: Mutex::new(times), meddle, problems: Mutex::default() }
    }

    fn problems(&self) -> Vec<PathBuf> {
        let path = |problem: &Problem| {
            use std::os::unix::ffi::OsStrExt;
            PathBuf::from(OsStr::from_bytes(&problem.item))
        };
        self.problems.lock().unwrap().iter().map(path).collect()
    }
}

impl<F: Fn(u32) + Sync> Progress for Meddler<F> {
    fn done(&self, _: u64, bytes: u64) {
        let mut times = self.times.lock().unwrap();
        if bytes > 0 && *times > 0 {
            *times -= 1;
            (self.meddle)(*times);
        }
    }

    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap().push(problem.clone());
    }
}

/// More than is read at once, so that there is something to read when the first bytes are done.
const LARGE: usize = 9 << 20;

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_file_that_grows_once_while_it_is_read_is_read_again() {
    let lab = Lab::new();
    lab.write("growing", &random_bytes("growing", LARGE));
    let path = lab.source.join("growing");
    let meddler = Meddler::new(1, |_| append(&path, b"a later line\n"));
    let world = World::at(1);
    let report = lab.machine.backup_heard_by(&lab.store, &lab.source, &world.heard_by(&meddler), &world).unwrap();
    assert_eq!((report.problems, meddler.problems()), (0, vec![]));
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
}

#[test]
fn a_file_that_is_truncated_once_while_it_is_read_is_read_again() {
    let lab = Lab::new();
    lab.write("shrinking", &random_bytes("shrinking", LARGE));
    let path = lab.source.join("shrinking");
    let meddler = Meddler::new(1, |_| OpenOptions::new().write(true).open(&path).unwrap().set_len(100_000).unwrap());
    let world = World::at(1);
    let report = lab.machine.backup_heard_by(&lab.store, &lab.source, &world.heard_by(&meddler), &world).unwrap();
    assert_eq!((report.problems, meddler.problems()), (0, vec![]));
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
}

#[test]
fn a_file_that_changes_whenever_it_is_read_is_saved_and_named() {
    let lab = Lab::new();
    lab.write("log", &random_bytes("log", LARGE));
    lab.write("beside", &random_bytes("beside", 50_000));
    let path = lab.source.join("log");
    let meddler = Meddler::new(u32::MAX, |left| append(&path, &left.to_le_bytes()));
    let world = World::at(1);
    let report = lab.machine.backup_heard_by(&lab.store, &lab.source, &world.heard_by(&meddler), &world).unwrap();
    assert_eq!((report.problems, meddler.problems()), (1, vec![path.clone()]));
    let snapshot = lab.machine.snapshots(&lab.store).pop().unwrap();
    assert!(snapshot.body.partial);
    // What comes back is what was there at some moment: it only grew, so that is a beginning of what is there now.
    let restored = lab.folder.path().join("restored");
    let opened = lab.machine.open(&lab.store, &world).unwrap();
    crate::lab::restore_to(&opened, report.snapshot, &lab.source, &restored, &world).unwrap();
    let (now, then) = (fs::read(&path).unwrap(), fs::read(restored.join("log")).unwrap());
    assert!(then.len() >= LARGE && now.starts_with(&then), "{} of {}", then.len(), now.len());
    assert_eq!(fs::read(restored.join("beside")).unwrap(), random_bytes("beside", 50_000));
}

#[test]
fn a_file_that_is_replaced_and_folders_that_vanish_during_the_walk_harm_nobody_else() {
    let lab = Lab::new();
    lab.write("a large one", &random_bytes("large", LARGE));
    lab.write("folder/below", b"soon gone");
    lab.write("zebra", b"still there");
    let source = lab.source.clone();
    // While the first file is read, one listed after it becomes a symlink and another one vanishes.
    lab.write("item", b"a file as yet");
    lab.write("vanishing", b"for a moment");
    let meddler = Meddler::new(1, move |_| {
        fs::remove_dir_all(source.join("folder")).unwrap();
        fs::write(source.join("folder"), b"a file now").unwrap();
        fs::remove_file(source.join("item")).unwrap();
        symlink("/etc/passwd", source.join("item")).unwrap();
        fs::remove_file(source.join("vanishing")).unwrap();
    });
    let world = World::at(1);
    let report = lab.machine.backup_heard_by(&lab.store, &lab.source, &world.heard_by(&meddler), &world).unwrap();
    assert_eq!(meddler.problems(), [lab.source.join("vanishing")]);
    assert_eq!(report.problems, 1);
    let mut restored = lab.machine.restored(&lab.store, report.snapshot, &lab.source);
    let mut now = lab.tree();
    // The folder above was looked at before its entries went, so that its time is an earlier one.
    now.remove(&b""[..]);
    restored.remove(&b""[..]);
    assert_same_tree(&now, &restored);
}

#[test]
fn sources_that_are_all_missing_save_nothing() {
    let lab = Lab::new();
    let world = World::at(1);
    let nothing = lab.machine.backup(&lab.store, &lab.source.join("nowhere"), &world).unwrap_err();
    assert!(matches!(nothing, Error::NothingSaved), "{nothing}");
    assert!(lab.machine.snapshots(&lab.store).is_empty());
    assert_eq!(world.problems().len(), 1);
}

/// Root reads everything, so as root this test runs again as somebody else.
#[test]
fn items_that_cannot_be_read_are_named_and_the_rest_is_saved() {
    if is_root() {
        return run_as_nobody("changing::items_that_cannot_be_read_are_named_and_the_rest_is_saved");
    }
    let lab = Lab::new();
    lab.write("file", &random_bytes("file", 20_000));
    lab.write("folder/below", b"not to be seen");
    lab.write("open", b"for everybody");
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let whole = lab.tree();
    let closed = [lab.source.join("file"), lab.source.join("folder")];
    let set_modes = |modes: [u32; 2]| {
        closed
            .iter()
            .zip(modes)
            .for_each(|(path, mode)| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap());
    };
    set_modes([0, 0]);
    let world = World::at(2);
    let report = lab.machine.backup(&lab.store, &lab.source, &world).unwrap();
    set_modes([0o644, 0o755]);
    assert_eq!(report.problems, 2);
    let named: Vec<String> = closed.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    for (problem, path) in world.problems().iter().zip(&named) {
        assert!(problem.starts_with(path) && problem.to_lowercase().contains("permission denied"), "{problem}");
    }
    assert!(lab.machine.snapshots(&lab.store).pop().unwrap().body.partial);
    let restored = lab.machine.restored(&lab.store, report.snapshot, &lab.source);
    assert!(restored.contains_key(&b"open"[..]) && !restored.contains_key(&b"file"[..]));
    assert_eq!(lab.machine.restored(&lab.store, first.snapshot, &lab.source).len(), whole.len());
}

pub(crate) fn run_as_nobody(test: &str) {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let program = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(&program)
        .args(["--exact", test])
        .env("TMPDIR", folder.path())
        .current_dir(folder.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
