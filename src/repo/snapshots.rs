//! Which snapshots there are, how they follow one another, and which one a user means.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil;
use jiff::tz::TimeZone;
use rayon::prelude::*;

use super::Repository;
use super::charter::{is_junk, report};
use super::view::{is_absent, is_unreadable};
use crate::error::{Error, Result};
use crate::format::log::{self, Forgotten, LOG_BYTES_MAX, Signed};
use crate::format::metadata::Timestamp;
use crate::format::snapshot::{self, Body, Header, SNAPSHOT_BYTES_MAX, SealedSnapshot};
use crate::id::{PrincipalId, SnapshotId, StatementId};
use crate::keys::keyring::Rights;
use crate::progress::{Context, Problem};
use crate::store::{ObjectKind, ObjectName};

/// A committed snapshot, opened.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// What every principal may know.
    pub header: Header,
    /// What readers may know.
    pub body: Body,
}

impl Snapshot {
    /// The id that it had before it was committed anew, for the first time; its own, if it never was.
    pub fn lineage(&self) -> SnapshotId {
        self.header.original.unwrap_or(self.id)
    }
}

/// The snapshots known at a moment and which of them are newest: no other one was written by somebody who had seen them.
#[derive(Clone, Debug, Default)]
pub struct SnapshotGraph {
    heads: BTreeSet<SnapshotId>,
    listed: BTreeSet<SnapshotId>,
    /// Those that the writers of others had seen.
    seen: BTreeSet<SnapshotId>,
    void: BTreeSet<SnapshotId>,
    /// What their writers knew of the charter.
    statements: BTreeSet<StatementId>,
}

/// Snapshots whose headers are open.
type Sealed = BTreeMap<SnapshotId, SealedSnapshot>;

impl SnapshotGraph {
    fn of(listed: BTreeSet<SnapshotId>, opened: &Sealed, voids: &Voids) -> Self {
        let headers = || opened.values().map(|snapshot| &snapshot.header);
        let seen: BTreeSet<SnapshotId> = headers().flat_map(|header| &header.heads).copied().collect();
        let is_head = |id: &&SnapshotId| !seen.contains(id) && !voids.by_right.contains_key(id);
        Self {
            heads: opened.keys().filter(is_head).copied().collect(),
            listed,
            void: voids.by_right.keys().copied().collect(),
            statements: headers().flat_map(|header| &header.charter_heads).copied().collect(),
            seen,
        }
    }

    /// The newest snapshots; more than one after two runs at once.
    pub fn heads(&self) -> Vec<SnapshotId> {
        self.heads.iter().copied().collect()
    }

    /// The statements of the charter that writers have seen.
    pub fn statements(&self) -> &BTreeSet<StatementId> {
        &self.statements
    }

    /// Whether nothing has to be said of a snapshot that was there once: it is there, or void, or somebody wrote after it.
    pub fn explains(&self, id: &SnapshotId) -> bool {
        self.listed.contains(id) || self.seen.contains(id) || self.void.contains(id)
    }

    /// Snapshots that are gone although nobody forgot them: those who wrote later had seen them.
    pub fn gone(&self) -> impl Iterator<Item = SnapshotId> {
        self.seen.iter().filter(|id| !self.listed.contains(id) && !self.void.contains(id)).copied()
    }

    /// What a machine has seen that looked at this graph and then, perhaps, added a snapshot: the newest, and those that it
    /// remembered and the graph does not explain, such as one of a run at the same time.
    pub fn remember(&self, own: Option<SnapshotId>, remembered: &[SnapshotId]) -> Vec<SnapshotId> {
        let unexplained = remembered.iter().copied().filter(|id| Some(*id) != own && !self.explains(id));
        let newest = own.map_or_else(|| self.heads(), |own| vec![own]);
        newest.into_iter().chain(unexplained).collect()
    }
}

/// Snapshots that somebody declared void.
#[derive(Clone, Debug, Default)]
pub struct Voids {
    /// By somebody who may forget, or removed by a prune: void for ever, whatever put lands later.
    pub by_right: BTreeMap<SnapshotId, Voided>,
    /// By somebody who may only write: that counts for what they announced themselves and did not commit.
    pub by_writers: BTreeMap<SnapshotId, BTreeSet<PrincipalId>>,
}

