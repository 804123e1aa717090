//! Checking what is signed in submissions before it is logged. Those that wait together are checked
//! as one batch, which costs a fraction of what each costs alone; a lone one is checked where it
//! arrives, since that takes no longer than waking another thread.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;
use weald_core::{Outcome, Rejection, identity::verify_all};
use weald_pubsub::TopicRefusal;

use super::{Pending, RETRY_AFTER, Server, busy, done, topics, unavailable};
use crate::{
    members::Hosted,
    reach::{
        limits::{
            BATCH_BYTES_MAX, BATCH_MAX, CHECKERS_MAX, CHECKS_BYTES_MAX, CHECKS_MAX, LONE_AFTER,
            LONE_BYTES_MAX,
        },
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
    /// When one last came or had been checked.
    latest: Option<Instant>,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.checks.len() >= CHECKS_MAX || self.bytes >= CHECKS_BYTES_MAX
    }

    /// Whether a submission of `bytes` comes alone, and is to be checked where it arrives. Nothing
    /// else waits then.
    fn is_lone(&mut self, bytes: usize, now: Instant) -> bool {
        let before = self.latest.replace(now);
        let is_quiet = before.is_none_or(|before| now.duration_since(before) >= LONE_AFTER);
        is_quiet && self.checkers == 0 && bytes <= LONE_BYTES_MAX
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
        if waiting.is_lone(check.command.bytes.len(), Instant::now()) {
            let mut turn = self.turn(waiting);
            self.log_all(self.checked(vec![check]));
            if turn.goes_on() {
                self.asker.runtime().spawn(turn.run());
            }
            return;
        }
        waiting.bytes += check.command.bytes.len();
        waiting.checks.push_back(check);
        if waiting.wants_another() {
            let turn = self.turn(waiting);
            self.asker.runtime().spawn(turn.run());
        }
    }

    fn turn(self: &Arc<Self>, mut waiting: MutexGuard<'_, Waiting>) -> Turn {
        waiting.checkers += 1;
        Turn { server: Arc::clone(self), is_over: false }
    }

    /// Logs what was checked. A turn of the members may be taken in here.
    fn log_all(self: &Arc<Self>, checked: Vec<Check>) {
        for Check { hosted, pending, command, deadline } in checked {
            self.log(hosted, pending, (command, deadline));
        }
    }

    /// Refuses what is forged; gives the others.
    fn checked(&self, batch: Vec<Check>) -> Vec<Check> {
        let Some(network) = *self.asker.network().borrow() else {
            batch.into_iter().for_each(|check| check.pending.answer(unavailable()));
            return Vec::new();
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
        let mut passed = Vec::with_capacity(batch.len());
        for (check, span) in batch.into_iter().zip(spans) {
            let judged = span.and_then(|span| match forged.range(span).next() {
                None => Ok(()),
                Some(_) => Err(TopicRefusal::BadSignature.into()),
            });
            match judged {
                Ok(()) => passed.push(check),
                Err(rejection) => check.refuse(rejection),
            }
        }
        passed
    }
}

/// A task that checks what waits until nothing does.
struct Turn {
    server: Arc<Server>,
    is_over: bool,
}

impl Turn {
    /// Checks on a thread that may block and logs here: what a thread allocates stays with it, and
    /// of those there are many.
    async fn run(mut self) {
        while let Some(batch) = self.next() {
            let server = Arc::clone(&self.server);
            let Ok(checked) = spawn_blocking(move || server.checked(batch)).await else { return };
            self.server.log_all(checked);
        }
    }

    /// The next batch; without one the turn is over.
    fn next(&mut self) -> Option<Vec<Check>> {
        while self.goes_on() {
            let batch = self.server.checks.0.lock().take();
            // Another may have come first.
            if !batch.is_empty() {
                return Some(batch);
            }
        }
        None
    }

    /// Whether anything waits; if not, the turn is over.
    fn goes_on(&mut self) -> bool {
        if !self.is_over {
            let mut waiting = self.server.checks.0.lock();
            waiting.latest = Some(Instant::now());
            self.is_over = waiting.checks.is_empty();
            waiting.checkers -= usize::from(self.is_over);
        }
        !self.is_over
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_small_and_comes_after_a_pause_is_checked_where_it_arrives() {
        let mut waiting = Waiting::default();
        let begun = Instant::now();
        assert!(waiting.is_lone(LONE_BYTES_MAX, begun), "the first");
        let soon = begun + LONE_AFTER / 2;
        assert!(!waiting.is_lone(1, soon));
        assert!(!waiting.is_lone(1, begun + LONE_AFTER), "half a pause after the second");
        let later = begun + LONE_AFTER * 2;
        assert!(!waiting.is_lone(LONE_BYTES_MAX + 1, later));
        assert!(waiting.is_lone(1, later + LONE_AFTER));
        waiting.checkers = 1;
        assert!(!waiting.is_lone(1, later + LONE_AFTER * 3), "another is being checked");
    }
}
