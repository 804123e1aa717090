//! Publishing: the next-sequence rule, the policy, positions.

use std::collections::{BTreeMap, BTreeSet};

use weald_collections::Stop;
use weald_core::{PeerId, Time, identity::verify_all};

use super::{
    BatchMode, PublishAnswer, Published,
    books::OpenTopic,
    invalid,
    publishers::{PeerRecord, RunId, RunRecord, Stretch},
    refused,
};
use crate::{
    Message, MessageEdit, MessageEntry, MessageId, PublisherSequence, Skip, Source, TopicPosition,
    TopicRefusal,
    limits::{BATCH_MAX, CONTENT_GRACE, PEER_INCARNATIONS_MAX},
};

/// The result of one message of a batch.
type MessageResult = Result<Option<Published>, TopicRefusal>;

/// What a batch has gathered. Records are written once at its end.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) edits: Vec<MessageEdit>,
    peers: BTreeMap<PeerId, PeerRecord>,
    runs: BTreeMap<RunId, RunRecord>,
    stretches: Vec<(Source, Stretch)>,
}

impl Batch {
    /// The entry that this batch has made for `source`.
    fn entry_of(&self, source: &Source) -> Option<&MessageEntry> {
        let entries = self.edits.iter().filter_map(|(_, entry)| entry.as_ref());
        entries.rev().find(|entry| entry.source == *source)
    }

    fn note_stretch(&mut self, source: Source, position: TopicPosition) {
        if let Some((first, stretch)) = self.stretches.last_mut() {
            let nth = Source { sequence: source.sequence, ..*first };
            let is_next = source.sequence.0 == first.sequence.0.saturating_add(stretch.count);
            if nth == source && is_next && position.0 == stretch.position.0 + stretch.count {
                stretch.count += 1;
                return;
            }
        }
        self.stretches.push((source, Stretch { position, count: 1 }));
    }
}

