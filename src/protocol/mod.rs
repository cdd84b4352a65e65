//! The protocol by which writers commit and pruners delete, as steps that know no store. caddis-format(5), "Commit and prune".
//!
//! Everyone follows one rule: **announce, then look; look at `gc` before `index`.** A step is a value; it is taken by handing
//! it what the store has answered, and gives the step that follows. So the order of what is asked stands in the types, and
//! what follows from the answers in one place. The program takes these steps with a repository, and the model checker in
//! `tests/protocol` takes the same ones in every order in which several processes can, with a store of a few names.
//!
//! No clock is asked anywhere in here. Ages decide only what is worth doing, never what is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;

pub mod pruner;
pub mod writer;

/// A name of something in a repository.
pub trait Name: Copy + Ord + Hash + Debug {}

impl<T: Copy + Ord + Hash + Debug> Name for T {}

/// How the things are named that the protocol is about.
pub trait Names: Clone + Eq + Ord + Hash + Debug {
    /// A pack.
    type Pack: Name;
    /// A snapshot, announced or committed.
    type Snapshot: Name;
    /// A gc record.
    type Record: Name;
}

/// What one record in `gc/` says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record<N: Names> {
    /// Packs that a prune has announced it will delete.
    pub condemned: BTreeSet<N::Pack>,
    /// Packs that are dead for ever.
    pub dead: BTreeSet<N::Pack>,
    /// Snapshots that are void for ever.
    pub void: BTreeSet<N::Snapshot>,
}

impl<N: Names> Default for Record<N> {
    fn default() -> Self {
        Self { condemned: BTreeSet::new(), dead: BTreeSet::new(), void: BTreeSet::new() }
    }
}

/// What `gc/` says at a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gc<N: Names> {
    /// Each record that could be read, by its name.
    pub records: BTreeMap<N::Record, Record<N>>,
}

impl<N: Names> Default for Gc<N> {
    fn default() -> Self {
        Self { records: BTreeMap::new() }
    }
}

impl<N: Names> Gc<N> {
    /// Whether no record condemns a pack or calls it dead.
    pub fn spares(&self, pack: &N::Pack) -> bool {
        self.records.values().all(|record| !record.condemned.contains(pack) && !record.dead.contains(pack))
    }

    /// Whether a record calls a pack dead.
    pub fn is_dead(&self, pack: &N::Pack) -> bool {
        self.records.values().any(|record| record.dead.contains(pack))
    }

    /// Every snapshot that a record calls void.
    pub fn void(&self) -> impl Iterator<Item = N::Snapshot> + '_ {
        self.records.values().flat_map(|record| record.void.iter().copied())
    }
}

/// Snapshots that somebody has declared void.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voids<N: Names> {
    /// By somebody who may forget, or by a prune: whatever the snapshot is.
    pub by_right: BTreeSet<N::Snapshot>,
    /// By their own writer, who may do no more than write: that counts as long as they are not committed. Nothing is deleted
    /// on that word alone, for a put of the snapshot may be on its way: a prune repeats it in `gc/` first. So that a prune
    /// finds what to repeat, who withdraws a snapshot leaves its pending where it is.
    pub by_writer: BTreeSet<N::Snapshot>,
}

impl<N: Names> Default for Voids<N> {
    fn default() -> Self {
        Self { by_right: BTreeSet::new(), by_writer: BTreeSet::new() }
    }
}

/// Everything that is announced or committed and not void by right, given listings that were made in this order.
fn roots<N: Names>(
    pending: &BTreeSet<N::Snapshot>,
    snapshots: &BTreeSet<N::Snapshot>,
    voids: &Voids<N>,
) -> BTreeSet<N::Snapshot> {
    pending.union(snapshots).filter(|id| !voids.by_right.contains(id)).copied().collect()
}
