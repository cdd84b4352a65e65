//! A small repository of each version of the format lies in `tests/data`, and is read for ever.
//!
//! Until the format is frozen, `tests/data/make-v0` makes it anew when the format changes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use caddis::format;
use caddis::store::ObjectKind;

fn data(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/v{version}"))
}

/// A copy with the empty folders that version control does not keep.
struct Golden {
    folder: tempfile::TempDir,
    data: PathBuf,
}

impl Golden {
    fn new(version: u8) -> Self {
        let golden = Self { folder: tempfile::tempdir().unwrap(), data: data(version) };
        copy(&golden.data.join("repo"), &golden.repository());
        for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Config) {
            let shards = if kind.is_sharded() { 0..=255u8 } else { 0..=0 };
            for shard in shards {
                let below = if kind.is_sharded() { format!("{shard:02x}") } else { String::new() };
                fs::create_dir_all(golden.repository().join(kind.folder()).join(below)).unwrap();
            }
        }
        fs::create_dir_all(golden.repository().join("tmp")).unwrap();
        golden
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn caddis(&self, key: &str, words: &[&str]) -> Output {
        let flag = if key == "key" { "--key-file" } else { "--password-file" };
        Command::new(env!("CARGO_BIN_EXE_caddis"))
            .args(words)
            .arg("-r")
            .arg(self.repository())
            .arg(flag)
            .arg(self.data.join(key))
            .env_clear()
            .env("HOME", self.folder.path())
            .output()
            .unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn there_is_a_repository_of_every_version_that_this_program_reads() {
    for version in 0..=format::VERSION {
        assert!(data(version).join("repo/config").is_file(), "version {version}");
    }
    assert!(!data(format::VERSION + 1).exists(), "a repository of a version that the program does not know");
}

#[test]
fn the_repository_of_version_0_opens_by_key_file_and_passphrase_and_is_whole() {
    let golden = Golden::new(0);
    for key in ["key", "passphrase"] {
        let checked = golden.caddis(key, &["check", "--read-data", "--json"]);
        assert!(checked.status.success(), "{}", text(&checked.stderr));
        let summary: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!((summary["num_errors"].as_u64(), summary["snapshots"].as_u64()), (Some(0), Some(1)));
    }
}

#[test]
fn the_repository_of_version_0_has_objects_of_every_kind_and_can_be_pruned() {
    let golden = Golden::new(0);
    let count = |kind: ObjectKind| {
        let walk = walkdir::WalkDir::new(golden.repository().join(kind.folder())).into_iter();
        walk.filter(|entry| entry.as_ref().unwrap().file_type().is_file()).count()
    };
    for kind in ObjectKind::ALL {
        assert!(count(kind) > 0, "there is none in {}", kind.folder());
    }
    let pruned = golden.caddis("key", &["prune", "--undo-window", "0", "--min-age", "0", "--json"]);
    assert!(pruned.status.success(), "{}", text(&pruned.stderr));
    let left = [ObjectKind::Pending, ObjectKind::Snapshots, ObjectKind::Forgotten, ObjectKind::Gc].map(count);
    assert_eq!(left, [0, 1, 0, 1]);
    assert!(golden.caddis("key", &["check", "--read-data"]).status.success());
}

#[test]
fn the_snapshot_of_version_0_comes_back_as_it_was() {
    let golden = Golden::new(0);
    let expected = fs::read_to_string(golden.data.join("expected")).unwrap();
    let (path, tree) = expected.trim_end().split_once(' ').unwrap();
    let listed = golden.caddis("key", &["snapshots", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["tree"], tree);
    assert_eq!(listed[0]["hostname"], "golden");
    assert_eq!(listed[0]["label"], "test");

    let target = golden.folder.path().join("target");
    let restored =
        golden.caddis("key", &["restore", &format!("latest:{path}"), target.to_str().unwrap(), "--no-owner"]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let lines: String = (0..60_000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(fs::read_to_string(target.join("tiny")).unwrap(), "a tiny file");
    assert_eq!(fs::read_to_string(target.join("lines")).unwrap(), lines);
    let hole = fs::read(target.join("hole")).unwrap();
    assert_eq!(hole, [&vec![0; 1 << 20][..], b"after a hole"].concat());
    assert_eq!(fs::read_link(target.join("folder/symlink")).unwrap(), Path::new("../tiny"));
    assert!(fs::symlink_metadata(target.join("folder/fifo")).unwrap().file_type().is_fifo());
    let of = |name: &str| fs::metadata(target.join(name)).unwrap();
    assert_eq!(of("lines").ino(), of("folder/hardlink").ino());
    assert_eq!((of("tiny").mtime(), of("tiny").mtime_nsec()), (-14_182_940, 123_456_789));
    assert_eq!(of("folder").permissions().mode() & 0o777, 0o750);
}
