//! Colours, and how wide a terminal is.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// What ends a command.
pub(super) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What went wrong with one item.
pub(super) const PROBLEM: Style = AnsiColor::Red.on_default();
/// What is worth a word.
pub(super) const NOTE: Style = AnsiColor::Yellow.on_default();
/// Heads of tables.
pub(super) const HEAD: Style = Style::new().bold();
/// What is new.
pub(super) const ADDED: Style = AnsiColor::Green.on_default();
/// What is gone.
pub(super) const REMOVED: Style = AnsiColor::Red.on_default();
/// What is another one.
pub(super) const CHANGED: Style = AnsiColor::Yellow.on_default();

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On terminals that can show them
    Auto,
    /// In files and pipes, too
    Always,
    /// Nowhere
    Never,
}

/// Where something is printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Error,
}

impl Stream {
    fn is_terminal(self) -> bool {
        match self {
            Self::Output => io::stdout().is_terminal(),
            Self::Error => io::stderr().is_terminal(),
        }
    }
}

/// The choice of the command line, which is made once.
static CHOSEN: OnceLock<Color> = OnceLock::new();

/// Takes the choice of the command line.
pub(super) fn choose(color: Color) {
    CHOSEN.get_or_init(|| color);
}

/// The text in a style, where colours are wanted.
pub(super) fn paint(stream: Stream, style: Style, text: &str) -> String {
    if is_wanted(stream) { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// By default on terminals that can, unless NO_COLOR says otherwise: <https://no-color.org>.
fn is_wanted(stream: Stream) -> bool {
    match CHOSEN.get() {
        Some(Color::Always) => true,
        Some(Color::Auto) => {
            let is_refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let is_dumb = env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
            stream.is_terminal() && !is_refused && !is_dumb
        }
        Some(Color::Never) | None => false,
    }
}

/// How many columns a terminal has; nothing if it is none.
pub(super) fn columns(stream: Stream) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let size = match stream {
        Stream::Output => rustix::termios::tcgetwinsize(io::stdout()),
        Stream::Error => rustix::termios::tcgetwinsize(io::stderr()),
    };
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0)
}
