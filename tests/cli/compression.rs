//! `--compression` changes how much is stored, and nothing else.

use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use crate::common::compare::{Ignore, assert_same, snapshot_of};
use crate::common::program::{Machine, inside};
use crate::common::zoo::random_bytes;

/// From the largest result to the smallest.
const EFFORTS: [&str; 5] = ["off", "fast", "auto", "better", "max"];

/// What a backup adds that changes nothing.
const NOTHING_NEW_MAX: u64 = 64 << 10;

/// This program's own source code.
fn source_code() -> Vec<u8> {
    let files = WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).sort_by_file_name();
    let files = files.into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    files.flat_map(|entry| fs::read(entry.path()).unwrap()).collect()
}

fn bytes_of_packs(machine: &Machine) -> u64 {
    machine.objects("packs").iter().map(|pack| fs::metadata(pack).unwrap().len()).sum()
}

#[test]
fn more_effort_stores_less_and_brings_back_the_same() {
    let code = source_code();
    let sizes = EFFORTS.map(|effort| {
        let machine = Machine::with_repository();
        let source = machine.folder_with("source", &[("code", &code), ("noise", &random_bytes("noise", 300_000))]);
        machine.caddis("backup --compression").arg(effort).arg(&source).ok();
        machine.caddis("check --read-data").ok();
        machine.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
        assert_same(&snapshot_of(&source), &snapshot_of(&machine.path("target")), Ignore::default());
        bytes_of_packs(&machine)
    });
    eprintln!("{EFFORTS:?} store {sizes:?} bytes of {}", code.len() + 300_000);
    assert!(sizes[0] >= code.len() as u64 + 300_000, "raw is raw");
    assert!(sizes.is_sorted_by(|more, less| more > less), "{sizes:?}");
}

#[test]
fn what_is_stored_is_not_stored_again_for_another_effort() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("code", &source_code())]);
    machine.caddis("backup").env("CADDIS_COMPRESSION", "off").arg(&source).ok();
    assert!(bytes_of_packs(&machine) >= source_code().len() as u64, "the variable counts");
    for effort in EFFORTS {
        let stored = machine.bytes_stored_by(|| {
            machine.caddis("backup --compression").arg(effort).arg(&source).ok();
        });
        assert!(stored < NOTHING_NEW_MAX, "{stored} bytes for {effort}");
    }
}
