//! `--stdin` and `--stdin-from-command`: what is no file, saved as one.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use crate::common::program::Machine;
use crate::common::zoo::random_bytes;

#[test]
fn standard_input_is_saved_as_a_file() {
    let machine = Machine::with_repository();
    for (number, len) in [0, 5, 3 << 20].into_iter().enumerate() {
        let content = random_bytes("stream", len);
        fs::write(machine.path("input"), &content).unwrap();
        let input = || File::open(machine.path("input")).unwrap();
        let summary = machine.caddis("backup --stdin --json").stdin(input()).ok().json();
        assert_eq!((&summary["total_files_processed"], &summary["total_bytes_processed"]), (&1.into(), &len.into()));
        assert_eq!(machine.caddis("cat latest:/stdin").ok().stdout, content);
        machine.caddis("backup --stdin --stdin-filename db/shop.sql").stdin(input()).ok();
        let target = machine.path(format!("target {number}"));
        machine.caddis("restore latest").arg(&target).ok();
        assert_eq!(fs::read(target.join("db/shop.sql")).unwrap(), content);
        assert_eq!(fs::metadata(target.join("db/shop.sql")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // What is there already is not stored again.
    let summary = machine.caddis("backup --stdin --json").stdin(File::open(machine.path("input")).unwrap()).ok().json();
    assert!(summary["data_added"].as_u64().unwrap() < 4096, "{summary}");
    let list = machine.caddis("snapshots --json").ok().json();
    assert_eq!(list[0]["paths"], serde_json::json!(["/stdin"]));
    machine.caddis("check --read-data").ok();
}

#[test]
fn the_output_of_a_command_is_saved_and_of_one_that_fails_nothing() {
    let machine = Machine::with_repository();
    let run = |script: &str| machine.caddis("backup --stdin-from-command -- sh -c").arg(script);
    run("seq 100000; test -z \"$(cat)\"").ok();
    let lines: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(machine.caddis("cat latest:/stdin").ok().text(), lines);
    for (script, status) in [
        ("seq 100000; exit 3", "exit status: 3"),
        ("exit 1", "exit status: 1"),
        ("seq 100; kill -9 $$", "signal: 9 (SIGKILL)"),
    ] {
        let failed = run(script).ends_with(1);
        let wanted = format!("caddis: cannot read the output of sh: the command ended with {status}\n");
        assert_eq!(failed.stderr, wanted);
    }
    let failed = machine.caddis("backup --stdin-from-command -- no-such-command").ends_with(1);
    assert_eq!(failed.stderr, "caddis: cannot run no-such-command: No such file or directory (os error 2)\n");
    assert_eq!(machine.snapshot_ids().len(), 1);
    assert!(machine.objects("pending").is_empty());
    machine.caddis("check --read-data").ok();
}

#[test]
fn a_stream_is_the_only_source() {
    let machine = Machine::with_repository();
    for words in [
        "backup --stdin path",
        "backup --stdin --files-from list",
        "backup --stdin --stdin-from-command -- true",
        "backup --stdin-from-command",
        "backup --stdin-filename x path",
    ] {
        machine.caddis(words).ends_with(2);
    }
    let run = machine.caddis("backup --stdin --stdin-filename a/../b").ends_with(1);
    assert!(run.transcript().contains("! caddis: cannot back up a/../b"), "{}", run.transcript());
    assert!(machine.snapshot_ids().is_empty());
}
