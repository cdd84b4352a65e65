//! The announce-then-look side of the protocol: [`Repository::look`] lists `gc/` before the index, always in this order.

use std::collections::{BTreeSet, HashSet};

use super::Repository;
use super::charter::{is_junk, report};
use crate::error::{Error, Result};
use crate::format::ObjectError;
use crate::format::index::{PackRow, Segment};
use crate::format::log::{self, LOG_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::id::{ObjectId, PackId, SegmentId, SnapshotId};
use crate::index::{self, LocalIndex};
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::protocol::writer::{self, LookAtIndex};
use crate::protocol::{Gc, Names, Record};
use crate::store::{ObjectKind, ObjectName, StoreError};

/// Listings that are tried when objects vanish between listing and reading, as they may while somebody prunes.
const LOOKS_MAX: usize = 8;

/// Segments that are passed over as junk before the index is given up.
const JUNK_MAX: usize = 64;

/// How things are named that lie in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stored;

impl Names for Stored {
    type Pack = PackId;
    type Snapshot = SnapshotId;
    type Record = ObjectId;
}

/// What lay in `gc/` at a moment.
#[derive(Clone, Debug, Default)]
pub struct GcListed {
    /// Every name, also of what is junk. The same names later mean that nothing was condemned in between.
    pub names: BTreeSet<ObjectId>,
    /// What the records say.
    pub records: Gc<Stored>,
}

impl GcListed {
    /// W1: after this the index is listed.
    pub fn before_index(self) -> LookAtIndex<Stored> {
        writer::Begin.gc_listed(self.names, &self.records)
    }
}

/// A repository as it was seen at a moment: what was condemned, then the index.
pub struct View {
    /// From before the index was listed.
    pub condemned: LookAtIndex<Stored>,
    /// Exactly the listed segments.
    pub index: LocalIndex,
}

impl Repository {
    /// Lists `gc/`, then the index: W1.
    pub fn look(&self, cx: &Context<'_>) -> Result<View> {
        let (gc, index) = self.look_at_all(cx)?;
        Ok(View { condemned: gc.before_index(), index })
    }

    /// Lists `gc/`, then the index.
    pub fn look_at_all(&self, cx: &Context<'_>) -> Result<(GcListed, LocalIndex)> {
        let mut junk = BTreeSet::new();
        let key = blake3::derive_key("caddis local index key", self.keyring.domain.secret());
        let mut looks = 0;
        loop {
            looks += 1;
            let looked = self.gc(cx).and_then(|gc| {
                let listed = self.objects.list(ObjectKind::Index)?;
                let listed: Vec<SegmentId> =
                    listed.iter().map(|segment| segment.id.into()).filter(|id| !junk.contains(id)).collect();
                Ok((gc, listed))
            });
            let error = match looked {
                Ok((gc, listed)) => {
                    let opened = LocalIndex::open(&self.index_folder, &key, &listed, &mut |id| self.segment(id, cx));
                    match opened {
                        Ok(index) => return Ok((gc, index)),
                        Err(index::OpenError::Fetch { segment, source })
                            if (is_junk(&source) || is_unreadable(&source)) && junk.len() < JUNK_MAX =>
                        {
                            report(cx, ObjectName::new(ObjectKind::Index, segment), &source);
                            junk.insert(segment);
                            looks -= 1;
                            continue;
                        }
                        Err(index::OpenError::Fetch { source, .. }) => source,
                        Err(index::OpenError::Index(source)) => return Err(self.index_error(source)),
                    }
                }
                Err(error) => error,
            };
            if !is_absent(&error) || looks == LOOKS_MAX {
                return Err(error);
            }
        }
    }

    /// What `gc/` says now. A record that vanishes meanwhile was replaced by one that carries what it said.
    pub fn gc(&self, cx: &Context<'_>) -> Result<GcListed> {
        let mut looks = 1;
        loop {
            match self.read_gc(cx) {
                Err(error) if is_absent(&error) && looks < LOOKS_MAX => looks += 1,
                read => return read,
            }
        }
    }

    /// Every name in `gc/` now.
    pub fn gc_names(&self) -> Result<BTreeSet<ObjectId>> {
        Ok(self.objects.list(ObjectKind::Gc)?.iter().map(|listed| listed.id).collect())
    }

    fn read_gc(&self, cx: &Context<'_>) -> Result<GcListed> {
        let mut listed = GcListed { names: self.gc_names()?, ..GcListed::default() };
        for &id in &listed.names {
            let name = ObjectName::new(ObjectKind::Gc, id);
            let record = self
                .objects
                .get(name, LOG_BYTES_MAX)
                .and_then(|bytes| self.decode(name, cx, |keyring| log::decode_gc(&bytes, keyring)));
            match record {
                Ok(signed) => {
                    let log::Gc { condemned, dead, void, .. } = signed.record;
                    let record = Record {
                        condemned: condemned.into_iter().collect(),
                        dead: dead.into_iter().collect(),
                        void: void.into_iter().collect(),
                    };
                    listed.records.records.insert(id, record);
                }
                Err(error) if is_junk(&error) => report(cx, name, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
    }

    /// Every pack that an index names.
    pub fn packs_named(&self, index: &LocalIndex) -> Result<BTreeSet<PackId>> {
        let broken = |source| self.index_error(source);
        index.packs().map_err(broken)?.map(|pack| Ok(pack.map_err(broken)?.id)).collect()
    }

    /// Every pack that is there now, of both kinds.
    ///
    /// The index is believed about what a pack holds, not about whether it is there: a writer that relied on a pack that a
    /// disk has lost would report as saved what nobody can restore. What is missing is named, and stored again.
    pub fn packs_there(&self, view: &View, cx: &Context<'_>) -> Result<HashSet<PackId>> {
        let mut there = HashSet::new();
        for kind in [ObjectKind::Packs, ObjectKind::Trees] {
            there.extend(self.objects.list(kind)?.iter().map(|listed| PackId::from(listed.id)));
        }
        for pack in view.index.packs().map_err(|source| self.index_error(source))? {
            let pack = pack.map_err(|source| self.index_error(source))?;
            if !there.contains(&pack.id) && view.condemned.spares(&pack.id) {
                let name = pack.name();
                cx.progress
                    .note(&format!("{name} is missing: what it held is stored again where the source still has it"));
            }
        }
        Ok(there)
    }

    /// Fetches, opens and verifies a segment.
    pub(crate) fn segment(&self, id: SegmentId, cx: &Context<'_>) -> Result<Segment> {
        let name = ObjectName::new(ObjectKind::Index, id);
        let bytes = self.objects.get(name, SEGMENT_BYTES_MAX)?;
        let signed = self.decode(name, cx, |keyring| log::decode_segment(&bytes, keyring))?;
        if !signed.maker.rights.contains(Rights::WRITE) && !signed.maker.rights.contains(Rights::PRUNE) {
            let source = ObjectError::NotPermitted(Rights::WRITE);
            return Err(Error::Object { object: name, source });
        }
        let mut segment = signed.record;
        if !signed.maker.rights.contains(Rights::PRUNE) {
            // Only a pruner merges segments of others and vouches for them; anybody else speaks for themselves.
            for pack in &mut segment.packs {
                pack.origin = signed.maker.key.principal();
                pack.proved = false;
            }
        }
        Ok(segment)
    }

    /// Whether this client may rely on a pack instead of storing its chunks again: its own, of somebody who can read and so
    /// could check, or proved by a pruner. Somebody who can only write could else make others rely on chunks that are none.
    pub fn trusts(&self, pack: &PackRow) -> bool {
        pack.proved
            || pack.origin == self.signatory.public().principal()
            || self.keyring.principal(&pack.origin).is_some_and(|origin| origin.rights.contains(Rights::READ))
    }

    /// Names the folder of the local index in its errors.
    pub fn index_error(&self, source: index::IndexError) -> Error {
        Error::Index { path: self.index_folder.clone(), source }
    }
}

/// Whether a disk gave an error for the object's bytes.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::Store { source: StoreError::Unreadable(_), .. })
}

/// Whether an object was gone when it was asked for.
pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Store { source: StoreError::Absent, .. })
}
