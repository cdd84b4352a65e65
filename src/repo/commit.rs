//! The writer's side of the protocol from W3 on: announce, look, commit. caddis-format(5), "Commit and prune".
//!
//! W1 is [`Repository::look`], W2 is what a [`super::session::Session`] does.

use std::collections::HashSet;

use super::Repository;
use super::charter::is_junk;
use super::session::Relied;
use super::snapshots::SnapshotGraph;
use super::state::{Run, Seen};
use super::view::is_absent;
use crate::error::{Error, Result};
use crate::format::log::{self, Forgotten, Void};
use crate::format::metadata::Timestamp;
use crate::format::record::Extras;
use crate::format::snapshot::{self, Body, Header, SNAPSHOT_BYTES_MAX};
use crate::id::{ObjectId, PackId, SnapshotId};
use crate::progress::Context;
use crate::store::{ObjectKind, ObjectName, StoreError};

/// What a new snapshot says of itself for every principal.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// When the backup began.
    pub time: Timestamp,
    /// What retention counts by.
    pub label: Option<String>,
}

/// How an attempt to commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The snapshot is committed and will stay until somebody forgets it.
    Saved(SnapshotId),
    /// A prune condemned something that it relies on, or somebody declared it void: all is to be looked at again. What was
    /// announced stays a root until the next attempt is announced, so that nothing is stored a third time.
    Overtaken(SnapshotId),
}

impl Repository {
    /// Announces a snapshot, looks whether all that it relies on is still usable, and commits it: W3 to W6.
    ///
    /// `earlier` are announcements of this run that were overtaken; they are withdrawn once the new one stands.
    pub fn commit(
        &self,
        announcement: &Announcement,
        body: &Body,
        relied: &Relied,
        earlier: &mut Vec<SnapshotId>,
        run: &mut Run,
        cx: &Context<'_>,
    ) -> Result<Attempt> {
        let graph = self.snapshot_graph(cx)?;
        let object = self.encode_snapshot(announcement, body, &graph)?;
        let id = SnapshotId::from(ObjectId::of(&object));
        run.announces(id)?;
        self.objects.put(ObjectKind::Pending, &object)?; // W3: from here on a root for every prune.
        self.withdraw(std::mem::take(earlier), "overtaken by a prune", cx)?;
        if !self.still_usable(relied, cx)? {
            return Ok(Attempt::Overtaken(id)); // W4
        }
        self.objects.put(ObjectKind::Snapshots, &object)?; // W5
        if self.is_void(id, cx)? {
            return Ok(Attempt::Overtaken(id)); // W6: declared dead, although it was not.
        }
        self.drop_pending(id)?;
        self.remember(&graph.with(id))?;
        Ok(Attempt::Saved(id))
    }

    fn encode_snapshot(&self, announcement: &Announcement, body: &Body, graph: &SnapshotGraph) -> Result<Vec<u8>> {
        let encode_error = |source| Error::Encode { what: "a snapshot", source };
        let body = snapshot::seal_body(body, &self.keyring).map_err(encode_error)?;
        let header = Header {
            writer: self.signatory.public().principal(),
            heads: graph.heads(),
            original: None,
            time: announcement.time,
            label: announcement.label.clone(),
            charter_heads: self.charter_heads.clone(),
            body_hash: body.hash(),
            extras: Extras::default(),
        };
        snapshot::encode_object(&header, &body, &self.keyring, &self.signatory).map_err(encode_error)
    }

    /// W4: the same gc names as at W1, or else every pack relied on is indexed and not condemned now.
    fn still_usable(&self, relied: &Relied, cx: &Context<'_>) -> Result<bool> {
        if self.condemned(cx)?.names == relied.view.condemned.names {
            return Ok(true);
        }
        let view = self.look(cx)?;
        let mut missing: HashSet<PackId> = relied.packs.clone();
        for pack in view.index.packs().map_err(|source| self.index_error(source))? {
            let pack = pack.map_err(|source| self.index_error(source))?;
            if view.condemned.spares(&pack.id) {
                missing.remove(&pack.id);
            }
        }
        Ok(missing.is_empty())
    }

    /// W6: whether somebody declared the snapshot void. What was condemned by then does not matter: it was announced before.
    fn is_void(&self, id: SnapshotId, cx: &Context<'_>) -> Result<bool> {
        let voids = self.voids(cx)?;
        Ok(voids.contains_key(&id))
    }

    /// Declares announcements of this machine void, so that no prune takes them for roots any longer. Works without the
    /// permission to delete.
    pub fn withdraw(&self, announced: Vec<SnapshotId>, reason: &str, cx: &Context<'_>) -> Result<()> {
        if announced.is_empty() {
            return Ok(());
        }
        let entries =
            announced.iter().map(|&snapshot| Void { snapshot, reason: reason.to_owned() }).collect::<Vec<_>>();
        let record = Forgotten { entries, time: cx.clock.now().into(), extras: Extras::default() };
        let bytes = log::encode_forgotten(&record, &self.keyring, &self.signatory)
            .map_err(|source| Error::Encode { what: "a forgotten record", source })?;
        self.objects.put(ObjectKind::Forgotten, &bytes)?;
        announced.into_iter().try_for_each(|id| self.drop_pending(id))
    }

    /// Withdraws what runs of this user on this machine announced before their process ended.
    pub fn settle_dead_runs(&self, cx: &Context<'_>) -> Result<()> {
        for dead in self.state.dead_runs()? {
            let mut uncommitted = Vec::new();
            for &id in &dead.announced {
                let pending = ObjectName::new(ObjectKind::Pending, id);
                let is_pending = self.is_there(pending)?;
                if self.is_there(ObjectName::new(ObjectKind::Snapshots, id))? {
                    // It was committed and its process ended before it could say so.
                    self.drop_pending(id)?;
                } else if is_pending {
                    uncommitted.push(id);
                }
            }
            self.withdraw(uncommitted, "its run ended before it was committed", cx)?;
            dead.settled();
        }
        Ok(())
    }

    fn is_there(&self, name: ObjectName) -> Result<bool> {
        match self.objects.get(name, SNAPSHOT_BYTES_MAX) {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) if is_junk(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A client may be without permission to delete; a pending that stays behind its committed snapshot is harmless.
    fn drop_pending(&self, id: SnapshotId) -> Result<()> {
        match self.objects.delete(ObjectName::new(ObjectKind::Pending, id)) {
            Err(Error::Store { source: StoreError::Denied(_), .. }) => Ok(()),
            dropped => dropped,
        }
    }

    fn remember(&self, snapshots: &SnapshotGraph) -> Result<()> {
        self.state.set_seen(&Seen { snapshots: snapshots.heads(), statements: self.charter_heads.clone() })
    }
}
