//! `caddis unforget`

use serde_json::json;

use super::args::{Global, UnforgetArgs};
use super::render::{count, json_line};
use super::{Outcome, open, print_line, report};
use crate::error::Result;
use crate::progress::Context;
use crate::unforget::{Unforgotten, unforget};

pub(super) fn run(global: &Global, args: &UnforgetArgs, cx: &Context<'_>) -> Result<Outcome> {
    let mut repository = open::open(global, cx)?;
    let mut brought_back = 0u64;
    let mut done = |unforgotten: Unforgotten| {
        brought_back += u64::from(!unforgotten.was_there);
        tell(global, unforgotten, cx)
    };
    unforget(&mut repository, &args.ids, &mut done, cx)?;
    if global.json {
        print_line(&json_line(&json!({ "message_type": "summary", "snapshots_brought_back": brought_back })))?;
    } else {
        report(global, &format!("brought back {}", count(brought_back, "snapshot")))?;
    }
    Ok(Outcome::Done)
}

fn tell(global: &Global, Unforgotten { old, new, was_there }: Unforgotten, cx: &Context<'_>) -> Result<()> {
    if global.json {
        return print_line(&json_line(&json!({
            "message_type": "unforgotten",
            "old_snapshot_id": old.to_string(),
            "new_snapshot_id": new.to_string(),
            "was_there": was_there,
        })));
    }
    if was_there {
        cx.progress.note(&format!("{} is there already, as {}", old.short(), new.short()));
        return Ok(());
    }
    report(global, &format!("{} is back, as {}", old.short(), new.short()))
}
