//! Values of extended attributes.

use super::read::ChunkSource;
use crate::error::{Error, Result};
use crate::format::tree::{Piece, XattrValue, sum};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;

/// The longest value of an extended attribute that Linux takes, its `XATTR_SIZE_MAX`. A node may promise far more.
const VALUE_BYTES_MAX: u64 = 64 << 10;

/// The bytes of a value, wherever they lie.
///
/// # Errors
/// A chunk is lost, or the value is longer than any can be.
pub fn read_value(source: &dyn ChunkSource, value: &XattrValue) -> Result<Vec<u8>> {
    match value {
        XattrValue::Inline(bytes) => Ok(bytes.clone()),
        XattrValue::Pieces(pieces) => read_pieces(source, pieces),
    }
}

fn read_pieces(source: &dyn ChunkSource, pieces: &[Piece]) -> Result<Vec<u8>> {
    if sum(pieces.iter().map(Piece::len)).is_none_or(|bytes| bytes > VALUE_BYTES_MAX) {
        let id = pieces.iter().find_map(id_of).unwrap_or(ChunkId([0; 32]));
        return Err(Error::MalformedChunk { id, reason: "its extended attribute is longer than any".to_owned() });
    }
    let mut value = Vec::new();
    for piece in pieces {
        let Piece::Chunk { id, len } = piece else {
            let id = ChunkId([0; 32]);
            return Err(Error::MalformedChunk { id, reason: "an extended attribute has a hole".to_owned() });
        };
        let plain = source.chunk(ChunkKind::Data, id)?;
        if plain.len() != *len as usize {
            let reason = format!("its length is {} and not {len}", plain.len());
            return Err(Error::MalformedChunk { id: *id, reason });
        }
        value.extend(plain);
    }
    Ok(value)
}

fn id_of(piece: &Piece) -> Option<ChunkId> {
    match piece {
        Piece::Chunk { id, .. } => Some(*id),
        Piece::Hole { .. } => None,
    }
}
