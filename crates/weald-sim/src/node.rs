//! One simulated machine: its key, its clock, its disk, and the process that runs on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{Config, Health, Point, ReadId, Restart, SnapshotMeta, State, Stored},
};
use weald_collections::RawTree;
use weald_core::{
    Epoch, LogIndex, PartitionId, PeerId, SeededEntropy,
    identity::{Identity, KeyStore},
};

use crate::{
    clock::Clock,
    command::DiskState,
    disk::{Checkpoint, Disk, LogKind},
    machine::{MachineKind, MemberMachine, RequestId},
    name::{NODES_MAX, Name},
    random::Random,
    schedule::Instant,
    world::{Spanning, Ticket},
};

/// The partition that every world replicates.
pub(crate) const PARTITION: PartitionId = PartitionId(1);

/// A machine.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    pub(crate) disk_state: DiskState,
    pub(crate) backup: Option<Disk>,
    pub(crate) process: Option<Process>,
    /// Counts the processes that ran here, so that what was meant for an earlier one is not for
    /// this one.
    pub(crate) process_count: u64,
    pub(crate) is_paused: bool,
    /// The last life of which the promises were lost: durable, so that a restart does not make up
    /// for them.
    pub(crate) lost_life: Option<u32>,
}

/// A run of a node.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u64,
    pub(crate) began: Instant,
    pub(crate) state: State,
    pub(crate) machine: MemberMachine,
    /// Requests that wait for their entry, by its place.
    pub(crate) pending: BTreeMap<LogIndex, Pending>,
    pub(crate) reads: BTreeMap<ReadId, PendingRead>,
    /// Reads that wait for apply.
    pub(crate) ready: BTreeSet<(LogIndex, ReadId)>,
    /// What this member does about transactions over several partitions while it coordinates.
    pub(crate) spanning: Option<Box<Spanning>>,
    /// Reads of accounts that wait.
    pub(crate) shows: BTreeMap<ReadId, (Ticket, Vec<RawTree>)>,
    pub(crate) next_read: u64,
    pub(crate) wake_at: Option<Instant>,
    pub(crate) is_syncing: bool,
    pub(crate) has_log_failed: bool,
    /// Since when syncs are slow.
    pub(crate) slow_since: Option<Instant>,
    pub(crate) sync_began: Instant,
    pub(crate) is_healthy: bool,
    pub(crate) was_damaged: bool,
    pub(crate) is_installing: bool,
    /// The last state that was taken, until it is confirmed.
    pub(crate) draft: Option<Draft>,
    pub(crate) has_coordinated: bool,
    /// Bytes of entries that recovery brought into memory.
    pub(crate) recovered_bytes: usize,
}

/// What a process begins with beside what is on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning<'a> {
    pub(crate) config: &'a Config,
    pub(crate) genesis: &'a Configuration,
    pub(crate) machine: MachineKind,
    pub(crate) seed: u64,
}

/// A state that is kept once it is confirmed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) checkpoint: Checkpoint,
    /// Entries before it that the log keeps.
    pub(crate) kept: u64,
    pub(crate) taken: Instant,
}

/// A request that waits for its entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) id: RequestId,
    pub(crate) epoch: Epoch,
    pub(crate) client: u8,
    pub(crate) serial: u64,
}

/// A read that waits for its index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRead {
    pub(crate) key: u8,
    pub(crate) client: u8,
    pub(crate) serial: u64,
}

/// The keys of all nodes, in the order of their peer ids, so that names and ids sort alike.
pub(crate) fn identity(name: Name) -> &'static Identity {
    static IDENTITIES: OnceLock<Vec<Identity>> = OnceLock::new();
    let identities = IDENTITIES.get_or_init(|| {
        let mut made: Vec<_> = (0..u64::from(NODES_MAX))
            .map(|seed| Identity::generate(&mut SeededEntropy::new(seed)))
            .collect();
        made.sort_by_key(|identity| identity.public().peer_id());
        made
    });
    &identities[usize::from(name.0)]
}

/// The node whose key a member has.
pub(crate) fn name_of(member: &Member) -> Option<Name> {
    name_of_peer(&member.peer)
}

