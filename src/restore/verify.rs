//! `--verify`: files are read from the target again, and each piece is proved by its keyed id.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, SeekFrom};
use rustix::io::Errno;

use crate::error::{Result, with_causes};
use crate::format::pack::BLOCK_BYTES_MAX;
use crate::format::tree::{Content, Piece};
use crate::repo::fetch::{Reader, is_damage};
use crate::tree::read::Pieces;

/// What a hole is read by, where something stands in it.
const READ_BYTES: usize = 1 << 20;

/// What a file is to hold.
pub(super) struct Expected<'a> {
    /// Its bytes, if they stand in its node.
    pub inline: &'a [u8],
    pub content: &'a Content,
    pub size: u64,
}

/// Reads a file again, from its disk as far as the system allows. Answers what is wrong with it; nothing if it is what it
/// should be.
pub(super) fn verify(reader: &Reader<'_>, file: &File, expected: &Expected<'_>) -> Result<Option<String>> {
    match prepare(file) {
        Ok(size) if size == expected.size => {}
        Ok(size) => return Ok(Some(format!("read again it has {size} bytes instead of {}", expected.size))),
        Err(error) => return Ok(Some(format!("it cannot be read again: {error}"))),
    }
    if matches!(expected.content, Content::Inline(_)) {
        return Ok(explain(holds(file, 0, expected.inline), 0));
    }
    let mut offset = 0;
    for piece in Pieces::of(reader, expected.content, expected.size) {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) if is_damage(&error) => {
                return Ok(Some(format!("it cannot be verified: {}", with_causes(&error))));
            }
            Err(error) => return Err(error),
        };
        let is_right = match piece {
            Piece::Chunk { id, len } => chunk(file, offset, len).map(|plain| reader.is_data_chunk(&id, &plain)),
            Piece::Hole { len } => is_zero(file, offset, len),
        };
        if let Some(wrong) = explain(is_right, offset) {
            return Ok(Some(wrong));
        }
        offset += piece.len();
    }
    Ok(None)
}

fn explain(is_right: io::Result<bool>, offset: u64) -> Option<String> {
    match is_right {
        Ok(true) => None,
        Ok(false) => Some(format!("read again it differs from the snapshot, from byte {offset} on")),
        Err(error) => Some(format!("it cannot be read again from byte {offset} on: {error}")),
    }
}

/// Has the system forget what it holds of a file in memory, and answers its length.
fn prepare(file: &File) -> io::Result<u64> {
    rustix::fs::fdatasync(file)?;
    // Ignored: then memory is compared instead of the disk, which is no reason to compare nothing.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
    Ok(file.metadata()?.len())
}

fn holds(file: &File, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; bytes.len()];
    file.read_exact_at(&mut found, offset)?;
    Ok(found == bytes)
}

fn chunk(file: &File, offset: u64, len: u32) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|&len| len <= BLOCK_BYTES_MAX);
    let len =
        len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no chunk is as long as the snapshot says"))?;
    let mut plain = vec![0; len];
    file.read_exact_at(&mut plain, offset)?;
    Ok(plain)
}

/// Whether a part of a file reads as zeros. What the system knows to be a hole is not read.
fn is_zero(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    let end = offset.saturating_add(len);
    let mut at = offset;
    let mut buffer = Vec::new();
    loop {
        at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(true),
            // It cannot tell: all may be data.
            Err(_) => at,
            Ok(data) => data,
        };
        if at >= end {
            return Ok(true);
        }
        buffer.resize(usize::try_from(end - at).map_or(READ_BYTES, |left| left.min(READ_BYTES)), 0);
        file.read_exact_at(&mut buffer, at)?;
        if buffer.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += buffer.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_whether_they_are_written_or_not() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 << 20).unwrap();
        assert!(is_zero(&file, 0, 16 << 20).unwrap());
        file.write_all_at(&[0; 100_000], 5 << 20).unwrap();
        assert!(is_zero(&file, 0, 16 << 20).unwrap());
        file.write_all_at(b"x", (9 << 20) + 7).unwrap();
        assert!(!is_zero(&file, 0, 16 << 20).unwrap());
        assert!(!is_zero(&file, 9 << 20, 8).unwrap());
        assert!(is_zero(&file, 9 << 20, 7).unwrap());
        assert!(is_zero(&file, (9 << 20) + 8, 4 << 20).unwrap());
    }
}
