//! Merging two heads of a topic with 10,000 messages each that differ in 100: the time, and the pages
//! that are touched.
//!
//! The pages that are touched go to `target/bench/figures/merge.json`; a page that both sides share is
//! never read, whatever the size of the heads.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use weald_benches::figures;
use weald_core::{Digest, SeededEntropy, Time, identity::Identity};
use weald_pubsub::{
    Draft, Incarnation, Message, MessageCollection, MessageEntry, PageMap, PublisherSequence,
    SubscriberCollection, TopicAddress, TopicId, TopicPosition,
    merge::{Fork, merge},
};

/// Messages of each head.
const MESSAGES: [u64; 2] = [1_000, 10_000];
/// Messages that one of the heads has and the other has not, half of them on each side.
const DIFFERENT: u64 = 100;

/// One head with its pages.
#[derive(Clone)]
struct Head {
    pages: PageMap,
    messages: MessageCollection,
}

impl Head {
    fn fork(&mut self) -> Fork<'_> {
        let (messages, subscribers) = (self.messages, SubscriberCollection::default());
        Fork { pages: &mut self.pages, messages, subscribers }
    }

    /// The same with these messages at its next positions.
    fn with(mut self, entries: &[MessageEntry]) -> Self {
        let next = self.messages.summary().map_or(1, |summary| summary.last + 1);
        let edits: Vec<_> = (next..)
            .map(TopicPosition)
            .zip(entries)
            .map(|(position, entry)| (position, Some(MessageEntry { position, ..*entry })))
            .collect();
        self.messages = self.messages.edit(&mut self.pages, &edits).expect("its pages are here");
        self
    }
}

/// The entries of messages of one publisher.
fn entries(seed: u64, count: u64) -> Vec<MessageEntry> {
    let keys = Identity::generate(&mut SeededEntropy::new(seed));
    let address = TopicAddress { network: Digest::ZERO, topic: TopicId::of("bench") };
    let entry = |sequence| {
        let draft = Draft {
            incarnation: Incarnation(1),
            sequence: PublisherSequence(sequence),
            published_at: Time::from_millis(1),
            expires_at: Time::from_millis(1_000_000),
            body: Bytes::from_static(b"message"),
        };
        let message = Message::sign(&address, draft, &keys).expect("a key in memory signs");
        MessageEntry::new(&address, TopicPosition(sequence), &message)
    };
    (1..=count).map(entry).collect()
}

/// Two heads that have forked, with `count` messages each.
fn heads(count: u64) -> [Head; 2] {
    let common = Head { pages: PageMap::new(), messages: MessageCollection::default() };
    let common = common.with(&entries(1, count - DIFFERENT / 2));
    [2, 3].map(|seed| common.clone().with(&entries(seed, DIFFERENT / 2)))
}

/// Pages that one merge reads, of both heads.
fn touched([left, right]: &mut [Head; 2]) -> u64 {
    let before = left.pages.loads() + right.pages.loads();
    let missing =
        merge(&mut left.fork(), &mut right.fork(), Time::ZERO).expect("all pages are here");
    let half = usize::try_from(DIFFERENT / 2).expect("it is small");
    assert_eq!((missing.left.messages.len(), missing.right.messages.len()), (half, half));
    left.pages.loads() + right.pages.loads() - before
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    let mut lines = Vec::new();
    for count in MESSAGES {
        let mut heads = heads(count);
        let pages = heads.iter().map(|head| head.pages.len()).sum::<usize>();
        lines.push(format!(
            "{{\"messages\": {count}, \"different\": {DIFFERENT}, \"pages\": {pages}, \"touched\": {}}}",
            touched(&mut heads)
        ));
        let id = BenchmarkId::new("different-100", count);
        group.bench_function(id, |bencher| bencher.iter(|| touched(&mut heads)));
    }
    group.finish();
    figures::write("merge", &lines).expect("the target folder can be written");
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = bench
}
criterion_main!(benches);
