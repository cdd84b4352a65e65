//! Bringing back snapshots that were forgotten, as long as no prune has taken what they are made of.
//!
//! An id that is void stays void. The snapshot is committed anew, through all steps of a backup, under a new id to
//! which the old one leads.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::forget::UNDO_WINDOW_DAYS;
use crate::id::{ChunkId, SnapshotId};
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::snapshots::{Snapshot, Voided, begins_with};
use crate::rewrite::commit_anew;

const UNDO_WINDOW: SignedDuration = SignedDuration::from_hours(24 * UNDO_WINDOW_DAYS);

/// A forgotten snapshot that is still there.
#[derive(Clone, Debug)]
pub struct ForgottenSnapshot {
    /// As it was.
    pub snapshot: Snapshot,
    /// Why and since when it is void.
    pub voided: Voided,
}

impl ForgottenSnapshot {
    /// Until when no prune with the usual window touches it; nothing if the next one may.
    pub fn safe_until(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.voided.since?.to_jiff()?;
        since.checked_add(UNDO_WINDOW).ok().filter(|until| *until > now)
    }
}

/// What a repository holds of snapshots, live and forgotten.
struct Known {
    live: Vec<Snapshot>,
    /// Of each kin that has no live snapshot, the one that was void last.
    forgotten: Vec<ForgottenSnapshot>,
    /// The ids that a lineage had before, as far as they are still there.
    earlier: BTreeMap<SnapshotId, Vec<SnapshotId>>,
    void: BTreeMap<SnapshotId, Voided>,
}

/// What makes two snapshots the same, whatever their ids: where they come from, and what they hold. One that was repaired
/// holds less than the one that it stands for.
type Kin = (SnapshotId, ChunkId);

fn kin(snapshot: &Snapshot) -> Kin {
    (snapshot.lineage(), snapshot.body.root)
}

impl Known {
    fn read(repository: &Repository, cx: &Context<'_>) -> Result<Self> {
        let (snapshots, void) = repository.snapshots_and_voids(cx)?;
        let (dead, live): (Vec<Snapshot>, Vec<Snapshot>) =
            snapshots.into_iter().partition(|snapshot| void.contains_key(&snapshot.id));
        let live_kin: BTreeSet<Kin> = live.iter().map(kin).collect();
        let mut earlier: BTreeMap<SnapshotId, Vec<SnapshotId>> = BTreeMap::new();
        dead.iter().for_each(|snapshot| earlier.entry(snapshot.lineage()).or_default().push(snapshot.id));
        let mut last: BTreeMap<Kin, ForgottenSnapshot> = BTreeMap::new();
        for snapshot in dead.into_iter().filter(|snapshot| !live_kin.contains(&kin(snapshot))) {
            let found = ForgottenSnapshot { voided: void[&snapshot.id].clone(), snapshot };
            let lineage = found.snapshot.lineage();
            // The first of a lineage was there before all others, whatever clocks say.
            let order = |found: &ForgottenSnapshot| (found.snapshot.id != lineage, found.voided.since);
            let kin = kin(&found.snapshot);
            if last.get(&kin).is_none_or(|other| order(other) < order(&found)) {
                last.insert(kin, found);
            }
        }
        let mut forgotten: Vec<ForgottenSnapshot> = last.into_values().collect();
        forgotten.sort_by_key(|found| (found.snapshot.header.time, found.snapshot.id));
        Ok(Self { live, forgotten, earlier, void })
    }

