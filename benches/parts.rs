//! The parts that a backup is made of, each by itself: cuts, hashes, seals, compression, trees, and the catalog.
//!
//! `cargo bench --bench parts`; a word behind `--` chooses benchmarks by name. The index has a benchmark of its own, and
//! `benches/compare` measures the whole program.

use std::hint::black_box;
use std::time::Duration;

use caddis::catalog::row::{Fingerprint, FolderIdentity, Next, PartReader, RowWriter};
use caddis::catalog::{Catalog, Changes, Outcome, RowKey, Rows};
use caddis::chunker::{Chunker, SizeClasses};
use caddis::error::Result;
use caddis::format::metadata::{Owner, Timestamp};
use caddis::format::name::{Name, TreePath};
use caddis::format::record::{Extras, decode, encode};
use caddis::format::tree::{Content, FolderChunk, Node, NodeKind, Piece, TreeConstants};
use caddis::id::ChunkId;
use caddis::keys::domain::{ChunkKind, DedupDomain};
use caddis::seal::aead::{BINDING_LEN, PackSealKey, RecordType, TAG_LEN, seal_record_to, unseal_record_to};
use caddis::seal::compress::{Compression, Compressor, RawBlock, decompress};
use caddis::source::EntryKind;
use caddis::tree::build::{ChunkSink, FolderBuilder};
use criterion::{BenchmarkId, Criterion, Throughput};
use zeroize::Zeroizing;

const FILE_LEN: usize = 16 << 20;
const BLOCK_LEN: usize = 1 << 20;

/// Folders in the catalog, and entries of each.
const FOLDERS: u32 = 1000;
const ENTRIES: u64 = 20;

/// Nodes of a leaf and of a large folder.
const LEAF_NODES: u64 = 64;
const FOLDER_NODES: u64 = 10_000;

fn main() {
    // Short: differences below a few percent are lost in the noise of most machines anyway.
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    chunker(&mut criterion);
    chunk_id(&mut criterion);
    seal(&mut criterion);
    compress(&mut criterion);
    tree(&mut criterion);
    row(&mut criterion);
    catalog(&mut criterion);
    criterion.final_summary();
}

fn chunker(criterion: &mut Criterion) {
    let chunker = Chunker::new(&domain().chunker_key(), SizeClasses::DEFAULT);
    let mut group = criterion.benchmark_group("chunker");
    group.throughput(Throughput::Bytes(FILE_LEN as u64));
    for (kind, data) in [("random", noise(FILE_LEN)), ("text", text(FILE_LEN))] {
        group.bench_function(kind, |bencher| bencher.iter(|| cuts(&chunker, black_box(&data))));
    }
}

/// How many chunks a file has.
fn cuts(chunker: &Chunker, mut data: &[u8]) -> usize {
    let (mut offset, mut count) = (0, 0);
    while let Some(len) = chunker.cut(offset, data, true) {
        data = &data[len..];
        offset += len as u64;
        count += 1;
    }
    count
}

fn chunk_id(criterion: &mut Criterion) {
    let (domain, data) = (domain(), noise(512 << 10));
    let mut group = criterion.benchmark_group("chunk id");
    for kib in [4_usize, 16, 64, 512] {
        let chunk = &data[..kib << 10];
        group.throughput(Throughput::Bytes(chunk.len() as u64));
        let id = BenchmarkId::from_parameter(format_args!("{kib} KiB"));
        group.bench_function(id, |bencher| bencher.iter(|| domain.chunk_id(ChunkKind::Data, black_box(chunk))));
    }
}

fn seal(criterion: &mut Criterion) {
    const RECORD: RecordType = RecordType::Block;
    let (key, binding) = (PackSealKey::new([1; 32]), [2; BINDING_LEN]);
    let mut plain = noise(BLOCK_LEN);
    let mut sealed = vec![0; BLOCK_LEN + TAG_LEN];
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Bytes(BLOCK_LEN as u64));
    // The ordinal repeats, which it never may where anything is kept.
    let mut seal = || seal_record_to(&key, &binding, RECORD, 0, false, &plain, &mut sealed);
    // Here as well, for when only the other way is measured.
    seal();
    group.bench_function("seal 1 MiB", |bencher| bencher.iter(&mut seal));
    let mut unseal = || unseal_record_to(&key, &binding, RECORD, 0, false, &sealed, &mut plain);
    unseal().expect("it was sealed just now");
    group.bench_function("unseal 1 MiB", |bencher| bencher.iter(&mut unseal));
}

