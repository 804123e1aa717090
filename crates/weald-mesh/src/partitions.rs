//! Partitions as the nodes tell of them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::client::Client;
use crate::mesh::Mesh;

/// Between two looks at partitions that are waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One partition as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: u64,
    /// Peer id.
    pub(crate) coordinator: Option<String>,
    /// Number of the epoch.
    pub(crate) epoch: u64,
    /// None where the node is no member.
    pub(crate) member: Option<MemberSeen>,
}

/// A member that lives on the node that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberSeen {
    pub(crate) role: String,
    pub(crate) applied: u64,
    pub(crate) committed: u64,
    /// The digest of everything applied, and up to where.
    pub(crate) digest: (u64, String),
    /// Peer ids of the voters and of the learners, as this member's log says.
    pub(crate) voters: Vec<String>,
    pub(crate) learners: Vec<String>,
    /// Which life of its node each voter is, by peer id.
    lives: BTreeMap<String, u64>,
}

impl MemberSeen {
    fn is_coordinator(&self) -> bool {
        self.role == "coordinator"
    }
}

impl Seen {
    fn parse(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let member = |role| {
            let digest = value.get("digest")?;
            Some(MemberSeen {
                role,
                applied: number("applied")?,
                committed: number("committed")?,
                digest: (
                    digest.get("index")?.as_u64()?,
                    digest.get("digest")?.as_str()?.to_owned(),
                ),
                voters: members(value, true),
                learners: members(value, false),
                lives: lives(value),
            })
        };
        Some(Self {
            partition: number("partition")?,
            coordinator: text("coordinator"),
            epoch: number("epoch").unwrap_or(0),
            member: text("role").filter(|role| role != "outsider").and_then(member),
        })
    }
}

/// Peer ids of the members of a partition that vote, or do not.
fn members(partition: &Value, is_voter: bool) -> Vec<String> {
    let list = partition.get("members").and_then(Value::as_array);
    let is_meant = |member: &&Value| member.get("voter") == Some(&Value::Bool(is_voter));
    let peer = |member: &Value| Some(member.get("peer_id")?.as_str()?.to_owned());
    list.into_iter().flatten().filter(is_meant).filter_map(peer).collect()
}

/// Which life of its node each voter is, by peer id.
fn lives(partition: &Value) -> BTreeMap<String, u64> {
    let list = partition.get("members").and_then(Value::as_array);
    let life = |member: &Value| {
        let is_voter = member.get("voter") == Some(&Value::Bool(true));
        let peer = member.get("peer_id")?.as_str()?.to_owned();
        is_voter.then_some((peer, member.get("life")?.as_u64()?))
    };
    list.into_iter().flatten().filter_map(life).collect()
}

/// What the node of `client` tells of all partitions.
pub(crate) fn seen_by(client: &Client) -> Result<Vec<Seen>> {
    let answer = client.json("/v1/partitions")?;
    let list = answer.get("partitions").and_then(Value::as_array);
    let list = list.with_context(|| format!("no list of partitions: {answer}"))?;
    let seen = |value| Seen::parse(value).with_context(|| format!("no partition: {value}"));
    list.iter().map(seen).collect()
}

/// The place of the node that coordinates `partition`, as the member of the highest epoch says.
pub(crate) fn coordinator_of(mesh: &Mesh, partition: u64) -> Option<usize> {
    let seen = mesh.running().into_iter().filter_map(|place| {
        let seen = seen_by(&mesh.nodes[place].client().ok()?).ok()?;
        seen.into_iter().find(|one| one.partition == partition && one.coordinator.is_some())
    });
    let latest = seen.max_by_key(|one| one.epoch)?;
    mesh.place_of(&latest.coordinator?)
}

