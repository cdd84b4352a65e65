//! [`Crew`]: the threads that fetch blocks and write files of one window while the next one is planned.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::window::{BlockPlan, Job, Write};
use crate::error::{Error, Result};
use crate::keys::domain::ChunkKind;
use crate::progress::Context;
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::stretch::Stretch;
use crate::target;

/// Windows that are handed over and not done: one is worked on, and the next one is there when its last jobs run out.
const WINDOWS_MAX: usize = 2;

/// What the threads of a restore share.
pub(super) struct Crew<'a, 'r> {
    pub(super) reader: &'a Reader<'r>,
    pub(super) options: target::Options,
    /// Whether files are read again.
    pub(super) verifies: bool,
    pub(super) cx: &'a Context<'a>,
    queue: Mutex<Queue>,
    /// There is a job, or there will be none.
    has_work: Condvar,
    /// A window is done, or the restore has failed.
    has_news: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Each with the number of its window.
    jobs: VecDeque<(usize, Job)>,
    /// Jobs left of each window that is not done, from the oldest on.
    left: VecDeque<usize>,
    /// The number of the oldest.
    oldest: usize,
    failure: Option<Error>,
    /// Jobs are thrown away from now on.
    has_failed: bool,
    is_closed: bool,
}

impl<'a, 'r> Crew<'a, 'r> {
    /// Calls `plan` with a crew that works for it until it returns.
    pub(super) fn work_for<T>(
        reader: &'a Reader<'r>,
        options: target::Options,
        verifies: bool,
        cx: &'a Context<'a>,
        plan: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let crew = Self {
            reader,
            options,
            verifies,
            cx,
            queue: Mutex::default(),
            has_work: Condvar::new(),
            has_news: Condvar::new(),
        };
        thread::scope(|scope| {
            let _closes = Closes(&crew);
            let threads = thread::available_parallelism().map_or(1, NonZero::get);
            for number in 0..threads {
                let worker = thread::Builder::new().name(format!("caddis-write-{number}"));
                match worker.spawn_scoped(scope, || crew.work()) {
                    // Fewer threads are slower and no worse.
                    Err(_) if number > 0 => break,
                    Err(source) => {
                        return Err(Error::Io { action: "start a thread for", path: "the restore".into(), source });
                    }
                    Ok(_) => {}
                }
            }
            plan(&crew)
        })
    }

    /// Hands over a window, once there is room for one.
    pub(super) fn hand_over(&self, jobs: Vec<Job>) -> Result<()> {
        self.wait(WINDOWS_MAX - 1)?;
        let mut queue = self.queue();
        let number = queue.oldest + queue.left.len();
        queue.left.push_back(jobs.len());
        queue.jobs.extend(jobs.into_iter().map(|job| (number, job)));
        self.has_work.notify_all();
        Ok(())
    }

