//! The index against a model: plain tables searched row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::format::segment::tests::segment;

const KEY: [u8; 32] = [7; 32];

type Segments = BTreeMap<SegmentId, Segment>;
type Rows = BTreeSet<(ShortId, Location)>;

fn numbered(segments: Vec<Segment>) -> Segments {
    (0_u8..).map(|number| SegmentId([number; 32])).zip(segments).collect()
}

/// Segments of `chunks` chunks each, with ids that repeat nowhere, in blocks of ten.
fn plain_segments(count: u8, chunks: u32) -> Segments {
    let one = |number: u8| {
        let pack = PackRow {
            id: PackId([number; 32]),
            kind: crate::format::index::PackKind::Data,
            bytes: 1 << 25,
            generation: 1,
            encapsulation: [number; 32],
            commitment: [3; 32],
            origin: crate::id::PrincipalId([4; 32]),
            proved: false,
        };
        let block = |ordinal| BlockRow { pack: 0, ordinal, offset: ordinal * 500, sealed_len: 500, plain_len: 1000 };
        let chunk = |at: u32| ChunkRow { id: id(number, at), block: at / 10, offset: at % 10 * 100, len: 100 };
        let mut chunks_of_it: Vec<_> = (0..chunks).map(chunk).collect();
        chunks_of_it.sort();
        Segment { packs: vec![pack], blocks: (0..chunks.div_ceil(10)).map(block).collect(), chunks: chunks_of_it }
    };
    numbered((0..count).map(one).collect())
}

fn id(segment: u8, chunk: u32) -> ShortId {
    let hash = blake3::Hasher::new().update(&[segment]).update(&chunk.to_le_bytes()).finalize();
    ShortId(*hash.as_bytes().first_chunk().unwrap())
}

fn open(dir: &Path, segments: &Segments) -> LocalIndex {
    open_counting(dir, segments).0
}

/// The index, and how many segments were fetched for it.
fn open_counting(dir: &Path, segments: &Segments) -> (LocalIndex, usize) {
    let listed: Vec<_> = segments.keys().copied().collect();
    let mut fetched = 0;
    let index = LocalIndex::open(dir, &KEY, &listed, &mut |id| {
        fetched += 1;
        Ok::<_, Infallible>(segments[&id].clone())
    });
    (index.unwrap(), fetched)
}

fn model(segments: &Segments) -> Rows {
    let of_segment = |segment: &Segment| -> Rows {
        let locate = |row: &ChunkRow| {
            let block = segment.blocks[row.block as usize];
            let pack = Arc::new(segment.packs[block.pack as usize].clone());
            (row.id, located(&pack, block, row))
        };
        segment.chunks.iter().map(locate).collect()
    };
    segments.values().flat_map(of_segment).collect()
}

/// Every way of asking gives what the model says, or the error that says that a run is damaged.
fn agrees(index: &LocalIndex, segments: &Segments) -> Result<(), IndexError> {
    let model = model(segments);
    let ids: BTreeSet<_> = model.iter().map(|(id, _)| *id).collect();
    for id in &ids {
        let found = index.lookup(id, &|_| true)?.expect("an id of a segment is found");
        assert!(model.contains(&(*id, found)));
        assert_eq!(index.lookup(id, &|_| false)?, None);
        for (_, place) in model.range((*id, lowest())..).take_while(|(other, _)| other == id) {
            // That pack alone is usable, so it must be the one.
            let found = index.lookup(id, &|pack| *pack == place.pack.id)?.expect("this place is found");
            assert_eq!(found.pack.id, place.pack.id);
            assert!(model.contains(&(*id, found)));
        }
    }
    for absent in (0..100).map(|number| id(255, number)) {
        assert_eq!(index.lookup(&absent, &|_| true)?, None);
    }
    let chunks: Vec<_> = index.chunks()?.collect::<Result<_, _>>()?;
    assert_eq!(chunks, model.into_iter().collect::<Vec<_>>());
    let packs: Vec<_> = index.packs()?.collect::<Result<_, _>>()?;
    let expected: BTreeSet<_> = segments.values().flat_map(|segment| segment.packs.clone()).collect();
    assert_eq!(packs, expected.into_iter().collect::<Vec<_>>());
    let blocks: Vec<_> = index.blocks()?.collect::<Result<_, _>>()?;
    let of_segment = |segment: &Segment| -> Vec<_> {
        let with_pack =
            |row: &BlockRow| (Arc::new(segment.packs[row.pack as usize].clone()), BlockRow { pack: 0, ..*row });
        segment.blocks.iter().map(with_pack).collect()
    };
    let expected: BTreeSet<_> = segments.values().flat_map(of_segment).collect();
    assert_eq!(blocks, expected.into_iter().collect::<Vec<_>>());
    Ok(())
}

