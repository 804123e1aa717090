//! Expiry, retention, the end of topics.

use std::time::Duration;

use super::*;

fn prune(site: &mut Site) -> u64 {
    let mut removed = 0;
    loop {
        let answer = PruneAnswer::decode(&site.act(topic().prune(512)).unwrap()).unwrap();
        removed += answer.removed;
        if !answer.has_more {
            return removed;
        }
    }
}

fn gone(first: u64, last: u64) -> TopicItem {
    TopicItem::Gone { first: TopicPosition(first), last: TopicPosition(last) }
}

#[test]
fn ps36_ps113_ps168_ps1498_ps1711_a_topic_whose_messages_have_expired_takes_little_space() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let empty = site.bytes();
    for batch in 0..10 {
        let sequences = batch * 1000 + 1..=batch * 1000 + 1000;
        site.publish(sequences.map(|n| lasting(&keys, n, at(15))).collect());
    }
    assert!(site.bytes() > 1_000_000);
    site.time = at(3);
    assert_eq!(prune(&mut site), 0, "log time decides");
    site.time = at(70);
    assert_eq!(prune(&mut site), 10_000);
    assert!(site.bytes() <= 64 * 1024, "{}", site.bytes());
    assert_eq!(topic().bodies_count(&mut site.reader()).unwrap(), 0);
    site.time = at(8000);
    prune(&mut site);
    prune(&mut site);
    assert!(site.bytes() <= empty + 40 * 1024, "{} {empty}", site.bytes());
}

#[test]
fn ps267_ps1569_ps300_ps1713_each_message_expires_by_itself_and_the_hole_is_announced() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let until = [100, 20, 20, 100, 20];
    let messages = (1..).zip(until).map(|(n, until)| lasting(&keys, n, at(until)));
    site.publish(messages.collect());
    site.time = at(20);
    let read = site.read(0);
    assert_eq!(site.bodies().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 4]);
    assert_eq!((&read.items[1], &read.items[3]), (&gone(2, 3), &gone(5, 5)));
    assert_eq!(prune(&mut site), 3);
    assert_eq!(site.read(0), read, "what is removed reads as what has expired");
    assert_eq!(topic().bodies_count(&mut site.reader()).unwrap(), 2);
    let again = site.publish_one(lasting(&keys, 2, at(20)));
    assert_eq!(again, Err(TopicRefusal::Forgotten));
    assert!(!site.publish_one(lasting(&keys, 4, at(100))).unwrap().is_new);
}

#[test]
fn ps179_ps1566_a_publish_removes_what_has_expired() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    site.publish((1..=50).map(|n| lasting(&keys, n, at(20))).collect());
    site.time = at(21);
    site.publish_one(lasting(&keys, 51, at(100))).unwrap();
    assert_eq!(site.head().messages.count, 1);
    assert_eq!(topic().bodies_count(&mut site.reader()).unwrap(), 1);
}

#[test]
fn d63_retention_by_count_and_by_bytes_drops_the_oldest_and_says_so() {
    let policy = TopicPolicy { messages_max: 100, ..TopicPolicy::default() };
    let (mut site, keys) = (Site::with(policy), identity(1));
    for n in 1..=250 {
        site.publish_one(message(&keys, n, "x")).unwrap();
        assert!(site.head().messages.count <= 100);
    }
    let read = site.read(1);
    assert_eq!((&read.items[0], read.items.len()), (&gone(1, 150), 101));
    let policy = TopicPolicy { bytes_max: 1000, ..TopicPolicy::default() };
    let mut site = Site::with(policy);
    let large = |n| Message::sign(&address(), draft(n, vec![7; 300]), &keys).unwrap();
    site.publish((1..=10).map(large).collect());
    assert_eq!(site.bodies().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [8, 9, 10]);
}

#[test]
fn ps39_ps1567_ps1658_a_topic_that_nobody_uses_ends_and_can_begin_anew() {
    let policy = TopicPolicy { inactivity: Duration::from_secs(100), ..TopicPolicy::default() };
    let (mut site, keys) = (Site::with(policy), identity(1));
    let empty = site.bytes();
    site.publish_one(lasting(&keys, 1, at(500))).unwrap();
    assert_eq!(site.head().expires_at, at(600), "a message keeps its topic");
    assert_eq!(topic().due(&mut site.reader()).unwrap(), Some(at(500)));
    site.time = at(599);
    prune(&mut site);
    assert_eq!(site.head().state, ChannelState::Active);
    site.time = at(700);
    prune(&mut site);
    let head = topic().head(&mut site.reader());
    assert_eq!(head, Err(TopicReadError::Deleted));
    let deleted = TopicRefusal::Deleted.code();
    let publish = topic().publish(vec![lasting(&keys, 2, at(800))], BatchMode::Each);
    assert_eq!(site.act(publish.clone()).map(drop).map_err(code), Err(deleted));
    assert!(site.bytes() <= empty + 2048, "{} {empty}", site.bytes());
    let revive = AdminRequest { signed_at: at(700), generation: 1, action: AdminAction::Revive };
    site.act(topic().administer(signed(revive, &keys))).unwrap();
    let published = site.publish_one(lasting(&keys, 1, at(800))).unwrap();
    assert_eq!((published.position.0, site.head().generation), (2, 2), "positions go on");
}

