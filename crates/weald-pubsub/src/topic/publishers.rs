//! The tree of publishers: who published what, for the next-sequence rule and for repeats.
//!
//! Three records sort together: a peer (32 bytes: its rate and how many runs it has), a run of it
//! (40 bytes: the next sequence), and in a run a *stretch* (48 bytes with its first sequence):
//! messages with consecutive sequences at consecutive positions, kept while one of them is retained.
//! Imports may hold two messages of one sequence; the second has a record of its own, with its id
//! behind the sequence.

use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use weald_collections::{
    BlockReader, Stop,
    btree::{BTree, Direction},
};
use weald_core::{
    Halt, PeerId, Time,
    codec::{self},
};

use super::{
    blocks::{records, tree_error, unreadable},
    books::OpenTopic,
};
use crate::{
    Bucket, Incarnation, MessageEntry, MessageId, PublisherSequence, Source, TopicPosition, kind,
};

/// What a topic knows of a publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct PeerRecord {
    pub(super) bucket: Bucket,
    pub(super) incarnations: u32,
    /// Runs below this are not known any more: nothing new of them is taken.
    pub(super) floor: Incarnation,
    pub(super) expires_at: Time,
}

/// What a topic knows of a run of a publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct RunRecord {
    pub(super) next: PublisherSequence,
    pub(super) expires_at: Time,
}

/// Messages with consecutive sequences and positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Stretch {
    pub(super) position: TopicPosition,
    pub(super) count: u64,
}

impl Stretch {
    fn holds(&self, position: TopicPosition) -> bool {
        position.0.checked_sub(self.position.0).is_some_and(|nth| nth < self.count)
    }
}

/// A run's place in the tree.
pub(super) type RunId = (PeerId, Incarnation);

pub(super) const PEER_KEY_LEN: usize = 32;
pub(super) const RUN_KEY_LEN: usize = 40;
const STRETCH_KEY_LEN: usize = 48;

fn run_key((peer, incarnation): &RunId) -> Vec<u8> {
    [&peer.digest().as_bytes()[..], &incarnation.0.to_be_bytes()].concat()
}

fn stretch_key(source: &Source) -> Vec<u8> {
    let run = run_key(&(source.publisher, source.incarnation));
    [&run[..], &source.sequence.0.to_be_bytes()].concat()
}

fn second_key(source: &Source, id: &MessageId) -> Vec<u8> {
    [&stretch_key(source)[..], id.digest().as_bytes()].concat()
}

/// The highest run of a publisher in the tree.
pub(super) fn last_run<R: BlockReader + ?Sized>(
    reader: &mut R,
    tree: &BTree,
    publisher: &PeerId,
) -> Result<Option<Incarnation>, Halt> {
    let peer = publisher.digest().as_bytes();
    // Behind everything of the peer.
    let behind = [&peer[..], &[u8::MAX; STRETCH_KEY_LEN]].concat();
    let last = tree.before(reader, &behind)?;
    let last = last.filter(|entry| entry.key.starts_with(peer) && entry.key.len() > PEER_KEY_LEN);
    Ok(last.map(|entry| {
        let bytes = entry.key[PEER_KEY_LEN..RUN_KEY_LEN].try_into().expect("a run has 8 bytes");
        Incarnation(u64::from_be_bytes(bytes))
    }))
}

