//! Clients that write and read through all nodes, never give up a write without knowing what became of it, and keep
//! what they asked and were told.
//!
//! A write is asked again under its own id, through another node, until its outcome is known; what is still open
//! then is resolved. So a committed write is committed once, and what stays unknown is rare.

mod ask;
mod result;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

pub(crate) use ask::Objects;
pub(crate) use result::{Ack, LoadResult};
use worker::{Told, Worker};

use crate::client::Client;

/// What a load does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Clients that ask at the same time.
    pub(crate) worker_count: usize,
    pub(crate) objects: Objects,
    pub(crate) seed: u64,
    /// How long one attempt waits for its answer.
    pub(crate) attempt_max: Duration,
    /// How long a write is asked again before it is resolved, and how long it is resolved.
    pub(crate) patience: Duration,
    /// Between two operations of a client.
    pub(crate) pause: Duration,
    /// The load ends by itself after as many operations.
    pub(crate) operation_max: usize,
}

impl Plan {
    /// Eight clients on all nodes.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            worker_count: 8,
            objects: Objects::default(),
            seed,
            attempt_max: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            pause: Duration::ZERO,
            operation_max: 200_000,
        }
    }
}

/// What the clients share.
#[derive(Debug)]
struct Shared {
    clients: Vec<Client>,
    plan: Plan,
    /// Keeps transaction ids of several loads apart.
    name: String,
    started: Instant,
    is_stopped: AtomicBool,
    operation_count: AtomicUsize,
    /// For each tree the start of the latest attempt that was acknowledged, in ticks.
    acked: Vec<AtomicU64>,
}

impl Shared {
    /// Nanoseconds since the load began.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).expect("a run ends before 500 years")
    }

    fn is_over(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
            || self.operation_count.load(Ordering::Relaxed) >= self.plan.operation_max
    }
}

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Told>>,
}

impl Load {
    /// Begins on nodes with these clients. `name` keeps its transactions apart from those of other loads.
    pub(crate) fn start(name: &str, clients: Vec<Client>, plan: Plan) -> Self {
        let clients = clients.into_iter().map(|client| client.within(plan.attempt_max)).collect();
        let acked = (0..plan.objects.tree_count).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared {
            clients,
            plan,
            name: name.to_owned(),
            started: Instant::now(),
            is_stopped: AtomicBool::new(false),
            operation_count: AtomicUsize::new(0),
            acked,
        });
        let worker = |index| {
            let worker = Worker::new(Arc::clone(&shared), index);
            thread::spawn(move || worker.run())
        };
        let workers = (0..shared.plan.worker_count).map(worker).collect();
        Self { shared, workers }
    }

    /// Nanoseconds since the load began.
    pub(crate) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Operations completed so far.
    pub(crate) fn operation_count(&self) -> usize {
        self.shared.operation_count.load(Ordering::Relaxed)
    }

    /// Waits until a write of tree `tree` was acknowledged whose attempt began at `since` or later.
    pub(crate) fn wait_acked(&self, tree: usize, since: u64, within: Duration) -> bool {
        self.wait(within, || self.shared.acked[tree].load(Ordering::Relaxed) >= since)
    }

    /// Waits until `count` operations were completed.
    pub(crate) fn wait_operations(&self, count: usize, within: Duration) -> bool {
        self.wait(within, || self.operation_count() >= count)
    }

    fn wait(&self, within: Duration, is_reached: impl Fn() -> bool) -> bool {
        let started = Instant::now();
        while !is_reached() {
            if started.elapsed() > within {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Lets every client finish what it is doing.
    pub(crate) fn finish(self) -> Result<LoadResult> {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        let mut result = LoadResult::new(self.shared.plan.objects);
        let mut refusals = BTreeMap::new();
        for worker in self.workers {
            let told = worker.join().map_err(|_| anyhow!("a client of the load panicked"))?;
            for (kind, count) in told.refusals() {
                *refusals.entry(kind.clone()).or_default() += count;
            }
            result.add(told);
        }
        result.refusals = refusals;
        result.duration = self.shared.started.elapsed();
        Ok(result)
    }
}
