//! Arguments of `caddis unforget`.

use clap::Args;

#[derive(Debug, Args)]
pub struct UnforgetArgs {
    /// Forgotten snapshots to bring back, by their ids or the beginnings of these
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}
