//! The subscriptions of a topic: leases and what ended them.
//!
//! A page holds up to [`SUBSCRIBER_LEAF_MAX`] subscriptions; where more have ids that begin alike,
//! they are divided by the next 6 bits of the ids. The shape follows from the subscriptions alone.

use serde::{Deserialize, Serialize};
use weald_core::{
    BlockKind, Digest, PeerId, Time,
    codec::{
        CodecError, Kind,
        by_hand::{Reader, Writer},
    },
};

use crate::{
    Bucket, Cid, SubscriberId, TopicPosition, TopicVersion, kind,
    limits::{PAGE_FANOUT, SUBSCRIBER_LEAF_MAX},
    page::{
        Children, Link, Page, PageEntry, PageRef, Pages, PagesMut, Summary, collect, for_each_page,
        malformed,
    },
};

const SLOT_BITS: usize = PAGE_FANOUT.trailing_zeros() as usize;

/// One subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Whose it is.
    pub id: SubscriberId,
    /// The version of the collection that last wrote it.
    pub version: TopicVersion,
    /// When it began.
    pub subscribed_at: Time,
    /// When it ends if it is not renewed, log time.
    pub expires_at: Time,
    /// The highest nonce that the subscriber signed for it.
    pub nonce: u64,
    /// The position that the subscriber said it had seen with its last request: when it began, at
    /// each renewal, at its end.
    pub last_seen: TopicPosition,
    /// Whether it goes on.
    pub standing: Standing,
    /// What is left of its rate of renewals.
    pub renewals: Bucket,
}

/// Whether a subscription goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// It does.
    Live,
    /// Its subscriber ended it. The entry stays as long as the lease would have, so that a copy of an
    /// older request does not bring it back.
    Ended,
}

/// Bytes that a subscription takes at least where it is encoded.
const LEASE_BYTES_MIN: usize = 40;

fn read_lease(reader: &mut Reader<'_>) -> Result<Lease, CodecError> {
    let peer = PeerId::from_digest(Digest::from_bytes(reader.array()?));
    Ok(Lease {
        id: SubscriberId { peer, stream: reader.number()? },
        version: TopicVersion(reader.number()?),
        subscribed_at: Time::from_millis(reader.number()?),
        expires_at: Time::from_millis(reader.number()?),
        nonce: reader.number()?,
        last_seen: TopicPosition(reader.number()?),
        standing: match reader.number()? {
            live if live == Standing::Live as u64 => Standing::Live,
            ended if ended == Standing::Ended as u64 => Standing::Ended,
            _ => return Err(malformed()),
        },
        renewals: Bucket::full(reader.number()?),
    })
}

impl PageEntry for Lease {
    const KIND: Kind = kind::SUBSCRIBER_PAGE;
    const BLOCK: BlockKind = kind::SUBSCRIBER_PAGE_BLOCK;
    // The peer and its stream, and numbers of which two are times.
    const ENCODED_BYTES: usize = 112;

