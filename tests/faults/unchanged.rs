//! What has not changed is not read again, what has changed is, and nothing is ever taken for granted that is not there.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caddis::backup::{Detection, Report};
use caddis::format::log::{self, Gc};
use caddis::id::ObjectId;
use caddis::store::faulty::CountingStore;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};

use crate::lab::{Lab, Machine, World, assert_same_tree, names, random_bytes};

const FORCE: Detection = Detection { force: true, ignore_inode: false, ignore_ctime: false };

/// A lab whose source was saved, in a time when all of it is long settled.
fn saved_lab() -> Lab {
    let lab = Lab::new();
    lab.write_old_tree();
    lab.write("large", &random_bytes("large", 3 << 20));
    for number in 0..200 {
        lab.write(&format!("many/{number:03}"), &random_bytes(&number.to_string(), 400));
    }
    backup(&lab, 0);
    lab
}

fn backup(lab: &Lab, secs: i64) -> Report {
    lab.machine.backup(&lab.store, &lab.source, &World::settled_at(secs)).unwrap()
}

/// What a machine that remembers nothing makes of the source.
fn tree_of_a_stranger(lab: &Lab) -> caddis::id::ChunkId {
    let folder = tempfile::tempdir().unwrap();
    let stranger = Machine::new(folder.path(), "stranger");
    let world = World::settled_at(0);
    let report = stranger.backup_with(&Arc::new((*lab.store).clone()), &lab.source, FORCE, &world).unwrap();
    assert_eq!(report.counts.unmodified, 0);
    report.tree
}

fn assert_comes_back(lab: &Lab, report: &Report) {
    assert_eq!(report.tree, tree_of_a_stranger(lab), "another tree than somebody sees who has read all");
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
}

fn catalog_of(machine: &Machine) -> PathBuf {
    let repository = fs::read_dir(&machine.places.cache).unwrap().next().unwrap().unwrap().path();
    repository.join("catalog.sqlite")
}

fn files(lab: &Lab) -> u64 {
    lab.tree().values().filter(|item| item.content.is_some()).count() as u64
}

/// A run that makes no snapshot has read what could not be believed, and the next one need not.
#[test]
fn a_run_that_is_skipped_remembers_what_it_has_read() {
    let lab = Lab::new();
    lab.write_old_tree();
    let run = |world: &World| {
        let mut repository = lab.machine.open(&lab.store, world).unwrap();
        let options = caddis::backup::Options { skip_if_unchanged: true, ..caddis::backup::Options::default() };
        caddis::backup::backup(&mut repository, &crate::lab::sources(&lab.source), &options, &world.cx()).unwrap()
    };
    let first = run(&World::at(0));
    let again = run(&World::settled_at(1));
    assert!(first.is_new && !again.is_new && again.snapshot == first.snapshot);
    assert_eq!(again.counts.unmodified, 0);
    let third = run(&World::settled_at(2));
    assert!(!third.is_new && third.counts.read_bytes == 0, "{third:?}");
    lab.write("changed", b"as it is now");
    let changed = run(&World::settled_at(3));
    assert!(changed.is_new);
    assert_comes_back(&lab, &changed);
    assert!(lab.machine.check(&lab.store).problems().is_empty());
}

/// Writes to a file so that its time of change is a new one, however coarse the clock of the file system is.
fn rewrite(path: &Path, bytes: &[u8]) {
    let before = fs::metadata(path).unwrap();
    let ctime = |stat: &fs::Metadata| (stat.ctime(), stat.ctime_nsec());
    while ctime(&fs::metadata(path).unwrap()) == ctime(&before) {
        File::options().write(true).open(path).unwrap().write_all(bytes).unwrap();
    }
}

