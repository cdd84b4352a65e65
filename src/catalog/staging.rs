//! [`Staging`]: what a run will write to the catalog at its end, kept out of memory when it is much.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

/// Beyond that, changes wait in a file without a name, which vanishes with the process.
const MEMORY_BYTES: usize = 4 << 20;

/// A change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The folder has no row any longer.
    Remove { key: Vec<u8> },
    /// A part of a row; the first one replaces all parts there were.
    Put { key: Vec<u8>, part: u32, ino: u64, data: Vec<u8> },
}

/// Changes in order.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
}

impl Staging {
    /// Nothing yet; what is too much for memory goes to `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), memory: Vec::new(), file: None }
    }

    pub(super) fn add(&mut self, change: &Change) -> io::Result<()> {
        let (code, key, part, ino, data): (u8, _, _, _, &[u8]) = match change {
            Change::Remove { key } => (0, key, 0, 0, &[]),
            Change::Put { key, part, ino, data } => (1, key, *part, *ino, data),
        };
        let out = &mut self.memory;
        out.push(code);
        out.extend(len_field(key));
        out.extend(key);
        out.extend(part.to_le_bytes());
        out.extend(ino.to_le_bytes());
        out.extend(len_field(data));
        out.extend(data);
        if out.len() >= MEMORY_BYTES { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                let file = rustix::fs::openat(CWD, &self.folder, flags, Mode::RUSR | Mode::WUSR)?;
                none.insert(File::from(file))
            }
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }

    /// All changes in order.
    pub(super) fn read<E: From<io::Error>>(mut self, mut each: impl FnMut(Change) -> Result<(), E>) -> Result<(), E> {
        if let Some(mut file) = self.file.take() {
            file.seek(SeekFrom::Start(0))?;
            read_changes(&mut BufReader::with_capacity(1 << 20, file), &mut each)?;
        }
        read_changes(&mut &self.memory[..], &mut each)
    }
}

fn len_field(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("keys and parts are short").to_le_bytes()
}

fn read_changes<E: From<io::Error>>(
    input: &mut impl Read,
    each: &mut impl FnMut(Change) -> Result<(), E>,
) -> Result<(), E> {
    let mut code = [0];
    while input.read(&mut code)? == 1 {
        let key = read_bytes(input)?;
        let part = u32::from_le_bytes(read_array(input)?);
        let ino = u64::from_le_bytes(read_array(input)?);
        let data = read_bytes(input)?;
        each(if code == [0] { Change::Remove { key } } else { Change::Put { key, part, ino, data } })?;
    }
    Ok(())
}

fn read_array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let len = u32::from_le_bytes(read_array(input)?);
    let mut bytes = Vec::new();
    if input.take(len.into()).read_to_end(&mut bytes)? < len as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_in_order_from_memory_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut staging = Staging::new(folder.path());
        let changes: Vec<Change> = (0..300_u32)
            .map(|number| match number % 7 {
                0 => Change::Remove { key: number.to_le_bytes().to_vec() },
                _ => Change::Put { key: vec![7; 9], part: number, ino: 5, data: vec![1; 40_000] },
            })
            .collect();
        changes.iter().for_each(|change| staging.add(change).unwrap());
        assert!(staging.file.is_some() && !staging.memory.is_empty());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        let mut read = Vec::new();
        let keep = |change| {
            read.push(change);
            Ok::<(), io::Error>(())
        };
        staging.read(keep).unwrap();
        assert_eq!(read, changes);
    }
}
