//! Walks trees of chunks. What a chunk says is checked against the chunk above it, so that a tree made by a hostile writer
//! is refused and never followed in circles.

use std::collections::HashSet;
use std::vec;

use crate::error::{Error, Result};
use crate::format::link::{BirthChunk, Births, LinkChunk, LinkGroup};
use crate::format::name::{Name, TreePath};
use crate::format::record::{Record, decode};
use crate::format::snapshot::TableRef;
use crate::format::tree::{Content, FolderChunk, ListChild, ListChunk, Node, NodeKind, Piece, sum};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;
use crate::repo::fetch::Reader;

/// Where chunks come from, proved.
pub trait ChunkSource {
    /// The plaintext of a chunk.
    fn chunk(&self, kind: ChunkKind, id: &ChunkId) -> Result<Vec<u8>>;
}

impl ChunkSource for Reader<'_> {
    fn chunk(&self, kind: ChunkKind, id: &ChunkId) -> Result<Vec<u8>> {
        Reader::chunk(self, kind, id)
    }
}

/// Reads a chunk and decodes it.
pub(super) fn read<T: Record>(source: &dyn ChunkSource, kind: ChunkKind, id: &ChunkId) -> Result<T> {
    let plain = source.chunk(kind, id)?;
    decode(&plain).map_err(|error| Error::MalformedChunk { id: *id, reason: error.to_string() })
}

pub(super) fn malformed(id: &ChunkId, reason: &str) -> Error {
    Error::MalformedChunk { id: *id, reason: reason.to_owned() }
}

/// The node called `name` in the folder whose tree is `root`, found without reading the rest of the folder.
pub fn find_node(source: &dyn ChunkSource, root: ChunkId, name: &Name) -> Result<Option<Node>> {
    let mut id = root;
    let mut level = None;
    loop {
        match read::<FolderChunk>(source, ChunkKind::Node, &id)? {
            FolderChunk::Leaf(nodes) if level.unwrap_or(0) == 0 => {
                return Ok(nodes.into_iter().find(|node| node.name == *name));
            }
            FolderChunk::Inner { level: own, children } if level.unwrap_or(own) == own => {
                match children.into_iter().find(|child| child.last >= *name) {
                    Some(child) => id = child.id,
                    None => return Ok(None),
                }
                level = Some(own - 1);
            }
            _ => return Err(malformed(&id, "it lies on another level than the chunk above says")),
        }
    }
}

/// What stands at a path.
#[derive(Clone, Debug)]
pub enum Found {
    /// The root of the snapshot.
    Root(ChunkId),
    /// A node below it.
    Node(Box<Node>),
}

impl Found {
    /// The tree of what was found, if it is a folder.
    pub fn tree(&self) -> Option<ChunkId> {
        match self {
            Self::Root(tree) => Some(*tree),
            Self::Node(node) => match node.kind {
                NodeKind::Folder { tree } => Some(tree),
                _ => None,
            },
        }
    }
}

