//! What an item gets besides its content, read from its node.

use super::Restorer;
use crate::error::{Error, Result, with_causes};
use crate::format::metadata::Xattr;
use crate::format::tree::{Node, Piece, XattrValue, sum};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;
use crate::repo::fetch::is_damage;
use crate::target::Attributes;

/// The longest value of an extended attribute that Linux takes, its `XATTR_SIZE_MAX`. A node may promise far more.
const VALUE_BYTES_MAX: u64 = 64 << 10;

impl Restorer<'_, '_> {
    pub(super) fn attributes(&mut self, node: &Node) -> Result<Attributes> {
        let mut xattrs = Vec::with_capacity(node.xattrs.len());
        for xattr in &node.xattrs {
            let value = match &xattr.value {
                XattrValue::Inline(bytes) => Ok(bytes.clone()),
                XattrValue::Pieces(pieces) => self.read_value(pieces),
            };
            match value {
                Ok(value) => xattrs.push(Xattr { name: xattr.name.clone(), value }),
                Err(error) if is_damage(&error) => {
                    let name = xattr.name.escape_ascii();
                    self.problem(
                        &self.path.absolute(),
                        format!("the extended attribute {name} is lost: {}", with_causes(&error)),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Attributes { mode: node.mode, owner: node.owner.clone(), mtime: node.mtime, xattrs })
    }

    fn read_value(&self, pieces: &[Piece]) -> Result<Vec<u8>> {
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
            let plain = self.reader.chunk(ChunkKind::Data, id)?;
            if plain.len() != *len as usize {
                let reason = format!("its length is {} and not {len}", plain.len());
                return Err(Error::MalformedChunk { id: *id, reason });
            }
            value.extend(plain);
        }
        Ok(value)
    }
}

fn id_of(piece: &Piece) -> Option<ChunkId> {
    match piece {
        Piece::Chunk { id, .. } => Some(*id),
        Piece::Hole { .. } => None,
    }
}
