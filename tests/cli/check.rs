//! `check` as a user meets it: what is read, what is said, without a key, for scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::common::program::{Machine, Run, files_below};
use crate::common::zoo::random_bytes;
use crate::killed::strace_is_missing;

/// A repository of three packs of data and one of trees, and the source that it holds.
fn saved() -> Machine {
    let machine = Machine::with_packs_of("1MiB");
    let source = machine.folder("source");
    for number in 0..3 {
        fs::write(source.join(format!("file {number}")), random_bytes(&number.to_string(), 900_000)).unwrap();
    }
    machine.caddis("backup").arg(&source).ok();
    machine
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x40;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn name_of(machine: &Machine, object: &Path) -> String {
    object.strip_prefix(&machine.repository).unwrap().to_str().unwrap().to_owned()
}

/// The errors, and the summary that comes last.
fn errors(run: &Run) -> (Vec<Value>, Value) {
    let mut lines = run.json_lines();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["message_type"], "summary");
    assert!(lines.iter().all(|line| line["message_type"] == "error"), "{}", run.transcript());
    assert_eq!(summary["num_errors"], lines.len());
    let repairable = lines.iter().filter(|line| line["repairable"] == true).count();
    assert_eq!(summary["repairable_errors"], repairable);
    (lines, summary)
}

#[test]
fn a_lost_pack_is_named_with_the_snapshots_and_paths_that_it_costs() {
    let machine = saved();
    machine.caddis("backup source").ok();
    let pack = machine.objects("packs").remove(0);
    fs::remove_file(&pack).unwrap();
    let check = machine.caddis("check -v").ends_with(4);
    let name = name_of(&machine, &pack);
    assert!(check.stderr.starts_with(&format!("caddis: {name}: the index names this pack")), "{}", check.transcript());
    assert!(check.stderr.contains("\n  in snapshots "), "{}", check.transcript());
    assert!(
        check.stderr.contains(&format!("\n  {}", machine.path("source/file ").display())),
        "{}",
        check.transcript()
    );
    assert!(check.text().contains("checked 2 snapshots and "), "{}", check.transcript());
    assert!(check.text().ends_with(": 1 error\n"), "{}", check.transcript());

    let (errors, summary) = errors(&machine.caddis("check --json").ends_with(4));
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!((&error["kind"], &error["object"]), (&Value::from("packs"), &Value::from(name)));
    let snapshots: Vec<&str> = error["snapshots"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let mut wanted = machine.snapshot_ids();
    wanted.sort_unstable();
    assert_eq!(snapshots, wanted);
    assert!(!error["paths"].as_array().unwrap().is_empty());
    assert_eq!((&error["more_paths"], &error["repairable"]), (&Value::from(0), &Value::from(false)));
    assert_eq!((&summary["snapshots"], &summary["packs_read"]), (&Value::from(2), &Value::from(0)));
}

#[test]
fn what_costs_nothing_ends_with_a_code_of_its_own() {
    let machine = saved();
    let segment = machine.objects("index").remove(0);
    flip(&segment, |len| len / 2);
    let check = machine.caddis("check -v").ends_with(5);
    let line = format!("caddis: {}: ", name_of(&machine, &segment));
    assert!(check.stderr.starts_with(&line) && check.stderr.contains("(repairable)\n"), "{}", check.transcript());
    assert!(check.text().ends_with("1 error, which is repairable\n"), "{}", check.transcript());
    // A machine that kept nothing of the index learns from the packs what was in it.
    let (errors, _) = errors(&Machine::beside(&machine).caddis("check --json").ends_with(5));
    let paths = errors.iter().flat_map(|error| error["paths"].as_array().unwrap());
    assert!(paths.count() > 0, "{errors:?}");
    let kept = files_below(&machine.path("home/.cache"));
    assert!(kept.iter().all(|file| !file.parent().unwrap().ends_with("check")), "{kept:?}");
}

#[test]
fn storage_is_checked_without_a_key_and_without_a_trace() {
    let machine = saved();
    let host = Machine::beside(&machine);
    let check = host.caddis_with_passphrase("check --storage -v").ok();
    assert!(check.text().ends_with("no damage\n"), "{}", check.transcript());
    assert_eq!(files_below(&host.path("home")), Vec::<std::path::PathBuf>::new());
    for kind in ["charter", "keys", "packs", "trees", "index", "snapshots"] {
        let object = machine.objects(kind).remove(0);
        let before = fs::read(&object).unwrap();
        flip(&object, |len| len / 3);
        let (errors, summary) = errors(&host.caddis_with_passphrase("check --storage --json").ends_with(4));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0]["object"], name_of(&machine, &object));
        assert!(summary["bytes_read"].as_u64().unwrap() > 2_700_000);
        fs::write(&object, before).unwrap();
    }
    host.caddis_with_passphrase("check --storage").ok();
    flip(&machine.repository.join("config"), |len| len / 2);
    let (errors, _) = errors(&host.caddis_with_passphrase("check --storage --json").ends_with(4));
    assert_eq!(errors[0]["kind"], "config");
}

