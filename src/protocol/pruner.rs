//! The steps of a pruner, P1 to P6.
//!
//! What is worth deleting is chosen by the caller, and whatever is chosen, nothing is lost: [`Judge`] rescues what a root
//! needs. A pack that was condemned and not rescued is dead for ever.

use std::collections::BTreeSet;

use super::{Gc, Names, Record, Voids, roots};

/// A dead or void list grows for ever. One that has reached so many ids stays where it is, and a new one is begun: so no
/// record is longer than can be read.
pub const CARRIED_MAX: usize = 1 << 16;

/// P1: the packs are to be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Begin;

impl Begin {
    /// With every pack that is there.
    pub fn packs_listed<N: Names>(self, packs: BTreeSet<N::Pack>) -> ListPending<N> {
        ListPending { packs }
    }
}

/// P1: `pending/` is to be listed, before `snapshots/`: a root moves only that way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListPending<N: Names> {
    packs: BTreeSet<N::Pack>,
}

impl<N: Names> ListPending<N> {
    /// With all that is announced.
    pub fn pending_listed(self, pending: BTreeSet<N::Snapshot>) -> ListSnapshots<N> {
        ListSnapshots { packs: self.packs, pending }
    }
}

/// P1: `snapshots/` is to be listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListSnapshots<N: Names> {
    packs: BTreeSet<N::Pack>,
    pending: BTreeSet<N::Snapshot>,
}

impl<N: Names> ListSnapshots<N> {
    /// With all that is committed.
    pub fn snapshots_listed(self, snapshots: BTreeSet<N::Snapshot>) -> ListVoids<N> {
        ListVoids { packs: self.packs, pending: self.pending, snapshots }
    }
}

/// P1: `forgotten/` and then `gc/` are to be read for what is void.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListVoids<N: Names> {
    packs: BTreeSet<N::Pack>,
    pending: BTreeSet<N::Snapshot>,
    snapshots: BTreeSet<N::Snapshot>,
}

impl<N: Names> ListVoids<N> {
    /// With all that is void.
    pub fn voids_listed(self, voids: &Voids<N>) -> ListIndex<N> {
        // What its writer has given up is not committed. Should a put land late all the same, then what the pruner says of it
        // holds: nobody was told that it is saved.
        let is_given_up = |id: &N::Snapshot| voids.by_writer.contains(id) && !self.snapshots.contains(id);
        let all = roots(&self.pending, &self.snapshots, voids);
        let (withdrawn, roots) = all.into_iter().partition(is_given_up);
        ListIndex { packs: self.packs, roots, withdrawn, is_second: false }
    }
}

/// P1: `gc/` is to be read, and then the index listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListIndex<N: Names> {
    packs: BTreeSet<N::Pack>,
    roots: BTreeSet<N::Snapshot>,
    withdrawn: BTreeSet<N::Snapshot>,
    is_second: bool,
}

impl<N: Names> ListIndex<N> {
    /// Whose chunks are needed.
    pub fn roots(&self) -> &BTreeSet<N::Snapshot> {
        &self.roots
    }

    /// With what `gc/` said and every pack that the index names after that.
    pub fn index_listed(self, gc: Gc<N>, indexed: BTreeSet<N::Pack>) -> Choose<N> {
        Choose { before: self, gc, indexed }
    }
}

/// P1: what the roots need is to be marked, and what to condemn chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choose<N: Names> {
    before: ListIndex<N>,
    gc: Gc<N>,
    indexed: BTreeSet<N::Pack>,
}

impl<N: Names> Choose<N> {
    /// Whose chunks are needed.
    pub fn roots(&self) -> &BTreeSet<N::Snapshot> {
        &self.before.roots
    }

    /// What `gc/` said.
    pub fn gc(&self) -> &Gc<N> {
        &self.gc
    }

    /// Every pack that was listed.
    pub fn packs(&self) -> &BTreeSet<N::Pack> {
        &self.before.packs
    }

    /// Whether a chunk is in good hands in this pack: it is there, and nobody has condemned it. A pack that the index names
    /// and the listing lacks may have been put after the listing, and is nothing to be touched.
    pub fn is_safe(&self, pack: &N::Pack) -> bool {
        self.before.packs.contains(pack) && self.gc.spares(pack)
    }

    /// Packs that no segment names, as when a writer has put one and not named it yet, or never will.
    pub fn orphans(&self) -> impl Iterator<Item = N::Pack> + '_ {
        self.before.packs.difference(&self.indexed).copied()
    }

    /// A chunk that a root needs is in no pack of the index: a listing may have been torn by a merge, so `gc/` and the index
    /// are listed again, once.
    pub fn list_again(&self) -> Option<ListIndex<N>> {
        (!self.before.is_second).then(|| ListIndex { is_second: true, ..self.before.clone() })
    }

    /// With the packs that this prune would delete. If a chunk that a root needs was not found, no orphan is condemned and no
    /// segment dropped: it may be in one of them.
    pub fn chosen(self, mut condemned: BTreeSet<N::Pack>, is_missing: bool) -> Announce<N> {
        if is_missing {
            condemned.retain(|pack| self.indexed.contains(pack));
        }
        Announce { condemned, withdrawn: self.before.withdrawn, gc: self.gc, is_missing }
    }
}

