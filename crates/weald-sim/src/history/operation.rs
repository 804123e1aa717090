//! What one client asked at one time and what it was told.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::WITNESS_STATES_MAX;

/// What registers and diaries hold. Checks are sharpest when each write of a history has its own.
pub type Value = i64;

/// A client. It may have several operations under way at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ProcessId(pub u32);

/// One operation: steps that take effect together at one instant, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub process: ProcessId,
    /// When, in ticks.
    pub invoked: u64,
    /// What the client was told.
    pub outcome: Outcome,
    /// What was asked, with the answers. An answer in an operation that is not committed is a
    /// condition: without it the operation has no effect.
    pub steps: Vec<Step>,
}

/// What a client was told of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect by tick `at`.
    Committed {
        /// When the client was told.
        at: u64,
    },
    /// It has and will have no effect.
    Rejected {
        /// When the client was told.
        at: u64,
    },
    /// It may take effect at any time after its invocation, or never.
    Unknown,
}

/// One step of an operation. Within an operation each step sees the effects of those before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Reads a register.
    Read {
        /// Its name.
        register: String,
        /// The answer.
        #[serde(default)]
        seen: Seen,
        /// The revision of the version read, where the database told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
    },
    /// Writes a register, or deletes it.
    Write {
        /// Its name.
        register: String,
        /// The value; none deletes.
        value: Option<Value>,
        /// The revision that the database gave to the write.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
    },
    /// Appends to a diary.
    Append {
        /// Its name.
        diary: String,
        /// The entry.
        value: Value,
        /// The sequence that the database gave to the entry, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
    },
    /// Reads a diary forward.
    ReadRange {
        /// Its name.
        diary: String,
        /// The first sequence wanted.
        from: u64,
        /// How many entries are wanted; none reads to the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        /// The answer. Fewer than the limit say that the diary ended there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        values: Option<Vec<Value>>,
    },
}

/// What a read of a register tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Nothing: there was no answer, or none was asked for.
    #[default]
    Nothing,
    /// That the register held this; none is an absent one.
    Is(Option<Value>),
    /// That the register held anything but this: a condition that did not hold.
    IsNot(Option<Value>),
}

/// What a step is about. A register and a diary of one name are two objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object<'a> {
    /// The register of this name; absent at first.
    Register(&'a str),
    /// The diary of this name; empty at first.
    Diary(&'a str),
}

impl Operation {
    /// The tick by which the operation had taken effect, if it is known to have.
    pub fn completed(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Committed { at } => Some(at),
            Outcome::Rejected { .. } | Outcome::Unknown => None,
        }
    }

    /// Whether the operation was definitely refused.
    pub fn is_rejected(&self) -> bool {
        matches!(self.outcome, Outcome::Rejected { .. })
    }

    /// Whether every correct order has this operation before `other`.
    pub fn precedes(&self, other: &Self) -> bool {
        self.completed().is_some_and(|completed| completed < other.invoked)
    }
}

impl Step {
    /// A read of a register without an answer.
    pub fn read(register: impl Into<String>) -> Self {
        Self::Read { register: register.into(), seen: Seen::Nothing, revision: None }
    }

    /// A read of a register that found `value`; in an operation of unknown outcome the condition
    /// that it does.
    pub fn seen(register: impl Into<String>, value: Option<Value>) -> Self {
        Self::Read { register: register.into(), seen: Seen::Is(value), revision: None }
    }

    /// A condition that was answered not to hold: the register is not `value`.
    pub fn unlike(register: impl Into<String>, value: Option<Value>) -> Self {
        Self::Read { register: register.into(), seen: Seen::IsNot(value), revision: None }
    }

    /// A write of a register.
    pub fn write(register: impl Into<String>, value: Value) -> Self {
        Self::Write { register: register.into(), value: Some(value), revision: None }
    }

    /// A deletion of a register.
    pub fn delete(register: impl Into<String>) -> Self {
        Self::Write { register: register.into(), value: None, revision: None }
    }

