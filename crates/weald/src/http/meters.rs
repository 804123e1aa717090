//! Counts and times of the gateway's calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderValue, Method, StatusCode};
use parking_lot::RwLock;

use crate::metric::Times;

/// A call and its method, as labels.
pub(crate) type Label = (&'static str, &'static str);

/// The gateway's meters.
#[derive(Debug)]
pub(crate) struct Meters {
    /// One for each call and method that was used: as many as there are routes, at most.
    calls: RwLock<BTreeMap<Label, Arc<CallMeter>>>,
    busy: AtomicU64,
    refused_connections: AtomicU64,
    /// The start, which sets one run's correlation ids apart from another's.
    run: u64,
    next_correlation: AtomicU64,
    since: Instant,
}

/// The meter of one call.
#[derive(Debug, Default)]
pub(crate) struct CallMeter {
    /// Answers by the first digit of the status, 1 to 5.
    pub(crate) statuses: [AtomicU64; 5],
    /// How long answers took.
    pub(crate) times: Times,
}

impl Default for Meters {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            calls: RwLock::default(),
            busy: AtomicU64::new(0),
            refused_connections: AtomicU64::new(0),
            run: now.as_secs(),
            next_correlation: AtomicU64::new(1),
            since: Instant::now(),
        }
    }
}

impl Meters {
    /// Counts an answered request.
    pub(crate) fn count(
        &self,
        call: &'static str,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let meter = self.meter((call, method_label(method)));
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        meter.statuses[class].fetch_add(1, Relaxed);
        meter.times.count(took);
    }

    /// Counts a request or a stream for which there was no room.
    pub(crate) fn count_busy(&self) {
        self.busy.fetch_add(1, Relaxed);
    }

    /// How often there was no room.
    pub(crate) fn busy(&self) -> u64 {
        self.busy.load(Relaxed)
    }

    /// Counts a connection that is not served, because too many of its source spoke no HTTP.
    pub(crate) fn count_refused_connection(&self) {
        self.refused_connections.fetch_add(1, Relaxed);
    }

    /// How many connections were not served.
    pub(crate) fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Relaxed)
    }

    /// How long the gateway has served.
    pub(crate) fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    /// The meters of the calls that were used.
    pub(crate) fn calls(&self) -> Vec<(Label, Arc<CallMeter>)> {
        self.calls.read().iter().map(|(label, meter)| (*label, Arc::clone(meter))).collect()
    }

    /// A correlation id that no other request of this node has.
    pub(crate) fn fresh_correlation(&self) -> HeaderValue {
        let number = self.next_correlation.fetch_add(1, Relaxed);
        let text = format!("{:x}-{number:x}", self.run);
        HeaderValue::from_str(&text).expect("digits and a dash are visible ASCII")
    }

    fn meter(&self, label: Label) -> Arc<CallMeter> {
        if let Some(meter) = self.calls.read().get(&label) {
            return Arc::clone(meter);
        }
        Arc::clone(self.calls.write().entry(label).or_default())
    }
}

/// The methods that calls have; any other is one label, so that callers cannot make labels.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_by_its_status_and_its_time() {
        let meters = Meters::default();
        let count = |micros, status| {
            meters.count("get", &Method::GET, status, Duration::from_micros(micros));
        };
        count(250, StatusCode::OK);
        count(251, StatusCode::NOT_FOUND);
        count(60_000_000, StatusCode::OK);
        let (label, meter) = meters.calls().pop().unwrap();
        assert_eq!(label, ("get", "GET"));
        assert_eq!(meter.statuses[1].load(Relaxed), 2);
        assert_eq!(meter.statuses[3].load(Relaxed), 1);
        assert_eq!(meter.times.read().counts.iter().sum::<u64>(), 3);
        assert_eq!(meter.times.read().sum_us, 60_000_501);
    }

    #[test]
    fn callers_make_no_labels() {
        let meters = Meters::default();
        for name in ["BREW", "WHEN", "PATCH"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            meters.count("get", &method, StatusCode::OK, Duration::ZERO);
        }
        assert_eq!(meters.calls().len(), 1);
    }

    #[test]
    fn correlation_ids_differ() {
        let meters = Meters::default();
        assert_ne!(meters.fresh_correlation(), meters.fresh_correlation());
    }
}
