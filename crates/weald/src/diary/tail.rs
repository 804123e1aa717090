//! Following a diary.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use weald_core::Sequence;

use super::{RawDiary, RawDiaryEntry};
use crate::{
    Result,
    stream::{Source, Steps},
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

struct Entries {
    diary: RawDiary,
}

impl Source for Entries {
    type Item = TailEvent<RawDiaryEntry>;

    async fn step(self) -> (Self, Option<Result<Self::Item>>) {
        let error = self.diary.node.unbuilt();
        (self, Some(Err(error)))
    }
}

/// Follows a diary of bytes; a stream.
pub struct RawDiaryTail {
    steps: Steps<Entries>,
}

impl RawDiaryTail {
    pub(crate) fn new(diary: &RawDiary, from: Sequence) -> Self {
        let _ = from;
        Self { steps: Steps::new(Entries { diary: diary.clone() }) }
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

impl<E> DiaryTail<E> {
    /// The same tail with entries as bytes.
    pub fn into_raw(self) -> RawDiaryTail {
        self.raw
    }
}
