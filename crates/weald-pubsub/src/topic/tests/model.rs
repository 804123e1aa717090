//! A topic against a vector: any operations, in any order, with expiry.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Publish { publisher: u64, sequence_offset: u64, ttl: u64 },
    Batch { publisher: u64, count: u64, ttl: u64 },
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
        2 => (1..20_u64).prop_map(Step::Wait),
        1 => (1..40_usize).prop_map(Step::Prune),
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
    for item in site.read(1).items {
        match item {
            TopicItem::Message { position, message } => {
                assert_eq!(position.0, at);
                let (id, expires_at) = model.accepted[usize::try_from(at).unwrap() - 1];
                assert_eq!(message.id(&address()), id);
                assert!(expires_at > site.time);
                at += 1;
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn ps1536_ps138_ps329_any_operations_leave_what_was_accepted_and_has_not_expired(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let keys = [identity(1), identity(2), identity(3)];
        let (mut site, mut twin) =
            (Site::with(TopicPolicy::default()), Site::with(TopicPolicy::default()));
        let (mut model, mut other) = (Model::default(), Model::default());
        for step in &steps {
            take(&mut site, &mut model, step, &keys);
            take(&mut twin, &mut other, step, &keys);
            check(&site, &model);
        }
        prop_assert_eq!(site.blocks, twin.blocks, "two members have the same blocks");
    }
}
