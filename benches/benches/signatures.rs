//! Signing a message and verifying messages: one by one, as batches of 8, 64 and 256, of one publisher
//! and of as many as there are messages.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weald_core::{
    Digest, SeededEntropy, Time,
    identity::{Claim, Identity, verify_all},
};
use weald_pubsub::{Draft, Incarnation, Message, PublisherSequence, TopicAddress, TopicId};

/// Messages that are verified together.
const SIZES: [u64; 4] = [1, 8, 64, 256];

fn address() -> TopicAddress {
    TopicAddress { network: Digest::ZERO, topic: TopicId::of("bench") }
}

fn message(publisher: u64, sequence: u64) -> Message {
    let keys = Identity::generate(&mut SeededEntropy::new(publisher));
    let draft = Draft {
        incarnation: Incarnation(1),
        sequence: PublisherSequence(sequence),
        published_at: Time::from_millis(1),
        expires_at: Time::from_millis(2),
        body: vec![7; 256].into(),
    };
    Message::sign(&address(), draft, &keys).expect("a key in memory signs")
}

fn messages(count: u64, publishers: u64) -> Vec<Message> {
    (0..count).map(|nth| message(nth % publishers, nth + 1)).collect()
}

/// Everything that a coordinator does for the signatures of `messages`: digests of bodies, too.
fn verify(messages: &[Message]) {
    let claims: Vec<Claim> = messages.iter().map(|message| message.claim(&address())).collect();
    verify_all(&claims).expect("all are signed");
}

fn signatures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signatures");
    group.bench_function("sign", |bencher| bencher.iter(|| black_box(message(1, 1))));
    for (name, is_one) in [("one-publisher", true), ("many-publishers", false)] {
        for size in SIZES {
            let messages = messages(size, if is_one { 1 } else { size });
            group.throughput(Throughput::Elements(size));
            group.bench_with_input(BenchmarkId::new(name, size), &messages, |bencher, messages| {
                bencher.iter(|| verify(black_box(messages)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, signatures);
criterion_main!(benches);
