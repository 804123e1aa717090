//! Getting entries into the partition's log. A one-member log here: what is synced is committed.
//! A clustered node has another proposer; the rest of the driver stays.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use weald_cluster::{LogTime, replica::Now};
use weald_core::{
    Clock, Entry, Epoch, LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionId, Payload,
    PlacementKey, SessionStamp, SyncTicket, Synced, Time, TransactionId, TransactionRequest,
    UnknownCause, codec, limits::ENTRY_BYTES_MAX,
};

use super::{
    Answer, Ask, Proposal, Refused,
    event::{Committed, expiry},
};
use crate::write::Ack;

/// Stands where an entry belongs to no transaction.
const HOME: PlacementKey = PlacementKey::from_u64(0);
/// Bytes of entries handed to the log at once; it syncs at most as much in one go.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Makes entries of proposals and tells which of them are committed.
pub(crate) trait Proposer: Send {
    /// Takes proposals from the front of `waiting`. What there is no room for stays; what is
    /// refused is answered. Returns what was answered and needs no more space: writes, bytes. With
    /// `is_led` the log's thread is left asleep if nothing else waits there.
    fn propose(&mut self, waiting: &mut VecDeque<Proposal>, is_led: bool) -> (usize, usize);

    /// The next committed entry, in the order of the log; `None` when there is none yet.
    fn next_committed(&mut self) -> Option<Committed>;

    /// Looks how far the log has come.
    fn poll(&mut self);

    /// Entries on their way.
    fn pending_count(&self) -> usize;

    /// Whether the transaction is on its way.
    fn is_pending(&self, id: &TransactionId) -> bool;

    /// Answers `Unknown` to those who have waited past their deadline.
    fn expire(&mut self, now: Instant);

    /// Has the log's thread see to what is on its way.
    fn rouse(&self);

    /// Answers `Unknown` to all who wait.
    fn abandon(&mut self);

    /// Why nothing more is proposed in this run; `None` while it is.
    fn failure(&self) -> Option<&LogError>;
}

/// The proposer of a node that is alone.
pub(crate) struct LocalProposer {
    partition: PartitionId,
    log: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    /// When the steady clock showed zero.
    started: Instant,
    time: LogTime,
    next: LogIndex,
    session: [u8; 16],
    next_number: u64,
    pending: VecDeque<Pending>,
    synced: SyncTicket,
    failure: Option<LogError>,
    last_epoch: Epoch,
}

struct Pending {
    ticket: SyncTicket,
    number: Option<u64>,
    committed: Committed,
}

/// One entry made, not yet handed to the log.
struct Made {
    record: LogRecord,
    pending: Pending,
}

impl LocalProposer {
    /// Goes on after `last`, the last entry of the log, made at log time `time`.
    pub(crate) fn new(
        partition: PartitionId,
        log: Arc<dyn LogStore>,
        clock: Arc<dyn Clock>,
        session: [u8; 16],
        last: (LogIndex, Time),
    ) -> Self {
        let now = Now { steady: Time::ZERO, wall: clock.now() };
        Self {
            partition,
            log,
            clock,
            started: Instant::now(),
            time: LogTime::new(last.1, now),
            next: last.0.next(),
            session,
            next_number: 1,
            pending: VecDeque::new(),
            synced: SyncTicket(0),
            failure: None,
            last_epoch: Epoch::default(),
        }
    }

    /// Every number below is settled: entries are applied in order, so the oldest on its way is
    /// the first that is not.
    fn low_water(&self, made: &[Made]) -> u64 {
        let pending = self.pending.iter().chain(made.iter().map(|made| &made.pending));
        pending.filter_map(|pending| pending.number).next().unwrap_or(self.next_number)
    }

    fn now(&self) -> Now {
        Now { steady: Time::ZERO.after(self.started.elapsed()), wall: self.clock.now() }
    }

    fn make(&mut self, proposal: Proposal, index: LogIndex, low_water: u64) -> Made {
        let time = self.time.stamp(self.now());
        let mut number = None;
        let payload = match proposal.ask {
            Ask::Run { body, is_own_id } => {
                let session = (!is_own_id).then(|| {
                    number = Some(self.next_number);
                    self.next_number += 1;
                    let low_water = low_water.min(self.next_number - 1);
                    SessionStamp { session: self.session, number: self.next_number - 1, low_water }
                });
                let (id, expiry) = (proposal.id, expiry(time));
                Payload::Transaction(TransactionRequest { id, expiry, session, body })
            }
            Ask::Resolve => {
                let kept = weald_cluster::partition::EXPIRY_AHEAD_MAX - Duration::from_secs(1);
                Payload::Resolve { id: proposal.id, expiry: time.after(kept), session: None }
            }
            Ask::Settings(entry) => Payload::Settings(entry),
            Ask::Tick => Payload::Tick,
        };
        let entry = Entry { time, payload };
        let bytes = codec::encode(codec::Kind::ENTRY, &entry);
        let committed = Committed { index, entry, waiter: proposal.waiter, bytes: proposal.bytes };
        Made {
            record: LogRecord { index, epoch: self.last_epoch, bytes },
            pending: Pending { ticket: SyncTicket(0), number, committed },
        }
    }

    /// Makes entries of the first proposals, as many as go to the log at once.
    fn gather(&mut self, waiting: &mut VecDeque<Proposal>) -> Vec<Made> {
        let mut made: Vec<Made> = Vec::new();
        let (mut bytes, mut index) = (0, self.next);
        let low_water = self.low_water(&[]);
        while let Some(proposal) = waiting.pop_front() {
            let one = self.make(proposal, index, low_water);
            bytes += one.record.bytes.len();
            index = index.next();
            made.push(one);
            let next = waiting.front().map_or(0, |next| next.bytes);
            if bytes + next > BATCH_BYTES_MAX {
                break;
            }
        }
        made
    }

