//! [`Repository`]: made, found, opened. What an operation needs of it stands in the modules below.
//!
//! Opening goes in two steps: [`Found`] has read `config` and compared its id with the one seen at first contact, before
//! anybody is asked for a passphrase; [`Found::unlock`] opens a slot, its bundle and the charter.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::{Catalog, CatalogError};
use crate::chunker::SizeClasses;
use crate::env;
use crate::error::{Error, Result, with_causes};
use crate::format::charter::{Bundle, GenerationStatement, PrincipalStatement, StatementKind};
use crate::format::config::{self, CONFIG_BYTES_MAX, Config, OwnerKeys};
use crate::format::record::Extras;
use crate::format::tree::TreeConstants;
use crate::id::{RepositoryId, SlotId, StatementId};
use crate::keys::domain::DedupDomain;
use crate::keys::generation::GenerationSecret;
use crate::keys::keyring::{Keyring, Principal, Rights};
use crate::keys::signing::Signatory;
use crate::progress::Context;
use crate::seal::hpke::DataPrivateKey;
use crate::store::{ObjectKind, ObjectName, Store, StoreError};

pub mod access;
mod buffer;
pub mod charter;
pub mod commit;
pub mod fetch;
mod members;
pub mod objects;
pub mod open_pack;
pub mod packer;
pub mod rollback;
pub mod session;
pub mod snapshots;
pub mod state;
pub mod state_folder;
pub mod stretch;
pub mod tree_cache;
pub mod view;

use access::{KeySource, NewKey};
use charter::{Author, Charter};
use objects::Objects;
use state::{Pins, State};
use state_folder::StateFolder;
use tree_cache::TreeCache;
use zeroize::Zeroizing;

/// Length of a full pack: large enough that a store's cost per object vanishes, small enough that four fit in memory.
pub const PACK_BYTES_DEFAULT: u32 = 32 << 20;

/// Where this user keeps what is not in the repository.
#[derive(Clone, Debug)]
pub struct Places {
    /// Pins, signing keys, heads.
    pub state: StateFolder,
    /// What can be made anew: the local index, packs of trees, the catalog.
    pub cache: PathBuf,
}

impl Places {
    /// The folders of this user that are never part of a backup.
    pub fn folders(&self) -> [&Path; 2] {
        [&self.state, &self.cache]
    }
}

/// Who and where this process is, as snapshots and statements name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the machine.
    pub host: String,
    /// Name of the user.
    pub user: String,
}

/// What may be chosen when a repository is made.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Length of a full pack in bytes.
    pub pack_bytes: u32,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { pack_bytes: PACK_BYTES_DEFAULT }
    }
}

impl InitOptions {
    /// # Errors
    /// [`Error::Usage`] for what no repository can be made with.
    pub fn check(&self) -> Result<()> {
        if config::PACK_BYTES_RANGE.contains(&self.pack_bytes) {
            Ok(())
        } else {
            Err(Error::Usage(format!("a pack size of {} bytes is out of range", self.pack_bytes)))
        }
    }
}

/// A repository that is open.
pub struct Repository {
    /// Its objects.
    pub objects: Objects,
    /// What was fixed when it was made.
    pub config: Config,
    /// The keys, as far as the slot gives them.
    pub keyring: Arc<Keyring>,
    /// The slot that opened it.
    pub slot: SlotId,
    /// The newest statements of its charter.
    pub charter_heads: Vec<StatementId>,
    /// All statements of its charter.
    pub statements: BTreeSet<StatementId>,
    /// What this user on this machine remembers of it.
    pub state: State,
    /// The folder of what can be made anew.
    pub cache_folder: PathBuf,
    /// The folder of the local index.
    pub index_folder: PathBuf,
    /// Packs of trees that are at hand.
    pub tree_cache: Arc<TreeCache>,
    /// Signs for this user on this machine.
    pub signatory: Signatory,
    /// Who this is.
    pub identity: Identity,
}

/// A repository whose `config` has been read and whose id is the one this machine knows.
pub struct Found {
    objects: Objects,
    config: Config,
    id: RepositoryId,
    places: Places,
}

impl Found {
    /// Reads `config` and compares the id with the pin.
    ///
    /// # Errors
    /// [`Error::RepositoryChanged`] before anything is asked or stored.
    pub fn look(store: Arc<dyn Store>, places: &Places) -> Result<Self> {
        let location = store.location();
        let pinned = Pins::new(&places.state).get(&location)?;
        let found = Self::look_at_any(store, places)?;
        match pinned {
            Some(pinned) if pinned != found.id => Err(Error::RepositoryChanged { location, pinned, found: found.id }),
            _ => Ok(found),
        }
    }

