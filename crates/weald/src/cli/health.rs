//! `weald health`: one look at a node, for whatever watches over it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use weald::{NodeStatus, PartitionInfo};

use super::{
    database::Database,
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Entries that a member may lack before that is told.
const LAG_MAX: u64 = 1000;
/// How long a coordinator may say nothing before that is told.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How a node is. The number is the exit code, as programs that watch over others expect it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    /// It serves, and everything is as safe as it is to be.
    Well,
    /// It serves, and somebody should look at it.
    Degraded,
    /// It does not serve.
    Failing,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

/// What was seen of a node.
struct Seen {
    /// Who it is, where that is told.
    peer: Option<String>,
    readiness: Result<(), String>,
    status: NodeStatus,
    partitions: Vec<PartitionInfo>,
    /// The peers that are connected.
    connected: Vec<String>,
}

/// Looks at the node and tells how it is.
pub(crate) async fn run(target: &Target, output: &mut Output) -> Result<(), Failure> {
    let (health, reasons) = match session::existing(target, look).await {
        Ok(seen) => judge(&seen),
        Err(Failure::Told { message, .. }) if matches!(target, Target::Node(_)) => {
            (Health::Failing, vec![message])
        }
        Err(failure) => return Err(failure),
    };
    output.answer(
        || {
            let first = std::iter::once(health.word());
            first.chain(reasons.iter().map(String::as_str)).collect::<Vec<_>>().join("\n")
        },
        || json!({ "health": health.word(), "reasons": reasons }),
    )?;
    output.flush()?;
    match health {
        Health::Well => Ok(()),
        Health::Degraded => Err(Failure::Unwell(1)),
        Health::Failing => Err(Failure::Unwell(2)),
    }
}

async fn look(database: &Database) -> Result<Seen, Failure> {
    let (peer, readiness) = database.readiness()?;
    let peers = database.peers()?;
    let connected = peers.iter().filter_map(|peer| peer["peer_id"].as_str().map(str::to_owned));
    Ok(Seen {
        peer,
        readiness,
        status: database.status()?,
        connected: connected.collect(),
        partitions: database.partitions().await?,
    })
}

/// How a node is of which this was seen, and why.
fn judge(seen: &Seen) -> (Health, Vec<String>) {
    if let Some(reason) = &seen.status.read_only {
        return (Health::Failing, vec![format!("writes are refused: {reason}")]);
    }
    if let Err(reason) = &seen.readiness {
        return (Health::Failing, vec![reason.clone()]);
    }
    let mut reasons = Vec::new();
    let NodeStatus { leaderless, partitions, voters, .. } = &seen.status;
    if *leaderless > 0 {
        reasons.push(format!("nobody coordinates {leaderless} of {partitions} partitions"));
    }
    if let Some(voters) = voters.filter(|voters| voters.fewest < voters.wanted) {
        reasons.push(format!("a partition has fewer voters than it is to have: {voters}"));
    }
    reasons.extend(absent(seen));
    reasons.extend(silent(seen));
    seen.partitions.iter().for_each(|info| reasons.extend(of_partition(info)));
    let health = if reasons.is_empty() { Health::Well } else { Health::Degraded };
    (health, reasons)
}

/// Members that are not connected.
fn absent(seen: &Seen) -> Vec<String> {
    let members = seen.partitions.iter().flat_map(|info| &info.members);
    let mut absent: Vec<_> = members.filter_map(|member| Some(member.peer?.to_string())).collect();
    absent.sort_unstable();
    absent.dedup();
    absent.retain(|peer| seen.peer.as_ref() != Some(peer) && !seen.connected.contains(peer));
    absent.into_iter().map(|peer| format!("a member is not connected: {peer}")).collect()
}

/// Members that are connected and do not answer: their nodes run, and do not take part.
fn silent(seen: &Seen) -> Vec<String> {
    let mut silent: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
    for member in seen.partitions.iter().flat_map(|info| &info.members) {
        let (Some(peer), Some(silence)) = (member.peer, member.last_contact) else { continue };
        let peer = peer.to_string();
        if silence > SILENCE_MAX && seen.connected.contains(&peer) {
            let (count, longest) = silent.entry(peer).or_default();
            (*count, *longest) = (*count + 1, silence.max(*longest));
        }
    }
    let reason = |(peer, (count, longest)): (String, (usize, Duration))| {
        let seconds = longest.as_secs();
        format!("a member has not answered in {count} partitions for up to {seconds} s: {peer}")
    };
    silent.into_iter().map(reason).collect()
}

fn of_partition(info: &PartitionInfo) -> Vec<String> {
    let partition = info.partition;
    let trouble = info.trouble.as_ref();
    let trouble = trouble.map(|why| format!("partition {partition} takes no part: {why}"));
    let silent = info.last_contact.filter(|silent| *silent > SILENCE_MAX);
    let silent = silent.map(|silent| {
        format!("partition {partition} has not heard its coordinator for {} s", silent.as_secs())
    });
    let lags = info.members.iter().filter_map(|member| {
        let lag = info.last.0.saturating_sub(member.matched?.0);
        let is_late = lag > LAG_MAX && member.peer.is_some();
        is_late.then(|| format!("a member of partition {partition} lacks {lag} entries"))
    });
    trouble.into_iter().chain(silent).chain(lags).collect()
}

#[cfg(test)]
mod tests {
    use weald::{Digest, LogIndex, MemberInfo, PartitionId, PartitionRole, PeerId, Time, Voters};

    use super::*;

    fn peer(number: u8) -> PeerId {
        PeerId::from_digest(Digest::of("weald test", &[&[number]]))
    }

    fn well() -> Seen {
        let member = |number| MemberInfo {
            peer: Some(peer(number)),
            life: 0,
            is_voter: true,
            matched: Some(LogIndex(5000)),
            last_contact: Some(Duration::ZERO),
            started: None,
            incarnation: None,
        };
        let partition = PartitionInfo {
            partition: PartitionId(7),
            role: PartitionRole::Coordinator,
            coordinator: Some(peer(0)),
            last_contact: Some(Duration::ZERO),
            epoch: 3,
            last: LogIndex(5000),
            committed: LogIndex(5000),
            applied: LogIndex(5000),
            checkpointed: LogIndex(1),
            digest_index: LogIndex(5000),
            digest: Digest::of("weald test", &[]),
            log_time: Time::ZERO,
            recovery: None,
            trouble: None,
            members: vec![member(0), member(1)],
        };
        Seen {
            peer: Some(peer(0).to_string()),
            readiness: Ok(()),
            status: NodeStatus {
                partitions: 1,
                voters: Some(Voters { fewest: 3, wanted: 3 }),
                ..NodeStatus::default()
            },
            partitions: vec![partition],
            connected: vec![peer(1).to_string()],
        }
    }

    fn check(change: impl FnOnce(&mut Seen), expected: Health, reason: &str) {
        let mut seen = well();
        change(&mut seen);
        let (health, reasons) = judge(&seen);
        assert_eq!(health, expected, "{reasons:?}");
        assert!(reasons.iter().any(|told| told.contains(reason)), "{reason}: {reasons:?}");
    }

    #[test]
    fn w182_a_node_is_judged_by_what_keeps_it_from_serving_and_from_being_safe() {
        assert_eq!(judge(&well()), (Health::Well, Vec::new()));
        let degraded = |change: fn(&mut Seen), reason| check(change, Health::Degraded, reason);
        degraded(|seen| seen.status.leaderless = 1, "nobody coordinates 1 of 1");
        degraded(|seen| seen.status.voters = Some(Voters { fewest: 1, wanted: 3 }), "1 of 3");
        degraded(|seen| seen.connected.clear(), "not connected");
        degraded(|seen| seen.partitions[0].trouble = Some("a disk".into()), "a disk");
        degraded(|seen| seen.partitions[0].last = LogIndex(6001), "lacks 1001 entries");
        degraded(
            |seen| seen.partitions[0].members[1].last_contact = Some(Duration::from_secs(9)),
            "has not answered in 1 partitions for up to 9 s",
        );
        let silent = Some(Duration::from_secs(4));
        check(|seen| seen.partitions[0].last_contact = silent, Health::Degraded, "for 4 s");
        let failing = |change: fn(&mut Seen), reason| check(change, Health::Failing, reason);
        failing(|seen| seen.readiness = Err("no network".into()), "no network");
        failing(|seen| seen.status.read_only = Some("a sync failed".into()), "a sync failed");
    }

    #[test]
    fn w182_what_passes_by_itself_is_not_told() {
        let mut seen = well();
        seen.partitions[0].last_contact = Some(SILENCE_MAX);
        seen.partitions[0].members[1].last_contact = Some(SILENCE_MAX);
        seen.partitions[0].last = LogIndex(6000);
        assert_eq!(judge(&seen), (Health::Well, Vec::new()));
    }
}
