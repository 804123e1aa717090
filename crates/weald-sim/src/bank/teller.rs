//! A teller does one thing after the other: looks at accounts and moves money between them if they
//! are still as it saw them, or counts all of it. It asks again elsewhere when no answer comes,
//! always with the same id, and settles the id in the end.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use weald_cluster::partition::coordination::{
    Reading,
    primary::{Begin, Order},
    reading, shares,
};
use weald_collections::{
    RawTree,
    tree::{Expectation, KeyChange, TreeOptions},
};
use weald_core::{
    BlockId, CollectionName, CollectionPolicy, Commit, CreateMode, Outcome, PartitionId,
    PlacementKey, Rejection, Revision, TransactionBody, TransactionId, TransactionRequest,
};

use super::{Bank, Event, TOTAL, partition_of, place};
use crate::{
    history::{Invocation, ProcessId, Step},
    name::Name,
    world::{Account, Ask, BALANCE, Ticket, Told},
};

/// What a teller waits for an answer, us.
const PATIENCE: (u64, u64) = (300_000, 900_000);
/// What it waits between two jobs, at most, us.
const THINK: u64 = 40_000;
/// Attempts after which an id is settled.
const ATTEMPTS_MAX: u32 = 5;
/// Attempts after which a look or a count is given up.
const LOOKS_MAX: u32 = 12;
/// Parts of a ticket that name partitions.
const PARTS: u8 = 4;
/// How far the expiry of a transfer is ahead.
const EXPIRY: Duration = Duration::from_secs(20);

/// What was found at the places of accounts: a balance, and the revision that wrote it.
type Seen = BTreeMap<usize, Option<(i64, Revision)>>;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Teller {
    id: u8,
    serial: u32,
    attempts: u32,
    number: u64,
    pub(super) job: Job,
}

/// What a teller does.
#[derive(Debug)]
pub(super) enum Job {
    Nothing,
    Look { wanted: Vec<usize>, seen: Seen },
    Move(Box<Move>),
    Count { begun: Invocation, reading: Reading, round: u32, seen: Seen },
}

/// A transaction on its way.
#[derive(Debug)]
pub(super) struct Move {
    begun: Invocation,
    steps: Vec<Step>,
    request: TransactionRequest,
    is_founding: bool,
    order: Order,
}

impl Teller {
    pub(super) fn new(id: u8) -> Self {
        Self { id, serial: 0, attempts: 0, number: 0, job: Job::Nothing }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.job, Job::Nothing)
    }

    fn process(&self) -> ProcessId {
        ProcessId(self.id.into())
    }
}

impl Bank {
    /// The first teller opens all accounts.
    pub(super) fn begin_founding(&mut self) {
        let names = self.accounts.clone();
        let mut body = TransactionBody::default();
        for (place, name) in names.iter().enumerate() {
            let (mode, policy) = (CreateMode::OpenOrCreate, CollectionPolicy::default());
            let tree = RawTree::new(name.clone());
            let balance = if place == 0 { TOTAL } else { 0 };
            body.actions.push(tree.create(mode, policy, &TreeOptions::default()));
            body.actions.push(tree.batch(vec![put(Expectation::Absent, balance)]));
        }
        let steps = self.bank().founding();
        self.begin_move(0, (steps, body), true);
    }

    /// A teller has waited long enough, between two jobs or for an answer.
    pub(super) fn due(&mut self, id: u8, serial: u32) {
        let Some(teller) = self.tellers.get_mut(&id).filter(|teller| teller.serial == serial)
        else {
            return;
        };
        teller.attempts += 1;
        let is_over = teller.attempts > LOOKS_MAX;
        match &teller.job {
            Job::Nothing if self.is_open => self.choose(id),
            Job::Nothing => {}
            Job::Look { .. } | Job::Count { .. } if is_over => self.finish(id),
            _ => self.attempt(id, None),
        }
    }

    fn choose(&mut self, id: u8) {
        if self.random.one_in(4) {
            return self.begin_count(id);
        }
        let count = if self.random.one_in(3) { 3 } else { 2 };
        let mut wanted: Vec<usize> = (0..self.accounts.len()).collect();
        while wanted.len() > count {
            wanted.remove(self.random.index(wanted.len()));
        }
        let turn = self.random.index(count);
        wanted.rotate_left(turn);
        self.begin(id, Job::Look { wanted, seen: BTreeMap::new() });
    }

