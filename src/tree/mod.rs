//! Folders, contents and tables as Merkle trees of chunks: [`build`] cuts and stores them, [`read`] and [`nodes`] walk them,
//! [`closure`] finds every chunk that a snapshot needs.

pub mod build;
pub mod closure;
pub mod links;
pub mod nodes;
pub mod read;
pub mod xattrs;
