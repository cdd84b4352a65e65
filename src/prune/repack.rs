//! Copies what is needed of packs that shall be deleted. Every chunk is proved on the way: what is deleted afterwards is not
//! the only good copy of anything.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::mark::{Need, Needs};
use super::plan::Plan;
use super::roots::packs;
use super::rows::for_each_chunk;
use super::tally::Tally;
use crate::error::{Error, Result, with_causes};
use crate::format::index::{PackKind, ShortId};
use crate::id::PackId;
use crate::index::{LocalIndex, Location};
use crate::keys::domain::ChunkKind;
use crate::progress::{Context, Problem};
use crate::repo::Repository;
use crate::repo::fetch::{Reader, is_damage};
use crate::repo::open_pack::{BlockChunk, PACK_CHUNKS_MAX};
use crate::repo::session::{Origin, Session};
use crate::repo::stretch::is_near;
use crate::seal::compress::Compression;

/// Rows of packs that are copied in one go, at 64 bytes each; the index is read once for each go.
const BATCH_ROWS: u64 = 1 << 19;

/// A block that is shorter is made anew together with others, which makes it smaller.
const WHOLE_BLOCK_BYTES: u32 = 256 << 10;

/// Nor is one copied whole that holds more chunks: it would leave no room for others in its pack.
const WHOLE_CHUNKS_MAX: usize = PACK_CHUNKS_MAX / 4;

/// Other places of a chunk that are tried when its keeper does not give it.
const PLACES_MAX: usize = 64;

/// A row of a pack that is copied.
struct Row {
    location: Location,
    id: ShortId,
    is_wanted: bool,
}

/// Copies packs.
pub(super) struct Copying<'a> {
    pub(super) repository: &'a Repository,
    pub(super) reader: &'a Reader<'a>,
    pub(super) index: &'a LocalIndex,
    pub(super) tally: &'a Tally<'a>,
    pub(super) plan: &'a Plan,
    /// Whether no further pack shall be begun.
    pub(super) is_over: &'a dyn Fn() -> bool,
    /// What could not be read.
    pub(super) unread: RefCell<Vec<(PackId, Problem)>>,
}

/// What became of that.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// Packs of which all that is needed lies elsewhere now.
    pub(super) packs: BTreeSet<PackId>,
    /// Packs of which something that is needed cannot be read.
    pub(super) damaged: u64,
    /// Bytes of the packs and segments that were made.
    pub(super) stored_bytes: u64,
    /// Whether the time was over before all was copied.
    pub(super) is_stopped: bool,
}

