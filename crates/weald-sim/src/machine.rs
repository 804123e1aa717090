//! The state machine of a simulated partition: registers, gapless lists, and sessions that make a
//! retry apply once. Small, so that snapshots cost nothing, and the same at every member. It is also
//! what the real one ([`real`]) is compared with, entry by entry.

mod member;
mod real;

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use weald_cluster::{
    partition::EXPIRY_AHEAD_MAX,
    replica::{EntryKind, LogEntry, Point},
};
use weald_core::{Digest, LogIndex, Time};

pub(crate) use member::{MachineKind, MemberMachine, Snapshot};
pub(crate) use real::{PAYLOAD, RealMachine};

/// A client's request: the same bytes at every attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct RequestId {
    pub(crate) client: u8,
    pub(crate) number: u32,
}

/// What a log entry asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Action {
    /// A register gets a value.
    Set { key: u8, value: u32 },
    /// A list gets one more element; the answer is its position, from 1.
    Append { list: u8, value: u32 },
    /// Both at once: the register and the list of this name.
    Both { key: u8, value: u32 },
    /// What only the real state machine understands follows; the model looks away.
    Opaque,
    /// The request is never to be applied, if it has not been.
    Fence,
}

/// A log entry's payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) action: Action,
    /// Bytes of no meaning, so that entries differ in size.
    pub(crate) padding: u16,
    /// The log time after which it is not applied any more. The real state machine needs one.
    pub(crate) expiry: Option<Time>,
}

/// What came of a request; the same for every copy of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    /// Applied, at this place of the log; for a list, the element's position.
    Applied { index: LogIndex, position: u64 },
    /// It was fenced before it was applied.
    Fenced,
    /// A later request of the client was applied, or its expiry is past: what became of this one is
    /// not kept.
    Forgotten,
    /// Its expiry is too far ahead of log time: it was not applied now.
    Early,
}

/// What a read shows: a register and the list of the same name, at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Shown {
    pub(crate) value: u32,
    pub(crate) list: Vec<u32>,
}

/// One register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Register {
    pub(crate) value: u32,
    /// The entry that wrote it.
    pub(crate) index: LogIndex,
}

/// See the module's page.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Machine {
    /// The last applied entry.
    pub(crate) point: Point,
    /// Log time there.
    pub(crate) time: Time,
    /// A hash over everything that was done.
    pub(crate) effect: Digest,
    pub(crate) registers: BTreeMap<u8, Register>,
    pub(crate) lists: BTreeMap<u8, Vec<u32>>,
    sessions: BTreeMap<u8, (Request, Outcome)>,
}

/// Bytes of a request before its expiry and its padding.
const HEAD_LEN: usize = 11;
/// Marks the code of a request with an expiry.
const EXPIRES: u8 = 0x80;

impl Action {
    /// The register that it writes, and the value.
    pub(crate) const fn register(&self) -> Option<(u8, u32)> {
        match *self {
            Self::Set { key, value } | Self::Both { key, value } => Some((key, value)),
            Self::Append { .. } | Self::Fence | Self::Opaque => None,
        }
    }

    /// The list that it appends to, and the element.
    pub(crate) const fn list(&self) -> Option<(u8, u32)> {
        match *self {
            Self::Append { list, value } | Self::Both { key: list, value } => Some((list, value)),
            Self::Set { .. } | Self::Fence | Self::Opaque => None,
        }
    }
}

impl Request {
    /// The bytes of a log entry that the model does not look into.
    pub(crate) fn opaque(number: u32, payload: &[u8]) -> Bytes {
        let id = RequestId { client: u8::MAX, number };
        let head = Self { id, action: Action::Opaque, padding: 0, expiry: None }.encode();
        [&head[..], payload].concat().into()
    }

    /// What stands behind the head of an opaque one.
    pub(crate) fn payload(bytes: &[u8]) -> &[u8] {
        bytes.get(HEAD_LEN..).unwrap_or_default()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(16 + usize::from(self.padding));
        bytes.put_u8(self.id.client);
        bytes.put_u32_le(self.id.number);
        let (code, key, value) = match self.action {
            Action::Set { key, value } => (0, key, value),
            Action::Append { list, value } => (1, list, value),
            Action::Fence => (2, 0, 0),
            Action::Both { key, value } => (3, key, value),
            Action::Opaque => (4, 0, 0),
        };
        bytes.put_u8(if self.expiry.is_some() { code | EXPIRES } else { code });
        bytes.put_u8(key);
        bytes.put_u32_le(value);
        self.expiry.into_iter().for_each(|expiry| bytes.put_u64_le(expiry.as_millis()));
        bytes.put_bytes(0, self.padding.into());
        bytes.freeze()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, padding) = bytes.split_first_chunk::<HEAD_LEN>()?;
        let number = u32::from_le_bytes(head[1..5].try_into().ok()?);
        let value = u32::from_le_bytes(head[7..11].try_into().ok()?);
        let action = match head[5] & !EXPIRES {
            0 => Action::Set { key: head[6], value },
            1 => Action::Append { list: head[6], value },
            2 => Action::Fence,
            3 => Action::Both { key: head[6], value },
            4 => Action::Opaque,
            _ => return None,
        };
        let (expiry, padding) = match head[5] & EXPIRES {
            0 => (None, padding),
            _ => {
                let (expiry, padding) = padding.split_first_chunk::<8>()?;
                (Some(Time::from_millis(u64::from_le_bytes(*expiry))), padding)
            }
        };
        let id = RequestId { client: head[0], number };
        Some(Self { id, action, padding: u16::try_from(padding.len()).ok()?, expiry })
    }
}

