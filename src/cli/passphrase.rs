//! Passphrases: where they come from, and what is wrong with them. They are never shown, and wiped when they are no longer needed.

use std::env;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use super::args::{Global, NewKeyArgs};
use crate::error::{Error, Result};
use crate::progress::Context;

/// The longest passphrase that is read from a file or a command, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 64 << 10;

/// Characters by which a passphrase is judged: that takes longer than in proportion, and nobody guesses so many.
const JUDGED_CHARS: usize = 100;

/// Any bytes.
type Passphrase = Zeroizing<Vec<u8>>;

/// The passphrase of a new repository; on the terminal it is asked for twice.
pub(super) fn first(global: &Global, cx: &Context<'_>) -> Result<Passphrase> {
    let passphrase = match given(global)? {
        Some(passphrase) => passphrase,
        None => ask_twice()?,
    };
    judge(&passphrase, cx);
    Ok(passphrase)
}

/// The passphrase of a further slot; on the terminal it is asked for twice.
pub(super) fn further(args: &NewKeyArgs, cx: &Context<'_>) -> Result<Passphrase> {
    let passphrase = if let Some(command) = &args.new_password_command {
        from_command(command)?
    } else if let Some(path) = &args.new_password_file {
        from_file(path)?
    } else {
        match from_environment("CADDIS_NEW_PASSWORD")? {
            Some(passphrase) => passphrase,
            None => ask_twice()?,
        }
    };
    judge(&passphrase, cx);
    Ok(passphrase)
}

/// Warns of a passphrase that can be guessed in a reasonable time by who has the storage, although each try costs a moment.
/// What is no text was made by a machine.
fn judge(passphrase: &Passphrase, cx: &Context<'_>) {
    let Ok(text) = std::str::from_utf8(passphrase) else { return };
    let judged: Zeroizing<String> = Zeroizing::new(text.chars().take(JUDGED_CHARS).collect());
    let estimate = zxcvbn(&judged, &[]);
    if estimate.score() >= Score::Three {
        return;
    }
    let digits = estimate.guesses_log10().max(1.0);
    cx.progress
        .note(&format!("the passphrase is weak: about 10^{digits:.0} tries find it, and who has the storage can try"));
    cx.progress.note("several words drawn by lot are better; `caddis key passwd` changes it");
}

/// What opens the repository, as the options or the environment name it.
pub(super) fn given(global: &Global) -> Result<Option<Passphrase>> {
    if let Some(command) = &global.password_command {
        return from_command(command).map(Some);
    }
    if let Some(path) = &global.password_file {
        return from_file(path).map(Some);
    }
    from_environment("CADDIS_PASSWORD")
}

fn from_environment(variable: &str) -> Result<Option<Passphrase>> {
    match env::var_os(variable) {
        Some(value) => not_empty(Zeroizing::new(value.into_vec()), variable).map(Some),
        None => Ok(None),
    }
}

fn from_file(path: &Path) -> Result<Passphrase> {
    let io_error = |source| Error::Io { action: "read", path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(io_error)?;
    let mut passphrase = Zeroizing::new(Vec::new());
    file.take(PASSPHRASE_BYTES_MAX).read_to_end(&mut passphrase).map_err(io_error)?;
    not_empty(without_line_end(passphrase), &path.display().to_string())
}

fn from_command(command: &str) -> Result<Passphrase> {
    let failed = |why: String| Error::Usage(format!("the password command failed: {why}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut passphrase = Zeroizing::new(Vec::new());
    if let Some(out) = child.stdout.take() {
        out.take(PASSPHRASE_BYTES_MAX).read_to_end(&mut passphrase).map_err(|error| failed(error.to_string()))?;
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    not_empty(without_line_end(passphrase), "the password command")
}

fn without_line_end(mut passphrase: Passphrase) -> Passphrase {
    if passphrase.last() == Some(&b'\n') {
        passphrase.pop();
        if passphrase.last() == Some(&b'\r') {
            passphrase.pop();
        }
    }
    passphrase
}

fn not_empty(passphrase: Passphrase, source: &str) -> Result<Passphrase> {
    if passphrase.is_empty() {
        Err(Error::Usage(format!("the passphrase from {source} is empty")))
    } else {
        Ok(passphrase)
    }
}

/// Asks on the terminal.
pub(super) fn ask(prompt: &str) -> Result<Passphrase> {
    if !io::stdin().is_terminal() {
        let ways = "--password-file, --password-command, --key-file or CADDIS_PASSWORD";
        return Err(Error::Usage(format!("no passphrase was given, and there is no terminal to ask on: use {ways}")));
    }
    let answer = rpassword::prompt_password(prompt).map_err(|source| match source.kind() {
        io::ErrorKind::Interrupted => Error::Interrupted,
        _ => Error::Io { action: "read the passphrase from", path: "/dev/tty".into(), source },
    })?;
    not_empty(Zeroizing::new(answer.into_bytes()), "the terminal")
}

fn ask_twice() -> Result<Passphrase> {
    let first = ask("new passphrase: ")?;
    if *ask("once more: ")? == *first { Ok(first) } else { Err(Error::Usage("the two passphrases differ".to_owned())) }
}
