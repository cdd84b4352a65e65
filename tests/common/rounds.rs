//! How long the tests go on. What they can try in full, they always try in full; what they sample, they sample so many times as
//! much as [`VARIABLE`] says.

#![allow(clippy::unwrap_used, reason = "test support")]
#![allow(dead_code, reason = "not every test binary uses all of it")]

use proptest::test_runner::Config;

/// Names a whole number: 1 if it is not set.
pub(crate) const VARIABLE: &str = "CADDIS_TEST_ROUNDS";

/// How many times as much is tried as usual.
pub(crate) fn rounds() -> u32 {
    let Some(text) = std::env::var_os(VARIABLE) else { return 1 };
    let rounds = text.to_str().and_then(|text| text.parse().ok()).filter(|&rounds| rounds > 0);
    rounds.unwrap_or_else(|| panic!("{VARIABLE} is no number of rounds: {}", text.display()))
}

/// For a property that usually has so many cases.
pub(crate) fn cases(usual: u32) -> Config {
    Config::with_cases(usual.saturating_mul(rounds()))
}

/// For a property that usually has as many cases as `PROPTEST_CASES` says, or 256.
pub(crate) fn many_cases() -> Config {
    cases(Config::default().cases)
}

/// One of the numbers below `count`, always the same one for the same round of the same thing.
pub(crate) fn place(thing: &str, round: u32, count: usize) -> usize {
    let hash = blake3::hash(format!("{thing} {round}").as_bytes());
    let number = u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap());
    usize::try_from(number % count as u64).unwrap()
}
