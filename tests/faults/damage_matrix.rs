//! Every kind of object, damaged in every way: a check names the object and what it costs, and a restore on a machine that knows
//! nothing brings back the rest and no wrong byte.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use caddis::check::{self, Finding, ReadData, Report, Subset, Verdict, check, storage};
use caddis::error::Error;
use caddis::id::SnapshotId;
use caddis::progress::Progress;
use caddis::repo::Repository;
use caddis::repo::objects::Objects;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};

use crate::compare::{Tree, snapshot_of};
use crate::damage::{Scene, assert_no_wrong_bytes};
use crate::lab::{KEY, Lab, Machine, World, key_file, names, random_bytes, restore_to};
use crate::rounds::{place, rounds};

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Of a bit in the middle; in later rounds, of one somewhere.
    Flip(u32),
    Truncation,
    Zeroed,
    Deletion,
    /// The bytes of another object of the same kind.
    OfItsKind,
    /// The bytes of an object of the next kind.
    OfAnotherKind,
}

fn ways() -> impl Iterator<Item = Way> {
    let others = [Way::Truncation, Way::Zeroed, Way::Deletion, Way::OfItsKind, Way::OfAnotherKind];
    (0..rounds()).map(Way::Flip).chain(others)
}

/// What a check must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The repository does not open any more.
    NotOpened,
    /// The object is named, and something is lost.
    Damage,
    /// The object is named, and nothing is lost.
    Repairable,
    /// The object is named; something is lost exactly if a restore says so.
    AsRestored,
    /// The object is named, if the repository opens; something is lost exactly if a restore says so.
    OpenedOrNot,
    /// Other objects may be named in its place, or none, for this reason. What a restore lacks is found all the same.
    Unseen(&'static str),
}

/// The whole matrix. A kind or way that is new does not compile before somebody has thought of it.
fn expected(kind: ObjectKind, way: Way) -> Expected {
    use Expected::{AsRestored, Damage, NotOpened, OpenedOrNot, Repairable, Unseen};
    match (kind, way) {
        (ObjectKind::Config, _) => NotOpened,
        (ObjectKind::Charter, Way::Deletion) => Unseen(
            "a charter that lacks a statement is one that never had it; what needed it does not open or has no writer",
        ),
        (ObjectKind::Keys, Way::Deletion) => Unseen("that is how a slot is removed"),
        (ObjectKind::Index, Way::Deletion) => {
            Unseen("that is how a segment is superseded; packs that no other names and a snapshot needs are named")
        }
        (ObjectKind::Pending, Way::Deletion) => Unseen("that is how an announcement is withdrawn"),
        (ObjectKind::Snapshots, Way::Deletion) => Unseen(
            "only a machine that has seen the newest knows that it is gone; others are named by those after them",
        ),
        (ObjectKind::Forgotten, Way::Deletion) => {
            Unseen("that is what a prune does with the record of what it removed")
        }
        (ObjectKind::Gc, Way::Deletion) => Unseen("that is what a prune does with what a later record carries on"),
        (ObjectKind::Charter, _) => OpenedOrNot,
        (ObjectKind::Packs | ObjectKind::Trees, _) => AsRestored,
        (ObjectKind::Keys | ObjectKind::Index | ObjectKind::Pending | ObjectKind::Forgotten, _) => Repairable,
        (ObjectKind::Snapshots | ObjectKind::Gc, _) => Damage,
    }
}

/// What a machine that knows nothing finds.
struct Seen {
    /// Nothing if it does not open.
    report: Option<Report>,
    /// What a restore of each snapshot lacks; the root if it fails as a whole.
    lost: BTreeMap<SnapshotId, BTreeSet<Vec<u8>>>,
}

