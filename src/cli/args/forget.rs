//! Arguments of `caddis forget`.

use clap::Args;
use jiff::Span;

use super::span::parse_span;
use super::{FilterArgs, PruneOptions};
use crate::forget::Grouping;
use crate::retention::Limit;

#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// Snapshots to forget, named as for `restore`; without any, those that the policy does not keep
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// Forget nothing, and say what would be forgotten
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Prune afterwards
    #[arg(long, conflicts_with = "dry_run")]
    pub prune: bool,
    /// Count snapshots together that have these in common: some of `host,paths,tags`, or '' for none. By default the
    /// label, and host and paths where there is none. Snapshots of different writers are never counted together
    #[arg(short, long, value_name = "LIST", value_parser = parse_grouping, conflicts_with = "snapshots")]
    pub group_by: Option<Grouping>,
    /// Forget all snapshots of a group when the policy keeps none of them
    #[arg(long, conflicts_with = "snapshots")]
    pub allow_empty: bool,
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub prune_options: PruneOptions,
}

/// What is kept of each group.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is kept of each group")]
pub struct KeepArgs {
    /// The newest N snapshots, or `unlimited`
    #[arg(short = 'l', long, value_name = "N", value_parser = parse_count)]
    pub keep_last: Option<Limit>,
    /// The newest of each of N hours in which there is one, or `unlimited`
    #[arg(short = 'H', long, value_name = "N", value_parser = parse_count)]
    pub keep_hourly: Option<Limit>,
    /// The newest of each of N days
    #[arg(short = 'd', long, value_name = "N", value_parser = parse_count)]
    pub keep_daily: Option<Limit>,
    /// The newest of each of N weeks, which begin on Monday
    #[arg(short = 'w', long, value_name = "N", value_parser = parse_count)]
    pub keep_weekly: Option<Limit>,
    /// The newest of each of N months
    #[arg(short = 'm', long, value_name = "N", value_parser = parse_count)]
    pub keep_monthly: Option<Limit>,
    /// The newest of each of N years
    #[arg(short = 'y', long, value_name = "N", value_parser = parse_count)]
    pub keep_yearly: Option<Limit>,
    /// All that are younger than this, as `7d` or `1y6mo`, counted from the newest
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub keep_within: Option<Span>,
    /// Of those that are younger than this, the newest of each hour
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub keep_within_hourly: Option<Span>,
    /// The newest of each day
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub keep_within_daily: Option<Span>,
    /// The newest of each week
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub keep_within_weekly: Option<Span>,
    /// The newest of each month
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub keep_within_monthly: Option<Span>,
    /// The newest of each year
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub keep_within_yearly: Option<Span>,
    /// Those with this tag, or with all of several joined by commas; may be repeated
    #[arg(long, value_name = "TAG[,TAG]")]
    pub keep_tag: Vec<String>,
}

fn parse_count(text: &str) -> Result<Limit, String> {
    match text {
        "unlimited" => Ok(Limit::Unlimited),
        count => count.parse().map(Limit::Count).map_err(|_| "write a number or `unlimited`".to_owned()),
    }
}

fn parse_grouping(text: &str) -> Result<Grouping, String> {
    let (mut host, mut paths, mut tags) = (false, false, false);
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word {
            "host" => host = true,
            "paths" => paths = true,
            "tags" => tags = true,
            _ => return Err("write some of `host`, `paths` and `tags`, joined by commas".to_owned()),
        }
    }
    Ok(Grouping::By { host, paths, tags })
}
