//! Settings of a router.

use std::time::Duration;

use weald_core::PeerId;

use super::super::{
    backoff::Backoff,
    breaker::BreakerConfig,
    limits::{HOPS_MAX, PAYLOAD_BYTES_MAX, REQUESTS_MAX, SEEDS_MAX},
};

/// How a router behaves.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// How long an attempt may go unanswered, default 1 s. Shorter finds a dead member sooner and
    /// sends more to a slow one.
    pub attempt_timeout: Duration,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// The longest pause that a peer may ask for, default 5 s.
    pub retry_after_max: Duration,
    /// Times that a request is forwarded, default and at most [`HOPS_MAX`].
    pub hops_max: u8,
    /// When peers are left alone.
    pub breaker: BreakerConfig,
    /// Requests under way, default [`REQUESTS_MAX`].
    pub requests_max: usize,
    /// Bytes of their payloads, default [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes_max: usize,
    /// Whom to ask while no member is known, at most [`SEEDS_MAX`]; default nobody.
    pub seeds: Vec<PeerId>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(1),
            backoff: Backoff::default(),
            retry_after_max: Duration::from_secs(5),
            hops_max: HOPS_MAX,
            breaker: BreakerConfig::default(),
            requests_max: REQUESTS_MAX,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            seeds: Vec::new(),
        }
    }
}

/// A configuration that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// A duration or a bound is zero.
    #[error("must not be zero: {0}")]
    Zero(&'static str),
    /// More than is allowed.
    #[error("too many: {what} max={max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
}

impl Config {
    /// Checks what fields must be to each other.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let is_zero = [
            (self.attempt_timeout.as_millis() == 0, "attempt_timeout"),
            (self.backoff.first.as_millis() == 0, "backoff.first"),
            (self.breaker.open.first.as_millis() == 0, "breaker.open.first"),
            (self.breaker.failures_max == 0, "breaker.failures_max"),
            (self.requests_max == 0, "requests_max"),
        ];
        if let Some((_, what)) = is_zero.into_iter().find(|(is_zero, _)| *is_zero) {
            return Err(ConfigError::Zero(what));
        }
        if self.hops_max > HOPS_MAX {
            return Err(ConfigError::TooMany { what: "hops_max", max: usize::from(HOPS_MAX) });
        }
        if self.seeds.len() > SEEDS_MAX {
            return Err(ConfigError::TooMany { what: "seeds", max: SEEDS_MAX });
        }
        Ok(())
    }
}
