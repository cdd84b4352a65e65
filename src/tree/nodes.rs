//! The nodes of a folder in their order, and folders in folders, in memory that does not grow with either.
//!
//! A hostile tree is wide and deep at once: each of very many levels has a chunk as large as a chunk may be. So what lies above
//! the place of a walk is given up where it is too much, and read again when the walk comes back to it.

use std::vec;

use super::read::{ChunkSource, malformed, read};
use crate::error::Result;
use crate::format::name::Name;
use crate::format::tree::{Content, FolderChild, FolderChunk, Node, NodeKind, NodeXattr, Piece, XattrValue};
use crate::id::ChunkId;
use crate::keys::domain::ChunkKind;

/// Decoded bytes that the folders above the one of a walk keep: hundreds of levels of any tree that a disk holds.
const LEVELS_BYTES_MAX: usize = 32 << 20;

/// Decoded bytes of the inner chunks of one folder: those of a thousand million files.
const INNER_BYTES_MAX: usize = 4 << 20;

/// What an allocation takes besides its bytes, roughly.
const ALLOCATION_BYTES: usize = 32;

/// The nodes of a folder in ascending order. An error stands for the nodes of one chunk; the others come all the same.
pub struct Nodes<'a> {
    source: &'a dyn ChunkSource,
    root: ChunkId,
    /// Whether nodes are left that none of `inner` leads to: they are found from the root.
    is_cut: bool,
    /// Whether the way from the root to the place is being looked for.
    is_seeking: bool,
    inner: Vec<Inner>,
    inner_bytes: usize,
    leaf: vec::IntoIter<Node>,
    leaf_bytes: usize,
    /// Nodes of the latest leaf that were answered.
    answered: usize,
    /// Whether some of that leaf were given up before they were answered.
    is_within_leaf: bool,
    /// The last name below the latest leaf, or below a chunk that could not be read.
    last: Option<Name>,
}

/// An inner chunk that the walk is below.
struct Inner {
    level: u8,
    children: vec::IntoIter<FolderChild>,
    bytes: usize,
}

/// What the chunk above says of a chunk.
struct Promise {
    level: u8,
    last: Name,
}

impl<'a> Nodes<'a> {
    /// The nodes of the folder whose tree is `root`.
    pub fn of(source: &'a dyn ChunkSource, root: ChunkId) -> Self {
        Self {
            source,
            root,
            is_cut: true,
            is_seeking: false,
            inner: Vec::new(),
            inner_bytes: 0,
            leaf: Vec::new().into_iter(),
            leaf_bytes: 0,
            answered: 0,
            is_within_leaf: false,
            last: None,
        }
    }

    /// The root of the folder's tree.
    pub fn root(&self) -> ChunkId {
        self.root
    }

    /// Gives up whatever can be read again. The next node is the same as without that.
    pub fn rest(&mut self) {
        self.is_within_leaf |= self.leaf.len() > 0;
        self.is_cut |= self.is_within_leaf || !self.inner.is_empty();
        (self.inner, self.inner_bytes) = (Vec::new(), 0);
        (self.leaf, self.leaf_bytes) = (Vec::new().into_iter(), 0);
    }

    /// Decoded bytes that are held, roughly.
    pub fn held_bytes(&self) -> usize {
        self.inner_bytes + self.leaf_bytes
    }

    fn enter_root(&mut self) -> Result<()> {
        self.is_cut = false;
        self.is_seeking = self.last.is_some();
        let root = self.root;
        self.enter(&root, None)
    }

