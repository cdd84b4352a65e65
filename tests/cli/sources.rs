//! What is saved: paths from files and standard input, and sources under another path.

use std::fs::{self, File};

use crate::common::program::{Machine, inside};

#[test]
fn sources_are_read_from_files_as_they_stand() {
    let machine = Machine::with_repository();
    let source =
        machine.folder_with("source", &[("a", b"a"), ("b c", b"b"), ("#d", b"d"), ("e\nf", b"e"), ("*", b"s")]);
    let saved = |words: &str, input: &str| {
        let list = machine.path("list");
        fs::write(&list, input).unwrap();
        machine.caddis(words).stdin(File::open(&list).unwrap()).ok();
        let listed = machine.caddis("ls --json").arg(inside("latest", &source)).ok().json_lines();
        listed.iter().skip(1).map(|entry| entry["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(saved("backup --files-from list", "source/a\n\nsource/b c\nsource/#d\n"), ["#d", "a", "b c"]);
    assert_eq!(saved("backup --files-from -", "source/*"), ["*"]);
    assert_eq!(saved("backup --files-from0 list source/a", "source/e\nf\0source/b c\0"), ["a", "b c", "e\nf"]);
    assert_eq!(saved("backup --files-from0 -", "source\0"), ["#d", "*", "a", "b c", "e\nf"]);
}

#[test]
fn what_names_no_source_is_refused() {
    let machine = Machine::with_repository();
    machine.folder_with("source", &[("a", b"a")]);
    fs::write(machine.path("empty"), "\n\n").unwrap();
    for (words, wanted) in [
        ("backup --files-from empty", "! caddis: no path to save was named\nexit 2\n"),
        ("backup --files-from none", "! caddis: cannot read none: No such file or directory (os error 2)\nexit 1\n"),
        ("backup --as-path /x source empty", "! caddis: --as-path is for one path, and 2 were named\nexit 2\n"),
    ] {
        let run = machine.caddis(words).run();
        assert!(run.transcript().ends_with(wanted), "{}", run.transcript());
    }
    // A path that is named in a file and is not there is a problem like any other.
    fs::write(machine.path("list"), "source\ngone\n").unwrap();
    let run = machine.caddis("backup --files-from list").ends_with(3);
    assert!(run.transcript().contains("[DIR]/gone: there is no such file or folder"), "{}", run.transcript());
}

#[test]
fn a_source_is_saved_as_if_it_lay_elsewhere() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a.o", b"a"), ("b", b"b")]);
    let entries = |path: &str| {
        let listed = machine.caddis("ls -R --json").arg(format!("latest:{path}")).ok().json_lines();
        listed.iter().skip(1).map(|entry| entry["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        machine.caddis("backup --as-path /no/where -e /no/where/a.o").arg(&source).ok();
        assert_eq!(entries(""), ["/no", "/no/where", "/no/where/b"]);
    }
    machine.caddis("backup --as-path /no/file").arg(source.join("b")).ok();
    assert_eq!(entries(""), ["/no", "/no/file"]);
    machine.caddis("backup --as-path /").arg(&source).ok();
    assert_eq!(entries(""), ["/a.o", "/b"]);
    let list = machine.caddis("snapshots --json").ok().json();
    assert_eq!(list[0]["paths"], serde_json::json!(["/no/where"]));
    let target = machine.path("target");
    machine.caddis("restore latest~1:/no/file").arg(&target).ok();
    assert_eq!(fs::read(target).unwrap(), b"b");
    machine.caddis("check --read-data").ok();
}
