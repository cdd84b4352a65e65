//! P3 to P6.

use std::collections::BTreeSet;
use std::rc::Rc;

use caddis::protocol::pruner::{
    Delete, Finish, Judge, Merge, RelistIndex, RelistPacks, RelistPending, RelistSnapshots, RelistVoids,
};
use caddis::protocol::{Gc, Record, Voids};

use super::{Before, Phase, Pruner, whole_index, with_gc_void};
use crate::store::{Bits, CHUNKS, Page, Put, Segments, Small, Store, packs_in};
use crate::world::{Mutation, Proc, Turn};

/// What comes after P2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Second {
    Pending(RelistPending<Small>),
    Snapshots(RelistSnapshots<Small>),
    Forgotten(RelistVoids<Small>),
    Void(RelistVoids<Small>, Voids<Small>),
    Gc(RelistIndex<Small>),
    Index(RelistIndex<Small>, Gc<Small>, Option<Segments>),
    Packs(RelistPacks<Small>),
    Put(Merge<Small>, BTreeSet<u8>),
    Supersede(Merge<Small>, BTreeSet<u8>),
    Delete(Delete<Small>, Bits),
    Finish(Finish<Small>),
    Records(BTreeSet<u8>, Option<Record<Small>>, Bits),
    DropSnapshots(Bits),
    DropPending(Bits),
    DropForgotten(Bits),
    /// Out of turn: packs are deleted before anything is listed again.
    DeleteEarly(RelistPending<Small>, Bits),
    /// Out of turn: `snapshots/` was listed first.
    PendingLast(RelistPending<Small>, Bits),
    /// Out of turn: void snapshots are deleted before a record says that they are void.
    DropEarly(Finish<Small>),
}

impl Pruner {
    pub(super) fn takes_second(&self, turn: &mut Turn<'_>, second: Second) {
        if self.early.is_some() && second.is_listing() {
            // All of P3 at once, answered with what was there before P2.
            let mut then = self.clone();
            while let Phase::Second(second) = &then.phase
                && second.is_listing()
            {
                then = then.looks_again(turn, second.clone()).1;
            }
            return turn.goes("P3 asks nobody", Proc::Pruner(then));
        }
        match second {
            Second::Put(merge, touched) => self.puts_merged(turn, merge, touched),
            Second::Supersede(merge, touched) => self.supersedes(turn, merge, touched),
            Second::Delete(delete, left) => self.deletes(turn, delete, left),
            Second::Finish(finish) => self.finishes(turn, finish),
            Second::Records(left, finished, void) => self.deletes_records(turn, left, finished, void),
            Second::DeleteEarly(relist, left) => {
                let pack = left.first().map_or(Bits::NONE, Bits::one);
                let left = left - pack;
                let second = if left.is_empty() { Second::Pending(relist) } else { Second::DeleteEarly(relist, left) };
                turn.changes("deletes a pack", self.then(second), |store| store.packs -= pack);
            }
            Second::DropEarly(finish) => {
                let then = self.then(Second::Finish(finish));
                turn.changes("deletes void snapshots", then, |store| {
                    store.snapshots -= self.void;
                    store.forgotten -= self.void;
                });
            }
            Second::DropSnapshots(void) => {
                let then = self.then(Second::DropPending(void));
                turn.changes("P6 deletes void snapshots", then, |store| store.snapshots -= void);
            }
            Second::DropPending(void) => {
                let then = self.then(Second::DropForgotten(void));
                let unneeded = void | self.before.committed;
                turn.changes("P6 deletes pendings", then, |store| store.pending -= unneeded);
            }
            Second::DropForgotten(void) => {
                turn.changes("P6 deletes records of void snapshots", self.at(Phase::Ended), |store| {
                    store.forgotten -= void;
                    store.given_up -= void;
                });
            }
            listing => {
                let (mut what, mut then) = self.looks_again(turn, listing);
                while turn.config.voids_at_once
                    && let Phase::Second(next @ (Second::Void(..) | Second::Gc(_))) = then.phase.clone()
                {
                    (what, then) = then.looks_again(turn, next);
                }
                turn.goes(what, Proc::Pruner(then));
            }
        }
    }

