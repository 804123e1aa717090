//! Large messages: their bodies come when the application comes to them, from whoever has them.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    LargeMessage, Message,
    limits::{BODY_CHUNK_BYTES, BODY_CHUNKS_MAX},
    testing::sized,
};

/// A request for a part of a body: its number, whom it goes to, what is asked.
type Fetch = (u64, PeerId, BodyRequest);

impl Bench {
    /// The request for a part of a body that is to be made now, and what was refused before it.
    fn fetch(&mut self) -> (Option<Fetch>, Vec<PeerId>) {
        self.subscriber.handle_timeout(self.now);
        let (mut fetches, mut refused) = (Vec::new(), Vec::new());
        for output in self.outputs() {
            match output {
                SubscriberOutput::Fetch { number, member, request } => {
                    fetches.push((number, member, request));
                }
                SubscriberOutput::Refused { member, position } => {
                    assert_eq!(position, at(2));
                    refused.push(member);
                }
                _ => {}
            }
        }
        assert!(fetches.len() <= 1, "one at a time");
        (fetches.pop(), refused)
    }

    /// The next request; waits for it as long as it takes.
    fn next_fetch(&mut self) -> Fetch {
        for _ in 0..20 {
            if let (Some(fetch), _) = self.fetch() {
                return fetch;
            }
            self.now = self.subscriber.poll_timeout().unwrap().max(self.now);
        }
        panic!("nobody is asked: {:?}", self.subscriber);
    }

    fn answer(&mut self, fetch: &Fetch, answer: BodyAnswer) {
        self.put(SubscriberInput::Body(fetch.0, answer));
    }
}

/// What a member that has `message` answers.
fn chunks(message: &Message, request: &BodyRequest) -> BodyAnswer {
    let large = LargeMessage::of(message).unwrap();
    assert_eq!((request.position, request.digest), (at(2), large.body_digest));
    let chunks = message.body.chunks(BODY_CHUNK_BYTES);
    let asked = chunks.skip(request.first as usize).take(request.count as usize);
    BodyAnswer::Chunks(asked.map(Bytes::copy_from_slice).collect())
}

fn large(message: &Message) -> TopicItem {
    TopicItem::Large { position: at(2), message: LargeMessage::of(message).unwrap() }
}

/// A body of `count` chunks, the last one short.
fn message_of(count: usize) -> Message {
    sized(&identity(1), 2, (count - 1) * BODY_CHUNK_BYTES + 9)
}

/// A subscriber that has got three messages, of which the second is large.
fn with_large(message: &Message) -> Bench {
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    bench.part(part(1, vec![item(1), large(message), item(3)]));
    assert_eq!(bench.fetch().0, None);
    bench
}

/// The same whose application waits for the second.
fn waiting(message: &Message) -> Bench {
    let mut bench = with_large(message);
    assert_eq!(bench.events(), ["1"]);
    assert!(bench.subscriber.has_outputs(), "whoever drives it is to look at it");
    bench
}

#[test]
fn ps265_a_body_is_fetched_when_the_application_comes_to_it_and_not_before() {
    let message = message_of(6);
    let mut bench = with_large(&message);
    for _ in 0..50 {
        bench.wait();
        assert_eq!(bench.fetch().0, None, "nobody has asked for an event");
        bench.part(part(4, Vec::new()));
    }
    let first = bench.subscriber.poll_event().unwrap();
    assert!(matches!(first, Event::Message { position, .. } if position == at(1)));
    assert_eq!(bench.fetch().0, None, "the application has enough to do");
    assert_eq!(bench.subscriber.poll_event(), None);
    let fetch = bench.next_fetch();
    assert_eq!(fetch.1, bench.member(), "the member that serves the stream comes first");
    assert_eq!((fetch.2.first, fetch.2.count), (0, BODY_CHUNKS_MAX));
    assert_eq!(bench.events(), [""; 0]);
    bench.answer(&fetch, chunks(&message, &fetch.2));
    let fetch = bench.next_fetch();
    assert_eq!((fetch.2.first, fetch.2.count), (4, 2));
    bench.answer(&fetch, chunks(&message, &fetch.2));
    let second = bench.subscriber.poll_event().unwrap();
    let message = Box::new(message);
    assert_eq!(second, Event::Message { position: at(2), message, passed: 0 });
    assert_eq!(bench.events(), ["3", "caught up 4"]);
    assert_eq!(bench.fetch().0, None);
}

