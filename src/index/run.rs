//! Run files: the rows of some segments, sorted, in authenticated pages.
//!
//! ```text
//! page 0      header
//! then, each from a page of its own, rows of fixed width, none across two pages:
//!   segments  ids of the segments whose rows these are, ascending
//!   packs     ascending; no two equal
//!   blocks    ascending by pack, ordinal and the rest; no two equal
//!   fan-out   2^bits + 1 positions: where among the chunks each prefix of `bits` bits begins, and the end
//!   filter    blocks of a Bloom filter
//!   chunks    ascending by id, block, offset, length; no two equal
//! ```
//!
//! A run is written once and never changes; the key of its pages follows from its random id.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::IndexError;
use super::filter::{self, Filter};
use super::page::{FileId, PAGE_LEN, Page, PageCache, PageKey, payload};
use super::row::Row;
use crate::format::index::{BlockRow, ChunkRow, PackRow, SHORT_ID_LEN, ShortId};
use crate::id::SegmentId;

const MAGIC: &[u8; 8] = b"CADDISIX";
const VERSION: u32 = 0;

// 2^20 entries are 4 MiB; a hundred million chunks then lie a hundred to an entry, which is one page or two.
const FANOUT_BITS_MAX: u32 = 20;
const CHUNKS_PER_FANOUT_ENTRY: u64 = 32;

// 16 pages: few system calls, and a merge of `merge::WAYS_MAX` runs in 12 MiB.
pub(super) const STREAM_BUFFER_BYTES: usize = 16 * PAGE_LEN;

/// What page 0 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: FileId,
    pub(super) segments: u32,
    pub(super) packs: u32,
    pub(super) blocks: u32,
    pub(super) chunks: u32,
    pub(super) fanout_bits: u32,
    pub(super) filter: filter::Shape,
}

impl Header {
    /// The fan-out for at most `chunks` chunks.
    pub(super) fn fanout_bits_for(chunks: u64) -> u32 {
        (chunks / CHUNKS_PER_FANOUT_ENTRY).checked_ilog2().unwrap_or(0).min(FANOUT_BITS_MAX)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.id);
        for count in self.counts() {
            out.extend(count.to_le_bytes());
        }
    }

    fn counts(&self) -> [u32; 7] {
        let Self { segments, packs, blocks, chunks, fanout_bits, filter, .. } = *self;
        [segments, packs, blocks, chunks, fanout_bits, filter.blocks, filter.hashes]
    }

    /// The header in a page that is not proved yet; its id says with which key to prove it.
    fn take(page: &Page) -> Option<Self> {
        let (magic, rest) = payload(page).split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        if magic != MAGIC || u32::from_le_bytes(*version) != VERSION {
            return None;
        }
        let (id, mut rest) = rest.split_first_chunk()?;
        let mut counts = [0; 7];
        for count in &mut counts {
            *count = u32::take(rest)?;
            rest = rest.get(u32::WIDTH..)?;
        }
        let [segments, packs, blocks, chunks, fanout_bits, filter_blocks, hashes] = counts;
        let filter = filter::Shape { blocks: filter_blocks, hashes };
        let within_bounds = fanout_bits <= FANOUT_BITS_MAX && filter_blocks as usize <= filter::BLOCKS_MAX;
        within_bounds.then_some(Self { id: *id, segments, packs, blocks, chunks, fanout_bits, filter })
    }
}

/// Where the rows of one type lie.
pub(super) struct Table<R> {
    first_page: u64,
    pub(super) rows: u32,
    row: PhantomData<R>,
}

impl<R> Clone for Table<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Table<R> {}

impl<R: Row> Table<R> {
    fn new(first_page: u64, rows: u32) -> Self {
        Self { first_page, rows, row: PhantomData }
    }

    fn end_page(self) -> u64 {
        self.first_page + u64::from(self.rows.div_ceil(R::PER_PAGE))
    }

    /// The page of `row`, and where in its payload it begins.
    fn place(self, row: u32) -> (u64, usize) {
        (self.first_page + u64::from(row / R::PER_PAGE), (row % R::PER_PAGE) as usize * R::WIDTH)
    }
}

/// Where everything lies; follows from the header alone.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) segments: Table<SegmentId>,
    pub(super) packs: Table<PackRow>,
    pub(super) blocks: Table<BlockRow>,
    pub(super) fanout: Table<u32>,
    pub(super) filter: Table<filter::Block>,
    pub(super) chunks: Table<ChunkRow>,
}

