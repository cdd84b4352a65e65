//! Arguments of `caddis snapshots`.

use clap::Args;

use super::FilterArgs;

#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    /// Snapshots to show, named as for `restore`; all by default
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// Of each host with each set of paths, show the newest N only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub latest: Option<u32>,
    /// Show one line for each, without paths
    #[arg(short, long)]
    pub compact: bool,
    /// List snapshots that were forgotten and can be brought back, with the reason, and until when no prune takes them
    #[arg(long, conflicts_with_all = ["snapshots", "latest", "compact"])]
    pub forgotten: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}
