//! Each guard taken away, one at a time: then something is lost, and the explorer finds it.

use crate::configs::{coarse, dying, processes, torn, writers};
use crate::explorer::explore;
use crate::pruner::Pruner;
use crate::store::{Bits, Late, Put, Store};
use crate::world::{Config, Kind, Mutation, Proc, Violation};
use crate::writer::Writer;

fn finds(mutation: Mutation, config: Config) -> Violation {
    let config = Config { mutation: Some(mutation), ..config };
    let outcome = explore(&config);
    let Some((violation, trace)) = outcome.violation else {
        panic!("{mutation:?}: nothing is lost in {} states", outcome.states);
    };
    let steps = trace.matches("process ").count();
    println!("{mutation:?}: {violation:?} after {} states, in {steps} steps", outcome.states);
    violation
}

/// A committed snapshot comes to lack a chunk.
fn finds_hole(mutation: Mutation, config: Config) {
    let violation = finds(mutation, Config { must_be_clean: false, ..config });
    assert!(matches!(violation, Violation::Hole(_)), "{violation:?}");
}

/// A prune leaves something for ever.
fn finds_garbage(mutation: Mutation, config: Config) {
    assert_eq!(finds(mutation, config), Violation::Garbage);
}

/// What most of them are found in: one writer, so many pruners and a forgetter.
fn small(pruners: u8) -> Config {
    coarse("mutated", processes(1, pruners))
}

/// The writer takes over what its last snapshot relied on.
fn reusing(pruners: u8) -> Config {
    let mut config = small(pruners);
    config.processes[0] = Proc::Writer(Writer::new(0).remembering(0, Bits::one(0)));
    config
}

/// A put was on its way before.
fn very_late(put: Put) -> Config {
    let mut config = small(1);
    config.processes.push(Proc::Lander);
    config.store.truth.late = Late::OnItsWay(put);
    config
}

#[test]
fn a_writer_looks_again() {
    finds_hole(Mutation::WriterDoesNotLookAgain, small(1));
}

#[test]
fn a_writer_announces_before_it_looks_again() {
    finds_hole(Mutation::WriterLooksBeforeItAnnounces, small(1));
}

#[test]
fn a_writer_announces() {
    finds_hole(Mutation::NoPending, small(1));
}

#[test]
fn a_writer_takes_the_names_in_gc_before_it_looks_at_the_index() {
    finds_hole(Mutation::NamesAfterIndex, small(1));
}

#[test]
fn a_writer_relies_on_nothing_condemned() {
    finds_hole(Mutation::WriterTrustsCondemned, small(1));
    finds_hole(Mutation::ReloadTrustsCondemned, small(1));
}

#[test]
fn a_writer_checks_what_it_takes_over() {
    finds_hole(Mutation::RememberedUnchecked, reusing(1));
    finds_hole(Mutation::ParentBeforeGc, reusing(1));
    finds_hole(Mutation::ParentUnchecked, reusing(2));
}

#[test]
fn a_writer_puts_a_pack_before_its_segment() {
    let config = coarse("no pruner", writers(2));
    finds_hole(Mutation::SegmentBeforePack, Config { store: Store::default(), ..config });
}

#[test]
fn a_writer_asks_whether_it_is_void() {
    let config = Config { mutation: Some(Mutation::NoConfirmation), ..small(1) };
    let mut config = Config { must_be_clean: false, ..config };
    config.processes[2] = Proc::Owner(Bits::one(2));
    assert_eq!(finds(Mutation::NoConfirmation, config), Violation::Lost(2));
}

#[test]
fn a_prune_announces() {
    finds_hole(Mutation::NoGcRecord, small(1));
}

#[test]
fn a_prune_looks_again() {
    finds_hole(Mutation::PrunerDoesNotLookAgain, small(1));
    finds_hole(Mutation::DeletedBeforeLookingAgain, small(1));
}

#[test]
fn a_prune_lists_pendings_before_snapshots() {
    finds_hole(Mutation::SnapshotsBeforePending, small(1));
}

#[test]
fn a_prune_heeds_what_others_condemn() {
    finds_hole(Mutation::OtherPrunesIgnored, small(2));
}

#[test]
fn a_prune_deletes_only_what_its_own_record_names() {
    finds_hole(Mutation::OthersWorkFinished, small(2));
}

#[test]
fn a_prune_takes_no_announced_run_for_dead() {
    finds_hole(Mutation::PendingDroppedSilently, small(1));
    let config = Config { must_be_clean: false, ..small(1) };
    assert_eq!(finds(Mutation::PendingDropped, config), Violation::Lost(2));
}

#[test]
fn a_prune_puts_a_new_segment_before_it_deletes_the_old_ones() {
    finds_hole(Mutation::SegmentsDeletedFirst, Config { merges: true, ..small(1) });
}

#[test]
fn a_prune_spares_what_a_torn_listing_may_hide() {
    finds_hole(Mutation::OrphansTrusted, torn("mutated", processes(0, 2)));
}

#[test]
fn a_finished_record_stands_before_what_it_replaces_goes() {
    finds_hole(Mutation::NoFinishedRecord, small(1));
    finds_hole(Mutation::FinishedRecordLast, small(1));
}

#[test]
fn a_record_stays_until_all_that_it_condemns_is_dead() {
    finds_hole(Mutation::OthersRecordsDeleted, small(2));
}

#[test]
fn dead_lists_are_carried() {
    let mut config = very_late(Put::Segment(50, Bits::one(1)));
    config.processes[1] = Proc::Pruner(Pruner::new(1).twice());
    finds_hole(Mutation::DeadListsNotCarried, config);
}

#[test]
fn a_record_says_what_is_void_before_it_is_deleted() {
    finds_hole(Mutation::VoidsDeletedFirst, very_late(Put::Snapshot(0)));
}

#[test]
fn a_record_says_what_was_withdrawn_before_anything_is_deleted() {
    finds_hole(Mutation::WithdrawnNotNamed, dying("mutated", &[Kind::Snapshot]));
    finds_hole(Mutation::WritersWordTaken, dying("mutated", &[Kind::Snapshot]));
}

#[test]
fn a_pending_stays_until_a_prune_has_named_it() {
    finds_hole(Mutation::PendingDroppedWithVoid, dying("mutated", &[Kind::Snapshot]));
}

#[test]
fn a_prune_finishes_what_others_began() {
    finds_garbage(Mutation::OthersNotNamedAgain, small(1));
}

#[test]
fn a_prune_condemns_what_no_segment_names() {
    let config = coarse("orphans", writers(1));
    finds_garbage(Mutation::OrphansLeft, Config { store: Store::default(), ..config });
}
