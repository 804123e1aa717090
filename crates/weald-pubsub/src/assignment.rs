//! Which home member serves which subscriber: a pure function, the same everywhere.

use weald_core::{Digest, PeerId};

use crate::{SubscriberId, TopicId};

/// The home members in the order in which `subscriber` tries them. The first is its own; the others
/// take over in turn. The order in which `members` are given does not matter.
pub fn assign(subscriber: &SubscriberId, topic: &TopicId, members: &[PeerId]) -> Vec<PeerId> {
    let mut order = members.to_vec();
    order.sort();
    order.dedup();
    let digest = Digest::of("weald assignment", &[&subscriber.key(), topic.digest().as_bytes()]);
    let drawn = u64::from_be_bytes(digest.prefix());
    if let Some(first) = drawn.checked_rem(order.len() as u64) {
        order.rotate_left(usize::try_from(first).expect("a place in a list in memory"));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{address, peer, subscriber};

    fn members(count: u64) -> Vec<PeerId> {
        (0..count).map(peer).collect()
    }

    #[test]
    fn ps56_ps361_ps363_ps1150_ps1152_ps1488_ps1539_the_assignment_is_fixed_and_independent_of_the_order_of_members()
     {
        let topic = address().topic;
        let members = members(5);
        let mut reversed = members.clone();
        reversed.reverse();
        let places: Vec<_> = (0..12)
            .map(|n| {
                let order = assign(&subscriber(n), &topic, &members);
                assert_eq!(order, assign(&subscriber(n), &topic, &reversed));
                assert_eq!(order.len(), 5);
                members.iter().position(|member| *member == order[0]).unwrap()
            })
            .collect();
        assert_eq!(places, [2, 1, 1, 4, 2, 2, 0, 0, 1, 1, 2, 4]);
        assert_eq!(assign(&subscriber(1), &topic, &[]), []);
    }

    #[test]
    fn ps362_ps1151_subscribers_are_spread_evenly() {
        let (topic, members) = (address().topic, members(5));
        let mut counts = [0_i64; 5];
        for n in 0..10_000 {
            let first = assign(&subscriber(n), &topic, &members)[0];
            counts[members.iter().position(|member| *member == first).unwrap()] += 1;
        }
        let chi_square: i64 = counts.iter().map(|count| (count - 2000).pow(2)).sum::<i64>() / 2000;
        assert!(chi_square <= 18, "{counts:?}");
    }
}
