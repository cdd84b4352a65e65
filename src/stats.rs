//! How large snapshots are, what each of them alone holds, and what the repository takes.

use crate::error::Result;
use crate::format::index::ShortId;
use crate::id::SnapshotId;
use crate::index::marks::Marks;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::fetch::Reader;
use crate::repo::snapshots::Snapshot;
use crate::store::ObjectKind;
use crate::tree::closure::for_each_needed;

/// The mark of a chunk that several snapshots need. One that a single snapshot needs has its number, from 1; one that none
/// needs has 0.
const SHARED: u32 = u32::MAX;

/// Bytes of chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Chunks.
    pub chunks: u64,
    /// As they were read.
    pub plain: u64,
    /// As they are stored: of each block the part that the chunk has in it.
    pub stored: u64,
}

impl Bytes {
    fn add(&mut self, plain: u64, stored: u64) {
        self.chunks += 1;
        self.plain += plain;
        self.stored += stored;
    }
}

/// Objects of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objects {
    /// The kind.
    pub kind: ObjectKind,
    /// How many there are.
    pub count: u64,
    /// Sum of their lengths in bytes.
    pub bytes: u64,
}

/// What a repository holds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What each snapshot holds that no other one does, in the order in which they were given.
    pub own: Vec<(SnapshotId, Bytes)>,
    /// What snapshots need, each chunk counted once.
    pub needed: Bytes,
    /// What no snapshot needs: of runs that were broken off and snapshots that are gone, and what is stored twice.
    pub unneeded: Bytes,
    /// What lies in the repository.
    pub objects: Vec<Objects>,
}

/// Counts what `snapshots` need, which are all of the repository's.
///
/// Each folder is read at most twice, however many snapshots share it. Memory: four bytes for each row of the index.
///
/// # Errors
/// A tree cannot be read; the store fails.
pub fn stats(repository: &Repository, snapshots: &[Snapshot], cx: &Context<'_>) -> Result<Report> {
    let objects = ObjectKind::ALL.into_iter().map(|kind| count(repository, kind)).collect::<Result<_>>()?;
    let reader = Reader::open(repository, cx)?;
    let view = reader.view();
    let mut marks = Marks::new(&view.index);
    let broken = |source| repository.index_error(source);
    for (number, snapshot) in (1u32..).zip(snapshots) {
        for_each_needed(&reader, &snapshot.body, cx.cancel, &mut |needed| {
            match marks.of(&ShortId::from(needed.id)).map_err(broken)? {
                Some(mark) => Ok(note(mark, number)),
                // Somebody may have stored it meanwhile.
                None => reader.locate(&needed.id).map(|_| true),
            }
        })?;
        cx.progress.done(1, 0);
    }
    let own = snapshots.iter().map(|snapshot| (snapshot.id, Bytes::default())).collect();
    let mut report = Report { own, objects, ..Report::default() };
    let mut last = None;
    for chunk in view.index.chunks().map_err(broken)? {
        cx.cancel.check()?;
        let (id, location) = chunk.map_err(broken)?;
        let plain = u64::from(location.len);
        let stored = plain * u64::from(location.block.sealed_len) / u64::from(location.block.plain_len.max(1));
        let mark = marks.of(&id).map_err(broken)?.map_or(0, |mark| *mark);
        if mark == 0 || last == Some(id) {
            report.unneeded.add(plain, stored);
        } else {
            report.needed.add(plain, stored);
        }
        if let Some((_, own)) = own_of(&mut report.own, mark).filter(|_| last != Some(id)) {
            own.add(plain, stored);
        }
        last = Some(id);
    }
    Ok(report)
}

/// Notes that the snapshot with this number needs a chunk. Answers whether that says anything new of what is below it.
fn note(mark: &mut u32, number: u32) -> bool {
    let before = *mark;
    *mark = if before == 0 || before == number { number } else { SHARED };
    *mark != before
}

fn own_of(own: &mut [(SnapshotId, Bytes)], mark: u32) -> Option<&mut (SnapshotId, Bytes)> {
    own.get_mut((mark as usize).checked_sub(1)?)
}

fn count(repository: &Repository, kind: ObjectKind) -> Result<Objects> {
    let listed = repository.objects.list(kind)?;
    let bytes = listed.iter().map(|object| object.bytes).sum();
    Ok(Objects { kind, count: listed.len() as u64, bytes })
}
