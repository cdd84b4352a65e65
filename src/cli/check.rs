//! `caddis check`

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::args::{CheckArgs, Global};
use super::bars::Console;
use super::{Outcome, open, print_line, render, tell};
use crate::check::{self, Finding, Options, Proof, ReadData, Report, Verdict, storage};
use crate::error::{Error, Result};
use crate::progress::{Context, HeldBack};
use crate::store::{ObjectKind, ObjectName};

/// Snapshots and paths that are shown of each object; JSON has more of them.
pub(super) const SHOWN: usize = 8;

/// What is said of a statement that is of another repository.
const LEFTOVER: &str =
    "no owner of this repository has signed it, as when an init is killed beside another one; it does no harm";

pub(super) fn run(global: &Global, args: &CheckArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let report = report(global, args, cx)?;
    console.finish();
    print_report(global, &report)?;
    if report.is_interrupted {
        return Err(Error::Interrupted);
    }
    let verdict = report.verdict();
    if let Some(withheld) = report.withheld {
        return Err(withheld.into_error(open::location(&open::repository_path(global)?)));
    }
    Ok(match verdict {
        Verdict::Sound => Outcome::Done,
        Verdict::Repairable => Outcome::RepairableDamage,
        Verdict::Damaged => Outcome::Damage,
    })
}

fn report(global: &Global, args: &CheckArgs, cx: &Context<'_>) -> Result<Report> {
    if args.storage {
        return storage::check(&open::objects(global)?, cx);
    }
    // What opening passes over, the check names with what it costs.
    let held = HeldBack::new(cx.progress);
    match open::open(global, &Context { progress: &held, ..*cx }) {
        Ok(repository) => check::check(&repository, &options(args), cx),
        Err(error) => {
            held.release();
            Report::unopened(error)
        }
    }
}

fn options(args: &CheckArgs) -> Options {
    let read_data = match (args.budget, args.read_data_subset) {
        (Some(budget), _) => ReadData::Rolling { budget },
        (None, Some(subset)) => ReadData::Subset(subset),
        (None, None) if args.read_data => ReadData::All,
        (None, None) => ReadData::Suspects,
    };
    Options { read_data }
}

fn print_report(global: &Global, report: &Report) -> Result<()> {
    if global.json {
        report.errors.iter().try_for_each(|error| print_line(&render::json_line(&finding_json(error))))?;
        report.leftovers.iter().try_for_each(|object| print_line(&render::json_line(&leftover_json(*object))))?;
        return print_line(&render::json_line(&summary_json(report)));
    }
    report.errors.iter().flat_map(finding_lines).for_each(|line| tell(&line));
    if !report.is_interrupted {
        hints(&report.errors).iter().for_each(|hint| tell(&format!("caddis: {hint}")));
    }
    let leftover = |object: &ObjectName| super::report(global, &format!("{object}: {LEFTOVER}"));
    report.leftovers.iter().try_for_each(leftover)?;
    super::report(global, &summary_line(report))
}

pub(super) fn finding_json(finding: &Finding) -> Value {
    let paths: Vec<_> = finding.paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
    let snapshots: Vec<_> = finding.snapshots.iter().map(ToString::to_string).collect();
    let mut document = json!({
        "message_type": "error",
        "kind": finding.object.kind().folder(),
        "object": finding.object.path(),
        "what": finding.what,
        "snapshots": snapshots,
        "paths": paths,
        "more_paths": finding.more_paths,
        "repairable": finding.repairable,
    });
    if finding.paths.iter().any(|path| std::str::from_utf8(path).is_err()) {
        let encoded: Vec<_> = finding.paths.iter().map(|path| BASE64.encode(path)).collect();
        document["paths_b64"] = json!(encoded);
    }
    document
}

fn leftover_json(object: ObjectName) -> Value {
    json!({
        "message_type": "leftover",
        "kind": object.kind().folder(),
        "object": object.path(),
        "what": LEFTOVER,
    })
}

