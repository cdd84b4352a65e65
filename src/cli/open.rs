//! From arguments and environment to an open repository.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::args::{Global, Kdf, NewKeyArgs};
use super::passphrase::{self, ask, given};
use crate::env::random_bytes;
use crate::error::{Error, Result};
use crate::keys::kdf::Argon2Cost;
use crate::progress::Context;
use crate::repo::access::{KeySource, NewKey};
use crate::repo::objects::Objects;
use crate::repo::state::{publish_secret, read_secret};
use crate::repo::state_folder::make_folder;
use crate::repo::{Found, Identity, Places, Repository};
use crate::store::local::{LocalStore, OpenError};

/// The folder of the repository.
pub(super) fn repository_path(global: &Global) -> Result<PathBuf> {
    let named = global.repo.clone().or_else(|| env::var_os("CADDIS_REPO")).filter(|s| !s.is_empty());
    let Some(named) = named else { return Ok(base_folder("XDG_DATA_HOME", ".local/share")?.join("caddis/repo")) };
    if let Some(path) = named.as_bytes().strip_prefix(b"file://") {
        return Ok(PathBuf::from(OsString::from_vec(path.to_vec())));
    }
    let text = named.to_string_lossy();
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(Error::Usage(format!("repositories at `{scheme}://` are not known to this version of caddis")));
    }
    Ok(PathBuf::from(named))
}

/// State and cache of this user.
pub(super) fn places(global: &Global) -> Result<Places> {
    let state = base_folder("XDG_STATE_HOME", ".local/state")?.join("caddis");
    let cache = match &global.cache_dir {
        Some(folder) => folder.clone(),
        None => base_folder("XDG_CACHE_HOME", ".cache")?.join("caddis"),
    };
    Ok(Places { state: state.into(), cache })
}

/// Folders that are never part of a backup.
pub(super) fn own_folders(global: &Global) -> Result<Vec<PathBuf>> {
    let places = places(global)?;
    let own = places.folders().into_iter().map(Path::to_path_buf);
    Ok(own.chain([repository_path(global)?]).collect())
}

/// A folder of the XDG base directory specification; relative values are ignored, as it says. Cron may set no HOME: then the
/// user database knows.
fn base_folder(variable: &str, below_home: &str) -> Result<PathBuf> {
    use uzers::os::unix::UserExt;
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    if let Some(folder) = env::var_os(variable).and_then(absolute) {
        return Ok(folder);
    }
    let home = env::var_os("HOME")
        .and_then(absolute)
        .or_else(|| uzers::get_user_by_uid(uzers::get_effective_uid()).map(|user| user.home_dir().to_path_buf()));
    home.map(|home| home.join(below_home))
        .ok_or_else(|| Error::Usage(format!("neither {variable} nor HOME is set: say where with options")))
}

/// This machine and user.
pub(super) fn identity() -> Identity {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let uid = uzers::get_effective_uid();
    let user = uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
    Identity { host, user: user.unwrap_or_else(|| uid.to_string()) }
}

/// The store in the folder, and leftovers of dead processes removed from it.
pub(super) fn open_store(path: &Path) -> Result<Arc<LocalStore>> {
    let store = LocalStore::open(path).map_err(|source| Error::at_place(path.display().to_string(), source))?;
    // What cannot be removed only wastes space.
    let _ = store.sweep_temporaries();
    Ok(Arc::new(store))
}

/// The objects of the repository that is named, for who has no key: nothing is removed there, and nothing remembered here.
pub(super) fn objects(global: &Global) -> Result<Objects> {
    let path = repository_path(global)?;
    let store = LocalStore::open(&path).map_err(|source| Error::at_place(path.display().to_string(), source))?;
    Ok(Objects::new(Arc::new(store)))
}

/// Opens the repository that is named, with the key that is named.
pub(super) fn open(global: &Global, cx: &Context<'_>) -> Result<Repository> {
    open_with_key(global, cx).map(|(repository, _)| repository)
}

/// Like [`open`], and answers what opened it.
pub(super) fn open_with_key(global: &Global, cx: &Context<'_>) -> Result<(Repository, KeySource)> {
    let found = find(global)?;
    let key = key_source(global)?;
    Ok((unlock(global, found, &key, cx)?, key))
}