impl OpenTopic<'_, '_, '_> {
    pub(super) fn peer_record(&mut self, peer: &PeerId) -> Result<Option<PeerRecord>, Stop> {
        self.record(peer.digest().as_bytes())
    }

    pub(super) fn run_record(&mut self, run: &RunId) -> Result<Option<RunRecord>, Stop> {
        self.record(&run_key(run))
    }

    /// Forgets the lowest known run of the publisher of `run`, if `run` is higher. Messages of it that
    /// are retained still answer repeats.
    pub(super) fn forget_lowest_run(
        &mut self,
        (peer, above): &RunId,
        record: &mut PeerRecord,
    ) -> Result<Option<RunId>, Stop> {
        let from = run_key(&(*peer, record.floor));
        let tree = records(self.root.publishers);
        let bounds = (Bound::Included(&from[..]), Bound::Unbounded);
        let lowest = tree.range(&mut *self.scope, bounds, Direction::Forward).next().transpose()?;
        let is_run =
            |key: &Bytes| key.starts_with(&from[..PEER_KEY_LEN]) && key.len() == RUN_KEY_LEN;
        let Some(key) = lowest.map(|entry| entry.key).filter(is_run) else { return Ok(None) };
        let bytes = key[PEER_KEY_LEN..].try_into().expect("a run has 8 bytes");
        let lowest = Incarnation(u64::from_be_bytes(bytes));
        if lowest >= *above {
            return Ok(None);
        }
        self.delete_record(&key)?;
        record.floor = lowest.next();
        record.incarnations = record.incarnations.saturating_sub(1);
        self.books.incarnations = self.books.incarnations.saturating_sub(1);
        Ok(Some((*peer, lowest)))
    }

    pub(super) fn put_peer(&mut self, peer: &PeerId, record: &PeerRecord) -> Result<(), Stop> {
        self.put_record(peer.digest().as_bytes(), record)
    }

    pub(super) fn put_run(&mut self, run: &RunId, record: &RunRecord) -> Result<(), Stop> {
        self.put_record(&run_key(run), record)
    }

    pub(super) fn put_stretch(&mut self, first: &Source, stretch: &Stretch) -> Result<(), Stop> {
        self.put_record(&stretch_key(first), stretch)
    }

    /// Notes the position of a message whose sequence another one has, too.
    pub(super) fn put_second(
        &mut self,
        source: &Source,
        id: &MessageId,
        position: TopicPosition,
    ) -> Result<(), Stop> {
        self.put_record(&second_key(source, id), &position)
    }

    /// The position of a second message of a sequence.
    pub(super) fn second(
        &mut self,
        source: &Source,
        id: &MessageId,
    ) -> Result<Option<TopicPosition>, Stop> {
        self.record(&second_key(source, id))
    }

    /// Where the message of `source` stands, if it is retained or was lately.
    pub(super) fn position_of(&mut self, source: &Source) -> Result<Option<TopicPosition>, Stop> {
        let Some((first, stretch)) = self.stretch_of(source)? else { return Ok(None) };
        let nth = source.sequence.0 - first.0;
        Ok((nth < stretch.count).then(|| TopicPosition(stretch.position.0 + nth)))
    }

    /// The stretch that begins at or before the sequence of `source`, with its first sequence.
    fn stretch_of(
        &mut self,
        source: &Source,
    ) -> Result<Option<(PublisherSequence, Stretch)>, Stop> {
        // Behind a sequence sort the ids of its second messages, which are longer than a stretch.
        let mut behind = second_key(source, &MessageId(weald_core::Digest::ZERO));
        behind.truncate(STRETCH_KEY_LEN + 1);
        let run = run_key(&(source.publisher, source.incarnation));
        let tree = records(self.root.publishers);
        loop {
            let Some(entry) = tree.before(self.scope, &behind)? else { return Ok(None) };
            if !entry.key.starts_with(&run) || entry.key.len() < STRETCH_KEY_LEN {
                return Ok(None);
            }
            if entry.key.len() == STRETCH_KEY_LEN {
                let bytes = entry.key[RUN_KEY_LEN..].try_into().expect("8 bytes are left");
                let first = PublisherSequence(u64::from_be_bytes(bytes));
                return Ok(Some((first, self.decoded(&entry.value)?)));
            }
            behind = entry.key.to_vec();
        }
    }

    /// Takes the records of messages away that are not retained any more.
    pub(super) fn forget(&mut self, removed: &[MessageEntry]) -> Result<(), Stop> {
        let mut last: Option<(RunId, Stretch)> = None;
        for entry in removed {
            let run = (entry.source.publisher, entry.source.incarnation);
            if last.is_some_and(|(of, stretch)| of == run && stretch.holds(entry.position)) {
                continue;
            }
            let found = self.stretch_of(&entry.source)?;
            let Some((first, stretch)) = found.filter(|(_, stretch)| stretch.holds(entry.position))
            else {
                self.delete_record(&second_key(&entry.source, &entry.id))?;
                continue;
            };
            let messages = self.books.messages;
            let next = messages.range(&mut self.pages(), stretch.position, 1)?.pop();
            if !next.is_some_and(|next| stretch.holds(next.position)) {
                self.delete_record(&stretch_key(&Source { sequence: first, ..entry.source }))?;
            }
            last = Some((run, stretch));
        }
        Ok(())
    }

    fn record<T: DeserializeOwned>(&mut self, key: &[u8]) -> Result<Option<T>, Stop> {
        let found = records(self.root.publishers).get(self.scope, key)?;
        found.map(|entry| self.decoded(&entry.value)).transpose()
    }

    pub(super) fn decoded<T: DeserializeOwned>(&self, value: &Bytes) -> Result<T, Stop> {
        let decoded = codec::decode(kind::RECORD, value);
        Ok(decoded.map_err(|error| unreadable(self.root.publishers, &error))?)
    }

    fn put_record<T: Serialize>(&mut self, key: &[u8], value: &T) -> Result<(), Stop> {
        let value = codec::encode(kind::RECORD, value);
        records(self.root.publishers).put(self.scope, key, &value).map_err(tree_error)?;
        Ok(())
    }

    pub(super) fn delete_record(&mut self, key: &[u8]) -> Result<(), Stop> {
        records(self.root.publishers).delete(self.scope, key).map_err(tree_error)?;
        Ok(())
    }
}
