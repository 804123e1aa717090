//! Serving topics to subscribers on other nodes.
//!
//! A subscriber begins a stream, asks for deliveries on it, and keeps a few long questions for what
//! comes next. Nothing of a stream outlives its subscriber's silence.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout_at;
use weald_core::{
    Action, BlockId, Digest, Payload, PeerId, Refusal, Rejection, Reply, identity::Claim,
};
use weald_pubsub::{self as pubsub, TopicAddress, TopicId, TopicType};

use super::Server;
use crate::{
    ErrorKind, Result,
    backend::Version,
    reach::{
        limits::{
            ANSWER_BYTES_MAX, FOLLOW_WAIT, PEER_STREAMS_MAX, STREAM_ASKS_MAX, STREAM_IDLE_MAX,
            STREAMS_MAX,
        },
        message::{TopicAsk, TopicTold, Wire},
        topics::HostedShelf,
    },
    topic::{Link, News, Serving, Shelf, look_at},
};

/// How often streams that nobody asks for are looked for.
const SWEEP_PAUSE: Duration = Duration::from_secs(5);

/// The streams that a node serves to others.
#[derive(Default)]
pub(in crate::reach) struct Streams {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    streams: BTreeMap<(PeerId, u64), Arc<Stream>>,
    serving: BTreeMap<TopicId, Weak<Serving>>,
    is_swept: bool,
}

/// A stream of one subscriber.
struct Stream {
    link: tokio::sync::Mutex<Link>,
    /// Its name at whoever serves the topic.
    id: pubsub::StreamId,
    serving: Arc<Serving>,
    used_at: Mutex<Instant>,
    /// Questions that wait.
    asks: AtomicUsize,
}

impl Server {
    /// Answers a subscriber.
    pub(super) fn serve_topic(
        self: &Arc<Self>,
        peer: PeerId,
        body: &Bytes,
        deadline: Instant,
        reply: Reply,
    ) {
        match TopicAsk::from_wire(body) {
            Err(_) => reply.send(Err(Refusal::Malformed)),
            Ok(TopicAsk::Network) => {
                let known = *self.asker.network().borrow();
                reply.send(
                    known.map(TopicTold::Network).map(|told| told.to_wire()).ok_or(Refusal::Busy),
                );
            }
            Ok(TopicAsk::Begin { stream, topic }) => {
                let server = Arc::clone(self);
                self.asker.runtime().spawn(async move {
                    reply.send(server.begin((peer, stream), topic).await);
                });
            }
            Ok(TopicAsk::Deliver { stream, request }) => {
                let told = match self.streams.find((peer, stream)) {
                    Some(stream) => {
                        stream.serving.ask(stream.id, request);
                        TopicTold::Done
                    }
                    None => TopicTold::NotHere,
                };
                reply.send(Ok(told.to_wire()));
            }
            Ok(TopicAsk::Next { stream }) => self.next((peer, stream), deadline, reply),
            Ok(TopicAsk::End { stream }) => {
                self.streams.held.lock().streams.remove(&(peer, stream));
                reply.send(Ok(TopicTold::Done.to_wire()));
            }
            Ok(TopicAsk::Body { topic, request }) => self.serve_body(peer, (topic, request), reply),
        }
    }

    /// A peer is gone, and its streams with it.
    pub(in crate::reach) fn lose(&self, peer: PeerId) {
        self.streams.held.lock().streams.retain(|(of, _), _| *of != peer);
    }

    async fn begin(
        self: Arc<Self>,
        id: (PeerId, u64),
        topic: TopicAddress,
    ) -> std::result::Result<Bytes, Refusal> {
        let code = pubsub::Topic::new(topic);
        let Some(shelf) = self.shelf(code)? else { return Ok(TopicTold::NotHere.to_wire()) };
        let told = match may_subscribe(&*shelf, code, id.0).await {
            Ok(true) => {
                let is_kept = self.keep(id, code, shelf);
                if is_kept { TopicTold::Done } else { return Err(Refusal::Busy) }
            }
            Ok(false) => TopicTold::Denied,
            Err(error) if error.kind() == ErrorKind::NotFound => TopicTold::NoTopic,
            Err(error) => return Err(Refusal::Failed(error.to_string())),
        };
        Ok(told.to_wire())
    }

    /// Where the topic is in this process; `None` where it is not.
    pub(super) fn shelf(
        &self,
        code: pubsub::Topic,
    ) -> std::result::Result<Option<Arc<dyn Shelf>>, Refusal> {
        let header = BlockId::header(&code.collection());
        if !self.asker.has_map() {
            return Err(Refusal::Busy);
        }
        let partition = self.asker.partition(header.placement());
        let hosted = self.members.hosted(partition);
        Ok(hosted.map(|hosted| Arc::new(HostedShelf::new(hosted, header)) as Arc<dyn Shelf>))
    }

