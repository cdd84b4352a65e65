//! What was promised, and whether it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use caddis::format::index::ShortId;
use caddis::id::{PackId, SnapshotId};
use caddis::repo::fetch::Reader;
use caddis::store::ObjectKind;
use caddis::store::memory::MemoryStore;
use caddis::tree::closure::for_each_needed;

use crate::compare::Tree;
use crate::lab::{Machine, World, assert_same_tree, names};
use crate::pruning::{all_goes, assert_no_garbage, prunes};

/// A snapshot that was reported saved.
#[derive(Clone)]
struct Promise {
    source: PathBuf,
    tree: Tree,
}

/// All that was promised to anybody.
pub(crate) struct Ledger {
    store: Arc<MemoryStore>,
    /// Who looks without taking a turn.
    observer: Mutex<Machine>,
    saved: Mutex<BTreeMap<SnapshotId, Promise>>,
}

impl Ledger {
    pub(crate) fn new(observer: Machine, store: Arc<MemoryStore>) -> Self {
        Self { store, observer: Mutex::new(observer), saved: Mutex::default() }
    }

    /// A backup has reported this.
    pub(crate) fn saved(&self, id: SnapshotId, source: &Path, tree: Tree) {
        self.saved.lock().unwrap().insert(id, Promise { source: source.to_owned(), tree });
    }

    /// Somebody is about to forget it: from now on nothing is promised.
    pub(crate) fn is_being_forgotten(&self, id: SnapshotId) {
        self.saved.lock().unwrap().remove(&id);
    }

    pub(crate) fn ids(&self) -> Vec<SnapshotId> {
        self.saved.lock().unwrap().keys().copied().collect()
    }

    fn is_promised(&self, id: SnapshotId) -> bool {
        self.saved.lock().unwrap().contains_key(&id)
    }

    /// What was saved in `source`, if it is still promised.
    pub(crate) fn promise(&self, id: SnapshotId) -> Option<(PathBuf, Tree)> {
        let promise = self.saved.lock().unwrap().get(&id).cloned()?;
        Some((promise.source, promise.tree))
    }

    /// Everything that every promised snapshot needs is there at this moment.
    pub(crate) fn assert_kept(&self, context: &str) {
        let observer = self.observer.lock().unwrap();
        let promised = self.ids();
        let store = Arc::new((*self.store).clone());
        // What was forgotten before the copy was made may lack something in it.
        let promised: Vec<SnapshotId> = promised.into_iter().filter(|id| self.is_promised(*id)).collect();
        let world = World::settled_at(0);
        let cx = world.cx();
        let repository = observer.open(&store, &world).unwrap();
        let listed = repository.snapshots(&cx).unwrap();
        let view = repository.look(&cx).unwrap();
        let packs: BTreeSet<PackId> = [ObjectKind::Packs, ObjectKind::Trees]
            .into_iter()
            .flat_map(|kind| names(&store, kind))
            .map(|name| name.id().into())
            .collect();
        let reader = Reader::open(&repository, &cx).unwrap();
        let mut met = BTreeSet::new();
        for id in promised {
            let snapshot = listed.iter().find(|snapshot| snapshot.id == id);
            let snapshot = snapshot.unwrap_or_else(|| panic!("{context}: {id} is gone"));
            for_each_needed(&reader, &snapshot.body, cx.cancel, &mut |needed| {
                let short = ShortId::from(needed.id);
                let found = view.index.lookup(&short, &|pack| packs.contains(pack)).unwrap();
                assert!(
                    found.is_some(),
                    "{context}: {id} needs {} of kind {:?}, which is gone",
                    needed.id,
                    needed.kind
                );
                Ok(met.insert(short))
            })
            .unwrap_or_else(|error| panic!("{context}: {id}: {error}"));
        }
    }

    /// Nobody does anything any more, and everybody has settled what they had begun.
    pub(crate) fn assert_quiet(&self) {
        let observer = self.observer.lock().unwrap();
        prunes(&observer, &self.store, &all_goes(), &World::settled_at(0)).unwrap();
        let found = observer.check(&self.store);
        assert!(found.problems().is_empty(), "{:?}", found.problems());
        let listed: BTreeSet<SnapshotId> = observer.snapshots(&self.store).iter().map(|snapshot| snapshot.id).collect();
        for (id, promise) in self.saved.lock().unwrap().iter() {
            assert!(listed.contains(id), "{id} is gone");
            assert_same_tree(&promise.tree, &observer.restored(&self.store, *id, &promise.source));
        }
        assert_no_garbage(&observer, &self.store, &listed, "when all is quiet");
    }
}
