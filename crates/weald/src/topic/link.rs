//! A stream from a member that serves a topic.

use std::sync::Arc;

use tokio::sync::mpsc;
use weald_pubsub::{StreamId, StreamRequest};

use super::{News, Serving};

/// A stream that is open. It ends when it is dropped.
pub(crate) struct Link {
    end: End,
    news: mpsc::Receiver<News>,
}

/// Who is asked.
enum End {
    /// Whoever serves the topic in this process.
    Near(Arc<Serving>, StreamId),
    /// Whoever carries the stream over the network.
    Far(mpsc::Sender<StreamRequest>),
}

impl Link {
    /// A stream from whoever serves the topic in this process, with its name there.
    pub(crate) fn near(serving: Arc<Serving>) -> (StreamId, Self) {
        let (id, news) = serving.open();
        (id, Self { end: End::Near(serving, id), news })
    }

    /// A stream that somebody carries.
    pub(crate) const fn far(asks: mpsc::Sender<StreamRequest>, news: mpsc::Receiver<News>) -> Self {
        Self { end: End::Far(asks), news }
    }

    /// Asks for more. What finds no room is lost; the subscriber asks again when nothing comes.
    pub(crate) fn send(&self, request: StreamRequest) {
        match &self.end {
            End::Near(serving, id) => serving.ask(*id, request),
            End::Far(asks) => drop(asks.try_send(request)),
        }
    }

    /// What comes next; `None` when nothing more does.
    pub(crate) async fn news(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// What has come already.
    pub(crate) fn waiting(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let End::Near(serving, id) = &self.end {
            serving.close(*id);
        }
    }
}
