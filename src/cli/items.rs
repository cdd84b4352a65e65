//! How an item is told of that a run takes or leaves out.

use serde_json::{Map, Value, json};

use super::render::{printable, put_item, put_origin, size};
use crate::progress::Fate;

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
