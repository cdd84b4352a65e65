//! Backup: source tree -> chunks -> blocks -> packs -> index -> snapshot.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{Catalog, Changes, Outcome};
use crate::error::{Error, Result, with_causes};
use crate::format::metadata::Timestamp;
use crate::format::name::TreePath;
use crate::format::record::Extras;
use crate::format::snapshot::{Body, Summary, TEXT_BYTES_MAX};
use crate::id::{ChunkId, PackId, SnapshotId};
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::commit::{ATTEMPTS_MAX, Announcement, Attempt};
use crate::repo::fetch::Reader;
use crate::repo::rollback::Withheld;
use crate::repo::session::{Relied, Session, Stored};
use crate::repo::snapshots::{Filter, Snapshot};
use crate::seal::compress::Compression;
use crate::select::Rules;

mod content;
mod frame;
mod items;
mod links;
mod memory;
pub(crate) mod sink;
pub mod sources;
mod stream;
mod walk;

pub use items::Counts;
pub use memory::Detection;
use memory::{Memory, Parent};
pub use sources::Sources;
pub use stream::Stream;
use walk::{Found, Walked};

/// What may be chosen for a backup.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Free words.
    pub tags: Vec<String>,
    /// What retention counts by.
    pub label: Option<String>,
    /// The machine that the snapshot shows, when it is not this one.
    pub host: Option<String>,
    /// When the backup was made, when it is not now.
    pub time: Option<jiff::Timestamp>,
    /// Folders that are never part of a backup: the repository, when it is local, and this program's own.
    pub own_folders: Vec<std::path::PathBuf>,
    /// What makes a file one that has changed.
    pub detection: Detection,
    /// How much time to spend on making data smaller.
    pub compression: Compression,
    /// What is left out.
    pub rules: Arc<Rules>,
    /// Whether it is saved when items were last read.
    pub with_atime: bool,
    /// The snapshot to compare with, instead of what this machine remembers.
    pub parent: Option<String>,
    /// Whether no snapshot is made that would be what the one before it is.
    pub skip_if_unchanged: bool,
}

impl Options {
    /// Refuses now what no reader would accept after the whole walk.
    fn check(&self) -> Result<()> {
        let texts = self.tags.iter().chain(&self.label).chain(&self.host);
        match texts.map(String::len).max() {
            Some(bytes) if bytes > TEXT_BYTES_MAX => {
                Err(Error::Usage(format!("tags, labels and host names have at most {TEXT_BYTES_MAX} bytes")))
            }
            _ => Ok(()),
        }
    }
}

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The new snapshot; where none was made because nothing has changed, the one that holds all this.
    pub snapshot: SnapshotId,
    /// Whether it is new.
    pub is_new: bool,
    /// The folder that stands for `/`.
    pub tree: ChunkId,
    /// When it says it was made.
    pub time: Timestamp,
    /// What was met.
    pub totals: Totals,
    /// What this machine has seen in the repository earlier and is not there now.
    pub withheld: Option<Withheld>,
}

impl std::ops::Deref for Report {
    type Target = Totals;

    fn deref(&self) -> &Totals {
        &self.totals
    }
}

/// What a walk has met, and what of it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Counts.
    pub summary: Summary,
    /// Files that are new, have changed, or have not.
    pub counts: Counts,
    /// New chunks.
    pub new_chunks: u64,
    /// Sockets, which are never saved.
    pub sockets: u64,
    /// Folders of the repository and of this program that were left out.
    pub own_folders: u64,
    /// Items that rules leave out; of a folder that is left out, what lies in it is not counted.
    pub excluded: u64,
    /// Items that were not read, or kept changing.
    pub problems: u64,
}

impl Totals {
    fn of(walked: &Walked, stored: &Stored, millis: u64) -> Self {
        Self {
            summary: summarise(walked, stored, millis),
            counts: walked.counts,
            new_chunks: stored.new_chunks,
            sockets: walked.sockets,
            own_folders: walked.own_folders,
            excluded: walked.excluded,
            problems: walked.problems,
        }
    }
}

/// Walks the sources as [`backup`] would and reads what is new, but stores nothing: what is new is counted, and each item
/// told of.
///
/// # Errors
/// [`Error::NothingSaved`] when no source could be read.
pub fn rehearse(repository: &Repository, sources: &Sources, options: &Options, cx: &Context<'_>) -> Result<Totals> {
    repository.require(Rights::WRITE)?;
    options.check()?;
    sources.check()?;
    let started = cx.clock.elapsed();
    let mut session = Session::rehearse(repository, repository.look(cx)?, cx)?;
    let mut rows = RowsToSave::open(repository, cx);
    let walked = walk_sources(&mut session, sources, options, &mut rows, cx)?;
    Ok(Totals::of(&walked, &session.stored(), millis_since(started, cx)))
}

fn millis_since(started: Duration, cx: &Context<'_>) -> u64 {
    u64::try_from(cx.clock.elapsed().saturating_sub(started).as_millis()).unwrap_or(u64::MAX)
}