#[test]
fn a_config_that_is_damaged_is_damage_found() {
    let machine = saved();
    flip(&machine.repository.join("config"), |len| len - 1);
    let check = machine.caddis("check").ends_with(4);
    assert!(check.stderr.starts_with("caddis: config: "), "{}", check.transcript());
    fs::remove_file(machine.repository.join("config")).unwrap();
    machine.caddis("check").ends_with(10);
}

/// An object that is opened on the way to a check was reported when it was opened, and once more by the check.
#[test]
fn an_object_that_is_damaged_is_named_once() {
    let machine = saved();
    for kind in ["charter", "keys"] {
        // A second slot that opens, so that the first can be damaged.
        machine.caddis("key add --new-key-file").arg(machine.path(kind)).ok();
        let object = machine.objects(kind).pop().unwrap();
        let before = fs::read(&object).unwrap();
        flip(&object, |len| len / 2);
        let keys =
            [&machine.key_file, &machine.path(kind)].map(|key| machine.caddis("check").env("CADDIS_KEY_FILE", key));
        let told = keys.into_iter().map(|check| check.run().stderr);
        let line = format!("caddis: {}: ", name_of(&machine, &object));
        let times: Vec<usize> = told.map(|told| told.matches(&line).count()).collect();
        assert!(times.contains(&1) && times.iter().all(|&count| count <= 1), "{kind}: {times:?}");
        // Where it keeps the repository shut, it is named as well.
        fs::write(&object, before).unwrap();
    }
    let slot = machine.objects("keys");
    slot.iter().for_each(|slot| flip(slot, |_| 7));
    let check = machine.caddis("check").ends_with(12);
    for slot in slot {
        let line = format!("caddis: {}: ", name_of(&machine, &slot));
        assert_eq!(check.stderr.matches(&line).count(), 1, "{}", check.transcript());
    }
}

#[test]
fn statements_of_another_repository_are_named_where_success_is_and_are_no_damage() {
    let (machine, other) = (saved(), saved());
    let statement = other.objects("charter").remove(0);
    let place = machine.repository.join(statement.strip_prefix(&other.repository).unwrap());
    fs::copy(&statement, &place).unwrap();
    let name = name_of(&machine, &place);
    assert_eq!(machine.caddis("check").ok().transcript(), "$ caddis check\nexit 0\n");
    let check = machine.caddis("check -v").ok();
    let first = check.text().lines().next().unwrap();
    assert!(first.starts_with(&format!("{name}: no owner of this repository has signed it")), "{first}");
    let mut lines = machine.caddis("check --json").ok().json_lines();
    let (summary, leftover) = (lines.pop().unwrap(), lines.pop().unwrap());
    assert_eq!((&leftover["message_type"], &leftover["object"]), (&Value::from("leftover"), &Value::from(name)));
    assert_eq!((&summary["num_errors"], &summary["leftovers"]), (&Value::from(0), &Value::from(1)));
}

/// `check`, with a signal when it opens an object: what is found before that is certain.
fn interrupted(machine: &Machine, words: &str, object: &Path) -> Run {
    let name = name_of(machine, object);
    let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", &name, "-e", "inject=openat:signal=SIGINT:when=1"];
    machine.caddis(words).under(&trace).ends_with(130)
}

#[test]
fn what_was_found_until_a_check_is_interrupted_is_reported() {
    if strace_is_missing() {
        return;
    }
    let machine = saved();
    let segment = machine.objects("index").remove(0);
    flip(&segment, |len| len / 2);
    // Packs are looked at when all small objects have been read.
    let pack = machine.objects("packs").remove(0);
    let check = interrupted(&machine, "check -v", &pack);
    let line = format!("caddis: {}: ", name_of(&machine, &segment));
    assert!(check.stderr.starts_with(&line), "{}", check.transcript());
    assert!(check.stderr.ends_with("caddis: interrupted\n"), "{}", check.transcript());
    assert!(check.text().starts_with("checked 0 snapshots and "), "{}", check.transcript());
    assert!(check.text().contains(" until it was interrupted: 1 error"), "{}", check.transcript());
    let (found, summary) = errors(&interrupted(&machine, "check --json", &pack));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["object"], name_of(&machine, &segment));
    assert_eq!(summary["interrupted"], true);
    assert_eq!(errors(&machine.caddis("check --json").ends_with(5)).1["interrupted"], false);
    // Without a key, too: there the object itself is one of many.
    let storage = interrupted(&machine, "check --storage -v", &machine.repository.join("config"));
    assert!(storage.text().contains(" until it was interrupted: no damage"), "{}", storage.transcript());
}

