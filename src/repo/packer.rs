//! Blocks are compressed and sealed on all cores, gathered in packs, and put by threads that wait for the store.
//!
//! Memory is a sum of bounds: `BLOCKS_PER_CORE` blocks of plaintext and one `Worker` for each core, and `PACKS_MAX`
//! packs of ciphertext, open and in flight together. All of it is used again and again: fresh memory costs a page fault
//! for every 4 KiB, which was a third of the time that incompressible data took.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::buffer::PackBuffer;
use super::objects::Objects;
use super::open_pack::{BlockChunk, OpenPack, Place, SealedPack, StoredPack, plain_len};
use super::tree_cache::TreeCache;
use crate::error::{Error, Result};
use crate::format::index::PackKind;
use crate::format::pack::PackLength;
use crate::id::PrincipalId;
use crate::keys::keyring::Keyring;
use crate::seal::aead::TAG_LEN;
use crate::seal::compress::{Compression, Compressor, RawBlock};

/// Packs in memory: those that are open, and one or more on their way.
const PACKS_MAX: usize = 4;

/// Packs of data that are open at a time. Where data does not compress, blocks are so long that half a megabyte would be left
/// at the end of each pack; the older one waits for blocks that are short enough, as long as the newer one is filled.
const OPEN_DATA_PACKS: usize = 2;

/// Blocks of trees compress well, and leave little.
const OPEN_TREE_PACKS: usize = 1;

// Whoever waits for memory waits for a put.
const _: () = assert!(OPEN_DATA_PACKS + OPEN_TREE_PACKS < PACKS_MAX);

/// Threads that put packs: while one waits for a disk's cache to be flushed, the other one writes.
const PUT_THREADS: usize = 2;

/// Blocks that may wait for or undergo compression, for each core: enough that no core waits for the reader.
const BLOCKS_PER_CORE: usize = 3;

/// What does not compress is sealed in blocks of this length or little more, which stay in a core's second-level cache from
/// sealing to copying, and of which a reader of one file opens less.
const RAW_BLOCK_BYTES: usize = 256 << 10;

/// In a block of chunks that are so long on average, of large files, samples tell whether it compresses: what such chunks
/// have in common with each other is seldom more than what each has in itself.
const SAMPLED_CHUNK_BYTES: usize = 24 << 10;

/// Consecutive chunks that are compressed and sealed together.
pub struct Block {
    /// Which packs it belongs to.
    pub kind: PackKind,
    /// The chunks one after the other.
    pub raw: RawBlock,
    /// What they are.
    pub chunks: Vec<BlockChunk>,
    /// Whether `raw` was taken over from another pack as it was coded there.
    pub is_coded: bool,
}

/// Makes packs of blocks. After a failure it is spent and answers every call with that error.
pub struct Packer {
    shared: Arc<Shared>,
    putters: Vec<JoinHandle<()>>,
}

struct Shared {
    keyring: Arc<Keyring>,
    tree_cache: Option<Arc<TreeCache>>,
    origin: PrincipalId,
    pack_bytes: u32,
    compression: Compression,
    blocks_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    open: HashMap<PackKind, Vec<Arc<OpenPack>>>,
    /// Blocks that were pushed and are not in a pack yet.
    blocks: usize,
    /// Packs that are open or on their way.
    packs: usize,
    stored: Vec<StoredPack>,
    failure: Option<Arc<Error>>,
    /// Buffers of packs that were put: with those in use no more than [`PACKS_MAX`].
    spare_packs: Vec<PackBuffer>,
    /// Blocks that were sealed, empty: no more than may be in work.
    spare_blocks: Vec<RawBlock>,
    /// What workers that do nothing at the moment have left: no more than there are cores.
    workers: Vec<Worker>,
    /// Where sealed packs go; nothing once the packer is closed.
    out: Option<Sender<SealedPack>>,
}

/// What a worker needs for one block after the other.
struct Worker {
    compressor: Compressor,
    sealed: Vec<u8>,
    opened: Vec<u8>,
}

