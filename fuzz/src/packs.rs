//! Decoders of packs.

use std::sync::LazyLock;

use caddis::format::Code;
use caddis::format::index::PackKind;
use caddis::format::pack::{BLOCK_BYTES_MAX, FOOTER_LEN, HEADER_LEN, PackHeader, PackKeys, SUITE};
use caddis::seal::aead::{PackSealKey, RecordType, TAG_LEN, seal_record};
use caddis::seal::compress::decompress;

use super::world::WORLD;

/// A pack whose keys are known: what its maker can seal in it.
struct OpenPack {
    keys: PackKeys,
    directory: PackSealKey,
    binding: [u8; 32],
}

static PACK: LazyLock<OpenPack> = LazyLock::new(|| {
    let (generation, repository) = (WORLD.keyring.newest(), &WORLD.keyring.repository);
    let (header, keys) = PackKeys::fresh(PackKind::Data, generation, repository).expect("the public key is one");
    let exporter = generation.decapsulate(&header.encapsulation, &info()).expect("the private key is there");
    OpenPack {
        keys,
        directory: PackSealKey::new(exporter.export("caddis v0 pack directory key")),
        binding: blake3::derive_key("caddis v0 pack binding", &WORLD.bind(&header.to_bytes())),
    }
});

fn info() -> Vec<u8> {
    let kind = Code::DataPack as u8;
    WORLD.bind(&[&b"caddis v0 pack"[..], &SUITE.to_le_bytes(), &[kind], &1u32.to_le_bytes()].concat())
}

/// The header of a pack, and the keys that follow from it.
pub fn header(data: &[u8]) {
    for kind in [PackKind::Data, PackKind::Tree] {
        let Ok(header) = PackHeader::from_bytes(kind, data) else { continue };
        assert!(header.to_bytes() == data[..HEADER_LEN]);
        if let Some(keys) = WORLD.keyring.generations.get(&header.generation) {
            drop(header.keys(keys, &WORLD.keyring.repository));
        }
    }
}

/// Footer and directory of a pack: as they are sealed, and what is sealed in them. The first 16 bytes are the footer's.
pub fn directory(data: &[u8]) {
    let _ = PACK.keys.unseal_footer(data, data.len() as u64);
    let Some((fields, plain)) = data.split_first_chunk::<{ FOOTER_LEN - TAG_LEN }>() else { return };
    let seal = |record, ordinal, last, plain: &[u8]| {
        seal_record(&PACK.directory, &PACK.binding, record, ordinal, last, plain.to_vec())
    };
    let footer = seal(RecordType::Footer, 1, true, fields);
    let [offset, len] =
        [0, 4].map(|at| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]));
    let pack_bytes = u64::from(offset) + u64::from(len) + FOOTER_LEN as u64;
    assert!(PACK.keys.unseal_footer(&footer, pack_bytes + 1).is_err());
    let footer = PACK.keys.unseal_footer(&footer, pack_bytes).expect("its fields agree with the length of the pack");
    let sealed = seal(RecordType::Directory, 0, false, plain);
    if let Ok(directory) = PACK.keys.unseal_directory(&footer, sealed) {
        let end = |block: &caddis::format::pack::DirectoryBlock| u64::from(block.offset) + u64::from(block.sealed_len);
        assert!(directory.blocks.iter().all(|block| end(block) <= u64::from(offset)));
        assert!(directory.blocks.iter().all(|block| block.plain_len as usize <= BLOCK_BYTES_MAX));
    }
}

/// A block: as it is sealed, and what is sealed in it, of the plain length that the first four bytes say.
pub fn block(data: &[u8]) {
    drop(PACK.keys.unseal_block(0, data.to_vec()));
    let Some((len, coded)) = data.split_first_chunk::<4>() else { return };
    let plain_len = u32::from_le_bytes(*len) as usize % (BLOCK_BYTES_MAX + 1);
    let mut sealed = vec![0; coded.len() + TAG_LEN];
    PACK.keys.seal_block(0, coded, &mut sealed);
    let opened = PACK.keys.unseal_block(0, sealed).expect("it was sealed a moment ago");
    assert!(opened == coded);
    if let Ok(plain) = decompress(&opened, plain_len) {
        assert!(plain.len() == plain_len);
    }
}