impl Layout {
    pub(super) fn of(header: &Header) -> Self {
        let segments = Table::new(1, header.segments);
        let packs = Table::new(segments.end_page(), header.packs);
        let blocks = Table::new(packs.end_page(), header.blocks);
        let fanout = Table::new(blocks.end_page(), (1 << header.fanout_bits) + 1);
        let filter = Table::new(fanout.end_page(), header.filter.blocks);
        let chunks = Table::new(filter.end_page(), header.chunks);
        Self { segments, packs, blocks, fanout, filter, chunks }
    }

    fn bytes(&self) -> u64 {
        self.chunks.end_page() * PAGE_LEN as u64
    }

    /// First pages of the tables from packs on, in order of writing.
    pub(super) fn first_pages(&self) -> [u64; 5] {
        [
            self.packs.first_page,
            self.blocks.first_page,
            self.fanout.first_page,
            self.filter.first_page,
            self.chunks.first_page,
        ]
    }
}

/// What holds the pages.
pub(super) enum Backing {
    /// A file, perhaps without a name by now.
    File(File),
    /// Memory, where the folder cannot be written.
    Memory(Vec<u8>),
}

impl Backing {
    fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(out, offset),
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                let held = bytes.get(start..).and_then(|rest| rest.get(..out.len()));
                out.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    pub(super) fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all_at(bytes, offset),
            Self::Memory(held) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                if held.len() < start + bytes.len() {
                    held.resize(start + bytes.len(), 0);
                }
                held[start..start + bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// A run whose header is proved; the other pages are proved as they are read.
pub(super) struct RunFile {
    backing: Backing,
    /// Its name in the folder, if it has one.
    place: Option<PathBuf>,
    /// Tells the runs of one process apart in the cache.
    serial: u64,
    key: PageKey,
    pub(super) header: Header,
    pub(super) layout: Layout,
    pub(super) segments: Vec<SegmentId>,
}

impl RunFile {
    /// The run in `backing`, with its header and list of segments read and proved.
    ///
    /// # Errors
    /// [`IndexError::IndexCacheBroken`]; the file is removed by then.
    pub(super) fn open(backing: Backing, place: Option<PathBuf>, key: &[u8; 32]) -> Result<Arc<Self>, IndexError> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let mut page = [0; PAGE_LEN];
        let read = backing.read_at(&mut page, 0).and_then(|()| backing.len());
        let bytes = read.map_err(|source| broken(place.as_ref(), Some(source)))?;
        let header = Header::take(&page).ok_or_else(|| broken(place.as_ref(), None))?;
        let key = PageKey::new(key, &header.id);
        let layout = Layout::of(&header);
        if !key.fits(0, &mut page) || layout.bytes() != bytes {
            return Err(broken(place.as_ref(), None));
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut run = Arc::new(Self { backing, place, serial, key, header, layout, segments: Vec::new() });
        let segments = run.stream(layout.segments).collect::<Result<_, _>>()?;
        if let Some(run) = Arc::get_mut(&mut run) {
            run.segments = segments;
        }
        Ok(run)
    }

    /// All rows of `table`, in order, read past the cache.
    pub(super) fn stream<R: Row>(self: &Arc<Self>, table: Table<R>) -> RowStream<R> {
        RowStream { run: Arc::clone(self), table, next: 0, buffer: Vec::new(), buffered: 0..0 }
    }

    /// All rows of `table` at once, read on all cores: opening an index waits for nothing else.
    ///
    /// With threads of its own and not those of rayon, which nothing in this module may use: a reader that misses a chunk
    /// opens the index again behind a lock, and while one of rayon's threads waits for others, it takes up another task, which may
    /// miss a chunk as well and wait for that lock for ever.
    fn resident<R: Row + Clone + Default + Send>(&self, table: Table<R>) -> Result<Vec<R>, IndexError> {
        const PIECE_PAGES: usize = 64;
        let per_piece = PIECE_PAGES * R::PER_PAGE as usize;
        let mut rows = vec![R::default(); table.rows as usize];
        let count = rows.len().div_ceil(per_piece);
        let pieces = Mutex::new((table.first_page..).step_by(PIECE_PAGES).zip(rows.chunks_mut(per_piece)));
        let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some((first_page, rows)) = next() {
                self.read_rows(first_page, rows)?;
            }
            Ok::<_, IndexError>(())
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(count);
        thread::scope(|scope| {
            // Where no thread is to be had, fewer do the work.
            let others: Vec<_> =
                (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
            let own = work();
            let joined = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.fold(own, Result::and)
        })?;
        Ok(rows)
    }

    /// Fills `rows` with those that stand from `first_page` on.
    fn read_rows<R: Row>(&self, first_page: u64, rows: &mut [R]) -> Result<(), IndexError> {
        let per_page = R::PER_PAGE as usize;
        let mut pages = vec![0; rows.len().div_ceil(per_page) * PAGE_LEN];
        self.read(first_page, &mut pages)?;
        let (pages, _) = pages.as_chunks::<PAGE_LEN>();
        for (rows, page) in rows.chunks_mut(per_page).zip(pages) {
            for (row, bytes) in rows.iter_mut().zip(payload(page).chunks_exact(R::WIDTH)) {
                *row = R::take(bytes).ok_or_else(|| self.broken())?;
            }
        }
        Ok(())
    }

    /// Takes the file out of the folder; who has it open can go on reading.
    pub(super) fn remove(&self) {
        // Failing is harmless here: a run too many is thrown away by the next process that can.
        let _ = self.place.as_ref().map(std::fs::remove_file);
    }

    /// Whether the run lives in memory only.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.backing, Backing::Memory(_))
    }

    /// The error that says that this run is damaged. Its file is removed, so that opening the index again builds it
    /// anew.
    pub(super) fn broken(&self) -> IndexError {
        broken(self.place.as_ref(), None)
    }

    /// Reads and proves the pages from `first` that `out` has room for.
    fn read(&self, first: u64, out: &mut [u8]) -> Result<(), IndexError> {
        self.backing
            .read_at(out, first * PAGE_LEN as u64)
            .map_err(|source| broken(self.place.as_ref(), Some(source)))?;
        let (pages, _) = out.as_chunks_mut::<PAGE_LEN>();
        if (first..).zip(pages).all(|(number, page)| self.key.fits(number, page)) { Ok(()) } else { Err(self.broken()) }
    }

    fn page(&self, cache: &PageCache, number: u64) -> Result<Arc<Page>, IndexError> {
        cache.get(self.serial, number, || {
            let mut page = Arc::new([0; PAGE_LEN]);
            if let Some(page) = Arc::get_mut(&mut page) {
                self.read(number, page)?;
            }
            Ok(page)
        })
    }

    /// One row, by way of the cache.
    pub(super) fn row<R: Row>(&self, cache: &PageCache, table: Table<R>, row: u32) -> Result<R, IndexError> {
        Cursor::new(self, cache, table).row(row)
    }
}

fn broken(place: Option<&PathBuf>, source: Option<io::Error>) -> IndexError {
    if let Some(place) = place {
        // What is broken must not be met again by the next process. Where it cannot be removed, that one passes it
        // over.
        let _ = std::fs::remove_file(place);
    }
    let file = place.cloned().unwrap_or_else(|| PathBuf::from("a run in memory"));
    IndexError::IndexCacheBroken { file, source }
}

/// Rows of one table by position, keeping the page in hand.
struct Cursor<'a, R> {
    run: &'a RunFile,
    cache: &'a PageCache,
    table: Table<R>,
    page: Option<(u64, Arc<Page>)>,
}

impl<'a, R: Row> Cursor<'a, R> {
    fn new(run: &'a RunFile, cache: &'a PageCache, table: Table<R>) -> Self {
        Self { run, cache, table, page: None }
    }

