//! Names and ids: one newtype each, so that a pack can never be asked for by the id of a snapshot.
//!
//! An object's id is the BLAKE3 hash of its own bytes; a chunk's id is a keyed BLAKE3 of its plaintext (see
//! [`crate::keys::domain`]). Ids are written as 64 lower-case hexadecimal digits.

use std::fmt;

use data_encoding::HEXLOWER;

/// Bytes in every id.
pub const ID_LEN: usize = 32;

/// Hexadecimal digits shown where an id stands for a person to read.
pub const SHORT_ID_DIGITS: usize = 8;

macro_rules! id_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; ID_LEN]);

        impl $name {
            /// The id written in hexadecimal, or nothing if `text` is not exactly that.
            pub fn from_hex(text: &str) -> Option<Self> {
                decode_hex(text).map(Self)
            }

            /// The first digits, for people.
            pub fn short(&self) -> String {
                HEXLOWER.encode(&self.0[..SHORT_ID_DIGITS / 2])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }
    };
}

macro_rules! object_id_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        id_newtype! { $(#[$doc])* $name }

        impl From<ObjectId> for $name {
            fn from(id: ObjectId) -> Self {
                Self(id.0)
            }
        }

        impl From<$name> for ObjectId {
            fn from(id: $name) -> Self {
                Self(id.0)
            }
        }
    };
}

id_newtype! {
    /// BLAKE3 of the bytes of an object of any kind.
    ObjectId
}
id_newtype! {
    /// Names a repository: derived from the exact bytes of its `config`.
    RepositoryId
}
id_newtype! {
    /// Keyed hash of a chunk's plaintext.
    ChunkId
}
id_newtype! {
    /// Names somebody who signs: BLAKE3 of an Ed25519 public key under a context of its own.
    PrincipalId
}
object_id_newtype! {
    /// Names a pack of data or of trees.
    PackId
}
object_id_newtype! {
    /// Names an index segment.
    SegmentId
}
object_id_newtype! {
    /// Names a snapshot, pending or committed.
    SnapshotId
}
object_id_newtype! {
    /// Names a statement of the charter.
    StatementId
}
object_id_newtype! {
    /// Names a key slot.
    SlotId
}

impl ObjectId {
    /// The id that an object holding `bytes` has.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

fn decode_hex(text: &str) -> Option<[u8; ID_LEN]> {
    HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_hexadecimal_form() {
        let id = ObjectId::of(b"caddis");
        assert_eq!(ObjectId::from_hex(&id.to_string()), Some(id));
        assert_eq!(id.short(), id.to_string()[..SHORT_ID_DIGITS]);
    }

    #[test]
    fn only_lower_case_hexadecimal_of_the_right_length_is_an_id() {
        let id = ObjectId::of(b"caddis").to_string();
        assert_eq!(ObjectId::from_hex(&id.to_uppercase()), None);
        assert_eq!(ObjectId::from_hex(&id[1..]), None);
        assert_eq!(ObjectId::from_hex(&format!("{id}0")), None);
    }
}
