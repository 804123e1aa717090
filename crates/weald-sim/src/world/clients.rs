//! Clients of a world: when they ask, whom, and what they make of the answers.

use std::time::Duration;

use weald_core::Time;

use super::{Event, World};
use crate::{
    client::{Client, Doing, Reply, What},
    clock::Clock,
    coverage::Rare,
    invariants::Seen,
    machine::{MachineKind, Outcome, Request},
    name::Name,
};

/// What a client waits for an answer, us.
const PATIENCE: (u64, u64) = (300_000, 800_000);
/// What it waits before it asks again after a refusal, us.
const PAUSE: (u64, u64) = (10_000, 60_000);

/// How far the expiry of a write is ahead.
const EXPIRY: Duration = Duration::from_secs(300);
/// The same for some.
const EXPIRY_SHORT: Duration = Duration::from_millis(500);

impl World {
    /// So many clients are to read and write; the others stop when they are done.
    pub(super) fn load(&mut self, count: u8) {
        for client in self.clients.values_mut() {
            client.is_active = client.id <= count;
        }
        for id in 1..=count {
            let client = self.clients.entry(id).or_insert_with(|| Client::new(id));
            if client.doing.is_none() {
                client.serial += 1;
                let event = Event::ClientDue { client: id, serial: client.serial };
                self.schedule.add(self.now.after(self.random.below(5_000)), event);
            }
        }
    }

    /// A client has waited long enough: for an answer, or between two operations.
    pub(super) fn client_due(&mut self, id: u8, serial: u64) {
        let Some(client) = self.clients.get_mut(&id).filter(|client| client.serial == serial)
        else {
            return;
        };
        if client.doing.is_none() {
            if !client.is_active {
                return;
            }
            let what = client.choose(&mut self.random);
            return self.begin(id, what);
        }
        self.attempt(id, None);
    }

    /// A client begins an operation, at any node.
    pub(crate) fn begin(&mut self, id: u8, what: What) {
        self.begin_at(id, what, None);
    }

    /// A client begins an operation at a node.
    pub(crate) fn begin_at(&mut self, id: u8, what: What, node: Option<Name>) {
        let what = self.stamp(what);
        self.histories.begin(id, self.now, &what);
        let client = self.clients.get_mut(&id).expect("it was looked at");
        client.doing = Some(Doing { what, attempts: 0 });
        match what {
            What::Write(request) => self.see(&Seen::Asked { client: id, request }),
            What::Read { key } => self.see(&Seen::ReadAsked { client: id, key }),
            What::Resolve(_) | What::Look => {}
        }
        self.attempt(id, node);
    }

    /// Gives a write its expiry, as a gateway does, where the state machine wants one: by log time,
    /// now and then so short that it may pass.
    fn stamp(&mut self, what: What) -> What {
        let (What::Write(request), MachineKind::Real) = (what, self.settings.machine) else {
            return what;
        };
        let time = match self.oracle.ledger.machine().time {
            Time::ZERO => Clock::default().at(self.now).wall,
            time => time,
        };
        let kept = if self.random.one_in(10) { EXPIRY_SHORT } else { EXPIRY };
        What::Write(Request { expiry: Some(time.after(kept)), ..request })
    }

    /// Asks (again): a node that was named, or any.
    fn attempt(&mut self, id: u8, node: Option<Name>) {
        let client = self.clients.get_mut(&id).expect("it was looked at");
        let what = client.attempt();
        let serial = client.serial;
        let patience = self.random.between(PATIENCE.0, PATIENCE.1);
        let event = Event::ClientDue { client: id, serial };
        let Some(what) = what else {
            return self.schedule.add(self.now, event);
        };
        self.schedule.add(self.now.after(patience), event);
        let names: Vec<Name> = self.nodes.keys().copied().collect();
        let node = node.unwrap_or_else(|| *self.random.pick(&names));
        self.ask(node, (id, serial), what);
    }

    /// A node has answered.
    pub(super) fn told(&mut self, id: u8, serial: u64, reply: Reply) {
        let Some(client) = self.clients.get(&id).filter(|client| client.serial == serial) else {
            return;
        };
        let Some(doing) = client.doing else { return };
        match (reply, doing.what) {
            (Reply::Outcome(outcome), what) => self.finish_write(id, what, outcome),
            (Reply::Value { shown, index }, What::Read { key }) => {
                self.see(&Seen::ReadAnswered { client: id, key, shown: &shown, index });
                self.histories.read(self.now, (id, key), &shown);
                let value = shown.value;
                let client = self.clients.get_mut(&id).expect("it was looked at");
                client.read += 1;
                client.answer = format!("{value} as of {index}");
                self.finish(id);
            }
            (Reply::Elsewhere(node), _) => self.attempt(id, Some(node)),
            (Reply::Retry, _) => {
                let client = self.clients.get_mut(&id).expect("it was looked at");
                client.serial += 1;
                let event = Event::ClientDue { client: id, serial: client.serial };
                let pause = self.random.between(PAUSE.0, PAUSE.1);
                self.schedule.add(self.now.after(pause), event);
            }
            (Reply::Looked | Reply::Value { .. }, _) => self.finish(id),
        }
    }

    fn finish_write(&mut self, id: u8, what: What, outcome: Outcome) {
        let Some(request) = what.request() else { return };
        self.see(&Seen::Answered { id: request.id, outcome });
        if let What::Write(asked) | What::Resolve(asked) = what {
            self.histories.written(self.now, &asked, outcome);
        }
        let is_past =
            request.expiry.is_some_and(|expiry| expiry < self.oracle.ledger.machine().time);
        match (what, outcome) {
            (_, Outcome::Fenced) => self.coverage.reach(Rare::Fenced),
            (What::Resolve(_), Outcome::Applied { .. }) => self.coverage.reach(Rare::Resolved),
            (_, Outcome::Forgotten) if !is_past => {
                self.fail("INV8 exactly once", format!("{:?} is forgotten too early", request.id));
            }
            _ => {}
        }
        let client = self.clients.get_mut(&id).expect("it was looked at");
        client.written += u64::from(matches!(outcome, Outcome::Applied { .. }));
        client.answer = match outcome {
            Outcome::Applied { index, .. } => format!("applied at {index}"),
            Outcome::Fenced => String::from("never applied"),
            Outcome::Forgotten | Outcome::Early => String::from("not known"),
        };
        self.finish(id);
    }

    fn finish(&mut self, id: u8) {
        let client = self.clients.get_mut(&id).expect("it was looked at");
        client.doing = None;
        client.serial += 1;
        let event = Event::ClientDue { client: id, serial: client.serial };
        let pause = self.random.below(self.settings.think + 1);
        self.schedule.add(self.now.after(pause), event);
    }
}
