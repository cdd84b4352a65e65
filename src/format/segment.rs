//! The plaintext of an index segment: its three tables as fixed-width little-endian binary. Sealing, padding and
//! signing are the caller's.
//!
//! ```text
//! u32 packs | u32 blocks | u32 chunks | u32 origins
//! chunk ids [chunks x 20]                      raw, because hashes do not compress
//! one zstd frame, to the end of the input:
//!   origins [origins x 32]                     in the order in which the packs first name them
//!   packs   [packs x 112]                      id 32, kind u8, flags u8, origin u16, generation u32, bytes u64,
//!                                              encapsulation 32, commitment 32
//!   blocks  pack, ordinal, offset, sealed_len, plain_len    each a column of `blocks` u32
//!   chunks  block, offset, len                              each a column of `chunks` u32
//! ```
//!
//! What was decompressed has one form only; the frame around it depends on the version of zstd.

use std::collections::HashMap;

use zstd::zstd_safe;

use crate::format::index::{BlockRow, ChunkRow, PackKind, PackRow, SHORT_ID_LEN, Segment, ShortId};
use crate::id::{ID_LEN, PackId, PrincipalId};

/// Most packs in a segment; an origin's place in its table fits a `u16` by this.
pub const PACKS_MAX: u32 = 65_536;

/// Most blocks in a segment: 32 MiB as decoded rows, so that any segment fits in the memory that a command may take.
pub const BLOCKS_MAX: u32 = 1_048_576;

/// Most chunks in a segment: 32 MiB as decoded rows.
pub const CHUNKS_MAX: u32 = 1_048_576;

/// Largest plain block that any reader accepts, in bytes.
pub const BLOCK_PLAIN_LEN_MAX: u32 = 16 << 20;

const COUNT_LEN: usize = size_of::<u32>();
const COUNTS_LEN: usize = 4 * COUNT_LEN;
const PACK_LEN: usize = ID_LEN + 1 + 1 + size_of::<u16>() + size_of::<u32>() + size_of::<u64>() + 32 + 32;
const BLOCK_COLUMNS: usize = 5;
const CHUNK_COLUMNS: usize = 3;

const KIND_DATA: u8 = 0;
const KIND_TREE: u8 = 1;
const FLAG_PROVED: u8 = 1;

const COMPRESSION_LEVEL: i32 = 3;
const ZSTD_MAGIC: [u8; 4] = zstd_safe::MAGICNUMBER.to_le_bytes();
// A zstd block of 4 bytes (3 of header, 1 to repeat) makes at most 128 KiB: no true frame promises more than this.
const PLAIN_PER_COMPRESSED_BYTE_MAX: u64 = (128 << 10) / 4;

/// Why some tables or bytes are no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// The input ends inside a table.
    #[error("the segment is cut short")]
    Short,
    /// A table has more rows than its limit.
    #[error("a table of the segment is too long")]
    TooLong,
    /// The compressed part is no zstd frame, or not one of the length that the counts say.
    #[error("the tables of the segment cannot be decompressed")]
    Frame,
    /// A kind of pack that this version does not know.
    #[error("unknown kind {0} of a pack")]
    UnknownKind(u8),
    /// Flags of a pack that this version does not know.
    #[error("unknown flags {0:#04x} of a pack")]
    UnknownFlags(u8),
    /// The table of origins is not in the one order it can have.
    #[error("the origins of the segment are out of order")]
    Origins,
    /// A block names no pack of the segment, or leads beyond it, or is too large.
    #[error("block {0} of the segment does not fit its pack")]
    Block(u32),
    /// A chunk names no block of the segment, or leads beyond it.
    #[error("chunk {0} of the segment does not fit its block")]
    Chunk(u32),
    /// A chunk's id is below the one before.
    #[error("chunk {0} of the segment is out of order")]
    Unsorted(u32),
}

