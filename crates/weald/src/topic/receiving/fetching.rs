//! Bodies of large messages: asked for in parts, of the member in this process or of one elsewhere.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weald_core::PeerId;
use weald_pubsub::{BodyAnswer, BodyRequest, TopicPosition};

use super::Task;
use crate::{
    Error, ErrorKind, Metric, Result,
    topic::{Topic, look_at},
};

/// What the subscriptions of a node count.
#[derive(Debug, Default)]
pub(in crate::topic) struct BodyFigures {
    fetched: AtomicU64,
    refused: AtomicU64,
}

impl BodyFigures {
    pub(in crate::topic) fn metrics(&self) -> Vec<Metric> {
        let count =
            |name: &str, help, count: &AtomicU64| Metric::counter(name, help, count.load(Relaxed));
        let help = "Parts of large bodies that subscriptions of this node have got from members.";
        let fetched = count("weald_topic_body_parts_total", help, &self.fetched);
        let help = "Large bodies that were refused, since they are not those of their messages.";
        let refused = count("weald_topic_bodies_refused_total", help, &self.refused);
        vec![fetched, refused]
    }
}

impl Task {
    /// Asks a member for a part of a body. What was asked for before is not needed any more.
    pub(super) fn fetch(&mut self, number: u64, (member, request): (PeerId, BodyRequest)) {
        let Some(node) = self.node.near() else { return };
        let topic = self.topic.near(node);
        let is_near = member == self.me;
        self.fetching = Some(Box::pin(async move {
            let answer = match is_near {
                true => near(&topic, &request).await,
                false => far(&topic, (member, request)).await,
            };
            (number, answer.unwrap_or_else(|error| not_here(member, &error)))
        }));
    }

    /// A member has given another body than was asked for.
    pub(super) fn refuse(&self, member: PeerId, position: TopicPosition) {
        tracing::warn!(target: "weald::topic", %member, %position, "a body is not that of its message");
        let Some(node) = self.node.near() else { return };
        if let Ok(running) = node.running() {
            running.topics.bodies().refused.fetch_add(1, Relaxed);
        }
    }
}

/// A part of a body, as the member in this process has it.
async fn near(topic: &Topic, request: &BodyRequest) -> Result<BodyAnswer> {
    let shelf = topic.node.running()?.backend.shelf(&topic.code.collection());
    let elsewhere = || Error::new(ErrorKind::Unavailable, "the topic is not here any more");
    let version = shelf.ok_or_else(elsewhere)?.view().wait().await?;
    let now = version.log_time();
    let answer = look_at(&version, |reader| topic.code.body(reader, request, now)).await;
    noted(topic, answer)
}

/// A part of a body from a member on another node.
async fn far(topic: &Topic, (member, request): (PeerId, BodyRequest)) -> Result<BodyAnswer> {
    let running = topic.node.running()?;
    let asked = running.backend.body(member, *topic.address(), request);
    drop(running);
    noted(topic, asked.wait().await)
}

fn noted(topic: &Topic, answer: Result<BodyAnswer>) -> Result<BodyAnswer> {
    if let Ok(BodyAnswer::Chunks(_)) = answer {
        topic.node.running()?.topics.bodies().fetched.fetch_add(1, Relaxed);
    }
    answer
}

/// Another member is asked.
fn not_here(member: PeerId, error: &Error) -> BodyAnswer {
    tracing::debug!(target: "weald::topic", %member, %error, "a body does not come");
    BodyAnswer::NotHere
}
