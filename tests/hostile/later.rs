//! Critical fields that only a later version of the program knows, in every record there is, and keys that are none. Whoever may
//! say such a thing is understood to have said something that matters; whoever may not is in nobody's way.

use caddis::check::{self, ReadData};
use caddis::error::{Error, with_causes};
use caddis::format::charter::{
    Bundle, Frame, LimitedGeneration, PrincipalStatement, SealedUnder, StatementKind, encode_object,
};
use caddis::format::config::{Config, OwnerKeys};
use caddis::format::metadata::Timestamp;
use caddis::format::record::{Extras, Record, Result as RecordResult, Writer, encode};
use caddis::format::slot::{self, SlotKey};
use caddis::format::{Code, HEAD_LEN, head};
use caddis::id::{ChunkId, ObjectId, RepositoryId};
use caddis::keys::domain::DedupDomain;
use caddis::keys::kdf;
use caddis::keys::keyring::{Principal, Rights};
use caddis::keys::signing::{Purpose, Signatory};
use caddis::repo::Repository;
use caddis::seal::hpke::DataPublicKey;
use caddis::seal::record::{Padding, PurposeKey, seal};
use caddis::store::{ObjectKind, ObjectName, Store};
use minicbor::Decoder;
use zeroize::Zeroizing;

use crate::forge::{body, raw_file, raw_leaf};
use crate::lab::{KEY, Lab, World, key_file, names};
use crate::names::is_refused;
use crate::records::{Maker, is_in_nobodys_way, lab};

const NEWER: &str = "is unknown to this version of caddis; a newer one is needed";

/// A record with one field more: the last critical one, which no record has.
fn later(record: &impl Record) -> Vec<u8> {
    let mut bytes = encode(record);
    assert!((0xa0..0xb7).contains(&bytes[0]), "a map of fewer than 23 fields");
    bytes[0] += 1;
    bytes.extend([0x18, 63, 0]);
    bytes
}

/// Bytes in the place of a record.
struct Raw(Vec<u8>);

impl Record for Raw {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.0);
    }

    fn read(input: &mut Decoder<'_>) -> RecordResult<Self> {
        let start = input.position();
        input.skip()?;
        Ok(Self(input.input()[start..input.position()].to_vec()))
    }
}

/// Opening fails at this object, which a later version has written.
#[track_caller]
fn needs_a_newer_version(lab: &Lab, object: ObjectName) {
    for machine in [&lab.machine, &lab.machine("new")] {
        let error = machine.open(&lab.store, &World::at(9)).err().unwrap();
        assert!(
            matches!(&error, Error::Object { object: named, source } if *named == object && source.is_newer()),
            "{error:?}"
        );
        assert!(with_causes(&error).contains(&object.path()), "{error:?}");
        assert_eq!(error.hint().as_deref(), Some("install a newer version of caddis"));
        assert_eq!(error.exit_code(), 1);
    }
}

/// Puts a `config` with this record, signed by the owner.
fn put_config(lab: &Lab, owner: &Signatory, record: &[u8]) {
    let len = u32::try_from(record.len()).unwrap().to_le_bytes();
    let mut object = [&head(Code::Config)[..], &len, record].concat();
    let signature = owner.sign(Purpose::Config, &RepositoryId([0; 32]), &object);
    object.push(0);
    object.extend(signature);
    assert!(lab.store.corrupt(&ObjectName::CONFIG, |config| *config = object));
}

fn owner(repository: &Repository) -> &Signatory {
    repository.keyring.owner.as_ref().unwrap()
}

#[test]
fn a_config_of_a_later_version_is_refused() {
    let (lab, _) = lab();
    let repository = lab.machine.open(&lab.store, &World::at(2)).unwrap();
    put_config(&lab, owner(&repository), &later(&repository.config));
    needs_a_newer_version(&lab, ObjectName::CONFIG);
    assert!(lab.store.corrupt(&ObjectName::CONFIG, |config| config[HEAD_LEN - 1] += 1));
    needs_a_newer_version(&lab, ObjectName::CONFIG);
}

