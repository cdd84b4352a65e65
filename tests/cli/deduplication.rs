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

/// The smallest packs, one of data and one of trees, are 128 KiB each; a segment and a snapshot are far smaller.
const SMALLEST_PACKS: u64 = 2 * 128 * KIB + NOTHING_NEW_MAX;

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
    // A full pack of 32 MiB has room left for less than one block of a little more than 1 MiB.
    assert!((LEN..LEN + LEN / 20).contains(&first), "{first} bytes for {LEN} that no compressor makes smaller");

    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, LEN / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 1], LEN / 2).unwrap();
    drop(file);
    let changed = stored_by_backup(&machine, &source);
    // Chunks are at most 512 KiB there; the byte changes one, and a cut that moves changes one or two more. The list of
    // chunks is cut by content too.
    assert!(changed < 2 * MIB, "{changed} bytes for one changed byte");

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
    // Its tree is the same; birth times go by path, and 10,000 of them fit into one of the smallest packs.
    assert!(renamed < SMALLEST_PACKS, "{renamed} bytes");
}

#[test]
fn a_second_copy_of_everything_stores_trees_only() {
    let machine = Machine::with_repository();
    let content = random_bytes("copied", 20 << 20);
    let source = machine.folder_with("source", &[("one", &content)]);
    stored_by_backup(&machine, &source);
    fs::write(source.join("another"), &content).unwrap();
    let copied = stored_by_backup(&machine, &source);
    assert!(copied < SMALLEST_PACKS, "{copied} bytes");
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

fn write_random(path: &Path, len: u64) {
    let mut file = File::create(path).unwrap();
    let mut stream = blake3::Hasher::new().update(b"a large file").finalize_xof();
    let mut piece = vec![0; 1 << 20];
    for _ in 0..len / piece.len() as u64 {
        stream.fill(&mut piece);
        file.write_all(&piece).unwrap();
    }
}
