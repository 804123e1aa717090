//! A majority is lost for good, with its disks. The operator follows `docs/recovery.md` word by word at the survivor,
//! which goes on alone in a new generation; fresh nodes join, and one of the lost comes back from an old disk.
//!
//! The survivor is killed first, under load, so that the others acknowledge what it never had: that is gone, and has
//! to stay so. Everything that it had has to be there. A subscriber lives through all of it.

mod journal;
mod listener;
mod operator;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Defaults, Scenario, Trial, k3};
use crate::client::{Client, Condition};
use crate::mesh::{Mesh, READY_MAX, Setup};
use crate::partitions;
use crate::party::Party;
use crate::report::Report;
use crate::statistics::Shown;
use journal::{Held, Indexes, Journal, Line, Tally};
use listener::{TOPIC, Tale, body, listen, publish, wait_heard};
use operator::{Operator, Page, Values, filled};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "forced-recovery",
    about: "two of three are lost with their disks; docs/recovery.md is followed, two join, a lost one comes back",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 2400, rounds: 2 },
    run,
};

/// Who votes, and where they are: the founder is among the lost.
const NODES: usize = 3;
const FOUNDER: usize = 0;
const RETURNING: usize = 1;
const SURVIVOR: usize = 2;
/// Messages that only the lost nodes had, and all.
const LOST: Range<u64> = 20..30;
const MESSAGES: u64 = 40;
/// How long nodes may take for what is waited for.
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The file that a node keeps its key in.
const IDENTITY: &str = "identity.key";
/// What a node logs when it hears that it was left behind.
const LEFT_BEHIND: &str = "a forced recovery has begun a new generation";

/// Whose key signs, as the page has it.
#[derive(Clone, Copy, Debug)]
enum Signer {
    /// The founder, by a copy of its key.
    Founder,
    /// Whom the nodes' settings name.
    Named,
}

const SIGNERS: [(&str, Signer); 2] =
    [("the founder's key", Signer::Founder), ("an administrator's key", Signer::Named)];

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    for round in 0..setup.round_count {
        let (name, signer) = SIGNERS[round % SIGNERS.len()];
        let told = tell(setup, &format!("recovery-{round}"), signer);
        report.absorb(name, told.with_context(|| format!("with {name}"))?);
    }
    Ok(report)
}

/// The story, with the network in a directory of its own.
fn tell(setup: &Setup, name: &str, signer: Signer) -> Result<Report> {
    let mut story = Story::begin(setup, name, signer)?;
    let party = listen(&story.mesh, setup)?;
    let mut lost = story.lose_majority(&party)?;
    let logged = story.stay_alone()?;
    lost.held.kept = story.recover(&logged)?;
    story.go_on_alone()?;
    story.grow()?;
    for place in story.mesh.running() {
        story.read(&lost, place)?;
    }
    story.come_back(&lost, party)
}

/// What was asked for before the majority was lost.
struct Lost {
    lines: Vec<Line>,
    held: Held,
}

struct Story<'a> {
    setup: &'a Setup,
    report: Report,
    operator: Operator,
    values: Values,
    mesh: Mesh,
}

impl<'a> Story<'a> {
    /// Three nodes, and a key that may sign, kept where nothing is lost.
    fn begin(setup: &'a Setup, name: &str, signer: Signer) -> Result<Self> {
        let operator = Operator { program: setup.program.clone(), page: Page::read()? };
        let mut mesh = Mesh::prepare(setup, name, NODES)?;
        let mut values = Values::new();
        if let Signer::Named = signer {
            let mut keys = Mesh::prepare(setup, &format!("{name}-keys"), 1)?;
            keys.start_first()?;
            values.insert("PEER", keys.nodes[0].file()?.peer_id.clone());
            keys.nodes[0].stop()?;
            values.insert("FILE", keys.nodes[0].data_dir().join(IDENTITY).display().to_string());
            // Behind `weald node`.
            let more = filled(&operator.page.start[2..], &values)?;
            for node in &mut mesh.nodes {
                node.arguments_mut().more.clone_from(&more);
            }
        }
        mesh.found()?;
        if let Signer::Founder = signer {
            let copy = mesh.directory().join("founder.key");
            fs::copy(mesh.nodes[FOUNDER].data_dir().join(IDENTITY), &copy)?;
            values.insert("FILE", copy.display().to_string());
        }
        values.insert("DIR", mesh.nodes[SURVIVOR].data_dir().display().to_string());
        let story = Self { setup, report: Report::default(), operator, values, mesh };
        let first = ["topic", "pub", TOPIC, &body(0)].map(str::to_owned);
        story.ask(FOUNDER, &first)?;
        Ok(story)
    }

    /// Asks a node by the command line.
    fn ask(&self, place: usize, words: &[String]) -> Result<String> {
        let node =
            [String::from("--node"), format!("http://{}", self.mesh.nodes[place].file()?.http)];
        let ended = self.operator.give(&[&node, words].concat())?;
        Ok(ended.text()?.to_owned())
    }

