//! `forget`.

use std::fs;

use serde_json::Value;

use crate::common::program::{Machine, Run};

/// Two snapshots a day for three days, oldest first.
fn nights() -> Machine {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"content")]);
    for time in ["01T03", "01T15", "02T03", "02T15", "03T03", "03T15"] {
        machine.caddis(&format!("backup source --host laptop --time 2026-11-{time}:00:00Z")).ok();
    }
    machine
}

/// Days and hours of the snapshots that are left.
fn left(machine: &Machine) -> Vec<String> {
    times(&machine.caddis("snapshots --json").ok().json())
}

fn times(snapshots: &Value) -> Vec<String> {
    let time = |snapshot: &Value| snapshot["time"].as_str().unwrap()[8..13].to_owned();
    snapshots.as_array().unwrap().iter().map(time).collect()
}

/// The reasons for each snapshot that is kept, by day and hour.
fn reasons(group: &Value) -> Vec<(String, String)> {
    let matches = |reason: &Value| {
        let texts: Vec<&str> =
            reason["matches"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        (reason["snapshot"]["time"].as_str().unwrap()[8..13].to_owned(), texts.join(", "))
    };
    group["reasons"].as_array().unwrap().iter().map(matches).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(time, reason)| (time.to_owned(), reason.to_owned())).collect()
}

/// The groups of a document.
fn groups(run: &Run) -> Vec<Value> {
    run.json()["groups"].as_array().unwrap().clone()
}

#[test]
fn a_policy_keeps_what_it_says_and_says_why() {
    let machine = nights();
    let [group] = &groups(&machine.caddis("forget --keep-last 1 --keep-daily 2 --json").ok())[..] else { panic!() };
    assert_eq!(reasons(group), pairs(&[("02T15", "daily snapshot"), ("03T15", "last snapshot, daily snapshot")]));
    assert_eq!(times(&group["keep"]), ["02T15", "03T15"]);
    assert_eq!(times(&group["remove"]), ["01T03", "01T15", "02T03", "03T03"]);
    assert_eq!((&group["host"], &group["label"], &group["tags"]), (&"laptop".into(), &Value::Null, &Value::Null));
    assert_eq!(group["paths"], Value::from(vec![machine.path("source").to_str().unwrap()]));
    assert_eq!(left(&machine), ["02T15", "03T15"]);
    assert_eq!(machine.objects("forgotten").len(), 1, "one record for all of them");
    machine.caddis("check --read-data").ok();
    // Who was not there hears of it.
    assert_eq!(left(&Machine::beside(&machine)), ["02T15", "03T15"]);
    machine.caddis("forget --keep-last 1 --keep-daily 2").ok();
    assert_eq!(machine.objects("forgotten").len(), 1, "nothing is left to be forgotten");
}

#[test]
fn each_way_to_keep_is_wired_to_its_option() {
    let machine = nights();
    let kept = |words: &str| -> Vec<(String, String)> {
        groups(&machine.caddis(&format!("forget -n --json {words}")).ok()).iter().flat_map(reasons).collect()
    };
    for (words, name, all) in [
        ("-l 2", "last", vec!["03T03", "03T15"]),
        ("--keep-last unlimited", "last", vec!["01T03", "01T15", "02T03", "02T15", "03T03", "03T15"]),
        ("-H 2", "hourly", vec!["03T03", "03T15"]),
        ("-d 2", "daily", vec!["02T15", "03T15"]),
        ("-w 1", "weekly", vec!["03T15"]),
        ("-m 1", "monthly", vec!["03T15"]),
        ("-y 1", "yearly", vec!["03T15"]),
    ] {
        let expected: Vec<_> = all.iter().map(|time| ((*time).to_owned(), format!("{name} snapshot"))).collect();
        assert_eq!(kept(words), expected, "{words}");
    }
    assert_eq!(kept("--keep-monthly 3"), pairs(&[("01T03", "oldest monthly snapshot"), ("03T15", "monthly snapshot")]));
    assert_eq!(kept("--keep-within 24h"), pairs(&[("03T03", "within 24h"), ("03T15", "within 24h")]));
    for (option, name, oldest) in [
        ("hourly", "hourly", &["02T03", "02T15", "03T03", "03T15"][..]),
        ("daily", "daily", &["02T15", "03T15"]),
        ("weekly", "weekly", &["03T15"]),
        ("monthly", "monthly", &["03T15"]),
        ("yearly", "yearly", &["03T15"]),
    ] {
        // The first of November was a Sunday.
        let expected: Vec<_> = oldest.iter().map(|time| ((*time).to_owned(), format!("{name} within 2d"))).collect();
        assert_eq!(kept(&format!("--keep-within-{option} 2d")), expected, "{option}");
    }
    assert_eq!(left(&machine).len(), 6, "nothing was forgotten");
    assert!(machine.objects("forgotten").is_empty());
}

