//! From arguments to the sources of a backup.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::args::BackupArgs;
use crate::backup::{Sources, Stream};
use crate::error::{Error, Result};

/// What was named on the command line and in files.
pub(super) fn sources(args: &BackupArgs) -> Result<Sources> {
    if args.stdin {
        let stream = Stream::new("standard input".to_owned(), Box::new(io::stdin()));
        return Sources::of_stream(stream, &args.stdin_filename);
    }
    if args.stdin_from_command {
        return Sources::of_stream(Output::stream(&args.paths)?, &args.stdin_filename);
    }
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

/// What a command prints. It ends only when the command ended well.
struct Output {
    child: Child,
    printed: ChildStdout,
}

impl Output {
    fn stream(words: &[PathBuf]) -> Result<Stream> {
        let (command, arguments) =
            words.split_first().ok_or_else(|| Error::Usage("no command was named".to_owned()))?;
        let failed = |source| Error::Io { action: "run", path: command.clone(), source };
        let mut child = Command::new(command)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let printed = child.stdout.take().ok_or_else(|| failed(io::Error::other("it has no standard output")))?;
        let name = format!("the output of {}", command.display());
        Ok(Stream::new(name, Box::new(Self { child, printed })))
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.printed.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            let status = self.child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("the command ended with {status}")));
            }
        }
        Ok(count)
    }
}

impl Drop for Output {
    /// A command whose output nobody wants any longer ends, and leaves no zombie.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
