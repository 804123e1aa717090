//! Groups of the topic: what was given to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weald_core::identity::KeyStore;
use weald_core::{PeerId, Time};
use weald_pubsub::limits::FRESHNESS;
use weald_pubsub::{
    Given, GroupAction, GroupAnswer, GroupRequest, GroupState, Holding, Signed, TopicPosition,
};

use super::{World, topic};
use crate::script::Script;
use crate::topics::{PEOPLE, address};

const NAMES: [&str; 2] = ["workers", "others"];

/// A group.
#[derive(Default)]
pub(super) struct GroupModel {
    /// What was given and not acknowledged, with its last consumer.
    held: BTreeMap<TopicPosition, Holding>,
    done: BTreeSet<TopicPosition>,
    /// The last nonce of each consumer, and when it came.
    nonces: BTreeMap<PeerId, (u64, Time)>,
}

impl GroupModel {
    /// Takes that a request was granted.
    fn admit(&mut self, consumer: PeerId, nonce: u64, now: Time) {
        if let Some((highest, at)) = self.nonces.insert(consumer, (nonce, now)) {
            let is_kept = now.since(at) <= FRESHNESS * 2;
            assert!(!is_kept || nonce > highest, "a request was granted twice");
        }
    }

    fn give(&mut self, given: &Given, holding: Holding, now: Time) {
        assert!(!self.done.contains(&given.position), "it was done: {given:?}");
        let before = self.held.insert(given.position, holding);
        let attempts = before.map_or(0, |before| {
            assert!(before.deadline <= now, "it is another's: {given:?} {before:?}");
            before.attempt
        });
        assert_eq!(given.attempt, attempts + 1, "{given:?}");
        assert_eq!(given.deadline, holding.deadline, "{given:?}");
    }

    /// What the topic says it has given is what it was seen to give.
    pub(super) fn check(&self, state: &GroupState) {
        for (position, holding) in &state.given {
            assert_eq!(self.held.get(position), Some(holding), "held: position={position}");
        }
        for letter in &state.dead {
            let held = self.held.get(&letter.position);
            assert_eq!(held.map(|held| held.attempt), Some(letter.attempts), "{letter:?}");
        }
    }
}

impl World {
    pub(super) fn fetch(&mut self, script: &mut Script<'_>) {
        let max = script.below(8);
        let deadline =
            self.now.after(Duration::from_secs([0, 1, 30, 3_600, 3_601][script.below(5)]));
        let start = TopicPosition(script.below(4) as u64);
        let Some((consumer, name, answer)) =
            self.consume(script, GroupAction::Fetch { max, deadline, start })
        else {
            return;
        };
        let GroupAnswer::Given(given) = answer else { panic!("a fetch gives: {answer:?}") };
        assert!(given.len() <= max, "more than was asked for");
        for given in &given {
            let message = self.model.at(given.position);
            assert!(message.expires_at > self.now, "it has expired: {given:?}");
            assert_eq!(message.revived, self.model.revived, "it is gone: {given:?}");
            assert!(given.attempt <= self.policy.attempts_max, "{given:?}");
            let holding = Holding { consumer, deadline, attempt: given.attempt };
            let group = self.model.groups.get_mut(&name).expect("it was asked");
            group.give(given, holding, self.now);
        }
    }

    pub(super) fn settle(&mut self, script: &mut Script<'_>) {
        let end = self.model.accepted.len() + 2;
        let positions: Vec<_> =
            (0..script.below(6)).map(|_| TopicPosition(script.below(end) as u64)).collect();
        let action = match script.byte() % 4 {
            0 => GroupAction::Return(positions.clone()),
            1 => GroupAction::Bury(positions.clone()),
            _ => GroupAction::Acknowledge(positions.clone()),
        };
        let Some((consumer, name, answer)) = self.consume(script, action.clone()) else { return };
        let GroupAnswer::Settled(settled) = answer else { panic!("it settles: {answer:?}") };
        assert_eq!(settled.len(), positions.len());
        let group = self.model.groups.get_mut(&name).expect("it was asked");
        for (position, is_settled) in positions.into_iter().zip(settled) {
            if !is_settled {
                continue;
            }
            let held = group.held.get_mut(&position).expect("it was given");
            match action {
                GroupAction::Acknowledge(_) => {
                    assert_eq!(held.consumer, consumer, "it was another's");
                    group.held.remove(&position);
                    group.done.insert(position);
                }
                GroupAction::Return(_) => {
                    assert_eq!(held.consumer, consumer, "it was another's");
                    held.deadline = Time::ZERO;
                }
                _ => assert!(held.attempt >= self.policy.attempts_max, "it was not given up"),
            }
        }
    }

    /// Asks as one of the consumers; the answer, if it was granted.
    fn consume(
        &mut self,
        script: &mut Script<'_>,
        action: GroupAction,
    ) -> Option<(PeerId, String, GroupAnswer)> {
        let keys = &PEOPLE[script.below(PEOPLE.len())];
        let name = NAMES[script.below(NAMES.len())].to_owned();
        let (nonce, signed_at) = (self.nonce(script), self.signed_at(script));
        let request = GroupRequest { group: name.clone(), nonce, signed_at, action };
        let signed = Signed::new(&address(), request, keys).expect("a key in memory signs");
        let answered = self.execute(topic().consume(signed));
        let is_possible = self.is_fresh(signed_at) && !self.model.has_ended;
        assert!(is_possible || answered.is_err(), "an old request, or of a topic that has ended");
        let answer = GroupAnswer::decode(&answered.ok()?).expect("an answer to a group");
        let consumer = keys.public().peer_id();
        let group = self.model.groups.entry(name.clone()).or_default();
        group.admit(consumer, nonce, self.now);
        Some((consumer, name, answer))
    }

    /// Compares the groups with what the topic says of them.
    pub(super) fn check_groups(&mut self) {
        let reader = &mut self.members.reader();
        self.model.groups.retain(|name, group| {
            let state = topic().group(reader, name).expect("the topic is there");
            // One that nobody used for long is forgotten.
            state.inspect(|state| group.check(state)).is_some()
        });
    }
}