impl Machine {
    /// Applies the next entry. What it asked for, and what came of it, if it asked for anything.
    pub(crate) fn apply(&mut self, entry: &LogEntry) -> Option<(Request, Outcome)> {
        assert_eq!(entry.index(), self.point.index.next(), "entries are applied in order");
        self.point = *entry.point();
        self.time = entry.time();
        let request = match entry.kind() {
            EntryKind::Command => Request::decode(&entry.payload()),
            EntryKind::Noop | EntryKind::Configuration => None,
        };
        let outcome = request.map(|request| self.run(&request));
        let done = format!("{outcome:?}");
        let hash = entry.hash();
        let parts = [&self.effect.as_bytes()[..], hash.as_bytes(), done.as_bytes()];
        self.effect = Digest::of("weald simulated effect", &parts);
        request.zip(outcome)
    }

    fn run(&mut self, request: &Request) -> Outcome {
        let RequestId { client, number } = request.id;
        let index = self.point.index;
        if request.action == Action::Opaque {
            return Outcome::Applied { index, position: 0 };
        }
        let is_past = |request: &Request| request.expiry.is_some_and(|e| e < self.time);
        match self.sessions.get(&client) {
            Some((last, outcome)) if last.id.number == number && !is_past(last) => return *outcome,
            Some((last, _)) if last.id.number > number => return Outcome::Forgotten,
            _ => {}
        }
        if is_past(request) {
            return Outcome::Forgotten;
        }
        if request.expiry.is_some_and(|expiry| expiry > self.time.after(EXPIRY_AHEAD_MAX)) {
            return Outcome::Early;
        }
        if let Some((key, value)) = request.action.register() {
            self.registers.insert(key, Register { value, index });
        }
        let mut position = 0;
        if let Some((list, value)) = request.action.list() {
            let list = self.lists.entry(list).or_default();
            list.push(value);
            position = list.len() as u64;
        }
        let outcome = match request.action {
            Action::Fence => Outcome::Fenced,
            _ => Outcome::Applied { index, position },
        };
        self.sessions.insert(client, (*request, outcome));
        outcome
    }

    /// The register at `key`.
    pub(crate) fn register(&self, key: u8) -> Register {
        self.registers.get(&key).copied().unwrap_or_default()
    }

    /// What a read of `key` shows.
    pub(crate) fn show(&self, key: u8) -> Shown {
        let list = self.lists.get(&key).cloned().unwrap_or_default();
        Shown { value: self.register(key).value, list }
    }
}

#[cfg(test)]
mod tests {
    use weald_core::Epoch;

    use super::*;

    fn apply(machine: &mut Machine, number: u32, action: Action) -> Outcome {
        let expiry = Some(Time::from_millis(50));
        let request = Request { id: RequestId { client: 1, number }, action, padding: 3, expiry };
        let content = (EntryKind::Command, &request.encode()[..]);
        let entry = LogEntry::new(&machine.point, Epoch::default(), Time::ZERO, content);
        let (applied, outcome) = machine.apply(&entry).unwrap();
        assert_eq!(applied, request);
        outcome
    }

    #[test]
    fn a_retry_has_the_first_outcome_and_a_late_copy_none() {
        let mut machine = Machine::default();
        let append = Action::Append { list: 1, value: 7 };
        let first = apply(&mut machine, 1, append);
        assert_eq!(first, Outcome::Applied { index: LogIndex(1), position: 1 });
        assert_eq!(apply(&mut machine, 1, append), first);
        assert_eq!(apply(&mut machine, 2, Action::Fence), Outcome::Fenced);
        assert_eq!(apply(&mut machine, 2, append), Outcome::Fenced);
        assert_eq!(apply(&mut machine, 1, append), Outcome::Forgotten);
        assert_eq!(machine.lists[&1], [7]);
    }
}
