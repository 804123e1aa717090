//! The driver of a partition: it gives proposals their places in the log, applies what the log has
//! made durable and answers. It decides nothing about the data: [`Partition`] does.
//!
//! ```text
//! caller --Proposal--> intake --LogBatch--> log thread --news--> relay --apply, commit--> caller
//! ```
//!
//! The intake works in the caller's thread. The relay lets the log's thread apply while that has
//! nothing else to write; otherwise the driver's own thread does.
//!
//! [`Partition`]: weald_cluster::partition::Partition

mod applier;
mod checkpointer;
mod event;
mod intake;
mod proposer;
mod queue;
mod recent;
mod relay;
mod replay;
mod run;
mod watchers;

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;

pub(crate) use applier::Applier;
pub(crate) use event::{Answer, Ask, Event, Progress, Proposal, Refused, Standing, Waiter};
pub(crate) use intake::{Door, Intake, IntakeLimits, ProposeError};
pub(crate) use proposer::{LocalProposer, Proposer};
pub(crate) use queue::EventQueue;
pub(crate) use relay::Relay;
pub(crate) use replay::replay;
pub(crate) use run::{Loop, Parts, Tuning};
pub(crate) use watchers::Watchers;

/// The running driver, as the node holds it.
pub(crate) struct Driver {
    intake: Arc<Intake>,
    queue: Arc<EventQueue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Driver {
    /// Starts the driver's thread, which works behind `relay`, and the one that writes checkpoints.
    pub(crate) fn spawn(relay: &Arc<Relay>, parts: Parts) -> std::io::Result<Self> {
        let intake = Arc::clone(&parts.intake);
        let queue = Arc::clone(relay.queue());
        let (work, checkpoints) = Loop::new(parts);
        let checkpoint_thread = thread::Builder::new()
            .name("weald-checkpoint".to_owned())
            .spawn(move || checkpoints.run())?;
        relay.begin(work);
        let relay = Arc::clone(relay);
        let driver_thread =
            thread::Builder::new().name("weald-driver".to_owned()).spawn(move || relay.run())?;
        Ok(Self { intake, queue, threads: Mutex::new(vec![driver_thread, checkpoint_thread]) })
    }

    /// Hands in a proposal.
    pub(crate) fn propose(&self, proposal: Proposal) -> Result<(), ProposeError> {
        if self.intake.propose(proposal)? {
            self.queue.nudge();
        }
        Ok(())
    }

    /// Proposals that were handed in and not yet answered.
    pub(crate) fn writes_waiting(&self) -> usize {
        self.intake.writes_waiting()
    }

    /// What wakes the driver.
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
