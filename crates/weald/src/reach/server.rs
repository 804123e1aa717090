//! Answering what other nodes, and this node itself, ask about partitions whose members live here.

mod auditing;
mod blocks;
mod bodies;
mod checking;
mod door;
mod figures;
mod following;
mod topics;

use std::{
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use bytes::Bytes;
use weald_cluster::{
    configuration::Member,
    partition::{collections_prefix, coordination::Message},
    routing::{Answer, Purpose, Reign, Reply, Request, Table},
};
use weald_core::{
    AdmissionPolicy, BlockId, Caller as Asking, LogIndex, Outcome, PartitionId, Payload,
    PlacementKey, Refusal, Reply as Replying, Service, ServiceHandler, StateStore, TransactionId,
    millis,
};

use super::{
    asker::Asker,
    limits::{BLOCKS_MAX, COLLECTIONS_MAX},
    locks,
    message::{
        Answered, BLOCKS, FOLLOW, Question, STATUS, SUBMIT, Status, Submitted, TELL, TOPIC, VIEW,
        Wanted, Wire,
    },
};
use crate::{
    members::{self, Caller, Hosted, Members, ProposeError, ReadAsk, ReadRefused, Terms},
    metric::Metric,
    node::read_disk,
    reach::writing::{Command, Slot, propose},
    write::Ack,
};

use auditing::{Auditor, Audits};
use bodies::BodyReads;
use checking::{Check, Checks};
use door::{Door, Entry};
use figures::Figures;
use topics::Streams;

/// When to come again where a member cannot serve at the moment.
const RETRY_AFTER: Duration = Duration::from_millis(25);

/// The services of a node that has members.
pub(crate) struct Server {
    asker: Arc<Asker>,
    members: Members,
    /// Followers' questions that wait.
    followers: AtomicUsize,
    /// Topics that are served to others.
    streams: Streams,
    /// Bodies that are read for others.
    bodies: BodyReads,
    /// Submissions whose signatures are to be checked.
    checks: Checks,
    /// Entries of other coordinators that are to be looked at.
    audits: Audits,
    door: Door,
    figures: Figures,
}

/// Takes the answer to one question.
pub(super) type Told = Caller<Result<Reply, Refusal>>;

/// The answer to one attempt that is still to be given.
struct Pending {
    request: Request,
    told: Told,
}

impl Pending {
    fn answer(self, answer: Answer) {
        let Request { ticket, attempt, .. } = self.request;
        self.told.tell(Ok(Reply { ticket, attempt, answer }));
    }

    fn refuse(self, refusal: Refusal) {
        self.told.tell(Err(refusal));
    }

    fn key(&self) -> PlacementKey {
        self.request.purpose.key()
    }
}

impl Server {
    /// A server for the members of this node; `is_guarded` tells that whoever can connect is meant to.
    pub(super) fn new(asker: &Arc<Asker>, members: Members, is_guarded: bool) -> Arc<Self> {
        let server = Arc::new(Self {
            asker: Arc::clone(asker),
            members,
            followers: AtomicUsize::new(0),
            streams: Streams::default(),
            bodies: BodyReads::default(),
            checks: Checks::default(),
            audits: Audits::default(),
            door: Door::new(is_guarded),
            figures: Figures::default(),
        });
        asker.set_home(&server);
        server.members.set_auditor(Auditor::of(&server));
        server
    }

    /// Learns who may join the network.
    pub(super) fn admit(&self, policy: AdmissionPolicy) {
        self.door.admit(policy);
    }

    /// What it has checked.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        self.figures.metrics()
    }

    /// Answers a routed question.
    pub(super) fn serve(
        self: &Arc<Self>,
        service: Service,
        request: Request,
        deadline: Instant,
        told: Told,
    ) {
        let pending = Pending { request, told };
        if !self.asker.has_map() {
            return pending.answer(unavailable());
        }
        let partition = self.asker.partition(pending.key());
        let Some(hosted) = self.members.hosted(partition) else {
            let part = self.asker.part(pending.key());
            return pending.answer(Answer::NotMine(Box::new(part)));
        };
        match service {
            SUBMIT => return self.submit(hosted, pending, deadline),
            TELL => return self.hear(&hosted, pending),
            _ => {}
        }
        match Question::from_wire(&pending.request.payload) {
            Ok(question) => self.tell(hosted, question, pending, deadline),
            Err(_) => pending.refuse(Refusal::Malformed),
        }
    }

    fn tell(
        self: &Arc<Self>,
        hosted: Arc<Hosted>,
        question: Question,
        pending: Pending,
        deadline: Instant,
    ) {
        match question {
            Question::Standing(id) => self.standing(hosted, id, pending),
            Question::View { fresh, at_least, wanted } => {
                let consistency = fresh.into();
                let ask = ReadAsk { consistency, at_least, deadline };
                self.view(hosted, (ask, wanted), pending);
            }
            Question::Blocks { index, wanted } => {
                self.blocks(hosted, (index, wanted), pending, deadline);
            }
            Question::Collections { after } => self.collections(hosted, after, pending, deadline),
        }
    }

    /// Has a request logged, byte for byte. Clients' requests only: what the log carries besides is
    /// made by coordinators.
    fn submit(self: &Arc<Self>, hosted: Arc<Hosted>, pending: Pending, deadline: Instant) {
        let command = pending.request.payload.clone();
        let payload = match members::decode(&command) {
            Ok(payload) if is_clients(&payload, &pending.request.purpose) => payload,
            _ => return pending.refuse(Refusal::Malformed),
        };
        let has_topics = topics::has_topics(&payload);
        let command = Command { payload, bytes: command };
        match has_topics {
            true => self.check(Check { hosted, pending, command, deadline }),
            false => self.log(hosted, pending, (command, deadline)),
        }
    }

    fn log(
        self: &Arc<Self>,
        hosted: Arc<Hosted>,
        pending: Pending,
        (command, deadline): (Command, Instant),
    ) {
        let partition = hosted.partition();
        let (held, told) = Slot::of(pending);
        let server = Arc::clone(self);
        let caller = Caller::function(move |answer| {
            if let Some(pending) = told.take() {
                server.submitted(&hosted, answer, pending);
            }
        });
        let terms = Terms { ack: Ack::Durable, deadline };
        // Each key is looked up by itself: a turn of the members may be taken in here, and whoever is
        // answered in it may ask anew.
        let partition_of = |key| self.asker.partition(key);
        let proposed = propose(&self.members, partition_of, command, (terms, caller));
        let Err(error) = proposed else { return };
        if let Some(pending) = held.take() {
            let answer = self.refused(partition, error, &pending.request);
            pending.answer(answer);
        }
    }

    /// Takes in what another coordinator says.
    fn hear(&self, hosted: &Hosted, pending: Pending) {
        let Ok(message) = Message::from_wire(&pending.request.payload) else {
            return pending.refuse(Refusal::Malformed);
        };
        let answer = match self.members.tell(hosted.partition(), message) {
            Ok(()) => Answer::Done {
                partition: hosted.partition(),
                reign: reign(hosted),
                bytes: Bytes::new(),
            },
            Err(error) => self.refused(hosted.partition(), error, &pending.request),
        };
        pending.answer(answer);
    }

    fn submitted(&self, hosted: &Hosted, answer: members::Answer, pending: Pending) {
        let answer = match answer {
            members::Answer::Settled(Outcome::Unknown(_))
            | members::Answer::Applied(_)
            | members::Answer::Accepted => Answer::Unknown,
            members::Answer::Settled(outcome) => done(hosted, &Submitted::Outcome(outcome)),
            members::Answer::Refused(error) => {
                self.refused(hosted.partition(), error, &pending.request)
            }
        };
        pending.answer(answer);
    }

    fn refused(&self, partition: PartitionId, error: ProposeError, request: &Request) -> Answer {
        let (key, is_first) = (request.purpose.key(), request.attempt == 1);
        let Some(hosted) = self.members.hosted(partition) else {
            return Answer::NotMine(Box::new(self.asker.part(key)));
        };
        match error {
            ProposeError::NotMember => Answer::NotMine(Box::new(self.asker.part(key))),
            ProposeError::NotCoordinator { hint } => redirect(&hosted, hint),
            ProposeError::Busy { retry_after } => busy(retry_after),
            // Of a repeated attempt it is not known what became of the first.
            ProposeError::DiskFull if is_first => done(&hosted, &Submitted::DiskFull),
            ProposeError::DiskFull => busy(RETRY_AFTER),
            ProposeError::TooLarge { bytes, max } => {
                let (bytes, max) = (wide(bytes), wide(max));
                done(&hosted, &Submitted::TooLarge { bytes, max })
            }
            ProposeError::Rejected(rejection) if rejection.is_retryable() => busy(RETRY_AFTER),
            ProposeError::Rejected(rejection) => {
                done(&hosted, &Submitted::Outcome(Outcome::Rejected(rejection)))
            }
            ProposeError::Stopped => unavailable(),
        }
    }

    /// What the coordinator knows of a transaction: others may not have heard of it yet.
    fn standing(self: &Arc<Self>, hosted: Arc<Hosted>, id: TransactionId, pending: Pending) {
        let hint =
            hosted.with_status(|status| (!status.is_coordinator()).then_some(status.coordinator));
        if let Some(hint) = hint {
            return pending.answer(redirect(&hosted, hint));
        }
        let standing = self.members.standing(hosted.partition(), id);
        self.asker.runtime().spawn(async move {
            let answered = match standing.await {
                Ok(members::Standing::Pending) => Answered::Pending,
                Ok(members::Standing::Settled(outcome)) => Answered::Settled(outcome),
                Ok(members::Standing::Unheard) => Answered::Unheard,
                Err(_) => return pending.answer(unavailable()),
            };
            pending.answer(done(&hosted, &answered));
        });
    }

    fn view(
        self: &Arc<Self>,
        hosted: Arc<Hosted>,
        (ask, wanted): (ReadAsk, Vec<Wanted>),
        pending: Pending,
    ) {
        if wanted.len() > BLOCKS_MAX {
            return pending.refuse(Refusal::Malformed);
        }
        let partition = hosted.partition();
        let server = Arc::clone(self);
        let told = Caller::function(move |point: Result<LogIndex, ReadRefused>| match point {
            Ok(index) => server.viewed(hosted, ask, (index, wanted), pending),
            Err(ReadRefused::NotMember) => {
                let part = server.asker.part(pending.key());
                pending.answer(Answer::NotMine(Box::new(part)));
            }
            Err(ReadRefused::Busy) => pending.answer(busy(RETRY_AFTER)),
            Err(
                ReadRefused::NotConfirmed { .. }
                | ReadRefused::Behind { .. }
                | ReadRefused::Stopped,
            ) => pending.answer(unavailable()),
        });
        self.members.ask_read_point(partition, ask, told);
    }

    /// Answers with the place that may be read from, once no transaction holds what is there.
    fn viewed(
        &self,
        hosted: Arc<Hosted>,
        ask: ReadAsk,
        (index, wanted): (LogIndex, Vec<Wanted>),
        pending: Pending,
    ) {
        if !locks::may_be_locked(&hosted, ask.consistency) {
            return pending.answer(blocks::view(&hosted, index, &wanted));
        }
        let members = self.members.clone();
        self.asker.runtime().spawn(async move {
            let key = pending.key();
            let answer = match locks::unlocked(&members, &hosted, key, ask.deadline).await {
                Ok(()) => {
                    let applied = hosted.with_status(|status| status.applied);
                    blocks::view(&hosted, index.max(applied), &wanted)
                }
                Err(_) => unavailable(),
            };
            pending.answer(answer);
        });
    }

    fn collections(
        &self,
        hosted: Arc<Hosted>,
        after: Option<BlockId>,
        pending: Pending,
        deadline: Instant,
    ) {
        self.answer_from_disk(pending, deadline, move || {
            let Ok(rows) = hosted.store().rows(collections_prefix()) else {
                return unavailable();
            };
            let ids =
                rows.iter().filter_map(|(key, _)| weald_cluster::partition::collection_of(key));
            let mut ids: Vec<BlockId> =
                ids.filter(|id| after.is_none_or(|after| *id > after)).collect();
            let has_more = ids.len() > COLLECTIONS_MAX;
            ids.truncate(COLLECTIONS_MAX);
            done(&hosted, &Answered::Collections { ids, has_more })
        });
    }

    /// Answers with what `work` gives, which waits for a disk and for nothing else, by the deadline.
    fn answer_from_disk(
        &self,
        pending: Pending,
        deadline: Instant,
        work: impl FnOnce() -> Answer + Send + 'static,
    ) {
        self.asker.runtime().spawn(async move {
            let answer = tokio::time::timeout_at(deadline.into(), read_disk(work)).await;
            pending.answer(answer.ok().and_then(Result::ok).unwrap_or_else(unavailable));
        });
    }
}

