//! Tar as POSIX.1-2001 describes it (pax): a record before an item says what its header has no place for.
//!
//! Extended attributes stand as `SCHILY.xattr.*`, as star, GNU tar and bsdtar read them.

use std::io::Write;

use tar::{Builder, EntryType, Header};

use super::{Archive, Content, Item};
use crate::error::{Error, Result};
use crate::format::metadata::Timestamp;
use crate::format::tree::NodeKind;

/// What a file is filled up to.
const BLOCK_BYTES: usize = 512;

/// The end of an archive: two empty blocks.
const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Numbers beyond these have no room in a header.
const SIZE_MAX: u64 = 0o777_7777_7777;
const ID_MAX: u32 = 0o777_7777;

/// Names of owners up to so many bytes have room in a header, with a NUL after them.
const OWNER_BYTES_MAX: usize = 31;

pub(super) struct Tar<'o> {
    out: &'o mut dyn Write,
}

impl<'o> Tar<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self { out }
    }
}

impl Archive for Tar<'_> {
    fn has_links(&self) -> bool {
        true
    }

    fn add(&mut self, item: &Item<'_>, content: Content<'_>) -> Result<bool> {
        let mut head = Head::of(item).map_err(Error::Output)?;
        let bytes = head.finish().map_err(Error::Output)?;
        self.out.write_all(&bytes).map_err(Error::Output)?;
        if head.size > 0 {
            content(&mut *self.out)?;
        }
        let over = usize::try_from(head.size % BLOCK_BYTES as u64).unwrap_or_default();
        self.out.write_all(&END[..(BLOCK_BYTES - over) % BLOCK_BYTES]).map_err(Error::Output)?;
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.out.write_all(&END).and_then(|()| self.out.flush()).map_err(Error::Output)
    }
}

/// The header of an item and the records before it.
struct Head {
    header: Header,
    records: Vec<(String, Vec<u8>)>,
    size: u64,
}

impl Head {
    fn of(item: &Item<'_>) -> std::io::Result<Self> {
        let mut head = Self { header: Header::new_ustar(), records: Vec::new(), size: 0 };
        let node = item.node;
        let mut name = item.name.clone();
        let kind = match &node.kind {
            _ if item.same_as.is_some() => EntryType::Link,
            NodeKind::File { size, .. } => {
                head.size = *size;
                EntryType::Regular
            }
            NodeKind::Folder { .. } => {
                name.push(b'/');
                EntryType::Directory
            }
            NodeKind::Symlink { .. } => EntryType::Symlink,
            NodeKind::Fifo => EntryType::Fifo,
            NodeKind::CharDevice { .. } => EntryType::Char,
            NodeKind::BlockDevice { .. } => EntryType::Block,
        };
        head.header.set_entry_type(kind);
        head.header.set_mode(node.mode);
        head.name("path", &name);
        match (&item.same_as, &node.kind) {
            (Some(first), _) => head.name("linkpath", first),
            (None, NodeKind::Symlink { target }) => head.name("linkpath", target),
            (None, NodeKind::CharDevice { device } | NodeKind::BlockDevice { device }) => {
                head.header.set_device_major(device.0)?;
                head.header.set_device_minor(device.1)?;
            }
            _ => {}
        }
        head.numbers(item);
        head.owner("uname", node.owner.user.as_deref());
        head.owner("gname", node.owner.group.as_deref());
        for xattr in &item.xattrs {
            // The keyword of a record is text and ends with the first `=`.
            if let Ok(name) = std::str::from_utf8(&xattr.name)
                && !name.contains('=')
            {
                head.records.push((format!("SCHILY.xattr.{name}"), xattr.value.clone()));
            }
        }
        Ok(head)
    }

    /// A name in the field of the header, as much of it as fits, and whole in a record where that says more.
    fn name(&mut self, keyword: &str, name: &[u8]) {
        let fields = self.header.as_old_mut();
        let field = if keyword == "path" { &mut fields.name } else { &mut fields.linkname };
        let fits = name.len().min(field.len());
        field[..fits].copy_from_slice(&name[..fits]);
        if fits < name.len() || !name.is_ascii() {
            self.record(keyword, name);
        }
    }

    fn numbers(&mut self, item: &Item<'_>) {
        let owner = &item.node.owner;
        self.header.set_size(self.size);
        self.header.set_uid(u64::from(owner.uid));
        self.header.set_gid(u64::from(owner.gid));
        if self.size > SIZE_MAX {
            self.record("size", self.size.to_string().as_bytes());
        }
        for (keyword, id) in [("uid", owner.uid), ("gid", owner.gid)] {
            if id > ID_MAX {
                self.record(keyword, id.to_string().as_bytes());
            }
        }
        // A folder above the sources has no time.
        let time = item.node.mtime.unwrap_or(Timestamp { secs: 0, nanos: 0 });
        let whole = u64::try_from(time.secs).ok().filter(|&secs| secs <= SIZE_MAX);
        self.header.set_mtime(whole.unwrap_or(0));
        if whole.is_none() || time.nanos != 0 {
            self.record("mtime", decimal(time).as_bytes());
        }
    }

    fn owner(&mut self, keyword: &str, name: Option<&[u8]>) {
        let Some(name) = name else { return };
        if name.len() > OWNER_BYTES_MAX || !name.is_ascii() {
            return self.record(keyword, name);
        }
        if let Some(fields) = self.header.as_ustar_mut() {
            let field = if keyword == "uname" { &mut fields.uname } else { &mut fields.gname };
            field[..name.len()].copy_from_slice(name);
        }
    }

    fn record(&mut self, keyword: &str, value: &[u8]) {
        self.records.push((keyword.to_owned(), value.to_vec()));
    }

    /// The bytes before the content.
    fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        self.header.set_cksum();
        let mut pax = Builder::new(Vec::new());
        if !self.records.is_empty() {
            pax.append_pax_extensions(self.records.iter().map(|(keyword, value)| (&**keyword, &**value)))?;
        }
        let mut bytes = std::mem::take(pax.get_mut());
        bytes.extend_from_slice(self.header.as_bytes());
        Ok(bytes)
    }
}

/// Seconds since 1970 with their fraction; before 1970 both count backwards.
fn decimal(time: Timestamp) -> String {
    let nanos = i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_backwards() {
        let decimal = |secs, nanos| decimal(Timestamp { secs, nanos });
        assert_eq!(decimal(1, 5), "1.000000005");
        assert_eq!(decimal(-2, 500_000_000), "-1.500000000");
        assert_eq!(decimal(-1, 999_999_999), "-0.000000001");
    }
}
