//! Arguments that say what of a source is saved, of `caddis backup` and `caddis why`

use std::ffi::OsString;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, ValueHint};

/// What is left out.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What is left out")]
pub struct SelectArgs {
    /// Leave out what fits this pattern, in the syntax of gitignore; `!` in front takes in again; may be repeated
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
    /// Do not read `.caddisignore` in folders
    #[arg(long)]
    pub no_ignore: bool,
    /// Leave out what folders hold that a CACHEDIR.TAG marks as caches
    #[arg(long)]
    pub exclude_caches: bool,
    /// Leave out what lies beside a file of this name, which begins with HEADER; may be repeated
    #[arg(long, value_name = "FILE[:HEADER]")]
    pub exclude_if_present: Vec<OsString>,
    /// Leave out files that are larger
    #[arg(long, value_name = "SIZE")]
    pub exclude_larger_than: Option<ByteSize>,
    /// Leave out what other file systems hold that are mounted below a source
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
}
