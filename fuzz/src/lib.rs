//! What the fuzzer calls: one function for each decoder, which must neither panic nor accept what no encoder writes.
//!
//! Where a seal stands in front of a decoder, its function tries the bytes as the object and as what is sealed in one: an
//! attacker may hold keys. The test suite includes this file and runs the saved corpus through the same functions.

pub mod caches;
pub mod objects;
pub mod packs;
pub mod plain;
mod world;

/// A target by its name; seeds lie in the folder of that name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 18] = [
    ("birth", plain::birth),
    ("block", packs::block),
    ("catalog_row", caches::catalog_row),
    ("config", objects::config),
    ("folder", plain::folder),
    ("forgotten", objects::forgotten),
    ("gc", objects::gc),
    ("index_run", caches::index_run),
    ("link", plain::link),
    ("list", plain::list),
    ("name", plain::name),
    ("pack_directory", packs::directory),
    ("pack_header", packs::header),
    ("segment", objects::segment),
    ("slot", objects::slot),
    ("snapshot_body", objects::snapshot_body),
    ("snapshot_header", objects::snapshot_header),
    ("statement", objects::statement),
];
