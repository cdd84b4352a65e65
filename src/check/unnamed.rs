//! [`Unnamed`]: what packs hold of which no index segment says so. They say it themselves, so that a lost index costs nothing;
//! but to learn the ids of their chunks, all of them must be opened.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use rayon::prelude::*;

use super::PACK_BYTES_MAX;
use super::gate::Gate;
use super::pack::{Candidate, row_of};
use crate::env;
use crate::error::{Error, Result};
use crate::format::index::{BlockRow, ChunkRow, PackRow, Segment, ShortId};
use crate::format::pack::PackHeader;
use crate::format::segment::CHUNKS_MAX;
use crate::id::{ChunkId, ObjectId, SegmentId};
use crate::index::{LocalIndex, Location, OpenError};
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::open_pack::PACK_CHUNKS_MAX;
use crate::repo::state_folder::make_folder;
use crate::store::{ObjectKind, ObjectName};

/// Packs that are opened at the same time: so many that their chunks fit in one segment.
const BATCH_PACKS: usize = CHUNKS_MAX as usize / PACK_CHUNKS_MAX;

/// An index of packs that no segment names. It is made only when something is not where the true index says.
pub(super) struct Unnamed<'a> {
    repository: &'a Repository,
    packs: Vec<Candidate>,
    index: Option<LocalIndex>,
    /// Where that is kept. Goes after it.
    folder: Option<OwnFolder>,
    is_wanted: AtomicBool,
}

impl<'a> Unnamed<'a> {
    pub(super) fn new(repository: &'a Repository, packs: Vec<Candidate>) -> Self {
        Self { repository, packs, index: None, folder: None, is_wanted: AtomicBool::new(false) }
    }

    /// Where a chunk lies that is not where the index says. Nothing before [`Unnamed::open`]; then this is known to be wanted.
    pub(super) fn locate(&self, id: &ChunkId) -> Result<Option<Location>> {
        let Some(index) = &self.index else {
            self.is_wanted.store(!self.packs.is_empty(), Ordering::Relaxed);
            return Ok(None);
        };
        index.lookup(&ShortId::from(*id), &|_| true).map_err(|source| self.repository.index_error(source))
    }

    /// Whether a chunk was looked for before there was an answer.
    pub(super) fn is_wanted(&self) -> bool {
        self.index.is_none() && self.is_wanted.load(Ordering::Relaxed)
    }

    /// Opens all packs.
    pub(super) fn open(&mut self, cx: &Context<'_>) -> Result<()> {
        let key = blake3::derive_key("caddis local check index key", self.repository.keyring.domain.secret());
        let folder = OwnFolder::make(&self.repository.cache_folder.join("check"))?;
        let opened = LocalIndex::open(&folder.path, &key, &[], &mut |id| Err(not_listed(id)));
        self.folder = Some(folder);
        let index = match opened {
            Ok(index) => index,
            Err(OpenError::Index(source)) => return Err(self.repository.index_error(source)),
            Err(OpenError::Fetch { source, .. }) => return Err(source),
        };
        for_each_opened(self.repository, &self.packs, cx, &mut |segment| self.add(&index, segment), &mut |_| {})?;
        self.index = Some(index);
        Ok(())
    }

    fn add(&self, index: &LocalIndex, segment: &Segment) -> Result<()> {
        let Some(first) = segment.packs.first() else { return Ok(()) };
        // Any name that no other of them has.
        let id = SegmentId::from(ObjectId::from(first.id));
        index.add_segment(id, segment).map_err(|source| self.repository.index_error(source))
    }
}

/// Opens packs, as many at a time as their chunks fit in one segment, and hands out the rows of all chunks that they give, each
/// of which is proved by its id. `damaged` hears of each pack that does not give all that it should.
pub(crate) fn for_each_opened(
    repository: &Repository,
    packs: &[Candidate],
    cx: &Context<'_>,
    each: &mut dyn FnMut(&Segment) -> Result<()>,
    damaged: &mut dyn FnMut(&Candidate),
) -> Result<()> {
    let gate = Gate::new();
    for batch in packs.chunks(BATCH_PACKS) {
        let opened: Vec<_> = batch
            .par_iter()
            .map(|pack| {
                cx.cancel.check()?;
                let _held = gate.enter(pack.bytes.min(PACK_BYTES_MAX));
                segment_of(repository, pack)
            })
            .collect::<Result<_>>()?;
        let is_whole = |opened: &Option<Segment>| {
            opened.as_ref().is_some_and(|segment| segment.packs.iter().all(|pack| pack.proved))
        };
        batch.iter().zip(&opened).filter(|(_, opened)| !is_whole(opened)).for_each(|(pack, _)| damaged(pack));
        for mut segment in join(opened.into_iter().flatten()) {
            // Others believe that only of somebody who may say so.
            let may_prove = repository.keyring.rights.contains(Rights::PRUNE);
            segment.packs.iter_mut().for_each(|pack| pack.proved &= may_prove);
            each(&segment)?;
        }
    }
    Ok(())
}

