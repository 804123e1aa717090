//! A topic against a model: any sequence of operations through the real executor, with time that passes. Positions
//! are dense, a message has one, nothing expired is read, each group gives a message to one consumer at a time, and the
//! pages are those of their content.

mod asking;
mod groups;
mod model;
mod reading;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use weald_collections::{CollectionExecutor, Registry};
use weald_core::limits::TransactionLimits;
use weald_core::{
    Action, Context, CreateMode, Executed, LogIndex, PlacementKey, Rejection, Time, TransactionId,
    TypeSet, identity::KeyStore,
};
use weald_pubsub::limits::BODY_CHUNK_BYTES;
use weald_pubsub::{Rate, Topic, TopicPolicy, TopicRefusal, TopicType};

use self::model::Model;
use crate::member::Members;
use crate::script::Script;
use crate::topics::{PEOPLE, address};

static EXECUTOR: LazyLock<CollectionExecutor> = LazyLock::new(|| {
    let mut registry = Registry::new();
    registry.register(Arc::new(TopicType::default())).expect("a type of a new name");
    CollectionExecutor::new(registry)
});

/// Bytes of the largest body that the topic allows: of three chunks.
const BODY_BYTES_MAX: usize = 2 * BODY_CHUNK_BYTES + 1;
/// Operations of one input.
const STEPS_MAX: usize = 60;

/// A partition with a topic, and what is known of it.
struct World {
    members: Members,
    policy: TopicPolicy,
    model: Model,
    index: u64,
    now: Time,
    /// Higher than any nonce before.
    nonce: u64,
}

/// Reads `data` as a policy and operations.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let members = Members::new(&EXECUTOR);
    let members = if script.byte().is_multiple_of(8) { members } else { members.alone() };
    let mut world = World::new(members, policy(&mut script));
    for _ in 0..STEPS_MAX {
        if script.is_finished() {
            break;
        }
        world.step(&mut script);
        world.check_briefly();
    }
    world.check();
}

/// Rules of which some are met soon.
fn policy(script: &mut Script<'_>) -> TopicPolicy {
    let byte = script.byte();
    let has = |bit: u8| byte >> bit & 1 == 1;
    let plain = TopicPolicy { owner: Some(PEOPLE[0].public()), ..TopicPolicy::default() };
    TopicPolicy {
        messages_max: if has(0) { 20 } else { plain.messages_max },
        bytes_max: if has(1) { 2_000 } else { plain.bytes_max },
        publishers_max: if has(2) { 4 } else { plain.publishers_max },
        subscribers_max: if has(3) { 5 } else { plain.subscribers_max },
        is_strict: has(4),
        inactivity: if has(5) { Duration::from_secs(3600) } else { plain.inactivity },
        publish_rate: match has(6) {
            true => Rate { burst: 30, interval_micros: 1_000_000 },
            false => plain.publish_rate,
        },
        attempts_max: if has(7) { 2 } else { plain.attempts_max },
        body_bytes_max: BODY_BYTES_MAX,
        ..plain
    }
}

impl World {
    fn new(members: Members, policy: TopicPolicy) -> Self {
        let mut world = Self {
            members,
            policy: policy.clone(),
            model: Model::default(),
            index: 0,
            now: Time::from_millis(10_000_000),
            nonce: 1,
        };
        let made = world.execute(topic().create(CreateMode::Create, policy, None));
        made.expect("the policy allows something");
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=2 => self.publish(script),
            3 | 4 => self.publish_batch(script),
            5 => self.repeat(script),
            6 => self.skip(script),
            7 | 8 => self.lease(script),
            9 | 10 => self.fetch(script),
            11 => self.settle(script),
            12 => self.prune(script),
            13 => self.wait(script),
            14 => self.administer(script),
            _ => self.check(),
        }
    }

    fn wait(&mut self, script: &mut Script<'_>) {
        let seconds = [1, 10, 61, 600, 7_200, 3 * 24 * 3_600, 8 * 24 * 3_600][script.below(7)];
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// Executes one action; its answer.
    fn execute(&mut self, action: Action) -> Result<Bytes, Rejection> {
        self.index += 1;
        let mut unique = [0; 16];
        unique[..8].copy_from_slice(&self.index.to_le_bytes());
        let context = Context {
            transaction: TransactionId::new(PlacementKey::of(&action.collection), unique),
            index: LogIndex(self.index),
            time: self.now,
            limits: TransactionLimits::default(),
            types: TypeSet::built_in(),
        };
        match self.members.execute(&context, &[action]) {
            Executed::Done { mut answers, .. } => Ok(answers.remove(0)),
            Executed::Refused(rejection) => Err(rejection),
        }
    }
}

/// The topic.
fn topic() -> Topic {
    Topic::new(address())
}

/// Whether `rejection` is `refusal`, whatever it tells.
fn is(rejection: &Rejection, refusal: &TopicRefusal) -> bool {
    matches!(rejection, Rejection::Custom { code, .. } if *code == refusal.code())
}
