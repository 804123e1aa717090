//! Log time of a coordinator whose clock may jump (rule C14).

use weald_core::Time;

/// Gives each entry its time: the clock's while that is ahead of log time; otherwise log time goes
/// on at half the clock's speed until they meet. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogTime {
    last: Time,
    read: Time,
}

impl LogTime {
    /// Goes on from `last`, the log time of the last entry, with a clock that says `now`.
    pub(crate) fn new(last: Time, now: Time) -> Self {
        Self { last, read: now }
    }

    /// The time of an entry made when the clock says `now`.
    pub(crate) fn stamp(&mut self, now: Time) -> Time {
        let half = now.since(self.read) / 2;
        if now >= self.last {
            self.last = now;
            self.read = now;
        } else if now < self.read {
            self.read = now;
        } else if half.as_millis() > 0 {
            self.last = self.last.after(half);
            self.read = now;
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn log_time_follows_the_clock_and_never_goes_back() {
        let mut time = LogTime::new(at(0), at(100));
        assert_eq!(time.stamp(at(100)), at(100));
        assert_eq!(time.stamp(at(150)), at(150));
        assert_eq!(time.stamp(at(50)), at(150), "the clock jumped back");
        assert_eq!(time.stamp(at(70)), at(160), "half speed");
        assert_eq!(time.stamp(at(71)), at(160));
        assert_eq!(time.stamp(at(72)), at(161), "small steps add up");
        assert_eq!(time.stamp(at(400)), at(400), "they have met");
    }
}
