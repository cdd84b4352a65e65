//! Compresses blocks, or leaves them raw: one codec byte, then the data.
//!
//! Codec 0 is the bytes themselves. Codec 1 is exactly one zstd frame (RFC 8878) that states its content size and has no
//! checksum (the seal is stronger) and no dictionary. Layout: caddis-format(5), "Blocks".
//!
//! The decoder gets bytes whose seal held, so whoever made them had the key; it trusts them no further than that.

use std::ops::Range;

use zstd::bulk;
use zstd::zstd_safe::{self, CParameter};

/// Bytes before the data: the codec.
pub const CODEC_LEN: usize = 1;

const CODEC_RAW: u8 = 0;
const CODEC_ZSTD: u8 = 1;

/// zstd has to save at least one byte in this many, or the data is stored raw: reading raw bytes costs nothing, and zstd
/// itself gives up on a block of its own below the same gain.
const MIN_GAIN: usize = 64;

/// Below this length compressing costs about what sampling would.
const SAMPLE_FROM_LEN: usize = 64 << 10;
/// One sample of [`SAMPLE_LEN`] is tried in each stretch of this length, a 16th of the data. In blocks of 256 KiB, random
/// bytes then pass at 2.9 instead of 1.9 GB/s, and packed crates at 2.1 instead of 1.1 (one thread of a busy machine).
const SAMPLE_STRIDE: usize = 32 << 10;
/// Short, so that the same time buys many, and few compressible stretches between incompressible ones are missed. With half
/// the length and twice the number, sampling took 1.7 times as long.
const SAMPLE_LEN: usize = 2 << 10;
/// How far the sample moves on within its stretch from one to the next. A prime, since what lies in archives and disk images
/// repeats at powers of two. The first sample has moved once: many files begin with a header that compresses.
const SAMPLE_STEP: usize = 11_717;
/// The lowest level that still codes literals: a negative one would not notice base64 or a skewed alphabet.
const SAMPLE_LEVEL: i32 = 1;

/// Why coded bytes were refused. Their seal held, so they were made like this.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// There is not even a codec byte.
    #[error("compressed data is empty")]
    Empty,
    /// A codec that this version does not know.
    #[error("compression codec {0} is unknown")]
    UnknownCodec(u8),
    /// The plaintext has another length than the index says.
    #[error("data of {found} bytes was announced as {announced}")]
    Length {
        /// What the caller was told.
        announced: usize,
        /// What the data says of itself.
        found: u64,
    },
    /// Not exactly one plain zstd frame.
    #[error("not a single zstd frame with content size and without checksum or dictionary")]
    Frame,
    /// zstd refused the frame.
    #[error("the zstd frame is damaged")]
    Zstd(#[source] std::io::Error),
    /// The plaintext does not fit in memory.
    #[error("no memory for {0} bytes of plaintext")]
    Memory(usize),
}

/// The window of every level: as much as a block usually holds, and what bounds the memory of high levels. Level 19 takes
/// 15 MiB for each core.
const WINDOW_LOG: u32 = 20;

/// How much time to spend on making data smaller. Blocks of any choice lie side by side, and none is stored again for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// All is stored raw.
    Off,
    /// zstd's level 1.
    Fast,
    /// zstd's level 3: what 1 saves and a sixth more, in a third more time.
    #[default]
    Auto,
    /// zstd's level 9: a sixth smaller on source code, in four times the time. 12 saves a further hundredth in seven times it.
    Better,
    /// zstd's level 19: a quarter smaller on source code, in forty to eighty times the time.
    Max,
}

impl Compression {
    fn level(self) -> Option<i32> {
        match self {
            Self::Off => None,
            Self::Fast => Some(1),
            Self::Auto => Some(3),
            Self::Better => Some(9),
            Self::Max => Some(19),
        }
    }
}

/// Plaintext as it is stored when it does not compress: behind its codec byte, so that it is sealed from where it lies.
pub struct RawBlock(Vec<u8>);

