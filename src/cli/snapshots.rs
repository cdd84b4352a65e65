//! `caddis snapshots`

use serde_json::Value;

use super::args::{Global, SnapshotsArgs};
use super::render::{json_line, local_time, printable, size, snapshot_json, table};
use super::{Outcome, open, print_line, restore};
use crate::error::Result;
use crate::progress::Context;
use crate::repo::snapshots::Snapshot;

pub(super) fn run(global: &Global, args: &SnapshotsArgs, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let filter = restore::filter(&args.filter)?;
    let (mut snapshots, graph) = repository.history(cx)?;
    snapshots.retain(|snapshot| filter.admits(snapshot));
    if global.json {
        let list: Vec<Value> = snapshots.iter().map(snapshot_json).collect();
        print_line(&json_line(&Value::Array(list)))?;
    } else if snapshots.is_empty() {
        print_line("no snapshots")?;
    } else {
        let head = ["ID", "Time", "Host", "Size", "Tags", "Paths"];
        print_line(&table(&head, &[3], snapshots.iter().map(row).collect()))?;
    }
    match repository.compare_or_note(&graph, cx)? {
        Some(withheld) => Err(withheld.into_error(repository.objects.location())),
        None => Ok(Outcome::Done),
    }
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
