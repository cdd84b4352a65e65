use std::collections::BTreeSet;

use super::row::{FolderIdentity, RowWriter};
use super::*;
use crate::format::name::Name;
use crate::id::ChunkId;

const KEY: [u8; 32] = [7; 32];

fn key(path: &str) -> RowKey {
    RowKey::of(&TreePath::from_typed(path.as_bytes()).unwrap()).unwrap()
}

fn packs(ids: &[u8]) -> BTreeSet<PackId> {
    ids.iter().map(|&id| PackId([id; 32])).collect()
}

fn row(stamp: u64, ino: u64) -> Vec<u8> {
    let identity = FolderIdentity { file_system: 1, ino, birth: Some(5) };
    RowWriter::new(stamp, &identity).finish(&ChunkId([1; 32]))
}

/// A finished run that writes rows for these folders below `source`, relying on `packs`.
fn save(catalog: Catalog, folder: &Path, source: &str, rows: &[&str], relied: &[u8]) {
    let mut changes = Changes::new(folder);
    for (path, ino) in rows.iter().zip(100..) {
        changes.put(&key(path), 0, ino, row(1, ino));
    }
    let outcome = Outcome::Committed { sources: vec![key(source)], packs: packs(relied), items: 3, bytes: 70 };
    catalog.save(changes, &outcome, &[]).unwrap();
}

fn open(folder: &Path) -> Catalog {
    Catalog::open(folder, KEY).unwrap()
}

fn behind(folder: &Path, source: &str) -> Vec<BTreeSet<PackId>> {
    let sets = open(folder).packs_behind(&key(source));
    sets.into_iter().map(|packs| packs.into_iter().collect()).collect()
}

#[test]
fn rows_come_in_the_order_of_a_walk_and_what_is_not_asked_for_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["home", "home/a", "home/a/b", "home/a.b", "home/a/c", "homer", "etc"];
    save(open(folder.path()), folder.path(), "", &paths, &[1]);
    let catalog = open(folder.path());
    let mut rows = Rows::below(&key("home"));
    let mut passed = Vec::new();
    // A walk enters what is called `a`, with all below, before what is called `a.b`.
    for (path, is_there) in [("home", true), ("home/a/c", true), ("home/a/d", false), ("home/a.b", true)] {
        assert_eq!(rows.seek(&catalog, &key(path), |key| passed.push(key)).is_some(), is_there, "{path}");
    }
    rows.finish(&catalog, |key| passed.push(key));
    assert_eq!(passed, [key("home/a"), key("home/a/b")]);
    assert!(catalog.knows(&key("home")) && catalog.knows(&key("home/a")) && !catalog.knows(&key("hom")));
}

#[test]
fn many_rows_come_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..3 * PAGE_ROWS).map(|number| format!("d/{number:05}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    save(open(folder.path()), folder.path(), "d", &paths, &[]);
    let catalog = open(folder.path());
    let mut rows = Rows::below(&key("d"));
    for path in &paths {
        assert!(rows.seek(&catalog, &key(path), |key| panic!("{key:?} was passed over")).is_some(), "{path}");
    }
    rows.finish(&catalog, |key| panic!("{key:?} is left over"));
}

#[test]
fn a_folder_is_found_by_what_a_rename_leaves() {
    let folder = tempfile::tempdir().unwrap();
    save(open(folder.path()), folder.path(), "", &["a", "b"], &[]);
    let catalog = open(folder.path());
    let identity = FolderIdentity { file_system: 1, ino: 101, birth: Some(5) };
    assert_eq!(catalog.find_moved(&identity), [key("b")]);
    for other in [
        FolderIdentity { file_system: 2, ..identity },
        FolderIdentity { birth: None, ..identity },
        FolderIdentity { ino: 7, ..identity },
    ] {
        assert_eq!(catalog.find_moved(&other), []);
    }
}

#[test]
fn a_source_is_vouched_for_by_its_own_packs_and_those_of_sources_above() {
    let folder = tempfile::tempdir().unwrap();
    save(open(folder.path()), folder.path(), "home", &["home"], &[1, 2]);
    assert_eq!(behind(folder.path(), "home"), [packs(&[1, 2])]);
    assert_eq!(behind(folder.path(), "home/me"), [packs(&[1, 2])]);
    assert_eq!(behind(folder.path(), "homer"), []);
    assert_eq!(behind(folder.path(), ""), []);
    // A later run of the same source needs other packs.
    save(open(folder.path()), folder.path(), "home", &["home"], &[2, 3]);
    assert_eq!(behind(folder.path(), "home"), [packs(&[2, 3])]);
}

#[test]
fn rows_that_another_run_writes_meanwhile_count_with_their_packs() {
    let folder = tempfile::tempdir().unwrap();
    save(open(folder.path()), folder.path(), "home", &["home"], &[1]);
    // A run of part of the source: what lies above needs its packs too.
    save(open(folder.path()), folder.path(), "home/me", &["home/me"], &[2]);
    assert_eq!(behind(folder.path(), "home"), [packs(&[1, 2])]);
    assert_eq!(behind(folder.path(), "home/me").len(), 2);

    // Two at once: the one that ends last has not seen the rows of the other one.
    let (slow, quick) = (open(folder.path()), open(folder.path()));
    save(quick, folder.path(), "home", &["home/quick"], &[3]);
    save(slow, folder.path(), "home", &["home/slow"], &[4]);
    assert!(behind(folder.path(), "home")[0].is_superset(&packs(&[3, 4])));
    let (slow, quick) = (open(folder.path()), open(folder.path()));
    save(quick, folder.path(), "home/me", &["home/me/quick"], &[5]);
    save(slow, folder.path(), "home", &["home/slow"], &[6]);
    assert!(behind(folder.path(), "home")[0].is_superset(&packs(&[5, 6])));
}

/// They were saved as far as they had come: rows of what was gone stayed, under packs that did not hold their chunks.
#[test]
fn changes_that_did_not_all_find_room_are_not_saved_at_all() {
    let folder = tempfile::tempdir().unwrap();
    save(open(folder.path()), folder.path(), "", &["a", "gone"], &[1]);
    // What is too much for memory has nowhere to go.
    let mut changes = Changes::new(&folder.path().join("nowhere"));
    changes.put(&key("a"), 0, 100, vec![0; 8 << 20]);
    changes.remove(key("gone"));
    let outcome = Outcome::Committed { sources: vec![key("")], packs: packs(&[2]), items: 0, bytes: 0 };
    let saved = open(folder.path()).save(changes, &outcome, &[]);
    assert!(matches!(saved, Err(CatalogError::Io(_))), "{saved:?}");
    assert_eq!(behind(folder.path(), ""), [packs(&[1])]);
    let catalog = open(folder.path());
    assert!(catalog.part(&key("a"), 0).is_some() && catalog.part(&key("gone"), 0).is_some());
}

#[test]
fn what_an_unfinished_run_leaves_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    save(open(folder.path()), folder.path(), "home", &["home"], &[1]);
    assert!(open(folder.path()).part(&key("home"), 0).unwrap().is_committed);
    let mut changes = Changes::new(folder.path());
    changes.put(&key("home"), 0, 100, row(2, 100));
    open(folder.path()).save(changes, &Outcome::Unfinished, &[]).unwrap();
    assert!(!open(folder.path()).part(&key("home"), 0).unwrap().is_committed);
}

