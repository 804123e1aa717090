//! The router: sends requests to the members that can serve them until there is an answer.

mod config;
mod event;
mod pending;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use weald_core::{PartitionId, PeerId, Time, limits::ENTRY_BYTES_MAX, millis};

use super::{
    backoff::Jitter,
    breaker::{BreakerState, Breakers},
    error::{RouteError, Table, UnknownReason},
    map::{Map, Reign},
    message::{Answer, Purpose, Reply, Request, Ticket},
};
use pending::{Pending, Phase};

pub use config::{Config, ConfigError};
pub use event::{Counters, Input, Output, Submit};

/// The router of one node or client.
///
/// The driver's loop: hand each event to [`Router::handle`] with the time of a clock that never
/// goes back, carry out [`Router::poll_output`] until it is empty, and call again with
/// [`Input::Timeout`] at [`Router::poll_timeout`]. What is sent to the node itself goes round the
/// network. Spurious calls are harmless. The driver drains
/// outputs after each input, so they are bounded by what one input can cause.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Router {
    config: Config,
    map: Map,
    pending: BTreeMap<Ticket, Pending>,
    timers: BTreeSet<(Time, Ticket)>,
    breakers: Breakers,
    jitter: Jitter,
    outputs: VecDeque<Output>,
    /// Of all pending payloads.
    payload_bytes: usize,
    counters: Counters,
}

/// Whom to ask.
enum Pick {
    Peer(PeerId),
    /// Every breaker is open until then.
    Blocked(Time),
    Nobody,
}

