//! A subscriber among members that say anything: the application sees each position once, in order, as a message or
//! within a gap, and no cursor passes what it was not told.

use std::time::Duration;

use weald_core::Time;
use weald_core::codec::{Kind, decode};
use weald_pubsub::{
    BodyAnswer, BodyRequest, Event, LargeMessage, LeaseAction, LeaseAnswer, Message, Part,
    StreamRequest, Subscriber, SubscriberConfig, SubscriberId, SubscriberInput, SubscriberOutput,
    TopicItem, TopicPosition, TopicRefusal, TopicVersion,
};

use crate::script::{Play, Script, play};
use crate::topics::{LARGE, PEOPLE, address, message, peer};

/// The envelope of a part, as the targets of objects have it.
const INNER: Kind = Kind(255);
/// Outputs that one input may lead to.
const OUTPUTS_MAX: usize = 64;

struct World {
    subscriber: Subscriber,
    message: Message,
    now: Time,
    /// The next position that the application is to be told of.
    next: TopicPosition,
    /// The last that it was told of and the last that it has acknowledged.
    told: TopicPosition,
    acknowledged: TopicPosition,
    generation: u64,
    /// The generation that the application was told of.
    told_generation: u64,
    /// The last nonce that was asked for.
    nonce: u64,
    has_left: bool,
    /// Where the application waits, since there was no event for it.
    waits_at: Option<TopicPosition>,
    /// The last part of a body that was asked for.
    fetch: Option<(u64, BodyRequest)>,
}

/// Reads `data` as what happens to a subscriber.
pub fn run(data: &[u8]) {
    play::<World>(data);
}

impl Play for World {
    fn begin(script: &mut Script<'_>) -> Self {
        let now = Time::from_millis(1_000_000);
        let cursor = TopicPosition([0, 0, 5, u64::MAX - 1, u64::MAX][script.below(5)]);
        let config = SubscriberConfig {
            window: [1, 4, 1024, u64::MAX][script.below(4)],
            near: script.byte().is_multiple_of(2).then(|| peer(0)),
            ..SubscriberConfig::default()
        };
        let id = SubscriberId { peer: peer(1), stream: 1 };
        let mut subscriber = Subscriber::new(config, (id, address().topic), cursor, now);
        subscriber.expect(TopicPosition(script.byte().into()));
        subscriber.begin_in(script.byte().into());
        let generation = subscriber.generation();
        let lasts = (now, now.after(Duration::from_secs(60)));
        let message = message(&PEOPLE[2], (1, 1), lasts, "x".into());
        Self {
            subscriber,
            message,
            now,
            next: cursor.next(),
            told: cursor,
            acknowledged: cursor,
            generation,
            told_generation: generation,
            nonce: 0,
            has_left: false,
            waits_at: None,
            fetch: None,
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
        let member = peer(script.below(3));
        let input = match script.byte() % 19 {
            0 => SubscriberInput::Members((0..script.below(4)).map(peer).collect()),
            1 | 2 => SubscriberInput::Connected(member),
            3 => SubscriberInput::Disconnected(member),
            4..=7 => SubscriberInput::Part(member, self.part(script)),
            8 => match decode::<Part>(INNER, script.bytes(4096)) {
                Ok(part) => SubscriberInput::Part(member, part),
                Err(_) => return,
            },
            9 => SubscriberInput::Leased(LeaseAnswer {
                version: TopicVersion(script.byte().into()),
                expires_at: self.now.after(Duration::from_secs(script.byte().into())),
                next: TopicPosition(script.byte().into()),
            }),
            10 => SubscriberInput::LeaseRefused(match script.byte() % 4 {
                0 => TopicRefusal::StaleNonce { highest: u64::from(script.byte()) << 56 },
                1 => TopicRefusal::NotSubscribed,
                _ => TopicRefusal::Deleted,
            }),
            11 => self.reset(script.byte().into()),
            12 => return self.take(script),
            13 => return self.acknowledge(script),
            14 => {
                self.now = self.now.after(Duration::from_millis(script.below(40_000) as u64));
                return self.subscriber.handle_timeout(self.now);
            }
            16 | 17 => match self.body(script) {
                Some(input) => input,
                None => return,
            },
            18 => match decode::<BodyAnswer>(INNER, script.bytes(4096)) {
                Ok(answer) => SubscriberInput::Body(self.fetch.map_or(0, |fetch| fetch.0), answer),
                Err(_) => return,
            },
            _ if script.byte() < 200 => return self.subscriber.renew(self.now),
            _ => {
                self.has_left = true;
                SubscriberInput::Unsubscribe
            }
        };
        self.subscriber.handle(self.now, input);
    }

    /// A new generation: what was told before says nothing any more.
    fn reset(&mut self, generation: u64) -> SubscriberInput {
        if generation > self.generation && !self.has_left {
            self.generation = generation;
            self.next = TopicPosition(1);
            (self.told, self.acknowledged) = (TopicPosition::ZERO, TopicPosition::ZERO);
            (self.waits_at, self.fetch) = (None, None);
        }
        SubscriberInput::Reset { generation }
    }

    /// An answer about a body: right, wrong, late, or to nothing that was asked.
    fn body(&self, script: &mut Script<'_>) -> Option<SubscriberInput> {
        let (number, request) = self.fetch?;
        let chunks = LARGE.body.chunks(weald_pubsub::limits::BODY_CHUNK_BYTES);
        let asked = chunks.skip(request.first as usize).take(request.count as usize);
        let mut chunks: Vec<_> = asked.map(bytes::Bytes::copy_from_slice).collect();
        let answer = match script.byte() % 8 {
            0 => BodyAnswer::Gone,
            1 => BodyAnswer::NotHere,
            2 => {
                chunks.pop();
                BodyAnswer::Chunks(chunks)
            }
            3 => {
                BodyAnswer::Chunks(chunks.iter().map(|chunk| vec![0; chunk.len()].into()).collect())
            }
            _ => BodyAnswer::Chunks(chunks),
        };
        let number = if script.byte() >= 240 { number ^ 1 } else { number };
        Some(SubscriberInput::Body(number, answer))
    }

    /// A part near what is wanted: whole, or with a hole, an overlap or an end that is not its own.
    fn part(&self, script: &mut Script<'_>) -> Part {
        let near = |script: &mut Script<'_>, base: u64| match script.byte() {
            255 => u64::MAX,
            byte => base.saturating_add(u64::from(byte % 8)),
        };
        let from = match script.byte() % 4 {
            0 => near(script, self.next.0.saturating_sub(4)),
            _ => self.next.0,
        };
        let mut at = from;
        let mut items = Vec::new();
        for _ in 0..script.below(6) {
            let first = if script.byte() >= 240 { near(script, at) } else { at };
            let is_gone = script.byte().is_multiple_of(4);
            let last = if is_gone { near(script, first) } else { first };
            let (first, last) = (TopicPosition(first), TopicPosition(last));
            items.push(match is_gone {
                true => TopicItem::Gone { first, last },
                false if script.byte() >= 192 => {
                    TopicItem::Large { position: first, message: self.large(script) }
                }
                false => TopicItem::Message { position: first, message: self.message(script) },
            });
            at = last.next().0;
        }
        let next = if script.byte() >= 240 { near(script, at) } else { at };
        let end = near(script, next);
        let [from, next, end] = [from, next, end].map(TopicPosition);
        Part { from, items, next, end }
    }

