//! `caddis snapshots`

use std::collections::HashMap;

use serde_json::Value;

use super::args::{Global, SnapshotsArgs};
use super::render::{json_line, local_time, printable, size, snapshot_json, table};
use super::{Outcome, open, print_line, restore};
use crate::error::Result;
use crate::progress::Context;
use crate::repo::snapshots::{Snapshot, pick};

pub(super) fn run(global: &Global, args: &SnapshotsArgs, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let filter = restore::filter(&args.filter)?;
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
    let body = &snapshot.body;
    let join = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join("\n");
    let text = |text: &String| printable(text.as_bytes());
    vec![
        snapshot.id.short(),
        local_time(snapshot.header.time),
        join(&mut body.hosts.iter().map(text)),
        size(body.summary.bytes),
        join(&mut body.tags.iter().map(text)),
        join(&mut body.paths.iter().map(|path| printable(path))),
    ]
}
