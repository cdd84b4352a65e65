//! Making one run's rows out of many: segments in memory are sorted, runs on disk are merged as streams.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use super::IndexError;
use super::row::Row;
use super::run::{RunFile, Table};
use super::write::{Put, RowSource, WriteError};
use crate::format::index::{BlockRow, ChunkRow, PackRow, Segment};
use crate::format::segment;
use crate::id::SegmentId;

/// Most runs merged at once. Each takes one stream's buffer at a time.
pub(super) const WAYS_MAX: usize = 64;

// A run joins its older neighbour once it has grown to a quarter of it. So there are few runs (one for each power of
// four), and a row is written again only when the index has grown by a quarter since.
const TIER_RATIO: u64 = 4;

/// Which neighbours to merge next, if any. `sizes` are rows per run, largest first.
pub(super) fn tier(sizes: &[u64]) -> Option<Range<usize>> {
    let mut end = sizes.len();
    while end > 1 {
        let mut start = end - 1;
        let mut rows = sizes[start];
        while start > 0
            && end - start < WAYS_MAX
            && rows.saturating_mul(TIER_RATIO) >= sizes[start - 1]
            && rows + sizes[start - 1] <= u64::from(u32::MAX)
        {
            start -= 1;
            rows += sizes[start];
        }
        if end - start > 1 {
            return Some(start..end);
        }
        end = start;
    }
    None
}

/// Rows of some segments, in memory.
#[derive(Default)]
pub(super) struct Tables {
    segments: Vec<SegmentId>,
    rows: Segment,
}

impl Tables {
    /// Adds the rows of one segment.
    ///
    /// # Errors
    /// [`IndexError::Segment`] if its tables do not fit together.
    pub(super) fn add(&mut self, id: SegmentId, segment: &Segment) -> Result<(), IndexError> {
        segment::check(segment).map_err(|source| IndexError::Segment { segment: id, source })?;
        let first_pack = base(&self.rows.packs, &segment.packs)?;
        let first_block = base(&self.rows.blocks, &segment.blocks)?;
        base(&self.rows.chunks, &segment.chunks)?;
        self.segments.push(id);
        self.rows.packs.extend_from_slice(&segment.packs);
        let blocks = segment.blocks.iter();
        self.rows.blocks.extend(blocks.map(|row| BlockRow { pack: first_pack + row.pack, ..*row }));
        let chunks = segment.chunks.iter();
        self.rows.chunks.extend(chunks.map(|row| ChunkRow { block: first_block + row.block, ..*row }));
        Ok(())
    }

    /// Sorts every table and drops rows that are there twice, so that it can be written.
    pub(super) fn sort(&mut self) {
        let packs = sort_and_number(&mut self.rows.packs);
        for block in &mut self.rows.blocks {
            block.pack = packs[block.pack as usize];
        }
        let blocks = sort_and_number(&mut self.rows.blocks);
        for chunk in &mut self.rows.chunks {
            chunk.block = blocks[chunk.block as usize];
        }
        self.rows.chunks.sort_unstable();
        self.rows.chunks.dedup();
    }

    /// Segments added so far.
    pub(super) fn segments_len(&self) -> usize {
        self.segments.len()
    }

    /// Chunks added so far.
    pub(super) fn chunks_len(&self) -> usize {
        self.rows.chunks.len()
    }
}

/// The position that the first of `added` gets behind `rows`.
fn base<T>(rows: &[T], added: &[T]) -> Result<u32, IndexError> {
    u32::try_from(rows.len() + added.len()).map_err(|_| IndexError::TooLarge)?;
    u32::try_from(rows.len()).map_err(|_| IndexError::TooLarge)
}

/// Sorts `rows`, each kept once; for each old position the new one.
fn sort_and_number<T: Ord + Clone>(rows: &mut Vec<T>) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(rows.len()).collect();
    order.sort_unstable_by_key(|&row| &rows[row as usize]);
    let mut sorted: Vec<T> = Vec::with_capacity(rows.len());
    let mut numbers = vec![0; rows.len()];
    let mut number = 0;
    for old in order {
        let row = &rows[old as usize];
        match sorted.last() {
            Some(last) if last == row => {}
            Some(_) => {
                number += 1;
                sorted.push(row.clone());
            }
            None => sorted.push(row.clone()),
        }
        numbers[old as usize] = number;
    }
    *rows = sorted;
    numbers
}

impl RowSource for Tables {
    fn segments(&self) -> Vec<SegmentId> {
        self.segments.clone()
    }

