//! [`Window`]: a stretch of the restore that is planned by one thread, to be cut into jobs for the others.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::FileTask;
use crate::error::Result;
use crate::format::index::PackRow;
use crate::format::name::TreePath;
use crate::id::ChunkId;
use crate::index::Location;
use crate::repo::fetch::Reader;
use crate::repo::stretch::is_near;
use crate::target::Attributes;

/// Files and folders of one window. Enough that a block of small files is rarely wanted by two windows.
const ITEMS_MAX: u64 = 1024;

/// A window takes at most this part of the files that the process may have open. There are as many items in a window as it may
/// hold handles, and up to three windows at a time; the rest is for folders on the way down.
const OPEN_FILES_PART: u64 = 12;

/// Plain bytes of one window: a few dozen blocks for each core, none of which is held longer than it is written.
const BYTES_MAX: u64 = 64 << 20;

/// Chunks of one window, each of which takes about a hundred bytes while it waits: 4 MiB for each window.
const WRITES_MAX: usize = 32 << 10;

/// Plain bytes of a job, unless one block has more: a window gives every core something to do.
const JOB_BYTES_MAX: u32 = 8 << 20;

/// Bytes of paths and extended attributes in one window: paths matter thousands of levels deep.
const HELD_BYTES_MAX: usize = 4 << 20;

/// Files without blocks that one job makes.
const JOB_FILES: usize = 32;

/// The last blocks of a window, which the next one is likely to go on with: blocks are filled side by side.
const LAST_BLOCKS: usize = 2;

/// A chunk that goes to a place in a file.
pub(super) struct Write {
    pub task: Arc<FileTask>,
    pub id: ChunkId,
    pub offset: u64,
    /// Where the chunk lies in its block.
    pub location: Location,
}

impl Write {
    /// Whether `next` lies behind this both in the block and in the file.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        let len = self.location.len;
        Arc::ptr_eq(&self.task, &next.task)
            && self.location.offset.checked_add(len) == Some(next.location.offset)
            && self.offset + u64::from(len) == next.offset
    }
}

/// A block and what is wanted of it; never nothing.
pub(super) struct BlockPlan {
    pub writes: Vec<Write>,
    /// Whether the next window may want it as well.
    pub is_kept: bool,
}

impl BlockPlan {
    pub(super) fn location(&self) -> &Location {
        &self.writes[0].location
    }
}

/// Something that one thread does by itself.
pub(super) enum Job {
    /// Files that need no block.
    Files(Vec<Arc<FileTask>>),
    /// Blocks of one pack that lie close together, in order.
    Blocks(Vec<BlockPlan>),
}

/// What is planned and not yet handed over.
pub(super) struct Window {
    files: Vec<Arc<FileTask>>,
    blocks: Vec<BlockPlan>,
    /// Where in `blocks` a block stands. Rows that describe a pack differently are told apart.
    places: HashMap<(Arc<PackRow>, u32), usize>,
    /// Where the blocks stand that were planned last, the last one first.
    last: [Option<usize>; LAST_BLOCKS],
    items: usize,
    held_bytes: usize,
    writes: usize,
    bytes: u64,
    items_max: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            files: Vec::new(),
            blocks: Vec::new(),
            places: HashMap::new(),
            last: [None; LAST_BLOCKS],
            items: 0,
            held_bytes: 0,
            writes: 0,
            bytes: 0,
            items_max: items_max(),
        }
    }

    /// One item more, which holds a handle, its path and what it gets besides its content.
    pub(super) fn add_item(&mut self, path: &TreePath, attributes: &Attributes) {
        self.items += 1;
        self.held_bytes += path.as_bytes().len();
        self.held_bytes += attributes.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum::<usize>();
    }

    /// Plans a file that needs no chunk, at least not of this window.
    pub(super) fn add_file(&mut self, task: &Arc<FileTask>) {
        task.add_part();
        self.files.push(Arc::clone(task));
    }

    /// Plans a chunk of a file.
    pub(super) fn add_chunk(
        &mut self,
        reader: &Reader<'_>,
        task: &Arc<FileTask>,
        id: ChunkId,
        len: u32,
        offset: u64,
    ) -> Result<()> {
        let mut location = reader.locate_of_len(&id, len)?;
        task.add_part();
        let at = self.place_of(&location);
        if let Some(first) = self.blocks[at].writes.first() {
            location.pack = Arc::clone(&first.location.pack);
        }
        self.blocks[at].writes.push(Write { task: Arc::clone(task), id, offset, location });
        self.writes += 1;
        self.bytes += u64::from(len);
        Ok(())
    }

    fn place_of(&mut self, location: &Location) -> usize {
        let is_here = |at: &usize| {
            let known = self.blocks[*at].location();
            known.block.ordinal == location.block.ordinal && known.pack == location.pack
        };
        // Neighbouring chunks lie in the same block.
        if let Some(at) = self.last.iter().flatten().copied().find(is_here) {
            return at;
        }
        let key = (Arc::clone(&location.pack), location.block.ordinal);
        let at = *self.places.entry(key).or_insert(self.blocks.len());
        if at == self.blocks.len() {
            self.blocks.push(BlockPlan { writes: Vec::new(), is_kept: false });
        }
        self.last.rotate_right(1);
        self.last[0] = Some(at);
        at
    }

    pub(super) fn is_full(&self) -> bool {
        self.items >= self.items_max
            || self.bytes >= BYTES_MAX
            || self.writes >= WRITES_MAX
            || self.held_bytes >= HELD_BYTES_MAX
    }

    /// Cuts the window into jobs, along the packs, and begins the next one.
    pub(super) fn take_jobs(&mut self) -> Vec<Job> {
        let mut window = std::mem::replace(self, Self { items_max: self.items_max, ..Self::new() });
        for at in window.last.into_iter().flatten() {
            window.blocks[at].is_kept = true;
        }
        window.blocks.sort_by_key(|block| {
            let location = block.location();
            (location.pack.id, location.block.offset)
        });
        let mut jobs: Vec<Vec<BlockPlan>> = Vec::new();
        let mut plain_bytes = 0_u32;
        for block in window.blocks {
            let len = block.location().block.plain_len;
            let goes_on = |job: &Vec<BlockPlan>| {
                let [first, last] = [&job[0], &job[job.len() - 1]].map(BlockPlan::location);
                plain_bytes.saturating_add(len) <= JOB_BYTES_MAX && is_near(first, last, block.location())
            };
            match jobs.last_mut().filter(|job| goes_on(job)) {
                Some(job) => {
                    job.push(block);
                    plain_bytes += len;
                }
                None => {
                    jobs.push(vec![block]);
                    plain_bytes = len;
                }
            }
        }
        let mut files = window.files.into_iter();
        let files = std::iter::from_fn(|| {
            let some: Vec<_> = files.by_ref().take(JOB_FILES).collect();
            (!some.is_empty()).then_some(Job::Files(some))
        });
        files.chain(jobs.into_iter().map(Job::Blocks)).collect()
    }
}

fn items_max() -> usize {
    let limit = crate::dirs::open_files_limit().map_or(ITEMS_MAX, |limit| limit / OPEN_FILES_PART);
    usize::try_from(limit.clamp(1, ITEMS_MAX)).expect("at most a thousand")
}
