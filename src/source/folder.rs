//! [`Folder`]: a folder of the source, held by a handle that may be closed while others are looked at.
//!
//! No path is ever joined, so a tree may be deeper than `PATH_MAX`, and no symlink below the root is followed. Several
//! threads hold folders at once; of all of them only so many keep their handle, and whoever needs one that was closed opens
//! it again from the nearest one above that is open, and makes sure that it is the same folder.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{CWD, OFlags, RawDir};

use super::metadata::{EntryKind, Stat};
use super::xattrs;
use crate::dirs::{FOLDER, FolderId, OPEN_MAX, open_below, open_quietly};
use crate::format::metadata::Xattr;
use crate::format::name::Name;

/// What one getdents call may fill: about a thousand short names, and far more than one entry of the longest.
const LISTING_BYTES: usize = 32 * 1024;

/// A folder of the source.
#[derive(Debug)]
pub struct Folder {
    /// The folder above and the name in it; nothing for the one the walk began with.
    above: Option<(Arc<Folder>, Name)>,
    /// Where the walk began; only there.
    root: Option<Box<Path>>,
    id: FolderId,
    handle: Mutex<Option<Arc<OwnedFd>>>,
    open: Arc<OpenFolders>,
}

/// The folders of one walk whose handles are open, oldest first. The root is none of them: it stays open.
#[derive(Debug)]
struct OpenFolders {
    max: usize,
    count: AtomicUsize,
    queue: Mutex<VecDeque<Weak<Folder>>>,
}

