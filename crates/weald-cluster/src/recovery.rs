//! Forced recovery: how a partition goes on that has lost its majority for good (rule C16).
//!
//! No quorum can decide any more, so a person does: an administrator signs that what one survivor
//! holds is the log, and that this survivor alone votes from there on. What only the lost members
//! held is gone. So that nobody who comes back late can contradict it, the act begins a new
//! *generation*: messages, certificates and promises of an earlier one count for nothing, and who
//! took part in it returns as a learner that begins with nothing.
//!
//! [`plan`] computes the act from what is left, [`Recovery::sign`] makes it one that others
//! believe, [`Stored::recovered`](crate::replica::Stored::recovered) is what the beginning member
//! keeps, and a replica that hears of it follows by itself.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, LogIndex, PartitionId, PeerId, Time, codec,
    identity::{KeyError, KeyStore, PublicKey, Signature},
};

use crate::{
    configuration::{Configuration, ConfigurationId, Member, Placed},
    kinds,
    replica::{LogEnd, Point},
};

mod planning;
#[cfg(test)]
mod tests;

pub use planning::{Beginning, Remains, plan};

/// The most forced recoveries of one partition.
pub const GENERATIONS_MAX: usize = 64;
/// The most survivors that an act names, its beginner among them.
pub const SURVIVORS_MAX: usize = 8;
/// So much higher are the ids of a generation's configurations: above all that the one before may
/// have made unheard. Lives follow ids, so the lives of a generation are above all earlier ones.
const ID_STEP: u64 = 1 << 20;

/// Whose acts are believed, by their keys' ids, and for which network.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Authority {
    /// The network.
    pub network: Digest,
    /// The administrators. Without any, no forced recovery is possible.
    pub administrators: BTreeSet<PeerId>,
}

/// What one surviving member had when a generation ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Survivor {
    /// The member.
    pub member: Member,
    /// Where its readable log ended.
    pub end: LogEnd,
    /// The highest index that it knew to be committed, or to have been synced by itself.
    pub known: LogIndex,
}

/// What a forced recovery does: everything up to `kept` is committed, `beginner` alone votes from
/// there on, and nothing else of the generation before counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Act {
    /// The network.
    pub network: Digest,
    /// The partition.
    pub partition: PartitionId,
    /// The generation that begins: one above the one that ends.
    pub generation: u32,
    /// The digest of the act that began the one that ends; `None` for a founded generation.
    pub earlier: Option<Digest>,
    /// The last configuration that the beginner knew.
    pub old: Configuration,
    /// The end of the beginner's log. Everything up to it is kept.
    pub kept: Point,
    /// Who goes on alone.
    pub beginner: Member,
    /// What each survivor had that was looked at, the beginner among them.
    pub survivors: Vec<Survivor>,
    /// When, by the clock of who made it.
    pub at: Time,
    /// Drawn for this act: no two are one.
    pub nonce: [u8; 16],
}

/// An act with an administrator's signature.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Recovery {
    /// What is done.
    pub act: Act,
    /// The administrator.
    pub key: PublicKey,
    /// The signature under [`Recovery::DOMAIN`].
    pub signature: Signature,
}

/// Indexes that were dropped: those after what is kept, as far as anything is known of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Dropped {
    /// The first.
    pub from: LogIndex,
    /// The last that is known of. There may have been more.
    pub to: LogIndex,
}

/// Why a forced recovery is not to be made, or not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// It is for another network.
    #[error("the recovery is for another network")]
    OtherNetwork,
    /// It is for another partition.
    #[error("the recovery is for another partition: partition={0}")]
    OtherPartition(PartitionId),
    /// Another member begins the generation.
    #[error("another member begins the generation: beginner={0}")]
    OtherMember(Member),
    /// The key that signed is no administrator's.
    #[error("the key is no administrator's of this network: peer={0}")]
    NotAdministrator(PeerId),
    /// The signature does not hold.
    #[error("the signature does not hold")]
    BadSignature,
    /// It does not follow the generation that holds: it was made for an earlier one, or another
    /// recovery has begun the one that it begins.
    #[error("the recovery does not follow what holds: generation={named} holds={held}")]
    Generation {
        /// The generation that it begins.
        named: u32,
        /// The generation that holds.
        held: u32,
    },
    /// It contradicts itself.
    #[error("the recovery contradicts itself")]
    Unsound,
    /// The partition has been recovered as often as may be.
    #[error("the partition was recovered too often: max={GENERATIONS_MAX}")]
    Exhausted,
    /// Whoever is to begin is not one of the last members that it knows.
    #[error("this node is no member of the partition: member={0}")]
    NotMember(Member),
    /// Another survivor has more: begin there.
    #[error(
        "another survivor has the more complete log; begin there: member={member} index={}",
        end.index
    )]
    Behind {
        /// The survivor.
        member: Member,
        /// Where its log ends.
        end: LogEnd,
    },
    /// Those that survive are a majority, and can go on by themselves: start them.
    #[error("a majority survives and needs no forced recovery; start it: survivors={count}")]
    MajorityLives {
        /// The voters that survive, whole.
        count: usize,
    },
    /// Too many survivors are named.
    #[error("too many survivors: max={SURVIVORS_MAX}")]
    TooManySurvivors,
    /// What the member acknowledged or promised is lost: it goes on only where that is accepted.
    #[error(
        "the end of the log, or what was promised, is lost here; go on at another survivor, or accept \
         (--accept-loss) that what was acknowledged after what is left is gone, too"
    )]
    Lossy,
}