    fn chunks_max(&self) -> u64 {
        self.rows.chunks.len() as u64
    }

    fn packs(&mut self, put: Put<'_, PackRow>) -> Result<(), WriteError> {
        self.rows.packs.iter().try_for_each(|row| put(row).map(drop))
    }

    fn blocks(&mut self, put: Put<'_, BlockRow>) -> Result<(), WriteError> {
        self.rows.blocks.iter().try_for_each(|row| put(row).map(drop))
    }

    fn chunks(&mut self, put: Put<'_, ChunkRow>) -> Result<(), WriteError> {
        self.rows.chunks.iter().try_for_each(|row| put(row).map(drop))
    }
}

/// The rows of some runs, read as streams.
pub(super) struct Merging {
    inputs: Vec<Arc<RunFile>>,
    /// For each input, where its packs and its blocks went.
    packs: Vec<Renumbering>,
    blocks: Vec<Renumbering>,
}

impl Merging {
    pub(super) fn new(inputs: &[Arc<RunFile>]) -> Self {
        let unmoved = || inputs.iter().map(|_| Renumbering::default()).collect();
        Self { inputs: inputs.to_vec(), packs: unmoved(), blocks: unmoved() }
    }

    /// The streams of one table, each row passed through `renumber`.
    fn streams<R: Row>(
        &self,
        table: impl Fn(&RunFile) -> Table<R>,
        renumber: impl Fn(usize, R) -> Option<R> + Copy,
    ) -> Vec<impl Iterator<Item = Result<R, IndexError>>> {
        let inputs = self.inputs.iter().enumerate();
        inputs
            .map(|(input, run)| {
                let broken = Arc::clone(run);
                run.stream(table(run)).map(move |row| renumber(input, row?).ok_or_else(|| broken.broken()))
            })
            .collect()
    }
}

/// Puts each row once, and notes for each input where its rows went.
fn put_each_once<R: Ord>(
    streams: Vec<impl Iterator<Item = Result<R, IndexError>>>,
    put: Put<'_, R>,
    mut moved: impl FnMut(usize, u32),
) -> Result<(), WriteError> {
    let mut last: Option<(R, u32)> = None;
    for row in KWay::new(streams)? {
        let (row, input) = row?;
        let position = match &last {
            Some((last, position)) if *last == row => *position,
            _ => put(&row)?,
        };
        moved(input, position);
        last = Some((row, position));
    }
    Ok(())
}

impl RowSource for Merging {
    fn segments(&self) -> Vec<SegmentId> {
        self.inputs.iter().flat_map(|run| run.segments.iter().copied()).collect()
    }

    fn chunks_max(&self) -> u64 {
        self.inputs.iter().map(|run| u64::from(run.header.chunks)).sum()
    }

    fn packs(&mut self, put: Put<'_, PackRow>) -> Result<(), WriteError> {
        let streams = self.streams(|run| run.layout.packs, |_, row| Some(row));
        let mut packs: Vec<_> = self.inputs.iter().map(|_| Renumbering::default()).collect();
        put_each_once(streams, put, |input, position| packs[input].push(position))?;
        self.packs = packs;
        Ok(())
    }

    fn blocks(&mut self, put: Put<'_, BlockRow>) -> Result<(), WriteError> {
        let packs = &self.packs;
        let streams = self.streams(
            |run| run.layout.blocks,
            |input, row: BlockRow| Some(BlockRow { pack: packs[input].get(row.pack)?, ..row }),
        );
        let mut blocks: Vec<_> = self.inputs.iter().map(|_| Renumbering::default()).collect();
        put_each_once(streams, put, |input, position| blocks[input].push(position))?;
        self.blocks = blocks;
        Ok(())
    }

    fn chunks(&mut self, put: Put<'_, ChunkRow>) -> Result<(), WriteError> {
        let blocks = &self.blocks;
        let streams = self.streams(
            |run| run.layout.chunks,
            |input, row: ChunkRow| Some(ChunkRow { block: blocks[input].get(row.block)?, ..row }),
        );
        put_each_once(streams, put, |_, _| ())
    }
}

/// Where the rows of one table went in a merge.
///
/// A pack's blocks stay neighbours, so what is kept is where the distance changes: about one entry for each pack, not
/// one for each block.
#[derive(Default)]
struct Renumbering {
    rows: u32,
    /// Old and new position of the first row of each stretch.
    stretches: Vec<(u32, u32)>,
}