impl OpenTopic<'_, '_, '_> {
    /// Publishes messages in order.
    pub(crate) fn publish(
        &mut self,
        messages: Vec<Message>,
        mode: BatchMode,
    ) -> Result<PublishAnswer, Stop> {
        self.check_batch(messages.len())?;
        let mut batch = Batch::default();
        let mut results = Vec::with_capacity(messages.len());
        let forged = self.forged(&messages);
        for (message, nth) in messages.iter().zip(0..) {
            let result = self.admit(&mut batch, message, forged.contains(&nth))?;
            if let (Err(refusal), BatchMode::Whole) = (&result, mode) {
                return Err(refused(refusal.clone()));
            }
            results.push(result);
        }
        let is_changed = !batch.edits.is_empty();
        self.write(batch)?;
        let version = self.head.messages.version;
        let version = if is_changed { version.next() } else { version };
        Ok(PublishAnswer { results, version })
    }

    /// Passes over sequences in order.
    pub(crate) fn skip(&mut self, skips: &[Skip]) -> Result<PublishAnswer, Stop> {
        self.check_batch(skips.len())?;
        let mut batch = Batch::default();
        let mut results = Vec::with_capacity(skips.len());
        for skip in skips {
            results.push(self.pass(&mut batch, skip)?);
        }
        self.write(batch)?;
        Ok(PublishAnswer { results, version: self.head.messages.version })
    }

    fn check_batch(&self, len: usize) -> Result<(), Stop> {
        self.check_active()?;
        match len {
            1..=BATCH_MAX => Ok(()),
            0 => Err(invalid("an operation without messages")),
            _ => Err(refused(TopicRefusal::Full { what: "batch".into(), max: BATCH_MAX as u64 })),
        }
    }

    /// The places of the messages that their publishers did not sign, as far as the policy asks.
    fn forged(&self, messages: &[Message]) -> BTreeSet<usize> {
        if !self.policy.is_strict {
            return BTreeSet::new();
        }
        let claims: Vec<_> = messages.iter().map(|message| message.claim(&self.address)).collect();
        verify_all(&claims).err().unwrap_or_default()
    }

    fn admit(
        &mut self,
        batch: &mut Batch,
        message: &Message,
        is_forged: bool,
    ) -> Result<MessageResult, Stop> {
        let source = message.source();
        let run = self.run_of(batch, &source)?;
        let expected = run.map_or(PublisherSequence(1), |run| run.next);
        let is_passed = run.is_none() && source.incarnation < self.peer_of(batch, &source)?.floor;
        if source.sequence < expected || is_passed {
            return self.repeated(batch, &source, message.id(&self.address));
        }
        if source.sequence > expected {
            return Ok(Err(TopicRefusal::SequenceGap { expected }));
        }
        if let Err(refusal) = self.check_message(message, &source) {
            return Ok(Err(refusal));
        }
        if is_forged {
            return Ok(Err(TopicRefusal::BadSignature));
        }
        if let Err(refusal) = self.take_turn(batch, &source, message.expires_at)? {
            return Ok(Err(refusal));
        }
        self.accept(batch, message).map(|published| Ok(Some(published)))
    }

    fn pass(&mut self, batch: &mut Batch, skip: &Skip) -> Result<MessageResult, Stop> {
        let source = skip.source();
        let run = self.run_of(batch, &source)?;
        let expected = run.map_or(PublisherSequence(1), |run| run.next);
        let is_passed = run.is_none() && source.incarnation < self.peer_of(batch, &source)?.floor;
        if source.sequence < expected || is_passed {
            return Ok(Ok(None));
        }
        if source.sequence > expected {
            return Ok(Err(TopicRefusal::SequenceGap { expected }));
        }
        if !self.policy.publishers.allows(&source.publisher) {
            return Ok(Err(TopicRefusal::Denied));
        }
        if !skip.verify(&self.address) {
            return Ok(Err(TopicRefusal::BadSignature));
        }
        let now = self.now();
        Ok(self.take_turn(batch, &source, now)?.map(|()| None))
    }

    fn check_message(&self, message: &Message, source: &Source) -> Result<(), TopicRefusal> {
        let (policy, now) = (&self.policy, self.now());
        if !policy.publishers.allows(&source.publisher) {
            return Err(TopicRefusal::Denied);
        }
        let (bytes, max) = (message.body.len(), policy.body_bytes_max);
        if bytes > max {
            return Err(TopicRefusal::TooLarge { bytes: bytes as u64, max: max as u64 });
        }
        let (expires_at, to) = (message.expires_at, now.after(policy.ttl_max));
        if expires_at <= now || expires_at > to {
            return Err(TopicRefusal::Expiry { expires_at, from: now, to });
        }
        if let Some(rule) = policy.work.filter(|rule| bytes > rule.above_bytes) {
            let (bits, needed) = (message.work_bits(&self.address), u32::from(rule.bits));
            if bits < needed {
                return Err(TopicRefusal::Work { bits, needed });
            }
        }
        Ok(())
    }

    /// The message of a sequence that was passed: the same again has its result.
    fn repeated(
        &mut self,
        batch: &Batch,
        source: &Source,
        id: MessageId,
    ) -> Result<MessageResult, Stop> {
        let entry = match batch.entry_of(source) {
            Some(entry) => Some(*entry),
            None => self.retained(source)?,
        };
        Ok(match entry {
            Some(entry) if entry.id == id => {
                Ok(Some(Published { id, position: entry.position, is_new: false }))
            }
            Some(_) => Err(TopicRefusal::IdReused),
            None => Err(TopicRefusal::Forgotten),
        })
    }

    /// The retained message of `source`.
    pub(super) fn retained(&mut self, source: &Source) -> Result<Option<MessageEntry>, Stop> {
        let Some(position) = self.position_of(source)? else { return Ok(None) };
        let messages = self.books.messages;
        let entry = messages.get(&mut self.pages(), position)?;
        Ok(entry.filter(|entry| entry.source == *source))
    }

    pub(super) fn run_of(
        &mut self,
        batch: &Batch,
        source: &Source,
    ) -> Result<Option<RunRecord>, Stop> {
        let run = (source.publisher, source.incarnation);
        match batch.runs.get(&run) {
            Some(record) => Ok(Some(*record)),
            None => self.run_record(&run),
        }
    }

    /// Moves the publisher's run past the sequence of `source`, if its rate and the tables allow it.
    fn take_turn(
        &mut self,
        batch: &mut Batch,
        source: &Source,
        expires_at: Time,
    ) -> Result<Result<(), TopicRefusal>, Stop> {
        let (peer, now) = (source.publisher, self.now());
        let is_known = self.run_of(batch, source)?.is_some();
        let mut record = self.peer_of(batch, source)?;
        let is_full = !is_known && record.incarnations >= PEER_INCARNATIONS_MAX;
        if !is_known && !is_full && self.books.incarnations >= self.policy.publishers_max {
            let max = self.policy.publishers_max;
            return Ok(Err(TopicRefusal::Full { what: "publishers".into(), max }));
        }
        if !record.bucket.take(self.policy.publish_rate, now) {
            return Ok(Err(TopicRefusal::RateLimited));
        }
        if is_full {
            let run = (peer, source.incarnation);
            let Some(forgotten) = self.forget_lowest_run(&run, &mut record)? else {
                let max = u64::from(PEER_INCARNATIONS_MAX);
                return Ok(Err(TopicRefusal::Full { what: "runs of the publisher".into(), max }));
            };
            batch.runs.remove(&forgotten);
        }
        self.pass_sequence(batch, (source, is_known), &mut record, expires_at.max(now))?;
        batch.peers.insert(peer, record);
        Ok(Ok(()))
    }

    /// What is known of the publisher of `source`.
    fn peer_of(&mut self, batch: &Batch, source: &Source) -> Result<PeerRecord, Stop> {
        match batch.peers.get(&source.publisher) {
            Some(record) => Ok(*record),
            None => Ok(self.peer_record(&source.publisher)?.unwrap_or_default()),
        }
    }

    fn pass_sequence(
        &mut self,
        batch: &mut Batch,
        (source, is_known): (&Source, bool),
        record: &mut PeerRecord,
        until: Time,
    ) -> Result<(), Stop> {
        if !is_known {
            record.incarnations += 1;
            self.books.incarnations += 1;
        }
        let kept = until.after(CONTENT_GRACE);
        record.expires_at = record.expires_at.max(kept);
        let before = self.run_of(batch, source)?;
        let next = before.map_or(PublisherSequence(1), |run| run.next).max(source.sequence.next());
        let expires_at = before.map_or(kept, |run| run.expires_at.max(kept));
        let run = (source.publisher, source.incarnation);
        batch.runs.insert(run, RunRecord { next, expires_at });
        Ok(())
    }

    /// As [`OpenTopic::take_turn`], for a message of an import: neither its sequence nor its rate
    /// decides.
    pub(super) fn take_imported(
        &mut self,
        batch: &mut Batch,
        message: &Message,
    ) -> Result<Published, Stop> {
        let source = message.source();
        let is_known = self.run_of(batch, &source)?.is_some();
        let mut record = self.peer_of(batch, &source)?;
        self.pass_sequence(batch, (&source, is_known), &mut record, message.expires_at)?;
        batch.peers.insert(source.publisher, record);
        let (id, position) = (message.id(&self.address), self.head.next);
        if batch.entry_of(&source).is_some() || self.position_of(&source)?.is_some() {
            self.keep_body(batch, message, id)?;
            self.put_second(&source, &id, position)?;
            return Ok(Published { id, position, is_new: true });
        }
        self.accept(batch, message)
    }

    fn accept(&mut self, batch: &mut Batch, message: &Message) -> Result<Published, Stop> {
        let id = message.id(&self.address);
        let position = self.keep_body(batch, message, id)?;
        batch.note_stretch(message.source(), position);
        Ok(Published { id, position, is_new: true })
    }

    /// Gives a message the next position and keeps it under that.
    fn keep_body(
        &mut self,
        batch: &mut Batch,
        message: &Message,
        id: MessageId,
    ) -> Result<TopicPosition, Stop> {
        let position = self.head.next;
        self.head.next = position.next();
        let bytes = u32::try_from(message.body.len()).expect("a body fits its bound");
        let (source, expires_at) = (message.source(), message.expires_at);
        batch
            .edits
            .push((position, Some(MessageEntry { position, id, source, expires_at, bytes })));
        self.put_body(position, message)?;
        self.books.bytes += u64::from(bytes);
        Ok(position)
    }

    /// Writes what a batch has gathered, and removes what has expired or is too much.
    pub(super) fn write(&mut self, batch: Batch) -> Result<(), Stop> {
        let Batch { edits, peers, runs, stretches } = batch;
        for (peer, record) in &peers {
            self.put_peer(peer, record)?;
        }
        for (run, record) in &runs {
            self.put_run(run, record)?;
        }
        for (first, stretch) in &stretches {
            self.put_stretch(first, stretch)?;
        }
        let messages = self.books.messages;
        if !edits.is_empty() {
            self.books.messages = messages.edit(&mut self.pages(), &edits)?;
        }
        self.make_room()
    }
}
