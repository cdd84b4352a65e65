//! Objects that are made to be in everybody's way: of a later version that does not exist, with keys that are none, with
//! costs that nobody can pay. Who may not do a thing cannot keep others from it either.

use std::collections::BTreeSet;
use std::sync::Arc;

use caddis::error::Error;
use caddis::format::charter::LimitedGeneration;
use caddis::format::index::PackKind;
use caddis::format::metadata::Timestamp;
use caddis::format::pack::PackKeys;
use caddis::format::record::{Extras, Writer, encode};
use caddis::format::slot::{self, SlotHeader, SlotKind};
use caddis::format::snapshot::Header;
use caddis::format::{Code, head};
use caddis::id::{ObjectId, SnapshotId};
use caddis::keys::kdf::Argon2Cost;
use caddis::keys::keyring::Rights;
use caddis::keys::signing::{Purpose, Signatory};
use caddis::repo::Repository;
use caddis::repo::access::{KeySource, NewKey};
use caddis::seal::hpke::{DataPublicKey, HpkeRefused};
use caddis::seal::record::{Padding, PurposeKey, seal};
use caddis::store::memory::MemoryStore;
use caddis::store::{ObjectKind, ObjectName, Store};
use zeroize::Zeroizing;

use crate::forge::member;
use crate::lab::{Lab, World, assert_same_tree, names, random_bytes};

/// Somebody with these rights, and all that they need to make objects.
pub(crate) struct Maker {
    pub(crate) repository: Repository,
    signatory: Signatory,
}

impl Maker {
    pub(crate) fn new(lab: &Lab, rights: Rights) -> Self {
        let repository = lab.machine.open(&lab.store, &World::at(3)).unwrap();
        let signatory = member(&repository, rights);
        Self { repository, signatory }
    }

    pub(crate) fn start(&self, code: Code) -> Vec<u8> {
        [&head(code)[..], &self.repository.keyring.newest().number.to_le_bytes()].concat()
    }

    pub(crate) fn seal(&self, before: &[u8], plain: &[u8], key: &PurposeKey) -> Vec<u8> {
        let binding = [before, &self.repository.id().0].concat();
        seal(key, &binding, plain, Padding::Multiple(1), 0).unwrap()
    }

    fn put(&self, kind: ObjectKind, purpose: Purpose, mut object: Vec<u8>) -> ObjectName {
        let signature = self.signatory.sign(purpose, &self.repository.id(), &object);
        object.extend(signature);
        self.repository.objects.put(kind, &object).unwrap()
    }

    /// A record of a log with a field that no version knows.
    fn put_newer(&self, kind: ObjectKind, code: Code, purpose: Purpose) -> ObjectName {
        let mut object = self.start(code);
        let plain = [&self.signatory.public().principal().0[..], &unknown_field()].concat();
        object.extend(self.seal(&object, &plain, &self.repository.keyring.newest().log));
        self.put(kind, purpose, object)
    }

    /// A snapshot with these bytes as its sealed body.
    pub(crate) fn put_snapshot(&self, header: &[u8], body: &[u8]) -> ObjectName {
        let mut object = self.start(Code::Snapshot);
        let sealed = self.seal(&object, header, &self.repository.keyring.newest().log);
        object.extend(u32::try_from(sealed.len()).unwrap().to_le_bytes());
        object.extend(sealed);
        object.extend(body);
        self.put(ObjectKind::Snapshots, Purpose::Snapshot, object)
    }

    pub(crate) fn header(&self, body: &[u8]) -> Header {
        Header {
            writer: self.signatory.public().principal(),
            heads: Vec::new(),
            original: None,
            time: Timestamp::default(),
            label: None,
            charter_heads: Vec::new(),
            body_hash: *blake3::hash(body).as_bytes(),
            extras: Extras::default(),
        }
    }
}

/// A map with the last critical key, which no record has.
fn unknown_field() -> Vec<u8> {
    let mut out = Writer::new();
    out.map(|fields| fields.at(63).uint(0));
    out.into_bytes()
}

/// A lab with one snapshot.
pub(crate) fn lab() -> (Lab, SnapshotId) {
    let lab = Lab::new();
    lab.write_old_tree();
    let saved = lab.machine.backup(&lab.store, &lab.source, &World::at(1)).unwrap().snapshot;
    (lab, saved)
}

