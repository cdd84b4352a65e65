//! Arguments of `caddis tag`.

use clap::{Args, Subcommand};

use super::FilterArgs;

#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// Give snapshots further tags
    Add(ChangeTagsArgs),
    /// Take tags from snapshots
    Remove(ChangeTagsArgs),
    /// Give snapshots these tags and no others
    Set(ChangeTagsArgs),
}

#[derive(Debug, Args)]
pub struct ChangeTagsArgs {
    /// One tag, or several joined by commas; with `set`, nothing but '' takes all tags away
    #[arg(value_name = "TAG[,TAG]")]
    pub tags: String,
    /// Snapshots to change, named as for `restore`; without any, all that the options below choose
    #[arg(value_name = "SNAPSHOT", required_unless_present_any = ["host", "tag", "path", "label"])]
    pub snapshots: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
}
