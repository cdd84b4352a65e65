//! [`Findings`]: what is wrong, by object, as it is found by several threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Finding, Report, is_repairable};
use crate::error::Result;
use crate::format::name::TreePath;
use crate::id::SnapshotId;
use crate::repo::rollback::Withheld;
use crate::store::{ObjectKind, ObjectName};

/// Paths that are kept for each object: more than anybody reads.
const PATHS_MAX: usize = 1000;

/// Bytes of paths that are kept for all objects, so that a repository of which nothing is left can be checked, too.
const PATH_BYTES_MAX: usize = 16 << 20;

/// Collects what is wrong, and counts what was read.
#[derive(Default)]
pub(super) struct Findings {
    errors: Mutex<Errors>,
    snapshots: AtomicU64,
    packs: AtomicU64,
    packs_read: AtomicU64,
    bytes: AtomicU64,
}

/// What is wrong at some moment.
#[derive(Clone, Default)]
pub(super) struct Errors {
    by_object: BTreeMap<ObjectName, Error>,
    leftovers: BTreeSet<ObjectName>,
    path_bytes: usize,
}

#[derive(Clone)]
struct Error {
    what: String,
    snapshots: BTreeSet<SnapshotId>,
    paths: BTreeSet<Vec<u8>>,
    more_paths: u64,
    repairable: bool,
}

/// Something of a snapshot that cannot be restored as things are.
#[derive(Clone, Copy)]
pub(super) struct Loss<'a> {
    pub(super) snapshot: SnapshotId,
    pub(super) path: &'a TreePath,
    /// Whether a repair would bring it back.
    pub(super) repairable: bool,
}

impl Findings {
    /// Something is wrong with an object. Only the first thing is kept: others follow from it.
    pub(super) fn error(&self, object: ObjectName, what: String) {
        self.lock().entry(object, || what);
    }

    /// Whether nothing is wrong so far.
    pub(super) fn are_none(&self) -> bool {
        self.lock().by_object.is_empty()
    }

    /// Whether something is wrong with an object.
    pub(super) fn has(&self, object: ObjectName) -> bool {
        self.lock().by_object.contains_key(&object)
    }

    /// What is wrong so far.
    pub(super) fn errors(&self) -> Errors {
        self.lock().clone()
    }

    /// Goes back to what was wrong `before`, so that all trees can be walked again. What is said of `found` stays, but not what
    /// it costs.
    pub(super) fn go_back(&self, before: Errors, found: &[ObjectName]) {
        let mut errors = self.lock();
        let after = std::mem::replace(&mut *errors, before);
        for object in found {
            if let Some(error) = after.by_object.get(object) {
                errors.entry(*object, || error.what.clone());
            }
        }
    }

    /// Forgets what is wrong; answers of which objects it was said, so that they can be looked at again.
    pub(super) fn take_objects(&self) -> BTreeSet<ObjectName> {
        let mut errors = self.lock();
        errors.path_bytes = 0;
        std::mem::take(&mut errors.by_object).into_keys().collect()
    }

    /// An object is of another repository: nothing is wrong with this one.
    pub(super) fn leftover(&self, object: ObjectName) {
        self.lock().leftovers.insert(object);
    }

    /// What is wrong with an object costs something.
    pub(super) fn loss(&self, object: ObjectName, what: impl FnOnce() -> String, loss: Loss<'_>) {
        let mut errors = self.lock();
        let has_room = errors.path_bytes < PATH_BYTES_MAX;
        let error = errors.entry(object, what);
        error.repairable &= loss.repairable;
        error.snapshots.insert(loss.snapshot);
        let path = loss.path.absolute();
        if error.paths.contains(&path) {
            return;
        }
        if error.paths.len() < PATHS_MAX && has_room {
            let path_bytes = path.len();
            error.paths.insert(path);
            errors.path_bytes += path_bytes;
        } else {
            error.more_paths += 1;
        }
    }

    /// What was said of an object can be mended after all.
    pub(super) fn set_repairable(&self, object: ObjectName) {
        if let Some(error) = self.lock().by_object.get_mut(&object) {
            error.repairable = true;
        }
    }

    /// Objects of a kind with which something is wrong.
    pub(super) fn of_kind(&self, kind: ObjectKind) -> Vec<ObjectName> {
        self.lock().by_object.keys().filter(|object| object.kind() == kind).copied().collect()
    }

    /// So many bytes were read.
    pub(super) fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The trees of all snapshots are walked, perhaps not for the first time.
    pub(super) fn begin_walk(&self) {
        self.snapshots.store(0, Ordering::Relaxed);
    }

    /// The tree of a snapshot was walked.
    pub(super) fn walked(&self) {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
    }

    /// All packs are looked at, perhaps not for the first time.
    pub(super) fn begin_packs(&self) {
        self.packs.store(0, Ordering::Relaxed);
    }

    /// A pack was looked at.
    pub(super) fn looked_at_pack(&self) {
        self.packs.fetch_add(1, Ordering::Relaxed);
    }

