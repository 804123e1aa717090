//! A subscriber, input by input.

mod bodies;

use weald_core::codec;

use super::*;
use crate::{
    LeaseAction, TopicItem, kind,
    limits::SUBSCRIBER_PARTS_MAX,
    testing::{address, at as seconds, identity, message, peer, subscriber},
};

fn at(position: u64) -> TopicPosition {
    TopicPosition(position)
}

fn item(position: u64) -> TopicItem {
    TopicItem::Message { position: at(position), message: message(&identity(1), position, "x") }
}

fn gone(first: u64, last: u64) -> TopicItem {
    TopicItem::Gone { first: at(first), last: at(last) }
}

/// A part that ends where the topic does.
fn part(from: u64, items: Vec<TopicItem>) -> Part {
    let next = items.last().map_or(at(from), |item| item.range().1.next());
    Part { from: at(from), items, next, end: next }
}

fn messages(from: u64, until: u64) -> Part {
    part(from, (from..until).map(item).collect())
}

struct Bench {
    subscriber: Subscriber,
    now: Time,
}

impl Bench {
    /// A subscriber that is connected to its member.
    fn open(config: SubscriberConfig, cursor: u64) -> Self {
        let mut bench = Self::new(config, cursor);
        let member = bench.dialled();
        bench.put(SubscriberInput::Connected(member));
        bench
    }

    fn new(config: SubscriberConfig, cursor: u64) -> Self {
        let now = seconds(10);
        let of = (subscriber(1), address().topic);
        let mut subscriber = Subscriber::new(config, of, at(cursor), now);
        subscriber.handle(now, SubscriberInput::Members((0..3).map(peer).collect()));
        Self { subscriber, now }
    }

    fn put(&mut self, input: SubscriberInput) {
        self.subscriber.handle(self.now, input);
    }

    fn part(&mut self, part: Part) {
        let member = self.member();
        self.put(SubscriberInput::Part(member, part));
    }

    fn member(&self) -> PeerId {
        match self.subscriber.link {
            Link::Open { member, .. } | Link::Dialling(member) => member,
            other => panic!("{other:?}"),
        }
    }

    fn outputs(&mut self) -> Vec<SubscriberOutput> {
        std::iter::from_fn(|| self.subscriber.poll_output()).collect()
    }

    fn dialled(&mut self) -> PeerId {
        let outputs = self.outputs();
        let dial = outputs.iter().find_map(|output| match output {
            SubscriberOutput::Dial(member) => Some(*member),
            _ => None,
        });
        dial.unwrap_or_else(|| panic!("{outputs:?}"))
    }

    fn requests(&mut self) -> Vec<StreamRequest> {
        let request = |output| match output {
            SubscriberOutput::Send(_, request) => Some(request),
            _ => None,
        };
        self.outputs().into_iter().filter_map(request).collect()
    }

    fn leases(&mut self) -> Vec<LeaseRequest> {
        let request = |output| match output {
            SubscriberOutput::Lease(request) => Some(request),
            _ => None,
        };
        self.outputs().into_iter().filter_map(request).collect()
    }

    /// Events in short: positions, gaps, words.
    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.subscriber.poll_event())
            .map(|event| match event {
                Event::Message { position, passed: 0, .. } => format!("{position}"),
                Event::Message { position, passed, .. } => format!("{position}(-{passed})"),
                Event::Gap { first, last } => format!("{first}..{last}"),
                Event::CaughtUp { next } => format!("caught up {next}"),
                Event::Lagged { next } => format!("lagged {next}"),
                Event::Reset { generation } => format!("reset {generation}"),
            })
            .collect()
    }

    fn wait(&mut self) {
        self.now = self.subscriber.poll_timeout().unwrap();
        self.subscriber.handle_timeout(self.now);
    }
}

#[test]
fn ps63_g5_history_comes_first_then_caught_up_then_live() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    assert_eq!(bench.requests(), [StreamRequest::Open { from: at(1), until: at(1025) }]);
    bench.part(part(1, vec![gone(1, 4), item(5), item(6)]));
    bench.part(messages(7, 9));
    assert_eq!(bench.events(), ["1..4", "5", "6", "caught up 7", "7", "8"]);
    bench.part(part(9, Vec::new()));
    assert_eq!(bench.events(), [""; 0], "caught up is said once");
}

