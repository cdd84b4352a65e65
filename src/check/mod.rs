//! Check: proves that what is promised is there, and says what it costs where it is not.
//!
//! # What is read
//!
//! Every small object is read and proved: its name is the hash of its bytes, seal and signature hold. Every pack is listed; its
//! header, footer and directory are read and compared with the index. A pack in which anything is wrong is read whole, so
//! that what is said of it is exact. Every tree is walked, once for all snapshots that share it, and each chunk that it needs
//! must be in a block that gives it. [`ReadData`] says of which packs every byte is read as well and every chunk proved.
//! A rolling check reads those that were proved longest ago, as far as its time goes: last of all, so that the time cuts nothing
//! else short; where something is wrong with them, the trees are walked again. [`storage`] is for somebody without a key.
//!
//! Others may work meanwhile, and a prune moves what snapshots need from pack to pack. Where something is wrong and `gc/`, the index
//! or the snapshots are no longer those that were looked at, all that depends on them is looked at once more, but for the bytes
//! of packs that were found whole.
//!
//! # What can be repaired
//!
//! An error can be repaired when nothing that a kept snapshot needs is lost by it:
//!
//! | object | is repairable |
//! | --- | --- |
//! | `config` | never: nothing opens without it |
//! | `charter/` | unless a snapshot was written by somebody whom no statement names any more; an owner states the rest again |
//! | `keys/` | always: another slot opened the repository, and a slot can be added for whoever has lost theirs |
//! | `packs/`, `trees/` | if all that snapshots need of it can be read, there or in another pack |
//! | `index/` | always: packs say what they hold; a pack that no segment names is read for what snapshots need |
//! | `pending/` | always: what was only announced was never said to be saved |
//! | `snapshots/` | if it is void, or the announcement with the same bytes is still there |
//! | `forgotten/` | always: a snapshot that was forgotten comes back, and none is lost |
//! | `gc/` | never: which packs are dead for ever is written nowhere else |
//!
//! A snapshot that is gone without a word is known from those whose writers had seen it, or from what this machine remembers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{Error, Result, with_causes};
use crate::id::{ObjectId, SnapshotId};
use crate::keys::keyring::Rights;
use crate::progress::{Context, HeldBack, Silent};
use crate::repo::Repository;
use crate::repo::fetch::Reader;
use crate::repo::rollback::Withheld;
use crate::repo::snapshots::SnapshotGraph;
use crate::store::{ObjectKind, ObjectName, StoreError};

mod damaged;
mod findings;
mod gate;
mod lists;
mod pack;
mod packs;
mod prober;
mod proofs;
mod reading;
mod rolling;
mod small;
pub mod storage;
mod subset;
mod trees;
mod unnamed;

pub(crate) use damaged::damaged;
use findings::Findings;
pub(crate) use pack::Candidate;
use packs::Packs;
pub(crate) use prober::Prober;
pub use proofs::Proof;
use reading::Reading;
pub use subset::Subset;
use unnamed::Unnamed;
pub(crate) use unnamed::for_each_opened;

/// How often packs and snapshots are looked at while others change them and something seems to be wrong. After that, it is
/// reported as it seems: with a prune beside each of so many looks, nobody could tell better.
const ROUNDS_MAX: u32 = 4;

/// The longest pack that is read whole: the largest size that can be configured, and a block that fits into none.
const PACK_BYTES_MAX: u64 = 300 << 20;

/// How deep a check goes.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which packs are read from the first byte to the last.
    pub read_data: ReadData,
}

/// Of which packs every block is opened and every chunk proved.
#[derive(Clone, Debug, Default)]
pub enum ReadData {
    /// Of those in which something else is wrong.
    #[default]
    Suspects,
    /// Of a part of all packs, too.
    Subset(Subset),
    /// Of those that were proved longest ago, or never, until so much time has passed since the command began; of one at least.
    Rolling {
        /// By the clock's own count.
        budget: Duration,
    },
    /// Of all packs.
    All,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, in the order of the objects' names.
    pub errors: Vec<Finding>,
    /// Statements that no owner of this repository has signed: those of an `init` that was killed while another one made it.
    /// They are whole, nobody obeys them, and they say nothing of damage.
    pub leftovers: Vec<ObjectName>,
    /// Snapshots whose trees were walked.
    pub snapshots: u64,
    /// Packs that were looked at: all that are there.
    pub packs: u64,
    /// Packs that were read from the first byte to the last.
    pub packs_read: u64,
    /// Bytes that were read, trees that were walked not counted.
    pub bytes: u64,
    /// What this machine has seen in the repository earlier and is not there now.
    pub withheld: Option<Withheld>,
    /// What of the data was proved, if any was to be read that did not have to be.
    pub proof: Option<Proof>,
    /// Whether the user put an end to it. What was found stands; there may be more, and what it costs may not be known yet.
    pub is_interrupted: bool,
}

/// What is wrong with an object, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object that is damaged or missing.
    pub object: ObjectName,
    /// What is wrong with it.
    pub what: String,
    /// Snapshots that cannot be restored whole as things are.
    pub snapshots: Vec<SnapshotId>,
    /// What of them cannot be restored, as absolute paths; not all of it when that is much.
    pub paths: Vec<Vec<u8>>,
    /// How many further losses there are; a path counts once for each snapshot.
    pub more_paths: u64,
    /// Whether nothing that a kept snapshot needs is lost.
    pub repairable: bool,
}

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Sound,
    /// Something is wrong, and all of it can be repaired.
    Repairable,
    /// Something is lost.
    Damaged,
}

