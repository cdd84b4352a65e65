//! Decoders of objects that are read whole.

use caddis::format::charter::{AccessStatement, Bundle, GenerationStatement, PrincipalStatement, Statement};
use caddis::format::charter::{Frame, SealedUnder, StatementKind};
use caddis::format::config;
use caddis::format::metadata::Timestamp;
use caddis::format::record::{Extras, Record, encode};
use caddis::format::slot::{SlotHeader, SlotKey, SlotKind};
use caddis::format::snapshot::{self, Header};
use caddis::format::{Code, charter, log, segment, slot};
use caddis::id::{RepositoryId, StatementId};
use caddis::keys::kdf::{Argon2Cost, from_key_file, from_passphrase};
use caddis::keys::signing::Purpose;
use caddis::seal::record::{Padding, PurposeKey, seal};
use zeroize::Zeroizing;

use super::plain::canonical;
use super::world::{WORLD, clear};

/// `config`.
pub fn config(data: &[u8]) {
    drop(config::decode_object(data));
    canonical::<config::Config>(data);
    let object = clear(Code::Config, data);
    let signature = WORLD.signatory.sign(Purpose::Config, &RepositoryId([0; 32]), &object);
    drop(config::decode_object(&[&object[..], &[0], &signature].concat()));
}

/// A key slot: as an object, its clear part, and what is sealed in it.
pub fn slot(data: &[u8]) {
    open_slot(data);
    open_slot(&[clear(Code::Slot, data), vec![0; 132]].concat());
    let key = SlotKey(Zeroizing::new([6; 32]));
    let header = SlotHeader { kind: SlotKind::KeyFile, salt: [7; 32], slot_key: key.id(), extras: Extras::default() };
    let before = clear(Code::Slot, &encode(&header));
    let kek = from_key_file(&[8; 32], &header.salt).purpose_key();
    let sealed = WORLD.seal(&kek, &before, data);
    open_slot(&[before, sealed].concat());
}

fn open_slot(object: &[u8]) {
    /// What a fuzzer may spend on one input.
    const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 1024, passes: 2, lanes: 64 };
    let Ok(slot) = slot::decode_object(object) else { return };
    let kek = match slot.header.kind {
        SlotKind::KeyFile => from_key_file(&[8; 32], &slot.header.salt),
        SlotKind::Passphrase(cost) => {
            let is_cheap = cost.memory_kib <= CHEAP.memory_kib && cost.passes <= CHEAP.passes;
            if cost.check().is_ok() && !is_cheap {
                return;
            }
            let Ok(kek) = from_passphrase(b"passphrase", &slot.header.salt, &cost) else { return };
            kek
        }
    };
    drop(slot.open(&kek, &WORLD.keyring.repository));
}

/// A statement of the charter: as an object, its frame, and the contents of every kind.
pub fn statement(data: &[u8]) {
    drop(decode_statement(data));
    let framed = WORLD.sign(Purpose::Statement, clear(Code::Statement, data));
    drop(decode_statement(&framed));
    let slot_key = SlotKey(Zeroizing::new([6; 32]));
    let log = &WORLD.keyring.newest().log;
    open::<GenerationStatement>(StatementKind::Generation, SealedUnder::Generation(1), log, data);
    open::<PrincipalStatement>(StatementKind::Principal, SealedUnder::Generation(1), log, data);
    open::<AccessStatement>(StatementKind::Access, SealedUnder::Generation(1), log, data);
    let under = SealedUnder::SlotKey(slot_key.id());
    open::<Bundle>(StatementKind::Bundle, under, &slot_key.bundle_key(), data);
}

fn decode_statement(object: &[u8]) -> Option<Statement> {
    charter::decode_object(StatementId([0; 32]), object, &WORLD.keyring.repository, &WORLD.config).ok()
}

