//! One prune from P1 to P6.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::judge::{self, Before, Now};
use super::mark::{Needs, require_sight};
use super::plan::{Limits, Plan};
use super::repack::{Copied, Copying};
use super::roots::{self, Forgetting, Packs, Root};
use super::segments::{self, Merged};
use super::tally::Tally;
use super::{Options, Report};
use crate::error::{Error, Result, with_causes};
use crate::format::log;
use crate::format::record::Extras;
use crate::format::snapshot::SNAPSHOT_BYTES_MAX;
use crate::id::{ObjectId, PackId, SegmentId, SnapshotId};
use crate::progress::Context;
use crate::protocol::Record;
use crate::protocol::pruner::{Announce, Begin, Choose, Merge, RelistPending};
use crate::repo::Repository;
use crate::repo::fetch::Reader;
use crate::repo::view::{GcListed, Stored, View};
use crate::store::{ObjectKind, ObjectName, StoreError};

/// Attempts that are made when snapshots and packs vanish meanwhile, as they may while others forget and prune.
const LOOKS_MAX: u32 = 8;

/// One prune at work.
pub(super) struct Prune<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a Options,
    pub(super) cx: &'a Context<'a>,
    pub(super) started: Duration,
}

/// What P1 has listed.
struct Listed {
    known: BTreeSet<SnapshotId>,
    packs: Packs,
    pending: BTreeSet<SnapshotId>,
    snapshots: BTreeSet<SnapshotId>,
    forgetting: Forgetting,
    /// Roots that could be opened, and whose needs are marked.
    opened: BTreeSet<SnapshotId>,
    /// Forgotten snapshots that can be brought back, and until when.
    undo: Vec<(SnapshotId, Timestamp)>,
}

/// What P1 has seen and marked.
struct Seen<'s> {
    listed: &'s Listed,
    view: &'s View,
    gc: GcListed,
    reader: &'s Reader<'s>,
    needs: Needs<'s>,
    tally: Tally<'s>,
    is_missing: bool,
}

/// What P3 leaves: the step to take next, the segments that were seen, and whether these name what is dead.
struct Judged {
    step: Merge<Stored>,
    segments: BTreeSet<SegmentId>,
    names_dead: bool,
    condemned: u64,
}

impl Seen<'_> {
    /// Whether something that a root needs was found nowhere.
    fn is_unsure(&self) -> bool {
        self.is_missing || !self.needs.unsure.is_empty()
    }
}

