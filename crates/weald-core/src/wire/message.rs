//! One message.

use std::time::Duration;

use crate::limits::REFUSAL_TEXT_BYTES_MAX;
use crate::{CorrelationId, NodeHints, Refusal, Service, Time};
use bytes::{Buf, BufMut, Bytes};

/// Bytes of the length that precedes a message.
pub(super) const LENGTH_BYTES: usize = 4;
/// The most that a message has besides its body: the kind and the fields of a request.
pub const OVERHEAD_BYTES_MAX: usize = 1 + 8 + 2 + 8 + 4;

const KIND_FRAME: u8 = 0;
const KIND_REQUEST: u8 = 1;
const KIND_ANSWER: u8 = 2;
const KIND_FAILURE: u8 = 3;
const KIND_HINTS: u8 = 4;

const FAILURE_BUSY: u8 = 0;
const FAILURE_DENIED: u8 = 1;
const FAILURE_MALFORMED: u8 = 2;
const FAILURE_FAILED: u8 = 3;
const FAILURE_DROPPED: u8 = 4;
const FAILURE_UNKNOWN: u8 = 5;
const FAILURE_TOO_LARGE: u8 = 6;

/// What two nodes say to each other on one substream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// One way.
    Frame(Bytes),
    /// A question.
    Request {
        /// The number of the call, chosen by the caller; the answer bears it.
        call: u64,
        /// Who shall answer.
        service: Service,
        /// For log lines.
        correlation: CorrelationId,
        /// How long the caller still waits; whole milliseconds on the wire.
        deadline: Duration,
        /// The question.
        body: Bytes,
    },
    /// The end of a call.
    Answer {
        /// The number of the call.
        call: u64,
        /// What became of it.
        answer: Answer,
    },
    /// What the node says of itself.
    Hints(NodeHints),
}

/// What became of a call, as the called node says.
pub type Answer = Result<Bytes, Failure>;

/// Why a called node has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The service said so.
    Refused(Refusal),
    /// There is no such service.
    Unknown,
    /// The answer is larger than a message may be; its bytes.
    TooLarge(u32),
}

/// Why bytes are no message. The substream they came on is of no use from then on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length is more than a message may have.
    #[error("a message is too long: bytes={bytes} bytes_max={bytes_max}")]
    TooLong {
        /// The length that was announced.
        bytes: usize,
        /// The most that is read.
        bytes_max: usize,
    },
    /// A field is missing or has a value that means nothing.
    #[error("a message is malformed")]
    Malformed,
}

impl Message {
    /// Bytes of the message's body and texts: what it weighs in a queue.
    pub fn body_bytes(&self) -> usize {
        match self {
            Self::Frame(body) | Self::Request { body, .. } => body.len(),
            Self::Answer { answer: Ok(body), .. } => body.len(),
            Self::Answer { answer: Err(Failure::Refused(Refusal::Failed(text))), .. } => text.len(),
            Self::Answer { .. } | Self::Hints(_) => 0,
        }
    }

    /// Appends the message with its length to `buffer`.
    ///
    /// # Panics
    /// When it is 4 GiB or longer. Queues take nothing near that.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.reserve(LENGTH_BYTES + OVERHEAD_BYTES_MAX + self.body_bytes());
        buffer.put_u32_le(0);
        self.encode_fields(buffer);
        let length = buffer.len() - start - LENGTH_BYTES;
        let length = u32::try_from(length).expect("queues bound the size of a message");
        buffer[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    fn encode_fields(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::Frame(body) => {
                buffer.put_u8(KIND_FRAME);
                buffer.put_slice(body);
            }
            Self::Request { call, service, correlation, deadline, body } => {
                buffer.put_u8(KIND_REQUEST);
                buffer.put_u64_le(*call);
                buffer.put_u16_le(service.0);
                buffer.put_u64_le(correlation.0);
                buffer.put_u32_le(u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX));
                buffer.put_slice(body);
            }
            Self::Answer { call, answer: Ok(body) } => {
                buffer.put_u8(KIND_ANSWER);
                buffer.put_u64_le(*call);
                buffer.put_slice(body);
            }
            Self::Answer { call, answer: Err(failure) } => {
                buffer.put_u8(KIND_FAILURE);
                buffer.put_u64_le(*call);
                encode_failure(failure, buffer);
            }
            Self::Hints(hints) => {
                buffer.put_u8(KIND_HINTS);
                buffer.put_u64_le(hints.started.as_millis());
                buffer.put_u64_le(hints.incarnation);
                buffer.put_u16_le(hints.load_permille);
                buffer.put_u64_le(hints.disk_free_bytes);
            }
        }
    }

    /// Reads a message without its length. The body is a part of `bytes`, not a copy.
    ///
    /// # Errors
    /// [`WireError::Malformed`].
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        Self::decode_fields(bytes).ok_or(WireError::Malformed)
    }

    fn decode_fields(mut bytes: Bytes) -> Option<Self> {
        let message = match bytes.try_get_u8().ok()? {
            KIND_FRAME => Self::Frame(bytes),
            KIND_REQUEST => Self::Request {
                call: bytes.try_get_u64_le().ok()?,
                service: Service(bytes.try_get_u16_le().ok()?),
                correlation: CorrelationId(bytes.try_get_u64_le().ok()?),
                deadline: Duration::from_millis(u64::from(bytes.try_get_u32_le().ok()?)),
                body: bytes,
            },
            KIND_ANSWER => Self::Answer { call: bytes.try_get_u64_le().ok()?, answer: Ok(bytes) },
            KIND_FAILURE => Self::Answer {
                call: bytes.try_get_u64_le().ok()?,
                answer: Err(decode_failure(bytes)?),
            },
            KIND_HINTS => Self::Hints(NodeHints {
                started: Time::from_millis(bytes.try_get_u64_le().ok()?),
                incarnation: bytes.try_get_u64_le().ok()?,
                load_permille: bytes.try_get_u16_le().ok()?,
                disk_free_bytes: bytes.try_get_u64_le().ok()?,
            }),
            _ => return None,
        };
        Some(message)
    }
}

