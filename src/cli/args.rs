//! What can be written on the command line. Man pages and completions are made from these types.

#![allow(missing_docs, reason = "what has no help text of its own only holds what has")]

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

/// Deduplicating backups in encrypted repositories, without locks.
#[derive(Debug, Parser)]
#[command(name = "caddis", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
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
    /// The repository: a folder. By default $XDG_DATA_HOME/caddis/repo
    #[arg(short, long, global = true, value_name = "PATH", env = "CADDIS_REPOSITORY", hide_env_values = true,
        value_hint = ValueHint::DirPath)]
    pub repo: Option<String>,
    /// Read the passphrase from this file; one line end at its end is dropped
    #[arg(long, global = true, value_name = "FILE", env = "CADDIS_PASSWORD_FILE", hide_env_values = true,
        value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// Run this command in a shell and take what it prints as the passphrase
    #[arg(long, global = true, value_name = "COMMAND", env = "CADDIS_PASSWORD_COMMAND", hide_env_values = true,
        value_hint = ValueHint::CommandString)]
    pub password_command: Option<String>,
    /// Open the repository with this key file instead of a passphrase; `init` makes it when it is absent
    #[arg(long, global = true, value_name = "FILE", env = "CADDIS_KEY_FILE", hide_env_values = true,
        value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// Print JSON: one document for queries, one message a line for long work
    #[arg(long, global = true, env = "CADDIS_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Print errors only
    #[arg(short, long, global = true, env = "CADDIS_QUIET", value_parser = BoolishValueParser::new(),
        conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more
    #[arg(short, long, global = true, action = ArgAction::Count, env = "CADDIS_VERBOSE")]
    pub verbose: u8,
    /// Keep what can be made anew here. By default $XDG_CACHE_HOME/caddis
    #[arg(long, global = true, value_name = "DIR", env = "CADDIS_CACHE_DIR", hide_env_values = true,
        value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository
    Init(InitArgs),
    /// Save files and folders as a new snapshot
    Backup(BackupArgs),
    /// Bring back a snapshot, or a part of it
    Restore(RestoreArgs),
    /// List snapshots, oldest first
    Snapshots(SnapshotsArgs),
    /// List what a snapshot holds
    Ls(LsArgs),
    /// Print a file of a snapshot
    Cat(CatArgs),
    /// Prove that all that snapshots need is there and whole
    Check(CheckArgs),
    /// Manage what opens the repository
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

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Length of a full pack
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub pack_size: ByteSize,
    #[command(flatten)]
    pub kdf: Kdf,
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// What to save; a symlink is saved as such
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Make the repository when there is none
    #[arg(long)]
    pub init: bool,
    /// Give the snapshot a tag; may be repeated, or several joined by commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// Name the machine, instead of this one's own name
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Name the series that the snapshot belongs to
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// When the backup was made: RFC 3339 or `2026-11-01[ 03:00]` in local time
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
}

/// Which snapshots are meant.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which snapshots")]
pub struct FilterArgs {
    /// Only snapshots of this machine; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Only snapshots with this tag, or with all of several joined by commas; may be repeated
    #[arg(long, value_name = "TAG[,TAG…]")]
    pub tag: Vec<String>,
    /// Only snapshots of this path; may be repeated
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: Vec<PathBuf>,
    /// Only snapshots with this label; may be repeated
    #[arg(long, value_name = "LABEL")]
    pub label: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The snapshot: the beginning of an id, `latest`, `latest~2`, a tag, or `@2026-11-01`; a path in it follows a colon
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: String,
    /// Where to: a new or empty folder; for a single file also its new name
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: PathBuf,
    /// Leave owners alone; without root this is always so
    #[arg(long)]
    pub no_owner: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Args)]
pub struct LsArgs {
    /// The snapshot, as for `restore`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: String,
    /// Print mode, owner, size and time too
    #[arg(short, long)]
    pub long: bool,
    /// List all below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Args)]
pub struct CatArgs {
    /// The snapshot and the file in it
    #[arg(value_name = "SNAPSHOT:PATH")]
    pub snapshot: String,
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Open every block and prove every chunk, too
    #[arg(long)]
    pub read_data: bool,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the slots that open the repository
    List,
    /// Add a slot with a passphrase or key file of its own
    Add(NewKeyArgs),
    /// Remove a slot
    Remove {
        /// The slot's id, or its beginning
        id: String,
    },
    /// Replace the passphrase or key file that was used to open the repository
    Passwd(NewKeyArgs),
}

/// What opens a new slot. Without any of these the passphrase is asked for, or taken from CADDIS_NEW_PASSWORD.
#[derive(Debug, Args)]
pub struct NewKeyArgs {
    /// Read the new passphrase from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "new")]
    pub new_password_file: Option<PathBuf>,
    /// Run this command in a shell and take what it prints as the new passphrase
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString, group = "new")]
    pub new_password_command: Option<String>,
    /// Use this key file; it is made when it is absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, group = "new")]
    pub new_key_file: Option<PathBuf>,
    /// What to call the new slot
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub name: String,
    #[command(flatten)]
    pub kdf: Kdf,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: Shell,
}
