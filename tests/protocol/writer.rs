//! A writer that takes the steps of `caddis::protocol::writer`.

use std::collections::BTreeSet;
use std::rc::Rc;

use caddis::protocol::Gc;
use caddis::protocol::writer::{Announce, Begin, Commit, Confirm, LookAgain, LookAtIndex, Looked, Reload};

use crate::store::{Bits, Page, Put, Segments, Small, Store, packs_in};
use crate::world::{Mutation, Proc, Turn};

/// A backup of chunks that never change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    pub(crate) place: u8,
    /// What its next snapshot is called, the next pack and the next segment.
    id: u8,
    pack: u8,
    segment: u8,
    attempt: u8,
    /// What it announced before it was overtaken.
    earlier: Option<u8>,
    /// A snapshot of its own, and the packs that this one relied on.
    remembered: Option<(u8, Bits)>,
    /// What a mutated writer saw too early.
    early: Option<Rc<Store>>,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Begin(Begin),
    Index(LookAtIndex<Small>, Option<Segments>),
    Pack(LookAtIndex<Small>, Bits, Bits),
    Segment(LookAtIndex<Small>, Bits, Bits),
    Parent(LookAtIndex<Small>),
    Announce(Announce<Small>),
    Withdraw(LookAgain<Small>),
    DropEarlier(LookAgain<Small>, u8),
    LookAgain(LookAgain<Small>),
    /// Has looked again, and announces only now.
    AnnounceLate(Result<Commit, Reload<Small>>),
    Reload(Reload<Small>),
    ReloadIndex(Reload<Small>, LookAtIndex<Small>, Option<Segments>),
    Commit(Commit),
    ConfirmForgotten(Confirm),
    ConfirmGc(Confirm, bool),
    DropPending,
    /// Saved, or has given up.
    Ended,
}

impl Writer {
    /// The writer that is the process at this place: names are drawn from a range of its own.
    pub(crate) fn new(place: u8) -> Self {
        Self {
            place,
            id: 2 + 3 * place,
            pack: 4 + 3 * place,
            segment: 32 + 4 * place,
            attempt: 0,
            earlier: None,
            remembered: None,
            early: None,
            phase: Phase::Begin(Begin),
        }
    }

    /// Takes over what an earlier snapshot of its own relied on, if all of it is usable.
    pub(crate) fn remembering(mut self, snapshot: u8, packs: Bits) -> Self {
        self.remembered = Some((snapshot, packs));
        self
    }

    /// What it may announce.
    pub(crate) fn ids(place: u8) -> Bits {
        (0..3).map(|attempt| 2 + 3 * place + attempt).collect()
    }

    pub(crate) fn step(&self, turn: &mut Turn<'_>) {
        if turn.config.writers_die && self.phase != Phase::Ended {
            turn.changes("the writer dies", Proc::Dead, |store| store.truth.dead |= Bits::one(self.place));
        }
        match self.phase.clone() {
            Phase::Begin(begin) => self.begins(turn, begin),
            Phase::Index(look, first) => self.looks_at_index(turn, look, first),
            Phase::Parent(look) => self.looks_at_parent(turn, look),
            Phase::Pack(look, relied, missing) => self.puts_pack(turn, look, relied, missing),
            Phase::Segment(look, relied, missing) => self.puts_segment(turn, look, relied, missing),
            Phase::Announce(announce) => self.announces(turn, announce),
            Phase::Withdraw(look_again) => self.withdraws(turn, look_again),
            Phase::DropEarlier(look_again, id) => {
                let then = self.at(Phase::LookAgain(look_again));
                turn.changes("W3 drops the earlier pending", then, |store| store.pending -= Bits::one(id));
            }
            Phase::LookAgain(look_again) => self.looks_again(turn, look_again),
            Phase::AnnounceLate(looked) => {
                let then = match looked {
                    Ok(commit) => Phase::Commit(commit),
                    Err(reload) => Phase::Reload(reload),
                };
                self.puts_pending(turn, then);
            }
            Phase::Reload(reload) => {
                let gc = if turn.config.has(Mutation::ReloadTrustsCondemned) {
                    Gc::default()
                } else {
                    turn.store.gc.clone()
                };
                let look = Begin.gc_listed(turn.store.gc_names(), &gc);
                turn.goes("W4 reads gc/", self.at(Phase::ReloadIndex(reload, look, None)));
            }
            Phase::ReloadIndex(reload, look, first) => self.reloads(turn, reload, look, first),
            Phase::Commit(commit) => {
                let then = self.at(Phase::ConfirmForgotten(commit.committed()));
                turn.puts("W5 puts the snapshot", Put::Snapshot(self.id), then);
            }
            Phase::ConfirmForgotten(confirm) => {
                let is_void = (turn.store.forgotten | turn.store.given_up).has(self.id);
                turn.goes("W6 lists forgotten/", self.at(Phase::ConfirmGc(confirm, is_void)));
            }
            Phase::ConfirmGc(confirm, is_void) => self.confirms(turn, confirm, is_void),
            Phase::DropPending => {
                let id = Bits::one(self.id);
                turn.changes("deletes its pending", self.at(Phase::Ended), |store| store.pending -= id);
            }
            Phase::Ended => {}
        }
    }

