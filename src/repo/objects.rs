//! [`Objects`]: a store whose answers are checked and whose errors name object and place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::store::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};

/// The objects of one repository.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn Store>,
    /// One count for all clones.
    requests: Arc<AtomicU64>,
}

impl Objects {
    /// The objects in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, requests: Arc::default() }
    }

    /// How often the store was asked for anything, by this value and all its clones. A listing counts once, and whatever the
    /// store repeats by itself is not known here.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The store, for one request.
    fn ask(&self) -> &dyn Store {
        self.requests.fetch_add(1, Ordering::Relaxed);
        &*self.store
    }

    /// Where they are, for messages.
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// Stores bytes under the name that their hash gives, and answers that name.
    pub fn put(&self, kind: ObjectKind, bytes: &[u8]) -> Result<ObjectName> {
        let name = ObjectName::new(kind, ObjectId::of(bytes));
        self.ask().put(&name, bytes).map_err(|source| self.error("store", name, source))?;
        Ok(name)
    }

    /// The whole object, proved by its hash. `config` has no such proof; its signature is checked by whoever decodes it.
    pub fn get(&self, name: ObjectName, limit: u64) -> Result<Vec<u8>> {
        let bytes =
            self.ask().get(&name, ByteRange::Whole { limit }).map_err(|source| self.error("read", name, source))?;
        if name != ObjectName::CONFIG && ObjectId::of(&bytes) != name.id() {
            return Err(Error::WrongHash { object: name });
        }
        Ok(bytes)
    }

    /// Like [`Self::get`], but nothing when there is no such object.
    pub fn get_if_present(&self, name: ObjectName, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.get(name, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Store { source: StoreError::Absent, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Part of an object; proved by nothing but what is sealed in it.
    pub fn get_range(&self, name: ObjectName, range: ByteRange) -> Result<Vec<u8>> {
        self.ask().get(&name, range).map_err(|source| self.error("read", name, source))
    }

    /// Whether listings tell by a clock of their own when objects were put.
    pub fn has_own_clock(&self) -> bool {
        self.store.has_own_clock()
    }

    /// Every object of a kind, or an error.
    pub fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>> {
        self.ask().list(kind).map_err(|source| Error::List { kind, location: self.location(), source })
    }

    /// Removes an object; one that is not there is success.
    pub fn delete(&self, name: ObjectName) -> Result<()> {
        self.ask().delete(&name).map_err(|source| self.error("delete", name, source))
    }

    /// Objects were deleted: the store may keep something back again.
    pub fn space_was_freed(&self) {
        self.store.space_was_freed();
    }

    /// Stores `config`, which exists once.
    pub fn put_config(&self, bytes: &[u8]) -> Result<()> {
        let name = ObjectName::CONFIG;
        match self.ask().put(&name, bytes) {
            Ok(()) => Ok(()),
            Err(StoreError::Denied(_)) if self.ask().get(&name, ByteRange::At { offset: 0, len: 1 }).is_ok() => {
                Err(Error::RepositoryExists { location: self.location() })
            }
            Err(source) => Err(self.error("store", name, source)),
        }
    }

    fn error(&self, action: &'static str, object: ObjectName, source: StoreError) -> Error {
        Error::Store { action, object, location: self.location(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[test]
    fn every_request_counts_whatever_comes_of_it_and_whichever_clone_makes_it() {
        let objects = Objects::new(Arc::new(MemoryStore::new()));
        let clone = objects.clone();
        let name = clone.put(ObjectKind::Index, b"bytes").unwrap();
        assert_eq!(objects.requests(), 1);
        assert_eq!(objects.get(name, 10).unwrap(), b"bytes");
        assert_eq!(clone.get_range(name, ByteRange::Last { len: 2 }).unwrap(), b"es");
        assert_eq!(objects.list(ObjectKind::Index).unwrap().len(), 1);
        objects.delete(name).unwrap();
        assert_eq!(objects.get_if_present(name, 10).unwrap(), None);
        assert_eq!((objects.requests(), clone.requests()), (6, 6));
        // A second `config` is refused, and looked at to tell why.
        objects.put_config(b"config").unwrap();
        assert!(matches!(objects.put_config(b"other"), Err(Error::RepositoryExists { .. })));
        assert_eq!(objects.requests(), 9);
    }
}
