//! Forgetting snapshots: by name, or by a policy for each group of them.
//!
//! [`plan`] decides, [`forget`] acts: one signed record says of all of them that they are void. What they are made of
//! stays until a prune finds that nobody else needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::format::metadata;
use crate::id::{PrincipalId, SnapshotId};
use crate::keys::keyring::Rights;
use crate::progress::Context;
use crate::repo::Repository;
use crate::repo::snapshots::{Filter, Snapshot, pick};
use crate::retention::{Candidate, Policy, Verdict, judge};
use crate::store::ObjectKind;

/// So long a prune leaves what was forgotten alone, so that it can be brought back.
pub const UNDO_WINDOW_DAYS: i64 = 7;

/// Snapshots that a message names; of more it says how many there are.
const NAMED_MAX: usize = 5;

/// What shall be forgotten.
#[derive(Clone, Debug)]
pub enum Choice {
    /// These, named as for [`pick`].
    Named(Vec<String>),
    /// What a policy does not keep, in groups that each have a history of their own.
    Policy {
        /// What is kept of each group.
        policy: Policy,
        /// What the snapshots of a group have in common, besides their writer.
        grouping: Grouping,
        /// Whether a group may lose all.
        allows_empty: bool,
        /// What time it is where days begin and end.
        zone: TimeZone,
    },
}

/// What makes snapshots one history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// The label that a backup was given; for want of one, hosts and paths.
    #[default]
    Label,
    /// Some of these.
    By {
        /// The machines.
        host: bool,
        /// The sources.
        paths: bool,
        /// All tags.
        tags: bool,
    },
}

/// What the snapshots of a group have in common. One writer never pushes out what another one made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The label.
    pub label: Option<String>,
    /// The machines.
    pub hosts: Option<Vec<String>>,
    /// The sources.
    pub paths: Option<Vec<Vec<u8>>>,
    /// All tags.
    pub tags: Option<Vec<String>>,
    /// Who signed them.
    pub writer: PrincipalId,
}

impl GroupKey {
    fn of(snapshot: &Snapshot, grouping: Grouping) -> Self {
        let Snapshot { header, body, .. } = snapshot;
        let label = header.label.clone().filter(|_| grouping == Grouping::Label);
        let (host, paths, tags) = match grouping {
            Grouping::Label => (label.is_none(), label.is_none(), false),
            Grouping::By { host, paths, tags } => (host, paths, tags),
        };
        Self {
            label,
            hosts: host.then(|| sorted(&body.hosts)),
            paths: paths.then(|| sorted(&body.paths)),
            tags: tags.then(|| sorted(&body.tags)),
            writer: header.writer,
        }
    }
}

