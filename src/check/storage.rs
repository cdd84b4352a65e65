//! Checks storage without a key: every name is the hash of its object's bytes. Whoever only hosts a repository can do this.
//!
//! What an error costs only a key can tell, so that nothing but an announcement counts as repairable: what was only announced
//! was never said to be saved.

use rayon::prelude::*;

use super::findings::Findings;
use super::gate::Gate;
use super::small::limit_of;
use super::{PACK_BYTES_MAX, Report, finding_of};
use crate::error::{Error, Result, with_causes};
use crate::format::config::{self, CONFIG_BYTES_MAX};
use crate::progress::Context;
use crate::repo::objects::Objects;
use crate::store::{Listed, ObjectKind, ObjectName, StoreError};

/// Checks the names of all objects, and the signature of `config`.
///
/// # Errors
/// Only what keeps the check from going on: the store does not answer.
pub fn check(objects: &Objects, cx: &Context<'_>) -> Result<Report> {
    let findings = Findings::default();
    let ended = look(objects, &findings, cx);
    let mut report = findings.into_report(ended.map(|()| None))?;
    for error in &mut report.errors {
        error.repairable = error.object.kind() == ObjectKind::Pending;
    }
    Ok(report)
}

fn look(objects: &Objects, findings: &Findings, cx: &Context<'_>) -> Result<()> {
    check_config(objects, findings)?;
    let mut listed: Vec<(ObjectName, u64)> = Vec::new();
    for kind in ObjectKind::ALL.into_iter().filter(|&kind| kind != ObjectKind::Config) {
        let name = |object: Listed| (ObjectName::new(kind, object.id), object.bytes);
        listed.extend(objects.list(kind)?.into_iter().map(name));
    }
    cx.progress.ahead(listed.len() as u64, listed.iter().map(|(_, bytes)| bytes).sum());
    let gate = Gate::new();
    listed.par_iter().try_for_each(|&(name, bytes)| check_object(objects, name, bytes, &gate, findings, cx))
}

fn check_object(
    objects: &Objects,
    name: ObjectName,
    bytes: u64,
    gate: &Gate,
    findings: &Findings,
    cx: &Context<'_>,
) -> Result<()> {
    cx.cancel.check()?;
    cx.progress.current(name.path().as_bytes());
    let limit = limit_of(name.kind()).unwrap_or(PACK_BYTES_MAX);
    let held = gate.enter(bytes.min(limit));
    // The bytes go before the room that was made for them.
    let got = objects.get(name, limit).map(drop);
    drop(held);
    findings.read(bytes.min(limit));
    if is_pack(name) {
        findings.looked_at_pack();
        findings.read_pack();
    }
    cx.progress.done(1, bytes);
    if let Some(error) = got.map_or_else(finding_of, |()| Ok(None))? {
        findings.error(name, with_causes(&error));
    }
    Ok(())
}

/// The one object that is not named by its hash; without it there is no repository.
fn check_config(objects: &Objects, findings: &Findings) -> Result<()> {
    let decoded = objects.get(ObjectName::CONFIG, CONFIG_BYTES_MAX).and_then(|bytes| {
        findings.read(bytes.len() as u64);
        config::decode_object(&bytes).map_err(|source| Error::Object { object: ObjectName::CONFIG, source })
    });
    match decoded {
        Ok(_) => Ok(()),
        Err(error @ Error::Store { source: StoreError::Absent, .. }) => {
            findings.error(ObjectName::CONFIG, with_causes(&error));
            Ok(())
        }
        Err(error) => {
            if let Some(error) = finding_of(error)? {
                findings.error(ObjectName::CONFIG, with_causes(&error));
            }
            Ok(())
        }
    }
}

fn is_pack(name: ObjectName) -> bool {
    matches!(name.kind(), ObjectKind::Packs | ObjectKind::Trees)
}
