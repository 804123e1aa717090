//! The driver of a partition: it gives proposals their places in the log, applies what the log has
//! made durable and answers. It decides nothing about the data: [`Partition`] does.
//!
//! ```text
//! caller --Proposal--> intake --LogBatch--> log thread --news--> relay --apply, commit--> caller
//! ```
//!
//! The intake works in the caller's thread. A caller who finds the log at rest may lead: it writes
//! and syncs in its own thread, then applies and answers through the relay, and no other thread has
//! to wake. Otherwise the log's thread syncs, and applies while it has nothing else to write; what is
//! left is the driver's own thread's.
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
use weald_core::LogStore;

pub(crate) use applier::Applier;
pub(crate) use event::{Answer, Ask, Event, Progress, Proposal, Refused, Standing, Waiter};
pub(crate) use intake::{Door, Intake, IntakeLimits, ProposeError, Taken};
pub(crate) use proposer::{LocalProposer, Proposer};
pub(crate) use queue::EventQueue;
pub(crate) use relay::Relay;
pub(crate) use replay::replay;
pub(crate) use run::{Loop, Parts, Tuning};
pub(crate) use watchers::Watchers;

/// The running driver, as the node holds it.
pub(crate) struct Driver {
    intake: Arc<Intake>,
    log: Arc<dyn LogStore>,
    relay: Arc<Relay>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Driver {
    /// Starts the driver's thread, which works behind `relay`, and the one that writes checkpoints.
    pub(crate) fn spawn(relay: &Arc<Relay>, parts: Parts) -> std::io::Result<Self> {
        let (intake, log) = (Arc::clone(&parts.intake), Arc::clone(&parts.log));
        let (work, checkpoints) = Loop::new(parts);
        let checkpoint_thread = thread::Builder::new()
            .name("weald-checkpoint".to_owned())
            .spawn(move || checkpoints.run())?;
        relay.begin(work);
        let (relay, running) = (Arc::clone(relay), Arc::clone(relay));
        let driver_thread =
            thread::Builder::new().name("weald-driver".to_owned()).spawn(move || running.run())?;
        let threads = Mutex::new(vec![driver_thread, checkpoint_thread]);
        Ok(Self { intake, log, relay, threads })
    }

    /// Hands in a proposal. Returns whether the caller is to lead.
    pub(crate) fn propose(&self, proposal: Proposal) -> Result<bool, ProposeError> {
        let Taken { needs_driver, is_led } = self.intake.propose(proposal)?;
        if needs_driver {
            self.queue().nudge();
        }
        Ok(is_led)
    }

    /// Whether the log syncs so fast that a caller may lead.
    pub(crate) fn may_lead(&self) -> bool {
        self.log.is_prompt()
    }

    /// In the thread of a caller who has proposed: syncs what the log has, applies and answers,
    /// unless another thread is at it.
    pub(crate) fn lead(&self) {
        if self.log.lead() {
            self.relay.handle_led();
        }
    }

    /// Leaves to the log's thread what a caller was to lead.
    pub(crate) fn rouse(&self) {
        self.log.rouse();
    }

    /// Proposals that were handed in and not yet answered.
    pub(crate) fn writes_waiting(&self) -> usize {
        self.intake.writes_waiting()
    }

    /// What wakes the driver.
    pub(crate) fn queue(&self) -> &EventQueue {
        self.relay.queue()
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
        self.queue().push(Event::Abandon);
        self.join();
    }
}
