//! The only door to wall clock and randomness.
//!
//! Time has a seam, [`Clock`], because stamps and retention are tested at chosen moments. Randomness has none: one repeated
//! nonce or salt breaks a seal, so nothing outside can replace its source.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The system gave no random bytes; nothing can be sealed.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness(#[source] std::io::Error);

/// Fresh random bytes from the operating system, fit for keys, salts and nonces.
///
/// Wrap what is secret in [`zeroize::Zeroizing`] at once.
///
/// # Errors
/// [`NoRandomness`] if the system has no source of randomness, as in a badly made container.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        NoRandomness(match error.raw_os_error() {
            Some(code) => std::io::Error::from_raw_os_error(code),
            None => std::io::Error::other(error.to_string()),
        })
    })?;
    Ok(bytes)
}

/// Where the time comes from.
pub trait Clock: Sync + Send {
    /// Wall time, for stamps and retention. It may jump; nothing that must be safe compares it.
    fn now(&self) -> Timestamp;

    /// Monotonic time since the clock was made, for progress and time budgets.
    fn elapsed(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] counts from here.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still, for tests.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let first: [u8; 32] = random_bytes().unwrap();
        assert_ne!(first, random_bytes().unwrap());
    }

    #[test]
    fn a_fixed_clock_stands_still_and_the_system_clock_does_not_run_backwards() {
        let fixed = FixedClock(Timestamp::UNIX_EPOCH);
        assert_eq!(fixed.now(), Timestamp::UNIX_EPOCH);
        assert_eq!(fixed.elapsed(), Duration::ZERO);
        let system = SystemClock::new();
        let first = system.elapsed();
        assert!(system.elapsed() >= first);
        assert!(system.now() > Timestamp::UNIX_EPOCH);
    }
}