/// A backup and a restore by others work, and tell of these objects.
#[track_caller]
pub(crate) fn is_in_nobodys_way(lab: &Lab, saved: SnapshotId, objects: &[ObjectName]) {
    lab.write_new_tree();
    let world = World::at(5);
    let report = lab.machine("victim").backup(&lab.store, &lab.source, &world).unwrap();
    let told: BTreeSet<Vec<u8>> = objects.iter().map(|name| name.path().into_bytes()).collect();
    assert!(world.items().is_superset(&told), "{:?}", world.problems());
    let problems_of = |id| {
        let (world, folder) = (World::at(6), tempfile::tempdir().unwrap());
        let repository = lab.machine("victim").open(&lab.store, &world).unwrap();
        let target = folder.path().join("target");
        crate::lab::restore_to(&repository, id, &lab.source, &target, &world).unwrap()
    };
    assert_eq!((problems_of(saved), problems_of(report.snapshot)), (0, 0));
}

/// A writer, who can condemn nothing, kept everybody from backing up and restoring with a gc record of a later version.
#[test]
fn a_writer_is_not_obeyed_in_a_later_version_either() {
    let (lab, saved) = lab();
    let maker = Maker::new(&lab, Rights::WRITE | Rights::LIST);
    let objects = [
        maker.put_newer(ObjectKind::Gc, Code::Gc, Purpose::Gc),
        maker.put_newer(ObjectKind::Forgotten, Code::Forgotten, Purpose::Forgotten),
        maker.put_newer(ObjectKind::Index, Code::Segment, Purpose::Segment),
    ];
    is_in_nobodys_way(&lab, saved, &objects);
}

#[test]
fn a_record_of_a_later_version_by_somebody_who_may_is_not_passed_over() {
    let kinds = [(ObjectKind::Gc, Code::Gc, Purpose::Gc), (ObjectKind::Forgotten, Code::Forgotten, Purpose::Forgotten)];
    for (kind, code, purpose) in kinds {
        let (lab, _) = lab();
        let name = Maker::new(&lab, Rights::ALL).put_newer(kind, code, purpose);
        let error = lab.machine.backup(&lab.store, &lab.source, &World::at(5)).unwrap_err();
        assert!(
            matches!(&error, Error::Object { object, source } if *object == name && source.is_newer()),
            "{error:?}"
        );
        assert_eq!(error.hint().as_deref(), Some("install a newer version of caddis"));
    }
}

/// A header with an unknown field, one without fields, and bodies: cut short, noise, sealed to a point of low order.
#[test]
fn a_snapshot_that_is_none_is_named_and_in_nobodys_way() {
    let (lab, saved) = lab();
    let maker = Maker::new(&lab, Rights::WRITE | Rights::LIST);
    let mut newer = Writer::new();
    newer.map(|fields| {
        fields.at(0).bytes(&maker.signatory.public().principal().0);
        fields.at(63).uint(0);
    });
    let bodies = [Vec::new(), random_bytes("body", 500), [vec![0; 32], random_bytes("body", 500)].concat()];
    let mut objects = vec![maker.put_snapshot(&newer.into_bytes(), b""), maker.put_snapshot(&[0xa0], b"")];
    objects.extend(bodies.map(|body| maker.put_snapshot(&encode(&maker.header(&body)), &body)));
    let world = World::at(4);
    let found = lab.machine.open(&lab.store, &world).unwrap().snapshots(&world.cx()).unwrap();
    assert_eq!(found.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [saved]);
    assert_eq!(world.items(), objects.iter().map(|name| name.path().into_bytes()).collect());
    // Only headers are read by a backup; the headers of the last three are good.
    is_in_nobodys_way(&lab, saved, &objects[..2]);
    let checked = lab.machine.check(&lab.store).items();
    assert!(objects.iter().all(|name| checked.contains(name.path().as_bytes())));
}

/// A public key that is none: nothing is ever sealed to it.
#[test]
fn nothing_is_sealed_to_a_point_of_low_order() {
    let one = [&[1][..], &[0; 31]].concat();
    for point in [[0; 32], one.try_into().unwrap()] {
        let generation = LimitedGeneration {
            number: 1,
            public: DataPublicKey(point),
            keys: Zeroizing::new([[1; 32], [2; 32], [3; 32]]),
        };
        let made = PackKeys::fresh(PackKind::Data, &generation.keys(), &caddis::id::RepositoryId([4; 32]));
        assert!(matches!(made, Err(HpkeRefused::Point)));
    }
}