    fn at(&self, phase: Phase) -> Proc {
        // What was seen too early serves until the index has been looked at.
        let is_early = matches!(phase, Phase::Begin(_) | Phase::Index(..) | Phase::Parent(_));
        Proc::Writer(Self { phase, early: self.early.clone().filter(|_| is_early), ..self.clone() })
    }

    fn begins(&self, turn: &mut Turn<'_>, begin: Begin) {
        let too_early = [Mutation::NamesAfterIndex, Mutation::ParentBeforeGc].map(Some);
        if too_early.contains(&turn.config.mutation) && self.early.is_none() {
            let early = Some(Rc::new(turn.store.clone()));
            return turn.goes("looks too early", Proc::Writer(Self { early, ..self.clone() }));
        }
        let gc = match turn.config.mutation {
            Some(Mutation::WriterTrustsCondemned) => Gc::default(),
            Some(Mutation::NamesAfterIndex) => self.early.as_deref().unwrap_or(turn.store).gc.clone(),
            _ => turn.store.gc.clone(),
        };
        let look = begin.gc_listed(turn.store.gc_names(), &gc);
        turn.goes("W1 reads gc/", self.at(Phase::Index(look, None)));
    }

    fn looks_at_index(&self, turn: &mut Turn<'_>, look: LookAtIndex<Small>, first: Option<Segments>) {
        if turn.config.is_paged && first.is_none() {
            let first = Some(turn.store.page(Page::First));
            return turn.goes("W1 lists the first page of the index", self.at(Phase::Index(look, first)));
        }
        let is_early = turn.config.has(Mutation::NamesAfterIndex);
        let seen = self.early.as_deref().filter(|_| is_early).unwrap_or(turn.store);
        let usable: Bits = rest_of_index(seen, first).iter().filter(|pack| look.spares(pack)).collect();
        if let Some((_, packs)) = self.remembered {
            let is_unchecked = turn.config.has(Mutation::RememberedUnchecked);
            if is_unchecked || packs.is_subset(usable) {
                turn.goes("W1 takes over what it relied on", self.relies(&look, packs));
            }
            if [Mutation::ParentUnchecked, Mutation::ParentBeforeGc].map(Some).contains(&turn.config.mutation) {
                turn.goes("W1 asks for its parent", self.at(Phase::Parent(look.clone())));
            }
        }
        self.looks_up(turn, look, usable);
    }

    /// One pack for each chunk that it needs, whichever; what is in none is stored.
    fn looks_up(&self, turn: &mut Turn<'_>, look: LookAtIndex<Small>, usable: Bits) {
        let holders = turn.holders(usable);
        let mut found = BTreeSet::from([Bits::NONE]);
        let mut missing = Bits::NONE;
        for chunk in turn.config.needs(self.id).iter() {
            let packs = holders[usize::from(chunk)];
            if packs.is_empty() {
                missing |= Bits::one(chunk);
            } else {
                let with = |found: &Bits| packs.iter().map(|pack| *found | Bits::one(pack)).collect::<Vec<_>>();
                found = found.iter().flat_map(with).collect();
            }
        }
        for relied in found {
            let then = if missing.is_empty() {
                self.relies(&look, relied)
            } else if turn.config.has(Mutation::SegmentBeforePack) {
                self.at(Phase::Segment(look.clone(), relied | Bits::one(self.pack), missing))
            } else {
                self.at(Phase::Pack(look.clone(), relied | Bits::one(self.pack), missing))
            };
            turn.goes("W1 lists the index", then);
        }
    }

    fn looks_at_parent(&self, turn: &mut Turn<'_>, look: LookAtIndex<Small>) {
        let is_early = turn.config.has(Mutation::ParentBeforeGc);
        let seen = self.early.as_deref().filter(|_| is_early).unwrap_or(turn.store);
        let Some((parent, packs)) = self.remembered else { return };
        if seen.live_snapshots().has(parent) {
            turn.goes("relies on all that its live parent relied on", self.relies(&look, packs));
        }
    }

    fn relies(&self, look: &LookAtIndex<Small>, packs: Bits) -> Proc {
        self.at(Phase::Announce(look.relying_on(packs.set())))
    }

    fn puts_pack(&self, turn: &mut Turn<'_>, look: LookAtIndex<Small>, relied: Bits, missing: Bits) {
        let then = if turn.config.has(Mutation::SegmentBeforePack) {
            self.next_pack().relies(&look, relied)
        } else {
            self.at(Phase::Segment(look, relied, missing))
        };
        turn.puts("W2 puts a pack", Put::Pack(self.pack, missing), then);
    }

