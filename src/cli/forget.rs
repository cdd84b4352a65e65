//! `caddis forget`

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::args::{ForgetArgs, Global, KeepArgs};
use super::bars::Console;
use super::render::{count, json_line, local_time, printable, rfc3339, size, snapshot_json, table};
use super::{Outcome, open, print_line, prune, report, restore, tells_success};
use crate::error::{Error, Result, with_causes};
use crate::forget::{self, Choice, Group, GroupKey};
use crate::progress::Context;
use crate::prune::{Options, Report, rehearse};
use crate::repo::Repository;
use crate::repo::snapshots::Snapshot;
use crate::retention::{Limit, Period, Policy, Rule, Verdict};

pub(super) fn run(global: &Global, args: &ForgetArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let choice = choice(args)?;
    let filter = restore::filter(&args.filter)?;
    let mut repository = open::open(global, cx)?;
    let plan = forget::plan(&repository, &choice, &filter, cx)?;
    if args.dry_run {
        show(global, plan.groups(), None, true, &repository)?;
        return Ok(Outcome::Done);
    }
    let groups = forget::forget(&mut repository, plan, cx)?;
    let options = prune::options(&args.prune_options);
    if args.prune {
        show(global, &groups, None, false, &repository)?;
        return prune::prune(global, &mut repository, &options, console, cx);
    }
    let outlook = if global.json || tells_success(global) { outlook(&repository, &options, cx)? } else { None };
    console.finish();
    show(global, &groups, outlook.as_ref(), false, &repository)?;
    Ok(Outcome::Done)
}

/// What a prune would free now and later. That it cannot be said changes nothing about what was forgotten.
fn outlook(repository: &Repository, options: &Options, cx: &Context<'_>) -> Result<Option<Report>> {
    match rehearse(repository, options, cx) {
        Ok(report) => Ok(Some(report)),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => {
            cx.progress.note(&format!("how much comes free cannot be said: {}", with_causes(&error)));
            Ok(None)
        }
    }
}

fn choice(args: &ForgetArgs) -> Result<Choice> {
    let policy = policy(&args.keep);
    let usage = |what: &str| Err(Error::Usage(what.to_owned()));
    match (args.snapshots.is_empty(), policy.is_empty()) {
        (false, true) => Ok(Choice::Named(args.snapshots.clone())),
        (true, false) => Ok(Choice::Policy {
            policy,
            grouping: args.group_by.unwrap_or_default(),
            allows_empty: args.allow_empty,
            zone: TimeZone::system(),
        }),
        (true, true) => usage("name the snapshots to forget, or say what to keep, as with `--keep-daily 7`"),
        (false, false) => usage("a policy keeps no snapshot that is named to be forgotten: give one or the other"),
    }
}

fn policy(keep: &KeepArgs) -> Policy {
    use Period::{Day, Each, Hour, Month, Week, Year};
    let counts = [
        (Each, keep.keep_last),
        (Hour, keep.keep_hourly),
        (Day, keep.keep_daily),
        (Week, keep.keep_weekly),
        (Month, keep.keep_monthly),
        (Year, keep.keep_yearly),
    ];
    let spans = [
        (Each, keep.keep_within),
        (Hour, keep.keep_within_hourly),
        (Day, keep.keep_within_daily),
        (Week, keep.keep_within_weekly),
        (Month, keep.keep_within_monthly),
        (Year, keep.keep_within_yearly),
    ];
    let spans = spans.into_iter().map(|(period, span)| (period, span.map(Limit::Within)));
    let limits = counts.into_iter().chain(spans);
    let rules = limits.filter_map(|(period, limit)| Some(Rule { period, limit: limit? })).collect();
    Policy { rules, tags: keep.keep_tag.clone() }
}

