//! Reading a topic's blocks.

use std::{cmp::Ordering, ops::Bound};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_collections::{
    BlockReader, ReadError,
    btree::{Direction, Scan},
    open,
};
use weald_core::{BlockId, Halt, PeerId, Time, codec};

use super::{
    GroupState, Topic, TopicOptions, TopicType,
    blocks::{BlockPages, bodies, records, unreadable},
    books::{Books, TopicRoot, read_head_and_books, read_snapshot},
    publishers::last_run,
};
use crate::{
    ChannelState, Cid, CoordinatorObject, CoordinatorSnapshot, Incarnation, Lease, Leaving,
    Message, MessageEntry, Page, PageMap, SubscriberId, TopicPosition, TopicVersion, kind,
    limits::DELIVERY_READ_BYTES_MAX,
};

/// Why a topic could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicReadError {
    /// The topic has ended, which was proved.
    #[error("the topic has ended")]
    Deleted,
    /// As for any collection.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Halt> for TopicReadError {
    fn from(halt: Halt) -> Self {
        Self::Read(halt.into())
    }
}

/// What a topic has at its positions.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum TopicItem {
    /// A message.
    Message {
        /// Where it stands.
        position: TopicPosition,
        /// The message.
        message: Message,
    },
    /// Messages that have expired or were pruned.
    Gone {
        /// The first of them.
        first: TopicPosition,
        /// The last of them.
        last: TopicPosition,
    },
}

impl TopicItem {
    /// The first and the last position that it is about.
    pub const fn range(&self) -> (TopicPosition, TopicPosition) {
        match self {
            Self::Message { position, .. } => (*position, *position),
            Self::Gone { first, last } => (*first, *last),
        }
    }
}

/// A part of a topic without holes: what is not there is said to be gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicPage {
    /// What is there, in order.
    pub items: Vec<TopicItem>,
    /// The position behind the part.
    pub next: TopicPosition,
    /// The position that the next message of the topic gets.
    pub end: TopicPosition,
}

/// A topic as it was opened.
struct Opened {
    root: TopicRoot,
    head: CoordinatorObject,
    books: Books,
    options: TopicOptions,
}

impl Topic {
    fn opened<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<Opened, TopicReadError> {
        let opened = self.opened_if_ended(reader)?;
        if opened.head.state == ChannelState::Deleted {
            return Err(TopicReadError::Deleted);
        }
        Ok(opened)
    }

    fn opened_if_ended<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<Opened, TopicReadError> {
        let header = open(reader, &self.collection(), &TopicType::type_name())?;
        let id = header.id();
        let root =
            codec::decode(kind::ROOT, &header.root).map_err(|error| unreadable(id, &error))?;
        let options = codec::decode(kind::OPTIONS, &header.options)
            .map_err(|error| unreadable(id, &error))?;
        let (head, books) = read_head_and_books(reader, &root)?;
        Ok(Opened { root, head, books, options })
    }

