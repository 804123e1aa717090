//! Imports.

use super::*;

fn owned() -> (Site, Identity) {
    let owner = identity(5);
    let policy = TopicPolicy { owner: Some(owner.public()), ..TopicPolicy::default() };
    (Site::with(policy), owner)
}

fn unite(site: &mut Site, owner: &Identity, union: Union) -> Result<UnionAnswer, u32> {
    let action = AdminAction::Union(union);
    let request = AdminRequest { signed_at: site.time, generation: 1, action };
    let answer = site.act(topic().administer(signed(request, owner)));
    answer.map(|bytes| UnionAnswer::decode(&bytes).unwrap()).map_err(code)
}

fn of(messages: Vec<Message>) -> Union {
    Union { messages, leases: Vec::new() }
}

#[test]
fn ps1555_ps1540_an_import_gets_positions_of_its_own_and_keeps_ids_and_signatures() {
    let (mut site, owner) = owned();
    let (a, b) = (identity(1), identity(2));
    site.publish_one(message(&a, 1, "a1")).unwrap();
    let imported = vec![message(&b, 7, "b7"), message(&a, 3, "a3"), message(&a, 1, "a1")];
    let answer = unite(&mut site, &owner, of(imported.clone())).unwrap();
    assert_eq!(answer.published.len(), 2, "what is here is passed over");
    let ids: Vec<_> = answer.published.iter().map(|published| published.id).collect();
    let mut expected = [&imported[0], &imported[1]];
    expected.sort_by_key(|message| message.source());
    assert_eq!(ids, expected.iter().map(|m| m.id(&address())).collect::<Vec<_>>());
    let TopicItem::Message { message: read, .. } = &site.read(2).items[0] else { panic!() };
    assert!(read.verify(&address()));
    let next = site.publish_one(message(&a, 4, "a4")).unwrap();
    assert_eq!(next.position.0, 4, "the next sequence follows the highest");
    let entries = topic().entries(&mut site.reader(), TopicPosition(1), 10).unwrap();
    assert_eq!(entries.iter().map(|e| e.position.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn ps1555_ps1549_a_union_is_idempotent_even_for_two_messages_of_one_sequence() {
    let (mut site, owner) = owned();
    let a = identity(1);
    site.publish_one(message(&a, 1, "here")).unwrap();
    let union = of(vec![message(&a, 1, "there"), message(&a, 1, "elsewhere")]);
    assert_eq!(unite(&mut site, &owner, union.clone()).unwrap().published.len(), 2);
    assert_eq!(unite(&mut site, &owner, union).unwrap().published, []);
    assert_eq!(site.bodies().len(), 3);
    let again = site.publish_one(message(&a, 1, "here")).unwrap();
    assert_eq!((again.position.0, again.is_new), (1, false));
    assert_eq!(site.publish_one(message(&a, 1, "there")), Err(TopicRefusal::IdReused));
}

#[test]
fn ps1555_a_union_takes_no_forged_and_no_expired_message_and_no_one_elses_word() {
    let (mut site, owner) = owned();
    let a = identity(1);
    let forged = Message { publisher: identity(2).public(), ..message(&a, 1, "x") };
    let refused = unite(&mut site, &owner, of(vec![message(&a, 1, "x"), forged]));
    assert_eq!(refused, Err(TopicRefusal::BadSignature.code()));
    assert_eq!(site.bodies(), [], "all or nothing");
    let denied = unite(&mut site, &a, of(vec![message(&a, 1, "x")]));
    assert_eq!(denied, Err(TopicRefusal::Denied.code()));
    let expired = of(vec![lasting(&a, 1, at(10))]);
    assert_eq!(unite(&mut site, &owner, expired).unwrap().published, []);
}

#[test]
fn ps1555_a_union_takes_the_lease_with_the_higher_nonce() {
    let (mut site, owner) = owned();
    let lease = |nonce, standing| Lease { nonce, standing, ..testing::lease(1, 0, at(100)) };
    let of = |lease| Union { messages: Vec::new(), leases: vec![lease] };
    assert_eq!(unite(&mut site, &owner, of(lease(5, Standing::Live))).unwrap().leases, 1);
    assert_eq!(unite(&mut site, &owner, of(lease(4, Standing::Ended))).unwrap().leases, 0);
    assert_eq!(unite(&mut site, &owner, of(lease(6, Standing::Ended))).unwrap().leases, 1);
    let all = topic().subscribers(&mut site.reader(), TopicVersion::ZERO, 9).unwrap();
    assert_eq!((all.len(), all[0].standing), (1, Standing::Ended));
}

#[test]
fn ps1555_a_union_brings_in_no_more_leases_than_may_be_asked_for_and_none_that_ends_earlier() {
    let owner = identity(5);
    let policy =
        TopicPolicy { owner: Some(owner.public()), subscribers_max: 3, ..TopicPolicy::default() };
    let mut site = Site::with(policy);
    let of = |leases: Vec<Lease>| Union { messages: Vec::new(), leases };
    let many = (1..=5).map(|n| testing::lease(n, 0, at(100))).collect();
    assert_eq!(unite(&mut site, &owner, of(many)).unwrap().leases, 3, "there is room for three");
    let ended = |n| Lease { standing: Standing::Ended, nonce: 2, ..testing::lease(n, 0, at(50)) };
    assert_eq!(unite(&mut site, &owner, of(vec![ended(1)])).unwrap().leases, 1);
    let all = topic().subscribers(&mut site.reader(), TopicVersion::ZERO, 9).unwrap();
    let first = all.iter().find(|lease| lease.id == testing::subscriber(1)).unwrap();
    assert_eq!((first.standing, first.expires_at), (Standing::Ended, at(100)));
    // One has ended, so one more may begin; of one peer, as many as it may ask for.
    let next = vec![testing::lease(6, 0, at(100)), testing::lease(7, 0, at(100))];
    assert_eq!(unite(&mut site, &owner, of(next)).unwrap().leases, 1);
    let own = (0..20).map(|stream| {
        let id = SubscriberId { peer: testing::peer(8), stream };
        Lease { id, ..ended(8) }
    });
    let taken = unite(&mut site, &owner, of(own.collect())).unwrap().leases;
    assert_eq!(taken, limits::PEER_LEASES_MAX as u64);
}

#[test]
fn ps1555_imported_messages_of_one_sequence_are_forgotten_when_they_expire() {
    let (mut site, owner) = owned();
    let a = identity(1);
    let draft = |body, until| Draft { expires_at: at(until), ..draft(1, body) };
    let sign = |body, until| Message::sign(&address(), draft(body, until), &a).unwrap();
    let union = of(vec![sign("one", 20), sign("two", 30), sign("three", 40)]);
    unite(&mut site, &owner, union).unwrap();
    for (time, left) in [(20, 2), (30, 1), (40, 0)] {
        site.time = at(time);
        site.act(topic().prune(100)).unwrap();
        assert_eq!(site.bodies().len(), left);
    }
    site.time = at(40 + 3600);
    site.act(topic().prune(100)).unwrap();
    site.act(topic().prune(100)).unwrap();
    let revived = site.publish_one(lasting(&a, 1, at(9000))).unwrap();
    assert_eq!(revived.position.0, 4, "no record of the publisher is left");
}
