//! Clients of a world: when they ask, whom, and what they make of the answers.

use super::{Event, World};
use crate::{
    client::{Client, Doing, Reply, What},
    coverage::Rare,
    invariants::Seen,
    machine::Outcome,
    name::Name,
};

/// What a client waits for an answer, us.
const PATIENCE: (u64, u64) = (300_000, 800_000);
/// What it waits before it asks again after a refusal, us.
const PAUSE: (u64, u64) = (10_000, 60_000);

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
        let client = self.clients.get_mut(&id).expect("it was looked at");
        client.doing = Some(Doing { what, attempts: 0 });
        match what {
            What::Write(request) => self.see(&Seen::Asked { client: id, request }),
            What::Read { key } => self.see(&Seen::ReadAsked { client: id, key }),
            What::Resolve(_) | What::Look => {}
        }
        self.attempt(id, node);
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
            (Reply::Value { value, index }, What::Read { key }) => {
                self.see(&Seen::ReadAnswered { client: id, key, value, index });
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
        match (what, outcome) {
            (_, Outcome::Fenced) => self.coverage.reach(Rare::Fenced),
            (What::Resolve(_), Outcome::Applied { .. }) => self.coverage.reach(Rare::Resolved),
            (_, Outcome::Forgotten) => {
                self.fail("INV8 exactly once", format!("{:?} is forgotten too early", request.id));
            }
            _ => {}
        }
        let client = self.clients.get_mut(&id).expect("it was looked at");
        client.written += u64::from(matches!(outcome, Outcome::Applied { .. }));
        client.answer = match outcome {
            Outcome::Applied { index, .. } => format!("applied at {index}"),
            Outcome::Fenced | Outcome::Forgotten => String::from("never applied"),
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
