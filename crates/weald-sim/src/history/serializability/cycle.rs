//! Finds cycles of dependencies and names them.

use std::collections::{BTreeMap, VecDeque};
use std::iter;

use super::super::History;
use super::super::limits::{CYCLE_SEARCHES_MAX, CYCLES_COMPARED_MAX};
use super::graph::{Dependency, Edge, Graph};
use super::{Anomaly, AnomalyKind, Level};

/// A name of cycles: one edge of `first`, all others of `rest`.
struct Shape {
    kind: AnomalyKind,
    first: Dependency,
    rest: &'static [Dependency],
}

use Dependency::{ReadWrite, Realtime, WriteRead, WriteWrite};

/// The worst first. A cycle of a later shape was not found under an earlier one: what is found for
/// G2 has no cycle with a single read-write dependency, and what is found with real time has none
/// without.
const SHAPES: [Shape; 8] = [
    Shape { kind: AnomalyKind::G0, first: WriteWrite, rest: &[WriteWrite] },
    Shape { kind: AnomalyKind::G1c, first: WriteRead, rest: &[WriteWrite, WriteRead] },
    Shape { kind: AnomalyKind::GSingle, first: ReadWrite, rest: &[WriteWrite, WriteRead] },
    Shape { kind: AnomalyKind::G2, first: ReadWrite, rest: &[WriteWrite, WriteRead, ReadWrite] },
    Shape { kind: AnomalyKind::G0Realtime, first: WriteWrite, rest: &[WriteWrite, Realtime] },
    Shape {
        kind: AnomalyKind::G1cRealtime,
        first: WriteRead,
        rest: &[WriteWrite, WriteRead, Realtime],
    },
    Shape {
        kind: AnomalyKind::GSingleRealtime,
        first: ReadWrite,
        rest: &[WriteWrite, WriteRead, Realtime],
    },
    Shape {
        kind: AnomalyKind::G2Realtime,
        first: ReadWrite,
        rest: &[WriteWrite, WriteRead, ReadWrite, Realtime],
    },
];

/// One anomaly for each group of transactions that depend on each other in circles.
pub(super) fn find(history: &History, graph: &Graph<'_>, level: Level) -> Vec<Anomaly> {
    let components = graph.components(considered_at(level));
    let mut group_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (group, component) in components.iter().enumerate() {
        group_of.extend(component.iter().map(|place| (*place, group)));
    }
    let mut named: BTreeMap<usize, Anomaly> = BTreeMap::new();
    for shape in SHAPES.iter().filter(|shape| shape.kind.forbidden_from() <= level) {
        if named.len() == components.len() {
            break;
        }
        let mut search = Search::new(graph, graph.components(&shape.dependencies()));
        for component in 0..search.components.len() {
            let group = group_of[&search.components[component][0]];
            if named.contains_key(&group) {
                continue;
            }
            if let Some(cycle) = search.shortest(component, shape) {
                named.insert(group, explain(history, shape.kind, &cycle));
            }
        }
    }
    assert_eq!(named.len(), components.len(), "the last shapes of a level take every cycle");
    named.into_values().collect()
}

fn considered_at(level: Level) -> &'static [Dependency] {
    match level {
        Level::ReadCommitted => &[WriteWrite, WriteRead],
        Level::Serializable => &[WriteWrite, WriteRead, ReadWrite],
        Level::StrictSerializable => &[WriteWrite, WriteRead, ReadWrite, Realtime],
    }
}

impl Shape {
    fn dependencies(&self) -> Vec<Dependency> {
        self.rest.iter().copied().chain([self.first]).collect()
    }
}

/// A cycle: each transaction with the edge to the next.
type Cycle<'a> = Vec<(usize, Edge<'a>)>;

/// Searches within components.
struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    components: Vec<Vec<usize>>,
    /// By place: its component.
    component_of: Vec<Option<usize>>,
    /// By place: the transaction before it on the shortest path, with the edge.
    came_by: Vec<Option<(usize, Edge<'a>)>>,
}

