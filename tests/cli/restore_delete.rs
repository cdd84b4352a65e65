//! What `restore --delete` takes away, and what a dry run says of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside, is_root, skip};
use crate::common::zoo::{random_bytes, set_mtime};

/// A source in which there is one of everything that a restore can meet, saved.
fn saved_source(machine: &Machine) -> PathBuf {
    let source = machine.folder("source");
    for folder in ["kept folder", "new folder", "new folder/deeper", "was a file"] {
        fs::create_dir(source.join(folder)).unwrap();
    }
    for file in ["kept folder/kept", "new folder/deeper/new", "was a file/inner", "new", "changed", "was a folder"] {
        fs::write(source.join(file), format!("saved {file}")).unwrap();
        set_mtime(&source.join(file), 1_500_000_000, 7);
    }
    fs::write(source.join("large"), random_bytes("large", 3_000_000)).unwrap();
    for name in ["linked", "new folder/linked too"] {
        fs::hard_link(source.join("large"), source.join(name)).unwrap();
    }
    symlink("new", source.join("symlink")).unwrap();
    symlink("nowhere", source.join("changed symlink")).unwrap();
    machine.caddis("backup").arg(&source).ok();
    source
}

/// A target that differs from it in each way there is. Nothing of `outside` may change.
fn fill(target: &Path, source: &Path, outside: &Path) {
    fs::create_dir(target).unwrap();
    for folder in ["kept folder", "was a folder", "was a folder/full", "strange", "strange/deep", "strange/deep/deeper"]
    {
        fs::create_dir(target.join(folder)).unwrap();
    }
    fs::write(target.join("kept folder/kept"), "saved kept folder/kept").unwrap();
    set_mtime(&target.join("kept folder/kept"), 1_500_000_000, 7);
    for strange in ["kept folder/strange", "strange/file", "strange/deep/deeper/file", "was a folder/full/file", "zzz"]
    {
        fs::write(target.join(strange), "strange").unwrap();
    }
    fs::write(target.join("changed"), "was something else").unwrap();
    fs::write(target.join("was a file"), "was a file").unwrap();
    fs::copy(source.join("large"), target.join("linked")).unwrap();
    fs::write(target.join(".caddis-restore-0123456789abcdef-1"), "left over").unwrap();
    symlink("new", target.join("symlink")).unwrap();
    symlink("somewhere", target.join("changed symlink")).unwrap();
    symlink(outside, target.join("strange link")).unwrap();
    symlink(outside, target.join("kept folder/strange link")).unwrap();
}

fn outside(machine: &Machine) -> PathBuf {
    machine.folder_with("outside", &[("file", b"outside")])
}

fn lines(text: &str) -> BTreeSet<&str> {
    // The summary speaks of what was done, or would be.
    text.lines().filter(|line| !line.starts_with("restored ") && !line.starts_with("would restore ")).collect()
}

#[test]
fn a_restore_that_deletes_makes_the_target_what_the_snapshot_is() {
    let machine = Machine::with_repository();
    let (source, outside) = (saved_source(&machine), outside(&machine));
    let before = (snapshot_of(&source), snapshot_of(&outside));
    for policy in ["always", "if-changed"] {
        let target = machine.path(policy);
        fill(&target, &source, &outside);
        machine.caddis("restore --delete --overwrite").arg(policy).arg(inside("latest", &source)).arg(&target).ok();
        assert_same(&before.0, &snapshot_of(&target), Ignore::default());
        assert_same(&before.1, &snapshot_of(&outside), Ignore::default());
    }
}

