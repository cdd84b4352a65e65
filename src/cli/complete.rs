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
use crate::repo::snapshots::Snapshot;

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
    let names_snapshot = |arg: &Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        arg.is_positional() && names.iter().any(|name| name.starts_with("SNAPSHOT"))
    };
    command
        .mut_args(|arg| if names_snapshot(&arg) { arg.add(snapshots()) } else { arg })
        .mut_subcommands(with_snapshots)
}

fn snapshots() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let begun = current.to_string_lossy();
        let offered = known_snapshots().unwrap_or_default();
        let ids = offered
            .iter()
            .rev()
            .map(|snapshot| CompletionCandidate::new(snapshot.id.short()).help(Some(about(snapshot).into())));
        let latest = CompletionCandidate::new("latest");
        let mut candidates: Vec<_> = ids.chain((!offered.is_empty()).then_some(latest)).collect();
        candidates.retain(|candidate| candidate.get_value().to_string_lossy().starts_with(&*begun));
        candidates
    })
}

fn about(snapshot: &Snapshot) -> String {
    let body = &snapshot.body;
    let paths: Vec<_> = body.paths.iter().map(|path| render::printable(path)).collect();
    let hosts = render::printable(body.hosts.join(",").as_bytes());
    format!("{} {hosts} {}", render::local_time(snapshot.header.time), paths.join(" "))
}

/// The snapshots of the repository that the command line so far and the environment name. Nobody is asked for a passphrase, and
/// no command for one is run, while somebody types.
fn known_snapshots() -> Result<Vec<Snapshot>> {
    let Some(global) = typed_options() else { return Ok(Vec::new()) };
    let is_silent =
        global.key_file.is_some() || global.password_file.is_some() || env::var_os("CADDIS_PASSWORD").is_some();
    if !is_silent {
        return Ok(Vec::new());
    }
    let (clock, cancel) = (SystemClock::new(), Cancel::new());
    let cx = Context { clock: &clock, progress: &Silent, cancel: &cancel };
    open::open(&Global { password_command: None, ..global }, &cx)?.snapshots(&cx)
}

/// The options of the command line that is being typed, which the script gives after `--`.
fn typed_options() -> Option<Global> {
    let words: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    Global::from_arg_matches(innermost(&matches)).ok()
}
