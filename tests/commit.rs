//! What a commit puts can be read again, and what was void once stays so.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use caddis::backup::{self, Sources, backup};
use caddis::env::FixedClock;
use caddis::error::Error;
use caddis::format::log::{Gc, encode_gc};
use caddis::keys::kdf::Argon2Cost;
use caddis::progress::{Cancel, Context, Silent};
use caddis::repo::access::{KeySource, NewKey};
use caddis::repo::{Found, Identity, InitOptions, Places, Repository};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, Store};
use zeroize::Zeroizing;

fn key() -> KeySource {
    KeySource::KeyFile(Zeroizing::new([7; 32]))
}

/// A repository in memory whose user keeps state and cache below `folder`, and a source of one file there.
fn open(folder: &Path) -> (Arc<MemoryStore>, Repository, Sources) {
    let store = Arc::new(MemoryStore::new());
    let places = Places { state: folder.join("state").into(), cache: folder.join("cache") };
    let identity = Identity { host: "host".into(), user: "user".into() };
    let new_key = NewKey { source: key(), cost: Argon2Cost::default(), label: "first".into() };
    let shared: Arc<dyn Store> = store.clone();
    let repository = with_context(|cx| {
        Repository::init(shared.clone(), &new_key, &InitOptions::default(), &places, &identity, cx).unwrap();
        Found::look(shared.clone(), &places).unwrap().unlock(&key(), &identity, cx).unwrap()
    });
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), b"content").unwrap();
    (store, repository, Sources::new(&[source]).unwrap())
}

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let clock = FixedClock("2026-11-01T03:00:00Z".parse().unwrap());
    run(&Context { clock: &clock, progress: &Silent, cancel: &Cancel::new() })
}

/// A backup with a label of 2000 bytes was reported as saved, and no reader accepted its snapshot.
#[test]
fn a_snapshot_that_no_reader_would_accept_is_refused_before_it_is_announced() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut repository, sources) = open(folder.path());
    let long = "x".repeat(2000);
    for options in [
        backup::Options { label: Some(long.clone()), ..backup::Options::default() },
        backup::Options { host: Some(long.clone()), ..backup::Options::default() },
        backup::Options { tags: vec![long.clone()], ..backup::Options::default() },
    ] {
        let error = with_context(|cx| backup(&mut repository, &sources, &options, cx)).unwrap_err();
        assert!(matches!(error, Error::Usage(_)), "{error:?}");
    }
    assert_eq!(store.list(ObjectKind::Pending).unwrap(), []);
    assert_eq!(store.list(ObjectKind::Snapshots).unwrap(), []);
    let report = with_context(|cx| backup(&mut repository, &sources, &backup::Options::default(), cx)).unwrap();
    let snapshots = with_context(|cx| repository.snapshots(cx)).unwrap();
    assert_eq!(snapshots.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [report.snapshot]);
}

/// A prune takes the void ids over into its own record and deletes the forgotten records; a put of the snapshot that lands
/// late must bring nothing back.
#[test]
fn a_snapshot_that_a_prune_found_void_stays_void() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut repository, sources) = open(folder.path());
    let report = with_context(|cx| backup(&mut repository, &sources, &backup::Options::default(), cx)).unwrap();
    assert_eq!(with_context(|cx| repository.snapshots(cx)).unwrap().len(), 1);
    let record = Gc { void: vec![report.snapshot], ..Gc::default() };
    let bytes = encode_gc(&record, &repository.keyring, &repository.signatory).unwrap();
    repository.objects.put(ObjectKind::Gc, &bytes).unwrap();
    assert!(with_context(|cx| repository.snapshots(cx)).unwrap().is_empty());
}
