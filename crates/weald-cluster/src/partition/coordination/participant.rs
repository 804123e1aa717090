//! A participant's side: parts are pended for primaries and resolved as these decide; a part past
//! its deadline makes its primary decide.

use std::collections::{BTreeMap, VecDeque};

use weald_core::{
    Lock, PartId, PartitionId, Payload, PendAnswer, PlacementKey, Time, TransactionId, Verdict,
};

use super::{Config, Message, Resend, resolution};
use crate::{mutation::Mutation, partition::Waiting};

/// What a participant hears. Times are log time as the coordinator would stamp it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The coordination begins: the parts that wait here.
    Waiting(Vec<Waiting>),
    /// This partition's log has answered a `Pend`; with it the part, if it waits here now.
    Pended {
        /// The transaction.
        id: TransactionId,
        /// The answer.
        answer: PendAnswer,
        /// The part.
        waiting: Option<Box<Waiting>>,
    },
    /// A primary has decided.
    Resolve {
        /// The part.
        part: PartId,
        /// What of it lies here.
        keys: Vec<PlacementKey>,
        /// The decision.
        is_committed: bool,
    },
    /// This partition's log has resolved a part, or found it resolved.
    Resolved {
        /// The part.
        part: PartId,
    },
    /// This partition, the primary, has let its own part go.
    Settled(TransactionId),
    /// A primary's answer.
    Verdict {
        /// The part.
        part: PartId,
        /// The answer.
        verdict: Verdict,
    },
    /// Somebody has met a lock and wants to know.
    Met(Lock),
    /// Time has passed.
    Tick,
}

/// What a participant wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send to the coordinator of the key's partition.
    Send(PlacementKey, Message),
    /// Log in this partition.
    Propose(Payload),
}

/// A participant's machine of one coordination. See the module above for its use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    config: Config,
    partition: PartitionId,
    waiting: BTreeMap<TransactionId, Held>,
    /// Resolutions on their way through the log, with the keys that the primary named.
    resolving: BTreeMap<PartId, Resolving>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    waiting: Waiting,
    /// When the primary is asked, for the first time at the deadline.
    ask: Resend,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Resolving {
    keys: Vec<PlacementKey>,
    is_committed: bool,
}

impl Participant {
    /// A machine for the coordination of `partition`.
    pub fn new(partition: PartitionId, config: Config) -> Self {
        Self {
            config,
            partition,
            waiting: BTreeMap::new(),
            resolving: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input in.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Waiting(parts) => parts.into_iter().for_each(|part| self.hold(part)),
            Input::Pended { id, answer, waiting } => self.pended(id, answer, waiting),
            Input::Resolve { part, keys, is_committed } => {
                self.resolve(part, keys, is_committed);
            }
            Input::Resolved { part } => self.resolved(part),
            Input::Settled(id) => {
                let own = self.waiting.get(&id).is_some_and(|held| held.waiting.is_primary);
                if own {
                    self.waiting.remove(&id);
                }
            }
            Input::Verdict { part, verdict } => self.verdict(part, verdict),
            Input::Met(lock) => self.met(now, &lock),
            Input::Tick => self.tick(now),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to tick.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.waiting.values().map(|held| held.ask.at).min()
    }

    /// Parts that wait here.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    fn hold(&mut self, waiting: Waiting) {
        let id = waiting.lock.holder.id;
        let ask = Resend { at: waiting.lock.deadline, count: 0 };
        self.waiting.entry(id).or_insert(Held { waiting, ask });
    }

    fn pended(&mut self, id: TransactionId, answer: PendAnswer, waiting: Option<Box<Waiting>>) {
        if let Some(waiting) = waiting {
            self.hold(*waiting);
        }
        let message = Message::Pended { id, partition: self.partition, answer };
        self.outputs.push_back(Output::Send(id.home(), message));
    }

    /// Always through the log, also where the part is gone: what the log then says is so in every
    /// later coordination, while this state may be of one that has ended.
    fn resolve(&mut self, part: PartId, keys: Vec<PlacementKey>, is_committed: bool) {
        if let Some(resolving) = self.resolving.get_mut(&part) {
            let news = keys.into_iter().filter(|key| !resolving.keys.contains(key));
            let news: Vec<_> = news.collect();
            resolving.keys.extend(news);
            return;
        }
        if self.resolving.len() >= self.config.parts_max {
            return;
        }
        self.resolving.insert(part, Resolving { keys, is_committed });
        self.propose(Payload::ResolvePart { part, is_committed });
    }

    fn resolved(&mut self, part: PartId) {
        if self.waiting.get(&part.id).is_some_and(|held| held.waiting.lock.holder == part) {
            self.waiting.remove(&part.id);
        }
        let Some(Resolving { keys, is_committed }) = self.resolving.remove(&part) else { return };
        // Of what is dropped the primary keeps nothing.
        if is_committed && !keys.is_empty() {
            let message = Message::Resolved { part, keys };
            self.outputs.push_back(Output::Send(part.id.home(), message));
        }
    }

    fn verdict(&mut self, part: PartId, verdict: Verdict) {
        let Some(held) = self.waiting.get(&part.id) else { return };
        if held.waiting.lock.holder != part || held.waiting.is_primary {
            return;
        }
        let keys = held.waiting.keys.clone();
        match verdict {
            Verdict::Committed => self.resolve(part, keys, true),
            Verdict::Aborted => self.resolve(part, keys, false),
            Verdict::Undecided => {}
        }
    }

    /// Before the deadline the primary may only be asked.
    fn met(&mut self, now: Time, lock: &Lock) {
        let Some(held) = self.waiting.get(&lock.holder.id) else { return };
        if held.waiting.lock.holder == lock.holder && !held.waiting.is_primary {
            let output = ask(&held.waiting, now > lock.deadline);
            self.outputs.push_back(output);
        }
    }

    fn tick(&mut self, now: Time) {
        for held in self.waiting.values_mut() {
            if !held.ask.is_due(now) {
                continue;
            }
            held.ask.again(now, &self.config);
            let lock = held.waiting.lock;
            let output = if held.waiting.is_primary {
                Output::Propose(resolution(now, &lock))
            } else if self.config.breaks(Mutation::DropOverdueParts) {
                Output::Propose(Payload::ResolvePart { part: lock.holder, is_committed: false })
            } else if self.config.breaks(Mutation::NeverAskForDecisions) {
                continue;
            } else {
                ask(&held.waiting, true)
            };
            self.outputs.push_back(output);
        }
    }

    fn propose(&mut self, payload: Payload) {
        self.outputs.push_back(Output::Propose(payload));
    }
}

fn ask(waiting: &Waiting, may_resolve: bool) -> Output {
    let lock = waiting.lock;
    let message = Message::Ask { lock, from: waiting.key, may_resolve };
    Output::Send(lock.primary(), message)
}
