//! Asking peers and being asked, without knowing the network.
//!
//! A [`Transport`] is a [`Mailbox`] that can ask, too. The network is given [`Handlers`] before it
//! reads the first byte, so that nothing arrives for which nobody listens.
//!
//! Two ways to talk: *frames* go one way, in order for each priority, and may be lost; *calls* have
//! an answer, or a [`CallError`] by their deadline. What a service says, good or bad, is in the
//! bytes of its answer; a [`Refusal`] is for what kept it from answering.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Mailbox, PeerId, Priority, Time};

/// Names a service of a node. The numbers are constants where the services live.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Service(pub u16);

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ties the log lines of one request together, over all layers and nodes that it passes. Who passes
/// a request on passes the id on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CorrelationId(pub u64);

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One question to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who shall answer there.
    pub service: Service,
    /// The question, in the encoding of the service.
    pub body: Bytes,
    /// How long the caller waits. The called node is told what is left.
    pub deadline: Duration,
    /// The id for log lines; zero if the request belongs to nothing larger.
    pub correlation: CorrelationId,
}

impl Request {
    /// A request that belongs to nothing larger.
    pub const fn new(service: Service, body: Bytes, deadline: Duration) -> Self {
        Self { service, body, deadline, correlation: CorrelationId(0) }
    }

    /// The same request, as part of what `correlation` names.
    #[must_use]
    pub fn correlated(self, correlation: CorrelationId) -> Self {
        Self { correlation, ..self }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no way to the peer now; the request was not sent.
    #[error("the peer cannot be reached: peer={0}")]
    Unreachable(PeerId),
    /// The connection broke after the request was sent: it may have been carried out.
    #[error("the connection broke before the answer came: peer={0}")]
    Lost(PeerId),
    /// The deadline passed: the request may have been carried out.
    #[error("no answer by the deadline: peer={0}")]
    TimedOut(PeerId),
    /// A queue or a budget is full, here or there; the request was not carried out.
    #[error("the peer is asked too much at once: peer={0}")]
    Busy(PeerId),
    /// The request, or the answer, is larger than a frame may be.
    #[error("the message is too large: bytes={bytes} bytes_max={bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is sent.
        bytes_max: usize,
    },
    /// The peer has no such service.
    #[error("the peer has no such service: service={0}")]
    Unknown(Service),
    /// The service did not answer.
    #[error(transparent)]
    Refused(Refusal),
}

impl CallError {
    /// Whether asking again later, or another peer, may help.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::TimedOut(_) | Self::Busy(_) => true,
            Self::TooLarge { .. } | Self::Unknown(_) => false,
            Self::Refused(refusal) => refusal.is_retryable(),
        }
    }

    /// Whether the service may have carried the request out all the same.
    pub const fn may_have_run(&self) -> bool {
        match self {
            Self::Lost(_) | Self::TimedOut(_) | Self::TooLarge { .. } => true,
            Self::Refused(refusal) => matches!(refusal, Refusal::Failed(_) | Refusal::Dropped),
            Self::Unreachable(_) | Self::Busy(_) | Self::Unknown(_) => false,
        }
    }
}

/// What a service says instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has too much to do; the request was not carried out. The caller sees [`CallError::Busy`].
    #[error("the service has too much to do")]
    Busy,
    /// The caller may not ask this.
    #[error("the caller may not ask this")]
    Denied,
    /// The bytes are no request of this service.
    #[error("the bytes are no request of this service")]
    Malformed,
    /// The node has trouble of its own. For people; programs do not match on the text.
    #[error("the service failed: {0}")]
    Failed(String),
    /// The service let the request go without an answer, as it does when the node stops.
    #[error("the service let the request go")]
    Dropped,
}

impl Refusal {
    /// Whether asking again later, or another peer, may help.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy | Self::Failed(_) | Self::Dropped)
    }
}

/// A call under way. Letting it go is harmless; the answer is dropped then.
pub type Calling = Pin<Box<dyn Future<Output = Result<Bytes, CallError>> + Send>>;

/// A network: sends frames and asks peers.
pub trait Transport: Mailbox {
    /// Asks `peer`. The future ends by the deadline of `request`, whatever the peer does; it needs
    /// no runtime of a certain kind. The request is queued by the call itself, in the order of calls.
    ///
    /// # Errors
    /// See [`CallError`].
    fn call(&self, peer: PeerId, request: Request) -> Calling;

    /// This node.
    fn local_peer(&self) -> PeerId;

    /// The peers that are connected, by id.
    fn peers(&self) -> Vec<PeerInfo>;

    /// A peer, if it is connected.
    fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        self.peers().into_iter().find(|info| info.peer == peer)
    }
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who it is, as its handshake proved.
    pub peer: PeerId,
    /// Where it says it listens, best first; text of multiaddresses.
    pub addresses: Vec<String>,
    /// Its last measured round trip.
    pub rtt: Option<Duration>,
    /// Whether only a relay reaches it.
    pub relayed: bool,
    /// Whether it is reached directly at a loopback or private address, as the socket shows it.
    pub near: bool,
    /// Since when it is connected.
    pub since: Time,
    /// What it last said of itself.
    pub hints: Option<NodeHints>,
}

