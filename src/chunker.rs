//! Content-defined cuts: where a file is split into chunks, decided by its bytes and the repository's secret.
//!
//! FastCDC with normalised chunking (Xia et al., USENIX ATC 2016) and two bytes per step (Xia et al., IEEE TPDS 2020),
//! over a gear table drawn from a key, so that lengths of chunks cannot be compared with those of a known file without
//! it. (Who can have chosen files backed up and sees their lengths learns about the table; the padding of packs keeps
//! lengths from the host.) Pure: no I/O, no clock.
//!
//! What every version must keep, because a cut that moves is a chunk stored twice:
//!
//! - The gear table is the first 2048 bytes of the BLAKE3 keyed XOF over `caddis chunker gear table v1`, as 256
//!   little-endian `u64`, bit 62 of each cleared.
//! - The hash at length `n` of a chunk is the sum of `gear[byte n-1-i] << i`, modulo 2^64, for `i` from 0 to 63. It
//!   sees 64 bytes and no more, also at the smallest length, since it starts that far before it: a cut depends on the
//!   bytes just before it, and on the start of its chunk only through the bounds. (Starting at the smallest length, as
//!   the paper does, saves under half a percent of the hashing by default, but the first cuts then see fewer bytes.)
//! - A chunk ends at the first length from `min` on where the `k` bits from 62 downward are zero: `k` is
//!   log2(`average`) + 2 for lengths below `average` and log2(`average`) - 2 from there on; failing that, at `max`.
//! - The class (`min`, `average`, `max`) is chosen by the offset in the file at which the chunk starts, so growth never
//!   moves an earlier cut and a stream of unknown length is cut as the file would be.
//!
//! The tested bits lie side by side at the top. The paper spreads them so that more bytes take part; but bit `b` of a
//! gear hash depends on the last `b + 1` bytes, so at the top even the lowest of 25 bits sees 39 bytes, while the
//! spread masks of the reference code reach down to bit 16. And masks that nest make every strict cut a loose one too,
//! which helps cuts to fall into step again. Bit 63 stays out: the step of two bytes shifts it away before its test.

use std::borrow::Cow;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes in the largest chunk that any class may allow.
pub const CHUNK_BYTES_MAX: u32 = 8 << 20;

/// Bytes in the smallest chunk that any class may ask for: the hash needs so many before the first possible cut.
pub const CHUNK_BYTES_MIN: u32 = 64;

/// Classes in one table; a bound for decoders rather than a need.
pub const CLASSES_MAX: usize = 16;

/// Domain of the gear table, so that a key used elsewhere by mistake still gives other bytes.
const GEAR_DOMAIN: &[u8] = b"caddis chunker gear table v1";

/// Bytes that the rolling hash sees: it shifts by one bit per byte.
const WINDOW: usize = u64::BITS as usize;

/// The highest bit that is tested.
const TOP_BIT: u32 = u64::BITS - 2;

/// Bits tested more below the average and fewer above it. Level 2 is what the paper settles on: most chunks lie
/// between one and one and a half times the average, and few are cut by force at the largest size.
const NORMALISATION: u32 = 2;

/// Bytes per turn of the scan; an array of known length, so that a turn is unrolled and nothing in it bounds-checked.
const STEP: usize = 16;

/// The secret from which the gear table is drawn.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ChunkerKey([u8; blake3::KEY_LEN]);

impl ChunkerKey {
    /// Takes over 32 bytes that are used for nothing else.
    pub fn new(bytes: [u8; blake3::KEY_LEN]) -> Self {
        Self(bytes)
    }
}

/// Bounds in bytes for chunks that start at `from_offset` of their file or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeClass {
    /// Offset in the file from which this class holds, until the next one does.
    pub from_offset: u64,
    /// No chunk is shorter, except the last of a file.
    pub min: u32,
    /// Where cuts become likely; a power of two. On random data the mean is 1.14 times this if `min` is a quarter.
    pub average: u32,
    /// No chunk is longer.
    pub max: u32,
}

impl SizeClass {
    fn has_valid_sizes(&self) -> bool {
        CHUNK_BYTES_MIN <= self.min
            && self.min <= self.average
            && self.average <= self.max
            && self.max <= CHUNK_BYTES_MAX
            && self.average.is_power_of_two()
    }

