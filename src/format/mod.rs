//! The bytes of every object: encode and decode, no I/O, no keys, no clock. caddis-format(5) is the normative description.
//!
//! Every object begins with [`MAGIC`], a [`Code`] and the format's [`VERSION`].

pub mod atime;
pub mod charter;
pub mod config;
pub mod index;
pub mod link;
pub mod log;
pub mod metadata;
pub mod name;
pub mod pack;
pub mod record;
pub mod segment;
pub mod slot;
pub mod snapshot;
pub mod tree;

/// The first bytes of every object.
pub const MAGIC: &[u8; 6] = b"CADDIS";

/// Version of the format that this program writes, and the newest that it reads.
pub const VERSION: u8 = 0;

/// Bytes before anything else in an object: magic, code, version.
pub const HEAD_LEN: usize = MAGIC.len() + 2;

/// What an object is, as its seventh byte says. A snapshot keeps its code when it moves from `pending/` to `snapshots/`,
/// since it keeps all its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// `config`
    Config = 1,
    /// `charter/`
    Statement = 2,
    /// `keys/`
    Slot = 3,
    /// `packs/`
    DataPack = 4,
    /// `trees/`
    TreePack = 5,
    /// `index/`
    Segment = 6,
    /// `pending/` and `snapshots/`
    Snapshot = 7,
    /// `forgotten/`
    Forgotten = 8,
    /// `gc/`
    Gc = 9,
}

/// Why the first bytes of an object are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Shorter than any object, or other magic, or another kind of object.
    #[error("not the kind of object that its place says")]
    NotThis,
    /// A later version of the format.
    #[error("format version {0} is newer than this version of caddis can read")]
    Newer(u8),
}

/// Why an object was not made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] crate::seal::record::SealRefused),
    /// No key could be agreed on.
    #[error(transparent)]
    Hpke(#[from] crate::seal::hpke::HpkeRefused),
    /// No reader would accept it.
    #[error(transparent)]
    Record(#[from] record::RecordError),
}

/// Why some bytes are not the object that they should be.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The first bytes are wrong.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A record in it is wrong.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// The tables of an index segment are wrong.
    #[error(transparent)]
    Segment(#[from] segment::SegmentError),
    /// Its seal does not open.
    #[error("seal does not open: {0}")]
    Seal(#[from] crate::seal::record::RecordError),
    /// A key cannot be agreed on.
    #[error("sealed to an invalid key")]
    Hpke(#[from] crate::seal::hpke::HpkeRefused),
    /// It is not signed by whom it should be.
    #[error("signature does not verify")]
    BadSignature,
    /// It was sealed under a generation whose keys are not at hand.
    #[error("sealed under generation {0}, whose keys are not in this key's bundle")]
    UnknownGeneration(u32),
    /// Signed by a principal whose rights do not reach so far.
    #[error("made by somebody who may not {0}")]
    NotPermitted(crate::keys::keyring::Rights),
    /// Signed by a principal that no statement of the charter names.
    #[error("made by {0:?}, whom no statement of the charter names")]
    UnknownPrincipal(crate::id::PrincipalId),
}

impl ObjectError {
    /// Whether a newer version of the program could read the object.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Head(HeadError::Newer(_)) | Self::Record(record::RecordError::Newer { .. }))
    }
}

/// The first bytes of an object of this kind.
pub fn head(code: Code) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..MAGIC.len()].copy_from_slice(MAGIC);
    head[MAGIC.len()] = code as u8;
    head[MAGIC.len() + 1] = VERSION;
    head
}

/// Checks the first bytes of an object and gives what follows them.
///
/// # Errors
/// Other magic or code; a newer version.
pub fn strip_head(code: Code, object: &[u8]) -> Result<&[u8], HeadError> {
    let (found, rest) = object.split_at_checked(HEAD_LEN).ok_or(HeadError::NotThis)?;
    if found[..MAGIC.len()] != *MAGIC || found[MAGIC.len()] != code as u8 {
        return Err(HeadError::NotThis);
    }
    match found[MAGIC.len() + 1] {
        VERSION => Ok(rest),
        version => Err(HeadError::Newer(version)),
    }
}

/// Splits a fixed-width little-endian integer off the front.
pub(crate) fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (field, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*field), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_another_kind_or_a_newer_version_is_refused() {
        let object = head(Code::Gc);
        assert_eq!(strip_head(Code::Gc, &object), Ok(&[][..]));
        assert_eq!(strip_head(Code::Slot, &object), Err(HeadError::NotThis));
        let mut newer = object;
        newer[HEAD_LEN - 1] = VERSION + 1;
        assert_eq!(strip_head(Code::Gc, &newer), Err(HeadError::Newer(VERSION + 1)));
        assert_eq!(strip_head(Code::Gc, b"CADDI"), Err(HeadError::NotThis));
    }
}
