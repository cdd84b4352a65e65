//! What of a source is saved: patterns, files of rules, tags, sizes, file systems.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::program::{Caddis, Machine, inside, skip};

/// Makes files, which hold their own path, and the folders that they lie in.
fn plant(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
}

/// The paths below `source` in the newest snapshot; of folders, only those that hold nothing.
fn saved(machine: &Machine, source: &Path) -> BTreeSet<String> {
    let listed = machine.caddis("ls -R --json").arg(inside("latest", source)).ok().json_lines();
    let path = |entry: &serde_json::Value| {
        let path = entry["path"].as_str()?.strip_prefix(source.to_str().unwrap())?;
        let slash = if entry["type"] == "dir" { "/" } else { "" };
        Some(format!("{}{slash}", path.trim_start_matches('/'))).filter(|path| path != "/")
    };
    let paths: BTreeSet<String> = listed.iter().filter_map(path).collect();
    let holds = |folder: &String| paths.iter().any(|other| other != folder && other.starts_with(folder.as_str()));
    paths.iter().filter(|path| !path.ends_with('/') || !holds(path)).cloned().collect()
}

/// The same without folders.
fn saved_files(machine: &Machine, source: &Path) -> BTreeSet<String> {
    saved(machine, source).into_iter().filter(|path| !path.ends_with('/')).collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

fn backup(machine: &Machine, words: &str, source: &Path) -> Caddis {
    machine.caddis(&format!("backup {words}")).arg(source)
}

#[test]
fn patterns_leave_out_and_take_in_again_as_git_has_it() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    plant(&source, &["a.o", "keep.o", "sub/b.o", "sub/c", "build/x", "sub/build/y", "doc/a.pdf", "doc/in/b.pdf"]);
    let all = ["a.o", "build/x", "doc/a.pdf", "doc/in/b.pdf", "keep.o", "sub/b.o", "sub/build/y", "sub/c"];
    let without = |gone: &[&str]| set(&all.iter().copied().filter(|path| !gone.contains(path)).collect::<Vec<_>>());
    for (words, gone) in [
        ("-e *.o", &["a.o", "keep.o", "sub/b.o"][..]),
        ("-e *.o -e !keep.o", &["a.o", "sub/b.o"]),
        ("-e !keep.o -e *.o", &["a.o", "keep.o", "sub/b.o"]),
        ("--exclude /build", &["build/x"]),
        ("-e build/", &["build/x", "sub/build/y"]),
        ("-e doc/*.pdf", &["doc/a.pdf"]),
        ("-e doc/**/*.pdf", &["doc/a.pdf", "doc/in/b.pdf"]),
        ("-e sub -e !sub/c", &["sub/b.o", "sub/build/y", "sub/c"]),
        ("--iexclude *.PDF", &["doc/a.pdf", "doc/in/b.pdf"]),
        ("-e *.PDF", &[]),
        ("", &[]),
    ] {
        backup(&machine, words, &source).ok();
        assert_eq!(saved_files(&machine, &source), without(gone), "{words}");
    }
    // A path that begins at the root is meant as it stands, too.
    let absolute = source.join("sub/c");
    machine.caddis("backup -e").arg(&absolute).arg(&source).ok();
    assert_eq!(saved(&machine, &source), without(&["sub/c"]));
    // What is named as a source is taken.
    machine.caddis("backup -e source -e a.o").arg(&source).ok();
    assert_eq!(saved(&machine, &source), without(&["a.o"]));
    let summary = machine.caddis("backup -e a.o --json").arg(source.join("a.o")).ok().json();
    assert_eq!((&summary["total_files_processed"], &summary["items_excluded"]), (&1.into(), &0.into()));
}

#[test]
fn a_change_of_the_rules_counts_at_once() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    plant(&source, &["a/one", "a/two", "b/deep/three", "b/four"]);
    let all = saved_with(&machine, "", &source);
    assert_eq!(all, set(&["a/one", "a/two", "b/deep/three", "b/four"]));
    for _ in 0..2 {
        assert_eq!(saved_with(&machine, "-e two -e deep", &source), set(&["a/one", "b/four"]));
    }
    assert_eq!(saved_with(&machine, "-e four", &source), set(&["a/one", "a/two", "b/deep/three"]));
    for _ in 0..2 {
        assert_eq!(saved_with(&machine, "", &source), all);
    }
    // Of the last run everything was known but what came back with it.
    let summary = backup(&machine, "--json -e one", &source).ok().json();
    assert_eq!((&summary["files_new"], &summary["items_excluded"]), (&0.into(), &1.into()));
    machine.caddis("check --read-data").ok();
}