#[test]
fn ps1567_only_the_owner_deletes_a_topic() {
    let owner = identity(5);
    let policy = TopicPolicy { owner: Some(owner.public()), ..TopicPolicy::default() };
    let (mut site, keys) = (Site::with(policy), identity(1));
    for batch in 0..2 {
        site.publish((1..=600).map(|n| message(&keys, batch * 600 + n, "x")).collect());
    }
    let delete =
        |generation| AdminRequest { signed_at: at(10), generation, action: AdminAction::Delete };
    let denied = site.act(topic().administer(signed(delete(1), &keys)));
    assert_eq!(denied.map(drop).map_err(code), Err(TopicRefusal::Denied.code()));
    let other = site.act(topic().administer(signed(delete(2), &owner)));
    let generation = TopicRefusal::Generation { generation: 1 }.code();
    assert_eq!(other.map(drop).map_err(code), Err(generation));
    let answer = site.act(topic().administer(signed(delete(1), &owner))).unwrap();
    let answer = PruneAnswer::decode(&answer).unwrap();
    assert!(answer.has_more && answer.removed <= 512, "in bounded steps");
    assert_eq!(topic().head(&mut site.reader()), Err(TopicReadError::Deleted));
    prune(&mut site);
    assert!(site.bytes() <= 8 * 1024, "{}", site.bytes());
}

#[test]
fn ps1570_ps397_ps288_snapshots_go_an_hour_after_their_last_entry() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    for n in 1..=200 {
        site.publish_one(message(&keys, n, "x")).unwrap();
    }
    assert!(topic().lineage(&mut site.reader(), 10).unwrap().len() >= 2);
    site.time = at(10 + 3599);
    prune(&mut site);
    assert!(!topic().lineage(&mut site.reader(), 10).unwrap().is_empty());
    site.time = at(10 + 3600);
    prune(&mut site);
    assert_eq!(topic().lineage(&mut site.reader(), 10).unwrap(), []);
    assert_eq!(site.head().previous, None);
}

#[test]
fn publishers_are_forgotten_when_all_they_published_has_expired() {
    let policy = TopicPolicy { publishers_max: 5, ..TopicPolicy::default() };
    let mut site = Site::with(policy);
    site.publish((0..5).map(|n| lasting(&identity(n), 1, at(20))).collect());
    assert!(site.publish_one(lasting(&identity(9), 1, at(20))).is_err());
    site.time = at(20 + 3600);
    prune(&mut site);
    site.publish_one(lasting(&identity(9), 1, at(9000))).unwrap();
}

#[test]
fn ps38_ps40_a_topic_with_a_constant_rate_takes_as_much_space_after_hours_as_before() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let mut sequence = 0;
    let mut largest_of_an_hour = |site: &mut Site| {
        let largest = (0..360).map(|_| {
            site.time = site.time.after(Duration::from_secs(10));
            let until = site.time.after(Duration::from_secs(60));
            let batch = (sequence + 1..=sequence + 5).map(|n| lasting(&keys, n, until)).collect();
            sequence += 5;
            assert!(site.publish(batch).iter().all(Result::is_ok));
            // As a node does that finds something due.
            if topic().due(&mut site.reader()).unwrap() <= Some(site.time) {
                prune(site);
            }
            site.bytes()
        });
        largest.max().unwrap()
    };
    // Snapshots and records of publishers are kept for an hour, changes in a fixed number.
    let hours: Vec<_> = (0..4).map(|_| largest_of_an_hour(&mut site)).collect();
    assert!(hours[3] <= hours[1] + hours[1] / 20, "{hours:?}");
}

#[test]
fn ps180_nothing_is_kept_that_has_no_end() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    assert!(site.head().expires_at < Time::MAX, "a topic ends that nobody uses");
    let endless = site.publish_one(lasting(&keys, 1, Time::MAX)).unwrap_err();
    assert!(matches!(endless, TopicRefusal::Expiry { .. }));
    let expiry = endless.code();
    let request = LeaseRequest {
        action: LeaseAction::Subscribe,
        stream: 1,
        nonce: 1,
        signed_at: site.time,
        expires_at: Time::MAX,
        last_seen: TopicPosition::ZERO,
    };
    let endless = site.act(topic().lease(signed(request, &keys)));
    assert_eq!(endless.map(drop).map_err(code), Err(expiry));
    let fetch = GroupAction::Fetch { max: 1, deadline: Time::MAX, start: TopicPosition(1) };
    let request =
        GroupRequest { group: "workers".into(), nonce: 1, signed_at: site.time, action: fetch };
    assert!(site.act(topic().consume(signed(request, &keys))).is_err());
    for n in 1..=30 {
        site.publish_one(lasting(&keys, n, at(100))).unwrap();
    }
    let snapshots = topic().lineage(&mut site.reader(), 10).unwrap();
    assert!(!snapshots.is_empty() && snapshots.iter().all(|one| one.expires_at < Time::MAX));
    let endless =
        CoordinatorSnapshot { expires_at: snapshots[0].created_at, ..snapshots[0].clone() };
    assert!(CoordinatorSnapshot::decode(&endless.encode()).is_err());
}
