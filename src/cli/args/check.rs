//! Arguments of `caddis check`.

use std::time::Duration;

use clap::Args;

use super::span::parse_duration;
use crate::check::Subset;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Open every block and prove every chunk, too
    #[arg(long)]
    pub read_data: bool,
    /// Do that for a part of all packs only: `5/12` is the fifth of twelve fixed parts, `10%` and `2GiB` are drawn by lot
    #[arg(long, value_name = "PART", conflicts_with = "read_data")]
    pub read_data_subset: Option<Subset>,
    /// Do that for packs that were proved longest ago, or never, until the command has taken so long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    #[arg(conflicts_with_all = ["read_data", "read_data_subset"])]
    pub budget: Option<Duration>,
    /// Only prove that every object has the bytes that its name says; needs no key
    #[arg(long, conflicts_with_all = ["read_data", "read_data_subset", "budget"])]
    pub storage: bool,
}
