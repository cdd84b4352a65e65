//! The rows of a chunk, and whose word they are.
//!
//! Whoever may only write describes packs as well, and could not check what they say if they wanted to: a row of theirs may
//! name a chunk that its pack does not hold. So it never takes the place of anybody else's row, neither of somebody's who can
//! read nor of another writer's.

use std::cell::RefCell;

use crate::error::Result;
use crate::format::index::ShortId;
use crate::id::PrincipalId;
use crate::index::{IndexError, LocalIndex, Location};
use crate::progress::Context;
use crate::repo::Repository;

/// Places of one chunk that count by the word of one writer who cannot read. Their own runs store it once.
const ROWS_MAX: usize = 8;

/// Whose word a row is: nobody's in particular, if it is trusted; a writer's, who answers for themselves alone.
pub(super) fn witness(repository: &Repository, row: &Location) -> Option<PrincipalId> {
    (!repository.trusts(&row.pack)).then_some(row.pack.origin)
}

/// Takes a row, unless it is one of too many.
fn take(repository: &Repository, rows: &mut Vec<Location>, row: &Location) {
    if let Some(writer) = witness(repository, row) {
        let is_like_it = |other: &&Location| witness(repository, other) == Some(writer);
        if rows.iter().filter(is_like_it).count() >= ROWS_MAX {
            return;
        }
    }
    rows.push(row.clone());
}

/// Calls `each` for every chunk of an index, with all its rows.
pub(crate) fn for_each_chunk(
    repository: &Repository,
    index: &LocalIndex,
    cx: &Context<'_>,
    each: &mut dyn FnMut(&ShortId, &[Location]) -> Result<()>,
) -> Result<()> {
    let broken = |source: IndexError| repository.index_error(source);
    let mut rows: Vec<Location> = Vec::new();
    let mut current = None;
    for (number, chunk) in index.chunks().map_err(broken)?.enumerate() {
        if number % 4096 == 0 {
            cx.cancel.check()?;
        }
        let (id, location) = chunk.map_err(broken)?;
        if let Some(last) = current.filter(|last| *last != id) {
            each(&last, &rows)?;
            rows.clear();
        }
        current = Some(id);
        take(repository, &mut rows, &location);
    }
    current.map_or(Ok(()), |last| each(&last, &rows))
}

/// All rows of one chunk.
pub(super) fn rows_of(repository: &Repository, index: &LocalIndex, id: &ShortId) -> Result<Vec<Location>> {
    let rows = RefCell::new(Vec::new());
    let looked = index.lookup_where(id, &|location| {
        take(repository, &mut rows.borrow_mut(), location);
        false
    });
    looked.map_err(|source| repository.index_error(source))?;
    Ok(rows.into_inner())
}

/// Rows of one witness, each with its place among all rows.
pub(super) type Testimony<'r> = (Option<PrincipalId>, Vec<(usize, &'r Location)>);

/// Rows, by whose word they are.
pub(super) fn by_witness<'r>(repository: &Repository, rows: &'r [Location]) -> Vec<Testimony<'r>> {
    let mut groups: Vec<Testimony<'r>> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let witness = witness(repository, row);
        match groups.iter_mut().find(|(of, _)| *of == witness) {
            Some((_, group)) => group.push((number, row)),
            None => groups.push((witness, vec![(number, row)])),
        }
    }
    groups
}
