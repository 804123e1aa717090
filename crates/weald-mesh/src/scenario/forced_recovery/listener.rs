//! A subscriber that lives through the recovery.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::mesh::Mesh;
use crate::party::Party;
use crate::report::Report;

/// The topic.
pub(super) const TOPIC: &str = "news";
const BEGIN_MAX: Duration = Duration::from_secs(30);
/// How long a message may take to be heard, redials among it.
const HEAR_MAX: Duration = Duration::from_secs(60);

/// The body of a message.
pub(super) fn body(number: u64) -> String {
    json!({ "p": 0, "i": number }).to_string()
}

/// Publishes through the node of `client`; every message is acknowledged.
pub(super) fn publish(client: &Client, numbers: Range<u64>) -> Result<()> {
    for number in numbers {
        let told = client.publish(TOPIC, &body(number))?;
        ensure!(told["position"].is_u64(), "message {number} has no place: {told}");
    }
    Ok(())
}

/// Subscribes by a light node of its own, which knows all running nodes of `mesh`.
pub(super) fn listen(mesh: &Mesh, setup: &crate::mesh::Setup) -> Result<Party> {
    let mut words = vec![String::from("subscribe")];
    for place in mesh.running() {
        for address in mesh.nodes[place].file()?.bootstrap() {
            words.extend([String::from("--bootstrap"), address]);
        }
    }
    words.extend([String::from("--topic"), TOPIC.to_owned()]);
    let mut party = Party::start(&setup.guard, mesh.directory(), "listener", &words)?;
    party.wait_for("subscribed", BEGIN_MAX)?;
    Ok(party)
}

/// Waits until it has heard message `number`.
pub(super) fn wait_heard(party: &Party, number: u64) -> Result<()> {
    let started = Instant::now();
    while !party.told().iter().any(|line| message(line) == Some(number)) {
        ensure!(started.elapsed() < HEAR_MAX, "message {number} is not heard");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn message(line: &Value) -> Option<u64> {
    line.get("message")?.get("i")?.as_u64()
}

/// What it heard, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tale {
    before: Vec<u64>,
    /// Generations that it was told of.
    generations: Vec<u64>,
    after: Vec<u64>,
    gaps: usize,
}

impl Tale {
    pub(super) fn of(told: &[Value]) -> Self {
        let mut tale = Self::default();
        for line in told {
            tale.generations.extend(line.get("reset").and_then(Value::as_u64));
            tale.gaps += usize::from(line.get("gap").is_some());
            let side = if tale.generations.is_empty() { &mut tale.before } else { &mut tale.after };
            side.extend(message(line));
        }
        tale
    }

    /// It was told of generation 1 once; before it heard everything up to `lost.end`, after it everything but `lost`.
    pub(super) fn judge(&self, report: &mut Report, lost: &Range<u64>, count: u64) {
        let generations = format!("{:?}", self.generations);
        report.expect(self.generations == [1], "a subscriber is told `Reset`", generations);
        let before: Vec<u64> = (0..lost.end).collect();
        let after: Vec<u64> = (0..count).filter(|number| !lost.contains(number)).collect();
        let (is_whole, heard) = (self.before == before, self.before.len());
        report.expect(
            is_whole,
            "heard before it, in order",
            format!("{heard} of {}", before.len()),
        );
        let (is_whole, heard) = (self.after == after && self.gaps == 0, self.after.len());
        let text = format!("{heard} of {}, {} gaps", after.len(), self.gaps);
        report.expect(is_whole, "heard after it, from the beginning, in order", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_passed(before: Range<u64>, generations: &[u64], after: &[u64]) -> bool {
        let heard = |number| json!({ "message": { "i": number } });
        let mut told: Vec<Value> = before.map(heard).collect();
        told.extend(generations.iter().map(|generation| json!({ "reset": generation })));
        told.extend(after.iter().copied().map(heard));
        let mut report = Report::default();
        Tale::of(&told).judge(&mut report, &(2..3), 4);
        report.is_passed()
    }

    #[test]
    fn what_is_heard_besides_or_not_at_all_fails_the_report() {
        assert!(is_passed(0..3, &[1], &[0, 1, 3]));
        assert!(!is_passed(0..3, &[], &[0, 1, 3]), "nothing was told");
        assert!(!is_passed(0..3, &[1, 1], &[0, 1, 3]), "it was told twice");
        assert!(!is_passed(0..3, &[1], &[0, 1, 2, 3]), "what is gone is heard again");
        assert!(!is_passed(0..3, &[1], &[0, 3]), "one is not heard");
        assert!(!is_passed(0..2, &[1], &[0, 1, 3]), "one was not heard before");
    }
}