fn summary_json(report: &Report) -> Value {
    let mut summary = json!({
        "message_type": "summary",
        "num_errors": report.errors.len(),
        "repairable_errors": report.repairable_errors(),
        "leftovers": report.leftovers.len(),
        "snapshots": report.snapshots,
        "packs": report.packs,
        "packs_read": report.packs_read,
        "bytes_read": report.bytes,
        "interrupted": report.is_interrupted,
    });
    if let Some(proof) = &report.proof {
        summary["packs_proved"] = json!(proof.packs);
        summary["bytes_proved"] = json!(proof.bytes);
        summary["oldest_proof"] = json!(proof.oldest.map(|time| render::rfc3339(time.into())));
        summary["never_proved_bytes"] = json!(proof.never_bytes);
    }
    summary
}

/// The object on a line of its own; below it, what that costs.
pub(super) fn finding_lines(finding: &Finding) -> Vec<String> {
    let repairable = if finding.repairable { " (repairable)" } else { "" };
    let what = render::printable(finding.what.as_bytes());
    let mut lines = vec![format!("caddis: {}: {what}{repairable}", finding.object)];
    if !finding.snapshots.is_empty() {
        let shown: Vec<_> = finding.snapshots.iter().take(SHOWN).map(|id| id.short()).collect();
        let more = and_more(finding.snapshots.len() - shown.len());
        lines.push(format!("  in snapshots {}{more}", shown.join(", ")));
    }
    lines.extend(finding.paths.iter().take(SHOWN).map(|path| format!("  {}", render::printable(path))));
    let more = finding.paths.len().saturating_sub(SHOWN) as u64 + finding.more_paths;
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// Which repair helps, in the order in which they are of use.
fn hints(errors: &[Finding]) -> Vec<&'static str> {
    let is_pack = |error: &&Finding| matches!(error.object.kind(), ObjectKind::Packs | ObjectKind::Trees);
    // Something is needed of it, and nothing lost: it is whole, and the index lacks it.
    let is_unnamed = |error: &&Finding| error.repairable && !error.snapshots.is_empty();
    let needs_index =
        |error: &&Finding| error.object.kind() == ObjectKind::Index || (is_pack(error) && is_unnamed(error));
    let is_lost = |error: &&Finding| !error.repairable && error.paths.iter().any(|path| path != b"/");
    let mut hints = Vec::new();
    if errors.iter().any(|error| needs_index(&error)) {
        hints.push("`caddis repair index` names again what packs hold");
    }
    if errors.iter().any(|error| is_pack(&error) && !is_unnamed(&error)) {
        hints.push("`caddis repair packs` saves what damaged packs still give; the next backup stores the rest again");
    }
    if errors.iter().any(|error| is_lost(&error)) {
        hints.push("what no backup brings back, `caddis repair snapshots` leaves out");
    }
    hints
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}

fn summary_line(report: &Report) -> String {
    let found = match (report.errors.len(), report.repairable_errors()) {
        (0, _) => "no damage".to_owned(),
        (1, 1) => "1 error, which is repairable".to_owned(),
        (1, _) => "1 error".to_owned(),
        (all, repairable) if all == repairable => format!("{all} errors, all of them repairable"),
        (all, 0) => format!("{all} errors"),
        (all, repairable) => format!("{all} errors, {repairable} of them repairable"),
    };
    let Report { snapshots, packs, packs_read, bytes, is_interrupted, .. } = report;
    let whole = match packs_read {
        read if read == packs => String::new(),
        0 => ", none of them whole".to_owned(),
        read => format!(", {read} of them whole"),
    };
    let until = if *is_interrupted { ", until it was interrupted" } else { "" };
    let (snapshots, packs) = (render::count(*snapshots, "snapshot"), render::count(*packs, "pack"));
    let proved = report.proof.as_ref().map(proof_text).unwrap_or_default();
    format!("checked {snapshots} and {packs}{whole}, {} read{until}: {found}{proved}", render::size(*bytes))
}

fn proof_text(proof: &Proof) -> String {
    let Proof { packs, bytes, all_bytes, never_bytes, days, .. } = *proof;
    let now = format!("; {} of {} proved", render::count(packs, "pack"), render::size(bytes));
    let within = format!("proved within {}", render::count(days, "day"));
    match all_bytes - never_bytes {
        0 => now,
        all if all == all_bytes => format!("{now}, all data {within}"),
        // Rounded down, so that it is never all of them.
        some => match u128::from(some) * 100 / u128::from(all_bytes) {
            0 => format!("{now}, less than 1 % of the data {within}, the rest never"),
            percent => format!("{now}, {percent} % of the data {within}, the rest never"),
        },
    }
}