impl Folder {
    /// Opens the folder at `path`; a symlink there is followed, one below it never.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        Self::open_root(path, FOLDER, OPEN_MAX)
    }

    /// Opens the folder at `path` to reach what lies in it by name, which asks for no right to list it.
    ///
    /// # Errors
    /// The system's.
    pub fn pass_through(path: &Path) -> io::Result<Arc<Self>> {
        Self::open_root(path, FOLDER | OFlags::PATH, OPEN_MAX)
    }

    fn open_root(path: &Path, flags: OFlags, open_max: usize) -> io::Result<Arc<Self>> {
        let handle = open_quietly(CWD, path, flags)?;
        let id = FolderId::of(&handle)?;
        let open = OpenFolders { max: open_max, count: AtomicUsize::new(0), queue: Mutex::default() };
        Ok(Arc::new(Self {
            above: None,
            root: Some(path.into()),
            id,
            handle: Mutex::new(Some(Arc::new(handle))),
            open: Arc::new(open),
        }))
    }

    /// The folder `name` in this one, and what the system says of it once it is open.
    ///
    /// # Errors
    /// The system's; a symlink or anything else that is no folder is [`io::ErrorKind::NotADirectory`].
    pub fn enter(self: &Arc<Self>, name: &Name) -> io::Result<(Arc<Self>, Stat)> {
        let handle = open_below(self.handle()?.as_fd(), name)?;
        let stat = Stat::of_handle(handle.as_fd())?;
        let folder = Arc::new(Self {
            above: Some((Arc::clone(self), name.clone())),
            root: None,
            id: FolderId { dev: stat.dev, ino: stat.ino },
            handle: Mutex::new(None),
            open: Arc::clone(&self.open),
        });
        folder.keep(Arc::new(handle));
        Ok((folder, stat))
    }

    /// The handle; opened again if it was closed meanwhile.
    ///
    /// # Errors
    /// The system's; also when the folder cannot be found again because folders were moved.
    pub fn handle(self: &Arc<Self>) -> io::Result<Arc<OwnedFd>> {
        if let Some(handle) = &*self.lock() {
            return Ok(Arc::clone(handle));
        }
        // From the nearest one that is open; a loop, since the way may be longer than a stack.
        let mut closed = vec![self];
        let mut handle = None;
        while let (None, Some((above, _))) = (&handle, closed.last().and_then(|folder| folder.above.as_ref())) {
            handle = above.lock().clone();
            closed.push(above);
        }
        closed.pop();
        let mut handle = handle.ok_or_else(|| io::Error::other("the root of a walk is closed"))?;
        for folder in closed.into_iter().rev() {
            let Some((_, name)) = &folder.above else { continue };
            handle = Arc::new(folder.verified(open_below(handle.as_fd(), name)?)?);
        }
        self.keep(Arc::clone(&handle));
        Ok(handle)
    }

    /// Opens the folder above again if it was closed, by way of this one, which costs one step however deep they lie. What
    /// goes wrong here shows when the handle is needed.
    pub fn leave(self: &Arc<Self>) {
        let Some((above, _)) = &self.above else { return };
        if above.lock().is_some() {
            return;
        }
        let found = self.handle().and_then(|handle| open_quietly(&handle, "..", FOLDER));
        if let Ok(handle) = found.and_then(|handle| above.verified(handle)) {
            above.keep(Arc::new(handle));
        }
    }

    /// `handle`, if it is open on this folder.
    fn verified(&self, handle: OwnedFd) -> io::Result<OwnedFd> {
        if FolderId::of(&handle)? == self.id {
            Ok(handle)
        } else {
            Err(io::Error::other("a folder was moved while the walk was below it"))
        }
    }

    /// Keeps a handle, and closes others beyond what may be open.
    fn keep(self: &Arc<Self>, handle: Arc<OwnedFd>) {
        if self.lock().replace(handle).is_some() {
            return;
        }
        self.open.count.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.open.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back(Arc::downgrade(self));
        while self.open.count.load(Ordering::Relaxed) > self.open.max {
            let Some(oldest) = queue.pop_front() else { break };
            // One that is gone has closed its handle itself.
            if let Some(oldest) = oldest.upgrade() {
                oldest.close();
            }
        }
        if queue.len() > 8 * self.open.max {
            queue.retain(|folder| folder.strong_count() > 0);
        }
    }

    fn close(&self) {
        if self.above.is_some() && self.lock().take().is_some() {
            self.open.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all entries but `.` and `..`, sorted by their bytes. **Asked once**: the listing is not rewound.
    ///
    /// # Errors
    /// The system's. A listing that fails half way is an error, never a short list.
    pub fn names(self: &Arc<Self>) -> io::Result<Names> {
        Names::list(self.handle()?.as_fd())
    }

    /// Where it was found, for messages: the way there may lead elsewhere by now, or be too long for the system.
    pub fn path(&self) -> PathBuf {
        let (mut names, mut folder) = (Vec::new(), self);
        while let Some((above, name)) = &folder.above {
            names.push(name.as_os_str());
            folder = above;
        }
        let root = folder.root.iter().map(|root| root.as_os_str());
        root.chain(names.into_iter().rev()).collect()
    }

    /// What the system says of this folder.
    ///
    /// # Errors
    /// The system's.
    pub fn stat(self: &Arc<Self>) -> io::Result<Stat> {
        Stat::of_handle(self.handle()?.as_fd())
    }

    /// What the system says of the entry `name`; of a symlink, not of what it points to.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::NotFound`] when the entry has vanished.
    pub fn stat_of(self: &Arc<Self>, name: &Name) -> io::Result<Stat> {
        Stat::of_name(self.handle()?.as_fd(), name)
    }

    /// Opens a regular file for reading, and answers what the system says of it once it is open. `looked` is what it said
    /// **just now**, so that no device is opened.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`] when it was something else, or turned into something else on the way.
    pub fn open_file(self: &Arc<Self>, name: &Name, looked: &Stat) -> io::Result<(File, Stat)> {
        let handle = self.handle()?;
        regular(looked)?;
        // Should a FIFO have taken the file's place since, NONBLOCK keeps the open from waiting for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = open_quietly(&handle, name.as_os_str(), flags)?;
        let stat = Stat::of_handle(file.as_fd())?;
        regular(&stat)?;
        Ok((File::from(file), stat))
    }

    /// Where the symlink `name` points to: any bytes.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`] when `name` is no symlink.
    pub fn read_link(self: &Arc<Self>, name: &Name) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(self.handle()?, name.as_os_str(), Vec::new())?.into_bytes())
    }

    /// The extended attributes of the entry `name`, whatever its kind and without opening it; sorted by name. For a
    /// file that is open anyway, [`super::xattrs_of`] costs less.
    ///
    /// # Errors
    /// The system's. A file system without extended attributes is no error: there are none.
    pub fn xattrs_of(self: &Arc<Self>, name: &Name) -> io::Result<Vec<Xattr>> {
        xattrs::xattrs_at(self.handle()?.as_fd(), name)
    }

    /// The extended attributes of this folder, sorted by name.
    ///
    /// # Errors
    /// As [`Folder::xattrs_of`].
    pub fn xattrs(self: &Arc<Self>) -> io::Result<Vec<Xattr>> {
        xattrs::xattrs_of(self.handle()?.as_fd())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.close();
        // A chain of folders that only hold each other is taken apart in a loop: it may be longer than a stack.
        let mut above = self.above.take();
        while let Some((folder, _)) = above {
            above = Arc::into_inner(folder).and_then(|mut folder| {
                folder.close();
                folder.above.take()
            });
        }
    }
}

