//! Decoders of what lies in chunks, and of names.

use caddis::format::link::{BirthChunk, LinkChunk, LinkGroup};
use caddis::format::name::{Name, TreePath};
use caddis::format::record::{Record, decode, encode};
use caddis::format::tree::{FolderChunk, ListChunk};

/// What is accepted has one form only.
pub(crate) fn canonical<T: Record>(data: &[u8]) -> Option<T> {
    let record = decode::<T>(data).ok()?;
    assert!(encode(&record) == data, "a record was accepted that is not in canonical form");
    Some(record)
}

/// A chunk of a folder.
pub fn folder(data: &[u8]) {
    if let Some(FolderChunk::Leaf(nodes)) = canonical(data) {
        assert!(nodes.iter().all(|node| is_one_component(node.name.as_bytes())));
    }
}

/// A chunk of a list.
pub fn list(data: &[u8]) {
    canonical::<ListChunk>(data);
}

/// A chunk of the table of hard links.
pub fn link(data: &[u8]) {
    if let Some(chunk) = canonical::<LinkChunk>(data) {
        LinkGroup::merge(chunk.0);
    }
}

/// A chunk of the table of birth times.
pub fn birth(data: &[u8]) {
    canonical::<BirthChunk>(data);
}

/// A name, and a path in both its forms.
pub fn name(data: &[u8]) {
    assert!(Name::new(data).is_err() || is_one_component(data));
    for path in [TreePath::from_bytes(data), TreePath::from_typed(data)].into_iter().flatten() {
        assert!(path.components().all(|name| is_one_component(name.as_bytes())));
        let mut again = TreePath::root();
        path.components().for_each(|name| again.push(&name));
        assert!(again == path && TreePath::from_bytes(path.as_bytes()) == Ok(path));
        again.pop();
    }
}

fn is_one_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}
