//! Arguments of `caddis diff`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::FilterArgs;

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The snapshot to compare with, and a folder or file in it, as for `restore`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub first: OsString,
    /// The snapshot that is compared, most often the later one
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub second: OsString,
    /// Compare only what stands there in both
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub below: Option<PathBuf>,
    /// Name also items of which only mode, owner, time or extended attributes are others
    #[arg(long)]
    pub metadata: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}
