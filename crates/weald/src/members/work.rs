//! The loop: events in, outputs carried out, answers given. All decisions about the protocol are the
//! states', all about data the partitions'.

mod events;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use weald_cluster::{configuration::Member, replica::Input};
use weald_core::{PartitionId, StateError, Synced, Time};

use super::{
    Caller, MembersParts, StartError,
    clerk::{Clerk, Desks},
    clocks::Clocks,
    event::Event,
    figures::{Counters, count},
    limits::APPLY_MAX,
    office::{DiskWatch, Office},
    opening,
    post::{Post, Step, standing},
    replica::Replica,
    running::HostedMap,
    stores::Stores,
};

/// How long a node that closes waits for what is under way.
const CLOSING_MAX: Duration = Duration::from_secs(5);

/// What callers see of the loop.
pub(super) struct Shown {
    pub(super) hosted: HostedMap,
    pub(super) counters: Arc<Counters>,
    pub(super) clocks: Clocks,
}

/// The loop's work.
pub(super) struct Work {
    office: Office,
    replicas: BTreeMap<PartitionId, Replica>,
    hosted: HostedMap,
    /// When replicas want to be woken, by the steady clock.
    timers: BTreeSet<(Time, PartitionId)>,
    /// Replicas that something has happened to in this turn.
    touched: BTreeSet<PartitionId>,
    /// Who has applied something last.
    applied_last: PartitionId,
    next_beat: Time,
    has_log_failed: bool,
    /// Who waits for the end, and since when.
    closing: Option<(Time, Caller<Result<(), StateError>>)>,
    is_ended: bool,
}

impl Work {
    /// The members that the log knows, as recovery found them.
    pub(super) fn open(parts: MembersParts, me: Member, shown: Shown) -> Result<Self, StartError> {
        let Shown { hosted, counters, clocks } = shown;
        let stores =
            Stores { engine: parts.engine, cache: parts.cache, config: parts.config.state };
        let desks = Desks {
            log: Arc::clone(&parts.log),
            letterbox: Arc::clone(&parts.letterbox),
            network: Arc::clone(&parts.network),
            stores: stores.clone(),
        };
        let office = Office {
            config: parts.config,
            now: clocks.now(),
            clocks,
            me,
            incarnation: parts.incarnation,
            seed: parts.seed,
            keys: parts.keys,
            log: parts.log,
            stores,
            executor: parts.executor,
            post: Post::new(parts.network, Arc::clone(&counters), parts.seed),
            counters,
            reader: Clerk::spawn("weald-reader", desks.clone())?,
            writer: Clerk::spawn("weald-writer", desks.clone())?,
            fetcher: Clerk::spawn("weald-fetcher", desks)?,
            standings: BTreeMap::new(),
            courier: None,
            auditor: None,
            to_submit: BTreeSet::new(),
            to_apply: BTreeSet::new(),
            to_speculate: BTreeSet::new(),
            answers: Vec::new(),
            has_peers_changed: true,
            is_healthy: true,
            is_closing: false,
            is_over_budget: false,
            disk: DiskWatch::default(),
        };
        let mut work = Self {
            office,
            replicas: BTreeMap::new(),
            hosted,
            timers: BTreeSet::new(),
            touched: BTreeSet::new(),
            applied_last: PartitionId::default(),
            next_beat: Time::ZERO,
            has_log_failed: false,
            closing: None,
            is_ended: false,
        };
        for mut replica in opening::recover(&work.office)? {
            replica.begin_checkpoints(&mut work.office);
            work.add(replica);
        }
        Ok(work)
    }

    fn add(&mut self, replica: Replica) {
        let id = replica.id();
        self.hosted.write().insert(id, Arc::clone(replica.hosted()));
        self.replicas.insert(id, replica);
        self.office.has_peers_changed = true;
        self.office.to_apply.insert(id);
        self.touched.insert(id);
    }

    /// Handles `events`, whatever the log has to tell and what is due.
    pub(super) fn turn(&mut self, events: &mut Vec<Event>) {
        self.office.now = self.office.clocks.now();
        count(&self.office.counters.turns);
        for event in events.drain(..) {
            self.handle(event);
        }
        self.propose();
        self.take_news();
        self.run_timers();
        self.settle();
        self.office.answer();
    }

    /// Does ahead what can be, after a turn of the loop's own thread: any other has something to send.
    pub(super) fn speculate(&mut self) {
        for id in std::mem::take(&mut self.office.to_speculate) {
            if let Some(replica) = self.replicas.get_mut(&id) {
                replica.speculate(&self.office);
            }
        }
    }

