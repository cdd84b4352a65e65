//! When packs were proved: what a rolling check goes by.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Catalog, CatalogError, is_busy};
use crate::format::index::{PackKey, PackKind};
use crate::id::{ID_LEN, PackId};

/// Stands for the part of a folder's row in the authenticator. No row has so many.
const PART: u32 = u32::MAX - 1;

/// Kind and id.
const KEY_LEN: usize = 1 + ID_LEN;

impl Catalog {
    /// When each pack was last read whole, with nothing wrong in it.
    pub fn proofs(&self) -> HashMap<PackKey, Timestamp> {
        let rows = self.ask(read_rows).unwrap_or_default();
        rows.iter().filter_map(|(key, data)| self.proof_of(key, data)).collect()
    }

    /// Notes which packs were `proved`, in one short transaction. What was noted of others goes unless it `stays`. A catalog
    /// that turns out broken is made anew.
    ///
    /// # Errors
    /// Nothing is saved then: another process is busy with the catalog, or the disk is full.
    pub fn save_proofs(
        self,
        proved: &HashMap<PackKey, Timestamp>,
        stays: impl Fn(&PackKey, Timestamp) -> bool,
    ) -> Result<(), CatalogError> {
        if self.broken().is_none() {
            match self.try_save_proofs(proved, &stays) {
                Err(CatalogError::Database(error)) if !is_busy(&error) => {}
                saved => return saved,
            }
        }
        self.made_anew()?.try_save_proofs(proved, &stays)
    }

    fn try_save_proofs(
        &self,
        proved: &HashMap<PackKey, Timestamp>,
        stays: &impl Fn(&PackKey, Timestamp) -> bool,
    ) -> Result<(), CatalogError> {
        let transaction = Transaction::new_unchecked(&self.database, TransactionBehavior::Immediate)?;
        {
            let mut remove = transaction.prepare("DELETE FROM proofs WHERE pack = ?1")?;
            for (key, data) in read_rows(&transaction)? {
                if !self.proof_of(&key, &data).is_some_and(|(pack, time)| stays(&pack, time)) {
                    remove.execute(params![key])?;
                }
            }
            let mut put = transaction.prepare("INSERT OR REPLACE INTO proofs (pack, data) VALUES (?1, ?2)")?;
            for (pack, time) in proved {
                let key = row_key(pack);
                put.execute(params![key, self.authenticated(&key, PART, &[&time.as_second().to_le_bytes()])])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// What a row says, if this user wrote it for this repository.
    fn proof_of(&self, key: &[u8], data: &[u8]) -> Option<(PackKey, Timestamp)> {
        let secs = i64::from_le_bytes(self.proved(key, PART, data)?.try_into().ok()?);
        let [kind, id @ ..] = <&[u8; KEY_LEN]>::try_from(key).ok()?;
        let kind = [PackKind::Data, PackKind::Tree].into_iter().find(|&of| code(of) == *kind)?;
        Some(((PackId(*id), kind), Timestamp::from_second(secs).ok()?))
    }
}

fn read_rows(database: &Connection) -> rusqlite::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut query = database.prepare_cached("SELECT pack, data FROM proofs")?;
    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn row_key((id, kind): &PackKey) -> Vec<u8> {
    [&[code(*kind)], &id.0[..]].concat()
}

const fn code(kind: PackKind) -> u8 {
    match kind {
        PackKind::Data => 0,
        PackKind::Tree => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const DATA: PackKey = (PackId([1; 32]), PackKind::Data);
    const TREE: PackKey = (PackId([1; 32]), PackKind::Tree);
    const GONE: PackKey = (PackId([2; 32]), PackKind::Data);

    fn open(folder: &Path) -> Catalog {
        Catalog::open(folder, [7; 32]).unwrap()
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn save(folder: &Path, proved: &[(PackKey, i64)]) {
        let proved = proved.iter().map(|&(pack, secs)| (pack, at(secs))).collect();
        open(folder).save_proofs(&proved, |_, _| true).unwrap();
    }

    #[test]
    fn proofs_are_remembered_until_there_is_a_newer_one_or_they_do_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(folder.path()).proofs(), HashMap::new());
        save(folder.path(), &[(DATA, 100), (GONE, 100)]);
        save(folder.path(), &[(DATA, 200), (TREE, 300)]);
        assert_eq!(open(folder.path()).proofs(), HashMap::from([(DATA, at(200)), (TREE, at(300)), (GONE, at(100))]));
        let stays = |pack: &PackKey, time| *pack != GONE && time < at(300);
        open(folder.path()).save_proofs(&HashMap::new(), stays).unwrap();
        assert_eq!(open(folder.path()).proofs(), HashMap::from([(DATA, at(200))]));
    }

    #[test]
    fn rows_that_somebody_else_wrote_prove_nothing() {
        for sql in [
            "UPDATE proofs SET data = data || x'00'",
            "UPDATE proofs SET data = x''",
            "UPDATE proofs SET data = zeroblob(24)",
            "UPDATE proofs SET pack = x'01' || substr(pack, 2)",
            "UPDATE proofs SET pack = x''",
        ] {
            let folder = tempfile::tempdir().unwrap();
            save(folder.path(), &[(DATA, 100)]);
            Connection::open(Catalog::path(folder.path())).unwrap().execute_batch(sql).unwrap();
            assert_eq!(open(folder.path()).proofs(), HashMap::new(), "{sql}");
            save(folder.path(), &[(GONE, 200)]);
            assert_eq!(open(folder.path()).proofs(), HashMap::from([(GONE, at(200))]), "{sql}");
            let rows = "SELECT count(*) FROM proofs";
            let rows = open(folder.path()).database.query_row(rows, [], |row| row.get::<_, u32>(0)).unwrap();
            assert_eq!(rows, 1, "{sql}");
        }
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &[(DATA, 100)]);
        assert_eq!(Catalog::open(folder.path(), [8; 32]).unwrap().proofs(), HashMap::new());
    }

    #[test]
    fn a_catalog_that_is_broken_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &[(DATA, 100)]);
        Connection::open(Catalog::path(folder.path())).unwrap().execute_batch("DROP TABLE proofs").unwrap();
        let catalog = open(folder.path());
        assert_eq!(catalog.proofs(), HashMap::new());
        assert!(catalog.broken().is_some());
        // One that has been asked, and one that has not.
        catalog.save_proofs(&HashMap::from([(TREE, at(200))]), |_, _| true).unwrap();
        assert_eq!(open(folder.path()).proofs(), HashMap::from([(TREE, at(200))]));
        Connection::open(Catalog::path(folder.path())).unwrap().execute_batch("DROP TABLE proofs").unwrap();
        save(folder.path(), &[(GONE, 300)]);
        assert_eq!(open(folder.path()).proofs(), HashMap::from([(GONE, at(300))]));
    }
}