impl RawBlock {
    /// An empty one with room for `len` bytes of plaintext.
    pub fn with_capacity(len: usize) -> Self {
        let mut bytes = Vec::with_capacity(CODEC_LEN + len);
        bytes.push(CODEC_RAW);
        Self(bytes)
    }

    /// Appends plaintext.
    pub fn push(&mut self, plain: &[u8]) {
        self.0.extend_from_slice(plain);
    }

    /// Takes all that it holds away, and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
        self.0.push(CODEC_RAW);
    }

    /// The plaintext.
    pub fn plain(&self) -> &[u8] {
        &self.0[CODEC_LEN..]
    }

    /// A block that is coded already, with its codec byte: what [`Self::coded`] gives.
    pub fn from_coded(coded: Vec<u8>) -> Self {
        Self(coded)
    }

    /// Codec byte and what follows it.
    pub fn coded(&self) -> &[u8] {
        &self.0
    }

    /// Codec byte and the part of the plaintext that lies at `part`, as a block of its own.
    ///
    /// The codec byte takes the place of the plaintext's byte before the part, so parts are taken from front to back.
    pub fn coded_part(&mut self, part: Range<usize>) -> &[u8] {
        self.0[part.start] = CODEC_RAW;
        &self.0[part.start..CODEC_LEN + part.end]
    }
}

/// Codes blocks. One per worker: zstd reuses the context, and a fresh one for each block takes a quarter longer.
pub struct Compressor {
    zstd: Option<bulk::Compressor<'static>>,
    sampler: bulk::Compressor<'static>,
    /// Codec byte and frame of the block that was compressed last. As long as the longest block so far.
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor that tries as hard as it is told.
    pub fn new(compression: Compression) -> Self {
        let zstd = compression.level().map(context);
        Self { zstd, sampler: context(SAMPLE_LEVEL), scratch: vec![CODEC_ZSTD] }
    }

    /// `block` as codec byte and frame, where that is shorter; `None` where it is to stay raw.
    ///
    /// For pieces of large files. Data of which no sample compresses is left raw without trying the rest.
    pub fn compress(&mut self, block: &RawBlock) -> Option<&[u8]> {
        if self.zstd.is_none() || self.looks_random(block.plain()) {
            return None;
        }
        self.compress_fully(block)
    }

    /// [`Compressor::compress`], but all of the block is tried however random it looks.
    ///
    /// For blocks of many small files: what icons or small archives have in common lies too far apart for samples, which
    /// cost 1 to 2 % there, and opening such files takes longer than compressing them.
    pub fn compress_fully(&mut self, block: &RawBlock) -> Option<&[u8]> {
        let coded_len = compress_if_smaller(self.zstd.as_mut()?, block.plain(), &mut self.scratch)?;
        Some(&self.scratch[..coded_len])
    }

    /// Whether no sample of `plain` compresses: videos, pictures, archives.
    fn looks_random(&mut self, plain: &[u8]) -> bool {
        plain.len() > SAMPLE_FROM_LEN
            && plain
                .chunks(SAMPLE_STRIDE)
                .zip(1_usize..)
                .filter_map(|(stretch, nth)| {
                    let from = nth.wrapping_mul(SAMPLE_STEP) % (SAMPLE_STRIDE - SAMPLE_LEN);
                    stretch.get(from..from + SAMPLE_LEN)
                })
                .all(|sample| compress_if_smaller(&mut self.sampler, sample, &mut self.scratch).is_none())
    }
}

