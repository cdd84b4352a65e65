//! What one more prune leaves when nobody else does anything.

use crate::pruner::Pruner;
use crate::store::{CHUNKS, Store, packs_in};
use crate::world::{Config, Proc};

/// Whether a prune that runs alone leaves nothing that nobody needs. As long as a run goes on, that cannot be said.
pub(crate) fn leaves_no_garbage(config: &Config, store: &Store) -> bool {
    let announced = store.pending - store.given_up - store.void();
    !announced.is_subset(store.snapshots) || is_clean(config, &after_prune(config, store))
}

/// What lies there after a prune that runs alone.
pub(crate) fn after_prune(config: &Config, store: &Store) -> Store {
    let alone = Config { needs: config.needs.clone(), mutation: config.mutation, ..Config::default() };
    let mut store = store.clone();
    let mut process = Proc::Pruner(Pruner::last(&store));
    while let Some(step) = process.steps(&alone, &store).into_iter().next() {
        process = step.process;
        store = step.store.unwrap_or(store);
    }
    store
}

fn is_clean(config: &Config, store: &Store) -> bool {
    let live = config.live_chunks(store.roots());
    let is_alone_with = |chunk: u8, pack: u8| {
        let packs = store.holders[usize::from(chunk)] & store.packs;
        live.has(chunk) && packs.iter().eq([pack])
    };
    let is_needed = |pack: u8| (0..CHUNKS).any(|chunk| is_alone_with(chunk, pack));
    let void = store.void();
    store.packs.iter().all(is_needed)
        && packs_in(&store.index) == store.packs
        && store.gc.records.values().all(|record| record.condemned.is_empty())
        && ((store.snapshots | store.pending) & void).is_empty()
        && store.forgotten.is_empty()
        // A record that says it of what never landed, or of what is committed after all, says nothing to anybody.
        && (store.given_up & store.pending).is_empty()
        && (store.pending & store.snapshots).is_empty()
}
