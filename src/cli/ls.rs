//! `caddis ls`

use std::io::{self, BufWriter, Write};

use super::args::{Global, LsArgs};
use super::render::{entry_json, entry_line, json_line, path as render_path, snapshot_json};
use super::{Outcome, open, restore};
use crate::error::{Error, Result};
use crate::listing::{self, Entry, Options};
use crate::progress::Context;
use crate::repo::fetch::Reader;

pub(super) fn run(global: &Global, args: &LsArgs, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let (wanted, path) = restore::split(&args.snapshot)?;
    let snapshot = repository.find_snapshot(wanted, &restore::filter(&args.filter)?, cx)?;
    let reader = Reader::open(&repository, cx)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if global.json {
        let mut head = snapshot_json(&snapshot);
        head["message_type"] = serde_json::json!("snapshot");
        writeln!(out, "{}", json_line(&head)).map_err(Error::Output)?;
    }
    let mut print = |entry: Entry| {
        let line = match (global.json, args.long) {
            (true, _) => json_line(&entry_json(&entry)),
            (false, true) => entry_line(&entry),
            (false, false) => render_path(&entry.path),
        };
        writeln!(out, "{line}").map_err(Error::Output)
    };
    let options = Options { recursive: args.recursive, births: global.json };
    listing::list(&reader, &snapshot, &path, &options, cx, &mut print)?;
    out.flush().map_err(Error::Output)?;
    Ok(Outcome::Done)
}
