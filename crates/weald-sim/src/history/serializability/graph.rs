//! The graph of dependencies between transactions.

use super::super::Object;

/// Why one transaction is before another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Dependency {
    /// The second wrote the next known version.
    WriteWrite,
    /// The second read what the first wrote.
    WriteRead,
    /// The first read a version before what the second wrote.
    ReadWrite,
    /// The first completed before the second was invoked.
    Realtime,
}

/// From one transaction to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'a> {
    pub(super) target: usize,
    pub(super) dependency: Dependency,
    /// What the dependency is about; none for real time.
    pub(super) object: Option<Object<'a>>,
}

/// Transactions by their place in the history, with the edges that leave each.
pub(super) struct Graph<'a> {
    edges: Vec<Vec<Edge<'a>>>,
    edge_count: usize,
}

impl<'a> Graph<'a> {
    pub(super) fn new(transaction_count: usize) -> Self {
        Self { edges: vec![Vec::new(); transaction_count], edge_count: 0 }
    }

    /// Adds an edge; from a transaction to itself there is none.
    pub(super) fn add(&mut self, source: usize, edge: Edge<'a>) {
        if source != edge.target {
            self.edges[source].push(edge);
            self.edge_count += 1;
        }
    }

    pub(super) fn transaction_count(&self) -> usize {
        self.edges.len()
    }

    pub(super) fn edge_count(&self) -> usize {
        self.edge_count
    }

    pub(super) fn edges_from(&self, source: usize) -> &[Edge<'a>] {
        &self.edges[source]
    }

    /// The groups of two and more transactions that reach each other over edges of the `allowed`
    /// dependencies (Tarjan, Depth-first search and linear graph algorithms, 1972), with a stack of
    /// its own because paths are as long as histories.
    pub(super) fn components(&self, allowed: &[Dependency]) -> Vec<Vec<usize>> {
        let mut walk = Walk {
            graph: self,
            allowed,
            numbers: vec![None; self.edges.len()],
            lows: vec![0; self.edges.len()],
            is_open: vec![false; self.edges.len()],
            open: Vec::new(),
            next_number: 0,
            components: Vec::new(),
        };
        for place in 0..self.edges.len() {
            walk.visit_from(place);
        }
        walk.components
    }
}

struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    allowed: &'g [Dependency],
    numbers: Vec<Option<usize>>,
    lows: Vec<usize>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    next_number: usize,
    components: Vec<Vec<usize>>,
}

impl Walk<'_, '_> {
    fn visit_from(&mut self, root: usize) {
        if self.numbers[root].is_some() {
            return;
        }
        self.enter(root);
        let mut path = vec![(root, 0)];
        while let Some((place, edge_index)) = path.pop() {
            let Some(edge) = self.graph.edges[place].get(edge_index) else {
                self.leave(place);
                if let Some((parent, _)) = path.last() {
                    self.lows[*parent] = self.lows[*parent].min(self.lows[place]);
                }
                continue;
            };
            path.push((place, edge_index + 1));
            if !self.allowed.contains(&edge.dependency) {
                continue;
            }
            match self.numbers[edge.target] {
                None => {
                    self.enter(edge.target);
                    path.push((edge.target, 0));
                }
                Some(number) if self.is_open[edge.target] => {
                    self.lows[place] = self.lows[place].min(number);
                }
                Some(_) => {}
            }
        }
    }

    fn enter(&mut self, place: usize) {
        self.numbers[place] = Some(self.next_number);
        self.lows[place] = self.next_number;
        self.next_number += 1;
        self.is_open[place] = true;
        self.open.push(place);
    }

    fn leave(&mut self, place: usize) {
        if self.numbers[place] != Some(self.lows[place]) {
            return;
        }
        let start = self.open.iter().rposition(|open| *open == place);
        let mut component =
            self.open.split_off(start.expect("a place stays open until it is left"));
        for member in &component {
            self.is_open[*member] = false;
        }
        if component.len() > 1 {
            component.sort_unstable();
            self.components.push(component);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(count: usize, edges: &[(usize, usize, Dependency)]) -> Graph<'static> {
        let mut graph = Graph::new(count);
        for (source, target, dependency) in edges {
            graph.add(*source, Edge { target: *target, dependency: *dependency, object: None });
        }
        graph
    }

    #[test]
    fn components_are_the_circles_over_allowed_edges() {
        use Dependency::{ReadWrite, WriteRead};
        let edges = [
            (0, 1, WriteRead),
            (1, 2, WriteRead),
            (2, 0, WriteRead),
            (2, 3, WriteRead),
            (3, 4, WriteRead),
            (4, 3, ReadWrite),
            (5, 5, WriteRead),
        ];
        let graph = graph(6, &edges);
        assert_eq!(graph.edge_count(), 6);
        assert_eq!(graph.components(&[WriteRead]), [vec![0, 1, 2]]);
        let mut both = graph.components(&[WriteRead, ReadWrite]);
        both.sort();
        assert_eq!(both, [vec![0, 1, 2], vec![3, 4]]);
    }

    #[test]
    fn a_path_as_long_as_a_history_needs_no_deep_stack() {
        let count = 200_000;
        let edges: Vec<_> =
            (0..count).map(|place| (place, (place + 1) % count, Dependency::WriteWrite)).collect();
        let components = graph(count, &edges).components(&[Dependency::WriteWrite]);
        assert_eq!(components.len(), 1);
        assert_eq!(components[0].len(), count);
    }
}
