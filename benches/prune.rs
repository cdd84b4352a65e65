//! Prune and check of a large repository: how long they take when little and when much comes free, and what memory that takes,
//! held against the bound that caddis promises for every command.
//!
//! `cargo bench --bench prune` makes up five million chunks in 500 snapshots, `CADDIS_BENCH_CHUNKS=500000` another number. The
//! repository lies below the target folder, about 2 GB and copies of it, and is removed at the end, also after Ctrl-C.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Instant;

use caddis::env::{Clock, SystemClock};
use caddis::format::metadata::{Owner, Timestamp};
use caddis::format::name::Name;
use caddis::format::record::Extras;
use caddis::format::snapshot::{Body, Summary};
use caddis::format::tree::{Content, Node, NodeKind, Piece, TreeConstants};
use caddis::id::ChunkId;
use caddis::keys::domain::{ChunkKind, DedupDomain};
use caddis::keys::kdf::Argon2Cost;
use caddis::progress::{Cancel, Context, Silent};
use caddis::repo::access::{KeySource, NewKey};
use caddis::repo::commit::Announcement;
use caddis::repo::session::{Origin, Session};
use caddis::repo::{Found, Identity, InitOptions, Places, Repository};
use caddis::seal::compress::Compression;
use caddis::store::Store;
use caddis::store::local::LocalStore;
use caddis::tree::build::{ChunkSink, FolderBuilder};
use zeroize::Zeroizing;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CHUNKS: u64 = 5_000_000;
const CHUNKS_TO_TRY: u64 = 50_000;
const SNAPSHOTS: u64 = 500;

/// Each file is one chunk: so many make a folder.
const FILES_PER_FOLDER: u64 = 500;

/// Long enough not to stand in its node.
const FILE_BYTES: usize = 320;

/// No command takes more memory: so much, and more for each core.
const RSS_MAX_KIB: u64 = 200 << 10;
const RSS_MAX_KIB_PER_CORE: u64 = 32 << 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("prune: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (flags, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    // `cargo bench WORD` chooses by name among the benchmarks of all targets.
    if !words.is_empty() && !words.iter().any(|word| "prune".contains(word.as_str())) {
        return Ok(());
    }
    // Without that flag it is `cargo test --all-targets`, which asks no more than whether it works.
    let usual = if flags.iter().any(|flag| flag == "--bench") { CHUNKS } else { CHUNKS_TO_TRY };
    let chunks = std::env::var("CADDIS_BENCH_CHUNKS").map_or(Ok(usual), |text| text.parse())?;
    // Taken note of and nothing else: the command that runs ends by it, and this process goes on to clean up.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let folder = tempfile::Builder::new().prefix("prune-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = folder.path();
    make(folder, chunks)?;
    println!("repository of {chunks} chunks in {SNAPSHOTS} snapshots");
    let repository = folder.join("repository");
    measure(folder, &repository, "check", "check")?;
    measure(folder, &repository, "nothing free", "prune")?;
    for (what, label) in [("1 % free", "one"), ("50 % free", "half")] {
        let copy = folder.join(label);
        run_quietly(Command::new("cp").arg("-a").arg("--reflink=auto").arg(&repository).arg(&copy))?;
        let labels = if label == "one" { vec!["one"] } else { vec!["one", "half"] };
        for label in labels {
            let mut forget = caddis(folder, &copy);
            forget.args(["forget", "--group-by", "", "--keep-last", "0", "--allow-empty", "--label", label]);
            run_quietly(&mut forget)?;
        }
        measure(folder, &copy, what, "prune --undo-window 0 --min-age 0")?;
        measure(folder, &copy, "check after it", "check")?;
        fs::remove_dir_all(&copy)?;
    }
    Ok(())
}

