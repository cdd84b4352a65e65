//! [`Scan`]: looks at folders ahead of a walk, on several threads, and hands them over in the order in which the walk asks.
//!
//! A walk waits for the system most of the time: to list a folder, to look at each entry. Here threads do that for what
//! comes next, deepest first, as the walk will want it. Whatever the walk asks for and nobody has begun, it does itself, so
//! that it never waits for anything but a look that is going on; and what is looked at and not asked for yet is bounded.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::choice::{Choice, LeftOut};
use super::folder::{Folder, Names};
use super::metadata::{EntryKind, Stat};
use crate::env::Clock;
use crate::format::metadata::Timestamp;
use crate::format::name::Name;
use crate::select::Place;

/// Entries that are looked at in one go: a large folder is looked at by several threads at once.
const PART_ENTRIES: usize = 512;

/// Entries that may be looked at and not asked for yet: some four megabytes.
const AHEAD_MAX: usize = 16 << 10;

/// A thread beyond these would wait for the same locks and disks.
const THREADS_MAX: usize = 8;

/// An entry of a folder.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// What the system says of it; of a symlink, not of what it points to.
    pub stat: io::Result<Stat>,
    /// What lies in it, if it is a folder that is to be entered.
    pub below: Option<Ahead>,
    /// Why it is no part of the backup, if it is none.
    pub left_out: Option<LeftOut>,
}

impl Entry {
    fn is_to_be_entered(&self) -> bool {
        self.left_out.is_none() && self.stat.as_ref().is_ok_and(|stat| stat.kind == EntryKind::Folder)
    }
}

/// What lies in a folder, or a part of that, in the order of the names.
#[derive(Debug)]
pub struct Listing {
    /// The folder.
    pub folder: Arc<Folder>,
    /// What the system said of it once it was open: what was entered may not be what was looked at before.
    pub stat: Stat,
    /// Which rules count in it.
    pub place: Arc<Place>,
    /// When all of this was looked at, at the earliest.
    pub seen: Timestamp,
    /// Some entries.
    pub entries: Vec<Entry>,
    /// Those that follow.
    pub rest: Option<Ahead>,
}

/// A look at a folder that is to be taken, going on, or done. **Each must be asked for**, or it counts as ahead for ever.
#[derive(Debug)]
pub struct Ahead(u64);

/// A scan that is going on.
pub struct Scan<'a> {
    clock: &'a dyn Clock,
    choice: &'a Choice<'a>,
    state: Mutex<State>,
    /// There is something to look at, or no longer a scan.
    work: Condvar,
    /// A look is done.
    done: Condvar,
}

#[derive(Default)]
struct State {
    looks: HashMap<u64, Look>,
    /// Looks that nobody has begun, what is wanted first last. May name some that were begun meanwhile.
    next: Vec<u64>,
    count: u64,
    /// Entries that were looked at or are being looked at.
    ahead: usize,
    idle: usize,
    wanted: Option<u64>,
    is_over: bool,
}

enum Look {
    Waiting(Job),
    Running,
    Done(io::Result<Listing>),
}

enum Job {
    /// A folder that is to be opened and listed.
    Enter { above: Arc<Folder>, place: Arc<Place>, name: Name },
    /// Entries of a folder from a position on.
    Part(Part),
}

/// Entries of a folder from a position on.
struct Part {
    folder: Arc<Folder>,
    stat: Stat,
    place: Arc<Place>,
    names: Arc<Names>,
    from: usize,
}

impl Job {
    fn cost(&self) -> usize {
        match self {
            Self::Enter { .. } => 1,
            Self::Part(Part { names, from, .. }) => PART_ENTRIES.min(names.len() - from),
        }
    }
}

/// Does `walk`, with threads that look ahead for it. A folder that is left out is an entry and no more.
pub fn scan<T>(clock: &dyn Clock, choice: &Choice<'_>, walk: impl FnOnce(&Scan<'_>) -> T) -> io::Result<T> {
    let scan = Scan { clock, choice, state: Mutex::default(), work: Condvar::new(), done: Condvar::new() };
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX);
    thread::scope(|scope| {
        let _over = EndOnDrop(&scan);
        for _ in 0..threads {
            let look_ahead = || {
                let _over = EndOnPanic(&scan);
                scan.look_ahead();
            };
            thread::Builder::new().name("caddis-scan".to_owned()).spawn_scoped(scope, look_ahead)?;
        }
        Ok(walk(&scan))
    })
}

/// However the walk ends, the threads end with it.
struct EndOnDrop<'a, 'b>(&'a Scan<'b>);

impl Drop for EndOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A walk must not wait for a thread that is gone.
struct EndOnPanic<'a, 'b>(&'a Scan<'b>);

impl Drop for EndOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

