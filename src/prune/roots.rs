//! What the store lists, and which snapshots are roots: everything that is announced or committed and not void.
//!
//! A listing is believed only as far as it explains what was there before. An object whose seal or signature fails is junk:
//! reported, not obeyed, not in the way. One that needs a newer version, or whose bytes are not those of its name, ends a
//! prune: whoever wrote it may need what would be deleted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::format::index::PackKind;
use crate::format::log::{self, Forgotten, LOG_BYTES_MAX, Signed};
use crate::format::snapshot::{self, Body, SNAPSHOT_BYTES_MAX, SealedSnapshot};
use crate::id::{ObjectId, PackId, PrincipalId, SnapshotId};
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::protocol::Voids;
use crate::repo::Repository;
use crate::repo::charter::{is_junk, report};
use crate::repo::view::{Stored, is_absent};
use crate::store::{Listed, ObjectKind, ObjectName};

/// Packs that are there, of both kinds.
pub(super) type Packs = BTreeMap<PackId, (PackKind, Listed)>;

/// Lists `packs/` and `trees/`.
pub(super) fn packs(repository: &Repository) -> Result<Packs> {
    let mut packs = Packs::new();
    for kind in [PackKind::Data, PackKind::Tree] {
        let listed = repository.objects.list(kind.object_kind())?;
        packs.extend(listed.into_iter().map(|object| (PackId::from(object.id), (kind, object))));
    }
    Ok(packs)
}

/// Lists the ids of one kind.
pub(super) fn ids(repository: &Repository, kind: ObjectKind) -> Result<BTreeSet<SnapshotId>> {
    Ok(repository.objects.list(kind)?.iter().map(|object| object.id.into()).collect())
}

/// A record in `forgotten/`.
pub(super) struct ForgottenRecord {
    pub(super) name: ObjectId,
    /// What it calls void.
    pub(super) ids: BTreeSet<SnapshotId>,
}

/// What is void, by whose word, and since when.
#[derive(Default)]
pub(super) struct Forgetting {
    /// For the protocol.
    pub(super) voids: Voids<Stored>,
    /// Of what is void by right, the latest moment that somebody says, or the store.
    pub(super) since: BTreeMap<SnapshotId, Timestamp>,
    /// The records.
    pub(super) records: Vec<ForgottenRecord>,
    /// What `gc/` calls void: nothing else may say so any more.
    pub(super) removed: BTreeSet<SnapshotId>,
}

/// Reads `forgotten/` and then `gc/`. Of what somebody who may only write calls void, that counts which they have announced
/// themselves: `pending` is looked into for that.
pub(super) fn forgetting(
    repository: &Repository,
    pending: &BTreeSet<SnapshotId>,
    cx: &Context<'_>,
) -> Result<Forgetting> {
    let mut found = Forgetting::default();
    let mut writers = BTreeMap::new();
    for listed in repository.objects.list(ObjectKind::Forgotten)? {
        let name = ObjectName::new(ObjectKind::Forgotten, listed.id);
        let record = repository
            .objects
            .get(name, LOG_BYTES_MAX)
            .and_then(|bytes| repository.decode(name, cx, |keyring| log::decode_forgotten(&bytes, keyring)));
        match record {
            Ok(signed) => found.add(&listed, signed, &mut |id| {
                if !pending.contains(&id) {
                    return Ok(None);
                }
                // Each is opened once, however often it is named.
                if let Some(&writer) = writers.get(&id) {
                    return Ok(writer);
                }
                let writer = open(repository, ObjectKind::Pending, id, cx)?.map(|sealed| sealed.header.writer);
                writers.insert(id, writer);
                Ok(writer)
            })?,
            Err(error) if is_absent(&error) => {}
            Err(error) if is_junk(&error) => report(cx, name, &error),
            Err(error) => return Err(error),
        }
    }
    found.removed = repository.gc(cx)?.records.void().collect();
    found.voids.by_right.extend(&found.removed);
    Ok(found)
}

