//! Why frames and messages of peers were refused, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use weald_cluster::replica::RefusedReason;

use super::figures::count;
use crate::metric::{Metric, MetricValue};

/// Why a frame or a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It does not parse.
    Malformed,
    /// It is said in another's name.
    Forged,
    /// It shows that its sender has told two histories.
    TwoHistories,
    /// The member that it is for does not take it.
    ByMember(RefusedReason),
}

/// The kinds of refusals that do not come from members.
const OWN: [Refused; 3] = [Refused::Malformed, Refused::Forged, Refused::TwoHistories];

impl Refused {
    const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::TwoHistories => "two_histories",
            Self::ByMember(reason) => reason.name(),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        OWN.into_iter().chain(RefusedReason::ALL.into_iter().map(Self::ByMember))
    }
}

/// How often there was each reason.
#[derive(Debug, Default)]
pub(super) struct Refusals([AtomicU64; OWN.len() + RefusedReason::ALL.len()]);

impl Refusals {
    /// Counts one more.
    pub(super) fn count(&self, why: Refused) {
        let (_, counter) = self.counters().find(|(other, _)| *other == why).expect("all are there");
        count(counter);
    }

    /// All of them together.
    pub(super) fn sum(&self) -> u64 {
        self.0.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// For whoever watches over the node.
    pub(super) fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.counters().map(|(why, counter)| Metric {
            name: "weald_members_refused_total".to_owned(),
            help: "Frames and messages of peers that were refused, by reason.",
            labels: vec![("reason", why.name().to_owned())],
            value: MetricValue::Counter(counter.load(Ordering::Relaxed)),
        })
    }

    fn counters(&self) -> impl Iterator<Item = (Refused, &AtomicU64)> {
        Refused::all().zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn refusals_are_told_by_reasons_that_differ() {
        let refusals = Refusals::default();
        let not_member = Refused::ByMember(RefusedReason::NotMember);
        [Refused::Forged, not_member, not_member].into_iter().for_each(|why| refusals.count(why));
        let metrics: Vec<_> = refusals.metrics().collect();
        let reasons: BTreeSet<_> = metrics.iter().map(|metric| &metric.labels[0].1).collect();
        assert_eq!(reasons.len(), refusals.0.len());
        let of = |reason: &str| {
            let found = metrics.iter().find(|metric| metric.labels[0].1 == reason).unwrap();
            found.value.clone()
        };
        assert_eq!(of("not_member"), MetricValue::Counter(2));
        assert_eq!(of("forged"), MetricValue::Counter(1));
        assert_eq!((of("malformed"), refusals.sum()), (MetricValue::Counter(0), 3));
    }
}
