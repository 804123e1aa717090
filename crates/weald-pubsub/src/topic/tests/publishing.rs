//! The next-sequence rule, the policy, the lineage.

use std::{sync::Arc, time::Duration};

use weald_core::{BlockId, StoredBlock};

use super::*;

fn place(sequence: u64) -> (Incarnation, PublisherSequence) {
    (Incarnation(1), PublisherSequence(sequence))
}

#[test]
fn ps1523_ps1794_ps268_ps332_ps1550_sequences_are_contiguous_and_a_repeat_has_its_first_result() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let first = site.publish_one(message(&keys, 1, "one")).unwrap();
    assert_eq!((first.position.0, first.is_new), (1, true));
    assert_eq!(first.id, message(&keys, 1, "one").id(&address()));
    assert_eq!(site.publish_one(message(&keys, 2, "two")).unwrap().position.0, 2);
    let again = site.publish_one(message(&keys, 1, "one")).unwrap();
    assert_eq!(again, Published { is_new: false, ..first });
    let other = site.publish_one(message(&keys, 1, "another"));
    assert_eq!(other, Err(TopicRefusal::IdReused));
    let ahead = site.publish_one(message(&keys, 4, "four"));
    assert_eq!(ahead, Err(TopicRefusal::SequenceGap { expected: PublisherSequence(3) }));
    assert_eq!(site.bodies().len(), 2);
}

#[test]
fn ps1523_a_skip_passes_a_sequence_and_takes_no_position() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    site.publish_one(message(&keys, 1, "one")).unwrap();
    let skip = |sequence, keys: &Identity| Skip::sign(&address(), place(sequence), keys).unwrap();
    let forged = Skip { publisher: keys.public(), ..skip(2, &identity(2)) };
    let skips = vec![forged, skip(3, &keys), skip(2, &keys), skip(2, &keys), skip(1, &keys)];
    let answer = site.act(topic().skip(skips)).unwrap();
    let results = PublishAnswer::decode(&answer).unwrap().results;
    assert_eq!(results[0], Err(TopicRefusal::BadSignature));
    assert_eq!(results[1], Err(TopicRefusal::SequenceGap { expected: PublisherSequence(2) }));
    assert_eq!(results[2..], [Ok(None), Ok(None), Ok(None)]);
    assert_eq!(site.publish_one(message(&keys, 3, "three")).unwrap().position.0, 2);
    assert_eq!(site.publish_one(message(&keys, 2, "late")), Err(TopicRefusal::Forgotten));
}

#[test]
fn ps1523_a_restarted_publisher_continues_in_a_new_incarnation() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let of = |incarnation, sequence| {
        let draft = Draft { incarnation: Incarnation(incarnation), ..draft(sequence, "x") };
        Message::sign(&address(), draft, &keys).unwrap()
    };
    let results = site.publish(vec![of(1, 1), of(2, 1), of(1, 2), of(2, 3)]);
    let positions: Vec<_> = results[..3].iter().map(|r| r.clone().unwrap().unwrap()).collect();
    assert_eq!(positions.iter().map(|p| p.position.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(results[3], Err(TopicRefusal::SequenceGap { expected: PublisherSequence(2) }));
}

#[test]
fn ps170_ps279_a_batch_of_several_publishers_has_a_result_for_each_message() {
    let (mut site, a, b) = (Site::with(TopicPolicy::default()), identity(1), identity(2));
    let batch = vec![
        message(&a, 1, "a1"),
        message(&b, 2, "ahead"),
        message(&b, 1, "b1"),
        message(&a, 2, "a2"),
        message(&a, 1, "a1"),
        message(&b, 2, "b2"),
    ];
    let results = site.publish(batch);
    assert_eq!(results[1], Err(TopicRefusal::SequenceGap { expected: PublisherSequence(1) }));
    let repeat = results[4].clone().unwrap().unwrap();
    assert_eq!((repeat.position.0, repeat.is_new), (1, false));
    let bodies: Vec<_> = site.bodies().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["a1", "b1", "a2", "b2"]);
    assert_eq!(site.head().messages.version.0, 1, "one action is one version");
}

