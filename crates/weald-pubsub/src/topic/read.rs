//! Reading a topic's blocks.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_collections::{BlockReader, ReadError, open};
use weald_core::{Halt, PeerId, Time, codec};

use super::{
    GroupState, Topic, TopicOptions, TopicType,
    blocks::{BlockPages, records, unreadable},
    bodies::{Kept, chunks, count, kept, whole},
    books::{Books, TopicRoot, read_head_and_books, read_snapshot},
    publishers::last_run,
};
use crate::{
    BodyAnswer, BodyRequest, ChannelState, Cid, CoordinatorObject, CoordinatorSnapshot,
    Incarnation, LargeMessage, Lease, Leaving, Message, MessageEntry, Page, PageMap, SubscriberId,
    TopicPosition, TopicVersion, kind, limits::DELIVERY_READ_BYTES_MAX,
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
    /// A message whose body is fetched by itself.
    Large {
        /// Where it stands.
        position: TopicPosition,
        /// Everything of it but the body.
        message: LargeMessage,
    },
}

impl TopicItem {
    /// The first and the last position that it is about.
    pub const fn range(&self) -> (TopicPosition, TopicPosition) {
        match self {
            Self::Message { position, .. } | Self::Large { position, .. } => (*position, *position),
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

/// How bodies in chunks are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LargeBodies {
    /// With their messages.
    Whole,
    /// Not at all.
    Left,
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
        self.page(reader, from, (limit, now), LargeBodies::Whole)
    }

    /// As [`Topic::read`], without the bodies that are kept in chunks: a subscriber fetches these one
    /// by one when it comes to them ([`Topic::body`]).
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn read_lazily<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: TopicPosition,
        (limit, now): (usize, Time),
    ) -> Result<TopicPage, TopicReadError> {
        self.page(reader, from, (limit, now), LargeBodies::Left)
    }

    fn page<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        from: TopicPosition,
        (limit, now): (usize, Time),
        large: LargeBodies,
    ) -> Result<TopicPage, TopicReadError> {
        let Opened { root, head, books, .. } = self.opened(reader)?;
        let end = head.next;
        let mut entries = books.messages.range(&mut BlockPages(reader), from, limit)?;
        let is_full = entries.len() >= limit;
        let is_last = !is_cut(&mut entries, large) && !is_full;
        let mut next = from.max(TopicPosition(1));
        let mut items = Vec::with_capacity(entries.len());
        let found = kept(reader, root.bodies, &entries, |entry| entry.expires_at > now)?;
        for (entry, kept) in found {
            let position = entry.position;
            push_gone(&mut items, next, position);
            items.push(match (kept, large) {
                (Kept::Large(message), LargeBodies::Left) => TopicItem::Large { position, message },
                (kept, _) => {
                    let message = whole(reader, root.bodies, (&entry, kept))?;
                    TopicItem::Message { position, message }
                }
            });
            next = position.next();
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
        let mut found = kept(reader, root.bodies, entry.as_slice(), |_| true)?;
        let Some((entry, kept)) = found.pop() else { return Ok(None) };
        Ok(Some(whole(reader, root.bodies, (&entry, kept))?))
    }

    /// Some chunks of the body of a large message that has not expired at `now`. Of the body only
    /// these are read.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn body<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        request: &BodyRequest,
        now: Time,
    ) -> Result<BodyAnswer, TopicReadError> {
        let Opened { root, head, books, .. } = self.opened(reader)?;
        if request.position >= head.next || !request.is_bounded() {
            return Ok(BodyAnswer::NotHere);
        }
        let entry = books.messages.get(&mut BlockPages(reader), request.position)?;
        let Some(entry) = entry.filter(|entry| entry.expires_at > now) else {
            return Ok(BodyAnswer::Gone);
        };
        let mut found = kept(reader, root.bodies, &[entry], |_| true)?;
        let Some((_, Kept::Large(large))) = found.pop() else { return Ok(BodyAnswer::NotHere) };
        let range = request.range(&large);
        if large.body_digest != request.digest || range.is_empty() {
            return Ok(BodyAnswer::NotHere);
        }
        let found = chunks(reader, root.bodies, (request.position, &large), range)?;
        Ok(BodyAnswer::Chunks(found))
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

    /// How many messages are kept with their bodies: as many as the head says, or blocks are damaged.
    /// Reads all of them.
    ///
    /// # Errors
    /// See [`TopicReadError`].
    pub fn bodies_count<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
    ) -> Result<u64, TopicReadError> {
        let root = self.opened(reader)?.root;
        Ok(count(reader, root.bodies)?)
    }
}

/// Cuts entries to what one read delivers; whether any were left out.
fn is_cut(entries: &mut Vec<MessageEntry>, large: LargeBodies) -> bool {
    let mut bytes = 0;
    let is_over = |entry: &MessageEntry| {
        let is_carried = entry.chunk_count() == 0 || large == LargeBodies::Whole;
        bytes += if is_carried { u64::from(entry.bytes) } else { 0 };
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
