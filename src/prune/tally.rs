//! Counts, for each pack, how much of it is needed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::mark::{Need, Needs, for_each_chunk};
use super::roots::Packs;
use crate::error::Result;
use crate::format::index::PackKind;
use crate::id::PackId;
use crate::index::{LocalIndex, Location};
use crate::progress::Context;
use crate::protocol::Gc;
use crate::repo::Repository;
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
    /// Rows of the index.
    pub(super) rows: u64,
    /// By their place in the pack. Grows with the rows of the index, whatever these claim.
    pub(super) blocks: BTreeMap<u32, BlockUse>,
    /// The part of what is live that only forgotten snapshots need.
    pub(super) undo: u64,
}

impl Pack {
    /// Sealed bytes that somebody needs.
    pub(super) fn live(&self) -> u64 {
        self.blocks.values().map(|block| block.live).sum()
    }

    /// Sealed bytes of chunks that nobody needs, or not from here.
    pub(super) fn unused(&self) -> u64 {
        self.blocks.values().map(|block| block.all - block.live).sum()
    }

    /// Whether nobody needs anything of it.
    pub(super) fn is_unneeded(&self) -> bool {
        self.blocks.values().all(|block| block.live == 0)
    }
}

/// All packs that are there, and what is needed of them.
pub(super) struct Tally {
    packs: Vec<Pack>,
    places: BTreeMap<PackId, usize>,
    /// A chunk that a root needs has rows, and none of their packs is there.
    pub(super) is_missing: bool,
}

impl Tally {
    pub(super) fn of(
        repository: &Repository,
        listed: &Packs,
        put_since: &BTreeSet<PackId>,
        gc: &Gc<Stored>,
        index: &LocalIndex,
        needs: &mut Needs<'_>,
        cx: &Context<'_>,
    ) -> Result<Self> {
        let condemned: BTreeSet<PackId> =
            gc.records.values().flat_map(|record| record.condemned.union(&record.dead)).copied().collect();
        let packs: Vec<Pack> = listed
            .iter()
            .map(|(&id, &(kind, object))| Pack {
                id,
                kind,
                bytes: object.bytes,
                modified: object.modified,
                standing: if condemned.contains(&id) { Standing::Condemned } else { Standing::Safe },
                rows: 0,
                blocks: BTreeMap::new(),
                undo: 0,
            })
            .collect();
        let places = packs.iter().enumerate().map(|(place, pack)| (pack.id, place)).collect();
        let mut tally = Self { packs, places, is_missing: false };
        for_each_chunk(repository, index, cx, &mut |id, rows| {
            let need = needs.of(id)?;
            tally.add(need, rows, &|pack| put_since.contains(pack) && !condemned.contains(pack));
            Ok(())
        })?;
        Ok(tally)
    }

    fn add(&mut self, need: Need, rows: &[Location], is_new: &dyn Fn(&PackId) -> bool) {
        let keeper = if need == Need::None { None } else { self.keeper(rows) };
        // One that was put after the listing holds the chunk as well, and is nobody's to touch.
        let is_elsewhere = || rows.iter().any(|row| is_new(&row.pack.id));
        if need == Need::Live && keeper.is_none() && !is_elsewhere() {
            self.is_missing = true;
        }
        let mut is_kept = false;
        for (number, row) in rows.iter().enumerate() {
            let Some(&place) = self.places.get(&row.pack.id) else { continue };
            let pack = &mut self.packs[place];
            let share = u64::from(row.len) * u64::from(row.block.sealed_len) / u64::from(row.block.plain_len.max(1));
            // What is empty is needed all the same.
            let share = share.max(1);
            let block = pack.blocks.entry(row.block.ordinal).or_default();
            pack.rows += 1;
            block.all += share;
            if keeper == Some(number) && !is_kept {
                is_kept = true;
                block.live += share;
                if need == Need::Undo {
                    pack.undo += share;
                }
            }
        }
    }

    /// Of several places of a chunk the one that shall keep it: a pack that nobody has condemned, and of these the newest,
    /// because what was stored again was stored for a reason. Where the store does not say, the longest: it is what a prune
    /// that died has copied together.
    pub(super) fn keeper(&self, rows: &[Location]) -> Option<usize> {
        let there = rows.iter().enumerate().filter_map(|(number, row)| Some((number, self.get(&row.pack.id)?, row)));
        let best = there.max_by_key(|(_, pack, row)| {
            (pack.standing == Standing::Safe, pack.modified, pack.bytes, pack.id, std::cmp::Reverse(row.block.ordinal))
        });
        best.map(|(number, ..)| number)
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