/// What a node says of itself. Hints: nobody checks them, nothing that must be right rests on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NodeHints {
    /// When it started.
    pub started: Time,
    /// How many times it has started on this data.
    pub incarnation: u64,
    /// How busy it is, in thousandths; 1000 is as busy as it can be.
    pub load_permille: u16,
    /// Bytes free on the disk of its data.
    pub disk_free_bytes: u64,
}

/// What a network hands to the node; given before the network reads anything.
#[derive(Clone)]
pub struct Handlers {
    /// Where frames go.
    pub frames: Arc<dyn FrameSink>,
    /// Who answers calls.
    pub services: BTreeMap<Service, Arc<dyn ServiceHandler>>,
    /// Who hears of peers that come and go.
    pub events: Arc<dyn NetworkEvents>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.keys().collect();
        f.debug_struct("Handlers").field("services", &services).finish_non_exhaustive()
    }
}

/// Takes frames. Called on the network's own tasks: returns at once.
pub trait FrameSink: Send + Sync {
    /// A frame came from `from`; frames of one peer and priority come in the order of sending.
    /// `false` when there is no room: the frame is dropped and counted.
    fn frame(&self, from: PeerId, priority: Priority, frame: Bytes) -> bool;
}

/// Answers calls of one service. Called on the network's own tasks: returns at once and replies
/// then or later, from any thread.
pub trait ServiceHandler: Send + Sync {
    /// `caller` asks `body`.
    fn call(&self, caller: Caller, body: Bytes, reply: Reply);
}

/// Hears of peers that come and go. Called on the network's own tasks: returns at once.
pub trait NetworkEvents: Send + Sync {
    /// A peer of this network is connected: it can be sent to and asked. Once until
    /// [`NetworkEvents::disconnected`], however many connections there are.
    fn connected(&self, peer: PeerInfo);

    /// The last connection to a peer is gone.
    fn disconnected(&self, peer: PeerId);

    /// Somebody was turned away.
    fn refused(&self, stranger: Stranger) {
        let _ = stranger;
    }
}

/// Somebody who was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Who, if it came far enough to prove it.
    pub peer: Option<PeerId>,
    /// From or at which address.
    pub address: String,
    /// Why.
    pub reason: StrangerReason,
}

/// Why somebody was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StrangerReason {
    /// It speaks for another network, or no version of the protocol that this node speaks.
    OtherNetwork,
    /// It is not on the list of those who may come.
    NotAllowed,
    /// There are as many connections as there may be.
    TooMany,
    /// The handshake failed: another pre-shared key, another peer than expected, or noise.
    Handshake,
}

/// Who asks, and what is known of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The peer, as its handshake proved.
    pub peer: PeerId,
    /// The id for log lines.
    pub correlation: CorrelationId,
    /// How long the caller still waits.
    pub deadline: Duration,
}

/// Where the answers of a connection go.
pub trait ReplySink: Send + Sync {
    /// Answers call number `call` of this connection. Returns at once.
    fn answer(&self, call: u64, answer: Result<Bytes, Refusal>);
}

impl<F: Fn(u64, Result<Bytes, Refusal>) + Send + Sync> ReplySink for F {
    fn answer(&self, call: u64, answer: Result<Bytes, Refusal>) {
        self(call, answer);
    }
}

/// The right to answer one call, once. Dropped unused, it answers [`Refusal::Dropped`], so that no
/// caller waits for a service that has forgotten it.
pub struct Reply {
    sink: Option<Arc<dyn ReplySink>>,
    call: u64,
}

impl Reply {
    /// The answer to `call` goes to `sink`.
    pub fn new(sink: Arc<dyn ReplySink>, call: u64) -> Self {
        Self { sink: Some(sink), call }
    }

    /// Answers.
    pub fn send(mut self, answer: Result<Bytes, Refusal>) {
        let sink = self.sink.take().expect("a reply is consumed by its only answer");
        sink.answer(self.call, answer);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(sink) = self.sink.take() {
            sink.answer(self.call, Err(Refusal::Dropped));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.call)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    type Answer = (u64, Result<Bytes, Refusal>);

    /// A reply to call 7 and what it sent.
    fn reply() -> (Reply, mpsc::Receiver<Answer>) {
        let (sender, receiver) = mpsc::channel();
        let sink = move |call, answer| sender.send((call, answer)).unwrap();
        (Reply::new(Arc::new(sink), 7), receiver)
    }

    #[test]
    fn a_reply_answers_its_call_once() {
        let (reply, answers) = reply();
        reply.send(Ok(Bytes::from_static(b"yes")));
        assert_eq!(answers.recv(), Ok((7, Ok(Bytes::from_static(b"yes")))));
        assert!(answers.recv().is_err());
    }

    #[test]
    fn a_reply_that_is_dropped_tells_the_caller() {
        let (reply, answers) = reply();
        drop(reply);
        assert_eq!(answers.recv(), Ok((7, Err(Refusal::Dropped))));
    }
}
