//! Acknowledging what a subscription has told, also for whoever does not hold the subscription.

use std::sync::Arc;

use tokio::sync::watch;
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
    /// The last position that was told, and its generation.
    pub(crate) fn told(&self) -> Bookmark {
        let state = self.shared.state.lock();
        Bookmark { generation: state.machine.generation(), position: state.machine.last_seen() }
    }

    /// Tells when the subscription, once it is left, keeps nothing any more.
    pub(crate) fn farewell(&self) -> Farewell {
        Farewell(self.shared.kept.subscribe())
    }

    /// The last position that was acknowledged.
    pub(crate) fn cursor(&self) -> TopicPosition {
        self.shared.state.lock().machine.cursor()
    }

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

/// Tells when a subscription that was left is over. Whoever writes its cursor then is not overtaken
/// by what it has still to keep.
#[derive(Clone)]
pub(crate) struct Farewell(pub(crate) watch::Receiver<Bookmark>);

impl Farewell {
    /// Waits for its end, for as long as its last words take.
    pub(crate) async fn over(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
