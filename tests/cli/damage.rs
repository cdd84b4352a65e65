//! Damage is found, named, and costs only what it hit; no wrong byte comes back under a right name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::program::{Machine, Run, files_below, inside};
use crate::common::zoo::random_bytes;

const FILES: usize = 12;
const FILE_BYTES: usize = 900_000;

/// A repository of several packs, and the source that it holds.
fn saved() -> (Machine, PathBuf) {
    let machine = Machine::with_packs_of("4MiB");
    let source = machine.folder("source");
    for number in 0..FILES {
        fs::write(source.join(format!("{number:02}")), random_bytes(&number.to_string(), FILE_BYTES)).unwrap();
    }
    fs::write(source.join("tiny"), b"within its node").unwrap();
    fs::hard_link(source.join("05"), source.join("second name of 05")).unwrap();
    machine.caddis("backup").arg(&source).ok();
    (machine, source)
}

/// An object that is spoiled, until it is put back.
struct Spoiled {
    path: PathBuf,
    before: Vec<u8>,
}

impl Spoiled {
    fn by(path: &Path, spoil: impl FnOnce(&mut Vec<u8>)) -> Self {
        let before = fs::read(path).unwrap();
        let mut bytes = before.clone();
        spoil(&mut bytes);
        assert_ne!(bytes, before);
        write_anew(path, &bytes);
        Self { path: path.to_owned(), before }
    }

    fn flipped(path: &Path) -> Self {
        Self::by(path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x20;
        })
    }

    fn gone(path: &Path) -> Self {
        let before = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        Self { path: path.to_owned(), before }
    }
}

impl Drop for Spoiled {
    fn drop(&mut self) {
        write_anew(&self.path, &self.before);
    }
}

/// Objects are read-only; one that another object is a hard link of must not be written through.
fn write_anew(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).unwrap();
}

/// Restores, and proves that all that came back is right; answers the run and the names that did not come back.
fn restore(machine: &Machine, source: &Path) -> (Run, BTreeSet<String>) {
    let target = machine.path("target");
    let _ = fs::remove_dir_all(&target);
    let run = machine.caddis("restore -v").arg(inside("latest", source)).arg(&target).run();
    let contents = |folder: &Path| -> BTreeMap<String, Vec<u8>> {
        let files = files_below(folder).into_iter();
        files.map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(file).unwrap())).collect()
    };
    let (wanted, got) = (contents(source), contents(&target));
    for (name, content) in &got {
        assert!(wanted[name] == *content, "{name} came back wrong");
    }
    (run, wanted.into_keys().filter(|name| !got.contains_key(name)).collect())
}

fn named(run: &Run, source: &Path, name: &str) -> bool {
    let path = format!("{}:", source.join(name).display());
    run.stderr.contains(&path)
}