    /// A compare-and-put that holds or whose outcome is unknown. One that was answered not to hold
    /// is [`Step::unlike`] in a committed operation.
    pub fn compare_and_put(register: &str, expected: Option<Value>, value: Value) -> Vec<Self> {
        vec![Self::seen(register, expected), Self::write(register, value)]
    }

    /// An append to a diary without an answer.
    pub fn append(diary: impl Into<String>, value: Value) -> Self {
        Self::Append { diary: diary.into(), value, sequence: None }
    }

    /// An append to a diary that was given `sequence`.
    pub fn appended(diary: impl Into<String>, value: Value, sequence: u64) -> Self {
        Self::Append { diary: diary.into(), value, sequence: Some(sequence) }
    }

    /// A read of a whole diary that found `values`.
    pub fn listed(diary: impl Into<String>, values: impl Into<Vec<Value>>) -> Self {
        let (diary, values) = (diary.into(), Some(values.into()));
        Self::ReadRange { diary, from: 0, limit: None, values }
    }

    /// A read of at most `limit` entries from sequence `from` that found `values`.
    pub fn page(
        diary: impl Into<String>,
        from: u64,
        limit: u64,
        values: impl Into<Vec<Value>>,
    ) -> Self {
        let (diary, values) = (diary.into(), Some(values.into()));
        Self::ReadRange { diary, from, limit: Some(limit), values }
    }

    /// The same step with the revision that the database told; a diary's steps have none.
    #[must_use]
    pub fn at_revision(mut self, told: u64) -> Self {
        if let Self::Read { revision, .. } | Self::Write { revision, .. } = &mut self {
            *revision = Some(told);
        }
        self
    }

    /// What the step is about.
    pub fn object(&self) -> Object<'_> {
        match self {
            Self::Read { register, .. } | Self::Write { register, .. } => {
                Object::Register(register)
            }
            Self::Append { diary, .. } | Self::ReadRange { diary, .. } => Object::Diary(diary),
        }
    }

    /// Whether the step changes its object.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Append { .. })
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(name) => write!(f, "register {name}"),
            Self::Diary(name) => write!(f, "diary {name}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} [{}, ", self.process, self.invoked)?;
        match self.outcome {
            Outcome::Committed { at } => write!(f, "{at}] committed:")?,
            Outcome::Rejected { at } => write!(f, "{at}] rejected:")?,
            Outcome::Unknown => f.write_str("..] unknown:")?,
        }
        for (index, step) in self.steps.iter().enumerate() {
            write!(f, "{} {step}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { register, seen, .. } => match seen {
                Seen::Nothing => write!(f, "read {register}"),
                Seen::Is(value) => write!(f, "read {register} = {}", Shown(*value)),
                Seen::IsNot(value) => write!(f, "read {register} != {}", Shown(*value)),
            },
            Self::Write { register, value: None, .. } => write!(f, "delete {register}"),
            Self::Write { register, value: Some(value), .. } => {
                write!(f, "write {register} = {value}")
            }
            Self::Append { diary, value, sequence: None } => write!(f, "append {diary} {value}"),
            Self::Append { diary, value, sequence: Some(sequence) } => {
                write!(f, "append {diary} {value} at {sequence}")
            }
            Self::ReadRange { diary, from, limit, values } => {
                write!(f, "read {diary} from {from}")?;
                limit.map_or(Ok(()), |limit| write!(f, " limit {limit}"))?;
                values.as_deref().map_or(Ok(()), |values| write!(f, " = {}", ShownList(values)))
            }
        }
    }
}

/// A register's value as text.
pub(super) struct Shown(pub(super) Option<Value>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("absent"),
        }
    }
}

/// The end of a list as text.
pub(super) struct ShownList<'a>(pub(super) &'a [Value]);

impl fmt::Display for ShownList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden_count = self.0.len().saturating_sub(WITNESS_STATES_MAX);
        f.write_str("[")?;
        if hidden_count > 0 {
            write!(f, "{hidden_count} more, ")?;
        }
        for (index, value) in self.0[hidden_count..].iter().enumerate() {
            write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}
