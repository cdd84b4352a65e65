//! A pruner that takes the steps of `caddis::protocol::pruner`: P1 and P2 here, the rest in [`second`].

mod choice;
mod second;

use std::collections::BTreeSet;
use std::rc::Rc;

use caddis::protocol::pruner::{
    Announce, Begin, Choose, ListIndex, ListPending, ListSnapshots, ListVoids, RelistPending,
};
use caddis::protocol::{Gc, Voids};

use self::choice::Choice;
use self::second::Second;
use crate::store::{Bits, Page, Put, SECOND_PAGE, Segments, Small, Store, packs_in};
use crate::world::{Mutation, Proc, Turn};

/// One run of prune.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pruner {
    names: OwnNames,
    /// How often it runs again.
    runs_left: u8,
    /// Segments as they were listed last.
    segments: Segments,
    /// What was void by right in P1: nothing of it shall be left.
    void: Bits,
    /// What P1 has seen, as long as P3 compares it.
    before: Rc<Before>,
    /// What a mutated prune takes for the answers of P3.
    early: Option<Rc<Store>>,
    /// What a mutated prune deletes for another one.
    others: Bits,
    phase: Phase,
}

/// What P1 has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Before {
    names: BTreeSet<u8>,
    segments: Segments,
    packs: Bits,
    roots: Bits,
    /// Committed: the pendings of these are of no use any more.
    committed: Bits,
}

/// What it calls what it puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct OwnNames {
    condemning: u8,
    finished: u8,
    merged: u8,
    copy: u8,
    copy_segment: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    First(First),
    Copy(Announce<Small>, Bits),
    CopySegment(Announce<Small>),
    Announce(Announce<Small>),
    /// Out of turn: takes an announced run for dead.
    Drop(RelistPending<Small>, Option<u8>),
    Second(Second),
    /// Done, or it could not go on.
    Ended,
}

/// P1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum First {
    Packs(Begin),
    Pending(ListPending<Small>),
    Snapshots(ListSnapshots<Small>),
    Forgotten(ListVoids<Small>),
    Void(ListVoids<Small>, Voids<Small>),
    Gc(ListIndex<Small>),
    Index(ListIndex<Small>, Gc<Small>, Option<Segments>),
    Choose(Choose<Small>),
}

impl OwnNames {
    fn next(self) -> Self {
        Self {
            condemning: self.condemning + 2,
            finished: self.finished + 2,
            merged: self.merged + 1,
            copy: self.copy + 1,
            copy_segment: self.copy_segment + 1,
        }
    }
}

impl Pruner {
    /// The pruner that is the process at this place: names are drawn from a range of its own.
    pub(crate) fn new(place: u8) -> Self {
        // What is merged is listed on the first page, and what is copied on the second, as what writers put.
        Self::naming(OwnNames {
            condemning: 4 * place,
            finished: 4 * place + 1,
            merged: 4 * place,
            copy: 4 + 3 * place,
            copy_segment: SECOND_PAGE + 4 * place,
        })
    }

    /// One that comes when all others have left a store like this.
    pub(crate) fn last(store: &Store) -> Self {
        let used = store.holders.iter().fold(store.packs, |used, &holders| used | holders);
        let copy = (0..16).find(|&pack| !used.has(pack)).expect("no configuration uses all numbers");
        Self::naming(OwnNames { condemning: 200, finished: 201, merged: 200, copy, copy_segment: 201 })
    }

    /// One that runs again when it has ended.
    pub(crate) fn twice(self) -> Self {
        Self { runs_left: 1, ..self }
    }

    fn naming(names: OwnNames) -> Self {
        Self {
            names,
            runs_left: 0,
            segments: Segments::new(),
            void: Bits::NONE,
            before: Rc::default(),
            early: None,
            others: Bits::NONE,
            phase: Phase::First(First::Packs(Begin)),
        }
    }

    pub(crate) fn step(&self, turn: &mut Turn<'_>) {
        match self.phase.clone() {
            Phase::First(first) => self.takes_first(turn, first),
            Phase::Copy(announce, chunks) => self.copies(turn, announce, chunks),
            Phase::CopySegment(announce) => {
                let put = Put::Segment(self.names.copy_segment, Bits::one(self.names.copy));
                turn.puts("P1 puts the segment of a copy", put, self.at(Phase::Announce(announce)));
            }
            Phase::Announce(announce) => self.announces(turn, announce),
            Phase::Drop(relist, chosen) => self.drops_pending(turn, relist, chosen),
            Phase::Second(second) => self.takes_second(turn, second),
            Phase::Ended => {}
        }
    }

    fn at(&self, phase: Phase) -> Proc {
        if phase == Phase::Ended && self.runs_left > 0 {
            return Proc::Pruner(Self { runs_left: self.runs_left - 1, ..Self::naming(self.names.next()) });
        }
        Proc::Pruner(Self { phase, ..self.clone() })
    }

    fn takes_first(&self, turn: &mut Turn<'_>, first: First) {
        if !turn.config.p1_at_once {
            return match first {
                First::Choose(choose) => self.chooses(turn, choose),
                first => {
                    let (what, then) = self.looks(turn, first);
                    turn.goes(what, Proc::Pruner(then));
                }
            };
        }
        let mut pruner = self.clone();
        let mut first = first;
        loop {
            if let First::Choose(choose) = first {
                return pruner.chooses(turn, choose);
            }
            pruner = pruner.looks(turn, first).1;
            let Phase::First(then) = pruner.phase.clone() else { return };
            first = then;
        }
    }

