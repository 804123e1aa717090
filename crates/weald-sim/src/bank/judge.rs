//! What must hold in a bank: how long locks are held, and what its history says.

use std::{collections::BTreeMap, time::Duration};

use weald_core::{FeatureLevel, Lock, LogIndex, Time, TransactionId};

use super::{AGREEMENT, Bank, partition_of, place};
use crate::{
    command::DiskState,
    history::{Level, check_linearizable, check_serializable},
    name::Name,
    schedule::Instant,
    world::World,
};

/// Weather in which locks are watched: messages lost in a million, and how late they are, us. In worse
/// a question alone may take longer than a lock may.
const LOSS_MAX: u64 = 10_000;
const LATE_MAX: u64 = 100_000;
/// How long a lock may outlive its deadline while both partitions are served.
const OVERDUE_MAX: Duration = Duration::from_secs(1);
/// The same once they are served again: whoever asks waits up to two seconds between two questions.
const OVERDUE_AGAIN_MAX: Duration = Duration::from_millis(3_500);

/// What is remembered from one look at the locks to the next.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// The accounts are open.
    pub(super) is_open: bool,
    /// Locks past their deadline, by the place of their partition.
    overdue: BTreeMap<(usize, TransactionId), Overdue>,
}

/// A lock past its deadline.
#[derive(Debug)]
struct Overdue {
    /// Since when its partitions are served; `None` while they are not.
    since: Option<Moment>,
    /// They were not all the time.
    was_forsaken: bool,
}

/// A moment, by the time of the world and by the log times of a lock's partition and its primary's. Members
/// go by log time, which a clock that has jumped makes jump or slow down.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    log_times: [Time; 2],
}

impl Moment {
    /// What has passed since `earlier` by all three.
    fn since(&self, earlier: &Self) -> Duration {
        let log_times = self.log_times.iter().zip(&earlier.log_times);
        let passed = log_times.map(|(later, earlier)| later.since(*earlier)).min();
        let elapsed = Duration::from_micros(self.at.since(earlier.at));
        passed.map_or(elapsed, |passed| passed.min(elapsed))
    }
}

impl Judge {
    /// The feature level of a partition, as its coordinator has applied it.
    pub(super) fn level_of(&self, world: &World) -> Option<FeatureLevel> {
        let process = world.nodes[&world.coordinator()?].process.as_ref()?;
        Some(process.machine.real()?.partition().settings().level)
    }
}

impl Bank {
    /// Looks at all locks: none is long past its deadline while its partition and that of its
    /// primary are served by one coordinator each that can reach the other.
    pub(super) fn watch(&mut self) {
        let weather = self.worlds[0].settings.weather;
        if weather.loss > LOSS_MAX || (weather.late > 0 && weather.late_max > LATE_MAX) {
            return;
        }
        let servers: Vec<_> = (0..self.worlds.len()).map(|place| self.server_of(place)).collect();
        let mut seen = BTreeMap::new();
        for (partition, name) in servers.iter().enumerate() {
            let Some(name) = *name else { continue };
            for lock in self.overdue_at(partition, name) {
                let primary = servers[place(partition_of(lock.holder.id.home()))];
                let served =
                    primary.and_then(|primary| self.served(&lock, partition, [name, primary]));
                seen.insert((partition, lock.holder.id), served);
            }
        }
        let is_served = |partition: usize| servers[partition].is_some();
        self.judge.overdue.retain(|held, _| seen.contains_key(held) || !is_served(held.0));
        for overdue in self.judge.overdue.iter_mut().filter(|(held, _)| !seen.contains_key(held)) {
            overdue.1.since = None;
        }
        for ((partition, id), served) in seen {
            let first = Overdue { since: served, was_forsaken: served.is_none() };
            let overdue = self.judge.overdue.entry((partition, id)).or_insert(first);
            let (Some(now), Some(since)) = (served, overdue.since) else {
                *overdue = Overdue { since: served, was_forsaken: true };
                continue;
            };
            let max = if overdue.was_forsaken { OVERDUE_AGAIN_MAX } else { OVERDUE_MAX };
            if now.since(&since) > max {
                self.fail("locks end", format!("{id} is still locked in partition {partition}"));
            }
        }
    }