/// The seven forms of points of low order, each with the unused bit, too, and a good one in another form than its own.
fn bad_points() -> Vec<[u8; 32]> {
    let low = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let low = low.map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap());
    let with_top_bit = |mut point: [u8; 32]| {
        point[31] |= 0x80;
        point
    };
    let nine = std::array::from_fn(|at| if at == 0 { 9 } else { 0 });
    low.into_iter().chain(low.map(with_top_bit)).chain([with_top_bit(nine)]).collect()
}

/// A public key of an owner to which slot keys would be sealed for nobody.
#[test]
fn a_config_with_a_key_of_low_order_is_refused() {
    let (lab, _) = lab();
    let repository = lab.machine.open(&lab.store, &World::at(2)).unwrap();
    for point in bad_points() {
        let owners = vec![OwnerKeys { sealing: DataPublicKey(point), ..repository.config.owners[0].clone() }];
        put_config(&lab, owner(&repository), &encode(&Config { owners, ..repository.config.clone() }));
        let error = lab.machine.open(&lab.store, &World::at(3)).err().unwrap();
        assert!(matches!(error, Error::Object { object: ObjectName::CONFIG, .. }), "{error:?}");
        assert!(with_causes(&error).contains("point of low order"), "{error:?}");
    }
}

/// Puts a statement of the owner with this content.
fn put_statement(lab: &Lab, frame: &Frame, content: &impl Record, key: &PurposeKey) -> ObjectName {
    let repository = lab.machine.open(&lab.store, &World::at(2)).unwrap();
    let bytes = encode_object(frame, content, key, &repository.id(), owner(&repository)).unwrap();
    repository.objects.put(ObjectKind::Charter, &bytes).unwrap()
}

fn frame(kind: StatementKind, sealed_under: SealedUnder) -> Frame {
    Frame { kind, parents: Vec::new(), sealed_under, owners: vec![0], extras: Extras::default() }
}

/// Whatever an owner says in a way that is not understood may be that somebody has lost their rights.
#[test]
fn a_statement_of_a_later_version_is_refused_if_an_owner_made_it() {
    let known = frame(StatementKind::Principal, SealedUnder::Generation(1));
    let mut unknown_kind = encode(&known);
    let at = unknown_kind.windows(2).position(|field| field == [0, 1]).unwrap();
    unknown_kind[at + 1] = 9;
    for record in [later(&known), unknown_kind] {
        let (lab, saved) = lab();
        let maker = Maker::new(&lab, Rights::ALL);
        let len = u32::try_from(record.len()).unwrap().to_le_bytes();
        let mut object = [&head(Code::Statement)[..], &len, &record].concat();
        object.extend(maker.seal(&object, &[0xa0], &maker.repository.keyring.newest().log));
        let put = |by: &Signatory| {
            let signature = by.sign(Purpose::Statement, &maker.repository.id(), &object);
            maker.repository.objects.put(ObjectKind::Charter, &[&object[..], &signature].concat()).unwrap()
        };
        let by_a_stranger = put(&Signatory::from_seed(&[1; 32]));
        is_in_nobodys_way(&lab, saved, &[]);
        let world = World::at(6);
        let options = check::Options { read_data: ReadData::Suspects };
        let checked = check::check(&lab.machine.open(&lab.store, &world).unwrap(), &options, &world.cx()).unwrap();
        assert_eq!((checked.errors.len(), checked.leftovers), (0, vec![by_a_stranger]));
        let by_the_owner = put(owner(&maker.repository));
        needs_a_newer_version(&lab, by_the_owner);
    }
}

