//! [`Catalog`]: what this machine remembers of what it has saved and checked, in an SQLite database in the cache folder.
//!
//! Deleting it loses nothing, and it is never authority: what it says of a file is used only while the file looks the same,
//! and the chunks it names must be in the repository. Every row is
//! authenticated under a key of the repository's own, so that neither a disk nor a foreign database can put words into it.
//!
//! # What is believed without a look-up
//!
//! A row names chunks: of contents, of folders. Before a snapshot takes them over unread, each must be known to lie in a pack
//! that may be relied on. Instead of asking the index for every one, the catalog keeps with each source the packs that the
//! runs which wrote the rows below it relied on. While all of these are in the index, there, and not condemned, everything
//! that the rows name is; the new snapshot relies on the same packs, so that whatever is condemned before it is committed
//! sends it round again like any other. A set of packs rather than the names in `gc/` at that time: a prune that condemned
//! something else then costs this machine nothing.
//!
//! That holds as long as the set covers every committed row below the source, whichever run wrote it: see
//! [`Catalog::save`]. Rows of a run that was not committed are marked as such and always looked up.
//!
//! Nobody waits for it: a database that is busy is not read, or not saved, and one that is broken is made anew. It is not
//! synced: after a power cut it may be broken, and is made anew.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::format::name::TreePath;
use crate::id::{ID_LEN, PackId};

mod proofs;
pub mod row;
mod staging;

use row::{FolderIdentity, MalformedRow, PartReader};
use staging::{Change, Staging};

/// What SQLite calls the kind of a database: "cadd" in ASCII.
const APPLICATION_ID: i32 = 0x6361_6464;

/// Of tables and rows, and of the nodes that rows hold. A catalog of another version is made anew.
const VERSION: i32 = 3;

/// Longer than any save takes, and short enough that nobody notices.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest path of a folder that has a row. In a very deep tree the paths would be more than all the rest.
const KEY_BYTES_MAX: usize = 4096;

/// Rows that are read at a time.
const PAGE_ROWS: u32 = 256;

/// Folders that may have the same inode number, on several file systems.
const MOVED_MAX: u32 = 16;

/// Bytes of the authenticator in front of a row.
const MAC_LEN: usize = 16;

const SCHEMA: &str = "
    CREATE TABLE folders (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        part INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (key, part)
    );
    CREATE INDEX folders_by_inode ON folders (inode) WHERE part = 0;
    CREATE TABLE whole (key BLOB PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE totals (sources BLOB PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL);
    CREATE TABLE owners (is_group INTEGER NOT NULL, id INTEGER NOT NULL, name BLOB, PRIMARY KEY (is_group, id));
    CREATE TABLE proofs (pack BLOB PRIMARY KEY, data BLOB NOT NULL);
";

/// Why the catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// SQLite says no.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// Its file or folder cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The catalog of one user for one repository.
pub struct Catalog {
    database: Connection,
    folder: PathBuf,
    key: [u8; 32],
    /// What other runs had noted when this one began.
    known_at_start: Vec<(RowKey, Vec<PackId>)>,
    broken: RefCell<Option<String>>,
}

/// The key of a folder's row: rows in the order of their keys are folders in the order of a walk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey(Vec<u8>);

impl RowKey {
    /// Nothing for a path that is too long.
    pub fn of(path: &TreePath) -> Option<Self> {
        let path = path.as_bytes();
        // No name holds a NUL, and nothing comes before it.
        (path.len() <= KEY_BYTES_MAX).then(|| Self(path.iter().map(|&b| if b == b'/' { 0 } else { b }).collect()))
    }

    /// The path that it stands for.
    pub fn path(&self) -> Option<TreePath> {
        let path: Vec<u8> = self.0.iter().map(|&b| if b == 0 { b'/' } else { b }).collect();
        TreePath::from_bytes(&path).ok()
    }

    fn holds(&self, other: &[u8]) -> bool {
        self.0.is_empty()
            || other.strip_prefix(&self.0[..]).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&0))
    }

    /// The first key behind all that lies below.
    fn end(&self) -> Vec<u8> {
        if self.0.is_empty() { vec![u8::MAX; KEY_BYTES_MAX + 1] } else { [&self.0[..], &[1]].concat() }
    }
}

