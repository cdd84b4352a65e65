//! [`Sources`]: what a user named, as one tree rooted at `/`.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::stream::Stream;
use crate::catalog::RowKey;
use crate::error::{Error, Result};
use crate::format::name::{Name, NameError, TreePath};
use crate::format::snapshot::TEXTS_MAX;

/// The paths to back up, absolute, sorted, none below another.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    paths: Vec<Vec<u8>>,
    root: Plan,
}

/// One folder on the way to the sources, or a source.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All below belongs to the backup, and is found there.
    pub source: Option<Origin>,
    /// Otherwise, which entries lead to sources.
    pub children: BTreeMap<Name, Plan>,
}

/// Where a source is found.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Where the snapshot has it.
    InPlace,
    /// Somewhere else.
    At(PathBuf),
    /// Nowhere: it is a file that is made of what comes.
    Stream(Stream),
}

impl Sources {
    /// Makes paths absolute, but not through symlinks: what a user calls `/home/me` stays that, wherever it lies.
    ///
    /// # Errors
    /// A path that is empty or whose components are no names; a `..` that leads nowhere.
    pub fn new(paths: &[PathBuf]) -> Result<Self> {
        let mut sources = Self::default();
        for path in paths {
            sources.root.add(&absolute(path)?, Origin::InPlace);
        }
        Ok(sources.collected())
    }

    /// One source, saved as if it lay at `place`.
    ///
    /// # Errors
    /// As [`Self::new`], for either path.
    pub fn new_at(path: &Path, place: &Path) -> Result<Self> {
        let mut sources = Self::default();
        sources.root.add(&absolute(place)?, Origin::At(absolute(path)?.to_path_buf()));
        Ok(sources.collected())
    }

    /// One file at `place`, with the bytes of a stream.
    ///
    /// # Errors
    /// `place` names no file.
    pub fn of_stream(stream: Stream, place: &Path) -> Result<Self> {
        let bad = |source| Error::BadSource { path: place.to_path_buf(), source };
        let path = TreePath::from_typed(place.as_os_str().as_bytes()).map_err(bad)?;
        if path.as_bytes().is_empty() {
            return Err(bad(NameError::Empty));
        }
        let mut sources = Self::default();
        sources.root.add(&path, Origin::Stream(stream));
        Ok(sources.collected())
    }

    fn collected(mut self) -> Self {
        self.root.collect(&mut TreePath::root(), &mut self.paths);
        self
    }

    /// Refuses now what no snapshot can name.
    pub(super) fn check(&self) -> Result<()> {
        match self.paths.len() {
            0 => Err(Error::Usage("no path to save was named".to_owned())),
            count if count > TEXTS_MAX => Err(Error::Usage(format!(
                "{count} paths are more than the {TEXTS_MAX} that a snapshot can name: name folders, or leave out what is not wanted"
            ))),
            _ => Ok(()),
        }
    }

    /// The sources, absolute, in any bytes.
    pub fn paths(&self) -> &[Vec<u8>] {
        &self.paths
    }

    /// The sources as the catalog knows them; nothing for one whose path is too long.
    pub fn keys(&self) -> impl Iterator<Item = Option<RowKey>> {
        let path = |path: &Vec<u8>| TreePath::from_typed(path).ok();
        self.paths.iter().map(move |typed| path(typed).and_then(|path| RowKey::of(&path)))
    }

    /// The tree that leads to them.
    pub fn plan(&self) -> &Plan {
        &self.root
    }
}

impl Plan {
    fn add(&mut self, path: &TreePath, origin: Origin) {
        let mut plan = self;
        for name in path.components() {
            if plan.source.is_some() {
                return;
            }
            plan = plan.children.entry(name).or_default();
        }
        *plan = Self { source: Some(origin), children: BTreeMap::new() };
    }

    /// Whether what it leads to lies where the snapshot has it.
    pub fn is_in_place(&self) -> bool {
        match &self.source {
            Some(origin) => matches!(origin, Origin::InPlace),
            None => self.children.values().any(Self::is_in_place),
        }
    }

    fn collect(&self, path: &mut TreePath, paths: &mut Vec<Vec<u8>>) {
        if self.source.is_some() {
            paths.push(path.absolute());
        }
        for (name, child) in &self.children {
            path.push(name);
            child.collect(path, paths);
            path.pop();
        }
    }
}

/// The path from `/`. A `..` is resolved as the system would; all else stays as it was written.
pub fn absolute(path: &Path) -> Result<TreePath> {
    let io_error = |source| Error::Io { action: "find", path: path.to_path_buf(), source };
    let mut whole = PathBuf::new();
    for part in std::path::absolute(path).map_err(io_error)?.components() {
        if part == Component::ParentDir {
            // What lies above a symlink is above what it leads to.
            if whole.is_symlink() {
                whole = whole.canonicalize().map_err(io_error)?;
            }
            whole.pop();
        } else {
            whole.push(part);
        }
    }
    let bytes = path.as_os_str().as_bytes();
    // With a slash at its end a symlink means the folder that it leads to, as everywhere.
    if (bytes.ends_with(b"/") || bytes.ends_with(b"/.")) && whole.is_symlink() {
        whole = whole.canonicalize().map_err(io_error)?;
    }
    TreePath::from_typed(whole.as_os_str().as_bytes())
        .map_err(|source| Error::BadSource { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(of: &[&str]) -> Vec<String> {
        let paths: Vec<PathBuf> = of.iter().map(PathBuf::from).collect();
        let sources = Sources::new(&paths).unwrap();
        sources.paths().iter().map(|path| String::from_utf8(path.clone()).unwrap()).collect()
    }

    #[test]
    fn a_source_below_another_is_part_of_it() {
        assert_eq!(paths(&["/home/me/docs", "/home/me", "/etc"]), ["/etc", "/home/me"]);
        assert_eq!(paths(&["/home/me", "/home/me/docs"]), ["/home/me"]);
        assert_eq!(paths(&["/", "/etc"]), ["/"]);
    }

    #[test]
    fn a_path_is_made_absolute_as_the_system_would() {
        assert_eq!(paths(&["/usr/./share//"]), ["/usr/share"]);
        assert_eq!(paths(&["/usr/share/../lib"]), ["/usr/lib"]);
        let here = std::env::current_dir().unwrap().join("src");
        assert_eq!(paths(&["src"]), [here.to_str().unwrap()]);
    }
}
