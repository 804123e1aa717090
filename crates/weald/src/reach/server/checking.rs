//! Checking what is signed in submissions before it is logged. Those that wait together are checked
//! as one batch, which costs a fraction of what each costs alone.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Instant};

use parking_lot::Mutex;
use weald_core::{Outcome, Rejection, identity::verify_all};
use weald_pubsub::TopicRefusal;

use super::{Pending, RETRY_AFTER, Server, busy, done, topics, unavailable};
use crate::{
    members::Hosted,
    reach::{
        limits::{BATCH_BYTES_MAX, BATCH_MAX, CHECKERS_MAX, CHECKS_BYTES_MAX, CHECKS_MAX},
        message::Submitted,
        writing::Command,
    },
};

/// A submission whose signatures are to be checked.
pub(super) struct Check {
    pub(super) hosted: Arc<Hosted>,
    pub(super) pending: Pending,
    pub(super) command: Command,
    pub(super) deadline: Instant,
}

impl Check {
    fn refuse(self, rejection: Rejection) {
        let told = Submitted::Outcome(Outcome::Rejected(rejection));
        self.pending.answer(done(&self.hosted, &told));
    }
}

/// Submissions that wait to be checked.
#[derive(Default)]
pub(super) struct Checks(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    checks: VecDeque<Check>,
    bytes: usize,
    /// Tasks that are at it.
    checkers: usize,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.checks.len() >= CHECKS_MAX || self.bytes >= CHECKS_BYTES_MAX
    }

    /// Whether one more task is to be at it: there is more than those that are will take next.
    fn wants_another(&self) -> bool {
        let taken = (BATCH_MAX * self.checkers, BATCH_BYTES_MAX * self.checkers);
        let is_more = self.checks.len() > taken.0 || self.bytes > taken.1;
        is_more && self.checkers < CHECKERS_MAX
    }

    /// The next that are checked together.
    fn take(&mut self) -> Vec<Check> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some(check) = self.checks.pop_front() else { break };
            bytes += check.command.bytes.len();
            batch.push(check);
        }
        self.bytes -= bytes;
        batch
    }
}

impl Server {
    /// Has a submission logged once what is signed in it is checked.
    pub(super) fn check(self: &Arc<Self>, check: Check) {
        let mut waiting = self.checks.0.lock();
        if waiting.is_full() {
            drop(waiting);
            return check.pending.answer(busy(RETRY_AFTER));
        }
        waiting.bytes += check.command.bytes.len();
        waiting.checks.push_back(check);
        if !waiting.wants_another() {
            return;
        }
        waiting.checkers += 1;
        drop(waiting);
        let turn = Turn { server: Arc::clone(self), is_over: false };
        self.asker.runtime().spawn_blocking(move || turn.run());
    }

    fn check_batch(self: &Arc<Self>, batch: Vec<Check>) {
        let Some(network) = *self.asker.network().borrow() else {
            return batch.into_iter().for_each(|check| check.pending.answer(unavailable()));
        };
        let mut claims = Vec::new();
        let mut claimed = |check: &Check| -> Result<Range<usize>, Rejection> {
            let from = claims.len();
            claims.extend(topics::claims(&check.command.payload, &network)?);
            Ok(from..claims.len())
        };
        let spans: Vec<_> = batch.iter().map(&mut claimed).collect();
        let forged = verify_all(&claims).err().unwrap_or_default();
        self.figures.note_checked(claims.len(), forged.len());
        for (check, span) in batch.into_iter().zip(spans) {
            let judged = span.and_then(|span| match forged.range(span).next() {
                None => Ok(()),
                Some(_) => Err(TopicRefusal::BadSignature.into()),
            });
            match judged {
                Ok(()) => self.log(check.hosted, check.pending, (check.command, check.deadline)),
                Err(rejection) => check.refuse(rejection),
            }
        }
    }
}

/// A task that checks what waits until nothing does.
struct Turn {
    server: Arc<Server>,
    is_over: bool,
}

impl Turn {
    fn run(mut self) {
        while let Some(batch) = self.next() {
            self.server.check_batch(batch);
        }
    }

    /// The next batch; without one the turn is over.
    fn next(&mut self) -> Option<Vec<Check>> {
        let mut waiting = self.server.checks.0.lock();
        let batch = waiting.take();
        if batch.is_empty() {
            waiting.checkers -= 1;
            self.is_over = true;
            return None;
        }
        Some(batch)
    }
}

/// A turn that ends early, as with the runtime, leaves nobody waiting for another.
impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let left = {
            let mut waiting = self.server.checks.0.lock();
            waiting.checkers -= 1;
            match waiting.checkers {
                0 => std::mem::take(&mut *waiting),
                _ => return,
            }
        };
        drop(left);
    }
}
