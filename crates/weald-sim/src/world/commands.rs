//! What commands do to a world.

use std::collections::BTreeSet;

use weald_cluster::replica::Input;

use super::{
    Event, World, drift, names_of,
    recovery::{administrator, usurper},
};
use crate::{
    command::{Command, DiskState, Dropping},
    name::Name,
    network::DropRule,
    node::{Beginning, Node},
};

impl World {
    /// Starts all founding nodes, one after the other.
    pub(crate) fn boot(&mut self) {
        for name in Name::first(self.settings.voters) {
            self.start(name);
            let pause = self.settings.stagger;
            self.run_until(self.now.after(pause * 1000));
        }
    }

    /// Does a command. What makes no sense just then (a crash of a node that is down) does
    /// nothing; neither does what would take away more than the design promises to survive.
    pub(crate) fn command(&mut self, command: &Command) {
        self.trace.line(self.now, || format!("* {command}"));
        match command {
            Command::Cut(from, to) => self.network.cut(*from, *to),
            Command::Mend(from, to) => self.network.mend(*from, *to),
            Command::Isolate(node) => self.split(&[*node].into()),
            Command::Partition(side) => self.split(&side.iter().copied().collect()),
            Command::Heal => self.network.heal(),
            Command::Drop(dropping) => self.drop_messages(dropping),
            Command::Crash(node) => self.crash(*node),
            Command::Restart(node) => self.start(*node),
            Command::Pause(node) => self.pause(*node),
            Command::Resume(node) => self.resume(*node),
            Command::Wipe(node) => self.destroy(*node, |world, node| {
                node.disk.wipe(world.settings.log, &mut world.random);
                node.lost_life = None;
            }),
            Command::Rot(node, back) => self.destroy(*node, |world, node| {
                node.disk.log.rot(*back, &mut world.random);
                node.disk.is_damaged = true;
            }),
            Command::Backup(node) => self.backup(*node),
            Command::Rollback(node) => self.destroy(*node, |_, node| {
                node.disk = node.backup.take().unwrap_or_else(|| node.disk.copy());
            }),
            Command::Disk(node, state) => self.set_disk(*node, *state),
            Command::Clock(node, millis) => self.jump(*node, *millis),
            Command::Checkpoint(node, kept) => self.checkpoint(*node, *kept),
            Command::Add(node) => self.add(*node),
            Command::Voters(voters) => self.goal = Some(voters.iter().copied().collect()),
            Command::Transfer(node) => self.transfer(*node),
            Command::Forge(node) => self.forge(*node),
            Command::Corrupt(node) => self.corrupt(*node),
            Command::Recover(node) => self.recover(*node, administrator()),
            Command::Usurp(node) => self.recover(*node, usurper()),
            Command::Load(clients) => self.load(*clients),
            Command::Reorder(percent) => {
                (self.network.weather.late, self.network.weather.late_max) =
                    (u64::from(*percent) * 10_000, 20_000);
            }
            Command::Loss(percent) => self.network.weather.loss = u64::from(*percent) * 10_000,
        }
    }

