//! Packs: header, sealed blocks, sealed directory, sealed footer.
//!
//! ```text
//! head [8] || suite u16 || 0 u16 || generation u32 || HPKE encapsulation [32] || commitment [32]
//! block 0 || block 1 || … || directory || footer
//! ```
//!
//! Every record is sealed under a key that HPKE gave for this pack alone, with its place in the order of sealing as nonce.
//! The directory comes last so that blocks can be sealed as they come; a reader finds it through the footer, whose length
//! is fixed. Padding lies inside the directory, so that the host sees a length that tells nothing.

use zeroize::Zeroizing;

use super::index::PackKind;
use super::{Code, HEAD_LEN, ObjectError, head, record, split_u32, strip_head};
use crate::id::RepositoryId;
use crate::keys::domain::ChunkKind;
use crate::keys::generation::GenerationKeys;
use crate::seal::aead::{
    BINDING_LEN, PackSealKey, RecordType, SealBroken, TAG_LEN, seal_record, seal_record_to, unseal_record,
    unseal_record_to,
};
use crate::seal::compress::CODEC_LEN;
use crate::seal::hpke::{Encapsulation, Exporter, HpkeRefused};
use crate::seal::record::padme;

/// The one suite of version 1: HPKE mode PSK with X25519 and HKDF-SHA256, ChaCha20-Poly1305, keyed BLAKE3, zstd.
pub const SUITE: u16 = 1;

/// Bytes of the clear header.
pub const HEADER_LEN: usize = HEAD_LEN + 2 + 2 + 4 + 32 + 32;

/// Bytes of the sealed footer: offset and length of the directory, counts of blocks and chunks.
pub const FOOTER_LEN: usize = 4 * size_of::<u32>() + TAG_LEN;

/// The most plain bytes of a block.
pub const BLOCK_BYTES_MAX: usize = 16 << 20;

/// What sealing and the codec add to a block.
pub const BLOCK_OVERHEAD: usize = CODEC_LEN + TAG_LEN;

/// The smallest length that the last pack of a run is padded to. A run that stores little puts two such packs, and hourly runs
/// add up: with at least 128 KiB each, two fifths of what ten releases of a small package took were due to that.
pub const PACK_BYTES_MIN: u64 = 16 << 10;

const COUNTS_LEN: usize = 2 * size_of::<u32>();
const BLOCK_ROW_LEN: usize = 4 * size_of::<u32>();
const CHUNK_ROW_LEN: usize = size_of::<u32>() + 1;

/// A block as the directory lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryBlock {
    /// From the start of the pack, in bytes.
    pub offset: u32,
    /// Bytes in the pack, tag included.
    pub sealed_len: u32,
    /// Bytes after unsealing and decompression.
    pub plain_len: u32,
    /// How many rows of the chunk table belong to it.
    pub chunks: u32,
}

/// A chunk as the directory lists it: no id, since a reader computes it from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryChunk {
    /// Which key names it.
    pub kind: ChunkKind,
    /// Plain length in bytes.
    pub len: u32,
}

/// The table of contents of a pack; the index can be made anew from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Blocks in the order of their ordinals.
    pub blocks: Vec<DirectoryBlock>,
    /// Chunks of all blocks, block by block.
    pub chunks: Vec<DirectoryChunk>,
}

/// The keys of one pack, bound to its header and repository.
pub struct PackKeys {
    blocks: PackSealKey,
    directory: PackSealKey,
    binding: [u8; BINDING_LEN],
}

/// The clear header of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackHeader {
    /// What the pack holds.
    pub kind: PackKind,
    /// Generation of the keys it is sealed under.
    pub generation: u32,
    /// From which the holder of the data key finds the pack's keys.
    pub encapsulation: Encapsulation,
    /// Tells a wrong key from damage.
    pub commitment: [u8; 32],
}

/// Why a header and the keys at hand do not go together.
#[derive(Debug, thiserror::Error)]
pub enum PackKeyError {
    /// No key can be agreed on, or this key may not read.
    #[error(transparent)]
    Hpke(#[from] HpkeRefused),
    /// Sealed under another key, by nobody who belongs to the repository, or the header is damaged.
    #[error("the pack is sealed under another key")]
    WrongKey,
}

impl PackHeader {
    /// The bytes of the header.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend(head(code(self.kind)));
        bytes.extend(SUITE.to_le_bytes());
        bytes.extend(0u16.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.encapsulation.0);
        bytes.extend(self.commitment);
        bytes.try_into().expect("the fields have fixed widths")
    }

