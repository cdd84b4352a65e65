//! Arguments of `caddis snapshots`.

use clap::Args;

use super::FilterArgs;

#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
}
