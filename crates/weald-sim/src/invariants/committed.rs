//! INV3: one value per place of the log is ever committed, and it has one effect.

use weald_cluster::replica::{EntryKind, LogEntry};
use weald_core::{Digest, Epoch, LogIndex};

use super::Seen;
use crate::machine::{Machine, Outcome, Request};

/// The log as it was committed, by whoever was first.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Committed>,
    machine: Machine,
}

/// One committed entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    pub(crate) hash: Digest,
    /// The epoch in which it was first known to be committed.
    pub(crate) epoch: Epoch,
    pub(crate) effect: Digest,
    /// What it asks for, and what comes of it.
    pub(crate) request: Option<(Request, Outcome)>,
}

impl Ledger {
    pub(crate) const NAME: &'static str = "INV3 one value per index";

    /// Takes in what was seen; the effects of a rotten state machine do not count.
    pub(crate) fn see(&mut self, seen: &Seen<'_>, is_rotten: bool) -> Result<(), String> {
        match seen {
            Seen::Applied { entry, epoch, effect, .. } => {
                self.apply(entry, *epoch, (!is_rotten).then_some(*effect))
            }
            Seen::Placed { index, hash, effect, .. } if index.0 > 0 => {
                self.compare(*index, *hash, Some(*effect))
            }
            _ => Ok(()),
        }
    }

    fn apply(
        &mut self,
        entry: &LogEntry,
        epoch: Epoch,
        effect: Option<Digest>,
    ) -> Result<(), String> {
        if entry.index() != self.last().next() {
            return self.compare(entry.index(), entry.hash(), effect);
        }
        if !entry.continues(&self.machine.point) {
            return Err(format!("{} does not continue what is committed", entry.index()));
        }
        let request = self.machine.apply(entry);
        assert_eq!(request.is_some(), entry.kind() == EntryKind::Command, "commands parse");
        let own = self.machine.effect;
        self.entries.push(Committed { hash: entry.hash(), epoch, effect: own, request });
        Self::same_effect(entry.index(), own, effect)
    }

    fn compare(&self, index: LogIndex, hash: Digest, effect: Option<Digest>) -> Result<(), String> {
        let Some(committed) = self.at(index) else {
            return Err(format!("{index} is applied before {} is", self.last().next()));
        };
        if committed.hash != hash {
            return Err(format!("two values are committed at {index}"));
        }
        Self::same_effect(index, committed.effect, effect)
    }

    fn same_effect(index: LogIndex, one: Digest, other: Option<Digest>) -> Result<(), String> {
        if other.is_none_or(|other| one == other) {
            Ok(())
        } else {
            Err(format!("two effects at {index}"))
        }
    }

    /// The entry at `index`, if one is committed there.
    pub(crate) fn at(&self, index: LogIndex) -> Option<&Committed> {
        self.entries.get(usize::try_from(index.0.checked_sub(1)?).ok()?)
    }

    /// The last committed place.
    pub(crate) fn last(&self) -> LogIndex {
        self.machine.point.index
    }

    /// How many entries are committed.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries, in order.
    pub(crate) fn entries(&self) -> &[Committed] {
        &self.entries
    }

    /// The state after all of them.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }
}