/// One principal whose description is not understood is nobody; all others are who they were.
#[test]
fn a_principal_of_a_later_version_is_named_and_in_nobodys_way() {
    let (lab, saved) = lab();
    let maker = Maker::new(&lab, Rights::WRITE);
    let key = Signatory::from_seed(&[5; 32]).public();
    let principal = Principal { key, rights: Rights::ALL, host: "later".to_owned(), user: "later".to_owned() };
    let statement = PrincipalStatement { principal, time: Timestamp::default(), extras: Extras::default() };
    let content = Raw(later(&statement));
    let frame = frame(StatementKind::Principal, SealedUnder::Generation(1));
    let name = put_statement(&lab, &frame, &content, &maker.repository.keyring.newest().log);
    is_in_nobodys_way(&lab, saved, &[name]);
    let world = World::at(3);
    lab.machine.open(&lab.store, &world).unwrap();
    assert!(world.problems().iter().any(|problem| problem.contains(NEWER)), "{:?}", world.problems());
}

/// What somebody with a backup-only key has.
fn bundle(repository: &Repository, limited: Vec<LimitedGeneration>) -> Bundle {
    Bundle {
        repository: repository.id(),
        rights: Rights::WRITE | Rights::LIST,
        domain: DedupDomain::from_secret(Zeroizing::new(*repository.keyring.domain.secret())),
        generations: Vec::new(),
        owner: None,
        limited,
        signing: None,
        extras: Extras::default(),
    }
}

/// A slot of another key file, which opens a bundle with these bytes; the statement that holds it, and how opening it fails.
fn open_with_bundle(lab: &Lab, content: Vec<u8>) -> (ObjectName, Error) {
    let repository = lab.machine.open(&lab.store, &World::at(2)).unwrap();
    let slot_key = SlotKey(Zeroizing::new([9; 32]));
    let under = SealedUnder::SlotKey(slot_key.id());
    let statement = put_statement(lab, &frame(StatementKind::Bundle, under), &Raw(content), &slot_key.bundle_key());
    let old = *names(&lab.store, ObjectKind::Keys).first().unwrap();
    let header = slot::decode_object(&lab.store.objects()[&old]).unwrap().header;
    let header = slot::SlotHeader { slot_key: slot_key.id(), salt: [1; 32], ..header };
    let kek = kdf::from_key_file(&[8; 32], &header.salt);
    let object = slot::encode_object(&header, &kek, &slot_key, &repository.id()).unwrap();
    repository.objects.put(ObjectKind::Keys, &object).unwrap();
    let error = lab.machine.open_with(&lab.store, &key_file(8), &World::at(3)).err().unwrap();
    // Who has another slot notices nothing.
    lab.machine.open_with(&lab.store, &key_file(KEY), &World::at(3)).unwrap();
    (statement, error)
}

#[test]
fn a_bundle_of_a_later_version_is_refused() {
    let (lab, _) = lab();
    let limited = LimitedGeneration { number: 1, public: nine(), keys: Zeroizing::new([[1; 32]; 3]) };
    let bundle = bundle(&lab.machine.open(&lab.store, &World::at(2)).unwrap(), vec![limited]);
    let (statement, error) = open_with_bundle(&lab, later(&bundle));
    assert!(
        matches!(&error, Error::Object { object, source } if *object == statement && source.is_newer()),
        "{error:?}"
    );
}

fn nine() -> DataPublicKey {
    DataPublicKey(std::array::from_fn(|at| if at == 0 { 9 } else { 0 }))
}

/// Packs of a member without the right to read would be sealed to it, and opened by whoever knows that.
#[test]
fn a_bundle_with_a_key_of_low_order_is_refused() {
    for point in bad_points() {
        let (lab, _) = lab();
        let limited = LimitedGeneration { number: 1, public: DataPublicKey(point), keys: Zeroizing::new([[1; 32]; 3]) };
        let bundle = bundle(&lab.machine.open(&lab.store, &World::at(2)).unwrap(), vec![limited]);
        let (statement, error) = open_with_bundle(&lab, encode(&bundle));
        assert!(matches!(&error, Error::Object { object, .. } if *object == statement), "{error:?}");
        assert!(with_causes(&error).contains("point of low order"), "{error:?}");
    }
}

