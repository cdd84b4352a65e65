//! [`Console`]: what an operation does, shown on a terminal or told as JSON; problems as they come, always.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anstyle::Style;
use indicatif::{FormattedDuration, HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use serde_json::{Map, Value, json};

use super::args::Global;
use super::color::{self, Stream};
use super::items::{action_json, action_line, item_json, item_line};
use super::render::{json_line, printable, put_item, size};
use crate::env::{Clock, SystemClock};
use crate::progress::{Action, Fate, Problem, Progress};

/// Redrawn so often: smooth for the eye, nothing for the processor.
const TICK: Duration = Duration::from_millis(100);

/// A status in JSON comes so often at most.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Problems that are named in a log before they are only counted: somebody gets it by mail every night.
const NAMED_MAX: u64 = 4;

/// The width of a terminal that does not tell.
const COLUMNS: usize = 80;

/// A path is shown when there is room for so many characters of it.
const PATH_CHARS_MIN: usize = 8;

/// Shows progress on standard error, when that is a terminal and nobody asked for quiet or JSON.
///
/// The bar begins with the first progress: until then a passphrase may be asked for, and a query that only prints has none.
pub(super) struct Console {
    shows: bool,
    json: bool,
    /// Whether each item is told of.
    lists: AtomicBool,
    /// Whether every problem is named.
    names_all: bool,
    /// Whether standard output is for messages, one a line.
    tells_status: bool,
    bar: OnceLock<ProgressBar>,
    work: Arc<Work>,
    clock: SystemClock,
    /// When a status was told last, in milliseconds.
    told: AtomicU64,
}

/// What is done so far.
#[derive(Default)]
struct Work {
    items: Count,
    bytes: Count,
    problems: AtomicU64,
    /// Problems that were not named and will be counted.
    unnamed: AtomicU64,
    current: Mutex<Vec<u8>>,
}

/// How much is done, and of how much; nothing where that is not known.
#[derive(Default)]
struct Count {
    done: AtomicU64,
    ahead: AtomicU64,
}

impl Count {
    fn add_done(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    fn add_ahead(&self, more: u64) {
        // A hostile snapshot promises what it likes.
        let _ = self.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ahead| Some(ahead.saturating_add(more)));
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How much there is in all; what is known from an earlier run may have been exceeded, and is then no longer true.
    fn total(&self) -> Option<u64> {
        Some(self.ahead.load(Ordering::Relaxed)).filter(|&ahead| ahead > 0 && ahead >= self.done())
    }

    /// `3`, or `3 of 12`.
    fn show(&self, number: impl Fn(u64) -> String) -> String {
        let done = number(self.done());
        match self.total() {
            None => done,
            Some(total) => format!("{done} of {}", number(total)),
        }
    }
}

impl Work {
    /// A line of at most `columns` characters.
    fn line(&self, state: &ProgressState, columns: usize) -> String {
        let items = self.items.show(|count| count.to_string());
        let mut line = format!("{} {items} items, {}", FormattedDuration(state.elapsed()), self.bytes.show(size));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a speed is shown roughly")]
        let speed = state.per_sec() as u64;
        if speed > 0 {
            line.push_str(&format!(", {}/s", size(speed)));
        }
        if self.bytes.total().is_some() && !state.eta().is_zero() {
            line.push_str(&format!(", {:#} left", HumanDuration(state.eta())));
        }
        let room = columns.saturating_sub(line.chars().count() + 2);
        if room >= PATH_CHARS_MIN {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if !current.is_empty() {
                line.push_str("  ");
                line.push_str(&end_of(&format!("/{}", printable(&current)), room));
            }
        }
        line
    }
}

impl Console {
    pub(super) fn new(global: &Global, clock: SystemClock, tells_status: bool) -> Self {
        let shows = !global.quiet && !global.json && io::stderr().is_terminal();
        Self {
            shows,
            json: global.json,
            lists: AtomicBool::new(false),
            names_all: global.json || global.verbose > 0 || io::stderr().is_terminal(),
            tells_status: global.json && !global.quiet && tells_status,
            bar: OnceLock::new(),
            work: Arc::default(),
            clock,
            told: AtomicU64::new(0),
        }
    }

    /// From now on each item is told of, or not.
    pub(super) fn list_items(&self, lists: bool) {
        self.lists.store(lists, Ordering::Relaxed);
    }

    fn bar(&self) -> Option<&ProgressBar> {
        self.shows.then(|| self.bar.get_or_init(|| new_bar(&self.work)))
    }

    /// Takes the bar away, so that a report can be printed.
    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
        let unnamed = self.work.unnamed.swap(0, Ordering::Relaxed);
        if unnamed > 0 {
            self.say_labelled(color::PROBLEM, &format!("and {unnamed} more; with -v each is named"));
        }
    }

    fn say_labelled(&self, style: Style, text: &str) {
        self.say(&format!("{} {text}", color::paint(Stream::Error, style, "caddis:")));
    }

    fn say(&self, line: &str) {
        match self.bar.get() {
            Some(bar) => bar.suspend(|| super::tell(line)),
            None => super::tell(line),
        }
    }

    /// Prints a line about an item.
    fn list(&self, line: &str) {
        // Who does not want to read the list any longer still wants the work done.
        let _ = match self.bar.get() {
            Some(bar) => bar.suspend(|| super::print_line(line)),
            None => super::print_line(line),
        };
    }

    /// Tells how far it is, when that was not done for a while.
    fn tell_status(&self) {
        if !self.tells_status {
            return;
        }
        let elapsed = self.clock.elapsed();
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let told = self.told.load(Ordering::Relaxed);
        let is_due = u128::from(now.saturating_sub(told)) >= STATUS_INTERVAL.as_millis();
        if is_due && self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // Ignored: the summary at the end will say that nobody reads any more.
            let _ = super::print_line(&json_line(&self.work.status(elapsed)));
        }
    }
}