    /// Reads the header at the start of a pack of `kind`.
    pub fn from_bytes(kind: PackKind, bytes: &[u8]) -> Result<Self, ObjectError> {
        let rest = strip_head(code(kind), bytes)?;
        let cut_short = || record::RecordError::Malformed("cut short");
        let (suite, rest) = rest.split_first_chunk::<4>().ok_or_else(cut_short)?;
        let suite = u32::from_le_bytes(*suite);
        if suite != u32::from(SUITE) {
            return Err(record::RecordError::Newer { what: "suite", code: suite.into() }.into());
        }
        let (generation, rest) = split_u32(rest).ok_or_else(cut_short)?;
        let (encapsulation, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
        let (commitment, _) = rest.split_first_chunk().ok_or_else(cut_short)?;
        Ok(Self { kind, generation, encapsulation: Encapsulation(*encapsulation), commitment: *commitment })
    }

    /// The keys of this pack.
    pub fn keys(&self, generation: &GenerationKeys, repository: &RepositoryId) -> Result<PackKeys, PackKeyError> {
        let info = info(self.kind, self.generation, repository);
        let exporter = generation.decapsulate(&self.encapsulation, &info)?;
        // Public values: no need for a comparison in constant time.
        if *commitment(&exporter) != self.commitment {
            return Err(PackKeyError::WrongKey);
        }
        Ok(PackKeys::new(self, &exporter, repository))
    }
}

impl PackKeys {
    /// Keys for a new pack, and the header that goes with them.
    ///
    /// # Errors
    /// No randomness.
    pub fn fresh(
        kind: PackKind,
        generation: &GenerationKeys,
        repository: &RepositoryId,
    ) -> Result<(PackHeader, Self), HpkeRefused> {
        let (encapsulation, exporter) = generation.encapsulate(&info(kind, generation.number, repository))?;
        let commitment = *commitment(&exporter);
        let header = PackHeader { kind, generation: generation.number, encapsulation, commitment };
        let keys = Self::new(&header, &exporter, repository);
        Ok((header, keys))
    }

    fn new(header: &PackHeader, exporter: &Exporter, repository: &RepositoryId) -> Self {
        let bound = [&header.to_bytes()[..], &repository.0].concat();
        Self {
            blocks: PackSealKey::new(exporter.export("caddis v0 pack block key")),
            directory: PackSealKey::new(exporter.export("caddis v0 pack directory key")),
            binding: blake3::derive_key("caddis v0 pack binding", &bound),
        }
    }

    /// Seals one block into `sealed`, which is [`TAG_LEN`] bytes longer than `coded`. **No ordinal may be used twice**: they
    /// come from one counter that belongs to the open pack.
    pub fn seal_block(&self, ordinal: u32, coded: &[u8], sealed: &mut [u8]) {
        seal_record_to(&self.blocks, &self.binding, RecordType::Block, ordinal, false, coded, sealed);
    }

    /// Whether `sealed` opens again and gives `coded`. `scratch` is as long as `coded`; what comes out is left there.
    pub fn opens_to(&self, ordinal: u32, sealed: &[u8], coded: &[u8], scratch: &mut [u8]) -> bool {
        unseal_record_to(&self.blocks, &self.binding, RecordType::Block, ordinal, false, sealed, scratch).is_ok()
            && scratch == coded
    }

    /// Unseals one block; what comes out is still compressed, and its chunks are proved by their ids.
    pub fn unseal_block(&self, ordinal: u32, sealed: Vec<u8>) -> Result<Vec<u8>, SealBroken> {
        unseal_record(&self.blocks, &self.binding, RecordType::Block, ordinal, false, sealed)
    }

    /// Seals directory and footer so that the pack, `offset` bytes long so far, gets the length that `length` says.
    pub fn seal_tail(&self, directory: &Directory, offset: u32, length: PackLength) -> Vec<u8> {
        let mut plain = directory.to_bytes();
        let unpadded = u64::from(offset) + (plain.len() + TAG_LEN + FOOTER_LEN) as u64;
        let padding = length.of(unpadded).saturating_sub(unpadded);
        plain.resize(plain.len() + usize::try_from(padding).expect("a pack fits in memory"), 0);
        let counts = [plain.len() + TAG_LEN, directory.blocks.len(), directory.chunks.len()];
        let mut footer = offset.to_le_bytes().to_vec();
        for count in counts {
            footer.extend(u32::try_from(count).expect("a pack is shorter than 4 GiB").to_le_bytes());
        }
        // Ordinals of the directory's own key; the footer is marked as last, so that no pack can end before it.
        let mut tail = seal_record(&self.directory, &self.binding, RecordType::Directory, 0, false, plain);
        tail.extend(seal_record(&self.directory, &self.binding, RecordType::Footer, 1, true, footer));
        tail
    }

