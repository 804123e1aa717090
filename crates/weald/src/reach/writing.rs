//! Writes on their way: stamped and encoded once, handed to the member here that coordinates, or
//! sent to whoever does.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use weald_cluster::{
    partition::{
        EXPIRY_AHEAD_MAX,
        coordination::{
            Share,
            primary::{Begin, Order},
            shares,
        },
    },
    routing::{Purpose, RouteError, UnknownReason},
};
use weald_core::{
    LogError, Outcome, PartitionId, Payload, PlacementKey, Time, TransactionBody, TransactionId,
    TransactionRequest, UnknownCause,
};

use super::{
    Core,
    asker::{Ask as Question, Ended},
    limits::{ASTRAY_PAUSE, REQUEST_VALID},
    message::{SUBMIT, Submitted, Wire},
};
use crate::{
    driver::{Answer, Ask, Proposal, ProposeError, Refused, Waiter},
    members::{self, Caller, Members, Terms},
    write::Ack,
};

/// A write under way.
struct Write {
    core: Arc<Core>,
    purpose: Purpose,
    /// What is logged.
    command: Bytes,
    /// Its number in the session, if it has one.
    number: Option<u64>,
    /// After this log time nothing comes of it any more.
    expiry: Time,
    waiter: Waiter,
    /// Somebody may have logged it, and nobody has said what became of that.
    may_have_run: bool,
    is_ended: bool,
}

/// What is to be logged.
struct Stamped {
    payload: Payload,
    purpose: Purpose,
    number: Option<u64>,
    expiry: Time,
}

