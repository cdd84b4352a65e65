//! Seals objects that are read whole: charter contents, bundles, snapshots, gc and forgotten records, index segments.
//!
//! `salt [SALT_LEN] || commitment [COMMITMENT_LEN] || ciphertext || tag [TAG_LEN]`, where
//!
//! ```text
//! key [32] || commitment [32] = BLAKE3-XOF(keyed with the purpose key, DOMAIN || salt)
//! ciphertext || tag           = XChaCha20-Poly1305(key, nonce = 24 zero bytes, aad || commitment, plaintext)
//! plaintext                   = length u32 LE || record || zero padding
//! ```
//!
//! The salt is random for each object, so the derived key seals one message only and the nonce may be fixed; age wraps its
//! file key in the same way (C2SP `age.md`, "X25519 recipient stanza"). Poly1305 alone does not commit to a key; the
//! commitment does, and is compared before anything is opened, so a wrong key and damage are told apart.
//!
//! Sources: draft-irtf-cfrg-xchacha-03; the BLAKE3 paper, sections 2.3 and 2.6, for keyed mode and output of any length.

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use super::aead::{KEY_LEN, TAG_LEN};
use crate::env::{self, NoRandomness};

const DOMAIN: &[u8] = b"caddis v0 sealed record";
const SALT_LEN: usize = 32;
const COMMITMENT_LEN: usize = 32;
const NONCE: [u8; 24] = [0; 24];
const LEN_FIELD: usize = size_of::<u32>();

/// Bytes that sealing adds to a record before padding.
pub const OVERHEAD_LEN: usize = SALT_LEN + COMMITMENT_LEN + LEN_FIELD + TAG_LEN;

/// A long-lived key for one purpose: the log, the index, one slot. Any number of records may be sealed under it.
pub struct PurposeKey(Zeroizing<[u8; KEY_LEN]>);

impl PurposeKey {
    /// The key made of these bytes, which must be secret and uniform.
    pub fn new(bytes: impl Into<Zeroizing<[u8; KEY_LEN]>>) -> Self {
        Self(bytes.into())
    }
}

/// To which length an object is brought, so that its host learns little from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The next multiple of so many bytes.
    Multiple(u64),
    /// The next length that [`padme`] gives.
    Padme,
}

impl Padding {
    /// What small records get: a block of most file systems, and more than most records need.
    pub const SMALL: Self = Self::Multiple(4096);

    fn padded(self, len: u64) -> Option<u64> {
        match self {
            Self::Multiple(step) => len.checked_next_multiple_of(step),
            Self::Padme => Some(padme(len)),
        }
    }
}

/// Why a record was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealRefused {
    /// The record, padded, is longer than the format or this machine can hold.
    #[error("a record of {0} bytes is too long to seal")]
    TooLong(usize),
    /// The system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Why a record was not unsealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It was sealed under another key, or its first bytes are damaged.
    #[error("the record is sealed under another key")]
    WrongKey,
    /// The key is right and the seal is broken: damage or tampering.
    #[error("the record is damaged")]
    Damaged,
    /// It is too short, or its maker broke the format inside the seal.
    #[error("the record is malformed")]
    Malformed,
}

/// Seals `record` under a key derived from `key` and a fresh salt.
///
/// `aad` is what the record must not be moved away from: the object's header and the repository id. `surrounding` is how
/// many bytes of the object lie around the result; it and the result together get the length that `padding` asks for.
///
/// # Errors
/// [`SealRefused`].
pub fn seal(
    key: &PurposeKey,
    aad: &[u8],
    record: &[u8],
    padding: Padding,
    surrounding: usize,
) -> Result<Vec<u8>, SealRefused> {
    seal_with_salt(key, env::random_bytes()?, aad, record, padding, surrounding)
}