impl Way {
    fn spoil(self, store: &MemoryStore, name: &ObjectName, stranger: &[u8]) {
        let objects = store.objects();
        let of = |kind: ObjectKind| -> Vec<ObjectName> { names(store, kind).into_iter().collect() };
        let next = |all: &[ObjectName]| {
            let at = all.iter().position(|other| other == name).unwrap();
            objects[&all[(at + 1) % all.len()]].to_vec()
        };
        let spoil = |change: &dyn Fn(&mut Vec<u8>)| assert!(store.corrupt(name, |bytes| change(bytes)));
        match self {
            Self::Flip(round) => spoil(&|bytes| {
                let bit = match round {
                    0 => bytes.len() / 2 * 8 + 2,
                    round => place(&name.path(), round, bytes.len() * 8),
                };
                bytes[bit / 8] ^= 1 << (bit % 8);
            }),
            Self::Truncation => spoil(&|bytes| bytes.truncate(bytes.len() / 2)),
            Self::Zeroed => spoil(&|bytes| {
                let start = bytes.len().saturating_sub(512) / 2;
                let end = bytes.len().min(start + 512);
                bytes[start..end].fill(0);
            }),
            Self::Deletion => store.delete(name).unwrap(),
            Self::OfItsKind if name.kind() == ObjectKind::Config => spoil(&|bytes| *bytes = stranger.to_vec()),
            Self::OfItsKind => {
                let other = next(&of(name.kind()));
                spoil(&|bytes| bytes.clone_from(&other));
            }
            Self::OfAnotherKind => {
                let at = ObjectKind::ALL.iter().position(|kind| *kind == name.kind()).unwrap();
                let other = ObjectKind::ALL[(at + 1) % ObjectKind::ALL.len()];
                let other = objects[&of(other)[0]].to_vec();
                spoil(&|bytes| bytes.clone_from(&other));
            }
        }
    }
}

/// Opens with either key: damage to a slot is damage to one.
fn open(machine: &Machine, store: &Arc<MemoryStore>, world: &World) -> Option<Repository> {
    [key_file(KEY), key_file(KEY + 1)].iter().find_map(|key| machine.open_with(store, key, world).ok())
}

fn check_all(repository: &Repository) -> Report {
    let world = World::at(60);
    check(repository, &check::Options { read_data: ReadData::All }, &world.cx()).unwrap()
}

fn look(scene: &Scene, store: &Arc<MemoryStore>, name: &ObjectName) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let world = World::at(60);
    let repository = open(&Machine::new(folder.path(), "checks"), store, &world);
    let report = repository.as_ref().map(check_all);
    let Some(repository) = open(&Machine::new(folder.path(), "restores"), store, &world) else {
        assert!(report.is_none());
        return Seen { report, lost: BTreeMap::new() };
    };
    let mut lost = BTreeMap::new();
    for (id, tree) in &scene.snapshots {
        let target = folder.path().join(id.short());
        let lacks = match restore_to(&repository, *id, &scene.lab.source, &target, &World::at(61)) {
            Ok(problems) => {
                let restored = snapshot_of(&target);
                assert_no_wrong_bytes(name, tree, &restored, problems);
                let lacks = missing(scene, tree, &restored);
                // A problem with what is no item of its own, such as a table of hard links.
                if problems > 0 && lacks.is_empty() { BTreeSet::from([b"/".to_vec()]) } else { lacks }
            }
            Err(Error::NoSuchSnapshot { .. }) => BTreeSet::from([b"/".to_vec()]),
            Err(error) => {
                assert_ne!(error.exit_code(), 14, "{name}: {error}");
                BTreeSet::from([b"/".to_vec()])
            }
        };
        lost.insert(*id, lacks);
    }
    Seen { report, lost }
}

/// Absolute paths of what did not come back.
fn missing(scene: &Scene, tree: &Tree, restored: &Tree) -> BTreeSet<Vec<u8>> {
    let source = scene.lab.source.as_os_str().as_bytes();
    let absolute = |path: &Vec<u8>| if path.is_empty() { source.to_vec() } else { [source, b"/", path].concat() };
    tree.keys().filter(|path| !restored.contains_key(*path)).map(absolute).collect()
}

