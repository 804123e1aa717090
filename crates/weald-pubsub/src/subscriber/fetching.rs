//! The body of the large message that the application gets next: asked for in chunks, from the moment
//! on at which the application waits for it.
//!
//! One body at a time, and one request at a time. What a member leaves unanswered or does not have is
//! asked of the next. The chunks of one body may come from several members; a body whose digest does
//! not fit is thrown away whole and fetched again from the next.

use bytes::Bytes;
use weald_core::{PeerId, Time};

use super::SubscriberConfig;
use crate::{
    BodyAnswer, BodyRequest, LargeMessage, TopicItem, TopicPosition, limits::BODY_CHUNKS_MAX,
};

/// What a subscriber fetches.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Fetching {
    /// The last request, so that answers to earlier ones are told apart.
    number: u64,
    /// Failures since the stream was opened: they name the member that is asked next.
    failures: u32,
    body: Option<Body>,
}

/// The body that is fetched.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Body {
    position: TopicPosition,
    message: LargeMessage,
    /// The first chunks.
    chunks: Vec<Bytes>,
    /// Failures since something came.
    failures: u32,
    step: Step,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Step {
    /// Nobody was asked for what comes next.
    New,
    /// Nobody is asked before this.
    Pausing(Time),
    /// The member was asked and has until then.
    Asked { member: PeerId, by: Time, request: BodyRequest },
    /// What the application gets.
    Done(TopicItem),
}

impl Fetching {
    /// What the application gets at a position where a large message stands; `None` until that is here.
    pub(super) fn settle(
        &mut self,
        (position, message): (TopicPosition, &LargeMessage),
    ) -> Option<TopicItem> {
        match &self.body {
            Some(body) if body.position == position => {
                let Step::Done(item) = &body.step else { return None };
                let item = item.clone();
                self.body = None;
                Some(item)
            }
            _ => {
                let (message, chunks) = (message.clone(), Vec::new());
                self.body = Some(Body { position, message, chunks, failures: 0, step: Step::New });
                None
            }
        }
    }

    /// Gives up what is fetched: it is not wanted any more.
    pub(super) fn forget(&mut self) {
        self.body = None;
    }

    /// A stream was opened: its member is asked first.
    pub(super) fn prefer_the_first(&mut self) {
        self.failures = 0;
    }

    /// Whether somebody is to be asked at once.
    pub(super) fn is_new(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.step == Step::New)
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Time> {
        match self.body.as_ref()?.step {
            Step::New => Some(Time::ZERO),
            Step::Pausing(at) | Step::Asked { by: at, .. } => Some(at),
            Step::Done(_) => None,
        }
    }

    /// The request that is due, and whom it goes to. `members` are those that may have the body, in
    /// the order in which they are asked.
    pub(super) fn poll_request(
        &mut self,
        now: Time,
        config: &SubscriberConfig,
        members: &[PeerId],
    ) -> Option<(u64, PeerId, BodyRequest)> {
        if let Some(Step::Asked { by, .. }) = self.body.as_ref().map(|body| &body.step)
            && *by <= now
        {
            self.fail(now, config);
        }
        let body = self.body.as_mut()?;
        let is_due = match body.step {
            Step::New => true,
            Step::Pausing(at) => at <= now,
            Step::Asked { .. } | Step::Done(_) => false,
        };
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        if !is_due || count == 0 {
            return None;
        }
        let member = members[usize::try_from(self.failures % count).ok()?];
        let request = body.request();
        self.number += 1;
        let by = now.after(config.body_timeout);
        body.step = Step::Asked { member, by, request };
        Some((self.number, member, request))
    }

    /// Takes an answer. Returns the member whose answer is not what was asked for, with the position.
    pub(super) fn handle_answer(
        &mut self,
        now: Time,
        config: &SubscriberConfig,
        (number, answer): (u64, BodyAnswer),
    ) -> Option<(PeerId, TopicPosition)> {
        let body = self.body.as_mut().filter(|_| number == self.number)?;
        let Step::Asked { member, request, .. } = body.step else { return None };
        match body.took(&request, answer) {
            Took::Something => None,
            Took::Nothing => {
                self.fail(now, config);
                None
            }
            Took::Wrong => {
                let position = body.position;
                body.chunks.clear();
                self.fail(now, config);
                Some((member, position))
            }
        }
    }

    /// The member that was asked did not help: after a pause, the next one is.
    fn fail(&mut self, now: Time, config: &SubscriberConfig) {
        let Some(body) = &mut self.body else { return };
        body.step = Step::Pausing(now.after(config.pause(body.failures)));
        body.failures = body.failures.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
    }
}

/// What an answer was good for.
enum Took {
    Something,
    Nothing,
    Wrong,
}

impl Body {
    /// Asks for the chunks that come next.
    fn request(&self) -> BodyRequest {
        let first = u32::try_from(self.chunks.len()).expect("a body has few chunks");
        let count = self.message.chunk_count().saturating_sub(first).min(BODY_CHUNKS_MAX);
        let (position, digest) = (self.position, self.message.body_digest);
        BodyRequest { position, digest, first, count }
    }

    fn took(&mut self, request: &BodyRequest, answer: BodyAnswer) -> Took {
        let chunks = match answer {
            BodyAnswer::Chunks(chunks) => chunks,
            BodyAnswer::NotHere => return Took::Nothing,
            BodyAnswer::Gone => {
                let (first, last) = (self.position, self.position);
                self.step = Step::Done(TopicItem::Gone { first, last });
                return Took::Something;
            }
        };
        if !self.message.fits(&chunks, request.range(&self.message)) {
            return Took::Wrong;
        }
        self.chunks.extend(chunks);
        self.failures = 0;
        self.step = Step::New;
        if self.request().count > 0 {
            return Took::Something;
        }
        let Some(message) = self.message.with_body(&self.chunks) else { return Took::Wrong };
        self.chunks.clear();
        self.step = Step::Done(TopicItem::Message { position: self.position, message });
        Took::Something
    }
}
