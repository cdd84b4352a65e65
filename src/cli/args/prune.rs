//! Arguments of `caddis prune`.

use bytesize::ByteSize;
use clap::Args;
use jiff::Span;

use super::span::parse_span;
use crate::prune::Unused;

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Say what would be deleted, and delete nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Withdraw this announced snapshot, whose machine will never come back; may be repeated
    #[arg(long, value_name = "ID")]
    pub drop_pending: Vec<String>,
    #[command(flatten)]
    pub options: PruneOptions,
}

/// How far a prune goes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What a prune deletes")]
pub struct PruneOptions {
    /// How long forgotten snapshots can be brought back
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_span)]
    pub undo_window: Span,
    /// How old a pack must be that nobody needs: a younger one may be a running backup's
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = parse_span)]
    pub min_age: Span,
    /// How much may stay that nobody needs, in packs of which something is needed: a percentage of that, a size, or `unlimited`
    #[arg(long, value_name = "LIMIT", default_value = "5%", value_parser = parse_unused)]
    pub max_unused: Unused,
    /// Copy at most so much out of packs that are then deleted
    #[arg(long, value_name = "SIZE")]
    pub max_repack: Option<ByteSize>,
    /// Begin nothing further after so long; the next prune goes on
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub max_time: Option<Span>,
}

fn parse_unused(text: &str) -> Result<Unused, String> {
    let bad = || "write a percentage such as 5%, a size such as 2GiB, or unlimited".to_owned();
    if text == "unlimited" {
        return Ok(Unused::Unlimited);
    }
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.parse::<f64>().ok().filter(|percent| percent.is_finite() && *percent >= 0.0);
            percent.map(Unused::Percent).ok_or_else(bad)
        }
        None => text.parse::<ByteSize>().map(|size| Unused::Bytes(size.as_u64())).map_err(|_| bad()),
    }
}