#[test]
fn an_unchanged_tree_is_not_read_and_costs_few_operations() {
    let lab = saved_lab();
    let first = backup(&lab, 1);
    let store = Arc::new(CountingStore::new(Arc::clone(&lab.store)));
    let second = lab.machine.backup(&store, &lab.source, &World::settled_at(2)).unwrap();
    assert_eq!((second.counts.read_bytes, second.counts.new, second.counts.changed), (0, 0, 0));
    assert_eq!(second.counts.unmodified, files(&lab));
    assert_eq!((second.tree, second.summary.files), (first.tree, first.summary.files));
    assert_eq!((second.summary.bytes, second.summary.folders), (first.summary.bytes, first.summary.folders));
    assert_comes_back(&lab, &second);

    // Announced, committed, and the announcement withdrawn.
    let all = store.counts();
    assert_eq!((all.puts, all.deletes), (2, 1));
    for kind in [ObjectKind::Packs, ObjectKind::Trees, ObjectKind::Index] {
        let counts = store.counts_of(kind);
        assert_eq!((counts.puts, counts.gets), (0, 0), "{kind:?}");
    }
    // The charter, the slots, gc three times, the index, packs of both kinds, snapshots, and forgotten three times.
    assert!(all.lists <= 14, "{} listings", all.lists);
    // What the charter, the slots, gc and the snapshots hold is read each time.
    let listed: usize = [ObjectKind::Charter, ObjectKind::Keys, ObjectKind::Snapshots]
        .into_iter()
        .map(|kind| names(&lab.store, kind).len())
        .sum();
    assert!(all.gets <= 2 + 2 * listed as u64, "{} reads of {listed} objects", all.gets);
}

#[test]
fn only_what_has_changed_is_read() {
    let lab = saved_lab();
    rewrite(&lab.source.join("many/100"), &random_bytes("other", 400));
    lab.write("many/new", b"a new one");
    fs::remove_file(lab.source.join("many/199")).unwrap();
    let report = backup(&lab, 1);
    assert_eq!((report.counts.changed, report.counts.new), (1, 1));
    assert_eq!(report.counts.read_bytes, 400 + 9);
    assert_comes_back(&lab, &report);
    assert_eq!(backup(&lab, 2).counts.read_bytes, 0);
}

#[test]
fn a_change_that_leaves_size_and_time_is_found() {
    let lab = saved_lab();
    let path = lab.source.join("many/100");
    let before = fs::metadata(&path).unwrap();
    rewrite(&path, &random_bytes("other", 400));
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.len(), after.mtime_nsec(), after.ino()), (before.len(), before.mtime_nsec(), before.ino()));
    let report = backup(&lab, 1);
    assert_eq!(report.counts.changed, 1);
    assert_comes_back(&lab, &report);
}

#[test]
fn a_file_that_takes_the_place_of_another_with_its_size_and_time_is_read() {
    let lab = saved_lab();
    let (path, other) = (lab.source.join("many/100"), lab.source.join("many/101"));
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    File::options().write(true).open(&other).unwrap().set_times(FileTimes::new().set_modified(time(&path))).unwrap();
    backup(&lab, 1);
    fs::rename(&other, &path).unwrap();
    let report = backup(&lab, 2);
    assert_eq!(report.counts.changed, 1);
    assert_comes_back(&lab, &report);
}

#[test]
fn what_had_changed_shortly_before_it_was_read_is_read_once_more() {
    let lab = saved_lab();
    // By this clock every file was written in the future, or just now.
    for secs in [1, 2] {
        let report = lab.machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap();
        // What an earlier run could believe is still believed.
        assert_eq!(report.counts.read_bytes, 0);
    }
    rewrite(&lab.source.join("many/100"), &random_bytes("other", 400));
    for (secs, read) in [(3, 400), (4, 400)] {
        let report = lab.machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap();
        assert_eq!(report.counts.read_bytes, read, "at {secs}");
    }
    assert_eq!(backup(&lab, 5).counts.read_bytes, 400);
    assert_eq!(backup(&lab, 6).counts.read_bytes, 0);
}

