//! From arguments to the rules of a backup, or of a restore.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::args::{RestoreArgs, SelectArgs};
use super::render::printable;
use crate::error::{Error, Result};
use crate::format::name::Name;
use crate::select::{PatternError, Rules};

/// The rules that were asked for.
pub(super) fn rules(args: &SelectArgs) -> Result<Rules> {
    let mut rules = Rules::default();
    add_files(&mut rules, &args.exclude_file, &args.iexclude_file)?;
    add_patterns(&mut rules, [("--exclude", &args.exclude), ("--iexclude", &args.iexclude)])?;
    if args.exclude_caches {
        rules.exclude_caches();
    }
    args.exclude_if_present.iter().try_for_each(|tag| add_tag(&mut rules, tag))?;
    if let Some(size) = args.exclude_larger_than {
        rules.exclude_larger_than(size.as_u64(), &size.to_string());
    }
    if args.one_file_system {
        rules.one_file_system();
    }
    if args.no_ignore {
        rules.pass_ignore_files();
    }
    Ok(rules)
}

/// The rules of a restore that say what is brought back; nothing if there are none.
pub(super) fn includes(args: &RestoreArgs) -> Result<Option<Rules>> {
    let RestoreArgs { include, iinclude, include_file, iinclude_file, .. } = args;
    of_restore(include_file, iinclude_file, [("--include", include), ("--iinclude", iinclude)])
}

/// Those that say what is left out.
pub(super) fn excludes(args: &RestoreArgs) -> Result<Option<Rules>> {
    let RestoreArgs { exclude, iexclude, exclude_file, iexclude_file, .. } = args;
    of_restore(exclude_file, iexclude_file, [("--exclude", exclude), ("--iexclude", iexclude)])
}

fn of_restore(
    files: &[PathBuf],
    ifiles: &[PathBuf],
    patterns: [(&'static str, &Vec<OsString>); 2],
) -> Result<Option<Rules>> {
    if files.is_empty() && ifiles.is_empty() && patterns.iter().all(|(_, patterns)| patterns.is_empty()) {
        return Ok(None);
    }
    let mut rules = Rules::default();
    add_files(&mut rules, files, ifiles)?;
    add_patterns(&mut rules, patterns)?;
    Ok(Some(rules))
}

/// Of each the second one ignores case.
fn add_files(rules: &mut Rules, files: &[PathBuf], ifiles: &[PathBuf]) -> Result<()> {
    files.iter().try_for_each(|file| add_file(rules, file, false))?;
    ifiles.iter().try_for_each(|file| add_file(rules, file, true))
}

fn add_patterns(rules: &mut Rules, patterns: [(&'static str, &Vec<OsString>); 2]) -> Result<()> {
    for ((option, patterns), ignores_case) in patterns.into_iter().zip([false, true]) {
        for pattern in patterns {
            rules
                .add_pattern(option, pattern.as_bytes(), ignores_case)
                .map_err(|error| no_pattern(option, pattern, &error))?;
        }
    }
    Ok(())
}

fn add_file(rules: &mut Rules, file: &Path, ignores_case: bool) -> Result<()> {
    let bytes = std::fs::read(file).map_err(|source| Error::Io { action: "read", path: file.to_path_buf(), source })?;
    rules.add_file(file, &bytes, ignores_case).map_err(|bad| Error::Usage(bad.to_string()))
}

fn no_pattern(option: &str, pattern: &OsStr, error: &PatternError) -> Error {
    Error::Usage(format!("`{}` of {option} is no pattern: {error}", printable(pattern.as_bytes())))
}

/// `FILE`, or `FILE:HEADER`
fn add_tag(rules: &mut Rules, tag: &OsStr) -> Result<()> {
    let text = tag.as_bytes();
    let colon = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
    let (name, header) = (&text[..colon], text.get(colon + 1..).unwrap_or_default());
    let name = Name::new(name).map_err(|error| {
        Error::Usage(format!("`{}` of --exclude-if-present names no file: {error}", printable(text)))
    })?;
    rules.exclude_if_present(text, name, header);
    Ok(())
}
