//! `ls` and `cat`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;

use data_encoding::BASE64;
use serde_json::Value;

use crate::common::program::{Machine, inside};
use crate::common::zoo::{random_bytes, set_mtime};

fn saved() -> (Machine, PathBuf) {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("b file", b"content"), ("empty", b"")]);
    fs::create_dir(source.join("a folder")).unwrap();
    fs::write(source.join("a folder/inside"), b"deeper").unwrap();
    symlink("b file", source.join("link")).unwrap();
    fs::set_permissions(source.join("b file"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::set_permissions(source.join("a folder"), fs::Permissions::from_mode(0o1777)).unwrap();
    set_mtime(&source.join("b file"), -1, 999_999_999);
    machine.caddis("backup").arg(&source).ok();
    (machine, source)
}

#[test]
fn ls_lists_a_folder_or_all_below_it() {
    let (machine, source) = saved();
    let place = inside("latest", &source);
    assert_eq!(
        machine.caddis("ls").arg(&place).ok().transcript(),
        "$ caddis ls latest:[DIR]/source\n\
         [DIR]/source/a folder\n\
         [DIR]/source/b file\n\
         [DIR]/source/empty\n\
         [DIR]/source/link\n\
         exit 0\n"
    );
    assert_eq!(
        machine.caddis("ls -R").arg(&place).ok().transcript(),
        "$ caddis ls -R latest:[DIR]/source\n\
         [DIR]/source/a folder\n\
         [DIR]/source/a folder/inside\n\
         [DIR]/source/b file\n\
         [DIR]/source/empty\n\
         [DIR]/source/link\n\
         exit 0\n"
    );
    let file = machine.caddis("ls").arg(inside("latest", &source.join("b file"))).ok();
    assert_eq!(file.text(), format!("{}\n", source.join("b file").display()));
    let root = machine.caddis("ls latest").ok();
    let first = source.components().nth(1).unwrap().as_os_str().to_str().unwrap().to_owned();
    assert_eq!(root.text(), format!("/{first}\n"));
}

#[test]
fn ls_shows_mode_size_time_and_where_links_lead() {
    let (machine, source) = saved();
    let long = machine.caddis("ls -l").arg(inside("latest", &source)).ok();
    let lines: Vec<Vec<&str>> = long.text().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines.iter().map(|line| line[0]).collect::<Vec<_>>(),
        ["drwxrwxrwt", "-rwsr-x---", "-rw-r--r--", "lrwxrwxrwx"]
    );
    assert_eq!(lines[1][3..6], ["7", "1969-12-31", "23:59:59"]);
    assert_eq!(lines[3][lines[3].len() - 3..], ["->", "b", "file"]);
}

#[test]
fn json_gives_each_entry_with_its_metadata_and_birth_time() {
    let (machine, source) = saved();
    let lines = machine.caddis("ls --json -R").arg(inside("latest", &source)).ok().json_lines();
    assert_eq!(lines[0]["message_type"], "snapshot");
    assert_eq!(lines[0]["id"].as_str(), machine.snapshot_ids().first().map(String::as_str));
    let names: Vec<_> = lines[1..].iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a folder", "inside", "b file", "empty", "link"]);
    let kinds: Vec<_> = lines[1..].iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["dir", "file", "file", "file", "symlink"]);
    let file = &lines[3];
    assert_eq!(file["message_type"], "node");
    assert_eq!(file["path"], source.join("b file").to_str().unwrap());
    assert_eq!((&file["size"], &file["mode"]), (&7.into(), &0o4750.into()));
    assert_eq!(file["permissions"], "-rwsr-x---");
    assert_eq!(file["uid"], rustix::process::geteuid().as_raw());
    let mtime: jiff::Timestamp = file["mtime"].as_str().unwrap().parse().unwrap();
    assert_eq!(mtime.as_nanosecond(), -1);
    assert_eq!(lines[5]["linktarget"], "b file");
    for line in &lines[1..] {
        let path = line["path"].as_str().unwrap();
        let born = fs::symlink_metadata(path).unwrap().created().ok();
        let born = born.map(|time| jiff::Timestamp::try_from(time).unwrap());
        let listed = line["btime"].as_str().map(|time| time.parse::<jiff::Timestamp>().unwrap());
        assert_eq!(listed, born, "{path}");
    }
}