    /// The head.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn head<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<CoordinatorObject, TopicReadError> {
        Ok(self.opened(reader)?.head)
    }

    /// The head, that of a topic that has ended, too.
    ///
    /// # Errors
    /// As for any collection.
    pub fn any_head<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<CoordinatorObject, TopicReadError> {
        Ok(self.opened_if_ended(reader)?.head)
    }

    /// The settings that the topic was created with.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn options<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<TopicOptions, TopicReadError> {
        Ok(self.opened(reader)?.options)
    }

    /// When the next thing expires: a `Prune` has work from then on. `None` when nothing does. Of a
    /// topic that has ended what is left is due at once.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn due<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<Option<Time>, TopicReadError> {
        let Opened { head, books, .. } = self.opened_if_ended(reader)?;
        if head.state == ChannelState::Deleted {
            return Ok((!books.is_empty()).then_some(Time::ZERO));
        }
        let sides = [books.messages.summary(), books.subscribers.summary()];
        let sides = sides.into_iter().flatten().map(|summary| summary.earliest);
        let snapshots = books.snapshots.first().map(|link| link.expires_at);
        let due = sides.chain(snapshots).chain([head.expires_at]).min();
        Ok(due.filter(|due| *due < Time::MAX))
    }

    /// Up to `limit` messages from `from` on that have not expired at `now`, with what is gone
    /// between them.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn read<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: TopicPosition,
        (limit, now): (usize, Time),
    ) -> Result<TopicPage, TopicReadError> {
        let Opened { root, head, books, .. } = self.opened(reader)?;
        let end = head.next;
        let mut entries = books.messages.range(&mut BlockPages(reader), from, limit)?;
        let is_full = entries.len() >= limit;
        let is_last = !is_cut(&mut entries) && !is_full;
        let mut next = from.max(TopicPosition(1));
        let mut items = Vec::with_capacity(entries.len());
        let mut bodies = Bodies::of(reader, &root, &entries);
        for entry in entries.iter().filter(|entry| entry.expires_at > now) {
            push_gone(&mut items, next, entry.position);
            let message = bodies.message(entry)?;
            items.push(TopicItem::Message { position: entry.position, message });
            next = entry.position.next();
        }
        let behind = if is_last { end } else { entries.last().map_or(next, |e| e.position.next()) };
        push_gone(&mut items, next, behind);
        Ok(TopicPage { items, next: behind.max(next), end })
    }

    /// Up to `limit` entries of messages from `from` on, without their bodies.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn entries<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: TopicPosition,
        limit: usize,
    ) -> Result<Vec<MessageEntry>, TopicReadError> {
        let books = self.opened(reader)?.books;
        Ok(books.messages.range(&mut BlockPages(reader), from, limit)?)
    }

    /// The message at a position, if it is retained.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn message<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        position: TopicPosition,
    ) -> Result<Option<Message>, TopicReadError> {
        let Opened { root, books, .. } = self.opened(reader)?;
        let entry = books.messages.get(&mut BlockPages(reader), position)?;
        Ok(entry.map(|entry| read_message(reader, &root, &entry)).transpose()?)
    }

    /// The subscriptions written after `version`, up to `limit` of them.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn subscribers<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        version: TopicVersion,
        limit: usize,
    ) -> Result<Vec<Lease>, TopicReadError> {
        let books = self.opened(reader)?.books;
        Ok(books.subscribers.changed_after(&mut BlockPages(reader), version, limit)?)
    }

    /// The subscription `id`, if it is known: live, or ended and not yet forgotten.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn lease_of<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        id: &SubscriberId,
    ) -> Result<Option<Lease>, TopicReadError> {
        let books = self.opened(reader)?.books;
        Ok(books.subscribers.get(&mut BlockPages(reader), id)?)
    }

    /// The highest run of a publisher that the topic remembers. A publisher that has lost its count
    /// begins a higher one.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn last_run<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        publisher: &PeerId,
    ) -> Result<Option<Incarnation>, TopicReadError> {
        let root = self.opened(reader)?.root;
        Ok(last_run(reader, &records(root.publishers), publisher)?)
    }

    /// Up to `depth` snapshots, newest first, and before them what the head's histories hold, as
    /// whole roots: the versions of the messages and those of the subscriptions, oldest first.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn history<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        depth: usize,
    ) -> Result<Leaving, TopicReadError> {
        let snapshots = self.lineage(reader, depth)?;
        let recent = self.opened(reader)?.books.recent;
        let older = snapshots.into_iter().rev();
        let (messages, subscribers): (Vec<_>, Vec<_>) =
            older.map(|snapshot| (snapshot.message_history, snapshot.subscriber_history)).unzip();
        Ok(Leaving {
            messages: messages.into_iter().flatten().chain(recent.messages).collect(),
            subscribers: subscribers.into_iter().flatten().chain(recent.subscribers).collect(),
        })
    }

    /// A group, if there is one.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn group<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        name: &str,
    ) -> Result<Option<GroupState>, TopicReadError> {
        let root = self.opened(reader)?.root;
        let entry = records(root.groups).get(reader, name.as_bytes())?;
        let decode = |value: Bytes| codec::decode(kind::RECORD, &value);
        let group = entry.map(|entry| decode(entry.value)).transpose();
        Ok(group.map_err(|error| unreadable(root.groups, &error))?)
    }

    /// Up to `depth` snapshots, newest first.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn lineage<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        depth: usize,
    ) -> Result<Vec<CoordinatorSnapshot>, TopicReadError> {
        let books = self.opened(reader)?.books;
        let links = books.snapshots.iter().rev().take(depth);
        Ok(links.map(|link| read_snapshot(reader, link.block)).collect::<Result<_, _>>()?)
    }

    /// All pages of both collections by their content, with the roots of messages and subscribers:
    /// what an export or a merge starts from.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn pages<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<(PageMap, Cid, Cid), TopicReadError> {
        let books = self.opened(reader)?.books;
        let mut pages = PageMap::new();
        let mut keep = |page: Bytes| {
            pages.insert(page);
        };
        let blocks = &mut BlockPages(reader);
        books.messages.for_each_page(blocks, |_, page: &Page<MessageEntry, _>| {
            keep(page.encode());
        })?;
        books.subscribers.for_each_page(blocks, |_, page: &Page<Lease, _>| keep(page.encode()))?;
        Ok((pages, books.messages.cid(), books.subscribers.cid()))
    }

    /// Bytes of all blocks of bodies, pages and records, for measurements.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn bodies_count<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<u64, TopicReadError> {
        let root = self.opened(reader)?.root;
        let everything = weald_collections::btree::EVERYTHING;
        let tree = bodies(root.bodies);
        let mut count = 0;
        for entry in tree.range(reader, everything, Direction::Forward) {
            entry?;
            count += 1;
        }
        Ok(count)
    }
}

