//! Who waits for an answer: a task behind a channel, or a function that passes the answer on
//! without a task having to wake.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Waits for one answer. Dropped unanswered, a channel is closed and a function is not called.
pub(crate) struct Caller<T>(Slot<T>);

enum Slot<T> {
    Nobody,
    Channel(oneshot::Sender<T>),
    Function(Box<dyn FnOnce(T) + Send>),
}

impl<T> Caller<T> {
    /// Nobody: what is answered is dropped.
    pub(crate) fn nobody() -> Self {
        Self(Slot::Nobody)
    }

    /// A task that awaits the receiver.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Slot::Channel(sender)), receiver)
    }

    /// A function; it is called in the thread that answers and must return at once.
    pub(crate) fn function(told: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Slot::Function(Box::new(told)))
    }

    /// Gives the answer.
    pub(crate) fn tell(self, answer: T) {
        match self.0 {
            Slot::Nobody => {}
            // A caller who has gone needs no answer.
            Slot::Channel(sender) => drop(sender.send(answer)),
            Slot::Function(told) => told(answer),
        }
    }
}

impl<T> fmt::Debug for Caller<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Slot::Nobody => "Caller(nobody)",
            Slot::Channel(_) => "Caller(channel)",
            Slot::Function(_) => "Caller(function)",
        })
    }
}

/// One caller behind several answers: it is told when all have come, the first error if there is
/// one.
pub(crate) struct Gathered<E>(Arc<Mutex<State<E>>>);

struct State<E> {
    caller: Option<Caller<Result<(), E>>>,
    result: Result<(), E>,
}

impl<E: Send + 'static> Gathered<E> {
    /// Tells `caller` once this and all its shares are gone.
    pub(crate) fn new(caller: Caller<Result<(), E>>) -> Self {
        Self(Arc::new(Mutex::new(State { caller: Some(caller), result: Ok(()) })))
    }

    /// A caller for one of the answers.
    pub(crate) fn share(&self) -> Caller<Result<(), E>> {
        let share = Self(Arc::clone(&self.0));
        Caller::function(move |answer| {
            if let Err(error) = answer {
                share.0.lock().result = Err(error);
            }
        })
    }
}

impl<E> Drop for Gathered<E> {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) > 1 {
            return;
        }
        let mut state = self.0.lock();
        let result = std::mem::replace(&mut state.result, Ok(()));
        if let Some(caller) = state.caller.take() {
            drop(state);
            caller.tell(result);
        }
    }
}
