//! One operation on the store at a time, each by the client whose turn it is.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use caddis::store::memory::MemoryStore;
use caddis::store::{ByteRange, Listed, ObjectKind, ObjectName, Store, StoreError};

use crate::dice::Dice;

/// Once in so many turns the client that gets it stands still instead.
const STOPS_ONCE_IN: u64 = 150;

/// Turns that it misses then, at most.
const STOPPED_MAX: u64 = 400;

/// Goes round among clients, as the dice say.
pub(crate) struct Baton {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    dice: Dice,
    holder: usize,
    turns: u64,
    /// Until which turn each client that is still there stands still.
    stopped: Vec<Option<u64>>,
}

impl State {
    fn pass_on(&mut self) {
        self.turns += 1;
        let there: Vec<usize> = (0..self.stopped.len()).filter(|&at| self.stopped[at].is_some()).collect();
        let awake = |at: &usize| self.stopped[*at].is_some_and(|until| until <= self.turns);
        let mut choice: Vec<usize> = there.iter().copied().filter(awake).collect();
        if choice.len() > 1 && self.dice.once_in(STOPS_ONCE_IN) {
            let sleeper = choice.remove(self.dice.place(choice.len()));
            self.stopped[sleeper] = Some(self.turns + self.dice.below(STOPPED_MAX));
        }
        if choice.is_empty() {
            choice = there;
        }
        if !choice.is_empty() {
            self.holder = choice[self.dice.place(choice.len())];
        }
    }
}

impl Baton {
    pub(crate) fn new(dice: Dice, clients: usize) -> Self {
        let state = State { dice, holder: 0, turns: 0, stopped: vec![Some(0); clients] };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    fn wait_for_turn(&self, client: usize) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.moved.wait_while(state, |state| state.holder != client).unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something when it is the client's turn, and passes the baton on.
    fn take_turn<T>(&self, client: usize, work: impl FnOnce() -> T) -> T {
        let mut state = self.wait_for_turn(client);
        let done = work();
        state.pass_on();
        drop(state);
        self.moved.notify_all();
        done
    }

    /// The client takes no further turn.
    pub(crate) fn leave(&self, client: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stopped[client] = None;
        if state.holder == client {
            state.pass_on();
        }
        drop(state);
        self.moved.notify_all();
    }
}

/// What happens to one action of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Nothing.
    Undisturbed,
    /// Operation number `.0` fails without effect.
    FailsOnce(u64),
    /// Operation number `.0` is done, and its answer is lost.
    LosesAnswer(u64),
    /// The process is killed at operation number `.0`.
    Killed(u64),
}

/// The store as one client sees it during one action.
pub(crate) struct Turns {
    store: Arc<MemoryStore>,
    baton: Arc<Baton>,
    client: usize,
    fate: Fate,
    operations: Mutex<u64>,
}

impl Turns {
    pub(crate) fn new(store: Arc<MemoryStore>, baton: Arc<Baton>, client: usize, fate: Fate) -> Self {
        Self { store, baton, client, fate, operations: Mutex::new(0) }
    }

    /// Whether what was to befall the action has.
    pub(crate) fn is_struck(&self) -> bool {
        let operations = *self.operations.lock().unwrap();
        match self.fate {
            Fate::Undisturbed => false,
            Fate::FailsOnce(at) | Fate::LosesAnswer(at) | Fate::Killed(at) => operations > at,
        }
    }

    fn operate<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.baton.take_turn(self.client, || {
            let mut operations = self.operations.lock().unwrap();
            let number = *operations;
            *operations += 1;
            match self.fate {
                Fate::FailsOnce(at) if number == at => Err(lost()),
                Fate::Killed(at) if number >= at => Err(lost()),
                Fate::LosesAnswer(at) if number == at => work().and(Err(lost())),
                _ => work(),
            }
        })
    }
}

fn lost() -> StoreError {
    StoreError::Unreachable(io::Error::other("the dice asked for this"))
}

impl Store for Turns {
    fn location(&self) -> String {
        self.store.location()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.operate(|| self.store.put(name, bytes))
    }

    fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Vec<u8>, StoreError> {
        self.operate(|| self.store.get(name, range))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<Listed>, StoreError> {
        self.operate(|| self.store.list(kind))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.operate(|| self.store.delete(name))
    }
}