impl Renumbering {
    /// The next row went to `new`, which is beyond where the one before went.
    fn push(&mut self, new: u32) {
        let old = self.rows;
        self.rows += 1;
        match self.stretches.last() {
            Some(&(first_old, first_new)) if new - first_new == old - first_old => {}
            _ => self.stretches.push((old, new)),
        }
    }

    fn get(&self, old: u32) -> Option<u32> {
        if old >= self.rows {
            return None;
        }
        let stretch = self.stretches.partition_point(|&(first_old, _)| first_old <= old).checked_sub(1)?;
        let (first_old, first_new) = *self.stretches.get(stretch)?;
        Some(first_new + (old - first_old))
    }
}

/// Merges sorted streams; each item comes with the number of its stream. Equal items come in no particular order.
pub(super) struct KWay<T, S> {
    streams: Vec<S>,
    heads: BinaryHeap<Reverse<(T, usize)>>,
}

impl<T: Ord, S: Iterator<Item = Result<T, IndexError>>> KWay<T, S> {
    pub(super) fn new(mut streams: Vec<S>) -> Result<Self, IndexError> {
        let mut heads = BinaryHeap::with_capacity(streams.len());
        for (number, stream) in streams.iter_mut().enumerate() {
            if let Some(head) = stream.next() {
                heads.push(Reverse((head?, number)));
            }
        }
        Ok(Self { streams, heads })
    }

    fn advance(&mut self) -> Option<Result<(T, usize), IndexError>> {
        let mut head = self.heads.peek_mut()?;
        let number = head.0.1;
        match self.streams.get_mut(number).and_then(Iterator::next) {
            Some(Ok(next)) => Some(Ok(std::mem::replace(&mut head.0, (next, number)))),
            Some(Err(error)) => Some(Err(error)),
            None => Some(Ok(std::collections::binary_heap::PeekMut::pop(head).0)),
        }
    }
}

impl<T: Ord, S: Iterator<Item = Result<T, IndexError>>> Iterator for KWay<T, S> {
    type Item = Result<(T, usize), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance();
        if matches!(item, Some(Err(_))) {
            self.heads.clear();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_joins_its_older_neighbour_at_a_quarter_of_it() {
        assert_eq!(tier(&[]), None);
        assert_eq!(tier(&[7]), None);
        assert_eq!(tier(&[100, 24]), None);
        assert_eq!(tier(&[100, 25]), Some(0..2));
        assert_eq!(tier(&[1000, 100, 50, 10, 9]), Some(1..5));
        assert_eq!(tier(&[100, 90, 1]), Some(0..2));
        assert_eq!(tier(&[1; 100]), Some(100 - WAYS_MAX..100));
    }

    #[test]
    fn what_would_not_fit_one_run_is_not_merged() {
        assert_eq!(tier(&[1 << 31, 1 << 31]), None);
        assert_eq!(tier(&[u64::from(u32::MAX) - 1, 2, 1]), Some(1..3));
    }

    #[test]
    fn the_number_of_runs_stays_logarithmic() {
        let mut sizes: Vec<u64> = Vec::new();
        for _ in 0..10_000 {
            sizes.push(1);
            while let Some(group) = tier(&sizes) {
                let rows = sizes.drain(group).sum();
                sizes.push(rows);
                sizes.sort_unstable_by_key(|&rows| Reverse(rows));
            }
            assert!(sizes.len() <= 8, "{sizes:?}");
        }
    }

    #[test]
    fn a_renumbering_knows_every_row_and_keeps_only_the_stretches() {
        let moved = [0, 1, 2, 10, 11, 12, 13, 20, 21];
        let mut renumbering = Renumbering::default();
        moved.into_iter().for_each(|new| renumbering.push(new));
        assert_eq!(renumbering.stretches.len(), 3);
        for (old, new) in (0..).zip(moved) {
            assert_eq!(renumbering.get(old), Some(new));
        }
        assert_eq!(renumbering.get(9), None);
    }

    #[test]
    fn streams_merge_in_order() {
        let streams = [vec![1, 4, 9], vec![], vec![2, 4, 5, 11]].map(|rows| rows.into_iter().map(Ok));
        let merged: Result<Vec<_>, _> = KWay::new(streams.into()).unwrap().map(|row| row.map(|(row, _)| row)).collect();
        assert_eq!(merged.unwrap(), [1, 2, 4, 4, 5, 9, 11]);
    }
}
