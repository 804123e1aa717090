//! Messages whose bodies are kept in chunks.

use std::sync::Arc;

use weald_collections::{ReadError, SourceReader};
use weald_core::{Block, BlockId, BlockRead, BlockSource, Fault, Halt, StoredBlock};

use super::{reading::blocks_of, *};
use crate::{
    limits::{BODY_BYTES_MAX, BODY_CHUNK_BYTES, BODY_CHUNKS_MAX, PRUNE_LEAVES_MAX},
    testing::sized,
};

/// Bodies around the size of a chunk, and the largest.
const SIZES: [usize; 4] =
    [BODY_CHUNK_BYTES - 1, BODY_CHUNK_BYTES, BODY_CHUNK_BYTES + 1, BODY_BYTES_MAX];

/// A topic that allows large bodies.
fn site() -> Site {
    Site::with(TopicPolicy { body_bytes_max: BODY_BYTES_MAX, ..TopicPolicy::default() })
}

fn request(position: u64, message: &Message, (first, count): (u32, u32)) -> BodyRequest {
    let large = LargeMessage::of(message).unwrap();
    BodyRequest { position: TopicPosition(position), digest: large.body_digest, first, count }
}

fn body(site: &Site, request: &BodyRequest) -> BodyAnswer {
    topic().body(&mut site.reader(), request, site.time).unwrap()
}

