//! Dumb named storage: a [`Store`] sees names and sealed bytes, never a key.
//!
//! What the protocol needs of a store: an object that was put is visible to every `list` and `get` that starts after the
//! put returned, and a listing is either whole or an error. Nothing here renames, appends or changes an object.

use std::fmt;
use std::io;

use crate::id::ObjectId;

pub mod contract;
pub mod faulty;
pub mod local;
pub mod memory;

/// The kinds of objects in a repository; each lies in a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Genesis: version, salt, owner keys, constants. The one object with a fixed name.
    Config,
    /// Statements of the owners: generations, principals, bundles.
    Charter,
    /// Key slots.
    Keys,
    /// Packs of data chunks.
    Packs,
    /// Packs of tree chunks.
    Trees,
    /// Index segments.
    Index,
    /// Announced snapshots.
    Pending,
    /// Committed snapshots.
    Snapshots,
    /// Lists of void snapshot ids.
    Forgotten,
    /// Records of prunes.
    Gc,
}

impl ObjectKind {
    /// Every kind, in the order of the table in caddis-format(5).
    pub const ALL: [Self; 10] = [
        Self::Config,
        Self::Charter,
        Self::Keys,
        Self::Packs,
        Self::Trees,
        Self::Index,
        Self::Pending,
        Self::Snapshots,
        Self::Forgotten,
        Self::Gc,
    ];

    /// The folder that objects of this kind lie in; for `Config` the object's whole name.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Charter => "charter",
            Self::Keys => "keys",
            Self::Packs => "packs",
            Self::Trees => "trees",
            Self::Index => "index",
            Self::Pending => "pending",
            Self::Snapshots => "snapshots",
            Self::Forgotten => "forgotten",
            Self::Gc => "gc",
        }
    }

    /// Whether the folder is split into 256 by the first byte of the id.
    pub const fn is_sharded(self) -> bool {
        matches!(self, Self::Packs | Self::Trees)
    }
}

/// The name of one object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    kind: ObjectKind,
    id: ObjectId,
}

impl ObjectName {
    /// The one object that is not named by its hash.
    pub const CONFIG: Self = Self { kind: ObjectKind::Config, id: ObjectId([0; 32]) };

    /// The name of the object of `kind` whose bytes hash to `id`. For `Config`, [`ObjectName::CONFIG`] is the only name.
    pub fn new(kind: ObjectKind, id: impl Into<ObjectId>) -> Self {
        match kind {
            ObjectKind::Config => Self::CONFIG,
            _ => Self { kind, id: id.into() },
        }
    }

    /// The kind of the object.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// The hash of the object's bytes; meaningless for `config`.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Where the object lies below the repository: `config`, `packs/ab/abcd…`, `snapshots/abcd…`.
    pub fn path(&self) -> String {
        let folder = self.kind.folder();
        let id = self.id.to_string();
        match self.kind {
            ObjectKind::Config => folder.to_owned(),
            kind if kind.is_sharded() => format!("{folder}/{}/{id}", &id[..2]),
            _ => format!("{folder}/{id}"),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// Which bytes of an object to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// All of them; an object longer than `limit` is refused before anything is allocated.
    Whole {
        /// The most bytes that the caller accepts.
        limit: u64,
    },
    /// `len` bytes from `offset`; fewer is [`StoreError::Short`].
    At {
        /// From the start of the object.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// The last `len` bytes; fewer is [`StoreError::Short`].
    Last {
        /// How many bytes.
        len: u64,
    },
}

impl ByteRange {
    /// Offset and length of the range in an object of `found` bytes, both within it.
    pub(crate) fn within(self, found: u64) -> Result<(u64, u64), StoreError> {
        match self {
            Self::Whole { limit } if found > limit => Err(StoreError::TooLong { limit, found }),
            Self::Whole { .. } => Ok((0, found)),
            Self::At { offset, len } => match offset.checked_add(len) {
                Some(end) if end <= found => Ok((offset, len)),
                end => Err(StoreError::Short { wanted: end.unwrap_or(u64::MAX), found }),
            },
            Self::Last { len } => match found.checked_sub(len) {
                Some(offset) => Ok((offset, len)),
                None => Err(StoreError::Short { wanted: len, found }),
            },
        }
    }
}

/// One object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its id.
    pub id: ObjectId,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was put, by the clock of the store and as far as the store says so. A host or a copying tool may say anything:
    /// nothing that must be safe may hang on it.
    pub modified: Option<jiff::Timestamp>,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("there is no such object")]
    Absent,
    /// The object is shorter than the bytes asked for.
    #[error("the object ends after {found} bytes, before byte {wanted}")]
    Short {
        /// End of the range asked for.
        wanted: u64,
        /// Length of the object.
        found: u64,
    },
    /// The object is longer than the caller accepts.
    #[error("the object is {found} bytes long; at most {limit} are accepted")]
    TooLong {
        /// The caller's limit.
        limit: u64,
        /// Length of the object.
        found: u64,
    },
    /// The store does not permit it.
    #[error("permission denied")]
    Denied(#[source] io::Error),
    /// The file system is mounted read-only.
    #[error("the file system is read-only")]
    ReadOnly,
    /// The file system or quota is full.
    #[error("no space left")]
    NoSpace,
    /// The disk gives an error for these bytes; others may still be read.
    #[error("the disk cannot read it")]
    Unreadable(#[source] io::Error),
    /// The store cannot be reached.
    #[error("the store cannot be reached")]
    Unreachable(#[source] io::Error),
    /// Anything else.
    #[error("the store failed")]
    Other(#[source] io::Error),
}

/// What begins on a boundary of so many bytes in memory may be written without being copied by the system.
pub const PAGE_BYTES: usize = 4096;

/// Named objects in some place. An object is written once, whole, and is durable when `put` returns.
pub trait Store: Send + Sync {
    /// Where the store is, for messages: a path or a URL without credentials.
    fn location(&self) -> String;

    /// Stores `bytes` under `name`, durably and all or nothing.
    ///
    /// An object that is there already with the same bytes is success; with other bytes it is replaced, because a name is
    /// the hash of its object and what does not fit it is damage. `config` is the exception: it is never replaced, and a
    /// second put with other bytes is [`StoreError::Denied`].
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError>;

    /// Bytes of the object `name`, exactly as many as `range` says.
    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError>;

    /// Every object of `kind`, sorted by id; whole or an error. What is no object name (a temporary, a stray file) is passed
    /// over.
    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError>;

    /// Removes an object; one that is not there is success.
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;

    /// Objects were deleted, so that there may be room again for what a store keeps back for itself.
    fn space_was_freed(&self) {}

    /// Whether [`Listed::modified`] comes from a clock that is not that of whoever puts objects.
    fn has_own_clock(&self) -> bool {
        false
    }
}

/// What points to a store is one.
macro_rules! forward_store {
    ($pointer:ty) => {
        impl<S: Store + ?Sized> Store for $pointer {
            fn location(&self) -> String {
                (**self).location()
            }
            fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
                (**self).put(name, bytes)
            }
            fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
                (**self).get(name, range)
            }
            fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
                (**self).list(kind)
            }
            fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
                (**self).delete(name)
            }
            fn space_was_freed(&self) {
                (**self).space_was_freed();
            }
            fn has_own_clock(&self) -> bool {
                (**self).has_own_clock()
            }
        }
    };
}

forward_store!(Box<S>);
forward_store!(std::sync::Arc<S>);
forward_store!(&S);
