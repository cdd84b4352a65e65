//! What `restore --overwrite` does with what is there already.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;
use serde_json::Value;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, Run, inside, is_root};
use crate::common::zoo::{build_zoo, random_bytes, set_mtime};

const POLICIES: [&str; 4] = ["always", "if-changed", "if-newer", "never"];
/// As a run that was killed leaves it.
const LEFTOVER: &str = ".caddis-restore-0123456789abcdef-7";
const SAVED_AT: i64 = 1_500_000_000;

fn restore(machine: &Machine, source: &Path, overwrite: &str, target: &str) -> Run {
    machine.caddis("restore --json --overwrite").arg(overwrite).arg(inside("latest", source)).arg(target).run()
}

#[track_caller]
fn restored(machine: &Machine, source: &Path, overwrite: &str, target: &str) -> Value {
    let run = restore(machine, source, overwrite, target);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.transcript());
    run.json_lines().pop().unwrap()
}

fn content(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn each_policy_decides_by_what_it_is_called_after() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    for name in ["same", "longer", "older", "newer", "missing"] {
        fs::write(source.join(name), "saved").unwrap();
        set_mtime(&source.join(name), SAVED_AT, 5);
    }
    machine.caddis("backup").arg(&source).ok();
    // What a policy does not look at differs: also what seems to be the same has another content.
    for (policy, replaced, kept, skipped) in [
        ("always", vec!["same", "longer", "older", "newer"], 0, 0),
        ("if-changed", vec!["longer", "older", "newer"], 1, 0),
        ("if-newer", vec!["older"], 0, 3),
        ("never", vec![], 0, 4),
    ] {
        let target = machine.folder(policy);
        for (name, text, mtime) in [
            ("same", "there!", SAVED_AT),
            ("longer", "there, and longer", SAVED_AT),
            ("older", "there", SAVED_AT - 1),
            ("newer", "there", SAVED_AT + 1),
        ] {
            fs::write(target.join(name), &text[..text.len().min(if name == "longer" { 99 } else { 5 })]).unwrap();
            set_mtime(&target.join(name), mtime, 5);
            fs::set_permissions(target.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(target.join("mine"), "nobody saved it").unwrap();
        let report = restored(&machine, &source, policy, policy);
        for name in ["same", "longer", "older", "newer"] {
            let is_saved = content(target.join(name)) == "saved";
            assert_eq!(is_saved, replaced.contains(&name), "{policy}: {name}");
        }
        assert_eq!(content(target.join("missing")), "saved", "{policy}");
        assert_eq!(content(target.join("mine")), "nobody saved it", "{policy}");
        assert_eq!(report["files_restored"], replaced.len() + 1, "{policy}");
        assert_eq!(report["files_unchanged"], kept, "{policy}");
        assert_eq!(report["files_skipped"], skipped, "{policy}");
        assert_eq!(report["total_files"], 5, "{policy}");
        assert_eq!(report["total_bytes"], 25, "{policy}");
        let mode = |name: &str| fs::metadata(target.join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode("same") == 0o600, policy == "if-newer" || policy == "never", "{policy}");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 6, "{policy}: nothing is left lying around");
    }
}

#[test]
fn what_is_restored_over_itself_is_the_same_and_nothing_is_written_that_need_not_be() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    build_zoo(&source);
    machine.caddis("backup").arg(&source).ok();
    let target = machine.path("target");
    machine.caddis("restore").arg(inside("latest", &source)).arg(&target).ok();
    let before = snapshot_of(&source);
    let inodes = |name: &str| fs::metadata(target.join("hard links").join(name)).unwrap().ino();
    let names: Vec<_> = fs::read_dir(target.join("hard links"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let first: Vec<u64> = names.iter().map(|name| inodes(name)).collect();

    let report = restored(&machine, &source, "if-changed", "target");
    assert_same(&before, &snapshot_of(&target), Ignore::default());
    for nothing in ["files_restored", "dirs_restored", "others_restored", "bytes_restored", "files_deleted"] {
        assert_eq!(report[nothing], 0, "{nothing} of {report}");
    }
    assert_eq!(report["files_unchanged"], before.len() - 1);
    assert_eq!(names.iter().map(|name| inodes(name)).collect::<Vec<_>>(), first);

    let report = restored(&machine, &source, "always", "target");
    assert_same(&before, &snapshot_of(&target), Ignore::default());
    let folders = before.values().filter(|item| item.kind == FileType::Directory).count();
    assert_eq!(report["files_unchanged"], folders - 1, "all but the folders was written anew: {report}");
    assert_eq!((&report["files_skipped"], &report["dirs_restored"]), (&0.into(), &0.into()));
}

#[test]
fn kept_items_get_their_metadata_and_lose_what_the_snapshot_does_not_have() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"content")]);
    fs::create_dir(source.join("folder")).unwrap();
    fs::set_permissions(source.join("file"), fs::Permissions::from_mode(0o440)).unwrap();
    machine.caddis("backup").arg(&source).ok();
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    let before = snapshot_of(&source);
    for name in ["file", "folder"] {
        let path = machine.path("target").join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&path, "user.strange", b"value", flags).unwrap();
    }
    set_mtime(&machine.path("target/folder"), 1, 1);
    restored(&machine, &source, "if-changed", "target");
    assert_same(&before, &snapshot_of(&machine.path("target")), Ignore::default());
}

