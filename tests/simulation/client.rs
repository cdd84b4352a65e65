//! A client: a machine with a source of its own, and dice that say what its user does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caddis::error::{Error, Result, with_causes};
use caddis::prune::Options;
use caddis::store::memory::MemoryStore;

use crate::baton::{Baton, Fate, Turns};
use crate::compare::snapshot_of;
use crate::dice::Dice;
use crate::lab::{Machine, World, assert_same_tree, random_bytes, restore_to, scratch};
use crate::ledger::Ledger;
use crate::pruning::{all_goes, forgets, prunes};

/// What each client does.
const ACTIONS: u64 = 7;

/// Contents that turn up again and again, with every client.
const CONTENTS: usize = 10;

/// Files that a source has at most.
const FILES: u64 = 5;

/// Clocks go wrong by so many days at most, either way.
const DAYS: u64 = 20;

const DAY: i64 = 86_400;

#[derive(Clone, Copy, Debug)]
enum Action {
    Backup,
    Forget,
    PruneAll,
    Prune,
    Restore,
}

pub(crate) struct Client {
    number: usize,
    machine: Machine,
    source: PathBuf,
    store: Arc<MemoryStore>,
    baton: Arc<Baton>,
    dice: Dice,
    /// Threads of its own, since those of all clients together would wait for one another's turns: one for the action, which
    /// waits for its packs, and one for these.
    threads: rayon::ThreadPool,
}

/// Leaves, however the client ends.
struct Leaving<'a>(&'a Baton, usize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

impl Client {
    pub(crate) fn new(number: usize, seed: u64, root: &Path, store: Arc<MemoryStore>, baton: Arc<Baton>) -> Self {
        let source = root.join(format!("source {number}"));
        fs::create_dir(&source).unwrap();
        Self {
            number,
            machine: Machine::new(root, &format!("client {number}")),
            source,
            store,
            baton,
            dice: Dice::new(seed, &format!("client {number}")),
            threads: rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap(),
        }
    }

    /// Does what the dice say, and settles what is left of it.
    pub(crate) fn live(&mut self, ledger: &Ledger) {
        let baton = Arc::clone(&self.baton);
        let _leaving = Leaving(&baton, self.number);
        for number in 0..ACTIONS {
            let action = self.choose();
            let fate = self.fate();
            self.act(action, fate, ledger);
            ledger.assert_kept(&format!("client {}, {number}: {action:?}, {fate:?}", self.number));
        }
        self.act(Action::PruneAll, Fate::Undisturbed, ledger);
    }

    fn choose(&mut self) -> Action {
        match self.dice.below(20) {
            0..9 => Action::Backup,
            9..12 => Action::Forget,
            12..16 => Action::PruneAll,
            16..18 => Action::Prune,
            _ => Action::Restore,
        }
    }

    /// Where it is beyond the last operation, nothing happens.
    fn fate(&mut self) -> Fate {
        let at = self.dice.below(90);
        match self.dice.below(10) {
            0 => Fate::FailsOnce(at),
            1 => Fate::LosesAnswer(at),
            2 | 3 => Fate::Killed(at),
            _ => Fate::Undisturbed,
        }
    }

    fn act(&mut self, action: Action, fate: Fate, ledger: &Ledger) {
        let days = i64::try_from(self.dice.below(2 * DAYS)).unwrap() - i64::try_from(DAYS).unwrap();
        let world = World::settled_at(days * DAY);
        let turns = Arc::new(Turns::new(Arc::clone(&self.store), Arc::clone(&self.baton), self.number, fate));
        let done = match action {
            Action::Backup => self.back_up(&turns, &world, ledger),
            Action::Forget => self.forget(&turns, &world, ledger),
            Action::PruneAll => self.prune(&turns, &world, &all_goes()),
            Action::Prune => self.prune(&turns, &world, &Options::default()),
            Action::Restore => self.restore(&turns, &world, ledger),
        };
        if let Err(error) = done {
            assert!(
                turns.is_struck(),
                "client {}, {action:?}: nothing happened, and yet: {}",
                self.number,
                with_causes(&error)
            );
        }
    }

    fn back_up(&mut self, turns: &Arc<Turns>, world: &World, ledger: &Ledger) -> Result<()> {
        for _ in 0..=self.dice.below(3) {
            let file = self.source.join(format!("file {}", self.dice.below(FILES)));
            if self.dice.once_in(4) {
                let _ = fs::remove_file(file);
            } else {
                let content = self.dice.place(CONTENTS);
                let bytes = random_bytes(&format!("content {content}"), 3_000 + 9_000 * content);
                fs::write(file, bytes).unwrap();
            }
        }
        let report = self.threads.install(|| self.machine.backup(turns, &self.source, world))?;
        ledger.saved(report.snapshot, &self.source, snapshot_of(&self.source));
        Ok(())
    }

    fn forget(&mut self, turns: &Arc<Turns>, world: &World, ledger: &Ledger) -> Result<()> {
        let saved = ledger.ids();
        if saved.is_empty() {
            return Ok(());
        }
        let id = saved[self.dice.place(saved.len())];
        ledger.is_being_forgotten(id);
        match self.threads.install(|| forgets(&self.machine, turns, &[id], world)) {
            // Somebody else was faster.
            Err(Error::NoSuchSnapshot { .. }) => Ok(()),
            forgotten => forgotten,
        }
    }

    fn prune(&mut self, turns: &Arc<Turns>, world: &World, options: &Options) -> Result<()> {
        let done = self.threads.install(|| prunes(&self.machine, turns, options, world))?;
        assert!(!done.is_missing && done.damaged == 0, "nothing is lost: {done:?}");
        Ok(())
    }

    fn restore(&mut self, turns: &Arc<Turns>, world: &World, ledger: &Ledger) -> Result<()> {
        let saved = ledger.ids();
        if saved.is_empty() {
            return Ok(());
        }
        let id = saved[self.dice.place(saved.len())];
        let Some((source, tree)) = ledger.promise(id) else { return Ok(()) };
        let target = scratch();
        let to = target.path().join("target");
        let problems = self.threads.install(|| {
            let repository = self.machine.open(turns, world)?;
            restore_to(&repository, id, &source, &to, world)
        });
        if ledger.promise(id).is_none() {
            return Ok(()); // It was forgotten meanwhile.
        }
        assert!(problems? == 0 || turns.is_struck(), "{:?}", world.problems());
        if !turns.is_struck() {
            assert_same_tree(&tree, &snapshot_of(&to));
        }
        Ok(())
    }
}
