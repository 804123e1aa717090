//! A client: it does one thing after the other, asks again elsewhere when no answer comes, always
//! with the same id, and finds out in the end what became of a write.

use weald_core::LogIndex;

use crate::{
    machine::{Action, Outcome, Request, RequestId, Shown},
    name::Name,
    random::Random,
};

/// Attempts after which a write is resolved, and a read given up.
const ATTEMPTS_MAX: u32 = 6;
/// Registers that clients use.
pub(crate) const KEYS: u64 = 4;

/// See the module's page.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: u8,
    number: u32,
    /// Names the attempt under way; what answers an earlier one is too late.
    pub(crate) serial: u64,
    pub(crate) doing: Option<Doing>,
    /// Whether it goes on when it has finished what it does.
    pub(crate) is_active: bool,
    /// Writes that were acknowledged.
    pub(crate) written: u64,
    /// Reads that were answered.
    pub(crate) read: u64,
    /// What it was told last.
    pub(crate) answer: String,
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing {
    pub(crate) what: What,
    pub(crate) attempts: u32,
}

/// An operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum What {
    /// A write, with its first and only content.
    Write(Request),
    /// What became of a write is asked for; if nothing has, nothing ever will.
    Resolve(Request),
    /// A linearizable read of a register and the list of its name.
    Read { key: u8 },
    /// A look at a node's own state.
    Look,
}

/// What a node answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Reply {
    /// What came of a write.
    Outcome(Outcome),
    /// A register and a list, as of this index.
    Value { shown: Shown, index: LogIndex },
    /// Another node coordinates.
    Elsewhere(Name),
    /// Not now.
    Retry,
    /// A look was answered, or refused.
    Looked,
}

impl Client {
    pub(crate) const fn new(id: u8) -> Self {
        let (number, serial, written, read) = (0, 0, 0, 0);
        let answer = String::new();
        Self { id, number, serial, doing: None, is_active: true, written, read, answer }
    }

    /// A new write: the same id at every attempt.
    pub(crate) fn write(&mut self, action: Action, padding: u16) -> Request {
        self.number += 1;
        let id = RequestId { client: self.id, number: self.number };
        Request { id, action, padding, expiry: None }
    }

    /// A value that nobody else writes.
    pub(crate) fn next_value(&self) -> u32 {
        (u32::from(self.id) << 24) | (self.number + 1)
    }

    /// Chooses what to do next.
    pub(crate) fn choose(&mut self, random: &mut Random) -> What {
        let key = u8::try_from(random.below(KEYS)).unwrap_or(0);
        let padding = if random.one_in(30) { random.between(500, 4000) } else { random.below(64) };
        let padding = u16::try_from(padding).unwrap_or(0);
        match random.below(10) {
            0..=3 => {
                let value = self.next_value();
                What::Write(self.write(Action::Set { key, value }, padding))
            }
            4..=5 => {
                let value = self.next_value();
                let action = match padding % 2 {
                    0 => Action::Append { list: key, value },
                    _ => Action::Both { key, value },
                };
                What::Write(self.write(action, padding))
            }
            6..=8 => What::Read { key },
            _ => What::Look,
        }
    }

    /// Begins another attempt at what it does, or something easier when that was tried often
    /// enough; `None` when it gives up.
    pub(crate) fn attempt(&mut self) -> Option<What> {
        let doing = self.doing.as_mut()?;
        doing.attempts += 1;
        if doing.attempts > ATTEMPTS_MAX {
            match doing.what {
                What::Write(request) => doing.what = What::Resolve(request),
                What::Resolve(_) => {}
                What::Read { .. } | What::Look => self.doing = None,
            }
        }
        self.serial += 1;
        self.doing.map(|doing| doing.what)
    }
}

impl What {
    /// What a write or its resolving puts into the log.
    pub(crate) fn request(&self) -> Option<Request> {
        match self {
            Self::Write(request) => Some(*request),
            Self::Resolve(request) => {
                Some(Request { action: Action::Fence, padding: 0, ..*request })
            }
            Self::Read { .. } | Self::Look => None,
        }
    }
}
