//! A state of the exploration: members, all letters, what was spent of the bounds, and what was
//! ever decided.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use weald_cluster::{
    configuration::Configuration,
    replica::{Change, Envelope, Input, Message, Role},
};
use weald_core::{Digest, Epoch, LogIndex, PeerId};

use super::{
    Action, Bounds, Explorer,
    memo::{Cause, Did, Step},
    node::{Node, Turn, member},
    reach,
};

/// One state that the network can be in.
#[derive(Clone)]
pub struct World {
    pub(super) nodes: Vec<Arc<Node>>,
    letters: Arc<BTreeMap<u64, Arc<Envelope>>>,
    /// All keys of letters, combined.
    letters_print: u64,
    spent: Spent,
    pub(super) history: Arc<History>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Spent {
    campaigns: u8,
    proposals: u8,
    crashes: u8,
    wipes: u8,
    beats: u8,
    resignations: u8,
    changes: u8,
}

/// What was decided, whoever still remembers it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct History {
    /// Which member coordinates in an epoch, and in which run.
    pub(super) coordinations: BTreeMap<Epoch, (usize, u64)>,
    /// The entry at each committed place, and the epoch of whoever first knew.
    pub(super) committed: BTreeMap<LogIndex, (Digest, Epoch)>,
    pub(super) faults: BTreeSet<Fault>,
    print: u64,
}

/// What may never happen and shows only at the moment when it does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Fault {
    /// Two coordinations of one epoch.
    TwoCoordinations,
    /// Two entries were committed at one place.
    TwoValues,
    /// A promise or an acknowledgement left before it was synced.
    SaidTooEarly,
    /// An entry was committed that was not synced at a quorum.
    CommittedByFew,
}

impl World {
    /// A network that was just founded, whose members have heard of each other.
    pub(super) fn founded(explorer: &Explorer) -> Self {
        let bounds = explorer.bounds();
        let configuration = founding(bounds);
        let count = configuration.members().count();
        let nodes = (0..count).map(|number| Node::founded(number, &configuration, bounds));
        let mut nodes: Vec<_> = nodes.collect();
        introduce(&mut nodes);
        let nodes = nodes.into_iter().map(Arc::new).collect();
        let (letters, history) = (Arc::default(), Arc::default());
        let world = Self { nodes, letters, letters_print: 0, spent: Spent::default(), history };
        if bounds.is_begun { world.begun(explorer) } else { world }
    }

    /// The first member coordinates, its first entry is committed everywhere, and no letter is left.
    fn begun(self, explorer: &Explorer) -> Self {
        let mut world = self.after(explorer, &Action::Campaign(0)).expect("it may campaign");
        world.spent = Spent::default();
        loop {
            let before = fingerprint_of(&world);
            for node in 0..world.nodes.len() {
                world = world.after(explorer, &Action::Sync(node)).unwrap_or(world);
            }
            let letters: Vec<_> = world.letters.keys().copied().collect();
            for key in letters {
                world = world.after(explorer, &Action::Deliver(key)).unwrap_or(world);
            }
            if fingerprint_of(&world) == before {
                break;
            }
        }
        world.letters = Arc::default();
        world.letters_print = 0;
        if explorer.bounds().resignations > 0 {
            world.nodes[..2].iter_mut().for_each(|node| Arc::make_mut(node).jump());
        }
        world
    }

    /// Whether a coordination has ended because its entries were refused.
    pub(super) fn has_resigned(&self) -> bool {
        self.spent.resignations > 0
    }

    /// What may happen next.
    pub(super) fn offer(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        let spent = &self.spent;
        for (number, node) in self.nodes.iter().enumerate() {
            let is_coordinator = node.state.role() == Role::Coordinator;
            let mut may = |is_possible: bool, action: fn(usize) -> Action| {
                if is_possible {
                    actions.push(action(number));
                }
            };
            let may_campaign =
                number < bounds.campaigners && (!is_coordinator || bounds.has_step_downs);
            may(node.is_waiting(), Action::Sync);
            may(may_campaign && spent.campaigns < bounds.campaigns, Action::Campaign);
            may(is_coordinator && spent.proposals < bounds.proposals, Action::Propose);
            may(is_coordinator && spent.beats < bounds.beats, Action::Beat);
            may(is_coordinator && spent.resignations < bounds.resignations, Action::Resign);
            may(is_coordinator && bounds.has_change && spent.changes == 0, Action::Change);
            may(spent.crashes < bounds.crashes, Action::Crash);
            may(spent.wipes < bounds.wipes, Action::Wipe);
        }
        actions.extend(self.letters.keys().copied().map(Action::Deliver));
    }

