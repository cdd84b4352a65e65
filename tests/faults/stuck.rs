//! A run that stands still for ever, because its server hangs or its process was stopped, is in nobody's way; and when it
//! goes on at last, it harms nobody.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use caddis::backup::Report;
use caddis::check::{self, Verdict, check};
use caddis::error::{Error, Result};
use caddis::id::SnapshotId;
use caddis::store::faulty::{Ending, Fault, FaultyStore, Operations};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, Store};

use crate::compare::Tree;
use crate::keys::{CHANGES, Change, KEYS, lab_with_two_keys, opening};
use crate::lab::{KEY, Lab, Machine, World, assert_same_tree, names, scratch};

type Stopping = FaultyStore<Arc<MemoryStore>>;

/// Lets the run go also when the test fails, so that it fails and does not hang.
struct LetGo<'a>(&'a Stopping);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.let_go(Ending::Failed);
    }
}

/// How often `run` asks the store.
fn operations<T>(store: &Arc<MemoryStore>, run: impl FnOnce(&Arc<Stopping>) -> Result<T>) -> u64 {
    let counting = Arc::new(FaultyStore::counting(Arc::new((**store).clone()), Operations::All));
    assert!(run(&counting).is_ok(), "nobody disturbs it");
    counting.operations()
}

/// Stops `run` at operation `at`; while it stands still, `meanwhile` happens. Answers how the run ended after that.
fn stopped<T: Send>(
    store: &Arc<MemoryStore>,
    (at, ending): (u64, Ending),
    run: impl FnOnce(&Arc<Stopping>) -> Result<T> + Send,
    meanwhile: impl FnOnce(),
) -> Result<T> {
    let stopping = Arc::new(FaultyStore::failing(Arc::clone(store), Operations::All, Fault::StopFrom, at));
    thread::scope(|scope| {
        let let_go = LetGo(&stopping);
        let run = scope.spawn(|| {
            let ended = run(&stopping);
            stopping.let_go(Ending::Failed);
            ended
        });
        assert!(stopping.wait_until_stopped(), "it stopped at operation {at}");
        meanwhile();
        assert!(!run.is_finished());
        stopping.let_go(ending);
        drop(let_go);
        run.join().unwrap()
    })
}

/// One snapshot of an old tree, a source that has changed since, and a machine that stops.
struct Scene {
    lab: Lab,
    stopped: Machine,
    old: SnapshotId,
    old_tree: Tree,
    new_tree: Tree,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        lab.write_old_tree();
        let old_tree = lab.tree();
        let old = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        lab.write_new_tree();
        let (stopped, new_tree) = (lab.machine("beta"), lab.tree());
        Self { lab, stopped, old, old_tree, new_tree }
    }

    fn stop_everywhere(&self, endings: &[Ending], rival: impl Fn(&Machine, &Path) -> Machine) {
        let operations = {
            let folder = scratch();
            let machine = self.stopped.copied_to(folder.path());
            operations(&self.lab.store, |store| machine.backup(store, &self.lab.source, &World::at(2)))
        };
        assert!(operations > 15, "there is something to stop: {operations}");
        for (at, &ending) in (0..operations).zip(endings.iter().cycle()) {
            let folder = scratch();
            let machine = self.stopped.copied_to(folder.path());
            self.stop(&machine, &rival(&machine, folder.path()), at, ending);
        }
    }

    fn stop(&self, machine: &Machine, rival: &Machine, at: u64, ending: Ending) {
        let context = format!("{ending:?} after standing at operation {at}");
        let store = Arc::new((*self.lab.store).clone());
        let run = |store: &Arc<Stopping>| machine.backup(store, &self.lab.source, &World::at(2));
        let mut saved = Vec::new();
        let ended: Result<Report> = stopped(&store, (at, ending), run, || {
            saved.push(rival.backup(&store, &self.lab.source, &World::at(3)).expect(&context).snapshot);
            self.assert_whole(rival, &store, &saved, &context);
        });
        assert!(ended.is_ok() || ending == Ending::Failed, "{context}: {ended:?}");
        saved.extend(ended.map(|report| report.snapshot));
        self.assert_whole(machine, &store, &saved, &context);
        saved.push(machine.backup(&store, &self.lab.source, &World::at(4)).expect(&context).snapshot);
        self.assert_whole(machine, &store, &saved, &context);
        assert!(names(&store, ObjectKind::Pending).is_empty(), "{context}");
    }

    /// Nothing is wrong, and all that was reported saved comes back.
    fn assert_whole(&self, machine: &Machine, store: &Arc<MemoryStore>, saved: &[SnapshotId], context: &str) {
        let found = machine.check(store);
        assert!(found.problems().is_empty(), "{context}: {:?}", found.problems());
        assert_same_tree(&self.old_tree, &machine.restored(store, self.old, &self.lab.source));
        for &id in saved {
            assert_same_tree(&self.new_tree, &machine.restored(store, id, &self.lab.source));
        }
    }
}