/// Waits until `partition` has a coordinator among the running nodes; its place.
pub(crate) fn wait_coordinator(mesh: &Mesh, partition: u64, within: Duration) -> Result<usize> {
    let started = Instant::now();
    loop {
        let place = coordinator_of(mesh, partition);
        if let Some(place) = place.filter(|place| mesh.nodes[*place].is_running()) {
            return Ok(place);
        }
        if started.elapsed() > within {
            bail!("partition {partition} has no coordinator after {within:?}");
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until all members of each partition on running nodes have applied the same; how long that took.
pub(crate) fn wait_converged(mesh: &Mesh, within: Duration) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let difference = difference(mesh)?;
        let Some(difference) = difference else { return Ok(started.elapsed()) };
        if started.elapsed() > within {
            bail!("not the same everywhere after {within:?}: {difference}");
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until each partition has as many members as `k` wants of the nodes that run, the voters an odd number; how
/// long that took.
pub(crate) fn wait_grown(mesh: &Mesh, k: usize, within: Duration) -> Result<Duration> {
    let member_count = k.min(mesh.running().len());
    let voter_count = member_count - usize::from(member_count.is_multiple_of(2));
    let started = Instant::now();
    loop {
        let short = coordinated(mesh)?.into_iter().find(|(_, member)| {
            member.as_ref().is_none_or(|member| {
                let all = member.voters.len() + member.learners.len();
                (member.voters.len(), all) != (voter_count, member_count)
            })
        });
        let Some((partition, member)) = short else { return Ok(started.elapsed()) };
        if started.elapsed() > within {
            bail!("partition {partition} has not grown after {within:?}: {member:?}");
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// How many partitions there are that have a coordinator.
pub(crate) fn count(mesh: &Mesh) -> Result<usize> {
    Ok(coordinated(mesh)?.into_values().flatten().count())
}

/// Waits until at least `least` partitions have the node at `place` as a member.
pub(crate) fn wait_memberships(
    mesh: &Mesh,
    place: usize,
    least: usize,
    within: Duration,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let count = membership_count(mesh, place)?;
        if count >= least {
            return Ok(());
        }
        if started.elapsed() > within {
            bail!("n{place} is a member of {count} partitions after {within:?}, not of {least}");
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// How many partitions the node at `place` is a member of, voting or not, as its own logs say: one that was never fed
/// knows nothing of it.
pub(crate) fn membership_count(mesh: &Mesh, place: usize) -> Result<usize> {
    let peer = &mesh.nodes[place].file()?.peer_id;
    let seen = seen_by(&mesh.nodes[place].client()?)?;
    let members = seen.iter().filter_map(|one| one.member.as_ref());
    let has_it =
        |member: &&MemberSeen| member.voters.contains(peer) || member.learners.contains(peer);
    Ok(members.filter(has_it).count())
}

/// The partitions that the node at `place` votes in, as their coordinators say, with its life in each.
pub(crate) fn voter_lives(mesh: &Mesh, place: usize) -> Result<BTreeMap<u64, u64>> {
    let peer = &mesh.nodes[place].file()?.peer_id;
    let known = coordinated(mesh)?.into_iter();
    let life = |(partition, member): (u64, Option<MemberSeen>)| {
        Some((partition, *member?.lives.get(peer)?))
    };
    Ok(known.filter_map(life).collect())
}

/// Waits until the node at `place` votes in a later life than the `earlier` one in each partition.
pub(crate) fn wait_reborn(
    mesh: &Mesh,
    place: usize,
    earlier: &BTreeMap<u64, u64>,
    within: Duration,
) -> Result<()> {
    let started = Instant::now();
    loop {
        let lives = voter_lives(mesh, place)?;
        let is_old = |(partition, life): &(&u64, &u64)| {
            lives.get(partition).is_none_or(|present| present <= life)
        };
        let Some((partition, _)) = earlier.iter().find(is_old) else { return Ok(()) };
        if started.elapsed() > within {
            bail!("n{place} does not vote in a new life in partition {partition} after {within:?}");
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// All partitions, each with the member that coordinates it.
fn coordinated(mesh: &Mesh) -> Result<BTreeMap<u64, Option<MemberSeen>>> {
    let mut all: BTreeMap<u64, Option<MemberSeen>> = BTreeMap::new();
    for place in mesh.running() {
        for seen in seen_by(&mesh.nodes[place].client()?)? {
            let known = all.entry(seen.partition).or_default();
            if let Some(member) = seen.member.filter(MemberSeen::is_coordinator) {
                *known = Some(member);
            }
        }
    }
    Ok(all)
}

fn difference(mesh: &Mesh) -> Result<Option<String>> {
    let mut first: BTreeMap<u64, (usize, MemberSeen)> = BTreeMap::new();
    for place in mesh.running() {
        for seen in seen_by(&mesh.nodes[place].client()?)? {
            let Some(member) = seen.member else { continue };
            let known = first.entry(seen.partition).or_insert_with(|| (place, member.clone()));
            if !is_same(&known.1, &member) {
                let partition = seen.partition;
                return Ok(Some(format!(
                    "partition {partition}: n{} {:?}, n{place} {member:?}",
                    known.0, known.1
                )));
            }
        }
    }
    Ok(None)
}

fn is_same(one: &MemberSeen, other: &MemberSeen) -> bool {
    (one.committed, one.applied, &one.digest) == (other.committed, other.applied, &other.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_partition_is_read_with_and_without_a_member() {
        let seen = Seen::parse(&json!({
            "partition": 3, "coordinator": "P", "epoch": 4, "role": "follower",
            "applied": 9, "committed": 10, "digest": {"index": 9, "digest": "ab"},
            "members": [{"peer_id": "P", "voter": true}, {"peer_id": "Q", "voter": false}],
        }));
        let seen = seen.unwrap();
        let member = seen.member.clone().unwrap();
        assert_eq!((member.voters, member.learners), (vec!["P".to_owned()], vec!["Q".to_owned()]));
        assert_eq!((seen.partition, seen.epoch, seen.coordinator.as_deref()), (3, 4, Some("P")));
        assert_eq!(seen.member.unwrap().digest, (9, String::from("ab")));
        let far = Seen::parse(&json!({"partition": 3, "coordinator": null, "epoch": 4})).unwrap();
        assert_eq!((far.coordinator, far.member), (None, None));
        assert_eq!(Seen::parse(&json!({"coordinator": "P"})), None);
    }

    #[test]
    fn members_are_the_same_when_their_digests_are_of_one_index() {
        let member = |role: &str, applied, digest: &str| MemberSeen {
            role: role.into(),
            applied,
            committed: applied,
            digest: (applied, digest.into()),
            voters: Vec::new(),
            learners: Vec::new(),
            lives: BTreeMap::new(),
        };
        assert!(is_same(&member("follower", 4, "a"), &member("coordinator", 4, "a")));
        assert!(!is_same(&member("follower", 4, "a"), &member("follower", 4, "b")));
        assert!(!is_same(&member("follower", 4, "a"), &member("follower", 5, "a")));
    }
}
