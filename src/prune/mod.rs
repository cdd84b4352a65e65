//! Prune: deletes what no snapshot needs, while anybody else does whatever they like.
//!
//! The steps and their order are those of [`crate::protocol::pruner`]; here stands what is done at each of them. caddis-format(5),
//! "Commit and prune", says why nothing that is needed can be lost.
//!
//! Memory: one byte for each row of the index, about thirty for each block, a few hundred for each pack; while packs are
//! copied, 64 bytes for each row of one batch of them.

use std::time::Duration;

use jiff::{Span, Timestamp};

mod condemn;
mod judge;
mod mark;
mod plan;
mod repack;
mod roots;
mod rows;
mod run;
mod segments;
mod tally;

pub(crate) use condemn::condemn;
pub use plan::{Amount, Plan, Unused};
pub(crate) use rows::for_each_chunk;

use crate::error::Result;
use crate::forget::UNDO_WINDOW_DAYS;
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::repo::Repository;
use run::Prune;

/// What may be chosen for a prune.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long forgotten snapshots can be brought back.
    pub undo_window: Span,
    /// How old a pack must be that nobody needs. Wastes no running backup's work; never a matter of safety.
    pub min_age: Span,
    /// How much may stay that nobody needs.
    pub max_unused: Unused,
    /// Bytes that are copied at most.
    pub max_repack: u64,
    /// After so long nothing further is copied or deleted.
    pub max_time: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            undo_window: Span::new().days(UNDO_WINDOW_DAYS),
            min_age: Span::new().days(1),
            max_unused: Unused::Percent(5.0),
            max_repack: u64::MAX,
            max_time: None,
        }
    }
}

/// What a prune did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What it was about to do.
    pub plan: Plan,
    /// Packs that were deleted, those that were copied before among them.
    pub deleted: Amount,
    /// Packs of which what is needed was copied.
    pub repacked: u64,
    /// Bytes of new packs.
    pub stored_bytes: u64,
    /// Index segments that were merged, and those that they were merged into.
    pub merged: (u64, u64),
    /// Snapshots of which nothing is left.
    pub removed: u64,
    /// Packs that hold something needed which cannot be read: they stay.
    pub damaged: u64,
    /// Condemned packs that turned out to be needed.
    pub rescued: u64,
    /// Whether a chunk that a snapshot needs was in no pack.
    pub is_missing: bool,
    /// Whether the time was over before all was done.
    pub is_stopped: bool,
    /// When what was forgotten can be brought back no longer: the first of it, and all of it.
    pub undo_until: Option<(Timestamp, Timestamp)>,
    /// When the youngest of what nobody needs is old enough.
    pub young_until: Option<Timestamp>,
}

impl Report {
    /// Bytes that came free.
    pub fn freed_bytes(&self) -> u64 {
        self.deleted.bytes.saturating_sub(self.stored_bytes)
    }

    /// Bytes that the prune was about to free.
    pub fn next_bytes(&self) -> u64 {
        self.plan.delete.bytes + self.plan.repack.bytes
    }

    /// Bytes that come free later, without anybody's doing more than pruning.
    pub fn later_bytes(&self) -> u64 {
        self.plan.undo_bytes + self.plan.young.bytes
    }
}

/// Says what [`prune`] would do, and does nothing.
///
/// # Errors
/// Those of [`prune`].
pub fn rehearse(repository: &Repository, options: &Options, cx: &Context<'_>) -> Result<Report> {
    repository.require(Rights::READ)?;
    Prune { repository, options, cx, started: cx.clock.elapsed() }.run(None)
}

/// Deletes what no snapshot needs. `tell` hears of the plan before anything is done.
///
/// # Errors
/// [`crate::error::Error::Withheld`] if the repository shows less than this machine knows of. [`crate::error::Error::BrokenRoot`] if a snapshot cannot be
/// followed. In all cases nothing is lost, and the next prune finishes what this one has begun.
pub fn prune(
    repository: &mut Repository,
    options: &Options,
    tell: &mut dyn FnMut(&Report),
    cx: &Context<'_>,
) -> Result<Report> {
    repository.require(Rights::PRUNE)?;
    repository.require(Rights::READ)?;
    repository.introduce_self(cx)?;
    repository.settle_dead_runs(cx)?;
    Prune { repository, options, cx, started: cx.clock.elapsed() }.run(Some(tell))
}
