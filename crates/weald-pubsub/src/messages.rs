//! The messages of a topic: which there are at which positions, without their bodies.
//!
//! A leaf covers [`PAGE_FANOUT`] positions that begin at a multiple of it, an inner page as many
//! pages of the level below, and the root is the lowest page that covers all. The shape follows from
//! the positions alone, so that messages that are dropped at the front or added at the end leave
//! every other page as it is.

use serde::{Deserialize, Serialize};
use weald_core::{
    BlockKind, Digest, PeerId, Time,
    codec::{
        CodecError, Kind,
        by_hand::{Reader, Writer},
    },
};

use crate::{
    Cid, Incarnation, Message, MessageId, PublisherSequence, Source, TopicAddress, TopicPosition,
    kind,
    limits::PAGE_FANOUT,
    message::chunk_count,
    page::{
        Children, Link, Page, PageEntry, PageRef, Pages, PagesMut, Summary, collect, for_each_page,
        malformed,
    },
};

const FANOUT_BITS: u32 = PAGE_FANOUT.trailing_zeros();

/// A message in its collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageEntry {
    /// Where it stands; the `addedInVersion` of the source document.
    pub position: TopicPosition,
    /// Its id; the body is kept under it.
    pub id: MessageId,
    /// Which message of which publisher it is.
    pub source: Source,
    /// When it expires.
    pub expires_at: Time,
    /// Bytes of its body.
    pub bytes: u32,
}

impl MessageEntry {
    /// The entry of `message` at `position`.
    pub fn new(address: &TopicAddress, position: TopicPosition, message: &Message) -> Self {
        let bytes = u32::try_from(message.body.len()).unwrap_or(u32::MAX);
        let (id, source) = (message.id(address), message.source());
        Self { position, id, source, expires_at: message.expires_at, bytes }
    }

    /// Chunks in which the body is kept; none where it is kept with its message.
    pub const fn chunk_count(&self) -> u32 {
        chunk_count(self.bytes)
    }
}

/// Bytes that an entry takes at least where it is encoded.
const ENTRY_BYTES_MIN: usize = 38;

/// A leaf is encoded as its number, its publishers, each once in the order of their first message here, and its
/// entries, with the position less the leaf's first and the publisher by its place in that list.
impl PageEntry for MessageEntry {
    const KIND: Kind = kind::MESSAGE_PAGE;
    const BLOCK: BlockKind = kind::MESSAGE_PAGE_BLOCK;
    // The id, and numbers of which two are times.
    const ENCODED_BYTES: usize = 72;

    fn write(entries: &[Self], writer: &mut Writer) {
        writer.number(entries.first().map_or(0, |entry| index_of(entry.position.0, 0)));
        let (publishers, places) = publishers_of(entries);
        writer.len(publishers.len());
        publishers.iter().for_each(|publisher| writer.array(publisher.digest().as_bytes()));
        writer.len(entries.len());
        for (entry, place) in entries.iter().zip(places) {
            writer.byte(slot_of(entry.position.0, 0));
            writer.array(entry.id.digest().as_bytes());
            writer.byte(place);
            writer.number(entry.source.incarnation.0);
            writer.number(entry.source.sequence.0);
            writer.number(entry.expires_at.as_millis());
            writer.number(entry.bytes.into());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        let first = reader.number()?.checked_mul(PAGE_FANOUT).ok_or_else(malformed)?;
        let len = reader.len(size_of::<Digest>())?;
        let publishers = (0..len).map(|_| reader.array().map(Digest::from_bytes));
        let publishers: Vec<PeerId> =
            publishers.map(|digest| digest.map(PeerId::from_digest)).collect::<Result<_, _>>()?;
        let len = reader.len(ENTRY_BYTES_MIN)?;
        let entries = (0..len).map(|_| read_entry(reader, first, &publishers));
        let entries: Vec<Self> = entries.collect::<Result<_, _>>()?;
        if entries.is_sorted_by(|a, b| a.position < b.position) {
            Ok(entries)
        } else {
            Err(malformed())
        }
    }

    fn version(&self) -> u64 {
        self.position.0
    }

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// The publishers of entries, each once, and the place of each entry's in that list.
fn publishers_of(entries: &[MessageEntry]) -> (Vec<PeerId>, Vec<u8>) {
    let mut publishers = Vec::new();
    let place = |entry: &MessageEntry| {
        let publisher = entry.source.publisher;
        let known = publishers.iter().rposition(|known| *known == publisher);
        let place = known.unwrap_or_else(|| {
            publishers.push(publisher);
            publishers.len() - 1
        });
        u8::try_from(place).expect("a leaf has few entries")
    };
    let places = entries.iter().map(place).collect();
    (publishers, places)
}

/// An entry of the leaf whose first position is `first`.
fn read_entry(
    reader: &mut Reader<'_>,
    first: u64,
    publishers: &[PeerId],
) -> Result<MessageEntry, CodecError> {
    let slot = u64::from(reader.byte()?);
    let id = MessageId(Digest::from_bytes(reader.array()?));
    let publisher = publishers.get(usize::from(reader.byte()?)).ok_or_else(malformed)?;
    let source = Source {
        publisher: *publisher,
        incarnation: Incarnation(reader.number()?),
        sequence: PublisherSequence(reader.number()?),
    };
    let expires_at = Time::from_millis(reader.number()?);
    let bytes = u32::try_from(reader.number()?).map_err(|_| malformed())?;
    let is_here = slot < PAGE_FANOUT;
    let position = first.checked_add(slot).filter(|_| is_here).ok_or_else(malformed)?;
    Ok(MessageEntry { position: TopicPosition(position), id, source, expires_at, bytes })
}

/// A version of a topic's messages: the root of its pages. The default has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageCollection<L = ()> {
    root: Option<PageRef<L>>,
    level: u8,
}

impl<L> Default for MessageCollection<L> {
    fn default() -> Self {
        Self { root: None, level: 0 }
    }
}

/// Puts an entry at a position, or takes the one there away.
pub type MessageEdit = (TopicPosition, Option<MessageEntry>);

impl<L: Link> MessageCollection<L> {
    /// The content id of the root.
    pub fn cid(&self) -> Cid {
        self.root.map_or(Cid::EMPTY, |root| root.cid)
    }

