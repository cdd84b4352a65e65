//! Everything that a snapshot needs: its folders, contents, tables, and the chunks of which all of that is made.

use super::read::{ChunkSource, read, read_list};
use crate::error::Result;
use crate::format::snapshot::{Body, TableRef};
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
    let tables = [(body.births.as_ref(), ChunkKind::Birth), (body.links.as_ref(), ChunkKind::Link)];
    let table =
        |(table, of): (Option<&TableRef>, ChunkKind)| table.map(|table| Step::List { id: table.list, of, owner: None });
    let mut walk = Walk { enter, steps: tables.into_iter().filter_map(table).collect() };
    walk.steps.push(Step::Folder(body.root));
    while let Some(step) = walk.steps.pop() {
        cancel.check()?;
        let before = walk.steps.len();
        match step {
            Step::Folder(id) if walk.needs(Needed { kind: ChunkKind::Node, id, len: None, owner: None })? => {
                walk.folder(read(source, ChunkKind::Node, &id)?)?;
            }
            Step::List { id, of, owner }
                if walk.needs(Needed { kind: ChunkKind::List, id, len: None, owner: None })? =>
            {
                walk.list(read_list(source, &id, None)?, of, owner)?;
            }
            Step::Folder(_) | Step::List { .. } => {}
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
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn needs(&mut self, needed: Needed) -> Result<bool> {
        (self.enter)(&needed)
    }

    fn folder(&mut self, chunk: FolderChunk) -> Result<()> {
        match chunk {
            FolderChunk::Inner { children, .. } => {
                self.steps.extend(children.into_iter().map(|child| Step::Folder(child.id)));
                Ok(())
            }
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
            NodeKind::Folder { tree } => self.steps.push(Step::Folder(*tree)),
            NodeKind::File { content: Content::List(id), .. } => {
                self.steps.push(Step::List { id: *id, of: ChunkKind::Data, owner });
            }
            NodeKind::File { content: Content::Pieces(pieces), .. } => self.pieces(pieces, ChunkKind::Data, owner)?,
            _ => {}
        }
        Ok(())
    }

    fn list(&mut self, chunk: ListChunk, of: ChunkKind, owner: Option<u32>) -> Result<()> {
        match chunk {
            ListChunk::Inner { children, .. } => {
                self.steps.extend(children.into_iter().map(|child| Step::List { id: child.id, of, owner }));
                Ok(())
            }
            ListChunk::Leaf(pieces) => self.pieces(&pieces, of, owner),
        }
    }

    fn pieces(&mut self, pieces: &[Piece], kind: ChunkKind, owner: Option<u32>) -> Result<()> {
        for piece in pieces {
            if let Piece::Chunk { id, len } = piece {
                self.needs(Needed { kind, id: *id, len: Some(*len), owner })?;
            }
        }
        Ok(())
    }
}
