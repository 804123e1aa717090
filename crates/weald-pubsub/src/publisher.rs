//! The publisher's side: sequences, retransmission byte for byte, and an outbox for a home that
//! cannot be reached.
//!
//! A message is signed once and sent as it is until its fate is certain. One batch is on its way at
//! a time, in order, so that the topic never sees a gap that heals by itself. A sequence whose
//! message is refused for good or expires unsent is filled by a skip.
//!
//! Of a message whose answer did not come it is not known whether the topic has it. The clock does
//! not settle it: it is sent again, also behind its expiry, since the topic answers a repeat before it
//! looks at that.
//!
//! With the policy `Available` what waits while the topic is not reached is kept durably, and only
//! what is durable is said to be queued. A publisher that was restored from what was kept brings
//! that to the topic; whoever was not told may have used sequences beyond it, so what is new after a
//! restart belongs to another run.

mod outbox;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use weald_core::{
    Time,
    identity::{KeyError, KeyStore},
};

use crate::{
    Availability, Draft, Incarnation, Message, MessageId, Published, PublisherSequence,
    TopicAddress, TopicRefusal, WorkRule,
    limits::{OUTBOX_BATCH_MAX, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX},
};

use outbox::Standing;
pub use outbox::{Outbox, PublisherRecord};

const RETRY_DELAY: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// What happens to a publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublisherInput {
    /// Everything that was to be persisted up to this sequence is durable.
    Persisted(PublisherSequence),
    /// The topic has answered what was sent last, message by message.
    Answered(Vec<Result<Option<Published>, TopicRefusal>>),
    /// The topic has refused what was sent last as a whole.
    Refused(TopicRefusal),
    /// There was no answer: it may or may not have arrived.
    Unreachable,
}

/// What the driver carries out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PublisherOutput {
    /// Keep this durably; then [`PublisherInput::Persisted`].
    Persist(PublisherRecord),
    /// Bring these messages to the topic, in order, each for itself.
    Publish(Vec<Message>),
    /// Sign a skip of this sequence and bring it to the topic.
    Skip(Incarnation, PublisherSequence),
    /// A message is kept durably until the topic can be reached. Tell the application, which may
    /// show it as provisional.
    Queued(PublisherSequence),
    /// The fate of a message is certain. With [`TopicRefusal::Forgotten`] it will not be known any
    /// more: the topic may have had the message.
    Settled(PublisherSequence, Result<Published, TopicRefusal>),
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// Too many messages, or bytes, wait for the topic.
    #[error("the outbox is full: messages={messages} bytes={bytes}")]
    Full {
        /// Messages that wait.
        messages: usize,
        /// Bytes of their bodies.
        bytes: usize,
    },
    /// The key store could not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What is on its way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Flight {
    None,
    Messages(Vec<PublisherSequence>),
    Skip(PublisherSequence),
}

/// A publisher of one topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Publisher {
    address: TopicAddress,
    availability: Availability,
    /// What large messages cost.
    work: Option<WorkRule>,
    outbox: Outbox,
    /// Whether all messages wait for the disk before they are sent.
    is_durable: bool,
    /// Whether the topic was not reached the last time.
    is_cut_off: bool,
    persisted: PublisherSequence,
    flight: Flight,
    failures: u32,
    retry_at: Time,
    outputs: VecDeque<PublisherOutput>,
}

impl Publisher {
    /// A publisher whose runs are other incarnations, each higher than any before. Over a restart
    /// it remembers what is queued, with the policy `Available`, and otherwise nothing.
    pub const fn new(
        address: TopicAddress,
        availability: Availability,
        incarnation: Incarnation,
    ) -> Self {
        Self::with(address, availability, Outbox::new(incarnation), false)
    }

    /// A publisher that goes on where `outbox`, which was kept durably, ends. It keeps everything
    /// before it is sent.
    pub fn restore(address: TopicAddress, availability: Availability, outbox: Outbox) -> Self {
        let (persisted, mut outbox) = (outbox.last(), outbox);
        outbox.keep();
        // The process that has kept it may have sent it.
        outbox.doubt(&outbox.sequences());
        Self { persisted, ..Self::with(address, availability, outbox, true) }
    }

    const fn with(
        address: TopicAddress,
        availability: Availability,
        outbox: Outbox,
        is_durable: bool,
    ) -> Self {
        Self {
            address,
            availability,
            work: None,
            outbox,
            is_durable,
            is_cut_off: false,
            persisted: PublisherSequence::ZERO,
            flight: Flight::None,
            failures: 0,
            retry_at: Time::ZERO,
            outputs: VecDeque::new(),
        }
    }

