//! `caddis repair`

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::args::{Global, RepairCommand, RepairIndexArgs, RepairPacksArgs, RepairSnapshotsArgs};
use super::bars::Console;
use super::check::{SHOWN, finding_json, finding_lines};
use super::render::{count, json_line, printable, size};
use super::{Outcome, open, print_line, report, tell};
use crate::check::{Report, Verdict};
use crate::error::{Error, Result};
use crate::progress::{Context, Silent};
use crate::repair::{index, left, packs, snapshots};
use crate::repo::Repository;
use crate::store::ObjectName;

pub(super) fn run(global: &Global, command: &RepairCommand, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    match command {
        RepairCommand::Index(args) => repair_index(global, args, repository, console, cx),
        RepairCommand::Packs(args) => repair_packs(global, args, repository, console, cx),
        RepairCommand::Snapshots(args) => repair_snapshots(global, args, repository, console, cx),
    }
}

fn repair_index(
    global: &Global,
    args: &RepairIndexArgs,
    mut repository: Repository,
    console: &Console,
    cx: &Context<'_>,
) -> Result<Outcome> {
    let plan = index::plan(&repository, cx)?;
    let junk = plan.junk().count() as u64;
    let line = format!(
        "{} ({}) that no index segment names, {} that nobody can read",
        count(plan.packs() as u64, "pack"),
        size(plan.bytes()),
        count(junk, "index segment"),
    );
    let document = json!({
        "message_type": "plan",
        "packs_to_name": plan.packs(),
        "bytes_to_read": plan.bytes(),
        "segments_to_delete": junk,
    });
    show_plan(global, args.dry_run, &[line], &document)?;
    if args.dry_run {
        return Ok(Outcome::Done);
    }
    let done = index::repair(&mut repository, plan, cx)?;
    let after = look_after(&repository, console, cx)?;
    done.damaged.iter().try_for_each(|name| say(global, name, "it does not give all that it should"))?;
    done.kept.iter().try_for_each(|name| say(global, name, "it is of no use, and stays"))?;
    let line = format!(
        "named {} in {}, deleted {} that nobody could read",
        count(done.packs, "pack"),
        count(done.segments, "index segment"),
        count(done.deleted, "index segment"),
    );
    let document = json!({
        "message_type": "summary",
        "packs_named": done.packs,
        "packs_damaged": done.damaged.len(),
        "segments_put": done.segments,
        "segments_deleted": done.deleted,
        "segments_kept": done.kept.len(),
    });
    show_end(global, &line, document, after, &repository)
}

fn repair_packs(
    global: &Global,
    args: &RepairPacksArgs,
    mut repository: Repository,
    console: &Console,
    cx: &Context<'_>,
) -> Result<Outcome> {
    let plan = packs::plan(&repository, &args.packs, cx)?;
    let missing = plan.damaged().iter().filter(|pack| !pack.is_there).count();
    let mut lines: Vec<String> = plan.damaged().iter().map(|pack| format!("{}: {}", pack.name, pack.what)).collect();
    lines.push(format!(
        "{} read: {} damaged, {} missing",
        count(plan.read, "pack"),
        plan.damaged().len() - missing,
        missing
    ));
    let named: Vec<Value> = plan
        .damaged()
        .iter()
        .map(|pack| json!({ "object": pack.name.path(), "what": pack.what, "bytes": pack.bytes }))
        .collect();
    let document = json!({ "message_type": "plan", "packs_read": plan.read, "packs": named });
    show_plan(global, args.dry_run, &lines, &document)?;
    if args.dry_run {
        return Ok(Outcome::Done);
    }
    let done = packs::repair(&mut repository, plan, cx)?;
    let after = look_after(&repository, console, cx)?;
    done.kept.iter().try_for_each(|name| say(global, name, "it holds what is nowhere else, and stays"))?;
    let line = format!(
        "stored {} ({}) of damaged packs again, let {} go; {} lost",
        count(done.chunks, "chunk"),
        size(done.bytes),
        count(done.dead, "pack"),
        count(done.lost_chunks, "chunk"),
    );
    let document = json!({
        "message_type": "summary",
        "packs_dead": done.dead,
        "packs_kept": done.kept.len(),
        "chunks_stored": done.chunks,
        "bytes_stored": done.bytes,
        "chunks_lost": done.lost_chunks,
    });
    show_end(global, &line, document, after, &repository)
}

