//! Tree chunks: folders as sorted lists of nodes, and long contents as lists of chunks; both are Merkle trees.
//!
//! Only stable metadata enters a node: no access or change time, no inode, no birth time (see [`super::link`]), so that an
//! unchanged folder has an unchanged id on every machine, and also after a restore.

use minicbor::Decoder;

use super::metadata::{Owner, Timestamp};
use super::name::{NAME_BYTES_MAX, Name};
use super::record::{
    Extras, Record, RecordError, Result, Writer, read_bytes, read_exact, read_list, read_map, read_tuple, required,
};
use crate::id::{ChunkId, ID_LEN};

/// The most entries of one tree chunk.
pub const TREE_ENTRIES_MAX: usize = 16_384;

/// The most bytes of a tree chunk. A writer ends one long before: at 512 KiB, and one entry more.
pub const TREE_CHUNK_BYTES_MAX: usize = 4 << 20;

/// The most levels above the leaves of one folder or list. With two entries or more in each chunk, 2^32 entries fit.
pub const TREE_LEVELS_MAX: u8 = 32;

/// Contents up to this many bytes stand in their node: an index row and a chunk id would cost about as much.
pub const INLINE_BYTES_MAX: usize = 128;

/// The most pieces that stand in a node; longer contents have a list.
pub const NODE_PIECES_MAX: usize = 16;

/// Bytes of extended attributes that stand in a node itself; values beyond are chunks.
pub const INLINE_XATTR_BYTES_MAX: usize = 4096;

/// The most extended attributes of a node.
pub const XATTRS_MAX: usize = 4096;

/// The most bytes of their names, each with one more: what Linux lists of an item, its `XATTR_LIST_MAX`.
pub const XATTR_LIST_BYTES_MAX: usize = 64 << 10;

/// The most bytes of their values, which a restore has in memory until the item is complete.
pub const XATTR_VALUES_BYTES_MAX: u64 = 16 << 20;

/// The longest target of a symlink in bytes.
pub const LINK_TARGET_MAX: usize = 1 << 16;

/// The longest name of a user or group in bytes.
pub const OWNER_NAME_MAX: usize = 256;

const XATTR_NAME_MAX: usize = 1024;

/// One item of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in the folder.
    pub name: Name,
    /// What it is, and its content.
    pub kind: NodeKind,
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner and group.
    pub owner: Owner,
    /// Time of the last change of its content. Folders above a source have none: they change for other reasons.
    pub mtime: Option<Timestamp>,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<NodeXattr>,
    /// Fields of a newer version.
    pub extras: Extras,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File {
        /// Length in bytes, holes included.
        size: u64,
        /// Its bytes.
        content: Content,
        /// Whether it kept changing while it was read, so that it may be a mixture of states.
        changed: bool,
    },
    /// A folder.
    Folder {
        /// The root chunk of its list of nodes.
        tree: ChunkId,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as written in it.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major and minor number.
        device: (u32, u32),
    },
    /// A block device.
    BlockDevice {
        /// Major and minor number.
        device: (u32, u32),
    },
}

impl NodeKind {
    const fn code(&self) -> u64 {
        match self {
            Self::File { .. } => 0,
            Self::Folder { .. } => 1,
            Self::Symlink { .. } => 2,
            Self::Fifo => 3,
            Self::CharDevice { .. } => 4,
            Self::BlockDevice { .. } => 5,
        }
    }
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes themselves, when they are few.
    Inline(Vec<u8>),
    /// Its pieces in order, when they are few.
    Pieces(Vec<Piece>),
    /// The root of a list of its pieces.
    List(ChunkId),
}

/// A part of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A chunk.
    Chunk {
        /// Its id, of kind data.
        id: ChunkId,
        /// Its plain length in bytes.
        len: u32,
    },
    /// Bytes that were never written; they read as zeros.
    Hole {
        /// Length in bytes.
        len: u64,
    },
}

impl Piece {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Chunk { len, .. } => u64::from(*len),
            Self::Hole { len } => *len,
        }
    }

    /// Whether it has no bytes; no valid piece has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An extended attribute of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeXattr {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: XattrValue,
}

/// The value of an extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XattrValue {
    /// The bytes themselves.
    Inline(Vec<u8>),
    /// Chunks, for large values.
    Pieces(Vec<Piece>),
}

