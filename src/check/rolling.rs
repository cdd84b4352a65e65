//! Opens packs in the order in which they were last proved, until a budget of time is used up.

use std::collections::HashMap;

use super::findings::Findings;
use super::pack::Candidate;
use super::packs::{Judge, Packs, Rows};
use super::proofs::name_of;
use super::reading::Reading;
use crate::error::Result;
use crate::format::index::PackKey;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::view::View;
use crate::store::ObjectName;

/// Packs whose descriptions are looked up together: they come out of the index in its own order, and it is read from one end to
/// the other for each batch. Full packs of so many are 2 GiB.
const BATCH_PACKS: usize = 64;

/// Reads the packs whose turn it is, at least one; answers with which of them something is wrong.
pub(super) fn check(
    repository: &Repository,
    view: &View,
    packs: &mut Packs,
    reading: &mut Reading<'_>,
    findings: &Findings,
    cx: &Context<'_>,
) -> Result<Vec<ObjectName>> {
    let Some((turn, budget)) = reading.turn(findings) else { return Ok(Vec::new()) };
    let judge = Judge::new(repository, view, findings, cx);
    let is_over = || cx.clock.elapsed() >= budget;
    let mut bad = Vec::new();
    for (number, batch) in turn.chunks(BATCH_PACKS).enumerate() {
        if number > 0 && is_over() {
            break;
        }
        let candidates = described(repository, view, packs, batch)?;
        let mut is_certain = true;
        let due = candidates.into_iter().take_while(|_| std::mem::take(&mut is_certain) || !is_over());
        let read = |candidate: &Candidate| {
            cx.progress.ahead(1, candidate.bytes);
            judge.pack(candidate, true)
        };
        let (looked, ended) = judge.look_at(due.map(Ok), read);
        looked.settle(packs, reading);
        bad.extend(batch.iter().map(name_of).filter(|name| findings.has(*name)));
        ended?;
    }
    Ok(bad)
}

/// The packs of a batch in their order, with what the index says of them.
fn described(repository: &Repository, view: &View, packs: &Packs, batch: &[PackKey]) -> Result<Vec<Candidate>> {
    let mut ascending = batch.to_vec();
    ascending.sort_unstable();
    let mut rows = Rows::new(repository, view)?;
    let rows = ascending.into_iter().map(|key| Ok((key, rows.of(key)?)));
    let mut rows: HashMap<PackKey, _> = rows.collect::<Result<_>>()?;
    let candidate = |key: &PackKey| packs.candidate(*key, rows.remove(key).unwrap_or_default());
    Ok(batch.iter().filter_map(candidate).collect())
}