fn compress(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    group.throughput(Throughput::Bytes(BLOCK_LEN as u64));
    let mut compressor = Compressor::new(Compression::Auto);
    for (kind, data) in [("random", noise(BLOCK_LEN)), ("text", text(BLOCK_LEN))] {
        let mut block = RawBlock::with_capacity(BLOCK_LEN);
        block.push(&data);
        let mut small = || compressor.compress(black_box(&block)).map(<[u8]>::len);
        group.bench_function(BenchmarkId::new("compress", kind), |bencher| bencher.iter(&mut small));
        let coded = compressor.compress(&block).map(<[u8]>::to_vec);
        let coded = coded.unwrap_or_else(|| block.coded_part(0..BLOCK_LEN).to_vec());
        group.bench_function(BenchmarkId::new("decompress", kind), |bencher| {
            bencher.iter(|| decompress(black_box(&coded), BLOCK_LEN).expect("it was compressed just now"));
        });
    }
}

fn tree(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree");
    let leaf = FolderChunk::Leaf((0..LEAF_NODES).map(node).collect());
    let bytes = encode(&leaf);
    group.throughput(Throughput::Elements(LEAF_NODES));
    group.bench_function("encode a leaf", |bencher| bencher.iter(|| encode(black_box(&leaf))));
    group.bench_function("decode a leaf", |bencher| {
        bencher.iter(|| decode::<FolderChunk>(black_box(&bytes)).expect("it was encoded just now"));
    });
    let nodes: Vec<Node> = (0..FOLDER_NODES).map(node).collect();
    let mut sink = Forgetful(domain());
    group.throughput(Throughput::Elements(FOLDER_NODES));
    group.bench_function("build a folder", |bencher| bencher.iter(|| folder(black_box(&nodes), &mut sink)));
}

fn folder(nodes: &[Node], sink: &mut Forgetful) -> ChunkId {
    let mut folder = FolderBuilder::default();
    let pushed = nodes.iter().try_for_each(|node| folder.push(node, sink));
    pushed.and_then(|()| folder.finish(sink)).expect("nothing is stored, so that nothing can fail")
}

/// Names chunks and keeps none.
struct Forgetful(DedupDomain);

impl ChunkSink for Forgetful {
    fn store_chunk(&mut self, kind: ChunkKind, plain: &[u8]) -> Result<ChunkId> {
        Ok(self.0.chunk_id(kind, plain))
    }

    fn domain(&self) -> &DedupDomain {
        &self.0
    }

    fn constants(&self) -> &TreeConstants {
        &TreeConstants::DEFAULT
    }
}

fn row(criterion: &mut Criterion) {
    let listing = listing(1000);
    let parts = write_row(1, &listing);
    let mut group = criterion.benchmark_group("row");
    group.throughput(Throughput::Elements(listing.len() as u64));
    group.bench_function("write", |bencher| bencher.iter(|| write_row(black_box(1), &listing)));
    group.bench_function("compare", |bencher| {
        bencher.iter(|| {
            let parts = (0..).zip(black_box(&parts).iter().cloned());
            parts
                .map(|(number, part)| read_part(part, number))
                .fold(0, |from, mut part| from + unchanged(&mut part, &listing[from..]))
        });
    });
}

