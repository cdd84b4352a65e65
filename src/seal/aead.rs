//! Seals the records of a pack: ChaCha20-Poly1305 (RFC 8439) under a key that one pack alone has.
//!
//! The nonce is the record's ordinal, so a record cannot be moved within its pack; the associated data binds it to the
//! pack's header and repository, its type, and whether it is the last. Layout: caddis-format(5), "Packs".
//!
//! What this leaves to others: one counter per pack that hands out ordinals, and the binding.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use zeroize::Zeroizing;

/// Bytes that sealing adds to a record.
pub const TAG_LEN: usize = 16;

/// Bytes in a key of this cipher.
pub const KEY_LEN: usize = 32;

/// Bytes in a binding: a hash of the pack's header and the repository id.
pub const BINDING_LEN: usize = 32;

const NONCE_LEN: usize = 12;
const TYPE_LEN: usize = size_of::<u8>();
const ORDINAL_LEN: usize = size_of::<u32>();
const LAST_LEN: usize = size_of::<u8>();
/// Zeros after what is said: with a whole number of 64 bytes in front of them, records are authenticated four blocks of
/// Poly1305 at a time, in a third less time.
const PADDING_LEN: usize = 64 - (BINDING_LEN + TYPE_LEN + ORDINAL_LEN + LAST_LEN);
const AAD_LEN: usize = BINDING_LEN + TYPE_LEN + ORDINAL_LEN + LAST_LEN + PADDING_LEN;

/// The key that seals one kind of record of one pack.
pub struct PackSealKey(Zeroizing<[u8; KEY_LEN]>);

impl PackSealKey {
    /// The key made of these bytes, as [`crate::seal::hpke::Exporter::export`] gives them.
    pub fn new(bytes: impl Into<Zeroizing<[u8; KEY_LEN]>>) -> Self {
        Self(bytes.into())
    }
}

/// What a record of a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// Consecutive chunks, compressed together.
    Block,
    /// The table of contents.
    Directory,
    /// Where the directory is.
    Footer,
}

impl RecordType {
    /// The byte that stands for the type in the associated data.
    pub const fn code(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Directory => 2,
            Self::Footer => 3,
        }
    }
}

/// The tag does not fit: damage, tampering, or a record that belongs elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal is broken")]
pub struct SealBroken;

/// Seals one record of a pack in place: `ciphertext || tag [TAG_LEN]`.
///
/// An `ordinal` must **never** repeat under one key, whatever the record type: two records under one nonce give away the
/// difference of their plaintexts and let anybody forge tags. The pack writer takes it from one counter that cannot be
/// cloned. A `plain` with [`TAG_LEN`] bytes to spare is sealed without being moved.
pub fn seal_record(
    key: &PackSealKey,
    binding: &[u8; BINDING_LEN],
    record: RecordType,
    ordinal: u32,
    last: bool,
    plain: Vec<u8>,
) -> Vec<u8> {
    seal_with_nonce(&key.0, nonce(ordinal), &associated_data(binding, record, ordinal, last), plain)
}

/// Unseals one record of a pack in place and checks its tag; gives back the plaintext.
///
/// `sealed` is `ciphertext || tag`, exactly as it lies in the pack.
///
/// # Errors
/// [`SealBroken`] if the tag does not fit or is not there. The pack's commitment has shown by then that the key is right, so
/// this is damage or tampering and never a wrong passphrase.
pub fn unseal_record(
    key: &PackSealKey,
    binding: &[u8; BINDING_LEN],
    record: RecordType,
    ordinal: u32,
    last: bool,
    sealed: Vec<u8>,
) -> Result<Vec<u8>, SealBroken> {
    unseal_with_nonce(&key.0, nonce(ordinal), &associated_data(binding, record, ordinal, last), sealed)
}