#[test]
fn a_backup_that_stands_still_keeps_no_other_machine_from_working_and_goes_on() {
    Scene::new().stop_everywhere(&[Ending::Done], |_, root| Machine::new(root, "gamma"));
}

#[test]
fn a_backup_that_stands_still_keeps_no_other_machine_from_working_and_fails() {
    Scene::new().stop_everywhere(&[Ending::Failed], |_, root| Machine::new(root, "gamma"));
}

#[test]
fn a_backup_that_stands_still_keeps_the_same_user_from_nothing() {
    Scene::new().stop_everywhere(&[Ending::Done, Ending::Failed], |machine, _| machine.clone());
}

#[test]
fn of_two_inits_at_once_one_makes_the_repository_and_the_other_is_told() {
    let lab = Lab::new();
    lab.write_old_tree();
    let empty = Arc::new(MemoryStore::new());
    let operations = operations(&empty, |store| lab.machine("counter").init(store));
    for at in 0..operations {
        let context = format!("the first stands at operation {at}");
        let folder = scratch();
        let [first, second] = ["alpha", "beta"].map(|host| Machine::new(folder.path(), host));
        let store = Arc::new(MemoryStore::new());
        let mut other = None;
        let ended =
            stopped(&store, (at, Ending::Done), |store| first.init(store), || other = Some(second.init(&store)));
        let (winner, loser) = match (ended, other.unwrap()) {
            (Ok(_), Err(told)) => (first, told),
            (Err(told), Ok(_)) => (second, told),
            both => panic!("{context}: {both:?}"),
        };
        assert!(matches!(loser, Error::RepositoryExists { .. }), "{context}: {loser}");
        let report = winner.backup(&store, &lab.source, &World::at(1)).expect(&context);
        assert_same_tree(&lab.tree(), &winner.restored(&store, report.snapshot, &lab.source));
        let found = winner.check(&store);
        assert!(found.problems().is_empty(), "{context}: {:?}", found.problems());
    }
}

/// One `init` stands at an operation; meanwhile another one begins, and is stopped for ever at an operation of its own. Then the
/// first goes on. Answers how many statements are left that are of no use.
fn init_beside_one_that_never_ends(first_at: u64, other_at: u64) -> usize {
    let context = format!("the first stands at operation {first_at}, the other for ever at {other_at}");
    let folder = scratch();
    let [first, other, fresh] = ["alpha", "beta", "fresh"].map(|host| Machine::new(folder.path(), host));
    let store = Arc::new(MemoryStore::new());
    let standing = Arc::new(FaultyStore::failing(store.clone(), Operations::All, Fault::StopFrom, other_at));
    thread::scope(|scope| {
        let let_go = LetGo(&standing);
        let begin_another = || {
            scope.spawn(|| {
                let _ = other.init(&standing);
                standing.let_go(Ending::Failed);
            });
            standing.wait_until_stopped();
        };
        let ended = stopped(&store, (first_at, Ending::Done), |store| first.init(store), begin_another);
        // The other one may have come first, with its last operations still before it.
        let is_told = matches!(ended, Err(Error::RepositoryExists { .. }));
        assert!(ended.is_ok() || is_told, "{context}: {ended:?}");
        let world = World::at(1);
        let repository = fresh.open(&store, &world).expect(&context);
        assert!(world.problems().is_empty(), "{context}: {:?}", world.problems());
        let report = check(&repository, &check::Options::default(), &world.cx()).expect(&context);
        assert_eq!(report.verdict(), Verdict::Sound, "{context}: {:?}", report.errors);
        assert_eq!(report.withheld, None, "{context}");
        let useful = repository.statements.len();
        let there = names(&store, ObjectKind::Charter).len();
        assert_eq!(report.leftovers.len(), there - useful, "{context}: {:?}", report.leftovers);
        drop(let_go);
        there - useful
    })
}

