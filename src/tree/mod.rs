//! Folders, contents and tables as Merkle trees of chunks: [`build`] cuts and stores them, [`read`] walks them.

pub mod build;
pub mod read;