    /// What is known of all messages; `None` when there is none.
    pub fn summary(&self) -> Option<Summary> {
        self.root.map(|root| root.summary)
    }

    /// How many messages there are.
    pub fn len(&self) -> u64 {
        self.summary().map_or(0, |summary| summary.count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The root page.
    pub fn root(&self) -> Option<&PageRef<L>> {
        self.root.as_ref()
    }

    /// The height of the root page: 0 for a leaf.
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The collection whose root page is `root`.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn open<P>(pages: &mut P, root: PageRef<L>) -> Result<Self, P::Error>
    where
        P: Pages<MessageEntry, Link = L> + ?Sized,
    {
        let level = match pages.load(&root)? {
            Page::Leaf(_) => 0,
            Page::Inner { level, .. } => level,
        };
        Ok(Self { root: Some(root), level })
    }

    /// The message at `position`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn get<P>(
        &self,
        pages: &mut P,
        position: TopicPosition,
    ) -> Result<Option<MessageEntry>, P::Error>
    where
        P: Pages<MessageEntry, Link = L> + ?Sized,
    {
        let found = self.range(pages, position, 1)?.pop();
        Ok(found.filter(|entry| entry.position == position))
    }

    /// Up to `limit` messages from `from` on.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn range<P>(
        &self,
        pages: &mut P,
        from: TopicPosition,
        limit: usize,
    ) -> Result<Vec<MessageEntry>, P::Error>
    where
        P: Pages<MessageEntry, Link = L> + ?Sized,
    {
        let below = |summary: &Summary| summary.last >= from.0;
        let is_picked = |entry: &MessageEntry| entry.position >= from;
        collect(pages, self.root.as_ref(), limit, (below, is_picked))
    }

    /// Up to `limit` messages that have expired at `now`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn expired<P>(
        &self,
        pages: &mut P,
        now: Time,
        limit: usize,
    ) -> Result<Vec<MessageEntry>, P::Error>
    where
        P: Pages<MessageEntry, Link = L> + ?Sized,
    {
        let below = |summary: &Summary| summary.earliest <= now;
        let is_picked = |entry: &MessageEntry| entry.expires_at <= now;
        collect(pages, self.root.as_ref(), limit, (below, is_picked))
    }

    /// Visits each page from the root down.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn for_each_page<P>(
        &self,
        pages: &mut P,
        mut visit: impl FnMut(&PageRef<L>, &Page<MessageEntry, L>),
    ) -> Result<(), P::Error>
    where
        P: Pages<MessageEntry, Link = L> + ?Sized,
    {
        for_each_page(pages, self.root.as_ref(), &mut visit)
    }

    /// The collection after `edits`, which are in the order of their positions, each once.
    ///
    /// # Errors
    /// When a page cannot be read or kept.
    pub fn edit<P>(self, pages: &mut P, edits: &[MessageEdit]) -> Result<Self, P::Error>
    where
        P: PagesMut<MessageEntry, Link = L> + ?Sized,
    {
        debug_assert!(edits.is_sorted_by(|a, b| a.0 < b.0), "edits are in order");
        let grown = self.grown(pages, edits)?;
        let root = edit_page(pages, grown.root, grown.level, edits)?;
        Self { root, level: grown.level }.collapsed(pages)
    }

    /// A collection whose root covers what is there and what will be put.
    fn grown<P>(mut self, pages: &mut P, edits: &[MessageEdit]) -> Result<Self, P::Error>
    where
        P: PagesMut<MessageEntry, Link = L> + ?Sized,
    {
        let mut added = edits.iter().filter(|(_, entry)| entry.is_some()).map(|(at, _)| at.0);
        let Some(low) = added.next() else { return Ok(self) };
        let high = added.next_back().unwrap_or(low);
        let (low, high) = match self.summary() {
            Some(summary) => (low.min(summary.first), high.max(summary.last)),
            None => (low, high),
        };
        let level = (0..).find(|&level| index_of(low, level) == index_of(high, level));
        let level = level.expect("the highest level covers all positions").max(self.level);
        let Some(mut root) = self.root else { return Ok(Self { root: None, level }) };
        while self.level < level {
            self.level += 1;
            let children = vec![(slot_of(root.summary.first, self.level), root)];
            root = pages.save(None, &Page::Inner { level: self.level, children })?;
        }
        self.root = Some(root);
        Ok(self)
    }

    /// Gives up roots that have one child only.
    fn collapsed<P>(mut self, pages: &mut P) -> Result<Self, P::Error>
    where
        P: PagesMut<MessageEntry, Link = L> + ?Sized,
    {
        while let Some(root) = self.root.filter(|root| self.level > 0 && is_lone(root, self.level))
        {
            let children = inner(pages, &root, self.level)?;
            let &[(_, child)] = &children[..] else {
                return Err(pages.malformed(&root, "a page for one child has others"));
            };
            pages.release(&root)?;
            self = Self { root: Some(child), level: self.level - 1 };
        }
        if self.root.is_none() {
            self.level = 0;
        }
        Ok(self)
    }
}

