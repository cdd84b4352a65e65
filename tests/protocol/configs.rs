//! Configurations to begin with.

use crate::others::{Forgetter, Withdrawer};
use crate::pruner::Pruner;
use crate::rounds::rounds;
use crate::store::{Bits, Put, Store};
use crate::world::{Config, Kind, Proc};
use crate::writer::Writer;

/// Whether there is time for larger ones.
pub(crate) fn has_time() -> bool {
    rounds() > 1
}

/// Packs with these chunks, each in a segment of its own, and a snapshot.
pub(crate) fn holding(packs: &[&[u8]]) -> Store {
    let mut store = Store::default();
    for (name, chunks) in (0..).zip(packs) {
        store.put(&Put::Pack(name, chunks.iter().copied().collect()));
        store.put(&Put::Segment(60 + name, Bits::one(name)));
    }
    store.put(&Put::Snapshot(0));
    store
}

/// The same chunk twice, and the snapshot that needs it.
pub(crate) fn duplicate() -> Store {
    holding(&[&[0], &[0]])
}

pub(crate) fn writers(count: u8) -> Vec<Proc> {
    (0..count).map(|place| Proc::Writer(Writer::new(place))).collect()
}

/// So many writers, then so many pruners, and somebody who forgets the snapshot that is there.
pub(crate) fn processes(writer_count: u8, pruner_count: u8) -> Vec<Proc> {
    let mut processes = writers(writer_count);
    processes.extend((writer_count..writer_count + pruner_count).map(|place| Proc::Pruner(Pruner::new(place))));
    processes.push(Proc::Forgetter(Forgetter { choice: Bits::one(0) }));
    processes
}

/// A duplicate, and what one prune leaves is looked at.
pub(crate) fn config(name: &'static str, processes: Vec<Proc>) -> Config {
    Config { name, store: duplicate(), processes, must_be_clean: true, ..Config::default() }
}

/// With what is read in fewer steps, so that more processes can be tried.
pub(crate) fn coarse(name: &'static str, processes: Vec<Proc>) -> Config {
    Config { p1_at_once: true, voids_at_once: true, ..config(name, processes) }
}

/// A listing of the index comes in two pages, while prunes merge its segments.
pub(crate) fn torn(name: &'static str, processes: Vec<Proc>) -> Config {
    Config { merges: true, is_paged: true, attempts_max: 1, ..coarse(name, processes) }
}

/// A run dies, the next one on its machine withdraws what it has left, and one put of these kinds may land late.
pub(crate) fn dying(name: &'static str, late: &[Kind]) -> Config {
    let mut processes = processes(1, 1);
    processes.push(Proc::Withdrawer(Withdrawer::Waiting { place: 0, announced: Writer::ids(0) }));
    processes.push(Proc::Lander);
    Config { late: late.to_vec(), writers_die: true, ..coarse(name, processes) }
}