/// [`seal_record`] from one place to another: `sealed` has exactly the length of `plain` and [`TAG_LEN`] more.
///
/// The same duty: an `ordinal` must **never** repeat under one key.
///
/// # Panics
/// When the lengths do not fit.
pub fn seal_record_to(
    key: &PackSealKey,
    binding: &[u8; BINDING_LEN],
    record: RecordType,
    ordinal: u32,
    last: bool,
    plain: &[u8],
    sealed: &mut [u8],
) {
    let (ciphertext, tag) = sealed.split_at_mut(plain.len());
    let buffer = InOutBuf::new(plain, ciphertext).expect("the ciphertext was split off at the length of the plaintext");
    let made = ChaCha20Poly1305::new((&*key.0).into())
        .encrypt_inout_detached(&nonce(ordinal).into(), &associated_data(binding, record, ordinal, last), buffer)
        .expect("only a message over 256 GiB is refused, and blocks end at 16 MiB");
    tag.copy_from_slice(&made);
}

/// [`unseal_record`] from one place to another: `plain` is [`TAG_LEN`] bytes shorter than `sealed`.
///
/// # Errors
/// [`SealBroken`] as there; `plain` holds nothing of use then.
pub fn unseal_record_to(
    key: &PackSealKey,
    binding: &[u8; BINDING_LEN],
    record: RecordType,
    ordinal: u32,
    last: bool,
    sealed: &[u8],
    plain: &mut [u8],
) -> Result<(), SealBroken> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(SealBroken)?;
    let buffer = InOutBuf::new(ciphertext, plain).map_err(|_| SealBroken)?;
    let aad = associated_data(binding, record, ordinal, last);
    ChaCha20Poly1305::new((&*key.0).into())
        .decrypt_inout_detached(&nonce(ordinal).into(), &aad, buffer, tag.into())
        .map_err(|_| SealBroken)
}

/// RFC 8439, section 2.8, with the output as in RFC 5116: ciphertext, then tag.
///
/// `nonce` must **never** repeat under one key; [`seal_record`] makes it of the ordinal.
pub(crate) fn seal_with_nonce(key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], aad: &[u8], mut plain: Vec<u8>) -> Vec<u8> {
    plain.reserve_exact(TAG_LEN);
    let tag = ChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&nonce.into(), aad, plain.as_mut_slice().into())
        .expect("only a message over 256 GiB is refused, and blocks end at 16 MiB");
    plain.extend_from_slice(&tag);
    plain
}

fn unseal_with_nonce(
    key: &[u8; KEY_LEN],
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    mut sealed: Vec<u8>,
) -> Result<Vec<u8>, SealBroken> {
    ChaCha20Poly1305::new(key.into()).decrypt_in_place(&nonce.into(), aad, &mut sealed).map_err(|_| SealBroken)?;
    Ok(sealed)
}

/// RFC 8439, section 2.8: a fixed part of 32 bits (there is one sender, so it is zero), then a counter of 64 bits.
fn nonce(ordinal: u32) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&u64::from(ordinal).to_le_bytes());
    nonce
}

