//! Arguments of `caddis cat`.

use std::ffi::OsString;

use clap::Args;

use super::FilterArgs;

#[derive(Debug, Args)]
pub struct CatArgs {
    /// A snapshot, as for `restore`, and a file in it
    #[arg(value_name = "SNAPSHOT:PATH")]
    pub snapshot: OsString,
    #[command(flatten)]
    pub filter: FilterArgs,
}
