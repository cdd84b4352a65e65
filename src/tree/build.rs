//! Builds trees of chunks from entries that come in order, in memory that does not grow with their number.
//!
//! A chunk ends after an entry when a keyed hash of that entry's key says so: of the name in a folder, of the piece in a
//! list. Where chunks end thus depends on nothing but the entries around, and one change touches one chunk on each level.
//! Such trees are known as probabilistic B-trees (prolly trees, from Noms).

use std::marker::PhantomData;

use crate::error::Result;
use crate::format::link::{BirthChunk, Births, LinkChunk, LinkGroup, TABLE_ENTRIES_MAX};
use crate::format::name::Name;
use crate::format::record::{Record, Writer, encode};
use crate::format::snapshot::TableRef;
use crate::format::tree::{Content, NODE_PIECES_MAX, Node, Piece, TreeConstants};
use crate::id::ChunkId;
use crate::keys::domain::{ChunkKind, DedupDomain};

/// The level under which keys of tables are hashed; folders and lists never have so many.
const TABLE_LEVEL: u8 = u8::MAX;

/// Mean number of records in a chunk of a table; a power of two.
const TABLE_RECORDS: u32 = 64;

/// Where finished chunks go.
pub trait ChunkSink {
    /// Stores a chunk and answers its id.
    fn store_chunk(&mut self, kind: ChunkKind, plain: &[u8]) -> Result<ChunkId>;

    /// Decides where chunks end.
    fn domain(&self) -> &DedupDomain;

    /// How large chunks get.
    fn constants(&self) -> &TreeConstants;
}

/// What tells a folder from a list.
pub trait Shape {
    /// Kind of its chunks.
    const KIND: ChunkKind;

    /// Mean number of entries of a chunk.
    fn average(constants: &TreeConstants) -> u32;

    /// An entry of the next higher level: the last key below it, its id, the sum of weights below it.
    fn child(last_key: &[u8], id: &ChunkId, weight: u64) -> Vec<u8>;
}

/// A folder: keys are names, each node weighs one.
pub struct FolderShape;

/// A list: keys are pieces, weights are bytes.
pub struct ListShape;

impl Shape for FolderShape {
    const KIND: ChunkKind = ChunkKind::Node;

    fn average(constants: &TreeConstants) -> u32 {
        constants.folder_entries
    }

    fn child(last_key: &[u8], id: &ChunkId, weight: u64) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(3);
        out.bytes(last_key);
        out.bytes(&id.0);
        out.uint(weight);
        out.into_bytes()
    }
}

impl Shape for ListShape {
    const KIND: ChunkKind = ChunkKind::List;

    fn average(constants: &TreeConstants) -> u32 {
        constants.list_entries
    }

    fn child(_: &[u8], id: &ChunkId, weight: u64) -> Vec<u8> {
        let mut out = Writer::new();
        out.array(2);
        out.bytes(&id.0);
        out.uint(weight);
        out.into_bytes()
    }
}

/// The chunk of one level that is being filled.
#[derive(Default)]
struct Level {
    count: u32,
    body: Vec<u8>,
    weight: u64,
    last_key: Vec<u8>,
    /// Chunks that this level has given to the next higher one.
    finished: u64,
    latest: Option<ChunkId>,
}

/// A tree that grows at its end.
pub struct Builder<S> {
    levels: Vec<Level>,
    shape: PhantomData<S>,
}

impl<S: Shape> Default for Builder<S> {
    fn default() -> Self {
        Self { levels: vec![Level::default()], shape: PhantomData }
    }
}

impl<S: Shape> Builder<S> {
    /// Appends an encoded entry.
    fn append(&mut self, entry: &[u8], key: &[u8], weight: u64, sink: &mut dyn ChunkSink) -> Result<()> {
        self.append_at(0, entry, key, weight, sink)
    }