impl Scan<'_> {
    /// Lists a folder, in which the rules of `place` count, and begins to look ahead from there.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(&self, folder: &Arc<Folder>, place: Place) -> io::Result<Listing> {
        let stat = folder.stat()?;
        self.list(Arc::clone(folder), stat, place)
    }

    /// The folder `name` in `above`, where the rules of `place` count, listed.
    ///
    /// # Errors
    /// The system's; `name` being no folder is [`io::ErrorKind::NotADirectory`].
    pub fn enter(&self, above: &Arc<Folder>, place: &Arc<Place>, name: &Name) -> io::Result<Listing> {
        self.look(Job::Enter { above: Arc::clone(above), place: Arc::clone(place), name: name.clone() })
    }

    /// Who decides what is looked at.
    pub fn choice(&self) -> &Choice<'_> {
        self.choice
    }

    /// What was found.
    ///
    /// # Errors
    /// The system's.
    pub fn take(&self, ahead: Ahead) -> io::Result<Listing> {
        let mut state = self.lock();
        loop {
            match state.looks.remove(&ahead.0) {
                Some(Look::Waiting(job)) => {
                    drop(state);
                    return self.look(job);
                }
                Some(Look::Done(listing)) => {
                    let was_full = state.ahead > AHEAD_MAX;
                    state.ahead -= listing.as_ref().map_or(1, |listing| listing.entries.len());
                    if was_full && state.ahead <= AHEAD_MAX {
                        self.work.notify_all();
                    }
                    return listing;
                }
                Some(Look::Running) if !state.is_over => {
                    state.looks.insert(ahead.0, Look::Running);
                    state.wanted = Some(ahead.0);
                    state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                _ => return Err(io::Error::other("a thread of the walk has ended")),
            }
        }
    }

    /// What was found is not wanted, nor what was seen below it.
    pub fn forget(&self, listing: Listing) {
        let mut state = self.lock();
        let mut listings = vec![listing];
        while let Some(Listing { entries, rest, .. }) = listings.pop() {
            for ahead in entries.into_iter().filter_map(|entry| entry.below).chain(rest) {
                // One that is being taken at this moment stays, and counts as ahead.
                if let Some(Look::Done(found)) = state.looks.remove(&ahead.0) {
                    state.ahead -= found.as_ref().map_or(1, |found| found.entries.len());
                    listings.extend(found);
                }
            }
        }
        self.work.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.work.notify_all();
        self.done.notify_all();
    }

    /// Takes looks until there is no scan any longer. Runs on a thread of its own.
    fn look_ahead(&self) {
        let mut state = self.lock();
        loop {
            if state.is_over {
                return;
            }
            let begun = if state.ahead > AHEAD_MAX { None } else { state.begin_next() };
            let Some((number, job)) = begun else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let cost = job.cost();
            state.ahead += cost;
            drop(state);
            let listing = self.look(job);
            state = self.lock();
            state.ahead += listing.as_ref().map_or(1, |listing| listing.entries.len());
            state.ahead -= cost;
            state.looks.insert(number, Look::Done(listing));
            if state.wanted == Some(number) {
                state.wanted = None;
                self.done.notify_one();
            }
        }
    }

    fn look(&self, job: Job) -> io::Result<Listing> {
        match job {
            Job::Enter { above, place, name } => {
                let (folder, stat) = above.enter(&name)?;
                self.list(folder, stat, place.below(&name))
            }
            Job::Part(part) => self.part(part),
        }
    }

    fn list(&self, folder: Arc<Folder>, stat: Stat, mut place: Place) -> io::Result<Listing> {
        let mut names = folder.names()?;
        self.choice.stand_in(&mut place, &folder, &stat, &mut names);
        self.part(Part { folder, stat, place: Arc::new(place), names: Arc::new(names), from: 0 })
    }

    /// Looks at a part of a folder. What follows may be begun by others at once.
    fn part(&self, part: Part) -> io::Result<Listing> {
        let seen = self.clock.now().into();
        let Part { folder, stat, place, names, from } = part;
        let to = from + PART_ENTRIES;
        let rest = (to < names.len()).then(|| {
            let (folder, place, names) = (Arc::clone(&folder), Arc::clone(&place), Arc::clone(&names));
            let mut state = self.lock();
            let ahead = state.add(Job::Part(Part { folder, stat, place, names, from: to }));
            self.wake(&state, 1);
            ahead
        });
        let handle = folder.handle()?;
        let mut entries = Vec::with_capacity(PART_ENTRIES.min(names.len() - from));
        let mut folders = 0;
        for name in names.part(from, PART_ENTRIES) {
            let name = Name::new(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let stat = Stat::of_name(handle.as_fd(), &name);
            let left_out = self.choice.left_out(&place, &name, stat.as_ref().ok());
            let entry = Entry { name, stat, below: None, left_out };
            folders += usize::from(entry.is_to_be_entered());
            entries.push(entry);
        }
        if folders > 0 {
            let mut state = self.lock();
            // The first one is wanted first.
            for entry in entries.iter_mut().rev().filter(|entry| entry.is_to_be_entered()) {
                let (above, place, name) = (Arc::clone(&folder), Arc::clone(&place), entry.name.clone());
                entry.below = Some(state.add(Job::Enter { above, place, name }));
            }
            self.wake(&state, folders);
        }
        Ok(Listing { folder, stat, place, seen, entries, rest })
    }

    fn wake(&self, state: &State, looks: usize) {
        if state.ahead <= AHEAD_MAX {
            (0..looks.min(state.idle)).for_each(|_| self.work.notify_one());
        }
    }
}

impl State {
    fn add(&mut self, job: Job) -> Ahead {
        self.count += 1;
        self.looks.insert(self.count, Look::Waiting(job));
        self.next.push(self.count);
        Ahead(self.count)
    }

    fn begin_next(&mut self) -> Option<(u64, Job)> {
        while let Some(number) = self.next.pop() {
            let Some(look) = self.looks.get_mut(&number) else { continue };
            match mem::replace(look, Look::Running) {
                Look::Waiting(job) => return Some((number, job)),
                begun => *look = begun,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::*;
    use crate::env::SystemClock;
    use crate::format::name::TreePath;
    use crate::progress::Silent;
    use crate::select::Rules;

    fn choice<'a>(rules: &'a Rules, own: &'a HashSet<(u64, u64)>) -> Choice<'a> {
        Choice { rules, own, progress: &Silent }
    }

    fn any() -> Place {
        Rules::default().source(&TreePath::root())
    }

    /// All that a walk sees, in order; the folder called `closed` is not entered.
    fn walk(root: &Path, pause: impl Fn()) -> Vec<String> {
        let closed = fs::metadata(root.join("closed")).map(|found| (found.dev(), found.ino()));
        let mut seen = Vec::new();
        scan(&SystemClock::new(), &choice(&Rules::default(), &closed.into_iter().collect()), |scan| {
            let mut stack = vec![(String::new(), scan.begin(&Folder::open(root).unwrap(), any()).unwrap())];
            while let Some((path, listing)) = stack.pop() {
                pause();
                let mut entries = listing.entries.into_iter();
                let Some(entry) = entries.next() else {
                    if let Some(rest) = listing.rest {
                        stack.push((path, scan.take(rest).unwrap()));
                    }
                    continue;
                };
                let below = format!("{path}/{}", String::from_utf8_lossy(entry.name.as_bytes()));
                stack.push((path, Listing { entries: entries.collect(), ..listing }));
                seen.push(below.clone());
                if let Some(ahead) = entry.below {
                    stack.push((below, scan.take(ahead).unwrap()));
                }
            }
        })
        .unwrap();
        seen
    }

    fn expected(root: &Path, path: &str, seen: &mut Vec<String>) {
        let mut names: Vec<_> =
            fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        for name in names {
            let below = format!("{path}/{name}");
            seen.push(below.clone());
            let inner = root.join(&name);
            if inner.is_dir() && !inner.is_symlink() && name != "closed" {
                expected(&inner, &below, seen);
            }
        }
    }

    #[test]
    fn everything_comes_in_order_however_far_ahead_it_was_seen() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/b/c", "a.b", "closed/inner", "large/z", "large/0"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        // More than may be seen ahead, and a folder of several parts with folders in it.
        for number in 0..3 * PART_ENTRIES {
            fs::write(root.path().join(format!("large/{number:05}")), b"").unwrap();
        }
        for number in 0..20 {
            fs::create_dir(root.path().join(format!("a/{number}"))).unwrap();
            for file in 0..AHEAD_MAX / 10 {
                fs::write(root.path().join(format!("a/{number}/{file}")), b"").unwrap();
            }
        }
        std::os::unix::fs::symlink("a", root.path().join("symlink")).unwrap();
        let mut wanted = Vec::new();
        expected(root.path(), "", &mut wanted);
        assert_eq!(walk(root.path(), || ()), wanted);
        assert_eq!(walk(root.path(), thread::yield_now), wanted);
    }

    #[test]
    fn a_walk_that_ends_early_ends_its_threads() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::create_dir_all(root.path().join(format!("{number}/inner"))).unwrap();
        }
        let first = scan(&SystemClock::new(), &choice(&Rules::default(), &HashSet::new()), |scan| {
            let listing = scan.begin(&Folder::open(root.path()).unwrap(), any()).unwrap();
            listing.entries.len()
        });
        assert_eq!(first.unwrap(), 100);
    }

    #[test]
    fn a_folder_that_a_rule_leaves_out_is_not_entered() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["closed/inner", "open/inner"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let (mut rules, own) = (Rules::default(), HashSet::new());
        rules.add_pattern("--exclude", b"closed", false).unwrap();
        let place = rules.source(&TreePath::root());
        let listing = scan(&SystemClock::new(), &choice(&rules, &own), |scan| {
            scan.begin(&Folder::open(root.path()).unwrap(), place).unwrap()
        });
        let [closed, open] = &listing.unwrap().entries[..] else { panic!("there are two folders") };
        assert!(closed.below.is_none() && matches!(&closed.left_out, Some(LeftOut::Rule(_))));
        assert!(open.below.is_some() && open.left_out.is_none());
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("gone")).unwrap();
        let above = Folder::open(root.path()).unwrap();
        fs::remove_dir(root.path().join("gone")).unwrap();
        let (rules, own) = (Rules::default(), HashSet::new());
        let name = Name::new(*b"gone").unwrap();
        let entered =
            scan(&SystemClock::new(), &choice(&rules, &own), |scan| scan.enter(&above, &Arc::new(any()), &name));
        assert_eq!(entered.unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
