//! Rows of fixed width, as a run's tables hold them.

use super::filter;
use super::page::PAYLOAD_LEN;
use crate::format::index::{BlockRow, ChunkRow, PackKind, PackRow, SHORT_ID_LEN, ShortId};
use crate::id::{ID_LEN, PackId, PrincipalId, SegmentId};

/// Something that a table holds one of per row.
pub(super) trait Row: Sized {
    /// Bytes of every row of this type.
    const WIDTH: usize;

    /// Rows in a page; none straddles two.
    const PER_PAGE: u32 = per_page(Self::WIDTH);

    /// Appends exactly [`Row::WIDTH`] bytes.
    fn put(&self, out: &mut Vec<u8>);

    /// The row that `bytes` begin with, unless they hold none.
    fn take(bytes: &[u8]) -> Option<Self>;
}

#[expect(clippy::cast_possible_truncation, reason = "a page has far fewer rows than 2^32")]
const fn per_page(width: usize) -> u32 {
    (PAYLOAD_LEN / width) as u32
}

impl Row for SegmentId {
    const WIDTH: usize = ID_LEN;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.0);
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        array(&mut bytes).map(Self)
    }
}

impl Row for PackRow {
    const WIDTH: usize = ID_LEN + 1 + 1 + size_of::<u32>() + size_of::<u64>() + 32 + 32 + ID_LEN;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.id.0);
        out.push(u8::from(self.kind == PackKind::Tree));
        out.push(u8::from(self.proved));
        out.extend(self.generation.to_le_bytes());
        out.extend(self.bytes.to_le_bytes());
        out.extend(self.encapsulation);
        out.extend(self.commitment);
        out.extend(self.origin.0);
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        let id = PackId(array(&mut bytes)?);
        let [tree, proved] = array(&mut bytes)?;
        Some(Self {
            id,
            kind: if tree == 0 { PackKind::Data } else { PackKind::Tree },
            proved: proved != 0,
            generation: number(&mut bytes)?,
            bytes: array(&mut bytes).map(u64::from_le_bytes)?,
            encapsulation: array(&mut bytes)?,
            commitment: array(&mut bytes)?,
            origin: PrincipalId(array(&mut bytes)?),
        })
    }
}

impl Row for BlockRow {
    const WIDTH: usize = 5 * size_of::<u32>();

    fn put(&self, out: &mut Vec<u8>) {
        for field in [self.pack, self.ordinal, self.offset, self.sealed_len, self.plain_len] {
            out.extend(field.to_le_bytes());
        }
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            pack: number(&mut bytes)?,
            ordinal: number(&mut bytes)?,
            offset: number(&mut bytes)?,
            sealed_len: number(&mut bytes)?,
            plain_len: number(&mut bytes)?,
        })
    }
}

impl Row for ChunkRow {
    const WIDTH: usize = SHORT_ID_LEN + 3 * size_of::<u32>();

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.id.0);
        for field in [self.block, self.offset, self.len] {
            out.extend(field.to_le_bytes());
        }
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: ShortId(array(&mut bytes)?),
            block: number(&mut bytes)?,
            offset: number(&mut bytes)?,
            len: number(&mut bytes)?,
        })
    }
}

/// An entry of the fan-out table: a position among the chunks.
impl Row for u32 {
    const WIDTH: usize = size_of::<Self>();

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        number(&mut bytes)
    }
}

impl Row for filter::Block {
    const WIDTH: usize = filter::BLOCK_LEN;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn take(mut bytes: &[u8]) -> Option<Self> {
        let mut block = Self::default();
        for word in &mut block.0 {
            *word = array(&mut bytes).map(u64::from_le_bytes)?;
        }
        Some(block)
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    array(bytes).map(u32::from_le_bytes)
}
