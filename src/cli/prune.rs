//! `caddis prune`

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};
use serde_json::json;

use super::args::{Global, PruneArgs, PruneOptions};
use super::bars::Console;
use super::render::{count, json_line, local_time, rfc3339, size};
use super::{Outcome, open, print_line, report};
use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::progress::Context;
use crate::prune::{self, Options, Report};
use crate::repo::Repository;
use crate::store::ObjectKind;

pub(super) fn run(global: &Global, args: &PruneArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let mut repository = open::open(global, cx)?;
    let options = options(&args.options);
    if !args.dry_run {
        drop_pending(&mut repository, &args.drop_pending, cx)?;
        return prune(global, &mut repository, &options, console, cx);
    }
    let planned = prune::rehearse(&repository, &options, cx)?;
    console.finish();
    if global.json {
        print_line(&json_line(&plan_json(&planned)))?;
        print_line(&json_line(&summary_json(&planned, repository.objects.requests())))?;
    } else {
        plan_lines(&planned).iter().try_for_each(|line| print_line(line))?;
        print_line(&later(&planned))?;
    }
    Ok(outcome(&planned))
}

/// Prunes and says what came of it.
pub(super) fn prune(
    global: &Global,
    repository: &mut Repository,
    options: &Options,
    console: &Console,
    cx: &Context<'_>,
) -> Result<Outcome> {
    let mut told = Ok(());
    let done = prune::prune(repository, options, &mut |planned| told = tell(global, planned), cx)?;
    told?;
    console.finish();
    if global.json {
        print_line(&json_line(&summary_json(&done, repository.objects.requests())))?;
    } else {
        report(global, &format!("{}{}", did(&done), later(&done)))?;
    }
    Ok(outcome(&done))
}

/// What stays damaged or lost is not the prune's doing, but nobody shall take it for well.
fn outcome(report: &Report) -> Outcome {
    if report.damaged > 0 || report.is_missing { Outcome::Damage } else { Outcome::Done }
}

pub(super) fn options(args: &PruneOptions) -> Options {
    Options {
        undo_window: args.undo_window,
        min_age: args.min_age,
        max_unused: args.max_unused,
        max_repack: args.max_repack.map_or(u64::MAX, |size| size.as_u64()),
        max_time: args.max_time.map(elapsed),
    }
}

/// A day of 24 hours; what is beyond all measure never ends.
fn elapsed(span: Span) -> Duration {
    let whole = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .or_else(|_| span.to_duration(jiff::civil::date(2000, 1, 1)));
    whole.ok().and_then(|whole| whole.try_into().ok()).unwrap_or(Duration::MAX)
}

/// Declares announced snapshots void, by the explicit word of somebody who knows that nobody will commit them, and committed ones
/// whose objects are damaged.
fn drop_pending(repository: &mut Repository, wanted: &[String], cx: &Context<'_>) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    repository.introduce_self(cx)?;
    let mut droppable: Vec<SnapshotId> =
        repository.objects.list(ObjectKind::Pending)?.iter().map(|listed| listed.id.into()).collect();
    droppable.extend(unreadable(repository, cx)?);
    let pick = |wanted: &String| -> Result<SnapshotId> {
        let fits = |id: &SnapshotId| !wanted.is_empty() && id.to_string().starts_with(wanted.as_str());
        let found: Vec<SnapshotId> = droppable.iter().copied().filter(fits).collect();
        match found[..] {
            [id] => Ok(id),
            [] => Err(Error::Usage(format!(
                "no snapshot `{wanted}` is announced and not committed: a prune names those that are in its way"
            ))),
            _ => Err(Error::AmbiguousSnapshot { wanted: wanted.clone(), found }),
        }
    };
    let dropped = wanted.iter().map(pick).collect::<Result<_>>()?;
    repository.withdraw(dropped, "dropped by prune", cx)
}

/// Committed snapshots that cannot be opened, so that nobody can forget them by another command, and no prune can tell what they
/// need.
fn unreadable(repository: &Repository, cx: &Context<'_>) -> Result<Vec<SnapshotId>> {
    let listed = repository.objects.list(ObjectKind::Snapshots)?;
    let (opened, void) = repository.snapshots_and_voids(cx)?;
    let is_opened = |id: &SnapshotId| opened.iter().any(|snapshot| snapshot.id == *id);
    let listed = listed.iter().map(|listed| listed.id.into());
    Ok(listed.filter(|id| !is_opened(id) && !void.contains_key(id)).collect())
}

