//! Disks under a local repository: one that fails at a chosen step, and one that loses power.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use caddis::store::local::RESERVE_BYTES;
use caddis::store::local::watch::{Step, Watch};
use rustix::io::Errno;

use crate::rounds::rounds;

/// What a test sees of a file: nothing in it but its bytes.
pub(crate) type Files = BTreeMap<String, Arc<[u8]>>;

/// Its bytes never matter, and there are many of them.
const RESERVE: &str = "reserve";

/// Which steps are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steps {
    All,
    Changes,
}

/// How a disk fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) steps: Steps,
    pub(crate) errno: Errno,
    /// From the chosen step on, and not only there.
    pub(crate) lasts: bool,
}

/// A disk that fails at the counted step number `at`, from 0. A write that fails has written half.
pub(crate) struct FailingDisk {
    root: PathBuf,
    failure: Failure,
    at: u64,
    counted: AtomicU64,
}

impl FailingDisk {
    pub(crate) fn new(root: &Path, failure: Failure, at: u64) -> Arc<Self> {
        Arc::new(Self { root: root.to_owned(), failure, at, counted: AtomicU64::new(0) })
    }

    /// Whether the step was reached.
    pub(crate) fn has_failed(&self) -> bool {
        self.counted.load(Ordering::SeqCst) > self.at
    }
}

impl Watch for FailingDisk {
    fn before(&self, step: &Step<'_>) -> io::Result<()> {
        if is_like_another(step) || (self.failure.steps == Steps::Changes && !is_change(step)) {
            return Ok(());
        }
        let number = self.counted.fetch_add(1, Ordering::SeqCst);
        if number < self.at || (number > self.at && !self.failure.lasts) {
            return Ok(());
        }
        if let Step::Write { path, bytes } = step {
            write_file(&self.root.join(path), &bytes[..bytes.len() / 2]);
        }
        Err(self.failure.errno.into())
    }
}

fn is_change(step: &Step<'_>) -> bool {
    match step {
        Step::OpenFolder(_) | Step::ReadFolder(_) | Step::Exists(_) | Step::OpenFile(_) | Step::Read(_) => false,
        Step::MakeFolder(_) | Step::Create(_) | Step::Write { .. } | Step::SyncFile(_) | Step::SyncFolder(_) => true,
        Step::Publish { .. } | Step::Replace { .. } | Step::Link { .. } | Step::Unlink(_) => true,
    }
}

/// Of the 256 folders of a kind, the first and the last stand for the others; with more rounds, some between them as well.
fn is_like_another(step: &Step<'_>) -> bool {
    let Step::MakeFolder(path) = step else { return false };
    let shard = path.rsplit_once('/').and_then(|(_, name)| u32::from_str_radix(name, 16).ok());
    let apart = 256 / rounds().min(256);
    shard.is_some_and(|shard| shard % apart != 0 && shard != 255)
}

/// A name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    /// The number of a file.
    File(usize),
    Folder,
}

#[derive(Clone, Default)]
struct Folder {
    now: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
}

#[derive(Clone)]
struct Content {
    bytes: Arc<[u8]>,
    /// What of them was synced before they were written, from the first on.
    before: Arc<[u8]>,
    is_durable: bool,
}

/// What is on a disk, and how much of it stays when the power goes.
#[derive(Clone)]
struct Model {
    folders: BTreeMap<String, Folder>,
    files: Vec<Content>,
}

/// What becomes of bytes that were not synced when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lost {
    Zeros,
    Nothing,
}

/// What a power cut leaves: folders, and files by their number and what becomes of unsynced bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Image {
    pub(crate) folders: Vec<String>,
    pub(crate) files: BTreeMap<String, (usize, Option<Lost>)>,
}

impl Model {
    fn new() -> Self {
        Self { folders: BTreeMap::from([(".".to_owned(), Folder::default())]), files: Vec::new() }
    }

