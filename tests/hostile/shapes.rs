//! A member's trees that take more memory or time than there is: very deep ones, and small ones that unfold into very many
//! nodes. Nothing can stand in itself, since a name is a hash.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use caddis::format::link::{LinkChunk, LinkGroup};
use caddis::format::metadata::Timestamp;
use caddis::format::name::TreePath;
use caddis::format::record::encode;
use caddis::format::snapshot::TableRef;
use caddis::format::tree::{
    Content, LINK_TARGET_MAX, ListChild, ListChunk, Node, NodeKind, NodeXattr, Piece, TREE_LEVELS_MAX, XattrValue,
};
use caddis::id::ChunkId;
use caddis::keys::domain::ChunkKind;

use crate::common::program::{Machine, inside};
use crate::forge::{Forge, body, commit_beside, content, file, folder, node, within_a_gibibyte};

/// Far beyond what a stack of two megabytes has room for, and what a path in a system call may have.
const LEVELS: usize = 100_000;

/// A folder in a folder, and so on; each holds a small file, too.
fn deep(forge: &mut Forge<'_, '_>, levels: usize) -> ChunkId {
    let bottom = forge.folder(&[file(b"bottom")]);
    (0..levels).fold(bottom, |below, _| forge.folder(&[folder(b"d", below)]))
}

#[test]
fn a_very_deep_tree_is_brought_back_and_listed() {
    let machine = Machine::with_repository();
    commit_beside(&machine, |forge| {
        let tree = deep(forge, LEVELS);
        body(forge.folder(&[folder(b"deep", tree), file(b"top")]))
    });
    assert_eq!(within_a_gibibyte(machine.caddis("ls latest")).ok().text(), "/deep\n/top\n");
    assert_eq!(within_a_gibibyte(machine.caddis("cat latest:/top")).ok().stdout, b"good");
    let long = Path::new("/deep").join("d/".repeat(10_000));
    assert!(within_a_gibibyte(machine.caddis("ls").arg(inside("latest", &long))).ok().text().ends_with("/d/d/d\n"));
    // In memory where that can be: a busy disk takes minutes to remove so deep a tree.
    let sandbox = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let target = sandbox.path().join("target");
    let run = within_a_gibibyte(machine.caddis("restore latest:/deep --json").arg(&target)).ok();
    assert_eq!(run.json()["dirs_restored"], LEVELS, "{}", run.transcript());
    within_a_gibibyte(machine.caddis("check")).ok();
    // What a test leaves behind is else removed by recursion, on a stack of the usual size.
    assert!(Command::new("rm").arg("-rf").arg(target).status().unwrap().success());
}

#[test]
fn a_deep_tree_is_listed_as_a_whole() {
    let machine = Machine::with_repository();
    commit_beside(&machine, |forge| {
        let tree = deep(forge, 4_000);
        body(forge.folder(&[folder(b"deep", tree)]))
    });
    assert_eq!(within_a_gibibyte(machine.caddis("ls -R latest")).ok().text().lines().count(), 4_002);
}

