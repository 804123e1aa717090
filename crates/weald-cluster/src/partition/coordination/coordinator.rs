//! All that one coordination of a partition does about transactions over several partitions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weald_core::{
    BlockId, Lock, Outcome, Payload, Pend, PendAnswer, PlacementKey, Rejection, Time, TransactionId,
};

use super::{
    Config, Gate, Message, Participant, Primary,
    gate::{self, Arrival, Policy},
    participant,
    primary::{self, Begin},
};
use crate::partition::{Applied, Partition};

/// Stands in an arrival until the coordinator has named it for the gate.
const UNNAMED: u64 = 0;

/// What a coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send to the coordinator of the key's partition, which may be this one.
    Send(PlacementKey, Message),
    /// Log in this partition.
    Propose(Payload),
    /// Tell the client of a transaction over several partitions.
    Answer(TransactionId, Outcome),
    /// Log the request of this ticket.
    Pass(u64),
    /// Refuse it; nothing was logged.
    Refuse(u64, Rejection),
    /// Give it back with the lock that it met.
    Return(u64, Lock),
}

/// A request on this partition alone that wants to be logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The caller's name for it.
    pub ticket: u64,
    /// The transaction.
    pub id: TransactionId,
    /// The collections that it names, by the ids of their header blocks.
    pub collections: Vec<BlockId>,
    /// What it does when it meets a lock.
    pub policy: Policy,
}

/// The machines of one coordination. See the module above for its use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coordinator {
    primary: Primary,
    participant: Participant,
    gate: Gate,
    /// What is at the gate, by the ticket that it has there.
    queued: BTreeMap<u64, Queued>,
    ticket_count: u64,
    /// `Pend`s at the gate.
    waiting_pends: BTreeSet<TransactionId>,
    /// `Pend`s on their way through the log, with their tickets at the gate.
    passing: BTreeMap<TransactionId, u64>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Queued {
    Pend(Pend),
    Request(u64),
}

impl Coordinator {
    /// A coordinator that goes on from what the partition's state holds.
    pub fn new(now: Time, partition: &Partition, config: Config) -> Self {
        let mut coordinator = Self {
            primary: Primary::new(partition.id(), config),
            participant: Participant::new(partition.id(), config),
            gate: Gate::new(config),
            queued: BTreeMap::new(),
            ticket_count: 0,
            waiting_pends: BTreeSet::new(),
            passing: BTreeMap::new(),
            outputs: VecDeque::new(),
        };
        let decisions = partition.decisions().map(|(id, decision)| (*id, decision.clone()));
        coordinator.primary.handle(now, primary::Input::Decisions(decisions.collect()));
        let waiting = partition.all_waiting().collect();
        coordinator.participant.handle(now, participant::Input::Waiting(waiting));
        for (collection, lock) in partition.locks() {
            coordinator.gate.handle(now, gate::Input::Locked(collection, lock));
        }
        coordinator.gather(now);
        coordinator
    }

    /// Drives a client's transaction over several partitions.
    pub fn begin(&mut self, now: Time, begin: Begin) {
        self.primary.handle(now, primary::Input::Begin(begin));
        self.gather(now);
    }

    /// Lets a request on this partition alone through to the log, or makes it wait.
    pub fn arrive(&mut self, now: Time, request: Request) {
        let Request { ticket, id, collections, policy } = request;
        let queued = Queued::Request(ticket);
        self.queue(
            now,
            queued,
            Arrival { ticket: UNNAMED, id, collections, is_locking: false, policy },
        );
        self.gather(now);
    }

    /// Takes a message in from the coordinator of another partition.
    pub fn receive(&mut self, now: Time, message: Message, partition: &Partition) {
        match message {
            Message::Pend(pend) => self.queue_pend(now, pend),
            Message::Pended { id, partition, answer } => {
                self.primary.handle(now, primary::Input::Pended { id, partition, answer });
            }
            Message::Resolve { part, keys, is_committed } => {
                let input = participant::Input::Resolve { part, keys, is_committed };
                self.participant.handle(now, input);
            }
            Message::Resolved { part, keys } => {
                self.primary.handle(now, primary::Input::Resolved { part, keys });
            }
            Message::Ask { lock, from, may_resolve } => {
                let verdict = partition.verdict(&lock);
                self.primary.handle(now, primary::Input::Ask { lock, from, may_resolve, verdict });
            }
            Message::Verdict { part, verdict } => {
                self.participant.handle(now, participant::Input::Verdict { part, verdict });
            }
        }
        self.gather(now);
    }

    /// Learns what an entry did; `partition` is the state right after it.
    pub fn applied(&mut self, now: Time, applied: &Applied, partition: &Partition) {
        for collection in &applied.unlocked {
            self.gate.handle(now, gate::Input::Unlocked(*collection));
        }
        for collection in &applied.locked {
            if let Some(lock) = partition.lock(collection) {
                self.gate.handle(now, gate::Input::Locked(*collection, lock));
            }
        }
        if let Some((id, answer)) = &applied.pended {
            let (id, answer, waiting) = (*id, answer.clone(), partition.waiting(id).map(Box::new));
            self.participant.handle(now, participant::Input::Pended { id, answer, waiting });
            if let Some(ticket) = self.passing.remove(&id) {
                self.gate.handle(now, gate::Input::Done(ticket));
            }
        }
        if let Some((id, outcome)) = &applied.settled {
            let decision = partition.decision(id).cloned();
            let is_kept = partition.outcome(id).is_some();
            let (id, outcome) = (*id, outcome.clone());
            let settled = primary::Input::Settled { id, outcome, decision, is_kept };
            self.primary.handle(now, settled);
            if partition.waiting(&id).is_none() {
                self.participant.handle(now, participant::Input::Settled(id));
            }
        }
        if let Some((part, _)) = &applied.resolved {
            self.participant.handle(now, participant::Input::Resolved { part: *part });
        }
        if let Some((part, keys)) = applied.carried_out.clone() {
            self.primary.handle(now, primary::Input::CarriedOut { part, keys });
        }
        self.gather(now);
    }

