//! Arguments of `caddis restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::FilterArgs;

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
