//! What the gateway asks of a subscription that it tells: how far it has come, and when it is over.

use tokio::sync::watch;
use weald_pubsub::TopicPosition;

use super::Acknowledging;
use crate::topic::bookmark::Bookmark;

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