    fn submit(&mut self, made: Vec<Made>, is_led: bool) -> Result<(), (LogError, Vec<Made>)> {
        if made.iter().any(|made| made.record.bytes.len() > ENTRY_BYTES_MAX) {
            let bytes = made.iter().map(|made| made.record.bytes.len()).max().unwrap_or(0);
            return Err((LogError::TooLarge { bytes, max: ENTRY_BYTES_MAX }, made));
        }
        let batch = LogBatch {
            partition: self.partition,
            entries: made.iter().map(|made| made.record.clone()).collect(),
            ..LogBatch::default()
        };
        let submitted = if is_led { self.log.submit_led(batch) } else { self.log.submit(batch) };
        let ticket = match submitted {
            Ok(ticket) => ticket,
            Err(error) => return Err((error, made)),
        };
        for Made { mut pending, .. } in made {
            pending.ticket = ticket;
            self.next = pending.committed.index.next();
            if pending.committed.waiter.ack == Ack::Accepted {
                pending.committed.waiter.answer(Answer::Accepted);
            }
            self.pending.push_back(pending);
        }
        Ok(())
    }

    /// What made an entry, to be tried again; its number is given back.
    fn unmake(&mut self, made: Vec<Made>, waiting: &mut VecDeque<Proposal>) {
        for Made { pending, .. } in made.into_iter().rev() {
            if let Some(number) = pending.number {
                self.next_number = number;
            }
            let Committed { entry, waiter, bytes, .. } = pending.committed;
            let (id, ask) = match entry.payload {
                Payload::Transaction(request) => {
                    let is_own_id = request.session.is_none();
                    (request.id, Ask::Run { body: request.body, is_own_id })
                }
                Payload::Resolve { id, .. } => (id, Ask::Resolve),
                Payload::Settings(entry) => {
                    (TransactionId::new(HOME, [0; 16]), Ask::Settings(entry))
                }
                // A node that is alone makes no other entries; a tick is made again when it is due.
                _ => continue,
            };
            waiting.push_front(Proposal { id, ask, bytes, waiter, may_lead: false });
        }
    }
}

impl Proposer for LocalProposer {
    fn propose(&mut self, waiting: &mut VecDeque<Proposal>, is_led: bool) -> (usize, usize) {
        let mut released = (0, 0);
        while !waiting.is_empty() {
            let made = self.gather(waiting);
            let count = made.len();
            let Err((error, made)) = self.submit(made, is_led) else { continue };
            self.unmake(made, waiting);
            // The log says when it has room again; who waits too long is refused then.
            if matches!(error, LogError::Busy { .. }) {
                break;
            }
            // A batch is refused as a whole: of several entries the first alone is tried again, so
            // that a small one is not refused for its neighbour's size.
            if count > 1 && matches!(error, LogError::TooLarge { .. } | LogError::DiskFull(_)) {
                released = sum(released, self.propose_singly(waiting, count));
                continue;
            }
            if !error.is_retryable() && !matches!(error, LogError::TooLarge { .. }) {
                self.failure = Some(error.clone());
            }
            for _ in 0..count.min(waiting.len()) {
                released = sum(released, refuse(waiting, &error));
            }
        }
        released
    }

    fn next_committed(&mut self) -> Option<Committed> {
        let first = self.pending.front()?;
        if first.ticket > self.synced {
            return None;
        }
        self.pending.pop_front().map(|pending| pending.committed)
    }

    fn poll(&mut self) {
        match self.log.poll_synced() {
            Synced::UpTo(ticket) => self.synced = ticket,
            Synced::Failed(ticket) => {
                self.synced = ticket;
                if self.failure.is_none() {
                    self.failure = Some(LogError::SyncFailed("the log stopped".to_owned()));
                }
            }
        }
    }

    fn pending_count(&self) -> usize {
        self.pending.len()
    }

    fn is_pending(&self, id: &TransactionId) -> bool {
        self.pending.iter().any(|pending| pending.committed.is_of(id))
    }

    fn expire(&mut self, now: Instant) {
        for pending in &mut self.pending {
            let waiter = &mut pending.committed.waiter;
            if waiter.reply.is_some() && waiter.deadline <= now {
                waiter.give_up(UnknownCause::Deadline);
            }
        }
    }

    fn rouse(&self) {
        if !self.pending.is_empty() {
            self.log.rouse();
        }
    }

    fn abandon(&mut self) {
        for pending in &mut self.pending {
            pending.committed.waiter.give_up(UnknownCause::Stopped);
        }
    }

    fn failure(&self) -> Option<&LogError> {
        self.failure.as_ref()
    }
}

impl LocalProposer {
    /// Submits the first `count` proposals one by one; each is taken or refused by itself.
    fn propose_singly(&mut self, waiting: &mut VecDeque<Proposal>, count: usize) -> (usize, usize) {
        let mut released = (0, 0);
        for _ in 0..count {
            let Some(proposal) = waiting.pop_front() else { break };
            let low_water = self.low_water(&[]);
            let made = self.make(proposal, self.next, low_water);
            if let Err((error, made)) = self.submit(vec![made], false) {
                self.unmake(made, waiting);
                if matches!(error, LogError::Busy { .. }) {
                    break;
                }
                released = sum(released, refuse(waiting, &error));
            }
        }
        released
    }
}

/// Refuses the first proposal.
fn refuse(waiting: &mut VecDeque<Proposal>, error: &LogError) -> (usize, usize) {
    let Some(mut proposal) = waiting.pop_front() else { return (0, 0) };
    proposal.waiter.answer(Answer::Refused(Refused::Log(error.clone())));
    (1, proposal.bytes)
}

fn sum(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0 + b.0, a.1 + b.1)
}
