//! An independent reader of trees, and what differs between two of them.
//!
//! It shares no code with caddis, so that a mistake in the way caddis reads metadata cannot hide itself. It may be slow:
//! each folder is opened anew from the root, so that any depth takes two handles.

#![allow(clippy::unwrap_used, reason = "test support")]
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{Debug, Write};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

/// Allocated space by which a restored file may exceed its source, in blocks of 512 bytes: file systems differ in how
/// they round, but the holes in the zoo are hundreds of times larger.
const BLOCKS_SLACK: i64 = 128;
const BLOCK_BYTES: i64 = 512;

/// Differences printed before the rest is only counted.
const SHOWN_MAX: usize = 40;

/// All items of a tree by their path from its root; the root itself is the empty path.
pub(crate) type Tree = BTreeMap<Vec<u8>, Item>;

/// Everything about an item that a backup must keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    pub(crate) kind: FileType,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Of files only.
    pub(crate) size: i64,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    /// Of devices only.
    pub(crate) rdev: u64,
    /// Of symlinks only.
    pub(crate) target: Vec<u8>,
    /// Of files only: BLAKE3.
    pub(crate) content: Option<blake3::Hash>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// All paths of this tree that are the same file, if there is more than one.
    pub(crate) links: BTreeSet<Vec<u8>>,
    /// Allocated space in blocks of 512 bytes.
    pub(crate) blocks: i64,
}

/// What is not compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ignore {
    /// Owners and groups: only root can restore them.
    pub(crate) owners: bool,
    /// The root folder itself.
    pub(crate) root: bool,
    /// Allocated space.
    pub(crate) blocks: bool,
}

/// Reads the tree at `root`. Sockets are left out.
pub(crate) fn snapshot_of(root: &Path) -> Tree {
    let root = openat(CWD, root, folder_flags(), Mode::empty()).unwrap();
    let mut tree = Tree::new();
    let mut inodes: HashMap<(u64, u64), BTreeSet<Vec<u8>>> = HashMap::new();
    let mut ids = HashMap::new();
    let mut folders = vec![Vec::new()];
    tree.insert(Vec::new(), read_item(&root, b".").unwrap().0);
    while let Some(path) = folders.pop() {
        let folder = open_folder(&root, &path);
        for name in names_in(&folder) {
            let mut item_path = path.clone();
            if !path.is_empty() {
                item_path.push(b'/');
            }
            item_path.extend(&name);
            let Some((item, id)) = read_item(&folder, &name) else { continue };
            match item.kind {
                FileType::Directory => folders.push(item_path.clone()),
                _ => {
                    inodes.entry(id).or_default().insert(item_path.clone());
                    ids.insert(item_path.clone(), id);
                }
            }
            tree.insert(item_path, item);
        }
    }
    for (path, id) in ids {
        if inodes[&id].len() > 1 {
            tree.get_mut(&path).unwrap().links.clone_from(&inodes[&id]);
        }
    }
    tree
}

/// Panics with a list of what differs, if anything does.
pub(crate) fn assert_same(source: &Tree, restored: &Tree, ignore: Ignore) {
    let found = differences(source, restored, ignore);
    if found.is_empty() {
        return;
    }
    let mut text = format!("{} differences:\n", found.len());
    for line in found.iter().take(SHOWN_MAX) {
        writeln!(text, "  {line}").unwrap();
    }
    if found.len() > SHOWN_MAX {
        writeln!(text, "  and {} more", found.len() - SHOWN_MAX).unwrap();
    }
    panic!("{text}");
}

/// One line for each difference: `path: what: source, restored`.
pub(crate) fn differences(source: &Tree, restored: &Tree, ignore: Ignore) -> Vec<String> {
    let paths: BTreeSet<&Vec<u8>> = source.keys().chain(restored.keys()).collect();
    let mut found = Vec::new();
    for path in paths {
        if ignore.root && path.is_empty() {
            continue;
        }
        let shown = shown(path);
        match (source.get(path), restored.get(path)) {
            (Some(a), Some(b)) => compare(a, b, ignore, |line| found.push(format!("{shown}: {line}"))),
            (Some(_), None) => found.push(format!("{shown}: missing")),
            (None, Some(b)) => found.push(format!("{shown}: was not there ({:?})", b.kind)),
            (None, None) => {}
        }
    }
    found
}