fn tell(global: &Global, planned: &Report) -> Result<()> {
    if global.json {
        return print_line(&json_line(&plan_json(planned)));
    }
    plan_lines(planned).iter().try_for_each(|line| report(global, line))
}

/// What is about to be done, what comes later, and why the rest stays.
fn plan_lines(planned: &Report) -> Vec<String> {
    let plan = &planned.plan;
    let mut lines = vec![format!(
        "{} in {}: {} ({}) of which nothing is needed, {} to be copied together ({} copied, {} free)",
        size(plan.all_bytes),
        count(plan.all_packs, "pack"),
        count(plan.delete.packs, "pack"),
        size(plan.delete.bytes),
        count(plan.repack.packs, "pack"),
        size(plan.copied_bytes),
        size(plan.repack.bytes),
    )];
    if plan.undo_bytes > 0 {
        lines.push(format!("{} stay for `unforget`", size(plan.undo_bytes)));
    }
    if plan.young.packs > 0 {
        let packs = count(plan.young.packs, "pack");
        lines.push(format!("{packs} ({}) stay: so young, they may be a running backup's", size(plan.young.bytes)));
    }
    if plan.unused_bytes > 0 {
        lines.push(format!("{} stay in packs of which most is needed", size(plan.unused_bytes)));
    }
    if planned.is_missing {
        lines.push("something that a snapshot needs is lost: `caddis check` says what".to_owned());
    }
    lines
}

fn did(done: &Report) -> String {
    let mut line = format!("deleted {}, freed {}", count(done.deleted.packs, "pack"), size(done.freed_bytes()));
    if done.repacked > 0 {
        line.push_str(&format!(", copied {} together", count(done.repacked, "pack")));
    }
    if done.is_stopped {
        line.push_str("; stopped when the time was over");
    }
    line.push_str("; ");
    line
}

/// How much comes free when, and how to have it now.
pub(super) fn later(report: &Report) -> String {
    let moment = |at: Timestamp| local_time(at.into());
    let plan = &report.plan;
    let undo = report.undo_until.map(|(first, last)| {
        let size = size(plan.undo_bytes);
        format!("{size} more from {} to {}, or now with `caddis prune --undo-window 0`", moment(first), moment(last))
    });
    let young = report.young_until.map(|until| {
        format!("{} more until {}, or now with `caddis prune --min-age 0`", size(plan.young.bytes), moment(until))
    });
    match (undo, young) {
        (Some(undo), Some(young)) => format!("{undo}; {young}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) if plan.unused_bytes > 0 => {
            format!("nothing later, or {} now with `caddis prune --max-unused 0`", size(plan.unused_bytes))
        }
        (None, None) => "nothing is left that nobody needs".to_owned(),
    }
}

fn plan_json(planned: &Report) -> serde_json::Value {
    let plan = &planned.plan;
    json!({
        "message_type": "plan",
        "packs": plan.all_packs,
        "bytes": plan.all_bytes,
        "packs_to_delete": plan.delete.packs,
        "bytes_to_delete": plan.delete.bytes,
        "packs_to_repack": plan.repack.packs,
        "bytes_to_repack": plan.copied_bytes,
        "bytes_undo": plan.undo_bytes,
        "packs_young": plan.young.packs,
        "bytes_young": plan.young.bytes,
        "bytes_unused": plan.unused_bytes,
    })
}

fn summary_json(done: &Report, requests: u64) -> serde_json::Value {
    json!({
        "message_type": "summary",
        "packs_deleted": done.deleted.packs,
        "packs_repacked": done.repacked,
        "packs_damaged": done.damaged,
        "packs_rescued": done.rescued,
        "segments_merged": done.merged.0,
        "snapshots_removed": done.removed,
        "is_stopped": done.is_stopped,
        "is_damaged": done.damaged > 0 || done.is_missing,
        "undo_until": done.undo_until.map(|(_, last)| rfc3339(last.into())),
        "bytes_freed": done.freed_bytes(),
        "bytes_later": done.later_bytes(),
        "bytes_kept": done.plan.unused_bytes,
        "requests": requests,
    })
}
