//! Transactions over several partitions, at a coordinator: its machines are driven here, their
//! messages handed to the courier.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use weald_cluster::partition::{
    Applied,
    coordination::{self, Coordinator, Message, Output, gate::Policy, primary::Begin},
};
use weald_core::{BlockId, Lock, Outcome, Payload, Rejection, Time, TransactionId, UnknownCause};

use super::Replica;
use crate::members::{Answer, Caller, Proposal, ProposeError, Terms, common::Common};

/// What one coordination does about transactions over several partitions.
#[derive(Default)]
pub(super) struct Spanning {
    /// `None` while this member does not coordinate.
    machines: Option<Coordinator>,
    /// Clients whose transactions are driven here.
    clients: BTreeMap<TransactionId, Client>,
    /// Requests on this partition alone that wait for locks, by ticket.
    gated: BTreeMap<u64, Proposal>,
    last_ticket: u64,
    /// What the machines want logged, in order.
    own: VecDeque<Payload>,
}

struct Client {
    deadline: Instant,
    caller: Caller<Answer>,
}

impl Spanning {
    /// Whether a request on this partition alone need not wait for anything.
    fn is_quiet(&self) -> bool {
        self.machines.as_ref().is_none_or(Coordinator::is_quiet) && self.own.is_empty()
    }

    /// Whether nothing that is driven here is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.clients.is_empty() && self.gated.is_empty()
    }
}

impl Replica {
    /// Log time as an entry made now would have it.
    fn span_time(&self, common: &Common) -> Time {
        common.now.wall.max(self.state.log_time())
    }

    /// Begins once an entry of this coordination is applied.
    pub(super) fn begin_spanning(&mut self, common: &mut Common) {
        if self.spanning.machines.is_none() {
            let now = self.span_time(common);
            let config = coordination::Config::default();
            self.spanning.machines = Some(Coordinator::new(now, &self.partition, config));
            self.carry_out_spanning(common);
        }
    }

    /// The coordination has ended.
    pub(super) fn end_spanning(&mut self, common: &mut Common) {
        let now = self.span_time(common);
        if let Some(machines) = &mut self.spanning.machines {
            machines.become_deposed(now);
            self.carry_out_spanning(common);
        }
        let hint = self.state.coordinator();
        let ended = std::mem::take(&mut self.spanning);
        for proposal in ended.gated.into_values() {
            proposal.refuse(ProposeError::NotCoordinator { hint });
        }
        for client in ended.clients.into_values() {
            client.caller.tell(Answer::Settled(Outcome::Unknown(UnknownCause::Stopped)));
        }
    }

    /// Drives a client's transaction over several partitions, of which this is the primary.
    pub(in crate::members) fn begin_transaction(
        &mut self,
        common: &mut Common,
        begin: Begin,
        (terms, caller): (Terms, Caller<Answer>),
    ) {
        if let Some(error) = self.refusal(common) {
            return caller.tell(Answer::Refused(error));
        }
        let now = self.span_time(common);
        let Some(machines) = &mut self.spanning.machines else {
            // It coordinates and has not committed an entry of its own yet.
            return caller.tell(Answer::Refused(super::proposing::busy()));
        };
        let client = Client { deadline: terms.deadline, caller };
        if let Some(before) = self.spanning.clients.insert(begin.id, client) {
            before.caller.tell(Answer::Settled(Outcome::Unknown(UnknownCause::Deadline)));
        }
        machines.begin(now, begin);
        self.carry_out_spanning(common);
    }

    /// Another coordinator says something.
    pub(in crate::members) fn tell_spanning(&mut self, common: &mut Common, message: Message) {
        let now = self.span_time(common);
        if let Some(machines) = &mut self.spanning.machines {
            machines.receive(now, message, &self.partition);
            self.carry_out_spanning(common);
        }
    }

