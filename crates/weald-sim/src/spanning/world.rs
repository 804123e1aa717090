//! A state of the exploration: both sides, all letters, the client, and what was spent of the bounds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use weald_cluster::partition::coordination::{
    Config, Message, Output,
    primary::{Begin, Order},
    shares,
};
use weald_collections::{
    RawTree,
    tree::{Expectation, KeyChange, TreeOptions},
};
use weald_core::{
    CollectionName, CollectionPolicy, CreateMode, FeatureLevel, LogIndex, Outcome, PartitionId,
    Payload, PlacementKey, SettingsChange, SettingsEntry, Time, TransactionBody, TransactionId,
    TransactionRequest,
    codec::{self, Kind},
};

use super::{Action, Bounds, side::Side};

/// The two sides: where the money comes from, which decides, and where it goes.
const FROM: usize = 0;
const TO: usize = 1;
const KEY: &[u8] = b"balance";
const BEFORE: [&[u8]; 2] = [b"10", b"0"];
const AFTER: [&[u8]; 2] = [b"7", b"3"];
/// Log time before anything happens.
const BEGIN: Time = Time::from_millis(1_000);
/// Longer than a lock is held and than anybody waits.
const LEAP: Duration = Duration::from_millis(2_500);
/// Steps of time in which everything that is on its way comes to an end, and how many.
const PATIENCE: (Duration, usize) = (Duration::from_millis(500), 24);