#[test]
fn days_begin_and_end_in_local_time() {
    let machine = nights();
    let removed =
        |zone: &str| times(&groups(&machine.caddis("forget -d 2 -n --json").env("TZ", zone).ok())[0]["remove"]);
    assert_eq!(removed("UTC"), ["01T03", "01T15", "02T03", "03T03"]);
    // In Honolulu three o'clock in the morning is still the day before.
    let kept = machine.caddis("forget -d 2 -n --json").env("TZ", "Pacific/Honolulu").ok();
    let ids: Vec<Value> =
        groups(&kept)[0]["keep"].as_array().unwrap().iter().map(|snapshot| snapshot["id"].clone()).collect();
    let all = machine.snapshot_ids();
    assert_eq!(ids, [Value::from(&*all[4]), Value::from(&*all[5])]);
}

#[test]
fn snapshots_are_forgotten_by_name() {
    let machine = nights();
    let ids = machine.snapshot_ids();
    let run = machine.caddis("forget latest --json").arg(&ids[0]).arg(&ids[0][..8]).ok();
    let [group] = &groups(&run)[..] else { panic!() };
    assert_eq!(times(&group["remove"]), ["01T03", "03T15"]);
    assert_eq!((&group["keep"], &group["writer"]), (&Value::Array(vec![]), &Value::Null));
    assert_eq!(left(&machine), ["01T15", "02T03", "02T15", "03T03"]);
    machine.caddis("ls").arg(&ids[0]).ends_with(1);
    // One of several that is not there keeps all from being forgotten.
    machine.caddis("forget latest nothing").ends_with(1);
    machine.caddis("forget --host other latest").ends_with(1);
    assert_eq!(left(&machine).len(), 4);
    // Whoever names all of them means it.
    machine.caddis("forget").arg(&ids[1]).arg(&ids[2]).arg(&ids[3]).arg(&ids[4]).ok();
    assert!(left(&machine).is_empty());
    machine.caddis("check").ok();
}

#[test]
fn what_is_said_must_make_sense() {
    let machine = nights();
    let id = machine.snapshot_ids().remove(0);
    for words in ["", "--host laptop", "--allow-empty", "--group-by host"] {
        machine.caddis(&format!("forget {words}")).ends_with(2);
    }
    for words in ["--keep-last 1", "--keep-tag a", "--keep-within 1d", "--allow-empty", "--group-by host"] {
        machine.caddis(&format!("forget {words}")).arg(&id).ends_with(2);
    }
    for words in ["--keep-last many", "--keep-last -1", "--keep-within week", "--keep-last 1 --group-by label"] {
        machine.caddis(&format!("forget {words}")).ends_with(2);
    }
    assert_eq!(left(&machine).len(), 6);
}

#[test]
fn a_policy_that_keeps_nothing_of_a_group_is_refused() {
    let machine = nights();
    machine.caddis("backup source --host desktop --tag keep --time 2026-11-03T03:00:00Z").ok();
    for words in ["--keep-last 0", "--keep-tag keep", "--keep-within 0"] {
        for dry in ["", " --dry-run"] {
            machine.caddis(&format!("forget {words}{dry}")).ends_with(9);
        }
        assert_eq!(left(&machine).len(), 7, "{words}");
    }
    machine.caddis("forget --keep-tag keep --host desktop").ok();
    assert_eq!(left(&machine).len(), 7);
    machine.caddis("forget --keep-tag keep --allow-empty").ok();
    assert_eq!(left(&machine), ["03T03"]);
}

#[test]
fn each_label_has_a_history_of_its_own_and_else_each_host_with_its_paths() {
    let machine = Machine::with_repository();
    machine.folder_with("one", &[("file", b"1")]);
    machine.folder_with("two", &[("file", b"2")]);
    for (number, words) in [
        "one --host a",
        "two --host a",
        "one --host b",
        "one --host a --label x --tag t",
        "two --host b --label x",
        "two --host b --label y",
        "one two --host a",
    ]
    .iter()
    .enumerate()
    {
        for hour in [3, 15] {
            machine.caddis(&format!("backup {words} --time 2026-11-0{}T{hour:02}:00:00Z", number + 1)).ok();
        }
    }
    let removed = |words: &str| -> Vec<usize> {
        let run = machine.caddis(&format!("forget --keep-last 1 -n --json {words}")).ok();
        groups(&run).iter().map(|group| group["remove"].as_array().unwrap().len()).collect()
    };
    let sorted = |mut counts: Vec<usize>| {
        counts.sort_unstable();
        counts
    };
    assert_eq!(sorted(removed("")), [1, 1, 1, 1, 1, 3]);
    assert_eq!(sorted(removed("--group-by host")), [5, 7]);
    assert_eq!(sorted(removed("--group-by host,paths")), [1, 1, 1, 3, 3]);
    assert_eq!(sorted(removed("--group-by tags")), [1, 11]);
    assert_eq!(removed("--group-by="), [13]);
    assert_eq!(removed("--label y"), [1]);
}

