//! [`Reader`]: chunks by id. Every chunk is proved by its keyed hash before its bytes are used.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::Repository;
use super::stretch::{Stretch, Stretches, is_near};
use super::tree_cache::TreeCache;
use super::view::{View, is_absent, is_unreadable};
use crate::error::{Error, Result};
use crate::format::index::{PackKind, PackRow, ShortId};
use crate::format::pack::{BLOCK_BYTES_MAX, BLOCK_OVERHEAD, PackHeader, PackKeyError, PackKeys};
use crate::id::{ChunkId, PackId};
use crate::index::Location;
use crate::keys::domain::ChunkKind;
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::seal::compress::decompress;
use crate::seal::hpke::Encapsulation;
use crate::store::ByteRange;

/// Plain bytes of blocks that are kept for the next chunk: a window of neighbouring files for each of a few threads.
const BLOCK_CACHE_BYTES: usize = 32 << 20;

/// Plain bytes of blocks that are fetched ahead at most: the first of them must still be kept when it is wanted.
const AHEAD_BYTES: u64 = (BLOCK_CACHE_BYTES / 2) as u64;

/// The repository is looked at again for missing chunks at most so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Packs whose keys are kept; an agreement on a key costs a tenth of a millisecond.
const PACK_KEYS_MAX: usize = 4096;

/// Reads chunks of a repository. Shared by the threads of an operation.
pub struct Reader<'r> {
    repository: &'r Repository,
    context: Context<'r>,
    tree_cache: Option<&'r TreeCache>,
    view: RwLock<Arc<View>>,
    /// When the view was refreshed last.
    looked: Mutex<Option<Duration>>,
    blocks: Mutex<BlockCache>,
    /// What was read of tree packs around the blocks that were wanted.
    trees: Mutex<Stretches>,
    keys: Mutex<HashMap<KeysKey, Arc<PackKeys>>>,
}

/// All that the keys of a pack depend on.
type KeysKey = (u32, [u8; 32], [u8; 32]);

impl<'r> Reader<'r> {
    /// A reader of what the repository holds now.
    pub fn open(repository: &'r Repository, cx: &Context<'r>) -> Result<Self> {
        Self::start(repository, Some(&repository.tree_cache), cx)
    }

    /// A reader that takes every byte from the store, whatever this machine has kept of it.
    pub fn open_uncached(repository: &'r Repository, cx: &Context<'r>) -> Result<Self> {
        Self::start(repository, None, cx)
    }

    /// A reader of what was there when `view` was taken.
    pub fn of_view(repository: &'r Repository, view: Arc<View>, cx: &Context<'r>) -> Result<Self> {
        Self::with_view(repository, Some(&repository.tree_cache), view, cx)
    }

    fn start(repository: &'r Repository, tree_cache: Option<&'r TreeCache>, cx: &Context<'r>) -> Result<Self> {
        repository.require(Rights::READ)?;
        Self::with_view(repository, tree_cache, Arc::new(repository.look(cx)?), cx)
    }

