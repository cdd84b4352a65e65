//! What opens a repository: slots with passphrases and key files, and where passphrases come from.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::common::program::{Caddis, Machine, Run};

/// Argon2 at the least memory there is, so that a try costs nothing.
const CHEAP: &str = "--kdf-memory 64KiB";

const PASSPHRASE: &str = "correct horse battery staple";

/// A machine whose repository opens with [`PASSPHRASE`].
fn machine() -> Machine {
    let machine = Machine::new();
    machine.caddis_with_passphrase(&format!("init {CHEAP}")).env("CADDIS_PASSWORD", PASSPHRASE).ok();
    machine
}

fn with(machine: &Machine, passphrase: &str, words: &str) -> Caddis {
    machine.caddis_with_passphrase(words).env("CADDIS_PASSWORD", passphrase)
}

fn slots(run: &Run) -> Vec<Value> {
    run.json().as_array().unwrap().clone()
}

#[test]
fn init_makes_a_key_file_for_its_owner_alone_and_keeps_one_that_is_there() {
    let machine = Machine::with_repository();
    let made = fs::metadata(&machine.key_file).unwrap();
    assert_eq!((made.mode() & 0o7777, made.len()), (0o600, 32));

    let other = Machine::new();
    let key = fs::read(&machine.key_file).unwrap();
    fs::write(&other.key_file, &key).unwrap();
    other.caddis("init").ok();
    assert_eq!(fs::read(&other.key_file).unwrap(), key);
    other.caddis("snapshots").ok();
}

#[test]
fn a_key_file_that_is_missing_short_or_long_is_an_error() {
    let machine = Machine::with_repository();
    let open = |key: &[u8]| {
        fs::write(machine.path("bad"), key).unwrap();
        machine.caddis("snapshots --key-file bad").ends_with(1)
    };
    for key in [&b""[..], &[7; 31], &[7; 33]] {
        let run = open(key);
        assert!(run.stderr.contains("bad"), "{}", run.transcript());
    }
    let run = machine.caddis("snapshots --key-file missing").ends_with(1);
    assert!(run.stderr.contains("missing"), "{}", run.transcript());
    assert!(!machine.path("missing").exists());
}

#[test]
fn a_wrong_passphrase_or_key_file_is_told_apart_from_other_failures() {
    let machine = machine();
    assert_eq!(
        with(&machine, "guess", "snapshots").run().transcript(),
        "$ caddis snapshots\n\
         ! caddis: no key slot of [REPO] opens with this passphrase\n\
         ! caddis: try another passphrase or key file\n\
         exit 12\n"
    );
    fs::write(&machine.key_file, [7; 32]).unwrap();
    let run = machine.caddis("snapshots").ends_with(12);
    assert!(run.stderr.contains("opens with this key file"), "{}", run.transcript());
    with(&machine, PASSPHRASE, "snapshots").ok();
}

#[test]
fn a_passphrase_comes_from_environment_file_or_command() {
    let machine = machine();
    for content in [PASSPHRASE.to_owned(), format!("{PASSPHRASE}\n"), format!("{PASSPHRASE}\r\n")] {
        fs::write(machine.path("file"), content).unwrap();
        machine.caddis_with_passphrase("snapshots --password-file file").ok();
        machine.caddis_with_passphrase("snapshots").env("CADDIS_PASSWORD_FILE", "file").ok();
        machine.caddis_with_passphrase("snapshots --password-command").arg("cat file").ok();
        machine.caddis_with_passphrase("snapshots").env("CADDIS_PASSWORD_COMMAND", "cat file").ok();
    }
    // One line end is the editor's; a second one, or a space, is the user's.
    for content in [format!("{PASSPHRASE}\n\n"), format!("{PASSPHRASE} \n")] {
        fs::write(machine.path("file"), content).unwrap();
        machine.caddis_with_passphrase("snapshots --password-file file").ends_with(12);
    }
}

#[test]
fn an_empty_passphrase_is_refused_wherever_it_comes_from() {
    let machine = Machine::new();
    fs::write(machine.path("file"), b"\n").unwrap();
    let ways = [
        machine.caddis_with_passphrase("init --password-file file"),
        machine.caddis_with_passphrase("init --password-command true"),
        machine.caddis_with_passphrase("init").env("CADDIS_PASSWORD", ""),
    ];
    for way in ways {
        let run = way.ends_with(2);
        assert!(run.stderr.contains("is empty"), "{}", run.transcript());
    }
    assert!(!machine.repository.exists());
}

#[test]
fn without_a_passphrase_and_a_terminal_nothing_waits_for_an_answer() {
    let machine = machine();
    let run = machine.caddis_with_passphrase("snapshots").ends_with(2);
    assert!(run.stderr.contains("no terminal to ask on"), "{}", run.transcript());
    let run = machine.caddis_with_passphrase("snapshots --password-command false").ends_with(2);
    assert!(run.stderr.contains("the password command failed"), "{}", run.transcript());
}

