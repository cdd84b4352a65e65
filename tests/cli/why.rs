//! `caddis why`: its answers, and that they are what a backup does.

use std::fs;
use std::os::unix::net::UnixListener;

use crate::common::program::Machine;

#[test]
fn each_answer_names_the_rule_and_where_it_stands() {
    let machine = Machine::new();
    let source =
        machine.folder_with("source", &[("a.o", b"a"), ("keep.o", b"k"), ("large", &[0; 2048]), ("plain", b"")]);
    for folder in ["build", "cache", "own"] {
        fs::create_dir(source.join(folder)).unwrap();
    }
    fs::write(source.join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
    fs::write(source.join("own/.caddisignore"), "\nx/\n").unwrap();
    fs::write(machine.path("list"), "*.o\n!keep.o\n").unwrap();
    let _socket = UnixListener::bind(source.join("socket")).unwrap();
    let words = "why --source source --exclude-file list -e build --exclude-caches --exclude-larger-than 1KiB";
    for (path, wanted) in [
        ("", "taken: it is a source"),
        ("/plain", "taken: no rule leaves it out"),
        ("/a.o", "left out by *.o at list:1"),
        ("/keep.o", "taken by !keep.o at list:2"),
        ("/large", "left out by --exclude-larger-than 1.0 KiB"),
        ("/build/deep/er", "left out with [DIR]/source/build by --exclude build"),
        ("/cache", "taken: no rule leaves it out"),
        ("/cache/CACHEDIR.TAG", "taken: no rule leaves it out"),
        ("/cache/a/b", "left out with what lies in [DIR]/source/cache by --exclude-caches"),
        ("/own/x", "taken: no rule leaves it out"),
        ("/own/x/", "left out by x/ at [DIR]/source/own/.caddisignore:2"),
        ("/gone/for/good.o", "left out by *.o at list:1"),
        ("/socket", "left out: it is a socket"),
    ] {
        let run = machine.caddis(words).arg(format!("source{path}")).ok().transcript();
        let answer = format!("\n[DIR]/source{}: {wanted}\nexit 0\n", path.trim_end_matches('/'));
        assert!(run.ends_with(&answer), "{answer}: {run}");
    }
    let run = machine.caddis(words).arg("elsewhere").ok().transcript();
    assert!(run.ends_with("\n[DIR]/elsewhere: left out: it lies below no source\nexit 0\n"), "{run}");
    let answers =
        machine.caddis(words).arg("--json").arg("source/build/x").arg("source/own/x/").arg("list").ok().json();
    let here = source.to_str().unwrap();
    assert_eq!(
        answers,
        serde_json::json!([
            {
                "path": format!("{here}/build/x"), "action": "excluded", "reason": "rule", "item": format!("{here}/build"),
                "rule": "build", "option": "--exclude",
            },
            {
                "path": format!("{here}/own/x"), "action": "excluded", "reason": "rule", "item": format!("{here}/own/x"),
                "rule": "x/", "file": format!("{here}/own/.caddisignore"), "line": 2,
            },
            { "path": machine.path("list"), "action": "excluded", "reason": "no_source" },
        ])
    );
}

#[test]
fn without_a_source_the_newest_snapshot_says_what_was_one() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", b"a")]);
    fs::create_dir(source.join("sub")).unwrap();
    fs::write(source.join("sub/a"), "a").unwrap();
    let answer = |pattern: &str| {
        let run = machine.caddis("why -e").arg(pattern).arg(source.join("sub/a")).ok();
        run.text().rsplit_once(": ").map(|(_, answer)| answer.trim_end().to_owned()).unwrap_or_default()
    };
    assert_eq!(answer("/a"), "it lies below no source");
    machine.caddis("backup source").ok();
    assert_eq!(answer("/a"), "no rule leaves it out");
    machine.caddis("backup source/sub").ok();
    assert!(answer("/a").ends_with("left out by --exclude /a"), "{}", answer("/a"));
    let run = machine.caddis("why").arg(machine.repository.join("config")).arg("--source").arg(machine.path("")).ok();
    assert!(run.transcript().contains("[REPO]/config: left out: [REPO] is the repository"), "{}", run.transcript());
}
