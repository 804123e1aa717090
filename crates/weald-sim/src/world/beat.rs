//! What a node does ten times a second: it tells the others of itself, looks at its disk's speed,
//! makes checkpoints, and goes on with what it was asked to bring about.

use std::collections::BTreeSet;

use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{Change, Health, Input, Standing, State, Stop},
};
use weald_core::LogIndex;

use super::{Event, World, names_of};
use crate::{
    coverage::Rare,
    disk::Checkpoint,
    invariants::Seen,
    machine::MemberMachine,
    name::Name,
    node::{Draft, name_of},
};

/// How often, us.
const BEAT: u64 = 100_000;
/// A sync that takes longer is slow, us (rule C9).
pub(super) const SLOW_SYNC: u64 = 250_000;
/// A disk that is slow for so long is unhealthy, us (rule C9).
const SLOW_FOR: u64 = 2_000_000;
/// What a snapshot takes on its way, at most, us.
const SNAPSHOT_DELAY: u64 = 200_000;
/// How long a state that was taken waits for its confirmation before a later one is taken, us.
const DRAFT_KEPT: u64 = 1_000_000;

impl World {
    /// Lets a node beat.
    pub(super) fn beat(&mut self, name: Name, process: u64) {
        if self.process(name, process).is_none() {
            return;
        }
        self.schedule.add(self.now.after(BEAT), Event::Beat { node: name, process });
        self.judge_disk(name);
        self.note_repair(name);
        self.tell_standing(name);
        let every = self.settings.checkpoint_every;
        let (applied, checkpoint) = self.progress_of(name);
        self.keep_confirmed(name);
        if every > 0 && applied.0 >= checkpoint.0 + every {
            self.checkpoint(name, self.settings.log_kept);
        }
        if self.state(name).and_then(|state| state.stop()).is_some_and(is_diverged) {
            let least = self.state(name).map(State::snapshot_least).unwrap_or_default();
            self.install(name, None, least);
        }
        self.pursue_goal(name);
        self.spanning_tick(name);
        self.begin_sync(name);
    }

    fn progress_of(&self, name: Name) -> (LogIndex, LogIndex) {
        let node = &self.nodes[&name];
        let applied = node.process.as_ref().map(|process| process.machine.applied());
        let checkpoint =
            node.disk.checkpoint.as_ref().map(|checkpoint| checkpoint.meta.point.index);
        (applied.unwrap_or_default(), checkpoint.unwrap_or_default())
    }

    fn judge_disk(&mut self, name: Name) {
        let now = self.now;
        let node = self.nodes.get_mut(&name).expect("it beats");
        let Some(process) = &mut node.process else { return };
        let is_slow = process.is_syncing && now.since(process.sync_began) > SLOW_SYNC;
        if is_slow && process.slow_since.is_none() {
            process.slow_since = Some(now);
        }
        let is_healthy = process.slow_since.is_none_or(|since| now.since(since) < SLOW_FOR);
        let has_changed = std::mem::replace(&mut process.is_healthy, is_healthy) != is_healthy;
        if has_changed || !is_healthy {
            self.handle(name, Input::Health { is_healthy });
        }
    }

    fn tell_standing(&mut self, name: Name) {
        let node = &self.nodes[&name];
        let Some(process) = &node.process else { return };
        let started = node.clock.at(process.began).wall;
        let standing = Standing { started, is_healthy: process.is_healthy };
        let member = process.state.me();
        let others: Vec<_> = self.nodes.keys().copied().filter(|other| *other != name).collect();
        for to in others {
            let arrivals = self.network.route((name, to), "Standing", self.now, &mut self.random);
            for delay in arrivals.into_iter().flatten() {
                let event = Event::Standing { to, member, standing };
                self.schedule.add(self.now.after(delay), event);
            }
        }
    }

    /// Takes the state of a node's machine, damaged or not, as far as its log is durable. It is kept
    /// once it is confirmed, and then all but the last `kept` entries before it are let go of.
    pub(super) fn checkpoint(&mut self, name: Name, kept: u64) {
        let taken = self.now;
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let Some(process) = &mut node.process else { return };
        let machine = &process.machine;
        let is_awaited = process.draft.as_ref().is_some_and(|d| taken.since(d.taken) < DRAFT_KEPT);
        let is_durable = process.state.synced() >= machine.applied();
        if !is_durable || is_awaited || process.state.stop().is_some() {
            return;
        }
        let (point, time, effect) = (machine.point(), machine.time(), machine.effect());
        let Some(meta) = process.state.snapshot_meta(point, time, effect) else { return };
        let checkpoint = Checkpoint { machine: machine.snapshot(), meta };
        if process.draft.replace(Draft { checkpoint, kept, taken }).is_some() {
            self.coverage.reach(Rare::CheckpointDropped);
        }
        self.keep_confirmed(name);
    }

