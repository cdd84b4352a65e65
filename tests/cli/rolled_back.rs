//! An older copy, or another repository, at the place of the known one: said at once, with exit code 16.

use std::fs;

use crate::common::program::{Machine, files_below};

/// A machine with two snapshots that finds the repository as it was after the first; and the id of the second.
fn rolled_back() -> (Machine, String) {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"as it was")]);
    machine.caddis("backup source").ok();
    machine.program("cp".as_ref(), "-a repo older").ok();
    fs::write(source.join("file"), b"as it is").unwrap();
    machine.caddis("backup source").ok();
    let newest = machine.snapshot_ids().remove(1);
    fs::rename(&machine.repository, machine.path("newer")).unwrap();
    fs::rename(machine.path("older"), &machine.repository).unwrap();
    (machine, newest)
}

#[test]
fn an_older_copy_of_the_repository_is_said_to_be_one_until_that_is_accepted() {
    let (machine, missing) = rolled_back();
    let alarm = "! caddis: the repository at [REPO] was rolled back, or part of it is withheld: it lacks snapshot [ID], seen there \
         before\n\
         ! caddis: if you put an older copy there yourself, say so once with `--accept-rollback`; if not, ask who runs the \
         storage, and keep a copy of what there is\n\
         exit 16\n";
    for _ in 0..2 {
        assert_eq!(machine.caddis("backup source").run().transcript(), format!("$ caddis backup source\n{alarm}"));
    }
    let listed = machine.caddis("snapshots").ends_with(16);
    assert!(listed.stderr.contains(&missing[..8]), "{}", listed.stderr);
    assert!(listed.transcript().ends_with(alarm), "{}", listed.transcript());
    assert!(listed.text().contains("source"), "what there is is listed: {}", listed.text());

    let checked = machine.caddis("check").ends_with(16);
    assert!(checked.transcript().ends_with(alarm), "{}", checked.transcript());

    let run = machine.caddis("backup --json source").ends_with(16);
    assert_eq!(run.json_lines().last().unwrap()["message_type"], "summary", "{}", run.transcript());
    let error: serde_json::Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["message_type"], &error["code"]), (&"exit_error".into(), &16.into()));

    // What was saved meanwhile is there, and who reads hears of it.
    let run = machine.caddis("restore latest target").ok();
    assert!(run.stderr.contains("was rolled back"), "{}", run.transcript());
    let restored = files_below(&machine.path("target"));
    assert_eq!(fs::read(&restored[0]).unwrap(), b"as it is");

    machine.caddis("snapshots --accept-rollback").ok();
    let run = machine.caddis("backup source").ok();
    assert_eq!(run.stderr, "");
    // The newer one is a surprise now; it holds all that the other has, and so only what this machine made since is missed.
    fs::rename(&machine.repository, machine.path("older")).unwrap();
    fs::rename(machine.path("newer"), &machine.repository).unwrap();
    machine.caddis("backup source").ends_with(16);
    machine.caddis("backup --accept-rollback source").ok();
    machine.caddis("backup source").ok();
}

#[test]
fn another_repository_can_be_accepted_as_well() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup source").ok();
    fs::rename(&machine.repository, machine.path("mine")).unwrap();
    Machine::beside(&machine).caddis("init").ok();
    machine.caddis("backup source").ends_with(16);
    machine.caddis("backup --accept-rollback source").ok();
    machine.caddis("backup source").ok();
    assert_eq!(machine.snapshot_ids().len(), 2);
}
