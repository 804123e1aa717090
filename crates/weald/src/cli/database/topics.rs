//! The topics of a database: in a directory through the library, at a node over HTTP.

#[path = "../../http/topics/shape.rs"]
mod shape;

use std::time::Duration;

use serde_json::{Value, json};
use weald::{
    Availability, Bytes, ErrorKind, ImportReport, PublishOptions, StartAt, SubscribeOptions,
    Subscription, Topic, TopicEvent, TopicMerge, TopicPolicy, TopicPosition, TopicVersion, Weald,
};

use super::{
    Client, Database, Feed,
    client::{Call, strange},
    there::{self, check_size, follow},
    wire,
};
use crate::cli::{
    failure::{Class, Failure},
    session,
};

/// Subscriptions that are described, as by the gateway.
const SUBSCRIPTIONS_MAX: usize = 1000;

/// A message that is in its topic, or waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) id: String,
    pub(crate) publisher: String,
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    /// Where it stands; `None` while it is queued.
    pub(crate) position: Option<u64>,
}

/// A message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicMessage {
    pub(crate) position: u64,
    pub(crate) id: String,
    pub(crate) publisher: String,
    pub(crate) sequence: u64,
    /// Milliseconds since 1970, as the publisher believes.
    pub(crate) published_at: u64,
    pub(crate) body: Bytes,
}

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TopicNews {
    Message(TopicMessage),
    /// Messages from `from` to just below `next` are not retained any more.
    Gap {
        from: u64,
        next: u64,
    },
    CaughtUp,
    Lagged,
    /// The topic began anew.
    Reset {
        generation: u64,
    },
}

/// How to subscribe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subscribing<'a> {
    /// Where to begin; with the oldest message that is retained.
    pub(crate) from: Option<StartAt>,
    /// The name under which it goes on where it was.
    pub(crate) durable: Option<&'a str>,
    /// The group whose messages it shares.
    pub(crate) group: Option<&'a str>,
}

/// A subscription.
pub(crate) enum TopicFeed {
    Here(Box<Subscription>),
    /// With where it acknowledges, if it does.
    There(Feed<TopicNews>, Option<Settling>),
}

/// Where a durable subscription, or one of a group, acknowledges at a node.
pub(crate) struct Settling {
    client: Client,
    path: String,
    body: fn(u64) -> Value,
}

impl Settling {
    fn of(client: &Client, topic: &str, subscribing: Subscribing<'_>) -> Option<Self> {
        let segment = |name: &str| wire::segment(name.as_bytes());
        let (what, body): (String, fn(u64) -> Value) = match subscribing {
            Subscribing { durable: Some(name), .. } => {
                (format!("/cursors/{}", segment(name)), |position| json!({ "position": position }))
            }
            Subscribing { group: Some(name), .. } => (
                format!("/groups/{}/acknowledge", segment(name)),
                |position| json!({ "positions": [position] }),
            ),
            _ => return None,
        };
        Some(Self { client: client.clone(), path: path(topic, &what), body })
    }
}

impl TopicFeed {
    /// What comes next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<TopicNews, Failure>> {
        match self {
            Self::Here(subscription) => match subscription.next().await? {
                Ok(event) => Some(Ok(event.into())),
                Err(error) => Some(Err(error.into())),
            },
            Self::There(feed, _) => feed.next().await,
        }
    }

    /// Everything up to `position` is done: a durable one goes on behind it. In a group, this message is;
    /// one that was let pass is given again, which is no failure.
    pub(crate) async fn acknowledge(&self, position: u64) -> Result<(), Failure> {
        match self {
            Self::Here(subscription) => {
                match subscription.acknowledge(TopicPosition(position)).await {
                    Err(error) if error.kind() == ErrorKind::Gone => Ok(()),
                    done => Ok(done?),
                }
            }
            Self::There(_, None) => Ok(()),
            Self::There(_, Some(Settling { client, path, body })) => {
                let body = body(position).to_string();
                let call = Call::new("POST", path.as_str()).body(body.as_bytes());
                client.call(&call)?.done().map(drop)
            }
        }
    }

    /// Ends it, so that the topic does not count it any longer.
    pub(crate) async fn end(self) {
        if let Self::Here(subscription) = self {
            // One that is not told of ends with its lease.
            subscription.unsubscribe().await.ok();
        }
    }
}

