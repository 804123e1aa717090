//! What a node does about transactions over several partitions (`weald_cluster::partition::coordination`)
//! in the world of one of them. What it has to say to nodes of other partitions, and to clients,
//! leaves the world as [`Outgoing`].

use std::collections::{BTreeMap, VecDeque};

use weald_cluster::{
    LogTime,
    partition::{
        Applied,
        coordination::{
            Config, Coordinator, Message, Output, Request, gate::Policy, primary::Begin,
        },
    },
    replica::{Now, ReadId},
};
use weald_collections::RawTree;
use weald_core::{
    BlockId, Epoch, Lock, Outcome, Payload, PlacementKey, Revision, SettingsEntry, Time,
    TransactionId, TransactionRequest, codec,
};
use weald_pubsub::Topic;

use super::{Event, World};
use crate::{
    machine::{self, PAYLOAD},
    name::Name,
    node::{Process, name_of},
    schedule::Instant,
};

/// Under this key an account has its balance.
pub(crate) const BALANCE: &[u8] = b"balance";

/// Names what a client asks: an answer to an earlier attempt is too late.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Ticket {
    pub(crate) client: u8,
    pub(crate) serial: u32,
    /// Which of several questions of one attempt.
    pub(crate) part: u8,
}

/// What a node is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// By the coordinator of another partition.
    Message(Message),
    /// To drive a transaction, whose primary is here.
    Begin(Begin),
    /// To log a transaction that is all here.
    Single(TransactionRequest),
    /// To settle an id.
    Resolve(TransactionId, Time),
    /// To change the settings.
    Settings(SettingsEntry),
    /// To show accounts, linearizably.
    Show(Vec<String>),
    /// To see to a lock that a reader has met.
    Met(Lock),
}

/// An account as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    /// Its balance, and the revision that wrote it.
    pub(crate) found: Option<(i64, Revision)>,
    pub(crate) lock: Option<Lock>,
}

/// What a client is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Outcome(Outcome),
    Shown(Vec<Account>),
    Elsewhere(Name),
}

/// What leaves a world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outgoing {
    /// To the coordinator of the key's partition.
    Message { from: Name, key: PlacementKey, message: Message },
    /// To a client.
    Told { ticket: Ticket, told: Told },
}

/// One coordination's part in transactions over several partitions.
#[derive(Clone, Debug)]
pub(crate) struct Spanning {
    pub(crate) coordinator: Coordinator,
    epoch: Epoch,
    clock: LogTime,
    /// Who asked for which transaction.
    asked: BTreeMap<TransactionId, Ticket>,
    /// What is at the gate, by the name it has there.
    queued: BTreeMap<u64, TransactionRequest>,
    queued_count: u64,
    /// What is to be logged next, in order.
    unproposed: VecDeque<Payload>,
}

impl Spanning {
    /// Log time, as an entry made now would have it.
    pub(crate) fn time(&mut self, log_time: Time, now: Now) -> Time {
        self.clock.follow(log_time, now);
        self.clock.stamp(now)
    }
}

impl World {
    /// Sends a message between nodes of different partitions, which may be lost.
    pub(crate) fn post(&mut self, link: (Name, Name), now: Instant, message: &Message) {
        let arrivals = self.network.route(link, "Spanning", now, &mut self.random);
        for delay in arrivals.into_iter().flatten() {
            let ask = Box::new(Ask::Message(message.clone()));
            let event = Event::Spanning { node: link.1, ticket: Ticket::default(), ask };
            self.schedule.add(now.after(delay), event);
        }
    }

    /// A client asks a node at a moment.
    pub(crate) fn ask_spanning(&mut self, node: Name, at: Instant, (ticket, ask): (Ticket, Ask)) {
        self.schedule.add(at, Event::Spanning { node, ticket, ask: Box::new(ask) });
    }

