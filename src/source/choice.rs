//! [`Choice`]: which entries are part of a backup. The rules stand in [`crate::select`]; here folders are searched for the
//! files that rules ask for, and what is the program's own is recognised.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::folder::{Folder, Names};
use super::metadata::{EntryKind, Stat};
use crate::format::name::Name;
use crate::progress::Progress;
use crate::select::{IGNORE_FILE, Place, Rule, Rules, Shape, Tag, Verdict, read_lines};

/// A folder's own file of rules is no longer: each line may be compared with each entry below.
pub const IGNORE_BYTES_MAX: u64 = 64 << 10;

/// Decides about entries. Asked by several threads.
pub struct Choice<'a> {
    /// What the user chose.
    pub rules: &'a Rules,
    /// Device and inode of folders that are never part of a backup.
    pub own: &'a HashSet<(u64, u64)>,
    /// Hears of files of rules that cannot be used.
    pub progress: &'a dyn Progress,
}

/// Why an entry is no part of a backup.
#[derive(Clone, Debug)]
pub enum LeftOut {
    /// The repository, or a folder of this program.
    Own,
    /// A rule says so.
    Rule(Arc<Rule>),
}

impl Choice<'_> {
    /// Whether the folder is the repository, or one of this program's own.
    pub fn is_own(&self, stat: &Stat) -> bool {
        stat.kind == EntryKind::Folder && self.own.contains(&(stat.dev, stat.ino))
    }

    /// Why an entry is left out, if it is. Of one that the system says nothing of, only the name counts.
    pub fn left_out(&self, place: &Place, name: &Name, stat: Option<&Stat>) -> Option<LeftOut> {
        if stat.is_some_and(|stat| self.is_own(stat)) {
            return Some(LeftOut::Own);
        }
        match place.judge(name, stat.map_or(Shape::Other, shape)) {
            Verdict::LeftOut(rule) => Some(LeftOut::Rule(rule)),
            Verdict::Taken(_) => None,
        }
    }

    /// What counts in a folder that was opened. `names` keeps those that may be taken.
    pub fn stand_in(&self, place: &mut Place, folder: &Arc<Folder>, stat: &Stat, names: &mut Names) {
        place.stand_on(stat.dev, self.rules);
        if place.emptied().is_some() {
            names.keep_only(b"");
            return;
        }
        // What somebody names as a source is wanted, tagged or not.
        if !place.is_source()
            && let Some(tag) = self.rules.tags().iter().find(|tag| self.is_tagged(folder, names, tag))
        {
            names.keep_only(tag.name.as_bytes());
            place.keep_only(tag);
            return;
        }
        if self.rules.reads_ignore_files() && names.contains(IGNORE_FILE) {
            self.add_lines(place, folder);
        }
    }

    fn is_tagged(&self, folder: &Arc<Folder>, names: &Names, tag: &Tag) -> bool {
        if !names.contains(tag.name.as_bytes()) {
            return false;
        }
        if tag.header.is_empty() {
            return true;
        }
        match read_start(folder, &tag.name, tag.header.len() as u64) {
            Ok(start) => start == tag.header,
            Err(error) => {
                self.note_unread(folder, &tag.name, &error);
                false
            }
        }
    }

    fn add_lines(&self, place: &mut Place, folder: &Arc<Folder>) {
        let name = Name::new(IGNORE_FILE).expect("this is a name");
        let too_long = || io::Error::other(format!("it is longer than {IGNORE_BYTES_MAX} bytes"));
        let bytes = match read_start(folder, &name, IGNORE_BYTES_MAX + 1) {
            Ok(bytes) if bytes.len() as u64 <= IGNORE_BYTES_MAX => bytes,
            Ok(_) => return self.note_unread(folder, &name, &too_long()),
            Err(error) => return self.note_unread(folder, &name, &error),
        };
        let path = path_of(folder, &name);
        place.add_lines(
            read_lines(&path, &bytes, false)
                .filter_map(|line| line.inspect_err(|bad| self.progress.note(&format!("passed over: {bad}"))).ok()),
        );
    }

    fn note_unread(&self, folder: &Arc<Folder>, name: &Name, error: &io::Error) {
        self.progress.note(&format!("rules in {} are passed over: {error}", path_of(folder, name).display()));
    }
}

fn path_of(folder: &Arc<Folder>, name: &Name) -> PathBuf {
    folder.path().join(name.as_os_str())
}

/// What rules ask of an entry.
pub fn shape(stat: &Stat) -> Shape {
    match stat.kind {
        EntryKind::Folder => Shape::Folder,
        EntryKind::File => Shape::File(stat.size),
        _ => Shape::Other,
    }
}

/// The first bytes of a regular file, at most `limit`.
fn read_start(folder: &Arc<Folder>, name: &Name, limit: u64) -> io::Result<Vec<u8>> {
    let looked = folder.stat_of(name)?;
    let (file, _) = folder.open_file(name, &looked)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