    fn with_view(
        repository: &'r Repository,
        tree_cache: Option<&'r TreeCache>,
        view: Arc<View>,
        cx: &Context<'r>,
    ) -> Result<Self> {
        repository.require(Rights::READ)?;
        Ok(Self {
            repository,
            context: *cx,
            tree_cache,
            view: RwLock::new(view),
            looked: Mutex::default(),
            blocks: Mutex::default(),
            trees: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    /// The view that look-ups go to now.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where a chunk lies; a pack that is not condemned is preferred.
    ///
    /// # Errors
    /// [`Error::MissingChunk`], after the index was listed again: somebody may have pruned meanwhile.
    pub fn locate(&self, id: &ChunkId) -> Result<Location> {
        self.locate_but(id, &[])
    }

    /// Where a chunk of `len` bytes lies, by whichever row says that it is so long.
    ///
    /// # Errors
    /// Those of [`Self::locate`]; [`Error::MalformedChunk`] if every row says something else.
    pub fn locate_of_len(&self, id: &ChunkId, len: u32) -> Result<Location> {
        let first = self.locate(id)?;
        let reason = format!("its length is {} and not {len}", first.len);
        let mut passed = Vec::new();
        let mut next = Some(first);
        while let Some(location) = next {
            if location.len == len {
                return Ok(location);
            }
            passed.push(location);
            next = self.locate_except(id, &passed)?;
        }
        Err(Error::MalformedChunk { id: *id, reason })
    }

    /// Where a chunk lies by what is known of the index now, passing over some rows.
    ///
    /// # Errors
    /// The local index fails.
    pub fn locate_except(&self, id: &ChunkId, passed: &[Location]) -> Result<Option<Location>> {
        self.lookup(&self.view(), id, passed)
    }

    fn locate_but(&self, id: &ChunkId, broken: &[Location]) -> Result<Location> {
        let view = self.view();
        if let Some(location) = self.lookup(&view, id, broken)? {
            return Ok(location);
        }
        let view = self.refresh(&view)?;
        self.lookup(&view, id, broken)?.ok_or(Error::MissingChunk { id: *id })
    }

    /// Rows of makers who could check what they say come first, and packs that will not be deleted. Rows are told apart as a
    /// whole: nobody can get in the way of a pack, or of one of its blocks, by describing it wrongly.
    fn lookup(&self, view: &View, id: &ChunkId, broken: &[Location]) -> Result<Option<Location>> {
        let short = ShortId::from(*id);
        let usable = |found: &Location| !broken.contains(found);
        let spared = |found: &Location| usable(found) && view.condemned.spares(&found.pack.id);
        let trusted = |found: &Location| spared(found) && self.repository.trusts(&found.pack);
        let by_preference: [&dyn Fn(&Location) -> bool; 3] = [&trusted, &spared, &usable];
        for admits in by_preference {
            let found = view.index.lookup_where(&short, admits);
            if let Some(location) = found.map_err(|source| self.repository.index_error(source))? {
                return Ok(Some(location));
            }
        }
        Ok(None)
    }

    /// Looks again, unless that was done since `stale` was taken or just now: a lost pack makes very many chunks missing.
    ///
    /// The others wait meanwhile, so that none takes for lost what is found a moment later. That is safe in any thread, also in
    /// one of rayon's, because nothing below a look uses rayon: a thread that holds the lock never takes up a task that waits for
    /// it.
    fn refresh(&self, stale: &Arc<View>) -> Result<Arc<View>> {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.context.clock.elapsed();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = looked.is_some_and(|then| now.saturating_sub(then) < LOOK_INTERVAL);
        if Arc::ptr_eq(&view, stale) && !is_recent {
            *view = Arc::new(self.repository.look(&self.context)?);
            *looked = Some(now);
        }
        Ok(Arc::clone(&view))
    }

    /// The plaintext of a chunk, proved. When one pack does not give it, another one that holds it is tried.
    pub fn chunk(&self, kind: ChunkKind, id: &ChunkId) -> Result<Vec<u8>> {
        let mut broken = Vec::new();
        let mut first_error = None;
        loop {
            let location = match self.locate_but(id, &broken) {
                Ok(location) => location,
                Err(error) => return Err(first_error.unwrap_or(error)),
            };
            match self.chunk_at(kind, id, &location) {
                Ok(plain) => return Ok(plain),
                Err(error) if is_damage(&error) => {
                    broken.push(location);
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn chunk_at(&self, kind: ChunkKind, id: &ChunkId, location: &Location) -> Result<Vec<u8>> {
        let block = self.block(location)?;
        self.prove(kind, id, location, &block).map(<[u8]>::to_vec)
    }

    /// The bytes of a chunk in its block, once their keyed hash is the chunk's id.
    pub fn prove<'b>(&self, kind: ChunkKind, id: &ChunkId, location: &Location, block: &'b [u8]) -> Result<&'b [u8]> {
        let (start, len) = (location.offset as usize, location.len as usize);
        let plain = block.get(start..start + len);
        match plain {
            Some(plain) if self.repository.keyring.domain.chunk_id(kind, plain) == *id => Ok(plain),
            _ => Err(damaged(location, format!("it does not hold chunk {id}"))),
        }
    }

    /// Whether `plain` is the content of this chunk of data.
    pub fn is_data_chunk(&self, id: &ChunkId, plain: &[u8]) -> bool {
        self.repository.keyring.domain.chunk_id(ChunkKind::Data, plain) == *id
    }

    /// The plaintext of a block; its chunks are not proved yet.
    pub fn block(&self, location: &Location) -> Result<Arc<Vec<u8>>> {
        if let Some(block) = self.kept_block(location) {
            return Ok(block);
        }
        let block = Arc::new(self.open_block(location, self.sealed_block(location)?)?);
        self.keep_block(location, &block);
        Ok(block)
    }

    /// The plaintext of a block that was decoded a moment ago.
    pub fn kept_block(&self, location: &Location) -> Option<Arc<Vec<u8>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(&block_key(location))
    }

    /// Keeps the plaintext of a block for who wants it next.
    pub fn keep_block(&self, location: &Location, block: &Arc<Vec<u8>>) {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).insert(block_key(location), Arc::clone(block));
    }

    /// Reads blocks that are wanted soon into the cache, those that lie close together with one request.
    ///
    /// What cannot be read is left to whoever wants it: there may be another place for it. So are blocks that are too many to
    /// be kept.
    pub fn fetch_ahead(&self, mut locations: Vec<Location>) {
        locations.retain(|location| self.kept_block(location).is_none());
        locations.sort_unstable_by(|a, b| (&a.pack, a.block.offset).cmp(&(&b.pack, b.block.offset)));
        locations.dedup_by(|a, b| a.pack == b.pack && a.block == b.block);
        if locations.iter().map(|location| u64::from(location.block.plain_len)).sum::<u64>() > AHEAD_BYTES {
            return;
        }
        let mut rest = &locations[..];
        while let Some((first, behind)) = rest.split_first() {
            let more = (0..behind.len()).take_while(|&at| is_near(first, &rest[at], &behind[at])).count();
            let (near, others) = rest.split_at(1 + more);
            rest = others;
            let Ok(stretch) = self.stretch(first, &near[more]) else { continue };
            for location in near {
                if let Ok(block) = self.block_in(&stretch, location) {
                    self.keep_block(location, &Arc::new(block));
                }
            }
        }
    }

    /// What lies in a pack from the first of two of its blocks to the end of the last, got with one request.
    pub fn stretch(&self, first: &Location, last: &Location) -> Result<Stretch> {
        let range = range_of(first)?.start..range_of(last)?.end;
        Ok(Stretch::new(range.start, self.sealed_range(first, &range)?))
    }

    /// The plaintext of a block in a stretch of its pack; its chunks are not proved yet.
    pub fn block_in(&self, stretch: &Stretch, location: &Location) -> Result<Vec<u8>> {
        let coded = self.coded_block_in(stretch, location)?;
        self.decode_block(location, &coded)
    }

    /// A block in a stretch of its pack, as it is coded there.
    pub fn coded_block_in(&self, stretch: &Stretch, location: &Location) -> Result<Vec<u8>> {
        let sealed = stretch.cut(&range_of(location)?);
        let sealed = sealed.ok_or_else(|| damaged(location, "it lies elsewhere".to_owned()))?;
        self.unseal_block(location, sealed.to_vec())
    }

    fn sealed_block(&self, location: &Location) -> Result<Vec<u8>> {
        let range = range_of(location)?;
        if location.pack.kind == PackKind::Tree
            && let Some(sealed) = self.sealed_tree_block(location, &range)
        {
            return Ok(sealed);
        }
        self.sealed_range(location, &range)
    }

    /// A block of a tree pack, read together with what is likely to be wanted next. Nothing if the pack does not give so much:
    /// perhaps the block alone can be read.
    fn sealed_tree_block(&self, location: &Location, range: &Range<u64>) -> Option<Vec<u8>> {
        let pack = &location.pack;
        let plan = {
            let trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sealed) = trees.cut(&pack.id, range) {
                return Some(sealed);
            }
            trees.plan(pack, range)
        };
        let stretch = Stretch::new(plan.start, self.sealed_trees(location, &plan).ok()?);
        let sealed = stretch.cut(range)?.to_vec();
        self.trees.lock().unwrap_or_else(PoisonError::into_inner).keep(pack.id, stretch);
        Some(sealed)
    }

    /// Sealed bytes of a tree pack, which is kept if it is read whole.
    fn sealed_trees(&self, location: &Location, range: &Range<u64>) -> Result<Vec<u8>> {
        let Some(cache) = self.tree_cache else { return self.sealed_range(location, range) };
        let pack = &location.pack;
        if let Some(sealed) = cache.get(pack, range) {
            return Ok(sealed);
        }
        let sealed = self.sealed_range(location, range)?;
        if *range == (0..pack.bytes) {
            cache.keep(&pack.id, &sealed);
        }
        Ok(sealed)
    }

    /// Sealed bytes of the pack in which `location` lies.
    fn sealed_range(&self, location: &Location, range: &Range<u64>) -> Result<Vec<u8>> {
        let range = ByteRange::At { offset: range.start, len: range.end.saturating_sub(range.start) };
        match self.repository.objects.get_range(location.pack.name(), range) {
            // Nothing is wrong with the store: the pack ends too early, or it is gone.
            Err(error) if is_absent(&error) || is_short(&error) || is_unreadable(&error) => {
                Err(damaged(location, crate::error::with_causes(&error)))
            }
            sealed => sealed,
        }
    }

    /// Unseals and decompresses a block.
    pub fn open_block(&self, location: &Location, sealed: Vec<u8>) -> Result<Vec<u8>> {
        let coded = self.unseal_block(location, sealed)?;
        self.decode_block(location, &coded)
    }

    /// Unseals a block, which stays as it is coded.
    pub fn unseal_block(&self, location: &Location, sealed: Vec<u8>) -> Result<Vec<u8>> {
        let keys = self.pack_keys(&location.pack).map_err(|error| damaged(location, error.to_string()))?;
        keys.unseal_block(location.block.ordinal, sealed).map_err(|error| damaged(location, error.to_string()))
    }

    /// Decompresses what was unsealed.
    pub fn decode_block(&self, location: &Location, coded: &[u8]) -> Result<Vec<u8>> {
        let plain_len = location.block.plain_len as usize;
        if plain_len > BLOCK_BYTES_MAX {
            return Err(damaged(location, "it claims to be longer than any block".to_owned()));
        }
        decompress(coded, plain_len).map_err(|error| damaged(location, error.to_string()))
    }

    fn pack_keys(&self, pack: &PackRow) -> std::result::Result<Arc<PackKeys>, PackKeyError> {
        let key = (pack.generation, pack.encapsulation, pack.commitment);
        if let Some(keys) = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(keys));
        }
        let header = PackHeader {
            kind: pack.kind,
            generation: pack.generation,
            encapsulation: Encapsulation(pack.encapsulation),
            commitment: pack.commitment,
        };
        let keys = Arc::new(self.repository.pack_keys(&header)?);
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PACK_KEYS_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&keys));
        Ok(keys)
    }
}

