//! What is new in a collection since a point of its history: all that is there, that it was all, then
//! what comes.

use std::{collections::VecDeque, future::Future};

use crate::{
    Result, Weald,
    stream::{Signal, Source},
};

/// A collection whose history is told from a point on.
pub(crate) trait History: Sized + Send + 'static {
    /// One step of the history, as it is read.
    type Step: Send;
    /// What is told.
    type Event: Send;

    /// The event that all that was there has been told.
    const CAUGHT_UP: Self::Event;

    /// The node to ask.
    fn node(&self) -> &Weald;

    /// Reads the next steps; none when there are none yet.
    fn read(&mut self) -> impl Future<Output = Result<Found<Self>>> + Send;

    /// The event of a step that was read.
    fn tell(&mut self, step: Self::Step) -> impl Future<Output = Result<Told<Self>>> + Send;
}

/// What was found behind the last step.
pub(crate) struct Found<H: History> {
    /// Which steps are no longer kept, if some before the others are not.
    pub(crate) gap: Option<H::Event>,
    /// The steps, in order.
    pub(crate) steps: Vec<H::Step>,
}

/// What a step told.
pub(crate) enum Told<H: History> {
    /// This event.
    Event(H::Event),
    /// Its part of the history is no longer kept, nor that of some steps behind it, as this event says.
    /// The history goes on from where it says.
    Gap(H::Event),
}

/// Follows a history. Waits where nothing is new.
pub(crate) struct Following<H: History> {
    history: H,
    read: VecDeque<H::Step>,
    has_caught_up: bool,
    signal: Signal,
}

impl<H: History> Following<H> {
    /// Follows `history`; `signal` tells of news of its collection.
    pub(crate) fn new(history: H, signal: Signal) -> Self {
        Self { history, read: VecDeque::new(), has_caught_up: false, signal }
    }

    async fn event(&mut self) -> Result<H::Event> {
        loop {
            if let Some(step) = self.read.pop_front() {
                return self.tell(step).await;
            }
            self.signal.listen(self.history.node())?;
            let Found { gap, steps } = self.history.read().await?;
            self.read.extend(steps);
            if let Some(gap) = gap {
                return Ok(gap);
            }
            if !self.read.is_empty() {
                continue;
            }
            if !std::mem::replace(&mut self.has_caught_up, true) {
                return Ok(H::CAUGHT_UP);
            }
            self.signal.heard().await;
        }
    }

    async fn tell(&mut self, step: H::Step) -> Result<H::Event> {
        match self.history.tell(step).await? {
            Told::Event(event) => Ok(event),
            Told::Gap(gap) => {
                self.read.clear();
                Ok(gap)
            }
        }
    }
}

impl<H: History> Source for Following<H> {
    type Item = H::Event;

    async fn step(mut self) -> (Self, Option<Result<H::Event>>) {
        let event = self.event().await;
        (self, Some(event))
    }
}
