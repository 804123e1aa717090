//! Pages: the immutable, content-addressed pieces of a topic's collections.
//!
//! A collection is a tree of pages whose shape follows from its content alone, so that two
//! collections with the same content have the same root, and two that share content share pages.
//! A page names its children by their content ids and knows of each how many entries are below it,
//! which versions, and when the first and the last of them expire.
//!
//! The trees work over [`Pages`]: a [`PageMap`] of encoded pages by content id for readers, imports
//! and proofs, and the blocks of a topic at apply. Content ids cover a page as it is sent, without
//! the blocks that happen to hold it.

mod map;
mod walk;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    BlockId, BlockKind, Digest, Time,
    codec::{
        self, CodecError, Kind,
        by_hand::{Reader, Writer},
    },
};

use crate::{kind, limits::CONTENT_GRACE};

pub use map::{PageFault, PageMap};
pub(crate) use walk::{collect, for_each_page};

/// The content id of a page or snapshot: a digest of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cid(Digest);

impl Cid {
    /// The root of a collection without entries.
    pub const EMPTY: Self = Self(Digest::ZERO);

    /// The id of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Digest::of("weald page", &[bytes]))
    }

    /// The digest behind the id.
    pub const fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of the entries below a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// How many there are; never zero.
    pub count: u64,
    /// The lowest version: of a message its position, of a subscription the version that wrote it.
    pub first: u64,
    /// The highest version.
    pub last: u64,
    /// When the first of them expires.
    pub earliest: Time,
    /// When the last of them expires.
    pub latest: Time,
}

impl Summary {
    fn of<E: PageEntry>(entry: &E) -> Self {
        let (version, expires_at) = (entry.version(), entry.expires_at());
        Self { count: 1, first: version, last: version, earliest: expires_at, latest: expires_at }
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.max(other.latest),
        }
    }

    /// Until when the page is kept: as long as its contents and a grace time.
    pub fn kept_until(&self) -> Time {
        self.latest.after(CONTENT_GRACE)
    }
}

/// A page as its parent names it, and where to find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PageRef<L> {
    /// The content id.
    pub cid: Cid,
    /// What is below it.
    pub summary: Summary,
    /// Where it is; nothing where pages are found by content id.
    pub link: L,
}

/// A page.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Page<E, L> {
    /// Entries, in order; never none.
    Leaf(Vec<E>),
    /// Pages by their slot, in order; never none.
    Inner {
        /// The height of the page in a collection of messages, its depth in one of subscribers.
        level: u8,
        /// The children.
        children: Children<L>,
    },
}

/// The children of an inner page by their slots, in order.
pub type Children<L> = Vec<(u8, PageRef<L>)>;

/// What a collection holds.
pub trait PageEntry: Clone + PartialEq + fmt::Debug {
    /// The envelope of its pages.
    const KIND: Kind;
    /// The block of its pages.
    const BLOCK: BlockKind;
    /// Bytes of an encoded entry, about: what a leaf's buffer is made for.
    const ENCODED_BYTES: usize;

    /// Writes the entries of a leaf.
    fn write(entries: &[Self], writer: &mut Writer);

    /// Reads what [`PageEntry::write`] wrote, and checks that it can have written it.
    ///
    /// # Errors
    /// When the bytes are something else.
    fn read(reader: &mut Reader<'_>) -> Result<Vec<Self>, CodecError>;

    /// What the version range of a page covers.
    fn version(&self) -> u64;

    /// When the entry expires.
    fn expires_at(&self) -> Time;
}

impl<E: PageEntry, L: Link> Page<E, L> {
    /// What is known of the entries below it; `None` for a page without any.
    pub fn summary(&self) -> Option<Summary> {
        match self {
            Self::Leaf(entries) => entries.iter().map(Summary::of).reduce(Summary::and),
            Self::Inner { children, .. } => {
                children.iter().map(|(_, child)| child.summary).reduce(Summary::and)
            }
        }
    }

    /// The page with other links.
    pub fn map_links<M>(&self, mut link: impl FnMut(L) -> M) -> Page<E, M> {
        match self {
            Self::Leaf(entries) => Page::Leaf(entries.clone()),
            Self::Inner { level, children } => {
                let map = |&(slot, PageRef { cid, summary, link: old }): &(u8, PageRef<L>)| {
                    (slot, PageRef { cid, summary, link: link(old) })
                };
                Page::Inner { level: *level, children: children.iter().map(map).collect() }
            }
        }
    }

