//! A mesh of nodes in one directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::client::Client;
use crate::guard::Guard;
use crate::namespaces::{self, Namespaces};
use crate::node::{Arguments, Node};
use crate::partitions;

pub(crate) use crate::node::READY_MAX;

/// Members of a partition where a node is not told otherwise.
const K_DEFAULT: usize = 3;
/// How long partitions may take to get their members.
const GROW_MAX: Duration = Duration::from_secs(60);

/// What all meshes of a run are made with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The `weald` program.
    pub(crate) program: PathBuf,
    /// The run's directory; each mesh has its own in it.
    pub(crate) directory: PathBuf,
    pub(crate) guard: Arc<Guard>,
    pub(crate) node_count: usize,
    pub(crate) responsibility_k: Option<usize>,
    pub(crate) engine: Option<String>,
    /// What the nodes log.
    pub(crate) log: Option<String>,
    /// Decides what is killed when; printed, so that a run can be repeated.
    pub(crate) seed: u64,
    /// Operations that a load has to reach.
    pub(crate) operation_count: usize,
    /// Rounds of kills and the like.
    pub(crate) round_count: usize,
}

/// Nodes by place; their directories, and their namespaces if they have any.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) nodes: Vec<Node>,
    directory: PathBuf,
    setup: Setup,
    // After the nodes, which run in them.
    namespaces: Option<Namespaces>,
}

impl Mesh {
    /// A mesh of `count` nodes of which none is started, on the loopback.
    pub(crate) fn prepare(setup: &Setup, name: &str, count: usize) -> Result<Self> {
        let directory = setup.directory.join(name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let mut mesh =
            Self { nodes: Vec::new(), directory, setup: setup.clone(), namespaces: None };
        (0..count).try_for_each(|_| mesh.add().map(|_| ()))?;
        Ok(mesh)
    }

    /// The same with a network namespace for each node.
    pub(crate) fn prepare_apart(setup: &Setup, name: &str, count: usize) -> Result<Self> {
        let namespaces = Namespaces::create(count)?;
        let mut mesh = Self::prepare(setup, name, count)?;
        let (token, token_file) = (String::from("mesh-test"), mesh.directory.join("token"));
        fs::write(&token_file, &token)?;
        for (place, node) in mesh.nodes.iter_mut().enumerate() {
            let arguments = node.arguments_mut();
            arguments.prefix = namespaces.prefix(place);
            arguments.listen = vec![format!("/ip4/{}/tcp/0", namespaces::address(place))];
            arguments.http = format!("{}:0", namespaces::address(place));
            arguments.token = Some(token.clone());
            arguments.token_file = Some(token_file.clone());
        }
        mesh.namespaces = Some(namespaces);
        Ok(mesh)
    }

    /// One more node, not started; its place.
    pub(crate) fn add(&mut self) -> Result<usize> {
        let place = self.nodes.len();
        let name = format!("n{place}");
        let arguments = Arguments {
            program: self.setup.program.clone(),
            data_dir: self.directory.join(&name),
            network: String::from("mesh"),
            listen: vec![String::from("/ip4/127.0.0.1/tcp/0")],
            http: String::from("127.0.0.1:0"),
            responsibility_k: self.setup.responsibility_k,
            engine: self.setup.engine.clone(),
            log: self.setup.log.clone(),
            ..Arguments::default()
        };
        fs::create_dir_all(&arguments.data_dir)?;
        let log = self.directory.join(format!("{name}.log"));
        self.nodes.push(Node::new(name, arguments, log, Arc::clone(&self.setup.guard)));
        Ok(place)
    }

    /// The first node founds, the others join it one after the other; all are ready, and partitions have the members
    /// that they should have.
    pub(crate) fn found(&mut self) -> Result<()> {
        self.start_first()?;
        for place in 1..self.nodes.len() {
            self.join(place)?;
        }
        self.wait_ready(READY_MAX)?;
        let k = self.setup.responsibility_k.unwrap_or(K_DEFAULT);
        partitions::wait_grown(self, k, GROW_MAX).map(|_| ())
    }

    /// Starts the node at place 0 as a founder.
    pub(crate) fn start_first(&mut self) -> Result<()> {
        self.nodes[0].arguments_mut().is_init = true;
        self.nodes[0].start().map(|_| ())
    }

    /// Starts the node at `place` with the address of the first.
    pub(crate) fn join(&mut self, place: usize) -> Result<()> {
        self.join_through(place, 0)
    }

    /// Starts the node at `place` with the address of the one at `seed`.
    pub(crate) fn join_through(&mut self, place: usize, seed: usize) -> Result<()> {
        let bootstrap = self.nodes[seed].file()?.bootstrap();
        let node = &mut self.nodes[place];
        node.arguments_mut().bootstrap = bootstrap;
        node.spawn()?;
        node.wait_started()
    }

    /// Waits until all running nodes are ready.
    pub(crate) fn wait_ready(&mut self, within: Duration) -> Result<()> {
        for node in self.nodes.iter_mut().filter(|node| node.is_running()) {
            node.wait_ready(within)?;
        }
        Ok(())
    }

    /// Starts all nodes that do not run, at once, and waits until they are ready.
    pub(crate) fn start_missing(&mut self) -> Result<()> {
        for node in self.nodes.iter_mut().filter(|node| !node.is_running()) {
            node.spawn()?;
        }
        self.wait_all_started()?;
        self.wait_ready(READY_MAX)
    }

    /// Waits until all running nodes have said where they are.
    pub(crate) fn wait_all_started(&mut self) -> Result<()> {
        self.nodes.iter_mut().filter(|node| node.is_running()).try_for_each(Node::wait_started)
    }

    /// Clients of all nodes, running or not, by place.
    pub(crate) fn clients(&self) -> Result<Vec<Client>> {
        self.nodes.iter().map(Node::client).collect()
    }

    /// Places of running nodes.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|place| self.nodes[*place].is_running()).collect()
    }

    /// The place of the node with this peer id.
    pub(crate) fn place_of(&self, peer_id: &str) -> Option<usize> {
        let is_it = |node: &Node| node.file().is_ok_and(|file| file.peer_id == peer_id);
        self.nodes.iter().position(is_it)
    }

    /// The namespaces of [`Self::prepare_apart`].
    pub(crate) fn namespaces(&self) -> Result<&Namespaces> {
        self.namespaces.as_ref().context("the nodes share one network")
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Fails when a node has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if let Some(status) = node.has_ended()? {
                bail!("{} ended by itself ({status})\n{}", node.name(), node.log_end());
            }
        }
        Ok(())
    }

    /// What running nodes have counted goes beside their logs, where a run that is kept can be read.
    pub(crate) fn note_metrics(&self, when: &str) -> Result<()> {
        for node in self.running().into_iter().map(|place| &self.nodes[place]) {
            let file = self.directory.join(format!("{}.{when}.metrics", node.name()));
            fs::write(file, node.client()?.text("/metrics")?)?;
        }
        Ok(())
    }

    /// The ends of all logs.
    pub(crate) fn log_ends(&self) -> String {
        self.nodes.iter().map(Node::log_end).collect()
    }
}
