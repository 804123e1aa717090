//! The network of the demo: three nodes at loopback addresses of this machine.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use weald::{Digest, LogIndex, NodeConfig, PartitionId, PartitionInfo, Weald};

use super::process::{Card, Process};
use crate::cli::failure::{Class, Failure};

/// Nodes; each is a voter of every partition.
pub(super) const NODES: usize = 3;
/// How long they may take for each step.
pub(super) const STEP_TIME_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The nodes, running or killed. They end with this.
pub(super) struct Nodes {
    network: String,
    processes: Vec<Process>,
    /// What each told when it was started last.
    cards: Vec<Card>,
}

impl Nodes {
    /// Starts them with their data below `folder`: the first founds a network, the others join it.
    pub(super) async fn start(folder: &Path) -> Result<Self, Failure> {
        let network = format!("demo-{}", std::process::id());
        let mut nodes = Self { network, processes: Vec::new(), cards: Vec::new() };
        for node in 0..NODES {
            let mut process = Process::new(folder.join(format!("node-{}", node + 1)));
            process.start(&nodes.arguments(node))?;
            nodes.processes.push(process);
            let card = nodes.wait_card(node).await?;
            nodes.cards.push(card);
        }
        Ok(nodes)
    }

    /// What a node is started with: the addresses it had before, if it is known, and those of the others.
    fn arguments(&self, node: usize) -> Vec<String> {
        let mut options = vec![("network", self.network.clone()), ("mdns", "false".to_owned())];
        let known = self.cards.get(node);
        options.push(("http", known.map_or("127.0.0.1:0", Card::http_address).to_owned()));
        let any = ["/ip4/127.0.0.1/tcp/0".to_owned()];
        let listen = known.map_or(&any[..], |card| &card.addresses);
        options.extend(listen.iter().map(|address| ("listen", address.clone())));
        let others = self.cards.iter().enumerate().filter(|(other, _)| *other != node);
        let bootstrap = others.flat_map(|(_, card)| &card.addresses);
        options.extend(bootstrap.map(|address| ("bootstrap", address.clone())));
        if self.cards.is_empty() {
            options.push(("init", "true".to_owned()));
        }
        options.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
    }

    /// A node in this process that keeps nothing and works through them.
    pub(super) async fn client(&self) -> Result<Weald, Failure> {
        let config = NodeConfig {
            network: self.network.clone(),
            bootstrap: self.cards.iter().flat_map(|card| card.addresses.clone()).collect(),
            light: true,
            mdns: false,
            ..NodeConfig::default()
        };
        let client = Weald::node(config).start().await?;
        wait(async || Ok(client.readiness())).await?;
        Ok(client)
    }

    /// Waits until `node` sees a coordinator and all nodes as voters of every partition; how many there are.
    pub(super) async fn wait_formed(&self, node: usize) -> Result<usize, Failure> {
        wait(async || {
            let partitions = self.partitions(node).await?;
            let is_formed = |info: &&PartitionInfo| {
                let voters = info.members.iter().filter(|member| member.is_voter).count();
                info.coordinator.is_some() && voters == NODES
            };
            let formed = partitions.iter().filter(is_formed).count();
            let is_all = formed > 0 && formed == partitions.len();
            Ok(is_all.then_some(formed).ok_or_else(|| format!("{formed} partitions are complete")))
        })
        .await
    }

    /// Waits until all nodes have applied the same, by the digests of all partitions.
    pub(super) async fn wait_equal(&self) -> Result<(), Failure> {
        wait(async || {
            let first = self.digests(0).await?;
            for node in 1..NODES {
                if self.digests(node).await? != first {
                    return Ok(Err(format!("node {} differs from node 1", node + 1)));
                }
            }
            Ok(Ok(()))
        })
        .await
    }

    /// The node that coordinates most partitions, and how many.
    pub(super) async fn busiest(&self) -> Result<(usize, usize), Failure> {
        let partitions = self.partitions(0).await?;
        let coordinated = |card: &Card| {
            let coordinators = partitions.iter().filter_map(|info| info.coordinator);
            coordinators.filter(|peer| peer.to_string() == card.peer).count()
        };
        let counts = self.cards.iter().map(coordinated).enumerate();
        Ok(counts.max_by_key(|(_, count)| *count).unwrap_or_default())
    }

    async fn partitions(&self, node: usize) -> Result<Vec<PartitionInfo>, Failure> {
        self.cards[node].database()?.partitions().await
    }

    async fn digests(&self, node: usize) -> Result<Vec<(PartitionId, LogIndex, Digest)>, Failure> {
        let partitions = self.partitions(node).await?.into_iter();
        Ok(partitions.map(|info| (info.partition, info.digest_index, info.digest)).collect())
    }

    /// Kills these with SIGKILL, all before the first is gone.
    pub(super) fn kill(&mut self, nodes: std::ops::Range<usize>) {
        let killed = &mut self.processes[nodes];
        killed.iter_mut().for_each(Process::kill);
        killed.iter_mut().for_each(Process::bury);
    }

    /// Starts killed ones again and waits until they take part.
    pub(super) async fn restart(&mut self, nodes: std::ops::Range<usize>) -> Result<(), Failure> {
        for node in nodes.clone() {
            let arguments = self.arguments(node);
            self.processes[node].start(&arguments)?;
        }
        for node in nodes.clone() {
            self.cards[node] = self.wait_card(node).await?;
        }
        for node in nodes {
            self.wait_formed(node).await?;
        }
        Ok(())
    }

    async fn wait_card(&mut self, node: usize) -> Result<Card, Failure> {
        let process = &mut self.processes[node];
        wait(async || Ok(process.card()?.ok_or_else(|| "it has not started".to_owned()))).await
    }
}

/// Looks again and again until `look` finds what it looks for. It tells what is missing, or that all is lost.
async fn wait<T>(
    mut look: impl AsyncFnMut() -> Result<Result<T, String>, Failure>,
) -> Result<T, Failure> {
    let started = Instant::now();
    loop {
        let missing = match look().await? {
            Ok(found) => return Ok(found),
            Err(missing) => missing,
        };
        if started.elapsed() > STEP_TIME_MAX {
            let message = format_args!("the nodes took longer than {STEP_TIME_MAX:?}: {missing}");
            return Err(Failure::new(Class::Storage, message));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