    /// A reader has met a lock here and waits for it.
    pub(in crate::members) fn met(&mut self, common: &mut Common, lock: Lock) {
        let now = self.span_time(common);
        if let Some(machines) = &mut self.spanning.machines {
            machines.met(now, lock);
            self.carry_out_spanning(common);
        }
    }

    /// Lets the machines learn what an entry did.
    pub(super) fn note_applied(&mut self, common: &mut Common, applied: &Applied) {
        let now = self.span_time(common);
        if let Some(machines) = &mut self.spanning.machines {
            machines.applied(now, applied, &self.partition);
            self.carry_out_spanning(common);
        }
    }

    /// Lets time pass for the machines, and tells clients that have waited too long.
    pub(in crate::members) fn drive_spanning(&mut self, common: &mut Common) {
        let (now, instant) = (self.span_time(common), common.clocks.instant(common.now.steady));
        if let Some(machines) = &mut self.spanning.machines {
            if machines.poll_timeout().is_some_and(|due| due <= now) {
                machines.tick(now);
            }
            self.carry_out_spanning(common);
        }
        for (_, client) in self.spanning.clients.extract_if(.., |_, c| c.deadline <= instant) {
            client.caller.tell(Answer::Settled(Outcome::Unknown(UnknownCause::Deadline)));
        }
    }

    /// Sends a request on this partition alone through the gate if it may meet a lock; gives it back
    /// if it may not.
    pub(super) fn gate(&mut self, common: &mut Common, proposal: Proposal) -> Option<Proposal> {
        let Payload::Transaction(request) = proposal.payload() else { return Some(proposal) };
        let is_free = self.partition.waiting_count() == 0 && self.spanning.is_quiet();
        let now = self.span_time(common);
        let Some(machines) = self.spanning.machines.as_mut().filter(|_| !is_free) else {
            return Some(proposal);
        };
        self.spanning.last_ticket += 1;
        let ticket = self.spanning.last_ticket;
        let named = request.body.actions.iter().map(|a| BlockId::header(&a.collection));
        let arriving = coordination::Request {
            ticket,
            id: request.id,
            collections: named.collect(),
            policy: Policy::Wait,
        };
        self.spanning.gated.insert(ticket, proposal);
        machines.arrive(now, arriving);
        self.carry_out_spanning(common);
        None
    }

    fn carry_out_spanning(&mut self, common: &mut Common) {
        while let Some(output) = self.spanning.machines.as_mut().and_then(Coordinator::poll_output)
        {
            match output {
                Output::Send(key, message) => {
                    if let Some(courier) = &common.courier {
                        courier.carry(key, message);
                    }
                }
                Output::Propose(payload) => self.spanning.own.push_back(payload),
                Output::Answer(id, outcome) => {
                    if let Some(client) = self.spanning.clients.remove(&id) {
                        common.answers.push((client.caller, Answer::Settled(outcome)));
                    }
                }
                Output::Pass(ticket) => {
                    if let Some(proposal) = self.spanning.gated.remove(&ticket) {
                        self.place(common, vec![proposal]);
                    }
                }
                Output::Refuse(ticket, rejection) => self.refuse_gated(ticket, rejection),
                Output::Return(ticket, lock) => {
                    let holder = lock.holder.id;
                    let rejection = Rejection::Locked { collection: String::new(), holder };
                    self.refuse_gated(ticket, rejection);
                }
            }
        }
        self.propose_spanning(common);
    }

    fn refuse_gated(&mut self, ticket: u64, rejection: Rejection) {
        if let Some(proposal) = self.spanning.gated.remove(&ticket) {
            proposal.refuse(ProposeError::Rejected(rejection));
        }
    }

    /// Logs what the machines want, in their order; what there is no room for waits.
    fn propose_spanning(&mut self, common: &mut Common) {
        while let Some(payload) = self.spanning.own.front() {
            let payload = payload.clone();
            if !self.propose_own(common, payload) {
                return;
            }
            self.spanning.own.pop_front();
        }
    }
}