    /// A node is asked.
    pub(super) fn spanning_asked(&mut self, node: Name, ticket: Ticket, ask: Ask) {
        if let Ask::Show(accounts) = ask {
            return self.begin_show(node, ticket, &accounts);
        }
        let Some(process) = self.nodes.get_mut(&node).and_then(|n| n.process.as_mut()) else {
            return;
        };
        if process.spanning.is_none() {
            return self.spanning_redirect(node, ticket);
        }
        if let Some(outcome) = kept(process, &ask) {
            return self.outgoing.push(Outgoing::Told { ticket, told: Told::Outcome(outcome) });
        }
        if let Some(refused) = self.refused(&ask) {
            return self.outgoing.push(Outgoing::Told { ticket, told: Told::Outcome(refused) });
        }
        self.spanning(node, |spanning, partition, now| match ask {
            Ask::Message(message) => spanning.coordinator.receive(now, message, partition),
            Ask::Begin(begin) => {
                spanning.asked.insert(begin.id, ticket);
                spanning.coordinator.begin(now, begin);
            }
            Ask::Single(request) => {
                spanning.asked.insert(request.id, ticket);
                spanning.arrive(now, request);
            }
            Ask::Resolve(id, expiry) => {
                spanning.asked.insert(id, ticket);
                spanning.unproposed.push_back(Payload::Resolve { id, expiry, session: None });
            }
            Ask::Settings(entry) => spanning.unproposed.push_back(Payload::Settings(entry)),
            Ask::Met(lock) => spanning.coordinator.met(now, lock),
            Ask::Show(_) => {}
        });
        self.carry_out(node);
    }

    /// Why a coordinator does not log a transaction at all: messages that their publishers did not sign.
    fn refused(&self, ask: &Ask) -> Option<Outcome> {
        let (Ask::Single(request), Some(network)) = (ask, &self.gate) else { return None };
        let mut actions = request.body.actions.iter();
        let refusal = actions.find_map(|action| Topic::check_signatures(action, network).err())?;
        Some(Outcome::Rejected(refusal.into()))
    }

    fn spanning_redirect(&mut self, node: Name, ticket: Ticket) {
        let coordinator = self.state(node).and_then(|state| state.coordinator());
        let elsewhere = coordinator.and_then(|member| name_of(&member)).filter(|c| *c != node);
        let told = elsewhere.map(Told::Elsewhere);
        self.outgoing.extend(told.map(|told| Outgoing::Told { ticket, told }));
    }

    /// Does something with a coordination and carries out what it wants, but for what the replica
    /// has to say to that.
    fn spanning(
        &mut self,
        name: Name,
        act: impl FnOnce(&mut Spanning, &weald_cluster::partition::Partition, Time),
    ) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let now = node.clock.at(self.now);
        let Some(process) = &mut node.process else { return };
        let (Some(spanning), Some(machine)) = (&mut process.spanning, process.machine.real())
        else {
            return;
        };
        let time = spanning.time(process.state.log_time(), now);
        act(spanning, machine.partition(), time);
        while let Some(output) = spanning.coordinator.poll_output() {
            spanning.output(name, output, &mut self.outgoing);
        }
        while let Some(payload) = spanning.unproposed.front() {
            let payload = codec::encode(PAYLOAD, payload);
            let bytes = machine::Request::opaque(self.proposed_count, &payload);
            match process.state.propose(now, &[bytes]) {
                Ok(_) => drop(spanning.unproposed.pop_front()),
                // Tried again at the next beat, unless the coordination has ended by then.
                Err(_) => break,
            }
            self.proposed_count += 1;
        }
    }

    /// An entry is applied: a coordination begins with one of its own epoch, and is told of every
    /// one after it.
    pub(super) fn spanning_applied(&mut self, name: Name, epoch: Epoch, done: Option<Applied>) {
        let Some(done) = done else { return };
        if let (Some(all), Some((id, outcome))) = (&mut self.settled, &done.settled) {
            all.push((name, *id, outcome.clone()));
        }
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let now = node.clock.at(self.now);
        let Some(process) = &mut node.process else { return };
        let is_own = process.state.coordinating() == Some(epoch);
        let Some(machine) = process.machine.real() else { return };
        match &process.spanning {
            None if is_own => {
                let mut clock = LogTime::new(process.state.log_time(), now);
                let partition = machine.partition();
                let mutation = self.settings.config.mutation;
                let config = Config { mutation, ..Config::default() };
                let coordinator = Coordinator::new(clock.stamp(now), partition, config);
                process.spanning = Some(Box::new(Spanning {
                    coordinator,
                    epoch,
                    clock,
                    asked: BTreeMap::new(),
                    queued: BTreeMap::new(),
                    queued_count: 0,
                    unproposed: VecDeque::new(),
                }));
                self.spanning(name, |_, _, _| {});
            }
            None => {}
            // It has ended, and the output that says so is on its way.
            Some(spanning) if Some(spanning.epoch) != process.state.coordinating() => {}
            Some(_) => {
                self.spanning(name, |spanning, partition, now| {
                    spanning.coordinator.applied(now, &done, partition);
                });
                self.spanning_settled(name, done.settled);
            }
        }
    }

    fn spanning_settled(&mut self, name: Name, settled: Option<(TransactionId, Outcome)>) {
        let Some((id, outcome)) = settled else { return };
        let process = self.nodes.get_mut(&name).and_then(|node| node.process.as_mut());
        let spanning = process.and_then(|process| process.spanning.as_mut());
        if let Some(ticket) = spanning.and_then(|spanning| spanning.asked.remove(&id)) {
            self.outgoing.push(Outgoing::Told { ticket, told: Told::Outcome(outcome) });
        }
    }

    /// The coordination ends.
    pub(super) fn spanning_ended(&mut self, name: Name) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let now = node.clock.at(self.now);
        let Some(process) = &mut node.process else { return };
        let Some(mut spanning) = process.spanning.take() else { return };
        let time = spanning.time(process.state.log_time(), now);
        spanning.coordinator.become_deposed(time);
        while let Some(output) = spanning.coordinator.poll_output() {
            spanning.output(name, output, &mut self.outgoing);
        }
    }

    /// Time has passed.
    pub(super) fn spanning_tick(&mut self, name: Name) {
        self.spanning(name, |spanning, _, now| {
            if spanning.coordinator.poll_timeout().is_some_and(|due| due <= now) {
                spanning.coordinator.tick(now);
            }
        });
        self.carry_out(name);
    }

    fn begin_show(&mut self, node: Name, ticket: Ticket, accounts: &[String]) {
        let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
        let Some(process) = process else { return };
        process.next_read += 1;
        let id = ReadId(process.next_read);
        let trees = accounts.iter().map(|name| RawTree::new(name.parse().expect("a name")));
        process.shows.insert(id, (ticket, trees.collect()));
        self.step(node, |state, now| state.read(now, id));
    }

    /// A read of accounts may be answered.
    pub(super) fn show(&mut self, node: Name, id: ReadId) {
        let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
        let Some(process) = process else { return };
        let Some((ticket, trees)) = process.shows.remove(&id) else { return };
        let Some(machine) = process.machine.real() else { return };
        let accounts = trees.iter().map(|tree| {
            let found = machine.entry(tree, BALANCE);
            let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |b| i64::from_le_bytes(*b));
            Account {
                name: tree.name().to_string(),
                found: found.map(|(bytes, revision)| (number(&bytes), revision)),
                lock: machine.partition().lock(&BlockId::header(tree.name())),
            }
        });
        let told = Told::Shown(accounts.collect());
        self.outgoing.push(Outgoing::Told { ticket, told });
    }

    /// It cannot be answered; its client asks again when it has waited long enough.
    pub(super) fn show_failed(&mut self, node: Name, id: ReadId) {
        let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
        process.and_then(|process| process.shows.remove(&id));
    }
}