#[test]
fn a_whole_batch_is_refused_for_one_message_and_leaves_no_trace() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let before = site.blocks.clone();
    let batch = vec![message(&keys, 1, "one"), message(&keys, 3, "three")];
    let rejection = site.act(topic().publish(batch, BatchMode::Whole)).unwrap_err();
    let gap = TopicRefusal::SequenceGap { expected: PublisherSequence(2) };
    assert_eq!(code(rejection), gap.code());
    assert!(site.act(topic().publish(Vec::new(), BatchMode::Each)).is_err());
    let good = topic().publish(vec![message(&keys, 1, "one")], BatchMode::Each);
    let bad = topic().publish(vec![message(&keys, 3, "three")], BatchMode::Whole);
    assert!(site.run(&[good, bad]).is_err(), "a transaction is all or nothing");
    assert_eq!(site.blocks, before);
}

#[test]
fn ps1662_ps1569_ps1663_messages_outside_of_the_policy_are_refused_and_change_nothing() {
    let keys = identity(1);
    let policy = TopicPolicy {
        work: Some(WorkRule { above_bytes: 1000, bits: 10 }),
        ttl_max: Duration::from_secs(1000),
        ..TopicPolicy::default()
    };
    let mut site = Site::with(policy);
    let with = |body: Vec<u8>, expires_at| {
        let draft = Draft { expires_at, ..draft(1, body) };
        Message::sign(&address(), draft, &keys).unwrap()
    };
    let head = site.head();
    let too_large = site.publish_one(with(vec![7; 10 * 1024 + 1], at(100))).unwrap_err();
    assert_eq!(too_large, TopicRefusal::TooLarge { bytes: 10_241, max: 10_240 });
    for expires_at in [at(9), at(10), at(1011)] {
        let refusal = site.publish_one(with(vec![7], expires_at)).unwrap_err();
        assert!(matches!(refusal, TopicRefusal::Expiry { .. }), "{expires_at}");
    }
    let lazy = with(vec![7; 10 * 1024], at(100));
    let refusal = site.publish_one(lazy.clone()).unwrap_err();
    assert!(matches!(refusal, TopicRefusal::Work { needed: 10, .. }));
    assert_eq!(site.head(), head);
    assert!(site.publish_one(lazy.with_work(&address(), 10)).is_ok());
}

#[test]
fn ps1673_a_strict_topic_refuses_a_forged_message_at_apply() {
    let mut site = Site::with(TopicPolicy { is_strict: true, ..TopicPolicy::default() });
    let forged = Message { publisher: identity(2).public(), ..message(&identity(1), 1, "x") };
    assert_eq!(site.publish_one(forged), Err(TopicRefusal::BadSignature));
    assert!(site.publish_one(message(&identity(1), 1, "x")).is_ok());
}

#[test]
fn only_listed_publishers_publish() {
    let listed = Access::Listed([identity(1).public().peer_id()].into());
    let mut site = Site::with(TopicPolicy { publishers: listed, ..TopicPolicy::default() });
    assert!(site.publish_one(message(&identity(1), 1, "x")).is_ok());
    assert_eq!(site.publish_one(message(&identity(2), 1, "x")), Err(TopicRefusal::Denied));
}

#[test]
fn ps1661_a_burst_is_limited_for_its_publisher_and_others_are_unaffected() {
    let publish_rate = Rate { burst: 10, interval_micros: 1_000_000 };
    let mut site = Site::with(TopicPolicy { publish_rate, ..TopicPolicy::default() });
    let (a, b) = (identity(1), identity(2));
    let results = site.publish((1..=100).map(|n| message(&a, n, "x")).collect());
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(results[10], Err(TopicRefusal::RateLimited));
    assert!(site.publish_one(message(&b, 1, "x")).is_ok());
    site.time = at(13);
    assert!(site.publish_one(message(&a, 11, "x")).is_ok());
}

