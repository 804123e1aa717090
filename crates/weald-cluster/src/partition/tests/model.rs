//! Partitions with their coordinators over a network that loses, repeats and reorders, under
//! coordinators that end at any moment: no transaction is half applied, money is neither made nor
//! lost, and no lock outlives its deadline once it can be resolved.

use std::collections::{BTreeMap, BTreeSet};

use weald_core::{
    BlockId, Commit, Entropy, Outcome, PartitionId, Payload, PlacementKey, Rejection,
    SeededEntropy, Time, TransactionId, TransactionRequest,
};

use super::{
    super::coordination::{
        Config, Coordinator, Message, Output, Reading, Request, gate::Policy, primary::Begin,
        primary::Order, reading, reading::Shown, shares,
    },
    bank::{Site, account, body, id},
};

const PARTITIONS: u64 = 3;
const ACCOUNTS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
const DEPOSIT: i64 = 100;

fn partition_of(key: PlacementKey) -> PartitionId {
    PartitionId(u32::try_from(key.as_u64() % PARTITIONS).unwrap())
}

fn home_of(name: &str) -> PartitionId {
    partition_of(PlacementKey::of(&account(name)))
}

struct Node {
    site: Site,
    coordinator: Coordinator,
    /// Proposed and not yet committed.
    log: Vec<Payload>,
    /// Requests at the gate, by ticket.
    gated: BTreeMap<u64, TransactionRequest>,
}

#[derive(Clone, Copy, Debug)]
struct Faults {
    /// Of 100 messages.
    lost: u64,
    repeated: u64,
    /// Of 1000 steps.
    deposed: u64,
}

struct World {
    entropy: SeededEntropy,
    now: u64,
    nodes: Vec<Node>,
    network: Vec<(PartitionId, Message)>,
    faults: Faults,
    next_number: u64,
    /// What was asked, by transaction: the accounts that it changes.
    asked: BTreeMap<TransactionId, BTreeSet<&'static str>>,
    told: BTreeMap<TransactionId, Outcome>,
    readings: Vec<(Reading, BTreeMap<PartitionId, i64>)>,
    read_count: usize,
    seen: BTreeSet<&'static str>,
    /// Breaks the rule that a participant does what was decided.
    is_broken: bool,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let nodes = (0..u32::try_from(PARTITIONS).unwrap()).map(|partition| {
            let mut site = Site::new(partition);
            for (number, name) in (0..).zip(ACCOUNTS) {
                if home_of(name) == PartitionId(partition) {
                    site.apply(1, deposit(name, number));
                }
            }
            let now = Time::from_millis(1);
            let coordinator = Coordinator::new(now, &site.partition, Config::default());
            Node { site, coordinator, log: Vec::new(), gated: BTreeMap::new() }
        });
        Self {
            entropy: SeededEntropy::new(seed),
            now: 1_000,
            nodes: nodes.collect(),
            network: Vec::new(),
            faults,
            next_number: 100,
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            readings: Vec::new(),
            read_count: 0,
            seen: BTreeSet::new(),
            is_broken: false,
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        u64::from_le_bytes(self.entropy.draw()) % below
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.draw(u64::try_from(from.len()).unwrap());
        from[usize::try_from(at).unwrap()]
    }

    fn at(&self, partition: PartitionId) -> usize {
        usize::try_from(partition.0).unwrap()
    }

    fn now(&self) -> Time {
        Time::from_millis(self.now)
    }

    fn step(&mut self, may_begin: bool) {
        self.now += self.draw(8);
        match self.draw(100) {
            0..2 if may_begin => self.begin(),
            2..4 if may_begin => self.readings.push((reading(), BTreeMap::new())),
            4..45 => self.deliver(),
            45..80 => self.commit_one(),
            80..90 => self.read(),
            _ => self.tick(),
        }
        if self.draw(1000) < self.faults.deposed {
            let at = self.pick(&[0, 1, 2]);
            self.depose(at);
        }
    }

