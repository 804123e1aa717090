//! `GET /metrics`: the node and its gateway in the text format of Prometheus.

use std::{fmt::Write as _, sync::atomic::Ordering::Relaxed};

use axum::{
    body::Body,
    extract::State,
    http::{Response, request::Parts},
};

use super::{
    Gateway,
    answer::{self, Answer},
    meters::{CallMeter, Label},
    query::Query,
};
use crate::{BUCKETS_US, Histogram, Metric, MetricValue, NodeStatus, PartitionInfo, PartitionRole};

/// `GET /metrics`.
pub(crate) async fn metrics(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let mut text = Text::default();
    text.node(&gateway.node.status(), gateway.node.readiness().is_ok());
    text.gauge("weald_peers", "Peers that are connected.", count(gateway.node.peers().len()));
    text.partitions(&gateway.node.partitions().await?);
    text.metrics(&gateway.node.metrics());
    text.gateway(&gateway);
    let mut response = Response::new(Body::from(text.0));
    answer::kind(&mut response, "text/plain; version=0.0.4; charset=utf-8");
    Ok(response)
}

/// Metrics as text.
#[derive(Default)]
struct Text(String);

impl Text {
    fn node(&mut self, status: &NodeStatus, is_ready: bool) {
        self.gauge("weald_ready", "1 while the node takes reads and writes.", is_ready.into());
        let is_read_only = status.read_only.is_some();
        self.gauge("weald_read_only", "1 while writes are refused.", is_read_only.into());
        let help = "Bytes in memory that wait for a checkpoint.";
        self.gauge("weald_dirty_bytes", help, count(status.dirty_bytes));
        if let Some(bytes) = resident_bytes() {
            let help = "Bytes of memory that the process has.";
            self.gauge("process_resident_memory_bytes", help, bytes);
        }
        let help = "Partitions kept here for which nobody is known to coordinate.";
        self.gauge("weald_leaderless_partitions", help, count(status.leaderless));
        let help = "Writes that wait in the node.";
        self.gauge("weald_writes_waiting", help, count(status.writes_waiting));
    }

    fn partitions(&mut self, partitions: &[PartitionInfo]) {
        type Read = fn(&PartitionInfo) -> u64;
        let gauges: [(&str, &str, Read); 8] = [
            ("weald_last_index", "The end of the log here.", |info| info.last.0),
            ("weald_committed_index", "Everything up to here is committed.", |info| {
                info.committed.0
            }),
            ("weald_applied_index", "Everything up to here is applied.", |info| info.applied.0),
            ("weald_checkpointed_index", "Everything up to here is checkpointed.", |info| {
                info.checkpointed.0
            }),
            ("weald_commit_gap", "Entries in the log that are not committed.", |info| {
                info.last.0.saturating_sub(info.committed.0)
            }),
            ("weald_apply_lag", "Committed entries that are not applied.", |info| {
                info.committed.0.saturating_sub(info.applied.0)
            }),
            ("weald_coordinator", "1 where this node coordinates.", |info| {
                (info.role == PartitionRole::Coordinator).into()
            }),
            ("weald_partition_trouble", "1 where this node takes no part.", |info| {
                info.trouble.is_some().into()
            }),
        ];
        for (name, help, read) in gauges {
            self.head(name, "gauge", help);
            for info in partitions {
                self.line(name, &format!("partition=\"{}\"", info.partition), read(info));
            }
        }
        self.last_contact(partitions);
        self.replication_lag(partitions);
    }

    /// How long ago each coordinator was heard.
    fn last_contact(&mut self, partitions: &[PartitionInfo]) {
        let name = "weald_coordinator_last_contact_seconds";
        let help = "Time since a coordinator was last heard, zero where this node coordinates; nothing \
                    while none was heard since the start.";
        self.head(name, "gauge", help);
        for info in partitions {
            let Some(silent) = info.last_contact else { continue };
            let silent_us = u64::try_from(silent.as_micros()).unwrap_or(u64::MAX);
            self.line(name, &format!("partition=\"{}\"", info.partition), seconds(silent_us));
        }
    }

