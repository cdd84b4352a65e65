//! [`Temporaries`]: names under which items are made that replace others. A run that was killed leaves some behind, and the next
//! one that comes by removes them.

use crate::env::random_bytes;
use crate::error::Result;
use crate::format::name::Name;

const PREFIX: &[u8] = b".caddis-restore-";
/// Enough that no snapshot holds the names of a run, but by copying them while it goes on.
const RUN_BYTES: usize = 8;
const RUN_DIGITS: usize = 2 * RUN_BYTES;

/// The names of one run.
pub(super) struct Temporaries {
    run: String,
    next: u64,
}

impl Temporaries {
    pub(super) fn new() -> Result<Self> {
        let run = data_encoding::HEXLOWER.encode(&random_bytes::<RUN_BYTES>()?);
        Ok(Self { run, next: 0 })
    }

    /// A name that nothing has.
    pub(super) fn next(&mut self) -> Name {
        self.next += 1;
        let name = [PREFIX, self.run.as_bytes(), b"-", self.next.to_string().as_bytes()].concat();
        Name::new(name).expect("these are a few digits")
    }
}

/// Whether a name is one of some run.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    let Some((run, rest)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_at_checked(RUN_DIGITS)) else {
        return false;
    };
    let Some(number) = rest.strip_prefix(b"-") else { return false };
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    run.iter().all(is_hex) && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_are_recognised_and_others_are_not() {
        let mut names = Temporaries::new().unwrap();
        let (first, second) = (names.next(), names.next());
        assert!(first != second && is_temporary(first.as_bytes()) && is_temporary(second.as_bytes()));
        assert!(names.next() != Temporaries::new().unwrap().next());
        for other in [
            &b".caddis-restore-"[..],
            b".caddis-restore-0123456789abcdef",
            b".caddis-restore-0123456789abcdef-",
            b".caddis-restore-0123456789abcdef-1x",
            b".caddis-restore-0123456789ABCDEF-1",
            b"caddis-restore-0123456789abcdef-1",
        ] {
            assert!(!is_temporary(other), "{}", other.escape_ascii());
        }
    }
}