/// Whether a loss is said of the path or of a folder above it, or of something below.
fn is_covered(path: &[u8], errors: &[&Finding]) -> bool {
    let is_at = |named: &Vec<u8>| named == b"/" || path == named || path.starts_with(&[named, &b"/"[..]].concat());
    // A whole restore that failed is one in which the folder itself, or one above it, was lost.
    errors.iter().flat_map(|error| &error.paths).any(|named| is_at(named) || path == b"/")
}

/// What holds for each cell, whatever it is.
fn assert_told(cell: &str, seen: &Seen, report: &Report) {
    for (snapshot, lost) in &seen.lost {
        let charged: Vec<&Finding> = report.errors.iter().filter(|error| error.snapshots.contains(snapshot)).collect();
        for path in lost {
            let path_text = String::from_utf8_lossy(path);
            assert!(is_covered(path, &charged), "{cell}: {path_text} of {snapshot} is lost: {:?}", report.errors);
        }
        // What can be repaired without loss, a restore may lack until then; what is lost for good, it lacks.
        let is_lost = charged.iter().any(|error| !error.repairable);
        assert!(!is_lost || !lost.is_empty(), "{cell}: nothing of {snapshot} is lost: {:?}", report.errors);
    }
}

fn assert_cell(name: &ObjectName, way: Way, seen: &Seen) {
    let cell = format!("{name} {way:?}");
    let expected = expected(name.kind(), way);
    let Some(report) = &seen.report else {
        let may_stay_shut = matches!(expected, Expected::NotOpened | Expected::OpenedOrNot | Expected::Unseen(_));
        assert!(may_stay_shut && matches!(name.kind(), ObjectKind::Config | ObjectKind::Charter), "{cell}");
        return;
    };
    let named = report.errors.iter().find(|error| error.object == *name);
    let verdict = report.verdict();
    match expected {
        Expected::NotOpened => panic!("{cell}: it opens"),
        Expected::Unseen(_) => {}
        _ => assert!(named.is_some(), "{cell}: {:?}", report.errors),
    }
    let lacks = seen.lost.values().any(|lost| !lost.is_empty());
    match expected {
        Expected::Damage => assert_eq!(verdict, Verdict::Damaged, "{cell}"),
        Expected::Repairable => assert_eq!(verdict, Verdict::Repairable, "{cell}: {:?}", report.errors),
        Expected::AsRestored | Expected::OpenedOrNot => {
            let wanted = if lacks { Verdict::Damaged } else { Verdict::Repairable };
            assert_eq!(verdict, wanted, "{cell}: {:?}, lost {:?}", report.errors, seen.lost);
        }
        // A snapshot that is gone is missed by nobody but who knows of it.
        Expected::Unseen(_) if name.kind() == ObjectKind::Snapshots => return,
        Expected::NotOpened | Expected::Unseen(_) => {}
    }
    assert_told(&cell, seen, report);
}

fn walk_the_matrix(kinds: &[ObjectKind]) {
    let scene = Scene::new();
    let stranger = Lab::new().store.objects()[&ObjectName::CONFIG].to_vec();
    for &kind in kinds {
        for name in names(&scene.lab.store, kind) {
            for way in ways() {
                let store = Arc::new((*scene.lab.store).clone());
                way.spoil(&store, &name, &stranger);
                assert_ne!(store.objects().get(&name), scene.lab.store.objects().get(&name), "{name} {way:?}");
                assert_cell(&name, way, &look(&scene, &store, &name));
            }
        }
    }
}

/// Two halves, so that two cores walk them.
#[test]
fn each_damage_to_each_pack_is_named_with_what_it_costs() {
    walk_the_matrix(&[ObjectKind::Packs, ObjectKind::Trees]);
}