/// Runs a command of the program and prints its time and its peak of memory.
fn measure(folder: &Path, repository: &Path, what: &str, words: &str) -> Result<()> {
    let peak_file = folder.join("peak");
    let mut command = Command::new("/usr/bin/time");
    command.args(["--format", "%M", "--output"]).arg(&peak_file).arg(env!("CARGO_BIN_EXE_caddis"));
    set_up(&mut command, folder, repository).args(words.split(' '));
    let begin = Instant::now();
    run_quietly(&mut command)?;
    let took = begin.elapsed();
    let peak: u64 = fs::read_to_string(&peak_file)?.trim().parse()?;
    let bound = RSS_MAX_KIB + u64::try_from(thread::available_parallelism()?.get())? * RSS_MAX_KIB_PER_CORE;
    println!("  {what:<15} {:8.2} s   peak RSS {:6.1} MiB of {} MiB", took.as_secs_f64(), mib(peak), bound >> 10);
    if peak > bound { Err("too much memory".into()) } else { Ok(()) }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn caddis(folder: &Path, repository: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caddis"));
    set_up(&mut command, folder, repository);
    command
}

fn set_up<'c>(command: &'c mut Command, folder: &Path, repository: &Path) -> &'c mut Command {
    // A copy is another place of the same repository.
    command
        .env("CADDIS_REPOSITORY", repository)
        .env("CADDIS_KEY_FILE", folder.join("key"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
}

fn run_quietly(command: &mut Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}

/// Makes the repository: a base that all snapshots share and, for each of them, files that only it has. The first of them,
/// which together have a hundredth of all chunks, are labelled `one`; with those labelled `half` it is a half of them.
fn make(folder: &Path, chunks: u64) -> Result<()> {
    let secret = [7; 32];
    fs::write(folder.join("key"), secret)?;
    fs::set_permissions(folder.join("key"), fs::Permissions::from_mode(0o600))?;
    let places = Places { state: folder.join("state/caddis").into(), cache: folder.join("cache/caddis") };
    let identity = Identity { host: "host".into(), user: "user".into() };
    let source = || KeySource::KeyFile(Zeroizing::new(secret));
    let new_key = NewKey { source: source(), cost: Argon2Cost::default(), label: "bench".into() };
    let (clock, cancel) = (SystemClock::new(), Cancel::new());
    let cx = Context { clock: &clock, progress: &Silent, cancel: &cancel };
    let store: Arc<dyn Store> = Arc::new(LocalStore::create(&folder.join("repository"))?);
    Repository::init(Arc::clone(&store), &new_key, &InitOptions::default(), &places, &identity, &cx)?;
    let mut repository = Found::look(store, &places)?.unlock(&source(), &identity, &cx)?;
    repository.introduce_self(&cx)?;
    let repository = &repository;
    let mut session = Session::start(repository, repository.look(&cx)?, Compression::default(), &cx)?;
    // What is not shared is three fifths, so that a half can come free.
    let own = (chunks * 3 / 5).div_ceil(SNAPSHOTS * FILES_PER_FOLDER);
    let shared = (chunks / FILES_PER_FOLDER).saturating_sub(own * SNAPSHOTS);
    let mut sink = Sink { session: &mut session, cx: &cx };
    let mut next = 0;
    let base: Vec<ChunkId> = (0..shared).map(|_| folder_of_files(&mut sink, &mut next)).collect::<Result<_>>()?;
    let mut roots = Vec::new();
    for _ in 0..SNAPSHOTS {
        let own: Vec<ChunkId> = (0..own).map(|_| folder_of_files(&mut sink, &mut next)).collect::<Result<_>>()?;
        roots.push(folder_of_folders(&mut sink, own.iter().chain(&base))?);
    }
    let relied = session.finish(&cx)?;
    let mut run = repository.state.begin_run()?;
    let one_percent = (chunks / 100).div_ceil(own * FILES_PER_FOLDER);
    let half = (chunks / 2).div_ceil(own * FILES_PER_FOLDER);
    for (number, root) in (0..).zip(roots) {
        let label = if number < one_percent {
            "one"
        } else if number < half {
            "half"
        } else {
            "kept"
        };
        let announcement = Announcement { time: clock.now().into(), label: Some(label.into()), original: None };
        repository.commit(&announcement, &body(root), &relied, &mut Vec::new(), &mut run, &cx)?;
    }
    run.finish();
    Ok(())
}

fn body(root: ChunkId) -> Body {
    Body {
        root,
        links: None,
        births: None,
        hosts: vec!["host".into()],
        user: "user".into(),
        paths: vec![b"/home".to_vec()],
        tags: Vec::new(),
        partial: false,
        program_version: String::new(),
        summary: Summary::default(),
        extras: Extras::default(),
    }
}

struct Sink<'s, 'r, 'c> {
    session: &'s mut Session<'r>,
    cx: &'s Context<'c>,
}

impl ChunkSink for Sink<'_, '_, '_> {
    fn store_chunk(&mut self, kind: ChunkKind, plain: &[u8]) -> caddis::error::Result<ChunkId> {
        self.session.store(kind, Origin::Tree, plain, self.cx)
    }

    fn domain(&self) -> &DedupDomain {
        &self.session.repository().keyring.domain
    }

    fn constants(&self) -> &TreeConstants {
        &self.session.repository().config.trees
    }
}

/// A folder of files that nobody has had before.
fn folder_of_files(sink: &mut Sink<'_, '_, '_>, next: &mut u64) -> Result<ChunkId> {
    let mut builder = FolderBuilder::default();
    for number in 0..FILES_PER_FOLDER {
        let mut bytes = [0; FILE_BYTES];
        blake3::Hasher::new().update(&next.to_le_bytes()).finalize_xof().fill(&mut bytes);
        *next += 1;
        let id = sink.session.store(ChunkKind::Data, Origin::User(1000), &bytes, sink.cx)?;
        let content = Content::Pieces(vec![Piece::Chunk { id, len: u32::try_from(FILE_BYTES)? }]);
        let kind = NodeKind::File { size: FILE_BYTES as u64, content, changed: false };
        builder.push(&node(number, kind)?, sink)?;
    }
    Ok(builder.finish(sink)?)
}

fn folder_of_folders<'i>(sink: &mut Sink<'_, '_, '_>, folders: impl Iterator<Item = &'i ChunkId>) -> Result<ChunkId> {
    let mut builder = FolderBuilder::default();
    for (number, &tree) in (0..).zip(folders) {
        builder.push(&node(number, NodeKind::Folder { tree })?, sink)?;
    }
    Ok(builder.finish(sink)?)
}

fn node(number: u64, kind: NodeKind) -> Result<Node> {
    Ok(Node {
        name: Name::new(format!("{number:08}").into_bytes())?,
        kind,
        mode: 0o644,
        owner: Owner { uid: 1000, gid: 1000, ..Owner::default() },
        mtime: Some(Timestamp { secs: 1_700_000_000, nanos: 0 }),
        xattrs: Vec::new(),
        extras: Extras::default(),
    })
}
