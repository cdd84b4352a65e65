//! What the catalog keeps of a folder: of each entry enough to see that it has not changed, and the node it became.
//!
//! A folder's row has parts, so that one with a million entries is never in memory as a whole. All integers are
//! little-endian:
//!
//! ```text
//! part     stamp u64 · [id of the folder, in part 0] · entry… · 0 u16 · 0 or 1 u8 · [tree 32, if it is the last part]
//! id       file system u64 · inode u64 · birth i64
//! entry    length of the name u16 · name · kind and trust u8 · size u64 · mtime · ctime · inode u64 · birth i64 ·
//!          length of the node u32 · node
//! time     seconds i64 · nanoseconds u32
//! ```

use crate::format::metadata::Timestamp;
use crate::format::name::Name;
use crate::id::{ChunkId, ID_LEN};
use crate::source::{EntryKind, Stat};

/// A part ends when it is so long; the page of parts that is read at a time holds a few hundred.
const PART_BYTES: usize = 64 << 10;

/// Stands for a birth time that is not known.
const NO_BIRTH: i64 = i64::MIN;

/// In the byte of the kind: the entry may be believed unchanged if it looks so.
const TRUSTED: u8 = 0x80;

/// What changes when an entry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of anything, set by the system alone.
    pub ctime: Timestamp,
    /// Inode number.
    pub ino: u64,
    /// When it was made, in nanoseconds since 1970.
    pub birth: Option<i64>,
}

impl Fingerprint {
    /// Of what the system says.
    pub fn of(stat: &Stat) -> Self {
        let Stat { kind, size, mtime, ctime, ino, .. } = *stat;
        // The size of a folder says how its file system keeps it.
        let size = if kind == EntryKind::Folder { 0 } else { size };
        Self { kind, size, mtime, ctime, ino, birth: birth(stat) }
    }
}

/// Nanoseconds since 1970, where the file system knows and they fit, which they do until 2262.
pub fn birth(stat: &Stat) -> Option<i64> {
    let birth = stat.btime?;
    birth.secs.checked_mul(1_000_000_000)?.checked_add(birth.nanos.into())
}

/// What stays the same when a folder is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderIdentity {
    /// The id that the file system has of itself.
    pub file_system: u64,
    /// Inode number.
    pub ino: u64,
    /// When it was made.
    pub birth: Option<i64>,
}

/// One entry of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// What it looked like.
    pub print: Fingerprint,
    /// Whether it is unchanged if it still looks like that.
    pub trusted: bool,
    /// The node that it became, encoded.
    pub node: &'a [u8],
}

/// A part of a row that does not hold what a part should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the catalog is malformed")]
pub struct MalformedRow;

/// Reads a part from its start.
#[derive(Clone, Debug)]
pub struct PartReader {
    bytes: Vec<u8>,
    /// Where the entries begin.
    start: usize,
    at: usize,
    /// The same in all parts of a row, another one each time a row is written.
    pub stamp: u64,
    /// Of the folder, in the first part.
    pub identity: Option<FolderIdentity>,
}

/// What comes next in a part.
pub enum Next<'a> {
    /// An entry.
    Entry(RowEntry<'a>),
    /// The part ends, and another one follows.
    More,
    /// The row ends; this was the folder's tree.
    End(ChunkId),
}

impl PartReader {
    /// The part `number` of a row.
    pub fn new(bytes: Vec<u8>, number: u32) -> Result<Self, MalformedRow> {
        let mut reader = Self { bytes, start: 0, at: 0, stamp: 0, identity: None };
        reader.stamp = u64::from_le_bytes(*reader.take()?);
        if number == 0 {
            reader.identity = Some(FolderIdentity {
                file_system: u64::from_le_bytes(*reader.take()?),
                ino: u64::from_le_bytes(*reader.take()?),
                birth: read_birth(*reader.take()?),
            });
        }
        reader.start = reader.at;
        Ok(reader)
    }

