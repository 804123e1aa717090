//! The router on a small network of scripted nodes: what it sends, when, and how requests end.

mod network;
mod properties;

use weald_core::{PlacementKey, StoreId};

use super::*;
use crate::{
    placement::{Node, Nodes, Ranges, ResponsibilityK},
    routing::{Class, Part, Version, limits::SEEDS_MAX},
};
use network::{Network, Script, done, millis_at, peer, reign, write};

const SECOND: Duration = Duration::from_secs(1);

/// Three nodes that agree on who coordinates.
fn led_by(leader: u8) -> Network {
    let mut network = Network::new(3, Config::default());
    network.each(move |me, request| {
        if me == peer(leader) {
            Script::Answer(done("done"))
        } else {
            let (partition, reign) = (request.partition, reign(1, leader));
            Script::Answer(Answer::Redirect { partition, reign })
        }
    });
    network
}

#[test]
fn w6_d19_a_write_reaches_the_coordinator_through_any_node() {
    for entry in 1..=3 {
        let mut network = led_by(2);
        network.hint(reign(0, entry));
        network.submit(write(1));
        network.run_for(SECOND);
        assert_eq!(network.result(1), Ok(Bytes::from_static(b"done")));
        let asked: Vec<_> = network.sent.iter().map(|(_, peer, _)| *peer).collect();
        let expect: &[PeerId] = if entry == 2 { &[peer(2)] } else { &[peer(entry), peer(2)] };
        assert_eq!(asked, expect);
        network.submit(write(2));
        network.run_for(SECOND);
        assert_eq!(network.sent.len(), expect.len() + 1, "the next one goes there at once");
    }
}

#[test]
fn w13_contradictory_hints_end_after_three_forwards() {
    // Each names the next: with ever newer epochs, or with epochs of one number.
    for is_rising in [true, false] {
        let mut network = Network::new(3, Config::default());
        network.each(move |me, request| {
            let next = (1..=3).find(|i| peer(*i) == me).unwrap() % 3 + 1;
            let number = if is_rising { u64::from(request.attempt) } else { 1 };
            let (partition, reign) = (request.partition, reign(number, next));
            Script::Answer(Answer::Redirect { partition, reign })
        });
        network.submit(write(1));
        network.run_for(10 * SECOND);
        let hops: Vec<_> = network.sent.iter().map(|(_, _, request)| request.hops).collect();
        assert_eq!(hops, [0, 1, 2, 3], "the count rises and ends");
        let error = network.result(1).unwrap_err();
        assert!(matches!(error, RouteError::TooManyHops { hops: 3, last: Some(_), .. }));
        assert_eq!((error.code(), error.class()), (1005, Class::Rejected));
        assert_eq!(network.router.counters().hops, 3);
        let tried = &network.sent[3].2.tried;
        assert_eq!(tried.len(), 3, "a request names who was asked before");
    }
}

#[test]
fn w13_hops_of_earlier_nodes_count() {
    let mut network = led_by(2);
    network.hint(reign(0, 1));
    network.submit(Submit { hops: 3, ..write(1) });
    network.submit(Submit { hops: 4, ..write(2) });
    network.run_for(SECOND);
    for ticket in [1, 2] {
        let error = network.result(ticket).unwrap_err();
        assert!(matches!(error, RouteError::TooManyHops { .. }), "{error}");
    }
    assert_eq!(network.sent.len(), 1);
}

#[test]
fn w230_a_moved_key_costs_one_retry() {
    let mut network = Network::new(3, Config::default());
    let part = Part {
        version: Version { generation: 0, index: weald_core::LogIndex(99) },
        partition: PartitionId(7),
        range: (0, u64::MAX).try_into().unwrap(),
        members: crate::placement::Members { voters: [peer(9)].into(), ..Default::default() },
        reign: reign(4, 9),
    };
    network.each(move |me, _| {
        Script::Answer(if me == peer(9) {
            done("")
        } else {
            Answer::NotMine(Box::new(part.clone()))
        })
    });
    network.submit(write(1));
    network.run_for(SECOND);
    assert_eq!(network.result(1), Ok(Bytes::new()));
    assert_eq!(network.sent.len(), 2);
    assert_eq!(network.sent[1].2.partition, PartitionId(7));
}