impl Core {
    /// Takes a write and sees to it that its waiter is answered.
    pub(super) fn propose(self: &Arc<Self>, proposal: Proposal) -> Result<(), ProposeError> {
        let Proposal { id, ask, mut waiter, .. } = proposal;
        let Stamped { payload, purpose, number, expiry } = match ask {
            Ask::Run { body, is_own_id } => self.stamp(id, body, is_own_id)?,
            Ask::Resolve => self.resolution(id),
            Ask::Settings(_) | Ask::Tick => unreachable!("members make such entries themselves"),
        };
        if waiter.ack == Ack::Accepted {
            waiter.answer(Answer::Accepted);
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        let command = members::encode(&payload);
        let core = Arc::clone(self);
        let write = Write {
            core,
            purpose,
            command,
            number,
            expiry,
            waiter,
            may_have_run: false,
            is_ended: false,
        };
        let partition = self.partition(id.home());
        match self.coordinates(partition) {
            true => write.hand_over(payload),
            false => write.send(),
        }
        Ok(())
    }

    fn stamp(
        &self,
        id: TransactionId,
        body: TransactionBody,
        is_own_id: bool,
    ) -> Result<Stamped, ProposeError> {
        let now = self.now();
        let expiry = now.after(REQUEST_VALID);
        let session = match is_own_id {
            true => None,
            false => Some(self.numbers.lock().begin(id, now).ok_or_else(|| self.full())?),
        };
        let number = session.map(|stamp| stamp.number);
        let payload = Payload::Transaction(TransactionRequest { id, expiry, session, body });
        Ok(Stamped { payload, purpose: Purpose::Write(id), number, expiry })
    }

    fn resolution(&self, id: TransactionId) -> Stamped {
        let now = self.now();
        let session = self.numbers.lock().stamp_of(&id);
        let expiry = now.after(EXPIRY_AHEAD_MAX.saturating_sub(Duration::from_secs(1)));
        let payload = Payload::Resolve { id, expiry, session };
        let number = session.map(|stamp| stamp.number);
        Stamped { payload, purpose: Purpose::Resolve(id), number, expiry }
    }

    fn full(&self) -> ProposeError {
        let writes = usize::try_from(self.writes.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        ProposeError::Full { writes, bytes: 0 }
    }

    pub(super) fn coordinates(&self, partition: PartitionId) -> bool {
        let members = self.members.as_ref().filter(|_| self.asker.has_map());
        let hosted = members.and_then(|members| members.hosted(partition));
        hosted.is_some_and(|hosted| hosted.with_status(|status| status.is_coordinator()))
    }
}

impl Write {
    /// Hands it to the member here.
    fn hand_over(self, payload: Payload) {
        let core = Arc::clone(&self.core);
        let Some(members) = &core.members else { return self.send() };
        let terms = Terms { ack: Ack::Durable, deadline: self.waiter.deadline };
        let command = Command { payload, bytes: self.command.clone() };
        let (held, told) = Slot::of(self);
        let caller = Caller::function(move |answer| {
            if let Some(write) = told.take() {
                write.told(answer);
            }
        });
        let partition_of = |key| core.partition(key);
        if let Err(error) = propose(members, partition_of, command, (terms, caller))
            && let Some(write) = held.take()
        {
            write.told(members::Answer::Refused(error));
        }
    }

    /// What the member here says.
    fn told(mut self, answer: members::Answer) {
        match answer {
            members::Answer::Settled(Outcome::Unknown(cause)) => {
                self.may_have_run = true;
                if cause == UnknownCause::Deadline || self.is_late() {
                    self.finish(Answer::Settled(Outcome::Unknown(cause)));
                } else {
                    self.send();
                }
            }
            members::Answer::Settled(outcome) => self.finish(Answer::Settled(outcome)),
            members::Answer::Refused(members::ProposeError::DiskFull) => {
                self.refuse(Refused::DiskFull("the log of this node has no room".to_owned()));
            }
            members::Answer::Refused(members::ProposeError::TooLarge { bytes, max }) => {
                self.refuse(Refused::Log(LogError::TooLarge { bytes, max }));
            }
            members::Answer::Refused(members::ProposeError::Rejected(rejection)) => {
                self.finish(Answer::Settled(Outcome::Rejected(rejection)));
            }
            members::Answer::Refused(_) => self.send(),
            members::Answer::Applied(_) | members::Answer::Accepted => {
                unreachable!("a transaction that waits to be durable is told its outcome")
            }
        }
    }

    fn is_late(&self) -> bool {
        self.waiter.deadline <= Instant::now()
    }

    /// Sends it to whoever coordinates.
    fn send(self) {
        let asker = Arc::clone(&self.core.asker);
        let tried = match self.may_have_run {
            true => vec![asker.me()],
            false => Vec::new(),
        };
        let question = Question {
            service: SUBMIT,
            purpose: self.purpose,
            payload: self.command.clone(),
            deadline: self.waiter.deadline,
            tried,
        };
        asker.ask(question, Caller::function(move |ended| self.ended(ended)));
    }

    /// Sends it again, a little later. Its id is the same, so that it happens once.
    fn send_later(self) {
        let asker = Arc::clone(&self.core.asker);
        asker.runtime().spawn(async move {
            tokio::time::sleep(ASTRAY_PAUSE).await;
            self.send();
        });
    }

    /// What came of sending it.
    fn ended(mut self, ended: Ended) {
        match ended {
            Ok(bytes) => match Submitted::from_wire(&bytes) {
                Ok(Submitted::Outcome(outcome)) => self.finish(Answer::Settled(outcome)),
                Ok(Submitted::DiskFull) => {
                    self.refuse(Refused::DiskFull("the coordinator's log has no room".to_owned()));
                }
                Ok(Submitted::TooLarge { bytes, max }) => self.refuse(too_large(bytes, max)),
                Err(_) => self.finish(Answer::Settled(Outcome::Unknown(UnknownCause::Stopped))),
            },
            // While nobody coordinates, nodes send it in circles; there is time left to ask anew.
            Err(RouteError::Unknown { reason, .. })
                if reason != UnknownReason::Deadline && !self.is_late() =>
            {
                self.may_have_run = true;
                self.send_later();
            }
            Err(RouteError::Unknown { .. }) => {
                self.finish(Answer::Settled(Outcome::Unknown(UnknownCause::Deadline)));
            }
            Err(RouteError::TooLarge { bytes, max }) => self.refuse(too_large(bytes, max)),
            Err(error) => {
                let retry_after = match &error {
                    RouteError::Unavailable { retry_after_ms, .. } => {
                        Duration::from_millis(*retry_after_ms)
                    }
                    _ => super::PAUSE,
                };
                self.refuse(Refused::Unavailable { detail: error.to_string(), retry_after });
            }
        }
    }

    /// Nothing was logged, unless somebody else did before.
    fn refuse(self, refused: Refused) {
        let answer = match self.may_have_run {
            true => Answer::Settled(Outcome::Unknown(UnknownCause::Deadline)),
            false => Answer::Refused(refused),
        };
        self.finish(answer);
    }

    fn finish(mut self, answer: Answer) {
        self.end(answer);
    }

    fn end(&mut self, answer: Answer) {
        self.is_ended = true;
        if let Answer::Settled(outcome) = &answer {
            self.core.note(outcome);
        }
        if let Some(number) = self.number {
            let is_known = !matches!(answer, Answer::Settled(Outcome::Unknown(_)));
            let mut numbers = self.core.numbers.lock();
            match is_known && self.waiter.reply.is_some() {
                true => numbers.settle(number),
                false => numbers.leave_open(number, self.expiry),
            }
        }
        self.core.writes.fetch_sub(1, Ordering::Relaxed);
        self.waiter.answer(answer);
    }
}

/// Whoever lets a write go unanswered has stopped in the middle of it.
impl Drop for Write {
    fn drop(&mut self) {
        if !self.is_ended {
            self.end(Answer::Settled(Outcome::Unknown(UnknownCause::Stopped)));
        }
    }
}

fn too_large(bytes: u64, max: u64) -> Refused {
    let narrow = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Refused::Log(LogError::TooLarge { bytes: narrow(bytes), max: narrow(max) })
}

/// What is to be logged, with its bytes.
pub(super) struct Command {
    pub(super) payload: Payload,
    pub(super) bytes: Bytes,
}

/// Has the member here log a command, or drive it where it touches other partitions, too.
pub(super) fn propose(
    members: &Members,
    partition_of: impl Fn(PlacementKey) -> PartitionId,
    command: Command,
    (terms, caller): (Terms, Caller<members::Answer>),
) -> Result<(), members::ProposeError> {
    let Command { payload, bytes } = command;
    let home = match &payload {
        Payload::Transaction(request) => request.id.home(),
        Payload::Resolve { id, .. } => id.home(),
        _ => unreachable!("clients have transactions logged, and their resolutions"),
    };
    let partition = partition_of(home);
    if let Payload::Transaction(request) = &payload {
        let shares = spanning_shares(&request.body, partition, partition_of);
        if let Some(shares) = shares {
            let (id, expiry, session) = (request.id, request.expiry, request.session);
            let digest = request.digest();
            let begin = Begin { id, expiry, session, digest, shares, order: Order::Together };
            return members.begin(partition, begin, (terms, caller));
        }
    }
    members.propose(partition, members::Proposal::encoded(payload, bytes, terms, caller))
}

/// The shares of a transaction that touches more than its home's partition.
fn spanning_shares(
    body: &TransactionBody,
    home: PartitionId,
    partition_of: impl Fn(PlacementKey) -> PartitionId,
) -> Option<Vec<Share>> {
    let actions = body.actions.iter().map(|action| PlacementKey::of(&action.collection));
    let reads = body.reads.iter().map(|read| read.block.placement());
    let transforms = body.transforms.iter().map(|transform| transform.id.placement());
    let mut keys = actions.chain(reads).chain(transforms);
    let is_elsewhere = keys.any(|key| partition_of(key) != home);
    is_elsewhere.then(|| shares(body, partition_of))
}

/// Something that is taken once, by whoever comes first.
pub(super) struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Slot<T> {
    /// Two places from which `held` may be taken.
    pub(super) fn of(held: T) -> (Self, Self) {
        let held = Arc::new(Mutex::new(Some(held)));
        (Self(Arc::clone(&held)), Self(held))
    }

    /// Takes it, if nobody has.
    pub(super) fn take(&self) -> Option<T> {
        self.0.lock().take()
    }
}
