//! Arguments of `caddis dump`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::FilterArgs;
use crate::archive::Form;

#[derive(Debug, Args)]
pub struct DumpArgs {
    /// A snapshot, as for `restore`, and a folder or file in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: OsString,
    /// Kind of the archive; a folder becomes a tar by default, a file is written as it is
    #[arg(short, long, value_name = "KIND")]
    pub archive: Option<ArchiveKind>,
    /// Write to this file, which must be new, instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub target: Option<PathBuf>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Kinds of archives.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ArchiveKind {
    Tar,
    Zip,
}

impl From<ArchiveKind> for Form {
    fn from(kind: ArchiveKind) -> Self {
        match kind {
            ArchiveKind::Tar => Self::Tar,
            ArchiveKind::Zip => Self::Zip,
        }
    }
}
