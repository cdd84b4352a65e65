//! `caddis backup`

use std::sync::Arc;

use serde_json::json;

use super::args::{BackupArgs, Global, Kdf};
use super::bars::Console;
use super::{Outcome, init, open, print_line, render, select, sources};
use crate::backup::{self, Detection, Options, Report};
use crate::error::{Error, Result};
use crate::progress::Context;
use crate::repo::InitOptions;
use crate::repo::snapshots::parse_time;
use crate::select::Rules;

pub(super) fn run(global: &Global, args: &BackupArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let sources = sources::sources(args)?;
    let rules = Arc::new(select::rules(&args.select)?);
    let time = args.time.as_deref().map(parse_time).transpose()?;
    let mut repository = match open::open(global, cx) {
        Err(Error::NoRepository { .. }) if args.init => {
            let kdf = Kdf { kdf_memory: bytesize::ByteSize::mib(64) };
            init::make(global, &kdf, &InitOptions::default(), cx)?;
            open::open(global, cx)?
        }
        opened => opened?,
    };
    let places = open::places(global)?;
    let mut own: Vec<_> = places.folders().iter().map(|folder| folder.to_path_buf()).collect();
    own.push(open::repository_path(global)?);
    let options = Options {
        tags: args.tag.iter().filter(|tag| !tag.is_empty()).cloned().collect(),
        label: args.label.clone(),
        host: args.host.clone(),
        time,
        own_folders: own,
        detection: Detection { force: args.force, ignore_inode: args.ignore_inode, ignore_ctime: args.ignore_ctime },
        compression: args.compression.into(),
        rules: Arc::clone(&rules),
    };
    let report = backup::backup(&mut repository, &sources, &options, cx)?;
    console.finish();
    tell_unmatched(global, &rules);
    print_report(global, &report, &rules)
        .inspect_err(|_| super::tell(&format!("caddis: snapshot {} is saved", report.snapshot)))?;
    if let Some(withheld) = report.withheld {
        return Err(withheld.into_error(repository.objects.location()));
    }
    Ok(if report.problems > 0 { Outcome::SourceIncomplete } else { Outcome::Done })
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
        let document = json!({
            "message_type": "summary",
            "snapshot_id": report.snapshot.to_string(),
            "tree": report.tree.to_string(),
            "time": render::rfc3339(report.time),
            "files_new": report.counts.new,
            "files_changed": report.counts.changed,
            "files_unmodified": report.counts.unmodified,
            "total_files_processed": summary.files,
            "total_dirs_processed": summary.folders,
            "total_others_processed": summary.others,
            "total_bytes_processed": summary.bytes,
            "total_duration": render::seconds(summary.millis),
            "data_added": summary.new_bytes,
            "data_added_packed": summary.stored_bytes,
            "data_blobs": report.new_chunks,
            "sockets_skipped": report.sockets,
            "own_folders_skipped": report.own_folders,
            "items_excluded": report.excluded,
            "rules_unmatched": rules.unmatched().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "num_errors": report.problems,
        });
        return print_line(&render::json_line(&document));
    }
    let problems = render::problems(report.problems);
    super::report(
        global,
        &format!(
            "saved snapshot {}: {} files, {}; new {}, stored {}{problems}",
            report.snapshot.short(),
            summary.files,
            render::size(summary.bytes),
            render::size(summary.new_bytes),
            render::size(summary.stored_bytes),
        ),
    )?;
    if global.verbose > 0 {
        super::report(
            global,
            &format!(
                "{} files new, {} changed, {} unmodified; {} folders, {} others, {} excluded, {} sockets and {} own folders left out, {:.1} s",
                report.counts.new,
                report.counts.changed,
                report.counts.unmodified,
                summary.folders,
                summary.others,
                report.excluded,
                report.sockets,
                report.own_folders,
                render::seconds(summary.millis),
            ),
        )?;
    }
    Ok(())
}
