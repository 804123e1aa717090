//! What a node tells about its partitions and its peers, and what an operator asks of it.

use std::time::Duration;

use weald_core::{Digest, LogIndex, PartitionId, PeerId, PeerInfo, Time};

use super::Weald;
use crate::{Metric, RecoveryInfo, Result};

/// A partition, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Which one.
    pub partition: PartitionId,
    /// What this node is in it.
    pub role: PartitionRole,
    /// Who gives its entries their places; `None` while nobody is known to.
    pub coordinator: Option<PeerId>,
    /// How long ago a coordinator was last heard here; zero where this node coordinates, `None` while
    /// nobody was heard since it started.
    pub last_contact: Option<Duration>,
    /// The number of the epoch that counts.
    pub epoch: u64,
    /// The end of the log here.
    pub last: LogIndex,
    /// Everything up to here is committed.
    pub committed: LogIndex,
    /// Everything up to here is applied here and visible.
    pub applied: LogIndex,
    /// Everything up to here is in a durable checkpoint here.
    pub checkpointed: LogIndex,
    /// Up to where `digest` reaches.
    pub digest_index: LogIndex,
    /// The digest of everything applied up to `digest_index`: equal at all members.
    pub digest: Digest,
    /// The time of the newest entry applied.
    pub log_time: Time,
    /// The forced recovery that began the partition's generation; `None` for one that was founded.
    pub recovery: Option<RecoveryInfo>,
    /// What keeps this node from taking part; `None` when all is well.
    pub trouble: Option<String>,
    /// Who keeps the partition.
    pub members: Vec<MemberInfo>,
}

/// A member of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Who; `None` for a node without an identity, which keeps nothing.
    pub peer: Option<PeerId>,
    /// Which life of the node in this partition: it begins another with each time that it is taken in
    /// anew, as after its disk was lost.
    pub life: u32,
    /// Whether it votes; otherwise it is fed.
    pub is_voter: bool,
    /// How far it is known to have the log on its disk; only the coordinator knows.
    pub matched: Option<LogIndex>,
    /// How long ago it last answered; only the coordinator knows that of the others.
    pub last_contact: Option<Duration>,
    /// Since when its node runs, by that node's clock; `None` where it was not heard of.
    pub started: Option<Time>,
    /// Which run of its store was heard of last, from 1; `None` where it was not heard of. Only who
    /// coordinates hears all members all the time.
    pub incarnation: Option<u64>,
}

/// What a node is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PartitionRole {
    /// It gives entries their places.
    Coordinator,
    /// It votes and follows.
    Follower,
    /// It asks for votes.
    Candidate,
    /// It is fed and does not vote.
    Learner,
    /// It keeps nothing of it.
    Outsider,
}

impl PartitionRole {
    /// One lowercase word that names the role in output for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Outsider => "outsider",
        }
    }
}

impl Weald {
    /// This node, by its key; `None` for one that ends with the process, or is closed.
    pub fn peer_id(&self) -> Option<PeerId> {
        let kept = self.running().ok()?.backend.kept()?;
        kept.home.peer_id()
    }

    /// Where peers reach this node, as multiaddresses; none when it is alone.
    pub fn addresses(&self) -> Vec<String> {
        self.running().map(|running| running.backend.addresses()).unwrap_or_default()
    }

    /// The peers that are connected; none when the node is alone.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.running().map(|running| running.backend.peers()).unwrap_or_default()
    }

    /// The partitions that this node knows of, in order.
    ///
    /// # Errors
    /// When the node is closed.
    pub async fn partitions(&self) -> Result<Vec<PartitionInfo>> {
        let partitions = self.running()?.backend.partitions();
        partitions.wait().await
    }

    /// Whether the node takes reads and writes, or why not.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn readiness(&self) -> std::result::Result<(), String> {
        match self.running() {
            Ok(running) => running.backend.readiness(),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What the node counts and measures of itself: its log, its members, its network, its outbox.
    pub fn metrics(&self) -> Vec<Metric> {
        let Ok(running) = self.running() else { return Vec::new() };
        [running.backend.metrics(), running.topics.metrics()].concat()
    }

    /// Hands the coordination of `partition` over to `target`, one of its voters.
    ///
    /// # Errors
    /// `Invalid` when `target` cannot take it, as in a node that is alone; `Unavailable` when the
    /// hand-over did not come about.
    pub async fn transfer(&self, partition: PartitionId, target: PeerId) -> Result<()> {
        let done = self.running()?.backend.transfer(partition, target);
        done.wait().await
    }

    /// Hands over everything that this node does for the network, so that it can be stopped for good.
    ///
    /// # Errors
    /// `Invalid` when there is nobody to hand over to.
    pub async fn drain(&self) -> Result<()> {
        let done = self.running()?.backend.drain();
        done.wait().await
    }

    /// How many collections there are.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn collection_count(&self) -> Result<usize> {
        let ids = self.running()?.backend.collections();
        Ok(ids.wait().await?.len())
    }
}
