//! Blocks that cannot be read while an operation runs.

use std::cell::Cell;

use weald_core::{Action, BlockId, BlockRead, BlockSource, Executed, Fault, Halt};

use super::*;
use crate::{
    limits::{BODY_BYTES_MAX, BODY_CHUNK_BYTES},
    testing::{Blocks, sized},
};

/// What happens instead of a read.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Fault,
    NotHere,
}

/// Blocks that can be read so many times.
struct Failing<'b> {
    blocks: &'b Blocks,
    left: Cell<usize>,
    trouble: Trouble,
}

impl BlockSource for Failing<'_> {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.unwrap_or(0));
        match (left, self.trouble) {
            (Some(_), _) => self.blocks.block(id),
            (None, Trouble::NotHere) => Ok(BlockRead::NotHere),
            (None, Trouble::Fault) => Err(Fault::Missing { id }),
        }
    }
}

/// A topic with messages of which some have expired, a subscription and a group.
fn used() -> (Site, Identity) {
    let owner = identity(5);
    let (owner_key, body_bytes_max) = (Some(owner.public()), BODY_BYTES_MAX);
    let policy = TopicPolicy { owner: owner_key, body_bytes_max, ..TopicPolicy::default() };
    let (mut site, keys) = (Site::with(policy), identity(1));
    for n in 1..=20 {
        site.publish_one(lasting(&keys, n, at(20 + n))).unwrap();
    }
    let body = vec![7; BODY_CHUNK_BYTES + 1];
    let large = Draft { expires_at: at(24), ..draft(1, body) };
    site.publish_one(Message::sign(&address(), large, &identity(6)).unwrap()).unwrap();
    for action in [subscribe(&site, 1), fetch(&site, 1)] {
        site.act(action).unwrap();
    }
    site.time = at(25);
    (site, owner)
}

fn subscribe(site: &Site, nonce: u64) -> Action {
    let expires_at = site.time.after(std::time::Duration::from_secs(60));
    let (action, signed_at) = (LeaseAction::Subscribe, site.time);
    let last_seen = TopicPosition::ZERO;
    let request = LeaseRequest { action, stream: 1, nonce, signed_at, expires_at, last_seen };
    topic().lease(signed(request, &identity(3)))
}

fn fetch(site: &Site, nonce: u64) -> Action {
    let deadline = site.time.after(std::time::Duration::from_secs(60));
    let action = GroupAction::Fetch { max: 3, deadline, start: TopicPosition(1) };
    let group = "workers".to_owned();
    topic()
        .consume(signed(GroupRequest { group, nonce, signed_at: site.time, action }, &identity(4)))
}

/// One of each operation.
fn operations(site: &Site, owner: &Identity) -> Vec<Action> {
    let keys = identity(1);
    let skip = Skip::sign(&address(), (Incarnation(1), PublisherSequence(21)), &keys).unwrap();
    let union = Union { messages: vec![message(&identity(2), 7, "there")], leases: Vec::new() };
    let administer = |action| {
        topic()
            .administer(signed(AdminRequest { signed_at: site.time, generation: 1, action }, owner))
    };
    vec![
        topic().publish(vec![message(&keys, 21, "one more")], BatchMode::Each),
        topic().publish(vec![sized(&keys, 21, 2 * BODY_CHUNK_BYTES + 1)], BatchMode::Each),
        topic().skip(vec![skip]),
        subscribe(site, 2),
        fetch(site, 2),
        topic().prune(10),
        administer(AdminAction::Union(union)),
        administer(AdminAction::Delete),
    ]
}

/// Runs `action` with trouble at its `nth` read; whether it came to an end.
fn ends(site: &Site, action: &Action, (nth, trouble): (usize, Trouble)) -> bool {
    let source = Failing { blocks: &site.blocks, left: Cell::new(nth), trouble };
    match site.attempt(&source, action) {
        Ok(Executed::Done { .. }) => true,
        Ok(Executed::Refused(rejection)) => panic!("trouble is no refusal: {rejection:?}"),
        Err(Halt::Need(ids)) => {
            assert!(matches!(trouble, Trouble::NotHere) && !ids.is_empty());
            false
        }
        Err(Halt::Fault(fault)) => {
            assert!(matches!(trouble, Trouble::Fault), "{fault}");
            false
        }
    }
}

#[test]
fn d5_ps501_ps1131_trouble_at_any_block_is_no_result_and_a_retry_does_the_operation_whole() {
    let (site, owner) = used();
    for (nth, action) in operations(&site, &owner).into_iter().enumerate() {
        let (mut once, mut again) = (site.clone(), site.clone());
        once.act(action.clone()).unwrap();
        for trouble in [Trouble::Fault, Trouble::NotHere] {
            let mut reads = 0;
            while !ends(&again, &action, (reads, trouble)) {
                assert_eq!(again.blocks, site.blocks, "operation {nth}, read {reads}");
                reads += 1;
            }
            assert!(reads >= 4, "operation {nth} reads {reads} blocks");
        }
        again.act(action).unwrap();
        assert_eq!(again.blocks, once.blocks, "operation {nth}");
    }
}
