//! The real log behind the member's interface: what a restart finds after crashes and damage.

use weald_cluster::{configuration::Configuration, replica::LogEnd};
use weald_core::{Epoch, Time};

use super::*;
use crate::{name::Name, node::identity};

struct Rig {
    log: RealLog,
    random: Random,
    last: Point,
    tickets: u64,
}

impl Rig {
    fn new() -> Self {
        let mut log = RealLog::new(StoreId([3; 16]));
        let found = log.recover(None).unwrap();
        assert_eq!((found.health, found.stored, found.entries.len()), (Health::Whole, None, 0));
        Self { log, random: Random::new(5), last: Point::default(), tickets: 0 }
    }

    fn entry(&mut self, number: u64, text: &str) -> LogEntry {
        let epoch = Epoch { number, campaigner: None };
        let content = (EntryKind::Command, text.as_bytes());
        let entry = LogEntry::new(&self.last, epoch, Time::ZERO, content);
        self.last = *entry.point();
        entry
    }

    fn entries(&mut self, number: u64, count: usize) -> Vec<LogEntry> {
        (0..count).map(|at| self.entry(number, &format!("entry {at} of epoch {number}"))).collect()
    }

    fn submit(&mut self, persist: Persist) -> PersistTicket {
        self.tickets += 1;
        let ticket = PersistTicket(self.tickets);
        self.log.submit(Persist { ticket, ..persist });
        ticket
    }

    fn write(&mut self, persist: Persist) {
        let ticket = self.submit(persist);
        assert!(self.log.begin_sync());
        assert_eq!(self.log.finish_sync(), Ok(ticket));
    }

    /// Writes entries with a sync each, after the member's state.
    fn write_each(&mut self, entries: &[LogEntry]) {
        self.write(Persist { state: Some(stored(0)), ..nothing() });
        for entry in entries {
            self.write(Persist { entries: vec![entry.clone()], ..nothing() });
        }
    }

    fn restart(&mut self) -> Recovered {
        self.log.crash(&mut self.random);
        self.log.recover(None).unwrap()
    }
}

fn nothing() -> Persist {
    let ticket = PersistTicket::default();
    Persist { ticket, restart_at: None, cut_from: None, entries: Vec::new(), state: None }
}

fn stored(life: u32) -> Stored {
    let peer = identity_of_a();
    let member = weald_cluster::configuration::Member { peer, store: StoreId([3; 16]), life };
    Stored::founding(member, Configuration::founding([member], []).unwrap())
}

fn identity_of_a() -> weald_core::PeerId {
    use weald_core::identity::KeyStore;
    identity(Name(0)).public().peer_id()
}

#[test]
fn what_was_synced_survives_every_crash_and_what_follows_is_a_beginning_of_the_rest() {
    for seed in 0..40 {
        let mut rig = Rig::new();
        rig.random = Random::new(seed);
        let (kept, risked) = (rig.entries(1, 3), rig.entries(1, 3));
        rig.write_each(&kept);
        rig.submit(Persist { entries: risked.clone(), ..nothing() });
        assert!(rig.log.begin_sync());
        let found = rig.restart();
        assert_eq!((found.health, found.before), (Health::Whole, Point::default()));
        let all: Vec<_> = kept.into_iter().chain(risked).collect();
        assert!(found.entries.len() >= 3 && all.starts_with(&found.entries), "seed {seed}");
    }
}

#[test]
fn a_damaged_entry_takes_what_follows_with_it_until_it_is_handed_over_again() {
    let mut rig = Rig::new();
    let entries = rig.entries(1, 6);
    rig.write_each(&entries);
    rig.log.crash(&mut rig.random);
    rig.log.rot(3, &mut rig.random);
    let found = rig.log.recover(None).unwrap();
    let Point { index, epoch, .. } = *entries[5].point();
    let known_end = LogEnd { epoch, index };
    assert_eq!((found.health, &found.entries[..]), (Health::Damaged { known_end }, &entries[..2]));
    assert_eq!(rig.log.read(LogIndex(4), 100), [], "what is behind is not known");
    rig.write(Persist { entries: entries[2..5].to_vec(), ..nothing() });
    assert_eq!(rig.log.read(LogIndex(1), 100_000), entries[..5]);
    let found = rig.restart();
    assert_eq!((found.health, found.entries), (Health::Whole, entries));
}