/// Cuts entries to what one read delivers; whether any were left out.
fn is_cut(entries: &mut Vec<MessageEntry>) -> bool {
    let mut bytes = 0;
    let is_over = |entry: &MessageEntry| {
        bytes += u64::from(entry.bytes);
        bytes > DELIVERY_READ_BYTES_MAX
    };
    let over = entries.iter().position(is_over).map(|nth| nth.max(1));
    let is_cut = over.is_some_and(|nth| nth < entries.len());
    entries.truncate(over.unwrap_or(usize::MAX));
    is_cut
}

fn push_gone(items: &mut Vec<TopicItem>, from: TopicPosition, to: TopicPosition) {
    if from < to {
        items.push(TopicItem::Gone { first: from, last: TopicPosition(to.0 - 1) });
    }
}

fn read_message<R: BlockReader + ?Sized>(
    reader: &mut R,
    root: &TopicRoot,
    entry: &MessageEntry,
) -> Result<Message, Halt> {
    Bodies::of(reader, root, std::slice::from_ref(entry)).message(entry)
}

/// The bodies of entries that follow one another, read in one pass over their tree.
struct Bodies<'r, R: ?Sized> {
    root: BlockId,
    scan: Scan<'r, R>,
}

impl<'r, R: BlockReader + ?Sized> Bodies<'r, R> {
    fn of(reader: &'r mut R, root: &TopicRoot, entries: &[MessageEntry]) -> Self {
        let key = |entry: Option<&MessageEntry>| entry.map_or(0, |e| e.position.0).to_be_bytes();
        let (first, last) = (key(entries.first()), key(entries.last()));
        let bounds = (Bound::Included(&first[..]), Bound::Included(&last[..]));
        let scan = bodies(root.bodies).range(reader, bounds, Direction::Forward);
        Self { root: root.bodies, scan }
    }

    /// The message of an entry behind those before.
    fn message(&mut self, entry: &MessageEntry) -> Result<Message, Halt> {
        let key = entry.position.0.to_be_bytes();
        for found in self.scan.by_ref() {
            let found = found?;
            match found.key[..].cmp(&key[..]) {
                Ordering::Less => {}
                Ordering::Equal => {
                    let message = Message::decode(&found.value);
                    return message.map_err(|error| unreadable(self.root, &error));
                }
                Ordering::Greater => break,
            }
        }
        let detail = format!("a body is not there: position={}", entry.position);
        Err(weald_core::Fault::Damaged { id: self.root, detail }.into())
    }
}
