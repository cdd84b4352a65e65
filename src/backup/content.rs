//! Contents: a file is read once, cut, and its chunks stored as they come.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::sink::Sink;
use crate::chunker::Chunker;
use crate::error::{Error, Result};
use crate::format::tree::{Content, INLINE_BYTES_MAX, NODE_PIECES_MAX, Piece};
use crate::keys::domain::ChunkKind;
use crate::repo::session::Origin;
use crate::source::{Extent, Extents, Stat};
use crate::tree::build::ContentBuilder;

/// Bytes read ahead of the chunker, unless a chunk may be longer: enough that a system call does not show, and as much as stays
/// in a core's second-level cache until it is cut, hashed and copied to its block.
const READ_BYTES: usize = 1 << 20;

/// Fills a buffer, or a part of it, with bytes from an offset on. Whoever cannot go back is asked for what follows.
type ReadAt<'a> = dyn FnMut(&mut [u8], u64) -> io::Result<usize> + 'a;

/// Reads contents; its buffer is used again and again.
pub(super) struct ContentReader {
    chunker: Chunker,
    buffer: Vec<u8>,
}

/// A content that was read.
pub(super) struct ReadContent {
    /// How many bytes, holes included.
    pub size: u64,
    /// Their chunks.
    pub content: Content,
}

