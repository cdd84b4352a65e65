//! What differs between two trees, found without reading what they share.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::format::name::TreePath;
use crate::format::tree::{Node, NodeKind};
use crate::id::ChunkId;
use crate::progress::Context;
use crate::repo::fetch::Reader;
use crate::tree::nodes::{Level, Levels, Nodes};
use crate::tree::read::Found;

/// How one item differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in the second tree only.
    Added,
    /// It is in the first tree only.
    Removed,
    /// It is in both.
    Changed {
        /// One is a file, say, and the other one a folder.
        kind: bool,
        /// Bytes of a file, the goal of a symlink, the numbers of a device. What a folder holds is told of itself.
        content: bool,
        /// Mode, owner, times, extended attributes.
        metadata: bool,
    },
}

/// What was found in one tree only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symlinks, pipes, devices.
    pub others: u64,
    /// Bytes of the files; of those that changed, all bytes before and all after.
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, node: &Node) {
        match node.kind {
            NodeKind::File { .. } => self.files += 1,
            NodeKind::Folder { .. } => self.folders += 1,
            _ => self.others += 1,
        }
        self.add_bytes(node);
    }

    fn add_bytes(&mut self, node: &Node) {
        if let NodeKind::File { size, .. } = node.kind {
            self.bytes += size;
        }
    }
}

/// What differs, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Items whose content is another one.
    pub changed: u64,
    /// Items of which only the metadata are others.
    pub metadata: u64,
    /// What is in the second tree only.
    pub added: Counts,
    /// What is in the first tree only.
    pub removed: Counts,
}

/// Calls `each` for every item that differs between what was found in one snapshot and in another one, in the order of
/// names, a folder before what it holds. `path` is where they stand, for the answer. Birth times and which files are hard links
/// of each other are not compared.
///
/// # Errors
/// A tree cannot be read; `each` fails.
pub fn diff(
    reader: &Reader<'_>,
    path: &TreePath,
    [first, second]: [&Found; 2],
    cx: &Context<'_>,
    each: &mut dyn FnMut(&TreePath, &Change, &Node) -> Result<()>,
) -> Result<Report> {
    let mut walk = Walk { reader, cx, path: path.clone(), each, report: Report::default() };
    match (first.tree(), second.tree()) {
        (Some(first), Some(second)) => walk.folders(first, second)?,
        _ => match (first, second) {
            (Found::Node(first), Found::Node(second)) => walk.items(first, second)?,
            _ => {
                return Err(Error::Usage(
                    "the whole of a snapshot is a folder, and is compared with folders".to_owned(),
                ));
            }
        },
    }
    Ok(walk.report)
}

struct Walk<'w> {
    reader: &'w Reader<'w>,
    cx: &'w Context<'w>,
    path: TreePath,
    each: &'w mut dyn FnMut(&TreePath, &Change, &Node) -> Result<()>,
    report: Report,
}

/// A folder that stands in one tree or in both.
struct Frame<'w> {
    first: Side<'w>,
    second: Side<'w>,
}

/// A folder in one tree, if it is there.
struct Side<'w> {
    nodes: Option<Nodes<'w>>,
    /// The next node, once somebody looked.
    next: Option<Result<Node>>,
}

impl<'w> Walk<'w> {
    /// Compares two items of which one at least is no folder.
    fn items(&mut self, first: &Node, second: &Node) -> Result<()> {
        self.pair(first, second)?.map_or(Ok(()), |below| self.walk(below))
    }

    fn folders(&mut self, first: ChunkId, second: ChunkId) -> Result<()> {
        if first == second {
            return Ok(());
        }
        let frame = self.frame(Some(first), Some(second));
        self.walk(frame)
    }