/// Saves the sources as a new snapshot.
///
/// A problem with one item does not stop the backup: it is reported through `cx.progress`, counted in the report, and the
/// snapshot is marked as partial.
///
/// # Errors
/// [`Error::NothingSaved`] when no source could be read; [`Error::Interrupted`] after what was stored has been made known, so
/// that the next run goes on from there.
pub fn backup(repository: &mut Repository, sources: &Sources, options: &Options, cx: &Context<'_>) -> Result<Report> {
    repository.require(Rights::WRITE)?;
    options.check()?;
    sources.check()?;
    repository.introduce_self(cx)?;
    repository.settle_dead_runs(cx)?;
    let repository = &*repository;
    let started = cx.clock.elapsed();
    let time = options.time.unwrap_or_else(|| cx.clock.now()).into();
    let announcement = Announcement { time, label: options.label.clone(), original: None };
    let mut run = repository.state.begin_run()?;
    let mut overtaken = Vec::new();
    for _ in 0..ATTEMPTS_MAX {
        let view = repository.look(cx)?; // W1: gc, then the index; only then what is known of the sources
        let session = Session::start(repository, view, options.compression, cx)?;
        let (walked, stored, relied, rows) = store_sources(session, sources, options, cx)?; // W2
        let totals = Totals::of(&walked, &stored, millis_since(started, cx));
        if options.skip_if_unchanged
            && let Some((same, withheld)) = find_same(repository, sources, options, &walked, cx)?
        {
            repository.withdraw(overtaken, "nothing has changed", cx)?;
            run.finish();
            // The snapshot that is there keeps alive what the rows name.
            rows.save(&Attempt::Saved(same.id, None), sources, relied.packs, &totals.summary, cx);
            let time = same.header.time;
            return Ok(Report { snapshot: same.id, is_new: false, tree: walked.root, time, totals, withheld });
        }
        let body = body_of(repository, sources, options, &walked, totals.summary);
        let attempt = repository.commit(&announcement, &body, &relied, &mut overtaken, &mut run, cx)?;
        rows.save(&attempt, sources, relied.packs, &totals.summary, cx);
        match attempt {
            Attempt::Saved(snapshot, withheld) => {
                run.finish();
                return Ok(Report { snapshot, is_new: true, tree: walked.root, time, totals, withheld });
            }
            Attempt::Overtaken(id) => overtaken.push(id),
        }
    }
    Err(Error::Overtaken(ATTEMPTS_MAX))
}

/// Walks the sources and makes all that is new durable and known, also when the walk is interrupted.
fn store_sources<'r>(
    mut session: Session<'r>,
    sources: &Sources,
    options: &Options,
    cx: &Context<'_>,
) -> Result<(Walked, Stored, Relied, RowsToSave)> {
    let mut rows = RowsToSave::open(session.repository(), cx);
    let walked = walk_sources(&mut session, sources, options, &mut rows, cx);
    let finished = match walked {
        // Chunks are durable before the index names them, and indexed before a snapshot needs them.
        Ok(walked) => session.flush(cx).map(|()| walked),
        Err(Error::Interrupted) => session.flush(cx).and(Err(Error::Interrupted)),
        Err(error) => Err(error),
    };
    match finished {
        Ok(walked) => {
            let stored = session.stored();
            Ok((walked, stored, session.finish(cx)?, rows))
        }
        Err(error) => {
            session.rescue(cx);
            Err(error)
        }
    }
}

fn walk_sources(
    session: &mut Session<'_>,
    sources: &Sources,
    options: &Options,
    rows: &mut RowsToSave,
    cx: &Context<'_>,
) -> Result<Walked> {
    let repository = session.repository();
    let usable = session.usable_packs()?;
    let is_known = options.parent.is_none() && rows.know(sources);
    let parent = if is_known { None } else { find_parent(repository, sources, options, cx)? };
    // Most often there is about as much as last time.
    let before = parent.as_ref().map(|parent| &parent.snapshot.body.summary).map(|found| (items(found), found.bytes));
    if let Some((items, bytes)) = before.or_else(|| rows.totals(sources)) {
        cx.progress.ahead(items, bytes);
    }
    let changes = rows.catalog.as_ref().map(|_| Changes::new(&repository.cache_folder));
    let memory = Memory::new(rows.catalog.as_ref(), changes, &usable, parent.as_ref(), options.detection);
    walk::store(session, sources, options, memory, &mut rows.found, cx)
}

/// The snapshot that the sources are compared with: without a catalog, what has not changed since is known from there. Who may
/// not read the repository reads the sources instead.
fn find_parent<'r>(
    repository: &'r Repository,
    sources: &Sources,
    options: &Options,
    cx: &Context<'r>,
) -> Result<Option<Parent<'r>>> {
    let is_asked_for = options.parent.is_some();
    if !is_asked_for && (options.detection.force || repository.require(Rights::READ).is_err()) {
        return Ok(None);
    }
    let Some(snapshot) = choose_parent(repository, repository.snapshots(cx)?, sources, options, cx)? else {
        return Ok(None);
    };
    Ok(Some(Parent { reader: Reader::open(repository, cx)?, snapshot, is_asked_for }))
}

