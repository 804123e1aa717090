//! The driver of a partition: one thread that proposes what callers ask, applies what the log has
//! made durable and answers. It decides nothing about the data: [`Partition`] does.
//!
//! ```text
//! caller --Propose--> driver --LogBatch--> log thread --Synced--> driver --apply, commit--> caller
//! ```
//!
//! [`Partition`]: weald_cluster::partition::Partition

mod applier;
mod checkpointer;
mod event;
mod log_time;
mod proposer;
mod queue;
mod recent;
mod replay;
mod run;
mod watchers;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;

pub(crate) use applier::Applier;
pub(crate) use event::{Answer, Ask, Event, Proposal, Refused, Standing, Waiter};
pub(crate) use proposer::{LocalProposer, Proposer};
pub(crate) use queue::{EventQueue, ProposeError};
pub(crate) use replay::replay;
pub(crate) use run::{Loop, Parts, Tuning};
pub(crate) use watchers::Watchers;

/// The running driver, as the node holds it.
pub(crate) struct Driver {
    queue: Arc<EventQueue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Driver {
    /// Starts the driver's thread and the one that writes checkpoints.
    pub(crate) fn spawn(mut work: Loop) -> std::io::Result<Self> {
        let queue = work.queue();
        let checkpoints = work.take_checkpointer();
        let threads = vec![
            thread::Builder::new().name("weald-driver".to_owned()).spawn(move || work.run())?,
            thread::Builder::new()
                .name("weald-checkpoint".to_owned())
                .spawn(move || checkpoints.run())?,
        ];
        Ok(Self { queue, threads: Mutex::new(threads) })
    }

    /// What goes to the driver.
    pub(crate) fn queue(&self) -> &EventQueue {
        &self.queue
    }

    /// Waits for the threads to end; they do after [`Event::Close`] or [`Event::Abandon`].
    pub(crate) fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A thread that panicked has dropped its waiters, who were told so.
            thread.join().ok();
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.queue.push(Event::Abandon);
        self.join();
    }
}
