//! A publisher before a topic that answers anything: each message has one fate, travels as it was signed, and what is
//! kept durably is what a restart finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use weald_core::Time;
use weald_pubsub::limits::{OUTBOX_BATCH_BYTES_MAX, OUTBOX_BATCH_MAX};
use weald_pubsub::{
    Availability, Incarnation, Message, MessageId, Outbox, Published, Publisher, PublisherInput,
    PublisherOutput, PublisherRecord, PublisherSequence, TopicPosition, TopicRefusal,
};

use crate::script::{Play, Script, play};
use crate::topics::{PEOPLE, address, message};

/// The id of a message; a publisher knows its own by their sequences.
static SOME: LazyLock<MessageId> = LazyLock::new(|| {
    message(&PEOPLE[2], (1, 1), (Time::ZERO, Time::MAX), "x".into()).id(&address())
});

/// Messages of one input.
const MESSAGES_MAX: usize = 200;

struct World {
    publisher: Publisher,
    availability: Availability,
    now: Time,
    /// Messages as they were first sent or kept.
    seen: BTreeMap<PublisherSequence, Message>,
    ids: BTreeMap<PublisherSequence, MessageId>,
    settled: BTreeSet<PublisherSequence>,
    queued: BTreeSet<PublisherSequence>,
    /// What is kept, and up to where it was said to be durable.
    kept: Outbox,
    durable: PublisherSequence,
    /// How many results the last thing that was sent wants; none when nothing is on its way.
    wanted: Option<usize>,
    has_restarted: bool,
}

/// Reads `data` as what happens to a publisher.
pub fn run(data: &[u8]) {
    play::<World>(data);
}

impl Play for World {
    fn begin(script: &mut Script<'_>) -> Self {
        let availability = [Availability::Consistent, Availability::Available][script.below(2)];
        let incarnation = Incarnation(7);
        Self {
            publisher: Publisher::new(address(), availability, incarnation),
            availability,
            now: Time::from_millis(1_000_000),
            seen: BTreeMap::new(),
            ids: BTreeMap::new(),
            settled: BTreeSet::new(),
            queued: BTreeSet::new(),
            kept: Outbox::new(incarnation),
            durable: PublisherSequence::ZERO,
            wanted: None,
            has_restarted: false,
        }
    }

    fn turn(&mut self, script: &mut Script<'_>) {
        self.step(script);
        self.carry_out();
        self.check();
    }
}

impl World {
    fn step(&mut self, script: &mut Script<'_>) {
        let input = match script.byte() % 16 {
            0..=4 => return self.publish(script),
            5 => {
                // What was to be kept is, up to somewhere.
                let last = self.kept.last().0.saturating_sub(u64::from(script.byte() % 4));
                self.durable = self.durable.max(PublisherSequence(last));
                PublisherInput::Persisted(PublisherSequence(last))
            }
            6..=9 => {
                let wanted = self.wanted.take().unwrap_or(1);
                let count = (wanted + script.below(3)).saturating_sub(script.below(2));
                PublisherInput::Answered((0..count).map(|_| result(script)).collect())
            }
            10 => {
                self.wanted = None;
                PublisherInput::Refused(refusal(script))
            }
            11 | 12 => {
                self.wanted = None;
                PublisherInput::Unreachable
            }
            13 | 14 => {
                self.now = self.now.after(Duration::from_millis(script.below(20_000) as u64));
                return self.publisher.handle_timeout(self.now);
            }
            _ => return self.restart(),
        };
        self.publisher.handle(self.now, input);
    }

    fn publish(&mut self, script: &mut Script<'_>) {
        if self.ids.len() >= MESSAGES_MAX {
            return;
        }
        let len = if script.byte() == 255 { OUTBOX_BATCH_BYTES_MAX / 2 } else { 5 };
        let ttl = Duration::from_secs([1, 10, 3_600][script.below(3)]);
        let body = vec![script.byte(); len].into();
        let made = self.publisher.publish(self.now, (body, ttl), &PEOPLE[1]);
        let (sequence, id) = made.expect("there is room");
        assert!(self.ids.insert(sequence, id).is_none(), "a sequence was given twice");
    }

