//! [`Session`]: one run that writes. It decides which chunks are new, gathers them in blocks, and sees to it that packs are
//! durable before the index names them.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::Repository;
use super::open_pack::{BlockChunk, PACK_CHUNKS_MAX, StoredPack};
use super::packer::{Block, Packer};
use super::view::View;
use crate::error::{Error, Result};
use crate::format::index::{BlockRow, ChunkRow, PackKind, Segment, ShortId};
use crate::format::log;
use crate::format::segment::CHUNKS_MAX;
use crate::id::{ChunkId, PackId};
use crate::index::Location;
use crate::keys::domain::ChunkKind;
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::seal::compress::{Compression, RawBlock};
use crate::store::ObjectKind;

/// A block of contents comes as near as it can to so many plain bytes: nearly the ratio of a solid archive, and one file costs
/// a few milliseconds to read. A little less than a sixteenth of a full pack of the default length: where nothing can be
/// compressed, sixteen blocks and their directory fill one, and one of them may be half a chunk longer than this.
const BLOCK_BYTES: usize = (2 << 20) - (12 << 10);

/// The same for metadata: a path leads through several blocks, one for each folder that lies elsewhere.
const TREE_BLOCK_BYTES: usize = 1 << 20;

/// A chunk from here on is a block of its own: it compresses as well alone, and no neighbour is read with it.
const LARGE_CHUNK_BYTES: usize = 1 << 20;

/// Blocks of data that are open at a time, one for each owner whose files turn up: a block never mixes files of two owners,
/// or the length of one would tell something about the other.
const OPEN_BLOCKS_MAX: usize = 4;

/// An interim segment is put after so many packs or so long, so that a run that is killed is not done again from the start.
const SEGMENT_PACKS: usize = 4;
/// Packs of one segment, whose chunks then fit in it however small they are.
const SEGMENT_PACKS_MAX: usize = CHUNKS_MAX as usize / PACK_CHUNKS_MAX;
const _: () = assert!(SEGMENT_PACKS_MAX >= SEGMENT_PACKS);
const SEGMENT_INTERVAL: Duration = Duration::from_secs(120);

/// Chunks that a rehearsal remembers, in some hundred megabytes. One that comes again after so many others counts as new
/// again.
const REHEARSED_CHUNKS_MAX: usize = 2 << 20;

/// Whose bytes a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of this user.
    User(u32),
    /// What came from nowhere: no file of anybody's.
    Stream,
    /// Names and other metadata.
    Tree,
}

/// What a session has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Plain bytes of chunks that were new.
    pub new_bytes: u64,
    /// New chunks.
    pub new_chunks: u64,
    /// Bytes of packs and index segments put.
    pub stored_bytes: u64,
}

/// One run that writes.
pub struct Session<'r> {
    repository: &'r Repository,
    view: View,
    /// Nothing in a rehearsal: chunks are named and counted, and go nowhere.
    packer: Option<Packer>,
    /// Chunks that this run stores and no segment names yet. The one place where "is it new?" is answered.
    claims: HashSet<ShortId>,
    /// Packs that are really there.
    there: HashSet<PackId>,
    /// Packs that the snapshot will rely on.
    relied: HashSet<PackId>,
    open: VecDeque<(Origin, Block)>,
    waiting: Vec<StoredPack>,
    last_segment: Duration,
    stored: Stored,
}

impl<'r> Session<'r> {
    /// A session that deduplicates against `view`.
    ///
    /// # Errors
    /// A listing fails; the system gives no threads.
    pub fn start(repository: &'r Repository, view: View, compression: Compression, cx: &Context<'_>) -> Result<Self> {
        let origin = repository.signatory.public().principal();
        let pack_bytes = repository.config.pack_bytes;
        // Who cannot read trees has no use for them.
        let tree_cache = repository.keyring.rights.contains(Rights::READ).then_some(&repository.tree_cache);
        let packer =
            Packer::start(&repository.objects, tree_cache, &repository.keyring, origin, pack_bytes, compression)?;
        Ok(Self { packer: Some(packer), ..Self::rehearse(repository, view, cx)? })
    }

    /// A session that says what would be new and stores nothing.
    ///
    /// # Errors
    /// A listing fails.
    pub fn rehearse(repository: &'r Repository, view: View, cx: &Context<'_>) -> Result<Self> {
        let there = repository.packs_there(&view, cx)?;
        Ok(Self {
            repository,
            view,
            packer: None,
            claims: HashSet::new(),
            there,
            relied: HashSet::new(),
            open: VecDeque::new(),
            waiting: Vec::new(),
            last_segment: cx.clock.elapsed(),
            stored: Stored::default(),
        })
    }