fn sorted<T: Ord + Clone>(texts: &[T]) -> Vec<T> {
    let texts: BTreeSet<&T> = texts.iter().collect();
    texts.into_iter().cloned().collect()
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |name: &str, texts: &Option<Vec<String>>| {
            let texts = texts.as_ref()?;
            Some(if texts.is_empty() { format!("no {name}") } else { format!("{name} {}", texts.join(", ")) })
        };
        let paths = self.paths.as_ref().map(|paths| paths.iter().map(|path| lossy(path)).collect());
        let label = self.label.as_ref().map(|label| format!("label {label}"));
        let parts = [label, list("host", &self.hosts), list("path", &paths), list("tag", &self.tags)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match parts[..] {
            [] => write!(f, "writer {}", self.writer.short()),
            _ => f.write_str(&parts.join(", ")),
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A history of its own.
#[derive(Clone, Debug)]
pub struct Group {
    /// What its snapshots have in common; nothing, if they were named one by one.
    pub key: Option<GroupKey>,
    /// Oldest first, with what becomes of each.
    pub snapshots: Vec<(Snapshot, Verdict)>,
}

impl Group {
    /// Those that are forgotten.
    pub fn forgotten(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter().filter(|(_, verdict)| !verdict.is_kept()).map(|(snapshot, _)| snapshot)
    }

    /// Those that are kept, and why.
    pub fn kept(&self) -> impl Iterator<Item = &(Snapshot, Verdict)> {
        self.snapshots.iter().filter(|(_, verdict)| verdict.is_kept())
    }

    /// Whether the policy speaks for none of them. One that is kept because its time cannot be right is no backup to
    /// rely on.
    fn is_emptied(&self) -> bool {
        self.forgotten().next().is_some() && self.kept().all(|(_, verdict)| verdict.is_ahead())
    }
}

/// What is going to be forgotten.
#[derive(Debug)]
pub struct Plan {
    groups: Vec<Group>,
    reason: &'static str,
}

impl Plan {
    /// Every snapshot that was looked at.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn of_named(snapshots: &[Snapshot], wanted: &[String]) -> Result<Self> {
        let mut found: Vec<&Snapshot> = wanted.iter().map(|wanted| pick(snapshots, wanted)).collect::<Result<_>>()?;
        found.sort_by_key(|snapshot| (snapshot.header.time, snapshot.id));
        found.dedup_by_key(|snapshot| snapshot.id);
        let snapshots = found.into_iter().map(|snapshot| (snapshot.clone(), Verdict::default())).collect();
        Ok(Self { groups: vec![Group { key: None, snapshots }], reason: "forgotten" })
    }

    fn by_policy(
        snapshots: Vec<Snapshot>,
        policy: &Policy,
        grouping: Grouping,
        uploads: &BTreeMap<SnapshotId, Timestamp>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Self {
        let mut groups: BTreeMap<GroupKey, Vec<Snapshot>> = BTreeMap::new();
        for snapshot in snapshots {
            groups.entry(GroupKey::of(&snapshot, grouping)).or_default().push(snapshot);
        }
        let judged = |(key, snapshots): (GroupKey, Vec<Snapshot>)| {
            let candidate = |snapshot| candidate(snapshot, uploads);
            let candidates: Vec<Candidate<'_>> = snapshots.iter().map(candidate).collect();
            let verdicts = judge(policy, &candidates, now, zone);
            Group { key: Some(key), snapshots: snapshots.into_iter().zip(verdicts).collect() }
        };
        Self { groups: groups.into_iter().map(judged).collect(), reason: "forgotten by policy" }
    }

    /// Says what is worth a look before anything is forgotten.
    fn note(&self, cx: &Context<'_>) {
        let single = self.groups.iter().filter(|group| group.snapshots.len() == 1).count();
        match (single, self.groups.len()) {
            (0, _) => {}
            (1, 1) => cx.progress.note("there is a single snapshot, which nothing can push out"),
            (single, all) => cx.progress.note(&format!(
                "groups with a single snapshot, which nothing can push out: {single} of {all}; see --group-by"
            )),
        }
        let all = self.groups.iter().flat_map(|group| &group.snapshots);
        let ahead: Vec<String> =
            all.filter(|(_, verdict)| verdict.is_ahead()).map(|(snapshot, _)| snapshot.id.short()).collect();
        if !ahead.is_empty() {
            let named = ahead[..ahead.len().min(NAMED_MAX)].join(", ");
            let more =
                if ahead.len() > NAMED_MAX { format!(" and {} more", ahead.len() - NAMED_MAX) } else { String::new() };
            cx.progress.note(&format!("kept, and not counted, for a time that lies ahead: {named}{more}"));
        }
    }
}

/// Snapshots have times that no calendar knows only if a clock was wrong, or somebody lies.
fn candidate<'s>(snapshot: &'s Snapshot, uploads: &BTreeMap<SnapshotId, Timestamp>) -> Candidate<'s> {
    let metadata::Timestamp { secs, .. } = snapshot.header.time;
    let beyond = if secs < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let time = snapshot.header.time.to_jiff().unwrap_or(beyond);
    Candidate { time, uploaded: uploads.get(&snapshot.id).copied(), tags: &snapshot.body.tags }
}

/// Decides what is forgotten of the snapshots that `filter` admits.
///
/// # Errors
/// [`Error::NotPermitted`] without the right to read and to forget; [`Error::Withheld`] if this machine knows of snapshots
/// that are not listed, for a policy would count what is left; [`Error::KeepsNothing`].
pub fn plan(repository: &Repository, choice: &Choice, filter: &Filter, cx: &Context<'_>) -> Result<Plan> {
    repository.require(Rights::FORGET)?;
    let uploads = uploads(repository)?;
    let (mut snapshots, graph) = repository.history(cx)?;
    if let Some(withheld) = repository.compare_or_note(&graph, cx)? {
        return Err(withheld.into_error(repository.objects.location()));
    }
    snapshots.retain(|snapshot| filter.admits(snapshot));
    match choice {
        Choice::Named(wanted) => Plan::of_named(&snapshots, wanted),
        Choice::Policy { policy, grouping, allows_empty, zone } => {
            let plan = Plan::by_policy(snapshots, policy, *grouping, &uploads, cx.clock.now(), zone);
            plan.note(cx);
            match plan.groups.iter().find(|group| group.is_emptied() && !allows_empty) {
                Some(Group { key: Some(key), snapshots }) => {
                    Err(Error::KeepsNothing { group: key.to_string(), snapshots: snapshots.len() })
                }
                _ => Ok(plan),
            }
        }
    }
}

/// When snapshots were put. The clock of a local disk is that of whoever writes there, and knows no better than they.
fn uploads(repository: &Repository) -> Result<BTreeMap<SnapshotId, Timestamp>> {
    if !repository.objects.has_own_clock() {
        return Ok(BTreeMap::new());
    }
    let listed = repository.objects.list(ObjectKind::Snapshots)?;
    Ok(listed.iter().filter_map(|listed| Some((listed.id.into(), listed.modified?))).collect())
}

/// Forgets what was planned, and answers what became of each snapshot.
///
/// # Errors
/// The record cannot be stored: then nothing is forgotten.
pub fn forget(repository: &mut Repository, plan: Plan, cx: &Context<'_>) -> Result<Vec<Group>> {
    let forgotten: Vec<SnapshotId> =
        plan.groups.iter().flat_map(Group::forgotten).map(|snapshot| snapshot.id).collect();
    if !forgotten.is_empty() {
        repository.introduce_self(cx)?;
        repository.declare_void(&forgotten, plan.reason, cx)?;
    }
    Ok(plan.groups)
}
