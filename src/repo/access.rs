//! Who can open a repository: slots are tried, added, replaced and removed.

use zeroize::Zeroizing;

use super::charter::{Author, Charter, is_junk, report};
use super::objects::Objects;
use super::{Identity, Repository};
use crate::env;
use crate::error::{Error, Result, with_causes};
use crate::format::ObjectError;
use crate::format::charter::{AccessStatement, Bundle, Escrow, StatementKind};
use crate::format::config::Config;
use crate::format::metadata::Timestamp;
use crate::format::record::Extras;
use crate::format::slot::{self, SLOT_BYTES_MAX, SLOTS_MAX, SealedSlot, SlotHeader, SlotKey, SlotKeyId, SlotKind};
use crate::format::snapshot::TEXT_BYTES_MAX;
use crate::id::{RepositoryId, SlotId};
use crate::keys::domain::DedupDomain;
use crate::keys::generation::{GenerationKeys, GenerationSecret};
use crate::keys::kdf::{self, Argon2Cost, Kek};
use crate::keys::keyring::Rights;
use crate::keys::signing::Signatory;
use crate::progress::Context;
use crate::seal::hpke;
use crate::seal::record::{Padding, PurposeKey, RecordError, seal};
use crate::store::{ObjectKind, ObjectName};

/// What somebody opens a repository with.
pub enum KeySource {
    /// A passphrase, in bytes as typed.
    Passphrase(Zeroizing<Vec<u8>>),
    /// The content of a key file.
    KeyFile(Zeroizing<[u8; 32]>),
}

impl KeySource {
    const fn what(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::KeyFile(_) => "key file",
        }
    }

    /// Whether a slot wants this kind of key.
    const fn fits(&self, header: &SlotHeader) -> bool {
        matches!(
            (self, &header.kind),
            (Self::Passphrase(_), SlotKind::Passphrase(_)) | (Self::KeyFile(_), SlotKind::KeyFile)
        )
    }

    /// How many slots are tried. Only passphrases cost something.
    const fn slots_max(&self) -> usize {
        match self {
            Self::Passphrase(_) => SLOTS_MAX,
            Self::KeyFile(_) => SLOTS_LISTED_MAX,
        }
    }

    /// The key for a slot; nothing when the slot wants another kind.
    fn kek(&self, header: &SlotHeader) -> Option<Result<Kek>> {
        match (self, &header.kind) {
            (Self::Passphrase(passphrase), SlotKind::Passphrase(cost)) => {
                Some(kdf::from_passphrase(passphrase, &header.salt, cost).map_err(Error::from))
            }
            (Self::KeyFile(bytes), SlotKind::KeyFile) => Some(Ok(kdf::from_key_file(bytes, &header.salt))),
            _ => None,
        }
    }
}

/// A key that a new slot shall have.
pub struct NewKey {
    /// What will open it.
    pub source: KeySource,
    /// What a passphrase costs whoever tries it.
    pub cost: Argon2Cost,
    /// What its maker calls it.
    pub label: String,
}

/// One slot, as `key list` shows it.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// Its id.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// What the charter says of its key; nothing when the charter does not know it.
    pub access: Option<AccessStatement>,
    /// Whether it opened this session.
    pub current: bool,
}

/// Objects in `keys/` that are looked at. Whoever can put objects can put more than there are slots.
const SLOTS_LISTED_MAX: usize = 4096;

/// The slots for which an owner has sealed a bundle, the one that opened last and then the cheapest to try first; others are
/// reported or, like those that an interrupted `init` leaves, passed over. Whoever can put objects could else lock everybody out
/// with slots of their own.
fn read_slots(
    objects: &Objects,
    charter: &Charter,
    opened_last: Option<SlotId>,
    cx: &Context<'_>,
) -> Result<Vec<(SlotId, SealedSlot)>> {
    let mut listed = objects.list(ObjectKind::Keys)?;
    if listed.len() > SLOTS_LISTED_MAX {
        let location = objects.location();
        let error = Error::TooMany { what: "key slots", location, found: listed.len(), limit: SLOTS_LISTED_MAX };
        listed.retain(|listed| Some(listed.id.into()) == opened_last);
        if listed.is_empty() {
            return Err(error);
        }
        cx.progress.note(&format!("{}: only the one that opened last is looked at", with_causes(&error)));
    }
    let mut slots = Vec::new();
    for listed in listed {
        let name = ObjectName::new(ObjectKind::Keys, listed.id);
        let slot = objects
            .get(name, SLOT_BYTES_MAX)
            .and_then(|bytes| slot::decode_object(&bytes).map_err(|source| Error::Object { object: name, source }));
        match slot {
            Ok(slot) if charter.has_bundle(&slot.header.slot_key) => slots.push((listed.id.into(), slot)),
            Ok(_) => {}
            // A slot of a kind that only a newer version knows must not keep others from being opened.
            Err(error) if is_junk(&error) || matches!(error, Error::Object { .. }) => report(cx, name, &error),
            Err(error) => return Err(error),
        }
    }
    slots.sort_by_key(|(id, slot)| (Some(*id) != opened_last, cost_of(&slot.header), *id));
    Ok(slots)
}