    /// What `action` is, in words.
    pub(super) fn describe(&self, action: &Action) -> String {
        let letter = match action {
            Action::Deliver(key) => self.letters.get(key),
            _ => None,
        };
        match letter {
            Some(letter) => {
                let number = |peer| self.nodes.iter().position(|n| n.state.me().peer == peer);
                let (from, to) = (number(letter.from.peer), number(letter.to.peer));
                format!("deliver {from:?} -> {to:?}: {:?}", letter.message)
            }
            None => format!("{action:?}"),
        }
    }

    /// The world after `action`; `None` where nothing changes or the bounds are passed.
    pub(super) fn after(&self, explorer: &Explorer, action: &Action) -> Option<Self> {
        let mut next = self.clone();
        match action {
            Action::Deliver(key) => next.deliver(explorer, *key),
            Action::Sync(number) => next.step(explorer, *number, Cause::Sync),
            Action::Campaign(number) => next.campaign(explorer, *number),
            Action::Propose(number) => {
                next.spent.proposals += 1;
                next.step(explorer, *number, Cause::Command(self.spent.proposals));
            }
            Action::Beat(number) => {
                next.spent.beats += 1;
                next.step(explorer, *number, Cause::Beat);
            }
            Action::Resign(number) => {
                next.spent.resignations += 1;
                next.step(explorer, *number, Cause::Resign);
                if next.nodes[*number].state.coordinating().is_some() {
                    return None;
                }
            }
            Action::Change(number) => {
                next.spent.changes += 1;
                next.step(explorer, *number, Cause::Change);
            }
            Action::Crash(number) => {
                next.spent.crashes += 1;
                next.step(explorer, *number, Cause::Crash);
                next.settle(explorer);
            }
            Action::Wipe(number) => {
                next.spent.wipes += 1;
                next.step(explorer, *number, Cause::Wipe);
                next.settle(explorer);
            }
        }
        let most = explorer.bounds().epoch_number;
        let is_inside = |node: &Arc<Node>| node.state.epoch().number <= most;
        (next != *self && next.nodes.iter().all(is_inside)).then_some(next)
    }

    fn deliver(&mut self, explorer: &Explorer, key: u64) {
        let envelope = &self.letters[&key];
        let to = |node: &Arc<Node>| node.state.me().peer == envelope.to.peer;
        if let Some(number) = self.nodes.iter().position(to) {
            self.step(explorer, number, Cause::Letter(key));
        }
    }

    /// A member campaigns: whoever hears it grants the pre-vote.
    fn campaign(&mut self, explorer: &Explorer, number: usize) {
        self.spent.campaigns += 1;
        let syncs_at_once = self.syncs_at_once(explorer.bounds());
        let mut node = Node::clone(&self.nodes[number]);
        if node.state.role() == Role::Coordinator {
            self.silence(&mut node, syncs_at_once);
        }
        node.state.expire();
        let mut turn = node.turn(syncs_at_once);
        for question in turn.sent.clone() {
            for reply in self.nodes.iter().filter_map(|other| grant(other, &question)) {
                if node.state.role() == Role::PreCandidate {
                    turn = node.take(Input::Message(reply), syncs_at_once);
                }
            }
        }
        let step = step_of(node, turn, explorer.bounds());
        self.take(explorer, number, &step);
    }

    /// A coordinator steps down, as it does when it hears no quorum: here, because it is told of an
    /// epoch above its own, but of no higher number.
    fn silence(&self, node: &mut Node, syncs_at_once: bool) {
        let other = self.nodes.iter().find(|other| other.state.me() != node.state.me());
        let mut other = Node::clone(other.expect("there are three"));
        let me = node.state.me();
        other.state.expire();
        let word = other.turn(true).sent.into_iter().find(|word| word.to == me);
        let campaigner = Some(PeerId::from_digest(Digest::from_bytes([0xff; 32])));
        let promised = Epoch { campaigner, ..node.state.epoch() };
        let message = Message::Refuse { promised };
        if let Some(word) = word {
            node.take(Input::Message(Envelope { message, ..word }), syncs_at_once);
        }
    }

