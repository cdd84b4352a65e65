//! A writer among prunes, dead runs and other writers: design rules W1 to W6.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::error::Error;
use caddis::format::charter::{PrincipalStatement, StatementKind};
use caddis::format::log::{self, Forgotten, Gc, Void};
use caddis::format::metadata::Timestamp;
use caddis::format::record::Extras;
use caddis::format::snapshot::Body;
use caddis::id::{ObjectId, PackId, SnapshotId};
use caddis::keys::keyring::{Principal, Rights};
use caddis::keys::signing::Signatory;
use caddis::repo::Repository;
use caddis::repo::charter::Author;
use caddis::rewrite;
use caddis::store::faulty::Call;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store, StoreError};

use crate::cuts::dying_at_put;
use crate::lab::{Hooked, Lab, Machine, World, assert_same_tree, hooked, names, random_bytes};

/// A store in which `act` happens once, just before the first put of `kind`.
pub(crate) fn acting_at_put(
    store: &Arc<MemoryStore>,
    kind: ObjectKind,
    act: impl Fn(&Arc<MemoryStore>, &ObjectName) + Send + Sync + 'static,
) -> Hooked {
    let puts = AtomicU64::new(0);
    let behind = Arc::clone(store);
    hooked(store, move |call| {
        if let Call::Put(name) = call
            && name.kind() == kind
            && puts.fetch_add(1, Ordering::SeqCst) == 0
        {
            act(&behind, name);
        }
        Ok(())
    })
}

pub(crate) fn put(store: &MemoryStore, kind: ObjectKind, bytes: &[u8]) -> ObjectName {
    let name = ObjectName::new(kind, ObjectId::of(bytes));
    store.put(&name, bytes).unwrap();
    name
}

pub(crate) fn condemning(packs: impl IntoIterator<Item = PackId>) -> Gc {
    Gc { condemned: packs.into_iter().collect(), ..Gc::default() }
}

pub(crate) fn packs(store: &MemoryStore) -> HashSet<PackId> {
    let kinds = [ObjectKind::Packs, ObjectKind::Trees];
    kinds.into_iter().flat_map(|kind| names(store, kind)).map(|name| name.id().into()).collect()
}

pub(crate) fn void(id: SnapshotId) -> Forgotten {
    let entries = vec![Void { snapshot: id, reason: "a test says so".to_owned(), time: Timestamp::default() }];
    Forgotten { entries, extras: Extras::default() }
}

/// What is void, with the reasons.
fn voids(lab: &Lab) -> Vec<(SnapshotId, String)> {
    let world = World::at(0);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    repository.voids(&world.cx()).unwrap().by_right.into_iter().map(|(id, voided)| (id, voided.reason)).collect()
}

/// A lab with a snapshot, a source that has grown since, and somebody with all rights who can sign records.
fn lab_with_a_snapshot() -> (Lab, Repository) {
    let lab = Lab::new();
    lab.write_old_tree();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    lab.write("newer", &random_bytes("newer", 50_000));
    let world = World::at(2);
    let owner = lab.machine.open(&lab.store, &world).unwrap();
    (lab, owner)
}

/// Packs that are not condemned hold all of a snapshot: it comes back although the others are gone.
fn assert_comes_back_without(lab: &Lab, condemned: &HashSet<PackId>, id: SnapshotId) {
    let left = Arc::new((*lab.store).clone());
    for pack in condemned {
        for kind in [ObjectKind::Packs, ObjectKind::Trees] {
            left.delete(&ObjectName::new(kind, *pack)).unwrap();
        }
    }
    assert_same_tree(&lab.tree(), &lab.machine("fresh").restored(&left, id, &lab.source));
}

