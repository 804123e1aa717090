//! What the application gets, in order, once.

use std::collections::{BTreeMap, VecDeque};

use weald_core::PeerId;

use crate::{
    Incarnation, LargeMessage, Message, Part, PublisherSequence, Source, TopicItem, TopicPosition,
    limits::SUBSCRIBER_PUBLISHERS_MAX,
};

/// What an application sees of a topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// A message.
    Message {
        /// Where it stands.
        position: TopicPosition,
        /// The message.
        message: Box<Message>,
        /// How many sequences of its publisher are between it and the one delivered before: they
        /// are gone, were skipped, or never got a position.
        passed: u64,
    },
    /// Messages that are not retained any more: exactly these.
    Gap {
        /// The first.
        first: TopicPosition,
        /// The last.
        last: TopicPosition,
    },
    /// Everything that was there has been delivered; what follows is live.
    CaughtUp {
        /// The position that the topic's next message gets.
        next: TopicPosition,
    },
    /// The application is slower than the topic: messages wait at the member. Nothing is lost.
    Lagged {
        /// The position that the topic's next message gets.
        next: TopicPosition,
    },
    /// A forced recovery began a new generation of the topic, which is delivered from its beginning.
    Reset {
        /// The generation.
        generation: u64,
    },
}

/// What waits for the application.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Waiting {
    /// What stands at the next positions.
    Item(TopicItem),
    /// A word about the topic.
    Word(Event),
}

/// What waits for the application; as many as its window lets arrive.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Events {
    waiting: VecDeque<Waiting>,
    /// The last position among them.
    added: TopicPosition,
    /// The last position that was taken.
    taken: TopicPosition,
    /// The last position that was acknowledged.
    cursor: TopicPosition,
    is_caught_up: bool,
    is_lagging: bool,
    generation: u64,
    /// The generation that the application was told of.
    told_generation: u64,
    /// The last sequence of each publisher's run, with its position.
    sequences: BTreeMap<(PeerId, Incarnation), (PublisherSequence, TopicPosition)>,
}

impl Events {
    pub(super) const fn new(cursor: TopicPosition) -> Self {
        Self {
            waiting: VecDeque::new(),
            added: cursor,
            taken: cursor,
            cursor,
            is_caught_up: false,
            is_lagging: false,
            generation: 0,
            told_generation: 0,
            sequences: BTreeMap::new(),
        }
    }

    pub(super) const fn cursor(&self) -> TopicPosition {
        self.cursor
    }

    pub(super) const fn taken(&self) -> TopicPosition {
        self.taken
    }

    pub(super) const fn told_generation(&self) -> u64 {
        self.told_generation
    }

    /// Positions so far are of this generation.
    pub(super) fn begin_in(&mut self, generation: u64) {
        (self.generation, self.told_generation) = (generation, generation);
    }

    /// Adds a part that follows what was added before.
    pub(super) fn add(&mut self, part: Part) {
        assert_eq!(part.from, self.added.next(), "parts come without holes and without overlap");
        for item in part.items {
            self.added = item.range().1;
            self.waiting.push_back(Waiting::Item(item));
        }
    }

    /// The message that comes next, if its body is to be fetched.
    pub(super) fn large(&self) -> Option<(TopicPosition, &LargeMessage)> {
        match self.waiting.front()? {
            Waiting::Item(TopicItem::Large { position, message }) => Some((*position, message)),
            Waiting::Item(_) | Waiting::Word(_) => None,
        }
    }

    /// What comes next is this: the same message with its body, or the gap that it has left.
    pub(super) fn replace_first(&mut self, item: TopicItem) {
        if let Some(first) = self.waiting.front_mut() {
            *first = Waiting::Item(item);
        }
    }

    /// Tells what the end of the topic means for the application.
    pub(super) fn note_end(&mut self, end: TopicPosition, is_full: bool) {
        let is_at_end = self.added.next() >= end;
        if is_at_end && !self.is_caught_up {
            self.is_caught_up = true;
            self.waiting.push_back(Waiting::Word(Event::CaughtUp { next: end }));
        }
        if is_at_end {
            self.is_lagging = false;
        } else if is_full && self.is_caught_up && !self.is_lagging {
            self.is_lagging = true;
            self.waiting.push_back(Waiting::Word(Event::Lagged { next: end }));
        }
    }

    /// What comes next; `None` also where that is a message whose body is not here.
    pub(super) fn take(&mut self) -> Option<Event> {
        if self.large().is_some() {
            return None;
        }
        Some(match self.waiting.pop_front()? {
            Waiting::Word(event) => {
                if let Event::Reset { generation } = event {
                    self.told_generation = generation;
                }
                event
            }
            Waiting::Item(TopicItem::Message { position, message }) => {
                self.taken = position;
                let passed = self.passed(&message.source(), position);
                Event::Message { position, message: Box::new(message), passed }
            }
            Waiting::Item(item) => {
                let (first, last) = item.range();
                self.taken = last;
                Event::Gap { first, last }
            }
        })
    }

    /// Moves the cursor; `false` when it does not move.
    pub(super) fn acknowledge(&mut self, position: TopicPosition) -> bool {
        let moves = self.cursor < position && position <= self.taken;
        if moves {
            self.cursor = position;
        }
        moves
    }

    /// Begins a new generation; `false` when it is not new.
    pub(super) fn reset(&mut self, generation: u64) -> bool {
        if generation <= self.generation {
            return false;
        }
        let told_generation = self.told_generation;
        *self = Self { generation, told_generation, ..Self::new(TopicPosition::ZERO) };
        self.waiting.push_back(Waiting::Word(Event::Reset { generation }));
        true
    }

    /// The sequences between a message and the one before it of the same run.
    fn passed(&mut self, source: &Source, position: TopicPosition) -> u64 {
        let run = (source.publisher, source.incarnation);
        let before = self.sequences.get(&run).map(|(sequence, _)| *sequence);
        if before.is_none() && self.sequences.len() >= SUBSCRIBER_PUBLISHERS_MAX {
            let oldest = self.sequences.iter().min_by_key(|(_, (_, at))| *at);
            let oldest = oldest.map(|(run, _)| *run).expect("the map is full");
            self.sequences.remove(&oldest);
        }
        let highest = before.map_or(source.sequence, |before| before.max(source.sequence));
        self.sequences.insert(run, (highest, position));
        before.map_or(0, |before| source.sequence.0.saturating_sub(before.0.saturating_add(1)))
    }
}