fn saved_with(machine: &Machine, words: &str, source: &Path) -> BTreeSet<String> {
    backup(machine, words, source).ok();
    saved(machine, source)
}

#[test]
fn files_of_patterns_are_read_line_by_line_and_weigh_less_than_the_command_line() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    plant(&source, &["a.o", "a.c", "#x", "in/b.O", "in/b.c"]);
    let list = machine.path("list");
    fs::write(&list, "# objects\r\n\n*.o\n\\#x   \n").unwrap();
    machine.caddis("backup --exclude-file").arg(&list).arg(&source).ok();
    assert_eq!(saved(&machine, &source), set(&["a.c", "in/b.O", "in/b.c"]));
    machine.caddis("backup --iexclude-file").arg(&list).arg(&source).ok();
    assert_eq!(saved(&machine, &source), set(&["a.c", "in/b.c"]));
    machine.caddis("backup -e !a.o --exclude-file").arg(&list).arg(&source).ok();
    assert_eq!(saved(&machine, &source), set(&["a.c", "a.o", "in/b.O", "in/b.c"]));
    // The folder's own word stands between the two.
    fs::write(source.join(".caddisignore"), "!*.o\nb.c\n").unwrap();
    machine.caddis("backup -e !/in/b.c --exclude-file").arg(&list).arg(&source).ok();
    assert_eq!(saved(&machine, &source), set(&[".caddisignore", "a.c", "a.o", "in/b.O", "in/b.c"]));
}

#[test]
fn a_folder_has_rules_of_its_own_for_what_lies_below() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    plant(&source, &["x.log", "a/x.log", "a/y.tmp", "a/b/x.log", "a/b/y.tmp", "c/only", "c/here/only"]);
    fs::write(source.join(".caddisignore"), "*.log\n").unwrap();
    fs::write(source.join("a/.caddisignore"), "!x.log\n*.tmp\n").unwrap();
    fs::write(source.join("a/b/.caddisignore"), "x.log\n!y.tmp\n").unwrap();
    fs::write(source.join("c/.caddisignore"), "/only\n[bad\n").unwrap();
    let run = backup(&machine, "", &source).ok();
    let bad = format!(
        "caddis: passed over: line 2 of {} is no pattern: a `[` has no `]`\n",
        source.join("c/.caddisignore").display()
    );
    assert_eq!(run.stderr, bad);
    let own = [".caddisignore", "a/.caddisignore", "a/b/.caddisignore", "c/.caddisignore"];
    let wanted = own.into_iter().chain(["a/b/y.tmp", "a/x.log", "c/here/only"]);
    assert_eq!(saved(&machine, &source), set(&wanted.collect::<Vec<_>>()));
    backup(&machine, "--no-ignore", &source).ok();
    assert_eq!(saved(&machine, &source).len(), own.len() + 7);
}

#[test]
fn rules_that_cannot_be_read_are_a_note_and_no_failure() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    plant(&source, &["a/x", "b/x"]);
    fs::create_dir(source.join("a/.caddisignore")).unwrap();
    fs::write(source.join("b/.caddisignore"), "x\n".repeat(40_000)).unwrap();
    let run = backup(&machine, "", &source).ok();
    let notes: BTreeSet<String> =
        run.transcript().lines().filter(|line| line.starts_with('!')).map(str::to_owned).collect();
    let wanted = [
        "! caddis: rules in [DIR]/source/a/.caddisignore are passed over: not a regular file but a folder",
        "! caddis: rules in [DIR]/source/b/.caddisignore are passed over: it is longer than 65536 bytes",
    ];
    assert_eq!(notes, set(&wanted));
    assert_eq!(saved(&machine, &source), set(&["a/.caddisignore/", "a/x", "b/.caddisignore", "b/x"]));
}