#[test]
fn names_that_are_no_text_come_as_bytes_in_json_and_escaped_in_print() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    let names: [&[u8]; 8] = [
        b"not utf-8 \xff\xfe\x80",
        b"new\nline",
        b"tab\tbell\x07delete\x7f",
        b"\x1b[31mred\x1b[0m",
        b"\xc2\x9b31mred, in one character",
        b"\xe2\x80\xaebackwards",
        b"-rf",
        b"caf\xc3\xa9",
    ];
    for name in names {
        fs::write(source.join(OsStr::from_bytes(name)), name).unwrap();
    }
    machine.caddis("backup").arg(&source).ok();
    let place = inside("latest", &source);

    let lines = machine.caddis("ls --json").arg(&place).ok().json_lines();
    let mut paths = names.map(|name| source.join(OsStr::from_bytes(name)).as_os_str().as_bytes().to_vec());
    paths.sort();
    let path_of = |line: &Value| match line["path_b64"].as_str() {
        Some(encoded) => BASE64.decode(encoded.as_bytes()).unwrap(),
        None => line["path"].as_str().unwrap().as_bytes().to_vec(),
    };
    assert_eq!(lines[1..].iter().map(path_of).collect::<Vec<_>>(), paths);
    assert!(lines.iter().any(|line| line["path_b64"].is_string()));

    for words in ["ls", "ls -l", "ls -R"] {
        let printed = machine.caddis(words).arg(&place).ok();
        assert_eq!(printed.text().lines().count(), names.len());
        let raw = printed.text().chars().find(|character| character.is_control() && *character != '\n');
        assert_eq!(raw, None);
        assert!(!printed.text().contains('\u{202e}'));
    }
    // A name can be given back as it is, whatever it is.
    let name = OsStr::from_bytes(b"not utf-8 \xff\xfe\x80");
    let place = inside("latest", &source.join(name));
    assert_eq!(machine.caddis("cat").arg(place).ok().stdout, name.as_bytes());
}

#[test]
fn an_error_that_names_a_file_sends_no_raw_control_character_either() {
    let machine = Machine::with_repository();
    let run = machine.caddis("backup").arg("missing\x1b[31m\x07").ends_with(1);
    assert!(run.stderr.chars().all(|character| !character.is_control() || character == '\n'), "{:?}", run.stderr);
    let run = machine.caddis("ls").arg("\x1b[31m").ends_with(1);
    assert!(run.stderr.chars().all(|character| !character.is_control() || character == '\n'), "{:?}", run.stderr);
}

#[test]
fn cat_gives_the_bytes_of_a_file_and_nothing_else() {
    let machine = Machine::with_repository();
    let large = random_bytes("cat", 11 << 20);
    let source = machine.folder_with("source", &[("empty", b""), ("small", b"no line end"), ("large", &large)]);
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.write_all_at(b"between holes", 3 << 20).unwrap();
    sparse.set_len((5 << 20) + 1).unwrap();
    machine.caddis("backup").arg(&source).ok();
    for name in ["empty", "small", "large", "sparse"] {
        let run = machine.caddis("cat").arg(inside("latest", &source.join(name))).ok();
        assert!(run.stdout == fs::read(source.join(name)).unwrap(), "{name} differs");
        assert_eq!(run.stderr, "");
    }
    let run = machine.caddis("cat").arg(inside("latest", &source)).ends_with(1);
    assert!(run.stderr.contains("is not a file"), "{}", run.transcript());
}
