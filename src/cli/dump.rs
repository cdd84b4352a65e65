//! `caddis dump`

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use super::args::{DumpArgs, Global};
use super::bars::Console;
use super::{Outcome, open, restore};
use crate::archive::{self, Form};
use crate::error::{Error, Result};
use crate::format::name::TreePath;
use crate::listing;
use crate::progress::Context;
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;

pub(super) fn run(global: &Global, args: &DumpArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let (wanted, path) = restore::split(&args.snapshot)?;
    let snapshot = repository.find_snapshot(wanted, &restore::filter(&args.filter)?, cx)?;
    let reader = Reader::open(&repository, cx)?;
    let form = match (args.archive, listing::find(&reader, &snapshot, &path)?.tree()) {
        (Some(kind), _) => Some(kind.into()),
        (None, Some(_)) => Some(Form::Tar),
        (None, None) => None,
    };
    let problems = match &args.target {
        Some(target) => into_file(target, |out| write(&reader, &snapshot, &path, form, out, cx))?,
        None if form.is_some() && io::stdout().is_terminal() => {
            let reason = "an archive is nothing to look at: send it to a file or a program, or give --target";
            return Err(Error::Usage(reason.to_owned()));
        }
        None => write(&reader, &snapshot, &path, form, &mut BufWriter::new(io::stdout().lock()), cx)?,
    };
    console.finish();
    Ok(if problems > 0 { Outcome::RestoreIncomplete } else { Outcome::Done })
}

/// Answers how many items are not there as they were.
fn write(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    form: Option<Form>,
    out: &mut dyn Write,
    cx: &Context<'_>,
) -> Result<u64> {
    match form {
        Some(form) => Ok(archive::write(reader, snapshot, path, form, out, cx)?.problems),
        None => listing::cat(reader, snapshot, path, out, cx).map(|()| 0),
    }
}

/// Writes a new file, and leaves none when that fails.
fn into_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<u64>) -> Result<u64> {
    let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::TargetExists { path: path.to_path_buf(), can_overwrite: false },
        _ => Error::Io { action: "create", path: path.to_path_buf(), source },
    })?;
    let mut out = BufWriter::new(file);
    let done = write(&mut out).and_then(|problems| {
        let synced = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file: File| file.sync_all());
        synced.map(|()| problems).map_err(|source| Error::Io { action: "write", path: path.to_path_buf(), source })
    });
    if done.is_err() {
        // Ignored: what matters is the error that is told.
        let _ = fs::remove_file(path);
    }
    done
}
