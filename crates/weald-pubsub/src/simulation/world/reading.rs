//! What members read of the topic, each as far as it has applied it.

use super::{World, index};
use crate::{BodyAnswer, BodyRequest, Part, TopicPage, TopicPosition, testing::topic};

impl World {
    /// The topic as a member that has applied it up to `end` reads it.
    pub(super) fn read(&self, from: TopicPosition, limit: usize, end: TopicPosition) -> TopicPage {
        let limit = limit.min(7);
        let page = topic().read_lazily(&mut self.site.reader(), from, (limit, self.now)).unwrap();
        let part = Part { from, items: page.items, next: page.next, end };
        let part = part.within(from, end);
        TopicPage { items: part.items, next: part.next, end }
    }

    /// A part of a body, as a member has it.
    pub(super) fn body(&self, nth: u64, request: &BodyRequest) -> BodyAnswer {
        if request.position >= self.members[index(nth)].applied {
            return BodyAnswer::NotHere;
        }
        topic().body(&mut self.site.reader(), request, self.now).unwrap()
    }
}