/// One state that both partitions, the network between them and the client can be in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    now: Time,
    pub(super) sides: [Side; 2],
    /// By their bytes, so that the order in which they were sent is no difference.
    letters: BTreeMap<Bytes, Posted>,
    spent: Spent,
    /// What the client was told.
    pub(super) told: Vec<Outcome>,
    config: Config,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Letter {
    to: usize,
    message: Message,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Posted {
    letter: Arc<Letter>,
    /// Since it was sent last.
    has_arrived: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Spent {
    asked: u8,
    ends: u8,
    leaps: u8,
    repeats: u8,
    met: bool,
}

fn partition_of(key: PlacementKey) -> PartitionId {
    PartitionId(u32::from(key.as_u64() % 2 == 1))
}

fn side_of(key: PlacementKey) -> usize {
    if partition_of(key) == PartitionId(0) { FROM } else { TO }
}

/// The account of a side: the first name that lies there.
pub(super) fn account(side: usize) -> RawTree {
    let names = (0..64).map(|number| -> CollectionName {
        format!("account-{number}").parse().expect("a valid name")
    });
    let mut here = names.filter(|name| side_of(PlacementKey::of(name)) == side);
    RawTree::new(here.next().expect("one name of two lies on each side"))
}

pub(super) fn id() -> TransactionId {
    TransactionId::new(PlacementKey::of(account(FROM).name()), [7; 16])
}

fn founding(side: usize) -> Vec<Payload> {
    let changes = vec![SettingsChange::Level(FeatureLevel::SPANNING)];
    let settings = SettingsEntry { decided: LogIndex::ZERO, changes };
    let tree = account(side);
    let policy = CollectionPolicy::default();
    let actions = vec![
        tree.create(CreateMode::Create, policy, &TreeOptions::default()),
        tree.put(KEY, BEFORE[side]),
    ];
    let request = TransactionRequest {
        id: TransactionId::new(PlacementKey::of(tree.name()), [1; 16]),
        expiry: BEGIN.after(Duration::from_secs(60)),
        session: None,
        body: TransactionBody { actions, ..TransactionBody::default() },
    };
    vec![Payload::Settings(settings), Payload::Transaction(request)]
}

/// The transfer: each account must be as it was.
fn transfer() -> Begin {
    let change = |side: usize| {
        let expected = Expectation::Value(Bytes::from_static(BEFORE[side]));
        account(side).batch(vec![KeyChange::put(KEY, expected, AFTER[side])])
    };
    let actions = vec![change(FROM), change(TO)];
    let body = TransactionBody { actions, ..TransactionBody::default() };
    let expiry = BEGIN.after(Duration::from_secs(30));
    let shares = shares(&body, partition_of);
    let request = TransactionRequest { id: id(), expiry, session: None, body };
    let digest = request.digest();
    Begin { id: id(), expiry, session: None, digest, shares, order: Order::Together }
}

impl World {
    /// Two accounts, and nothing else yet.
    pub(super) fn founded(bounds: &Bounds) -> Self {
        let config = Config { mutation: bounds.mutation, ..Config::default() };
        let side = |side: usize, number| Side::founded(number, config, BEGIN, founding(side));
        Self {
            now: BEGIN,
            sides: [side(FROM, 0), side(TO, 1)],
            letters: BTreeMap::new(),
            spent: Spent::default(),
            told: Vec::new(),
            config,
        }
    }

    pub(super) fn offer(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        if self.spent.asked < 1 + u8::from(bounds.has_repetition) {
            actions.push(Action::Ask);
        }
        let may_repeat = self.spent.repeats < bounds.repeats;
        let letters = self.letters.values().enumerate();
        let arriving = letters.filter(|(_, posted)| may_repeat || !posted.has_arrived);
        actions.extend(arriving.map(|(number, _)| Action::Deliver(number)));
        if self.spent.leaps < bounds.leaps {
            actions.push(Action::Leap);
        }
        for (at, side) in self.sides.iter().enumerate() {
            if !side.log.is_empty() {
                actions.push(Action::Commit(at));
            }
            if self.spent.ends < bounds.ends {
                actions.extend((0..=side.log.len()).map(|kept| Action::End(at, kept)));
            }
            if side.coordinator.poll_timeout().is_some_and(|due| due <= self.now) {
                actions.push(Action::Tick(at));
            }
            if bounds.has_reader && !self.spent.met && side.waits(&id()) {
                actions.push(Action::Meet(at));
            }
        }
    }

    /// What comes of it; `None` where it changes nothing.
    pub(super) fn after(&self, action: &Action) -> Option<Self> {
        let mut next = self.clone();
        next.take(action);
        (next != *self).then_some(next)
    }

    fn take(&mut self, action: &Action) {
        let now = self.now;
        match *action {
            Action::Ask => {
                self.spent.asked += 1;
                self.sides[FROM].coordinator.begin(now, transfer());
                self.pump(FROM);
            }
            Action::Deliver(number) => {
                let posted = self.letters.values_mut().nth(number);
                let posted = posted.expect("a letter that was offered");
                self.spent.repeats += u8::from(posted.has_arrived);
                posted.has_arrived = true;
                let letter = Arc::clone(&posted.letter);
                self.deliver(&letter);
            }
            Action::Commit(at) => {
                let payload = self.sides[at].log.remove(0);
                self.sides[at].commit(now, payload);
                self.pump(at);
            }
            Action::End(at, kept) => {
                self.spent.ends += 1;
                let config = self.config;
                self.sides[at].end(now, kept, config);
                self.pump(at);
            }
            Action::Leap => {
                self.spent.leaps += 1;
                self.now = now.after(LEAP);
            }
            Action::Tick(at) => {
                self.sides[at].coordinator.tick(now);
                self.pump(at);
            }
            Action::Meet(at) => {
                self.spent.met = true;
                let waiting = self.sides[at].partition.waiting(&id());
                let lock = waiting.expect("a lock that was offered").lock;
                self.sides[at].coordinator.met(now, lock);
                self.pump(at);
            }
        }
    }

    fn deliver(&mut self, letter: &Letter) {
        let Side { coordinator, partition, .. } = &mut self.sides[letter.to];
        coordinator.receive(self.now, letter.message.clone(), partition);
        self.pump(letter.to);
    }

    fn pump(&mut self, at: usize) {
        while let Some(output) = self.sides[at].coordinator.poll_output() {
            match output {
                Output::Send(key, message) => {
                    let letter = Letter { to: side_of(key), message };
                    let bytes = codec::encode(Kind::FOREIGN_FIRST, &(letter.to, &letter.message));
                    let posted = Posted { letter: Arc::new(letter), has_arrived: false };
                    self.letters.insert(bytes, posted);
                }
                Output::Propose(payload) => self.sides[at].log.push(payload),
                Output::Answer(_, outcome) if self.told.contains(&outcome) => {}
                Output::Answer(_, outcome) => self.told.push(outcome),
                Output::Pass(..) | Output::Refuse(..) | Output::Return(..) => {
                    unreachable!("nobody asks for anything but the transfer")
                }
            }
        }
    }

    /// Whether the transfer has changed a side's account.
    pub(super) fn has_moved(&self, at: usize) -> bool {
        let value = self.sides[at].value(&account(at), KEY).expect("the account was made");
        assert!(value == BEFORE[at] || value == AFTER[at], "an account holds another sum");
        value == AFTER[at]
    }

    /// The outcome that the deciding partition keeps.
    pub(super) fn decided(&self) -> Option<&Outcome> {
        self.sides[FROM].outcome(&id())
    }

    /// Whether the client has asked more than once.
    pub(super) fn has_asked_again(&self) -> bool {
        self.spent.asked > 1
    }

    /// Whether a coordination has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.spent.ends > 0
    }

    /// What comes of this state when nothing is lost any more and time passes.
    pub(super) fn completed(&self) -> Self {
        let mut world = self.clone();
        for posted in self.letters.values() {
            world.deliver(&posted.letter);
        }
        for _ in 0..PATIENCE.1 {
            world.settle();
            world.now = world.now.after(PATIENCE.0);
            for at in [FROM, TO] {
                world.sides[at].coordinator.tick(world.now);
                world.pump(at);
            }
        }
        world
    }

    /// Commits what is proposed and delivers what is sent, until nothing is on its way.
    fn settle(&mut self) {
        loop {
            let letters = std::mem::take(&mut self.letters);
            let is_quiet = letters.is_empty() && self.sides.iter().all(|side| side.log.is_empty());
            if is_quiet {
                return;
            }
            for posted in letters.values() {
                self.deliver(&posted.letter);
            }
            for at in [FROM, TO] {
                for payload in std::mem::take(&mut self.sides[at].log) {
                    self.sides[at].commit(self.now, payload);
                }
                self.pump(at);
            }
        }
    }
}
