//! What is stored already is not stored again: measured in bytes of the repository's folder.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside};
use crate::common::zoo::{build_zoo, random_bytes};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What a backup adds that changes nothing: a snapshot, and on a new machine its name.
const NOTHING_NEW_MAX: u64 = 64 * KIB;

/// A pack of data and one of trees that hold little are 128 KiB each; a segment and a snapshot are far smaller.
const SMALL_PACKS: u64 = 2 * 128 * KIB + NOTHING_NEW_MAX;

fn stored_by_backup(machine: &Machine, source: &Path) -> u64 {
    let stored = machine.bytes_stored_by(|| {
        machine.caddis("backup").arg(source).ok();
    });
    eprintln!("stored {stored} bytes");
    stored
}

#[test]
fn an_edit_of_a_large_file_stores_only_what_is_around_it() {
    const LEN: u64 = 256 * MIB;
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    let path = source.join("large");
    write_random(&path, LEN);
    let first = stored_by_backup(&machine, &source);
    // Sixteen blocks of a little less than 2 MiB fill a pack of 32 MiB, and are seldom less than 1.95 MiB long.
    assert!((LEN..LEN + LEN / 32).contains(&first), "{first} bytes for {LEN} that no compressor makes smaller");

    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, LEN / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 1], LEN / 2).unwrap();
    drop(file);
    let changed = stored_by_backup(&machine, &source);
    // Chunks are at most 128 KiB there; the byte changes one, and a cut that moves changes one or two more. The list of
    // chunks is cut by content too.
    assert!(changed < MIB, "{changed} bytes for one changed byte");

    let mut longer = b"ten bytes!".to_vec();
    longer.extend(fs::read(&path).unwrap());
    fs::write(&path, &longer).unwrap();
    let inserted = stored_by_backup(&machine, &source);
    // At the front chunks are fine; where the size class changes with the offset, cuts move until both agree again.
    assert!(inserted < 3 * MIB, "{inserted} bytes for an insertion of ten");

    machine.caddis("restore").arg(inside("latest", &path)).arg("back").ok();
    assert!(fs::read(machine.path("back")).unwrap() == longer, "another content came back");
}

#[test]
fn a_renamed_folder_of_ten_thousand_files_stores_its_new_name_only() {
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    let folder = source.join("a folder");
    fs::create_dir(&folder).unwrap();
    let content = random_bytes("small files", 10_000 * 300);
    for (number, content) in content.chunks_exact(300).enumerate() {
        fs::write(folder.join(format!("{number:05}")), content).unwrap();
    }
    assert!(stored_by_backup(&machine, &source) > 3_000_000);
    fs::rename(&folder, source.join("another name")).unwrap();
    let renamed = stored_by_backup(&machine, &source);
    // Its tree is the same; birth times go by path, and 10,000 of them fit into a small pack.
    assert!(renamed < SMALL_PACKS, "{renamed} bytes");
}

#[test]
fn a_second_copy_of_everything_stores_trees_only() {
    let machine = Machine::with_repository();
    let content = random_bytes("copied", 20 << 20);
    let source = machine.folder_with("source", &[("one", &content)]);
    stored_by_backup(&machine, &source);
    fs::write(source.join("another"), &content).unwrap();
    let copied = stored_by_backup(&machine, &source);
    assert!(copied < SMALL_PACKS, "{copied} bytes");
}

#[test]
fn an_unchanged_tree_stores_next_to_nothing_again_on_this_machine_or_another() {
    let first = Machine::with_repository();
    let source = first.folder("source");
    build_zoo(&source);
    assert!(stored_by_backup(&first, &source) > MIB);
    let second = Machine::beside(&first);
    for machine in [&first, &second] {
        let stored = stored_by_backup(machine, &source);
        assert!(stored < NOTHING_NEW_MAX, "{stored} bytes");
    }

    let seen_by = |machine: &Machine| machine.caddis("snapshots --json").ok().json();
    let (by_first, by_second) = (seen_by(&first), seen_by(&second));
    assert_eq!(by_first, by_second);
    assert_eq!(by_first.as_array().unwrap().len(), 3);
    assert_eq!(by_first[0]["tree"], by_first[1]["tree"]);
    assert_eq!(by_first[0]["tree"], by_first[2]["tree"]);

    let id = by_first[0]["id"].as_str().unwrap();
    second.caddis("restore").arg(inside(id, &source)).arg("target").ok();
    assert_same(&snapshot_of(&source), &snapshot_of(&second.path("target")), Ignore::default());
    first.caddis("check --read-data").ok();
}

/// A package of `FILES` source files; `release` changes a line in a tenth of them, and adds one.
fn write_release(package: &Path, release: usize) {
    const FILES: usize = 120;
    let words = random_bytes("words", 1 << 16);
    let line = |file: usize, number: usize, release: usize| {
        let at = (file * 7919 + number * 104_729 + release * 15_485_863) % (words.len() - 16);
        let words: Vec<_> = words[at..at + 12].iter().map(|byte| format!("word{byte}")).collect();
        format!("    {number:04} {}\n", words.join(" "))
    };
    for file in 0..FILES + release {
        let lines = 40 + file * 37 % 400;
        let mut text = String::new();
        for number in 0..lines {
            // The latest release that touched this line of this file.
            let is_touched = |by: &usize| (file + by * 13).is_multiple_of(10) && number == by * 31 % lines;
            let touched = (1..=release).rev().find(is_touched).unwrap_or_default();
            text += &line(file, number, touched);
        }
        fs::write(package.join(format!("source{file:03}")), text).unwrap();
    }
}

#[test]
fn nine_more_releases_of_a_package_store_less_than_the_first() {
    // Two packs a run were at least 128 KiB each once, however little was in them: of small packages that was most of it.
    let machine = Machine::with_repository();
    let package = machine.folder("package");
    write_release(&package, 0);
    let first = stored_by_backup(&machine, &package);
    let later: u64 = (1..10)
        .map(|release| {
            write_release(&package, release);
            stored_by_backup(&machine, &package)
        })
        .sum();
    assert!(later < first, "{later} bytes for nine releases, {first} for the first");
}

#[test]
fn a_line_more_in_one_percent_of_the_files_adds_less_than_half_a_percent() {
    const FILES: usize = 1000;
    const FILE_BYTES: usize = 60_000;
    let machine = Machine::with_repository();
    let source = machine.folder("source");
    let content = random_bytes("many files", FILES * FILE_BYTES);
    for (number, content) in content.chunks_exact(FILE_BYTES).enumerate() {
        let folder = source.join(format!("{:02}", number / 50));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number:04}")), content).unwrap();
    }
    stored_by_backup(&machine, &source);
    for number in (0..FILES).step_by(100) {
        let path = source.join(format!("{:02}/{number:04}", number / 50));
        File::options().append(true).open(&path).unwrap().write_all(b"one line more\n").unwrap();
    }
    let added = stored_by_backup(&machine, &source);
    let bound = (FILES * FILE_BYTES) as u64 / 200;
    assert!(added < bound, "{added} bytes, where {bound} are allowed");
}

fn write_random(path: &Path, len: u64) {
    let mut file = File::create(path).unwrap();
    let mut stream = blake3::Hasher::new().update(b"a large file").finalize_xof();
    let mut piece = vec![0; 1 << 20];
    for _ in 0..len / piece.len() as u64 {
        stream.fill(&mut piece);
        file.write_all(&piece).unwrap();
    }
}