impl From<TopicEvent> for TopicNews {
    fn from(event: TopicEvent) -> Self {
        match event {
            TopicEvent::Message(message) => Self::Message(TopicMessage {
                position: message.position.0,
                id: message.id.to_string(),
                publisher: message.publisher.to_string(),
                sequence: message.sequence.0,
                published_at: message.published_at.as_millis(),
                body: message.body,
            }),
            TopicEvent::Gap { first, last } => Self::Gap { from: first.0, next: last.next().0 },
            TopicEvent::CaughtUp { .. } => Self::CaughtUp,
            TopicEvent::Lagged { .. } => Self::Lagged,
            TopicEvent::Reset { generation } => Self::Reset { generation },
        }
    }
}

impl Database {
    /// Makes a topic of one availability, or finds it there under these rules.
    pub(crate) async fn create_topic(
        &self,
        topic: &str,
        is_available: bool,
    ) -> Result<(), Failure> {
        match self {
            Self::Here(node) => {
                let availability = match is_available {
                    true => Availability::Available,
                    false => Availability::Consistent,
                };
                let policy = TopicPolicy { availability, ..TopicPolicy::default() };
                let made = node.topic(topic).policy(policy.clone()).open_or_create().await?;
                if *made.policy() == policy { Ok(()) } else { Err(other_rules()) }
            }
            Self::There(client) => {
                let availability = if is_available { "available" } else { "consistent" };
                let body = json!({ "availability": availability }).to_string();
                let call = Call::new("PUT", path(topic, "")).body(body.as_bytes());
                client.call(&call)?.done().map(drop)
            }
        }
    }

    /// Publishes messages in order, making the topic if it is new.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        bodies: Vec<Vec<u8>>,
        expires_in: Option<Duration>,
    ) -> Result<Vec<Published>, Failure> {
        match self {
            Self::Here(node) => publish_here(node, topic, bodies, expires_in).await,
            Self::There(client) => {
                let publish = |body: &Vec<u8>| publish_there(client, topic, body, expires_in);
                bodies.iter().map(publish).collect()
            }
        }
    }

    /// Subscribes to a topic that is there.
    pub(crate) async fn subscribe(
        &self,
        topic: &str,
        subscribing: Subscribing<'_>,
    ) -> Result<TopicFeed, Failure> {
        match self {
            Self::Here(node) => {
                let owned = |name: Option<&str>| name.map(str::to_owned);
                let options = SubscribeOptions {
                    from: subscribing.from.unwrap_or_default(),
                    durable: owned(subscribing.durable),
                    group: owned(subscribing.group),
                    ..SubscribeOptions::default()
                };
                let subscription = open(node, topic).await?.subscribe(options).await?;
                Ok(TopicFeed::Here(Box::new(subscription)))
            }
            Self::There(client) => {
                let feed = subscribe_there(client, topic, subscribing)?;
                Ok(TopicFeed::There(feed, Settling::of(client, topic, subscribing)))
            }
        }
    }

    /// A topic that is there, as the gateway's JSON tells it.
    pub(crate) async fn topic(&self, topic: &str) -> Result<Value, Failure> {
        match self {
            Self::Here(node) => {
                let topic = open(node, topic).await?;
                let head = topic.head().await?;
                let mut leases = topic.subscribers(TopicVersion::ZERO).await?;
                leases.truncate(SUBSCRIPTIONS_MAX);
                Ok(shape::topic(topic.policy(), &head, &leases))
            }
            Self::There(client) => get(client, topic, ""),
        }
    }

    /// The versions of a topic that are remembered, as the gateway's JSON tells them.
    pub(crate) async fn lineage(&self, topic: &str, depth: u32) -> Result<Value, Failure> {
        match self {
            Self::Here(node) => {
                let topic = open(node, topic).await?;
                let depth = usize::try_from(depth).unwrap_or(usize::MAX);
                let (history, snapshots) =
                    (topic.history(depth).await?, topic.lineage(depth).await?);
                Ok(shape::lineage(&history, &snapshots))
            }
            Self::There(client) => get(client, topic, &format!("/lineage?depth={depth}")),
        }
    }

    /// Brings in what the topic of another directory has and this one does not.
    pub(crate) async fn recover(&self, topic: &str, other: &Self) -> Result<ImportReport, Failure> {
        let (here, there) = self.both(topic, other).await?;
        Ok(here.recover(&there).await?)
    }

    /// What the topics of two directories lack of each other; nothing is changed.
    pub(crate) async fn merge(&self, topic: &str, other: &Self) -> Result<TopicMerge, Failure> {
        let (here, there) = self.both(topic, other).await?;
        Ok(here.merge(&there).await?)
    }

    /// The topic of this directory, and of another one.
    async fn both(&self, topic: &str, other: &Self) -> Result<(Topic, Topic), Failure> {
        match (self, other) {
            (Self::Here(node), Self::Here(other)) => {
                Ok((open(node, topic).await?, open(other, topic).await?))
            }
            _ => Err(Failure::usage("a topic is recovered from a directory into a directory")),
        }
    }
}

