//! Checks all packs, on all cores, and answers what chunks can be read from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::iter::Peekable;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rayon::prelude::*;

use super::findings::Findings;
use super::gate::Gate;
use super::pack::{Candidate, Described, Verdict};
use super::reading::Reading;
use super::{PACK_BYTES_MAX, finding_of};
use crate::error::{Error, Result, with_causes};
use crate::format::index::{BlockRow, PackKey, PackKind, PackRow};
use crate::id::PackId;
use crate::index::{IndexError, Location};
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::view::View;

/// Bytes that the first look at a pack takes at most, unless its directory is mostly padding.
const GLANCE_BYTES: u64 = 64 << 10;

/// What is known of all packs: where chunks can be read from.
pub(super) struct Packs {
    there: Arc<BTreeMap<PackKey, u64>>,
    /// In the index.
    named: HashSet<PackKey>,
    /// Descriptions that lead to nothing.
    unfit: HashSet<PackRow>,
    /// Descriptions of blocks that lead to nothing, by pack.
    false_rows: HashMap<PackKey, BTreeSet<BlockRow>>,
    /// Blocks that give nothing, by pack.
    broken: HashMap<PackKey, BTreeSet<u32>>,
}

impl Packs {
    /// How many are there.
    pub(super) fn count(&self) -> u64 {
        self.there.len() as u64
    }

    /// Whether a block can be read by this description of it, as far as this check has looked.
    pub(super) fn give(&self, location: &Location) -> bool {
        let key = key_of(&location.pack);
        self.there.contains_key(&key)
            && !self.unfit.contains(&*location.pack)
            && self.false_rows.get(&key).is_none_or(|rows| !rows.contains(&location.block))
            && self.broken.get(&key).is_none_or(|blocks| !blocks.contains(&location.block.ordinal))
    }

    /// Packs that no segment describes, with their lengths.
    pub(super) fn unnamed(&self) -> Vec<Candidate> {
        let unnamed = self.there.iter().filter(|(key, _)| !self.named.contains(key));
        unnamed.map(|(&(id, kind), &bytes)| Candidate { id, kind, bytes, rows: Vec::new() }).collect()
    }

    /// One of them, as the index describes it.
    pub(super) fn candidate(&self, (id, kind): PackKey, rows: Vec<Described>) -> Option<Candidate> {
        let bytes = *self.there.get(&(id, kind))?;
        Some(Candidate { id, kind, bytes, rows })
    }

    fn learn(&mut self, key: PackKey, verdict: Verdict) {
        self.unfit.extend(verdict.unfit);
        if !verdict.false_rows.is_empty() {
            self.false_rows.insert(key, verdict.false_rows);
        }
        if !verdict.broken.is_empty() {
            self.broken.insert(key, verdict.broken);
        }
    }
}

fn key_of(pack: &PackRow) -> PackKey {
    (pack.id, pack.kind)
}

/// Checks all packs.
pub(super) fn check(
    repository: &Repository,
    view: &View,
    reading: &mut Reading<'_>,
    findings: &Findings,
    cx: &Context<'_>,
) -> Result<Packs> {
    findings.begin_packs();
    let mut rows = Rows::new(repository, view)?;
    let mut packs = list(repository)?;
    packs.named = rows.packs.iter().map(key_of).collect();
    let missing = rows.packs.iter().filter(|row| !packs.there.contains_key(&key_of(row)));
    for row in missing.filter(|row| view.condemned.spares(&row.id)) {
        findings.error(row.name(), "the index names this pack, and it is not there".to_owned());
    }
    reading.begin(&packs.there)?;
    let ahead = |(key, bytes): (&PackKey, &u64)| if reading.wants(key) { *bytes } else { GLANCE_BYTES.min(*bytes) };
    cx.progress.ahead(packs.count(), packs.there.iter().map(ahead).sum());
    let judge = Judge::new(repository, view, findings, cx);
    // Each worker takes the next pack with its rows when it has done with the last, so that the rows of few are in memory.
    let candidates = packs
        .there
        .iter()
        .map(|(&(id, kind), &bytes)| rows.of((id, kind)).map(|rows| Candidate { id, kind, bytes, rows }));
    let look = |candidate: &Candidate| {
        let verdict = judge.pack(candidate, reading.wants(&candidate.key()))?;
        findings.looked_at_pack();
        Ok(verdict)
    };
    let (looked, ended) = judge.look_at(candidates, look);
    looked.settle(&mut packs, reading);
    ended?;
    Ok(packs)
}

fn list(repository: &Repository) -> Result<Packs> {
    let mut there = BTreeMap::new();
    for kind in [PackKind::Tree, PackKind::Data] {
        let listed = repository.objects.list(kind.object_kind())?;
        there.extend(listed.into_iter().map(|object| ((PackId::from(object.id), kind), object.bytes)));
    }
    Ok(Packs {
        there: Arc::new(there),
        named: HashSet::new(),
        unfit: HashSet::new(),
        false_rows: HashMap::new(),
        broken: HashMap::new(),
    })
}

/// What came of looking at packs, on all cores.
#[derive(Default)]
pub(super) struct Looked {
    /// Those that were read whole, with nothing wrong in them, and when.
    proved: Vec<(PackKey, Timestamp)>,
    found: Vec<(PackKey, Verdict)>,
}