/// A snapshot that takes another one's place relies on no pack that a prune has named, whenever that was.
#[test]
fn a_snapshot_that_takes_anothers_place_relies_on_nothing_condemned() {
    for is_before in [true, false] {
        let lab = Lab::new();
        lab.write_old_tree();
        let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        let world = World::at(2);
        let owner = lab.machine.open(&lab.store, &world).unwrap();
        let condemned = packs(&lab.store);
        let record = log::encode_gc(&condemning(condemned.clone()), &owner.keyring, &owner.signatory).unwrap();
        if is_before {
            put(&lab.store, ObjectKind::Gc, &record);
        }
        let store = acting_at_put(&lab.store, ObjectKind::Pending, move |store, _| {
            put(store, ObjectKind::Gc, &record);
        });
        let mut repository = lab.machine.open(&store, &world).unwrap();
        let old = repository.snapshots(&world.cx()).unwrap().remove(0);
        let body = Body { tags: vec!["kept".to_owned()], ..old.body.clone() };
        let new = rewrite::replace(&mut repository, &old, body, &world.cx()).unwrap();

        assert_comes_back_without(&lab, &condemned, new);
        let [left] = &lab.machine.snapshots(&lab.store)[..] else { panic!("one snapshot is left") };
        assert_eq!((left.id, left.header.original, &left.body.tags[..]), (new, Some(saved), &["kept".to_owned()][..]));
        assert!(voids(&lab).contains(&(saved, format!("replaced by {new}"))));
        assert!(names(&lab.store, ObjectKind::Pending).is_empty());
    }
}

#[test]
fn a_run_whose_packs_are_condemned_before_it_looks_goes_round_again() {
    let (lab, owner) = lab_with_a_snapshot();
    let condemned = packs(&lab.store);
    let record = log::encode_gc(&condemning(condemned.clone()), &owner.keyring, &owner.signatory).unwrap();
    let store = acting_at_put(&lab.store, ObjectKind::Pending, move |store, _| {
        put(store, ObjectKind::Gc, &record);
    });
    let before = lab.machine.snapshots(&lab.store).len();
    let report = lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap();

    assert_comes_back_without(&lab, &condemned, report.snapshot);
    assert_eq!(lab.machine.snapshots(&lab.store).len(), before + 1);
    let [(withdrawn, reason)] = &voids(&lab)[..] else { panic!("one announcement is withdrawn") };
    assert_ne!(*withdrawn, report.snapshot, "under a fresh id");
    assert_eq!(reason, "overtaken by a prune");
    assert!(names(&lab.store, ObjectKind::Pending).is_empty());
    // What the first round had stored itself was not condemned, and so is not stored again.
    let newer = packs(&lab.store).len() - condemned.len();
    assert!(newer >= 2, "{newer}");
    assert!(report.summary.new_bytes < 140_000, "{} bytes in the second round", report.summary.new_bytes);
    assert!(report.summary.new_bytes > 90_000, "{} bytes in the second round", report.summary.new_bytes);
}

#[test]
fn the_old_announcement_is_withdrawn_only_when_the_new_one_stands() {
    let (lab, owner) = lab_with_a_snapshot();
    let record = log::encode_gc(&condemning(packs(&lab.store)), &owner.keyring, &owner.signatory).unwrap();
    let behind = Arc::clone(&lab.store);
    let store = hooked(&lab.store, move |call| {
        match call {
            Call::Put(name) if name.kind() == ObjectKind::Pending => {
                if names(&behind, ObjectKind::Gc).is_empty() {
                    put(&behind, ObjectKind::Gc, &record);
                } else {
                    assert_eq!(names(&behind, ObjectKind::Pending).len(), 1, "the old one stands");
                    assert!(names(&behind, ObjectKind::Forgotten).is_empty(), "and is not void");
                }
            }
            Call::Put(name) if name.kind() == ObjectKind::Forgotten => {
                assert_eq!(names(&behind, ObjectKind::Pending).len(), 2, "the new one stands too");
            }
            _ => {}
        }
        Ok(())
    });
    lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap();
    assert_eq!(voids(&lab).len(), 1);
}