fn associated_data(binding: &[u8; BINDING_LEN], record: RecordType, ordinal: u32, last: bool) -> [u8; AAD_LEN] {
    let mut aad = [0; AAD_LEN];
    let (head, tail) = aad.split_at_mut(BINDING_LEN);
    head.copy_from_slice(binding);
    tail[0] = record.code();
    tail[TYPE_LEN..TYPE_LEN + ORDINAL_LEN].copy_from_slice(&ordinal.to_le_bytes());
    tail[TYPE_LEN + ORDINAL_LEN] = u8::from(last);
    aad
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    const BINDING: [u8; BINDING_LEN] = [7; BINDING_LEN];

    fn key() -> PackSealKey {
        PackSealKey::new([9; KEY_LEN])
    }

    fn hex(digits: &str) -> Vec<u8> {
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }

    #[test]
    fn the_example_of_rfc_8439_section_2_8_2_comes_out() {
        let key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
        let nonce = hex("070000004041424344454647");
        let aad = hex("50515253c0c1c2c3c4c5c6c7");
        let plain = b"Ladies and Gentlemen of the class of '99: \
            If I could offer you only one tip for the future, sunscreen would be it.";
        let sealed = seal_with_nonce(
            key.as_slice().try_into().unwrap(),
            nonce.as_slice().try_into().unwrap(),
            &aad,
            plain.to_vec(),
        );
        let expected = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6\
            3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36\
            92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
            3ff4def08e4b7a9de576d26586cec64b6116\
            1ae10b594f09e26a7e902ecbd0600691";
        assert_eq!(sealed, hex(expected));
    }

    #[test]
    fn nonce_and_associated_data_lie_as_the_format_says() {
        assert_eq!(nonce(0x0403_0201), [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
        let aad = associated_data(&BINDING, RecordType::Directory, 0x0403_0201, true);
        assert_eq!(aad[..BINDING_LEN], BINDING);
        assert_eq!(aad[BINDING_LEN..][..6], [2, 1, 2, 3, 4, 1]);
        assert_eq!(aad[BINDING_LEN + 6..], [0; 26]);
    }

    #[test]
    fn a_record_opens_only_where_it_belongs() {
        let sealed = seal_record(&key(), &BINDING, RecordType::Block, 5, false, b"block".to_vec());
        let open = |key: &PackSealKey, binding, record, ordinal, last| {
            unseal_record(key, binding, record, ordinal, last, sealed.clone())
        };
        let (right, other) = (key(), PackSealKey::new([8; KEY_LEN]));
        assert_eq!(open(&right, &BINDING, RecordType::Block, 5, false).as_deref(), Ok(&b"block"[..]));
        assert_eq!(open(&other, &BINDING, RecordType::Block, 5, false), Err(SealBroken));
        assert_eq!(open(&right, &[6; BINDING_LEN], RecordType::Block, 5, false), Err(SealBroken));
        assert_eq!(open(&right, &BINDING, RecordType::Directory, 5, false), Err(SealBroken));
        assert_eq!(open(&right, &BINDING, RecordType::Block, 6, false), Err(SealBroken));
        assert_eq!(open(&right, &BINDING, RecordType::Block, 5, true), Err(SealBroken));
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn what_was_sealed_comes_back(plain: Vec<u8>, ordinal: u32, last: bool) {
            let sealed = seal_record(&key(), &BINDING, RecordType::Footer, ordinal, last, plain.clone());
            prop_assert_eq!(sealed.len(), plain.len() + TAG_LEN);
            prop_assert_eq!(unseal_record(&key(), &BINDING, RecordType::Footer, ordinal, last, sealed), Ok(plain));
        }

        #[test]
        fn sealing_to_another_place_gives_the_same_bytes(plain: Vec<u8>, ordinal: u32) {
            let (key, record) = (key(), RecordType::Block);
            let mut sealed = vec![1; plain.len() + TAG_LEN];
            seal_record_to(&key, &BINDING, record, ordinal, false, &plain, &mut sealed);
            prop_assert_eq!(&sealed, &seal_record(&key, &BINDING, record, ordinal, false, plain.clone()));
            let mut opened = vec![1; plain.len()];
            prop_assert_eq!(unseal_record_to(&key, &BINDING, record, ordinal, false, &sealed, &mut opened), Ok(()));
            prop_assert_eq!(opened, &plain[..]);
            let mut longer = vec![1; plain.len() + 1];
            let refused = unseal_record_to(&key, &BINDING, record, ordinal, false, &sealed, &mut longer);
            prop_assert_eq!(refused, Err(SealBroken));
            sealed[plain.len()] ^= 1;
            let refused = unseal_record_to(&key, &BINDING, record, ordinal, false, &sealed, &mut longer[1..]);
            prop_assert_eq!(refused, Err(SealBroken));
        }

        #[test]
        fn no_flipped_bit_passes(plain: Vec<u8>, at: prop::sample::Index, bit in 0_u32..8) {
            let mut sealed = seal_record(&key(), &BINDING, RecordType::Block, 0, false, plain);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(unseal_record(&key(), &BINDING, RecordType::Block, 0, false, sealed), Err(SealBroken));
        }

        #[test]
        fn no_bytes_unseal_by_chance(sealed: Vec<u8>) {
            prop_assert_eq!(unseal_record(&key(), &BINDING, RecordType::Block, 0, false, sealed), Err(SealBroken));
        }
    }
}
