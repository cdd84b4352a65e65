//! A host that withholds what it was given, or gives back an older copy, is found out by whoever has seen more; nobody else is
//! accused.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use caddis::backup::{Options, Report, backup};
use caddis::check::{self, check};
use caddis::format::log::{self, Forgotten, Gc, Void};
use caddis::format::record::Extras;
use caddis::id::{SnapshotId, StatementId};
use caddis::repo::Repository;
use caddis::repo::rollback::Withheld;
use caddis::store::faulty::Call;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};
use rustix::io::Errno;

use crate::disk::{FailingDisk, Failure, Steps};
use crate::lab::{Lab, Machine, World, assert_same_tree, hooked, names, random_bytes, sources};

/// A run that may find something missing.
fn suspicious_backup(machine: &Machine, store: &Arc<impl Store + 'static>, lab: &Lab, secs: i64) -> Report {
    let world = World::at(secs);
    let mut repository = machine.open(store, &world).unwrap();
    backup(&mut repository, &sources(&lab.source), &Options::default(), &world.cx()).unwrap()
}

/// What a machine finds missing when it lists snapshots.
fn missing(machine: &Machine, store: &Arc<impl Store + 'static>) -> Option<Withheld> {
    let world = World::at(90);
    let repository = machine.open(store, &world).unwrap();
    let graph = repository.snapshot_graph(&world.cx()).unwrap();
    repository.compare_history(&graph, None, &world.cx()).unwrap()
}

fn checked(machine: &Machine, store: &Arc<impl Store + 'static>) -> check::Report {
    let world = World::at(92);
    check(&machine.open(store, &world).unwrap(), &check::Options::default(), &world.cx()).unwrap()
}

fn accept(machine: &Machine, store: &Arc<impl Store + 'static>) {
    let world = World::at(91);
    machine.open(store, &world).unwrap().accept_history(&world.cx()).unwrap();
}

fn only(snapshot: SnapshotId) -> Option<Withheld> {
    Some(Withheld { snapshots: BTreeSet::from([snapshot]), ..Withheld::default() })
}

fn copy_of(lab: &Lab) -> Arc<MemoryStore> {
    Arc::new((*lab.store).clone())
}

fn remove(store: &Arc<MemoryStore>, id: SnapshotId) {
    store.delete(&ObjectName::new(ObjectKind::Snapshots, id)).unwrap();
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write_old_tree();
    lab
}

fn save(machine: &Machine, lab: &Lab, secs: i64) -> SnapshotId {
    lab.write("diary", &random_bytes("diary", 1000 + usize::try_from(secs).unwrap()));
    machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap().snapshot
}

#[test]
fn a_vanished_snapshot_is_missed_by_its_maker_until_that_is_accepted() {
    let lab = lab();
    save(&lab.machine, &lab, 1);
    let newest = save(&lab.machine, &lab, 2);
    remove(&lab.store, newest);
    assert_eq!(missing(&lab.machine, &lab.store), only(newest));
    for secs in 3..5 {
        let report = suspicious_backup(&lab.machine, &lab.store, &lab, secs);
        assert_eq!(report.withheld, only(newest));
        // It has saved all the same.
        assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
    }
    accept(&lab.machine, &lab.store);
    assert_eq!(missing(&lab.machine, &lab.store), None);
    save(&lab.machine, &lab, 6);
}

/// On a full disk, where what is new cannot be remembered, nothing was said of what is missing either.
#[test]
fn who_cannot_remember_what_is_new_still_misses_what_is_gone() {
    let lab = lab();
    save(&lab.machine, &lab, 1);
    let older = copy_of(&lab);
    let newest = save(&lab.machine, &lab, 2);
    lab.machine("beta").backup(&older, &lab.source, &World::at(3)).unwrap();
    let full = Failure { steps: Steps::Changes, errno: Errno::NOSPC, lasts: true };
    let disk = FailingDisk::new(&lab.machine.places.state, full, 0);
    let world = World::at(90);
    let repository = lab.machine.watched_by(disk.clone()).open(&older, &world).unwrap();
    let graph = repository.snapshot_graph(&world.cx()).unwrap();
    assert_eq!(repository.compare_or_note(&graph, &world.cx()).unwrap(), only(newest));
    assert!(disk.has_failed());
}

#[test]
fn an_older_copy_of_the_repository_is_told_from_the_present_one() {
    let lab = lab();
    let first = save(&lab.machine, &lab, 1);
    let first_tree = lab.tree();
    let older = copy_of(&lab);
    save(&lab.machine, &lab, 2);
    let newest = save(&lab.machine, &lab, 3);
    assert_eq!(missing(&lab.machine, &older), only(newest));
    // The local index and the catalog know of more than there is; the run stores that again.
    let report = suspicious_backup(&lab.machine, &older, &lab, 4);
    assert_eq!(report.withheld, only(newest));
    assert_same_tree(&lab.tree(), &lab.machine.restored(&older, report.snapshot, &lab.source));
    assert_same_tree(&first_tree, &lab.machine.restored(&older, first, &lab.source));
    assert!(lab.machine.check(&older).problems().is_empty());
    // Nobody else can know.
    assert_eq!(missing(&lab.machine("gamma"), &older), None);
}

#[test]
fn what_another_machine_saved_is_missed_by_whoever_saw_it() {
    let lab = lab();
    save(&lab.machine, &lab, 1);
    let beta = lab.machine("beta");
    let theirs = save(&beta, &lab, 2);
    let without = copy_of(&lab);
    remove(&without, theirs);
    assert_eq!(missing(&lab.machine, &without), None, "not seen yet");
    assert_eq!(missing(&lab.machine, &lab.store), None);
    assert_eq!(missing(&lab.machine, &without), only(theirs));
    assert_eq!(missing(&beta, &without), only(theirs));
}

