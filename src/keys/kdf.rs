//! From what a person or cron holds to the key-encryption key of a slot.
//!
//! A passphrase is stretched with Argon2id (RFC 9106); a key file is 32 random bytes and needs none. How a slot wraps its
//! key is left to the key slots.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use crate::seal::record::PurposeKey;

/// Bytes in the salt of a slot.
pub const SALT_LEN: usize = 32;

/// Bytes in a key file.
pub const KEY_FILE_LEN: usize = 32;

const KEK_LEN: usize = 32;

const KEY_FILE_CONTEXT: &str = "caddis v0 key file";

/// What Argon2id spends on a passphrase. Comes out of a slot, which anybody may have written, so it is checked before use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes that could run side by side; here they run one after another.
    pub lanes: u32,
}

impl Argon2Cost {
    /// 4 GiB: more than that is a slot made to bring the machine down.
    pub const MEMORY_KIB_MAX: u32 = 4 << 20;
    /// With the most memory this is minutes, and nobody asks for more.
    pub const PASSES_MAX: u32 = 64;
    /// More than most machines have cores.
    pub const LANES_MAX: u32 = 64;
    /// RFC 9106, section 3.1.
    pub const MEMORY_KIB_PER_LANE_MIN: u32 = 8;

    /// Whether the cost is within the caps and what Argon2 demands.
    ///
    /// # Errors
    /// [`KdfError::TooMuch`] or [`KdfError::TooLittle`], naming the value and its bound.
    pub fn check(&self) -> Result<(), KdfError> {
        let Self { memory_kib, passes, lanes } = *self;
        within("lanes", lanes, 1, Self::LANES_MAX)?;
        within("passes", passes, 1, Self::PASSES_MAX)?;
        within("KiB of memory", memory_kib, Self::MEMORY_KIB_PER_LANE_MIN * lanes, Self::MEMORY_KIB_MAX)
    }
}

impl Default for Argon2Cost {
    /// The second choice of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

impl fmt::Display for Argon2Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB of memory, {} passes, {} lanes", self.memory_kib, self.passes, self.lanes)
    }
}

/// Why no key came of a passphrase.
#[derive(Debug, thiserror::Error)]
pub enum KdfError {
    /// The slot asks for more than this program spends.
    #[error("the key slot asks Argon2 for {value} {what}; at most {max} are accepted")]
    TooMuch {
        /// Which parameter.
        what: &'static str,
        /// What the slot says.
        value: u32,
        /// The cap.
        max: u32,
    },
    /// The slot asks for less than Argon2 needs.
    #[error("the key slot asks Argon2 for {value} {what}; it needs at least {min}")]
    TooLittle {
        /// Which parameter.
        what: &'static str,
        /// What the slot says.
        value: u32,
        /// The minimum.
        min: u32,
    },
    /// The machine has not got the memory that the slot asks for.
    #[error("there are no {memory_kib} KiB of memory for Argon2")]
    NoMemory {
        /// Memory in KiB.
        memory_kib: u32,
    },
    /// Argon2 refused, which only a passphrase over 4 GiB brings about.
    #[error("Argon2 refused the passphrase: {0}")]
    Refused(argon2::Error),
}

/// The key-encryption key of one slot.
pub struct Kek(Zeroizing<[u8; KEK_LEN]>);

impl Kek {
    /// The key as what seals the slot's content.
    pub fn purpose_key(&self) -> PurposeKey {
        PurposeKey::new(self.0.clone())
    }
}

/// Stretches a passphrase: Argon2id, version 1.3 (RFC 9106).
///
/// # Errors
/// [`KdfError`], for a cost out of bounds before any memory is taken. A wrong passphrase is no error: it gives another key.
pub fn from_passphrase(passphrase: &[u8], salt: &[u8; SALT_LEN], cost: &Argon2Cost) -> Result<Kek, KdfError> {
    cost.check()?;
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEK_LEN)).map_err(KdfError::Refused)?;
    // The crate's own memory is given back as it is; this is wiped.
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(params.block_count()).map_err(|_| KdfError::NoMemory { memory_kib: cost.memory_kib })?;
    memory.resize(params.block_count(), Block::default());

    let mut kek = Zeroizing::new([0; KEK_LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, kek.as_mut_slice(), memory.as_mut_slice())
        .map_err(KdfError::Refused)?;
    Ok(Kek(kek))
}

/// The key of a key file: BLAKE3 in derive_key mode over `bytes || salt`. The bytes are random, so nothing is stretched.
pub fn from_key_file(bytes: &[u8; KEY_FILE_LEN], salt: &[u8; SALT_LEN]) -> Kek {
    let mut kek = Zeroizing::new([0; KEK_LEN]);
    blake3::Hasher::new_derive_key(KEY_FILE_CONTEXT).update(bytes).update(salt).finalize_xof().fill(kek.as_mut_slice());
    Kek(kek)
}

