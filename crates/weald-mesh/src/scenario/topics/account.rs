//! What was published and what was heard, compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::report::Report;
use crate::statistics::{Shown, Summary};

/// Messages by publisher and number.
type Key = (u64, u64);

/// Bytes of a head, at most (PS249).
const HEAD_BYTES_MAX: u64 = 1024;

/// What publishers were told.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Positions of what was acknowledged.
    acked: BTreeMap<Key, u64>,
    times: Vec<Duration>,
    head_bytes: u64,
}

impl Sent {
    pub(super) fn take(&mut self, told: &[Value]) {
        for line in told {
            if let Some(bytes) = number(line, "head_bytes") {
                self.head_bytes = self.head_bytes.max(bytes);
            }
            let key = number(line, "p").zip(number(line, "published"));
            if let Some((key, position)) = key.zip(number(line, "position")) {
                self.acked.insert(key, position);
                self.times.extend(number(line, "took_us").map(Duration::from_micros));
            }
        }
    }

    /// How long the slowest publish took.
    pub(super) fn slowest(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }

    /// All of `count` messages of each of `publishers` were acknowledged, each at a position of its own.
    pub(super) fn judge(&self, report: &mut Report, (publishers, count): (usize, usize)) {
        let wanted = publishers * count;
        let acked = self.acked.len();
        report.expect(acked == wanted, "acknowledged", format_args!("{acked} of {wanted}"));
        let positions: BTreeSet<u64> = self.acked.values().copied().collect();
        let doubled = acked - positions.len();
        report.expect(doubled == 0, "positions given twice", doubled);
        let is_small = self.head_bytes <= HEAD_BYTES_MAX;
        report.expect(is_small, "largest head, bytes", self.head_bytes);
        if let Some(summary) = Summary::of(self.times.clone()) {
            report.tell("publish", summary);
        }
    }
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivery {
    key: Key,
    position: u64,
    publisher: String,
    sequence: u64,
}

/// What a subscriber heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    deliveries: Vec<Delivery>,
    /// Of them, before everything that was there had been told.
    history: usize,
    gaps: Vec<(u64, u64)>,
    joined: Option<Duration>,
    lagged: usize,
    acknowledged: u64,
    /// The acknowledgement that was under way last: whether it was kept is not known.
    acknowledging: u64,
}

impl Heard {
    pub(super) fn of(told: &[Value]) -> Self {
        let mut heard = Self::default();
        told.iter().for_each(|line| heard.take(line));
        heard
    }

    fn take(&mut self, line: &Value) {
        if let Some(delivery) = line.get("message").and_then(Delivery::parse) {
            self.deliveries.push(delivery);
        }
        if let Some(took) = number(line, "took_ms") {
            self.joined = Some(Duration::from_millis(took));
            self.history = self.deliveries.len();
        }
        if let Some([first, last]) = line.get("gap").and_then(Value::as_array).map(Vec::as_slice) {
            self.gaps.extend(first.as_u64().zip(last.as_u64()));
        }
        self.lagged += usize::from(line.get("lagged").is_some());
        self.acknowledged = number(line, "acknowledged").unwrap_or(self.acknowledged);
        self.acknowledging = number(line, "acknowledging").unwrap_or(self.acknowledging);
    }

    /// What a subscriber heard that went on where this one had stopped: what this one had not acknowledged is
    /// heard again. Where it was killed while it acknowledged, the other tells whether that was kept.
    pub(super) fn followed_by(mut self, other: Self) -> Self {
        let begins = other.deliveries.iter().map(|delivery| delivery.position).min();
        if let Some(begins) = begins {
            let is_kept = self.acknowledging > self.acknowledged && begins > self.acknowledging;
            let kept = if is_kept { self.acknowledging } else { self.acknowledged };
            self.deliveries.retain(|delivery| delivery.position <= kept);
        }
        self.deliveries.extend(other.deliveries);
        self.gaps.extend(other.gaps);
        self.acknowledged = other.acknowledged.max(self.acknowledged);
        self.acknowledging = other.acknowledging.max(self.acknowledging);
        self
    }

    pub(super) fn history(&self) -> usize {
        self.history
    }

    /// Positions that were told to be gone.
    pub(super) fn gone(&self) -> u64 {
        self.gaps.iter().map(|(first, last)| last + 1 - first).sum()
    }