/// What git takes of a tree with these rules is what is saved of it.
#[test]
fn the_rules_mean_what_they_mean_in_git() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    let names = ["a", "b.o", "A", "ab", "abc", "x y", "x ", "-", "]", "#c", "!d", "*", "a?", "foo", "bar.tmp", "é"];
    for folder in ["", "foo", "foo/bar", "deep/foo/a", "ab/cd/ef", "x y"] {
        let folder = source.join(folder);
        fs::create_dir_all(&folder).unwrap();
        for name in names.iter().filter(|name| !folder.join(name).exists()) {
            // Where a folder of that name is to come, it is there already.
            if !["", "deep", "ab", "foo"]
                .iter()
                .any(|above| source.join(above) == folder && ["foo", "ab", "x y"].contains(name))
            {
                fs::write(folder.join(name), "").unwrap();
            }
        }
    }
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C")
            .arg(&source)
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", machine.path("home"));
        git.stdin(Stdio::null()).output()
    };
    if git(&["--version"]).is_err() {
        return skip("there is no git");
    }
    let rules = [
        ("*.o\n!b.o\n", "foo/\n"),
        ("foo\n", ""),
        ("/foo\n", "b.o"),
        ("/foo/*\n!/foo/bar\n", "a*\n!ab\n"),
        ("foo/**\n", ""),
        ("**/foo\n", ""),
        ("**/foo/a\n", ""),
        ("ab/**/abc\n", ""),
        ("foo/bar\n", "/b.o\n"),
        ("[a-b]*\n", "![ab]\n"),
        ("[!a-z]\n", ""),
        ("[^[:alpha:]]\n", ""),
        ("[]-]\n", ""),
        ("\\#c\n\\!d\n\\*\n#c\n", ""),
        ("x\\ \nx y  \n", "!x y\n"),
        ("a\\?\n", "a?\n"),
        ("*\n!*/\n!abc\n", "!b.o\n"),
        ("**\n!foo\n", ""),
        ("é\n?\n", ""),
        ("a**\n", "**/\n"),
        ("/*\n!/foo/\n/foo/*\n!/foo/bar/\n", "/a\n"),
        ("foo/*/\n", "bar"),
        ("[a\nfoo\\\n", ""),
    ];
    git(&["init", "-q"]).unwrap();
    for (upper, lower) in rules {
        for name in [".gitignore", ".caddisignore"] {
            fs::write(source.join(name), upper).unwrap();
            fs::write(source.join("foo").join(name), lower).unwrap();
        }
        backup(&machine, "-e /.git", &source).ok();
        let listed = git(&["ls-files", "--others", "--exclude-standard", "-z"]).unwrap().stdout;
        let listed = String::from_utf8(listed).unwrap();
        let wanted: BTreeSet<String> = listed.split_terminator('\0').map(str::to_owned).collect();
        assert_eq!(saved_files(&machine, &source), wanted, "{upper:?}, in foo {lower:?}");
    }
}

#[test]
fn tags_leave_only_themselves_of_a_folder() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    plant(&source, &["cache/x", "cache/deep/y", "fake/x", "marked/x", "unmarked/x", "top"]);
    fs::write(source.join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# and more\n").unwrap();
    fs::write(source.join("fake/CACHEDIR.TAG"), "Signature: none\n").unwrap();
    fs::write(source.join("marked/.nobackup"), "yes, leave it out").unwrap();
    fs::write(source.join("unmarked/.nobackup"), "no").unwrap();
    let untouched = ["fake/CACHEDIR.TAG", "fake/x", "top"];
    let with = |more: &[&str]| set(&[&untouched[..], more].concat());
    let cache = ["cache/CACHEDIR.TAG", "cache/deep/y", "cache/x"];
    assert_eq!(
        saved_with(&machine, "--exclude-caches", &source),
        with(&["cache/CACHEDIR.TAG", "marked/.nobackup", "marked/x", "unmarked/.nobackup", "unmarked/x"])
    );
    assert_eq!(
        saved_with(&machine, "--exclude-if-present .nobackup:yes", &source),
        with(&[&cache[..], &["marked/.nobackup", "unmarked/.nobackup", "unmarked/x"]].concat())
    );
    assert_eq!(
        saved_with(&machine, "--exclude-if-present .nobackup --exclude-if-present absent", &source),
        with(&[&cache[..], &["marked/.nobackup", "unmarked/.nobackup"]].concat())
    );
    // Who names a cache wants it.
    assert_eq!(saved_with(&machine, "--exclude-caches", &source.join("cache")).len(), 3);
}

