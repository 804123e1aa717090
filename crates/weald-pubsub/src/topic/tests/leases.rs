//! Subscriptions.

use super::*;

fn request(action: LeaseAction, nonce: u64, expires_at: u64) -> LeaseRequest {
    LeaseRequest {
        action,
        stream: 1,
        nonce,
        signed_at: at(10),
        expires_at: at(expires_at),
        last_seen: TopicPosition(0),
    }
}

fn ask(site: &mut Site, request: LeaseRequest, keys: &Identity) -> Result<LeaseAnswer, u32> {
    let request = LeaseRequest { signed_at: site.time, ..request };
    let answer = site.act(topic().lease(signed(request, keys)));
    answer.map(|bytes| LeaseAnswer::decode(&bytes).unwrap()).map_err(code)
}

fn lease_of(site: &Site, keys: &Identity) -> Option<Lease> {
    let all = topic().subscribers(&mut site.reader(), TopicVersion::ZERO, 5000).unwrap();
    all.into_iter().find(|lease| lease.id.peer == keys.public().peer_id())
}

#[test]
fn ps541_ps1530_ps75_a_subscription_says_its_version_its_expiry_and_where_the_topic_is() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    site.publish_one(message(&identity(2), 1, "x")).unwrap();
    let answer = ask(&mut site, request(LeaseAction::Subscribe, 1, 100), &keys).unwrap();
    assert_eq!((answer.version.0, answer.expires_at, answer.next.0), (1, at(100), 2));
    let lease = lease_of(&site, &keys).unwrap();
    assert_eq!((lease.version, lease.standing), (answer.version, Standing::Live));
    assert_eq!(site.head().messages.version.0, 1, "a subscription changes no message");
}

#[test]
fn ps763_ps111_ps32_a_renewal_extends_and_its_replay_does_not() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    ask(&mut site, request(LeaseAction::Subscribe, 1, 100), &keys).unwrap();
    site.time = at(50);
    let renewal =
        signed(LeaseRequest { signed_at: at(50), ..request(LeaseAction::Renew, 2, 200) }, &keys);
    let first = site.act(topic().lease(renewal.clone())).unwrap();
    assert_eq!(LeaseAnswer::decode(&first).unwrap().expires_at, at(200));
    let head = site.head();
    site.time = at(60);
    let again = site.act(topic().lease(renewal.clone())).unwrap();
    assert_eq!(LeaseAnswer::decode(&again).unwrap().expires_at, at(200));
    assert_eq!(site.head(), head);
    ask(&mut site, request(LeaseAction::Renew, 3, 150), &keys).unwrap();
    assert_eq!(
        lease_of(&site, &keys).unwrap().expires_at,
        at(200),
        "an expiry never comes earlier"
    );
    let stale = TopicRefusal::StaleNonce { highest: 3 }.code();
    assert_eq!(site.act(topic().lease(renewal)).map_err(code), Err(stale));
}