    /// Counts the money of all accounts.
    pub(super) fn begin_count(&mut self, id: u8) {
        let steps = self.bank().snapshot();
        let process = self.tellers[&id].process();
        let begun = self.recorder.invoke(process, self.now.0, steps).expect("a run is short");
        let mutation = self.worlds[0].settings.config.mutation;
        let reading = Reading::new((0..super::PARTITIONS).map(PartitionId)).without(mutation);
        self.begin(id, Job::Count { begun, reading, round: 0, seen: BTreeMap::new() });
    }

    fn begin_move(
        &mut self,
        id: u8,
        (steps, body): (Vec<Step>, TransactionBody),
        is_founding: bool,
    ) {
        let home = PlacementKey::of(&body.actions[0].collection);
        let expiry = self.time().after(EXPIRY);
        let order = if self.random.one_in(3) { Order::ByKey } else { Order::Together };
        let teller = self.tellers.get_mut(&id).expect("it was looked at");
        teller.number += 1;
        let mut unique = [id; 16];
        unique[..8].copy_from_slice(&teller.number.to_le_bytes());
        let request = TransactionRequest {
            id: TransactionId::new(home, unique),
            expiry,
            session: None,
            body,
        };
        let begun = self.recorder.invoke(teller.process(), self.now.0, steps.clone());
        let begun = begun.expect("a run is short");
        let job = Job::Move(Box::new(Move { begun, steps, request, is_founding, order }));
        self.begin(id, job);
    }

    fn begin(&mut self, id: u8, job: Job) {
        let teller = self.tellers.get_mut(&id).expect("it was looked at");
        (teller.job, teller.attempts) = (job, 0);
        self.attempt(id, None);
    }

    /// Asks (again) for whatever is missing.
    fn attempt(&mut self, id: u8, node: Option<Name>) {
        let teller = self.tellers.get_mut(&id).expect("it was looked at");
        teller.serial += 1;
        let (serial, attempts) = (teller.serial, teller.attempts);
        let ticket = Ticket { client: id, serial, part: 0 };
        let questions = match &mut teller.job {
            Job::Nothing => Vec::new(),
            Job::Look { wanted, seen } => looks(ticket, (wanted, seen), &self.accounts),
            Job::Move(moving) => vec![moving.question(ticket, attempts)],
            Job::Count { .. } => {
                let mut questions = self.reads(id, ticket);
                if questions.is_empty() {
                    // No answer came: this round again.
                    let all =
                        (0..self.worlds.len()).map(|partition| self.read(id, ticket, partition));
                    questions = all.collect();
                }
                questions
            }
        };
        for (partition, question) in questions {
            self.ask(partition, node, question);
        }
        let patience = self.random.between(PATIENCE.0, PATIENCE.1);
        self.schedule.add(self.now.after(patience), Event::Due(id, serial));
    }

    /// What the reading of a count wants.
    fn reads(&mut self, id: u8, ticket: Ticket) -> Vec<(usize, (Ticket, Ask))> {
        let Some(Job::Count { reading, round, .. }) = self.tellers.get_mut(&id).map(|t| &mut t.job)
        else {
            return Vec::new();
        };
        let mut questions = Vec::new();
        let mut wanted = Vec::new();
        while let Some(output) = reading.poll_output() {
            match output {
                reading::Output::Read(partition, wanted_round) => {
                    *round = wanted_round;
                    wanted.push(place(partition));
                }
                reading::Output::Resolve(partition, lock) => {
                    questions.push((place(partition), (Ticket::default(), Ask::Met(lock))));
                }
                _ => {}
            }
        }
        questions.extend(wanted.into_iter().map(|partition| self.read(id, ticket, partition)));
        questions
    }

    /// The question of this round to a partition. The ticket names the round: an answer to an earlier
    /// one does not count in a later.
    fn read(&self, id: u8, ticket: Ticket, partition: usize) -> (usize, (Ticket, Ask)) {
        let of = |name: &&CollectionName| place(partition_of(PlacementKey::of(name))) == partition;
        let names = self.accounts.iter().filter(of).map(ToString::to_string).collect();
        let round = match &self.tellers[&id].job {
            Job::Count { round, .. } => *round,
            _ => 0,
        };
        let part = u8::try_from(partition).unwrap_or(0) + PARTS * u8::try_from(round).unwrap_or(0);
        (partition, (Ticket { part, ..ticket }, Ask::Show(names)))
    }

