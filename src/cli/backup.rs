//! `caddis backup`

use std::sync::Arc;

use serde_json::{Value, json};

use super::args::{BackupArgs, Global, Kdf};
use super::bars::Console;
use super::{Outcome, init, open, print_line, render, select, sources};
use crate::backup::{self, Detection, Options, Report, Totals};
use crate::error::{Error, Result};
use crate::format::snapshot::Summary;
use crate::progress::Context;
use crate::repo::InitOptions;
use crate::repo::snapshots::parse_time;
use crate::select::Rules;

pub(super) fn run(global: &Global, args: &BackupArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let sources = sources::sources(args)?;
    let rules = Arc::new(select::rules(&args.select)?);
    let time = args.time.as_deref().map(parse_time).transpose()?;
    let mut repository = match open::open(global, cx) {
        Err(Error::NoRepository { .. }) if args.init && !args.dry_run => {
            let kdf = Kdf { kdf_memory: bytesize::ByteSize::mib(64) };
            let made = init::make(global, &kdf, &InitOptions::default(), cx)?;
            open::open_by_key(global, &made.key, cx)?
        }
        opened => opened?,
    };
    let options = Options {
        tags: args.tag.iter().filter(|tag| !tag.is_empty()).cloned().collect(),
        label: args.label.clone(),
        host: args.host.clone(),
        time,
        own_folders: open::own_folders(global)?,
        detection: Detection { force: args.force, ignore_inode: args.ignore_inode, ignore_ctime: args.ignore_ctime },
        compression: args.compression.into(),
        rules: Arc::clone(&rules),
        with_atime: args.with_atime,
        parent: args.parent.clone(),
        skip_if_unchanged: args.skip_if_unchanged,
    };
    console.list_items(global.verbose >= if args.dry_run { 1 } else { 2 });
    if args.dry_run {
        let totals = backup::rehearse(&repository, &sources, &options, cx)?;
        console.finish();
        tell_unmatched(global, &rules);
        print_rehearsal(global, &totals, &rules)?;
        return Ok(outcome(&totals));
    }
    let report = backup::backup(&mut repository, &sources, &options, cx)?;
    console.finish();
    tell_unmatched(global, &rules);
    print_report(global, &report, &rules)
        .inspect_err(|_| super::tell(&format!("caddis: snapshot {} is saved", report.snapshot)))?;
    if let Some(withheld) = report.withheld {
        return Err(withheld.into_error(repository.objects.location()));
    }
    Ok(outcome(&report.totals))
}

fn outcome(totals: &Totals) -> Outcome {
    if totals.problems > 0 { Outcome::SourceIncomplete } else { Outcome::Done }
}

/// A rule that nothing matched is perhaps mistyped. Cron does not hear of it: it would each night.
fn tell_unmatched(global: &Global, rules: &Rules) {
    if super::tells_success(global) && !global.json {
        for rule in rules.unmatched() {
            super::tell(&format!("caddis: nothing matched {}", render::printable(rule.to_string().as_bytes())));
        }
    }
}

fn print_report(global: &Global, report: &Report, rules: &Rules) -> Result<()> {
    let summary = &report.summary;
    if global.json {
        let mut document = totals_json(&report.totals, rules);
        if report.is_new {
            document["snapshot_id"] = json!(report.snapshot.to_string());
        }
        document["tree"] = json!(report.tree.to_string());
        document["time"] = json!(render::rfc3339(report.time));
        document["data_added_packed"] = json!(summary.stored_bytes);
        return print_line(&render::json_line(&document));
    }
    if !report.is_new {
        return super::report(
            global,
            &format!(
                "nothing has changed since snapshot {}, so no new one is made: {}, {}{}",
                report.snapshot.short(),
                render::count(summary.files, "file"),
                render::size(summary.bytes),
                render::problems(report.problems),
            ),
        );
    }
    super::report(
        global,
        &format!(
            "saved snapshot {}: {}, {}; new {}, stored {}{}",
            report.snapshot.short(),
            render::count(summary.files, "file"),
            render::size(summary.bytes),
            render::size(summary.new_bytes),
            render::size(summary.stored_bytes),
            render::problems(report.problems),
        ),
    )?;
    if global.verbose > 0 { super::report(global, &details(&report.totals)) } else { Ok(()) }
}

/// Asked for to be read, so it is printed also where success is silent.
fn print_rehearsal(global: &Global, totals: &Totals, rules: &Rules) -> Result<()> {
    if global.json {
        let mut document = totals_json(totals, rules);
        document["dry_run"] = json!(true);
        return print_line(&render::json_line(&document));
    }
    if global.quiet {
        return Ok(());
    }
    let Summary { files, bytes, new_bytes, .. } = totals.summary;
    let (files, bytes, new_bytes) = (render::count(files, "file"), render::size(bytes), render::size(new_bytes));
    print_line(&format!("would save {files}, {bytes}; new {new_bytes}{}", render::problems(totals.problems)))?;
    if global.verbose > 0 { print_line(&details(totals)) } else { Ok(()) }
}

fn totals_json(totals: &Totals, rules: &Rules) -> Value {
    let Totals { summary, counts, .. } = totals;
    json!({
        "message_type": "summary",
        "files_new": counts.new,
        "files_changed": counts.changed,
        "files_unmodified": counts.unmodified,
        "total_files_processed": summary.files,
        "total_dirs_processed": summary.folders,
        "total_others_processed": summary.others,
        "total_bytes_processed": summary.bytes,
        "total_duration": render::seconds(summary.millis),
        "data_added": summary.new_bytes,
        "data_blobs": totals.new_chunks,
        "sockets_skipped": totals.sockets,
        "own_folders_skipped": totals.own_folders,
        "items_excluded": totals.excluded,
        "rules_unmatched": rules.unmatched().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "num_errors": totals.problems,
    })
}

fn details(totals: &Totals) -> String {
    let Totals { summary, counts, .. } = totals;
    format!(
        "{} files new, {} changed, {} unmodified; {} folders, {} others, {} excluded, {} sockets and {} own folders left out, \
         {:.1} s",
        counts.new,
        counts.changed,
        counts.unmodified,
        summary.folders,
        summary.others,
        totals.excluded,
        totals.sockets,
        totals.own_folders,
        render::seconds(summary.millis),
    )
}