#[test]
fn w139_retransmissions_are_the_same_bytes_after_growing_pauses() {
    let mut network = Network::new(3, Config::default());
    network.each(|_, _| Script::Answer(Answer::Unavailable { retry_after_ms: 0 }));
    let submit = write(1);
    let payload = submit.payload.clone();
    network.submit(submit);
    network.run_for(4 * SECOND);
    assert!(network.sent.len() >= 7, "{}", network.sent.len());
    for (i, (_, _, request)) in network.sent.iter().enumerate() {
        assert_eq!(request.payload, payload);
        assert_eq!(request.payload.as_ptr(), payload.as_ptr(), "encoded once, never copied");
        assert_eq!(usize::try_from(request.attempt).unwrap(), i + 1);
    }
    let backoff = network.config.backoff;
    for (i, pair) in network.sent.windows(2).take(6).enumerate() {
        let ceiling = backoff.ceiling(u32::try_from(i + 1).unwrap());
        let pause = pair[1].0.since(pair[0].0) - 2 * network::DELAY;
        assert!(ceiling / 2 <= pause && pause <= ceiling, "{i} {pause:?} {ceiling:?}");
    }
}

#[test]
fn w9_every_kind_of_failure_opens_the_breaker_and_a_real_request_closes_it() {
    let unavailable = Script::Answer(Answer::Unavailable { retry_after_ms: 0 });
    let failures = [
        (unavailable, Class::Rejected),
        (Script::Silent, Class::Unknown),
        (Script::Answer(Answer::Unknown), Class::Unknown),
        (Script::NotSent, Class::Rejected),
    ];
    for (failure, class) in failures {
        let mut network = Network::new(1, Config::default());
        let script = failure.clone();
        network.each(move |_, _| script.clone());
        network.submit(Submit { deadline: millis_at(6_000), ..write(1) });
        network.run_until(millis_at(6_000));
        let error = network.result(1).unwrap_err();
        assert_eq!(error.class(), class, "{failure:?} {error}");
        let states = network.breaker_states();
        assert!(matches!(states[0], BreakerState::Open { .. }), "{failure:?} {states:?}");
        network.heal(peer(1));
        network.run_for(31 * SECOND);
        let sent_count = network.sent.len();
        network.submit(write(2));
        network.submit(write(3));
        assert_eq!(network.sent.len(), sent_count + 1, "one probe, and it is the request itself");
        assert_eq!(network.sent[sent_count].2.ticket, Ticket(2));
        let state = network.router.breaker(peer(1), PartitionId(0));
        assert!(matches!(state, BreakerState::HalfOpen { .. }));
        network.run_for(5 * SECOND);
        assert!(network.result(2).is_ok() && network.result(3).is_ok());
        assert_eq!(network.breaker_states().last(), Some(&BreakerState::Closed));
        assert_eq!(network.router.breakers().count(), 0);
    }
}

#[test]
fn an_open_breaker_answers_at_once_when_waiting_is_in_vain() {
    let mut network = Network::new(1, Config::default());
    network.each(|_, _| Script::NotSent);
    network.submit(Submit { deadline: millis_at(2_000), ..write(1) });
    network.run_until(millis_at(2_000));
    let deadline = network.now.after(Duration::from_millis(100));
    network.submit(Submit { deadline, ..write(2) });
    let error = network.result(2).unwrap_err();
    assert!(matches!(error, RouteError::Unavailable { retry_after_ms: 1.., .. }), "{error}");
    assert!(error.is_retryable());
}

#[test]
fn repeated_late_and_foreign_answers_are_ignored() {
    let mut network = Network::new(3, Config::default());
    network.each(|_, _| Script::Silent);
    network.submit(write(1));
    let result = |ticket, attempt| Reply { ticket: Ticket(ticket), attempt, answer: done("x") };
    let (asked, other) = (network.sent[0].1, peer(9));
    network.reply(other, result(1, 1));
    network.reply(asked, result(1, 2));
    network.reply(asked, result(5, 1));
    assert_eq!(network.router.pending_count(), 1);
    network.reply(asked, result(1, 1));
    network.reply(asked, result(1, 1));
    assert_eq!(network.done.len(), 1);
    assert_eq!(network.router.counters().ignored, 4);
    assert_eq!(network.router.poll_timeout(), None);
}

#[test]
fn a_late_result_of_an_earlier_attempt_counts_and_a_late_refusal_moves_nothing() {
    let mut network = Network::new(3, Config::default());
    network.each(|_, _| Script::Silent);
    network.submit(write(1));
    network.run_for(3 * SECOND);
    assert!(network.sent.len() >= 3);
    let sent_count = network.sent.len();
    let reply = |attempt, answer| Reply { ticket: Ticket(1), attempt, answer };
    let (first, second) = (network.sent[0].1, network.sent[1].1);
    network.reply(first, reply(1, Answer::Unavailable { retry_after_ms: 0 }));
    assert_eq!((network.sent.len(), network.done.len()), (sent_count, 0));
    network.reply(second, reply(2, done("late")));
    assert_eq!(network.result(1), Ok(Bytes::from_static(b"late")));
}