    fn append_at(
        &mut self,
        level: usize,
        entry: &[u8],
        key: &[u8],
        weight: u64,
        sink: &mut dyn ChunkSink,
    ) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Level::default());
        }
        let filling = &mut self.levels[level];
        filling.count += 1;
        filling.body.extend_from_slice(entry);
        filling.weight = filling.weight.saturating_add(weight);
        filling.last_key.clear();
        filling.last_key.extend_from_slice(key);
        if Self::ends(level, filling, key, sink) { self.end_chunk(level, sink) } else { Ok(()) }
    }

    /// Whether a chunk ends after this entry. The least number of entries sees to it that every level is at most a few
    /// times shorter than the one below, even where all keys are the same, as in a list of zeros.
    fn ends(level: usize, filling: &Level, key: &[u8], sink: &dyn ChunkSink) -> bool {
        let constants = sink.constants();
        if filling.count >= constants.entries_max || filling.body.len() >= constants.bytes_max as usize {
            return filling.count > 1;
        }
        let average = S::average(constants);
        let least = (average / 4).max(2);
        filling.count >= least && sink.domain().tree_cut(level_code(level), key) & (average - 1) == 0
    }

    fn end_chunk(&mut self, level: usize, sink: &mut dyn ChunkSink) -> Result<()> {
        let filling = &mut self.levels[level];
        let mut chunk = Writer::new();
        chunk.array(2);
        chunk.uint(level as u64);
        chunk.array(filling.count as usize);
        chunk.raw(&filling.body);
        let id = sink.store_chunk(S::KIND, &chunk.into_bytes())?;
        filling.finished += 1;
        filling.latest = Some(id);
        let child = S::child(&filling.last_key, &id, filling.weight);
        // A folder's inner entries are ordered by the last name below them; a list's have no other name than their id.
        let key = match S::KIND {
            ChunkKind::Node => filling.last_key.clone(),
            _ => id.0.to_vec(),
        };
        let weight = filling.weight;
        filling.count = 0;
        filling.weight = 0;
        filling.body.clear();
        self.append_at(level + 1, &child, &key, weight, sink)
    }

    /// Ends all open chunks and answers the root.
    fn finish(mut self, sink: &mut dyn ChunkSink) -> Result<ChunkId> {
        let mut level = 0;
        loop {
            let filling = &self.levels[level];
            // A level that has given one chunk only, and holds nothing more, has given the root.
            if let (1, 0, Some(root)) = (filling.finished, filling.count, filling.latest) {
                return Ok(root);
            }
            if filling.count > 0 || filling.finished == 0 {
                self.end_chunk(level, sink)?;
                continue;
            }
            level += 1;
        }
    }
}

fn level_code(level: usize) -> u8 {
    u8::try_from(level).unwrap_or(TABLE_LEVEL - 1)
}

/// Builds a folder of nodes that come in ascending order of their names.
#[derive(Default)]
pub struct FolderBuilder {
    builder: Builder<FolderShape>,
    last: Option<Name>,
}

impl FolderBuilder {
    /// Adds a node. **Names must ascend**, which is asserted.
    pub fn push(&mut self, node: &Node, sink: &mut dyn ChunkSink) -> Result<()> {
        self.push_encoded(&node.name, &encode(node), sink)
    }

    /// Adds a node called `name` that was encoded before.
    pub fn push_encoded(&mut self, name: &Name, node: &[u8], sink: &mut dyn ChunkSink) -> Result<()> {
        assert!(self.last.as_ref().is_none_or(|last| last < name), "names of a folder ascend");
        self.last = Some(name.clone());
        self.builder.append(node, name.as_bytes(), 1, sink)
    }

    /// The id of the folder's tree.
    pub fn finish(self, sink: &mut dyn ChunkSink) -> Result<ChunkId> {
        self.builder.finish(sink)
    }
}

/// Builds a content of pieces: in its node while they are few, a list when they are many.
#[derive(Default)]
pub struct ContentBuilder {
    few: Vec<Piece>,
    list: Option<Builder<ListShape>>,
}

impl ContentBuilder {
    /// Adds the next piece.
    pub fn push(&mut self, piece: Piece, sink: &mut dyn ChunkSink) -> Result<()> {
        if let Some(list) = &mut self.list {
            return push_piece(list, &piece, sink);
        }
        if self.few.len() < NODE_PIECES_MAX {
            self.few.push(piece);
            return Ok(());
        }
        let mut list = Builder::default();
        for piece in self.few.drain(..).chain([piece]) {
            push_piece(&mut list, &piece, sink)?;
        }
        self.list = Some(list);
        Ok(())
    }