#[test]
fn a_prune_that_condemns_what_the_run_does_not_need_costs_it_nothing() {
    let (lab, owner) = lab_with_a_snapshot();
    let other = lab.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("unrelated"), random_bytes("unrelated", 50_000)).unwrap();
    let before = packs(&lab.store);
    lab.machine.backup(&lab.store, &other, &World::at(2)).unwrap();
    let unrelated = packs(&lab.store).difference(&before).copied().collect::<Vec<_>>();
    assert!(!unrelated.is_empty());
    let record = log::encode_gc(&condemning(unrelated), &owner.keyring, &owner.signatory).unwrap();
    let store = acting_at_put(&lab.store, ObjectKind::Pending, move |store, _| {
        put(store, ObjectKind::Gc, &record);
    });
    lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap();
    assert_eq!(names(&lab.store, ObjectKind::Gc).len(), 1, "it happened");
    assert!(voids(&lab).is_empty(), "and nothing was withdrawn");
}

#[test]
fn what_is_condemned_when_a_run_begins_is_stored_again() {
    let (lab, owner) = lab_with_a_snapshot();
    let condemned = packs(&lab.store);
    let half: Vec<_> = condemned.iter().copied().collect();
    let gc = Gc { condemned: half[1..].to_vec(), dead: half[..1].to_vec(), ..Gc::default() };
    put(&lab.store, ObjectKind::Gc, &log::encode_gc(&gc, &owner.keyring, &owner.signatory).unwrap());
    let report = lab.machine.backup(&lab.store, &lab.source, &World::at(3)).unwrap();
    assert_comes_back_without(&lab, &condemned, report.snapshot);
    assert!(voids(&lab).is_empty(), "in one round");
}

#[test]
fn a_run_that_is_declared_void_before_it_ends_starts_again() {
    let (lab, owner) = lab_with_a_snapshot();
    let store = acting_at_put(&lab.store, ObjectKind::Snapshots, move |store, name| {
        let record = log::encode_forgotten(&void(name.id().into()), &owner.keyring, &owner.signatory).unwrap();
        put(store, ObjectKind::Forgotten, &record);
    });
    assert_void_run_starts_again(&lab, &store);
}

#[test]
fn a_run_whose_void_has_moved_to_a_finished_record_starts_again() {
    // The owner dropped the announcement, and the next prune took the id into its record and the forgotten record away.
    let (lab, owner) = lab_with_a_snapshot();
    let store = acting_at_put(&lab.store, ObjectKind::Snapshots, move |store, name| {
        let gc = Gc { void: vec![name.id().into()], ..Gc::default() };
        put(store, ObjectKind::Gc, &log::encode_gc(&gc, &owner.keyring, &owner.signatory).unwrap());
    });
    assert_void_run_starts_again(&lab, &store);
}

fn assert_void_run_starts_again(lab: &Lab, store: &Arc<impl Store + 'static>) {
    let report = lab.machine.backup(store, &lab.source, &World::at(3)).unwrap();
    let put: BTreeSet<SnapshotId> =
        names(&lab.store, ObjectKind::Snapshots).into_iter().map(|name| name.id().into()).collect();
    assert_eq!(put.len(), 3, "the first snapshot, the void one, and the one that stays");
    let void: Vec<SnapshotId> = voids(lab).into_iter().map(|(id, _)| id).collect();
    let [void] = void[..] else { panic!("one is void: {void:?}") };
    assert!(put.contains(&void) && put.contains(&report.snapshot));
    let listed: Vec<SnapshotId> = lab.machine.snapshots(&lab.store).iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&report.snapshot) && !listed.contains(&void));
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
}

