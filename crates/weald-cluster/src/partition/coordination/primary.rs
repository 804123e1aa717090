//! The primary's side: the whole transaction is here; its parts are pended, then the decision is
//! logged, then the participants carry it out.

use std::collections::{BTreeMap, VecDeque};

use weald_core::{
    Digest, Lock, Outcome, OwnPart, PartId, PartitionId, Payload, Pend, PendAnswer, Pended,
    PlacementKey, Rejection, SessionStamp, SpanningAbort, SpanningCommit, Time, TransactionBody,
    TransactionId, UnknownCause, Verdict,
};

use super::{Config, Message, Resend, Share, resolution};
use crate::partition::Decision;

/// In what order parts are pended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// All others at once; the primary's own part is executed by the decision. The first attempt.
    Together,
    /// One after the other by key, the primary's own among them, so that transactions which wait
    /// for each other's locks never wait in a circle. The rerun after a conflict.
    ByKey,
}

/// A transaction to be driven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Begin {
    /// The transaction.
    pub id: TransactionId,
    /// As in its request.
    pub expiry: Time,
    /// As in its request.
    pub session: Option<SessionStamp>,
    /// The digest of the whole request.
    pub digest: Digest,
    /// All shares, the primary's own among them, in the order of their keys.
    pub shares: Vec<Share>,
    /// How to lock.
    pub order: Order,
}

/// What a primary hears. Times are log time as the coordinator would stamp it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A client's transaction.
    Begin(Begin),
    /// The coordination begins: decisions that the log holds and not all have carried out.
    Decisions(Vec<(TransactionId, Decision)>),
    /// A participant's answer, or what this partition's own log said to an own `Pend`.
    Pended {
        /// The transaction.
        id: TransactionId,
        /// Whose answer.
        partition: PartitionId,
        /// The answer.
        answer: PendAnswer,
    },
    /// This partition's log has settled an id.
    Settled {
        /// The transaction.
        id: TransactionId,
        /// Its outcome.
        outcome: Outcome,
        /// The decision, if it is a commit that others have to carry out.
        decision: Option<Decision>,
        /// Whether the outcome is kept. A refusal that is not has decided nothing.
        is_kept: bool,
    },
    /// A participant has carried out the decision.
    Resolved {
        /// The part.
        part: PartId,
        /// What of it is done.
        keys: Vec<PlacementKey>,
    },
    /// This partition's log has noted so.
    CarriedOut {
        /// The part.
        part: PartId,
        /// What of it is done.
        keys: Vec<PlacementKey>,
    },
    /// A participant asks about a part; with it what [`Partition::verdict`] says.
    ///
    /// [`Partition::verdict`]: crate::partition::Partition::verdict
    Ask {
        /// The part.
        lock: Lock,
        /// Where to answer.
        from: PlacementKey,
        /// Whether the id may be resolved.
        may_resolve: bool,
        /// The verdict as things stand.
        verdict: Verdict,
    },
    /// Time has passed.
    Tick,
    /// The coordination has ended. Nothing more comes of this machine.
    Deposed,
}

/// What a primary wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send to the coordinator of the key's partition.
    Send(PlacementKey, Message),
    /// Log in this partition.
    Propose(Payload),
    /// Tell the client.
    Answer(TransactionId, Outcome),
}

