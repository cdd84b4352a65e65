//! [`StateFolder`]: the steps by which anything is remembered. Each is one function here and nowhere else, so that a test can
//! watch them, fail any one of them, and build from them what a power cut could have left.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::env;
use crate::error::{Error, Result};
use crate::store::local::watch::{Step, Watch};

/// The folder in which a user remembers things, for their eyes alone.
#[derive(Clone)]
pub struct StateFolder {
    root: PathBuf,
    watch: Option<Arc<dyn Watch>>,
}

impl From<PathBuf> for StateFolder {
    fn from(root: PathBuf) -> Self {
        Self { root, watch: None }
    }
}

impl Deref for StateFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.root
    }
}

impl fmt::Debug for StateFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl StateFolder {
    /// A folder whose every step is seen by `watch`, with paths relative to it.
    pub fn watched(root: PathBuf, watch: Arc<dyn Watch>) -> Self {
        Self { root, watch: Some(watch) }
    }

    /// Makes a folder below this one, and those in between.
    pub(super) fn make_folder(&self, path: &Path) -> Result<()> {
        make_folder(&self.root)?;
        let mut folder = self.root.clone();
        for name in path.strip_prefix(&self.root).unwrap_or(Path::new("")).components() {
            folder.push(name);
            if !folder.is_dir() {
                let make = || DirBuilder::new().recursive(true).mode(0o700).create(&folder);
                self.change(&Step::MakeFolder(&self.name(&folder)), make).map_err(|source| Error::Io {
                    action: "create",
                    path: folder.clone(),
                    source,
                })?;
                // A folder that is lost takes along what is durable in it.
                let above = folder.parent().unwrap_or(&self.root);
                self.sync_folder(above).map_err(|source| Error::Io {
                    action: "create",
                    path: folder.clone(),
                    source,
                })?;
            }
        }
        Ok(())
    }

    /// Makes a file that must be new, for its owner alone.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let make = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        self.change(&Step::Create(&self.name(path)), make)
    }

    /// Writes a file so that a crash leaves the old or the new one.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let io_error = |source| Error::Io { action: "write", path: path.to_path_buf(), source };
        let temporary = temporary(path)?;
        let written = self.fill(&temporary, bytes).and_then(|()| {
            let (from, to) = (self.name(&temporary), self.name(path));
            self.change(&Step::Replace { from: &from, to: &to }, || fs::rename(&temporary, path))
        });
        written.map_err(|source| {
            let _ = self.remove(&temporary);
            io_error(source)
        })
    }

    /// Gives some bytes, durably, a name that nothing has yet. What has it already stays, and that is success.
    pub(super) fn publish(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = temporary(path)?;
        let published = self.fill(&temporary, bytes).and_then(|()| {
            let (from, to) = (self.name(&temporary), self.name(path));
            match self.change(&Step::Link { from: &from, to: &to }, || fs::hard_link(&temporary, path)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        });
        let _ = self.remove(&temporary);
        published.and_then(|()| self.sync_folder(path.parent().unwrap_or(path))).map_err(|source| Error::Io {
            action: "create",
            path: path.to_path_buf(),
            source,
        })
    }

    fn fill(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(path)?;
        self.change(&Step::Write { path: &self.name(path), bytes }, || file.write_all(bytes))?;
        self.sync_file(path, &file)
    }

    /// Adds to a file that holds `before`.
    pub(super) fn append(&self, path: &Path, mut file: &File, before: &[u8], bytes: &[u8]) -> io::Result<()> {
        let all = [before, bytes].concat();
        self.change(&Step::Write { path: &self.name(path), bytes: &all }, || file.write_all(bytes))
    }

    /// Makes the bytes of a file durable.
    pub(super) fn sync_file(&self, path: &Path, file: &File) -> io::Result<()> {
        self.change(&Step::SyncFile(&self.name(path)), || file.sync_all())
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.change(&Step::SyncFolder(&self.name(path)), || File::open(path)?.sync_all())
    }

    /// Removes a file.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(&Step::Unlink(&self.name(path)), || fs::remove_file(path))
    }

    fn change<T>(&self, step: &Step<'_>, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(watch) = &self.watch else { return take() };
        watch.before(step)?;
        let taken = take()?;
        watch.after(step);
        Ok(taken)
    }

    /// A path as whoever watches knows it.
    fn name<'p>(&self, path: &'p Path) -> Cow<'p, str> {
        match path.strip_prefix(&self.root) {
            Ok(below) if below.as_os_str().is_empty() => Cow::Borrowed("."),
            Ok(below) => below.to_string_lossy(),
            Err(_) => path.to_string_lossy(),
        }
    }
}

/// A name beside `path` for what shall have that one.
fn temporary(path: &Path) -> Result<PathBuf> {
    Ok(path.with_extension(HEXLOWER.encode(&env::random_bytes::<8>()?)))
}

/// Makes a folder that only its owner can look into, and those above it.
pub fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| Error::Io {
        action: "create",
        path: path.to_path_buf(),
        source,
    })
}
