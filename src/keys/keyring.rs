//! What a principal holds once a slot has opened its bundle, and whom the charter names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::BitOr;
use std::sync::{PoisonError, RwLock};

use super::domain::DedupDomain;
use super::generation::GenerationKeys;
use super::signing::{PublicSigningKey, Signatory};
use crate::id::{PrincipalId, RepositoryId};

/// A set of rights; a role is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights(u32);

impl Rights {
    /// Open packs and snapshot bodies.
    pub const READ: Self = Self(1);
    /// Deduplicate, store, commit snapshots.
    pub const WRITE: Self = Self(2);
    /// Read snapshot headers and the index.
    pub const LIST: Self = Self(4);
    /// Declare any snapshot void.
    pub const FORGET: Self = Self(8);
    /// Condemn packs.
    pub const PRUNE: Self = Self(16);
    /// Make statements.
    pub const OWN: Self = Self(32);
    /// All of them.
    pub const ALL: Self = Self(63);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::READ, "read"),
        (Self::WRITE, "write"),
        (Self::LIST, "list"),
        (Self::FORGET, "forget"),
        (Self::PRUNE, "prune"),
        (Self::OWN, "own"),
    ];

    /// The set with these bits. Rights that only a newer version knows are kept: whoever has them is no stranger.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set as bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `others` are in this set.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            Self::NAMES.iter().filter(|(right, _)| self.contains(*right)).map(|&(_, name)| name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

/// Somebody whom the charter names as allowed to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Verifies what they signed.
    pub key: PublicSigningKey,
    /// What they may do.
    pub rights: Rights,
    /// The machine they were on when they were named.
    pub host: String,
    /// The user they were.
    pub user: String,
}

/// The keys of a repository as far as one slot gives them, and the principals that its charter names.
pub struct Keyring {
    /// The repository they belong to, as the bundle names it.
    pub repository: RepositoryId,
    /// What the holder may do.
    pub rights: Rights,
    /// Names chunks and cuts.
    pub domain: DedupDomain,
    /// Keys by number of generation; never empty.
    pub generations: BTreeMap<u32, GenerationKeys>,
    /// The owner's identity, for those with the right to own.
    pub owner: Option<Signatory>,
    principals: RwLock<HashMap<PrincipalId, Principal>>,
    strangers: RwLock<HashSet<PrincipalId>>,
}

impl Keyring {
    /// A keyring that names nobody yet. `generations` must not be empty.
    pub fn new(
        repository: RepositoryId,
        rights: Rights,
        domain: DedupDomain,
        generations: BTreeMap<u32, GenerationKeys>,
        owner: Option<Signatory>,
    ) -> Self {
        Self {
            repository,
            rights,
            domain,
            generations,
            owner,
            principals: RwLock::default(),
            strangers: RwLock::default(),
        }
    }

    /// Whom the charter names by this id.
    pub fn principal(&self, id: &PrincipalId) -> Option<Principal> {
        self.principals.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The charter names `principal`. Rights of several statements about the same one add up, in whatever order they come.
    pub fn name(&self, mut principal: Principal) {
        let mut principals = self.principals.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = principals.get(&principal.key.principal()) {
            principal.rights = principal.rights | known.rights;
        }
        principals.insert(principal.key.principal(), principal);
    }

    /// Whether the charter was asked for this one already, in vain.
    pub fn is_stranger(&self, id: &PrincipalId) -> bool {
        self.strangers.read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// The charter does not name this one, although something they signed is there: it never will have been valid.
    pub fn note_stranger(&self, id: PrincipalId) {
        self.strangers.write().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// The newest generation: what is written now is sealed under it.
    pub fn newest(&self) -> &GenerationKeys {
        self.generations.values().next_back().expect("a bundle without generations is refused when it is decoded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_a_set_and_unknown_ones_are_kept() {
        let role = Rights::READ | Rights::LIST;
        assert!(role.contains(Rights::READ) && !role.contains(Rights::READ | Rights::WRITE));
        assert_eq!(role.to_string(), "read,list");
        assert_eq!(Rights::from_bits(Rights::ALL.bits()), Rights::ALL);
        assert!(Rights::from_bits(64 | 1).contains(Rights::READ));
        assert_eq!(Rights::from_bits(64 | 1).bits(), 65);
    }
}
