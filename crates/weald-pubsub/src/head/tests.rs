//! Heads: their rules, their bound, their bytes.

use proptest::prelude::*;

use super::*;
use crate::{
    limits::HEAD_BYTES_MAX,
    testing::{at, golden},
};

fn head() -> CoordinatorObject {
    CoordinatorObject::new(TopicId::of("chat"), Digest::of("policy", &[]), at(1))
}

fn root(n: u64) -> Cid {
    Cid::of(&n.to_le_bytes())
}

#[test]
fn ps1520_ps69_a_new_head_is_active_and_empty() {
    let head = head();
    assert_eq!(head.check(), Ok(()));
    assert_eq!((head.state, head.messages.count, head.next.0), (ChannelState::Active, 0, 1));
    assert_eq!(CoordinatorObject::decode(&head.encode()).unwrap(), head);
}

#[test]
fn ps292_ps1520_the_sides_change_independently() {
    let mut head = head();
    head.next = TopicPosition(9);
    head.advance_messages(root(1), 1);
    let messages = head.messages;
    head.advance_subscribers(root(2), 1);
    head.advance_subscribers(root(3), 2);
    assert_eq!(head.messages, messages, "a subscription changes no message");
    assert_eq!(head.subscribers.version.0, 2);
    assert_eq!((head.message_history.len(), head.subscriber_history.len()), (1, 2));
    assert_eq!(head.check(), Ok(()));
}

#[test]
fn ps1535_ps1792_ps393_ps395_ps1490_a_pruned_history_and_what_left_it_are_all_there_was() {
    let mut head = head();
    head.next = TopicPosition(1000);
    let (mut all, mut left) = (Vec::new(), Vec::new());
    for n in 1..100 {
        let before = head.message_history.clone();
        let leaving = head.advance_messages(root(n), n);
        all.push(*head.message_history.last().unwrap());
        let held = [before, vec![*all.last().unwrap()]].concat();
        left.extend_from_slice(&held[..leaving]);
        assert_eq!([left.clone(), head.message_history.clone()].concat(), all);
        let expected = if leaving > 0 { 10..=10 } else { 1..=HISTORY_MAX };
        assert!(expected.contains(&head.message_history.len()));
    }
}

#[test]
fn ps1520_heads_that_contradict_themselves_are_refused() {
    let mut good = head();
    good.next = TopicPosition(5);
    good.advance_messages(root(1), 2);
    let broken: [fn(&mut CoordinatorObject); 8] = [
        |head| head.message_history.clear(),
        |head| head.messages.version = TopicVersion(7),
        |head| head.messages.root = root(9),
        |head| head.messages.count = 0,
        |head| head.messages.count = 99,
        |head| head.next = TopicPosition::ZERO,
        |head| head.modified_at = Time::ZERO,
        |head| head.subscriber_history = head.message_history.clone(),
    ];
    for (nth, change) in broken.into_iter().enumerate() {
        let mut head = good.clone();
        change(&mut head);
        let read = CoordinatorObject::decode(&head.encode());
        assert!(matches!(read, Err(HeadError::Invalid(_))), "{nth}");
    }
}

#[test]
fn ps247_ps283_ps286_ps289_ps1716_the_largest_head_there_can_be_fits_its_bound() {
    let mut head = head();
    head.created_at = at(1 << 40);
    head.modified_at = at(1 << 40);
    head.previous = Some(root(1));
    head.next = TopicPosition(u64::MAX);
    head.generation = u64::MAX;
    head.messages.version = TopicVersion(u64::MAX - 100);
    head.subscribers.version = TopicVersion(u64::MAX - 100);
    for n in 0..HISTORY_MAX as u64 {
        head.advance_messages(root(n), u64::MAX - 1);
        head.advance_subscribers(root(n), u64::MAX - 1);
    }
    assert_eq!(head.message_history.len(), HISTORY_MAX);
    assert!(head.encode().len() <= HEAD_BYTES_MAX, "{}", head.encode().len());
}

#[test]
fn ps1485_ps1527_heads_have_fixed_bytes() {
    let mut head = head();
    head.next = TopicPosition(3);
    head.advance_messages(root(1), 2);
    assert_eq!(golden(&head.encode()), "133f98b82fc2473f");
}

proptest! {
    #[test]
    fn ps247_ps249_ps322_ps283_ps286_ps289_ps331_ps392_ps1552_ps1716_any_operations_leave_a_small_valid_head(
        operations in prop::collection::vec((any::<bool>(), 1..u64::MAX), 1..400),
    ) {
        let mut head = head();
        head.next = TopicPosition(u64::MAX);
        let mut made = [0_u64; 2];
        for (is_message, n) in operations {
            let (side, history) = if is_message {
                head.advance_messages(root(n), n);
                made[0] += 1;
                (head.messages, &head.message_history)
            } else {
                head.advance_subscribers(root(n), n);
                made[1] += 1;
                (head.subscribers, &head.subscriber_history)
            };
            let done = made[usize::from(!is_message)];
            prop_assert_eq!(side.version.0, done, "versions rise by one");
            let least = usize::try_from(done.min(HISTORY_KEPT as u64)).unwrap();
            prop_assert!((least..=HISTORY_MAX).contains(&history.len()));
            prop_assert!(history.is_sorted_by(|a, b| a.version < b.version));
            let bytes = head.encode();
            prop_assert!(bytes.len() <= HEAD_BYTES_MAX);
            prop_assert_eq!(CoordinatorObject::decode(&bytes).unwrap(), head.clone());
        }
    }
}