    /// A transfer between two or three accounts.
    fn begin(&mut self) {
        self.next_number += 1;
        let (from, to, third) = (self.pick(&ACCOUNTS), self.pick(&ACCOUNTS), self.pick(&ACCOUNTS));
        if from == to || third == from || third == to {
            return;
        }
        let amount = i64::try_from(self.draw(40)).unwrap() + 2;
        let (give, half) = (format!("-{amount}"), format!("+{}", amount / 2));
        let rest = format!("+{}", amount - amount / 2);
        let body = body(&[(from, &give), (to, &half), (third, &rest)]);
        let id = id(from, self.next_number);
        self.asked.insert(id, [from, to, third].into());
        let expiry = self.now().after(std::time::Duration::from_secs(20));
        let shares = shares(&body, partition_of);
        let home = home_of(from);
        let at = self.at(home);
        let request = TransactionRequest { id, expiry, session: None, body };
        if shares.len() == 1 {
            let named = request.body.actions.iter().map(|a| BlockId::header(&a.collection));
            let (ticket, collections) = (self.next_number, named.collect());
            let policy = self.pick(&[Policy::Wait, Policy::Fail, Policy::Return]);
            self.nodes[at].gated.insert(ticket, request);
            let arrival = Request { ticket, id, collections, policy };
            let now = self.now();
            self.nodes[at].coordinator.arrive(now, arrival);
        } else {
            let order = self.pick(&[Order::Together, Order::ByKey]);
            let digest = request.digest();
            let begin = Begin { id, expiry, session: None, digest, shares, order };
            let now = self.now();
            self.nodes[at].coordinator.begin(now, begin.clone());
            // A client that sends its transaction twice.
            if self.draw(10) == 0 {
                self.nodes[at].coordinator.begin(now, begin);
            }
        }
        self.pump(at);
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let any = self.draw(u64::try_from(self.network.len()).unwrap());
        let any = usize::try_from(any).unwrap();
        let (to, message) = self.network.swap_remove(any);
        let fate = self.draw(100);
        if fate < self.faults.lost {
            return;
        }
        if fate < self.faults.lost + self.faults.repeated {
            self.network.push((to, message.clone()));
        }
        let (at, now) = (self.at(to), self.now());
        let Node { coordinator, site, .. } = &mut self.nodes[at];
        coordinator.receive(now, message, &site.partition);
        self.pump(at);
    }

    fn commit_one(&mut self) {
        let at = self.pick(&[0, 1, 2]);
        if !self.nodes[at].log.is_empty() {
            let payload = self.nodes[at].log.remove(0);
            self.apply(at, payload);
            self.pump(at);
        }
    }

    fn apply(&mut self, at: usize, payload: Payload) {
        let (now, millis) = (self.now(), self.now);
        let is_single = matches!(payload, Payload::Transaction(_));
        let payload = match payload {
            Payload::ResolvePart { part, .. } if self.is_broken => {
                Payload::ResolvePart { part, is_committed: false }
            }
            payload => payload,
        };
        let Node { coordinator, site, .. } = &mut self.nodes[at];
        let applied = site.apply(millis, payload);
        coordinator.applied(now, &applied, &site.partition);
        if let (true, Some((id, outcome))) = (is_single, applied.settled) {
            self.told.insert(id, outcome);
        }
    }

    fn tick(&mut self) {
        let (at, now) = (self.pick(&[0, 1, 2]), self.now());
        if self.nodes[at].coordinator.poll_timeout().is_some_and(|due| due <= now) {
            self.nodes[at].coordinator.tick(now);
            self.pump(at);
        }
    }

    /// The coordination ends: of what was proposed, the successor commits a part.
    fn depose(&mut self, at: usize) {
        self.seen.insert("deposed");
        let now = self.now();
        self.nodes[at].coordinator.become_deposed(now);
        self.pump(at);
        let log = std::mem::take(&mut self.nodes[at].log);
        let kept = self.draw(u64::try_from(log.len() + 1).unwrap());
        self.nodes[at].gated.clear();
        for payload in log.into_iter().take(usize::try_from(kept).unwrap()) {
            let millis = self.now;
            self.nodes[at].site.apply(millis, payload);
        }
        let node = &mut self.nodes[at];
        // A new coordinator knows what the rows say and nothing else.
        node.site.partition = node.site.restored();
        node.coordinator = Coordinator::new(now, &node.site.partition, Config::default());
        self.pump(at);
    }

