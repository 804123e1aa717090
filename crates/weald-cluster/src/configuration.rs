//! Who the members of a partition's log are, and what a majority of them is.
//!
//! Every quorum here (commit, promise, read, check) is a majority of the voters; while a
//! configuration is *joint*, a majority of the incoming and one of the outgoing voters (rule C8).
//! Any two such quorums of one configuration, or of it and the one before or after it, share a
//! member: that is what carries an acknowledged write over takeovers and reconfigurations.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use weald_core::{Digest, LogIndex, PeerId, StoreId, codec};

use crate::kinds;

#[cfg(test)]
mod tests;

/// The most voters of one side of a configuration.
pub const VOTERS_MAX: usize = 5;
/// The most learners of a configuration.
pub const LEARNERS_MAX: usize = 16;
/// The highest id: no chain gets there, and the ids after it can still be counted.
const ID_MAX: u64 = 1 << 62;

/// One member of a partition's log: a peer, the store that holds its promises, and which life of
/// it this is (rule C11). A peer whose store or promises were lost comes back as another member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The peer's key.
    pub peer: PeerId,
    /// The store on its disk.
    pub store: StoreId,
    /// How often the peer has begun anew in this partition.
    pub life: u32,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = &self.peer.digest().as_bytes()[..4];
        peer.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "/{}", self.life)
    }
}

/// Counts the configurations of a partition since it was founded. A hint in messages.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct ConfigurationId(pub u64);

/// A configuration of a partition's log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Configuration {
    /// Its place in the chain of configurations.
    pub id: ConfigurationId,
    /// The voters: 1, 3 or 5.
    pub voters: BTreeSet<Member>,
    /// While joint, the voters before; otherwise empty.
    pub outgoing: BTreeSet<Member>,
    /// Members that are fed and do not vote.
    pub learners: BTreeSet<Member>,
}

/// Why a configuration is not one that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// The number of voters is none of 1, 3 and 5.
    #[error("voters must be 1, 3 or 5: count={count}")]
    VoterCount {
        /// The voters.
        count: usize,
    },
    /// A learner is also a voter, or a peer votes with two lives.
    #[error("a peer is named twice")]
    NamedTwice,
    /// An id that no chain of configurations reaches.
    #[error("a configuration's id is out of range: id={}", id.0)]
    Id {
        /// The id.
        id: ConfigurationId,
    },
    /// More learners than a partition feeds.
    #[error("too many learners: count={count} max={LEARNERS_MAX}")]
    LearnerCount {
        /// The learners.
        count: usize,
    },
}

impl Configuration {
    /// The first configuration of a partition.
    ///
    /// # Errors
    /// When the number of voters is none of 1, 3 and 5, or somebody is named twice.
    pub fn founding(
        voters: impl IntoIterator<Item = Member>,
        learners: impl IntoIterator<Item = Member>,
    ) -> Result<Self, ConfigurationError> {
        let configuration = Self {
            id: ConfigurationId::default(),
            voters: voters.into_iter().collect(),
            outgoing: BTreeSet::new(),
            learners: learners.into_iter().collect(),
        };
        configuration.check()?;
        Ok(configuration)
    }

    /// Whether this is a configuration that may be used, wherever it came from.
    ///
    /// # Errors
    /// See [`ConfigurationError`].
    pub fn check(&self) -> Result<(), ConfigurationError> {
        let is_odd_and_small = |count: usize| count % 2 == 1 && count <= VOTERS_MAX;
        for side in [&self.voters, &self.outgoing] {
            let is_empty_outgoing = side.is_empty() && std::ptr::eq(side, &self.outgoing);
            if !is_odd_and_small(side.len()) && !is_empty_outgoing {
                return Err(ConfigurationError::VoterCount { count: side.len() });
            }
            let peers: BTreeSet<_> = side.iter().map(|member| member.peer).collect();
            if peers.len() != side.len() {
                return Err(ConfigurationError::NamedTwice);
            }
        }
        if self.id.0 > ID_MAX {
            return Err(ConfigurationError::Id { id: self.id });
        }
        if self.learners.len() > LEARNERS_MAX {
            return Err(ConfigurationError::LearnerCount { count: self.learners.len() });
        }
        if self.learners.iter().any(|learner| self.is_voter(learner)) {
            return Err(ConfigurationError::NamedTwice);
        }
        Ok(())
    }

    /// Whether both sides must agree.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `member` votes, on either side.
    pub fn is_voter(&self, member: &Member) -> bool {
        self.voters.contains(member) || self.outgoing.contains(member)
    }

    /// Whether `member` is a voter or a learner.
    pub fn contains(&self, member: &Member) -> bool {
        self.is_voter(member) || self.learners.contains(member)
    }

    /// Everybody who is fed, in order, each once.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        let all: BTreeSet<_> =
            self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect();
        all.into_iter()
    }

    /// Everybody who votes, on either side, in order, each once.
    pub fn all_voters(&self) -> impl Iterator<Item = Member> + '_ {
        self.voters.union(&self.outgoing).copied()
    }

    /// Whether those for whom `agrees` holds are a quorum.
    pub fn is_quorum(&self, agrees: impl Fn(&Member) -> bool) -> bool {
        self.sides().all(|side| {
            let count = side.iter().filter(|member| agrees(member)).count();
            count > side.len() / 2
        })
    }

    /// The greatest value that a quorum has reached, each voter having reached `reached`.
    pub fn quorum_value<T: Ord + Copy>(&self, reached: impl Fn(&Member) -> T) -> T {
        // Asked for at each acknowledgement: each voter is looked up once, and a list is made for many only.
        let of_side = |side: &BTreeSet<Member>| {
            let (mut few, mut many) = ([None; VOTERS_MAX], Vec::new());
            let values = match few.get_mut(..side.len()) {
                Some(few) => few,
                None => {
                    many.resize(side.len(), None);
                    &mut many[..]
                }
            };
            values.iter_mut().zip(side).for_each(|(value, member)| *value = Some(reached(member)));
            values.sort_unstable();
            // So many have reached it or more.
            values[(side.len() - 1) / 2]
        };
        self.sides().filter_map(of_side).min().expect("a configuration has a voter")
    }

    /// The next configuration with these voters: joint with the ones before.
    #[must_use]
    pub fn joint(&self, voters: BTreeSet<Member>) -> Self {
        let learners = self.learners.difference(&voters).copied().collect();
        Self { id: self.next_id(), outgoing: self.voters.clone(), voters, learners }
    }

    /// The next configuration after a joint one: its incoming voters alone.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self { id: self.next_id(), outgoing: BTreeSet::new(), ..self.clone() }
    }

    /// The next configuration with other learners.
    #[must_use]
    pub fn with_learners(&self, learners: BTreeSet<Member>) -> Self {
        Self { id: self.next_id(), learners, ..self.clone() }
    }

    /// What stands for it in an attestation.
    pub fn digest(&self) -> Digest {
        Digest::of("weald configuration", &[&codec::encode(kinds::CONFIGURATION, self)])
    }

    fn next_id(&self) -> ConfigurationId {
        ConfigurationId(self.id.0 + 1)
    }

    fn sides(&self) -> impl Iterator<Item = &BTreeSet<Member>> {
        [&self.voters, &self.outgoing].into_iter().filter(|side| !side.is_empty())
    }
}

/// A configuration with its place in the log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Placed {
    /// The entry that carries it; zero for the founding one.
    pub index: LogIndex,
    /// The configuration.
    pub configuration: Configuration,
}
