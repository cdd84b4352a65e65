//! The command line: arguments to options, one library call, render the report, exit code. Only this module prints.
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM};

pub mod args;
mod backup;
mod bars;
mod cat;
mod check;
pub mod color;
mod complete;
mod diff;
mod dump;
mod forget;
mod init;
mod items;
mod key;
mod ls;
mod open;
mod passphrase;
mod prune;
mod render;
mod repair;
mod restore;
mod select;
mod snapshots;
mod sources;
mod stats;
mod tag;
mod unforget;
mod why;

use args::{Cli, Command, Global};
use bars::Console;
use color::Stream;

use crate::env::SystemClock;
use crate::error::{Error, Result, with_causes};
use crate::progress::{Cancel, Context};

/// How a command ended that was not stopped by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was done.
    Done,
    /// Some items of the source were not read.
    SourceIncomplete,
    /// Check found damage.
    Damage,
    /// Check found damage by which nothing is lost.
    RepairableDamage,
    /// Items were left out of a restore.
    RestoreIncomplete,
}

impl Outcome {
    const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::SourceIncomplete => 3,
            Self::Damage => 4,
            Self::RepairableDamage => 5,
            Self::RestoreIncomplete => 7,
        }
    }
}

/// Runs the program and answers its exit code; the table stands in caddis(1).
pub fn run() -> ExitCode {
    complete::answer();
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    prefer_flags(&mut cli.global, innermost(&matches));
    color::choose(cli.global.color);
    leave_no_core();
    let cancel = Cancel::new();
    let outcome = watch_signals(&cancel).and_then(|()| dispatch(&cli, &cancel));
    match outcome {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => {
            print_error(&error, &cli.global);
            ExitCode::from(error.exit_code())
        }
    }
}

/// A core dump would hold keys. A limit of 1 also keeps it from programs that collect them: core(5).
fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    let limit = Rlimit { current: Some(maximum.map_or(1, |maximum| maximum.min(1))), maximum };
    // Ignored: nothing but a core dump would be different.
    let _ = setrlimit(Resource::Core, limit);
}

/// The matches of the command itself, where options of every command stand as well.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| innermost(below))
}

/// What was written on the command line wins over what the environment says, also between options that go against each other.
fn prefer_flags(global: &mut Global, matches: &ArgMatches) {
    let is_flag = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let is_variable = |id: &str| matches.value_source(id) == Some(ValueSource::EnvVariable);
    if ["key_file", "password_file", "password_command"].into_iter().any(is_flag) {
        global.key_file.take_if(|_| is_variable("key_file"));
        global.password_file.take_if(|_| is_variable("password_file"));
        global.password_command.take_if(|_| is_variable("password_command"));
    }
    if is_flag("verbose") && is_variable("quiet") {
        global.quiet = false;
    }
    if is_flag("quiet") && is_variable("verbose") {
        global.verbose = 0;
    }
}

/// The first SIGINT, SIGTERM or SIGHUP asks for an orderly end, a second one ends at once. A closed pipe ends as everywhere.
fn watch_signals(cancel: &Cancel) -> Result<()> {
    let registered = [SIGHUP, SIGINT, SIGTERM].into_iter().try_for_each(|signal| {
        signal_hook::flag::register_conditional_shutdown(signal, 130, cancel.flag())?;
        signal_hook::flag::register(signal, cancel.flag()).map(drop)
    });
    registered.map_err(|source| Error::Io { action: "watch for signals of", path: "this process".into(), source })
}

fn dispatch(cli: &Cli, cancel: &Cancel) -> Result<Outcome> {
    let clock = SystemClock::new();
    let is_long_work = matches!(
        cli.command,
        Command::Backup(_) | Command::Restore(_) | Command::Check(_) | Command::Prune(_) | Command::Repair(_)
    ) || matches!(&cli.command, Command::Forget(args) if args.prune);
    let console = Console::new(&cli.global, clock, is_long_work);
    let cx = Context { clock: &clock, progress: &console, cancel };
    let global = &cli.global;
    match &cli.command {
        Command::Init(args) => init::run(global, args, &cx),
        Command::Backup(args) => backup::run(global, args, &console, &cx),
        Command::Why(args) => why::run(global, args, &cx),
        Command::Restore(args) => restore::run(global, args, &console, &cx),
        Command::Snapshots(args) => snapshots::run(global, args, &cx),
        Command::Ls(args) => ls::run(global, args, &cx),
        Command::Cat(args) => cat::run(global, args, &cx),
        Command::Dump(args) => dump::run(global, args, &console, &cx),
        Command::Diff(args) => diff::run(global, args, &cx),
        Command::Stats(args) => stats::run(global, args, &console, &cx),
        Command::Tag(command) => tag::run(global, command, &cx),
        Command::Prune(args) => prune::run(global, args, &console, &cx),
        Command::Forget(args) => forget::run(global, args, &console, &cx),
        Command::Unforget(args) => unforget::run(global, args, &cx),
        Command::Check(args) => check::run(global, args, &console, &cx),
        Command::Repair(command) => repair::run(global, command, &console, &cx),
        Command::Key(command) => key::run(global, command, &cx),
        Command::Completions(args) => {
            let script = complete::script(args.shell)?;
            io::stdout().write_all(&script).map_err(Error::Output)?;
            Ok(Outcome::Done)
        }
    }
}

/// One line that says what, where and why; the next one says what to do.
fn print_error(error: &Error, global: &Global) {
    if is_closed_pipe(error) {
        let _ = signal_hook::low_level::emulate_default_handler(SIGPIPE);
    }
    let message = with_causes(error);
    if global.json {
        let document = serde_json::json!({
            "message_type": "exit_error",
            "code": error.exit_code(),
            "message": message,
            "hint": error.hint(),
        });
        return tell(&render::json_line(&document));
    }
    let label = color::paint(Stream::Error, color::ERROR, "caddis:");
    tell(&format!("{label} {}", render::printable(message.as_bytes())));
    if let Some(hint) = error.hint() {
        tell(&format!("{label} {}", render::printable(hint.as_bytes())));
    }
}

fn is_closed_pipe(error: &Error) -> bool {
    matches!(error, Error::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a line to standard error. A log that is full or gone must not keep anything from being saved.
fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints what a command did: on a terminal, or when more was asked for. Cron hears of success only then.
fn report(global: &Global, line: &str) -> Result<()> {
    if tells_success(global) { print_line(line) } else { Ok(()) }
}

fn tells_success(global: &Global) -> bool {
    !global.quiet && (global.verbose > 0 || io::stdout().is_terminal())
}

/// Prints a line to standard output; a closed pipe is an error like any other there.
fn print_line(line: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{line}").map_err(Error::Output)
}