/// Why a snapshot is void, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voided {
    /// For people.
    pub reason: String,
    /// The later of when its record says so and of when that was put, so that neither of two clocks alone makes it long ago.
    /// Nothing, once only a prune speaks of it.
    pub since: Option<Timestamp>,
}

impl Voids {
    /// Adds what a record says that was put at `put`. Of several that speak of a snapshot the latest counts.
    fn add(&mut self, signed: Signed<Forgotten>, put: Option<jiff::Timestamp>) {
        let may_forget = signed.maker.rights.contains(Rights::FORGET);
        let put = put.map(Timestamp::from);
        for void in signed.record.entries {
            if may_forget {
                let since = Some(put.map_or(void.time, |put| put.max(void.time)));
                let known = self.by_right.get(&void.snapshot);
                if known.is_none_or(|known| known.since < since) {
                    self.by_right.insert(void.snapshot, Voided { reason: void.reason, since });
                }
            } else {
                self.by_writers.entry(void.snapshot).or_default().insert(signed.maker.key.principal());
            }
        }
    }

    /// Whether an announcement of `writer` was declared void by somebody who may.
    pub fn hold(&self, id: &SnapshotId, writer: &PrincipalId) -> bool {
        self.by_right.contains_key(id) || self.by_writers.get(id).is_some_and(|makers| makers.contains(writer))
    }
}

/// Restricts which snapshots are meant.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only of these machines, if any are given.
    pub hosts: Vec<String>,
    /// Only with one of these tags; several joined by `,` must all be there.
    pub tags: Vec<String>,
    /// Only those that hold all of these paths, absolute.
    pub paths: Vec<Vec<u8>>,
    /// Only with one of these labels.
    pub labels: Vec<String>,
}

impl Filter {
    /// Whether a snapshot is among those meant.
    pub fn admits(&self, candidate: &Snapshot) -> bool {
        let Body { hosts, tags, paths, .. } = &candidate.body;
        (self.hosts.is_empty() || self.hosts.iter().any(|host| hosts.contains(host)))
            && (self.tags.is_empty() || self.tags.iter().any(|wanted| snapshot::have_all_tags(tags, wanted)))
            && self.paths.iter().all(|path| paths.contains(path))
            && (self.labels.is_empty()
                || self.labels.iter().any(|label| candidate.header.label.as_deref() == Some(label)))
    }
}

impl Repository {
    /// Every committed snapshot that is not forgotten, oldest first.
    ///
    /// # Errors
    /// The store fails, the key may not read, or a snapshot needs a newer version. Junk is reported and passed over.
    pub fn snapshots(&self, cx: &Context<'_>) -> Result<Vec<Snapshot>> {
        Ok(self.history(cx)?.0)
    }

    /// [`Self::snapshots`], and how they follow one another.
    pub fn history(&self, cx: &Context<'_>) -> Result<(Vec<Snapshot>, SnapshotGraph)> {
        self.require(Rights::READ)?;
        let (mut sealed, graph, _) = self.sealed_snapshots(cx)?;
        sealed.retain(|id, _| !graph.void.contains(id));
        Ok((self.open_bodies(sealed, cx)?, graph))
    }

    /// Every snapshot that is there, also what is void, oldest first, and what was declared void by somebody who may.
    ///
    /// # Errors
    /// Those of [`Self::snapshots`].
    pub fn snapshots_and_voids(&self, cx: &Context<'_>) -> Result<(Vec<Snapshot>, BTreeMap<SnapshotId, Voided>)> {
        self.require(Rights::READ)?;
        let (sealed, _, voids) = self.sealed_snapshots(cx)?;
        Ok((self.open_bodies(sealed, cx)?, voids.by_right))
    }