/// What it costs to try a slot.
fn cost_of(header: &SlotHeader) -> u64 {
    match &header.kind {
        SlotKind::Passphrase(cost) => u64::from(cost.memory_kib) * u64::from(cost.passes),
        SlotKind::KeyFile => 0,
    }
}

/// Opens the first slot that the key fits.
///
/// # Errors
/// [`Error::WrongKey`] when it fits none. A slot that it fits and that does not open is damage, and is said to be.
pub(super) fn open_slot(
    objects: &Objects,
    repository: &RepositoryId,
    charter: &Charter,
    key: &KeySource,
    opened_last: Option<SlotId>,
    cx: &Context<'_>,
) -> Result<(SlotId, SlotKey)> {
    let mut damaged = None;
    let slots = read_slots(objects, charter, opened_last, cx)?;
    let fitting = slots.into_iter().filter(|(_, slot)| key.fits(&slot.header));
    for (id, slot) in fitting.take(key.slots_max()) {
        let kek = match key.kek(&slot.header) {
            Some(Ok(kek)) => kek,
            Some(Err(error)) => {
                report(cx, ObjectName::new(ObjectKind::Keys, id), &error);
                continue;
            }
            None => continue,
        };
        match slot.open(&kek, repository) {
            Ok(slot_key) => return Ok((id, slot_key)),
            Err(ObjectError::Seal(RecordError::WrongKey)) => {}
            Err(source) => damaged = Some(Error::Object { object: ObjectName::new(ObjectKind::Keys, id), source }),
        }
    }
    Err(damaged.unwrap_or(Error::WrongKey { location: objects.location(), what: key.what() }))
}

/// Adds a slot with a slot key of its own. The bundle is there before the slot, so that no slot ever opens nothing.
pub(super) fn add_slot(
    author: &mut Author<'_>,
    config: &Config,
    bundle: &Bundle,
    keys: &GenerationKeys,
    key: &NewKey,
    identity: &Identity,
    time: Timestamp,
) -> Result<SlotId> {
    let slot_key = SlotKey(Zeroizing::new(env::random_bytes()?));
    author.give(bundle, &slot_key)?;
    let escrows = config.owners.iter().map(|owner| escrow(&slot_key, &owner.sealing, keys, &author.repository));
    let statement = AccessStatement {
        slot_key: slot_key.id(),
        rights: bundle.rights,
        label: key.label.clone(),
        host: identity.host.clone(),
        user: identity.user.clone(),
        time,
        escrows: escrows.collect::<Result<_>>()?,
        extras: Extras::default(),
    };
    author.state(StatementKind::Access, &statement, keys)?;
    put_slot(author.objects, &author.repository, &slot_key, key)
}

/// Puts a slot that opens `slot_key`.
fn put_slot(objects: &Objects, repository: &RepositoryId, slot_key: &SlotKey, key: &NewKey) -> Result<SlotId> {
    let kind = match &key.source {
        KeySource::Passphrase(_) => SlotKind::Passphrase(key.cost),
        KeySource::KeyFile(_) => SlotKind::KeyFile,
    };
    let header = SlotHeader { kind, salt: env::random_bytes()?, slot_key: slot_key.id(), extras: Extras::default() };
    let kek = key.source.kek(&header).expect("the header was made for this kind of key")?;
    let object = slot::encode_object(&header, &kek, slot_key, repository)
        .map_err(|source| Error::Encode { what: "a key slot", source })?;
    Ok(objects.put(ObjectKind::Keys, &object)?.id().into())
}

/// The seed of the key pair that slot keys are sealed to for an owner.
pub(super) fn escrow_seed(owner: &Signatory) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("caddis v0 owner sealing key", &*owner.seed()))
}

fn escrow(
    slot_key: &SlotKey,
    owner: &hpke::DataPublicKey,
    keys: &GenerationKeys,
    repository: &RepositoryId,
) -> Result<Escrow> {
    let made = || -> std::result::Result<Escrow, crate::format::EncodeError> {
        let info = escrow_info(&slot_key.id(), repository);
        let (encapsulation, exporter) = keys.encapsulate_to(owner, &info)?;
        let key = PurposeKey::new(exporter.export("caddis v0 escrow key"));
        let sealed = seal(&key, &info, &*slot_key.0, Padding::Multiple(1), 0)?;
        Ok(Escrow { encapsulation, sealed })
    };
    made().map_err(|source| Error::Encode { what: "an escrow", source })
}

fn escrow_info(slot_key: &SlotKeyId, repository: &RepositoryId) -> Vec<u8> {
    [&b"caddis v0 escrow"[..], &slot_key.0, &repository.0].concat()
}

impl Repository {
    /// Every slot that opens something, the one that opened this session and then the cheapest to try first.
    pub fn slots(&self, cx: &Context<'_>) -> Result<Vec<SlotInfo>> {
        let charter = self.read_charter(cx)?;
        let access = charter.access(&self.keyring);
        let info = |(id, slot): (SlotId, SealedSlot)| SlotInfo {
            id,
            kind: slot.header.kind,
            access: access.get(&slot.header.slot_key).cloned(),
            current: id == self.slot,
        };
        Ok(self.read_slots(&charter, cx)?.into_iter().map(info).collect())
    }