    /// The bytes that the content id covers and that are sent.
    pub fn encode(&self) -> Bytes {
        match self {
            // It has no links.
            Self::Leaf(entries) => encode_leaf(entries, E::KIND),
            Self::Inner { .. } => self.map_links(|_| ()).encode_as(E::KIND),
        }
    }

    /// How a parent names this page.
    ///
    /// # Panics
    /// When the page has no entries: such a page is never made.
    pub(crate) fn reference<M>(&self, link: M) -> PageRef<M> {
        let summary = self.summary().expect("a page that is kept has entries");
        PageRef { cid: Cid::of(&self.encode()), summary, link }
    }
}

/// What finds a page besides its content id, as it is encoded with that.
pub trait Link: Copy + PartialEq + fmt::Debug {
    /// Bytes that it takes where it is encoded, at most.
    const ENCODED_BYTES: usize;

    /// Writes it.
    fn write(self, writer: &mut Writer);

    /// Reads what [`Link::write`] wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// Where pages are found by content id.
impl Link for () {
    const ENCODED_BYTES: usize = 0;

    fn write(self, _: &mut Writer) {}

    fn read(_: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(())
    }
}

impl Link for BlockId {
    // The number in front has a marker.
    const ENCODED_BYTES: usize = Self::LEN + 1;

    fn write(self, writer: &mut Writer) {
        writer.number(self.placement().as_u64());
        writer.array(&self.to_bytes()[size_of::<u64>()..]);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut bytes = [0; Self::LEN];
        let (key, unique) = bytes.split_at_mut(size_of::<u64>());
        key.copy_from_slice(&reader.number()?.to_be_bytes());
        unique.copy_from_slice(&reader.array::<16>()?);
        Ok(Self::from_bytes(bytes))
    }
}

/// The variants of a page as they are encoded.
const LEAF: u64 = 0;
const INNER: u64 = 1;

/// A child as it is encoded takes about so many bytes, and at least so many.
const CHILD_BYTES: usize = 96;
const CHILD_BYTES_MIN: usize = 38;
/// And what stands before the entries of a page.
const HEAD_BYTES: usize = 64;

/// A leaf's bytes; it has no links, so it is the same for all kinds of them.
fn encode_leaf<E: PageEntry>(entries: &[E], kind: Kind) -> Bytes {
    let mut writer = Writer::new(kind, HEAD_BYTES + entries.len() * E::ENCODED_BYTES);
    writer.number(LEAF);
    E::write(entries, &mut writer);
    writer.finish()
}

fn write_child<L: Link>(&(slot, child): &(u8, PageRef<L>), writer: &mut Writer) {
    let PageRef { cid, summary, link } = child;
    writer.byte(slot);
    writer.array(cid.digest().as_bytes());
    let Summary { count, first, last, earliest, latest } = summary;
    for number in [count, first, last, earliest.as_millis(), latest.as_millis()] {
        writer.number(number);
    }
    link.write(writer);
}

fn read_child<L: Link>(reader: &mut Reader<'_>) -> Result<(u8, PageRef<L>), CodecError> {
    let (slot, cid) = (reader.byte()?, Cid(Digest::from_bytes(reader.array()?)));
    let summary = Summary {
        count: reader.number()?,
        first: reader.number()?,
        last: reader.number()?,
        earliest: Time::from_millis(reader.number()?),
        latest: Time::from_millis(reader.number()?),
    };
    Ok((slot, PageRef { cid, summary, link: L::read(reader)? }))
}

/// What is said of bytes that are no page.
pub(crate) fn malformed() -> CodecError {
    CodecError::Malformed("not a page".to_owned())
}

impl<E: PageEntry, L: Link> Page<E, L> {
    pub(crate) fn encode_as(&self, kind: Kind) -> Bytes {
        match self {
            Self::Leaf(entries) => encode_leaf(entries, kind),
            Self::Inner { level, children } => {
                let expected = HEAD_BYTES + children.len() * (CHILD_BYTES + L::ENCODED_BYTES);
                let mut writer = Writer::new(kind, expected);
                writer.number(INNER);
                writer.byte(*level);
                writer.len(children.len());
                children.iter().for_each(|child| write_child(child, &mut writer));
                writer.finish()
            }
        }
    }