    fn message(&self, script: &mut Script<'_>) -> Message {
        let sequence = weald_pubsub::PublisherSequence(match script.byte() {
            255 => u64::MAX,
            byte => byte.into(),
        });
        Message { sequence, ..self.message.clone() }
    }

    /// A large message, now and then one that cannot be.
    fn large(&self, script: &mut Script<'_>) -> LargeMessage {
        let large = LargeMessage::of(&LARGE).expect("a large message");
        match script.byte() {
            255 => LargeMessage { body_bytes: u32::MAX, ..large },
            _ => large,
        }
    }

    fn take(&mut self, script: &mut Script<'_>) {
        for _ in 0..=script.below(12) {
            let Some(event) = self.subscriber.poll_event() else {
                self.waits_at = Some(self.next);
                return;
            };
            let (first, last) = match event {
                Event::Message { position, message, .. } => {
                    let is_it = message.body.len() <= 1 || message.body == LARGE.body;
                    assert!(is_it, "a body that nobody has published");
                    (position, position)
                }
                Event::Gap { first, last } => (first, last),
                Event::Reset { generation } => {
                    assert!(generation == self.generation && generation > self.told_generation);
                    assert_eq!(self.told, TopicPosition::ZERO, "it comes before what is of it");
                    self.told_generation = generation;
                    continue;
                }
                Event::CaughtUp { .. } | Event::Lagged { .. } => continue,
            };
            assert_eq!(first, self.next, "a position that is missing, or told again");
            assert!(last >= first);
            (self.told, self.next) = (last, last.next());
        }
    }

    fn acknowledge(&mut self, script: &mut Script<'_>) {
        let position = match script.byte() {
            255 => TopicPosition(u64::MAX),
            byte => {
                TopicPosition(self.told.0.saturating_add(2).saturating_sub(u64::from(byte % 8)))
            }
        };
        self.subscriber.acknowledge(position);
        if position <= self.told {
            self.acknowledged = self.acknowledged.max(position);
        }
    }

    fn carry_out(&mut self) {
        for nth in 0.. {
            assert!(nth < OUTPUTS_MAX, "one input leads to ever more outputs");
            let Some(output) = self.subscriber.poll_output() else { return };
            match output {
                SubscriberOutput::Send(_, StreamRequest::Open { from, until }) => {
                    assert!(!self.has_left && from >= self.next && until >= self.next);
                }
                SubscriberOutput::Send(_, StreamRequest::Fill { from, until }) => {
                    assert!(from < until && from >= self.next);
                }
                SubscriberOutput::Lease(request) => {
                    assert!(request.nonce > self.nonce || self.nonce == u64::MAX);
                    assert!(request.last_seen <= self.told);
                    assert_eq!(request.action == LeaseAction::Unsubscribe, self.has_left);
                    self.nonce = request.nonce;
                }
                SubscriberOutput::Persist(position) => assert!(position <= self.told),
                SubscriberOutput::Fetch { number, request, .. } => {
                    assert!(!self.has_left && request.is_bounded());
                    assert_eq!(request.position, self.next, "a body that is not the next");
                    assert_eq!(self.waits_at, Some(self.next), "nobody has asked for it");
                    assert!(self.fetch.is_none_or(|(before, _)| before < number));
                    self.fetch = Some((number, request));
                }
                _ => {}
            }
        }
    }

    fn check(&self) {
        let subscriber = &self.subscriber;
        assert_eq!(subscriber.last_seen(), self.told);
        assert_eq!(subscriber.cursor(), self.acknowledged);
        assert_eq!(subscriber.generation(), self.told_generation);
        assert_eq!(subscriber.is_over(), self.has_left);
    }
}
