//! What must hold in every run, whatever happens: one file for each invariant. They see what nodes
//! and clients do, step by step, and know nothing of how it comes about.

mod accepted;
mod bounded;
mod committed;
mod durable;
mod fenced;
mod fresh;
mod gapless;
mod linearizable;
mod matching;
mod once;
mod watermark;

use std::{collections::BTreeSet, fmt};

use weald_cluster::{
    configuration::Member,
    replica::{Config, LogEntry, Point, Run, State},
};
use weald_core::{Digest, Epoch, LogIndex, StoreId};

use crate::{
    machine::{Outcome, Request, RequestId, Shown},
    name::Name,
    schedule::Instant,
};

pub(crate) use committed::Ledger;

/// Something that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen<'a> {
    /// A node hands an entry to its log.
    Appended { entry: &'a LogEntry },
    /// A node applies a committed entry, in this epoch, with this effect; what came of the request
    /// in it, if there is one.
    Applied {
        node: Name,
        entry: &'a LogEntry,
        epoch: Epoch,
        effect: Digest,
        outcome: Option<Outcome>,
    },
    /// A node's state machine is as of this entry, not by applying: at a start, from a snapshot.
    Placed { node: Name, index: LogIndex, hash: Digest, effect: Digest },
    /// A node begins to coordinate.
    Coordinates { member: Member, run: Run, epoch: Epoch, state: &'a State },
    /// A client sends a request for the first time.
    Asked { client: u8, request: Request },
    /// A client was told what came of its request.
    Answered { id: RequestId, outcome: Outcome },
    /// A client begins to read.
    ReadAsked { client: u8, key: u8 },
    /// A client was told a register's value and a list, as of this index.
    ReadAnswered { client: u8, key: u8, shown: &'a Shown, index: LogIndex },
    /// A node has shown its state without asking anybody; it claims to be as fresh as `since`.
    Exposed { node: Name, store: StoreId, index: LogIndex, since: Instant },
    /// A node was told what no member says, and has changed.
    Misled { node: Name, by: &'static str },
    /// A node whose log holds these entries goes on alone: what is not among them is dropped.
    Recovered { node: Name, before: Point, entries: &'a [LogEntry] },
    /// A node has taken a step.
    Stepped { node: Name, state: &'a State, config: &'a Config, recovered_bytes: usize },
}

/// One invariant.
pub(crate) trait Invariant {
    /// Its id and what it says.
    fn name(&self) -> &'static str;

    /// Takes in what was seen.
    ///
    /// # Errors
    /// What contradicts the invariant.
    fn see(&mut self, now: Instant, seen: &Seen<'_>, ledger: &Ledger) -> Result<(), String>;
}

/// An invariant does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) at: Instant,
    pub(crate) detail: String,
}

/// All invariants, and the committed log that they agree on.
pub(crate) struct Oracle {
    pub(crate) ledger: Ledger,
    /// Raised by each forced recovery: what a generation before says is not shown.
    pub(crate) generation: u32,
    /// Nodes whose state machine was damaged on purpose: what they apply is not compared until
    /// they have a snapshot.
    rotten: BTreeSet<Name>,
    invariants: Vec<Box<dyn Invariant>>,
}

impl Default for Oracle {
    /// All of them.
    fn default() -> Self {
        let invariants: Vec<Box<dyn Invariant>> = vec![
            Box::new(durable::Durable),
            Box::<matching::Matching>::default(),
            Box::<watermark::Watermark>::default(),
            Box::<linearizable::Linearizable>::default(),
            Box::<gapless::Gapless>::default(),
            Box::<fenced::Fenced>::default(),
            Box::<once::Once>::default(),
            Box::new(bounded::Bounded),
            Box::new(accepted::Accepted),
            Box::<fresh::Fresh>::default(),
        ];
        Self { ledger: Ledger::default(), generation: 0, rotten: BTreeSet::new(), invariants }
    }
}

impl Oracle {
    /// The state machine of this node was damaged on purpose.
    pub(crate) fn expect_rot(&mut self, node: Name) {
        self.rotten.insert(node);
    }

    /// Whether it was, and no other state has taken its place yet.
    pub(crate) fn expects_rot(&self, node: Name) -> bool {
        self.rotten.contains(&node)
    }

    fn is_rotten(&mut self, seen: &Seen<'_>) -> bool {
        if let Seen::Placed { node, .. } = seen {
            self.rotten.remove(node);
        }
        matches!(seen, Seen::Applied { node, .. } if self.rotten.contains(node))
    }

    /// Shows `seen` to every invariant; the first that does not hold.
    pub(crate) fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), Violation> {
        let is_rotten = self.is_rotten(seen);
        if let Seen::Recovered { .. } = seen {
            self.generation += 1;
        }
        let violation = |invariant, detail| Violation { invariant, at: now, detail };
        if let Err(detail) = self.ledger.see(seen, is_rotten) {
            return Err(violation(Ledger::NAME, detail));
        }
        for invariant in &mut self.invariants {
            if let Err(detail) = invariant.see(now, seen, &self.ledger) {
                return Err(violation(invariant.name(), detail));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oracle({} committed)", self.ledger.len())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}ms: {}", self.invariant, self.at.as_millis(), self.detail)
    }
}

#[cfg(test)]
mod tests;
