//! What has arrived, put in order: parts without holes for the events, holes to ask for.

use std::collections::BTreeMap;

use crate::{Part, TopicItem, TopicPosition, limits::SUBSCRIBER_PARTS_MAX};

/// Parts of a topic around the next position that is wanted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Window {
    /// The next position that has not arrived.
    next: TopicPosition,
    /// The first that the member may not send yet.
    until: TopicPosition,
    /// What that was before the generation that began last: parts that were asked for then may come.
    until_before: TopicPosition,
    /// The end of the topic as far as it is known.
    end: TopicPosition,
    /// Parts ahead of `next`, by their first position.
    ahead: BTreeMap<TopicPosition, Part>,
    /// The hole that was asked for last.
    asked: Option<(TopicPosition, TopicPosition)>,
}

/// What became of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It says something.
    Heard,
    /// It contradicts itself, or was asked for in an earlier generation.
    Ignored,
    /// It goes beyond what the member may send.
    Beyond,
}

impl Window {
    pub(super) const fn new(cursor: TopicPosition) -> Self {
        Self {
            next: cursor.next(),
            until: TopicPosition::ZERO,
            until_before: TopicPosition::ZERO,
            end: TopicPosition::ZERO,
            ahead: BTreeMap::new(),
            asked: None,
        }
    }

    pub(super) const fn end(&self) -> TopicPosition {
        self.end
    }

    /// Notes how far the topic reaches.
    pub(super) fn note_end(&mut self, end: TopicPosition) {
        self.end = self.end.max(end);
    }

    /// Whether as much has arrived as the member may send.
    pub(super) fn is_full(&self) -> bool {
        self.next >= self.until
    }

    /// What a member is asked when a stream begins: from the next position on, as far as the
    /// application allows.
    pub(super) fn open(
        &mut self,
        taken: TopicPosition,
        window: u64,
    ) -> (TopicPosition, TopicPosition) {
        self.asked = None;
        self.until = self.until.max(limit_of(taken, window));
        (self.next, self.until)
    }

    /// The limit for the member, once the application has moved on by half a window.
    pub(super) fn moved_on(&mut self, taken: TopicPosition, window: u64) -> Option<TopicPosition> {
        let until = limit_of(taken, window);
        let is_far = until.0.saturating_sub(self.until.0) >= (window / 2).max(1);
        is_far.then(|| {
            self.until = until;
            until
        })
    }

    /// Begins anew, for another generation.
    pub(super) fn reset(&mut self) {
        let until_before = self.until.max(self.until_before);
        *self = Self { until_before, ..Self::new(TopicPosition::ZERO) };
    }

    /// Keeps a part that is whole and within what the member may send.
    pub(super) fn take(&mut self, part: Part) -> Taken {
        if part.next > self.until.max(self.until_before) {
            return Taken::Beyond;
        }
        if part.next > self.until || !is_whole(&part) {
            return Taken::Ignored;
        }
        self.end = self.end.max(part.end);
        if part.next <= self.next {
            return Taken::Heard;
        }
        let has_room = self.ahead.len() < SUBSCRIBER_PARTS_MAX;
        let is_longer = self.ahead.get(&part.from).is_none_or(|known| known.next < part.next);
        if is_longer && (has_room || part.from <= self.next) {
            self.ahead.insert(part.from, part);
        }
        Taken::Heard
    }

    /// The part that comes next, cut to what has not arrived before.
    pub(super) fn poll_part(&mut self) -> Option<Part> {
        loop {
            let first = self.ahead.first_entry().filter(|first| *first.key() <= self.next)?;
            let part = first.remove();
            if part.next > self.next {
                let part = part.within(self.next, part.next);
                self.next = part.next;
                return Some(part);
            }
        }
    }

    /// The hole before the parts that are ahead, once.
    pub(super) fn poll_hole(&mut self) -> Option<(TopicPosition, TopicPosition)> {
        let (first, _) = self.ahead.first_key_value()?;
        let hole = Some((self.next, *first));
        if self.asked == hole {
            return None;
        }
        self.asked = hole;
        hole
    }

    /// Another member may cut its parts otherwise, and was asked for nothing before.
    pub(super) fn forget_parts(&mut self) {
        self.until_before = TopicPosition::ZERO;
        self.ahead.clear();
        self.asked = None;
    }
}

fn limit_of(taken: TopicPosition, window: u64) -> TopicPosition {
    TopicPosition(taken.0.saturating_add(1).saturating_add(window.max(1)))
}

/// Whether the items of a part are all of it, in order, and may be. A member that lies here is not
/// believed.
fn is_whole(part: &Part) -> bool {
    let mut at = part.from;
    for item in &part.items {
        let (first, last) = item.range();
        let is_sound = match item {
            TopicItem::Large { message, .. } => message.is_sound(),
            TopicItem::Message { .. } | TopicItem::Gone { .. } => true,
        };
        if first != at || last < first || !is_sound {
            return false;
        }
        at = last.next();
    }
    at == part.next
}
