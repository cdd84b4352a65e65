//! Decoders of what this machine keeps for itself.

use caddis::catalog::row::{Next, PartReader};
use caddis::format::index::{SHORT_ID_LEN, ShortId};
use caddis::id::SegmentId;
use caddis::index::LocalIndex;

const PAGE_LEN: usize = 4096;
const PAYLOAD_LEN: usize = PAGE_LEN - 16;
const CACHE_KEY: [u8; 32] = [9; 32];
const FILE_ID: [u8; 16] = [10; 16];

/// Widths of the rows of a run: segments, packs, blocks, fan-out, filter, chunks.
const WIDTHS: [usize; 6] = [32, 142, 20, 4, 64, 32];

/// The most rows of each table here; a fuzzer finds nothing in long ones that is not in short ones.
const ROWS_MAX: [u32; 5] = [4, 40, 300, 5, 70];

/// A part of a row of the catalog.
pub fn catalog_row(data: &[u8]) {
    for number in [0, 1] {
        let Ok(mut part) = PartReader::new(data.to_vec(), number) else { continue };
        assert!(part.len() == data.len() && !part.is_empty());
        let mut entries = 0;
        while let Ok(Next::Entry(_)) = part.peek() {
            part.skip().expect("what can be read can be passed over");
            entries += 1;
        }
        assert_eq!(part.entries().count(), entries);
    }
}

/// A run of the local index, every page with its right tag: what a disk or somebody without the key makes of it is refused
/// before. The input holds the counts of the rows, then the rows.
pub fn index_run(data: &[u8]) {
    let Some((counts, rows)) = data.split_first_chunk::<24>() else { return };
    let [segments, packs, blocks, fanout_bits, filter, chunks] = std::array::from_fn(|at| {
        u32::from_le_bytes([counts[4 * at], counts[4 * at + 1], counts[4 * at + 2], counts[4 * at + 3]])
    });
    let [max_segments, max_packs, max_blocks, max_bits, max_filter] = ROWS_MAX;
    let (segments, packs, blocks) = (segments % max_segments, packs % max_packs, blocks % max_blocks);
    let (fanout_bits, filter, chunks) = (fanout_bits % max_bits, filter % max_filter, chunks % max_blocks);
    let hashes = u32::from(counts[23]);
    let tables = [segments, packs, blocks, (1 << fanout_bits) + 1, filter, chunks];
    let header = [segments, packs, blocks, chunks, fanout_bits, filter, hashes];
    let mut rest = rows.iter().copied().chain(std::iter::repeat(0));
    let mut pages = vec![header_page(&header)];
    for (rows, width) in tables.into_iter().zip(WIDTHS) {
        let per_page = PAYLOAD_LEN / width;
        let bytes: Vec<u8> = rest.by_ref().take(rows as usize * width).collect();
        pages.extend(bytes.chunks(per_page * width).map(<[u8]>::to_vec));
    }
    let listed = pages.get(1).map_or(&[][..], |page| &page[..page.len().min(segments as usize * 32)]);
    let listed: Vec<SegmentId> = listed.as_chunks().0.iter().map(|id| SegmentId(*id)).collect();
    let folder = tempfile::tempdir().expect("there is room for a few kilobytes");
    std::fs::write(folder.path().join("run.run"), file_of(pages)).expect("there is room for a few kilobytes");
    let open = LocalIndex::open(folder.path(), &CACHE_KEY, &listed, &mut |_| Err(()));
    if let Ok(index) = open {
        search(&index, rows);
    }
}

fn header_page(counts: &[u32; 7]) -> Vec<u8> {
    let mut page = [&b"CADDISIX"[..], &0u32.to_le_bytes(), &FILE_ID].concat();
    page.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
    page
}

fn file_of(pages: Vec<Vec<u8>>) -> Vec<u8> {
    let key = blake3::keyed_hash(&CACHE_KEY, &FILE_ID);
    let mut file = Vec::with_capacity(pages.len() * PAGE_LEN);
    for (number, mut page) in (0u128..).zip(pages) {
        page.resize(PAYLOAD_LEN, 0);
        page.extend(number.to_le_bytes());
        let tag = *blake3::keyed_hash(key.as_bytes(), &page).as_bytes();
        page[PAYLOAD_LEN..].copy_from_slice(&tag[..PAGE_LEN - PAYLOAD_LEN]);
        file.extend(page);
    }
    file
}

fn search(index: &LocalIndex, rows: &[u8]) {
    for id in rows.windows(SHORT_ID_LEN).step_by(4).take(64) {
        let id = ShortId(id.try_into().expect("a window has its length"));
        if let Ok(Some(found)) = index.lookup(&id, &|_| true) {
            // Rows after the first may lead nowhere, and are only then looked at.
            if let Ok(Some(other)) = index.lookup(&id, &|pack| *pack != found.pack.id) {
                assert_ne!(other.pack.id, found.pack.id);
            }
        }
    }
    drop(index.packs().map(|packs| packs.take_while(Result::is_ok).count()));
    drop(index.blocks().map(|blocks| blocks.take_while(Result::is_ok).count()));
    drop(index.chunks().map(|chunks| chunks.take_while(Result::is_ok).count()));
}