    /// Length of the part in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing at all, which no part does.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All entries from the first one on, as far as they can be read.
    pub fn entries(&self) -> impl Iterator<Item = RowEntry<'_>> {
        let mut cursor = Cursor { bytes: &self.bytes, at: self.start };
        std::iter::from_fn(move || match cursor.next() {
            Ok(Next::Entry(entry)) => Some(entry),
            _ => None,
        })
    }

    /// The next entry; it stays the next one until [`PartReader::skip`].
    pub fn peek(&self) -> Result<Next<'_>, MalformedRow> {
        let mut cursor = Cursor { bytes: &self.bytes, at: self.at };
        cursor.next()
    }

    /// Goes on behind the entry that comes next.
    pub fn skip(&mut self) -> Result<(), MalformedRow> {
        let mut cursor = Cursor { bytes: &self.bytes, at: self.at };
        cursor.next()?;
        self.at = cursor.at;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<&[u8; N], MalformedRow> {
        let mut cursor = Cursor { bytes: &self.bytes, at: self.at };
        let taken = cursor.take()?;
        self.at = cursor.at;
        Ok(taken)
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Result<Next<'a>, MalformedRow> {
        let name_len = u16::from_le_bytes(*self.take()?);
        if name_len == 0 {
            return match self.take()? {
                [0] => Ok(Next::More),
                [1] => Ok(Next::End(ChunkId(*self.take::<ID_LEN>()?))),
                _ => Err(MalformedRow),
            };
        }
        let name = self.slice(name_len.into())?;
        let [code] = *self.take()?;
        let print = Fingerprint {
            kind: KINDS.get(usize::from(code & !TRUSTED)).copied().ok_or(MalformedRow)?,
            size: u64::from_le_bytes(*self.take()?),
            mtime: self.time()?,
            ctime: self.time()?,
            ino: u64::from_le_bytes(*self.take()?),
            birth: read_birth(*self.take()?),
        };
        let node_len = u32::from_le_bytes(*self.take()?);
        let node = self.slice(usize::try_from(node_len).map_err(|_| MalformedRow)?)?;
        Ok(Next::Entry(RowEntry { name, print, trusted: code & TRUSTED != 0, node }))
    }

    fn time(&mut self) -> Result<Timestamp, MalformedRow> {
        Ok(Timestamp { secs: i64::from_le_bytes(*self.take()?), nanos: u32::from_le_bytes(*self.take()?) })
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], MalformedRow> {
        self.slice(N)?.first_chunk().ok_or(MalformedRow)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], MalformedRow> {
        let end = self.at.checked_add(len).ok_or(MalformedRow)?;
        let slice = self.bytes.get(self.at..end).ok_or(MalformedRow)?;
        self.at = end;
        Ok(slice)
    }
}

/// Kinds by their codes.
const KINDS: [EntryKind; 7] = [
    EntryKind::File,
    EntryKind::Folder,
    EntryKind::Symlink,
    EntryKind::Fifo,
    EntryKind::CharDevice,
    EntryKind::BlockDevice,
    EntryKind::Socket,
];

fn code_of(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => 0,
        EntryKind::Folder => 1,
        EntryKind::Symlink => 2,
        EntryKind::Fifo => 3,
        EntryKind::CharDevice => 4,
        EntryKind::BlockDevice => 5,
        EntryKind::Socket => 6,
    }
}

fn read_birth(bytes: [u8; 8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes)).filter(|&birth| birth != NO_BIRTH)
}

/// Writes a row part by part.
#[derive(Debug)]
pub struct RowWriter {
    stamp: u64,
    part: Vec<u8>,
}

impl RowWriter {
    /// A row of the folder with this identity. `stamp` must be another one each time.
    pub fn new(stamp: u64, identity: &FolderIdentity) -> Self {
        let mut writer = Self { stamp, part: Vec::new() };
        writer.begin_part();
        writer.part.extend(identity.file_system.to_le_bytes());
        writer.part.extend(identity.ino.to_le_bytes());
        writer.part.extend(identity.birth.unwrap_or(NO_BIRTH).to_le_bytes());
        writer
    }

