//! [`Reading`]: which packs are read whole, and what is known of that from earlier.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::findings::Findings;
use super::proofs::{Ledger, Proof, name_of};
use super::{Options, ReadData};
use crate::error::Result;
use crate::format::index::PackKey;
use crate::id::PackId;
use crate::progress::Context;
use crate::repo::Repository;
use crate::store::ObjectName;

/// Which packs are read whole, whatever the first look at them says.
pub(super) struct Reading<'a> {
    options: &'a Options,
    /// Those of a subset, which is drawn once.
    drawn: Option<HashSet<PackId>>,
    /// All that are there, with their lengths; nothing before they are listed.
    there: Option<Arc<BTreeMap<PackKey, u64>>>,
    ledger: Ledger,
    /// Whether those that were proved longest ago have had their turn.
    is_turn_over: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(repository: &Repository, options: &'a Options, cx: &Context<'_>) -> Self {
        let ledger = match options.read_data {
            ReadData::Suspects => Ledger::blank(),
            ReadData::Subset(_) | ReadData::Rolling { .. } | ReadData::All => Ledger::open(repository, cx),
        };
        Self { options, drawn: None, there: None, ledger, is_turn_over: false }
    }

    /// These packs are there, perhaps not for the first time.
    pub(super) fn begin(&mut self, there: &Arc<BTreeMap<PackKey, u64>>) -> Result<()> {
        self.there = Some(Arc::clone(there));
        if let (ReadData::Subset(subset), None) = (&self.options.read_data, &self.drawn) {
            let packs: Vec<_> = there.iter().map(|(&(id, _), &bytes)| (id, bytes)).collect();
            self.drawn = Some(subset.choose(&packs)?);
        }
        Ok(())
    }

    /// Whether a pack is read whole at the first look. Once it was, and nothing was wrong, its bytes are what its name says.
    pub(super) fn wants(&self, key: &PackKey) -> bool {
        let is_asked_for = match &self.options.read_data {
            ReadData::All => true,
            ReadData::Suspects => false,
            ReadData::Subset(_) => self.drawn.as_ref().is_some_and(|drawn| drawn.contains(&key.0)),
            // What was found when it was their turn, the first look at them does not see again.
            ReadData::Rolling { .. } => self.ledger.has_refuted(key),
        };
        is_asked_for && !self.ledger.has_proved(key)
    }

    /// These packs were read whole, and nothing is wrong with them.
    pub(super) fn prove(&mut self, packs: Vec<(PackKey, Timestamp)>) {
        self.ledger.prove(packs);
    }

    /// Whether the packs that were proved longest ago are still to be read.
    pub(super) fn has_turn_ahead(&self) -> bool {
        matches!(self.options.read_data, ReadData::Rolling { .. }) && !self.is_turn_over
    }

    /// The packs whose turn it is, first those that were never proved and then those for which it is longest ago, and until
    /// when they are read. Comes once.
    pub(super) fn turn(&mut self, findings: &Findings) -> Option<(Vec<PackKey>, Duration)> {
        let ReadData::Rolling { budget } = self.options.read_data else { return None };
        if std::mem::replace(&mut self.is_turn_over, true) {
            return None;
        }
        let is_open = |key: &&PackKey| !self.ledger.has_proved(key) && !findings.has(name_of(key));
        let mut packs: Vec<_> = self.there.iter().flat_map(|there| there.keys()).filter(is_open).copied().collect();
        // Nothing comes before every time.
        packs.sort_by_key(|key| (self.ledger.earlier(key), *key));
        Some((packs, budget))
    }

    /// Something seems to be wrong with these objects, which is looked at again.
    pub(super) fn refute(&mut self, objects: &BTreeSet<ObjectName>) {
        self.ledger.refute(objects);
    }

    /// Remembers what was proved, and answers what that comes to. Nothing, if no more was to be read than had to be, or the
    /// packs were not even listed.
    pub(super) fn finish(self, repository: &Repository, findings: &Findings, cx: &Context<'_>) -> Option<Proof> {
        let there = self.there.filter(|_| !matches!(self.options.read_data, ReadData::Suspects))?;
        Some(self.ledger.close(repository, &there, findings, cx))
    }
}
