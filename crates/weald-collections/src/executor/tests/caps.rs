//! Every cap of one transaction, hit.

use weald_core::limits::{TRANSACTION_ACTIONS_MAX, TransactionLimits};

use super::*;
use crate::{ANSWERS_BYTES_MAX, CHANGE_NOTES_BYTES_MAX, HEADER_BYTES_MAX};

fn refused(site: &mut Site, actions: &[Action], what: &str) {
    let before = site.source.blocks.clone();
    match site.run(actions) {
        Err(Rejection::TooLarge { what: found, actual, max }) => {
            assert_eq!(found, what);
            assert!(actual > max || found == "blocks made");
        }
        other => panic!("what={what} {other:?}"),
    }
    assert_eq!(site.source.blocks, before);
}

#[test]
fn blocks_and_bytes_of_a_transaction_are_capped() {
    let mut site = probed();
    site.limits = TransactionLimits { blocks_max: 20, bytes_max: 3 << 20 };
    // The state, the chain and the new blocks are counted.
    site.run(&[probe("p", "blocks 18")]).unwrap();
    refused(&mut site, &[probe("p", "blocks 19")], "blocks");
    refused(&mut site, &[probe("p", "blocks 10"), probe("p", "blocks 10")], "blocks");
    site.run(&[probe("p", "bytes 2")]).unwrap();
    refused(&mut site, &[probe("p", "bytes 3")], "bytes");
}

#[test]
fn work_that_is_taken_back_is_capped_too() {
    let mut site = probed();
    site.limits = TransactionLimits { blocks_max: 20, bytes_max: 1 << 20 };
    site.run(&[probe("p", "churn 159")]).unwrap();
    refused(&mut site, &[probe("p", "churn 161")], "blocks made");
    refused(&mut site, &[probe("p", "bytes 9")], "bytes written");
}

#[test]
fn a_block_is_capped_however_it_grows() {
    let mut site = probed();
    refused(&mut site, &[probe("p", "huge")], "block bytes");
    refused(&mut site, &[probe("p", "swell")], "block bytes");
}

#[test]
fn notes_answers_header_and_actions_are_capped() {
    let mut site = probed();
    let note = |bytes: usize| probe("p", &format!("note {bytes}"));
    site.run(&[note(CHANGE_NOTES_BYTES_MAX)]).unwrap();
    refused(&mut site, &[note(CHANGE_NOTES_BYTES_MAX), note(1)], "change notes bytes");
    let answer = probe("p", &format!("answer {}", ANSWERS_BYTES_MAX / 2));
    site.run(&[answer.clone(), answer.clone()]).unwrap();
    refused(&mut site, &[answer.clone(), answer, probe("p", "answer 1")], "answer bytes");
    let mut create = probe_create("q", CreateMode::Create);
    if let ActionBody::Create { options, .. } = &mut create.body {
        *options = vec![0; HEADER_BYTES_MAX].into();
    }
    refused(&mut site, &[create], "header bytes");
    let actions = vec![probe("p", "read"); TRANSACTION_ACTIONS_MAX + 1];
    refused(&mut site, &actions, "actions");
    site.run(&actions[1..]).unwrap();
}