/// The plaintext of `coded`, of exactly `plain_len` bytes.
///
/// Allocates `plain_len` bytes and no more, and only if the data announces the same length: the caller must **bound**
/// `plain_len`, which the decoder of the index does. The zstd context is made anew: reusing one gains nothing measurable
/// even at 256 KiB, unlike in [`Compressor`].
///
/// # Errors
/// [`CompressError`] if `coded` is anything but what a [`Compressor`] could have made of `plain_len` bytes.
pub fn decompress(coded: &[u8], plain_len: usize) -> Result<Vec<u8>, CompressError> {
    let (&codec, data) = coded.split_first().ok_or(CompressError::Empty)?;
    let found = match codec {
        CODEC_RAW => data.len() as u64,
        CODEC_ZSTD => frame_content_len(data)?,
        unknown => return Err(CompressError::UnknownCodec(unknown)),
    };
    if u64::try_from(plain_len) != Ok(found) {
        return Err(CompressError::Length { announced: plain_len, found });
    }
    let mut plain = Vec::new();
    plain.try_reserve_exact(plain_len).map_err(|_| CompressError::Memory(plain_len))?;
    if codec == CODEC_RAW {
        plain.extend_from_slice(data);
        return Ok(plain);
    }
    // The capacity bounds what zstd writes, and it refuses a frame that holds another length than it states.
    let written = bulk::Decompressor::default().decompress_to_buffer(data, &mut plain).map_err(CompressError::Zstd)?;
    if written != plain_len {
        return Err(CompressError::Length { announced: plain_len, found: written as u64 });
    }
    Ok(plain)
}

fn context(level: i32) -> bulk::Compressor<'static> {
    let mut context = bulk::Compressor::new(level).expect("zstd knows its own levels");
    context.set_parameter(CParameter::WindowLog(WINDOW_LOG)).expect("zstd knows windows from 1 KiB to 1 GiB");
    context
}

/// Puts the frame behind the codec byte in `scratch`, if it saves one byte in [`MIN_GAIN`]; answers the length of both.
fn compress_if_smaller(zstd: &mut bulk::Compressor<'static>, plain: &[u8], scratch: &mut Vec<u8>) -> Option<usize> {
    let most = CODEC_LEN + plain.len() - plain.len().div_ceil(MIN_GAIN);
    if scratch.len() < most {
        scratch.resize(most, 0);
    }
    // zstd errs as soon as it runs out of room. Any other error (no memory) may end the same way: raw is always right.
    let frame_len = zstd.compress_to_buffer(plain, &mut scratch[CODEC_LEN..most]).ok()?;
    Some(CODEC_LEN + frame_len)
}