/// The leaves that hold a chunk, in the order of their numbers: a chunk's key is its position and its
/// number, after two bytes of length.
fn leaves(site: &Site) -> Vec<BlockId> {
    let number = |stored: &StoredBlock| stored.block.payload.get(10..14).map(<[u8]>::to_vec);
    let large = site.blocks.0.values().filter(|stored| {
        stored.block.payload.len() > BODY_CHUNK_BYTES && stored.block.payload[..2] == [12, 0]
    });
    let mut leaves: Vec<_> = large.map(|stored| (number(stored), stored.block.id)).collect();
    leaves.sort();
    leaves.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn bodies_of_all_sizes_are_read_as_they_were_published() {
    let (mut site, keys) = (site(), identity(1));
    let sent: Vec<_> = (1..).zip(SIZES).map(|(n, bytes)| sized(&keys, n, bytes)).collect();
    for message in &sent {
        site.publish_one(message.clone()).unwrap();
    }
    assert_eq!(topic().bodies_count(&mut site.reader()).unwrap(), 4);
    for (position, message) in (1..).zip(&sent) {
        let position = TopicPosition(position);
        let found = topic().message(&mut site.reader(), position).unwrap();
        assert_eq!(found.as_ref(), Some(message));
        let page = site.read(position.0);
        let expected = TopicItem::Message { position, message: message.clone() };
        assert_eq!(page.items[0], expected);
    }
    let again = site.publish_one(sent[3].clone()).unwrap();
    assert!(!again.is_new, "a large message is known by its id like any other");
}

#[test]
fn ps299_a_body_of_a_mebibyte_leaves_head_and_pages_as_small_as_a_short_one() {
    let (mut small, mut large, keys) = (site(), site(), identity(1));
    small.publish_one(sized(&keys, 1, 1)).unwrap();
    large.publish_one(sized(&keys, 1, BODY_BYTES_MAX)).unwrap();
    assert_eq!(small.head().encode().len(), large.head().encode().len());
    let page = |site: &Site| {
        let (pages, root, _) = topic().pages(&mut site.reader()).unwrap();
        pages.bytes(&root).unwrap().len()
    };
    // The length of the body is a number in its entry.
    assert!(page(&large) <= page(&small) + 4, "{} {}", page(&large), page(&small));
    let blocks = large.blocks.0.values().map(|stored| stored.block.payload.len());
    assert!(blocks.max().unwrap() <= BODY_CHUNK_BYTES + 64, "no block has more than a chunk");
}

#[test]
fn ps265_ps1582_a_read_for_delivery_reads_no_chunk_and_a_chunk_is_read_alone() {
    let (mut site, keys) = (site(), identity(1));
    let message = sized(&keys, 2, BODY_BYTES_MAX);
    site.publish(vec![sized(&keys, 1, 10), message.clone(), sized(&keys, 3, 10)]);
    let of = |look: &mut dyn FnMut(&mut SourceReader<'_>)| {
        let blocks = blocks_of(&site, |reader| look(reader));
        let sizes: Vec<_> = blocks.iter().map(|stored| stored.block.payload.len()).collect();
        sizes.into_iter().filter(|bytes| *bytes >= BODY_CHUNK_BYTES).count()
    };
    let read = of(&mut |reader| {
        let page = topic().read_lazily(reader, TopicPosition(1), (10, at(10))).unwrap();
        assert_eq!((page.items.len(), page.next), (3, TopicPosition(4)));
        let large = LargeMessage::of(&message).unwrap();
        let expected = TopicItem::Large { position: TopicPosition(2), message: large };
        assert_eq!(page.items[1], expected);
    });
    assert_eq!(read, 0);
    for nth in [0, 7, 15] {
        let read = of(&mut |reader| {
            let answer = topic().body(reader, &request(2, &message, (nth, 1)), at(10)).unwrap();
            let from = nth as usize * BODY_CHUNK_BYTES;
            let expected = message.body.slice(from..from + BODY_CHUNK_BYTES);
            assert_eq!(answer, BodyAnswer::Chunks(vec![expected]));
        });
        assert_eq!(read, 1, "{nth}");
    }
}

#[test]
fn chunks_are_given_of_the_message_that_is_meant_and_no_others() {
    let (mut site, keys) = (site(), identity(1));
    let large = sized(&keys, 1, 2 * BODY_CHUNK_BYTES + 1);
    site.publish(vec![large.clone(), sized(&keys, 2, 10)]);
    let chunks = |first: usize, until: usize| {
        let until = until.min(large.body.len());
        let chunk = |at: usize| large.body.slice(at..until.min(at + BODY_CHUNK_BYTES));
        let from = (first..until).step_by(BODY_CHUNK_BYTES);
        BodyAnswer::Chunks(from.map(chunk).collect())
    };
    let whole = request(1, &large, (0, 3));
    assert_eq!(body(&site, &whole), chunks(0, usize::MAX));
    let last = request(1, &large, (2, BODY_CHUNKS_MAX));
    assert_eq!(body(&site, &last), chunks(2 * BODY_CHUNK_BYTES, usize::MAX), "there are no more");
    let at = |position| BodyRequest { position: TopicPosition(position), ..whole };
    let other = BodyRequest { digest: weald_core::Digest::ZERO, ..whole };
    let not_here = [
        at(2),
        at(3),
        at(u64::MAX),
        other,
        request(1, &large, (3, 1)),
        request(1, &large, (u32::MAX, 1)),
        request(1, &large, (0, 0)),
        request(1, &large, (0, BODY_CHUNKS_MAX + 1)),
    ];
    for request in not_here {
        assert_eq!(body(&site, &request), BodyAnswer::NotHere, "{request:?}");
    }
}

#[test]
fn ps267_ps36_a_large_message_expires_and_its_chunks_go_with_it() {
    let (mut site, keys) = (site(), identity(1));
    let empty = site.bytes();
    let lasting = |n, bytes, until| {
        let draft = Draft { expires_at: at(until), ..draft(n, vec![7; bytes]) };
        Message::sign(&address(), draft, &keys).unwrap()
    };
    let large = lasting(2, BODY_BYTES_MAX, 20);
    site.publish(vec![lasting(1, 10, 20), large.clone(), lasting(3, 70_000, 30)]);
    assert!(matches!(body(&site, &request(2, &large, (0, 1))), BodyAnswer::Chunks(_)));
    site.time = at(20);
    assert_eq!(body(&site, &request(2, &large, (0, 1))), BodyAnswer::Gone, "log time decides");
    let page = topic().read_lazily(&mut site.reader(), TopicPosition(1), (10, site.time)).unwrap();
    let gone = TopicItem::Gone { first: TopicPosition(1), last: TopicPosition(2) };
    assert_eq!((page.items.len(), &page.items[0]), (2, &gone));
    site.act(topic().prune(10)).unwrap();
    assert_eq!(body(&site, &request(2, &large, (0, 1))), BodyAnswer::Gone);
    assert_eq!(topic().bodies_count(&mut site.reader()).unwrap(), 1);
    site.time = at(30);
    site.act(topic().prune(10)).unwrap();
    assert_eq!(topic().bodies_count(&mut site.reader()).unwrap(), 0);
    assert!(site.bytes() <= empty + 4096, "{} {empty}", site.bytes());
}

#[test]
fn large_messages_are_removed_in_steps_that_a_transaction_may_take() {
    let (mut site, keys) = (site(), identity(1));
    let empty = site.bytes();
    let count = PRUNE_LEAVES_MAX / 16 + 4;
    for n in 1..=count {
        let draft = Draft { expires_at: at(20), ..draft(n, vec![7; BODY_BYTES_MAX]) };
        site.publish_one(Message::sign(&address(), draft, &keys).unwrap()).unwrap();
    }
    site.time = at(20);
    // What a transaction may touch is checked by the site.
    let prune =
        |site: &mut Site| PruneAnswer::decode(&site.act(topic().prune(512)).unwrap()).unwrap();
    let first = prune(&mut site);
    assert_eq!((first.removed, first.has_more), (PRUNE_LEAVES_MAX / 16, true));
    let second = prune(&mut site);
    assert_eq!((second.removed, second.has_more), (4, false));
    assert!(site.bytes() <= empty + 4096, "{} {empty}", site.bytes());
}

#[test]
fn d63_large_messages_are_retained_by_their_bytes() {
    let bytes_max = 3 * BODY_BYTES_MAX as u64;
    let body_bytes_max = BODY_BYTES_MAX;
    let policy = TopicPolicy { body_bytes_max, bytes_max, ..TopicPolicy::default() };
    let (mut site, keys) = (Site::with(policy), identity(1));
    for n in 1..=5 {
        site.publish_one(sized(&keys, n, BODY_BYTES_MAX)).unwrap();
    }
    assert_eq!((site.head().messages.count, site.head().next), (3, TopicPosition(6)));
    assert_eq!(topic().bodies_count(&mut site.reader()).unwrap(), 3);
    let gone = TopicItem::Gone { first: TopicPosition(1), last: TopicPosition(2) };
    assert_eq!(site.read(1).items[0], gone);
}

#[test]
fn ps1480_a_large_message_is_brought_in_by_a_union() {
    let owner = identity(5);
    let (owner_key, body_bytes_max) = (Some(owner.public()), BODY_BYTES_MAX);
    let policy = TopicPolicy { owner: owner_key, body_bytes_max, ..TopicPolicy::default() };
    let mut site = Site::with(policy);
    let message = sized(&identity(2), 7, 70_000);
    let union = Union { messages: vec![message.clone()], leases: Vec::new() };
    let action = AdminAction::Union(union);
    let request = AdminRequest { signed_at: site.time, generation: 1, action };
    site.act(topic().administer(signed(request, &owner))).unwrap();
    let found = topic().message(&mut site.reader(), TopicPosition(1)).unwrap();
    assert_eq!(found, Some(message));
}

/// Gives a block another payload.
fn rewrite(site: &mut Site, id: BlockId, change: impl FnOnce(&mut Vec<u8>)) {
    let stored = &site.blocks.0[&id];
    let mut payload = stored.block.payload.to_vec();
    change(&mut payload);
    let block = Block { payload: payload.into(), ..stored.block.clone() };
    let stored = StoredBlock { block, revision: stored.revision };
    site.blocks.0.insert(id, Arc::new(stored));
}

#[test]
fn d5_a_chunk_that_is_missing_is_damage_like_a_missing_body() {
    let (mut site, keys) = (site(), identity(1));
    let message = sized(&keys, 1, 3 * BODY_CHUNK_BYTES);
    site.publish_one(message.clone()).unwrap();
    let leaves = leaves(&site);
    assert_eq!(leaves.len(), 3);
    // The second chunk says that it is another.
    rewrite(&mut site, leaves[1], |payload| payload[13] = 9);
    let read = topic().message(&mut site.reader(), TopicPosition(1));
    let error = read.unwrap_err();
    let is_damage = |error: &TopicReadError| {
        matches!(error, TopicReadError::Read(ReadError::Halt(Halt::Fault(Fault::Damaged { .. }))))
    };
    assert!(is_damage(&error));
    assert!(error.to_string().contains("a chunk is not there"), "{error}");
    let first = body(&site, &request(1, &message, (0, 1)));
    assert!(matches!(first, BodyAnswer::Chunks(_)), "the others are still there");
    let missing = request(1, &message, (1, 1));
    let error = topic().body(&mut site.reader(), &missing, site.time).unwrap_err();
    assert!(error.to_string().contains("a chunk is not there"), "{error}");
    // Nothing is cut: a shorter chunk is no chunk.
    rewrite(&mut site, leaves[2], |payload| {
        let len = u32::try_from(BODY_CHUNK_BYTES - 1).unwrap();
        payload[22..26].copy_from_slice(&len.to_le_bytes());
        payload.pop();
    });
    let short = request(1, &message, (2, 1));
    let error = topic().body(&mut site.reader(), &short, site.time).unwrap_err();
    assert!(error.to_string().contains("another length"), "{error}");
}

#[test]
fn chunks_without_their_message_are_damage() {
    let (mut site, keys) = (site(), identity(1));
    site.publish_one(sized(&keys, 1, 2 * BODY_CHUNK_BYTES)).unwrap();
    let leaf = leaves(&site)[1];
    rewrite(&mut site, leaf, |payload| payload[9] = 9);
    let error = topic().bodies_count(&mut site.reader()).unwrap_err();
    assert!(error.to_string().contains("a chunk is of no message"), "{error}");
}

/// Blocks of which the chunks are not in memory.
struct Away<'b> {
    site: &'b Site,
}

impl BlockSource for Away<'_> {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        let is_away = leaves(self.site).contains(&id);
        if is_away { Ok(BlockRead::NotHere) } else { self.site.blocks.block(id) }
    }
}

#[test]
fn chunks_that_are_not_in_memory_are_asked_for_together() {
    let (mut site, keys) = (site(), identity(1));
    site.publish_one(sized(&keys, 1, 5 * BODY_CHUNK_BYTES)).unwrap();
    let source = Away { site: &site };
    let read = topic().message(&mut SourceReader(&source), TopicPosition(1));
    let Err(TopicReadError::Read(ReadError::Halt(Halt::Need(mut needed)))) = read else {
        panic!("{read:?}");
    };
    needed.sort();
    let mut expected = leaves(&site);
    expected.sort();
    assert_eq!(needed, expected);
}