fn compare(a: &Item, b: &Item, ignore: Ignore, mut report: impl FnMut(String)) {
    let mut field = |what: &str, a: &dyn Debug, b: &dyn Debug| {
        let (a, b) = (format!("{a:?}"), format!("{b:?}"));
        if a != b {
            report(format!("{what}: {a}, restored {b}"));
        }
    };
    field("kind", &a.kind, &b.kind);
    field("mode", &format_args!("{:04o}", a.mode), &format_args!("{:04o}", b.mode));
    if !ignore.owners {
        field("owner", &(a.uid, a.gid), &(b.uid, b.gid));
    }
    field("size", &a.size, &b.size);
    field("mtime", &a.mtime, &b.mtime);
    field("device", &a.rdev, &b.rdev);
    field("target", &shown(&a.target), &shown(&b.target));
    field("content", &a.content, &b.content);
    for name in a.xattrs.keys().chain(b.xattrs.keys()).collect::<BTreeSet<_>>() {
        let value = |item: &Item| item.xattrs.get(name).map(|value| shown(value));
        field(&format!("xattr {}", shown(name)), &value(a), &value(b));
    }
    let links = |item: &Item| item.links.iter().map(|path| shown(path)).collect::<Vec<_>>();
    field("hard links", &links(a), &links(b));
    let has_holes = a.blocks * BLOCK_BYTES < a.size;
    if !ignore.blocks && has_holes && b.blocks > a.blocks + BLOCKS_SLACK {
        report(format!("holes: {} blocks, restored {}", a.blocks, b.blocks));
    }
}

/// The item and its device and inode; nothing for a socket.
fn read_item(folder: &OwnedFd, name: &[u8]) -> Option<(Item, (u64, u64))> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Socket {
        return None;
    }
    let is_file = kind == FileType::RegularFile;
    let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
    let target = match kind {
        FileType::Symlink => readlinkat(folder, name, Vec::new()).unwrap().into_bytes(),
        _ => Vec::new(),
    };
    let item = Item {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if is_file { stat.st_size } else { 0 },
        mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap()),
        rdev: if is_device { stat.st_rdev } else { 0 },
        target,
        content: is_file.then(|| hash_of(folder, name)),
        xattrs: xattrs_of(folder, name),
        links: BTreeSet::new(),
        blocks: stat.st_blocks,
    };
    Some((item, (stat.st_dev, stat.st_ino)))
}

fn hash_of(folder: &OwnedFd, name: &[u8]) -> blake3::Hash {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty()).unwrap());
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).unwrap();
    hasher.finalize()
}

/// Through the folder's entry in /proc, since the calls that do not follow symlinks take a path and no handle.
fn xattrs_of(folder: &OwnedFd, name: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend(name);
    let mut list = vec![0; 64 << 10];
    let len = match rustix::fs::llistxattr(path.as_slice(), &mut list[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        len => len.unwrap(),
    };
    let names = list[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let len = rustix::fs::lgetxattr(path.as_slice(), name, &mut value[..]).unwrap();
            value.truncate(len);
            (name.to_vec(), value)
        })
        .collect()
}

fn open_folder(root: &OwnedFd, path: &[u8]) -> OwnedFd {
    let mut folder = root.try_clone().unwrap();
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        folder = openat(&folder, name, folder_flags(), Mode::empty()).unwrap();
    }
    folder
}

fn names_in(folder: &OwnedFd) -> Vec<Vec<u8>> {
    let entries = Dir::read_from(folder).unwrap().map(|entry| entry.unwrap().file_name().to_bytes().to_vec());
    entries.filter(|name| name != b"." && name != b"..").collect()
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Bytes for a person to read: escaped, and cut in the middle when they are long.
fn shown(bytes: &[u8]) -> String {
    const ENDS: usize = 60;
    if bytes.is_empty() {
        return "(empty)".into();
    }
    if bytes.len() <= 3 * ENDS {
        return bytes.escape_ascii().to_string();
    }
    let (start, end) = (&bytes[..ENDS], &bytes[bytes.len() - ENDS..]);
    let hash = blake3::hash(bytes).to_hex();
    format!("{}…[{} bytes, {}]…{}", start.escape_ascii(), bytes.len(), &hash[..8], end.escape_ascii())
}
