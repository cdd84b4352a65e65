//! [`Name`]: one component of a path, in any bytes that a Unix file system allows. [`TreePath`]: names from the root of a
//! snapshot downward.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The longest name accepted, in bytes. Linux stops at 255; a few file systems allow 255 UTF-16 units, which is up to 765.
pub const NAME_BYTES_MAX: usize = 1024;

/// One component of a path. It cannot be empty, `.` or `..`, and holds no `/` and no NUL, so that no name from a
/// repository can lead out of the folder it is used in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why some bytes are not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes at all.
    #[error("a name is empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`].
    #[error("a name is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// `.` or `..`
    #[error("a name is `.` or `..`")]
    Dots,
    /// A `/` or a NUL inside.
    #[error("a name holds `/` or NUL")]
    Separator,
}

impl Name {
    /// `bytes` as a name.
    ///
    /// # Errors
    /// What is wrong with it, when it is none.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        if bytes.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if *bytes == *b"." || *bytes == *b".." {
            return Err(NameError::Dots);
        }
        if bytes.iter().any(|&byte| byte == b'/' || byte == 0) {
            return Err(NameError::Separator);
        }
        Ok(Self(bytes))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as the system's calls take it.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A path below the root of a snapshot: names joined by `/`, without one in front. The root itself is empty.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path written as `bytes`, in its one form: no `/` in front, at the end, or twice.
    ///
    /// # Errors
    /// A component that is no name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        if !bytes.is_empty() {
            for component in bytes.split(|&byte| byte == b'/') {
                Name::new(component)?;
            }
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The path that somebody typed: `/` in front, at the end and doubled are passed over, and so is `.`.
    ///
    /// # Errors
    /// A component that is no name, such as `..`.
    pub fn from_typed(bytes: &[u8]) -> Result<Self, NameError> {
        let mut path = Self::root();
        for component in bytes.split(|&byte| byte == b'/') {
            if !matches!(component, b"" | b".") {
                path.push(&Name::new(component)?);
            }
        }
        Ok(path)
    }

    /// The path without a `/` in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as people write it, from `/`.
    pub fn absolute(&self) -> Vec<u8> {
        [b"/", &self.0[..]].concat()
    }

    /// The path from `/` as the system's calls take it.
    pub fn to_path_buf(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.absolute()))
    }

    /// Goes down to `name`.
    pub fn push(&mut self, name: &Name) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name.as_bytes());
    }

    /// The last name; the root has none.
    pub fn last(&self) -> Option<Name> {
        let start = self.0.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        Some(&self.0[start..]).filter(|name| !name.is_empty()).map(|name| Name(name.into()))
    }

    /// Goes up; the root stays the root.
    pub fn pop(&mut self) {
        let parent = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        self.0.truncate(parent);
    }

    /// Whether the path lies below `above`, or is that path.
    pub fn is_below(&self, above: &Self) -> bool {
        match self.0.strip_prefix(&above.0[..]) {
            Some(rest) => above.0.is_empty() || rest.is_empty() || rest.first() == Some(&b'/'),
            None => false,
        }
    }

    /// This path and `name` below it.
    pub fn join(&self, name: &Name) -> Self {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// The names from the root downward.
    pub fn components(&self) -> impl Iterator<Item = Name> + '_ {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
            .map(|component| Name(component.into()))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"/{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component_and_nothing_else() {
        assert_eq!(Name::new(*b""), Err(NameError::Empty));
        assert_eq!(Name::new(*b"."), Err(NameError::Dots));
        assert_eq!(Name::new(*b".."), Err(NameError::Dots));
        assert_eq!(Name::new(*b"a/b"), Err(NameError::Separator));
        assert_eq!(Name::new(*b"/"), Err(NameError::Separator));
        assert_eq!(Name::new(*b"a\0"), Err(NameError::Separator));
        assert_eq!(Name::new(vec![b'a'; NAME_BYTES_MAX + 1]), Err(NameError::TooLong));
        for fine in [&b"..."[..], b" ", b"\xff\xfe", b"\n", b"-rf"] {
            assert_eq!(Name::new(fine).unwrap().as_bytes(), fine);
        }
    }

    #[test]
    fn a_path_goes_down_and_up_again() {
        let mut path = TreePath::root();
        path.push(&Name::new(*b"home").unwrap());
        path.push(&Name::new(*b"me").unwrap());
        assert_eq!(path.absolute(), b"/home/me");
        assert_eq!(path.components().count(), 2);
        assert_eq!(TreePath::from_bytes(path.as_bytes()), Ok(path.clone()));
        assert_eq!(TreePath::from_typed(b"//home/./me/"), Ok(path.clone()));
        path.pop();
        path.pop();
        path.pop();
        assert_eq!(path, TreePath::root());
        assert_eq!(path.components().count(), 0);
    }

    #[test]
    fn a_path_has_one_written_form() {
        for wrong in [&b"/a"[..], b"a/", b"a//b", b"a/../b", b"a/./b"] {
            assert!(TreePath::from_bytes(wrong).is_err());
        }
        assert!(TreePath::from_typed(b"/a/../b").is_err());
    }
}
