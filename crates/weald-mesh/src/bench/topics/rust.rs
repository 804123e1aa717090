//! Topics through the Rust client: light nodes, as applications have them.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::weald::{PublishOptions, StartAt, SubscribeOptions, Subscription, Topic, TopicEvent, Weald};
use anyhow::{Context as _, Result, bail, ensure};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Barrier, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::arrivals::{Arrivals, body};
use super::{Audience, Broker, Load, Published, Replayed};
use crate::bench::{System as _, idle, weald::Mesh};

/// Threads of all clients: nodes and clients share the machine.
const THREADS: usize = 2;
/// Subscriptions of one client to one topic: a peer may have as many.
const SUBSCRIPTIONS_MAX: usize = 16;
/// Subscriptions that are begun or ended at a time.
pub(super) const AT_ONCE: usize = 32;
/// Messages that are handed over at a time where many are published.
const FILL_BATCH: usize = 1000;
/// How long a subscription may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(60);

/// Light nodes, which are started as they are needed, and the mesh that they are clients of.
pub(super) struct Rust<'a> {
    mesh: &'a Mesh,
    clients: Mutex<Vec<Weald>>,
    // After what runs on it.
    runtime: Runtime,
}

impl<'a> Rust<'a> {
    /// One client of `mesh`.
    pub(super) fn start(mesh: &'a Mesh) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        let clients = Mutex::new(idle::start(&runtime, mesh, 1)?);
        Ok(Self { mesh, clients, runtime })
    }

    pub(super) const fn mesh(&self) -> &Mesh {
        self.mesh
    }

    pub(super) const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// So many clients, at least; those that are there first.
    pub(super) fn clients(&self, count: usize) -> Result<Vec<Weald>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(missing) = count.checked_sub(clients.len()).filter(|missing| *missing > 0) {
            clients.extend(idle::start(&self.runtime, self.mesh, missing)?);
        }
        Ok(clients.clone())
    }

    /// A topic at the client of this number.
    pub(super) fn topic(&self, client: usize, name: &str) -> Result<Topic> {
        let clients = self.clients(client + 1)?;
        Ok(self.runtime.block_on(clients[client].topic(name).open())?)
    }

    /// Subscribes on the clients from this one on, each with as many as a peer may have.
    pub(super) fn subscribe_from(
        &self,
        (name, first): (&str, usize),
        subscribers: usize,
        arrivals: &Arc<Arrivals>,
    ) -> Result<Listeners<'_>> {
        let count = subscribers.div_ceil(SUBSCRIPTIONS_MAX).max(1);
        let mut topics = Vec::with_capacity(count);
        for client in first..first + count {
            topics.push(self.topic(client, name)?);
        }
        let (stop, stopped) = watch::channel(());
        let (ready, mut begun) = mpsc::channel(AT_ONCE);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let tasks = (0..subscribers).map(|subscriber| {
            let topic = topics[subscriber % count].clone();
            let (ready, room, stopped) = (ready.clone(), Arc::clone(&room), stopped.clone());
            let arrivals = Arc::clone(arrivals);
            self.runtime.spawn(async move {
                let subscription = {
                    let _room = room.acquire().await?;
                    begin(&topic, StartAt::Now).await?
                };
                ready.send(()).await?;
                drop(ready);
                let ended = listen(subscription, &arrivals, stopped).await?;
                let _room = room.acquire().await?;
                Ok(ended.unsubscribe().await?)
            })
        });
        let tasks = tasks.collect();
        drop(ready);
        let all_begun = self.runtime.block_on(async {
            for _ in 0..subscribers {
                let one = tokio::time::timeout(BEGIN_MAX, begun.recv()).await;
                one.ok().flatten()?;
            }
            Some(())
        });
        let listeners = Listeners { runtime: &self.runtime, stop, tasks };
        match all_begun {
            Some(()) => Ok(listeners),
            None => bail!("a subscription did not begin: {:?}", listeners.end()),
        }
    }
}

impl Drop for Rust<'_> {
    fn drop(&mut self) {
        let clients = self.clients.get_mut().unwrap_or_else(PoisonError::into_inner);
        let closing = async {
            for client in clients.drain(..) {
                // It holds nothing.
                let _ = client.close().await;
            }
        };
        self.runtime.block_on(closing);
    }
}