    /// Deliveries of messages of a publisher, and how many messages those are.
    pub(super) fn deliveries_of(&self, publisher: u64) -> (usize, usize) {
        let own = self.deliveries.iter().filter(|delivery| delivery.key.0 == publisher);
        let keys: BTreeSet<Key> = own.clone().map(|delivery| delivery.key).collect();
        (own.count(), keys.len())
    }

    pub(super) fn delivered(&self) -> usize {
        self.deliveries.len()
    }

    /// How long until everything that was there had been told.
    pub(super) fn joined(&self) -> Option<Duration> {
        self.joined
    }

    /// Everything that `sent` has came once, in order, and nothing else.
    pub(super) fn judge(&self, report: &mut Report, sent: &Sent) {
        let keys: BTreeSet<Key> = self.deliveries.iter().map(|delivery| delivery.key).collect();
        let lost = sent.acked.keys().filter(|key| !keys.contains(key)).count();
        report.expect(lost == 0, "lost", lost);
        report.expect(self.gaps.is_empty(), "gaps", format_args!("{:?}", self.gaps));
        self.judge_order(report, sent);
        if let Some(joined) = self.joined {
            report.tell("joined after", Shown(joined));
        }
        report.tell("heard as history, and all", format_args!("{}, {}", self.history, keys.len()));
        report.tell("too slow for the topic", format_args!("{} times", self.lagged));
    }

    /// What came, came once, in the order of positions and of each publisher, as it was sent.
    pub(super) fn judge_order(&self, report: &mut Report, sent: &Sent) {
        let keys: BTreeSet<Key> = self.deliveries.iter().map(|delivery| delivery.key).collect();
        let doubled = self.deliveries.len() - keys.len();
        report.expect(doubled == 0, "doubled", doubled);
        let is_ordered = self.deliveries.is_sorted_by(|a, b| a.position < b.position);
        report.expect(is_ordered, "positions ascend", is_ordered);
        let strange = self.deliveries.iter().filter(|delivery| {
            sent.acked.get(&delivery.key).is_some_and(|position| *position != delivery.position)
        });
        let strange = strange.count();
        report.expect(strange == 0, "at another position than acknowledged", strange);
        let broken = self.broken_sequences();
        report.expect(broken.is_empty(), "publishers out of sequence", broken.join(" "));
    }

    /// Publishers whose sequences do not rise.
    fn broken_sequences(&self) -> Vec<String> {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut broken = BTreeSet::new();
        for delivery in &self.deliveries {
            let before = last.insert(&delivery.publisher, delivery.sequence).unwrap_or(0);
            if delivery.sequence <= before {
                broken.insert(delivery.publisher.clone());
            }
        }
        broken.into_iter().collect()
    }

    /// Each publisher's sequences are contiguous from 1.
    pub(super) fn judge_contiguous(&self, report: &mut Report) {
        let mut next: BTreeMap<&str, u64> = BTreeMap::new();
        let mut is_contiguous = true;
        for delivery in &self.deliveries {
            let expected = next.entry(&delivery.publisher).or_insert(1);
            is_contiguous &= delivery.sequence == *expected;
            *expected = delivery.sequence + 1;
        }
        report.expect(is_contiguous, "sequences are contiguous from 1", is_contiguous);
    }
}

impl Delivery {
    fn parse(line: &Value) -> Option<Self> {
        Some(Self {
            key: (number(line, "p")?, number(line, "i")?),
            position: number(line, "position")?,
            publisher: line.get("publisher")?.as_str()?.to_owned(),
            sequence: number(line, "sequence")?,
        })
    }
}