impl Report {
    /// The report on a repository that does not open because an object is damaged.
    ///
    /// # Errors
    /// Whatever else keeps it from being opened.
    pub fn unopened(error: Error) -> Result<Self> {
        let object = match &error {
            Error::Object { object, .. } | Error::WrongHash { object } => *object,
            _ => return Err(error),
        };
        let what = with_causes(&error);
        let finding =
            Finding { object, what, snapshots: Vec::new(), paths: Vec::new(), more_paths: 0, repairable: false };
        Ok(Self { errors: vec![finding], ..Self::default() })
    }

    /// The report on a check that was not carried through: where only the walk through the trees could have told what an error
    /// costs, nobody can say that it costs nothing.
    fn interrupted(mut self) -> Self {
        for error in &mut self.errors {
            let kind = error.object.kind();
            error.repairable &= !matches!(kind, ObjectKind::Charter | ObjectKind::Packs | ObjectKind::Trees);
        }
        self.is_interrupted = true;
        self
    }

    /// How many of the errors can be repaired.
    pub fn repairable_errors(&self) -> usize {
        self.errors.iter().filter(|error| error.repairable).count()
    }

    /// What the errors come to.
    pub fn verdict(&self) -> Verdict {
        match self.errors.len() {
            0 => Verdict::Sound,
            all if all == self.repairable_errors() => Verdict::Repairable,
            _ => Verdict::Damaged,
        }
    }
}

/// Checks a repository. An interrupted check reports what it has found.
///
/// # Errors
/// Only what keeps the check from going on: the store does not answer, the key may not read.
pub fn check(repository: &Repository, options: &Options, cx: &Context<'_>) -> Result<Report> {
    repository.require(Rights::READ)?;
    let findings = Findings::default();
    let mut reading = Reading::new(repository, options, cx);
    let ended = look(repository, &mut reading, &findings, cx);
    let proof = reading.finish(repository, &findings, cx);
    Ok(Report { proof, ..findings.into_report(ended)? })
}

fn look(
    repository: &Repository,
    reading: &mut Reading<'_>,
    findings: &Findings,
    cx: &Context<'_>,
) -> Result<Option<Withheld>> {
    small::check(repository, None, findings, cx)?;
    let mut rounds = 1;
    let graph = loop {
        let before = Standing::of(repository)?;
        let graph = look_at_snapshots(repository, reading, findings, cx)?;
        if findings.are_none() || rounds == ROUNDS_MAX || Standing::of(repository)? == before {
            break graph;
        }
        // Somebody has pruned meanwhile, or saved: what seems to be lost may have moved, and who needed it may be gone.
        rounds += 1;
        let suspects = findings.take_objects();
        reading.refute(&suspects);
        small::check(repository, Some(&suspects), findings, cx)?;
    };
    repository.compare_or_note(&graph, &Context { progress: &HeldBack::new(cx.progress), ..*cx })
}

/// Which snapshots there are, which packs, and whether these hold what those need.
fn look_at_snapshots(
    repository: &Repository,
    reading: &mut Reading<'_>,
    findings: &Findings,
    cx: &Context<'_>,
) -> Result<SnapshotGraph> {
    // What the opening of all these passes over was found before.
    let silent = Context { progress: &Silent, ..*cx };
    // Snapshots before the index: what they need was indexed before they were put.
    let (snapshots, graph) = repository.history(&silent)?;
    small::miss_snapshots(&graph, findings);
    let reader = Reader::open_uncached(repository, &silent)?;
    let mut packs = packs::check(repository, &reader.view(), reading, findings, cx)?;
    let walk = |packs: &Packs| {
        let mut unnamed = Unnamed::new(repository, packs.unnamed());
        trees::check(&trees::Ground { reader: &reader, packs, findings, cx }, &mut unnamed, &snapshots)
    };
    let before = reading.has_turn_ahead().then(|| findings.errors());
    walk(&packs)?;
    if let Some(before) = before {
        let bad = rolling::check(repository, &reader.view(), &mut packs, reading, findings, cx)?;
        if !bad.is_empty() {
            findings.go_back(before, &bad);
            walk(&packs)?;
        }
    }
    Ok(graph)
}

/// What others change before they delete a pack: while it stays, what is not there is lost and has not moved.
#[derive(PartialEq, Eq)]
struct Standing {
    condemned: BTreeSet<ObjectId>,
    segments: BTreeSet<ObjectId>,
    snapshots: BTreeSet<ObjectId>,
}

impl Standing {
    fn of(repository: &Repository) -> Result<Self> {
        let ids = |kind| -> Result<BTreeSet<ObjectId>> {
            Ok(repository.objects.list(kind)?.iter().map(|listed| listed.id).collect())
        };
        // In the order in which everybody looks.
        Ok(Self {
            condemned: ids(ObjectKind::Gc)?,
            segments: ids(ObjectKind::Index)?,
            snapshots: ids(ObjectKind::Snapshots)?,
        })
    }
}

/// Whether an error says something of one object, and the check can go on. An object that went between listing and reading,
/// as objects do while others work, is no error at all.
fn finding_of(error: Error) -> Result<Option<Error>> {
    match error {
        Error::Store { source: StoreError::Absent, .. } => Ok(None),
        Error::Store { source: StoreError::Unreachable(_), .. } | Error::List { .. } | Error::Interrupted => Err(error),
        error => Ok(Some(error)),
    }
}

/// Whether damage to an object of a kind is repairable while nothing more is known of it.
const fn is_repairable(kind: ObjectKind) -> bool {
    match kind {
        ObjectKind::Config | ObjectKind::Snapshots | ObjectKind::Gc => false,
        ObjectKind::Charter
        | ObjectKind::Keys
        | ObjectKind::Packs
        | ObjectKind::Trees
        | ObjectKind::Index
        | ObjectKind::Pending
        | ObjectKind::Forgotten => true,
    }
}
