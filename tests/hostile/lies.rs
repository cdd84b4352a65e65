//! A member's lengths, tables and blocks that are not what they say.

use std::fs;
use std::path::Path;

use caddis::check::{self, ReadData, Verdict, check};
use caddis::format::index::{BlockRow, ChunkRow, PackKind, PackRow, Segment, ShortId};
use caddis::format::log;
use caddis::format::pack::{Directory, PackKeys, PackLength};
use caddis::format::record::encode;
use caddis::format::tree::{Content, ListChild, ListChunk, Node, Piece};
use caddis::id::{ChunkId, PackId};
use caddis::keys::domain::ChunkKind;
use caddis::keys::keyring::Rights;
use caddis::keys::signing::Signatory;
use caddis::repo::Repository;
use caddis::seal::aead::TAG_LEN;
use caddis::store::{ObjectKind, ObjectName};

use crate::forge::{Forge, body, commit, content, file, member};
use crate::lab::{KEY, Lab, World, assert_same_tree, key_file, names, random_bytes, restore_to};
use crate::names::names_in;

/// Restores a snapshot of a file that lies beside one that does not. Only the liar is lost.
#[track_caller]
fn loses_only_itself(what: &str, lie: impl FnOnce(&mut Forge<'_, '_>) -> Node) {
    let lab = Lab::new();
    let snapshot = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
        let liar = lie(forge);
        body(forge.folder(&[file(b"good"), liar]))
    });
    let sandbox = tempfile::tempdir().unwrap();
    let world = World::at(8);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let target = sandbox.path().join("target");
    assert_eq!(restore_to(&repository, snapshot, Path::new("/"), &target, &world).unwrap(), 1, "{what}");
    assert_eq!(names_in(&target), ["good".to_owned()].into(), "{what}");
    let problems = world.problems();
    assert!(matches!(&problems[..], [one] if one.starts_with("/liar: ")), "{what}: {problems:?}");
    let checked = lab.machine.check(&lab.store).problems();
    assert!(checked.iter().any(|problem| problem.contains("/liar")), "{what}: {checked:?}");
}

fn data(forge: &mut Forge<'_, '_>, len: u32) -> Piece {
    Piece::Chunk { id: forge.chunk(ChunkKind::Data, &vec![7; len as usize]), len }
}

#[test]
fn a_file_that_lies_about_its_length_is_lost_and_named() {
    let liar = |size, content_| content(b"liar", size, content_);
    loses_only_itself("a chunk that is shorter", |forge| {
        let Piece::Chunk { id, .. } = data(forge, 5_000) else { unreachable!() };
        liar(6_000, Content::Pieces(vec![Piece::Chunk { id, len: 6_000 }]))
    });
    for (what, size) in [("a list that is shorter", 5_001), ("a list that is longer", 4_999)] {
        loses_only_itself(what, |forge| {
            let piece = data(forge, 5_000);
            let list = forge.chunk(ChunkKind::List, &encode(&ListChunk::Leaf(vec![piece])));
            liar(size, Content::List(list))
        });
    }
    loses_only_itself("a list on a level of its own", |forge| {
        let leaf = encode(&ListChunk::Leaf(vec![data(forge, 5_000)]));
        let children = vec![ListChild { id: forge.chunk(ChunkKind::List, &leaf), bytes: 5_000 }];
        let list = forge.chunk(ChunkKind::List, &encode(&ListChunk::Inner { level: 2, children }));
        liar(5_000, Content::List(list))
    });
    loses_only_itself("holes that add up to more than there are numbers", |forge| {
        let holes = vec![Piece::Hole { len: u64::MAX }, Piece::Hole { len: 2 }];
        let list = forge.chunk(ChunkKind::List, &encode(&ListChunk::Leaf(holes)));
        liar(1, Content::List(list))
    });
}

