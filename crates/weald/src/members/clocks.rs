//! The two clocks of the loop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use weald_cluster::replica::Now;
use weald_core::{Clock, Time};

/// Counts from the start of the run, and asks the node's clock for the time of day.
#[derive(Clone)]
pub(super) struct Clocks {
    started: Instant,
    started_wall: Time,
    clock: Arc<dyn Clock>,
}

impl Clocks {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started: Instant::now(), started_wall: clock.now(), clock }
    }

    /// The time now.
    pub(super) fn now(&self) -> Now {
        Now { steady: self.steady(), wall: self.clock.now() }
    }

    /// The steady clock: zero when the run began.
    pub(super) fn steady(&self) -> Time {
        Time::ZERO.after(self.started.elapsed())
    }

    /// When the run began, by the time of day.
    pub(super) fn started_wall(&self) -> Time {
        self.started_wall
    }

    /// The moment at which the steady clock shows `time`.
    pub(super) fn instant(&self, time: Time) -> Instant {
        self.started + Duration::from_millis(time.as_millis())
    }
}