#[test]
fn an_unanswered_write_is_unknown_at_its_deadline_and_resolved_through_another_member() {
    let mut network = Network::new(3, Config::default());
    network.each(|me, request| match request.purpose {
        Purpose::Resolve(_) if me != peer(2) => Script::Answer(done("fenced")),
        _ if me == peer(2) => Script::Silent,
        _ => Script::Answer(Answer::Unavailable { retry_after_ms: 0 }),
    });
    network.hint(reign(1, 2));
    network.submit(Submit { deadline: millis_at(3_000), ..write(1) });
    network.run_until(millis_at(3_000));
    let error = network.result(1).unwrap_err();
    assert!(matches!(
        error,
        RouteError::Unknown { reason: UnknownReason::Deadline, last: Some(last), .. }
            if last == peer(2)
    ));
    let Purpose::Write(id) = write(1).purpose else { unreachable!("a write") };
    let deadline = network.now.after(SECOND);
    network.submit(Submit::resolve(Ticket(2), id, Bytes::new(), deadline, &error));
    network.run_for(SECOND);
    assert_eq!(network.result(2), Ok(Bytes::from_static(b"fenced")));
    let (_, asked, request) = network.sent.last().unwrap();
    assert!(*asked != peer(2) && request.tried == [peer(2)]);
}

#[test]
fn a_read_is_never_unknown_and_a_resolution_without_answer_always_is() {
    let mut network = Network::new(3, Config::default());
    network.each(|_, _| Script::Silent);
    let deadline = millis_at(2_500);
    let read = Purpose::Read(PlacementKey::from_u64(1));
    network.submit(Submit { purpose: read, deadline, ..write(1) });
    network.run_until(deadline);
    assert!(matches!(network.result(1), Err(RouteError::Unavailable { .. })));
    network.each(|_, _| Script::NotSent);
    let Purpose::Write(id) = write(1).purpose else { unreachable!("a write") };
    let deadline = network.now.after(SECOND);
    network.submit(Submit { purpose: Purpose::Resolve(id), deadline, ..write(2) });
    network.run_for(SECOND);
    assert_eq!(network.result(2).unwrap_err().class(), Class::Unknown);
}

#[test]
fn a_busy_node_is_asked_again_when_it_says_but_not_in_a_year() {
    let mut network = Network::new(3, Config::default());
    network.each(|_, request| match request.attempt {
        1 => Script::busy(300),
        2 => Script::busy(u64::MAX),
        _ => Script::Answer(done("")),
    });
    network.submit(Submit { deadline: millis_at(60_000), ..write(1) });
    network.run_for(30 * SECOND);
    assert_eq!(network.result(1), Ok(Bytes::new()));
    let asked: std::collections::BTreeSet<_> = network.sent.iter().map(|sent| sent.1).collect();
    assert_eq!(asked.len(), 1, "the same node");
    let pause = |i: usize| network.sent[i].0.since(network.sent[i - 1].0) - 2 * network::DELAY;
    assert_eq!(pause(1), Duration::from_millis(300));
    assert_eq!(pause(2), network.config.retry_after_max);
    assert_eq!(network.router.breakers().count(), 0, "busy is no failure");
}

#[test]
fn a_new_coordinator_is_asked_although_its_breaker_is_open() {
    let mut network = Network::new(2, Config::default());
    let elected = millis_at(3_000);
    network.each_at(move |now, me, request| {
        if now < elected {
            Script::NotSent
        } else if me == peer(2) {
            Script::Answer(done(""))
        } else {
            let (partition, reign) = (request.partition, reign(5, 2));
            Script::Answer(Answer::Redirect { partition, reign })
        }
    });
    network.submit(Submit { deadline: millis_at(20_000), ..write(1) });
    network.run_until(elected);
    let is_open = |state| matches!(state, BreakerState::Open { .. });
    assert!([1, 2].iter().all(|i| is_open(network.router.breaker(peer(*i), PartitionId(0)))));
    network.run_until(millis_at(20_000));
    let after: Vec<_> = network.sent.iter().filter(|sent| sent.0 >= elected).collect();
    assert_eq!(network.result(1), Ok(Bytes::new()));
    if after[0].1 == peer(1) {
        assert_eq!(after[1].0, after[0].0.after(2 * network::DELAY), "at once");
    }
    assert_eq!(after.last().unwrap().1, peer(2));
}