#[test]
fn ps1562_a_restart_resumes_behind_the_acknowledged_position_and_no_other_is_acknowledged() {
    let mut bench = Bench::open(SubscriberConfig::default(), 7);
    assert_eq!(bench.requests(), [StreamRequest::Open { from: at(8), until: at(1032) }]);
    bench.part(messages(8, 12));
    bench.subscriber.acknowledge(at(9));
    assert_eq!(bench.subscriber.cursor(), at(7), "nothing was taken");
    assert_eq!(bench.events()[..2], ["8", "9"]);
    bench.subscriber.acknowledge(at(9));
    bench.subscriber.acknowledge(at(8));
    bench.subscriber.acknowledge(at(50));
    assert_eq!(bench.outputs(), [SubscriberOutput::Persist(at(9))]);
    assert_eq!(bench.subscriber.last_seen(), at(11));
}

#[test]
fn ps42_ps43_ps1561_ps112_ps1738_repeated_and_overlapping_parts_are_seen_once() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    bench.part(messages(1, 4));
    bench.part(messages(1, 4));
    bench.part(messages(2, 6));
    bench.part(part(5, vec![gone(5, 8)]));
    assert_eq!(bench.events(), ["1", "2", "3", "caught up 4", "4", "5", "6..8"]);
}

#[test]
fn ps1558_ps1559_ps1491_ps1795_exactly_the_missing_range_is_asked_for_once() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    bench.requests();
    bench.part(messages(1, 3));
    bench.part(messages(6, 8));
    bench.part(messages(8, 9));
    assert_eq!(bench.requests(), [StreamRequest::Fill { from: at(3), until: at(6) }]);
    assert_eq!(bench.events(), ["1", "2", "caught up 3"]);
    bench.part(messages(3, 6));
    assert_eq!(bench.events(), ["3", "4", "5", "6", "7", "8"]);
}

#[test]
fn ps1560_a_silent_loss_is_found_at_the_next_check() {
    let config = SubscriberConfig::default();
    let mut bench = Bench::open(config, 0);
    bench.part(messages(1, 3));
    bench.requests();
    let before = bench.now;
    bench.wait();
    assert_eq!(bench.now.since(before), config.check_interval);
    assert_eq!(bench.requests(), [StreamRequest::Open { from: at(3), until: at(1025) }]);
}

#[test]
fn ps311_ps346_ps91_ps325_ps334_ps498_ps555_ps730_ps1541_a_silent_member_is_left_for_the_next_with_the_cursor()
 {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    let first = bench.member();
    bench.part(messages(1, 3));
    bench.wait();
    bench.requests();
    bench.wait();
    assert_eq!(bench.outputs(), [SubscriberOutput::Hangup(first)]);
    bench.wait();
    let second = bench.dialled();
    assert_ne!(second, first);
    bench.put(SubscriberInput::Part(first, messages(3, 5)));
    bench.put(SubscriberInput::Connected(second));
    assert_eq!(bench.requests(), [StreamRequest::Open { from: at(3), until: at(1025) }]);
    bench.part(messages(3, 4));
    assert_eq!(bench.events(), ["1", "2", "caught up 3", "3"]);
}

