//! Repair of snapshots: one without what is lost takes the place of each that is damaged.
//!
//! The damaged one is forgotten and not deleted: until a prune has removed it, `unforget` brings it back, as when a
//! later backup has stored again what it lacked.

use std::collections::BTreeSet;

use super::rebuild::{Losses, Rebuilder};
use crate::check::{self, Finding, Options, Prober};
use crate::error::{Error, Result};
use crate::format::snapshot::Body;
use crate::id::SnapshotId;
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::session::Session;
use crate::repo::snapshots::{Filter, Snapshot};
use crate::rewrite;
use crate::seal::compress::Compression;
use crate::store::ObjectKind;

/// What marks a snapshot that took the place of a damaged one.
pub const TAG: &str = "repaired";

/// What a repair of snapshots is about to do.
#[derive(Debug, Default)]
pub struct Plan {
    damaged: Vec<Snapshot>,
    findings: Vec<Finding>,
}

impl Plan {
    /// Snapshots that need something lost, oldest first.
    pub fn damaged(&self) -> impl Iterator<Item = SnapshotId> + '_ {
        self.damaged.iter().map(|snapshot| snapshot.id)
    }

    /// What is lost of them.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// What became of a damaged snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The damaged one.
    pub old: SnapshotId,
    /// The one that took its place; none if nothing of it is left, and then it stays.
    pub new: Option<SnapshotId>,
    /// What the new one lacks, as absolute paths; of a folder that is still there, some of its entries.
    pub paths: Vec<Vec<u8>>,
    /// How many more paths there are.
    pub more_paths: u64,
}

/// Finds the snapshots that need something lost, among those that are `wanted`, or all.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read; [`Error::Unnamed`] if something seems to be lost and is not, as
/// long as no index segment names it; [`Error::NoSuchSnapshot`]; the store fails.
pub fn plan(repository: &Repository, wanted: &[String], cx: &Context<'_>) -> Result<Plan> {
    let report = check::check(repository, &Options::default(), cx)?;
    if report.is_interrupted {
        return Err(Error::Interrupted);
    }
    if let Some(withheld) = report.withheld {
        return Err(withheld.into_error(repository.objects.location()));
    }
    let is_named = |finding: &Finding| {
        let is_of_index = matches!(finding.object.kind(), ObjectKind::Packs | ObjectKind::Trees | ObjectKind::Index);
        !is_of_index || !finding.repairable || finding.snapshots.is_empty()
    };
    if let Some(finding) = report.errors.iter().find(|finding| !is_named(finding)) {
        return Err(Error::Unnamed { object: finding.object });
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let mut damaged = match wanted[..] {
        [] => repository.snapshots(cx)?,
        _ => repository.find_snapshots(&wanted, &Filter::default(), cx)?,
    };
    damaged.sort_by_key(|snapshot| (snapshot.header.time, snapshot.id));
    damaged.dedup_by_key(|snapshot| snapshot.id);
    let mut findings: Vec<Finding> = report.errors.into_iter().filter(|finding| !finding.repairable).collect();
    let lossy: BTreeSet<SnapshotId> = findings.iter().flat_map(|finding| finding.snapshots.iter().copied()).collect();
    damaged.retain(|snapshot| lossy.contains(&snapshot.id));
    findings.retain(|finding| damaged.iter().any(|snapshot| finding.snapshots.contains(&snapshot.id)));
    Ok(Plan { damaged, findings })
}

/// Puts snapshots without what is lost in the place of damaged ones.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read, write and forget; the store fails. What was repaired until then
/// is, and the repair can be run again.
pub fn repair(repository: &mut Repository, plan: Plan, cx: &Context<'_>) -> Result<Vec<Repaired>> {
    for right in [Rights::READ, Rights::WRITE, Rights::FORGET] {
        repository.require(right)?;
    }
    if plan.damaged.is_empty() {
        return Ok(Vec::new());
    }
    repository.introduce_self(cx)?;
    repository.settle_dead_runs(cx)?;
    let rebuilt = rebuild_all(repository, plan.damaged, cx)?;
    let mut repaired = Vec::new();
    for (snapshot, body, Losses { paths, more_paths, .. }) in rebuilt {
        let old = snapshot.id;
        let new = match body {
            Some(body) if body == snapshot.body => continue,
            Some(body) => Some(replace(repository, &snapshot, marked(body), cx)?),
            None => None,
        };
        repaired.push(Repaired { old, new, paths, more_paths });
    }
    Ok(repaired)
}

/// Stores the trees of all of them, before the first is committed.
fn rebuild_all(
    repository: &Repository,
    damaged: Vec<Snapshot>,
    cx: &Context<'_>,
) -> Result<Vec<(Snapshot, Option<Body>, Losses)>> {
    let mut session = Session::start(repository, repository.look(cx)?, Compression::default(), cx)?;
    let prober = Prober::open(repository, cx)?;
    let mut rebuilder = Rebuilder::new(&prober, &mut session);
    let rebuilt: Result<Vec<_>> = damaged
        .into_iter()
        .map(|snapshot| {
            let (body, losses) = rebuilder.rebuild(&snapshot, cx)?;
            Ok((snapshot, body, losses))
        })
        .collect();
    match rebuilt.and_then(|rebuilt| session.flush(cx).map(|()| rebuilt)) {
        Ok(rebuilt) => Ok(rebuilt),
        Err(error) => {
            session.rescue(cx);
            Err(error)
        }
    }
}

fn marked(mut body: Body) -> Body {
    body.partial = true;
    body.tags.push(TAG.to_owned());
    body.tags.sort();
    body.tags.dedup();
    body
}

/// Commits the new snapshot, unless an earlier repair was cut off after it did, and forgets the old one.
fn replace(repository: &mut Repository, old: &Snapshot, body: Body, cx: &Context<'_>) -> Result<SnapshotId> {
    let is_same = |other: &&Snapshot| other.lineage() == old.lineage() && other.id != old.id && other.body == body;
    let earlier = repository.snapshots(cx)?.iter().find(is_same).map(|other| other.id);
    let new = match earlier {
        Some(id) => id,
        None => rewrite::commit_anew(repository, old, &body, cx)?,
    };
    repository.declare_void(&[old.id], &format!("repaired as {}", new.short()), cx)?;
    Ok(new)
}