    /// Like [`Self::look`], for somebody who says that they have put another repository there.
    pub fn look_at_any(store: Arc<dyn Store>, places: &Places) -> Result<Self> {
        let objects = Objects::new(store);
        let location = objects.location();
        let pinned = Pins::new(&places.state).get(&location)?;
        let bytes = match objects.get(ObjectName::CONFIG, CONFIG_BYTES_MAX) {
            Err(Error::Store { source: StoreError::Absent, .. }) if pinned.is_some() => {
                return Err(Error::RepositoryGone { location });
            }
            bytes => bytes?,
        };
        let (config, id) =
            config::decode_object(&bytes).map_err(|source| Error::Object { object: ObjectName::CONFIG, source })?;
        Ok(Self { objects, config, id, places: places.clone() })
    }

    /// Opens a slot, the bundle under its key, and the charter.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when no slot opens.
    pub fn unlock(self, key: &KeySource, identity: &Identity, cx: &Context<'_>) -> Result<Repository> {
        let location = self.objects.location();
        let charter = Charter::read(&self.objects, &self.config, &self.id, cx)?;
        let state = State::new(&self.places.state, &self.id);
        let (slot, slot_key) = access::open_slot(&self.objects, &self.id, &charter, key, state.slot(), cx)?;
        let no_bundle = || Error::NoBundle { location: location.clone(), slot: slot.short() };
        let bundle = charter.bundle(&slot_key, &self.id).ok_or_else(no_bundle)??;
        if bundle.repository != self.id {
            return Err(no_bundle());
        }
        let own = bundle.signing.as_ref().map(|signing| Signatory::from_seed(&signing.seed()));
        let keyring = keyring_of(bundle);
        charter.name_principals(&keyring, cx);
        // Ignored: without it slots are tried in another order.
        let _ = state.set_slot(slot);
        let pinned = Pins::new(&self.places.state).set(&location, self.id);
        let signatory = match pinned.and_then(|()| own.map_or_else(|| state.signatory(), Ok)) {
            Ok(signatory) => signatory,
            // Somebody who restores on a rescue system has nowhere to remember anything.
            Err(error @ Error::Io { .. }) => {
                cx.progress.note(&format!("nothing is remembered of this repository: {}", with_causes(&error)));
                Signatory::from_seed(&Zeroizing::new(env::random_bytes()?))
            }
            Err(error) => return Err(error),
        };
        let cache_folder = self.places.cache.join(self.id.to_string());
        Ok(Repository {
            objects: self.objects,
            config: self.config,
            keyring: Arc::new(keyring),
            charter_heads: charter.heads(),
            statements: charter.ids(),
            slot,
            state,
            index_folder: cache_folder.join("index"),
            tree_cache: Arc::new(TreeCache::new(cache_folder.join("trees"))),
            cache_folder,
            signatory,
            identity: identity.clone(),
        })
    }
}

fn keyring_of(bundle: Bundle) -> Keyring {
    let generations = bundle.generation_keys();
    Keyring::new(bundle.repository, bundle.rights, bundle.domain, generations, bundle.owner)
}

impl Repository {
    /// Makes a repository in an empty store, with one slot that `key` opens.
    ///
    /// `config` is put last: until then there is no repository, and an interrupted `init` can be run again.
    pub fn init(
        store: Arc<dyn Store>,
        key: &NewKey,
        options: &InitOptions,
        places: &Places,
        identity: &Identity,
        cx: &Context<'_>,
    ) -> Result<RepositoryId> {
        let objects = Objects::new(store);
        if objects.get_if_present(ObjectName::CONFIG, CONFIG_BYTES_MAX)?.is_some() {
            return Err(Error::RepositoryExists { location: objects.location() });
        }
        let leftovers = leftovers(&objects)?;
        let owner = Signatory::from_seed(&Zeroizing::new(env::random_bytes()?));
        let config = new_config(&owner, options)?;
        let bytes = config::encode_object(&config, &owner);
        let (_, id) =
            config::decode_object(&bytes).map_err(|source| Error::Object { object: ObjectName::CONFIG, source })?;

        let generation = GenerationSecret { number: 1, secret: Zeroizing::new(env::random_bytes()?) };
        let keys = generation.keys();
        let time = cx.clock.now().into();
        let mut author =
            Author { objects: &objects, repository: id, owner: &owner, heads: Vec::new(), made: Vec::new() };
        let statement = GenerationStatement { number: 1, public: keys.public.clone(), time, extras: Extras::default() };
        author.state(StatementKind::Generation, &statement, &keys)?;
        let bundle = Bundle {
            repository: id,
            rights: Rights::ALL,
            domain: DedupDomain::from_secret(Zeroizing::new(env::random_bytes()?)),
            generations: vec![generation],
            owner: Some(Signatory::from_seed(&owner.seed())),
            limited: Vec::new(),
            signing: None,
            extras: Extras::default(),
        };
        let slot = access::add_slot(&mut author, &config, &bundle, &keys, key, identity, time)?;
        if let Err(error) = objects.put_config(&bytes) {
            if matches!(error, Error::RepositoryExists { .. }) {
                // Somebody else made it at the same moment, and shall have nothing of this one in it.
                author.made.push(ObjectName::new(ObjectKind::Keys, slot));
                clear_away(&objects, author.made, cx);
            }
            return Err(error);
        }
        // Only now is it certain that nobody else made this repository at the same moment.
        clear_away(&objects, leftovers, cx);
        Pins::new(&places.state).set(&objects.location(), id)?;
        Ok(id)
    }

