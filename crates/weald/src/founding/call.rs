//! What takes time, beside the task: asking peers, logging entries, making replicas.

use std::{sync::Arc, time::Instant};

use weald_cluster::{
    configuration::{Configuration, Member},
    founding::{Answer, Genesis, Proposed, Request},
};
use weald_core::{Outcome, PartitionId, Payload, PeerId, Transport};

use super::{
    JOIN,
    limits::{ASK_DEADLINE, FOUND_RETRY, PROPOSE_DEADLINE},
};
use crate::{
    members::{self, Caller, HostError, Members, Proposal, ProposeError, Terms},
    write::Ack,
};

/// Asks a peer; `None` when it says nothing that can be understood.
pub(super) async fn ask(
    network: Arc<dyn Transport>,
    peer: PeerId,
    request: Box<Request>,
) -> Option<Box<Answer>> {
    let request = weald_core::Request::new(JOIN, request.encode(), ASK_DEADLINE);
    match network.call(peer, request).await {
        Ok(bytes) => Answer::decode(&bytes).ok().map(Box::new),
        Err(error) => {
            tracing::debug!(target: "weald::founding", %peer, %error, "no answer");
            None
        }
    }
}

/// Has an entry logged and applied.
pub(super) async fn propose(
    members: Members,
    partition: PartitionId,
    payload: Payload,
) -> Proposed {
    let (caller, answer) = Caller::channel();
    let terms = Terms { ack: Ack::default(), deadline: Instant::now() + PROPOSE_DEADLINE };
    if let Err(refused) = members.propose(partition, Proposal::new(payload, terms, caller)) {
        return not_logged(&refused);
    }
    match answer.await {
        Ok(members::Answer::Applied(_)) => Proposed::Applied,
        Ok(members::Answer::Settled(Outcome::Rejected(rejection))) => Proposed::Refused(rejection),
        Ok(members::Answer::Refused(refused)) => not_logged(&refused),
        Ok(members::Answer::Settled(_) | members::Answer::Accepted) | Err(_) => Proposed::Failed,
    }
}

fn not_logged(refused: &ProposeError) -> Proposed {
    match refused {
        ProposeError::NotCoordinator { hint } => {
            Proposed::NotCoordinator(hint.map(|member| member.peer))
        }
        ProposeError::Rejected(rejection) => Proposed::Refused(rejection.clone()),
        _ => Proposed::Failed,
    }
}

/// Makes a replica of each partition of a new network, however long that takes.
pub(super) async fn found(members: Members, genesis: Box<Genesis>) {
    for partition in genesis.partitions() {
        while let Err(error) = found_one(&members, partition, genesis.configuration()).await {
            tracing::error!(target: "weald::founding", %partition, %error, "no replica was made");
            tokio::time::sleep(FOUND_RETRY).await;
        }
    }
}

async fn found_one(
    members: &Members,
    partition: PartitionId,
    configuration: Configuration,
) -> Result<(), HostError> {
    match members.found(partition, configuration).await {
        Ok(Ok(_) | Err(HostError::Hosted(_))) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(HostError::Closing),
    }
}

/// Lets a member begin to live here.
pub(super) async fn host(members: Members, partition: PartitionId, of: (Genesis, Member)) {
    let (genesis, member) = of;
    if let Ok(Err(error)) = members.adopt(partition, genesis.configuration(), member).await {
        tracing::debug!(target: "weald::founding", %partition, %error, "no member was made");
    }
}