/// P2: a gc record is to be put.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Announce<N: Names> {
    condemned: BTreeSet<N::Pack>,
    withdrawn: BTreeSet<N::Snapshot>,
    gc: Gc<N>,
    is_missing: bool,
}

impl<N: Names> Announce<N> {
    /// What it says; nothing, if there is nothing to announce.
    pub fn record(&self) -> Option<Record<N>> {
        let record = Record { condemned: self.condemned.clone(), void: self.withdrawn.clone(), ..Record::default() };
        (record != Record::default()).then_some(record)
    }

    /// It is there for everybody to see, under this name.
    pub fn announced(self, own: N::Record) -> RelistPending<N> {
        RelistPending(Announced { own, condemned: self.condemned, is_missing: self.is_missing })
    }

    /// There was nothing to announce, and nothing dies.
    pub fn nothing_announced(self) -> Merge<N> {
        Merge { own: None, dead: BTreeSet::new(), gc: self.gc, is_missing: self.is_missing }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Announced<N: Names> {
    own: N::Record,
    condemned: BTreeSet<N::Pack>,
    is_missing: bool,
}

/// P3: `pending/` is to be listed again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelistPending<N: Names>(Announced<N>);

impl<N: Names> RelistPending<N> {
    /// With all that is announced.
    pub fn pending_listed(self, pending: BTreeSet<N::Snapshot>) -> RelistSnapshots<N> {
        RelistSnapshots { announced: self.0, pending }
    }
}

/// P3: `snapshots/` is to be listed again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelistSnapshots<N: Names> {
    announced: Announced<N>,
    pending: BTreeSet<N::Snapshot>,
}

impl<N: Names> RelistSnapshots<N> {
    /// With all that is committed.
    pub fn snapshots_listed(self, snapshots: BTreeSet<N::Snapshot>) -> RelistVoids<N> {
        RelistVoids { announced: self.announced, pending: self.pending, snapshots }
    }
}

/// P3: `forgotten/` and then `gc/` are to be read for what is void.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelistVoids<N: Names> {
    announced: Announced<N>,
    pending: BTreeSet<N::Snapshot>,
    snapshots: BTreeSet<N::Snapshot>,
}

impl<N: Names> RelistVoids<N> {
    /// With all that is void, this prune's own record included. What its writer has given up since P1 is a root this time: if
    /// the snapshot lands late, nothing in `gc/` says that it is void.
    pub fn voids_listed(self, voids: &Voids<N>) -> RelistIndex<N> {
        let roots = roots(&self.pending, &self.snapshots, voids);
        RelistIndex { announced: self.announced, roots, is_second: false }
    }
}

/// P3: `gc/` is to be read again, and then the index listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelistIndex<N: Names> {
    announced: Announced<N>,
    roots: BTreeSet<N::Snapshot>,
    is_second: bool,
}

impl<N: Names> RelistIndex<N> {
    /// With what `gc/` said and every pack that the index names after that.
    pub fn index_listed(self, gc: Gc<N>, indexed: BTreeSet<N::Pack>) -> RelistPacks<N> {
        RelistPacks { before: self, gc, indexed }
    }
}

/// P3: the packs are to be listed again. One that the index names may be lost, and is no place to leave a chunk in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelistPacks<N: Names> {
    before: RelistIndex<N>,
    gc: Gc<N>,
    indexed: BTreeSet<N::Pack>,
}

impl<N: Names> RelistPacks<N> {
    /// With every pack that is there.
    pub fn packs_listed(self, packs: BTreeSet<N::Pack>) -> Judge<N> {
        Judge { before: self, packs, rescued: BTreeSet::new(), is_unsure: false, is_missing: false }
    }
}

/// P3: for each chunk that a root needs it is to be said in which packs it lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Judge<N: Names> {
    before: RelistPacks<N>,
    packs: BTreeSet<N::Pack>,
    rescued: BTreeSet<N::Pack>,
    /// A chunk was found in no safe pack. It may be in others than those it was found in.
    is_unsure: bool,
    /// A chunk was found in no pack.
    is_missing: bool,
}

impl<N: Names> Judge<N> {
    /// Whose chunks are needed.
    pub fn roots(&self) -> &BTreeSet<N::Snapshot> {
        &self.before.before.roots
    }

    /// What `gc/` said.
    pub fn gc(&self) -> &Gc<N> {
        &self.before.gc
    }

    /// Every pack that was listed.
    pub fn packs(&self) -> &BTreeSet<N::Pack> {
        &self.packs
    }

    /// Whether a chunk is in good hands in this pack: it is there, and nobody has condemned it, nor has this prune.
    pub fn is_safe(&self, pack: &N::Pack) -> bool {
        let RelistPacks { before, gc, .. } = &self.before;
        self.packs.contains(pack) && !before.announced.condemned.contains(pack) && gc.spares(pack)
    }

