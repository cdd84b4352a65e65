//! Several clients of one repository, whose operations on the store are interleaved one by one as a seed says, with operations
//! that fail, clients that are killed or stand still for long, and clocks that jump by days: whatever was reported saved and
//! not forgotten is whole after every action, and when all is quiet one prune leaves nothing that nobody needs.
//!
//! A seed gives the same actions in the same order, the same faults and the same turns. Names of objects are another matter:
//! randomness has no seam, so that what depends on their order may go another way the next time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "which seed failed is worth a word")]

#[path = "../common/compare.rs"]
mod compare;
#[path = "../faults/lab.rs"]
#[allow(dead_code, reason = "not every test binary uses all of it")]
mod lab;
#[path = "../faults/pruning.rs"]
#[allow(dead_code, reason = "not every test binary uses all of it")]
mod pruning;
#[path = "../common/rounds.rs"]
mod rounds;

mod baton;
mod client;
mod dice;
mod ledger;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::store::memory::MemoryStore;

use crate::baton::Baton;
use crate::client::Client;
use crate::dice::Dice;
use crate::lab::{Machine, scratch};
use crate::ledger::Ledger;

/// Names one seed that is to be played alone.
const SEED_VARIABLE: &str = "CADDIS_TEST_SEED";

/// Seeds that are played when nobody asks for more.
const SEEDS: u64 = 200;

/// Seeds that are played at the same time.
const PLAYERS: usize = 2;

/// Plays one seed from the first action to the quiet at the end.
fn play(seed: u64) {
    let folder = scratch();
    let store = Arc::new(MemoryStore::new());
    Machine::new(folder.path(), "maker").init(&store).unwrap();
    let mut dice = Dice::new(seed, "story");
    let clients = 2 + dice.place(2);
    let baton = Arc::new(Baton::new(Dice::new(seed, "turns"), clients));
    let ledger = Ledger::new(Machine::new(folder.path(), "observer"), Arc::clone(&store));
    let clients: Vec<Client> = (0..clients)
        .map(|number| Client::new(number, seed, folder.path(), Arc::clone(&store), Arc::clone(&baton)))
        .collect();
    std::thread::scope(|scope| {
        let ledger = &ledger;
        for mut client in clients {
            scope.spawn(move || client.live(ledger));
        }
    });
    ledger.assert_quiet();
}

#[test]
fn whatever_was_saved_and_not_forgotten_is_whole_whatever_happens() {
    if let Some(seed) = std::env::var_os(SEED_VARIABLE) {
        return play(
            seed.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{SEED_VARIABLE} is no number")),
        );
    }
    let (next, all) = (AtomicU64::new(0), SEEDS * u64::from(rounds::rounds()));
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= all {
                        return;
                    }
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed))) {
                        next.store(all, Ordering::SeqCst);
                        eprintln!("this was {SEED_VARIABLE}={seed}");
                        resume_unwind(panic);
                    }
                }
            });
        }
    });
}