    /// The content.
    pub fn finish(self, sink: &mut dyn ChunkSink) -> Result<Content> {
        match self.list {
            Some(list) => Ok(Content::List(list.finish(sink)?)),
            None => Ok(Content::Pieces(self.few)),
        }
    }
}

fn push_piece(list: &mut Builder<ListShape>, piece: &Piece, sink: &mut dyn ChunkSink) -> Result<()> {
    let entry = encode(piece);
    list.append(&entry, &entry, piece.len(), sink)
}

/// A chunk of a table, as a record of its entries.
trait TableChunk {
    const KIND: ChunkKind;
    type Entry: Record;

    /// Decides where chunks end.
    fn key(entry: &Self::Entry) -> Vec<u8>;
}

impl TableChunk for LinkChunk {
    const KIND: ChunkKind = ChunkKind::Link;
    type Entry = LinkGroup;

    fn key(group: &LinkGroup) -> Vec<u8> {
        group.0.first().map(|path| path.as_bytes().to_vec()).unwrap_or_default()
    }
}

impl TableChunk for BirthChunk {
    const KIND: ChunkKind = ChunkKind::Birth;
    type Entry = Births;

    fn key(births: &Births) -> Vec<u8> {
        births.folder.as_bytes().to_vec()
    }
}

/// Builds a table of records that come in order.
struct TableBuilder<T> {
    count: usize,
    body: Vec<u8>,
    list: Option<Builder<ListShape>>,
    bytes: u64,
    shape: PhantomData<T>,
}

impl<T> Default for TableBuilder<T> {
    fn default() -> Self {
        Self { count: 0, body: Vec::new(), list: None, bytes: 0, shape: PhantomData }
    }
}

impl<T: TableChunk> TableBuilder<T> {
    fn push(&mut self, entry: &T::Entry, sink: &mut dyn ChunkSink) -> Result<()> {
        self.count += 1;
        self.body.extend(encode(entry));
        let hash = sink.domain().tree_cut(TABLE_LEVEL, &T::key(entry));
        let is_cut = self.count >= TABLE_RECORDS as usize / 4 && hash & (TABLE_RECORDS - 1) == 0;
        let is_full = self.count >= TABLE_ENTRIES_MAX || self.body.len() >= sink.constants().bytes_max as usize;
        if is_cut || is_full { self.end_chunk(sink) } else { Ok(()) }
    }

    fn end_chunk(&mut self, sink: &mut dyn ChunkSink) -> Result<()> {
        let mut chunk = Writer::new();
        chunk.array(self.count);
        chunk.raw(&self.body);
        let chunk = chunk.into_bytes();
        let id = sink.store_chunk(T::KIND, &chunk)?;
        self.count = 0;
        self.body.clear();
        self.bytes += chunk.len() as u64;
        let len = u32::try_from(chunk.len()).expect("a chunk of a table is little longer than its bound");
        push_piece(self.list.get_or_insert_default(), &Piece::Chunk { id, len }, sink)
    }

    fn finish(mut self, sink: &mut dyn ChunkSink) -> Result<Option<TableRef>> {
        if self.count > 0 {
            self.end_chunk(sink)?;
        }
        let Some(list) = self.list else { return Ok(None) };
        Ok(Some(TableRef { list: list.finish(sink)?, bytes: self.bytes }))
    }
}

/// The table of hard links, of records in ascending order.
pub fn build_links(groups: &[LinkGroup], sink: &mut dyn ChunkSink) -> Result<Option<TableRef>> {
    let mut table = TableBuilder::<LinkChunk>::default();
    groups.iter().try_for_each(|group| table.push(group, sink))?;
    table.finish(sink)
}

/// Builds the table of birth times, folder by folder in the order in which a walk comes to their ends.
#[derive(Default)]
pub struct BirthsBuilder(TableBuilder<BirthChunk>);

impl BirthsBuilder {
    /// Adds consecutive entries of one folder.
    pub fn push(&mut self, births: &Births, sink: &mut dyn ChunkSink) -> Result<()> {
        self.0.push(births, sink)
    }

    /// The table, if it holds anything.
    pub fn finish(self, sink: &mut dyn ChunkSink) -> Result<Option<TableRef>> {
        self.0.finish(sink)
    }
}
