//! Groups of consumers.

use super::*;

/// A consumer with its own nonces.
struct Consumer {
    keys: Identity,
    nonce: u64,
}

impl Consumer {
    fn new(seed: u64) -> Self {
        Self { keys: identity(seed), nonce: 0 }
    }

    fn ask(&mut self, site: &mut Site, action: GroupAction) -> Result<GroupAnswer, u32> {
        self.nonce += 1;
        let (nonce, signed_at) = (self.nonce, site.time);
        let request = GroupRequest { group: "workers".to_owned(), nonce, signed_at, action };
        let answer = site.act(topic().consume(signed(request, &self.keys)));
        answer.map(|bytes| GroupAnswer::decode(&bytes).unwrap()).map_err(code)
    }

    /// Fetches; the positions with their attempts.
    fn fetch(&mut self, site: &mut Site, max: usize, seconds: u64) -> Vec<(u64, u32)> {
        let deadline = site.time.after(std::time::Duration::from_secs(seconds));
        let fetch = GroupAction::Fetch { max, deadline, start: TopicPosition(1) };
        match self.ask(site, fetch).unwrap() {
            GroupAnswer::Given(given) => given.iter().map(|g| (g.position.0, g.attempt)).collect(),
            other @ GroupAnswer::Settled(_) => panic!("{other:?}"),
        }
    }

    fn settle(&mut self, site: &mut Site, action: GroupAction) -> Vec<bool> {
        match self.ask(site, action).unwrap() {
            GroupAnswer::Settled(settled) => settled,
            other @ GroupAnswer::Given(_) => panic!("{other:?}"),
        }
    }
}

fn positions(numbers: &[u64]) -> Vec<TopicPosition> {
    numbers.iter().map(|n| TopicPosition(*n)).collect()
}

fn site_with(messages: u64) -> Site {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    site.publish((1..=messages).map(|n| message(&keys, n, "work")).collect());
    site
}

fn group_of(site: &Site) -> GroupState {
    topic().group(&mut site.reader(), "workers").unwrap().unwrap()
}

#[test]
fn d63_each_message_goes_to_one_consumer_of_a_group() {
    let mut site = site_with(5);
    let (mut a, mut b) = (Consumer::new(10), Consumer::new(11));
    assert_eq!(a.fetch(&mut site, 2, 60), [(1, 1), (2, 1)]);
    assert_eq!(b.fetch(&mut site, 9, 60), [(3, 1), (4, 1), (5, 1)]);
    assert_eq!(a.fetch(&mut site, 9, 60), []);
    let done = a.settle(&mut site, GroupAction::Acknowledge(positions(&[1, 2, 3, 9])));
    assert_eq!(done, [true, true, false, false], "nobody acknowledges what another one has");
    assert_eq!(group_of(&site).given.len(), 3);
}

#[test]
fn d63_what_is_not_acknowledged_in_time_goes_to_another() {
    let mut site = site_with(3);
    let (mut a, mut b) = (Consumer::new(10), Consumer::new(11));
    a.fetch(&mut site, 3, 5);
    a.settle(&mut site, GroupAction::Acknowledge(positions(&[2])));
    assert_eq!(b.fetch(&mut site, 9, 5), []);
    site.time = at(15);
    assert_eq!(b.fetch(&mut site, 9, 5), [(1, 2), (3, 2)]);
    let late = a.settle(&mut site, GroupAction::Acknowledge(positions(&[1])));
    assert_eq!(late, [false]);
    assert_eq!(b.settle(&mut site, GroupAction::Return(positions(&[3]))), [true]);
    assert_eq!(a.fetch(&mut site, 9, 5), [(3, 3)], "what is returned need not wait");
}

#[test]
fn d63_a_message_given_too_often_becomes_a_dead_letter() {
    let mut site = site_with(1);
    let mut consumer = Consumer::new(10);
    for attempt in 1..=5 {
        assert_eq!(consumer.fetch(&mut site, 9, 5), [(1, attempt)]);
        site.time = site.time.after(std::time::Duration::from_secs(5));
    }
    assert_eq!(consumer.fetch(&mut site, 9, 5), []);
    let group = group_of(&site);
    let letter = DeadLetter { position: TopicPosition(1), attempts: 5, given_up_at: site.time };
    assert_eq!((group.dead, group.given.len()), (vec![letter], 0));
    let body = topic().message(&mut site.reader(), TopicPosition(1)).unwrap().unwrap().body;
    assert_eq!(body, "work");
    let buried = consumer.settle(&mut site, GroupAction::Bury(positions(&[1, 2])));
    assert_eq!(buried, [true, false]);
    assert_eq!(group_of(&site).dead, []);
}

#[test]
fn a_replayed_group_request_and_a_foreign_one_are_refused() {
    let mut site = site_with(3);
    let mut consumer = Consumer::new(10);
    consumer.fetch(&mut site, 1, 5);
    consumer.nonce = 0;
    let fetch = GroupAction::Fetch { max: 1, deadline: at(20), start: TopicPosition(1) };
    let stale = TopicRefusal::StaleNonce { highest: 1 }.code();
    assert_eq!(consumer.ask(&mut site, fetch.clone()).map(drop), Err(stale));
    let signed_at = site.time;
    let request = GroupRequest { group: "workers".into(), nonce: 9, signed_at, action: fetch };
    let forged = Signed { key: consumer.keys.public(), ..signed(request, &identity(2)) };
    let bad = TopicRefusal::BadSignature.code();
    assert_eq!(site.act(topic().consume(forged)).map(drop).map_err(code), Err(bad));
}

#[test]
fn a_group_holds_a_bounded_number_of_messages_and_expired_ones_are_passed_over() {
    let mut site = site_with(600);
    let mut consumer = Consumer::new(10);
    assert_eq!(consumer.fetch(&mut site, 600, 60).len(), limits::GROUP_GIVEN_MAX);
    assert_eq!(consumer.fetch(&mut site, 600, 60), []);
    let keys = identity(3);
    let mut site = Site::with(TopicPolicy::default());
    site.publish(vec![lasting(&keys, 1, at(20)), lasting(&keys, 2, at(90))]);
    site.time = at(30);
    assert_eq!(consumer.fetch(&mut site, 9, 60), [(2, 1)]);
}