    fn begin_part(&mut self) {
        self.part.extend(self.stamp.to_le_bytes());
    }

    /// Adds an entry, and answers a part if it is full now.
    pub fn push(&mut self, name: &Name, print: &Fingerprint, trusted: bool, node: &[u8]) -> Option<Vec<u8>> {
        let out = &mut self.part;
        let name_len = u16::try_from(name.as_bytes().len()).expect("names are at most a kilobyte long");
        let node_len = u32::try_from(node.len()).expect("a node fits in a block");
        out.extend(name_len.to_le_bytes());
        out.extend(name.as_bytes());
        out.push(code_of(print.kind) | if trusted { TRUSTED } else { 0 });
        out.extend(print.size.to_le_bytes());
        for time in [print.mtime, print.ctime] {
            out.extend(time.secs.to_le_bytes());
            out.extend(time.nanos.to_le_bytes());
        }
        out.extend(print.ino.to_le_bytes());
        out.extend(print.birth.unwrap_or(NO_BIRTH).to_le_bytes());
        out.extend(node_len.to_le_bytes());
        out.extend(node);
        if out.len() < PART_BYTES {
            return None;
        }
        out.extend([0, 0, 0]);
        let part = std::mem::take(out);
        self.begin_part();
        Some(part)
    }

    /// The last part.
    pub fn finish(mut self, tree: &ChunkId) -> Vec<u8> {
        self.part.extend([0, 0, 1]);
        self.part.extend(tree.0);
        self.part
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn print(number: u64) -> Fingerprint {
        Fingerprint {
            kind: KINDS[(number % 7) as usize],
            size: number,
            mtime: Timestamp { secs: -5, nanos: 999_999_999 },
            ctime: Timestamp { secs: i64::MAX, nanos: 1 },
            ino: u64::MAX - number,
            birth: number.is_multiple_of(2).then_some(-7),
        }
    }

    const IDENTITY: FolderIdentity = FolderIdentity { file_system: 5, ino: 6, birth: None };

    #[test]
    fn a_row_of_many_parts_comes_back_entry_by_entry() {
        let mut writer = RowWriter::new(77, &IDENTITY);
        let name = |number: u64| Name::new(format!("{number:06}").into_bytes()).unwrap();
        let node = |number: u64| vec![7; (number % 90) as usize];
        let mut parts = Vec::new();
        for number in 0..2000 {
            parts.extend(writer.push(&name(number), &print(number), number % 3 == 0, &node(number)));
        }
        parts.push(writer.finish(&ChunkId([9; 32])));
        assert!(parts.len() > 3);
        let mut read = 0;
        for (at, part) in (0..).zip(parts.iter().cloned()) {
            let mut reader = PartReader::new(part, at).unwrap();
            assert_eq!((reader.stamp, reader.identity), (77, (at == 0).then_some(IDENTITY)));
            let first = read;
            loop {
                match reader.peek().unwrap() {
                    Next::Entry(entry) => {
                        let (name, node) = (name(read), node(read));
                        let wanted =
                            RowEntry { name: name.as_bytes(), print: print(read), trusted: read % 3 == 0, node: &node };
                        assert_eq!(entry, wanted);
                        read += 1;
                    }
                    Next::More => break assert!(at as usize + 1 < parts.len()),
                    Next::End(tree) => break assert_eq!((at as usize + 1, tree), (parts.len(), ChunkId([9; 32]))),
                }
                reader.skip().unwrap();
            }
            assert_eq!(reader.entries().count() as u64, read - first);
        }
        assert_eq!(read, 2000);
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn any_bytes_are_read_to_their_end_or_refused(bytes: Vec<u8>, number in 0_u32..2) {
            if let Ok(mut reader) = PartReader::new(bytes, number) {
                while let Ok(Next::Entry(_)) = reader.peek() {
                    prop_assert!(reader.skip().is_ok());
                }
            }
        }
    }
}