#[test]
fn ps733_ps1568_ps1181_ps722_ps1179_each_bad_request_is_refused_with_its_code_and_the_head_is_unchanged()
 {
    let (mut site, keys, thief) = (Site::with(TopicPolicy::default()), identity(1), identity(2));
    ask(&mut site, request(LeaseAction::Subscribe, 5, 100), &keys).unwrap();
    site.time = at(50);
    let head = site.head();
    let renew = LeaseRequest { signed_at: at(50), ..request(LeaseAction::Renew, 6, 200) };
    let good = signed(renew, &keys);
    let with = |request| Signed { request, ..good.clone() };
    let stale = TopicRefusal::Stale { signed_at: at(0), now: at(0) }.code();
    let expiry = TopicRefusal::Expiry { expires_at: at(0), from: at(0), to: at(0) }.code();
    let old_nonce = TopicRefusal::StaleNonce { highest: 0 }.code();
    let bad_signature = TopicRefusal::BadSignature.code();
    let not_subscribed = TopicRefusal::NotSubscribed.code();
    let of = |request| signed(request, &keys);
    let elsewhere = TopicAddress { topic: TopicId::of("other"), ..address() };
    let bad = [
        ("another expiry", with(LeaseRequest { expires_at: at(300), ..renew }), bad_signature),
        ("another nonce", with(LeaseRequest { nonce: 7, ..renew }), bad_signature),
        ("another time", with(LeaseRequest { signed_at: at(51), ..renew }), bad_signature),
        (
            "another cursor",
            with(LeaseRequest { last_seen: TopicPosition(1), ..renew }),
            bad_signature,
        ),
        ("another stream", with(LeaseRequest { stream: 2, ..renew }), bad_signature),
        (
            "another action",
            with(LeaseRequest { action: LeaseAction::Unsubscribe, ..renew }),
            bad_signature,
        ),
        ("another key", Signed { key: thief.public(), ..good.clone() }, bad_signature),
        ("another topic", Signed::new(&elsewhere, renew, &keys).unwrap(), bad_signature),
        ("the thief's own", signed(renew, &thief), not_subscribed),
        (
            "the thief's unsubscribe",
            signed(LeaseRequest { action: LeaseAction::Unsubscribe, ..renew }, &thief),
            not_subscribed,
        ),
        ("an old nonce", of(LeaseRequest { nonce: 4, ..renew }), old_nonce),
        ("no stream", of(LeaseRequest { stream: 9, ..renew }), not_subscribed),
        ("expired", of(LeaseRequest { expires_at: at(50), ..renew }), expiry),
        ("too long", of(LeaseRequest { expires_at: at(50 + 1801), ..renew }), expiry),
    ];
    for (what, request, expected) in bad {
        assert_eq!(site.act(topic().lease(request)).map_err(code), Err(expected), "{what}");
        assert_eq!(site.head(), head, "{what}");
    }
    let signed_at = |seconds| of(LeaseRequest { signed_at: at(seconds), ..renew });
    assert_eq!(site.act(topic().lease(signed_at(50 + 301))).map_err(code), Err(stale));
    assert!(site.act(topic().lease(signed_at(50 + 300))).is_ok(), "clocks differ a little");
    site.time = at(180);
    let late = LeaseRequest { nonce: 9, ..request(LeaseAction::Renew, 9, 300) };
    let late = |seconds| of(LeaseRequest { signed_at: at(seconds), ..late });
    site.time = at(199);
    assert!(site.act(topic().lease(late(10))).is_ok());
    site.time = at(311);
    assert_eq!(site.act(topic().lease(late(10))).map_err(code), Err(stale));
}

#[test]
fn ps31_ps1668_a_subscription_ends_exactly_at_its_expiry() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    ask(&mut site, request(LeaseAction::Subscribe, 1, 1810), &keys).unwrap();
    site.time = Time::from_millis(1_809_999);
    assert!(ask(&mut site, request(LeaseAction::Renew, 2, 1811), &keys).is_ok());
    site.time = at(1811);
    let ended = ask(&mut site, request(LeaseAction::Renew, 3, 1900), &keys);
    assert_eq!(ended, Err(TopicRefusal::NotSubscribed.code()));
    assert_eq!(
        lease_of(&site, &keys).map(|lease| lease.nonce),
        Some(2),
        "a refusal leaves no trace"
    );
    site.act(topic().prune(10)).unwrap();
    assert_eq!(lease_of(&site, &keys), None);
}