fn within(what: &'static str, value: u32, min: u32, max: u32) -> Result<(), KdfError> {
    if value < min {
        Err(KdfError::TooLittle { what, value, min })
    } else if value > max {
        Err(KdfError::TooMuch { what, value, max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 64, passes: 2, lanes: 2 };

    #[test]
    fn the_argon2id_example_of_rfc_9106_section_5_3_comes_out() {
        let params = ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(AssociatedData::new(&[4; 12]).unwrap())
            .build()
            .unwrap();
        let mut tag = [0; 32];
        Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params)
            .unwrap()
            .hash_password_into(&[1; 32], &[2; 16], &mut tag)
            .unwrap();
        let expected = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659";
        assert_eq!(HEXLOWER.encode(&tag), expected);
    }

    #[test]
    fn the_keys_of_passphrase_and_key_file_do_not_change() {
        let kek = from_passphrase(b"correct horse battery staple", &[7; SALT_LEN], &Argon2Cost::default()).unwrap();
        assert_eq!(HEXLOWER.encode(&*kek.0), PASSPHRASE_ANSWER);
        let kek = from_key_file(&[8; KEY_FILE_LEN], &[7; SALT_LEN]);
        assert_eq!(HEXLOWER.encode(&*kek.0), KEY_FILE_ANSWER);
    }

    /// Computed with pyca/cryptography 48.
    const PASSPHRASE_ANSWER: &str = "da431077b419c03b8a0a45492d363840a9a84401799b8fb84460e22160e0d452";
    /// Computed in Python.
    const KEY_FILE_ANSWER: &str = "a3856afa7ab19f6cedb205952285400dac168fd61628753b84d887d4d0d0e372";

    #[test]
    fn every_input_counts() {
        let key =
            |passphrase: &[u8], salt, cost: &Argon2Cost| *from_passphrase(passphrase, &[salt; 32], cost).unwrap().0;
        let base = key(b"pass", 1, &CHEAP);
        assert_eq!(base, key(b"pass", 1, &CHEAP));
        assert_ne!(base, key(b"Pass", 1, &CHEAP));
        assert_ne!(base, key(b"pass", 2, &CHEAP));
        assert_ne!(base, key(b"pass", 1, &Argon2Cost { memory_kib: 65, ..CHEAP }));
        assert_ne!(base, key(b"pass", 1, &Argon2Cost { passes: 3, ..CHEAP }));
        assert_ne!(base, key(b"pass", 1, &Argon2Cost { lanes: 1, ..CHEAP }));
        assert_ne!(base, key(b"", 1, &CHEAP));
        let file = |bytes, salt| *from_key_file(&[bytes; 32], &[salt; 32]).0;
        assert_ne!(file(1, 1), file(1, 2));
        assert_ne!(file(1, 1), file(2, 1));
        assert_ne!(file(1, 2), file(2, 1));
    }

    #[test]
    fn a_cost_out_of_bounds_is_named_before_anything_runs() {
        let message = |cost: Argon2Cost| from_passphrase(b"", &[0; 32], &cost).err().unwrap().to_string();
        assert_eq!(
            message(Argon2Cost { memory_kib: u32::MAX, ..CHEAP }),
            "the key slot asks Argon2 for 4294967295 KiB of memory; at most 4194304 are accepted"
        );
        assert_eq!(
            message(Argon2Cost { memory_kib: 15, ..CHEAP }),
            "the key slot asks Argon2 for 15 KiB of memory; it needs at least 16"
        );
        assert_eq!(
            message(Argon2Cost { passes: 65, ..CHEAP }),
            "the key slot asks Argon2 for 65 passes; at most 64 are accepted"
        );
        assert_eq!(
            message(Argon2Cost { lanes: u32::MAX, ..CHEAP }),
            "the key slot asks Argon2 for 4294967295 lanes; at most 64 are accepted"
        );
        assert!(message(Argon2Cost { passes: 0, ..CHEAP }).ends_with("needs at least 1"));
        assert!(message(Argon2Cost { lanes: 0, ..CHEAP }).ends_with("needs at least 1"));
        let most = Argon2Cost { memory_kib: 4 << 20, passes: 64, lanes: 64 };
        most.check().unwrap();
        Argon2Cost::default().check().unwrap();
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn what_the_check_passes_argon2_takes(memory_kib: u32, passes: u32, lanes: u32) {
            for cost in [
                Argon2Cost { memory_kib, passes, lanes },
                Argon2Cost { memory_kib: memory_kib >> 8, passes: passes >> 24, lanes: lanes >> 24 },
            ] {
                if cost.check().is_ok() {
                    prop_assert!(Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEK_LEN)).is_ok());
                }
            }
        }
    }
}
