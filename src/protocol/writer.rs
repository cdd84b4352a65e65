//! The steps of a writer, W1 to W6.
//!
//! ```text
//! Begin ──gc──► LookAtIndex ──index, then stores (W2)──► Announce ──pending put──► LookAgain ──gc names──┐
//!   ▲                                                                                                    │
//!   │                     ┌───────────────────────────────────────────── the same names ─────────────────┤
//!   │                     ▼                                                                              ▼
//!   └──overtaken──  Commit ──snapshot put──► Confirm ──voids──► saved          Commit or overtaken ◄── Reload
//! ```

use std::collections::BTreeSet;

use super::{Gc, Names};

/// W1: `gc/` is to be listed and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Begin;

impl Begin {
    /// With all names in `gc/`, and what those said that could be read.
    pub fn gc_listed<N: Names>(self, names: BTreeSet<N::Record>, gc: &Gc<N>) -> LookAtIndex<N> {
        let condemned = gc.records.values().flat_map(|record| record.condemned.union(&record.dead)).copied().collect();
        LookAtIndex { names, condemned }
    }
}

/// W1: the index is to be listed, and W2: what is missing stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookAtIndex<N: Names> {
    names: BTreeSet<N::Record>,
    condemned: BTreeSet<N::Pack>,
}

impl<N: Names> LookAtIndex<N> {
    /// Whether a pack that the index names may be relied on.
    pub fn spares(&self, pack: &N::Pack) -> bool {
        !self.condemned.contains(pack)
    }

    /// Does not rely on these either.
    pub fn avoid(&mut self, packs: impl IntoIterator<Item = N::Pack>) {
        self.condemned.extend(packs);
    }

    /// Once all that the snapshot needs lies in these packs, and the index names them.
    pub fn relying_on(&self, packs: BTreeSet<N::Pack>) -> Announce<N> {
        Announce { names: self.names.clone(), relied: packs }
    }
}

/// W3: `pending/<id>` is to be put.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Announce<N: Names> {
    names: BTreeSet<N::Record>,
    relied: BTreeSet<N::Pack>,
}

impl<N: Names> Announce<N> {
    /// From here on the snapshot is a root for every prune.
    pub fn announced(self) -> LookAgain<N> {
        LookAgain(self)
    }
}

/// W4: the names in `gc/` are to be listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookAgain<N: Names>(Announce<N>);

/// What W4 has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked<N: Names> {
    /// Nothing was condemned meanwhile.
    Same(Commit),
    /// Something may have been.
    Changed(Reload<N>),
}

impl<N: Names> LookAgain<N> {
    /// With the names in `gc/` now.
    pub fn names_listed(self, names: &BTreeSet<N::Record>) -> Looked<N> {
        if *names == self.0.names { Looked::Same(Commit) } else { Looked::Changed(Reload { relied: self.0.relied }) }
    }
}

/// W4: `gc/` is to be read, then the index listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reload<N: Names> {
    relied: BTreeSet<N::Pack>,
}

impl<N: Names> Reload<N> {
    /// With what is condemned now and every pack that the index names after that; nothing, if something that the snapshot
    /// relies on can be used no longer: it was overtaken, and begins again under another id.
    pub fn reloaded(mut self, look: &LookAtIndex<N>, indexed: impl IntoIterator<Item = N::Pack>) -> Option<Commit> {
        indexed.into_iter().filter(|pack| look.spares(pack)).for_each(|pack| {
            self.relied.remove(&pack);
        });
        self.relied.is_empty().then_some(Commit)
    }
}

/// W5: `snapshots/<id>` is to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit;

impl Commit {
    /// It is there for everybody to see.
    pub fn committed(self) -> Confirm {
        Confirm
    }
}

/// W6: `forgotten/` and then `gc/` are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confirm;

impl Confirm {
    /// Whether it is saved: nobody has declared the run dead before it committed. What was condemned by now does not
    /// matter, for it was announced before.
    pub fn is_saved(self, is_void: bool) -> bool {
        !is_void
    }
}
