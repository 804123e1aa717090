//! Topics in reach: where their messages are, which network they are of, and streams from members on
//! other nodes.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
};

use tokio::sync::{mpsc, watch};
use weald_core::{
    At, BlockId, CallError, Calling, CollectionName, Digest, PeerId, Request as Call,
};
use weald_pubsub::{BodyAnswer, BodyRequest, Part, StreamRequest, TopicAddress};

use super::{
    Core, PAUSE,
    asker::Asker,
    limits::{ATTEMPT_MAX, FOLLOW_SLACK, FOLLOW_WAIT, NEXT_ASKS},
    message::{TOPIC, TopicAsk, TopicTold, Wire},
};
use crate::{
    Error, ErrorKind, Result,
    backend::{Promise, Version},
    members::{Hosted, PartitionStatus},
    node::state_error,
    topic::{Duty, Link, News, PARTS_MAX, Parcel, Shelf},
};

/// The network's genesis, once it is known.
pub(super) async fn network(core: Arc<Core>) -> Result<Digest> {
    let asker = &core.asker;
    let mut known = asker.network().subscribe();
    let found = async {
        loop {
            if let Some(network) = *known.borrow_and_update() {
                return network;
            }
            if core.members.is_none() {
                ask_for_network(asker).await;
            }
            // What is learnt meanwhile ends the pause.
            drop(tokio::time::timeout(PAUSE, known.changed()).await);
        }
    };
    let found = tokio::time::timeout(core.read_timeout, found).await;
    found.map_err(|_| {
        Error::new(ErrorKind::Unavailable, "the network is not known yet").with_retry_after(PAUSE)
    })
}

/// Asks the peers in turn which network this is.
async fn ask_for_network(asker: &Arc<Asker>) {
    for peer in asker.transport().peers() {
        let told = ask(asker, peer.peer, &TopicAsk::Network).await;
        if let Ok(TopicTold::Network(network)) = told {
            asker.network().send_replace(Some(network));
            return;
        }
    }
}

fn call(asker: &Asker, peer: PeerId, ask: &TopicAsk) -> Calling {
    let deadline = match ask {
        TopicAsk::Next { .. } => FOLLOW_WAIT + FOLLOW_SLACK,
        _ => ATTEMPT_MAX,
    };
    asker.transport().call(peer, Call::new(TOPIC, ask.to_wire(), deadline))
}

async fn ask(
    asker: &Asker,
    peer: PeerId,
    ask: &TopicAsk,
) -> std::result::Result<TopicTold, CallError> {
    let bytes = call(asker, peer, ask).await?;
    let malformed = |_| CallError::Refused(weald_core::Refusal::Malformed);
    TopicTold::from_wire(&bytes).map_err(malformed)
}

/// The members of the partition of a topic, as far as they are known.
pub(super) fn members(core: &Core, collection: &CollectionName) -> Vec<PeerId> {
    if !core.asker.has_map() {
        return Vec::new();
    }
    let part = core.asker.part(BlockId::header(collection).placement());
    part.members.voters.iter().chain(&part.members.learners).copied().collect()
}

/// The partitions that this node coordinates.
pub(super) fn duties(core: &Core) -> Vec<Duty> {
    let Some(members) = &core.members else { return Vec::new() };
    let coordinated = members.partitions().into_iter().filter(PartitionStatus::is_coordinator);
    let hosted = coordinated.filter_map(|status| members.hosted(status.partition));
    hosted.map(|hosted| Duty { partition: hosted.partition(), store: hosted.store() }).collect()
}

/// Where a topic is in this process.
pub(super) fn shelf(core: &Core, collection: &CollectionName) -> Option<Arc<dyn Shelf>> {
    let id = BlockId::header(collection);
    let hosted = core.hosted(id.placement())?;
    Some(Arc::new(HostedShelf::new(hosted, id)))
}

/// A topic as a member here has applied it.
pub(super) struct HostedShelf {
    hosted: Arc<Hosted>,
    id: BlockId,
}

impl HostedShelf {
    pub(super) fn new(hosted: Arc<Hosted>, id: BlockId) -> Self {
        Self { hosted, id }
    }
}

impl Shelf for HostedShelf {
    fn view(&self) -> Promise<Version> {
        let view = self.hosted.view(At::Latest).map_err(state_error);
        Promise::Ready(view.map(|view| self.hosted.version(view)))
    }

    fn follow(&self) -> Result<watch::Receiver<()>> {
        Ok(self.hosted.follow(self.id))
    }

    fn generation(&self) -> u32 {
        self.hosted.generation()
    }
}

