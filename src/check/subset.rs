//! [`Subset`]: which packs are read when not all of them shall be.

use std::collections::HashSet;
use std::str::FromStr;

use bytesize::ByteSize;

use crate::env;
use crate::error::Result;
use crate::id::{ObjectId, PackId};

/// A part of all packs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subset {
    /// The `number`-th of `of` parts, which stay the same as long as no pack comes or goes: all of them, one after the other,
    /// are everything.
    Part {
        /// From 1.
        number: u32,
        /// How many there are.
        of: u32,
    },
    /// So many percent of all bytes, chosen at random.
    Percent(f64),
    /// So many bytes, chosen at random.
    Bytes(u64),
}

impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bad = |why: &str| Err(format!("{why}: write a part as 5/12, a percentage as 10%, or a size as 2GiB"));
        if let Some((number, of)) = text.split_once('/') {
            return match (number.parse(), of.parse()) {
                (Ok(number), Ok(of)) if (1..=of).contains(&number) => Ok(Self::Part { number, of }),
                _ => bad("not one of so many parts"),
            };
        }
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.parse::<f64>() {
                Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self::Percent(percent)),
                _ => bad("not between 0% and 100%"),
            };
        }
        match text.parse::<ByteSize>() {
            Ok(ByteSize(0)) | Err(_) => bad("no size"),
            Ok(ByteSize(bytes)) => Ok(Self::Bytes(bytes)),
        }
    }
}

impl Subset {
    /// Picks among all packs, given with their lengths.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn choose(&self, packs: &[(PackId, u64)]) -> Result<HashSet<PackId>> {
        let all_bytes: u64 = packs.iter().map(|(_, bytes)| bytes).sum();
        match *self {
            Self::Part { number, of } => {
                let is_in = |id: &PackId| part_of(id, of) == number - 1;
                Ok(packs.iter().map(|(id, _)| *id).filter(is_in).collect())
            }
            Self::Percent(percent) => at_random(packs, percent_of(percent, all_bytes)),
            Self::Bytes(bytes) => at_random(packs, bytes),
        }
    }
}

/// Ids are hashes: their first bytes are spread evenly.
fn part_of(id: &PackId, of: u32) -> u32 {
    u32::from_be_bytes([id.0[0], id.0[1], id.0[2], id.0[3]]) % of
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
// Nobody counts the bytes of a tenth.
fn percent_of(percent: f64, bytes: u64) -> u64 {
    (bytes as f64 * percent / 100.0).ceil() as u64
}

/// Packs until there are so many bytes; the last one may be more than was asked for, so that there is always one.
fn at_random(packs: &[(PackId, u64)], wanted: u64) -> Result<HashSet<PackId>> {
    let seed = env::random_bytes()?;
    let mut shuffled: Vec<(ObjectId, PackId, u64)> =
        packs.iter().map(|&(id, bytes)| (ObjectId(*blake3::keyed_hash(&seed, &id.0).as_bytes()), id, bytes)).collect();
    shuffled.sort_unstable();
    let mut chosen_bytes = 0_u64;
    let enough = |(_, id, bytes): (ObjectId, PackId, u64)| {
        let is_wanted = chosen_bytes < wanted;
        chosen_bytes = chosen_bytes.saturating_add(bytes);
        is_wanted.then_some(id)
    };
    Ok(shuffled.into_iter().map_while(enough).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(count: u32) -> Vec<(PackId, u64)> {
        (0..count).map(|number| (PackId(*blake3::hash(&number.to_le_bytes()).as_bytes()), 1000)).collect()
    }

    #[test]
    fn a_subset_is_read_from_what_people_write() {
        assert_eq!("5/12".parse(), Ok(Subset::Part { number: 5, of: 12 }));
        assert_eq!("1/1".parse(), Ok(Subset::Part { number: 1, of: 1 }));
        assert_eq!("10%".parse(), Ok(Subset::Percent(10.0)));
        assert_eq!("0.5%".parse(), Ok(Subset::Percent(0.5)));
        assert_eq!("2GiB".parse(), Ok(Subset::Bytes(2 << 30)));
        for bad in ["", "0/5", "6/5", "1/0", "-1/2", "1/", "/", "0%", "101%", "NaN%", "-3%", "%", "0", "many", "1/2/3"]
        {
            assert!(bad.parse::<Subset>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_parts_are_disjoint_and_together_everything() {
        let packs = packs(200);
        let mut seen = HashSet::new();
        for number in 1..=7 {
            let part = Subset::Part { number, of: 7 }.choose(&packs).unwrap();
            assert_eq!(part, Subset::Part { number, of: 7 }.choose(&packs).unwrap());
            assert!(part.iter().all(|&id| seen.insert(id)));
        }
        assert_eq!(seen.len(), packs.len());
    }

    #[test]
    fn a_random_subset_is_as_large_as_was_asked_and_another_one_each_time() {
        let packs = packs(200);
        let tenth = Subset::Percent(10.0);
        assert_eq!(tenth.choose(&packs).unwrap().len(), 20);
        assert_ne!(tenth.choose(&packs).unwrap(), tenth.choose(&packs).unwrap());
        assert_eq!(Subset::Percent(100.0).choose(&packs).unwrap().len(), 200);
        assert_eq!(Subset::Bytes(1).choose(&packs).unwrap().len(), 1);
        assert_eq!(Subset::Bytes(2001).choose(&packs).unwrap().len(), 3);
        assert_eq!(Subset::Bytes(u64::MAX).choose(&packs).unwrap().len(), 200);
        assert!(Subset::Percent(50.0).choose(&[]).unwrap().is_empty());
    }
}
