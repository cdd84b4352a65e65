//! A configuration: what lies in the store, who is there, what may go wrong, and what must hold all the same.

use crate::others::{Forgetter, Withdrawer};
use crate::pruner::Pruner;
use crate::store::{Bits, CHUNKS, Late, Put, Store, Truth};
use crate::writer::Writer;

/// A guard that the environment of the processes takes away, by lying to the steps or by taking them in another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// W4 is answered with the names of W1.
    WriterDoesNotLookAgain,
    /// W4 comes before W3.
    WriterLooksBeforeItAnnounces,
    /// W1 takes the names in `gc/` only when it has looked at the index.
    NamesAfterIndex,
    /// W1 relies on what is condemned.
    WriterTrustsCondemned,
    /// W4 relies on what is condemned.
    ReloadTrustsCondemned,
    /// W3 puts nothing.
    NoPending,
    /// Nobody looks into `forgotten/` after W5.
    NoConfirmation,
    /// A parent that is live when it is read, before `gc/`, is taken to be whole.
    ParentBeforeGc,
    /// A parent that is live is taken to be whole.
    ParentUnchecked,
    /// What a parent relied on is taken over though it is condemned or not in the index.
    RememberedUnchecked,
    /// P3 is answered with the listings of P1.
    PrunerDoesNotLookAgain,
    /// P3 lists `snapshots/` before `pending/`.
    SnapshotsBeforePending,
    /// P2 puts nothing.
    NoGcRecord,
    /// P3 reads its own record alone.
    OtherPrunesIgnored,
    /// P5 comes before P3.
    DeletedBeforeLookingAgain,
    /// A pending that is not committed is deleted.
    PendingDroppedSilently,
    /// A pending that is not committed is declared void.
    PendingDropped,
    /// P6 puts no finished record.
    NoFinishedRecord,
    /// P6 deletes what the finished record stands for before it puts it.
    FinishedRecordLast,
    /// P6 deletes all older records with condemned packs.
    OthersRecordsDeleted,
    /// The finished record says only what this prune has done.
    DeadListsNotCarried,
    /// What others' records condemn is deleted with what is condemned by the own one.
    OthersWorkFinished,
    /// P2 names no withdrawn snapshot, and what holds them is deleted all the same.
    WithdrawnNotNamed,
    /// P3 takes the word of writers for what is void.
    WritersWordTaken,
    /// P4 deletes segments before the new one is put.
    SegmentsDeletedFirst,
    /// P1 leaves to others what their records condemn.
    OthersNotNamedAgain,
    /// P1 condemns nothing that no segment names.
    OrphansLeft,
    /// P3 takes what no segment was seen to name for what is of no use.
    OrphansTrusted,
    /// Void snapshots are deleted before a record in `gc/` says that they are void.
    VoidsDeletedFirst,
    /// Who withdraws a pending, and has no right to forget, deletes it at once.
    PendingDroppedWithVoid,
    /// A pack is put after the segment that names it.
    SegmentBeforePack,
}

/// Kinds of puts that may land late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pack,
    Segment,
    Pending,
    Snapshot,
    Gc,
    Forgotten,
}

/// What a pruner may choose to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// All garbage goes, and one pack of each chunk stays.
    Thorough,
    /// All that, or what nobody needs and no duplicate, or all is copied into one pack, or nothing is done.
    Any,
    /// All is copied into one pack.
    Repack,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    pub(crate) processes: Vec<Proc>,
    pub(crate) mutation: Option<Mutation>,
    /// Puts of these kinds may land late: at most one, after its process has died or once more.
    pub(crate) late: Vec<Kind>,
    /// A listing of the index comes in two pages.
    pub(crate) is_paged: bool,
    /// A pruner makes one segment of all that it has listed.
    pub(crate) merges: bool,
    /// P1 is one step: it decides what is worth deleting, not what is safe.
    pub(crate) p1_at_once: bool,
    /// What is void is read in one step with what `gc/` condemns.
    pub(crate) voids_at_once: bool,
    pub(crate) policy: Policy,
    /// Writers may die, and it is known.
    pub(crate) writers_die: bool,
    /// Writers may forget, so that what they withdraw is void by right.
    pub(crate) writers_may_forget: bool,
    /// How often a writer tries.
    pub(crate) attempts_max: u8,
    /// Which chunks each snapshot needs. What is not listed needs the first.
    pub(crate) needs: Vec<Bits>,
    /// Whether one more prune must leave no garbage.
    pub(crate) must_be_clean: bool,
    /// More than so many states are a mistake, or are left out.
    pub(crate) states_max: usize,
    pub(crate) is_cut_short: bool,
}

/// Something that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A committed snapshot lacks a chunk.
    Hole(u8),
    /// A snapshot that was reported as saved is not committed, or is void though nobody has forgotten it.
    Lost(u8),
    /// One prune alone leaves garbage.
    Garbage,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "",
            store: Store::default(),
            processes: Vec::new(),
            mutation: None,
            late: Vec::new(),
            is_paged: false,
            merges: false,
            p1_at_once: false,
            voids_at_once: false,
            policy: Policy::Thorough,
            writers_die: false,
            writers_may_forget: false,
            attempts_max: 2,
            needs: Vec::new(),
            must_be_clean: false,
            states_max: 4_000_000,
            is_cut_short: false,
        }
    }
}

impl Config {
    /// What declares a snapshot void in its writer's name.
    pub(crate) fn withdrawal(&self, id: u8) -> Put {
        if self.writers_may_forget { Put::Forgotten(id) } else { Put::GivenUp(id) }
    }

