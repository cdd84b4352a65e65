//! Checks one pack: header, footer and directory agree with the index; where all of it is read, also its name, every block and
//! every chunk.

use std::collections::BTreeSet;

use super::PACK_BYTES_MAX;
use crate::error::{Error, Result, with_causes};
use crate::format::index::{BlockRow, PackKey, PackKind, PackRow, ShortId};
use crate::format::pack::{
    BLOCK_BYTES_MAX, BLOCK_OVERHEAD, Directory, DirectoryBlock, FOOTER_LEN, Footer, HEADER_LEN, PackHeader, PackKeys,
};
use crate::id::{ChunkId, ObjectId, PackId};
use crate::index::{LocalIndex, Location};
use crate::keys::domain::ChunkKind;
use crate::repo::Repository;
use crate::repo::view::is_unreadable;
use crate::seal::compress::decompress;
use crate::seal::hpke::Encapsulation;
use crate::store::{ByteRange, ObjectName, PAGE_BYTES, StoreError};

/// Read from the end of a pack at the first look: the directory of a full pack, unless much of it is padding.
const TAIL_BYTES: u64 = 32 << 10;

/// Reads of one pack that may fail: with more bad sectors than that a disk is dying, and each failure takes it seconds.
const FAILED_READS_MAX: u32 = 256;

/// A pack that is there, and what the index says of it.
pub(crate) struct Candidate {
    pub(crate) id: PackId,
    pub(crate) kind: PackKind,
    /// Length as the store lists it.
    pub(crate) bytes: u64,
    /// Segments may disagree; each gives its own description.
    pub(crate) rows: Vec<Described>,
}

/// How the index describes a pack.
pub(crate) struct Described {
    pub(super) pack: PackRow,
    /// In ascending order.
    pub(super) blocks: Vec<BlockRow>,
}

/// What was found wrong with a pack.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// In words; nothing if nothing is wrong.
    pub(super) what: Option<String>,
    /// Descriptions in the index by which nothing of the pack can be read.
    pub(super) unfit: Vec<PackRow>,
    /// Rows that describe a block of it otherwise than it is. Others may describe it rightly.
    pub(super) false_rows: BTreeSet<BlockRow>,
    /// Blocks that do not give what they should, by position.
    pub(super) broken: BTreeSet<u32>,
}

impl Verdict {
    /// Whether nothing is wrong, and all can be read.
    pub(super) fn is_sound(&self) -> bool {
        self.what.is_none() && self.unfit.is_empty() && self.false_rows.is_empty() && self.broken.is_empty()
    }

    fn wrong(&mut self, what: impl Into<String>) {
        self.what.get_or_insert_with(|| what.into());
    }
}

/// What stands in a pack about itself.
pub(super) struct Opened {
    pub(super) header: PackHeader,
    keys: PackKeys,
    pub(super) directory: Directory,
}

/// A chunk that a block gives.
pub(super) struct FoundChunk {
    pub(super) id: ChunkId,
    /// In the plain block.
    pub(super) offset: u32,
    pub(super) len: u32,
}

impl Candidate {
    pub(crate) fn name(&self) -> ObjectName {
        ObjectName::new(self.kind.object_kind(), self.id)
    }

    pub(super) fn key(&self) -> PackKey {
        (self.id, self.kind)
    }