    fn then(&self, second: Second) -> Proc {
        let has_ended = |void: Bits| (void | self.before.committed).is_empty();
        match second {
            Second::DropSnapshots(void) if has_ended(void) => self.at(Phase::Ended),
            second => self.at(Phase::Second(second)),
        }
    }

    /// One listing of P3.
    fn looks_again(&self, turn: &Turn<'_>, second: Second) -> (&'static str, Self) {
        let store = self.early.as_deref().unwrap_or(turn.store);
        let mut then = self.clone();
        let (what, second) = match second {
            Second::Pending(relist) if turn.config.has(Mutation::SnapshotsBeforePending) => {
                ("P3 lists snapshots/ too early", Second::PendingLast(relist, store.snapshots))
            }
            Second::PendingLast(relist, snapshots) => {
                let pending = relist.pending_listed(store.pending.set());
                ("P3 lists pending/ too late", Second::Forgotten(pending.snapshots_listed(snapshots.set())))
            }
            Second::Pending(relist) => {
                ("P3 lists pending/", Second::Snapshots(relist.pending_listed(store.pending.set())))
            }
            Second::Snapshots(relist) => {
                ("P3 lists snapshots/", Second::Forgotten(relist.snapshots_listed(store.snapshots.set())))
            }
            Second::Forgotten(relist) => ("P3 reads forgotten/", Second::Void(relist, store.voids())),
            Second::Void(relist, voids) => {
                let mut voids = with_gc_void(voids, store);
                match turn.config.mutation {
                    Some(Mutation::WritersWordTaken) => voids.by_right.extend(&voids.by_writer),
                    Some(Mutation::WithdrawnNotNamed) => voids.by_right.extend(self.void.iter()),
                    _ => {}
                }
                ("P3 reads gc/ for what is void", Second::Gc(relist.voids_listed(&voids)))
            }
            Second::Gc(relist) => ("P3 reads gc/", Second::Index(relist, self.gc_seen(turn, store), None)),
            Second::Index(relist, gc, None) if turn.config.is_paged => {
                ("P3 lists the first page of the index", Second::Index(relist, gc, Some(store.page(Page::First))))
            }
            Second::Index(relist, gc, first) => {
                then.segments = whole_index(store, first);
                let all_named = if turn.config.has(Mutation::OrphansTrusted) { store.packs } else { Bits::NONE };
                let indexed = packs_in(&then.segments) | all_named;
                ("P3 lists the index", Second::Packs(relist.index_listed(gc, indexed.set())))
            }
            Second::Packs(relist) => {
                return ("P3 lists packs/", self.judges(turn, relist.packs_listed(store.packs.set())));
            }
            other => unreachable!("{other:?} is no listing"),
        };
        then.phase = Phase::Second(second);
        (what, then)
    }

    fn gc_seen(&self, turn: &Turn<'_>, store: &Store) -> Gc<Small> {
        let mut gc = store.gc.clone();
        if turn.config.has(Mutation::OtherPrunesIgnored) {
            gc.records.retain(|name, _| *name == self.names.condemning);
        }
        gc
    }

    /// For each chunk that a root needs it is said in which packs it lies.
    fn judges(&self, turn: &Turn<'_>, mut judge: Judge<Small>) -> Self {
        let holders = turn.holders(packs_in(&self.segments).iter().filter(|pack| !judge.gc().is_dead(pack)).collect());
        let live = turn.config.live_chunks(judge.roots().into());
        let kept = if self.stands(&judge) { turn.config.live_chunks(self.before.roots) } else { Bits::NONE };
        for chunk in (live - kept).iter() {
            judge.needs(&holders[usize::from(chunk)].iter().collect::<Vec<_>>());
        }
        let mut then = self.clone();
        if turn.config.has(Mutation::OthersWorkFinished) {
            then.others = others_work(turn, &judge, holders);
        }
        match judge.list_again() {
            Some(again) => then.phase = Phase::Second(Second::Gc(again)),
            None => {
                let Proc::Pruner(merging) = then.merges(turn, judge.judged()) else { unreachable!("a pruner") };
                then = merging;
            }
        }
        then
    }

