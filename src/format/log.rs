//! The frame that signed records share: index segments, forgotten records and gc records.
//!
//! An object is head, generation, sealed plaintext, signature. The plaintext begins with the id of its maker, whose
//! signature covers everything before it. What opens and verifies is handed out together with the maker, so that no caller
//! can use a record and forget to ask who made it.

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::metadata::Timestamp;
use super::record::{
    self, Extras, Record, RecordError, Writer, read_exact, read_list, read_map, read_text, read_tuple, required,
};
use super::{Code, EncodeError, HEAD_LEN, ObjectError, head, segment, split_u32, strip_head};
use crate::format::index::Segment;
use crate::id::{ID_LEN, PackId, PrincipalId, RepositoryId, SnapshotId};
use crate::keys::generation::GenerationKeys;
use crate::keys::keyring::{Keyring, Principal, Rights};
use crate::keys::signing::{Purpose, SIGNATURE_LEN, Signatory};
use crate::seal::record::{Padding, PurposeKey, seal, unseal};

/// The longest index segment that is read, in bytes.
pub const SEGMENT_BYTES_MAX: u64 = 96 << 20;

/// The longest forgotten or gc record that is read, in bytes.
pub const LOG_BYTES_MAX: u64 = 64 << 20;

const IDS_MAX: usize = 1 << 20;
const REASON_BYTES_MAX: usize = 256;

/// Something that was opened, and whose signature has been verified.
#[derive(Debug)]
pub struct Signed<T> {
    /// What it says.
    pub record: T,
    /// Who says so, and what they may do.
    pub maker: Principal,
}

/// A list of snapshots that are void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// What is void, why and since when.
    pub entries: Vec<Void>,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// One snapshot that is void for ever, whatever put lands later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    /// Its id.
    pub snapshot: SnapshotId,
    /// For people.
    pub reason: String,
    /// When it was declared.
    pub time: Timestamp,
}

/// What a prune announces or has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gc {
    /// Packs that this prune has announced it will delete.
    pub condemned: Vec<PackId>,
    /// Packs that are dead for ever.
    pub dead: Vec<PackId>,
    /// Snapshots that are void and removed.
    pub void: Vec<SnapshotId>,
    /// When.
    pub time: Timestamp,
    /// Fields of a newer version.
    pub extras: Extras,
}