    /// Faults end: links are mended, disks work, nodes run.
    pub(crate) fn mend_all(&mut self) {
        self.network.heal();
        self.network.weather.loss = 0;
        if self.journey.is_empty() && !self.must_arrive {
            self.goal = None;
        }
        for name in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.resume(name);
            self.set_disk(name, DiskState::Normal);
            let has_failed =
                self.nodes[&name].process.as_ref().is_some_and(|process| process.has_log_failed);
            if has_failed {
                self.crash(name);
            }
            self.start(name);
        }
    }

    pub(super) fn start(&mut self, name: Name) {
        let seed = self.random.next();
        let Some(node) = self.nodes.get_mut(&name) else { return };
        if node.process.is_some() {
            return;
        }
        let (config, genesis) = (&self.settings.config, &self.genesis);
        let first = Beginning { config, genesis, machine: self.settings.machine, seed };
        if !node.start(self.now, first) {
            return;
        }
        let process = node.process_count;
        let checkpoint = node.disk.checkpoint.as_ref().map(|checkpoint| checkpoint.meta.point);
        self.schedule.add(self.now.after(1_000), Event::Beat { node: name, process });
        self.placed(name);
        self.tell_applied(name);
        self.apply(name);
        self.carry_out(name);
        if let Some(point) = checkpoint {
            self.handle(name, Input::SnapshotReady(point));
        }
    }

    pub(super) fn crash(&mut self, name: Name) {
        self.held.remove(&name);
        let Some(node) = self.nodes.get_mut(&name) else { return };
        node.is_paused = false;
        if node.process.take().is_some() {
            node.disk.log.crash(&mut self.random);
        }
    }

    fn pause(&mut self, name: Name) {
        if let Some(node) = self.nodes.get_mut(&name) {
            node.is_paused = node.process.is_some();
        }
    }

    fn resume(&mut self, name: Name) {
        if let Some(node) = self.nodes.get_mut(&name) {
            node.is_paused = false;
        }
        for event in self.held.remove(&name).unwrap_or_default() {
            self.schedule.add(self.now, event);
        }
    }

    fn split(&mut self, side: &BTreeSet<Name>) {
        let names: Vec<_> = self.nodes.keys().copied().collect();
        for (inside, outside) in names
            .iter()
            .flat_map(|one| names.iter().map(move |other| (*one, *other)))
            .filter(|(one, other)| side.contains(one) && !side.contains(other))
        {
            self.network.cut(inside, outside);
            self.network.cut(outside, inside);
        }
    }

    fn drop_messages(&mut self, dropping: &Dropping) {
        let Dropping { message, from, to, count, millis } = dropping.clone();
        let until = self.now.after(millis * 1000);
        self.network.add_rule(DropRule { message, from, to, until, count });
    }

    /// Takes something from a disk while its node is down, and starts it again; not where more
    /// than a minority of the voters would have lost something.
    fn destroy(&mut self, name: Name, act: impl FnOnce(&mut Self, &mut Node)) {
        if !self.may_lose(name) {
            return;
        }
        self.crash(name);
        let Some(mut node) = self.nodes.remove(&name) else { return };
        act(self, &mut node);
        self.nodes.insert(name, node);
    }

    /// Whether a majority of every configuration that may count keeps what it has, if this node
    /// does not.
    fn may_lose(&self, name: Name) -> bool {
        let is_intact = |other: &Node| {
            other.name != name
                && !other.disk.is_wiped
                && other.lost_life.is_none()
                && !other.disk.is_damaged
                && !self.oracle.expects_rot(other.name)
        };
        let intact: BTreeSet<Name> =
            self.nodes.values().filter(|node| is_intact(node)).map(|node| node.name).collect();
        let running = self.nodes.keys().filter_map(|name| self.state(*name));
        let configurations = running.map(weald_cluster::replica::State::configuration);
        configurations.chain([&self.genesis]).all(|configuration| {
            [&configuration.voters, &configuration.outgoing].into_iter().all(|side| {
                let names = names_of(side);
                side.is_empty() || names.intersection(&intact).count() * 2 > names.len()
            })
        })
    }

    fn backup(&mut self, name: Name) {
        if let Some(node) = self.nodes.get_mut(&name) {
            node.backup = Some(node.disk.copy());
        }
    }

    fn set_disk(&mut self, name: Name, state: DiskState) {
        if let Some(node) = self.nodes.get_mut(&name) {
            node.disk_state = state;
            node.disk.log.set_full(state == DiskState::Full);
        }
        self.begin_sync(name);
    }

    fn jump(&mut self, name: Name, millis: i64) {
        if let Some(node) = self.nodes.get_mut(&name) {
            node.clock.offset += millis;
        }
    }

    fn add(&mut self, name: Name) {
        if !self.nodes.contains_key(&name) {
            let mut node = Node::new(name, self.settings.log, &mut self.random);
            node.clock.drift = drift(&self.settings, &mut self.random);
            self.nodes.insert(name, node);
        }
        self.start(name);
    }

    fn transfer(&mut self, to: Name) {
        let Some(from) = self.coordinator() else { return };
        let Some(member) = self.state(to).map(|state| state.me()) else { return };
        if self.step(from, |state, now| state.transfer(now, member).is_ok()) == Some(true) {
            self.coverage.reach(crate::coverage::Rare::Transferred);
        }
    }

    fn corrupt(&mut self, name: Name) {
        if self.coordinator() == Some(name) || !self.may_lose(name) {
            return;
        }
        if let Some(process) = self.nodes.get_mut(&name).and_then(|node| node.process.as_mut()) {
            process.machine.corrupt();
        }
        self.oracle.expect_rot(name);
    }
}