/// What the single frame in `data` says of the length of its content.
fn frame_content_len(data: &[u8]) -> Result<u64, CompressError> {
    // RFC 8878, section 3.1.1. The magic number rules out skippable frames, which zstd would step over.
    const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
    // Unused bit, reserved bit, checksum flag, two bits of dictionary id.
    const REFUSED_FLAGS: u8 = 0b0001_1111;
    let is_plain_frame = data.starts_with(&MAGIC)
        && data.get(MAGIC.len()).is_some_and(|descriptor| descriptor & REFUSED_FLAGS == 0)
        && zstd_safe::find_frame_compressed_size(data) == Ok(data.len());
    if !is_plain_frame {
        return Err(CompressError::Frame);
    }
    zstd_safe::get_frame_content_size(data).ok().flatten().ok_or(CompressError::Frame)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that nothing compresses.
    fn noise(seed: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn text(len: usize) -> Vec<u8> {
        (0_u64..).flat_map(|n| format!("line {n} of a text, {}\n", n * n).into_bytes()).take(len).collect()
    }

    const ALL: [Compression; 5] =
        [Compression::Off, Compression::Fast, Compression::Auto, Compression::Better, Compression::Max];

    fn frame_of(plain: &[u8]) -> Vec<u8> {
        bulk::compress(plain, 3).unwrap()
    }

    fn as_zstd(frame: &[u8]) -> Vec<u8> {
        [&[CODEC_ZSTD], frame].concat()
    }

    fn block(plain: &[u8]) -> RawBlock {
        let mut block = RawBlock::with_capacity(plain.len());
        block.push(plain);
        block
    }

    #[test]
    fn text_is_compressed_and_noise_is_not() {
        let mut compressor = Compressor::new(Compression::Auto);
        for len in [1 << 10, 100 << 10, 3 << 20] {
            let block_of_text = block(&text(len));
            let coded = compressor.compress(&block_of_text).unwrap();
            assert_eq!(coded[0], CODEC_ZSTD);
            assert!(coded.len() < len / 3);
            assert_eq!(compressor.compress(&block(&noise(1, len))), None);
        }
    }

    #[test]
    fn a_reused_context_gives_the_same_bytes_as_a_fresh_one() {
        let mut reused = Compressor::new(Compression::Auto);
        for plain in [text(300_000), noise(1, 70_000), Vec::new(), text(100), noise(2, 10), text(200_000)] {
            let block = block(&plain);
            let coded = reused.compress(&block);
            assert_eq!(coded, Compressor::new(Compression::Auto).compress(&block));
            assert!(coded.is_none_or(|coded| decompress(coded, plain.len()).unwrap() == plain));
        }
    }

    #[test]
    fn a_block_that_is_filled_again_holds_nothing_of_what_it_held() {
        let mut used = block(&text(5000));
        used.clear();
        assert_eq!(used.coded_part(0..0), [CODEC_RAW]);
        used.push(b"new ");
        used.push(b"bytes");
        assert_eq!(used.plain(), b"new bytes");
        assert_eq!(decompress(used.coded_part(0..9), 9).unwrap(), b"new bytes");
    }

    #[test]
    fn a_raw_block_falls_into_parts_that_are_blocks() {
        let mut block = block(b"one and two");
        for (part, plain) in [(0..3, "one"), (3..8, " and "), (8..11, "two")] {
            assert_eq!(decompress(block.coded_part(part), plain.len()).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn compressible_files_among_noise_are_found() {
        let mut mixed = noise(1, 256 << 10);
        mixed.extend(text(48 << 10));
        mixed.extend(noise(2, 256 << 10));
        assert_eq!(Compressor::new(Compression::Auto).compress(&block(&mixed)).unwrap()[0], CODEC_ZSTD);
    }

    #[test]
    fn what_lies_too_far_apart_for_samples_is_found_by_trying_all() {
        let repeated = [noise(1, 200 << 10), noise(1, 200 << 10)].concat();
        let mut compressor = Compressor::new(Compression::Auto);
        let block = block(&repeated);
        assert_eq!(compressor.compress(&block), None);
        let coded = compressor.compress_fully(&block).unwrap();
        assert!(coded.len() < repeated.len() * 6 / 10);
        assert_eq!(decompress(coded, repeated.len()).unwrap(), repeated);
    }

    #[test]
    fn every_effort_gives_the_same_plaintext_and_none_leaves_it_raw() {
        let plain = text(400_000);
        let block = block(&plain);
        for compression in ALL {
            let mut compressor = Compressor::new(compression);
            let coded = compressor.compress(&block).map(<[u8]>::to_vec);
            assert_eq!(coded.is_none(), compression == Compression::Off);
            assert!(coded.as_deref().is_none_or(|coded| decompress(coded, plain.len()).unwrap() == plain));
            assert_eq!(compressor.compress_fully(&block), coded.as_deref());
        }
    }

    #[test]
    fn a_length_other_than_announced_is_refused_before_anything_is_allocated() {
        let bomb = as_zstd(&frame_of(&vec![0; 8 << 20]));
        for announced in [0, 1000, (8 << 20) - 1, (8 << 20) + 1, usize::MAX] {
            let refused = decompress(&bomb, announced);
            assert!(matches!(refused, Err(CompressError::Length { found: 0x80_0000, .. })));
        }
        let raw = [&[CODEC_RAW][..], b"abc"].concat();
        assert!(matches!(decompress(&raw, 2), Err(CompressError::Length { found: 3, .. })));
        assert!(matches!(decompress(&raw, usize::MAX), Err(CompressError::Length { found: 3, .. })));
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_refused() {
        let plain = text(1000);
        // Descriptor 0x60: single segment, content size in two bytes, less 256, right behind it.
        let mut frame = frame_of(&plain);
        assert_eq!(frame[4], 0x60);
        for (stated, announced) in [(999_u16, 999), (1001, 1001)] {
            frame[5..7].copy_from_slice(&(stated - 256).to_le_bytes());
            assert!(matches!(decompress(&as_zstd(&frame), announced), Err(CompressError::Zstd(_))));
        }
    }

    #[test]
    fn only_a_single_plain_frame_is_accepted() {
        let plain = text(1000);
        let frame = frame_of(&plain);
        assert_eq!(decompress(&as_zstd(&frame), 1000).unwrap(), plain);
        let refused =
            |data: &[u8], plain_len| matches!(decompress(&as_zstd(data), plain_len), Err(CompressError::Frame));

        assert!(refused(&[&frame[..], b"x"].concat(), 1000), "trailing garbage");
        assert!(refused(&[&frame[..], &frame[..]].concat(), 2000), "two frames");
        let skippable = [&0x184D_2A50_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), b"x"].concat();
        assert!(refused(&[&skippable[..], &frame[..]].concat(), 1000), "skippable frame");
        assert!(refused(&skippable, 0), "skippable frame alone");
        assert!(refused(&[&frame[..], &skippable[..]].concat(), 1000), "skippable frame behind");
        assert!(refused(&frame[..frame.len() - 1], 1000), "cut short");
        assert!(refused(&[], 0), "nothing");

        let mut with_checksum = bulk::Compressor::new(3).unwrap();
        with_checksum.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
        assert!(refused(&with_checksum.compress(&plain).unwrap(), 1000), "checksum");
        let mut without_size = bulk::Compressor::new(3).unwrap();
        without_size.set_parameter(zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
        assert!(refused(&without_size.compress(&plain).unwrap(), 1000), "no content size");
    }

    #[test]
    fn an_unknown_codec_is_named() {
        assert!(matches!(decompress(&[], 0), Err(CompressError::Empty)));
        assert_eq!(decompress(&[2, 0], 1).unwrap_err().to_string(), "compression codec 2 is unknown");
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn what_was_compressed_comes_back(
            pieces in prop::collection::vec((any::<bool>(), 0_usize..60_000, any::<u8>()), 0..6),
            compression in prop::sample::select(&ALL[..4]),
        ) {
            let plain: Vec<u8> = pieces
                .iter()
                .flat_map(|&(random, len, seed)| if random { noise(seed, len) } else { text(len) })
                .collect();
            let block = block(&plain);
            let (mut sampling, mut trying) = (Compressor::new(compression), Compressor::new(compression));
            let (coded, fully) = (sampling.compress(&block), trying.compress_fully(&block));
            prop_assert!(coded.is_none_or(|coded| Some(coded) == fully));
            if let Some(fully) = fully {
                prop_assert!(fully.len() < CODEC_LEN + plain.len());
                prop_assert_eq!(decompress(fully, plain.len()).unwrap(), plain);
            }
        }

        #[test]
        fn damaged_frames_never_panic_nor_grow(
            at: prop::sample::Index, bit in 0_u32..8, len in 1_usize..2000, announced in 0_usize..3000,
        ) {
            let mut coded = as_zstd(&frame_of(&text(len)));
            let at = at.index(coded.len());
            coded[at] ^= 1 << bit;
            for announced in [announced, len] {
                if let Ok(plain) = decompress(&coded, announced) {
                    prop_assert_eq!(plain.len(), announced);
                }
            }
        }

        #[test]
        fn any_bytes_are_refused_or_give_the_announced_length(coded: Vec<u8>, announced in 0_usize..300) {
            if let Ok(plain) = decompress(&coded, announced) {
                prop_assert_eq!(plain.len(), announced);
            }
        }
    }
}