    fn bytes(&mut self, row: u32) -> Result<&[u8], IndexError> {
        if row >= self.table.rows {
            return Err(self.run.broken());
        }
        let (number, at) = self.table.place(row);
        let page = match self.page.take() {
            Some((held, page)) if held == number => page,
            _ => self.run.page(self.cache, number)?,
        };
        let (_, page) = self.page.insert((number, page));
        Ok(&payload(page)[at..at + R::WIDTH])
    }

    fn row(&mut self, row: u32) -> Result<R, IndexError> {
        let run = self.run;
        R::take(self.bytes(row)?).ok_or_else(|| run.broken())
    }
}

/// The rows of one table in order.
pub(super) struct RowStream<R> {
    run: Arc<RunFile>,
    table: Table<R>,
    next: u32,
    buffer: Vec<u8>,
    /// Numbers of the pages in `buffer`.
    buffered: std::ops::Range<u64>,
}

impl<R: Row> RowStream<R> {
    fn fill(&mut self, number: u64) -> Result<(), IndexError> {
        let pages_max = (STREAM_BUFFER_BYTES / PAGE_LEN) as u64;
        let end = self.table.end_page().min(number + pages_max);
        self.buffer.resize(usize::try_from(end - number).unwrap_or(0) * PAGE_LEN, 0);
        self.buffered = 0..0;
        self.run.read(number, &mut self.buffer)?;
        self.buffered = number..end;
        Ok(())
    }

