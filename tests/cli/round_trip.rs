//! What was saved comes back exactly.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside, is_root, skip};
use crate::common::zoo::{DEEP_FILE, DEEP_LEVELS, DEEP_NAME, SPARSE_BYTES, build_zoo, random_bytes, set_mtime};

/// The zoo in a snapshot.
fn saved_zoo(machine: &Machine) -> PathBuf {
    let source = machine.folder("source");
    for left_out in build_zoo(&source).left_out {
        eprintln!("not in the zoo here: {left_out}");
    }
    let report = machine.caddis("backup --json").arg(&source).ok();
    let report = report.json();
    assert_eq!(report["num_errors"], 0);
    assert_eq!(report["sockets_skipped"], 1);
    source
}

/// Also run by an unprivileged user, see the module `user`.
#[test]
fn the_zoo_comes_back_exactly() {
    let machine = Machine::with_repository();
    let source = saved_zoo(&machine);
    let before = snapshot_of(&source);
    machine.caddis("check --read-data").ok();

    let target = machine.path("target");
    machine.caddis("restore").arg(inside("latest", &source)).arg(&target).ok();
    assert_same(&before, &snapshot_of(&target), Ignore::default());
    assert_same_for_rsync(&source, &target);
    assert_same(&before, &snapshot_of(&source), Ignore::default());

    let holes = fs::metadata(target.join("sparse/hole in the middle")).unwrap();
    assert_eq!(holes.len(), SPARSE_BYTES);
    assert!(holes.blocks() * 512 < SPARSE_BYTES / 8, "{} blocks", holes.blocks());
}

/// rsync reads metadata in its own way. It cannot follow the deepest folders, and a socket is not part of a backup.
fn assert_same_for_rsync(source: &Path, target: &Path) {
    let with_slash = |path: &Path| format!("{}/", path.display());
    let compared = Command::new("rsync")
        .args(["-aHAXni", "--checksum", "--delete", "--exclude=/deep", "--exclude=/special/socket"])
        .args([with_slash(source), with_slash(target)])
        .output();
    let Ok(compared) = compared else { return skip("rsync is not installed") };
    let (out, errors) = (String::from_utf8_lossy(&compared.stdout), String::from_utf8_lossy(&compared.stderr));
    assert!(compared.status.success(), "{errors}");
    assert_eq!(out, "", "rsync sees differences");
}

#[test]
fn a_part_of_a_snapshot_comes_back_alone_however_deep_it_lies() {
    let machine = Machine::with_repository();
    let source = saved_zoo(&machine);
    for part in ["hard links", "xattrs", "times", "acls", "modes"] {
        let target = machine.path(part);
        machine.caddis("restore").arg(inside("latest", &source.join(part))).arg(&target).ok();
        assert_same(&snapshot_of(&source.join(part)), &snapshot_of(&target), Ignore::default());
    }
    // Longer than any path that the system takes.
    let mut deepest = source.join("deep");
    deepest.extend(std::iter::repeat_n(DEEP_NAME, DEEP_LEVELS));
    deepest.push(DEEP_FILE.0);
    machine.caddis("restore").arg(inside("latest", &deepest)).arg("bottom").ok();
    assert_eq!(fs::read(machine.path("bottom")).unwrap(), DEEP_FILE.1);
    assert_eq!(fs::metadata(machine.path("bottom")).unwrap().mtime(), -5);
    assert_eq!(machine.caddis("cat").arg(inside("latest", &deepest)).ok().stdout, DEEP_FILE.1);
}

#[test]
fn a_hard_link_whose_other_name_is_not_restored_is_a_file_of_its_own() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[]);
    for folder in ["a", "b"] {
        fs::create_dir(source.join(folder)).unwrap();
    }
    fs::write(source.join("a/one"), b"shared").unwrap();
    fs::hard_link(source.join("a/one"), source.join("b/two")).unwrap();
    machine.caddis("backup").arg(&source).ok();
    machine.caddis("restore").arg(inside("latest", &source.join("b"))).arg("target").ok();
    assert_eq!(fs::read(machine.path("target/two")).unwrap(), b"shared");
    assert_eq!(fs::metadata(machine.path("target/two")).unwrap().nlink(), 1);
}

