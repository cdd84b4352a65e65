//! What a node keeps of an item besides its name and content.

use std::fmt;

/// A point in time: seconds since 1970 in UTC, possibly before, and nanoseconds after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// An extended attribute; POSIX ACLs and file capabilities are such.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// `user.comment`, `security.capability`, …
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

impl fmt::Debug for Xattr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=[{} bytes]", self.name.escape_ascii(), self.value.len())
    }
}

/// Owner and group of an item, by number and, where the machine knew one, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// The user's name; raw bytes, because `/etc/passwd` promises no encoding.
    pub user: Option<Vec<u8>>,
    /// The group's name.
    pub group: Option<Vec<u8>>,
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        let mut secs = time.as_second();
        let mut nanos = time.subsec_nanosecond();
        if nanos < 0 {
            // jiff counts from zero in both directions; here the fraction always goes forward.
            secs -= 1;
            nanos += 1_000_000_000;
        }
        Self { secs, nanos: nanos.unsigned_abs() }
    }
}

impl Timestamp {
    /// The same moment for calculations with calendars; nothing beyond the years that these know.
    pub fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::new(self.secs, self.nanos.try_into().ok()?).ok()
    }
}
