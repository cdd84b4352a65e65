//! The built program as a user sees it: arguments in, output, exit code and files out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "what a test measured or left out is worth a word")]

#[path = "../common"]
mod common {
    pub(crate) mod compare;
    pub(crate) mod program;
    pub(crate) mod zoo;
}

mod check;
mod compression;
mod damage;
mod deduplication;
mod diff;
mod dry_run;
mod dump;
mod exit_codes;
mod forget;
mod interrupt;
mod json;
mod keys;
mod killed;
mod listings;
mod messages;
mod overwrite;
mod places;
mod repair;
mod restore_delete;
mod restore_options;
mod restore_select;
mod rolled_back;
mod round_trip;
mod secrecy;
mod select;
mod skip;
mod snapshots;
mod sources;
mod stats;
mod stream;
mod tag;
mod terminal;
mod together;
mod unattended;
mod unchanged;
mod unforget;
mod user;
mod why;