/// The host copies the clear part of a slot: it may say whatever it likes of the cost.
fn put_slot(store: &MemoryStore, kind: SlotKind, salt: [u8; 32]) -> ObjectName {
    let name = *names(store, ObjectKind::Keys).first().unwrap();
    let slot_key = slot::decode_object(&store.objects()[&name]).unwrap().header.slot_key;
    let record = encode(&SlotHeader { kind, salt, slot_key, extras: Extras::default() });
    let len = u32::try_from(record.len()).unwrap().to_le_bytes();
    let object = [&head(Code::Slot)[..], &len, &record, &random_bytes("slot", 4_000)].concat();
    let name = ObjectName::new(ObjectKind::Keys, ObjectId::of(&object));
    store.put(&name, &object).unwrap();
    name
}

#[test]
fn a_slot_that_costs_more_than_anybody_has_is_named_and_not_tried() {
    let (lab, saved) = lab();
    let cost = |memory_kib, passes, lanes| SlotKind::Passphrase(Argon2Cost { memory_kib, passes, lanes });
    let costs = [
        cost(u32::MAX, 1, 1),
        cost((4 << 20) + 1, 1, 1),
        cost(64, 65, 1),
        cost(64, u32::MAX, 1),
        cost(1 << 10, 1, 65),
        cost(u32::MAX, u32::MAX, u32::MAX),
        cost(0, 0, 0),
        cost(7, 1, 1),
    ];
    let slots = costs.map(|kind| put_slot(&lab.store, kind, [1; 32]));
    let world = World::at(2);
    let passphrase = KeySource::Passphrase(Zeroizing::new(b"passphrase".to_vec()));
    let error = lab.machine.open_with(&lab.store, &passphrase, &world).err().unwrap();
    assert!(matches!(error, Error::WrongKey { .. }), "{error:?}");
    assert_eq!(world.items(), slots.iter().map(|name| name.path().into_bytes()).collect());
    assert!(world.problems().iter().all(|problem| problem.contains("the key slot asks Argon2 for")));
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, saved, &lab.source));
}

/// A machine that the repository was open on opens it all the same.
#[test]
fn slots_without_end_are_refused_by_who_remembers_none() {
    let (lab, saved) = lab();
    for number in 0..4_096_u32 {
        let mut salt = [0; 32];
        salt[..4].copy_from_slice(&number.to_le_bytes());
        put_slot(&lab.store, SlotKind::KeyFile, salt);
    }
    let error = lab.machine("new").open(&lab.store, &World::at(1)).err().unwrap();
    assert!(matches!(error, Error::TooMany { what: "key slots", found: 4_097, limit: 4_096, .. }), "{error:?}");
    assert_same_tree(&lab.tree(), &lab.machine.restored(&lab.store, saved, &lab.source));
}

/// Slots cheaper than any that opens, for more runs of Argon2 than anybody is asked for, and for key files.
#[test]
fn cheap_slots_keep_neither_a_key_file_nor_a_remembered_passphrase_out() {
    let (lab, _) = lab();
    let passphrase = || KeySource::Passphrase(Zeroizing::new(b"passphrase".to_vec()));
    let cost = Argon2Cost { memory_kib: 64, passes: 1, lanes: 1 };
    let new = NewKey { source: passphrase(), cost, label: "passphrase".to_owned() };
    lab.machine.open(&lab.store, &World::at(2)).unwrap().add_key(&new, &World::at(2).cx()).unwrap();
    lab.machine.open_with(&lab.store, &passphrase(), &World::at(3)).unwrap();
    let cheap = SlotKind::Passphrase(Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 });
    for number in 0..100 {
        put_slot(&lab.store, cheap, [number; 32]);
        put_slot(&lab.store, SlotKind::KeyFile, [number; 32]);
    }
    lab.machine.open_with(&lab.store, &passphrase(), &World::at(4)).unwrap();
    lab.machine("new").open(&lab.store, &World::at(4)).unwrap();
    let error = lab.machine("newer").open_with(&lab.store, &passphrase(), &World::at(4)).err().unwrap();
    assert!(matches!(error, Error::WrongKey { .. }), "{error:?}");
}

/// The host exchanges `config`: a machine that knows the repository says so, one that does not finds no way in.
#[test]
fn the_config_of_another_repository_opens_nothing() {
    let (lab, other) = (Lab::new(), Lab::new());
    let bytes = Arc::clone(&other.store.objects()[&ObjectName::CONFIG]);
    assert!(lab.store.corrupt(&ObjectName::CONFIG, |config| *config = bytes.to_vec()));
    let error = lab.machine.open(&lab.store, &World::at(1)).err().unwrap();
    assert!(matches!(error, Error::RepositoryChanged { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 16);
    let error = lab.machine("new").open(&lab.store, &World::at(1)).err().unwrap();
    assert!(matches!(error, Error::WrongKey { .. }), "{error:?}");
}
