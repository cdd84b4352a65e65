//! Index segments: which pack and block holds which chunk.

use crate::id::{ChunkId, PackId, PrincipalId};
use crate::keys::domain::ChunkKind;
use crate::store::{ObjectKind, ObjectName};

/// Leading bytes of a chunk id that the index keeps: 160 bits are beyond accidental collision, and ids are most of an
/// index's size.
pub const SHORT_ID_LEN: usize = 20;

/// The first [`SHORT_ID_LEN`] bytes of a chunk id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortId(pub [u8; SHORT_ID_LEN]);

impl From<ChunkId> for ShortId {
    fn from(id: ChunkId) -> Self {
        Self(id.0[..SHORT_ID_LEN].try_into().expect("a chunk id is longer"))
    }
}

/// What a pack holds. Kinds never mix in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackKind {
    /// Chunks of file contents.
    Data,
    /// Nodes, chunk lists, link tables, birth times.
    Tree,
}

/// A pack by its two names: somebody could put one under both.
pub type PackKey = (PackId, PackKind);

impl PackKind {
    /// The kind of pack that chunks of `kind` lie in.
    pub const fn of(kind: ChunkKind) -> Self {
        match kind {
            ChunkKind::Data => Self::Data,
            ChunkKind::Node | ChunkKind::List | ChunkKind::Link | ChunkKind::Birth => Self::Tree,
        }
    }

    /// The folder that packs of this kind lie in.
    pub const fn object_kind(self) -> ObjectKind {
        match self {
            Self::Data => ObjectKind::Packs,
            Self::Tree => ObjectKind::Trees,
        }
    }
}

impl PackRow {
    /// The name of the pack in the store.
    pub fn name(&self) -> ObjectName {
        ObjectName::new(self.kind.object_kind(), self.id)
    }
}

/// One pack, with what a reader needs to unseal its blocks without a request of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackRow {
    /// Its name.
    pub id: PackId,
    /// What it holds, and so the folder it lies in.
    pub kind: PackKind,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// Generation of the keys it is sealed under.
    pub generation: u32,
    /// HPKE encapsulation from its header.
    pub encapsulation: [u8; 32],
    /// Key commitment from its header.
    pub commitment: [u8; 32],
    /// Who made it.
    pub origin: PrincipalId,
    /// Whether somebody with the prune right has proved its contents.
    pub proved: bool,
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockRow {
    /// Position of its pack in the segment's pack table.
    pub pack: u32,
    /// Its place in the pack's order of sealing, from 0: the nonce.
    pub ordinal: u32,
    /// From the start of the pack, in bytes.
    pub offset: u32,
    /// Bytes in the pack, tag included.
    pub sealed_len: u32,
    /// Bytes after unsealing and decompression.
    pub plain_len: u32,
}

/// One chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkRow {
    /// Start of its id.
    pub id: ShortId,
    /// Position of its block in the segment's block table.
    pub block: u32,
    /// From the start of the plain block, in bytes.
    pub offset: u32,
    /// Plain length in bytes.
    pub len: u32,
}

/// The tables of one index segment. Chunks are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Packs, in no particular order.
    pub packs: Vec<PackRow>,
    /// Blocks; each refers to a pack.
    pub blocks: Vec<BlockRow>,
    /// Chunks in ascending order; each refers to a block.
    pub chunks: Vec<ChunkRow>,
}
