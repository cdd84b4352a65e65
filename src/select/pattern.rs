//! [`Pattern`]: one line in the syntax of gitignore(5), matched against a path component by component.
//!
//! A walk goes down one name at a time, and so does a pattern: [`Pattern::step`] says from a position in the pattern and a name
//! whether the path fits now, and from which positions the names below may still make it fit. No path is ever joined, a
//! pattern that cannot fit any longer costs nothing further down, and no tree is too deep.

use super::glob::{ByteSet, Glob, Token};

/// Why a line is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
}

/// A line in the syntax of gitignore(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    components: Vec<Component>,
    /// With a `!` in front: takes in again what an earlier one leaves out.
    pub(super) is_negated: bool,
    /// With a slash at the end: fits folders only.
    pub(super) is_for_folders: bool,
    /// With a slash in front.
    pub(super) is_rooted: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Component {
    /// `**`: any number of folders.
    AnyDepth,
    Name(Glob),
}

/// Where a pattern stands in its components.
pub(super) type Position = u32;

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &[u8], ignores_case: bool) -> Result<Self, PatternError> {
        let (is_negated, text) = text.strip_prefix(b"!").map_or((false, text), |rest| (true, rest));
        let mut components = Parser { rest: text, ignores_case }.components()?;
        let is_rooted = components.len() > 1 && components[0].is_empty();
        let is_for_folders = components.len() > 1 && components.last().is_some_and(Vec::is_empty);
        // A slash that is not at the end ties the pattern to its folder.
        let is_anchored = components.len() - usize::from(is_for_folders) > 1;
        components.retain(|component| !component.is_empty());
        if components.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut parsed = if is_anchored { Vec::new() } else { vec![Component::AnyDepth] };
        for tokens in components {
            match tokens[..] {
                [Token::Star, Token::Star] if is_anchored => {
                    if parsed.last() != Some(&Component::AnyDepth) {
                        parsed.push(Component::AnyDepth);
                    }
                }
                _ => parsed.push(Component::Name(Glob::of(tokens))),
            }
        }
        Ok(Self { components: parsed, is_negated, is_for_folders, is_rooted })
    }

    /// Goes on from `at` with `name`: whether the path with this name at its end fits. `goes_on` hears from which positions the
    /// pattern may fit below.
    pub(super) fn step(&self, at: Position, name: &[u8], mut goes_on: impl FnMut(Position)) -> bool {
        let mut fits = false;
        let mut at = at;
        while let Some(Component::AnyDepth) = self.component(at) {
            goes_on(at);
            at += 1; // No folder at all.
            fits |= self.component(at).is_none(); // All that lies in a folder, at any depth.
        }
        if let Some(Component::Name(glob)) = self.component(at)
            && glob.matches(name)
        {
            match self.component(at + 1) {
                None => fits = true,
                Some(_) => goes_on(at + 1),
            }
        }
        fits
    }

    fn component(&self, at: Position) -> Option<&Component> {
        self.components.get(at as usize)
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    ignores_case: bool,
}