/// The bytes of `segment`.
///
/// **`segment` must pass [`check`].** One that does not is encoded into bytes that [`decode`] refuses.
pub fn encode(segment: &Segment) -> Vec<u8> {
    let (origins, origin_of_pack) = origins_of(&segment.packs);
    let mut bytes = Vec::with_capacity(COUNTS_LEN + segment.chunks.len() * SHORT_ID_LEN);
    for count in [segment.packs.len(), segment.blocks.len(), segment.chunks.len(), origins.len()] {
        bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }
    for chunk in &segment.chunks {
        bytes.extend(chunk.id.0);
    }
    let mut plain = Vec::with_capacity(
        origins.len() * ID_LEN
            + segment.packs.len() * PACK_LEN
            + (segment.blocks.len() * BLOCK_COLUMNS + segment.chunks.len() * CHUNK_COLUMNS) * size_of::<u32>(),
    );
    for origin in origins {
        plain.extend(origin.0);
    }
    for (pack, origin) in segment.packs.iter().zip(origin_of_pack) {
        put_pack(&mut plain, pack, origin);
    }
    let blocks = &segment.blocks;
    put_column(&mut plain, blocks.iter().map(|block| block.pack));
    put_column(&mut plain, blocks.iter().map(|block| block.ordinal));
    put_column(&mut plain, blocks.iter().map(|block| block.offset));
    put_column(&mut plain, blocks.iter().map(|block| block.sealed_len));
    put_column(&mut plain, blocks.iter().map(|block| block.plain_len));
    let chunks = &segment.chunks;
    put_column(&mut plain, chunks.iter().map(|chunk| chunk.block));
    put_column(&mut plain, chunks.iter().map(|chunk| chunk.offset));
    put_column(&mut plain, chunks.iter().map(|chunk| chunk.len));
    bytes.extend(
        zstd::bulk::compress(&plain, COMPRESSION_LEVEL)
            .expect("the level is a valid one and the output has room for the worst case"),
    );
    bytes
}

/// The segment that `bytes` hold, all of them.
///
/// # Errors
/// What is wrong with them. Memory is taken only after the counts were held against their limits and the input.
pub fn decode(bytes: &[u8]) -> Result<Segment, SegmentError> {
    let mut input = Input(bytes);
    let counts = Counts::take(&mut input)?;
    let ids = input.bytes(counts.chunks * SHORT_ID_LEN)?;
    let plain = decompress(input.0, counts.plain_len())?;
    let mut input = Input(&plain);
    let packs = take_packs(&mut input, &counts)?;
    let blocks = take_blocks(&mut input, counts.blocks)?;
    let chunks = take_chunks(&mut input, ids, counts.chunks)?;
    let segment = Segment { packs, blocks, chunks };
    check(&segment)?;
    Ok(segment)
}

/// Whether the tables are within their limits and fit together: every reference leads to a row, every range lies
/// inside what holds it, and chunks ascend by id (equal ids may follow each other).
///
/// # Errors
/// The first thing that does not fit.
pub fn check(segment: &Segment) -> Result<(), SegmentError> {
    let within = |len: usize, limit: u32| len <= limit as usize;
    if !within(segment.packs.len(), PACKS_MAX)
        || !within(segment.blocks.len(), BLOCKS_MAX)
        || !within(segment.chunks.len(), CHUNKS_MAX)
    {
        return Err(SegmentError::TooLong);
    }
    for (position, block) in (0..).zip(&segment.blocks) {
        let end = u64::from(block.offset) + u64::from(block.sealed_len);
        let fits = segment.packs.get(block.pack as usize).is_some_and(|pack| end <= pack.bytes);
        if !fits || block.plain_len > BLOCK_PLAIN_LEN_MAX {
            return Err(SegmentError::Block(position));
        }
    }
    for (position, chunk) in (0..).zip(&segment.chunks) {
        let end = u64::from(chunk.offset) + u64::from(chunk.len);
        let block = segment.blocks.get(chunk.block as usize);
        if block.is_none_or(|block| end > u64::from(block.plain_len)) {
            return Err(SegmentError::Chunk(position));
        }
    }
    match (1..).zip(segment.chunks.windows(2)).find(|(_, pair)| pair[0].id > pair[1].id) {
        Some((position, _)) => Err(SegmentError::Unsorted(position)),
        None => Ok(()),
    }
}

struct Counts {
    packs: usize,
    blocks: usize,
    chunks: usize,
    origins: usize,
}

impl Counts {
    fn take(input: &mut Input<'_>) -> Result<Self, SegmentError> {
        let packs = input.count(PACKS_MAX)?;
        let blocks = input.count(BLOCKS_MAX)?;
        let chunks = input.count(CHUNKS_MAX)?;
        let origins = input.count(PACKS_MAX)?;
        if origins > packs {
            return Err(SegmentError::Origins);
        }
        Ok(Self { packs, blocks, chunks, origins })
    }

    fn plain_len(&self) -> usize {
        self.origins * ID_LEN
            + self.packs * PACK_LEN
            + (self.blocks * BLOCK_COLUMNS + self.chunks * CHUNK_COLUMNS) * size_of::<u32>()
    }
}

