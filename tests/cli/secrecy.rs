//! What the one who keeps a repository sees of it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use crate::common::program::{Machine, files_below, inside, len};
use crate::common::zoo::random_bytes;

const PASSPHRASE: &str = "needle-passphrase-5d1f3c9a7be24086";
const PACK_BYTES: u64 = 2 << 20;

/// Bytes of a name that no compressor makes smaller.
fn name(seed: &str) -> Vec<u8> {
    let mut bytes = random_bytes(seed, 200);
    bytes.iter_mut().filter(|byte| matches!(byte, 0 | b'/')).for_each(|byte| *byte = b'x');
    bytes
}

/// A repository with all kinds of things in it that must not be seen, and these things.
fn saved(machine: &Machine) -> Vec<Vec<u8>> {
    let caddis = |words: &str| machine.caddis_with_passphrase(words).env("CADDIS_PASSWORD", PASSPHRASE);
    caddis("init --kdf-memory 64KiB --pack-size 2MiB").ok();
    let source = machine.folder("source");
    let (small, large) = (random_bytes("small", 100), random_bytes("large", 9 << 20));
    let (file, folder, target) = (name("file"), name("folder"), name("target"));
    fs::write(source.join(OsStr::from_bytes(&file)), &small).unwrap();
    fs::write(source.join("large"), &large).unwrap();
    fs::create_dir(source.join(OsStr::from_bytes(&folder))).unwrap();
    fs::write(source.join("text"), "needle text, and the same again. ".repeat(5_000)).unwrap();
    std::os::unix::fs::symlink(OsStr::from_bytes(&target), source.join("link")).unwrap();
    let words = ["needle-host-0b3e77d1", "needle-tag-c2a4f9e6", "needle-label-88d15b20"];
    caddis("backup source --host needle-host-0b3e77d1 --tag needle-tag-c2a4f9e6 --label needle-label-88d15b20").ok();
    caddis("key add --name needle-slot-71fe --kdf-memory 64KiB").env("CADDIS_NEW_PASSWORD", "needle-second").ok();

    let mut needles: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    needles.extend([PASSPHRASE, "needle-second", "needle-slot-71fe", "needle text", "/source", "large"].map(Vec::from));
    needles.extend([&file, &folder, &target].map(|name| name[..24].to_vec()));
    needles.push(small[..24].to_vec());
    needles.extend([0, 1 << 20, 5 << 20].map(|at| large[at..at + 24].to_vec()));
    needles.push(rustix::system::uname().nodename().to_bytes().to_vec());
    // Shorter ones stand in random bytes by accident.
    needles.retain(|needle| needle.len() >= 5);
    needles
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    // The first byte is looked for fast; the rest rarely matters.
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[test]
fn nothing_that_was_saved_and_no_secret_can_be_found_in_any_object() {
    let machine = Machine::new();
    let needles = saved(&machine);
    let files = files_below(&machine.repository);
    assert!(files.len() > 10);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        if file.ends_with("README.txt") {
            continue; // The same in every repository, which is shown below.
        }
        for needle in &needles {
            let found = holds(&bytes, needle) || holds(file.as_os_str().as_bytes(), needle) && needle.len() > 12;
            assert!(!found, "{} holds `{}`", file.display(), needle.escape_ascii());
        }
    }
    let other = Machine::with_repository();
    let read_me = |machine: &Machine| fs::read(machine.repository.join("README.txt")).unwrap();
    assert_eq!(read_me(&machine), read_me(&other));
}

#[test]
fn objects_look_like_noise() {
    let machine = Machine::new();
    saved(&machine);
    for kind in ["packs", "trees", "index", "snapshots", "charter", "keys"] {
        let objects = machine.objects(kind);
        assert!(!objects.is_empty(), "{kind}");
        for object in objects {
            let bytes = fs::read(&object).unwrap();
            let compressed = zstd::bulk::compress(&bytes, 3).unwrap();
            // Headers are in the clear, and short; parameters of Argon2 and signatures too.
            assert!(compressed.len() + 200 > bytes.len(), "{}: {} of {}", kind, compressed.len(), bytes.len());
        }
    }
}

