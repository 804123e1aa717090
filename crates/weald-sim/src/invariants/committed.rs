//! INV3: one value per place of the log is ever committed, it has one effect, and what comes of the
//! request in it is what the model says.

use weald_cluster::replica::{EntryKind, LogEntry, Point};
use weald_core::{Digest, Epoch, LogIndex};

use super::Seen;
use crate::machine::{Machine, Outcome, Request};

/// The log as it was committed, by whoever was first.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Committed>,
    log: Vec<LogEntry>,
    machine: Machine,
}

/// One committed entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    pub(crate) hash: Digest,
    /// The epoch in which it was first known to be committed.
    pub(crate) epoch: Epoch,
    /// As it was at whoever was first, rotten members aside.
    pub(crate) effect: Option<Digest>,
    /// What it asks for, and what comes of it.
    pub(crate) request: Option<(Request, Outcome)>,
}

impl Ledger {
    pub(crate) const NAME: &'static str = "INV3 one value per index";

    /// Takes in what was seen; the effects of a rotten state machine do not count.
    pub(crate) fn see(&mut self, seen: &Seen<'_>, is_rotten: bool) -> Result<(), String> {
        match seen {
            Seen::Applied { entry, epoch, effect, outcome, .. } => {
                let effect = (!is_rotten).then_some(*effect);
                self.apply(entry, *epoch)?;
                self.compare(entry.index(), entry.hash(), effect)?;
                if is_rotten { Ok(()) } else { self.compare_outcome(entry.index(), *outcome) }
            }
            Seen::Placed { index, hash, effect, .. } if index.0 > 0 => {
                self.compare(*index, *hash, Some(*effect))
            }
            Seen::Recovered { before, entries, .. } => self.recover(*before, entries),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, entry: &LogEntry, epoch: Epoch) -> Result<(), String> {
        if entry.index() != self.last().next() {
            return Ok(());
        }
        if !entry.continues(&self.machine.point) {
            return Err(format!("{} does not continue what is committed", entry.index()));
        }
        let request = self.machine.apply(entry);
        assert_eq!(request.is_some(), entry.kind() == EntryKind::Command, "commands parse");
        self.log.push(entry.clone());
        self.entries.push(Committed { hash: entry.hash(), epoch, effect: None, request });
        Ok(())
    }

    /// What was committed and is in the survivor's log stays; the rest is dropped. The survivor's
    /// log begins with what was committed, or it survives with something else.
    fn recover(&mut self, before: Point, kept: &[LogEntry]) -> Result<(), String> {
        let is_begun = before == Point::default()
            || self.at(before.index).is_some_and(|committed| committed.hash == before.hash);
        if !is_begun {
            return Err(format!("a survivor's log begins after {}, not committed", before.index));
        }
        let is_held = |entry: &LogEntry| {
            self.at(entry.index()).is_some_and(|committed| committed.hash == entry.hash())
        };
        let held = kept.iter().take_while(|entry| is_held(entry)).last();
        let upto = held.map_or(before.index, LogEntry::index);
        let count = usize::try_from(upto.0).unwrap_or(usize::MAX);
        self.entries.truncate(count);
        self.log.truncate(count);
        self.machine = Machine::default();
        for entry in &self.log {
            self.machine.apply(entry);
        }
        Ok(())
    }

    fn compare(
        &mut self,
        index: LogIndex,
        hash: Digest,
        effect: Option<Digest>,
    ) -> Result<(), String> {
        let last = self.last();
        let offset = index.0.checked_sub(1).and_then(|offset| usize::try_from(offset).ok());
        let Some(committed) = offset.and_then(|offset| self.entries.get_mut(offset)) else {
            return Err(format!("{index} is applied before {} is", last.next()));
        };
        if committed.hash != hash {
            return Err(format!("two values are committed at {index}"));
        }
        let Some(effect) = effect else { return Ok(()) };
        match *committed.effect.get_or_insert(effect) == effect {
            true => Ok(()),
            false => Err(format!("two effects at {index}")),
        }
    }

    fn compare_outcome(&self, index: LogIndex, told: Option<Outcome>) -> Result<(), String> {
        let request = self.at(index).and_then(|committed| committed.request);
        match request.map(|(_, outcome)| outcome) {
            known if known == told => Ok(()),
            known => Err(format!("{told:?} comes of {index}, the model says {known:?}")),
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
