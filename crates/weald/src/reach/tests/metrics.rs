//! What a node counts, while things happen to several.

use std::time::Duration;

use super::Rig;
use crate::{MetricValue, members::MembersConfig};

/// What a node counts under a name; of times, how many.
fn told(rig: &Rig, node: usize, name: &str) -> u64 {
    let metrics = rig.metrics(node);
    let found = metrics.iter().find(|metric| metric.name == name);
    match &found.unwrap_or_else(|| panic!("{name}")).value {
        MetricValue::Counter(count) | MetricValue::Gauge(count) => *count,
        MetricValue::Times(times) => times.counts.iter().sum(),
    }
}

/// All takeovers that a node has timed, in microseconds.
fn takeover_us(rig: &Rig, node: usize) -> u64 {
    let metrics = rig.metrics(node);
    let found = metrics.iter().find(|metric| metric.name == "weald_takeover_seconds").unwrap();
    let MetricValue::Times(times) = &found.value else { panic!("{found:?}") };
    times.sum_us
}

const COORDINATIONS: &str = "weald_members_coordinations_total";
const PROPOSED: &str = "weald_members_proposed_total";
const APPLIED: &str = "weald_members_applied_total";
const SENT: &str = "weald_requests_sent_total";
const REDIRECTS: &str = "weald_redirects_total";
const TAKEOVERS: &str = "weald_takeover_seconds";
const UNSENT: &str = "weald_members_frames_unsent_total";

/// A figure of all three nodes.
fn of_all(rig: &Rig, name: &str) -> [u64; 3] {
    [0, 1, 2].map(|node| told(rig, node, name))
}