fn shown_name(object: &Path) -> String {
    object.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_damaged_data_pack_costs_only_the_files_that_it_holds() {
    let (machine, source) = saved();
    let packs = machine.objects("packs");
    assert!(packs.len() >= 3);
    let mut lost_in_all = BTreeSet::new();
    for pack in &packs {
        // In each of its blocks, which are of a quarter of a megabyte where nothing compresses, and whatever fills the rest.
        let spoiled = Spoiled::by(pack, |bytes| bytes.iter_mut().step_by(50_000).for_each(|byte| *byte ^= 0x80));
        let (run, lost) = restore(&machine, &source);
        assert_eq!(run.code, 7, "{}", run.transcript());
        assert!(!lost.is_empty() && lost.len() < FILES, "{lost:?}");
        assert!(!lost.contains("tiny"));
        for name in &lost {
            assert!(named(&run, &source, name) || name.starts_with("second name"), "{name}: {}", run.transcript());
        }
        assert_eq!(lost.contains("05"), lost.contains("second name of 05"), "two names of one file");

        // As JSON, which gives all paths.
        let check = machine.caddis("check --read-data --json").ends_with(4);
        let lines = check.json_lines();
        let is_of_pack = |line: &&serde_json::Value| {
            line["object"].as_str().is_some_and(|object| object.ends_with(&shown_name(pack)))
        };
        let error = lines.iter().find(is_of_pack).unwrap();
        let shown: BTreeSet<&str> = error["paths"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        let wanted: Vec<String> = lost.iter().map(|name| source.join(name).display().to_string()).collect();
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        assert_eq!(shown, wanted, "exactly what a restore lacks: {}", check.transcript());
        lost_in_all.extend(lost);
        drop(spoiled);
    }
    assert_eq!(lost_in_all.len(), FILES + 1, "every file but the tiny one is in some pack");
    let (run, lost) = restore(&machine, &source);
    assert_eq!((run.code, lost.len()), (0, 0));
    machine.caddis("check --read-data").ok();
}

#[test]
fn a_pack_that_is_gone_or_cut_short_costs_only_the_files_that_it_holds() {
    let (machine, source) = saved();
    let pack = &machine.objects("packs")[0];
    for way in ["gone", "cut in half", "empty"] {
        let spoiled = match way {
            "gone" => Spoiled::gone(pack),
            "empty" => Spoiled::by(pack, Vec::clear),
            _ => Spoiled::by(pack, |bytes| bytes.truncate(bytes.len() / 2)),
        };
        let (run, lost) = restore(&machine, &source);
        assert_eq!(run.code, 7, "{way}: {}", run.transcript());
        assert!(!lost.is_empty() && lost.len() < FILES && !lost.contains("tiny"), "{way}: {lost:?}");
        assert!(lost.iter().filter(|name| !name.starts_with("second")).all(|name| named(&run, &source, name)));
        let check = machine.caddis("check").ends_with(4);
        assert!(check.stderr.contains(&shown_name(pack)), "{way}: {}", check.transcript());
        drop(spoiled);
    }
    machine.caddis("check --read-data").ok();
}

#[test]
fn cat_of_a_damaged_file_fails_and_prints_nothing_wrong() {
    let (machine, source) = saved();
    let pack = machine.objects("packs").remove(0);
    let _spoiled = Spoiled::by(&pack, |bytes| bytes.iter_mut().step_by(4096).for_each(|byte| *byte ^= 1));
    let mut failed = 0;
    for number in 0..FILES {
        let path = source.join(format!("{number:02}"));
        let run = machine.caddis("cat").arg(inside("latest", &path)).run();
        let content = fs::read(&path).unwrap();
        assert!(content.starts_with(&run.stdout), "{}", path.display());
        assert_eq!(run.code == 0, run.stdout.len() == content.len());
        assert!(matches!(run.code, 0 | 1), "{}", run.code);
        failed += run.code;
    }
    assert!(failed > 0);
}

#[test]
fn a_damaged_tree_is_found_and_gives_nothing_wrong() {
    let (machine, source) = saved();
    for pack in machine.objects("trees") {
        // The one pack of trees is mostly padding; its blocks come first.
        for at in [100, 300, 700, 2_000] {
            let _spoiled = Spoiled::by(&pack, |bytes| bytes[at] ^= 4);
            forget_trees(&machine);
            let (run, _) = restore(&machine, &source);
            assert_ne!(run.code, 101);
            let check = machine.caddis("check").run();
            assert!(matches!(check.code, 4 | 5), "{}", check.transcript());
            assert!(check.stderr.contains(&shown_name(&pack)), "{}", check.transcript());
        }
        let gone = Spoiled::gone(&pack);
        forget_trees(&machine);
        let (run, lost) = restore(&machine, &source);
        assert!(matches!(run.code, 1 | 7), "{}", run.transcript());
        assert!(!lost.is_empty());
        machine.caddis("check").ends_with(4);
        drop(gone);
    }
    machine.caddis("check --read-data").ok();
}

#[test]
fn trees_that_the_store_has_lost_are_found_missing_and_still_restored_where_they_are_kept() {
    let (machine, source) = saved();
    let lost: Vec<Spoiled> = machine.objects("trees").iter().map(|pack| Spoiled::gone(pack)).collect();
    assert!(!lost.is_empty());
    machine.caddis("check").ends_with(4);
    let (run, missing) = restore(&machine, &source);
    assert_eq!((run.code, missing.len()), (0, 0), "{}", run.transcript());
}

/// Removes the packs of trees that the machine keeps, so that it asks the store.
fn forget_trees(machine: &Machine) {
    let kept = files_below(&machine.path("home/.cache")).into_iter();
    kept.filter(|file| file.parent().unwrap().ends_with("trees")).for_each(|file| fs::remove_file(file).unwrap());
}

/// A machine that knows nothing yet has no cache to hide damage behind.
#[test]
fn whatever_object_is_spoiled_nothing_panics_and_nothing_wrong_comes_back() {
    let (machine, source) = saved();
    let kinds = ["keys", "charter", "index", "snapshots"];
    let mut objects: Vec<PathBuf> = kinds.iter().flat_map(|kind| machine.objects(kind)).collect();
    objects.push(machine.repository.join("config"));
    assert!(objects.len() >= 7);
    for object in &objects {
        let name = object.strip_prefix(&machine.repository).unwrap().display().to_string();
        for way in ["flipped", "flipped early", "cut", "empty", "gone"] {
            let _spoiled = match way {
                "flipped" => Spoiled::flipped(object),
                "flipped early" => Spoiled::by(object, |bytes| bytes[9] ^= 1),
                "cut" => Spoiled::by(object, |bytes| bytes.truncate(bytes.len() * 2 / 3)),
                "empty" => Spoiled::by(object, Vec::clear),
                _ => Spoiled::gone(object),
            };
            let newcomer = Machine::beside(&machine);
            let (run, _) = restore(&newcomer, &source);
            assert!(matches!(run.code, 0 | 1 | 7 | 10 | 12), "{name} {way}: {}", run.transcript());
            // What is gone may be rightly gone, as a slot or a snapshot; all else is damage that a check must see.
            let check = newcomer.caddis("check").run();
            let is_seen = check.code != 0;
            assert!(is_seen || way == "gone", "{name} {way} is not seen: {}", check.transcript());
            assert!(check.code == 0 || !check.stderr.is_empty(), "{name} {way}: {}", check.transcript());
        }
    }
    machine.caddis("check --read-data").ok();
}

#[test]
fn a_damaged_slot_does_not_keep_the_others_from_opening() {
    let machine = Machine::with_repository();
    let source = machine.folder_with("source", &[("file", b"saved")]);
    machine.caddis("backup").arg(&source).ok();
    let first = machine.objects("keys");
    let second_key = machine.path("second");
    machine.caddis("key add --new-key-file").arg(&second_key).ok();
    let _spoiled = Spoiled::flipped(&first[0]);
    machine.caddis("restore").arg(inside("latest", &source)).arg("target").env("CADDIS_KEY_FILE", &second_key).ok();
    assert_eq!(fs::read(machine.path("target/file")).unwrap(), b"saved");
    let own = machine.caddis("snapshots").run();
    assert!(matches!(own.code, 1 | 12), "{}", own.transcript());
    let check = machine.caddis("check").env("CADDIS_KEY_FILE", &second_key).ends_with(5);
    assert!(check.stderr.contains(&shown_name(&first[0])), "{}", check.transcript());
}

#[test]
fn a_damaged_snapshot_leaves_the_others_as_they_are() {
    let (machine, source) = saved();
    fs::write(source.join("new"), b"of the second snapshot").unwrap();
    let second = machine.caddis("backup --json").arg(&source).ok().json();
    let object = machine.repository.join("snapshots").join(second["snapshot_id"].as_str().unwrap());
    let _spoiled = Spoiled::flipped(&object);
    let (run, lost) = restore(&machine, &source);
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert_eq!(lost, BTreeSet::from(["new".to_owned()]), "the older snapshot came back");
    assert!(!run.stderr.is_empty(), "a snapshot that cannot be read is worth a word");
    machine.caddis("check").ends_with(4);
}

#[test]
fn every_flipped_byte_of_a_pack_is_found_by_reading_it_and_those_about_itself_without() {
    let (machine, _) = saved();
    for (at, pack) in machine.objects("packs").iter().chain(&machine.objects("trees")).enumerate() {
        let is_inside = at % 5 == 3;
        let _spoiled = Spoiled::by(pack, |bytes| {
            let place = [0, 9, 40, bytes.len() / 3, bytes.len() - 1][at % 5];
            bytes[place] ^= 0x10;
        });
        for words in ["check", "check --read-data"] {
            let run = machine.caddis(words).run();
            // What a pack says of itself the index says, too, so that nothing is lost with that. Trees are read while they
            // are walked.
            let wanted: &[i32] = match (is_inside, words) {
                (false, _) => &[5],
                (true, "check") => &[0, 4],
                (true, _) => &[4],
            };
            assert!(wanted.contains(&run.code), "{}", run.transcript());
            assert!(run.code == 0 || run.stderr.contains(&shown_name(pack)), "{}", run.transcript());
        }
    }
}

#[test]
fn what_a_damaged_pack_held_is_not_mended_by_believing_the_index() {
    // A second backup deduplicates against an index that names a pack whose bytes are gone bad: it must not make that
    // worse, and check goes on telling.
    let (machine, source) = saved();
    let pack = machine.objects("packs").remove(0);
    let _spoiled = Spoiled::flipped(&pack);
    machine.caddis("backup").arg(&source).ok();
    machine.caddis("check --read-data").ends_with(4);
    let (run, lost) = restore(&machine, &source);
    assert_eq!(run.code, 7);
    assert!(lost.len() < FILES);
}