    fn find(&self, wanted: &str) -> Result<Found<'_>> {
        let is_named = |snapshot: &Snapshot| {
            let earlier = self.earlier.get(&snapshot.lineage()).into_iter().flatten();
            [snapshot.id, snapshot.lineage()].iter().chain(earlier).any(|id| begins_with(*id, wanted))
        };
        let forgotten: Vec<_> = self.forgotten.iter().filter(|found| is_named(&found.snapshot)).collect();
        let live: Vec<&Snapshot> = self.live.iter().filter(|live| is_named(live)).collect();
        // Where a repair has made another one of it, its own id says which one is meant.
        let own: Vec<_> = forgotten.iter().filter(|found| begins_with(found.snapshot.id, wanted)).collect();
        if let [found] = own[..] {
            let is_kin = |other: &Snapshot| other.lineage() == found.snapshot.lineage();
            let is_own = |live: &&Snapshot| begins_with(live.id, wanted);
            let mut all = forgotten.iter().map(|found| &found.snapshot).chain(live.iter().copied());
            if all.all(is_kin) && !live.iter().any(is_own) {
                return Ok(Found::Forgotten(found));
            }
        }
        match (&forgotten[..], &live[..]) {
            ([found], []) => Ok(Found::Forgotten(found)),
            ([], [live]) if begins_with(live.id, wanted) => Err(Error::NotForgotten { snapshot: live.id.short() }),
            // One that was forgotten twice may be there twice, when two have brought it back at once.
            ([], [first, others @ ..]) if others.iter().all(|other| other.lineage() == first.lineage()) => {
                Ok(Found::Live(first))
            }
            ([], []) => match self.void.keys().find(|id| begins_with(**id, wanted)) {
                Some(gone) => Err(Error::TooLate { snapshot: gone.short(), source: None }),
                None => Err(Error::NoSuchForgotten { wanted: wanted.to_owned() }),
            },
            _ => {
                let forgotten = forgotten.iter().map(|found| found.snapshot.id);
                let found = forgotten.chain(live.iter().map(|live| live.id)).collect();
                Err(Error::AmbiguousSnapshot { wanted: wanted.to_owned(), found })
            }
        }
    }
}

/// What an id means to somebody who wants its snapshot back.
enum Found<'k> {
    Forgotten(&'k ForgottenSnapshot),
    /// It is back already, or was never away: this one took its place.
    Live(&'k Snapshot),
}

/// What became of one snapshot that was wanted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unforgotten {
    /// The id that it had.
    pub old: SnapshotId,
    /// The id that it has now.
    pub new: SnapshotId,
    /// Whether somebody had brought it back before.
    pub was_there: bool,
}

/// The snapshots that can be brought back, oldest first.
///
/// # Errors
/// The store fails, or the key may not read.
pub fn forgotten(repository: &Repository, cx: &Context<'_>) -> Result<Vec<ForgottenSnapshot>> {
    Ok(Known::read(repository, cx)?.forgotten)
}

/// Brings back the snapshots whose ids begin so, and hands each to `done` as soon as it is there.
///
/// # Errors
/// [`Error::NotForgotten`], [`Error::NoSuchForgotten`] or [`Error::TooLate`], before anything is done if that can be
/// told by then; [`Error::NotPermitted`] without the right to read and write.
pub fn unforget(
    repository: &mut Repository,
    wanted: &[String],
    done: &mut dyn FnMut(Unforgotten) -> Result<()>,
    cx: &Context<'_>,
) -> Result<()> {
    let known = Known::read(repository, cx)?;
    let found: Vec<Found<'_>> = wanted.iter().map(|wanted| known.find(wanted)).collect::<Result<_>>()?;
    let mut back: BTreeMap<SnapshotId, SnapshotId> = BTreeMap::new();
    for found in found {
        let unforgotten = match found {
            Found::Live(live) => Unforgotten { old: live.lineage(), new: live.id, was_there: true },
            Found::Forgotten(ForgottenSnapshot { snapshot, .. }) => match back.get(&snapshot.id) {
                Some(&new) => Unforgotten { old: snapshot.id, new, was_there: true },
                None => {
                    let new = commit_anew(repository, snapshot, &snapshot.body, cx)
                        .or_else(|error| Err(too_late(repository, snapshot, error, cx)?))?;
                    back.insert(snapshot.id, new);
                    Unforgotten { old: snapshot.id, new, was_there: false }
                }
            },
        };
        done(unforgotten)?;
    }
    Ok(())
}

/// The error that says more, when a prune has taken what a snapshot is made of, or is about to.
fn too_late(repository: &Repository, snapshot: &Snapshot, error: Error, cx: &Context<'_>) -> Result<Error> {
    let is_pruned = match &error {
        // Where nobody has ever pruned, it is damage.
        Error::MissingChunk { .. } => !repository.gc_names()?.is_empty(),
        Error::DamagedBlock { pack, .. } => !repository.gc(cx)?.records.spares(pack),
        _ => false,
    };
    let too_late = |error| Error::TooLate { snapshot: snapshot.id.short(), source: Some(Box::new(error)) };
    Ok(if is_pruned { too_late(error) } else { error })
}