    /// When to go on if nothing happens before; `None` when the members have ended.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = match self.office.to_apply.is_empty() && self.office.to_speculate.is_empty() {
            true => self.timers.first().map_or(self.next_beat, |(due, _)| *due),
            false => self.office.now.steady,
        };
        (!self.is_ended).then(|| self.office.clocks.instant(next.min(self.next_beat)))
    }

    /// Does something with a replica and notes that it has been touched.
    fn with(
        &mut self,
        partition: PartitionId,
        act: impl FnOnce(&mut Replica, &mut Office),
    ) -> bool {
        let Some(replica) = self.replicas.get_mut(&partition) else { return false };
        act(replica, &mut self.office);
        self.touched.insert(partition);
        true
    }

    fn propose(&mut self) {
        let touched: Vec<_> = self.touched.iter().copied().collect();
        for partition in touched {
            self.with(partition, |replica, office| {
                replica.propose(office);
                replica.ask_readers(office);
            });
        }
    }

    /// Looks how far the log has come.
    fn take_news(&mut self) {
        let log = Arc::clone(&self.office.log);
        let synced = log.poll_synced();
        let mut is_all = true;
        for (id, replica) in &mut self.replicas {
            if replica.take_news(&self.office) {
                self.touched.insert(*id);
            }
            replica.drive_switch(&self.office);
            if replica.desk.is_waiting() {
                self.office.to_submit.insert(*id);
            }
            is_all &= replica.desk.is_idle();
        }
        match synced {
            Synced::UpTo(ticket) => {
                let (now, slow) = (self.office.now.steady, self.office.config.slow_sync);
                self.office.disk.synced(now, (ticket, is_all), slow);
            }
            Synced::Failed(_) if !self.has_log_failed => {
                self.has_log_failed = true;
                let restart =
                    "a sync of the log has failed: restart the node, it writes nothing more";
                tracing::error!(target: "weald::storage", "{restart}");
                for (id, replica) in &mut self.replicas {
                    replica.handle(&self.office, Input::PersistFailed);
                    self.touched.insert(*id);
                }
            }
            Synced::Failed(_) => {}
        }
    }

    fn run_timers(&mut self) {
        let now = self.office.now.steady;
        let is_beat = self.next_beat <= now;
        if is_beat {
            // What was said before the beat is no part of it.
            self.carry_out();
            self.office.post.set_step(Step::Beating);
        }
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, partition)) = self.timers.pop_first() else { break };
            self.with(partition, |replica, office| {
                replica.timer = None;
                replica.handle(office, Input::Timeout);
            });
        }
        if is_beat {
            self.carry_out();
            self.office.post.set_step(Step::Talking);
            self.beat();
        }
    }

    /// What is done ten times a second.
    fn beat(&mut self) {
        let heartbeat = self.office.config.replica.heartbeat;
        self.next_beat = next_beat(self.office.now.steady, heartbeat);
        self.judge_health();
        let (started, is_healthy) = (self.office.clocks.started_wall(), self.office.is_healthy);
        self.office.post.send_beats(standing(started, is_healthy));
        let dirty =
            self.replicas.iter().map(|(id, replica)| (replica.dirty_bytes(), *id)).collect();
        let max = self.office.config.state.dirty_bytes_max;
        let (is_over, pressed) = pressed(dirty, max);
        self.office.is_over_budget = is_over;
        for (id, replica) in &mut self.replicas {
            replica.tick(&mut self.office);
            replica.drive_readers(&mut self.office);
            replica.drive_repair(&mut self.office);
            replica.start_checkpoint(&mut self.office, pressed.contains(id));
            replica.drive_spanning(&mut self.office);
            replica.publish_all();
            self.touched.insert(*id);
        }
        self.go_on_closing();
    }

    fn judge_health(&mut self) {
        let (now, config) = (self.office.now.steady, &self.office.config);
        let is_slow = self.office.disk.is_slow(now, config.slow_sync, config.slow_for);
        let is_healthy = !is_slow;
        if std::mem::replace(&mut self.office.is_healthy, is_healthy) != is_healthy {
            tell_speed(is_healthy);
        } else if is_healthy {
            return;
        }
        for (id, replica) in &mut self.replicas {
            replica.handle(&self.office, Input::Health { is_healthy });
            self.touched.insert(*id);
        }
    }

    /// Carries out what all touched replicas ask for: first what goes to peers, then what goes to
    /// the log, then applying, as long as anything follows from it.
    fn settle(&mut self) {
        let mut is_first = true;
        loop {
            self.carry_out();
            self.office.post.flush();
            for id in std::mem::take(&mut self.office.to_submit) {
                self.with(id, |replica, office| replica.submit(office));
            }
            self.carry_out();
            if !std::mem::take(&mut is_first) {
                break;
            }
            self.apply();
        }
        self.office.post.flush();
        self.renew_peers();
        for id in std::mem::take(&mut self.touched) {
            self.rest(id);
        }
    }

    /// Applies what is committed, for no longer than a turn may take: after a restart there is much of
    /// it, and peers wait for promises and acks. Whoever is not reached comes first in the next turn.
    fn apply(&mut self) {
        let until = Instant::now() + APPLY_MAX;
        let waiting = std::mem::take(&mut self.office.to_apply);
        let behind = (Bound::Excluded(self.applied_last), Bound::Unbounded);
        let order = waiting.range(behind).chain(waiting.range(..=self.applied_last));
        for id in order.copied() {
            if Instant::now() >= until {
                self.office.to_apply.insert(id);
                continue;
            }
            self.applied_last = id;
            self.with(id, |replica, office| {
                if replica.apply(office) {
                    office.to_apply.insert(id);
                }
            });
        }
    }

    /// Carries out what touched replicas ask for. They stay touched.
    fn carry_out(&mut self) {
        for id in &self.touched {
            if let Some(replica) = self.replicas.get_mut(id) {
                replica.carry_out(&mut self.office);
            }
        }
    }

    /// Notes when a replica wants to be woken, and shows how it stands.
    fn rest(&mut self, id: PartitionId) {
        let Some(replica) = self.replicas.get_mut(&id) else { return };
        let due = replica.state.poll_timeout();
        if replica.timer != due {
            if let Some(before) = replica.timer {
                self.timers.remove(&(before, id));
            }
            if let Some(due) = due {
                self.timers.insert((due, id));
            }
            replica.timer = due;
        }
        replica.publish();
        if replica.can_speculate() {
            self.office.to_speculate.insert(id);
        }
    }

    fn renew_peers(&mut self) {
        if !std::mem::take(&mut self.office.has_peers_changed) {
            return;
        }
        let me = self.office.me.peer;
        let peers: BTreeSet<_> = self
            .replicas
            .values()
            .flat_map(|replica| replica.state.configuration().members())
            .map(|member| member.peer)
            .filter(|peer| *peer != me)
            .collect();
        self.office.standings.retain(|peer, _| peers.contains(peer));
        self.office.post.set_peers(peers.into_iter());
        for (peer, known) in self.office.standings.clone() {
            for replica in self.replicas.values_mut() {
                replica.note_standing(&self.office, peer, known);
            }
        }
    }

    /// No member of the partition lives here any more.
    fn retire(&mut self, partition: PartitionId) {
        let Some(mut replica) = self.replicas.remove(&partition) else { return };
        if let Some(due) = replica.timer {
            self.timers.remove(&(due, partition));
        }
        self.hosted.write().remove(&partition);
        let held = replica.state.last().index;
        tracing::info!(
            target: "weald::members", %partition, %held,
            "this node was removed from the members: what it held counts no more"
        );
        replica.waiting.abandon();
        replica.hosted().end();
        self.office.has_peers_changed = true;
    }

    fn go_on_closing(&mut self) {
        let Some((since, _)) = &self.closing else { return };
        let now = self.office.now.steady;
        let is_late = now.since(*since) >= CLOSING_MAX;
        if !is_late && !self.replicas.values().all(|replica| replica.is_at_rest(now)) {
            return;
        }
        let checkpoint = |replica: &Replica| replica.checkpoint_now();
        let written = self.replicas.values().try_for_each(checkpoint);
        if let Some((_, caller)) = self.closing.take() {
            caller.tell(written);
        }
        self.is_ended = true;
    }
}