/// Of two inits at once, the one that comes second clears away what it has put. Killed before it could, it left statements that
/// every check called damage, for ever.
#[test]
fn what_an_init_leaves_that_was_killed_beside_another_one_is_no_damage() {
    let empty = Arc::new(MemoryStore::new());
    let machine = Lab::new().machine("counter");
    let operations = operations(&empty, |store| machine.init(store));
    let pairs = (0..operations).flat_map(|first_at| (0..operations).map(move |other_at| (first_at, other_at)));
    let left = pairs.map(|(first_at, other_at)| init_beside_one_that_never_ends(first_at, other_at)).max();
    assert_eq!(left, Some(3), "generation, bundle and access");
}

/// Whoever can put objects cannot make damage look like such a leftover.
#[test]
fn a_statement_that_is_damaged_or_gone_is_missed_whatever_lies_beside_it() {
    let lab = Lab::new();
    lab.write_old_tree();
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let foreign: Vec<_> =
        Lab::new().store.objects().into_iter().filter(|(name, _)| name.kind() == ObjectKind::Charter).collect();
    let whole = lab.store.objects();
    let world = World::at(2);
    let report = |store: &Arc<MemoryStore>| {
        let repository = lab.machine.copied_to(scratch().path()).open(store, &world).ok()?;
        Some(check(&repository, &check::Options::default(), &world.cx()).unwrap())
    };
    let mut named = 0;
    for name in names(&lab.store, ObjectKind::Charter) {
        for (of_another, _) in &foreign {
            let store = Arc::new((*lab.store).clone());
            foreign.iter().for_each(|(name, bytes)| store.put(name, bytes).unwrap());
            let beside = report(&store).unwrap();
            assert_eq!((beside.verdict(), beside.leftovers.len()), (Verdict::Sound, foreign.len()));
            // Its bytes under the name of an own statement are damage.
            let bytes = store.objects()[of_another].to_vec();
            assert!(store.corrupt(&name, |own| own.clone_from(&bytes)));
            if let Some(report) = report(&store) {
                assert!(report.errors.iter().any(|error| error.object == name), "{name}: {:?}", report.errors);
                named += 1;
            }
            // An own statement that is gone is missed as it would be without them.
            store.delete(&name).unwrap();
            let with = report(&store);
            foreign.iter().for_each(|(name, _)| store.delete(name).unwrap());
            let without = report(&store);
            let told = |report: Option<check::Report>| report.map(|report| (report.errors, report.withheld));
            assert_eq!(told(with), told(without), "{name}");
        }
    }
    assert!(named > 0, "some statements can be missing");
    assert_eq!(lab.store.objects(), whole);
}

/// Stops a change of keys at each of its operations, with another machine's backup meanwhile.
fn stop_a_change_of_keys(change: Change, done: &[u8], ending: Ending) {
    let lab = lab_with_two_keys();
    lab.write_old_tree();
    let run = |store: &Arc<Stopping>| change(&mut lab.machine.open(store, &World::at(3))?, &World::at(3));
    for at in 0..operations(&lab.store, run) {
        let context = format!("{ending:?} after standing at operation {at}");
        let store = Arc::new((*lab.store).clone());
        let other = lab.machine(&format!("other {at}"));
        let mut saved = Vec::new();
        let ended = stopped(&store, (at, ending), run, || {
            saved.push(other.backup(&store, &lab.source, &World::at(4)).expect(&context).snapshot);
            assert!(opening(&lab, &store).contains(&KEY), "{context}");
        });
        assert!(ended.is_ok() || ending == Ending::Failed, "{context}: {ended:?}");
        let opening = opening(&lab, &store);
        assert!(opening.contains(&KEY), "{context}: {opening:?}");
        assert!(ended.is_err() || opening == done, "{context}: it is done, but {opening:?}");
        let found = other.check(&store);
        assert!(found.problems().is_empty(), "{context}: {:?}", found.problems());
        assert_same_tree(&lab.tree(), &lab.machine.restored(&store, saved[0], &lab.source));
    }
}

#[test]
fn a_change_of_keys_that_stands_still_is_in_nobodys_way_and_goes_on() {
    CHANGES.iter().zip(KEYS).for_each(|(&change, done)| stop_a_change_of_keys(change, done, Ending::Done));
}

#[test]
fn a_change_of_keys_that_stands_still_is_in_nobodys_way_and_fails() {
    CHANGES.iter().zip(KEYS).for_each(|(&change, done)| stop_a_change_of_keys(change, done, Ending::Failed));
}