    fn write(entries: &[Self], writer: &mut Writer) {
        writer.len(entries.len());
        for lease in entries {
            writer.array(lease.id.peer.digest().as_bytes());
            let (subscribed_at, expires_at) = (lease.subscribed_at, lease.expires_at);
            for number in [
                lease.id.stream,
                lease.version.0,
                subscribed_at.as_millis(),
                expires_at.as_millis(),
                lease.nonce,
                lease.last_seen.0,
                lease.standing as u64,
                lease.renewals.full_at(),
            ] {
                writer.number(number);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Vec<Self>, CodecError> {
        let len = reader.len(LEASE_BYTES_MIN)?;
        let leases: Vec<Self> = (0..len).map(|_| read_lease(reader)).collect::<Result<_, _>>()?;
        if leases.is_sorted_by(|a, b| a.id < b.id) { Ok(leases) } else { Err(malformed()) }
    }

    fn version(&self) -> u64 {
        self.version.0
    }

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// A version of a topic's subscriptions: the root of its pages. The default has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriberCollection<L = ()> {
    root: Option<PageRef<L>>,
}

impl<L> Default for SubscriberCollection<L> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<L: Link> SubscriberCollection<L> {
    /// The collection whose root page is `root`.
    pub const fn open(root: PageRef<L>) -> Self {
        Self { root: Some(root) }
    }

    /// The content id of the root.
    pub fn cid(&self) -> Cid {
        self.root.map_or(Cid::EMPTY, |root| root.cid)
    }

    /// What is known of all subscriptions; `None` when there is none.
    pub fn summary(&self) -> Option<Summary> {
        self.root.map(|root| root.summary)
    }

    /// How many entries there are, those of ended subscriptions among them.
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

    /// The subscription `id`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn get<P>(&self, pages: &mut P, id: &SubscriberId) -> Result<Option<Lease>, P::Error>
    where
        P: Pages<Lease, Link = L> + ?Sized,
    {
        let leaf = self.leaf_of(pages, id)?;
        Ok(leaf.into_iter().find(|lease| lease.id == *id))
    }

    /// The subscriptions of `peer`. A peer has few, so that they share a leaf.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn of_peer<P>(&self, pages: &mut P, peer: PeerId) -> Result<Vec<Lease>, P::Error>
    where
        P: Pages<Lease, Link = L> + ?Sized,
    {
        let leaf = self.leaf_of(pages, &SubscriberId { peer, stream: 0 })?;
        Ok(leaf.into_iter().filter(|lease| lease.id.peer == peer).collect())
    }

    fn leaf_of<P>(&self, pages: &mut P, id: &SubscriberId) -> Result<Vec<Lease>, P::Error>
    where
        P: Pages<Lease, Link = L> + ?Sized,
    {
        let (key, mut at) = (id.key(), self.root);
        let mut depth = 0;
        while let Some(page) = at {
            at = match pages.load(&page)? {
                Page::Leaf(leases) => return Ok(leases),
                Page::Inner { children, .. } => child_at(&children, slot_of(&key, depth)),
            };
            depth += 1;
        }
        Ok(Vec::new())
    }

    /// Up to `limit` subscriptions written after `version`, in the order of their ids.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn changed_after<P>(
        &self,
        pages: &mut P,
        version: TopicVersion,
        limit: usize,
    ) -> Result<Vec<Lease>, P::Error>
    where
        P: Pages<Lease, Link = L> + ?Sized,
    {
        let below = |summary: &Summary| summary.last > version.0;
        let is_picked = |lease: &Lease| lease.version > version;
        collect(pages, self.root.as_ref(), limit, (below, is_picked))
    }

    /// Up to `limit` subscriptions that have expired at `now`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn expired<P>(&self, pages: &mut P, now: Time, limit: usize) -> Result<Vec<Lease>, P::Error>
    where
        P: Pages<Lease, Link = L> + ?Sized,
    {
        let below = |summary: &Summary| summary.earliest <= now;
        let is_picked = |lease: &Lease| lease.expires_at <= now;
        collect(pages, self.root.as_ref(), limit, (below, is_picked))
    }

    /// Visits each page from the root down.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn for_each_page<P>(
        &self,
        pages: &mut P,
        mut visit: impl FnMut(&PageRef<L>, &Page<Lease, L>),
    ) -> Result<(), P::Error>
    where
        P: Pages<Lease, Link = L> + ?Sized,
    {
        for_each_page(pages, self.root.as_ref(), &mut visit)
    }

    /// The collection with `lease` in the place of an older one of the same id.
    ///
    /// # Errors
    /// When a page cannot be read or kept.
    pub fn put<P>(self, pages: &mut P, lease: Lease) -> Result<Self, P::Error>
    where
        P: PagesMut<Lease, Link = L> + ?Sized,
    {
        let edit = Edit { key: lease.id.key(), id: lease.id, lease: Some(lease) };
        Ok(Self { root: edit.apply(pages, self.root, 0)? })
    }

    /// The collection without the subscription `id`.
    ///
    /// # Errors
    /// When a page cannot be read or kept.
    pub fn remove<P>(self, pages: &mut P, id: &SubscriberId) -> Result<Self, P::Error>
    where
        P: PagesMut<Lease, Link = L> + ?Sized,
    {
        let edit = Edit { key: id.key(), id: *id, lease: None };
        Ok(Self { root: edit.apply(pages, self.root, 0)? })
    }
}

/// A change of one subscription.
struct Edit {
    key: [u8; 40],
    id: SubscriberId,
    lease: Option<Lease>,
}

impl Edit {
    fn apply<P: PagesMut<Lease> + ?Sized>(
        &self,
        pages: &mut P,
        at: Option<PageRef<P::Link>>,
        depth: u8,
    ) -> Result<Option<PageRef<P::Link>>, P::Error> {
        let page = match at.as_ref().map(|at| pages.load(at)).transpose()? {
            None => self.leaf(pages, Vec::new(), depth)?,
            Some(Page::Leaf(leases)) => self.leaf(pages, leases, depth)?,
            Some(Page::Inner { level, children }) if level == depth => {
                self.inner(pages, children, depth)?
            }
            Some(Page::Inner { .. }) => {
                let at = at.expect("it was read");
                return Err(pages.malformed(&at, "it is not an inner page of its depth"));
            }
        };
        match (page, &at) {
            (Some(page), _) => pages.save(at.as_ref(), &page).map(Some),
            (None, Some(at)) => pages.release(at).map(|()| None),
            (None, None) => Ok(None),
        }
    }

