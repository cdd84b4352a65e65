//! [`Stretch`]: sealed bytes of a pack got with one request for several blocks; [`is_near`] says for which. [`Stretches`] keeps
//! those of tree packs.
//!
//! Nothing here is proved: what is cut out of a stretch is unsealed as if it had been read by itself.

use std::collections::VecDeque;
use std::ops::Range;

use crate::format::index::PackRow;
use crate::id::PackId;
use crate::index::Location;

/// Sealed bytes that are got with one request, unless one block is longer.
const STRETCH_BYTES_MAX: u32 = 4 << 20;

/// Unwanted bytes that are got along rather than asked around. A run fills blocks side by side, so that those of one file lie
/// apart: by 80 to 310 KiB in kernel sources. On a line of 100 Mbit/s this much takes as long as one more request.
const GAP_BYTES_MAX: u32 = 512 << 10;

/// A tree pack up to this length is read whole at the first look: the trees of about a hundred thousand files. All
/// folders on a path that one run has written then come with one request, and a walk needs no further one.
const WHOLE_BYTES_MAX: u64 = 8 << 20;

/// Read at once of a longer tree pack.
const PART_BYTES: u64 = 4 << 20;

/// Sealed bytes kept: a whole pack and a part for the next look, or the packs of some hundred small runs.
const KEPT_BYTES: usize = 16 << 20;

/// Part of a pack as it lies in the store.
pub struct Stretch {
    offset: u64,
    bytes: Vec<u8>,
}

impl Stretch {
    /// The bytes of a pack from `offset` on.
    pub(super) fn new(offset: u64, bytes: Vec<u8>) -> Self {
        Self { offset, bytes }
    }

    /// The bytes in `range` of the pack, if all of them are here.
    pub(super) fn cut(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.offset)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..end)
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Whether `next` is to be got with the same request as the blocks from `first` to `last`, behind which it lies.
pub fn is_near(first: &Location, last: &Location, next: &Location) -> bool {
    let end = |location: &Location| location.block.offset.saturating_add(location.block.sealed_len);
    let gap = next.block.offset.checked_sub(end(last));
    first.pack == next.pack
        && gap.is_some_and(|gap| gap <= GAP_BYTES_MAX)
        && end(next) - first.block.offset <= STRETCH_BYTES_MAX
}

/// Stretches of tree packs, in the order in which they were read.
#[derive(Default)]
pub(super) struct Stretches {
    kept: VecDeque<(PackId, Stretch)>,
    bytes: usize,
}

impl Stretches {
    /// The bytes in `range` of a pack, if they are kept.
    pub(super) fn cut(&self, pack: &PackId, range: &Range<u64>) -> Option<Vec<u8>> {
        self.of(pack).find_map(|stretch| stretch.cut(range)).map(<[u8]>::to_vec)
    }

    /// What to read of a pack, so that the bytes in `wanted` are among it.
    ///
    /// A folder is stored after all that is below it. Who looks for a path thus goes backward in the pack, and gets what lies
    /// before the folder. Who walks a tree goes forward, past the end of what was read last, and gets what follows.
    pub(super) fn plan(&self, pack: &PackRow, wanted: &Range<u64>) -> Range<u64> {
        if pack.bytes <= WHOLE_BYTES_MAX {
            return 0..pack.bytes;
        }
        let goes_on = |stretch: &Stretch| (stretch.offset..=stretch.end()).contains(&wanted.start);
        if self.of(&pack.id).any(goes_on) {
            wanted.start..wanted.end.max(pack.bytes.min(wanted.start.saturating_add(PART_BYTES)))
        } else {
            wanted.start.min(wanted.end.saturating_sub(PART_BYTES))..wanted.end
        }
    }

    /// Keeps what was read, and lets the oldest go.
    pub(super) fn keep(&mut self, pack: PackId, stretch: Stretch) {
        self.bytes += stretch.bytes.len();
        self.kept.push_back((pack, stretch));
        while self.bytes > KEPT_BYTES {
            let Some((_, oldest)) = self.kept.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }

    fn of(&self, pack: &PackId) -> impl Iterator<Item = &Stretch> {
        let of_pack = self.kept.iter().rev().filter(move |(id, _)| id == pack);
        of_pack.map(|(_, stretch)| stretch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index::PackKind;
    use crate::id::PrincipalId;

    fn pack(bytes: u64) -> PackRow {
        PackRow {
            id: PackId([1; 32]),
            kind: PackKind::Tree,
            bytes,
            generation: 1,
            encapsulation: [0; 32],
            commitment: [0; 32],
            origin: PrincipalId([0; 32]),
            proved: false,
        }
    }

    #[test]
    fn what_is_read_holds_what_is_wanted_also_where_a_row_lies_about_the_length() {
        let mut stretches = Stretches::default();
        for bytes in [0, 100, WHOLE_BYTES_MAX, WHOLE_BYTES_MAX + 1, 4 * WHOLE_BYTES_MAX, u64::MAX] {
            for wanted in [0..10, 90..100, PART_BYTES..PART_BYTES + 7, 3 * PART_BYTES..5 * PART_BYTES] {
                let plan = stretches.plan(&pack(bytes), &wanted);
                assert!(plan.end - plan.start <= WHOLE_BYTES_MAX, "{plan:?}");
                if wanted.end <= bytes {
                    assert!(plan.start <= wanted.start && wanted.end <= plan.end && plan.end <= bytes, "{plan:?}");
                }
            }
            stretches.keep(PackId([1; 32]), Stretch::new(0, vec![0; 90]));
        }
    }

    #[test]
    fn a_look_reads_backward_and_a_walk_forward() {
        let mut stretches = Stretches::default();
        let pack = pack(32 << 20);
        let plan = stretches.plan(&pack, &(PART_BYTES + 5..PART_BYTES + 10));
        assert_eq!(plan, 10..PART_BYTES + 10);
        stretches.keep(pack.id, Stretch::new(10, vec![7; 4 << 20]));
        assert_eq!(stretches.cut(&pack.id, &(10..12)), Some(vec![7; 2]));
        assert_eq!(stretches.cut(&pack.id, &(9..12)), None);
        assert_eq!(stretches.cut(&PackId([2; 32]), &(10..12)), None);
        let plan = stretches.plan(&pack, &(PART_BYTES + 10..PART_BYTES + 20));
        assert_eq!(plan, PART_BYTES + 10..2 * PART_BYTES + 10);
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much() {
        let mut stretches = Stretches::default();
        for number in 0..5 {
            stretches.keep(PackId([number; 32]), Stretch::new(0, vec![0; 4 << 20]));
        }
        assert_eq!(stretches.cut(&PackId([0; 32]), &(0..1)), None);
        assert!((1..5).all(|number| stretches.cut(&PackId([number; 32]), &(0..1)).is_some()));
    }
}
