//! [`Progress`]: how an operation tells what it does, without knowing who listens. [`Cancel`]: how it is told to stop.
//! [`Context`] hands both down, with the clock.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::env::Clock;
use crate::error::{Error, Result};
use crate::select::Rule;

/// A problem with one item; the operation goes on, and its exit code says that there was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it happened to: a path, or the name of an object.
    pub item: Vec<u8>,
    /// What happened, with its causes.
    pub what: String,
}

/// What becomes of an item of a source.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// It was not there before.
    New,
    /// It is not what it was.
    Changed,
    /// It is what it was.
    Unchanged,
    /// A rule leaves it out.
    Excluded(&'a Rule),
    /// Nothing of what lies in this folder is taken, but perhaps its tag: so a rule says.
    Emptied(&'a Rule),
}

/// What a restore does with an item of the snapshot or of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing was there.
    Created,
    /// Something else was there.
    Replaced,
    /// It was there, and gets its metadata.
    Kept,
    /// Something is there and stays as it is.
    Skipped,
    /// The snapshot does not have it.
    Deleted,
}

/// Listens to an operation. Called from several threads.
pub trait Progress: Sync {
    /// This is looked at now.
    fn current(&self, path: &[u8]) {
        let _ = path;
    }

    /// So many items and bytes more are done.
    fn done(&self, items: u64, bytes: u64) {
        let _ = (items, bytes);
    }

    /// So many items and bytes more are known to be ahead.
    fn ahead(&self, items: u64, bytes: u64) {
        let _ = (items, bytes);
    }

    /// This becomes of an item of the source, which has so many bytes.
    fn item(&self, path: &[u8], fate: Fate<'_>, bytes: u64) {
        let _ = (path, fate, bytes);
    }

    /// This is done with an item, which has so many bytes.
    fn acted(&self, action: Action, path: &[u8], bytes: u64) {
        let _ = (action, path, bytes);
    }

    /// Something happened to one item.
    fn problem(&self, problem: &Problem) {
        let _ = problem;
    }

    /// Something is worth a word, but changes nothing.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

/// Listens to nothing.
pub struct Silent;

impl Progress for Silent {}

/// Keeps problems back, and hands everything else on: for somebody who finds out more about them, and says it in a report.
pub struct HeldBack<'a> {
    to: &'a dyn Progress,
    problems: Mutex<Vec<Problem>>,
}

impl<'a> HeldBack<'a> {
    /// Hands on to `to`.
    pub fn new(to: &'a dyn Progress) -> Self {
        Self { to, problems: Mutex::default() }
    }

    /// Says what was kept back, for lack of a report.
    pub fn release(self) {
        let problems = self.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
        problems.iter().for_each(|problem| self.to.problem(problem));
    }
}

impl Progress for HeldBack<'_> {
    fn current(&self, path: &[u8]) {
        self.to.current(path);
    }

    fn done(&self, items: u64, bytes: u64) {
        self.to.done(items, bytes);
    }

    fn ahead(&self, items: u64, bytes: u64) {
        self.to.ahead(items, bytes);
    }

    fn acted(&self, action: Action, path: &[u8], bytes: u64) {
        self.to.acted(action, path, bytes);
    }

    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem.clone());
    }

    fn note(&self, text: &str) {
        self.to.note(text);
    }
}

/// Tells an operation to stop at the next good moment.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A token that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// The flag that a signal handler may set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Asks for the stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`Error::Interrupted`] once it was asked for.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// The outside world, as far as an operation needs it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Wall time, for stamps; monotonic time, for intervals.
    pub clock: &'a dyn Clock,
    /// Counts, current item, problems.
    pub progress: &'a dyn Progress,
    /// SIGINT, a time budget.
    pub cancel: &'a Cancel,
}

impl Context<'_> {
    /// Reports a problem with a path of this machine.
    pub fn path_problem(&self, path: &Path, what: impl Into<String>) {
        use std::os::unix::ffi::OsStrExt;
        self.progress.problem(&Problem { item: path.as_os_str().as_bytes().to_vec(), what: what.into() });
    }
}