fn sum(rig: &Rig, name: &str) -> u64 {
    of_all(rig, name).iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn w178_writes_and_redirects_are_counted_where_they_happen() {
    let rig = Rig::start(3, 1).await;
    let tree = rig.node(0).raw_tree("stock").create().await.unwrap();
    tree.put("apple", "0").await.unwrap();
    // A machine that is busy with other things may cost a coordination, and then this shows nothing.
    for _ in 0..20 {
        let before = sum(&rig, COORDINATIONS);
        let first = rig.coordinator(0).await;
        let seen = Seen::before(&rig, (first + 1) % 3).await;
        if sum(&rig, COORDINATIONS) == before {
            seen.judge_writes(&rig, first).await;
            let has_moved = seen.judge_redirect(&rig, first).await;
            if has_moved {
                return;
            }
        }
    }
    panic!("no coordination lasts for twenty writes");
}

/// What the nodes had counted before twenty writes through one that does not coordinate.
struct Seen {
    asker: usize,
    proposed: [u64; 3],
    applied: [u64; 3],
    sent: u64,
    redirects: u64,
}

impl Seen {
    /// Counts, and writes.
    async fn before(rig: &Rig, asker: usize) -> Self {
        let tree = rig.node(asker).raw_tree("stock").open().await.unwrap();
        tree.put("apple", "the way is known").await.unwrap();
        let (proposed, applied) = (of_all(rig, PROPOSED), of_all(rig, APPLIED));
        let (sent, redirects) = (told(rig, asker, SENT), told(rig, asker, REDIRECTS));
        for number in 0..20_u32 {
            tree.put("apple", number.to_string()).await.unwrap();
        }
        Self { asker, proposed, applied, sent, redirects }
    }

    async fn judge_writes(&self, rig: &Rig, first: usize) {
        for (node, proposed) in of_all(rig, PROPOSED).into_iter().enumerate() {
            let placed = proposed - self.proposed[node];
            // A coordinator may place something of its own beside them.
            let is_so = if node == first { placed >= 20 } else { placed == 0 };
            assert!(is_so, "only a coordinator places entries: {placed}");
            let is_applied =
                || async { (told(rig, node, APPLIED) >= self.applied[node] + 20).then_some(()) };
            rig.until(is_applied).await;
        }
        assert_eq!(told(rig, self.asker, SENT) - self.sent, 20, "the way is known");
        assert_eq!(told(rig, self.asker, REDIRECTS), self.redirects, "nobody was asked in vain");
    }

    /// Hands over, and writes once. Whether that has shown anything.
    async fn judge_redirect(&self, rig: &Rig, first: usize) -> bool {
        let next = 3 - first - self.asker;
        let (coordinations, takeovers) = (sum(rig, COORDINATIONS), told(rig, next, TAKEOVERS));
        rig.hand_over(0, (first, next)).await;
        let tree = rig.node(self.asker).raw_tree("stock").open().await.unwrap();
        tree.put("apple", "moved").await.unwrap();
        if sum(rig, COORDINATIONS) != coordinations + 1 {
            return false;
        }
        let followed = told(rig, self.asker, REDIRECTS) - self.redirects;
        assert_eq!(followed, 1, "one redirect finds the other");
        assert_eq!(told(rig, next, TAKEOVERS), takeovers + 1, "a hand-over is one");
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w178_w181_a_takeover_is_counted_and_lasts_as_long_as_nobody_coordinated() {
    let mut rig = Rig::start(3, 1).await;
    let tree = rig.node(0).raw_tree("stock").create().await.unwrap();
    tree.put("apple", "1").await.unwrap();
    let lost = rig.coordinator(0).await;
    let others = [(lost + 1) % 3, (lost + 2) % 3];
    let count = |rig: &Rig| others.iter().map(|node| told(rig, *node, TAKEOVERS)).sum::<u64>();
    let time = |rig: &Rig| others.iter().map(|node| takeover_us(rig, *node)).sum::<u64>();
    let (counted, timed) = (count(&rig), time(&rig));
    rig.kill(lost);
    rig.until(|| async { (count(&rig) > counted).then_some(()) }).await;
    let patience = MembersConfig::default().replica.election_timeout;
    let took = Duration::from_micros(time(&rig) - timed);
    assert!(took >= patience, "{took:?} is less than the silence that makes a member campaign");
}

#[tokio::test(flavor = "multi_thread")]
async fn w123_w178_a_member_that_is_cut_off_is_told_by_its_silence_and_catches_up() {
    let rig = Rig::start(3, 1).await;
    let tree = rig.node(0).raw_tree("stock").create().await.unwrap();
    tree.put("apple", "1").await.unwrap();
    let coordinator = rig.coordinator(0).await;
    let (cut, other) = ((coordinator + 1) % 3, (coordinator + 2) % 3);
    assert_eq!(rig.last_contact(coordinator, 0), Some(Duration::ZERO));
    let hears = |node| {
        let heard = rig.last_contact(node, 0);
        async move { heard.filter(|silent| *silent < Duration::from_millis(500)) }
    };
    rig.until(|| hears(cut)).await;
    rig.cut(cut);
    let (applied, unsent) = (told(&rig, cut, APPLIED), told(&rig, coordinator, UNSENT));
    let writer = rig.node(coordinator).raw_tree("stock").open().await.unwrap();
    for number in 0..50_u32 {
        writer.put("apple", number.to_string()).await.unwrap();
    }
    assert!(told(&rig, coordinator, UNSENT) > unsent, "frames find no way to it");
    let is_silent =
        || async { rig.last_contact(cut, 0).filter(|silent| *silent >= Duration::from_secs(1)) };
    rig.until(is_silent).await;
    rig.until(|| hears(other)).await;
    let heard = |other| rig.silence(coordinator, (0, other)).unwrap();
    assert!(heard(cut) >= Duration::from_millis(900) && heard(other) < Duration::from_millis(900));
    assert_eq!(rig.silence(other, (0, cut)), None, "only who coordinates knows");
    assert!(told(&rig, cut, APPLIED) < applied + 50, "it has not seen them");
    rig.heal(cut);
    let has_caught_up = || async { (told(&rig, cut, APPLIED) >= applied + 50).then_some(()) };
    rig.until(has_caught_up).await;
    rig.until(|| hears(cut)).await;
    rig.until(|| async { (heard(cut) < Duration::from_millis(500)).then_some(()) }).await;
}