/// Why a content was not read.
pub(super) enum ReadError {
    /// The file cannot be read; others can.
    File(io::Error),
    /// The backup cannot go on.
    Fatal(Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl ContentReader {
    pub(super) fn new(chunker: Chunker) -> Self {
        let len = READ_BYTES.max(chunker.classes().max_chunk() as usize);
        Self { chunker, buffer: vec![0; len] }
    }

    /// Reads a file of which `stat` was taken by its handle.
    pub(super) fn read(
        &mut self,
        file: &File,
        stat: &Stat,
        sink: &mut Sink<'_, '_, '_>,
    ) -> std::result::Result<ReadContent, ReadError> {
        let origin = Origin::User(stat.uid);
        let mut pieces = ContentBuilder::default();
        let mut size = 0;
        let read = &mut |buffer: &mut [u8], offset| file.read_at(buffer, offset);
        if stat.size == 0 {
            // Files that are made while they are read say that they are empty, those of /proc for example.
            size = self.read_extent(read, 0, u64::MAX, origin, &mut pieces, sink)?;
            return Ok(ReadContent { size, content: pieces.finish(sink)? });
        }
        for extent in Extents::new(file, stat) {
            match extent {
                Extent::Hole { len, .. } => {
                    pieces.push(Piece::Hole { len }, sink)?;
                    sink.cx.progress.done(0, len);
                    size += len;
                }
                Extent::Data { offset, len } if offset == 0 && len == stat.size && len <= INLINE_BYTES_MAX as u64 => {
                    let filled = self.fill(read, 0, 0, len).map_err(ReadError::File)?;
                    let content = Content::Inline(self.buffer[..filled].to_vec());
                    sink.cx.progress.done(0, filled as u64);
                    return Ok(ReadContent { size: filled as u64, content });
                }
                Extent::Data { offset, len } => {
                    let taken = self.read_extent(read, offset, len, origin, &mut pieces, sink)?;
                    size += taken;
                    if taken < len {
                        break; // It was cut while it was read, which its times tell the caller; or it never was so long.
                    }
                }
            }
        }
        Ok(ReadContent { size, content: pieces.finish(sink)? })
    }

    /// Reads what comes until it ends.
    pub(super) fn read_stream(
        &mut self,
        stream: &mut dyn Read,
        sink: &mut Sink<'_, '_, '_>,
    ) -> std::result::Result<ReadContent, ReadError> {
        let mut pieces = ContentBuilder::default();
        let read = &mut |buffer: &mut [u8], _| stream.read(buffer);
        let size = self.read_extent(read, 0, u64::MAX, Origin::Stream, &mut pieces, sink)?;
        Ok(ReadContent { size, content: pieces.finish(sink)? })
    }

    fn read_extent(
        &mut self,
        file: &mut ReadAt<'_>,
        offset: u64,
        len: u64,
        origin: Origin,
        pieces: &mut ContentBuilder,
        sink: &mut Sink<'_, '_, '_>,
    ) -> std::result::Result<u64, ReadError> {
        let (mut held, mut taken, mut read) = (0, 0, 0);
        loop {
            sink.cx.cancel.check()?;
            self.buffer.copy_within(taken..held, 0);
            held -= taken;
            taken = 0;
            let fresh = self.fill(file, held, offset + read, len - read).map_err(ReadError::File)?;
            held += fresh;
            read += fresh as u64;
            let end = fresh == 0 || read == len;
            loop {
                let at = offset + read - (held - taken) as u64;
                let Some(cut) = self.chunker.cut(at, &self.buffer[taken..held], end) else { break };
                let plain = &self.buffer[taken..taken + cut];
                let id = sink.session.store(ChunkKind::Data, origin, plain, sink.cx)?;
                sink.cx.progress.done(0, cut as u64);
                pieces.push(Piece::Chunk { id, len: u32::try_from(cut).expect("chunks are short") }, sink)?;
                taken += cut;
            }
            if end {
                return Ok(read);
            }
        }
    }

    /// Reads on until the buffer is full, `left` bytes are read or the file ends.
    fn fill(&mut self, file: &mut ReadAt<'_>, held: usize, offset: u64, left: u64) -> io::Result<usize> {
        let space = self.buffer.len() - held;
        let wanted = usize::try_from(left).map_or(space, |left| left.min(space));
        let mut filled = 0;
        while filled < wanted {
            let free = &mut self.buffer[held + filled..held + wanted];
            match file(free, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Stores bytes that are in memory, such as a large extended attribute.
    pub(super) fn store_bytes(&self, bytes: &[u8], origin: Origin, sink: &mut Sink<'_, '_, '_>) -> Result<Vec<Piece>> {
        let mut taken = 0;
        let pieces = lengths_of(&self.chunker, bytes).into_iter().map(|len| {
            let id = sink.session.store(ChunkKind::Data, origin, &bytes[taken..taken + len], sink.cx)?;
            taken += len;
            Ok(Piece::Chunk { id, len: u32::try_from(len).expect("chunks are short") })
        });
        pieces.collect()
    }
}

/// How long the pieces of a value are. It has no list, so there are no more than stand in a node: the last one takes the rest.
fn lengths_of(chunker: &Chunker, bytes: &[u8]) -> Vec<usize> {
    let (mut lengths, mut taken) = (Vec::new(), 0);
    while let Some(cut) = chunker.cut(taken as u64, &bytes[taken..], true) {
        let is_last = lengths.len() + 1 == NODE_PIECES_MAX;
        let len = if is_last { bytes.len() - taken } else { cut };
        lengths.push(len);
        taken += len;
    }
    lengths
}

/// What of a file changes when somebody writes to it.
fn version(stat: &Stat) -> impl PartialEq + use<> {
    (stat.dev, stat.ino, stat.size, stat.mtime, stat.ctime)
}

/// Whether a file is the same as it was.
pub(super) fn is_same_version(before: &Stat, file: &File) -> io::Result<bool> {
    Ok(version(&Stat::of_handle(file.as_fd())?) == version(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::{ChunkerKey, SizeClass, SizeClasses};

    /// A value that repeats itself may be cut as often as chunks may be short, 32 times in 64 KiB: its node had more pieces than
    /// any reader takes, and with it all nodes of its chunk were lost.
    #[test]
    fn a_value_has_no_more_pieces_than_a_node_takes() {
        let class = SizeClass { from_offset: 0, min: 64, average: 256, max: 1024 };
        let chunker = Chunker::new(&ChunkerKey::new([1; 32]), SizeClasses::new(vec![class]).unwrap());
        let cuts = |len: usize| lengths_of(&chunker, &vec![7; len]);
        assert_eq!(cuts(0), Vec::<usize>::new());
        assert_eq!(cuts(1000), [1000]);
        let lengths = cuts(64 << 10);
        assert_eq!((lengths.len(), lengths.iter().sum::<usize>()), (NODE_PIECES_MAX, 64 << 10));
        assert_eq!(lengths[..NODE_PIECES_MAX - 1], [1024; NODE_PIECES_MAX - 1]);
    }
}
