//! What a pruner may find worth deleting. Nothing is lost whatever it chooses, and here it chooses all that makes sense.

use std::collections::BTreeSet;

use caddis::protocol::pruner::Choose;

use crate::store::{Bits, CHUNKS, Small};
use crate::world::{Mutation, Policy, Turn};

/// What to condemn, and which chunks to copy into a pack of their own before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    pub(super) condemned: Bits,
    pub(super) copied: Bits,
}

/// Whether a chunk that a root needs is in no pack that the index names.
///
/// One that is in a pack that was not listed, but is not condemned, was put since.
pub(super) fn is_missing(turn: &Turn<'_>, choose: &Choose<Small>, indexed: Bits) -> bool {
    let found = indexed.iter().filter(|pack| choose.packs().contains(pack) || choose.gc().spares(pack)).collect();
    let holders = turn.holders(found);
    live_chunks(turn, choose).iter().any(|chunk| holders[usize::from(chunk)].is_empty())
}

fn live_chunks(turn: &Turn<'_>, choose: &Choose<Small>) -> Bits {
    turn.config.live_chunks(choose.roots().into())
}

/// All that is worth condemning. What others' records condemn is named again, so that those records can go.
fn unwanted(turn: &Turn<'_>, choose: &Choose<Small>, indexed: Bits) -> Bits {
    let listed = Bits::from(choose.packs());
    let condemned = choose.gc().records.values().fold(Bits::NONE, |all, record| all | Bits::from(&record.condemned));
    let unfinished: Bits = condemned.iter().filter(|pack| !choose.gc().is_dead(pack)).collect();
    match turn.config.mutation {
        Some(Mutation::OthersNotNamedAgain) => (listed - condemned) & indexed | choose.orphans().collect(),
        Some(Mutation::OrphansLeft) => (listed & indexed) | unfinished,
        _ => (listed & indexed) | choose.orphans().collect() | unfinished,
    }
}

pub(super) fn choices(turn: &Turn<'_>, choose: &Choose<Small>, indexed: Bits) -> BTreeSet<Choice> {
    let live = live_chunks(turn, choose);
    let unwanted = unwanted(turn, choose, indexed);
    let readable = turn.holders(indexed & Bits::from(choose.packs()));
    let safe = turn.holders(indexed.iter().filter(|pack| choose.is_safe(pack)).collect());
    let at_hand = live.iter().filter(|&chunk| !readable[usize::from(chunk)].is_empty()).collect();
    let all_copied = Choice { condemned: unwanted, copied: at_hand };
    let mut choices = BTreeSet::new();
    if turn.config.policy != Policy::Repack {
        choices.extend(keeping_one_of_each(unwanted, at_hand, safe));
    }
    if turn.config.policy != Policy::Thorough {
        choices.insert(all_copied);
    }
    if turn.config.policy == Policy::Any {
        let needed =
            live.iter().fold(Bits::NONE, |needed, chunk| needed | turn.holders(Bits(u16::MAX))[usize::from(chunk)]);
        choices.insert(Choice { condemned: unwanted - needed, copied: Bits::NONE });
        choices.insert(Choice { condemned: Bits::NONE, copied: Bits::NONE });
    }
    choices
}

/// One pack that nobody condemns is kept for each chunk, whichever. What has none is copied.
fn keeping_one_of_each(unwanted: Bits, chunks: Bits, safe: [Bits; CHUNKS as usize]) -> BTreeSet<Choice> {
    let mut kept = BTreeSet::from([Bits::NONE]);
    let mut copied = Bits::NONE;
    for chunk in chunks.iter() {
        let keepers = safe[usize::from(chunk)];
        if keepers.is_empty() {
            copied |= Bits::one(chunk);
        } else {
            let with = |kept: &Bits| keepers.iter().map(|pack| *kept | Bits::one(pack)).collect::<Vec<_>>();
            kept = kept.iter().flat_map(with).collect();
        }
    }
    // Nothing is kept in which each chunk is in a pack that is kept anyway.
    let is_least = |one: &Bits| !kept.iter().any(|other| other != one && other.is_subset(*one));
    kept.iter().filter(|one| is_least(one)).map(|&one| Choice { condemned: unwanted - one, copied }).collect()
}
