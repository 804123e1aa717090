//! Edges for real time.
//!
//! All pairs would be too many. An operation gets an edge from those completed ones only that no
//! other completed one follows; at most as many as there were operations at once, and all other
//! pairs follow from these.

use super::super::History;
use super::graph::{Dependency, Edge, Graph};
use super::writers::Writers;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Invocation,
    Completion,
}

/// Adds the edges between the transactions that took effect.
pub(super) fn infer(history: &History, writers: &Writers<'_>, graph: &mut Graph<'_>) {
    let operations = history.operations();
    let mut last: Vec<usize> = Vec::new();
    for (_, end, place) in ends(history, writers) {
        match end {
            End::Invocation => {
                for earlier in &last {
                    let dependency = Dependency::Realtime;
                    graph.add(*earlier, Edge { target: place, dependency, object: None });
                }
            }
            End::Completion => {
                last.retain(|earlier| !operations[*earlier].precedes(&operations[place]));
                last.push(place);
            }
        }
    }
}

fn ends(history: &History, writers: &Writers<'_>) -> Vec<(u64, End, usize)> {
    let mut ends = Vec::new();
    let effective = history.operations().iter().enumerate();
    for (place, operation) in effective.filter(|(place, _)| writers.is_effective(*place)) {
        ends.push((operation.invoked, End::Invocation, place));
        if let Some(completed) = operation.completed() {
            ends.push((completed, End::Completion, place));
        }
    }
    ends.sort_unstable();
    ends
}

#[cfg(test)]
mod tests {
    use super::super::super::{Operation, Outcome, ProcessId};
    use super::*;

    fn history(intervals: &[(u64, Option<u64>)]) -> History {
        let operations = intervals.iter().map(|(invoked, completed)| Operation {
            process: ProcessId(0),
            invoked: *invoked,
            outcome: completed.map_or(Outcome::Unknown, |at| Outcome::Committed { at }),
            steps: Vec::new(),
        });
        History::new(operations.collect())
    }

    fn edges(history: &History) -> Vec<(usize, usize)> {
        let count = history.operations().len();
        let mut graph = Graph::new(count);
        infer(history, &Writers::new(history), &mut graph);
        let of =
            |place: usize| graph.edges_from(place).iter().map(move |edge| (place, edge.target));
        (0..count).flat_map(of).collect()
    }

    #[test]
    fn what_follows_from_other_edges_has_none() {
        let chain = history(&[(0, Some(1)), (2, Some(3)), (4, Some(5))]);
        assert_eq!(edges(&chain), [(0, 1), (1, 2)]);
        let side = history(&[(0, Some(1)), (2, Some(3)), (1, Some(4)), (5, Some(6))]);
        assert_eq!(edges(&side), [(0, 1), (1, 3), (2, 3)]);
    }

    #[test]
    fn operations_that_meet_at_a_tick_overlap() {
        assert_eq!(edges(&history(&[(0, Some(1)), (1, Some(2))])), []);
    }

    #[test]
    fn edges_reach_exactly_the_pairs_in_real_time() {
        let mut intervals = Vec::new();
        for place in 0..60_u64 {
            let invoked = place * 7 % 50;
            intervals.push((invoked, Some(invoked + place % 9)));
        }
        let history = history(&intervals);
        let direct = edges(&history);
        let operations = history.operations();
        for (source, first) in operations.iter().enumerate() {
            let mut reached = vec![false; operations.len()];
            let mut open = vec![source];
            while let Some(place) = open.pop() {
                for (_, target) in direct.iter().filter(|(from, _)| *from == place) {
                    if !reached[*target] {
                        reached[*target] = true;
                        open.push(*target);
                    }
                }
            }
            for (target, second) in operations.iter().enumerate() {
                assert_eq!(reached[target], first.precedes(second), "{source} {target}");
            }
        }
    }
}