    /// Opens bodies; junk is reported and passed over.
    fn open_bodies(&self, sealed: Sealed, cx: &Context<'_>) -> Result<Vec<Snapshot>> {
        let mut snapshots: Vec<Snapshot> = Vec::with_capacity(sealed.len());
        let opened: Vec<_> = sealed
            .into_par_iter()
            .map(|(id, sealed)| {
                let body = sealed.open_body(&self.keyring);
                (id, sealed.header, body)
            })
            .collect();
        for (id, header, body) in opened {
            let name = ObjectName::new(ObjectKind::Snapshots, id);
            match body.map_err(|source| Error::Object { object: name, source }) {
                Ok(body) => snapshots.push(Snapshot { id, header, body }),
                Err(error @ Error::Object { .. }) => report(cx, name, &error),
                Err(error) => return Err(error),
            }
        }
        snapshots.sort_by_key(|snapshot| (snapshot.header.time, snapshot.id));
        Ok(snapshots)
    }

    /// How the snapshots follow one another.
    pub fn snapshot_graph(&self, cx: &Context<'_>) -> Result<SnapshotGraph> {
        let (_, graph, _) = self.sealed_snapshots(cx)?;
        Ok(graph)
    }

    /// `snapshots/` is listed before `forgotten/`: a snapshot that was forgotten in between is then known to be. What is void
    /// is opened as well, for it still says what its writer had seen.
    fn sealed_snapshots(&self, cx: &Context<'_>) -> Result<(Sealed, SnapshotGraph, Voids)> {
        let listed: BTreeSet<SnapshotId> =
            self.objects.list(ObjectKind::Snapshots)?.iter().map(|object| object.id.into()).collect();
        let voids = self.voids(cx)?;
        let opened = self.open_headers(listed.iter().copied().collect(), cx)?;
        let graph = SnapshotGraph::of(listed, &opened, &voids);
        Ok((opened, graph, voids))
    }