    /// Opens the footer, the last [`FOOTER_LEN`] bytes of a pack.
    pub fn unseal_footer(&self, sealed: &[u8], pack_bytes: u64) -> Result<Footer, DirectoryError> {
        let plain = unseal_record(&self.directory, &self.binding, RecordType::Footer, 1, true, sealed.to_vec())?;
        let fields: [u8; FOOTER_LEN - TAG_LEN] = plain.try_into().map_err(|_| DirectoryError::Malformed)?;
        let [offset, len, blocks, chunks] =
            [0, 4, 8, 12].map(|at| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]));
        if u64::from(offset) + u64::from(len) + FOOTER_LEN as u64 != pack_bytes {
            return Err(DirectoryError::Malformed);
        }
        Ok(Footer { offset, len, blocks, chunks })
    }

    /// Opens the directory that a footer points to.
    pub fn unseal_directory(&self, footer: &Footer, sealed: Vec<u8>) -> Result<Directory, DirectoryError> {
        let plain = unseal_record(&self.directory, &self.binding, RecordType::Directory, 0, false, sealed)?;
        Directory::from_bytes(&plain, footer)
    }
}

/// Where the directory lies and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// From the start of the pack, in bytes: the end of the blocks.
    pub offset: u32,
    /// Sealed length in bytes, padding included.
    pub len: u32,
    /// Number of blocks.
    pub blocks: u32,
    /// Number of chunks.
    pub chunks: u32,
}

/// Why a directory cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The seal does not open.
    #[error(transparent)]
    Seal(#[from] SealBroken),
    /// What came out contradicts itself.
    #[error("its directory is malformed")]
    Malformed,
}

/// Which length a pack gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackLength {
    /// A full pack: exactly so many bytes, or PADMÉ for one that a single block makes longer.
    Full(u32),
    /// The last of a run: the larger of PADMÉ and [`PACK_BYTES_MIN`], but no more than a full pack.
    Last {
        /// Length of a full pack.
        full: u32,
    },
}

impl PackLength {
    fn of(self, unpadded: u64) -> u64 {
        match self {
            // A block that fits into no pack makes one that is longer than others.
            Self::Full(full) | Self::Last { full } if unpadded > u64::from(full) => padme(unpadded),
            Self::Full(full) => full.into(),
            Self::Last { full } => padme(unpadded).max(PACK_BYTES_MIN).min(full.into()),
        }
    }
}

/// Bytes that directory and footer take for so many blocks and chunks.
pub fn tail_len(blocks: usize, chunks: usize) -> usize {
    COUNTS_LEN + blocks * BLOCK_ROW_LEN + chunks * CHUNK_ROW_LEN + TAG_LEN + FOOTER_LEN
}

impl Directory {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(tail_len(self.blocks.len(), self.chunks.len()));
        for count in [self.blocks.len(), self.chunks.len()] {
            bytes.extend(u32::try_from(count).expect("a pack is shorter than 4 GiB").to_le_bytes());
        }
        for block in &self.blocks {
            for field in [block.offset, block.sealed_len, block.plain_len, block.chunks] {
                bytes.extend(field.to_le_bytes());
            }
        }
        for chunk in &self.chunks {
            bytes.extend(chunk.len.to_le_bytes());
            bytes.push(chunk.kind as u8);
        }
        bytes
    }

    fn from_bytes(plain: &[u8], footer: &Footer) -> Result<Self, DirectoryError> {
        let malformed = DirectoryError::Malformed;
        let (block_count, rest) = split_u32(plain).ok_or(malformed)?;
        let (chunk_count, rest) = split_u32(rest).ok_or(malformed)?;
        if (block_count, chunk_count) != (footer.blocks, footer.chunks) {
            return Err(malformed);
        }
        let (rows, rest) = split_rows::<BLOCK_ROW_LEN>(rest, block_count).ok_or(malformed)?;
        let (chunk_rows, padding) = split_rows::<CHUNK_ROW_LEN>(rest, chunk_count).ok_or(malformed)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(malformed);
        }
        let blocks = rows.iter().map(DirectoryBlock::from_bytes).collect();
        let chunks = chunk_rows.iter().map(DirectoryChunk::from_bytes).collect::<Option<_>>().ok_or(malformed)?;
        let directory = Self { blocks, chunks };
        if directory.is_sound(footer.offset) { Ok(directory) } else { Err(malformed) }
    }

    /// Blocks lie one after the other between header and directory, and their chunks fill them exactly.
    fn is_sound(&self, end: u32) -> bool {
        let mut chunks = self.chunks.iter();
        let mut spans: Vec<(u64, u64)> = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let own: u64 = chunks.by_ref().take(block.chunks as usize).map(|chunk| u64::from(chunk.len)).sum();
            if own != u64::from(block.plain_len)
                || block.plain_len as usize > BLOCK_BYTES_MAX
                || (block.sealed_len as usize) < BLOCK_OVERHEAD
            {
                return false;
            }
            spans.push((block.offset.into(), u64::from(block.offset) + u64::from(block.sealed_len)));
        }
        spans.sort_unstable();
        let mut at = HEADER_LEN as u64;
        for (start, stop) in spans {
            if start != at {
                return false;
            }
            at = stop;
        }
        at == u64::from(end) && chunks.next().is_none()
    }
}

