//! What a topic is, as JSON. The gateway answers it, and so does the command line about a directory.

use serde_json::{Value, json};
use weald::{
    Access, Availability, ChannelState, CoordinatorObject, CoordinatorSnapshot, Lease,
    LineageEntry, Rate, Standing, TopicHistory, TopicPolicy,
};
use weald_core::millis;
use weald_pubsub::Side;

/// A topic: its head, its policy and some of its subscriptions.
pub(crate) fn topic(policy: &TopicPolicy, head: &CoordinatorObject, leases: &[Lease]) -> Value {
    json!({
        "topic": head.topic.to_string(),
        "generation": head.generation,
        "state": state(head.state),
        "next": head.next.0,
        "created_at": head.created_at.as_millis(),
        "modified_at": head.modified_at.as_millis(),
        "expires_at": head.expires_at.as_millis(),
        "messages": side(&head.messages),
        "subscribers": side(&head.subscribers),
        "previous": head.previous.map(|snapshot| snapshot.to_string()),
        "policy": rules(policy),
        "subscriptions": leases.iter().map(lease).collect::<Vec<_>>(),
    })
}

/// All versions that are remembered, and the snapshots that remember those that left the head.
pub(crate) fn lineage(history: &TopicHistory, snapshots: &[CoordinatorSnapshot]) -> Value {
    json!({
        "messages": versions(&history.messages),
        "subscribers": versions(&history.subscribers),
        "snapshots": snapshots.iter().map(snapshot).collect::<Vec<_>>(),
    })
}

fn state(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Active => "active",
        ChannelState::Recovering => "recovering",
        ChannelState::Failed => "failed",
        ChannelState::Deleted => "deleted",
    }
}

fn side(side: &Side) -> Value {
    json!({ "version": side.version.0, "count": side.count, "root": side.root.to_string() })
}

fn lease(lease: &Lease) -> Value {
    json!({
        "peer_id": lease.id.peer.to_string(),
        "stream": format!("{:016x}", lease.id.stream),
        "subscribed_at": lease.subscribed_at.as_millis(),
        "expires_at": lease.expires_at.as_millis(),
        "last_seen": lease.last_seen.0,
        "live": lease.standing == Standing::Live,
    })
}

fn versions(entries: &[LineageEntry]) -> Vec<Value> {
    let one = |entry: &LineageEntry| json!({ "version": entry.version.0, "root": entry.root.to_string() });
    entries.iter().map(one).collect()
}

fn snapshot(snapshot: &CoordinatorSnapshot) -> Value {
    json!({
        "created_at": snapshot.created_at.as_millis(),
        "expires_at": snapshot.expires_at.as_millis(),
        "previous": snapshot.previous.map(|snapshot| snapshot.to_string()),
        "messages": versions(&snapshot.message_history),
        "subscribers": versions(&snapshot.subscriber_history),
    })
}

/// The rules of a topic.
pub(crate) fn rules(policy: &TopicPolicy) -> Value {
    let work =
        policy.work.map(|rule| json!({ "above_bytes": rule.above_bytes, "bits": rule.bits }));
    json!({
        "publishers": access(&policy.publishers),
        "subscribers": access(&policy.subscribers),
        "owner": policy.owner.as_ref().map(|key| key.peer_id().to_string()),
        "body_bytes_max": policy.body_bytes_max,
        "publish_rate": rate(policy.publish_rate),
        "renew_rate": rate(policy.renew_rate),
        "subscribers_max": policy.subscribers_max,
        "lease_max_ms": millis(policy.lease_max),
        "ttl_max_ms": millis(policy.ttl_max),
        "messages_max": policy.messages_max,
        "bytes_max": policy.bytes_max,
        "publishers_max": policy.publishers_max,
        "inactivity_ms": millis(policy.inactivity),
        "work": work,
        "strict": policy.is_strict,
        "availability": match policy.availability {
            Availability::Consistent => "consistent",
            Availability::Available => "available",
        },
        "attempts_max": policy.attempts_max,
    })
}

fn access(access: &Access) -> Value {
    match access {
        Access::Anyone => json!("anyone"),
        Access::Listed(peers) => peers.iter().map(ToString::to_string).collect(),
    }
}

fn rate(rate: Rate) -> Value {
    json!({ "burst": rate.burst, "interval_us": rate.interval_micros })
}