/// What stands at `path` below `root`; nothing when there is no such path.
pub fn find_path(source: &dyn ChunkSource, root: ChunkId, path: &TreePath) -> Result<Option<Found>> {
    let mut found = Found::Root(root);
    for name in path.components() {
        let Some(tree) = found.tree() else { return Ok(None) };
        match find_node(source, tree, &name)? {
            Some(node) => found = Found::Node(Box::new(node)),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// What the chunk above says of a chunk of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListPlace {
    /// Levels above the leaves.
    pub level: u8,
    /// Length of the content below it in bytes.
    pub bytes: u64,
}

/// Reads a chunk of a list, and checks what the chunk above says of it.
pub fn read_list(source: &dyn ChunkSource, id: &ChunkId, place: Option<ListPlace>) -> Result<ListChunk> {
    let chunk = read::<ListChunk>(source, ChunkKind::List, id)?;
    let Some(place) = place else { return Ok(chunk) };
    let (level, bytes, is_empty) = match &chunk {
        ListChunk::Leaf(pieces) => (0, sum(pieces.iter().map(Piece::len)), pieces.is_empty()),
        ListChunk::Inner { level, children } => {
            (*level, sum(children.iter().map(|child| child.bytes)), children.is_empty())
        }
    };
    if is_empty {
        // Else a few chunks that lead to an empty one in very many ways would be walked for ever.
        Err(malformed(id, "it holds nothing and stands below another chunk"))
    } else if level != place.level {
        Err(malformed(id, "it lies on another level than the chunk above says"))
    } else if bytes != Some(place.bytes) {
        Err(malformed(id, "what it holds is not as long as the chunk above says"))
    } else {
        Ok(chunk)
    }
}

/// The pieces of a content in order. Ends after the first error: what follows would stand in the wrong place.
pub struct Pieces<'a> {
    source: &'a dyn ChunkSource,
    root: Option<ChunkId>,
    inner: Vec<(u8, vec::IntoIter<ListChild>)>,
    leaf: vec::IntoIter<Piece>,
    left: u64,
    failed: bool,
}

impl<'a> Pieces<'a> {
    /// The pieces of a file's content of `size` bytes; none for one that stands in its node.
    pub fn of(source: &'a dyn ChunkSource, content: &Content, size: u64) -> Self {
        let (root, leaf) = match content {
            Content::Inline(_) => (None, Vec::new()),
            Content::Pieces(pieces) => (None, pieces.clone()),
            Content::List(root) => (Some(*root), Vec::new()),
        };
        let left = if matches!(content, Content::Inline(_)) { 0 } else { size };
        Self { source, root, inner: Vec::new(), leaf: leaf.into_iter(), left, failed: false }
    }

    fn enter(&mut self, id: &ChunkId, place: Option<ListPlace>) -> Result<()> {
        match read_list(self.source, id, place)? {
            ListChunk::Leaf(pieces) => self.leaf = pieces.into_iter(),
            ListChunk::Inner { level, children } => self.inner.push((level, children.into_iter())),
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.leaf.next() {
                self.left = self.left.checked_sub(piece.len()).ok_or_else(|| Error::MalformedChunk {
                    id: ChunkId([0; 32]),
                    reason: "its pieces are longer than the file".into(),
                })?;
                return Ok(Some(piece));
            }
            if let Some(root) = self.root.take() {
                self.enter(&root, None)?;
                continue;
            }
            let Some((level, children)) = self.inner.last_mut() else { break };
            match children.next() {
                Some(child) => {
                    let place = ListPlace { level: *level - 1, bytes: child.bytes };
                    self.enter(&child.id, Some(place))?;
                }
                None => {
                    self.inner.pop();
                }
            }
        }
        if self.left == 0 {
            return Ok(None);
        }
        Err(Error::MalformedChunk { id: ChunkId([0; 32]), reason: "its pieces are shorter than the file".into() })
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// All groups of hard links.
pub fn read_links(source: &dyn ChunkSource, table: Option<&TableRef>) -> Result<Vec<LinkGroup>> {
    let mut groups = Vec::new();
    for_each_table_chunk(source, table, |id| {
        groups.extend(read::<LinkChunk>(source, ChunkKind::Link, id)?.0);
        Ok(())
    })?;
    Ok(LinkGroup::merge(groups))
}

/// Calls `each` with all records of birth times, in order.
pub fn for_each_births(source: &dyn ChunkSource, table: Option<&TableRef>, mut each: impl FnMut(Births)) -> Result<()> {
    for_each_table_chunk(source, table, |id| {
        read::<BirthChunk>(source, ChunkKind::Birth, id)?.0.into_iter().for_each(&mut each);
        Ok(())
    })
}

fn for_each_table_chunk(
    source: &dyn ChunkSource,
    table: Option<&TableRef>,
    mut each: impl FnMut(&ChunkId) -> Result<()>,
) -> Result<()> {
    let Some(table) = table else { return Ok(()) };
    // No record stands twice, so no chunk does: else a short list could lead to more of them than fit in any memory.
    let mut seen = HashSet::new();
    for piece in Pieces::of(source, &Content::List(table.list), table.bytes) {
        match piece? {
            Piece::Chunk { id, .. } if seen.insert(id) => each(&id)?,
            Piece::Chunk { id, .. } => return Err(malformed(&id, "it stands in a table twice")),
            Piece::Hole { .. } => return Err(malformed(&table.list, "a table has a hole")),
        }
    }
    Ok(())
}
