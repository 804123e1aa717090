//! A member that delivers a topic, among subscribers that ask for anything: each stream gets parts without holes, no
//! further than it allows, and exactly the range that it asks for once more.

use std::collections::BTreeMap;

use weald_core::Time;
use weald_pubsub::{
    Delivery, DeliveryInput, DeliveryOutput, LargeMessage, Message, Part, StreamId, StreamRequest,
    TopicItem, TopicPage, TopicPosition,
};

use crate::script::{Play, Script, play};
use crate::topics::{LARGE, PEOPLE, message};

/// Outputs between two inputs; each stream may be sent some.
const OUTPUTS_MAX: usize = 1024;
/// Positions of the topic.
const POSITIONS_MAX: usize = 400;

/// What is known of a stream.
struct Stream {
    next: TopicPosition,
    until: TopicPosition,
    fill: Option<(TopicPosition, TopicPosition)>,
}

/// What the topic has at a position.
#[derive(Clone, Copy)]
enum Kept {
    Message,
    Large,
    Nothing,
}

struct World {
    delivery: Delivery,
    message: Message,
    large: LargeMessage,
    /// What stands at each position, from 1.
    kept: Vec<Kept>,
    streams: BTreeMap<StreamId, Stream>,
    /// Reads that were asked for and not answered.
    reads: Vec<(TopicPosition, usize)>,
}

/// Reads `data` as what happens to a member.
pub fn run(data: &[u8]) {
    play::<World>(data);
}

impl Play for World {
    fn begin(_: &mut Script<'_>) -> Self {
        let lasts = (Time::from_millis(1), Time::MAX);
        Self {
            delivery: Delivery::new(TopicPosition(1)),
            message: message(&PEOPLE[2], (1, 1), lasts, "x".into()),
            large: LargeMessage::of(&LARGE).expect("a large message"),
            kept: Vec::new(),
            streams: BTreeMap::new(),
            reads: Vec::new(),
        }
    }

    fn turn(&mut self, script: &mut Script<'_>) {
        self.step(script);
        self.carry_out();
        assert_eq!(self.delivery.stream_count(), self.streams.len());
    }
}

impl World {
    fn end(&self) -> TopicPosition {
        TopicPosition(self.kept.len() as u64 + 1)
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let stream = StreamId(script.below(4) as u64);
        let input = match script.byte() % 8 {
            0 => DeliveryInput::Asked(stream, self.open(script, stream)),
            1 => DeliveryInput::Asked(stream, self.allow(script, stream)),
            2 => DeliveryInput::Asked(stream, self.fill(script, stream)),
            3 if script.byte() >= 192 => {
                self.streams.remove(&stream);
                DeliveryInput::Closed(stream)
            }
            3 | 4 => {
                let added = script.below(12).min(POSITIONS_MAX - self.kept.len());
                self.kept.extend((0..added).map(|_| match script.byte() {
                    0..32 => Kept::Large,
                    32..200 => Kept::Message,
                    _ => Kept::Nothing,
                }));
                DeliveryInput::Applied(self.end())
            }
            // A read that nobody asked for says nothing.
            5 if script.byte() >= 240 => {
                let from = self.position(script);
                self.reads.retain(|(known, _)| *known != from);
                DeliveryInput::Read { from, page: self.page(from, 3) }
            }
            _ if self.reads.is_empty() => return,
            _ => {
                let (from, limit) = self.reads.swap_remove(script.below(self.reads.len()));
                // A member may read less than it was asked for.
                let limit = if script.byte() < 64 { limit.min(3) } else { limit };
                DeliveryInput::Read { from, page: self.page(from, limit) }
            }
        };
        self.delivery.handle(input);
    }

    fn position(&self, script: &mut Script<'_>) -> TopicPosition {
        match script.byte() {
            255 => TopicPosition(u64::MAX),
            _ => TopicPosition(script.below(self.kept.len() + 4) as u64),
        }
    }

    fn open(&mut self, script: &mut Script<'_>, stream: StreamId) -> StreamRequest {
        let (from, until) = (self.position(script), self.position(script));
        let next = from.max(TopicPosition(1));
        self.streams.insert(stream, Stream { next, until, fill: None });
        StreamRequest::Open { from, until }
    }

    fn allow(&mut self, script: &mut Script<'_>, stream: StreamId) -> StreamRequest {
        let until = self.position(script);
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.until = stream.until.max(until);
        }
        StreamRequest::Allow { until }
    }

    fn fill(&mut self, script: &mut Script<'_>, stream: StreamId) -> StreamRequest {
        let (from, until) = (self.position(script), self.position(script));
        // There is nothing before the first.
        let first = from.max(TopicPosition(1));
        if let Some(stream) = self.streams.get_mut(&stream).filter(|_| first < until) {
            stream.fill = Some((first, until));
        }
        StreamRequest::Fill { from, until }
    }

    /// What the topic answers to a read.
    fn page(&self, from: TopicPosition, limit: usize) -> TopicPage {
        let first = from.max(TopicPosition(1));
        let skipped = usize::try_from(first.0 - 1).unwrap_or(usize::MAX);
        let mut next = first;
        let mut items = Vec::new();
        for kept in self.kept.iter().skip(skipped).take(limit) {
            items.push(match kept {
                Kept::Message => {
                    TopicItem::Message { position: next, message: self.message.clone() }
                }
                Kept::Large => TopicItem::Large { position: next, message: self.large.clone() },
                Kept::Nothing => TopicItem::Gone { first: next, last: next },
            });
            next = next.next();
        }
        TopicPage { items, next, end: self.end() }
    }

    fn carry_out(&mut self) {
        for nth in 0.. {
            assert!(nth < OUTPUTS_MAX, "one input leads to ever more outputs");
            let Some(output) = self.delivery.poll_output() else { return };
            match output {
                DeliveryOutput::Read { from, limit } => {
                    assert!(limit > 0);
                    assert!(self.reads.iter().all(|(known, _)| *known != from), "it is read twice");
                    self.reads.push((from, limit));
                }
                DeliveryOutput::Send(stream, part) => self.sent(stream, &part),
                DeliveryOutput::Refuse(_) => panic!("there are few streams"),
            }
        }
    }

    /// What was sent is what comes next on the stream, or what it asked for once more.
    fn sent(&mut self, id: StreamId, part: &Part) {
        let end = self.end();
        let stream = self.streams.get_mut(&id).expect("a stream that was opened");
        let mut at = part.from;
        for item in &part.items {
            let (first, last) = item.range();
            assert!(first == at && last >= first, "a part with a hole: {part:?}");
            at = last.next();
        }
        assert_eq!(at, part.next, "a part that is not whole");
        assert!(part.next <= end.max(part.from), "what the topic does not have: {part:?}");
        if part.from == stream.next && part.next <= stream.until.max(part.from) {
            stream.next = part.next;
            return;
        }
        let (from, until) = stream.fill.expect("what nobody has asked for");
        assert!(part.from == from && part.next <= until, "not what is missing: {part:?}");
        let goes_on = from < part.next && part.next < until;
        stream.fill = goes_on.then_some((part.next, until));
    }
}
