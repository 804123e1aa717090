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
        }));
        let seen = seen.unwrap();
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
        };
        assert!(is_same(&member("follower", 4, "a"), &member("coordinator", 4, "a")));
        assert!(!is_same(&member("follower", 4, "a"), &member("follower", 4, "b")));
        assert!(!is_same(&member("follower", 4, "a"), &member("follower", 5, "a")));
    }
}
