//! What has expired goes away by itself, and who comes then is told exactly what is gone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Defaults, Gathering, Publishes, Scenario, Subscribes, TOPIC, heard};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;
use crate::statistics::Shown;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-gc",
    about: "messages of 5 s: a minute later none is kept, and a newcomer is told which are gone",
    defaults: Defaults { nodes: 3, nodes_min: 1, k: Some(3), operations: 2000, rounds: 1 },
    run,
};

const PUBLISHERS: usize = 4;
const EXPIRES_MS: u64 = 5000;
/// How long what has expired may stay.
const GONE_MAX: Duration = Duration::from_secs(60);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, "gc", setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let count = setup.operation_count / PUBLISHERS;
    let plan =
        |label| Publishes { expires_ms: Some(EXPIRES_MS), ..Publishes::new(label, count, (0, 2)) };
    let plans: Vec<Publishes> = (0..PUBLISHERS).map(plan).collect();
    gathering.publish(&plans)?;
    let mut subscriber = gathering.subscribe(&Subscribes::default())?;
    subscriber.wait_for("subscribed", super::BEGIN_MAX)?;
    let sent = gathering.published_all()?;
    let live = heard(subscriber)?;
    sent.judge(&mut report, (PUBLISHERS, count));
    live.judge_order(&mut report, &sent);
    let all = u64::try_from(PUBLISHERS * count)?;
    let told = u64::try_from(live.delivered())? + live.gone();
    report.expect(told == all, "delivered or told gone, live", format_args!("{told} of {all}"));
    let ended = Instant::now();
    let client = gathering.mesh.nodes[0].client()?;
    let kept = loop {
        let kept = client.topic(TOPIC)?["messages"]["count"].as_u64().unwrap_or(u64::MAX);
        if kept == 0 || ended.elapsed() > GONE_MAX {
            break kept;
        }
        thread::sleep(Duration::from_millis(500));
    };
    report.expect(kept == 0, "messages that are kept", kept);
    report.tell("gone after", Shown(ended.elapsed()));
    let newcomer = gathering.subscribe(&Subscribes::default())?;
    let late = heard(newcomer)?;
    let gone = late.gone();
    report.expect(gone == all, "told a newcomer as gone", format_args!("{gone} of {all}"));
    report.expect(late.delivered() == 0, "delivered to a newcomer", late.delivered());
    Ok(report)
}