/// Three files, each longer than any file can be: their sum is longer than any number.
#[test]
fn files_that_no_disk_can_hold_are_named() {
    let lab = Lab::new();
    let hole = |len| Content::Pieces(vec![Piece::Hole { len }]);
    let snapshot = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
        let piece = data(forge, 5_000);
        let list =
            forge.chunk(ChunkKind::List, &encode(&ListChunk::Leaf(vec![Piece::Hole { len: u64::MAX - 5_000 }, piece])));
        let nodes = [
            content(b"a", u64::MAX, hole(u64::MAX)),
            content(b"b", 1 << 63, hole(1 << 63)),
            content(b"c", u64::MAX, Content::List(list)),
            file(b"good"),
        ];
        body(forge.folder(&nodes))
    });
    let sandbox = tempfile::tempdir().unwrap();
    let world = World::at(8);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let target = sandbox.path().join("target");
    assert_eq!(restore_to(&repository, snapshot, Path::new("/"), &target, &world).unwrap(), 3);
    assert_eq!(world.items(), ["/a", "/b", "/c"].map(|path| path.as_bytes().to_vec()).into());
    assert_eq!(names_in(&target), ["good".to_owned()].into());
}

pub(crate) type Lie = fn(&mut Segment);

/// Ways to describe packs wrongly that fit together in themselves.
pub(crate) const LIES: [(&str, Lie); 10] = [
    ("packs that are not there", |segment| segment.packs.iter_mut().for_each(|pack| pack.id = PackId([1; 32]))),
    ("blocks far outside", |segment| {
        segment.packs.iter_mut().for_each(|pack| pack.bytes = u64::MAX);
        segment.blocks.iter_mut().for_each(|block| block.offset = u32::MAX - 7);
    }),
    ("blocks without end", |segment| {
        segment.packs.iter_mut().for_each(|pack| pack.bytes = u64::MAX);
        segment.blocks.iter_mut().for_each(|block| block.sealed_len = u32::MAX);
    }),
    ("blocks that overlap", |segment| segment.blocks.iter_mut().for_each(|block| block.offset -= 1)),
    ("blocks of no length", |segment| segment.blocks.iter_mut().for_each(|block| block.sealed_len = 0)),
    ("blocks that are longer when they are open", |segment| {
        segment.blocks.iter_mut().for_each(|block| block.plain_len = 16 << 20);
    }),
    ("blocks in another order", |segment| segment.blocks.iter_mut().for_each(|block| block.ordinal ^= 1)),
    ("chunks elsewhere", |segment| {
        segment.chunks.iter_mut().for_each(|chunk| chunk.offset = chunk.offset.saturating_sub(1));
    }),
    ("keys of low order", |segment| segment.packs.iter_mut().for_each(|pack| pack.encapsulation = [0; 32])),
    ("keys of no generation", |segment| segment.packs.iter_mut().for_each(|pack| pack.generation = 77)),
];

pub(crate) fn put_segment(repository: &Repository, segment: &Segment, maker: &Signatory) {
    let bytes = log::encode_segment(segment, &repository.keyring, maker).unwrap();
    repository.objects.put(ObjectKind::Index, &bytes).unwrap();
}

/// Whatever a writer's segments say besides, or a full member's: what is there comes back, and no wrong byte does.
#[test]
fn an_index_that_lies_beside_one_that_does_not_loses_nothing() {
    for ((what, lie), is_member) in LIES.into_iter().flat_map(|lie| [(lie, false), (lie, true)]) {
        let lab = Lab::new();
        lab.write_old_tree();
        let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        let repository = lab.machine.open(&lab.store, &World::at(2)).unwrap();
        let writer = member(&repository, Rights::WRITE | Rights::LIST);
        let maker = if is_member { &repository.signatory } else { &writer };
        for name in names(&lab.store, ObjectKind::Index) {
            let mut segment = log::decode_segment(&lab.store.objects()[&name], &repository.keyring).unwrap().record;
            lie(&mut segment);
            put_segment(&repository, &segment, maker);
        }
        let restored = lab.machine("victim").restored(&lab.store, saved, &lab.source);
        assert_same_tree(&lab.tree(), &restored);
        let world = World::at(3);
        let victim = lab.machine("victim").open(&lab.store, &world).unwrap();
        for read_data in [ReadData::Suspects, ReadData::All] {
            let checked = check(&victim, &check::Options { read_data }, &world.cx()).unwrap();
            assert_ne!(checked.verdict(), Verdict::Damaged, "{what}: {:?}", checked.errors);
        }
        eprintln!("{what}: all came back");
    }
}