fn number(line: &Value, name: &str) -> Option<u64> {
    line.get(name)?.as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(count: u64) -> Sent {
        let mut sent = Sent::default();
        let line = |i| json!({ "p": 0, "published": i, "position": i + 1, "took_us": 1 });
        sent.take(&(0..count).map(line).collect::<Vec<_>>());
        sent
    }

    fn message(i: u64) -> Value {
        json!({ "message": { "p": 0, "i": i, "position": i + 1, "publisher": "a", "sequence": i + 1 } })
    }

    fn is_passed(told: &[Value]) -> bool {
        let mut report = Report::default();
        let heard = Heard::of(told);
        heard.judge(&mut report, &sent(3));
        heard.judge_contiguous(&mut report);
        report.is_passed()
    }

    #[test]
    fn ps1577_what_is_lost_doubled_or_out_of_order_is_seen() {
        assert!(is_passed(&[message(0), message(1), message(2)]));
        assert!(!is_passed(&[message(0), message(2)]), "one is lost");
        assert!(!is_passed(&[message(0), message(1), message(1), message(2)]), "one is doubled");
        assert!(!is_passed(&[message(1), message(0), message(2)]), "the order is another");
        let gap = json!({ "gap": [1, 1] });
        assert!(!is_passed(&[gap, message(1), message(2)]), "nothing may be gone");
    }

    /// A head that publishers load, change and store again, as anybody could who has no log: who stores
    /// last wins.
    #[derive(Clone, Default)]
    struct Stored(Vec<u64>);

    impl Stored {
        /// The head with a message more, and what its publisher is told.
        fn with(mut self, publisher: u64) -> (Self, Value) {
            self.0.push(publisher);
            let line = json!({ "p": publisher, "published": 0, "position": self.0.len() });
            (self, line)
        }

        fn told(&self) -> Vec<Value> {
            let message = |(place, p): (usize, &u64)| {
                let name = format!("publisher {p}");
                let position = place + 1;
                json!({ "message": { "p": p, "i": 0, "position": position, "publisher": name, "sequence": 1 } })
            };
            self.0.iter().enumerate().map(message).collect()
        }
    }

    #[test]
    fn t2_a_head_that_is_loaded_and_stored_fails() {
        let judged = |head: &Stored, told: &[Value]| {
            let mut sent = Sent::default();
            sent.take(told);
            let mut report = Report::default();
            sent.judge(&mut report, (2, 1));
            Heard::of(&head.told()).judge(&mut report, &sent);
            report
        };
        let (first, one) = Stored::default().with(0);
        let (both, other) = first.clone().with(1);
        let in_turn = judged(&both, &[one.clone(), other]);
        assert!(in_turn.is_passed(), "{in_turn}");
        // Both load the empty head; the second to store has not seen what the first has stored.
        let (last, other) = Stored::default().with(1);
        let at_once = judged(&last, &[one, other]).to_string();
        assert!(at_once.contains("failed: lost: 1"), "{at_once}");
        assert!(at_once.contains("failed: positions given twice: 1"), "{at_once}");
    }

    #[test]
    fn what_is_not_acknowledged_may_come_again() {
        let told = [message(0), json!({ "acknowledged": 1 }), message(1)];
        let heard = Heard::of(&told).followed_by(Heard::of(&[message(1), message(2)]));
        let mut report = Report::default();
        heard.judge(&mut report, &sent(3));
        assert!(report.is_passed(), "{report}");
    }

    #[test]
    fn an_acknowledgement_that_was_under_way_may_have_been_kept() {
        let (acknowledging, acknowledged) =
            (json!({ "acknowledging": 1 }), json!({ "acknowledged": 1 }));
        let check = |sessions: &[&[Value]], expected: bool| {
            let sessions = sessions.iter().map(|told| Heard::of(told));
            let heard = sessions.reduce(Heard::followed_by).unwrap();
            let mut report = Report::default();
            heard.judge(&mut report, &sent(3));
            assert_eq!(report.is_passed(), expected, "{report}");
        };
        let asked = [message(0), acknowledging.clone()];
        let told = [message(0), acknowledging, acknowledged];
        let all = [message(0), message(1), message(2)];
        check(&[&asked, &all[1..]], true);
        check(&[&asked, &all], true);
        check(&[&asked, &[], &all[1..]], true);
        check(&[&asked, &all[2..]], false);
        check(&[&told, &all[1..]], true);
        check(&[&told, &all], false);
        check(&[&all[..1], &all[1..]], false);
    }

    #[test]
    fn history_is_what_comes_before_all_has_been_told() {
        let told = [message(0), json!({ "caught_up": 2, "took_ms": 7 }), message(1)];
        let heard = Heard::of(&told);
        assert_eq!((heard.history(), heard.delivered()), (1, 2));
        assert_eq!(heard.joined(), Some(Duration::from_millis(7)));
    }

    #[test]
    fn a_head_that_is_too_large_fails() {
        let mut sent = sent(3);
        let mut report = Report::default();
        sent.judge(&mut report, (1, 3));
        assert!(report.is_passed(), "{report}");
        sent.take(&[json!({ "head_bytes": 1025 })]);
        sent.judge(&mut report, (1, 3));
        assert!(!report.is_passed());
    }
}