#[test]
fn force_reads_everything() {
    let lab = saved_lab();
    let report = lab.machine.backup_with(&lab.store, &lab.source, FORCE, &World::settled_at(1)).unwrap();
    assert_eq!(report.counts.unmodified, 0);
    assert_eq!(report.counts.read_bytes, report.summary.bytes - 90_000, "the file with two names is read once");
    assert_eq!(report.summary.new_bytes, 0);
    assert_eq!(backup(&lab, 2).counts.read_bytes, 0);
}

#[test]
fn changes_of_ctime_and_inode_can_be_ignored_and_metadata_are_saved_all_the_same() {
    let lab = saved_lab();
    fs::set_permissions(lab.source.join("many/100"), Permissions::from_mode(0o4711)).unwrap();
    let copied = lab.source.join("many/101");
    let time = fs::metadata(&copied).unwrap().modified().unwrap();
    let bytes = fs::read(&copied).unwrap();
    fs::write(lab.source.join("copy"), bytes).unwrap();
    File::options()
        .write(true)
        .open(lab.source.join("copy"))
        .unwrap()
        .set_times(FileTimes::new().set_modified(time))
        .unwrap();
    fs::rename(lab.source.join("copy"), &copied).unwrap();

    let ctime = Detection { ignore_ctime: true, ..Detection::default() };
    let both = Detection { ignore_inode: true, ..ctime };
    let report = lab.machine.backup_with(&lab.store, &lab.source, both, &World::settled_at(1)).unwrap();
    assert_eq!(report.counts.read_bytes, 0);
    assert_comes_back(&lab, &report);

    rewrite(&lab.source.join("many/102"), &random_bytes("other", 399));
    let report = lab.machine.backup_with(&lab.store, &lab.source, both, &World::settled_at(2)).unwrap();
    assert_eq!(report.counts.changed, 1);
    assert_comes_back(&lab, &report);
    // What was seen without these options is what the next run compares with.
    assert_eq!(backup(&lab, 3).counts.read_bytes, 0);
}

#[test]
fn files_below_a_renamed_folder_are_not_read() {
    let lab = saved_lab();
    lab.write("many/deep/er/file", &random_bytes("deeper", 5_000));
    backup(&lab, 1);
    fs::rename(lab.source.join("many"), lab.source.join("other name")).unwrap();
    let report = backup(&lab, 2);
    assert_eq!(report.counts.read_bytes, 0);
    assert_comes_back(&lab, &report);
    assert_eq!(backup(&lab, 3).counts.read_bytes, 0);

    // A folder of the same name that is another one, and a copy of a folder, are read.
    fs::create_dir(lab.source.join("many")).unwrap();
    lab.write("many/100", &random_bytes("100", 400));
    let report = backup(&lab, 4);
    assert_eq!(report.counts.read_bytes, 400);
    assert_comes_back(&lab, &report);
}

#[test]
fn without_a_catalog_the_parent_serves() {
    let lab = saved_lab();
    let first = backup(&lab, 1);
    fs::remove_file(catalog_of(&lab.machine)).unwrap();
    rewrite(&lab.source.join("many/100"), &random_bytes("other", 399));
    symlink("nowhere", lab.source.join("many/symlink")).unwrap();
    let report = backup(&lab, 2);
    assert_eq!(report.counts.read_bytes, 400);
    assert_eq!(report.counts.unmodified, first.counts.unmodified - 1 - 1, "the second name is not a file of its own");
    assert_comes_back(&lab, &report);
    assert_eq!(backup(&lab, 3).counts.read_bytes, 0);
}

#[test]
fn the_parent_is_not_believed_about_what_changed_after_it_began() {
    let lab = Lab::new();
    lab.write("file", &random_bytes("file", 20_000));
    // By its time the parent was begun long before the file was written.
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    fs::remove_file(catalog_of(&lab.machine)).unwrap();
    let report = backup(&lab, 2);
    assert_eq!(report.counts.read_bytes, 20_000);
}

