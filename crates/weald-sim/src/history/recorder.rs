//! Builds histories from events, and keeps events as JSON lines.
//!
//! A process writes the invocation before it asks and the completion when it is told, each as one
//! line. So a killed process leaves its last operation behind as one of unknown outcome, and the
//! files of several processes are read one after another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::OPERATIONS_MAX;
use super::{Operation, Outcome, ProcessId, Step};

/// What clients asked and were told, in the order of the invocations' recording.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct History {
    operations: Vec<Operation>,
}

/// Names one operation of a history: a client and its count of operations, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Invocation {
    /// The client.
    pub process: ProcessId,
    /// Its own number for the operation.
    pub number: u64,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A client asks.
    Invoked {
        /// Which operation.
        operation: Invocation,
        /// When, in ticks.
        at: u64,
        /// What, without answers; conditions may be stated.
        steps: Vec<Step>,
    },
    /// A client was told that the operation took effect.
    Committed {
        /// Which operation.
        operation: Invocation,
        /// When, in ticks.
        at: u64,
        /// What was asked, with the answers.
        steps: Vec<Step>,
    },
    /// A client was told that the operation has and will have no effect.
    Rejected {
        /// Which operation.
        operation: Invocation,
        /// When, in ticks.
        at: u64,
    },
}

/// Why something is no history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A line is not an event.
    #[error("not an event: line={line} cause={cause}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser says.
        cause: String,
    },
    /// An operation is invoked a second time.
    #[error("invoked twice: process={} number={}", .0.process, .0.number)]
    InvokedTwice(Invocation),
    /// An operation is completed that was never invoked, or was completed before.
    #[error("completed without being under way: process={} number={}", .0.process, .0.number)]
    NotUnderWay(Invocation),
    /// An operation is completed before its invocation.
    #[error("completed before it was invoked: process={} number={}", .0.process, .0.number)]
    Backwards(Invocation),
    /// There are more operations than [`OPERATIONS_MAX`].
    #[error("too many operations: max={OPERATIONS_MAX}")]
    TooLong,
}

/// Builds a [`History`]. An operation that is never completed has an unknown outcome.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    operations: Vec<Operation>,
    places: BTreeMap<Invocation, usize>,
}

impl History {
    /// A history of these operations.
    pub fn new(operations: Vec<Operation>) -> Self {
        Self { operations }
    }

    /// Reads what [`History::to_json_lines`] or one process has written.
    ///
    /// # Errors
    /// As [`Recorder::read_json_lines`].
    pub fn from_json_lines(text: &str) -> Result<Self, HistoryError> {
        let mut recorder = Recorder::default();
        recorder.read_json_lines(text)?;
        Ok(recorder.finish())
    }

    /// The operations. Their places are the numbers that reports use.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The history as lines of JSON, one for each event, ordered by operation.
    pub fn to_json_lines(&self) -> String {
        let mut text = String::new();
        let mut numbers: BTreeMap<ProcessId, u64> = BTreeMap::new();
        for operation in &self.operations {
            let number = numbers.entry(operation.process).or_default();
            let name = Invocation { process: operation.process, number: *number };
            *number += 1;
            for event in events_of(operation, name) {
                text.push_str(&event.to_json_line());
            }
        }
        text
    }
}

impl Event {
    /// The event as one line of JSON, with its line feed.
    pub fn to_json_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("an event has no maps with odd keys");
        line.push('\n');
        line
    }

    /// Which operation the event is about.
    pub fn operation(&self) -> Invocation {
        match self {
            Self::Invoked { operation, .. }
            | Self::Committed { operation, .. }
            | Self::Rejected { operation, .. } => *operation,
        }
    }
}

impl Recorder {
    /// Takes an event, of any process.
    ///
    /// # Errors
    /// [`HistoryError`] if the event does not continue what was recorded; then nothing is changed.
    pub fn record(&mut self, event: Event) -> Result<(), HistoryError> {
        let name = event.operation();
        match event {
            Event::Invoked { at, steps, .. } => self.begin(name, at, steps),
            Event::Committed { at, steps, .. } => {
                let operation = self.under_way(name, at)?;
                operation.outcome = Outcome::Committed { at };
                operation.steps = steps;
                Ok(())
            }
            Event::Rejected { at, .. } => {
                self.under_way(name, at)?.outcome = Outcome::Rejected { at };
                Ok(())
            }
        }
    }

