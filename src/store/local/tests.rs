use std::cell::Cell;
use std::os::unix::fs::symlink;

use super::super::contract;
use super::*;

const WHOLE: ByteRange = ByteRange::Whole { limit: 1 << 20 };

fn made() -> (tempfile::TempDir, LocalStore) {
    let around = tempfile::tempdir().unwrap();
    let store = LocalStore::create(&around.path().join("repository")).unwrap();
    (around, store)
}

fn name_of(kind: ObjectKind, bytes: &[u8]) -> ObjectName {
    ObjectName::new(kind, ObjectId::of(bytes))
}

fn at(store: &LocalStore, name: &ObjectName) -> PathBuf {
    store.path().join(name.path())
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn temporaries(store: &LocalStore) -> usize {
    fs::read_dir(store.path().join(TEMPORARIES)).unwrap().count()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_store_in_a_folder_keeps_the_contract() {
    let around = tempfile::tempdir().unwrap();
    let made = Cell::new(0);
    contract::check_contract(&|| {
        made.set(made.get() + 1);
        Box::new(LocalStore::create(&around.path().join(made.get().to_string())).unwrap())
    });
}

#[test]
fn the_whole_layout_is_made_and_private() {
    let around = tempfile::tempdir().unwrap();
    let store = LocalStore::create(&around.path().join("above/repository")).unwrap();
    let mut seen = BTreeSet::new();
    for entry in WalkDir::new(store.path()) {
        let entry = entry.unwrap();
        let mode = if entry.file_type().is_dir() { 0o700 } else { 0o400 };
        assert_eq!(mode_of(entry.path()), mode, "{}", entry.path().display());
        seen.insert(entry.path().strip_prefix(store.path()).unwrap().to_owned());
    }
    for kind in folders() {
        assert!(seen.contains(Path::new(kind)), "{kind}");
    }
    let shards = |kind: &str| (0..SHARDS).filter(|n| seen.contains(&Path::new(kind).join(format!("{n:02x}")))).count();
    assert_eq!((shards("packs"), shards("trees")), (SHARDS, SHARDS));
    // The root, nine kinds, tmp, README.txt and reserve.
    assert_eq!(seen.len(), 1 + 9 + 2 * SHARDS + 3);
}

#[test]
fn the_readme_explains_everything_that_lies_beside_it() {
    let (_around, store) = made();
    let text = fs::read_to_string(store.path().join(README)).unwrap();
    for name in store.names_in(".").unwrap().iter().map(String::as_str).chain(["config"]) {
        let explained =
            |line: &str| line.split_whitespace().next().is_some_and(|word| word.trim_end_matches('/') == name);
        assert!(text.lines().filter(|line| line.starts_with("    ")).any(explained), "{name}");
    }
}

#[test]
fn the_reserve_is_really_allocated() {
    let (_around, store) = made();
    let reserve = fs::metadata(store.path().join(RESERVE)).unwrap();
    assert_eq!(reserve.len(), RESERVE_BYTES as u64);
    assert!(reserve.blocks() * 512 >= RESERVE_BYTES as u64);
}

#[test]
fn an_object_is_a_file_that_nobody_may_write() {
    let (_around, store) = made();
    let name = name_of(ObjectKind::Packs, b"pack");
    store.put(&name, b"pack").unwrap();
    assert_eq!(mode_of(&at(&store, &name)), 0o400);
    assert_eq!(temporaries(&store), 0);
}

#[test]
fn bytes_of_any_length_are_written_from_a_page_boundary_and_from_elsewhere() {
    let (_folder, store) = made();
    let memory: Vec<u8> = (0..6 * crate::store::PAGE_BYTES).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let boundary = memory.as_ptr().align_offset(crate::store::PAGE_BYTES);
    for start in [boundary, boundary + 1] {
        for len in [0, 1, 4095, 4096, 4097, 3 * 4096, 4 * 4096 + 100] {
            let bytes = &memory[start..start + len];
            let name = name_of(ObjectKind::Packs, bytes);
            store.put(&name, bytes).unwrap();
            assert!(fs::read(at(&store, &name)).unwrap() == bytes, "{len} from {start}");
        }
    }
}

#[test]
fn a_repeated_put_leaves_the_file_alone_and_a_healing_one_makes_a_new_file() {
    let (_around, store) = made();
    let name = name_of(ObjectKind::Packs, b"pack");
    let inode = || fs::metadata(at(&store, &name)).unwrap().ino();
    store.put(&name, b"pack").unwrap();
    let first = inode();
    store.put(&name, b"pack").unwrap();
    assert_eq!(inode(), first);
    // Moved aside, so that its inode number cannot be used again.
    fs::rename(at(&store, &name), store.path().join("aside")).unwrap();
    fs::write(at(&store, &name), b"junk").unwrap();
    let damaged = inode();
    store.put(&name, b"pack").unwrap();
    assert_ne!(inode(), damaged);
    assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
    assert_eq!(mode_of(&at(&store, &name)), 0o400);
    assert_eq!(temporaries(&store), 0);
}

#[test]
fn an_object_whose_folder_was_not_synced_is_written_anew() {
    let (_around, store) = made();
    let name = name_of(ObjectKind::Packs, b"pack");
    store.put(&name, b"pack").unwrap();
    let first = File::open(at(&store, &name)).unwrap();
    store.doubtful.lock().unwrap().insert(name);
    store.put(&name, b"pack").unwrap();
    assert_eq!(first.metadata().unwrap().nlink(), 0, "the file of the first put has lost its name");
    assert!(!store.is_doubtful(&name));
}

#[test]
fn a_failed_put_leaves_no_temporary_and_what_was_there_whole() {
    let (_around, store) = made();
    let [kept, name] = [&b"kept"[..], b"pack"].map(|bytes| name_of(ObjectKind::Packs, bytes));
    store.put(&kept, b"kept").unwrap();
    // A folder by the object's name cannot be replaced by a file.
    fs::create_dir(at(&store, &name)).unwrap();
    assert!(matches!(store.put(&name, b"pack"), Err(StoreError::Other(_))));
    assert_eq!(temporaries(&store), 0);
    assert_eq!(store.get(&kept, WHOLE).unwrap(), b"kept");
}

#[test]
fn a_committed_snapshot_is_a_hard_link_of_its_announcement() {
    let (_around, store) = made();
    let [pending, snapshot] = [ObjectKind::Pending, ObjectKind::Snapshots].map(|kind| name_of(kind, b"snapshot"));
    store.put(&pending, b"snapshot").unwrap();
    store.put(&snapshot, b"snapshot").unwrap();
    assert_eq!(fs::metadata(at(&store, &snapshot)).unwrap().nlink(), 2);
    store.put(&snapshot, b"snapshot").unwrap();
    store.delete(&pending).unwrap();
    assert_eq!(store.get(&snapshot, WHOLE).unwrap(), b"snapshot");
}

#[test]
fn a_damaged_announcement_is_not_what_a_snapshot_is_linked_to() {
    let (_around, store) = made();
    let [pending, snapshot] = [ObjectKind::Pending, ObjectKind::Snapshots].map(|kind| name_of(kind, b"snapshot"));
    store.put(&pending, b"snapshoT").unwrap();
    store.put(&snapshot, b"snapshot").unwrap();
    assert_eq!(store.get(&snapshot, WHOLE).unwrap(), b"snapshot");
    assert_eq!(fs::metadata(at(&store, &snapshot)).unwrap().nlink(), 1);
}

#[test]
fn leftovers_are_swept_and_what_is_being_written_is_not() {
    let (_around, store) = made();
    store.put(&ObjectName::CONFIG, b"genesis").unwrap();
    let held = store.write_temporary(b"being written").unwrap();
    let leftover = store.path().join(TEMPORARIES).join("0123456789abcdef".repeat(2));
    fs::write(&leftover, b"of a dead process").unwrap();
    fs::write(store.path().join(TEMPORARIES).join("notes"), b"not ours").unwrap();
    let other = LocalStore::open(store.path()).unwrap();
    assert_eq!(other.sweep_temporaries().unwrap(), 1);
    assert!(!leftover.exists());
    assert_eq!(temporaries(&store), 2);
    let name = name_of(ObjectKind::Packs, b"being written");
    held.publish(&name.path()).unwrap();
    assert_eq!(other.get(&name, WHOLE).unwrap(), b"being written");
    assert_eq!(temporaries(&store), 1);
}

#[test]
fn a_temporary_never_takes_a_name_that_is_taken() {
    let (_around, store) = made();
    let name = name_of(ObjectKind::Packs, b"pack");
    store.put(&name, b"pack").unwrap();
    for publish in [Disk::publish, Disk::publish_by_link] {
        let temporary = store.write_temporary(b"other").unwrap();
        let error = publish(&store.disk, &temporary.path, &name.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
    assert_eq!(temporaries(&store), 0);
}

#[test]
fn a_link_publishes_where_renames_cannot_be_exclusive() {
    let (_around, store) = made();
    let name = name_of(ObjectKind::Packs, b"pack");
    let temporary = store.write_temporary(b"pack").unwrap();
    store.disk.publish_by_link(&temporary.path, &name.path()).unwrap();
    assert_eq!(temporaries(&store), 0);
    drop(temporary);
    assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
    assert_eq!(fs::metadata(at(&store, &name)).unwrap().nlink(), 1);
}

#[test]
fn a_listing_passes_over_what_is_no_object() {
    let (_around, store) = made();
    for kind in [ObjectKind::Packs, ObjectKind::Snapshots] {
        let (kept, stray) = (name_of(kind, b"kept"), name_of(kind, b"stray"));
        store.put(&kept, b"kept").unwrap();
        let folder = at(&store, &kept).parent().unwrap().to_owned();
        fs::write(folder.join(stray.id().to_string().to_uppercase()), b"upper case").unwrap();
        fs::write(folder.join(&stray.id().to_string()[1..]), b"too short").unwrap();
        fs::write(folder.join(".DS_Store"), b"").unwrap();
        fs::create_dir(at(&store, &stray)).unwrap();
        symlink(at(&store, &kept), at(&store, &name_of(kind, b"link"))).unwrap();
        fs::create_dir_all(store.path().join(kind.folder()).join("lost+found/deeper")).unwrap();
        let listed = store.list(kind).unwrap();
        assert_eq!(listed.iter().map(|listed| (listed.id, listed.bytes)).collect::<Vec<_>>(), [(kept.id(), 4)]);
        let written = fs::metadata(at(&store, &kept)).unwrap().mtime();
        assert_eq!(listed[0].modified.map(jiff::Timestamp::as_second), Some(written));
    }
    let packs = store.path().join("packs");
    let id = ObjectId::of(b"kept").to_string();
    let wrong_shard = if id.starts_with("00") { "01" } else { "00" };
    fs::write(packs.join(wrong_shard).join(&id), b"kept").unwrap();
    fs::write(packs.join(&id), b"kept").unwrap();
    fs::create_dir(packs.join(&id[..3])).unwrap();
    fs::write(packs.join(&id[..3]).join(&id), b"kept").unwrap();
    assert_eq!(store.list(ObjectKind::Packs).unwrap().len(), 1);
}

#[test]
fn a_listing_fails_when_a_folder_is_missing_or_none() {
    let (_around, store) = made();
    for folder in ["packs/7f", "trees", "snapshots"] {
        let kind = ObjectKind::ALL.into_iter().find(|kind| folder.starts_with(kind.folder())).unwrap();
        assert_eq!(store.list(kind).unwrap(), []);
        let path = store.path().join(folder);
        fs::remove_dir_all(&path).unwrap();
        assert!(matches!(store.list(kind), Err(StoreError::Other(_))), "{folder} missing");
        fs::write(&path, b"").unwrap();
        assert!(store.list(kind).is_err(), "{folder} a file");
    }
    let put = store.put(&name_of(ObjectKind::Snapshots, b"snapshot"), b"snapshot");
    assert!(matches!(put, Err(StoreError::Other(_))));
}

#[test]
fn a_listing_fails_when_a_folder_cannot_be_read() {
    // Nothing is unreadable to root.
    if is_root() {
        return;
    }
    let (_around, store) = made();
    for (folder, kind) in [("packs/7f", ObjectKind::Packs), ("snapshots", ObjectKind::Snapshots)] {
        let path = store.path().join(folder);
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        assert!(matches!(store.list(kind), Err(StoreError::Denied(_))), "{folder}");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_repository_that_was_moved_away_is_not_listed_as_another() {
    let (around, store) = made();
    fs::rename(store.path(), around.path().join("moved")).unwrap();
    assert!(matches!(store.list(ObjectKind::Packs), Err(StoreError::Unreachable(_))));
    LocalStore::create(store.path()).unwrap();
    assert!(matches!(store.list(ObjectKind::Packs), Err(StoreError::Unreachable(_))));
}

#[test]
fn only_a_regular_file_is_got() {
    let (around, store) = made();
    let name = name_of(ObjectKind::Packs, b"pack");
    let elsewhere = around.path().join("elsewhere");
    fs::write(&elsewhere, b"pack").unwrap();
    symlink(&elsewhere, at(&store, &name)).unwrap();
    assert!(matches!(store.get(&name, WHOLE), Err(StoreError::Other(_))));
    store.put(&name, b"pack").unwrap();
    assert_eq!(store.get(&name, WHOLE).unwrap(), b"pack");
    assert!(fs::symlink_metadata(at(&store, &name)).unwrap().is_file());
}

#[test]
fn a_huge_file_is_refused_before_anything_is_allocated() {
    let (_around, store) = made();
    let name = name_of(ObjectKind::Index, b"huge");
    File::create(at(&store, &name)).unwrap().set_len(1 << 40).unwrap();
    let refused = store.get(&name, WHOLE);
    assert!(matches!(refused, Err(StoreError::TooLong { limit: 0x10_0000, found: 0x100_0000_0000 })), "{refused:?}");
}

#[test]
fn a_record_that_frees_space_may_use_the_reserve() {
    let (_around, store) = made();
    let reserve = store.path().join(RESERVE);
    let full_until_given_up = || if reserve.exists() { Err(StoreError::NoSpace) } else { Ok(()) };
    for kind in [ObjectKind::Packs, ObjectKind::Snapshots, ObjectKind::Index] {
        assert!(matches!(store.with_reserve(kind, full_until_given_up), Err(StoreError::NoSpace)));
        assert!(reserve.exists());
    }
    for kind in [ObjectKind::Gc, ObjectKind::Forgotten] {
        store.with_reserve(kind, full_until_given_up).unwrap();
        assert!(!reserve.exists());
        assert!(matches!(store.with_reserve(kind, || Err(StoreError::NoSpace)), Err(StoreError::NoSpace)));
        store.space_was_freed();
        assert!(reserve.exists());
        assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES as u64);
    }
}

#[test]
fn an_interrupted_create_is_finished() {
    let (_around, store) = made();
    let path = store.path().to_owned();
    fs::remove_file(path.join(RESERVE)).unwrap();
    fs::remove_dir_all(path.join("trees")).unwrap();
    fs::remove_dir(path.join("packs/ff")).unwrap();
    fs::write(path.join(TEMPORARIES).join("ab".repeat(TEMPORARY_NAME_BYTES)), b"half of a file").unwrap();
    let store = LocalStore::create(&path).unwrap();
    for kind in ObjectKind::ALL {
        assert_eq!(store.list(kind).unwrap(), []);
    }
    assert!(path.join(RESERVE).exists());
}

#[test]
fn a_folder_that_holds_anything_else_is_left_alone() {
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("taken");
    fs::create_dir(&path).unwrap();
    let refused = || LocalStore::create(&path).err().unwrap();
    fs::write(path.join("thesis.tex"), b"").unwrap();
    assert!(matches!(refused(), OpenError::NotEmpty { .. }));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    fs::rename(path.join("thesis.tex"), path.join(README)).unwrap();
    assert!(matches!(refused(), OpenError::NotEmpty { .. }));
    fs::remove_file(path.join(README)).unwrap();

    let store = LocalStore::create(&path).unwrap();
    store.put(&ObjectName::CONFIG, b"genesis").unwrap();
    assert!(matches!(refused(), OpenError::Exists { .. }));
    // A repository that has lost its config is still full of backups.
    let pack = name_of(ObjectKind::Packs, b"pack");
    store.put(&pack, b"pack").unwrap();
    store.delete(&ObjectName::CONFIG).unwrap();
    assert!(matches!(refused(), OpenError::NotEmpty { .. }));
    assert!(matches!(LocalStore::open(&path).err().unwrap(), OpenError::NoConfig { .. }));
}

#[test]
fn each_reason_why_there_is_no_repository_is_told_apart() {
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("repository");
    let refused = |path: &Path| LocalStore::open(path).err().unwrap();
    assert!(matches!(refused(&path), OpenError::Absent { .. }));
    fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path), OpenError::Empty { .. }));
    fs::write(path.join("config"), b"[core]\n\tbare = true\n").unwrap();
    assert!(matches!(refused(&path), OpenError::NotARepository { .. }));
    assert!(matches!(refused(&path.join("config")), OpenError::NotAFolder { .. }));
    assert!(matches!(LocalStore::create(&path.join("config")).err().unwrap(), OpenError::NotAFolder { .. }));
    fs::remove_file(path.join("config")).unwrap();
    let store = LocalStore::create(&path).unwrap();
    assert!(matches!(refused(&path), OpenError::NoConfig { .. }));
    store.put(&ObjectName::CONFIG, b"genesis").unwrap();
    assert_eq!(LocalStore::open(&path).unwrap().location(), path.display().to_string());
}

#[test]
fn access_that_is_refused_names_both_users() {
    let around = tempfile::tempdir().unwrap();
    let ours = rustix::process::geteuid().as_raw();
    let error = refusal(&around.path().join("absent"), Errno::ACCESS.into());
    let expected = format!(
        "permission denied at {}: it belongs to uid {ours}, and this process runs as uid {ours}",
        around.path().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_systems_errors_are_sorted_by_what_can_be_done() {
    for (errno, expected) in [
        (Errno::ACCESS, "permission denied"),
        (Errno::PERM, "permission denied"),
        (Errno::ROFS, "the file system is read-only"),
        (Errno::NOSPC, "no space left"),
        (Errno::DQUOT, "no space left"),
        (Errno::IO, "the store cannot be reached"),
        (Errno::STALE, "the store cannot be reached"),
        (Errno::NOTCONN, "the store cannot be reached"),
        (Errno::NODEV, "the store cannot be reached"),
        (Errno::NXIO, "the store cannot be reached"),
        (Errno::FBIG, "the store failed"),
        (Errno::NOENT, "the store failed"),
    ] {
        assert_eq!(failure(errno.into()).to_string(), expected, "{errno}");
    }
}
