//! `diff`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::program::{Machine, inside};

/// Two snapshots of a folder in which everything has happened that can happen to an item.
fn changed() -> (Machine, PathBuf) {
    let machine = Machine::with_repository();
    let source = machine.folder_with(
        "source",
        &[("changed", b"before"), ("gone", b"12345"), ("mode", b"x"), ("same", b"same"), ("turned", b"file")],
    );
    fs::create_dir(source.join("gone too")).unwrap();
    fs::write(source.join("gone too/inside"), b"123").unwrap();
    symlink("here", source.join("link")).unwrap();
    machine.caddis("backup").arg(&source).ok();
    fs::write(source.join("changed"), b"and after").unwrap();
    fs::remove_file(source.join("gone")).unwrap();
    fs::remove_dir_all(source.join("gone too")).unwrap();
    fs::set_permissions(source.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(source.join("turned")).unwrap();
    fs::create_dir(source.join("turned")).unwrap();
    fs::write(source.join("turned/new"), b"1234567").unwrap();
    fs::remove_file(source.join("link")).unwrap();
    symlink("there", source.join("link")).unwrap();
    machine.caddis("backup").arg(&source).ok();
    (machine, source)
}

#[test]
fn everything_that_differs_is_listed_and_counted() {
    let (machine, _) = changed();
    assert_eq!(
        machine.caddis("diff latest~1 latest").ok().transcript(),
        "$ caddis diff latest~1 latest\n\
         M    [DIR]/source/changed\n\
         -    [DIR]/source/gone\n\
         -    [DIR]/source/gone too/\n\
         -    [DIR]/source/gone too/inside\n\
         M    [DIR]/source/link\n\
         T    [DIR]/source/turned/\n\
         +    [DIR]/source/turned/new\n\
         \n\
         changed  3, and 2 in metadata only\n\
         added    1 file, 0 folders, 0 others, 16 B\n\
         removed  2 files, 1 folder, 0 others, 18 B\n\
         exit 0\n"
    );
}

#[test]
fn what_differs_in_metadata_only_is_named_on_request() {
    let (machine, source) = changed();
    let lines = machine.caddis("diff --quiet --metadata latest~1 latest").arg(&source).ok();
    let lines: Vec<&str> = lines.text().lines().collect();
    assert!(lines.contains(&format!("U    {}", source.join("mode").display()).as_str()), "{lines:?}");
    assert!(lines.contains(&format!("MU   {}", source.join("changed").display()).as_str()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.ends_with("same")), "{lines:?}");
}

#[test]
fn the_other_way_round_what_came_goes() {
    let (machine, source) = changed();
    let modifiers = |first: &str, second: &str| -> Vec<(String, String)> {
        let run = machine.caddis("diff --json").arg(first).arg(second).ok();
        let change = |line: &Value| (line["modifier"].as_str().unwrap().into(), line["path"].as_str().unwrap().into());
        run.json_lines().iter().filter(|line| line["message_type"] == "change").map(change).collect()
    };
    let turned = |modifier: &str| match modifier {
        "+" => "-".to_owned(),
        "-" => "+".to_owned(),
        other => other.to_owned(),
    };
    let without_slash = |path: &str| path.trim_end_matches('/').to_owned();
    let forward = modifiers("latest~1", "latest");
    assert_eq!(forward.len(), 7);
    let back: Vec<_> = modifiers("latest", "latest~1")
        .iter()
        .map(|(modifier, path)| (turned(modifier), without_slash(path)))
        .collect();
    let forward: Vec<_> = forward.iter().map(|(modifier, path)| (modifier.clone(), without_slash(path))).collect();
    assert_eq!(forward, back);
    assert!(forward.contains(&("+".to_owned(), source.join("turned/new").to_str().unwrap().to_owned())));
}

#[test]
fn a_folder_and_a_file_can_be_compared_alone() {
    let (machine, source) = changed();
    let count = |path: &Path| -> Value {
        let run = machine.caddis("diff --json latest~1 latest").arg(path).ok();
        let mut lines = run.json_lines();
        lines.pop().unwrap()
    };
    assert_eq!(count(&source.join("same"))["changed_files"], 0);
    let file = count(&source.join("changed"));
    assert_eq!(
        (&file["changed_files"], &file["added"]["bytes"], &file["removed"]["bytes"]),
        (&1.into(), &9.into(), &6.into())
    );
    let turned = count(&source.join("turned"));
    assert_eq!((&turned["changed_files"], &turned["added"]["files"]), (&1.into(), &1.into()));
    let ids = machine.snapshot_ids();
    assert_eq!(
        (turned["source_snapshot"].as_str(), turned["target_snapshot"].as_str()),
        (Some(&*ids[0]), Some(&*ids[1]))
    );
    machine.caddis("diff latest~1 latest").arg(source.join("gone")).ends_with(1);
}

#[test]
fn equal_snapshots_and_unequal_places_are_compared() {
    let (machine, source) = changed();
    let run = machine.caddis("diff --quiet latest latest").ok();
    assert_eq!(run.text(), "");
    let (first, second) = (inside("latest~1", &source.join("gone too")), inside("latest", &source.join("turned")));
    let run = machine.caddis("diff --quiet").arg(first).arg(second).ok();
    let shown: Vec<String> = run.text().lines().map(|line| line.replace(source.to_str().unwrap(), "")).collect();
    assert_eq!(shown, ["-    /turned/inside", "+    /turned/new"]);
    let run = machine.caddis("diff latest").arg(inside("latest", &source.join("same"))).ends_with(2);
    assert!(run.stderr.contains("folder"), "{}", run.stderr);
}