/// The node that has this id.
pub(crate) fn name_of_peer(peer: &PeerId) -> Option<Name> {
    static PEERS: OnceLock<Vec<PeerId>> = OnceLock::new();
    let peers = PEERS.get_or_init(|| {
        (0..NODES_MAX).map(|node| identity(Name(node)).public().peer_id()).collect()
    });
    let found = peers.iter().position(|known| known == peer);
    found.and_then(|position| u8::try_from(position).ok()).map(Name)
}

impl Node {
    pub(crate) fn new(name: Name, kind: LogKind, random: &mut Random) -> Self {
        Self {
            name,
            clock: Clock::default(),
            disk: Disk::new(kind, random),
            disk_state: DiskState::Normal,
            backup: None,
            process: None,
            process_count: 0,
            is_paused: false,
            lost_life: None,
        }
    }

    /// Who this node is in its first life on its disk.
    pub(crate) fn first_member(&self) -> Member {
        let peer = identity(self.name).public().peer_id();
        Member { peer, store: self.disk.store, life: 0 }
    }

    /// Starts a process with what is on the disk; false where there is no space to begin.
    pub(crate) fn start(&mut self, at: Instant, first: Beginning<'_>) -> bool {
        let now = self.clock.at(at);
        self.disk.incarnation += 1;
        let Some(restart) = self.recover(first.genesis, now.wall) else { return false };
        self.process_count += 1;
        let machine = match &self.disk.checkpoint {
            Some(checkpoint) => MemberMachine::restore(&checkpoint.machine),
            None => MemberMachine::new(first.machine),
        };
        let was_damaged = matches!(restart.health, Health::Damaged { .. });
        self.disk.is_damaged = was_damaged;
        let state = State::new(first.config.clone(), PARTITION, restart, (now, first.seed));
        let recovered_bytes = state.memory_bytes();
        self.process = Some(Process {
            recovered_bytes,
            id: self.process_count,
            began: at,
            state,
            machine,
            pending: BTreeMap::new(),
            reads: BTreeMap::new(),
            ready: BTreeSet::new(),
            spanning: None,
            shows: BTreeMap::new(),
            next_read: 0,
            wake_at: None,
            is_syncing: false,
            has_log_failed: false,
            slow_since: None,
            sync_began: at,
            is_healthy: true,
            was_damaged,
            is_installing: false,
            draft: None,
            has_coordinated: false,
        });
        true
    }

    fn recover(&mut self, genesis: &Configuration, started: weald_core::Time) -> Option<Restart> {
        let snapshot = self.disk.checkpoint.as_ref().map(|checkpoint| checkpoint.meta.clone());
        let found = self.disk.log.recover(snapshot.as_ref().map(|meta| meta.point))?;
        let is_lost = match &found.stored {
            Some(stored) => self.lost_life.is_some_and(|life| stored.member.life <= life),
            None => self.disk.is_wiped,
        };
        let health = if is_lost { Health::Amnesiac } else { found.health };
        let first = || Stored::founding(self.first_member(), genesis.clone());
        let mut stored = found.stored.unwrap_or_else(first);
        let (mut before, mut entries) = (found.before, found.entries);
        let is_unknown = |meta: &&SnapshotMeta| !holds(&before, &entries, &meta.point);
        // Who has lost its promises keeps nothing but a new life.
        let is_kept = health != Health::Amnesiac;
        if let Some(meta) = snapshot.as_ref().filter(is_unknown).filter(|_| is_kept) {
            // The snapshot was switched in, the log did not learn of it: it begins after it.
            stored.base = meta.point;
            stored.watermark = meta.point.index;
            stored.configurations.committed = meta.configuration.clone();
            stored.configurations.chain.clone_from(&meta.configurations);
            stored.configurations.uncertified.clear();
            self.disk.log.restart_at(meta.point, stored.clone());
            (before, entries) = (meta.point, Vec::new());
        }
        Some(Restart {
            member: stored.member,
            incarnation: self.disk.incarnation,
            started,
            health,
            stored,
            applied: snapshot.as_ref().map_or(LogIndex::ZERO, |meta| meta.point.index),
            applied_time: snapshot.map_or(weald_core::Time::ZERO, |meta| meta.time),
            before,
            entries,
        })
    }
}

/// Whether a log has the entry at `point`.
fn holds(before: &Point, entries: &[weald_cluster::replica::LogEntry], point: &Point) -> bool {
    before == point || entries.iter().any(|entry| entry.point() == point)
}
