//! `caddis repair`, from damage to the state in which all is whole again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::program::{Machine, inside};
use crate::common::zoo::random_bytes;

const FILES: usize = 6;

/// Files in several packs, in one snapshot.
fn saved() -> (Machine, PathBuf) {
    let machine = Machine::with_packs_of("1MiB");
    let source = machine.folder("source");
    for number in 0..FILES {
        fs::write(source.join(number.to_string()), random_bytes(&number.to_string(), 600_000)).unwrap();
    }
    machine.caddis("backup --label nightly").arg(&source).ok();
    (machine, source)
}

/// Spoils a part of a pack, so that something of it still opens.
fn spoil(pack: &Path) {
    let mut bytes = fs::read(pack).unwrap();
    bytes[300] ^= 1;
    fs::remove_file(pack).unwrap();
    fs::write(pack, bytes).unwrap();
}

#[test]
fn a_damaged_pack_is_repaired_and_the_next_backup_makes_the_old_snapshot_whole() {
    let (machine, source) = saved();
    let old = machine.snapshot_ids();
    let pack = machine.objects("packs").remove(0);
    spoil(&pack);
    let check = machine.caddis("check --read-data").ends_with(4);
    assert!(check.stderr.contains("caddis: `caddis repair packs` saves"), "{}", check.transcript());

    let before = machine.repository_bytes();
    let plan = machine.caddis("repair packs --dry-run").ok();
    assert!(plan.text().contains("1 damaged, 0 missing\n"), "{}", plan.transcript());
    assert_eq!(machine.repository_bytes(), before, "a dry run does nothing");

    let repair = machine.caddis("repair packs -v").ends_with(4);
    assert!(repair.stderr.contains(source.to_str().unwrap()), "it names what is lost: {}", repair.transcript());
    assert!(!pack.exists());
    machine.caddis("backup --label nightly").arg(&source).ok();
    assert_eq!(machine.caddis("check --read-data").ok().transcript(), "$ caddis check --read-data\nexit 0\n");
    machine.caddis("restore").arg(inside(&old[0], &source)).arg("target").ok();
    for number in 0..FILES {
        let name = number.to_string();
        assert_eq!(fs::read(machine.path("target").join(&name)).unwrap(), random_bytes(&name, 600_000));
    }
    assert_eq!(machine.caddis("repair packs").ok().transcript(), "$ caddis repair packs\nexit 0\n");
}

#[test]
fn a_lost_index_is_made_anew() {
    let (machine, source) = saved();
    machine.objects("index").iter().for_each(|segment| fs::remove_file(segment).unwrap());
    let check = machine.caddis("check").ends_with(5);
    assert!(
        check.stderr.ends_with("caddis: `caddis repair index` names again what packs hold\n"),
        "{}",
        check.transcript()
    );
    let refused = machine.caddis("repair snapshots").ends_with(1);
    assert!(refused.stderr.contains("run `caddis repair index` first"), "{}", refused.transcript());
    let plan = machine.caddis("repair index -n").ok();
    assert!(plan.text().contains("that no index segment names"), "{}", plan.transcript());
    assert!(machine.objects("index").is_empty(), "a dry run does nothing");
    assert_eq!(machine.caddis("repair index").ok().transcript(), "$ caddis repair index\nexit 0\n");
    machine.caddis("check --read-data").ok();
    // Who knows nothing finds all of it.
    let newcomer = Machine::beside(&machine);
    newcomer.caddis("restore").arg(inside("latest", &source)).arg("target").ok();
}

#[test]
fn a_repaired_snapshot_is_marked_and_the_old_one_can_be_brought_back_once_it_is_whole() {
    let (machine, source) = saved();
    let old = machine.snapshot_ids().remove(0);
    fs::remove_file(machine.objects("packs").remove(0)).unwrap();
    machine.caddis("repair packs").ends_with(4);
    let plan = machine.caddis("repair snapshots -n").ok();
    assert!(plan.text().ends_with("1 snapshot to be repaired\n"), "{}", plan.transcript());
    assert_eq!(machine.snapshot_ids(), std::slice::from_ref(&old));
    let repair = machine.caddis("repair snapshots").ok();
    assert!(repair.stderr.contains(" now, without:\n"), "{}", repair.transcript());

    let new = machine.caddis("snapshots --json").ok().json();
    assert_eq!((&new[0]["original"], &new[0]["label"]), (&old.as_str().into(), &"nightly".into()));
    assert_eq!((&new[0]["partial"], &new[0]["tags"]), (&true.into(), &serde_json::json!(["repaired"])));
    machine.caddis("check --read-data").ok();
    let restore = machine.caddis("restore").arg(inside(&old, &source)).arg("target").ok();
    let left = fs::read_dir(machine.path("target")).unwrap().count();
    assert!(left > 0 && left < FILES, "{left}: {}", restore.transcript());

    machine.caddis("backup --label nightly").arg(&source).ok();
    machine.caddis("unforget").arg(&old).ok();
    machine.caddis("check --read-data").ok();
    let whole = machine.snapshot_ids().into_iter().filter(|id| {
        let target = machine.path(id);
        machine.caddis("restore").arg(inside(id, &source)).arg(&target).ok();
        fs::read_dir(target).unwrap().count() == FILES
    });
    assert_eq!(whole.count(), 2, "the old one and the new backup");
}

#[test]
fn a_pack_that_is_named_and_is_not_there_is_an_error() {
    let (machine, _) = saved();
    let run = machine.caddis("repair packs ffffffffff").ends_with(1);
    assert!(run.stderr.contains("no pack `ffffffffff`"), "{}", run.transcript());
    let pack = machine.objects("packs").remove(0);
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    let json = machine.caddis("repair packs --json").arg(&name[..10]).ok().json_lines();
    assert_eq!((&json[0]["packs_read"], &json[0]["packs"]), (&1.into(), &serde_json::json!([])));
    assert!(pack.exists(), "nothing is wrong with it");
}