impl Repository {
    /// The keys of a pack with this header.
    pub fn pack_keys(&self, header: &PackHeader) -> std::result::Result<PackKeys, PackKeyError> {
        let keys = self.keyring.generations.get(&header.generation).ok_or(PackKeyError::WrongKey)?;
        header.keys(keys, &self.id())
    }
}

/// Whether an error means that data is missing or wrong, and not that the store does not answer.
pub fn is_damage(error: &Error) -> bool {
    matches!(error, Error::DamagedBlock { .. } | Error::MissingChunk { .. } | Error::MalformedChunk { .. })
}

fn is_short(error: &Error) -> bool {
    matches!(error, Error::Store { source: crate::store::StoreError::Short { .. }, .. })
}

/// Where a block lies in its pack.
fn range_of(location: &Location) -> Result<Range<u64>> {
    let row = &location.block;
    if row.sealed_len as usize > BLOCK_BYTES_MAX + BLOCK_OVERHEAD {
        return Err(damaged(location, "it claims to be longer than any block".to_owned()));
    }
    let start = u64::from(row.offset);
    Ok(start..start + u64::from(row.sealed_len))
}

fn damaged(location: &Location, reason: String) -> Error {
    Error::DamagedBlock { ordinal: location.block.ordinal, pack: location.pack.id, reason }
}

