//! Three `weald node` processes that are one network.

use std::{
    fs::File,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    node::{self, Node},
    program::{Ended, Place},
};

/// How long anything may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a network is made with.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Voters of each partition.
    pub(crate) k: usize,
    pub(crate) partitions: usize,
    /// What each node logs, into `log` in its place.
    pub(crate) log: [&'static str; NODES],
}

pub(crate) const NODES: usize = 3;

/// The nodes, by number; their places outlive them.
pub(crate) struct Mesh {
    plan: Plan,
    places: Vec<Place>,
    nodes: Vec<Option<Node>>,
}

impl Mesh {
    /// The first founds, the others join; all serve, and each partition has its voters.
    pub(crate) fn start(plan: Plan) -> Self {
        let mut mesh = Self { plan, places: Vec::new(), nodes: Vec::new() };
        for number in 0..NODES {
            mesh.places.push(Place::new());
            mesh.nodes.push(None);
            mesh.restart(number);
        }
        mesh.until("all are ready", |mesh| mesh.nodes().all(|node| node.get("/readyz").is_some()));
        mesh.until("each partition has its voters", Self::is_grown);
        mesh
    }

    /// Starts a node that does not run.
    pub(crate) fn restart(&mut self, number: usize) {
        let mut command = self.command(number);
        let others = self.nodes().flat_map(|node| node.card["addresses"].as_array().unwrap());
        let others: Vec<_> = others.map(|address| address.as_str().unwrap()).collect();
        match &others[..] {
            [] => command.env("WEALD_INIT", "true"),
            others => command.env("WEALD_BOOTSTRAP", others.join(",")),
        };
        assert!(self.nodes[number].is_none(), "it runs");
        self.nodes[number] = Some(Node::begin(&mut command));
    }

    fn command(&self, number: usize) -> Command {
        let (plan, place) = (&self.plan, &self.places[number]);
        let mut command = node::command(place);
        command.env("WEALD_MDNS", "false").env("WEALD_NETWORK", "mesh");
        command.env("WEALD_PARTITIONS", plan.partitions.to_string());
        command.env("WEALD_RESPONSIBILITY_K", plan.k.to_string());
        command.env("WEALD_WRITE_TIMEOUT_MS", "4000");
        command.env("WEALD_LOG", plan.log[number]);
        let log = File::options().create(true).append(true).open(place.path("log")).unwrap();
        command.stderr(log);
        command
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    pub(crate) fn node(&self, number: usize) -> &Node {
        self.nodes[number].as_ref().expect("it runs")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, number: usize) {
        drop(self.nodes[number].take().expect("it runs"));
    }

    /// Stops a node as an operator does.
    pub(crate) fn stop(&mut self, number: usize) {
        self.nodes[number].take().expect("it runs").stop();
    }

    /// What a node has logged in all its runs.
    pub(crate) fn log(&self, number: usize) -> String {
        std::fs::read_to_string(self.places[number].path("log")).unwrap()
    }

    /// Runs a verb against a node.
    pub(crate) fn run(&self, number: usize, arguments: &[&str]) -> Ended {
        self.node(number).run(&self.places[number], arguments, b"")
    }

    /// What a verb prints that ends well, however often it has to be asked.
    pub(crate) fn prints(&self, number: usize, arguments: &[&str]) -> String {
        let mut told = String::new();
        self.until(&format!("{arguments:?} is done"), |mesh| {
            let ended = mesh.run(number, arguments);
            told = ended.stdout;
            ended.code == 0
        });
        told
    }

    /// The objects that a verb prints with `--json`.
    pub(crate) fn json(&self, number: usize, arguments: &[&str]) -> Vec<Value> {
        let told = self.prints(number, &[&["--json"], arguments].concat());
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The sum of what a node counts under a name with labels that begin so; none for what it does not
    /// tell.
    pub(crate) fn metric(&self, number: usize, name: &str, labels: &str) -> Option<f64> {
        let page = self.node(number).get("/metrics").expect("metrics are told whatever happens");
        let value = |line: &str| {
            let (left, value) = line.rsplit_once(' ')?;
            let (found, found_labels) = left.split_once('{').unwrap_or((left, ""));
            let is_it = found == name && found_labels.starts_with(labels);
            is_it.then(|| value.parse::<f64>().unwrap())
        };
        let values: Vec<_> = page.lines().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The number of the running node that coordinates a partition.
    pub(crate) fn coordinator(&self, partition: u64) -> usize {
        let mut found = None;
        self.until("somebody coordinates", |mesh| {
            found = mesh.coordinator_now(partition);
            found.is_some()
        });
        found.unwrap()
    }

    fn coordinator_now(&self, partition: u64) -> Option<usize> {
        (0..NODES).find(|number| {
            let Some(node) = &self.nodes[*number] else { return false };
            let coordinates =
                |told: &Value| told["partition"] == partition && told["role"] == "coordinator";
            partitions(node).iter().any(coordinates)
        })
    }

    /// Whether each partition is coordinated by a member that knows as many voters as there are to be.
    fn is_grown(&self) -> bool {
        let told: Vec<_> = self.nodes().flat_map(partitions).collect();
        let is_well = |partition: usize| {
            told.iter().any(|told| {
                let members = told["members"].as_array().unwrap();
                told["partition"] == partition
                    && told["role"] == "coordinator"
                    && members.len() == self.plan.k
                    && members.iter().all(|member| member["voter"] == true)
            })
        };
        (0..self.plan.partitions).all(is_well)
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let patience = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < patience, "in vain: {what}\n{}", self.logs());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn logs(&self) -> String {
        (0..self.places.len())
            .map(|number| format!("node {number}:\n{}", self.log(number)))
            .collect()
    }
}

/// What a node tells of the partitions that it keeps.
fn partitions(node: &Node) -> Vec<Value> {
    let told = node.get("/v1/partitions").and_then(|told| serde_json::from_str(&told).ok());
    let told: Value = told.unwrap_or_default();
    told["partitions"].as_array().cloned().unwrap_or_default()
}