fn encode_failure(failure: &Failure, buffer: &mut Vec<u8>) {
    match failure {
        Failure::Refused(Refusal::Busy) => buffer.put_u8(FAILURE_BUSY),
        Failure::Refused(Refusal::Denied) => buffer.put_u8(FAILURE_DENIED),
        Failure::Refused(Refusal::Malformed) => buffer.put_u8(FAILURE_MALFORMED),
        Failure::Refused(Refusal::Failed(text)) => {
            buffer.put_u8(FAILURE_FAILED);
            buffer.put_slice(shortened(text).as_bytes());
        }
        Failure::Refused(Refusal::Dropped) => buffer.put_u8(FAILURE_DROPPED),
        Failure::Unknown => buffer.put_u8(FAILURE_UNKNOWN),
        Failure::TooLarge(bytes) => {
            buffer.put_u8(FAILURE_TOO_LARGE);
            buffer.put_u32_le(*bytes);
        }
    }
}

fn decode_failure(mut bytes: Bytes) -> Option<Failure> {
    let failure = match bytes.try_get_u8().ok()? {
        FAILURE_BUSY => Failure::Refused(Refusal::Busy),
        FAILURE_DENIED => Failure::Refused(Refusal::Denied),
        FAILURE_MALFORMED => Failure::Refused(Refusal::Malformed),
        FAILURE_FAILED if bytes.len() <= REFUSAL_TEXT_BYTES_MAX => {
            Failure::Refused(Refusal::Failed(std::str::from_utf8(&bytes).ok()?.to_owned()))
        }
        FAILURE_DROPPED => Failure::Refused(Refusal::Dropped),
        FAILURE_UNKNOWN => Failure::Unknown,
        FAILURE_TOO_LARGE => Failure::TooLarge(bytes.try_get_u32_le().ok()?),
        _ => return None,
    };
    Some(failure)
}

/// The text for people, at most as long as it may be on the wire.
fn shortened(text: &str) -> &str {
    let end = (0..=text.len().min(REFUSAL_TEXT_BYTES_MAX))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .expect("the beginning is a boundary");
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(message: &Message) -> Message {
        let mut buffer = Vec::new();
        message.encode(&mut buffer);
        Message::decode(Bytes::from(buffer).slice(LENGTH_BYTES..)).unwrap()
    }

    /// One message of each kind and each failure.
    fn examples() -> Vec<Message> {
        let answer = |answer| Message::Answer { call: 9, answer };
        vec![
            Message::Frame(Bytes::from_static(b"frame")),
            Message::Frame(Bytes::new()),
            Message::Request {
                call: u64::MAX,
                service: Service(3),
                correlation: CorrelationId(5),
                deadline: Duration::from_millis(1500),
                body: Bytes::from_static(b"question"),
            },
            answer(Ok(Bytes::from_static(b"answer"))),
            answer(Err(Failure::Refused(Refusal::Busy))),
            answer(Err(Failure::Refused(Refusal::Denied))),
            answer(Err(Failure::Refused(Refusal::Malformed))),
            answer(Err(Failure::Refused(Refusal::Failed("why".to_owned())))),
            answer(Err(Failure::Refused(Refusal::Dropped))),
            answer(Err(Failure::Unknown)),
            answer(Err(Failure::TooLarge(77))),
            Message::Hints(NodeHints {
                started: Time::from_millis(1),
                incarnation: 2,
                load_permille: 3,
                disk_free_bytes: 4,
            }),
        ]
    }

    #[test]
    fn messages_round_trip() {
        for message in examples() {
            assert_eq!(round_trip(&message), message);
        }
    }

    #[test]
    fn a_message_that_was_cut_in_its_fields_is_refused() {
        for message in examples() {
            let mut buffer = Vec::new();
            message.encode(&mut buffer);
            let fields = buffer.len() - message.body_bytes();
            for end in LENGTH_BYTES..fields {
                let cut = Bytes::copy_from_slice(&buffer[LENGTH_BYTES..end]);
                assert_eq!(Message::decode(cut), Err(WireError::Malformed), "{message:?} {end}");
            }
        }
    }

    #[test]
    fn unknown_kinds_and_failures_are_refused() {
        assert_eq!(Message::decode(Bytes::from_static(&[9])), Err(WireError::Malformed));
        let failure = [KIND_FAILURE, 0, 0, 0, 0, 0, 0, 0, 0, 99];
        assert_eq!(Message::decode(Bytes::copy_from_slice(&failure)), Err(WireError::Malformed));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä".repeat(REFUSAL_TEXT_BYTES_MAX);
        let failed = |text| Message::Answer {
            call: 1,
            answer: Err(Failure::Refused(Refusal::Failed(text))),
        };
        let expect = "ä".repeat(REFUSAL_TEXT_BYTES_MAX / 2);
        assert_eq!(round_trip(&failed(text)), failed(expect));
    }
}
