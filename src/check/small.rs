//! Checks objects that are read whole: name, seal, signature.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::finding_of;
use super::findings::{Findings, Loss};
use super::gate::Gate;
use crate::error::{Error, Result, with_causes};
use crate::format::ObjectError;
use crate::format::charter::{self, STATEMENT_BYTES_MAX};
use crate::format::log::{self, LOG_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::format::name::TreePath;
use crate::format::slot::{self, SLOT_BYTES_MAX};
use crate::format::snapshot::{self, SNAPSHOT_BYTES_MAX};
use crate::id::{ObjectId, SnapshotId};
use crate::progress::{Context, Silent};
use crate::repo::Repository;
use crate::repo::charter::is_of_another_owner;
use crate::repo::snapshots::SnapshotGraph;
use crate::store::{Listed, ObjectKind, ObjectName};

/// What an opened object takes in memory for each of its own bytes: a segment's tables are compressed.
const MEMORY_PER_BYTE: u64 = 3;

/// Reads and proves every object that is no pack, or those of them that are named.
pub(super) fn check(
    repository: &Repository,
    named: Option<&BTreeSet<ObjectName>>,
    findings: &Findings,
    cx: &Context<'_>,
) -> Result<()> {
    let gate = Gate::new();
    let small = Small { repository, findings, cx, gate: &gate, without_writer: Mutex::default() };
    let kinds = ObjectKind::ALL.into_iter().filter_map(|kind| Some((kind, limit_of(kind)?)));
    let listed: Vec<_> =
        kinds.map(|(kind, limit)| Ok((kind, limit, repository.objects.list(kind)?))).collect::<Result<_>>()?;
    let is_wanted =
        |kind, object: &&Listed| named.is_none_or(|named| named.contains(&ObjectName::new(kind, object.id)));
    for (kind, _, objects) in &listed {
        let wanted = || objects.iter().filter(|object| is_wanted(*kind, object));
        cx.progress.ahead(wanted().count() as u64, wanted().map(|object| object.bytes).sum());
    }
    for (kind, limit, objects) in &listed {
        let wanted = objects.par_iter().filter(|object| is_wanted(*kind, object));
        wanted.try_for_each(|object| small.object(*kind, *limit, object))?;
    }
    small.charge_charter();
    // Announcements are listed before snapshots, so whatever is committed meanwhile was among them.
    let pending = listed.iter().filter(|(kind, ..)| *kind == ObjectKind::Pending).flat_map(|(_, _, objects)| objects);
    small.judge_snapshots(&pending.map(|object| object.id).collect())
}

/// Snapshots that are gone, which only those tell of who wrote later.
pub(super) fn miss_snapshots(graph: &SnapshotGraph, findings: &Findings) {
    for snapshot in graph.gone() {
        let what = || "it is gone, and nobody has forgotten it: who made a later one had seen it".to_owned();
        let loss = Loss { snapshot, path: &TreePath::root(), repairable: false };
        findings.loss(ObjectName::new(ObjectKind::Snapshots, snapshot), what, loss);
    }
}

/// How long an object may be; nothing for what is not checked here: `config` was proved when the repository was opened.
pub(super) const fn limit_of(kind: ObjectKind) -> Option<u64> {
    match kind {
        ObjectKind::Config | ObjectKind::Packs | ObjectKind::Trees => None,
        ObjectKind::Charter => Some(STATEMENT_BYTES_MAX),
        ObjectKind::Keys => Some(SLOT_BYTES_MAX),
        ObjectKind::Index => Some(SEGMENT_BYTES_MAX),
        ObjectKind::Pending | ObjectKind::Snapshots => Some(SNAPSHOT_BYTES_MAX),
        ObjectKind::Forgotten | ObjectKind::Gc => Some(LOG_BYTES_MAX),
    }
}

struct Small<'a> {
    repository: &'a Repository,
    findings: &'a Findings,
    cx: &'a Context<'a>,
    gate: &'a Gate,
    /// Snapshots whose writer no statement names.
    without_writer: Mutex<BTreeSet<SnapshotId>>,
}