    /// The process dies: what is kept is found again, and nothing else is known.
    fn restart(&mut self) {
        let outbox = self.kept.clone();
        self.publisher = Publisher::restore(address(), self.availability, outbox);
        let waiting = |sequence: &PublisherSequence| self.kept.contains(*sequence);
        self.seen.retain(|sequence, _| waiting(sequence));
        self.ids.retain(|sequence, _| waiting(sequence));
        self.settled.clear();
        self.queued.clear();
        (self.wanted, self.durable, self.has_restarted) = (None, self.kept.last(), true);
        self.publisher.handle_timeout(self.now);
    }

    fn carry_out(&mut self) {
        for nth in 0.. {
            assert!(nth < 8 * MESSAGES_MAX, "one input leads to ever more outputs");
            let Some(output) = self.publisher.poll_output() else { return };
            match output {
                PublisherOutput::Persist(record) => {
                    if let PublisherRecord::Taken(message) = &record {
                        self.see(message);
                    }
                    self.kept.apply(&record);
                }
                PublisherOutput::Publish(messages) => self.sent(&messages),
                PublisherOutput::Skip(incarnation, _) => {
                    assert_eq!(incarnation, self.publisher.outbox().incarnation());
                    self.wanted = Some(1);
                }
                PublisherOutput::Queued(sequence) => {
                    assert_eq!(self.availability, Availability::Available);
                    assert!(sequence <= self.durable, "it is not durable: {sequence}");
                    assert!(!self.settled.contains(&sequence), "its fate was certain: {sequence}");
                    assert!(self.queued.insert(sequence), "it was told twice: {sequence}");
                }
                PublisherOutput::Settled(sequence, _) => {
                    assert!(self.settled.insert(sequence), "a second fate: {sequence}");
                }
            }
        }
    }

    fn sent(&mut self, messages: &[Message]) {
        assert!(self.wanted.is_none(), "something is on its way");
        assert!((1..=OUTBOX_BATCH_MAX).contains(&messages.len()));
        let bytes: usize = messages.iter().map(|message| message.body.len()).sum();
        assert!(messages.len() == 1 || bytes <= OUTBOX_BATCH_BYTES_MAX, "a large batch: {bytes}");
        assert!(messages.is_sorted_by(|a, b| a.sequence < b.sequence));
        for message in messages {
            self.see(message);
            assert!(!self.settled.contains(&message.sequence), "its fate was certain");
            assert!(!self.has_restarted || message.sequence <= self.durable, "it is not durable");
        }
        self.wanted = Some(messages.len());
    }

    /// A message is the same whenever it is seen.
    fn see(&mut self, message: &Message) {
        let known = self.seen.entry(message.sequence).or_insert_with(|| message.clone());
        assert_eq!(known, message, "it was signed again");
        assert_eq!(self.ids.get(&message.sequence), Some(&message.id(&address())));
    }

    fn check(&self) {
        let outbox = self.publisher.outbox();
        let records = outbox.records();
        assert_eq!(self.kept.len(), records.len(), "what is kept is not what waits");
        for record in &records {
            let PublisherRecord::Taken(message) = record else { panic!("it waits: {record:?}") };
            assert!(self.kept.contains(message.sequence));
        }
        assert!(!self.has_restarted || records.len() == outbox.len(), "all is kept");
        let waiting = self.ids.keys().filter(|sequence| outbox.contains(**sequence)).count();
        assert_eq!(waiting, outbox.len());
        assert_eq!(outbox.is_empty(), outbox.bytes() == 0);
        assert!(
            outbox.is_empty() || self.wanted.is_some() || self.publisher.poll_timeout().is_some()
        );
    }
}

fn result(script: &mut Script<'_>) -> Result<Option<Published>, TopicRefusal> {
    match script.byte() % 8 {
        0 => Ok(None),
        1 | 2 => Err(refusal(script)),
        byte => Ok(Some(Published {
            id: *SOME,
            position: TopicPosition(byte.into()),
            is_new: byte > 4,
        })),
    }
}

fn refusal(script: &mut Script<'_>) -> TopicRefusal {
    match script.byte() % 10 {
        0 => TopicRefusal::Deleted,
        1 => TopicRefusal::NotActive,
        2 => TopicRefusal::Denied,
        3 => TopicRefusal::BadSignature,
        4 => TopicRefusal::TooLarge { bytes: 2, max: 1 },
        5 => TopicRefusal::IdReused,
        6 => TopicRefusal::Forgotten,
        7 => TopicRefusal::RateLimited,
        _ => TopicRefusal::SequenceGap { expected: PublisherSequence(script.byte().into()) },
    }
}
