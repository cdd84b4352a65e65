//! Values of extended attributes.

use super::read::ChunkSource;
use crate::error::{Error, Result, with_causes};
use crate::format::metadata::Xattr;
use crate::format::tree::{NodeXattr, Piece, XATTR_VALUES_BYTES_MAX, XattrValue, sum};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;
use crate::repo::fetch::is_damage;

/// The longest value of an extended attribute that Linux takes, its `XATTR_SIZE_MAX`. A node may promise far more.
const VALUE_BYTES_MAX: u64 = 64 << 10;

/// The extended attributes of an item, wherever their values lie. What is lost of them goes to `lost`, in words.
///
/// # Errors
/// The store fails.
pub fn read_xattrs(source: &dyn ChunkSource, xattrs: &[NodeXattr], lost: &mut dyn FnMut(String)) -> Result<Vec<Xattr>> {
    let mut left = XATTR_VALUES_BYTES_MAX;
    let mut read = Vec::with_capacity(xattrs.len());
    for xattr in xattrs {
        match read_value(source, &xattr.value, &mut left) {
            Ok(value) => read.push(Xattr { name: xattr.name.clone(), value }),
            Err(error) if is_damage(&error) => {
                let name = xattr.name.escape_ascii();
                lost(format!("the extended attribute {name} is lost: {}", with_causes(&error)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The bytes of a value. In chunks they are taken off those that are `left` for one item.
fn read_value(source: &dyn ChunkSource, value: &XattrValue, left: &mut u64) -> Result<Vec<u8>> {
    let pieces = match value {
        XattrValue::Inline(bytes) => return Ok(bytes.clone()), // There are few of those, and they are short.
        XattrValue::Pieces(pieces) => pieces,
    };
    let value = read_pieces(source, pieces)?;
    *left = left.checked_sub(value.len() as u64).ok_or_else(|| Error::MalformedChunk {
        id: id_of(pieces),
        reason: "the values of its item are longer together than any".to_owned(),
    })?;
    Ok(value)
}

fn read_pieces(source: &dyn ChunkSource, pieces: &[Piece]) -> Result<Vec<u8>> {
    if sum(pieces.iter().map(Piece::len)).is_none_or(|bytes| bytes > VALUE_BYTES_MAX) {
        let reason = "its extended attribute is longer than any".to_owned();
        return Err(Error::MalformedChunk { id: id_of(pieces), reason });
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

/// The first chunk of a value; nothing but zeros where it has none.
fn id_of(pieces: &[Piece]) -> ChunkId {
    let id = |piece: &Piece| match piece {
        Piece::Chunk { id, .. } => Some(*id),
        Piece::Hole { .. } => None,
    };
    pieces.iter().find_map(id).unwrap_or(ChunkId([0; 32]))
}
