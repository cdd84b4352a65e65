//! Key slots: a passphrase or a key file opens a random slot key, under which the charter holds a bundle.

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::log::bind;
use super::record::{self, Extras, Record, RecordError, Writer, read_exact, read_map, read_tuple, required};
use super::{Code, EncodeError, ObjectError, head, split_u32, strip_head};
use crate::id::{ID_LEN, RepositoryId};
use crate::keys::kdf::{Argon2Cost, Kek};
use crate::seal::record::{Padding, PurposeKey, seal, unseal};

/// The longest slot that is read, in bytes.
pub const SLOT_BYTES_MAX: u64 = 16 << 10;

/// The most slots of one repository; each passphrase slot costs whoever tries it an Argon2 run.
pub const SLOTS_MAX: usize = 64;

/// The random key that a slot wraps and under which a bundle is sealed. Wiped when dropped.
pub struct SlotKey(pub Zeroizing<[u8; 32]>);

impl SlotKey {
    /// The id by which slot, bundle and access statement name the key without telling it.
    pub fn id(&self) -> SlotKeyId {
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&blake3::derive_key("caddis v0 slot key id", &*self.0));
        SlotKeyId(id)
    }

    /// The key that seals the bundle.
    pub fn bundle_key(&self) -> PurposeKey {
        PurposeKey::new(blake3::derive_key("caddis v0 bundle key", &*self.0))
    }
}

/// Names a slot key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKeyId(pub [u8; ID_LEN]);

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase, stretched with Argon2id.
    Passphrase(Argon2Cost),
    /// A file of 32 random bytes.
    KeyFile,
}

/// The clear part of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotHeader {
    /// What opens it.
    pub kind: SlotKind,
    /// Goes into the key derivation.
    pub salt: [u8; 32],
    /// Which bundle the key inside opens.
    pub slot_key: SlotKeyId,
    /// Fields of a newer version.
    pub extras: Extras,
}

