//! From arguments to the sources of a backup.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::args::BackupArgs;
use crate::backup::Sources;
use crate::error::{Error, Result};

/// What was named on the command line and in files.
pub(super) fn sources(args: &BackupArgs) -> Result<Sources> {
    let mut paths = args.paths.clone();
    for (files, separator) in [(&args.files_from, b'\n'), (&args.files_from0, 0)] {
        for file in files {
            let bytes = read(file)?;
            let names = bytes.split(|&byte| byte == separator).filter(|name| !name.is_empty());
            paths.extend(names.map(|name| PathBuf::from(OsStr::from_bytes(name))));
        }
    }
    match (&args.as_path, &paths[..]) {
        (None, _) => Sources::new(&paths),
        (Some(place), [path]) => Sources::new_at(path, place),
        (Some(_), _) => Err(Error::Usage(format!("--as-path is for one path, and {} were named", paths.len()))),
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match file.as_os_str().as_bytes() {
        b"-" => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        _ => std::fs::read(file),
    };
    read.map_err(|source| Error::Io { action: "read", path: file.to_path_buf(), source })
}