/// What this user on this machine has saved, the newest first.
///
/// # Errors
/// The key may not read, or the store fails.
pub fn known_sources(repository: &Repository, cx: &Context<'_>) -> Result<Vec<TreePath>> {
    let own = repository.signatory.public().principal();
    let mut snapshots = repository.snapshots(cx)?;
    snapshots.retain(|snapshot| snapshot.header.writer == own);
    let paths = snapshots.into_iter().rev().flat_map(|snapshot| snapshot.body.paths);
    Ok(paths.filter_map(|path| TreePath::from_typed(&path).ok()).collect())
}

/// Device and inode of folders, of those that are there.
pub fn identities(folders: &[std::path::PathBuf]) -> HashSet<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = folders.iter().filter_map(|folder| std::fs::metadata(folder).ok());
    found.map(|folder| (folder.dev(), folder.ino())).collect()
}

/// The one that was asked for, or the newest of `snapshots` that this user on this machine made of the same sources.
fn choose_parent(
    repository: &Repository,
    mut snapshots: Vec<Snapshot>,
    sources: &Sources,
    options: &Options,
    cx: &Context<'_>,
) -> Result<Option<Snapshot>> {
    if let Some(wanted) = &options.parent {
        return repository.find_snapshot(wanted, &Filter::default(), cx).map(Some);
    }
    let own = repository.signatory.public().principal();
    snapshots.retain(|snapshot| snapshot.header.writer == own && snapshot.body.paths == sources.paths());
    Ok(snapshots.pop())
}

/// The snapshot before this one, if it holds exactly what was found now and counts in the same series: then another one would
/// tell nothing new. One that was partial is followed by one that is not.
fn find_same(
    repository: &Repository,
    sources: &Sources,
    options: &Options,
    walked: &Walked,
    cx: &Context<'_>,
) -> Result<Option<(Snapshot, Option<Withheld>)>> {
    let (snapshots, graph) = repository.history(cx)?;
    let parent = choose_parent(repository, snapshots, sources, options, cx)?;
    let is_same = |parent: &Snapshot| {
        let Body { root, links, partial, .. } = &parent.body;
        let is_whole = !partial || walked.problems > 0;
        (root, links) == (&walked.root, &walked.links) && is_whole && parent.header.label == options.label
    };
    match parent.filter(is_same) {
        Some(parent) => Ok(Some((parent, repository.compare_or_note(&graph, cx)?))),
        None => Ok(None),
    }
}

/// All that a run has found.
fn items(found: &Summary) -> u64 {
    found.files.saturating_add(found.folders).saturating_add(found.others)
}

/// What a run has found for the catalog. That it cannot be saved costs the next run time and nothing else.
#[derive(Default)]
struct RowsToSave {
    catalog: Option<Catalog>,
    found: Found,
}

impl RowsToSave {
    fn open(repository: &Repository, cx: &Context<'_>) -> Self {
        match repository.catalog() {
            Ok(catalog) => Self { catalog: Some(catalog), found: Found::default() },
            Err(error) => {
                cx.progress
                    .note(&format!("there is no catalog, files are compared otherwise: {}", with_causes(&error)));
                Self::default()
            }
        }
    }

    /// How many items and bytes there were last time.
    fn totals(&self, sources: &Sources) -> Option<(u64, u64)> {
        self.catalog.as_ref()?.totals(&sources.keys().flatten().collect::<Vec<_>>())
    }

    /// Whether something is known of every source.
    fn know(&self, sources: &Sources) -> bool {
        let Some(catalog) = &self.catalog else { return false };
        sources.keys().all(|key| key.is_some_and(|key| catalog.knows(&key)))
    }

    fn save(self, attempt: &Attempt, sources: &Sources, packs: HashSet<PackId>, found: &Summary, cx: &Context<'_>) {
        let (Some(catalog), Some(changes)) = (self.catalog, self.found.changes) else { return };
        let outcome = match attempt {
            Attempt::Saved(..) => {
                let (sources, packs) = (sources.keys().flatten().collect(), packs.into_iter().collect());
                Outcome::Committed { sources, packs, items: items(found), bytes: found.bytes }
            }
            Attempt::Overtaken(_) => Outcome::Unfinished,
        };
        if let Err(error) = catalog.save(changes, &outcome, &self.found.owners) {
            cx.progress.note(&format!("saved, but the next backup will read more files: {}", with_causes(&error)));
        }
    }
}

fn summarise(walked: &Walked, stored: &Stored, millis: u64) -> Summary {
    Summary { new_bytes: stored.new_bytes, stored_bytes: stored.stored_bytes, millis, ..walked.summary }
}

fn body_of(repository: &Repository, sources: &Sources, options: &Options, walked: &Walked, summary: Summary) -> Body {
    let mut tags = options.tags.clone();
    tags.sort();
    tags.dedup();
    Body {
        root: walked.root,
        links: walked.links,
        births: walked.births,
        hosts: vec![options.host.clone().unwrap_or_else(|| repository.identity.host.clone())],
        user: repository.identity.user.clone(),
        paths: sources.paths().to_vec(),
        tags,
        partial: walked.problems > 0,
        program_version: crate::program_version(),
        summary,
        extras: Extras::default(),
    }
}
