//! The walk: entries in the order of their names, folder by folder, on a stack of our own, so that no depth is too deep.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Options;
use super::content::ContentReader;
use super::frame::{Frame, Saved};
use super::items::{Counts, Items, is_settled};
use super::memory::{Memory, Remembered};
use super::sink::Sink;
use super::sources::{Origin, Plan, Sources};
use crate::catalog::row::Fingerprint;
use crate::catalog::{Changes, OwnerName};
use crate::chunker::Chunker;
use crate::error::{Error, Result};
use crate::format::metadata::Timestamp;
use crate::format::name::Name;
use crate::format::record::{Extras, decode, encode};
use crate::format::snapshot::{Summary, TableRef};
use crate::format::tree::{Node, NodeKind};
use crate::id::ChunkId;
use crate::progress::{Context, Fate};
use crate::repo::session::Session;
use crate::select::Place;
use crate::source::{Choice, Entry, EntryKind, Folder, LeftOut, Listing, Scan, Stat, scan};
use crate::tree::build::{BirthsBuilder, FolderBuilder, build_links};

/// What a walk has stored.
pub(super) struct Walked {
    pub root: ChunkId,
    pub links: Option<TableRef>,
    pub births: Option<TableRef>,
    pub summary: Summary,
    pub counts: Counts,
    pub sockets: u64,
    pub own_folders: u64,
    pub excluded: u64,
    pub problems: u64,
}

/// What a walk has found for the catalog, whether it came to its end or not.
#[derive(Default)]
pub(super) struct Found {
    pub changes: Option<Changes>,
    pub owners: Vec<OwnerName>,
}

/// A walk through the sources.
struct Walk<'s, 'r, 'c> {
    items: Items<'s, 'r, 'c>,
    scan: &'s Scan<'s>,
    births: BirthsBuilder,
    own_folders: u64,
    excluded: u64,
}

/// What became of an entry.
enum Visited<'s> {
    /// Its node is complete.
    Saved(Box<Saved>),
    /// It is a folder, which lies on the stack now.
    Entered(Box<Frame<'s>>),
    /// It is not part of the backup, or could not be read; a problem has been reported then.
    Nothing,
}

/// Stores all sources under one root. What was found for the catalog goes to `found` in any case.
pub(super) fn store(
    session: &mut Session<'_>,
    sources: &Sources,
    options: &Options,
    memory: Memory<'_>,
    found: &mut Found,
    cx: &Context<'_>,
) -> Result<Walked> {
    let repository = session.repository();
    let chunker = Chunker::new(&repository.keyring.domain.chunker_key(), repository.config.chunks.clone());
    let own = super::identities(&options.own_folders);
    let choice = Choice { rules: &options.rules, own: &own, progress: cx.progress };
    let walked = scan(cx.clock, &choice, |scan| {
        let items = Items::new(Sink { session, cx }, ContentReader::new(chunker), memory, options.with_atime);
        let mut walk = Walk { items, scan, births: BirthsBuilder::default(), own_folders: 0, excluded: 0 };
        let root = walk.store_plan(sources.plan(), None);
        found.owners = walk.owners();
        found.changes = walk.items.memory.changes.take();
        walk.finish(root?)
    });
    walked.map_err(|source| Error::Io { action: "start threads of", path: "this process".into(), source })?
}

impl<'s, 'r: 's, 'c: 's> Walk<'s, 'r, 'c> {
    fn finish(mut self, root: Option<Node>) -> Result<Walked> {
        self.items.sink.session.rely_on(std::mem::take(&mut self.items.memory.relied));
        let Some(Node { kind: NodeKind::Folder { tree: root }, .. }) = root else { return Err(Error::NothingSaved) };
        let births = self.births.finish(&mut self.items.sink)?;
        let links = build_links(&std::mem::take(&mut self.items.links).records(), &mut self.items.sink)?;
        let Items { summary, counts, sockets, problems, .. } = self.items;
        let Self { own_folders, excluded, .. } = self;
        Ok(Walked { root, links, births, summary, counts, sockets, own_folders, excluded, problems })
    }

    fn owners(&self) -> Vec<OwnerName> {
        let owners = &self.items.owners;
        let name = |is_group| move |(id, name): (u32, &Option<Vec<u8>>)| OwnerName { is_group, id, name: name.clone() };
        owners.known_users().map(name(false)).chain(owners.known_groups().map(name(true))).collect()
    }