fn regular(stat: &Stat) -> io::Result<()> {
    match stat.kind {
        EntryKind::File => Ok(()),
        kind => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a regular file but a {kind}"))),
    }
}

/// Names of one folder in a buffer of their own: a million of them take a tenth of what as many strings would.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Start and length of each, sorted by what stands there.
    places: Vec<(u32, u16)>,
}

impl Names {
    /// What is left of the listing of the folder that `handle` is open on, but `.` and `..`, sorted.
    pub(crate) fn list(handle: BorrowedFd<'_>) -> io::Result<Self> {
        let mut buffer = Vec::with_capacity(LISTING_BYTES);
        let mut listing = RawDir::new(handle, buffer.spare_capacity_mut());
        let mut names = Self::default();
        while let Some(entry) = listing.next() {
            match entry?.file_name().to_bytes() {
                b"." | b".." => {}
                bytes => names.push(bytes)?,
            }
        }
        names.sort();
        Ok(names)
    }

    fn push(&mut self, name: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::new(io::ErrorKind::OutOfMemory, "more names than a folder can hold here");
        let place = (u32::try_from(self.bytes.len()).map_err(too_long)?, u16::try_from(name.len()).map_err(too_long)?);
        self.bytes.extend_from_slice(name);
        self.places.push(place);
        Ok(())
    }

    fn sort(&mut self) {
        let Self { bytes, places } = self;
        places.sort_unstable_by_key(|&place| bytes_at(bytes, place));
        // Some file systems list an entry twice while it is being renamed.
        places.dedup_by_key(|place| bytes_at(bytes, *place));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether `name` is among them.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.find(name).is_ok()
    }

    /// Drops all but `name`.
    pub(super) fn keep_only(&mut self, name: &[u8]) {
        self.places = self.find(name).map(|at| self.places[at]).into_iter().collect();
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.places.binary_search_by(|&place| bytes_at(&self.bytes, place).cmp(name))
    }

    /// The names from position `from` on, at most `count` of them.
    pub fn part(&self, from: usize, count: usize) -> impl Iterator<Item = &[u8]> {
        self.places.iter().skip(from).take(count).map(|&place| bytes_at(&self.bytes, place))
    }
}

