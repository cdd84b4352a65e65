//! Times of access: saved where that is asked for, and nothing that makes a file another one.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use caddis::backup::{Options, Report, backup};

use crate::lab::{Lab, World, restore_to, sources};

fn read_at(lab: &Lab, name: &str, secs: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(secs, 123_456_789);
    File::open(lab.source.join(name)).unwrap().set_times(FileTimes::new().set_accessed(time)).unwrap();
}

fn save(lab: &Lab, secs: i64, with_atime: bool) -> Report {
    let world = World::settled_at(secs);
    let mut repository = lab.machine.open(&lab.store, &world).unwrap();
    let options = Options { with_atime, ..Options::default() };
    backup(&mut repository, &sources(&lab.source), &options, &world.cx()).unwrap()
}

/// Seconds of the times of access of a file and its folder after a restore.
fn restored(lab: &Lab, report: &Report) -> [i64; 2] {
    let folder = tempfile::tempdir().unwrap();
    let world = World::at(0);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let target = folder.path().join("target");
    assert_eq!(restore_to(&repository, report.snapshot, &lab.source, &target, &world).unwrap(), 0);
    ["folder", "folder/inner"].map(|name| fs::metadata(target.join(name)).unwrap().atime())
}

#[test]
fn times_of_access_come_back_where_they_were_saved() {
    let lab = Lab::new();
    lab.write_old_tree();
    read_at(&lab, "folder/inner", 1_000);
    read_at(&lab, "folder", 2_000);
    let bare = save(&lab, 0, false);
    assert!(restored(&lab, &bare).iter().all(|&secs| secs > 1_000_000));
    let first = save(&lab, 1, true);
    assert_eq!(restored(&lab, &first), [2_000, 1_000]);
    // To read a file is no reason to read it again.
    assert_eq!((first.counts.read_bytes, first.counts.changed), (0, 0));
    assert_eq!(save(&lab, 2, true).tree, first.tree);
    read_at(&lab, "folder/inner", 3_000);
    read_at(&lab, "folder", 4_000);
    let second = save(&lab, 3, true);
    assert_eq!(restored(&lab, &second), [4_000, 3_000]);
    // Without the option the tree is what it was without it.
    assert_eq!(save(&lab, 4, false).tree, bare.tree);
    assert!(lab.machine.check(&lab.store).problems().is_empty());
}