#[test]
fn no_writer_pushes_out_what_another_one_made() {
    let machine = nights();
    let other = Machine::beside(&machine);
    fs::create_dir(other.path("source")).unwrap();
    let source = machine.path("source");
    for hour in [4, 16] {
        other.caddis(&format!("backup --host laptop --time 2026-11-03T{hour:02}:00:00Z")).arg(&source).ok();
    }
    let run = other.caddis("forget --keep-last 1 --group-by").arg("").arg("-v").ok();
    assert_eq!(run.text().matches(", written by ").count(), 2, "{}", run.transcript());
    assert_eq!(left(&machine), ["03T15", "03T16"]);
}

#[test]
fn a_snapshot_whose_time_lies_ahead_pushes_nothing_out() {
    let machine = nights();
    machine.caddis("backup source --host laptop --time 2100-01-05T03:00:00Z").ok();
    let run = machine.caddis("forget --keep-last 2 --keep-within 1d -v").ok();
    assert!(run.stderr.contains("for a time that lies ahead: "), "{}", run.transcript());
    assert!(run.text().contains("its time lies ahead"), "{}", run.transcript());
    assert_eq!(left(&machine), ["03T03", "03T15", "05T03"]);
    // It is not what a policy may be left with either.
    machine.caddis("forget --keep-last 0").ends_with(9);
    machine.caddis("forget latest").ok();
    assert_eq!(left(&machine), ["03T03", "03T15"]);
}

#[test]
fn the_output_shows_each_snapshot_and_what_becomes_of_it() {
    let machine = nights();
    machine.caddis("backup source --host desktop --time 2026-11-04T03:00:00Z").ok();
    let words = "forget --keep-daily 1 --keep-within 12h";
    let shown = machine.caddis(words).arg("--dry-run").ok().transcript();
    // Columns are as wide as the folder of this test is long.
    let lines: Vec<String> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let forgotten = "forget [ID] [TIME] laptop [DIR]/source";
    let expected = [
        "$ caddis forget --keep-daily 1 --keep-within 12h --dry-run",
        "host desktop, path [DIR]/source:",
        "ID Time Host Tags Paths Reasons",
        "keep [ID] [TIME] desktop [DIR]/source daily snapshot",
        "within 12h",
        "",
        "host laptop, path [DIR]/source:",
        "ID Time Host Tags Paths Reasons",
        forgotten,
        forgotten,
        forgotten,
        forgotten,
        forgotten,
        "keep [ID] [TIME] laptop [DIR]/source daily snapshot",
        "within 12h",
        "",
        "would forget 5 snapshots, and keep 2",
        "! caddis: groups with a single snapshot, which nothing can push out: 1 of 2; see --group-by",
        "exit 0",
    ];
    assert_eq!(lines, expected);
    let run = machine.caddis(words).ok();
    assert_eq!(run.text(), "", "off a terminal success is silent");
    let run = machine.caddis(&format!("{words} -v")).ok();
    let last = "forgot 0 snapshots, and kept 2; the next prune frees 0 B; nothing is left that nobody needs";
    assert_eq!(run.text().lines().last(), Some(last));
}

#[test]
fn what_this_machine_knows_of_and_nobody_shows_stops_a_forget() {
    let machine = nights();
    let newest = machine.snapshot_ids().pop().unwrap();
    let path = machine.repository.join("snapshots").join(&newest);
    let away = machine.path("away");
    fs::rename(&path, &away).unwrap();
    machine.caddis("forget --keep-last 1").ends_with(16);
    machine.caddis("forget latest").ends_with(16);
    machine.caddis("forget --keep-last 1 --dry-run").ends_with(16);
    fs::rename(&away, &path).unwrap();
    // The whole folder shown as empty.
    let (folder, away) = (machine.repository.join("snapshots"), machine.path("all"));
    fs::rename(&folder, &away).unwrap();
    fs::create_dir(&folder).unwrap();
    machine.caddis("forget --keep-last 1 --allow-empty").ends_with(16);
    fs::remove_dir(&folder).unwrap();
    machine.caddis("forget --keep-last 1 --allow-empty").ends_with(1);
    fs::rename(&away, &folder).unwrap();
    assert!(machine.objects("forgotten").is_empty());
    machine.caddis("forget --keep-last 1").ok();
    assert_eq!(left(&machine), ["03T15"]);
}
