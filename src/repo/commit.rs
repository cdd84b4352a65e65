//! The writer's side of the protocol from W3 on: announce, look, commit. caddis-format(5), "Commit and prune".
//!
//! W1 is [`Repository::look`], W2 is what a [`super::session::Session`] does.

use super::Repository;
use super::rollback::Withheld;
use super::session::Relied;
use super::snapshots::SnapshotGraph;
use super::state::{DeadRun, Run};
use super::view::Stored;
use crate::error::{Error, Result, with_causes};
use crate::format::charter::HEADS_MAX;
use crate::format::log::{self, Forgotten, Void};
use crate::format::metadata::Timestamp;
use crate::format::record::Extras;
use crate::format::snapshot::{self, Body, Header};
use crate::id::{ObjectId, SnapshotId};
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::protocol::writer::{Commit, LookAgain, Looked};
use crate::store::{ObjectKind, ObjectName, StoreError};

/// A prune that condemns something while a run commits makes it look again; so many in a row are no accident.
pub const ATTEMPTS_MAX: u32 = 100;

/// What a new snapshot says of itself for every principal.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// When the backup began.
    pub time: Timestamp,
    /// What retention counts by.
    pub label: Option<String>,
    /// The snapshot whose place it takes; that one's id leads to it.
    pub original: Option<SnapshotId>,
}

/// How an attempt to commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The snapshot is committed and will stay until somebody forgets it.
    Saved(SnapshotId, Option<Withheld>),
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
        let announce = relied.view.condemned.relying_on(relied.packs.iter().copied().collect());
        run.announces(id)?;
        self.objects.put(ObjectKind::Pending, &object)?; // W3: from here on a root for every prune.
        let look_again = announce.announced();
        self.withdraw(std::mem::take(earlier), "overtaken by a prune", cx)?;
        let Some(commit) = self.look_again(look_again, cx)? else {
            return Ok(Attempt::Overtaken(id)); // W4
        };
        self.objects.put(ObjectKind::Snapshots, &object)?; // W5
        if !commit.committed().is_saved(self.is_void(id, cx)?) {
            return Ok(Attempt::Overtaken(id)); // W6: declared dead, although it was not.
        }
        // It is saved; what fails from here on cannot change that any more.
        let dropped = self.drop_pending(id);
        if dropped.is_err() {
            run.leave_behind(); // The next run tries again.
        }
        let compared = self.compare_history(&graph, Some(id), cx);
        for leftover in [dropped.err().as_ref(), compared.as_ref().err()].into_iter().flatten() {
            cx.progress.note(&format!("saved, but {}", with_causes(leftover)));
        }
        Ok(Attempt::Saved(id, compared.unwrap_or_default()))
    }

    fn encode_snapshot(&self, announcement: &Announcement, body: &Body, graph: &SnapshotGraph) -> Result<Vec<u8>> {
        let encode_error = |source| Error::Encode { what: "a snapshot", source };
        let body = snapshot::seal_body(body, &self.keyring).map_err(encode_error)?;
        let header = Header {
            writer: self.signatory.public().principal(),
            // So many are not made by runs at once; those that are cut off stay heads, and the next snapshot may name them.
            heads: graph.heads().into_iter().take(HEADS_MAX).collect(),
            original: announcement.original,
            time: announcement.time,
            label: announcement.label.clone(),
            charter_heads: self.charter_heads.iter().copied().take(HEADS_MAX).collect(),
            body_hash: body.hash(),
            extras: Extras::default(),
        };
        snapshot::encode_object(&header, &body, &self.keyring, &self.signatory).map_err(encode_error)
    }

    /// W4: the same gc names as at W1, or else every pack relied on is indexed and not condemned now.
    fn look_again(&self, step: LookAgain<Stored>, cx: &Context<'_>) -> Result<Option<Commit>> {
        let reload = match step.names_listed(&self.gc_names()?) {
            Looked::Same(commit) => return Ok(Some(commit)),
            Looked::Changed(reload) => reload,
        };
        let view = self.look(cx)?;
        Ok(reload.reloaded(&view.condemned, self.packs_named(&view.index)?))
    }

    /// W6: whether somebody declared the snapshot void. What was condemned by then does not matter: it was announced before.
    fn is_void(&self, id: SnapshotId, cx: &Context<'_>) -> Result<bool> {
        Ok(self.voids(cx)?.hold(&id, &self.signatory.public().principal()))
    }

    /// Declares announcements of this machine void, so that no prune takes them for roots any longer. Works without the
    /// permission to delete.
    ///
    /// The word of somebody who may not forget counts as long as the snapshot is not committed, and a put of it may be on its
    /// way. So their announcement stays, until a prune has found it and repeated the word in `gc/`.
    pub fn withdraw(&self, announced: Vec<SnapshotId>, reason: &str, cx: &Context<'_>) -> Result<()> {
        if announced.is_empty() {
            return Ok(());
        }
        self.declare_void(&announced, reason, cx)?;
        if !self.keyring.rights.contains(Rights::FORGET) {
            return Ok(());
        }
        announced.into_iter().try_for_each(|id| self.drop_pending(id))
    }

    /// Declares snapshots void by one record, which every later run reads. What they are made of stays until it is pruned.
    pub fn declare_void(&self, snapshots: &[SnapshotId], reason: &str, cx: &Context<'_>) -> Result<()> {
        let time = cx.clock.now().into();
        let entries = snapshots.iter().map(|&snapshot| Void { snapshot, reason: reason.to_owned(), time }).collect();
        let record = Forgotten { entries, extras: Extras::default() };
        let bytes = log::encode_forgotten(&record, &self.keyring, &self.signatory)
            .map_err(|source| Error::Encode { what: "a forgotten record", source })?;
        self.objects.put(ObjectKind::Forgotten, &bytes).map(drop)
    }

    /// Withdraws what runs of this user on this machine announced before their process ended. What goes wrong with one of
    /// them is reported and keeps nobody from saving anything.
    pub fn settle_dead_runs(&self, cx: &Context<'_>) -> Result<()> {
        for dead in self.state.dead_runs(cx)? {
            match self.settle(&dead, cx) {
                Ok(()) => dead.settled(),
                Err(error) => {
                    cx.progress.note(&format!("a run that ended early stays announced: {}", with_causes(&error)))
                }
            }
        }
        Ok(())
    }

    /// All that was announced and is not committed is declared void, whether it is there now or lands later.
    fn settle(&self, dead: &DeadRun, cx: &Context<'_>) -> Result<()> {
        let committed = self.objects.list(ObjectKind::Snapshots)?;
        let is_committed = |id: &SnapshotId| committed.iter().any(|listed| SnapshotId::from(listed.id) == *id);
        let (done, undone): (Vec<SnapshotId>, Vec<SnapshotId>) = dead.announced.iter().partition(|id| is_committed(id));
        // Committed, and its process ended before it could say so.
        done.into_iter().try_for_each(|id| self.drop_pending(id))?;
        self.withdraw(undone, "its run ended before it was committed", cx)
    }

    /// A client may be without permission to delete; a pending that stays behind its committed snapshot is harmless.
    fn drop_pending(&self, id: SnapshotId) -> Result<()> {
        match self.objects.delete(ObjectName::new(ObjectKind::Pending, id)) {
            Err(Error::Store { source: StoreError::Denied(_), .. }) => Ok(()),
            dropped => dropped,
        }
    }
}