#[test]
fn a_dry_run_says_line_by_line_what_the_restore_then_does_and_does_nothing() {
    let machine = Machine::with_repository();
    let (source, outside) = (saved_source(&machine), outside(&machine));
    let mut actions = BTreeSet::new();
    for policy in ["always", "if-changed", "if-newer", "never"] {
        for delete in ["", "--delete"] {
            let target = machine.path(format!("{policy}{delete}"));
            fill(&target, &source, &outside);
            let before = (snapshot_of(&target), fs::metadata(&target).unwrap().ctime_nsec());
            let run = |words: &str| {
                let words = format!("restore -v --overwrite {policy} {delete} {words}");
                machine.caddis(&words).arg(inside("latest", &source)).arg(&target).run()
            };
            let (dry, dry_json) = (run("-n"), run("--dry-run --json"));
            assert_same(&before.0, &snapshot_of(&target), Ignore::default());
            assert_eq!(fs::metadata(&target).unwrap().ctime_nsec(), before.1);
            let real = run("");
            assert_eq!(dry.text().lines().count(), real.text().lines().count(), "{}", dry.transcript());
            assert_eq!(lines(dry.text()), lines(real.text()));
            assert_eq!(dry.stderr, real.stderr, "{}", real.transcript());
            assert_eq!(dry.code, real.code);
            // The same in JSON, in restic's words.
            let messages = dry_json.json_lines();
            let (summary, items) = messages.split_last().unwrap();
            let in_text = |item: &serde_json::Value| {
                let action = match item["action"].as_str().unwrap() {
                    "restored" => "created",
                    "updated" => "replaced",
                    "unchanged" => "kept",
                    other => other,
                };
                format!("{action:<8} {}", item["item"].as_str().unwrap())
            };
            let items: Vec<_> = items.iter().filter(|item| item["message_type"] == "verbose_status").collect();
            let texts: Vec<String> = items.iter().map(|item| in_text(item)).collect();
            assert_eq!(texts.iter().map(String::as_str).collect::<BTreeSet<_>>(), lines(dry.text()));
            let deleted = items.iter().filter(|item| item["action"] == "deleted").count();
            assert_eq!(summary["files_deleted"], deleted);
            actions.extend(items.iter().map(|item| item["action"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), ["deleted", "restored", "skipped", "unchanged", "updated"]);
}

#[test]
fn a_dry_run_into_a_new_folder_makes_nothing_and_needs_no_content() {
    let machine = Machine::with_repository();
    let source = saved_source(&machine);
    // Not even the packs of data need to be there.
    fs::rename(machine.repository.join("packs"), machine.path("packs")).unwrap();
    let dry = machine.caddis("restore -nv").arg(inside("latest", &source)).arg("target").ok();
    let shown = dry.text().to_owned();
    assert!(!machine.path("target").exists());
    fs::rename(machine.path("packs"), machine.repository.join("packs")).unwrap();
    let real = machine.caddis("restore -v").arg(inside("latest", &source)).arg("target").ok();
    assert_eq!(lines(&shown), lines(real.text()));
    assert!(shown.lines().last().unwrap().starts_with("would restore 9 files, 4 folders, "), "{shown}");
    let refused = machine.caddis("restore -n").arg(inside("latest", &source)).arg("target").ends_with(9);
    assert!(refused.stderr.contains("--overwrite"));
    let single = machine.caddis("restore -n").arg(inside("latest", &source.join("new"))).arg("a/b").ok();
    assert!(single.text().starts_with("would restore 1 file,"), "{}", single.transcript());
    assert!(!machine.path("a").exists());
}

#[test]
fn a_folder_that_holds_much_more_is_not_deleted_from_without_a_word() {
    let machine = Machine::with_repository();
    let source = saved_source(&machine);
    let home = machine.path("home");
    fs::write(home.join("mine"), "precious").unwrap();
    let restore = |words: &str, target: &Path| {
        let words = format!("restore --overwrite if-changed --delete {words}");
        machine.caddis(&words).arg(inside("latest", &source)).arg(target)
    };
    symlink("home", machine.path("link")).unwrap();
    for (target, why) in [
        (Path::new("/").to_owned(), "/ is the root of all files"),
        (home.clone(), "holds your home folder"),
        (machine.path("link"), "holds your home folder"),
        (machine.path("."), "holds your home folder"),
        ("/proc".into(), "/proc is where a file system begins"),
    ] {
        for words in ["", "-n"] {
            let run = restore(words, &target).ends_with(9);
            assert!(run.stderr.contains(why) && run.stderr.contains("`--yes`"), "{}", run.transcript());
        }
    }
    assert_eq!(fs::read_to_string(home.join("mine")).unwrap(), "precious");
    machine.caddis("restore --delete").arg(inside("latest", &source)).arg("new").ends_with(2);
    restore("--yes", &home).ok();
    assert_same(&snapshot_of(&source), &snapshot_of(&home), Ignore::default());
}

#[test]
fn another_file_system_below_the_target_is_not_deleted_from() {
    if !is_root() {
        return skip("only root can mount");
    }
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    fs::create_dir_all(source.join("mounted/sub")).unwrap();
    machine.caddis("backup").arg(&source).ok();
    let target = machine.folder("target");
    for folder in ["mounted/sub", "strange/mounted"] {
        fs::create_dir_all(target.join(folder)).unwrap();
    }
    fs::write(target.join("strange/file"), "strange").unwrap();
    let elsewhere = machine.folder_with("elsewhere", &[("precious", b"bytes")]);
    fs::create_dir(elsewhere.join("sub")).unwrap();
    fs::write(elsewhere.join("sub/precious"), "bytes").unwrap();
    let words = format!(
        "mount --bind {0} {1}/mounted && mount --bind {0} {1}/strange/mounted && exec \"$@\"",
        elsewhere.display(),
        target.display()
    );
    // In a name space of its own, which goes with the last process in it.
    let under = ["unshare", "--mount", "sh", "-c", &words, "sh"];
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        return skip("no name space of mounts can be made here");
    }
    let run = machine
        .caddis("restore --overwrite if-changed --delete")
        .arg(inside("latest", &source))
        .arg(&target)
        .under(&under)
        .ends_with(7);
    assert!(
        run.stderr.contains("/source/strange/mounted: cannot delete it: another file system begins here"),
        "{}",
        run.transcript()
    );
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.transcript());
    for kept in ["precious", "sub/precious"] {
        assert_eq!(fs::read_to_string(elsewhere.join(kept)).unwrap(), "bytes", "{kept}");
    }
    assert!(!target.join("strange/file").exists());
}