/// Somebody whom the charter names, with these rights.
pub(crate) fn principal_with(repository: &mut Repository, rights: Rights) -> Signatory {
    let signatory = Signatory::from_seed(&[u8::try_from(rights.bits()).unwrap(); 32]);
    let principal =
        Principal { key: signatory.public(), rights, host: "elsewhere".to_owned(), user: "somebody".to_owned() };
    let statement =
        PrincipalStatement { principal: principal.clone(), time: Timestamp::default(), extras: Extras::default() };
    let owner = repository.keyring.owner.as_ref().unwrap();
    let heads = repository.charter_heads.clone();
    let mut author =
        Author { objects: &repository.objects, repository: repository.id(), owner, heads, made: Vec::new() };
    author.state(StatementKind::Principal, &statement, repository.keyring.newest()).unwrap();
    repository.charter_heads = author.heads;
    repository.keyring.name(principal);
    signatory
}

#[test]
fn a_gc_record_of_somebody_who_may_not_prune_is_reported_and_not_obeyed() {
    let (lab, mut owner) = lab_with_a_snapshot();
    let everything_else = Rights::READ | Rights::WRITE | Rights::LIST | Rights::FORGET;
    let outsider = principal_with(&mut owner, everything_else);
    let gc = condemning(packs(&lab.store));
    assert_not_obeyed(&lab, log::encode_gc(&gc, &owner.keyring, &outsider).unwrap(), "prune");
    let pruner = principal_with(&mut owner, Rights::PRUNE);
    let report = {
        put(&lab.store, ObjectKind::Gc, &log::encode_gc(&gc, &owner.keyring, &pruner).unwrap());
        lab.machine.backup(&lab.store, &lab.source, &World::at(9)).unwrap()
    };
    assert!(report.summary.new_bytes > 90_000, "with the right it is obeyed");
}

#[test]
fn a_gc_record_of_nobody_known_is_reported_and_not_obeyed() {
    let (lab, owner) = lab_with_a_snapshot();
    let nobody = Signatory::from_seed(&[77; 32]);
    let record = log::encode_gc(&condemning(packs(&lab.store)), &owner.keyring, &nobody).unwrap();
    assert_not_obeyed(&lab, record, "no statement of the charter names");
}

#[test]
fn junk_among_the_gc_records_is_reported_and_in_nobodys_way() {
    let (lab, _) = lab_with_a_snapshot();
    assert_not_obeyed(&lab, random_bytes("junk", 4096), "not the kind of object");
}

/// Lets the record turn up once before a run and once in the middle of one.
fn assert_not_obeyed(lab: &Lab, record: Vec<u8>, why: &str) {
    let name = ObjectName::new(ObjectKind::Gc, ObjectId::of(&record));
    let in_between = record.clone();
    let store = acting_at_put(&lab.store, ObjectKind::Pending, move |store, _| {
        put(store, ObjectKind::Gc, &in_between);
    });
    for (secs, before) in [(3, false), (4, true)] {
        let world = World::at(secs);
        lab.write("newest", &random_bytes(&format!("newest {secs}"), 10_000));
        let report = lab.machine.backup(&store, &lab.source, &world).unwrap();
        assert!(names(&lab.store, ObjectKind::Gc).contains(&name));
        let reported = world.problems();
        assert!(
            reported.iter().any(|text| text.starts_with(&name.path()) && text.contains(why)),
            "{before}: {reported:?}"
        );
        assert!(voids(lab).is_empty(), "no round is repeated");
        assert!(report.summary.new_bytes < 80_000, "nothing is stored again: {}", report.summary.new_bytes);
        assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
    }
}

