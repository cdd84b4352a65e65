//! The protocol of commit and prune, in every order in which several processes can take its steps.
//!
//! The steps are those of `caddis::protocol`, which the program takes as well. Here they are answered by a store of a few
//! names ([`store`]), by writers ([`writer`]), pruners ([`pruner`]) and others ([`others`]), and the [`explorer`] visits every
//! state that a configuration can reach. In each of them ([`world`]):
//!
//! - every committed snapshot that is not void finds each of its chunks in a pack that is there, that the index names and that
//!   nobody calls dead;
//! - what was reported as saved is committed and not void, unless somebody has forgotten it;
//! - as soon as no run is announced that is not committed, one more prune alone leaves no garbage ([`quiet`]), wherever all
//!   others have stopped.
//!
//! [`holds`] are the configurations; in [`mutations`] the environment lies to the steps or takes them in another order, one
//! guard at a time, and the explorer finds the loss. With `CADDIS_TEST_ROUNDS` above 1 the configurations are
//! larger; two writers with two pruners are explored to the end only then, which takes minutes and gigabytes.
//!
//! What is modelled: two chunks at most; every put, deletion and listing is one atomic step, and what was put is seen by all that
//! is asked after that; a listing of the index in two pages; processes that stop for ever after any step, as that is to take no
//! more steps; writers that die and are known to be dead, and what they announced is withdrawn, with and without the
//! right to forget; one put, of any kind, that lands late or once more; writers that look chunks up, store what is missing, or
//! take over what an earlier snapshot relied on; prunes that keep either duplicate, copy, merge segments, finish what others
//! began, and run twice.
//!
//! What is not: the contents of objects, and so damage, seals and who may sign what (a void that counts is one that the program
//! found to be signed by whom it must be); a `gc/` that is read while it changes (the program reads it again when a record
//! vanishes); readers that race with deletions (they list again); a snapshot that is brought back (that is a writer); more than
//! one late put; undo windows and all other ages (they only choose what is condemned, and here anything may be); dead
//! lists that are full.
//!
//! What was tried and loses nothing, so that no mutation stands for it: P1 with `snapshots/` before `pending/`, or with
//! orphans condemned although a chunk is missing, for P3 rescues; the index before `gc/` in W1 or P3, as long as the names of W1 are no newer
//! than what was read of the index, for dead lists stay for ever; segments merged although a chunk is missing.

#![allow(clippy::unwrap_used, reason = "tests may")]
#![allow(clippy::print_stdout, reason = "how much was explored")]

mod configs;
mod explorer;
mod holds;
mod mutations;
mod others;
mod pruner;
mod quiet;
mod store;
mod world;
mod writer;

#[path = "../common/rounds.rs"]
mod rounds;