    fn pump(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].coordinator.poll_output() {
            match output {
                Output::Send(key, message) => self.network.push((partition_of(key), message)),
                Output::Propose(payload) => self.nodes[at].log.push(payload),
                Output::Answer(id, outcome) => {
                    let before = self.told.insert(id, outcome.clone());
                    let is_same = before.is_none_or(|before| before == outcome);
                    assert!(is_same || self.faults.deposed > 0, "one answer for {id}");
                }
                Output::Pass(ticket) => {
                    let request = self.nodes[at].gated.remove(&ticket).unwrap();
                    self.nodes[at].log.push(Payload::Transaction(request));
                }
                Output::Refuse(ticket, rejection) => {
                    self.seen.insert("refused at the gate");
                    let request = self.nodes[at].gated.remove(&ticket).unwrap();
                    self.told.insert(request.id, Outcome::Rejected(rejection));
                }
                Output::Return(ticket, lock) => {
                    let request = self.nodes[at].gated.remove(&ticket).unwrap();
                    let (collection, holder) = (String::new(), lock.holder.id);
                    let met = Rejection::Locked { collection, holder };
                    self.told.insert(request.id, Outcome::Rejected(met));
                }
            }
        }
    }

    /// Lets one of the readings go on by one output.
    fn read(&mut self) {
        let Some((mut reading, mut balances)) = self.readings.pop() else { return };
        let now = self.now();
        match reading.poll_output() {
            Some(reading::Output::Read(partition, round)) => {
                let (shown, sum) = self.shown(partition);
                balances.insert(partition, sum);
                reading.handle(reading::Input::Shown(partition, round, shown));
            }
            Some(reading::Output::Resolve(partition, lock)) => {
                let at = self.at(partition);
                self.nodes[at].coordinator.met(now, lock);
                self.pump(at);
            }
            Some(reading::Output::Done(_)) => {
                let sum: i64 = balances.values().sum();
                assert_eq!(sum, total(), "a reading shows one state");
                self.read_count += 1;
                return;
            }
            // Marks are a transaction like others; here the reader leaves it at that.
            Some(reading::Output::Mark) => reading.handle(reading::Input::Marked(false)),
            Some(reading::Output::Confirm | reading::Output::GaveUp) | None => return,
        }
        self.readings.insert(0, (reading, balances));
    }

    fn shown(&self, partition: PartitionId) -> (Shown, i64) {
        let site = &self.nodes[self.at(partition)].site;
        let mut shown = Shown::default();
        let mut sum = 0;
        for name in ACCOUNTS.into_iter().filter(|name| home_of(name) == partition) {
            let collection = BlockId::header(&account(name));
            shown.revisions.insert(collection, site.account(name).revision);
            shown.locks.extend(site.partition.lock(&collection));
            sum += site.balance(name);
        }
        (shown, sum)
    }

    /// Nothing is lost any more, and no coordination ends; until nothing is under way.
    fn heal(&mut self) {
        self.faults = Faults { lost: 0, repeated: 0, deposed: 0 };
        let until = self.now + 15_000;
        while self.now < until {
            self.step(false);
        }
    }

    /// What is wrong with the state that everything has come to; nothing, if all is well.
    fn faults_found(&self) -> Vec<String> {
        let mut found = Vec::new();
        let sum: i64 = ACCOUNTS.iter().map(|name| self.site_of(name).balance(name)).sum();
        if sum != total() {
            found.push(format!("money: {sum}"));
        }
        for node in &self.nodes {
            let (partition, coordinator) = (&node.site.partition, &node.coordinator);
            let left = [
                partition.waiting_count(),
                partition.decision_count(),
                coordinator.primary().driven_count(),
                coordinator.primary().decided_count(),
                coordinator.participant().waiting_count(),
                coordinator.gate().waiting_count(),
            ];
            if left != [0; 6] {
                found.push(format!("left over: {left:?}"));
            }
        }
        for (id, accounts) in &self.asked {
            found.extend(self.fault_of(id, accounts));
        }
        found
    }

    fn fault_of(&self, id: &TransactionId, accounts: &BTreeSet<&'static str>) -> Option<String> {
        let counts: Vec<usize> = ACCOUNTS.iter().map(|name| self.changes(name, id)).collect();
        let wanted = |is_whole: bool| -> Vec<usize> {
            ACCOUNTS.iter().map(|name| usize::from(is_whole && accounts.contains(name))).collect()
        };
        let is_right = match self.told.get(id) {
            Some(Outcome::Committed(Commit { answers, .. })) => {
                counts == wanted(true) && answers.len() == 3
            }
            Some(Outcome::Rejected(_)) => counts == wanted(false),
            Some(Outcome::Unknown(_)) | None => counts == wanted(true) || counts == wanted(false),
        };
        (!is_right).then(|| format!("{id} told={:?} applied={counts:?}", self.told.get(id)))
    }

    fn site_of(&self, name: &str) -> &Site {
        &self.nodes[self.at(home_of(name))].site
    }

    fn changes(&self, name: &str, id: &TransactionId) -> usize {
        let account = self.site_of(name).account(name);
        account.changed_by.iter().filter(|by| *by == id).count()
    }
}

