//! Transactions of clients: one at a time for each, asked again at other nodes under one id, and given
//! up after a while, when nobody knows what became of it.

use std::{collections::BTreeMap, time::Duration};

use weald_core::{
    Action, CreateMode, Outcome, PlacementKey, Rejection, TransactionBody, TransactionId,
    TransactionRequest,
};
use weald_pubsub::{Message, PublishAnswer, UnionAnswer};

use super::{Event, Seen, Topics, client, collection, topic};
use crate::{
    name::Name,
    world::{Ask, Ticket, Told},
};

/// What a client waits for an answer, us.
const PATIENCE: (u64, u64) = (200_000, 800_000);
/// Attempts after which it gives up.
const ATTEMPTS_MAX: u32 = 4;
/// How far the expiry of a transaction is ahead.
const EXPIRY: Duration = Duration::from_secs(20);

/// What a transaction is about.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// The topic is created.
    Found,
    /// Messages of one publisher.
    Publish(Vec<Message>),
    /// A sequence is passed over.
    Skip,
    /// A subscriber's lease.
    Lease,
    /// What has expired is removed.
    Prune,
    /// What another head has.
    Union(Vec<Message>),
    /// Something that nobody is to take.
    Forged(&'static str, Vec<Message>),
}

/// A transaction on its way.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) asked: Asked,
    request: TransactionRequest,
    serial: u32,
    attempts: u32,
}

impl Topics {
    /// The topic is created.
    pub(super) fn found(&mut self) {
        let create = topic().create(CreateMode::OpenOrCreate, self.policy.clone(), None);
        self.ask(client::FOUNDER, Asked::Found, create);
    }

    /// A client begins a transaction.
    pub(super) fn ask(&mut self, client: u8, asked: Asked, action: Action) {
        self.asked_count += 1;
        let mut unique = [client; 16];
        unique[..8].copy_from_slice(&self.asked_count.to_le_bytes());
        let id = TransactionId::new(PlacementKey::of(&collection()), unique);
        let expiry = self.log_time().after(EXPIRY);
        let body = TransactionBody { actions: vec![action], ..TransactionBody::default() };
        let request = TransactionRequest { id, expiry, session: None, body };
        self.asked.insert(id, asked.clone());
        self.asking.insert(client, Asking { asked, request, serial: 0, attempts: 0 });
        self.attempt(client, None);
    }

    /// Asks (again): a node that was named, whoever coordinates, or any.
    fn attempt(&mut self, client: u8, node: Option<Name>) {
        let likely = self.world.coordinator().filter(|_| !self.random.one_in(4));
        let node = node.or(likely).unwrap_or_else(|| self.any_node());
        let Some(asking) = self.asking.get_mut(&client) else { return };
        self.serial_count += 1;
        asking.serial = self.serial_count;
        let (serial, ask) = (asking.serial, Ask::Single(asking.request.clone()));
        let at = self.now.after(self.random.between(super::DELAY.0, super::DELAY.1));
        self.world.ask_spanning(node, at, (Ticket { client, serial, part: 0 }, ask));
        self.after(PATIENCE, Event::AskDue(client, serial));
    }

    fn is_late(&self, client: u8, serial: u32) -> bool {
        self.asking.get(&client).is_none_or(|asking| asking.serial != serial)
    }

    /// A client has waited long enough.
    pub(super) fn ask_due(&mut self, client: u8, serial: u32) {
        if self.is_late(client, serial) {
            return;
        }
        let Some(asking) = self.asking.get_mut(&client) else { return };
        asking.attempts += 1;
        match asking.attempts < ATTEMPTS_MAX {
            true => self.attempt(client, None),
            false => self.end_asking(client, None),
        }
    }

    /// A client is told something.
    pub(super) fn told(&mut self, ticket: Ticket, told: Told) {
        let Ticket { client, serial, .. } = ticket;
        if self.is_late(client, serial) {
            return;
        }
        match told {
            Told::Elsewhere(node) => self.attempt(client, Some(node)),
            Told::Shown(_) | Told::Outcome(Outcome::Unknown(_)) => {}
            // Nothing was logged; it is asked again after a while.
            Told::Outcome(Outcome::Rejected(Rejection::Busy { .. })) => {}
            Told::Outcome(Outcome::Rejected(
                Rejection::Expired { .. } | Rejection::Forgotten | Rejection::Fenced,
            )) => self.end_asking(client, None),
            Told::Outcome(outcome) => self.end_asking(client, Some(outcome)),
        }
    }

    /// A transaction has an outcome, or nobody knows.
    fn end_asking(&mut self, client: u8, outcome: Option<Outcome>) {
        let Some(asking) = self.asking.remove(&client) else { return };
        match (asking.asked, outcome) {
            (Asked::Found, Some(Outcome::Committed(_))) => self.open(),
            (Asked::Found, _) => self.found(),
            (Asked::Publish(_) | Asked::Skip, outcome) => self.published(client, outcome),
            (Asked::Lease, outcome) => self.leased(client, outcome),
            (Asked::Union(_) | Asked::Prune | Asked::Forged(..), _) => {}
        }
    }

    /// A member has applied a transaction; the first to do so tells what the topic has.
    pub(super) fn applied(&mut self, id: TransactionId, outcome: &Outcome) {
        let Outcome::Committed(commit) = outcome else { return };
        let Some(asked) = self.asked.remove(&id) else { return };
        let answer = commit.answers.last().map(|answer| &answer[..]).unwrap_or_default();
        match asked {
            Asked::Publish(messages) => self.accept_each(&messages, answer),
            Asked::Forged(what, messages) => {
                let taken = PublishAnswer::decode(answer).map_or(1, |answer| {
                    answer.results.iter().filter(|r| matches!(r, Ok(Some(p)) if p.is_new)).count()
                });
                self.accept_each(&messages, answer);
                self.see(&Seen::Forged { what, is_taken: taken > 0 });
            }
            Asked::Union(messages) => {
                let messages: BTreeMap<_, _> =
                    messages.iter().map(|m| (m.id(topic().address()), m)).collect();
                let Ok(answer) = UnionAnswer::decode(answer) else { return };
                for published in answer.published {
                    let message = messages[&published.id];
                    self.see(&Seen::Accepted { position: published.position, message });
                }
            }
            Asked::Found | Asked::Skip | Asked::Lease | Asked::Prune => {}
        }
    }

    fn accept_each(&mut self, messages: &[Message], answer: &[u8]) {
        let Ok(answer) = PublishAnswer::decode(answer) else { return };
        for (message, result) in messages.iter().zip(&answer.results) {
            if let Ok(Some(published)) = result
                && published.is_new
            {
                self.see(&Seen::Accepted { position: published.position, message });
            }
        }
    }
}