/// The coordinator dies; the others name it until one of them has taken over. The request does not
/// spend its hops on the dead.
#[test]
fn a_request_outlives_a_takeover() {
    let mut network = Network::new(3, Config::default());
    network.hint(reign(1, 1));
    let takeover = millis_at(2_500);
    network.each_at(move |now, me, request| {
        let partition = request.partition;
        if me == peer(1) {
            Script::NotSent
        } else if now < takeover {
            Script::Answer(Answer::Redirect { partition, reign: reign(1, 1) })
        } else if me == peer(2) {
            let reign = reign(2, 2);
            Script::Answer(Answer::Done { partition, reign, bytes: Bytes::new() })
        } else {
            Script::Answer(Answer::Redirect { partition, reign: reign(2, 2) })
        }
    });
    network.submit(Submit { deadline: millis_at(10_000), ..write(1) });
    network.run_for(10 * SECOND);
    assert_eq!(network.result(1), Ok(Bytes::new()));
    assert_eq!(network.router.map().coordinator(PartitionId(0)), Some(peer(2)));
    let answered = network.sent.last().unwrap().0;
    assert!(answered.since(takeover) < SECOND, "{answered}");
}

#[test]
fn a_lost_connection_is_noticed_before_the_timeout() {
    let mut network = Network::new(3, Config::default());
    network.each(|_, request| match request.attempt {
        1 => Script::Silent,
        _ => Script::Answer(done("")),
    });
    network.submit(write(1));
    let lost = network.sent[0].1;
    network.input(Input::Disconnected(lost));
    network.run_for(Duration::from_millis(200));
    assert_eq!(network.result(1), Ok(Bytes::new()));
    assert_ne!(network.sent[1].1, lost);
}

#[test]
fn d66_tables_are_bounded_and_say_so() {
    let config = Config { requests_max: 2, payload_bytes_max: 100, ..Config::default() };
    let mut network = Network::new(3, config);
    network.each(|_, _| Script::Silent);
    let sized = |ticket, bytes| Submit { payload: vec![0; bytes].into(), ..write(ticket) };
    network.submit(sized(1, 60));
    network.submit(sized(2, 41));
    network.submit(sized(3, 40));
    network.submit(sized(4, 0));
    network.submit(sized(5, ENTRY_BYTES_MAX + 1));
    let busy = |what, max| Err(RouteError::Busy { what, max });
    assert_eq!(network.result(2), busy(Table::PayloadBytes, 100));
    assert_eq!(network.result(4), busy(Table::Requests, 2));
    assert!(matches!(network.result(5), Err(RouteError::TooLarge { .. })));
    network.input(Input::Cancel(Ticket(1)));
    network.submit(sized(6, 60));
    assert_eq!(network.router.pending_count(), 2, "there is room again");
    network.submit(Submit { deadline: network.now, ..write(7) });
    assert_eq!(network.done.iter().filter(|(ticket, _)| *ticket == Ticket(1)).count(), 0);
}

#[test]
fn a_request_past_its_deadline_or_without_anybody_to_ask_ends_at_once() {
    let mut network = Network::new(3, Config::default());
    network.submit(Submit { deadline: network.now, ..write(1) });
    assert_eq!(network.result(1), Err(RouteError::Expired));
    let mut lonely = Network::new(0, Config::default());
    lonely.submit(write(1));
    assert_eq!(lonely.result(1), Err(RouteError::NoRoute { partition: PartitionId(0) }));
    let mut seeded = Network::new(0, Config { seeds: vec![peer(4)], ..Config::default() });
    seeded.each(|_, _| Script::Answer(done("")));
    seeded.submit(write(1));
    seeded.run_for(SECOND);
    assert_eq!(seeded.result(1), Ok(Bytes::new()));
}

#[test]
fn spurious_inputs_change_nothing() {
    let mut network = Network::new(3, Config::default());
    network.each(|_, _| Script::Silent);
    network.submit(write(1));
    let before = network.router.clone();
    network.input(Input::Timeout);
    network.input(Input::Cancel(Ticket(9)));
    network.input(Input::NotSent { ticket: Ticket(9), attempt: 1 });
    network.input(Input::Disconnected(peer(77)));
    assert_eq!(network.router, before);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let check = |config: Config, expect| assert_eq!(config.check(), expect);
    check(Config::default(), Ok(()));
    let none = Duration::ZERO;
    let zero = |what| Err(ConfigError::Zero(what));
    check(Config { attempt_timeout: none, ..Config::default() }, zero("attempt_timeout"));
    check(Config { requests_max: 0, ..Config::default() }, zero("requests_max"));
    let many = |what, max| Err(ConfigError::TooMany { what, max });
    check(Config { hops_max: 4, ..Config::default() }, many("hops_max", 3));
    let seeds = vec![peer(1); SEEDS_MAX + 1];
    check(Config { seeds, ..Config::default() }, many("seeds", SEEDS_MAX));
}