/// One key for several sources.
fn together(sources: &[RowKey]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    for RowKey(key) in sources {
        hasher.update(&(key.len() as u64).to_le_bytes()).update(key);
    }
    hasher.finalize().as_bytes().to_vec()
}

/// A part of a row.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whether the snapshot that it belongs to was committed. Until then nothing keeps its chunks alive.
    pub is_committed: bool,
    /// What it holds.
    pub reader: PartReader,
}

/// A name of an owner as the catalog knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerName {
    /// Whether it is a group and not a user.
    pub is_group: bool,
    /// Its number.
    pub id: u32,
    /// Its name, if it had one.
    pub name: Option<Vec<u8>>,
}

impl Catalog {
    /// Opens the catalog in `folder`, and makes it if there is none, or none that can be used. `key` **must be one
    /// repository's own**.
    ///
    /// # Errors
    /// The folder cannot be written, or another process is busy with the catalog.
    pub fn open(folder: &Path, key: [u8; 32]) -> Result<Self, CatalogError> {
        let opened = Self::open_once(folder, key);
        match opened {
            Err(CatalogError::Database(error)) if !is_busy(&error) => {
                Self::discard(folder)?;
                Self::open_once(folder, key)
            }
            opened => opened,
        }
    }

    fn open_once(folder: &Path, key: [u8; 32]) -> Result<Self, CatalogError> {
        let path = Self::path(folder);
        // SQLite would let everybody read it.
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let mut database = Connection::open(&path)?;
        database.busy_timeout(BUSY_TIMEOUT)?;
        database.pragma_update(None, "synchronous", "OFF")?;
        database.pragma_update(None, "trusted_schema", false)?;
        database.pragma_update(None, "cell_size_check", true)?;
        let number = |name: &str| database.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => {}
            (0, 0) => create_tables(&mut database)?,
            // Of another version or another program.
            _ => return Err(rusqlite::Error::InvalidQuery.into()),
        }
        let (folder, broken) = (folder.to_path_buf(), RefCell::new(None));
        let mut catalog = Self { database, folder, key, known_at_start: Vec::new(), broken };
        catalog.known_at_start = catalog.read_whole(&catalog.database)?;
        Ok(catalog)
    }

    fn path(folder: &Path) -> PathBuf {
        folder.join("catalog.sqlite")
    }

    /// Removes the catalog in `folder`.
    fn discard(folder: &Path) -> io::Result<()> {
        for name in ["catalog.sqlite", "catalog.sqlite-journal"] {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it holds any row of what lies below `source`, or of itself.
    pub fn knows(&self, source: &RowKey) -> bool {
        let query = "SELECT 1 FROM folders WHERE key >= ?1 AND key < ?2 LIMIT 1";
        self.ask(|database| {
            let mut query = database.prepare_cached(query)?;
            Ok(query.query_row(params![source.0, source.end()], |_| Ok(())).optional()?.is_some())
        })
        .unwrap_or(false)
    }

    /// How many items and bytes the last committed run over these sources found. For people only: nothing vouches for them.
    pub fn totals(&self, sources: &[RowKey]) -> Option<(u64, u64)> {
        let numbers = self.ask(|database| {
            let mut query = database.prepare_cached("SELECT items, bytes FROM totals WHERE sources = ?1")?;
            query.query_row(params![together(sources)], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        });
        let (items, bytes): (i64, i64) = numbers.flatten()?;
        Some((u64::try_from(items).ok()?, u64::try_from(bytes).ok()?))
    }

    /// The packs that hold all chunks of what the committed rows below `source` name. Several sets, if several sources that
    /// were saved lie above: each one is enough.
    pub fn packs_behind(&self, source: &RowKey) -> Vec<Vec<PackId>> {
        let known = self.ask(|database| self.read_whole(database)).unwrap_or_default();
        known.into_iter().filter(|(key, _)| key.holds(&source.0)).map(|(_, packs)| packs).collect()
    }

    fn read_whole(&self, database: &Connection) -> rusqlite::Result<Vec<(RowKey, Vec<PackId>)>> {
        let mut query = database.prepare_cached("SELECT key, data FROM whole")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let mut known = Vec::new();
        for row in rows {
            let (key, data) = row?;
            if let Some(packs) = self.proved(&key, u32::MAX, &data) {
                let packs = packs.chunks_exact(ID_LEN).filter_map(|id| id.first_chunk().copied().map(PackId));
                known.push((RowKey(key), packs.collect()));
            }
        }
        Ok(known)
    }

    /// The part `number` of a folder's row.
    pub fn part(&self, key: &RowKey, number: u32) -> Option<Part> {
        let data = self.ask(|database| {
            let mut query = database.prepare_cached("SELECT data FROM folders WHERE key = ?1 AND part = ?2")?;
            query.query_row(params![key.0, number], |row| row.get::<_, Vec<u8>>(0)).optional()
        });
        self.opened(&key.0, number, &data??)
    }

    /// Keys of the folders that were this one, wherever they were.
    pub fn find_moved(&self, identity: &FolderIdentity) -> Vec<RowKey> {
        let keys = self.ask(|database| {
            let query = "SELECT key FROM folders WHERE inode = ?1 AND part = 0 LIMIT ?2";
            let mut query = database.prepare_cached(query)?;
            let keys = query.query_map(params![identity.ino.cast_signed(), MOVED_MAX], |row| row.get(0))?;
            keys.map(|key| key.map(RowKey)).collect::<Result<Vec<_>, _>>()
        });
        let is_same = |key: &RowKey| self.part(key, 0).is_some_and(|part| part.reader.identity == Some(*identity));
        keys.unwrap_or_default().into_iter().filter(is_same).collect()
    }

    /// The names that owners had when the nodes in its rows were made.
    pub fn owners(&self) -> Vec<OwnerName> {
        let owners = self.ask(|database| {
            let mut query = database.prepare_cached("SELECT is_group, id, name FROM owners")?;
            let owner =
                |row: &rusqlite::Row<'_>| Ok(OwnerName { is_group: row.get(0)?, id: row.get(1)?, name: row.get(2)? });
            query.query_map([], owner)?.collect::<Result<Vec<_>, _>>()
        });
        owners.unwrap_or_default()
    }

    /// Why the catalog stopped to answer, if it did.
    pub fn broken(&self) -> Option<String> {
        self.broken.borrow().clone()
    }

    /// Asks the database; from the first error on it is not asked any more.
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        if self.broken.borrow().is_some() {
            return None;
        }
        match question(&self.database) {
            Ok(answer) => Some(answer),
            Err(error) => {
                *self.broken.borrow_mut() = Some(error.to_string());
                None
            }
        }
    }

    fn opened(&self, key: &[u8], number: u32, data: &[u8]) -> Option<Part> {
        let open = || {
            let (&committed, body) = self.proved(key, number, data)?.split_first()?;
            let reader = PartReader::new(body.to_vec(), number).ok()?;
            Some(Part { is_committed: committed == 1, reader })
        };
        let part = open();
        if part.is_none() {
            *self.broken.borrow_mut() = Some(MalformedRow.to_string());
        }
        part
    }

    /// What stands behind the authenticator, if that holds.
    fn proved<'d>(&self, key: &[u8], number: u32, data: &'d [u8]) -> Option<&'d [u8]> {
        let (mac, data) = data.split_at_checked(MAC_LEN)?;
        let wanted = self.mac(key, number, data);
        // Whoever can try out authenticators here can write the cache of this user anyway; no need to compare in constant
        // time.
        (*mac == wanted[..]).then_some(data)
    }

    fn mac(&self, key: &[u8], number: u32, data: &[u8]) -> [u8; MAC_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(&number.to_le_bytes()).update(data);
        *hasher.finalize().as_bytes().first_chunk().expect("a hash is longer")
    }

    fn authenticated(&self, key: &[u8], number: u32, data: &[&[u8]]) -> Vec<u8> {
        let data = data.concat();
        [&self.mac(key, number, &data)[..], &data].concat()
    }

    /// Saves what a run has found in one transaction. A catalog that turned out broken is made anew.
    ///
    /// # Errors
    /// Nothing is saved then: another process is busy with the catalog, the disk is full, or not all changes are there.
    pub fn save(self, mut changes: Changes, outcome: &Outcome, owners: &[OwnerName]) -> Result<(), CatalogError> {
        // Half of them would leave rows of what is gone, which the new packs do not vouch for.
        if let Some(failure) = changes.failure.take() {
            return Err(failure.into());
        }
        if self.broken().is_none() {
            match self.try_save(changes, outcome, owners) {
                Err(CatalogError::Database(error)) if !is_busy(&error) => Self::discard(&self.folder)?,
                saved => return saved,
            }
        } else {
            return self.made_anew()?.try_save(changes, outcome, owners);
        }
        Ok(())
    }

    /// An empty one in its place.
    fn made_anew(self) -> Result<Self, CatalogError> {
        let Self { folder, key, database, .. } = self;
        drop(database);
        Self::discard(&folder)?;
        Self::open_once(&folder, key)
    }

    fn try_save(&self, changes: Changes, outcome: &Outcome, owners: &[OwnerName]) -> Result<(), CatalogError> {
        let transaction = Transaction::new_unchecked(&self.database, TransactionBehavior::Immediate)?;
        {
            let mut remove = transaction.prepare("DELETE FROM folders WHERE key = ?1")?;
            let insert = "INSERT OR REPLACE INTO folders (key, part, inode, data) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = transaction.prepare(insert)?;
            let committed = [u8::from(matches!(outcome, Outcome::Committed { .. }))];
            changes.staging.read(|change| {
                let changed = match change {
                    Change::Remove { key } => remove.execute(params![key]),
                    Change::Put { key, part, ino, data } => {
                        let first = if part == 0 { remove.execute(params![key]) } else { Ok(0) };
                        let data = self.authenticated(&key, part, &[&committed, &data]);
                        first.and_then(|_| insert.execute(params![key, part, ino.cast_signed(), data]))
                    }
                };
                changed.map(|_| ()).map_err(CatalogError::from)
            })?;
        }
        if let Outcome::Committed { sources, packs, items, bytes } = outcome {
            self.mark_whole(&transaction, sources, packs)?;
            let number = |number: &u64| i64::try_from(*number).unwrap_or(i64::MAX);
            transaction.execute(
                "INSERT OR REPLACE INTO totals (sources, items, bytes) VALUES (?1, ?2, ?3)",
                params![together(sources), number(items), number(bytes)],
            )?;
        }
        let mut name = transaction.prepare("INSERT OR REPLACE INTO owners (is_group, id, name) VALUES (?1, ?2, ?3)")?;
        let known = self.owners();
        for owner in owners.iter().filter(|owner| !known.contains(owner)) {
            name.execute(params![owner.is_group, owner.id, owner.name])?;
        }
        drop(name);
        Ok(transaction.commit()?)
    }

    /// Notes that what lies below `sources` is held by `packs`.
    ///
    /// Another run may have written rows since this one began, below the same sources or beside them, and noted its packs:
    /// what was noted since then counts as well, for it and for what it overlaps.
    fn mark_whole(
        &self,
        transaction: &Transaction<'_>,
        sources: &[RowKey],
        packs: &BTreeSet<PackId>,
    ) -> Result<(), CatalogError> {
        let known = self.read_whole(transaction)?;
        let overlaps = |a: &RowKey, b: &RowKey| a.holds(&b.0) || b.holds(&a.0);
        let mut put = transaction.prepare("INSERT OR REPLACE INTO whole (key, data) VALUES (?1, ?2)")?;
        let mut note = |key: &RowKey, packs: &BTreeSet<PackId>| {
            if known.iter().any(|(other, held)| other == key && held.iter().eq(packs)) {
                return Ok(0);
            }
            let ids: Vec<u8> = packs.iter().flat_map(|id| id.0).collect();
            put.execute(params![key.0, self.authenticated(&key.0, u32::MAX, &[&ids])])
        };
        for source in sources {
            let since = known.iter().filter(|known| overlaps(&known.0, source) && !self.known_at_start.contains(known));
            let packs: BTreeSet<PackId> = packs.iter().chain(since.flat_map(|(_, packs)| packs)).copied().collect();
            note(source, &packs)?;
        }
        for (key, held) in &known {
            if !sources.contains(key) && sources.iter().any(|source| overlaps(key, source)) {
                note(key, &held.iter().chain(packs).copied().collect())?;
            }
        }
        Ok(())
    }
}

