//! What a node tells of itself, as JSON. The gateway answers it, and so does the command line.

use serde_json::{Value, json};
use weald::{MemberInfo, PeerInfo, Reachability, RecoveryInfo, Retention, Time, Voters};
use weald_core::millis;

/// How many voters partitions have and are to have.
pub(crate) fn voters(voters: Voters) -> Value {
    json!({ "fewest": voters.fewest, "wanted": voters.wanted })
}

/// How peers get through to a node.
pub(crate) fn reachability(reachability: &Reachability) -> Value {
    let Reachability { direct, address, relayed } = reachability;
    json!({ "direct": direct, "address": address, "relayed": relayed })
}

/// A connected peer.
pub(crate) fn peer(peer: &PeerInfo) -> Value {
    json!({
        "peer_id": peer.peer.to_string(),
        "addresses": peer.addresses,
        "rtt_us": peer.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
        "relayed": peer.relayed,
        "since": peer.since.as_millis(),
    })
}

/// A member of a partition.
pub(crate) fn member(member: &MemberInfo) -> Value {
    json!({
        "peer_id": member.peer.map(|peer| peer.to_string()),
        "life": member.life,
        "voter": member.is_voter,
        "match_index": member.matched.map(|index| index.0),
        "last_contact_ms": member.last_contact.map(millis),
        "started_at": member.started.map(Time::as_millis),
        "incarnation": member.incarnation,
    })
}

/// The forced recovery of a partition.
pub(crate) fn recovery(info: &RecoveryInfo) -> Value {
    json!({
        "generation": info.generation,
        "beginner": info.beginner.to_string(),
        "voters": info.voters.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "kept": info.kept.0,
        "dropped_to": info.dropped_to.map(|index| index.0),
        "at": info.at.as_millis(),
    })
}

/// How much of a collection is kept; absent bounds are `null`.
pub(crate) fn retention(retention: &Retention) -> Value {
    json!({
        "age_max_ms": retention.age_max.map(millis),
        "entries_max": retention.entries_max,
        "bytes_max": retention.bytes_max,
    })
}
