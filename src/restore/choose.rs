//! [`Filter`]: which items of a folder are brought back, by `--include` and `--exclude`. Pure.

use super::Options;
use crate::format::name::{Name, TreePath};
use crate::select::{Place, Rules, Shape, Verdict};

/// What is brought back of a folder.
#[derive(Clone, Default)]
pub(super) struct Filter {
    /// Fits what is left out.
    excludes: Option<Place>,
    /// Fits what is brought back; without it, everything is.
    includes: Option<Place>,
}

/// What a filter says of an item.
pub(super) enum Choice {
    /// It is brought back, and of what lies below it, what this filter takes.
    Taken(Filter),
    /// Only what lies below it may be.
    Way(Filter),
    LeftOut,
}

impl Filter {
    /// For the folder at `path` in the snapshot.
    pub(super) fn new(options: &Options, path: &TreePath) -> Self {
        let begin = |rules: &Option<Rules>| rules.as_ref().map(|rules| rules.source(path));
        Self { excludes: begin(&options.excludes), includes: begin(&options.includes) }
    }

    /// What becomes of an entry of the folder.
    pub(super) fn judge(&self, name: &Name, is_folder: bool) -> Choice {
        let shape = if is_folder { Shape::Folder } else { Shape::Other };
        let fits = |place: &Place| matches!(place.judge(name, shape), Verdict::LeftOut(_));
        if self.excludes.as_ref().is_some_and(fits) {
            return Choice::LeftOut;
        }
        let excludes = self.excludes.as_ref().filter(|_| is_folder).map(|place| place.below(name));
        match &self.includes {
            Some(includes) if !fits(includes) => {
                let below = includes.below(name);
                if is_folder && below.leads_on() {
                    Choice::Way(Self { excludes, includes: Some(below) })
                } else {
                    Choice::LeftOut
                }
            }
            _ => Choice::Taken(Self { excludes, includes: None }),
        }
    }
}
