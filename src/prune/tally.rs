//! Counts, for each pack, how much of it is needed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::mark::{Need, Needs};
use super::roots::Packs;
use super::rows::{by_witness, for_each_chunk, witness};
use crate::error::Result;
use crate::format::index::PackKind;
use crate::id::PackId;
use crate::index::{LocalIndex, Location};
use crate::progress::Context;
use crate::protocol::Gc;
use crate::repo::Repository;
use crate::repo::open_pack::PACK_CHUNKS_MAX;
use crate::repo::view::Stored;

/// Whether what lies in a pack may stay there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody has condemned it.
    Safe,
    /// A prune has condemned it, which may be at work or dead.
    Condemned,
}

/// Sealed bytes of a block, each chunk with its share of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockUse {
    /// Of all chunks.
    pub(super) all: u64,
    /// Of those that somebody needs, and from here.
    pub(super) live: u64,
}

/// A pack that is there.
#[derive(Clone, Debug)]
pub(super) struct Pack {
    pub(super) id: PackId,
    pub(super) kind: PackKind,
    /// Length of the object.
    pub(super) bytes: u64,
    pub(super) modified: Option<Timestamp>,
    pub(super) standing: Standing,
    /// Whether somebody describes it whose word is trusted.
    pub(super) is_trusted: bool,
    /// Rows of the index.
    pub(super) rows: u64,
    /// By their place in the pack. Grows with the rows of the index, whatever these claim.
    pub(super) blocks: BTreeMap<u32, BlockUse>,
    /// Sealed bytes that somebody needs.
    pub(super) live: u64,
    /// Sealed bytes of chunks that nobody needs, or not from here.
    pub(super) unused: u64,
    /// The part of what is live that only forgotten snapshots need.
    pub(super) undo: u64,
}

impl Pack {
    /// Whether nobody needs anything of it.
    pub(super) fn is_unneeded(&self) -> bool {
        self.live == 0
    }

    /// Whether its rows are such as a writer makes: what claims more is not copied.
    pub(super) fn is_plausible(&self) -> bool {
        self.rows <= PACK_CHUNKS_MAX as u64
    }

    /// What rows claim beyond the length of the pack is not true.
    fn sum_up(&mut self) {
        let all: u64 = self.blocks.values().fold(0, |sum, block| sum.saturating_add(block.all));
        let live: u64 = self.blocks.values().fold(0, |sum, block| sum.saturating_add(block.live));
        self.live = live.min(self.bytes);
        self.unused = all.saturating_sub(live).min(self.bytes - self.live);
        self.undo = self.undo.min(self.bytes);
    }
}

/// All packs that are there, and what is needed of them.
pub(super) struct Tally<'r> {
    repository: &'r Repository,
    packs: Vec<Pack>,
    places: BTreeMap<PackId, usize>,
    /// A chunk that a root needs has rows, and none of their packs is there.
    pub(super) is_missing: bool,
}

impl<'r> Tally<'r> {
    pub(super) fn of(
        repository: &'r Repository,
        listed: &Packs,
        there: &BTreeSet<PackId>,
        gc: &Gc<Stored>,
        index: &LocalIndex,
        needs: &mut Needs<'_>,
        cx: &Context<'_>,
    ) -> Result<Self> {
        let condemned: BTreeSet<PackId> =
            gc.records.values().flat_map(|record| record.condemned.union(&record.dead)).copied().collect();
        let mut tally = Self { repository, packs: Vec::new(), places: BTreeMap::new(), is_missing: false };
        for (&id, &(kind, object)) in listed {
            tally.places.insert(id, tally.packs.len());
            tally.packs.push(Pack {
                id,
                kind,
                bytes: object.bytes,
                modified: object.modified,
                standing: if condemned.contains(&id) { Standing::Condemned } else { Standing::Safe },
                is_trusted: false,
                rows: 0,
                blocks: BTreeMap::new(),
                live: 0,
                unused: 0,
                undo: 0,
            });
        }
        let broken = |source| repository.index_error(source);
        for pack in index.packs().map_err(broken)? {
            let pack = pack.map_err(broken)?;
            if let Some(&place) = tally.places.get(&pack.id) {
                tally.packs[place].is_trusted |= repository.trusts(&pack);
            }
        }
        for_each_chunk(repository, index, cx, &mut |id, rows| {
            let need = needs.of(id)?;
            tally.add(need, rows, &|pack| there.contains(pack) && !condemned.contains(pack));
            Ok(())
        })?;
        tally.packs.iter_mut().for_each(Pack::sum_up);
        Ok(tally)
    }

