//! What one action holds of a topic, and the books: what the head does not say.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_collections::{BlockReader, BlockWriter, Scope, Stop, btree::BTree};
use weald_core::{
    BlockId, Fault, Halt, Time,
    codec::{self},
    identity::PublicKey,
};

use super::{
    TopicOptions,
    blocks::{BlockPages, bodies_capacity, records_capacity, rewrite, unreadable},
    refused,
};
use crate::{
    ChannelState, Cid, CoordinatorObject, CoordinatorSnapshot, Leaving, LineageEntry,
    MessageCollection, SubscriberCollection, TopicAddress, TopicPolicy, TopicPosition,
    TopicRefusal, kind, limits::SNAPSHOTS_MAX,
};

/// The blocks of a topic that keep their ids, in the collection's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TopicRoot {
    pub(crate) head: BlockId,
    pub(crate) books: BlockId,
    pub(crate) bodies: BlockId,
    pub(crate) publishers: BlockId,
    pub(crate) groups: BlockId,
}

/// A snapshot that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotLink {
    pub(crate) cid: Cid,
    pub(crate) block: BlockId,
    pub(crate) expires_at: Time,
}

/// What a topic knows besides its head.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) messages: MessageCollection<BlockId>,
    pub(crate) subscribers: SubscriberCollection<BlockId>,
    /// Subscriptions that were not ended, expired ones that are still there among them.
    pub(crate) live: u64,
    /// Bytes of all bodies.
    pub(crate) bytes: u64,
    /// Runs of publishers that are remembered.
    pub(crate) incarnations: u64,
    /// Groups.
    pub(crate) groups: u64,
    /// The whole roots of the head's histories.
    pub(crate) recent: Recent,
    /// Snapshots, oldest first.
    pub(crate) snapshots: Vec<SnapshotLink>,
    /// Where the next look for forgotten publishers begins.
    pub(crate) sweep: Bytes,
}

/// Bytes of encoded books without their lists, about, and of an entry of these.
const PLAIN_BYTES: usize = 320;
const LINK_BYTES: usize = 68;

impl Books {
    fn encode(&self) -> Bytes {
        let links = self.recent.messages.len() + self.recent.subscribers.len();
        let expected = PLAIN_BYTES + (links + self.snapshots.len()) * LINK_BYTES;
        codec::encode_sized(kind::BOOKS, self, expected)
    }

    /// Whether nothing of the topic is left that a prune removes.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.subscribers.is_empty()
            && self.snapshots.is_empty()
            && self.groups == 0
            && self.incarnations == 0
    }
}

/// The whole roots of a head's histories.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recent {
    pub(crate) messages: Vec<LineageEntry>,
    pub(crate) subscribers: Vec<LineageEntry>,
}

/// A topic during one action.
pub(crate) struct OpenTopic<'t, 'a, 's> {
    pub(crate) scope: &'t mut Scope<'a, 's>,
    pub(crate) root: TopicRoot,
    pub(crate) head: CoordinatorObject,
    pub(crate) books: Books,
    pub(crate) address: TopicAddress,
    pub(crate) policy: TopicPolicy,
    pub(crate) administrator: Option<PublicKey>,
    /// The position that the first message of this action gets.
    first: TopicPosition,
}

/// What a topic notes as changed in the feed of its collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicNote {
    /// The position of the first message that was added.
    pub first: TopicPosition,
    /// The position behind the last.
    pub next: TopicPosition,
}

impl TopicNote {
    /// Reads a note out of a [`ChangeRecord`](weald_collections::ChangeRecord).
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, codec::CodecError> {
        codec::decode(kind::NOTE, bytes)
    }
}

impl<'t, 'a, 's> OpenTopic<'t, 'a, 's> {
    /// Makes the blocks of a new topic; returns what the header says of them.
    pub(crate) fn create(scope: &mut Scope<'_, '_>, options: &TopicOptions) -> Result<Bytes, Stop> {
        let now = scope.time();
        let topic = options.address.topic;
        let mut head = CoordinatorObject::new(topic, options.policy.digest(), now);
        head.expires_at = now.after(options.policy.inactivity);
        let root = TopicRoot {
            head: scope.insert(kind::HEAD_BLOCK, head.encode())?,
            books: scope
                .insert(kind::BOOKS_BLOCK, codec::encode(kind::BOOKS, &Books::default()))?,
            bodies: BTree::create(scope, bodies_capacity())?.root(),
            publishers: BTree::create(scope, records_capacity())?.root(),
            groups: BTree::create(scope, records_capacity())?.root(),
        };
        Ok(codec::encode(kind::ROOT, &root))
    }

    /// Reads head and books.
    pub(crate) fn load(
        scope: &'t mut Scope<'a, 's>,
        administrator: Option<PublicKey>,
    ) -> Result<Self, Stop> {
        let (id, header) = (scope.collection(), scope.header());
        let options: TopicOptions = codec::decode(kind::OPTIONS, &header.options)
            .map_err(|error| unreadable(id, &error))?;
        let root: TopicRoot =
            codec::decode(kind::ROOT, &header.root).map_err(|error| unreadable(id, &error))?;
        let (head, books) = read_head_and_books(scope, &root)?;
        let TopicOptions { address, policy, .. } = options;
        let first = head.next;
        Ok(Self { scope, root, head, books, address, policy, administrator, first })
    }

    pub(crate) fn now(&self) -> Time {
        self.scope.time()
    }

