//! Chooses what to delete and what to copy together. Whatever is chosen, the protocol keeps what is needed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::tally::{Pack, Standing, Tally};
use crate::format::index::PackKind;
use crate::id::PackId;
use crate::protocol::Gc;
use crate::repo::view::Stored;

/// A pack below this part of a full one is small.
const SMALL_PART: u64 = 4;

/// So many small packs of a kind are copied together, or as many as fill a pack.
const SMALL_PACKS: usize = 16;

/// Packs that one prune condemns at most: its record must be readable. The next one goes on.
const CONDEMNED_MAX: usize = 1 << 18;

/// How much may stay that nobody needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unused {
    /// So many hundredths of what is needed.
    Percent(f64),
    /// So many bytes.
    Bytes(u64),
    /// Whatever lies in packs of which something is needed.
    Unlimited,
}

impl Unused {
    /// The part of what is needed.
    #[allow(clippy::cast_precision_loss, reason = "a part is a rough thing")]
    fn part(self, needed: u64) -> f64 {
        match self {
            Self::Percent(percent) => percent / 100.0,
            Self::Bytes(bytes) => bytes as f64 / needed.max(1) as f64,
            Self::Unlimited => f64::INFINITY,
        }
    }
}

/// What bounds a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) unused: Unused,
    /// Sealed bytes that are copied at most.
    pub(super) repack: u64,
    /// What nobody needs and is younger may be a running backup's.
    pub(super) young_from: Timestamp,
    /// Length of a full pack.
    pub(super) pack_bytes: u64,
    /// Whether packs stay that no segment names: something that is needed may be in them.
    pub(super) keeps_orphans: bool,
}

/// Packs, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub packs: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.packs += 1;
        self.bytes += bytes;
    }
}

/// What a prune is about to do, and what stays.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Packs of which nothing is needed.
    pub delete: Amount,
    /// Packs of which the rest is copied before they are deleted, and the bytes that this frees.
    pub repack: Amount,
    /// Bytes that are copied for that.
    pub copied_bytes: u64,
    /// Unneeded packs that are so young that they may be a running backup's.
    pub young: Amount,
    /// When the youngest of them was put.
    pub youngest: Option<Timestamp>,
    /// Bytes that only forgotten snapshots need, which can still be brought back.
    pub undo_bytes: u64,
    /// Bytes that nobody needs, in packs that stay.
    pub unused_bytes: u64,
    /// Packs that are there.
    pub all_packs: u64,
    /// Bytes of all packs that are there.
    pub all_bytes: u64,
    /// What to condemn, without what is to be copied.
    pub(super) condemned: BTreeSet<PackId>,
    /// What to copy, most worthwhile first.
    pub(super) copies: Vec<PackId>,
    /// A block of which a greater part is unneeded is not copied as it is.
    pub(super) unused_part: f64,
}

impl Plan {
    pub(super) fn of(tally: &Tally<'_>, gc: &Gc<Stored>, limits: &Limits) -> Self {
        let needed = tally.packs().iter().map(|pack| pack.live).sum();
        let part = limits.unused.part(needed);
        // Half of what may stay, so that no pack is copied in which as much stays as made it worth copying.
        let unused_part = if part.is_finite() { (part / (1.0 + part) / 2.0).min(0.25) } else { 0.25 };
        let mut plan = Self { unused_part, ..Self::default() };
        plan.condemn(tally, gc, limits);
        let mut copies = BTreeSet::new();
        let mut budget = limits.repack;
        for pack in tally.packs() {
            // Whoever condemned it may never come back: what is needed of it moves, so that the rest can go.
            if pack.standing == Standing::Condemned && !pack.is_unneeded() {
                plan.copy(pack, &mut copies, &mut budget);
            }
        }
        for kind in [PackKind::Tree, PackKind::Data] {
            plan.copy_sparse(tally, kind, part, &mut copies, &mut budget);
            plan.copy_small(tally, kind, limits, &mut copies, &mut budget);
        }
        for pack in tally.packs() {
            plan.all_packs += 1;
            plan.all_bytes += pack.bytes;
            plan.undo_bytes += pack.undo;
            if copies.contains(&pack.id) {
                plan.repack.add(pack.bytes.saturating_sub(pack.live));
                plan.copied_bytes += pack.live;
            } else if !pack.is_unneeded() {
                plan.unused_bytes += pack.unused;
            }
        }
        plan
    }