    /// One listing of P1.
    fn looks(&self, turn: &Turn<'_>, first: First) -> (&'static str, Self) {
        let store = turn.store;
        let mut then = self.clone();
        let (what, first) = match first {
            First::Packs(begin) => ("P1 lists packs/", First::Pending(begin.packs_listed(store.packs.set()))),
            First::Pending(list) => ("P1 lists pending/", First::Snapshots(list.pending_listed(store.pending.set()))),
            First::Snapshots(list) => {
                then.before = Rc::new(Before { committed: store.snapshots & store.pending, ..Before::default() });
                ("P1 lists snapshots/", First::Forgotten(list.snapshots_listed(store.snapshots.set())))
            }
            First::Forgotten(list) => ("P1 reads forgotten/", First::Void(list, store.voids())),
            First::Void(list, voids) => {
                let voids = with_gc_void(voids, store);
                then.void = Bits::from(&voids.by_right);
                ("P1 reads gc/ for what is void", First::Gc(list.voids_listed(&voids)))
            }
            First::Gc(list) => ("P1 reads gc/", First::Index(list, store.gc.clone(), None)),
            First::Index(list, gc, None) if turn.config.is_paged => {
                ("P1 lists the first page of the index", First::Index(list, gc, Some(store.page(Page::First))))
            }
            First::Index(list, gc, first) => {
                then.segments = whole_index(store, first);
                let choose = list.index_listed(gc, packs_in(&then.segments).set());
                ("P1 lists the index", then.finds(turn, choose))
            }
            First::Choose(choose) => ("", First::Choose(choose)),
        };
        then.phase = Phase::First(first);
        (what, then)
    }

    /// If a chunk is missing, the index is listed again, once.
    fn finds(&self, turn: &Turn<'_>, choose: Choose<Small>) -> First {
        let is_missing = choice::is_missing(turn, &choose, packs_in(&self.segments));
        match choose.list_again().filter(|_| is_missing) {
            Some(again) => First::Gc(again),
            None => First::Choose(choose),
        }
    }

    fn chooses(&self, turn: &mut Turn<'_>, choose: Choose<Small>) {
        let indexed = packs_in(&self.segments);
        let is_missing = choice::is_missing(turn, &choose, indexed);
        for Choice { condemned, copied } in choice::choices(turn, &choose, indexed) {
            let announce = choose.clone().chosen(condemned.set(), is_missing);
            let is_early = turn.config.has(Mutation::PrunerDoesNotLookAgain);
            let early = is_early.then(|| Rc::new(turn.store.clone()));
            let before = Rc::new(Before {
                names: choose.gc().records.keys().copied().collect(),
                segments: self.segments.clone(),
                packs: choose.packs().into(),
                roots: choose.roots().into(),
                committed: self.before.committed,
            });
            let then = Self { early, before, ..self.clone() };
            let phase = if copied.is_empty() { Phase::Announce(announce) } else { Phase::Copy(announce, copied) };
            turn.goes("P1 chooses", then.at(phase));
        }
    }

    /// What is copied must be there still; otherwise another prune was faster, and this one fails.
    fn copies(&self, turn: &mut Turn<'_>, announce: Announce<Small>, chunks: Bits) {
        let holders = turn.holders(turn.store.packs);
        if chunks.iter().any(|chunk| holders[usize::from(chunk)].is_empty()) {
            return turn.goes("P1 cannot copy what is gone", self.at(Phase::Ended));
        }
        turn.puts("P1 puts a copy", Put::Pack(self.names.copy, chunks), self.at(Phase::CopySegment(announce)));
    }

    fn announces(&self, turn: &mut Turn<'_>, announce: Announce<Small>) {
        let Some(mut record) = announce.record() else {
            let merge = announce.nothing_announced();
            return turn.goes("P2 has nothing to announce", self.merges(turn, merge));
        };
        let own = self.names.condemning;
        let condemned = Bits::from(&record.condemned);
        let mut then = self.clone();
        let relist = announce.announced(own);
        if turn.config.has(Mutation::WithdrawnNotNamed) {
            then.void |= Bits::from(&record.void);
            record.void.clear();
        }
        let phase = match turn.config.mutation {
            Some(Mutation::PendingDropped | Mutation::PendingDroppedSilently) => Phase::Drop(relist, None),
            Some(Mutation::DeletedBeforeLookingAgain) => Phase::Second(Second::DeleteEarly(relist, condemned)),
            _ => Phase::Second(Second::Pending(relist)),
        };
        if turn.config.has(Mutation::NoGcRecord) {
            return turn.goes("P2 puts no record", then.at(phase));
        }
        turn.puts("P2 puts its record", Put::Gc(own, record), then.at(phase));
    }

    /// Takes one announced run for dead, or none.
    fn drops_pending(&self, turn: &mut Turn<'_>, relist: RelistPending<Small>, chosen: Option<u8>) {
        let then = self.at(Phase::Second(Second::Pending(relist.clone())));
        let Some(id) = chosen else {
            for id in (turn.store.pending - turn.store.snapshots).iter() {
                turn.goes("takes a run for dead", self.at(Phase::Drop(relist.clone(), Some(id))));
            }
            return turn.goes("takes no run for dead", then);
        };
        if turn.config.has(Mutation::PendingDroppedSilently) {
            turn.changes("deletes a pending", then, |store| store.pending -= Bits::one(id));
        } else {
            turn.puts("declares a pending void", Put::Forgotten(id), then);
        }
    }
}

/// What `forgotten/` said before, and `gc/` says now.
fn with_gc_void(mut voids: Voids<Small>, store: &Store) -> Voids<Small> {
    voids.by_right.extend(store.gc.void());
    voids
}

/// All segments, where the first page may have been listed before.
fn whole_index(store: &Store, first: Option<Segments>) -> Segments {
    match first {
        Some(mut first) => {
            first.append(&mut store.page(Page::Second));
            first
        }
        None => store.page(Page::All),
    }
}