    /// How far each member is behind, where this node coordinates.
    fn replication_lag(&mut self, partitions: &[PartitionInfo]) {
        let name = "weald_replication_lag";
        self.head(
            name,
            "gauge",
            "Entries that a member is not known to have, as its coordinator knows.",
        );
        for info in partitions {
            for member in &info.members {
                let (Some(peer), Some(matched)) = (member.peer, member.matched) else { continue };
                let labels = format!("partition=\"{}\",peer=\"{peer}\"", info.partition);
                self.line(name, &labels, info.last.0.saturating_sub(matched.0));
            }
        }
    }

    fn gateway(&mut self, gateway: &Gateway) {
        let meters = &gateway.meters;
        let help = "Seconds that the gateway has served.";
        self.gauge("weald_http_uptime_seconds", help, meters.uptime().as_secs());
        let used = count(gateway.bounds.requests - gateway.requests.available_permits());
        self.gauge("weald_http_requests_under_way", "Requests being served.", used);
        let used = count(gateway.bounds.streams - gateway.streams.available_permits());
        self.gauge("weald_http_streams", "Watches and tails being served.", used);
        let name = "weald_http_busy_total";
        self.head(name, "counter", "Requests and streams for which there was no room.");
        self.line(name, "", meters.busy());
        let name = "weald_http_connections_refused_total";
        let help = "Connections not served because too many of their source spoke no HTTP.";
        self.head(name, "counter", help);
        self.line(name, "", meters.refused_connections());
        let calls = meters.calls();
        self.head("weald_http_requests_total", "counter", "Answers by call and class of status.");
        for (label, meter) in &calls {
            self.statuses(*label, meter);
        }
        self.head("weald_http_request_seconds", "histogram", "Time until the head of the answer.");
        for ((call, method), meter) in &calls {
            let labels = format!("call=\"{call}\",method=\"{method}\"");
            self.histogram("weald_http_request_seconds", &labels, &meter.times.read());
        }
    }

    fn statuses(&mut self, (call, method): Label, meter: &CallMeter) {
        for (class, answers) in (1..).zip(&meter.statuses) {
            let answers = answers.load(Relaxed);
            if answers > 0 {
                let labels = format!("call=\"{call}\",method=\"{method}\",status=\"{class}xx\"");
                self.line("weald_http_requests_total", &labels, answers);
            }
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, times: &Histogram) {
        let before = if labels.is_empty() { String::new() } else { format!("{labels},") };
        let ends = BUCKETS_US.iter().map(|end| seconds(*end)).chain(["+Inf".to_owned()]);
        let mut all = 0;
        for (end, count) in ends.zip(times.counts) {
            all += count;
            self.line(&format!("{name}_bucket"), &format!("{before}le=\"{end}\""), all);
        }
        self.line(&format!("{name}_sum"), labels, seconds(times.sum_us));
        self.line(&format!("{name}_count"), labels, all);
    }

    /// What the node counts and measures of itself.
    fn metrics(&mut self, metrics: &[Metric]) {
        let mut last = "";
        for Metric { name, help, labels, value } in metrics {
            if last != name {
                self.head(name, kind(value), help);
                last = name;
            }
            let labels: Vec<_> =
                labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
            let labels = labels.join(",");
            match value {
                MetricValue::Counter(value) | MetricValue::Gauge(value) => {
                    self.line(name, &labels, value);
                }
                MetricValue::Times(times) => self.histogram(name, &labels, times),
            }
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        match labels {
            "" => self.push(format_args!("{name} {value}\n")),
            _ => self.push(format_args!("{name}{{{labels}}} {value}\n")),
        }
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.0.write_fmt(arguments).expect("a string takes whatever is written");
    }
}

fn kind(value: &MetricValue) -> &'static str {
    match value {
        MetricValue::Counter(_) => "counter",
        MetricValue::Gauge(_) => "gauge",
        MetricValue::Times(_) => "histogram",
    }
}

/// Microseconds as seconds, exactly.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Bytes of memory that the process has; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests;