impl Prune<'_> {
    /// Whether this part of the time is over: copies have half of it, so that what is unneeded can go.
    fn is_over_by(&self, part: u32) -> bool {
        let used = self.cx.clock.elapsed().saturating_sub(self.started);
        self.options.max_time.is_some_and(|most| used >= most / part)
    }

    /// So long before now; as long ago as there are times, if that is beyond all of them. No time at all leaves nothing out,
    /// also not what a clock that was wrong has dated ahead.
    fn ago(&self, span: Span) -> Timestamp {
        if span.is_zero() {
            return Timestamp::MAX;
        }
        let now = self.cx.clock.now().to_zoned(TimeZone::system());
        now.checked_sub(span).map_or(Timestamp::MIN, |then| then.timestamp())
    }

    pub(super) fn run(&self, mut tell: Option<&mut dyn FnMut(&Report)>) -> Result<Report> {
        for _ in 1..LOOKS_MAX {
            let tell: Option<&mut dyn FnMut(&Report)> = match &mut tell {
                Some(tell) => Some(&mut **tell),
                None => None,
            };
            if let Some(report) = self.run_once(tell, false)? {
                return Ok(report);
            }
        }
        let report = self.run_once(tell, true)?;
        Ok(report.expect("the last attempt is not given up for another one"))
    }

    /// Answers nothing if what it had listed was forgotten and pruned away by others before it could be followed: then all is to
    /// be listed anew. Nothing was done by then.
    fn run_once(&self, tell: Option<&mut dyn FnMut(&Report)>, is_last: bool) -> Result<Option<Report>> {
        let Self { repository, cx, .. } = *self;
        let known = self.known()?;
        // P1, in this order.
        let packs = roots::packs(repository)?;
        let step = Begin.packs_listed::<Stored>(packs.keys().copied().collect());
        let pending = roots::ids(repository, ObjectKind::Pending)?;
        let step = step.pending_listed(pending.clone());
        let snapshots = roots::ids(repository, ObjectKind::Snapshots)?;
        let step = step.snapshots_listed(snapshots.clone());
        let forgetting = roots::forgetting(repository, &pending, cx)?;
        self.require_known(&known, &snapshots, &forgetting)?;
        let mut step = step.voids_listed(&forgetting.voids);
        let live = roots::open_all(repository, step.roots(), &snapshots, cx)?;
        let opened = live.iter().map(|root| root.id).collect();
        if !self.are_accounted_for(&(step.roots() & &snapshots), &opened)? {
            return if is_last { Err(Error::Overtaken(LOOKS_MAX)) } else { Ok(None) };
        }
        let undo = self.undo(&snapshots, &forgetting);
        let forgotten = roots::open_forgotten(repository, undo.iter().map(|(id, _)| id), cx)?;
        cx.progress.ahead((live.len() + forgotten.len()) as u64, 0);
        let listed = Listed { known, packs, pending, snapshots, forgetting, opened, undo };
        loop {
            let (gc, index) = repository.look_at_all(cx)?;
            let view = Arc::new(View { condemned: gc.clone().before_index(), index });
            let indexed = self.repository.packs_named(&view.index)?;
            let there = self.there(&listed.packs, &indexed, &live)?;
            let reader = Reader::of_view(repository, Arc::clone(&view), cx)?;
            let mut needs = Needs::new(repository, &view.index);
            match needs.mark_roots(&reader, &live, &there, cx) {
                Err(error) if !is_last && self.is_overtaken(&error)? => return Ok(None),
                marked => marked?,
            }
            needs.mark_forgotten(&reader, &forgotten, cx)?;
            let tally = Tally::of(repository, &listed.packs, &there, &gc.records, &view.index, &mut needs, cx)?;
            let is_missing = needs.is_missing || tally.is_missing;
            let choose = step.index_listed(gc.records.clone(), indexed);
            let seen = Seen { listed: &listed, view: &view, gc, reader: &reader, needs, tally, is_missing };
            if seen.is_unsure()
                && let Some(again) = choose.list_again()
            {
                step = again;
                continue;
            }
            let committed = choose.roots() & &listed.snapshots;
            if seen.is_missing && !is_last && self.are_outdated(&committed)? {
                return Ok(None);
            }
            require_sight(seen.needs.blind)?;
            return self.carry_out(choose, seen, tell).map(Some);
        }
    }

    /// Whether each of these committed snapshots was opened, or is junk. One that is gone was pruned away by somebody else.
    ///
    /// # Errors
    /// It is gone, and listed, and nobody has forgotten it.
    fn are_accounted_for(&self, committed: &BTreeSet<SnapshotId>, opened: &BTreeSet<SnapshotId>) -> Result<bool> {
        for &id in committed.difference(opened) {
            let name = ObjectName::new(ObjectKind::Snapshots, id);
            if self.repository.objects.get_if_present(name, SNAPSHOT_BYTES_MAX)?.is_some() {
                continue;
            }
            if self.are_outdated(&BTreeSet::from([id]))? {
                return Ok(false);
            }
            self.repository.objects.get(name, SNAPSHOT_BYTES_MAX)?;
        }
        Ok(true)
    }

    /// Snapshots that must be there or void.
    fn known(&self) -> Result<BTreeSet<SnapshotId>> {
        let (snapshots, graph) = self.repository.history(self.cx)?;
        match self.repository.compare_or_note(&graph, self.cx)? {
            Some(withheld) => Err(withheld.into_error(self.repository.objects.location())),
            None => Ok(snapshots.into_iter().map(|snapshot| snapshot.id).collect()),
        }
    }

    /// A listing that lacks what was there a moment ago is no listing.
    fn require_known(
        &self,
        known: &BTreeSet<SnapshotId>,
        snapshots: &BTreeSet<SnapshotId>,
        forgetting: &Forgetting,
    ) -> Result<()> {
        let is_gone = |id: &&SnapshotId| !snapshots.contains(*id) && !forgetting.voids.by_right.contains(*id);
        let gone: Vec<SnapshotId> = known.iter().filter(is_gone).copied().collect();
        if gone.is_empty() {
            return Ok(());
        }
        Err(Error::Withheld { location: self.repository.objects.location(), snapshots: gone, statements: 0 })
    }

    fn undo(&self, snapshots: &BTreeSet<SnapshotId>, forgetting: &Forgetting) -> Vec<(SnapshotId, Timestamp)> {
        let from = self.ago(self.options.undo_window);
        let is_there =
            |(id, _): &(&SnapshotId, &Timestamp)| snapshots.contains(*id) && !forgetting.removed.contains(*id);
        let recent = forgetting.since.iter().filter(is_there).filter(|(_, since)| **since > from);
        recent
            .map(|(&id, since)| {
                let end = since.to_zoned(TimeZone::system()).checked_add(self.options.undo_window);
                (id, end.map_or(Timestamp::MAX, |end| end.timestamp()))
            })
            .collect()
    }

    /// Every pack that is there: those that were listed, unless there is a doubt. One that the index names and the listing lacks
    /// was put since, or is lost; and one that an announced snapshot needs may be gone by now.
    fn there(&self, listed: &Packs, indexed: &BTreeSet<PackId>, roots: &[Root]) -> Result<BTreeSet<PackId>> {
        let is_certain =
            indexed.iter().all(|pack| listed.contains_key(pack)) && roots.iter().all(|root| root.is_committed);
        let now = if is_certain { None } else { Some(roots::packs(self.repository)?) };
        Ok(now.as_ref().unwrap_or(listed).keys().copied().collect())
    }

    fn carry_out(
        &self,
        choose: Choose<Stored>,
        mut seen: Seen<'_>,
        tell: Option<&mut dyn FnMut(&Report)>,
    ) -> Result<Report> {
        let mut report = self.report(&seen);
        let Some(tell) = tell else { return Ok(report) };
        tell(&report);
        let copied = self.copy(&mut seen, &report.plan)?;
        report.damaged = copied.damaged;
        let mut condemned = report.plan.condemned.clone();
        condemned.extend(&copied.packs);
        let announce = choose.chosen(condemned, seen.is_unsure());
        self.note_unsure(&seen.needs.unsure);
        let judged = match announce.record() {
            None => self.without_announcement(announce, &seen)?,
            Some(record) => self.announce(announce, record, &mut seen)?,
        };
        report.rescued = judged.condemned - judged.step.dead().len() as u64;
        report.repacked = copied.packs.intersection(judged.step.dead()).count() as u64;
        report.stored_bytes = copied.stored_bytes;
        report.is_stopped = copied.is_stopped;
        self.finish(judged, &seen, &mut report)?;
        Ok(report)
    }

    fn report(&self, seen: &Seen<'_>) -> Report {
        let limits = Limits {
            unused: self.options.max_unused,
            repack: self.options.max_repack,
            young_from: self.ago(self.options.min_age),
            pack_bytes: u64::from(self.repository.config.pack_bytes),
            keeps_orphans: seen.is_missing,
        };
        let plan = Plan::of(&seen.tally, &seen.gc.records, &limits);
        let ends = || seen.listed.undo.iter().map(|(_, end)| *end);
        let undo_until = ends().min().zip(ends().max()).filter(|_| plan.undo_bytes > 0);
        let old_enough = |put: Timestamp| put.to_zoned(TimeZone::system()).checked_add(self.options.min_age);
        let young_until = plan.youngest.and_then(|put| old_enough(put).ok()).map(|end| end.timestamp());
        Report { plan, undo_until, young_until, is_missing: seen.is_missing, ..Report::default() }
    }

    /// Copies what is needed of packs that shall go. Where there is no room for that, they stay.
    fn copy(&self, seen: &mut Seen<'_>, plan: &Plan) -> Result<Copied> {
        let Seen { reader, view, tally, needs, .. } = seen;
        let copying = Copying {
            repository: self.repository,
            reader,
            index: &view.index,
            tally,
            plan,
            is_over: &|| self.is_over_by(2),
            unread: RefCell::default(),
        };
        self.cx.progress.ahead(plan.copies.len() as u64, plan.copied_bytes);
        match copying.run(needs, self.cx) {
            Err(error) if is_no_space(&error) => {
                self.cx.progress.note(&format!("not all was copied: {}", with_causes(&error)));
                Ok(Copied::default())
            }
            copied => copied,
        }
    }

    fn without_announcement(&self, announce: Announce<Stored>, seen: &Seen<'_>) -> Result<Judged> {
        let step = announce.nothing_announced();
        let names_dead = self.repository.packs_named(&seen.view.index)?.iter().any(|pack| step.drops(pack));
        Ok(Judged { step, segments: seen.view.index.segments(), names_dead, condemned: 0 })
    }

    /// P2 and P3.
    fn announce(&self, announce: Announce<Stored>, record: Record<Stored>, seen: &mut Seen<'_>) -> Result<Judged> {
        let condemned = record.condemned.len() as u64;
        let own = put_record(self.repository, record, self.cx)?; // P2
        let step = announce.announced(own);
        let mut looks = 1;
        loop {
            match self.look_again(step.clone(), own, seen) {
                Err(error) if looks < LOOKS_MAX && self.is_overtaken(&error)? => looks += 1,
                judged => return judged.map(|judged| Judged { condemned, ..judged }),
            }
        }
    }

    /// P3.
    fn look_again(&self, step: RelistPending<Stored>, own: ObjectId, seen: &mut Seen<'_>) -> Result<Judged> {
        let Self { repository, cx, .. } = *self;
        let pending = roots::ids(repository, ObjectKind::Pending)?;
        let step = step.pending_listed(pending.clone());
        let snapshots = roots::ids(repository, ObjectKind::Snapshots)?;
        let step = step.snapshots_listed(snapshots.clone());
        let forgetting = roots::forgetting(repository, &pending, cx)?;
        self.require_known(&seen.listed.known, &snapshots, &forgetting)?;
        let mut step = step.voids_listed(&forgetting.voids);
        let packs_before: BTreeSet<PackId> = seen.listed.packs.keys().copied().collect();
        loop {
            let (gc, index) = repository.look_at_all(cx)?;
            let view = Arc::new(View { condemned: gc.clone().before_index(), index });
            let indexed = self.repository.packs_named(&view.index)?;
            let relist = step.index_listed(gc.records, indexed.clone());
            let packs: BTreeSet<PackId> = roots::packs(repository)?.keys().copied().collect();
            let mut judge = relist.packs_listed(packs.clone());
            let reader = Reader::of_view(repository, Arc::clone(&view), cx)?;
            let mut before = Before {
                index: &seen.view.index,
                needs: &mut seen.needs,
                roots: &seen.listed.opened,
                names: &seen.gc.names,
                packs: &packs_before,
            };
            let (names, snapshots) = (&gc.names, &snapshots);
            let now = Now { index: &view.index, reader: &reader, names, packs: &packs, snapshots, own };
            let blind = judge::judge(repository, &mut judge, &mut before, &now, cx)?;
            if let Some(again) = judge.list_again() {
                step = again;
                continue;
            }
            require_sight(blind)?;
            let step = judge.judged();
            let names_dead = indexed.iter().any(|pack| step.drops(pack));
            return Ok(Judged { step, segments: view.index.segments(), names_dead, condemned: 0 });
        }
    }

    /// Whether a root that could not be followed is none any more, or was only announced and lost a race.
    fn is_overtaken(&self, error: &Error) -> Result<bool> {
        match error {
            // Of a pack that is gone meanwhile a reader says that its blocks are damaged.
            Error::BrokenRoot { snapshot, .. } => self.are_outdated(&BTreeSet::from([*snapshot])),
            _ => Ok(false),
        }
    }

    /// Whether one of these roots is void by now, or is not committed.
    fn are_outdated(&self, roots: &BTreeSet<SnapshotId>) -> Result<bool> {
        let snapshots = roots::ids(self.repository, ObjectKind::Snapshots)?;
        let void = self.repository.voids(self.cx)?.by_right;
        Ok(roots.iter().any(|id| void.contains_key(id) || !snapshots.contains(id)))
    }

    fn note_unsure(&self, unsure: &BTreeSet<SnapshotId>) {
        for id in unsure.iter().map(SnapshotId::short) {
            self.cx.progress.note(&format!(
                "{id} is announced and not whole, so that not all can go: its machine's next run withdraws it, or \
                 `caddis prune --drop-pending {id}`"
            ));
        }
    }

    /// P4, P5 and P6.
    fn finish(&self, judged: Judged, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let Judged { step, segments, names_dead, .. } = judged;
        let merge = || match segments::merge(self.repository, &segments, names_dead, &step, self.cx) {
            Err(error) if is_no_space(&error) => Ok(None),
            merged => merged.map(Some),
        };
        // Where there is no room for a segment, there may be after the packs are deleted; that the index names what is gone
        // harms nobody, for it is condemned, and a later prune sees to it.
        let mut merged = merge()?;
        merged.iter().try_for_each(|merged| segments::delete(self.repository, merged))?;
        let dead: BTreeSet<PackId> = step.dead().clone();
        self.delete_packs(&dead, seen, report)?;
        if merged.is_none() {
            merged = merge()?;
            merged.iter().try_for_each(|merged| segments::delete(self.repository, merged))?;
        }
        let Merged { put, superseded } = merged.unwrap_or_default();
        report.merged = (superseded.len() as u64, put);
        let undo: BTreeSet<SnapshotId> = seen.listed.undo.iter().map(|(id, _)| *id).collect();
        let forgetting = &seen.listed.forgetting;
        let void = forgetting.voids.by_right.iter().filter(|id| !undo.contains(*id));
        let finish = step.merged().deleted(void.copied().collect());
        if let Some(record) = finish.record() {
            put_record(self.repository, record.clone(), self.cx)?; // P6
        }
        for &name in finish.superseded() {
            self.repository.objects.delete(ObjectName::new(ObjectKind::Gc, name))?;
        }
        self.delete_void(finish.void(), seen, report)?;
        self.repository.objects.space_was_freed();
        Ok(())
    }

    /// P5.
    fn delete_packs(&self, dead: &BTreeSet<PackId>, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        for id in dead {
            let Some((kind, object)) = seen.listed.packs.get(id) else { continue };
            self.cx.cancel.check()?;
            if self.is_over_by(1) {
                report.is_stopped = true;
                return Ok(());
            }
            self.repository.objects.delete(ObjectName::new(kind.object_kind(), *id))?;
            report.deleted.packs += 1;
            report.deleted.bytes += object.bytes;
        }
        Ok(())
    }

    /// Deletes what is left of void snapshots, and of announcements whose snapshots are committed.
    fn delete_void(&self, void: &BTreeSet<SnapshotId>, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let Listed { pending, snapshots, forgetting, .. } = seen.listed;
        let objects = &self.repository.objects;
        for &id in snapshots.intersection(void) {
            objects.delete(ObjectName::new(ObjectKind::Snapshots, id))?;
            report.removed += 1;
        }
        for &id in pending.iter().filter(|id| void.contains(*id) || snapshots.contains(*id)) {
            objects.delete(ObjectName::new(ObjectKind::Pending, id))?;
        }
        for record in forgetting.records.iter().filter(|record| record.ids.is_subset(void)) {
            objects.delete(ObjectName::new(ObjectKind::Forgotten, record.name))?;
        }
        Ok(())
    }
}

/// Puts a gc record and answers its name.
pub(super) fn put_record(repository: &Repository, record: Record<Stored>, cx: &Context<'_>) -> Result<ObjectId> {
    let Record { condemned, dead, void } = record;
    let record = log::Gc {
        condemned: condemned.into_iter().collect(),
        dead: dead.into_iter().collect(),
        void: void.into_iter().collect(),
        time: cx.clock.now().into(),
        extras: Extras::default(),
    };
    let bytes = log::encode_gc(&record, &repository.keyring, &repository.signatory)
        .map_err(|source| Error::Encode { what: "a gc record", source })?;
    Ok(repository.objects.put(ObjectKind::Gc, &bytes)?.id())
}

fn is_no_space(error: &Error) -> bool {
    match error {
        Error::Store { source, .. } => matches!(source, StoreError::NoSpace),
        Error::Spent(error) => is_no_space(error),
        _ => false,
    }
}