#[test]
fn a_slot_of_a_later_version_is_named_and_in_nobodys_way() {
    let (lab, saved) = lab();
    let old = *names(&lab.store, ObjectKind::Keys).first().unwrap();
    let record = later(&slot::decode_object(&lab.store.objects()[&old]).unwrap().header);
    let len = u32::try_from(record.len()).unwrap().to_le_bytes();
    let object = [&head(Code::Slot)[..], &len, &record, &[0; 4_000]].concat();
    let name = put(&lab, ObjectKind::Keys, &object);
    is_in_nobodys_way(&lab, saved, &[name]);
    assert!(lab.machine.check(&lab.store).problems().iter().any(|problem| problem.contains(NEWER)));
}

/// As the host does it.
fn put(lab: &Lab, kind: ObjectKind, object: &[u8]) -> ObjectName {
    let name = ObjectName::new(kind, ObjectId::of(object));
    lab.store.put(&name, object).unwrap();
    name
}

#[test]
fn a_node_of_a_later_version_is_lost_and_named() {
    let mut field = raw_file(b"later");
    field[0] += 1;
    field.extend([0x18, 63, 0]);
    let mut kind = raw_file(b"later");
    let at = kind.windows(2).position(|field| field == [1, 0]).unwrap();
    kind[at + 1] = 9;
    for (what, node) in [("a field", field), ("a kind", kind)] {
        assert!(is_refused(what, &raw_leaf(&[node])).contains(NEWER), "{what}");
    }
}

/// The header, which all principals read, is as it should be.
#[test]
fn a_snapshot_with_a_body_of_a_later_version_is_named_and_in_nobodys_way() {
    let (lab, saved) = lab();
    let maker = Maker::new(&lab, Rights::WRITE | Rights::LIST);
    let keys = maker.repository.keyring.newest();
    let id = maker.repository.id();
    let (encapsulation, exporter) = keys.encapsulate(&[&b"caddis v0 snapshot body"[..], &id.0].concat()).unwrap();
    let key = PurposeKey::new(exporter.export("caddis v0 snapshot body key"));
    let binding = [&encapsulation.0[..], &id.0].concat();
    let sealed = seal(&key, &binding, &later(&body(ChunkId([1; 32]))), Padding::Multiple(1), 0).unwrap();
    let sealed = [&encapsulation.0[..], &sealed].concat();
    let name = maker.put_snapshot(&encode(&maker.header(&sealed)), &sealed);
    let world = World::at(4);
    let found = lab.machine.open(&lab.store, &world).unwrap().snapshots(&world.cx()).unwrap();
    assert_eq!(found.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [saved]);
    assert_eq!(world.items(), [name.path().into_bytes()].into());
    assert!(world.problems()[0].contains(NEWER), "{:?}", world.problems());
    is_in_nobodys_way(&lab, saved, &[]);
    let checked = lab.machine.check(&lab.store).problems();
    assert!(checked.iter().any(|problem| problem.starts_with(&name.path()) && problem.contains(NEWER)), "{checked:?}");
}

/// Of every kind of object, one that says that a later version of the format has written it, as the host can do it: a check names
/// it, and everything else goes on.
#[test]
fn objects_of_a_later_format_are_named_and_in_nobodys_way() {
    let (lab, saved) = lab();
    let maker = Maker::new(&lab, Rights::ALL);
    let logs = [(ObjectKind::Forgotten, Code::Forgotten), (ObjectKind::Gc, Code::Gc)];
    let put_later = |kind, mut object: Vec<u8>| {
        object[HEAD_LEN - 1] += 1;
        put(&lab, kind, &object)
    };
    let mut later = logs.map(|(kind, code)| put_later(kind, maker.start(code))).to_vec();
    for kind in ObjectKind::ALL {
        if let Some(name) =
            names(&lab.store, kind).into_iter().find(|name| *name != ObjectName::CONFIG && !later.contains(name))
        {
            let object = lab.store.objects()[&name].to_vec();
            later.push(put_later(kind, object));
        }
    }
    assert!(later.len() >= 7, "{later:?}");
    is_in_nobodys_way(&lab, saved, &[]);
    let checked = lab.machine.check(&lab.store).items();
    for name in later {
        assert!(checked.contains(name.path().as_bytes()), "{name:?}: {checked:?}");
    }
}