/// Opens the repository that is named with a key that is known already.
pub(super) fn open_by_key(global: &Global, key: &KeySource, cx: &Context<'_>) -> Result<Repository> {
    unlock(global, find(global)?, key, cx)
}

/// The repository that is named, before anybody is asked for a passphrase.
fn find(global: &Global) -> Result<Found> {
    let path = repository_path(global)?;
    let places = places(global)?;
    match open_store(&path) {
        // A place that is known and empty now is rather a disk that is not mounted than a new beginning.
        Err(error @ Error::NoRepository { .. }) => Err(known_or(error, &path, &places)?),
        store if global.accept_rollback => Found::look_at_any(store?, &places),
        store => Found::look(store?, &places),
    }
}

fn unlock(global: &Global, found: Found, key: &KeySource, cx: &Context<'_>) -> Result<Repository> {
    let repository = found.unlock(key, &identity(), cx)?;
    if global.accept_rollback {
        repository.accept_history(cx)?;
    }
    Ok(repository)
}

/// A place as the store there calls it.
pub(super) fn location(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

/// The error that says more, when this machine has seen a repository at `path` before.
pub(super) fn known_or(error: Error, path: &Path, places: &Places) -> Result<Error> {
    let location = location(path);
    let pins = crate::repo::state::Pins::new(&places.state);
    Ok(if pins.get(&location)?.is_some() { Error::RepositoryGone { location } } else { error })
}

/// Makes the folder of a new repository.
pub(super) fn create_store(path: &Path) -> Result<Arc<LocalStore>> {
    match LocalStore::create(path) {
        Ok(store) => Ok(Arc::new(store)),
        Err(source @ OpenError::NotEmpty { .. }) => Err(Error::Place { location: path.display().to_string(), source }),
        Err(source) => Err(Error::at_place(path.display().to_string(), source)),
    }
}

/// What opens the repository: key file, command, file, environment, or a question on the terminal.
fn key_source(global: &Global) -> Result<KeySource> {
    if let Some(path) = &global.key_file {
        return read_key_file(path);
    }
    match given(global)? {
        Some(passphrase) => Ok(KeySource::Passphrase(passphrase)),
        None => Ok(KeySource::Passphrase(ask("passphrase: ")?)),
    }
}

/// The key for the first slot of a new repository; a key file is made when it is absent, a passphrase asked for twice.
pub(super) fn first_key(global: &Global, kdf: &Kdf, cx: &Context<'_>) -> Result<NewKey> {
    let source = match &global.key_file {
        Some(path) => make_key_file(path)?,
        None => KeySource::Passphrase(passphrase::first(global, cx)?),
    };
    Ok(NewKey { source, cost: cost(kdf)?, label: "first".to_owned() })
}

/// The key for a further slot.
pub(super) fn further_key(args: &NewKeyArgs, name: &str, cx: &Context<'_>) -> Result<NewKey> {
    let source = match &args.new_key_file {
        Some(path) => make_key_file(path)?,
        None => KeySource::Passphrase(passphrase::further(args, cx)?),
    };
    Ok(NewKey { source, cost: cost(&args.kdf)?, label: name.to_owned() })
}

fn cost(kdf: &Kdf) -> Result<Argon2Cost> {
    let out_of_range = |why: String| Error::Usage(format!("--kdf-memory {}: {why}", kdf.kdf_memory));
    let memory_kib = u32::try_from(kdf.kdf_memory.as_u64() / 1024)
        .map_err(|_| out_of_range("more than a passphrase can be made to cost".to_owned()))?;
    let cost = Argon2Cost { memory_kib, ..Argon2Cost::default() };
    cost.check().map_err(|error| out_of_range(error.to_string()))?;
    Ok(cost)
}

fn read_key_file(path: &Path) -> Result<KeySource> {
    let absent = || Error::Io {
        action: "read",
        path: path.to_path_buf(),
        source: io::Error::new(io::ErrorKind::NotFound, "there is no such file"),
    };
    read_secret(path)?.map(KeySource::KeyFile).ok_or_else(absent)
}

fn make_key_file(path: &Path) -> Result<KeySource> {
    if read_secret(path)?.is_none() {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_folder(folder)?;
        }
        publish_secret(path, &Zeroizing::new(random_bytes()?))?;
    }
    read_key_file(path)
}