impl Parser<'_> {
    /// What stands between slashes.
    fn components(mut self) -> Result<Vec<Vec<Token>>, PatternError> {
        let mut components = vec![Vec::new()];
        while let Some(byte) = self.next() {
            let token = match byte {
                b'/' => {
                    components.push(Vec::new());
                    continue;
                }
                b'*' => Token::Star,
                b'?' => Token::AnyByte,
                b'[' => Token::Class(Box::new(self.class()?)),
                b'\\' => self.byte(self.rest.first().copied().ok_or(PatternError::OpenEscape)?, 1),
                byte => self.byte(byte, 0),
            };
            if let Some(component) = components.last_mut() {
                component.push(token);
            }
        }
        Ok(components)
    }

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// A byte that stands for itself, and so many bytes to pass over.
    fn byte(&mut self, byte: u8, taken: usize) -> Token {
        self.rest = &self.rest[taken..];
        if self.ignores_case && byte.is_ascii_alphabetic() {
            let mut set = ByteSet::default();
            set.insert(byte);
            return Token::Class(Box::new(set.of_both_cases()));
        }
        Token::Byte(byte)
    }

    /// What stands behind a `[`, up to its `]`.
    fn class(&mut self) -> Result<ByteSet, PatternError> {
        let is_inverted = matches!(self.rest.first(), Some(b'!' | b'^'));
        if is_inverted {
            self.next();
        }
        let mut set = ByteSet::default();
        let mut is_first = true;
        loop {
            let mut byte = self.next().ok_or(PatternError::OpenClass)?;
            match byte {
                b']' if !is_first => break,
                b'[' if self.rest.first() == Some(&b':') => {
                    self.named_class(&mut set)?;
                    is_first = false;
                    continue;
                }
                b'\\' => byte = self.next().ok_or(PatternError::OpenClass)?,
                _ => {}
            }
            is_first = false;
            let end = self.end_of_range()?.unwrap_or(byte);
            (byte..=end).for_each(|byte| set.insert(byte));
        }
        let set = if self.ignores_case { set.of_both_cases() } else { set };
        Ok(if is_inverted { set.inverted() } else { set })
    }

    /// A `-` before the closing `]` is itself.
    fn end_of_range(&mut self) -> Result<Option<u8>, PatternError> {
        match self.rest {
            [b'-', b']', ..] => Ok(None),
            [b'-', ..] => {
                self.next();
                match self.next() {
                    Some(b'\\') => self.next().ok_or(PatternError::OpenClass).map(Some),
                    end => end.ok_or(PatternError::OpenClass).map(Some),
                }
            }
            _ => Ok(None),
        }
    }

    /// `:name:]`
    fn named_class(&mut self, set: &mut ByteSet) -> Result<(), PatternError> {
        let end = self.rest.windows(2).skip(1).position(|two| two == b":]").ok_or(PatternError::OpenClass)? + 1;
        let holds: fn(&u8) -> bool = match &self.rest[1..end] {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" => u8::is_ascii_alphabetic,
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"lower" => u8::is_ascii_lowercase,
            b"print" => |byte| matches!(byte, b' '..=b'~'),
            b"punct" => u8::is_ascii_punctuation,
            b"space" => |byte| matches!(byte, b' ' | 9..=13),
            b"upper" => u8::is_ascii_uppercase,
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return Err(PatternError::UnknownClass),
        };
        self.rest = &self.rest[end + 2..];
        (0..=u8::MAX).filter(holds).for_each(|byte| set.insert(byte));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a path below the pattern's folder fits, or lies in a folder that does.
    fn leaves_out(pattern: &str, path: &str) -> bool {
        fits(&Pattern::parse(pattern.as_bytes(), false).unwrap(), path.as_bytes())
    }

    fn fits(pattern: &Pattern, path: &[u8]) -> bool {
        let is_folder = path.ends_with(b"/");
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
        let mut at = vec![0];
        for (depth, name) in names.iter().enumerate() {
            let mut next = Vec::new();
            let mut does_fit = false;
            for &at in &at {
                does_fit |= pattern.step(at, name, |at| next.push(at));
            }
            let is_folder = is_folder || depth + 1 < names.len();
            if does_fit && (is_folder || !pattern.is_for_folders) {
                return true;
            }
            at = next;
        }
        false
    }

    #[test]
    fn a_pattern_without_a_slash_fits_at_any_depth_and_one_with_a_slash_only_where_it_leads() {
        assert!(leaves_out("*.o", "a.o") && leaves_out("*.o", "deep/er/a.o") && !leaves_out("*.o", "a.o.c"));
        assert!(leaves_out("/build", "build/x") && !leaves_out("/build", "sub/build"));
        assert!(leaves_out("doc/*.pdf", "doc/a.pdf") && !leaves_out("doc/*.pdf", "doc/sub/a.pdf"));
        assert!(leaves_out("cache/", "x/cache/y") && !leaves_out("cache/", "x/cache"));
        assert!(leaves_out("**/foo/bar", "foo/bar") && leaves_out("**/foo/bar", "x/y/foo/bar"));
        assert!(leaves_out("abc/**", "abc/x/y") && !leaves_out("abc/**", "abc/"));
        assert!(leaves_out("a/**/b", "a/b") && leaves_out("a/**/b", "a/x/y/b") && !leaves_out("a/**/b", "ab"));
    }

    #[test]
    fn names_of_any_bytes_are_matched_by_patterns_of_any_bytes() {
        for (pattern, path, wanted) in [
            (&b"\xff*"[..], &b"sub/\xff\xfe"[..], true),
            (b"?", b"\xff", true),
            (b"[\xf0-\xff]", b"\xf8", true),
            (b"[!\xf0-\xff]", b"\xf8", false),
            (b"[[:digit:]_]x", b"7x", true),
            (b"[]-]", b"-", true),
            (b"\\*", b"*", true),
            (b"\\*", b"a", false),
        ] {
            assert_eq!(fits(&Pattern::parse(pattern, false).unwrap(), path), wanted, "{}", pattern.escape_ascii());
        }
    }

    #[test]
    fn case_is_ignored_where_that_is_asked_for() {
        for (pattern, path) in [("*.JPG", "a.jpg"), ("thumbs.db", "Thumbs.DB"), ("[a-c]x", "BX")] {
            assert!(fits(&Pattern::parse(pattern.as_bytes(), true).unwrap(), path.as_bytes()), "{pattern}");
            assert!(!leaves_out(pattern, path), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (pattern, error) in [
            ("", PatternError::Empty),
            ("!", PatternError::Empty),
            ("/", PatternError::Empty),
            ("a[b", PatternError::OpenClass),
            ("[[:nothing:]]", PatternError::UnknownClass),
            ("a\\", PatternError::OpenEscape),
        ] {
            assert_eq!(Pattern::parse(pattern.as_bytes(), false).unwrap_err(), error, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_longer_than_the_product_of_both_lengths() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!leaves_out(&pattern, &"a".repeat(1000)));
    }
}