/// Unseals what [`seal`] made.
///
/// # Errors
/// [`RecordError`]; its variants tell a wrong key, damage, and a broken maker apart.
pub fn unseal(key: &PurposeKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecordError> {
    let (salt, rest) = sealed.split_first_chunk::<SALT_LEN>().ok_or(RecordError::Malformed)?;
    let (commitment, ciphertext) = rest.split_first_chunk::<COMMITMENT_LEN>().ok_or(RecordError::Malformed)?;
    if ciphertext.len() < LEN_FIELD + TAG_LEN {
        return Err(RecordError::Malformed);
    }
    let derived = Derived::new(key, salt);
    if !derived.commits_to(commitment) {
        return Err(RecordError::WrongKey);
    }
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    derived
        .cipher()
        .decrypt_in_place(&NONCE.into(), &derived.associated_data(aad), &mut *plain)
        .map_err(|_| RecordError::Damaged)?;
    strip_padding(&mut plain)?;
    Ok(plain)
}

/// [`seal`] with the salt given, which must **never** be used twice under one key.
pub(crate) fn seal_with_salt(
    key: &PurposeKey,
    salt: [u8; SALT_LEN],
    aad: &[u8],
    record: &[u8],
    padding: Padding,
    surrounding: usize,
) -> Result<Vec<u8>, SealRefused> {
    let too_long = || SealRefused::TooLong(record.len());
    let len_field = u32::try_from(record.len()).map_err(|_| too_long())?.to_le_bytes();
    let sealed_len = padded_len(record.len(), padding, surrounding).ok_or_else(too_long)?;
    let derived = Derived::new(key, &salt);

    // Sealed where it lies: no copy of the plaintext is left behind in memory that was given back.
    let mut sealed = Vec::new();
    sealed.try_reserve_exact(sealed_len).map_err(|_| too_long())?;
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(derived.commitment());
    let plain_from = sealed.len();
    sealed.extend_from_slice(&len_field);
    sealed.extend_from_slice(record);
    sealed.resize(sealed_len - TAG_LEN, 0);
    let tag = derived
        .cipher()
        .encrypt_inout_detached(&NONCE.into(), &derived.associated_data(aad), (&mut sealed[plain_from..]).into())
        .expect("only a message over 256 GiB is refused, and the length field ends at 4 GiB");
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// The PADMÉ length of `len`: the next one whose binary form ends in zeros but for its first O(log log) digits.
///
/// Leaks O(log log) bits of the length and adds less than 12 %. The result for a `len` that would overflow is the largest
/// number.
///
/// Source: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PoPETs 2019(4),
/// section 4.
pub fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let exponent_bits = exponent.ilog2() + 1;
    let zero_bits = exponent.saturating_sub(exponent_bits);
    let mask = (1_u64 << zero_bits) - 1;
    len.checked_add(mask).map_or(u64::MAX, |sum| sum & !mask)
}

/// Length of the sealed bytes for a record of `record_len`.
fn padded_len(record_len: usize, padding: Padding, surrounding: usize) -> Option<usize> {
    let object_len = record_len.checked_add(OVERHEAD_LEN)?.checked_add(surrounding)?;
    let padded = padding.padded(u64::try_from(object_len).ok()?)?;
    usize::try_from(padded).ok()?.checked_sub(surrounding)
}

/// Leaves the record of `length || record || padding`.
fn strip_padding(plain: &mut Vec<u8>) -> Result<(), RecordError> {
    let (len, rest) = plain.split_first_chunk::<LEN_FIELD>().ok_or(RecordError::Malformed)?;
    let record_len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| RecordError::Malformed)?;
    let padding = rest.get(record_len..).ok_or(RecordError::Malformed)?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(RecordError::Malformed);
    }
    let record_end = LEN_FIELD + record_len;
    plain.copy_within(LEN_FIELD..record_end, 0);
    plain.truncate(record_len);
    Ok(())
}

/// Key and commitment of one object.
struct Derived(Zeroizing<[u8; KEY_LEN + COMMITMENT_LEN]>);