    /// A reader has met a lock and waits for it.
    pub fn met(&mut self, now: Time, lock: Lock) {
        self.participant.handle(now, participant::Input::Met(lock));
        self.gather(now);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Time) {
        self.primary.handle(now, primary::Input::Tick);
        self.participant.handle(now, participant::Input::Tick);
        self.gate.handle(now, gate::Input::Tick);
        self.gather(now);
    }

    /// The coordination has ended: clients that wait are told `Unknown`, and nothing else comes.
    pub fn become_deposed(&mut self, now: Time) {
        self.primary.handle(now, primary::Input::Deposed);
        self.outputs.clear();
        self.gather(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to tick.
    pub fn poll_timeout(&self) -> Option<Time> {
        let of = [
            self.primary.poll_timeout(),
            self.participant.poll_timeout(),
            self.gate.poll_timeout(),
        ];
        of.into_iter().flatten().min()
    }

    /// Whether nothing waits at the gate and nothing that locks is on its way through the log: where
    /// the partition holds no lock either, a request need not pass the gate.
    pub fn is_quiet(&self) -> bool {
        self.queued.is_empty() && self.passing.is_empty()
    }

    /// The primary's side.
    pub fn primary(&self) -> &Primary {
        &self.primary
    }

    /// The participant's side.
    pub fn participant(&self) -> &Participant {
        &self.participant
    }

    /// The gate before the log.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// A copy of what is on its way already is answered with it.
    fn queue_pend(&mut self, now: Time, pend: Pend) {
        if self.passing.contains_key(&pend.id) || !self.waiting_pends.insert(pend.id) {
            return;
        }
        let named = pend.body.actions.iter().map(|action| BlockId::header(&action.collection));
        let arrival = Arrival {
            ticket: UNNAMED,
            id: pend.id,
            collections: named.collect(),
            is_locking: true,
            policy: Policy::Wait,
        };
        self.queue(now, Queued::Pend(pend), arrival);
    }

    fn queue(&mut self, now: Time, queued: Queued, arrival: Arrival) {
        let ticket = self.ticket_count;
        self.ticket_count += 1;
        self.queued.insert(ticket, queued);
        self.gate.handle(now, gate::Input::Arrive(Arrival { ticket, ..arrival }));
    }

    /// Gathers what the machines want until none wants anything of another.
    fn gather(&mut self, now: Time) {
        loop {
            if let Some(output) = self.primary.poll_output() {
                self.take_primary(now, output);
            } else if let Some(output) = self.gate.poll_output() {
                self.take_gate(now, output);
            } else if let Some(output) = self.participant.poll_output() {
                self.outputs.push_back(match output {
                    participant::Output::Send(key, message) => Output::Send(key, message),
                    participant::Output::Propose(payload) => Output::Propose(payload),
                });
            } else {
                return;
            }
        }
    }

    fn take_primary(&mut self, now: Time, output: primary::Output) {
        match output {
            // The primary's own part waits for locks as others do.
            primary::Output::Propose(Payload::Pend(pend)) => self.queue_pend(now, pend),
            primary::Output::Propose(payload) => self.outputs.push_back(Output::Propose(payload)),
            primary::Output::Send(key, message) => {
                self.outputs.push_back(Output::Send(key, message));
            }
            primary::Output::Answer(id, outcome) => {
                self.outputs.push_back(Output::Answer(id, outcome));
            }
        }
    }

    fn take_gate(&mut self, now: Time, output: gate::Output) {
        match output {
            gate::Output::Met(lock) => self.participant.handle(now, participant::Input::Met(lock)),
            gate::Output::Pass(ticket) => match self.queued.remove(&ticket) {
                Some(Queued::Pend(pend)) => {
                    self.waiting_pends.remove(&pend.id);
                    self.passing.insert(pend.id, ticket);
                    self.outputs.push_back(Output::Propose(Payload::Pend(pend)));
                }
                Some(Queued::Request(ticket)) => self.outputs.push_back(Output::Pass(ticket)),
                None => {}
            },
            gate::Output::Refuse(ticket, rejection) => match self.queued.remove(&ticket) {
                Some(Queued::Pend(pend)) => self.refuse_pend(now, &pend, rejection),
                Some(Queued::Request(ticket)) => {
                    self.outputs.push_back(Output::Refuse(ticket, rejection));
                }
                None => {}
            },
            gate::Output::Return(ticket, lock) => {
                if let Some(Queued::Request(ticket)) = self.queued.remove(&ticket) {
                    self.outputs.push_back(Output::Return(ticket, lock));
                }
            }
        }
    }

    fn refuse_pend(&mut self, now: Time, pend: &Pend, rejection: Rejection) {
        self.waiting_pends.remove(&pend.id);
        let (id, answer) = (pend.id, PendAnswer::Refused(rejection));
        self.participant.handle(now, participant::Input::Pended { id, answer, waiting: None });
    }
}