impl Looked {
    pub(super) fn settle(self, packs: &mut Packs, reading: &mut Reading<'_>) {
        reading.prove(self.proved);
        self.found.into_iter().for_each(|(key, verdict)| packs.learn(key, verdict));
    }
}

pub(super) struct Judge<'a> {
    repository: &'a Repository,
    view: &'a View,
    findings: &'a Findings,
    cx: &'a Context<'a>,
    gate: Gate,
}

impl<'a> Judge<'a> {
    pub(super) fn new(repository: &'a Repository, view: &'a View, findings: &'a Findings, cx: &'a Context<'a>) -> Self {
        Self { repository, view, findings, cx, gate: Gate::new() }
    }

    /// Looks at packs, which workers take one after the other. What came of it counts also if not all were looked at.
    pub(super) fn look_at(
        &self,
        candidates: impl Iterator<Item = Result<Candidate>> + Send,
        look: impl Fn(&Candidate) -> Result<Option<Verdict>> + Sync,
    ) -> (Looked, Result<()>) {
        let looked = Mutex::new(Looked::default());
        let ended = candidates.par_bridge().try_for_each(|candidate| {
            let candidate = candidate?;
            let Some(verdict) = look(&candidate)? else { return Ok(()) };
            let now = self.cx.clock.now();
            let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
            match verdict.is_sound() {
                true => looked.proved.push((candidate.key(), now)),
                false => looked.found.push((candidate.key(), verdict)),
            }
            Ok(())
        });
        (looked.into_inner().unwrap_or_else(PoisonError::into_inner), ended)
    }

    /// Checks a pack and reports what is wrong. Answers what of it cannot be read: nothing, if it was read whole; and no answer
    /// if there was no need, or if nobody can tell.
    pub(super) fn pack(&self, candidate: &Candidate, whole: bool) -> Result<Option<Verdict>> {
        self.cx.cancel.check()?;
        self.cx.progress.current(candidate.name().path().as_bytes());
        let judged = self.judge(candidate, whole);
        self.cx.progress.done(1, if whole { candidate.bytes } else { GLANCE_BYTES.min(candidate.bytes) });
        let verdict = match judged {
            Ok(Some(verdict)) => verdict,
            Ok(None) => return Ok(None),
            Err(error @ Error::Index { .. }) => return Err(error),
            Err(error) => {
                let Some(error) = finding_of(error)? else {
                    // Gone since it was listed: nothing can be read of it, and that is no error if nothing needs it.
                    let unfit: Vec<_> = candidate.rows.iter().map(|row| row.pack.clone()).collect();
                    return Ok((!unfit.is_empty()).then(|| Verdict { unfit, ..Verdict::default() }));
                };
                self.findings.error(candidate.name(), with_causes(&error));
                return Ok(None);
            }
        };
        if let Some(what) = &verdict.what {
            self.findings.error(candidate.name(), what.clone());
        }
        Ok(Some(verdict))
    }

    fn judge(&self, candidate: &Candidate, whole: bool) -> Result<Option<Verdict>> {
        if !whole {
            match candidate.glance(self.repository) {
                Ok((is_well, bytes)) => {
                    self.findings.read(bytes);
                    if is_well {
                        return Ok(None);
                    }
                }
                // What is wrong is found out below.
                Err(error) => drop(finding_of(error)?),
            }
        }
        let _held = self.gate.enter(candidate.bytes.min(PACK_BYTES_MAX));
        self.findings.read(candidate.bytes.min(PACK_BYTES_MAX));
        self.findings.read_pack();
        candidate.prove(self.repository, &self.view.index).map(Some)
    }
}

type BlockItem = std::result::Result<(Arc<PackRow>, BlockRow), IndexError>;
type Blocks = Box<dyn Iterator<Item = BlockItem> + Send>;

/// What the index says of packs, for one after the other in ascending order.
pub(super) struct Rows<'a> {
    repository: &'a Repository,
    /// Every description of every pack.
    packs: Vec<PackRow>,
    blocks: Peekable<Blocks>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(repository: &'a Repository, view: &View) -> Result<Self> {
        let index_error = |source| repository.index_error(source);
        let packs = view.index.packs().map_err(index_error)?.collect::<std::result::Result<_, _>>();
        let blocks: Blocks = Box::new(view.index.blocks().map_err(index_error)?);
        Ok(Self { repository, packs: packs.map_err(index_error)?, blocks: blocks.peekable() })
    }

    /// The descriptions of a pack. **Packs must be asked for in ascending order**: blocks pass by once.
    pub(super) fn of(&mut self, key: PackKey) -> Result<Vec<Described>> {
        let start = self.packs.partition_point(|row| key_of(row) < key);
        let packs = self.packs[start..].iter().take_while(|row| key_of(row) == key);
        let mut described: Vec<_> = packs.map(|pack| Described { pack: pack.clone(), blocks: Vec::new() }).collect();
        let is_passed = |item: &BlockItem| match item {
            Ok((pack, _)) => key_of(pack) <= key,
            Err(_) => true,
        };
        while let Some(item) = self.blocks.next_if(is_passed) {
            let (pack, block) = item.map_err(|source| self.repository.index_error(source))?;
            if let Some(own) = described.iter_mut().find(|own| own.pack == *pack) {
                own.blocks.push(block);
            }
        }
        Ok(described)
    }
}
