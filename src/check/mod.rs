//! Check: proves that what is promised is there. Names equal hashes, every seal and signature holds, every tree walks, every
//! needed chunk is in a pack that is there; with `read_data` every block opens and every chunk has its id.

use crate::error::{Error, Result, with_causes};
use crate::format::charter::{self, STATEMENT_BYTES_MAX};
use crate::format::log::{self, LOG_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::format::slot::{self, SLOT_BYTES_MAX};
use crate::format::snapshot::{self, SNAPSHOT_BYTES_MAX};
use crate::keys::keyring::Rights;
use crate::progress::{Context, Problem};
use crate::repo::Repository;
use crate::repo::fetch::Reader;
use crate::store::{ObjectKind, ObjectName, StoreError};

mod packs;
mod trees;

/// How deep a check goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Open every block and prove every chunk id.
    pub read_data: bool,
}

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Objects that are damaged or missing, and items of snapshots that cannot be restored; each was reported.
    pub errors: u64,
    /// Snapshots whose trees were walked.
    pub snapshots: u64,
    /// Packs that were read.
    pub packs: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// Checks a repository; each error is reported through `cx.progress`.
///
/// # Errors
/// Only what keeps the check from going on: the store does not answer, the key may not read.
pub fn check(repository: &Repository, options: &Options, cx: &Context<'_>) -> Result<Report> {
    repository.require(Rights::READ)?;
    let mut findings = Findings { cx, report: Report::default() };
    for kind in ObjectKind::ALL {
        check_small_objects(repository, kind, &mut findings)?;
    }
    // Snapshots before the index: what they need was indexed before they were put.
    let snapshots = repository.snapshots(&Context { progress: &crate::progress::Silent, ..*cx })?;
    let reader = Reader::open_uncached(repository, cx)?;
    let sound = packs::check(repository, &reader, options, &mut findings)?;
    for snapshot in &snapshots {
        trees::check(&reader, snapshot, &sound, &mut findings)?;
        findings.report.snapshots += 1;
    }
    Ok(findings.report)
}

/// Collects what is wrong.
struct Findings<'a> {
    cx: &'a Context<'a>,
    report: Report,
}

impl Findings<'_> {
    fn error(&mut self, item: Vec<u8>, what: String) {
        self.report.errors += 1;
        self.cx.progress.problem(&Problem { item, what });
    }

    fn object(&mut self, name: ObjectName, error: &Error) {
        self.error(name.path().into_bytes(), with_causes(error));
    }
}

/// Reads every object of a kind that is read whole, and proves name, seal and signature.
fn check_small_objects(repository: &Repository, kind: ObjectKind, findings: &mut Findings<'_>) -> Result<()> {
    let limit = match kind {
        // `config` was proved when the repository was opened, packs have a check of their own.
        ObjectKind::Config | ObjectKind::Packs | ObjectKind::Trees => return Ok(()),
        ObjectKind::Charter => STATEMENT_BYTES_MAX,
        ObjectKind::Keys => SLOT_BYTES_MAX,
        ObjectKind::Index => SEGMENT_BYTES_MAX,
        ObjectKind::Pending | ObjectKind::Snapshots => SNAPSHOT_BYTES_MAX,
        ObjectKind::Forgotten | ObjectKind::Gc => LOG_BYTES_MAX,
    };
    for listed in repository.objects.list(kind)? {
        findings.cx.cancel.check()?;
        let name = ObjectName::new(kind, listed.id);
        let checked = repository.objects.get(name, limit).and_then(|bytes| {
            findings.report.bytes += bytes.len() as u64;
            decode(repository, name, &bytes).map_err(|source| Error::Object { object: name, source })
        });
        match checked {
            Ok(()) => {}
            // Gone between listing and reading, as objects go while others work.
            Err(Error::Store { source: StoreError::Absent, .. }) => {}
            Err(error @ Error::Store { source: StoreError::Unreachable(_), .. }) => return Err(error),
            Err(error) => findings.object(name, &error),
        }
    }
    Ok(())
}

fn decode(
    repository: &Repository,
    name: ObjectName,
    bytes: &[u8],
) -> std::result::Result<(), crate::format::ObjectError> {
    let keyring = &repository.keyring;
    match name.kind() {
        ObjectKind::Charter => {
            charter::decode_object(name.id().into(), bytes, &repository.id(), &repository.config).map(drop)
        }
        ObjectKind::Keys => slot::decode_object(bytes).map(drop),
        ObjectKind::Index => log::decode_segment(bytes, keyring).map(drop),
        ObjectKind::Pending | ObjectKind::Snapshots => {
            snapshot::decode_object(bytes, keyring).and_then(|snapshot| snapshot.open_body(keyring)).map(drop)
        }
        ObjectKind::Forgotten => log::decode_forgotten(bytes, keyring).map(drop),
        ObjectKind::Gc => log::decode_gc(bytes, keyring).map(drop),
        ObjectKind::Config | ObjectKind::Packs | ObjectKind::Trees => Ok(()),
    }
}
