//! Whatever the nodes do, every request ends once and in time, and nothing that was executed is
//! called rejected.

use std::{cell::RefCell, rc::Rc};

use proptest::prelude::*;

use super::*;

/// Tickets that some node executed.
type Executed = Rc<RefCell<BTreeSet<Ticket>>>;

/// What a node does with the n-th request of a run, drawn from a list of choices.
fn script(choice: u8, me: PeerId, request: &Request, executed: &Executed) -> Script {
    let execute = || {
        executed.borrow_mut().insert(request.ticket);
        done("done")
    };
    let (partition, attempt) = (request.partition, u64::from(request.attempt));
    let other = (1..=5).find(|i| peer(*i) != me && i % 4 == choice % 4).unwrap_or(5);
    match choice % 12 {
        0 => Script::Answer(execute()),
        1 => Script::Twice(execute()),
        2 => Script::Late(Duration::from_millis(1500), execute()),
        3 => {
            drop(execute());
            Script::Silent
        }
        4 => Script::Silent,
        5 => Script::NotSent,
        6 => Script::busy(u64::from(choice) * 100),
        7 => Script::Answer(Answer::Unavailable { retry_after_ms: u64::from(choice) }),
        8 => {
            drop(execute());
            Script::Answer(Answer::Unknown)
        }
        9 => Script::Twice(Answer::Redirect { partition, reign: reign(attempt, other) }),
        10 => Script::Late(
            Duration::from_millis(1200),
            Answer::Redirect { partition, reign: reign(attempt, other) },
        ),
        _ => Script::Answer(Answer::NotMine(Box::new(Part {
            version: Version { generation: 0, index: weald_core::LogIndex(attempt) },
            partition: PartitionId(u32::from(choice) % 3),
            range: (0, u64::from(choice)).try_into().unwrap(),
            members: crate::placement::Members {
                voters: [peer(other), peer(2)].into(),
                ..Default::default()
            },
            reign: reign(attempt, other),
        }))),
    }
}

/// Runs requests, one every 300 ms, with 4 s each.
fn run(choices: &[u8], request_count: u64) -> (Network, Executed) {
    let executed = Executed::default();
    let mut network = Network::new(5, Config::default());
    let (seen, choices) = (Rc::clone(&executed), choices.to_vec());
    let mut turn = 0;
    network.each(move |me, request| {
        turn += 1;
        script(choices[turn % choices.len()], me, request, &seen)
    });
    for ticket in 1..=request_count {
        let deadline = network.now.after(4 * SECOND);
        network.submit(Submit { deadline, ..write(ticket) });
        network.run_for(Duration::from_millis(300));
    }
    network.run_for(5 * SECOND);
    (network, executed)
}

proptest! {
    #[test]
    fn every_request_ends_once_in_time_and_what_was_executed_is_never_rejected(
        choices in proptest::collection::vec(any::<u8>(), 1..30), request_count in 1_u64..12,
    ) {
        let (network, executed) = run(&choices, request_count);
        prop_assert_eq!(network.router.pending_count(), 0);
        prop_assert_eq!(network.router.poll_timeout(), None);
        prop_assert_eq!(network.done.len() as u64, request_count);
        for ticket in 1..=request_count {
            let is_executed = executed.borrow().contains(&Ticket(ticket));
            match network.result(ticket) {
                Ok(_) => prop_assert!(is_executed),
                Err(error) => prop_assert!(!is_executed || error.class() == Class::Unknown),
            }
        }
        for (_, _, request) in &network.sent {
            prop_assert!(request.hops <= 3);
            prop_assert_eq!(&request.payload, &write(request.ticket.0).payload);
            prop_assert!(request.tried.len() <= super::super::super::limits::TRIED_MAX);
        }
    }

    #[test]
    fn one_seed_and_one_network_give_one_run(
        choices in proptest::collection::vec(any::<u8>(), 1..30),
    ) {
        let ((one, _), (other, _)) = (run(&choices, 5), run(&choices, 5));
        prop_assert_eq!(&one.sent, &other.sent);
        prop_assert_eq!(&one.done, &other.done);
        prop_assert_eq!(&one.router, &other.router);
    }
}