impl Forgetting {
    /// `writer_of` says who has announced a snapshot, if it is announced.
    fn add(
        &mut self,
        listed: &Listed,
        signed: Signed<Forgotten>,
        writer_of: &mut dyn FnMut(SnapshotId) -> Result<Option<PrincipalId>>,
    ) -> Result<()> {
        let is_by_right = signed.maker.rights.contains(Rights::FORGET);
        let ids = signed.record.entries.iter().map(|entry| entry.snapshot).collect();
        for entry in &signed.record.entries {
            let id = entry.snapshot;
            if is_by_right {
                self.voids.by_right.insert(id);
                // The later of what its maker says and what the store says; of several records the latest.
                let since = entry.time.to_jiff().max(listed.modified).unwrap_or(Timestamp::MIN);
                self.since.entry(id).and_modify(|known| *known = since.max(*known)).or_insert(since);
            } else if writer_of(id)? == Some(signed.maker.key.principal()) {
                self.voids.by_writer.insert(id);
            }
        }
        self.records.push(ForgottenRecord { name: listed.id, ids });
        Ok(())
    }
}

/// A snapshot whose chunks are needed.
pub(super) struct Root {
    pub(super) id: SnapshotId,
    pub(super) body: Body,
    /// Whether it was listed as committed, and not only as announced.
    pub(super) is_committed: bool,
}

/// Opens roots, what is committed before what is only announced. What is gone was withdrawn by its writer since it was listed,
/// or forgotten and pruned by somebody else: that is for the caller to see.
pub(super) fn open_all<'i>(
    repository: &Repository,
    ids: impl IntoIterator<Item = &'i SnapshotId>,
    committed: &BTreeSet<SnapshotId>,
    cx: &Context<'_>,
) -> Result<Vec<Root>> {
    let ids: Vec<SnapshotId> = ids.into_iter().copied().collect();
    let opened: Vec<Option<Root>> =
        ids.into_par_iter().map(|id| open_root(repository, id, committed.contains(&id), cx)).collect::<Result<_>>()?;
    let mut roots: Vec<Root> = opened.into_iter().flatten().collect();
    roots.sort_by_key(|root| !root.is_committed);
    Ok(roots)
}

/// Opens snapshots that were forgotten. One whose bytes are not those of its name nobody can bring back.
pub(super) fn open_forgotten<'i>(
    repository: &Repository,
    ids: impl IntoIterator<Item = &'i SnapshotId>,
    cx: &Context<'_>,
) -> Result<Vec<Root>> {
    let opened = ids.into_iter().filter_map(|&id| match open_root(repository, id, true, cx) {
        Err(error @ Error::WrongHash { object }) => {
            report(cx, object, &error);
            None
        }
        opened => opened.transpose(),
    });
    opened.collect()
}

fn open_root(repository: &Repository, id: SnapshotId, is_committed: bool, cx: &Context<'_>) -> Result<Option<Root>> {
    cx.cancel.check()?;
    // A root moves from `pending/` to `snapshots/`, so that it is never in neither while it is looked for in this order.
    let places = [ObjectKind::Pending, ObjectKind::Snapshots];
    for kind in if is_committed { &places[1..] } else { &places[..] } {
        let name = ObjectName::new(*kind, id);
        let Some(sealed) = open(repository, *kind, id, cx)? else { continue };
        match sealed.open_body(&repository.keyring).map_err(|source| Error::Object { object: name, source }) {
            Ok(body) => return Ok(Some(Root { id, body, is_committed })),
            Err(error) if is_junk(&error) => report(cx, name, &error),
            Err(error) => return Err(error),
        }
        break;
    }
    Ok(None)
}

/// Opens the header of a snapshot; nothing if it is gone or junk.
///
/// # Errors
/// Its bytes are not those of its name, or a newer version is needed: it cannot be told what it needs.
fn open(repository: &Repository, kind: ObjectKind, id: SnapshotId, cx: &Context<'_>) -> Result<Option<SealedSnapshot>> {
    let name = ObjectName::new(kind, id);
    let opened = repository
        .objects
        .get(name, SNAPSHOT_BYTES_MAX)
        .and_then(|bytes| repository.decode(name, cx, |keyring| snapshot::decode_object(&bytes, keyring)));
    match opened {
        Ok(sealed) => Ok(Some(sealed)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error @ Error::WrongHash { .. }) => Err(error),
        Err(error @ Error::Object { .. }) if is_newer(&error) => Err(error),
        Err(error) if is_junk(&error) => {
            report(cx, name, &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_newer(error: &Error) -> bool {
    matches!(error, Error::Object { source, .. } if source.is_newer())
}
