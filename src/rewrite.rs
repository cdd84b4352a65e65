//! Committing a snapshot anew with another description: what `tag` does.
//!
//! A committed snapshot is never changed. A new one with the same tree takes its place, says whose place it takes, and the old
//! one is declared void after it stands.

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

/// Puts a snapshot with the body `body`, which has the same tree, at the place of `snapshot`. Its old id leads to it.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read, write and forget. A chunk is lost.
pub fn replace(repository: &mut Repository, snapshot: &Snapshot, body: Body, cx: &Context<'_>) -> Result<SnapshotId> {
    for right in [Rights::READ, Rights::WRITE, Rights::FORGET] {
        repository.require(right)?;
    }
    repository.introduce_self(cx)?;
    repository.settle_dead_runs(cx)?;
    let repository = &*repository;
    let announcement = Announcement {
        time: snapshot.header.time,
        label: snapshot.header.label.clone(),
        original: Some(snapshot.header.original.unwrap_or(snapshot.id)),
    };
    let mut run = repository.state.begin_run()?;
    let mut overtaken = Vec::new();
    for _ in 0..ATTEMPTS_MAX {
        let relied = rely_on_all(repository, &body, cx)?;
        match repository.commit(&announcement, &body, &relied, &mut overtaken, &mut run, cx)? {
            Attempt::Saved(id, _) => {
                run.finish();
                repository.withdraw(vec![snapshot.id], &format!("replaced by {id}"), cx)?;
                return Ok(id);
            }
            Attempt::Overtaken(id) => overtaken.push(id),
        }
    }
    Err(Error::Overtaken(ATTEMPTS_MAX))
}

/// Looks up everything that a snapshot needs, and stores again what lies only in packs that are about to be deleted: W1 and W2.
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
