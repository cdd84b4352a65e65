//! The deduplication domain: the secret from which chunk ids and cuts are made. It stays the same for a repository's whole
//! life, or deduplication would start again.

use zeroize::Zeroizing;

use crate::chunker::ChunkerKey;
use crate::id::ChunkId;

/// What a chunk holds; each kind has an id key of its own, so that a chunk of one kind can never stand for one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChunkKind {
    /// Bytes of a file or of a large extended attribute.
    Data = 0,
    /// Nodes of a folder.
    Node = 1,
    /// Pieces of a content or of a table.
    List = 2,
    /// Groups of hard links.
    Link = 3,
    /// Birth times.
    Birth = 4,
}

impl ChunkKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Data, Self::Node, Self::List, Self::Link, Self::Birth];

    /// Whether such a chunk names others.
    pub const fn leads_on(self) -> bool {
        matches!(self, Self::Node | Self::List)
    }

    /// The kind with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == code)
    }

    const fn context(self) -> &'static str {
        match self {
            Self::Data => "caddis v0 chunk id key: data",
            Self::Node => "caddis v0 chunk id key: node",
            Self::List => "caddis v0 chunk id key: list",
            Self::Link => "caddis v0 chunk id key: link",
            Self::Birth => "caddis v0 chunk id key: birth",
        }
    }
}

/// The secret of the domain, with the keys made from it. Wiped when dropped.
pub struct DedupDomain {
    secret: Zeroizing<[u8; 32]>,
    chunk_ids: Zeroizing<[[u8; 32]; ChunkKind::ALL.len()]>,
    tree_cut: Zeroizing<[u8; 32]>,
}

impl DedupDomain {
    /// The domain with this secret of 32 random bytes.
    pub fn from_secret(secret: Zeroizing<[u8; 32]>) -> Self {
        let derive = |context: &str| blake3::derive_key(context, &*secret);
        let chunk_ids = Zeroizing::new(ChunkKind::ALL.map(|kind| derive(kind.context())));
        let tree_cut = Zeroizing::new(derive("caddis v0 tree cut key"));
        Self { secret, chunk_ids, tree_cut }
    }

    /// The secret, to be kept sealed.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The id of a chunk of `kind` with this plaintext: keyed BLAKE3.
    pub fn chunk_id(&self, kind: ChunkKind, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.chunk_ids[kind as usize], plain).as_bytes())
    }

    /// The key from which the chunker's tables are made.
    pub fn chunker_key(&self) -> ChunkerKey {
        ChunkerKey::new(blake3::derive_key("caddis v0 chunker key", &*self.secret))
    }

    /// Thirty-two bits that decide, for an entry named `name` on `level` of a tree, whether a chunk ends after it.
    pub fn tree_cut(&self, level: u8, name: &[u8]) -> u32 {
        let mut hasher = blake3::Hasher::new_keyed(&self.tree_cut);
        hasher.update(&[level]);
        hasher.update(name);
        let hash = hasher.finalize();
        u32::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash is longer than four bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ids_are_what_the_format_says() {
        let domain = DedupDomain::from_secret(Zeroizing::new([3; 32]));
        let ids = ChunkKind::ALL.map(|kind| domain.chunk_id(kind, b"the same bytes").short());
        // Known answers of our own: another value means that the format has changed.
        assert_eq!(ids, ["05edbfed", "a0b9b79e", "c10f0def", "8695e634", "df5b01fd"]);
    }
}