    /// The bytes of the page in a block, and how a parent names it once it has a link. A leaf is encoded
    /// once: what is stored and what its id covers differ in the kind alone.
    pub(crate) fn stored(&self) -> (Bytes, PageRef<()>) {
        let summary = self.summary().expect("a page that is kept has entries");
        let reference = |sent: &[u8]| PageRef { cid: Cid::of(sent), summary, link: () };
        match self {
            Self::Leaf(entries) => {
                let sent = encode_leaf(entries, E::KIND);
                let mut stored = sent.to_vec();
                stored[KIND_AT] = kind::STORED_PAGE.0;
                (stored.into(), reference(&sent))
            }
            Self::Inner { .. } => {
                let stored = Bytes::copy_from_slice(&self.encode_as(kind::STORED_PAGE));
                (stored, reference(&self.encode()))
            }
        }
    }
}

/// Where the kind stands in an envelope, behind the version of the format.
const KIND_AT: usize = codec::ENVELOPE_LEN - 1;

impl<E: PageEntry, L: Link> Page<E, L> {
    /// Reads a page and checks that it is one: entries or children, each once and in order.
    pub(crate) fn decode_as(kind: Kind, bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::open(kind, bytes)?;
        let page = match reader.number()? {
            LEAF => Self::Leaf(E::read(&mut reader)?),
            INNER => {
                let level = reader.byte()?;
                let len = reader.len(CHILD_BYTES_MIN)?;
                let children = (0..len).map(|_| read_child(&mut reader));
                let children: Children<L> = children.collect::<Result<_, _>>()?;
                if !children.is_sorted_by(|(a, _), (b, _)| a < b) {
                    return Err(malformed());
                }
                Self::Inner { level, children }
            }
            _ => return Err(malformed()),
        };
        reader.end()?;
        page.summary().map(|_| page).ok_or_else(malformed)
    }
}

impl<E: PageEntry> Page<E, ()> {
    /// Reads what [`Page::encode`] made.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Self::decode_as(E::KIND, bytes)
    }
}

/// Where pages are found.
pub trait Pages<E: PageEntry> {
    /// What finds a page besides its content id.
    type Link: Link;
    /// Why a page was not read.
    type Error;

    /// Reads a page.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is another.
    fn load(&mut self, at: &PageRef<Self::Link>) -> Result<Page<E, Self::Link>, Self::Error>;

    /// The error for a page that is not what its place in the tree says.
    fn malformed(&self, at: &PageRef<Self::Link>, what: &'static str) -> Self::Error;
}

/// Where pages are made. What is made never changes the bytes under a content id.
pub trait PagesMut<E: PageEntry>: Pages<E> {
    /// Keeps a page that follows `before`, which is not needed any more.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn save(
        &mut self,
        before: Option<&PageRef<Self::Link>>,
        page: &Page<E, Self::Link>,
    ) -> Result<PageRef<Self::Link>, Self::Error>;

    /// Gives up a page that the collection does not need any more.
    ///
    /// # Errors
    /// When its place cannot be written.
    fn release(&mut self, at: &PageRef<Self::Link>) -> Result<(), Self::Error>;
}

#[cfg(test)]
mod tests {
    use weald_core::PeerId;

    use super::*;
    use crate::{
        Incarnation, Lease, MessageEntry, MessageId, PublisherSequence, Source,
        testing::{at, entry, lease},
    };

    /// A page as serde would encode it.
    #[derive(Serialize)]
    enum Plain<P, L> {
        Leaf(P),
        Inner(u8, Vec<(u8, PageRef<L>)>),
    }

    type PlainEntry = (u8, MessageId, u8, Incarnation, PublisherSequence, Time, u32);

    fn plain_leaf(entries: &[MessageEntry]) -> (u64, Vec<PeerId>, Vec<PlainEntry>) {
        let mut publishers: Vec<PeerId> = Vec::new();
        let mut plain = Vec::new();
        for MessageEntry { position, id, source, expires_at, bytes } in entries {
            if !publishers.contains(&source.publisher) {
                publishers.push(source.publisher);
            }
            let place = publishers.iter().position(|one| *one == source.publisher).unwrap();
            let (slot, place) = ((position.0 % 64).try_into().unwrap(), place.try_into().unwrap());
            let Source { incarnation, sequence, .. } = *source;
            plain.push((slot, *id, place, incarnation, sequence, *expires_at, *bytes));
        }
        (entries[0].position.0 / 64, publishers, plain)
    }

