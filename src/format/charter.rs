//! The charter: a grow-only set of statements by the owners.
//!
//! Each statement names the newest ones that its author knew, so that the set is a graph with heads; a machine that has seen
//! a head notices when it is withheld. The frame is in the clear, contents are sealed under the log key of a generation, a
//! bundle under its slot key.

use std::collections::BTreeMap;

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::log::bind;
use super::metadata::Timestamp;
use super::record::{
    self, Extras, Record, RecordError, Writer, encode_readable, read_exact, read_list, read_map, read_public_key,
    read_text, read_tuple, required,
};
use super::slot::{SlotKey, SlotKeyId};
use super::{Code, EncodeError, ObjectError, head, split_u32, strip_head};
use crate::id::{RepositoryId, StatementId};
use crate::keys::domain::DedupDomain;
use crate::keys::generation::{GenerationKeys, GenerationSecret};
use crate::keys::keyring::{Principal, Rights};
use crate::keys::signing::{PublicSigningKey, Purpose, SIGNATURE_LEN, Signatory};
use crate::seal::hpke::{DataPublicKey, Encapsulation, Psk};
use crate::seal::record::{Padding, PurposeKey, seal, unseal};

/// The longest statement that is read, in bytes.
pub const STATEMENT_BYTES_MAX: u64 = 256 << 10;

/// The most statements that are read.
pub const STATEMENTS_MAX: usize = 1 << 16;

/// The most heads that a statement or a snapshot names.
pub const HEADS_MAX: usize = 1024;

/// Field of a frame that says who signs it.
const OWNERS_FIELD: u64 = 4;

const GENERATIONS_MAX: usize = 1024;
const TEXT_BYTES_MAX: usize = 1024;

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StatementKind {
    /// There is a generation.
    Generation = 0,
    /// Somebody may sign.
    Principal = 1,
    /// A bundle, sealed under a slot key.
    Bundle = 2,
    /// A slot key exists, and who may have it.
    Access = 3,
}

/// The clear part of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is about.
    pub kind: StatementKind,
    /// The newest statements that the author knew.
    pub parents: Vec<StatementId>,
    /// What its content is sealed under.
    pub sealed_under: SealedUnder,
    /// Indices of the owners who sign it, ascending.
    pub owners: Vec<u8>,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// Which key opens the content of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedUnder {
    /// The log key of a generation.
    Generation(u32),
    /// The bundle key made from a slot key.
    SlotKey(SlotKeyId),
}

impl Record for Frame {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).uint(self.kind as u64);
            fields.at(1).list(&self.parents, |out, id| out.bytes(&id.0));
            match &self.sealed_under {
                SealedUnder::Generation(number) => fields.at(2).uint((*number).into()),
                SealedUnder::SlotKey(id) => fields.at(3).bytes(&id.0),
            }
            fields.at(OWNERS_FIELD).bytes(&self.owners);
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut kind, mut parents, mut sealed_under, mut owners) = (None, Vec::new(), None, None);
        let extras = read_map(input, |key, input| {
            match key {
                0 => kind = Some(input.u64()?),
                1 => parents = read_list(input, HEADS_MAX, "number of heads", |i| Ok(StatementId(read_exact(i)?)))?,
                2 => sealed_under = Some(SealedUnder::Generation(input.u32()?)),
                3 => sealed_under = Some(SealedUnder::SlotKey(SlotKeyId(read_exact(input)?))),
                OWNERS_FIELD => owners = Some(record::read_bytes(input, 16, "number of signatures")?.to_vec()),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let kind = match required(kind, "a statement has no kind")? {
            0 => StatementKind::Generation,
            1 => StatementKind::Principal,
            2 => StatementKind::Bundle,
            3 => StatementKind::Access,
            code => return Err(RecordError::Newer { what: "kind of statement", code }),
        };
        Ok(Self {
            kind,
            parents,
            sealed_under: required(sealed_under, "a statement is sealed under nothing")?,
            owners: required(owners, "a statement is not signed")?,
            extras,
        })
    }
}

/// There is a generation with this public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationStatement {
    /// Its number.
    pub number: u32,
    /// Packs are sealed to it.
    pub public: DataPublicKey,
    /// When it was made.
    pub time: Timestamp,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// Somebody may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalStatement {
    /// Who, and with what rights.
    pub principal: Principal,
    /// When they were named.
    pub time: Timestamp,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// A slot key exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessStatement {
    /// Which.
    pub slot_key: SlotKeyId,
    /// What its bundle permits.
    pub rights: Rights,
    /// What its maker called it.
    pub label: String,
    /// The machine that made it.
    pub host: String,
    /// The user who made it.
    pub user: String,
    /// When.
    pub time: Timestamp,
    /// The slot key, sealed to each owner.
    pub escrows: Vec<Escrow>,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// A slot key sealed to one owner, who can thus seal bundles anew without anybody's passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escrow {
    /// HPKE encapsulation to the owner's sealing key.
    pub encapsulation: Encapsulation,
    /// The slot key under the exported key.
    pub sealed: Vec<u8>,
}

