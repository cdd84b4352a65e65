//! Cut, damaged, overtaken, interrupted, two at once: what was saved stays whole, whatever happens.
//!
//! These tests drive the library over a store in memory and the stores around a store that fail, count and interfere, with
//! folders of their own for the state and the cache of each machine.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod lab;

#[path = "../common/compare.rs"]
mod compare;

#[path = "../common/rounds.rs"]
mod rounds;

mod atime;
mod bad_sectors;
mod cache;
mod changing;
mod cuts;
mod damage;
mod damage_matrix;
mod disk;
mod failing_disk;
mod forget;
mod forgetful;
mod interrupted;
mod keys;
mod large;
mod moved;
mod one_file;
mod order;
mod overwrite;
mod power;
mod protocol;
mod prune_between;
mod prune_cuts;
mod prune_guards;
mod prune_limits;
mod pruning;
mod repair;
mod restores;
mod rolled_back;
mod rolling;
mod salts;
mod source;
mod strangers;
mod stuck;
mod together;
mod unchanged;
mod unforget;
