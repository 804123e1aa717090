//! Verbs for operators: partitions, peers, handing over.

use clap::Args;
use serde_json::{Value, json};
use weald::{MemberInfo, PartitionId, PartitionInfo, PeerId, RecoveryInfo};
use weald_core::millis;

use super::{
    failure::Failure,
    output::Output,
    session::{self, Target},
    shape,
};

/// Which partition, or all.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Which {
    /// The partition; all when none is named
    partition: Option<u32>,
}

impl Which {
    /// Tells each of the partitions that are meant.
    async fn tell(
        self,
        target: &Target,
        output: &mut Output,
        line: impl Fn(&PartitionInfo) -> (String, Value),
    ) -> Result<(), Failure> {
        let all = session::existing(target, async |database| database.partitions().await).await?;
        let is_meant = |info: &&PartitionInfo| {
            self.partition.is_none_or(|partition| info.partition == PartitionId(partition))
        };
        let mut found = all.iter().filter(is_meant).peekable();
        if let (None, Some(partition)) = (found.peek(), self.partition) {
            return Err(Failure::not_found(format_args!(
                "there is no partition {partition}; `weald partitions` lists what is there"
            )));
        }
        for info in found {
            let (plain, json) = line(info);
            output.answer(|| plain, || json)?;
        }
        Ok(())
    }
}

/// Lists the partitions with their members.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Partitions {
    #[command(flatten)]
    which: Which,
}

impl Partitions {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let line = |info: &PartitionInfo| {
            let trouble = info.trouble.as_ref().map_or_else(String::new, |why| format!("\t{why}"));
            let plain = format!(
                "{}\t{}\tcoordinator {}\tmembers {}{trouble}",
                info.partition,
                info.role.as_str(),
                peer(info.coordinator),
                info.members.iter().map(member).collect::<Vec<_>>().join(" "),
            );
            let recovery = info.recovery.as_ref().map_or_else(String::new, |recovery| {
                let RecoveryInfo { generation, kept, .. } = recovery;
                format!("\tgeneration {generation} (recovered by force, kept up to {kept})")
            });
            (plain + &recovery, partition_json(info))
        };
        self.which.tell(target, output, line).await
    }
}

fn member(member: &MemberInfo) -> String {
    let matched = member.matched.map_or_else(String::new, |index| format!("@{index}"));
    let learner = if member.is_voter { "" } else { " (learner)" };
    format!("{}{matched}{learner}", peer(member.peer))
}

fn partition_json(info: &PartitionInfo) -> Value {
    json!({
        "partition": info.partition.0,
        "role": info.role.as_str(),
        "coordinator": info.coordinator.map(|peer| peer.to_string()),
        "last_contact_ms": info.last_contact.map(millis),
        "epoch": info.epoch,
        "recovery": info.recovery.as_ref().map(shape::recovery),
        "trouble": info.trouble,
        "members": info.members.iter().map(shape::member).collect::<Vec<_>>(),
    })
}

/// The first digits of a peer's id, which tell it from others.
fn peer(peer: Option<PeerId>) -> String {
    peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string().chars().take(12).collect())
}

/// Tells who coordinates.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Leader {
    #[command(flatten)]
    which: Which,
}

impl Leader {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let line = |info: &PartitionInfo| {
            let coordinator = info.coordinator.map(|peer| peer.to_string());
            let shown = coordinator.clone().unwrap_or_else(|| "nobody".to_owned());
            let plain = format!("{}\t{shown}\tepoch {}", info.partition, info.epoch);
            let (partition, epoch) = (info.partition.0, info.epoch);
            let json =
                json!({ "partition": partition, "coordinator": coordinator, "epoch": epoch });
            (plain, json)
        };
        self.which.tell(target, output, line).await
    }
}

/// Tells how far a log has come.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Log {
    #[command(flatten)]
    which: Which,
}

impl Log {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let line = |info: &PartitionInfo| {
            let PartitionInfo { partition, last, committed, applied, checkpointed, .. } = info;
            let plain = format!(
                "{partition}\tlast {last}\tcommitted {committed}\tapplied {applied}\t\
                 checkpointed {checkpointed}"
            );
            let json = json!({
                "partition": partition.0,
                "last": last.0,
                "committed": committed.0,
                "applied": applied.0,
                "checkpointed": checkpointed.0,
                "log_time_ms": info.log_time.as_millis(),
            });
            (plain, json)
        };
        self.which.tell(target, output, line).await
    }
}

/// Tells the digest of what was applied.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Digest {
    #[command(flatten)]
    which: Which,
}

impl Digest {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let line = |info: &PartitionInfo| {
            let (index, digest) = (info.digest_index, info.digest.to_string());
            let plain = format!("{}\tindex {index}\t{digest}", info.partition);
            let partition = info.partition.0;
            (plain, json!({ "partition": partition, "index": index.0, "digest": digest }))
        };
        self.which.tell(target, output, line).await
    }
}

/// Hands the coordination of a partition over.
#[derive(Args, Clone, Debug)]
pub(crate) struct Transfer {
    /// The partition
    partition: u32,
    /// The peer that is to have it, one of the partition's voters
    #[arg(long, value_name = "PEER")]
    to: PeerId,
}

impl Transfer {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let (partition, to) = (PartitionId(self.partition), self.to);
        session::existing(target, async |database| database.transfer(partition, to).await).await?;
        output.answer(
            || format!("{partition}: handed over to {to}"),
            || json!({ "partition": partition.0, "coordinator": to.to_string() }),
        )
    }
}

/// Begins to hand everything over.
pub(crate) async fn drain(target: &Target, output: &mut Output) -> Result<(), Failure> {
    session::existing(target, async |database| database.drain().await).await?;
    output.answer(
        || {
            "handing over has begun; `GET /readyz` tells when the node holds nothing any more and \
             may be stopped for good. It keeps what no other node can take, as among three nodes"
                .to_owned()
        },
        || json!({ "draining": true }),
    )
}

/// Lists the peers.
pub(crate) async fn peers(target: &Target, output: &mut Output) -> Result<(), Failure> {
    let peers = session::existing(target, async |database| database.peers()).await?;
    for told in peers {
        output.answer(|| plain(&told), || told.clone())?;
    }
    Ok(())
}

fn plain(told: &Value) -> String {
    let text = |field: &str| told[field].as_str().unwrap_or("-").to_owned();
    let rtt = told["rtt_us"].as_u64().map_or_else(|| "-".to_owned(), |rtt| format!("{rtt} us"));
    let address = told["addresses"][0].as_str().unwrap_or("-");
    let relayed = if told["relayed"] == true { "\trelayed" } else { "" };
    format!("{}\t{address}\t{rtt}{relayed}", text("peer_id"))
}