/// The content of the one frame that `compressed` is, `plain_len` bytes of it.
fn decompress(compressed: &[u8], plain_len: usize) -> Result<Vec<u8>, SegmentError> {
    let plain_bytes = plain_len as u64;
    let is_one_frame = compressed.starts_with(&ZSTD_MAGIC)
        && zstd_safe::find_frame_compressed_size(compressed) == Ok(compressed.len());
    let says_its_length = zstd_safe::get_frame_content_size(compressed).ok().flatten() == Some(plain_bytes);
    let can_hold_it = (compressed.len() as u64).saturating_mul(PLAIN_PER_COMPRESSED_BYTE_MAX) >= plain_bytes;
    if !(is_one_frame && says_its_length && can_hold_it) {
        return Err(SegmentError::Frame);
    }
    let plain = zstd::bulk::decompress(compressed, plain_len).map_err(|_| SegmentError::Frame)?;
    if plain.len() == plain_len { Ok(plain) } else { Err(SegmentError::Frame) }
}

/// The principals that the packs name, each once, in order of first mention; and for each pack its principal's place.
fn origins_of(packs: &[PackRow]) -> (Vec<PrincipalId>, Vec<u16>) {
    let mut origins = Vec::new();
    let mut places = HashMap::new();
    let of_packs = packs
        .iter()
        .map(|pack| {
            *places.entry(pack.origin).or_insert_with(|| {
                origins.push(pack.origin);
                u16::try_from(origins.len() - 1).unwrap_or(u16::MAX)
            })
        })
        .collect();
    (origins, of_packs)
}

fn put_pack(plain: &mut Vec<u8>, pack: &PackRow, origin: u16) {
    plain.extend(pack.id.0);
    plain.push(match pack.kind {
        PackKind::Data => KIND_DATA,
        PackKind::Tree => KIND_TREE,
    });
    plain.push(if pack.proved { FLAG_PROVED } else { 0 });
    plain.extend(origin.to_le_bytes());
    plain.extend(pack.generation.to_le_bytes());
    plain.extend(pack.bytes.to_le_bytes());
    plain.extend(pack.encapsulation);
    plain.extend(pack.commitment);
}

fn take_packs(input: &mut Input<'_>, counts: &Counts) -> Result<Vec<PackRow>, SegmentError> {
    let origins: Vec<_> =
        (0..counts.origins).map(|_| input.array().map(PrincipalId)).collect::<Result<_, SegmentError>>()?;
    let mut packs = Vec::with_capacity(counts.packs);
    for _ in 0..counts.packs {
        packs.push(take_pack(input, &origins)?);
    }
    // Places ascend by first mention and the table repeats nobody exactly if making it again gives the same.
    if origins_of(&packs).0 != origins {
        return Err(SegmentError::Origins);
    }
    Ok(packs)
}

fn take_pack(input: &mut Input<'_>, origins: &[PrincipalId]) -> Result<PackRow, SegmentError> {
    let id = PackId(input.array()?);
    let kind = match input.array()? {
        [KIND_DATA] => PackKind::Data,
        [KIND_TREE] => PackKind::Tree,
        [other] => return Err(SegmentError::UnknownKind(other)),
    };
    let [flags] = input.array()?;
    if flags & !FLAG_PROVED != 0 {
        return Err(SegmentError::UnknownFlags(flags));
    }
    let origin = usize::from(u16::from_le_bytes(input.array()?));
    Ok(PackRow {
        id,
        kind,
        origin: *origins.get(origin).ok_or(SegmentError::Origins)?,
        generation: input.u32()?,
        bytes: u64::from_le_bytes(input.array()?),
        encapsulation: input.array()?,
        commitment: input.array()?,
        proved: flags & FLAG_PROVED != 0,
    })
}

fn take_blocks(input: &mut Input<'_>, count: usize) -> Result<Vec<BlockRow>, SegmentError> {
    let (mut packs, mut ordinals) = (input.column(count)?, input.column(count)?);
    let (mut offsets, mut sealed_lens) = (input.column(count)?, input.column(count)?);
    let mut plain_lens = input.column(count)?;
    (0..count)
        .map(|_| {
            Ok(BlockRow {
                pack: packs.u32()?,
                ordinal: ordinals.u32()?,
                offset: offsets.u32()?,
                sealed_len: sealed_lens.u32()?,
                plain_len: plain_lens.u32()?,
            })
        })
        .collect()
}

