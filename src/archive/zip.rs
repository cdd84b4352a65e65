//! Zip, written as a stream: lengths stand after each content.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::path::EntryPath;
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::{Archive, Content, Item};
use crate::error::{Error, Result};
use crate::format::tree::NodeKind;

/// Types of files in a mode, as stat(2) has them.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Memory: for each item its name and about 150 bytes, until the list at the end is written.
pub(super) struct Zip<'o> {
    archive: ZipArchiveWriter<&'o mut dyn Write>,
}

impl<'o> Zip<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self { archive: ZipArchiveWriter::new(out) }
    }

    fn file(&mut self, item: &Item<'_>, content: Content<'_>) -> Result<()> {
        let (mut entry, config) = self
            .archive
            .new_file(path(&item.name))
            .last_modified(time(item))
            .unix_permissions(FILE | item.node.mode)
            .compression_method(CompressionMethod::DEFLATE)
            .start()
            .map_err(broken)?;
        let mut data = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
        content(&mut data)?;
        let (encoder, length) = data.finish().map_err(broken)?;
        encoder.finish().map_err(Error::Output)?;
        entry.finish(length).map(drop).map_err(broken)
    }

    fn symlink(&mut self, item: &Item<'_>, target: &[u8]) -> Result<()> {
        let (mut entry, config) = self
            .archive
            .new_file(path(&item.name))
            .last_modified(time(item))
            .unix_permissions(SYMLINK | item.node.mode)
            .start()
            .map_err(broken)?;
        let mut data = config.wrap(&mut entry);
        data.write_all(target).map_err(Error::Output)?;
        let (_, length) = data.finish().map_err(broken)?;
        entry.finish(length).map(drop).map_err(broken)
    }
}

impl Archive for Zip<'_> {
    fn has_links(&self) -> bool {
        false
    }

    fn add(&mut self, item: &Item<'_>, content: Content<'_>) -> Result<bool> {
        match &item.node.kind {
            NodeKind::File { .. } => self.file(item, content)?,
            NodeKind::Symlink { target } => self.symlink(item, target)?,
            NodeKind::Folder { .. } => {
                let name = [item.name.as_slice(), b"/"].concat();
                let folder = self.archive.new_dir(path(&name)).last_modified(time(item));
                folder.unix_permissions(FOLDER | item.node.mode).create().map_err(broken)?;
            }
            NodeKind::Fifo | NodeKind::CharDevice { .. } | NodeKind::BlockDevice { .. } => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.archive.finish().map_err(broken)?.flush().map_err(Error::Output)
    }
}

/// A name as it is. Only one that would be changed, or is no text, is not marked as UTF-8.
fn path(name: &[u8]) -> EntryPath<'_> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains('\\') => EntryPath::conformant(text),
        _ => EntryPath::verbatim(name),
    }
}

fn time(item: &Item<'_>) -> UtcDateTime {
    UtcDateTime::from_unix(item.node.mtime.map_or(0, |time| time.secs.clamp(0, i64::from(i32::MAX))))
}

fn broken(error: rawzip::Error) -> Error {
    Error::Output(io::Error::other(error))
}
