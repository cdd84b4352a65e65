//! A folder of a snapshot as an archive that other programs read: `dump`.

use std::io::Write;

use crate::error::Result;
use crate::format::metadata::Xattr;
use crate::format::name::TreePath;
use crate::format::tree::{Node, NodeKind};
use crate::listing::{self, Entry, Options, write_content};
use crate::progress::{Context, Problem};
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;
use crate::tree::links::GroupsBelow;
use crate::tree::xattrs::read_xattrs;

mod tar;
mod zip;

/// The kind of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// POSIX.1-2001 (pax), with everything that a snapshot knows but birth times and holes.
    Tar,
    /// Zip: files, folders and symlinks, with mode and time to the second.
    Zip,
}

/// What an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Regular files, each name counted.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symlinks, pipes, devices.
    pub others: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
    /// Items that are missing in it, or not there with all their metadata.
    pub problems: u64,
}

/// An item, as an archive names it.
struct Item<'i> {
    /// From the top of the archive, without a slash at its end.
    name: Vec<u8>,
    node: &'i Node,
    xattrs: Vec<Xattr>,
    /// The name of an item before it, of which this is another name.
    same_as: Option<Vec<u8>>,
}

/// Writes what is said to be the content of an item, as long as its node says.
type Content<'c> = &'c mut dyn FnMut(&mut dyn Write) -> Result<()>;

/// An archive that is being written.
trait Archive {
    /// Whether one item may be another name of an item before it.
    fn has_links(&self) -> bool;
    /// Adds an item; false if an archive of this kind has no place for it.
    fn add(&mut self, item: &Item<'_>, content: Content<'_>) -> Result<bool>;
    /// Writes the end. Without it no reader takes the archive for complete.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Writes what stands at `path` of a snapshot: what a folder holds, or one item that is no folder.
///
/// # Errors
/// A chunk is lost. A content that began cannot be left out any more, so the archive breaks off there, without an end.
pub fn write(
    reader: &Reader<'_>,
    snapshot: &Snapshot,
    path: &TreePath,
    form: Form,
    out: &mut dyn Write,
    cx: &Context<'_>,
) -> Result<Report> {
    let groups = GroupsBelow::read(reader, snapshot.body.links.as_ref(), path)?;
    let first_names = vec![None; groups.len()];
    let archive: Box<dyn Archive + '_> = match form {
        Form::Tar => Box::new(tar::Tar::new(out)),
        Form::Zip => Box::new(zip::Zip::new(out)),
    };
    let mut writer = Writer { reader, cx, archive, groups, first_names, report: Report::default() };
    let above = path.as_bytes().len();
    let options = Options { recursive: true, births: false };
    listing::list(reader, snapshot, path, &options, cx, &mut |entry| writer.add(&entry, above))?;
    let Writer { archive, report, .. } = writer;
    archive.finish()?;
    Ok(report)
}

struct Writer<'w> {
    reader: &'w Reader<'w>,
    cx: &'w Context<'w>,
    archive: Box<dyn Archive + 'w>,
    groups: GroupsBelow,
    /// Of each group of hard links, the name that the archive has already.
    first_names: Vec<Option<Vec<u8>>>,
    report: Report,
}

impl Writer<'_> {
    fn add(&mut self, entry: &Entry, above: usize) -> Result<()> {
        let Entry { path, node, .. } = entry;
        self.cx.progress.current(path.as_bytes());
        // An item that is no folder is named by itself; else the names below the folder.
        let name = match path.as_bytes().get(above..) {
            None | Some([]) => node.name.as_bytes(),
            Some(below) => below.strip_prefix(b"/").unwrap_or(below),
        };
        let item = Item {
            name: name.to_vec(),
            node,
            xattrs: self.xattrs(path, node)?,
            same_as: self.same_as(path, name, node),
        };
        let (reader, cx) = (self.reader, self.cx);
        let mut content = |out: &mut dyn Write| match &node.kind {
            NodeKind::File { size, content, .. } => write_content(reader, content, *size, out, cx),
            _ => Ok(()),
        };
        if !self.archive.add(&item, &mut content)? {
            self.problem(path, "an archive of this kind has no place for it".to_owned());
            return Ok(());
        }
        self.count(node);
        Ok(())
    }

    fn same_as(&mut self, path: &TreePath, name: &[u8], node: &Node) -> Option<Vec<u8>> {
        if !self.archive.has_links() || matches!(node.kind, NodeKind::Folder { .. }) {
            return None;
        }
        let first = self.first_names.get_mut(self.groups.group_of(path)?)?;
        if first.is_none() {
            *first = Some(name.to_vec());
            return None;
        }
        first.clone()
    }

    fn xattrs(&mut self, path: &TreePath, node: &Node) -> Result<Vec<Xattr>> {
        let mut lost = Vec::new();
        let xattrs = read_xattrs(self.reader, &node.xattrs, &mut |what| lost.push(what))?;
        lost.into_iter().for_each(|what| self.problem(path, what));
        Ok(xattrs)
    }

    fn count(&mut self, node: &Node) {
        let mut bytes = 0;
        match node.kind {
            NodeKind::File { size, .. } => {
                self.report.files += 1;
                bytes = size;
            }
            NodeKind::Folder { .. } => self.report.folders += 1,
            _ => self.report.others += 1,
        }
        self.report.bytes += bytes;
        self.cx.progress.done(1, bytes);
    }

    fn problem(&mut self, path: &TreePath, what: String) {
        self.report.problems += 1;
        self.cx.progress.problem(&Problem { item: path.absolute(), what });
    }
}