    /// A pack was read whole.
    pub(super) fn read_pack(&self) {
        self.packs_read.fetch_add(1, Ordering::Relaxed);
    }

    /// What was found by the time at which a check came to its end, or to that of the user's patience.
    pub(super) fn into_report(self, ended: Result<Option<Withheld>>) -> Result<Report> {
        match ended {
            Ok(withheld) => Ok(Report { withheld, ..self.report() }),
            Err(crate::error::Error::Interrupted) => Ok(self.report().interrupted()),
            Err(error) => Err(error),
        }
    }

    fn report(self) -> Report {
        let errors = self.errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        Report {
            errors: errors.by_object.into_iter().map(|(object, error)| error.of(object)).collect(),
            leftovers: errors.leftovers.into_iter().collect(),
            snapshots: self.snapshots.into_inner(),
            packs: self.packs.into_inner(),
            packs_read: self.packs_read.into_inner(),
            bytes: self.bytes.into_inner(),
            withheld: None,
            proof: None,
            is_interrupted: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Errors {
    fn entry(&mut self, object: ObjectName, what: impl FnOnce() -> String) -> &mut Error {
        self.by_object.entry(object).or_insert_with(|| Error {
            what: what(),
            snapshots: BTreeSet::new(),
            paths: BTreeSet::new(),
            more_paths: 0,
            repairable: is_repairable(object.kind()),
        })
    }
}

impl Error {
    fn of(self, object: ObjectName) -> Finding {
        Finding {
            object,
            what: self.what,
            snapshots: self.snapshots.into_iter().collect(),
            paths: self.paths.into_iter().collect(),
            more_paths: self.more_paths,
            repairable: self.repairable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ObjectId;

    #[test]
    fn paths_are_bounded_and_the_rest_is_counted() {
        let findings = Findings::default();
        let pack = ObjectName::new(ObjectKind::Packs, ObjectId([1; 32]));
        for number in 0..PATHS_MAX + 5 {
            let path = TreePath::from_typed(format!("folder/{number}").as_bytes()).unwrap();
            // The same path in two snapshots stands there once.
            for snapshot in [SnapshotId([1; 32]), SnapshotId([2; 32])] {
                findings.loss(pack, || "gone".into(), Loss { snapshot, path: &path, repairable: false });
            }
        }
        let report = findings.into_report(Ok(None)).unwrap();
        let [error] = &report.errors[..] else { panic!("one object, one error: {}", report.errors.len()) };
        assert_eq!((error.paths.len(), error.more_paths), (PATHS_MAX, 10));
        assert_eq!(error.snapshots.len(), 2);
        assert!(!error.repairable);
    }

    #[test]
    fn a_second_walk_charges_what_the_first_did_and_what_was_found_between_them() {
        let [bad, worse] = [1, 2].map(|id| ObjectName::new(ObjectKind::Packs, ObjectId([id; 32])));
        let walk = |findings: &Findings, objects: &[ObjectName]| {
            for (object, number) in objects.iter().flat_map(|object| (0..PATHS_MAX + 5).map(move |n| (*object, n))) {
                let path = TreePath::from_typed(format!("folder/{number}").as_bytes()).unwrap();
                let loss = Loss { snapshot: SnapshotId([1; 32]), path: &path, repairable: false };
                findings.loss(object, || "as the walk says".into(), loss);
            }
        };
        let once = Findings::default();
        once.error(bad, "bad".into());
        once.error(worse, "worse".into());
        walk(&once, &[bad, worse]);
        let twice = Findings::default();
        twice.error(bad, "bad".into());
        let before = twice.errors();
        walk(&twice, &[bad]);
        twice.error(worse, "worse".into());
        twice.go_back(before, &[worse]);
        assert!(twice.has(bad) && twice.has(worse));
        walk(&twice, &[bad, worse]);
        let [once, twice] = [once, twice].map(|findings| findings.into_report(Ok(None)).unwrap().errors);
        assert_eq!(twice, once);
    }

    #[test]
    fn paths_of_all_objects_together_are_bounded() {
        let findings = Findings::default();
        let long = TreePath::from_typed(&vec![b'a'; 255]).unwrap();
        let deep = (0..15).fold(long.clone(), |path, _| path.join(&long.components().next().unwrap()));
        let packs = (0..6_u8).map(|number| ObjectName::new(ObjectKind::Packs, ObjectId([number; 32])));
        for pack in packs {
            for number in 0..PATHS_MAX {
                let path = deep.join(&crate::format::name::Name::new(number.to_string().into_bytes()).unwrap());
                let snapshot = SnapshotId([1; 32]);
                findings.loss(pack, String::new, Loss { snapshot, path: &path, repairable: true });
            }
        }
        let report = findings.into_report(Ok(None)).unwrap();
        let kept: usize = report.errors.iter().flat_map(|error| &error.paths).map(Vec::len).sum();
        assert!((PATH_BYTES_MAX..PATH_BYTES_MAX + 8192).contains(&kept), "{kept}");
        assert!(report.errors[5].more_paths > 0);
        assert!(report.errors.iter().all(|error| error.repairable));
    }
}