/// A chunk of a folder's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderChunk {
    /// Nodes in ascending order of their names.
    Leaf(Vec<Node>),
    /// Chunks of the next lower level, in order.
    Inner {
        /// Levels above the leaves, from 1.
        level: u8,
        /// What lies below.
        children: Vec<FolderChild>,
    },
}

/// A chunk below an inner chunk of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderChild {
    /// The last name below it.
    pub last: Name,
    /// Its id.
    pub id: ChunkId,
    /// How many nodes lie below it.
    pub entries: u64,
}

/// A chunk of a list of pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListChunk {
    /// Pieces in order.
    Leaf(Vec<Piece>),
    /// Chunks of the next lower level, in order.
    Inner {
        /// Levels above the leaves, from 1.
        level: u8,
        /// What lies below. Lengths and not cumulative sums, so that an insertion leaves all later chunks as they are.
        children: Vec<ListChild>,
    },
}

/// A chunk below an inner chunk of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListChild {
    /// Its id.
    pub id: ChunkId,
    /// Length of the content below it in bytes.
    pub bytes: u64,
}

/// How folders and lists are cut into chunks; fixed when a repository is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeConstants {
    /// Mean number of entries of a folder chunk; a power of two.
    pub folder_entries: u32,
    /// Mean number of entries of a list chunk; a power of two.
    pub list_entries: u32,
    /// A chunk ends at the latest after this many entries.
    pub entries_max: u32,
    /// A chunk ends at the latest when it is at least this many bytes long.
    pub bytes_max: u32,
}

impl TreeConstants {
    /// Sixty-four nodes are about 10 KiB, which a change of one file stores again; pieces are a quarter of a node's size.
    pub const DEFAULT: Self = Self { folder_entries: 64, list_entries: 256, entries_max: 4096, bytes_max: 64 << 10 };

    fn is_valid(&self) -> bool {
        let averages = [self.folder_entries, self.list_entries];
        averages.iter().all(|&n| n.is_power_of_two() && n >= 2 && n <= self.entries_max)
            && self.entries_max as usize <= TREE_ENTRIES_MAX
            && (4 << 10..=512 << 10).contains(&self.bytes_max)
    }
}

impl Record for TreeConstants {
    fn write(&self, out: &mut Writer) {
        out.list(&[self.folder_entries, self.list_entries, self.entries_max, self.bytes_max], |out, &n| {
            out.uint(n.into());
        });
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        read_tuple(input, 4)?;
        let constants = Self {
            folder_entries: input.u32()?,
            list_entries: input.u32()?,
            entries_max: input.u32()?,
            bytes_max: input.u32()?,
        };
        if !constants.is_valid() {
            return Err(RecordError::Malformed("tree constants are out of range"));
        }
        Ok(constants)
    }
}

impl Record for Node {
    fn write(&self, out: &mut Writer) {
        out.map(|fields| {
            fields.at(0).bytes(self.name.as_bytes());
            fields.at(1).uint(self.kind.code());
            fields.at(2).uint(self.mode.into());
            fields.at(3).uint(self.owner.uid.into());
            fields.at(4).uint(self.owner.gid.into());
            fields.maybe(5, self.owner.user.as_ref(), |out, name| out.bytes(name));
            fields.maybe(6, self.owner.group.as_ref(), |out, name| out.bytes(name));
            fields.maybe(7, self.mtime.as_ref(), |out, time| time.write(out));
            match &self.kind {
                NodeKind::File { size, content, changed } => {
                    fields.at(8).uint(*size);
                    match content {
                        Content::Inline(bytes) => fields.at(9).bytes(bytes),
                        Content::Pieces(pieces) => fields.at(10).list(pieces, |out, piece| piece.write(out)),
                        Content::List(id) => fields.at(11).bytes(&id.0),
                    }
                    fields.maybe(12, changed.then_some(true), Writer::bool);
                }
                NodeKind::Folder { tree } => fields.at(13).bytes(&tree.0),
                NodeKind::Symlink { target } => fields.at(14).bytes(target),
                NodeKind::Fifo => {}
                NodeKind::CharDevice { device } | NodeKind::BlockDevice { device } => {
                    fields.at(15).list(&[device.0, device.1], |out, &number| out.uint(number.into()));
                }
            }
            if !self.xattrs.is_empty() {
                fields.at(16).list(&self.xattrs, |out, xattr| xattr.write(out));
            }
            fields.extras(&self.extras);
        });
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        let mut parts = NodeParts::default();
        let extras = read_map(input, |key, input| parts.field(key, input))?;
        parts.finish(extras)
    }
}

