//! [`Pattern`]: one line in the syntax of gitignore(5), matched against a path component by component.
//!
//! A walk goes down one name at a time, and so does a pattern: [`Pattern::step`] says from a position in the pattern and a name
//! whether the path fits now, and from which positions the names below may still make it fit. No path is ever joined, a
//! pattern that cannot fit any longer costs nothing further down, and no tree is too deep.

use super::glob::{Glob, PatternError};

/// A line in the syntax of gitignore(5).
#[derive(Debug)]
pub(super) struct Pattern {
    components: Vec<Component>,
    /// With a `!` in front: takes in again what an earlier one leaves out.
    pub(super) is_negated: bool,
    /// With a slash at the end: fits folders only.
    pub(super) is_for_folders: bool,
    /// With a slash in front.
    pub(super) is_rooted: bool,
}

#[derive(Debug)]
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
        let (is_rooted, is_for_folders) = (text.starts_with(b"/"), text.ends_with(b"/"));
        // A slash that is not at the end ties the pattern to its folder.
        let is_anchored = text.strip_suffix(b"/").unwrap_or(text).contains(&b'/');
        let mut parsed = if is_anchored { Vec::new() } else { vec![Component::AnyDepth] };
        for component in text.split(|&byte| byte == b'/').filter(|component| !component.is_empty()) {
            if component == b"**" && is_anchored {
                if !matches!(parsed.last(), Some(Component::AnyDepth)) {
                    parsed.push(Component::AnyDepth);
                }
            } else {
                parsed.push(Component::Name(Glob::parse(component, ignores_case)?));
            }
        }
        if text.iter().all(|&byte| byte == b'/') {
            return Err(PatternError::Empty);
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
    fn names_of_any_bytes_are_matched() {
        for (pattern, path, wanted) in [
            (&b"\xff\xfe"[..], &b"sub/\xff\xfe"[..], true),
            (b"?", b"\xff", true),
            (b"*x", b"\xff\xfex", true),
            (b"[!a-z]", b"\xf8", true),
            (b"{a,b}", b"a", false),
            (b"{a,b}*", b"{a,b}", true),
            (b"[{]", b"{", true),
            (b"[[:punct:]]", b"[", true),
            (b"[^[:alpha:]]", b"x", false),
            (b"[a[]b", b"[b", true),
            (b"[]a]b", b"]b", true),
            (b"[!]a]b", b"]b", false),
            (b"a[{]}", b"a{}", true),
            (b"[\\]x]", b"]", true),
            (b"[\\]x]", b"x", true),
            (b"[\\]x]", b"\\", false),
            (b"[a\\-z]", b"-", true),
            (b"[a\\-z]", b"b", false),
            (b"[!\\]]", b"]", false),
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
            ("*a\\", PatternError::OpenEscape),
        ] {
            assert_eq!(Pattern::parse(pattern.as_bytes(), false).unwrap_err(), error, "{pattern}");
        }
        assert_eq!(Pattern::parse(b"\xff*", false).unwrap_err(), PatternError::NoText);
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_longer_than_the_product_of_both_lengths() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!leaves_out(&pattern, &"a".repeat(1000)));
    }
}
