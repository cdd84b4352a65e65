//! [`Watch`]: sees each step that a [`super::LocalStore`] takes on its disk, and may forbid it. For tests: a store that is
//! not watched pays one comparison for each step.
//!
//! A test fails a store at each of its steps with an error of its choice, or keeps a record of them and builds from it what
//! a power cut could have left.

use std::io;

/// One step, with paths relative to the repository's folder, which itself is `.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A folder is made; one that is there already is fine.
    MakeFolder(&'a str),
    /// A folder is opened, to be read or synced.
    OpenFolder(&'a str),
    /// The names in a folder are read; of a kind that is sharded, the names in its shards.
    ReadFolder(&'a str),
    /// It is looked up whether a name is taken.
    Exists(&'a str),
    /// A file is opened for reading.
    OpenFile(&'a str),
    /// Bytes of a file are read.
    Read(&'a str),
    /// A new file is made, under a temporary name.
    Create(&'a str),
    /// A new file is filled.
    Write {
        /// Which.
        path: &'a str,
        /// All that it will hold.
        bytes: &'a [u8],
    },
    /// The bytes of a file are made durable.
    SyncFile(&'a str),
    /// The names in a folder are made durable.
    SyncFolder(&'a str),
    /// A file gets another name, which must be free.
    Publish {
        /// Its name so far.
        from: &'a str,
        /// Its name from now on.
        to: &'a str,
    },
    /// A file gets another name, in place of what had it.
    Replace {
        /// Its name so far.
        from: &'a str,
        /// Its name from now on.
        to: &'a str,
    },
    /// A file gets a second name, which must be free.
    Link {
        /// The first.
        from: &'a str,
        /// The second.
        to: &'a str,
    },
    /// A name is removed.
    Unlink(&'a str),
}

/// Somebody who watches the steps of a store, from all of its threads.
pub trait Watch: Send + Sync {
    /// A step is about to be taken. An error is the answer to it, and the step is not taken.
    ///
    /// # Errors
    /// Whatever the system could answer.
    fn before(&self, step: &Step<'_>) -> io::Result<()>;

    /// How many bytes one call that writes `path` takes at most. The system may take fewer than it is given, and say so.
    fn bytes_at_once(&self, _path: &str) -> usize {
        usize::MAX
    }

    /// A step that changes something was taken.
    fn after(&self, _step: &Step<'_>) {}
}
