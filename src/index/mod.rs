//! The local index: answers which pack and block hold a chunk, in memory that does not grow with the repository.
//!
//! A cache folder holds *runs*: immutable files that together have exactly the rows of the listed segments. Deleting
//! the folder loses nothing. It is hostile until proved: every page is authenticated, and what does not fit is thrown
//! away and made again from the segments.
//!
//! Memory, whatever the number of chunks: filters 48 MiB (and while a session's merge replaces some, old and new
//! ones), fan-out tables 8 MiB, cached pages 16 MiB; while the index is opened, the rows of one batch of segments
//! ([`FETCH_BATCH_CHUNKS`] and one segment more, twice while they are sorted); while runs are merged, 64 KiB for each
//! and about 8 bytes for each pack. The ids of the segments come on top.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::env::NoRandomness;
use crate::format::index::{BlockRow, ChunkRow, PackRow, Segment, ShortId};
use crate::format::segment::SegmentError;
use crate::id::{PackId, SegmentId};

mod filter;
mod folder;
pub mod marks;
mod merge;
mod page;
mod row;
mod run;
mod write;

use folder::Folder;
use merge::{KWay, Tables};
use page::PageCache;
use run::{RowStream, Run, RunFile};

/// Most segments fetched before their rows are written as a run.
pub const FETCH_BATCH: usize = 64;

/// Chunks after which a batch of segments is written as a run: 32 MiB of rows.
pub const FETCH_BATCH_CHUNKS: usize = 1 << 20;

// Each attempt removes a broken run; more than a few mean that something else is wrong.
const OPEN_ATTEMPTS_MAX: usize = 16;

// Chunks that a stream resolves together, so that each page of the block table is read once for many of them: 16 MiB.
const RESOLVE_BATCH_CHUNKS: usize = 1 << 17;

/// Why the index did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A run is damaged and was removed: open the index again, and its segments are fetched anew.
    #[error("{} of the index cache is damaged", file.display())]
    IndexCacheBroken {
        /// The run.
        file: PathBuf,
        /// What the system said, if it was not the bytes that were wrong.
        source: Option<io::Error>,
    },
    /// The tables of a segment do not fit together.
    #[error("index segment {segment} is damaged")]
    Segment {
        /// The segment.
        segment: SegmentId,
        /// What is wrong with it.
        source: SegmentError,
    },
    /// More rows than a run can number.
    #[error("the index is too large")]
    TooLarge,
    /// A run needs a random name.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Why the index could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError<E> {
    /// A listed segment could not be fetched. What was fetched before it is kept.
    #[error("cannot fetch index segment {segment}")]
    Fetch {
        /// The segment.
        segment: SegmentId,
        /// The caller's own error.
        source: E,
    },
    /// The index itself failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Where a chunk lies, with all that a reader needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The pack.
    pub pack: Arc<PackRow>,
    /// The block in it; its `pack` is 0 and means nothing, since `pack` above stands for it.
    pub block: BlockRow,
    /// Start of the chunk in the plain block, in bytes.
    pub offset: u32,
    /// Plain length of the chunk in bytes.
    pub len: u32,
}

/// Rows in the index. A row that two runs hold counts twice until they are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packs.
    pub packs: u64,
    /// Blocks.
    pub blocks: u64,
    /// Chunks.
    pub chunks: u64,
}

/// The rows of a set of segments, searched in place. Look-ups may come from many threads.
pub struct LocalIndex {
    folder: Folder,
    cache: PageCache,
    /// Largest first.
    runs: RwLock<Arc<Vec<Arc<Run>>>>,
    /// Held by the one thread that adds a segment.
    adding: Mutex<()>,
}

impl LocalIndex {
    /// The index of exactly the `listed` segments, with its cache in the folder `dir`.
    ///
    /// `key` authenticates the cache and **must be one repository's own**. What the cache lacks is got with `fetch`,
    /// which answers for the seal and signature of a segment. A cache that is broken or cannot be written costs time
    /// only.
    ///
    /// # Errors
    /// [`OpenError::Fetch`] with the error of `fetch`. [`OpenError::Index`] with [`IndexError::Segment`] if a fetched
    /// segment does not pass [`crate::format::segment::check`].
    pub fn open<E>(
        dir: &Path,
        key: &[u8; 32],
        listed: &[SegmentId],
        fetch: &mut dyn FnMut(SegmentId) -> Result<Segment, E>,
    ) -> Result<Self, OpenError<E>> {
        let listed: BTreeSet<_> = listed.iter().copied().collect();
        let mut broken = BTreeSet::new();
        loop {
            match Self::open_without(&broken, Folder::new(dir, key), &listed, fetch) {
                Err(OpenError::Index(IndexError::IndexCacheBroken { file, .. }))
                    if broken.len() < OPEN_ATTEMPTS_MAX =>
                {
                    broken.insert(file);
                }
                opened => return opened,
            }
        }
    }