    fn read_slots(&self, charter: &Charter, cx: &Context<'_>) -> Result<Vec<(SlotId, SealedSlot)>> {
        read_slots(&self.objects, charter, Some(self.slot), cx)
    }

    /// Adds a slot with all rights.
    pub fn add_key(&mut self, key: &NewKey, cx: &Context<'_>) -> Result<SlotId> {
        let owner = self.keyring.owner.as_ref().ok_or(Error::NotPermitted { right: Rights::OWN })?;
        if key.label.len() > TEXT_BYTES_MAX {
            return Err(Error::Usage(format!("a key's name has at most {TEXT_BYTES_MAX} bytes")));
        }
        let found = self.read_slots(&self.read_charter(cx)?, cx)?.len();
        if found >= SLOTS_MAX {
            let location = self.objects.location();
            return Err(Error::TooMany { what: "key slots", location, found: found + 1, limit: SLOTS_MAX });
        }
        let bundle = Bundle {
            repository: self.id(),
            rights: Rights::ALL,
            domain: DedupDomain::from_secret(Zeroizing::new(*self.keyring.domain.secret())),
            generations: self.keyring.generations.values().filter_map(secret_of).collect(),
            owner: Some(Signatory::from_seed(&owner.seed())),
            limited: Vec::new(),
            signing: None,
            extras: Extras::default(),
        };
        let heads = self.charter_heads.clone();
        let mut author = Author { objects: &self.objects, repository: self.id(), owner, heads, made: Vec::new() };
        let time = cx.clock.now().into();
        let id = add_slot(&mut author, &self.config, &bundle, self.keyring.newest(), key, &self.identity, time)?;
        self.charter_heads = author.heads;
        self.statements.extend(&self.charter_heads);
        Ok(id)
    }

    /// Replaces the slot that `old` opens by one that `new` opens; its slot key, and so its bundle, stays. The new slot is
    /// there before the old one goes, so that some slot always opens.
    pub fn change_key(&self, old: &KeySource, new: &NewKey, cx: &Context<'_>) -> Result<SlotId> {
        let (old_id, slot_key) =
            open_slot(&self.objects, &self.id(), &self.read_charter(cx)?, old, Some(self.slot), cx)?;
        let id = put_slot(&self.objects, &self.id(), &slot_key, new)?;
        self.objects.delete(ObjectName::new(ObjectKind::Keys, old_id))?;
        Ok(id)
    }

    /// Removes the slot whose id begins with `prefix`. Whoever copied it can still open it: a slot is not unlearned.
    ///
    /// # Errors
    /// [`Error::LastSlot`]; [`Error::NoSuchSlot`]; [`Error::SlotInUse`] for the one slot that is known to open, because it
    /// opened the repository just now.
    pub fn remove_key(&self, prefix: &str, cx: &Context<'_>) -> Result<SlotId> {
        self.require(Rights::OWN)?;
        let listed = self.objects.list(ObjectKind::Keys)?;
        let fitting: Vec<SlotId> =
            listed.iter().map(|slot| slot.id.into()).filter(|id: &SlotId| id.to_string().starts_with(prefix)).collect();
        let &[id] = fitting.as_slice() else {
            return Err(Error::NoSuchSlot { wanted: prefix.to_owned(), found: fitting.len() });
        };
        let slots = self.read_slots(&self.read_charter(cx)?, cx)?;
        if id == self.slot {
            let slot = id.short();
            return Err(if slots.len() < 2 { Error::LastSlot { slot } } else { Error::SlotInUse { slot } });
        }
        self.objects.delete(ObjectName::new(ObjectKind::Keys, id))?;
        Ok(id)
    }
}

/// What a further bundle needs of a generation.
fn secret_of(keys: &GenerationKeys) -> Option<GenerationSecret> {
    keys.secret.as_ref().map(|secret| GenerationSecret { number: keys.number, secret: secret.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::record::unseal;

    #[test]
    fn an_owner_opens_the_escrow_of_a_slot_key_without_its_passphrase() {
        let repository = RepositoryId([7; 32]);
        let owner = Signatory::from_seed(&[1; 32]);
        let sealing = hpke::DataPrivateKey::from_seed(&escrow_seed(&owner));
        let keys = GenerationSecret { number: 1, secret: Zeroizing::new([2; 32]) }.keys();
        let slot_key = SlotKey(Zeroizing::new([3; 32]));
        let made = escrow(&slot_key, &sealing.public(), &keys, &repository).unwrap();

        let info = escrow_info(&slot_key.id(), &repository);
        let own = GenerationKeys { private: Some(sealing), ..keys };
        let exporter = own.decapsulate(&made.encapsulation, &info).unwrap();
        let key = PurposeKey::new(exporter.export("caddis v0 escrow key"));
        assert_eq!(**unseal(&key, &info, &made.sealed).unwrap(), *slot_key.0);
    }
}