impl Work {
    fn status(&self, elapsed: Duration) -> Value {
        let mut status = Map::new();
        let mut put = |name: &str, value: Value| status.insert(name.to_owned(), value);
        put("message_type", json!("status"));
        put("seconds_elapsed", json!(elapsed.as_secs()));
        #[allow(clippy::cast_precision_loss, reason = "a share is told roughly")]
        if let Some(total) = self.bytes.total() {
            put("percent_done", json!(self.bytes.done() as f64 / total as f64));
            put("total_bytes", json!(total));
        }
        if let Some(total) = self.items.total() {
            put("total_files", json!(total));
        }
        put("files_done", json!(self.items.done()));
        put("bytes_done", json!(self.bytes.done()));
        put("error_count", json!(self.problems.load(Ordering::Relaxed)));
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.is_empty() {
            put("current_files", json!([format!("/{}", String::from_utf8_lossy(&current))]));
        }
        Value::Object(status)
    }
}

/// The end of a long path tells more than its beginning.
fn end_of(path: &str, characters: usize) -> String {
    let count = path.chars().count();
    if count <= characters {
        return path.to_owned();
    }
    let end: String = path.chars().skip(count - characters.saturating_sub(1)).collect();
    format!("…{end}")
}

fn new_bar(work: &Arc<Work>) -> ProgressBar {
    let bar = ProgressBar::no_length();
    let work = Arc::clone(work);
    let line = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        // Beside the wheel; and a line that fills the last column wraps on some terminals.
        let columns = color::columns(Stream::Error).unwrap_or(COLUMNS).saturating_sub(3);
        // Ignored: it is written to memory.
        let _ = out.write_str(&work.line(state, columns));
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {line}") {
        bar.set_style(style.with_key("line", line));
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
        // While it is being shown, the next one does as well.
        if (self.shows || self.tells_status)
            && let Ok(mut current) = self.work.current.try_lock()
        {
            current.clear();
            current.extend_from_slice(path);
        }
    }

    fn done(&self, items: u64, bytes: u64) {
        self.work.items.add_done(items);
        self.work.bytes.add_done(bytes);
        if let Some(bar) = self.bar() {
            bar.inc(bytes);
        }
        self.tell_status();
    }

    fn item(&self, path: &[u8], fate: Fate<'_>, bytes: u64) {
        if !self.lists.load(Ordering::Relaxed) {
            return;
        }
        let path = [b"/", path].concat();
        let line = if self.json { json_line(&item_json(&path, fate, bytes)) } else { item_line(&path, fate, bytes) };
        self.list(&line);
    }

    fn acted(&self, action: Action, path: &[u8], bytes: u64) {
        if !self.lists.load(Ordering::Relaxed) {
            return;
        }
        let path = [b"/", path].concat();
        let line = if self.json { json_line(&action_json(action, &path, bytes)) } else { action_line(action, &path) };
        self.list(&line);
    }

    fn ahead(&self, items: u64, bytes: u64) {
        self.work.items.add_ahead(items);
        self.work.bytes.add_ahead(bytes);
        if let (Some(bar), Some(total)) = (self.bar(), self.work.bytes.total()) {
            bar.set_length(total);
        }
    }

    fn problem(&self, problem: &Problem) {
        let before = self.work.problems.fetch_add(1, Ordering::Relaxed);
        if before >= NAMED_MAX && !self.names_all {
            self.work.unnamed.fetch_add(1, Ordering::Relaxed);
        } else if self.json {
            let mut message = Map::new();
            message.insert("message_type".to_owned(), json!("error"));
            put_item(&mut message, &problem.item);
            message.insert("error".to_owned(), json!({ "message": problem.what }));
            self.say(&json_line(&Value::Object(message)));
        } else {
            let text = format!("{}: {}", printable(&problem.item), printable(problem.what.as_bytes()));
            self.say_labelled(color::PROBLEM, &text);
        }
    }

    fn note(&self, text: &str) {
        if !self.json {
            self.say_labelled(color::NOTE, &printable(text.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(shows: bool, tells_status: bool) -> Console {
        Console {
            shows,
            json: tells_status,
            lists: AtomicBool::new(false),
            names_all: true,
            tells_status,
            bar: OnceLock::new(),
            work: Arc::default(),
            clock: SystemClock::new(),
            told: AtomicU64::new(0),
        }
    }

    /// A bar that was there from the start redrew itself over the question for the passphrase, every tenth of a second.
    #[test]
    fn nothing_is_drawn_before_there_is_progress() {
        let console = console(true, false);
        console.current(b"home/me");
        assert!(console.bar.get().is_none());
        console.done(1, 0);
        assert!(console.bar.get().is_some());
    }

    #[test]
    fn what_is_ahead_is_shown_where_it_is_known_and_true() {
        let count = Count::default();
        count.add_done(3);
        assert_eq!(count.show(size), "3 B");
        count.add_ahead(2048);
        assert_eq!(count.show(size), "3 B of 2.0 KiB");
        count.add_done(2048);
        assert_eq!(count.show(size), "2.0 KiB");
    }

    #[test]
    fn a_status_says_how_far_it_is() {
        let console = console(false, true);
        console.current(b"home/me");
        console.ahead(4, 1000);
        console.done(1, 250);
        let status = console.work.status(Duration::from_millis(7900));
        assert_eq!(
            status,
            json!({
                "message_type": "status", "seconds_elapsed": 7, "percent_done": 0.25, "total_bytes": 1000,
                "total_files": 4, "files_done": 1, "bytes_done": 250, "error_count": 0, "current_files": ["/home/me"],
            })
        );
    }

    #[test]
    fn the_end_of_a_long_path_is_shown() {
        assert_eq!(end_of("/home/me", 8), "/home/me");
        assert_eq!(end_of("/home/me/é", 5), "…me/é");
    }
}
