//! Forgetting: what is kept is whole whatever fails, nothing is forgotten by halves, and nobody forgets what they may not
//! or while somebody keeps snapshots back.

use std::io;
use std::sync::Arc;

use caddis::error::{Error, Result};
use caddis::forget::{Choice, Group, Grouping, forget, plan};
use caddis::id::SnapshotId;
use caddis::keys::keyring::Rights;
use caddis::repo::snapshots::Filter;
use caddis::retention::{Limit, Period, Policy, Rule};
use caddis::store::faulty::{Call, Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};
use jiff::tz::TimeZone;

use crate::compare::Tree;
use crate::lab::{Lab, Machine, World, assert_same_tree, hooked, names, torn};

/// Each way in which an operation can end badly.
const FAULTS: [Fault; 4] = [Fault::FailOnce, Fault::FailFrom, Fault::TearPut, Fault::LosePutAnswer];

const DAY: i64 = 86_400;

/// Keeps the newest so many.
fn keep_last(count: u32) -> Choice {
    let rule = Rule { period: Period::Each, limit: Limit::Count(count) };
    Choice::Policy {
        policy: Policy { rules: vec![rule], tags: Vec::new() },
        grouping: Grouping::default(),
        allows_empty: false,
        zone: TimeZone::UTC,
    }
}

fn forgets(machine: &Machine, store: &Arc<impl Store + 'static>, choice: &Choice, world: &World) -> Result<Vec<Group>> {
    let mut repository = machine.open(store, world)?;
    let plan = plan(&repository, choice, &Filter::default(), &world.cx())?;
    forget(&mut repository, plan, &world.cx())
}

/// Three snapshots, one a day.
struct Scene {
    lab: Lab,
    saved: Vec<(SnapshotId, Tree)>,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        lab.write_old_tree();
        let mut saved = Vec::new();
        for day in 1..4 {
            lab.write("diary", format!("day {day}").as_bytes());
            let id = lab.machine.backup(&lab.store, &lab.source, &World::at(day * DAY)).unwrap().snapshot;
            saved.push((id, lab.tree()));
        }
        Self { lab, saved }
    }

    fn copy(&self) -> MemoryStore {
        (*self.lab.store).clone()
    }

    fn ids(&self) -> Vec<SnapshotId> {
        self.saved.iter().map(|(id, _)| *id).collect()
    }

    fn assert_whole(&self, machine: &Machine, store: &Arc<MemoryStore>, context: &str) {
        for (id, tree) in self.saved.iter().filter(|(id, _)| machine.snapshots(store).iter().any(|left| left.id == *id))
        {
            assert_same_tree(tree, &machine.restored(store, *id, &self.lab.source));
        }
        let found = machine.check(store);
        assert!(found.items().is_subset(&torn(store)), "{context}: {:?}", found.problems());
    }
}

fn left(machine: &Machine, store: &Arc<MemoryStore>) -> Vec<SnapshotId> {
    machine.snapshots(store).iter().map(|snapshot| snapshot.id).collect()
}

#[test]
fn a_forget_that_is_cut_anywhere_forgets_all_or_nothing_and_can_be_run_again() {
    let scene = Scene::new();
    let world = World::at(4 * DAY);
    // Somebody whom the charter does not name yet: that is part of what is cut.
    let machine = scene.lab.machine("beta");
    let choice = Choice::Named(scene.ids()[..2].iter().map(ToString::to_string).collect());
    let operations = {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore::counting(scene.copy(), Operations::All));
        forgets(&machine.copied_to(folder.path()), &store, &choice, &world).unwrap();
        store.operations()
    };
    assert!(operations > 10, "{operations}");
    for fault in FAULTS {
        let mut failed = 0;
        for at in 0..operations {
            let context = format!("{fault:?} at operation {at}");
            let folder = tempfile::tempdir().unwrap();
            let machine = machine.copied_to(folder.path());
            let store = Arc::new(FaultyStore::failing(scene.copy(), Operations::All, fault, at));
            let cut = forgets(&machine, &store, &choice, &world);
            assert!(store.operations() > at, "{context}: it struck");
            failed += u64::from(cut.is_err());

            let store = Arc::new(store.inner().clone());
            scene.assert_whole(&machine, &store, &context);
            let is_done = match left(&machine, &store) {
                left if left == scene.ids() => false,
                left if left == scene.ids()[2..] => true,
                left => panic!("{context}: {left:?}"),
            };
            assert!(is_done || cut.is_err(), "{context}: what was reported done is done");
            match forgets(&machine, &store, &choice, &world) {
                Ok(_) => {}
                Err(Error::NoSuchSnapshot { .. }) => assert!(is_done, "{context}"),
                Err(error) => panic!("{context}: {error}"),
            }
            assert_eq!(left(&machine, &store), scene.ids()[2..], "{context}");
            scene.assert_whole(&machine, &store, &context);
        }
        assert!(failed > operations / 2, "{fault:?}: {failed} of {operations} cuts were noticed");
    }
}

