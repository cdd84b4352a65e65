//! Checks snapshots: every tree walks, every chunk that something needs is in a sound pack.

use std::collections::HashSet;

use super::Findings;
use crate::error::{Error, Result, with_causes};
use crate::format::name::TreePath;
use crate::format::tree::{Node, NodeKind, Piece, XattrValue};
use crate::id::{ChunkId, PackId};
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::snapshots::Snapshot;
use crate::tree::read::{Nodes, Pieces, for_each_births, read_links};

/// Walks the tree of a snapshot; what is lost is named with its path.
pub(super) fn check(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    sound: &HashSet<PackId>,
    findings: &mut Findings<'_>,
) -> Result<()> {
    let mut walk = TreeCheck { reader, snapshot, sound, findings };
    let tables = read_links(reader, snapshot.body.links.as_ref())
        .map(drop)
        .and_then(|()| for_each_births(reader, snapshot.body.births.as_ref(), drop));
    walk.note(&TreePath::root(), tables)?;
    walk.folders()
}

struct TreeCheck<'a, 'r, 'f> {
    reader: &'a Reader<'r>,
    snapshot: &'a Snapshot,
    sound: &'a HashSet<PackId>,
    findings: &'a mut Findings<'f>,
}

impl TreeCheck<'_, '_, '_> {
    fn folders(&mut self) -> Result<()> {
        let root = self.snapshot.body.root;
        let mut stack = vec![(TreePath::root(), Nodes::of(self.reader, root))];
        // The same folder at two places of one snapshot is walked twice only if its paths are to be named.
        let mut walked: HashSet<ChunkId> = HashSet::from([root]);
        while let Some((folder, nodes)) = stack.last_mut() {
            self.findings.cx.cancel.check()?;
            let Some(node) = nodes.next() else {
                stack.pop();
                continue;
            };
            let folder = folder.clone();
            match node {
                Ok(node) => {
                    let path = folder.join(&node.name);
                    self.findings.cx.progress.current(path.as_bytes());
                    let checked = self.node(&node);
                    self.note(&path, checked)?;
                    if let NodeKind::Folder { tree } = node.kind
                        && walked.insert(tree)
                    {
                        stack.push((path, Nodes::of(self.reader, tree)));
                    }
                }
                Err(error) => self.note(&folder, Err(error))?,
            }
        }
        Ok(())
    }

    fn node(&self, node: &Node) -> Result<()> {
        for xattr in &node.xattrs {
            if let XattrValue::Pieces(pieces) = &xattr.value {
                pieces.iter().try_for_each(|piece| self.piece(piece))?;
            }
        }
        if let NodeKind::File { size, content, .. } = &node.kind {
            for piece in Pieces::of(self.reader, content, *size) {
                self.piece(&piece?)?;
            }
        }
        Ok(())
    }

    /// The chunk is in a pack that was found sound, with the length that the tree says.
    fn piece(&self, piece: &Piece) -> Result<()> {
        let Piece::Chunk { id, len } = piece else { return Ok(()) };
        let location = self.reader.locate_among(id, self.sound)?;
        if location.len == *len {
            return Ok(());
        }
        Err(Error::MalformedChunk { id: *id, reason: format!("its length is {} and not {len}", location.len) })
    }

    fn note(&mut self, path: &TreePath, checked: Result<()>) -> Result<()> {
        match checked {
            Err(error) if is_damage(&error) => {
                let item = [self.snapshot.id.short().as_bytes(), b":", &path.absolute()].concat();
                self.findings.error(item, with_causes(&error));
                Ok(())
            }
            checked => checked,
        }
    }
}
