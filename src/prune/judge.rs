//! P3: what is condemned is judged by what every root needs now.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::mark::{Blind, Need, Needs, believed, broken_root, for_each_chunk};
use super::roots::open_all;
use crate::error;
use crate::format::index::ShortId;
use crate::id::{ObjectId, PackId, SegmentId, SnapshotId};
use crate::index::marks::Marks;
use crate::index::{IndexError, LocalIndex};
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
    let broken = |source| repository.index_error(source);
    if !before.stands(now) {
        for_each_chunk(repository, before.index, cx, &mut |id, _| {
            if before.needs.of(id)? == Need::Live {
                judge.needs(&holders(repository, now.index, id).map_err(broken)?);
            }
            Ok(())
        })?;
    }
    let is_new = |id: &&SnapshotId| !before.roots.contains(*id);
    let new: Vec<SnapshotId> = judge.roots().iter().filter(is_new).copied().collect();
    if new.is_empty() {
        return Ok(None);
    }
    let mut blind = None;
    let mut met: Marks<'_, bool> = Marks::new(now.index);
    for root in open_all(repository, &new, cx)? {
        for_each_needed(now.reader, &root.body, cx.cancel, &mut |needed| {
            let id = ShortId::from(needed.id);
            // What was needed before was judged, and all that it leads to.
            if before.needs.of(&id)? == Need::Live || met.of(&id).map_err(broken)?.is_some_and(|met| *met) {
                return Ok(false);
            }
            judge.needs(&holders(repository, now.index, &id).map_err(broken)?);
            let Some(met) = met.of(&id).map_err(broken)? else {
                blind = blind.or(needed.kind.leads_on().then_some((root.id, needed.id)));
                return Ok(false);
            };
            Ok(!std::mem::replace(met, true))
        })
        .map_err(|error| broken_root(root.id, error))?;
    }
    Ok(blind)
}

/// Every pack that holds a chunk by the word of somebody who is believed.
fn holders(repository: &Repository, index: &LocalIndex, id: &ShortId) -> Result<Vec<PackId>, IndexError> {
    let rows = RefCell::new(Vec::new());
    index.lookup_where(id, &|location| {
        rows.borrow_mut().push(location.clone());
        false
    })?;
    let mut rows = rows.into_inner();
    Ok(believed(repository, &mut rows).iter().map(|row| row.pack.id).collect())
}