/// The services of a node, as the network calls them. They are given to the network before there is
/// a server, which needs the network; until then callers are told to come again.
#[derive(Default)]
pub(crate) struct Services {
    server: OnceLock<Arc<Server>>,
}

impl Services {
    /// Services that nobody answers yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on `server` answers.
    pub(crate) fn open(&self, server: &Arc<Server>) {
        let is_first = self.server.set(Arc::clone(server)).is_ok();
        assert!(is_first, "a node has one server");
    }

    /// What the network is given.
    pub(crate) fn handlers(
        self: &Arc<Self>,
    ) -> impl Iterator<Item = (Service, Arc<dyn ServiceHandler>)> {
        [SUBMIT, VIEW, BLOCKS, FOLLOW, STATUS, TELL, TOPIC].into_iter().map(|service| {
            let endpoint = Endpoint { services: Arc::clone(self), service };
            (service, Arc::new(endpoint) as Arc<dyn ServiceHandler>)
        })
    }
}

/// One service.
struct Endpoint {
    services: Arc<Services>,
    service: Service,
}

impl ServiceHandler for Endpoint {
    fn call(&self, asking: Asking, body: Bytes, reply: Replying) {
        let Some(server) = self.services.server.get() else {
            return reply.send(Err(Refusal::Busy));
        };
        match server.door.entry(&server.asker, asking.peer) {
            Entry::Open => {}
            Entry::Denied => return reply.send(Err(Refusal::Denied)),
            Entry::Unknown => return reply.send(Err(Refusal::Busy)),
        }
        let deadline = Instant::now() + asking.deadline;
        match self.service {
            STATUS => {
                let map = server.asker.with_map(Clone::clone);
                reply.send(Ok(Status { map }.to_wire()));
            }
            FOLLOW => server.follow(&body, deadline, reply),
            TOPIC => server.serve_topic(asking.peer, &body, deadline, reply),
            TELL if !server.asker.with_map(|map| map.has_member(&asking.peer)) => {
                reply.send(Err(Refusal::Denied));
            }
            service => match Request::from_wire(&body) {
                Ok(request) => {
                    let told = Caller::function(move |told: Result<Reply, Refusal>| {
                        reply.send(told.map(|reply| reply.to_wire()));
                    });
                    server.serve(service, request, deadline, told);
                }
                Err(_) => reply.send(Err(Refusal::Malformed)),
            },
        }
    }
}