#[test]
fn a_gc_record_that_vanishes_while_it_is_read_is_looked_for_again() {
    // A prune ends while this run looks: its finished record is there, and the one that it stands for is taken away.
    let (lab, owner) = lab_with_a_snapshot();
    let encode = |gc: &Gc| log::encode_gc(gc, &owner.keyring, &owner.signatory).unwrap();
    let old = encode(&condemning([PackId([1; 32])]));
    let finished = encode(&Gc { dead: vec![PackId([1; 32])], ..Gc::default() });
    let (at_pending, name) = (old.clone(), ObjectName::new(ObjectKind::Gc, ObjectId::of(&old)));
    let behind = Arc::clone(&lab.store);
    let store = hooked(&lab.store, move |call| {
        match call {
            Call::Put(name) if name.kind() == ObjectKind::Pending => drop(put(&behind, ObjectKind::Gc, &at_pending)),
            Call::Get(got) if *got == name => {
                put(&behind, ObjectKind::Gc, &finished);
                behind.delete(&name).unwrap();
            }
            _ => {}
        }
        Ok(())
    });
    lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap();
    assert_eq!(names(&lab.store, ObjectKind::Gc).len(), 1, "it happened");
}

/// A machine with a run that died between announcement and commit, and the id that it had announced.
fn dead_run(lab: &Lab) -> SnapshotId {
    let dying = dying_at_put(&lab.store, ObjectKind::Snapshots);
    lab.machine.backup(&dying, &lab.source, &World::at(3)).unwrap_err();
    let pending = names(&lab.store, ObjectKind::Pending);
    assert_eq!(pending.len(), 1);
    pending.first().unwrap().id().into()
}

#[test]
fn the_announcement_of_a_dead_run_is_withdrawn_by_the_next_one() {
    let (lab, _) = lab_with_a_snapshot();
    let dead = dead_run(&lab);
    lab.machine("other").backup(&lab.store, &lab.source, &World::at(4)).unwrap();
    assert_eq!(names(&lab.store, ObjectKind::Pending).len(), 1, "others leave it alone");

    lab.machine.backup(&lab.store, &lab.source, &World::at(5)).unwrap();
    assert_eq!(voids(&lab), [(dead, "its run ended before it was committed".to_owned())]);
    assert!(names(&lab.store, ObjectKind::Pending).is_empty());
    lab.machine.backup(&lab.store, &lab.source, &World::at(6)).unwrap();
    assert_eq!(names(&lab.store, ObjectKind::Forgotten).len(), 1, "once");
}

#[test]
fn a_run_that_died_after_its_commit_is_not_withdrawn() {
    let (lab, _) = lab_with_a_snapshot();
    let store = hooked(&lab.store, |call| match call {
        Call::Delete(_) => Err(StoreError::Unreachable(io::ErrorKind::NotConnected.into())),
        _ => Ok(()),
    });
    let _ = lab.machine.backup(&store, &lab.source, &World::at(3));
    let saved = lab.machine.snapshots(&lab.store).len();
    assert_eq!(names(&lab.store, ObjectKind::Pending).len(), 1);
    lab.machine.backup(&lab.store, &lab.source, &World::at(4)).unwrap();
    assert!(voids(&lab).is_empty());
    assert_eq!(lab.machine.snapshots(&lab.store).len(), saved + 1);
    assert!(names(&lab.store, ObjectKind::Pending).is_empty());
}

#[test]
fn a_run_that_goes_on_is_not_withdrawn_by_another_one_of_the_same_machine() {
    let (lab, _) = lab_with_a_snapshot();
    let (machine, behind, source) = (lab.machine.clone(), Arc::clone(&lab.store), lab.source.clone());
    let store = acting_at_put(&lab.store, ObjectKind::Snapshots, move |_, _| {
        machine.backup(&behind, &source, &World::at(4)).unwrap();
    });
    let report = lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap();
    assert!(voids(&lab).is_empty());
    let listed = lab.machine.snapshots(&lab.store);
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().any(|snapshot| snapshot.id == report.snapshot));
}

