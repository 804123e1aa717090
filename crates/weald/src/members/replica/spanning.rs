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
use crate::{
    members::{Answer, Caller, Proposal, ProposeError, Terms, office::Office},
    telling::Told,
};

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
    fn span_time(&self, office: &Office) -> Time {
        office.now.wall.max(self.state.log_time())
    }

    /// Begins once an entry of this coordination is applied.
    pub(super) fn begin_spanning(&mut self, office: &mut Office) {
        if self.spanning.machines.is_none() {
            let now = self.span_time(office);
            let config = coordination::Config::default();
            self.spanning.machines = Some(Coordinator::new(now, &self.partition, config));
            self.carry_out_spanning(office);
        }
    }

    /// The coordination has ended.
    pub(super) fn end_spanning(&mut self, office: &mut Office) {
        let now = self.span_time(office);
        if let Some(machines) = &mut self.spanning.machines {
            machines.become_deposed(now);
            self.carry_out_spanning(office);
        }
        let hint = self.state.coordinator();
        let ended = std::mem::take(&mut self.spanning);
        for proposal in ended.gated.into_values() {
            proposal.refuse(ProposeError::NotCoordinator { hint });
        }
        for client in ended.clients.into_values() {
            client.caller.tell(Answer::Settled(Outcome::Unknown(UnknownCause::TakenOver)));
        }
    }

    /// Drives a client's transaction over several partitions, of which this is the primary.
    pub(in crate::members) fn begin_transaction(
        &mut self,
        office: &mut Office,
        begin: Begin,
        (terms, caller): (Terms, Caller<Answer>),
    ) {
        if let Some(error) = self.refusal(office) {
            return caller.tell(Answer::Refused(error));
        }
        let now = self.span_time(office);
        let Some(machines) = &mut self.spanning.machines else {
            // It coordinates and has not committed an entry of its own yet.
            return caller.tell(Answer::Refused(super::proposing::busy()));
        };
        tracing::debug!(
            target: "weald::transaction", partition = %self.partition.id(), id = %begin.id,
            parts = begin.shares.len(), "a transaction over several partitions begins"
        );
        let client = Client { deadline: terms.deadline, caller };
        if let Some(before) = self.spanning.clients.insert(begin.id, client) {
            before.caller.tell(Answer::Settled(Outcome::Unknown(UnknownCause::Deadline)));
        }
        machines.begin(now, begin);
        self.carry_out_spanning(office);
    }

    /// Another coordinator says something.
    pub(in crate::members) fn tell_spanning(&mut self, office: &mut Office, message: Message) {
        let now = self.span_time(office);
        if let Some(machines) = &mut self.spanning.machines {
            machines.receive(now, message, &self.partition);
            self.carry_out_spanning(office);
        }
    }

    /// A reader has met a lock here and waits for it.
    pub(in crate::members) fn met(&mut self, office: &mut Office, lock: Lock) {
        let now = self.span_time(office);
        if let Some(machines) = &mut self.spanning.machines {
            tracing::debug!(
                target: "weald::transaction", partition = %self.partition.id(), holder = %lock.holder.id,
                "a reader waits for a lock"
            );
            machines.met(now, lock);
            self.carry_out_spanning(office);
        }
    }

    /// Lets the machines learn what an entry did.
    pub(super) fn note_applied(&mut self, office: &mut Office, applied: &Applied) {
        let now = self.span_time(office);
        if let Some(machines) = &mut self.spanning.machines {
            machines.applied(now, applied, &self.partition);
            self.carry_out_spanning(office);
        }
    }

    /// Lets time pass for the machines, and tells clients that have waited too long.
    pub(in crate::members) fn drive_spanning(&mut self, office: &mut Office) {
        let (now, instant) = (self.span_time(office), office.clocks.instant(office.now.steady));
        if let Some(machines) = &mut self.spanning.machines {
            if machines.poll_timeout().is_some_and(|due| due <= now) {
                machines.tick(now);
            }
            self.carry_out_spanning(office);
        }
        for (_, client) in self.spanning.clients.extract_if(.., |_, c| c.deadline <= instant) {
            client.caller.tell(Answer::Settled(Outcome::Unknown(UnknownCause::Deadline)));
        }
    }

    /// Sends a request on this partition alone through the gate if it may meet a lock; gives it back
    /// if it may not.
    pub(super) fn gate(&mut self, office: &mut Office, proposal: Proposal) -> Option<Proposal> {
        let Payload::Transaction(request) = proposal.payload() else { return Some(proposal) };
        let is_free = self.partition.waiting_count() == 0 && self.spanning.is_quiet();
        let now = self.span_time(office);
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
        self.carry_out_spanning(office);
        None
    }

    fn carry_out_spanning(&mut self, office: &mut Office) {
        while let Some(output) = self.spanning.machines.as_mut().and_then(Coordinator::poll_output)
        {
            match output {
                Output::Send(key, message) => {
                    if let Some(courier) = &office.courier {
                        courier.carry(key, message);
                    }
                }
                Output::Propose(payload) => self.spanning.own.push_back(payload),
                Output::Answer(id, outcome) => {
                    if let Some(client) = self.spanning.clients.remove(&id) {
                        tracing::debug!(
                            target: "weald::transaction", partition = %self.partition.id(), %id,
                            outcome = %Told(&outcome), "a client is told"
                        );
                        office.answers.push((client.caller, Answer::Settled(outcome)));
                    }
                }
                Output::Pass(ticket) => {
                    if let Some(proposal) = self.spanning.gated.remove(&ticket) {
                        self.place(office, vec![proposal]);
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
        self.propose_spanning(office);
    }

    fn refuse_gated(&mut self, ticket: u64, rejection: Rejection) {
        if let Some(proposal) = self.spanning.gated.remove(&ticket) {
            proposal.refuse(ProposeError::Rejected(rejection));
        }
    }

    /// Logs what the machines want, in their order; what there is no room for waits.
    fn propose_spanning(&mut self, office: &mut Office) {
        while let Some(payload) = self.spanning.own.front() {
            let payload = payload.clone();
            if !self.propose_own(office, payload) {
                return;
            }
            self.spanning.own.pop_front();
        }
    }
}
