//! What can be written on the command line. Man pages and completions are made from these types.

#![allow(missing_docs, reason = "what has no help text of its own only holds what has")]

use std::ffi::OsString;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::check::Subset;
use crate::seal::compress::Compression;

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
    /// Files and folders to save; a symlink is saved as a symlink
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Make the repository when there is none
    #[arg(long)]
    pub init: bool,
    /// Give the snapshot a tag; may be repeated, or several joined by commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// Name of the machine that the snapshot shows, instead of this machine's own
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Series that the snapshot belongs to, such as `nightly`
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// When the backup was made, if not now: RFC 3339, or local time as 2026-11-01 or "2026-11-01 03:00"
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// Read every file, also those that look unchanged
    #[arg(short, long)]
    pub force: bool,
    /// Take a file for unchanged although its inode number is another one, as on some network file systems
    #[arg(long)]
    pub ignore_inode: bool,
    /// Take a file for unchanged although its metadata were changed since, if its size and modification time were not
    #[arg(long)]
    pub ignore_ctime: bool,
    /// How much time to spend on making data smaller
    #[arg(long, value_name = "EFFORT", env = "CADDIS_COMPRESSION", hide_env_values = true, default_value = "auto")]
    pub compression: Effort,
}

/// How much time to spend on making data smaller.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Effort {
    Off,
    Fast,
    Auto,
    Better,
    Max,
}

impl From<Effort> for Compression {
    fn from(effort: Effort) -> Self {
        match effort {
            Effort::Off => Self::Off,
            Effort::Fast => Self::Fast,
            Effort::Auto => Self::Auto,
            Effort::Better => Self::Better,
            Effort::Max => Self::Max,
        }
    }
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
pub struct RestoreArgs {
    /// A snapshot: the beginning of its id, `latest`, `latest~2`, a tag, or `@2026-11-01`; then, after a colon, a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: OsString,
    /// A new or empty folder; for a single file also its new name
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: PathBuf,
    /// Do not restore owners and groups; without root they never are
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
    /// A snapshot, and a folder or file in it, as for `restore`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: OsString,
    /// Print mode, owner, size and time, too
    #[arg(short, long)]
    pub long: bool,
    /// List also what lies in folders below
    #[arg(short = 'R', long)]
    pub recursive: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Args)]
pub struct CatArgs {
    /// A snapshot, as for `restore`, and a file in it
    #[arg(value_name = "SNAPSHOT:PATH")]
    pub snapshot: OsString,
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Open every block and prove every chunk, too
    #[arg(long)]
    pub read_data: bool,
    /// Do that for a part of all packs only: `5/12` is the fifth of twelve fixed parts, `10%` and `2GiB` are drawn by lot
    #[arg(long, value_name = "PART", conflicts_with = "read_data")]
    pub read_data_subset: Option<Subset>,
    /// Only prove that every object has the bytes that its name says; needs no key
    #[arg(long, conflicts_with_all = ["read_data", "read_data_subset"])]
    pub storage: bool,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the slots: one for each passphrase or key file
    List,
    /// Add a slot with a passphrase or key file of its own
    Add(AddKeyArgs),
    /// Remove a slot; the last one stays
    Remove {
        /// The slot's id, or the beginning of it, as `key list` shows it
        id: String,
    },
    /// Replace the passphrase or key file that was used to open the repository
    Passwd(NewKeyArgs),
}

#[derive(Debug, Args)]
pub struct AddKeyArgs {
    #[command(flatten)]
    pub key: NewKeyArgs,
    /// What `key list` calls the new slot
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub name: String,
}

/// What opens a new slot. Without any of these the passphrase is taken from CADDIS_NEW_PASSWORD, or asked for.
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
    #[command(flatten)]
    pub kdf: Kdf,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that shall complete
    pub shell: Shell,
}
