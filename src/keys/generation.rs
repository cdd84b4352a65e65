//! Generations: the secrets that sealing hangs on, replaced as a whole when keys are rotated.

use zeroize::Zeroizing;

use crate::seal::hpke::{self, DataPrivateKey, DataPublicKey, Encapsulation, Exporter, HpkeRefused, Psk};
use crate::seal::record::PurposeKey;

/// The 32 random bytes from which all keys of one generation are made. A reader's or owner's bundle holds these.
pub struct GenerationSecret {
    /// Generations count from 1.
    pub number: u32,
    /// The secret. Wiped when dropped.
    pub secret: Zeroizing<[u8; 32]>,
}

/// The keys of one generation, as far as a principal has them.
pub struct GenerationKeys {
    /// Its number.
    pub number: u32,
    /// Seals the charter's contents, snapshot headers, forgotten and gc records.
    pub log: PurposeKey,
    /// Seals index segments.
    pub index: PurposeKey,
    /// Proves to a reader that a pack was made by some member, and keeps out who can break X25519.
    pub psk: Psk,
    /// Packs and snapshot bodies are sealed to it.
    pub public: DataPublicKey,
    /// Opens packs and snapshot bodies; a backup-only principal has none.
    pub private: Option<DataPrivateKey>,
    /// What they were all made from, for bundles of further readers; a backup-only principal has none.
    pub secret: Option<Zeroizing<[u8; 32]>>,
}

impl GenerationSecret {
    /// All keys of the generation: BLAKE3 derive_key with one context for each purpose.
    pub fn keys(&self) -> GenerationKeys {
        let derive = |context: &str| Zeroizing::new(blake3::derive_key(context, &*self.secret));
        let seed = derive("caddis v0 data key pair");
        let private = DataPrivateKey::from_seed(&seed);
        GenerationKeys {
            number: self.number,
            log: PurposeKey::new(derive("caddis v0 log key")),
            index: PurposeKey::new(derive("caddis v0 index key")),
            psk: Psk::new(derive("caddis v0 psk")),
            public: private.public(),
            private: Some(private),
            secret: Some(self.secret.clone()),
        }
    }
}

impl GenerationKeys {
    /// A fresh secret for readers of this generation.
    ///
    /// # Errors
    /// A public key that is none; no randomness.
    pub fn encapsulate(&self, info: &[u8]) -> Result<(Encapsulation, Exporter), HpkeRefused> {
        self.encapsulate_to(&self.public, info)
    }

    /// A fresh secret for the holder of `public` who also belongs to this generation.
    ///
    /// # Errors
    /// A public key that is none; no randomness.
    pub fn encapsulate_to(
        &self,
        public: &DataPublicKey,
        info: &[u8],
    ) -> Result<(Encapsulation, Exporter), HpkeRefused> {
        hpke::encapsulate(public, &self.psk, &self.psk_id(), info)
    }

    /// [`Self::encapsulate`] with the ephemeral seed given, which must **never** be used twice.
    #[cfg(test)]
    pub(crate) fn encapsulate_with_seed(
        &self,
        info: &[u8],
        seed: [u8; 32],
    ) -> Result<(Encapsulation, Exporter), HpkeRefused> {
        hpke::encapsulate_with_seed(&self.public, &self.psk, &self.psk_id(), info, Zeroizing::new(seed))
    }

    /// The secret that [`Self::encapsulate`] made.
    ///
    /// # Errors
    /// [`HpkeRefused::NotForUs`] without the private key; an encapsulation of low order.
    pub fn decapsulate(&self, encapsulation: &Encapsulation, info: &[u8]) -> Result<Exporter, HpkeRefused> {
        let private = self.private.as_ref().ok_or(HpkeRefused::NotForUs)?;
        hpke::decapsulate(private, &self.psk, &self.psk_id(), encapsulation, info)
    }

    fn psk_id(&self) -> Vec<u8> {
        [&b"caddis v0 psk"[..], &self.number.to_le_bytes()].concat()
    }
}
