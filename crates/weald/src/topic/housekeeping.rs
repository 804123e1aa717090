//! Removing what has expired where nobody publishes: whoever coordinates a partition asks for it.

use std::{sync::Arc, time::Duration};

use weald_collections::ReadError;
use weald_core::{Action, At, PartitionId, StateStore, Time};
use weald_pubsub::{
    self as pubsub, PruneAnswer, TopicAddress, TopicId, TopicReadError, TopicType,
    limits::PRUNE_MAX,
};
use weald_storage::state::PartitionStore;

use super::publishing::Distant;
use crate::{
    Result, Weald, Write,
    backend::Version,
    node::{blocking, collections_in, header, read_blocking, read_error, state_error},
    write::undecodable,
};

/// How often it is looked for what is due.
const LOOK_PAUSE: Duration = Duration::from_secs(10);
/// Prunes of one topic at a time: then others have their turn.
const PRUNES_MAX: usize = 64;

/// A partition that a node coordinates.
pub(crate) struct Duty {
    /// Which.
    pub(crate) partition: PartitionId,
    /// Its state.
    pub(crate) store: Arc<PartitionStore>,
}

/// Looks after the topics of the partitions that a node coordinates, for as long as there is the
/// node, on the runtime that this is called in. Without one, publishes alone make room.
pub(crate) fn look_after(node: &Weald) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let node = Distant::of(node);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            if !node.is_held() {
                return;
            }
            // A node that begins anew is not there for a while.
            let Some(node) = node.near() else { continue };
            if let Err(error) = housekeep(&node).await {
                tracing::debug!(target: "weald::topic", %error, "topics are not pruned now");
            }
        }
    });
}

/// Prunes the topics that have something due. Returns how many entries were removed.
pub(crate) async fn housekeep(node: &Weald) -> Result<u64> {
    let running = node.running()?;
    let (duties, now) = (running.backend.duties(), running.clock.now());
    drop(running);
    let mut removed = 0;
    for duty in duties {
        let due = blocking(move || due(&duty, now)).await??;
        for topic in due {
            removed += prune(node, topic).await?;
        }
    }
    Ok(removed)
}

/// The topics of a partition that have something due.
fn due(duty: &Duty, now: Time) -> Result<Vec<pubsub::Topic>> {
    let ids = collections_in(&duty.store)?;
    let view = duty.store.view(At::Latest).map_err(state_error)?;
    let version = Version::new(duty.partition, view, now);
    let name = TopicType::type_name();
    let mut due = Vec::new();
    for id in ids {
        let header = read_blocking(&version, |reader| header(reader, id)).map_err(read_error)?;
        let Some(header) = header.filter(|header| header.type_name == name) else { continue };
        let Some(topic) = TopicId::of_collection(&header.name) else { continue };
        // Nothing that is due names the network.
        let code = pubsub::Topic::new(TopicAddress { network: weald_core::Digest::ZERO, topic });
        let at = read_blocking(&version, |reader| match code.due(reader) {
            Err(TopicReadError::Read(error)) => Err::<_, ReadError>(error),
            Err(TopicReadError::Deleted) => Ok(None),
            Ok(at) => Ok(at),
        });
        if at.map_err(read_error)?.is_some_and(|at| at <= now) {
            due.push(code);
        }
    }
    Ok(due)
}

async fn prune(node: &Weald, topic: pubsub::Topic) -> Result<u64> {
    let mut removed = 0;
    for _ in 0..PRUNES_MAX {
        let answer = pruned(node, topic.prune(PRUNE_MAX)).await?;
        removed += answer.removed;
        if !answer.has_more {
            break;
        }
    }
    Ok(removed)
}

/// Has a prune logged.
pub(super) async fn pruned(node: &Weald, action: Action) -> Result<PruneAnswer> {
    let write = Write::new(node, Ok(vec![action]), |reply| {
        PruneAnswer::decode(reply.answer()?).map_err(|error| undecodable(&error))
    });
    write.await
}
