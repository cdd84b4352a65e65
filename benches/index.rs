//! The local index of a large repository: how long it takes to build and to open, how fast it answers, and what memory
//! that takes, held against the bounds that caddis promises.
//!
//! `cargo bench --bench index` makes up 20 million chunks, `CADDIS_BENCH_CHUNKS=1000000` another number. The runs lie below
//! the target folder, about 1.5 GB while they are merged, and are removed at the end, also after Ctrl-C.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::convert::Infallible;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use caddis::format::index::{BlockRow, ChunkRow, PackKind, PackRow, SHORT_ID_LEN, Segment, ShortId};
use caddis::id::{PackId, PrincipalId, SegmentId};
use caddis::index::LocalIndex;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Chunks that a large repository has: some 400 GB of small files.
const CHUNKS: u64 = 20_000_000;
const CHUNKS_TO_TRY: u64 = 100_000;

/// The index of a repository of any size opens in this time.
const OPEN_MAX: Duration = Duration::from_millis(100);

/// No command takes more memory: so much, and more for each core.
const RSS_MAX_KIB: u64 = 200 << 10;
const RSS_MAX_KIB_PER_CORE: u64 = 32 << 10;

// Chunks of 16 KiB on average that compress to half: as a backup of source code or mail makes them.
const CHUNKS_PER_BLOCK: u64 = 32;
const BLOCKS_PER_PACK: u64 = 128;
const CHUNK_LEN: u32 = 16 << 10;
const SEALED_BLOCK_LEN: u32 = 256 << 10;
const PACK_LEN: u64 = 32 << 20;

/// What a session puts into a segment.
const PACKS_PER_SEGMENT: u64 = 4;
const CHUNKS_PER_SEGMENT: u64 = PACKS_PER_SEGMENT * BLOCKS_PER_PACK * CHUNKS_PER_BLOCK;

const OPENINGS: usize = 9;
const LOOKUPS: u64 = 400_000;
const KEY: [u8; 32] = [7; 32];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("index: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Each step is a process of its own, so that its peak is not that of the step before, and is cleaned up after however it
/// ends.
fn run() -> Result<()> {
    let (flags, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    // `cargo bench WORD` chooses by name among the benchmarks of all targets.
    if !words.is_empty() && !words.iter().any(|word| "index".contains(word.as_str())) {
        return Ok(());
    }
    // Without that flag it is `cargo test --all-targets`, which asks no more than whether it works.
    let usual = if flags.iter().any(|flag| flag == "--bench") { CHUNKS } else { CHUNKS_TO_TRY };
    let chunks = std::env::var("CADDIS_BENCH_CHUNKS").map_or(Ok(usual), |text| text.parse())?;
    if let Ok(folder) = std::env::var("CADDIS_BENCH_FOLDER") {
        let folder = folder.as_ref();
        return match std::env::var("CADDIS_BENCH_STEP")?.as_str() {
            "build" => build(folder, chunks),
            "open" => open_often(folder, chunks),
            _ => ask(folder, chunks),
        };
    }
    // Taken note of and nothing else: the step that runs ends by it, and this process goes on to clean up.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let folder = tempfile::Builder::new().prefix("index-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    for step in ["build", "open", "ask"] {
        let mut step_of_bench = Command::new(std::env::current_exe()?);
        step_of_bench.args(&flags).env("CADDIS_BENCH_FOLDER", folder.path()).env("CADDIS_BENCH_STEP", step);
        if !step_of_bench.status()?.success() {
            return Err(format!("step {step} failed").into());
        }
    }
    Ok(())
}

/// What a machine does that sees the repository for the first time, without what fetching costs.
fn build(folder: &Path, chunks: u64) -> Result<()> {
    let begin = Instant::now();
    let mut making = Duration::ZERO;
    LocalIndex::open(folder, &KEY, &segment_ids(chunks), &mut |id| {
        let begin = Instant::now();
        let made = segment(number_of(id), chunks);
        making += begin.elapsed();
        Ok::<_, Infallible>(made)
    })?;
    let took = begin.elapsed().saturating_sub(making);
    let bytes = fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum::<Result<u64>>()?;
    println!("index of {chunks} chunks in {} segments", segment_ids(chunks).len());
    println!("  built in    {:8.1} s    {:.1} bytes a chunk on disk", took.as_secs_f64(), ratio(bytes, chunks));
    expect_within_memory()
}

/// Opens what was built; nothing may be missing.
fn open(folder: &Path, chunks: u64) -> Result<LocalIndex> {
    let mut fetch = |_| Err(io::Error::from(io::ErrorKind::NotFound));
    let index = LocalIndex::open(folder, &KEY, &segment_ids(chunks), &mut fetch)?;
    let held = index.counts().chunks;
    if held == chunks { Ok(index) } else { Err(format!("the index has {held} chunks").into()) }
}

/// How every command begins.
fn open_often(folder: &Path, chunks: u64) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..OPENINGS {
        let begin = Instant::now();
        drop(black_box(open(folder, chunks)?));
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let median = times[OPENINGS / 2];
    println!("  opened in   {:8.1} ms   the slowest time in {:.1} ms", ms(median), ms(times[OPENINGS - 1]));
    if median > OPEN_MAX { Err(format!("it may take {:.0} ms", ms(OPEN_MAX)).into()) } else { Ok(()) }
}

/// How a command goes on that looks chunks up.
fn ask(folder: &Path, chunks: u64) -> Result<()> {
    let index = open(folder, chunks)?;
    let present: Vec<_> = (0..LOOKUPS).map(|n| short_id(scattered(n, chunks))).collect();
    let absent: Vec<_> = (0..LOOKUPS).map(|n| short_id(chunks + n)).collect();
    rate("hits", &index, &present, true)?;
    rate("misses", &index, &absent, false)?;
    expect_within_memory()
}

/// Looks up `ids` on one thread, then on all cores.
fn rate(what: &str, index: &LocalIndex, ids: &[ShortId], is_present: bool) -> Result<()> {
    let find_all = |ids: &[ShortId]| {
        ids.iter().try_for_each(|id| {
            let is_found = index.lookup(id, &|_| true).map_err(|error| error.to_string())?.is_some();
            if is_found == is_present { Ok(()) } else { Err(format!("among the {what}, {id:?} is not one")) }
        })
    };
    let cores = thread::available_parallelism()?.get();
    let begin = Instant::now();
    find_all(ids)?;
    let on_one = begin.elapsed();
    let begin = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = ids.chunks(ids.len().div_ceil(cores)).map(|ids| scope.spawn(|| find_all(ids))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())))
    })?;
    let on_all = begin.elapsed();
    let per_ms = |took: Duration| ids.len() as f64 / ms(took);
    println!("  {what:<11} {:8.0} k/s  on one thread, {:.0} k/s on {cores}", per_ms(on_one), per_ms(on_all));
    Ok(())
}

