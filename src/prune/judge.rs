//! P3: what is condemned is judged by what every root needs now.

use std::collections::BTreeSet;

use super::mark::{Blind, Need, Needs, broken_root};
use super::roots::open_all;
use super::rows::{by_witness, for_each_chunk, rows_of};
use crate::error;
use crate::format::index::ShortId;
use crate::id::{ObjectId, PackId, SegmentId, SnapshotId};
use crate::index::marks::Marks;
use crate::index::{LocalIndex, Location};
use crate::progress::Context;
use crate::protocol::pruner::Judge;
use crate::repo::Repository;
use crate::repo::fetch::Reader;
use crate::repo::view::Stored;
use crate::tree::closure::for_each_needed;

/// What P1 saw, and marked.
pub(super) struct Before<'a, 'i> {
    pub(super) index: &'a LocalIndex,
    pub(super) needs: &'a mut Needs<'i>,
    /// Roots whose needs are marked.
    pub(super) roots: &'a BTreeSet<SnapshotId>,
    /// Names in `gc/`.
    pub(super) names: &'a BTreeSet<ObjectId>,
    /// Packs that were there.
    pub(super) packs: &'a BTreeSet<PackId>,
}

/// What P3 sees.
pub(super) struct Now<'a> {
    pub(super) index: &'a LocalIndex,
    pub(super) reader: &'a Reader<'a>,
    pub(super) names: &'a BTreeSet<ObjectId>,
    pub(super) packs: &'a BTreeSet<PackId>,
    /// What is committed.
    pub(super) snapshots: &'a BTreeSet<SnapshotId>,
    /// The name of this prune's own record.
    pub(super) own: ObjectId,
}

impl Before<'_, '_> {
    /// Whether nothing that was seen has gone, and nobody else has condemned anything: then each chunk that was needed has
    /// the keeper that it was given.
    fn stands(&self, now: &Now<'_>) -> bool {
        let others: BTreeSet<ObjectId> = now.names.iter().copied().filter(|name| *name != now.own).collect();
        let segments: BTreeSet<SegmentId> = now.index.segments();
        others == *self.names && self.index.segments().is_subset(&segments) && self.packs.is_subset(now.packs)
    }
}

/// Says for each chunk that a root needs where it lies now. Answers one that the index does not have and that leads to
/// others, if a root needs such a one.
///
/// # Errors
/// A root that was announced meanwhile cannot be followed: nothing dies.
pub(super) fn judge(
    repository: &Repository,
    judge: &mut Judge<Stored>,
    before: &mut Before<'_, '_>,
    now: &Now<'_>,
    cx: &Context<'_>,
) -> error::Result<Option<Blind>> {
    if !before.stands(now) {
        for_each_chunk(repository, before.index, cx, &mut |id, _| {
            if before.needs.of(id)? == Need::Live {
                say_needed(repository, judge, &rows_of(repository, now.index, id)?);
            }
            Ok(())
        })?;
    }
    let unsure = &before.needs.unsure;
    let is_new = |id: &&SnapshotId| !before.roots.contains(*id) || unsure.contains(*id);
    let new: Vec<SnapshotId> = judge.roots().iter().filter(is_new).copied().collect();
    if new.is_empty() {
        return Ok(None);
    }
    // What was needed before was judged, and all that it leads to; unless that could not be seen.
    let all_was_seen = unsure.is_empty();
    let mut blind = None;
    let mut met: Marks<'_, u8> = Marks::new(now.index);
    for root in open_all(repository, &new, now.snapshots, cx)? {
        for_each_needed(now.reader, &root.body, cx.cancel, &mut |needed| {
            let id = ShortId::from(needed.id);
            let leads_on = needed.kind.leads_on();
            if all_was_seen && before.needs.are_live(&id, leads_on)? {
                return Ok(false);
            }
            let broken = |source| repository.index_error(source);
            let wanted = if leads_on { MET | FOLLOWED } else { MET };
            if met.of(&id).map_err(broken)?.is_some_and(|met| *met & wanted == wanted) {
                return Ok(false);
            }
            let rows = rows_of(repository, now.index, &id)?;
            say_needed(repository, judge, &rows);
            if !root.is_committed && !rows.iter().any(|row| now.packs.contains(&row.pack.id)) {
                return Ok(false);
            }
            let Some(met) = met.of(&id).map_err(broken)? else {
                blind = blind.or(leads_on.then_some((root.id, needed.id)));
                return Ok(false);
            };
            *met |= wanted;
            Ok(leads_on)
        })
        .map_err(|error| broken_root(root.id, error))?;
    }
    Ok(blind)
}

/// A chunk was judged.
const MET: u8 = 1;

/// What it leads to is judged as well: a mark of its own, as in [`super::mark`].
const FOLLOWED: u8 = 2;

/// Says where a chunk lies that a root needs. Where nobody who is trusted has it in good hands, each one's word stands for
/// itself.
fn say_needed(repository: &Repository, judge: &mut Judge<Stored>, rows: &[Location]) {
    let packs = |rows: &[(usize, &Location)]| -> Vec<PackId> { rows.iter().map(|(_, row)| row.pack.id).collect() };
    let groups: Vec<_> =
        by_witness(repository, rows).into_iter().map(|(witness, rows)| (witness, packs(&rows))).collect();
    if groups.iter().any(|(witness, packs)| witness.is_none() && packs.iter().any(|pack| judge.is_safe(pack))) {
        return;
    }
    let is_there = |packs: &[PackId]| packs.iter().any(|pack| judge.packs().contains(pack));
    let (there, gone): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(_, packs)| is_there(packs));
    if there.is_empty() {
        let gone: Vec<PackId> = gone.into_iter().flat_map(|(_, packs)| packs).collect();
        return judge.needs(&gone);
    }
    there.iter().for_each(|(_, packs)| judge.needs(packs));
}
