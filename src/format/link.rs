//! Tables that stand beside a snapshot's tree: hard links and birth times.
//!
//! Both are lists ([`super::tree::ListChunk`]) of chunks of an own kind, each chunk an array of records in ascending order.
//! They are no fields of a node: which names share an inode, and when an inode was born, is not the same on two machines or
//! after a restore, and a tree's id must be.

use minicbor::Decoder;
use minicbor::data::Type;

use super::name::TreePath;
use super::record::{Record, RecordError, Result, Writer, read_bytes, read_list, read_tuple};

/// The most records of one chunk.
pub const TABLE_ENTRIES_MAX: usize = 16_384;

/// The most times of one record of births; larger folders have several.
pub const BIRTHS_MAX: usize = 4096;

/// The most names of one record of links; a file with more has several records, each of which begins with its first name.
pub const LINKS_MAX: usize = 1024;

/// The longest path of a record in bytes: far beyond what a system call takes, and so short that a record fits in a block.
pub const LINK_PATH_BYTES_MAX: usize = 1 << 20;

/// The longest path of a folder whose entries have their birth times kept. Each record holds its folder's path, and in a very
/// deep tree that would be more than all the rest.
pub const BIRTH_PATH_BYTES_MAX: usize = 4096;

/// The most bytes of paths in one record of links, so that a record fits in a block.
pub const LINK_RECORD_BYTES_MAX: usize = 4 << 20;

/// The names of one file, two or more, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkGroup(pub Vec<TreePath>);

impl LinkGroup {
    /// The records that these names stand in: one, unless they are very many or long.
    pub fn into_records(self) -> Vec<Self> {
        let mut names = self.0.into_iter();
        let Some(first) = names.next() else { return Vec::new() };
        let mut records = Vec::new();
        let mut record = vec![first.clone()];
        let mut bytes = first.as_bytes().len();
        for name in names {
            bytes += name.as_bytes().len();
            if record.len() > 1 && (record.len() == LINKS_MAX || bytes > LINK_RECORD_BYTES_MAX) {
                records.push(Self(std::mem::replace(&mut record, vec![first.clone()])));
                bytes = first.as_bytes().len() + name.as_bytes().len();
            }
            record.push(name);
        }
        records.push(Self(record));
        records
    }

    /// Puts records that begin with the same name together again.
    pub fn merge(records: Vec<Self>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for record in records {
            match groups.last_mut() {
                Some(group) if group.0.first() == record.0.first() => group.0.extend(record.0.into_iter().skip(1)),
                _ => groups.push(record),
            }
        }
        groups
    }
}

/// A chunk of the table of hard links: groups in ascending order of their first paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkChunk(pub Vec<LinkGroup>);

/// Birth times of consecutive entries of one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Births {
    /// The folder.
    pub folder: TreePath,
    /// Position of the first of these entries among the folder's nodes.
    pub first: u64,
    /// Nanoseconds since 1970, for each entry in order; nothing where it is not known.
    pub times: Vec<Option<i64>>,
}

/// A chunk of the table of birth times, in the order in which a walk comes to the end of each folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BirthChunk(pub Vec<Births>);

fn read_path(input: &mut Decoder<'_>) -> Result<TreePath> {
    let bytes = read_bytes(input, LINK_PATH_BYTES_MAX, "path")?;
    TreePath::from_bytes(bytes).map_err(|_| RecordError::Malformed("a path holds what is no name"))
}

impl Record for LinkGroup {
    fn write(&self, out: &mut Writer) {
        out.list(&self.0, |out, path| out.bytes(path.as_bytes()));
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        let paths = read_list(input, LINKS_MAX, "number of hard links", read_path)?;
        if paths.len() < 2 || !paths.is_sorted_by(|a, b| a < b) {
            return Err(RecordError::Malformed("hard links are not sorted, or only one"));
        }
        Ok(Self(paths))
    }
}

