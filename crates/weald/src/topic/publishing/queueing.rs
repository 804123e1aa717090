//! Keeping what is queued: between a publisher and the outbox of its node.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;
use weald_pubsub::{
    Availability, Incarnation, Outbox, Publisher, PublisherInput, PublisherRecord,
    PublisherSequence, TopicAddress,
};

use super::Publishing;
use crate::{
    Result,
    node::blocking,
    topic::outbox::{Held, Left, OutboxFile, Outboxes},
};

/// A run of a publisher.
pub(in crate::topic) enum Run {
    /// One that remembers nothing.
    Plain(Incarnation),
    /// One that keeps what is queued.
    Queueing(Arc<Outboxes>, Box<OutboxFile>),
    /// One of an earlier process, which brings what it kept to the topic and takes nothing new.
    Left(Arc<Outboxes>, Box<Left>),
}

/// Where a publisher keeps what is queued.
pub(super) struct Queueing {
    pub(super) outboxes: Arc<Outboxes>,
    /// Taken when the run has ended.
    file: Mutex<Option<OutboxFile>>,
    /// The room that is held.
    held: Mutex<Held>,
}

impl Run {
    /// Its publisher, where that keeps what is queued, and whether it takes nothing new.
    pub(super) fn begin(self, address: &TopicAddress) -> (Publisher, Option<Queueing>, bool) {
        let fresh = |availability, incarnation| Publisher::new(*address, availability, incarnation);
        match self {
            // What is queued is promised to outlive the process, and nothing here does.
            Self::Plain(incarnation) => (fresh(Availability::Consistent, incarnation), None, false),
            Self::Queueing(outboxes, file) => {
                let publisher = fresh(Availability::Available, file.incarnation());
                (publisher, Some(Queueing::new(outboxes, *file, Held::default())), false)
            }
            Self::Left(outboxes, left) => {
                let Left { outbox, file, .. } = *left;
                let held = Held::of(&outbox);
                let publisher = Publisher::restore(*address, Availability::Available, outbox);
                (publisher, Some(Queueing::new(outboxes, file, held)), true)
            }
        }
    }
}

impl Queueing {
    fn new(outboxes: Arc<Outboxes>, file: OutboxFile, held: Held) -> Self {
        Self { outboxes, file: Mutex::new(Some(file)), held: Mutex::new(held) }
    }

    /// Holds room for messages with these bodies.
    ///
    /// # Errors
    /// `Busy` when the node's outbox is full.
    pub(super) fn hold(&self, bodies: &[Bytes]) -> Result<()> {
        let bytes = bodies.iter().map(Bytes::len).sum();
        let wanted = Held { messages: bodies.len(), bytes };
        if !self.outboxes.try_hold(wanted) {
            return Err(self.outboxes.full());
        }
        let mut held = self.held.lock();
        *held = held.more(wanted);
        Ok(())
    }

    /// Gives back the room of what does not wait any more.
    pub(super) fn settle(&self, outbox: &Outbox) {
        let mut held = self.held.lock();
        let now = Held::of(outbox);
        self.outboxes.release(held.less(now));
        *held = now;
    }

    /// Gives back all room.
    pub(super) fn let_go(&self) {
        self.outboxes.release(std::mem::take(&mut *self.held.lock()));
    }

    /// Counts a message whose fate is certain and that nobody waits for.
    pub(super) fn count(&self, is_published: bool) {
        let figures = self.outboxes.figures();
        let figure = if is_published { &figures.published } else { &figures.given_up };
        figure.fetch_add(1, Relaxed);
    }

    pub(super) fn count_queued(&self) {
        self.outboxes.figures().queued.fetch_add(1, Relaxed);
    }

    /// Keeps records; the last sequence among them that is durable.
    fn keep(&self, records: Vec<PublisherRecord>) -> Option<PublisherSequence> {
        let last = records.iter().rev().find_map(|record| match record {
            PublisherRecord::Taken(message) => Some(message.sequence),
            PublisherRecord::Done(_) => None,
        });
        let kept = self.file.lock().as_mut()?.keep(records);
        if let Err(error) = kept {
            self.outboxes.figures().failures.fetch_add(1, Relaxed);
            tracing::error!(target: "weald::topic", %error, "what is published is not kept; it is not queued");
            return None;
        }
        last
    }

    fn compact(&self, publishing: &Publishing) {
        let mut file = self.file.lock();
        let Some(file) = &mut *file else { return };
        let records = {
            let state = publishing.state.lock();
            let outbox = state.machine.outbox();
            file.is_spent(outbox).then(|| outbox.records())
        };
        if let Some(Err(error)) = records.map(|records| file.compact(records)) {
            tracing::warn!(target: "weald::topic", %error, "a file of the outbox is not made anew");
        }
    }
}

impl Publishing {
    /// Has records kept; what is durable then is told.
    pub(super) async fn keep(self: &Arc<Self>, records: Vec<PublisherRecord>) {
        let publishing = Arc::clone(self);
        let kept = blocking(move || {
            let queueing = publishing.queueing.as_ref()?;
            let last = queueing.keep(records);
            queueing.compact(&publishing);
            last
        });
        // An error is the end of the runtime.
        if let Ok(Some(last)) = kept.await {
            self.handle(PublisherInput::Persisted(last));
        }
    }

    /// Nothing waits and nothing new comes.
    pub(super) async fn put_away(self: &Arc<Self>) {
        let publishing = Arc::clone(self);
        let put = blocking(move || {
            let Some(queueing) = &publishing.queueing else { return };
            if let Some(file) = queueing.file.lock().take() {
                queueing.outboxes.put_away(file);
            }
        });
        // An error is the end of the runtime.
        put.await.ok();
    }
}
