//! Makes the secrets of a pack: HPKE (RFC 9180) in mode PSK.
//!
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and the export-only AEAD: a pack's keys are exported from the context, and its
//! records are sealed by [`super::aead`]. Whoever holds the data public key and the PSK can make packs; only the private
//! key together with the PSK opens them, so the secret stays safe if either X25519 or the holders of the PSK fail.
//!
//! Private keys, the shared secret and the exporter secret are wiped when dropped, by the `hpke` and `x25519-dalek` crates;
//! intermediate values of HKDF on the stack are not.

use std::convert::Infallible;

use ::hpke::aead::{AeadCtxR, AeadCtxS, ExportOnlyAead};
use ::hpke::kdf::HkdfSha256;
use ::hpke::kem::X25519HkdfSha256;
use ::hpke::rand_core::{TryCryptoRng, TryRng};
use ::hpke::{Deserializable, HpkeError, Kem, OpModeR, OpModeS, PskBundle, Serializable};
use zeroize::Zeroizing;

use crate::env::{self, NoRandomness};

/// Bytes in public keys, private keys, encapsulations, pre-shared keys and exported secrets alike.
pub const SECRET_LEN: usize = 32;

/// The longest `info` and `psk_id` together. A constant of ours, far above what is bound into a pack and far below the
/// 64 KiB at which the `hpke` crate panics for some suites.
const INPUTS_LEN_MAX: usize = 4096;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// The key that packs are made for. Not secret, but nobody outside the repository needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPublicKey(pub [u8; SECRET_LEN]);

/// The key that opens packs, together with the [`Psk`].
pub struct DataPrivateKey(PrivateKey);

/// 2^255 - 19, the prime of Curve25519, in little-endian order.
const PRIME: [u8; SECRET_LEN] = {
    let mut prime = [0xff; SECRET_LEN];
    prime[0] = 0xed;
    prime[SECRET_LEN - 1] = 0x7f;
    prime
};

/// The two points of order eight on Curve25519, which has their like at 0, 1 and the prime less one.
const ORDER_EIGHT: [[u8; SECRET_LEN]; 2] = [
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];

impl DataPublicKey {
    /// A key that a repository names.
    ///
    /// Nothing for a point of low order, with which every private key agrees on zero (RFC 7748, section 6.1), and for a
    /// number that is not in its one form: no private key belongs to either.
    pub fn from_bytes(bytes: [u8; SECRET_LEN]) -> Option<Self> {
        let is_reduced = bytes.iter().rev().lt(PRIME.iter().rev());
        let is_zero_or_one = bytes[0] <= 1 && bytes[1..].iter().all(|&byte| byte == 0);
        let is_minus_one = bytes[0] == PRIME[0] - 1 && bytes[1..] == PRIME[1..];
        let is_low = is_zero_or_one || is_minus_one || ORDER_EIGHT.contains(&bytes);
        (is_reduced && !is_low).then_some(Self(bytes))
    }
}

impl DataPrivateKey {
    /// The key that DeriveKeyPair makes of `seed` (RFC 9180, section 7.1.3), which must be secret and uniform.
    pub fn from_seed(seed: &[u8; SECRET_LEN]) -> Self {
        Self(X25519HkdfSha256::derive_keypair(seed).0)
    }

    /// The public half.
    pub fn public(&self) -> DataPublicKey {
        DataPublicKey(X25519HkdfSha256::sk_to_pk(&self.0).to_bytes().into())
    }
}

/// The pre-shared key, which every member of the repository has.
pub struct Psk(Zeroizing<[u8; SECRET_LEN]>);

impl Psk {
    /// The pre-shared key made of these bytes, which must be secret and uniform.
    pub fn new(bytes: impl Into<Zeroizing<[u8; SECRET_LEN]>>) -> Self {
        Self(bytes.into())
    }
}

/// What stands in the clear in a pack and lets the holder of the private key find its secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encapsulation(pub [u8; SECRET_LEN]);

