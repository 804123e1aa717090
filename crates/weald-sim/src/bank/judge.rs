//! What must hold in a bank: how long locks are held, and what its history says.

use std::collections::BTreeMap;

use weald_core::{FeatureLevel, LogIndex, TransactionId};

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
/// How long a lock may outlive its deadline while both partitions are served, us.
const OVERDUE_MAX: u64 = 1_000_000;
/// The same once they are served again: whoever asks waits up to two seconds between two questions.
const OVERDUE_AGAIN_MAX: u64 = 3_500_000;

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
    /// Since when, and since when its partitions are served.
    since: Instant,
    /// They were not all the time.
    was_forsaken: bool,
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
        let now = self.now;
        let mut seen = BTreeMap::new();
        for (partition, name) in servers.iter().enumerate() {
            let Some(name) = name else { continue };
            for id in self.overdue_at(partition, *name) {
                let primary = servers[place(partition_of(id.home()))];
                let is_served =
                    primary.is_some_and(|other| self.are_linked(partition, *name, other));
                seen.insert((partition, id), is_served);
            }
        }
        let is_gone = |partition: usize| servers[partition].is_some();
        self.judge.overdue.retain(|held, _| seen.contains_key(held) || !is_gone(held.0));
        for overdue in self.judge.overdue.iter_mut().filter(|(held, _)| !seen.contains_key(held)) {
            *overdue.1 = Overdue { since: now, was_forsaken: true };
        }
        for (held, is_served) in seen {
            let first = Overdue { since: now, was_forsaken: !is_served };
            let overdue = self.judge.overdue.entry(held).or_insert(first);
            if !is_served {
                *overdue = Overdue { since: now, was_forsaken: true };
            }
            let max = if overdue.was_forsaken { OVERDUE_AGAIN_MAX } else { OVERDUE_MAX };
            if now.since(overdue.since) > max {
                let (partition, id) = held;
                self.fail("locks end", format!("{id} is still locked in partition {partition}"));
            }
        }
    }

    fn are_linked(&self, partition: usize, one: Name, other: Name) -> bool {
        let network = &self.worlds[partition].network;
        network.is_open(one, other) && network.is_open(other, one)
    }

    /// Whose locks are past their deadline in a partition, by its log time.
    fn overdue_at(&self, partition: usize, name: Name) -> Vec<TransactionId> {
        let node = &self.worlds[partition].nodes[&name];
        let Some(process) = &node.process else { return Vec::new() };
        let (Some(spanning), Some(machine)) = (&process.spanning, process.machine.real()) else {
            return Vec::new();
        };
        let now = spanning.clone().time(process.state.log_time(), node.clock.at(self.now));
        machine.partition().overdue(now).map(|waiting| waiting.lock.holder.id).collect()
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
