//! [`Frame`]: a folder on the way down.

use crate::error::{Error, Result};
use crate::format::name::TreePath;
use crate::format::tree::Node;
use crate::id::ChunkId;
use crate::repo::fetch::Reader;
use crate::tree::nodes::{Level, Nodes};
use crate::tree::read::find_node;

/// A folder on the way down.
pub(super) struct Frame<'a> {
    /// Its own node, unless that was given up. The target has none.
    node: Option<Box<Node>>,
    pub nodes: Nodes<'a>,
}

/// How it is with the folder in the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Whether the restore made it, or it was empty: there is nothing to look at.
    pub is_new: bool,
    /// Whether it gets its metadata.
    pub gets_metadata: bool,
    /// Whether it loses what the snapshot does not have.
    pub deletes: bool,
}

impl Place {
    pub(super) const NEW: Self = Self { is_new: true, gets_metadata: true, deletes: false };
}

impl<'a> Frame<'a> {
    pub(super) fn of(reader: &'a Reader<'_>, tree: ChunkId, node: Option<Node>) -> Self {
        Self { node: node.map(Box::new), nodes: Nodes::of(reader, tree) }
    }

    /// The folder's own node. One that was given up is read again from `above`, the tree of the folder above it.
    pub(super) fn into_node(self, reader: &Reader<'_>, above: ChunkId, path: &TreePath) -> Result<Box<Node>> {
        if let Some(node) = self.node {
            return Ok(node);
        }
        let found = path.last().map_or(Ok(None), |name| find_node(reader, above, &name))?;
        let reason = "it leads to no node that it led to before".to_owned();
        found.map(Box::new).ok_or(Error::MalformedChunk { id: above, reason })
    }
}

impl Level for Frame<'_> {
    fn held_bytes(&self) -> usize {
        self.nodes.held_bytes() + self.node.as_ref().map_or(0, |node| node.held_bytes())
    }

    fn rest(&mut self) {
        self.nodes.rest();
        self.node = None;
    }
}
