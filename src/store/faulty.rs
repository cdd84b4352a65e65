//! Stores around a store, for tests: [`FaultyStore`] fails where it is told to, [`CountingStore`] counts the work, and
//! [`HookStore`] lets something happen at an exact moment.
//!
//! They are part of the library so that every test of this crate and of others can cut a run at each of its steps. None
//! of them holds a lock while the store inside works, so they may be stacked and shared.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};

/// One operation on a store, as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// An object is about to be put.
    Put(&'a ObjectName),
    /// An object, or a part of it, is about to be got.
    Get(&'a ObjectName),
    /// The objects of a kind are about to be listed.
    List(ObjectKind),
    /// An object is about to be deleted.
    Delete(&'a ObjectName),
}

impl Call<'_> {
    /// The kind of object that is concerned.
    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Put(name) | Self::Get(name) | Self::Delete(name) => name.kind(),
            Self::List(kind) => *kind,
        }
    }
}

/// Which operations a [`FaultyStore`] counts, and so can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operations {
    /// Every one.
    All,
    /// Puts alone.
    Puts,
    /// Puts and deletes: whatever changes the store.
    Changes,
}

impl Operations {
    fn include(self, call: Call<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Puts => matches!(call, Call::Put(_)),
            Self::Changes => matches!(call, Call::Put(_) | Call::Delete(_)),
        }
    }
}

/// How a [`FaultyStore`] fails. All of these are [`StoreError::Unreachable`] to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One operation fails without effect, and all later ones work.
    FailOnce,
    /// One operation and all counted ones after it fail without effect, as after a cut.
    FailFrom,
    /// A put leaves the first half of the object under its name and fails, as a store without atomic puts may. Other
    /// operations fail as in `FailOnce`.
    TearPut,
    /// A put or delete is done, but its answer is lost. Other operations fail as in `FailOnce`.
    LosePutAnswer,
    /// One operation and all counted ones after it do not return, as with a server that hangs or a process that is stopped,
    /// until [`FaultyStore::let_go`] says how they end.
    StopFrom,
}

/// How operations end that were stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// They take place at last, and so do all later ones.
    Done,
    /// They fail without effect, and so do all later ones.
    Failed,
}

/// Where operations wait that were stopped.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_reached: bool,
    ending: Option<Ending>,
}

impl Gate {
    fn change(&self, change: impl FnOnce(&mut GateState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl FnMut(&mut GateState) -> bool) -> MutexGuard<'_, GateState> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Does not return before it is said how.
    fn pass(&self) -> Option<Ending> {
        self.change(|state| state.is_reached = true);
        self.wait_while(|state| state.ending.is_none()).ending
    }
}

/// A store that fails at an operation chosen beforehand.
///
/// A test first counts the operations of a run with [`FaultyStore::counting`], and then cuts the run at each of them.
pub struct FaultyStore<S> {
    inner: S,
    counted: Operations,
    plan: Option<(Fault, u64)>,
    operations: AtomicU64,
    gate: Gate,
}

impl<S> FaultyStore<S> {
    /// Fails with `fault` at the counted operation number `at`, from 0.
    pub fn failing(inner: S, counted: Operations, fault: Fault, at: u64) -> Self {
        Self { inner, counted, plan: Some((fault, at)), operations: AtomicU64::new(0), gate: Gate::default() }
    }

    /// Never fails; for the run that counts.
    pub fn counting(inner: S, counted: Operations) -> Self {
        Self { inner, counted, plan: None, operations: AtomicU64::new(0), gate: Gate::default() }
    }

    /// How many counted operations were begun so far, failed ones among them.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::SeqCst)
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Waits until an operation was stopped; `false` if [`FaultyStore::let_go`] came first.
    pub fn wait_until_stopped(&self) -> bool {
        self.gate.wait_while(|state| !state.is_reached && state.ending.is_none()).is_reached
    }

    /// Ends what was stopped and what would have been. Only the first word counts.
    pub fn let_go(&self, ending: Ending) {
        self.gate.change(|state| {
            state.ending.get_or_insert(ending);
        });
    }

