//! What is told of how requests find whom they are for.

use weald_cluster::routing::{BreakerState, Counters};
use weald_core::LogIndex;

use super::asker::Asker;
use crate::{
    NodeStatus,
    members::{MemberHealth, PartitionStatus},
    metric::{Metric, MetricValue},
};

/// How requests have found whom they were for, and whom they leave alone.
pub(super) fn metrics(asker: &Asker) -> Vec<Metric> {
    let Counters { sent, hops, retries, ignored } = asker.counters();
    let counter = |name: &str, help, count| Metric::counter(name, help, count);
    let mut metrics = vec![
        counter("weald_requests_sent_total", "Requests sent to other members.", sent),
        counter("weald_redirects_total", "Redirects to another member followed.", hops),
        counter("weald_request_retries_total", "Pauses after a failed try.", retries),
        counter("weald_answers_ignored_total", "Answers nobody waited for.", ignored),
    ];
    metrics.extend(breakers(asker));
    metrics
}

/// The breakers that are not closed: how many, and which (rule C13).
fn breakers(asker: &Asker) -> Vec<Metric> {
    let help = "Times that a breaker has opened: a member kept failing and is left alone.";
    let openings = Metric::counter("weald_breaker_openings_total", help, asker.breaker_openings());
    let tripped = asker.breakers();
    let count = |wanted| tripped.iter().filter(|(.., state)| word(state) == Some(wanted)).count();
    let of_state = |wanted: &'static str| Metric {
        name: "weald_breakers".to_owned(),
        help: "Breakers that let nothing through (open), or one request to try (half_open).",
        labels: vec![("state", wanted.to_owned())],
        value: MetricValue::Gauge(u64::try_from(count(wanted)).unwrap_or(u64::MAX)),
    };
    let mut metrics = vec![openings, of_state("open"), of_state("half_open")];
    metrics.extend(tripped.iter().map(|(peer, partition, state)| Metric {
        name: "weald_breaker_state".to_owned(),
        help: "A breaker that is not closed: 1 while one request is let through to try, 2 while none is.",
        labels: vec![("peer", peer.to_string()), ("partition", partition.to_string())],
        value: MetricValue::Gauge(if word(state) == Some("open") { 2 } else { 1 }),
    }));
    metrics
}

fn word(state: &BreakerState) -> Option<&'static str> {
    match state {
        BreakerState::Closed => None,
        BreakerState::Open { .. } => Some("open"),
        BreakerState::HalfOpen { .. } => Some("half_open"),
    }
}

/// How the members of a node are, while so many writes are under way.
pub(super) fn status(statuses: &[PartitionStatus], writes: u64) -> NodeStatus {
    let stopped = statuses.iter().find_map(|status| match &status.health {
        MemberHealth::Stopped(reason) => Some(reason.clone()),
        _ => None,
    });
    let of = |of: fn(&PartitionStatus) -> LogIndex| statuses.iter().map(of).max();
    NodeStatus {
        read_only: stopped,
        applied: of(|status| status.applied).unwrap_or_default(),
        checkpointed: of(|status| status.checkpointed).unwrap_or_default(),
        dirty_bytes: statuses.iter().map(|status| status.dirty_bytes).sum(),
        writes_waiting: usize::try_from(writes).unwrap_or(usize::MAX),
        partitions: statuses.len(),
        leaderless: statuses.iter().filter(|status| status.coordinator.is_none()).count(),
        // These are known to whoever knows the network.
        voters: None,
        reachability: None,
    }
}