    /// The repository that is written to.
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Stores a chunk unless it is there already, and answers its id.
    pub fn store(&mut self, kind: ChunkKind, origin: Origin, plain: &[u8], cx: &Context<'_>) -> Result<ChunkId> {
        let id = self.repository.keyring.domain.chunk_id(kind, plain);
        if !self.claim(id.into())? {
            return Ok(id);
        }
        self.stored.new_chunks += 1;
        self.stored.new_bytes += plain.len() as u64;
        let Some(packer) = &self.packer else {
            if self.claims.len() >= REHEARSED_CHUNKS_MAX {
                self.claims.clear();
            }
            return Ok(id);
        };
        let len = u32::try_from(plain.len()).expect("chunks are at most 8 MiB long");
        let chunk = BlockChunk { id: id.into(), kind, len };
        if plain.len() >= LARGE_CHUNK_BYTES {
            let mut raw = packer.blank(plain.len());
            raw.push(plain);
            self.push(Block { kind: PackKind::of(kind), raw, chunks: vec![chunk], is_coded: false }, cx)?;
        } else {
            self.gather(kind, origin, plain, chunk, cx)?;
        }
        Ok(id)
    }

    /// Stores a block as it is coded in another pack, whatever of it is there already.
    pub fn copy(&mut self, kind: PackKind, chunks: Vec<BlockChunk>, coded: Vec<u8>, cx: &Context<'_>) -> Result<()> {
        self.claims.extend(chunks.iter().map(|chunk| chunk.id));
        self.push(Block { kind, raw: RawBlock::from_coded(coded), chunks, is_coded: true }, cx)
    }

    /// Whether a chunk is new, and from now on this run's to store.
    fn claim(&mut self, id: ShortId) -> Result<bool> {
        if self.claims.contains(&id) || self.find(id)?.is_some() {
            return Ok(false);
        }
        Ok(self.claims.insert(id))
    }

    /// Where a chunk lies in a pack that may be relied on, which the snapshot does from now on.
    fn find(&mut self, id: ShortId) -> Result<Option<Location>> {
        let usable = |Location { pack, .. }: &Location| {
            self.repository.trusts(pack) && self.view.condemned.spares(&pack.id) && self.there.contains(&pack.id)
        };
        let found = self.view.index.lookup_where(&id, &usable).map_err(|source| self.repository.index_error(source))?;
        if let Some(location) = &found {
            self.relied.insert(location.pack.id);
        }
        Ok(found)
    }

    /// Whether a chunk of `len` bytes, taken over without having been read, is there; the snapshot relies on it then. Nothing
    /// is known of the length of one that this run stores: it is of no other length than its id says.
    pub fn relies_on(&mut self, id: &ChunkId, len: Option<u32>) -> Result<bool> {
        let short = ShortId::from(*id);
        if self.claims.contains(&short) {
            return Ok(true);
        }
        Ok(self.find(short)?.is_some_and(|found| len.is_none_or(|len| found.len == len)))
    }

    /// The packs that may be relied on: those of the index that are there, not condemned, and made by somebody trusted.
    pub fn usable_packs(&self) -> Result<HashSet<PackId>> {
        let index_error = |source| self.repository.index_error(source);
        let mut usable = HashSet::new();
        for pack in self.view.index.packs().map_err(index_error)? {
            let pack = pack.map_err(index_error)?;
            let is_there = self.there.contains(&pack.id) && self.view.condemned.spares(&pack.id);
            if is_there && self.repository.trusts(&pack) {
                usable.insert(pack.id);
            }
        }
        Ok(usable)
    }

    /// The snapshot relies on what lies in these packs, without its having been looked up.
    pub fn rely_on(&mut self, packs: impl IntoIterator<Item = PackId>) {
        self.relied.extend(packs);
    }

    fn gather(
        &mut self,
        kind: ChunkKind,
        origin: Origin,
        plain: &[u8],
        chunk: BlockChunk,
        cx: &Context<'_>,
    ) -> Result<()> {
        let aim = if origin == Origin::Tree { TREE_BLOCK_BYTES } else { BLOCK_BYTES };
        // Where packs are short, so that few blocks need one that is longer than others.
        let aim = aim.min(self.repository.config.pack_bytes as usize);
        let mut at = self.open.iter().position(|(owner, _)| *owner == origin);
        if let Some(full) = at.take_if(|at| self.open[*at].1.raw.plain().len() + plain.len() / 2 > aim)
            && let Some((_, block)) = self.open.remove(full)
        {
            self.push(block, cx)?;
        }
        let at = match at {
            Some(at) => at,
            None => {
                if self.open.len() == OPEN_BLOCKS_MAX
                    && let Some((_, oldest)) = self.open.pop_front()
                {
                    self.push(oldest, cx)?;
                }
                let raw = self.packer().blank(aim + LARGE_CHUNK_BYTES / 2);
                let block = Block { kind: PackKind::of(kind), raw, chunks: Vec::new(), is_coded: false };
                self.open.push_back((origin, block));
                self.open.len() - 1
            }
        };
        let block = &mut self.open[at].1;
        block.raw.push(plain);
        block.chunks.push(chunk);
        Ok(())
    }

