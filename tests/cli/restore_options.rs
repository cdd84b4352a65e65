//! What else may be chosen for a restore.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside, is_root, skip};
use crate::common::zoo::{build_zoo, random_bytes};

#[test]
fn every_file_is_what_it_should_be_when_it_is_read_again() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    build_zoo(&source);
    machine.caddis("backup").arg(&source).ok();
    let restore = |words: &str| {
        let run = machine.caddis(words).arg(inside("latest", &source)).arg("target").ok();
        run.json_lines().pop().unwrap()
    };
    let first = restore("restore --json --verify");
    // Further names of a file are not read again.
    assert!(first["files_verified"].as_u64() > Some(20), "{first}");
    assert!(first["files_verified"].as_u64() <= first["files_restored"].as_u64(), "{first}");
    let second = restore("restore --json --verify --overwrite if-changed");
    assert_eq!((&second["files_verified"], &second["files_restored"]), (&first["files_verified"], &0.into()));
    assert_same(&snapshot_of(&source), &snapshot_of(&machine.path("target")), Ignore::default());
    assert_eq!(restore("restore --json --overwrite if-changed")["files_verified"], 0);
}

/// Size and time say that a file is what it was, and only its bytes that it is not.
#[test]
fn a_file_that_was_kept_and_is_another_one_is_named() {
    let machine = Machine::with_repository();
    let large = random_bytes("large", 2_000_000);
    let source = machine.folder_with("source", &[("small", b"content"), ("large", &large), ("sound", b"sound")]);
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(32 << 20).unwrap();
    machine.caddis("backup").arg(&source).ok();
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
    let falsify = |name: &str, offset: u64| {
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().write(true).open(machine.path("target").join(name)).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"\x01", offset).unwrap();
        file.set_modified(modified).unwrap();
    };
    for (name, offset) in [("small", 3), ("large", 1_999_999), ("sparse", 20 << 20)] {
        falsify(name, offset);
    }
    let again = |words: &str| machine.caddis(words).arg(inside("latest", &source)).arg("target");
    again("restore --overwrite if-changed").ok();
    let found = again("restore --overwrite if-changed --verify").ends_with(7);
    for name in ["small", "large", "sparse"] {
        let wanted = format!("/source/{name}: read again it differs from the snapshot, from byte ");
        assert!(found.stderr.contains(&wanted), "{}", found.transcript());
    }
    assert_eq!(found.stderr.lines().count(), 3, "{}", found.transcript());
    again("restore --overwrite always --verify").ok();
    assert_same(&snapshot_of(&source), &snapshot_of(&machine.path("target")), Ignore::default());
}

#[test]
fn what_lends_rights_is_left_out_of_files_when_asked() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("program", b"#!/bin/sh")]);
    fs::create_dir(source.join("folder")).unwrap();
    for (name, mode) in [("program", 0o6755), ("folder", 0o2775)] {
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let flags = rustix::fs::XattrFlags::empty();
    let has_capability = match rustix::fs::setxattr(source.join("program"), "security.capability", capability, flags) {
        Ok(()) => true,
        Err(error) => {
            skip(&format!("no file capabilities here: {error}"));
            false
        }
    };
    machine.caddis("backup").arg(&source).ok();
    let mode = |path: &str| fs::metadata(machine.path(path)).unwrap().mode() & 0o7777;
    let xattr = |path: &str| {
        let mut value = [0; 64];
        rustix::fs::getxattr(machine.path(path), "security.capability", &mut value).is_ok()
    };
    machine.caddis("restore").arg(inside("latest", &source)).arg("with").ok();
    assert_eq!((mode("with/program"), mode("with/folder")), (0o6755, 0o2775));
    assert_eq!(xattr("with/program"), has_capability);
    machine.caddis("restore --strip-setuid").arg(inside("latest", &source)).arg("without").ok();
    assert_eq!((mode("without/program"), mode("without/folder")), (0o755, 0o2775));
    assert!(!xattr("without/program"));
    // Also from what is kept.
    machine.caddis("restore --strip-setuid --overwrite if-changed").arg(inside("latest", &source)).arg("with").ok();
    assert_eq!((mode("with/program"), xattr("with/program")), (0o755, false));
}

#[test]
fn owners_are_found_by_their_names_when_asked() {
    if !is_root() {
        return skip("only root can give files away");
    }
    let nobody = uzers::get_user_by_name("nobody").map(|user| user.uid());
    let Some(nobody) = nobody else { return skip("there is no nobody here") };
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("named", b""), ("nameless", b"")]);
    lchown(source.join("named"), Some(nobody), Some(0)).unwrap();
    lchown(source.join("nameless"), Some(3_999_999_999), Some(3_999_999_998)).unwrap();
    machine.caddis("backup").arg(&source).ok();
    // As on a machine that gives the name to another number.
    let users = machine.path("passwd");
    fs::write(&users, "root:x:0:0:root:/root:/bin/sh\nnobody:x:4242:4242:nobody:/:/bin/false\n").unwrap();
    let words = format!("mount --bind {} /etc/passwd && exec \"$@\"", users.display());
    let under = ["unshare", "--mount", "sh", "-c", &words, "sh"];
    let restore = |words: &str, target: &str| machine.caddis(words).arg(inside("latest", &source)).arg(target);
    let run = restore("restore --owner-by-name", "by name").under(&under).run();
    if run.code != 0 {
        return skip(&format!("no name space of mounts can be made here: {}", run.transcript()));
    }
    restore("restore", "by number").under(&under).ok();
    let owner = |path: &str| fs::metadata(machine.path(path)).map(|found| (found.uid(), found.gid())).unwrap();
    assert_eq!(owner("by name/named"), (4242, 0));
    assert_eq!(owner("by number/named"), (nobody, 0));
    for target in ["by name", "by number"] {
        assert_eq!(owner(&format!("{target}/nameless")), (3_999_999_999, 3_999_999_998));
    }
    restore("restore --owner-by-name --no-owner", "neither").ends_with(2);
}