    fn strict_mask(&self) -> u64 {
        top_bits(self.average.ilog2() + NORMALISATION)
    }

    fn loose_mask(&self) -> u64 {
        top_bits(self.average.ilog2() - NORMALISATION)
    }
}

/// Why a table of classes is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassesError {
    /// There must be 1 to [`CLASSES_MAX`].
    #[error("{count} chunk size classes, where 1 to {CLASSES_MAX} are allowed")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// A file starts at 0, so a class must.
    #[error("the first chunk size class starts at {from_offset}, not at 0")]
    First {
        /// Where it starts.
        from_offset: u64,
    },
    /// Each class must start after the one before.
    #[error("chunk size class {position} does not start after the one before")]
    Order {
        /// Position in the table, from 0.
        position: usize,
    },
    /// The sizes must be ordered and within the limits, and the average a power of two.
    #[error(
        "chunk size class {position} is not {CHUNK_BYTES_MIN} <= min <= average <= max <= {CHUNK_BYTES_MAX} \
         with a power of two as average"
    )]
    Sizes {
        /// Position in the table, from 0.
        position: usize,
    },
}

/// A valid table of classes: which sizes hold from which offset on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeClasses(Cow<'static, [SizeClass]>);

impl SizeClasses {
    /// Fine chunks where histories of small files lie, coarse ones where the index of large files must stay small; measured
    /// in caddis-format(5), "SIZES".
    pub const DEFAULT: Self = Self(Cow::Borrowed(&[
        SizeClass { from_offset: 0, min: 2 << 10, average: 8 << 10, max: 32 << 10 },
        SizeClass { from_offset: 8 << 20, min: 8 << 10, average: 32 << 10, max: 128 << 10 },
        SizeClass { from_offset: 256 << 20, min: 16 << 10, average: 64 << 10, max: 256 << 10 },
        SizeClass { from_offset: 4 << 30, min: 32 << 10, average: 128 << 10, max: 512 << 10 },
    ]));

    /// Checks a table, in order of offsets.
    ///
    /// # Errors
    /// [`ClassesError`] names the first rule that is broken.
    pub fn new(classes: Vec<SizeClass>) -> Result<Self, ClassesError> {
        let first = match classes.first() {
            Some(first) if classes.len() <= CLASSES_MAX => first,
            _ => return Err(ClassesError::Count { count: classes.len() }),
        };
        if first.from_offset != 0 {
            return Err(ClassesError::First { from_offset: first.from_offset });
        }
        if let Some(before) = classes.windows(2).position(|pair| pair[0].from_offset >= pair[1].from_offset) {
            return Err(ClassesError::Order { position: before + 1 });
        }
        if let Some(position) = classes.iter().position(|class| !class.has_valid_sizes()) {
            return Err(ClassesError::Sizes { position });
        }
        Ok(Self(Cow::Owned(classes)))
    }

    /// The table, in order of offsets, as it stands in `config`.
    pub fn as_slice(&self) -> &[SizeClass] {
        &self.0
    }

    /// The class of a chunk that starts at `offset` of its file.
    pub fn class_at(&self, offset: u64) -> &SizeClass {
        let reached = self.0.iter().take_while(|class| class.from_offset <= offset);
        reached.last().expect("a table is not empty and its first class starts at 0")
    }

    /// Bytes in the largest chunk of any class: with so many at hand, [`Chunker::cut`] always decides.
    pub fn max_chunk(&self) -> u32 {
        self.0.iter().map(|class| class.max).fold(0, u32::max)
    }
}

impl Default for SizeClasses {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Decides where files are cut; one per repository, shared by all workers.
pub struct Chunker {
    // Boxed, so that moving a chunker leaves no copy of the secret tables behind.
    gear: Box<Gear>,
    classes: SizeClasses,
}

impl Chunker {
    /// Draws the gear table from `key`.
    pub fn new(key: &ChunkerKey, classes: SizeClasses) -> Self {
        Self { gear: Gear::draw(key), classes }
    }

    /// The classes that the chunker was made with.
    pub fn classes(&self) -> &SizeClasses {
        &self.classes
    }