    /// Whether a pending is deleted as soon as it is withdrawn. A word that is not void by right needs it still.
    pub(crate) fn drops_withdrawn(&self) -> bool {
        self.writers_may_forget || self.has(Mutation::PendingDroppedWithVoid)
    }

    /// Which chunks a snapshot needs.
    pub(crate) fn needs(&self, id: u8) -> Bits {
        self.needs.get(usize::from(id)).copied().unwrap_or(Bits::one(0))
    }

    pub(crate) fn live_chunks(&self, roots: Bits) -> Bits {
        roots.iter().fold(Bits::NONE, |chunks, id| chunks | self.needs(id))
    }

    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// The first thing that is wrong with a store.
    pub(crate) fn violation(&self, store: &Store) -> Option<Violation> {
        let readable = store.readable();
        let lacks = |chunk: u8| (readable & store.holders[usize::from(chunk)]).is_empty();
        let live = store.live_snapshots();
        let hole = live.iter().find(|&id| self.needs(id).iter().any(lacks)).map(Violation::Hole);
        let lost = || (store.truth.saved - live - store.truth.forgotten).first().map(Violation::Lost);
        let garbage =
            || (self.must_be_clean && !crate::quiet::leaves_no_garbage(self, store)).then_some(Violation::Garbage);
        hole.or_else(lost).or_else(garbage)
    }
}

/// One of the processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Proc {
    Writer(Writer),
    Pruner(Pruner),
    Forgetter(Forgetter),
    Withdrawer(Withdrawer),
    /// Declares these void as soon as they are announced: an owner who knows that a machine is gone, and is wrong.
    Owner(Bits),
    /// Lets a late put land.
    Lander,
    Dead,
}

/// A step that a process can take.
pub(crate) struct Step {
    pub(crate) what: &'static str,
    pub(crate) process: Proc,
    /// Nothing, if it has only looked.
    pub(crate) store: Option<Store>,
}

impl Proc {
    /// All steps that it can take next. It may always be that it takes none of them, for ever.
    pub(crate) fn steps(&self, config: &Config, store: &Store) -> Vec<Step> {
        let mut turn = Turn { config, store, steps: Vec::new() };
        match self {
            Self::Writer(writer) => writer.step(&mut turn),
            Self::Pruner(pruner) => pruner.step(&mut turn),
            Self::Forgetter(forgetter) => forgetter.step(&mut turn),
            Self::Withdrawer(withdrawer) => withdrawer.step(&mut turn),
            Self::Owner(ids) => {
                for id in (*ids & store.pending).iter() {
                    let left = Self::Owner(*ids - Bits::one(id));
                    turn.puts("declares an announced run void", Put::Forgotten(id), left);
                }
            }
            Self::Lander => turn.lands(),
            Self::Dead => {}
        }
        turn.steps
    }

    fn place(&self) -> Option<u8> {
        match self {
            Self::Writer(writer) => Some(writer.place),
            _ => None,
        }
    }
}

/// A process takes its turn: what it finds, and what it may do.
pub(crate) struct Turn<'t> {
    pub(crate) config: &'t Config,
    pub(crate) store: &'t Store,
    pub(crate) steps: Vec<Step>,
}

impl Turn<'_> {
    /// Has looked at something.
    pub(crate) fn goes(&mut self, what: &'static str, process: Proc) {
        self.steps.push(Step { what, process, store: None });
    }

    /// What no process can see changes as well with each of the steps that begin there.
    pub(crate) fn notes(&mut self, from: usize, note: impl Fn(&mut Truth)) {
        self.steps[from..].iter_mut().filter_map(|step| step.store.as_mut()).for_each(|store| note(&mut store.truth));
    }

    /// Has changed something in one way or another.
    pub(crate) fn changes(&mut self, what: &'static str, process: Proc, change: impl FnOnce(&mut Store)) {
        let mut store = self.store.clone();
        change(&mut store);
        self.steps.push(Step { what, process, store: Some(store) });
    }

    /// Puts an object; if it may land late, then that as well: it dies there, or the put lands once more.
    pub(crate) fn puts(&mut self, what: &'static str, put: Put, process: Proc) {
        if self.config.late.contains(&put.kind()) && self.store.truth.late == Late::Possible {
            let place = process.place();
            self.changes(what, Proc::Dead, |store| {
                store.truth.late = Late::OnItsWay(put.clone());
                store.truth.dead |= place.map_or(Bits::NONE, Bits::one);
            });
            self.changes(what, process.clone(), |store| {
                store.put(&put);
                store.truth.late = Late::OnItsWay(put.clone());
            });
        }
        self.changes(what, process, |store| store.put(&put));
    }

    fn lands(&mut self) {
        if let Late::OnItsWay(put) = &self.store.truth.late {
            let put = put.clone();
            self.changes("a late put lands", Proc::Lander, |store| {
                store.put(&put);
                store.truth.late = Late::Landed;
            });
        }
    }

    /// The packs among these in which each chunk lies.
    pub(crate) fn holders(&self, packs: Bits) -> [Bits; CHUNKS as usize] {
        self.store.holders.map(|holders| holders & packs)
    }
}

impl Put {
    fn kind(&self) -> Kind {
        match self {
            Self::Pack(..) => Kind::Pack,
            Self::Segment(..) => Kind::Segment,
            Self::Pending(_) => Kind::Pending,
            Self::Snapshot(_) => Kind::Snapshot,
            Self::Gc(..) => Kind::Gc,
            Self::Forgotten(_) | Self::GivenUp(_) => Kind::Forgotten,
        }
    }
}
