//! Groups: consumers that share the messages of a topic, each message to one of them, until somebody
//! acknowledges it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weald_collections::Stop;
use weald_core::{PeerId, Time, codec};

use super::{
    Given, GroupAnswer,
    blocks::{records, tree_error},
    books::OpenTopic,
    refused,
};
use crate::{
    Signed, TopicPosition, TopicRefusal, kind,
    limits::{
        FRESHNESS, GROUP_CONSUMERS_MAX, GROUP_DEAD_MAX, GROUP_DEADLINE_MAX, GROUP_GIVEN_MAX,
        GROUP_NAME_BYTES_MAX, GROUPS_MAX,
    },
    signed::{GroupAction, GroupRequest},
};

/// What a topic knows of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GroupState {
    /// The first position that was never given.
    pub next: TopicPosition,
    /// What was given and is not acknowledged.
    pub given: BTreeMap<TopicPosition, Holding>,
    /// What was given too often, oldest first.
    pub dead: Vec<DeadLetter>,
    /// The highest nonce of each consumer, and when it was last used.
    pub consumers: BTreeMap<PeerId, (u64, Time)>,
    /// When the group was last used, log time.
    pub used_at: Time,
}

/// A message that a consumer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holding {
    /// The consumer.
    pub consumer: PeerId,
    /// Until when it is the consumer's, log time.
    pub deadline: Time,
    /// How often the message was given.
    pub attempt: u32,
}

/// A message that was given as often as the policy allows, and never acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The message.
    pub position: TopicPosition,
    /// How often it was given.
    pub attempts: u32,
    /// When it was given up, log time.
    pub given_up_at: Time,
}

impl GroupState {
    /// Notes a request of `consumer`.
    fn admit(&mut self, consumer: PeerId, nonce: u64, now: Time) -> Result<(), TopicRefusal> {
        // A request older than this is refused for its age, so its nonce need not be known.
        let kept = FRESHNESS * 2;
        self.consumers.retain(|_, (_, used_at)| now.since(*used_at) <= kept);
        let highest = self.consumers.get(&consumer).map_or(0, |(highest, _)| *highest);
        if nonce <= highest {
            return Err(TopicRefusal::StaleNonce { highest });
        }
        let is_full = self.consumers.len() >= GROUP_CONSUMERS_MAX;
        if is_full && !self.consumers.contains_key(&consumer) {
            let max = GROUP_CONSUMERS_MAX as u64;
            return Err(TopicRefusal::Full { what: "consumers".into(), max });
        }
        self.consumers.insert(consumer, (nonce, now));
        self.used_at = now;
        Ok(())
    }

    /// Takes back what `consumer` has done; tells whether it was its.
    fn acknowledge(&mut self, consumer: PeerId, position: TopicPosition) -> bool {
        let is_own = self.given.get(&position).is_some_and(|held| held.consumer == consumer);
        if is_own {
            self.given.remove(&position);
        }
        is_own
    }

    /// Gives back what `consumer` cannot do.
    fn give_back(&mut self, consumer: PeerId, position: TopicPosition) -> bool {
        let held = self.given.get_mut(&position).filter(|held| held.consumer == consumer);
        held.map(|held| held.deadline = Time::ZERO).is_some()
    }

    fn bury(&mut self, position: TopicPosition) -> bool {
        let before = self.dead.len();
        self.dead.retain(|letter| letter.position != position);
        self.dead.len() < before
    }

    fn give_up(&mut self, letter: DeadLetter) {
        self.given.remove(&letter.position);
        if self.dead.len() >= GROUP_DEAD_MAX {
            self.dead.remove(0);
        }
        self.dead.push(letter);
    }

    fn give(&mut self, position: TopicPosition, holding: Holding) -> Given {
        self.given.insert(position, holding);
        Given { position, attempt: holding.attempt, deadline: holding.deadline }
    }
}

