//! What a shell offers while a command line is being typed. clap knows commands and options; snapshots are looked up.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, CommandFactory, FromArgMatches};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::args::{Cli, Global};
use super::{innermost, open, render};
use crate::env::SystemClock;
use crate::error::{Error, Result};
use crate::progress::{Cancel, Context, Silent};
use crate::repo::Repository;
use crate::repo::snapshots::Snapshot;
use crate::unforget;

/// Set by the scripts that [`script`] gives, which ask the program itself.
const VARIABLE: &str = "CADDIS_COMPLETE";

/// Answers a shell that asks, and ends the program then.
pub(super) fn answer() {
    CompleteEnv::with_factory(|| with_snapshots(Cli::command())).var(VARIABLE).complete();
}

/// The script by which a shell asks.
pub(super) fn script(shell: Shell) -> Result<Vec<u8>> {
    let shells = Shells::builtins();
    let mut script = Vec::new();
    if let Some(completer) = shells.completer(&shell.to_string()) {
        completer.write_registration(VARIABLE, "caddis", "caddis", "caddis", &mut script).map_err(Error::Output)?;
    }
    Ok(script)
}

/// The command, with snapshots offered wherever one is named.
fn with_snapshots(command: Command) -> Command {
    let is_forgotten = command.get_name() == "unforget";
    let names_snapshot = |arg: &Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        arg.is_positional() && (is_forgotten || names.iter().any(|name| name.starts_with("SNAPSHOT")))
    };
    let completer = || if is_forgotten { forgotten() } else { snapshots() };
    command
        .mut_args(|arg| if names_snapshot(&arg) { arg.add(completer()) } else { arg })
        .mut_subcommands(with_snapshots)
}

fn snapshots() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let offered = known(|repository, cx| repository.snapshots(cx));
        let latest = (!offered.is_empty()).then(|| CompletionCandidate::new("latest"));
        ids(&offered).chain(latest).filter(|candidate| fits(candidate, current)).collect()
    })
}

/// Those that can be brought back.
fn forgotten() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let forgotten = |repository: &Repository, cx: &Context<'_>| unforget::forgotten(repository, cx);
        let offered: Vec<Snapshot> = known(forgotten).into_iter().map(|found| found.snapshot).collect();
        ids(&offered).filter(|candidate| fits(candidate, current)).collect()
    })
}

fn ids(offered: &[Snapshot]) -> impl Iterator<Item = CompletionCandidate> {
    let candidate =
        |snapshot: &Snapshot| CompletionCandidate::new(snapshot.id.short()).help(Some(about(snapshot).into()));
    offered.iter().rev().map(candidate)
}

fn fits(candidate: &CompletionCandidate, begun: &OsStr) -> bool {
    candidate.get_value().to_string_lossy().starts_with(&*begun.to_string_lossy())
}

fn about(snapshot: &Snapshot) -> String {
    let body = &snapshot.body;
    let paths: Vec<_> = body.paths.iter().map(|path| render::printable(path)).collect();
    let hosts = render::printable(body.hosts.join(",").as_bytes());
    format!("{} {hosts} {}", render::local_time(snapshot.header.time), paths.join(" "))
}

/// What `find` finds in the repository that the command line so far and the environment name; nothing if that fails.
fn known<T>(find: impl Fn(&Repository, &Context<'_>) -> Result<Vec<T>>) -> Vec<T> {
    let (clock, cancel) = (SystemClock::new(), Cancel::new());
    let cx = Context { clock: &clock, progress: &Silent, cancel: &cancel };
    let opened = typed_options().and_then(|global| opened_silently(global, &cx));
    opened.and_then(|repository| find(&repository, &cx).ok()).unwrap_or_default()
}

/// Nobody is asked for a passphrase, and no command for one is run, while somebody types.
fn opened_silently(global: Global, cx: &Context<'_>) -> Option<Repository> {
    let is_silent =
        global.key_file.is_some() || global.password_file.is_some() || env::var_os("CADDIS_PASSWORD").is_some();
    if !is_silent {
        return None;
    }
    open::open(&Global { password_command: None, ..global }, cx).ok()
}

/// The options of the command line that is being typed, which the script gives after `--`.
fn typed_options() -> Option<Global> {
    let words: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    Global::from_arg_matches(innermost(&matches)).ok()
}
