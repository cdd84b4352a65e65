//! [`Prober`]: whether items of a snapshot can be restored whole, asked one by one.

use super::findings::Findings;
use super::packs::{self, Packs};
use super::reading::Reading;
use super::trees::{Ground, Walk, Whole};
use super::unnamed::Unnamed;
use super::{Options, ReadData};
use crate::error::Result;
use crate::format::name::TreePath;
use crate::format::tree::Node;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;

/// Says of items what a check would say.
pub(crate) struct Prober<'r> {
    reader: Reader<'r>,
    packs: Packs,
    unnamed: Unnamed<'r>,
    whole: Whole,
    cx: Context<'r>,
}

impl<'r> Prober<'r> {
    /// Looks at all packs.
    ///
    /// # Errors
    /// Those of a check.
    pub(crate) fn open(repository: &'r Repository, cx: &Context<'r>) -> Result<Self> {
        let reader = Reader::open_uncached(repository, cx)?;
        let options = Options { read_data: ReadData::Suspects };
        let mut reading = Reading::new(repository, &options, cx);
        let packs = packs::check(repository, &reader.view(), &mut reading, &Findings::default(), cx)?;
        // Whatever no segment names counts as lost.
        let unnamed = Unnamed::new(repository, Vec::new());
        Ok(Self { reader, packs, unnamed, whole: Whole::default(), cx: *cx })
    }

    /// What gives the chunks of trees.
    pub(crate) fn source(&self) -> &Reader<'r> {
        &self.reader
    }

    /// Whether all that a node needs can be read; of a folder, what it holds does not count.
    pub(crate) fn is_whole(&self, snapshot: &Snapshot, path: &TreePath, node: &Node) -> Result<bool> {
        let findings = Findings::default();
        let ground = Ground { reader: &self.reader, packs: &self.packs, findings: &findings, cx: &self.cx };
        Walk::new(&ground, &self.unnamed, snapshot, &self.whole).node(path, node)
    }
}
