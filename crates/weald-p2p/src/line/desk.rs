//! Where the requests of one peer are worked on, and where their answers wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use bytes::Bytes;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use weald_core::{Refusal, ReplySink};

use crate::limits::{ANSWER_BYTES_MAX, BATCH_BYTES, BODY_BYTES_MAX, REQUESTS_MAX};
use weald_core::wire::{Answer, Failure, Message, OVERHEAD_BYTES_MAX};

/// The requests of one substream. Services answer on it from any thread; the connection's task
/// takes the answers out.
#[derive(Debug)]
pub(crate) struct Desk {
    budget: Arc<Budget>,
    state: Mutex<State>,
    waker: AtomicWaker,
}

/// The requests that a node works on for one peer, over all of its substreams and connections.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    /// Takes a request in; `false` when there are [`REQUESTS_MAX`].
    fn open(&self) -> bool {
        let raise = |count| (count < REQUESTS_MAX).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise).is_ok()
    }

    fn close(&self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a request is answered once");
    }
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Message>,
    bytes: usize,
    counts: Counts,
    is_closed: bool,
}

/// Answers that are no results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Too many bytes to keep.
    pub(crate) dropped: u64,
    /// The peer may not ask this.
    pub(crate) denied: u64,
    /// What was asked does not parse.
    pub(crate) malformed: u64,
}

impl Desk {
    /// A desk for one substream of the peer whose budget this is.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, state: Mutex::default(), waker: AtomicWaker::new() }
    }

    /// Takes a request in; `false` when the peer has [`REQUESTS_MAX`] at work.
    pub(crate) fn open(&self) -> bool {
        self.budget.open()
    }

    /// Answers a request that no service was given.
    pub(crate) fn refuse(&self, call: u64, failure: Failure) {
        self.state.lock().push(call, Err(failure));
    }

    /// Whether so much waits for the peer to read it that nothing more is read from it.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.bytes >= ANSWER_BYTES_MAX / 2 || state.answers.len() >= REQUESTS_MAX
    }

    /// Whoever answers wakes `waker` from here on.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Answers wake nobody until [`Desk::register`].
    pub(crate) fn unregister(&self) {
        self.waker.take();
    }

    /// Moves a batch of answers out: about [`BATCH_BYTES`].
    pub(crate) fn take(&self, batch: &mut Vec<Message>) {
        let mut state = self.state.lock();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(message) = state.answers.pop_front() else { break };
            state.bytes -= message.body_bytes();
            bytes += message.body_bytes() + OVERHEAD_BYTES_MAX;
            batch.push(message);
        }
    }

    /// How many answers were no results, since last asked.
    pub(crate) fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.state.lock().counts)
    }

    /// The substream is gone: answers lead nowhere from here on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.answers = VecDeque::new();
        state.bytes = 0;
    }
}

impl ReplySink for Desk {
    fn answer(&self, call: u64, answer: Result<Bytes, Refusal>) {
        let answer = match answer {
            Ok(body) if body.len() > BODY_BYTES_MAX => {
                Err(Failure::TooLarge(u32::try_from(body.len()).unwrap_or(u32::MAX)))
            }
            answer => answer.map_err(Failure::Refused),
        };
        self.budget.close();
        self.state.lock().push(call, answer);
        self.waker.wake();
    }
}

impl State {
    fn push(&mut self, call: u64, answer: Answer) {
        match &answer {
            Err(Failure::Refused(Refusal::Denied)) => self.counts.denied += 1,
            Err(Failure::Refused(Refusal::Malformed)) => self.counts.malformed += 1,
            _ => {}
        }
        if self.is_closed {
            return;
        }
        let mut message = Message::Answer { call, answer };
        if self.bytes + message.body_bytes() > ANSWER_BYTES_MAX {
            self.counts.dropped += 1;
            message = Message::Answer { call, answer: Err(Failure::Refused(Refusal::Dropped)) };
        }
        self.bytes += message.body_bytes();
        self.answers.push_back(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d66_one_budget_holds_for_all_substreams_of_a_peer() {
        let budget = Arc::<Budget>::default();
        let (first, second) = (Desk::new(Arc::clone(&budget)), Desk::new(budget));
        assert!((0..REQUESTS_MAX).all(|_| first.open()));
        assert!(!second.open());
        first.close();
        assert!(!second.open(), "services still work on them");
        first.answer(0, Ok(Bytes::new()));
        assert!(second.open());
    }

    #[test]
    fn answers_that_nobody_reads_are_bounded_in_bytes() {
        let desk = Desk::new(Arc::default());
        let body = Bytes::from(vec![0; BODY_BYTES_MAX]);
        for call in 0..9 {
            assert!(desk.open());
            desk.answer(call, Ok(body.clone()));
        }
        assert!(desk.is_full());
        assert_eq!(desk.take_counts(), Counts { dropped: 2, ..Counts::default() });
        let mut batch = Vec::new();
        (0..9).for_each(|_| desk.take(&mut batch));
        let dropped = Message::Answer { call: 8, answer: Err(Failure::Refused(Refusal::Dropped)) };
        assert_eq!((batch.len(), batch.last()), (9, Some(&dropped)));
        assert!(!desk.is_full());
    }

    #[test]
    fn an_answer_larger_than_a_message_says_so() {
        let desk = Desk::new(Arc::default());
        assert!(desk.open());
        desk.answer(3, Ok(Bytes::from(vec![0; BODY_BYTES_MAX + 1])));
        let mut batch = Vec::new();
        desk.take(&mut batch);
        let bytes = u32::try_from(BODY_BYTES_MAX + 1).unwrap();
        assert_eq!(batch, [Message::Answer { call: 3, answer: Err(Failure::TooLarge(bytes)) }]);
    }
}
