//! Following a diary.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use weald_collections::{ReadError, chain::ReadLimit};
use weald_core::Sequence;

use super::{DiaryEntry, RawDiary, RawDiaryEntry, handle};
use crate::{
    Result, Weald,
    history::{Following, Found, History, Told},
    node::read,
    stream::{Signal, Steps},
};

/// What a tail tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailEvent<E> {
    /// An entry. Sequences come in order and without a gap.
    Entry(E),
    /// All entries that were there have been told; what follows is live. Told once.
    CaughtUp,
    /// These entries are no longer kept; the tail goes on at `next`.
    Gap {
        /// The first that is missing.
        from: Sequence,
        /// The first that follows.
        next: Sequence,
    },
}

impl<E> TailEvent<E> {
    /// The same event with another kind of entry.
    fn try_map<T>(self, map: impl FnOnce(E) -> Result<T>) -> Result<TailEvent<T>> {
        Ok(match self {
            Self::Entry(entry) => TailEvent::Entry(map(entry)?),
            Self::CaughtUp => TailEvent::CaughtUp,
            Self::Gap { from, next } => TailEvent::Gap { from, next },
        })
    }
}

struct Entries {
    diary: RawDiary,
    /// The next sequence to read.
    next: Sequence,
}

impl History for Entries {
    type Step = RawDiaryEntry;
    type Event = TailEvent<RawDiaryEntry>;

    const CAUGHT_UP: Self::Event = TailEvent::CaughtUp;

    fn node(&self) -> &Weald {
        &self.diary.node
    }

    /// Reads what is there; a gap if entries were dropped before they could be told.
    async fn read(&mut self) -> Result<Found<Self>> {
        let version = self.diary.node.patiently(self.diary.id()).await?;
        let (code, from) = (&self.diary.code, self.next);
        let found = read(&version, |reader| match code.read(reader, from, ReadLimit::default()) {
            Err(ReadError::Gone { first, .. }) => Ok(Err(first)),
            other => other.map(Ok),
        });
        match found.await? {
            Err(next) => {
                self.next = next;
                Ok(Found { gap: Some(TailEvent::Gap { from, next }), steps: Vec::new() })
            }
            Ok(entries) => {
                let steps: Vec<_> = entries.into_iter().map(RawDiaryEntry::from).collect();
                self.next = steps.last().map_or(from, |last| last.sequence.next());
                Ok(Found { gap: None, steps })
            }
        }
    }

    async fn tell(&mut self, entry: RawDiaryEntry) -> Result<Told<Self>> {
        Ok(Told::Event(TailEvent::Entry(entry)))
    }
}

/// Follows a diary of bytes; a stream.
pub struct RawDiaryTail {
    steps: Steps<Following<Entries>>,
}

impl RawDiaryTail {
    pub(crate) fn new(diary: &RawDiary, from: Sequence) -> Self {
        let (signal, diary) = (Signal::of(diary.name()), diary.clone());
        Self { steps: Steps::new(Following::new(Entries { diary, next: from }, signal)) }
    }

    /// The next event; waits for one. `None` only after an error.
    pub async fn next(&mut self) -> Option<Result<TailEvent<RawDiaryEntry>>> {
        self.steps.next().await
    }
}

impl Stream for RawDiaryTail {
    type Item = Result<TailEvent<RawDiaryEntry>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.steps.poll(cx)
    }
}

impl std::fmt::Debug for RawDiaryTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawDiaryTail").finish_non_exhaustive()
    }
}

/// Follows a typed diary; a stream.
#[derive(Debug)]
pub struct DiaryTail<E> {
    raw: RawDiaryTail,
    types: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> DiaryTail<E> {
    pub(crate) fn new(raw: RawDiaryTail) -> Self {
        Self { raw, types: PhantomData }
    }

    /// The next event; waits for one. `None` only after an error.
    pub async fn next(&mut self) -> Option<Result<TailEvent<DiaryEntry<E>>>> {
        let event = self.raw.next().await?;
        Some(event.and_then(|event| event.try_map(handle::decode)))
    }
}

impl<E: DeserializeOwned> Stream for DiaryTail<E> {
    type Item = Result<TailEvent<DiaryEntry<E>>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = self.raw.steps.poll(cx);
        event.map(|event| event.map(|event| event?.try_map(handle::decode)))
    }
}