impl Record for SlotHeader {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            match &self.kind {
                SlotKind::Passphrase(cost) => {
                    fields.at(0).uint(0);
                    fields.at(1).bytes(&self.salt);
                    fields.at(2).bytes(&self.slot_key.0);
                    fields.at(3).list(&[cost.memory_kib, cost.passes, cost.lanes], |out, &n| out.uint(n.into()));
                }
                SlotKind::KeyFile => {
                    fields.at(0).uint(1);
                    fields.at(1).bytes(&self.salt);
                    fields.at(2).bytes(&self.slot_key.0);
                }
            }
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut code, mut salt, mut slot_key, mut cost) = (None, None, None, None);
        let extras = read_map(input, |key, input| {
            match key {
                0 => code = Some(input.u64()?),
                1 => salt = Some(read_exact(input)?),
                2 => slot_key = Some(SlotKeyId(read_exact(input)?)),
                3 => {
                    read_tuple(input, 3)?;
                    cost = Some(Argon2Cost { memory_kib: input.u32()?, passes: input.u32()?, lanes: input.u32()? });
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let kind = match required(code, "a slot has no kind")? {
            0 => SlotKind::Passphrase(required(cost, "a passphrase slot has no cost")?),
            1 => SlotKind::KeyFile,
            code => return Err(RecordError::Newer { what: "kind of slot", code }),
        };
        Ok(Self {
            kind,
            salt: required(salt, "a slot has no salt")?,
            slot_key: required(slot_key, "a slot names no key")?,
            extras,
        })
    }
}

/// A slot as it was read: its clear part, and what a key-encryption key can open.
#[derive(Debug)]
pub struct SealedSlot {
    /// The clear part.
    pub header: SlotHeader,
    before: Vec<u8>,
    sealed: Vec<u8>,
}

/// The object: head, length of the clear record, clear record, sealed slot key.
pub fn encode_object(
    header: &SlotHeader,
    kek: &Kek,
    key: &SlotKey,
    repository: &RepositoryId,
) -> Result<Vec<u8>, EncodeError> {
    let mut object = clear_part(header);
    let sealed = seal(&kek.purpose_key(), &bind(&object, repository), &*key.0, Padding::SMALL, object.len())?;
    object.extend(sealed);
    Ok(object)
}

fn clear_part(header: &SlotHeader) -> Vec<u8> {
    let record = record::encode(header);
    let mut object = head(Code::Slot).to_vec();
    object.extend(u32::try_from(record.len()).expect("a slot's record is short").to_le_bytes());
    object.extend(record);
    object
}

/// Splits a slot into its clear and its sealed part.
pub fn decode_object(object: &[u8]) -> Result<SealedSlot, ObjectError> {
    let rest = strip_head(Code::Slot, object)?;
    let cut_short = || RecordError::Malformed("cut short");
    let (len, rest) = split_u32(rest).ok_or_else(cut_short)?;
    let (bytes, sealed) = rest.split_at_checked(len as usize).ok_or_else(cut_short)?;
    let header = record::decode(bytes)?;
    let before = object[..object.len() - sealed.len()].to_vec();
    Ok(SealedSlot { header, before, sealed: sealed.to_vec() })
}

impl SealedSlot {
    /// The slot key.
    ///
    /// # Errors
    /// [`crate::seal::record::RecordError::WrongKey`] for a wrong passphrase or key file, anything else is damage.
    pub fn open(&self, kek: &Kek, repository: &RepositoryId) -> Result<SlotKey, ObjectError> {
        let plain = unseal(&kek.purpose_key(), &bind(&self.before, repository), &self.sealed)?;
        let key = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| RecordError::Malformed("not a slot key"))?;
        let key = SlotKey(Zeroizing::new(key));
        if key.id() != self.header.slot_key {
            return Err(RecordError::Malformed("holds another slot key than it names").into());
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::kdf;
    use crate::seal::record::{RecordError as SealError, seal_with_salt};

    const HERE: RepositoryId = RepositoryId([7; 32]);
    const COST: Argon2Cost = Argon2Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn sample() -> (SlotHeader, SlotKey) {
        let key = SlotKey(Zeroizing::new([2; 32]));
        let kind = SlotKind::Passphrase(COST);
        (SlotHeader { kind, salt: [1; 32], slot_key: key.id(), extras: Extras::default() }, key)
    }

    #[test]
    fn a_slot_is_what_the_format_says() {
        let (header, key) = sample();
        let kek = kdf::from_passphrase(b"caddis", &header.salt, &COST).unwrap();
        let mut object = clear_part(&header);
        let aad = bind(&object, &HERE);
        object
            .extend(seal_with_salt(&kek.purpose_key(), [3; 32], &aad, &*key.0, Padding::SMALL, object.len()).unwrap());
        assert_eq!(object.len(), 4096);
        // A known answer of our own: another value means that the format has changed.
        assert_eq!(crate::id::ObjectId::of(&object).short(), "0f05bccc");
        assert_eq!(*decode_object(&object).unwrap().open(&kek, &HERE).unwrap().0, *key.0);
    }

    #[test]
    fn a_wrong_passphrase_and_a_damaged_slot_are_told_apart() {
        let (header, key) = sample();
        let kek = |passphrase: &[u8]| kdf::from_passphrase(passphrase, &header.salt, &COST).unwrap();
        let object = encode_object(&header, &kek(b"right"), &key, &HERE).unwrap();
        let slot = decode_object(&object).unwrap();
        assert!(matches!(slot.open(&kek(b"wrong"), &HERE), Err(ObjectError::Seal(SealError::WrongKey))));
        let mut damaged = object;
        *damaged.last_mut().unwrap() ^= 1;
        let slot = decode_object(&damaged).unwrap();
        assert!(matches!(slot.open(&kek(b"right"), &HERE), Err(ObjectError::Seal(SealError::Damaged))));
    }
}