/// A stream from a member on another node, which it has agreed to.
pub(super) async fn link(
    core: Arc<Core>,
    peer: PeerId,
    (topic, stream): (TopicAddress, u64),
) -> Result<Link> {
    let told = ask(&core.asker, peer, &TopicAsk::Begin { stream, topic }).await;
    match told {
        Ok(TopicTold::Done) => {}
        Ok(TopicTold::NoTopic) => {
            return Err(Error::new(ErrorKind::NotFound, "there is no such topic, or it has ended"));
        }
        Ok(TopicTold::Denied) => {
            let what = "the topic's policy does not let this node subscribe";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(_) => return Err(Error::new(ErrorKind::Unavailable, "the topic is not served there")),
        Err(error) => {
            return Err(Error::caused(ErrorKind::Unavailable, error.to_string(), error));
        }
    }
    let (asks, wanted) = mpsc::channel(PARTS_MAX);
    let (news, heard) = mpsc::channel(PARTS_MAX);
    let carrier = Carrier { asker: Arc::clone(&core.asker), peer, stream, wanted, news };
    core.asker.runtime().spawn(carrier.run());
    Ok(Link::far(asks, heard))
}

/// A part of the body of a message, from a member on another node.
pub(super) async fn body(
    core: Arc<Core>,
    peer: PeerId,
    (topic, request): (TopicAddress, BodyRequest),
) -> Result<BodyAnswer> {
    match ask(&core.asker, peer, &TopicAsk::Body { topic, request }).await {
        Ok(TopicTold::Body(answer)) => Ok(answer),
        Ok(_) => Err(Error::new(ErrorKind::Unavailable, "the topic is not served there")),
        Err(error) => Err(Error::caused(ErrorKind::Unavailable, error.to_string(), error)),
    }
}

/// Carries a stream over the network.
struct Carrier {
    asker: Arc<Asker>,
    peer: PeerId,
    stream: u64,
    wanted: mpsc::Receiver<StreamRequest>,
    news: mpsc::Sender<News>,
}

type Answer = std::result::Result<TopicTold, CallError>;

/// A question under way.
type Asked = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Carrier {
    /// Until either side ends it.
    async fn run(mut self) {
        let over = self.carry().await;
        if let Some(error) = over {
            // Who has much to read sees the end of the channel.
            self.news.try_send(News::Over(error)).ok();
        }
        let (asker, peer, stream) = (&self.asker, self.peer, self.stream);
        // A member that does not hear it ends the stream when nobody asks for it.
        drop(ask(asker, peer, &TopicAsk::End { stream }).await);
    }

    async fn carry(&mut self) -> Option<Error> {
        let mut nexts: Vec<Asked> = Vec::new();
        let mut delivering: Option<Asked> = None;
        loop {
            while nexts.len() < NEXT_ASKS {
                nexts.push(self.asked(TopicAsk::Next { stream: self.stream }));
            }
            let is_free = delivering.is_none();
            tokio::select! {
                (nth, answer) = first(&mut nexts) => {
                    drop(nexts.remove(nth));
                    match answer {
                        Ok(TopicTold::Generation(generation)) => {
                            if self.news.send(News::Generation(generation)).await.is_err() {
                                return None;
                            }
                        }
                        Ok(TopicTold::Parts(parts)) => for part in parts {
                            let Ok(part) = Part::from_wire(&part) else {
                                let malformed = weald_core::Refusal::Malformed;
                                return Some(ended(Err(CallError::Refused(malformed))));
                            };
                            if self.news.send(News::Part(Parcel::new(part))).await.is_err() {
                                return None;
                            }
                        },
                        other => return Some(ended(other)),
                    }
                }
                answer = delivered(&mut delivering) => {
                    delivering = None;
                    if answer != Ok(TopicTold::Done) {
                        return Some(ended(answer));
                    }
                }
                wanted = self.wanted.recv(), if is_free => match wanted {
                    Some(request) => {
                        let ask = TopicAsk::Deliver { stream: self.stream, request };
                        delivering = Some(self.asked(ask));
                    }
                    None => return None,
                },
            }
        }
    }

    fn asked(&self, ask: TopicAsk) -> Asked {
        let calling = call(&self.asker, self.peer, &ask);
        Box::pin(async move {
            let malformed = |_| CallError::Refused(weald_core::Refusal::Malformed);
            TopicTold::from_wire(&calling.await?).map_err(malformed)
        })
    }
}

/// The first answer to come, with its place.
async fn first(asked: &mut [Asked]) -> (usize, Answer) {
    std::future::poll_fn(|cx| {
        for (nth, asked) in asked.iter_mut().enumerate() {
            if let std::task::Poll::Ready(answer) = asked.as_mut().poll(cx) {
                return std::task::Poll::Ready((nth, answer));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

async fn delivered(under_way: &mut Option<Asked>) -> Answer {
    match under_way {
        Some(under_way) => under_way.await,
        None => pending().await,
    }
}

fn ended(answer: Answer) -> Error {
    match answer {
        Ok(TopicTold::NoTopic) => {
            Error::new(ErrorKind::NotFound, "there is no such topic, or it has ended")
        }
        Ok(_) => Error::new(ErrorKind::Unavailable, "the topic is not served there any more"),
        Err(error) => Error::caused(ErrorKind::Unavailable, error.to_string(), error),
    }
}
