//! Everything that a snapshot needs: its folders, contents, tables, and the chunks of which all of that is made.

use super::read::{ChunkSource, read, read_list};
use crate::error::Result;
use crate::format::snapshot::Body;
use crate::format::tree::{Content, FolderChunk, ListChunk, Node, NodeKind, Piece, XattrValue};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;
use crate::progress::Cancel;

/// A chunk that a snapshot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// What it holds.
    pub kind: ChunkKind,
    /// Its id.
    pub id: ChunkId,
    /// Its plain length in bytes, where what needs it says so.
    pub len: Option<u32>,
    /// Of bytes of a file, the user id of its owner.
    pub owner: Option<u32>,
}

/// Calls `enter` for each chunk that a snapshot needs; what a chunk refers to follows only if `enter` says so. It should say
/// so once for each chunk: chunks are shared, and a hostile tree leads to the same ones in more ways than can be walked.
///
/// # Errors
/// Those of `enter` and of the source; [`crate::error::Error::Interrupted`].
pub fn for_each_needed(
    source: &dyn ChunkSource,
    body: &Body,
    cancel: &Cancel,
    enter: &mut dyn FnMut(&Needed) -> Result<bool>,
) -> Result<()> {
    let mut walk = Walk { enter, steps: Vec::new() };
    for (table, of) in [(body.births.as_ref(), ChunkKind::Birth), (body.links.as_ref(), ChunkKind::Link)] {
        if let Some(table) = table {
            walk.push_list(table.list, of, None)?;
        }
    }
    walk.push_folder(body.root)?;
    while let Some(step) = walk.steps.pop() {
        cancel.check()?;
        let before = walk.steps.len();
        match step {
            Step::Folder(id) => walk.folder(read(source, ChunkKind::Node, &id)?)?,
            Step::List { id, of, owner } => walk.list(read_list(source, &id, None)?, of, owner)?,
        }
        // The last one is taken next; neighbours lie together in the repository.
        walk.steps[before..].reverse();
    }
    Ok(())
}

/// A chunk that leads to others.
enum Step {
    /// Of a folder.
    Folder(ChunkId),
    /// Of a list of chunks of a kind.
    List { id: ChunkId, of: ChunkKind, owner: Option<u32> },
}

struct Walk<'w> {
    enter: &'w mut dyn FnMut(&Needed) -> Result<bool>,
    /// What was entered and is still to be read: each chunk stands here once for each time that `enter` wanted it.
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn push_folder(&mut self, id: ChunkId) -> Result<()> {
        if (self.enter)(&Needed { kind: ChunkKind::Node, id, len: None, owner: None })? {
            self.steps.push(Step::Folder(id));
        }
        Ok(())
    }

    fn push_list(&mut self, id: ChunkId, of: ChunkKind, owner: Option<u32>) -> Result<()> {
        if (self.enter)(&Needed { kind: ChunkKind::List, id, len: None, owner: None })? {
            self.steps.push(Step::List { id, of, owner });
        }
        Ok(())
    }

    fn folder(&mut self, chunk: FolderChunk) -> Result<()> {
        match chunk {
            FolderChunk::Inner { children, .. } => children.iter().try_for_each(|child| self.push_folder(child.id)),
            FolderChunk::Leaf(nodes) => nodes.iter().try_for_each(|node| self.node(node)),
        }
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        let owner = Some(node.owner.uid);
        for xattr in &node.xattrs {
            if let XattrValue::Pieces(pieces) = &xattr.value {
                self.pieces(pieces, ChunkKind::Data, owner)?;
            }
        }
        match &node.kind {
            NodeKind::Folder { tree } => self.push_folder(*tree),
            NodeKind::File { content: Content::List(id), .. } => self.push_list(*id, ChunkKind::Data, owner),
            NodeKind::File { content: Content::Pieces(pieces), .. } => self.pieces(pieces, ChunkKind::Data, owner),
            _ => Ok(()),
        }
    }

    fn list(&mut self, chunk: ListChunk, of: ChunkKind, owner: Option<u32>) -> Result<()> {
        match chunk {
            ListChunk::Inner { children, .. } => {
                children.iter().try_for_each(|child| self.push_list(child.id, of, owner))
            }
            ListChunk::Leaf(pieces) => self.pieces(&pieces, of, owner),
        }
    }

    fn pieces(&mut self, pieces: &[Piece], kind: ChunkKind, owner: Option<u32>) -> Result<()> {
        for piece in pieces {
            if let Piece::Chunk { id, len } = piece {
                (self.enter)(&Needed { kind, id: *id, len: Some(*len), owner })?;
            }
        }
        Ok(())
    }
}