/// The fields of a node before it is known whether they go together.
#[derive(Default)]
struct NodeParts {
    name: Option<Name>,
    code: Option<u64>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    user: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
    mtime: Option<Timestamp>,
    size: Option<u64>,
    content: Option<Content>,
    changed: Option<bool>,
    tree: Option<ChunkId>,
    target: Option<Vec<u8>>,
    device: Option<(u32, u32)>,
    xattrs: Vec<NodeXattr>,
}

impl NodeParts {
    fn field(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<bool> {
        match key {
            0 => self.name = Some(read_name(input)?),
            1 => self.code = Some(input.u64()?),
            2 => self.mode = Some(input.u32()?),
            3 => self.uid = Some(input.u32()?),
            4 => self.gid = Some(input.u32()?),
            5 => self.user = Some(read_bytes(input, OWNER_NAME_MAX, "user name")?.to_vec()),
            6 => self.group = Some(read_bytes(input, OWNER_NAME_MAX, "group name")?.to_vec()),
            7 => self.mtime = Some(Timestamp::read(input)?),
            8 => self.size = Some(input.u64()?),
            9 => self.put_content(Content::Inline(read_bytes(input, INLINE_BYTES_MAX, "inline content")?.to_vec()))?,
            10 => {
                let pieces = read_list(input, NODE_PIECES_MAX, "number of pieces", Piece::read)?;
                self.put_content(Content::Pieces(pieces))?;
            }
            11 => self.put_content(Content::List(ChunkId(read_exact(input)?)))?,
            12 => self.changed = Some(input.bool()?),
            13 => self.tree = Some(ChunkId(read_exact(input)?)),
            14 => self.target = Some(read_bytes(input, LINK_TARGET_MAX, "symlink target")?.to_vec()),
            15 => {
                read_tuple(input, 2)?;
                self.device = Some((input.u32()?, input.u32()?));
            }
            16 => self.xattrs = read_list(input, XATTRS_MAX, "number of extended attributes", NodeXattr::read)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn put_content(&mut self, content: Content) -> Result<()> {
        match self.content.replace(content) {
            None => Ok(()),
            Some(_) => Err(RecordError::Malformed("a node has two contents")),
        }
    }

    fn finish(self, extras: Extras) -> Result<Node> {
        let mode = required(self.mode, "a node has no mode")?;
        if mode > 0o7777 {
            return Err(RecordError::Malformed("a node's mode has unknown bits"));
        }
        if !self.xattrs.is_sorted_by(|a, b| a.name < b.name) {
            return Err(RecordError::Malformed("extended attributes are not sorted"));
        }
        check_xattrs(&self.xattrs)?;
        let kind = match required(self.code, "a node has no kind")? {
            0 => {
                let size = required(self.size, "a file has no size")?;
                let content = required(self.content, "a file has no content")?;
                check_content(size, &content)?;
                NodeKind::File { size, content, changed: self.changed.unwrap_or(false) }
            }
            1 => NodeKind::Folder { tree: required(self.tree, "a folder has no tree")? },
            2 => NodeKind::Symlink { target: required(self.target, "a symlink has no target")? },
            3 => NodeKind::Fifo,
            4 => NodeKind::CharDevice { device: required(self.device, "a device has no numbers")? },
            5 => NodeKind::BlockDevice { device: required(self.device, "a device has no numbers")? },
            code => return Err(RecordError::Newer { what: "kind of node", code }),
        };
        // A field that does not belong to the kind is not written again, so that the check for the canonical form finds it.
        Ok(Node {
            name: required(self.name, "a node has no name")?,
            kind,
            mode,
            owner: Owner {
                uid: required(self.uid, "a node has no owner")?,
                gid: required(self.gid, "a node has no group")?,
                user: self.user,
                group: self.group,
            },
            mtime: self.mtime,
            xattrs: self.xattrs,
            extras,
        })
    }
}

fn check_content(size: u64, content: &Content) -> Result<()> {
    let found = match content {
        Content::Inline(bytes) => Some(bytes.len() as u64),
        Content::Pieces(pieces) => sum(pieces.iter().map(Piece::len)),
        Content::List(_) => return Ok(()), // Proved by whoever walks the list.
    };
    if found == Some(size) { Ok(()) } else { Err(RecordError::Malformed("a file's pieces do not add up to its size")) }
}

fn check_xattrs(xattrs: &[NodeXattr]) -> Result<()> {
    let inline = |xattr: &NodeXattr| match &xattr.value {
        XattrValue::Inline(bytes) => bytes.len(),
        XattrValue::Pieces(_) => 0,
    };
    if xattrs.iter().map(|xattr| xattr.name.len() + 1).sum::<usize>() > XATTR_LIST_BYTES_MAX {
        Err(RecordError::Limit("names of extended attributes"))
    } else if xattrs.iter().map(inline).sum::<usize>() > INLINE_XATTR_BYTES_MAX {
        Err(RecordError::Limit("inline extended attributes"))
    } else {
        Ok(())
    }
}

/// The sum, or nothing when it does not fit.
pub fn sum(mut lengths: impl Iterator<Item = u64>) -> Option<u64> {
    lengths.try_fold(0u64, u64::checked_add)
}

fn read_name(input: &mut Decoder<'_>) -> Result<Name> {
    let bytes = read_bytes(input, NAME_BYTES_MAX, "file name")?;
    Name::new(bytes).map_err(|_| RecordError::Malformed("a name is empty, `.`, `..`, or holds `/` or NUL"))
}

impl Record for Timestamp {
    fn write(&self, out: &mut Writer) {
        out.array(2);
        out.int(self.secs);
        out.uint(self.nanos.into());
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        read_tuple(input, 2)?;
        let time = Self { secs: input.i64()?, nanos: input.u32()? };
        if time.nanos >= 1_000_000_000 {
            return Err(RecordError::Malformed("a time has a second's worth of nanoseconds"));
        }
        Ok(time)
    }
}

impl Record for Piece {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Chunk { id, len } => {
                out.array(2);
                out.bytes(&id.0);
                out.uint((*len).into());
            }
            Self::Hole { len } => {
                out.array(1);
                out.uint(*len);
            }
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        let piece = match input.array()? {
            Some(2) => Self::Chunk { id: ChunkId(read_exact(input)?), len: input.u32()? },
            Some(1) => Self::Hole { len: input.u64()? },
            _ => return Err(RecordError::Malformed("a piece is neither chunk nor hole")),
        };
        if piece.is_empty() { Err(RecordError::Malformed("a piece is empty")) } else { Ok(piece) }
    }
}

impl Record for NodeXattr {
    fn write(&self, out: &mut Writer) {
        out.array(2);
        out.bytes(&self.name);
        match &self.value {
            XattrValue::Inline(bytes) => out.bytes(bytes),
            XattrValue::Pieces(pieces) => out.list(pieces, |out, piece| piece.write(out)),
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        read_tuple(input, 2)?;
        let name = read_bytes(input, XATTR_NAME_MAX, "name of an extended attribute")?.to_vec();
        if name.is_empty() || name.contains(&0) {
            return Err(RecordError::Malformed("an extended attribute's name is empty or holds NUL"));
        }
        let value = if input.datatype()? == minicbor::data::Type::Array {
            XattrValue::Pieces(read_list(input, NODE_PIECES_MAX, "number of pieces", Piece::read)?)
        } else {
            XattrValue::Inline(read_bytes(input, INLINE_XATTR_BYTES_MAX, "inline extended attribute")?.to_vec())
        };
        Ok(Self { name, value })
    }
}

impl Record for FolderChunk {
    fn write(&self, out: &mut Writer) {
        out.array(2);
        match self {
            Self::Leaf(nodes) => {
                out.uint(0);
                out.list(nodes, |out, node| node.write(out));
            }
            Self::Inner { level, children } => {
                out.uint((*level).into());
                out.list(children, |out, child| {
                    out.array(3);
                    out.bytes(child.last.as_bytes());
                    out.bytes(&child.id.0);
                    out.uint(child.entries);
                });
            }
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        match read_level(input)? {
            0 => {
                let nodes = read_list(input, TREE_ENTRIES_MAX, "number of nodes", Node::read)?;
                if !nodes.is_sorted_by(|a, b| a.name < b.name) {
                    return Err(RecordError::Malformed("names of a folder are not sorted, or one stands twice"));
                }
                Ok(Self::Leaf(nodes))
            }
            level => {
                let children = read_list(input, TREE_ENTRIES_MAX, "number of chunks", |input| {
                    read_tuple(input, 3)?;
                    Ok(FolderChild {
                        last: read_name(input)?,
                        id: ChunkId(read_exact::<ID_LEN>(input)?),
                        entries: input.u64()?,
                    })
                })?;
                if children.is_empty() || !children.is_sorted_by(|a, b| a.last < b.last) {
                    return Err(RecordError::Malformed("chunks of a folder are not sorted"));
                }
                Ok(Self::Inner { level, children })
            }
        }
    }
}

impl Record for ListChunk {
    fn write(&self, out: &mut Writer) {
        out.array(2);
        match self {
            Self::Leaf(pieces) => {
                out.uint(0);
                out.list(pieces, |out, piece| piece.write(out));
            }
            Self::Inner { level, children } => {
                out.uint((*level).into());
                out.list(children, |out, child| {
                    out.array(2);
                    out.bytes(&child.id.0);
                    out.uint(child.bytes);
                });
            }
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        match read_level(input)? {
            0 => Ok(Self::Leaf(read_list(input, TREE_ENTRIES_MAX, "number of pieces", Piece::read)?)),
            level => {
                let children = read_list(input, TREE_ENTRIES_MAX, "number of chunks", |input| {
                    read_tuple(input, 2)?;
                    Ok(ListChild { id: ChunkId(read_exact::<ID_LEN>(input)?), bytes: input.u64()? })
                })?;
                if children.is_empty() {
                    return Err(RecordError::Malformed("an inner chunk of a list is empty"));
                }
                Ok(Self::Inner { level, children })
            }
        }
    }
}

fn read_level(input: &mut Decoder<'_>) -> Result<u8> {
    // Decoded it takes up to twenty times as much.
    if input.input().len() > TREE_CHUNK_BYTES_MAX {
        return Err(RecordError::Limit("length of a tree chunk"));
    }
    read_tuple(input, 2)?;
    let level = input.u8()?;
    if level > TREE_LEVELS_MAX {
        return Err(RecordError::Limit("number of levels"));
    }
    Ok(level)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::super::record::{decode, encode};
    use super::*;

    fn names() -> impl Strategy<Value = Name> {
        vec(any::<u8>(), 1..40).prop_filter_map("not a name", |bytes| Name::new(bytes).ok())
    }

    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        let piece = prop_oneof![
            (any::<[u8; 32]>(), 1..u32::MAX).prop_map(|(id, len)| Piece::Chunk { id: ChunkId(id), len }),
            (1..u64::from(u32::MAX)).prop_map(|len| Piece::Hole { len }),
        ];
        vec(piece, 0..NODE_PIECES_MAX)
    }

    fn kinds() -> impl Strategy<Value = NodeKind> {
        let device = (any::<u32>(), any::<u32>());
        prop_oneof![
            vec(any::<u8>(), 0..INLINE_BYTES_MAX).prop_map(|bytes| NodeKind::File {
                size: bytes.len() as u64,
                content: Content::Inline(bytes),
                changed: false
            }),
            (pieces(), any::<bool>()).prop_map(|(pieces, changed)| NodeKind::File {
                size: sum(pieces.iter().map(Piece::len)).unwrap(),
                content: Content::Pieces(pieces),
                changed
            }),
            (any::<u64>(), any::<[u8; 32]>()).prop_map(|(size, id)| NodeKind::File {
                size,
                content: Content::List(ChunkId(id)),
                changed: false
            }),
            any::<[u8; 32]>().prop_map(|id| NodeKind::Folder { tree: ChunkId(id) }),
            vec(any::<u8>(), 0..100).prop_map(|target| NodeKind::Symlink { target }),
            Just(NodeKind::Fifo),
            device.prop_map(|device| NodeKind::CharDevice { device }),
            device.prop_map(|device| NodeKind::BlockDevice { device }),
        ]
    }

    fn xattrs() -> impl Strategy<Value = Vec<NodeXattr>> {
        let value =
            prop_oneof![vec(any::<u8>(), 0..50).prop_map(XattrValue::Inline), pieces().prop_map(XattrValue::Pieces),];
        proptest::collection::btree_map(vec(1u8.., 1..20), value, 0..4)
            .prop_map(|map| map.into_iter().map(|(name, value)| NodeXattr { name, value }).collect())
    }

    fn nodes() -> impl Strategy<Value = Node> {
        let owner =
            (any::<u32>(), any::<u32>(), option::of(vec(any::<u8>(), 0..9)), option::of(vec(any::<u8>(), 0..9)))
                .prop_map(|(uid, gid, user, group)| Owner { uid, gid, user, group });
        let mtime = (any::<i64>(), 0..1_000_000_000u32).prop_map(|(secs, nanos)| Timestamp { secs, nanos });
        (names(), kinds(), 0..=0o7777u32, owner, option::of(mtime), xattrs()).prop_map(
            |(name, kind, mode, owner, mtime, xattrs)| Node {
                name,
                kind,
                mode,
                owner,
                mtime,
                xattrs,
                extras: Extras::default(),
            },
        )
    }

    fn folders() -> impl Strategy<Value = FolderChunk> {
        let leaf = vec(nodes(), 0..6).prop_map(|mut nodes| {
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            nodes.dedup_by(|a, b| a.name == b.name);
            FolderChunk::Leaf(nodes)
        });
        let child = (any::<[u8; 32]>(), any::<u64>());
        let inner = (1..TREE_LEVELS_MAX, proptest::collection::btree_map(names(), child, 1..6)).prop_map(
            |(level, children)| FolderChunk::Inner {
                level,
                children: children
                    .into_iter()
                    .map(|(last, (id, entries))| FolderChild { last, id: ChunkId(id), entries })
                    .collect(),
            },
        );
        prop_oneof![leaf, inner]
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn a_folder_chunk_survives_encoding(chunk in folders()) {
            prop_assert_eq!(decode::<FolderChunk>(&encode(&chunk)).unwrap(), chunk);
        }

        #[test]
        fn a_list_chunk_survives_encoding(pieces in pieces()) {
            let chunk = ListChunk::Leaf(pieces);
            prop_assert_eq!(decode::<ListChunk>(&encode(&chunk)).unwrap(), chunk);
        }

        #[test]
        fn decoders_never_panic_and_accept_only_what_they_would_write(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(chunk) = decode::<FolderChunk>(&bytes) {
                prop_assert_eq!(encode(&chunk), bytes.clone());
            }
            if let Ok(chunk) = decode::<ListChunk>(&bytes) {
                prop_assert_eq!(encode(&chunk), bytes);
            }
        }

        #[test]
        fn a_changed_byte_never_panics_a_decoder(chunk in folders(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut bytes = encode(&chunk);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(other) = decode::<FolderChunk>(&bytes) {
                prop_assert_ne!(other, chunk);
            }
        }
    }

    #[test]
    fn names_that_are_not_sorted_are_refused() {
        let node = |name: &[u8]| Node {
            name: Name::new(name).unwrap(),
            kind: NodeKind::Fifo,
            mode: 0,
            owner: Owner::default(),
            mtime: None,
            xattrs: Vec::new(),
            extras: Extras::default(),
        };
        for wrong in [[node(b"b"), node(b"a")], [node(b"a"), node(b"a")]] {
            let bytes = encode(&FolderChunk::Leaf(wrong.to_vec()));
            assert!(matches!(decode::<FolderChunk>(&bytes), Err(RecordError::Malformed(_))));
        }
    }

    #[test]
    fn a_size_that_its_pieces_do_not_add_up_to_is_refused() {
        let bytes = encode(&FolderChunk::Leaf(vec![Node {
            name: Name::new(*b"f").unwrap(),
            kind: NodeKind::File { size: 3, content: Content::Inline(b"ab".to_vec()), changed: false },
            mode: 0,
            owner: Owner::default(),
            mtime: None,
            xattrs: Vec::new(),
            extras: Extras::default(),
        }]));
        assert!(decode::<FolderChunk>(&bytes).is_err());
    }
}