    #[test]
    fn pages_are_encoded_as_serde_would() {
        for first in [0, 64, 1 << 20, 1 << 40] {
            let entries: Vec<_> = (0..64)
                .map(|n| entry(first + n, n % 7, at(first * 3 + n)))
                .filter(|entry| entry.position.0 % 5 != 3)
                .collect();
            let leaf = Page::<_, BlockId>::Leaf(entries.clone());
            let plain = Plain::<_, ()>::Leaf(plain_leaf(&entries));
            assert_eq!(leaf.encode(), codec::encode(kind::MESSAGE_PAGE, &plain));
            let link = BlockId::header(&"c".parse().unwrap());
            let children: Children<BlockId> =
                vec![(0, leaf.reference(link)), (9, leaf.reference(link))];
            let inner = Page::<MessageEntry, _>::Inner { level: 2, children: children.clone() };
            let stored =
                codec::encode(kind::STORED_PAGE, &Plain::<(), _>::Inner(2, children.clone()));
            assert_eq!(inner.encode_as(kind::STORED_PAGE), stored);
            let unlinked =
                |(slot, PageRef { cid, summary, .. })| (slot, PageRef { cid, summary, link: () });
            let sent = Plain::<(), ()>::Inner(2, children.into_iter().map(unlinked).collect());
            assert_eq!(inner.encode(), codec::encode(kind::MESSAGE_PAGE, &sent));
        }
    }

    #[test]
    fn leases_are_encoded_as_serde_would() {
        let mut leases: Vec<Lease> = (0..20).map(|n| lease(n, n << (n * 2), at(n << n))).collect();
        leases.sort_by_key(|lease| lease.id);
        let page = Page::<Lease, ()>::Leaf(leases.clone());
        let plain = codec::encode(kind::SUBSCRIBER_PAGE, &Plain::<_, ()>::Leaf(leases));
        assert_eq!(page.encode(), plain);
        assert_eq!(Page::decode(&plain), Ok(page));
    }

    #[test]
    fn bytes_of_a_page_that_are_changed_or_cut_are_refused_or_are_another_page() {
        let entries: Vec<_> = (0..20).map(|n| entry(n, n % 3, at(1000 + n))).collect();
        let leaf = Page::<MessageEntry, ()>::Leaf(entries);
        let inner = Page::Inner { level: 1, children: vec![(0, leaf.reference(()))] };
        for page in [leaf, inner] {
            let bytes = page.encode();
            for nth in 0..bytes.len() {
                assert!(Page::<MessageEntry, ()>::decode(&bytes[..nth]).is_err(), "{nth}");
                let mut changed = bytes.to_vec();
                changed[nth] ^= 0x81;
                if let Ok(other) = Page::<MessageEntry, ()>::decode(&changed) {
                    assert_ne!(other, page, "{nth}");
                }
            }
        }
    }

    #[test]
    fn what_is_stored_of_a_page_is_its_encoding_and_names_what_is_sent() {
        let leaf = Page::<MessageEntry, BlockId>::Leaf(
            (0..64).map(|n| entry(n, n % 3, at(1000 + n))).collect(),
        );
        let link = BlockId::header(&"c".parse().unwrap());
        let child = leaf.reference(link);
        let inner = Page::<MessageEntry, BlockId>::Inner { level: 1, children: vec![(0, child)] };
        for page in [leaf, inner] {
            let (bytes, reference) = page.stored();
            assert_eq!(bytes, page.encode_as(kind::STORED_PAGE));
            assert_eq!(reference, page.reference(()));
            assert_eq!(Page::decode_as(kind::STORED_PAGE, &bytes), Ok(page));
        }
    }

    #[test]
    fn a_full_leaf_takes_no_more_than_it_is_reckoned_to() {
        let leaf = Page::<MessageEntry, ()>::Leaf(
            (0..64).map(|n| entry(n + (1 << 40), 1, at((1 << 40) + n))).collect(),
        );
        assert!(leaf.encode().len() <= HEAD_BYTES + 64 * MessageEntry::ENCODED_BYTES);
    }
}
