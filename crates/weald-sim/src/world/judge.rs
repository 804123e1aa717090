//! Whether a world is well: who agrees with whom, and how it ended.

use weald_core::LogIndex;

use super::{World, names_of};
use crate::{invariants::Violation, name::Name, node::name_of, schedule::Instant};

impl World {
    /// Notes that something does not hold.
    pub(crate) fn fail(&mut self, invariant: &'static str, detail: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { invariant, at, detail });
    }

    /// Whether every voter has applied all that is committed, at least up to `least`, and the
    /// configuration is not joint.
    pub(crate) fn is_settled(&self, least: LogIndex) -> bool {
        let Some(coordinator) = self.coordinator() else { return false };
        let Some(state) = self.state(coordinator) else { return false };
        let configuration = state.configuration();
        let committed = self.oracle.ledger.last();
        let has_arrived = self.goal.is_none() && self.journey.is_empty();
        committed >= least
            && (has_arrived || !self.must_arrive)
            && !configuration.is_joint()
            && configuration.voters.iter().all(|voter| {
                let node = name_of(voter).and_then(|name| self.nodes.get(&name));
                let process = node.and_then(|node| node.process.as_ref());
                process.is_some_and(|process| {
                    process.state.me() == *voter
                        && process.machine.applied() == committed
                        && process.state.stop().is_none()
                })
            })
    }

    /// Lets a world without faults go on until all agree; it has to within `bound` us.
    pub(crate) fn expect_progress(&mut self, bound: u64) {
        let (began, until) = (self.now, self.now.after(bound));
        let before = self.oracle.ledger.last();
        let written: u64 = self.clients.values().map(|client| client.written).sum();
        let is_serving = |world: &Self| {
            let now: u64 = world.clients.values().map(|client| client.written).sum();
            world.clients.values().all(|client| !client.is_active) || now > written
        };
        let is_new = |world: &Self| world.oracle.ledger.last() > before;
        let is_asked = self.clients.values().any(|client| client.is_active);
        self.run_while(until, |world| is_asked && !(is_serving(world) && is_new(world)));
        self.load(0);
        let least = self.oracle.ledger.last();
        let is_busy = |world: &Self| world.clients.values().any(|client| client.doing.is_some());
        // What was applied since shows to the others whose state was damaged.
        let is_unnoticed = |world: &Self| is_asked && world.has_unnoticed_damage();
        let is_open =
            |world: &Self| is_busy(world) || !world.is_settled(least) || is_unnoticed(world);
        self.run_while(until, is_open);
        if self.violation.is_none() && is_open(self) {
            let detail = format!("no agreement since {}ms: {}", began.as_millis(), self.summary());
            self.fail("liveness", detail);
        }
        self.expect_equal_digests();
    }

    /// Whether a voter goes on with a state that was damaged on purpose.
    fn has_unnoticed_damage(&self) -> bool {
        let Some(state) = self.coordinator().and_then(|name| self.state(name)) else {
            return false;
        };
        let voters = names_of(&state.configuration().voters);
        voters.into_iter().any(|name| self.oracle.expects_rot(name))
    }

    /// Voters that agree have the same state, block by block.
    fn expect_equal_digests(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let Some(state) = self.coordinator().and_then(|name| self.state(name)) else { return };
        let voters = names_of(&state.configuration().voters);
        let running = voters.iter().filter_map(|name| self.nodes.get(name)?.process.as_ref());
        let mut digests: Vec<_> = running.map(|process| process.machine.digest()).collect();
        digests.dedup();
        if digests.len() > 1 {
            self.fail("INV3 one value per index", String::from("states with different digests"));
        }
    }

    /// One line about every node.
    pub(crate) fn summary(&self) -> String {
        let lines: Vec<_> = self.nodes.keys().map(|name| self.describe(*name)).collect();
        lines.join("; ")
    }

    fn describe(&self, name: Name) -> String {
        let node = &self.nodes[&name];
        let Some(process) = &node.process else { return format!("{name} is down") };
        let state = &process.state;
        let role = format!("{:?}", state.role()).to_lowercase();
        let stop = state.stop().map(|stop| format!("{stop:?}"));
        let stop = stop.map(|stop| format!(" stopped={}", stop.split('(').next().unwrap_or("")));
        let health = match state.health() {
            weald_cluster::replica::Health::Whole => String::new(),
            other => format!(" {other:?}"),
        };
        format!(
            "{name} {role} epoch={} last={} committed={} applied={}{}{health}",
            state.epoch().number,
            state.last().index,
            state.watermark(),
            process.machine.applied(),
            stop.unwrap_or_default(),
        )
    }

    /// Writes and reads that were answered.
    pub(crate) fn answered(&self) -> (u64, u64) {
        let written = self.clients.values().map(|client| client.written).sum();
        let read = self.clients.values().map(|client| client.read).sum();
        (written, read)
    }

    /// Who was first to coordinate at or after `since`, and when.
    pub(crate) fn elected_since(&self, since: Instant) -> Option<(Instant, Name)> {
        self.elections.iter().copied().find(|(at, _)| *at >= since)
    }
}
