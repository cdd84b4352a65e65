//! A store of a few names, whose every operation is one atomic step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub, SubAssign};

use caddis::protocol::{Gc, Names, Record, Voids};

/// Names that fit into one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Small;

impl Names for Small {
    type Pack = u8;
    type Snapshot = u8;
    type Record = u8;
}

/// A set of the numbers below 16: packs, snapshots, chunks or processes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bits(pub(crate) u16);

impl Bits {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn one(number: u8) -> Self {
        Self(1 << number)
    }

    pub(crate) fn has(self, number: u8) -> bool {
        self.0 >> number & 1 == 1
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn is_subset(self, other: Self) -> bool {
        (self - other).is_empty()
    }

    pub(crate) fn first(self) -> Option<u8> {
        self.iter().next()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..16).filter(move |&number| self.has(number))
    }

    pub(crate) fn set(self) -> BTreeSet<u8> {
        self.iter().collect()
    }
}

impl FromIterator<u8> for Bits {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        numbers.into_iter().fold(Self::NONE, |bits, number| bits | Self::one(number))
    }
}

impl From<&BTreeSet<u8>> for Bits {
    fn from(set: &BTreeSet<u8>) -> Self {
        set.iter().copied().collect()
    }
}

impl BitOr for Bits {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Bits {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Bits {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOrAssign for Bits {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl SubAssign for Bits {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// How many chunks there are.
pub(crate) const CHUNKS: u8 = 2;

/// A listing of the index comes in two pages: segments with names below this one are on the first.
pub(crate) const SECOND_PAGE: u8 = 32;

/// Index segments by their names: the packs that each names.
pub(crate) type Segments = BTreeMap<u8, Bits>;

/// Every pack that these segments name.
pub(crate) fn packs_in(segments: &Segments) -> Bits {
    segments.values().fold(Bits::NONE, |packs, &more| packs | more)
}

/// A put of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Put {
    /// A pack with these chunks.
    Pack(u8, Bits),
    Segment(u8, Bits),
    Pending(u8),
    Snapshot(u8),
    Gc(u8, Record<Small>),
    /// A record by somebody who may forget.
    Forgotten(u8),
    /// A record by the snapshot's own writer.
    GivenUp(u8),
}

/// Whether a put may take effect long after the process that made it is gone, or once more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Late {
    #[default]
    Possible,
    /// It will land at any moment, or never.
    OnItsWay(Put),
    Landed,
}

/// What is known of a run, and no process can see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Truth {
    /// Snapshots that were reported as saved.
    pub(crate) saved: Bits,
    /// Snapshots that somebody has forgotten who wanted just that.
    pub(crate) forgotten: Bits,
    /// Snapshots that a writer has noted down before it announced them.
    pub(crate) announced: Bits,
    /// Processes that are dead, and a kernel lock says so.
    pub(crate) dead: Bits,
    pub(crate) late: Late,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) packs: Bits,
    /// In which packs each chunk lies; also of packs that are gone, for a segment may name them still.
    pub(crate) holders: [Bits; CHUNKS as usize],
    pub(crate) index: Segments,
    pub(crate) pending: Bits,
    pub(crate) snapshots: Bits,
    /// Records by somebody who may forget.
    pub(crate) forgotten: Bits,
    /// Records by the snapshots' own writers.
    pub(crate) given_up: Bits,
    pub(crate) gc: Gc<Small>,
    pub(crate) truth: Truth,
}

impl Store {
    pub(crate) fn put(&mut self, put: &Put) {
        match put {
            Put::Pack(name, chunks) => {
                self.packs |= Bits::one(*name);
                chunks.iter().for_each(|chunk| self.holders[usize::from(chunk)] |= Bits::one(*name));
            }
            Put::Segment(name, packs) => drop(self.index.insert(*name, *packs)),
            Put::Pending(id) => self.pending |= Bits::one(*id),
            Put::Snapshot(id) => self.snapshots |= Bits::one(*id),
            Put::Gc(name, record) => drop(self.gc.records.insert(*name, record.clone())),
            Put::Forgotten(id) => self.forgotten |= Bits::one(*id),
            Put::GivenUp(id) => self.given_up |= Bits::one(*id),
        }
    }

    /// Segments on one page of the listing, or all at once.
    pub(crate) fn page(&self, page: Page) -> Segments {
        let on_it = |name: &u8| match page {
            Page::All => true,
            Page::First => *name < SECOND_PAGE,
            Page::Second => *name >= SECOND_PAGE,
        };
        self.index.iter().filter(|(name, _)| on_it(name)).map(|(name, packs)| (*name, *packs)).collect()
    }

    pub(crate) fn gc_names(&self) -> BTreeSet<u8> {
        self.gc.records.keys().copied().collect()
    }

    /// What `gc/` calls void.
    pub(crate) fn gc_void(&self) -> Bits {
        self.gc.void().collect()
    }

    /// What is void whatever it is.
    pub(crate) fn void(&self) -> Bits {
        self.forgotten | self.gc_void()
    }

    /// What the records in `forgotten/` say.
    pub(crate) fn voids(&self) -> Voids<Small> {
        Voids { by_right: self.forgotten.set(), by_writer: self.given_up.set() }
    }

    /// Committed and not void.
    pub(crate) fn live_snapshots(&self) -> Bits {
        self.snapshots - self.void()
    }

    /// What a prune that lists all at once takes for a root.
    pub(crate) fn roots(&self) -> Bits {
        (self.snapshots | (self.pending - self.given_up)) - self.void()
    }

    /// Packs in which a reader finds what the index says is there.
    pub(crate) fn readable(&self) -> Bits {
        let dead = self.gc.records.values().fold(Bits::NONE, |dead, record| dead | Bits::from(&record.dead));
        (self.packs & packs_in(&self.index)) - dead
    }
}

/// Which part of the index is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Page {
    All,
    First,
    Second,
}