#[test]
fn a_row_that_was_changed_or_moved_is_refused_and_the_catalog_made_anew() {
    for sql in [
        "UPDATE folders SET data = data || x'00' WHERE id = 1",
        "UPDATE folders SET data = (SELECT data FROM folders WHERE id = 2) WHERE id = 1",
        "UPDATE folders SET data = x'' WHERE id = 1",
        "DROP TABLE folders",
    ] {
        let folder = tempfile::tempdir().unwrap();
        save(open(folder.path()), folder.path(), "", &["a", "b"], &[1]);
        Connection::open(Catalog::path(folder.path())).unwrap().execute_batch(sql).unwrap();
        let catalog = open(folder.path());
        assert!(catalog.part(&key("a"), 0).is_none(), "{sql}");
        assert!(catalog.broken().is_some(), "{sql}");
        // From then on it says nothing at all, and what the run has found makes a new one.
        assert!(catalog.part(&key("b"), 0).is_none() && !catalog.knows(&key("")), "{sql}");
        save(catalog, folder.path(), "", &["b"], &[2]);
        assert!(open(folder.path()).part(&key("b"), 0).is_some(), "{sql}");
        assert_eq!(behind(folder.path(), ""), [packs(&[2])], "{sql}");
    }
}

#[test]
fn packs_that_somebody_else_wrote_vouch_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    save(open(folder.path()), folder.path(), "", &["a"], &[1]);
    let sql = "UPDATE whole SET data = substr(data, 1, 16)";
    Connection::open(Catalog::path(folder.path())).unwrap().execute_batch(sql).unwrap();
    assert_eq!(behind(folder.path(), ""), []);
    let stranger = Catalog::open(folder.path(), [8; 32]).unwrap();
    assert!(stranger.part(&key("a"), 0).is_none());
}

#[test]
fn a_database_of_another_program_or_version_is_replaced() {
    for pragma in ["application_id = 5", "user_version = 99"] {
        let folder = tempfile::tempdir().unwrap();
        save(open(folder.path()), folder.path(), "", &["a"], &[1]);
        let sql = format!("PRAGMA {pragma}");
        Connection::open(Catalog::path(folder.path())).unwrap().execute_batch(&sql).unwrap();
        assert!(!open(folder.path()).knows(&key("")), "{pragma}");
    }
}

#[test]
fn a_long_path_has_no_row() {
    let mut path = TreePath::root();
    for _ in 0..KEY_BYTES_MAX / 100 + 1 {
        path.push(&Name::new(vec![b'x'; 99]).unwrap());
    }
    assert_eq!(RowKey::of(&path), None);
    assert_eq!(key("home/me").path(), TreePath::from_typed(b"/home/me").ok());
}

#[test]
fn only_the_owner_can_look_into_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    assert_eq!(fs::metadata(Catalog::path(folder.path())).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn how_much_there_was_is_known_of_the_same_sources_only() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = open(folder.path());
    assert_eq!(unknown.totals(&[key("home")]), None);
    save(unknown, folder.path(), "home", &["home"], &[1]);
    let known = open(folder.path());
    assert_eq!(known.totals(&[key("home")]), Some((3, 70)));
    for others in [&[][..], &[key("home/me")], &[key("home"), key("etc")]] {
        assert_eq!(known.totals(others), None);
    }
}
