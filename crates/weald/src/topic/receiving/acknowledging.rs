//! Acknowledging what a subscription has told, also for whoever does not hold the subscription.

use std::sync::Arc;

use weald_pubsub::TopicPosition;

use super::Shared;
use crate::{
    Error, ErrorKind, Result,
    node::closed,
    topic::{Topic, bookmark::Bookmark},
};

/// A hold on what a subscription has told. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Acknowledging {
    pub(super) shared: Arc<Shared>,
    pub(super) topic: Topic,
    pub(super) is_durable: bool,
}

impl Acknowledging {
    /// The application is done with everything up to `position`; a durable subscription has kept it
    /// when this returns.
    pub(crate) async fn acknowledge(&self, position: TopicPosition) -> Result<()> {
        let wanted = {
            let mut state = self.shared.state.lock();
            state.machine.acknowledge(position);
            let reached = state.bookmark();
            Bookmark { position, ..reached }.min(reached)
        };
        self.shared.wake.notify_one();
        if !self.is_durable || position > wanted.position {
            return Ok(());
        }
        let mut kept = self.shared.kept.subscribe();
        let timeout = self.topic.node.running()?.config.write_timeout;
        match tokio::time::timeout(timeout, kept.wait_for(|kept| *kept >= wanted)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(Error::new(ErrorKind::Unknown, "the cursor is not kept yet")),
        }
    }
}
