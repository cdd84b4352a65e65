//! Checks packs: each is there, has the hash that is its name, and its directory opens and agrees with the index.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::{Findings, Options};
use crate::error::{Error, Result, with_causes};
use crate::format::index::{BlockRow, PackKind, PackRow, ShortId};
use crate::format::pack::{Directory, FOOTER_LEN, HEADER_LEN, PackHeader, PackKeys};
use crate::id::PackId;
use crate::repo::Repository;
use crate::repo::fetch::Reader;
use crate::seal::compress::decompress;
use crate::store::{ObjectName, StoreError};

/// The longest pack that is read whole: the largest size that can be configured, and a block that fits into none.
const PACK_BYTES_MAX: u64 = 300 << 20;

/// Checks all packs and answers those that chunks can be restored from.
pub(super) fn check(
    repository: &Repository,
    reader: &Reader<'_>,
    options: &Options,
    findings: &mut Findings<'_>,
) -> Result<HashSet<PackId>> {
    let view = reader.view();
    let mut rows: BTreeMap<PackId, Vec<PackRow>> = BTreeMap::new();
    for row in view.index.packs().map_err(|source| repository.index_error(source))? {
        let row = row.map_err(|source| repository.index_error(source))?;
        rows.entry(row.id).or_default().push(row);
    }
    let mut present = BTreeMap::new();
    for kind in [PackKind::Tree, PackKind::Data] {
        for listed in repository.objects.list(kind.object_kind())? {
            present.insert(PackId::from(listed.id), (kind, listed.bytes));
        }
    }
    for (id, rows) in &rows {
        if let Some(row) = rows.first()
            && !present.contains_key(id)
            && view.condemned.spares(id)
        {
            findings.error(row.name().path().into_bytes(), "the index names this pack, and it is not there".to_owned());
        }
    }
    let bytes = AtomicU64::new(0);
    let cancel = findings.cx.cancel;
    let checked: Vec<_> = present
        .par_iter()
        .map(|(&id, &(kind, _))| {
            cancel.check()?;
            let name = ObjectName::new(kind.object_kind(), id);
            let outcome =
                check_pack(repository, reader, name, kind, rows.get(&id).map_or(&[], Vec::as_slice), options, &bytes);
            Ok((id, name, outcome))
        })
        .collect::<Result<_>>()?;
    let mut sound = HashSet::new();
    for (id, name, outcome) in checked {
        findings.report.packs += 1;
        match outcome {
            Ok(()) => {
                sound.insert(id);
            }
            Err(Error::Store { source: StoreError::Absent, .. }) => {}
            Err(error @ Error::Store { source: StoreError::Unreachable(_), .. }) => return Err(error),
            Err(error) => findings.object(name, &error),
        }
    }
    findings.report.bytes += bytes.into_inner();
    Ok(sound)
}

fn check_pack(
    repository: &Repository,
    reader: &Reader<'_>,
    name: ObjectName,
    kind: PackKind,
    rows: &[PackRow],
    options: &Options,
    bytes: &AtomicU64,
) -> Result<()> {
    let pack = repository.objects.get(name, PACK_BYTES_MAX)?;
    bytes.fetch_add(pack.len() as u64, Ordering::Relaxed);
    let id = PackId::from(name.id());
    let header = PackHeader::from_bytes(kind, &pack).map_err(|source| Error::Object { object: name, source })?;
    let damaged = |ordinal: u32, reason: String| Error::DamagedBlock { ordinal, pack: id, reason };
    let fits = |row: &PackRow| {
        row.bytes == pack.len() as u64
            && row.kind == kind
            && row.encapsulation == header.encapsulation.0
            && row.commitment == header.commitment
            && row.generation == header.generation
    };
    if !rows.is_empty() && !rows.iter().any(fits) {
        return Err(damaged(0, "the index describes another pack than this one".to_owned()));
    }
    let keys = repository.pack_keys(&header).map_err(|error| damaged(0, with_causes(&error)))?;
    let directory = read_directory(&keys, &pack).map_err(|reason| damaged(0, reason))?;
    if options.read_data {
        check_blocks(repository, reader, &keys, &directory, &pack, id, !rows.is_empty())?;
    }
    Ok(())
}

fn read_directory(keys: &PackKeys, pack: &[u8]) -> std::result::Result<Directory, String> {
    let footer_at = pack.len().checked_sub(FOOTER_LEN).filter(|&at| at >= HEADER_LEN).ok_or("it is cut short")?;
    let footer =
        keys.unseal_footer(&pack[footer_at..], pack.len() as u64).map_err(|error| format!("footer: {error}"))?;
    let sealed = pack.get(footer.offset as usize..footer_at).ok_or("its directory lies outside")?;
    keys.unseal_directory(&footer, sealed.to_vec()).map_err(|error| format!("directory: {error}"))
}

/// Opens every block and finds each of its chunks in the index, at this very place.
fn check_blocks(
    repository: &Repository,
    reader: &Reader<'_>,
    keys: &PackKeys,
    directory: &Directory,
    pack: &[u8],
    id: PackId,
    is_indexed: bool,
) -> Result<()> {
    let view = reader.view();
    let mut chunks = directory.chunks.iter();
    for (ordinal, block) in (0u32..).zip(&directory.blocks) {
        let damaged = |reason: String| Error::DamagedBlock { ordinal, pack: id, reason };
        let start = block.offset as usize;
        let sealed = pack
            .get(start..start + block.sealed_len as usize)
            .ok_or_else(|| damaged("it lies outside the pack".to_owned()))?;
        let coded = keys.unseal_block(ordinal, sealed.to_vec()).map_err(|error| damaged(error.to_string()))?;
        let plain = decompress(&coded, block.plain_len as usize).map_err(|error| damaged(error.to_string()))?;
        let mut at = 0;
        for chunk in chunks.by_ref().take(block.chunks as usize) {
            let end = at + chunk.len as usize;
            let bytes = plain.get(at..end).ok_or_else(|| damaged("its chunks are longer than it is".to_owned()))?;
            let chunk_id = repository.keyring.domain.chunk_id(chunk.kind, bytes);
            let row = BlockRow {
                pack: 0,
                ordinal,
                offset: block.offset,
                sealed_len: block.sealed_len,
                plain_len: block.plain_len,
            };
            let found = view
                .index
                .lookup(&ShortId::from(chunk_id), &|pack| *pack == id)
                .map_err(|source| repository.index_error(source))?;
            // A pack that no segment names yet belongs to a run that goes on, or was killed.
            let agrees = found.is_some_and(|location| location.block == row && location.len == chunk.len);
            if is_indexed && !agrees {
                return Err(damaged(format!("it holds chunk {chunk_id}, of which the index knows nothing")));
            }
            at = end;
        }
    }
    Ok(())
}