/// Whether all entries of an inner page are below one child.
fn is_lone<L>(page: &PageRef<L>, level: u8) -> bool {
    index_of(page.summary.first, level - 1) == index_of(page.summary.last, level - 1)
}

/// Which page of a level covers `position`.
pub(crate) fn index_of(position: u64, level: u8) -> u64 {
    position.checked_shr(FANOUT_BITS * (u32::from(level) + 1)).unwrap_or(0)
}

/// The place of `position` in its page of a level.
fn slot_of(position: u64, level: u8) -> u8 {
    let place = position.checked_shr(FANOUT_BITS * u32::from(level)).unwrap_or(0) % PAGE_FANOUT;
    u8::try_from(place).expect("a page has few slots")
}

fn inner<P: Pages<MessageEntry> + ?Sized>(
    pages: &mut P,
    at: &PageRef<P::Link>,
    expected: u8,
) -> Result<Children<P::Link>, P::Error> {
    match pages.load(at)? {
        Page::Inner { level, children } if level == expected => Ok(children),
        _ => Err(pages.malformed(at, "it is not an inner page of its level")),
    }
}

fn edit_page<P: PagesMut<MessageEntry> + ?Sized>(
    pages: &mut P,
    at: Option<PageRef<P::Link>>,
    level: u8,
    edits: &[MessageEdit],
) -> Result<Option<PageRef<P::Link>>, P::Error> {
    let page = match level {
        0 => Page::Leaf(edit_leaf(pages, at.as_ref(), edits)?),
        _ => Page::Inner { level, children: edit_inner(pages, at.as_ref(), level, edits)? },
    };
    match (page.summary(), &at) {
        (Some(_), _) => pages.save(at.as_ref(), &page).map(Some),
        (None, Some(at)) => pages.release(at).map(|()| None),
        (None, None) => Ok(None),
    }
}

fn edit_leaf<P: PagesMut<MessageEntry> + ?Sized>(
    pages: &mut P,
    at: Option<&PageRef<P::Link>>,
    edits: &[MessageEdit],
) -> Result<Vec<MessageEntry>, P::Error> {
    let mut entries = match at.map(|at| pages.load(at)).transpose()? {
        None => Vec::new(),
        Some(Page::Leaf(entries)) => entries,
        Some(Page::Inner { .. }) => {
            return Err(pages.malformed(at.expect("it was read"), "it is not a leaf"));
        }
    };
    for &(position, entry) in edits {
        let place = entries.binary_search_by_key(&position, |entry| entry.position);
        match (place, entry) {
            (Ok(place), Some(entry)) => entries[place] = entry,
            (Ok(place), None) => drop(entries.remove(place)),
            (Err(place), Some(entry)) => entries.insert(place, entry),
            (Err(_), None) => {}
        }
    }
    Ok(entries)
}

fn edit_inner<P: PagesMut<MessageEntry> + ?Sized>(
    pages: &mut P,
    at: Option<&PageRef<P::Link>>,
    level: u8,
    edits: &[MessageEdit],
) -> Result<Children<P::Link>, P::Error> {
    let mut children = match at {
        Some(at) => inner(pages, at, level)?,
        None => Vec::new(),
    };
    for edits in edits.chunk_by(|a, b| slot_of(a.0.0, level) == slot_of(b.0.0, level)) {
        let slot = slot_of(edits[0].0.0, level);
        let place = children.binary_search_by_key(&slot, |(slot, _)| *slot);
        let child = place.ok().map(|place| children[place].1);
        match (place, edit_page(pages, child, level - 1, edits)?) {
            (Ok(place), Some(child)) => children[place].1 = child,
            (Ok(place), None) => drop(children.remove(place)),
            (Err(place), Some(child)) => children.insert(place, (slot, child)),
            (Err(_), None) => {}
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests;
