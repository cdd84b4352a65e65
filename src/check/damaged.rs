//! Which packs are damaged by themselves, whatever the index says of them.

use super::findings::Findings;
use super::pack::Candidate;
use super::packs::Judge;
use super::{Finding, Report};
use crate::error::Result;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::view::View;

/// Reads packs from the first byte to the last, on all cores, and answers what is wrong with those that do not have the
/// hash that is their name, or do not open with all their blocks.
pub(crate) fn damaged(
    repository: &Repository,
    view: &View,
    packs: Vec<Candidate>,
    cx: &Context<'_>,
) -> Result<Vec<Finding>> {
    let findings = Findings::default();
    cx.progress.ahead(packs.len() as u64, packs.iter().map(|pack| pack.bytes).sum());
    let judge = Judge::new(repository, view, &findings, cx);
    let (_, ended) = judge.look_at(packs.into_iter().map(Ok), |pack| judge.pack(pack, true));
    ended?;
    let Report { errors, .. } = findings.into_report(Ok(None))?;
    Ok(errors)
}