impl Spanning {
    fn arrive(&mut self, now: Time, request: TransactionRequest) {
        self.queued_count += 1;
        let collections =
            request.body.actions.iter().map(|action| BlockId::header(&action.collection));
        let arrival = Request {
            ticket: self.queued_count,
            id: request.id,
            collections: collections.collect(),
            policy: Policy::Wait,
        };
        self.queued.insert(self.queued_count, request);
        self.coordinator.arrive(now, arrival);
    }

    fn output(&mut self, from: Name, output: Output, outgoing: &mut Vec<Outgoing>) {
        match output {
            Output::Send(key, message) => outgoing.push(Outgoing::Message { from, key, message }),
            Output::Propose(payload) => self.unproposed.push_back(payload),
            Output::Answer(id, outcome) => {
                let ticket = self.asked.remove(&id);
                let told = |ticket| Outgoing::Told { ticket, told: Told::Outcome(outcome) };
                outgoing.extend(ticket.map(told));
            }
            Output::Pass(ticket) => {
                let request = self.queued.remove(&ticket);
                self.unproposed.extend(request.map(Payload::Transaction));
            }
            Output::Refuse(ticket, rejection) => {
                let id = self.queued.remove(&ticket).map(|request| request.id);
                let ticket = id.and_then(|id| self.asked.remove(&id));
                let told = Told::Outcome(Outcome::Rejected(rejection));
                outgoing.extend(ticket.map(|ticket| Outgoing::Told { ticket, told }));
            }
            Output::Return(ticket, _) => drop(self.queued.remove(&ticket)),
        }
    }
}

/// What is kept of a transaction that is asked for again.
fn kept(process: &Process, ask: &Ask) -> Option<Outcome> {
    let id = match ask {
        Ask::Begin(begin) => begin.id,
        Ask::Single(request) => request.id,
        _ => return None,
    };
    process.machine.real()?.partition().outcome(&id).cloned()
}
