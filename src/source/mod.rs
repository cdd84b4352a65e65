//! The live file system, read side: folders by handle, entries by name within them.
//!
//! Every look at an entry is relative to the handle of its folder and follows no symlink, so that a tree changing
//! underneath can give errors but never entries from elsewhere. What is backed up is for [`crate::select`] to say; [`Choice`]
//! asks it.
//!
//! Reading leaves no trace where the system allows that (`O_NOATIME`), and FIFOs and devices are never opened for
//! reading: both can block, and opening a device can act on it.

pub mod choice;
pub mod extents;
pub mod folder;
pub mod metadata;
pub mod scan;
pub mod why;
pub(crate) mod xattrs;

pub use choice::{Choice, LeftOut};
pub use extents::{Extent, Extents};
pub use folder::{Folder, Names};
pub use metadata::{EntryKind, FileSystem, OwnerNames, Stat};
pub use scan::{Ahead, Entry, Listing, Scan, scan};
pub use why::{Answer, why};
pub use xattrs::xattrs_of;
