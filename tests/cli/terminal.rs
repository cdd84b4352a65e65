//! What a terminal, a log and a shell that completes get to see.

use std::fs;

use crate::common::program::{Caddis, Machine, Run, skip};

/// Runs a program on a terminal of 80 columns and prints what it showed.
const ON_TERMINAL: &str = "import fcntl, os, pty, struct, sys, termios\n\
    child, terminal = pty.fork()\n\
    if child == 0:\n\
    \x20   fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))\n\
    \x20   os.execv(sys.argv[1], sys.argv[1:])\n\
    shown = b''\n\
    try:\n\
    \x20   while part := os.read(terminal, 4096): shown += part\n\
    except OSError: pass\n\
    os.write(1, shown)\n\
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n";

/// What a command shows on a terminal of 80 columns, by lines; nothing where there is no tool to make one.
fn on_terminal(command: Caddis) -> Option<Vec<String>> {
    if std::process::Command::new("python3").arg("-V").output().is_err() {
        skip("python3 is not installed");
        return None;
    }
    let run = command.env("TERM", "xterm").under(&["python3", "-c", ON_TERMINAL]).ok();
    Some(run.text().lines().map(|line| line.trim_end_matches('\r').to_owned()).collect())
}

fn two_snapshots() -> Machine {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("changed", b"1"), ("gone", b"2")]);
    machine.caddis("backup source").ok();
    fs::write(source.join("changed"), b"other").unwrap();
    fs::remove_file(source.join("gone")).unwrap();
    fs::write(source.join("new"), b"3").unwrap();
    machine.caddis("backup source --tag").arg("a-tag-that-needs-room").ok();
    machine
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let machine = two_snapshots();
    let has_colours = |run: &Run| run.text().contains('\x1b') || run.stderr.contains('\x1b');
    assert!(!has_colours(&machine.caddis("diff latest~1 latest").ok()));
    assert!(!has_colours(&machine.caddis("ls nothing").ends_with(1)));
    let diff = machine.caddis("diff --color always latest~1 latest").ok();
    for line in ["\x1b[32m+    ", "\x1b[31m-    ", "\x1b[33mM    "] {
        assert!(diff.text().contains(line), "{:?}", diff.text());
    }
    assert!(machine.caddis("ls --color always nothing").ends_with(1).stderr.contains("\x1b[1m\x1b[31mcaddis:"));
    let Some(shown) = on_terminal(machine.caddis("snapshots")) else { return };
    assert!(shown[0].starts_with("\x1b[1mID"), "{shown:?}");
    for refused in [
        machine.caddis("snapshots").env("NO_COLOR", "1"),
        machine.caddis("snapshots --color never"),
        machine.caddis("snapshots").env("CADDIS_COLOR", "never"),
    ] {
        let shown = on_terminal(refused).unwrap();
        assert!(shown.iter().all(|line| !line.contains('\x1b')), "{shown:?}");
    }
}

#[test]
fn a_table_is_as_wide_as_the_terminal() {
    let machine = Machine::with_repository();
    let name = "a-name-that-takes-all-of-a-line-of-eighty-columns-and-then-some-more-to-be-sure-of-it";
    machine.folder_with(name, &[("file", b"x")]);
    machine.caddis("backup").arg(name).ok();
    let Some(shown) = on_terminal(machine.caddis("snapshots --color never")) else { return };
    assert!(shown.len() > 2, "{shown:?}");
    assert!(shown.iter().all(|line| line.chars().count() <= 80), "{shown:?}");
    // A program that reads it gets whole lines.
    assert!(machine.caddis("snapshots").ok().text().contains(name));
}

#[test]
fn a_log_gets_five_lines_however_much_is_missing() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"x")]);
    let missing: Vec<String> = (0..20).map(|number| format!("missing{number:02}")).collect();
    let words = format!("backup source {}", missing.join(" "));
    let run = machine.caddis(&words).ends_with(3);
    assert_eq!(run.stdout, b"");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[3].contains("missing03"), "{lines:?}");
    assert_eq!(lines[4], "caddis: and 16 more; with -v each is named");
    assert_eq!(machine.caddis(&format!("{words} -v")).ends_with(3).stderr.lines().count(), 20);
    assert_eq!(machine.caddis(&format!("{words} --json")).ends_with(3).stderr.lines().count(), 20);
}

#[test]
fn success_says_nothing_to_a_log() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("file", b"x")]);
    for words in ["backup source", "check", "restore latest target", "tag add x latest", "forget latest"] {
        let run = machine.caddis(words).ok();
        assert_eq!((run.text(), run.stderr.as_str()), ("", ""), "{words}");
    }
}

/// What bash would offer for the last of these words.
fn offered(command: Caddis, words: &[&str]) -> Vec<String> {
    let at = words.len() - 1;
    let mut command =
        command.env("CADDIS_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", at.to_string()).env("_CLAP_IFS", "\n");
    for word in ["--"].iter().chain(words) {
        command = command.arg(word);
    }
    command.ok().text().lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_is_offered_commands_options_and_snapshots() {
    let machine = two_snapshots();
    let ids: Vec<String> = machine.snapshot_ids().iter().map(|id| id[..8].to_owned()).collect();
    assert!(offered(machine.caddis(""), &["caddis", "sn"]).contains(&"snapshots".to_owned()));
    assert!(offered(machine.caddis(""), &["caddis", "ls", "--rec"]).contains(&"--recursive".to_owned()));
    let all = offered(machine.caddis(""), &["caddis", "restore", ""]);
    assert!(all.contains(&ids[0]) && all.contains(&ids[1]) && all.contains(&"latest".to_owned()), "{all:?}");
    assert_eq!(offered(machine.caddis(""), &["caddis", "tag", "add", "x", &ids[0][..7]]), [ids[0].clone()]);
    // Of what was forgotten, where it can be brought back.
    let unforget = ["caddis", "unforget", &ids[0][..7]];
    assert_eq!(offered(machine.caddis(""), &unforget), [""; 0]);
    machine.caddis("forget").arg(&ids[0]).ok();
    assert_eq!(offered(machine.caddis(""), &unforget), [ids[0].clone()]);
    // The repository of the line that is typed, and not the one of the environment.
    let other = Machine::with_repository();
    let (repository, key) = (machine.repository.to_str().unwrap(), machine.key_file.to_str().unwrap());
    let typed = ["caddis", "-r", repository, "--key-file", key, "ls", &ids[1][..7]];
    assert_eq!(offered(other.caddis(""), &typed), [ids[1].clone()]);
}

#[test]
fn nobody_is_asked_for_a_passphrase_while_a_line_is_typed() {
    let machine = two_snapshots();
    assert_eq!(offered(machine.caddis_with_passphrase(""), &["caddis", "ls", "l"]), [""; 0]);
    let with_command = machine.caddis_with_passphrase("").env("CADDIS_PASSWORD_COMMAND", "touch asked; echo x");
    assert_eq!(offered(with_command, &["caddis", "ls", "l"]), [""; 0]);
    assert!(!machine.path("asked").exists());
    let wrong = machine.caddis_with_passphrase("").env("CADDIS_PASSWORD", "wrong");
    assert_eq!(offered(wrong, &["caddis", "ls", "l"]), [""; 0]);
}
