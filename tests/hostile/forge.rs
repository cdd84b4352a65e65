//! Snapshots of whatever an attacker likes, stored and committed as the program does it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use caddis::format::charter::{PrincipalStatement, StatementKind};
use caddis::format::metadata::{Owner, Timestamp};
use caddis::format::name::Name;
use caddis::format::record::{Extras, Writer, encode};
use caddis::format::snapshot::{Body, Summary};
use caddis::format::tree::{Content, FolderChunk, Node, NodeKind};
use caddis::id::{ChunkId, SnapshotId};
use caddis::keys::domain::ChunkKind;
use caddis::keys::keyring::{Principal, Rights};
use caddis::keys::signing::Signatory;
use caddis::progress::Context;
use caddis::repo::Repository;
use caddis::repo::access::KeySource;
use caddis::repo::charter::Author;
use caddis::repo::commit::{Announcement, Attempt};
use caddis::repo::session::{Origin, Session};
use caddis::seal::compress::Compression;
use caddis::store::Store;
use caddis::store::local::LocalStore;
use zeroize::Zeroizing;

use crate::common::program::{Caddis, Machine as Program};
use crate::lab::{Machine, World};

/// Where chunks of a forged snapshot go.
pub(crate) struct Forge<'a, 'r> {
    session: Session<'r>,
    cx: &'a Context<'a>,
}

impl Forge<'_, '_> {
    pub(crate) fn chunk(&mut self, kind: ChunkKind, plain: &[u8]) -> ChunkId {
        let origin = if kind == ChunkKind::Data { Origin::User(0) } else { Origin::Tree };
        self.session.store(kind, origin, plain, self.cx).unwrap()
    }

    /// A folder of one chunk with these nodes in their order.
    pub(crate) fn folder(&mut self, nodes: &[Node]) -> ChunkId {
        self.chunk(ChunkKind::Node, &encode(&FolderChunk::Leaf(nodes.to_vec())))
    }
}

/// A folder chunk of nodes that are encoded already.
pub(crate) fn raw_leaf(nodes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Writer::new();
    out.array(2);
    out.uint(0);
    out.list(nodes, |out, node| out.raw(node));
    out.into_bytes()
}

/// The node of a small file whose name need not be one.
pub(crate) fn raw_file(name: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.map(|fields| {
        fields.at(0).bytes(name);
        fields.at(1).uint(0);
        fields.at(2).uint(0o644);
        fields.at(3).uint(0);
        fields.at(4).uint(0);
        fields.at(8).uint(3);
        fields.at(9).bytes(b"bad");
    });
    out.into_bytes()
}

pub(crate) fn node(name: &[u8], kind: NodeKind) -> Node {
    let (name, owner, mtime) = (Name::new(name).unwrap(), Owner::default(), Some(Timestamp { secs: 1, nanos: 0 }));
    Node { name, kind, mode: 0o755, owner, mtime, xattrs: Vec::new(), extras: Extras::default() }
}

/// A small file.
pub(crate) fn file(name: &[u8]) -> Node {
    content(name, 4, Content::Inline(b"good".to_vec()))
}

pub(crate) fn content(name: &[u8], size: u64, content: Content) -> Node {
    node(name, NodeKind::File { size, content, changed: false })
}

pub(crate) fn folder(name: &[u8], tree: ChunkId) -> Node {
    node(name, NodeKind::Folder { tree })
}

pub(crate) fn symlink(name: &[u8], target: &Path) -> Node {
    node(name, NodeKind::Symlink { target: target.to_str().unwrap().into() })
}

/// A body that says nothing of interest beside its root.
pub(crate) fn body(root: ChunkId) -> Body {
    Body {
        root,
        links: None,
        births: None,
        hosts: vec!["host".to_owned()],
        user: "user".to_owned(),
        paths: vec![b"/".to_vec()],
        tags: Vec::new(),
        partial: false,
        program_version: "caddis".to_owned(),
        summary: Summary::default(),
        extras: Extras::default(),
    }
}

/// Commits a snapshot of what `make` stores.
pub(crate) fn commit(
    machine: &Machine,
    store: &Arc<impl Store + 'static>,
    key: &KeySource,
    make: impl FnOnce(&mut Forge<'_, '_>) -> Body,
) -> SnapshotId {
    let world = World::at(7);
    let cx = world.cx();
    let mut repository = machine.open_with(store, key, &world).unwrap();
    repository.introduce_self(&cx).unwrap();
    commit_to(&repository, &cx, make)
}

fn commit_to(repository: &Repository, cx: &Context<'_>, make: impl FnOnce(&mut Forge<'_, '_>) -> Body) -> SnapshotId {
    let mut run = repository.state.begin_run().unwrap();
    let session = Session::start(repository, repository.look(cx).unwrap(), Compression::Auto, cx).unwrap();
    let mut forge = Forge { session, cx };
    let body = make(&mut forge);
    let relied = forge.session.finish(cx).unwrap();
    let announcement = Announcement { time: Timestamp { secs: 1_600_000_000, nanos: 0 }, label: None, original: None };
    match repository.commit(&announcement, &body, &relied, &mut Vec::new(), &mut run, cx).unwrap() {
        Attempt::Saved(id, _) => {
            run.finish();
            id
        }
        Attempt::Overtaken(id) => panic!("{id} was overtaken, and nobody prunes here"),
    }
}

/// Commits a forged snapshot to the repository of a machine that runs the program.
pub(crate) fn commit_beside(program: &Program, make: impl FnOnce(&mut Forge<'_, '_>) -> Body) -> SnapshotId {
    let store = Arc::new(LocalStore::open(&program.repository).unwrap());
    commit(&Machine::new(&program.path("attacker"), "attacker"), &store, &key_of(program), make)
}

/// The key file of a machine that runs the program.
pub(crate) fn key_of(program: &Program) -> KeySource {
    KeySource::KeyFile(Zeroizing::new(fs::read(&program.key_file).unwrap().try_into().unwrap()))
}

/// The program in an address space of 1 GiB.
pub(crate) fn within_a_gibibyte(caddis: Caddis) -> Caddis {
    // Every thread of glibc reserves 64 MiB for an arena of its own, used or not.
    caddis.env("MALLOC_ARENA_MAX", "2").under(&["sh", "-c", "ulimit -v 1048576 && exec \"$0\" \"$@\""])
}

/// Somebody to whom the owner gives these rights and no others, and whose key was stolen.
pub(crate) fn member(repository: &Repository, rights: Rights) -> Signatory {
    member_with(repository, [77; 32], rights)
}

/// The same, of several.
pub(crate) fn member_with(repository: &Repository, seed: [u8; 32], rights: Rights) -> Signatory {
    let stolen = Signatory::from_seed(&seed);
    let (host, user) = ("stolen".to_owned(), "cron".to_owned());
    let principal = Principal { key: stolen.public(), rights, host, user };
    let statement = PrincipalStatement { principal, time: Timestamp::default(), extras: Extras::default() };
    let owner = repository.keyring.owner.as_ref().unwrap();
    let heads = repository.charter_heads.clone();
    let mut author =
        Author { objects: &repository.objects, repository: repository.id(), owner, heads, made: Vec::new() };
    author.state(StatementKind::Principal, &statement, repository.keyring.newest()).unwrap();
    stolen
}