/// A chunk as large as may be on each of very many levels: each was held until the walk had come back and left it.
#[test]
fn a_tree_that_is_wide_and_deep_takes_the_memory_of_a_few_levels() {
    const LEVELS: usize = 350;
    let machine = Machine::with_repository();
    commit_beside(&machine, |forge| {
        // No disk takes so long a target: nothing of all this has to be made.
        let wide: Vec<_> = (0..60)
            .map(|number| {
                let kind = NodeKind::Symlink { target: vec![b'x'; LINK_TARGET_MAX] };
                node(format!("w{number}").as_bytes(), kind)
            })
            .collect();
        let tree = (0..LEVELS).fold(forge.folder(&[file(b"bottom")]), |below, level| {
            let mtime = Some(Timestamp { secs: i64::try_from(level).unwrap(), nanos: 0 });
            let mut nodes = vec![Node { mode: 0o710, mtime, ..folder(b"d", below) }];
            nodes.extend_from_slice(&wide);
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            forge.folder(&nodes)
        });
        body(tree)
    });
    let run = within_a_gibibyte(machine.caddis("ls -R latest")).ok();
    assert_eq!(run.text().lines().count(), LEVELS * 61 + 1);
    within_a_gibibyte(machine.caddis("check")).ok();
    let run = within_a_gibibyte(machine.caddis("restore latest target -v")).ends_with(7);
    assert_eq!(run.stderr.lines().filter(|line| line.contains("cannot create it")).count(), LEVELS * 60);
    let target = machine.path("target");
    assert_eq!(fs::read(target.join("d/".repeat(LEVELS)).join("bottom")).unwrap(), b"good");
    // Those whose nodes were given up on the way down have their metadata all the same.
    for (depth, level) in (1..=LEVELS).zip((0..LEVELS).rev()) {
        let found = fs::metadata(target.join("d/".repeat(depth))).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (0o710, i64::try_from(level).unwrap()), "{depth}");
    }
}

/// Forty levels of two names for the same folder are a million million folders.
#[test]
fn a_tree_that_unfolds_without_end_is_checked_and_listed_at_once() {
    let machine = Machine::with_repository();
    commit_beside(&machine, |forge| {
        let bottom = forge.folder(&[file(b"bottom")]);
        let tree = (0..40).fold(bottom, |below, _| forge.folder(&[folder(b"a", below), folder(b"b", below)]));
        body(tree)
    });
    within_a_gibibyte(machine.caddis("check")).ok();
    assert_eq!(within_a_gibibyte(machine.caddis("ls latest:/a/b/a")).ok().text(), "/a/b/a/a\n/a/b/a/b\n");
}

/// As many levels as there may be, each of two names for what is below.
fn unfolding(forge: &mut Forge<'_, '_>, leaf: &ListChunk, bytes: u64) -> (ChunkId, u64) {
    let leaf = forge.chunk(ChunkKind::List, &encode(leaf));
    (1..=TREE_LEVELS_MAX).fold((leaf, bytes), |(id, bytes), level| {
        let chunk = ListChunk::Inner { level, children: vec![ListChild { id, bytes }; 2] };
        (forge.chunk(ChunkKind::List, &encode(&chunk)), 2 * bytes)
    })
}

/// A list of nothing, in four thousand million ways, was walked to its end; nothing could interrupt it.
#[test]
fn a_list_that_leads_to_nothing_in_very_many_ways_is_refused() {
    let machine = Machine::with_repository();
    commit_beside(&machine, |forge| {
        let (list, _) = unfolding(forge, &ListChunk::Leaf(Vec::new()), 0);
        body(forge.folder(&[file(b"good"), content(b"nothing", 0, Content::List(list))]))
    });
    let run = within_a_gibibyte(machine.caddis("restore latest target")).ends_with(7);
    assert!(run.stderr.contains("/nothing: ") && run.stderr.contains("holds nothing"), "{}", run.transcript());
    assert_eq!(fs::read(machine.path("target/good")).unwrap(), b"good");
    within_a_gibibyte(machine.caddis("cat latest:/nothing")).ends_with(1);
    let run = within_a_gibibyte(machine.caddis("check")).ends_with(4);
    assert!(run.stderr.contains("/nothing") && run.stderr.contains("holds nothing"), "{}", run.transcript());
}

