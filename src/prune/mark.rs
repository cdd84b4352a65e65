//! Marks what snapshots need: one byte for each row of the index, whatever the number of snapshots.

use std::collections::BTreeSet;

use super::roots::Root;
use crate::error::{Error, Result};
use crate::format::index::ShortId;
use crate::id::{ChunkId, PackId, SnapshotId};
use crate::index::LocalIndex;
use crate::index::marks::Marks;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::session::Origin;
use crate::tree::closure::{Needed, for_each_needed};

/// A snapshot that is announced or committed needs it.
const LIVE: u8 = 1;

/// A snapshot needs it that was forgotten and can still be brought back.
const UNDO: u8 = 2;

/// What it leads to is needed as well, by the same. A mark of its own, for a chunk may be needed that is not followed: whoever
/// cannot read may name the trees of others as contents of a file.
const FOLLOWED_SHIFT: u32 = 2;

/// The other bits of a mark: whose bytes the chunk holds. A block never mixes files of two owners, also when it is copied.
const OWNER_SHIFT: u32 = 4;

/// Owners that are told apart; all others are taken for one.
const OWNERS_MAX: u8 = 15;

/// Chunks that lead to no others are marked so many at a time, in the order of the index: 12 MiB. One by one each would cost a
/// read of a page somewhere in it.
const WAITING_MAX: usize = 1 << 19;

/// What needs the chunks of an index.
pub(super) struct Needs<'a> {
    repository: &'a Repository,
    index: &'a LocalIndex,
    marks: Marks<'a, u8>,
    owners: Vec<u32>,
    /// What is needed and not marked yet, each with the number of its owner.
    waiting: Vec<(ShortId, u8)>,
    /// Whether a committed root needs a chunk that the index does not have.
    pub(super) is_missing: bool,
    /// Roots that are only announced and need a chunk that is in no pack. Most likely they were overtaken and will never be
    /// committed; their writer alone may say so.
    pub(super) unsure: BTreeSet<SnapshotId>,
    /// A root that needs a chunk which leads to others and is not in the index.
    pub(super) blind: Option<Blind>,
}

/// A root, and a chunk that it needs which is in no pack and leads to others.
pub(super) type Blind = (SnapshotId, ChunkId);

/// # Errors
/// A root needs a chunk which is nowhere and leads to others: what these are, nobody can say.
pub(super) fn require_sight(blind: Option<Blind>) -> Result<()> {
    match blind {
        Some((root, id)) => Err(broken_root(root, Error::MissingChunk { id })),
        None => Ok(()),
    }
}

/// Names the root that cannot be followed.
pub(super) fn broken_root(snapshot: SnapshotId, error: Error) -> Error {
    if is_damage(&error) { Error::BrokenRoot { snapshot, source: Box::new(error) } } else { error }
}

/// Whether somebody needs a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A root.
    Live,
    /// Only what was forgotten and can still be brought back.
    Undo,
    /// Nobody.
    None,
}

impl<'a> Needs<'a> {
    pub(super) fn new(repository: &'a Repository, index: &'a LocalIndex) -> Self {
        Self {
            repository,
            index,
            marks: Marks::new(index),
            owners: Vec::new(),
            waiting: Vec::new(),
            is_missing: false,
            unsure: BTreeSet::new(),
            blind: None,
        }
    }

    /// Marks all that these roots need. A folder that one of them leads to is read once. `there` are all packs.
    ///
    /// # Errors
    /// A folder cannot be read: nobody knows what else is needed.
    pub(super) fn mark_roots(
        &mut self,
        reader: &Reader<'_>,
        roots: &[Root],
        there: &BTreeSet<PackId>,
        cx: &Context<'_>,
    ) -> Result<()> {
        for root in roots {
            // What is announced may have lost a race against another prune, and need what is no longer there.
            let there = (!root.is_committed).then_some(there);
            let missing = self.walk(reader, root, LIVE, there, cx).map_err(|error| broken_root(root.id, error))?;
            match missing {
                Some(missing) if root.is_committed => {
                    self.is_missing = true;
                    if missing.kind.leads_on() {
                        self.blind = Some((root.id, missing.id));
                    }
                }
                Some(_) => {
                    self.unsure.insert(root.id);
                }
                None => {}
            }
            cx.progress.done(1, 0);
        }
        self.is_missing |= !self.mark_waiting(LIVE)?;
        Ok(())
    }

    /// Marks what else these need, which were forgotten. Of one that is damaged there is less to bring back.
    pub(super) fn mark_forgotten(&mut self, reader: &Reader<'_>, roots: &[Root], cx: &Context<'_>) -> Result<()> {
        for root in roots {
            match self.walk(reader, root, UNDO, None, cx) {
                Err(error) if !is_damage(&error) => return Err(error),
                Ok(None) => {}
                _ => {
                    let id = root.id.short();
                    cx.progress.note(&format!("{id} was forgotten and is damaged: it cannot be brought back whole"));
                }
            }
            cx.progress.done(1, 0);
        }
        if !self.mark_waiting(UNDO)? {
            cx.progress.note("something is lost of what was forgotten: not all of it can be brought back whole");
        }
        Ok(())
    }