/// The primary's machine of one coordination. See the module above for its use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Primary {
    config: Config,
    partition: PartitionId,
    driven: BTreeMap<TransactionId, Driven>,
    decided: BTreeMap<TransactionId, Decided>,
    asked: BTreeMap<TransactionId, BTreeMap<PartId, Asked>>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Driven {
    begin: Begin,
    /// By place in the shares.
    pended: BTreeMap<usize, Pended>,
    give_up_at: Time,
    resend: Resend,
    is_deciding: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Decided {
    decision: Decision,
    resend: Resend,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    lock: Lock,
    from: PlacementKey,
}

impl Primary {
    /// A machine for the coordination of `partition`.
    pub fn new(partition: PartitionId, config: Config) -> Self {
        Self {
            config,
            partition,
            driven: BTreeMap::new(),
            decided: BTreeMap::new(),
            asked: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input in.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Begin(begin) => self.begin(now, begin),
            Input::Decisions(decisions) => {
                decisions.into_iter().for_each(|(id, decision)| self.decided(now, id, decision));
            }
            Input::Pended { id, partition, answer } => self.pended(id, partition, answer),
            Input::Settled { id, outcome, decision, is_kept } => {
                self.settled(now, Settled { id, outcome, decision, is_kept });
            }
            Input::Resolved { part, keys } => {
                // Logged also where nothing is known of it: that costs an entry and harms nothing.
                self.propose(Payload::PartResolved { part, keys });
            }
            Input::CarriedOut { part, keys } => self.carried_out(part, &keys),
            Input::Ask { lock, from, may_resolve, verdict } => {
                self.ask(now, Asked { lock, from }, may_resolve, verdict);
            }
            Input::Tick => self.tick(now),
            Input::Deposed => self.become_deposed(),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to tick.
    pub fn poll_timeout(&self) -> Option<Time> {
        let driven = self.driven.values().filter(|driven| !driven.is_deciding);
        let driven = driven.map(|driven| driven.resend.at.min(driven.give_up_at));
        driven.chain(self.decided.values().map(|decided| decided.resend.at)).min()
    }

    /// Transactions that are driven, not yet decided.
    pub fn driven_count(&self) -> usize {
        self.driven.len()
    }

    /// Decisions that participants have yet to carry out.
    pub fn decided_count(&self) -> usize {
        self.decided.len()
    }

    fn begin(&mut self, now: Time, begin: Begin) {
        let id = begin.id;
        // A copy of what is under way is answered with it.
        if self.driven.contains_key(&id) {
            return;
        }
        if self.driven.len() >= self.config.driven_max {
            let max = u64::try_from(self.config.driven_max).unwrap_or(u64::MAX);
            let rejection = Rejection::Busy { what: "spanning transactions".to_owned(), max };
            self.outputs.push_back(Output::Answer(id, Outcome::Rejected(rejection)));
            return;
        }
        let driven = Driven {
            begin,
            pended: BTreeMap::new(),
            give_up_at: now.after(self.config.pend_timeout),
            resend: Resend::first(now, &self.config),
            is_deciding: false,
        };
        self.driven.insert(id, driven);
        self.go_on(id);
    }

    /// Sends what is missing, or decides when nothing is.
    fn go_on(&mut self, id: TransactionId) {
        let Some(driven) = self.driven.get_mut(&id).filter(|driven| !driven.is_deciding) else {
            return;
        };
        let missing = driven.missing(self.partition);
        if missing.is_empty() {
            driven.is_deciding = true;
            let commit = driven.commit(self.partition);
            self.propose(Payload::Commit(commit));
            return;
        }
        let pends: Vec<_> = missing.into_iter().map(|at| driven.pend(at, self.partition)).collect();
        for (key, pend) in pends {
            let output = match pend.is_primary {
                true => Output::Propose(Payload::Pend(pend)),
                false => Output::Send(key, Message::Pend(pend)),
            };
            self.outputs.push_back(output);
        }
    }

    fn pended(&mut self, id: TransactionId, partition: PartitionId, answer: PendAnswer) {
        let Some(driven) = self.driven.get_mut(&id).filter(|driven| !driven.is_deciding) else {
            return;
        };
        let mut shares = driven.begin.shares.iter();
        let Some(at) = shares.position(|share| share.partition == partition) else { return };
        match answer {
            PendAnswer::Pended(pended) => {
                let is_news = driven.pended.insert(at, pended).is_none();
                if is_news {
                    self.go_on(id);
                }
            }
            PendAnswer::Refused(Rejection::IdReused) => {
                // Another request has the id, and nothing is decided about that one here.
                self.driven.remove(&id);
                let outcome = Outcome::Rejected(Rejection::IdReused);
                self.outputs.push_back(Output::Answer(id, outcome));
            }
            PendAnswer::Refused(rejection) => self.abort(id, rejection),
            PendAnswer::Resolved => {
                driven.is_deciding = true;
                let Begin { expiry, session, .. } = driven.begin;
                self.propose(Payload::Resolve { id, expiry, session });
            }
        }
    }

    fn abort(&mut self, id: TransactionId, rejection: Rejection) {
        let Some(driven) = self.driven.get_mut(&id) else { return };
        driven.is_deciding = true;
        let Begin { expiry, session, digest, .. } = driven.begin;
        self.propose(Payload::Abort(SpanningAbort { id, expiry, session, digest, rejection }));
    }

    fn settled(&mut self, now: Time, settled: Settled) {
        let Settled { id, outcome, decision, is_kept } = settled;
        if let Some(driven) = self.driven.remove(&id) {
            if is_kept && !matches!(outcome, Outcome::Committed(_)) {
                self.drop_parts(&driven);
            }
            self.outputs.push_back(Output::Answer(id, outcome));
        }
        let of_asked = decision.clone();
        if let Some(decision) = decision {
            self.decided(now, id, decision);
        }
        let Some(asked) = self.asked.remove(&id) else { return };
        for (part, Asked { lock, from }) in asked {
            let commits = of_asked.as_ref().is_some_and(|d| d.commits(lock.holder.pend));
            let verdict = match (commits, is_kept) {
                (true, _) => Verdict::Committed,
                (false, true) => Verdict::Aborted,
                // The next question is answered by the state.
                (false, false) => Verdict::Undecided,
            };
            self.outputs.push_back(Output::Send(from, Message::Verdict { part, verdict }));
        }
    }

    /// Tells once who has pended; who does not hear it asks.
    fn drop_parts(&mut self, driven: &Driven) {
        for (at, pended) in &driven.pended {
            let share = &driven.begin.shares[*at];
            if share.partition != self.partition {
                let (part, keys) = (pended.lock.holder, pended.keys.clone());
                let message = Message::Resolve { part, keys, is_committed: false };
                self.outputs.push_back(Output::Send(share.key, message));
            }
        }
    }

    fn decided(&mut self, now: Time, id: TransactionId, decision: Decision) {
        self.send_decision(id, &decision);
        let resend = Resend::first(now, &self.config);
        self.decided.insert(id, Decided { decision, resend });
    }

    fn send_decision(&mut self, id: TransactionId, decision: &Decision) {
        for (&key, &pend) in &decision.outstanding {
            let part = PartId { id, pend };
            let message = Message::Resolve { part, keys: vec![key], is_committed: true };
            self.outputs.push_back(Output::Send(key, message));
        }
    }

    fn carried_out(&mut self, part: PartId, keys: &[PlacementKey]) {
        let Some(decided) = self.decided.get_mut(&part.id) else { return };
        let outstanding = &mut decided.decision.outstanding;
        outstanding.retain(|key, pend| *pend != part.pend || !keys.contains(key));
        if outstanding.is_empty() {
            self.decided.remove(&part.id);
        }
    }

    fn ask(&mut self, now: Time, asked: Asked, may_resolve: bool, verdict: Verdict) {
        let (lock, from) = (asked.lock, asked.from);
        let PartId { id, .. } = lock.holder;
        let is_full = self.asked.len() >= self.config.driven_max && !self.asked.contains_key(&id);
        if verdict != Verdict::Undecided || !may_resolve || is_full {
            let message = Message::Verdict { part: lock.holder, verdict };
            self.outputs.push_back(Output::Send(from, message));
            return;
        }
        let of_id = self.asked.entry(id).or_default();
        of_id.insert(lock.holder, asked);
        self.propose(resolution(now, &lock));
    }

    fn tick(&mut self, now: Time) {
        let late = self.driven.iter().filter(|(_, driven)| !driven.is_deciding);
        let late: Vec<_> = late.filter(|(_, d)| d.give_up_at <= now).map(|(id, _)| *id).collect();
        for id in late {
            let partition = self.driven[&id].silent(self.partition);
            self.abort(id, Rejection::Silent { partition });
        }
        let mut due = Vec::new();
        for (id, driven) in &mut self.driven {
            if !driven.is_deciding && driven.resend.is_due(now) {
                driven.resend.again(now, &self.config);
                due.push(*id);
            }
        }
        due.into_iter().for_each(|id| self.go_on(id));
        let mut unheard = Vec::new();
        for (id, decided) in &mut self.decided {
            if decided.resend.is_due(now) {
                decided.resend.again(now, &self.config);
                unheard.push((*id, decided.decision.clone()));
            }
        }
        unheard.iter().for_each(|(id, decision)| self.send_decision(*id, decision));
    }

    fn become_deposed(&mut self) {
        self.decided.clear();
        self.asked.clear();
        self.outputs.clear();
        for id in std::mem::take(&mut self.driven).into_keys() {
            let outcome = Outcome::Unknown(UnknownCause::TakenOver);
            self.outputs.push_back(Output::Answer(id, outcome));
        }
    }

    fn propose(&mut self, payload: Payload) {
        self.outputs.push_back(Output::Propose(payload));
    }
}

struct Settled {
    id: TransactionId,
    outcome: Outcome,
    decision: Option<Decision>,
    is_kept: bool,
}

impl Driven {
    /// The shares to be asked for now.
    fn missing(&self, own: PartitionId) -> Vec<usize> {
        let shares = self.begin.shares.iter().enumerate();
        let is_missing = |at: &usize| !self.pended.contains_key(at);
        match self.begin.order {
            Order::Together => {
                let others = shares.filter(|(_, share)| share.partition != own);
                others.map(|(at, _)| at).filter(is_missing).collect()
            }
            Order::ByKey => shares.map(|(at, _)| at).find(is_missing).into_iter().collect(),
        }
    }

    /// Whom the transaction is given up for.
    fn silent(&self, own: PartitionId) -> PartitionId {
        self.missing(own).first().map_or(own, |at| self.begin.shares[*at].partition)
    }

    fn pend(&self, at: usize, own: PartitionId) -> (PlacementKey, Pend) {
        let share = &self.begin.shares[at];
        let &Begin { id, expiry, session, digest, .. } = &self.begin;
        let (is_primary, body, marks) = (share.partition == own, share.body.clone(), Vec::new());
        (share.key, Pend { id, expiry, session, digest, is_primary, body, marks })
    }

    fn commit(&self, own: PartitionId) -> SpanningCommit {
        let &Begin { id, expiry, session, digest, .. } = &self.begin;
        let mut commit = SpanningCommit {
            id,
            expiry,
            session,
            digest,
            own: OwnPart::Execute(TransactionBody::default()),
            actions: Vec::new(),
            participants: Vec::new(),
        };
        for (at, share) in self.begin.shares.iter().enumerate() {
            let actions = share.actions.clone();
            match (self.pended.get(&at), share.partition == own) {
                (Some(pended), false) => {
                    let pended = pended.clone();
                    commit.participants.push(weald_core::Participant { pended, actions });
                }
                (Some(pended), true) => {
                    commit.own = OwnPart::Pended(pended.lock.holder.pend);
                    commit.actions = actions;
                }
                (None, _) => {
                    commit.own = OwnPart::Execute(share.body.clone());
                    commit.actions = actions;
                }
            }
        }
        commit
    }
}