fn take_chunks(input: &mut Input<'_>, ids: &[u8], count: usize) -> Result<Vec<ChunkRow>, SegmentError> {
    let mut ids = Input(ids);
    let (mut blocks, mut offsets, mut lens) = (input.column(count)?, input.column(count)?, input.column(count)?);
    (0..count)
        .map(|_| {
            Ok(ChunkRow { id: ShortId(ids.array()?), block: blocks.u32()?, offset: offsets.u32()?, len: lens.u32()? })
        })
        .collect()
}

fn put_column(plain: &mut Vec<u8>, values: impl Iterator<Item = u32>) {
    plain.extend(values.flat_map(u32::to_le_bytes));
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], SegmentError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(SegmentError::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(SegmentError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, SegmentError> {
        self.array().map(u32::from_le_bytes)
    }

    fn count(&mut self, limit: u32) -> Result<usize, SegmentError> {
        let count = self.u32()?;
        if count > limit { Err(SegmentError::TooLong) } else { Ok(count as usize) }
    }

    fn column(&mut self, count: usize) -> Result<Input<'a>, SegmentError> {
        self.bytes(count * size_of::<u32>()).map(Input)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn pack() -> impl Strategy<Value = PackRow> {
        (any::<[u8; 32]>(), any::<bool>(), 1_u64..1 << 33, any::<u32>(), any::<[u8; 64]>(), 0_u8..3, any::<bool>())
            .prop_map(|(id, tree, bytes, generation, secrets, origin, proved)| PackRow {
                id: PackId(id),
                kind: if tree { PackKind::Tree } else { PackKind::Data },
                bytes,
                generation,
                encapsulation: *secrets.first_chunk().unwrap(),
                commitment: *secrets.last_chunk().unwrap(),
                origin: PrincipalId([origin; 32]),
                proved,
            })
    }

    /// Segments that pass `check`; ids repeat now and then.
    pub(crate) fn segment() -> impl Strategy<Value = Segment> {
        let block = (any::<prop::sample::Index>(), 0_u32..50, any::<[u32; 3]>());
        let chunk = (any::<prop::sample::Index>(), any::<u16>(), any::<[u32; 2]>());
        (vec(pack(), 0..5), vec(block, 0..30), vec(chunk, 0..200)).prop_map(|(packs, blocks, chunks)| {
            let mut segment = Segment { packs, ..Segment::default() };
            if segment.packs.is_empty() {
                return segment;
            }
            let below = |value: u32, limit: u64| u32::try_from(u64::from(value) % (limit + 1)).unwrap();
            for (pack, ordinal, [offset, sealed_len, plain_len]) in blocks {
                let pack = pack.index(segment.packs.len());
                let offset = below(offset, segment.packs[pack].bytes);
                segment.blocks.push(BlockRow {
                    pack: u32::try_from(pack).unwrap(),
                    ordinal,
                    offset,
                    sealed_len: below(sealed_len, segment.packs[pack].bytes - u64::from(offset)),
                    plain_len: below(plain_len, u64::from(BLOCK_PLAIN_LEN_MAX)),
                });
            }
            for (block, id, [offset, len]) in chunks {
                if segment.blocks.is_empty() {
                    break;
                }
                let block = block.index(segment.blocks.len());
                let plain_len = u64::from(segment.blocks[block].plain_len);
                let offset = below(offset, plain_len);
                segment.chunks.push(ChunkRow {
                    id: ShortId(blake3::hash(&(id % 500).to_le_bytes()).as_bytes()[..SHORT_ID_LEN].try_into().unwrap()),
                    block: u32::try_from(block).unwrap(),
                    offset,
                    len: below(len, plain_len - u64::from(offset)),
                });
            }
            segment.chunks.sort();
            segment
        })
    }

    /// One pack, one block, two chunks.
    fn small() -> Segment {
        let pack = PackRow {
            id: PackId([1; 32]),
            kind: PackKind::Tree,
            bytes: 1000,
            generation: 7,
            encapsulation: [2; 32],
            commitment: [3; 32],
            origin: PrincipalId([4; 32]),
            proved: true,
        };
        let block = BlockRow { pack: 0, ordinal: 5, offset: 100, sealed_len: 900, plain_len: 3000 };
        let chunk = |id, offset| ChunkRow { id: ShortId([id; SHORT_ID_LEN]), block: 0, offset, len: 1500 };
        Segment { packs: vec![pack], blocks: vec![block], chunks: vec![chunk(1, 1500), chunk(2, 0)] }
    }

    /// `segment`'s bytes with its plain tables changed by `change`.
    fn with_tables(segment: &Segment, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = encode(segment);
        let frame = bytes.split_off(COUNTS_LEN + segment.chunks.len() * SHORT_ID_LEN);
        let mut plain = zstd::bulk::decompress(&frame, 1 << 20).unwrap();
        change(&mut plain);
        bytes.extend(zstd::bulk::compress(&plain, 1).unwrap());
        bytes
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn a_segment_survives_its_bytes(segment in segment()) {
            prop_assert_eq!(check(&segment), Ok(()));
            prop_assert_eq!(decode(&encode(&segment)), Ok(segment));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn no_change_of_encoded_bytes_makes_the_decoder_panic_or_return_what_check_refuses(
            segment in segment(),
            at in any::<prop::sample::Index>(),
            mask in 1_u8..,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encode(&segment);
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            if let Ok(decoded) = decode(&bytes) {
                prop_assert_eq!(check(&decoded), Ok(()));
            }
            prop_assert!(decode(&encode(&segment)[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn no_change_of_the_plain_tables_makes_the_decoder_panic_or_passes_unseen(
            segment in segment(), at in any::<prop::sample::Index>(), mask in 1_u8..
        ) {
            let bytes = with_tables(&segment, |plain| if !plain.is_empty() {
                let at = at.index(plain.len());
                plain[at] ^= mask;
            });
            if let Ok(decoded) = decode(&bytes) {
                prop_assert!(decoded != segment || decoded.packs.is_empty());
                // What was decompressed is canonical: encoding again gives the same tables.
                prop_assert_eq!(with_tables(&decoded, |_| ()), bytes);
            }
        }
    }

    #[test]
    fn nothing_may_follow_the_tables() {
        let mut trailed = encode(&small());
        trailed.push(0);
        assert_eq!(decode(&trailed), Err(SegmentError::Frame));
        let mut two_frames = encode(&small());
        two_frames.extend(zstd::bulk::compress(b"", 1).unwrap());
        assert_eq!(decode(&two_frames), Err(SegmentError::Frame));
        let longer = with_tables(&small(), |plain| plain.push(0));
        assert_eq!(decode(&longer), Err(SegmentError::Frame));
        let mut skippable = vec![0; COUNTS_LEN];
        skippable.extend([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]);
        assert_eq!(decode(&skippable), Err(SegmentError::Frame));
    }

    #[test]
    fn counts_are_refused_before_anything_is_allocated() {
        for (packs, blocks, chunks, error) in [
            (PACKS_MAX + 1, 0, 0, SegmentError::TooLong),
            (0, BLOCKS_MAX + 1, 0, SegmentError::TooLong),
            (0, 0, CHUNKS_MAX + 1, SegmentError::TooLong),
            (0, 0, CHUNKS_MAX, SegmentError::Short),
            (0, BLOCKS_MAX, 0, SegmentError::Frame),
        ] {
            let mut bytes: Vec<u8> = [packs, blocks, chunks, 0].into_iter().flat_map(u32::to_le_bytes).collect();
            bytes.extend(zstd::bulk::compress(b"", 1).unwrap());
            assert_eq!(decode(&bytes), Err(error));
        }
    }

    #[test]
    fn unknown_kinds_and_flags_are_refused() {
        let kind_at = ID_LEN + ID_LEN;
        let kind = with_tables(&small(), |plain| plain[kind_at] = 2);
        assert_eq!(decode(&kind), Err(SegmentError::UnknownKind(2)));
        let flags = with_tables(&small(), |plain| plain[kind_at + 1] = 3);
        assert_eq!(decode(&flags), Err(SegmentError::UnknownFlags(3)));
    }

    #[test]
    fn rows_that_lead_outside_are_refused() {
        type Change = fn(&mut Segment);
        let cases: [(Change, SegmentError); 7] = [
            (|s| s.blocks[0].pack = 1, SegmentError::Block(0)),
            (|s| s.blocks[0].sealed_len = 901, SegmentError::Block(0)),
            (|s| s.blocks[0].plain_len = BLOCK_PLAIN_LEN_MAX + 1, SegmentError::Block(0)),
            (|s| s.chunks[1].block = 1, SegmentError::Chunk(1)),
            (|s| s.chunks[0].len = 1501, SegmentError::Chunk(0)),
            (|s| s.chunks[1].offset = u32::MAX, SegmentError::Chunk(1)),
            (|s| s.chunks.reverse(), SegmentError::Unsorted(1)),
        ];
        assert_eq!(decode(&encode(&small())), Ok(small()));
        for (change, error) in cases {
            let mut segment = small();
            change(&mut segment);
            assert_eq!(decode(&encode(&segment)), Err(error));
        }
    }
}
