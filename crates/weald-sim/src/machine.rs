//! The state machine of a simulated partition: registers, gapless lists, and sessions that make a
//! retry apply once. Small, so that snapshots cost nothing, and the same at every member.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use weald_cluster::replica::{EntryKind, LogEntry, Point};
use weald_core::{Digest, LogIndex, Time};

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
    /// A list gets one more element; the answer is its position.
    Append { list: u8 },
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
}

/// What came of a request; the same for every copy of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    /// Applied, at this place of the log; for a list, the element's position.
    Applied { index: LogIndex, position: u64 },
    /// It was fenced before it was applied.
    Fenced,
    /// A later request of the client was applied: what became of this one is not kept.
    Forgotten,
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
    pub(crate) lists: BTreeMap<u8, u64>,
    sessions: BTreeMap<u8, (u32, Outcome)>,
}

impl Request {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(16 + usize::from(self.padding));
        bytes.put_u8(self.id.client);
        bytes.put_u32_le(self.id.number);
        let (code, key, value) = match self.action {
            Action::Set { key, value } => (0, key, value),
            Action::Append { list } => (1, list, 0),
            Action::Fence => (2, 0, 0),
        };
        bytes.put_u8(code);
        bytes.put_u8(key);
        bytes.put_u32_le(value);
        bytes.put_bytes(0, self.padding.into());
        bytes.freeze()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, padding) = bytes.split_first_chunk::<11>()?;
        let number = u32::from_le_bytes(head[1..5].try_into().ok()?);
        let value = u32::from_le_bytes(head[7..11].try_into().ok()?);
        let action = match head[5] {
            0 => Action::Set { key: head[6], value },
            1 => Action::Append { list: head[6] },
            2 => Action::Fence,
            _ => return None,
        };
        let id = RequestId { client: head[0], number };
        Some(Self { id, action, padding: u16::try_from(padding.len()).ok()? })
    }
}

impl Machine {
    /// The last applied entry's place.
    pub(crate) fn applied(&self) -> LogIndex {
        self.point.index
    }

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
        match self.sessions.get(&client) {
            Some((last, outcome)) if *last == number => return *outcome,
            Some((last, _)) if *last > number => return Outcome::Forgotten,
            _ => {}
        }
        let index = self.point.index;
        let outcome = match request.action {
            Action::Set { key, value } => {
                self.registers.insert(key, Register { value, index });
                Outcome::Applied { index, position: 0 }
            }
            Action::Append { list } => {
                let position = self.lists.entry(list).or_default();
                *position += 1;
                Outcome::Applied { index, position: *position }
            }
            Action::Fence => Outcome::Fenced,
        };
        self.sessions.insert(client, (number, outcome));
        outcome
    }

    /// The register at `key`.
    pub(crate) fn register(&self, key: u8) -> Register {
        self.registers.get(&key).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use weald_core::Epoch;

    use super::*;

    fn apply(machine: &mut Machine, number: u32, action: Action) -> Outcome {
        let request = Request { id: RequestId { client: 1, number }, action, padding: 3 };
        let content = (EntryKind::Command, &request.encode()[..]);
        let entry = LogEntry::new(&machine.point, Epoch::default(), Time::ZERO, content);
        let (applied, outcome) = machine.apply(&entry).unwrap();
        assert_eq!(applied, request);
        outcome
    }

    #[test]
    fn a_retry_has_the_first_outcome_and_a_late_copy_none() {
        let mut machine = Machine::default();
        let append = Action::Append { list: 1 };
        let first = apply(&mut machine, 1, append);
        assert_eq!(first, Outcome::Applied { index: LogIndex(1), position: 1 });
        assert_eq!(apply(&mut machine, 1, append), first);
        assert_eq!(apply(&mut machine, 2, Action::Fence), Outcome::Fenced);
        assert_eq!(apply(&mut machine, 2, append), Outcome::Fenced);
        assert_eq!(apply(&mut machine, 1, append), Outcome::Forgotten);
        assert_eq!(machine.lists[&1], 1);
    }
}