    /// A teller is told something.
    pub(super) fn told(&mut self, ticket: Ticket, told: Told) {
        let Ticket { client, serial, part } = ticket;
        let Some(teller) = self.tellers.get_mut(&client).filter(|t| t.serial == serial) else {
            return;
        };
        match (told, &mut teller.job) {
            (Told::Elsewhere(node), Job::Move(_)) => self.attempt(client, Some(node)),
            (Told::Outcome(outcome), Job::Move(_)) => self.moved(client, outcome),
            (Told::Shown(shown), Job::Look { wanted, seen }) => {
                let place = usize::from(part);
                seen.insert(place, shown.first().and_then(|account| account.found));
                if wanted.iter().all(|wanted| seen.contains_key(wanted)) {
                    self.looked(client);
                }
            }
            (Told::Shown(shown), Job::Count { .. }) => self.counted(client, part, &shown),
            _ => {}
        }
    }

    /// All accounts were looked at: money is moved from the first to the others.
    fn looked(&mut self, id: u8) {
        let Job::Look { wanted, seen } = std::mem::replace(
            &mut self.tellers.get_mut(&id).expect("it was looked at").job,
            Job::Nothing,
        ) else {
            return;
        };
        let found: Option<Vec<_>> =
            wanted.iter().map(|place| Some((*place, seen.get(place).copied()??))).collect();
        let Some(found) = found.filter(|found| found[0].1.0 >= 2) else { return self.finish(id) };
        let amount = i64::try_from(self.random.between(1, 10)).unwrap_or(1);
        let others = i64::try_from(found.len() - 1).unwrap_or(1);
        let amount = amount.min(found[0].1.0 / others);
        let mut body = TransactionBody::default();
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (number, (place, (balance, revision))) in found.iter().enumerate() {
            let change = if number == 0 { -amount * others } else { amount };
            let name = &self.accounts[*place];
            let tree = RawTree::new(name.clone());
            let expected = Expectation::Revision(*revision);
            body.actions.push(tree.batch(vec![put(expected, balance + change)]));
            let read = Step::seen(name.to_string(), Some(*balance));
            reads.push(read.at_revision(revision.0));
            writes.push(Step::write(name.to_string(), balance + change));
        }
        reads.append(&mut writes);
        self.begin_move(id, (reads, body), false);
    }

    fn moved(&mut self, id: u8, outcome: Outcome) {
        let teller = self.tellers.get_mut(&id).expect("it was looked at");
        let Job::Move(moving) = &mut teller.job else { return };
        let (begun, is_founding, at) = (moving.begun, moving.is_founding, self.now.0);
        let noted = match outcome {
            Outcome::Committed(commit) => {
                self.answered.0 += 1;
                self.judge.is_open |= is_founding;
                self.recorder.commit(begun, at, revised(&moving.steps, &commit))
            }
            // Nothing was logged, or nothing is kept: a copy may be on its way.
            Outcome::Unknown(_)
            | Outcome::Rejected(Rejection::Busy { .. } | Rejection::Expired { .. }) => {
                return;
            }
            Outcome::Rejected(Rejection::Forgotten) => Ok(()),
            Outcome::Rejected(Rejection::Locked { .. }) if teller.attempts <= ATTEMPTS_MAX => {
                // A copy may be on its way, so the id is settled before another is used.
                teller.attempts = ATTEMPTS_MAX + 1;
                return self.attempt(id, None);
            }
            Outcome::Rejected(_) => self.recorder.reject(begun, at),
        };
        noted.expect("an operation that was begun is told once");
        if is_founding && !self.judge.is_open {
            return self.begin_founding();
        }
        let others: Vec<u8> = self.tellers.keys().copied().filter(|_| is_founding).collect();
        self.finish(id);
        others.into_iter().filter(|other| *other != id).for_each(|other| self.finish(other));
    }

