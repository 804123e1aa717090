//! The member's side of delivery: streams of one topic, from a position on, as far as each
//! subscriber allows.
//!
//! The driver feeds [`DeliveryInput`]s and carries out [`DeliveryOutput`]s until there are none.
//! Nothing is kept for a stream beyond its next position: what a subscriber has not got it asks for
//! again. Streams at one position share one read of the topic. Spurious inputs are harmless.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    TopicItem, TopicPage, TopicPosition,
    limits::{DELIVERY_READ_MAX, DELIVERY_READS_SLACK, DELIVERY_STREAMS_MAX},
};

/// One subscriber's stream at this member; the driver names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StreamId(pub u64);

/// What happens to a topic's delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryInput {
    /// A message of the subscriber of a stream.
    Asked(StreamId, StreamRequest),
    /// The stream's connection is gone.
    Closed(StreamId),
    /// The topic was applied up to here: the position that its next message gets.
    Applied(TopicPosition),
    /// The answer to a [`DeliveryOutput::Read`] of `from`.
    Read {
        /// Where the read began.
        from: TopicPosition,
        /// What is there.
        page: TopicPage,
    },
}

/// What a subscriber asks of the member that serves it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum StreamRequest {
    /// Deliver from here on, up to before a position. Asked again it begins again. Always answered,
    /// even if there is nothing.
    Open {
        /// The first position that is wanted.
        from: TopicPosition,
        /// The first that may not be sent yet.
        until: TopicPosition,
    },
    /// More may be sent.
    Allow {
        /// The first position that may not be sent yet; a lower one than before says nothing.
        until: TopicPosition,
    },
    /// Deliver once more exactly what is between two positions.
    Fill {
        /// The first that is missing.
        from: TopicPosition,
        /// The first that is not.
        until: TopicPosition,
    },
}

/// What the driver carries out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum DeliveryOutput {
    /// Read up to `limit` messages from `from` on and answer with [`DeliveryInput::Read`].
    Read {
        /// Where.
        from: TopicPosition,
        /// How many messages.
        limit: usize,
    },
    /// Send a part of the topic to the subscriber of a stream. Streams that are sent the same share it.
    Send(StreamId, Arc<Part>),
    /// The member has too many streams: the subscriber tries another one.
    Refuse(StreamId),
}

/// A part of a topic without holes, from `from` up to before `next`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Its first position.
    pub from: TopicPosition,
    /// What is there, in order: messages, those with large bodies without them, and ranges of what
    /// is gone.
    pub items: Vec<TopicItem>,
    /// The position behind it.
    pub next: TopicPosition,
    /// The position that the topic's next message gets, as the member knows it.
    pub end: TopicPosition,
}

impl Part {
    /// What of this part is from `from` on and before `until`.
    #[must_use]
    pub fn within(&self, from: TopicPosition, until: TopicPosition) -> Self {
        let (from, next) = (self.from.max(from), self.next.min(until));
        let clip = |item: &TopicItem| match item {
            TopicItem::Message { position, .. } | TopicItem::Large { position, .. } => {
                (from <= *position && *position < next).then(|| item.clone())
            }
            TopicItem::Gone { first, last } => {
                let (first, behind) = ((*first).max(from), last.next().min(next));
                let last = TopicPosition(behind.0.saturating_sub(1));
                (first < behind).then_some(TopicItem::Gone { first, last })
            }
        };
        let items = self.items.iter().filter_map(clip).collect();
        Self { from, items, next: next.max(from), end: self.end }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stream {
    next: TopicPosition,
    until: TopicPosition,
    /// Whether the subscriber waits for an answer, even an empty one.
    is_owed: bool,
    /// What is to be delivered once more.
    fill: Option<(TopicPosition, TopicPosition)>,
}

impl Stream {
    /// Where a read gives it something: at its next position, or where it has a hole. `end` is that
    /// of the topic.
    fn wants(&self, end: TopicPosition) -> [Option<TopicPosition>; 2] {
        let is_due = self.is_owed || self.next < end.min(self.until);
        [is_due.then_some(self.next), self.fill.map(|(from, _)| from)]
    }
}

/// Delivery of one topic at one member.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Delivery {
    end: TopicPosition,
    streams: BTreeMap<StreamId, Stream>,
    /// Positions at which a read is queued or under way.
    reads: BTreeSet<TopicPosition>,
    /// Those that are queued, in their order; four for each stream and a few, at most.
    queued: VecDeque<TopicPosition>,
    outputs: VecDeque<DeliveryOutput>,
}

impl Delivery {
    /// Delivery of a topic that was applied up to `end`, to nobody yet.
    pub const fn new(end: TopicPosition) -> Self {
        Self {
            end,
            streams: BTreeMap::new(),
            reads: BTreeSet::new(),
            queued: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// How many streams are open.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Takes an input.
    pub fn handle(&mut self, input: DeliveryInput) {
        match input {
            DeliveryInput::Asked(stream, request) => self.handle_request(stream, request),
            DeliveryInput::Closed(stream) => drop(self.streams.remove(&stream)),
            DeliveryInput::Applied(end) => self.handle_applied(end),
            DeliveryInput::Read { from, page } => self.handle_read(from, &page),
        }
    }

    /// The next thing to do. A read that no stream waits for any more is left out.
    pub fn poll_output(&mut self) -> Option<DeliveryOutput> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        while let Some(from) = self.queued.pop_front() {
            if self.streams.values().any(|stream| stream.wants(self.end).contains(&Some(from))) {
                return Some(DeliveryOutput::Read { from, limit: DELIVERY_READ_MAX });
            }
            self.reads.remove(&from);
        }
        None
    }

    fn handle_request(&mut self, id: StreamId, request: StreamRequest) {
        match request {
            StreamRequest::Open { from, until } => self.open(id, from, until),
            StreamRequest::Allow { until } => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.until = stream.until.max(until);
                    self.read_for(id);
                }
            }
            StreamRequest::Fill { from, until } => {
                let from = from.max(TopicPosition(1));
                if let Some(stream) = self.streams.get_mut(&id).filter(|_| from < until) {
                    stream.fill = Some((from, until));
                    self.read(from);
                }
            }
        }
    }

