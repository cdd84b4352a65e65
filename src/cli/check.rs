//! `caddis check`

use serde_json::json;

use super::args::{CheckArgs, Global};
use super::bars::Console;
use super::{Outcome, open, print_line, render};
use crate::check::{self, Options};
use crate::error::Result;
use crate::progress::Context;

pub(super) fn run(global: &Global, args: &CheckArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let report = check::check(&repository, &Options { read_data: args.read_data }, cx)?;
    console.finish();
    if global.json {
        let document = json!({
            "message_type": "summary",
            "num_errors": report.errors,
            "snapshots": report.snapshots,
            "packs": report.packs,
            "bytes_read": report.bytes,
        });
        print_line(&document.to_string())?;
    } else {
        let found = match report.errors {
            0 => "no damage".to_owned(),
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        super::report(
            global,
            &format!(
                "checked {} snapshots and {} packs, {} read: {found}",
                report.snapshots,
                report.packs,
                render::size(report.bytes)
            ),
        )?;
    }
    Ok(if report.errors > 0 { Outcome::Damage } else { Outcome::Done })
}
