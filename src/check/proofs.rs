//! [`Ledger`]: which packs were proved, now and earlier. The catalog remembers it from check to check.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::findings::Findings;
use crate::catalog::CatalogError;
use crate::error::with_causes;
use crate::format::index::PackKey;
use crate::progress::Context;
use crate::repo::Repository;
use crate::store::ObjectName;

const SECS_PER_DAY: u64 = 24 * 60 * 60;

/// What of the data was proved, now and earlier: packs that were read from the first byte to the last, with nothing wrong in
/// them. What a check found something wrong with is not proved, whatever was said of it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Packs that this check has proved.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of all packs that are there.
    pub all_bytes: u64,
    /// Bytes of those that were never proved.
    pub never_bytes: u64,
    /// When that one was proved for which it is longest ago, of those that ever were.
    pub oldest: Option<Timestamp>,
    /// Within how many days all were proved that ever were: the age of the oldest proof, rounded up; 1 at least.
    pub days: u64,
}

/// Collects proofs.
pub(super) struct Ledger {
    /// Those of earlier checks.
    earlier: HashMap<PackKey, Timestamp>,
    /// Those of this one.
    proved: HashMap<PackKey, Timestamp>,
    /// Objects with which this check has found something wrong at least once.
    refuted: HashSet<ObjectName>,
    /// Whether there is something to remember it.
    is_kept: bool,
}

impl Ledger {
    /// One that knows of nothing and is forgotten.
    pub(super) fn blank() -> Self {
        Self { earlier: HashMap::new(), proved: HashMap::new(), refuted: HashSet::new(), is_kept: false }
    }

    /// What the catalog knows. A proof from the future says that some clock was wrong, but not when it was made.
    pub(super) fn open(repository: &Repository, cx: &Context<'_>) -> Self {
        match recall(repository) {
            Ok(mut earlier) => {
                let now = cx.clock.now();
                earlier.retain(|_, time| *time <= now);
                Self { earlier, is_kept: true, ..Self::blank() }
            }
            Err(error) => {
                let why = with_causes(&error);
                cx.progress.note(&format!("there is no catalog, what is proved now is not remembered: {why}"));
                Self::blank()
            }
        }
    }

    /// These packs were read whole, and are what they should be.
    pub(super) fn prove(&mut self, packs: Vec<(PackKey, Timestamp)>) {
        self.proved.extend(packs);
    }

    /// Something seems to be wrong with these objects: what was proved of them earlier counts no more.
    pub(super) fn refute(&mut self, objects: &BTreeSet<ObjectName>) {
        self.refuted.extend(objects);
    }

    pub(super) fn has_proved(&self, pack: &PackKey) -> bool {
        self.proved.contains_key(pack)
    }

    pub(super) fn has_refuted(&self, pack: &PackKey) -> bool {
        self.refuted.contains(&name_of(pack))
    }

    /// When a pack was proved before this check.
    pub(super) fn earlier(&self, pack: &PackKey) -> Option<Timestamp> {
        self.earlier.get(pack).copied()
    }

    /// Remembers it, given the packs that are there and what was found to be wrong.
    pub(super) fn close(
        mut self,
        repository: &Repository,
        there: &BTreeMap<PackKey, u64>,
        findings: &Findings,
        cx: &Context<'_>,
    ) -> Proof {
        let now = cx.clock.now();
        let is_well = |pack: &PackKey| there.contains_key(pack) && !findings.has(name_of(pack));
        self.proved.retain(|pack, _| is_well(pack));
        let stays = |pack: &PackKey, time| time <= now && is_well(pack) && !self.refuted.contains(&name_of(pack));
        self.earlier.retain(|pack, time| stays(pack, *time));
        if self.is_kept
            && let Err(error) = repository.catalog().and_then(|catalog| catalog.save_proofs(&self.proved, stays))
        {
            cx.progress.note(&format!("what was proved is not remembered: {}", with_causes(&error)));
        }
        self.proof(there, now)
    }

    fn proof(&self, there: &BTreeMap<PackKey, u64>, now: Timestamp) -> Proof {
        let mut proof = Proof { packs: 0, bytes: 0, all_bytes: 0, never_bytes: 0, oldest: None, days: 1 };
        for (pack, bytes) in there {
            proof.all_bytes += bytes;
            let last = match self.proved.get(pack) {
                Some(now) => {
                    proof.packs += 1;
                    proof.bytes += bytes;
                    Some(*now)
                }
                None => self.earlier(pack),
            };
            match last {
                Some(last) => proof.oldest = Some(proof.oldest.map_or(last, |oldest| oldest.min(last))),
                None => proof.never_bytes += bytes,
            }
        }
        let age_secs = proof.oldest.map_or(0, |oldest| now.as_second().saturating_sub(oldest.as_second()));
        proof.days = u64::try_from(age_secs).unwrap_or(0).div_ceil(SECS_PER_DAY).max(1);
        proof
    }
}

fn recall(repository: &Repository) -> Result<HashMap<PackKey, Timestamp>, CatalogError> {
    Ok(repository.catalog()?.proofs())
}

/// The object that a pack is.
pub(super) fn name_of((id, kind): &PackKey) -> ObjectName {
    ObjectName::new(kind.object_kind(), *id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index::PackKind;
    use crate::id::PackId;

    fn pack(number: u8) -> PackKey {
        (PackId([number; 32]), PackKind::Data)
    }

    #[test]
    fn the_age_of_the_oldest_proof_is_rounded_up_to_days() {
        const DAY: i64 = SECS_PER_DAY.cast_signed();
        let now = Timestamp::from_second(100 * DAY).unwrap();
        let there: BTreeMap<PackKey, u64> = (1..=3).map(|number| (pack(number), 1 << number)).collect();
        for (age_secs, days) in [(-5, 1), (0, 1), (1, 1), (DAY, 1), (DAY + 1, 2), (3 * DAY, 3), (100 * DAY, 100)] {
            let oldest = Timestamp::from_second(now.as_second() - age_secs).unwrap();
            let (earlier, proved) = (HashMap::from([(pack(2), oldest)]), HashMap::from([(pack(1), now)]));
            let proof = Ledger { earlier, proved, ..Ledger::blank() }.proof(&there, now);
            let oldest = oldest.min(now);
            assert_eq!(proof, Proof { packs: 1, bytes: 2, all_bytes: 14, never_bytes: 8, oldest: Some(oldest), days });
        }
        let proof = Ledger::blank().proof(&there, now);
        assert_eq!((proof.oldest, proof.never_bytes), (None, 14));
    }
}
