//! Folders with many entries, and very deep ones.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};

use crate::lab::{Lab, World, assert_same_tree, restore_to};

const MANY: usize = 20_000;
const DEEP: usize = 3_000;

#[test]
fn a_change_in_a_folder_of_twenty_thousand_files_stores_little() {
    let lab = Lab::new();
    for number in 0..MANY {
        fs::write(lab.source.join(format!("file {number:05}")), format!("content {number}")).unwrap();
    }
    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    assert_eq!(first.summary.files, MANY as u64);

    lab.write("file 12345", b"something else");
    let second = lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap();
    assert!(second.summary.new_bytes < 128 << 10, "one changed: {} bytes", second.summary.new_bytes);
    lab.write("file 07000 and a new one", b"new");
    let third = lab.machine.backup(&lab.store, &lab.source, &World::at(3)).unwrap();
    assert!(third.summary.new_bytes < 128 << 10, "one more: {} bytes", third.summary.new_bytes);
    fs::remove_file(lab.source.join("file 00000")).unwrap();
    let fourth = lab.machine.backup(&lab.store, &lab.source, &World::at(4)).unwrap();
    assert!(fourth.summary.new_bytes < 128 << 10, "one less: {} bytes", fourth.summary.new_bytes);

    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, fourth.snapshot, &lab.source));
}

fn open_folder(folder: Option<&OwnedFd>, name: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match folder {
        Some(folder) => openat(folder, name, flags, Mode::empty()).unwrap(),
        None => openat(CWD, name, flags, Mode::empty()).unwrap(),
    }
}

/// Hangs the chain up one level after the other, so that no removal has to go deep.
fn remove_chain(root: &Path) {
    let root = open_folder(None, root);
    while let Ok(top) = openat(&root, "d", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = unlinkat(&top, "bottom", AtFlags::empty());
        let next = renameat(&top, "d", &root, "next").is_ok();
        unlinkat(&root, "d", AtFlags::REMOVEDIR).unwrap();
        if next {
            renameat(&root, "next", &root, "d").unwrap();
        }
    }
}

#[test]
fn a_chain_of_three_thousand_folders_comes_back() {
    let lab = Lab::new();
    let mut folder = open_folder(None, &lab.source);
    for _ in 0..DEEP {
        mkdirat(&folder, "d", Mode::RWXU).unwrap();
        folder = open_folder(Some(&folder), Path::new("d"));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let mut file = File::from(openat(&folder, "bottom", flags, Mode::RUSR | Mode::WUSR).unwrap());
    std::io::Write::write_all(&mut file, b"far down").unwrap();
    drop(file);

    let first = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    assert_eq!((first.problems, first.summary.files), (0, 1));
    assert!(first.summary.folders >= DEEP as u64);
    let second = lab.machine.backup(&lab.store, &lab.source, &World::at(2)).unwrap();
    assert_eq!((second.new_chunks, second.tree), (0, first.tree));
    assert!(lab.machine.check(&lab.store).problems().is_empty());

    let target = lab.folder.path().join("target");
    let world = World::at(3);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    assert_eq!(restore_to(&repository, first.snapshot, &lab.source, &target, &world).unwrap(), 0);
    let (mut source, mut restored) = (open_folder(None, &lab.source), open_folder(None, &target));
    for level in 0..DEEP {
        let stat = |folder: &OwnedFd| {
            let stat = statat(folder, "d", AtFlags::SYMLINK_NOFOLLOW).unwrap();
            (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec)
        };
        assert_eq!(stat(&source), stat(&restored), "level {level}");
        source = open_folder(Some(&source), Path::new("d"));
        restored = open_folder(Some(&restored), Path::new("d"));
    }
    let file = openat(&restored, "bottom", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    assert_eq!(std::io::read_to_string(File::from(file)).unwrap(), "far down");
    remove_chain(&lab.source);
    remove_chain(&target);
}