    /// Stores what a plan leads to. A folder above the sources has the nodes that lead to them and, of its own, mode and
    /// owner only: it changes for reasons that have nothing to do with the sources.
    fn store_plan(&mut self, plan: &Plan, name: Option<&Name>) -> Result<Option<Node>> {
        if let Some(origin) = &plan.source {
            self.items.memory.begin(&self.items.path);
            let node = match origin {
                Origin::InPlace => self.store_source(&self.os_path())?,
                Origin::At(path) => self.store_source(path)?,
                Origin::Stream(stream) => Some(self.items.stream(stream)?),
            };
            self.items.memory.end();
            return Ok(node.map(|node| Node { name: name.cloned().unwrap_or_else(root_name), ..node }));
        }
        let mut nodes = FolderBuilder::default();
        let mut is_empty = true;
        for (name, child) in &plan.children {
            self.items.path.push(name);
            let node = self.store_plan(child, Some(name));
            self.items.path.pop();
            if let Some(node) = node? {
                nodes.push(&node, &mut self.items.sink)?;
                is_empty = false;
            }
        }
        if is_empty {
            return Ok(None);
        }
        let tree = nodes.finish(&mut self.items.sink)?;
        let path = self.os_path();
        let (mode, owner) = match std::fs::metadata(&path) {
            Ok(found) => (found.mode() & 0o7777, self.items.owner(found.uid(), found.gid())),
            Err(error) => {
                if plan.is_in_place() {
                    self.items.problem(format!("cannot read its metadata: {error}"));
                }
                (0o755, self.items.owner(0, 0))
            }
        };
        let kind = NodeKind::Folder { tree };
        let name = name.cloned().unwrap_or_else(root_name);
        Ok(Some(Node { name, kind, mode, owner, mtime: None, xattrs: Vec::new(), extras: Extras::default() }))
    }

