//! A stream made of one asynchronous step that is taken again and again.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::watch;
use weald_core::CollectionName;

use crate::{Result, Weald};

type Step<S, T> = Pin<Box<dyn Future<Output = (S, Option<Result<T>>)> + Send>>;

/// Where the next item comes from.
pub(crate) trait Source: Sized + Send + 'static {
    /// What it yields.
    type Item: Send;

    /// The source after the step, and its item; `None` ends the stream.
    fn step(self) -> impl Future<Output = (Self, Option<Result<Self::Item>>)> + Send;
}

/// Drives a [`Source`]. After the end, or after an error, it yields nothing more.
pub(crate) struct Steps<S: Source> {
    idle: Option<S>,
    running: Option<Step<S, S::Item>>,
}

impl<S: Source> Steps<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { idle: Some(source), running: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<S::Item>>> {
        if self.running.is_none() {
            let Some(source) = self.idle.take() else { return Poll::Ready(None) };
            self.running = Some(Box::pin(source.step()));
        }
        let step = self.running.as_mut().expect("a step is running");
        let Poll::Ready((source, item)) = step.as_mut().poll(cx) else { return Poll::Pending };
        self.running = None;
        if matches!(item, Some(Ok(_))) {
            self.idle = Some(source);
        }
        Poll::Ready(item)
    }

    pub(crate) async fn next(&mut self) -> Option<Result<S::Item>> {
        poll_fn(|cx| self.poll(cx)).await
    }
}

impl<S: Source> Unpin for Steps<S> {}

impl<S: Source> Stream for Steps<S> {
    type Item = Result<S::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

/// Tells that a collection may have changed.
pub(crate) struct Signal {
    collection: CollectionName,
    receiver: Option<watch::Receiver<()>>,
}

impl Signal {
    pub(crate) fn of(collection: &CollectionName) -> Self {
        Self { collection: collection.clone(), receiver: None }
    }

    /// From now on changes are heard. Called before each look at the collection, so that no change
    /// is missed.
    pub(crate) fn listen(&mut self, node: &Weald) -> Result<()> {
        let running = node.running()?;
        let receiver = match &mut self.receiver {
            Some(receiver) => receiver,
            none => none.insert(running.backend.follow(&self.collection)?),
        };
        receiver.borrow_and_update();
        Ok(())
    }

    /// Waits until the collection may have changed, or is to be listened to anew.
    pub(crate) async fn heard(&mut self) {
        if let Some(receiver) = &mut self.receiver
            && receiver.changed().await.is_err()
        {
            self.receiver = None;
        }
    }
}