#[test]
fn a_catalog_of_another_repository_is_not_believed() {
    let lab = saved_lab();
    let other = saved_lab();
    rewrite(&other.source.join("many/100"), &random_bytes("other", 400));
    backup(&other, 1);
    fs::copy(catalog_of(&other.machine), catalog_of(&lab.machine)).unwrap();
    assert_comes_back(&lab, &backup(&lab, 2));
    assert_eq!(backup(&lab, 3).counts.read_bytes, 0);
}

#[test]
fn a_catalog_that_is_damaged_anywhere_costs_time_and_nothing_else() {
    let lab = saved_lab();
    lab.write("large", &random_bytes("larger", 100_000));
    backup(&lab, 1);
    let path = catalog_of(&lab.machine);
    let whole = fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> = vec![Vec::new(), whole[..whole.len() / 2].to_vec(), random_bytes("junk", 50_000)];
    // Something in each page, and the first bytes one by one.
    for at in (0..whole.len()).step_by(1021).chain(0..100) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        damaged.push(bytes);
    }
    let tree = tree_of_a_stranger(&lab);
    for (secs, bytes) in (2..).zip(damaged) {
        fs::write(&path, &bytes).unwrap();
        let report = backup(&lab, secs);
        assert_eq!((report.tree, report.problems), (tree, 0), "number {secs}");
    }
    assert_comes_back(&lab, &backup(&lab, 1_000_000));
}

#[test]
fn a_catalog_that_somebody_else_is_busy_with_blocks_nobody() {
    let lab = saved_lab();
    let first = backup(&lab, 1);
    let somebody = rusqlite::Connection::open(catalog_of(&lab.machine)).unwrap();
    somebody.execute_batch("BEGIN EXCLUSIVE").unwrap();
    lab.write("many/new", b"a new one");
    let report = backup(&lab, 2);
    // The second name of a file is not a file of its own to the parent.
    assert_eq!((report.counts.unmodified, report.counts.read_bytes), (first.counts.unmodified - 1, 9));
    assert_comes_back(&lab, &report);
    somebody.execute_batch("ROLLBACK").unwrap();
    // The row of the one folder that changed was not saved.
    assert_eq!(backup(&lab, 3).counts.read_bytes, 9);
}

#[test]
fn a_cache_folder_that_cannot_be_written_costs_time_and_nothing_else() {
    let lab = saved_lab();
    let first = backup(&lab, 1);
    let folder = catalog_of(&lab.machine);
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    let report = backup(&lab, 2);
    assert_eq!((report.tree, report.counts.read_bytes), (first.tree, 0));
}

#[test]
fn what_the_repository_has_lost_is_read_and_stored_again() {
    let lab = saved_lab();
    backup(&lab, 1);
    for (secs, kind) in [(2, ObjectKind::Packs), (4, ObjectKind::Trees)] {
        for name in names(&lab.store, kind) {
            lab.store.delete(&name).unwrap();
        }
        let report = backup(&lab, secs);
        assert!(report.summary.new_bytes > 0, "{kind:?}");
        assert_comes_back(&lab, &report);
        assert_eq!(backup(&lab, secs + 1).counts.read_bytes, 0, "{kind:?}");
    }
}

fn condemn(lab: &Lab, store: &MemoryStore) {
    let world = World::at(0);
    let owner = lab.machine.open(&lab.store, &world).unwrap();
    let kinds = [ObjectKind::Packs, ObjectKind::Trees];
    let condemned = kinds.into_iter().flat_map(|kind| names(store, kind)).map(|name| name.id().into()).collect();
    let record = log::encode_gc(&Gc { condemned, ..Gc::default() }, &owner.keyring, &owner.signatory).unwrap();
    store.put(&ObjectName::new(ObjectKind::Gc, ObjectId::of(&record)), &record).unwrap();
}

