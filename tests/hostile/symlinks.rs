//! Symlinks that should lead a restore out of its target: a member's own, and those that another process plants meanwhile.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use caddis::format::name::TreePath;
use caddis::format::record::encode;
use caddis::format::tree::{FolderChild, FolderChunk};
use caddis::keys::domain::ChunkKind;
use caddis::progress::Progress;
use caddis::repo::fetch::Reader;
use caddis::restore::{self, Overwrite, restore};
use caddis::store::faulty::Call;

use crate::compare::snapshot_of;
use crate::forge::{body, commit, file, folder, symlink};
use crate::lab::{KEY, Lab, World, assert_same_tree, hooked, is_root, key_file, random_bytes, restore_to};
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
            let options = restore::Options { owners: is_root(), ..restore::Options::default() };
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

/// What stands at a place is put aside, and a symlink put there. A folder that is not there yet gets none.
fn exchange(place: &Path, to: &Path) -> bool {
    if !place.parent().is_some_and(Path::is_dir) || place.is_symlink() {
        return false;
    }
    if place.exists() {
        fs::rename(place, place.with_extension("moved")).unwrap();
    }
    std::os::unix::fs::symlink(to, place).is_ok()
}

/// At each read of the store a symlink is planted: in place of the target, of a folder, of a file that is written and of one that
/// is still to come. Nothing where they lead is written to, or gets other metadata.
#[test]
fn a_symlink_that_is_planted_at_any_read_of_the_store_is_not_followed() {
    let lab = Lab::new();
    // Each is a chunk or two and half a pack: there are more reads than files.
    for name in ["a", "folder/first", "folder/inner/deep", "folder/last", "z"] {
        lab.write(name, &random_bytes(name, 600_000));
    }
    fs::hard_link(lab.source.join("folder/first"), lab.source.join("folder/inner/link")).unwrap();
    for name in ["folder", "folder/inner", "folder/first"] {
        fs::set_permissions(lab.source.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    let mut planted = 0;
    let places = ["folder", "folder/inner", "folder/first", "folder/inner/deep", "folder/last", "z"];
    let cases = places.map(|place| (place, None)).into_iter().chain([("", None)]);
    // A target that is there already is looked for by its path, as late as the first reads.
    for (place, overwrite) in cases.chain(places.map(|place| (place, Some(Overwrite::Always)))) {
        for at in 0.. {
            let sandbox = tempfile::tempdir().unwrap();
            let (target, outside) = (sandbox.path().join("target"), sandbox.path().join("outside"));
            fs::create_dir_all(outside.join("inner")).unwrap();
            fs::write(outside.join("first"), "mine").unwrap();
            let before = snapshot_of(&outside);
            if overwrite.is_some() {
                fs::create_dir_all(target.join("folder/inner/strange")).unwrap();
                for name in ["a", "folder/first", "folder/inner/strange/file", "folder/last", "strange"] {
                    fs::write(target.join(name), "there").unwrap();
                }
            }
            let to = if lab.source.join(place).is_dir() { outside.clone() } else { outside.join("first") };
            let reads = Arc::new(AtomicU64::new(0));
            let (counted, place) = (Arc::clone(&reads), target.join(place));
            let (there, planting) = (target.clone(), place.clone());
            let store = hooked(&lab.store, move |call| {
                if matches!(call, Call::Get(_)) && there.exists() && counted.fetch_add(1, Ordering::SeqCst) == at {
                    exchange(&planting, &to);
                }
                Ok(())
            });
            let world = World::at(2);
            let repository = lab.machine.open(&store, &world).unwrap();
            let snapshots = repository.snapshots(&world.cx()).unwrap();
            let snapshot = snapshots.iter().find(|one| one.id == saved).unwrap();
            let reader = Reader::open_uncached(&repository, &world.cx()).unwrap();
            let path = TreePath::from_typed(lab.source.to_str().unwrap().as_bytes()).unwrap();
            let options = restore::Options {
                owners: is_root(),
                overwrite,
                delete: overwrite.is_some(),
                ..restore::Options::default()
            };
            // It may fail, or come to another end: what counts is what it leaves alone.
            drop(restore(&reader, snapshot, &path, &target, &options, &world.cx()));
            assert_same_tree(&before, &snapshot_of(&outside));
            planted += u64::from(place.is_symlink());
            if reads.load(Ordering::SeqCst) <= at {
                assert!(at >= 3, "{at} reads");
                break;
            }
        }
    }
    assert!(planted > 10, "{planted}");
}
