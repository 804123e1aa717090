//! Tries to bring to a topic what must not come: each attempt as a real node would hand it in, signed or not.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use weald::{
    Message, Rate, Signed, Topic, TopicAddress, TopicId, TopicPolicy, TopicPosition, TopicRefusal,
    TopicVersion, Weald,
};
use weald_core::identity::{Identity, KeyStore as _};
use weald_core::{Action, ActionBody, Clock as _, Rejection, SeededEntropy, Time};
use weald_pubsub::{
    self as pubsub, AdminAction, AdminRequest, BatchMode, Draft, Incarnation, LeaseAction,
    LeaseRequest, PublishAnswer, PublisherSequence,
};

use super::{next_word, runtime, tell};
use crate::arguments::AttackerOptions;
use crate::clock::WallClock;
use crate::light;

/// What the topic lets a publisher do at once, and how long one more takes.
const RATE: Rate = Rate { burst: 200, interval_micros: 10_000 };
/// Messages that a flood sends, in batches of what is allowed at once.
const FLOOD_BATCHES: usize = 10;
/// Subscriptions that it begins.
const LEASES: u64 = 30;
/// How long its messages and requests last.
const LASTS: Duration = Duration::from_secs(600);
/// How long the others may take until there is something to attack.
const VICTIM_MAX: Duration = Duration::from_secs(60);
/// Stands in the messages of a flood.
const LABEL: usize = 1_000_000;

/// Attacks a topic as `options` say, once it is told to.
pub(crate) fn attack(options: &AttackerOptions) -> Result<()> {
    runtime()?.block_on(run(options))
}

async fn run(options: &AttackerOptions) -> Result<()> {
    let node = light::start(options.bootstrap.clone()).await?;
    let policy = TopicPolicy { publish_rate: RATE, ..TopicPolicy::default() };
    let topic = node.topic(&options.topic).policy(policy).open_or_create().await?;
    tell(&json!({ "ready": true }));
    ensure!(next_word().await, "nobody waits for it");
    let mut attacker = Attacker::new(&node, &topic, options.seed).await?;
    for round in 0..options.rounds {
        attacker.forge(round).await?;
        attacker.flood().await?;
    }
    attacker.subscribe_often().await?;
    node.close().await?;
    Ok(())
}

struct Attacker<'a> {
    node: &'a Weald,
    topic: &'a Topic,
    code: pubsub::Topic,
    keys: Identity,
    /// A message of somebody else, and the subscriptions of others.
    victim: Message,
    /// The next of its own sequences.
    next: u64,
}

