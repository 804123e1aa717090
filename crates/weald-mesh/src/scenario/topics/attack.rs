//! A stranger brings to a topic all that must not come; nothing of it does, and others do not notice.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{BEGIN_MAX, Defaults, Gathering, PUBLISH_MAX, Publishes, Scenario, Subscribes, heard};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;
use crate::statistics::Shown;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-attack",
    about: "forged, altered, replayed, too large, ahead, in others' names, too many: refused; others do not notice",
    defaults: Defaults { nodes: 3, nodes_min: 1, k: Some(3), operations: 1200, rounds: 5 },
    run,
};

const PUBLISHERS: usize = 2;
/// From one message of a publisher to the next: far below the rate that the topic allows.
const PAUSE_MS: (usize, usize) = (20, 40);
/// How long a publish of others may take beside the attacks.
const SLOWEST_MAX: Duration = Duration::from_secs(2);
/// Kinds of attempts.
const ATTACKS: usize = 16;

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, "attack", setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    // It makes the topic, with a low rate.
    let mut attacker = gathering.attack()?;
    attacker.wait_for("ready", BEGIN_MAX)?;
    let count = setup.operation_count / PUBLISHERS;
    let plan = |label| Publishes::new(label, count, PAUSE_MS);
    let plans: Vec<Publishes> = (0..PUBLISHERS).map(plan).collect();
    gathering.publish(&plans)?;
    let mut subscriber = gathering.subscribe(&Subscribes::default())?;
    subscriber.wait_for("caught_up", BEGIN_MAX)?;
    attacker.go()?;
    judge(&attacker.finish(PUBLISH_MAX)?, setup.round_count, &mut report);
    let sent = gathering.published_all()?;
    let heard = heard(subscriber)?;
    sent.judge(&mut report, (PUBLISHERS, count));
    let slowest = sent.slowest();
    report.expect(slowest <= SLOWEST_MAX, "slowest publish of others", Shown(slowest));
    heard.judge(&mut report, &sent);
    Ok(report)
}

/// Each kind of attempt was made in each round and has come to nothing.
fn judge(told: &[Value], rounds: usize, report: &mut Report) {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in told {
        let Some(name) = line.get("attack").and_then(Value::as_str) else { continue };
        let (made, held) = counts.entry(name).or_default();
        *made += 1;
        match line["held"] == true {
            true => *held += 1,
            false => report.fail(format!("{name}: {}", line["got"])),
        }
    }
    for (name, (made, held)) in &counts {
        report.tell(*name, format_args!("{held} of {made} held"));
    }
    let kinds = counts.len();
    report.expect(kinds == ATTACKS, "kinds of attempts", format_args!("{kinds} of {ATTACKS}"));
    let attempts: usize = counts.values().map(|(made, _)| made).sum();
    let wanted = (ATTACKS - 1) * rounds + 1;
    report.expect(attempts == wanted, "attempts", format_args!("{attempts} of {wanted}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kinds: usize) -> Vec<Value> {
        let line = |kind| json!({ "attack": format!("attempt {kind}"), "held": true, "got": "" });
        (0..kinds).map(line).collect()
    }

    fn is_passed(told: &[Value]) -> bool {
        let mut report = Report::default();
        judge(told, 1, &mut report);
        report.is_passed()
    }

    #[test]
    fn an_attempt_that_came_through_or_was_not_made_fails() {
        assert!(is_passed(&told(ATTACKS)));
        assert!(!is_passed(&told(ATTACKS - 1)), "one was not made");
        let mut all = told(ATTACKS);
        all[3]["held"] = false.into();
        assert!(!is_passed(&all), "one came through");
    }
}
