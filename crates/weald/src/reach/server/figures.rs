//! What a server counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::wide;
use crate::metric::Metric;

/// Counts since the start: signatures that were checked, here for the log and behind others.
#[derive(Debug, Default)]
pub(super) struct Figures {
    checked: AtomicU64,
    batches: AtomicU64,
    forged: AtomicU64,
    audited: AtomicU64,
    passed_over: AtomicU64,
    let_through: AtomicU64,
}

impl Figures {
    /// A batch was checked before it was logged.
    pub(super) fn note_checked(&self, messages: usize, forged: usize) {
        self.batches.fetch_add(1, Relaxed);
        self.checked.fetch_add(wide(messages), Relaxed);
        self.forged.fetch_add(wide(forged), Relaxed);
    }

    /// A batch that others have logged was checked.
    pub(super) fn note_audited(&self, messages: usize, forged: usize) {
        self.audited.fetch_add(wide(messages), Relaxed);
        self.let_through.fetch_add(wide(forged), Relaxed);
    }

    /// An entry that others have logged is not checked.
    pub(super) fn note_passed_over(&self) {
        self.passed_over.fetch_add(1, Relaxed);
    }

    pub(super) fn metrics(&self) -> Vec<Metric> {
        let count =
            |name: &str, help, count: &AtomicU64| Metric::counter(name, help, count.load(Relaxed));
        let help = "Messages whose signatures were checked before they were logged.";
        let checked = count("weald_topic_checked_total", help, &self.checked);
        let help = "Batches in which these signatures were checked.";
        let batches = count("weald_topic_check_batches_total", help, &self.batches);
        let help = "Messages that were not logged, since their publishers did not sign them.";
        let forged = count("weald_topic_forged_total", help, &self.forged);
        let help = "Messages logged by other coordinators whose signatures were checked here.";
        let audited = count("weald_topic_audited_total", help, &self.audited);
        let help =
            "Entries of other coordinators that were not checked, since there were too many.";
        let passed_over = count("weald_topic_audits_passed_over_total", help, &self.passed_over);
        let help = "Messages that other coordinators let through without a right signature.";
        let let_through = count("weald_topic_let_through_total", help, &self.let_through);
        vec![checked, batches, forged, audited, passed_over, let_through]
    }
}
