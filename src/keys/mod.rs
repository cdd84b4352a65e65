//! Secrets and who holds them: from a passphrase or key file to the keys that seal and sign.
//!
//! A slot's key-encryption key ([`kdf`]) wraps a random slot key; the bundle of a role is sealed under the slot key and
//! stands in the charter. The bundle holds the repository's secrets as far as the role may have them: the
//! [`domain`] of deduplication, the secrets of each [`generation`], the identity of the owner ([`signing`]). They are
//! independent random values, so that one can be given away or replaced without the others.
//!
//! Nothing here has `Debug`, everything wipes itself when dropped.

pub mod domain;
pub mod generation;
pub mod kdf;
pub mod keyring;
pub mod signing;
