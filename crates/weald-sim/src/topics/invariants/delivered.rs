//! INV9: a topic is complete and exactly once at the API. Each application is shown every position,
//! one after the other: the message that the topic has there, or that it is gone when it is. What a
//! publisher was told is true. A cursor is never ahead of what was shown.

use std::collections::BTreeMap;

use weald_core::Time;
use weald_pubsub::{Event, TopicPosition};

use super::{Invariant, Seen, Truth, address};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// The position that each subscriber is shown next.
    next: BTreeMap<u8, TopicPosition>,
}

impl Invariant for Delivered {
    fn name(&self) -> &'static str {
        Truth::NAME
    }

    fn see(&mut self, seen: &Seen<'_>, truth: &Truth) -> Result<(), String> {
        match *seen {
            Seen::Acknowledged { publisher, sequence, published } => {
                let found = truth.at(published.position);
                let is_there = found.is_some_and(|accepted| {
                    accepted.id == published.id && accepted.source == (publisher, sequence)
                });
                is_there.then_some(()).ok_or_else(|| format!("{published:?} is not in the topic"))
            }
            Seen::Began { subscriber, cursor } => self.begin(subscriber, cursor),
            Seen::Shown { subscriber, event, log_time } => {
                let next = self.next.entry(subscriber).or_default();
                show(next, (event, log_time), truth)
                    .map_err(|what| format!("subscriber {subscriber}, {what}"))
            }
            Seen::Ended { subscriber } => {
                let next = self.next.get(&subscriber).copied().unwrap_or_default();
                let is_complete = next == truth.next();
                let missing = || format!("{subscriber} was shown what is before {next}");
                is_complete.then_some(()).ok_or_else(missing)
            }
            _ => Ok(()),
        }
    }
}

impl Delivered {
    fn begin(&mut self, subscriber: u8, cursor: TopicPosition) -> Result<(), String> {
        let next = self.next.entry(subscriber).or_insert(TopicPosition(1));
        if cursor >= *next {
            return Err(format!(
                "{subscriber} begins after {cursor}, was shown what is before {next}"
            ));
        }
        *next = cursor.next();
        Ok(())
    }
}

/// What an application is shown is what comes next.
fn show(
    next: &mut TopicPosition,
    (event, log_time): (&Event, Time),
    truth: &Truth,
) -> Result<(), String> {
    match event {
        Event::Message { position, message, .. } => {
            let id = message.id(&address());
            let is_it = truth.at(*position).is_some_and(|accepted| accepted.id == id);
            if position != next || !is_it {
                return Err(format!("whom {next} comes next is shown {position} as {id}"));
            }
            *next = position.next();
        }
        Event::Gap { first, last } => {
            let mut positions = (first.0..=last.0).map(TopicPosition);
            let is_right = first == next && first <= last;
            let kept = positions.find(|position| !truth.may_be_gone(*position, log_time));
            if !is_right || kept.is_some() {
                return Err(format!(
                    "whom {next} comes next is told that {first} to {last} are gone"
                ));
            }
            *next = last.next();
        }
        Event::CaughtUp { next: end } => {
            if end > next || *end > truth.next() {
                return Err(format!("whom {next} comes next is told to have come up to {end}"));
            }
        }
        Event::Lagged { .. } => {}
        Event::Reset { generation } => return Err(format!("generation {generation} begins")),
    }
    Ok(())
}
