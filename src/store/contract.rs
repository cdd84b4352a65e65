//! What every [`Store`] must do, as one set of tests. For tests: it panics with the claim that does not hold.

use super::{ByteRange, ObjectKind, ObjectName, Store, StoreError};
use crate::id::ObjectId;

/// More than any object put here.
const LIMIT: u64 = 16 << 20;

/// Checks everything that the rest of the program takes for granted about a store. `make` gives an empty one each time.
///
/// # Panics
/// With the claim that does not hold.
pub fn check_contract(make: &dyn Fn() -> Box<dyn Store>) {
    for claim in [
        an_object_is_got_as_it_was_put,
        a_range_gives_exactly_its_bytes,
        more_than_an_object_holds_is_short,
        an_object_longer_than_the_limit_is_refused,
        what_is_not_there_is_absent,
        a_listing_is_whole_sorted_and_of_one_kind,
        a_put_can_be_repeated,
        a_put_heals_what_does_not_fit,
        config_is_never_replaced,
        a_delete_removes_one_object_and_can_be_repeated,
        a_snapshot_outlives_its_announcement,
        many_can_put_at_once,
    ] {
        claim(&*make());
    }
}

fn an_object_is_got_as_it_was_put(store: &dyn Store) {
    for bytes in [Vec::new(), vec![7], noise(1_000_003)] {
        for kind in ObjectKind::ALL.into_iter().filter(|&kind| kind != ObjectKind::Config) {
            let name = name_of(kind, &bytes);
            put(store, &name, &bytes);
            assert_eq!(get(store, &name), bytes, "an object of kind {kind:?} is got as it was put");
        }
    }
    put(store, &ObjectName::CONFIG, b"genesis");
    assert_eq!(get(store, &ObjectName::CONFIG), b"genesis", "config is got as it was put");
}

fn a_range_gives_exactly_its_bytes(store: &dyn Store) {
    let bytes = noise(10_000);
    let name = name_of(ObjectKind::Packs, &bytes);
    put(store, &name, &bytes);
    let part = |range| store.get(&name, range).expect("a range inside an object can be got");
    assert_eq!(part(ByteRange::At { offset: 0, len: 10_000 }), bytes, "a range can span the object");
    assert_eq!(part(ByteRange::At { offset: 4_321, len: 77 }), bytes[4_321..][..77], "a range starts at its offset");
    assert_eq!(part(ByteRange::At { offset: 9_999, len: 1 }), bytes[9_999..], "a range may end with the object");
    assert_eq!(part(ByteRange::At { offset: 10_000, len: 0 }), b"", "an empty range may lie at the end");
    assert_eq!(part(ByteRange::Last { len: 100 }), bytes[9_900..], "the last bytes are those at the end");
    assert_eq!(part(ByteRange::Last { len: 10_000 }), bytes, "the last bytes may be all");
    assert_eq!(part(ByteRange::Last { len: 0 }), b"", "the last bytes may be none");
}

fn more_than_an_object_holds_is_short(store: &dyn Store) {
    let name = name_of(ObjectKind::Trees, b"0123456789");
    put(store, &name, b"0123456789");
    for (range, end) in [
        (ByteRange::At { offset: 5, len: 6 }, 11),
        (ByteRange::At { offset: 11, len: 0 }, 11),
        (ByteRange::At { offset: 1, len: u64::MAX }, u64::MAX),
        (ByteRange::At { offset: 0, len: 1 << 50 }, 1 << 50),
        (ByteRange::Last { len: 11 }, 11),
    ] {
        match store.get(&name, range) {
            Err(StoreError::Short { wanted, found: 10 }) => assert_eq!(wanted, end, "{range:?} says where it ends"),
            other => panic!("{range:?} of ten bytes is short, not {other:?}"),
        }
    }
}

fn an_object_longer_than_the_limit_is_refused(store: &dyn Store) {
    let name = name_of(ObjectKind::Index, b"0123456789");
    put(store, &name, b"0123456789");
    let whole = store.get(&name, ByteRange::Whole { limit: 10 });
    assert!(whole.is_ok_and(|bytes| bytes.len() == 10), "an object as long as the limit is accepted");
    let refused = store.get(&name, ByteRange::Whole { limit: 9 });
    assert!(
        matches!(refused, Err(StoreError::TooLong { limit: 9, found: 10 })),
        "an object longer than the limit is refused: {refused:?}"
    );
}

fn what_is_not_there_is_absent(store: &dyn Store) {
    for kind in ObjectKind::ALL {
        let name = name_of(kind, b"never put");
        for range in [ByteRange::Whole { limit: 9 }, ByteRange::At { offset: 0, len: 0 }, ByteRange::Last { len: 1 }] {
            let got = store.get(&name, range);
            assert!(matches!(got, Err(StoreError::Absent)), "{kind:?} that was never put is absent: {got:?}");
        }
        assert_eq!(list(store, kind), [], "nothing is listed of {kind:?} in an empty store");
    }
}

