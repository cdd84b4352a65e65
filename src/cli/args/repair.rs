//! Arguments of `caddis repair`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum RepairCommand {
    /// Name packs that no index segment names, and delete segments that nobody can read
    Index(RepairIndexArgs),
    /// Store again what damaged packs still give, and let them go
    Packs(RepairPacksArgs),
    /// Put snapshots without what is lost in the place of damaged ones
    Snapshots(RepairSnapshotsArgs),
}

#[derive(Debug, Args)]
pub struct RepairIndexArgs {
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct RepairPacksArgs {
    /// Packs to read, by the beginnings of their ids; without any, all are read
    #[arg(value_name = "PACK-ID")]
    pub packs: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct RepairSnapshotsArgs {
    /// Snapshots to repair, named as for `restore`; without any, all that are damaged
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}