    fn folder_of<'p>(&mut self, path: &'p str) -> (&mut Folder, &'p str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        (self.folders.get_mut(folder).expect("it was made"), name)
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        let (folder, name) = self.folder_of(path);
        folder.now.insert(name.to_owned(), entry);
    }

    fn remove(&mut self, path: &str) -> Entry {
        let (folder, name) = self.folder_of(path);
        folder.now.remove(name).expect("the step was taken")
    }

    fn file(&mut self, path: &str) -> usize {
        let (folder, name) = self.folder_of(path);
        match folder.now[name] {
            Entry::File(number) => number,
            Entry::Folder => panic!("{path} is a folder"),
        }
    }

    fn take(&mut self, step: &Step<'_>) {
        match *step {
            Step::MakeFolder(path) => {
                self.insert(path, Entry::Folder);
                self.folders.entry(path.to_owned()).or_default();
            }
            Step::Create(path) => {
                self.files.push(Content { bytes: Arc::default(), before: Arc::default(), is_durable: false });
                self.insert(path, Entry::File(self.files.len() - 1));
            }
            Step::Write { path, bytes } => {
                let file = self.file(path);
                match self.files[file].bytes.is_empty() {
                    true => self.files[file].bytes = bytes.into(),
                    false => self.append(file, bytes),
                }
            }
            Step::SyncFile(path) => {
                let file = self.file(path);
                self.files[file].is_durable = true;
            }
            Step::SyncFolder(path) => {
                let folder = self.folders.get_mut(path).expect("it was made");
                folder.durable.clone_from(&folder.now);
            }
            Step::Publish { from, to } | Step::Replace { from, to } => {
                let entry = self.remove(from);
                self.insert(to, entry);
            }
            Step::Link { from, to } => {
                let file = self.file(from);
                self.insert(to, Entry::File(file));
            }
            Step::Unlink(path) => drop(self.remove(path)),
            Step::OpenFolder(_) | Step::ReadFolder(_) | Step::Exists(_) | Step::OpenFile(_) | Step::Read(_) => {}
        }
    }

    /// A file that has been written before becomes another one, so that images of the first stay what they were.
    fn append(&mut self, file: usize, bytes: &[u8]) {
        let old = &self.files[file];
        let before = if old.is_durable { Arc::clone(&old.bytes) } else { Arc::clone(&old.before) };
        self.files.push(Content { bytes: bytes.into(), before, is_durable: false });
        let longer = Entry::File(self.files.len() - 1);
        let names =
            self.folders.values_mut().flat_map(|folder| folder.now.values_mut().chain(folder.durable.values_mut()));
        names.filter(|entry| **entry == Entry::File(file)).for_each(|entry| *entry = longer);
    }

    /// What is left when, of the folders, those that `keeps` names keep the names that were not synced.
    fn image(&self, lost: Lost, keeps: &dyn Fn(&str) -> bool) -> Image {
        let mut image = Image::default();
        let mut open = vec![".".to_owned()];
        while let Some(path) = open.pop() {
            let folder = &self.folders[&path];
            for (name, entry) in if keeps(&path) { &folder.now } else { &folder.durable } {
                let path = if path == "." { name.clone() } else { format!("{path}/{name}") };
                match *entry {
                    Entry::Folder => {
                        image.folders.push(path.clone());
                        open.push(path);
                    }
                    Entry::File(number) => {
                        let lost = (!self.files[number].is_durable).then_some(lost);
                        image.files.insert(path, (number, lost));
                    }
                }
            }
        }
        image
    }

    /// Both extremes, and for each kind of folder the two mixtures in which it alone is ahead of the others, or behind.
    fn images(&self) -> Vec<Image> {
        let mut images = vec![self.image(Lost::Nothing, &|_| false)];
        images.extend([Lost::Nothing, Lost::Zeros].map(|lost| self.image(lost, &|_| true)));
        let kinds: std::collections::BTreeSet<&str> = self.folders.keys().map(|path| kind_of(path)).collect();
        for kind in kinds {
            images.push(self.image(Lost::Nothing, &|path| kind_of(path) == kind));
            images.push(self.image(Lost::Nothing, &|path| kind_of(path) != kind));
        }
        images
    }
}