/// A file of four thousand million pieces, whole, lost, or with one more byte in the middle of its list than is said above.
#[test]
fn a_list_that_unfolds_into_very_many_pieces_is_checked_at_once() {
    let of_one_byte = |id| ListChunk::Leaf(vec![Piece::Chunk { id, len: 1 }]);
    for (lost, bytes, said) in [(false, 1, None), (true, 1, Some("is in no pack")), (false, 2, Some("not as long"))] {
        let machine = Machine::with_repository();
        commit_beside(&machine, |forge| {
            let id = if lost { ChunkId([7; 32]) } else { forge.chunk(ChunkKind::Data, b"x") };
            let (list, size) = unfolding(forge, &of_one_byte(id), bytes);
            body(forge.folder(&[file(b"good"), content(b"many", size, Content::List(list))]))
        });
        let Some(said) = said else {
            within_a_gibibyte(machine.caddis("check")).ok();
            continue;
        };
        let run = within_a_gibibyte(machine.caddis("check")).ends_with(4);
        assert!(run.stderr.contains("/many") && run.stderr.contains(said), "{}", run.transcript());
        let run = within_a_gibibyte(machine.caddis("restore latest target")).ends_with(7);
        assert!(run.stderr.contains("/many: "), "{}", run.transcript());
        assert_eq!(fs::read(machine.path("target/good")).unwrap(), b"good");
    }
}

/// Tables are read into memory as a whole.
#[test]
fn a_table_in_which_a_chunk_stands_very_often_is_refused() {
    let machine = Machine::with_repository();
    commit_beside(&machine, |forge| {
        let paths = ["a", "b"].map(|path| TreePath::from_bytes(path.as_bytes()).unwrap()).to_vec();
        let chunk = encode(&LinkChunk(vec![LinkGroup(paths)]));
        let len = u32::try_from(chunk.len()).unwrap();
        let id = forge.chunk(ChunkKind::Link, &chunk);
        let (list, bytes) = unfolding(forge, &ListChunk::Leaf(vec![Piece::Chunk { id, len }]), len.into());
        let table = Some(TableRef { list, bytes });
        let root = forge.folder(&[file(b"a"), file(b"b")]);
        caddis::format::snapshot::Body { links: table, ..body(root) }
    });
    let run = within_a_gibibyte(machine.caddis("restore latest target")).ends_with(7);
    assert!(run.stderr.contains("stands in a table twice"), "{}", run.transcript());
    for name in ["a", "b"] {
        assert_eq!(fs::read(machine.path("target").join(name)).unwrap(), b"good");
    }
    let run = within_a_gibibyte(machine.caddis("check")).ends_with(4);
    assert!(run.stderr.contains("stands in a table twice"), "{}", run.transcript());
}

/// One chunk of eight megabytes of zeros was a value as often as a node could name it: half a terabyte in memory.
#[test]
fn extended_attributes_take_no_more_memory_than_a_disk_takes_of_them() {
    let machine = Machine::with_repository();
    commit_beside(&machine, |forge| {
        let large = Piece::Chunk { id: forge.chunk(ChunkKind::Data, &vec![0; 8 << 20]), len: 8 << 20 };
        let small = Piece::Chunk { id: forge.chunk(ChunkKind::Data, &vec![0; 64 << 10]), len: 64 << 10 };
        let named = |number: usize, value| NodeXattr { name: format!("none.{number:04}").into_bytes(), value };
        let with = |name: &[u8], count, pieces: Vec<Piece>| {
            let xattrs = (0..count).map(|number| named(number, XattrValue::Pieces(pieces.clone()))).collect();
            Node { xattrs, ..file(name) }
        };
        let many: Vec<_> = (0..100).map(|number| with(format!("{number:03}").as_bytes(), 400, vec![small])).collect();
        let many = forge.folder(&many);
        body(forge.folder(&[with(b"large", 4096, vec![large; 16]), folder(b"many", many)]))
    });
    let run = within_a_gibibyte(machine.caddis("restore -v latest target")).ends_with(7);
    let told = run.stderr.lines().filter(|line| line.contains("/large: ") && line.contains("longer than any")).count();
    assert_eq!(told, 4096);
    // Sixteen mebibytes of values of 64 KiB are 256 of them.
    let told =
        run.stderr.lines().filter(|line| line.contains("/many/007: ") && line.contains("longer together")).count();
    assert_eq!(told, 400 - 256);
    assert_eq!(fs::read(machine.path("target/large")).unwrap(), b"good");
    within_a_gibibyte(machine.caddis("check")).ok();
}
