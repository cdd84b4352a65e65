//! Files of patterns, line by line, as git reads them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::glob::PatternError;
use super::pattern::Pattern;
use super::{Line, Origin, PatternRule, Rule};

/// A line that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of {} is no pattern: {why}", .file.display())]
pub struct BadLine {
    /// In which file.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: PatternError,
}

/// The patterns of a file, weakest first. Empty lines and those that begin with `#` are none.
pub fn read_lines(file: &Path, bytes: &[u8], ignores_case: bool) -> impl Iterator<Item = Result<Line, BadLine>> {
    // Some editors put a byte order mark in front.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let lines = bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let patterns = lines.map(without_spaces_at_end).zip(1..);
    patterns.filter(|(text, _)| !text.is_empty() && !text.starts_with(b"#")).map(move |(text, line)| {
        let pattern =
            Pattern::parse(text, ignores_case).map_err(|why| BadLine { file: file.to_path_buf(), line, why })?;
        let rule = Rule::new(text, Origin::Line { file: file.to_path_buf(), line });
        Ok(Line(Arc::new(PatternRule { pattern, rule })))
    })
}

/// A space counts at the end only behind a backslash.
fn without_spaces_at_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    let escapes = line[..end].iter().rev().take_while(|&&byte| byte == b'\\').count();
    let is_escaped = escapes % 2 == 1 && end < line.len();
    &line[..end + usize::from(is_escaped)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_empty_lines_and_spaces_at_the_end_are_passed_over() {
        let text = b"\xef\xbb\xbf# comment\n\n*.o  \r\n\\#file\na\\ \n!b\n   \n";
        let lines = read_lines(Path::new("rules"), text, false).map(|line| line.unwrap().0);
        let found: Vec<_> = lines.map(|line| line.rule.to_string()).collect();
        assert_eq!(found, ["*.o at rules:3", "\\#file at rules:4", "a\\  at rules:5", "!b at rules:6"]);
    }

    #[test]
    fn a_line_that_is_no_pattern_is_named() {
        let bad = read_lines(Path::new("rules"), b"good\n[bad\n", false).find_map(Result::err).unwrap();
        assert_eq!(bad.to_string(), "line 2 of rules is no pattern: a `[` has no `]`");
    }
}
