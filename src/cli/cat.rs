//! `caddis cat`

use std::io::{self, BufWriter};

use super::args::{CatArgs, Global};
use super::{Outcome, open, restore};
use crate::error::Result;
use crate::listing;
use crate::progress::Context;
use crate::repo::fetch::Reader;

pub(super) fn run(global: &Global, args: &CatArgs, cx: &Context<'_>) -> Result<Outcome> {
    let repository = open::open(global, cx)?;
    let (wanted, path) = restore::split(&args.snapshot)?;
    let snapshot = repository.find_snapshot(wanted, &restore::filter(&args.filter)?, cx)?;
    let reader = Reader::open(&repository, cx)?;
    listing::cat(&reader, &snapshot, &path, &mut BufWriter::new(io::stdout().lock()), cx)?;
    Ok(Outcome::Done)
}
