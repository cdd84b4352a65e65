//! Repair: what is left of a damaged repository serves again, and whatever comes back later heals it.
//!
//! Three operations, in the order in which they are of use: [`index`] names packs that no segment names, [`packs`]
//! stores again what damaged packs still give and lets these go, [`snapshots`] puts snapshots without what is lost in
//! the place of damaged ones. Each is planned first, and its plan consumed by the repair. Nothing is deleted that might
//! still serve: chunks keep their ids, so that a later backup of the same data stores just what is missing, and every
//! snapshot that needs it is whole again.

use crate::check::{self, Options, Report};
use crate::error::Result;
use crate::progress::Context;
use crate::repo::Repository;

pub mod index;
pub mod packs;
mod rebuild;
pub mod snapshots;

/// What is wrong after a repair, and what that costs.
///
/// # Errors
/// What keeps a check from going on.
pub fn left(repository: &Repository, cx: &Context<'_>) -> Result<Report> {
    check::check(repository, &Options::default(), cx)
}
