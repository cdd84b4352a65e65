//! `caddis stats`

use serde_json::{Value, json};

use super::args::{Global, StatsArgs};
use super::bars::Console;
use super::render::{count, json_line, local_time, size, snapshot_json, table};
use super::{Outcome, open, print_line, restore};
use crate::error::Result;
use crate::progress::Context;
use crate::repo::snapshots::{Snapshot, pick};
use crate::stats::{self, Bytes, Report};

pub(super) fn run(global: &Global, args: &StatsArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let filter = restore::filter(&args.filter)?;
    let all = repository.snapshots(cx)?;
    let mut shown: Vec<Snapshot> = all.iter().filter(|snapshot| filter.admits(snapshot)).cloned().collect();
    if !args.snapshots.is_empty() {
        shown = args.snapshots.iter().map(|wanted| pick(&shown, wanted).cloned()).collect::<Result<_>>()?;
    }
    let report = stats::stats(&repository, &all, cx)?;
    console.finish();
    let rows: Vec<(&Snapshot, Bytes)> = shown.iter().map(|snapshot| (snapshot, own(&report, snapshot))).collect();
    if global.json {
        print_line(&json_line(&report_json(&rows, &all, &report)))?;
    } else {
        print_report(&rows, &all, &report)?;
    }
    Ok(Outcome::Done)
}

fn own(report: &Report, snapshot: &Snapshot) -> Bytes {
    report.own.iter().find(|(id, _)| *id == snapshot.id).map(|(_, own)| *own).unwrap_or_default()
}

/// The bytes that a restore of all snapshots would write, and the files.
fn totals(snapshots: &[Snapshot]) -> (u64, u64) {
    let summaries = || snapshots.iter().map(|snapshot| &snapshot.body.summary);
    (summaries().map(|summary| summary.bytes).sum(), summaries().map(|summary| summary.files).sum())
}

#[allow(clippy::cast_precision_loss, reason = "a ratio is shown with two digits")]
fn ratio(of: u64, to: u64) -> f64 {
    if to == 0 { 1.0 } else { of as f64 / to as f64 }
}

fn bytes_json(bytes: &Bytes) -> Value {
    json!({ "chunks": bytes.chunks, "uncompressed_size": bytes.plain, "stored_size": bytes.stored })
}

fn report_json(rows: &[(&Snapshot, Bytes)], all: &[Snapshot], report: &Report) -> Value {
    let (bytes, files) = totals(all);
    let snapshots: Vec<Value> = rows
        .iter()
        .map(|(snapshot, own)| {
            let mut document = snapshot_json(snapshot);
            document["only_here"] = bytes_json(own);
            document
        })
        .collect();
    let objects: Vec<Value> = report
        .objects
        .iter()
        .map(|of| json!({ "kind": of.kind.folder(), "count": of.count, "bytes": of.bytes }))
        .collect();
    json!({
        "snapshots_count": all.len(),
        "total_file_count": files,
        "total_restore_size": bytes,
        "total_size": report.objects.iter().map(|of| of.bytes).sum::<u64>(),
        "total_uncompressed_size": report.needed.plain,
        "compression_ratio": ratio(report.needed.plain, report.needed.stored),
        "deduplication_ratio": ratio(bytes, report.needed.plain),
        "needed": bytes_json(&report.needed),
        "unneeded": bytes_json(&report.unneeded),
        "objects": objects,
        "snapshots": snapshots,
    })
}

fn print_report(rows: &[(&Snapshot, Bytes)], all: &[Snapshot], report: &Report) -> Result<()> {
    let row = |(snapshot, own): &(&Snapshot, Bytes)| {
        let summary = &snapshot.body.summary;
        let id = snapshot.id.short();
        let time = local_time(snapshot.header.time);
        vec![id, time, summary.files.to_string(), size(summary.bytes), size(own.plain), size(own.stored)]
    };
    if !rows.is_empty() {
        let head = ["ID", "Time", "Files", "Size", "Only in it", "Stored"];
        print_line(&table(&head, &[2, 3, 4, 5], rows.iter().map(row).collect()))?;
        print_line("")?;
    }
    let (bytes, files) = totals(all);
    let Report { needed, unneeded, objects, .. } = report;
    let (deduplication, compression) = (ratio(bytes, needed.plain), ratio(needed.plain, needed.stored));
    let files = count(files, "file");
    print_line(&format!("snapshots   {} with {files}, {} to restore", all.len(), size(bytes)))?;
    print_line(&format!(
        "needed      {} in {} chunks, {} stored",
        size(needed.plain),
        needed.chunks,
        size(needed.stored)
    ))?;
    print_line(&format!(
        "ratio       {:.2} by deduplication, {:.2} by compression, {:.2} together",
        deduplication,
        compression,
        ratio(bytes, needed.stored)
    ))?;
    print_line(&format!("not needed  {} in {} chunks", size(unneeded.stored), unneeded.chunks))?;
    let total: u64 = objects.iter().map(|of| of.bytes).sum();
    print_line(&format!("repository  {}", size(total)))?;
    for of in objects.iter().filter(|of| of.count > 0) {
        print_line(&format!("  {:<9} {} in {}", of.kind.folder(), size(of.bytes), of.count))?;
    }
    Ok(())
}
