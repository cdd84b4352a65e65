//! [`OpenPack`]: a pack that several workers fill at once, and its places.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::buffer::PackBuffer;
use crate::error::{Error, Result};
use crate::format::EncodeError;
use crate::format::index::{BlockRow, ChunkRow, PackKind, PackRow, ShortId};
use crate::format::pack::{
    Directory, DirectoryBlock, DirectoryChunk, HEADER_LEN, PackHeader, PackKeys, PackLength, tail_len,
};
use crate::id::PrincipalId;
use crate::keys::domain::ChunkKind;
use crate::keys::keyring::Keyring;
use crate::seal::aead::TAG_LEN;

/// Chunks of one pack: with tiny files that compress to nothing, a full pack could fill several index segments.
pub(crate) const PACK_CHUNKS_MAX: usize = 1 << 18;

/// A chunk in a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockChunk {
    /// Start of its id.
    pub id: ShortId,
    /// What it holds.
    pub kind: ChunkKind,
    /// Plain length in bytes.
    pub len: u32,
}

/// A pack that is durable, with its rows for the index; blocks refer to no pack yet, chunks to blocks by ordinal.
pub struct StoredPack {
    /// The pack.
    pub row: PackRow,
    /// Its blocks by ordinal.
    pub blocks: Vec<BlockRow>,
    /// Its chunks, block by block.
    pub chunks: Vec<ChunkRow>,
}

/// A pack that blocks are being sealed into. The lock is held for copying, never for sealing.
pub(super) struct OpenPack {
    header: PackHeader,
    keys: PackKeys,
    origin: PrincipalId,
    filling: Mutex<Filling>,
}

struct Filling {
    /// As long as a full pack, or longer for a block that fits into none.
    buffer: PackBuffer,
    /// How many of them have been given out, from the start.
    used: usize,
    directory: Directory,
    chunks: Vec<ChunkRow>,
    /// Blocks that have a place and are not there yet.
    outstanding: usize,
    /// Set once no further block gets a place.
    closed: Option<PackLength>,
}

/// The place of a block in a pack: **each ordinal is given out once**, by the pack's own counter.
pub(super) struct Place {
    pack: Arc<OpenPack>,
    ordinal: u32,
    offset: usize,
}

pub(super) struct SealedPack {
    /// Begins with the pack; what comes after it is left over from before.
    pub(super) buffer: PackBuffer,
    pub(super) stored: StoredPack,
}

