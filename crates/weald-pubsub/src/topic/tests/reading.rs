//! What a reader finds, and what it has to read for it.

use std::{cell::RefCell, collections::BTreeSet};

use weald_collections::SourceReader;
use weald_core::{BlockId, BlockKind, BlockRead, BlockSource, Digest, Fault};

use super::*;
use crate::{kind, testing::Blocks};

/// Blocks that note what is read.
struct Noting<'b> {
    blocks: &'b Blocks,
    read: RefCell<BTreeSet<BlockId>>,
}

impl BlockSource for Noting<'_> {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        self.read.borrow_mut().insert(id);
        self.blocks.block(id)
    }
}

/// The blocks that `look` reads.
pub(super) fn blocks_of(
    site: &Site,
    look: impl FnOnce(&mut SourceReader<'_>),
) -> Vec<&weald_core::StoredBlock> {
    let source = Noting { blocks: &site.blocks, read: RefCell::default() };
    look(&mut SourceReader(&source));
    let read = source.read.into_inner();
    read.iter().filter_map(|id| site.blocks.0.get(id)).map(|stored| &**stored).collect()
}

/// The kinds of the blocks that `look` reads, and whether one of them holds `needle`.
fn reads_of(
    site: &Site,
    needle: &[u8],
    look: impl FnOnce(&mut SourceReader<'_>),
) -> (Vec<BlockKind>, bool) {
    let blocks = blocks_of(site, look);
    let holds = |payload: &[u8]| payload.windows(needle.len()).any(|window| window == needle);
    let kinds = blocks.iter().map(|stored| stored.block.kind).collect();
    (kinds, blocks.iter().any(|stored| holds(&stored.block.payload)))
}

fn subscribe(site: &mut Site, count: u64) {
    for n in 0..count {
        let expires_at = site.time.after(std::time::Duration::from_secs(60));
        let request = LeaseRequest {
            action: LeaseAction::Subscribe,
            stream: 1,
            nonce: 1,
            signed_at: site.time,
            expires_at,
            last_seen: TopicPosition::ZERO,
        };
        site.act(topic().lease(signed(request, &identity(n)))).unwrap();
    }
}

#[test]
fn ps64_ps103_ps104_ps105_ps1729_ps1731_the_order_is_that_of_positions_and_times_and_sequences_are_told()
 {
    let (mut site, a, b) = (Site::with(TopicPolicy::default()), identity(1), identity(2));
    let of = |keys: &Identity, sequence, seconds| {
        let draft = Draft { published_at: at(seconds), ..draft(sequence, format!("{seconds}")) };
        Message::sign(&address(), draft, keys).unwrap()
    };
    site.publish(vec![of(&a, 1, 90), of(&b, 1, 30), of(&a, 2, 60)]);
    let told = |item| match item {
        TopicItem::Message { position, message } => (position.0, message),
        other => panic!("{other:?}"),
    };
    let mut seen: Vec<_> = site.read(1).items.into_iter().map(told).collect();
    let bodies = |seen: &[(u64, Message)]| {
        seen.iter().map(|(_, message)| message.body.clone()).collect::<Vec<_>>()
    };
    assert_eq!(seen.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(bodies(&seen), ["90", "30", "60"], "as they were accepted");
    seen.sort_by_key(|(_, message)| message.published_at);
    assert_eq!(bodies(&seen), ["30", "60", "90"], "an application that wants times sorts by them");
    seen.sort_by_key(|(_, message)| (message.publisher == b.public(), message.sequence));
    assert_eq!(bodies(&seen), ["90", "60", "30"], "and by publisher and sequence");
}

#[test]
fn ps248_both_roots_of_a_head_resolve_to_as_many_entries_as_it_says() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    site.publish((1..=300).map(|n| message(&keys, n, "x")).collect());
    subscribe(&mut site, 60);
    let head = CoordinatorObject::decode(&site.head().encode()).unwrap();
    let (mut pages, messages, subscribers) = topic().pages(&mut site.reader()).unwrap();
    assert_eq!((head.messages.root, head.subscribers.root), (messages, subscribers));
    let root = pages.reference::<MessageEntry>(head.messages.root).unwrap();
    let messages = MessageCollection::open(&mut pages, root).unwrap();
    assert_eq!((messages.len(), head.messages.count), (300, 300));
    let all = messages.range(&mut pages, TopicPosition(1), 1000).unwrap();
    assert_eq!(all.len(), 300);
    let root = pages.reference::<Lease>(head.subscribers.root).unwrap();
    let subscribers = SubscriberCollection::open(root);
    assert_eq!((subscribers.len(), head.subscribers.count), (60, 60));
    let all = subscribers.changed_after(&mut pages, TopicVersion::ZERO, 1000).unwrap();
    assert_eq!(all.len(), 60);
}

#[test]
fn ps121_ps298_ps1582_ps1767_a_large_topic_is_listed_without_bodies_and_one_body_costs_few_blocks()
{
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    for batch in 0..10 {
        let sequences = batch * 1000 + 1..=batch * 1000 + 1000;
        site.publish(sequences.map(|n| message(&keys, n, "a body of its own")).collect());
    }
    subscribe(&mut site, 60);
    let needle = b"a body of its own";
    let (kinds, has_body) = reads_of(&site, needle, |reader| {
        assert_eq!(topic().entries(reader, TopicPosition(9900), 100).unwrap().len(), 100);
    });
    assert!(!has_body && kinds.len() <= 8, "{kinds:?}");
    assert!(!kinds.contains(&kind::SUBSCRIBER_PAGE_BLOCK), "{kinds:?}");
    let (kinds, has_body) = reads_of(&site, needle, |reader| {
        topic().message(reader, TopicPosition(5000)).unwrap().unwrap();
    });
    assert!(has_body && kinds.len() <= 10, "{kinds:?}");
    let (kinds, _) = reads_of(&site, needle, |reader| drop(topic().head(reader).unwrap()));
    let is_page =
        |kind: &BlockKind| [kind::SUBSCRIBER_PAGE_BLOCK, kind::MESSAGE_PAGE_BLOCK].contains(kind);
    assert!(!kinds.iter().any(is_page), "a head is read without pages: {kinds:?}");
}

/// A group's cipher: the text, combined with a stream of digests of the group's key. Its own inverse.
fn sealed(key: &str, text: &[u8]) -> Vec<u8> {
    let block = |n: u64| *Digest::of(key, &[&n.to_le_bytes()]).as_bytes();
    let stream = (0..).flat_map(block);
    text.iter().zip(stream).map(|(byte, pad)| byte ^ pad).collect()
}

#[test]
fn ps264_ps302_ps481_ps482_ps483_ps484_ps1684_ps1685_ps1719_ps1799_a_sealed_body_is_kept_by_its_metadata()
 {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let secret = b"meet at the oak at nine";
    let of = |sequence, body: Vec<u8>, until| {
        let draft = Draft { expires_at: at(until), ..draft(sequence, body) };
        Message::sign(&address(), draft, &keys).unwrap()
    };
    site.publish_one(of(1, sealed("our key", secret), 100)).unwrap();
    let holds = |payload: &[u8]| payload.windows(6).any(|window| secret.starts_with(window));
    assert!(!site.blocks.0.values().any(|stored| holds(&stored.block.payload)));
    let entry = topic().entries(&mut site.reader(), TopicPosition(1), 1).unwrap()[0];
    assert_eq!(entry.source.publisher, keys.public().peer_id());
    assert_eq!((entry.source.sequence.0, entry.expires_at, entry.bytes > 22), (1, at(100), true));
    let body = site.bodies().remove(0).1;
    assert_eq!(sealed("our key", &body), secret);
    assert_ne!(sealed("another key", &body), secret);
    let large = site.publish_one(of(2, sealed("our key", &[7; 10 * 1024 + 1]), 100));
    assert_eq!(large, Err(TopicRefusal::TooLarge { bytes: 10_241, max: 10_240 }));
    site.time = at(100);
    site.act(topic().prune(10)).unwrap();
    assert_eq!((site.head().messages.count, site.bodies().len()), (0, 0));
}