    /// Looks at header, footer and directory only; answers whether all is well, and how many bytes that took.
    pub(super) fn glance(&self, repository: &Repository) -> Result<(bool, u64)> {
        if self.bytes < (HEADER_LEN + FOOTER_LEN) as u64 {
            return Ok((false, 0));
        }
        let get = |range| repository.objects.get_range(self.name(), range);
        let head = get(ByteRange::At { offset: 0, len: HEADER_LEN as u64 })?;
        let tail_len = TAIL_BYTES.min(self.bytes - HEADER_LEN as u64);
        let tail = get(ByteRange::Last { len: tail_len })?;
        let mut read = head.len() as u64 + tail_len;
        let Ok((header, keys)) = self.keys(repository, &head) else { return Ok((false, read)) };
        let Ok((footer, before)) = self.footer(&keys, &tail) else { return Ok((false, read)) };
        let sealed = match before.len().checked_sub(footer.len as usize) {
            Some(start) => before[start..].to_vec(),
            None => {
                read += u64::from(footer.len);
                get(ByteRange::At { offset: footer.offset.into(), len: footer.len.into() })?
            }
        };
        let Ok(directory) = keys.unseal_directory(&footer, sealed) else { return Ok((false, read)) };
        let opened = Opened { header, keys, directory };
        let is_well = self.rows.iter().all(|row| self.misfit(row, &opened).is_none());
        Ok((is_well, read))
    }

    fn keys(&self, repository: &Repository, pack: &[u8]) -> std::result::Result<(PackHeader, PackKeys), String> {
        let header = PackHeader::from_bytes(self.kind, pack).map_err(|error| format!("header: {error}"))?;
        let keys = repository.pack_keys(&header).map_err(|error| format!("header: {}", with_causes(&error)))?;
        Ok((header, keys))
    }