    /// Reads a chunk, and checks what the chunk above says of it.
    fn enter(&mut self, id: &ChunkId, promise: Option<&Promise>) -> Result<()> {
        match read::<FolderChunk>(self.source, ChunkKind::Node, id)? {
            FolderChunk::Leaf(nodes) => {
                if promise.is_some_and(|promise| promise.level != 0) {
                    return Err(malformed(id, "a leaf stands where an inner chunk should be"));
                }
                check_end(id, promise, nodes.last().map(|node| &node.name))?;
                self.enter_leaf(id, nodes)
            }
            FolderChunk::Inner { level, children } => {
                if promise.is_some_and(|promise| promise.level != level) {
                    return Err(malformed(id, "it lies on another level than the chunk above says"));
                }
                check_end(id, promise, children.last().map(|child| &child.last))?;
                self.enter_inner(level, children);
                Ok(())
            }
        }
    }

    fn enter_leaf(&mut self, id: &ChunkId, nodes: Vec<Node>) -> Result<()> {
        self.is_seeking = false;
        let bytes = nodes.iter().map(Node::held_bytes).sum();
        let mut leaf = nodes.into_iter();
        if std::mem::take(&mut self.is_within_leaf) {
            leaf.by_ref().take(self.answered).for_each(drop);
        } else {
            let first = leaf.as_slice().first();
            if first.is_some_and(|first| self.last.as_ref().is_some_and(|last| *last >= first.name)) {
                return Err(malformed(id, "its names do not follow those before it"));
            }
            self.answered = 0;
            if let Some(node) = leaf.as_slice().last() {
                self.last = Some(node.name.clone());
            }
        }
        (self.leaf, self.leaf_bytes) = (leaf, bytes);
        Ok(())
    }

    fn enter_inner(&mut self, level: u8, children: Vec<FolderChild>) {
        let bytes = children.iter().map(FolderChild::held_bytes).sum();
        let mut children = children.into_iter();
        if self.is_seeking {
            let passed = children.as_slice().partition_point(|child| self.is_passed(child));
            children.by_ref().take(passed).for_each(drop);
        }
        self.inner.push(Inner { level, children, bytes });
        self.inner_bytes += bytes;
        while self.inner_bytes > INNER_BYTES_MAX && self.inner.len() > 1 {
            self.inner_bytes -= self.inner.remove(0).bytes;
            self.is_cut = true;
        }
    }

    /// Whether all below a chunk was answered before something was given up.
    fn is_passed(&self, child: &FolderChild) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| child.last < *last || (child.last == *last && !self.is_within_leaf))
    }

    fn enter_child(&mut self, level: u8, child: FolderChild) -> Result<()> {
        let promise = Promise { level: level - 1, last: child.last };
        let entered = self.enter(&child.id, Some(&promise));
        if entered.is_err() {
            (self.is_seeking, self.is_within_leaf) = (false, false);
            // It is not tried again after something was given up.
            self.last = self.last.take().max(Some(promise.last));
        }
        entered
    }
}

/// A chunk ends with the name that the chunk above says.
fn check_end(id: &ChunkId, promise: Option<&Promise>, last: Option<&Name>) -> Result<()> {
    match promise {
        Some(promise) if last != Some(&promise.last) => {
            Err(malformed(id, "it does not end with the name that the chunk above says"))
        }
        _ => Ok(()),
    }
}

impl Iterator for Nodes<'_> {
    type Item = Result<Node>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(node) = self.leaf.next() {
                self.answered += 1;
                return Some(Ok(node));
            }
            let entered = match self.inner.last_mut() {
                Some(inner) => match inner.children.next() {
                    Some(child) => {
                        let level = inner.level;
                        self.enter_child(level, child)
                    }
                    None => {
                        self.inner_bytes -= self.inner.pop().map_or(0, |inner| inner.bytes);
                        Ok(())
                    }
                },
                None if self.is_cut => self.enter_root(),
                None => return None,
            };
            if let Err(error) = entered {
                return Some(Err(error));
            }
        }
    }
}

