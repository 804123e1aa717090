//! Judges what a load was told: nothing lost, nothing doubled, an order that explains all answers.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use weald_sim::history::{
    Event, History, Invocation, Level, Outcome, ProcessId, Step, Value, check_linearizable,
    check_serializable,
};

use crate::client::{Answer, Client, Failure};
use crate::load::LoadResult;
use crate::report::Report;

/// Who reads everything at the end.
const LAST_READER: ProcessId = ProcessId(u32::MAX);
/// How long a read at the end is tried.
const READ_MAX: Duration = Duration::from_secs(60);
/// Entries asked for at once at the end.
const PAGE: usize = 1000;

/// Reads everything through `clients`, adds it to the history and judges that.
pub(crate) fn judge(
    report: &mut Report,
    result: &mut LoadResult,
    clients: &[Client],
) -> Result<()> {
    let lists = read_everything(result, clients)?;
    let history = result.history()?;
    tell_counts(report, result, &history);
    tell_diaries(report, &history, &lists);
    match check_linearizable(&history) {
        Ok(judged) => report.tell(
            "linearizable",
            format_args!("yes, {} objects, {} steps", judged.object_count, judged.operation_count),
        ),
        Err(error) => report.expect(false, "linearizable", error),
    }
    match check_serializable(&history, Level::StrictSerializable) {
        Ok(judged) => report.tell(
            "strictly serializable",
            format_args!("yes, {} dependencies", judged.dependency_count),
        ),
        Err(anomalies) => report.expect(false, "strictly serializable", anomalies),
    }
    Ok(())
}

fn tell_counts(report: &mut Report, result: &LoadResult, history: &History) {
    report.tell("operations", history.operations().len());
    let (writes, reads) = result.latencies();
    let (completed, rejected) = (result.completed_count, result.rejected_count);
    report.tell("answered, refused", format_args!("{completed}, {rejected}"));
    let (retried, resolved, unknown) =
        (result.retry_count, result.resolved_count, result.unknown_count);
    report.tell(
        "asked again, resolved, unknown at the end",
        format_args!("{retried}, {resolved}, {unknown}"),
    );
    if !result.refusals.is_empty() {
        report.tell("refusals by kind", format_args!("{:?}", result.refusals));
    }
    for (what, summary) in [("writes", writes), ("reads", reads)] {
        if let Some(summary) = summary {
            report.tell(what, summary);
        }
    }
}

/// The diaries as they are, by name.
type Lists = BTreeMap<String, Vec<Value>>;

fn tell_diaries(report: &mut Report, history: &History, lists: &Lists) {
    let Tally { lost, doubled, acknowledged } = tally(history, lists);
    report.tell("acknowledged appends", acknowledged);
    report.expect(lost == 0, "lost", lost);
    report.expect(doubled == 0, "doubled", doubled);
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    acknowledged: usize,
    lost: usize,
    doubled: usize,
}

/// Appends are told apart by their values.
fn tally(history: &History, lists: &Lists) -> Tally {
    let mut tally = Tally::default();
    for operation in history.operations() {
        for step in &operation.steps {
            if let (Step::Append { diary, value, .. }, Outcome::Committed { .. }) =
                (step, operation.outcome)
            {
                tally.acknowledged += 1;
                let is_there = lists.get(diary).is_some_and(|list| list.contains(value));
                tally.lost += usize::from(!is_there);
            }
        }
    }
    for list in lists.values() {
        tally.doubled += list.len() - list.iter().collect::<BTreeSet<_>>().len();
    }
    tally
}

/// Reads all registers and diaries into the history of `result`; the diaries.
fn read_everything(result: &mut LoadResult, clients: &[Client]) -> Result<Lists> {
    let objects = result.objects;
    let mut reading = Reading { clients, events: Vec::new(), at: result.end() };
    for register in result.objects.registers() {
        let tree = result.objects.tree(register.tree);
        let found = reading.ask(|client| client.get((&tree, &register.key), ""))?;
        let value = found.map(|found| number(&found.bytes)).transpose()?;
        reading.keep(Step::seen(result.objects.register(&register), value));
    }
    let mut lists = Lists::new();
    for diary in (0..result.objects.diary_count).map(|diary| objects.diary(diary)) {
        let list = reading.diary(&diary)?;
        lists.insert(diary, list);
    }
    result.add_events(reading.events);
    Ok(lists)
}

struct Reading<'a> {
    clients: &'a [Client],
    events: Vec<Event>,
    /// The load is over: its last tick, and one more for each event.
    at: u64,
}

impl Reading<'_> {
    fn diary(&mut self, diary: &str) -> Result<Vec<Value>> {
        let mut list = Vec::new();
        loop {
            let from = u64::try_from(list.len())?;
            let entries = self.ask(|client| client.entries(diary, from, PAGE))?;
            let values: Result<Vec<Value>> =
                entries.iter().map(|(_, bytes)| number(bytes)).collect();
            let values = values?;
            self.keep(Step::page(diary, from, u64::try_from(PAGE)?, values.clone()));
            let is_last = values.len() < PAGE;
            list.extend(values);
            if is_last {
                return Ok(list);
            }
        }
    }

    /// Asks one node after the other until one answers.
    fn ask<T>(&self, question: impl Fn(&Client) -> Answer<T>) -> Result<T> {
        let started = Instant::now();
        let mut failure = Failure::lost_by(String::from("there are no clients"));
        while started.elapsed() < READ_MAX {
            for client in self.clients {
                match question(client) {
                    Ok(answer) => return Ok(answer),
                    Err(why) => failure = why,
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("nobody answers a read at the end: {failure}")
    }

    fn keep(&mut self, step: Step) {
        let number = u64::try_from(self.events.len()).expect("few events");
        let operation = Invocation { process: LAST_READER, number };
        let asked = match step.clone() {
            Step::Read { register, .. } => Step::read(register),
            Step::ReadRange { diary, from, limit, .. } => {
                Step::ReadRange { diary, from, limit, values: None }
            }
            other => other,
        };
        let (at, told) = (self.at + 1, self.at + 2);
        self.at = told;
        self.events.push(Event::Invoked { operation, at, steps: vec![asked] });
        self.events.push(Event::Committed { operation, at: told, steps: vec![step] });
    }
}

fn number(bytes: &[u8]) -> Result<Value> {
    let text = String::from_utf8_lossy(bytes);
    text.parse().map_err(|_| anyhow::anyhow!("nobody wrote this: {text}"))
}
