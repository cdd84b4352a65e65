//! Contents of files: each chunk of a list is walked once for all files and snapshots that share it. A hostile list leads to the
//! same chunks so often that it would never end.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::trees::Walk;
use crate::error::{Error, Result};
use crate::format::index::ShortId;
use crate::format::name::TreePath;
use crate::format::tree::{Content, ListChunk, Piece, sum};
use crate::id::ChunkId;
use crate::tree::read::{ListPlace, read_list};

/// Chunks of lists that are remembered to be whole: with a table that is seven eighths full, 17 MiB. More of them are walked
/// once for each file, which costs time only.
const WHOLE_MAX: usize = (1 << 19) / 8 * 7;

/// Chunks of lists below which all is there, with what the chunk above says of them.
#[derive(Default)]
pub(super) struct WholeLists(Mutex<HashSet<(ShortId, ListPlace)>>);

impl WholeLists {
    fn contain(&self, id: &ChunkId, place: ListPlace) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&(ShortId::from(*id), place))
    }

    fn remember(&self, id: &ChunkId, place: ListPlace) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() < WHOLE_MAX {
            lists.insert((ShortId::from(*id), place));
        }
    }
}

impl Walk<'_> {
    /// Whether all of a content can be read, and is as long as the node says.
    pub(super) fn content(&self, path: &TreePath, content: &Content, size: u64) -> Result<bool> {
        let (bytes, is_whole) = match content {
            Content::Inline(_) => return Ok(true),
            Content::Pieces(pieces) => (sum(pieces.iter().map(Piece::len)), self.pieces(path, pieces)?),
            Content::List(root) => match read_list(&self.source, root, None) {
                Ok(chunk) => (bytes_of(&chunk), self.list(path, &chunk)?),
                Err(error) => return self.note(path, Err(error)),
            },
        };
        if bytes == Some(size) {
            return Ok(is_whole);
        }
        let reason = "its pieces are shorter or longer than the file".to_owned();
        self.note(path, Err(Error::MalformedChunk { id: ChunkId([0; 32]), reason }))
    }

    fn pieces(&self, path: &TreePath, pieces: &[Piece]) -> Result<bool> {
        pieces.iter().try_fold(true, |is_whole, piece| Ok(self.piece(path, piece)? && is_whole))
    }

    fn list(&self, path: &TreePath, chunk: &ListChunk) -> Result<bool> {
        self.ground.cx.cancel.check()?;
        match chunk {
            ListChunk::Leaf(pieces) => self.pieces(path, pieces),
            ListChunk::Inner { level, children } => children.iter().try_fold(true, |is_whole, child| {
                let place = ListPlace { level: *level - 1, bytes: child.bytes };
                Ok(self.below(path, &child.id, place)? && is_whole)
            }),
        }
    }

    /// Goes as deep as there are levels, 255 at most: each is one lower than the one above.
    fn below(&self, path: &TreePath, id: &ChunkId, place: ListPlace) -> Result<bool> {
        if self.whole_lists().contain(id, place) {
            return Ok(true);
        }
        if self.is_spoilt_enough(id) {
            return Ok(false);
        }
        let (is_read, is_whole) = match read_list(&self.source, id, Some(place)) {
            Ok(chunk) => (self.note(path, Ok(()))?, self.list(path, &chunk)?),
            Err(error) => (self.note(path, Err(error))?, false),
        };
        if is_read && is_whole {
            self.whole_lists().remember(id, place);
        } else {
            self.spoil(id);
        }
        Ok(is_read && is_whole)
    }
}

/// Length of what a list holds, as far as it can be counted.
fn bytes_of(chunk: &ListChunk) -> Option<u64> {
    match chunk {
        ListChunk::Leaf(pieces) => sum(pieces.iter().map(Piece::len)),
        ListChunk::Inner { children, .. } => sum(children.iter().map(|child| child.bytes)),
    }
}
