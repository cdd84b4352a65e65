//! Committing a snapshot anew: with another description, as `tag` does, or because the old one is void, as `unforget`
//! does.
//!
//! A committed snapshot is never changed, and one that is void never comes back. A new one with the same tree takes its
//! place, and says whose place it takes.

use crate::error::{Error, Result};
use crate::format::index::ShortId;
use crate::format::snapshot::Body;
use crate::id::SnapshotId;
use crate::index::marks::Marks;
use crate::keys::domain::ChunkKind;
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::commit::{ATTEMPTS_MAX, Announcement, Attempt};
use crate::repo::fetch::Reader;
use crate::repo::session::{Origin, Relied, Session};
use crate::repo::snapshots::Snapshot;
use crate::seal::compress::Compression;
use crate::tree::closure::{Needed, for_each_needed};

/// Puts a snapshot with the body `body`, which has the same tree, at the place of `snapshot`, and declares that one
/// void once the new one stands. Its old id leads to it.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read, write and forget. A chunk is lost.
pub fn replace(repository: &mut Repository, snapshot: &Snapshot, body: Body, cx: &Context<'_>) -> Result<SnapshotId> {
    repository.require(Rights::FORGET)?;
    let id = commit_anew(repository, snapshot, &body, cx)?;
    repository.withdraw(vec![snapshot.id], &format!("replaced by {id}"), cx)?;
    Ok(id)
}

/// Commits a snapshot with the body `body`, which has the same tree, whose id leads to it from then on. What lies only
/// in packs that are going to be deleted is stored again.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read and write. A chunk is lost.
pub fn commit_anew(
    repository: &mut Repository,
    snapshot: &Snapshot,
    body: &Body,
    cx: &Context<'_>,
) -> Result<SnapshotId> {
    for right in [Rights::READ, Rights::WRITE] {
        repository.require(right)?;
    }
    repository.introduce_self(cx)?;
    repository.settle_dead_runs(cx)?;
    let repository = &*repository;
    let announcement = Announcement {
        time: snapshot.header.time,
        label: snapshot.header.label.clone(),
        original: Some(snapshot.lineage()),
    };
    let mut run = repository.state.begin_run()?;
    let mut overtaken = Vec::new();
    for _ in 0..ATTEMPTS_MAX {
        let relied = rely_on_all(repository, body, cx)?;
        match repository.commit(&announcement, body, &relied, &mut overtaken, &mut run, cx)? {
            Attempt::Saved(id, _) => {
                run.finish();
                return Ok(id);
            }
            Attempt::Overtaken(id) => overtaken.push(id),
        }
    }
    Err(Error::Overtaken(ATTEMPTS_MAX))
}

/// Looks up everything that a snapshot needs, and stores again what lies only in packs that are about to be deleted: W1
/// and W2.
fn rely_on_all(repository: &Repository, body: &Body, cx: &Context<'_>) -> Result<Relied> {
    let mut session = Session::start(repository, repository.look(cx)?, Compression::default(), cx)?;
    let reader = Reader::open(repository, cx)?;
    let view = reader.view();
    let mut met: Marks<'_, bool> = Marks::new(&view.index);
    for_each_needed(&reader, body, cx.cancel, &mut |needed| {
        let met = met.of(&ShortId::from(needed.id)).map_err(|source| repository.index_error(source))?;
        let is_new = met.is_none_or(|met| !std::mem::replace(met, true));
        if is_new && !session.relies_on(&needed.id, needed.len)? {
            let plain = reader.chunk(needed.kind, &needed.id)?;
            session.store(needed.kind, origin(needed), &plain, cx)?;
        }
        Ok(is_new)
    })?;
    session.finish(cx)
}

fn origin(needed: &Needed) -> Origin {
    match needed.owner {
        Some(owner) if needed.kind == ChunkKind::Data => Origin::User(owner),
        _ => Origin::Tree,
    }
}