    /// Keeps a stream; `false` when there are too many.
    fn keep(
        self: &Arc<Self>,
        id: (PeerId, u64),
        code: pubsub::Topic,
        shelf: Arc<dyn Shelf>,
    ) -> bool {
        let mut held = self.streams.held.lock();
        let of_peer = held.streams.range((id.0, 0)..=(id.0, u64::MAX)).count();
        if held.streams.len() >= STREAMS_MAX || of_peer >= PEER_STREAMS_MAX {
            return false;
        }
        let topic = code.address().topic;
        let there = held.serving.get(&topic).and_then(Weak::upgrade);
        let serving = there.filter(|serving| serving.is_usable()).unwrap_or_else(|| {
            let serving = Serving::start(code, shelf, self.asker.runtime());
            held.serving.retain(|_, serving| serving.strong_count() > 0);
            held.serving.insert(topic, Arc::downgrade(&serving));
            serving
        });
        let (number, link) = Link::near(Arc::clone(&serving));
        let stream = Stream {
            id: number,
            link: tokio::sync::Mutex::new(link),
            serving,
            used_at: Mutex::new(Instant::now()),
            asks: AtomicUsize::new(0),
        };
        held.streams.insert(id, Arc::new(stream));
        if !std::mem::replace(&mut held.is_swept, true) {
            self.asker.runtime().spawn(sweep(Arc::downgrade(self)));
        }
        true
    }

    fn next(self: &Arc<Self>, id: (PeerId, u64), deadline: Instant, reply: Reply) {
        let Some(stream) = self.streams.find(id) else {
            return reply.send(Ok(TopicTold::NotHere.to_wire()));
        };
        if stream.asks.fetch_add(1, Ordering::SeqCst) >= STREAM_ASKS_MAX {
            stream.asks.fetch_sub(1, Ordering::SeqCst);
            return reply.send(Err(Refusal::Busy));
        }
        let until = deadline.min(Instant::now() + FOLLOW_WAIT);
        let server = Arc::clone(self);
        self.asker.runtime().spawn(async move {
            let told = stream.next(until).await;
            stream.asks.fetch_sub(1, Ordering::SeqCst);
            if !matches!(told, TopicTold::Parts(_) | TopicTold::Generation(_)) {
                server.streams.held.lock().streams.remove(&id);
            }
            reply.send(Ok(told.to_wire()));
        });
    }
}

impl Streams {
    fn find(&self, id: (PeerId, u64)) -> Option<Arc<Stream>> {
        let stream = self.held.lock().streams.get(&id).cloned()?;
        *stream.used_at.lock() = Instant::now();
        Some(stream)
    }
}

impl Stream {
    /// What comes next, as much of it as is there and fits an answer.
    async fn next(&self, until: Instant) -> TopicTold {
        let Ok(mut link) = timeout_at(until.into(), self.link.lock()).await else {
            return TopicTold::Parts(Vec::new());
        };
        let mut parts = Vec::new();
        let mut bytes = 0;
        let mut news = match timeout_at(until.into(), link.news()).await {
            Ok(news) => news,
            Err(_) => return TopicTold::Parts(parts),
        };
        loop {
            match news {
                Some(News::Part(parcel)) => {
                    let part = parcel.wire(Wire::to_wire);
                    bytes += part.len();
                    parts.push(part);
                }
                Some(News::Generation(generation)) if parts.is_empty() => {
                    return TopicTold::Generation(generation);
                }
                // What came before is told; the rest with the next question.
                _ if !parts.is_empty() => return TopicTold::Parts(parts),
                Some(News::Over(error)) if error.kind() == ErrorKind::NotFound => {
                    return TopicTold::NoTopic;
                }
                _ => return TopicTold::NotHere,
            }
            if bytes >= ANSWER_BYTES_MAX / 2 {
                return TopicTold::Parts(parts);
            }
            match link.waiting() {
                Some(waiting) => news = Some(waiting),
                None => return TopicTold::Parts(parts),
            }
        }
    }
}

async fn may_subscribe(shelf: &dyn Shelf, code: pubsub::Topic, peer: PeerId) -> Result<bool> {
    is_allowed(&shelf.view().wait().await?, code, peer).await
}

/// Whether the policy of a topic lets a peer subscribe.
pub(super) async fn is_allowed(
    version: &Version,
    code: pubsub::Topic,
    peer: PeerId,
) -> Result<bool> {
    let options = look_at(version, |reader| code.options(reader)).await?;
    let is_its = options.address == *code.address();
    Ok(is_its && options.policy.subscribers.allows(&peer))
}

/// Whether a payload has actions on topics.
pub(super) fn has_topics(payload: &Payload) -> bool {
    actions(payload).iter().any(|action| action.type_name.as_str() == TopicType::NAME)
}

/// What is signed in a payload, to be checked.
pub(super) fn claims(
    payload: &Payload,
    network: &Digest,
) -> std::result::Result<Vec<Claim>, Rejection> {
    let mut claims = Vec::new();
    for action in actions(payload) {
        claims.extend(pubsub::Topic::claims(action, network)?);
    }
    Ok(claims)
}

fn actions(payload: &Payload) -> &[Action] {
    match payload {
        Payload::Transaction(request) => &request.body.actions,
        _ => &[],
    }
}

/// Ends streams that nobody asks for, until there are none.
async fn sweep(server: Weak<Server>) {
    loop {
        tokio::time::sleep(SWEEP_PAUSE).await;
        let Some(server) = server.upgrade() else { return };
        let mut held = server.streams.held.lock();
        held.streams.retain(|_, stream| stream.used_at.lock().elapsed() < STREAM_IDLE_MAX);
        if held.streams.is_empty() {
            held.is_swept = false;
            return;
        }
    }
}