impl Packer {
    /// A packer that puts to `objects` in the name of `origin`, and keeps what it puts of trees in `tree_cache`.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(
        objects: &Objects,
        tree_cache: Option<&Arc<TreeCache>>,
        keyring: &Arc<Keyring>,
        origin: PrincipalId,
        pack_bytes: u32,
        compression: Compression,
    ) -> Result<Self> {
        let (out, sealed) = mpsc::channel();
        let shared = Arc::new(Shared {
            keyring: Arc::clone(keyring),
            tree_cache: tree_cache.cloned(),
            origin,
            pack_bytes,
            compression,
            blocks_max: BLOCKS_PER_CORE * rayon::current_num_threads(),
            state: Mutex::new(State { out: Some(out), ..State::default() }),
            changed: Condvar::new(),
        });
        let sealed = Arc::new(Mutex::new(sealed));
        let mut packer = Self { shared, putters: Vec::new() };
        for _ in 0..PUT_THREADS {
            let (shared, sealed, objects) = (Arc::clone(&packer.shared), Arc::clone(&sealed), objects.clone());
            let put = move || {
                // Whoever waits for packs must hear of it when nobody puts them any longer.
                let _on_panic = FailOnPanic(&shared);
                shared.put_packs(&sealed, &objects);
            };
            let spawned = thread::Builder::new().name("caddis-put".to_owned()).spawn(put);
            packer.putters.push(spawned.map_err(|source| Error::Io {
                action: "start threads of",
                path: "this process".into(),
                source,
            })?);
        }
        Ok(packer)
    }

    /// Hands over a block; waits while too many are in work.
    pub fn push(&self, block: Block) -> Result<()> {
        let mut state = self.shared.lock();
        while state.failure.is_none() && state.blocks >= self.shared.blocks_max {
            state = self.shared.wait(state);
        }
        spent(&state)?;
        state.blocks += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        rayon::spawn(move || shared.pack_block(block));
        Ok(())
    }

    /// An empty block to be filled and pushed.
    pub fn blank(&self, len: usize) -> RawBlock {
        let spare = self.shared.lock().spare_blocks.pop();
        spare.unwrap_or_else(|| RawBlock::with_capacity(len))
    }

    /// Packs that have become durable since the last call.
    pub fn take_stored(&self) -> Vec<StoredPack> {
        std::mem::take(&mut self.shared.lock().stored)
    }

    /// Closes the open packs and waits until all are durable.
    pub fn flush(&self) -> Result<()> {
        let mut state = self.shared.lock();
        while state.failure.is_none() && state.blocks > 0 {
            state = self.shared.wait(state);
        }
        spent(&state)?;
        let open: Vec<_> = state.open.drain().map(|(_, packs)| packs).collect();
        drop(state);
        let full = self.shared.pack_bytes;
        for mut packs in open {
            let last = packs.pop();
            packs.iter().for_each(|pack| self.shared.send(pack.close(PackLength::Full(full))));
            last.iter().for_each(|pack| self.shared.send(pack.close(PackLength::Last { full })));
        }
        let mut state = self.shared.lock();
        while state.failure.is_none() && state.packs > 0 {
            state = self.shared.wait(state);
        }
        spent(&state)
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        // Workers that still wait for a place must not wait for ever.
        self.shared.fail(Error::Interrupted);
        // Without a sender the put threads come to their end, after what is on its way.
        self.shared.lock().out = None;
        for putter in self.putters.drain(..) {
            // One that panicked has left its mark as a failure.
            let _ = putter.join();
        }
    }
}

/// Marks the packer as failed when its thread panics.
struct FailOnPanic<'a>(&'a Shared);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(Error::SelfCheck);
        }
    }
}

