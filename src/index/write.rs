//! Writing a run: one pass over sorted rows, in memory that does not depend on their number.

use std::io;

use super::filter;
use super::page::{FileId, PageKey};
use super::row::Row;
use super::run::{Backing, Header, Layout, STREAM_BUFFER_BYTES, fanout_entry};
use super::{IndexError, page};
use crate::format::index::{BlockRow, ChunkRow, PackRow};
use crate::id::SegmentId;

/// Why a run was not written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The rows could not be had.
    Source(IndexError),
    /// There is no place for them; why does not matter, since memory is the next place.
    Write,
}

impl From<IndexError> for WriteError {
    fn from(error: IndexError) -> Self {
        Self::Source(error)
    }
}

impl From<io::Error> for WriteError {
    fn from(_: io::Error) -> Self {
        Self::Write
    }
}

/// Takes one row and answers with its position in the table.
pub(super) type Put<'a, R> = &'a mut dyn FnMut(&R) -> Result<u32, WriteError>;

/// Where the rows of a run come from. Asked for packs, blocks and chunks in this order; gives each table ascending, no
/// row twice, with references to the positions that `put` answered with.
pub(super) trait RowSource {
    /// The segments whose rows these are.
    fn segments(&self) -> Vec<SegmentId>;
    /// At least as many chunks as will come.
    fn chunks_max(&self) -> u64;
    /// The packs.
    fn packs(&mut self, put: Put<'_, PackRow>) -> Result<(), WriteError>;
    /// The blocks.
    fn blocks(&mut self, put: Put<'_, BlockRow>) -> Result<(), WriteError>;
    /// The chunks.
    fn chunks(&mut self, put: Put<'_, ChunkRow>) -> Result<(), WriteError>;
}

/// Writes the run `id` into `backing`, which is empty.
pub(super) fn write_run(
    backing: &mut Backing,
    cache_key: &[u8; 32],
    id: FileId,
    source: &mut dyn RowSource,
) -> Result<(), WriteError> {
    let key = PageKey::new(cache_key, &id);
    let chunks_max = source.chunks_max();
    let filter = filter::Shape::of(chunks_max);
    let fanout_bits = Header::fanout_bits_for(chunks_max);
    let mut header = Header { id, segments: 0, packs: 0, blocks: 0, chunks: 0, fanout_bits, filter };

    let mut segments = source.segments();
    segments.sort();
    segments.dedup();
    let mut table = TableWriter::new(1);
    for segment in &segments {
        table.push(backing, &key, segment)?;
    }
    header.segments = table.finish(backing, &key)?;

    let mut table = TableWriter::new(first_pages(&header)[0]);
    source.packs(&mut |row| table.push(backing, &key, row))?;
    header.packs = table.finish(backing, &key)?;

    let mut table = TableWriter::new(first_pages(&header)[1]);
    source.blocks(&mut |row| table.push(backing, &key, row))?;
    header.blocks = table.finish(backing, &key)?;

    header.chunks = write_chunks(backing, &key, &header, source)?;

    let mut first_page = Vec::new();
    header.put(&mut first_page);
    key.end(0, 0, &mut first_page);
    backing.write_at(&first_page, 0)?;
    Ok(())
}

/// Writes the chunks and, beside them, fan-out table and filter, all of which ascend with the ids.
fn write_chunks(
    backing: &mut Backing,
    key: &PageKey,
    header: &Header,
    source: &mut dyn RowSource,
) -> Result<u32, WriteError> {
    let [_, _, fanout_page, filter_page, chunks_page] = first_pages(header);
    let mut fanout = TableWriter::new(fanout_page);
    let mut filter = FilterWriter { table: TableWriter::new(filter_page), block: filter::Block::default() };
    let mut chunks = TableWriter::new(chunks_page);
    source.chunks(&mut |row| {
        let position = chunks.push(backing, key, row)?;
        while fanout.rows as usize <= fanout_entry(&row.id, header.fanout_bits) {
            fanout.push(backing, key, &position)?;
        }
        filter.finish_blocks_below(header.filter.block_of(&row.id), backing, key)?;
        filter.block.insert(&row.id, header.filter.hashes);
        Ok(position)
    })?;
    let count = chunks.finish(backing, key)?;
    while fanout.rows <= 1 << header.fanout_bits {
        fanout.push(backing, key, &count)?;
    }
    fanout.finish(backing, key)?;
    filter.finish_blocks_below(header.filter.blocks, backing, key)?;
    filter.table.finish(backing, key)?;
    Ok(count)
}

fn first_pages(header: &Header) -> [u64; 5] {
    Layout::of(header).first_pages()
}

struct FilterWriter {
    table: TableWriter,
    /// The one block that is not yet written.
    block: filter::Block,
}

impl FilterWriter {
    fn finish_blocks_below(&mut self, end: u32, backing: &mut Backing, key: &PageKey) -> Result<(), WriteError> {
        while self.table.rows < end {
            self.table.push(backing, key, &std::mem::take(&mut self.block))?;
        }
        Ok(())
    }
}

/// Gathers rows into pages, and pages into writes.
struct TableWriter {
    rows: u32,
    /// Number of the first page in `buffer`.
    first_page: u64,
    buffer: Vec<u8>,
    /// Where the open page begins in `buffer`, and how many rows it holds.
    open: Option<(usize, u32)>,
}

impl TableWriter {
    fn new(first_page: u64) -> Self {
        Self { rows: 0, first_page, buffer: Vec::new(), open: None }
    }

    fn push<R: Row>(&mut self, backing: &mut Backing, key: &PageKey, row: &R) -> Result<u32, WriteError> {
        let position = self.rows;
        self.rows = position.checked_add(1).ok_or(IndexError::TooLarge)?;
        let (start, held) = self.open.unwrap_or((self.buffer.len(), 0));
        row.put(&mut self.buffer);
        self.open = Some((start, held + 1));
        if held + 1 == R::PER_PAGE {
            self.end_page(key);
            if self.buffer.len() >= STREAM_BUFFER_BYTES {
                self.flush(backing)?;
            }
        }
        Ok(position)
    }

    fn end_page(&mut self, key: &PageKey) {
        if let Some((start, _)) = self.open.take() {
            let number = self.first_page + (start / page::PAGE_LEN) as u64;
            key.end(number, start, &mut self.buffer);
        }
    }

    fn flush(&mut self, backing: &mut Backing) -> io::Result<()> {
        backing.write_at(&self.buffer, self.first_page * page::PAGE_LEN as u64)?;
        self.first_page += (self.buffer.len() / page::PAGE_LEN) as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left; the number of rows.
    fn finish(&mut self, backing: &mut Backing, key: &PageKey) -> Result<u32, WriteError> {
        self.end_page(key);
        self.flush(backing)?;
        Ok(self.rows)
    }
}
