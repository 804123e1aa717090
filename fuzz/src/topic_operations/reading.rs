//! What is read of the topic is what was accepted.

use std::collections::BTreeSet;

use bytes::Bytes;
use weald_pubsub::limits::{HEAD_BYTES_MAX, PAGE_BYTES_MAX};
use weald_pubsub::{
    BodyAnswer, BodyRequest, ChannelState, CoordinatorObject, LargeMessage, Lease,
    MessageCollection, MessageEntry, Page, PageMap, Standing, SubscriberCollection, TopicItem,
    TopicPosition, TopicReadError, TopicVersion,
};

use super::{World, topic};
use crate::topics::address;

/// Messages whose signatures are looked at, in one check.
const VERIFIED_MAX: usize = 4;

impl World {
    /// What holds after each operation and is quickly seen.
    pub(super) fn check_briefly(&mut self) {
        let head = topic().any_head(&mut self.members.reader()).expect("the topic was made");
        assert_eq!(head.check(), Ok(()));
        assert!(head.encode().len() <= HEAD_BYTES_MAX, "a large head: {head:?}");
        assert_eq!(head.next.0, self.model.accepted.len() as u64 + 1);
        assert_eq!(head.state == ChannelState::Deleted, self.model.has_ended);
        assert_eq!(head.generation, 1 + self.model.revived);
        if !self.model.has_ended {
            self.check_groups();
        }
    }

    /// Everything.
    pub(super) fn check(&mut self) {
        let head = match topic().head(&mut self.members.reader()) {
            Err(TopicReadError::Deleted) => return assert!(self.model.has_ended),
            head => head.expect("the topic is there"),
        };
        self.check_messages();
        self.check_bodies();
        self.check_pages(&head);
        self.check_leases(&head);
    }

    /// Each position is a message or gone, and gone is only what has expired or was too much.
    fn check_messages(&self) {
        let mut at = TopicPosition(1);
        let (mut ids, mut verified) = (BTreeSet::new(), 0);
        let mut has_met = false;
        while at.0 <= self.model.accepted.len() as u64 {
            let read = topic().read(&mut self.members.reader(), at, (50, self.now));
            let page = read.expect("the topic is there");
            assert!(page.next > at, "a read that does not move");
            for item in &page.items {
                let (first, last) = item.range();
                assert!(first == at && last >= first, "a hole: {item:?}");
                at = last.next();
                match item {
                    TopicItem::Message { position, message } => {
                        has_met = true;
                        let accepted = self.model.at(*position);
                        assert_eq!(message.id(&address()), accepted.id);
                        assert_eq!(accepted.revived, self.model.revived, "it was cleared");
                        assert!(message.expires_at > self.now, "it has expired");
                        assert!(ids.insert(accepted.id), "it is there twice");
                        verified += 1;
                        assert!(verified > VERIFIED_MAX || message.verify(&address()));
                    }
                    // The oldest go first: behind one that is there only what has expired is gone.
                    TopicItem::Gone { first, last } if has_met => {
                        (first.0..=last.0).for_each(|n| {
                            assert!(
                                self.model.at(TopicPosition(n)).expires_at <= self.now,
                                "lost: {n}"
                            );
                        })
                    }
                    TopicItem::Gone { .. } => {}
                    TopicItem::Large { .. } => panic!("a body was left out: {item:?}"),
                }
            }
            assert_eq!(at, page.next);
        }
    }

    /// A body that is read in chunks is that of its message.
    fn check_bodies(&self) {
        let mut at = TopicPosition(1);
        while at.0 <= self.model.accepted.len() as u64 {
            let read = topic().read_lazily(&mut self.members.reader(), at, (50, self.now));
            let page = read.expect("the topic is there");
            for item in &page.items {
                let TopicItem::Large { position, message } = item else { continue };
                assert_eq!(message.id(&address()), self.model.at(*position).id);
                let chunks =
                    (0..message.chunk_count()).map(|nth| self.chunk(*position, message, nth));
                let whole = message.with_body(&chunks.collect::<Vec<_>>());
                assert!(whole.is_some(), "another body: {message:?}");
            }
            assert!(page.next > at, "a read that does not move");
            at = page.next;
        }
    }

    fn chunk(&self, position: TopicPosition, message: &LargeMessage, first: u32) -> Bytes {
        let request = BodyRequest { position, digest: message.body_digest, first, count: 1 };
        match topic().body(&mut self.members.reader(), &request, self.now) {
            Ok(BodyAnswer::Chunks(mut chunks)) if chunks.len() == 1 => chunks.remove(0),
            other => panic!("a chunk is not there: {other:?}"),
        }
    }

    /// The pages of the messages follow from these alone.
    fn check_pages(&self, head: &CoordinatorObject) {
        let reader = &mut self.members.reader();
        let entries = topic().entries(reader, TopicPosition::ZERO, usize::MAX);
        let entries = entries.expect("the topic is there");
        assert_eq!(head.messages.count, entries.len() as u64);
        assert!(head.messages.count <= self.policy.messages_max, "more than is retained");
        let bytes: u64 = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
        assert!(bytes <= self.policy.bytes_max, "more bytes than are retained");
        let bodies = topic().bodies_count(reader).expect("the topic is there");
        assert_eq!(head.messages.count, bodies);
        let mut pages = PageMap::new();
        let edits: Vec<_> = entries.iter().map(|entry| (entry.position, Some(*entry))).collect();
        let again = MessageCollection::default().edit(&mut pages, &edits).expect("pages in memory");
        assert_eq!(again.cid(), head.messages.root, "another root than the messages have");
        again
            .for_each_page(&mut pages, |_, page: &Page<MessageEntry, ()>| {
                assert!(page.encode().len() <= PAGE_BYTES_MAX);
            })
            .expect("pages in memory");
        let history = topic().history(reader, usize::MAX).expect("the topic is there");
        for (history, side) in
            [(history.messages, head.messages), (history.subscribers, head.subscribers)]
        {
            assert!(history.is_sorted_by(|a, b| a.version < b.version));
            assert!(history.last().is_none_or(|last| last.root == side.root));
        }
    }

    fn check_leases(&self, head: &CoordinatorObject) {
        let reader = &mut self.members.reader();
        let leases = topic().subscribers(reader, TopicVersion::ZERO, usize::MAX);
        let leases: Vec<Lease> = leases.expect("the topic is there");
        assert_eq!(head.subscribers.count, leases.len() as u64);
        let (mut pages, mut again) = (PageMap::new(), SubscriberCollection::default());
        for lease in &leases {
            again = again.put(&mut pages, *lease).expect("pages in memory");
        }
        assert_eq!(again.cid(), head.subscribers.root, "another root than the leases have");
        let lasting: Vec<_> = leases.iter().filter(|lease| lease.expires_at > self.now).collect();
        for lease in &lasting {
            let known = self.model.leases.get(&lease.id).expect("somebody asked for it");
            assert_eq!((lease.nonce, lease.expires_at), (known.nonce, known.expires_at));
            assert_eq!(lease.standing == Standing::Live, known.is_live);
        }
        let known = self.model.leases.values().filter(|known| known.expires_at > self.now);
        assert_eq!(lasting.len(), known.count(), "a lease was lost");
        let live = lasting.iter().filter(|lease| lease.standing == Standing::Live).count();
        assert!(live as u64 <= self.policy.subscribers_max);
    }
}
