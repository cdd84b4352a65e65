//! Tries every order of the steps of several processes.
//!
//! Distinct stores and distinct states of a process are few, and their combinations many. So each is kept once and named by a
//! number, a state is a row of numbers, and what a process can do with a store is worked out once.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use crate::store::Store;
use crate::world::{Config, Proc, Step, Violation};

/// No configuration has more processes.
const PROCESSES_MAX: usize = 5;

/// A store and its processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    store: u32,
    processes: [u32; PROCESSES_MAX],
}

/// A process and a store.
type Pair = (u32, u32);

/// Mixes a few small numbers, faster than what withstands numbers that were chosen to collide.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(padded)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type Mixed = BuildHasherDefault<Mixer>;

/// Values that are kept once each.
struct Table<T> {
    numbers: HashMap<Rc<T>, u32>,
    values: Vec<Rc<T>>,
}

impl<T: Eq + Hash> Table<T> {
    fn new() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new() }
    }

    /// The number of a value, and whether it is new.
    fn number(&mut self, value: T) -> (u32, bool) {
        if let Some(&number) = self.numbers.get(&value) {
            return (number, false);
        }
        let number = u32::try_from(self.values.len()).expect("fewer values than would fill the memory");
        let value = Rc::new(value);
        self.values.push(Rc::clone(&value));
        self.numbers.insert(value, number);
        (number, true)
    }

    fn value(&self, number: u32) -> &Rc<T> {
        &self.values[number as usize]
    }
}

/// What was found.
pub(crate) struct Outcome {
    pub(crate) states: usize,
    pub(crate) stores: usize,
    /// The first violation in the order of the number of steps, and the steps that lead to it.
    pub(crate) violation: Option<(Violation, String)>,
}

struct Explorer<'c> {
    config: &'c Config,
    stores: Table<Store>,
    processes: Table<Proc>,
    /// What may become of a process and the store.
    steps: HashMap<Pair, Rc<[Pair]>, Mixed>,
    seen: HashSet<State, Mixed>,
    /// Each state with the place of the one before it: a queue that is never emptied.
    reached: Vec<(State, u32)>,
    violation: Option<(u32, Violation)>,
}

/// Explores every reachable state of a configuration, or as many as it takes to find a violation.
pub(crate) fn explore(config: &Config) -> Outcome {
    let mut explorer = Explorer {
        config,
        stores: Table::new(),
        processes: Table::new(),
        steps: HashMap::default(),
        seen: HashSet::default(),
        reached: Vec::new(),
        violation: None,
    };
    explorer.begin();
    let mut next = 0;
    while explorer.violation.is_none() && next < explorer.reached.len() {
        if next > config.states_max {
            assert!(config.is_cut_short, "{}: more than {} states", config.name, config.states_max);
            break;
        }
        explorer.expand(next);
        next += 1;
    }
    let violation = explorer.violation.take();
    Outcome {
        states: explorer.reached.len(),
        stores: explorer.stores.values.len(),
        violation: violation.map(|(store, violation)| (violation, explorer.trace(store))),
    }
}

impl Explorer<'_> {
    fn begin(&mut self) {
        let store = self.store(self.config.store.clone());
        let mut processes = [u32::MAX; PROCESSES_MAX];
        assert!(self.config.processes.len() <= PROCESSES_MAX, "no more than {PROCESSES_MAX} processes");
        for (place, process) in processes.iter_mut().zip(&self.config.processes) {
            *place = self.processes.number(process.clone()).0;
        }
        self.reach(State { store, processes }, 0);
    }

    fn store(&mut self, store: Store) -> u32 {
        let violation = self.config.violation(&store);
        let (number, is_new) = self.stores.number(store);
        if let (true, Some(violation), None) = (is_new, violation, &self.violation) {
            self.violation = Some((number, violation));
        }
        number
    }

    fn reach(&mut self, state: State, from: usize) {
        if self.seen.insert(state) {
            self.reached.push((state, u32::try_from(from).expect("fewer states than would fill the memory")));
        }
    }

    fn expand(&mut self, from: usize) {
        let state = self.reached[from].0;
        for place in 0..self.config.processes.len() {
            for &(process, store) in self.steps(state.processes[place], state.store).iter() {
                let mut then = State { store, ..state };
                then.processes[place] = process;
                self.reach(then, from);
            }
        }
    }

    fn steps(&mut self, process: u32, store: u32) -> Rc<[Pair]> {
        if let Some(steps) = self.steps.get(&(process, store)) {
            return Rc::clone(steps);
        }
        let taken = self.processes.value(process).steps(self.config, self.stores.value(store));
        let number = |step: Step| {
            let then = step.store.map_or(store, |store| self.store(store));
            (self.processes.number(step.process).0, then)
        };
        let steps: Rc<[Pair]> = taken.into_iter().map(number).collect();
        self.steps.insert((process, store), Rc::clone(&steps));
        steps
    }

    /// The steps that lead to the first state with this store.
    fn trace(&self, store: u32) -> String {
        let mut place = self.reached.iter().position(|(state, _)| state.store == store).expect("it was reached");
        let mut places = vec![place];
        while place != 0 {
            place = self.reached[place].1 as usize;
            places.push(place);
        }
        places.reverse();
        let mut text = format!("{:?}\n", self.config.store);
        for pair in places.windows(2) {
            self.tell(&mut text, self.reached[pair[0]].0, self.reached[pair[1]].0);
        }
        text
    }

    fn tell(&self, text: &mut String, before: State, after: State) {
        let (from, to) = (self.stores.value(before.store), self.stores.value(after.store));
        let mut places = (0..self.config.processes.len()).filter(|&place| {
            (0..PROCESSES_MAX).all(|other| other == place || before.processes[other] == after.processes[other])
        });
        let leads_there = |place: usize| {
            let then = self.processes.value(after.processes[place]);
            let steps = self.processes.value(before.processes[place]).steps(self.config, from);
            let is_it = |step: &Step| step.process == **then && step.store.as_ref().unwrap_or(from) == &**to;
            steps.into_iter().find(is_it).map(|step| (place, step.what))
        };
        let (place, what) = places.find_map(leads_there).expect("a step led there");
        writeln!(text, "process {place}: {what}").expect("a string takes all");
        if from != to {
            writeln!(text, "    {to:?}").expect("a string takes all");
        }
    }
}
