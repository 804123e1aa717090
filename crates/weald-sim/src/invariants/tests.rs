//! Invariants of every run, shown what they must not accept.

use weald_cluster::replica::{EntryKind, LogEntry, Point};
use weald_core::Time;

use super::{gapless::Gapless, watermark::Watermark, *};

fn entries(count: u64) -> Vec<LogEntry> {
    let mut last = Point::default();
    let next = |number: u64| {
        let content = (EntryKind::Command, &number.to_le_bytes()[..]);
        let entry = LogEntry::new(&last, Epoch::default(), Time::ZERO, content);
        last = *entry.point();
        entry
    };
    (1..=count).map(next).collect()
}

/// What the invariant says of a node that applies these places of a log, in this order.
fn applies(places: &[usize]) -> Vec<bool> {
    let (entries, mut gapless) = (entries(4), Gapless::default());
    let ledger = Ledger::default();
    let see = |place: &usize| {
        let entry = &entries[*place - 1];
        let effect = Digest::of("weald test", &[]);
        let (node, epoch) = (Name(0), Epoch::default());
        let seen = Seen::Applied { node, entry, epoch, effect, outcome: None };
        gapless.see(Instant(0), &seen, &ledger).is_ok()
    };
    places.iter().map(see).collect()
}

#[test]
fn w93_an_entry_that_is_left_out_repeated_or_early_is_noticed_in_every_run() {
    assert_eq!(applies(&[1, 2, 3, 4]), [true; 4]);
    assert_eq!(applies(&[1, 3]), [true, false]);
    assert_eq!(applies(&[1, 2, 2]), [true, true, false]);
    assert_eq!(applies(&[2]), [false]);
}

#[test]
fn what_a_node_shows_may_not_go_back_while_its_store_is_the_same() {
    let mut watermark = Watermark::default();
    let ledger = Ledger::default();
    let mut shows = |store: u8, index: u64| {
        let (node, store, since) = (Name(0), StoreId([store; 16]), Instant(0));
        let seen = Seen::Exposed { node, store, index: LogIndex(index), since };
        watermark.see(Instant(0), &seen, &ledger).is_ok()
    };
    assert!(shows(1, 5) && shows(1, 5) && shows(1, 6));
    assert!(!shows(1, 4));
    assert!(shows(2, 1), "another disk has shown nothing yet");
}
