//! A member's folders with names that lead elsewhere, or stand twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use caddis::format::record::encode;
use caddis::format::tree::{FolderChild, FolderChunk};
use caddis::keys::domain::ChunkKind;

use crate::forge::{body, commit, file, folder, raw_file, raw_leaf};
use crate::lab::{KEY, Lab, World, key_file, restore_to};

/// All names in a folder.
pub(crate) fn names_in(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Restores a snapshot whose folder `evil` has this chunk. The folder is lost and named, all else comes back, and nothing
/// stands beside the target. Answers what was said.
#[track_caller]
pub(crate) fn is_refused(what: &str, chunk: &[u8]) -> String {
    let lab = Lab::new();
    let mut id = None;
    let snapshot = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
        let evil = *id.insert(forge.chunk(ChunkKind::Node, chunk));
        body(forge.folder(&[folder(b"evil", evil), file(b"good")]))
    });
    let sandbox = tempfile::tempdir().unwrap();
    let world = World::at(8);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let target = sandbox.path().join("target");
    assert_eq!(restore_to(&repository, snapshot, Path::new("/"), &target, &world).unwrap(), 1, "{what}");
    assert_eq!(names_in(&target), ["evil", "good"].map(str::to_owned).into(), "{what}");
    assert_eq!(names_in(&target.join("evil")), BTreeSet::new(), "{what}");
    assert_eq!(fs::read(target.join("good")).unwrap(), b"good", "{what}");
    assert_eq!(names_in(sandbox.path()), ["target".to_owned()].into(), "{what}");
    let (id, problems) = (id.unwrap().to_string(), world.problems());
    assert!(matches!(&problems[..], [one] if one.starts_with("/evil: ") && one.contains(&id)), "{what}: {problems:?}");
    let checked = lab.machine.check(&lab.store).problems();
    assert!(checked.iter().any(|problem| problem.contains(&id)), "{what}: {checked:?}");
    problems.join("\n")
}

#[test]
fn a_name_that_is_none_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("absolute");
    let names: [&[u8]; 9] =
        [b"..", b".", b"", b"a/b", b"../outside", b"/", absolute.to_str().unwrap().as_bytes(), b"nul\0", &[b'x'; 1025]];
    for name in names {
        is_refused(&format!("{:?}", name.escape_ascii().to_string()), &raw_leaf(&[raw_file(name)]));
    }
    assert_eq!(names_in(outside.path()), BTreeSet::new());
}

#[test]
fn names_that_stand_twice_or_out_of_order_are_refused() {
    is_refused("twice", &raw_leaf(&[raw_file(b"a"), raw_file(b"a")]));
    is_refused("out of order", &raw_leaf(&[raw_file(b"b"), raw_file(b"a")]));
}

/// What a file system cannot hold is that item's problem alone.
#[test]
fn a_name_too_long_for_the_disk_loses_only_itself() {
    let lab = Lab::new();
    let long = vec![b'x'; 1024];
    let snapshot = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
        let inner = forge.folder(&[file(b"inner")]);
        body(forge.folder(&[file(b"good"), file(&long), folder(&[&long[1..], b"y"].concat(), inner)]))
    });
    let sandbox = tempfile::tempdir().unwrap();
    let world = World::at(8);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let target = sandbox.path().join("target");
    assert_eq!(restore_to(&repository, snapshot, Path::new("/"), &target, &world).unwrap(), 2);
    assert_eq!(names_in(&target), ["good".to_owned()].into());
}

/// Chunks of one folder that tell different stories about its names.
#[test]
fn chunks_of_a_folder_that_overlap_are_refused() {
    let lab = Lab::new();
    let mut refused = Vec::new();
    let snapshot = commit(&lab.machine, &lab.store, &key_file(KEY), |forge| {
        let mut inner = |leaves: &[(&[&[u8]], &[u8])]| {
            let child = |(names, last): &(&[&[u8]], &[u8])| {
                let id = forge.folder(&names.iter().map(|name| file(name)).collect::<Vec<_>>());
                FolderChild { last: caddis::format::name::Name::new(*last).unwrap(), id, entries: 1 }
            };
            let children: Vec<_> = leaves.iter().map(child).collect();
            refused.push(children[1].id);
            forge.chunk(ChunkKind::Node, &encode(&FolderChunk::Inner { level: 1, children }))
        };
        let nodes = [
            folder(b"again", inner(&[(&[b"a", b"b"], b"b"), (&[b"b", b"c"], b"c")])),
            folder(b"back", inner(&[(&[b"a", b"c"], b"c"), (&[b"b", b"d"], b"d")])),
            folder(b"other", inner(&[(&[b"a", b"b"], b"b"), (&[b"c"], b"d")])),
        ];
        body(forge.folder(&nodes))
    });
    let sandbox = tempfile::tempdir().unwrap();
    let world = World::at(8);
    let repository = lab.machine.open(&lab.store, &world).unwrap();
    let target = sandbox.path().join("target");
    assert_eq!(restore_to(&repository, snapshot, Path::new("/"), &target, &world).unwrap(), 3);
    for (problem, id) in world.problems().iter().zip(refused) {
        assert!(problem.contains(&id.to_string()), "{problem}");
    }
    assert_eq!(names_in(&target.join("again")), ["a", "b"].map(str::to_owned).into());
    assert_eq!(names_in(&target.join("back")), ["a", "c"].map(str::to_owned).into());
    assert_eq!(names_in(&target.join("other")), ["a", "b"].map(str::to_owned).into());
}
