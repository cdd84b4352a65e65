//! A blocked Bloom filter: says of most ids that a run does not hold that it does not, with one touch of memory.
//!
//! The block of an id follows from its leading bytes and so ascends with it: a filter is written in one pass beside
//! the sorted rows, whatever its size.

use crate::format::index::ShortId;

/// Bytes of a block: a cache line.
pub(super) const BLOCK_LEN: usize = 64;

/// Memory for the filters of all runs together.
pub(super) const FILTERS_BYTES_MAX: usize = 48 << 20;

/// Bytes of the filter of one run. Runs shrink by four and more from one to the next (see `merge::tier`), so that all
/// of them together stay within [`FILTERS_BYTES_MAX`].
pub(super) const FILTER_BYTES_MAX: usize = FILTERS_BYTES_MAX / 4 * 3;

/// Most blocks of one filter.
pub(super) const BLOCKS_MAX: usize = FILTER_BYTES_MAX / BLOCK_LEN;

// 10 bits per key and 6 or 7 hashes let about one absent id in 80 through; beyond 30 million keys the bits get fewer.
const BITS_PER_KEY: u64 = 10;
const HASHES_MAX: u32 = 7;
const BLOCK_BITS: u64 = 8 * BLOCK_LEN as u64;

/// Size of a filter and number of bits that it sets for each id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) blocks: u32,
    pub(super) hashes: u32,
}

impl Shape {
    /// The shape for `keys` ids.
    pub(super) fn of(keys: u64) -> Self {
        let blocks = (keys.saturating_mul(BITS_PER_KEY).div_ceil(BLOCK_BITS)).clamp(1, BLOCKS_MAX as u64);
        // The best number of hashes is ln 2 times the bits per key.
        let hashes = (blocks * BLOCK_BITS * 7 / 10) / keys.max(1);
        Self {
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            hashes: u32::try_from(hashes).unwrap_or(u32::MAX).clamp(1, HASHES_MAX),
        }
    }

    /// The block that `id` belongs to; ascends with it.
    pub(super) fn block_of(self, id: &ShortId) -> u32 {
        let lead = u64::from(u32::from_be_bytes(*id.0.first_chunk().expect("an id is longer")));
        u32::try_from((lead * u64::from(self.blocks)) >> 32).expect("below the number of blocks")
    }
}

/// One block of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Block(pub(super) [u64; BLOCK_LEN / size_of::<u64>()]);

impl Block {
    /// Sets the bits of `id`.
    pub(super) fn insert(&mut self, id: &ShortId, hashes: u32) {
        for (word, bit) in bits(id, hashes) {
            self.0[word] |= bit;
        }
    }

    fn may_hold(&self, id: &ShortId, hashes: u32) -> bool {
        bits(id, hashes).all(|(word, bit)| self.0[word] & bit != 0)
    }
}

/// Nine bits of the id for each hash, from bytes that [`Shape::block_of`] does not use.
fn bits(id: &ShortId, hashes: u32) -> impl Iterator<Item = (usize, u64)> {
    let source = u64::from_le_bytes(*id.0.last_chunk().expect("an id is longer"));
    (0..hashes.min(HASHES_MAX)).map(move |hash| {
        let bits = source >> (9 * hash);
        (usize::from((bits >> 6 & 7).to_le_bytes()[0]), 1 << (bits & 63))
    })
}

/// The filter of one run, in memory.
pub(super) struct Filter {
    pub(super) hashes: u32,
    pub(super) blocks: Vec<Block>,
}

impl Filter {
    /// Whether the run may hold `id`; if not, it certainly does not.
    pub(super) fn may_hold(&self, id: &ShortId) -> bool {
        let shape = Shape { blocks: u32::try_from(self.blocks.len()).unwrap_or(u32::MAX), hashes: self.hashes };
        // A block that is not there would be a wrong answer if it said no.
        self.blocks.get(shape.block_of(id) as usize).is_none_or(|block| block.may_hold(id, self.hashes))
    }

    /// Memory that the filter takes.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ShortId {
        ShortId(*blake3::hash(&number.to_le_bytes()).as_bytes().first_chunk().unwrap())
    }

    fn filter(shape: Shape, ids: impl Iterator<Item = ShortId>) -> Filter {
        let mut blocks = vec![Block::default(); shape.blocks as usize];
        for id in ids {
            blocks[shape.block_of(&id) as usize].insert(&id, shape.hashes);
        }
        Filter { hashes: shape.hashes, blocks }
    }

    #[test]
    fn a_filter_never_denies_what_it_was_given_and_seldom_lets_others_through() {
        let filter = filter(Shape::of(20_000), (0..20_000).map(id));
        assert!((0..20_000).all(|number| filter.may_hold(&id(number))));
        let passed = (20_000..120_000).filter(|&number| filter.may_hold(&id(number))).count();
        assert!(passed < 2_500, "{passed} of 100000");
    }

    #[test]
    fn a_crowded_filter_still_tells_most_strangers() {
        let keys = 100_000_000;
        let shape = Shape::of(keys);
        assert_eq!(shape.blocks as usize * BLOCK_LEN, FILTER_BYTES_MAX);
        // The same crowd in a small filter.
        let small = Shape { blocks: 600, hashes: shape.hashes };
        let crowd = u32::try_from(keys * 600 / u64::from(shape.blocks)).unwrap();
        let filter = filter(small, (0..crowd).map(id));
        let passed = (crowd..crowd + 100_000).filter(|&number| filter.may_hold(&id(number))).count();
        assert!(passed < 30_000, "{passed} of 100000");
    }

    #[test]
    fn blocks_ascend_with_ids() {
        let shape = Shape::of(100_000);
        let mut ids: Vec<_> = (0..10_000).map(id).collect();
        ids.sort();
        assert!(ids.is_sorted_by_key(|id| shape.block_of(id)));
        assert_eq!(shape.block_of(&ShortId([0xff; 20])), shape.blocks - 1);
        assert_eq!(Shape::of(0), Shape { blocks: 1, hashes: HASHES_MAX });
    }
}
