//! Repair of the index: packs say themselves what they hold, so that a lost segment costs nothing but the work to read
//! them.

use std::collections::{BTreeMap, HashSet};

use crate::check::{Candidate, for_each_opened};
use crate::error::{Error, Result};
use crate::format::index::{PackKey, PackKind, Segment};
use crate::format::log::{self, SEGMENT_BYTES_MAX};
use crate::id::{PackId, SegmentId};
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::charter::{is_junk, report};
use crate::repo::view::is_absent;
use crate::store::{ObjectKind, ObjectName};

/// How often the index is listed when segments vanish between listing and reading, as they may while somebody prunes.
const LOOKS_MAX: usize = 8;

/// What a repair of the index is about to do.
pub struct Plan {
    unnamed: Vec<Candidate>,
    junk: Vec<SegmentId>,
    unusable: Vec<ObjectName>,
}

impl Plan {
    /// Packs that are there and that no segment names.
    pub fn packs(&self) -> usize {
        self.unnamed.len()
    }

    /// Bytes of these packs, all of which are read.
    pub fn bytes(&self) -> u64 {
        self.unnamed.iter().map(|pack| pack.bytes).sum()
    }

    /// Segments whose bytes are not those of their names: nobody can read them.
    pub fn junk(&self) -> impl Iterator<Item = ObjectName> + '_ {
        self.junk.iter().map(|&id| ObjectName::new(ObjectKind::Index, id))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.unnamed.is_empty() && self.junk.is_empty()
    }
}

/// What a repair of the index did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Packs that are named now.
    pub packs: u64,
    /// Segments that were put for that.
    pub segments: u64,
    /// Segments that were junk and are deleted.
    pub deleted: u64,
    /// Segments that are of no use and stay, because not every pack could be named, or because they are whole and
    /// somebody may understand them.
    pub kept: Vec<ObjectName>,
    /// Packs that do not give all that they should; those that give nothing are still not named.
    pub damaged: Vec<ObjectName>,
}

/// Finds packs that no segment names, and segments that are junk. Packs that a prune has condemned are left alone.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read; a listing fails.
pub fn plan(repository: &Repository, cx: &Context<'_>) -> Result<Plan> {
    repository.require(Rights::READ)?;
    let mut looks = 1;
    loop {
        match look(repository, cx) {
            Err(error) if is_absent(&error) && looks < LOOKS_MAX => looks += 1,
            looked => return looked,
        }
    }
}

/// Lists `gc/`, then the index, then the packs. What this machine has kept of a segment that is junk by now does not
/// count: other machines do not have it.
fn look(repository: &Repository, cx: &Context<'_>) -> Result<Plan> {
    let gc = repository.gc(cx)?.records;
    let mut plan = Plan { unnamed: Vec::new(), junk: Vec::new(), unusable: Vec::new() };
    let mut named: HashSet<PackKey> = HashSet::new();
    for listed in repository.objects.list(ObjectKind::Index)? {
        cx.cancel.check()?;
        let id = SegmentId::from(listed.id);
        match repository.segment(id, cx) {
            Ok(segment) => named.extend(segment.packs.iter().map(|pack| (pack.id, pack.kind))),
            Err(Error::WrongHash { .. }) => plan.junk.push(id),
            Err(error) if is_junk(&error) => {
                let name = ObjectName::new(ObjectKind::Index, id);
                report(cx, name, &error);
                plan.unusable.push(name);
            }
            Err(error) => return Err(error),
        }
    }
    let there = packs(repository)?;
    let is_unnamed = |key: &PackKey| !named.contains(key) && gc.spares(&key.0);
    let unnamed = there.into_iter().filter(|(key, _)| is_unnamed(key));
    plan.unnamed = unnamed.map(|((id, kind), bytes)| Candidate { id, kind, bytes, rows: Vec::new() }).collect();
    Ok(plan)
}

/// Every pack that is there, with its length.
pub(super) fn packs(repository: &Repository) -> Result<BTreeMap<PackKey, u64>> {
    let mut packs = BTreeMap::new();
    for kind in [PackKind::Data, PackKind::Tree] {
        let listed = repository.objects.list(kind.object_kind())?;
        packs.extend(listed.into_iter().map(|object| ((PackId::from(object.id), kind), object.bytes)));
    }
    Ok(packs)
}

/// Names packs, and then deletes segments that are junk, if every pack that is there is named without them.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read and write; the store fails. What was named until then is, and the
/// repair can be run again.
pub fn repair(repository: &mut Repository, plan: Plan, cx: &Context<'_>) -> Result<Report> {
    for right in [Rights::READ, Rights::WRITE] {
        repository.require(right)?;
    }
    let mut report = Report { kept: plan.unusable.clone(), ..Report::default() };
    if plan.is_empty() {
        return Ok(report);
    }
    repository.introduce_self(cx)?;
    cx.progress.ahead(plan.unnamed.len() as u64, plan.bytes());
    let mut put = |segment: &Segment| {
        put_segment(repository, segment)?;
        report.segments += 1;
        report.packs += segment.packs.len() as u64;
        Ok(())
    };
    let mut damaged = |pack: &Candidate| report.damaged.push(pack.name());
    for_each_opened(repository, &plan.unnamed, cx, &mut put, &mut damaged)?;
    let is_all_named = report.packs == plan.unnamed.len() as u64;
    for name in plan.junk() {
        if is_all_named && is_junk_still(repository, name)? {
            repository.objects.delete(name)?;
            report.deleted += 1;
        } else {
            report.kept.push(name);
        }
    }
    Ok(report)
}

fn put_segment(repository: &Repository, segment: &Segment) -> Result<()> {
    let bytes = log::encode_segment(segment, &repository.keyring, &repository.signatory)
        .map_err(|source| Error::Encode { what: "an index segment", source })?;
    repository.objects.put(ObjectKind::Index, &bytes).map(drop)
}

/// Read once more before it is deleted: the fault may have lain on the way. One that is gone is nothing to keep.
fn is_junk_still(repository: &Repository, name: ObjectName) -> Result<bool> {
    match repository.objects.get(name, SEGMENT_BYTES_MAX) {
        Ok(_) => Ok(false),
        Err(Error::WrongHash { .. }) => Ok(true),
        Err(error) if is_absent(&error) => Ok(true),
        Err(error) => Err(error),
    }
}