    /// Follows one root. Answers one chunk that is not in the index, or in none of the packs that are `there`, if one was met:
    /// one that leads to others before one that does not.
    fn walk(
        &mut self,
        reader: &Reader<'_>,
        root: &Root,
        flag: u8,
        there: Option<&BTreeSet<PackId>>,
        cx: &Context<'_>,
    ) -> Result<Option<Needed>> {
        let mut missing: Option<Needed> = None;
        for_each_needed(reader, &root.body, cx.cancel, &mut |needed| {
            let id = ShortId::from(needed.id);
            let leads_on = needed.kind.leads_on();
            let owner = needed.owner.map_or(0, |owner| number_of(&mut self.owners, owner));
            if there.is_none() && !leads_on {
                self.waiting.push((id, owner));
                if self.waiting.len() >= WAITING_MAX {
                    let are_there = self.mark_waiting(flag)?;
                    self.is_missing |= !are_there && flag == LIVE;
                }
                return Ok(false);
            }
            let is_gone = there.map_or(Ok(false), |there| self.is_gone(&id, there))?;
            let is_new = if is_gone { None } else { self.mark(&id, owner, flag, leads_on)? };
            if is_new.is_none() && missing.is_none_or(|known| !known.kind.leads_on()) {
                missing = Some(*needed);
            }
            Ok(is_new.unwrap_or(false))
        })?;
        Ok(missing)
    }

    /// Whether a chunk is in none of these packs.
    fn is_gone(&self, id: &ShortId, there: &BTreeSet<PackId>) -> Result<bool> {
        let found = self.index.lookup(id, &|pack| there.contains(pack));
        Ok(found.map_err(|source| self.repository.index_error(source))?.is_none())
    }

    /// Marks what waits; answers whether the index has all of it.
    fn mark_waiting(&mut self, flag: u8) -> Result<bool> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable();
        let mut are_there = true;
        for (id, owner) in waiting.drain(..) {
            are_there &= self.mark(&id, owner, flag, false)?.is_some();
        }
        self.waiting = waiting;
        Ok(are_there)
    }

    /// Marks one chunk; answers whether it is to be followed. Nothing if the index does not have it.
    fn mark(&mut self, id: &ShortId, owner: u8, flag: u8, leads_on: bool) -> Result<Option<bool>> {
        let mark = self.marks.of(id).map_err(|source| self.repository.index_error(source))?;
        Ok(mark.map(|mark| {
            if *mark == 0 {
                *mark = owner << OWNER_SHIFT;
            }
            let is_new = leads_on && *mark & ((LIVE | flag) << FOLLOWED_SHIFT) == 0;
            *mark |= flag;
            if leads_on {
                *mark |= flag << FOLLOWED_SHIFT;
            }
            is_new
        }))
    }

    /// Whether a root needs a chunk and, if it leads to others, these.
    pub(super) fn are_live(&mut self, id: &ShortId, leads_on: bool) -> Result<bool> {
        let wanted = if leads_on { LIVE | LIVE << FOLLOWED_SHIFT } else { LIVE };
        Ok(self.mark_of(id)? & wanted == wanted)
    }

    /// Who needs a chunk of the index.
    pub(super) fn of(&mut self, id: &ShortId) -> Result<Need> {
        Ok(match self.mark_of(id)? & (LIVE | UNDO) {
            0 => Need::None,
            UNDO => Need::Undo,
            _ => Need::Live,
        })
    }

    /// Whose bytes a chunk of data holds, as far as owners are told apart.
    pub(super) fn owner_of(&mut self, id: &ShortId) -> Result<Origin> {
        let number = usize::from(self.mark_of(id)? >> OWNER_SHIFT);
        Ok(match number.checked_sub(1) {
            Some(owner) => Origin::User(self.owners.get(owner).copied().unwrap_or(u32::MAX)),
            None => Origin::Stream,
        })
    }

    fn mark_of(&mut self, id: &ShortId) -> Result<u8> {
        Ok(self.marks.of(id).map_err(|source| self.repository.index_error(source))?.map_or(0, |mark| *mark))
    }
}

/// The number of an owner, from 1.
fn number_of(owners: &mut Vec<u32>, owner: u32) -> u8 {
    let known = owners.iter().position(|known| *known == owner);
    let place = known.unwrap_or_else(|| {
        if owners.len() + 1 < usize::from(OWNERS_MAX) {
            owners.push(owner);
        }
        owners.len() - usize::from(owners.last() == Some(&owner))
    });
    u8::try_from(place + 1).map_or(OWNERS_MAX, |number| number.min(OWNERS_MAX))
}