#[test]
fn what_was_condemned_since_is_read_and_stored_again() {
    let lab = saved_lab();
    backup(&lab, 1);
    let condemned: Vec<_> =
        [ObjectKind::Packs, ObjectKind::Trees].into_iter().flat_map(|kind| names(&lab.store, kind)).collect();
    condemn(&lab, &lab.store);
    let report = backup(&lab, 2);
    assert_eq!(report.counts.unmodified, 3, "those that are so short that they stand in their nodes");
    for name in condemned {
        lab.store.delete(&name).unwrap();
    }
    assert_comes_back(&lab, &report);
    assert_eq!(backup(&lab, 3).counts.read_bytes, 0);
}

#[test]
fn what_is_condemned_while_a_run_believes_it_sends_it_round_again() {
    let lab = saved_lab();
    backup(&lab, 1);
    let condemned: Vec<_> =
        [ObjectKind::Packs, ObjectKind::Trees].into_iter().flat_map(|kind| names(&lab.store, kind)).collect();
    let (behind, owner) = (Arc::clone(&lab.store), lab.machine.open(&lab.store, &World::at(0)).unwrap());
    let record = {
        let condemned = condemned.iter().map(|name| name.id().into()).collect();
        log::encode_gc(&Gc { condemned, ..Gc::default() }, &owner.keyring, &owner.signatory).unwrap()
    };
    let store = crate::lab::hooked(&lab.store, move |call| {
        if let caddis::store::faulty::Call::Put(name) = call
            && name.kind() == ObjectKind::Pending
        {
            behind.put(&ObjectName::new(ObjectKind::Gc, ObjectId::of(&record)), &record)?;
        }
        Ok(())
    });
    let report = lab.machine.backup(&store, &lab.source, &World::settled_at(2)).unwrap();
    for name in condemned {
        lab.store.delete(&name).unwrap();
    }
    assert_comes_back(&lab, &report);
    assert_eq!(backup(&lab, 3).counts.read_bytes, 0);
}

#[test]
fn sources_that_overlap_share_what_is_known() {
    let lab = saved_lab();
    let below = lab.source.join("many");
    let world = World::settled_at(1);
    assert_eq!(lab.machine.backup(&lab.store, &below, &world).unwrap().counts.read_bytes, 0);
    rewrite(&below.join("100"), &random_bytes("other", 400));
    assert_eq!(lab.machine.backup(&lab.store, &below, &world).unwrap().counts.read_bytes, 400);
    let whole = backup(&lab, 2);
    assert_eq!(whole.counts.read_bytes, 0);
    assert_comes_back(&lab, &whole);
    // A single file as a source.
    let file = lab.source.join("large");
    assert_eq!(lab.machine.backup(&lab.store, &file, &world).unwrap().counts.read_bytes, 3 << 20);
    let again = lab.machine.backup(&lab.store, &file, &world).unwrap();
    assert_eq!((again.counts.read_bytes, again.summary.bytes), (0, 3 << 20));
    // Its row was written by a run that relied on what the first one had stored, and so does the next one of all.
    let whole = backup(&lab, 3);
    assert_eq!(whole.counts.read_bytes, 0);
    assert_comes_back(&lab, &whole);
}

#[test]
fn a_folder_of_many_parts_is_compared_part_by_part() {
    let lab = Lab::new();
    for number in 0..3_000 {
        lab.write(&format!("{number:05} with a name that makes a row longer"), number.to_string().as_bytes());
    }
    backup(&lab, 0);
    let mut secs = 1;
    let mut assert_read = |read: u64| {
        let report = backup(&lab, secs);
        assert_eq!(report.counts.read_bytes, read, "at {secs}");
        assert_comes_back(&lab, &report);
        assert_eq!(backup(&lab, secs + 1).counts.read_bytes, 0);
        secs += 2;
    };
    let path = |number: u32| lab.source.join(format!("{number:05} with a name that makes a row longer"));
    assert_read(0);
    rewrite(&path(2_900), b"2901");
    assert_read(4);
    fs::remove_file(path(1_500)).unwrap();
    assert_read(0);
    lab.write("00000 comes first", b"new");
    lab.write("99999 comes last", b"new");
    assert_read(6);
    fs::remove_file(path(2_999)).unwrap();
    fs::remove_file(lab.source.join("99999 comes last")).unwrap();
    assert_read(0);
}