#[test]
fn a_store_that_permits_no_deletes_can_be_backed_up_to_again_and_again() {
    let (lab, _) = lab_with_a_snapshot();
    let dead = dead_run(&lab);
    let store = hooked(&lab.store, |call| match call {
        Call::Delete(_) => Err(StoreError::Denied(io::ErrorKind::PermissionDenied.into())),
        _ => Ok(()),
    });
    for secs in 4..6 {
        lab.write("newest", &random_bytes(&format!("newest {secs}"), 10_000));
        let report = lab.machine.backup(&store, &lab.source, &World::at(secs)).unwrap();
        assert_same_tree(&lab.tree(), &lab.machine.restored(&store, report.snapshot, &lab.source));
    }
    assert_eq!(voids(&lab).len(), 1);
    assert_eq!(voids(&lab)[0].0, dead, "it is void although it could not be deleted");
    assert_eq!(names(&lab.store, ObjectKind::Pending).len(), 3);
    assert_eq!(lab.machine.snapshots(&store).len(), 3);
    let found = lab.machine.check(&store);
    assert!(found.problems().is_empty(), "{:?}", found.problems());
}

fn heads(lab: &Lab, id: SnapshotId) -> BTreeSet<SnapshotId> {
    let snapshots = lab.machine.snapshots(&lab.store);
    let snapshot = snapshots.into_iter().find(|snapshot| snapshot.id == id).unwrap();
    snapshot.header.heads.into_iter().collect()
}

#[test]
fn a_snapshot_names_the_newest_ones_that_its_writer_had_seen() {
    let (lab, _) = lab_with_a_snapshot();
    let first = lab.machine.snapshots(&lab.store)[0].id;
    assert!(heads(&lab, first).is_empty());
    let run = |machine: &Machine, secs| machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap().snapshot;
    let second = run(&lab.machine, 3);
    assert_eq!(heads(&lab, second), BTreeSet::from([first]));
    let third = run(&lab.machine("other"), 4);
    assert_eq!(heads(&lab, third), BTreeSet::from([second]));
}

#[test]
fn two_runs_from_the_same_state_are_both_heads_and_the_next_one_names_both() {
    let (lab, _) = lab_with_a_snapshot();
    let first = lab.machine.snapshots(&lab.store)[0].id;
    let (other, behind, source) = (lab.machine("other"), Arc::clone(&lab.store), lab.source.clone());
    let store = acting_at_put(&lab.store, ObjectKind::Pending, move |_, _| {
        other.backup(&behind, &source, &World::at(3)).unwrap();
    });
    let late = lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap().snapshot;
    let snapshots = lab.machine.snapshots(&lab.store);
    let early = snapshots.iter().map(|snapshot| snapshot.id).find(|id| ![first, late].contains(id)).unwrap();
    assert_eq!(heads(&lab, early), BTreeSet::from([first]));
    assert_eq!(heads(&lab, late), BTreeSet::from([first]));
    let next = lab.machine.backup(&lab.store, &lab.source, &World::at(4)).unwrap().snapshot;
    assert_eq!(heads(&lab, next), BTreeSet::from([early, late]));
}

#[test]
fn a_run_that_is_overtaken_every_time_gives_up_and_says_so() {
    let (lab, owner) = lab_with_a_snapshot();
    let behind = Arc::clone(&lab.store);
    let store = hooked(&lab.store, move |call| {
        if matches!(call, Call::Put(name) if name.kind() == ObjectKind::Pending) {
            let record = log::encode_gc(&condemning(packs(&behind)), &owner.keyring, &owner.signatory).unwrap();
            put(&behind, ObjectKind::Gc, &record);
        }
        Ok(())
    });
    std::fs::remove_dir_all(&lab.source).unwrap();
    std::fs::create_dir(&lab.source).unwrap();
    lab.write("one", b"small");
    let overtaken = lab.machine.backup(&store, &lab.source, &World::at(3)).unwrap_err();
    assert!(matches!(overtaken, Error::Overtaken(_)), "{overtaken}");
    assert_eq!(names(&lab.store, ObjectKind::Snapshots).len(), 1);
    let report = lab.machine.backup(&lab.store, &lab.source, &World::at(4)).unwrap();
    assert!(names(&lab.store, ObjectKind::Pending).is_empty());
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, report.snapshot, &lab.source));
}