fn kind_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// A moment of a story, when the power may go.
pub(crate) struct Moment {
    /// How many of the things that the story tells were reported done by then.
    pub(crate) reported: usize,
    /// What stood beside it at that moment: the state folder, or the repository if the state folder is the disk.
    pub(crate) beside: Files,
}

/// Everything that is known of a story when it is over.
struct Record {
    model: Model,
    reported: usize,
    /// Each image with the last moment that could leave it.
    images: BTreeMap<Image, Moment>,
}

/// Records the steps of a store, and makes the images of every moment.
pub(crate) struct RecordingDisk {
    beside: Box<dyn Fn() -> Files + Send + Sync>,
    record: Mutex<Record>,
}

impl RecordingDisk {
    pub(crate) fn new(beside: impl Fn() -> Files + Send + Sync + 'static) -> Arc<Self> {
        let record = Record { model: Model::new(), reported: 0, images: BTreeMap::new() };
        Arc::new(Self { beside: Box::new(beside), record: Mutex::new(record) })
    }

    /// The next thing is reported done.
    pub(crate) fn report(&self) {
        let mut record = self.record.lock().unwrap();
        record.reported += 1;
        self.keep_images(&mut record);
    }

    /// Forgets the moments so far.
    pub(crate) fn begin(&self) {
        self.record.lock().unwrap().images.clear();
    }

    /// Takes all images that a power cut could have left, each with the last moment at which it could.
    pub(crate) fn images(&self) -> Vec<(Image, Moment)> {
        std::mem::take(&mut self.record.lock().unwrap().images).into_iter().collect()
    }

    /// Bytes of the files of an image.
    pub(crate) fn files(&self, image: &Image) -> Files {
        let record = self.record.lock().unwrap();
        let content = |&(number, lost): &(usize, Option<Lost>)| {
            let Content { bytes, before, .. } = &record.model.files[number];
            match lost {
                None => Arc::clone(bytes),
                Some(Lost::Nothing) => Arc::clone(before),
                Some(Lost::Zeros) => [&before[..], &vec![0; bytes.len() - before.len()]].concat().into(),
            }
        };
        image.files.iter().map(|(path, file)| (path.clone(), content(file))).collect()
    }

    fn keep_images(&self, record: &mut Record) {
        let beside = (self.beside)();
        for image in record.model.images() {
            record.images.insert(image, Moment { reported: record.reported, beside: beside.clone() });
        }
    }
}

impl Watch for RecordingDisk {
    fn before(&self, _: &Step<'_>) -> io::Result<()> {
        Ok(())
    }

    fn after(&self, step: &Step<'_>) {
        let mut record = self.record.lock().unwrap();
        record.model.take(step);
        if !is_like_another(step) {
            self.keep_images(&mut record);
        }
    }
}

/// All files below a folder, but for the reserve.
pub(crate) fn files_in(folder: &Path) -> Files {
    let walk = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let files = walk.filter(|entry| entry.file_type().is_file() && entry.file_name() != RESERVE);
    files.map(|entry| (relative(&entry, folder), fs::read(entry.path()).unwrap_or_default().into())).collect()
}

/// Makes the files below a folder the ones that are given. The reserve stays.
pub(crate) fn set_files(folder: &Path, files: &Files) {
    for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_file() && entry.file_name() != RESERVE && !files.contains_key(&relative(&entry, folder))
        {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.file_name().unwrap() == RESERVE {
            File::create(&path).unwrap().set_len(RESERVE_BYTES as u64).unwrap();
        } else if fs::read(&path).ok().as_deref() != Some(bytes) {
            write_file(&path, bytes);
        }
    }
}

fn relative(entry: &walkdir::DirEntry, folder: &Path) -> String {
    entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned()
}

/// A file that the store has made is read-only, also for its owner.
fn write_file(path: &Path, bytes: &[u8]) {
    if path.exists() {
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(path, bytes).unwrap();
}