#[test]
fn each_damage_to_each_small_object_is_named_with_what_it_costs() {
    let is_small = |kind: &ObjectKind| !matches!(kind, ObjectKind::Packs | ObjectKind::Trees);
    walk_the_matrix(&ObjectKind::ALL.into_iter().filter(is_small).collect::<Vec<_>>());
}

/// Without a key there is less to be said, but nothing passes unseen that is not gone.
#[test]
fn each_damage_but_deletion_is_named_without_a_key() {
    let scene = Scene::new();
    let other = Lab::new().store.objects()[&ObjectName::CONFIG].to_vec();
    for name in scene.lab.store.objects().into_keys() {
        for way in ways().filter(|way| *way != Way::Deletion) {
            let store = Arc::new((*scene.lab.store).clone());
            way.spoil(&store, &name, &other);
            let world = World::at(60);
            let report = storage::check(&Objects::new(store), &world.cx()).unwrap();
            let named: Vec<ObjectName> = report.errors.iter().map(|error| error.object).collect();
            // A whole config of another repository is one: only who knows the id could tell.
            let is_whole_config = name == ObjectName::CONFIG && way == Way::OfItsKind;
            assert_eq!(named, if is_whole_config { vec![] } else { vec![name] }, "{way:?}");
            let is_announced = name.kind() == ObjectKind::Pending;
            let damaged = if is_announced { Verdict::Repairable } else { Verdict::Damaged };
            assert_eq!(report.verdict(), if is_whole_config { Verdict::Sound } else { damaged }, "{name}");
        }
    }
    let report = storage::check(&Objects::new(scene.lab.store.clone()), &World::at(60).cx()).unwrap();
    assert_eq!(report.verdict(), Verdict::Sound);
    assert_eq!(report.bytes, scene.lab.store.objects().values().map(|bytes| bytes.len() as u64).sum::<u64>());
    scene.lab.store.delete(&ObjectName::CONFIG).unwrap();
    let report = storage::check(&Objects::new(scene.lab.store.clone()), &World::at(60).cx()).unwrap();
    assert_eq!(report.errors[0].object, ObjectName::CONFIG);
}