impl OpenTopic<'_, '_, '_> {
    /// Gives messages to a consumer, or takes its acknowledgements.
    pub(crate) fn group(&mut self, signed: &Signed<GroupRequest>) -> Result<GroupAnswer, Stop> {
        self.check_active()?;
        let now = self.now();
        let consumer = signed.verify(&self.address, now).map_err(refused)?;
        if !self.policy.subscribers.allows(&consumer) {
            return Err(refused(TopicRefusal::Denied));
        }
        let GroupRequest { group: name, nonce, action, .. } = &signed.request;
        let mut group = self.group_state(name, action)?;
        group.admit(consumer, *nonce, now).map_err(refused)?;
        let answer = match action {
            GroupAction::Fetch { max, deadline, .. } => {
                self.check_deadline(*deadline)?;
                GroupAnswer::Given(self.fetch(&mut group, consumer, (*max, *deadline))?)
            }
            GroupAction::Acknowledge(positions) => {
                settled(positions, |position| group.acknowledge(consumer, position))
            }
            GroupAction::Return(positions) => {
                settled(positions, |position| group.give_back(consumer, position))
            }
            GroupAction::Bury(positions) => settled(positions, |position| group.bury(position)),
        };
        let value = codec::encode(kind::RECORD, &group);
        let mut tree = records(self.root.groups);
        let before = tree.put(self.scope, name.as_bytes(), &value).map_err(tree_error)?;
        self.books.groups += u64::from(before.is_none());
        Ok(answer)
    }

    fn group_state(&mut self, name: &str, action: &GroupAction) -> Result<GroupState, Stop> {
        if name.is_empty() || name.len() > GROUP_NAME_BYTES_MAX {
            let (bytes, max) = (name.len() as u64, GROUP_NAME_BYTES_MAX as u64);
            return Err(refused(TopicRefusal::TooLarge { bytes, max }));
        }
        if let Some(entry) = records(self.root.groups).get(self.scope, name.as_bytes())? {
            return self.decoded(&entry.value);
        }
        match action {
            GroupAction::Fetch { .. } if self.books.groups >= GROUPS_MAX => {
                Err(refused(TopicRefusal::Full { what: "groups".into(), max: GROUPS_MAX }))
            }
            GroupAction::Fetch { start, .. } => {
                Ok(GroupState { next: (*start).min(self.head.next), ..GroupState::default() })
            }
            _ => Err(refused(TopicRefusal::NotSubscribed)),
        }
    }

    fn check_deadline(&self, deadline: Time) -> Result<(), Stop> {
        let (from, to) = (self.now(), self.now().after(GROUP_DEADLINE_MAX));
        if from < deadline && deadline <= to {
            return Ok(());
        }
        Err(refused(TopicRefusal::Expiry { expires_at: deadline, from, to }))
    }

    /// Up to `max` messages for `consumer`: first what others let pass, then what is new.
    fn fetch(
        &mut self,
        group: &mut GroupState,
        consumer: PeerId,
        (max, deadline): (usize, Time),
    ) -> Result<Vec<Given>, Stop> {
        let mut given = Vec::new();
        let now = self.now();
        let overdue: Vec<_> = group
            .given
            .iter()
            .filter(|(_, held)| held.deadline <= now)
            .map(|(position, held)| (*position, held.attempt))
            .collect();
        for (position, attempt) in overdue {
            if !self.is_retained(position)? {
                group.given.remove(&position);
            } else if attempt >= self.policy.attempts_max {
                group.give_up(DeadLetter { position, attempts: attempt, given_up_at: now });
            } else if given.len() < max {
                let holding = Holding { consumer, deadline, attempt: attempt + 1 };
                given.push(group.give(position, holding));
            }
        }
        let room = max.saturating_sub(given.len());
        let room = room.min(GROUP_GIVEN_MAX.saturating_sub(group.given.len()));
        let messages = self.books.messages;
        for entry in messages.range(&mut self.pages(), group.next, room)? {
            group.next = entry.position.next();
            if entry.expires_at > now {
                let holding = Holding { consumer, deadline, attempt: 1 };
                given.push(group.give(entry.position, holding));
            }
        }
        Ok(given)
    }

    fn is_retained(&mut self, position: TopicPosition) -> Result<bool, Stop> {
        let (messages, now) = (self.books.messages, self.now());
        let entry = messages.get(&mut self.pages(), position)?;
        Ok(entry.is_some_and(|entry| entry.expires_at > now))
    }
}

fn settled(positions: &[TopicPosition], settle: impl FnMut(TopicPosition) -> bool) -> GroupAnswer {
    GroupAnswer::Settled(positions.iter().copied().take(GROUP_GIVEN_MAX).map(settle).collect())
}