    fn counted(&mut self, id: u8, part: u8, shown: &[Account]) {
        let accounts = &self.accounts;
        let teller = self.tellers.get_mut(&id).expect("it was looked at");
        let serial = teller.serial;
        let Job::Count { begun, reading, round, seen } = &mut teller.job else { return };
        let mut answer = reading::Shown::default();
        for account in shown {
            let Some(place) = accounts.iter().position(|name| name.as_str() == account.name) else {
                continue;
            };
            if u32::from(part / PARTS) == *round {
                seen.insert(place, account.found);
            }
            let id = BlockId::header(&accounts[place]);
            answer.revisions.extend(account.found.map(|(_, revision)| (id, revision)));
            answer.locks.extend(account.lock);
        }
        let before = *round;
        let (partition, asked) = (PartitionId((part % PARTS).into()), (part / PARTS).into());
        reading.handle(reading::Input::Shown(partition, asked, answer));
        let mut ahead = reading.clone();
        let outputs: Vec<_> = std::iter::from_fn(|| ahead.poll_output()).collect();
        if outputs.contains(&reading::Output::Done(before)) {
            let found = accounts.iter().zip(0..).map(|(name, place)| {
                let found = seen.get(&place).copied().flatten();
                let step = Step::seen(name.to_string(), found.map(|(balance, _)| balance));
                found.map_or(step.clone(), |(_, revision)| step.at_revision(revision.0))
            });
            let noted = self.recorder.commit(*begun, self.now.0, found.collect());
            noted.expect("an operation that was begun is told once");
            self.answered.1 += 1;
            self.finish(id);
        } else if outputs.iter().any(|output| matches!(output, reading::Output::Mark)) {
            self.finish(id);
        } else if !outputs.is_empty() {
            let ticket = Ticket { client: id, serial, part: 0 };
            let questions = self.reads(id, ticket);
            for (partition, question) in questions {
                self.ask(partition, None, question);
            }
        }
    }

    /// The job is over; the next begins soon.
    fn finish(&mut self, id: u8) {
        let teller = self.tellers.get_mut(&id).expect("it was looked at");
        teller.serial += 1;
        teller.job = Job::Nothing;
        let serial = teller.serial;
        let pause = self.random.below(THINK);
        self.schedule.add(self.now.after(pause), Event::Due(id, serial));
    }
}

impl Move {
    /// The transaction, or, when that was tried often enough, its settling.
    fn question(&self, ticket: Ticket, attempts: u32) -> (usize, (Ticket, Ask)) {
        let TransactionRequest { id, expiry, session, body } = &self.request;
        let primary = place(partition_of(id.home()));
        if attempts > ATTEMPTS_MAX {
            return (primary, (ticket, Ask::Resolve(*id, *expiry)));
        }
        let shares = shares(body, partition_of);
        if shares.len() == 1 {
            return (primary, (ticket, Ask::Single(self.request.clone())));
        }
        let (digest, order) = (self.request.digest(), self.order);
        let begin = Begin { id: *id, expiry: *expiry, session: *session, digest, shares, order };
        (primary, (ticket, Ask::Begin(begin)))
    }
}

fn looks(
    ticket: Ticket,
    (wanted, seen): (&[usize], &Seen),
    accounts: &[CollectionName],
) -> Vec<(usize, (Ticket, Ask))> {
    let missing = wanted.iter().filter(|place| !seen.contains_key(place));
    let question = |at: &usize| {
        let name = &accounts[*at];
        let part = u8::try_from(*at).unwrap_or(0);
        let ask = Ask::Show(vec![name.to_string()]);
        (place(partition_of(PlacementKey::of(name))), (Ticket { part, ..ticket }, ask))
    };
    missing.map(question).collect()
}

/// The steps of a transfer with the revisions that its writes were given.
fn revised(steps: &[Step], commit: &Commit) -> Vec<Step> {
    let told = |step: &Step| {
        let Step::Write { register, .. } = step else { return step.clone() };
        let mut revisions = commit.revisions.iter();
        let found = revisions.find(|(name, _)| name.as_str() == register);
        found.map_or(step.clone(), |(_, revision)| step.clone().at_revision(revision.0))
    };
    steps.iter().map(told).collect()
}

fn put(expected: Expectation, balance: i64) -> KeyChange {
    KeyChange::put(BALANCE, expected, Bytes::copy_from_slice(&balance.to_le_bytes()))
}