#[test]
fn what_is_of_another_kind_makes_way_and_no_symlink_is_followed() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    fs::create_dir(source.join("folder")).unwrap();
    fs::create_dir(source.join("other folder")).unwrap();
    for file in ["folder/inner", "other folder/inner", "file", "was a link", "was an empty folder"] {
        fs::write(source.join(file), "saved").unwrap();
    }
    symlink("nowhere", source.join("link")).unwrap();
    machine.caddis("backup").arg(&source).ok();
    let before = snapshot_of(&source);
    let outside = machine.folder_with("outside", &[("inner", b"outside"), ("file", b"outside")]);

    for policy in ["always", "if-changed"] {
        let target = machine.folder(policy);
        symlink(&outside, target.join("folder")).unwrap();
        fs::write(target.join("other folder"), "a file").unwrap();
        symlink(outside.join("file"), target.join("was a link")).unwrap();
        fs::create_dir(target.join("was an empty folder")).unwrap();
        fs::write(target.join("link"), "a file").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, target.join("file"), FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        restored(&machine, &source, policy, policy);
        assert_same(&before, &snapshot_of(&target), Ignore::default());
        assert_eq!(content(outside.join("inner")), "outside");
        assert_eq!(content(outside.join("file")), "outside");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
    }

    let target = machine.folder("kept");
    symlink(&outside, target.join("folder")).unwrap();
    restored(&machine, &source, "never", "kept");
    assert_eq!(fs::read_link(target.join("folder")).unwrap(), outside);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
}

#[test]
fn a_folder_that_holds_something_stays_where_a_file_belongs() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", b"saved"), ("b", b"saved too")]);
    machine.caddis("backup").arg(&source).ok();
    let target = machine.folder("target");
    fs::create_dir(target.join("a")).unwrap();
    fs::write(target.join("a/mine"), "precious").unwrap();
    let run = machine.caddis("restore --overwrite always").arg(inside("latest", &source)).arg("target").ends_with(7);
    assert!(run.stderr.contains("/source/a: a folder stands in its place: "), "{}", run.transcript());
    assert_eq!(content(target.join("a/mine")), "precious");
    assert_eq!(content(target.join("b")), "saved too");
}

#[test]
fn names_of_one_file_are_names_of_one_file_again_whatever_stood_under_them() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    let bytes = random_bytes("linked", 200_000);
    fs::create_dir(source.join("sub")).unwrap();
    fs::write(source.join("a"), &bytes).unwrap();
    for name in ["b", "sub/c", "z"] {
        fs::hard_link(source.join("a"), source.join(name)).unwrap();
    }
    machine.caddis("backup").arg(&source).ok();
    let before = snapshot_of(&source);
    for policy in POLICIES {
        let target = machine.folder(policy);
        fs::create_dir(target.join("sub")).unwrap();
        // The first name is there and as it was, the second one another file of the same content, the third another one.
        fs::copy(source.join("a"), target.join("a")).unwrap();
        fs::copy(source.join("a"), target.join("b")).unwrap();
        for name in ["a", "b"] {
            let file = File::open(target.join(name)).unwrap();
            file.set_modified(fs::metadata(source.join("a")).unwrap().modified().unwrap()).unwrap();
        }
        fs::write(target.join("sub/c"), "another one").unwrap();
        let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        File::open(target.join("sub/c")).unwrap().set_modified(past).unwrap();
        let kept = fs::metadata(target.join("a")).unwrap().ino();

        restored(&machine, &source, policy, policy);
        let ino = |name: &str| fs::metadata(target.join(name)).unwrap().ino();
        match policy {
            "always" | "if-changed" => {
                assert_same(&before, &snapshot_of(&target), Ignore::default());
                assert_eq!(ino("a") == kept, policy == "if-changed");
            }
            // What is there stays; the names that are made belong together.
            "if-newer" => {
                assert_eq!(ino("a"), kept);
                assert_eq!((ino("sub/c"), fs::read(target.join("z")).unwrap()), (ino("z"), bytes.clone()));
            }
            _ => {
                assert_eq!((ino("a"), content(target.join("sub/c"))), (kept, "another one".to_owned()));
                assert!(fs::read(target.join("z")).unwrap() == bytes);
            }
        }
    }
}