/// Any sequence of changes gives the tree that somebody sees who has read all.
mod histories {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u8, u16),
        Remove(u8),
        Rename(u8, u8),
        Chmod(u8, u8),
        Link(u8, u8),
        Symlink(u8),
        Backup,
        ForgetCatalog,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (any::<u8>(), 0_u16..2_000).prop_map(|(at, len)| Step::Write(at, len)),
            2 => any::<u8>().prop_map(Step::Remove),
            3 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::Rename(from, to)),
            1 => (any::<u8>(), any::<u8>()).prop_map(|(at, mode)| Step::Chmod(at, mode)),
            1 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::Link(from, to)),
            1 => any::<u8>().prop_map(Step::Symlink),
            4 => Just(Step::Backup),
            1 => Just(Step::ForgetCatalog),
        ];
        prop::collection::vec(step, 1..40)
    }

    /// One of a few paths, files and folders alike, so that they get in each other's way.
    fn path(lab: &Lab, at: u8) -> PathBuf {
        let names = ["a", "b", "c.d", "c", "e"];
        let name = |at: u8| names[usize::from(at) % names.len()];
        match at % 3 {
            0 => lab.source.join(name(at / 3)),
            1 => lab.source.join(name(at / 3)).join(name(at / 16)),
            _ => lab.source.join(name(at / 3)).join(name(at / 16)).join(name(at / 64)),
        }
    }

    /// Does what can be done; what cannot be done in the tree as it is is left.
    fn take(lab: &Lab, step: &Step, secs: i64) {
        let folder_of = |path: &Path| fs::create_dir_all(path.parent().unwrap()).is_ok();
        match step {
            Step::Write(at, len) => {
                let path = path(lab, *at);
                let bytes = random_bytes(&secs.to_string(), usize::from(*len) + 1);
                if path.is_file() {
                    rewrite(&path, &bytes);
                } else if folder_of(&path) {
                    let _ = fs::write(&path, bytes);
                }
            }
            Step::Remove(at) => {
                let path = path(lab, *at);
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
            Step::Rename(from, to) => {
                let (from, to) = (path(lab, *from), path(lab, *to));
                if folder_of(&to) {
                    let _ = fs::rename(from, to);
                }
            }
            Step::Chmod(at, mode) => {
                let _ = fs::set_permissions(path(lab, *at), Permissions::from_mode(0o700 | u32::from(*mode % 64)));
            }
            Step::Link(from, to) => {
                let _ = fs::hard_link(path(lab, *from), path(lab, *to));
            }
            Step::Symlink(at) => {
                let _ = symlink("somewhere", path(lab, *at));
            }
            Step::Backup => {
                let report = backup(lab, secs);
                assert_eq!(report.tree, tree_of_a_stranger(lab), "at {secs}");
            }
            Step::ForgetCatalog => {
                let _ = fs::remove_file(catalog_of(&lab.machine));
            }
        }
    }

    proptest! {
        #![proptest_config(crate::rounds::cases(24))]
        #[test]
        fn a_tree_of_what_is_remembered_is_the_tree_of_what_is_there(steps in steps()) {
            let lab = Lab::new();
            backup(&lab, 0);
            for (secs, step) in (1..).zip(&steps) {
                take(&lab, step, secs);
            }
            let report = backup(&lab, 1_000);
            assert_comes_back(&lab, &report);
            let again = backup(&lab, 1_001);
            prop_assert_eq!((again.tree, again.counts.read_bytes), (report.tree, 0));
        }
    }
}