    /// Stores the source at `path`.
    fn store_source(&mut self, path: &Path) -> Result<Option<Node>> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            let place = self.source_place();
            return match Folder::open(path).and_then(|folder| self.scan.begin(&folder, place)) {
                Ok(listing) => self.store_folder(&root_name(), listing),
                Err(error) => self.items.give_up(&error),
            };
        };
        let bad_name = |source| Error::BadSource { path: path.to_path_buf(), source };
        let name = &Name::new(name.as_bytes()).map_err(bad_name)?;
        if above.ancestors().any(|folder| self.is_own(folder)) {
            self.own_folders += 1;
            self.items.problem("it lies in the repository or in a folder of caddis, which are never saved".to_owned());
            return Ok(None);
        }
        let seen = self.items.sink.cx.clock.now().into();
        let looked = Folder::pass_through(above).and_then(|above| Ok((above.stat_of(name)?, above)));
        let (stat, above) = match looked {
            Ok(looked) => looked,
            Err(error) => return self.items.give_up(&error),
        };
        let never = "it is a socket or a folder of caddis, which are never saved";
        if stat.kind != EntryKind::Folder {
            let problems = self.items.problems;
            let node = self.store_item(&above, name, stat, seen)?;
            self.note_symlink(path, node.as_ref());
            if node.is_none() && self.items.problems == problems {
                self.items.problem(never.to_owned());
            }
            return Ok(node);
        }
        if self.scan.choice().is_own(&stat) {
            self.own_folders += 1;
            self.items.problem(never.to_owned());
            return Ok(None);
        }
        match above.enter(name).and_then(|(folder, _)| self.scan.begin(&folder, self.source_place())) {
            Ok(listing) => self.store_folder(name, listing),
            Err(error) => self.items.give_up(&error),
        }
    }

    /// Which rules count in the folder that is a source.
    fn source_place(&self) -> Place {
        self.scan.choice().rules.source(&self.items.path)
    }

    /// Stores a source that is no folder.
    fn store_item(&mut self, above: &Arc<Folder>, name: &Name, stat: Stat, seen: Timestamp) -> Result<Option<Node>> {
        let file_system = self.items.file_system(above, &stat);
        let mut memory = self.items.memory.folder(&self.items.path, &stat, file_system, None, name);
        let known = memory.entry(name);
        let saved = match self.items.kept(above, name, &stat, known.as_ref(), &memory)? {
            Some(saved) => Some(saved),
            None => self.items.read(above, name, stat, seen, known.is_some(), &mut memory)?,
        };
        let Some(saved) = saved else { return Ok(None) };
        if !saved.is_kept || !memory.is_same_so_far(1) {
            let changes = &mut self.items.memory.changes;
            memory.begin_row()?;
            memory.record(name, &saved.print, saved.is_trusted, &saved.node, changes.as_mut());
            memory.finish_row(&ChunkId([0; 32]), changes.as_mut());
        }
        self.tell(&saved);
        let node = decode::<Node>(&saved.node).map_err(|error| self.bad_node(&error.to_string()))?;
        Ok(Some(node))
    }

    fn note_symlink(&self, path: &Path, node: Option<&Node>) {
        if node.is_some_and(|node| matches!(node.kind, NodeKind::Symlink { .. })) && path.is_dir() {
            let path = path.display();
            let note = format!("{path} is a symlink and saved as such; write {path}/ for the folder it leads to");
            self.items.sink.cx.progress.note(&note);
        }
    }

    /// Stores a source that is a folder.
    fn store_folder(&mut self, name: &Name, listing: Listing) -> Result<Option<Node>> {
        let file_system = self.items.file_system(&listing.folder, &listing.stat);
        let memory = self.items.memory.folder(&self.items.path, &listing.stat, file_system, None, name);
        let saved = self.store_folders(Frame::new(name.clone(), listing, memory, None))?;
        decode::<Node>(&saved.node).map(Some).map_err(|error| self.bad_node(&error.to_string()))
    }

    fn bad_node(&self, why: &str) -> Error {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_owned());
        Error::Io { action: "encode the node of", path: self.os_path(), source }
    }

    fn is_own(&self, folder: &Path) -> bool {
        let own = self.scan.choice().own;
        std::fs::metadata(folder).is_ok_and(|folder| own.contains(&(folder.dev(), folder.ino())))
    }

    /// Stores a folder with all below it.
    fn store_folders(&mut self, top: Frame<'s>) -> Result<Saved> {
        let depth = self.items.path.clone();
        let mut stack = vec![top];
        loop {
            self.items.sink.cx.cancel.check()?;
            let frame = stack.last_mut().expect("the loop ends with the first frame");
            let Some(entry) = frame.entries.next() else {
                if let Some(rest) = frame.rest.take() {
                    match self.scan.take(rest) {
                        Ok(listing) => {
                            (frame.entries, frame.rest) = (listing.entries.into_iter(), listing.rest);
                            frame.seen = listing.seen;
                        }
                        Err(error) => self.items.problem(format!("cannot read all that lies in it: {error}")),
                    }
                    continue;
                }
                let saved = self.finish_folder(frame)?;
                self.tell(&saved);
                frame.folder.leave();
                stack.pop();
                let Some(above) = stack.last_mut() else {
                    self.items.path = depth;
                    return Ok(saved);
                };
                self.items.path.pop();
                self.push(above, &saved)?;
                continue;
            };
            self.items.path.push(&entry.name);
            match self.visit(frame, entry)? {
                Visited::Entered(frame) => stack.push(*frame),
                Visited::Saved(saved) => {
                    self.tell(&saved);
                    self.items.path.pop();
                    self.push(frame, &saved)?;
                }
                Visited::Nothing => self.items.path.pop(),
            }
        }
    }

    fn tell(&self, saved: &Saved) {
        self.items.sink.cx.progress.item(self.items.path.as_bytes(), saved.fate, saved.print.size);
    }

    /// An entry is no part of the backup.
    fn leave_out(&mut self, left_out: &LeftOut) -> Visited<'s> {
        match left_out {
            LeftOut::Own => self.own_folders += 1,
            LeftOut::Rule(rule) => {
                self.excluded += 1;
                self.items.sink.cx.progress.item(self.items.path.as_bytes(), Fate::Excluded(rule), 0);
            }
        }
        Visited::Nothing
    }

    fn push(&mut self, frame: &mut Frame<'s>, saved: &Saved) -> Result<()> {
        let Items { path, memory, sink, .. } = &mut self.items;
        frame.push(saved, path, &mut self.births, &mut memory.changes, sink)
    }

    /// The node of a folder of which all entries are there.
    fn finish_folder(&mut self, frame: &mut Frame<'s>) -> Result<Saved> {
        let Items { path, memory, sink, .. } = &mut self.items;
        let tree = frame.finish(path, &mut self.births, &mut memory.changes, sink)?;
        self.items.summary.folders += 1;
        self.items.sink.cx.progress.done(1, 0);
        let (stat, name) = (frame.stat, frame.name.clone());
        let print = Fingerprint::of(&stat);
        let is_known = frame.is_known();
        let own = frame.own.take();
        let fate = match is_known {
            false => Fate::New,
            // Of a source nothing is known but what lies in it.
            true if own.is_none() && frame.is_same => Fate::Unchanged,
            true => Fate::Changed,
        };
        let fate_of =
            |node: &[u8]| if own.as_ref().is_some_and(|own| own.node == node) { Fate::Unchanged } else { fate };
        if let Some(own) = &own
            && self.items.memory.keeps_nodes()
            && self.items.memory.is_unchanged(&stat, own)
            && let Ok(mut node) = decode::<Node>(&own.node)
            && (frame.own_is_vouched || self.items.is_whole(&node)?)
        {
            let atime = self.items.atime(&stat);
            let is_kept = node.kind == NodeKind::Folder { tree } && own.print == print && node.atime() == atime;
            node.kind = NodeKind::Folder { tree };
            node.set_atime(atime);
            let node = encode(&node);
            return Ok(Saved { name, print, is_trusted: true, fate: fate_of(&node), node, is_kept });
        }
        let problems = self.items.problems;
        let xattrs = self.items.xattrs(frame.folder.xattrs(), &stat)?;
        let is_trusted = self.items.problems == problems && is_settled(&stat, frame.seen);
        let node = encode(&self.items.node(name.clone(), NodeKind::Folder { tree }, &stat, xattrs));
        Ok(Saved { name, print, is_trusted, fate: fate_of(&node), node, is_kept: false })
    }

    /// Looks at one entry of a folder; the path names it.
    ///
    /// What was seen ahead decides whether it is what an earlier run has left. What is not is looked at again: it may be
    /// something else by now.
    fn visit(&mut self, frame: &mut Frame<'s>, entry: Entry) -> Result<Visited<'s>> {
        self.items.sink.cx.progress.current(self.items.path.as_bytes());
        let Entry { name, stat, below, left_out } = entry;
        if let Some(left_out) = left_out {
            return Ok(self.leave_out(&left_out));
        }
        let items = &mut self.items;
        let known = frame.memory.entry(&name);
        match (stat, below) {
            (Err(error), _) => return items.give_up::<()>(&error).map(|_| Visited::Nothing),
            (Ok(_), Some(below)) => {
                if let Ok(listing) = self.scan.take(below) {
                    // A folder that will be read must still be there: what was seen in it may long be gone.
                    let is_known = known.as_ref().is_some_and(|known| items.memory.is_unchanged(&listing.stat, known));
                    let is_there = |now: Stat| (now.dev, now.ino) == (listing.stat.dev, listing.stat.ino);
                    if is_known || frame.folder.stat_of(&name).is_ok_and(is_there) {
                        return Ok(self.entered(frame, name, listing, known));
                    }
                    self.scan.forget(listing);
                }
            }
            (Ok(stat), None) => {
                if let Some(saved) = items.kept(&frame.folder, &name, &stat, known.as_ref(), &frame.memory)? {
                    return Ok(Visited::Saved(Box::new(saved)));
                }
            }
        }
        let seen = items.sink.cx.clock.now().into();
        let stat = match frame.folder.stat_of(&name) {
            Ok(stat) => stat,
            Err(error) => return items.give_up::<()>(&error).map(|_| Visited::Nothing),
        };
        if let Some(left_out) = self.scan.choice().left_out(&frame.place, &name, Some(&stat)) {
            return Ok(self.leave_out(&left_out));
        }
        if stat.kind == EntryKind::Folder {
            return match self.scan.enter(&frame.folder, &frame.place, &name) {
                Ok(listing) => Ok(self.entered(frame, name, listing, known)),
                Err(error) => items.give_up::<()>(&error).map(|_| Visited::Nothing),
            };
        }
        let saved = items.read(&frame.folder, &name, stat, seen, known.is_some(), &mut frame.memory)?;
        let Some(mut saved) = saved else { return Ok(Visited::Nothing) };
        // It was read since nobody could tell, and is what it was.
        if known.is_some_and(|known| known.node == saved.node) {
            saved.fate = Fate::Unchanged;
        }
        Ok(Visited::Saved(Box::new(saved)))
    }

    fn entered(
        &mut self,
        above: &mut Frame<'s>,
        name: Name,
        listing: Listing,
        known: Option<Remembered>,
    ) -> Visited<'s> {
        above.memory.parent_node(&name);
        if let Some(rule) = listing.place.emptied() {
            self.excluded += 1;
            self.items.sink.cx.progress.item(self.items.path.as_bytes(), Fate::Emptied(rule), 0);
        }
        let file_system = self.items.file_system(&listing.folder, &listing.stat);
        let Items { path, memory, .. } = &mut self.items;
        let memory = memory.folder(path, &listing.stat, file_system, Some(&above.memory), &name);
        let mut entered = Frame::new(name, listing, memory, known);
        entered.own_is_vouched = above.memory.is_vouched();
        Visited::Entered(Box::new(entered))
    }

    fn os_path(&self) -> PathBuf {
        self.items.path.to_path_buf()
    }
}

/// The root has no name; its node is never stored, only its tree.
fn root_name() -> Name {
    Name::new(*b"root").expect("this is a name")
}
