//! Signatures: Ed25519 (RFC 8032), each over a context, the repository's id and a hash of the bytes as stored.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::id::{ID_LEN, PrincipalId, RepositoryId};

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// What a signature is for; a signature made for one purpose means nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An owner vouches for `config`, before there is a repository id.
    Config,
    /// An owner makes a statement.
    Statement,
    /// A maker vouches for an index segment.
    Segment,
    /// A writer vouches for a snapshot.
    Snapshot,
    /// Somebody declares snapshots void.
    Forgotten,
    /// A pruner announces or finishes.
    Gc,
}

impl Purpose {
    const fn context(self) -> &'static [u8] {
        match self {
            Self::Config => b"caddis v0 signature of config",
            Self::Statement => b"caddis v0 signature of statement",
            Self::Segment => b"caddis v0 signature of segment",
            Self::Snapshot => b"caddis v0 signature of snapshot",
            Self::Forgotten => b"caddis v0 signature of forgotten",
            Self::Gc => b"caddis v0 signature of gc",
        }
    }

    fn message(self, repository: &RepositoryId, signed: &[u8]) -> Vec<u8> {
        [self.context(), &[0], &repository.0, blake3::hash(signed).as_bytes()].concat()
    }
}

/// A private signing key, of an owner or of one user on one machine. Wiped when dropped.
pub struct Signatory(SigningKey);

impl Signatory {
    /// The key with this seed of 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, to be kept sealed.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicSigningKey {
        PublicSigningKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the bytes that an object has before its signature.
    pub fn sign(&self, purpose: Purpose, repository: &RepositoryId, signed: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(&purpose.message(repository, signed)).to_bytes()
    }
}

/// The public half of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicSigningKey(pub [u8; 32]);

impl PublicSigningKey {
    /// The id under which snapshots, segments and records name the holder of this key.
    pub fn principal(&self) -> PrincipalId {
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&blake3::derive_key("caddis v0 principal id", &self.0));
        PrincipalId(id)
    }

    /// Whether `signature` was made by the holder of this key for this purpose, repository and bytes.
    pub fn verifies(
        &self,
        purpose: Purpose,
        repository: &RepositoryId,
        signed: &[u8],
        signature: &[u8; SIGNATURE_LEN],
    ) -> bool {
        // The strict form also refuses keys of small order, under which one signature would fit many messages.
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            key.verify_strict(&purpose.message(repository, signed), &Signature::from_bytes(signature)).is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_purpose_repository_and_bytes_only() {
        let signatory = Signatory::from_seed(&[7; 32]);
        let (here, there) = (RepositoryId([1; 32]), RepositoryId([2; 32]));
        let signature = signatory.sign(Purpose::Gc, &here, b"bytes");
        let key = signatory.public();
        assert!(key.verifies(Purpose::Gc, &here, b"bytes", &signature));
        assert!(!key.verifies(Purpose::Forgotten, &here, b"bytes", &signature));
        assert!(!key.verifies(Purpose::Gc, &there, b"bytes", &signature));
        assert!(!key.verifies(Purpose::Gc, &here, b"byteS", &signature));
        assert!(!Signatory::from_seed(&[8; 32]).public().verifies(Purpose::Gc, &here, b"bytes", &signature));
    }

    #[test]
    fn a_public_key_of_small_order_verifies_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; SIGNATURE_LEN];
        signature[0] = 1;
        assert!(!PublicSigningKey(identity).verifies(Purpose::Gc, &RepositoryId([0; 32]), b"", &signature));
    }
}
