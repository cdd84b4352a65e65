//! Symlinks that should lead a restore out of its target: a member's own, and those that another process plants meanwhile.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::format::name::TreePath;
use caddis::format::record::encode;
use caddis::format::tree::{FolderChild, FolderChunk};
use caddis::keys::domain::ChunkKind;
use caddis::progress::Progress;
use caddis::repo::fetch::Reader;
use caddis::restore::{self, restore};

use crate::forge::{body, commit, file, folder, symlink};
use crate::lab::{KEY, Lab, World, is_root, key_file, random_bytes, restore_to};
use crate::names::names_in;

#[test]
fn a_symlink_and_then_a_file_through_it_stays_a_symlink() {
    let lab = Lab::new();
    let outside = tempfile::tempdir().unwrap();
    let snapshot = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
        let inner = forge.folder(&[file(b"planted")]);
        let leaves = [vec![symlink(b"x", outside.path())], vec![folder(b"x", inner), file(b"y")]];
        let children = leaves.iter().map(|nodes| {
            let last = nodes[nodes.len() - 1].name.clone();
            FolderChild { last, id: forge.folder(nodes), entries: nodes.len() as u64 }
        });
        let chunk = FolderChunk::Inner { level: 1, children: children.collect() };
        body(forge.chunk(ChunkKind::Node, &encode(&chunk)))
    });
    let sandbox = tempfile::tempdir().unwrap();
    let world = World::at(8);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let target = sandbox.path().join("target");
    assert_eq!(restore_to(&repository, snapshot, Path::new("/"), &target, &world).unwrap(), 1);
    assert_eq!(names_in(&target), ["x".to_owned()].into());
    assert_eq!(names_in(outside.path()), [].into());
}

/// Puts a symlink in the place of a folder when it is told of the item number `at`.
struct Planter {
    at: u64,
    seen: AtomicU64,
    folder: PathBuf,
    outside: PathBuf,
}

impl Progress for Planter {
    fn current(&self, _: &[u8]) {
        if self.seen.fetch_add(1, Ordering::SeqCst) == self.at && self.folder.exists() {
            // Moved and not removed: who holds a handle of it goes on in it.
            fs::rename(&self.folder, self.folder.with_extension("moved")).unwrap();
            std::os::unix::fs::symlink(&self.outside, &self.folder).unwrap();
        }
    }
}

/// Whenever a folder is exchanged for a symlink, nothing is written where that leads: neither contents nor metadata.
#[test]
fn a_symlink_that_is_planted_meanwhile_is_not_followed() {
    let lab = Lab::new();
    for name in ["folder/first", "folder/inner/deep", "folder/last", "z"] {
        lab.write(name, &random_bytes(name, 40_000));
    }
    fs::hard_link(lab.source.join("folder/first"), lab.source.join("folder/inner/link")).unwrap();
    fs::hard_link(lab.source.join("folder/first"), lab.source.join("zlink")).unwrap();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let world = World::at(2);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let snapshot = repository.snapshots(&world.cx()).unwrap().into_iter().find(|one| one.id == saved).unwrap();
    let path = TreePath::from_typed(lab.source.to_str().unwrap().as_bytes()).unwrap();
    let planted = Cell::new(0);
    for folder in ["folder", "folder/inner"] {
        for at in 0.. {
            let sandbox = tempfile::tempdir().unwrap();
            let (target, outside) = (sandbox.path().join("target"), sandbox.path().join("outside"));
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("first"), "mine").unwrap();
            let before = fs::symlink_metadata(&outside).unwrap();
            let planter =
                Planter { at, seen: AtomicU64::new(0), folder: target.join(folder), outside: outside.clone() };
            let reader = Reader::open(&repository, &world.cx()).unwrap();
            let options = restore::Options { owners: is_root() };
            // It may fail, or come to another end: what counts is what it leaves alone.
            drop(restore(&reader, &snapshot, &path, &target, &options, &world.heard_by(&planter)));
            assert_eq!(names_in(&outside), ["first".to_owned()].into(), "{folder} at {at}");
            assert_eq!(fs::read(outside.join("first")).unwrap(), b"mine", "{folder} at {at}");
            let after = fs::symlink_metadata(&outside).unwrap();
            let state = |found: &fs::Metadata| (found.permissions(), found.modified().unwrap());
            assert_eq!(state(&before), state(&after), "{folder} at {at}");
            planted.set(planted.get() + u64::from(target.join(folder).is_symlink()));
            if planter.seen.into_inner() <= at {
                break;
            }
        }
    }
    assert!(planted.get() > 5, "{}", planted.get());
}
