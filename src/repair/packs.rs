//! Repair of packs: what a damaged pack still gives is stored again, and then the pack goes, by the steps of a prune.
//!
//! From then on the index names what is lost no longer, so that the next backup of the same data stores it again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::check::{Candidate, damaged};
use crate::error::{Error, Result};
use crate::format::index::{PackKey, PackKind, ShortId};
use crate::id::PackId;
use crate::index::Location;
use crate::keys::domain::ChunkKind;
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::prune::{condemn, for_each_chunk};
use crate::repo::Repository;
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::session::{Origin, Session};
use crate::repo::view::View;
use crate::seal::compress::Compression;
use crate::store::ObjectName;

/// Rows of packs that are stored again in one go, at about a hundred bytes each; the index is read once for each go.
const BATCH_ROWS: u64 = 1 << 18;

/// A pack that is to be repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its name.
    pub name: ObjectName,
    /// Its length; nothing of one that is not there.
    pub bytes: u64,
    /// What is wrong with it.
    pub what: String,
    /// Whether it is there.
    pub is_there: bool,
}

impl Damaged {
    fn id(&self) -> PackId {
        self.name.id().into()
    }
}

/// What a repair of packs is about to do.
#[derive(Debug, Default)]
pub struct Plan {
    damaged: Vec<Damaged>,
    /// Packs that were read.
    pub read: u64,
}

impl Plan {
    /// Packs that are damaged or lost.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }
}

/// What a repair of packs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Packs that are dead now, those that were lost among them.
    pub dead: u64,
    /// Packs that hold the only copy of something all the same.
    pub kept: Vec<ObjectName>,
    /// Chunks that were stored again.
    pub chunks: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// Chunks that the index promised and no pack gives.
    pub lost_chunks: u64,
}

/// Reads all packs, or those whose ids begin with one of `wanted`, and finds out which of them are damaged or lost.
/// Packs that no segment names are left to [`super::index`] and to prunes.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read; [`Error::NoSuchPack`]; the store fails.
pub fn plan(repository: &Repository, wanted: &[String], cx: &Context<'_>) -> Result<Plan> {
    repository.require(Rights::READ)?;
    let (gc, index) = repository.look_at_all(cx)?;
    let gc_records = gc.records.clone();
    let view = View { condemned: gc.before_index(), index };
    let mut named: BTreeSet<PackKey> = BTreeSet::new();
    for pack in view.index.packs().map_err(|source| repository.index_error(source))? {
        let pack = pack.map_err(|source| repository.index_error(source))?;
        named.insert((pack.id, pack.kind));
    }
    let there = super::index::packs(repository)?;
    // One that an earlier repair has condemned and not deleted is its next one's to finish.
    let is_ours = |key: &PackKey| named.contains(key) || !gc_records.spares(&key.0);
    let is_lost = |key: &PackKey| !there.contains_key(key) && gc_records.spares(&key.0);
    let lost = named.iter().filter(|key| is_lost(key)).map(|key| (*key, 0, false));
    let found = there.iter().filter(|(key, _)| is_ours(key)).map(|(key, bytes)| (*key, *bytes, true));
    let mut packs: Vec<(PackKey, u64, bool)> = found.chain(lost).collect();
    if !wanted.is_empty() {
        let begins = |key: &PackKey, prefix: &str| !prefix.is_empty() && key.0.to_string().starts_with(prefix);
        for prefix in wanted {
            if !packs.iter().any(|(key, ..)| begins(key, prefix)) {
                return Err(Error::NoSuchPack { wanted: prefix.clone() });
            }
        }
        packs.retain(|(key, ..)| wanted.iter().any(|prefix| begins(key, prefix)));
    }
    let candidate = |&((id, kind), bytes, _): &(PackKey, u64, bool)| Candidate { id, kind, bytes, rows: Vec::new() };
    let to_read: Vec<Candidate> = packs.iter().filter(|(.., is_there)| *is_there).map(candidate).collect();
    let read = to_read.len() as u64;
    let lengths: BTreeMap<ObjectName, u64> = packs.iter().map(|(key, bytes, _)| (name_of(key), *bytes)).collect();
    let missing = packs.iter().filter(|(.., is_there)| !is_there).map(|(key, ..)| Damaged {
        name: name_of(key),
        bytes: 0,
        what: "the index names this pack, and it is not there".to_owned(),
        is_there: false,
    });
    let mut all: Vec<Damaged> = missing.collect();
    all.extend(damaged(repository, &view, to_read, cx)?.into_iter().map(|finding| Damaged {
        name: finding.object,
        bytes: lengths.get(&finding.object).copied().unwrap_or(0),
        what: finding.what,
        is_there: true,
    }));
    all.sort_by_key(|damaged| damaged.name);
    Ok(Plan { damaged: all, read })
}