fn spent(state: &State) -> Result<()> {
    match &state.failure {
        Some(error) => Err(Error::Spent(Arc::clone(error))),
        None => Ok(()),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: Error) {
        self.lock().failure.get_or_insert(Arc::new(error));
        self.changed.notify_all();
    }

    /// Compresses and seals one block and puts it in its place. Runs on a worker.
    fn pack_block(&self, mut block: Block) {
        let worker = self.lock().workers.pop();
        let mut worker = worker.unwrap_or_else(|| Worker::new(self.compression));
        if let Err(error) = self.pack(&mut block, &mut worker) {
            self.fail(error);
        }
        block.raw.clear();
        let mut state = self.lock();
        state.workers.push(worker);
        if state.spare_blocks.len() < self.blocks_max {
            state.spare_blocks.push(block.raw);
        }
        state.blocks -= 1;
        drop(state);
        self.changed.notify_all();
    }

    fn pack(&self, block: &mut Block, worker: &mut Worker) -> Result<()> {
        let Worker { compressor, sealed, opened } = worker;
        if block.is_coded {
            return self.seal(block.kind, &block.chunks, block.raw.coded(), sealed, opened);
        }
        let coded = if block.raw.plain().len() >= block.chunks.len() * SAMPLED_CHUNK_BYTES {
            compressor.compress(&block.raw)
        } else {
            compressor.compress_fully(&block.raw)
        };
        if let Some(coded) = coded {
            return self.seal(block.kind, &block.chunks, coded, sealed, opened);
        }
        let mut start = 0;
        for chunks in raw_parts(&block.chunks) {
            let end = start + plain_len(chunks);
            self.seal(block.kind, chunks, block.raw.coded_part(start..end), sealed, opened)?;
            start = end;
        }
        Ok(())
    }

    fn seal(
        &self,
        kind: PackKind,
        chunks: &[BlockChunk],
        coded: &[u8],
        sealed: &mut Vec<u8>,
        opened: &mut Vec<u8>,
    ) -> Result<()> {
        let place = self.place(kind, chunks, coded.len() + TAG_LEN)?;
        self.send(place.fill(coded, sealed, opened)?);
        Ok(())
    }

    /// Finds a place for a block, in the first open pack that has one or in a new one.
    fn place(&self, kind: PackKind, chunks: &[BlockChunk], sealed_len: usize) -> Result<Place> {
        let open_max = match kind {
            PackKind::Data => OPEN_DATA_PACKS,
            PackKind::Tree => OPEN_TREE_PACKS,
        };
        let mut state = self.lock();
        loop {
            spent(&state)?;
            let is_out_of_packs = state.packs == PACKS_MAX;
            let open = state.open.entry(kind).or_default();
            if let Some(place) = open.iter().find_map(|pack| pack.reserve(chunks, sealed_len, self.pack_bytes)) {
                return Ok(place);
            }
            if open.len() == open_max {
                let oldest = open.remove(0);
                drop(state);
                self.send(oldest.close(PackLength::Full(self.pack_bytes)));
                state = self.lock();
            } else if is_out_of_packs {
                state = self.wait(state);
            } else {
                let spare = state.spare_packs.pop();
                let pack = OpenPack::begin(kind, &self.keyring, self.origin, spare, self.pack_bytes)?;
                let pack = Arc::new(pack);
                state.packs += 1;
                state.open.entry(kind).or_default().push(pack);
            }
        }
    }

    /// Sends a pack off when nothing is missing in it any more.
    fn send(&self, sealed: Option<SealedPack>) {
        if let (Some(sealed), Some(out)) = (sealed, &self.lock().out) {
            // The receivers live as long as this packer does.
            let _ = out.send(sealed);
        }
    }

    /// Puts packs one after the other until there will be no more. Runs on a thread of its own.
    fn put_packs(&self, sealed: &Mutex<Receiver<SealedPack>>, objects: &Objects) {
        loop {
            let next = sealed.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(mut pack) = next else { return };
            let len = usize::try_from(pack.stored.row.bytes).expect("a pack fits in memory");
            let bytes = &pack.buffer.bytes()[..len];
            match objects.put(pack.stored.row.kind.object_kind(), bytes) {
                Ok(name) => {
                    pack.stored.row.id = name.id().into();
                    if let (PackKind::Tree, Some(cache)) = (pack.stored.row.kind, &self.tree_cache) {
                        cache.keep(&pack.stored.row.id, bytes);
                    }
                    let mut state = self.lock();
                    state.stored.push(pack.stored);
                    if pack.buffer.bytes().len() == self.pack_bytes as usize {
                        state.spare_packs.push(pack.buffer);
                    }
                    state.packs -= 1;
                    drop(state);
                    self.changed.notify_all();
                }
                Err(error) => self.fail(error),
            }
        }
    }
}

