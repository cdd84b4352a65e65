//! What tests of prunes share: how to forget and prune, and what is left when nothing is left that nobody needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use caddis::error::{Error, Result};
use caddis::forget::{Choice, forget, plan};
use caddis::format::index::ShortId;
use caddis::id::SnapshotId;
use caddis::prune::{Options, Report, Unused, prune};
use caddis::repo::fetch::Reader;
use caddis::repo::snapshots::Filter;
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};
use caddis::tree::closure::for_each_needed;
use jiff::Span;

use crate::lab::{Machine, World, names, torn};

/// No window, and nothing may stay that nobody needs.
pub(crate) fn all_goes() -> Options {
    Options { undo_window: Span::new(), min_age: Span::new(), max_unused: Unused::Bytes(0), ..Options::default() }
}

/// No window. What is partly needed stays as it is.
pub(crate) fn nothing_is_copied() -> Options {
    Options { max_unused: Unused::Unlimited, max_repack: 0, ..all_goes() }
}

pub(crate) fn prunes(
    machine: &Machine,
    store: &Arc<impl Store + 'static>,
    options: &Options,
    world: &World,
) -> Result<Report> {
    let mut repository = machine.open(store, world)?;
    prune(&mut repository, options, &mut |_| {}, &world.cx())
}

pub(crate) fn forgets(
    machine: &Machine,
    store: &Arc<impl Store + 'static>,
    ids: &[SnapshotId],
    world: &World,
) -> Result<()> {
    let mut repository = machine.open(store, world)?;
    let choice = Choice::Named(ids.iter().map(ToString::to_string).collect());
    let plan = plan(&repository, &choice, &Filter::default(), &world.cx())?;
    forget(&mut repository, plan, &world.cx()).map(drop)
}

/// Forgets of these what is not forgotten yet.
pub(crate) fn forgets_what_is_left(
    machine: &Machine,
    store: &Arc<impl Store + 'static>,
    ids: &[SnapshotId],
    world: &World,
) -> Result<()> {
    for &id in ids {
        match forgets(machine, store, &[id], world) {
            Ok(()) | Err(Error::NoSuchSnapshot { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whatever is left is needed by one of these snapshots, and is there once. Only what a fault has torn may lie about.
pub(crate) fn assert_no_garbage(
    machine: &Machine,
    store: &Arc<MemoryStore>,
    kept: &BTreeSet<SnapshotId>,
    context: &str,
) {
    let world = World::at(0);
    let cx = world.cx();
    let repository = machine.open(store, &world).expect(context);
    let torn = torn(store);
    let left = |kind| -> BTreeSet<ObjectName> {
        names(store, kind).into_iter().filter(|name| !torn.contains(name.path().as_bytes())).collect()
    };
    assert_eq!(left(ObjectKind::Pending), BTreeSet::new(), "{context}");
    assert_eq!(left(ObjectKind::Forgotten), BTreeSet::new(), "{context}");
    let snapshots: BTreeSet<SnapshotId> =
        left(ObjectKind::Snapshots).into_iter().map(|name| name.id().into()).collect();
    assert_eq!(snapshots, *kept, "{context}");
    let gc = repository.gc(&cx).expect(context).records.records;
    assert!(gc.values().all(|record| record.condemned.is_empty()), "{context}: {gc:?}");
    assert!(gc.len() <= 1, "{context}: {gc:?}");

    let mut needed = BTreeSet::new();
    let reader = Reader::open(&repository, &cx).expect(context);
    for snapshot in repository.snapshots(&cx).expect(context) {
        let enter = &mut |chunk: &caddis::tree::closure::Needed| Ok(needed.insert(ShortId::from(chunk.id)));
        for_each_needed(&reader, &snapshot.body, cx.cancel, enter).expect(context);
    }
    let view = repository.look(&cx).expect(context);
    let (mut held, mut packs) = (BTreeSet::new(), BTreeSet::new());
    for chunk in view.index.chunks().unwrap() {
        let (id, location) = chunk.unwrap();
        assert!(needed.contains(&id), "{context}: nobody needs {id:?}");
        assert!(held.insert(id), "{context}: {id:?} is there twice");
        packs.insert(location.pack.name());
    }
    assert_eq!(held, needed, "{context}");
    let named: BTreeSet<ObjectName> = view.index.packs().unwrap().map(|pack| pack.unwrap().name()).collect();
    assert_eq!(named, packs, "{context}: the index names packs of which it has nothing");
    let there: BTreeSet<ObjectName> = [ObjectKind::Packs, ObjectKind::Trees].into_iter().flat_map(left).collect();
    assert_eq!(there, packs, "{context}");
}