fn open<T: Record>(kind: StatementKind, sealed_under: SealedUnder, key: &PurposeKey, content: &[u8]) {
    let frame = Frame { kind, parents: Vec::new(), sealed_under, owners: vec![0], extras: Extras::default() };
    let mut object = clear(Code::Statement, &encode(&frame));
    object.extend(WORLD.seal(key, &object, content));
    let statement = decode_statement(&WORLD.sign(Purpose::Statement, object)).expect("an owner has signed it");
    if let Ok(content) = statement.open::<T>(key, &WORLD.keyring.repository) {
        drop(encode(&content));
    }
}

/// A snapshot: as an object, and its header.
pub fn snapshot_header(data: &[u8]) {
    canonical::<Header>(data);
    for object in [data, &snapshot_of(data, b"no body")] {
        if let Ok(snapshot) = snapshot::decode_object(object, &WORLD.keyring) {
            drop(snapshot.open_body(&WORLD.keyring));
        }
    }
}

/// The body of a snapshot, as it is sealed and as it is when it was opened.
pub fn snapshot_body(data: &[u8]) {
    canonical::<snapshot::Body>(data);
    let info = WORLD.bind(b"caddis v0 snapshot body");
    let keys = WORLD.keyring.newest();
    let (encapsulation, exporter) = keys.encapsulate(&info).expect("the public key is one");
    let key = PurposeKey::new(exporter.export("caddis v0 snapshot body key"));
    let binding = WORLD.bind(&encapsulation.0);
    let sealed = seal(&key, &binding, data, Padding::Multiple(1), 0).expect("a short record can be sealed");
    for body in [data, &[&encapsulation.0[..], &sealed].concat()] {
        let snapshot = snapshot::decode_object(&snapshot_of(&encode(&header_for(body)), body), &WORLD.keyring);
        drop(snapshot.expect("its writer has signed it").open_body(&WORLD.keyring));
    }
}

fn header_for(body: &[u8]) -> Header {
    Header {
        writer: WORLD.signatory.public().principal(),
        heads: Vec::new(),
        original: None,
        time: Timestamp::default(),
        label: None,
        charter_heads: Vec::new(),
        body_hash: *blake3::hash(body).as_bytes(),
        extras: Extras::default(),
    }
}

fn snapshot_of(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut object = WORLD.start(Code::Snapshot);
    let sealed = WORLD.seal(&WORLD.keyring.newest().log, &object, header);
    object.extend(u32::try_from(sealed.len()).expect("the fuzzer's inputs are short").to_le_bytes());
    object.extend(sealed);
    object.extend(body);
    WORLD.sign(Purpose::Snapshot, object)
}

/// A record of what is forgotten.
pub fn forgotten(data: &[u8]) {
    canonical::<log::Forgotten>(data);
    for object in [data, &logged(Code::Forgotten, Purpose::Forgotten, &WORLD.keyring.newest().log, data)] {
        drop(log::decode_forgotten(object, &WORLD.keyring));
    }
}

/// A record of a prune.
pub fn gc(data: &[u8]) {
    canonical::<log::Gc>(data);
    for object in [data, &logged(Code::Gc, Purpose::Gc, &WORLD.keyring.newest().log, data)] {
        drop(log::decode_gc(object, &WORLD.keyring));
    }
}

/// An index segment.
pub fn segment(data: &[u8]) {
    if let Ok(tables) = segment::decode(data) {
        assert!(segment::check(&tables).is_ok() && segment::decode(&segment::encode(&tables)) == Ok(tables));
    }
    for object in [data, &logged(Code::Segment, Purpose::Segment, &WORLD.keyring.newest().index, data)] {
        drop(log::decode_segment(object, &WORLD.keyring));
    }
}

fn logged(code: Code, purpose: Purpose, key: &PurposeKey, record: &[u8]) -> Vec<u8> {
    let mut object = WORLD.start(code);
    let maker = WORLD.signatory.public().principal();
    object.extend(WORLD.seal(key, &object, &[&maker.0, record].concat()));
    WORLD.sign(purpose, object)
}