#[test]
fn d66_the_table_of_publishers_is_bounded() {
    let mut site = Site::with(TopicPolicy { publishers_max: 3, ..TopicPolicy::default() });
    let of = |n, incarnation| {
        let draft = Draft { incarnation: Incarnation(incarnation), ..draft(1, "x") };
        Message::sign(&address(), draft, &identity(n)).unwrap()
    };
    let results = site.publish((0..5).map(|n| of(n, 1)).collect());
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert!(results[3].as_ref().unwrap_err().is_retryable());
    let mut site = Site::with(TopicPolicy::default());
    let results = site.publish((0..20).map(|n| of(1, n)).collect());
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(accepted, limits::PEER_INCARNATIONS_MAX as usize);
}

#[test]
fn a_publisher_that_begins_anew_again_and_again_is_not_shut_out_and_repeats_nothing() {
    let mut site = Site::with(TopicPolicy::default());
    let of = |incarnation, sequence| {
        let incarnation = Incarnation(incarnation);
        let draft = Draft { incarnation, ..draft(sequence, "x") };
        Message::sign(&address(), draft, &identity(1)).unwrap()
    };
    let first = site.publish_one(of(1, 1)).unwrap();
    for incarnation in 2..=40 {
        assert!(site.publish_one(of(incarnation, 1)).unwrap().is_new, "run {incarnation}");
    }
    let again = site.publish_one(of(1, 1)).unwrap();
    assert_eq!((again.position, again.is_new), (first.position, false), "it is retained");
    assert_eq!(site.publish_one(of(1, 2)), Err(TopicRefusal::Forgotten), "its run is not known");
    assert!(site.publish_one(of(40, 2)).unwrap().is_new);
    let low = site.publish_one(of(24, 2));
    assert_eq!(low, Err(TopicRefusal::Forgotten), "sixteen runs are known: 25 to 40");
}

#[test]
fn ps1656_a_network_may_ask_for_a_token_to_create_topics() {
    let administrator = identity(9);
    let code = TopicType { administrator: Some(administrator.public()), asks_for_token: true };
    let token = |keys: &Identity, expires_at| {
        Some(signed(CreationToken { signed_at: at(1), expires_at }, keys))
    };
    let create = |token| topic().create(CreateMode::Create, TopicPolicy::default(), token);
    let mut site = Site::new(code);
    for token in [None, token(&identity(1), at(100)), token(&administrator, at(10))] {
        assert_eq!(super::code(site.act(create(token)).unwrap_err()), TopicRefusal::Denied.code());
    }
    site.act(create(token(&administrator, at(100)))).unwrap();
}

#[test]
fn a_topic_is_created_under_its_own_name_and_with_a_policy_that_holds() {
    let mut site = Site::new(TopicType::default());
    let bad = TopicPolicy { messages_max: 0, ..TopicPolicy::default() };
    assert!(site.act(topic().create(CreateMode::Create, bad, None)).is_err());
    let mut misplaced = topic().create(CreateMode::Create, TopicPolicy::default(), None);
    misplaced.collection = "elsewhere".parse().unwrap();
    assert!(site.act(misplaced).is_err());
    assert!(site.blocks.0.is_empty());
}

#[test]
fn ps1678_the_name_of_a_topic_is_in_none_of_its_blocks() {
    let mut site = Site::with(TopicPolicy::default());
    site.publish_one(message(&identity(1), 1, "x")).unwrap();
    assert!(topic().collection().as_str().len() > 64);
    let holds = |payload: &[u8]| payload.windows(4).any(|window| window == b"chat");
    assert!(!site.blocks.0.values().any(|stored| holds(&stored.block.payload)));
}

#[test]
fn ps1535_ps250_ps394_ps396_the_lineage_reaches_from_the_head_back_to_the_beginning() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let mut roots = Vec::new();
    for n in 1..=400 {
        site.publish_one(message(&keys, n, "x")).unwrap();
        let head = site.head();
        roots.push(head.messages.root);
        assert!(head.encode().len() <= limits::HEAD_BYTES_MAX);
    }
    let head = site.head();
    let snapshots = topic().lineage(&mut site.reader(), 100).unwrap();
    assert!(snapshots.len() >= 2);
    assert_eq!(head.previous, Some(snapshots[0].cid()));
    for pair in snapshots.windows(2) {
        assert_eq!(pair[0].previous, Some(pair[1].cid()));
    }
    let old = snapshots.iter().rev().flat_map(|snapshot| &snapshot.message_history);
    let mut versions: Vec<_> = old.map(|entry| (entry.version.0, entry.root)).collect();
    let kept = head.message_history.iter().map(|entry| entry.version.0);
    let root = |version: u64| roots[usize::try_from(version).unwrap() - 1];
    versions.extend(kept.map(|version| (version, root(version))));
    let all: Vec<_> = (1..).zip(roots).collect();
    assert_eq!(versions, all);
}

