//! `restore --include` and `--exclude`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::compare::snapshot_of;
use crate::common::program::{Machine, inside};
use crate::common::zoo::set_mtime;

const FILES: [&str; 7] = ["a.txt", "b.jpg", "docs/c.TXT", "docs/deep/d.txt", "docs/deep/e.jpg", "pictures/f.jpg", "g"];

fn saved_source(machine: &Machine) -> PathBuf {
    let source = machine.folder("source");
    for folder in ["docs/deep", "pictures", "empty"] {
        fs::create_dir_all(source.join(folder)).unwrap();
    }
    for file in FILES {
        fs::write(source.join(file), file).unwrap();
    }
    for folder in ["docs/deep", "docs"] {
        fs::set_permissions(source.join(folder), fs::Permissions::from_mode(0o711)).unwrap();
        set_mtime(&source.join(folder), 1_500_000_000, 3);
    }
    machine.caddis("backup").arg(&source).ok();
    source
}

fn paths(target: &Path) -> Vec<String> {
    snapshot_of(target)
        .into_keys()
        .filter(|path| !path.is_empty())
        .map(|path| String::from_utf8(path).unwrap())
        .collect()
}

#[test]
fn patterns_say_what_comes_back_and_folders_on_the_way_only_where_something_does() {
    let machine = Machine::with_repository();
    let source = saved_source(&machine);
    fs::write(machine.path("patterns"), "# what is wanted\n/docs/deep\n*.JPG\n").unwrap();
    let all: Vec<String> = paths(&source);
    let without = |left_out: &[&str]| -> Vec<String> {
        all.iter().filter(|path| !left_out.contains(&path.as_str())).cloned().collect()
    };
    let absolute = format!("--include {}/docs/deep", source.display());
    for (number, (words, wanted)) in [
        ("--include *.txt", vec!["a.txt", "docs", "docs/deep", "docs/deep/d.txt"]),
        ("--iinclude *.txt", vec!["a.txt", "docs", "docs/c.TXT", "docs/deep", "docs/deep/d.txt"]),
        ("-i /docs/deep", vec!["docs", "docs/deep", "docs/deep/d.txt", "docs/deep/e.jpg"]),
        (&absolute, vec!["docs", "docs/deep", "docs/deep/d.txt", "docs/deep/e.jpg"]),
        ("-i docs/*.TXT -i empty/", vec!["docs", "docs/c.TXT", "empty"]),
        ("-i g/", vec![]),
        ("-i deep -e *.jpg", vec!["docs", "docs/deep", "docs/deep/d.txt"]),
        ("--include-file patterns", vec!["docs", "docs/deep", "docs/deep/d.txt", "docs/deep/e.jpg"]),
        ("-e docs --iexclude B.JPG", vec!["a.txt", "empty", "g", "pictures", "pictures/f.jpg"]),
    ]
    .into_iter()
    .enumerate()
    {
        let target = machine.path(format!("target{number}"));
        let words = format!("restore -v {words}");
        let run = machine.caddis(&words).arg(inside("latest", &source)).arg(&target).ok();
        assert_eq!(paths(&target), wanted, "{}", run.transcript());
        let (there, saved) = (snapshot_of(&target), snapshot_of(&source));
        for path in wanted {
            let (there, saved) = (&there[path.as_bytes()], &saved[path.as_bytes()]);
            assert_eq!((there.mode, there.mtime, there.content), (saved.mode, saved.mtime, saved.content), "{path}");
        }
        // Each is told of once, also a folder on the way.
        assert_eq!(run.text().lines().filter(|line| line.starts_with("created ")).count(), paths(&target).len());
        let dry = words.replacen("restore", "restore -n", 1);
        let dry = machine.caddis(&dry).arg(inside("latest", &source)).arg(machine.path("nowhere")).ok();
        let items = |text: &str| {
            text.lines().filter(|line| line.starts_with("created ")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(items(dry.text()), items(run.text()));
    }
    let target = machine.path("the rest");
    let run = machine.caddis("restore -e *.nothing -e docs").arg(inside("latest", &source)).arg(&target).ok();
    let docs = ["docs", "docs/c.TXT", "docs/deep", "docs/deep/d.txt", "docs/deep/e.jpg"];
    assert_eq!(paths(&target), without(&docs));
    assert_eq!(run.stderr, "caddis: nothing matched --exclude *.nothing\n");
    machine.caddis("restore -i [").arg(inside("latest", &source)).arg("bad").ends_with(2);
    assert!(!machine.path("bad").exists());
}

#[test]
fn what_is_not_chosen_is_neither_replaced_nor_deleted() {
    let machine = Machine::with_repository();
    let source = saved_source(&machine);
    let target = machine.folder("target");
    for folder in ["docs/deep", "strange/deep", "pictures"] {
        fs::create_dir_all(target.join(folder)).unwrap();
    }
    let there = [
        "b.jpg",
        "docs/deep/e.jpg",
        "docs/deep/x.txt",
        "strange/deep/y.jpg",
        "strange/y.txt",
        "z.txt",
        "docs/deep/d.txt",
    ];
    for file in there {
        fs::write(target.join(file), "there").unwrap();
    }
    let restore = |words: &str| {
        let words = format!("restore --overwrite always --delete {words}");
        machine.caddis(&words).arg(inside("latest", &source)).arg(&target).ok()
    };
    restore("--include *.txt");
    let wanted = [
        "a.txt",
        "b.jpg",
        "docs",
        "docs/deep",
        "docs/deep/d.txt",
        "docs/deep/e.jpg",
        "pictures",
        "strange",
        "strange/deep",
        "strange/deep/y.jpg",
    ];
    assert_eq!(paths(&target), wanted);
    assert_eq!(fs::read_to_string(target.join("docs/deep/d.txt")).unwrap(), "docs/deep/d.txt");
    assert_eq!(fs::read_to_string(target.join("docs/deep/e.jpg")).unwrap(), "there");
    restore("--exclude *.jpg");
    let wanted = [
        "a.txt",
        "b.jpg",
        "docs",
        "docs/c.TXT",
        "docs/deep",
        "docs/deep/d.txt",
        "docs/deep/e.jpg",
        "empty",
        "g",
        "pictures",
        "strange",
        "strange/deep",
        "strange/deep/y.jpg",
    ];
    assert_eq!(paths(&target), wanted);
    for kept in ["b.jpg", "docs/deep/e.jpg", "strange/deep/y.jpg"] {
        assert_eq!(fs::read_to_string(target.join(kept)).unwrap(), "there", "{kept}");
    }
}

#[test]
fn a_way_that_is_blocked_is_named_once() {
    let machine = Machine::with_repository();
    let source = saved_source(&machine);
    let target = machine.folder_with("target", &[("docs", b"a file")]);
    let words = "restore -v --overwrite never --include docs/deep/d.txt --include docs/deep/e.jpg --include a.txt";
    let run = machine.caddis(words).arg(inside("latest", &source)).arg(&target).ok();
    assert_eq!(paths(&target), ["a.txt", "docs"]);
    assert_eq!(run.text().lines().filter(|line| line.starts_with("skipped ")).count(), 1, "{}", run.transcript());
}
