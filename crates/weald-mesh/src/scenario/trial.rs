//! A load over a mesh with faults in it, from the start of the load to the verdict over its history.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::client::{Client, Condition};
use crate::judge::judge;
use crate::load::{Load, LoadResult, Objects, Plan};
use crate::mesh::{Mesh, Setup};
use crate::partitions;
use crate::report::Report;
use crate::statistics::{Shown, Summary};

/// How long a load may take for what it is waited for.
const LOAD_MAX: Duration = Duration::from_secs(180);
/// How long writes may be away after a fault before a scenario gives up.
const ACK_MAX: Duration = Duration::from_secs(30);
/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long members may take until they are the same after the load.
const CONVERGE_MAX: Duration = Duration::from_secs(60);

/// Something that was done to the mesh.
#[derive(Clone, Debug)]
struct Fault {
    what: &'static str,
    /// Nanoseconds since the load began.
    at: u64,
    /// The trees whose coordinator it hit.
    trees: Vec<usize>,
}

/// By what was done.
type Limits = BTreeMap<&'static str, Duration>;

/// A load under way.
pub(super) struct Trial {
    pub(super) mesh: Mesh,
    load: Load,
    objects: Objects,
    /// The partition of each tree.
    partitions: Vec<u64>,
    faults: Vec<Fault>,
    /// What 99 of 100 gaps after a fault must not exceed.
    limits: Limits,
}

impl Trial {
    /// Begins a load over all nodes of `mesh`.
    pub(super) fn begin(setup: &Setup, mesh: Mesh, name: &str) -> Result<Self> {
        Self::with_plan(mesh, name, Plan::new(setup.seed))
    }

    pub(super) fn with_plan(mesh: Mesh, name: &str, plan: Plan) -> Result<Self> {
        let clients = mesh.clients()?;
        Self::with_clients(mesh, name, clients, plan)
    }

    /// Begins a load through `clients`, which reach the nodes of `mesh` by their own ways.
    pub(super) fn with_clients(
        mesh: Mesh,
        name: &str,
        clients: Vec<Client>,
        plan: Plan,
    ) -> Result<Self> {
        let client = mesh.nodes[mesh.running()[0]].client()?;
        let objects = plan.objects;
        let trees = (0..objects.tree_count).map(|tree| objects.tree(tree));
        let partitions: Result<Vec<u64>, _> = trees
            .map(|tree| {
                let id = format!("{name}-create-{tree}");
                // A collection that is not there has no position.
                client.put((&tree, "-"), b"0", Condition::Always, &id)?;
                client.partition_of(&tree)
            })
            .collect();
        let partitions = partitions?;
        let load = Load::start(name, clients, plan);
        Ok(Self { mesh, load, objects, partitions, faults: Vec::new(), limits: Limits::new() })
    }

    /// Waits until the load has completed `more` operations.
    pub(super) fn wait_operations(&mut self, more: usize) -> Result<()> {
        let wanted = self.load.operation_count() + more;
        let is_reached = self.load.wait_operations(wanted, LOAD_MAX);
        self.mesh.check_alive()?;
        ensure!(is_reached, "no {more} operations within {LOAD_MAX:?}\n{}", self.mesh.log_ends());
        Ok(())
    }

    /// Waits until `is_so`, which is looked at now and then.
    pub(super) fn wait_until(&mut self, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_so(self) {
            ensure!(
                started.elapsed() < ACK_MAX,
                "not within {ACK_MAX:?}\n{}",
                self.mesh.log_ends()
            );
            self.mesh.check_alive()?;
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub(super) fn tree_count(&self) -> usize {
        self.partitions.len()
    }

    /// Fails the trial when writes are away longer than this after more than one in a hundred faults.
    pub(super) fn limit(&mut self, what: &'static str, p99: Duration) {
        self.limits.insert(what, p99);
    }

    /// The node that coordinates the partition of `tree`.
    pub(super) fn coordinator_of_tree(&self, tree: usize) -> Result<usize> {
        partitions::wait_coordinator(&self.mesh, self.partitions[tree], ACK_MAX)
    }

    /// Notes that something is done to the node at `place`; call it just before.
    pub(super) fn hit(&mut self, what: &'static str, place: usize) {
        let coordinated = |tree: &usize| {
            partitions::coordinator_of(&self.mesh, self.partitions[*tree]) == Some(place)
        };
        let trees: Vec<usize> = (0..self.partitions.len()).filter(coordinated).collect();
        self.faults.push(Fault { what, at: self.load.now(), trees });
    }

    /// Notes that something is done to all nodes; call it just before.
    pub(super) fn hit_all(&mut self, what: &'static str) {
        let trees = (0..self.partitions.len()).collect();
        self.faults.push(Fault { what, at: self.load.now(), trees });
    }

    /// Waits until every tree that the last fault hit is written again.
    pub(super) fn wait_written_again(&mut self) -> Result<()> {
        let Some(fault) = self.faults.last() else { return Ok(()) };
        for tree in &fault.trees {
            let is_back = self.load.wait_acked(*tree, fault.at, ACK_MAX);
            let what = fault.what;
            ensure!(
                is_back,
                "no write of {} within {ACK_MAX:?} of: {what}\n{}",
                self.objects.tree(*tree),
                self.mesh.log_ends()
            );
        }
        self.mesh.check_alive()
    }

    /// Ends the load and judges it; the mesh, for more.
    pub(super) fn end(self, report: &mut Report) -> Result<Mesh> {
        self.end_with_writes(report).map(|(mesh, _)| mesh)
    }

    /// [`Self::end`], with how long writes took.
    pub(super) fn end_with_writes(self, report: &mut Report) -> Result<(Mesh, Option<Summary>)> {
        let Self { mut mesh, load, objects, faults, limits, .. } = self;
        let mut result = load.finish()?;
        let history = mesh.directory().join(format!("{}.history.jsonl", objects.prefix));
        fs::write(history, result.json_lines())?;
        mesh.check_alive()?;
        mesh.note_metrics(objects.prefix)?;
        tell_gaps(report, &result, &faults, &limits);
        judge(report, &mut result, &mesh.clients()?)?;
        Ok((mesh, result.latencies().0))
    }

    /// [`Self::end`], and all members have to become the same.
    pub(super) fn end_converged(self, report: &mut Report) -> Result<Mesh> {
        let mesh = self.end(report)?;
        let taken = partitions::wait_converged(&mesh, CONVERGE_MAX);
        match taken {
            Ok(taken) => report.tell("digests are equal after", Shown(taken)),
            Err(error) => report.expect(false, "digests are equal", format_args!("{error:#}")),
        }
        Ok(mesh)
    }
}

/// How long writes were away after each kind of fault, for each tree that it hit.
fn tell_gaps(report: &mut Report, result: &LoadResult, faults: &[Fault], limits: &Limits) {
    let mut gaps: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for fault in faults {
        let next = fault.trees.iter().filter_map(|tree| result.next_ack(&[*tree], fault.at));
        gaps.entry(fault.what).or_default().extend(next);
    }
    for (what, gaps) in gaps {
        let count = faults.iter().filter(|fault| fault.what == what).count();
        report.tell(what, format_args!("{count} times"));
        let Some(summary) = Summary::of(gaps) else { continue };
        let limit = limits.get(what).copied().unwrap_or(Duration::MAX);
        report.expect(summary.p99 <= limit, &format!("{what}: next acknowledged write"), summary);
    }
}