impl Copying<'_> {
    /// # Errors
    /// The store fails. What was copied until then is named by the index, so that it need not be copied again.
    pub(super) fn run(&self, needs: &mut Needs<'_>, cx: &Context<'_>) -> Result<Copied> {
        let mut copied = Copied::default();
        if self.plan.copies.is_empty() {
            return Ok(copied);
        }
        let mut view = self.repository.look(cx)?;
        // Of what was there before nothing counts as being there: what is copied is the best that there is, and nobody has
        // looked at the other places. Only what is copied once is not copied again.
        view.condemned.avoid(self.tally.packs().iter().map(|pack| pack.id));
        let mut session = Session::start(self.repository, view, Compression::default(), cx)?;
        let done = self.run_in(&mut session, needs, &mut copied, cx);
        match done {
            Ok(()) | Err(Error::Interrupted) => {
                session.flush(cx).and(done)?;
                copied.stored_bytes = session.stored().stored_bytes;
            }
            Err(error) => {
                session.rescue(cx);
                return Err(error);
            }
        }
        Ok(copied)
    }

    fn run_in(
        &self,
        session: &mut Session<'_>,
        needs: &mut Needs<'_>,
        copied: &mut Copied,
        cx: &Context<'_>,
    ) -> Result<()> {
        let mut damaged = BTreeSet::new();
        let mut left = &self.plan.copies[..];
        while !left.is_empty() {
            if (self.is_over)() {
                copied.is_stopped = true;
                break;
            }
            let mut rows = 0;
            let fits = |id: &&PackId| {
                let fits = rows < BATCH_ROWS;
                rows += self.tally.get(id).map_or(0, |pack| pack.rows);
                fits
            };
            let (batch, rest) = left.split_at(left.iter().take_while(fits).count());
            left = rest;
            let mut done = BTreeSet::new();
            for (pack, rows) in self.rows_of(batch, needs, cx)? {
                cx.cancel.check()?;
                if (self.is_over)() {
                    copied.is_stopped = true;
                    break;
                }
                if self.copy_pack(session, &rows, needs, cx)? {
                    done.insert(pack);
                } else {
                    damaged.insert(pack);
                }
                cx.progress.done(1, self.tally.get(&pack).map_or(0, |pack| pack.live));
            }
            session.flush(cx)?;
            copied.packs.extend(done);
        }
        copied.damaged = self.report_damage(damaged, cx)?;
        Ok(())
    }

    /// Reports what could not be read, and answers how many packs are damaged. One that is gone because somebody else
    /// has condemned it is none of them.
    fn report_damage(&self, damaged: BTreeSet<PackId>, cx: &Context<'_>) -> Result<u64> {
        let unread = self.unread.take();
        if damaged.is_empty() && unread.is_empty() {
            return Ok(0);
        }
        let there = packs(self.repository)?;
        let gc = self.repository.gc(cx)?.records;
        let is_taken = |pack: &PackId| !there.contains_key(pack) && !gc.spares(pack);
        for (_, problem) in unread.iter().filter(|(pack, _)| !is_taken(pack)) {
            cx.progress.problem(problem);
        }
        Ok(damaged.iter().filter(|pack| !is_taken(pack)).count() as u64)
    }

    /// All rows of these packs, in their order in the pack.
    fn rows_of(&self, batch: &[PackId], needs: &mut Needs<'_>, cx: &Context<'_>) -> Result<BTreeMap<PackId, Vec<Row>>> {
        let mut packs: BTreeMap<PackId, Vec<Row>> = batch.iter().map(|&pack| (pack, Vec::new())).collect();
        for_each_chunk(self.repository, self.index, cx, &mut |id, rows| {
            if !rows.iter().any(|row| packs.contains_key(&row.pack.id)) {
                return Ok(());
            }
            let keepers = if needs.of(id)? == Need::None { Vec::new() } else { self.tally.keepers(rows) };
            for (number, row) in rows.iter().enumerate().filter(|(_, row)| self.tally.counts(row)) {
                if let Some(pack) = packs.get_mut(&row.pack.id) {
                    pack.push(Row { location: row.clone(), id: *id, is_wanted: keepers.contains(&number) });
                }
            }
            Ok(())
        })?;
        for rows in packs.values_mut() {
            rows.sort_unstable_by(|a, b| (&a.location, a.id).cmp(&(&b.location, b.id)));
        }
        Ok(packs)
    }

    /// Copies what is needed of one pack; answers whether all of it was there.
    fn copy_pack(
        &self,
        session: &mut Session<'_>,
        rows: &[Row],
        needs: &mut Needs<'_>,
        cx: &Context<'_>,
    ) -> Result<bool> {
        let same_block =
            |a: &Row, b: &Row| (&a.location.pack, a.location.block) == (&b.location.pack, b.location.block);
        let blocks: Vec<&[Row]> =
            rows.chunk_by(same_block).filter(|block| block.iter().any(|row| row.is_wanted)).collect();
        let mut is_whole = true;
        let mut left = &blocks[..];
        while let Some((first, behind)) = left.split_first() {
            let near = |at: &usize| is_near(&first[0].location, &left[*at][0].location, &behind[*at][0].location);
            let (group, rest) = left.split_at(1 + (0..behind.len()).take_while(near).count());
            left = rest;
            let last = &group[group.len() - 1][0].location;
            let stretch = match self.reader.stretch(&first[0].location, last) {
                Err(error) if is_damage(&error) => None,
                stretch => Some(stretch?),
            };
            for block in group {
                cx.cancel.check()?;
                let location = &block[0].location;
                let coded = match &stretch {
                    Some(stretch) => self.reader.coded_block_in(stretch, location),
                    None => self
                        .reader
                        .stretch(location, location)
                        .and_then(|one| self.reader.coded_block_in(&one, location)),
                };
                is_whole &= self.copy_block(session, block, coded, needs, cx)?;
            }
        }
        Ok(is_whole)
    }

    /// Copies what is needed of one block; answers whether all of it was there.
    fn copy_block(
        &self,
        session: &mut Session<'_>,
        rows: &[Row],
        coded: Result<Vec<u8>>,
        needs: &mut Needs<'_>,
        cx: &Context<'_>,
    ) -> Result<bool> {
        let location = &rows[0].location;
        let opened = coded.and_then(|coded| Ok((self.reader.decode_block(location, &coded)?, coded)));
        let (plain, coded) = match opened {
            Ok(opened) => opened,
            Err(error) if is_damage(&error) => {
                let item = location.pack.name().path().into_bytes();
                self.unread.borrow_mut().push((location.pack.id, Problem { item, what: with_causes(&error) }));
                (Vec::new(), Vec::new())
            }
            Err(error) => return Err(error),
        };
        let kinds: Vec<Option<ChunkKind>> = rows.iter().map(|row| self.kind_of(row, &plain)).collect();
        if self.is_worth_whole(rows, &kinds) {
            let chunk = |(row, kind): (&Row, &Option<ChunkKind>)| {
                kind.map(|kind| BlockChunk { id: row.id, kind, len: row.location.len })
            };
            session.copy(location.pack.kind, rows.iter().zip(&kinds).filter_map(chunk).collect(), coded, cx)?;
            return Ok(true);
        }
        let mut is_whole = true;
        for (row, kind) in rows.iter().zip(kinds).filter(|(row, _)| row.is_wanted) {
            let origin = match row.location.pack.kind {
                PackKind::Data => needs.owner_of(&row.id)?,
                PackKind::Tree => Origin::Tree,
            };
            match (kind, slice(&row.location, &plain)) {
                (Some(kind), Some(plain)) => {
                    session.store(kind, origin, plain, cx)?;
                }
                _ => is_whole &= self.copy_from_elsewhere(session, row, origin, cx)?,
            }
        }
        Ok(is_whole)
    }

    /// Whether a block is copied as it is: it is long enough, hardly anything in it is unneeded, and its rows say all of it.
    #[allow(clippy::cast_precision_loss, reason = "a part is a rough thing")]
    fn is_worth_whole(&self, rows: &[Row], kinds: &[Option<ChunkKind>]) -> bool {
        let plain_len = rows[0].location.block.plain_len;
        let mut end = 0;
        let follows = |row: &Row| {
            let follows = row.location.offset == end;
            end += row.location.len;
            follows
        };
        let is_all = rows.iter().all(follows) && end == plain_len && kinds.iter().all(Option::is_some);
        let unwanted: u64 = rows.iter().filter(|row| !row.is_wanted).map(|row| u64::from(row.location.len)).sum();
        is_all
            && rows.len() <= WHOLE_CHUNKS_MAX
            && plain_len >= WHOLE_BLOCK_BYTES
            && unwanted as f64 <= self.plan.unused_part * f64::from(plain_len)
    }

    /// What a chunk holds, which also proves it; nothing if it is not the one that the index says.
    fn kind_of(&self, row: &Row, block: &[u8]) -> Option<ChunkKind> {
        let plain = slice(&row.location, block)?;
        let domain = &self.repository.keyring.domain;
        let kinds = ChunkKind::ALL.into_iter().filter(|kind| PackKind::of(*kind) == row.location.pack.kind);
        kinds.into_iter().find(|kind| ShortId::from(domain.chunk_id(*kind, plain)) == row.id)
    }

    /// A chunk that its keeper does not give: another pack may.
    fn copy_from_elsewhere(
        &self,
        session: &mut Session<'_>,
        row: &Row,
        origin: Origin,
        cx: &Context<'_>,
    ) -> Result<bool> {
        let mut tried = vec![row.location.clone()];
        while tried.len() <= PLACES_MAX {
            let next = self.index.lookup_where(&row.id, &|found| !tried.contains(found));
            let Some(location) = next.map_err(|source| self.repository.index_error(source))? else {
                return Ok(false);
            };
            let found = Row { location, id: row.id, is_wanted: true };
            match self.reader.block(&found.location) {
                Ok(block) => {
                    if let (Some(kind), Some(plain)) = (self.kind_of(&found, &block), slice(&found.location, &block)) {
                        session.store(kind, origin, plain, cx)?;
                        return Ok(true);
                    }
                }
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error),
            }
            tried.push(found.location);
        }
        Ok(false)
    }
}

/// The bytes of a chunk in its block.
fn slice<'b>(location: &Location, block: &'b [u8]) -> Option<&'b [u8]> {
    block.get(location.offset as usize..)?.get(..location.len as usize)
}
