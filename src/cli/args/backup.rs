//! Arguments of `caddis backup`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::SelectArgs;
use crate::seal::compress::Compression;

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Files and folders to save; a symlink is saved as a symlink
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, required_unless_present_any = ["files_from", "files_from0", "stdin"])]
    pub paths: Vec<PathBuf>,
    /// Save also what this file names, one path a line; `-` is standard input; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files_from: Vec<PathBuf>,
    /// The same with a NUL byte behind each path, as `find -print0` writes it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files_from0: Vec<PathBuf>,
    /// Save the one source as if it lay at this path
    #[arg(long, value_name = "PATH")]
    pub as_path: Option<PathBuf>,
    /// Save what comes from standard input as one file
    #[arg(long, conflicts_with_all = ["paths", "files_from", "files_from0", "as_path"], group = "stream")]
    pub stdin: bool,
    /// Run the command that follows and save what it prints as one file; if it fails, nothing is saved
    #[arg(long, conflicts_with_all = ["files_from", "files_from0", "as_path"], requires = "paths", group = "stream")]
    pub stdin_from_command: bool,
    /// Path of that file in the snapshot
    #[arg(long, value_name = "NAME", default_value = "stdin", requires = "stream")]
    pub stdin_filename: PathBuf,
    /// Store nothing, and say what would be saved; with -v each item and why
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Make no snapshot when it would hold what the one before it holds
    #[arg(long)]
    pub skip_if_unchanged: bool,
    /// Compare files with this snapshot, instead of what this machine remembers
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "force")]
    pub parent: Option<String>,
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
    /// Save also when files and folders were last read
    #[arg(long)]
    pub with_atime: bool,
    /// How much time to spend on making data smaller
    #[arg(long, value_name = "EFFORT", env = "CADDIS_COMPRESSION", hide_env_values = true, default_value = "auto")]
    pub compression: Effort,
    #[command(flatten)]
    pub select: SelectArgs,
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