    /// Now, if the coordinators of a lock's partition and of its primary can reach each other and the
    /// primary, too, is past the deadline: each partition has a log time of its own.
    fn served(&self, lock: &Lock, partition: usize, [name, primary]: [Name; 2]) -> Option<Moment> {
        let home = place(partition_of(lock.holder.id.home()));
        let log_times = [self.time_at(partition, name)?, self.time_at(home, primary)?];
        let is_late = log_times.iter().all(|time| *time > lock.deadline);
        let is_served = is_late && self.are_linked(partition, name, primary);
        is_served.then_some(Moment { at: self.now, log_times })
    }

    fn are_linked(&self, partition: usize, one: Name, other: Name) -> bool {
        let network = &self.worlds[partition].network;
        network.is_open(one, other) && network.is_open(other, one)
    }

    /// The locks that are past their deadline in a partition, by its log time.
    fn overdue_at(&self, partition: usize, name: Name) -> Vec<Lock> {
        let process = self.worlds[partition].nodes[&name].process.as_ref();
        let machine = process.and_then(|process| process.machine.real());
        let (Some(machine), Some(now)) = (machine, self.time_at(partition, name)) else {
            return Vec::new();
        };
        machine.partition().overdue(now).map(|waiting| waiting.lock).collect()
    }

    /// The log time of a partition, as its coordinator would give it to an entry.
    fn time_at(&self, partition: usize, name: Name) -> Option<Time> {
        let node = &self.worlds[partition].nodes[&name];
        let process = node.process.as_ref()?;
        let spanning = process.spanning.as_ref()?;
        Some(spanning.clone().time(process.state.log_time(), node.clock.at(self.now)))
    }

    /// Who coordinates a partition and is not held up by a fault.
    fn server_of(&self, partition: usize) -> Option<Name> {
        let world = &self.worlds[partition];
        let name = world.coordinator()?;
        let node = &world.nodes[&name];
        let process = node.process.as_ref()?;
        let is_up = !node.is_paused && process.is_healthy && process.spanning.is_some();
        let is_calm = node.disk_state == DiskState::Normal;
        let voters = process.state.configuration().voters.len();
        let open = world.nodes.keys().filter(|other| {
            let other_node = &world.nodes[other];
            other_node.process.is_some()
                && !other_node.is_paused
                && other_node.disk_state == DiskState::Normal
                && world.network.is_open(name, **other)
                && world.network.is_open(**other, name)
        });
        let is_quorate = open.count() * 2 > voters;
        (is_up && is_calm && is_quorate && !world.network.has_rules()).then_some(name)
    }

    /// Faults end: tellers finish what they do, locks go, members agree, and the history is judged.
    pub(super) fn close(&mut self) {
        if self.violation.is_some() {
            return;
        }
        for world in &mut self.worlds {
            world.mend_all();
        }
        self.deliver();
        let until = self.now.after(AGREEMENT);
        self.run_while(until, |bank| !bank.judge.is_open && !bank.tellers.is_empty());
        self.is_open = false;
        self.run_while(until, |bank| !bank.is_quiet());
        if self.violation.is_none() && !self.is_quiet() {
            let lines: Vec<_> = self.worlds.iter().map(World::summary).collect();
            let busy: Vec<_> = self.tellers.values().filter(|teller| !teller.is_idle()).collect();
            self.fail("liveness", format!("{} {busy:?}", lines.join(" | ")));
        }
        if self.tellers.is_empty() {
            return;
        }
        self.begin_count(0);
        self.run_while(until.after(AGREEMENT), |bank| !bank.tellers[&0].is_idle());
        self.judge_history();
    }

    fn is_quiet(&self) -> bool {
        (self.judge.is_open || self.tellers.is_empty())
            && self.tellers.values().all(super::Teller::is_idle)
            && self.worlds.iter().all(|world| {
                world.is_settled(LogIndex::ZERO)
                    && world.nodes.values().all(|node| {
                        let machine = node.process.as_ref().and_then(|p| p.machine.real());
                        machine.is_none_or(|machine| {
                            let partition = machine.partition();
                            partition.waiting_count() == 0 && partition.decision_count() == 0
                        })
                    })
            })
    }

    fn judge_history(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let history = self.recorder.clone().finish();
        if let Err(error) = self.bank().check(&history) {
            self.fail("the sum is constant", error.to_string());
        }
        if let Err(error) = check_linearizable(&history) {
            self.fail("history linearizable", error.to_string());
        }
        if let Err(anomalies) = check_serializable(&history, Level::StrictSerializable) {
            self.fail("history strictly serializable", anomalies.to_string());
        }
    }
}
