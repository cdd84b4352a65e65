//! No pair of key and nonce repeats in a whole repository.
//!
//! A record is sealed under a key of its own, made from a random salt that stands in front of it; a pack under one made by
//! an encapsulation that stands in its header, its blocks numbered. So it is enough that no salt and no encapsulation
//! repeats, and that the blocks of each pack are numbered without gaps and lie side by side.

use std::collections::BTreeSet;

use caddis::format::HEAD_LEN;
use caddis::format::index::PackKind;
use caddis::format::log::{self, Gc};
use caddis::format::pack::{FOOTER_LEN, HEADER_LEN, PackHeader};
use caddis::id::PackId;
use caddis::repo::Repository;
use caddis::store::{ObjectKind, ObjectName};

use crate::cuts::dying_at_put;
use crate::lab::{Lab, World, new_key, random_bytes};

const SALT_LEN: usize = 32;
const ENCAPSULATION_LEN: usize = 32;
const GENERATION_LEN: usize = 4;
const LEN_FIELD: usize = 4;

/// A repository that has lived: two machines, a dead run, further keys, a prune's record, runs of many packs.
fn lived_in() -> (Lab, Repository) {
    let lab = Lab::new();
    lab.write_old_tree();
    for number in 0..6 {
        lab.write(&format!("large {number}"), &random_bytes(&format!("large {number}"), 1 << 20));
        // Of these, many fit into a block and many blocks into a pack.
        lab.write(&format!("text {number}"), &format!("line of text number {number}\n").repeat(60_000).into_bytes());
    }
    for (host, secs) in [("alpha", 1), ("beta", 2), ("alpha", 3)] {
        lab.machine(host).backup(&lab.store, &lab.source, &World::at(secs)).unwrap();
        lab.write("changed", &random_bytes(host, 30_000 + usize::try_from(secs).unwrap()));
    }
    lab.machine.backup(&dying_at_put(&lab.store, ObjectKind::Snapshots), &lab.source, &World::at(4)).unwrap_err();
    lab.machine.backup(&lab.store, &lab.source, &World::at(5)).unwrap();
    lab.machine.backup(&dying_at_put(&lab.store, ObjectKind::Snapshots), &lab.source, &World::at(6)).unwrap_err();
    let world = World::at(7);
    let mut repository = lab.machine.open(&lab.store, &world).unwrap();
    for key in 20..23 {
        repository.add_key(&new_key(key), &world.cx()).unwrap();
    }
    let gc = Gc { condemned: vec![PackId([1; 32])], ..Gc::default() };
    for _ in 0..2 {
        let record = log::encode_gc(&gc, &repository.keyring, &repository.signatory).unwrap();
        repository.objects.put(ObjectKind::Gc, &record).unwrap();
    }
    (lab, repository)
}

/// The salt and encapsulations of an object that is no pack, by caddis-format(5).
fn salts(name: &ObjectName, bytes: &[u8]) -> Vec<[u8; 32]> {
    let at = |offset: usize| -> [u8; SALT_LEN] { bytes[offset..offset + SALT_LEN].try_into().unwrap() };
    let len_at = |offset: usize| u32::from_le_bytes(bytes[offset..offset + LEN_FIELD].try_into().unwrap()) as usize;
    match name.kind() {
        ObjectKind::Config | ObjectKind::Packs | ObjectKind::Trees => Vec::new(),
        ObjectKind::Charter | ObjectKind::Keys => vec![at(HEAD_LEN + LEN_FIELD + len_at(HEAD_LEN))],
        ObjectKind::Index | ObjectKind::Forgotten | ObjectKind::Gc => vec![at(HEAD_LEN + GENERATION_LEN)],
        ObjectKind::Pending | ObjectKind::Snapshots => {
            let header = HEAD_LEN + GENERATION_LEN + LEN_FIELD;
            let body = header + len_at(header - LEN_FIELD);
            vec![at(header), at(body), at(body + ENCAPSULATION_LEN)]
        }
    }
}

#[test]
fn no_salt_and_no_encapsulation_repeats_in_a_whole_repository() {
    let (lab, _) = lived_in();
    let objects = lab.store.objects();
    let (mut seen, mut objects_seen) = (BTreeSet::new(), BTreeSet::new());
    let mut kinds = BTreeSet::new();
    for (name, bytes) in &objects {
        // An announcement that was committed is the same object at two places.
        if !objects_seen.insert(name.id()) {
            continue;
        }
        let found = match name.kind() {
            ObjectKind::Packs => vec![encapsulation(PackKind::Data, bytes)],
            ObjectKind::Trees => vec![encapsulation(PackKind::Tree, bytes)],
            _ => salts(name, bytes),
        };
        for salt in found {
            assert_ne!(salt, [0; SALT_LEN], "{name}");
            assert!(seen.insert(salt), "{name} repeats a salt or an encapsulation");
        }
        kinds.insert(name.kind());
    }
    assert_eq!(kinds.len(), ObjectKind::ALL.len(), "{kinds:?}");
}

fn encapsulation(kind: PackKind, bytes: &[u8]) -> [u8; 32] {
    PackHeader::from_bytes(kind, bytes).unwrap().encapsulation.0
}

#[test]
fn blocks_of_a_pack_are_numbered_without_gaps_and_lie_side_by_side() {
    let (lab, repository) = lived_in();
    let mut most = 0;
    for (name, bytes) in lab.store.objects() {
        let kind = match name.kind() {
            ObjectKind::Packs => PackKind::Data,
            ObjectKind::Trees => PackKind::Tree,
            _ => continue,
        };
        let header = PackHeader::from_bytes(kind, &bytes).unwrap();
        let keys = repository.pack_keys(&header).unwrap();
        let footer_at = bytes.len() - FOOTER_LEN;
        let footer = keys.unseal_footer(&bytes[footer_at..], bytes.len() as u64).unwrap();
        let directory = keys.unseal_directory(&footer, bytes[footer.offset as usize..footer_at].to_vec()).unwrap();
        let mut end = HEADER_LEN;
        for (ordinal, block) in (0..).zip(&directory.blocks) {
            assert_eq!(block.offset as usize, end, "{name}");
            end += block.sealed_len as usize;
            let sealed = bytes[block.offset as usize..end].to_vec();
            keys.unseal_block(ordinal, sealed.clone()).unwrap();
            // Its number is part of the seal: no other one opens it.
            assert!(keys.unseal_block(ordinal + 1, sealed).is_err(), "{name}");
        }
        assert_eq!(end, footer.offset as usize, "{name}: nothing lies between blocks and directory");
        most = most.max(directory.blocks.len());
    }
    assert!(most >= 3, "some pack has several blocks: {most}");
}