/// Why HPKE did not come to a secret.
#[derive(Debug, thiserror::Error)]
pub enum HpkeRefused {
    /// The public key or encapsulation is a point of low order; nobody makes one by accident.
    #[error("the public key or encapsulation is a point of low order")]
    Point,
    /// Whoever asks has not got the private key. Not raised here; the holder of the keys does.
    #[error("this key cannot open what is sealed for readers")]
    NotForUs,
    /// The PSK id is empty, or it and the info are too long.
    #[error("the PSK id is empty, or it and the info are longer than {INPUTS_LEN_MAX} bytes")]
    Inputs,
    /// The system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Gives out the secrets of one pack.
pub struct Exporter(Context);

enum Context {
    Sender(AeadCtxS<ExportOnlyAead, HkdfSha256, X25519HkdfSha256>),
    Receiver(AeadCtxR<ExportOnlyAead, HkdfSha256, X25519HkdfSha256>),
}

impl Exporter {
    /// The secret for `label` (RFC 9180, section 5.3). Each use has a label of its own.
    pub fn export(&self, label: &'static str) -> Zeroizing<[u8; SECRET_LEN]> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        match &self.0 {
            Context::Sender(context) => context.export(label.as_bytes(), secret.as_mut_slice()),
            Context::Receiver(context) => context.export(label.as_bytes(), secret.as_mut_slice()),
        }
        .expect("HKDF-SHA256 gives up to 255 * 32 bytes");
        secret
    }
}

/// Makes a fresh secret for the holder of the private key: SetupPSKS.
///
/// `psk_id` names the PSK and must not be empty; `info` binds the secret to its place.
///
/// # Errors
/// [`HpkeRefused`]; `Point` means that `public` was never a public key.
///
/// Source: RFC 9180, section 5.1.2.
pub fn encapsulate(
    public: &DataPublicKey,
    psk: &Psk,
    psk_id: &[u8],
    info: &[u8],
) -> Result<(Encapsulation, Exporter), HpkeRefused> {
    let ephemeral_seed = Zeroizing::new(env::random_bytes()?);
    encapsulate_with_seed(public, psk, psk_id, info, ephemeral_seed)
}

/// Finds the secret that [`encapsulate`] made: SetupPSKR.
///
/// Another key, PSK, PSK id or info gives another secret and no error; the pack's commitment tells.
///
/// # Errors
/// [`HpkeRefused`]; `Point` means that `encapsulation` was made to be refused, or is damaged beyond chance.
///
/// Source: RFC 9180, section 5.1.2.
pub fn decapsulate(
    private: &DataPrivateKey,
    psk: &Psk,
    psk_id: &[u8],
    encapsulation: &Encapsulation,
    info: &[u8],
) -> Result<Exporter, HpkeRefused> {
    let mode = OpModeR::<X25519HkdfSha256>::Psk(psk_bundle(psk, psk_id, info)?);
    let encapped = EncappedKey::from_bytes(&encapsulation.0).map_err(refused)?;
    ::hpke::setup_receiver(&mode, &private.0, &encapped, info)
        .map(|context| Exporter(Context::Receiver(context)))
        .map_err(refused)
}

/// [`encapsulate`] with the seed of the ephemeral key given, which must **never** be used twice.
pub(crate) fn encapsulate_with_seed(
    public: &DataPublicKey,
    psk: &Psk,
    psk_id: &[u8],
    info: &[u8],
    ephemeral_seed: Zeroizing<[u8; SECRET_LEN]>,
) -> Result<(Encapsulation, Exporter), HpkeRefused> {
    let mode = OpModeS::<X25519HkdfSha256>::Psk(psk_bundle(psk, psk_id, info)?);
    let public = PublicKey::from_bytes(&public.0).map_err(refused)?;
    let mut source = OneDraw(Some(ephemeral_seed));
    let (encapped, context) = ::hpke::setup_sender_with_rng(&mode, &public, info, &mut source).map_err(refused)?;
    Ok((Encapsulation(encapped.to_bytes().into()), Exporter(Context::Sender(context))))
}

fn psk_bundle<'a>(psk: &'a Psk, psk_id: &'a [u8], info: &[u8]) -> Result<PskBundle<'a>, HpkeRefused> {
    if psk_id.len().saturating_add(info.len()) > INPUTS_LEN_MAX {
        return Err(HpkeRefused::Inputs);
    }
    PskBundle::new(psk.0.as_slice(), psk_id).map_err(refused)
}

fn refused(error: HpkeError) -> HpkeRefused {
    match error {
        HpkeError::InvalidPskBundle => HpkeRefused::Inputs,
        // Keys have their length by type, so what is left is an all-zero Diffie-Hellman result (RFC 9180, section 7.1.4).
        _ => HpkeRefused::Point,
    }
}

/// Hands the `hpke` crate bytes drawn beforehand: its own call to the system would panic where ours returns an error, and
/// only [`crate::env`] draws randomness.
struct OneDraw(Option<Zeroizing<[u8; SECRET_LEN]>>);

