//! `caddis restore`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use uzers::os::unix::UserExt;

use super::args::{FilterArgs, Global, RestoreArgs};
use super::bars::Console;
use super::{Outcome, open, print_line, render, select};
use crate::backup::sources::absolute;
use crate::error::{Error, Result};
use crate::format::name::TreePath;
use crate::format::snapshot::Summary;
use crate::progress::Context;
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Filter;
use crate::restore::{self, Options, Report};
use crate::select::Rules;
use crate::target::TargetDir;

pub(super) fn run(global: &Global, args: &RestoreArgs, console: &Console, cx: &Context<'_>) -> Result<Outcome> {
    if args.delete && !args.yes {
        guard(&args.target)?;
    }
    let repository = open::open(global, cx)?;
    let (wanted, path) = split(&args.snapshot)?;
    let snapshot = repository.find_snapshot(wanted, &filter(&args.filter)?, cx)?;
    let reader = Reader::open(&repository, cx)?;
    if path.as_bytes().is_empty() {
        let Summary { files, folders, others, bytes, .. } = snapshot.body.summary;
        cx.progress.ahead(files.saturating_add(folders).saturating_add(others), bytes);
    }
    console.list_items(global.verbose > 0);
    let options = Options {
        owners: !args.no_owner && uzers::get_effective_uid() == 0,
        overwrite: args.overwrite.map(Into::into),
        delete: args.delete,
        verify: args.verify,
        owner_by_name: args.owner_by_name,
        strip_setuid: args.strip_setuid,
        includes: select::includes(args)?,
        excludes: select::excludes(args)?,
    };
    let work = if args.dry_run { restore::preview } else { restore::restore };
    let report = work(&reader, &snapshot, &path, &args.target, &options, cx)?;
    console.finish();
    for rule in [&options.includes, &options.excludes].into_iter().flatten().flat_map(Rules::unmatched) {
        cx.progress.note(&format!("nothing matched {rule}"));
    }
    print_report(global, args, &report)?;
    Ok(if report.problems > 0 { Outcome::RestoreIncomplete } else { Outcome::Done })
}

/// Splits `SNAPSHOT[:PATH]`. A time has colons of its own; a path begins with `/`, or ends what has no time.
/// The path may be any bytes, as paths are.
pub(super) fn split(argument: &OsStr) -> Result<(&str, TreePath)> {
    let bytes = argument.as_bytes();
    let colon: &[u8] = if bytes.starts_with(b"@") { b":/" } else { b":" };
    let (snapshot, path) = match bytes.windows(colon.len()).position(|window| window == colon) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let snapshot = std::str::from_utf8(snapshot)
        .map_err(|_| Error::NoSuchSnapshot { wanted: String::from_utf8_lossy(snapshot).into_owned() })?;
    Ok((snapshot, typed_path(OsStr::from_bytes(path))?))
}

/// A path of a snapshot as it is typed.
pub(super) fn typed_path(path: &OsStr) -> Result<TreePath> {
    TreePath::from_typed(path.as_bytes())
        .map_err(|error| Error::Usage(format!("`{}` is no path of a snapshot: {error}", path.display())))
}

pub(super) fn filter(args: &FilterArgs) -> Result<Filter> {
    let paths = args.path.iter().map(|path| absolute(path).map(|path| path.absolute())).collect::<Result<_>>()?;
    Ok(Filter { hosts: args.host.clone(), tags: args.tag.clone(), paths, labels: args.label.clone() })
}

/// Refuses to delete from a folder that holds more than a restore of one thing is likely to be about.
fn guard(target: &Path) -> Result<()> {
    // What is not there holds nothing; what is no folder, or may not be looked at, fails as soon as it is restored into.
    let Ok(path) = target.canonicalize() else { return Ok(()) };
    let own_home = uzers::get_user_by_uid(uzers::get_current_uid()).map(|user| user.home_dir().to_path_buf());
    let homes = [std::env::var_os("HOME").map(PathBuf::from), own_home];
    let holds_home =
        homes.iter().flatten().filter_map(|home| home.canonicalize().ok()).any(|home| home.starts_with(&path));
    let what = if path.parent().is_none() {
        "is the root of all files"
    } else if holds_home {
        "holds your home folder"
    } else if TargetDir::open(&path).and_then(|folder| folder.is_mount_point()).unwrap_or(false) {
        "is where a file system begins"
    } else {
        return Ok(());
    };
    Err(Error::TargetGuarded { path: target.to_path_buf(), what })
}

fn print_report(global: &Global, args: &RestoreArgs, report: &Report) -> Result<()> {
    if global.json {
        let restored = report.files + report.folders + report.others;
        let document = json!({
            "message_type": "summary",
            "total_files": restored + report.kept + report.skipped,
            "files_restored": report.files,
            "dirs_restored": report.folders,
            "others_restored": report.others,
            "files_unchanged": report.kept,
            "files_skipped": report.skipped,
            "files_deleted": report.deleted,
            "files_verified": report.verified,
            "total_bytes": report.bytes + report.kept_bytes + report.skipped_bytes,
            "bytes_restored": report.bytes,
            "bytes_unchanged": report.kept_bytes,
            "bytes_skipped": report.skipped_bytes,
            "num_errors": report.problems,
        });
        return print_line(&render::json_line(&document));
    }
    let done = if args.dry_run { "would restore" } else { "restored" };
    let line = format!(
        "{done} {}, {}, {} to {}{}",
        render::count(report.files, "file"),
        render::count(report.folders, "folder"),
        render::size(report.bytes),
        args.target.display(),
        beside(report),
    );
    // Who asks what would be done wants the answer.
    if args.dry_run && !global.quiet { print_line(&line) } else { super::report(global, &line) }
}

/// What else happened; nothing when the target was empty and all went well.
fn beside(report: &Report) -> String {
    let count = |count: u64, what: &str| if count == 0 { String::new() } else { format!(", {count} {what}") };
    [
        count(report.kept, "kept"),
        count(report.skipped, "skipped"),
        count(report.deleted, "deleted"),
        count(report.verified, "verified"),
        render::problems(report.problems),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_follows_the_first_colon_but_not_one_of_a_time() {
        let split = |text| {
            let (snapshot, path) = split(OsStr::new(text)).unwrap();
            (snapshot, String::from_utf8(path.absolute()).unwrap())
        };
        assert_eq!(split("latest"), ("latest", "/".to_owned()));
        assert_eq!(split("latest:/home/me"), ("latest", "/home/me".to_owned()));
        assert_eq!(split("ab12:home/a:b"), ("ab12", "/home/a:b".to_owned()));
        assert_eq!(split("@2026-11-01 03:00:/etc"), ("@2026-11-01 03:00", "/etc".to_owned()));
        assert_eq!(split("@2026-11-01T03:00:00Z"), ("@2026-11-01T03:00:00Z", "/".to_owned()));
    }

    #[test]
    fn a_path_may_be_any_bytes_but_no_snapshot_is_named_so() {
        let (_, path) = super::split(OsStr::from_bytes(b"latest:/a/\xff")).unwrap();
        assert_eq!(path.absolute(), b"/a/\xff");
        assert!(matches!(super::split(OsStr::from_bytes(b"\xff")), Err(Error::NoSuchSnapshot { .. })));
    }
}
