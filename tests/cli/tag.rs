//! `tag`.

use serde_json::Value;

use crate::common::program::Machine;

fn tagged() -> Machine {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"content")]);
    machine.caddis("backup source --tag a,b --label nightly --host laptop --time 2026-11-01T10:00:00Z").ok();
    machine.caddis("backup source --tag b --time 2026-11-02T10:00:00Z").ok();
    machine
}

fn snapshots(machine: &Machine) -> Vec<Value> {
    machine.caddis("snapshots --json").ok().json().as_array().unwrap().clone()
}

fn tags(machine: &Machine) -> Vec<Value> {
    snapshots(machine).iter().map(|snapshot| snapshot["tags"].clone()).collect()
}

#[test]
fn tags_are_added_removed_and_set() {
    let machine = tagged();
    machine.caddis("tag add c,a latest~1 latest").ok();
    assert_eq!(tags(&machine), [Value::from(vec!["a", "b", "c"]), Value::from(vec!["a", "b", "c"])]);
    machine.caddis("tag remove a,x latest").ok();
    assert_eq!(tags(&machine), [Value::from(vec!["a", "b", "c"]), Value::from(vec!["b", "c"])]);
    machine.caddis("tag set only --tag a").ok();
    assert_eq!(tags(&machine), [Value::from(vec!["only"]), Value::from(vec!["b", "c"])]);
    machine.caddis("tag set").arg("").arg("latest").ok();
    assert_eq!(tags(&machine)[1], Value::Array(vec![]));
    machine.caddis("check --read-data").ok();
}

#[test]
fn all_but_the_tags_stays_and_the_old_id_leads_to_the_new_snapshot() {
    let machine = tagged();
    let before = snapshots(&machine);
    let packs = (machine.objects("packs"), machine.objects("trees"), machine.objects("index"));
    machine.caddis("tag add x latest~1").ok();
    machine.caddis("tag add y latest~1").ok();
    let after = snapshots(&machine);
    assert_eq!(packs, (machine.objects("packs"), machine.objects("trees"), machine.objects("index")));
    let (old, new) = (&before[0], &after[0]);
    for field in ["time", "paths", "hostname", "username", "label", "tree", "summary"] {
        assert_eq!(old[field], new[field], "{field}");
    }
    assert_ne!(old["id"], new["id"]);
    assert_eq!(old["id"], new["original"]);
    assert_eq!(before[1], after[1]);
    let by_old_id = machine.caddis("ls --json").arg(old["short_id"].as_str().unwrap()).ok().json_lines();
    assert_eq!(by_old_id[0]["id"], new["id"]);
    // A machine that has never seen the repository agrees.
    assert_eq!(snapshots(&Machine::beside(&machine)), after);
}

#[test]
fn what_changed_is_told_and_nothing_else() {
    let machine = tagged();
    let lines = machine.caddis("tag add b latest latest~1 --json").ok().json_lines();
    assert_eq!(lines, [serde_json::json!({ "message_type": "summary", "changed_snapshots": 0 })]);
    let old = machine.snapshot_ids();
    let lines = machine.caddis("tag add a latest latest~1 --json").ok().json_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (lines[0]["message_type"].as_str(), lines[0]["old_snapshot_id"].as_str()),
        (Some("changed"), Some(&*old[1]))
    );
    assert_eq!(lines[0]["new_snapshot_id"].as_str(), Some(&*machine.snapshot_ids()[1]));
    assert_eq!(lines[1]["changed_snapshots"], 1);
}

#[test]
fn it_must_be_said_which_tags_and_which_snapshots() {
    let machine = tagged();
    machine.caddis("tag add x").ends_with(2);
    machine.caddis("tag add").arg("").arg("latest").ends_with(2);
    machine.caddis("tag add").arg("x".repeat(1025)).arg("latest").ends_with(2);
    machine.caddis("tag add x nothing").ends_with(1);
    assert_eq!(tags(&machine).len(), 2);
}
