//! From arguments to the rules of a backup.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::args::SelectArgs;
use super::render::printable;
use crate::error::{Error, Result};
use crate::format::name::Name;
use crate::select::{PatternError, Rules};

/// The rules that were asked for.
pub(super) fn rules(args: &SelectArgs) -> Result<Rules> {
    let mut rules = Rules::default();
    for (files, ignores_case) in [(&args.exclude_file, false), (&args.iexclude_file, true)] {
        files.iter().try_for_each(|file| add_file(&mut rules, file, ignores_case))?;
    }
    for (option, patterns, ignores_case) in [("--exclude", &args.exclude, false), ("--iexclude", &args.iexclude, true)]
    {
        for pattern in patterns {
            rules
                .add_pattern(option, pattern.as_bytes(), ignores_case)
                .map_err(|error| no_pattern(option, pattern, &error))?;
        }
    }
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