    fn leaf<P: PagesMut<Lease> + ?Sized>(
        &self,
        pages: &mut P,
        mut leases: Vec<Lease>,
        depth: u8,
    ) -> Result<Option<Page<Lease, P::Link>>, P::Error> {
        let place = leases.binary_search_by_key(&self.id, |lease| lease.id);
        match (place, self.lease) {
            (Ok(place), Some(lease)) => leases[place] = lease,
            (Ok(place), None) => drop(leases.remove(place)),
            (Err(place), Some(lease)) => leases.insert(place, lease),
            (Err(_), None) => {}
        }
        build(pages, leases, depth)
    }

    fn inner<P: PagesMut<Lease> + ?Sized>(
        &self,
        pages: &mut P,
        mut children: Children<P::Link>,
        depth: u8,
    ) -> Result<Option<Page<Lease, P::Link>>, P::Error> {
        let slot = slot_of(&self.key, depth);
        let child = child_at(&children, slot);
        let after = self.apply(pages, child, depth + 1)?;
        let place = children.binary_search_by_key(&slot, |(slot, _)| *slot);
        match (place, after) {
            (Ok(place), Some(child)) => children[place].1 = child,
            (Ok(place), None) => drop(children.remove(place)),
            (Err(place), Some(child)) => children.insert(place, (slot, child)),
            (Err(_), None) => {}
        }
        let count: u64 = children.iter().map(|(_, child)| child.summary.count).sum();
        if count > SUBSCRIBER_LEAF_MAX as u64 {
            return Ok(Some(Page::Inner { level: depth, children }));
        }
        let mut leases = Vec::new();
        for (_, child) in children {
            leases.extend(collect(pages, Some(&child), usize::MAX, (|_| true, |_| true))?);
            release_all(pages, &child)?;
        }
        build(pages, leases, depth)
    }
}

/// The page at `depth` of these subscriptions, with the pages below it.
fn build<P: PagesMut<Lease> + ?Sized>(
    pages: &mut P,
    leases: Vec<Lease>,
    depth: u8,
) -> Result<Option<Page<Lease, P::Link>>, P::Error> {
    if leases.len() <= SUBSCRIBER_LEAF_MAX {
        return Ok((!leases.is_empty()).then_some(Page::Leaf(leases)));
    }
    let slot = |lease: &Lease| slot_of(&lease.id.key(), depth);
    let mut children = Vec::new();
    for group in leases.chunk_by(|a, b| slot(a) == slot(b)) {
        let child = build(pages, group.to_vec(), depth + 1)?.expect("a group has subscriptions");
        children.push((slot(&group[0]), pages.save(None, &child)?));
    }
    Ok(Some(Page::Inner { level: depth, children }))
}

fn release_all<P: PagesMut<Lease> + ?Sized>(
    pages: &mut P,
    at: &PageRef<P::Link>,
) -> Result<(), P::Error> {
    if let Page::Inner { children, .. } = pages.load(at)? {
        for (_, child) in &children {
            release_all(pages, child)?;
        }
    }
    pages.release(at)
}

fn child_at<L: Copy>(children: &[(u8, PageRef<L>)], slot: u8) -> Option<PageRef<L>> {
    let place = children.binary_search_by_key(&slot, |(slot, _)| *slot);
    place.ok().map(|place| children[place].1)
}

/// The 6 bits of a key that place it in an inner page at `depth`.
fn slot_of(key: &[u8; 40], depth: u8) -> u8 {
    let first = usize::from(depth) * SLOT_BITS;
    let bit = |at: usize| key.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (first..first + SLOT_BITS).fold(0, |slot, at| slot << 1 | bit(at))
}

#[cfg(test)]
mod tests;