    /// The fault that strikes this call, if any, after counting it.
    fn fault_at(&self, call: Call<'_>) -> Option<Fault> {
        if !self.counted.include(call) {
            return None;
        }
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        let (fault, at) = self.plan?;
        match fault {
            Fault::StopFrom if number >= at && self.gate.pass() == Some(Ending::Done) => None,
            Fault::FailFrom | Fault::StopFrom => (number >= at).then_some(Fault::FailFrom),
            Fault::FailOnce | Fault::TearPut | Fault::LosePutAnswer => (number == at).then_some(fault),
        }
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        match self.fault_at(Call::Put(name)) {
            None => return self.inner.put(name, bytes),
            Some(Fault::FailOnce | Fault::FailFrom | Fault::StopFrom) => {}
            Some(Fault::TearPut) => self.inner.put(name, &bytes[..bytes.len() / 2])?,
            Some(Fault::LosePutAnswer) => self.inner.put(name, bytes)?,
        }
        Err(injected())
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        match self.fault_at(Call::Get(name)) {
            None => self.inner.get(name, range),
            Some(_) => Err(injected()),
        }
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        match self.fault_at(Call::List(kind)) {
            None => self.inner.list(kind),
            Some(_) => Err(injected()),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        match self.fault_at(Call::Delete(name)) {
            None => return self.inner.delete(name),
            Some(Fault::FailOnce | Fault::FailFrom | Fault::TearPut | Fault::StopFrom) => {}
            Some(Fault::LosePutAnswer) => self.inner.delete(name)?,
        }
        Err(injected())
    }

    fn has_own_clock(&self) -> bool {
        self.inner.has_own_clock()
    }
}

fn injected() -> StoreError {
    StoreError::Unreachable(io::Error::other("this fault was asked for by a test"))
}

/// How much work a store was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Puts begun.
    pub puts: u64,
    /// Gets begun.
    pub gets: u64,
    /// Listings begun.
    pub lists: u64,
    /// Deletes begun.
    pub deletes: u64,
    /// Bytes of the puts that succeeded.
    pub put_bytes: u64,
    /// Bytes of the gets that succeeded.
    pub got_bytes: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.puts += other.puts;
        self.gets += other.gets;
        self.lists += other.lists;
        self.deletes += other.deletes;
        self.put_bytes += other.put_bytes;
        self.got_bytes += other.got_bytes;
    }
}

/// A store that counts what is asked of it.
pub struct CountingStore<S> {
    inner: S,
    counts: Mutex<BTreeMap<ObjectKind, Counts>>,
}

