//! Coordination: proposals get places, entries go to all members at once, a majority's
//! acknowledgement commits (rules C4, C5, C6, C9).

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use bytes::{Bytes, BytesMut};
use weald_core::{Epoch, LogIndex, Time, limits::ENTRY_BYTES_MAX};

use super::{
    AckRefusal, ENTRY_HEAD_LEN, EntryKind, Heard, Heartbeat, LogEntry, Message, ReplicateAck,
    RoleState, State,
    effects::Comparison,
    freshness::Contact,
    progress::{Flow, Progress},
    read::Reads,
    run::SHARED_BYTES_MAX,
    transfer::Transfer,
};
use crate::{
    configuration::{Configuration, ConfigurationId, Member},
    mutation::Mutation,
};

/// What a member knows while it coordinates. Gone with the coordination (rule C1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Coordinator {
    /// The first entry of the own epoch.
    first: LogIndex,
    /// Whether an entry of the own epoch is committed.
    pub(super) has_own_commit: bool,
    since: Time,
    /// The configuration whose members `progress` holds.
    tracked: Option<ConfigurationId>,
    pub(super) progress: BTreeMap<Member, Progress>,
    pub(super) round: u64,
    heartbeat_due: Time,
    pub(super) contact: Contact,
    pub(super) reads: Reads,
    pub(super) transfer: Option<Transfer>,
    /// Bytes of entries that are not committed.
    uncommitted_bytes: usize,
    /// What members answer about their effects.
    pub(super) comparison: Comparison,
}

/// Why proposals were not taken. Nothing of them is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another member coordinates, as far as this one knows.
    #[error("this member does not coordinate the partition: coordinator={coordinator:?}")]
    NotCoordinator {
        /// Who does, if it is known.
        coordinator: Option<Member>,
    },
    /// Too much waits to be committed; retry when some of it is.
    #[error("the partition is busy; retry: uncommitted_bytes={bytes} max={max}")]
    Busy {
        /// Bytes that wait.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The coordination is being handed over; retry at the next coordinator.
    #[error("the coordination is being handed over; retry: to={to}")]
    HandingOver {
        /// To whom.
        to: Member,
    },
    /// A proposal is larger than an entry may be.
    #[error("a proposal is too large: bytes={bytes} max={max}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
}

impl ProposeError {
    /// Whether the same proposal may be taken later, here or at another member.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. })
    }
}

impl Coordinator {
    pub(super) fn new(now: Time, first: LogIndex) -> Self {
        Self {
            first,
            has_own_commit: false,
            since: now,
            tracked: None,
            progress: BTreeMap::new(),
            round: 0,
            heartbeat_due: now,
            contact: Contact::default(),
            reads: Reads::default(),
            transfer: None,
            uncommitted_bytes: 0,
            comparison: Comparison::default(),
        }
    }

    /// The first entry of the own epoch.
    pub(super) fn first(&self) -> LogIndex {
        self.first
    }

    /// When a member was last heard, or this one began to coordinate.
    fn heard(&self, progress: Option<&Progress>) -> Time {
        progress.and_then(|progress| progress.heard).unwrap_or(self.since)
    }

    /// When it next has to act.
    pub(super) fn due(&self) -> Time {
        let transfer = self.transfer.as_ref().map_or(Time::MAX, Transfer::due);
        self.heartbeat_due.min(transfer)
    }

    /// A round begins: it tells how fresh this member and the others are, if none is watched yet.
    /// What was committed before the first own entry is not known before that is committed.
    fn begin_contact(&mut self, now: Time, watermark: LogIndex) {
        if self.has_own_commit && self.contact.begin(self.round, now, watermark) {
            self.progress.values_mut().for_each(Progress::begin_contact);
        }
    }

    /// A quorum has answered rounds up to `round`.
    pub(super) fn confirm_contact(&mut self, round: u64) {
        if self.contact.confirm(round) {
            self.progress.values_mut().for_each(Progress::confirm_contact);
        }
    }

    /// Whether the coordination was handed over to `member`.
    pub(super) fn is_released_to(&self, member: Member) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.is_released_to(member))
    }
}

impl State {
    /// Gives proposals their places, in order, and sends them. Returns the first one's place; the
    /// others follow without a gap. They are committed once the watermark covers them, unless
    /// [`Output::Cut`](super::Output::Cut) says otherwise before.
    ///
    /// # Errors
    /// [`ProposeError`]; then none of them is in the log.
    pub fn propose(
        &mut self,
        now: super::Now,
        commands: &[Bytes],
    ) -> Result<LogIndex, ProposeError> {
        self.advance_clock(now);
        self.check_proposals(commands)?;
        let time = self.log_time.stamp(self.now);
        let first = self.log.last_index().next();
        let mut left: usize = commands.iter().map(|command| ENTRY_HEAD_LEN + command.len()).sum();
        let mut buffer = BytesMut::new();
        for command in commands {
            let (content, bytes) = ((EntryKind::Command, &command[..]), command.len());
            if buffer.capacity() < ENTRY_HEAD_LEN + bytes {
                let shared = left.min(SHARED_BYTES_MAX);
                buffer = BytesMut::with_capacity(shared.max(ENTRY_HEAD_LEN + bytes));
            }
            left -= ENTRY_HEAD_LEN + bytes;
            let stamp = (self.promised, time);
            let entry = LogEntry::packed(&mut buffer, self.log.last(), stamp, content);
            self.append_own(entry);
        }
        self.settle();
        Ok(first)
    }

