//! Repositories made by somebody who means harm: with the real encoder, since an attacker has it, too.
//!
//! Three attackers are told apart. The *host* keeps the objects and holds no key. A *writer* holds a key that can store and
//! commit. A *member* holds all keys, as the thief of a key file does. None of them may bring a restore to write outside its
//! target, a command to panic, or to take memory or time without bounds; each object that is refused is named.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "what a test measured or left out is worth a word")]

#[path = "../common"]
mod common {
    pub(crate) mod compare;
    pub(crate) mod program;
    pub(crate) mod zoo;
}
use common::compare;

#[path = "../faults/lab.rs"]
#[allow(dead_code, reason = "not every test binary uses all of it")]
mod lab;

mod corpus;
mod forge;
mod later;
mod lies;
mod names;
mod prunes;
mod records;
mod shapes;
mod symlinks;
mod terminal;
