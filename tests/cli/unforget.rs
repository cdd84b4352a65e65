//! `unforget`, and `snapshots --forgotten`.

use std::fs;

use serde_json::{Value, json};

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside, is_root};

/// Three snapshots, a day each, of a folder that grows.
fn days() -> Machine {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    for day in 1..4 {
        fs::write(source.join(day.to_string()), format!("day {day}")).unwrap();
        let words = "backup source --host laptop --label nightly --tag a,b";
        machine.caddis(&format!("{words} --time 2026-11-0{day}T10:00:00Z")).ok();
    }
    machine
}

fn list(machine: &Machine, words: &str) -> Vec<Value> {
    machine.caddis(&format!("snapshots --json {words}")).ok().json().as_array().unwrap().clone()
}

fn ids(snapshots: &[Value]) -> Vec<&str> {
    snapshots.iter().map(|snapshot| snapshot["id"].as_str().unwrap()).collect()
}

#[test]
fn what_was_forgotten_comes_back_as_it_was_and_by_its_old_id() {
    let machine = days();
    let before = list(&machine, "");
    let stored = || (machine.objects("packs"), machine.objects("trees"), machine.objects("index"));
    let packs = stored();
    let old = before[1]["id"].as_str().unwrap();
    machine.caddis("forget").arg(old).ok();
    machine.caddis("ls").arg(old).ends_with(1);
    assert_eq!(machine.caddis("unforget").arg(&old[..8]).ok().text(), "", "off a terminal success is silent");
    let after = list(&machine, "");
    assert_eq!(packs, stored(), "no data is stored again");
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    let (was, is) = (before[1].as_object().unwrap(), after[1].as_object().unwrap());
    for (field, value) in was.iter().filter(|(field, _)| !["id", "short_id", "original"].contains(&field.as_str())) {
        assert_eq!(value, &is[field], "{field}");
    }
    assert_ne!(is["id"], old);
    assert_eq!(is["original"], old);
    machine.caddis("restore").arg(inside(&old[..8], &machine.path("source"))).arg("target").ok();
    fs::remove_file(machine.path("source/3")).unwrap();
    let ignore = Ignore { owners: !is_root(), root: true, ..Ignore::default() };
    assert_same(&snapshot_of(&machine.path("source")), &snapshot_of(&machine.path("target")), ignore);
    machine.caddis("check --read-data").ok();
    assert_eq!(list(&Machine::beside(&machine), ""), after, "a machine that has never seen it agrees");
}

#[test]
fn what_can_be_brought_back_is_listed_until_it_is_back() {
    let machine = days();
    let all = list(&machine, "");
    let before = jiff::Timestamp::now();
    machine.caddis("forget --keep-last 1").ok();
    let forgotten = list(&machine, "--forgotten");
    assert_eq!(ids(&forgotten), ids(&all[..2]));
    let field = |name: &str| forgotten[0][name].as_str().unwrap();
    let time = |name: &str| field(name).parse::<jiff::Timestamp>().unwrap();
    assert_eq!(field("forgotten_reason"), "forgotten by policy");
    assert!(before <= time("forgotten_time") && time("forgotten_time") <= jiff::Timestamp::now());
    assert_eq!(time("undo_until").duration_since(time("forgotten_time")), jiff::SignedDuration::from_hours(7 * 24));
    let shown = machine.caddis("snapshots --forgotten").ok();
    let until = &field("undo_until")[..10];
    assert_eq!(shown.text().lines().filter(|line| line.contains(until)).count(), 2, "{}", shown.text());
    assert!(shown.text().contains("forgotten by policy"));
    // Filters choose here as well.
    assert_eq!(list(&machine, "--forgotten --host other").len(), 0);
    assert_eq!(list(&machine, "--forgotten --label nightly").len(), 2);

    machine.caddis("unforget").arg(ids(&all)[0]).ok();
    assert_eq!(ids(&list(&machine, "--forgotten")), [ids(&all)[1]]);
    machine.caddis("unforget").arg(ids(&all)[1]).ok();
    assert_eq!(machine.caddis("snapshots --forgotten").ok().text(), "no forgotten snapshots\n");
    for words in ["--latest 1", "--compact", "latest"] {
        machine.caddis(&format!("snapshots --forgotten {words}")).ends_with(2);
    }
}