fn create_tables(database: &mut Connection) -> rusqlite::Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Somebody else may have been faster.
    if transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))? == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly))
}

/// How the run ended that found what is to be saved.
pub enum Outcome {
    /// Its snapshot was committed: what lies below these sources is whole as long as these packs are.
    Committed {
        /// What was saved.
        sources: Vec<RowKey>,
        /// Where all chunks of that lie.
        packs: BTreeSet<PackId>,
        /// Items that were found.
        items: u64,
        /// Bytes of the files among them.
        bytes: u64,
    },
    /// There is no snapshot that keeps the chunks alive.
    Unfinished,
}

/// Rows of a run, to be saved at its end.
pub struct Changes {
    staging: Staging,
    failure: Option<io::Error>,
}

impl Changes {
    /// None yet; what is too much for memory goes to `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { staging: Staging::new(folder), failure: None }
    }

    /// The folder has no row any longer.
    pub fn remove(&mut self, key: RowKey) {
        self.add(&Change::Remove { key: key.0 });
    }

    /// A part of a folder's row; the first replaces what there was.
    pub fn put(&mut self, key: &RowKey, part: u32, ino: u64, data: Vec<u8>) {
        self.add(&Change::Put { key: key.0.clone(), part, ino, data });
    }

    fn add(&mut self, change: &Change) {
        if self.failure.is_none() {
            self.failure = self.staging.add(change).err();
        }
    }
}