    fn check_proposals(&self, commands: &[Bytes]) -> Result<(), ProposeError> {
        let RoleState::Coordinator(coordinator) = &self.role else {
            return Err(ProposeError::NotCoordinator { coordinator: self.following.coordinator });
        };
        if let Some(transfer) = &coordinator.transfer {
            return Err(ProposeError::HandingOver { to: transfer.to() });
        }
        let max = ENTRY_BYTES_MAX - ENTRY_HEAD_LEN;
        if let Some(large) = commands.iter().find(|command| command.len() > max) {
            return Err(ProposeError::TooLarge { bytes: large.len(), max });
        }
        // What others have committed while this disk is slow is in memory, too.
        let kept = self.log.bytes().saturating_sub(self.config.tail_bytes_max);
        let bytes = coordinator.uncommitted_bytes.max(kept);
        let max = self.config.uncommitted_bytes_max;
        if bytes >= max { Err(ProposeError::Busy { bytes, max }) } else { Ok(()) }
    }

    /// Appends an entry of this coordinator's own.
    pub(super) fn append_own(&mut self, entry: LogEntry) {
        let bytes = entry.len();
        if let RoleState::Coordinator(coordinator) = &mut self.role {
            coordinator.uncommitted_bytes += bytes;
        }
        self.own_from = self.own_from.min(entry.index());
        self.append(entry);
    }

    /// Begins a confirmation round: a sign of life to everybody, whose answers show that this
    /// member still coordinated when the round began (rule C7).
    pub(super) fn begin_round(&mut self) {
        let now = self.now.steady;
        let effect = self.begin_comparison();
        let (last, watermark, epoch) = (self.log.last_index(), self.watermark, self.promised);
        self.track_members();
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        coordinator.round += 1;
        coordinator.heartbeat_due = next_beat(now, self.config.heartbeat);
        let heartbeat = Heartbeat {
            epoch,
            last,
            watermark,
            round: coordinator.round,
            heard: None,
            effect,
            settled: coordinator.comparison.settled(),
        };
        if coordinator.has_own_commit || self.config.breaks(Mutation::ReadBeforeOwnEntry) {
            coordinator.reads.begin_round(coordinator.round, watermark);
        }
        coordinator.begin_contact(now, watermark);
        let round = coordinator.round;
        let mut heartbeats = Vec::new();
        for (member, progress) in &mut coordinator.progress {
            progress.begin_round(round);
            progress.watermark_sent = progress.watermark_sent.max(watermark);
            let heard = progress.heard_before_contact();
            heartbeats.push((*member, Heartbeat { heard, ..heartbeat.clone() }));
        }
        for (member, heartbeat) in heartbeats {
            self.send(member, Message::Heartbeat(heartbeat));
        }
        self.note_confirmed();
    }

    /// Keeps one progress for each member that is fed.
    pub(super) fn track_members(&mut self) {
        let next = self.log.last_index().next();
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        let current = self.configurations.current();
        if coordinator.tracked == Some(current.id) {
            return;
        }
        coordinator.tracked = Some(current.id);
        let members: Vec<_> = current.members().collect();
        coordinator.progress.retain(|member, _| members.contains(member));
        for member in members.into_iter().filter(|member| *member != self.me) {
            let known = coordinator.progress.entry(member);
            known.or_insert_with(|| Progress::new(next.min(coordinator.first)));
        }
    }

    /// When a quorum was last heard, this member being heard now.
    pub(super) fn quorum_heard(&self, coordinator: &Coordinator) -> Time {
        let now = self.now.steady;
        self.quorum_value(|member| {
            if *member == self.me {
                return now;
            }
            coordinator.heard(coordinator.progress.get(member))
        })
    }

    /// A heartbeat is due. Who has heard no quorum for an election timeout steps down (rule C9).
    pub(super) fn handle_heartbeat_due(&mut self) {
        let RoleState::Coordinator(coordinator) = &self.role else { return };
        let silence = self.now.steady.since(self.quorum_heard(coordinator));
        let is_unheard = silence >= self.config.election_timeout;
        if is_unheard && !self.config.breaks(Mutation::CoordinateUnheard) {
            return self.become_follower(None);
        }
        self.run_transfer();
        if let Some(refused) = self.refused_for_clock(self.config.election_timeout) {
            return self.resign(refused);
        }
        if matches!(&self.role, RoleState::Coordinator(c) if c.heartbeat_due <= self.now.steady) {
            self.begin_round();
            self.drive_membership();
        }
    }

