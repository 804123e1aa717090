//! The history of a world's clients: what they asked and were told, for the judges of
//! [`crate::history`].

use std::collections::BTreeMap;

use super::World;
use crate::{
    client::What,
    history::{
        History, Invocation, Level, ProcessId, Recorder, Step, check_linearizable,
        check_serializable,
    },
    machine::{Outcome, Request, Shown},
    schedule::Instant,
};

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    recorder: Recorder,
    /// What each client does at the moment.
    under_way: BTreeMap<u8, Invocation>,
}

impl Histories {
    /// A client begins an operation. What it did before, if it was not told, stays unknown.
    pub(super) fn begin(&mut self, client: u8, at: Instant, what: &What) {
        self.under_way.remove(&client);
        let steps = match what {
            What::Write(request) => writes(request, None),
            What::Read { key } => vec![Step::read(register(*key))],
            What::Resolve(_) | What::Look => return,
        };
        let process = ProcessId(client.into());
        let begun = self.recorder.invoke(process, at.0, steps);
        self.under_way.insert(client, begun.expect("a run is short"));
    }

    /// A client is told what became of a write. What is forgotten stays unknown.
    pub(super) fn written(&mut self, at: Instant, request: &Request, outcome: Outcome) {
        let Some(begun) = self.under_way.remove(&request.id.client) else { return };
        let noted = match outcome {
            Outcome::Applied { position, .. } => {
                self.recorder.commit(begun, at.0, writes(request, Some(position)))
            }
            Outcome::Fenced => self.recorder.reject(begun, at.0),
            Outcome::Forgotten | Outcome::Early => Ok(()),
        };
        noted.expect("an operation that was begun is told once");
    }

    /// A client is shown what a read found.
    pub(super) fn read(&mut self, at: Instant, (client, key): (u8, u8), shown: &Shown) {
        let Some(begun) = self.under_way.remove(&client) else { return };
        let value = (shown.value > 0).then_some(i64::from(shown.value));
        let list: Vec<i64> = shown.list.iter().map(|value| i64::from(*value)).collect();
        let steps = vec![Step::seen(register(key), value), Step::listed(diary(key), list)];
        let noted = self.recorder.commit(begun, at.0, steps);
        noted.expect("an operation that was begun is told once");
    }

    /// What there is so far.
    pub(crate) fn finish(&self) -> History {
        self.recorder.clone().finish()
    }
}

impl World {
    /// Judges the history of the clients as a whole.
    pub(crate) fn judge_history(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let history = self.histories.finish();
        if let Err(error) = check_linearizable(&history) {
            return self.fail("history linearizable", error.to_string());
        }
        if let Err(anomalies) = check_serializable(&history, Level::StrictSerializable) {
            self.fail("history strictly serializable", anomalies.to_string());
        }
    }
}

/// The steps of a write; `position` is what a list was answered.
fn writes(request: &Request, position: Option<u64>) -> Vec<Step> {
    let action = &request.action;
    let set = action.register().map(|(key, value)| Step::write(register(key), value.into()));
    let append = action.list().map(|(list, value)| match position {
        Some(position) => Step::appended(diary(list), value.into(), position - 1),
        None => Step::append(diary(list), value.into()),
    });
    set.into_iter().chain(append).collect()
}

fn register(key: u8) -> String {
    format!("r{key}")
}

fn diary(list: u8) -> String {
    format!("l{list}")
}
