//! Puts and gets through the Rust client: one light node with all clients in it, as an application has them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::weald::{RawTree, Weald};
use anyhow::{Context as _, Result, ensure};
use tokio::runtime::{Builder, Runtime};

use super::http::TREE_COUNT;
use super::run::Call;
use super::weald::Mesh;
use super::{Counters, KEY_COUNT, System, VALUE_BYTES};
use crate::light;
use crate::random::Random;

/// Threads of the client: nodes and clients share the machine.
const THREADS: usize = 2;
/// Clients that fill the trees before they are measured.
const FILLING_CLIENTS: usize = 32;

/// A light node, and the mesh that it is a client of.
pub(super) struct Light<'a> {
    mesh: &'a Mesh,
    node: Weald,
    trees: Arc<Vec<RawTree>>,
    // After what runs on it.
    runtime: Runtime,
}

impl<'a> Light<'a> {
    /// Connects to all nodes of `mesh` and opens the trees, which it makes where they are not.
    pub(super) fn start(mesh: &'a Mesh) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        let (node, trees) = runtime.block_on(open(mesh.addresses()?))?;
        Ok(Self { mesh, node, trees: Arc::new(trees), runtime })
    }
}

async fn open(addresses: Vec<String>) -> Result<(Weald, Vec<RawTree>)> {
    let node = light::start(addresses).await?;
    let mut trees = Vec::new();
    for tree in 0..TREE_COUNT {
        trees.push(node.raw_tree(&format!("bench-{tree}")).open_or_create().await?);
    }
    Ok((node, trees))
}

impl Call {
    async fn ask(self, trees: &[RawTree], key: usize) -> Result<()> {
        let (tree, name) = (&trees[key % TREE_COUNT], format!("k{key}"));
        match self {
            Self::Put => {
                tree.put(name, [b'v'; VALUE_BYTES]).await?;
            }
            Self::Get => {
                let found = tree.get(name).await?.context("a key is not there")?;
                ensure!(found.len() == VALUE_BYTES, "another value was read");
            }
        }
        Ok(())
    }
}

impl System for Light<'_> {
    fn name(&self) -> String {
        self.mesh.name().replace("http", "rust")
    }

    fn load(&self, call: Call, clients: usize, length: Duration) -> Result<Vec<Duration>> {
        let client = |client: u64| {
            let trees = Arc::clone(&self.trees);
            self.runtime.spawn(one_client(trees, call, length, Random::new(client + 1)))
        };
        let clients: Vec<_> = (0..u64::try_from(clients)?).map(client).collect();
        let mut all = Vec::new();
        for client in clients {
            all.extend(self.runtime.block_on(client).context("a client panicked")??);
        }
        Ok(all)
    }

    fn fill(&self) -> Result<()> {
        let fillers: Vec<_> = (0..FILLING_CLIENTS)
            .map(|client| {
                let trees = Arc::clone(&self.trees);
                self.runtime.spawn(async move {
                    for key in (client..KEY_COUNT).step_by(FILLING_CLIENTS) {
                        Call::Put.ask(&trees, key).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for filler in fillers {
            self.runtime.block_on(filler).context("a client panicked")??;
        }
        Ok(())
    }

    fn counters(&self) -> Result<Counters> {
        self.mesh.counters()
    }

    fn pids(&self) -> Vec<u32> {
        self.mesh.pids()
    }
}

impl Drop for Light<'_> {
    fn drop(&mut self) {
        // What it had in memory goes with it; the nodes hold everything else.
        let _ = self.runtime.block_on(self.node.close());
    }
}

async fn one_client(
    trees: Arc<Vec<RawTree>>,
    call: Call,
    length: Duration,
    mut random: Random,
) -> Result<Vec<Duration>> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < length {
        let started = Instant::now();
        call.ask(&trees, random.below(KEY_COUNT)).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}