#[test]
fn what_differs_from_what_is_behind_the_damage_takes_its_place() {
    let mut rig = Rig::new();
    let entries = rig.entries(1, 6);
    rig.write_each(&entries);
    rig.log.crash(&mut rig.random);
    rig.log.rot(3, &mut rig.random);
    rig.log.recover(None).unwrap();
    rig.last = *entries[3].point();
    let later = rig.entries(2, 1);
    let handed = [&entries[2..4], &later[..]].concat();
    rig.write(Persist { entries: handed, ..nothing() });
    rig.log.note_repaired();
    let found = rig.restart();
    assert_eq!(found.health, Health::Whole);
    assert_eq!(found.entries, [&entries[..4], &later[..]].concat());
}

#[test]
fn r17_a_lost_end_is_amnesia_until_a_new_life_begins() {
    let mut rig = Rig::new();
    let entries = rig.entries(1, 3);
    rig.write_each(&entries);
    // What rots may be padding; then all records are whole, and more rots.
    let rotted = (0..50).find_map(|_| {
        rig.log.crash(&mut rig.random);
        rig.log.rot(0, &mut rig.random);
        let health = rig.log.recover(None).unwrap().health;
        (health != Health::Whole).then_some(health)
    });
    assert_eq!(rotted, Some(Health::Amnesiac));
    assert_eq!(rig.restart().health, Health::Amnesiac, "a restart does not make up for it");
    let (restart_at, state) = (Some(Point::default()), Some(stored(1)));
    rig.write(Persist { restart_at, state, ..nothing() });
    let found = rig.restart();
    assert_eq!((found.health, found.entries.len()), (Health::Whole, 0));
    assert_eq!(found.stored.map(|stored| stored.member.life), Some(1));
}

#[test]
fn a_full_disk_heals_without_a_restart_and_nothing_is_lost() {
    let mut rig = Rig::new();
    rig.write(Persist { state: Some(stored(0)), ..nothing() });
    rig.log.set_full(true);
    let text = "x".repeat(60_000);
    let entries: Vec<_> = (0..40).map(|_| rig.entry(1, &text)).collect();
    for entry in &entries {
        rig.submit(Persist { entries: vec![entry.clone()], ..nothing() });
    }
    while rig.log.begin_sync() {
        rig.log.finish_sync().unwrap();
    }
    let held = rig.log.read(LogIndex(1), usize::MAX).len();
    assert!((1..40).contains(&held), "{held} entries fit what was allocated");
    rig.log.set_full(false);
    while rig.log.begin_sync() {
        rig.log.finish_sync().unwrap();
    }
    assert_eq!(rig.restart().entries, entries);
}

#[test]
fn a_failed_sync_ends_the_run_and_a_restart_finds_what_was_synced_before() {
    let mut rig = Rig::new();
    let entries = rig.entries(1, 2);
    rig.write_each(&entries[..1]);
    rig.submit(Persist { entries: entries[1..].to_vec(), ..nothing() });
    assert!(rig.log.begin_sync());
    rig.log.fail_sync(&mut rig.random);
    let found = rig.restart();
    assert_eq!(found.health, Health::Whole);
    assert!(entries.starts_with(&found.entries) && !found.entries.is_empty());
}

#[test]
fn entries_below_a_checkpoint_are_let_go_and_the_next_one_still_continues_it() {
    let mut rig = Rig::new();
    let entries = rig.entries(1, 5);
    rig.write_each(&entries);
    rig.log.release(LogIndex(4));
    rig.log.begin_sync();
    rig.log.log.as_ref().unwrap().run();
    rig.log.crash(&mut rig.random);
    let found = rig.log.recover(Some(*entries[2].point())).unwrap();
    assert_eq!(found.before, *entries[1].point());
    assert_eq!(found.entries, entries[2..]);
}
