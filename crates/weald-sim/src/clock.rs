//! A node's two clocks: one that only goes on, a little too fast or too slow, and the time of day,
//! which is off and may jump.

use weald_cluster::replica::Now;
use weald_core::Time;

use crate::schedule::Instant;

/// The time of day at which every world begins, ms since the Unix epoch.
const BEGINNING: u64 = 1_700_000_000_000;
const MILLION: i128 = 1_000_000;

/// See the module's page.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// How much faster than virtual time it goes, parts in a million.
    pub(crate) drift: i32,
    /// How far the time of day is ahead, ms.
    pub(crate) offset: i64,
}

impl Clock {
    /// What the clocks show at `now`.
    pub(crate) fn at(&self, now: Instant) -> Now {
        let steady = i128::from(now.0) * (MILLION + i128::from(self.drift)) / MILLION / 1000;
        let wall = i128::from(BEGINNING) + steady + i128::from(self.offset);
        let time = |millis: i128| Time::from_millis(u64::try_from(millis).unwrap_or(0));
        Now { steady: time(steady), wall: time(wall) }
    }

    /// The first moment at which the steady clock shows `due`.
    pub(crate) fn when(&self, due: Time) -> Instant {
        let micros = i128::from(due.as_millis()) * 1000 * MILLION;
        let moment = micros / (MILLION + i128::from(self.drift)) + 2;
        Instant(u64::try_from(moment).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_come_when_it_is_called_and_not_long_before() {
        for drift in [-20_000, -3, 0, 17, 20_000] {
            let clock = Clock { drift, offset: 0 };
            for due in [1, 500, 12_345_678] {
                let due = Time::from_millis(due);
                let moment = clock.when(due);
                assert!(clock.at(moment).steady >= due);
                assert!(clock.at(Instant(moment.0.saturating_sub(1100))).steady < due);
            }
        }
    }

    #[test]
    fn the_time_of_day_is_off_by_its_offset() {
        let ahead = Clock { drift: 0, offset: 3_600_000 };
        let wall = |clock: Clock| clock.at(Instant(0)).wall.as_millis();
        assert_eq!(wall(ahead) - wall(Clock::default()), 3_600_000);
    }
}
