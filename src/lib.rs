//! caddis: deduplicating backups in encrypted repositories, without locks.
//!
//! # Bird's-eye view
//!
//! A backup walks a source tree, cuts files into chunks at places that their content decides, and stores each chunk that
//! the repository does not have yet. Consecutive new chunks are gathered in blocks; a block is compressed and sealed as a
//! whole; many blocks make a pack, an object that is written once. An index segment says which pack and block holds which
//! chunk. Folders are Merkle trees of nodes, themselves chunks, so that an unchanged folder costs nothing. A snapshot names
//! the root. What has not changed since an earlier run is known from the catalog and neither read nor encoded. Nobody locks
//! anything: writers announce, then look, then commit, and prunes announce before they delete.
//!
//! # Code map
//!
//! Arrows point down only.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cli`] | the command line: arguments, rendering, exit codes |
//! | [`backup`], [`restore`], [`check`], [`listing`], [`archive`], [`diff`], [`stats`], [`rewrite`] | one operation each |
//! | [`forget`], [`unforget`], [`prune`](mod@prune), [`repair`] | one operation each |
//! | [`protocol`] | the steps by which writers commit and pruners delete, without a store |
//! | [`tree`] | folders, contents and tables as Merkle trees: built and read |
//! | [`retention`] | which snapshots a policy keeps, and why |
//! | [`select`](mod@select) | which items of a source are taken, and by which rule one is left out |
//! | [`source`], [`target`], [`dirs`] | the live file system, read and written by folder handle |
//! | [`catalog`] | what this machine remembers of what it saved and checked |
//! | [`repo`] | an open repository: keys, view, session, commit, fetch |
//! | [`index`] | the local sorted index |
//! | [`format`](mod@format) | the bytes of every object; caddis-format(5) is the normative description |
//! | [`chunker`], [`seal`], [`keys`] | cuts; ciphers and compression; secrets |
//! | [`store`] | dumb named storage |
//! | [`env`](mod@env), [`progress`], [`error`], [`id`] | clock and randomness; who listens; what goes wrong; names |
//!
//! # Invariants
//!
//! - Packs are durable before the index names them, the index before a snapshot is announced, the announcement before the
//!   snapshot is committed.
//! - Every chunk read is proved by its keyed hash before its bytes are used; every object by the hash that is its name.
//! - Nothing that is read from a repository, a cache or a disk is trusted before it is proved; limits come before allocation.
//! - `gc/` is listed before `index/`, and both before anything is relied on; who deletes has announced it before, and looked again.
//! - Only [`env`](mod@env) reads the clock and draws random bytes; nothing below [`cli`] prints or reads the environment.

pub mod archive;
pub mod backup;
pub mod catalog;
pub mod check;
pub mod chunker;
pub mod cli;
pub mod diff;
pub mod dirs;
pub mod env;
pub mod error;
pub mod forget;
pub mod format;
pub mod id;
pub mod index;
pub mod keys;
pub mod listing;
pub mod progress;
pub mod protocol;
pub mod prune;
pub mod repair;
pub mod repo;
pub mod restore;
pub mod retention;
pub mod rewrite;
pub mod seal;
pub mod select;
pub mod source;
pub mod stats;
pub mod store;
pub mod target;
pub mod tree;
pub mod unforget;

#[cfg(test)]
#[path = "../tests/common/rounds.rs"]
mod rounds;

/// Name and version, as snapshots keep them.
pub fn program_version() -> String {
    format!("caddis {}", env!("CARGO_PKG_VERSION"))
}