fn reading() -> Reading {
    Reading::new((0..u32::try_from(PARTITIONS).unwrap()).map(PartitionId))
}

fn deposit(name: &str, number: u64) -> Payload {
    let body = body(&[(name, &format!("+{DEPOSIT}"))]);
    let expiry = Time::from_millis(30_000);
    Payload::Transaction(TransactionRequest { id: id(name, number), expiry, session: None, body })
}

fn total() -> i64 {
    DEPOSIT * i64::try_from(ACCOUNTS.len()).unwrap()
}

fn run(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    for _ in 0..3_000 {
        world.step(true);
    }
    world.heal();
    assert_eq!(world.faults_found(), Vec::<String>::new(), "seed={seed}");
    // The same log on another store gives the same state.
    for node in &world.nodes {
        let mut again = Site::empty(node.site.partition.id().0).forgetful();
        node.site.entries.iter().for_each(|entry| drop(again.apply_entry(entry.clone())));
        assert_eq!(again.partition.effect_hash(), node.site.partition.effect_hash());
    }
    world
}

fn committed_count(world: &World) -> usize {
    world.told.values().filter(|outcome| matches!(outcome, Outcome::Committed(_))).count()
}

#[test]
fn accounts_lie_on_every_partition() {
    let homes: BTreeSet<PartitionId> = ACCOUNTS.iter().map(|name| home_of(name)).collect();
    assert_eq!(homes.len(), 3);
}

#[test]
fn w218_w219_transfers_on_a_quiet_network_all_come_to_an_end_and_most_commit() {
    for seed in 0..5 {
        let world = run(seed, Faults { lost: 0, repeated: 0, deposed: 0 });
        let committed = committed_count(&world);
        assert!(world.asked.keys().all(|id| world.told.contains_key(id)), "seed={seed}");
        assert!(committed * 2 > world.asked.len(), "committed={committed} seed={seed}");
        assert!(world.read_count > 0, "seed={seed}");
    }
}

#[test]
fn w220_w221_r26_no_loss_and_no_lost_coordinator_leaves_half_a_transaction_or_a_lock() {
    let mut committed = 0;
    let mut seen = BTreeSet::new();
    for seed in 100..160 {
        let world = run(seed, Faults { lost: 20, repeated: 20, deposed: 8 });
        committed += committed_count(&world);
        seen.extend(world.seen.iter().copied());
    }
    assert!(committed > 100, "committed={committed}");
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["deposed", "refused at the gate"]);
}

#[test]
fn the_checks_find_a_participant_that_drops_what_was_committed() {
    let mut world = World::new(1, Faults { lost: 0, repeated: 0, deposed: 0 });
    world.is_broken = true;
    for _ in 0..3_000 {
        if world.draw(50) == 0 {
            world.begin();
        }
        // No readings: they would find it first.
        world.deliver();
        world.commit_one();
        world.now += 4;
    }
    world.heal();
    let found = world.faults_found();
    assert!(found.iter().any(|fault| fault.starts_with("money")), "{found:?}");
    assert!(found.iter().any(|fault| fault.contains("Committed")), "{found:?}");
}

#[test]
fn equal_seeds_give_equal_runs() {
    let hashes = || {
        let world = run(7, Faults { lost: 10, repeated: 10, deposed: 5 });
        world.nodes.iter().map(|node| node.site.partition.effect_hash()).collect::<Vec<_>>()
    };
    assert_eq!(hashes(), hashes());
}
