//! [`Error`]: what can go wrong, with the object, the cause, what to do next, and the exit code.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::env::NoRandomness;
use crate::format::name::NameError;
use crate::format::{EncodeError, ObjectError};
use crate::id::{ChunkId, PackId, RepositoryId, SnapshotId};
use crate::index::IndexError;
use crate::keys::kdf::KdfError;
use crate::keys::keyring::Rights;
use crate::store::local::OpenError;
use crate::store::{ObjectKind, ObjectName, StoreError};

/// Result of the library.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no repository where one is looked for.
    #[error("no repository at {location}")]
    NoRepository {
        /// Where.
        location: String,
        /// What is there instead.
        source: OpenError,
    },
    /// The place of a repository cannot be used.
    #[error("cannot use {location}")]
    Place {
        /// Where.
        location: String,
        /// Why not.
        source: OpenError,
    },
    /// There is a repository already where one should be made.
    #[error("there is a repository already at {location}")]
    RepositoryExists {
        /// Where.
        location: String,
    },
    /// This machine knows of a repository at a place where there is none now.
    #[error("this machine has used a repository at {location}, and none is there now")]
    RepositoryGone {
        /// Where.
        location: String,
    },
    /// Another repository than this machine knows stands at a place.
    #[error("the repository at {location} is not the one this machine knows: id {found}, not {pinned}")]
    RepositoryChanged {
        /// Where.
        location: String,
        /// The id at first contact.
        pinned: RepositoryId,
        /// The id now.
        found: RepositoryId,
    },
    /// What this machine has seen in a repository is not there any more, and nobody has forgotten it.
    #[error("the repository at {location} was rolled back, or part of it is withheld: it lacks {}, seen there before", missing(.snapshots, *.statements))]
    Withheld {
        /// Where.
        location: String,
        /// Snapshots that are missing.
        snapshots: Vec<SnapshotId>,
        /// How many statements of its charter are missing.
        statements: usize,
    },
    /// No slot opens with what was given.
    #[error("no key slot of {location} opens with this {what}")]
    WrongKey {
        /// Where.
        location: String,
        /// Passphrase or key file.
        what: &'static str,
    },
    /// A slot opened, but the charter holds no bundle for it.
    #[error("key slot {slot} opens, but {location} holds no bundle for it")]
    NoBundle {
        /// Where.
        location: String,
        /// Which slot.
        slot: String,
    },
    /// The key at hand does not permit what was asked.
    #[error("this key may not {right}")]
    NotPermitted {
        /// The right that is missing.
        right: Rights,
    },
    /// The last slot would be removed, and nobody could open the repository again.
    #[error("key slot {slot} is the only one left")]
    LastSlot {
        /// Which.
        slot: String,
    },
    /// No slot has this id, or several have.
    #[error("{} an id that begins with `{wanted}`", slots_with(*.found))]
    NoSuchSlot {
        /// What was asked for.
        wanted: String,
        /// How many fit.
        found: usize,
    },
    /// Something was sealed under keys that an owner has made since.
    #[error("{object} is sealed under generation {generation}, whose keys this key does not hold")]
    NewGeneration {
        /// Which object.
        object: ObjectName,
        /// Its generation.
        generation: u32,
    },
    /// The slot that opened the repository would be removed.
    #[error("key slot {slot} is the one that opened the repository just now")]
    SlotInUse {
        /// Which.
        slot: String,
    },
    /// More objects of a kind than the format allows.
    #[error("{location} holds {found} {what}; at most {limit} are allowed")]
    TooMany {
        /// Of which kind.
        what: &'static str,
        /// Where.
        location: String,
        /// How many there are, or would be.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A passphrase or its cost cannot be used.
    #[error("cannot derive a key from the passphrase")]
    Kdf(#[from] KdfError),
    /// A store did not do what it was asked.
    #[error("cannot {action} {object} at {location}")]
    Store {
        /// Put, get, delete.
        action: &'static str,
        /// Which object.
        object: ObjectName,
        /// Where.
        location: String,
        /// Why.
        source: StoreError,
    },
    /// A listing failed; there is no such thing as half a listing.
    #[error("cannot list {}/ at {location}", .kind.folder())]
    List {
        /// What was listed.
        kind: ObjectKind,
        /// Where.
        location: String,
        /// Why.
        source: StoreError,
    },
    /// An object's bytes are not what its name says.
    #[error("{object} is damaged: its bytes do not have the hash that is its name")]
    WrongHash {
        /// Which object.
        object: ObjectName,
    },
    /// An object cannot be understood or trusted.
    #[error("{object} cannot be used")]
    Object {
        /// Which object.
        object: ObjectName,
        /// Why.
        source: ObjectError,
    },
    /// An object could not be made.
    #[error("cannot make {what}")]
    Encode {
        /// What.
        what: &'static str,
        /// Why.
        source: EncodeError,
    },
    /// A chunk that something needs is in no pack of the index.
    #[error("chunk {id} is in no pack")]
    MissingChunk {
        /// Which.
        id: ChunkId,
    },
    /// A snapshot cannot be followed to all that it needs, so that nobody can say what is needed no longer.
    #[error("snapshot {} is damaged, so that nobody can say what else it needs", .snapshot.short())]
    BrokenRoot {
        /// Which.
        snapshot: SnapshotId,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A block does not give what the index says.
    #[error("block {ordinal} of pack {pack} is damaged: {reason}")]
    DamagedBlock {
        /// Position in the pack.
        ordinal: u32,
        /// Which pack.
        pack: PackId,
        /// What is wrong.
        reason: String,
    },
    /// A chunk has its own id, but holds nonsense.
    #[error("chunk {id} is malformed: {reason}")]
    MalformedChunk {
        /// Which.
        id: ChunkId,
        /// What is wrong.
        reason: String,
    },
    /// The self-check after sealing failed: memory or processor of this machine are at fault.
    #[error("a sealed block does not open again: memory or processor of this machine gave wrong results")]
    SelfCheck,
    /// The local index failed.
    #[error("the local index at {} failed", .path.display())]
    Index {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: IndexError,
    },
    /// Nothing that was named could be read, so there is no snapshot.
    #[error("nothing was saved: none of the sources was there, could be read, and is of a kind that is saved")]
    NothingSaved,
    /// A source is not an absolute path, or holds what is no name.
    #[error("cannot back up {}", .path.display())]
    BadSource {
        /// Which.
        path: PathBuf,
        /// Why.
        source: NameError,
    },
    /// The restore target holds something already.
    #[error("{} is not empty", .path.display())]
    TargetNotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// A file would be restored to where there is something already.
    #[error("{} exists already", .path.display())]
    TargetExists {
        /// What is in the way.
        path: PathBuf,
        /// Whether it could be replaced, if that was asked for.
        can_overwrite: bool,
    },
    /// So much lies below the target that nobody deletes from it by mistake.
    #[error("{} {what}", .path.display())]
    TargetGuarded {
        /// Which.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A policy would forget all snapshots of a group.
    #[error("this policy keeps none of the {snapshots} snapshots of {group}")]
    KeepsNothing {
        /// What they have in common, as people write it.
        group: String,
        /// How many there are.
        snapshots: usize,
    },
    /// No snapshot fits what was asked for.
    #[error("no snapshot `{wanted}`")]
    NoSuchSnapshot {
        /// What was asked for.
        wanted: String,
    },
    /// No pack fits what was asked for.
    #[error("no pack `{wanted}`")]
    NoSuchPack {
        /// What was asked for.
        wanted: String,
    },
    /// Packs that a snapshot needs have to be named before what is lost can be told.
    #[error("a snapshot needs {object}, and no index segment names it")]
    Unnamed {
        /// One of them.
        object: ObjectName,
    },
    /// Several snapshots fit what was asked for.
    #[error("`{wanted}` could be any of {} snapshots: {}", .found.len(), list_short(.found))]
    AmbiguousSnapshot {
        /// What was asked for.
        wanted: String,
        /// Which fit.
        found: Vec<SnapshotId>,
    },
    /// A snapshot holds no such path.
    #[error("snapshot {snapshot} holds no {path}")]
    NoSuchPath {
        /// Short id.
        snapshot: String,
        /// As people write it.
        path: String,
    },
    /// A snapshot that shall be brought back was never forgotten.
    #[error("snapshot {snapshot} is not forgotten")]
    NotForgotten {
        /// Short id.
        snapshot: String,
    },
    /// No snapshot that was forgotten fits what was asked for.
    #[error("no forgotten snapshot has an id that begins with `{wanted}`")]
    NoSuchForgotten {
        /// What was asked for.
        wanted: String,
    },
    /// What a forgotten snapshot is made of has been pruned.
    #[error("too late to bring back snapshot {snapshot}: a prune has taken what it is made of")]
    TooLate {
        /// Short id.
        snapshot: String,
        /// What is missing of it, if anything is left.
        source: Option<Box<Error>>,
    },
    /// A path is not of the kind that is wanted.
    #[error("{path} in snapshot {snapshot} is not a {wanted}")]
    WrongKind {
        /// Short id.
        snapshot: String,
        /// As people write it.
        path: String,
        /// File or folder.
        wanted: &'static str,
    },
    /// A file or folder of this machine could not be used.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was asked for could not be written to where it was asked for.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// Words that make no sense, found after the command line was read.
    #[error("{0}")]
    Usage(String),
    /// SIGINT, SIGTERM, or a time budget that ran out.
    #[error("interrupted")]
    Interrupted,
    /// The system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// A writer that failed before is asked again.
    #[error(transparent)]
    Spent(Arc<Error>),
    /// Prunes condemned what each attempt relied on, again and again.
    #[error("gave up after {0} attempts, each overtaken by a prune")]
    Overtaken(u32),
}

fn slots_with(found: usize) -> String {
    if found == 0 { "no key slot has".to_owned() } else { format!("{found} key slots have") }
}

fn list_short(ids: &[SnapshotId]) -> String {
    ids.iter().map(SnapshotId::short).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// Why there is no store at a place, sorted into what a user would call it.
    pub fn at_place(location: String, source: OpenError) -> Self {
        match source {
            OpenError::Absent { .. }
            | OpenError::Empty { .. }
            | OpenError::NotARepository { .. }
            | OpenError::NoConfig { .. } => Self::NoRepository { location, source },
            OpenError::Exists { .. } => Self::RepositoryExists { location },
            _ => Self::Place { location, source },
        }
    }

    /// The exit code of a command that ends with this error; the table stands in caddis(1).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::LastSlot { .. }
            | Self::SlotInUse { .. }
            | Self::KeepsNothing { .. }
            | Self::TargetNotEmpty { .. }
            | Self::TargetExists { .. }
            | Self::TargetGuarded { .. } => 9,
            Self::NoRepository { .. } | Self::RepositoryGone { .. } => 10,
            Self::WrongKey { .. } => 12,
            Self::NotPermitted { .. } | Self::NewGeneration { .. } => 13,
            Self::RepositoryChanged { .. } | Self::Withheld { .. } => 16,
            Self::Interrupted => 130,
            Self::Store { source, .. } | Self::List { source, .. } => store_exit_code(source),
            Self::Place { source: OpenError::Failed { source, .. }, .. } => store_exit_code(source),
            Self::Io { source, .. } if is_full(source) => 15,
            Self::Spent(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// What the user can do next, in one sentence, when there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoRepository { location, source } => match source {
                OpenError::Empty { .. } => format!(
                    "the folder is empty: is the disk mounted? if it should be a new repository: `caddis init -r {location}`"
                ),
                OpenError::NotARepository { .. } => {
                    "is it the right folder? a repository has a file `config`; a new one needs a folder that is new or empty".into()
                }
                _ => format!("create one with `caddis init -r {location}`"),
            },
            Self::RepositoryGone { location } => format!(
                "is the disk mounted? if the old repository is really gone, make a new one with `caddis init -r {location}`"
            ),
            Self::RepositoryExists { .. } => "choose another place, or use the repository that is there".into(),
            Self::RepositoryChanged { .. } => {
                "if you put it there yourself, say so once with `--accept-rollback`".into()
            }
            Self::Withheld { .. } => {
                "if you put an older copy there yourself, say so once with `--accept-rollback`; if not, \
                ask who runs the storage, and keep a copy of what there is"
                    .into()
            }
            Self::WrongKey { .. } => "try another passphrase or key file".into(),
            Self::NotPermitted { .. } => "use a key with more rights".into(),
            Self::SlotInUse { .. } => "open the repository with the key that stays".into(),
            Self::NewGeneration { .. } => "use a key that an owner has renewed since".into(),
            Self::LastSlot { .. } => "add another key first with `caddis key add`".into(),
            Self::NoSuchSlot { .. } => "`caddis key list` shows the slots".into(),
            Self::TargetNotEmpty { .. } => {
                "restore into a new or empty folder, or say by `--overwrite` what becomes of what is there".into()
            }
            Self::TargetExists { can_overwrite: true, .. } => {
                "choose another name, or say by `--overwrite` what becomes of what is there".into()
            }
            Self::TargetExists { can_overwrite: false, .. } => "choose another name".into(),
            Self::TargetGuarded { .. } => "if `--delete` shall work there, say so with `--yes`".into(),
            Self::KeepsNothing { .. } => "keep more, or say with `--allow-empty` that all of them shall go".into(),
            Self::NoSuchSnapshot { .. } => "`caddis snapshots` lists what there is".into(),
            Self::NotForgotten { .. } | Self::NoSuchForgotten { .. } => {
                "`caddis snapshots --forgotten` lists what can be brought back".into()
            }
            Self::NoSuchPack { .. } => "`caddis check --read-data` names packs that are damaged".into(),
            Self::Unnamed { .. } => "run `caddis repair index` first: nothing of that is lost".into(),
            Self::AmbiguousSnapshot { .. } => "give more digits of the id".into(),
            Self::NoSuchPath { snapshot, .. } => format!("`caddis ls {snapshot}` lists what it holds"),
            Self::BrokenRoot { .. } => {
                "nothing was deleted; `caddis check` says what is lost: forget the snapshot, or bring back what it lacks"
                    .into()
            }
            Self::WrongHash { object } if object.kind() == ObjectKind::Snapshots => format!(
                "put the object back from a copy of the repository, or give the snapshot up with `caddis prune --drop-pending {}`",
                object.id()
            ),
            Self::MissingChunk { .. } | Self::DamagedBlock { .. } | Self::WrongHash { .. } => {
                "run `caddis check --read-data` to see what else is affected".into()
            }
            Self::Object { object, source } if *object == ObjectName::CONFIG && !source.is_newer() => {
                "put back the file `config` from a copy of the repository: nothing opens without it".into()
            }
            Self::Object { source, .. } if source.is_newer() => "install a newer version of caddis".into(),
            Self::SelfCheck => "test the memory of this machine; nothing wrong was stored".into(),
            Self::Store { source, location, .. } | Self::List { source, location, .. } => {
                return store_hint(source, location);
            }
            Self::Place { source: OpenError::Failed { source, .. }, location } => return store_hint(source, location),
            Self::Place { source: OpenError::Denied { .. }, location } => {
                format!("run caddis as the user who owns {location}")
            }
            Self::Place { source: OpenError::NotEmpty { .. }, .. } => "a new repository needs a folder that is new or empty".into(),
            Self::Io { source, .. } if is_full(source) => "make room on the disk and try again".into(),
            Self::Spent(error) => return error.hint(),
            _ => return None,
        };
        Some(hint)
    }
}

fn store_exit_code(error: &StoreError) -> u8 {
    match error {
        StoreError::Unreachable(_) => 14,
        StoreError::NoSpace => 15,
        _ => 1,
    }
}

fn store_hint(error: &StoreError, location: &str) -> Option<String> {
    match error {
        StoreError::NoSpace => Some(format!("make room at {location}; what was saved before is whole")),
        StoreError::ReadOnly => Some(format!("mount the file system of {location} for writing")),
        StoreError::Denied(_) => Some(format!("run caddis as the user who owns {location}")),
        StoreError::Unreachable(_) => Some(format!("see whether {location} is mounted and its disk healthy")),
        _ => None,
    }
}

/// Snapshots that are named when many are missing.
const NAMED_MAX: usize = 5;

/// What was there once, the first few by name.
fn missing(snapshots: &[SnapshotId], statements: usize) -> String {
    let names: Vec<String> = snapshots.iter().take(NAMED_MAX).map(SnapshotId::short).collect();
    let more = snapshots.len() - names.len();
    let mut missing = Vec::new();
    match snapshots {
        [] => {}
        [_] => missing.push(format!("snapshot {}", names.join(""))),
        _ if more == 0 => missing.push(format!("snapshots {}", names.join(", "))),
        _ => missing.push(format!("snapshots {} and {more} more", names.join(", "))),
    }
    match statements {
        0 => {}
        1 => missing.push("a statement of its charter".to_owned()),
        count => missing.push(format!("{count} statements of its charter")),
    }
    missing.join(" and ")
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The message with all its causes, joined by `: `.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        if !text.ends_with(&own) {
            text.push_str(": ");
            text.push_str(&own);
        }
        cause = error.source();
    }
    text
}