impl Node {
    /// Bytes in memory, roughly: a node may take twenty times as many as it has in its chunk.
    pub(crate) fn held_bytes(&self) -> usize {
        let of_kind = match &self.kind {
            NodeKind::File { content: Content::Inline(bytes), .. } | NodeKind::Symlink { target: bytes } => bytes.len(),
            NodeKind::File { content: Content::Pieces(pieces), .. } => size_of_val(&pieces[..]),
            _ => 0,
        };
        let owner = [&self.owner.user, &self.owner.group].into_iter().flatten().map(Vec::len).sum::<usize>();
        let xattrs = self.xattrs.iter().map(NodeXattr::held_bytes).sum::<usize>();
        let own = size_of_val(self) + 2 * ALLOCATION_BYTES + self.name.as_bytes().len();
        own + of_kind + owner + xattrs + self.extras.held_bytes()
    }
}

impl NodeXattr {
    fn held_bytes(&self) -> usize {
        let value = match &self.value {
            XattrValue::Inline(bytes) => bytes.len(),
            XattrValue::Pieces(pieces) => size_of::<Piece>() * pieces.len(),
        };
        size_of_val(self) + 2 * ALLOCATION_BYTES + self.name.len() + value
    }
}

impl FolderChild {
    fn held_bytes(&self) -> usize {
        size_of_val(self) + ALLOCATION_BYTES + self.last.as_bytes().len()
    }
}

/// A folder that a walk is in, or that is above it.
pub trait Level {
    /// Decoded bytes that are held, roughly.
    fn held_bytes(&self) -> usize;

    /// Gives up whatever can be read again.
    fn rest(&mut self);
}

/// The folders from the root of a walk down to where it is. Those far above rest when all together hold too much.
pub struct Levels<L> {
    levels: Vec<L>,
    /// What those above the last one hold.
    held_bytes: usize,
    /// So many rest, from the root downward.
    resting: usize,
}

impl<L> Default for Levels<L> {
    fn default() -> Self {
        Self { levels: Vec::new(), held_bytes: 0, resting: 0 }
    }
}

impl<L: Level> Levels<L> {
    /// Steps down.
    pub fn push(&mut self, level: L) {
        self.held_bytes += self.levels.last().map_or(0, L::held_bytes);
        while self.held_bytes > LEVELS_BYTES_MAX
            && let Some(level) = self.levels.get_mut(self.resting)
        {
            self.held_bytes -= level.held_bytes();
            level.rest();
            self.held_bytes += level.held_bytes();
            self.resting += 1;
        }
        self.levels.push(level);
    }

    /// Steps up.
    pub fn pop(&mut self) -> Option<L> {
        let left = self.levels.pop();
        self.held_bytes -= self.levels.last().map_or(0, L::held_bytes);
        self.resting = self.resting.min(self.levels.len().saturating_sub(1));
        left
    }

    /// The folder that the walk is in.
    pub fn last(&self) -> Option<&L> {
        self.levels.last()
    }