    /// Whether nothing that P1 saw has gone and nobody else has condemned anything: then each chunk that was needed is kept as
    /// it was to be.
    fn stands(&self, judge: &Judge<Small>) -> bool {
        let is_other = |name: &&u8| **name != self.names.condemning;
        let others = judge.gc().records.keys().filter(is_other);
        others.eq(self.before.names.iter())
            && self.before.segments.keys().all(|name| self.segments.contains_key(name))
            && self.before.packs.is_subset(judge.packs().into())
    }

    /// P4: segments that name what is dead are to be replaced, or all are to become one.
    pub(super) fn merges(&self, turn: &Turn<'_>, merge: Merge<Small>) -> Proc {
        if !merge.may_drop_segments() {
            return self.merged(merge);
        }
        let names_dead = |packs: &Bits| packs.iter().any(|pack| merge.drops(&pack));
        let merges = turn.config.merges && self.segments.len() > 1;
        let touched: BTreeSet<u8> =
            self.segments.iter().filter(|(_, packs)| merges || names_dead(packs)).map(|(name, _)| *name).collect();
        if touched.is_empty() {
            return self.merged(merge);
        }
        if turn.config.has(Mutation::SegmentsDeletedFirst) {
            return self.then(Second::Supersede(merge, touched));
        }
        self.then(Second::Put(merge, touched))
    }

    fn merged(&self, merge: Merge<Small>) -> Proc {
        let delete = merge.merged();
        let left = Bits::from(delete.packs()) | self.others;
        let before = Rc::new(Before { committed: self.before.committed, ..Before::default() });
        let then = Self { segments: Segments::new(), early: None, before, ..self.clone() };
        then.then(Second::Delete(delete, left))
    }

    fn puts_merged(&self, turn: &mut Turn<'_>, merge: Merge<Small>, touched: BTreeSet<u8>) {
        let named = touched.iter().fold(Bits::NONE, |packs, name| packs | self.segments[name]);
        let left = named.iter().filter(|pack| !merge.drops(pack)).collect::<Bits>();
        let then = if turn.config.has(Mutation::SegmentsDeletedFirst) {
            self.merged(merge)
        } else {
            self.then(Second::Supersede(merge, touched))
        };
        if left.is_empty() {
            turn.goes("P4 needs no new segment", then);
        } else {
            turn.puts("P4 puts a new segment", Put::Segment(self.names.merged, left), then);
        }
    }

    /// One after the other: it may stop between them.
    fn supersedes(&self, turn: &mut Turn<'_>, merge: Merge<Small>, touched: BTreeSet<u8>) {
        let present: Vec<u8> = touched.iter().copied().filter(|name| turn.store.index.contains_key(name)).collect();
        let then = if present.len() > 1 {
            self.then(Second::Supersede(merge, touched))
        } else if turn.config.has(Mutation::SegmentsDeletedFirst) {
            self.then(Second::Put(merge, touched))
        } else {
            self.merged(merge)
        };
        turn.changes("P4 deletes a segment", then, |store| {
            present.first().map(|name| store.index.remove(name));
        });
    }

    fn deletes(&self, turn: &mut Turn<'_>, delete: Delete<Small>, left: Bits) {
        let present = left & turn.store.packs;
        let Some(pack) = present.first() else {
            return turn.goes("P5 is done", self.deleted(turn, delete));
        };
        let left = present - Bits::one(pack);
        let then = if left.is_empty() { self.deleted(turn, delete) } else { self.then(Second::Delete(delete, left)) };
        turn.changes("P5 deletes a pack", then, |store| store.packs -= Bits::one(pack));
    }