    fn client(&self, place: usize) -> Result<Client> {
        self.mesh.nodes[place].client()
    }

    /// The survivor is killed under load, then the others, which have gone on, and their disks are gone.
    fn lose_majority(&mut self, party: &Party) -> Result<Lost> {
        let journal = Journal::begin(self.mesh.clients()?);
        publish(&self.client(FOUNDER)?, 1..LOST.start)?;
        journal.wait_acknowledged(self.setup.operation_count / 4)?;
        let survivor = self.client(SURVIVOR)?;
        wait("the survivor has the topic", || {
            let topic = survivor.json(&format!("/v1/topics/{TOPIC}?consistency=local"));
            topic.is_ok_and(|topic| topic["messages"]["count"] == LOST.start)
        })?;
        let (applied, before) = (indexes(&survivor, "applied")?, Instant::now());
        self.mesh.nodes[SURVIVOR].kill()?;
        let held = Held { ended: (before, Instant::now()), applied, kept: Indexes::new() };
        journal.wait_acknowledged(self.setup.operation_count / 4)?;
        publish(&self.client(FOUNDER)?, LOST)?;
        wait_heard(party, LOST.end - 1)?;
        for place in [FOUNDER, RETURNING] {
            self.mesh.nodes[place].kill()?;
        }
        let lines = journal.end()?;
        fs::rename(self.mesh.nodes[RETURNING].data_dir(), self.old_disk())?;
        fs::remove_dir_all(self.mesh.nodes[FOUNDER].data_dir())?;
        Ok(Lost { lines, held })
    }

    /// Where the disk of the node lies that comes back.
    fn old_disk(&self) -> PathBuf {
        self.mesh.directory().join("old-disk")
    }

    /// The survivor is started: it waits, and says so. The ends of its logs.
    fn stay_alone(&mut self) -> Result<Indexes> {
        let node = &mut self.mesh.nodes[SURVIVOR];
        node.spawn()?;
        node.wait_started()?;
        let client = node.client()?;
        let refusal = k3::refusal(&client.clone().within(READY_MAX));
        let is_refused = refusal.is_ok();
        self.report.expect(
            is_refused,
            "a write at the survivor",
            refusal.unwrap_or_else(|why| why),
        );
        let status = ["--json", "status"].map(str::to_owned);
        let status: Value = serde_json::from_str(&self.ask(SURVIVOR, &status)?)?;
        let (leaderless, all) = (&status["leaderless"], &status["partitions"]);
        let text = format!("{leaderless} of {all}");
        self.report.expect(leaderless == all, "partitions that nobody coordinates", text);
        let begin = self.operator.follow(&self.operator.page.begin, &self.values)?;
        begin.expect(&mut self.report, "recovery of a node that runs", (5, "another process"));
        let logged = indexes(&client, "last")?;
        self.mesh.nodes[SURVIVOR].stop()?;
        Ok(logged)
    }

    /// What the page says, in its order. Up to where the survivor's logs are kept.
    fn recover(&mut self, logged: &Indexes) -> Result<Indexes> {
        let Self { operator, values, report, .. } = self;
        let (page, other) = (operator.page.clone(), self.mesh.directory().join("old-disk"));
        let (other, own) = (other.display().to_string(), values["DIR"].clone());
        // Two whole disks of three go on by themselves, whichever of them has more.
        for (what, dir, beside) in [
            ("recovery beside a disk with more", &own, &other),
            ("recovery of that one beside the survivor", &other, &own),
        ] {
            let pair = Values::from([("DIR", dir.clone()), ("OTHER_DIR", beside.clone())]);
            let refused = operator.follow(&page.compare, &pair)?;
            refused.expect(report, what, (3, "majority survives"));
        }
        let bare = Values::from([("DIR", own)]);
        let looked = told(&operator.follow(&page.look, &bare)?.lines()?, false)?;
        let unsigned = operator.follow(&page.begin, &bare)?;
        unsigned.expect(report, "recovery with the survivor's own key", (2, "administrator"));
        let started = Instant::now();
        let kept = told(&operator.follow(&page.begin, values)?.lines()?, true)?;
        report.tell("recovered within", Shown(started.elapsed()));
        let again = operator.follow(&page.begin, values)?;
        again.expect(report, "recovery again", (3, "majority survives"));
        report.expect(looked == kept, "done as told before", format!("{} partitions", kept.len()));
        let short =
            logged.iter().filter(|(partition, last)| kept.get(partition) < Some(last)).count();
        let all = logged.len() == kept.len() && short == 0;
        report.expect(
            all,
            "kept up to the ends of the survivor's logs",
            format!("{short} are not"),
        );
        Ok(kept)
    }

    fn go_on_alone(&mut self) -> Result<()> {
        let ready = self.mesh.nodes[SURVIVOR].start()?;
        self.report.tell("the survivor serves after", Shown(ready));
        let partitions = self.ask(SURVIVOR, &[String::from("partitions")])?;
        let (all, told) =
            (partitions.lines().count(), partitions.matches("recovered by force").count());
        self.report.expect(all == told, "partitions that tell of it", format!("{told} of {all}"));
        let client = self.client(SURVIVOR)?;
        client
            .put(("alone", "k"), b"1", Condition::Always, "alone-1")
            .context("it goes on alone")?;
        Ok(())
    }

