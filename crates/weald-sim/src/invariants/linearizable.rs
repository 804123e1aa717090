//! INV5: operations take effect between their call and their answer. The log orders writes; a
//! write comes after all that was answered before it was asked, and a read sees all of that.

use std::collections::BTreeMap;

use weald_core::LogIndex;

use super::{Invariant, Ledger, Seen};
use crate::{machine::Outcome, schedule::Instant};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Linearizable {
    /// The last place of each register that somebody was told of.
    told: BTreeMap<u8, LogIndex>,
    /// What every client's operation must see or come after.
    floors: BTreeMap<u8, LogIndex>,
    keys: BTreeMap<u8, u8>,
}

impl Invariant for Linearizable {
    fn name(&self) -> &'static str {
        "INV5 linearizable"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, ledger: &Ledger) -> Result<(), String> {
        match *seen {
            Seen::Asked { client, request } => {
                if let Some((key, _)) = request.action.register() {
                    self.ask(client, key);
                }
                Ok(())
            }
            Seen::ReadAsked { client, key } => {
                self.ask(client, key);
                Ok(())
            }
            Seen::Answered { id, outcome: Outcome::Applied { index, .. } } => {
                self.written(id.client, index, ledger)
            }
            Seen::Recovered { .. } => {
                for (key, index) in &mut self.told {
                    *index = last_write(*key, ledger.last().min(*index), ledger).1;
                }
                self.floors.values_mut().for_each(|floor| *floor = LogIndex::ZERO);
                Ok(())
            }
            Seen::ReadAnswered { client, key, shown, index } => {
                self.read(client, key, (shown.value, index), ledger)
            }
            _ => Ok(()),
        }
    }
}

impl Linearizable {
    fn ask(&mut self, client: u8, key: u8) {
        self.keys.insert(client, key);
        self.floors.insert(client, self.told.get(&key).copied().unwrap_or_default());
    }

    fn written(&mut self, client: u8, index: LogIndex, ledger: &Ledger) -> Result<(), String> {
        let request = ledger.at(index).and_then(|committed| committed.request);
        let action = request.map(|(request, _)| request.action);
        let Some((key, _)) = action.and_then(|action| action.register()) else { return Ok(()) };
        let floor = self.floors.get(&client).copied().unwrap_or_default();
        if index <= floor {
            return Err(format!("a write at {index} was asked when {floor} was known"));
        }
        self.tell(key, index);
        Ok(())
    }

    fn read(
        &mut self,
        client: u8,
        key: u8,
        (value, as_of): (u32, LogIndex),
        ledger: &Ledger,
    ) -> Result<(), String> {
        let (written, index) = last_write(key, as_of, ledger);
        if written != value {
            return Err(format!("register {key} read as {value}, it is {written} at {as_of}"));
        }
        let floor = self.floors.get(&client).copied().unwrap_or_default();
        if index < floor {
            return Err(format!("a read sees register {key} as of {index}, {floor} was known"));
        }
        self.tell(key, index);
        Ok(())
    }

    fn tell(&mut self, key: u8, index: LogIndex) {
        let told = self.told.entry(key).or_default();
        *told = (*told).max(index);
    }
}

/// The last write of a register at or before `as_of`: its value and its place.
fn last_write(key: u8, as_of: LogIndex, ledger: &Ledger) -> (u32, LogIndex) {
    let register = ledger.machine().register(key);
    if register.index <= as_of {
        return (register.value, register.index);
    }
    let upto = usize::try_from(as_of.0).unwrap_or(usize::MAX).min(ledger.len());
    let writes = ledger.entries()[..upto].iter().rev().filter_map(|committed| committed.request);
    let found =
        writes.filter_map(|(request, outcome)| match (request.action.register(), outcome) {
            (Some((set, value)), Outcome::Applied { index, .. }) if set == key => {
                Some((value, index))
            }
            _ => None,
        });
    // A retry carries the place of the first copy.
    found.max_by_key(|(_, index)| *index).unwrap_or_default()
}