fn other_rules() -> Failure {
    let what =
        "the topic is there under other rules; `weald topic show` tells them, and they are fixed";
    Failure::new(Class::NotFound, what)
}

async fn open(node: &Weald, name: &str) -> Result<Topic, Failure> {
    let opened = node.topic(name).open().await;
    opened.map_err(|error| session::absent("topic", name, error))
}

async fn publish_here(
    node: &Weald,
    name: &str,
    bodies: Vec<Vec<u8>>,
    expires_in: Option<Duration>,
) -> Result<Vec<Published>, Failure> {
    let publisher = node.public_key()?.peer_id().to_string();
    let topic = node.topic(name).open_or_create().await?;
    let options = PublishOptions { expires_in, ..PublishOptions::default() };
    let results = topic.publish_batch(bodies, options).await?;
    let one = |result: weald::Result<weald::PublishReceipt>| {
        let receipt = result?;
        Ok(Published {
            id: receipt.id.to_string(),
            publisher: publisher.clone(),
            incarnation: receipt.incarnation.0,
            sequence: receipt.sequence.0,
            position: receipt.position.map(|position| position.0),
        })
    };
    results.into_iter().map(one).collect()
}

fn path(topic: &str, what: &str) -> String {
    format!("/v1/topics/{}{what}", wire::segment(topic.as_bytes()))
}

fn get(client: &Client, topic: &str, what: &str) -> Result<Value, Failure> {
    there::absent("topic", topic, client.call(&Call::new("GET", path(topic, what)))?)?.json()
}

fn publish_there(
    client: &Client,
    topic: &str,
    body: &[u8],
    expires_in: Option<Duration>,
) -> Result<Published, Failure> {
    check_size(body)?;
    let expires_in = expires_in.map(|time| format!("?expires_in_ms={}", time.as_millis()));
    let what = format!("/messages{}", expires_in.unwrap_or_default());
    let call = Call::new("POST", path(topic, &what)).body(body);
    published(&client.call(&call)?.done()?.json()?).ok_or_else(|| strange("no receipt"))
}

fn published(told: &Value) -> Option<Published> {
    Some(Published {
        id: told["id"].as_str()?.to_owned(),
        publisher: told["publisher"].as_str()?.to_owned(),
        incarnation: told["incarnation"].as_u64()?,
        sequence: told["sequence"].as_u64()?,
        position: told["position"].as_u64(),
    })
}

fn subscribe_there(
    client: &Client,
    topic: &str,
    Subscribing { from, durable, group }: Subscribing<'_>,
) -> Result<Feed<TopicNews>, Failure> {
    let from = match from.unwrap_or_default() {
        StartAt::Beginning => None,
        StartAt::Now => Some("from=now".to_owned()),
        StartAt::After(position) => Some(format!("from={}", position.next())),
    };
    let named = |what: &str, name: Option<&str>| {
        name.map(|name| format!("{what}={}", wire::segment(name.as_bytes())))
    };
    let query = from.into_iter().chain(named("durable", durable)).chain(named("group", group));
    let query: Vec<String> = query.collect();
    let path = path(topic, &format!("/subscribe?{}", query.join("&")));
    follow(client, path, ("topic", topic), |name, data| match name {
        "message" => wire::message(data).map(TopicNews::Message),
        "caught_up" => Some(TopicNews::CaughtUp),
        "lagged" => Some(TopicNews::Lagged),
        "gap" => {
            Some(TopicNews::Gap { from: data["from"].as_u64()?, next: data["next"].as_u64()? })
        }
        "reset" => Some(TopicNews::Reset { generation: data["generation"].as_u64()? }),
        _ => None,
    })
}