impl Record for GenerationStatement {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).uint(self.number.into());
            fields.at(1).bytes(&self.public.0);
            self.time.write(fields.at(2));
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut number, mut public, mut time) = (None, None, None);
        let extras = read_map(input, |key, input| {
            match key {
                0 => number = Some(input.u32()?),
                1 => public = Some(read_public_key(input)?),
                2 => time = Some(Timestamp::read(input)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            number: required(number, "no number")?,
            public: required(public, "no public key")?,
            time: required(time, "no time")?,
            extras,
        })
    }
}

fn read_rights(input: &mut Decoder<'_>) -> record::Result<Rights> {
    Ok(Rights::from_bits(input.u32()?))
}

impl Record for PrincipalStatement {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).bytes(&self.principal.key.0);
            fields.at(1).uint(self.principal.rights.bits().into());
            fields.at(2).text(&self.principal.host);
            fields.at(3).text(&self.principal.user);
            self.time.write(fields.at(4));
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut key, mut rights, mut host, mut user, mut time) = (None, None, None, None, None);
        let extras = read_map(input, |field, input| {
            match field {
                0 => key = Some(PublicSigningKey(read_exact(input)?)),
                1 => rights = Some(read_rights(input)?),
                2 => host = Some(read_text(input, TEXT_BYTES_MAX, "host name")?),
                3 => user = Some(read_text(input, TEXT_BYTES_MAX, "user name")?),
                4 => time = Some(Timestamp::read(input)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            principal: Principal {
                key: required(key, "no key")?,
                rights: required(rights, "no rights")?,
                host: required(host, "no host")?,
                user: required(user, "no user")?,
            },
            time: required(time, "no time")?,
            extras,
        })
    }
}

impl Record for AccessStatement {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).bytes(&self.slot_key.0);
            fields.at(1).uint(self.rights.bits().into());
            fields.at(2).text(&self.label);
            fields.at(3).text(&self.host);
            fields.at(4).text(&self.user);
            self.time.write(fields.at(5));
            fields.at(6).list(&self.escrows, |out, escrow| {
                out.array(2);
                out.bytes(&escrow.encapsulation.0);
                out.bytes(&escrow.sealed);
            });
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut slot_key, mut rights, mut label, mut host) = (None, None, None, None);
        let (mut user, mut time, mut escrows) = (None, None, Vec::new());
        let extras = read_map(input, |key, input| {
            match key {
                0 => slot_key = Some(SlotKeyId(read_exact(input)?)),
                1 => rights = Some(read_rights(input)?),
                2 => label = Some(read_text(input, TEXT_BYTES_MAX, "label")?),
                3 => host = Some(read_text(input, TEXT_BYTES_MAX, "host name")?),
                4 => user = Some(read_text(input, TEXT_BYTES_MAX, "user name")?),
                5 => time = Some(Timestamp::read(input)?),
                6 => {
                    escrows = read_list(input, 16, "number of owners", |input| {
                        read_tuple(input, 2)?;
                        let encapsulation = Encapsulation(read_exact(input)?);
                        let sealed = record::read_bytes(input, 4096, "sealed slot key")?.to_vec();
                        Ok(Escrow { encapsulation, sealed })
                    })?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            slot_key: required(slot_key, "no slot key")?,
            rights: required(rights, "no rights")?,
            label: required(label, "no label")?,
            host: required(host, "no host")?,
            user: required(user, "no user")?,
            time: required(time, "no time")?,
            escrows,
            extras,
        })
    }
}