#[test]
fn a_snapshot_that_another_one_took_the_place_of_is_not_forgotten() {
    let machine = days();
    let old = machine.snapshot_ids().remove(0);
    machine.caddis("tag set c").arg(&old).ok();
    assert!(list(&machine, "--forgotten").is_empty());
    let shown = machine.caddis("unforget").arg(&old).ok();
    assert!(shown.stderr.contains("is there already, as "), "{}", shown.transcript());
    // Forgotten after that, it comes back as it was last.
    machine.caddis("forget").arg(&old).ok();
    assert_eq!(list(&machine, "--forgotten").len(), 1);
    machine.caddis("unforget").arg(&old).ok();
    assert_eq!(list(&machine, "")[0]["tags"], json!(["c"]));
    assert_eq!(list(&machine, "")[0]["original"], *old);
    // And once more, by each of the ids that it has had.
    let second = machine.snapshot_ids().remove(0);
    machine.caddis("forget").arg(&second).ok();
    assert_eq!(ids(&list(&machine, "--forgotten")), [second.as_str()]);
    machine.caddis("unforget").arg(&second).ok();
    assert_eq!((list(&machine, "").len(), list(&machine, "--forgotten").len()), (3, 0));
    machine.caddis("ls").arg(&old).ok();
    let third = machine.snapshot_ids().remove(0);
    for id in [&old, &second] {
        let line = &machine.caddis("unforget --json").arg(id).ok().json_lines()[0];
        assert_eq!((&line["new_snapshot_id"], &line["was_there"]), (&Value::from(&*third), &Value::from(true)));
    }
    machine.caddis("forget").arg(&third).ok();
    machine.caddis("unforget").arg(&second).ok();
    assert_eq!(list(&machine, "")[0]["original"], *old);
}

#[test]
fn nothing_is_brought_back_twice() {
    let machine = days();
    let all = machine.snapshot_ids();
    machine.caddis("forget").arg(&all[0]).arg(&all[1]).ok();
    let lines = machine.caddis("unforget --json").arg(&all[0]).arg(&all[0][..8]).ok().json_lines();
    let new = machine.snapshot_ids().remove(0);
    let line = |was_there: bool| {
        json!({
            "message_type": "unforgotten",
            "old_snapshot_id": all[0],
            "new_snapshot_id": new,
            "was_there": was_there,
        })
    };
    assert_eq!(lines, [line(false), line(true), json!({ "message_type": "summary", "snapshots_brought_back": 1 })]);
    let lines = machine.caddis("unforget --json").arg(&all[0]).ok().json_lines();
    assert_eq!(lines, [line(true), json!({ "message_type": "summary", "snapshots_brought_back": 0 })]);
    assert_eq!(machine.snapshot_ids(), [&*new, &*all[2]]);
    // Where one of several does not make sense, none is brought back.
    for wrong in [&*all[2], "ffffffff", "latest", ""] {
        machine.caddis("unforget").arg(&all[1]).arg(wrong).ends_with(1);
    }
    machine.caddis("unforget").ends_with(2);
    assert_eq!(machine.snapshot_ids().len(), 2);
    let shown = machine.caddis("unforget -v").arg(&all[1]).ok();
    assert_eq!(
        shown.transcript(),
        "$ caddis unforget -v [ID]\n[ID] is back, as [ID]\nbrought back 1 snapshot\nexit 0\n"
    );
}

#[test]
fn what_a_prune_has_removed_is_too_late() {
    let machine = days();
    let old = machine.snapshot_ids().remove(0);
    machine.caddis("forget").arg(&old).ok();
    fs::remove_file(machine.repository.join("snapshots").join(&old)).unwrap();
    assert!(list(&machine, "--forgotten").is_empty());
    let shown = machine.caddis("unforget").arg(&old).ends_with(1);
    assert!(shown.stderr.contains(&format!("too late to bring back snapshot {}", &old[..8])), "{}", shown.stderr);
}
