//! Writes the seed corpus: what the real encoders make, a few small inputs for each target.

use std::fs;
use std::path::Path;

use caddis::catalog::row::{Fingerprint, FolderIdentity, RowWriter};
use caddis::chunker::SizeClasses;
use caddis::format::charter::{
    AccessStatement, Bundle, Escrow, Frame, GenerationStatement, LimitedGeneration, PrincipalStatement, SealedUnder,
    StatementKind,
};
use caddis::format::config::{self, Config, OwnerKeys};
use caddis::format::index::{BlockRow, ChunkRow, PackKind, PackRow, Segment, ShortId};
use caddis::format::link::{BirthChunk, Births, LinkChunk, LinkGroup};
use caddis::format::log::{Forgotten, Gc, Void};
use caddis::format::metadata::{Owner, Timestamp};
use caddis::format::name::{Name, TreePath};
use caddis::format::pack::{PackHeader, PackKeys};
use caddis::format::record::{Extras, encode};
use caddis::format::slot::{self, SlotHeader, SlotKey, SlotKind};
use caddis::format::snapshot::{Body, Header, Summary, TableRef};
use caddis::format::tree::{
    Content, FolderChild, FolderChunk, ListChild, ListChunk, Node, NodeKind, NodeXattr, Piece, TreeConstants,
    XattrValue,
};
use caddis::format::{charter, segment};
use caddis::id::{ChunkId, PackId, PrincipalId, RepositoryId, SnapshotId, StatementId};
use caddis::keys::domain::DedupDomain;
use caddis::keys::generation::GenerationSecret;
use caddis::keys::kdf::{Argon2Cost, from_key_file};
use caddis::keys::keyring::{Principal, Rights};
use caddis::keys::signing::{PublicSigningKey, Signatory};
use caddis::seal::compress::{Compression, Compressor, RawBlock};
use caddis::seal::hpke::{DataPublicKey, Encapsulation};
use caddis::source::EntryKind;
use zeroize::Zeroizing;

const TIME: Timestamp = Timestamp { secs: 1_600_000_000, nanos: 5 };

fn main() {
    let seeds: [(&str, Vec<Vec<u8>>); 18] = [
        ("birth", births()),
        ("block", blocks()),
        ("catalog_row", catalog_rows()),
        ("config", configs()),
        ("folder", folders()),
        ("forgotten", forgotten()),
        ("gc", gc()),
        ("index_run", index_runs()),
        ("link", links()),
        ("list", lists()),
        ("name", [&b"name"[..], b"a/b", b"/a//./b/", b"..", b"a\0", b"\xff"].map(<[u8]>::to_vec).to_vec()),
        ("pack_directory", directories()),
        ("pack_header", headers()),
        ("segment", [Segment::default(), tables()].iter().map(segment::encode).collect()),
        ("slot", slots()),
        ("snapshot_body", bodies()),
        ("snapshot_header", snapshot_headers()),
        ("statement", statements()),
    ];
    for (target, seeds) in seeds {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder).expect("the corpus can be written");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).expect("the corpus can be written");
        }
    }
}

fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).expect("a name")
}

fn path(bytes: &[u8]) -> TreePath {
    TreePath::from_bytes(bytes).expect("a path")
}

fn chunk(byte: u8, len: u32) -> Piece {
    Piece::Chunk { id: ChunkId([byte; 32]), len }
}

fn node(bytes: &[u8], kind: NodeKind) -> Node {
    let owner = Owner { uid: 1000, gid: 100, user: Some(b"larva".to_vec()), group: None };
    let (mode, mtime) = (0o644, Some(TIME));
    Node { name: name(bytes), kind, mode, owner, mtime, xattrs: Vec::new(), extras: Extras::default() }
}

