//! Arguments of `caddis stats`.

use clap::Args;

use super::FilterArgs;

#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Snapshots to show, named as for `restore`; all by default. What only one holds is counted against all in any case
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
}