/// All of the index is made anew from the packs, so that nothing is lost with it.
#[test]
fn without_any_index_packs_are_named_and_all_is_repairable() {
    let scene = Scene::new();
    let store = &scene.lab.store;
    names(store, ObjectKind::Index).iter().for_each(|name| store.delete(name).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let world = World::at(60);
    let repository = open(&Machine::new(folder.path(), "new"), store, &world).unwrap();
    let report = check_all(&repository);
    assert_eq!(report.verdict(), Verdict::Repairable, "{:?}", report.errors);
    let packs: BTreeSet<ObjectName> =
        [ObjectKind::Packs, ObjectKind::Trees].into_iter().flat_map(|kind| names(store, kind)).collect();
    let named: BTreeSet<ObjectName> = report.errors.iter().map(|error| error.object).collect();
    assert!(named.is_subset(&packs) && named.len() >= 2, "{named:?}");
    let snapshots: BTreeSet<SnapshotId> = report.errors.iter().flat_map(|error| error.snapshots.clone()).collect();
    assert_eq!(snapshots, scene.snapshots.iter().map(|(id, _)| *id).collect());
    let kept = scene.lab.source.join("kept").as_os_str().as_bytes().to_vec();
    assert!(report.errors.iter().any(|error| error.paths.contains(&kept)), "{:?}", report.errors);
    // With a pack gone besides, what it held is lost all the same.
    let pack = *report.errors.iter().map(|error| &error.object).find(|name| name.kind() == ObjectKind::Packs).unwrap();
    store.delete(&pack).unwrap();
    let report = check_all(&open(&Machine::new(folder.path(), "other"), store, &world).unwrap());
    assert_eq!(report.verdict(), Verdict::Damaged);
    let lost: Vec<_> = report.errors.iter().filter(|error| !error.repairable).collect();
    assert!(
        lost.iter().all(|error| error.object.kind() == ObjectKind::Snapshots && !error.paths.is_empty()),
        "{lost:?}"
    );
}

/// A file of its own chunks, stored twice: by a machine that saw no index in between.
#[test]
fn a_pack_whose_chunks_another_pack_holds_costs_nothing() {
    let lab = Lab::new();
    lab.write("file", &random_bytes("file", 300_000));
    let id = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let first_packs = names(&lab.store, ObjectKind::Packs);
    let segments: Vec<_> =
        lab.store.objects().into_iter().filter(|(name, _)| name.kind() == ObjectKind::Index).collect();
    segments.iter().for_each(|(name, _)| lab.store.delete(name).unwrap());
    lab.machine("other").backup(&lab.store, &lab.source, &World::at(2)).unwrap();
    segments.iter().for_each(|(name, bytes)| lab.store.put(name, bytes).unwrap());
    assert!(lab.machine.check(&lab.store).problems().is_empty());
    let world = World::at(3);
    for pack in &first_packs {
        assert!(lab.store.corrupt(pack, |bytes| (500..bytes.len()).step_by(100).for_each(|at| bytes[at] ^= 1)));
        let report = check_all(&lab.machine.open(&lab.store, &world).unwrap());
        assert_eq!(report.verdict(), Verdict::Repairable, "{:?}", report.errors);
        assert_eq!(report.errors[0].object, *pack);
        assert!(report.errors[0].snapshots.is_empty());
    }
    assert_eq!(lab.machine.restored(&lab.store, id, &lab.source), lab.tree());
    // When the second copy goes as well, the file goes.
    for pack in names(&lab.store, ObjectKind::Packs).difference(&first_packs) {
        lab.store.delete(pack).unwrap();
    }
    let report = check_all(&lab.machine.open(&lab.store, &world).unwrap());
    assert_eq!(report.verdict(), Verdict::Damaged);
    let path = lab.source.join("file").as_os_str().as_bytes().to_vec();
    assert!(report.errors.iter().all(|error| error.paths == [path.clone()] && error.snapshots.len() == 2));
}

/// What lies in the middle of a pack is seen only by who reads it; the rest of it by everybody.
#[test]
fn a_check_reads_of_packs_what_it_was_asked_to() {
    let lab = Lab::new();
    for number in 0..4 {
        lab.write(&format!("{number}"), &random_bytes(&number.to_string(), 1 << 20));
    }
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let world = World::at(2);
    let run = |read_data| {
        let repository = lab.machine.open(&lab.store, &world).unwrap();
        check(&repository, &check::Options { read_data }, &world.cx()).unwrap()
    };
    let packs = names(&lab.store, ObjectKind::Packs).len() + names(&lab.store, ObjectKind::Trees).len();
    let (little, all) = (run(ReadData::Suspects), run(ReadData::All));
    assert_eq!((little.packs_read, all.packs_read), (0, packs as u64));
    assert!(little.bytes * 4 < all.bytes, "{} of {}", little.bytes, all.bytes);
    let parts: Vec<Report> = (1..=3).map(|number| run(ReadData::Subset(Subset::Part { number, of: 3 }))).collect();
    assert_eq!(parts.iter().map(|part| part.packs_read).sum::<u64>(), packs as u64);

    let pack = *names(&lab.store, ObjectKind::Packs).first().unwrap();
    let whole = lab.store.objects()[&pack].clone();
    assert!(lab.store.corrupt(&pack, |bytes| bytes[5000] ^= 1));
    assert_eq!(run(ReadData::Suspects).verdict(), Verdict::Sound);
    assert_eq!(run(ReadData::All).verdict(), Verdict::Damaged);
    let found =
        (1..=3).filter(|&number| run(ReadData::Subset(Subset::Part { number, of: 3 })).verdict() == Verdict::Damaged);
    assert_eq!(found.count(), 1, "in exactly one of the parts");

    // Header and directory are enough to be suspected, and a suspect is read whole: its blocks are whole.
    lab.store.put(&pack, &whole).unwrap();
    let places: [fn(usize) -> usize; 3] = [|_| 60, |len| len - 5, |len| len - 60];
    for place in places {
        assert!(lab.store.corrupt(&pack, |bytes| {
            let at = place(bytes.len());
            bytes[at] ^= 1;
        }));
        let report = run(ReadData::Suspects);
        assert_eq!((report.verdict(), report.packs_read), (Verdict::Repairable, 1), "{:?}", report.errors);
        lab.store.put(&pack, &whole).unwrap();
    }
}

/// Keeps the paths that are looked at.
#[derive(Default)]
struct Walked(Mutex<Vec<Vec<u8>>>);

impl Progress for Walked {
    fn current(&self, path: &[u8]) {
        self.0.lock().unwrap().push(path.to_vec());
    }
}

#[test]
fn a_folder_that_snapshots_share_is_walked_once() {
    let lab = Lab::new();
    lab.write("same/file", b"as ever");
    lab.write("other/file", b"as it was");
    for secs in 1..=3 {
        lab.write("other/file", format!("written {secs} times").as_bytes());
        lab.machine.backup(&lab.store, &lab.source, &World::at(secs)).unwrap();
    }
    let (world, walked) = (World::at(9), Walked::default());
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let report = check(&repository, &check::Options::default(), &world.heard_by(&walked)).unwrap();
    assert_eq!((report.verdict(), report.snapshots), (Verdict::Sound, 3));
    let looks_at = |path: &[u8]| walked.0.lock().unwrap().iter().filter(|other| other.ends_with(path)).count();
    assert_eq!((looks_at(b"/same/file"), looks_at(b"/other/file")), (1, 3));
}

/// Puts an end to a check when it looks at one thing after so many others.
struct Impatient<'a> {
    world: &'a World,
    patience: AtomicUsize,
}

