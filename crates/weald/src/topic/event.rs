//! What a subscription tells.

use bytes::Bytes;
use weald_core::{PeerId, Time};
use weald_pubsub::{
    Event, Incarnation, Message, MessageId, PublisherSequence, TopicAddress, TopicPosition,
};

/// A message of a topic, as it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMessage {
    /// Where it stands: dense, from 1.
    pub position: TopicPosition,
    /// What names it: a digest of topic, publisher, sequence, content and expiry.
    pub id: MessageId,
    /// Who published it.
    pub publisher: PeerId,
    /// Which run of the publisher counted it.
    pub incarnation: Incarnation,
    /// The publisher's own count, contiguous from 1 in each run.
    pub sequence: PublisherSequence,
    /// When it was published, as the publisher believes; shown, never decided by.
    pub published_at: Time,
    /// From when on it is not delivered any more, log time.
    pub expires_at: Time,
    /// The content.
    pub body: Bytes,
    /// Sequences of its publisher between it and the one delivered before that have expired, were
    /// skipped or never got a position.
    pub passed: u64,
    /// How often it was given to a consumer of the group, this time among them; 0 outside of groups.
    pub attempt: u32,
}

impl TopicMessage {
    pub(super) fn new(
        address: &TopicAddress,
        position: TopicPosition,
        message: Message,
        passed: u64,
    ) -> Self {
        let (id, source) = (message.id(address), message.source());
        Self {
            position,
            id,
            publisher: source.publisher,
            incarnation: source.incarnation,
            sequence: source.sequence,
            published_at: message.published_at,
            expires_at: message.expires_at,
            body: message.body,
            passed,
            attempt: 0,
        }
    }
}

/// What a subscription tells, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEvent {
    /// A message. Each position is told once: by this or by a gap.
    Message(TopicMessage),
    /// These messages are not retained any more: exactly these.
    Gap {
        /// The first.
        first: TopicPosition,
        /// The last.
        last: TopicPosition,
    },
    /// Everything that was there when the subscription began has been told; what follows is live.
    /// Told once.
    CaughtUp {
        /// The position that the topic's next message gets.
        next: TopicPosition,
    },
    /// The application is slower than the topic: messages wait at the member. Nothing is lost.
    Lagged {
        /// The position that the topic's next message gets.
        next: TopicPosition,
    },
    /// A forced recovery began a new generation of the topic, which is told from its beginning.
    Reset {
        /// The generation.
        generation: u64,
    },
}

impl TopicEvent {
    pub(super) fn of(address: &TopicAddress, event: Event) -> Self {
        match event {
            Event::Message { position, message, passed } => {
                Self::Message(TopicMessage::new(address, position, *message, passed))
            }
            Event::Gap { first, last } => Self::Gap { first, last },
            Event::CaughtUp { next } => Self::CaughtUp { next },
            Event::Lagged { next } => Self::Lagged { next },
            Event::Reset { generation } => Self::Reset { generation },
        }
    }

    /// The message, if it is one.
    pub fn into_message(self) -> Option<TopicMessage> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}
