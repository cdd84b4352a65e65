//! [`Glob`]: one component of a pattern, matched against one name.
//!
//! The crate `globset` does the matching. It takes a glob as text and a name as any bytes: a name that is no UTF-8 is left out
//! by itself or by wildcards. What git means otherwise is put in its terms first: braces stand for themselves, and a class may hold
//! POSIX ones such as `[:digit:]`, and backslashes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{ErrorKind, GlobBuilder, GlobSet, GlobSetBuilder};

/// POSIX classes, for the bytes of ASCII.
const CLASSES: [(&str, &str); 12] = [
    ("[:alnum:]", "a-zA-Z0-9"),
    ("[:alpha:]", "a-zA-Z"),
    ("[:blank:]", " \t"),
    ("[:cntrl:]", "\0-\x1f\x7f"),
    ("[:digit:]", "0-9"),
    ("[:graph:]", "\"-~!"),
    ("[:lower:]", "a-z"),
    ("[:print:]", " -~"),
    ("[:punct:]", ":-@[-`{-~!-/"),
    ("[:space:]", " \t-\r"),
    ("[:upper:]", "A-Z"),
    ("[:xdigit:]", "0-9a-fA-F"),
];

/// Why a line is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing to match.
    #[error("it is empty")]
    Empty,
    /// `[` without `]`.
    #[error("a `[` has no `]`")]
    OpenClass,
    /// `[[:name:]]` with a name that is none.
    #[error("a class has an unknown name")]
    UnknownClass,
    /// Nothing follows a backslash.
    #[error("it ends with a backslash")]
    OpenEscape,
    /// Wildcards among bytes that are no UTF-8.
    #[error("it has wildcards and is no UTF-8; `?` fits a byte that is none")]
    NoText,
    /// Anything else that globs may not be.
    #[error("{0}")]
    Other(String),
}

/// One component of a pattern.
#[derive(Debug)]
pub(super) enum Glob {
    /// These bytes.
    Literal(Box<[u8]>),
    /// What has to be tried; a set of one, because a set knows quick ways for most globs.
    Set(GlobSet),
}

impl Glob {
    /// Reads a component.
    pub(super) fn parse(text: &[u8], ignores_case: bool) -> Result<Self, PatternError> {
        if !ignores_case && let Some(literal) = literal(text)? {
            return Ok(Self::Literal(literal));
        }
        let text = std::str::from_utf8(text).map_err(|_| PatternError::NoText)?;
        let glob = in_terms_of_globset(text)?;
        let mut glob = GlobBuilder::new(&glob);
        glob.case_insensitive(ignores_case).literal_separator(true).backslash_escape(true);
        let set = glob.build().and_then(|glob| GlobSetBuilder::new().add(glob).build());
        set.map(Self::Set).map_err(|error| PatternError::of(error.kind()))
    }

    /// Whether it stands for the whole of `name`.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => **literal == *name,
            Self::Set(set) => set.is_match(OsStr::from_bytes(name)),
        }
    }
}

impl PatternError {
    fn of(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::UnclosedClass => Self::OpenClass,
            ErrorKind::DanglingEscape => Self::OpenEscape,
            other => Self::Other(other.to_string()),
        }
    }
}

/// The bytes that a component without wildcards stands for.
fn literal(text: &[u8]) -> Result<Option<Box<[u8]>>, PatternError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'*' | b'?' | b'[' => return Ok(None),
            b'\\' => bytes.push(*rest.next().ok_or(PatternError::OpenEscape)?),
            byte => bytes.push(byte),
        }
    }
    Ok(Some(bytes.into()))
}

fn in_terms_of_globset(text: &str) -> Result<String, PatternError> {
    let mut glob = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let len = match character {
            '[' => class(rest, &mut glob)?,
            '\\' => {
                let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                glob.push_str(&rest[..len]);
                len
            }
            '{' | '}' => {
                glob.extend(['\\', character]);
                1
            }
            _ => {
                glob.push(character);
                character.len_utf8()
            }
        };
        rest = &rest[len..];
    }
    Ok(glob)
}

/// A class at the start of `text`, whose length is answered. There are no backslashes in one of globset: a `]` stands for itself in
/// front, and a `-` at the end.
fn class(text: &str, glob: &mut String) -> Result<usize, PatternError> {
    let head = if text[1..].starts_with(['!', '^']) { 2 } else { 1 };
    glob.push_str(&text[..head]);
    let begin = glob.len();
    let (mut at, mut has_dash) = (head, false);
    loop {
        let rest = &text[at..];
        let character = rest.chars().next().ok_or(PatternError::OpenClass)?;
        at += character.len_utf8();
        match character {
            ']' if at > head + 1 => break,
            '[' if rest[1..].starts_with(':') => {
                let known = CLASSES.iter().find(|(name, _)| rest.starts_with(name));
                let (name, bytes) = known.ok_or(PatternError::UnknownClass)?;
                glob.push_str(bytes);
                at += name.len() - 1;
            }
            '\\' => {
                let escaped = rest[1..].chars().next().ok_or(PatternError::OpenClass)?;
                at += escaped.len_utf8();
                match escaped {
                    ']' => glob.insert(begin, ']'),
                    '-' => has_dash = true,
                    escaped => glob.push(escaped),
                }
            }
            character => glob.push(character),
        }
    }
    glob.push_str(if has_dash { "-]" } else { "]" });
    Ok(at)
}