impl Router {
    /// A router that knows no map yet. One `seed` gives one behaviour.
    ///
    /// # Errors
    /// See [`Config::check`].
    pub fn new(config: Config, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            breakers: Breakers::new(config.breaker),
            config,
            map: Map::default(),
            pending: BTreeMap::new(),
            timers: BTreeSet::new(),
            jitter: Jitter::new(seed),
            outputs: VecDeque::new(),
            payload_bytes: 0,
            counters: Counters::default(),
        })
    }

    /// Takes an event in.
    ///
    /// # Panics
    /// When a ticket is submitted that is under way.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Submit(submit) => self.handle_submit(now, submit),
            Input::Reply { peer, reply } => self.handle_reply(now, peer, reply),
            Input::NotSent { ticket, attempt } => self.handle_not_sent(now, ticket, attempt),
            Input::Disconnected(peer) => self.handle_disconnected(now, peer),
            Input::Map(map) => {
                self.map.adopt(*map);
            }
            Input::Cancel(ticket) => drop(self.remove(ticket)),
            Input::Timeout => self.handle_timeout(now),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`]; `None` while nothing is under way.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// What the router believes about partitions.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// The breaker of a peer for a partition.
    pub fn breaker(&self, peer: PeerId, partition: PartitionId) -> BreakerState {
        self.breakers.state(&(peer, partition))
    }

    /// All breakers that are not closed.
    pub fn breakers(&self) -> impl Iterator<Item = (PeerId, PartitionId, BreakerState)> {
        self.breakers.tripped().map(|((peer, partition), state)| (*peer, *partition, state))
    }

    /// Requests under way.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn handle_submit(&mut self, now: Time, submit: Submit) {
        let ticket = submit.ticket;
        assert!(!self.pending.contains_key(&ticket), "a ticket is used once: {ticket:?}");
        if let Some(error) = self.refusal(now, &submit) {
            self.outputs.push_back(Output::Done { ticket, result: Err(error) });
            return;
        }
        self.payload_bytes += submit.payload.len();
        let pending = Pending::new(submit, now);
        self.timers.insert((pending.due, ticket));
        self.pending.insert(ticket, pending);
        self.dispatch(now, ticket);
    }

    /// Why a request is not begun.
    fn refusal(&self, now: Time, submit: &Submit) -> Option<RouteError> {
        let bytes = submit.payload.len();
        let busy = |what, max| Some(RouteError::Busy { what, max: wide(max) });
        if bytes > ENTRY_BYTES_MAX {
            return Some(RouteError::TooLarge { bytes: wide(bytes), max: wide(ENTRY_BYTES_MAX) });
        }
        if self.pending.len() >= self.config.requests_max {
            return busy(Table::Requests, self.config.requests_max);
        }
        if self.payload_bytes + bytes > self.config.payload_bytes_max {
            return busy(Table::PayloadBytes, self.config.payload_bytes_max);
        }
        if submit.hops > self.config.hops_max {
            let partition = self.map.partition(submit.purpose.key());
            return Some(RouteError::TooManyHops { partition, hops: submit.hops, last: None });
        }
        (submit.deadline <= now).then_some(RouteError::Expired)
    }

    fn handle_timeout(&mut self, now: Time) {
        let due: Vec<_> = self.timers.range(..=(now, Ticket(u64::MAX))).copied().collect();
        for (_, ticket) in due {
            match self.pending.get(&ticket).map(|pending| pending.phase) {
                Some(Phase::Asked { .. }) => self.fail(now, ticket, Duration::ZERO),
                Some(Phase::Paused) => self.dispatch(now, ticket),
                None => {}
            }
        }
    }

    fn handle_not_sent(&mut self, now: Time, ticket: Ticket, attempt: u32) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        pending.refuse(attempt);
        if pending.is_current(attempt) {
            self.fail(now, ticket, Duration::ZERO);
        }
    }

    fn handle_disconnected(&mut self, now: Time, lost: PeerId) {
        let is_asked =
            |pending: &&Pending| matches!(pending.phase, Phase::Asked { peer, .. } if peer == lost);
        let asked: Vec<_> = self.pending.values().filter(is_asked).map(|p| p.ticket).collect();
        asked.into_iter().for_each(|ticket| self.fail(now, ticket, Duration::ZERO));
    }

    fn handle_reply(&mut self, now: Time, peer: PeerId, reply: Reply) {
        let Reply { ticket, attempt, answer } = reply;
        let pending = self.pending.get(&ticket);
        if !pending.is_some_and(|pending| pending.is_unanswered(attempt, &peer)) {
            self.counters.ignored += 1;
            return;
        }
        self.learn(now, &answer);
        if let Answer::Done { bytes, .. } = answer {
            self.succeed(ticket, peer);
            self.finish(ticket, Ok(bytes));
            return;
        }
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        match answer {
            Answer::Unknown => pending.take(attempt),
            _ => pending.refuse(attempt),
        }
        let is_current = pending.is_current(attempt);
        if is_current {
            self.follow(now, ticket, peer, answer);
        }
    }

    /// Takes from an answer what it says about the map.
    fn learn(&mut self, now: Time, answer: &Answer) {
        let (partition, reign) = match answer {
            Answer::Redirect { partition, reign } | Answer::Done { partition, reign, .. } => {
                (*partition, *reign)
            }
            Answer::NotMine(part) => (part.partition, part.reign),
            _ => return,
        };
        let is_newer = self.map.reign(partition) < reign;
        match answer {
            Answer::NotMine(part) => self.map.learn(part),
            _ => self.map.hint(partition, reign),
        };
        if let Some(coordinator) = reign.coordinator().filter(|_| is_newer) {
            self.breakers.excuse(now, &(coordinator, partition));
        }
    }

    /// Does what the answer to the last attempt asks for.
    fn follow(&mut self, now: Time, ticket: Ticket, peer: PeerId, answer: Answer) {
        match answer {
            Answer::Redirect { partition, reign } => {
                self.succeed(ticket, peer);
                self.redirect(now, ticket, peer, (partition, reign));
            }
            Answer::NotMine(_) => {
                self.succeed(ticket, peer);
                self.hop(now, ticket, peer, None);
            }
            Answer::Busy { retry_after_ms, .. } => {
                self.succeed(ticket, peer);
                self.ask_again(ticket, peer);
                self.pause(now, ticket, Duration::from_millis(retry_after_ms));
            }
            Answer::Unavailable { retry_after_ms } => {
                self.fail(now, ticket, Duration::from_millis(retry_after_ms));
            }
            Answer::Unknown => self.fail(now, ticket, Duration::ZERO),
            Answer::Done { .. } => {}
        }
    }

    /// `peer` says that another coordinates. Its word counts unless something newer is known, or
    /// that coordinator has just failed this request.
    fn redirect(&mut self, now: Time, ticket: Ticket, peer: PeerId, told: (PartitionId, Reign)) {
        let (partition, reign) = told;
        let newest = self.map.reign(partition);
        let is_newer_known = newest > reign && newest.coordinator() != Some(peer);
        let reign = if is_newer_known { newest } else { reign };
        let failed = self.pending.get(&ticket).and_then(|pending| pending.failed);
        if reign.coordinator().is_none() || failed.is_some_and(|failed| reign <= failed) {
            self.pause(now, ticket, Duration::ZERO);
        } else {
            self.hop(now, ticket, peer, reign.coordinator());
        }
    }

    /// Forwards the request, to `target` if one is named, or ends it.
    fn hop(&mut self, now: Time, ticket: Ticket, peer: PeerId, target: Option<PeerId>) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        if pending.hops >= self.config.hops_max {
            let (hops, last) = (pending.hops, Some(peer));
            let partition = self.map.partition(pending.purpose.key());
            self.end(ticket, RouteError::TooManyHops { partition, hops, last });
            return;
        }
        pending.hops += 1;
        pending.next = target;
        self.counters.hops += 1;
        self.dispatch(now, ticket);
    }

    fn ask_again(&mut self, ticket: Ticket, peer: PeerId) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.next = Some(peer);
        }
    }

    /// The last attempt came to nothing: notes that at the breaker and tries again later.
    fn fail(&mut self, now: Time, ticket: Ticket, retry_after: Duration) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        if let Phase::Asked { peer, partition, .. } = pending.phase {
            let reign = self.map.reign(partition);
            if reign.coordinator() == Some(peer) {
                pending.failed = Some(reign);
            }
            let change = self.breakers.fail(now, (peer, partition));
            self.report(peer, partition, change);
        }
        self.pause(now, ticket, retry_after);
    }

    /// The peer of the last attempt works.
    fn succeed(&mut self, ticket: Ticket, peer: PeerId) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        let partition = match pending.phase {
            Phase::Asked { peer: asked, partition, .. } if asked == peer => partition,
            _ => self.map.partition(pending.purpose.key()),
        };
        let change = self.breakers.succeed(&(peer, partition));
        self.report(peer, partition, change);
    }

    fn report(&mut self, peer: PeerId, partition: PartitionId, change: Option<BreakerState>) {
        self.outputs.extend(change.map(|state| Output::Breaker { peer, partition, state }));
    }

    /// Waits before the next attempt, at least as long as a peer asked for within reason.
    fn pause(&mut self, now: Time, ticket: Ticket, retry_after: Duration) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        if pending.deadline <= now {
            self.expire(ticket);
            return;
        }
        pending.failure_count = pending.failure_count.saturating_add(1);
        let own = self.config.backoff.pause(pending.failure_count, &mut self.jitter);
        let pause = own.max(retry_after.min(self.config.retry_after_max));
        self.counters.retries += 1;
        self.wait(ticket, Phase::Paused, now.after(pause));
    }

    /// Sets the one timer of a request, never past its deadline.
    fn wait(&mut self, ticket: Ticket, phase: Phase, until: Time) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        self.timers.remove(&(pending.due, ticket));
        pending.phase = phase;
        pending.due = until.min(pending.deadline);
        self.timers.insert((pending.due, ticket));
    }

    /// Sends the next attempt, or waits, or ends the request.
    fn dispatch(&mut self, now: Time, ticket: Ticket) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        if pending.deadline <= now {
            self.expire(ticket);
            return;
        }
        let (deadline, is_taken) = (pending.deadline, pending.taker().is_some());
        let partition = self.map.partition(pending.purpose.key());
        match self.pick(now, ticket, partition) {
            Pick::Peer(peer) => self.send(now, ticket, peer, partition),
            Pick::Nobody => self.end(ticket, RouteError::NoRoute { partition }),
            // An unanswered attempt may still be answered, so there is something to wait for.
            Pick::Blocked(until) if until < deadline || is_taken => {
                let spread = self.jitter.up_to(self.config.backoff.first);
                self.wait(ticket, Phase::Paused, until.after(spread));
            }
            Pick::Blocked(until) => {
                let retry_after_ms = millis(until.since(now));
                self.end(ticket, RouteError::Unavailable { partition, retry_after_ms });
            }
        }
    }

    fn send(&mut self, now: Time, ticket: Ticket, peer: PeerId, partition: PartitionId) {
        let Some(pending) = self.pending.get_mut(&ticket) else { return };
        let tried = pending.tried.iter().copied().collect();
        let attempt = pending.ask(peer, partition);
        let request = Request {
            ticket,
            attempt,
            purpose: pending.purpose,
            partition,
            version: self.map.version(),
            hops: pending.hops,
            tried,
            payload: pending.payload.clone(),
        };
        let (phase, until) = (pending.phase, now.after(self.config.attempt_timeout));
        let change = self.breakers.admit(now, (peer, partition));
        self.report(peer, partition, change);
        self.counters.sent += 1;
        self.outputs.push_back(Output::Send { peer, request });
        self.wait(ticket, phase, until);
    }

    /// Whom to ask: who was named, then the coordinator, then other members, then seeds, then any node
    /// of the network; first those not asked in this round.
    fn pick(&mut self, now: Time, ticket: Ticket, partition: PartitionId) -> Pick {
        let Some(pending) = self.pending.get_mut(&ticket) else { return Pick::Nobody };
        let breakers = &self.breakers;
        let ready = |peer: &PeerId| breakers.blocked_until(now, &(*peer, partition)).is_none();
        let coordinator =
            self.map.coordinator(partition).filter(|peer| !pending.tried.contains(peer));
        if let Some(peer) = pending.next.take().or(coordinator).filter(ready) {
            return Pick::Peer(peer);
        }
        self.pick_other(now, ticket, partition)
    }

    fn pick_other(&mut self, now: Time, ticket: Ticket, partition: PartitionId) -> Pick {
        let candidates = self.candidates(partition);
        let Some(pending) = self.pending.get_mut(&ticket) else { return Pick::Nobody };
        let until = |peer: &PeerId| self.breakers.blocked_until(now, &(*peer, partition));
        let ready = |peer: &PeerId| until(peer).is_none();
        let fresh = candidates.iter().find(|peer| !pending.tried.contains(peer) && ready(peer));
        if let Some(peer) = fresh {
            return Pick::Peer(*peer);
        }
        pending.begin_round();
        if let Some(peer) = candidates.iter().find(|peer| ready(peer)) {
            return Pick::Peer(*peer);
        }
        candidates.iter().filter_map(until).min().map_or(Pick::Nobody, Pick::Blocked)
    }

    /// All who could be asked, the likeliest first. Among equals chance decides, so that a lost
    /// coordinator's clients do not all ask the same member.
    fn candidates(&mut self, partition: PartitionId) -> Vec<PeerId> {
        let mut candidates: Vec<_> = self.map.coordinator(partition).into_iter().collect();
        let members = self.map.members(partition);
        let mut voters: Vec<PeerId> =
            members.iter().flat_map(|members| &members.voters).copied().collect();
        let first = self.jitter.below(wide(voters.len()));
        voters.rotate_left(usize::try_from(first).unwrap_or(0));
        candidates.extend(voters);
        candidates.extend(members.iter().flat_map(|members| &members.learners));
        candidates.extend(&self.config.seeds);
        candidates.extend(self.map.nodes());
        candidates
    }

    fn expire(&mut self, ticket: Ticket) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        let partition = self.map.partition(pending.purpose.key());
        let retry_after_ms = millis(self.config.backoff.max);
        self.end_for(
            ticket,
            RouteError::Unavailable { partition, retry_after_ms },
            UnknownReason::Deadline,
        );
    }

    /// Ends a request without a result. What may have been taken is unknown, whatever happened last.
    fn end(&mut self, ticket: Ticket, error: RouteError) {
        let reason = match error {
            RouteError::TooManyHops { .. } => UnknownReason::Hops,
            _ => UnknownReason::Unreachable,
        };
        self.end_for(ticket, error, reason);
    }

    fn end_for(&mut self, ticket: Ticket, error: RouteError, reason: UnknownReason) {
        let Some(pending) = self.pending.get(&ticket) else { return };
        let partition = self.map.partition(pending.purpose.key());
        let last = pending.taker();
        let is_unknown = match pending.purpose {
            Purpose::Read(_) => false,
            Purpose::Write(_) => last.is_some(),
            Purpose::Resolve(_) => true,
        };
        let error =
            if is_unknown { RouteError::Unknown { partition, reason, last } } else { error };
        self.finish(ticket, Err(error));
    }

    fn finish(&mut self, ticket: Ticket, result: Result<Bytes, RouteError>) {
        if self.remove(ticket).is_some() {
            self.outputs.push_back(Output::Done { ticket, result });
        }
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.pending.remove(&ticket)?;
        self.timers.remove(&(pending.due, ticket));
        self.payload_bytes -= pending.payload.len();
        Some(pending)
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