fn name_of((id, kind): &PackKey) -> ObjectName {
    ObjectName::new(kind.object_kind(), *id)
}

/// Stores again what damaged packs still give, and lets them go.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read and to prune; the store fails. Nothing is lost that was not lost
/// before, and the repair can be run again.
pub fn repair(repository: &mut Repository, plan: Plan, cx: &Context<'_>) -> Result<Report> {
    for right in [Rights::READ, Rights::PRUNE] {
        repository.require(right)?;
    }
    let mut report = Report::default();
    if plan.damaged.is_empty() {
        return Ok(report);
    }
    repository.introduce_self(cx)?;
    repository.settle_dead_runs(cx)?;
    let repository = &*repository;
    let mut salvage = Salvage::new(repository, &plan, cx)?;
    salvage.run(cx)?;
    report.lost_chunks = salvage.lost;
    report.chunks = salvage.session.stored().new_chunks;
    report.bytes = salvage.session.stored().new_bytes;
    let Salvage { broken, false_rows, missing, .. } = salvage;
    let gives = |id: &ShortId, row: &Location| {
        let pack = row.pack.id;
        !missing.contains(&pack)
            && !broken.contains(&(pack, row.block.ordinal))
            && !false_rows.contains(&(pack, row.block.ordinal, *id))
    };
    let packs: BTreeSet<ObjectName> = plan.damaged.iter().map(|damaged| damaged.name).collect();
    let dead = condemn(repository, &packs, &gives, cx)?;
    report.kept = packs.into_iter().filter(|name| !dead.contains(&name.id().into())).collect();
    report.dead = dead.len() as u64;
    Ok(report)
}

/// What is stored again, and what cannot be.
struct Salvage<'a> {
    repository: &'a Repository,
    reader: Reader<'a>,
    session: Session<'a>,
    damaged: BTreeSet<PackId>,
    /// Packs that are not there.
    missing: HashSet<PackId>,
    /// Blocks that do not open.
    broken: HashSet<(PackId, u32)>,
    /// Chunks that are not where a row says, in blocks that open.
    false_rows: HashSet<(PackId, u32, ShortId)>,
    lost: u64,
    /// A block holds what one user owns, and nobody says who: as many owners as blocks, so that nothing is mixed.
    owner: u32,
}

/// Rows of a pack.
type Rows = Vec<(Location, ShortId)>;

impl<'a> Salvage<'a> {
    fn new(repository: &'a Repository, plan: &Plan, cx: &Context<'a>) -> Result<Self> {
        let reader = Reader::open(repository, cx)?;
        let mut view = repository.look(cx)?;
        // Whatever the index says of another copy is believed only if that was read: so nothing is relied on but what
        // this session stores itself.
        let packs = reader.view();
        for pack in packs.index.packs().map_err(|source| repository.index_error(source))? {
            view.condemned.avoid([pack.map_err(|source| repository.index_error(source))?.id]);
        }
        Ok(Self {
            repository,
            session: Session::start(repository, view, Compression::default(), cx)?,
            reader,
            damaged: plan.damaged.iter().map(Damaged::id).collect(),
            missing: plan.damaged.iter().filter(|damaged| !damaged.is_there).map(Damaged::id).collect(),
            broken: HashSet::new(),
            false_rows: HashSet::new(),
            lost: 0,
            owner: 0,
        })
    }

    fn run(&mut self, cx: &Context<'_>) -> Result<()> {
        let done = self.run_all(cx).and_then(|()| self.session.flush(cx));
        if done.is_err() {
            self.session.rescue(cx);
        }
        done
    }

