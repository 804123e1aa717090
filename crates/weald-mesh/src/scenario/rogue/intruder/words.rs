//! What members say to each other, in the mouth of one who is none.

use anyhow::Result;
use bytes::Bytes;
use serde::Serialize;
use weald_cluster::configuration::{ConfigurationId, Member};
use weald_cluster::pulse::Outbox;
use weald_cluster::replica::{
    Attestation, Attested, Envelope, Heartbeat, LogEnd, Message, Point, ReadId, ReplicateAck,
    ReplicateWrite, Run,
};
use weald_core::codec::{self, Kind};
use weald_core::identity::KeyStore;
use weald_core::{Digest, Epoch, LogIndex, PartitionId, Time};

/// What is said of a partition to one of its members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) partition: PartitionId,
    pub(super) target: Member,
    /// The number of the epoch that is claimed.
    pub(super) epoch: u64,
}

/// The index that is claimed.
const INDEX: LogIndex = LogIndex(1_000_000);

impl Words {
    /// All that only a member may say.
    pub(super) fn of(self, from: Member, keys: &impl KeyStore) -> Result<Vec<Envelope>> {
        let epoch = Epoch { number: self.epoch, campaigner: Some(from.peer) };
        let last = LogEnd { epoch, index: INDEX };
        let messages = [
            Message::PreVote { number: self.epoch, last },
            Message::PreVoteReply { number: self.epoch, is_granted: true, promised: epoch },
            Message::Prepare { epoch, last, releasing: None },
            Message::Promise { epoch },
            Message::Refuse { promised: epoch },
            Message::ReplicateWrite(write(epoch)),
            Message::ReplicateAck(ack(epoch)),
            Message::ConfirmTransaction { epoch, watermark: INDEX },
            Message::Heartbeat(heartbeat(epoch)),
            Message::TransferCoordinator { epoch },
            Message::ReadIndex { ids: vec![ReadId(1)] },
            Message::ReadIndexReply { run: RUN, ids: vec![ReadId(1)], index: Some(INDEX) },
            Message::NeedConfiguration { have: ConfigurationId(0) },
            Message::SnapshotOffer {
                epoch,
                point: Point { index: INDEX, epoch, hash: Digest::ZERO },
            },
            Message::Attest { epoch, index: LogIndex(1) },
            Message::Attested(self.attestation(from, keys)?),
            Message::Amnesiac { nonce: 1 },
            Message::Outlived { refused: RUN },
        ];
        Ok(messages.into_iter().map(|message| self.envelope(from, message)).collect())
    }

    /// What counts by what it proves, whoever says it; this proves nothing.
    pub(super) fn unproved(self, from: Member) -> Vec<Envelope> {
        let welcome = Message::Welcome { member: self.target, nonce: 1, chain: Vec::new() };
        let messages = [
            Message::Configurations { chain: Vec::new() },
            welcome,
            Message::Recovered { recoveries: Vec::new() },
        ];
        messages.into_iter().map(|message| self.envelope(from, message)).collect()
    }

    fn envelope(self, from: Member, message: Message) -> Envelope {
        let (partition, to) = (self.partition, self.target);
        let configuration = ConfigurationId(0);
        Envelope { partition, generation: 0, from, run: RUN, to, configuration, message }
    }

    fn attestation(self, member: Member, keys: &impl KeyStore) -> Result<Attestation> {
        let attested = Attested {
            partition: self.partition,
            generation: 0,
            configuration: ConfigurationId(1),
            index: LogIndex(1),
            hash: Digest::ZERO,
        };
        let signature = keys.sign(Attestation::DOMAIN, &[])?;
        Ok(Attestation { attested, member, key: keys.public(), signature })
    }
}

const RUN: Run = Run { incarnation: 1_000_000, nonce: 1 };

fn write(epoch: Epoch) -> ReplicateWrite {
    let before = Point::default();
    ReplicateWrite { epoch, before, entries: Vec::new(), watermark: INDEX, round: 1 }
}

fn ack(epoch: Epoch) -> ReplicateAck {
    let (matched, wants) = (INDEX, INDEX);
    ReplicateAck { epoch, matched, wants, round: 1_000_000, refusal: None, effect: None }
}

fn heartbeat(epoch: Epoch) -> Heartbeat {
    let (last, watermark) = (INDEX, INDEX);
    Heartbeat { epoch, last, watermark, round: 1, heard: None, effect: None, settled: None }
}

/// A frame of messages: a zero, then each message after its length in four bytes.
pub(super) fn frame(envelopes: &[Envelope]) -> Bytes {
    let mut frame = vec![0];
    for envelope in envelopes {
        let bytes = envelope.encode();
        let len = u32::try_from(bytes.len()).expect("a message is short");
        frame.extend_from_slice(&len.to_le_bytes());
        frame.extend_from_slice(&bytes);
    }
    frame.into()
}

/// A frame that tells that its sender lives: a one, the run of frames in eight bytes, and who lives.
pub(super) fn beat() -> Bytes {
    let mut frame = vec![1];
    frame.extend_from_slice(&1_u64.to_le_bytes());
    frame.extend_from_slice(&Outbox::default().frame((Time::ZERO, true), Vec::new()).encode());
    frame.into()
}

/// Asks for a partition's state.
pub(super) fn first_page(partition: PartitionId) -> Bytes {
    #[derive(Serialize)]
    enum Page {
        Open { partition: PartitionId, at_least: LogIndex },
    }
    let kind = Kind(Kind::NODE_FIRST.0 + 18);
    codec::encode(kind, &Page::Open { partition, at_least: LogIndex::ZERO })
}

#[cfg(test)]
mod tests {
    use weald_core::identity::Identity;
    use weald_core::{PeerId, SeededEntropy, StoreId};

    use super::*;

    #[test]
    fn what_an_intruder_says_can_be_read() {
        let keys = Identity::generate(&mut SeededEntropy::new(1));
        let peer = PeerId::from_digest(Digest::ZERO);
        let target = Member { peer, store: StoreId([1; 16]), life: 0 };
        let words = Words { partition: PartitionId(3), target, epoch: 9 };
        let me = Member { peer: keys.public().peer_id(), ..target };
        let said = words.of(me, &keys).unwrap();
        assert!(
            said.iter().all(|envelope| Envelope::decode(&envelope.encode()).unwrap() == *envelope)
        );
        let frame = frame(&said[..1]);
        let (head, body) = frame.split_at(5);
        assert_eq!(
            u32::from_le_bytes(head[1..].try_into().unwrap()),
            u32::try_from(body.len()).unwrap()
        );
        assert_eq!((head[0], Envelope::decode(body).unwrap()), (0, said[0].clone()));
    }
}