    /// The folder that the walk is in.
    pub fn last_mut(&mut self) -> Option<&mut L> {
        self.levels.last_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;
    use crate::format::metadata::Owner;
    use crate::format::record::{Extras, encode};

    /// Chunks in memory, under ids that are numbers.
    #[derive(Default)]
    struct Chunks(HashMap<ChunkId, Vec<u8>>);

    impl ChunkSource for Chunks {
        fn chunk(&self, _: ChunkKind, id: &ChunkId) -> Result<Vec<u8>> {
            self.0.get(id).cloned().ok_or(Error::MissingChunk { id: *id })
        }
    }

    impl Chunks {
        fn put(&mut self, chunk: &FolderChunk) -> ChunkId {
            let bytes = encode(chunk);
            let id = ChunkId(*blake3::hash(&bytes).as_bytes());
            self.0.insert(id, bytes);
            id
        }

        /// A tree with so many leaves for each inner chunk of the lowest level, and so on up to the root.
        fn tree(&mut self, nodes: usize, of_leaf: usize, of_inner: usize) -> ChunkId {
            let names: Vec<_> = (0..nodes).map(name).collect();
            let mut row: Vec<_> = names
                .chunks(of_leaf)
                .map(|names| {
                    let leaf = names.iter().cloned().map(fifo).collect();
                    FolderChild {
                        last: names[names.len() - 1].clone(),
                        id: self.put(&FolderChunk::Leaf(leaf)),
                        entries: 1,
                    }
                })
                .collect();
            for level in 1.. {
                if let [root] = &row[..] {
                    return root.id;
                }
                row = row
                    .chunks(of_inner)
                    .map(|children| {
                        let last = children[children.len() - 1].last.clone();
                        let id = self.put(&FolderChunk::Inner { level, children: children.to_vec() });
                        FolderChild { last, id, entries: 1 }
                    })
                    .collect();
            }
            unreachable!()
        }
    }

    fn name(number: usize) -> Name {
        Name::new(format!("{number:06}").into_bytes()).unwrap()
    }

    fn fifo(name: Name) -> Node {
        let (owner, xattrs, extras) = (Owner::default(), Vec::new(), Extras::default());
        Node { name, kind: NodeKind::Fifo, mode: 0, owner, mtime: None, xattrs, extras }
    }

    /// What a folder answers, resting before the nodes with these numbers.
    fn answers(
        chunks: &Chunks,
        root: ChunkId,
        rests: impl Fn(usize) -> bool,
    ) -> Vec<std::result::Result<Name, String>> {
        let mut nodes = Nodes::of(chunks, root);
        let mut answers = Vec::new();
        loop {
            if rests(answers.len()) {
                nodes.rest();
                assert_eq!(nodes.held_bytes(), 0);
            }
            match nodes.next() {
                Some(node) => answers.push(node.map(|node| node.name).map_err(|error| error.to_string())),
                None => return answers,
            }
        }
    }

    proptest! {
        #[test]
        fn a_folder_answers_the_same_wherever_it_rests(
            nodes in 1..60usize, of_leaf in 1..5usize, of_inner in 2..4usize,
            rests in btree_set(0..70usize, 0..70), lost in vec(any::<prop::sample::Index>(), 0..3),
        ) {
            let mut chunks = Chunks::default();
            let root = chunks.tree(nodes, of_leaf, of_inner);
            let whole = answers(&chunks, root, |_| false);
            prop_assert_eq!(whole, (0..nodes).map(|number| Ok(name(number))).collect::<Vec<_>>());
            let mut ids: Vec<_> = chunks.0.keys().copied().collect();
            ids.sort_unstable();
            for index in lost {
                chunks.0.remove(index.get(&ids));
            }
            prop_assert_eq!(answers(&chunks, root, |_| false), answers(&chunks, root, |at| rests.contains(&at)));
        }
    }

    /// Inner chunks of a folder alone were held as long as the folder, up to one for each of 32 levels.
    #[test]
    fn inner_chunks_that_are_too_large_together_are_read_again() {
        let mut chunks = Chunks::default();
        let long = |number: usize| Name::new([format!("{number:06}").as_bytes(), &[b'x'; 1000]].concat()).unwrap();
        // Each level has three thousand chunks, of which all but the first are lost.
        let mut below = FolderChunk::Leaf(vec![fifo(long(0))]);
        let mut last = long(0);
        for level in 1..=10 {
            let mut children = vec![FolderChild { last, id: chunks.put(&below), entries: 1 }];
            let start = usize::from(level) * 3_000;
            children.extend((start..start + 2_999).map(|number| FolderChild {
                last: long(number),
                id: ChunkId([0; 32]),
                entries: 1,
            }));
            last = children[2_999].last.clone();
            below = FolderChunk::Inner { level, children };
        }
        let root = chunks.put(&below);
        let mut nodes = Nodes::of(&chunks, root);
        let (mut found, mut lost, mut held) = (0, 0, 0);
        while let Some(node) = nodes.next() {
            *if node.is_ok() { &mut found } else { &mut lost } += 1;
            held = held.max(nodes.held_bytes());
        }
        assert_eq!((found, lost), (1, 29_990));
        assert!(held < INNER_BYTES_MAX + (1 << 20), "{held}");
    }
}