    /// Nobody can crash any more: what waits is synced.
    fn settle(&mut self, explorer: &Explorer) {
        if self.syncs_at_once(explorer.bounds()) {
            (0..self.nodes.len()).for_each(|number| self.step(explorer, number, Cause::Settle));
        }
    }

    fn syncs_at_once(&self, bounds: &Bounds) -> bool {
        self.spent.crashes == bounds.crashes && self.spent.wipes == bounds.wipes
    }

    /// One member does something, as it did the last time that it was in this state.
    fn step(&mut self, explorer: &Explorer, number: usize, cause: Cause) {
        let syncs_at_once = self.syncs_at_once(explorer.bounds());
        let node = &self.nodes[number];
        let key = (node.print(), cause, syncs_at_once);
        let step = explorer.memo().recall(key, || {
            let mut node = Node::clone(node);
            let turn = self.act(explorer, &mut node, (cause, syncs_at_once));
            step_of(node, turn, explorer.bounds())
        });
        self.take(explorer, number, &step);
        if let (Cause::Letter(key), true) = (cause, step.did.has_refused) {
            self.note_refusal(explorer, number, key);
        }
    }

    fn act(&self, explorer: &Explorer, node: &mut Node, cause: (Cause, bool)) -> Turn {
        let (cause, syncs_at_once) = cause;
        let bounds = explorer.bounds();
        match cause {
            Cause::Letter(key) => {
                let envelope = Envelope::clone(&self.letters[&key]);
                return node.take(Input::Message(envelope), syncs_at_once);
            }
            Cause::Sync | Cause::Settle => return node.sync(syncs_at_once),
            Cause::Command(number) => {
                node.state.propose(node.now(), &[Bytes::from(vec![number])]).ok();
            }
            Cause::Beat | Cause::Resign => node.state.expire(),
            Cause::Change => {
                let change = Change::SetVoters([member(0), member(1), member(3)].into());
                node.state.reconfigure(node.now(), &change).ok();
            }
            Cause::Crash => *node = node.crashed(bounds),
            Cause::Wipe => *node = node.wiped(&founding(bounds), bounds),
        }
        node.turn(syncs_at_once)
    }

    fn note_refusal(&self, explorer: &Explorer, number: usize, key: u64) {
        let (node, letter) = (&self.nodes[number], &self.letters[&key]);
        if node.is_amnesiac() {
            reach(&explorer.coverage().has_refused_amnesiac);
        } else if letter.message.epoch().is_some_and(|epoch| epoch < node.state.epoch()) {
            reach(&explorer.coverage().has_refused_epoch);
        }
    }

    /// A member took a step: what it says and decides is noted.
    fn take(&mut self, explorer: &Explorer, number: usize, step: &Step) {
        let before = std::mem::replace(&mut self.nodes[number], Arc::clone(&step.node));
        if step.did.has_cut {
            reach(&explorer.coverage().has_cut);
        }
        let was = before.state.coordinating();
        let begun = step.node.state.coordinating().filter(|epoch| was != Some(*epoch));
        if begun.is_some() || step.did.watermark.is_some() || step.did.is_early {
            self.note(&step.node, (number, begun), &step.did);
        }
        for (key, envelope) in &step.sent {
            if !self.letters.contains_key(key) {
                Arc::make_mut(&mut self.letters).insert(*key, Arc::clone(envelope));
                self.letters_print ^= key;
            }
        }
    }

    fn note(&mut self, node: &Node, begun: (usize, Option<Epoch>), did: &Did) {
        let (number, begun) = begun;
        let mut history = History::clone(&self.history);
        if did.is_early {
            history.faults.insert(Fault::SaidTooEarly);
        }
        let run = (number, node.incarnation);
        if begun.is_some_and(|epoch| history.coordinations.insert(epoch, run).is_some()) {
            history.faults.insert(Fault::TwoCoordinations);
        }
        let watermark = did.watermark.unwrap_or_default();
        for index in (1..=watermark.0).map(LogIndex) {
            let Some(entry) = node.state.entry(index) else { continue };
            let known = history.committed.entry(index);
            if known.or_insert((entry.hash(), node.state.epoch())).0 != entry.hash() {
                history.faults.insert(Fault::TwoValues);
            }
        }
        if node.state.coordinating().is_some() && !self.is_at_quorum(node, watermark) {
            history.faults.insert(Fault::CommittedByFew);
        }
        history.print = 0;
        history.print = fingerprint_of(&history);
        self.history = Arc::new(history);
    }

