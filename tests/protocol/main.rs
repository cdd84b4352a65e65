//! The protocol of commit and prune, checked in every order in which several processes can take its steps.

#![allow(clippy::unwrap_used, reason = "tests may")]

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