fn tell_speed(is_healthy: bool) {
    if is_healthy {
        tracing::warn!(target: "weald::storage", "syncs of the log are fast again");
    } else {
        let what =
            "syncs of the log are slow: this node coordinates nothing until they are fast again";
        tracing::warn!(target: "weald::storage", "{what}");
    }
}

fn next_beat(now: Time, interval: Duration) -> Time {
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    Time::from_millis((now.as_millis() / interval + 1) * interval)
}

impl Drop for Work {
    /// Tells whoever waits that nothing more comes, also after a panic.
    fn drop(&mut self) {
        for replica in self.replicas.values_mut() {
            replica.waiting.abandon();
            replica.hosted().end();
        }
        self.hosted.write().clear();
    }
}

/// Whether partitions with so many bytes in memory that wait for a checkpoint have all that there may be; and,
/// from half of it on, whose checkpoints are to begin: those with most, until the others have little.
fn pressed(mut dirty: Vec<(usize, PartitionId)>, max: usize) -> (bool, BTreeSet<PartitionId>) {
    let sum: usize = dirty.iter().map(|(bytes, _)| bytes).sum();
    let mut pressed = BTreeSet::new();
    if sum >= max / 2 {
        dirty.sort_unstable();
        let mut left = sum;
        while let Some((bytes, id)) = dirty.pop().filter(|_| left > max / 4) {
            left -= bytes;
            pressed.insert(id);
        }
    }
    (sum >= max, pressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(dirty: &[usize]) -> (bool, Vec<u32>) {
        let dirty = dirty.iter().copied().zip((0..).map(PartitionId)).collect();
        let (is_over, pressed) = pressed(dirty, 100);
        (is_over, pressed.into_iter().map(|PartitionId(id)| id).collect())
    }

    #[test]
    fn as_many_partitions_are_checkpointed_as_memory_asks_for() {
        assert_eq!(judged(&[]), (false, vec![]));
        assert_eq!(judged(&[20, 29]), (false, vec![]));
        assert_eq!(judged(&[20, 30]), (false, vec![1]));
        assert_eq!(judged(&[10, 40, 10, 30, 10]), (true, vec![1, 3, 4]));
        assert_eq!(judged(&[25, 25, 25, 25]), (true, vec![1, 2, 3]));
        assert_eq!(judged(&[200]), (true, vec![0]));
    }
}
