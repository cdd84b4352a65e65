//! [`Extents`]: which parts of a file hold data and which are holes.

use std::fs::File;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::metadata::Stat;

/// The unit in which the system counts allocated space.
const BLOCK_BYTES: u64 = 512;

/// A part of a file. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Bytes that must be read.
    Data {
        /// From the start of the file.
        offset: u64,
        /// In bytes.
        len: u64,
    },
    /// Zeros that take no space.
    Hole {
        /// From the start of the file.
        offset: u64,
        /// In bytes.
        len: u64,
    },
}

/// The extents of a file in order, from its start to the size it had when it was looked at, without gaps.
///
/// The file may change meanwhile: what is called data may end early when it is read, and what is called a hole may be
/// filled; the caller compares a second look at the file. On a file system that cannot tell holes, all is data. This
/// moves the file's position: **read by offset**.
#[derive(Debug)]
pub struct Extents<'a> {
    file: &'a File,
    at: u64,
    size: u64,
    /// Whether data is known to begin at the present offset.
    in_data: bool,
    /// Whether the rest can be taken for data without asking.
    dense: bool,
}

impl<'a> Extents<'a> {
    /// The extents of `file`, of which `stat` was taken.
    pub fn new(file: &'a File, stat: &Stat) -> Self {
        // A file whose blocks cover its size has no hole worth two more calls for every file there is.
        let dense = stat.blocks.saturating_mul(BLOCK_BYTES) >= stat.size;
        Self { file, at: 0, size: stat.size, in_data: false, dense }
    }

    /// The next offset, from the present one on, where data or a hole begins; nothing if there is none before the end.
    fn seek(&mut self, to: SeekFrom) -> Option<u64> {
        match rustix::fs::seek(self.file, to) {
            Ok(offset) if offset >= self.size => None,
            Err(Errno::NXIO) => None,
            Ok(offset) if offset >= self.at => Some(offset),
            _ => {
                self.dense = true;
                Some(self.at)
            }
        }
    }

    /// Everything up to `end`, which lies behind the present offset.
    fn advance_to(&mut self, end: u64) -> (u64, u64) {
        let offset = std::mem::replace(&mut self.at, end);
        (offset, end - offset)
    }
}

impl Iterator for Extents<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        if self.at >= self.size {
            return None;
        }
        if !self.dense && !self.in_data {
            let data = self.seek(SeekFrom::Data(self.at)).unwrap_or(self.size);
            if data > self.at {
                self.in_data = true;
                let (offset, len) = self.advance_to(data);
                return Some(Extent::Hole { offset, len });
            }
        }
        self.in_data = false;
        let end = if self.dense { None } else { self.seek(SeekFrom::Hole(self.at)) };
        // A hole right here would be no progress: a file that changes, or a file system that is not to be believed.
        let (offset, len) = self.advance_to(end.filter(|&end| end > self.at).unwrap_or(self.size));
        Some(Extent::Data { offset, len })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn sparse(size: u64, data_at: &[u64]) -> File {
        let file = tempfile::tempfile().unwrap();
        for &offset in data_at {
            file.write_all_at(b"data", offset).unwrap();
        }
        file.set_len(size).unwrap();
        file
    }

    fn extents(file: &File) -> Vec<Extent> {
        Extents::new(file, &Stat::of_handle(file.as_fd()).unwrap()).collect()
    }

    /// Asserts that the extents follow one another and gives the bytes that are data.
    fn data_bytes(extents: &[Extent], size: u64) -> u64 {
        let mut at = 0;
        let mut data = 0;
        for extent in extents {
            let (Extent::Data { offset, len } | Extent::Hole { offset, len }) = *extent;
            assert_eq!(offset, at);
            assert!(len > 0);
            at += len;
            data += if matches!(extent, Extent::Data { .. }) { len } else { 0 };
        }
        assert_eq!(at, size);
        data
    }

    #[test]
    fn holes_at_start_middle_and_end_are_found() {
        let file = sparse(9 * MIB, &[2 * MIB, 6 * MIB]);
        let extents = extents(&file);
        assert!(matches!(extents[0], Extent::Hole { offset: 0, .. }), "{extents:?}");
        assert_eq!(extents.len(), 5, "{extents:?}");
        assert!(data_bytes(&extents, 9 * MIB) <= MIB);
    }

    #[test]
    fn a_file_without_data_is_one_hole_and_an_empty_one_is_nothing() {
        assert_eq!(extents(&sparse(5 * MIB + 1, &[])), [Extent::Hole { offset: 0, len: 5 * MIB + 1 }]);
        assert_eq!(extents(&sparse(0, &[])), []);
    }

    #[test]
    fn a_file_full_of_data_is_one_extent() {
        assert_eq!(extents(&sparse(4, &[0])), [Extent::Data { offset: 0, len: 4 }]);
    }

    #[test]
    fn extents_add_up_to_the_size_seen_although_the_file_changes() {
        for changed in [0, MIB, 3 * MIB, 20 * MIB] {
            let file = sparse(9 * MIB, &[0, 2 * MIB, 6 * MIB]);
            let stat = Stat::of_handle(file.as_fd()).unwrap();
            let mut walk = Extents::new(&file, &stat);
            let first = walk.next().unwrap();
            file.set_len(changed).unwrap();
            let all: Vec<_> = std::iter::once(first).chain(walk).collect();
            data_bytes(&all, 9 * MIB);
        }
    }

    #[test]
    fn what_cannot_be_asked_for_holes_is_all_data() {
        // A pipe cannot seek at all, as little as some file systems can find holes.
        let (_reader, writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        let stat = Stat { size: 10 * MIB, blocks: 0, ..Stat::of_handle(pipe.as_fd()).unwrap() };
        assert_eq!(Extents::new(&pipe, &stat).collect::<Vec<_>>(), [Extent::Data { offset: 0, len: 10 * MIB }]);
    }
}