    /// Length of the chunk that starts at `offset` of the file.
    ///
    /// `data` is what follows from there, as far as it is at hand; `end` says that the file ends with it, so that the
    /// rest is a chunk. `None` means that more is needed to decide, or that `data` is empty; with
    /// [`SizeClasses::max_chunk`] bytes it is always enough. The answer is never 0, and the same whatever follows the
    /// chunk in `data`. Nothing is kept between calls, so asking again after each small read scans bytes again.
    pub fn cut(&self, offset: u64, data: &[u8], end: bool) -> Option<usize> {
        let class = self.classes.class_at(offset);
        let [min, average, max] = [class.min, class.average, class.max].map(|size| size as usize);
        let within = &data[..data.len().min(max)];

        // The byte that completes a length `n` lies at `n - 1`.
        let (warm_up, rest) = within.split_at_checked(min - 1).unwrap_or((within, &[]));
        let (below, above) = rest.split_at_checked(average - min).unwrap_or((rest, &[]));
        if rest.is_empty() {
            return (end && !data.is_empty()).then_some(data.len());
        }

        let mut hash = self.gear.roll(&warm_up[min - WINDOW..]);
        if let Some(taken) = self.gear.scan(&mut hash, below, class.strict_mask()) {
            return Some(warm_up.len() + taken);
        }
        if let Some(taken) = self.gear.scan(&mut hash, above, class.loose_mask()) {
            return Some(warm_up.len() + below.len() + taken);
        }
        (end || within.len() == max).then_some(within.len())
    }
}

/// A pseudo-random number for each byte value; as secret as the key.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Gear {
    single: [u64; 256],
    /// The same, shifted by one bit, for the first byte of a pair.
    double: [u64; 256],
}

impl Gear {
    fn draw(key: &ChunkerKey) -> Box<Self> {
        let mut hasher = blake3::Hasher::new_keyed(&key.0);
        let mut stream = hasher.update(GEAR_DOMAIN).finalize_xof();
        let mut gear = Box::new(Self { single: [0; 256], double: [0; 256] });
        let mut bytes = Zeroizing::new([0; size_of::<u64>()]);
        let Self { single, double } = &mut *gear;
        for (single, double) in single.iter_mut().zip(double) {
            stream.fill(bytes.as_mut());
            // A run of one byte value has the hash `-gear`. With this bit clear, that one has it set and is never cut
            // before the largest size; else zeros would end in small chunks in one of 4096 repositories.
            *single = u64::from_le_bytes(*bytes) & !(1 << TOP_BIT);
            *double = *single << 1;
        }
        gear
    }

    /// The hash after `bytes`, from nothing.
    fn roll(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |hash: u64, &byte| (hash << 1).wrapping_add(self.single[usize::from(byte)]))
    }

    /// Rolls `hash` over `bytes` up to the first place where all bits of `mask` are zero.
    ///
    /// Returns how many bytes lie before that place, at least 1. `hash` goes on from there only when nothing was found.
    #[inline]
    fn scan(&self, hash: &mut u64, bytes: &[u8], mask: u64) -> Option<usize> {
        let mut rolled = *hash;
        let (steps, rest) = bytes.as_chunks::<STEP>();
        for (step, bytes) in steps.iter().enumerate() {
            for (pair, &[first, second]) in bytes.as_chunks::<2>().0.iter().enumerate() {
                // After the first byte `rolled` is one shift ahead of the hash, and so is its mask: one shift per pair.
                rolled = (rolled << 2).wrapping_add(self.double[usize::from(first)]);
                if rolled & (mask << 1) == 0 {
                    return Some(step * STEP + pair * 2 + 1);
                }
                rolled = rolled.wrapping_add(self.single[usize::from(second)]);
                if rolled & mask == 0 {
                    return Some(step * STEP + pair * 2 + 2);
                }
            }
        }
        for (at, &byte) in rest.iter().enumerate() {
            rolled = (rolled << 1).wrapping_add(self.single[usize::from(byte)]);
            if rolled & mask == 0 {
                return Some(steps.len() * STEP + at + 1);
            }
        }
        *hash = rolled;
        None
    }
}

