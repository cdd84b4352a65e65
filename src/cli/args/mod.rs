//! What can be written on the command line. Man pages and completions are made from these types. What all
//! commands share stands here, the arguments of each in a file of its own.

#![allow(missing_docs, reason = "what has no help text of its own only holds what has")]

use std::ffi::OsString;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

mod backup;
mod cat;
mod check;
mod diff;
mod dump;
mod forget;
mod init;
mod key;
mod ls;
mod prune;
mod repair;
mod restore;
mod select;
mod snapshots;
mod span;
mod stats;
mod tag;
mod unforget;
mod why;

pub use super::color::Color;
pub use backup::{BackupArgs, Effort};
pub use cat::CatArgs;
pub use check::CheckArgs;
pub use diff::DiffArgs;
pub use dump::DumpArgs;
pub use forget::{ForgetArgs, KeepArgs};
pub use init::InitArgs;
pub use key::{AddKeyArgs, KeyCommand, NewKeyArgs};
pub use ls::LsArgs;
pub use prune::{PruneArgs, PruneOptions};
pub use repair::{RepairCommand, RepairIndexArgs, RepairPacksArgs, RepairSnapshotsArgs};
pub use restore::RestoreArgs;
pub use select::SelectArgs;
pub use snapshots::SnapshotsArgs;
pub use stats::StatsArgs;
pub use tag::{ChangeTagsArgs, TagCommand};
pub use unforget::UnforgetArgs;
pub use why::WhyArgs;

/// What somebody who has just installed the program needs to know.
const AFTER_HELP: &str = "Begin with `caddis backup --init ~`. `caddis COMMAND --help` lists the options of a command; \
    exit codes, environment and how snapshots are named stand in caddis(1).";

/// Deduplicating backups in encrypted repositories, without locks.
#[derive(Debug, Parser)]
#[command(name = "caddis", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo
    #[arg(short, long, global = true, value_name = "PATH", env = "CADDIS_REPOSITORY", hide_env_values = true,
        value_hint = ValueHint::DirPath)]
    pub repo: Option<OsString>,
    /// Read the passphrase from this file; one line end at its end is dropped
    #[arg(long, global = true, value_name = "FILE", env = "CADDIS_PASSWORD_FILE", hide_env_values = true,
        value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// Run this command in a shell and take what it prints as the passphrase
    #[arg(long, global = true, value_name = "COMMAND", env = "CADDIS_PASSWORD_COMMAND", hide_env_values = true,
        value_hint = ValueHint::CommandString)]
    pub password_command: Option<String>,
    /// Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent
    #[arg(long, global = true, value_name = "FILE", env = "CADDIS_KEY_FILE", hide_env_values = true,
        value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// Print JSON: one document for queries, one message a line for long work
    #[arg(long, global = true, env = "CADDIS_JSON", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Print errors only
    #[arg(short, long, global = true, env = "CADDIS_QUIET", hide_env_values = true, value_parser = BoolishValueParser::new(),
        overrides_with = "verbose")]
    pub quiet: bool,
    /// Say what was done also when that is not for a terminal, and more of it
    #[arg(short, long, global = true, action = ArgAction::Count, env = "CADDIS_VERBOSE", hide_env_values = true,
        overrides_with = "quiet")]
    pub verbose: u8,
    /// Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis
    #[arg(long, global = true, value_name = "DIR", env = "CADDIS_CACHE_DIR", hide_env_values = true,
        value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
    /// When to use colours; `auto` heeds NO_COLOR
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "CADDIS_COLOR",
        hide_env_values = true,
        default_value = "auto"
    )]
    pub color: Color,
    /// Take the repository as it is now, although this machine has seen more in it, or another one at its place
    #[arg(long, global = true)]
    pub accept_rollback: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository
    Init(InitArgs),
    /// Save files and folders as a new snapshot
    Backup(Box<BackupArgs>),
    /// Say which rule takes a path in or leaves it out
    Why(WhyArgs),
    /// Bring back a snapshot, or a part of it
    Restore(RestoreArgs),
    /// List snapshots, oldest first
    Snapshots(SnapshotsArgs),
    /// List what a snapshot holds
    Ls(LsArgs),
    /// Print a file of a snapshot
    Cat(CatArgs),
    /// Print a file, or a folder as an archive
    Dump(DumpArgs),
    /// List what differs between two snapshots
    Diff(DiffArgs),
    /// Count what snapshots hold and what they take
    Stats(StatsArgs),
    /// Change the tags of snapshots
    #[command(subcommand)]
    Tag(TagCommand),
    /// Delete what no snapshot needs
    Prune(PruneArgs),
    /// Forget snapshots, by name or by a policy
    Forget(Box<ForgetArgs>),
    /// Bring back snapshots that were forgotten
    Unforget(UnforgetArgs),
    /// Prove that all that snapshots need is there and whole
    Check(CheckArgs),
    /// Make a damaged repository serve again, as far as it can
    #[command(subcommand)]
    Repair(RepairCommand),
    /// Manage the passphrases and key files that open the repository
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// What a new passphrase slot costs.
#[derive(Clone, Copy, Debug, Args)]
pub struct Kdf {
    /// Memory that one try of a passphrase takes (Argon2id)
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub kdf_memory: ByteSize,
}

/// Which snapshots are meant.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which snapshots")]
pub struct FilterArgs {
    /// Only snapshots of this machine; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Only snapshots with this tag, or with all of several joined by commas; may be repeated
    #[arg(long, value_name = "TAG[,TAG]")]
    pub tag: Vec<String>,
    /// Only snapshots of this path; may be repeated
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: Vec<PathBuf>,
    /// Only snapshots with this label; may be repeated
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that shall complete
    pub shell: Shell,
}