    fn packer(&self) -> &Packer {
        self.packer.as_ref().expect("a rehearsal makes no blocks")
    }

    fn push(&mut self, block: Block, cx: &Context<'_>) -> Result<()> {
        self.packer().push(block)?;
        self.waiting.extend(self.packer().take_stored());
        let is_late = cx.clock.elapsed().saturating_sub(self.last_segment) >= SEGMENT_INTERVAL;
        if self.waiting.len() >= SEGMENT_PACKS || (is_late && !self.waiting.is_empty()) {
            self.put_segments(cx)?;
        }
        Ok(())
    }

    /// Makes all that was stored durable and known: packs, then the index.
    pub fn flush(&mut self, cx: &Context<'_>) -> Result<()> {
        while let Some((_, block)) = self.open.pop_front() {
            self.push(block, cx)?;
        }
        if let Some(packer) = &self.packer {
            packer.flush()?;
            self.waiting.extend(packer.take_stored());
        }
        self.put_segments(cx)
    }

    /// Puts index segments for the packs that wait for one, and forgets the claims that they answer from now on.
    fn put_segments(&mut self, cx: &Context<'_>) -> Result<()> {
        while !self.waiting.is_empty() {
            let packs = self.waiting.len().min(SEGMENT_PACKS_MAX);
            let segment = segment_of(&self.waiting[..packs]);
            self.put_segment(&segment, cx)?;
            self.waiting.drain(..packs);
        }
        Ok(())
    }

    fn put_segment(&mut self, segment: &Segment, cx: &Context<'_>) -> Result<()> {
        let bytes = log::encode_segment(segment, &self.repository.keyring, &self.repository.signatory)
            .map_err(|source| Error::Encode { what: "an index segment", source })?;
        let name = self.repository.objects.put(ObjectKind::Index, &bytes)?;
        self.view.index.add_segment(name.id().into(), segment).map_err(|source| self.repository.index_error(source))?;
        for chunk in &segment.chunks {
            self.claims.remove(&chunk.id);
        }
        self.there.extend(segment.packs.iter().map(|pack| pack.id));
        self.relied.extend(segment.packs.iter().map(|pack| pack.id));
        self.stored.stored_bytes += bytes.len() as u64 + segment.packs.iter().map(|pack| pack.bytes).sum::<u64>();
        self.last_segment = cx.clock.elapsed();
        Ok(())
    }

    /// After a failure: names the packs that are durable, as far as that still works, so that the next run need not store
    /// them again.
    pub fn rescue(&mut self, cx: &Context<'_>) {
        self.waiting.extend(self.packer.iter().flat_map(Packer::take_stored));
        // The failure that led here is the one to report.
        let _ = self.put_segments(cx);
    }

    /// What has been stored so far.
    pub fn stored(&self) -> Stored {
        self.stored
    }

    /// What the session has seen and relies on, once all is flushed.
    pub fn finish(mut self, cx: &Context<'_>) -> Result<Relied> {
        self.flush(cx)?;
        Ok(Relied { view: self.view, packs: self.relied })
    }
}

/// The packs that a snapshot relies on, and the view in which they were usable.
pub struct Relied {
    /// As the session saw the repository when it began, and its own segments.
    pub view: View,
    /// Own packs, and packs of others that hold chunks of the snapshot.
    pub packs: HashSet<PackId>,
}

fn segment_of(packs: &[StoredPack]) -> Segment {
    let mut segment = Segment::default();
    for (number, pack) in packs.iter().enumerate() {
        let first = u32_count(segment.blocks.len());
        let number = u32_count(number);
        segment.packs.push(pack.row.clone());
        segment.blocks.extend(pack.blocks.iter().map(|&block| BlockRow { pack: number, ..block }));
        segment.chunks.extend(pack.chunks.iter().map(|&chunk| ChunkRow { block: first + chunk.block, ..chunk }));
    }
    segment.chunks.sort_unstable();
    segment
}

fn u32_count(count: usize) -> u32 {
    u32::try_from(count).expect("a session keeps few packs waiting")
}