type BlockKey = (KeysKey, PackId, u32);

fn block_key(location: &Location) -> BlockKey {
    let pack = &location.pack;
    ((pack.generation, pack.encapsulation, pack.commitment), pack.id, location.block.ordinal)
}

/// Blocks in the order of their last use.
#[derive(Default)]
struct BlockCache {
    blocks: HashMap<BlockKey, Arc<Vec<u8>>>,
    order: VecDeque<BlockKey>,
    bytes: usize,
}

impl BlockCache {
    fn get(&mut self, key: &BlockKey) -> Option<Arc<Vec<u8>>> {
        let block = Arc::clone(self.blocks.get(key)?);
        // A few dozen blocks: a search in order costs less than what it saves.
        self.order.retain(|other| other != key);
        self.order.push_back(*key);
        Some(block)
    }

    fn insert(&mut self, key: BlockKey, block: Arc<Vec<u8>>) {
        self.bytes += block.len();
        if let Some(old) = self.blocks.insert(key, block) {
            self.bytes -= old.len();
            self.order.retain(|other| *other != key);
        }
        self.order.push_back(key);
        while self.bytes > BLOCK_CACHE_BYTES && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(block) = self.blocks.remove(&oldest) {
                self.bytes -= block.len();
            }
        }
    }
}
