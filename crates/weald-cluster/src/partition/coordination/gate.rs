//! Where requests wait that meet a lock: bounded, in order, and before the log, which waits for
//! nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weald_core::{BlockId, Lock, Rejection, Time, TransactionId};

use super::Config;

/// What a request does when it meets a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Waits until the lock is gone, for a bounded time.
    Wait,
    /// Is refused at once.
    Fail,
    /// Returns at once with the lock, for its caller to decide.
    Return,
}

/// A request before the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// The caller's name for it, used once.
    pub ticket: u64,
    /// The transaction.
    pub id: TransactionId,
    /// The collections that it names, by the ids of their header blocks.
    pub collections: Vec<BlockId>,
    /// Whether it will lock them: a `Pend`.
    pub is_locking: bool,
    /// What it does when it meets a lock.
    pub policy: Policy,
}

/// What a gate hears. Times are log time as the coordinator would stamp it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A request wants to be logged.
    Arrive(Arrival),
    /// The log has locked a collection, or the coordination begins and it is locked.
    Locked(BlockId, Lock),
    /// The log has unlocked it.
    Unlocked(BlockId),
    /// A locking request that passed has been applied, or was not logged after all.
    Done(u64),
    /// Time has passed.
    Tick,
}

/// What a gate wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Log the request.
    Pass(u64),
    /// Refuse it; nothing was logged.
    Refuse(u64, Rejection),
    /// Give it back with the lock that it met.
    Return(u64, Lock),
    /// Somebody waits for this lock: its primary may be asked.
    Met(Lock),
}

/// The gate of one coordination. See the module above for its use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    config: Config,
    locks: BTreeMap<BlockId, Lock>,
    /// Collections that a request on its way through the log is about to lock.
    passing: BTreeMap<BlockId, (u64, TransactionId)>,
    /// In the order of arrival.
    waiting: BTreeMap<u64, Waiter>,
    arrived_count: u64,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiter {
    arrival: Arrival,
    until: Time,
}

/// What stands in a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Obstacle {
    collection: BlockId,
    holder: TransactionId,
    lock: Option<Lock>,
}

impl Gate {
    /// An open gate.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            locks: BTreeMap::new(),
            passing: BTreeMap::new(),
            waiting: BTreeMap::new(),
            arrived_count: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input in.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Arrive(arrival) => self.arrive(now, arrival),
            Input::Locked(collection, lock) => drop(self.locks.insert(collection, lock)),
            Input::Unlocked(collection) => {
                self.locks.remove(&collection);
                self.pass_waiting();
            }
            Input::Done(ticket) => {
                self.passing.retain(|_, (passing, _)| *passing != ticket);
                self.pass_waiting();
            }
            Input::Tick => self.tick(now),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to tick.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.waiting.values().map(|waiter| waiter.until).min()
    }

    /// Requests that wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    fn arrive(&mut self, now: Time, arrival: Arrival) {
        let wanted = self.wanted_before();
        let Some(obstacle) = self.obstacle(&arrival, &wanted) else {
            self.pass(&arrival);
            return;
        };
        let ticket = arrival.ticket;
        match (arrival.policy, obstacle.lock) {
            (Policy::Return, Some(lock)) => self.outputs.push_back(Output::Return(ticket, lock)),
            (Policy::Fail | Policy::Return, _) => self.refuse(ticket, obstacle),
            (Policy::Wait, _) if self.waiting.len() >= self.config.gate_max => {
                let max = u64::try_from(self.config.gate_max).unwrap_or(u64::MAX);
                let rejection = Rejection::Busy { what: "waiting for locks".to_owned(), max };
                self.outputs.push_back(Output::Refuse(ticket, rejection));
            }
            (Policy::Wait, lock) => {
                self.outputs.extend(lock.map(Output::Met));
                let until = now.after(self.config.gate_timeout);
                self.waiting.insert(self.arrived_count, Waiter { arrival, until });
                self.arrived_count += 1;
            }
        }
    }

    fn refuse(&mut self, ticket: u64, obstacle: Obstacle) {
        let Obstacle { collection, holder, .. } = obstacle;
        let rejection = Rejection::Locked { collection: collection.to_string(), holder };
        self.outputs.push_back(Output::Refuse(ticket, rejection));
    }

    fn pass(&mut self, arrival: &Arrival) {
        if arrival.is_locking {
            let passing = (arrival.ticket, arrival.id);
            self.passing.extend(arrival.collections.iter().map(|id| (*id, passing)));
        }
        self.outputs.push_back(Output::Pass(arrival.ticket));
    }

    /// Collections that somebody waits for already, with the first who does.
    fn wanted_before(&self) -> BTreeMap<BlockId, TransactionId> {
        let mut wanted = BTreeMap::new();
        for Waiter { arrival, .. } in self.waiting.values() {
            for collection in &arrival.collections {
                wanted.entry(*collection).or_insert(arrival.id);
            }
        }
        wanted
    }

    /// A lock of another transaction, one that is about to be taken, or somebody who waits longer.
    fn obstacle(
        &self,
        arrival: &Arrival,
        wanted: &BTreeMap<BlockId, TransactionId>,
    ) -> Option<Obstacle> {
        arrival.collections.iter().find_map(|collection| {
            let lock = self.locks.get(collection);
            let passing = self.passing.get(collection).map(|(_, id)| *id);
            let first = wanted.get(collection).copied();
            let holder = lock.map(|lock| lock.holder.id).or(passing).or(first)?;
            // A repeated `Pend` is answered by the log.
            let is_other = holder != arrival.id;
            is_other.then_some(Obstacle { collection: *collection, holder, lock: lock.copied() })
        })
    }

    /// Lets through who meets nothing any more, nobody before who waits longer for the same.
    fn pass_waiting(&mut self) {
        let mut wanted: BTreeMap<BlockId, TransactionId> = BTreeMap::new();
        for (order, Waiter { arrival, until }) in std::mem::take(&mut self.waiting) {
            if self.obstacle(&arrival, &wanted).is_none() {
                self.pass(&arrival);
                continue;
            }
            for collection in &arrival.collections {
                wanted.entry(*collection).or_insert(arrival.id);
            }
            self.waiting.insert(order, Waiter { arrival, until });
        }
    }

    fn tick(&mut self, now: Time) {
        let late: BTreeSet<u64> = self
            .waiting
            .iter()
            .filter(|(_, waiter)| waiter.until <= now)
            .map(|(order, _)| *order)
            .collect();
        for order in &late {
            let Some(Waiter { arrival, .. }) = self.waiting.remove(order) else { continue };
            let wanted = self.wanted_before();
            match self.obstacle(&arrival, &wanted) {
                Some(obstacle) => self.refuse(arrival.ticket, obstacle),
                None => self.pass(&arrival),
            }
        }
        if !late.is_empty() {
            self.pass_waiting();
        }
    }
}
