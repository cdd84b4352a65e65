//! Which snapshots there are, and which one is meant.

use serde_json::Value;

use crate::common::program::{Machine, inside};

/// Four snapshots, oldest first, and what tells them apart.
fn history() -> Machine {
    let machine = Machine::with_repository();
    machine.folder_with("one", &[("file", b"1")]);
    machine.folder_with("two", &[("file", b"2")]);
    for words in [
        "backup one --time 2026-11-01T10:00:00Z --host laptop --tag keep,first",
        "backup one --time 2026-11-02T10:00:00Z --host laptop --label nightly",
        "backup two --time 2026-11-02T20:00:00Z --host desktop --tag keep --tag other",
        "backup one two --time 2026-11-03T10:00:00Z --host desktop --label nightly",
    ] {
        machine.caddis(words).ok();
    }
    machine
}

fn list(machine: &Machine, words: &str) -> Vec<Value> {
    machine.caddis(&format!("snapshots --json {words}")).ok().json().as_array().unwrap().clone()
}

/// The days and hours of snapshots.
fn times(snapshots: &[Value]) -> Vec<&str> {
    snapshots.iter().map(|snapshot| &snapshot["time"].as_str().unwrap()[8..13]).collect()
}

#[test]
fn json_lists_snapshots_oldest_first_with_all_their_fields() {
    let machine = history();
    let listed = list(&machine, "");
    assert_eq!(times(&listed), ["01T10", "02T10", "02T20", "03T10"]);
    let first = &listed[0];
    let id = first["id"].as_str().unwrap();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(first["short_id"], id[..8]);
    assert!(first["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(first["paths"], Value::from(vec![machine.path("one").to_str().unwrap()]));
    assert_eq!(first["hostname"], "laptop");
    assert!(first["username"].is_string());
    assert_eq!(first["tags"], Value::from(vec!["first", "keep"]));
    assert_eq!(first["label"], Value::Null);
    assert_eq!(listed[1]["label"], "nightly");
    assert_eq!(first["tree"].as_str().unwrap().len(), 64);
    assert_eq!(first["program_version"], concat!("caddis ", env!("CARGO_PKG_VERSION")));
    let summary = &first["summary"];
    assert_eq!(summary["total_files_processed"], 1);
    assert_eq!(summary["total_dirs_processed"], 1);
    assert_eq!(summary["total_bytes_processed"], 1);
    assert!(summary["data_added"].is_u64() && summary["data_added_packed"].is_u64());
    assert!(summary["total_duration"].is_f64());
}

#[test]
fn a_snapshot_without_words_of_its_own_has_this_machines() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[]);
    let before = jiff::Timestamp::now();
    let report = machine.caddis("backup --json source").ok().json();
    let listed = &list(&machine, "")[0];
    assert_eq!(listed["hostname"], rustix::system::uname().nodename().to_str().unwrap());
    assert_eq!(listed["tags"], Value::from(Vec::<Value>::new()));
    let time: jiff::Timestamp = listed["time"].as_str().unwrap().parse().unwrap();
    assert!(before <= time && time <= jiff::Timestamp::now());
    for (reported, field) in [("snapshot_id", "id"), ("tree", "tree"), ("time", "time")] {
        assert_eq!(report[reported], listed[field]);
    }
    assert_eq!(report["message_type"], "summary");
}

#[test]
fn filters_choose_by_host_tag_label_and_path() {
    let machine = history();
    let one = format!("--path {}", machine.path("one").display());
    for (words, expected) in [
        ("--host laptop", &["01T10", "02T10"][..]),
        ("--host laptop --host desktop", &["01T10", "02T10", "02T20", "03T10"]),
        ("--tag keep", &["01T10", "02T20"]),
        ("--tag keep,first", &["01T10"]),
        ("--tag first --tag other", &["01T10", "02T20"]),
        ("--label nightly", &["02T10", "03T10"]),
        ("--path one", &["01T10", "02T10", "03T10"]),
        (&one, &["01T10", "02T10", "03T10"]),
        ("--path one --path two", &["03T10"]),
        ("--host desktop --tag keep", &["02T20"]),
        ("--host nobody", &[]),
    ] {
        assert_eq!(times(&list(&machine, words)), expected, "{words}");
    }
}

