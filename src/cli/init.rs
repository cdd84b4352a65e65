//! `caddis init`

use super::args::{Global, InitArgs, Kdf};
use super::{Outcome, open, print_line, render, report};
use crate::error::{Error, Result};
use crate::id::RepositoryId;
use crate::progress::Context;
use crate::repo::access::KeySource;
use crate::repo::{InitOptions, Repository};

pub(super) fn run(global: &Global, args: &InitArgs, cx: &Context<'_>) -> Result<Outcome> {
    let pack_bytes = u32::try_from(args.pack_size.as_u64())
        .map_err(|_| Error::Usage(format!("a pack size of {} is out of range", args.pack_size)))?;
    let Made { id, location, .. } = make(global, &args.kdf, &InitOptions { pack_bytes }, cx)?;
    if global.json {
        let document = serde_json::json!({
            "message_type": "initialized",
            "id": id.to_string(),
            "repository": location,
        });
        print_line(&render::json_line(&document))?;
    } else {
        report(global, &format!("made repository {} at {location}", id.short()))?;
    }
    Ok(Outcome::Done)
}

/// A new repository.
pub(super) struct Made {
    id: RepositoryId,
    location: String,
    /// What opens it.
    pub(super) key: KeySource,
}

/// Makes the repository that the global options name. The key comes first: whoever breaks off at the prompt leaves nothing.
pub(super) fn make(global: &Global, kdf: &Kdf, options: &InitOptions, cx: &Context<'_>) -> Result<Made> {
    options.check()?; // Before anything is made.
    let path = open::repository_path(global)?;
    let places = open::places(global)?;
    if open::open_store(&path).is_ok() {
        return Err(Error::RepositoryExists { location: path.display().to_string() });
    }
    let key = open::first_key(global, kdf, cx)?;
    let store = open::create_store(&path)?;
    let location = store.path().display().to_string();
    let id = Repository::init(store, &key, options, &places, &open::identity(), cx)?;
    Ok(Made { id, location, key: key.source })
}
