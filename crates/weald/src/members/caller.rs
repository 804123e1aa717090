//! Who waits for an answer: a task behind a channel, or a function that passes the answer on
//! without a task having to wake.

use std::fmt;

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

    /// Gives the answer. Whether somebody was there to take it.
    pub(crate) fn tell(self, answer: T) -> bool {
        match self.0 {
            Slot::Nobody => false,
            Slot::Channel(sender) => sender.send(answer).is_ok(),
            Slot::Function(told) => {
                told(answer);
                true
            }
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