#[test]
fn large_files_and_other_file_systems_are_left_out() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("small", &[7; 1024]), ("large", &[7; 1025])]);
    assert_eq!(saved_with(&machine, "--exclude-larger-than 1KiB", &source), set(&["small"]));
    // Below /dev other file systems are mounted nearly everywhere.
    let (above, mounted) = (Path::new("/dev"), Path::new("/dev/shm"));
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).unwrap_or_default();
    if device(above) == device(mounted) {
        return skip("/dev/shm is no file system of its own");
    }
    let beyond = tempfile::NamedTempFile::new_in(mounted).unwrap();
    let run = backup(&machine, "-x --json", above).ok();
    let summary = run.json_lines().pop().unwrap();
    assert!(summary["items_excluded"].as_u64().unwrap() >= 1, "{}", run.transcript());
    let paths = saved(&machine, above);
    let name = beyond.path().strip_prefix(above).unwrap().to_str().unwrap();
    assert!(paths.contains("shm/") && paths.contains("null") && !paths.contains(name), "{paths:?}");
}

#[test]
fn names_need_not_be_text() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    for name in [&b"\xff\xfe"[..], b"\xff\xfd", b"plain"] {
        fs::write(source.join(OsStr::from_bytes(name)), b"").unwrap();
    }
    for (pattern, count) in [(&b"\xff\xfe"[..], 2), (b"??", 1), (b"[!a-z]*", 1), (b"?[!x]", 1)] {
        let summary = machine.caddis("backup --json -e").arg(OsStr::from_bytes(pattern)).arg(&source).ok().json();
        assert_eq!(summary["total_files_processed"], count, "{}", pattern.escape_ascii());
    }
    let run = machine.caddis("backup -e").arg(OsStr::from_bytes(b"\xff*")).arg(&source).ends_with(2);
    assert!(run.stderr.contains("no UTF-8"), "{}", run.transcript());
}

#[test]
fn a_rule_that_nothing_matched_is_named_to_who_looks_and_not_to_cron() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a.o", b"a"), ("b", b"b")]);
    let list = machine.path("list");
    fs::write(&list, "*.o\n*.obj\n").unwrap();
    let run = |words: &str| {
        machine
            .caddis(words)
            .arg("--exclude-file")
            .arg(&list)
            .arg("-e")
            .arg("c")
            .arg("--exclude-caches")
            .arg(&source)
            .ok()
    };
    let wanted = "! caddis: nothing matched *.obj at [DIR]/list:2\n! caddis: nothing matched --exclude c\n\
        ! caddis: nothing matched --exclude-caches\n";
    let loud = run("backup -v").transcript();
    assert!(loud.contains(wanted), "{loud}");
    let quiet = run("backup");
    assert_eq!((quiet.text(), quiet.stderr.as_str()), ("", ""));
    let summary = run("backup --json").json();
    assert_eq!(summary["rules_unmatched"][1], "--exclude c");
}

#[test]
fn what_is_no_rule_is_refused_before_anything_is_done() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("a", b"a")]);
    let list = machine.path("list");
    fs::write(&list, "good\n[bad\n").unwrap();
    for (words, wanted) in [
        ("backup -e [a source", "! caddis: `[a` of --exclude is no pattern: a `[` has no `]`\nexit 2\n"),
        (
            "backup --iexclude a\\ source",
            "! caddis: `a\\` of --iexclude is no pattern: it ends with a backslash\nexit 2\n",
        ),
        ("backup --exclude-file list source", "! caddis: line 2 of list is no pattern: a `[` has no `]`\nexit 2\n"),
        (
            "backup --exclude-file none source",
            "! caddis: cannot read none: No such file or directory (os error 2)\nexit 1\n",
        ),
        (
            "backup --exclude-if-present :x source",
            "! caddis: `:x` of --exclude-if-present names no file: a name is empty\nexit 2\n",
        ),
    ] {
        let run = machine.caddis(words).run();
        assert!(run.transcript().ends_with(wanted), "{}", run.transcript());
    }
    assert_eq!((machine.snapshot_ids().len(), source.exists()), (0, true));
}
