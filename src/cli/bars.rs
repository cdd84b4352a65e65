//! [`Console`]: what an operation does, shown on a terminal; problems as they come, always.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::args::Global;
use super::render::{json_line, printable, size};
use crate::progress::{Problem, Progress};

/// Redrawn so often: smooth for the eye, nothing for the processor.
const TICK: Duration = Duration::from_millis(100);

/// Characters of a path that are shown: with counts and time before it, a line of eighty columns.
const PATH_CHARS: usize = 40;

/// Shows progress on standard error, when that is a terminal and nobody asked for quiet or JSON.
///
/// The bar begins with the first progress: until then a passphrase may be asked for, and a query that only prints has none.
pub(super) struct Console {
    shows: bool,
    bar: OnceLock<ProgressBar>,
    json: bool,
    items: Count,
    bytes: Count,
}

/// How much is done, and of how much; nothing where that is not known.
#[derive(Default)]
struct Count {
    done: AtomicU64,
    ahead: AtomicU64,
}

impl Count {
    fn done(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    fn ahead(&self, more: u64) {
        self.ahead.fetch_add(more, Ordering::Relaxed);
    }

    /// `3`, or `3 of 12`.
    fn show(&self, number: impl Fn(u64) -> String) -> String {
        let done = number(self.done.load(Ordering::Relaxed));
        match self.ahead.load(Ordering::Relaxed) {
            0 => done,
            ahead => format!("{done} of {}", number(ahead)),
        }
    }
}

impl Console {
    pub(super) fn new(global: &Global) -> Self {
        let shows = !global.quiet && !global.json && io::stderr().is_terminal();
        Self { shows, bar: OnceLock::new(), json: global.json, items: Count::default(), bytes: Count::default() }
    }

    fn bar(&self) -> Option<&ProgressBar> {
        self.shows.then(|| self.bar.get_or_init(new_bar))
    }

    /// Takes the bar away, so that a report can be printed.
    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        match self.bar.get() {
            Some(bar) => bar.suspend(|| super::tell(line)),
            None => super::tell(line),
        }
    }
}

/// The end of a long path tells more than its beginning.
fn end_of(path: &str, characters: usize) -> String {
    match path.char_indices().rev().nth(characters.saturating_sub(1)) {
        Some((at, _)) if at > 0 => format!("…{}", &path[at..]),
        _ => path.to_owned(),
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {prefix}  {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

impl Drop for Console {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for Console {
    fn current(&self, path: &[u8]) {
        if let Some(bar) = self.bar() {
            bar.set_message(end_of(&format!("/{}", printable(path)), PATH_CHARS));
        }
    }

    fn done(&self, items: u64, bytes: u64) {
        self.items.done(items);
        self.bytes.done(bytes);
        if let Some(bar) = self.bar() {
            bar.set_prefix(format!("{} items, {}", self.items.show(|count| count.to_string()), self.bytes.show(size)));
        }
    }

    fn ahead(&self, items: u64, bytes: u64) {
        self.items.ahead(items);
        self.bytes.ahead(bytes);
    }

    fn problem(&self, problem: &Problem) {
        if self.json {
            let mut message = serde_json::Map::new();
            message.insert("message_type".to_owned(), json!("error"));
            message.insert("item".to_owned(), json!(String::from_utf8_lossy(&problem.item)));
            if std::str::from_utf8(&problem.item).is_err() {
                message.insert("item_b64".to_owned(), json!(data_encoding::BASE64.encode(&problem.item)));
            }
            message.insert("error".to_owned(), json!({ "message": problem.what }));
            self.say(&json_line(&serde_json::Value::Object(message)));
        } else {
            self.say(&format!("caddis: {}: {}", printable(&problem.item), printable(problem.what.as_bytes())));
        }
    }

    fn note(&self, text: &str) {
        if !self.json {
            self.say(&format!("caddis: {}", printable(text.as_bytes())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bar that was there from the start redrew itself over the question for the passphrase, every tenth of a second.
    #[test]
    fn nothing_is_drawn_before_there_is_progress() {
        let console = Console {
            shows: true,
            bar: OnceLock::new(),
            json: false,
            items: Count::default(),
            bytes: Count::default(),
        };
        assert!(console.bar.get().is_none());
        console.done(1, 0);
        assert!(console.bar.get().is_some());
    }

    #[test]
    fn what_is_ahead_is_shown_where_it_is_known() {
        let count = Count::default();
        count.done(3);
        assert_eq!(count.show(size), "3 B");
        count.ahead(2048);
        assert_eq!(count.show(size), "3 B of 2.0 KiB");
    }
}
