//! Nothing is lost, whoever does what in whatever order, and nobody leaves what the next prune cannot clear away.

use crate::configs::{coarse, config, dying, has_time, holding, processes, torn};
use crate::explorer::explore;
use crate::others::Forgetter;
use crate::pruner::Pruner;
use crate::store::{Bits, Late, Put, Store};
use crate::world::{Config, Kind, Policy, Proc};
use crate::writer::Writer;

fn holds(config: &Config) {
    let outcome = explore(config);
    println!("{}: {} states, {} stores", config.name, outcome.states, outcome.stores);
    if let Some((violation, trace)) = outcome.violation {
        panic!("{}: {violation:?}\n{trace}", config.name);
    }
}

/// All that pruners may choose where there is time, and what is best otherwise.
fn any_if_there_is_time() -> Policy {
    if has_time() { Policy::Any } else { Policy::Thorough }
}

/// Once more after it was overtaken where there is time.
fn attempts() -> u8 {
    if has_time() { 2 } else { 1 }
}

#[test]
fn a_writer_and_a_pruner() {
    holds(&Config { policy: Policy::Any, ..config("1 writer, 1 pruner", processes(1, 1)) });
}

#[test]
fn a_writer_and_two_pruners() {
    holds(&Config { attempts_max: attempts(), ..coarse("1 writer, 2 pruners", processes(1, 2)) });
}

#[test]
fn two_writers_and_a_pruner() {
    holds(&Config { policy: any_if_there_is_time(), ..coarse("2 writers, 1 pruner", processes(2, 1)) });
}

/// Where there is no time, and no memory for tens of millions of states, only those that are reached first.
#[test]
fn two_writers_and_two_pruners() {
    let mut config = coarse("2 writers, 2 pruners", processes(2, 2));
    config.attempts_max = 1;
    config.processes.pop();
    config.states_max = if has_time() { 60_000_000 } else { 5_000_000 };
    config.is_cut_short = !has_time();
    holds(&config);
}

/// What a writer has just saved is forgotten as well.
#[test]
fn all_is_forgotten() {
    let mut processes = processes(1, 1);
    processes[2] = Proc::Forgetter(Forgetter { choice: Bits::one(0) | Bits::one(2) });
    holds(&Config { policy: Policy::Any, ..coarse("all is forgotten", processes) });
}

/// Chunks that lie together are needed one without the other, and copied while others rely on them.
#[test]
fn packs_are_repacked() {
    let both = Bits::one(0) | Bits::one(1);
    for needs in
        [vec![both, both, both], vec![both, both, Bits::one(0), Bits::one(1)], vec![Bits::one(0), Bits::one(0), both]]
    {
        let config = Config {
            policy: Policy::Any,
            store: holding(&[&[0, 1], &[1]]),
            needs,
            ..coarse("repacking", processes(1, 1))
        };
        holds(&config);
    }
}

#[test]
fn two_prunes_repack() {
    let config = coarse("2 repacking pruners", processes(1, 2));
    holds(&Config { policy: Policy::Repack, store: holding(&[&[0]]), attempts_max: attempts(), ..config });
}

/// Writers pause between a pack and its segment, when there is nothing that they could rely on.
#[test]
fn packs_that_no_segment_names_yet() {
    let config = coarse("orphans", processes(2, 1));
    holds(&Config { store: Store::default(), attempts_max: 3, ..config });
}

#[test]
fn the_index_is_merged_while_it_is_listed() {
    holds(&Config { p1_at_once: false, ..torn("merging, 1 pruner", processes(1, 1)) });
    holds(&Config { p1_at_once: false, ..torn("merging, 2 pruners", processes(0, 2)) });
}

#[test]
fn the_index_is_merged_while_a_writer_lists_it() {
    let mut config = torn("merging, 1 writer, 2 pruners", processes(1, 2));
    config.states_max = 20_000_000;
    if !has_time() {
        config.processes.pop();
    }
    holds(&config);
}

/// Each put of each process: after the process has died, or once more when all seemed done.
#[test]
fn puts_land_late() {
    for kind in [Kind::Pack, Kind::Segment, Kind::Pending, Kind::Snapshot, Kind::Gc, Kind::Forgotten] {
        holds(&dying("late puts", &[kind]));
        holds(&Config { writers_may_forget: true, ..dying("late puts where writers may forget", &[kind]) });
    }
}

/// What was on its way before anybody came.
#[test]
fn puts_land_very_late() {
    for put in
        [Put::Segment(50, Bits::one(1)), Put::Segment(1, Bits::one(1)), Put::Snapshot(0), Put::Pack(1, Bits::one(0))]
    {
        let mut config = coarse("very late puts", processes(1, 1));
        config.processes[1] = Proc::Pruner(Pruner::new(1).twice());
        config.processes.push(Proc::Lander);
        config.store.truth.late = Late::OnItsWay(put);
        holds(&config);
    }
}

/// Older records go, and what they said of the dead and the void is carried.
#[test]
fn older_records_are_deleted() {
    let mut config = coarse("older records", processes(1, 2));
    config.processes[2] = Proc::Pruner(Pruner::new(2).twice());
    config.attempts_max = attempts();
    if !has_time() {
        config.store = holding(&[&[0]]);
    }
    holds(&Config { states_max: 20_000_000, ..config });
}

#[test]
fn dead_runs_are_withdrawn() {
    holds(&Config { policy: Policy::Any, ..dying("withdrawn", &[]) });
    holds(&Config { policy: Policy::Any, writers_may_forget: true, ..dying("withdrawn by right", &[]) });
}

/// Whatever an unchanged tree lies in is taken over without looking anything up, if all of it is usable.
#[test]
fn unchanged_trees_are_reused() {
    let mut config = coarse("reuse", processes(1, if has_time() { 2 } else { 1 }));
    config.processes[0] = Proc::Writer(Writer::new(0).remembering(0, Bits::one(0) | Bits::one(1)));
    holds(&Config { policy: Policy::Any, ..config });
}
