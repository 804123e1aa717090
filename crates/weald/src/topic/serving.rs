//! Serving a topic to its subscribers: drives the [`Delivery`] of one topic at one member.
//!
//! Streams at one position share one read. A stream's parts go into a bounded queue; one that finds
//! it full is lost, and the subscriber, who sees the hole, asks for it again.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
};
use weald_pubsub::{
    self as pubsub, Delivery, DeliveryInput, DeliveryOutput, Part, StreamId, StreamRequest,
    TopicPage, TopicPosition,
};

use super::handle::look_at;
use crate::{
    Error, ErrorKind, Result,
    backend::{Promise, Version},
};

/// Parts of one stream that wait for whoever carries them.
pub(crate) const PARTS_MAX: usize = 64;
/// The pause before a read that may succeed later is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a topic's messages are found.
pub(crate) trait Shelf: Send + Sync {
    /// The newest state that may be shown.
    fn view(&self) -> Promise<Version>;

    /// Sees a change after each revision of the topic from now on.
    ///
    /// # Errors
    /// When nothing changes there any more.
    fn follow(&self) -> Result<watch::Receiver<()>>;

    /// The generation of the topic's partition: raised by each forced recovery (rule C16). 0 where
    /// there are none.
    fn generation(&self) -> u32 {
        0
    }
}

/// What a stream is told.
#[derive(Debug)]
pub(crate) enum News {
    /// The generation of the topic's partition: what a stream begins with.
    Generation(u32),
    /// A part of the topic.
    Part(Arc<Parcel>),
    /// There is no room for the stream here.
    Refused,
    /// Nothing more comes from here, for this reason.
    Over(Error),
}

/// A part on its way to subscribers. Those that are sent the same share it, and its bytes.
#[derive(Debug)]
pub(crate) struct Parcel {
    part: Arc<Part>,
    wire: OnceLock<Bytes>,
}

impl Parcel {
    /// A part that nobody has encoded.
    pub(crate) fn new(part: impl Into<Arc<Part>>) -> Arc<Self> {
        Arc::new(Self { part: part.into(), wire: OnceLock::new() })
    }

    /// The part itself.
    pub(crate) fn open(self: Arc<Self>) -> Part {
        match Arc::try_unwrap(self) {
            Ok(parcel) => Arc::unwrap_or_clone(parcel.part),
            Err(shared) => Part::clone(&shared.part),
        }
    }

    /// The part as `encode` makes it; called once.
    pub(crate) fn wire(&self, encode: impl FnOnce(&Part) -> Bytes) -> Bytes {
        self.wire.get_or_init(|| encode(&self.part)).clone()
    }
}

/// A topic that is served. It ends when it is dropped.
pub(crate) struct Serving(Arc<Shared>);

struct Shared {
    code: pubsub::Topic,
    shelf: Arc<dyn Shelf>,
    /// The generation that is served; with it the streams end.
    generation: u32,
    state: Mutex<State>,
    wake: Notify,
}

struct State {
    delivery: Delivery,
    streams: BTreeMap<StreamId, mpsc::Sender<News>>,
    next: u64,
    is_over: bool,
}

impl Serving {
    /// Serves a topic of `shelf` to nobody yet.
    pub(crate) fn start(code: pubsub::Topic, shelf: Arc<dyn Shelf>, runtime: &Handle) -> Arc<Self> {
        let state = State {
            delivery: Delivery::new(TopicPosition(1)),
            streams: BTreeMap::new(),
            next: 0,
            is_over: false,
        };
        let generation = shelf.generation();
        let (state, wake) = (Mutex::new(state), Notify::new());
        let shared = Arc::new(Shared { code, shelf, generation, state, wake });
        runtime.spawn(run(Ending(Arc::clone(&shared))));
        Arc::new(Self(shared))
    }

    /// Whether streams can be opened.
    pub(crate) fn is_usable(&self) -> bool {
        !self.0.state.lock().is_over
    }

    /// A stream, with what it is told. Nothing comes before it is asked for.
    pub(crate) fn open(&self) -> (StreamId, mpsc::Receiver<News>) {
        let (sender, receiver) = mpsc::channel(PARTS_MAX);
        // The channel is new and has room.
        sender.try_send(News::Generation(self.0.generation)).ok();
        let mut state = self.0.state.lock();
        let id = StreamId(state.next);
        state.next += 1;
        if !state.is_over {
            state.streams.insert(id, sender);
        }
        (id, receiver)
    }

    /// Asks for more on a stream.
    pub(crate) fn ask(&self, id: StreamId, request: StreamRequest) {
        self.0.handle(DeliveryInput::Asked(id, request));
        self.0.wake.notify_one();
    }

    /// Ends a stream.
    pub(crate) fn close(&self, id: StreamId) {
        self.0.handle(DeliveryInput::Closed(id));
        self.0.state.lock().streams.remove(&id);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.wake.notify_one();
    }
}

/// Ends the streams with the task that serves them.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_over = true;
        state.streams.clear();
    }
}