fn repair_snapshots(
    global: &Global,
    args: &RepairSnapshotsArgs,
    mut repository: Repository,
    console: &Console,
    cx: &Context<'_>,
) -> Result<Outcome> {
    let plan = snapshots::plan(&repository, &args.snapshots, &Context { progress: &Silent, ..*cx })?;
    let ids: Vec<String> = plan.damaged().map(|id| id.to_string()).collect();
    let mut lines: Vec<String> = plan.findings().iter().flat_map(finding_lines).collect();
    lines.push(format!("{} to be repaired", count(ids.len() as u64, "snapshot")));
    let document = json!({ "message_type": "plan", "snapshots": ids });
    show_plan(global, args.dry_run, &lines, &document)?;
    if args.dry_run {
        return Ok(Outcome::Done);
    }
    let done = snapshots::repair(&mut repository, plan, cx)?;
    let after = look_after(&repository, console, cx)?;
    done.iter().try_for_each(|one| show_repaired(global, one))?;
    let repaired = done.iter().filter(|one| one.new.is_some()).count() as u64;
    let line = format!("repaired {}", count(repaired, "snapshot"));
    let document = json!({
        "message_type": "summary",
        "snapshots_repaired": repaired,
        "snapshots_lost": done.len() as u64 - repaired,
    });
    show_end(global, &line, document, after, &repository)
}

/// What became of one snapshot. What it lacks is for everybody to see, also where success is silent.
fn show_repaired(global: &Global, one: &snapshots::Repaired) -> Result<()> {
    if global.json {
        let paths: Vec<_> = one.paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
        let mut document = json!({
            "message_type": "repaired",
            "old_snapshot_id": one.old.to_string(),
            "new_snapshot_id": one.new.map(|id| id.to_string()),
            "paths": paths,
            "more_paths": one.more_paths,
        });
        if one.paths.iter().any(|path| std::str::from_utf8(path).is_err()) {
            let encoded: Vec<_> = one.paths.iter().map(|path| BASE64.encode(path)).collect();
            document["paths_b64"] = json!(encoded);
        }
        return print_line(&json_line(&document));
    }
    let became = match one.new {
        Some(new) => format!("is {} now, without:", new.short()),
        None => "stays: nothing of it is left".to_owned(),
    };
    tell(&format!("caddis: {} {became}", one.old.short()));
    one.paths.iter().take(SHOWN).for_each(|path| tell(&format!("  {}", printable(path))));
    let more = one.paths.len().saturating_sub(SHOWN) as u64 + one.more_paths;
    if more > 0 {
        tell(&format!("  and {more} more"));
    }
    Ok(())
}

/// The plan is shown before anything is done.
fn show_plan(global: &Global, is_all: bool, lines: &[String], document: &Value) -> Result<()> {
    match (global.json, is_all) {
        (true, _) => print_line(&json_line(document)),
        (false, true) => lines.iter().try_for_each(|line| print_line(line)),
        (false, false) => lines.iter().try_for_each(|line| report(global, line)),
    }
}

/// Something that is left as it is.
fn say(global: &Global, name: &ObjectName, what: &str) -> Result<()> {
    if global.json {
        return print_line(&json_line(&json!({ "message_type": "left", "object": name.path(), "what": what })));
    }
    tell(&format!("caddis: {name}: {what}"));
    Ok(())
}

/// What is wrong after the repair.
fn look_after(repository: &Repository, console: &Console, cx: &Context<'_>) -> Result<Report> {
    let after = left(repository, &Context { progress: &Silent, ..*cx })?;
    console.finish();
    if after.is_interrupted { Err(Error::Interrupted) } else { Ok(after) }
}

fn show_end(
    global: &Global,
    line: &str,
    mut document: Value,
    after: Report,
    repository: &Repository,
) -> Result<Outcome> {
    if global.json {
        after.errors.iter().try_for_each(|error| print_line(&json_line(&finding_json(error))))?;
        document["num_errors"] = json!(after.errors.len());
        document["repairable_errors"] = json!(after.repairable_errors());
        document["requests"] = json!(repository.objects.requests());
        print_line(&json_line(&document))?;
    } else {
        after.errors.iter().flat_map(finding_lines).for_each(|line| tell(&line));
        report(global, line)?;
    }
    let verdict = after.verdict();
    if let Some(withheld) = after.withheld {
        return Err(withheld.into_error(repository.objects.location()));
    }
    Ok(match verdict {
        Verdict::Sound => Outcome::Done,
        Verdict::Repairable => Outcome::RepairableDamage,
        Verdict::Damaged => Outcome::Damage,
    })
}
