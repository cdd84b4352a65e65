//! Arguments of `caddis restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::FilterArgs;

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A snapshot: the beginning of its id, `latest`, `latest~2`, a tag, or `@2026-11-01`; then, after a colon, a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: OsString,
    /// A folder, new or empty unless there is --overwrite; for a single file also its new name
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: PathBuf,
    /// Restore also into what is there already, and say what becomes of it
    #[arg(long, value_name = "WHEN")]
    pub overwrite: Option<Overwrite>,
    /// Delete from restored folders what the snapshot does not have, also below them; never on another file system
    #[arg(long, requires = "overwrite")]
    pub delete: bool,
    /// Bring back only what fits this pattern, in the syntax of gitignore, and all below it; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub include: Vec<OsString>,
    /// The same, whatever the case of its letters
    #[arg(long, value_name = "PATTERN")]
    pub iinclude: Vec<OsString>,
    /// Bring back only what fits a pattern of this file, one a line; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub include_file: Vec<PathBuf>,
    /// The same, whatever the case of their letters
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub iinclude_file: Vec<PathBuf>,
    /// Leave out what fits this pattern; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    pub exclude: Vec<OsString>,
    /// The same, whatever the case of its letters
    #[arg(long, value_name = "PATTERN")]
    pub iexclude: Vec<OsString>,
    /// Leave out what fits a pattern of this file, one a line; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub exclude_file: Vec<PathBuf>,
    /// The same, whatever the case of their letters
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub iexclude_file: Vec<PathBuf>,
    /// Change nothing; say what would be done, with -v item by item
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Let --delete work on a TARGET that is a file system of its own, or holds the home folder
    #[arg(long)]
    pub yes: bool,
    /// Read each file again once it is written or kept, and prove that it is what was saved
    #[arg(long)]
    pub verify: bool,
    /// Do not restore owners and groups; without root they never are
    #[arg(long)]
    pub no_owner: bool,
    /// Look up owners and groups by their names on this machine; where there is no such name, the number counts
    #[arg(long, conflicts_with = "no_owner")]
    pub owner_by_name: bool,
    /// Leave out setuid and setgid of files, and file capabilities
    #[arg(long)]
    pub strip_setuid: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What becomes of what is in the target already.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Overwrite {
    /// Everything is written anew
    Always,
    /// What has the same size and time of last change is kept; only its metadata is set
    IfChanged,
    /// Only what is newer in the snapshot is written
    IfNewer,
    /// What is there stays as it is; what is missing is made
    Never,
}

impl From<Overwrite> for crate::restore::Overwrite {
    fn from(overwrite: Overwrite) -> Self {
        match overwrite {
            Overwrite::Always => Self::Always,
            Overwrite::IfChanged => Self::IfChanged,
            Overwrite::IfNewer => Self::IfNewer,
            Overwrite::Never => Self::Never,
        }
    }
}
