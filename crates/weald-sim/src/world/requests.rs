//! What a node does for clients: it proposes, answers when the entry is applied, reads, or says who
//! coordinates.

use weald_cluster::replica::{LogEntry, ReadId};
use weald_core::LogIndex;

use super::{Event, World};
use crate::{
    client::{Reply, What},
    coverage::Rare,
    invariants::Seen,
    machine::{Outcome, Request},
    name::Name,
    node::{Pending, PendingRead, name_of},
};

/// What a request or its answer takes between a client and a node, us.
const CLIENT_DELAY: (u64, u64) = (100, 500);

impl World {
    /// A client's request arrives.
    pub(super) fn asked(&mut self, node: Name, client: (u8, u64), what: What) {
        if self.state(node).is_none() {
            return;
        }
        match what {
            What::Read { key } => self.begin_read(node, key, client),
            What::Look => self.look(node, client),
            What::Write(_) | What::Resolve(_) => {
                let request = what.request().expect("a write has one");
                self.propose(node, &request, client);
            }
        }
    }

    fn propose(&mut self, node: Name, request: &Request, client: (u8, u64)) {
        let bytes = request.encode();
        let proposed = self.nodes.get_mut(&node).and_then(|node| {
            let now = node.clock.at(self.now);
            let process = node.process.as_mut()?;
            let proposed = process.state.propose(now, &[bytes]);
            if let Ok(index) = proposed {
                let (client, serial) = client;
                let epoch = process.state.epoch();
                let pending = Pending { id: request.id, epoch, client, serial };
                process.pending.insert(index, pending);
            }
            Some(proposed.is_ok())
        });
        if proposed == Some(false) {
            self.redirect(node, client);
        }
        self.carry_out(node);
    }

    fn redirect(&mut self, node: Name, client: (u8, u64)) {
        let coordinator = self.state(node).and_then(|state| state.coordinator());
        let elsewhere =
            coordinator.and_then(|member| name_of(&member)).filter(|name| *name != node);
        self.reply(client, elsewhere.map_or(Reply::Retry, Reply::Elsewhere));
    }

    /// An entry is applied: whoever waits for it is told.
    pub(super) fn answer_applied(
        &mut self,
        node: Name,
        entry: &LogEntry,
        applied: Option<(Request, Outcome)>,
    ) {
        let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
        let Some(pending) = process.and_then(|process| process.pending.remove(&entry.index()))
        else {
            return;
        };
        let outcome = applied
            .filter(|(request, _)| request.id == pending.id && entry.epoch() == pending.epoch)
            .map(|(_, outcome)| outcome);
        if let Some(Outcome::Applied { index, .. }) = outcome
            && index != entry.index()
        {
            self.coverage.reach(Rare::Retried);
        }
        let client = (pending.client, pending.serial);
        self.reply(client, outcome.map_or(Reply::Retry, Reply::Outcome));
    }

    fn begin_read(&mut self, node: Name, key: u8, (client, serial): (u8, u64)) {
        let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
        let Some(process) = process else { return };
        process.next_read += 1;
        let id = ReadId(process.next_read);
        process.reads.insert(id, PendingRead { key, client, serial });
        self.step(node, |state, now| state.read(now, id));
    }

    pub(super) fn reads_ready(&mut self, node: Name, ids: &[ReadId], index: LogIndex) {
        let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
        let Some(process) = process else { return };
        process.ready.extend(ids.iter().map(|id| (index, *id)));
        self.answer_reads(node);
    }

    pub(super) fn reads_failed(&mut self, node: Name, ids: &[ReadId]) {
        self.coverage.reach(Rare::ReadFailed);
        for id in ids {
            let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
            if let Some(read) = process.and_then(|process| process.reads.remove(id)) {
                self.reply((read.client, read.serial), Reply::Retry);
            }
            self.show_failed(node, *id);
        }
    }

    /// Answers the reads whose index is applied.
    pub(super) fn answer_reads(&mut self, node: Name) {
        loop {
            let process = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut());
            let Some(process) = process else { return };
            let applied = process.machine.applied();
            let Some(first) = process.ready.first().copied().filter(|first| first.0 <= applied)
            else {
                return;
            };
            process.ready.remove(&first);
            let Some(read) = process.reads.remove(&first.1) else {
                self.show(node, first.1);
                continue;
            };
            let shown = process.machine.show(read.key);
            let is_follower = process.state.coordinating().is_none();
            if is_follower {
                self.coverage.reach(Rare::FollowerRead);
            }
            self.reply((read.client, read.serial), Reply::Value { shown, index: applied });
        }
    }

    /// Shows a node's own state, if it can tell that this is not older than its process.
    fn look(&mut self, name: Name, client: (u8, u64)) {
        let Some(node) = self.nodes.get(&name) else { return };
        let Some(process) = &node.process else { return };
        let began = node.clock.at(process.began).steady;
        let fresh = process.state.fresh_as_of().filter(|since| *since >= began);
        let index = process.machine.applied();
        match fresh {
            Some(since) => {
                let (since, store) = (node.clock.when(since), node.disk.store);
                self.coverage.reach(Rare::LocalRead);
                self.see_of(name, &Seen::Exposed { node: name, store, index, since });
            }
            None => self.coverage.reach(Rare::Behind),
        }
        self.reply(client, Reply::Looked);
    }

    pub(super) fn reply(&mut self, (client, serial): (u8, u64), reply: Reply) {
        let delay = self.random.between(CLIENT_DELAY.0, CLIENT_DELAY.1);
        self.schedule.add(self.now.after(delay), Event::Told { client, serial, reply });
    }

    /// Sends a client's request.
    pub(super) fn ask(&mut self, node: Name, (client, serial): (u8, u64), what: What) {
        let delay = self.random.between(CLIENT_DELAY.0, CLIENT_DELAY.1);
        let event = Event::Asked { node, client, serial, what };
        self.schedule.add(self.now.after(delay), event);
    }
}