    pub(super) fn progress_mut(&mut self, member: Member) -> Option<&mut Progress> {
        match &mut self.role {
            RoleState::Coordinator(coordinator) => coordinator.progress.get_mut(&member),
            _ => None,
        }
    }

    pub(super) fn handle_ack(&mut self, from: Member, ack: ReplicateAck) {
        let (now, last) = (self.now.steady, self.log.last_index());
        if ack.epoch != self.promised {
            return;
        }
        let run = self.peers.get(&from).map(|peer| peer.run).unwrap_or_default();
        let Some(progress) = self.progress_mut(from) else { return };
        progress.heard = Some(now);
        let wants = ack.wants.min(last.next());
        progress.note_heard(Heard { run, round: ack.round }, wants);
        progress.note_refusal(wants, ack.refusal == Some(AckRefusal::Clock), now);
        let is_new_round = ack.round > progress.round;
        let has_moved =
            progress.acknowledged(ack.matched.min(last), (wants, ack.refusal), ack.round);
        // Once in a round: the offer is answered, too.
        if progress.flow == Flow::Snapshot && is_new_round {
            self.offer_or_send(from, wants);
        }
        if has_moved {
            self.advance_commit();
        }
        if let Some(effect) = ack.effect {
            self.compare_effect(from, effect);
        }
        self.note_confirmed();
        self.run_transfer();
    }

    /// Moves the watermark to what a quorum has on disk, if that is of the own epoch (rule C4).
    pub(super) fn advance_commit(&mut self) {
        let RoleState::Coordinator(coordinator) = &self.role else { return };
        let own = match self.config.breaks(Mutation::CountSelfUnsynced) {
            true => self.log.last_index(),
            false => self.log.synced(),
        };
        let reached = |member: &Member| {
            let matched = |member| coordinator.progress.get(member).map(|p| p.matched);
            if *member == self.me { own } else { matched(member).unwrap_or_default() }
        };
        let mut quorum = self.quorum_value(reached);
        if self.config.breaks(Mutation::CommitByMinority) {
            let all = self.configurations.current().all_voters();
            quorum = all.map(|member| reached(&member)).max().unwrap_or(quorum);
        }
        let is_own =
            quorum >= coordinator.first || self.config.breaks(Mutation::CommitEarlierEpochs);
        if quorum <= self.watermark || !is_own {
            return;
        }
        let committed = LogIndex(self.watermark.0 + 1)..quorum.next();
        let bytes = self.bytes_of(committed);
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        coordinator.uncommitted_bytes = coordinator.uncommitted_bytes.saturating_sub(bytes);
        coordinator.has_own_commit |= quorum >= coordinator.first;
        self.advance_watermark(quorum);
        self.trim();
        self.drive_membership();
        self.release_reads();
    }

    fn bytes_of(&self, range: Range<LogIndex>) -> usize {
        let entries = (range.start.0..range.end.0).filter_map(|n| self.log.entry(LogIndex(n)));
        entries.map(LogEntry::len).sum()
    }

    /// Whether those for whom `agrees` holds are a quorum of the configuration that counts.
    pub(super) fn is_quorum(&self, agrees: impl Fn(&Member) -> bool) -> bool {
        self.counting().is_quorum(agrees)
    }

    pub(super) fn quorum_value<T: Ord + Copy>(&self, reached: impl Fn(&Member) -> T) -> T {
        self.counting().quorum_value(reached)
    }

    /// The configuration whose majorities decide: the last one in the log (rule C8).
    fn counting(&self) -> Cow<'_, Configuration> {
        if self.config.breaks(Mutation::ConfigureAtCommit) {
            return Cow::Borrowed(&self.configurations.committed().configuration);
        }
        let current = self.configurations.current();
        if self.config.breaks(Mutation::IgnoreOutgoingVoters) {
            let outgoing = std::collections::BTreeSet::new();
            return Cow::Owned(Configuration { outgoing, ..current.clone() });
        }
        Cow::Borrowed(current)
    }

    /// The epoch in which this member coordinates, if it does.
    pub fn coordinating(&self) -> Option<Epoch> {
        matches!(self.role, RoleState::Coordinator(_)).then_some(self.promised)
    }

    /// What each member is known to have on disk, while this one coordinates; for reports.
    pub fn matched(&self) -> BTreeMap<Member, LogIndex> {
        match &self.role {
            RoleState::Coordinator(coordinator) => {
                coordinator.progress.iter().map(|(member, p)| (*member, p.matched)).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    /// By the steady clock, when each other member was last heard, while this one coordinates: since
    /// it does where that is later; for reports.
    pub fn members_heard(&self) -> BTreeMap<Member, Time> {
        match &self.role {
            RoleState::Coordinator(coordinator) => {
                let known = coordinator.progress.iter();
                known.map(|(member, p)| (*member, coordinator.heard(Some(p)))).collect()
            }
            _ => BTreeMap::new(),
        }
    }
}

/// The next multiple of the interval, so that all partitions of a node beat together.
fn next_beat(now: Time, interval: std::time::Duration) -> Time {
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    Time::from_millis((now.as_millis() / interval + 1) * interval)
}
