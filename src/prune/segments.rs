//! P4: segments that name no dead pack take the place of others, and many small ones become few.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::error::{Error, Result};
use crate::format::index::{BlockRow, ChunkRow, PackRow, Segment};
use crate::format::log;
use crate::format::segment::{BLOCKS_MAX, CHUNKS_MAX, PACKS_MAX};
use crate::id::SegmentId;
use crate::progress::Context;
use crate::protocol::pruner::Merge;
use crate::repo::Repository;
use crate::repo::charter::is_junk;
use crate::repo::view::{Stored, is_absent, is_unreadable};
use crate::store::{ObjectKind, ObjectName};

/// A segment below this length is small: some ten thousand chunks.
const SMALL_BYTES: u64 = 512 << 10;

/// So many small segments are merged. A look at an index that this machine has not seen yet costs a request for each.
const SMALL_SEGMENTS: usize = 8;

/// Segments that were put and those that they stand for, which may be deleted.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) put: u64,
    pub(super) superseded: BTreeSet<SegmentId>,
}

/// Puts segments in the place of those of `seen` that name packs to be dropped, and of small ones, if they are many.
///
/// # Errors
/// The store fails; nothing was deleted.
pub(super) fn merge(
    repository: &Repository,
    seen: &BTreeSet<SegmentId>,
    names_dead: bool,
    step: &Merge<Stored>,
    cx: &Context<'_>,
) -> Result<Merged> {
    let mut merged = Merged::default();
    if !step.may_drop_segments() {
        return Ok(merged);
    }
    let listed = repository.objects.list(ObjectKind::Index)?;
    // Only what this prune has read is its to delete.
    let lens: BTreeMap<SegmentId, u64> = listed
        .iter()
        .map(|object| (SegmentId::from(object.id), object.bytes))
        .filter(|(id, _)| seen.contains(id))
        .collect();
    let small: BTreeSet<SegmentId> =
        lens.iter().filter(|(_, bytes)| **bytes < SMALL_BYTES).map(|(id, _)| *id).collect();
    let merges_small = small.len() >= SMALL_SEGMENTS;
    if !names_dead && !merges_small {
        return Ok(merged);
    }
    let mut gathered = Gathered::default();
    for &id in lens.keys() {
        cx.cancel.check()?;
        let is_small = merges_small && small.contains(&id);
        if !is_small && !names_dead {
            continue;
        }
        let segment = match repository.segment(id, cx) {
            Ok(segment) => segment,
            // Somebody else has merged it meanwhile; or it is junk, which the look has reported.
            Err(error) if is_absent(&error) || is_junk(&error) || is_unreadable(&error) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        if is_small || segment.packs.iter().any(|pack| step.drops(&pack.id)) {
            if !gathered.has_room_for(&segment) {
                gathered.put(repository, &mut merged)?;
            }
            gathered.add(&segment, step);
            merged.superseded.insert(id);
        }
    }
    gathered.put(repository, &mut merged)?;
    Ok(merged)
}

/// Deletes what was superseded. Whoever has listed it and not read it yet lists again.
pub(super) fn delete(repository: &Repository, merged: &Merged) -> Result<()> {
    merged.superseded.iter().try_for_each(|&id| repository.objects.delete(ObjectName::new(ObjectKind::Index, id)))
}

/// Rows of several segments.
#[derive(Default)]
struct Gathered {
    segment: Segment,
    packs: HashSet<PackRow>,
}

impl Gathered {
    fn has_room_for(&self, added: &Segment) -> bool {
        let fits = |own: usize, added: usize, max: u32| own + added <= max as usize;
        fits(self.segment.packs.len(), added.packs.len(), PACKS_MAX)
            && fits(self.segment.blocks.len(), added.blocks.len(), BLOCKS_MAX)
            // Half: a segment is in memory twice while it is made.
            && (fits(self.segment.chunks.len(), added.chunks.len(), CHUNKS_MAX / 2) || self.segment.chunks.is_empty())
    }

    /// Takes over the rows of packs that stay and were not taken over before.
    fn add(&mut self, from: &Segment, step: &Merge<Stored>) {
        let own = &mut self.segment;
        let packs: Vec<Option<u32>> = from
            .packs
            .iter()
            .map(|pack| {
                let is_taken = !step.drops(&pack.id) && self.packs.insert(pack.clone());
                is_taken.then(|| {
                    own.packs.push(pack.clone());
                    number(own.packs.len())
                })
            })
            .collect();
        let blocks: Vec<Option<u32>> = from
            .blocks
            .iter()
            .map(|block| {
                let pack = packs.get(block.pack as usize).copied().flatten()?;
                own.blocks.push(BlockRow { pack, ..*block });
                Some(number(own.blocks.len()))
            })
            .collect();
        own.chunks.extend(from.chunks.iter().filter_map(|chunk| {
            let block = blocks.get(chunk.block as usize).copied().flatten()?;
            Some(ChunkRow { block, ..*chunk })
        }));
    }

    fn put(&mut self, repository: &Repository, merged: &mut Merged) -> Result<()> {
        let mut segment = std::mem::take(&mut self.segment);
        self.packs.clear();
        if segment.packs.is_empty() {
            return Ok(());
        }
        segment.chunks.sort_unstable();
        let bytes = log::encode_segment(&segment, &repository.keyring, &repository.signatory)
            .map_err(|source| Error::Encode { what: "an index segment", source })?;
        repository.objects.put(ObjectKind::Index, &bytes)?;
        merged.put += 1;
        Ok(())
    }
}

/// The place of the last of so many rows.
fn number(len: usize) -> u32 {
    u32::try_from(len - 1).expect("a segment counts its rows in 32 bits")
}
