//! What can be asked of a replica.

use weald_core::{Digest, Epoch, LogIndex, Time};

use super::{
    Health, LogEnd, LogEntry, Point, Role, RoleState, Run, SnapshotMeta, Standing, State, Stop,
};
use crate::configuration::{Configuration, Member};

impl State {
    /// This member.
    pub fn me(&self) -> Member {
        self.me
    }

    /// What this member is.
    pub fn role(&self) -> Role {
        match &self.role {
            RoleState::Follower => Role::Follower,
            RoleState::PreCandidate(_) => Role::PreCandidate,
            RoleState::Candidate(_) => Role::Candidate,
            RoleState::Coordinator(_) => Role::Coordinator,
        }
    }

    /// The highest epoch promised.
    pub fn epoch(&self) -> Epoch {
        self.promised
    }

    /// Who coordinates, as far as this member knows.
    pub fn coordinator(&self) -> Option<Member> {
        match &self.role {
            RoleState::Coordinator(_) => Some(self.me),
            _ => self.following.coordinator,
        }
    }

    /// By the steady clock, when this member last heard its coordinator in this run, or, while it
    /// coordinates, when it was last told anything. `None` while it has heard nobody.
    pub fn coordinator_heard(&self) -> Option<Time> {
        match &self.role {
            RoleState::Coordinator(_) => Some(self.now.steady),
            _ => self.following.heard,
        }
    }

    /// The run of a member that was heard last, or this one's own, and what its node says of itself;
    /// `None` for each that is not known.
    pub fn run_of(&self, member: &Member) -> (Option<Run>, Option<Standing>) {
        if *member == self.me {
            return (Some(self.run), Some(self.standing));
        }
        let Some(known) = self.peers.get(member) else { return (None, None) };
        // A run that was never heard has no number.
        ((known.run != Run::default()).then_some(known.run), known.standing)
    }

    /// Everything up to here is committed.
    pub fn watermark(&self) -> LogIndex {
        self.watermark
    }

    /// The last entry of this member's log.
    pub fn last(&self) -> Point {
        *self.log.last()
    }

    /// All up to here is durable at this member.
    pub fn synced(&self) -> LogIndex {
        self.log.synced()
    }

    /// The entry at `index`, if it is in memory.
    pub fn entry(&self, index: LogIndex) -> Option<&LogEntry> {
        self.log.entry(index)
    }

    /// The configuration that counts: the last one in the log, committed or not.
    pub fn configuration(&self) -> &Configuration {
        self.configurations.current()
    }

    /// The log time of the last entry.
    pub fn log_time(&self) -> Time {
        self.log_time.last()
    }

    /// Why this member takes no part, if it does not.
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// What recovery found, and repair has mended since.
    pub fn health(&self) -> Health {
        self.health
    }

    /// What a snapshot of the state machine at `point` stands for, if the configuration that holds
    /// there is still known, and certified: whoever installs the snapshot has no entry to sign.
    /// `time` and `effect` are the state machine's at the point; `None` if it has said of another
    /// effect there.
    pub fn snapshot_meta(&self, point: Point, time: Time, effect: Digest) -> Option<SnapshotMeta> {
        if self.effects.at(point.index).is_some_and(|known| known.hash != effect) {
            return None;
        }
        let uncertified = self.configurations.uncertified();
        if uncertified.is_some_and(|(entry, _)| entry.index() <= point.index) {
            return None;
        }
        let configuration = self.configurations.at(point.index)?;
        let configurations = self.configurations.chain().to_vec();
        Some(SnapshotMeta { point, time, configurations, configuration, effect })
    }

    /// What a snapshot has to cover that this member installs. A damaged log is replaced by one that
    /// reaches its known end only: by less it would forget that there was more (rule C11).
    pub fn snapshot_least(&self) -> LogIndex {
        self.known_end().index
    }

    /// Up to here a damaged log is known to have been synced; the beginning for any other.
    pub(super) fn known_end(&self) -> LogEnd {
        match self.health {
            Health::Damaged { known_end } => known_end,
            Health::Whole | Health::Amnesiac => LogEnd::default(),
        }
    }

    /// Bytes of entries in memory.
    pub fn memory_bytes(&self) -> usize {
        self.log.bytes()
    }

    /// Entries that came too early and wait.
    pub fn buffered_count(&self) -> usize {
        self.following.buffer.len()
    }

    /// By the steady clock, the moment at which this member's applied state was certainly the
    /// latest, for reads of bounded staleness (rule C7); `None` when it cannot tell.
    pub fn fresh_as_of(&self) -> Option<Time> {
        match &self.role {
            // Nobody else can commit anything where this member is a quorum.
            RoleState::Coordinator(coordinator)
                if coordinator.has_own_commit && self.is_quorum(|member| *member == self.me) =>
            {
                (self.effects.applied() >= self.watermark).then_some(self.now.steady)
            }
            RoleState::Coordinator(coordinator) => {
                coordinator.contact.fresh_as_of(self.effects.applied())
            }
            _ => self.following.answers.fresh_as_of(self.effects.applied()),
        }
    }

    /// A digest of everything that decides what this member does next; for explorations.
    pub fn fingerprint(&self) -> Digest {
        Digest::of("weald replica", &[format!("{self:?}").as_bytes()])
    }
}