fn a_listing_is_whole_sorted_and_of_one_kind(store: &dyn Store) {
    for kind in [ObjectKind::Packs, ObjectKind::Snapshots] {
        let mut expected = Vec::new();
        for number in 0..40_u8 {
            let bytes = vec![number; usize::from(number)];
            put(store, &name_of(kind, &bytes), &bytes);
            expected.push((ObjectId::of(&bytes), u64::from(number)));
            assert_eq!(list(store, kind).len(), expected.len(), "a put is seen by the next listing");
        }
        expected.sort_unstable();
        assert_eq!(list(store, kind), expected, "a listing is whole and sorted");
    }
    assert_eq!(list(store, ObjectKind::Pending), [], "a listing is of one kind");
    assert_eq!(list(store, ObjectKind::Trees), [], "a listing is of one kind");
    put(store, &ObjectName::CONFIG, b"genesis");
    let config = (ObjectName::CONFIG.id(), 7);
    assert_eq!(list(store, ObjectKind::Config), [config], "config is listed under its own kind");
}

fn a_put_can_be_repeated(store: &dyn Store) {
    for name in [name_of(ObjectKind::Packs, b"pack"), ObjectName::CONFIG] {
        put(store, &name, b"pack");
        put(store, &name, b"pack");
        assert_eq!(list(store, name.kind()).len(), 1, "an object put twice is there once");
        assert_eq!(get(store, &name), b"pack", "an object put twice is whole");
    }
}

fn a_put_heals_what_does_not_fit(store: &dyn Store) {
    for kind in [ObjectKind::Packs, ObjectKind::Pending, ObjectKind::Snapshots] {
        let name = name_of(kind, b"whole");
        for damaged in [&b"who"[..], b"whale", b"whole and more", b""] {
            put(store, &name, damaged);
            put(store, &name, b"whole");
            assert_eq!(get(store, &name), b"whole", "a put heals a damaged object of kind {kind:?}");
        }
    }
}

fn config_is_never_replaced(store: &dyn Store) {
    put(store, &ObjectName::CONFIG, b"genesis");
    for other in [&b"exodus!"[..], b"", b"genesis and more"] {
        let refused = store.put(&ObjectName::CONFIG, other);
        assert!(matches!(refused, Err(StoreError::Denied(_))), "another config is refused: {refused:?}");
    }
    assert_eq!(get(store, &ObjectName::CONFIG), b"genesis", "config is never replaced");
}

fn a_delete_removes_one_object_and_can_be_repeated(store: &dyn Store) {
    let names = [&b"gone"[..], b"kept"].map(|bytes| name_of(ObjectKind::Packs, bytes));
    put(store, &names[0], b"gone");
    put(store, &names[1], b"kept");
    for _ in 0..2 {
        store.delete(&names[0]).expect("a delete succeeds, whether the object is there or not");
        let got = store.get(&names[0], ByteRange::Whole { limit: LIMIT });
        assert!(matches!(got, Err(StoreError::Absent)), "a deleted object is absent: {got:?}");
        assert_eq!(list(store, ObjectKind::Packs).len(), 1, "a delete removes one object");
    }
    put(store, &names[0], b"gone");
    assert_eq!(get(store, &names[0]), b"gone", "a deleted object can be put again");
}

fn a_snapshot_outlives_its_announcement(store: &dyn Store) {
    let [pending, snapshot] = [ObjectKind::Pending, ObjectKind::Snapshots].map(|kind| name_of(kind, b"snapshot"));
    put(store, &pending, b"snapshot");
    put(store, &snapshot, b"snapshot");
    store.delete(&pending).expect("an announcement can be deleted");
    assert_eq!(get(store, &snapshot), b"snapshot", "a snapshot outlives its announcement");
    assert_eq!(list(store, ObjectKind::Pending), [], "a deleted announcement is not listed");
}

fn many_can_put_at_once(store: &dyn Store) {
    let shared = noise(100_000);
    std::thread::scope(|scope| {
        for own in 0..8_u8 {
            let shared = &shared;
            scope.spawn(move || {
                for number in 0..8 {
                    put(store, &name_of(ObjectKind::Packs, &[own, number]), &[own, number]);
                    put(store, &name_of(ObjectKind::Packs, shared), shared);
                }
            });
        }
    });
    assert_eq!(list(store, ObjectKind::Packs).len(), 8 * 8 + 1, "what many put at once is all there");
    assert_eq!(get(store, &name_of(ObjectKind::Packs, &shared)), shared, "an object put by many at once is whole");
}

fn name_of(kind: ObjectKind, bytes: &[u8]) -> ObjectName {
    ObjectName::new(kind, ObjectId::of(bytes))
}

fn put(store: &dyn Store, name: &ObjectName, bytes: &[u8]) {
    store.put(name, bytes).expect("an object can be put");
}

fn get(store: &dyn Store, name: &ObjectName) -> Vec<u8> {
    store.get(name, ByteRange::Whole { limit: LIMIT }).expect("an object that was put can be got")
}

/// Ids and lengths: when something was put, stores need not know.
fn list(store: &dyn Store, kind: ObjectKind) -> Vec<(ObjectId, u64)> {
    let listed = store.list(kind).expect("a kind can be listed");
    listed.iter().map(|listed| (listed.id, listed.bytes)).collect()
}

/// Bytes that no file system compresses, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}