#[test]
fn slots_are_added_listed_and_removed_and_the_last_one_stays() {
    let machine = machine();
    let list = || slots(&with(&machine, PASSPHRASE, "key list --json").ok());
    let first = list();
    assert_eq!(first.len(), 1);
    assert_eq!((&first[0]["kind"], &first[0]["current"]), (&"passphrase".into(), &true.into()));
    for field in ["id", "short_id", "name", "created", "hostname", "username", "rights"] {
        assert!(first[0][field].is_string(), "{field}");
    }

    let key_file = machine.key_file.to_str().unwrap();
    with(&machine, PASSPHRASE, &format!("key add --name cron --new-key-file {key_file}")).ok();
    assert_eq!(fs::metadata(&machine.key_file).unwrap().mode() & 0o7777, 0o600);
    with(&machine, PASSPHRASE, &format!("key add --name paper {CHEAP}"))
        .env("CADDIS_NEW_PASSWORD", "the one in the safe")
        .ok();
    machine.caddis("snapshots").ok();
    with(&machine, "the one in the safe", "snapshots").ok();
    let mut names: Vec<_> = list().iter().map(|slot| slot["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["cron", "first", "paper"]);
    let table = with(&machine, PASSPHRASE, "key list").ok();
    assert!(table.text().contains("key file") && table.text().contains("paper"), "{}", table.transcript());

    let id_of =
        |name: &str| list().iter().find(|slot| slot["name"] == name).unwrap()["id"].as_str().unwrap().to_owned();
    with(&machine, PASSPHRASE, "key remove").arg(id_of("paper")).ok();
    with(&machine, "the one in the safe", "snapshots").ends_with(12);
    with(&machine, PASSPHRASE, "key remove").arg(&id_of("cron")[..12]).ok();
    machine.caddis("snapshots").ends_with(12);
    assert_eq!(
        with(&machine, PASSPHRASE, "key remove").arg(&id_of("first")[..8]).run().transcript(),
        "$ caddis key remove [ID]\n\
         ! caddis: key slot [ID] is the only one left\n\
         ! caddis: add another key first with `caddis key add`\n\
         exit 9\n"
    );
    with(&machine, PASSPHRASE, "key remove zz").ends_with(1);
    with(&machine, PASSPHRASE, "check --read-data").ok();
}

#[test]
fn a_changed_passphrase_replaces_the_old_one_and_nothing_else() {
    let machine = machine();
    machine.folder_with("source", &[("file", b"saved before")]);
    with(&machine, PASSPHRASE, "backup source").ok();
    fs::write(machine.path("new"), b"another one\n").unwrap();
    with(&machine, PASSPHRASE, &format!("key passwd --new-password-file new {CHEAP}")).ok();
    with(&machine, PASSPHRASE, "snapshots").ends_with(12);
    with(&machine, "another one", "restore latest target").ok();
    assert_eq!(slots(&with(&machine, "another one", "key list --json").ok()).len(), 1);

    with(&machine, "another one", &format!("key passwd {CHEAP} --new-password-command")).arg("echo a third one").ok();
    with(&machine, "another one", "snapshots").ends_with(12);
    let key_file = machine.key_file.to_str().unwrap();
    with(&machine, "a third one", &format!("key passwd --new-key-file {key_file}")).ok();
    with(&machine, "a third one", "snapshots").ends_with(12);
    machine.caddis("check --read-data").ok();
}

#[test]
fn no_secret_is_ever_printed() {
    let machine = machine();
    let printed = |run: Run| {
        let all = format!("{}{}", String::from_utf8_lossy(&run.stdout), run.stderr);
        assert!(!all.contains("horse") && !all.contains("safe"), "{}", run.transcript());
    };
    printed(with(&machine, PASSPHRASE, "key list -v").run());
    printed(with(&machine, PASSPHRASE, &format!("key add -v {CHEAP}")).env("CADDIS_NEW_PASSWORD", "in the safe").run());
    printed(with(&machine, "horse!", "snapshots").run());
    printed(with(&machine, PASSPHRASE, "--help").run());
    printed(with(&machine, PASSPHRASE, "snapshots --nonsense").run());
}

#[test]
fn a_weak_passphrase_is_warned_of_and_taken() {
    for (passphrase, is_weak) in
        [("password1", true), ("qwerty12", true), ("correct unicorn magnet harvest glacier", false)]
    {
        let machine = Machine::new();
        let run = machine.caddis_with_passphrase(&format!("init {CHEAP}")).env("CADDIS_PASSWORD", passphrase).ok();
        assert_eq!(run.stderr.contains("the passphrase is weak"), is_weak, "{passphrase}: {}", run.transcript());
        assert!(!run.stderr.contains(passphrase), "{}", run.transcript());
        assert!(run.stderr.lines().count() <= 2, "{}", run.transcript());
    }
    let machine = machine();
    let run = with(&machine, PASSPHRASE, &format!("key add {CHEAP}")).env("CADDIS_NEW_PASSWORD", "letmein").ok();
    assert!(run.stderr.contains("the passphrase is weak"), "{}", run.transcript());
    with(&machine, "letmein", "snapshots").ok();
}

/// The command for the passphrase is a child of the program, and has its limits.
#[test]
fn no_core_is_left_of_a_program_that_knows_keys() {
    let machine = machine();
    let run = machine
        .caddis_with_passphrase("snapshots --password-command")
        .arg(format!("cat /proc/self/limits > limits; echo {PASSPHRASE}"))
        .ok();
    assert_eq!(run.stderr, "");
    let limits = fs::read_to_string(machine.path("limits")).unwrap();
    let core: Vec<&str> = limits.lines().find(|line| line.contains("core")).unwrap().split_whitespace().collect();
    // `Max core file size SOFT HARD bytes`
    assert!(core[4] == "1" || core[5] == "0", "{core:?}");
}