    fn read_next(&mut self) -> Result<R, IndexError> {
        let (number, at) = self.table.place(self.next);
        if !self.buffered.contains(&number) {
            self.fill(number)?;
        }
        self.next += 1;
        let (pages, _) = self.buffer.as_chunks::<PAGE_LEN>();
        usize::try_from(number - self.buffered.start)
            .ok()
            .and_then(|page| payload(pages.get(page)?).get(at..))
            .and_then(R::take)
            .ok_or_else(|| self.run.broken())
    }
}

impl<R: Row> Iterator for RowStream<R> {
    type Item = Result<R, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.table.rows {
            return None;
        }
        let row = self.read_next();
        if row.is_err() {
            self.next = self.table.rows;
        }
        Some(row)
    }
}

/// A run that can be searched: its fan-out table, and its filter if there was room for it, are in memory.
pub(super) struct Run {
    pub(super) file: Arc<RunFile>,
    fanout: Vec<u32>,
    filter: Option<Filter>,
}

impl Run {
    /// Reads what a search needs. The filter is left out if it is larger than `filter_bytes_max`.
    pub(super) fn load(file: Arc<RunFile>, filter_bytes_max: usize) -> Result<Self, IndexError> {
        let fanout = file.resident(file.layout.fanout)?;
        let filter_bytes = file.header.filter.blocks as usize * filter::BLOCK_LEN;
        let filter = if filter_bytes <= filter_bytes_max {
            let blocks = file.resident(file.layout.filter)?;
            Some(Filter { hashes: file.header.filter.hashes, blocks })
        } else {
            None
        };
        Ok(Self { file, fanout, filter })
    }

    /// Memory of the filter.
    pub(super) fn filter_bytes(&self) -> usize {
        self.filter.as_ref().map_or(0, Filter::bytes)
    }

    /// Shows `visit` every row of `id` until it returns something.
    pub(super) fn find<T>(
        &self,
        cache: &PageCache,
        id: &ShortId,
        mut visit: impl FnMut(ChunkRow) -> Result<Option<T>, IndexError>,
    ) -> Result<Option<T>, IndexError> {
        let Some((mut at, end)) = self.rows_from(cache, id)? else { return Ok(None) };
        let mut rows = Cursor::new(&self.file, cache, self.file.layout.chunks);
        while at < end {
            let row = rows.row(at)?;
            if row.id != *id {
                break;
            }
            if let Some(found) = visit(row)? {
                return Ok(Some(found));
            }
            at += 1;
        }
        Ok(None)
    }

    /// The number of the first row of `id`, if there is one.
    pub(super) fn first_row(&self, cache: &PageCache, id: &ShortId) -> Result<Option<u32>, IndexError> {
        let Some((at, end)) = self.rows_from(cache, id)? else { return Ok(None) };
        let is_there = at < end && Cursor::new(&self.file, cache, self.file.layout.chunks).row(at)?.id == *id;
        Ok(is_there.then_some(at))
    }

    /// Where rows of `id` begin, if there are any, and where those of all ids like it end; nothing if there are surely none.
    fn rows_from(&self, cache: &PageCache, id: &ShortId) -> Result<Option<(u32, u32)>, IndexError> {
        if self.filter.as_ref().is_some_and(|filter| !filter.may_hold(id)) {
            return Ok(None);
        }
        let entry = fanout_entry(id, self.file.header.fanout_bits);
        let (Some(&start), Some(&end)) = (self.fanout.get(entry), self.fanout.get(entry + 1)) else {
            return Err(self.file.broken());
        };
        let mut rows = Cursor::new(&self.file, cache, self.file.layout.chunks);
        let (mut low, mut high) = (start, end);
        while low < high {
            let middle = low + (high - low) / 2;
            if rows.bytes(middle)?[..SHORT_ID_LEN] < id.0[..] { low = middle + 1 } else { high = middle }
        }
        Ok(Some((low, end)))
    }
}

/// The entry of the fan-out table that ids like `id` share.
pub(super) fn fanout_entry(id: &ShortId, bits: u32) -> usize {
    let lead = u32::from_be_bytes(*id.0.first_chunk().expect("an id is longer"));
    // A shift by all 32 bits, for a table of one entry, leaves nothing.
    lead.checked_shr(u32::BITS - bits).unwrap_or(0) as usize
}
