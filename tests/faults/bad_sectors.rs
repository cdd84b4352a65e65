//! Disks that give an error for some bytes of a pack: a check charges what lies there, and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use caddis::check::{self, ReadData, Report, Verdict, check};
use caddis::repo::InitOptions;
use caddis::store::memory::MemoryStore;
use caddis::store::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};

use crate::compare::snapshot_of;
use crate::lab::{Lab, World, names, random_bytes, restore_to};

/// A store on a disk that cannot read some bytes of an object.
struct BadSectors {
    store: Arc<MemoryStore>,
    object: ObjectName,
    bad: Range<u64>,
}

impl Store for BadSectors {
    fn location(&self) -> String {
        self.store.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.put(name, bytes)
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        let bytes = self.store.get(name, range)?;
        let len = bytes.len() as u64;
        let start = match range {
            ByteRange::Whole { .. } => 0,
            ByteRange::At { offset, .. } => offset,
            ByteRange::Last { len } => self.store.objects()[name].len() as u64 - len,
        };
        match *name == self.object && start < self.bad.end && self.bad.start < start + len {
            true => Err(StoreError::Unreadable(io::Error::other("a bad sector"))),
            false => Ok(bytes),
        }
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        self.store.list(kind)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.store.delete(name)
    }
}

/// What a check says of a disk with a bad sector, and the paths that a restore does not bring back.
fn look(lab: &Lab, store: &Arc<BadSectors>, read_data: ReadData) -> (Report, BTreeSet<Vec<u8>>) {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::at(2));
    let machine = lab.machine.copied_to(folder.path());
    let repository = machine.open(store, &world).unwrap();
    let report = check(&repository, &check::Options { read_data }, &world.cx()).unwrap();
    let snapshot = repository.snapshots(&world.cx()).unwrap().remove(0).id;
    let target = folder.path().join("target");
    restore_to(&repository, snapshot, &lab.source, &target, &world).unwrap();
    let restored = snapshot_of(&target);
    let lost = lab.tree().into_keys().filter(|path| !restored.contains_key(path));
    (report, lost.map(|path| [lab.source.as_os_str().as_bytes(), b"/", &path].concat()).collect())
}

/// One bad sector made a check say that all of a pack was lost.
#[test]
fn a_sector_that_cannot_be_read_costs_what_lies_on_it() {
    let mut lab = Lab::new();
    lab.store = Arc::new(MemoryStore::new());
    lab.machine = lab.machine("with larger packs");
    lab.machine.init_with(&lab.store, InitOptions { pack_bytes: 8 << 20 }).unwrap();
    for number in 0..3 {
        lab.write(&number.to_string(), &random_bytes(&number.to_string(), 2_000_000));
    }
    lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap();
    let packs = names(&lab.store, ObjectKind::Packs);
    let object = *packs.first().unwrap();
    assert_eq!(packs.len(), 1, "all three are in one pack");
    let len = lab.store.objects()[&object].len() as u64;
    let places = [0, len / 6, len / 2, len / 6 * 5, len - 1];
    for at in places {
        let bad = at / 512 * 512..at / 512 * 512 + 512;
        let store = Arc::new(BadSectors { store: lab.store.clone(), object, bad });
        let (report, lost) = look(&lab, &store, ReadData::All);
        let [error] = &report.errors[..] else { panic!("at {at}: {:?}", report.errors) };
        assert_eq!(error.object, object);
        assert!(error.what.contains("a bad sector"), "{}", error.what);
        assert_eq!(error.paths.iter().cloned().collect::<BTreeSet<_>>(), lost, "at {at}");
        assert!(lost.len() <= 2, "at {at}: a chunk or a block in two files at most: {lost:?}");
        assert_eq!(report.verdict(), if lost.is_empty() { Verdict::Repairable } else { Verdict::Damaged });
        // At the end lies what the pack says of itself, which a reader needs not; the first block begins in the first sector.
        let is_at_the_end = at == len - 1;
        assert_eq!(lost.is_empty(), is_at_the_end, "at {at}");
        if is_at_the_end || at == 0 {
            assert_eq!(look(&lab, &store, ReadData::Suspects).0.errors, report.errors);
        }
    }
    // A disk on which nothing of it can be read.
    let store = Arc::new(BadSectors { store: lab.store.clone(), object, bad: 0..len });
    let (report, lost) = look(&lab, &store, ReadData::All);
    assert_eq!((report.errors[0].object, report.errors[0].paths.len(), lost.len()), (object, 3, 3));
}
