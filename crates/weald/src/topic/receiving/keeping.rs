//! The cursor of a durable subscription: kept in a tree beside the topic, in its partition.

use weald_pubsub::TopicPosition;

use super::Task;
use crate::topic::{
    Topic,
    limits::CURSOR_PAUSE,
    subscription::{cursor_key, cursors},
};

impl Task {
    /// Keeps the cursor if it has moved.
    pub(super) fn keep_on(&mut self) {
        let Some(name) = self.durable.clone().filter(|_| self.keeping.is_none()) else { return };
        let cursor = self.shared().state.lock().machine.cursor();
        let is_kept = *self.shared().kept.borrow() >= cursor;
        let Some(node) = self.node.near().filter(|_| !is_kept) else { return };
        self.keeping = Some(Box::pin(keep(self.topic.near(node), name, cursor)));
    }

    pub(super) fn kept(&self, kept: Option<TopicPosition>) {
        if let Some(position) = kept {
            self.shared().kept.send_replace(position);
        }
    }
}

/// Keeps the cursor; `None` when that is to be tried again.
async fn keep(topic: Topic, name: String, cursor: TopicPosition) -> Option<TopicPosition> {
    match put(&topic, &name, cursor).await {
        Ok(()) => Some(cursor),
        Err(error) => {
            tracing::debug!(target: "weald::topic", %error, "a cursor is not kept yet");
            tokio::time::sleep(CURSOR_PAUSE).await;
            None
        }
    }
}

async fn put(topic: &Topic, name: &str, cursor: TopicPosition) -> crate::Result<()> {
    let tree = topic.node.raw_tree(&cursors(topic)).open_or_create().await?;
    tree.put(cursor_key(name).as_bytes(), cursor.0.to_be_bytes()).await?;
    Ok(())
}