#[test]
fn a_snapshot_is_found_by_id_age_tag_and_time() {
    let machine = history();
    let listed = list(&machine, "");
    let id = |at: usize| listed[at]["id"].as_str().unwrap().to_owned();
    let found = |words: &str| machine.caddis(&format!("ls --json {words}")).ok().json_lines()[0]["id"].clone();
    assert_eq!(found(&id(1)), id(1));
    assert_eq!(found(&id(1)[..12]), id(1));
    assert_eq!(found("latest"), id(3));
    assert_eq!(found("latest~1"), id(2));
    assert_eq!(found("latest~3"), id(0));
    assert_eq!(found("first"), id(0));
    assert_eq!(found("keep"), id(2), "the newest one with the tag");
    assert_eq!(found("@2026-11-02"), id(2), "the whole day counts");
    assert_eq!(found("@2026-11-02T10:00:00Z"), id(1));
    assert_eq!(found("@2026-11-02T19:59:59Z"), id(1));
    assert_eq!(found("@2026-12-31"), id(3));
    let minute = machine.caddis("ls --json").arg("@2026-11-02 10:00").ok().json_lines()[0]["id"].clone();
    assert_eq!(minute, id(1));
    assert_eq!(found("latest --host laptop"), id(1));
    assert_eq!(found("latest~1 --label nightly"), id(1));
    machine.caddis("ls latest~4").ends_with(1);
    machine.caddis("ls latest --host nobody").ends_with(1);
}

#[test]
fn the_filter_counts_wherever_a_snapshot_is_named() {
    let machine = history();
    let file = machine.path("one/file");
    machine.caddis("restore --host laptop").arg(inside("latest", &file)).arg("back").ok();
    assert_eq!(machine.caddis("cat --tag first").arg(inside("latest", &file)).ok().text(), "1");
    machine.caddis("cat --tag other").arg(inside("latest", &file)).ends_with(1);
}

#[test]
fn a_table_shows_snapshots_to_people() {
    let machine = history();
    assert_eq!(
        machine.caddis("snapshots --host laptop").ok().transcript(),
        "$ caddis snapshots --host laptop\n\
         ID        Time                 Host    Size  Tags   Paths\n\
         [ID]  [TIME]  laptop   1 B  first  [DIR]/one\n\
         \x20                                            keep\n\
         [ID]  [TIME]  laptop   1 B         [DIR]/one\n\
         exit 0\n"
    );
    let empty = Machine::with_repository();
    assert_eq!(empty.caddis("snapshots").ok().text(), "no snapshots\n");
    assert_eq!(empty.caddis("snapshots --json").ok().text(), "[]\n");
}

#[test]
fn a_local_time_is_taken_in_the_machines_own_zone() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[]);
    let zone = "CET-1CEST,M3.5.0,M10.5.0/3";
    machine.caddis("backup source --time").arg("2026-07-01 03:00").env("TZ", zone).ok();
    let time = list(&machine, "")[0]["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time.to_string(), "2026-07-01T01:00:00Z");
}

#[test]
fn of_each_host_and_set_of_paths_the_newest_can_be_shown() {
    let machine = history();
    assert_eq!(times(&list(&machine, "--latest 1")), ["02T10", "02T20", "03T10"]);
    assert_eq!(times(&list(&machine, "--latest 2 --host laptop")), ["01T10", "02T10"]);
    machine.caddis("snapshots --latest 0").ends_with(2);
}

#[test]
fn snapshots_can_be_named_and_shown_on_a_line_each() {
    let machine = history();
    assert_eq!(times(&list(&machine, "latest~1 keep")), ["02T20", "02T20"]);
    machine.caddis("snapshots nothing").ends_with(1);
    let shown = machine.caddis("snapshots --compact --tag first").ok();
    let lines: Vec<Vec<&str>> = shown.text().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "Time", "Host", "Tags"]);
    assert_eq!(lines[1][1..], ["2026-11-01", "10:00:00", "laptop", "first,keep"]);
    assert_eq!(lines.len(), 2);
}