    fn open_without<E>(
        broken: &BTreeSet<PathBuf>,
        folder: Folder,
        listed: &BTreeSet<SegmentId>,
        fetch: &mut dyn FnMut(SegmentId) -> Result<Segment, E>,
    ) -> Result<Self, OpenError<E>> {
        let mut files = choose(folder.runs(broken), listed);
        let held: BTreeSet<_> = files.iter().flat_map(|run| run.segments.iter().copied()).collect();
        let mut missing = listed.difference(&held).copied().peekable();
        while missing.peek().is_some() {
            let mut batch = fetch_batch(&mut missing, fetch)?;
            files.push(folder.store(&mut batch)?);
        }
        let files = settle(&folder, files)?;
        let runs = load(files, &[])?;
        let runs = RwLock::new(Arc::new(runs));
        Ok(Self { folder, cache: PageCache::new(), runs, adding: Mutex::new(()) })
    }

    /// Where the chunk is, in a pack that `usable` accepts; nothing, if only other packs hold it or none.
    ///
    /// # Errors
    /// [`IndexError::IndexCacheBroken`]: open the index again.
    pub fn lookup(&self, id: &ShortId, usable: &dyn Fn(&PackId) -> bool) -> Result<Option<Location>, IndexError> {
        self.lookup_where(id, &|location| usable(&location.pack.id))
    }