fn split_rows<const N: usize>(bytes: &[u8], count: u32) -> Option<(&[[u8; N]], &[u8])> {
    let len = usize::try_from(count).ok()?.checked_mul(N)?;
    let (rows, rest) = bytes.split_at_checked(len)?;
    Some((rows.as_chunks().0, rest))
}

impl DirectoryBlock {
    fn from_bytes(row: &[u8; BLOCK_ROW_LEN]) -> Self {
        let field = |at: usize| u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
        Self { offset: field(0), sealed_len: field(4), plain_len: field(8), chunks: field(12) }
    }
}

impl DirectoryChunk {
    fn from_bytes(row: &[u8; CHUNK_ROW_LEN]) -> Option<Self> {
        let [len @ .., kind] = *row;
        Some(Self { kind: ChunkKind::from_code(kind)?, len: u32::from_le_bytes(len) })
    }
}

const fn code(kind: PackKind) -> Code {
    match kind {
        PackKind::Data => Code::DataPack,
        PackKind::Tree => Code::TreePack,
    }
}

fn info(kind: PackKind, generation: u32, repository: &RepositoryId) -> Vec<u8> {
    [&b"caddis v0 pack"[..], &SUITE.to_le_bytes(), &[code(kind) as u8], &generation.to_le_bytes(), &repository.0]
        .concat()
}