    fn add(&mut self, need: Need, rows: &[Location], is_there: &dyn Fn(&PackId) -> bool) {
        let keepers = if need == Need::None { Vec::new() } else { self.keepers(rows) };
        // One that was put after the listing holds the chunk as well, and is nobody's to touch.
        let is_elsewhere = || rows.iter().any(|row| !self.places.contains_key(&row.pack.id) && is_there(&row.pack.id));
        if need == Need::Live && keepers.is_empty() && !is_elsewhere() {
            self.is_missing = true;
        }
        for (number, row) in rows.iter().enumerate() {
            if !self.counts(row) {
                continue;
            }
            let Some(&place) = self.places.get(&row.pack.id) else { continue };
            let pack = &mut self.packs[place];
            let share = u64::from(row.len) * u64::from(row.block.sealed_len) / u64::from(row.block.plain_len.max(1));
            // What is empty is needed all the same.
            let share = share.clamp(1, pack.bytes.max(1));
            let block = pack.blocks.entry(row.block.ordinal).or_default();
            pack.rows += 1;
            block.all = block.all.saturating_add(share);
            if keepers.contains(&number) {
                block.live = block.live.saturating_add(share);
                if need == Need::Undo {
                    pack.undo = pack.undo.saturating_add(share);
                }
            }
        }
    }

    /// Whether a row says something of a pack: what a writer who cannot read says of a pack that somebody describes who can does
    /// not.
    pub(super) fn counts(&self, row: &Location) -> bool {
        self.get(&row.pack.id).is_some_and(|pack| !pack.is_trusted || witness(self.repository, row).is_none())
    }

    /// Of several places of a chunk those that shall keep it. One, if it is in good hands by the word of somebody who is
    /// trusted; else one by each one's word.
    pub(super) fn keepers(&self, rows: &[Location]) -> Vec<usize> {
        let mut keepers = Vec::new();
        for (witness, group) in by_witness(self.repository, rows) {
            let best = self.best(&group);
            if let Some((number, Standing::Safe)) = best
                && witness.is_none()
            {
                return vec![number];
            }
            keepers.extend(best.map(|(number, _)| number));
        }
        keepers
    }

    /// The best of several places that are there: a pack that nobody has condemned, and of these the newest, because what was
    /// stored again was stored for a reason. Where the store does not say, the longest: it is what a prune that died has copied
    /// together.
    fn best(&self, rows: &[(usize, &Location)]) -> Option<(usize, Standing)> {
        let there = rows.iter().filter(|(_, row)| self.counts(row));
        let there = there.filter_map(|(number, row)| Some((*number, self.get(&row.pack.id)?, row)));
        let best = there.max_by_key(|(_, pack, row)| {
            (pack.standing == Standing::Safe, pack.modified, pack.bytes, pack.id, Reverse(row.block.ordinal))
        });
        best.map(|(number, pack, _)| (number, pack.standing))
    }

    /// The pack, if it is there.
    pub(super) fn get(&self, id: &PackId) -> Option<&Pack> {
        self.places.get(id).map(|&place| &self.packs[place])
    }

    /// Every pack that is there.
    pub(super) fn packs(&self) -> &[Pack] {
        &self.packs
    }
}