    /// A chunk that a root needs lies in these packs: where none of them is safe, each of them is rescued.
    pub fn needs(&mut self, holders: &[N::Pack]) {
        if !holders.iter().any(|holder| self.is_safe(holder)) {
            self.is_unsure = true;
            self.is_missing |= !holders.iter().any(|holder| self.packs.contains(holder));
            self.rescued.extend(holders);
        }
    }

    /// If a chunk was in no safe pack, a listing may have been torn by a merge: `gc/` and the index are listed again, once, and
    /// judged anew.
    pub fn list_again(&self) -> Option<RelistIndex<N>> {
        let before = &self.before.before;
        (self.is_unsure && !before.is_second).then(|| RelistIndex { is_second: true, ..before.clone() })
    }

    /// After every chunk of every root. What is dead then is dead for ever. Where a chunk was in no safe pack, those live on
    /// that no segment was seen to name: it may be in one of them.
    pub fn judged(self) -> Merge<N> {
        let RelistPacks { before: RelistIndex { announced, .. }, gc, indexed } = self.before;
        let may_die = |pack: &N::Pack| !self.rescued.contains(pack) && (!self.is_unsure || indexed.contains(pack));
        let dead = announced.condemned.into_iter().filter(may_die).collect();
        Merge { own: Some(announced.own), dead, gc, is_missing: announced.is_missing || self.is_missing }
    }
}

/// P4: index segments are to be put that name no dead pack, and those deleted whose other packs they name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Merge<N: Names> {
    own: Option<N::Record>,
    dead: BTreeSet<N::Pack>,
    gc: Gc<N>,
    is_missing: bool,
}

impl<N: Names> Merge<N> {
    /// Whether segments may be put in the place of others.
    pub fn may_drop_segments(&self) -> bool {
        !self.is_missing
    }

    /// Whether a new segment leaves a pack out.
    pub fn drops(&self, pack: &N::Pack) -> bool {
        self.dead.contains(pack) || self.gc.is_dead(pack)
    }

    /// What was condemned and not rescued.
    pub fn dead(&self) -> &BTreeSet<N::Pack> {
        &self.dead
    }

    /// Segments are as they shall be.
    pub fn merged(self) -> Delete<N> {
        Delete { own: self.own, dead: self.dead, gc: self.gc }
    }
}

/// P5: the dead packs are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delete<N: Names> {
    own: Option<N::Record>,
    dead: BTreeSet<N::Pack>,
    gc: Gc<N>,
}

impl<N: Names> Delete<N> {
    /// What is to be deleted. All of it is named by this prune's own record.
    pub fn packs(&self) -> &BTreeSet<N::Pack> {
        &self.dead
    }

    /// They are gone, or whatever is left of them is a later prune's to name and delete. `removed` are void snapshots of which
    /// nothing shall be left.
    pub fn deleted(self, removed: BTreeSet<N::Snapshot>) -> Finish<N> {
        let Self { own, dead, gc } = self;
        let is_full = |record: &&Record<N>| record.dead.len().max(record.void.len()) >= CARRIED_MAX;
        let mut void = removed;
        let mut finished = Record { dead, ..Record::default() };
        for record in gc.records.values() {
            void.extend(&record.void);
            finished.dead.extend(&record.dead);
        }
        finished.void.extend(&void);
        for full in gc.records.values().filter(is_full) {
            finished.dead.retain(|pack| !full.dead.contains(pack));
            finished.void.retain(|id| !full.void.contains(id));
        }
        // One that says just this already can stay as it is: whoever has listed its name need not look again.
        let same = gc.records.iter().find(|(_, record)| **record == finished).map(|(name, _)| *name);
        let is_dead = |pack: &N::Pack| finished.dead.contains(pack) || gc.is_dead(pack);
        let says_nothing_more = |record: &Record<N>| {
            record.condemned.iter().all(is_dead)
                && record.dead.is_subset(&finished.dead)
                && record.void.is_subset(&finished.void)
        };
        let superseded = gc.records.iter().filter(|(name, record)| own == Some(**name) || says_nothing_more(record));
        let superseded = superseded.map(|(name, _)| *name).filter(|name| same != Some(*name)).collect();
        let is_needed = same.is_none() && finished != Record::default();
        Finish { superseded, is_needed, finished, void }
    }
}

/// P6: the finished record is to be put, and only then what it stands for deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finish<N: Names> {
    superseded: BTreeSet<N::Record>,
    finished: Record<N>,
    is_needed: bool,
    void: BTreeSet<N::Snapshot>,
}

impl<N: Names> Finish<N> {
    /// What it says: the packs that are dead and the snapshots that are void, with those of all records that it supersedes.
    /// Nothing, if there is a record that says just that.
    pub fn record(&self) -> Option<&Record<N>> {
        self.is_needed.then_some(&self.finished)
    }

    /// Snapshots of which nothing needs to be left, once the record is there.
    pub fn void(&self) -> &BTreeSet<N::Snapshot> {
        &self.void
    }

    /// Records that are to be deleted once it is there. Of others' condemning records only those are among them whose packs
    /// are all dead.
    pub fn superseded(&self) -> &BTreeSet<N::Record> {
        &self.superseded
    }
}