#[test]
fn a_statement_of_the_charter_that_is_withheld_is_missed() {
    let lab = lab();
    save(&lab.machine, &lab, 1);
    let before: BTreeSet<ObjectName> = names(&lab.store, ObjectKind::Charter).into_iter().collect();
    save(&lab.machine("beta"), &lab, 2);
    // Whoever opens the repository from here on knows beta, and says so in what it writes.
    save(&lab.machine, &lab, 3);
    let added: Vec<ObjectName> =
        names(&lab.store, ObjectKind::Charter).into_iter().filter(|name| !before.contains(name)).collect();
    assert!(!added.is_empty());
    for statement in added {
        let without = copy_of(&lab);
        without.delete(&statement).unwrap();
        let expected = BTreeSet::from([StatementId::from(statement.id())]);
        for machine in [&lab.machine, &lab.machine("gamma")] {
            let missing = missing(machine, &without).map(|missing| missing.statements);
            assert_eq!(missing.as_ref(), Some(&expected), "{statement}");
        }
        let folder = tempfile::tempdir().unwrap();
        let resigned = lab.machine.copied_to(folder.path());
        accept(&resigned, &without);
        assert_eq!(missing(&resigned, &without), None);
    }
}

#[test]
fn runs_at_once_cloned_machines_and_restored_homes_raise_no_alarm() {
    let lab = lab();
    save(&lab.machine, &lab, 1);
    let (old_home, clone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old_home = lab.machine.copied_to(old_home.path());
    save(&lab.machine, &lab, 2);
    let clone = lab.machine.copied_to(clone.path());
    for secs in 3..6 {
        for machine in [&lab.machine, &clone, &old_home] {
            save(machine, &lab, secs); // It asserts that nothing is missing.
        }
    }
    for machine in [&lab.machine, &clone, &old_home] {
        assert_eq!(missing(machine, &lab.store), None);
    }
}

#[test]
fn a_run_that_ends_while_another_one_looks_raises_no_alarm() {
    // The second run remembers what the first has not listed yet, in the same state folder.
    let lab = lab();
    save(&lab.machine, &lab, 1);
    let source = lab.folder.path().join("second source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), b"of the second run").unwrap();
    for kind in [ObjectKind::Forgotten, ObjectKind::Gc, ObjectKind::Pending, ObjectKind::Snapshots] {
        let has_run = AtomicBool::new(false);
        // The same machine: the same name, and so the same places.
        let (store, second, source) = (Arc::clone(&lab.store), lab.machine("alpha"), source.clone());
        assert_eq!(*second.places.state, *lab.machine.places.state);
        let hook = hooked(&lab.store, move |call| {
            let is_moment = matches!(call, Call::Put(name) if name.kind() == kind) || call == Call::List(kind);
            if is_moment && !has_run.swap(true, Ordering::SeqCst) {
                second.backup(&store, &source, &World::at(20)).unwrap();
            }
            Ok(())
        });
        lab.machine.backup(&hook, &lab.source, &World::at(10)).unwrap();
        assert_eq!(missing(&lab.machine, &lab.store), None);
    }
}

/// Puts a record that says that a snapshot is forgotten.
fn forget(repository: &Repository, id: SnapshotId) -> ObjectName {
    let time = jiff::Timestamp::from_second(50).unwrap().into();
    let entries = vec![Void { snapshot: id, reason: "not needed".to_owned(), time }];
    let record = Forgotten { entries, extras: Extras::default() };
    let bytes = log::encode_forgotten(&record, &repository.keyring, &repository.signatory).unwrap();
    repository.objects.put(ObjectKind::Forgotten, &bytes).unwrap()
}

#[test]
fn what_was_forgotten_and_what_was_pruned_is_not_missed() {
    let lab = lab();
    save(&lab.machine, &lab, 1);
    let newest = save(&lab.machine, &lab, 2);
    let world = World::at(60);
    let owner = lab.machine("owner").open(&lab.store, &world).map(|mut repository| {
        repository.introduce_self(&world.cx()).unwrap();
        repository
    });
    let owner = owner.unwrap();
    let record = forget(&owner, newest);
    assert_eq!(missing(&lab.machine, &lab.store), None);
    remove(&lab.store, newest);
    assert_eq!(missing(&lab.machine, &lab.store), None);

    // A prune takes over what the record said, and removes it.
    let gc = Gc { void: vec![newest], ..Gc::default() };
    let bytes = log::encode_gc(&gc, &owner.keyring, &owner.signatory).unwrap();
    owner.objects.put(ObjectKind::Gc, &bytes).unwrap();
    lab.store.delete(&record).unwrap();
    assert_eq!(missing(&lab.machine, &lab.store), None);
    save(&lab.machine, &lab, 70);
}

#[test]
fn an_ancestor_that_goes_is_missed_by_a_check_alone_and_by_anybodys() {
    let lab = lab();
    let first = save(&lab.machine, &lab, 1);
    let second = save(&lab.machine("beta"), &lab, 2);
    remove(&lab.store, first);
    for machine in [&lab.machine, &lab.machine("gamma")] {
        // Somebody has written since, and who remembers heads has nothing to say.
        assert_eq!(missing(machine, &lab.store), None);
        let report = checked(machine, &lab.store);
        assert_eq!(report.withheld, None);
        let [finding] = &report.errors[..] else { panic!("{:?}", report.errors) };
        assert_eq!(finding.object, ObjectName::new(ObjectKind::Snapshots, first));
        assert_eq!((&finding.snapshots[..], finding.repairable), (&[first][..], false));
    }
    remove(&lab.store, second);
    let report = checked(&lab.machine("beta"), &lab.store);
    assert_eq!((report.withheld, report.errors), (only(second), Vec::new()));
}
