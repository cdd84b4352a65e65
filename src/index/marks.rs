//! [`Marks`]: a value for each chunk of the index, for walks that must know what they have met.
//!
//! A set of ids would take fifty bytes for each chunk; this takes the value's own size for each row of the index.

use std::sync::Arc;

use super::run::Run;
use super::{IndexError, LocalIndex};
use crate::format::index::ShortId;

/// A value for each chunk that the index had when this was made. Rows of the same chunk share it.
pub struct Marks<'a, T> {
    index: &'a LocalIndex,
    /// With the number of rows in those before it. They stay, whatever is merged meanwhile.
    runs: Vec<(Arc<Run>, usize)>,
    values: Vec<T>,
}

impl<'a, T: Copy + Default> Marks<'a, T> {
    /// The default value for every chunk.
    pub fn new(index: &'a LocalIndex) -> Self {
        let mut rows = 0;
        let mut runs = Vec::new();
        for run in index.runs().iter() {
            runs.push((Arc::clone(run), rows));
            rows += run.file.header.chunks as usize;
        }
        Self { index, runs, values: vec![T::default(); rows] }
    }

    /// The value of a chunk; nothing, if the index does not have it.
    ///
    /// # Errors
    /// [`IndexError::IndexCacheBroken`]: open the index again.
    pub fn of(&mut self, id: &ShortId) -> Result<Option<&mut T>, IndexError> {
        for (run, rows_before) in &self.runs {
            if let Some(row) = run.first_row(&self.index.cache, id)? {
                return Ok(self.values.get_mut(rows_before + row as usize));
            }
        }
        Ok(None)
    }
}