    /// The same publisher, doing the work that the topic asks for large messages.
    #[must_use]
    pub fn working(self, work: Option<WorkRule>) -> Self {
        Self { work, ..self }
    }

    /// What waits for the topic.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Takes a message, signs it and gives it the next sequence and its id.
    ///
    /// # Errors
    /// [`OutboxError`]; then nothing has happened.
    pub fn publish(
        &mut self,
        now: Time,
        (body, ttl): (Bytes, Duration),
        keys: &dyn KeyStore,
    ) -> Result<(PublisherSequence, MessageId), OutboxError> {
        let (messages, bytes) = (self.outbox.len(), self.outbox.bytes());
        if messages >= OUTBOX_MESSAGES_MAX || bytes + body.len() > OUTBOX_BYTES_MAX {
            return Err(OutboxError::Full { messages, bytes });
        }
        let (incarnation, sequence) = (self.outbox.incarnation(), self.outbox.last().next());
        let (published_at, expires_at) = (now, now.after(ttl));
        let rule = self.work.filter(|rule| body.len() > rule.above_bytes);
        let draft = Draft { incarnation, sequence, published_at, expires_at, body };
        let mut message = Message::sign(&self.address, draft, keys)?;
        if let Some(rule) = rule {
            message = message.with_work(&self.address, rule.bits);
        }
        let id = message.id(&self.address);
        self.outbox.apply(&PublisherRecord::Taken(message));
        if self.is_durable || self.is_queueing() {
            self.keep();
        }
        self.send(now);
        Ok((sequence, id))
    }

