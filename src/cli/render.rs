//! How things look in print: times, sizes, names, tables, JSON. A terminal never gets a raw control character.

use std::os::unix::ffi::OsStrExt;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use data_encoding::BASE64;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::color::{self, Stream};
use crate::format::metadata::Timestamp;
use crate::format::name::TreePath;
use crate::format::tree::{Node, NodeKind};
use crate::listing::Entry;
use crate::repo::snapshots::Snapshot;
use crate::select::Origin;

/// Text for people: what is no UTF-8 and what would control a terminal is escaped.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for character in part.valid().chars() {
            if is_harmless(character) { text.push(character) } else { text.extend(character.escape_default()) }
        }
        for byte in part.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A JSON document for a line of output. JSON leaves what controls a terminal by more than one byte, or by 127, as it is.
pub(super) fn json_line(document: &Value) -> String {
    let mut line = String::new();
    for character in document.to_string().chars() {
        // Outside of strings there is no such character, and each of them fits in one unit of UTF-16.
        if is_harmless(character) {
            line.push(character)
        } else {
            line.push_str(&format!("\\u{:04x}", u32::from(character)))
        }
    }
    line
}

/// Controls move cursors and set colours; the bidirectional marks make a name look like another one.
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A size in binary units.
pub(super) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// `1 file`, `2 files`.
pub(super) fn count(number: u64, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}

/// How a report of success speaks of problems: not at all when there are none.
pub(super) fn problems(number: u64) -> String {
    if number == 0 { String::new() } else { format!(", {}", count(number, "problem")) }
}

/// A time in local time, to the second.
pub(super) fn local_time(time: Timestamp) -> String {
    match time.to_jiff() {
        Some(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => format!("@{}", time.secs),
    }
}

/// A time as RFC 3339 in local time with its offset; beyond the calendar, seconds since 1970.
pub(super) fn rfc3339(time: Timestamp) -> String {
    match time.to_jiff() {
        Some(time) => {
            let offset = TimeZone::system().to_offset(time);
            time.display_with_offset(offset).to_string()
        }
        None => format!("@{}.{:09}", time.secs, time.nanos),
    }
}

/// A table without lines, as wide as the terminal at most, if it goes to one; the columns of `right` are aligned to the right.
pub(super) fn table(head: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(columns) = color::columns(Stream::Output) {
        let columns = u16::try_from(columns).unwrap_or(u16::MAX);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    table.set_header(head);
    table.add_rows(rows);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    if let Some(head) = lines.first_mut() {
        *head = color::paint(Stream::Output, color::HEAD, head);
    }
    lines.join("\n")
}

/// A path as `path`, and as `path_b64` where it is no UTF-8.
pub(super) fn put_path(object: &mut Map<String, Value>, path: &[u8]) {
    put_bytes(object, "path", path);
}

/// The same as `item`.
pub(super) fn put_item(object: &mut Map<String, Value>, item: &[u8]) {
    put_bytes(object, "item", item);
}

fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    object.insert(name.to_owned(), json!(String::from_utf8_lossy(bytes)));
    if std::str::from_utf8(bytes).is_err() {
        object.insert(format!("{name}_b64"), json!(BASE64.encode(bytes)));
    }
}

/// Where a rule was written: `option`, or `file` and `line`.
pub(super) fn put_origin(object: &mut Map<String, Value>, origin: &Origin) {
    match origin {
        Origin::Option(option) => {
            object.insert("option".to_owned(), json!(option));
        }
        Origin::Line { file, line } => {
            put_bytes(object, "file", file.as_os_str().as_bytes());
            object.insert("line".to_owned(), json!(line));
        }
    }
}

/// A snapshot as `snapshots --json` gives it.
pub(super) fn snapshot_json(snapshot: &Snapshot) -> Value {
    let body = &snapshot.body;
    let summary = &body.summary;
    let paths: Vec<_> = body.paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
    let mut document = json!({
        "id": snapshot.id.to_string(),
        "short_id": snapshot.id.short(),
        "original": snapshot.header.original.map(|id| id.to_string()),
        "time": rfc3339(snapshot.header.time),
        "paths": paths,
        "hostname": body.hosts.first(),
        "username": body.user,
        "tags": body.tags,
        "label": snapshot.header.label,
        "tree": body.root.to_string(),
        "partial": body.partial,
        "program_version": body.program_version,
        "summary": {
            "total_files_processed": summary.files,
            "total_dirs_processed": summary.folders,
            "total_others_processed": summary.others,
            "total_bytes_processed": summary.bytes,
            "data_added": summary.new_bytes,
            "data_added_packed": summary.stored_bytes,
            "total_duration": seconds(summary.millis),
        },
    });
    if body.paths.iter().any(|path| std::str::from_utf8(path).is_err()) {
        let encoded: Vec<_> = body.paths.iter().map(|path| BASE64.encode(path)).collect();
        document["paths_b64"] = json!(encoded);
    }
    document
}

/// Milliseconds as seconds.
#[allow(clippy::cast_precision_loss)] // a run of 2^53 milliseconds is not expected
pub(super) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// What a node is, in restic's words.
pub(super) const fn kind_name(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::File { .. } => "file",
        NodeKind::Folder { .. } => "dir",
        NodeKind::Symlink { .. } => "symlink",
        NodeKind::Fifo => "fifo",
        NodeKind::CharDevice { .. } => "chardev",
        NodeKind::BlockDevice { .. } => "dev",
    }
}

