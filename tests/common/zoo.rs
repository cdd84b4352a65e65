//! The zoo: a tree with every kind of item and every kind of metadata that the file system and the user's rights allow.
//!
//! It is built with the system's own calls and shares no code with caddis. Names, contents and metadata are the same on
//! every run, but for the times of files outside `times`, `symlinks`, `special` and `deep`.

#![allow(clippy::unwrap_used, reason = "test support")]
#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags, lsetxattr, makedev, mkdirat,
    mknodat, openat, utimensat,
};

/// Entries of the folder `many`.
pub(crate) const MANY: usize = 2_000;
/// Length of `contents/random`.
pub(crate) const RANDOM_BYTES: usize = 3 << 20;
/// Length of the files in `sparse`; at most a few KiB of each are data.
pub(crate) const SPARSE_BYTES: u64 = 16 << 20;
/// Levels of `deep`, each with a name of [`DEEP_NAME`]'s length: three times `PATH_MAX`.
pub(crate) const DEEP_LEVELS: usize = 300;
/// The name of each level of `deep`.
pub(crate) const DEEP_NAME: &str = "a-level-with-a-name-of-forty-characters!";
/// The file at the bottom of `deep`, and its content.
pub(crate) const DEEP_FILE: (&str, &[u8]) = ("bottom", b"far down\n");

/// What has been built.
#[derive(Debug)]
pub(crate) struct Zoo {
    /// The folder it is in.
    pub(crate) root: PathBuf,
    /// What could not be made here, and why.
    pub(crate) left_out: Vec<String>,
}

/// Fills the folder `root`, which must exist and be empty.
pub(crate) fn build_zoo(root: &Path) -> Zoo {
    let mut zoo = Zoo { root: root.to_path_buf(), left_out: Vec::new() };
    zoo.contents();
    zoo.sparse();
    zoo.hard_links();
    zoo.symlinks();
    zoo.special();
    zoo.modes();
    zoo.owners();
    zoo.xattrs();
    zoo.acls();
    zoo.names();
    zoo.times();
    zoo.many();
    zoo.deep();
    // Making an entry changes its folder's time, so folders get theirs when all is there.
    set_folder_times(root, &mut 0);
    zoo
}