fn show(
    global: &Global,
    groups: &[Group],
    outlook: Option<&Report>,
    is_dry: bool,
    repository: &Repository,
) -> Result<()> {
    if global.json {
        let groups: Vec<Value> = groups.iter().map(|group| group_json(group, repository)).collect();
        let mut document = json!({ "dry_run": is_dry, "groups": groups });
        if let Some(outlook) = outlook {
            document["bytes_next_prune"] = outlook.next_bytes().into();
            document["bytes_later"] = outlook.later_bytes().into();
            document["undo_until"] = outlook.undo_until.map(|(_, last)| rfc3339(last.into())).into();
        }
        return print_line(&json_line(&document));
    }
    if is_dry || tells_success(global) {
        groups.iter().filter(|group| !group.snapshots.is_empty()).try_for_each(|group| {
            if let Some(key) = &group.key {
                print_line(&format!("{}:", title(key, groups, repository)))?;
            }
            print_line(&format!("{}\n", group_table(group)))
        })?;
    }
    let forgotten: usize = groups.iter().map(|group| group.forgotten().count()).sum();
    let all: usize = groups.iter().map(|group| group.snapshots.len()).sum();
    let snapshots = count(forgotten as u64, "snapshot");
    match (is_dry, all == forgotten) {
        (true, true) => print_line(&format!("would forget {snapshots}")),
        (true, false) => print_line(&format!("would forget {snapshots}, and keep {}", all - forgotten)),
        (false, true) => report(global, &format!("forgot {snapshots}{}", comes_free(outlook))),
        (false, false) => {
            report(global, &format!("forgot {snapshots}, and kept {}{}", all - forgotten, comes_free(outlook)))
        }
    }
}

fn comes_free(outlook: Option<&Report>) -> String {
    let Some(outlook) = outlook else { return String::new() };
    format!("; the next prune frees {}; {}", size(outlook.next_bytes()), prune::later(outlook))
}

/// What a group has in common; its writer only where there are several.
fn title(key: &GroupKey, groups: &[Group], repository: &Repository) -> String {
    let common = printable(key.to_string().as_bytes());
    let writers = groups.iter().filter_map(|group| group.key.as_ref()).map(|key| key.writer);
    let is_only_one = writers.into_iter().all(|writer| writer == key.writer);
    match repository.keyring.principal(&key.writer) {
        Some(writer) if !is_only_one => {
            format!("{common}, written by {}", printable(format!("{} at {}", writer.user, writer.host).as_bytes()))
        }
        _ => common,
    }
}

fn group_table(group: &Group) -> String {
    let head = ["", "ID", "Time", "Host", "Tags", "Paths", "Reasons"];
    table(&head, &[], group.snapshots.iter().map(|(snapshot, verdict)| row(snapshot, verdict)).collect())
}

fn row(snapshot: &Snapshot, verdict: &Verdict) -> Vec<String> {
    let body = &snapshot.body;
    let join = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join("\n");
    let text = |text: &String| printable(text.as_bytes());
    vec![
        if verdict.is_kept() { "keep" } else { "forget" }.to_owned(),
        snapshot.id.short(),
        local_time(snapshot.header.time),
        join(&mut body.hosts.iter().map(text)),
        join(&mut body.tags.iter().map(text)),
        join(&mut body.paths.iter().map(|path| printable(path))),
        join(&mut verdict.reasons.iter().map(|reason| printable(reason.to_string().as_bytes()))),
    ]
}

fn group_json(group: &Group, repository: &Repository) -> Value {
    let key = group.key.as_ref();
    let lossy = |paths: &Vec<Vec<u8>>| paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    let paths: Option<Vec<String>> = key.and_then(|key| key.paths.as_ref()).map(lossy);
    let host = key.and_then(|key| key.hosts.as_ref()).map(|hosts| hosts.join(","));
    let writer = key.and_then(|key| repository.keyring.principal(&key.writer));
    let reasons = group.kept().map(|(snapshot, verdict)| {
        let matches: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
        json!({ "snapshot": snapshot_json(snapshot), "matches": matches })
    });
    json!({
        "label": key.and_then(|key| key.label.as_ref()),
        "host": host,
        "paths": paths,
        "tags": key.and_then(|key| key.tags.as_ref()),
        "writer": key.map(|key| key.writer.to_string()),
        "writer_host": writer.as_ref().map(|writer| &writer.host),
        "writer_user": writer.as_ref().map(|writer| &writer.user),
        "keep": group.kept().map(|(snapshot, _)| snapshot_json(snapshot)).collect::<Vec<_>>(),
        "remove": group.forgotten().map(snapshot_json).collect::<Vec<_>>(),
        "reasons": reasons.collect::<Vec<_>>(),
    })
}
