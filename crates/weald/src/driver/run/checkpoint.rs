//! When the driver has a checkpoint written, and who waits for one.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use weald_core::{LogIndex, StateError};

use super::Loop;

/// How long after a failed checkpoint the next one is tried.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(1);

/// The checkpoint that runs, and the one that comes next.
pub(super) struct Checkpoint {
    requests: mpsc::Sender<LogIndex>,
    callers: Vec<oneshot::Sender<Result<(), StateError>>>,
    is_running: bool,
    is_wanted: bool,
    last: Instant,
    /// Bytes of log since the last one began.
    pub(super) log_bytes: u64,
    failure: Option<StateError>,
}

impl Checkpoint {
    /// None so far, and where the requests for some arrive.
    pub(super) fn new() -> (Self, mpsc::Receiver<LogIndex>) {
        let (sender, requests) = mpsc::channel();
        let checkpoint = Self {
            requests: sender,
            callers: Vec::new(),
            is_running: false,
            is_wanted: false,
            last: Instant::now(),
            log_bytes: 0,
            failure: None,
        };
        (checkpoint, requests)
    }

    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Why the last one failed, if it did.
    pub(super) fn failure(&self) -> Option<&StateError> {
        self.failure.as_ref()
    }

    /// Somebody wants one now.
    pub(super) fn want(&mut self, caller: oneshot::Sender<Result<(), StateError>>) {
        self.callers.push(caller);
        self.is_wanted = true;
    }

    /// One has ended; returns what those who wanted it are to be told.
    pub(super) fn ended(&mut self, result: Result<LogIndex, StateError>) -> Result<(), StateError> {
        self.is_running = false;
        self.last = Instant::now();
        let result = result.map(|_| ());
        self.failure = result.clone().err();
        result
    }

    pub(super) fn answer(&mut self, result: &Result<(), StateError>) {
        for caller in self.callers.drain(..) {
            // A caller who has gone needs no answer.
            caller.send(result.clone()).ok();
        }
    }
}

impl Loop {
    /// Whether one is to start now.
    pub(super) fn wants_checkpoint(&self, now: Instant) -> bool {
        let checkpoint = &self.checkpoint;
        let since = now.duration_since(checkpoint.last);
        let is_due = checkpoint.is_wanted
            || self.applier.store.dirty_bytes() >= self.tuning.dirty_bytes_max / 2
            || checkpoint.log_bytes >= self.tuning.log_bytes
            || since >= self.tuning.interval;
        let may_retry = checkpoint.failure.is_none() || since >= CHECKPOINT_RETRY;
        !checkpoint.is_running && is_due && (may_retry || checkpoint.is_wanted)
    }

    pub(super) fn start_checkpoint(&mut self, now: Instant) {
        if !self.wants_checkpoint(now) {
            return;
        }
        let applied = self.applier.partition.applied();
        let has_news = applied > self.applier.store.checkpointed();
        self.checkpoint.is_wanted = false;
        self.checkpoint.last = now;
        if !has_news {
            self.checkpoint.answer(&Ok(()));
            return;
        }
        // The thread that takes requests lives as long as this one.
        self.checkpoint.is_running = self.checkpoint.requests.send(applied).is_ok();
        self.checkpoint.log_bytes = 0;
    }
}
