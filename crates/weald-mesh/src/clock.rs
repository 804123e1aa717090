//! The time of day.

use std::time::SystemTime;

use weald_core::{Clock, Time};

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Time::ZERO.after(since.unwrap_or_default())
    }
}