#[test]
fn a_subset_is_read_whole_and_the_rest_looked_at() {
    let machine = saved();
    let read = |words: &str| {
        let (_, summary) = errors(&machine.caddis(words).ok());
        assert_eq!(summary["packs"].as_u64().unwrap(), packs(&machine));
        summary["packs_read"].as_u64().unwrap()
    };
    let parts = (1..=4).map(|part| read(&format!("check --json --read-data-subset {part}/4")));
    assert_eq!(parts.sum::<u64>(), packs(&machine));
    assert_eq!(read("check --json --read-data-subset 100%"), packs(&machine));
    assert_eq!(read("check --json --read-data-subset 1B"), 1);
    assert_eq!(read("check --json --read-data"), packs(&machine));
    assert_eq!(read("check --json"), 0);
    let check = machine.caddis("check -v --read-data-subset 1B").ok();
    assert!(
        check.text().contains(&format!("and {} packs, 1 of them whole, ", packs(&machine))),
        "{}",
        check.transcript()
    );
    for words in [
        "check --read-data --read-data-subset 10%",
        "check --storage --read-data",
        "check --storage --read-data-subset 1/2",
        "check --budget 60s --read-data",
        "check --budget 60s --read-data-subset 1/2",
        "check --budget 60s --storage",
        "check --budget soon",
        "check --read-data-subset 0%",
        "check --read-data-subset 3/2",
    ] {
        machine.caddis(words).ends_with(2);
    }
}

#[test]
fn a_budget_of_time_is_spent_on_what_was_proved_longest_ago() {
    let machine = saved();
    let all = packs(&machine);
    assert!(errors(&machine.caddis("check --json").ok()).1.get("packs_proved").is_none());
    // No time is enough for one.
    let mut never = u64::MAX;
    for round in 1..=all + 1 {
        let (_, summary) = errors(&machine.caddis("check --json --budget 0").ok());
        assert_eq!((&summary["packs_read"], &summary["packs_proved"]), (&Value::from(1), &Value::from(1)));
        assert!(summary["bytes_proved"].as_u64().unwrap() > 0, "{summary}");
        let oldest: jiff::Timestamp = summary["oldest_proof"].as_str().unwrap().parse().unwrap();
        assert!(oldest <= jiff::Timestamp::now());
        let left = summary["never_proved_bytes"].as_u64().unwrap();
        assert!(left < never || round > all, "round {round}: {left} of {never}");
        assert_eq!(left == 0, round >= all, "round {round}");
        never = left;
    }
    let text = machine.caddis("check -v --budget 1h").ok();
    let end = format!(": no damage; {all} packs of {} proved, all data proved within 1 day\n", size_of_packs(&machine));
    assert!(text.text().ends_with(&end), "{}", text.transcript());
    // What is said of a part.
    let fresh = Machine::beside(&machine);
    let text = fresh.caddis("check -v --budget 0").ok();
    assert!(text.text().contains("; 1 pack of "), "{}", text.transcript());
    assert!(text.text().ends_with(" % of the data proved within 1 day, the rest never\n"), "{}", text.transcript());
    assert_eq!(fresh.caddis("check --budget 0").ok().transcript(), "$ caddis check --budget 0\nexit 0\n");
}

#[test]
fn what_is_damaged_is_not_proved() {
    let machine = saved();
    let pack = machine.objects("packs").remove(0);
    let len = fs::metadata(&pack).unwrap().len();
    flip(&pack, |len| len / 2);
    for _ in 0..2 {
        let (errors, summary) = errors(&machine.caddis("check --json --budget 1h").ends_with(4));
        assert_eq!(errors[0]["object"], name_of(&machine, &pack));
        assert!(!errors[0]["paths"].as_array().unwrap().is_empty());
        assert_eq!(summary["packs_proved"], packs(&machine) - 1);
        assert_eq!(summary["never_proved_bytes"], len);
    }
    fs::remove_file(&pack).unwrap();
    // Nothing is proved where nothing is.
    for pack in machine.objects("packs").into_iter().chain(machine.objects("trees")) {
        fs::remove_file(pack).unwrap();
    }
    let (_, summary) = errors(&machine.caddis("check --json --budget 1h").ends_with(4));
    assert_eq!((&summary["packs_proved"], &summary["oldest_proof"]), (&Value::from(0), &Value::Null));
    let check = machine.caddis("check -v --budget 1h").ends_with(4);
    assert!(check.text().ends_with("; 0 packs of 0 B proved\n"), "{}", check.transcript());
}

fn size_of_packs(machine: &Machine) -> String {
    let packs = machine.objects("packs").into_iter().chain(machine.objects("trees"));
    bytesize::ByteSize::b(packs.map(|pack| fs::metadata(pack).unwrap().len()).sum()).display().iec().to_string()
}

fn packs(machine: &Machine) -> u64 {
    (machine.objects("packs").len() + machine.objects("trees").len()) as u64
}