impl Progress for Impatient<'_> {
    fn current(&self, _: &[u8]) {
        if self.patience.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.world.cancel.cancel();
        }
    }
}

#[test]
fn a_check_that_is_interrupted_anywhere_reports_what_it_has_found() {
    let scene = Scene::new();
    let store = &scene.lab.store;
    let segment = *names(store, ObjectKind::Index).first().unwrap();
    let pack = *names(store, ObjectKind::Packs).first().unwrap();
    assert!(store.corrupt(&segment, |bytes| bytes[100] ^= 1));
    store.delete(&pack).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let whole = check_all(&open(&Machine::new(folder.path(), "patient"), store, &World::at(60)).unwrap());
    let found_of = |report: &Report| report.errors.iter().map(|error| error.object).collect::<BTreeSet<_>>();
    assert!(found_of(&whole).contains(&segment) && !whole.is_interrupted);
    let mut found = BTreeSet::new();
    for patience in 1.. {
        let world = World::at(60);
        let repository = open(&Machine::new(folder.path(), "impatient"), store, &world).unwrap();
        let impatient = Impatient { world: &world, patience: AtomicUsize::new(patience) };
        let options = check::Options { read_data: ReadData::All };
        let report = check(&repository, &options, &world.heard_by(&impatient)).unwrap();
        if !report.is_interrupted {
            assert_eq!(report.errors, whole.errors);
            break;
        }
        assert!(found_of(&report).is_subset(&found_of(&whole)), "after {patience}: {:?}", report.errors);
        assert!(report.snapshots <= whole.snapshots && report.packs <= whole.packs);
        let is_pack = |kind| matches!(kind, ObjectKind::Packs | ObjectKind::Trees);
        let unsettled = report.errors.iter().filter(|error| is_pack(error.object.kind()));
        assert!(unsettled.clone().all(|error| !error.repairable), "what it costs is not known yet");
        found.extend(found_of(&report));
    }
    assert_eq!(found, found_of(&whole), "whatever there is, is found before the end");
}