#[test]
fn ps1544_ps117_failures_are_retried_with_growing_capped_pauses() {
    let config = SubscriberConfig::default();
    let mut bench = Bench::new(config, 0);
    let (mut pauses, mut members) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        let member = bench.dialled();
        members.push(member);
        let before = bench.now;
        bench.put(SubscriberInput::Disconnected(member));
        while matches!(bench.subscriber.link, Link::Waiting(_)) {
            bench.wait();
        }
        pauses.push(bench.now.since(before));
    }
    assert_eq!(pauses[..3], [50, 100, 200].map(Duration::from_millis));
    assert_eq!(pauses[11], config.redial_delay_max);
    assert_eq!(members[..3].iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[test]
fn a_slow_application_holds_the_member_back_and_is_told() {
    let config = SubscriberConfig { window: 4, ..SubscriberConfig::default() };
    let mut bench = Bench::open(config, 0);
    assert_eq!(bench.requests(), [StreamRequest::Open { from: at(1), until: at(5) }]);
    bench.part(part(1, Vec::new()));
    bench.part(Part { end: at(100), ..messages(1, 5) });
    assert_eq!(bench.requests(), []);
    bench.subscriber.poll_event().unwrap();
    bench.subscriber.poll_event().unwrap();
    assert_eq!(bench.requests(), []);
    bench.subscriber.poll_event().unwrap();
    assert_eq!(bench.requests(), [StreamRequest::Allow { until: at(7) }]);
    assert_eq!(bench.events(), ["3", "4", "lagged 100"]);
}

#[test]
fn a_member_that_sends_more_than_it_may_is_left_and_nothing_of_that_is_kept() {
    let config = SubscriberConfig { window: 4, ..SubscriberConfig::default() };
    for beyond in [messages(1, 6), messages(5, 6), part(3, vec![gone(3, 1000)])] {
        let mut bench = Bench::open(config, 0);
        let first = bench.member();
        bench.outputs();
        bench.part(beyond);
        assert_eq!(bench.outputs(), [SubscriberOutput::Hangup(first)]);
        assert_eq!(bench.events(), [""; 0]);
        bench.wait();
        let second = bench.dialled();
        assert_ne!(second, first);
        bench.put(SubscriberInput::Connected(second));
        assert_eq!(bench.requests(), [StreamRequest::Open { from: at(1), until: at(5) }]);
        bench.part(messages(3, 5));
        assert_eq!(bench.requests(), [StreamRequest::Fill { from: at(1), until: at(3) }]);
        bench.part(messages(1, 3));
        assert_eq!(bench.events(), ["1", "2", "3", "4", "caught up 5"]);
    }
}

#[test]
fn a_part_that_was_asked_for_in_an_earlier_generation_is_ignored_and_its_member_is_not_left() {
    let config = SubscriberConfig { window: 4, ..SubscriberConfig::default() };
    let mut bench = Bench::open(config, 50);
    bench.outputs();
    bench.put(SubscriberInput::Reset { generation: 2 });
    assert_eq!(bench.requests(), [StreamRequest::Open { from: at(1), until: at(5) }]);
    bench.part(messages(51, 55));
    assert_eq!(bench.outputs(), []);
    bench.part(messages(1, 3));
    assert_eq!(bench.events(), ["reset 2", "1", "2", "caught up 3"]);
    let member = bench.member();
    bench.outputs();
    bench.part(messages(51, 56));
    assert_eq!(bench.outputs(), [SubscriberOutput::Hangup(member)]);
}

#[test]
fn ps1576_ps1718_ps1739_the_sequences_of_a_publisher_that_were_passed_are_counted() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    let of = |position, sequence| TopicItem::Message {
        position: at(position),
        message: message(&identity(1), sequence, "x"),
    };
    let other = TopicItem::Message { position: at(3), message: message(&identity(2), 9, "y") };
    bench.part(part(1, vec![of(1, 1), of(2, 4), other, of(4, 5), of(5, 2)]));
    assert_eq!(bench.events(), ["1", "2(-2)", "3", "4", "5", "caught up 6"]);
}

#[test]
fn parts_that_contradict_themselves_are_ignored() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    let bad = [
        Part { next: at(9), ..messages(1, 3) },
        part(1, vec![item(2)]),
        part(1, vec![item(1), item(3)]),
        part(1, vec![gone(1, 3), item(3)]),
        Part { next: at(1), ..part(1, vec![gone(1, 0)]) },
    ];
    for part in bad {
        bench.part(part);
        assert_eq!(bench.events(), [""; 0]);
    }
    let member = bench.member();
    let stranger = (0..3).map(peer).find(|other| *other != member).unwrap();
    bench.put(SubscriberInput::Part(stranger, messages(1, 3)));
    assert_eq!(bench.events(), [""; 0]);
}

#[test]
fn ps33_ps719_the_lease_is_renewed_at_two_thirds_of_its_time_with_rising_nonces() {
    let mut bench = Bench::new(SubscriberConfig::default(), 0);
    let first = bench.leases().remove(0);
    assert_eq!((first.action, first.expires_at), (LeaseAction::Subscribe, seconds(10 + 1800)));
    let answer =
        |expires_at| LeaseAnswer { version: crate::TopicVersion(1), expires_at, next: at(1) };
    bench.put(SubscriberInput::Leased(answer(seconds(10 + 1800))));
    assert_eq!(bench.subscriber.lease.due(), seconds(10 + 1200));
    bench.now = seconds(10 + 1200);
    bench.subscriber.handle_timeout(bench.now);
    let second = bench.leases().remove(0);
    assert_eq!((second.action, second.expires_at), (LeaseAction::Renew, seconds(1210 + 1800)));
    assert!(second.nonce > first.nonce);
    bench.put(SubscriberInput::LeaseRefused(TopicRefusal::NotSubscribed));
    let again = bench.leases().remove(0);
    assert_eq!(again.action, LeaseAction::Subscribe);
    assert!(again.nonce > second.nonce);
    bench.put(SubscriberInput::LeaseRefused(TopicRefusal::StaleNonce { highest: 1 << 50 }));
    assert!(bench.leases().remove(0).nonce > 1 << 50);
}