fn folders() -> Vec<Vec<u8>> {
    let file = |size, content| NodeKind::File { size, content, changed: false };
    let device = (1, 3);
    let mut nodes = vec![
        node(b"block", NodeKind::BlockDevice { device }),
        node(b"char", NodeKind::CharDevice { device }),
        node(b"fifo", NodeKind::Fifo),
        node(b"folder", NodeKind::Folder { tree: ChunkId([1; 32]) }),
        node(b"inline", file(3, Content::Inline(b"abc".to_vec()))),
        node(b"list", file(1 << 40, Content::List(ChunkId([2; 32])))),
        node(b"pieces", file(110, Content::Pieces(vec![chunk(3, 10), Piece::Hole { len: 100 }]))),
        node(b"symlink", NodeKind::Symlink { target: b"../x".to_vec() }),
    ];
    let inline = NodeXattr { name: b"user.a".to_vec(), value: XattrValue::Inline(b"value".to_vec()) };
    let large = NodeXattr { name: b"user.b".to_vec(), value: XattrValue::Pieces(vec![chunk(4, 9000)]) };
    nodes[4].xattrs = vec![inline, large];
    nodes[4].kind = NodeKind::File { size: 3, content: Content::Inline(b"abc".to_vec()), changed: true };
    nodes[3].mtime = None;
    let child = |last: &[u8], byte| FolderChild { last: name(last), id: ChunkId([byte; 32]), entries: 7 };
    let inner = FolderChunk::Inner { level: 1, children: vec![child(b"k", 1), child(b"z", 2)] };
    let mut seeds: Vec<_> = nodes.iter().map(|node| encode(&FolderChunk::Leaf(vec![node.clone()]))).collect();
    seeds.extend([FolderChunk::Leaf(Vec::new()), FolderChunk::Leaf(nodes), inner].iter().map(encode));
    seeds
}

fn lists() -> Vec<Vec<u8>> {
    let children = vec![ListChild { id: ChunkId([1; 32]), bytes: 100 }, ListChild { id: ChunkId([2; 32]), bytes: 7 }];
    let leaf = ListChunk::Leaf(vec![chunk(1, 1000), Piece::Hole { len: 1 << 40 }, chunk(2, 5)]);
    [ListChunk::Leaf(Vec::new()), leaf, ListChunk::Inner { level: 2, children }].iter().map(encode).collect()
}

fn links() -> Vec<Vec<u8>> {
    let groups =
        vec![LinkGroup(vec![path(b"a"), path(b"b/c")]), LinkGroup(vec![path(b"d/e"), path(b"d/f"), path(b"g")])];
    [LinkChunk::default(), LinkChunk(groups)].iter().map(encode).collect()
}

fn births() -> Vec<Vec<u8>> {
    let births = Births { folder: path(b"a/b"), first: 3, times: vec![Some(1 << 60), None, Some(-7)] };
    [BirthChunk::default(), BirthChunk(vec![births])].iter().map(encode).collect()
}

fn configs() -> Vec<Vec<u8>> {
    let owner = Signatory::from_seed(&[1; 32]);
    let config = Config {
        salt: [5; 32],
        owners: vec![OwnerKeys { signing: owner.public(), sealing: DataPublicKey([2; 32]) }],
        threshold: 1,
        chunks: SizeClasses::DEFAULT,
        trees: TreeConstants::DEFAULT,
        pack_bytes: 32 << 20,
        extras: Extras::default(),
    };
    vec![encode(&config), config::encode_object(&config, &owner)]
}

fn slots() -> Vec<Vec<u8>> {
    let key = SlotKey(Zeroizing::new([6; 32]));
    let cost = Argon2Cost { memory_kib: 64, passes: 1, lanes: 1 };
    let kinds = [SlotKind::KeyFile, SlotKind::Passphrase(cost)];
    let headers = kinds.map(|kind| SlotHeader { kind, salt: [7; 32], slot_key: key.id(), extras: Extras::default() });
    let kek = from_key_file(&[8; 32], &[7; 32]);
    let mut seeds: Vec<_> = headers.iter().map(encode).collect();
    let object = slot::encode_object(&headers[0], &kek, &key, &RepositoryId([4; 32])).expect("it can be sealed");
    seeds.extend([key.0.to_vec(), object]);
    seeds
}