/// A pack of one block that its maker has coded by hand, and the row of a chunk that is said to be all of it.
fn put_block(repository: &Repository, coded: &[u8], plain_len: u32, id: ChunkId) -> ObjectName {
    let (header, keys) = PackKeys::fresh(PackKind::Data, repository.keyring.newest(), &repository.id()).unwrap();
    let mut pack = header.to_bytes().to_vec();
    let offset = u32::try_from(pack.len()).unwrap();
    let mut sealed = vec![0; coded.len() + TAG_LEN];
    keys.seal_block(0, coded, &mut sealed);
    pack.extend(&sealed);
    let end = u32::try_from(pack.len()).unwrap();
    pack.extend(keys.seal_tail(&Directory::default(), end, PackLength::Last { full: 1 << 20 }));
    let name = repository.objects.put(ObjectKind::Packs, &pack).unwrap();
    let row = PackRow {
        id: name.id().into(),
        kind: PackKind::Data,
        bytes: pack.len() as u64,
        generation: header.generation,
        encapsulation: header.encapsulation.0,
        commitment: header.commitment,
        origin: repository.signatory.public().principal(),
        proved: false,
    };
    let block = BlockRow { pack: 0, ordinal: 0, offset, sealed_len: end - offset, plain_len };
    let chunk = ChunkRow { id: ShortId::from(id), block: 0, offset: 0, len: 5_000 };
    let segment = Segment { packs: vec![row], blocks: vec![block], chunks: vec![chunk] };
    put_segment(repository, &segment, &repository.signatory);
    name
}

fn frame(plain: &[u8]) -> Vec<u8> {
    [&[1][..], &zstd::bulk::compress(plain, 1).unwrap()].concat()
}

/// Blocks whose seal holds and that do not hold what the index says: bombs, several frames, no frame, too long, too short.
#[test]
fn a_block_that_opens_to_something_else_is_refused_and_named() {
    const PLAIN: u32 = 16 << 20;
    let bomb = frame(&vec![0; 512 << 20]);
    let lying = {
        // The content size of the frame header says 16 MiB, in four bytes behind magic and descriptor: the frame holds more.
        let mut lying = bomb.clone();
        let at = lying.windows(4).position(|window| window == (512u32 << 20).to_le_bytes()).unwrap();
        lying[at..at + 4].copy_from_slice(&PLAIN.to_le_bytes());
        lying
    };
    let two = [frame(&vec![0; 8 << 20]), frame(&vec![0; 8 << 20])[1..].to_vec()].concat();
    let cases = [
        ("a bomb", bomb),
        ("a bomb that lies", lying),
        ("two frames", two),
        ("nothing", Vec::new()),
        ("a codec alone", vec![1]),
        ("raw and short", vec![0; 5_000]),
        ("an unknown codec", vec![9; 5_001]),
        ("noise", [vec![1], random_bytes("noise", 5_000)].concat()),
        ("other bytes", frame(&vec![3; PLAIN as usize])),
    ];
    for (what, coded) in cases {
        let lab = Lab::new();
        let mut repository = lab.machine.open(&lab.store, &World::at(1)).unwrap();
        repository.introduce_self(&World::at(1).cx()).unwrap();
        let id = ChunkId([5; 32]);
        let pack = put_block(&repository, &coded, PLAIN, id);
        let content_ = Content::Pieces(vec![Piece::Chunk { id, len: 5_000 }]);
        let snapshot = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
            body(forge.folder(&[file(b"good"), content(b"liar", 5_000, content_)]))
        });
        let (sandbox, world) = (tempfile::tempdir().unwrap(), World::at(8));
        let repository = lab.machine.open(&lab.store, &world).unwrap();
        let target = sandbox.path().join("target");
        assert_eq!(restore_to(&repository, snapshot, Path::new("/"), &target, &world).unwrap(), 1, "{what}");
        let problems = world.problems();
        let pack = pack.id().to_string();
        assert!(
            matches!(&problems[..], [one] if one.starts_with("/liar") && one.contains(&pack)),
            "{what}: {problems:?}"
        );
        assert_eq!(names_in(&target), ["good".to_owned()].into(), "{what}");
        assert_eq!(fs::read(target.join("good")).unwrap(), b"good", "{what}");
    }
}
