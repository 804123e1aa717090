//! A mesh of `weald node` processes under measurement.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::http::HttpCaller;
use super::run::{Call, closed_loop, fill};
use super::{Caller, Callers, Counters, System};
use crate::guard::Guard;
use crate::mesh::{self, Setup};
use crate::metrics;

/// The nodes, which end with this.
pub(super) struct Mesh {
    mesh: mesh::Mesh,
}

impl Mesh {
    /// Starts nodes of `program`, so many, with so many members of a partition.
    pub(super) fn start(
        (program, nodes, k): (&Path, usize, Option<usize>),
        directory: &Path,
        guard: &Arc<Guard>,
    ) -> Result<Self> {
        let setup = Setup {
            program: program.to_owned(),
            directory: directory.to_owned(),
            guard: Arc::clone(guard),
            node_count: nodes,
            responsibility_k: k,
            engine: None,
            log: None,
            seed: 1,
            operation_count: 0,
            round_count: 0,
        };
        let mut mesh = mesh::Mesh::prepare(&setup, "bench", nodes)?;
        mesh.found()?;
        Ok(Self { mesh })
    }

    /// Where its nodes are reached, all of them.
    pub(super) fn addresses(&self) -> Result<Vec<String>> {
        let addresses: Result<Vec<Vec<String>>> =
            self.mesh.nodes.iter().map(|node| Ok(node.file()?.bootstrap())).collect();
        Ok(addresses?.concat())
    }

    /// The nodes themselves.
    pub(super) fn nodes(&self) -> &mesh::Mesh {
        &self.mesh
    }

    /// The sum of a counter over all nodes.
    pub(super) fn sum(&self, name: &str) -> Result<Option<f64>> {
        let texts: Result<Vec<String>, _> =
            self.mesh.clients()?.iter().map(|client| client.text("/metrics")).collect();
        let sums = texts?.into_iter().map(|text| metrics::sum(&text, |found| found == name));
        Ok(sums.sum())
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
        Ok(Counters {
            syncs: self.sum("weald_log_syncs_total")?,
            wire_bytes: self.sum("weald_network_sent_bytes_total")?,
        })
    }

    fn pids(&self) -> Vec<u32> {
        self.mesh.nodes.iter().filter_map(crate::node::Node::pid).collect()
    }
}