/// An attempt, and the refusal that is due; `None` for any.
type Attempt = (&'static str, Action, Option<TopicRefusal>);

impl<'a> Attacker<'a> {
    async fn new(node: &'a Weald, topic: &'a Topic, seed: u64) -> Result<Self> {
        let begun = Instant::now();
        let victim = loop {
            if let Some(message) = topic.message(TopicPosition(1)).await? {
                break message;
            }
            ensure!(begun.elapsed() < VICTIM_MAX, "nobody publishes");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let keys = Identity::generate(&mut SeededEntropy::new(seed));
        let code = pubsub::Topic::new(*topic.address());
        Ok(Self { node, topic, code, keys, victim, next: 1 })
    }

    /// Everything that must be refused for what it is.
    async fn forge(&self, round: usize) -> Result<()> {
        let leases = self.topic.subscribers(TopicVersion::ZERO).await?;
        for (name, action, due) in self.attempts(round).await? {
            let refused = match self.node.act([action]).await {
                Ok(_) => None,
                Err(error) => Some(error.rejection().cloned().with_context(|| error.to_string())?),
            };
            let held = match (&refused, due) {
                (Some(Rejection::Custom { code, .. }), Some(due)) => *code == due.code(),
                (Some(_), None) => true,
                _ => false,
            };
            let got = refused.map_or_else(|| String::from("accepted"), |r| r.to_string());
            tell(&json!({ "attack": name, "held": held, "got": got }));
        }
        self.replay().await?;
        let after = self.topic.subscribers(TopicVersion::ZERO).await?;
        let others = |leases: &[weald::Lease]| -> Vec<weald::Lease> {
            let own = self.keys.public().peer_id();
            leases.iter().filter(|lease| lease.id.peer != own).copied().collect()
        };
        let held = others(&leases) == others(&after) && !others(&after).is_empty();
        let got = format!("{} leases of others", others(&after).len());
        tell(&json!({ "attack": "the subscriptions of others", "held": held, "got": got }));
        Ok(())
    }

    async fn attempts(&self, round: usize) -> Result<Vec<Attempt>> {
        let now = now();
        let (generation, max) =
            (self.topic.head().await?.generation, self.topic.policy().body_bytes_max);
        let bad = || Some(TopicRefusal::BadSignature);
        let one = |message: Message| self.code.publish(vec![message], BatchMode::Whole);
        let own = self.message(self.next, format!("{{\"round\":{round}}}"))?;
        let forged = Message { publisher: self.victim.publisher, ..own.clone() };
        let altered = Message { body: "{}".into(), ..self.victim.clone() };
        let prolonged =
            Message { expires_at: self.victim.expires_at.after(LASTS), ..self.victim.clone() };
        let elsewhere = TopicAddress { topic: TopicId::of("another"), ..*self.topic.address() };
        let strange = Message::sign(&elsewhere, self.draft(self.next, "{}".into()), &self.keys)?;
        let large = self.message(self.next, "x".repeat(max + 1))?;
        let ahead = self.message(self.next + 1000, String::from("{}"))?;
        let mut garbage = one(own);
        garbage.body = ActionBody::Apply(b"\x01\x89 no operation".as_slice().into());
        let delete = AdminRequest { signed_at: now, generation, action: AdminAction::Delete };
        let delete = Signed::new(self.topic.address(), delete, &self.keys)?;
        let too_large = TopicRefusal::TooLarge { bytes: 0, max: 0 };
        let gap = TopicRefusal::SequenceGap { expected: PublisherSequence(0) };
        let mut attempts = vec![
            ("a message in another's name", one(forged), bad()),
            ("another's message with another body", one(altered), bad()),
            ("another's message with another expiry", one(prolonged), bad()),
            ("a message signed for another topic", one(strange), bad()),
            ("a message that is too large", one(large), Some(too_large)),
            ("a jump of the sequence", one(ahead), Some(gap)),
            ("bytes that are no operation", garbage, None),
            ("a deletion by a stranger", self.code.administer(delete), Some(TopicRefusal::Denied)),
        ];
        attempts.extend(self.lease_attempts(now).await?);
        Ok(attempts)
    }

    /// Renewals and ends of subscriptions that are not the attacker's.
    async fn lease_attempts(&self, now: Time) -> Result<Vec<Attempt>> {
        let leases = self.topic.subscribers(TopicVersion::ZERO).await?;
        let victim = leases.first().context("nobody subscribes")?;
        let request = |action| LeaseRequest {
            action,
            stream: victim.id.stream,
            nonce: victim.nonce + 1,
            signed_at: now,
            expires_at: now.after(LASTS),
            last_seen: TopicPosition(0),
        };
        let mut attempts = Vec::new();
        for (action, of_another, of_oneself) in [
            (
                LeaseAction::Renew,
                "a renewal in another's name",
                "a renewal of another's subscription",
            ),
            (
                LeaseAction::Unsubscribe,
                "an end in another's name",
                "an end of another's subscription",
            ),
        ] {
            let own = Signed::new(self.topic.address(), request(action), &self.keys)?;
            let forged = Signed { key: self.victim.publisher, ..own.clone() };
            attempts.push((of_another, self.code.lease(forged), Some(TopicRefusal::BadSignature)));
            attempts.push((of_oneself, self.code.lease(own), Some(TopicRefusal::NotSubscribed)));
        }
        Ok(attempts)
    }

    /// A message of another, byte for byte: it has its first position, and takes none.
    async fn replay(&self) -> Result<()> {
        let action = self.code.publish(vec![self.victim.clone()], BatchMode::Whole);
        let acted = self.node.act([action]).await?;
        let answer = PublishAnswer::decode(acted.answers.first().context("no answer")?)?;
        let result = answer.results.first().cloned().context("no result")?;
        let is_first = |published: pubsub::Published| {
            published.position == TopicPosition(1) && !published.is_new
        };
        let held = matches!(result, Ok(Some(published)) if is_first(published));
        tell(
            &json!({ "attack": "a message of another again", "held": held, "got": format!("{result:?}") }),
        );
        Ok(())
    }

    /// More than the rate allows, at once.
    async fn flood(&mut self) -> Result<()> {
        let (begun, mut accepted, mut limited) = (Instant::now(), 0, 0);
        let batch = u64::from(RATE.burst);
        for _ in 0..FLOOD_BATCHES {
            let bodies = (self.next..self.next + batch)
                .map(|sequence| (sequence, json!({ "p": LABEL, "i": sequence }).to_string()));
            let messages: Result<Vec<_>> =
                bodies.map(|(sequence, body)| self.message(sequence, body)).collect();
            let acted = self.node.act([self.code.publish(messages?, BatchMode::Each)]).await?;
            let answer = PublishAnswer::decode(acted.answers.first().context("no answer")?)?;
            let taken = answer.results.iter().filter(|result| result.is_ok()).count();
            limited += usize::from(answer.results.contains(&Err(TopicRefusal::RateLimited)));
            accepted += taken;
            self.next += u64::try_from(taken)?;
        }
        let passed = u64::try_from(begun.elapsed().as_micros())? / u64::from(RATE.interval_micros);
        let allowed = batch + passed + 1;
        let held = limited > 0 && u64::try_from(accepted)? <= allowed;
        let got = format!("{accepted} accepted, {allowed} allowed, limited {limited} times");
        tell(&json!({ "attack": "a flood of messages", "held": held, "got": got }));
        Ok(())
    }

    /// More subscriptions than one peer may have.
    async fn subscribe_often(&self) -> Result<()> {
        let mut accepted = 0;
        for stream in 0..LEASES {
            let now = now();
            let request = LeaseRequest {
                action: LeaseAction::Subscribe,
                stream,
                nonce: now.as_millis(),
                signed_at: now,
                expires_at: now.after(LASTS),
                last_seen: TopicPosition(0),
            };
            let signed = Signed::new(self.topic.address(), request, &self.keys)?;
            accepted += usize::from(self.node.act([self.code.lease(signed)]).await.is_ok());
        }
        let (held, max) =
            (accepted == pubsub::limits::PEER_LEASES_MAX, pubsub::limits::PEER_LEASES_MAX);
        let got = format!("{accepted} of {LEASES} accepted, {max} allowed");
        tell(&json!({ "attack": "a flood of subscriptions", "held": held, "got": got }));
        Ok(())
    }

    fn message(&self, sequence: u64, body: String) -> Result<Message> {
        Ok(Message::sign(self.topic.address(), self.draft(sequence, body), &self.keys)?)
    }

    fn draft(&self, sequence: u64, body: String) -> Draft {
        let now = now();
        Draft {
            incarnation: Incarnation(1),
            sequence: PublisherSequence(sequence),
            published_at: now,
            expires_at: now.after(LASTS),
            body: body.into(),
        }
    }
}

fn now() -> Time {
    WallClock.now()
}
