//! [`FileTask`]: a file that is being brought back by whichever threads have parts of it. The first one makes it, the last
//! one gives it its metadata and closes it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::crew::Crew;
use super::verify::{Expected, verify};
use super::worker::apply;
use crate::error::{Error, Result, with_causes};
use crate::format::name::{Name, TreePath};
use crate::format::tree::Content;
use crate::progress::Problem;
use crate::target::{Attributes, create_file_in};

/// A file that is being brought back.
pub(super) struct FileTask {
    /// The folder that it is made in.
    pub folder: Arc<OwnedFd>,
    /// Its name there, until it is whole.
    pub name: Name,
    /// The name that it gets then, if that is another one.
    pub final_name: Option<Name>,
    /// Its length, holes included.
    pub size: u64,
    /// What its node holds of its content.
    pub inline: Vec<u8>,
    /// The rest of its content, if it is read again.
    pub content: Option<Content>,
    /// What it gets once it is whole.
    pub attributes: Attributes,
    /// Its path in the snapshot.
    pub path: TreePath,
    /// Its group of hard links.
    pub group: Option<usize>,
    /// What is left of it.
    pub parts: Parts,
}

/// Parts of a file that are still to be written, and what is known of those that were.
pub(super) struct Parts {
    /// One more than there are, as long as the file is being planned.
    left: AtomicUsize,
    /// Where the written bytes end.
    end: AtomicU64,
    state: Mutex<State>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { left: AtomicUsize::new(1), end: AtomicU64::new(0), state: Mutex::default() }
    }
}

/// What became of a file so far.
#[derive(Default)]
struct State {
    file: Option<Arc<File>>,
    is_made: bool,
    failure: Option<String>,
    is_over: bool,
    problems: u64,
}

/// How a file ended.
pub(super) enum End {
    /// It stands, with so many problems.
    Whole(u64),
    /// It cannot be brought back.
    Lost(String),
}

impl FileTask {
    /// Makes the file if nobody did yet. Nothing if it is lost.
    ///
    /// # Errors
    /// A full disk: all that follows would fail in the same way.
    pub(super) fn open(&self) -> Result<Option<Arc<File>>> {
        let mut state = self.state();
        if state.failure.is_some() {
            return Ok(None);
        }
        if let Some(file) = &state.file {
            return Ok(Some(Arc::clone(file)));
        }
        match create_file_in(self.folder.as_fd(), &self.name) {
            Ok(file) => {
                state.is_made = true;
                Ok(Some(Arc::clone(state.file.insert(Arc::new(file)))))
            }
            Err(error) if is_full(&error) => Err(self.io_error("create", error)),
            Err(error) => {
                state.failure = Some(format!("cannot create it: {error}"));
                Ok(None)
            }
        }
    }

    /// Writes bytes that were proved. A full disk stops the restore; any other failure loses this file only.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let Some(file) = self.open()? else { return Ok(()) };
        match file.write_all_at(bytes, offset) {
            Err(error) if is_full(&error) => return Err(self.io_error("write", error)),
            Err(error) => self.set_failure(format!("cannot write it: {error}")),
            Ok(()) => {}
        }
        self.parts.end.fetch_max(offset + bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The file cannot be brought back whole.
    pub(super) fn fail(&self, error: &Error) {
        self.set_failure(format!("it is lost: {}", with_causes(error)));
    }

    /// One part more is to be written.
    pub(super) fn add_part(&self) {
        self.parts.left.fetch_add(1, Ordering::Relaxed);
    }

    /// So many parts are done. After the last one the file gets its length, if that is not where its bytes end, is read again if
    /// so chosen, and gets its metadata.
    pub(super) fn end_parts(&self, count: usize, crew: &Crew<'_, '_>) -> Result<()> {
        if self.parts.left.fetch_sub(count, Ordering::AcqRel) != count {
            return Ok(());
        }
        let file = self.open()?;
        let mut problems = 0;
        if let Some(file) = &file
            && self.set_len(file)?
        {
            problems = self.verify(file, crew)?;
            problems += apply(file.as_ref(), &self.attributes, &crew.options, &self.path, crew.cx);
        }
        let mut state = self.state();
        state.file = None;
        state.problems = problems;
        state.is_over = true;
        Ok(())
    }

    /// Reads the file again, unless it is lost anyway. Answers how many problems there are.
    fn verify(&self, file: &File, crew: &Crew<'_, '_>) -> Result<u64> {
        let Some(content) = self.content.as_ref().filter(|_| self.failure().is_none()) else { return Ok(0) };
        let expected = Expected { inline: &self.inline, content, size: self.size };
        let Some(what) = verify(crew.reader, file, &expected)? else { return Ok(0) };
        crew.cx.progress.problem(&Problem { item: self.path.absolute(), what });
        Ok(1)
    }

    fn set_len(&self, file: &File) -> Result<bool> {
        if self.parts.end.load(Ordering::Relaxed) == self.size {
            return Ok(true);
        }
        match file.set_len(self.size) {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => Err(self.io_error("write", error)),
            Err(error) => {
                self.set_failure(format!("cannot give it its length: {error}"));
                Ok(false)
            }
        }
    }

    /// Why the file cannot be brought back, if that is so.
    pub(super) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// How the file ended, once it has.
    pub(super) fn end(&self) -> Option<End> {
        let state = self.state();
        state.is_over.then(|| match &state.failure {
            Some(what) => End::Lost(what.clone()),
            None => End::Whole(state.problems),
        })
    }

    /// Whether its name stands for it, whole or not.
    pub(super) fn is_made(&self) -> bool {
        self.state().is_made
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.parts.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_failure(&self, what: String) {
        self.state().failure.get_or_insert(what);
    }

    fn io_error(&self, action: &'static str, source: io::Error) -> Error {
        Error::Io { action, path: self.path.to_path_buf(), source }
    }
}

/// Whether nothing can be written any more.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