    /// Two fresh nodes join and become members. Partitions that were meant for the lost nodes wait for them meanwhile.
    fn grow(&mut self) -> Result<()> {
        let more = self.mesh.nodes[SURVIVOR].arguments_mut().more.clone();
        let started = Instant::now();
        for _ in 1..NODES {
            let place = self.mesh.add()?;
            self.mesh.nodes[place].arguments_mut().more.clone_from(&more);
            self.mesh.join_through(place, SURVIVOR)?;
        }
        self.mesh.wait_ready(READY_MAX)?;
        for place in NODES..self.mesh.nodes.len() {
            partitions::wait_memberships(&self.mesh, place, 1, WAIT_MAX)?;
        }
        self.report.tell("fresh nodes are members after", Shown(started.elapsed()));
        let fresh = self.client(self.mesh.nodes.len() - 1)?;
        publish(&fresh, LOST.end..MESSAGES)
    }

    /// Judges what a node shows of what was written before.
    fn read(&mut self, lost: &Lost, place: usize) -> Result<()> {
        let tally = Tally::read(&lost.lines, &lost.held, &self.client(place)?)?;
        tally.judge(&mut self.report, self.mesh.nodes[place].name());
        Ok(())
    }

    /// One of the lost is started from its old disk under a load: it hears that it was left behind and learns.
    fn come_back(mut self, lost: &Lost, party: Party) -> Result<Report> {
        let (old_disk, bootstrap) =
            (self.old_disk(), self.mesh.nodes[SURVIVOR].file()?.bootstrap());
        let share = self.setup.operation_count / 4;
        let mut trial = Trial::begin(self.setup, self.mesh, "after")?;
        trial.wait_operations(share)?;
        let node = &mut trial.mesh.nodes[RETURNING];
        fs::rename(old_disk, node.data_dir())?;
        node.arguments_mut().bootstrap = bootstrap;
        let started = Instant::now();
        node.spawn()?;
        node.wait_started()?;
        trial.wait_until(|trial| {
            let client = trial.mesh.nodes[RETURNING].client();
            let is_over = client.and_then(|client| of_old(&client)).is_ok_and(|count| count == 0);
            is_over && trial.mesh.nodes[RETURNING].log_count(LEFT_BEHIND) > 0
        })?;
        self.report.tell("the one that came back gave all up after", Shown(started.elapsed()));
        trial.wait_operations(share)?;
        let mesh = trial.end_converged(&mut self.report)?;
        self.mesh = mesh;
        self.mesh.wait_ready(READY_MAX)?;
        for place in self.mesh.running() {
            self.read(lost, place)?;
            let of_old = of_old(&self.client(place)?)?;
            let what = format!("members of the old generation, says n{place}");
            self.report.expect(of_old == 0, &what, of_old);
        }
        wait_heard(&party, MESSAGES - 1)?;
        Tale::of(&party.end()?).judge(&mut self.report, &LOST, MESSAGES);
        self.mesh.check_alive()?;
        Ok(self.report)
    }
}

/// Up to where each partition is kept, in generation 1, with two voters given up.
fn told(lines: &[Value], is_applied: bool) -> Result<Indexes> {
    let of_line = |line: &Value| {
        let recovery = &line["recovery"];
        let is_so = line["applied"] == is_applied && recovery["generation"] == 1;
        let voters = recovery["voters"].as_array().map_or(0, Vec::len);
        ensure!(is_so && voters == NODES, "{line}");
        let pair = line["partition"].as_u64().zip(recovery["kept"].as_u64());
        pair.with_context(|| format!("not understood: {line}"))
    };
    lines.iter().map(of_line).collect()
}

/// A number of each partition that the node of `client` keeps.
fn indexes(client: &Client, name: &str) -> Result<Indexes> {
    let number = |one: &Value| one["partition"].as_u64().zip(one[name].as_u64());
    kept(client)?
        .iter()
        .map(|one| number(one).with_context(|| format!("no {name}: {one}")))
        .collect()
}

/// How many members on the node of `client` are not of generation 1.
fn of_old(client: &Client) -> Result<usize> {
    let is_old = |one: &&Value| one["recovery"]["generation"] != 1;
    Ok(kept(client)?.iter().filter(is_old).count())
}

/// What the node of `client` tells of the partitions that it keeps.
fn kept(client: &Client) -> Result<Vec<Value>> {
    let answer = client.json("/v1/partitions")?;
    let list = answer["partitions"].as_array().context("no list of partitions")?;
    Ok(list.iter().filter(|one| one["role"] != "outsider").cloned().collect())
}

fn wait(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let started = Instant::now();
    while !is_so() {
        ensure!(started.elapsed() < WAIT_MAX, "not within {WAIT_MAX:?}: {what}");
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