    /// Whether what is published is queued: the topic is not reached, and its policy allows it.
    pub fn is_queueing(&self) -> bool {
        self.is_cut_off && self.availability == Availability::Available
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Time, input: PublisherInput) {
        match input {
            PublisherInput::Persisted(sequence) => {
                self.persisted = self.persisted.max(sequence);
                self.tell();
            }
            PublisherInput::Answered(results) => {
                self.is_cut_off = false;
                self.handle_results(now, results);
            }
            PublisherInput::Refused(refusal) => {
                self.is_cut_off = false;
                self.handle_refused(now, &refusal);
            }
            PublisherInput::Unreachable => self.handle_unreachable(now),
        }
        self.send(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.send(now);
    }

    /// When [`Publisher::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        let is_waiting = self.flight == Flight::None && !self.outbox.is_empty();
        is_waiting.then_some(self.retry_at)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<PublisherOutput> {
        self.outputs.pop_front()
    }

    /// Has all that waits kept.
    fn keep(&mut self) {
        let taken = self.outbox.keep().into_iter().map(PublisherRecord::Taken);
        self.outputs.extend(taken.map(PublisherOutput::Persist));
    }

    /// Says what is queued, as far as that is durable.
    fn tell(&mut self) {
        if self.is_queueing() {
            let told = self.outbox.tell(self.persisted).into_iter();
            self.outputs.extend(told.map(PublisherOutput::Queued));
        }
    }

    /// The fate of a message is certain, and nothing more is to be sent for it.
    fn close(&mut self, sequence: PublisherSequence) {
        let (is_kept, done) = (self.outbox.is_kept(sequence), PublisherRecord::Done(sequence));
        self.outbox.apply(&done);
        if is_kept {
            self.outputs.push_back(PublisherOutput::Persist(done));
        }
    }

    /// Sends what comes next, if nothing is on its way.
    fn send(&mut self, now: Time) {
        if self.flight != Flight::None || now < self.retry_at {
            return;
        }
        self.expire(now);
        let until = if self.is_durable { self.persisted } else { PublisherSequence(u64::MAX) };
        let Some((first, standing)) = self.outbox.first().filter(|(first, _)| *first <= until)
        else {
            return;
        };
        if standing == Standing::Passed {
            self.skip(first);
            return;
        }
        let messages = self.outbox.batch(until, OUTBOX_BATCH_MAX);
        self.flight = Flight::Messages(messages.iter().map(|message| message.sequence).collect());
        self.outputs.push_back(PublisherOutput::Publish(messages));
    }

    fn skip(&mut self, sequence: PublisherSequence) {
        self.flight = Flight::Skip(sequence);
        self.outputs.push_back(PublisherOutput::Skip(self.outbox.incarnation(), sequence));
    }

    /// Gives up messages that have expired and that the topic does not have, from the front.
    fn expire(&mut self, now: Time) {
        for (sequence, expires_at) in self.outbox.expired(now) {
            let refusal = TopicRefusal::Expiry { expires_at, from: now, to: Time::MAX };
            self.settle(sequence, Err(refusal), Standing::Passed);
        }
    }

    fn settle(
        &mut self,
        sequence: PublisherSequence,
        result: Result<Published, TopicRefusal>,
        standing: Standing,
    ) {
        match standing {
            Standing::Passed => self.outbox.pass(sequence),
            Standing::Waiting => self.close(sequence),
        }
        self.outputs.push_back(PublisherOutput::Settled(sequence, result));
    }

    fn handle_results(&mut self, now: Time, results: Vec<Result<Option<Published>, TopicRefusal>>) {
        match std::mem::replace(&mut self.flight, Flight::None) {
            Flight::None => {}
            Flight::Skip(sequence) => self.handle_skipped(now, sequence, results.first()),
            Flight::Messages(sequences) => {
                self.failures = 0;
                for (sequence, result) in sequences.into_iter().zip(results) {
                    if !self.handle_result(now, sequence, result) {
                        break;
                    }
                }
            }
        }
    }

    fn handle_skipped(
        &mut self,
        now: Time,
        sequence: PublisherSequence,
        result: Option<&Result<Option<Published>, TopicRefusal>>,
    ) {
        match result {
            Some(Err(TopicRefusal::SequenceGap { expected })) if *expected < sequence => {
                self.skip(*expected);
            }
            Some(Err(refusal)) if refusal.is_retryable() => self.back_off(now),
            None => self.back_off(now),
            Some(_) => self.close(sequence),
        }
    }

    /// Takes the result of one message; `false` when those behind it are to be sent again.
    fn handle_result(
        &mut self,
        now: Time,
        sequence: PublisherSequence,
        result: Result<Option<Published>, TopicRefusal>,
    ) -> bool {
        match result {
            Ok(Some(published)) => self.settle(sequence, Ok(published), Standing::Waiting),
            Ok(None) => self.back_off(now),
            Err(TopicRefusal::SequenceGap { expected }) => {
                if expected < sequence && !self.outbox.contains(expected) {
                    self.skip(expected);
                }
                return false;
            }
            Err(refusal) if refusal.is_retryable() => {
                self.back_off(now);
                return false;
            }
            Err(refusal) => {
                let standing = standing_after(&refusal);
                self.settle(sequence, Err(refusal), standing);
                return standing == Standing::Waiting;
            }
        }
        true
    }

    fn handle_refused(&mut self, now: Time, refusal: &TopicRefusal) {
        let flight = std::mem::replace(&mut self.flight, Flight::None);
        if refusal.is_retryable() {
            self.back_off(now);
            return;
        }
        let sequences = match flight {
            Flight::None => return,
            // What follows was meant for the topic that has ended, and for none that begins anew.
            _ if *refusal == TopicRefusal::Deleted => self.outbox.sequences(),
            Flight::Skip(sequence) => return self.close(sequence),
            Flight::Messages(sequences) => sequences,
        };
        for sequence in sequences {
            match self.outbox.standing(sequence) {
                // Its fate was told when it was given up.
                Some(Standing::Passed) => self.close(sequence),
                _ => {
                    let is_doubtful = self.outbox.is_doubtful(sequence);
                    let forgotten = is_doubtful.then_some(TopicRefusal::Forgotten);
                    let refusal = forgotten.unwrap_or_else(|| refusal.clone());
                    self.settle(sequence, Err(refusal), Standing::Waiting);
                }
            }
        }
    }

    fn handle_unreachable(&mut self, now: Time) {
        if let Flight::Messages(sequences) = std::mem::replace(&mut self.flight, Flight::None) {
            self.outbox.doubt(&sequences);
        }
        self.is_cut_off = true;
        if self.is_queueing() {
            self.keep();
            self.tell();
        }
        self.back_off(now);
    }

    fn back_off(&mut self, now: Time) {
        let delay = (RETRY_DELAY * (1 << self.failures.min(16))).min(RETRY_DELAY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.after(delay);
    }
}

/// Whether the sequence of a refused message must be skipped, or is passed already.
const fn standing_after(refusal: &TopicRefusal) -> Standing {
    match refusal {
        TopicRefusal::TooLarge { .. }
        | TopicRefusal::Expiry { .. }
        | TopicRefusal::Work { .. }
        | TopicRefusal::BadSignature => Standing::Passed,
        _ => Standing::Waiting,
    }
}

#[cfg(test)]
mod tests;
