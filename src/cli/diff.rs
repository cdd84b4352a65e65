//! `caddis diff`

use std::io::{self, BufWriter, Write};

use serde_json::{Map, Value, json};

use super::args::{DiffArgs, Global};
use super::color::{self, Stream};
use super::render::{self, json_line};
use super::{Outcome, open, restore};
use crate::diff::{self, Change, Counts, Report};
use crate::error::{Error, Result};
use crate::format::name::TreePath;
use crate::format::tree::{Node, NodeKind};
use crate::listing;
use crate::progress::Context;
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;

pub(super) fn run(global: &Global, args: &DiffArgs, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let ((first, first_path), (second, second_path)) = (restore::split(&args.first)?, restore::split(&args.second)?);
    let below = args.below.as_ref().map(|path| restore::typed_path(path.as_os_str())).transpose()?;
    let (first_path, second_path) = (join(first_path, below.as_ref()), join(second_path, below.as_ref()));
    let snapshots = repository.find_snapshots(&[first, second], &restore::filter(&args.filter)?, cx)?;
    let [first, second] = &snapshots[..] else { unreachable!("as many are found as are wanted") };
    let reader = Reader::open(&repository, cx)?;
    let found = [listing::find(&reader, first, &first_path)?, listing::find(&reader, second, &second_path)?];
    let mut out = BufWriter::new(io::stdout().lock());
    let mut each = |path: &TreePath, change: &Change, node: &Node| match modifier(change, args.metadata) {
        Some(modifier) => {
            let line = if global.json { change_json(path, modifier, node) } else { change_line(path, modifier, node) };
            writeln!(out, "{line}").map_err(Error::Output)
        }
        None => Ok(()),
    };
    let report = diff::diff(&reader, &second_path, [&found[0], &found[1]], cx, &mut each)?;
    if global.json {
        writeln!(out, "{}", json_line(&report_json(first, second, &report))).map_err(Error::Output)?;
    } else if !global.quiet {
        report_lines(&report).iter().try_for_each(|line| writeln!(out, "{line}")).map_err(Error::Output)?;
    }
    out.flush().map_err(Error::Output)?;
    Ok(Outcome::Done)
}

fn join(mut path: TreePath, below: Option<&TreePath>) -> TreePath {
    below.into_iter().flat_map(TreePath::components).for_each(|name| path.push(&name));
    path
}

/// restic's letters.
fn modifier(change: &Change, with_metadata: bool) -> Option<&'static str> {
    match change {
        Change::Added => Some("+"),
        Change::Removed => Some("-"),
        Change::Changed { kind: true, .. } => Some("T"),
        Change::Changed { content: true, metadata: true, .. } if with_metadata => Some("MU"),
        Change::Changed { content: true, .. } => Some("M"),
        Change::Changed { .. } => with_metadata.then_some("U"),
    }
}

fn shown(path: &TreePath, node: &Node) -> Vec<u8> {
    let mut shown = path.absolute();
    if matches!(node.kind, NodeKind::Folder { .. }) && shown != b"/" {
        shown.push(b'/');
    }
    shown
}

fn change_line(path: &TreePath, modifier: &str, node: &Node) -> String {
    let style = match modifier {
        "+" => color::ADDED,
        "-" => color::REMOVED,
        _ => color::CHANGED,
    };
    color::paint(Stream::Output, style, &format!("{modifier:<5}{}", render::printable(&shown(path, node))))
}

fn change_json(path: &TreePath, modifier: &str, node: &Node) -> String {
    let mut object = Map::new();
    object.insert("message_type".to_owned(), json!("change"));
    render::put_path(&mut object, &shown(path, node));
    object.insert("modifier".to_owned(), json!(modifier));
    json_line(&Value::Object(object))
}

fn report_json(first: &Snapshot, second: &Snapshot, report: &Report) -> Value {
    let counts = |counts: &Counts| json!({ "files": counts.files, "dirs": counts.folders, "others": counts.others, "bytes": counts.bytes });
    json!({
        "message_type": "statistics",
        "source_snapshot": first.id.to_string(),
        "target_snapshot": second.id.to_string(),
        "changed_files": report.changed,
        "changed_metadata": report.metadata,
        "added": counts(&report.added),
        "removed": counts(&report.removed),
    })
}

fn report_lines(report: &Report) -> Vec<String> {
    let line = |word: &str, counts: &Counts| {
        let Counts { files, folders, others, bytes } = counts;
        let (files, folders) = (render::count(*files, "file"), render::count(*folders, "folder"));
        format!("{word:<9}{files}, {folders}, {}, {}", render::count(*others, "other"), render::size(*bytes))
    };
    vec![
        String::new(),
        format!("changed  {}, and {} in metadata only", report.changed, report.metadata),
        line("added", &report.added),
        line("removed", &report.removed),
    ]
}
