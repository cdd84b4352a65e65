//! [`MemoryStore`]: objects in memory, for tests and for trying things out.
//!
//! Behaves as [`super::local::LocalStore`] does. A clone is an independent copy, so that a test can start from the same
//! state again and again; to look at a store from two sides, share it in an [`Arc`].

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};

type Objects = BTreeMap<ObjectName, Arc<[u8]>>;

/// Objects in memory.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<Objects>,
}

impl MemoryStore {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything in the store at this moment.
    pub fn objects(&self) -> BTreeMap<ObjectName, Arc<[u8]>> {
        self.lock().clone()
    }

    /// Changes the bytes of an object behind everybody's back; `false` if there is no such object.
    pub fn corrupt(&self, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut objects = self.lock();
        let Some(object) = objects.get_mut(name) else { return false };
        let mut bytes = object.to_vec();
        change(&mut bytes);
        *object = bytes.into();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        // No step under the lock leaves the map half changed.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self { objects: Mutex::new(self.objects()) }
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        let mut objects = self.lock();
        let other_config = |there: &Arc<[u8]>| name.kind() == ObjectKind::Config && there[..] != *bytes;
        if objects.get(name).is_some_and(other_config) {
            let reason = "there is another `config`, and it is never replaced";
            return Err(StoreError::Denied(io::Error::new(io::ErrorKind::AlreadyExists, reason)));
        }
        objects.insert(*name, bytes.into());
        Ok(())
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        let object = self.lock().get(name).cloned().ok_or(StoreError::Absent)?;
        let (offset, len) = range.within(object.len() as u64)?;
        let part = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        let (offset, len) = part.expect("both were checked against the length of a slice");
        Ok(object[offset..][..len].to_vec())
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        let objects = self.lock();
        let of_kind = objects.iter().filter(|(name, _)| name.kind() == kind);
        Ok(of_kind.map(|(name, bytes)| Listed { id: name.id(), bytes: bytes.len() as u64, modified: None }).collect())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.lock().remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;
    use crate::id::ObjectId;

    #[test]
    fn the_store_in_memory_keeps_the_contract() {
        contract::check_contract(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn a_clone_is_an_independent_copy() {
        let name = ObjectName::new(ObjectKind::Packs, ObjectId::of(b"pack"));
        let store = MemoryStore::new();
        store.put(&name, b"pack").unwrap();
        let copy = store.clone();
        store.delete(&name).unwrap();
        assert!(store.objects().is_empty());
        assert_eq!(copy.objects()[&name][..], *b"pack");
    }

    #[test]
    fn a_corrupted_object_is_got_as_it_is_and_healed_by_a_put() {
        let name = ObjectName::new(ObjectKind::Packs, ObjectId::of(b"pack"));
        let store = MemoryStore::new();
        assert!(!store.corrupt(&name, Vec::clear));
        store.put(&name, b"pack").unwrap();
        assert!(store.corrupt(&name, |bytes| bytes[0] ^= 1));
        assert_eq!(store.get(&name, ByteRange::Whole { limit: 4 }).unwrap(), b"qack");
        store.put(&name, b"pack").unwrap();
        assert_eq!(store.get(&name, ByteRange::Whole { limit: 4 }).unwrap(), b"pack");
    }
}