/// `len` bytes that no compressor makes smaller, the same for the same `seed`.
pub(crate) fn random_bytes(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Opens the zoo's read-only folders, in it and in copies of it, so that a test that is not root can remove them.
pub(crate) fn make_removable(root: &Path) {
    for folder in folders_in(root) {
        set_mode(&folder, 0o700);
        make_removable(&folder);
    }
}

/// Sets the modification time of anything, a symlink itself included, and leaves the access time.
pub(crate) fn set_mtime(path: &Path, secs: i64, nanos: u32) {
    set_mtime_at(CWD, path, secs, nanos);
}

fn set_mtime_at(folder: impl AsFd, name: impl AsRef<Path>, secs: i64, nanos: u32) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: secs, tv_nsec: nanos.into() },
    };
    utimensat(folder, name.as_ref(), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

impl Zoo {
    fn contents(&mut self) {
        let folder = self.folder("contents");
        fs::write(folder.join("empty"), b"").unwrap();
        fs::write(folder.join("small"), b"a few bytes\n").unwrap();
        fs::write(folder.join("random"), random_bytes("zoo", RANDOM_BYTES)).unwrap();
        fs::write(folder.join("same as random"), random_bytes("zoo", RANDOM_BYTES)).unwrap();
        // Allocated, so not a hole.
        fs::write(folder.join("zeros"), vec![0; 1 << 20]).unwrap();
        self.folder("an empty folder");
    }

    fn sparse(&mut self) {
        let folder = self.folder("sparse");
        let middle = SPARSE_BYTES / 2;
        let data_at: [(&str, &[u64]); 5] = [
            ("hole at the start", &[SPARSE_BYTES - 4096]),
            ("hole in the middle", &[0, SPARSE_BYTES - 4096]),
            ("hole at the end", &[0]),
            ("holes around", &[middle]),
            ("nothing but a hole", &[]),
        ];
        for (name, offsets) in data_at {
            let file = File::create(folder.join(name)).unwrap();
            for &offset in offsets {
                file.write_all_at(&random_bytes(name, 4096), offset).unwrap();
            }
            file.set_len(SPARSE_BYTES).unwrap();
        }
        File::create(folder.join("an odd length")).unwrap().set_len(SPARSE_BYTES + 1).unwrap();
    }

    fn hard_links(&mut self) {
        let folder = self.folder("hard links");
        let far = self.folder("hard links/far");
        fs::write(folder.join("pair a"), b"two names").unwrap();
        fs::hard_link(folder.join("pair a"), folder.join("pair b")).unwrap();
        fs::write(folder.join("three a"), b"three names, two folders").unwrap();
        fs::hard_link(folder.join("three a"), folder.join("three b")).unwrap();
        fs::hard_link(folder.join("three a"), far.join("three c")).unwrap();
        fs::write(folder.join("empty a"), b"").unwrap();
        fs::hard_link(folder.join("empty a"), far.join("empty b")).unwrap();
        fs::write(folder.join("not linked, same content"), b"two names").unwrap();
    }

    fn symlinks(&mut self) {
        let folder = self.folder("symlinks");
        let long = "a long way/".repeat(90);
        let targets: [(&str, &[u8]); 8] = [
            ("relative", b"../contents/small"),
            ("absolute", b"/etc/passwd"),
            ("dangling", b"no such file"),
            ("to a folder", b"../contents"),
            ("to itself", b"to itself"),
            ("outwards", b"../../../../../.."),
            ("not utf-8", b"\xff\xfe/\x80"),
            ("long", long.as_bytes()),
        ];
        for (name, target) in targets {
            symlink(std::ffi::OsStr::from_bytes(target), folder.join(name)).unwrap();
            set_mtime(&folder.join(name), 1_234_567_890, 987_654_321);
        }
        let longest = "x".repeat(4095);
        self.try_to("a symlink target of 4,095 bytes", symlink(longest, folder.join("longest")));
    }

    fn special(&mut self) {
        let folder = self.folder("special");
        let items = [
            ("fifo", FileType::Fifo, 0),
            ("socket", FileType::Socket, 0),
            ("character device", FileType::CharacterDevice, makedev(1, 3)),
            ("character device, large numbers", FileType::CharacterDevice, makedev(300, 70_000)),
            ("block device", FileType::BlockDevice, makedev(7, 200)),
        ];
        for (name, kind, device) in items {
            let path = folder.join(name);
            if self.try_to(name, mknodat(CWD, &path, kind, Mode::RUSR | Mode::WUSR, device)) {
                set_mode(&path, 0o640);
                set_mtime(&path, 1_000_000_000, 7);
            }
        }
    }

    fn modes(&mut self) {
        let folder = self.folder("modes");
        for mode in [0o400, 0o444, 0o600, 0o640, 0o666, 0o777, 0o1644, 0o2755, 0o4755, 0o6711] {
            let path = folder.join(format!("file {mode:04o}"));
            fs::write(&path, format!("{mode:o}")).unwrap();
            set_mode(&path, mode);
        }
        for mode in [0o500, 0o555, 0o700, 0o755, 0o777, 0o1777, 0o2775, 0o3770] {
            let path = folder.join(format!("folder {mode:04o}"));
            fs::create_dir(&path).unwrap();
            fs::write(path.join("inside"), b"").unwrap();
            set_mode(&path, mode);
        }
        if !is_root() {
            return self.leave_out("items of mode 0000", "only root can read them");
        }
        fs::write(folder.join("file 0000"), b"for nobody").unwrap();
        set_mode(&folder.join("file 0000"), 0);
        fs::create_dir(folder.join("folder 0000")).unwrap();
        fs::write(folder.join("folder 0000/inside"), b"for nobody").unwrap();
        set_mode(&folder.join("folder 0000"), 0);
    }

    fn owners(&mut self) {
        if !is_root() {
            return self.leave_out("other owners", "only root can give items away");
        }
        let folder = self.folder("owners");
        fs::write(folder.join("file"), b"not root's").unwrap();
        fs::write(folder.join("setuid"), b"not root's").unwrap();
        fs::create_dir(folder.join("folder")).unwrap();
        fs::write(folder.join("folder/inside"), b"root's again").unwrap();
        symlink("file", folder.join("symlink")).unwrap();
        mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        for (number, name) in (12_345..).zip(["file", "setuid", "folder", "symlink", "fifo"]) {
            std::os::unix::fs::lchown(folder.join(name), Some(number), Some(4_000_000_000)).unwrap();
        }
        // After the owner, since a change of that clears it.
        set_mode(&folder.join("setuid"), 0o6755);
    }

    fn xattrs(&mut self) {
        let folder = self.folder("xattrs");
        let file = folder.join("file");
        fs::write(&file, b"with attributes").unwrap();
        fs::create_dir(folder.join("folder")).unwrap();
        symlink("nowhere", folder.join("symlink")).unwrap();
        mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        self.xattr(&file, "user.small", b"value");
        self.xattr(&file, "user.empty", b"");
        self.xattr(&file, "user.bytes \u{e9}", b"\0\xff\n");
        self.xattr(&folder.join("folder"), "user.on a folder", b"value");
        for (name, len) in [("3,000 bytes", 3_000), ("20 KiB", 20 << 10)] {
            fs::write(folder.join(name), b"with a large attribute").unwrap();
            self.xattr(&folder.join(name), "user.large", &random_bytes("xattr", len));
        }
        fs::write(folder.join("read only"), b"").unwrap();
        self.xattr(&folder.join("read only"), "user.small", b"value");
        set_mode(&folder.join("read only"), 0o444);
        for name in ["file", "folder", "symlink", "fifo"] {
            self.xattr(&folder.join(name), "trusted.caddis", name.as_bytes());
        }
        // cap_net_raw=ep, in the system's own form.
        let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        fs::write(folder.join("capability"), b"#!/bin/sh\n").unwrap();
        set_mode(&folder.join("capability"), 0o755);
        self.xattr(&folder.join("capability"), "security.capability", capability);
    }

    fn acls(&mut self) {
        let folder = self.folder("acls");
        fs::write(folder.join("file"), b"").unwrap();
        fs::create_dir(folder.join("folder")).unwrap();
        fs::create_dir(folder.join("folder/inside")).unwrap();
        fs::write(folder.join("folder/inside/no acl"), b"").unwrap();
        mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for name in ["file", "folder", "fifo"] {
            set_mode(&folder.join(name), 0o750);
            self.xattr(&folder.join(name), "system.posix_acl_access", &acl(7, 5));
        }
        // What is inside was made before and so inherits nothing; a restore must not let it inherit either.
        self.xattr(&folder.join("folder"), "system.posix_acl_default", &acl(6, 4));
    }

    fn names(&mut self) {
        let folder = self.folder("names");
        let longest = [b'n'; 255];
        let names: [&[u8]; 18] = [
            b"not utf-8 \xff\xfe\x80",
            b"\xc3",
            b"new\nline",
            b"carriage\rreturn",
            b"tab\tbell\x07backspace\x08delete\x7f",
            b"\x1b[31mred\x1b[0m",
            b"-rf",
            b"--",
            b" leading and trailing ",
            b" ",
            b"...",
            b".hidden",
            b"quote' \" ` $HOME ; & | * ? [ ] { } ~ # ! \\",
            b"C:\\backslash",
            b"caf\xc3\xa9",
            b"cafe\xcc\x81",
            b"\xe2\x80\xae\xe6\x97\xa5\xe6\x9c\xac",
            &longest,
        ];
        for name in names {
            let what = format!("the name {}", name.escape_ascii());
            self.try_to(&what, fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), name));
        }
        let not_utf8 = folder.join(std::ffi::OsStr::from_bytes(b"folder \xf0\x28"));
        if self.try_to("a folder name that is not UTF-8", fs::create_dir(&not_utf8)) {
            fs::write(not_utf8.join("inside"), b"").unwrap();
        }
    }

    fn times(&mut self) {
        let folder = self.folder("times");
        let times = [
            ("1960", -315_619_200, 0),
            ("a nanosecond before 1970", -1, 999_999_999),
            ("1970", 0, 0),
            ("nanoseconds", 1_600_000_000, 123_456_789),
            ("2040", 2_208_988_800, 1),
            ("2100", 4_102_444_800, 500_000_000),
        ];
        for (name, secs, nanos) in times {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            set_mtime(&path, secs, nanos);
        }
    }

    fn many(&mut self) {
        let folder = self.folder("many");
        for number in 0..MANY {
            fs::write(folder.join(format!("{number:05}")), format!("{number}\n")).unwrap();
        }
    }

    fn deep(&mut self) {
        let mut level = handle(&self.folder("deep"));
        for _ in 0..DEEP_LEVELS {
            mkdirat(&level, DEEP_NAME, Mode::RWXU).unwrap();
            level = folder_in(&level, DEEP_NAME);
        }
        let (name, content) = DEEP_FILE;
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(openat(&level, name, flags, Mode::RUSR | Mode::WUSR).unwrap());
        file.write_all_at(content, 0).unwrap();
        set_mtime_at(&level, name, -5, 5);
        // Downward, since setting a time changes nothing in the folder above.
        let mut level = handle(&self.root.join("deep"));
        for secs in 1_100_000_000..1_100_000_000 + i64::try_from(DEEP_LEVELS).unwrap() {
            set_mtime_at(&level, DEEP_NAME, secs, 250_000_001);
            level = folder_in(&level, DEEP_NAME);
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    fn xattr(&mut self, path: &Path, name: &str, value: &[u8]) {
        let what = format!("{name} ({} bytes) on {}", value.len(), path.display());
        self.try_to(&what, lsetxattr(path, name, value, XattrFlags::empty()));
    }

    /// Tells whether it worked; if not, that part of the zoo is left out.
    fn try_to<E: Into<io::Error>>(&mut self, what: &str, result: Result<(), E>) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                self.leave_out(what, &error.into().to_string());
                false
            }
        }
    }

    fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out.push(format!("{what}: {why}"));
    }
}

/// A POSIX ACL in the system's own form (version 2): the owner may do all, user 1000 `user`, the group `group`.
fn acl(user: u16, group: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    // Tags: owner, named user, group, named group, mask, others.
    let entries = [
        (0x01, 7, NOBODY),
        (0x02, user, 1000),
        (0x04, group, NOBODY),
        (0x08, 4, 2000),
        (0x10, 7, NOBODY),
        (0x20, 0, NOBODY),
    ];
    for (tag, permissions, id) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// A different odd time for each folder but the levels of `deep`, deepest first.
fn set_folder_times(folder: &Path, count: &mut u32) {
    for inner in folders_in(folder) {
        set_folder_times(&inner, count);
    }
    *count += 1;
    set_mtime(folder, 1_500_000_000 + i64::from(*count), 111_111_111 + *count);
}

/// The folders directly in `folder`, sorted. The levels of `deep` are left out: paths cannot reach them all.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    if folder.ends_with("deep") {
        return Vec::new();
    }
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut folders: Vec<_> =
        entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn handle(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn folder_in(folder: &OwnedFd, name: &str) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty()).unwrap()
}