    /// Opens headers; junk, and what needs a newer version, is reported and passed over.
    fn open_headers(&self, ids: Vec<SnapshotId>, cx: &Context<'_>) -> Result<Sealed> {
        let opened: Vec<_> = ids.into_par_iter().map(|id| (id, self.sealed_snapshot(id, cx))).collect();
        let mut snapshots = BTreeMap::new();
        for (id, sealed) in opened {
            match sealed {
                Ok(sealed) => {
                    snapshots.insert(id, sealed);
                }
                // Removed between listing and reading, as a prune does with what is void.
                Err(error) if is_absent(&error) => {}
                Err(error @ (Error::Object { .. } | Error::NewGeneration { .. })) => {
                    report(cx, ObjectName::new(ObjectKind::Snapshots, id), &error);
                }
                Err(error) if is_junk(&error) || is_unreadable(&error) => {
                    report(cx, ObjectName::new(ObjectKind::Snapshots, id), &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(snapshots)
    }

    fn sealed_snapshot(&self, id: SnapshotId, cx: &Context<'_>) -> Result<SealedSnapshot> {
        let name = ObjectName::new(ObjectKind::Snapshots, id);
        let bytes = self.objects.get(name, SNAPSHOT_BYTES_MAX)?;
        self.decode(name, cx, |keyring| snapshot::decode_object(&bytes, keyring))
    }

    /// Snapshots that are void for ever.
    ///
    /// `forgotten/` is listed before `gc/`: a prune puts the ids that it found void into its own record before it deletes the
    /// records that said so.
    pub fn voids(&self, cx: &Context<'_>) -> Result<Voids> {
        let mut voids = Voids::default();
        for listed in self.objects.list(ObjectKind::Forgotten)? {
            let name = ObjectName::new(ObjectKind::Forgotten, listed.id);
            let record = self
                .objects
                .get(name, LOG_BYTES_MAX)
                .and_then(|bytes| self.decode(name, cx, |keyring| log::decode_forgotten(&bytes, keyring)));
            match record {
                Ok(signed) => voids.add(signed, listed.modified),
                Err(error) if is_absent(&error) => {}
                Err(error) if is_junk(&error) => report(cx, name, &error),
                Err(error) => return Err(error),
            }
        }
        for id in self.gc(cx)?.records.void() {
            let pruned = || Voided { reason: "removed by a prune".to_owned(), since: None };
            voids.by_right.entry(id).or_insert_with(pruned);
        }
        Ok(voids)
    }

    /// The one snapshot that `wanted` means among those that `filter` admits: an id or its beginning, also
    /// that of a snapshot whose place it took, `latest`, `latest~2`, a tag, or a moment as `@2026-11-01` or `@2026-11-01 03:00` or RFC 3339, which means the newest snapshot not after it.
    pub fn find_snapshot(&self, wanted: &str, filter: &Filter, cx: &Context<'_>) -> Result<Snapshot> {
        pick(&self.snapshots_admitted(filter, cx)?, wanted).cloned()
    }

    /// The snapshots that each of `wanted` means among those that `filter` admits, in the order in which they are wanted.
    pub fn find_snapshots(&self, wanted: &[&str], filter: &Filter, cx: &Context<'_>) -> Result<Vec<Snapshot>> {
        let snapshots = self.snapshots_admitted(filter, cx)?;
        wanted.iter().map(|wanted| pick(&snapshots, wanted).cloned()).collect()
    }

    fn snapshots_admitted(&self, filter: &Filter, cx: &Context<'_>) -> Result<Vec<Snapshot>> {
        let (mut snapshots, graph) = self.history(cx)?;
        if let Some(withheld) = self.compare_or_note(&graph, cx)? {
            // What is there can be read all the same; only the newest may not be the newest.
            let what = withheld.into_error(self.objects.location()).to_string();
            cx.progress.problem(&Problem { item: ObjectKind::Snapshots.folder().into(), what });
        }
        snapshots.retain(|snapshot| filter.admits(snapshot));
        Ok(snapshots)
    }
}

/// Picks from snapshots in the order of time.
pub fn pick<'s>(snapshots: &'s [Snapshot], wanted: &str) -> Result<&'s Snapshot> {
    let no_such = || Error::NoSuchSnapshot { wanted: wanted.to_owned() };
    if let Some(back) = parse_latest(wanted) {
        let at = back.checked_add(1).and_then(|back| snapshots.len().checked_sub(back)).ok_or_else(no_such)?;
        return Ok(&snapshots[at]);
    }
    if let Some(moment) = wanted.strip_prefix('@') {
        let moment = Timestamp::from(parse_moment(moment)?);
        let until = snapshots.partition_point(|snapshot| snapshot.header.time < moment);
        return until.checked_sub(1).map(|at| &snapshots[at]).ok_or_else(no_such);
    }
    let begins = |id: SnapshotId| begins_with(id, wanted);
    let by_id: Vec<_> = snapshots.iter().filter(|snapshot| begins(snapshot.id)).collect();
    let stands_for = |snapshot: &&Snapshot| snapshot.header.original.is_some_and(begins);
    match by_id[..] {
        [snapshot] => Ok(snapshot),
        [] if snapshots.iter().any(|snapshot| stands_for(&snapshot)) => {
            snapshots.iter().rfind(stands_for).ok_or_else(no_such)
        }
        [] => {
            let has_tag = |snapshot: &&Snapshot| snapshot.body.tags.iter().any(|tag| tag == wanted);
            snapshots.iter().rfind(has_tag).ok_or_else(no_such)
        }
        _ => Err(Error::AmbiguousSnapshot {
            wanted: wanted.to_owned(),
            found: by_id.iter().map(|snapshot| snapshot.id).collect(),
        }),
    }
}

/// Whether `wanted` is the beginning of an id.
pub fn begins_with(id: SnapshotId, wanted: &str) -> bool {
    let is_hex = !wanted.is_empty() && wanted.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hex && id.to_string().starts_with(wanted)
}

fn parse_latest(wanted: &str) -> Option<usize> {
    match wanted.strip_prefix("latest")? {
        "" => Some(0),
        back => back.strip_prefix('~')?.parse().ok(),
    }
}

/// The end of the day, minute or moment that was named, so that what happened in it counts as not after it.
fn parse_moment(text: &str) -> Result<jiff::Timestamp> {
    let bad = || Error::Usage(format!("`{text}` is not a time: write 2026-11-01, 2026-11-01 03:00 or RFC 3339"));
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return moment.checked_add(jiff::Span::new().nanoseconds(1)).map_err(|_| bad());
    }
    let zone = TimeZone::system();
    let local = |moment: civil::DateTime| zone.to_timestamp(moment).map_err(|_| bad());
    if let Ok(date) = text.parse::<civil::Date>()
        && text.len() == "2026-11-01".len()
    {
        return local(date.tomorrow().map_err(|_| bad())?.to_datetime(civil::Time::midnight()));
    }
    let moment = parse_local_time(text).ok_or_else(bad)?;
    local(moment.checked_add(jiff::Span::new().seconds(if text.len() > 16 { 1 } else { 60 })).map_err(|_| bad())?)
}

fn parse_local_time(text: &str) -> Option<civil::DateTime> {
    ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"].iter().find_map(|form| civil::DateTime::strptime(form, text).ok())
}

/// A point in time as a user writes it: RFC 3339, or `2026-11-01[ 03:00[:00]]` in local time.
pub fn parse_time(text: &str) -> Result<jiff::Timestamp> {
    let bad = || Error::Usage(format!("`{text}` is not a time: write 2026-11-01, 2026-11-01 03:00 or RFC 3339"));
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment);
    }
    let local = match text.parse::<civil::Date>() {
        Ok(date) if text.len() == "2026-11-01".len() => date.to_datetime(civil::Time::midnight()),
        _ => parse_local_time(text).ok_or_else(bad)?,
    };
    TimeZone::system().to_timestamp(local).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::Extras;
    use crate::format::snapshot::Summary;
    use crate::id::ChunkId;

    fn snapshot(first: u8, time: &str, tags: &[&str]) -> Snapshot {
        let mut id = [0; 32];
        id[0] = first;
        Snapshot {
            id: SnapshotId(id),
            header: Header {
                writer: PrincipalId([0; 32]),
                heads: Vec::new(),
                original: None,
                time: Timestamp::from(time.parse::<jiff::Timestamp>().unwrap()),
                label: None,
                charter_heads: Vec::new(),
                body_hash: [0; 32],
                extras: Extras::default(),
            },
            body: Body {
                root: ChunkId([0; 32]),
                links: None,
                births: None,
                hosts: vec!["host".into()],
                user: "me".into(),
                paths: vec![b"/home".to_vec()],
                tags: tags.iter().map(|&tag| tag.into()).collect(),
                partial: false,
                program_version: String::new(),
                summary: Summary::default(),
                extras: Extras::default(),
            },
        }
    }

    fn history() -> Vec<Snapshot> {
        vec![
            snapshot(0xab, "2026-11-01T10:00:00Z", &["keep"]),
            snapshot(0xac, "2026-11-02T10:00:00Z", &[]),
            snapshot(0xcd, "2026-11-03T10:00:00Z", &["keep", "late"]),
        ]
    }

    #[test]
    fn a_snapshot_is_found_by_each_of_its_names() {
        let first_byte = |wanted: &str| pick(&history(), wanted).map(|snapshot| snapshot.id.0[0]).ok();
        assert_eq!(first_byte("latest"), Some(0xcd));
        assert_eq!(first_byte("latest~2"), Some(0xab));
        assert_eq!(first_byte("latest~3"), None);
        assert_eq!(first_byte("ac"), Some(0xac));
        assert_eq!(first_byte("keep"), Some(0xcd));
        assert_eq!(first_byte("@2026-11-02T10:00:00Z"), Some(0xac));
        assert_eq!(first_byte("@2026-11-02T09:59:59Z"), Some(0xab));
        assert_eq!(first_byte("@2026-10-01"), None);
        assert!(matches!(pick(&history(), "a"), Err(Error::AmbiguousSnapshot { found, .. }) if found.len() == 2));
        assert!(matches!(pick(&history(), "@yesterday"), Err(Error::Usage(_))));
    }

    #[test]
    fn a_filter_admits_by_host_tag_and_path() {
        let late = &history()[2];
        let admits = |filter: Filter| filter.admits(late);
        assert!(admits(Filter::default()));
        assert!(admits(Filter { tags: vec!["keep,late".into()], ..Filter::default() }));
        assert!(!admits(Filter { tags: vec!["keep,other".into()], ..Filter::default() }));
        assert!(admits(Filter { tags: vec!["other".into(), "late".into()], ..Filter::default() }));
        assert!(!admits(Filter { hosts: vec!["elsewhere".into()], ..Filter::default() }));
        assert!(!admits(Filter { paths: vec![b"/etc".to_vec()], ..Filter::default() }));
        assert!(!admits(Filter { labels: vec!["nightly".into()], ..Filter::default() }));
    }
}