    /// The id of the repository.
    pub fn id(&self) -> RepositoryId {
        self.keyring.repository
    }

    /// The catalog of this user.
    ///
    /// # Errors
    /// It cannot be used; a run does without it then.
    pub fn catalog(&self) -> std::result::Result<Catalog, CatalogError> {
        state_folder::make_folder(&self.cache_folder).map_err(std::io::Error::other)?;
        Catalog::open(&self.cache_folder, blake3::derive_key("caddis local catalog key", self.keyring.domain.secret()))
    }

    /// # Errors
    /// [`Error::NotPermitted`] when the key at hand does not give `right`.
    pub fn require(&self, right: Rights) -> Result<()> {
        if self.keyring.rights.contains(right) { Ok(()) } else { Err(Error::NotPermitted { right }) }
    }

    /// Sees to it that the charter names this user on this machine, so that others accept what it signs. A client with the
    /// full key names itself.
    pub fn introduce_self(&mut self, cx: &Context<'_>) -> Result<()> {
        let key = self.signatory.public();
        if self.keyring.principal(&key.principal()).is_some() {
            return Ok(());
        }
        let rights = self.keyring.rights;
        let Identity { host, user } = self.identity.clone();
        let principal = Principal { key, rights, host, user };
        let statement =
            PrincipalStatement { principal: principal.clone(), time: cx.clock.now().into(), extras: Extras::default() };
        let owner = self.keyring.owner.as_ref().ok_or(Error::NotPermitted { right: Rights::OWN })?;
        let mut author = Author {
            objects: &self.objects,
            repository: self.keyring.repository,
            owner,
            heads: self.charter_heads.clone(),
            made: Vec::new(),
        };
        author.state(StatementKind::Principal, &statement, self.keyring.newest())?;
        self.charter_heads = author.heads;
        self.statements.extend(&self.charter_heads);
        self.keyring.name(principal);
        Ok(())
    }
}

/// What an `init` that was interrupted has put: it belongs to a repository that never came to be.
fn leftovers(objects: &Objects) -> Result<Vec<ObjectName>> {
    let mut names = Vec::new();
    for kind in [ObjectKind::Charter, ObjectKind::Keys] {
        names.extend(objects.list(kind)?.iter().map(|listed| ObjectName::new(kind, listed.id)));
    }
    Ok(names)
}

/// Deletes what belongs to no repository. What cannot be deleted does no harm, and a check says what it is.
fn clear_away(objects: &Objects, names: Vec<ObjectName>, cx: &Context<'_>) {
    names.into_iter().filter_map(|name| objects.delete(name).err()).for_each(|error| {
        cx.progress.note(&format!("something of an init that came to nothing stays behind: {}", with_causes(&error)));
    });
}

fn new_config(owner: &Signatory, options: &InitOptions) -> Result<Config> {
    options.check()?;
    let sealing = DataPrivateKey::from_seed(&access::escrow_seed(owner)).public();
    Ok(Config {
        salt: env::random_bytes()?,
        owners: vec![OwnerKeys { signing: owner.public(), sealing }],
        threshold: 1,
        chunks: SizeClasses::DEFAULT,
        trees: TreeConstants::DEFAULT,
        pack_bytes: options.pack_bytes,
        extras: Extras::default(),
    })
}