    fn open(&mut self, id: StreamId, from: TopicPosition, until: TopicPosition) {
        let is_full = self.streams.len() >= DELIVERY_STREAMS_MAX;
        if is_full && !self.streams.contains_key(&id) {
            self.outputs.push_back(DeliveryOutput::Refuse(id));
            return;
        }
        let next = from.max(TopicPosition(1));
        self.streams.insert(id, Stream { next, until, is_owed: true, fill: None });
        self.read_for(id);
    }

    fn handle_applied(&mut self, end: TopicPosition) {
        if end <= self.end {
            return;
        }
        self.end = end;
        self.read_for_all();
    }

    fn read_for_all(&mut self) {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        ids.into_iter().for_each(|id| self.read_for(id));
    }

    /// Reads on for a stream that may be sent more, or is owed an answer.
    fn read_for(&mut self, id: StreamId) {
        let next = self.streams.get(&id).and_then(|stream| stream.wants(self.end)[0]);
        if let Some(next) = next {
            self.read(next);
        }
    }

    fn read(&mut self, from: TopicPosition) {
        if self.reads.insert(from) {
            self.queued.push_back(from);
        }
        if self.queued.len() > 4 * self.streams.len() + DELIVERY_READS_SLACK {
            self.drop_unwanted();
        }
    }

    /// Drops the reads that no stream waits for any more; two for each stream are left, at most.
    fn drop_unwanted(&mut self) {
        let wanted = self.streams.values().flat_map(|stream| stream.wants(self.end));
        let wanted: BTreeSet<TopicPosition> = wanted.flatten().collect();
        let queued = std::mem::take(&mut self.queued);
        for from in queued {
            match wanted.contains(&from) {
                true => self.queued.push_back(from),
                false => drop(self.reads.remove(&from)),
            }
        }
    }

    fn handle_read(&mut self, from: TopicPosition, page: &TopicPage) {
        if !self.reads.remove(&from) {
            return;
        }
        let is_later = page.end > self.end;
        self.end = self.end.max(page.end);
        let next = page.next.max(from);
        let part = Arc::new(Part { from, items: page.items.clone(), next, end: self.end });
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.deliver(id, &part);
            self.fill(id, &part);
        }
        // Those that wait at the end that was known before.
        if is_later {
            self.read_for_all();
        }
    }

    fn deliver(&mut self, id: StreamId, part: &Arc<Part>) {
        let stream = self.streams.get_mut(&id).expect("the stream was just there");
        if stream.next != part.from {
            return;
        }
        let until = stream.until.max(part.from);
        let allowed = match part.next <= until {
            true => Arc::clone(part),
            false => Arc::new(part.within(part.from, until)),
        };
        let has_moved = allowed.next > stream.next;
        if has_moved || stream.is_owed {
            stream.is_owed = false;
            stream.next = allowed.next;
            self.outputs.push_back(DeliveryOutput::Send(id, allowed));
        }
        // A read that gave nothing is not repeated before something changes.
        if has_moved {
            self.read_for(id);
        }
    }

    fn fill(&mut self, id: StreamId, part: &Part) {
        let stream = self.streams.get_mut(&id).expect("the stream was just there");
        let Some((from, until)) = stream.fill.filter(|(from, _)| *from == part.from) else {
            return;
        };
        let missing = part.within(from, until);
        let left = missing.next;
        stream.fill = (from < left && left < until).then_some((left, until));
        let goes_on = stream.fill.is_some();
        self.outputs.push_back(DeliveryOutput::Send(id, Arc::new(missing)));
        if goes_on {
            self.read(left);
        }
    }
}

#[cfg(test)]
mod tests;
