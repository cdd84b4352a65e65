//! [`Window`]: a stretch of the restore that is planned, then fetched block by block on all cores, then finished in order.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::apply;
use crate::error::{Error, Result, with_causes};
use crate::format::index::PackRow;
use crate::format::name::{Name, TreePath};
use crate::id::ChunkId;
use crate::index::Location;
use crate::keys::domain::ChunkKind;
use crate::progress::Context;
use crate::repo::fetch::{Reader, is_damage};
use crate::target::{self, Attributes};

/// Files and folders of one window; each holds a handle.
const ITEMS_MAX: u64 = 256;

/// A window takes at most this part of the files that the process may have open; the rest is for folders on the way down.
const OPEN_FILES_PART: u64 = 4;

/// Plain bytes of one window: a few dozen blocks for each core, none of which is held longer than it is written.
const BYTES_MAX: u64 = 64 << 20;

/// A file that is being brought back.
pub(super) struct FileTask {
    file: File,
    size: u64,
    attributes: Attributes,
    path: TreePath,
    below: Vec<Name>,
    group: Option<usize>,
    is_planned: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl FileTask {
    /// `below` are the names of the path from the target downward, `group` the file's group of hard links.
    pub(super) fn new(
        file: File,
        size: u64,
        attributes: Attributes,
        path: TreePath,
        below: Vec<Name>,
        group: Option<usize>,
    ) -> Self {
        let (is_planned, failure) = (AtomicBool::new(false), Mutex::default());
        Self { file, size, attributes, path, below, group, is_planned, failure }
    }

    /// Writes bytes that were proved. A full disk stops the restore; any other failure loses this file only.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        match self.file.write_all_at(bytes, offset) {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                Err(self.io_error(error))
            }
            Err(error) => {
                self.set_failure(format!("cannot write it: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The file cannot be brought back whole.
    pub(super) fn fail(&self, error: &Error) {
        self.set_failure(format!("it is lost: {}", with_causes(error)));
    }

    /// Nothing more will be planned for it.
    pub(super) fn planned(&self) {
        self.is_planned.store(true, Ordering::Release);
    }

    fn set_failure(&self, what: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    fn io_error(&self, source: io::Error) -> Error {
        Error::Io { action: "write", path: self.path.to_path_buf(), source }
    }
}

/// A chunk that goes to a place in a file.
struct Write {
    task: Arc<FileTask>,
    id: ChunkId,
    offset: u64,
    /// Where the chunk lies in its block.
    location: Location,
}

/// What waits for the end of the window, in the order of the walk.
enum Item {
    File(Arc<FileTask>),
    Folder { handle: OwnedFd, attributes: Attributes, path: Vec<u8> },
}

/// A file that could not be brought back.
pub(super) struct Lost {
    pub path: TreePath,
    pub below: Vec<Name>,
    pub group: Option<usize>,
    pub size: u64,
    pub what: String,
}

/// How a window ended.
#[derive(Default)]
pub(super) struct Outcome {
    pub problems: u64,
    pub lost: Vec<Lost>,
    /// Groups of hard links whose file is whole.
    pub whole_groups: Vec<usize>,
}

/// What is planned and not yet written.
pub(super) struct Window<'a, 'r> {
    reader: &'a Reader<'r>,
    cx: &'a Context<'a>,
    options: target::Options,
    items: VecDeque<Item>,
    finished_folders: Vec<(OwnedFd, Attributes, Vec<u8>)>,
    /// By the place of the block. Rows that describe a pack differently are told apart.
    blocks: HashMap<(Arc<PackRow>, u32), Vec<Write>>,
    bytes: u64,
    items_max: usize,
}

impl<'a, 'r> Window<'a, 'r> {
    pub(super) fn new(reader: &'a Reader<'r>, cx: &'a Context<'a>, options: target::Options) -> Self {
        Self {
            reader,
            cx,
            options,
            items: VecDeque::new(),
            finished_folders: Vec::new(),
            blocks: HashMap::new(),
            bytes: 0,
            items_max: items_max(),
        }
    }

    pub(super) fn begin_file(&mut self, task: FileTask) -> Arc<FileTask> {
        let task = Arc::new(task);
        self.items.push_back(Item::File(Arc::clone(&task)));
        task
    }

    /// A folder gets its metadata once all that was planned before is done.
    pub(super) fn finish_folder(&mut self, handle: OwnedFd, attributes: Attributes, path: Vec<u8>) {
        self.items.push_back(Item::Folder { handle, attributes, path });
    }

    /// Plans a chunk of a file.
    pub(super) fn plan(&mut self, task: &Arc<FileTask>, id: ChunkId, len: u32, offset: u64) -> Result<()> {
        let location = self.reader.locate(&id)?;
        if location.len != len {
            let reason = format!("its length is {} and not {len}", location.len);
            return Err(Error::MalformedChunk { id, reason });
        }
        let key = (Arc::clone(&location.pack), location.block.ordinal);
        self.blocks.entry(key).or_default().push(Write { task: Arc::clone(task), id, offset, location });
        self.bytes += u64::from(len);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= self.items_max || self.bytes >= BYTES_MAX
    }

    /// Gives up: the files that are not whole, whose names nobody must take for theirs.
    pub(super) fn abandon(&mut self) -> Vec<Lost> {
        let unfinished = self.items.drain(..).filter_map(|item| match item {
            Item::File(task) => Some(lost(&task, String::new())),
            Item::Folder { .. } => None,
        });
        unfinished.collect()
    }

    /// Fetches each block once and writes its chunks, then finishes files. Folders wait for [`Self::finish_folders`], since
    /// removing a lost file changes the folder that it was in.
    pub(super) fn flush(&mut self) -> Result<Outcome> {
        let mut blocks: Vec<_> = std::mem::take(&mut self.blocks).into_values().collect();
        self.bytes = 0;
        blocks.sort_by_key(|writes| writes.first().map(|write| (write.location.pack.id, write.location.block.offset)));
        let (reader, cx) = (self.reader, self.cx);
        blocks.par_iter().try_for_each(|writes| write_block(reader, writes, cx))?;
        let mut outcome = Outcome::default();
        while let Some(item) = self.items.front() {
            if matches!(item, Item::File(task) if !task.is_planned.load(Ordering::Acquire)) {
                break; // The file that is being planned goes on in the next window.
            }
            match self.items.pop_front() {
                Some(Item::File(task)) => {
                    if let Err(error) = self.finish_file(&task, &mut outcome) {
                        self.items.push_front(Item::File(task));
                        return Err(error);
                    }
                }
                Some(Item::Folder { handle, attributes, path }) => {
                    self.finished_folders.push((handle, attributes, path));
                }
                None => break,
            }
        }
        Ok(outcome)
    }

    fn finish_file(&self, task: &FileTask, outcome: &mut Outcome) -> Result<()> {
        let failure = task.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure = match failure {
            Some(what) => Some(what),
            None => match task.file.set_len(task.size) {
                Ok(()) => None,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(task.io_error(error)),
                Err(error) => Some(format!("cannot give it its length: {error}")),
            },
        };
        match failure {
            Some(what) => outcome.lost.push(lost(task, what)),
            None => {
                outcome.whole_groups.extend(task.group);
                outcome.problems += apply(&task.file, &task.attributes, &self.options, &task.path.absolute(), self.cx);
            }
        }
        Ok(())
    }

    /// Gives folders their metadata, in the order in which the walk left them: what is below comes first.
    pub(super) fn finish_folders(&mut self, problems: &mut u64) {
        for (handle, attributes, path) in self.finished_folders.drain(..) {
            *problems += apply(handle, &attributes, &self.options, &path, self.cx);
        }
    }
}

fn lost(task: &FileTask, what: String) -> Lost {
    Lost { path: task.path.clone(), below: task.below.clone(), group: task.group, size: task.size, what }
}

fn items_max() -> usize {
    let limit = crate::dirs::open_files_limit().map_or(ITEMS_MAX, |limit| limit / OPEN_FILES_PART);
    usize::try_from(limit.clamp(1, ITEMS_MAX)).expect("at most a few hundred")
}

/// Reads a block and writes the chunks that are wanted of it.
fn write_block(reader: &Reader<'_>, writes: &[Write], cx: &Context<'_>) -> Result<()> {
    cx.cancel.check()?;
    let Some(first) = writes.first() else { return Ok(()) };
    let block = match reader.block(&first.location) {
        Ok(block) => Some(block),
        Err(error) if is_damage(&error) => None,
        Err(error) => return Err(error),
    };
    for write in writes {
        let proved =
            block.as_ref().and_then(|block| reader.prove(ChunkKind::Data, &write.id, &write.location, block).ok());
        let written = match proved {
            Some(plain) => write.task.write(plain, write.offset).map(|()| plain.len()),
            // The block is damaged: another pack may hold the chunk.
            None => match reader.chunk(ChunkKind::Data, &write.id) {
                Ok(plain) => write.task.write(&plain, write.offset).map(|()| plain.len()),
                Err(error) if is_damage(&error) => {
                    write.task.fail(&error);
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        cx.progress.done(0, written? as u64);
    }
    Ok(())
}