    /// Whether the entry that a coordinator calls committed is on a quorum's disks. A disk that was
    /// lost says nothing any more.
    fn is_at_quorum(&self, coordinator: &Node, index: LogIndex) -> bool {
        let Some(entry) = coordinator.state.entry(index) else { return true };
        self.spent.wipes > 0
            || coordinator.state.configuration().is_quorum(|member| {
                let node = self.nodes.iter().find(|node| node.state.me() == *member);
                node.is_some_and(|node| node.disk.holds(entry.point()))
            })
    }
}

/// A step that can be taken again, with the letters that are carried.
fn step_of(node: Node, turn: Turn, bounds: &Bounds) -> Step {
    let carried = turn.sent.into_iter().filter(|envelope| is_carried(envelope, bounds));
    let sent = carried.map(|envelope| (fingerprint_of(&envelope), Arc::new(envelope))).collect();
    Step { node: Arc::new(node), did: turn.did, sent }
}

/// Three voters, and the learner that is to take the place of the third.
fn founding(bounds: &Bounds) -> Configuration {
    let learners = bounds.has_change.then(|| member(3));
    let voters = (0..3).map(member);
    Configuration::founding(voters, learners).expect("three voters and a learner")
}

/// Every member hears every other once, so that first words change nothing later.
fn introduce(nodes: &mut [Node]) {
    let words: Vec<Envelope> = nodes
        .iter()
        .flat_map(|node| {
            let mut speaker = node.clone();
            speaker.state.expire();
            speaker.turn(true).sent
        })
        .collect();
    for word in words {
        let message = Message::Refuse { promised: Epoch::default() };
        let to = nodes.iter_mut().find(|node| node.state.me() == word.to);
        let envelope = Envelope { message, ..word };
        to.expect("a member").take(Input::Message(envelope), true);
    }
    nodes.iter_mut().for_each(|node| drop(node.turn(true)));
}

/// The answer of a member that would promise, whatever it has promised before.
fn grant(other: &Arc<Node>, question: &Envelope) -> Option<Envelope> {
    if other.state.me() != question.to {
        return None;
    }
    let mut asked = Node::clone(other);
    let sent = asked.take(Input::Message(question.clone()), true).sent;
    sent.into_iter().find_map(|reply| match reply.message {
        Message::PreVoteReply { number, .. } => {
            let promised = Epoch::default();
            let message = Message::PreVoteReply { number, is_granted: true, promised };
            Some(Envelope { message, ..reply })
        }
        _ => None,
    })
}

/// Whether a letter is carried; others get lost. While members change, only the second member hears
/// at once what is committed and is asked for its signature: with the coordinator it is a majority.
fn is_carried(envelope: &Envelope, bounds: &Bounds) -> bool {
    let is_of_second = envelope.to == member(1) || envelope.from == member(1);
    match envelope.message {
        Message::Prepare { .. }
        | Message::Promise { .. }
        | Message::ReplicateWrite(_)
        | Message::ReplicateAck(_) => true,
        Message::ConfirmTransaction { .. } => is_of_second || !bounds.has_change,
        Message::Heartbeat(_) => bounds.beats > 0,
        Message::Refuse { .. } => bounds.has_refusals,
        Message::Attest { .. } | Message::Attested(_) => {
            is_of_second && bounds.has_change && bounds.has_signatures
        }
        _ => false,
    }
}

fn fingerprint_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl World {
    /// What two worlds have in common that are the same.
    fn prints(&self) -> impl Iterator<Item = u64> + '_ {
        let nodes = self.nodes.iter().map(|node| node.print());
        nodes.chain([self.letters_print, self.history.print])
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.prints().for_each(|print| print.hash(state));
        self.spent.hash(state);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.spent == other.spent && self.prints().eq(other.prints())
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, node) in self.nodes.iter().enumerate() {
            let state = &node.state;
            let (role, epoch, last) = (state.role(), state.epoch(), state.last());
            writeln!(
                f,
                "{number}: {role:?} {}/{:?} last={}@{} watermark={} stop={:?}",
                epoch.number,
                epoch.campaigner,
                last.index.0,
                last.epoch.number,
                state.watermark().0,
                state.stop(),
            )?;
        }
        writeln!(f, "letters={} {:?} {:?}", self.letters.len(), self.spent, self.history)
    }
}