impl OpenPack {
    fn lock(&self) -> MutexGuard<'_, Filling> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty pack, in memory that was used before if there is some.
    ///
    /// # Errors
    /// There is no randomness for its keys.
    pub(super) fn begin(
        kind: PackKind,
        keyring: &Keyring,
        origin: PrincipalId,
        spare: Option<PackBuffer>,
        pack_bytes: u32,
    ) -> Result<Self> {
        let (header, keys) = PackKeys::fresh(kind, keyring.newest(), &keyring.repository)
            .map_err(|error| Error::Encode { what: "a pack", source: EncodeError::Hpke(error) })?;
        let mut buffer = spare.unwrap_or_else(|| PackBuffer::new(pack_bytes as usize));
        buffer.bytes_mut()[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        let filling = Filling {
            buffer,
            used: HEADER_LEN,
            directory: Directory::default(),
            chunks: Vec::new(),
            outstanding: 0,
            closed: None,
        };
        Ok(Self { header, keys, origin, filling: Mutex::new(filling) })
    }

    /// A place for a block, if one is left.
    pub(super) fn reserve(self: &Arc<Self>, added: &[BlockChunk], sealed_len: usize, pack_bytes: u32) -> Option<Place> {
        let mut filling = self.lock();
        let offset = filling.used;
        let directory = &filling.directory;
        let tail = tail_len(directory.blocks.len() + 1, directory.chunks.len() + added.len());
        let chunks = directory.chunks.len() + added.len();
        let is_full = offset + sealed_len + tail > pack_bytes as usize || chunks > PACK_CHUNKS_MAX;
        // A block that fits into no pack gets one of its own, which is then longer than others.
        if filling.closed.is_some() || (is_full && offset > HEADER_LEN) {
            return None;
        }
        let ordinal = u32_len(filling.directory.blocks.len());
        filling.directory.blocks.push(DirectoryBlock {
            offset: u32_len(offset),
            sealed_len: u32_len(sealed_len),
            plain_len: u32_len(plain_len(added)),
            chunks: u32_len(added.len()),
        });
        let mut at = 0;
        for chunk in added {
            filling.directory.chunks.push(DirectoryChunk { kind: chunk.kind, len: chunk.len });
            filling.chunks.push(ChunkRow { id: chunk.id, block: ordinal, offset: at, len: chunk.len });
            at += chunk.len;
        }
        filling.make_room(sealed_len);
        filling.used += sealed_len;
        filling.outstanding += 1;
        Some(Place { pack: Arc::clone(self), ordinal, offset })
    }

    /// Gives out no further place; answers the pack when all blocks are in theirs.
    pub(super) fn close(&self, length: PackLength) -> Option<SealedPack> {
        let mut filling = self.lock();
        filling.closed = Some(length);
        self.finish_if_done(&mut filling)
    }

    fn finish_if_done(&self, filling: &mut Filling) -> Option<SealedPack> {
        let length = filling.closed.filter(|_| filling.outstanding == 0)?;
        Some(self.finish(filling, length))
    }

    fn finish(&self, filling: &mut Filling, length: PackLength) -> SealedPack {
        let directory = std::mem::take(&mut filling.directory);
        let tail = self.keys.seal_tail(&directory, u32_len(filling.used), length);
        filling.make_room(tail.len());
        let (start, end) = (filling.used, filling.used + tail.len());
        filling.buffer.bytes_mut()[start..end].copy_from_slice(&tail);
        let block = |(ordinal, block): (usize, &DirectoryBlock)| BlockRow {
            pack: 0,
            ordinal: u32_len(ordinal),
            offset: block.offset,
            sealed_len: block.sealed_len,
            plain_len: block.plain_len,
        };
        let row = PackRow {
            id: crate::id::PackId([0; 32]), // Known once it is put.
            kind: self.header.kind,
            bytes: end as u64,
            generation: self.header.generation,
            encapsulation: self.header.encapsulation.0,
            commitment: self.header.commitment,
            origin: self.origin,
            proved: false,
        };
        let blocks = directory.blocks.iter().enumerate().map(block).collect();
        let chunks = std::mem::take(&mut filling.chunks);
        SealedPack { buffer: std::mem::take(&mut filling.buffer), stored: StoredPack { row, blocks, chunks } }
    }
}

impl Place {
    /// Seals a block and copies it to its place, after proving that it opens again: memory that flips bits is real, and this is
    /// the last moment at which the plaintext is at hand. Answers the pack if it was closed and this was the last block.
    ///
    /// Sealing beside the place and not in it lets other workers seal into the same pack meanwhile.
    ///
    /// # Errors
    /// [`Error::SelfCheck`]; the pack is spoilt then.
    pub(super) fn fill(&self, coded: &[u8], sealed: &mut Vec<u8>, opened: &mut Vec<u8>) -> Result<Option<SealedPack>> {
        let Self { pack, ordinal, offset } = self;
        let sealed = scratch(sealed, coded.len() + TAG_LEN);
        pack.keys.seal_block(*ordinal, coded, sealed);
        if !pack.keys.opens_to(*ordinal, sealed, coded, scratch(opened, coded.len())) {
            return Err(Error::SelfCheck);
        }
        let mut filling = pack.lock();
        filling.buffer.bytes_mut()[*offset..offset + sealed.len()].copy_from_slice(sealed);
        filling.outstanding -= 1;
        Ok(pack.finish_if_done(&mut filling))
    }
}

impl Filling {
    /// Sees to it that so many bytes follow those that were given out.
    fn make_room(&mut self, len: usize) {
        if self.buffer.bytes().len() < self.used + len {
            self.buffer.lengthen(self.used + len);
        }
    }
}

pub(super) fn plain_len(chunks: &[BlockChunk]) -> usize {
    chunks.iter().map(|chunk| chunk.len as usize).sum()
}

/// So many bytes of a buffer that only ever grows; what they hold is left over from before.
fn scratch(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

fn u32_len(len: usize) -> u32 {
    u32::try_from(len).expect("a pack is shorter than 4 GiB")
}