    /// Waits until no more than `windows` are not done.
    ///
    /// # Errors
    /// What stopped the work; only once.
    pub(super) fn wait(&self, windows: usize) -> Result<()> {
        let mut queue = self.queue();
        loop {
            queue.retire();
            if let Some(error) = queue.failure.take() {
                return Err(error);
            }
            if queue.left.len() <= windows {
                return Ok(());
            }
            queue = self.has_news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Throws away what is not begun, and waits for what is.
    pub(super) fn stop(&self) {
        self.queue().has_failed = true;
        // The restore has failed already: what else went wrong would add nothing.
        while self.wait(0).is_err() {}
    }

    fn work(&self) {
        while let Some((number, job)) = self.next() {
            let begun = Begun { crew: self, number };
            if !self.queue().has_failed
                && let Err(error) = self.cx.cancel.check().and_then(|()| self.execute(job))
            {
                self.queue().fail(error);
            }
            drop(begun);
        }
    }

    fn next(&self) -> Option<(usize, Job)> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.is_closed {
                return None;
            }
            queue = self.has_work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn execute(&self, job: Job) -> Result<()> {
        match job {
            Job::Files(tasks) => tasks.iter().try_for_each(|task| {
                if !task.inline.is_empty() {
                    task.write(&task.inline, 0)?;
                }
                task.end_parts(1, self)
            }),
            Job::Blocks(blocks) => self.write_blocks(&blocks),
        }
    }

    fn write_blocks(&self, blocks: &[BlockPlan]) -> Result<()> {
        let mut stretch = None;
        for (at, block) in blocks.iter().enumerate() {
            self.cx.cancel.check()?;
            let plain = match self.reader.kept_block(block.location()) {
                Some(plain) => Ok(plain),
                None => self.read_block(&mut stretch, &blocks[at..]),
            };
            match plain {
                Ok(plain) => self.write_block(block, Some(&plain))?,
                Err(error) if is_damage(&error) => self.write_block(block, None)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The first of `blocks`, cut out of what was read for all of them at the first need.
    fn read_block(&self, stretch: &mut Option<Stretch>, blocks: &[BlockPlan]) -> Result<Arc<Vec<u8>>> {
        let (block, last) = (&blocks[0], &blocks[blocks.len() - 1]);
        let (first, last) = (block.location(), last.location());
        if stretch.is_none() {
            match self.reader.stretch(first, last) {
                Ok(read) => *stretch = Some(read),
                // A pack that was cut short still gives the blocks before the cut.
                Err(error) if is_damage(&error) && blocks.len() > 1 => {}
                Err(error) => return Err(error),
            }
        }
        let plain = match stretch {
            Some(stretch) => self.reader.block_in(stretch, first)?,
            None => self.reader.block_in(&self.reader.stretch(first, first)?, first)?,
        };
        let plain = Arc::new(plain);
        if block.is_kept {
            self.reader.keep_block(first, &plain);
        }
        Ok(plain)
    }

    /// Writes what is wanted of a block: chunks that lie side by side in it and in their file with one call.
    fn write_block(&self, block: &BlockPlan, plain: Option<&[u8]>) -> Result<()> {
        for row in block.writes.chunk_by(Write::is_followed_by) {
            let task = &row[0].task;
            match plain.and_then(|plain| self.prove(row, plain)) {
                Some(bytes) => {
                    task.write(bytes, row[0].offset)?;
                    self.cx.progress.done(0, bytes.len() as u64);
                }
                // The block is damaged: another pack may hold the chunks.
                None => row.iter().try_for_each(|write| self.write_from_elsewhere(write))?,
            }
            task.end_parts(row.len(), self)?;
        }
        Ok(())
    }

    /// The bytes of chunks that lie side by side, if each of them is what its id says.
    fn prove<'b>(&self, row: &[Write], plain: &'b [u8]) -> Option<&'b [u8]> {
        let (first, last) = (&row[0].location, &row[row.len() - 1].location);
        for write in row {
            self.reader.prove(ChunkKind::Data, &write.id, &write.location, plain).ok()?;
        }
        plain.get(first.offset as usize..last.offset as usize + last.len as usize)
    }

    fn write_from_elsewhere(&self, write: &Write) -> Result<()> {
        match self.reader.chunk(ChunkKind::Data, &write.id) {
            Ok(plain) => {
                write.task.write(&plain, write.offset)?;
                self.cx.progress.done(0, plain.len() as u64);
                Ok(())
            }
            Err(error) if is_damage(&error) => {
                write.task.fail(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn fail(&mut self, error: Error) {
        if !self.has_failed {
            self.failure = Some(error);
        }
        self.has_failed = true;
    }

    /// Forgets the windows that are done.
    fn retire(&mut self) {
        while self.left.front() == Some(&0) {
            self.left.pop_front();
            self.oldest += 1;
        }
    }
}

/// A job that was begun counts as done in the end, even if its thread panics: nobody waits for ever.
struct Begun<'c, 'a, 'r> {
    crew: &'c Crew<'a, 'r>,
    number: usize,
}

impl Drop for Begun<'_, '_, '_> {
    fn drop(&mut self) {
        let mut queue = self.crew.queue();
        if thread::panicking() {
            // The scope passes the panic on as soon as planning has ended.
            queue.fail(Error::Interrupted);
        }
        let at = self.number - queue.oldest;
        queue.left[at] -= 1;
        self.crew.has_news.notify_all();
    }
}

/// Sends the crew home when planning ends, however it does.
struct Closes<'c, 'a, 'r>(&'c Crew<'a, 'r>);

impl Drop for Closes<'_, '_, '_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.is_closed = true;
        queue.has_failed = true;
        self.0.has_work.notify_all();
    }
}
