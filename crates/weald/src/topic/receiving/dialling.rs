//! Streams of a subscription: from the member in this process, or from one on another node.

use std::time::Duration;

use weald_core::PeerId;
use weald_pubsub::SubscriberInput;

use super::Task;
use crate::{
    Error, ErrorKind, Result,
    topic::{Link, Topic},
};

/// How often it is looked who the members are.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

impl Task {
    /// Tells the machine who the members of the topic's partition are, where that has changed.
    pub(super) fn look_at_members(&mut self) {
        let now = tokio::time::Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_PAUSE;
        let Some(node) = self.node.near() else { return };
        let topic = self.topic.near(node);
        let Ok(running) = topic.node.running() else { return };
        let collection = topic.code.collection();
        let mut members = running.backend.members(&collection);
        members.retain(|member| *member != self.me);
        if running.backend.shelf(&collection).is_some() {
            members.push(self.me);
        }
        if members != self.members {
            self.members.clone_from(&members);
            self.shared().handle(SubscriberInput::Members(members));
        }
    }

    pub(super) fn dial(&mut self, member: PeerId) {
        self.link = None;
        let Some(node) = self.node.near() else { return };
        let topic = self.topic.near(node);
        let (is_near, is_doubted) = (member == self.me, self.is_doubted);
        self.dialling = Some(Box::pin(async move {
            if is_doubted && let Err(error) = topic.head().await {
                return (member, Err(error));
            }
            let link = if is_near { near(&topic) } else { far(&topic, member).await };
            (member, link)
        }));
    }

    /// A topic that has ended is nowhere, and who may not subscribe may not anywhere.
    pub(super) fn dialled(&mut self, peer: PeerId, dialled: Result<Link>) {
        match dialled {
            Ok(link) => {
                tracing::debug!(target: "weald::topic", %peer, "a stream is open");
                self.link = Some((peer, link));
                self.shared().handle(SubscriberInput::Connected(peer));
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                self.shared().end(Some(error));
            }
            Err(error) => self.lost(peer, &error),
        }
    }

    /// A stream begins with the generation of the topic's partition. A later one than before means
    /// that positions say nothing any more; an earlier one is told by who has not heard of it.
    pub(super) fn told_generation(&mut self, peer: PeerId, generation: u32) {
        let generation = u64::from(generation);
        let Some(known) = self.generation else { return self.begin_in(generation) };
        if generation < known {
            let what = "the member has not heard of a forced recovery";
            return self.lost(peer, &Error::new(ErrorKind::Unavailable, what));
        }
        if generation > known {
            self.generation = Some(generation);
            self.shared().handle(SubscriberInput::Reset { generation });
        }
    }

    /// Positions are of this generation: it is the first that this subscription hears of.
    fn begin_in(&mut self, generation: u64) {
        self.generation = Some(generation);
        let shared = self.shared();
        shared.state.lock().machine.begin_in(generation);
        shared.kept.send_modify(|kept| kept.generation = generation);
    }

    /// A member is not reached any more.
    pub(super) fn lost(&mut self, peer: PeerId, error: &Error) {
        self.link = None;
        tracing::debug!(target: "weald::topic", %peer, %error, "a member is not reached");
        self.shared().handle(SubscriberInput::Disconnected(peer));
    }
}

fn near(topic: &Topic) -> Result<Link> {
    let running = topic.node.running()?;
    let elsewhere = || Error::new(ErrorKind::Unavailable, "the topic is not here any more");
    let shelf = running.backend.shelf(&topic.code.collection()).ok_or_else(elsewhere)?;
    Ok(Link::near(running.topics.serving(topic, shelf)?).1)
}

async fn far(topic: &Topic, member: PeerId) -> Result<Link> {
    let running = topic.node.running()?;
    let mut drawn = [0; 8];
    running.entropy.lock().fill(&mut drawn);
    let link = running.backend.link(member, *topic.address(), u64::from_be_bytes(drawn));
    drop(running);
    match link.wait().await {
        // That member may lag: the newest state decides.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            topic.head().await?;
            Err(Error::new(ErrorKind::Unavailable, "the member has not come to the topic"))
        }
        done => done,
    }
}