fn commitment(exporter: &Exporter) -> Zeroizing<[u8; 32]> {
    exporter.export("caddis v0 pack commitment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generation::GenerationSecret;

    const HERE: RepositoryId = RepositoryId([7; 32]);

    fn generation() -> GenerationKeys {
        GenerationSecret { number: 1, secret: Zeroizing::new([8; 32]) }.keys()
    }

    fn sealed_block(keys: &PackKeys, ordinal: u32, coded: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; coded.len() + TAG_LEN];
        keys.seal_block(ordinal, coded, &mut sealed);
        sealed
    }

    fn sample() -> (PackHeader, PackKeys, Directory, Vec<u8>) {
        let (header, keys) = PackKeys::fresh(PackKind::Data, &generation(), &HERE).unwrap();
        let mut pack = header.to_bytes().to_vec();
        let mut directory = Directory::default();
        for (ordinal, plain) in [&b"first"[..], b"the second"].into_iter().enumerate() {
            let sealed = sealed_block(&keys, ordinal.try_into().unwrap(), plain);
            directory.blocks.push(DirectoryBlock {
                offset: pack.len().try_into().unwrap(),
                sealed_len: sealed.len().try_into().unwrap(),
                plain_len: 5,
                chunks: 2,
            });
            directory.chunks.push(DirectoryChunk { kind: ChunkKind::Data, len: 2 });
            directory.chunks.push(DirectoryChunk { kind: ChunkKind::Data, len: 3 });
            pack.extend(sealed);
        }
        (header, keys, directory, pack)
    }

    #[test]
    fn a_pack_is_what_the_format_says() {
        let keys = generation();
        let info = info(PackKind::Data, 1, &HERE);
        let (encapsulation, exporter) = keys.encapsulate_with_seed(&info, [4; 32]).unwrap();
        let commitment = *commitment(&exporter);
        let header = PackHeader { kind: PackKind::Data, generation: 1, encapsulation, commitment };
        let pack_keys = PackKeys::new(&header, &exporter, &HERE);
        let mut pack = header.to_bytes().to_vec();
        let sealed = sealed_block(&pack_keys, 0, b"\0plain");
        let block = DirectoryBlock { offset: 80, sealed_len: 22, plain_len: 5, chunks: 1 };
        let chunk = DirectoryChunk { kind: ChunkKind::Data, len: 5 };
        pack.extend(sealed);
        let directory = Directory { blocks: vec![block], chunks: vec![chunk] };
        pack.extend(pack_keys.seal_tail(&directory, 102, PackLength::Last { full: 32 << 20 }));
        // A known answer of our own: another value means that the format has changed.
        assert_eq!(crate::id::ObjectId::of(&pack).short(), "f47972eb");
        assert_eq!(header.keys(&keys, &HERE).unwrap().unseal_block(0, pack[80..102].to_vec()).unwrap(), b"\0plain");
    }

    #[test]
    fn a_full_pack_is_exactly_as_long_as_config_says_and_its_directory_comes_back() {
        let (header, keys, directory, mut pack) = sample();
        let tail = keys.seal_tail(&directory, pack.len().try_into().unwrap(), PackLength::Full(1 << 20));
        pack.extend(tail);
        assert_eq!(pack.len(), 1 << 20);
        let read = PackHeader::from_bytes(PackKind::Data, &pack).unwrap();
        assert_eq!(read, header);
        let keys = read.keys(&generation(), &HERE).unwrap();
        let footer = keys.unseal_footer(&pack[pack.len() - FOOTER_LEN..], pack.len() as u64).unwrap();
        let sealed = &pack[footer.offset as usize..pack.len() - FOOTER_LEN];
        assert_eq!(keys.unseal_directory(&footer, sealed.to_vec()).unwrap(), directory);
    }

    #[test]
    fn the_last_pack_of_a_run_has_a_length_that_tells_little() {
        let (_, keys, directory, pack) = sample();
        let tail = keys.seal_tail(&directory, pack.len().try_into().unwrap(), PackLength::Last { full: 32 << 20 });
        assert_eq!((pack.len() + tail.len()) as u64, PACK_BYTES_MIN);
        assert!(tail.len() >= tail_len(2, 4));
    }

    #[test]
    fn a_pack_that_its_one_block_makes_longer_than_others_is_padded_too() {
        let full = 1 << 20;
        for unpadded in [(1 << 20) + 1, 1_064_764] {
            for length in [PackLength::Full(full), PackLength::Last { full }] {
                assert_eq!(length.of(unpadded), padme(unpadded));
            }
        }
        assert_eq!(PackLength::Full(full).of(1_000_001), 1 << 20);
        assert_eq!(PackLength::Last { full }.of(1 << 20), 1 << 20);
    }

    #[test]
    fn another_repository_generation_or_kind_does_not_open_a_pack() {
        let (header, ..) = sample();
        assert!(matches!(header.keys(&generation(), &RepositoryId([0; 32])), Err(PackKeyError::WrongKey)));
        let other = GenerationSecret { number: 1, secret: Zeroizing::new([9; 32]) }.keys();
        assert!(matches!(header.keys(&other, &HERE), Err(PackKeyError::WrongKey)));
        assert!(PackHeader::from_bytes(PackKind::Tree, &header.to_bytes()).is_err());
    }

    #[test]
    fn a_block_opens_at_its_own_ordinal_only() {
        let (_, keys, ..) = sample();
        let mut sealed = sealed_block(&keys, 3, b"plain");
        assert!(keys.opens_to(3, &sealed, b"plain", &mut [0; 5]));
        assert!(!keys.opens_to(4, &sealed, b"plain", &mut [0; 5]));
        assert!(!keys.opens_to(3, &sealed, b"plaim", &mut [0; 5]));
        assert!(keys.unseal_block(4, sealed.clone()).is_err());
        assert_eq!(keys.unseal_block(3, sealed.clone()).unwrap(), b"plain");
        sealed[0] ^= 1;
        assert!(!keys.opens_to(3, &sealed, b"plain", &mut [0; 5]));
    }

    #[test]
    fn a_directory_that_contradicts_itself_is_refused() {
        let (_, _, sound, pack) = sample();
        let end = u32::try_from(pack.len()).unwrap();
        assert!(sound.is_sound(end));
        let mut gap = sound.clone();
        gap.blocks[1].offset += 1;
        let mut overlap = sound.clone();
        overlap.blocks[1].offset -= 1;
        let mut too_many = sound.clone();
        too_many.chunks.push(DirectoryChunk { kind: ChunkKind::Data, len: 0 });
        let mut lying = sound.clone();
        lying.chunks[0].len += 1;
        for wrong in [gap, overlap, too_many, lying] {
            assert!(!wrong.is_sound(end));
        }
    }
}