impl Shared {
    fn handle(&self, input: DeliveryInput) {
        self.state.lock().delivery.handle(input);
    }

    /// The next read that is wanted; parts go out on the way.
    fn poll(&self) -> Option<(TopicPosition, usize)> {
        let mut state = self.state.lock();
        let mut last: Option<Arc<Parcel>> = None;
        while let Some(output) = state.delivery.poll_output() {
            match output {
                DeliveryOutput::Read { from, limit } => return Some((from, limit)),
                DeliveryOutput::Send(id, part) => {
                    let same = last.take().filter(|last| Arc::ptr_eq(&last.part, &part));
                    let parcel = same.unwrap_or_else(|| Parcel::new(part));
                    last = Some(Arc::clone(&parcel));
                    state.tell(id, News::Part(parcel));
                }
                DeliveryOutput::Refuse(id) => state.tell(id, News::Refused),
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// Tells all streams that nothing more comes.
    fn end(&self, error: &Error) {
        let mut state = self.state.lock();
        state.is_over = true;
        for sender in std::mem::take(&mut state.streams).into_values() {
            // Who is gone, or has much to read, sees the end of the channel.
            sender.try_send(News::Over(Error::new(error.kind(), error.to_string()))).ok();
        }
    }

    async fn read(&self, from: TopicPosition, limit: usize) -> Result<TopicPage> {
        let version = self.shelf.view().wait().await?;
        let limits = (limit, version.log_time());
        look_at(&version, |reader| self.code.read_lazily(reader, from, limits)).await
    }

    async fn reach(&self) -> Result<TopicPosition> {
        let version = self.shelf.view().wait().await?;
        let head = look_at(&version, |reader| self.code.head(reader)).await?;
        Ok(head.next)
    }

    /// Carries out what the delivery wants, until it wants nothing. A read that may succeed later is
    /// tried until it does.
    async fn work(&self) -> Result<()> {
        while let Some((from, limit)) = self.poll() {
            let page = loop {
                match self.read(from, limit).await {
                    Err(error) if error.is_retryable() && !self.is_over() => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    done => break done?,
                }
            };
            self.handle(DeliveryInput::Read { from, page });
        }
        Ok(())
    }

    /// What is served is over with its generation: whoever asks again is told of the new one.
    fn check_generation(&self) -> Result<()> {
        if self.shelf.generation() == self.generation {
            return Ok(());
        }
        let what = "a forced recovery has begun a new generation of the topic's partition";
        self.end(&Error::new(ErrorKind::Unavailable, what));
        Ok(())
    }

    async fn refresh(&self) -> Result<()> {
        if self.state.lock().streams.is_empty() {
            return Ok(());
        }
        let end = self.reach().await?;
        self.handle(DeliveryInput::Applied(end));
        Ok(())
    }
}

impl State {
    fn tell(&mut self, id: StreamId, news: News) {
        let Some(sender) = self.streams.get(&id) else { return };
        if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(news) {
            self.streams.remove(&id);
            self.delivery.handle(DeliveryInput::Closed(id));
        }
    }
}

async fn run(serving: Ending) {
    let shared = &serving.0;
    let mut news = Listening { signal: None, is_stale: false };
    while !shared.is_over() {
        match serve(shared, &mut news).await {
            Ok(()) => {}
            Err(error) if error.is_retryable() => tokio::time::sleep(PAUSE).await,
            Err(error) => return shared.end(&error),
        }
    }
}

/// What is heard of the topic.
struct Listening {
    signal: Option<watch::Receiver<()>>,
    /// Whether it has changed since it was last looked at.
    is_stale: bool,
}

/// One turn: what has changed, what is wanted, and then waits for either.
async fn serve(shared: &Shared, listening: &mut Listening) -> Result<()> {
    let signal = match &mut listening.signal {
        Some(signal) => signal,
        none => none.insert(shared.shelf.follow()?),
    };
    if listening.is_stale || signal.has_changed().unwrap_or(true) {
        listening.is_stale = true;
        signal.borrow_and_update();
        shared.check_generation()?;
        shared.refresh().await?;
        listening.is_stale = false;
    }
    shared.work().await?;
    if shared.is_over() {
        return Ok(());
    }
    tokio::select! {
        () = shared.wake.notified() => {}
        changed = signal.changed() => {
            listening.is_stale = true;
            if changed.is_err() {
                listening.signal = None;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ps276_a_part_that_goes_to_many_is_encoded_once() {
        let at = TopicPosition(1);
        let part = Part { from: at, items: Vec::new(), next: at, end: at };
        let parcel = Parcel::new(part.clone());
        let mut encoded = 0;
        for _ in 0..1000 {
            let bytes = parcel.wire(|_| {
                encoded += 1;
                Bytes::from_static(b"part")
            });
            assert_eq!(bytes, "part");
        }
        assert_eq!(encoded, 1);
        let other = Arc::clone(&parcel);
        assert_eq!((parcel.open(), other.open()), (part.clone(), part));
    }
}