/// Prints the peak of this process, and fails if it is beyond the bound of every command.
fn expect_within_memory() -> Result<()> {
    let cores = u64::try_from(thread::available_parallelism()?.get())?;
    let bound = RSS_MAX_KIB + cores * RSS_MAX_KIB_PER_CORE;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak: u64 = peak.ok_or("the system does not say the peak of memory")?.parse()?;
    println!("  peak RSS    {:8.1} MiB  of {} MiB that a command may take", ratio(peak, 1 << 10), bound >> 10);
    if peak > bound { Err("too much memory".into()) } else { Ok(()) }
}

/// Names that say which segment it is.
fn segment_ids(chunks: u64) -> Vec<SegmentId> {
    (0..chunks.div_ceil(CHUNKS_PER_SEGMENT)).map(|number| SegmentId(numbered(number))).collect()
}

fn number_of(id: SegmentId) -> u64 {
    u64::from_be_bytes(*id.0.first_chunk().expect("an id is longer"))
}

fn segment(number: u64, chunks: u64) -> Segment {
    let first = number * CHUNKS_PER_SEGMENT;
    let count = (chunks - first).min(CHUNKS_PER_SEGMENT);
    let blocks = count.div_ceil(CHUNKS_PER_BLOCK);
    let small = |value: u64| u32::try_from(value).expect("a place within a segment");
    let pack = |nth| PackRow {
        id: PackId(*blake3::hash(&numbered(number * PACKS_PER_SEGMENT + nth)).as_bytes()),
        kind: PackKind::Data,
        bytes: PACK_LEN,
        generation: 0,
        encapsulation: numbered(nth),
        commitment: numbered(number),
        origin: PrincipalId(numbered(0)),
        proved: false,
    };
    let block = |nth| BlockRow {
        pack: small(nth / BLOCKS_PER_PACK),
        ordinal: small(nth % BLOCKS_PER_PACK),
        offset: small(nth % BLOCKS_PER_PACK) * SEALED_BLOCK_LEN,
        sealed_len: SEALED_BLOCK_LEN,
        plain_len: small(CHUNKS_PER_BLOCK) * CHUNK_LEN,
    };
    let chunk = |nth| ChunkRow {
        id: short_id(first + nth),
        block: small(nth / CHUNKS_PER_BLOCK),
        offset: small(nth % CHUNKS_PER_BLOCK) * CHUNK_LEN,
        len: CHUNK_LEN,
    };
    let mut chunks: Vec<_> = (0..count).map(chunk).collect();
    chunks.sort_unstable();
    Segment {
        packs: (0..blocks.div_ceil(BLOCKS_PER_PACK)).map(pack).collect(),
        blocks: (0..blocks).map(block).collect(),
        chunks,
    }
}

fn short_id(chunk: u64) -> ShortId {
    ShortId(*blake3::hash(&chunk.to_le_bytes()).as_bytes().first_chunk::<SHORT_ID_LEN>().expect("a hash is longer"))
}

/// The `n`th of many places below `limit` that lie far apart.
fn scattered(n: u64, limit: u64) -> u64 {
    // An odd constant near 2^64 / phi (Fibonacci hashing).
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % limit
}

fn numbered(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..size_of::<u64>()].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}
