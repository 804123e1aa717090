//! Cutting a transaction by partition.

use std::collections::BTreeMap;

use weald_core::{PartitionId, PlacementKey, TransactionBody};

/// One partition's share of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// The partition.
    pub partition: PartitionId,
    /// The least placement key of the share: where it is sent, and its place in the order in which
    /// reruns lock.
    pub key: PlacementKey,
    /// What it has to do.
    pub body: TransactionBody,
    /// For each action of the share, its place in the whole transaction.
    pub actions: Vec<u32>,
}

/// The shares of `body`, in the order of their keys. Actions touch their own collections only, so
/// that each share's actions, in their order, do what they do in the whole.
pub fn shares(
    body: &TransactionBody,
    partition_of: impl Fn(PlacementKey) -> PartitionId,
) -> Vec<Share> {
    let mut cut = Cut { partition_of, shares: BTreeMap::new() };
    for (place, action) in (0..).zip(&body.actions) {
        let share = cut.share(PlacementKey::of(&action.collection));
        share.body.actions.push(action.clone());
        share.actions.push(place);
    }
    for read in &body.reads {
        cut.share(read.block.placement()).body.reads.push(*read);
    }
    for transform in &body.transforms {
        cut.share(transform.id.placement()).body.transforms.push(transform.clone());
    }
    let mut shares: Vec<Share> = cut.shares.into_values().collect();
    shares.sort_by_key(|share| share.key);
    shares
}

struct Cut<F> {
    partition_of: F,
    shares: BTreeMap<PartitionId, Share>,
}

impl<F: Fn(PlacementKey) -> PartitionId> Cut<F> {
    fn share(&mut self, key: PlacementKey) -> &mut Share {
        let partition = (self.partition_of)(key);
        let share = self.shares.entry(partition).or_insert_with(|| Share {
            partition,
            key,
            body: TransactionBody::default(),
            actions: Vec::new(),
        });
        share.key = share.key.min(key);
        share
    }
}