/// The secrets of a role, as a slot key opens them.
pub struct Bundle {
    /// The repository they belong to; a slot opens nothing elsewhere.
    pub repository: RepositoryId,
    /// The role.
    pub rights: Rights,
    /// Names chunks and cuts.
    pub domain: DedupDomain,
    /// Secrets of every generation, ascending; version 1 has one. A reader or owner has these.
    pub generations: Vec<GenerationSecret>,
    /// The owner's identity, for those with the right to own.
    pub owner: Option<Signatory>,
    /// Keys of generations for somebody who may not read, ascending.
    pub limited: Vec<LimitedGeneration>,
    /// A signing key that the charter names, for somebody who cannot name themselves.
    pub signing: Option<Signatory>,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// What a backup-only principal has of a generation: enough to deduplicate and to write, nothing to read with.
pub struct LimitedGeneration {
    /// Its number.
    pub number: u32,
    /// Packs are sealed to it.
    pub public: DataPublicKey,
    /// PSK, log key and index key, in this order. Wiped when dropped.
    pub keys: Zeroizing<[[u8; 32]; 3]>,
}

impl LimitedGeneration {
    /// The keys, without those that read.
    pub fn keys(&self) -> GenerationKeys {
        let [psk, log, index] = *self.keys;
        GenerationKeys {
            number: self.number,
            log: PurposeKey::new(log),
            index: PurposeKey::new(index),
            psk: Psk::new(psk),
            public: self.public.clone(),
            private: None,
            secret: None,
        }
    }
}

impl Bundle {
    /// All keys that the bundle gives, by generation.
    pub fn generation_keys(&self) -> BTreeMap<u32, GenerationKeys> {
        let limited = self.limited.iter().map(|generation| (generation.number, generation.keys()));
        limited.chain(self.generations.iter().map(|secret| (secret.number, secret.keys()))).collect()
    }
}

impl Record for Bundle {
    const IS_SECRET: bool = true;

    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).bytes(&self.repository.0);
            fields.at(1).uint(self.rights.bits().into());
            fields.at(2).bytes(self.domain.secret());
            fields.at(3).list(&self.generations, |out, generation| {
                out.array(2);
                out.uint(generation.number.into());
                out.bytes(&*generation.secret);
            });
            fields.maybe(4, self.owner.as_ref(), |out, owner| out.bytes(&*owner.seed()));
            if !self.limited.is_empty() {
                fields.at(5).list(&self.limited, |out, generation| {
                    out.array(5);
                    out.uint(generation.number.into());
                    out.bytes(&generation.public.0);
                    generation.keys.iter().for_each(|key| out.bytes(key));
                });
            }
            fields.maybe(6, self.signing.as_ref(), |out, signing| out.bytes(&*signing.seed()));
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> record::Result<Self> {
        let (mut repository, mut rights, mut domain) = (None, None, None);
        let (mut generations, mut owner, mut limited, mut signing) = (Vec::new(), None, Vec::new(), None);
        let extras = read_map(input, |key, input| {
            match key {
                0 => repository = Some(RepositoryId(read_exact(input)?)),
                1 => rights = Some(read_rights(input)?),
                2 => domain = Some(DedupDomain::from_secret(Zeroizing::new(read_exact(input)?))),
                3 => {
                    generations = read_list(input, GENERATIONS_MAX, "number of generations", |input| {
                        read_tuple(input, 2)?;
                        Ok(GenerationSecret { number: input.u32()?, secret: Zeroizing::new(read_exact(input)?) })
                    })?;
                }
                4 => owner = Some(Signatory::from_seed(&Zeroizing::new(read_exact(input)?))),
                5 => limited = read_list(input, GENERATIONS_MAX, "number of generations", read_limited)?,
                6 => signing = Some(Signatory::from_seed(&Zeroizing::new(read_exact(input)?))),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let is_sorted = generations.is_sorted_by(|a, b| a.number < b.number)
            && limited.is_sorted_by(|a: &LimitedGeneration, b| a.number < b.number);
        if (generations.is_empty() && limited.is_empty()) || !is_sorted {
            return Err(RecordError::Malformed("no generations, or not sorted"));
        }
        Ok(Self {
            repository: required(repository, "no repository id")?,
            rights: required(rights, "no rights")?,
            domain: required(domain, "no deduplication domain")?,
            generations,
            owner,
            limited,
            signing,
            extras,
        })
    }
}

fn read_limited(input: &mut Decoder<'_>) -> record::Result<LimitedGeneration> {
    read_tuple(input, 5)?;
    let number = input.u32()?;
    let public = read_public_key(input)?;
    let keys = Zeroizing::new([read_exact(input)?, read_exact(input)?, read_exact(input)?]);
    Ok(LimitedGeneration { number, public, keys })
}

/// A statement whose signature has been verified, still sealed.
#[derive(Debug)]
pub struct Statement {
    /// Its name.
    pub id: StatementId,
    /// Its clear part.
    pub frame: Frame,
    before: Vec<u8>,
    sealed: Vec<u8>,
}

/// Makes and signs a statement; the first owner signs.
pub fn encode_object<T: Record>(
    frame: &Frame,
    content: &T,
    key: &PurposeKey,
    repository: &RepositoryId,
    owner: &Signatory,
) -> Result<Vec<u8>, EncodeError> {
    let record = encode_readable(frame)?;
    let mut object = head(Code::Statement).to_vec();
    object.extend(u32::try_from(record.len()).expect("a thousand heads are short").to_le_bytes());
    object.extend(record);
    let plain = Zeroizing::new(encode_readable(content)?);
    let padding = Padding::SMALL;
    let sealed = seal(key, &bind(&object, repository), &plain, padding, object.len() + SIGNATURE_LEN)?;
    object.extend(sealed);
    let signature = owner.sign(Purpose::Statement, repository, &object);
    object.extend(signature);
    Ok(object)
}

/// Reads the frame of a statement and verifies the owners' signatures.
pub fn decode_object(
    id: StatementId,
    object: &[u8],
    repository: &RepositoryId,
    config: &super::config::Config,
) -> Result<Statement, ObjectError> {
    let rest = strip_head(Code::Statement, object)?;
    let cut_short = || RecordError::Malformed("cut short");
    let (len, rest) = split_u32(rest).ok_or_else(cut_short)?;
    let (bytes, rest) = rest.split_at_checked(len as usize).ok_or_else(cut_short)?;
    // Whoever can put objects can put one that claims to be newer; an owner's signature comes first.
    let owners = record::peek_bytes(bytes, OWNERS_FIELD)?;
    let signatures_len = owners.len() * SIGNATURE_LEN;
    let sealed_len = rest.len().checked_sub(signatures_len).ok_or_else(cut_short)?;
    let (sealed, signatures) = rest.split_at(sealed_len);
    if owners.len() != usize::from(config.threshold) || !owners.is_sorted_by(|a, b| a < b) {
        return Err(ObjectError::BadSignature);
    }
    let signed = &object[..object.len() - signatures_len];
    for (&owner, signature) in owners.iter().zip(signatures.as_chunks::<SIGNATURE_LEN>().0) {
        let owner = config.owners.get(usize::from(owner)).ok_or(ObjectError::BadSignature)?;
        if !owner.signing.verifies(Purpose::Statement, repository, signed, signature) {
            return Err(ObjectError::BadSignature);
        }
    }
    let frame = record::decode(bytes)?;
    let before = signed[..signed.len() - sealed.len()].to_vec();
    Ok(Statement { id, frame, before, sealed: sealed.to_vec() })
}

impl Statement {
    /// The content.
    pub fn open<T: Record>(&self, key: &PurposeKey, repository: &RepositoryId) -> Result<T, ObjectError> {
        let plain = unseal(key, &bind(&self.before, repository), &self.sealed)?;
        Ok(record::decode(&plain)?)
    }

    /// The bundle, when this statement holds the one of `slot_key`.
    pub fn open_bundle(&self, slot_key: &SlotKey, repository: &RepositoryId) -> Option<Result<Bundle, ObjectError>> {
        let wanted = SealedUnder::SlotKey(slot_key.id());
        (self.frame.kind == StatementKind::Bundle && self.frame.sealed_under == wanted)
            .then(|| self.open(&slot_key.bundle_key(), repository))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::encode;
    use super::*;

    fn bundle() -> Bundle {
        let generation = GenerationSecret { number: 1, secret: Zeroizing::new([1; 32]) };
        Bundle {
            repository: RepositoryId([7; 32]),
            rights: Rights::ALL,
            domain: DedupDomain::from_secret(Zeroizing::new([2; 32])),
            generations: vec![generation],
            owner: Some(Signatory::from_seed(&[3; 32])),
            limited: Vec::new(),
            signing: None,
            extras: Extras::default(),
        }
    }

    #[test]
    fn a_bundle_of_somebody_who_may_only_write_holds_nothing_to_read_with() {
        let full = bundle().generation_keys().remove(&1).unwrap();
        let limited = LimitedGeneration { number: 1, public: full.public.clone(), keys: Zeroizing::new([[4; 32]; 3]) };
        let writer = Bundle {
            rights: Rights::WRITE | Rights::LIST,
            generations: Vec::new(),
            owner: None,
            limited: vec![limited],
            signing: Some(Signatory::from_seed(&[5; 32])),
            ..bundle()
        };
        let read: Bundle = record::decode(&encode(&writer)).unwrap();
        let keys = read.generation_keys().remove(&1).unwrap();
        assert!(keys.private.is_none() && keys.secret.is_none());
        assert_eq!(keys.public, full.public);
        let (encapsulation, _) = keys.encapsulate(b"info").unwrap();
        assert!(keys.decapsulate(&encapsulation, b"info").is_err());
        assert_eq!(read.signing.unwrap().public(), Signatory::from_seed(&[5; 32]).public());
    }

    #[test]
    fn a_bundle_without_generations_is_refused() {
        let empty = Bundle { generations: Vec::new(), ..bundle() };
        assert!(record::decode::<Bundle>(&encode(&empty)).is_err());
    }
}