    /// The footer at the end of `tail`, and what of the tail lies before it.
    fn footer<'t>(&self, keys: &PackKeys, tail: &'t [u8]) -> std::result::Result<(Footer, &'t [u8]), String> {
        let (before, footer) = tail.split_last_chunk::<FOOTER_LEN>().ok_or("it is cut short")?;
        let footer = keys.unseal_footer(footer, self.bytes).map_err(|error| format!("footer: {error}"))?;
        Ok((footer, before))
    }

    /// Opens header, footer and directory of a pack that was read whole.
    pub(super) fn open(&self, repository: &Repository, pack: &[u8]) -> std::result::Result<Opened, String> {
        let (header, keys) = self.keys(repository, pack)?;
        let (footer, _) = self.footer(&keys, pack)?;
        let sealed = pack.get(footer.offset as usize..pack.len() - FOOTER_LEN).ok_or("its directory lies outside")?;
        let directory =
            keys.unseal_directory(&footer, sealed.to_vec()).map_err(|error| format!("directory: {error}"))?;
        Ok(Opened { header, keys, directory })
    }

    /// What a description says otherwise than the pack itself.
    fn misfit(&self, row: &Described, opened: &Opened) -> Option<&'static str> {
        if !is_of(&row.pack, &opened.header) || row.pack.bytes != self.bytes {
            return Some("the index describes another pack than this one");
        }
        let held = (0..).zip(&opened.directory.blocks).map(|(ordinal, block)| row_of(ordinal, block));
        (!held.eq(row.blocks.iter().copied())).then_some("the index describes other blocks than those that it holds")
    }

    /// Reads the pack from the first byte to the last, opens every block and finds each of its chunks in the index.
    ///
    /// # Errors
    /// The store does not answer, or the local index fails.
    pub(super) fn prove(&self, repository: &Repository, index: &LocalIndex) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let bytes = match self.read(repository) {
            Ok((bytes, unread)) => {
                unread.iter().for_each(|error| verdict.wrong(with_causes(error)));
                bytes
            }
            Err(error @ Error::Store { source: StoreError::Absent | StoreError::Unreachable(_), .. }) => {
                return Err(error);
            }
            // More bytes than can be, or none that somebody may read: a reader may get some, but a check promises nothing.
            Err(error) => {
                verdict.wrong(with_causes(&error));
                verdict.unfit = self.rows.iter().map(|row| row.pack.clone()).collect();
                return Ok(verdict);
            }
        };
        if ObjectId::of(&bytes) != ObjectId::from(self.id) {
            verdict.wrong("its bytes do not have the hash that is its name");
        }
        match self.open(repository, &bytes) {
            Ok(opened) => self.compare(repository, index, &opened, &bytes, &mut verdict)?,
            Err(what) => {
                verdict.wrong(what);
                self.try_descriptions(repository, &bytes, &mut verdict);
            }
        }
        Ok(verdict)
    }

    /// All of its bytes, or all that can be read; then also why that is not all.
    ///
    /// # Errors
    /// Those of the store, unless it is the disk that gives an error for some of the bytes.
    pub(super) fn read(&self, repository: &Repository) -> Result<(Vec<u8>, Option<Error>)> {
        match repository.objects.get_range(self.name(), ByteRange::Whole { limit: PACK_BYTES_MAX }) {
            Ok(bytes) => Ok((bytes, None)),
            Err(error) if is_unreadable(&error) && self.bytes <= PACK_BYTES_MAX => {
                Ok((self.read_around(repository)?, Some(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads smaller and smaller parts of a pack, so that one bad sector costs only the blocks that lie on it. Zeros stand for
    /// what cannot be read: a seal that holds over them was made over them.
    fn read_around(&self, repository: &Repository) -> Result<Vec<u8>> {
        let mut pack = vec![0; usize::try_from(self.bytes).expect("a pack fits in memory")];
        let whole = 0..pack.len();
        let mut parts = vec![whole];
        let mut failures = 0;
        while let Some(part) = parts.pop() {
            let range = ByteRange::At { offset: part.start as u64, len: part.len() as u64 };
            match repository.objects.get_range(self.name(), range) {
                Ok(bytes) => pack[part].copy_from_slice(&bytes),
                Err(error) if is_unreadable(&error) => {
                    failures += 1;
                    let middle = (part.start + part.len() / 2).next_multiple_of(PAGE_BYTES);
                    if failures < FAILED_READS_MAX && middle < part.end {
                        parts.extend([part.start..middle, middle..part.end]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pack)
    }

    /// The pack says itself what it holds: the index must say the same.
    fn compare(
        &self,
        repository: &Repository,
        index: &LocalIndex,
        opened: &Opened,
        pack: &[u8],
        verdict: &mut Verdict,
    ) -> Result<()> {
        for row in &self.rows {
            if let Some(misfit) = self.misfit(row, opened) {
                verdict.wrong(misfit);
            }
            if !is_of(&row.pack, &opened.header) {
                verdict.unfit.push(row.pack.clone());
                continue;
            }
            let is_wrong = |row: &&BlockRow| {
                let block = opened.directory.blocks.get(row.ordinal as usize);
                block.is_none_or(|block| row_of(row.ordinal, block) != **row)
            };
            verdict.false_rows.extend(row.blocks.iter().filter(is_wrong));
        }
        let mut missing = None;
        opened.for_each_block(repository, pack, |ordinal, chunks| {
            match chunks {
                Ok(chunks) => {
                    for chunk in chunks {
                        if !self.is_indexed(repository, index, opened, ordinal, &chunk)? {
                            missing.get_or_insert(chunk.id);
                            verdict.broken.insert(ordinal);
                        }
                    }
                }
                Err(what) => {
                    verdict.wrong(format!("block {ordinal}: {what}"));
                    verdict.broken.insert(ordinal);
                }
            }
            Ok(())
        })?;
        if let Some(id) = missing {
            verdict.wrong(format!("it holds chunk {id}, of which the index knows nothing"));
        }
        Ok(())
    }

    /// A pack that no segment names belongs to a run that goes on, or was killed.
    fn is_indexed(
        &self,
        repository: &Repository,
        index: &LocalIndex,
        opened: &Opened,
        ordinal: u32,
        chunk: &FoundChunk,
    ) -> Result<bool> {
        let Some(block) = opened.directory.blocks.get(ordinal as usize) else { return Ok(false) };
        if self.rows.is_empty() {
            return Ok(true);
        }
        let row = row_of(ordinal, block);
        let is_this = |found: &Location| {
            found.pack.id == self.id
                && is_of(&found.pack, &opened.header)
                && found.block == row
                && found.len == chunk.len
        };
        let found = index.lookup_where(&ShortId::from(chunk.id), &is_this);
        let found = found.map_err(|source| repository.index_error(source))?;
        Ok(found.is_some())
    }

    /// The pack does not say what it holds. A reader goes by the index: does that still lead to its blocks?
    fn try_descriptions(&self, repository: &Repository, pack: &[u8], verdict: &mut Verdict) {
        for row in &self.rows {
            let Ok(keys) = repository.pack_keys(&header_of(&row.pack)) else {
                verdict.unfit.push(row.pack.clone());
                continue;
            };
            let is_broken = |row: &&BlockRow| open_block(&keys, row, pack).is_err();
            verdict.broken.extend(row.blocks.iter().filter(is_broken).map(|row| row.ordinal));
        }
    }
}

impl Opened {
    /// Opens every block, and hands out its chunks with the ids that their bytes have.
    pub(super) fn for_each_block(
        &self,
        repository: &Repository,
        pack: &[u8],
        mut each: impl FnMut(u32, std::result::Result<Vec<FoundChunk>, String>) -> Result<()>,
    ) -> Result<()> {
        let mut chunks = self.directory.chunks.iter();
        for (ordinal, block) in (0..).zip(&self.directory.blocks) {
            let own: Vec<_> =
                chunks.by_ref().take(block.chunks as usize).map(|chunk| (chunk.kind, chunk.len)).collect();
            let plain = open_block(&self.keys, &row_of(ordinal, block), pack);
            each(ordinal, plain.and_then(|plain| found_chunks(repository, &own, &plain)))?;
        }
        Ok(())
    }
}

fn found_chunks(
    repository: &Repository,
    chunks: &[(ChunkKind, u32)],
    plain: &[u8],
) -> std::result::Result<Vec<FoundChunk>, String> {
    let mut offset = 0;
    let mut found = Vec::with_capacity(chunks.len());
    for &(kind, len) in chunks {
        let (start, end) = (offset as usize, offset as usize + len as usize);
        let bytes = plain.get(start..end).ok_or("its chunks are longer than it is")?;
        found.push(FoundChunk { id: repository.keyring.domain.chunk_id(kind, bytes), offset, len });
        offset += len;
    }
    Ok(found)
}

/// The plaintext of a block of a pack that was read whole.
fn open_block(keys: &PackKeys, row: &BlockRow, pack: &[u8]) -> std::result::Result<Vec<u8>, String> {
    if row.plain_len as usize > BLOCK_BYTES_MAX || row.sealed_len as usize > BLOCK_BYTES_MAX + BLOCK_OVERHEAD {
        return Err("it claims to be longer than any block".to_owned());
    }
    let start = row.offset as usize;
    let sealed = pack.get(start..start + row.sealed_len as usize).ok_or("it lies outside the pack")?;
    let coded = keys.unseal_block(row.ordinal, sealed.to_vec()).map_err(|error| error.to_string())?;
    decompress(&coded, row.plain_len as usize).map_err(|error| error.to_string())
}

/// A block of a directory as the index describes it.
pub(super) fn row_of(ordinal: u32, block: &DirectoryBlock) -> BlockRow {
    let DirectoryBlock { offset, sealed_len, plain_len, .. } = *block;
    BlockRow { pack: 0, ordinal, offset, sealed_len, plain_len }
}

/// Whether a description leads to the keys of the pack that begins with this header.
fn is_of(row: &PackRow, header: &PackHeader) -> bool {
    header_of(row) == *header
}

fn header_of(row: &PackRow) -> PackHeader {
    PackHeader {
        kind: row.kind,
        generation: row.generation,
        encapsulation: Encapsulation(row.encapsulation),
        commitment: row.commitment,
    }
}