fn statements() -> Vec<Vec<u8>> {
    let owner = Signatory::from_seed(&[1; 32]);
    let parents = vec![StatementId([1; 32]), StatementId([2; 32])];
    let slot_key = SlotKey(Zeroizing::new([6; 32]));
    let frame = |kind, sealed_under| Frame {
        kind,
        parents: parents.clone(),
        sealed_under,
        owners: vec![0],
        extras: Extras::default(),
    };
    let under_log = frame(StatementKind::Generation, SealedUnder::Generation(1));
    let (extras, time) = (Extras::default(), TIME);
    let generation = GenerationStatement { number: 1, public: DataPublicKey([3; 32]), time, extras };
    let secret = GenerationSecret { number: 1, secret: Zeroizing::new([2; 32]) };
    let repository = RepositoryId([4; 32]);
    let object = charter::encode_object(&under_log, &generation, &secret.keys().log, &repository, &owner);
    let (host, user) = ("host".to_owned(), "user".to_owned());
    let access = AccessStatement {
        slot_key: slot_key.id(),
        rights: Rights::ALL,
        label: "label".to_owned(),
        host: host.clone(),
        user: user.clone(),
        time: TIME,
        escrows: vec![Escrow { encapsulation: Encapsulation([9; 32]), sealed: vec![1; 100] }],
        extras: Extras::default(),
    };
    let principal = Principal { key: PublicSigningKey([7; 32]), rights: Rights::WRITE, host, user };
    let limited = LimitedGeneration { number: 1, public: DataPublicKey([3; 32]), keys: Zeroizing::new([[1; 32]; 3]) };
    let bundle = Bundle {
        repository,
        rights: Rights::ALL,
        domain: DedupDomain::from_secret(Zeroizing::new([3; 32])),
        generations: vec![secret],
        owner: Some(Signatory::from_seed(&[1; 32])),
        limited: vec![limited],
        signing: Some(Signatory::from_seed(&[2; 32])),
        extras: Extras::default(),
    };
    vec![
        encode(&under_log),
        encode(&frame(StatementKind::Bundle, SealedUnder::SlotKey(slot_key.id()))),
        object.expect("it can be sealed"),
        encode(&generation),
        encode(&PrincipalStatement { principal, time: TIME, extras: Extras::default() }),
        encode(&access),
        encode(&bundle),
    ]
}

fn snapshot_headers() -> Vec<Vec<u8>> {
    let short = Header {
        writer: Signatory::from_seed(&[1; 32]).public().principal(),
        heads: Vec::new(),
        original: None,
        time: TIME,
        label: None,
        charter_heads: Vec::new(),
        body_hash: *blake3::hash(b"no body").as_bytes(),
        extras: Extras::default(),
    };
    let full = Header {
        heads: vec![SnapshotId([1; 32]), SnapshotId([2; 32])],
        original: Some(SnapshotId([3; 32])),
        label: Some("label".to_owned()),
        charter_heads: vec![StatementId([4; 32])],
        ..short.clone()
    };
    vec![encode(&short), encode(&full)]
}

fn bodies() -> Vec<Vec<u8>> {
    let table = Some(TableRef { list: ChunkId([2; 32]), bytes: 700 });
    let full = Body {
        root: ChunkId([1; 32]),
        links: table,
        births: table,
        hosts: vec!["host".to_owned()],
        user: "user".to_owned(),
        paths: vec![b"/home/larva".to_vec()],
        tags: vec!["a".to_owned(), "b".to_owned()],
        partial: true,
        program_version: "caddis 1".to_owned(),
        summary: Summary { files: 3, bytes: 1 << 40, ..Summary::default() },
        extras: Extras::default(),
    };
    let short = Body { links: None, births: None, tags: Vec::new(), partial: false, ..full.clone() };
    vec![encode(&short), encode(&full)]
}

fn forgotten() -> Vec<Vec<u8>> {
    let entry = Void { snapshot: SnapshotId([1; 32]), reason: "reason".to_owned(), time: TIME };
    [Vec::new(), vec![entry]].map(|entries| encode(&Forgotten { entries, extras: Extras::default() })).to_vec()
}

fn gc() -> Vec<Vec<u8>> {
    let (condemned, dead, void) = (vec![PackId([1; 32])], vec![PackId([2; 32])], vec![SnapshotId([3; 32])]);
    let full = Gc { condemned, dead, void, time: TIME, extras: Extras::default() };
    [Gc::default(), full].iter().map(encode).collect()
}

