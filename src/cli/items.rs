//! How an item is told of that a backup takes or leaves out, or that a restore does something with.

use serde_json::{Map, Value, json};

use super::render::{printable, put_item, put_origin, size};
use crate::progress::{Action, Fate};

const fn action(fate: &Fate<'_>) -> &'static str {
    match fate {
        Fate::New => "new",
        Fate::Changed => "changed",
        Fate::Unchanged => "unchanged",
        Fate::Excluded(_) | Fate::Emptied(_) => "excluded",
    }
}

/// A line about an item for people.
pub(super) fn item_line(path: &[u8], fate: Fate<'_>, bytes: u64) -> String {
    let (action, path) = (action(&fate), printable(path));
    match fate {
        Fate::New | Fate::Changed => format!("{action:<9} {path}, {}", size(bytes)),
        Fate::Unchanged => format!("{action:<9} {path}"),
        Fate::Excluded(rule) => format!("{action:<9} {path} by {}", printable(rule.to_string().as_bytes())),
        Fate::Emptied(rule) => {
            format!("{action:<9} what lies in {path} by {}", printable(rule.to_string().as_bytes()))
        }
    }
}

/// A message about an item.
pub(super) fn item_json(path: &[u8], fate: Fate<'_>, bytes: u64) -> Value {
    let mut message = Map::new();
    message.insert("message_type".to_owned(), json!("verbose_status"));
    message.insert("action".to_owned(), json!(action(&fate)));
    put_item(&mut message, path);
    match fate {
        Fate::Excluded(rule) | Fate::Emptied(rule) => {
            message.insert("rule".to_owned(), json!(String::from_utf8_lossy(&rule.text)));
            message.insert("contents_only".to_owned(), json!(matches!(fate, Fate::Emptied(_))));
            put_origin(&mut message, &rule.origin);
        }
        _ => {
            message.insert("data_size".to_owned(), json!(bytes));
        }
    }
    Value::Object(message)
}

/// A line about what a restore does with an item.
pub(super) fn action_line(action: Action, path: &[u8]) -> String {
    format!("{:<8} {}", action_name(action), printable(path))
}

/// A message about it, in restic's words where it has one.
pub(super) fn action_json(action: Action, path: &[u8], bytes: u64) -> Value {
    let name = match action {
        Action::Created => "restored",
        Action::Replaced => "updated",
        Action::Kept => "unchanged",
        Action::Skipped | Action::Deleted => action_name(action),
    };
    let mut message = Map::new();
    message.insert("message_type".to_owned(), json!("verbose_status"));
    message.insert("action".to_owned(), json!(name));
    put_item(&mut message, path);
    message.insert("size".to_owned(), json!(bytes));
    Value::Object(message)
}

const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::Replaced => "replaced",
        Action::Kept => "kept",
        Action::Skipped => "skipped",
        Action::Deleted => "deleted",
    }
}
