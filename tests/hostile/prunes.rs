//! Prunes of a repository to which a writer has written who cannot read, and means harm.

use caddis::format::index::{PackRow, Segment};
use caddis::format::log;
use caddis::format::record::encode;
use caddis::format::tree::{Content, ListChunk, Piece};
use caddis::id::ChunkId;
use caddis::keys::domain::ChunkKind;
use caddis::keys::keyring::Rights;
use caddis::prune::{Options, Unused, prune};
use caddis::repo::fetch::Reader;
use caddis::store::{ObjectKind, Store};
use caddis::tree::closure::for_each_needed;
use jiff::Span;

use crate::forge::{body, commit, content, member, member_with};
use crate::lab::{KEY, Lab, World, assert_same_tree, key_file, names, random_bytes};
use crate::lies::{LIES, put_segment};

/// Deletes all that nobody needs, at once.
fn prune_all(lab: &Lab) {
    let world = World::at(100);
    let options = Options {
        undo_window: Span::new(),
        min_age: Span::new(),
        max_unused: Unused::Percent(0.0),
        ..Options::default()
    };
    let mut repository = lab.machine.open(&lab.store, &world).unwrap();
    prune(&mut repository, &options, &mut |_| {}, &world.cx()).unwrap();
}

/// Chunks that are contents of files lead nowhere, and a prune marks very many of them at a time. What is a folder for somebody
/// else is followed all the same.
#[test]
fn folders_of_others_that_are_named_as_contents_of_a_file_are_followed() {
    const PIECES: usize = (1 << 19) + 4096;
    let lab = Lab::new();
    lab.write_old_tree();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(0)).unwrap().snapshot;
    let world = World::at(1);
    let folders = {
        let repository = lab.machine.open(&lab.store, &world).unwrap();
        let snapshot = repository.snapshots(&world.cx()).unwrap().remove(0);
        let reader = Reader::open(&repository, &world.cx()).unwrap();
        let mut folders: Vec<ChunkId> = Vec::new();
        for_each_needed(&reader, &snapshot.body, world.cx().cancel, &mut |needed| {
            folders.extend(needed.kind.leads_on().then_some(needed.id));
            Ok(true)
        })
        .unwrap();
        folders
    };
    // Roots are followed in the order of their ids, which are drawn by lot.
    loop {
        let forged = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
            let piece = |number: usize| Piece::Chunk { id: folders[number % folders.len()], len: 1 };
            let files = (0..PIECES / 1024).map(|file| {
                // Each list is another one, by its first piece.
                let first = Piece::Hole { len: file as u64 + 1 };
                let pieces = std::iter::once(first).chain((0..1024).map(piece)).collect();
                let list = forge.chunk(ChunkKind::List, &encode(&ListChunk::Leaf(pieces)));
                content(format!("{file:06}").as_bytes(), file as u64 + 1025, Content::List(list))
            });
            let nodes: Vec<_> = files.collect();
            body(forge.folder(&nodes))
        });
        if forged < saved {
            break;
        }
    }
    prune_all(&lab);
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, saved, &lab.source));
}

/// Whatever a writer says of packs besides.
#[test]
fn an_index_that_lies_beside_one_that_does_not_lets_nothing_be_deleted() {
    for (what, lie) in LIES {
        let lab = Lab::new();
        lab.write_old_tree();
        let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        let repository = lab.machine.open(&lab.store, &World::at(2)).unwrap();
        let writer = member(&repository, Rights::WRITE | Rights::LIST);
        for name in names(&lab.store, ObjectKind::Index) {
            let mut segment = log::decode_segment(&lab.store.objects()[&name], &repository.keyring).unwrap().record;
            lie(&mut segment);
            put_segment(&repository, &segment, &writer);
        }
        prune_all(&lab);
        let restored = lab.machine.restored(&lab.store, saved, &lab.source);
        assert_same_tree(&lab.tree(), &restored);
        eprintln!("{what}: all came back");
    }
}

/// A pack of noise that a writer says holds the chunks of others: whether these are described by somebody who can read, or by
/// another writer only, theirs stay.
#[test]
fn a_pack_of_noise_takes_the_place_of_nobodys() {
    for is_described_by_a_writer in [false, true] {
        let lab = Lab::new();
        lab.write_old_tree();
        let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
        let repository = lab.machine.open(&lab.store, &World::at(2)).unwrap();
        let writer = member(&repository, Rights::WRITE | Rights::LIST);
        let noise = random_bytes("noise", 4 << 20);
        for name in names(&lab.store, ObjectKind::Index) {
            let honest = log::decode_segment(&lab.store.objects()[&name], &repository.keyring).unwrap().record;
            let kinds = [ObjectKind::Packs, ObjectKind::Trees];
            let junk = kinds.map(|kind| repository.objects.put(kind, &noise).unwrap());
            let is_noise =
                |pack: &PackRow| PackRow { id: junk[0].id().into(), bytes: noise.len() as u64, ..pack.clone() };
            let lying = Segment { packs: honest.packs.iter().map(is_noise).collect(), ..honest.clone() };
            put_segment(&repository, &lying, &writer);
            if is_described_by_a_writer {
                lab.store.delete(&name).unwrap();
                let other = member_with(&repository, [78; 32], Rights::WRITE | Rights::LIST);
                put_segment(&repository, &honest, &other);
            }
        }
        prune_all(&lab);
        assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, saved, &lab.source));
    }
}