fn tables() -> Segment {
    let pack = |byte, kind| PackRow {
        id: PackId([byte; 32]),
        kind,
        bytes: 1 << 20,
        generation: 1,
        encapsulation: [byte; 32],
        commitment: [byte; 32],
        origin: PrincipalId([byte % 2; 32]),
        proved: byte % 2 == 0,
    };
    let block =
        |pack, ordinal| BlockRow { pack, ordinal, offset: 80 + ordinal * 500, sealed_len: 500, plain_len: 1000 };
    let row = |byte, block| ChunkRow { id: ShortId([byte; 20]), block, offset: 100, len: 900 };
    Segment {
        packs: vec![pack(1, PackKind::Data), pack(2, PackKind::Tree), pack(3, PackKind::Data)],
        blocks: vec![block(0, 0), block(0, 1), block(1, 0), block(2, 0)],
        chunks: vec![row(1, 0), row(1, 3), row(2, 1), row(9, 2)],
    }
}

fn headers() -> Vec<Vec<u8>> {
    let keys = GenerationSecret { number: 1, secret: Zeroizing::new([2; 32]) }.keys();
    let header = |kind| PackKeys::fresh(kind, &keys, &RepositoryId([4; 32])).expect("the public key is one").0;
    let low = |kind| PackHeader { kind, generation: 1, encapsulation: Encapsulation([0; 32]), commitment: [0; 32] };
    let headers = [header(PackKind::Data), header(PackKind::Tree), low(PackKind::Data)];
    headers.iter().map(|header| header.to_bytes().to_vec()).collect()
}

/// Footer and directory of a pack with these blocks of one chunk each, and of one without any.
fn directories() -> Vec<Vec<u8>> {
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let rows = numbers(&[2, 2, 80, 500, 1000, 1, 580, 20, 7, 1]);
    let chunks = [&1000u32.to_le_bytes()[..], &[0], &7u32.to_le_bytes(), &[1]].concat();
    vec![
        [numbers(&[80, 24, 0, 0, 0, 0]), vec![0; 100]].concat(),
        [numbers(&[600, 200, 2, 2]), rows, chunks, vec![0; 30]].concat(),
    ]
}

fn blocks() -> Vec<Vec<u8>> {
    let plain = b"the same again and again, ".repeat(50);
    let mut raw = RawBlock::with_capacity(plain.len());
    raw.push(&plain);
    let mut compressor = Compressor::new(Compression::Auto);
    let compressed = compressor.compress_fully(&raw).expect("it repeats itself").to_vec();
    let coded = [compressed, [&[0][..], &plain].concat(), vec![0]];
    let lens = [plain.len(), plain.len(), 0].map(|len| u32::try_from(len).expect("a short text").to_le_bytes());
    lens.iter().zip(coded).map(|(len, coded)| [&len[..], &coded].concat()).collect()
}

fn catalog_rows() -> Vec<Vec<u8>> {
    let identity = FolderIdentity { file_system: 7, ino: 8, birth: Some(9) };
    let print = Fingerprint { kind: EntryKind::File, size: 3, mtime: TIME, ctime: TIME, ino: 11, birth: None };
    let empty = RowWriter::new(1, &identity).finish(&ChunkId([1; 32]));
    let mut row = RowWriter::new(2, &identity);
    assert!(row.push(&name(b"a"), &print, true, b"node").is_none());
    assert!(row.push(&name(b"b"), &Fingerprint { kind: EntryKind::Folder, ..print }, false, b"").is_none());
    vec![empty, row.finish(&ChunkId([2; 32]))]
}

/// Counts, then rows: a segment, a pack, a block, the fan-out of two chunks, a filter that holds everything, the chunks.
fn index_runs() -> Vec<Vec<u8>> {
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let pack = [&[2; 32][..], &[0, 1], &numbers(&[1, 1 << 20, 0]), &[3; 96]].concat();
    let block = numbers(&[0, 0, 80, 500, 1000]);
    let chunk = |byte: u8| [&[byte; 20][..], &numbers(&[0, 10, 20])].concat();
    let rows = [vec![1; 32], pack, block, numbers(&[0, 2]), vec![0xff; 64], chunk(4), chunk(5)].concat();
    vec![[numbers(&[1, 1, 1, 0, 1, 2]), rows].concat(), numbers(&[0; 6])]
}