/// The rows below one source, in the order of a walk.
pub struct Rows {
    from: Vec<u8>,
    /// Whether the row at `from` was read already.
    is_behind: bool,
    end: Vec<u8>,
    page: VecDeque<(RowKey, Option<Part>)>,
    is_last_page: bool,
}

impl Rows {
    /// All rows of `source` and below.
    pub fn below(source: &RowKey) -> Self {
        Self { from: source.0.clone(), is_behind: false, end: source.end(), page: VecDeque::new(), is_last_page: false }
    }

    /// The first part of the row at `key`, which **must come behind** all that was asked for before. What lies between was
    /// not asked for, and is handed to `passed`.
    pub fn seek(&mut self, catalog: &Catalog, key: &RowKey, mut passed: impl FnMut(RowKey)) -> Option<Part> {
        while let Some((next, part)) = self.next(catalog) {
            if next < *key {
                passed(next);
            } else if next == *key {
                return part;
            } else {
                self.page.push_front((next, part));
                break;
            }
        }
        None
    }

    /// Hands all that was not asked for to `passed`.
    pub fn finish(mut self, catalog: &Catalog, mut passed: impl FnMut(RowKey)) {
        while let Some((next, _)) = self.next(catalog) {
            passed(next);
        }
    }

    fn next(&mut self, catalog: &Catalog) -> Option<(RowKey, Option<Part>)> {
        if self.page.is_empty() && !self.is_last_page {
            self.read_page(catalog);
        }
        self.page.pop_front()
    }

    fn read_page(&mut self, catalog: &Catalog) {
        const FROM: &str =
            "SELECT key, data FROM folders WHERE key >= ?1 AND key < ?2 AND part = 0 ORDER BY key LIMIT ?3";
        const BEHIND: &str =
            "SELECT key, data FROM folders WHERE key > ?1 AND key < ?2 AND part = 0 ORDER BY key LIMIT ?3";
        let rows = catalog.ask(|database| {
            let mut query = database.prepare_cached(if self.is_behind { BEHIND } else { FROM })?;
            let rows = query.query_map(params![self.from, self.end, PAGE_ROWS], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        });
        let rows = rows.unwrap_or_default();
        self.is_last_page = rows.len() < PAGE_ROWS as usize;
        if let Some((last, _)) = rows.last() {
            self.from.clone_from(last);
            self.is_behind = true;
        }
        let opened = |(key, data): (Vec<u8>, Vec<u8>)| {
            let part = catalog.opened(&key, 0, &data);
            (RowKey(key), part)
        };
        self.page.extend(rows.into_iter().map(opened));
    }
}

#[cfg(test)]
mod tests;
