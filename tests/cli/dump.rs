//! `dump`: archives that other programs read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside, skip};
use crate::common::zoo::{build_zoo, random_bytes, set_mtime};

#[test]
fn a_tar_brings_everything_back() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    build_zoo(&source);
    // Longer than any path that tar takes.
    fs::remove_dir_all(source.join("deep")).unwrap();
    fs::write(source.join("long".repeat(50)), b"its name does not fit in a header").unwrap();
    fs::write(source.join("large"), random_bytes("dump 1", 3 << 20)).unwrap();
    machine.caddis("backup").arg(&source).ok();
    let archive = machine.caddis("dump").arg(inside("latest", &source)).ok().stdout;
    fs::write(machine.path("tar"), archive).unwrap();
    let out = machine.folder("out");
    let flags = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"];
    let untar = Command::new("tar").arg("-C").arg(&out).args(flags).arg(machine.path("tar")).output();
    let Ok(untar) = untar else { return skip("tar is not installed") };
    assert!(untar.status.success(), "{}", String::from_utf8_lossy(&untar.stderr));
    assert_same(&snapshot_of(&source), &snapshot_of(&out), Ignore { root: true, blocks: true, ..Ignore::default() });
}

#[test]
fn a_zip_has_files_folders_and_symlinks() {
    let machine = Machine::with_repository();
    let large = random_bytes("dump 2", 2 << 20);
    let source = machine.folder_with("source", &[("text", &b"again and again ".repeat(1000)), ("large", &large)]);
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("folder/caf\u{e9}"), b"").unwrap();
    std::os::unix::fs::symlink("folder", source.join("link")).unwrap();
    fs::set_permissions(source.join("text"), fs::Permissions::from_mode(0o640)).unwrap();
    machine.caddis("backup").arg(&source).ok();
    machine.caddis("dump -a zip -t out.zip").arg(inside("latest", &source)).ok();
    // Python's reader proves every CRC and length.
    let script = "import sys, zipfile\n\
        archive = zipfile.ZipFile(sys.argv[1])\n\
        assert archive.testzip() is None\n\
        for entry in archive.infolist(): print(oct(entry.external_attr >> 16), entry.file_size, entry.filename)\n\
        archive.extract('large', sys.argv[2])\n";
    let unzip = Command::new("python3")
        .args(["-c", script])
        .args([machine.path("out.zip"), machine.path("out")])
        .env("PYTHONIOENCODING", "utf-8")
        .output();
    let Ok(unzip) = unzip else { return skip("python3 is not installed") };
    assert!(unzip.status.success(), "{}", String::from_utf8_lossy(&unzip.stderr));
    let listed = String::from_utf8(unzip.stdout).unwrap();
    let mut lines: Vec<&str> = listed.lines().collect();
    lines.retain(|line| !line.starts_with("0o40"));
    assert_eq!(
        lines,
        ["0o100644 0 folder/caf\u{e9}", "0o100644 2097152 large", "0o120777 6 link", "0o100640 16000 text"]
    );
    assert_eq!(listed.lines().count(), 5);
    assert_eq!(fs::read(machine.path("out/large")).unwrap(), large);
    assert!(fs::metadata(machine.path("out.zip")).unwrap().len() < (2 << 20) + 4096, "text is compressed");
}

#[test]
fn what_has_no_place_in_a_zip_is_named() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"x")]);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, source.join("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    machine.caddis("backup").arg(&source).ok();
    let run = machine.caddis("dump --archive zip").arg(inside("latest", &source)).ends_with(7);
    assert!(run.stderr.contains("source/pipe"), "{}", run.stderr);
    machine.caddis("dump --archive tar").arg(inside("latest", &source)).ok();
}

#[test]
fn a_file_is_written_as_it_is_unless_an_archive_is_asked_for() {
    let machine = Machine::with_repository();
    let content = random_bytes("dump 3", 300_000);
    let source = machine.folder_with("source", &[("file", &content)]);
    // In whole seconds, so that the first header is the file's own.
    set_mtime(&source.join("file"), 1_000_000_000, 0);
    machine.caddis("backup").arg(&source).ok();
    let place = inside("latest", &source.join("file"));
    assert_eq!(machine.caddis("dump").arg(&place).ok().stdout, content);
    let archive = machine.caddis("dump -a tar").arg(&place).ok().stdout;
    assert_eq!(&archive[..5], b"file\0");
    assert!(archive.windows(1000).any(|window| window == &content[..1000]));
}

#[test]
fn a_target_is_new_and_goes_again_when_the_dump_fails() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", &random_bytes("dump 4", 300_000))]);
    machine.caddis("backup").arg(&source).ok();
    let place = inside("latest", &source);
    let target: PathBuf = machine.path("target");
    fs::write(&target, b"precious").unwrap();
    machine.caddis("dump -t target").arg(&place).ends_with(9);
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    fs::remove_file(&target).unwrap();
    damage_packs(&machine);
    let run = machine.caddis("dump -t target").arg(&place).ends_with(1);
    assert!(!run.stderr.is_empty());
    assert!(!target.exists());
    // What went to a pipe has no end: no reader takes it for whole.
    let broken = machine.caddis("dump").arg(&place).ends_with(1).stdout;
    assert!(!broken.ends_with(&[0; 1024]));
}

fn damage_packs(machine: &Machine) {
    for pack in machine.objects("packs") {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        replace(&pack, &bytes);
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}
