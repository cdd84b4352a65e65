//! [`Frame`]: a folder on the way down. As long as its entries are what they were, nothing is encoded.

use std::sync::Arc;
use std::vec;

use super::memory::{FolderMemory, Remembered};
use super::sink::Sink;
use crate::catalog::Changes;
use crate::catalog::row::Fingerprint;
use crate::error::Result;
use crate::format::link::{BIRTH_PATH_BYTES_MAX, BIRTHS_MAX, Births};
use crate::format::metadata::Timestamp;
use crate::format::name::{Name, TreePath};
use crate::id::ChunkId;
use crate::progress::Fate;
use crate::select::Place;
use crate::source::{Ahead, Entry, Folder, Listing, Stat};
use crate::tree::build::{BirthsBuilder, FolderBuilder};

/// A folder on the way down.
pub(super) struct Frame<'c> {
    pub name: Name,
    pub folder: Arc<Folder>,
    pub stat: Stat,
    /// Which rules count in it.
    pub place: Arc<Place>,
    pub seen: Timestamp,
    pub entries: vec::IntoIter<Entry>,
    pub rest: Option<Ahead>,
    /// What was known of the folder as an entry of the one above.
    pub own: Option<Remembered>,
    /// Whether what that names is known to be whole.
    pub own_is_vouched: bool,
    pub memory: FolderMemory<'c>,
    /// Whether, at the end, all entries were what they were.
    pub is_same: bool,
    /// Nothing while all entries are what they were.
    nodes: Option<FolderBuilder>,
    /// Entries that are what they were, while all are.
    same: usize,
    births: FolderBirths,
}

/// An entry whose node is known.
pub(super) struct Saved {
    pub name: Name,
    pub print: Fingerprint,
    /// Whether it will be unchanged if it still looks like that.
    pub is_trusted: bool,
    /// The encoded node.
    pub node: Vec<u8>,
    /// Whether the node is that of the row.
    pub is_kept: bool,
    /// What the user hears of it.
    pub fate: Fate<'static>,
}

impl<'c> Frame<'c> {
    pub(super) fn new(name: Name, listing: Listing, memory: FolderMemory<'c>, own: Option<Remembered>) -> Self {
        let Listing { folder, stat, place, seen, entries, rest } = listing;
        let (entries, births) = (entries.into_iter(), FolderBirths::default());
        Self {
            name,
            folder,
            stat,
            place,
            seen,
            entries,
            rest,
            own,
            own_is_vouched: false,
            memory,
            is_same: false,
            nodes: None,
            same: 0,
            births,
        }
    }

    /// Whether anything was known of the folder.
    pub(super) fn is_known(&self) -> bool {
        self.own.is_some() || self.memory.is_known()
    }

    /// Adds an entry.
    pub(super) fn push(
        &mut self,
        saved: &Saved,
        folder: &TreePath,
        births: &mut BirthsBuilder,
        changes: &mut Option<Changes>,
        sink: &mut Sink<'_, '_, '_>,
    ) -> Result<()> {
        self.births.push(saved.print.birth, folder, births, sink)?;
        if self.nodes.is_none() {
            if saved.is_kept && self.memory.is_same_so_far(self.same + 1) && !self.memory.is_long() {
                self.same += 1;
                return Ok(());
            }
            self.differ(changes, sink)?;
        }
        self.add(saved, changes, sink)
    }

    fn add(&mut self, saved: &Saved, changes: &mut Option<Changes>, sink: &mut Sink<'_, '_, '_>) -> Result<()> {
        self.nodes.get_or_insert_default().push_encoded(&saved.name, &saved.node, sink)?;
        self.memory.record(&saved.name, &saved.print, saved.is_trusted, &saved.node, changes.as_mut());
        Ok(())
    }

    /// The folder is no longer what it was: it is encoded from its first entry on.
    fn differ(&mut self, changes: &mut Option<Changes>, sink: &mut Sink<'_, '_, '_>) -> Result<()> {
        let same: Vec<Saved> = self
            .memory
            .first(self.same)
            .filter_map(|entry| {
                let name = Name::new(entry.name).ok()?;
                let (print, is_trusted, node) = (entry.print, entry.trusted, entry.node.to_vec());
                Some(Saved { name, print, is_trusted, node, is_kept: true, fate: Fate::Unchanged })
            })
            .collect();
        assert_eq!(same.len(), self.same, "these entries were read just now");
        self.memory.begin_row()?;
        self.nodes = Some(FolderBuilder::default());
        same.iter().try_for_each(|saved| self.add(saved, changes, sink))
    }

    /// All entries are there: the folder's tree, and whether it is what it was.
    pub(super) fn finish(
        &mut self,
        folder: &TreePath,
        births: &mut BirthsBuilder,
        changes: &mut Option<Changes>,
        sink: &mut Sink<'_, '_, '_>,
    ) -> Result<ChunkId> {
        std::mem::take(&mut self.births).finish(folder, births, sink)?;
        if self.nodes.is_none() {
            if self.memory.is_same_so_far(self.same)
                && let Some(tree) = self.memory.same_tree(self.same)
            {
                self.is_same = true;
                return Ok(tree);
            }
            self.differ(changes, sink)?;
        }
        let tree = self.nodes.take().unwrap_or_default().finish(sink)?;
        self.memory.finish_row(&tree, changes.as_mut());
        Ok(tree)
    }
}

/// Birth times of a folder's entries, put into the table when they are many or the folder ends.
#[derive(Default)]
struct FolderBirths {
    first: u64,
    times: Vec<Option<i64>>,
}

impl FolderBirths {
    fn push(
        &mut self,
        birth: Option<i64>,
        folder: &TreePath,
        table: &mut BirthsBuilder,
        sink: &mut Sink<'_, '_, '_>,
    ) -> Result<()> {
        self.times.push(birth);
        if self.times.len() < BIRTHS_MAX {
            return Ok(());
        }
        let births = Births { folder: folder.clone(), first: self.first, times: std::mem::take(&mut self.times) };
        self.first += births.times.len() as u64;
        if folder.as_bytes().len() > BIRTH_PATH_BYTES_MAX { Ok(()) } else { table.push(&births, sink) }
    }

    fn finish(self, folder: &TreePath, table: &mut BirthsBuilder, sink: &mut Sink<'_, '_, '_>) -> Result<()> {
        if self.times.iter().all(Option::is_none) || folder.as_bytes().len() > BIRTH_PATH_BYTES_MAX {
            return Ok(());
        }
        table.push(&Births { folder: folder.clone(), first: self.first, times: self.times }, sink)
    }
}