#[test]
fn a_single_file_goes_to_a_new_name_or_into_a_folder() {
    let machine = Machine::with_repository();
    let content = random_bytes("single", 300_000);
    let source = machine.folder_with("source", &[("thesis.tex", &content), ("other", b"")]);
    let file = source.join("thesis.tex");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    set_mtime(&file, 1_000_000_000, 123_456_789);
    machine.caddis("backup").arg(&source).ok();
    let wanted = inside("latest", &file);

    machine.caddis("restore").arg(&wanted).arg("old.tex").ok();
    machine.folder("into");
    machine.caddis("restore").arg(&wanted).arg("into").ok();
    machine.caddis("restore").arg(&wanted).arg("new/folders/thesis.tex").ok();
    for restored in ["old.tex", "into/thesis.tex", "new/folders/thesis.tex"] {
        let restored = machine.path(restored);
        assert_eq!(fs::read(&restored).unwrap(), content);
        let metadata = fs::metadata(&restored).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_000_000_000, 123_456_789));
    }
    assert_eq!(fs::read_dir(machine.path("into")).unwrap().count(), 1);

    let again = machine.caddis("restore").arg(&wanted).arg("into").ends_with(9);
    assert!(again.transcript().contains("[DIR]/into/thesis.tex") || again.transcript().contains("into/thesis.tex"));
    let over = machine.caddis("restore").arg(&wanted).arg("old.tex").ends_with(9);
    assert!(over.stderr.contains("old.tex"), "{}", over.transcript());
}

#[test]
fn a_whole_snapshot_comes_back_below_its_paths() {
    let machine = Machine::with_repository();
    let one = machine.folder_with("one", &[("a", b"first")]);
    let two = machine.folder_with("two", &[("b", b"second")]);
    set_mtime(&one, 1_234_567_890, 5);
    machine.caddis("backup").arg(&one).arg(two.join("b")).ok();
    machine.caddis("restore latest").arg("target").ok();
    let below = |path: &Path| machine.path("target").join(path.strip_prefix("/").unwrap());
    assert_same(&snapshot_of(&one), &snapshot_of(&below(&one)), Ignore::default());
    assert_eq!(fs::read(below(&two).join("b")).unwrap(), b"second");
    assert_eq!(fs::metadata(below(&two)).unwrap().mode(), fs::metadata(&two).unwrap().mode());
}

#[test]
fn a_relative_source_is_saved_under_its_absolute_path_and_a_symlink_as_such() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("inside", b"content")]);
    symlink("source", machine.path("link")).unwrap();
    machine.caddis("backup ../source ../link").current_dir(&source).ok();
    let listed = machine.caddis("snapshots --json").ok().json();
    let absolute = |name: &str| Value::from(machine.path(name).to_str().unwrap());
    assert_eq!(listed[0]["paths"], Value::from(vec![absolute("link"), absolute("source")]));
    machine.caddis("restore").arg(inside("latest", &machine.path("link"))).arg("back").ok();
    assert_eq!(fs::read_link(machine.path("back")).unwrap(), Path::new("source"));
    machine.caddis("restore").arg(inside("latest", &source)).arg("content").ok();
    assert_eq!(fs::read(machine.path("content/inside")).unwrap(), b"content");
}

#[test]
fn owners_come_back_unless_they_shall_not() {
    if !is_root() {
        return skip("only root can give files away");
    }
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"")]);
    std::os::unix::fs::lchown(source.join("file"), Some(12_345), Some(54_321)).unwrap();
    machine.caddis("backup").arg(&source).ok();
    let owner = |path: &str| fs::metadata(machine.path(path)).map(|found| (found.uid(), found.gid())).unwrap();
    machine.caddis("restore").arg(inside("latest", &source)).arg("with").ok();
    assert_eq!(owner("with/file"), (12_345, 54_321));
    machine.caddis("restore --no-owner").arg(inside("latest", &source)).arg("without").ok();
    assert_eq!(owner("without/file"), (0, 0));
}

#[test]
fn a_restored_tree_saved_again_is_the_same_tree() {
    let machine = Machine::with_repository();
    let source = saved_zoo(&machine);
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    // At the same place, since the path is part of the tree.
    fs::rename(&source, machine.path("old")).unwrap();
    fs::rename(machine.path("target"), &source).unwrap();
    machine.caddis("backup").arg(&source).ok();
    let list = machine.caddis("snapshots --json").ok().json();
    assert_eq!(list[0]["tree"], list[1]["tree"]);
}