    pub(crate) fn pages(&mut self) -> BlockPages<'_, Scope<'a, 's>> {
        BlockPages(self.scope)
    }

    /// Refuses what only an active topic does.
    pub(crate) fn check_active(&self) -> Result<(), Stop> {
        match self.head.state {
            ChannelState::Active => Ok(()),
            ChannelState::Deleted => Err(refused(TopicRefusal::Deleted)),
            ChannelState::Recovering | ChannelState::Failed => {
                Err(refused(TopicRefusal::NotActive))
            }
        }
    }

    /// Writes what has changed: the versions move on, once for the whole action.
    pub(crate) fn finish(mut self) -> Result<(), Stop> {
        let leaving = self.advance();
        if !leaving.is_empty() && self.head.state == ChannelState::Active {
            self.keep(leaving)?;
        }
        if self.head.next > self.first {
            let note = TopicNote { first: self.first, next: self.head.next };
            self.scope.note_change(codec::encode(kind::NOTE, &note));
        }
        self.scope.set_items(self.books.messages.len());
        let (head, books) = (self.head.encode(), self.books.encode());
        rewrite(self.scope, self.root.head, kind::HEAD_BLOCK, head)?;
        rewrite(self.scope, self.root.books, kind::BOOKS_BLOCK, books)?;
        Ok(())
    }

    fn advance(&mut self) -> Leaving {
        let (now, head, books) = (self.scope.time(), &mut self.head, &mut self.books);
        let mut leaving = Leaving::default();
        let mut is_changed = false;
        let (cid, count) = (books.messages.cid(), books.messages.len());
        if cid != head.messages.root {
            let left = head.advance_messages(cid, count);
            let entry = LineageEntry { version: head.messages.version, root: cid };
            books.recent.messages.push(entry);
            leaving.messages = books.recent.messages.drain(..left).collect();
            is_changed = true;
        }
        let (cid, count) = (books.subscribers.cid(), books.subscribers.len());
        if cid != head.subscribers.root {
            let left = head.advance_subscribers(cid, count);
            let entry = LineageEntry { version: head.subscribers.version, root: cid };
            books.recent.subscribers.push(entry);
            leaving.subscribers = books.recent.subscribers.drain(..left).collect();
            is_changed = true;
        }
        if is_changed && head.state == ChannelState::Active {
            head.modified_at = now;
            let sides = [books.messages.summary(), books.subscribers.summary()];
            let latest = sides.into_iter().flatten().map(|summary| summary.latest).max();
            head.expires_at = latest.map_or(now, |latest| latest.max(now));
            head.expires_at = head.expires_at.after(self.policy.inactivity);
        }
        leaving
    }

    /// Keeps the versions that have left the head in the last snapshot, or in a new one behind it.
    fn keep(&mut self, leaving: Leaving) -> Result<(), Stop> {
        let now = self.now();
        let last = self.books.snapshots.last().copied();
        let open = last.map(|link| read_snapshot(self.scope, link.block)).transpose()?;
        let (snapshot, block) = match (open, last) {
            (Some(open), Some(link)) if open.has_room_for(&leaving) => {
                self.books.snapshots.pop();
                let snapshot = open.with(leaving, now);
                rewrite(self.scope, link.block, kind::SNAPSHOT_BLOCK, snapshot.encode())?;
                (snapshot, link.block)
            }
            _ => {
                let previous = last.map(|link| link.cid);
                let topic = self.address.topic;
                let snapshot = CoordinatorSnapshot::new(topic, previous, leaving, now);
                let block = self.scope.insert(kind::SNAPSHOT_BLOCK, snapshot.encode())?;
                (snapshot, block)
            }
        };
        let (cid, expires_at) = (snapshot.cid(), snapshot.expires_at);
        self.books.snapshots.push(SnapshotLink { cid, block, expires_at });
        self.head.previous = Some(cid);
        if self.books.snapshots.len() > SNAPSHOTS_MAX {
            self.drop_oldest_snapshot()?;
        }
        Ok(())
    }

    /// Forgets the oldest snapshot.
    pub(crate) fn drop_oldest_snapshot(&mut self) -> Result<(), Stop> {
        let oldest = self.books.snapshots.remove(0);
        self.scope.delete(oldest.block)?;
        if self.books.snapshots.is_empty() {
            self.head.previous = None;
        }
        Ok(())
    }
}

/// The head and the books of a topic.
pub(crate) fn read_head_and_books<R: BlockReader + ?Sized>(
    reader: &mut R,
    root: &TopicRoot,
) -> Result<(CoordinatorObject, Books), Halt> {
    let stored = reader.expect(root.head, kind::HEAD_BLOCK)?;
    let head = CoordinatorObject::decode(&stored.block.payload)
        .map_err(|error| Fault::Damaged { id: root.head, detail: error.to_string() })?;
    let stored = reader.expect(root.books, kind::BOOKS_BLOCK)?;
    let books = codec::decode(kind::BOOKS, &stored.block.payload)
        .map_err(|error| unreadable(root.books, &error))?;
    Ok((head, books))
}

/// The snapshot in a block.
pub(crate) fn read_snapshot<R: BlockReader + ?Sized>(
    reader: &mut R,
    block: BlockId,
) -> Result<CoordinatorSnapshot, Halt> {
    let stored = reader.expect(block, kind::SNAPSHOT_BLOCK)?;
    CoordinatorSnapshot::decode(&stored.block.payload).map_err(|error| unreadable(block, &error))
}