#[test]
fn the_name_of_an_object_is_the_hash_of_its_bytes() {
    let machine = Machine::new();
    saved(&machine);
    let mut count = 0;
    for file in files_below(&machine.repository) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if ["config", "README.txt", "reserve"].contains(&name) {
            continue;
        }
        assert_eq!(name, blake3::hash(&fs::read(&file).unwrap()).to_hex().as_str());
        count += 1;
    }
    assert!(count > 8);
}

#[test]
fn lengths_of_objects_tell_little() {
    let machine = Machine::new();
    saved(&machine);
    for kind in ["charter", "keys", "snapshots", "pending", "forgotten", "gc"] {
        for object in machine.objects(kind) {
            assert_eq!(len(&object) % 4096, 0, "{}", object.display());
        }
    }
    let lengths: Vec<u64> = machine.objects("packs").iter().map(|pack| len(pack)).collect();
    let full = lengths.iter().filter(|&&len| len == PACK_BYTES).count();
    assert!(full >= 3 && lengths.len() - full <= 1, "{lengths:?}");
    let objects = ["packs", "trees", "index"].into_iter().flat_map(|kind| machine.objects(kind));
    for object in objects {
        assert_eq!(padme(len(&object)), len(&object), "{}", object.display());
    }
}

/// With packs as small as they can be, single blocks are longer than a pack.
#[test]
fn a_pack_that_is_longer_than_others_has_a_length_that_tells_little_too() {
    let machine = Machine::with_packs_of("1MiB");
    machine.folder_with("source", &[("large", &random_bytes("large", 12 << 20))]);
    machine.caddis("backup source").ok();
    let packs = machine.objects("packs");
    assert!(packs.len() >= 10);
    for pack in packs {
        assert_eq!(padme(len(&pack)), len(&pack), "{}", pack.display());
    }
    machine.caddis("check --read-data").ok();
}

/// PADMÉ (Nikitin et al. 2019, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 4.1).
fn padme(len: u64) -> u64 {
    let exponent = len.ilog2();
    let mantissa = exponent.ilog2() + 1;
    let mask = (1 << (exponent - mantissa)) - 1;
    (len + mask) & !mask
}

#[test]
fn folders_and_files_are_their_owners_alone() {
    let machine = Machine::new();
    saved(&machine);
    for entry in walkdir::WalkDir::new(&machine.repository) {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        let expected = if entry.file_type().is_dir() { 0o700 } else { 0o400 };
        assert_eq!(mode, expected, "{}", entry.path().display());
    }
    for file in files_below(&machine.path("home")) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
}

#[test]
fn two_repositories_of_the_same_files_have_no_object_in_common() {
    let one = Machine::with_repository();
    one.folder_with("source", &[("file", &random_bytes("same", 1 << 20))]);
    one.caddis("backup source").ok();
    let other = Machine::new();
    fs::copy(&one.key_file, &other.key_file).unwrap();
    other.caddis("init").ok();
    other.caddis("backup").arg(one.path("source")).ok();
    let names = |machine: &Machine| -> Vec<_> {
        let kinds = ["packs", "trees", "index", "snapshots", "charter", "keys"].into_iter();
        kinds.flat_map(|kind| machine.objects(kind)).map(|path| path.file_name().unwrap().to_owned()).collect()
    };
    let theirs = names(&other);
    assert!(names(&one).iter().all(|name| !theirs.contains(name)));
    // Ids of the same tree differ as well, or somebody could confirm a guess.
    let tree = |machine: &Machine| machine.caddis("snapshots --json").ok().json()[0]["tree"].clone();
    assert_ne!(tree(&one), tree(&other));
    one.caddis("cat").arg(inside("latest", &one.path("source/file"))).ok();
}
