//! Those who forget, and those who withdraw what a dead run has announced.

use crate::store::{Bits, Put};
use crate::world::{Proc, Turn};

/// Forgets each of these snapshots, if it is committed, whenever it likes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Forgetter {
    pub(crate) choice: Bits,
}

impl Forgetter {
    pub(crate) fn step(&self, turn: &mut Turn<'_>) {
        for id in (self.choice & turn.store.live_snapshots()).iter() {
            let then = Proc::Forgetter(Self { choice: self.choice - Bits::one(id) });
            let from = turn.steps.len();
            turn.puts("forgets a snapshot", Put::Forgotten(id), then);
            turn.notes(from, |truth| truth.forgotten |= Bits::one(id));
        }
    }
}

/// The next run on a machine whose last run is dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Withdrawer {
    /// Waits for this process to die, which may have announced these.
    Waiting { place: u8, announced: Bits },
    /// Of what was announced, this is not committed.
    Withdrawing(Bits),
    /// Of this it has said so.
    Dropping(u8, Bits),
}

impl Withdrawer {
    pub(crate) fn step(&self, turn: &mut Turn<'_>) {
        match *self {
            Self::Waiting { place, announced } if turn.store.truth.dead.has(place) => {
                let left = (announced & turn.store.truth.announced) - turn.store.snapshots;
                turn.goes("lists snapshots/ for what a dead run has left", Proc::Withdrawer(Self::Withdrawing(left)));
            }
            Self::Withdrawing(left) => {
                let Some(id) = left.first() else { return };
                let left = left - Bits::one(id);
                let then =
                    if turn.config.drops_withdrawn() { Self::Dropping(id, left) } else { Self::Withdrawing(left) };
                turn.puts("withdraws a snapshot", turn.config.withdrawal(id), Proc::Withdrawer(then));
            }
            Self::Dropping(id, left) => {
                let then = Proc::Withdrawer(Self::Withdrawing(left));
                turn.changes("drops the pending", then, |store| store.pending -= Bits::one(id));
            }
            Self::Waiting { .. } => {}
        }
    }
}