    fn deleted(&self, turn: &Turn<'_>, delete: Delete<Small>) -> Proc {
        let finish = delete.deleted(self.void.set());
        if turn.config.has(Mutation::VoidsDeletedFirst) {
            return self.then(Second::DropEarly(finish));
        }
        self.then(Second::Finish(finish))
    }

    fn finishes(&self, turn: &mut Turn<'_>, finish: Finish<Small>) {
        let void = Bits::from(finish.void());
        let superseded = match turn.config.mutation {
            Some(Mutation::OthersRecordsDeleted) => turn.store.gc_names(),
            _ => finish.superseded().clone(),
        };
        let record = finish.record().cloned().map(|record| match turn.config.mutation {
            Some(Mutation::DeadListsNotCarried) => self.own_part(turn.store, record),
            _ => record,
        });
        let records = |record| Second::Records(superseded.clone(), record, void);
        match record {
            None => turn.goes("P6 has nothing to say", self.then(records(None))),
            Some(_) if turn.config.has(Mutation::NoFinishedRecord) => {
                turn.goes("P6 puts no record", self.then(records(None)));
            }
            Some(record) if turn.config.has(Mutation::FinishedRecordLast) => {
                turn.goes("P6 puts no record yet", self.then(records(Some(record))));
            }
            Some(record) => {
                turn.puts(
                    "P6 puts the finished record",
                    Put::Gc(self.names.finished, record),
                    self.then(records(None)),
                );
            }
        }
    }

    /// What this prune has done itself.
    fn own_part(&self, store: &Store, mut record: Record<Small>) -> Record<Small> {
        let own = store.gc.records.get(&self.names.condemning).cloned().unwrap_or_default();
        record.dead.retain(|pack| own.condemned.contains(pack));
        record.void.retain(|id| own.void.contains(id) || store.forgotten.has(*id));
        record
    }

    fn deletes_records(&self, turn: &mut Turn<'_>, left: BTreeSet<u8>, finished: Option<Record<Small>>, void: Bits) {
        let present: Vec<u8> = left.iter().copied().filter(|name| turn.store.gc.records.contains_key(name)).collect();
        match (present.first(), finished) {
            (Some(name), finished) => {
                let left = present[1..].iter().copied().collect::<BTreeSet<u8>>();
                let is_last = left.is_empty() && finished.is_none();
                let then = if is_last { Second::DropSnapshots(void) } else { Second::Records(left, finished, void) };
                turn.changes("P6 deletes a record", self.then(then), |store| drop(store.gc.records.remove(name)));
            }
            (None, Some(record)) => {
                let put = Put::Gc(self.names.finished, record);
                turn.puts("P6 puts the finished record too late", put, self.then(Second::DropSnapshots(void)));
            }
            (None, None) => turn.goes("P6 has deleted all records", self.then(Second::DropSnapshots(void))),
        }
    }
}

/// What others have condemned and no root needs.
fn others_work(turn: &Turn<'_>, judge: &Judge<Small>, holders: [Bits; CHUNKS as usize]) -> Bits {
    let live = turn.config.live_chunks(judge.roots().into());
    let is_safe = |&chunk: &u8| holders[usize::from(chunk)].iter().any(|pack| judge.is_safe(&pack));
    let rescued = live.iter().filter(|chunk| !is_safe(chunk)).fold(Bits::NONE, |all, c| all | holders[usize::from(c)]);
    judge.gc().records.values().fold(Bits::NONE, |all, record| all | Bits::from(&record.condemned)) - rescued
}

impl Second {
    fn is_listing(&self) -> bool {
        use Second::{Forgotten, Gc, Index, Packs, Pending, PendingLast, Snapshots, Void};
        matches!(
            self,
            Pending(_) | Snapshots(_) | Forgotten(_) | Void(..) | Gc(_) | Index(..) | Packs(_) | PendingLast(..)
        )
    }
}