/// A backup of an unchanged tree, without looking at the tree: each folder's row is read, proved and compared.
fn catalog(criterion: &mut Criterion) {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let listing = listing(ENTRIES);
    let keys: Vec<_> = (0..FOLDERS).map(key).collect();
    let all = key_of(b"home");
    let open = || Catalog::open(place.path(), [5; 32]).expect("a catalog is made where there is none");
    let save = || {
        let mut changes = Changes::new(place.path());
        for (key, number) in keys.iter().zip(0..) {
            for (part, bytes) in (0..).zip(write_row(number, &listing)) {
                changes.put(key, part, number, bytes);
            }
        }
        let outcome = Outcome::Committed { sources: vec![all.clone()], packs: Default::default(), items: 0, bytes: 0 };
        open().save(changes, &outcome, &[]).expect("nobody else is busy with it");
    };
    save();
    let mut group = criterion.benchmark_group("catalog");
    group.throughput(Throughput::Elements(u64::from(FOLDERS) * ENTRIES));
    group.bench_function("save 1000 folders", |bencher| bencher.iter(save));
    let catalog = open();
    let compare = || {
        let mut rows = Rows::below(&all);
        let in_folder = |key| {
            let mut part = rows.seek(&catalog, key, |_| ()).expect("it was saved just now");
            unchanged(&mut part.reader, &listing)
        };
        let entries: usize = keys.iter().map(in_folder).sum();
        assert_eq!(entries as u64, u64::from(FOLDERS) * ENTRIES);
    };
    group.bench_function("compare 1000 folders", |bencher| bencher.iter(compare));
}

/// Entries as a look at the folder shows them, with the nodes that they have become.
fn listing(entries: u64) -> Vec<(Name, Fingerprint, Vec<u8>)> {
    let of_node = |number| {
        let node = node(number);
        let print = Fingerprint {
            kind: EntryKind::File,
            size: number,
            mtime: node.mtime.unwrap_or_default(),
            ctime: node.mtime.unwrap_or_default(),
            ino: number,
            birth: None,
        };
        (node.name.clone(), print, encode(&node))
    };
    (0..entries).map(of_node).collect()
}

fn write_row(stamp: u64, listing: &[(Name, Fingerprint, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut writer = RowWriter::new(stamp, &FolderIdentity { file_system: 1, ino: stamp, birth: None });
    let mut parts: Vec<_> =
        listing.iter().filter_map(|(name, print, node)| writer.push(name, print, true, node)).collect();
    parts.push(writer.finish(&ChunkId([9; 32])));
    parts
}

fn read_part(part: Vec<u8>, number: u32) -> PartReader {
    PartReader::new(part, number).expect("the part was written just now")
}

/// How many entries of `listing` the part begins with, and all of them unchanged.
fn unchanged(part: &mut PartReader, listing: &[(Name, Fingerprint, Vec<u8>)]) -> usize {
    let is_known = |(name, print, _): &&(Name, Fingerprint, Vec<u8>)| match part.peek() {
        Ok(Next::Entry(entry)) if entry.name == name.as_bytes() && entry.print == *print && entry.trusted => {
            part.skip().is_ok()
        }
        _ => false,
    };
    listing.iter().take_while(is_known).count()
}

fn key(folder: u32) -> RowKey {
    key_of(format!("home/folder {folder:06}").as_bytes())
}

fn key_of(path: &[u8]) -> RowKey {
    TreePath::from_bytes(path).ok().and_then(|path| RowKey::of(&path)).expect("the path is a short one")
}

/// A file of two chunks.
fn node(number: u64) -> Node {
    let piece = |half| Piece::Chunk { id: some_id(2 * number + half), len: 10_000 };
    Node {
        name: Name::new(format!("file {number:08}.txt").into_bytes()).expect("it is a name"),
        kind: NodeKind::File { size: 20_000, content: Content::Pieces(vec![piece(0), piece(1)]), changed: false },
        mode: 0o644,
        owner: Owner { uid: 1000, gid: 1000, user: Some(b"user".to_vec()), group: Some(b"user".to_vec()) },
        mtime: Some(Timestamp { secs: 1_700_000_000, nanos: 123_456_789 }),
        xattrs: Vec::new(),
        extras: Extras::default(),
    }
}

fn some_id(number: u64) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn domain() -> DedupDomain {
    DedupDomain::from_secret(Zeroizing::new([3; 32]))
}

/// Bytes that nothing compresses.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Words of a small language, common ones more often; zstd makes a third of it.
fn text(len: usize) -> Vec<u8> {
    let letters = noise(3 * len / 2);
    let word = |index: usize| {
        let from = index * 11;
        letters[from..from + 2 + index % 8].iter().map(|byte| b'a' + byte % 26).chain(*b" ")
    };
    let random = letters.chunks_exact(4).map(|pair| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| usize::from(pair[at]));
        (a * b + c % 32) * (d % 4 + 1) / 32
    });
    random.flat_map(word).take(len).collect()
}
