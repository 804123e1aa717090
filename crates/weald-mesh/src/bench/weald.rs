//! A mesh of `weald node` processes under measurement.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::http::HttpCaller;
use super::run::{Call, closed_loop, fill};
use super::{Caller, Callers, Counters, System};
use crate::arguments::BenchOptions;
use crate::guard::Guard;
use crate::mesh::{self, Setup};
use crate::metrics;

/// The nodes, which end with this.
pub(super) struct Mesh {
    mesh: mesh::Mesh,
}

impl Mesh {
    pub(super) fn start(
        options: &BenchOptions,
        directory: &Path,
        guard: &Arc<Guard>,
    ) -> Result<Self> {
        let setup = Setup {
            program: options.weald.clone(),
            directory: directory.to_owned(),
            guard: Arc::clone(guard),
            node_count: options.nodes,
            responsibility_k: options.k,
            engine: None,
            log: None,
            seed: 1,
            operation_count: 0,
            round_count: 0,
        };
        let mut mesh = mesh::Mesh::prepare(&setup, "bench", options.nodes)?;
        mesh.found()?;
        Ok(Self { mesh })
    }

    /// Where its nodes are reached, all of them.
    pub(super) fn addresses(&self) -> Result<Vec<String>> {
        let addresses: Result<Vec<Vec<String>>> =
            self.mesh.nodes.iter().map(|node| Ok(node.file()?.bootstrap())).collect();
        Ok(addresses?.concat())
    }
}

impl Callers for Mesh {
    fn caller(&self, client: usize) -> Result<Box<dyn Caller>> {
        let node = &self.mesh.nodes[client % self.mesh.nodes.len()];
        Ok(Box::new(HttpCaller::open(&node.file()?.http)?))
    }
}

impl System for Mesh {
    fn name(&self) -> String {
        format!("weald x{} http", self.mesh.nodes.len())
    }

    fn load(&self, call: Call, clients: usize, length: Duration) -> Result<Vec<Duration>> {
        closed_loop(self, call, clients, length)
    }

    fn fill(&self) -> Result<()> {
        fill(self)
    }

    fn counters(&self) -> Result<Counters> {
        let texts: Result<Vec<String>, _> =
            self.mesh.clients()?.iter().map(|client| client.text("/metrics")).collect();
        let texts = texts?;
        let sum = |name: &str| {
            texts.iter().map(|text| metrics::sum(text, |found| found == name)).sum::<Option<f64>>()
        };
        Ok(Counters {
            syncs: sum("weald_log_syncs_total"),
            wire_bytes: sum("weald_network_sent_bytes_total"),
        })
    }

    fn pids(&self) -> Vec<u32> {
        self.mesh.nodes.iter().filter_map(crate::node::Node::pid).collect()
    }
}