impl<S> CountingStore<S> {
    /// Counts from zero.
    pub fn new(inner: S) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// The work so far on objects of every kind together.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.with_counts(|counts| counts.values().for_each(|&of_kind| sum += of_kind));
        sum
    }

    /// The work so far on objects of one kind.
    pub fn counts_of(&self, kind: ObjectKind) -> Counts {
        self.with_counts(|counts| counts.get(&kind).copied().unwrap_or_default())
    }

    /// Starts again from zero.
    pub fn reset(&self) {
        self.with_counts(BTreeMap::clear);
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn with_counts<T>(&self, work: impl FnOnce(&mut BTreeMap<ObjectKind, Counts>) -> T) -> T {
        work(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count(&self, kind: ObjectKind, more: Counts) {
        self.with_counts(|counts| *counts.entry(kind).or_default() += more);
    }
}

impl<S: Store> Store for CountingStore<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.count(name.kind(), Counts { puts: 1, ..Counts::default() });
        self.inner.put(name, bytes)?;
        self.count(name.kind(), Counts { put_bytes: bytes.len() as u64, ..Counts::default() });
        Ok(())
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        self.count(name.kind(), Counts { gets: 1, ..Counts::default() });
        let bytes = self.inner.get(name, range)?;
        self.count(name.kind(), Counts { got_bytes: bytes.len() as u64, ..Counts::default() });
        Ok(bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        self.count(kind, Counts { lists: 1, ..Counts::default() });
        self.inner.list(kind)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.count(name.kind(), Counts { deletes: 1, ..Counts::default() });
        self.inner.delete(name)
    }

    fn has_own_clock(&self) -> bool {
        self.inner.has_own_clock()
    }
}

/// A store that calls a closure before each operation.
///
/// The closure may use the store inside (share it in an [`std::sync::Arc`]), for example to slip in a record of a prune
/// between two steps of a backup. An error that it returns is the operation's, which then does not take place: that makes
/// a store that permits no deletes, or one that fails at one name.
pub struct HookStore<S, F> {
    inner: S,
    hook: F,
}

impl<S, F: Fn(Call<'_>) -> Result<(), StoreError> + Send + Sync> HookStore<S, F> {
    /// Calls `hook` before each operation on `inner`.
    pub fn new(inner: S, hook: F) -> Self {
        Self { inner, hook }
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Store, F: Fn(Call<'_>) -> Result<(), StoreError> + Send + Sync> Store for HookStore<S, F> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        (self.hook)(Call::Put(name))?;
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        (self.hook)(Call::Get(name))?;
        self.inner.get(name, range)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        (self.hook)(Call::List(kind))?;
        self.inner.list(kind)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        (self.hook)(Call::Delete(name))?;
        self.inner.delete(name)
    }

    fn has_own_clock(&self) -> bool {
        self.inner.has_own_clock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::contract;
    use super::super::memory::MemoryStore;
    use super::*;
    use crate::id::ObjectId;

    fn pack(bytes: &[u8]) -> ObjectName {
        ObjectName::new(ObjectKind::Packs, ObjectId::of(bytes))
    }

    /// Puts three packs, and says how each put ended and what is in the store.
    fn three_puts(fault: Fault, at: u64) -> ([bool; 3], usize) {
        let store = FaultyStore::failing(MemoryStore::new(), Operations::Puts, fault, at);
        let ended = [b"first", b"other", b"third"].map(|bytes| store.put(&pack(bytes), bytes).is_ok());
        assert_eq!(store.operations(), 3);
        (ended, store.inner().objects().len())
    }

    #[test]
    fn a_fault_strikes_at_its_operation_and_nowhere_else() {
        assert_eq!(three_puts(Fault::FailOnce, 1), ([true, false, true], 2));
        assert_eq!(three_puts(Fault::FailFrom, 1), ([true, false, false], 1));
        assert_eq!(three_puts(Fault::LosePutAnswer, 1), ([true, false, true], 3));
        assert_eq!(three_puts(Fault::FailFrom, 3), ([true, true, true], 3));
    }

    #[test]
    fn a_torn_put_leaves_half_an_object() {
        let store = FaultyStore::failing(MemoryStore::new(), Operations::All, Fault::TearPut, 0);
        store.put(&pack(b"whole"), b"whole").unwrap_err();
        assert_eq!(store.get(&pack(b"whole"), ByteRange::Whole { limit: 5 }).unwrap(), b"wh");
        store.put(&pack(b"whole"), b"whole").unwrap();
        assert_eq!(store.get(&pack(b"whole"), ByteRange::Whole { limit: 5 }).unwrap(), b"whole");
    }

    #[test]
    fn a_stopped_operation_ends_when_it_is_let_go_and_as_it_is_told_to() {
        for (ending, expected) in [(Ending::Done, [true; 3]), (Ending::Failed, [true, false, false])] {
            let store = FaultyStore::failing(MemoryStore::new(), Operations::Puts, Fault::StopFrom, 1);
            let ended = std::thread::scope(|scope| {
                let puts = || [b"first", b"other", b"third"].map(|bytes| store.put(&pack(bytes), bytes).is_ok());
                let run = scope.spawn(puts);
                assert!(store.wait_until_stopped());
                assert_eq!(store.inner().objects().len(), 1);
                assert!(!run.is_finished());
                store.let_go(ending);
                store.let_go(Ending::Done);
                run.join().unwrap()
            });
            assert_eq!(ended, expected);
            assert_eq!(store.inner().objects().len(), expected.iter().filter(|&&is_done| is_done).count());
        }
        let never = FaultyStore::failing(MemoryStore::new(), Operations::Puts, Fault::StopFrom, 0);
        never.let_go(Ending::Failed);
        assert!(!never.wait_until_stopped());
    }

    #[test]
    fn only_the_operations_asked_for_are_counted_and_failed() {
        let store = FaultyStore::failing(MemoryStore::new(), Operations::Changes, Fault::FailFrom, 1);
        store.put(&pack(b"a"), b"a").unwrap();
        store.list(ObjectKind::Packs).unwrap();
        store.delete(&pack(b"a")).unwrap_err();
        assert_eq!(store.list(ObjectKind::Packs).unwrap().len(), 1);
        assert_eq!(store.operations(), 2);
    }

    #[test]
    fn work_is_counted_by_kind() {
        let store = CountingStore::new(MemoryStore::new());
        store.put(&pack(b"four"), b"four").unwrap();
        store.get(&pack(b"four"), ByteRange::At { offset: 1, len: 2 }).unwrap();
        store.get(&pack(b"none"), ByteRange::Last { len: 1 }).unwrap_err();
        store.list(ObjectKind::Gc).unwrap();
        let packs = Counts { puts: 1, gets: 2, put_bytes: 4, got_bytes: 2, ..Counts::default() };
        assert_eq!(store.counts_of(ObjectKind::Packs), packs);
        assert_eq!(store.counts(), Counts { lists: 1, ..packs });
        store.reset();
        assert_eq!(store.counts(), Counts::default());
    }

    #[test]
    fn a_hook_can_slip_an_object_in_before_an_operation() {
        let shared = Arc::new(MemoryStore::new());
        let record = ObjectName::new(ObjectKind::Gc, ObjectId::of(b"gc"));
        let behind = Arc::clone(&shared);
        let store = HookStore::new(shared, move |call| match call {
            Call::List(ObjectKind::Gc) => behind.put(&record, b"gc"),
            Call::Delete(_) => Err(StoreError::Denied(io::ErrorKind::PermissionDenied.into())),
            _ => Ok(()),
        });
        assert_eq!(store.list(ObjectKind::Gc).unwrap().len(), 1);
        assert!(matches!(store.delete(&record), Err(StoreError::Denied(_))));
        assert_eq!(store.list(ObjectKind::Gc).unwrap().len(), 1);
    }

    #[test]
    fn stores_around_a_store_keep_its_contract() {
        contract::check_contract(&|| {
            let counted = CountingStore::new(FaultyStore::counting(MemoryStore::new(), Operations::All));
            Box::new(HookStore::new(counted, |_| Ok(())))
        });
    }
}
