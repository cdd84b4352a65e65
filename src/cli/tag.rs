//! `caddis tag`

use serde_json::json;

use super::args::{ChangeTagsArgs, Global, TagCommand};
use super::render::{count, json_line};
use super::{Outcome, open, print_line, report, restore};
use crate::error::{Error, Result};
use crate::format::snapshot::{Body, TEXT_BYTES_MAX};
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::snapshots::Snapshot;
use crate::rewrite;

pub(super) fn run(global: &Global, command: &TagCommand, cx: &Context<'_>) -> Result<Outcome> {
    let (TagCommand::Add(args) | TagCommand::Remove(args) | TagCommand::Set(args)) = command;
    let tags: Vec<String> = args.tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    check(command, &tags)?;
    let mut repository = open::open(global, cx)?;
    let mut changed = 0u64;
    for snapshot in chosen(&repository, args, cx)? {
        let body = Body { tags: changed_tags(command, &tags, &snapshot.body.tags), ..snapshot.body.clone() };
        if body.tags == snapshot.body.tags {
            continue;
        }
        let new = rewrite::replace(&mut repository, &snapshot, body, cx)?;
        changed += 1;
        if global.json {
            print_line(&json_line(&json!({
                "message_type": "changed",
                "old_snapshot_id": snapshot.id.to_string(),
                "new_snapshot_id": new.to_string(),
            })))?;
        } else {
            report(global, &format!("{} is {} now", snapshot.id.short(), new.short()))?;
        }
    }
    if global.json {
        print_line(&json_line(&json!({ "message_type": "summary", "changed_snapshots": changed })))?;
    } else {
        report(global, &format!("changed the tags of {}", count(changed, "snapshot")))?;
    }
    Ok(Outcome::Done)
}

fn check(command: &TagCommand, tags: &[String]) -> Result<()> {
    if tags.is_empty() && !matches!(command, TagCommand::Set(_)) {
        return Err(Error::Usage("name at least one tag".to_owned()));
    }
    match tags.iter().find(|tag| tag.len() > TEXT_BYTES_MAX) {
        Some(_) => Err(Error::Usage(format!("a tag has at most {TEXT_BYTES_MAX} bytes"))),
        None => Ok(()),
    }
}

fn chosen(repository: &Repository, args: &ChangeTagsArgs, cx: &Context<'_>) -> Result<Vec<Snapshot>> {
    let filter = restore::filter(&args.filter)?;
    if args.snapshots.is_empty() {
        let mut all = repository.snapshots(cx)?;
        all.retain(|snapshot| filter.admits(snapshot));
        return Ok(all);
    }
    let wanted: Vec<&str> = args.snapshots.iter().map(String::as_str).collect();
    let mut found = repository.find_snapshots(&wanted, &filter, cx)?;
    found.sort_by_key(|snapshot| (snapshot.header.time, snapshot.id));
    found.dedup_by_key(|snapshot| snapshot.id);
    Ok(found)
}

fn changed_tags(command: &TagCommand, tags: &[String], before: &[String]) -> Vec<String> {
    let mut after: Vec<String> = match command {
        TagCommand::Add(_) => before.iter().chain(tags).cloned().collect(),
        TagCommand::Remove(_) => before.iter().filter(|tag| !tags.contains(tag)).cloned().collect(),
        TagCommand::Set(_) => tags.to_vec(),
    };
    after.sort();
    after.dedup();
    after
}
