//! Which rule takes a path in or leaves it out: the way of a walk to one item, without the walk.

use std::sync::Arc;

use super::choice::{Choice, shape};
use super::folder::Folder;
use super::metadata::EntryKind;
use crate::format::name::{Name, TreePath};
use crate::select::{Place, Rule, Shape, Verdict};

/// Whether a path is part of a backup, and why.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is the source itself.
    Source,
    /// It is taken, perhaps because a rule takes it in again.
    Taken(Option<Arc<Rule>>),
    /// It, or a folder above, is left out by a rule.
    LeftOut {
        /// What is left out.
        item: TreePath,
        /// By which rule.
        rule: Arc<Rule>,
    },
    /// A folder above is saved, but nothing of what lies in it, or only a tag.
    Emptied {
        /// The folder.
        folder: TreePath,
        /// By which rule.
        rule: Arc<Rule>,
    },
    /// It lies in the repository, or in a folder of this program.
    Own {
        /// Which.
        folder: TreePath,
    },
    /// It is a socket.
    Socket,
}

/// What becomes of `path`, which **must be** `source` or lie below it. What is not there is judged by its name; `is_folder` says
/// whether it is to be a folder then.
pub fn why(choice: &Choice<'_>, source: &TreePath, path: &TreePath, is_folder: bool) -> Answer {
    let names: Vec<Name> = path.components().skip(source.components().count()).collect();
    let Some((last, above)) = names.split_last() else { return Answer::Source };
    let mut way = Way::begin(choice, source);
    for name in above {
        if let Err(answer) = way.judge(name, true) {
            return answer;
        }
        way.go_down(name);
    }
    way.judge(last, is_folder).map_or_else(|answer| answer, Answer::Taken)
}

/// A folder on the way.
struct Way<'a, 'c> {
    choice: &'a Choice<'c>,
    path: TreePath,
    /// Nothing where there is none.
    folder: Option<Arc<Folder>>,
    place: Place,
    /// The one entry that is taken where all others are left out.
    tag: Option<Name>,
}

impl<'a, 'c> Way<'a, 'c> {
    fn begin(choice: &'a Choice<'c>, source: &TreePath) -> Self {
        let folder = Folder::open(&source.to_path_buf()).ok();
        let place = choice.rules.source(source);
        let mut way = Self { choice, path: source.clone(), folder, place, tag: None };
        way.look();
        way
    }

    /// Searches the folder for what rules ask for. Of one that cannot be read nothing more is known.
    fn look(&mut self) {
        self.tag = None;
        let Some(folder) = &self.folder else { return };
        if let (Ok(stat), Ok(mut names)) = (folder.stat(), folder.names()) {
            self.choice.stand_in(&mut self.place, folder, &stat, &mut names);
            if self.place.emptied().is_some() {
                self.tag = names.part(0, 1).next().and_then(|name| Name::new(name).ok());
            }
        }
    }

    /// By which rule an entry is taken, or what else becomes of it.
    fn judge(&self, name: &Name, is_folder: bool) -> Result<Option<Arc<Rule>>, Answer> {
        if let Some(rule) = self.place.emptied()
            && self.tag.as_ref() != Some(name)
        {
            return Err(Answer::Emptied { folder: self.path.clone(), rule: Arc::clone(rule) });
        }
        let mut item = self.path.clone();
        item.push(name);
        let stat = self.folder.as_ref().and_then(|folder| folder.stat_of(name).ok());
        if stat.is_some_and(|stat| self.choice.is_own(&stat)) {
            return Err(Answer::Own { folder: item });
        }
        if stat.is_some_and(|stat| stat.kind == EntryKind::Socket) {
            return Err(Answer::Socket);
        }
        let missing = if is_folder { Shape::Folder } else { Shape::Other };
        match self.place.judge(name, stat.as_ref().map_or(missing, shape)) {
            Verdict::Taken(rule) => Ok(rule),
            Verdict::LeftOut(rule) => Err(Answer::LeftOut { item, rule }),
        }
    }

    fn go_down(&mut self, name: &Name) {
        self.folder = self.folder.as_ref().and_then(|folder| folder.enter(name).ok()).map(|(folder, _)| folder);
        self.place = self.place.below(name);
        self.path.push(name);
        self.look();
    }
}