#[test]
fn ps263_ps265_ps266_entries_are_read_without_bodies_and_each_body_by_its_position() {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    site.publish((1..=100).map(|n| message(&keys, n, "a body of its own")).collect());
    let (pages, root, _) = topic().pages(&mut site.reader()).unwrap();
    assert_eq!(root, site.head().messages.root);
    let mut pages = pages;
    let reference = pages.reference::<MessageEntry>(root).unwrap();
    let collection = MessageCollection::open(&mut pages, reference).unwrap();
    let entries = collection.range(&mut pages, TopicPosition(1), 1000).unwrap();
    assert_eq!(entries, topic().entries(&mut site.reader(), TopicPosition(1), 1000).unwrap());
    let needle = b"a body of its own";
    collection
        .for_each_page(&mut pages.clone(), |at, _| {
            let bytes = pages.bytes(&at.cid).unwrap();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        })
        .unwrap();
    let found = topic().message(&mut site.reader(), TopicPosition(57)).unwrap().unwrap();
    assert_eq!(found, message(&keys, 57, "a body of its own"));
    for entry in &entries {
        let read = topic().message(&mut site.reader(), entry.position).unwrap().unwrap();
        assert_eq!(read.id(&address()), entry.id, "a body is what its name says");
    }
}

/// Bytes that a publish into a topic with `retained` messages changes in its blocks, and how many blocks.
fn changed_by_a_publish(retained: u64) -> (usize, usize) {
    let (mut site, keys) = (Site::with(TopicPolicy::default()), identity(1));
    let all: Vec<Message> = (1..=retained).map(|n| message(&keys, n, "x")).collect();
    all.chunks(1000).for_each(|batch| drop(site.publish(batch.to_vec())));
    let before = site.blocks.clone();
    site.publish_one(message(&keys, retained + 1, "x")).unwrap();
    let changed: Vec<_> =
        site.blocks.0.iter().filter(|(id, stored)| before.0.get(id) != Some(stored)).collect();
    let inserted = |(id, stored): &(&BlockId, &Arc<StoredBlock>)| {
        let old = before.0.get(id).map_or(&[][..], |old| &old.block.payload);
        let splices = super::super::blocks::splices(old, &stored.block.payload);
        splices.iter().map(|splice| splice.insert.len()).sum::<usize>()
    };
    (changed.iter().map(inserted).sum(), changed.len())
}

#[test]
fn ps282_p2_ps1504_a_publish_into_a_large_topic_changes_few_bytes_of_few_blocks() {
    let (small, _) = changed_by_a_publish(100);
    let (large, blocks) = changed_by_a_publish(10_000);
    assert!(blocks <= 12, "{blocks}");
    assert!(large <= 4 * 1024, "{large}");
    assert!(large <= 2 * small, "{large} of 10,000 beside {small} of 100");
}

#[test]
fn p5_ps1507_what_is_logged_of_a_publish_is_the_message_and_little_more() {
    let keys = identity(1);
    let body = Bytes::from(vec![7; 256]);
    let messages: Vec<Message> = (1..=100)
        .map(|n| {
            Message::sign(&address(), Draft { body: body.clone(), ..draft(n, "") }, &keys).unwrap()
        })
        .collect();
    let signed = messages[0].encode().len();
    assert!(signed <= 256 + 140, "{signed}");
    let logged = |messages: &[Message]| {
        let action = topic().publish(messages.to_vec(), BatchMode::Each);
        codec::encode(kind::OPERATION, &action).len()
    };
    let (one, hundred) = (logged(&messages[..1]), logged(&messages));
    assert!(one <= signed + 110, "{one} for a message of {signed}");
    assert!(hundred <= 100 * signed + 110, "{hundred} for a hundred of {signed}");
}