#[test]
fn a_member_that_is_silent_or_has_nothing_is_followed_by_the_next_and_chunks_are_kept() {
    let message = message_of(6);
    let mut bench = waiting(&message);
    let first = bench.next_fetch();
    bench.answer(&first, chunks(&message, &first.2));
    let silent = bench.next_fetch();
    assert_eq!(silent.1, first.1);
    bench.now = bench.now.after(bench.subscriber.config.body_timeout);
    assert_eq!(bench.fetch().0, None, "after a pause");
    let second = bench.next_fetch();
    assert_ne!(second.1, first.1);
    assert_eq!(second.2, silent.2, "what has come stays");
    // What comes late says nothing, and neither does what nobody has asked for.
    bench.answer(&silent, BodyAnswer::Gone);
    bench.answer(&(second.0 + 1, second.1, second.2), BodyAnswer::Gone);
    bench.answer(&second, BodyAnswer::NotHere);
    let third = bench.next_fetch();
    assert!(third.1 != first.1 && third.1 != second.1);
    bench.answer(&third, chunks(&message, &third.2));
    bench.answer(&third, BodyAnswer::Gone);
    assert_eq!(bench.events(), ["2", "3", "caught up 4"]);
}

#[test]
fn a_stream_that_is_opened_elsewhere_makes_its_member_the_first_to_be_asked() {
    let message = message_of(2);
    let mut bench = waiting(&message);
    let first = bench.next_fetch();
    bench.put(SubscriberInput::Disconnected(first.1));
    bench.now = bench.now.after(SubscriberConfig::default().redial_delay_max);
    bench.subscriber.handle_timeout(bench.now);
    let outputs = bench.outputs();
    let dialled = outputs.iter().find_map(|output| match output {
        SubscriberOutput::Dial(member) => Some(*member),
        _ => None,
    });
    bench.put(SubscriberInput::Connected(dialled.unwrap()));
    let fetch = bench.next_fetch();
    assert_ne!(fetch.1, first.1);
    assert_eq!(fetch.1, dialled.unwrap());
    bench.answer(&fetch, chunks(&message, &fetch.2));
    assert_eq!(bench.events()[..2], ["2", "3"]);
}

#[test]
fn ps1523_a_body_whose_digest_does_not_fit_is_refused_and_asked_of_another_member() {
    let message = message_of(5);
    let mut bench = waiting(&message);
    let first = bench.next_fetch();
    bench.answer(&first, chunks(&message, &first.2));
    let last = bench.next_fetch();
    let forged = BodyAnswer::Chunks(vec![Bytes::from(vec![0; 9])]);
    bench.answer(&last, forged);
    let (none, refused) = bench.fetch();
    assert_eq!((none, refused), (None, vec![last.1]));
    let again = bench.next_fetch();
    assert_ne!(again.1, last.1);
    assert_eq!(again.2.first, 0, "which chunk was wrong nobody knows");
    for wrong in [vec![], vec![Bytes::from_static(b"short")], vec![Bytes::new(); 5]] {
        let fetch = bench.next_fetch();
        assert_eq!(fetch.2.first, 0);
        bench.answer(&fetch, BodyAnswer::Chunks(wrong));
    }
    assert_eq!(bench.events(), [""; 0]);
    let mut whole = bench.next_fetch();
    bench.answer(&whole, chunks(&message, &whole.2));
    whole = bench.next_fetch();
    bench.answer(&whole, chunks(&message, &whole.2));
    assert_eq!(bench.events(), ["2", "3", "caught up 4"]);
}

#[test]
fn ps267_a_body_that_has_gone_meanwhile_is_a_gap_of_its_position() {
    let message = message_of(2);
    let mut bench = waiting(&message);
    let fetch = bench.next_fetch();
    bench.answer(&fetch, BodyAnswer::Gone);
    assert_eq!(bench.events(), ["2..2", "3(-1)", "caught up 4"], "its sequence has passed");
    bench.subscriber.acknowledge(at(3));
    assert_eq!(bench.subscriber.cursor(), at(3));
}