impl Derived {
    fn new(key: &PurposeKey, salt: &[u8; SALT_LEN]) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN + COMMITMENT_LEN]);
        blake3::Hasher::new_keyed(&key.0).update(DOMAIN).update(salt).finalize_xof().fill(bytes.as_mut_slice());
        Self(bytes)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new_from_slice(&self.0[..KEY_LEN]).expect("KEY_LEN is the cipher's key length")
    }

    fn commitment(&self) -> &[u8] {
        &self.0[KEY_LEN..]
    }

    fn commits_to(&self, commitment: &[u8; COMMITMENT_LEN]) -> bool {
        // blake3::Hash compares in constant time.
        blake3::Hash::from_slice(self.commitment()).is_ok_and(|own| own == blake3::Hash::from_bytes(*commitment))
    }

    fn associated_data(&self, aad: &[u8]) -> Vec<u8> {
        [aad, self.commitment()].concat()
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> PurposeKey {
        PurposeKey::new([byte; KEY_LEN])
    }

    fn hex(digits: &str) -> Vec<u8> {
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }

    /// A sealed object whose plaintext is given whole, as only a broken maker would write it.
    fn sealed_plain(plain: &[u8]) -> Vec<u8> {
        let salt = [3; SALT_LEN];
        let derived = Derived::new(&key(1), &salt);
        let mut plain = plain.to_vec();
        derived.cipher().encrypt_in_place(&NONCE.into(), &derived.associated_data(b"aad"), &mut plain).unwrap();
        [&salt, derived.commitment(), &plain].concat()
    }

    #[test]
    fn the_example_of_draft_irtf_cfrg_xchacha_03_a_3_1_comes_out() {
        let cipher =
            XChaCha20Poly1305::new_from_slice(&hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"))
                .unwrap();
        let nonce: [u8; 24] = hex("404142434445464748494a4b4c4d4e4f5051525354555657").try_into().unwrap();
        let mut buffer = b"Ladies and Gentlemen of the class of '99: \
            If I could offer you only one tip for the future, sunscreen would be it."
            .to_vec();
        cipher.encrypt_in_place(&nonce.into(), &hex("50515253c0c1c2c3c4c5c6c7"), &mut buffer).unwrap();
        let expected = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
            731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
            2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
            21f9664c97637da9768812f615c68b13b52e\
            c0875924c1c7987947deafd8780acf49";
        assert_eq!(buffer, hex(expected));
    }

    #[test]
    fn the_bytes_of_a_sealed_record_do_not_change() {
        let sealed = seal_with_salt(&key(1), [2; SALT_LEN], b"header", b"a record", Padding::Multiple(32), 6).unwrap();
        assert_eq!(HEXLOWER.encode(&sealed), KNOWN_ANSWER);
    }

    /// Computed in Python from the layout above, with pyca/cryptography's ChaCha20Poly1305.
    const KNOWN_ANSWER: &str = "0202020202020202020202020202020202020202020202020202020202020202\
        41069215502824f5a798612604d6d5e5e5df3a765bc607c4ff2ffa4f699c94d3\
        1caf13724b1b7a62c33bc27764c5f95e5a655974402117e9ef61c5df5e92d8ec\
        8a028d9eef3c2a25bcdfe0714f4b834ad01adcacb29b65b1261f";

    #[test]
    fn key_and_commitment_are_what_blake3_says() {
        let mut input = DOMAIN.to_vec();
        input.extend([2; SALT_LEN]);
        let mut expected = [0; 64];
        let mut hasher = blake3::Hasher::new_keyed(&[1; 32]);
        hasher.update(&input);
        hasher.finalize_xof().fill(&mut expected);
        assert_eq!(*Derived::new(&key(1), &[2; SALT_LEN]).0, expected);
    }

    #[test]
    fn wrong_key_damage_and_displacement_are_told_apart() {
        let sealed = seal(&key(1), b"aad", b"record", Padding::SMALL, 0).unwrap();
        assert_eq!(unseal(&key(1), b"aad", &sealed).unwrap().as_slice(), b"record");
        assert_eq!(unseal(&key(2), b"aad", &sealed), Err(RecordError::WrongKey));
        assert_eq!(unseal(&key(1), b"another", &sealed), Err(RecordError::Damaged));
        let cut = &sealed[..sealed.len() - 1];
        assert_eq!(unseal(&key(1), b"aad", cut), Err(RecordError::Damaged));
        assert_eq!(unseal(&key(1), b"aad", &sealed[..OVERHEAD_LEN - 1]), Err(RecordError::Malformed));
    }

    #[test]
    fn a_maker_who_breaks_the_format_inside_the_seal_is_refused() {
        assert_eq!(unseal(&key(1), b"aad", &sealed_plain(&[1, 0, 0, 0, 9, 0, 0])).unwrap().as_slice(), [9]);
        for plain in [&[1, 0, 0, 0, 9, 0, 1][..], &[2, 0, 0, 0, 9], &[255, 255, 255, 255, 9], &[0, 0, 0], &[]] {
            assert_eq!(unseal(&key(1), b"aad", &sealed_plain(plain)), Err(RecordError::Malformed), "{plain:?}");
        }
    }

    #[test]
    fn two_seals_of_one_record_share_nothing() {
        let first = seal(&key(1), b"", b"record", Padding::SMALL, 0).unwrap();
        let second = seal(&key(1), b"", b"record", Padding::SMALL, 0).unwrap();
        assert_ne!(first[..SALT_LEN], second[..SALT_LEN]);
        assert_ne!(first[SALT_LEN..SALT_LEN + COMMITMENT_LEN], second[SALT_LEN..SALT_LEN + COMMITMENT_LEN]);
        assert_ne!(first[SALT_LEN + COMMITMENT_LEN..], second[SALT_LEN + COMMITMENT_LEN..]);
    }

    #[test]
    fn lengths_that_overflow_and_a_multiple_of_nothing_are_refused() {
        let refused = |padding, surrounding| {
            matches!(seal(&key(1), b"", b"record", padding, surrounding), Err(SealRefused::TooLong(6)))
        };
        assert!(refused(Padding::Multiple(0), 0));
        assert!(refused(Padding::Multiple(u64::MAX), 0));
        assert!(refused(Padding::SMALL, usize::MAX));
        assert!(refused(Padding::SMALL, usize::MAX - OVERHEAD_LEN - 6));
    }

    #[test]
    fn padme_gives_the_lengths_of_the_paper() {
        let expected = [(0, 0), (1, 1), (2, 2), (3, 3), (7, 7), (8, 8), (9, 10), (15, 16), (17, 18), (100, 104)];
        for (len, padded) in expected {
            assert_eq!(padme(len), padded, "{len}");
        }
        assert_eq!(padme(1 << 20), 1 << 20);
        assert_eq!(padme((1 << 20) + 1), (1 << 20) + (1 << 15));
        assert_eq!(padme(u64::MAX), u64::MAX);
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn padme_grows_little_never_falls_and_is_reached_at_once(shift in 0_u32..64, low: u64, step in 0_u64..1 << 20) {
            let len = low >> shift;
            let padded = padme(len);
            prop_assert!(padded >= len);
            prop_assert!(u128::from(padded - len) * 100 <= u128::from(len) * 12);
            prop_assert_eq!(padme(padded), padded);
            prop_assert!(padme(len.saturating_add(step)) >= padded);
        }

        #[test]
        fn what_was_sealed_comes_back_at_the_length_asked_for(
            record: Vec<u8>, aad: Vec<u8>, surrounding in 0_usize..10_000, step in 1_u64..5000, by_padme: bool,
        ) {
            let padding = if by_padme { Padding::Padme } else { Padding::Multiple(step) };
            let sealed = seal(&key(1), &aad, &record, padding, surrounding).unwrap();
            let object_len = (sealed.len() + surrounding) as u64;
            match padding {
                Padding::Multiple(step) => prop_assert_eq!(object_len % step, 0),
                Padding::Padme => prop_assert_eq!(padme(object_len), object_len),
            }
            let unsealed = unseal(&key(1), &aad, &sealed).unwrap();
            prop_assert_eq!(unsealed.as_slice(), record.as_slice());
        }

        #[test]
        fn no_flipped_bit_passes(record: Vec<u8>, at: prop::sample::Index, bit in 0_u32..8) {
            let mut sealed = seal(&key(1), b"aad", &record, Padding::Multiple(256), 0).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            let expected = if at < SALT_LEN + COMMITMENT_LEN { RecordError::WrongKey } else { RecordError::Damaged };
            prop_assert_eq!(unseal(&key(1), b"aad", &sealed), Err(expected));
        }

        #[test]
        fn no_bytes_unseal_by_chance(sealed in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(unseal(&key(1), b"aad", &sealed).is_err());
        }

        #[test]
        fn any_plaintext_is_read_or_refused(plain in prop::collection::vec(0_u8..8, 0..40)) {
            let _ = unseal(&key(1), b"aad", &sealed_plain(&plain));
        }
    }
}