/// Whether a client may have this logged, under this purpose. Blocks are what the types' own code makes of
/// actions: who sends changed ones could put anything in the place of a tree's nodes or a topic's policy.
fn is_clients(payload: &Payload, purpose: &Purpose) -> bool {
    match (payload, purpose) {
        (Payload::Transaction(request), Purpose::Write(id)) => {
            request.id == *id && request.body.transforms.is_empty()
        }
        (Payload::Resolve { id: asked, .. }, Purpose::Resolve(id)) => asked == id,
        _ => false,
    }
}

fn done(hosted: &Hosted, result: &impl Wire) -> Answer {
    let (partition, reign) = (hosted.partition(), reign(hosted));
    Answer::Done { partition, reign, bytes: result.to_wire() }
}

/// Another coordinates, if it is known who: that is whoever campaigned with the epoch.
fn redirect(hosted: &Hosted, hint: Option<Member>) -> Answer {
    let reign = reign(hosted);
    let is_known = hint.is_some_and(|member| reign.coordinator() == Some(member.peer));
    if is_known { Answer::Redirect { partition: hosted.partition(), reign } } else { unavailable() }
}

/// Who coordinates, as far as the member here has heard.
fn reign(hosted: &Hosted) -> Reign {
    let generation = hosted.generation();
    Reign { generation, epoch: hosted.with_status(|status| status.epoch) }
}

fn unavailable() -> Answer {
    Answer::Unavailable { retry_after_ms: millis(RETRY_AFTER) }
}

fn busy(retry_after: Duration) -> Answer {
    let max = wide(weald_cluster::routing::limits::REQUESTS_MAX);
    Answer::Busy { what: Table::Log, max, retry_after_ms: millis(retry_after) }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use weald_core::{Base, Change, Time, TransactionBody, TransactionRequest, Transform};

    use super::*;

    #[test]
    fn ps1671_a_client_has_actions_logged_and_no_blocks_that_it_has_changed_itself() {
        let id = TransactionId::new(PlacementKey::from_u64(7), [1; 16]);
        let is_taken = |transforms| {
            let body = TransactionBody { transforms, ..TransactionBody::default() };
            let request = TransactionRequest { id, expiry: Time::ZERO, session: None, body };
            is_clients(&Payload::Transaction(request), &Purpose::Write(id))
        };
        let block = BlockId::derived(PlacementKey::from_u64(7), &id, 0);
        assert!(is_taken(Vec::new()));
        assert!(!is_taken(vec![Transform {
            id: block,
            base: Base::Absent,
            change: Change::Delete
        }]));
    }
}