#[test]
fn who_has_the_old_file_open_reads_on_in_it() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", &random_bytes("new", 3_000_000))]);
    machine.caddis("backup").arg(&source).ok();
    let target = machine.folder_with("target", &[("file", b"the old content")]);
    let mut old = File::open(target.join("file")).unwrap();
    restored(&machine, &source, "always", "target");
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the old content");
    assert_same(&snapshot_of(&source), &snapshot_of(&target), Ignore::default());
}

#[test]
fn what_a_killed_restore_has_left_goes_and_what_only_looks_like_it_stays() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    for folder in ["plain", "saved"] {
        fs::create_dir(source.join(folder)).unwrap();
        fs::write(source.join(folder).join("file"), "saved").unwrap();
    }
    fs::write(source.join("saved").join(LEFTOVER), "an item of the snapshot").unwrap();
    machine.caddis("backup").arg(&source).ok();
    let before = snapshot_of(&source);
    let target = machine.path("target");
    machine.caddis("restore").arg(inside("latest", &source)).arg(&target).ok();
    assert_same(&before, &snapshot_of(&target), Ignore::default());
    fs::write(target.join(LEFTOVER), "half").unwrap();
    fs::write(target.join("plain").join(LEFTOVER), "half").unwrap();
    let report = restored(&machine, &source, "never", "target");
    assert_eq!(report["files_deleted"], 2);
    let names = |tree: &Path| snapshot_of(tree).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&target), names(&source));
    restored(&machine, &source, "if-changed", "target");
    assert_same(&before, &snapshot_of(&target), Ignore::default());
}

#[test]
fn a_single_file_obeys_the_policy_too() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    set_mtime(&source.join("file"), SAVED_AT, 0);
    machine.caddis("backup").arg(&source).ok();
    let wanted = source.join("file");
    for (mtime, policy, is_replaced) in [
        (SAVED_AT, "always", true),
        (SAVED_AT, "if-changed", false),
        (SAVED_AT + 1, "if-changed", true),
        (SAVED_AT + 1, "if-newer", false),
        (SAVED_AT - 1, "if-newer", true),
        (SAVED_AT - 1, "never", false),
    ] {
        for target in ["file", "into"] {
            fs::remove_dir_all(machine.path("into")).ok();
            let path = if target == "file" { machine.path("file") } else { machine.folder("into").join("file") };
            fs::write(&path, "there").unwrap();
            set_mtime(&path, mtime, 0);
            restored(&machine, &wanted, policy, target);
            assert_eq!(content(&path) == "saved", is_replaced, "{policy} over {mtime} in {target}");
        }
    }
    let refused = machine.caddis("restore").arg(inside("latest", &wanted)).arg("file").ends_with(9);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.transcript());
    restored(&machine, &wanted, "never", "absent");
    assert_eq!(content(machine.path("absent")), "saved");
}

#[test]
fn a_folder_that_its_owner_may_not_change_is_restored_into_and_gets_its_mode_back() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    fs::create_dir(source.join("closed")).unwrap();
    fs::write(source.join("closed/file"), "saved").unwrap();
    fs::set_permissions(source.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    machine.caddis("backup").arg(&source).ok();
    if is_root() {
        // The user of this machine is nobody in particular, who owns what they restore.
        for path in [machine.path("."), machine.repository.clone(), machine.key_file.clone()] {
            for entry in walkdir::WalkDir::new(path) {
                std::os::unix::fs::lchown(entry.unwrap().path(), Some(4321), Some(4321)).unwrap();
            }
        }
    }
    let as_user = |words: &str| {
        let run = machine.caddis(words).arg(inside("latest", &source)).arg("target");
        if is_root() { run.for_user(4321) } else { run }
    };
    if is_root() && as_user("restore").run().code != 0 {
        return crate::common::program::skip("another user cannot run the program from here");
    }
    if !is_root() {
        as_user("restore").ok();
    }
    as_user("restore --overwrite always").ok();
    assert_same(&snapshot_of(&source), &snapshot_of(&machine.path("target")), Ignore::default());
}
