//! Sources whose connections fail before it is known who they are: each costs a negotiation. Whoever makes many of
//! them is let in one at a time, so that a flood takes no more from the node than a few callers do. Nobody can fail
//! under another's address, because a connection must be made first; who shares one with a flood has to wait with it,
//! and what is connected already is not touched.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::{FAILURE_PAUSE, FAILURES_MAX, HOLD_MAX, SOURCES_MAX};

/// When a connection that has come is attended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// After so long; until then nothing of it is read.
    After(Duration),
    /// Never: as many of its source wait as may.
    Never,
}

/// Paces the connections of sources that fail often. Of the sixth version a source is a whole network (/64), of which
/// a customer has one.
///
/// ```
/// use std::{net::IpAddr, time::Instant};
/// use weald_p2p::{SourceLimiter, Turn, limits::FAILURES_MAX};
/// let (mut limiter, now) = (SourceLimiter::default(), Instant::now());
/// let source = IpAddr::from([192, 0, 2, 1]);
/// assert_eq!(limiter.turn(now, source), Turn::Now);
/// (0..=FAILURES_MAX).for_each(|_| limiter.failed(now, source));
/// assert_ne!(limiter.turn(now, source), Turn::Now);
/// ```
#[derive(Debug, Default)]
pub struct SourceLimiter(HashMap<IpAddr, Source>);

#[derive(Clone, Copy, Debug)]
struct Source {
    /// When all its failures are forgiven: each adds [`FAILURE_PAUSE`].
    forgiven: Instant,
    /// When the next of its connections has its turn, while it is noisy.
    next: Instant,
}

impl SourceLimiter {
    /// Notes that a connection of `address` has ended before it was known whose it is.
    pub fn failed(&mut self, now: Instant, address: IpAddr) {
        let key = source_of(address);
        if self.0.len() >= SOURCES_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, source| source.forgiven > now);
            if self.0.len() >= SOURCES_MAX {
                return;
            }
        }
        let source = self.0.entry(key).or_insert(Source { forgiven: now, next: now });
        source.forgiven = source.forgiven.max(now) + FAILURE_PAUSE;
    }

    /// When a connection of `address` that has come now has its turn.
    pub fn turn(&mut self, now: Instant, address: IpAddr) -> Turn {
        let Some(source) = self.0.get_mut(&source_of(address)) else { return Turn::Now };
        if source.forgiven.saturating_duration_since(now) <= FAILURE_PAUSE * FAILURES_MAX {
            return Turn::Now;
        }
        let next = source.next.max(now) + FAILURE_PAUSE;
        let wait = next - now;
        if wait > HOLD_MAX {
            return Turn::Never;
        }
        source.next = next;
        Turn::After(wait)
    }
}

/// Who is held to account for a connection from this address.
pub(crate) fn source_of(address: IpAddr) -> IpAddr {
    // A socket of the sixth version tells addresses of the fourth within its own.
    match address.to_canonical() {
        address @ IpAddr::V4(_) => address,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// A limiter for which `address(1)` is noisy from `begin` on.
    fn noisy(begin: Instant) -> SourceLimiter {
        let mut limiter = SourceLimiter::default();
        (0..=FAILURES_MAX).for_each(|_| limiter.failed(begin, address(1)));
        limiter
    }

    #[test]
    fn who_fails_too_often_waits_until_it_is_forgiven() {
        let (mut limiter, begin) = (SourceLimiter::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            limiter.failed(begin, address(1));
        }
        assert_eq!(limiter.turn(begin, address(1)), Turn::Now, "so many may fail at once");
        limiter.failed(begin, address(1));
        assert_eq!(limiter.turn(begin, address(1)), Turn::After(FAILURE_PAUSE));
        assert_eq!(limiter.turn(begin, address(2)), Turn::Now, "another has nothing to do with it");
        assert_eq!(limiter.turn(begin + FAILURE_PAUSE, address(1)), Turn::Now);
    }

    #[test]
    fn the_connections_of_who_fails_too_often_have_their_turns_one_after_the_other() {
        let begin = Instant::now();
        let mut limiter = noisy(begin);
        let waits = (1..).map(|turn| FAILURE_PAUSE * turn).take_while(|wait| *wait <= HOLD_MAX);
        for wait in waits {
            assert_eq!(limiter.turn(begin, address(1)), Turn::After(wait));
        }
        assert_eq!(limiter.turn(begin, address(1)), Turn::Never, "only so many wait");
        limiter.failed(begin, address(1));
        let later = begin + FAILURE_PAUSE;
        assert_eq!(limiter.turn(later, address(1)), Turn::After(HOLD_MAX), "one had its turn");
    }

    #[test]
    fn a_flood_that_lets_off_is_forgiven_however_long_it_was() {
        let begin = Instant::now();
        let (mut limiter, mut now) = (noisy(begin), begin);
        for _ in 0..10_000 {
            let Turn::After(wait) = limiter.turn(now, address(1)) else { break };
            now += wait;
            limiter.failed(now, address(1));
        }
        let forgiven = now + FAILURE_PAUSE * (FAILURES_MAX + 2);
        assert_eq!(limiter.turn(forgiven, address(1)), Turn::Now);
    }

    #[test]
    fn only_so_many_sources_are_remembered() {
        let (mut limiter, begin) = (SourceLimiter::default(), Instant::now());
        let addresses = (0u32..).map(|number| IpAddr::from(number.to_be_bytes()));
        for address in addresses.take(SOURCES_MAX + 10) {
            limiter.failed(begin, address);
        }
        assert_eq!(limiter.0.len(), SOURCES_MAX);
        limiter.failed(begin + FAILURE_PAUSE * 2, address(9));
        assert_eq!(limiter.0.len(), 1, "those that are forgiven make room");
    }

    #[test]
    fn a_network_of_the_sixth_version_is_one_source() {
        let of = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("10.0.0.1"), address(1));
        assert_eq!(of("::ffff:10.0.0.1"), address(1), "the fourth within the sixth");
    }
}