/// The rows of what can be read of a pack, which is called proved if that is all of it; nothing if it gives nothing.
fn segment_of(repository: &Repository, pack: &Candidate) -> Result<Option<Segment>> {
    let (bytes, unread) = match pack.read(repository) {
        Ok(read) => read,
        Err(error) => return super::finding_of(error).map(|_| None),
    };
    let Ok(opened) = pack.open(repository, &bytes) else { return Ok(None) };
    let mut segment = Segment { packs: vec![row_of_pack(repository, pack, &opened.header)], ..Segment::default() };
    let mut is_whole = unread.is_none() && ObjectId::of(&bytes) == ObjectId::from(pack.id);
    opened.for_each_block(repository, &bytes, |ordinal, chunks| {
        let (Ok(chunks), Some(block)) = (chunks, opened.directory.blocks.get(ordinal as usize)) else {
            is_whole = false;
            return Ok(());
        };
        let place = u32::try_from(segment.blocks.len()).expect("the directory counts its blocks in 32 bits");
        segment.blocks.push(row_of(ordinal, block));
        segment.chunks.extend(chunks.iter().map(|chunk| ChunkRow {
            id: ShortId::from(chunk.id),
            block: place,
            offset: chunk.offset,
            len: chunk.len,
        }));
        Ok(())
    })?;
    segment.packs.iter_mut().for_each(|row| row.proved = is_whole);
    // More chunks than any segment may have: no writer makes such packs, and no index could hold them.
    let is_of_use = !segment.chunks.is_empty() && segment.chunks.len() <= CHUNKS_MAX as usize;
    Ok(is_of_use.then_some(segment))
}

/// A folder that no other check uses, removed by drop. It is locked while it is used, so that what a check leaves that was killed
/// is known to be nobody's, and removed by the next one that needs such a folder.
struct OwnFolder {
    path: PathBuf,
    _lock: Option<File>,
}

impl OwnFolder {
    /// Makes one below `root`. Where none can be made, an index is kept in memory.
    fn make(root: &Path) -> Result<Self> {
        remove_abandoned(root);
        let path = root.join(HEXLOWER.encode(&env::random_bytes::<8>()?));
        // Between these steps it looks abandoned: who then removes it makes this check do without it.
        let lock =
            make_folder(&path).ok().and_then(|()| File::open(&path).ok()).filter(|folder| folder.try_lock().is_ok());
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_abandoned(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// This index is made of no segments, so that none of them is ever missing.
fn not_listed(segment: SegmentId) -> Error {
    Error::WrongHash { object: ObjectName::new(ObjectKind::Index, segment) }
}

fn row_of_pack(repository: &Repository, pack: &Candidate, header: &PackHeader) -> PackRow {
    PackRow {
        id: pack.id,
        kind: pack.kind,
        bytes: pack.bytes,
        generation: header.generation,
        encapsulation: header.encapsulation.0,
        commitment: header.commitment,
        origin: repository.signatory.public().principal(),
        proved: false,
    }
}

/// As few segments as hold the rows of all these.
fn join(segments: impl Iterator<Item = Segment>) -> Vec<Segment> {
    let mut joined: Vec<Segment> = Vec::new();
    for segment in segments {
        match joined.last_mut() {
            Some(last) if last.chunks.len() + segment.chunks.len() <= CHUNKS_MAX as usize => append(last, segment),
            _ => joined.push(segment),
        }
    }
    joined.iter_mut().for_each(|segment| segment.chunks.sort_unstable());
    joined
}

/// Adds the rows of one pack to those of others.
fn append(to: &mut Segment, own: Segment) {
    let count = |len: usize| u32::try_from(len).expect("a batch has few packs, and no more blocks than chunks");
    let (pack, block) = (count(to.packs.len()), count(to.blocks.len()));
    to.packs.extend(own.packs);
    to.blocks.extend(own.blocks.into_iter().map(|row| BlockRow { pack, ..row }));
    to.chunks.extend(own.chunks.into_iter().map(|row| ChunkRow { block: block + row.block, ..row }));
}