impl<'g, 'a> Search<'g, 'a> {
    fn new(graph: &'g Graph<'a>, components: Vec<Vec<usize>>) -> Self {
        let mut component_of = vec![None; graph.transaction_count()];
        for (index, component) in components.iter().enumerate() {
            for place in component {
                component_of[*place] = Some(index);
            }
        }
        let came_by = vec![None; graph.transaction_count()];
        Self { graph, components, component_of, came_by }
    }

    /// The shortest cycle of a shape among the first that are found.
    fn shortest(&mut self, component: usize, shape: &Shape) -> Option<Cycle<'a>> {
        let mut best: Option<Cycle<'a>> = None;
        let (mut found_count, mut failed_count) = (0, 0);
        for (source, edge) in self.edges(component, shape.first) {
            match self.path(edge.target, source, shape.rest) {
                Some(path) => {
                    found_count += 1;
                    if best.as_ref().is_none_or(|best| path.len() + 1 < best.len()) {
                        best = Some(iter::once((source, edge)).chain(path).collect());
                    }
                }
                None => failed_count += 1,
            }
            if found_count >= CYCLES_COMPARED_MAX || failed_count >= CYCLE_SEARCHES_MAX {
                break;
            }
        }
        best
    }

    /// The edges of a dependency within a component.
    fn edges(&self, component: usize, dependency: Dependency) -> Vec<(usize, Edge<'a>)> {
        let mut edges = Vec::new();
        for source in &self.components[component] {
            for edge in self.graph.edges_from(*source) {
                let is_inside = self.component_of[edge.target] == Some(component);
                if is_inside && edge.dependency == dependency {
                    edges.push((*source, *edge));
                }
            }
        }
        edges
    }

    /// The shortest path within a component over edges of the `allowed` dependencies.
    fn path(&mut self, from: usize, to: usize, allowed: &[Dependency]) -> Option<Cycle<'a>> {
        let component = self.component_of[from];
        let mut met = vec![from];
        let mut open = VecDeque::from([from]);
        while let Some(place) = open.pop_front().filter(|place| *place != to) {
            for edge in self.graph.edges_from(place) {
                let is_usable = allowed.contains(&edge.dependency)
                    && self.component_of[edge.target] == component;
                let is_met = edge.target == from || self.came_by[edge.target].is_some();
                if is_usable && !is_met {
                    self.came_by[edge.target] = Some((place, *edge));
                    met.push(edge.target);
                    open.push_back(edge.target);
                }
            }
        }
        let path = self.walk_back(from, to);
        for place in met {
            self.came_by[place] = None;
        }
        path
    }

    fn walk_back(&self, from: usize, to: usize) -> Option<Cycle<'a>> {
        let mut path = Vec::new();
        let mut place = to;
        while place != from {
            let step = self.came_by[place]?;
            path.push(step);
            place = step.0;
        }
        path.reverse();
        Some(path)
    }
}

fn explain(history: &History, kind: AnomalyKind, cycle: &Cycle<'_>) -> Anomaly {
    let mut explanation = format!("a cycle of {} transactions", cycle.len());
    for (place, _) in cycle {
        explanation += &format!("\n  T{place}: {}", history.operations()[*place]);
    }
    for (place, edge) in cycle {
        let target = edge.target;
        let object = edge.object.map(|object| object.to_string()).unwrap_or_default();
        explanation += &match edge.dependency {
            WriteWrite => format!("\n  T{place} -ww-> T{target}: later version of {object}"),
            WriteRead => format!("\n  T{place} -wr-> T{target}: which saw its {object}"),
            ReadWrite => format!("\n  T{place} -rw-> T{target}: saw {object} before its write"),
            Realtime => format!("\n  T{place} -rt-> T{target}: completed before it was invoked"),
        };
    }
    let places = cycle.iter().map(|(place, _)| *place).collect();
    Anomaly { kind, places, explanation }
}