impl Record for LinkChunk {
    fn write(&self, out: &mut Writer) {
        out.list(&self.0, |out, group| group.write(out));
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        let groups = read_list(input, TABLE_ENTRIES_MAX, "number of groups", LinkGroup::read)?;
        if !groups.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(RecordError::Malformed("groups of hard links are not sorted"));
        }
        Ok(Self(groups))
    }
}

impl Record for Births {
    fn write(&self, out: &mut Writer) {
        out.array(3);
        out.bytes(self.folder.as_bytes());
        out.uint(self.first);
        // Differences: files of one folder are often born together, and small numbers are short.
        let mut previous = 0i64;
        out.list(&self.times, |out, time| match time {
            Some(time) => {
                out.int(time.wrapping_sub(previous));
                previous = *time;
            }
            None => out.null(),
        });
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        read_tuple(input, 3)?;
        let folder = read_path(input)?;
        let first = input.u64()?;
        let mut previous = 0i64;
        let times = read_list(input, BIRTHS_MAX, "number of birth times", |input| {
            if input.datatype()? == Type::Null {
                input.null()?;
                return Ok(None);
            }
            previous = previous.wrapping_add(input.i64()?);
            Ok(Some(previous))
        })?;
        Ok(Self { folder, first, times })
    }
}

impl Record for BirthChunk {
    fn write(&self, out: &mut Writer) {
        out.list(&self.0, |out, births| births.write(out));
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self> {
        Ok(Self(read_list(input, TABLE_ENTRIES_MAX, "number of folders", Births::read)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::super::name::Name;
    use super::super::record::{decode, encode};
    use super::*;

    fn paths() -> impl Strategy<Value = TreePath> {
        vec(vec(any::<u8>(), 1..6).prop_filter_map("not a name", |bytes| Name::new(bytes).ok()), 1..4).prop_map(
            |names| {
                let mut path = TreePath::root();
                names.iter().for_each(|name| path.push(name));
                path
            },
        )
    }

    #[test]
    fn a_file_with_very_many_names_has_several_records_and_stays_one_file() {
        let names: Vec<TreePath> =
            (0..3000).map(|n| TreePath::from_bytes(format!("d/{n:05}").as_bytes()).unwrap()).collect();
        let group = LinkGroup(names);
        let records = group.clone().into_records();
        assert!(records.len() > 1 && records.iter().all(|record| record.0.len() <= LINKS_MAX));
        let chunk = LinkChunk(records);
        let read = decode::<LinkChunk>(&encode(&chunk)).unwrap();
        assert_eq!(LinkGroup::merge(read.0), [group]);
    }

    proptest! {
        #![proptest_config(crate::rounds::many_cases())]

        #[test]
        fn groups_of_links_survive_encoding(groups in btree_set(btree_set(paths(), 2..5), 0..4)) {
            let mut groups: Vec<_> =
                groups.into_iter().map(|group| LinkGroup(group.into_iter().collect())).collect();
            groups.sort_by(|a, b| a.0.cmp(&b.0));
            let chunk = LinkChunk(groups);
            prop_assert_eq!(decode::<LinkChunk>(&encode(&chunk)).unwrap(), chunk);
        }

        #[test]
        fn birth_times_survive_encoding(folder in paths(), times in vec(any::<Option<i64>>(), 0..20)) {
            let chunk = BirthChunk(vec![Births { folder, first: 3, times }]);
            prop_assert_eq!(decode::<BirthChunk>(&encode(&chunk)).unwrap(), chunk);
        }

        #[test]
        fn decoders_of_tables_never_panic(bytes in vec(any::<u8>(), 0..100)) {
            if let Ok(chunk) = decode::<LinkChunk>(&bytes) {
                prop_assert_eq!(encode(&chunk), bytes.clone());
            }
            if let Ok(chunk) = decode::<BirthChunk>(&bytes) {
                prop_assert_eq!(encode(&chunk), bytes);
            }
        }
    }
}