impl Broker for Rust<'_> {
    fn name(&self) -> String {
        format!("weald x{}", self.mesh.pids().len())
    }

    fn pids(&self) -> Vec<u32> {
        self.mesh.pids()
    }

    fn create(&self, topic: &str) -> Result<()> {
        let client = self.clients(1)?.swap_remove(0);
        self.runtime.block_on(client.topic(topic).create())?;
        Ok(())
    }

    fn publish(&self, topic: &str, load: Load) -> Result<Published> {
        let tasks = load.publishers * load.in_flight;
        let barrier = Arc::new(Barrier::new(tasks));
        let mut running = Vec::with_capacity(tasks);
        for publisher in 0..load.publishers {
            let topic = self.topic(publisher, topic)?;
            // The first publish of a publisher begins its run.
            self.runtime.block_on(topic.publish(body(0)))?;
            running.extend((0..load.in_flight).map(|_| {
                let (topic, barrier) = (topic.clone(), Arc::clone(&barrier));
                self.runtime.spawn(one_publisher(topic, barrier, load.length))
            }));
        }
        let mut published = Published { times: Vec::new(), taken: Duration::ZERO };
        for task in running {
            let (times, taken) = self.runtime.block_on(task).context("a publisher panicked")??;
            published.times.extend(times);
            published.taken = published.taken.max(taken);
        }
        Ok(published)
    }

    fn fill(&self, topic: &str, count: usize) -> Result<()> {
        let topic = self.topic(0, topic)?;
        self.runtime.block_on(fill(&topic, 0..count))
    }

    fn replay(&self, topic: &str, count: usize) -> Result<Replayed> {
        let topic = self.topic(1, topic)?;
        self.runtime.block_on(replay(&topic, count))
    }

    fn subscribe(
        &self,
        topic: &str,
        subscribers: usize,
        arrivals: &Arc<Arrivals>,
    ) -> Result<Box<dyn Audience + '_>> {
        let publisher = self.topic(0, topic)?;
        // Its run has begun.
        self.runtime.block_on(publisher.publish(body(0)))?;
        let listeners = self.subscribe_from((topic, 1), subscribers, arrivals)?;
        Ok(Box::new(RustAudience { publisher, listeners }))
    }
}

/// Subscriptions that note what comes.
pub(super) struct Listeners<'a> {
    runtime: &'a Runtime,
    stop: watch::Sender<()>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Listeners<'_> {
    /// Ends the subscriptions; what went wrong with the first of them.
    pub(super) fn end(self) -> Result<()> {
        drop(self.stop);
        self.tasks.into_iter().try_for_each(|task| {
            self.runtime.block_on(task).context("a subscriber panicked").flatten()
        })
    }
}

struct RustAudience<'a> {
    publisher: Topic,
    listeners: Listeners<'a>,
}

impl Audience for RustAudience<'_> {
    fn publish(&mut self, numbers: Range<usize>) -> Result<()> {
        self.listeners.runtime.block_on(fill(&self.publisher, numbers))
    }

    fn end(self: Box<Self>) -> Result<()> {
        self.listeners.end()
    }
}

async fn one_publisher(
    topic: Topic,
    barrier: Arc<Barrier>,
    length: Duration,
) -> Result<(Vec<Duration>, Duration)> {
    barrier.wait().await;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < length {
        let started = Instant::now();
        topic.publish(body(0)).await?;
        times.push(started.elapsed());
    }
    Ok((times, begin.elapsed()))
}

/// Publishes messages of these numbers, many at a time.
pub(super) async fn fill(topic: &Topic, numbers: Range<usize>) -> Result<()> {
    let mut next = numbers.start;
    while next < numbers.end {
        let until = (next + FILL_BATCH).min(numbers.end);
        let bodies = (next..until).map(body);
        for receipt in topic.publish_batch(bodies, PublishOptions::default()).await? {
            receipt?;
        }
        next = until;
    }
    Ok(())
}

/// Subscribes and waits until everything that was there has come; from `Now` on, that is nothing.
pub(super) async fn begin(topic: &Topic, from: StartAt) -> Result<Subscription> {
    let options = SubscribeOptions { from, ..SubscribeOptions::default() };
    let mut subscription = topic.subscribe(options).await?;
    loop {
        match subscription.next().await.context("a subscription has ended")?? {
            TopicEvent::CaughtUp { .. } => return Ok(subscription),
            TopicEvent::Message(_) | TopicEvent::Lagged { .. } => {}
            other => bail!("a subscription was told {other:?}"),
        }
    }
}

/// Notes what comes until it is stopped.
async fn listen(
    mut subscription: Subscription,
    arrivals: &Arrivals,
    mut stopped: watch::Receiver<()>,
) -> Result<Subscription> {
    loop {
        let event = tokio::select! {
            event = subscription.next() => event.context("a subscription has ended")??,
            _ = stopped.changed() => return Ok(subscription),
        };
        match event {
            TopicEvent::Message(message) => arrivals.note(&message.body)?,
            TopicEvent::CaughtUp { .. } | TopicEvent::Lagged { .. } => {}
            other => bail!("a subscription was told {other:?}"),
        }
    }
}

async fn replay(topic: &Topic, count: usize) -> Result<Replayed> {
    let started = Instant::now();
    let mut subscription = topic.subscribe(SubscribeOptions::default()).await?;
    let (mut first, mut seen) = (Duration::ZERO, 0);
    while seen < count {
        let event = tokio::time::timeout(BEGIN_MAX, subscription.next()).await;
        match event.context("nothing comes")?.context("a subscription has ended")?? {
            TopicEvent::Message(message) => {
                seen += 1;
                if seen == 1 {
                    first = started.elapsed();
                }
                let position = usize::try_from(message.position.0)?;
                ensure!(position == seen, "position {position} came in place of {seen}");
            }
            TopicEvent::CaughtUp { .. } | TopicEvent::Lagged { .. } => {}
            other => bail!("a subscription was told {other:?}"),
        }
    }
    let all = started.elapsed();
    subscription.unsubscribe().await?;
    Ok(Replayed { first, all })
}
