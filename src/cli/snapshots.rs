//! `caddis snapshots`

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::args::{Global, SnapshotsArgs};
use super::render::{json_line, local_time, printable, rfc3339, size, snapshot_json, table};
use super::{Outcome, open, print_line, restore};
use crate::error::Result;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::snapshots::{Filter, Snapshot, pick};
use crate::unforget::{self, ForgottenSnapshot};

pub(super) fn run(global: &Global, args: &SnapshotsArgs, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let filter = restore::filter(&args.filter)?;
    if args.forgotten {
        return list_forgotten(global, &repository, &filter, cx);
    }
    let (mut snapshots, graph) = repository.history(cx)?;
    snapshots.retain(|snapshot| filter.admits(snapshot));
    if !args.snapshots.is_empty() {
        snapshots = args.snapshots.iter().map(|wanted| pick(&snapshots, wanted).cloned()).collect::<Result<_>>()?;
    }
    if let Some(latest) = args.latest {
        keep_latest(&mut snapshots, latest);
    }
    if global.json {
        let list: Vec<Value> = snapshots.iter().map(snapshot_json).collect();
        print_line(&json_line(&Value::Array(list)))?;
    } else if snapshots.is_empty() {
        print_line("no snapshots")?;
    } else if args.compact {
        let head = ["ID", "Time", "Host", "Tags"];
        print_line(&table(&head, &[], snapshots.iter().map(compact_row).collect()))?;
    } else {
        let head = ["ID", "Time", "Host", "Size", "Tags", "Paths"];
        print_line(&table(&head, &[3], snapshots.iter().map(row).collect()))?;
    }
    match repository.compare_or_note(&graph, cx)? {
        Some(withheld) => Err(withheld.into_error(repository.objects.location())),
        None => Ok(Outcome::Done),
    }
}

/// Those that can be brought back.
fn list_forgotten(global: &Global, repository: &Repository, filter: &Filter, cx: &Context<'_>) -> Result<Outcome> {
    let mut forgotten = unforget::forgotten(repository, cx)?;
    forgotten.retain(|found| filter.admits(&found.snapshot));
    let now = cx.clock.now();
    if global.json {
        let list: Vec<Value> = forgotten.iter().map(|found| forgotten_json(found, now)).collect();
        print_line(&json_line(&Value::Array(list)))?;
    } else if forgotten.is_empty() {
        print_line("no forgotten snapshots")?;
    } else {
        let head = ["ID", "Time", "Host", "Tags", "Paths", "Forgotten", "Reason", "Until"];
        print_line(&table(&head, &[], forgotten.iter().map(|found| forgotten_row(found, now)).collect()))?;
    }
    Ok(Outcome::Done)
}

fn forgotten_json(found: &ForgottenSnapshot, now: Timestamp) -> Value {
    let mut document = snapshot_json(&found.snapshot);
    document["forgotten_reason"] = found.voided.reason.as_str().into();
    document["forgotten_time"] = found.voided.since.map(rfc3339).into();
    document["undo_until"] = found.safe_until(now).map(|until| rfc3339(until.into())).into();
    document
}

fn forgotten_row(found: &ForgottenSnapshot, now: Timestamp) -> Vec<String> {
    let [id, time, host, _, tags, paths] = cells(&found.snapshot);
    let until = found.safe_until(now).map_or("the next prune".to_owned(), |until| local_time(until.into()));
    let since = found.voided.since.map(local_time).unwrap_or_default();
    vec![id, time, host, tags, paths, since, printable(found.voided.reason.as_bytes()), until]
}

/// Of each host with each set of paths, keeps the newest ones; they come oldest first.
fn keep_latest(snapshots: &mut Vec<Snapshot>, latest: u32) {
    let mut seen: HashMap<(Vec<String>, Vec<Vec<u8>>), u32> = HashMap::new();
    snapshots.reverse();
    snapshots.retain(|snapshot| {
        let body = &snapshot.body;
        let count = seen.entry((body.hosts.clone(), body.paths.clone())).or_default();
        *count += 1;
        *count <= latest
    });
    snapshots.reverse();
}

fn compact_row(snapshot: &Snapshot) -> Vec<String> {
    let body = &snapshot.body;
    let join = |texts: &[String]| printable(texts.join(",").as_bytes());
    vec![snapshot.id.short(), local_time(snapshot.header.time), join(&body.hosts), join(&body.tags)]
}

fn row(snapshot: &Snapshot) -> Vec<String> {
    cells(snapshot).to_vec()
}

fn cells(snapshot: &Snapshot) -> [String; 6] {
    let body = &snapshot.body;
    let join = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join("\n");
    let text = |text: &String| printable(text.as_bytes());
    [
        snapshot.id.short(),
        local_time(snapshot.header.time),
        join(&mut body.hosts.iter().map(text)),
        size(body.summary.bytes),
        join(&mut body.tags.iter().map(text)),
        join(&mut body.paths.iter().map(|path| printable(path))),
    ]
}