    /// As [`LocalIndex::lookup`], where whether a row can be used depends on more than the pack's id: who described it, or
    /// whether what it says of the block was tried before.
    ///
    /// # Errors
    /// [`IndexError::IndexCacheBroken`]: open the index again.
    pub fn lookup_where(
        &self,
        id: &ShortId,
        usable: &dyn Fn(&Location) -> bool,
    ) -> Result<Option<Location>, IndexError> {
        for run in self.runs().iter().rev() {
            let found = run.find(&self.cache, id, |row| {
                let (pack, block) = self.block(&run.file, row.block)?;
                Ok(Some(located(&Arc::new(pack), block, &row)).filter(usable))
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Adds the rows of a segment that this session has made, which can then be dropped from memory. **Call it after
    /// the segment was put**, or the next process, which does not find it listed, throws its run away.
    ///
    /// # Errors
    /// [`IndexError::Segment`] if its tables do not fit together; nothing is added then.
    /// [`IndexError::IndexCacheBroken`] if an older run is damaged.
    pub fn add_segment(&self, id: SegmentId, segment: &Segment) -> Result<(), IndexError> {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = self.runs();
        if runs.iter().any(|run| run.file.segments.binary_search(&id).is_ok()) {
            return Ok(());
        }
        let mut tables = Tables::default();
        tables.add(id, segment)?;
        tables.sort();
        let added = self.folder.store(&mut tables)?;
        drop(tables);
        let mut files: Vec<_> = runs.iter().map(|run| Arc::clone(&run.file)).collect();
        files.push(added);
        // Found from here on, even if the merge after it fails.
        self.replace_runs(load(files.clone(), &runs)?);
        let settled = settle(&self.folder, files)?;
        let runs = self.runs();
        self.replace_runs(load(settled, &runs)?);
        Ok(())
    }

    /// The segments whose rows these are.
    pub fn segments(&self) -> BTreeSet<SegmentId> {
        self.runs().iter().flat_map(|run| run.file.segments.iter().copied()).collect()
    }

    /// Rows in all runs.
    pub fn counts(&self) -> Counts {
        self.runs().iter().fold(Counts::default(), |counts, run| Counts {
            packs: counts.packs + u64::from(run.file.header.packs),
            blocks: counts.blocks + u64::from(run.file.header.blocks),
            chunks: counts.chunks + u64::from(run.file.header.chunks),
        })
    }

    /// Every pack, ascending by id. A pack comes more than once only if segments disagree about it.
    ///
    /// # Errors
    /// [`IndexError::IndexCacheBroken`], also as the last item: open the index again.
    pub fn packs(&self) -> Result<impl Iterator<Item = Result<PackRow, IndexError>> + use<>, IndexError> {
        let runs = self.runs();
        let streams = runs.iter().map(|run| run.file.stream(run.file.layout.packs)).collect();
        Ok(each_once(KWay::new(streams)?))
    }

    /// Every block with its pack, ascending by pack and ordinal. The `pack` of the row is 0 and means nothing.
    ///
    /// # Errors
    /// [`IndexError::IndexCacheBroken`], also as the last item: open the index again.
    pub fn blocks(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Arc<PackRow>, BlockRow), IndexError>> + use<>, IndexError> {
        let runs = self.runs();
        let streams = runs.iter().map(|run| BlockStream::new(&run.file)).collect();
        Ok(each_once(KWay::new(streams)?))
    }

    /// Every chunk with every place where it lies, ascending.
    ///
    /// # Errors
    /// [`IndexError::IndexCacheBroken`], also as the last item: open the index again.
    pub fn chunks(&self) -> Result<Chunks<'_>, IndexError> {
        let runs = self.runs();
        let streams = runs.iter().map(|run| run.file.stream(run.file.layout.chunks)).collect();
        let rows = KWay::new(streams)?.peekable();
        Ok(Chunks { index: self, runs, rows, batch: Vec::new().into_iter(), failed: false })
    }

    fn runs(&self) -> Arc<Vec<Arc<Run>>> {
        Arc::clone(&self.runs.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_runs(&self, runs: Vec<Arc<Run>>) {
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(runs);
    }

    fn block(&self, run: &RunFile, block: u32) -> Result<(PackRow, BlockRow), IndexError> {
        let block = run.row(&self.cache, run.layout.blocks, block)?;
        let pack = run.row(&self.cache, run.layout.packs, block.pack)?;
        Ok((pack, block))
    }
}

fn located(pack: &Arc<PackRow>, block: BlockRow, row: &ChunkRow) -> Location {
    Location { pack: Arc::clone(pack), block: BlockRow { pack: 0, ..block }, offset: row.offset, len: row.len }
}

/// The runs to use: those of listed segments only, without those that add nothing. The others are removed.
fn choose(mut runs: Vec<Arc<RunFile>>, listed: &BTreeSet<SegmentId>) -> Vec<Arc<RunFile>> {
    // The order depends on the runs alone, so that two processes never remove the one that the other keeps.
    runs.sort_by_key(|run| (Reverse(run.segments.len()), run.header.id));
    let mut held = BTreeSet::new();
    let (used, spare): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| {
        let is_listed = run.segments.iter().all(|segment| listed.contains(segment));
        let adds = run.segments.iter().any(|segment| !held.contains(segment));
        if is_listed && adds {
            held.extend(run.segments.iter().copied());
        }
        is_listed && adds
    });
    spare.iter().for_each(|run| run.remove());
    used
}

/// The next segments that are missing, as many as one run is made of.
fn fetch_batch<E>(
    missing: &mut Peekable<impl Iterator<Item = SegmentId>>,
    fetch: &mut dyn FnMut(SegmentId) -> Result<Segment, E>,
) -> Result<Tables, OpenError<E>> {
    let mut batch = Tables::default();
    while batch.segments_len() < FETCH_BATCH && batch.chunks_len() < FETCH_BATCH_CHUNKS {
        let Some(id) = missing.next() else { break };
        let segment = fetch(id).map_err(|source| OpenError::Fetch { segment: id, source })?;
        batch.add(id, &segment)?;
    }
    batch.sort();
    Ok(batch)
}

/// Merges runs until each is far smaller than the one before it.
fn settle(folder: &Folder, mut files: Vec<Arc<RunFile>>) -> Result<Vec<Arc<RunFile>>, IndexError> {
    loop {
        let (mut candidates, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|run| folder.can_merge(run));
        candidates.sort_by_key(|run| Reverse(rows(run)));
        let sizes: Vec<_> = candidates.iter().map(|run| rows(run)).collect();
        let merged = match merge::tier(&sizes) {
            Some(group) => folder.merge(&candidates[group.clone()])?.map(|merged| (group, merged)),
            None => None,
        };
        let is_settled = merged.is_none();
        if let Some((group, merged)) = merged {
            candidates.splice(group, [merged]);
        }
        candidates.extend(others);
        files = candidates;
        if is_settled {
            return Ok(files);
        }
    }
}

/// Size of a run for the choice of merges; one even if it is empty, so that empty runs are merged too.
fn rows(run: &RunFile) -> u64 {
    u64::from(run.header.packs) + u64::from(run.header.blocks) + u64::from(run.header.chunks) + 1
}

/// Makes `files` ready to be searched, largest first. What `loaded` has of them is taken from there.
fn load(mut files: Vec<Arc<RunFile>>, loaded: &[Arc<Run>]) -> Result<Vec<Arc<Run>>, IndexError> {
    files.sort_by_key(|run| Reverse(rows(run)));
    let mut filter_bytes_left = filter::FILTERS_BYTES_MAX;
    files
        .into_iter()
        .map(|file| {
            let run = match loaded.iter().find(|run| Arc::ptr_eq(&run.file, &file)) {
                Some(run) => Arc::clone(run),
                None => Arc::new(Run::load(file, filter_bytes_left)?),
            };
            filter_bytes_left = filter_bytes_left.saturating_sub(run.filter_bytes());
            Ok(run)
        })
        .collect()
}

/// What a merge gives, without repetitions; ends after an error.
fn each_once<T: Ord + Clone>(
    merged: impl Iterator<Item = Result<(T, usize), IndexError>>,
) -> impl Iterator<Item = Result<T, IndexError>> {
    let mut last = None;
    merged.filter_map(move |item| match item {
        Ok((row, _)) if last.as_ref() == Some(&row) => None,
        Ok((row, _)) => {
            last = Some(row.clone());
            Some(Ok(row))
        }
        Err(error) => Some(Err(error)),
    })
}

/// The blocks of one run with their packs.
struct BlockStream {
    run: Arc<RunFile>,
    blocks: RowStream<BlockRow>,
    packs: RowStream<PackRow>,
    /// The pack read last, and how many were read.
    pack: Option<Arc<PackRow>>,
    packs_read: u32,
}

impl BlockStream {
    fn new(run: &Arc<RunFile>) -> Self {
        let (blocks, packs) = (run.stream(run.layout.blocks), run.stream(run.layout.packs));
        Self { run: Arc::clone(run), blocks, packs, pack: None, packs_read: 0 }
    }

    fn with_pack(&mut self, block: BlockRow) -> Result<(Arc<PackRow>, BlockRow), IndexError> {
        // Blocks ascend by pack, so both tables are read once.
        while self.packs_read <= block.pack {
            let pack = self.packs.next().ok_or_else(|| self.run.broken())??;
            self.pack = Some(Arc::new(pack));
            self.packs_read += 1;
        }
        let pack = self.pack.as_ref().ok_or_else(|| self.run.broken())?;
        Ok((Arc::clone(pack), BlockRow { pack: 0, ..block }))
    }
}

impl Iterator for BlockStream {
    type Item = Result<(Arc<PackRow>, BlockRow), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let block = self.blocks.next()?;
        Some(block.and_then(|block| self.with_pack(block)))
    }
}

/// What [`LocalIndex::chunks`] gives: one item for each place of each chunk, sorted; the last one if it is an error.
pub struct Chunks<'a> {
    index: &'a LocalIndex,
    runs: Arc<Vec<Arc<Run>>>,
    rows: Peekable<KWay<ChunkRow, RowStream<ChunkRow>>>,
    batch: std::vec::IntoIter<(ShortId, Location)>,
    failed: bool,
}

impl Chunks<'_> {
    /// The next rows, all those of an id together, each with the number of its run.
    fn next_rows(&mut self) -> Result<Vec<(usize, ChunkRow)>, IndexError> {
        let mut rows: Vec<(usize, ChunkRow)> = Vec::new();
        while let Some(next) = self.rows.next_if(|next| match (next, rows.last()) {
            (Ok((next, _)), Some((_, last))) => {
                // A segment of nothing but repetitions may be cut; its doubles then come out twice.
                rows.len() < RESOLVE_BATCH_CHUNKS || next.id == last.id && rows.len() < 2 * RESOLVE_BATCH_CHUNKS
            }
            _ => true,
        }) {
            let (row, run) = next?;
            rows.push((run, row));
        }
        Ok(rows)
    }

    fn next_batch(&mut self) -> Result<(), IndexError> {
        let mut rows = self.next_rows()?;
        rows.sort_unstable_by_key(|(run, row)| (*run, row.block));
        let mut batch: Vec<(ShortId, Location)> = Vec::with_capacity(rows.len());
        let mut last: Option<(usize, u32, Arc<PackRow>, BlockRow)> = None;
        for (run, row) in rows {
            let (pack, block) = match &last {
                Some((last_run, last_block, pack, block)) if (*last_run, *last_block) == (run, row.block) => {
                    (Arc::clone(pack), *block)
                }
                _ => {
                    let (pack, block) = self.index.block(&self.runs[run].file, row.block)?;
                    let pack = match &last {
                        Some((_, _, last, _)) if **last == pack => Arc::clone(last),
                        _ => Arc::new(pack),
                    };
                    (pack, block)
                }
            };
            batch.push((row.id, located(&pack, block, &row)));
            last = Some((run, row.block, pack, block));
        }
        batch.sort_unstable();
        batch.dedup();
        self.batch = batch.into_iter();
        Ok(())
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<(ShortId, Location), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(chunk) = self.batch.next() {
            return Some(Ok(chunk));
        }
        if self.failed {
            return None;
        }
        match self.next_batch() {
            Ok(()) => self.batch.next().map(Ok),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