#[test]
fn a_reset_and_an_end_stop_what_is_fetched() {
    let message = message_of(2);
    let mut bench = waiting(&message);
    let fetch = bench.next_fetch();
    bench.put(SubscriberInput::Reset { generation: 1 });
    bench.answer(&fetch, chunks(&message, &fetch.2));
    assert_eq!(bench.events(), ["reset 1"]);
    // The second position of the new generation is another message, whatever the old one's body was.
    let other = sized(&identity(3), 2, 70_000);
    bench.part(part(1, vec![item(1), large(&other), item(3)]));
    assert_eq!(bench.events(), ["1"]);
    let again = bench.next_fetch();
    bench.answer(&fetch, chunks(&message, &fetch.2));
    assert_eq!(bench.events(), [""; 0]);
    assert_ne!(again.0, fetch.0);
    bench.put(SubscriberInput::Unsubscribe);
    assert_eq!(bench.fetch().0, None);
    bench.answer(&again, chunks(&other, &again.2));
    assert!(bench.subscriber.is_over());
}

#[test]
fn a_large_message_that_cannot_be_is_not_believed() {
    let message = message_of(2);
    let mut bench = Bench::open(SubscriberConfig::default(), 0);
    for body_bytes in [0, 65_536, u32::MAX] {
        let message = LargeMessage { body_bytes, ..LargeMessage::of(&message).unwrap() };
        bench.part(part(1, vec![TopicItem::Large { position: at(1), message }]));
    }
    assert_eq!(bench.events(), [""; 0]);
    bench.part(messages(1, 2));
    assert_eq!(bench.events(), ["1", "caught up 2"]);
}

#[test]
fn a_body_comes_though_no_stream_is_open() {
    let message = message_of(2);
    let mut bench = waiting(&message);
    let member = bench.member();
    bench.put(SubscriberInput::Disconnected(member));
    let fetch = bench.next_fetch();
    bench.answer(&fetch, chunks(&message, &fetch.2));
    assert_eq!(bench.events()[..1], ["2"]);
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Right,
    Wrong,
    Short,
    NotHere,
    Lost,
    /// It is answered after the next one was made.
    Late,
}

fn fate() -> impl Strategy<Value = Fate> {
    use Fate::{Late, Lost, NotHere, Right, Short, Wrong};
    prop::sample::select(vec![Right, Right, Wrong, Short, NotHere, Lost, Late])
}

fn spoilt(answer: BodyAnswer, how: Fate) -> BodyAnswer {
    let BodyAnswer::Chunks(mut chunks) = answer else { return answer };
    match how {
        Fate::Wrong => {
            let mut last = chunks.pop().unwrap().to_vec();
            last[0] ^= 1;
            chunks.push(last.into());
        }
        Fate::Short => drop(chunks.pop()),
        _ => {}
    }
    BodyAnswer::Chunks(chunks)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn ps1523_whatever_members_answer_the_application_gets_the_message_that_was_published(
        fates in prop::collection::vec(fate(), 0..30),
        count in 2..9_usize,
    ) {
        let message = message_of(count);
        let mut bench = waiting(&message);
        let mut late: Option<Fetch> = None;
        for how in fates {
            // The body may be here already.
            let event = bench.subscriber.poll_event();
            if let Some(Event::Message { message: got, .. }) = event {
                prop_assert_eq!(&*got, &message);
                return Ok(());
            }
            let fetch = bench.next_fetch();
            if let Some(late) = late.take() {
                bench.answer(&late, chunks(&message, &late.2));
            }
            match how {
                Fate::Lost => bench.now = bench.now.after(bench.subscriber.config.body_timeout),
                Fate::NotHere => bench.answer(&fetch, BodyAnswer::NotHere),
                Fate::Late => {
                    bench.now = bench.now.after(bench.subscriber.config.body_timeout);
                    late = Some(fetch);
                }
                how => bench.answer(&fetch, spoilt(chunks(&message, &fetch.2), how)),
            }
        }
        // Once members are right it comes.
        for _ in 0..6 {
            let event = bench.subscriber.poll_event();
            if let Some(Event::Message { message: got, .. }) = event {
                prop_assert_eq!(&*got, &message);
                return Ok(());
            }
            let fetch = bench.next_fetch();
            bench.answer(&fetch, chunks(&message, &fetch.2));
        }
        prop_assert!(false, "it does not come");
    }
}
