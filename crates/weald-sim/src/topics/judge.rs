//! How a run of a topic ends: faults stop, everything arrives, and all are shown to be complete.

use weald_core::LogIndex;
use weald_pubsub::{Standing, Subscriber};

use super::{AGREEMENT, Event, Seen, Topics, topic};
use crate::world::World;

/// How far log time may be ahead for subscriptions to be judged, ms: a lease that a subscriber makes by
/// its own clock would be over before it begins.
const AHEAD_MAX: u128 = 5_000;

/// How often it is asked whether all has arrived, us.
const LOOK: u64 = 50_000;

impl Topics {
    /// Faults end. Publishers stop, and everything that was said has to arrive at every subscriber.
    pub(super) fn close(&mut self) {
        if self.violation.is_some() {
            return;
        }
        self.world.mend_all();
        self.follow();
        let until = self.now.after(AGREEMENT);
        self.run_while(until, |topics| !topics.is_founded);
        // A last subscriber comes when all is there.
        let last = self.subscribers.keys().next_back().copied();
        self.run_while(until, |topics| !topics.has_begun());
        self.is_open = false;
        if let Some(last) = last {
            self.schedule.add(self.now, Event::Begin(last));
        }
        if self.other.is_some() {
            self.schedule.add(self.now, Event::Compare);
        }
        while self.violation.is_none() && self.now < until && !self.is_quiet() {
            self.run_until(self.now.after(LOOK));
        }
        if self.violation.is_none() && !self.is_quiet() {
            self.fail("liveness", self.summary());
        }
        for subscriber in self.subscribers.keys().copied().collect::<Vec<_>>() {
            self.see(&Seen::Ended { subscriber });
        }
    }

    fn has_begun(&self) -> bool {
        self.subscribers.values().all(|subscriber| subscriber.machine.is_some())
    }

    /// Nothing is on its way any more.
    fn is_quiet(&mut self) -> bool {
        let next = self.oracle.next();
        self.publishers.values().all(|actor| actor.publisher.outbox().is_empty())
            && self.subscribers.values().all(|subscriber| {
                let seen = subscriber.machine.as_ref().map(Subscriber::last_seen);
                seen.is_some_and(|seen| seen.next() == next)
            })
            && self.world.is_settled(LogIndex::ZERO)
            && self.are_leased()
            && self.lacks_nothing()
    }

    /// Whether each subscription is known to the topic.
    fn are_leased(&self) -> bool {
        let ahead = self.log_time().since(self.wall()).as_millis();
        if ahead > AHEAD_MAX {
            return true;
        }
        let coordinator = self.world.coordinator();
        let process = coordinator.and_then(|name| self.world.nodes[&name].process.as_ref());
        let Some(machine) = process.and_then(|process| process.machine.real()) else {
            return false;
        };
        self.subscribers.values().all(|subscriber| {
            let id = subscriber.subscriber_id();
            let lease = machine.topic(|reader| topic().lease_of(reader, &id)).flatten();
            lease.is_some_and(|lease| lease.standing == Standing::Live)
        })
    }

    /// Whether everything of the other head is in the topic.
    fn lacks_nothing(&mut self) -> bool {
        if self.other.is_none() {
            return true;
        }
        let Some(name) = self.world.coordinator() else { return false };
        self.compare_at(name) == Some(0)
    }

    fn summary(&self) -> String {
        let waiting = self.publishers.values().map(|actor| actor.publisher.outbox().len());
        let waiting: Vec<_> = waiting.collect();
        let seen = self.subscribers.values().map(|s| s.machine.as_ref().map(Subscriber::last_seen));
        let (seen, next): (Vec<_>, _) = (seen.collect(), self.oracle.next());
        let (leased, world) = (self.are_leased(), World::summary(&self.world));
        format!("{waiting:?} wait; {seen:?} shown before {next}; leased: {leased}; {world}")
    }
}