#[test]
fn an_unanswered_lease_request_is_made_again_and_the_end_is_said() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    bench.leases();
    bench.now = seconds(20);
    bench.subscriber.handle_timeout(bench.now);
    assert_eq!(bench.leases().len(), 1);
    bench.put(SubscriberInput::Unsubscribe);
    let last = bench.leases().pop().unwrap();
    assert_eq!(last.action, LeaseAction::Unsubscribe);
    assert_eq!(bench.subscriber.poll_timeout(), None);
    bench.put(SubscriberInput::Unsubscribe);
    assert_eq!(bench.outputs(), []);
}

#[test]
fn a_new_generation_begins_from_its_beginning_and_an_old_one_says_nothing() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    bench.part(messages(1, 9));
    bench.events();
    bench.subscriber.acknowledge(at(5));
    bench.outputs();
    bench.put(SubscriberInput::Reset { generation: 2 });
    bench.put(SubscriberInput::Reset { generation: 2 });
    assert_eq!(bench.subscriber.cursor(), TopicPosition::ZERO);
    assert!(matches!(bench.outputs()[..], [SubscriberOutput::Send(..)]));
    bench.part(messages(1, 2));
    bench.subscriber.acknowledge(at(1));
    assert_eq!((bench.subscriber.generation(), bench.outputs()), (0, Vec::new()));
    assert_eq!(bench.events(), ["reset 2", "1", "caught up 2"]);
    assert_eq!(bench.subscriber.generation(), 2, "it was told");
    assert_eq!(bench.outputs()[0], SubscriberOutput::Persist(at(0)));
}

#[test]
fn a_cursor_of_an_earlier_generation_is_told_of_a_later_one_and_of_its_own_is_not() {
    for (known, resets) in [(1, true), (2, false)] {
        let mut bench = Bench::open(SubscriberConfig::default(), 5);
        bench.subscriber.begin_in(known);
        bench.put(SubscriberInput::Reset { generation: 2 });
        let cursor = if resets { 0 } else { 5 };
        assert_eq!((bench.subscriber.generation(), bench.subscriber.cursor()), (known, at(cursor)));
        bench.part(messages(cursor + 1, cursor + 2));
        assert_eq!(bench.events()[0], if resets { "reset 2" } else { "6" });
    }
}

#[test]
fn a_member_that_is_one_no_more_is_left() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    let first = bench.member();
    bench.outputs();
    bench.put(SubscriberInput::Members(vec![first, peer(9)]));
    assert_eq!(bench.outputs(), []);
    bench.put(SubscriberInput::Members(vec![peer(9)]));
    let outputs = [SubscriberOutput::Hangup(first), SubscriberOutput::Dial(peer(9))];
    assert_eq!(bench.outputs(), outputs);
}

#[test]
fn ps44_parts_that_are_ahead_are_kept_within_a_bound_and_the_rest_is_asked_for_again() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    for position in (2..=400).step_by(2) {
        bench.part(messages(position, position + 1));
    }
    let kept = SUBSCRIBER_PARTS_MAX as u64;
    bench.part(messages(1, 2));
    for position in (3..=2 * kept + 1).step_by(2) {
        bench.part(messages(position, position + 1));
    }
    let positions = |range: std::ops::RangeInclusive<u64>| range.map(|n| n.to_string());
    let mut expected: Vec<_> = positions(1..=2 * kept + 1).collect();
    let mut seen = bench.events();
    seen.retain(|event| !event.starts_with("caught up"));
    assert_eq!(seen, expected, "what was over the bound has been let go");
    bench.requests();
    bench.part(messages(300, 301));
    let hole = StreamRequest::Fill { from: at(2 * kept + 2), until: at(300) };
    assert_eq!(bench.requests(), [hole]);
    bench.part(messages(2 * kept + 2, 401));
    expected = positions(2 * kept + 2..=400).collect();
    let mut rest = bench.events();
    rest.retain(|event| !event.starts_with("caught up"));
    assert_eq!(rest, expected, "each once");
}

#[test]
fn ps100_a_subscription_to_a_quiet_topic_costs_a_few_bytes_a_second() {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    bench.part(part(1, Vec::new()));
    bench.events();
    bench.requests();
    let end = bench.now.after(Duration::from_secs(60));
    let (mut count, mut bytes) = (0, 0);
    while bench.now < end {
        bench.wait();
        for request in bench.requests() {
            let answer = part(1, Vec::new());
            count += 1;
            bytes += codec::encode(kind::MESSAGE, &request).len();
            bytes += codec::encode(kind::MESSAGE, &answer).len();
            bench.part(answer);
        }
    }
    assert!((20..=30).contains(&count), "{count} questions");
    assert!(bytes <= 1024, "{bytes} bytes");
    assert_eq!(bench.events(), [""; 0]);
}