impl Act {
    /// The first configuration of the generation. It stands where the kept log ends; what earlier
    /// entries say of configurations counts no more.
    ///
    /// # Panics
    /// Never: one voter is an odd number of them.
    pub fn root(&self) -> Placed {
        let id = ConfigurationId(self.old.id.0.saturating_add(ID_STEP));
        let founding = Configuration::founding([self.beginner], []);
        let configuration = founding.expect("one voter is an odd number of them");
        Placed { index: self.kept.index, configuration: Configuration { id, ..configuration } }
    }

    /// Whether `member` was given its life in this generation. The beginner was not: where it hears
    /// of its own act as of news, its disk was rolled back.
    pub fn gave_life_to(&self, member: &Member) -> bool {
        *member != self.beginner && member.life >= self.first_life()
    }

    /// The least life that this generation gives.
    pub fn first_life(&self) -> u32 {
        u32::try_from(self.root().configuration.id.0.saturating_add(1)).unwrap_or(u32::MAX)
    }

    /// What survivors knew of beyond what is kept. Of what only lost members had nothing is known.
    pub fn dropped(&self) -> Option<Dropped> {
        let known = self.survivors.iter().map(|survivor| survivor.known.max(survivor.end.index));
        let to = known.max().unwrap_or_default();
        (to > self.kept.index).then(|| Dropped { from: self.kept.index.next(), to })
    }

    /// What stands for it in the act after it.
    pub fn digest(&self) -> Digest {
        Digest::of("weald recovery", &[&self.encode()])
    }

    /// The bytes that are signed.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::RECOVERY_ACT, self)
    }

    /// Whether it says nothing that cannot be.
    fn is_sound(&self) -> bool {
        let end = LogEnd { epoch: self.kept.epoch, index: self.kept.index };
        let own = self.survivors.iter().find(|survivor| survivor.member == self.beginner);
        let is_own_end = own.is_some_and(|own| own.end == end);
        let is_longest = self.survivors.iter().all(|survivor| survivor.end <= end);
        let is_small = self.survivors.len() <= SURVIVORS_MAX;
        // Lives are counted with it.
        let is_countable = self.first_life() < u32::MAX;
        let is_named = self.old.check().is_ok() && self.old.contains(&self.beginner);
        is_own_end && is_longest && is_small && is_countable && is_named
    }
}

impl Recovery {
    /// The domain of the signature.
    pub const DOMAIN: &'static str = "weald forced recovery";

    /// Signs an act.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(act: Act, administrator: &dyn KeyStore) -> Result<Self, KeyError> {
        let signature = administrator.sign(Self::DOMAIN, &act.encode())?;
        Ok(Self { key: administrator.public(), signature, act })
    }

    /// Whether it may be believed after `held`, the recoveries that hold.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn check(
        &self,
        authority: &Authority,
        partition: PartitionId,
        held: &[Self],
    ) -> Result<(), RecoveryError> {
        let act = &self.act;
        if act.network != authority.network {
            return Err(RecoveryError::OtherNetwork);
        }
        if act.partition != partition {
            return Err(RecoveryError::OtherPartition(act.partition));
        }
        if !authority.administrators.contains(&self.key.peer_id()) {
            return Err(RecoveryError::NotAdministrator(self.key.peer_id()));
        }
        if held.len() >= GENERATIONS_MAX {
            return Err(RecoveryError::Exhausted);
        }
        let last = held.last().map(|last| &last.act);
        let generation = last.map_or(0, |last| last.generation);
        let follows = generation.checked_add(1) == Some(act.generation);
        if !follows || act.earlier != last.map(Act::digest) {
            return Err(RecoveryError::Generation { named: act.generation, held: generation });
        }
        if !act.is_sound() {
            return Err(RecoveryError::Unsound);
        }
        match self.key.verify(Self::DOMAIN, &act.encode(), &self.signature) {
            true => Ok(()),
            false => Err(RecoveryError::BadSignature),
        }
    }
}