/// The mask of the `count` bits from [`TOP_BIT`] downward.
const fn top_bits(count: u32) -> u64 {
    ((1 << count) - 1) << (TOP_BIT + 1 - count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn class(from_offset: u64, min: u32, average: u32, max: u32) -> SizeClass {
        SizeClass { from_offset, min, average, max }
    }

    fn small_classes() -> SizeClasses {
        let table = vec![class(0, 64, 128, 512), class(2000, 128, 256, 1024), class(8000, 250, 512, 3001)];
        SizeClasses::new(table).unwrap()
    }

    fn chunker(key: u8, classes: SizeClasses) -> Chunker {
        Chunker::new(&ChunkerKey::new([key; 32]), classes)
    }

    fn pseudo_random(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn chunks<'a>(chunker: &Chunker, data: &'a [u8]) -> Vec<&'a [u8]> {
        let mut rest = data;
        let mut chunks = Vec::new();
        let mut offset = 0;
        while let Some(len) = chunker.cut(offset, rest, true) {
            let (chunk, after) = rest.split_at(len);
            chunks.push(chunk);
            offset += u64::try_from(len).unwrap();
            rest = after;
        }
        chunks
    }

    fn lengths(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
        chunks(chunker, data).iter().map(|chunk| chunk.len()).collect()
    }

    /// The rule at the top of this file, word by word.
    fn cut_by_definition(chunker: &Chunker, offset: u64, data: &[u8]) -> usize {
        let class = chunker.classes().class_at(offset);
        let [min, average, max] = [class.min, class.average, class.max].map(|size| size as usize);
        let ends = |n: &usize| {
            let mut hash = 0_u64;
            for i in 0..64 {
                hash = hash.wrapping_add(chunker.gear.single[usize::from(data[n - 1 - i])] << i);
            }
            let tested = if *n < average { class.average.ilog2() + 2 } else { class.average.ilog2() - 2 };
            (0..tested).all(|bit| hash >> (62 - bit) & 1 == 0)
        };
        let limit = max.min(data.len());
        (min..=limit).find(ends).unwrap_or(limit)
    }

    /// Stretches of random bytes over alphabets of different sizes, down to runs of one byte.
    fn some_data() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((any::<u64>(), 0_usize..4000, 1_u8..=u8::MAX), 0..6).prop_map(|stretches| {
            let stretch = |(seed, len, letters): (u64, usize, u8)| {
                pseudo_random(seed, len).into_iter().map(move |byte| byte % letters)
            };
            stretches.into_iter().flat_map(stretch).collect()
        })
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn chunks_joined_equal_the_input_and_keep_to_their_class(key: u8, data in some_data()) {
            let chunker = chunker(key, small_classes());
            let chunks = chunks(&chunker, &data);
            prop_assert_eq!(chunks.concat(), &data[..]);
            let mut offset = 0;
            for (position, chunk) in chunks.iter().enumerate() {
                let class = chunker.classes().class_at(offset);
                prop_assert!(!chunk.is_empty() && chunk.len() <= class.max as usize);
                prop_assert!(chunk.len() >= class.min as usize || position == chunks.len() - 1);
                offset += chunk.len() as u64;
            }
        }

        #[test]
        fn cuts_are_those_of_the_written_definition(key: u8, data in some_data()) {
            let chunker = chunker(key, small_classes());
            let mut at = 0;
            for len in lengths(&chunker, &data) {
                prop_assert_eq!(len, cut_by_definition(&chunker, at as u64, &data[at..]));
                at += len;
            }
        }

        #[test]
        fn a_cut_needs_the_bytes_of_its_chunk_and_no_more(key: u8, data in some_data()) {
            let chunker = chunker(key, small_classes());
            let lengths = lengths(&chunker, &data);
            let mut at = 0;
            for &len in lengths.iter().take(lengths.len().saturating_sub(1)) {
                let offset = at as u64;
                prop_assert_eq!(chunker.cut(offset, &data[at..], false), Some(len));
                prop_assert_eq!(chunker.cut(offset, &data[at..at + len], false), Some(len));
                prop_assert_eq!(chunker.cut(offset, &data[at..at + len], true), Some(len));
                prop_assert_eq!(chunker.cut(offset, &data[at..at + len - 1], false), None);
                prop_assert_eq!(chunker.cut(offset, &data[at..at + len - 1], true), Some(len - 1));
                at += len;
            }
        }

        #[test]
        fn cuts_do_not_depend_on_the_sizes_of_the_reads(
            data in some_data(),
            reads in prop::collection::vec(1_usize..1500, 1..20),
        ) {
            let chunker = chunker(1, small_classes());
            let mut reads = reads.into_iter().cycle();
            let (mut start, mut read) = (0, 0);
            let mut found = Vec::new();
            while start < data.len() {
                match chunker.cut(start as u64, &data[start..read], read == data.len()) {
                    Some(len) => {
                        found.push(len);
                        start += len;
                    }
                    None => read = data.len().min(read + reads.next().unwrap()),
                }
            }
            prop_assert_eq!(found, lengths(&chunker, &data));
        }

        #[test]
        fn appending_moves_no_cut_but_the_last(key: u8, data in some_data(), more in some_data()) {
            let chunker = chunker(key, small_classes());
            let before = lengths(&chunker, &data);
            let after = lengths(&chunker, &[data, more].concat());
            let kept = before.len().saturating_sub(1);
            prop_assert_eq!(&before[..kept], &after[..kept]);
        }
    }

    #[test]
    fn an_edit_moves_only_cuts_near_it() {
        const LEN: usize = 4 << 20;
        let original = pseudo_random(1, LEN);
        for place in [100, 70_000, LEN / 2] {
            let (before, after) = original.split_at(place);
            let edits = [
                ("insertion", [before, &[42], after].concat()),
                ("deletion", [before, &after[1..]].concat()),
                ("overwriting", [before, &[!after[0]], &after[1..]].concat()),
                ("a page inserted", [before, &pseudo_random(2, 4096), after].concat()),
            ];
            for (edit, edited) in edits {
                for key in 0..4 {
                    let chunker = chunker(key, SizeClasses::DEFAULT);
                    let known: HashSet<_> = chunks(&chunker, &original).into_iter().collect();
                    let chunks = chunks(&chunker, &edited);
                    let new: usize =
                        chunks.iter().filter(|chunk| !known.contains(*chunk)).map(|chunk| chunk.len()).sum();
                    assert!(new > 0 && new < LEN / 20, "{edit} at {place} under key {key}: {new} new bytes");
                }
            }
        }
    }

    #[test]
    fn two_keys_cut_at_different_places() {
        let data = pseudo_random(1, 4 << 20);
        let ends = |key| -> HashSet<_> {
            let lengths = lengths(&chunker(key, SizeClasses::DEFAULT), &data);
            lengths
                .iter()
                .scan(0, |end, len| {
                    *end += len;
                    Some(*end)
                })
                .collect()
        };
        let (one, other) = (ends(1), ends(2));
        assert!(one.len() > 100);
        assert!(one.intersection(&other).eq([&data.len()]), "only the end of the data is common");
    }

    #[test]
    fn the_mean_length_on_random_data_is_near_the_average() {
        let data = pseudo_random(1, 48 << 20);
        for &class in SizeClasses::DEFAULT.as_slice() {
            let classes = SizeClasses::new(vec![SizeClass { from_offset: 0, ..class }]).unwrap();
            let average = class.average as usize;
            let mean = data.len() / lengths(&chunker(7, classes), &data).len();
            assert!(mean.abs_diff(average) < average / 4, "{mean} for {average}");
        }
    }

    #[test]
    fn a_run_of_one_byte_value_is_cut_at_the_largest_size_under_any_key() {
        for key in 0..8 {
            let chunker = chunker(key, SizeClasses::new(vec![class(0, 64, 64, 256)]).unwrap());
            for value in 0..=u8::MAX {
                assert_eq!(lengths(&chunker, &[value; 600]), [256, 256, 88], "{value} under key {key}");
            }
        }
        assert_eq!(
            lengths(&chunker(1, SizeClasses::DEFAULT), &[0; 100 << 10]),
            [32 << 10, 32 << 10, 32 << 10, 4 << 10]
        );
    }

    #[test]
    fn nothing_is_cut_from_nothing_and_a_short_rest_is_one_chunk() {
        let chunker = chunker(1, SizeClasses::DEFAULT);
        for offset in [0, 8 << 20, u64::MAX] {
            assert_eq!(chunker.cut(offset, &[], true), None);
            assert_eq!(chunker.cut(offset, &[], false), None);
            assert_eq!(chunker.cut(offset, &[1], false), None);
            assert_eq!(chunker.cut(offset, &[1], true), Some(1));
        }
    }

    #[test]
    fn cuts_never_change_between_versions() {
        let classes = vec![class(0, 256, 1024, 4096), class(16 << 10, 1024, 4096, 16384)];
        let key = ChunkerKey::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let chunker = Chunker::new(&key, SizeClasses::new(classes).unwrap());
        assert_eq!(chunker.gear.single[0], 0xbb9013f627676ec0);
        assert_eq!(chunker.gear.single[255], 0x875dbc03c3d00ce6);
        let expected = [
            1252, 1079, 1137, 1318, 1252, 1053, 1038, 1185, 550, 554, 1061, 1170, 1193, 1918, 622, 1143, 4206, 4349,
            4723, 4598, 3913, 5308, 5191, 4211, 2081, 4178, 4493, 760,
        ];
        assert_eq!(lengths(&chunker, &pseudo_random(0, 64 << 10)), expected);

        let mut all = blake3::Hasher::new();
        for len in lengths(&Chunker::new(&key, SizeClasses::DEFAULT), &pseudo_random(0, 16 << 20)) {
            all.update(&u32::try_from(len).unwrap().to_le_bytes());
        }
        assert_eq!(
            all.finalize().to_hex().as_str(),
            "5fc39215cb49da5632f68e4ba53f2c89bf9c1cce30a57d6ecb8927bda705c0b1"
        );
    }

    #[test]
    fn the_class_is_that_of_the_last_offset_reached() {
        let classes = small_classes();
        let mins = [0, 1999, 2000, 7999, 8000, u64::MAX].map(|offset| classes.class_at(offset).min);
        assert_eq!(mins, [64, 64, 128, 128, 250, 250]);
        assert_eq!(classes.max_chunk(), 3001);
    }

    #[test]
    fn the_default_classes_are_valid() {
        assert_eq!(SizeClasses::new(SizeClasses::DEFAULT.as_slice().to_vec()), Ok(SizeClasses::default()));
    }

    #[test]
    fn classes_without_a_class_or_with_too_many_are_refused() {
        assert_eq!(SizeClasses::new(Vec::new()), Err(ClassesError::Count { count: 0 }));
        let many = |count: u64| (0..count).map(|offset| class(offset, 64, 64, 64)).collect();
        assert!(SizeClasses::new(many(16)).is_ok());
        assert_eq!(SizeClasses::new(many(17)), Err(ClassesError::Count { count: 17 }));
    }

    #[test]
    fn classes_out_of_order_are_refused() {
        let at = |offsets: &[u64]| SizeClasses::new(offsets.iter().map(|&offset| class(offset, 64, 64, 64)).collect());
        assert_eq!(at(&[1]), Err(ClassesError::First { from_offset: 1 }));
        assert_eq!(at(&[0, 5, 5]), Err(ClassesError::Order { position: 2 }));
        assert_eq!(at(&[0, 5, 4]), Err(ClassesError::Order { position: 2 }));
        assert!(at(&[0, 5, u64::MAX]).is_ok());
    }

    #[test]
    fn classes_with_impossible_sizes_are_refused() {
        let sizes = |min, average, max| SizeClasses::new(vec![class(0, 64, 64, 64), class(1, min, average, max)]);
        for (min, average, max) in [
            (63, 64, 64),
            (0, 0, 0),
            (65, 64, 128),
            (64, 256, 255),
            (64, 96, 128),
            (64, 64, CHUNK_BYTES_MAX + 1),
            (u32::MAX, u32::MAX, u32::MAX),
        ] {
            assert_eq!(sizes(min, average, max), Err(ClassesError::Sizes { position: 1 }), "{min} {average} {max}");
        }
        assert!(sizes(CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX).is_ok());
    }

    #[test]
    fn a_refused_table_is_named_with_its_rule() {
        let message = |error: ClassesError| error.to_string();
        assert_eq!(message(ClassesError::Count { count: 17 }), "17 chunk size classes, where 1 to 16 are allowed");
        assert_eq!(
            message(ClassesError::Sizes { position: 1 }),
            "chunk size class 1 is not 64 <= min <= average <= max <= 8388608 with a power of two as average"
        );
    }

    #[test]
    fn workers_can_share_a_chunker() {
        fn shared<T: Send + Sync>() {}
        shared::<Chunker>();
    }
}
