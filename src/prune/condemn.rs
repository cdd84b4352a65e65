//! Condemns packs that are damaged or lost: P1 to P6 for packs that are chosen by what they give and not by what is
//! needed.

use std::collections::BTreeSet;

use super::rows::for_each_chunk;
use super::run::put_record;
use super::{roots, segments};
use crate::error::Result;
use crate::format::index::ShortId;
use crate::id::PackId;
use crate::index::{LocalIndex, Location};
use crate::progress::Context;
use crate::protocol::pruner::{Begin, Judge, Merge, RelistPending};
use crate::repo::Repository;
use crate::repo::view::Stored;
use crate::store::{ObjectKind, ObjectName};

/// Deletes packs of which all that they give lies elsewhere, and answers which of them are dead now. The others hold
/// the only copy of something, and stay.
///
/// `gives` says of a place whether the chunk can be had from there: for a repair, a chunk that cannot be opened counts
/// as absent. Whatever a pack gives is taken for needed: a root that is damaged does not say what it needs.
///
/// # Errors
/// The store fails. Nothing that is given is lost, and the packs can be condemned again.
pub(crate) fn condemn(
    repository: &Repository,
    packs: &BTreeSet<ObjectName>,
    gives: &dyn Fn(&ShortId, &Location) -> bool,
    cx: &Context<'_>,
) -> Result<BTreeSet<PackId>> {
    let condemned: BTreeSet<PackId> = packs.iter().map(|name| name.id().into()).collect();
    // P1, in this order.
    let step = Begin.packs_listed::<Stored>(roots::packs(repository)?.keys().copied().collect());
    let pending = roots::ids(repository, ObjectKind::Pending)?;
    let step = step.pending_listed(pending.clone());
    let step = step.snapshots_listed(roots::ids(repository, ObjectKind::Snapshots)?);
    let step = step.voids_listed(&roots::forgetting(repository, &pending, cx)?.voids);
    let (gc, index) = repository.look_at_all(cx)?;
    let announce = step.index_listed(gc.records, repository.packs_named(&index)?).chosen(condemned.clone(), false);
    let Some(record) = announce.record() else { return Ok(BTreeSet::new()) };
    let own = put_record(repository, record, cx)?; // P2
    let (step, index) = judge(repository, announce.announced(own), &condemned, gives, cx)?; // P3
    let merged = segments::merge(repository, &index.segments(), true, &step, cx)?; // P4
    segments::delete(repository, &merged)?;
    let dead = step.dead().clone();
    for name in packs.iter().filter(|name| dead.contains(&name.id().into())) {
        cx.cancel.check()?;
        repository.objects.delete(*name)?; // P5
    }
    let finish = step.merged().deleted(BTreeSet::new());
    if let Some(record) = finish.record() {
        put_record(repository, record.clone(), cx)?; // P6
    }
    for &name in finish.superseded() {
        repository.objects.delete(ObjectName::new(ObjectKind::Gc, name))?;
    }
    repository.objects.space_was_freed();
    Ok(dead)
}

/// P3: each chunk that a condemned pack gives must lie in one that is not condemned, or the pack is rescued.
fn judge(
    repository: &Repository,
    step: RelistPending<Stored>,
    condemned: &BTreeSet<PackId>,
    gives: &dyn Fn(&ShortId, &Location) -> bool,
    cx: &Context<'_>,
) -> Result<(Merge<Stored>, LocalIndex)> {
    let pending = roots::ids(repository, ObjectKind::Pending)?;
    let step = step.pending_listed(pending.clone());
    let step = step.snapshots_listed(roots::ids(repository, ObjectKind::Snapshots)?);
    let mut step = step.voids_listed(&roots::forgetting(repository, &pending, cx)?.voids);
    loop {
        let (gc, index) = repository.look_at_all(cx)?;
        let relist = step.index_listed(gc.records, repository.packs_named(&index)?);
        let mut judge: Judge<Stored> = relist.packs_listed(roots::packs(repository)?.keys().copied().collect());
        for_each_chunk(repository, &index, cx, &mut |id, rows| {
            // A copy elsewhere counts by the word of somebody who could check it.
            let counts = |row: &&Location| condemned.contains(&row.pack.id) || repository.trusts(&row.pack);
            let given: Vec<PackId> =
                rows.iter().filter(|row| gives(id, row)).filter(counts).map(|row| row.pack.id).collect();
            if given.iter().any(|pack| condemned.contains(pack)) {
                judge.needs(&given);
            }
            Ok(())
        })?;
        match judge.list_again() {
            Some(again) => step = again,
            None => return Ok((judge.judged(), index)),
        }
    }
}