/// An entry as `ls --json` gives it.
pub(super) fn entry_json(entry: &Entry) -> Value {
    let node = &entry.node;
    let mut object = Map::new();
    object.insert("message_type".to_owned(), json!("node"));
    object.insert("name".to_owned(), json!(String::from_utf8_lossy(node.name.as_bytes())));
    object.insert("type".to_owned(), json!(kind_name(&node.kind)));
    put_path(&mut object, &entry.path.absolute());
    object.insert("mode".to_owned(), json!(node.mode));
    object.insert("permissions".to_owned(), json!(permissions(node)));
    object.insert("uid".to_owned(), json!(node.owner.uid));
    object.insert("gid".to_owned(), json!(node.owner.gid));
    let name = |name: &Option<Vec<u8>>| name.as_ref().map(|name| String::from_utf8_lossy(name).into_owned());
    object.insert("user".to_owned(), json!(name(&node.owner.user)));
    object.insert("group".to_owned(), json!(name(&node.owner.group)));
    object.insert("mtime".to_owned(), json!(node.mtime.map(rfc3339)));
    if let Some(atime) = node.atime() {
        object.insert("atime".to_owned(), json!(rfc3339(atime)));
    }
    if let Some(birth) = entry.birth {
        object.insert("btime".to_owned(), json!(rfc3339(from_nanos(birth))));
    }
    match &node.kind {
        NodeKind::File { size, changed, .. } => {
            object.insert("size".to_owned(), json!(size));
            if *changed {
                object.insert("changed".to_owned(), json!(true));
            }
        }
        NodeKind::Symlink { target } => {
            object.insert("linktarget".to_owned(), json!(String::from_utf8_lossy(target)));
        }
        NodeKind::CharDevice { device } | NodeKind::BlockDevice { device } => {
            object.insert("device".to_owned(), json!([device.0, device.1]));
        }
        NodeKind::Folder { .. } | NodeKind::Fifo => {}
    }
    if !node.xattrs.is_empty() {
        let names: Vec<_> = node.xattrs.iter().map(|xattr| String::from_utf8_lossy(&xattr.name)).collect();
        object.insert("xattrs".to_owned(), json!(names));
    }
    Value::Object(object)
}

fn from_nanos(nanos: i64) -> Timestamp {
    let second = 1_000_000_000;
    let rest = u32::try_from(nanos.rem_euclid(second)).expect("less than a second");
    Timestamp { secs: nanos.div_euclid(second), nanos: rest }
}

/// An entry as `ls -l` gives it.
pub(super) fn entry_line(entry: &Entry) -> String {
    let node = &entry.node;
    let name = |name: &Option<Vec<u8>>, id: u32| name.as_ref().map_or_else(|| id.to_string(), |name| printable(name));
    let bytes = match &node.kind {
        NodeKind::File { size, .. } => size.to_string(),
        NodeKind::CharDevice { device } | NodeKind::BlockDevice { device } => format!("{},{}", device.0, device.1),
        _ => "0".to_owned(),
    };
    let arrow = match &node.kind {
        NodeKind::Symlink { target } => format!(" -> {}", printable(target)),
        _ => String::new(),
    };
    format!(
        "{} {:<8} {:<8} {:>12} {} {}{arrow}",
        permissions(node),
        name(&node.owner.user, node.owner.uid),
        name(&node.owner.group, node.owner.gid),
        bytes,
        node.mtime.map_or_else(|| " ".repeat(19), local_time),
        path(&entry.path),
    )
}

/// A path for people.
pub(super) fn path(path: &TreePath) -> String {
    printable(&path.absolute())
}

fn permissions(node: &Node) -> String {
    let kind = match node.kind {
        NodeKind::File { .. } => '-',
        NodeKind::Folder { .. } => 'd',
        NodeKind::Symlink { .. } => 'l',
        NodeKind::Fifo => 'p',
        NodeKind::CharDevice { .. } => 'c',
        NodeKind::BlockDevice { .. } => 'b',
    };
    let mode = node.mode;
    let bit = |mask: u32, letter: char| if mode & mask != 0 { letter } else { '-' };
    // The execute places also tell of setuid, setgid and sticky: small with, large without the permission.
    let special = |execute: u32, mask: u32, small: char, large: char| match (mode & mask != 0, mode & execute != 0) {
        (true, true) => small,
        (true, false) => large,
        (false, true) => 'x',
        (false, false) => '-',
    };
    [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        special(0o100, 0o4000, 's', 'S'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        special(0o010, 0o2000, 's', 'S'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        special(0o001, 0o1000, 't', 'T'),
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_raw_control_character() {
        assert_eq!(printable(b"a\x1b[31mb\nc\xff"), "a\\u{1b}[31mb\\nc\\xff");
        assert_eq!(printable("caf\u{e9} \u{202e}gpj".as_bytes()), "caf\u{e9} \\u{202e}gpj");
    }

    #[test]
    fn json_is_escaped_as_well_and_stays_what_it_was() {
        let document = json!({ "name": "a\u{9b}31m\u{7f}\u{202e}\n caf\u{e9}" });
        let line = json_line(&document);
        assert_eq!(line, r#"{"name":"a\u009b31m\u007f\u202e\n café"}"#);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), document);
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        assert_eq!(from_nanos(-1), Timestamp { secs: -1, nanos: 999_999_999 });
        assert!(rfc3339(Timestamp { secs: -1, nanos: 999_999_999 }).contains(".999999999"));
    }
}
