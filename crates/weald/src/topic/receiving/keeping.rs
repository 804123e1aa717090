//! The cursor of a durable subscription is kept whenever it has moved.

use super::Task;
use crate::topic::{Topic, bookmark::Bookmark, limits::CURSOR_PAUSE};

impl Task {
    /// Keeps the cursor if it has moved.
    pub(super) fn keep_on(&mut self) {
        let Some(name) = self.durable.clone().filter(|_| self.keeping.is_none()) else { return };
        let mark = self.shared().state.lock().bookmark();
        let is_kept = *self.shared().kept.borrow() >= mark;
        let Some(node) = self.node.near().filter(|_| !is_kept) else { return };
        self.keeping = Some(Box::pin(keep(self.topic.near(node), name, mark)));
    }

    pub(super) fn kept(&self, kept: Option<Bookmark>) {
        if let Some(mark) = kept {
            self.shared().kept.send_replace(mark);
        }
    }
}

/// Keeps the cursor; `None` when that is to be tried again.
async fn keep(topic: Topic, name: String, mark: Bookmark) -> Option<Bookmark> {
    match mark.write(&topic, &name).await {
        Ok(()) => Some(mark),
        Err(error) => {
            tracing::debug!(target: "weald::topic", %error, "a cursor is not kept yet");
            tokio::time::sleep(CURSOR_PAUSE).await;
            None
        }
    }
}
