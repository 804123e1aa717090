//! Serializability of transactions over many registers and diaries.

mod anomaly;
mod cycle;
mod diaries;
mod graph;
mod realtime;
mod registers;
mod writers;

use std::collections::BTreeMap;

use super::{History, Object, Operation, Step};
pub use anomaly::{Anomalies, Anomaly, AnomalyKind};
pub use graph::Dependency;
use graph::Graph;
use writers::Writers;

/// What is promised, from weak to strong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Only what is committed is read, and writes of transactions do not interleave: no G0, no G1.
    ReadCommitted,
    /// There is an order of all transactions that explains the answers: no G-single, no G2 either.
    Serializable,
    /// That order keeps real time.
    StrictSerializable,
}

/// What was judged and found without an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Serialized {
    /// Transactions in the graph: the committed ones and those of unknown outcome that were seen.
    pub transaction_count: usize,
    /// Write-write, write-read and read-write dependencies: 0 says that nothing was judged.
    pub dependency_count: usize,
    /// Edges for real time.
    pub realtime_edge_count: usize,
}

/// Looks for anomalies that `level` forbids.
///
/// # Errors
/// The anomalies, the worst first. Of each group of transactions that depend on each other in
/// circles the worst cycle is reported.
pub fn check_serializable(history: &History, level: Level) -> Result<Serialized, Anomalies> {
    let mut inference = Inference::new(history);
    for (object, parts) in inference.parts() {
        match object {
            Object::Register(_) => registers::infer(&mut inference, object, &parts),
            Object::Diary(_) => diaries::infer(&mut inference, object, &parts),
        }
    }
    let Inference { writers, mut graph, mut anomalies, .. } = inference;
    let dependency_count = graph.edge_count();
    if level == Level::StrictSerializable {
        realtime::infer(history, &writers, &mut graph);
    }
    for anomaly in cycle::find(history, &graph, level) {
        anomalies.add(anomaly);
    }
    anomalies.keep_forbidden(level);
    if !anomalies.is_empty() {
        return Err(anomalies);
    }
    Ok(Serialized {
        transaction_count: writers.effective_count(),
        dependency_count,
        realtime_edge_count: graph.edge_count() - dependency_count,
    })
}

/// What has been inferred from a history so far.
struct Inference<'a> {
    history: &'a History,
    writers: Writers<'a>,
    graph: Graph<'a>,
    anomalies: Anomalies,
}

/// The steps of one transaction on one object.
struct Part<'a> {
    /// The place of the transaction in the history.
    place: usize,
    operation: &'a Operation,
    steps: Vec<&'a Step>,
}

impl<'a> Inference<'a> {
    fn new(history: &'a History) -> Self {
        Self {
            history,
            writers: Writers::new(history),
            graph: Graph::new(history.operations().len()),
            anomalies: Anomalies::default(),
        }
    }

    /// The transactions that took effect, by object.
    fn parts(&self) -> BTreeMap<Object<'a>, Vec<Part<'a>>> {
        let mut parts: BTreeMap<Object<'a>, Vec<Part<'a>>> = BTreeMap::new();
        for (place, operation) in self.history.operations().iter().enumerate() {
            if !self.writers.is_effective(place) {
                continue;
            }
            for step in &operation.steps {
                let of_object = parts.entry(step.object()).or_default();
                match of_object.last_mut().filter(|part| part.place == place) {
                    Some(part) => part.steps.push(step),
                    None => of_object.push(Part { place, operation, steps: vec![step] }),
                }
            }
        }
        parts
    }

    /// Adds an anomaly about the transactions at `places`.
    fn report(&mut self, kind: AnomalyKind, places: &[usize], text: String) {
        let operations = self.history.operations();
        let shown = places.iter().map(|place| format!("\n  T{place}: {}", operations[*place]));
        let explanation = text + &shown.collect::<String>();
        self.anomalies.add(Anomaly { kind, places: places.to_vec(), explanation });
    }
}