    fn puts_segment(&self, turn: &mut Turn<'_>, look: LookAtIndex<Small>, relied: Bits, missing: Bits) {
        let from = turn.steps.len();
        let is_first = turn.config.has(Mutation::SegmentBeforePack);
        let then =
            if is_first { self.at(Phase::Pack(look, relied, missing)) } else { self.next_pack().relies(&look, relied) };
        turn.puts("W2 puts a segment", Put::Segment(self.segment, Bits::one(self.pack)), then);
        for store in turn.steps[from..].iter_mut().filter_map(|step| step.store.as_mut()).filter(|_| is_first) {
            // It says what is in the pack.
            missing.iter().for_each(|chunk| store.holders[usize::from(chunk)] |= Bits::one(self.pack));
        }
    }

    fn next_pack(&self) -> Self {
        Self { pack: self.pack + 1, segment: self.segment + 1, ..self.clone() }
    }

    fn announces(&self, turn: &mut Turn<'_>, announce: Announce<Small>) {
        let look_again = announce.announced();
        if turn.config.has(Mutation::NoPending) {
            return turn.goes("announces nothing", self.at(Phase::LookAgain(look_again)));
        }
        if turn.config.has(Mutation::WriterLooksBeforeItAnnounces) {
            return self.looks_again(turn, look_again);
        }
        let then = if self.earlier.is_some() { Phase::Withdraw(look_again) } else { Phase::LookAgain(look_again) };
        self.puts_pending(turn, then);
    }

    fn puts_pending(&self, turn: &mut Turn<'_>, then: Phase) {
        let from = turn.steps.len();
        turn.puts("W3 announces its snapshot", Put::Pending(self.id), self.at(then));
        turn.notes(from, |truth| truth.announced |= Bits::one(self.id));
    }

    fn withdraws(&self, turn: &mut Turn<'_>, look_again: LookAgain<Small>) {
        let earlier = self.earlier.expect("there is something to withdraw");
        let without = Self { earlier: None, ..self.clone() };
        let then = if turn.config.drops_withdrawn() {
            Phase::DropEarlier(look_again, earlier)
        } else {
            Phase::LookAgain(look_again)
        };
        turn.puts("W3 withdraws what it announced before", turn.config.withdrawal(earlier), without.at(then));
    }

    fn looks_again(&self, turn: &mut Turn<'_>, look_again: LookAgain<Small>) {
        let looked = if turn.config.has(Mutation::WriterDoesNotLookAgain) {
            Ok(Commit)
        } else {
            match look_again.names_listed(&turn.store.gc_names()) {
                Looked::Same(commit) => Ok(commit),
                Looked::Changed(reload) => Err(reload),
            }
        };
        let then = match looked {
            looked if turn.config.has(Mutation::WriterLooksBeforeItAnnounces) => Phase::AnnounceLate(looked),
            Ok(commit) => Phase::Commit(commit),
            Err(reload) => Phase::Reload(reload),
        };
        turn.goes("W4 lists gc/", self.at(then));
    }

    fn reloads(&self, turn: &mut Turn<'_>, reload: Reload<Small>, look: LookAtIndex<Small>, first: Option<Segments>) {
        if turn.config.is_paged && first.is_none() {
            let first = Some(turn.store.page(Page::First));
            return turn.goes("W4 lists the first page of the index", self.at(Phase::ReloadIndex(reload, look, first)));
        }
        match reload.reloaded(&look, rest_of_index(turn.store, first).iter()) {
            Some(commit) => turn.goes("W4 can use all that it relied on", self.at(Phase::Commit(commit))),
            None => turn.goes("W4 is overtaken", self.overtaken(turn)),
        }
    }

    /// Begins again under another id, unless it has tried often enough.
    fn overtaken(&self, turn: &Turn<'_>) -> Proc {
        let attempt = self.attempt + 1;
        if attempt == turn.config.attempts_max {
            return self.at(Phase::Ended);
        }
        let again = Self { attempt, earlier: Some(self.id), id: self.id + 1, ..self.clone() };
        again.at(Phase::Begin(Begin))
    }

    fn confirms(&self, turn: &mut Turn<'_>, confirm: Confirm, is_void: bool) {
        let is_void = is_void || turn.store.gc_void().has(self.id);
        if confirm.is_saved(is_void && !turn.config.has(Mutation::NoConfirmation)) {
            let id = Bits::one(self.id);
            turn.changes("W6 reports it as saved", self.at(Phase::DropPending), |store| store.truth.saved |= id);
        } else {
            turn.goes("W6 finds it void", self.overtaken(turn));
        }
    }
}

/// All packs that the index names, where its first page may have been listed before.
fn rest_of_index(store: &Store, first: Option<Segments>) -> Bits {
    match first {
        Some(first) => packs_in(&first) | packs_in(&store.page(Page::Second)),
        None => packs_in(&store.page(Page::All)),
    }
}
