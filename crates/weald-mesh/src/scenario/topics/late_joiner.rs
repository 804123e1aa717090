//! T1: who comes late gets the history, then the live stream.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Gathering, Publishes, Scenario, Subscribes, heard};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;
use crate::statistics::Shown;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-late-joiner",
    about: "1000 messages, 50 ms apart; who subscribes after 5 s gets all of them, once, in order",
    defaults: Defaults { nodes: 3, nodes_min: 1, k: Some(3), operations: 1000, rounds: 1 },
    run,
};

const PAUSE_MS: usize = 50;
const LATE: Duration = Duration::from_secs(5);
const JOIN_MAX: Duration = Duration::from_secs(5);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, "late-joiner", setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let count = setup.operation_count;
    let pause = (PAUSE_MS, PAUSE_MS);
    gathering.publish(&[Publishes::new(0, count, pause)])?;
    thread::sleep(LATE);
    let before = gathering.published();
    let subscriber = gathering.subscribe(&Subscribes::default())?;
    let sent = gathering.published_all()?;
    let heard = heard(subscriber)?;
    sent.judge(&mut report, (1, count));
    heard.judge(&mut report, &sent);
    heard.judge_contiguous(&mut report);
    let history = heard.history();
    let text = format!("{history} of {before} that were there");
    report.expect(history >= before, "arrived as history", text);
    let joined = heard.joined().unwrap_or(Duration::MAX);
    report.expect(joined <= JOIN_MAX, "joined within 5 s", Shown(joined));
    Ok(report)
}
