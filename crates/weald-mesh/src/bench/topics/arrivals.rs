//! What subscribers have received: when the last of them had which message.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::BODY_BYTES;

/// How long a message may be under way.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Messages by number, and how many subscribers have each.
#[derive(Debug)]
pub(super) struct Arrivals {
    subscribers: usize,
    counts: Vec<AtomicUsize>,
    /// When the last subscriber had it.
    done: Mutex<Vec<Option<Instant>>>,
    changed: Condvar,
}

impl Arrivals {
    /// None of `messages` has come to any of `subscribers` yet.
    pub(super) fn new(messages: usize, subscribers: usize) -> Self {
        Self {
            subscribers,
            counts: (0..messages).map(|_| AtomicUsize::new(0)).collect(),
            done: Mutex::new(vec![None; messages]),
            changed: Condvar::new(),
        }
    }

    /// A subscriber has received this body, which has to be one of the messages.
    pub(super) fn note(&self, body: &[u8]) -> Result<()> {
        let number = number_of(body)?;
        let count = self.counts.get(number).context("a message that was not published")?;
        let before = count.fetch_add(1, Ordering::Relaxed);
        ensure!(before < self.subscribers, "message {number} came too often");
        if before + 1 == self.subscribers {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done[number] = Some(Instant::now());
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits until all subscribers have a message; when the last of them had it.
    pub(super) fn wait(&self, number: usize) -> Result<Instant> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(done, ARRIVAL_MAX, |d| d[number].is_none());
        let (done, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let count = self.counts[number].load(Ordering::Relaxed);
        done[number].with_context(|| {
            format!("message {number} came to {count} of {} subscribers", self.subscribers)
        })
    }
}

/// The body of the message of this number.
pub(super) fn body(number: usize) -> Vec<u8> {
    let mut body = vec![b'v'; BODY_BYTES];
    let number = u64::try_from(number).expect("a usize fits into 64 bits");
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

/// The number of the message with this body.
pub(super) fn number_of(body: &[u8]) -> Result<usize> {
    ensure!(body.len() == BODY_BYTES, "a body has {} bytes", body.len());
    let number = body.first_chunk::<8>().context("a body begins with its number")?;
    Ok(usize::try_from(u64::from_be_bytes(*number))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_arrived_when_the_last_subscriber_has_it() {
        let arrivals = Arrivals::new(2, 2);
        arrivals.note(&body(1)).unwrap();
        assert_eq!(arrivals.done.lock().unwrap()[1], None);
        arrivals.note(&body(1)).unwrap();
        arrivals.wait(1).unwrap();
        assert_eq!(arrivals.done.lock().unwrap()[0], None);
    }

    #[test]
    fn what_was_not_published_and_what_comes_twice_is_an_error() {
        let arrivals = Arrivals::new(1, 1);
        arrivals.note(&body(0)).unwrap();
        assert!(arrivals.note(&body(0)).is_err());
        assert!(arrivals.note(&body(1)).is_err());
        assert!(arrivals.note(b"short").is_err());
    }
}
