//! The gateway's JSON and the library's types.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::{Value, json};
use weald::{
    Bytes, CollectionInfo, Damage, MemberInfo, NodeStatus, PartitionInfo, PartitionRole,
    RawDiaryEntry, RawEntry, RawTreeChange, Reachability, RecoveryInfo, Retention, Revision,
    Sequence, Time, TransactionStatus, VerifyReport, Voters,
};

use super::TopicMessage;

/// What stands for itself in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name or a key as a segment of a path, or in JSON.
pub(super) fn segment(bytes: &[u8]) -> String {
    percent_encode(bytes, ESCAPED).to_string()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn bytes(value: &Value) -> Option<Bytes> {
    STANDARD.decode(value.as_str()?).ok().map(Bytes::from)
}

fn key(value: &Value) -> Option<Bytes> {
    Some(percent_decode_str(value.as_str()?).collect::<Vec<u8>>().into())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A line of a scan.
pub(super) fn entry(line: &Value) -> Option<RawEntry> {
    Some(RawEntry {
        key: key(&line["key"])?,
        value: bytes(&line["value"])?,
        revision: Revision(line["revision"].as_u64()?),
    })
}

/// A line of a diary, or an event of a tail.
pub(super) fn diary_entry(line: &Value) -> Option<RawDiaryEntry> {
    Some(RawDiaryEntry {
        sequence: Sequence(line["sequence"].as_u64()?),
        revision: Revision(line["revision"].as_u64()?),
        transaction: line["transaction"].as_str()?.parse().ok()?,
        time: Time::from_millis(line["time"].as_u64()?),
        entry: bytes(&line["data"])?,
    })
}

/// An event of a watch.
pub(super) fn change(event: &Value) -> Option<RawTreeChange> {
    let one = |change: &Value| {
        let value = &change["value"];
        let value = if value.is_null() { None } else { Some(bytes(value)?) };
        Some((key(&change["key"])?, value))
    };
    Some(RawTreeChange {
        revision: Revision(event["revision"].as_u64()?),
        transaction: event["transaction"].as_str()?.parse().ok()?,
        time: Time::from_millis(event["time"].as_u64()?),
        changes: event["changes"].as_array()?.iter().map(one).collect::<Option<_>>()?,
    })
}

/// A message of a topic.
pub(super) fn message(event: &Value) -> Option<TopicMessage> {
    Some(TopicMessage {
        position: event["position"].as_u64()?,
        id: text(&event["id"])?,
        publisher: text(&event["publisher"])?,
        sequence: event["sequence"].as_u64()?,
        published_at: event["published_at"].as_u64()?,
        body: bytes(&event["data"])?,
    })
}

/// A collection of the listing.
pub(super) fn collection(listed: &Value) -> Option<CollectionInfo> {
    let name = key(&listed["name"])?;
    let kept = &listed["retention"];
    Some(CollectionInfo {
        name: std::str::from_utf8(&name).ok()?.parse().ok()?,
        type_name: listed["type"].as_str()?.parse().ok()?,
        revision: Revision(listed["revision"].as_u64()?),
        entries: listed["entries"].as_u64(),
        retention: Retention {
            age_max: kept["age_max_ms"].as_u64().map(Duration::from_millis),
            entries_max: kept["entries_max"].as_u64(),
            bytes_max: kept["bytes_max"].as_u64(),
        },
    })
}

/// What became of a transaction.
pub(super) fn outcome_json(status: &TransactionStatus) -> Value {
    match status {
        TransactionStatus::Committed(_) => json!({ "outcome": "committed" }),
        TransactionStatus::Rejected(rejection) => {
            json!({ "outcome": "rejected", "detail": rejection.to_string() })
        }
        TransactionStatus::Pending => json!({ "outcome": "pending" }),
        TransactionStatus::Forgotten => json!({ "outcome": "forgotten" }),
    }
}

/// How the node is.
pub(super) fn status(told: &Value) -> Option<NodeStatus> {
    let count = |field: &str| usize::try_from(told[field].as_u64()?).ok();
    Some(NodeStatus {
        read_only: text(&told["read_only"]),
        applied: weald::LogIndex(told["applied"].as_u64()?),
        checkpointed: weald::LogIndex(told["checkpointed"].as_u64()?),
        dirty_bytes: count("dirty_bytes")?,
        writes_waiting: count("writes_waiting")?,
        partitions: count("partitions")?,
        leaderless: count("leaderless")?,
        voters: voters(&told["voters"]),
        reachability: reachability(&told["reachability"]),
    })
}

fn reachability(told: &Value) -> Option<Reachability> {
    let relayed = told["relayed"].as_array()?;
    Some(Reachability {
        direct: told["direct"].as_bool(),
        address: text(&told["address"]),
        relayed: relayed.iter().map(text).collect::<Option<_>>()?,
    })
}

fn voters(told: &Value) -> Option<Voters> {
    let count = |field: &str| usize::try_from(told[field].as_u64()?).ok();
    Some(Voters { fewest: count("fewest")?, wanted: count("wanted")? })
}

/// A partition.
pub(super) fn partition(told: &Value) -> Option<PartitionInfo> {
    let index = |field: &str| Some(weald::LogIndex(told[field].as_u64()?));
    let digest = &told["digest"];
    let members = told["members"].as_array()?;
    Some(PartitionInfo {
        partition: weald::PartitionId(u32::try_from(told["partition"].as_u64()?).ok()?),
        role: role(told["role"].as_str()?)?,
        coordinator: told["coordinator"].as_str().and_then(|peer| peer.parse().ok()),
        last_contact: told["last_contact_ms"].as_u64().map(Duration::from_millis),
        epoch: told["epoch"].as_u64()?,
        last: index("last")?,
        committed: index("committed")?,
        applied: index("applied")?,
        checkpointed: index("checkpointed")?,
        digest_index: weald::LogIndex(digest["index"].as_u64()?),
        digest: digest["digest"].as_str()?.parse().ok()?,
        log_time: Time::from_millis(told["log_time"].as_u64()?),
        recovery: recovery(&told["recovery"]),
        trouble: text(&told["trouble"]),
        members: members.iter().map(member).collect::<Option<_>>()?,
    })
}

/// The forced recovery of a partition, if there was one.
fn recovery(told: &Value) -> Option<RecoveryInfo> {
    let index = |field: &str| told[field].as_u64().map(weald::LogIndex);
    let voters = told["voters"].as_array()?;
    Some(RecoveryInfo {
        generation: u32::try_from(told["generation"].as_u64()?).ok()?,
        beginner: told["beginner"].as_str()?.parse().ok()?,
        voters: voters.iter().map(|peer| peer.as_str()?.parse().ok()).collect::<Option<_>>()?,
        kept: index("kept")?,
        dropped_to: index("dropped_to"),
        at: Time::from_millis(told["at"].as_u64()?),
    })
}

fn member(told: &Value) -> Option<MemberInfo> {
    Some(MemberInfo {
        peer: told["peer_id"].as_str().and_then(|peer| peer.parse().ok()),
        life: u32::try_from(told["life"].as_u64().unwrap_or(0)).ok()?,
        is_voter: told["voter"].as_bool()?,
        matched: told["match_index"].as_u64().map(weald::LogIndex),
        last_contact: told["last_contact_ms"].as_u64().map(Duration::from_millis),
        started: told["started_at"].as_u64().map(Time::from_millis),
        incarnation: told["incarnation"].as_u64(),
    })
}

fn role(word: &str) -> Option<PartitionRole> {
    let all = [
        PartitionRole::Coordinator,
        PartitionRole::Follower,
        PartitionRole::Candidate,
        PartitionRole::Learner,
        PartitionRole::Outsider,
    ];
    all.into_iter().find(|role| role.as_str() == word)
}

/// What a check found.
pub(super) fn report(told: &Value) -> Option<VerifyReport> {
    let damage = |damage: &Value| {
        Some(Damage { place: text(&damage["damaged"])?, detail: text(&damage["detail"])? })
    };
    Some(VerifyReport {
        collections: told["collections"].as_u64()?,
        blocks: told["blocks"].as_u64()?,
        log_batches: told["log_batches"].as_u64()?,
        damages: told["damages"].as_array()?.iter().map(damage).collect::<Option<_>>()?,
    })
}
