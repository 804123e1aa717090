//! Transactions over several partitions, whose coordinators talk over a courier of the test's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use weald_cluster::partition::coordination::{
    Message,
    primary::{Begin, Order},
    shares,
};
use weald_core::{
    Outcome, PartitionId, PlacementKey, TransactionBody, TransactionId, TransactionRequest,
};

use super::rig::{Cluster, put, put_into, soon, wait};
use crate::{
    members::{Answer, Caller, Courier, Members, ProposeError, Terms},
    node::SystemEntropy,
    write::Ack,
};

const STOCK: PartitionId = PartitionId(1);
const ORDERS: PartitionId = PartitionId(2);

/// Carries messages to whichever node coordinates.
#[derive(Default)]
struct Everywhere(Mutex<Vec<Members>>);

impl Courier for Everywhere {
    fn carry(&self, key: PlacementKey, message: Message) {
        let nodes = self.0.lock().clone();
        nodes.iter().any(|node| node.tell(partition_of(key), message.clone()).is_ok());
    }
}

fn key(name: &str) -> PlacementKey {
    PlacementKey::of(&name.parse().unwrap())
}

fn partition_of(place: PlacementKey) -> PartitionId {
    if place == key("stock") { STOCK } else { ORDERS }
}

/// A transaction that puts one entry into each of two trees, in two partitions.
fn both(number: u64) -> Begin {
    let actions = [put_into("stock", number), put_into("orders", number)].concat();
    let body = TransactionBody { actions, ..TransactionBody::default() };
    let id = TransactionId::random(key("stock"), &mut SystemEntropy);
    let request = TransactionRequest { id, expiry: soon(), session: None, body };
    Begin {
        id,
        expiry: request.expiry,
        session: None,
        digest: request.digest(),
        shares: shares(&request.body, partition_of),
        order: Order::Together,
    }
}

fn spanning_cluster() -> (Cluster, Arc<Everywhere>) {
    let cluster = Cluster::in_memory(3);
    let courier = Arc::new(Everywhere::default());
    for node in 0..3 {
        let members = cluster.node(node).members();
        courier.0.lock().push(members.clone());
        members.set_courier(courier.clone());
    }
    cluster.found(STOCK, 3);
    cluster.found(ORDERS, 3);
    (cluster, courier)
}

/// Drives `begin` through the primary's coordinator until it has an outcome.
fn drive(cluster: &Cluster, begin: &Begin) -> Outcome {
    let mut outcome = None;
    wait(|| {
        let (caller, receiver) = Caller::channel();
        let deadline = Instant::now() + Duration::from_secs(10);
        let terms = Terms { ack: Ack::Durable, deadline };
        let primary = cluster.node(cluster.coordinator(STOCK)).members();
        if primary.begin(STOCK, begin.clone(), (terms, caller)).is_err() {
            return false;
        }
        match receiver.blocking_recv().unwrap() {
            Answer::Settled(settled) => outcome = Some(settled),
            Answer::Refused(ProposeError::Busy { .. } | ProposeError::NotCoordinator { .. }) => {}
            other => panic!("{other:?}"),
        }
        outcome.is_some()
    });
    outcome.unwrap()
}

#[test]
fn w218_w220_a_transaction_over_two_partitions_happens_in_both_and_leaves_no_lock() {
    let (cluster, courier) = spanning_cluster();
    for number in 0..3 {
        // Levels and types are settled by the first coordinators' own entries.
        let outcome = drive(&cluster, &both(number));
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
    wait(|| {
        (0..3).all(|node| {
            let node = cluster.node(node);
            node.count_of(STOCK, "stock") == 3 && node.count_of(ORDERS, "orders") == 3
        })
    });
    // A write on one of them alone meets no lock, or waits for it to go.
    let coordinator = cluster.coordinator(STOCK);
    let answer = cluster.node(coordinator).write(STOCK, put(3));
    assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    courier.0.lock().clear();
}