impl Worker {
    fn new(compression: Compression) -> Self {
        Self { compressor: Compressor::new(compression), sealed: Vec::new(), opened: Vec::new() }
    }
}

/// The chunks of a block that stays raw, in runs of [`RAW_BLOCK_BYTES`] and at most one chunk more.
fn raw_parts(chunks: &[BlockChunk]) -> impl Iterator<Item = &[BlockChunk]> {
    let mut filled = 0;
    chunks.chunk_by(move |chunk, _| {
        filled += chunk.len as usize;
        let goes_on = filled < RAW_BLOCK_BYTES;
        if !goes_on {
            filled = 0;
        }
        goes_on
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use zeroize::Zeroizing;

    use super::*;
    use crate::format::index::ShortId;
    use crate::id::RepositoryId;
    use crate::keys::domain::{ChunkKind, DedupDomain};
    use crate::keys::generation::GenerationSecret;
    use crate::keys::keyring::Rights;
    use crate::store::faulty::HookStore;
    use crate::store::memory::MemoryStore;

    const PACK_BYTES: u32 = 1 << 20;

    fn keyring() -> Arc<Keyring> {
        let generation = GenerationSecret { number: 1, secret: Zeroizing::new([1; 32]) }.keys();
        let domain = DedupDomain::from_secret(Zeroizing::new([2; 32]));
        Arc::new(Keyring::new(RepositoryId([3; 32]), Rights::ALL, domain, BTreeMap::from([(1, generation)]), None))
    }

    /// A block that fits into no pack with another one.
    fn block(number: usize) -> Block {
        let mut plain = vec![0; PACK_BYTES as usize - (1 << 16)];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut plain);
        let chunk = BlockChunk { id: ShortId([0; 20]), kind: ChunkKind::Data, len: plain.len().try_into().unwrap() };
        let mut raw = RawBlock::with_capacity(plain.len());
        raw.push(&plain);
        Block { kind: PackKind::Data, raw, chunks: vec![chunk], is_coded: false }
    }

    #[test]
    fn a_packer_that_is_given_up_gives_its_workers_back() {
        // A run failed for another reason while its blocks waited for the store: they waited on, with all workers, and
        // the next run of the same process never got one.
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let at_put = Arc::clone(&gate);
        let store = HookStore::new(MemoryStore::new(), move |_| {
            let (is_open, changed) = &*at_put;
            drop(changed.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
            Ok(())
        });
        let objects = Objects::new(Arc::new(store));
        let packer =
            Packer::start(&objects, None, &keyring(), PrincipalId([4; 32]), PACK_BYTES, Compression::default());
        let packer = packer.unwrap();
        let shared = Arc::clone(&packer.shared);
        for number in 0..PACKS_MAX + shared.blocks_max {
            packer.push(block(number)).unwrap();
        }
        let given_up = thread::spawn(move || drop(packer));
        while shared.lock().out.is_some() {
            thread::yield_now();
        }
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        given_up.join().unwrap();
        let patience = std::time::Duration::from_secs(60);
        let waited = shared.changed.wait_timeout_while(shared.lock(), patience, |state| state.blocks > 0).unwrap();
        assert!(!waited.1.timed_out(), "{} blocks wait for ever", waited.0.blocks);
    }
}
