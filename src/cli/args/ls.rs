//! Arguments of `caddis ls`.

use std::ffi::OsString;

use clap::Args;

use super::FilterArgs;

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