    /// Keeps what was taken of a node's state, if it is confirmed by now.
    fn keep_confirmed(&mut self, name: Name) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let Some(process) = &mut node.process else { return };
        let confirmed = process.state.confirmed();
        let is_right = |draft: &mut Draft| draft.checkpoint.meta.point.index <= confirmed;
        let Some(Draft { checkpoint, kept, .. }) = process.draft.take_if(is_right) else { return };
        let point = checkpoint.meta.point;
        let is_later = |last: &Checkpoint| last.meta.point.index < point.index;
        if !node.disk.checkpoint.as_ref().is_none_or(is_later) {
            return;
        }
        node.disk.checkpoint = Some(checkpoint);
        node.disk.log.release(LogIndex((point.index.0 + 1).saturating_sub(kept).max(1)));
        self.handle(name, Input::SnapshotReady(point));
    }

    /// Fetches a snapshot from a member, or from anybody else.
    pub(super) fn install(&mut self, name: Name, from: impl Into<Option<Member>>, least: LogIndex) {
        let asked = from.into().and_then(|member| name_of(&member));
        let others: Vec<_> = self.nodes.keys().copied().filter(|other| *other != name).collect();
        if others.is_empty() {
            return;
        }
        let from = asked.unwrap_or_else(|| *self.random.pick(&others));
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let Some(process) = &mut node.process else { return };
        if std::mem::replace(&mut process.is_installing, true) {
            return;
        }
        let event = Event::Fetched { node: name, process: process.id, from, least: least.0 };
        let delay = self.random.between(1_000, SNAPSHOT_DELAY);
        self.schedule.add(self.now.after(delay), event);
    }

    /// A snapshot has come, if its source is there and has it.
    pub(super) fn fetched(&mut self, name: Name, process: u64, (from, least): (Name, u64)) {
        if self.process(name, process).is_none() {
            return;
        }
        let found = self.served(name, (from, least));
        let Some(process) = self.process(name, process) else { return };
        process.is_installing = false;
        match found {
            Some(checkpoint) => self.switch(name, from, checkpoint),
            None => self.handle(name, Input::InstallFailed),
        }
    }

    /// The checkpoint that a node gets from another one. Where that has none which helps, it takes one
    /// for the next time.
    fn served(&mut self, to: Name, (from, least): (Name, u64)) -> Option<Checkpoint> {
        let is_reachable = self.network.is_open(from, to)
            && self.network.is_open(to, from)
            && self.state(from).is_some()
            && !self.nodes[&from].is_paused;
        let kept = self.nodes[&from].disk.checkpoint.as_ref().filter(|_| is_reachable);
        let is_enough = |index: LogIndex| index.0 >= least && self.is_of_use(to, index);
        let found = kept.filter(|kept| is_enough(kept.meta.point.index)).cloned();
        if found.is_none() && is_reachable {
            self.checkpoint(from, self.settings.log_kept);
        }
        found
    }

    /// Whether a node can go on from a snapshot of this place. One that has diverged goes on from its
    /// own log, which has to begin early enough.
    fn is_of_use(&self, name: Name, index: LogIndex) -> bool {
        let node = &self.nodes[&name];
        let Some(process) = &node.process else { return false };
        let has_diverged = process.state.stop().is_some_and(is_diverged);
        let follows = || !node.disk.log.read(index.next(), 1).is_empty();
        index > process.machine.applied()
            || (has_diverged && (index >= process.state.watermark() || follows()))
    }

    /// Another state takes the place of a node's own.
    fn switch(&mut self, name: Name, from: Name, checkpoint: Checkpoint) {
        let node = self.nodes.get_mut(&name).expect("it runs");
        let Some(process) = &mut node.process else { return };
        process.machine = MemberMachine::restore(&checkpoint.machine);
        process.draft = None;
        let meta = checkpoint.meta.clone();
        let dropped = process.pending.split_off(&meta.point.index.next());
        let dropped = std::mem::replace(&mut process.pending, dropped);
        self.coverage.reach(Rare::SnapshotInstalled);
        if meta.point.index > process.state.last().index {
            self.coverage.reach(Rare::SnapshotAhead);
        }
        node.disk.checkpoint = Some(checkpoint);
        for pending in dropped.into_values() {
            self.reply((pending.client, pending.serial), crate::client::Reply::Retry);
        }
        self.trace.line(self.now, || format!("{name} installs {} of {from}", meta.point.index));
        self.placed(name);
        self.handle(name, Input::Installed(meta));
        self.apply(name);
        self.carry_out(name);
    }

    /// A run begins with what is applied already.
    pub(super) fn tell_applied(&mut self, name: Name) {
        let Some(process) = self.nodes.get(&name).and_then(|node| node.process.as_ref()) else {
            return;
        };
        let (index, effect) = (process.machine.applied(), process.machine.effect());
        if index > LogIndex::ZERO {
            self.handle(name, Input::Applied { index, effect });
        }
    }

    /// A node's machine is somewhere without having applied what is before.
    pub(super) fn placed(&mut self, name: Name) {
        let Some(process) = self.nodes.get(&name).and_then(|node| node.process.as_ref()) else {
            return;
        };
        let (point, effect) = (process.machine.point(), process.machine.effect());
        let seen = Seen::Placed { node: name, index: point.index, hash: point.hash, effect };
        self.see_of(name, &seen);
    }

    /// Whether a majority of these have what they had, or are members again since they lost it. Nobody
    /// gives the votes to others: that would lose what a majority keeps.
    fn may_vote(&self, configuration: &Configuration, names: &BTreeSet<Name>) -> bool {
        let is_back = |name: &Name| {
            self.state(*name).is_some_and(|state| {
                let is_member = configuration.contains(&state.me());
                is_member && state.health() == Health::Whole && state.stop().is_none()
            })
        };
        let keeps = |name: &&Name| {
            let Some(node) = self.nodes.get(*name) else { return true };
            let is_damaged = node.disk.is_damaged || self.oracle.expects_rot(**name);
            let has_lost = node.disk.is_wiped || node.lost_life.is_some();
            !is_damaged && (!has_lost || is_back(name))
        };
        names.iter().filter(keeps).count() * 2 > names.len()
    }

    /// A coordinator takes the next step to the voters that are wanted.
    fn pursue_goal(&mut self, name: Name) {
        if self.goal.is_none() && self.journey.front().is_some_and(|(at, _)| *at <= self.now) {
            self.goal = self.journey.pop_front().map(|(_, voters)| voters);
        }
        let Some(goal) = &self.goal else { return };
        let Some(state) = self.state(name).filter(|state| state.coordinating().is_some()) else {
            return;
        };
        let configuration = state.configuration();
        if !self.may_vote(configuration, goal) {
            return;
        }
        let is_there = names_of(&configuration.voters) == *goal && !configuration.is_joint();
        let change =
            next_change(configuration, goal, |name| self.state(name).map(|state| state.me()));
        if is_there && change.is_none() {
            self.goal = None;
        } else if let Some(change) = change {
            // What is refused now is tried again with the next beat.
            self.step(name, |state, now| state.reconfigure(now, &change).is_ok());
        }
    }
}

fn is_diverged(stop: &Stop) -> bool {
    matches!(stop, Stop::Diverged(_))
}

/// The next step from a configuration to one with these voters and no learners.
fn next_change(
    now: &Configuration,
    goal: &BTreeSet<Name>,
    member_of: impl Fn(Name) -> Option<Member>,
) -> Option<Change> {
    let known =
        |name: &Name| now.members().filter(|m| name_of(m) == Some(*name)).max_by_key(|m| m.life);
    if let Some(stranger) = goal.iter().find(|name| known(name).is_none()) {
        return member_of(*stranger).map(Change::AddLearner);
    }
    let voters: BTreeSet<Member> = goal.iter().filter_map(known).collect();
    if voters != now.voters {
        return Some(Change::SetVoters(voters));
    }
    let is_stray = |m: &&Member| name_of(m).is_none_or(|name| !goal.contains(&name));
    now.learners.iter().find(is_stray).map(|learner| Change::RemoveLearner(*learner))
}
