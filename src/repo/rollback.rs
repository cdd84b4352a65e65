//! What a repository shows, against what this machine has seen there. A host that withholds snapshots or statements of the
//! charter, or puts an older copy in their place, is noticed by every machine that has seen more.
//!
//! Remembered are the heads: of the snapshots, and of the charter. Each must be there, or void, or an ancestor: somebody who
//! wrote later had seen it. Branches are normal, after two runs at once, on a cloned machine, in a restored home directory, and
//! raise no alarm. Nor does an object that is there and damaged, which is another matter.

use std::collections::BTreeSet;

use super::Repository;
use super::snapshots::SnapshotGraph;
use super::state::Seen;
use crate::error::{Error, Result, with_causes};
use crate::id::{SnapshotId, StatementId};
use crate::progress::Context;
use crate::store::ObjectKind;

/// What was in the repository, as this machine or the writer of a snapshot knows, and is not there now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    /// Snapshots that nobody has forgotten.
    pub snapshots: BTreeSet<SnapshotId>,
    /// Statements of the charter, of which none is ever removed.
    pub statements: BTreeSet<StatementId>,
}

impl Withheld {
    fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.statements.is_empty()
    }

    /// What a command ends with that has done all else.
    pub fn into_error(self, location: String) -> Error {
        let Self { snapshots, statements } = self;
        Error::Withheld { location, snapshots: snapshots.into_iter().collect(), statements: statements.len() }
    }
}

impl Repository {
    /// Compares what the repository shows with what this machine remembers, and remembers what is new; what is missing is
    /// remembered further on. `own` is what this run has added since.
    ///
    /// # Errors
    /// A second look fails, or nothing can be remembered.
    pub fn compare_history(
        &self,
        graph: &SnapshotGraph,
        own: Option<SnapshotId>,
        cx: &Context<'_>,
    ) -> Result<Option<Withheld>> {
        let (withheld, remembered) = self.compare(graph, own, cx)?;
        remembered.map(|()| withheld)
    }

    /// What is missing, and whether what is new could be remembered.
    fn compare(
        &self,
        graph: &SnapshotGraph,
        own: Option<SnapshotId>,
        cx: &Context<'_>,
    ) -> Result<(Option<Withheld>, Result<()>)> {
        let seen = self.state.seen();
        let mut withheld = self.missing(graph, &seen, &self.statements);
        if !withheld.is_empty() {
            // Written by others between the moment at which we looked and that at which we heard of it; or listed too late.
            withheld = self.missing(&self.snapshot_graph(cx)?, &seen, &self.statements_there()?);
        }
        let mut statements = self.charter_heads.clone();
        statements.extend(&withheld.statements);
        let snapshots = graph.remember(own, &seen.snapshots);
        let now = Seen { snapshots, statements, given_up: seen.given_up.clone() };
        let remembered = if now == seen { Ok(()) } else { self.state.set_seen(&now) };
        Ok(((!withheld.is_empty()).then_some(withheld), remembered))
    }

    /// [`Self::compare_history`] for somebody who adds nothing: on a rescue system, or a full disk, where nothing can be
    /// remembered, nothing is.
    pub fn compare_or_note(&self, graph: &SnapshotGraph, cx: &Context<'_>) -> Result<Option<Withheld>> {
        let (withheld, remembered) = self.compare(graph, None, cx)?;
        match remembered {
            Err(error @ Error::Io { .. }) => cx.progress.note(&with_causes(&error)),
            remembered => remembered?,
        }
        Ok(withheld)
    }

    /// Takes what the repository shows now for all that there ever was.
    ///
    /// # Errors
    /// The store fails, or nothing can be remembered.
    pub fn accept_history(&self, cx: &Context<'_>) -> Result<()> {
        let graph = self.snapshot_graph(cx)?;
        let given_up = graph.statements().difference(&self.statements_there()?).copied().collect();
        let snapshots = graph.remember(None, &[]);
        self.state.set_seen(&Seen { snapshots, statements: self.charter_heads.clone(), given_up })
    }

    fn missing(&self, graph: &SnapshotGraph, seen: &Seen, there: &BTreeSet<StatementId>) -> Withheld {
        let statements = seen.statements.iter().chain(graph.statements());
        let is_missing = |id: &StatementId| !there.contains(id) && !seen.given_up.contains(id);
        Withheld {
            snapshots: seen.snapshots.iter().copied().filter(|id| !graph.explains(id)).collect(),
            statements: statements.copied().filter(is_missing).collect(),
        }
    }

    fn statements_there(&self) -> Result<BTreeSet<StatementId>> {
        Ok(self.objects.list(ObjectKind::Charter)?.iter().map(|listed| listed.id.into()).collect())
    }
}