#[test]
fn a_listing_that_fails_forgets_nothing() {
    let scene = Scene::new();
    for kind in [ObjectKind::Snapshots, ObjectKind::Forgotten, ObjectKind::Gc, ObjectKind::Charter] {
        let store = hooked(&scene.lab.store, move |call| match call {
            Call::List(listed) if listed == kind => Err(StoreError::Unreachable(io::ErrorKind::BrokenPipe.into())),
            _ => Ok(()),
        });
        let error = forgets(&scene.lab.machine, &store, &keep_last(1), &World::at(4 * DAY)).unwrap_err();
        assert!(matches!(error, Error::List { kind: failed, .. } if failed == kind), "{error}");
    }
    assert!(names(&scene.lab.store, ObjectKind::Forgotten).is_empty());
}

#[test]
fn a_listing_that_lacks_what_this_machine_knows_of_forgets_nothing() {
    let scene = Scene::new();
    for kept_back in [vec![2], vec![0, 1, 2]] {
        let store = Arc::new(scene.copy());
        for at in kept_back {
            store.delete(&ObjectName::new(ObjectKind::Snapshots, scene.ids()[at])).unwrap();
        }
        for choice in [keep_last(1), Choice::Named(vec!["latest".to_owned()])] {
            let error = forgets(&scene.lab.machine, &store, &choice, &World::at(4 * DAY)).unwrap_err();
            assert!(matches!(error, Error::Withheld { .. }), "{error}");
        }
        assert!(names(&store, ObjectKind::Forgotten).is_empty());
    }
}

#[test]
fn nobody_forgets_without_the_right_to() {
    let scene = Scene::new();
    let world = World::at(4 * DAY);
    for (rights, missing) in [(Rights::READ, Rights::FORGET), (Rights::FORGET, Rights::READ)] {
        let mut repository = scene.lab.machine.open(&scene.lab.store, &world).unwrap();
        Arc::get_mut(&mut repository.keyring).unwrap().rights = rights;
        let refused = plan(&repository, &keep_last(1), &Filter::default(), &world.cx());
        assert!(matches!(refused, Err(Error::NotPermitted { right }) if right == missing), "{refused:?}");
    }
}

/// A store that says by a clock of its own when snapshots were put: one after the other, an hour apart.
struct Dated {
    inner: Arc<MemoryStore>,
    order: Vec<SnapshotId>,
    first: jiff::Timestamp,
}

impl Store for Dated {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> std::result::Result<(), StoreError> {
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> std::result::Result<Vec<u8>, StoreError> {
        self.inner.get(name, range)
    }

    fn list(&self, kind: ObjectKind) -> std::result::Result<Vec<Listed>, StoreError> {
        let mut listed = self.inner.list(kind)?;
        for object in &mut listed {
            let place = self.order.iter().position(|id| *id == object.id.into());
            let hours = place.map(|place| jiff::SignedDuration::from_hours(place.try_into().unwrap()));
            object.modified = hours.map(|hours| self.first + hours);
        }
        Ok(listed)
    }

    fn delete(&self, name: &ObjectName) -> std::result::Result<(), StoreError> {
        self.inner.delete(name)
    }

    fn has_own_clock(&self) -> bool {
        true
    }
}

/// The snapshots of the second and third day were put an hour and two after that of the first: a clock ran ahead, and by
/// now their times have come. The one of the second day is not a day ahead of its upload.
#[test]
fn a_time_that_lay_ahead_of_the_upload_pushes_nothing_out_later_either() {
    let scene = Scene::new();
    let world = World::at(40 * DAY);
    let repository = scene.lab.machine.open(&scene.lab.store, &world).unwrap();
    let first = repository.snapshots(&world.cx()).unwrap()[0].header.time.to_jiff().unwrap();
    let dated = Arc::new(Dated { inner: Arc::clone(&scene.lab.store), order: scene.ids(), first });
    let groups = forgets(&scene.lab.machine, &dated, &keep_last(1), &world).unwrap();
    let reasons: Vec<String> =
        groups[0].kept().map(|(_, verdict)| verdict.reasons.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(reasons, ["last snapshot", "its time lies ahead"]);
    assert_eq!(left(&scene.lab.machine, &scene.lab.store), scene.ids()[1..]);
}