    fn frame(&self, first: Option<ChunkId>, second: Option<ChunkId>) -> Frame<'w> {
        let side = |tree: Option<ChunkId>| Side { nodes: tree.map(|tree| Nodes::of(self.reader, tree)), next: None };
        Frame { first: side(first), second: side(second) }
    }

    /// With a stack of its own: a hostile tree is deeper than a thread's.
    fn walk(&mut self, top: Frame<'w>) -> Result<()> {
        let mut stack = Levels::default();
        stack.push(top);
        while let Some(frame) = stack.last_mut() {
            self.cx.cancel.check()?;
            let Some((first, second)) = frame.next()? else {
                stack.pop();
                if stack.last().is_some() {
                    self.path.pop();
                }
                continue;
            };
            let name = first.as_ref().or(second.as_ref()).map(|node| node.name.clone());
            let Some(name) = name else { continue };
            self.path.push(&name);
            match self.item(first, second)? {
                Some(below) => stack.push(below),
                None => self.path.pop(),
            }
        }
        Ok(())
    }

    /// Tells how an item differs; answers what lies below it, if that may differ as well.
    fn item(&mut self, first: Option<Node>, second: Option<Node>) -> Result<Option<Frame<'w>>> {
        match (first, second) {
            (Some(first), Some(second)) => self.pair(&first, &second),
            (Some(first), None) => self.lone(&first, true),
            (None, Some(second)) => self.lone(&second, false),
            (None, None) => Ok(None),
        }
    }

    fn lone(&mut self, node: &Node, is_first: bool) -> Result<Option<Frame<'w>>> {
        let tree = tree_of(node);
        if is_first {
            self.report.removed.add(node);
            (self.each)(&self.path, &Change::Removed, node)?;
            Ok(tree.map(|tree| self.frame(Some(tree), None)))
        } else {
            self.report.added.add(node);
            (self.each)(&self.path, &Change::Added, node)?;
            Ok(tree.map(|tree| self.frame(None, Some(tree))))
        }
    }

    fn pair(&mut self, first: &Node, second: &Node) -> Result<Option<Frame<'w>>> {
        let kind = std::mem::discriminant(&first.kind) != std::mem::discriminant(&second.kind);
        let content = !kind && is_other_content(&first.kind, &second.kind);
        let metadata = is_other_metadata(first, second);
        if kind || content {
            self.report.changed += 1;
            self.report.removed.add_bytes(first);
            self.report.added.add_bytes(second);
        } else if metadata {
            self.report.metadata += 1;
        }
        if kind || content || metadata {
            (self.each)(&self.path, &Change::Changed { kind, content, metadata }, second)?;
        }
        let (first, second) = (tree_of(first), tree_of(second));
        Ok((first != second).then(|| self.frame(first, second)))
    }
}

impl Frame<'_> {
    /// The next name, with what stands under it in the first and in the second folder.
    fn next(&mut self) -> Result<Option<(Option<Node>, Option<Node>)>> {
        let order = match (self.first.peek(), self.second.peek()) {
            (None, None) => return Ok(None),
            // An error is taken first, and told.
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
            (Some(Ok(first)), Some(Ok(second))) => first.name.cmp(&second.name),
        };
        let first = if order.is_le() { self.first.next.take().transpose()? } else { None };
        let second = if order.is_ge() { self.second.next.take().transpose()? } else { None };
        Ok(Some((first, second)))
    }
}

impl Side<'_> {
    fn peek(&mut self) -> Option<&Result<Node>> {
        if self.next.is_none() {
            self.next = self.nodes.as_mut()?.next();
        }
        self.next.as_ref()
    }
}

impl Level for Frame<'_> {
    fn held_bytes(&self) -> usize {
        [&self.first, &self.second].into_iter().flat_map(|side| &side.nodes).map(Nodes::held_bytes).sum()
    }

    fn rest(&mut self) {
        [&mut self.first, &mut self.second].into_iter().flat_map(|side| &mut side.nodes).for_each(Nodes::rest);
    }
}

fn tree_of(node: &Node) -> Option<ChunkId> {
    match node.kind {
        NodeKind::Folder { tree } => Some(tree),
        _ => None,
    }
}

fn is_other_content(first: &NodeKind, second: &NodeKind) -> bool {
    match (first, second) {
        (NodeKind::Folder { .. }, NodeKind::Folder { .. }) => false,
        // Whether a file changed while it was read says nothing of its bytes.
        (NodeKind::File { size, content, .. }, NodeKind::File { size: other_size, content: other, .. }) => {
            (size, content) != (other_size, other)
        }
        (first, second) => first != second,
    }
}

fn is_other_metadata(first: &Node, second: &Node) -> bool {
    (first.mode, &first.owner, first.mtime, &first.xattrs) != (second.mode, &second.owner, second.mtime, &second.xattrs)
}
