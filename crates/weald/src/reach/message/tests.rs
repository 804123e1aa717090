//! Round trips, refusals and golden vectors of everything that nodes say to each other here.

use weald_cluster::routing::{Answer, Purpose, Reign, Ticket, Version};
use weald_core::{
    Block, BlockKind, Epoch, PartitionId, PeerId, PlacementKey, Rejection, codec::CodecError,
};
use weald_pubsub::{TopicId, TopicPosition};

use super::*;

fn name() -> CollectionName {
    "shop/orders".parse().unwrap()
}

fn id() -> TransactionId {
    TransactionId::new(PlacementKey::from_u64(7), [9; 16])
}

fn block() -> BlockId {
    BlockId::header(&name())
}

fn peer() -> PeerId {
    PeerId::from_digest(weald_core::Digest::from_bytes([3; 32]))
}

fn questions() -> Vec<Question> {
    let wanted = |known| Wanted { id: block(), known };
    let view = |fresh, at_least, wanted| Question::View { fresh, at_least, wanted };
    vec![
        Question::Standing(id()),
        view(Fresh::Linearizable, LogIndex::ZERO, vec![wanted(None), wanted(Some(Revision(2)))]),
        view(Fresh::Stale(1500), LogIndex(300), Vec::new()),
        view(Fresh::Local, LogIndex(1), Vec::new()),
        Question::Blocks {
            index: LogIndex(5),
            wanted: vec![wanted(None), wanted(Some(Revision(2)))],
        },
        Question::Collections { after: Some(block()) },
    ]
}

fn answers() -> Vec<Answered> {
    let kind = BlockKind::HEADER;
    let stored = Block { id: block(), kind, collection: block(), payload: "content".into() };
    let present = Found::Present(StoredBlock { block: stored, revision: Revision(4) });
    vec![
        Answered::Pending,
        Answered::Settled(Outcome::Rejected(Rejection::Fenced)),
        Answered::Unheard,
        Answered::View {
            index: LogIndex(9),
            log_time: Time::from_millis(300),
            found: vec![Found::Known, Found::Absent],
        },
        Answered::Blocks(vec![present, Found::Known, Found::Absent]),
        Answered::Gone,
        Answered::Collections { ids: vec![block()], has_more: true },
    ]
}

fn request() -> Request {
    Request {
        ticket: Ticket(1),
        attempt: 2,
        purpose: Purpose::Write(id()),
        partition: PartitionId(3),
        version: Version { generation: 1, index: LogIndex(4) },
        hops: 1,
        tried: vec![peer()],
        payload: "payload".into(),
    }
}

fn reply() -> Reply {
    let epoch = Epoch { number: 6, campaigner: Some(peer()) };
    let reign = Reign { generation: 2, epoch };
    let answer = Answer::Redirect { partition: PartitionId(3), reign };
    Reply { ticket: Ticket(1), attempt: 2, answer }
}

fn topic_asks() -> Vec<TopicAsk> {
    let topic = TopicAddress { network: Digest::ZERO, topic: TopicId::of("chat") };
    let (from, until) = (TopicPosition(1), TopicPosition(300));
    let digest = Digest::from_bytes([5; 32]);
    let request = BodyRequest { position: until, digest, first: 4, count: 2 };
    vec![
        TopicAsk::Network,
        TopicAsk::Begin { stream: 7, topic },
        TopicAsk::Deliver { stream: 7, request: StreamRequest::Open { from, until } },
        TopicAsk::Next { stream: 7 },
        TopicAsk::End { stream: 7 },
        TopicAsk::Body { topic, request },
    ]
}

fn topic_tolds() -> Vec<TopicTold> {
    vec![
        TopicTold::Network(Digest::from_bytes([5; 32])),
        TopicTold::Done,
        TopicTold::Parts(vec!["part".into()]),
        TopicTold::NotHere,
        TopicTold::Denied,
        TopicTold::NoTopic,
        TopicTold::Generation(3),
        TopicTold::Body(BodyAnswer::Chunks(vec!["chunk".into(), "last".into()])),
        TopicTold::Body(BodyAnswer::Gone),
        TopicTold::Body(BodyAnswer::NotHere),
    ]
}

/// The bytes of a message that can be read back, and not when they are cut short.
fn one<T: Wire + PartialEq + std::fmt::Debug>(message: &T) -> Bytes {
    let bytes = message.to_wire();
    assert_eq!(T::from_wire(&bytes).as_ref(), Ok(message));
    assert!(T::from_wire(&bytes[..bytes.len() - 1]).is_err(), "{message:?}: cut short");
    bytes
}

/// All messages.
fn messages() -> Vec<(&'static str, Bytes)> {
    let mut all: Vec<_> = questions().iter().map(|message| ("question", one(message))).collect();
    all.extend(answers().iter().map(|message| ("answer", one(message))));
    let submitted = [
        Submitted::Outcome(Outcome::Rejected(Rejection::IdReused)),
        Submitted::DiskFull,
        Submitted::TooLarge { bytes: 9, max: 8 },
    ];
    all.extend(submitted.iter().map(|message| ("submitted", one(message))));
    all.push(("follow", one(&Follow { collection: name(), seen: Revision(300) })));
    all.push(("followed", one(&Followed::Revision(Revision(301)))));
    all.push(("followed", one(&Followed::NotMine)));
    all.push(("status", one(&Status { map: Map::default() })));
    let told = Message::Resolved {
        part: weald_core::PartId { id: id(), pend: weald_core::Position::default() },
        keys: vec![PlacementKey::from_u64(7)],
    };
    all.push(("told", one(&told)));
    all.push(("request", one(&request())));
    all.push(("reply", one(&reply())));
    all.extend(topic_asks().iter().map(|message| ("topic ask", one(message))));
    all.extend(topic_tolds().iter().map(|message| ("topic told", one(message))));
    all
}

/// A changed vector is a changed format: nodes of different builds would not understand each other.
#[test]
fn golden_vectors_hold() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let messages = messages();
    let lines = messages.iter().map(|(what, bytes)| format!("{what} {}\n", hex(bytes)));
    assert_eq!(lines.collect::<String>(), include_str!("golden.txt"));
}

#[test]
fn one_message_is_not_taken_for_another() {
    let question = questions()[0].to_wire();
    assert!(matches!(Answered::from_wire(&question), Err(CodecError::Kind { .. })));
    assert!(matches!(Question::from_wire(&[]), Err(CodecError::Short(0))));
}