    /// Unneeded packs, and what others have condemned and deleted: it is named again, so that their records can go.
    fn condemn(&mut self, tally: &Tally<'_>, gc: &Gc<Stored>, limits: &Limits) {
        for pack in tally.packs().iter().filter(|pack| pack.is_unneeded()) {
            let is_young = pack.modified.is_some_and(|modified| modified > limits.young_from);
            if limits.keeps_orphans && pack.rows == 0 {
                self.unused_bytes += pack.bytes;
            } else if is_young && pack.standing == Standing::Safe {
                self.young.add(pack.bytes);
                self.youngest = self.youngest.max(pack.modified);
            } else if self.condemned.len() < CONDEMNED_MAX {
                self.delete.add(pack.bytes);
                self.condemned.insert(pack.id);
            }
        }
        let announced = gc.records.values().flat_map(|record| &record.condemned);
        let gone = announced.filter(|pack| tally.get(pack).is_none() && !gc.is_dead(pack));
        self.condemned.extend(gone);
    }

    /// Copies a pack, unless that is more than may be copied.
    fn copy(&mut self, pack: &Pack, copies: &mut BTreeSet<PackId>, budget: &mut u64) -> bool {
        let is_allowed = pack.is_plausible() && copies.len() < CONDEMNED_MAX;
        let Some(left) = budget.checked_sub(pack.live).filter(|_| is_allowed) else { return false };
        *budget = left;
        if copies.insert(pack.id) {
            self.copies.push(pack.id);
        }
        true
    }

    /// Of packs of one kind in which too much is unneeded, those with the most.
    #[allow(clippy::cast_precision_loss, reason = "a part is a rough thing")]
    fn copy_sparse(
        &mut self,
        tally: &Tally<'_>,
        kind: PackKind,
        part: f64,
        copies: &mut BTreeSet<PackId>,
        budget: &mut u64,
    ) {
        let of_kind = tally.packs().iter().filter(|pack| pack.kind == kind && !pack.is_unneeded());
        let mut packs: Vec<&Pack> = of_kind.filter(|pack| !copies.contains(&pack.id)).collect();
        let live: u64 = packs.iter().map(|pack| pack.live).sum();
        let mut unused: u64 = packs.iter().map(|pack| pack.unused).sum();
        packs.sort_by_key(|pack| Reverse((pack.unused.saturating_mul(1000) / (pack.live + 1), pack.id)));
        for pack in packs {
            if unused as f64 <= part * live as f64 || pack.unused == 0 {
                return;
            }
            if self.copy(pack, copies, budget) {
                unused -= pack.unused;
            }
        }
    }

    /// Small packs of one kind, if there are many.
    fn copy_small(
        &mut self,
        tally: &Tally<'_>,
        kind: PackKind,
        limits: &Limits,
        copies: &mut BTreeSet<PackId>,
        budget: &mut u64,
    ) {
        let is_small = |pack: &&Pack| pack.kind == kind && pack.bytes < limits.pack_bytes / SMALL_PART;
        let stays = |pack: &&Pack| !pack.is_unneeded() && !copies.contains(&pack.id);
        let mut small: Vec<&Pack> = tally.packs().iter().filter(is_small).filter(stays).collect();
        let bytes: u64 = small.iter().map(|pack| pack.live).sum();
        if small.len() < SMALL_PACKS && bytes < limits.pack_bytes {
            return;
        }
        small.sort_by_key(|pack| (pack.bytes, pack.id));
        for pack in small {
            self.copy(pack, copies, budget);
        }
    }
}