impl TryRng for OneDraw {
    type Error = Infallible;

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let seed = self.0.take().expect("GenerateKeyPair draws once; a second draw would repeat the first");
        bytes.copy_from_slice(seed.as_slice());
        Ok(())
    }

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl TryCryptoRng for OneDraw {}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;

    /// RFC 9180, appendix A.7.2: mode 1, KEM 32, KDF 1, AEAD 0xFFFF.
    mod vector {
        pub(super) const INFO: &[u8] = b"Ode on a Grecian Urn";
        pub(super) const PSK_ID: &[u8] = b"Ennyn Durin aran Moria";
        pub(super) const PSK: &str = "0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82";
        pub(super) const IKM_E: &str = "c51211a8799f6b8a0021fcba673d9c4067a98ebc6794232e5b06cb9febcbbdf5";
        pub(super) const IKM_R: &str = "5e0516b1b29c0e13386529da16525210c796f7d647c37eac118023a6aa9eb89a";
        pub(super) const SK_R: &str = "98f304d4ecb312689690b113973c61ffe0aa7c13f2fbe365e48f3ed09e5a6a0c";
        pub(super) const PK_R: &str = "d53af36ea5f58f8868bb4a1333ed4cc47e7a63b0040eb54c77b9c8ec456da824";
        pub(super) const ENC: &str = "d3805a97cbcd5f08babd21221d3e6b362a700572d14f9bbeb94ec078d051ae3d";
        pub(super) const EXPORTS: [(&str, &str); 3] = [
            ("", "be6c76955334376aa23e936be013ba8bbae90ae74ed995c1c6157e6f08dd5316"),
            ("\0", "1721ed2aa852f84d44ad020c2e2be4e2e6375098bf48775a533505fd56a3f416"),
            ("TestContext", "7c9d79876a288507b81a5a52365a7d39cc0fa3f07e34172984f96fec07c44cba"),
        ];
    }

    /// Encodings of the points of order 1, 2, 4 and 8, reduced and not (RFC 7748, section 7; cr.yp.to/ecdh.html).
    const LOW_ORDER: [&str; 7] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    fn hex(digits: &str) -> [u8; SECRET_LEN] {
        HEXLOWER.decode(digits.as_bytes()).unwrap().try_into().unwrap()
    }

    fn psk(bytes: [u8; SECRET_LEN]) -> Psk {
        Psk::new(bytes)
    }

    fn exported(exporter: &Exporter) -> [u8; SECRET_LEN] {
        *exporter.export("key")
    }

    #[test]
    fn a_public_key_is_a_point_of_full_order_in_its_one_form() {
        let honest = DataPrivateKey::from_seed(&[3; SECRET_LEN]).public();
        assert_eq!(DataPublicKey::from_bytes(honest.0), Some(honest.clone()));
        let with_top_bit = |mut point: [u8; SECRET_LEN]| {
            point[SECRET_LEN - 1] |= 0x80;
            point
        };
        assert_eq!(DataPublicKey::from_bytes(with_top_bit(honest.0)), None);
        for point in LOW_ORDER.map(hex) {
            assert_eq!(DataPublicKey::from_bytes(point), None);
            assert_eq!(DataPublicKey::from_bytes(with_top_bit(point)), None);
        }
        // 9, the base point, and its other form.
        let mut nine = [0; SECRET_LEN];
        nine[0] = 9;
        assert_eq!(DataPublicKey::from_bytes(nine), Some(DataPublicKey(nine)));
        let mut unreduced = PRIME;
        unreduced[0] += 9;
        assert_eq!(DataPublicKey::from_bytes(unreduced), None);
    }

    #[test]
    fn the_key_pair_of_rfc_9180_a_7_2_comes_out() {
        let private = DataPrivateKey::from_seed(&hex(vector::IKM_R));
        assert!(private.0 == PrivateKey::from_bytes(&hex(vector::SK_R)).unwrap());
        assert_eq!(private.public(), DataPublicKey(hex(vector::PK_R)));
    }

    #[test]
    fn the_exports_of_rfc_9180_a_7_2_come_out_on_both_sides() {
        let psk = psk(hex(vector::PSK));
        let (encapsulation, sender) = encapsulate_with_seed(
            &DataPublicKey(hex(vector::PK_R)),
            &psk,
            vector::PSK_ID,
            vector::INFO,
            Zeroizing::new(hex(vector::IKM_E)),
        )
        .unwrap();
        assert_eq!(encapsulation, Encapsulation(hex(vector::ENC)));
        let private = DataPrivateKey::from_seed(&hex(vector::IKM_R));
        let receiver = decapsulate(&private, &psk, vector::PSK_ID, &encapsulation, vector::INFO).unwrap();
        for (label, value) in vector::EXPORTS {
            assert_eq!(*sender.export(label), hex(value));
            assert_eq!(*receiver.export(label), hex(value));
        }
    }

    #[test]
    fn points_of_low_order_are_refused() {
        let private = DataPrivateKey::from_seed(&[1; SECRET_LEN]);
        for point in LOW_ORDER {
            let to = encapsulate(&DataPublicKey(hex(point)), &psk([2; SECRET_LEN]), b"id", b"");
            assert!(matches!(to, Err(HpkeRefused::Point)), "{point}");
            let from = decapsulate(&private, &psk([2; SECRET_LEN]), b"id", &Encapsulation(hex(point)), b"");
            assert!(matches!(from, Err(HpkeRefused::Point)), "{point}");
        }
    }

    #[test]
    fn an_empty_psk_id_and_long_inputs_are_refused() {
        let private = DataPrivateKey::from_seed(&[1; SECRET_LEN]);
        let long = vec![0; 1 << 17];
        for (psk_id, info) in [(&b""[..], &b""[..]), (b"id", &long), (&long, b"")] {
            let to = encapsulate(&private.public(), &psk([2; SECRET_LEN]), psk_id, info);
            assert!(matches!(to, Err(HpkeRefused::Inputs)));
            let from = decapsulate(&private, &psk([2; SECRET_LEN]), psk_id, &Encapsulation([9; SECRET_LEN]), info);
            assert!(matches!(from, Err(HpkeRefused::Inputs)));
        }
    }

    #[test]
    fn two_encapsulations_share_nothing() {
        let public = DataPrivateKey::from_seed(&[1; SECRET_LEN]).public();
        let (first, first_exporter) = encapsulate(&public, &psk([2; SECRET_LEN]), b"id", b"info").unwrap();
        let (second, second_exporter) = encapsulate(&public, &psk([2; SECRET_LEN]), b"id", b"info").unwrap();
        assert_ne!(first, second);
        assert_ne!(exported(&first_exporter), exported(&second_exporter));
    }

    proptest! {
        #![proptest_config(crate::rounds::cases(32))]

        #[test]
        fn both_sides_export_the_same_and_every_input_counts(
            seed: [u8; 32], secret: [u8; 32],
            psk_id in prop::collection::vec(any::<u8>(), 1..40), info: Vec<u8>, at in 0_usize..32, bit in 0_u32..8,
        ) {
            let private = DataPrivateKey::from_seed(&seed);
            let (encapsulation, sender) = encapsulate(&private.public(), &psk(secret), &psk_id, &info).unwrap();
            let open = |private: &DataPrivateKey, secret, psk_id: &[u8], encapsulation: &Encapsulation, info: &[u8]| {
                decapsulate(private, &psk(secret), psk_id, encapsulation, info).ok().map(|exporter| exported(&exporter))
            };
            let flipped = |mut bytes: [u8; 32]| { bytes[at] ^= 1 << bit; bytes };
            let right = Some(exported(&sender));
            prop_assert_eq!(open(&private, secret, &psk_id, &encapsulation, &info), right);
            let other = DataPrivateKey::from_seed(&flipped(seed));
            prop_assert_ne!(open(&other, secret, &psk_id, &encapsulation, &info), right);
            prop_assert_ne!(open(&private, flipped(secret), &psk_id, &encapsulation, &info), right);
            prop_assert_ne!(open(&private, secret, &[&psk_id[..], b"x"].concat(), &encapsulation, &info), right);
            prop_assert_ne!(open(&private, secret, &psk_id, &Encapsulation(flipped(encapsulation.0)), &info), right);
            prop_assert_ne!(open(&private, secret, &psk_id, &encapsulation, &[&info[..], b"x"].concat()), right);
        }

        #[test]
        fn any_bytes_are_a_key_or_refused(point: [u8; 32]) {
            let private = DataPrivateKey::from_seed(&[1; SECRET_LEN]);
            let _ = decapsulate(&private, &psk([2; SECRET_LEN]), b"id", &Encapsulation(point), b"");
            let _ = encapsulate(&DataPublicKey(point), &psk([2; SECRET_LEN]), b"id", b"");
        }
    }
}
