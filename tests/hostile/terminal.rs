//! What a member's names do to a terminal: nothing. Every command prints them escaped, on both its outputs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use caddis::format::metadata::Owner;
use caddis::format::snapshot::Body;
use caddis::format::tree::{Content, Node, NodeKind, NodeXattr, Piece, XattrValue};
use caddis::id::ChunkId;
use caddis::keys::kdf::Argon2Cost;
use caddis::repo::access::{KeySource, NewKey};
use caddis::store::local::LocalStore;
use zeroize::Zeroizing;

use crate::common::program::{Machine, Run};
use crate::forge::{body, commit_beside, content, file, folder, key_of, node, symlink};
use crate::lab::{self, World};

/// Clears the screen, sets the title, goes back over what stands there, turns the rest of the line around; the C1 form of an
/// escape sequence, and a delete.
const EVIL: &str = "a\x1b[2J\x1b]0;title\x07\r\u{8}\u{202e}\u{61c}\u{9b}31m\x7f\nb";

/// Nothing but line feeds and what is visible.
#[track_caller]
fn is_plain(run: &Run) {
    let stdout = std::str::from_utf8(&run.stdout).unwrap();
    for (output, text) in [("standard output", stdout), ("standard error", &run.stderr)] {
        let evil = |&character: &char| {
            (character.is_control() && character != '\n') || matches!(character, '\u{61c}' | '\u{202a}'..='\u{202e}')
        };
        assert_eq!(text.chars().find(evil), None, "{output}: {}", text.escape_debug());
    }
}

/// A snapshot in which every text and every name is evil, and something cannot be restored.
fn commit_evil(machine: &Machine) {
    commit_beside(machine, |forge| {
        let evil = EVIL.as_bytes();
        let missing = Content::Pieces(vec![Piece::Chunk { id: ChunkId([9; 32]), len: 5 }]);
        let xattr = NodeXattr { name: evil.to_vec(), value: XattrValue::Inline(evil.to_vec()) };
        let (user, group) = (Some(evil.to_vec()), Some(evil.to_vec()));
        let owned =
            Node { owner: Owner { uid: 0, gid: 0, user, group }, xattrs: vec![xattr], ..file(&[evil, b"3"].concat()) };
        let nodes = [
            node(&[evil, b"1"].concat(), NodeKind::Symlink { target: evil.to_vec() }),
            content(&[evil, b"2"].concat(), 5, missing),
            owned,
        ];
        let inner = forge.folder(&nodes);
        let root = forge.folder(&[folder(evil, inner), symlink(b"z", Path::new(EVIL))]);
        let text = || vec![EVIL.to_owned()];
        Body { hosts: text(), user: EVIL.to_owned(), tags: text(), paths: vec![evil.to_vec()], ..body(root) }
    });
}

#[test]
fn no_command_prints_a_control_character() {
    let machine = Machine::with_repository();
    commit_evil(&machine);
    let commands = [
        ("snapshots", 0),
        ("snapshots --json", 0),
        ("ls -R latest", 0),
        ("ls -R -l latest", 0),
        ("ls -R --json latest", 0),
        ("check -v", 4),
        ("check --json", 4),
        ("restore latest target -v", 7),
        ("restore latest target2 --json", 7),
    ];
    for (words, code) in commands {
        let run = machine.caddis(words).ends_with(code);
        is_plain(&run);
        let said = [&run.stdout[..], run.stderr.as_bytes()].concat();
        assert!(said.windows(3).any(|window| window == b"[2J"), "{words} does not tell: {}", run.transcript());
    }
    for argument in [format!("latest:/{EVIL}/{EVIL}2"), format!("latest:/{EVIL}/none"), EVIL.to_owned()] {
        for words in ["cat", "ls", "restore --target x"] {
            let words = words.replace("restore --target x", "restore");
            let caddis = machine.caddis(&words).arg(&argument);
            let caddis = if words == "restore" { caddis.arg("target3") } else { caddis };
            is_plain(&caddis.run());
        }
    }
    assert!(fs::symlink_metadata(machine.path("target").join("z")).unwrap().is_symlink());
}

#[test]
fn the_name_of_a_key_is_printed_escaped() {
    let machine = Machine::with_repository();
    let world = World::at(1);
    let attacker = lab::Machine::new(&machine.path("attacker"), EVIL);
    let store = Arc::new(LocalStore::open(&machine.repository).unwrap());
    let mut repository = attacker.open_with(&store, &key_of(&machine), &world).unwrap();
    let source = KeySource::KeyFile(Zeroizing::new([1; 32]));
    let key = NewKey { source, cost: Argon2Cost::default(), label: EVIL.to_owned() };
    repository.add_key(&key, &world.cx()).unwrap();
    for words in ["key list", "key list --json"] {
        let run = machine.caddis(words).ok();
        is_plain(&run);
        assert!(run.text().contains("[2J"), "{}", run.transcript());
    }
}