    /// Takes the events of `text`, one a line. A last line without a line feed is what a killed
    /// process left and is passed over.
    ///
    /// # Errors
    /// [`HistoryError`] for the first line that is no event or does not continue the history.
    pub fn read_json_lines(&mut self, text: &str) -> Result<(), HistoryError> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (index, line) in whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let event = serde_json::from_str(line).map_err(|error| HistoryError::Syntax {
                line: index + 1,
                cause: error.to_string(),
            })?;
            self.record(event)?;
        }
        Ok(())
    }

    /// Records that `process` asks for `steps` at tick `at`, under its next number.
    ///
    /// # Errors
    /// [`HistoryError::TooLong`].
    pub fn invoke(
        &mut self,
        process: ProcessId,
        at: u64,
        steps: Vec<Step>,
    ) -> Result<Invocation, HistoryError> {
        let first = Invocation { process, number: 0 };
        let last = Invocation { process, number: u64::MAX };
        let number =
            self.places.range(first..=last).next_back().map_or(0, |(name, _)| name.number + 1);
        let operation = Invocation { process, number };
        self.record(Event::Invoked { operation, at, steps })?;
        Ok(operation)
    }

    /// Records that `operation` took effect; `steps` are those asked, with the answers.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub fn commit(
        &mut self,
        operation: Invocation,
        at: u64,
        steps: Vec<Step>,
    ) -> Result<(), HistoryError> {
        self.record(Event::Committed { operation, at, steps })
    }

    /// Records that `operation` was refused.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub fn reject(&mut self, operation: Invocation, at: u64) -> Result<(), HistoryError> {
        self.record(Event::Rejected { operation, at })
    }

    /// The history so far; what is under way is of unknown outcome.
    pub fn finish(self) -> History {
        History { operations: self.operations }
    }

    fn begin(&mut self, name: Invocation, at: u64, steps: Vec<Step>) -> Result<(), HistoryError> {
        if self.operations.len() >= OPERATIONS_MAX {
            return Err(HistoryError::TooLong);
        }
        if self.places.contains_key(&name) {
            return Err(HistoryError::InvokedTwice(name));
        }
        self.places.insert(name, self.operations.len());
        let (process, outcome) = (name.process, Outcome::Unknown);
        self.operations.push(Operation { process, invoked: at, outcome, steps });
        Ok(())
    }

    fn under_way(&mut self, name: Invocation, at: u64) -> Result<&mut Operation, HistoryError> {
        let place = self.places.get(&name).ok_or(HistoryError::NotUnderWay(name))?;
        let operation = &mut self.operations[*place];
        if operation.outcome != Outcome::Unknown {
            return Err(HistoryError::NotUnderWay(name));
        }
        if at < operation.invoked {
            return Err(HistoryError::Backwards(name));
        }
        Ok(operation)
    }
}

fn events_of(operation: &Operation, name: Invocation) -> Vec<Event> {
    let steps = operation.steps.clone();
    let invoked =
        Event::Invoked { operation: name, at: operation.invoked, steps: operation.steps.clone() };
    match operation.outcome {
        Outcome::Committed { at } => {
            vec![invoked, Event::Committed { operation: name, at, steps }]
        }
        Outcome::Rejected { at } => vec![invoked, Event::Rejected { operation: name, at }],
        Outcome::Unknown => vec![invoked],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: ProcessId = ProcessId(3);

    fn every_kind() -> History {
        let mut recorder = Recorder::default();
        let put = recorder.invoke(P, 1, vec![Step::write("x", 7)]).unwrap();
        recorder.commit(put, 4, vec![Step::write("x", 7).at_revision(2)]).unwrap();
        let refused = recorder.invoke(P, 5, vec![Step::delete("x")]).unwrap();
        recorder.reject(refused, 5).unwrap();
        recorder.invoke(P, 6, Step::compare_and_put("x", Some(7), 8)).unwrap();
        let reads = vec![Step::unlike("x", None), Step::listed("d", [1, 2]), Step::read("y")];
        let read = recorder.invoke(ProcessId(4), 2, reads.clone()).unwrap();
        recorder.commit(read, 9, reads).unwrap();
        recorder.invoke(P, 9, vec![Step::appended("d", 3, 2), Step::page("d", 1, 5, [2])]).unwrap();
        recorder.finish()
    }

    #[test]
    fn a_history_survives_its_json_lines() {
        let history = every_kind();
        let text = history.to_json_lines();
        assert_eq!(History::from_json_lines(&text).unwrap(), history);
        assert_eq!(text.lines().count(), 8);
        assert!(text.starts_with(
            r#"{"invoked":{"operation":{"process":3,"number":0},"at":1,"steps":[{"write""#
        ));
    }

    #[test]
    fn what_a_killed_process_left_is_of_unknown_outcome() {
        let text = every_kind().to_json_lines();
        let second_line = text.find('\n').unwrap() + 1;
        let torn = History::from_json_lines(&text[..second_line + 20]).unwrap();
        assert_eq!(torn.operations().len(), 1);
        assert_eq!(torn.operations()[0].outcome, Outcome::Unknown);
        assert_eq!(History::from_json_lines("").unwrap(), History::default());
    }

    #[test]
    fn files_of_several_processes_make_one_history() {
        let mut recorder = Recorder::default();
        for process in [1, 2] {
            let mut file = Recorder::default();
            file.invoke(ProcessId(process), 1, vec![Step::read("x")]).unwrap();
            recorder.read_json_lines(&file.finish().to_json_lines()).unwrap();
        }
        assert_eq!(recorder.finish().operations().len(), 2);
    }

    #[test]
    fn events_that_continue_nothing_are_refused() {
        let mut recorder = Recorder::default();
        let name = recorder.invoke(P, 5, vec![Step::read("x")]).unwrap();
        let other = Invocation { process: P, number: 9 };
        let again = Event::Invoked { operation: name, at: 6, steps: Vec::new() };
        assert_eq!(recorder.record(again), Err(HistoryError::InvokedTwice(name)));
        assert_eq!(recorder.reject(name, 4), Err(HistoryError::Backwards(name)));
        assert_eq!(recorder.reject(other, 9), Err(HistoryError::NotUnderWay(other)));
        recorder.reject(name, 9).unwrap();
        assert_eq!(recorder.commit(name, 9, Vec::new()), Err(HistoryError::NotUnderWay(name)));
        let nonsense = recorder.read_json_lines("\n{\"dropped\":1}\n");
        assert!(matches!(nonsense, Err(HistoryError::Syntax { line: 2, .. })), "{nonsense:?}");
    }
}