fn bytes_at(bytes: &[u8], (start, len): (u32, u16)) -> &[u8] {
    &bytes[start as usize..start as usize + usize::from(len)]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::{MetadataExt, symlink};

    use rustix::fs::{AtFlags, FileType, Mode};

    use super::*;

    fn name(bytes: impl AsRef<[u8]>) -> Name {
        Name::new(bytes.as_ref()).unwrap()
    }

    fn folder_with_open_max(path: &Path, open_max: usize) -> Arc<Folder> {
        Folder::open_root(path, FOLDER, open_max).unwrap()
    }

    fn enter(folder: &Arc<Folder>, step: &str) -> Arc<Folder> {
        folder.enter(&name(step)).unwrap().0
    }

    #[test]
    fn names_come_sorted_by_their_bytes() {
        let root = tempfile::tempdir().unwrap();
        let mut wanted: Vec<Vec<u8>> =
            [&b"b"[..], b"a", b"...", b"-rf", b"B", b"\xff\xfe", b"new\nline", b" "].map(Vec::from).to_vec();
        wanted.extend((0..1_500).map(|number| format!("{number:0>200}").into_bytes()));
        for entry in &wanted {
            fs::write(root.path().join(name(entry).as_os_str()), b"").unwrap();
        }
        wanted.sort();
        let names = Folder::open(root.path()).unwrap().names().unwrap();
        assert_eq!(names.len(), wanted.len());
        assert_eq!(names.part(0, usize::MAX).collect::<Vec<_>>(), wanted);
        assert_eq!(names.part(7, 2).collect::<Vec<_>>(), wanted[7..9]);
        assert!(names.contains(b"\xff\xfe") && !names.contains(b"\xff"));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), b"content").unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        symlink("file", root.path().join("link")).unwrap();
        let dir = Folder::open(root.path()).unwrap();
        for (entry, kind) in [("fifo", FileType::Fifo), ("socket", FileType::Socket)] {
            rustix::fs::mknodat(dir.handle().unwrap(), entry, kind, Mode::RWXU, 0).unwrap();
        }
        for (entry, kind) in [
            ("fifo", EntryKind::Fifo),
            ("socket", EntryKind::Socket),
            ("folder", EntryKind::Folder),
            ("link", EntryKind::Symlink),
        ] {
            let looked = dir.stat_of(&name(entry)).unwrap();
            assert_eq!(looked.kind, kind);
            assert_eq!(dir.open_file(&name(entry), &looked).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let mut content = String::new();
        let looked = dir.stat_of(&name(b"file")).unwrap();
        let (mut file, stat) = dir.open_file(&name(b"file"), &looked).unwrap();
        file.read_to_string(&mut content).unwrap();
        assert_eq!((content.as_str(), stat.size), ("content", 7));
        // Turned into something else since it was looked at.
        for entry in ["fifo", "folder", "link"] {
            assert!(dir.open_file(&name(entry), &looked).is_err(), "{entry}");
        }
    }

    #[test]
    fn reading_a_file_of_ones_own_leaves_its_access_time() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, b"content").unwrap();
        let long_ago = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
        File::options().write(true).open(&path).unwrap().set_times(long_ago).unwrap();
        let dir = Folder::open(root.path()).unwrap();
        let looked = dir.stat_of(&name(b"file")).unwrap();
        io::copy(&mut dir.open_file(&name(b"file"), &looked).unwrap().0, &mut io::sink()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().atime(), 0);
    }

    #[test]
    fn an_entry_that_has_vanished_is_not_found() {
        let root = tempfile::tempdir().unwrap();
        let dir = Folder::open(root.path()).unwrap();
        let gone = name(b"gone");
        assert_eq!(dir.stat_of(&gone).unwrap_err().kind(), ErrorKind::NotFound);
        let looked = dir.stat().unwrap();
        assert_eq!(
            dir.open_file(&gone, &Stat { kind: EntryKind::File, ..looked }).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(dir.read_link(&gone).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(dir.xattrs_of(&gone).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(dir.enter(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn symlinks_and_files_are_not_entered() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        fs::write(root.path().join("file"), b"").unwrap();
        symlink("folder", root.path().join("link")).unwrap();
        let dir = Folder::open(root.path()).unwrap();
        for no_folder in ["file", "link"] {
            assert_eq!(dir.enter(&name(no_folder)).unwrap_err().kind(), ErrorKind::NotADirectory);
        }
    }

    #[test]
    fn links_are_read_byte_by_byte() {
        let root = tempfile::tempdir().unwrap();
        let target = [&b"\xff/"[..], &[b'x'; 900]].concat();
        let dir = Folder::open(root.path()).unwrap();
        rustix::fs::symlinkat(target.as_slice(), dir.handle().unwrap(), "link").unwrap();
        assert_eq!(dir.read_link(&name(b"link")).unwrap(), target);
        fs::write(root.path().join("file"), b"").unwrap();
        assert_eq!(dir.read_link(&name(b"file")).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn thousands_of_levels_need_a_handful_of_handles_and_no_deep_stack() {
        const LEVELS: usize = 2_500;
        let root = tempfile::tempdir().unwrap();
        let level = "a folder with a fairly long name";
        let mut stack = vec![folder_with_open_max(root.path(), 3)];
        for depth in 0..LEVELS {
            rustix::fs::mkdirat(stack[depth].handle().unwrap(), level, Mode::RWXU).unwrap();
            stack.push(enter(&stack[depth], level));
            assert!(stack[0].open.count.load(Ordering::Relaxed) <= 3);
        }
        // Somewhere in the middle, with nothing open around.
        let middle = &stack[LEVELS / 2];
        assert!(middle.lock().is_none());
        assert_eq!(middle.names().unwrap().len(), 1);
        // On the way up every folder is emptied, so each parent must be the right one.
        let deepest = stack.last().cloned();
        while stack.len() > 1 {
            let folder = stack.pop().unwrap();
            folder.leave();
            let above = stack.last().unwrap();
            assert!(above.lock().is_some(), "at {} folders", stack.len());
            rustix::fs::unlinkat(above.handle().unwrap(), level, AtFlags::REMOVEDIR).unwrap();
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        // Only the deepest one holds all the others now.
        std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || drop((stack, deepest)))
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_found_again_is_an_error_and_never_another_one() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        let top = folder_with_open_max(root.path(), 1);
        let a = enter(&top, "a");
        let b = enter(&a, "b");
        let c = enter(&b, "c");
        fs::rename(root.path().join("a/b/c"), root.path().join("c")).unwrap();
        fs::rename(root.path().join("a/b"), root.path().join("old")).unwrap();
        fs::create_dir(root.path().join("a/b")).unwrap();
        c.leave();
        assert!(b.handle().unwrap_err().to_string().contains("moved"));
        fs::rename(root.path().join("old"), root.path().join("a/b")).unwrap();
        assert!(b.handle().is_ok(), "it is where it was");
        drop(c);
    }
}