    fn run_all(&mut self, cx: &Context<'_>) -> Result<()> {
        let mut counts: BTreeMap<PackId, u64> = self.damaged.iter().map(|id| (*id, 0)).collect();
        self.for_each_row(cx, &mut |_, location| {
            counts.entry(location.pack.id).and_modify(|count| *count += 1);
        })?;
        let mut left: Vec<(PackId, u64)> = counts.into_iter().collect();
        while !left.is_empty() {
            let mut rows = 0;
            let fits = left.iter().take_while(|(_, count)| {
                let fits = rows < BATCH_ROWS;
                rows += count;
                fits
            });
            let rest = left.split_off(fits.count());
            let mut batch: BTreeMap<PackId, Rows> = left.into_iter().map(|(id, _)| (id, Vec::new())).collect();
            left = rest;
            self.for_each_row(cx, &mut |id, location| {
                if let Some(rows) = batch.get_mut(&location.pack.id) {
                    rows.push((location.clone(), *id));
                }
            })?;
            for mut rows in batch.into_values() {
                rows.sort_unstable();
                let same_block =
                    |a: &(Location, ShortId), b: &(Location, ShortId)| (&a.0.pack, a.0.block) == (&b.0.pack, b.0.block);
                rows.chunk_by(same_block).try_for_each(|block| self.block(block, cx))?;
            }
        }
        Ok(())
    }

    /// Every row of the damaged packs that may be believed.
    fn for_each_row(&self, cx: &Context<'_>, each: &mut dyn FnMut(&ShortId, &Location)) -> Result<()> {
        let view = self.reader.view();
        for_each_chunk(self.repository, &view.index, cx, &mut |id, rows| {
            rows.iter().filter(|row| self.damaged.contains(&row.pack.id)).for_each(|row| each(id, row));
            Ok(())
        })
    }

    /// Stores again what one block gives.
    fn block(&mut self, rows: &[(Location, ShortId)], cx: &Context<'_>) -> Result<()> {
        cx.cancel.check()?;
        let (first, _) = &rows[0];
        let plain = match self.reader.block(first) {
            Ok(plain) => Some(plain),
            Err(error) if is_damage(&error) => {
                self.broken.insert((first.pack.id, first.block.ordinal));
                None
            }
            Err(error) => return Err(error),
        };
        self.owner += 1;
        for (location, id) in rows {
            let chunk = plain.as_ref().and_then(|plain| self.chunk_in(location, id, plain));
            if chunk.is_none() && plain.is_some() {
                self.false_rows.insert((location.pack.id, location.block.ordinal, *id));
            }
            if self.is_elsewhere(location, id)? {
                continue;
            }
            let Some((kind, plain)) = chunk else {
                self.lost += 1;
                continue;
            };
            let origin = match location.pack.kind {
                PackKind::Data => Origin::User(self.owner),
                PackKind::Tree => Origin::Tree,
            };
            self.session.store(kind, origin, plain, cx)?;
        }
        Ok(())
    }

    /// The bytes of a chunk in its block, and what they hold, if they are those of its id.
    fn chunk_in<'b>(&self, location: &Location, id: &ShortId, block: &'b [u8]) -> Option<(ChunkKind, &'b [u8])> {
        let plain = block.get(location.offset as usize..)?.get(..location.len as usize)?;
        let domain = &self.repository.keyring.domain;
        let mut kinds = ChunkKind::ALL.into_iter().filter(|kind| PackKind::of(*kind) == location.pack.kind);
        let kind = kinds.find(|kind| ShortId::from(domain.chunk_id(*kind, plain)) == *id)?;
        Some((kind, plain))
    }

    /// Whether a pack that stays gives a chunk, which is read for that.
    fn is_elsewhere(&self, here: &Location, id: &ShortId) -> Result<bool> {
        let view = self.reader.view();
        let mut tried: Vec<Location> = Vec::new();
        loop {
            let admits = |found: &Location| {
                found.pack.kind == here.pack.kind
                    && !self.damaged.contains(&found.pack.id)
                    && self.repository.trusts(&found.pack)
                    && view.condemned.spares(&found.pack.id)
                    && !tried.contains(found)
            };
            let next = view.index.lookup_where(id, &admits).map_err(|source| self.repository.index_error(source))?;
            let Some(found) = next else { return Ok(false) };
            match self.reader.block(&found) {
                Ok(block) if self.chunk_in(&found, id, &block).is_some() => return Ok(true),
                Err(error) if !is_damage(&error) => return Err(error),
                _ => tried.push(found),
            }
        }
    }
}