fn lowest() -> Location {
    Location {
        pack: Arc::new(PackRow {
            id: PackId([0; 32]),
            kind: crate::format::index::PackKind::Data,
            bytes: 0,
            generation: 0,
            encapsulation: [0; 32],
            commitment: [0; 32],
            origin: crate::id::PrincipalId([0; 32]),
            proved: false,
        }),
        block: BlockRow { pack: 0, ordinal: 0, offset: 0, sealed_len: 0, plain_len: 0 },
        offset: 0,
        len: 0,
    }
}

fn run_files(dir: &TempDir) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A folder in which no file can be made, whoever asks: it is a file.
fn no_folder(dir: &TempDir) -> PathBuf {
    let place = dir.path().join("file");
    fs::write(&place, b"").unwrap();
    place
}

proptest! {
    #![proptest_config(crate::rounds::cases(48))]

    #[test]
    fn the_index_is_exactly_the_listed_segments_through_every_change(
        segments in vec(segment(), 1..12),
        steps in vec((any::<u16>(), any::<bool>()), 1..6),
    ) {
        let dir = TempDir::new().unwrap();
        let all = numbered(segments);
        for (chosen, adds_later) in steps {
            let listed: Segments = (0..16)
                .zip(&all)
                .filter(|(bit, _)| chosen >> bit & 1 == 1)
                .map(|(_, (id, segment))| (*id, segment.clone()))
                .collect();
            if adds_later {
                let index = open(dir.path(), &Segments::new());
                let mut added = Segments::new();
                for (id, segment) in &listed {
                    index.add_segment(*id, segment).unwrap();
                    added.insert(*id, segment.clone());
                    agrees(&index, &added).unwrap();
                }
            } else {
                agrees(&open(dir.path(), &listed), &listed).unwrap();
            }
            let (again, fetched) = open_counting(dir.path(), &listed);
            prop_assert_eq!(fetched, 0);
            agrees(&again, &listed).unwrap();
        }
    }

    #[test]
    fn without_a_folder_the_index_lives_in_memory(segments in vec(segment(), 1..6)) {
        let dir = TempDir::new().unwrap();
        let all = numbered(segments);
        let index = open(&no_folder(&dir), &all);
        agrees(&index, &all).unwrap();
        let index = open(&no_folder(&dir), &Segments::new());
        for (id, segment) in &all {
            index.add_segment(*id, segment).unwrap();
        }
        agrees(&index, &all).unwrap();
        prop_assert_eq!(index.runs().iter().filter(|run| !run.file.is_in_memory()).count(), 0);
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_run_is_found(at in any::<prop::sample::Index>(), mask in 1_u8..) {
        let dir = TempDir::new().unwrap();
        let segments = plain_segments(2, 300);
        open(dir.path(), &segments);
        let place = run_files(&dir).remove(0);
        let mut bytes = fs::read(&place).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        fs::write(&place, bytes).unwrap();
        let (index, fetched) = open_counting(dir.path(), &segments);
        match agrees(&index, &segments) {
            Ok(()) => prop_assert_eq!(fetched, segments.len(), "byte {} was taken as it is", at),
            Err(IndexError::IndexCacheBroken { file, .. }) => {
                prop_assert!(!file.exists());
                let (index, fetched) = open_counting(dir.path(), &segments);
                prop_assert_eq!(fetched, segments.len());
                agrees(&index, &segments).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_torn_or_foreign_file_is_thrown_away() {
    let dir = TempDir::new().unwrap();
    let segments = plain_segments(3, 500);
    open(dir.path(), &segments);
    let place = run_files(&dir).remove(0);
    let whole = fs::read(&place).unwrap();
    let mut longer = whole.clone();
    longer.extend([0; page::PAGE_LEN]);
    for damaged in [&whole[..whole.len() - page::PAGE_LEN], &whole[..100], &[], &longer, &[9; 3 * page::PAGE_LEN]] {
        let place = run_files(&dir).remove(0);
        fs::write(&place, damaged).unwrap();
        let (index, fetched) = open_counting(dir.path(), &segments);
        assert_eq!(fetched, 3);
        agrees(&index, &segments).unwrap();
        assert!(!place.exists());
    }
    // A run of another repository's cache, or of this one under an earlier key.
    let listed: Vec<_> = segments.keys().copied().collect();
    let mut fetched = 0;
    LocalIndex::open(dir.path(), &[8; 32], &listed, &mut |id| {
        fetched += 1;
        Ok::<_, Infallible>(segments[&id].clone())
    })
    .unwrap();
    assert_eq!(fetched, 3);
}

#[test]
fn pages_of_one_run_do_not_pass_in_another() {
    let dir = TempDir::new().unwrap();
    let segments = plain_segments(1, 2000);
    open(dir.path(), &segments);
    let old = fs::read(run_files(&dir).remove(0)).unwrap();
    fs::remove_file(run_files(&dir).remove(0)).unwrap();
    open(dir.path(), &segments);
    let place = run_files(&dir).remove(0);
    let new = fs::read(&place).unwrap();
    assert_eq!(old.len(), new.len());
    // Same rows, same key, other file: every page but the header is replaced.
    let mixed = [&new[..page::PAGE_LEN], &old[page::PAGE_LEN..]].concat();
    fs::write(&place, mixed).unwrap();
    assert_eq!(open_counting(dir.path(), &segments).1, 1);
}

#[test]
fn opening_again_fetches_only_what_is_new() {
    let dir = TempDir::new().unwrap();
    let all = plain_segments(10, 200);
    let first: Segments = all.clone().into_iter().take(9).collect();
    assert_eq!(open_counting(dir.path(), &first).1, 9);
    assert_eq!(open_counting(dir.path(), &all).1, 1);
    let (index, fetched) = open_counting(dir.path(), &all);
    assert_eq!(fetched, 0);
    assert_eq!(index.counts(), Counts { packs: 10, blocks: 200, chunks: 2000 });
}

#[test]
fn a_failed_fetch_is_an_error_and_keeps_what_was_fetched() {
    let dir = TempDir::new().unwrap();
    let segments = plain_segments(80, 10);
    let listed: Vec<_> = segments.keys().copied().collect();
    let failing = LocalIndex::open(dir.path(), &KEY, &listed, &mut |id| {
        if id.0[0] < 70 { Ok(segments[&id].clone()) } else { Err(IndexError::TooLarge) }
    });
    assert!(matches!(failing, Err(OpenError::Fetch { segment: SegmentId([70, ..]), .. })));
    let (index, fetched) = open_counting(dir.path(), &segments);
    assert_eq!(fetched, 80 - FETCH_BATCH);
    agrees(&index, &segments).unwrap();
}

#[test]
fn a_segment_that_does_not_fit_together_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut segment = plain_segments(1, 20).pop_first().unwrap().1;
    segment.chunks[3].block = 99;
    let index = open(dir.path(), &Segments::new());
    let refused = index.add_segment(SegmentId([1; 32]), &segment);
    assert!(matches!(refused, Err(IndexError::Segment { source: SegmentError::Chunk(3), .. })));
    assert_eq!(index.counts(), Counts::default());
}

#[test]
fn two_indexes_share_a_folder_and_each_keeps_its_own_view() {
    let dir = TempDir::new().unwrap();
    let all = plain_segments(12, 300);
    let half: Segments = all.clone().into_iter().take(6).collect();
    let one = open(dir.path(), &half);
    // The second knows more, and its merges remove the first one's files.
    let two = open(dir.path(), &all);
    agrees(&one, &half).unwrap();
    agrees(&two, &all).unwrap();
    // The first adds what the second has already.
    for (id, segment) in all.iter().skip(6) {
        one.add_segment(*id, segment).unwrap();
    }
    agrees(&one, &all).unwrap();
    agrees(&two, &all).unwrap();
    let three = open(dir.path(), &half);
    agrees(&three, &half).unwrap();
    agrees(&one, &all).unwrap();
    agrees(&open(dir.path(), &all), &all).unwrap();
}

#[test]
fn many_openers_at_once_all_get_a_whole_index() {
    let dir = TempDir::new().unwrap();
    let all = plain_segments(40, 50);
    std::thread::scope(|scope| {
        for opener in 0..4 {
            let (all, dir) = (&all, dir.path());
            scope.spawn(move || {
                for round in 1..8 {
                    let listed: Segments = all.clone().into_iter().take(5 * round).collect();
                    let index = open(dir, &listed);
                    agrees(&index, &listed).unwrap();
                    index.add_segment(SegmentId([200 + opener; 32]), &all[&SegmentId([39; 32])]).unwrap();
                }
            });
        }
    });
    agrees(&open(dir.path(), &all), &all).unwrap();
    assert!(run_files(&dir).iter().all(|file| file.extension().is_some_and(|extension| extension == "run")));
}

#[test]
fn threads_look_up_while_segments_are_added() {
    let dir = TempDir::new().unwrap();
    let all = plain_segments(30, 400);
    let index = open(dir.path(), &Segments::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (id, segment) in &all {
                index.add_segment(*id, segment).unwrap();
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let mut known = BTreeSet::new();
                for _ in 0..20 {
                    for chunk in 0..400 {
                        for number in 0..30 {
                            let found = index.lookup(&id(number, chunk), &|_| true).unwrap();
                            if found.is_some() {
                                known.insert((number, chunk));
                            }
                            assert!(found.is_some() || !known.contains(&(number, chunk)), "once found, always found");
                        }
                    }
                }
            });
        }
    });
    agrees(&index, &all).unwrap();
    assert!(index.runs().len() <= 4);
}

#[test]
fn abandoned_temporaries_are_swept_and_live_ones_left() {
    let dir = TempDir::new().unwrap();
    let (abandoned, live) = (dir.path().join("a.tmp"), dir.path().join("b.tmp"));
    fs::write(&abandoned, b"half a run").unwrap();
    let writer = fs::File::create(&live).unwrap();
    writer.lock().unwrap();
    open(dir.path(), &plain_segments(1, 10));
    assert!(!abandoned.exists());
    assert!(live.exists());
}

#[test]
fn a_run_that_cannot_be_removed_is_passed_over_when_it_is_broken() {
    let dir = TempDir::new().unwrap();
    let segments = plain_segments(2, 300);
    open(dir.path(), &segments);
    let place = run_files(&dir).remove(0);
    let bytes = fs::read(&place).unwrap();
    // Damage in the fan-out table shows only after the run was chosen.
    let header_and_lists = 3 * page::PAGE_LEN;
    let mut damaged = bytes.clone();
    damaged[header_and_lists + page::PAGE_LEN + 50] ^= 1;
    fs::write(&place, damaged).unwrap();
    let broken = BTreeSet::from([place.clone()]);
    let listed: BTreeSet<_> = segments.keys().copied().collect();
    let index = LocalIndex::open_without(&broken, Folder::new(dir.path(), &KEY), &listed, &mut |id| {
        Ok::<_, Infallible>(segments[&id].clone())
    });
    agrees(&index.unwrap(), &segments).unwrap();
    agrees(&open(dir.path(), &segments), &segments).unwrap();
}

#[test]
fn a_chunk_in_two_packs_is_found_in_the_usable_one() {
    let dir = TempDir::new().unwrap();
    let mut segments = plain_segments(1, 50);
    let mut other = segments[&SegmentId([0; 32])].clone();
    other.packs[0].id = PackId([99; 32]);
    segments.insert(SegmentId([1; 32]), other);
    let index = open(dir.path(), &segments);
    for usable in [PackId([0; 32]), PackId([99; 32])] {
        let found = index.lookup(&id(0, 7), &|pack| *pack == usable).unwrap().unwrap();
        assert_eq!(found.pack.id, usable);
    }
    assert_eq!(index.lookup(&id(0, 7), &|_| false).unwrap(), None);
    let unproved = index.lookup_where(&id(0, 7), &|location| location.pack.proved).unwrap();
    assert_eq!(unproved, None);
}

#[test]
fn a_read_only_folder_serves_what_it_has_and_the_rest_is_kept_in_memory() {
    let dir = TempDir::new().unwrap();
    let all = plain_segments(20, 300);
    let first: Segments = all.clone().into_iter().take(8).collect();
    open(dir.path(), &first);
    let before = run_files(&dir);
    let listed: BTreeSet<_> = all.keys().copied().take(16).collect();
    let mut fetched = 0;
    let index =
        LocalIndex::open_without(&BTreeSet::new(), Folder::new(dir.path(), &KEY).read_only(), &listed, &mut |id| {
            fetched += 1;
            Ok::<_, Infallible>(all[&id].clone())
        })
        .unwrap();
    assert_eq!(fetched, 8);
    for (id, segment) in all.iter().skip(16) {
        index.add_segment(*id, segment).unwrap();
    }
    agrees(&index, &all).unwrap();
    assert!(index.runs().len() <= 4);
    assert_eq!(run_files(&dir), before);
}

/// [`crate::repo::fetch::Reader`] opens an index while it holds a lock that tasks of rayon may wait for. A thread of rayon that waits
/// for a part of its work takes up another task: it would wait for the lock that it holds itself.
#[test]
fn nothing_that_a_look_at_a_repository_does_uses_rayon() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let below = ["index", "store", "seal", "format", "keys"].map(|folder| source.join(folder));
    let own = ["repo/view.rs", "repo/charter.rs", "repo/members.rs", "repo/objects.rs"].map(|file| source.join(file));
    let files = below.into_iter().chain(own).flat_map(walkdir::WalkDir::new).map(|entry| entry.unwrap().into_path());
    let files: Vec<_> = files.filter(|path| path.is_file() && !path.ends_with("index/tests.rs")).collect();
    assert!(files.len() > 30, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("use rayon") && !text.contains("rayon::"), "{}", path.display());
    }
}
