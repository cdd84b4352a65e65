//! `stats`.

use std::fs;

use crate::common::program::{Machine, files_below, len};
use crate::common::zoo::random_bytes;

#[test]
fn each_snapshot_has_what_only_it_holds() {
    let machine = Machine::with_repository();
    let source = machine.folder_with(
        "source",
        &[("shared", &random_bytes("stats 1", 1 << 20)), ("first", &random_bytes("stats 2", 300_000))],
    );
    machine.caddis("backup").arg(&source).ok();
    fs::remove_file(source.join("first")).unwrap();
    fs::write(source.join("second"), random_bytes("stats 3", 700_000)).unwrap();
    machine.caddis("backup").arg(&source).ok();
    let stats = machine.caddis("stats --json").ok().json();
    let own = |at: usize| stats["snapshots"][at]["only_here"]["uncompressed_size"].as_u64().unwrap();
    // Its folders are its own, too.
    assert!((300_000..310_000).contains(&own(0)), "{}", own(0));
    assert!((700_000..710_000).contains(&own(1)), "{}", own(1));
    assert_eq!(stats["total_restore_size"], (1 << 20) + 300_000 + (1 << 20) + 700_000);
    assert_eq!(stats["total_file_count"], 4);
    let needed = stats["total_uncompressed_size"].as_u64().unwrap();
    assert!((2_048_576..2_100_000).contains(&needed), "{needed}");
    assert_eq!(stats["unneeded"]["chunks"], 0);
    let one = machine.caddis("stats --json latest").ok().json();
    assert_eq!(one["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(one["snapshots"][0]["only_here"], stats["snapshots"][1]["only_here"]);
    assert_eq!(one["needed"], stats["needed"]);
}

#[test]
fn what_both_of_two_snapshots_hold_belongs_to_neither() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", &random_bytes("stats 1", 100_000))]);
    for _ in 0..3 {
        machine.caddis("backup").arg(&source).ok();
    }
    let stats = machine.caddis("stats --json").ok().json();
    for snapshot in stats["snapshots"].as_array().unwrap() {
        assert_eq!(snapshot["only_here"]["chunks"], 0);
    }
    assert!(stats["deduplication_ratio"].as_f64().unwrap() > 2.5);
}

#[test]
fn objects_are_counted_by_kind_as_they_lie_on_disk() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", &random_bytes("stats 1", 100_000))]);
    machine.caddis("backup").arg(&source).ok();
    let stats = machine.caddis("stats --json").ok().json();
    let mut total = 0;
    for of in stats["objects"].as_array().unwrap() {
        let kind = of["kind"].as_str().unwrap();
        let files = if kind == "config" { vec![machine.repository.join("config")] } else { machine.objects(kind) };
        assert_eq!(of["count"], files.len(), "{kind}");
        assert_eq!(of["bytes"], files.iter().map(|file| len(file)).sum::<u64>(), "{kind}");
        total += of["bytes"].as_u64().unwrap();
    }
    assert_eq!(stats["total_size"], total);
    assert!(files_below(&machine.repository).len() > 5);
}

#[test]
fn what_an_interrupted_run_has_stored_is_not_needed() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", &random_bytes("stats 1", 100_000))]);
    machine.caddis("backup").arg(&source).ok();
    for snapshot in machine.objects("snapshots") {
        fs::remove_file(snapshot).unwrap();
    }
    let stats = machine.caddis("stats --json --accept-rollback").ok().json();
    assert_eq!(stats["needed"]["chunks"], 0);
    assert!(stats["unneeded"]["uncompressed_size"].as_u64().unwrap() > 100_000);
    let shown = machine.caddis("stats --accept-rollback").ok();
    assert!(shown.text().contains("not needed  "), "{}", shown.text());
}
