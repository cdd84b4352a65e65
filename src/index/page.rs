//! Pages: the unit in which a run is authenticated, read and cached.
//!
//! ```text
//! payload [PAYLOAD_LEN] | tag [TAG_LEN]
//! ```
//!
//! The tag is a truncated keyed BLAKE3 of the payload and the page's number. Its key belongs to one file, so that no
//! page can stand in for another, of this file or of any other.

use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

/// Bytes of a page: what the kernel reads anyway.
pub(super) const PAGE_LEN: usize = 4096;

/// Bytes of a page that carry rows.
pub(super) const PAYLOAD_LEN: usize = PAGE_LEN - TAG_LEN;

const TAG_LEN: usize = 16;

/// One page as it lies in the file.
pub(super) type Page = [u8; PAGE_LEN];

/// Random name of one run file.
pub(super) type FileId = [u8; 16];

/// What the tags of one file are made with.
pub(super) struct PageKey(Zeroizing<[u8; 32]>);

impl PageKey {
    pub(super) fn new(cache_key: &[u8; 32], file: &FileId) -> Self {
        Self(Zeroizing::new(*blake3::keyed_hash(cache_key, file).as_bytes()))
    }

    /// Ends the page `number`, whose rows begin at `start` of `out`: fills it up and adds the tag.
    pub(super) fn end(&self, number: u64, start: usize, out: &mut Vec<u8>) {
        out.resize(start + PAYLOAD_LEN, 0);
        out.extend(in_place_of_tag(number));
        let tag = self.tag(&out[start..]);
        out.truncate(start + PAYLOAD_LEN);
        out.extend(tag);
    }

    /// Whether `page` is the page `number` of this key's file. Leaves it as it was.
    pub(super) fn fits(&self, number: u64, page: &mut Page) -> bool {
        let end = page.last_chunk_mut().expect("a page is longer than its tag");
        let tag = std::mem::replace(end, in_place_of_tag(number));
        let fits = self.tag(page) == tag;
        page[PAYLOAD_LEN..].copy_from_slice(&tag);
        fits
    }

    // The number stands where the tag will be, so that BLAKE3 gets four whole KiB in one slice and hashes them side by
    // side; a page with 16 bytes less takes it twice as long.
    fn tag(&self, page: &[u8]) -> [u8; TAG_LEN] {
        *blake3::keyed_hash(&self.0, page).as_bytes().first_chunk().expect("a tag is a truncated hash")
    }
}

fn in_place_of_tag(number: u64) -> [u8; TAG_LEN] {
    u128::from(number).to_le_bytes()
}

/// The rows in `page`.
pub(super) fn payload(page: &Page) -> &[u8] {
    &page[..PAYLOAD_LEN]
}

/// Memory for pages that look-ups have read.
pub(super) const CACHE_BYTES_MAX: usize = 16 << 20;

const WAYS: usize = 16;
const SETS: usize = CACHE_BYTES_MAX / PAGE_LEN / WAYS;

/// Pages read lately. Each page has one set it can be in, so that threads seldom wait for the same lock.
pub(super) struct PageCache {
    sets: Vec<Mutex<Set>>,
}

/// Pages of one set, forgotten by the CLOCK rule.
#[derive(Default)]
struct Set {
    slots: Vec<Slot>,
    hand: usize,
}

struct Slot {
    run: u64,
    number: u64,
    page: Arc<Page>,
    used: bool,
}

impl PageCache {
    pub(super) fn new() -> Self {
        Self { sets: (0..SETS).map(|_| Mutex::default()).collect() }
    }

    /// The page `number` of `run`; `read` is asked when it is not at hand, without a lock held.
    pub(super) fn get<E>(
        &self,
        run: u64,
        number: u64,
        read: impl FnOnce() -> Result<Arc<Page>, E>,
    ) -> Result<Arc<Page>, E> {
        // An odd constant near 2^64 / phi spreads neighbours over all sets (Fibonacci hashing).
        let spread = (number ^ (run << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let set = &self.sets[usize::try_from(spread).unwrap_or(0) % SETS];
        let lock = || set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = lock().find(run, number) {
            return Ok(page);
        }
        let page = read()?;
        lock().insert(Slot { run, number, page: Arc::clone(&page), used: false });
        Ok(page)
    }
}

impl Set {
    fn find(&mut self, run: u64, number: u64) -> Option<Arc<Page>> {
        let slot = self.slots.iter_mut().find(|slot| slot.number == number && slot.run == run)?;
        slot.used = true;
        Some(Arc::clone(&slot.page))
    }

    fn insert(&mut self, slot: Slot) {
        if self.slots.len() < WAYS {
            self.slots.push(slot);
            return;
        }
        while std::mem::take(&mut self.slots[self.hand].used) {
            self.hand = (self.hand + 1) % WAYS;
        }
        self.slots[self.hand] = slot;
        self.hand = (self.hand + 1) % WAYS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &PageKey, number: u64) -> Page {
        let mut bytes = Vec::new();
        bytes.extend(b"rows");
        key.end(number, 0, &mut bytes);
        bytes.try_into().unwrap()
    }

    #[test]
    fn a_page_fits_only_its_key_file_number_and_bytes() {
        let key = PageKey::new(&[1; 32], &[2; 16]);
        let mut page = sealed(&key, 3);
        assert!(key.fits(3, &mut page));
        assert!(payload(&page).starts_with(b"rows"));
        assert!(!key.fits(4, &mut page));
        assert!(!PageKey::new(&[9; 32], &[2; 16]).fits(3, &mut page));
        assert!(!PageKey::new(&[1; 32], &[9; 16]).fits(3, &mut page));
        for at in 0..PAGE_LEN {
            let mut flipped = page;
            flipped[at] ^= 0x10;
            assert!(!key.fits(3, &mut flipped), "byte {at}");
        }
    }

    #[test]
    fn the_cache_holds_a_bounded_number_of_pages_and_never_the_wrong_one() {
        let cache = PageCache::new();
        let page = |run: u64, number: u64| {
            let mut page = [0; PAGE_LEN];
            page[..8].copy_from_slice(&(run * 1_000_000 + number).to_le_bytes());
            Arc::new(page)
        };
        for round in 0..2 {
            for number in 0..6000 {
                for run in 0..2 {
                    let got = cache.get(run, number, || Ok::<_, ()>(page(run, number))).unwrap();
                    assert_eq!(got, page(run, number), "round {round}");
                }
            }
        }
        let held: usize = cache.sets.iter().map(|set| set.lock().unwrap().slots.len()).sum();
        assert!(held * PAGE_LEN <= CACHE_BYTES_MAX);
        assert!(held * PAGE_LEN > CACHE_BYTES_MAX / 2, "the pages spread over the sets");
    }
}