impl Record for Forgotten {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).list(&self.entries, |out, entry| {
                out.array(3);
                out.bytes(&entry.snapshot.0);
                out.text(&entry.reason);
                entry.time.write(out);
            });
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let mut entries = Vec::new();
        let extras = read_map(input, |key, input| {
            match key {
                0 => {
                    entries = read_list(input, IDS_MAX, "number of void snapshots", |input| {
                        read_tuple(input, 3)?;
                        let snapshot = SnapshotId(read_exact(input)?);
                        let reason = read_text(input, REASON_BYTES_MAX, "reason")?;
                        Ok(Void { snapshot, reason, time: Timestamp::read(input)? })
                    })?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { entries, extras })
    }
}

impl Record for Gc {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).list(&self.condemned, |out, id| out.bytes(&id.0));
            fields.at(1).list(&self.dead, |out, id| out.bytes(&id.0));
            fields.at(2).list(&self.void, |out, id| out.bytes(&id.0));
            self.time.write(fields.at(3));
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let mut gc = Self::default();
        let mut time = None;
        let extras = read_map(input, |key, input| {
            match key {
                0 => gc.condemned = read_list(input, IDS_MAX, "number of packs", |i| Ok(PackId(read_exact(i)?)))?,
                1 => gc.dead = read_list(input, IDS_MAX, "number of packs", |i| Ok(PackId(read_exact(i)?)))?,
                2 => gc.void = read_list(input, IDS_MAX, "number of snapshots", |i| Ok(SnapshotId(read_exact(i)?)))?,
                3 => time = Some(Timestamp::read(input)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { time: required(time, "no time")?, extras, ..gc })
    }
}

/// The object that holds a forgotten record.
pub fn encode_forgotten(record: &Forgotten, keyring: &Keyring, maker: &Signatory) -> Result<Vec<u8>, EncodeError> {
    let keys = keyring.newest();
    FORGOTTEN.seal(&keyring.repository, keys.number, &keys.log, maker, &record::encode_readable(record)?)
}

/// Opens and verifies a forgotten record.
///
/// # Errors
/// One that needs a newer version counts only if its maker may forget: others speak for what they announced themselves, and
/// would else keep everybody from working.
pub fn decode_forgotten(object: &[u8], keyring: &Keyring) -> Result<Signed<Forgotten>, ObjectError> {
    let (plain, maker) = FORGOTTEN.open(object, keyring)?;
    match record::decode(&plain[ID_LEN..]) {
        Err(RecordError::Newer { .. }) if !maker.rights.contains(Rights::FORGET) => {
            Err(ObjectError::NotPermitted(Rights::FORGET))
        }
        record => Ok(Signed { record: record?, maker }),
    }
}

/// The object that holds a gc record.
pub fn encode_gc(record: &Gc, keyring: &Keyring, maker: &Signatory) -> Result<Vec<u8>, EncodeError> {
    let keys = keyring.newest();
    GC.seal(&keyring.repository, keys.number, &keys.log, maker, &record::encode_readable(record)?)
}

/// Opens and verifies a gc record.
///
/// # Errors
/// Its maker may not prune, which is found out before the record is read: one that needs a newer version would else stop
/// everybody, whoever made it.
pub fn decode_gc(object: &[u8], keyring: &Keyring) -> Result<Signed<Gc>, ObjectError> {
    let (plain, maker) = GC.open(object, keyring)?;
    if !maker.rights.contains(Rights::PRUNE) {
        return Err(ObjectError::NotPermitted(Rights::PRUNE));
    }
    Ok(Signed { record: record::decode(&plain[ID_LEN..])?, maker })
}

/// The object that holds an index segment.
pub fn encode_segment(segment: &Segment, keyring: &Keyring, maker: &Signatory) -> Result<Vec<u8>, EncodeError> {
    let keys = keyring.newest();
    SEGMENT.seal(&keyring.repository, keys.number, &keys.index, maker, &segment::encode(segment))
}

/// Opens and verifies an index segment.
pub fn decode_segment(object: &[u8], keyring: &Keyring) -> Result<Signed<Segment>, ObjectError> {
    let (plain, maker) = SEGMENT.open(object, keyring)?;
    Ok(Signed { record: segment::decode(&plain[ID_LEN..])?, maker })
}

/// How one kind of signed record is framed.
struct Frame {
    code: Code,
    purpose: Purpose,
    padding: Padding,
    key: fn(&GenerationKeys) -> &PurposeKey,
}

const FORGOTTEN: Frame =
    Frame { code: Code::Forgotten, purpose: Purpose::Forgotten, padding: Padding::SMALL, key: |keys| &keys.log };

const GC: Frame = Frame { code: Code::Gc, purpose: Purpose::Gc, padding: Padding::SMALL, key: |keys| &keys.log };

const SEGMENT: Frame =
    Frame { code: Code::Segment, purpose: Purpose::Segment, padding: Padding::Padme, key: |keys| &keys.index };

const GENERATION_LEN: usize = size_of::<u32>();

impl Frame {
    fn seal(
        &self,
        repository: &RepositoryId,
        generation: u32,
        key: &PurposeKey,
        maker: &Signatory,
        record: &[u8],
    ) -> Result<Vec<u8>, EncodeError> {
        let mut object = head(self.code).to_vec();
        object.extend(generation.to_le_bytes());
        let plain = [&maker.public().principal().0, record].concat();
        let sealed = seal(key, &bind(&object, repository), &plain, self.padding, object.len() + SIGNATURE_LEN)?;
        object.extend(sealed);
        let signature = maker.sign(self.purpose, repository, &object);
        object.extend(signature);
        Ok(object)
    }

    /// The plaintext, with the maker's id still in front, and that id.
    fn open(&self, object: &[u8], keyring: &Keyring) -> Result<(Zeroizing<Vec<u8>>, Principal), ObjectError> {
        let rest = strip_head(self.code, object)?;
        let cut_short = || record::RecordError::Malformed("cut short");
        let (generation, rest) = split_u32(rest).ok_or_else(cut_short)?;
        let (sealed, signature) = rest.split_last_chunk::<SIGNATURE_LEN>().ok_or_else(cut_short)?;
        let keys = keyring.generations.get(&generation).ok_or(ObjectError::UnknownGeneration(generation))?;
        let binding = bind(&object[..HEAD_LEN + GENERATION_LEN], &keyring.repository);
        let plain = unseal((self.key)(keys), &binding, sealed)?;
        let maker = PrincipalId(*plain.first_chunk().ok_or_else(cut_short)?);
        let signed = &object[..object.len() - SIGNATURE_LEN];
        let principal = principal(keyring, maker)?;
        if !principal.key.verifies(self.purpose, &keyring.repository, signed, signature) {
            return Err(ObjectError::BadSignature);
        }
        Ok((plain, principal))
    }
}

/// Whom the charter names by this id.
pub(super) fn principal(keyring: &Keyring, id: PrincipalId) -> Result<Principal, ObjectError> {
    keyring.principal(&id).ok_or(ObjectError::UnknownPrincipal(id))
}

/// The additional data of a seal: what stands before it, and the repository.
pub(super) fn bind(before: &[u8], repository: &RepositoryId) -> Vec<u8> {
    [before, &repository.0].concat()
}
