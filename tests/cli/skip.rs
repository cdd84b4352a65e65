//! `--skip-if-unchanged` and `--parent`.

use std::fs;

use crate::common::program::Machine;

#[test]
fn no_snapshot_is_made_that_tells_nothing_new() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", b"a"), ("b", b"b")]);
    let backup = |words: &str| {
        let before = machine.snapshot_ids().len();
        machine.caddis(words).arg(&source).ok();
        machine.snapshot_ids().len() - before
    };
    assert_eq!(backup("backup --skip-if-unchanged"), 1);
    assert_eq!(backup("backup --skip-if-unchanged"), 0);
    assert_eq!(backup("backup --skip-if-unchanged --force"), 0);
    // Whatever makes the tree another one makes a snapshot: content, rules, links; so does another series.
    fs::write(source.join("b"), "B").unwrap();
    assert_eq!(backup("backup --skip-if-unchanged"), 1);
    assert_eq!(backup("backup --skip-if-unchanged -e b"), 1);
    assert_eq!(backup("backup --skip-if-unchanged -e b"), 0);
    assert_eq!(backup("backup --skip-if-unchanged -e b --label nightly"), 1);
    assert_eq!(backup("backup --skip-if-unchanged -e b --label nightly"), 0);
    assert_eq!(backup("backup -e b --label nightly"), 1);
    assert_eq!(backup("backup --skip-if-unchanged"), 1);

    let summary = machine.caddis("backup --skip-if-unchanged --json").arg(&source).ok().json();
    assert_eq!((summary.get("snapshot_id"), &summary["total_files_processed"]), (None, &2.into()));
    let run = machine.caddis("backup --skip-if-unchanged -v").arg(&source).ok();
    assert!(run.transcript().contains("nothing has changed since snapshot [ID], so no new one is made: 2 files"));
    assert!(machine.objects("pending").is_empty());
    // What was remembered is as good as before.
    fs::write(source.join("a"), "A").unwrap();
    let latest = machine.caddis("backup --skip-if-unchanged --json").arg(&source).ok().json();
    machine.caddis("check --read-data").ok();
    assert_eq!(latest["snapshot_id"].as_str(), machine.snapshot_ids().last().map(String::as_str));
}

#[test]
fn a_partial_snapshot_is_followed_by_a_whole_one() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", b"a")]);
    let (a, gone) = (source.join("a"), source.join("gone"));
    for (more, code, count) in [(true, 3, 1), (true, 3, 1), (false, 0, 2)] {
        let words = "backup --skip-if-unchanged";
        let run = machine.caddis(words).arg(&a);
        if more {
            run.arg(&gone).ends_with(code)
        } else {
            run.ends_with(code)
        };
        assert_eq!(machine.snapshot_ids().len(), count);
    }
}

#[test]
fn files_are_compared_with_the_parent_that_is_named() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", b"first")]);
    // Only what is older than the parent is believed to be unchanged.
    let first = machine.caddis("backup --json --time 2100-01-01").arg(&source).ok().json();
    let first = first["snapshot_id"].as_str().unwrap().to_owned();
    let counts = |parent: &str| {
        let summary = machine.caddis("backup --json --parent").arg(parent).arg(&source).ok().json();
        ["files_new", "files_changed", "files_unmodified"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(counts(&first), [0, 0, 1]);
    fs::write(source.join("b"), "second").unwrap();
    assert_eq!(counts(&first), [1, 0, 1]);
    fs::write(source.join("a"), "longer").unwrap();
    assert_eq!(counts(&first[..12]), [1, 1, 0]);
    let run = machine.caddis("backup --parent nobody source").ends_with(1);
    assert!(run.transcript().contains("! caddis: no snapshot `nobody`"), "{}", run.transcript());
    machine.caddis("backup --parent latest --force source").ends_with(2);
    machine.caddis("check --read-data").ok();
}
