//! The threads, and what callers see of them without asking.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Mutex, RwLock};
use weald_cluster::configuration::Member;
use weald_core::{LogIndex, PartitionId, StateStore, Time};

use super::{
    Hosted, Letterbox, MembersParts, ReadAsk, ReadRefused, StartError,
    clocks::Clocks,
    event::Event,
    figures::Counters,
    work::{self, Work},
};

/// The members that live here, by partition.
pub(super) type HostedMap = Arc<RwLock<BTreeMap<PartitionId, Arc<Hosted>>>>;

/// The running members.
pub(super) struct Running {
    pub(super) letterbox: Arc<Letterbox>,
    pub(super) hosted: HostedMap,
    pub(super) figures: Arc<Counters>,
    clocks: Clocks,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    pub(super) fn start(parts: MembersParts) -> Result<Self, StartError> {
        let me = Member { peer: parts.keys.public().peer_id(), store: parts.store, life: 0 };
        let letterbox = Arc::clone(&parts.letterbox);
        let (hosted, figures) = (HostedMap::default(), Arc::<Counters>::default());
        let clocks = Clocks::new(Arc::clone(&parts.clock));
        let shown = work::Shown {
            hosted: Arc::clone(&hosted),
            counters: Arc::clone(&figures),
            clocks: clocks.clone(),
        };
        letterbox.open(Work::open(parts, me, shown)?);
        let loops = Arc::clone(&letterbox);
        let thread =
            thread::Builder::new().name("weald-members".to_owned()).spawn(move || loops.run())?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { letterbox, hosted, figures, clocks, thread })
    }

    /// The members' steady clock.
    pub(super) fn steady(&self) -> Time {
        self.clocks.steady()
    }

    /// The answer to a read that needs nobody else: what is here is fresh enough, and applied.
    pub(super) fn read_at_once(
        &self,
        hosted: &Hosted,
        ask: &ReadAsk,
    ) -> Option<Result<LogIndex, ReadRefused>> {
        let (fresh, has_been) =
            hosted.with_status(|status| (status.fresh_as_of, status.has_been_fresh));
        let applied = hosted.store().applied();
        let is_met = ask.is_met(fresh, has_been, self.clocks.steady());
        (is_met && applied >= ask.at_least).then_some(Ok(applied))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.letterbox.push(Event::Abandon);
        let thread = self.thread.lock().take();
        // The last clone may go in an answer that the loop gives.
        if let Some(thread) = thread.filter(|t| t.thread().id() != thread::current().id()) {
            // A thread that panicked has dropped whoever waited, who were told so.
            thread.join().ok();
        }
    }
}
