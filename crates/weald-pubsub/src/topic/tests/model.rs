//! A topic against a vector: any operations, in any order, with expiry.

use proptest::prelude::*;

use super::*;
use crate::limits::{BODY_BYTES_MAX, BODY_CHUNK_BYTES};

#[derive(Clone, Debug)]
enum Step {
    Publish { publisher: u64, sequence_offset: u64, ttl: u64 },
    Batch { publisher: u64, count: u64, ttl: u64 },
    Large { publisher: u64, bytes: usize, ttl: u64 },
    Wait(u64),
    Prune(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u64, 0..3_u64, 1..60_u64).prop_map(|(publisher, sequence_offset, ttl)| {
            Step::Publish { publisher, sequence_offset, ttl }
        }),
        2 => (0..3_u64, 1..70_u64, 1..60_u64)
            .prop_map(|(publisher, count, ttl)| Step::Batch { publisher, count, ttl }),
        1 => (0..3_u64, around_a_chunk(), 1..60_u64)
            .prop_map(|(publisher, bytes, ttl)| Step::Large { publisher, bytes, ttl }),
        2 => (1..20_u64).prop_map(Step::Wait),
        1 => (1..40_usize).prop_map(Step::Prune),
    ]
}

fn around_a_chunk() -> impl Strategy<Value = usize> {
    let chunk = BODY_CHUNK_BYTES;
    prop_oneof![
        5 => prop::sample::select(vec![chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1]),
        1 => Just(BODY_BYTES_MAX),
    ]
}

/// What was accepted: its position, its id, its expiry.
#[derive(Default)]
struct Model {
    accepted: Vec<(MessageId, Time)>,
    next: [u64; 3],
}

fn take(site: &mut Site, model: &mut Model, step: &Step, keys: &[Identity; 3]) {
    let index = |publisher: u64| usize::try_from(publisher).unwrap();
    match *step {
        Step::Publish { publisher, sequence_offset, ttl } => {
            let nth = index(publisher);
            let expected = model.next[nth] + 1;
            let sequence = (expected + 1).saturating_sub(sequence_offset);
            let expires_at = site.time.after(std::time::Duration::from_secs(ttl));
            let message = lasting(&keys[nth], sequence, expires_at);
            let result = site.publish_one(message.clone());
            match sequence.cmp(&expected) {
                std::cmp::Ordering::Equal => {
                    let published = result.unwrap();
                    model.accepted.push((message.id(&address()), expires_at));
                    assert_eq!(published.position.0, model.accepted.len() as u64, "dense");
                    model.next[nth] += 1;
                }
                std::cmp::Ordering::Less => {
                    assert!(result.map_or(true, |published| !published.is_new));
                }
                std::cmp::Ordering::Greater => {
                    let expected = PublisherSequence(expected);
                    assert_eq!(result, Err(TopicRefusal::SequenceGap { expected }));
                }
            }
        }
        Step::Batch { publisher, count, ttl } => {
            let nth = index(publisher);
            let expires_at = site.time.after(std::time::Duration::from_secs(ttl));
            let first = model.next[nth] + 1;
            let batch: Vec<_> =
                (first..first + count).map(|n| lasting(&keys[nth], n, expires_at)).collect();
            let ids = batch.iter().map(|message| (message.id(&address()), expires_at));
            model.accepted.extend(ids);
            assert!(site.publish(batch).iter().all(Result::is_ok));
            model.next[nth] += count;
        }
        Step::Large { publisher, bytes, ttl } => {
            let nth = index(publisher);
            let expires_at = site.time.after(std::time::Duration::from_secs(ttl));
            let body = vec![u8::try_from(ttl).unwrap(); bytes];
            let draft = Draft { expires_at, ..draft(model.next[nth] + 1, body) };
            let message = Message::sign(&address(), draft, &keys[nth]).unwrap();
            site.publish_one(message.clone()).unwrap();
            model.accepted.push((message.id(&address()), expires_at));
            model.next[nth] += 1;
        }
        Step::Wait(seconds) => {
            site.time = site.time.after(std::time::Duration::from_secs(seconds));
        }
        Step::Prune(limit) => drop(site.act(topic().prune(limit)).unwrap()),
    }
}

/// The topic shows each accepted message that has not expired, once, in order, and says of all
/// others that they are gone.
fn check(site: &Site, model: &Model) {
    let mut at = 1;
    let read = topic().read_lazily(&mut site.reader(), TopicPosition(1), (10_000, site.time));
    for item in read.unwrap().items {
        let accepted = |position: TopicPosition, id, expires_at| {
            assert_eq!(position.0, at);
            assert_eq!(model.accepted[usize::try_from(at).unwrap() - 1], (id, expires_at));
            assert!(expires_at > site.time);
            at + 1
        };
        match item {
            TopicItem::Message { position, message } => {
                assert!(message.body.len() <= BODY_CHUNK_BYTES);
                at = accepted(position, message.id(&address()), message.expires_at);
            }
            TopicItem::Large { position, message } => {
                assert!(message.is_sound());
                at = accepted(position, message.id(&address()), message.expires_at);
            }
            TopicItem::Gone { first, last } => {
                assert_eq!(first.0, at);
                let gone = usize::try_from(first.0).unwrap() - 1..usize::try_from(last.0).unwrap();
                assert!(model.accepted[gone].iter().all(|(_, expiry)| *expiry <= site.time));
                at = last.0 + 1;
            }
        }
    }
    assert_eq!(at, model.accepted.len() as u64 + 1);
    let head = site.head();
    assert_eq!(head.check(), Ok(()));
    assert_eq!(head.messages.count, topic().bodies_count(&mut site.reader()).unwrap());
}

/// Bodies, read whole and in chunks, are those that were accepted.
fn check_bodies(site: &Site, model: &Model) {
    let mut reader = site.reader();
    for entry in topic().entries(&mut reader, TopicPosition(1), usize::MAX).unwrap() {
        let message = topic().message(&mut reader, entry.position).unwrap().unwrap();
        let nth = usize::try_from(entry.position.0).unwrap() - 1;
        assert_eq!(message.id(&address()), model.accepted[nth].0);
        let Some(large) = LargeMessage::of(&message) else { continue };
        let chunk = |first| {
            let (position, digest) = (entry.position, large.body_digest);
            let request = BodyRequest { position, digest, first, count: 1 };
            match topic().body(&mut site.reader(), &request, Time::ZERO).unwrap() {
                BodyAnswer::Chunks(chunks) => chunks.into_iter().next().unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let chunks: Vec<_> = (0..large.chunk_count()).map(chunk).collect();
        assert_eq!(large.with_body(&chunks), Some(message));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn ps1536_ps138_ps329_any_operations_leave_what_was_accepted_and_has_not_expired(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let keys = [identity(1), identity(2), identity(3)];
        let policy = TopicPolicy { body_bytes_max: BODY_BYTES_MAX, ..TopicPolicy::default() };
        let (mut site, mut twin) = (Site::with(policy.clone()), Site::with(policy));
        let (mut model, mut other) = (Model::default(), Model::default());
        for step in &steps {
            take(&mut site, &mut model, step, &keys);
            take(&mut twin, &mut other, step, &keys);
            check(&site, &model);
        }
        check_bodies(&site, &model);
        prop_assert_eq!(site.blocks, twin.blocks, "two members have the same blocks");
    }
}