#[test]
fn an_unsubscribe_stays_as_long_as_the_lease_so_that_no_copy_revives_it() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let begin = signed(request(LeaseAction::Subscribe, 1, 100), &keys);
    site.act(topic().lease(begin.clone())).unwrap();
    ask(&mut site, request(LeaseAction::Unsubscribe, 2, 0), &keys).unwrap();
    assert_eq!(lease_of(&site, &keys).unwrap().standing, Standing::Ended);
    assert!(site.act(topic().lease(begin)).is_err());
    let again = ask(&mut site, request(LeaseAction::Renew, 3, 120), &keys);
    assert_eq!(again, Err(TopicRefusal::NotSubscribed.code()));
    ask(&mut site, request(LeaseAction::Subscribe, 4, 120), &keys).unwrap();
    assert_eq!(lease_of(&site, &keys).unwrap().standing, Standing::Live);
}

#[test]
fn ps254_a_lease_tells_what_was_seen_at_its_last_request_and_never_less() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let seen = |request, last_seen| LeaseRequest { last_seen: TopicPosition(last_seen), ..request };
    let requests = [
        (seen(request(LeaseAction::Subscribe, 1, 100), 3), 3),
        (seen(request(LeaseAction::Renew, 2, 120), 7), 7),
        (seen(request(LeaseAction::Renew, 3, 140), 5), 7),
        (seen(request(LeaseAction::Unsubscribe, 4, 0), 9), 9),
    ];
    for (request, expected) in requests {
        ask(&mut site, request, &keys).unwrap();
        assert_eq!(lease_of(&site, &keys).unwrap().last_seen, TopicPosition(expected));
    }
}

#[test]
fn ps1667_d66_ps1768_one_subscriber_too_many_is_refused_until_one_leaves() {
    let mut site = Site::with(TopicPolicy { subscribers_max: 20, ..TopicPolicy::default() });
    for n in 0..20 {
        ask(&mut site, request(LeaseAction::Subscribe, 1, 100 + n), &identity(n)).unwrap();
    }
    let full = TopicRefusal::Full { what: String::new(), max: 0 }.code();
    let one_more = identity(99);
    let refused = ask(&mut site, request(LeaseAction::Subscribe, 1, 100), &one_more);
    assert_eq!(refused, Err(full));
    ask(&mut site, request(LeaseAction::Unsubscribe, 2, 0), &identity(3)).unwrap();
    ask(&mut site, request(LeaseAction::Subscribe, 1, 100), &one_more).unwrap();
    let refused = ask(&mut site, request(LeaseAction::Subscribe, 1, 100), &identity(98));
    assert_eq!(refused, Err(full));
    site.time = at(101);
    ask(&mut site, request(LeaseAction::Subscribe, 1, 200), &identity(98)).unwrap();
}

#[test]
fn ps1666_the_leases_and_renewals_of_a_peer_are_limited() {
    let renew_rate = Rate { burst: 3, interval_micros: 1_000_000 };
    let mut site = Site::with(TopicPolicy { renew_rate, ..TopicPolicy::default() });
    let (keys, other) = (identity(1), identity(2));
    let begin = |stream| LeaseRequest { stream, ..request(LeaseAction::Subscribe, 1, 100) };
    let accepted = (0..30).filter(|n| ask(&mut site, begin(*n), &keys).is_ok()).count();
    assert_eq!(accepted, limits::PEER_LEASES_MAX);
    ask(&mut site, begin(1), &other).unwrap();
    let renew = |nonce| request(LeaseAction::Renew, nonce, 100 + nonce);
    let accepted = (2..20).filter(|n| ask(&mut site, renew(*n), &keys).is_ok()).count();
    assert_eq!(accepted, 2);
    assert!(ask(&mut site, renew(2), &other).is_ok());
}

#[test]
fn only_listed_subscribers_subscribe() {
    let listed = Access::Listed([identity(1).public().peer_id()].into());
    let mut site = Site::with(TopicPolicy { subscribers: listed, ..TopicPolicy::default() });
    let begin = request(LeaseAction::Subscribe, 1, 100);
    assert!(ask(&mut site, begin, &identity(1)).is_ok());
    assert_eq!(ask(&mut site, begin, &identity(2)), Err(TopicRefusal::Denied.code()));
}