impl Small<'_> {
    fn object(&self, kind: ObjectKind, limit: u64, listed: &Listed) -> Result<()> {
        self.cx.cancel.check()?;
        let name = ObjectName::new(kind, listed.id);
        self.cx.progress.current(name.path().as_bytes());
        let held = self.gate.enter(listed.bytes.min(limit).saturating_mul(MEMORY_PER_BYTE));
        let checked = self.repository.objects.get(name, limit).and_then(|bytes| {
            self.findings.read(bytes.len() as u64);
            self.decode(name, &bytes)
        });
        drop(held);
        self.cx.progress.done(1, listed.bytes);
        let Some(error) = checked.map_or_else(finding_of, |()| Ok(None))? else { return Ok(()) };
        if is_of_another_owner(&error) {
            self.findings.leftover(name);
            return Ok(());
        }
        let of_nobody = matches!(error, Error::Object { source: ObjectError::UnknownPrincipal(_), .. });
        if kind == ObjectKind::Snapshots && of_nobody {
            self.without_writer.lock().unwrap_or_else(PoisonError::into_inner).insert(listed.id.into());
        }
        self.findings.error(name, with_causes(&error));
        Ok(())
    }

    fn decode(&self, name: ObjectName, bytes: &[u8]) -> Result<()> {
        let Self { repository, cx, .. } = self;
        let object = |source| Error::Object { object: name, source };
        match name.kind() {
            ObjectKind::Charter => {
                let statement = charter::decode_object(name.id().into(), bytes, &repository.id(), &repository.config);
                statement.map(drop).map_err(object)
            }
            ObjectKind::Keys => slot::decode_object(bytes).map(drop).map_err(object),
            ObjectKind::Index => repository.decode(name, cx, |keyring| log::decode_segment(bytes, keyring)).map(drop),
            ObjectKind::Pending | ObjectKind::Snapshots => repository
                .decode(name, cx, |keyring| snapshot::decode_object(bytes, keyring)?.open_body(keyring).map(drop)),
            ObjectKind::Forgotten => {
                repository.decode(name, cx, |keyring| log::decode_forgotten(bytes, keyring)).map(drop)
            }
            ObjectKind::Gc => repository.decode(name, cx, |keyring| log::decode_gc(bytes, keyring)).map(drop),
            ObjectKind::Config | ObjectKind::Packs | ObjectKind::Trees => Ok(()),
        }
    }

    /// What a damaged statement said is not known; where a snapshot has no writer, it may have named them.
    fn charge_charter(&self) {
        let without_writer = self.without_writer.lock().unwrap_or_else(PoisonError::into_inner);
        for statement in self.findings.of_kind(ObjectKind::Charter) {
            for &snapshot in without_writer.iter() {
                let loss = Loss { snapshot, path: &TreePath::root(), repairable: false };
                self.findings.loss(statement, String::new, loss);
            }
        }
    }

    /// A snapshot that cannot be read is lost with all that it held, unless it is void, or still announced.
    fn judge_snapshots(&self, pending: &BTreeSet<ObjectId>) -> Result<()> {
        let damaged = self.findings.of_kind(ObjectKind::Snapshots);
        if damaged.is_empty() {
            return Ok(());
        }
        let voids = self.repository.voids(&Context { progress: &Silent, ..*self.cx })?;
        let bad_pending = self.findings.of_kind(ObjectKind::Pending);
        for name in damaged {
            let is_announced =
                pending.contains(&name.id()) && !bad_pending.contains(&ObjectName::new(ObjectKind::Pending, name.id()));
            let snapshot = SnapshotId::from(name.id());
            let is_void = voids.by_right.contains_key(&snapshot);
            if is_void || is_announced {
                self.findings.set_repairable(name);
            }
            if !is_void {
                let loss = Loss { snapshot, path: &TreePath::root(), repairable: is_announced };
                self.findings.loss(name, String::new, loss);
            }
        }
        Ok(())
    }
}
