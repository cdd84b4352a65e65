//! Lists and prints what a snapshot holds: `ls` and `cat`.

use std::collections::HashMap;
use std::io::Write;

use crate::error::{Error, Result};
use crate::format::name::TreePath;
use crate::format::tree::{Content, Node, NodeKind, Piece};
use crate::index::Location;
use crate::keys::domain::ChunkKind;
use crate::progress::Context;
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;
use crate::tree::nodes::{Level, Levels, Nodes};
use crate::tree::read::{Found, Pieces, find_path, for_each_births};

/// Zeros that a hole is printed as, a piece at a time.
const ZEROS: &[u8] = &[0; 64 << 10];

/// Of a file that is printed, so much is fetched at once: a file of this length with one request, when it lies in one place.
const FETCHED_BYTES: u64 = 4 << 20;

/// Pieces of it at most, for files of very small ones.
const FETCHED_PIECES: usize = 4096;

/// What a listing shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// All below, too.
    pub recursive: bool,
    /// Birth times, too. They stand in a table of their own, which is read as a whole.
    pub births: bool,
}

/// One line of a listing.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it stands in the snapshot.
    pub path: TreePath,
    /// What it is.
    pub node: Node,
    /// When it was born, in nanoseconds since 1970, where that was asked for and known.
    pub birth: Option<i64>,
}

/// What stands at a path of a snapshot.
pub fn find(reader: &Reader<'_>, snapshot: &Snapshot, path: &TreePath) -> Result<Found> {
    find_path(reader, snapshot.body.root, path)?.ok_or_else(|| Error::NoSuchPath {
        snapshot: snapshot.id.short(),
        path: String::from_utf8_lossy(&path.absolute()).into_owned(),
    })
}

/// Calls `each` for every entry of the folder at `path`, or for what stands there when it is no folder. Entries come in the
/// order of their names, a folder before what it holds.
pub fn list(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    options: &Options,
    cx: &Context<'_>,
    each: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let found = find(reader, snapshot, path)?;
    let births = if options.births { read_births(reader, snapshot, path, options.recursive)? } else { HashMap::new() };
    let Some(tree) = found.tree() else {
        let Found::Node(node) = found else { return Ok(()) };
        return each(Entry { path: path.clone(), node: *node, birth: None });
    };
    // One path for all levels: in a tree of a hundred thousand, one for each would take gigabytes.
    let mut folder = path.clone();
    let mut levels = Levels::default();
    levels.push(Listed { nodes: Nodes::of(reader, tree), position: 0 });
    while let Some(listed) = levels.last_mut() {
        cx.cancel.check()?;
        let Some(node) = listed.nodes.next() else {
            levels.pop();
            folder.pop();
            continue;
        };
        let node = node?;
        let birth = births.get(&folder).and_then(|times| times.get(listed.position).copied().flatten());
        listed.position += 1;
        let path = folder.join(&node.name);
        if let NodeKind::Folder { tree } = node.kind
            && options.recursive
        {
            folder.push(&node.name);
            levels.push(Listed { nodes: Nodes::of(reader, tree), position: 0 });
        }
        each(Entry { path, node, birth })?;
    }
    Ok(())
}

/// A folder that is being listed.
struct Listed<'a> {
    nodes: Nodes<'a>,
    /// How many of its nodes came already.
    position: usize,
}

impl Level for Listed<'_> {
    fn held_bytes(&self) -> usize {
        self.nodes.held_bytes()
    }

    fn rest(&mut self) {
        self.nodes.rest();
    }
}

/// Birth times by folder, of those folders that will be listed.
fn read_births(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    recursive: bool,
) -> Result<HashMap<TreePath, Vec<Option<i64>>>> {
    let mut births: HashMap<TreePath, Vec<Option<i64>>> = HashMap::new();
    for_each_births(reader, snapshot.body.births.as_ref(), |record| {
        let is_listed = record.folder == *path || (recursive && record.folder.is_below(path));
        if is_listed {
            births.entry(record.folder).or_default().extend(record.times);
        }
    })?;
    Ok(births)
}

/// Writes the content of the file at `path`.
pub fn cat(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    out: &mut dyn Write,
    cx: &Context<'_>,
) -> Result<()> {
    let Found::Node(node) = find(reader, snapshot, path)? else { return Err(not_a_file(snapshot, path)) };
    let NodeKind::File { size, content, .. } = &node.kind else { return Err(not_a_file(snapshot, path)) };
    write_content(reader, content, *size, out, cx)?;
    out.flush().map_err(Error::Output)
}

/// Writes the content of a file of `size` bytes. Nothing is written of a chunk before it is proved.
pub fn write_content(
    reader: &Reader<'_>,
    content: &Content,
    size: u64,
    out: &mut dyn Write,
    cx: &Context<'_>,
) -> Result<()> {
    if let Content::Inline(bytes) = content {
        out.write_all(bytes).map_err(Error::Output)?;
    }
    let mut pieces = Pieces::of(reader, content, size).peekable();
    while pieces.peek().is_some() {
        cx.cancel.check()?;
        let batch = next_batch(&mut pieces);
        reader.fetch_ahead(batch.iter().filter_map(|piece| location(reader, piece.as_ref().ok()?)).collect());
        for piece in batch {
            write_piece(reader, piece?, out, cx)?;
        }
    }
    Ok(())
}

/// The next pieces, as many as are fetched at once; an error is the last one.
fn next_batch(pieces: &mut impl Iterator<Item = Result<Piece>>) -> Vec<Result<Piece>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for piece in pieces {
        if let Ok(Piece::Chunk { len, .. }) = &piece {
            bytes += u64::from(*len);
        }
        let is_last = piece.is_err() || bytes >= FETCHED_BYTES || batch.len() >= FETCHED_PIECES;
        batch.push(piece);
        if is_last {
            break;
        }
    }
    batch
}

fn location(reader: &Reader<'_>, piece: &Piece) -> Option<Location> {
    match piece {
        Piece::Chunk { id, .. } => reader.locate(id).ok(),
        Piece::Hole { .. } => None,
    }
}

fn write_piece(reader: &Reader<'_>, piece: Piece, out: &mut dyn Write, cx: &Context<'_>) -> Result<()> {
    match piece {
        Piece::Chunk { id, len } => {
            let plain = reader.chunk(ChunkKind::Data, &id)?;
            if plain.len() != len as usize {
                let reason = format!("its length is {} and not {len}", plain.len());
                return Err(Error::MalformedChunk { id, reason });
            }
            out.write_all(&plain).map_err(Error::Output)
        }
        Piece::Hole { mut len } => {
            while len > 0 {
                cx.cancel.check()?;
                let part = usize::try_from(len).map_or(ZEROS.len(), |len| len.min(ZEROS.len()));
                out.write_all(&ZEROS[..part]).map_err(Error::Output)?;
                len -= part as u64;
            }
            Ok(())
        }
    }
}

fn not_a_file(snapshot: &Snapshot, path: &TreePath) -> Error {
    let path = String::from_utf8_lossy(&path.absolute()).into_owned();
    Error::WrongKind { snapshot: snapshot.id.short(), path, wanted: "file" }
}
