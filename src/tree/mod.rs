//! Folders, contents and tables as Merkle trees of chunks: [`build`] cuts and stores them, [`read`] walks them, [`closure`] finds
//! every chunk that a snapshot needs.

pub mod build;
pub mod closure;
pub mod links;
pub mod read;
pub mod xattrs;
