//! Reads the charter and adds statements to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::objects::Objects;
use crate::error::{Error, Result, with_causes};
use crate::format::charter::{
    self, AccessStatement, Bundle, Frame, HEADS_MAX, PrincipalStatement, STATEMENT_BYTES_MAX, STATEMENTS_MAX,
    SealedUnder, Statement, StatementKind,
};
use crate::format::config::Config;
use crate::format::record::{Extras, Record, RecordError};
use crate::format::slot::{SlotKey, SlotKeyId};
use crate::format::{EncodeError, ObjectError};
use crate::id::{RepositoryId, StatementId};
use crate::keys::generation::GenerationKeys;
use crate::keys::keyring::Keyring;
use crate::keys::signing::Signatory;
use crate::progress::{Context, Problem};
use crate::store::{ObjectKind, ObjectName};

/// All statements whose signatures hold.
#[derive(Debug, Default)]
pub struct Charter {
    statements: BTreeMap<StatementId, Statement>,
}

impl Charter {
    /// Reads all statements. One that is damaged is junk: reported, not obeyed, not in the way. One that is whole and that no
    /// owner has signed is not obeyed either; two `init` at once leave such, and nobody need hear of it every day.
    ///
    /// # Errors
    /// The store fails, a statement of an owner needs a newer version of the program, or there are more statements than can be.
    pub fn read(objects: &Objects, config: &Config, repository: &RepositoryId, cx: &Context<'_>) -> Result<Self> {
        let mut charter = Self::default();
        let listed = objects.list(ObjectKind::Charter)?;
        if listed.len() > STATEMENTS_MAX {
            // Half a charter could hide a bundle or a principal.
            let location = objects.location();
            return Err(Error::TooMany { what: "statements", location, found: listed.len(), limit: STATEMENTS_MAX });
        }
        for listed in listed {
            let name = ObjectName::new(ObjectKind::Charter, listed.id);
            let statement = objects.get(name, STATEMENT_BYTES_MAX).and_then(|bytes| {
                charter::decode_object(listed.id.into(), &bytes, repository, config)
                    .map_err(|source| Error::Object { object: name, source })
            });
            match statement {
                Ok(statement) => {
                    charter.statements.insert(statement.id, statement);
                }
                // No command but a check has a word for what never belonged to this repository.
                Err(error) if is_of_another_owner(&error) => {}
                Err(error) if is_junk(&error) => report(cx, name, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(charter)
    }

    /// All of them.
    pub fn ids(&self) -> BTreeSet<StatementId> {
        self.statements.keys().copied().collect()
    }

    /// Statements that no other names as its parent.
    pub fn heads(&self) -> Vec<StatementId> {
        let parents: HashSet<&StatementId> =
            self.statements.values().flat_map(|statement| &statement.frame.parents).collect();
        self.statements.keys().filter(|id| !parents.contains(id)).copied().collect()
    }

    /// The bundle that a slot key opens. When an owner sealed several, for new generations, the one that knows most.
    pub fn bundle(&self, slot_key: &SlotKey, repository: &RepositoryId) -> Option<Result<Bundle>> {
        let mut best: Option<Result<Bundle>> = None;
        for statement in self.statements.values() {
            let Some(opened) = statement.open_bundle(slot_key, repository) else { continue };
            let bundle = opened.map_err(|source| Error::Object { object: name_of(statement.id), source });
            let better = match (&best, &bundle) {
                (None, _) | (Some(Err(_)), Ok(_)) => true,
                (Some(Ok(known)), Ok(new)) => new.generations.len() > known.generations.len(),
                _ => false,
            };
            if better {
                best = Some(bundle);
            }
        }
        best
    }

    /// Whether an owner has sealed a bundle under the slot key that is named so.
    pub fn has_bundle(&self, slot_key: &SlotKeyId) -> bool {
        let wanted = SealedUnder::SlotKey(*slot_key);
        let holds = |frame: &Frame| frame.kind == StatementKind::Bundle && frame.sealed_under == wanted;
        self.statements.values().any(|statement| holds(&statement.frame))
    }

    /// Whether an owner has stated anything under the keys of this generation.
    pub fn names_generation(&self, number: u32) -> bool {
        let under = SealedUnder::Generation(number);
        self.statements.values().any(|statement| statement.frame.sealed_under == under)
    }

    /// Adds the principals that the charter names to a keyring.
    pub fn name_principals(&self, keyring: &Keyring, cx: &Context<'_>) {
        for (id, opened) in self.open_all::<PrincipalStatement>(StatementKind::Principal, keyring) {
            match opened {
                Ok(statement) => keyring.name(statement.principal),
                Err(source) => report(cx, name_of(id), &Error::Object { object: name_of(id), source }),
            }
        }
    }

    /// What is known of each slot key.
    pub fn access(&self, keyring: &Keyring) -> BTreeMap<SlotKeyId, AccessStatement> {
        self.open_all::<AccessStatement>(StatementKind::Access, keyring)
            .into_iter()
            .filter_map(|(_, opened)| opened.ok().map(|statement| (statement.slot_key, statement)))
            .collect()
    }

    fn open_all<T: Record>(
        &self,
        kind: StatementKind,
        keyring: &Keyring,
    ) -> Vec<(StatementId, std::result::Result<T, ObjectError>)> {
        let of_kind = self.statements.values().filter(|statement| statement.frame.kind == kind);
        of_kind
            .map(|statement| {
                let opened = match statement.frame.sealed_under {
                    SealedUnder::Generation(number) => match keyring.generations.get(&number) {
                        Some(keys) => statement.open(&keys.log, &keyring.repository),
                        None => Err(ObjectError::UnknownGeneration(number)),
                    },
                    SealedUnder::SlotKey(_) => Err(ObjectError::UnknownGeneration(0)),
                };
                (statement.id, opened)
            })
            .collect()
    }
}

/// Makes statements in the name of the one owner.
pub struct Author<'a> {
    /// Where they go.
    pub objects: &'a Objects,
    /// For which repository.
    pub repository: RepositoryId,
    /// Who signs.
    pub owner: &'a Signatory,
    /// The newest statements known; each new one takes their place.
    pub heads: Vec<StatementId>,
    /// What was made so far.
    pub made: Vec<ObjectName>,
}

impl Author<'_> {
    /// States something to all principals of a generation.
    pub fn state<T: Record>(&mut self, kind: StatementKind, content: &T, keys: &GenerationKeys) -> Result<()> {
        let frame = self.frame(kind, SealedUnder::Generation(keys.number));
        self.put(charter::encode_object(&frame, content, &keys.log, &self.repository, self.owner))
    }

    /// Gives a bundle to the holder of a slot key.
    pub fn give(&mut self, bundle: &Bundle, slot_key: &SlotKey) -> Result<()> {
        let frame = self.frame(StatementKind::Bundle, SealedUnder::SlotKey(slot_key.id()));
        self.put(charter::encode_object(&frame, bundle, &slot_key.bundle_key(), &self.repository, self.owner))
    }

    fn frame(&self, kind: StatementKind, sealed_under: SealedUnder) -> Frame {
        // Only machines that are new at the same moment make further heads; what is cut off stays reachable by listing.
        let parents = self.heads.iter().copied().take(HEADS_MAX).collect();
        Frame { kind, parents, sealed_under, owners: vec![0], extras: Extras::default() }
    }

    fn put(&mut self, object: std::result::Result<Vec<u8>, EncodeError>) -> Result<()> {
        let bytes = object.map_err(|source| Error::Encode { what: "a statement", source })?;
        let name = self.objects.put(ObjectKind::Charter, &bytes)?;
        self.heads = vec![name.id().into()];
        self.made.push(name);
        Ok(())
    }
}

fn name_of(id: StatementId) -> ObjectName {
    ObjectName::new(ObjectKind::Charter, id)
}

/// Whether a statement is whole, as its name says, and signed by no owner of this repository: it belongs to another one, which
/// an `init` left that was killed beside the one that came first. Nothing of this repository is damaged where that lies. An
/// owner's statement that has changed since has no longer the hash that is its name, which is found first.
pub(crate) fn is_of_another_owner(error: &Error) -> bool {
    matches!(error, Error::Object { object, source: ObjectError::BadSignature } if object.kind() == ObjectKind::Charter)
}

/// Whether an error means that the object is nothing, and not that the store or this program is not up to it.
///
/// An object that says that it is newer is junk as well, unless somebody who may has signed it: before the first object of a
/// later version is put, an owner makes a statement that earlier versions refuse.
pub(crate) fn is_junk(error: &Error) -> bool {
    match error {
        Error::WrongHash { .. } => true,
        Error::Object { source, .. } => !matches!(source, ObjectError::Record(RecordError::Newer { .. })),
        Error::Store { source: crate::store::StoreError::TooLong { .. }, .. } => true,
        _ => false,
    }
}

/// Reports an object that is passed over.
pub(crate) fn report(cx: &Context<'_>, name: ObjectName, error: &Error) {
    cx.progress.problem(&Problem { item: name.path().into_bytes(), what: with_causes(error) });
}
